"""The platform's settings: one typed, validated tree per stack.

The only reader of Pulumi configuration. Values come from ``Pulumi.<stack>.yaml`` with project-wide
defaults in ``Pulumi.yaml``; every error of a stack is reported at once, each with its key, what was
found and what is allowed. Components never see this tree: ``components.stacks`` hands each what it
needs.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import ipaddress
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pulumi
import pulumi.runtime.config as runtime_config
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from components.endpoint_services import (
    GATEWAYS,
    REQUIRED_SERVICES,
    interface_services,
    services_for,
    unknown_services,
)
from components.naming import (
    ENVIRONMENT_PATTERN,
    ENVIRONMENTS,
    HUB,
    TARGET_KINDS,
    Names,
    NameTooLongError,
    Placement,
    in_order,
    is_environment,
    kind_of,
    partition_of,
)

ACCESS_VARIABLE = "MLOPS_ACCESS"
"""Environment variable that overrides ``mlops:access`` for one command: a preview in a pull request
assumes the read-only roles without a change to any file."""

PROJECT = "mlops"
"""The Pulumi project's name and so the namespace of every key."""


class SettingsError(ValueError):
    """A stack's configuration is not valid; the message lists every problem with its key."""

    def __init__(self, stack: str, problems: Sequence[str]) -> None:
        self.stack = stack
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(
            f"The configuration of stack {stack!r} has {count} "
            f"(Pulumi.{stack}.yaml, defaults in Pulumi.yaml):\n"
            + "\n".join(f"  - {problem}" for problem in problems)
        )


class _NotTogetherError(ValueError):
    """Settings that are right alone, but not together."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{where} {told}" for where, told in problems))
        self.problems = tuple(problems)


class Tree(BaseModel):
    """Base of every settings object: frozen, no unknown keys, no silent conversions of type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _matches(pattern: str, meaning: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {meaning}")
        return value

    return AfterValidator(check)


@functools.cache
def _regions() -> tuple[str, ...]:
    """Regions that have SageMaker, by botocore's data; not China's, whose names differ."""
    # The data alone: each program and command reads it, and what botocore reads it with takes
    # three times as long.
    data = json.loads((files("botocore") / "data" / "endpoints.json").read_bytes())
    return tuple(
        region
        for partition in data["partitions"]
        if partition["partition"] in ("aws", "aws-us-gov")
        for region in partition["services"]["api.sagemaker"]["endpoints"]
        if region in partition["regions"]
    )


def _is_region(value: str) -> str:
    if value not in _regions():
        near = difflib.get_close_matches(value, _regions(), n=1)
        told = f"; did you mean {near[0]}?" if near else " such as eu-west-1"
        raise ValueError(f"expected an AWS region that has SageMaker{told}")
    return value


Environment = Annotated[
    str,
    _matches(
        ENVIRONMENT_PATTERN,
        f"{', '.join(ENVIRONMENTS)}, or one more of a kind, such as prod-eu",
    ),
]
TargetKind = Literal["preprod", "prod"]
UnitId = Annotated[
    str,
    _matches(r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}", "an organisational unit's id, ou-xxxx-xxxxxxxx"),
]
AccountId = Annotated[str, _matches(r"\d{12}", "an AWS account id, 12 digits in quotes")]
OrganizationId = Annotated[str, _matches(r"o-[a-z0-9]{10,32}", "an organisation id, o-xxxxxxxxxx")]
Region = Annotated[str, AfterValidator(_is_region)]
Prefix = Annotated[
    str,
    _matches(
        r"[a-z][a-z0-9-]{1,15}", "2 to 16 lower-case letters, digits and hyphens, letter first"
    ),
]
Slug = Annotated[
    str,
    _matches(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "letters, digits and single hyphens, at most 63"),
]
InstanceType = Annotated[
    str, _matches(r"ml\.[a-z0-9-]+\.[a-z0-9]+", "a SageMaker instance type such as ml.m5.large")
]
Email = Annotated[str, _matches(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address")]
VpcId = Annotated[str, _matches(r"vpc-[0-9a-f]{8,17}", "a VPC id, vpc-…")]
SubnetId = Annotated[str, _matches(r"subnet-[0-9a-f]{8,17}", "a subnet id, subnet-…")]
SecurityGroupId = Annotated[str, _matches(r"sg-[0-9a-f]{8,17}", "a security group id, sg-…")]
RouteTableId = Annotated[str, _matches(r"rtb-[0-9a-f]{8,17}", "a route table id, rtb-…")]
EndpointId = Annotated[str, _matches(r"vpce-[0-9a-f]{8,17}", "a VPC endpoint id, vpce-…")]
PrincipalPattern = Annotated[
    str,
    _matches(
        r"arn:aws[a-z-]*:(iam|sts)::\d{12}:[\w+=,.@/*-]+",
        "an IAM principal ARN of one account (wildcards only after the account id)",
    ),
]

LOG_RETENTION_DAYS = frozenset(
    {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557}
    | {2922, 3288, 3653}
)
"""What CloudWatch Logs accepts. Source: API reference, PutRetentionPolicy, retentionInDays."""


RoleArn = Annotated[str, _matches(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", "a role's ARN")]


class NatStrategy(StrEnum):
    """How many NAT gateways a created network has. ``none`` means no route to the internet."""

    NONE = "none"
    SINGLE = "single"
    PER_ZONE = "per_zone"


class AuthMode(StrEnum):
    """How people sign in to Studio."""

    IAM = "IAM"
    SSO = "SSO"


class Organization(Tree):
    """The company's accounts."""

    accounts: dict[Environment, AccountId]
    """One id for each environment; those of dev, preprod, prod and governance may be equal. One
    more of a kind (such as prod-eu) has a stack file and an account of its own."""
    id: OrganizationId | None = None
    """AWS Organizations id; without one, policies list the accounts instead."""
    management_account: AccountId | None = None
    """The organisation's management account, by which Service Catalog knows the organisation and
    its units; by default that of account_factory_role_arn."""
    units: dict[TargetKind, UnitId] = {}
    """Kind (preprod, prod) -> the organisational unit whose accounts are its environments, with
    all units below; what differs is told by ``python -m automation accounts``."""
    account_factory_role_arn: RoleArn | None = None
    """Role of the organisation's management account by which accounts are vended into the units,
    see docs/targets.md; only with it is there such a product."""

    @model_validator(mode="after")
    def _complete(self) -> Organization:
        missing = [env for env in ENVIRONMENTS if env not in self.accounts]
        if missing:
            raise ValueError(f"accounts lacks {', '.join(missing)}: give an account id for each")
        held = list(self.accounts.values())
        for environment, account in self.accounts.items():
            # Names of prod-eu begin as those of prod: apart they are by their accounts.
            if environment not in ENVIRONMENTS and held.count(account) > 1:
                raise ValueError(
                    f"accounts gives {environment} the account of another environment, {account}: "
                    "one more of a kind has an account of its own"
                )
        if self.account_factory_role_arn:
            self._check_factory(self.account_factory_role_arn.split(":")[4])
        return self

    @property
    def management(self) -> str | None:
        """The management account, as far as the settings tell it."""
        role = self.account_factory_role_arn
        return self.management_account or (role.split(":")[4] if role else None)

    @property
    def vended_kinds(self) -> tuple[str, ...]:
        """The kinds whose accounts are vended: those with a unit, where there is a role for it."""
        return tuple(self.units) if self.account_factory_role_arn else ()

    def _check_factory(self, management: str) -> None:
        lacking = [name for name in ("id", "units") if not getattr(self, name)]
        if lacking:
            raise ValueError(
                f"account_factory_role_arn needs {' and '.join(lacking)}: accounts are made for the"
                " organisational unit of a kind"
            )
        if self.management_account not in (None, management):
            raise ValueError(
                f"account_factory_role_arn is of {management}, and management_account is"
                f" {self.management_account}: name the management account's role"
            )
        if management in self.accounts.values():
            raise ValueError(
                f"account_factory_role_arn is of {management}, an account of the platform: it has"
                " to be of the organisation's management account, where no deployer makes roles"
            )


class Tags(Tree):
    """Tags on every resource; owner and cost centre are required."""

    owner: Annotated[str, Field(min_length=1)]
    """Team that answers for the environment."""
    cost_centre: Annotated[str, Field(min_length=1)]
    """Where the cost goes; budgets are kept by this tag."""
    extra: dict[str, str] = {}
    """More tags of the company's own."""

    def all(self, environment: str) -> dict[str, str]:
        """The tags as AWS gets them."""
        return {
            **self.extra,
            "owner": self.owner,
            "cost-centre": self.cost_centre,
            "environment": environment,
            "managed-by": "pulumi",
        }

    @field_validator("extra")
    @classmethod
    def _no_reserved(cls, extra: dict[str, str]) -> dict[str, str]:
        taken = {"owner", "cost-centre", "environment", "managed-by"} & set(extra)
        reserved = {key for key in extra if key.lower().startswith("aws:")}
        if taken or reserved:
            names = ", ".join(sorted(taken | reserved))
            raise ValueError(f"{names}: set by the platform or reserved by AWS, choose other keys")
        return extra


def _endpoint_services(names: tuple[str, ...]) -> tuple[str, ...]:
    if said := unknown_services(names, interface_services()):
        raise ValueError("; ".join(said))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)}: each service is named once")
    return names


EndpointServices = Annotated[tuple[str, ...], AfterValidator(_endpoint_services)]


ORGANIZATIONS_REGIONS = {
    "aws": "us-east-1",
    "aws-cn": "cn-northwest-1",
    "aws-us-gov": "us-gov-west-1",
}
"""Partition -> the region that AWS Organizations is in, and its VPC endpoints with it.

Source: AWS General Reference, AWS Organizations endpoints and quotas.
"""

FREE_ADDRESSES = 32
"""Per private subnet, for Studio's apps and the instances of jobs and endpoints; the interface
endpoints of AWS's services come on top. Each takes one address."""


class CreatedNetwork(Tree):
    """A VPC made by the platform."""

    mode: Literal["create"] = "create"
    """A VPC is made."""
    cidr: str = "10.20.0.0/16"
    """Private IPv4 block, /16 to /22; stacks must not overlap."""
    zones: Annotated[int, Field(ge=2, le=6)] = 2
    """Availability zones. SageMaker endpoints need at least two."""
    nat: NatStrategy = Field(default=NatStrategy.NONE, strict=False)
    """NAT gateways; none leaves no route to the internet at all."""
    endpoints: EndpointServices | None = Field(default=None, strict=False)
    """Interface endpoint services, instead of the defaults of the environment; the gateways of S3
    and DynamoDB are made in any case."""

    @property
    def addresses(self) -> int:
        """Of each subnet that things run in: awsx shares a zone's block evenly between the tiers.

        AWS keeps five of each subnet for itself.
        """
        tiers = 1 if self.nat is NatStrategy.NONE else 3
        taken = math.ceil(math.log2(self.zones)) + math.ceil(math.log2(tiers))
        return 2 ** (32 - ipaddress.IPv4Network(self.cidr).prefixlen - taken) - 5

    @field_validator("cidr")
    @classmethod
    def _usable(cls, cidr: str) -> str:
        try:
            block = ipaddress.IPv4Network(cidr)
        except ValueError as error:
            raise ValueError(f"not an IPv4 CIDR block: {error}") from None
        if not 16 <= block.prefixlen <= 22:
            raise ValueError("the prefix must be between /16 and /22: smaller blocks do not hold")
        if not block.is_private:
            raise ValueError("must be a private block (10/8, 172.16/12 or 192.168/16)")
        return cidr

    @field_validator("endpoints")
    @classmethod
    def _complete(cls, endpoints: tuple[str, ...] | None) -> tuple[str, ...] | None:
        missing = (
            [s for s in REQUIRED_SERVICES if s not in endpoints] if endpoints is not None else []
        )
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}: the platform does not run without them")
        return endpoints


class ExistingNetwork(Tree):
    """A VPC that the company has; before anything is made it is checked, see docs/operations.md."""

    mode: Literal["existing"]
    """The VPC is the company's."""
    vpc_id: VpcId
    """The VPC."""
    private_subnet_ids: Annotated[tuple[SubnetId, ...], Field(min_length=2, strict=False)]
    """At least two subnets in different zones; jobs, Studio and endpoints run there."""
    security_group_ids: Annotated[tuple[SecurityGroupId, ...], Field(min_length=1, strict=False)]
    """Workload security groups: closed to the world, with a way out to the endpoints by HTTPS."""
    route_table_ids: tuple[RouteTableId, ...] = Field(default=(), strict=False)
    """Where gateway endpoints are attached when the platform makes them: those of all private
    subnets."""
    endpoint_ids: dict[str, EndpointId] = {}
    """Service -> existing endpoint; must hold s3 and kms unless create_endpoints is set."""
    create_endpoints: bool = False
    """Whether the platform adds the endpoints that are missing."""
    endpoints: EndpointServices | None = Field(default=None, strict=False)
    """Interface endpoint services needed, instead of the defaults of the environment."""

    @field_validator("endpoint_ids")
    @classmethod
    def _known(cls, endpoint_ids: dict[str, str]) -> dict[str, str]:
        if said := unknown_services(endpoint_ids, interface_services() | set(GATEWAYS)):
            raise ValueError("; ".join(said))
        return endpoint_ids

    @model_validator(mode="after")
    def _consistent(self) -> ExistingNetwork:
        for field in ("private_subnet_ids", "security_group_ids"):
            values = getattr(self, field)
            if len(set(values)) != len(values):
                raise ValueError(f"{field} names an id twice")
        if self.create_endpoints and not self.route_table_ids:
            raise ValueError("create_endpoints needs route_table_ids for the S3 gateway endpoint")
        if not self.create_endpoints and not {"s3", "kms"} <= set(self.endpoint_ids):
            raise ValueError(
                "endpoint_ids must name the VPC's s3 and kms endpoints, or set create_endpoints"
            )
        if self.endpoints is not None and "kms" not in {*self.endpoints, *self.endpoint_ids}:
            raise ValueError(
                "endpoints lacks kms, whose endpoint the policies of keys and buckets name: "
                "add it, or name the one that there is in endpoint_ids"
            )
        return self


Network = Annotated[CreatedNetwork | ExistingNetwork, Field(discriminator="mode")]


class StudioUsers(Tree):
    """User profile names by persona."""

    lead_data_scientists: tuple[Slug, ...] = Field(default=(), strict=False)
    """May approve models in dev and create projects."""
    data_scientists: tuple[Slug, ...] = Field(default=(), strict=False)
    """May train and register models."""

    @model_validator(mode="after")
    def _distinct(self) -> StudioUsers:
        names = [*self.lead_data_scientists, *self.data_scientists]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: each user has one profile and one persona")
        return self


class InstanceTypes(Tree):
    """Instance types that a persona may use."""

    lead_data_scientist: tuple[InstanceType, ...] = Field(
        default=("ml.t3.medium", "ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.g5.xlarge"),
        strict=False,
        min_length=1,
    )
    """For lead data scientists."""
    data_scientist: tuple[InstanceType, ...] = Field(
        default=("ml.t3.medium", "ml.m5.large", "ml.m5.xlarge"), strict=False, min_length=1
    )
    """For data scientists."""


class Studio(Tree):
    """The Studio domain."""

    auth_mode: AuthMode = Field(default=AuthMode.IAM, strict=False)
    """IAM, or SSO by IAM Identity Center."""
    users: StudioUsers = StudioUsers()
    """One user profile each."""
    instance_types: InstanceTypes = InstanceTypes()
    """What each persona may use."""
    default_instance_type: InstanceType = "ml.t3.medium"
    """What an app starts on."""
    idle_timeout_minutes: Annotated[int, Field(ge=60, le=525600)] = 60
    """Idle minutes after which an app is shut down. Source: SageMaker API, IdleSettings."""
    isolate_containers: bool = False
    """Training, processing and models must run without any network; else in the VPC, which has no
    way out unless it is given one."""
    share_notebook_outputs: bool = False
    """Outputs of notebook cells may be shared, encrypted, in the data bucket."""

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Studio:
        for persona in ("lead_data_scientist", "data_scientist"):
            if self.default_instance_type not in getattr(self.instance_types, persona):
                raise ValueError(
                    f"default_instance_type {self.default_instance_type} is not in "
                    f"instance_types.{persona}"
                )
        return self


class DataAccess(Tree):
    """Which ways to data are set up (dev only)."""

    athena: bool = True
    """Athena work group over a Glue database."""
    lake_formation: bool = True
    """Lake Formation grants on that database."""
    feature_store: bool = True
    """Central feature group with online and offline store."""
    datazone: bool = False
    """DataZone domain."""

    @model_validator(mode="after")
    def _lake_needs_athena(self) -> DataAccess:
        if self.lake_formation and not self.athena:
            raise ValueError("lake_formation governs the Athena database: set athena too")
        return self


class Registry(Tree):
    """Model package groups and image repositories made with the platform."""

    model_package_groups: tuple[Slug, ...] = Field(default=(), strict=False)
    """Model package groups."""
    image_repositories: tuple[Slug, ...] = Field(default=(), strict=False)
    """ECR repositories (governance only)."""
    sharing: Literal["policy", "ram"] = "policy"
    """How central groups are shared with the environments' accounts (governance only): ``policy``
    names the roles that read them, ``ram`` shares them by AWS RAM with the accounts, where they can
    then be discovered; it needs organization.id."""


class Retention(Tree):
    """How long things are kept."""

    logs_days: int = 365
    """Log groups, in days; one of the values that CloudWatch Logs accepts."""
    key_deletion_days: Annotated[int, Field(ge=7, le=30)] = 30
    """Waiting period before a deleted key is gone. Source: KMS API, ScheduleKeyDeletion."""
    trail_days: Annotated[int, Field(ge=90)] = 2557
    """Audit records in the hub's log bucket."""

    @field_validator("logs_days")
    @classmethod
    def _accepted(cls, days: int) -> int:
        if days not in LOG_RETENTION_DAYS:
            raise ValueError(
                f"CloudWatch Logs accepts {', '.join(map(str, sorted(LOG_RETENTION_DAYS)))}"
            )
        return days


class SecurityServices(Tree):
    """Account-level services; made once per account."""

    access_analyzer: bool = True
    """IAM Access Analyzer."""
    config: bool = False
    """AWS Config recorder. The bootstrap makes its service-linked role: run it once more when this
    is switched on."""
    guardduty: bool = False
    """GuardDuty detector."""
    security_hub: bool = False
    """Security Hub; needs config."""

    @model_validator(mode="after")
    def _hub_needs_config(self) -> SecurityServices:
        if self.security_hub and not self.config:
            raise ValueError("security_hub evaluates AWS Config's records: set config too")
        return self


CostCentre = Annotated[
    str,
    _matches(
        r"[\w .+=/@-]{1,64}",
        "a cost centre: letters, digits, spaces and .+=/@_-, at most 64 of them, as budgets' names "
        "have no others",
    ),
]


class Budget(Tree):
    """Monthly budgets of the stack's account, each of what bears the tag of its cost centre."""

    monthly_usd: dict[CostCentre, Annotated[int, Field(gt=0)]] = {}
    """Cost centre, the stack's own and those of projects and users -> US dollars a month."""
    emails: tuple[Email, ...] = Field(default=(), strict=False)
    """Who is told when a budget is passed."""


_PRINCIPALS_IN_TRUST = 520
"""Characters that principals may take of the 2,048 of a trust policy, which has other conditions,
too. Source: IAM user guide, "IAM and AWS STS quotas" (role trust policy length)."""
_ACCOUNT_IN_TRUST = 38


class Personas(Tree):
    """Who may assume the personas' roles, each under their own name (docs/model-lifecycle.md).

    By default identities of the hub account that carry the tag ``persona`` with its name.
    """

    platform_engineer: tuple[PrincipalPattern, ...] = Field(default=(), strict=False)
    """Reads everything and assumes the deployers."""
    ml_engineer: tuple[PrincipalPattern, ...] = Field(default=(), strict=False)
    """Approves models in the hub and manages deployments."""
    governance_officer: tuple[PrincipalPattern, ...] = Field(default=(), strict=False)
    """Reads everything, approves production."""
    studio_user: tuple[PrincipalPattern, ...] = Field(default=(), strict=False)
    """Opens the Studio profile that the identity's tag ``studio-user`` names (dev, IAM only); by
    default those whose tag ``persona`` is data-scientist or lead-data-scientist."""

    @field_validator("*")
    @classmethod
    def _fits_the_trust(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        accounts = {pattern.split(":")[4] for pattern in patterns}
        size = sum(len(pattern) + 4 for pattern in patterns) + _ACCOUNT_IN_TRUST * len(accounts)
        if size > _PRINCIPALS_IN_TRUST:
            raise ValueError(
                f"these patterns take {size} characters of a role's trust policy, which has room"
                f" for {_PRINCIPALS_IN_TRUST}; use fewer ones, with * where names differ"
            )
        return patterns


class ContinuousIntegration(Tree):
    """Who may bring this platform up: a repository's workflows by OIDC, or CodeBuild projects."""

    github_repository: Annotated[str, _matches(r"[\w.-]+/[\w.-]+", "owner/repository")] | None = (
        None
    )
    """GitHub repository, ``owner/name``."""
    preview_build_role: RoleArn | None = None
    """Role of the hub's CodeBuild projects that preview and plan, with `buildspec.yml`."""
    deploy_build_role: RoleArn | None = None
    """Role of those that apply; another one, as what shows a change cannot make it."""

    @model_validator(mode="after")
    def _two_build_roles(self) -> ContinuousIntegration:
        if self.preview_build_role and self.preview_build_role == self.deploy_build_role:
            raise ValueError(
                "preview_build_role and deploy_build_role must differ: a build of a pull request "
                "could write with the role that applies"
            )
        return self

    def build_role(self, role: str) -> str | None:
        """The CodeBuild role that may assume ``ci`` or ``ci-preview``."""
        return self.preview_build_role if role == "ci-preview" else self.deploy_build_role


VariableName = Annotated[str, _matches(r"[A-Z][A-Z0-9_]*", "capitals, digits and _, letter first")]


class Projects(Tree):
    """How projects reach their repositories, and what their builds find."""

    repository_provider: Literal["GitHub", "GitLab", "Bitbucket", "CodeCommit"] = "GitHub"
    """Who hosts them (dev, governance); CodeCommit's are made with each project."""
    token_secrets: tuple[
        Annotated[str, _matches(r"arn:aws[a-z-]*:secretsmanager:.+:secret:.+", "a secret's ARN")],
        ...,
    ] = Field(default=(), strict=False)
    """Secrets with tokens by which workflows of GitHub Actions are started (governance)."""
    github_oidc: Literal["none", "create", "existing"] = "none"
    """GitHub's OIDC provider, by which workflows sign in (dev, governance): ``create`` makes it
    unless the bootstrap did, ``existing`` takes the account's own, ``none`` allows no GitHub
    Actions."""
    people: dict[str, str] = {}
    """Login at GitHub -> name in AWS (source identity or session name), of those who approve what
    GitHub Actions release (governance)."""
    clone_url: Annotated[
        str, _matches(r"https?://\S*\{repository\}\S*", "a URL with {repository}")
    ] = "https://github.com/{repository}.git"
    """Where repositories are cloned from, ``{repository}`` being owner/name."""
    variables: dict[VariableName, str] = {}
    """Environment variables of all projects' builds: where the image keeps its interpreters."""


_RolePattern = Annotated[
    str, _matches(r"[\w+=,.@*?-]{1,64}", "a role's name, in which * and ? stand for others")
]


class Launchers(Tree):
    """Whose roles may launch: names or patterns, matched in every account that launches.

    By default the platform's own: data scientists launch projects, platform engineers administer.
    """

    sagemaker_projects: Annotated[tuple[_RolePattern, ...], Field(max_length=10)] = Field(
        default=(), strict=False
    )
    """From the portfolio of SageMaker projects."""
    ml_administration: Annotated[tuple[_RolePattern, ...], Field(max_length=10)] = Field(
        default=(), strict=False
    )
    """From the portfolio of ML administration."""


class SelfService(Tree):
    """Projects that people launch themselves (dev, governance)."""

    enabled: bool = True
    """Whether there is something to launch, and a build that vends what is launched."""
    catalogue: Literal["service-catalog", "s3"] = "service-catalog"
    """Where it is launched from: Service Catalog's portfolios, or projects' templates in a bucket
    of dev, which Studio offers without Service Catalog. The same for dev and governance."""
    shares: tuple[
        Annotated[
            str,
            _matches(
                r"\d{12}|o-[a-z0-9]{10,32}|ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}",
                "an account id, an organisation o-… or a unit ou-…",
            ),
        ],
        ...,
    ] = Field(default=(), strict=False)
    """Organisational units, or the organisation, that the portfolios are shared to with their
    launchers; an account has to accept the share and name its own. By default the organisation,
    where its management account is known; else nobody."""
    launchers: Launchers = Launchers()
    tag_options: dict[str, Annotated[tuple[str, ...], Field(min_length=1, strict=False)]] = {}
    """Tag of what is launched -> its allowed values, such as cost centres."""
    git_token_secret: Annotated[
        str, _matches(r"arn:aws[a-z-]*:secretsmanager:.+:secret:.+|", "a secret's ARN")
    ] = ""
    """Secret with the token by which the vending build fills repositories, the token alone."""

    @property
    def from_s3(self) -> bool:
        """Whether projects are launched from templates in S3."""
        return self.enabled and self.catalogue == "s3"

    @model_validator(mode="after")
    def _portfolios_have_their_catalogue(self) -> SelfService:
        given = {
            "shares": self.shares,
            "launchers": self.launchers != Launchers(),
            "tag_options": self.tag_options,
        }
        without = ", ".join(name for name, value in given.items() if value)
        if self.catalogue == "s3" and without:
            raise ValueError(
                f"{without}: portfolios have these, and with catalogue s3 there are none; leave"
                " them out"
            )
        return self


class PlatformSettings(Tree):
    """Everything a stack is made from."""

    environment: Environment
    """By default the stack's name."""
    prefix: Prefix = "mlops"
    """Starts every physical name."""
    region: Region
    """Where everything lives; one for all stacks of a platform."""
    organization: Organization
    tags: Tags
    network: Network = CreatedNetwork()
    studio: Studio = Studio()
    data_access: DataAccess = DataAccess()
    registry: Registry = Registry()
    retention: Retention = Retention()
    security_services: SecurityServices = SecurityServices()
    budget: Budget = Budget()
    personas: Personas = Personas()
    ci: ContinuousIntegration = ContinuousIntegration()
    projects: Projects = Projects()
    self_service: SelfService = SelfService()
    environments: tuple[Environment, ...] = Field(default=(), strict=False)
    """Environments that the hub serves: their principals and VPC endpoints are granted, and
    projects are deployed there. What leaves the list loses each project's endpoint with the
    project's next update. By default all that have an account."""
    policies: dict[str, Any] = {}
    """Rule of the policy pack -> its level, or its options and ``enforcementLevel``, over what
    follows from the other settings; for what is vended, the hub's. docs/policies.md lists them."""
    protect: bool = False
    """Protect and retain what holds data or is known to people; must be true for the kind prod."""
    access: Literal["deploy", "preview"] = "deploy"
    """Which of the bootstrap's roles the stack assumes: the deployer, or the read-only one."""

    @model_validator(mode="after")
    def _fits_together(self) -> PlatformSettings:
        problems: list[tuple[str, str]] = []
        if kind_of(self.environment) == "prod" and not self.protect:
            problems.append(("protect", f"must be true for {self.environment}"))
        if self.registry.sharing == "ram" and not self.organization.id:
            told = (
                "ram needs organization.id: without an organisation, each account would have to "
                "accept each share"
            )
            problems.append(("registry.sharing", told))
        to_nodes = [share for share in self.self_service.shares if share.startswith("o")]
        if to_nodes and not (self.organization.id and self.organization.management):
            told = (
                f"{', '.join(to_nodes)} cannot be shared to without organization.id and "
                "organization.management_account, by which Service Catalog knows it"
            )
            problems.append(("selfService.shares", told))
        hub_account = self.organization.accounts.get(HUB)
        for field in ("preview_build_role", "deploy_build_role"):
            arn: str | None = getattr(self.ci, field)
            if arn and arn.split(":")[4] != hub_account:
                problems.append((f"ci.{field}", f"must be of the hub's account {hub_account}"))
            if arn and arn.rpartition("/")[2].startswith(f"{self.prefix}-"):
                told = (
                    f"must not begin with {self.prefix}-: roles of such names are made by "
                    "deployers, who could give themselves this one"
                )
                problems.append((f"ci.{field}", told))
        if HUB in self.environments:
            problems.append(("environments", "lists what the hub serves, without governance"))
        lacking = {self.environment, *self.environments} - set(self.organization.accounts)
        if lacking:
            problems.append(("organization.accounts", f"lacks {', '.join(in_order(lacking))}"))
        if isinstance(self.network, CreatedNetwork):
            network = self.network
            least = FREE_ADDRESSES + len(self.endpoint_services)
            if network.addresses < least:
                told = (
                    f"{network.cidr} in {network.zones} zones"
                    f"{'' if network.nat is NatStrategy.NONE else ' with NAT'} leaves "
                    f"{network.addresses} addresses in a private subnet, and {least} are needed: "
                    "give a larger block, fewer zones or no NAT"
                )
                problems.append(("network.cidr", told))
        if told := self._organizations_out_of_reach():
            problems.append(("organization.account_factory_role_arn", told))
        if self.environment not in lacking:
            # The longest suffixes in use: a prefix that is too long must fail here, not midway.
            try:
                self.names.bucket("access-logs")
                if self.environment == HUB:
                    self.names.bucket("pulumi-state")
                if self.environment == "dev":
                    self.names.role("lead-data-scientist-pipeline-execution")
            except NameTooLongError as error:
                problems.append(("prefix", str(error)))
        if problems:
            raise _NotTogetherError(problems)
        return self

    def _organizations_out_of_reach(self) -> str:
        """Why the hub's vending build cannot ask AWS Organizations; empty when it can, or might.

        Source: AWS Organizations user guide, "Creating a VPC endpoint for AWS Organizations".
        """
        wanted = self.environment == HUB and self.organization.account_factory_role_arn
        if not wanted or not isinstance(self.network, CreatedNetwork):
            return ""
        network = self.network
        here = self.region == ORGANIZATIONS_REGIONS[partition_of(self.region)]
        by_endpoint = here and "organizations" in (network.endpoints or ())
        if by_endpoint or network.nat is not NatStrategy.NONE:
            return ""
        way = (
            "name organizations among network.endpoints, or give the hub a way out by network.nat"
            if here
            else "AWS has endpoints of it in one other region only: give the hub a way out by"
            " network.nat, or an existing network that has one"
        )
        return f"the hub's network does not reach AWS Organizations; {way}"

    @property
    def endpoint_services(self) -> tuple[str, ...]:
        """The interface endpoint services that the network has or gets."""
        return self.network.endpoints or services_for(self.environment)

    @property
    def accounts(self) -> dict[str, str]:
        """Environment -> account id, in the order in which they come up."""
        accounts = self.organization.accounts
        return {env: accounts[env] for env in in_order(accounts)}

    @property
    def served(self) -> tuple[str, ...]:
        """The environments that the hub serves, in order."""
        return tuple(env for env in in_order(self.environments or self.accounts) if env != HUB)

    @property
    def targets(self) -> tuple[str, ...]:
        """The environments that versions are deployed to from the hub, in the order of the way."""
        return tuple(env for env in self.accounts if kind_of(env) in TARGET_KINDS)

    @property
    def account_id(self) -> str:
        """This environment's account."""
        return self.organization.accounts[self.environment]

    @property
    def names(self) -> Names:
        """This environment's physical names."""
        return Names(self.prefix, self.environment, self.region, self.account_id)

    @property
    def owns_account(self) -> bool:
        """Whether this environment makes the account-level singletons of its account.

        That is the first of those that share the account, in the order in which they come up.
        """
        sharing = [env for env, account in self.accounts.items() if account == self.account_id]
        return sharing[0] == self.environment

    @property
    def makes_github_provider(self) -> bool:
        """Whether this stack makes GitHub's OIDC provider: an account has one for all.

        In the hub's account the bootstrap makes it for the platform's own CI; of dev and the hub in
        one account, the one that comes up first.
        """
        if self.projects.github_oidc != "create":
            return False
        bootstrapped = (
            bool(self.ci.github_repository) and self.account_id == self.accounts["governance"]
        )
        users = [env for env in ("dev", "governance") if self.accounts[env] == self.account_id]
        return not bootstrapped and users[:1] == [self.environment]

    def placement(self) -> Placement:
        """What components are told of where they live."""
        placement = Placement(
            prefix=self.prefix,
            environment=self.environment,
            region=self.region,
            account_id=self.account_id,
            accounts=self.accounts,
            protect=self.protect,
        )
        if self.organization.id:
            placement["organization_id"] = self.organization.id
        return placement


def keys() -> dict[str, str]:
    """Field name -> the key in the stack file: ``data_access`` is ``mlops:dataAccess``."""
    return {
        name: f"{PROJECT}:" + re.sub(r"_(\w)", lambda match: match[1].upper(), name)
        for name in PlatformSettings.model_fields
    }


def parse(
    stack: str, values: Mapping[str, Any], unreadable: Mapping[str, str] | None = None
) -> PlatformSettings:
    """Settings from field name -> plain value.

    Args:
        stack: Its name, by default also the environment's.
        values: The settings.
        unreadable: Key -> what was wrong with it before it had a value.

    Raises:
        SettingsError: with every problem found, not only the first.
    """
    given = {"environment": stack, **values}
    problems = dict(unreadable or {})
    try:
        settings = PlatformSettings.model_validate(given)
    except ValidationError as error:
        for where, told in _explain(error):
            problems.setdefault(where, told)
        _look_further(given, error, problems)
    else:
        if not problems:
            return settings
    raise SettingsError(stack, [f"{where}: {told}" for where, told in problems.items()])


def _look_further(
    given: Mapping[str, Any], error: ValidationError, problems: dict[str, str]
) -> None:
    """Add the problems between settings, which pydantic looks for only where each is right.

    What is wrong by itself is taken away for that; that it is not there then is no problem.
    """
    rest: dict[str, Any] = copy.deepcopy(dict(given))
    told_of_accounts = any(where.startswith(f"{_ACCOUNTS}.") for where in problems)
    while True:
        before = copy.deepcopy(rest)
        for problem in error.errors():
            _remove(rest, _path(problem["loc"]))
        # In place of what a stack must have, only to get as far as the checks between settings.
        rest = {"region": _regions()[0], **rest}
        rest["tags"] = {"owner": "any", "cost_centre": "any", **rest.get("tags", {})}
        if rest == before:
            return
        try:
            PlatformSettings.model_validate(rest)
        except ValidationError as more:
            error = more
        else:
            return
        for problem in error.errors():
            for where, told in _explained(problem):
                missing = problem["type"] == "missing" or (
                    told_of_accounts and where in (_ACCOUNTS, _ACCOUNTS.rpartition(".")[0])
                )
                if not missing:
                    problems.setdefault(where, told)


def _remove(tree: Any, path: Sequence[int | str]) -> None:
    for part in path[:-1]:
        if not isinstance(tree, dict) or part not in tree:
            return
        tree = cast("dict[int | str, Any]", tree)[part]
    if path and isinstance(tree, dict):
        cast("dict[int | str, Any]", tree).pop(path[-1], None)


def _path(location: Sequence[int | str]) -> list[int | str]:
    """Where a setting is, without the kind of network that pydantic counts as a step."""
    return [part for part in location if part not in ("create", "existing")]


def _key(path: Sequence[int | str]) -> str:
    if not path:
        return PROJECT
    first, *rest = map(str, path)
    return ".".join([keys().get(first, f"{PROJECT}:{first}"), *rest])


def _explain(error: ValidationError) -> list[tuple[str, str]]:
    """Key and problem, for all that an error holds."""
    return [found for problem in error.errors() for found in _explained(problem)]


def _explained(problem: Any) -> Iterator[tuple[str, str]]:
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, _NotTogetherError):
        for where, told in cause.problems:
            yield _key(where.split(".")), told
        return
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "is not a known setting; see the schema in Pulumi.yaml and docs/settings.md"
    elif problem["type"] == "missing":
        message = "is required"
    untold = ("missing", "extra_forbidden")
    shown = "" if problem["type"] in untold else _shown(problem.get("input"))
    yield _key(_path(problem["loc"])), f"{message}{shown}"


def _shown(value: Any) -> str:
    if isinstance(value, (Tree, Mapping)) and len(str(value)) > 60:
        return ""
    text = json.dumps(value, default=str)
    return f" (found {text if len(text) <= 60 else text[:57] + '...'})"


def load(config: pulumi.Config, stack: str) -> PlatformSettings:
    """Settings of the running stack.

    Raises:
        SettingsError: as :func:`parse`; also for a key that is not known and for a value that is
            not valid JSON.
    """
    values: dict[str, Any] = {}
    # What was set explicitly, as for an inline program, and what the engine hands to a process.
    handed = {*runtime_config.CONFIG.get(), *runtime_config.get_config_env()}
    problems = _not_known(handed)
    for field, key in keys().items():
        text = config.get(key.partition(":")[2])
        if not text:
            continue
        try:
            values[field] = _decode(field, text)
        except json.JSONDecodeError as error:
            problems[key] = f"{_NO_JSON}: {error}"
    if os.environ.get(ACCESS_VARIABLE):
        values["access"] = os.environ[ACCESS_VARIABLE]
    return parse(stack, values, problems)


def _not_known(given: Iterable[str]) -> dict[str, str]:
    """Key of the platform's namespace that is no setting -> what to say of it."""
    names = [key.partition(":")[2] for key in keys().values()]
    found: dict[str, str] = {}
    for key in sorted(set(given) - set(keys().values())):
        namespace, _, name = key.partition(":")
        if namespace == PROJECT:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
            told = f", did you mean {PROJECT}:{near[0]}?" if near else "; see docs/settings.md"
            found[key] = f"is not a known setting{told}"
    return found


_ACCOUNTS = f"{PROJECT}:organization.accounts"
_NO_JSON = "expected an object, could not read it as JSON"
_TEXTS = frozenset({"environment", "prefix", "region", "access"})


def _decode(field: str, text: str) -> Any:
    """The engine hands texts as they are and everything else as JSON."""
    return text if field in _TEXTS else json.loads(text)


# Ten times as fast, where PyYAML was built with libyaml.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(file: Path) -> Any:
    """What a YAML file says.

    Raises:
        OSError: It cannot be read.
        yaml.YAMLError: It is no YAML.
    """
    return yaml.load(file.read_text("utf-8"), _LOADER)  # noqa: S506 (both are safe loaders)


def stack_file(project_dir: Path, stack: str) -> Path:
    """The file with a stack's settings."""
    return project_dir / f"Pulumi.{stack}.yaml"


def stack_names(project_dir: Path) -> tuple[str, ...]:
    """A platform's stacks in order: those that every platform has, and the others with a file."""
    names = (
        path.name.split(".")[1] for path in project_dir.glob(stack_file(project_dir, "*").name)
    )
    return in_order([*ENVIRONMENTS, *filter(is_environment, names)])


def load_stack(project_dir: Path, stack: str) -> PlatformSettings:
    """Settings of a stack from its files, without the engine.

    Raises:
        SettingsError: as :func:`parse`; also when the stack file is missing or has unknown keys.
    """
    project = read_yaml(project_dir / "Pulumi.yaml")
    path = stack_file(project_dir, stack)
    if not path.exists():
        raise SettingsError(stack, [f"there is no file {path.name}"])
    merged: dict[str, Any] = {
        key: schema["default"]
        for key, schema in project.get("config", {}).items()
        if "default" in schema
    }
    merged |= (read_yaml(path) or {}).get("config", {})
    by_key = {key: name for name, key in keys().items()}
    own = {key: value for key, value in merged.items() if key.startswith(f"{PROJECT}:")}
    values: dict[str, Any] = {}
    problems = _not_known(own)
    for key, value in own.items():
        if value == "" or key in problems:
            continue
        # The CLI writes truth values as texts when it rewrites a stack file.
        try:
            values[by_key[key]] = _decode(by_key[key], value) if isinstance(value, str) else value
        except json.JSONDecodeError as error:
            problems[key] = f"{_NO_JSON}: {error}"
    return parse(stack, values, problems)


def unbudgeted(stacks: Iterable[PlatformSettings], cost_centre: str) -> tuple[str, ...]:
    """The environments whose account keeps budgets, but none of a cost centre.

    A budget counts what its whole account spends, so any stack of the account may have it.

    Args:
        stacks: All of the platform.
        cost_centre: What resources are tagged with.
    """
    known = list(stacks)
    kept: dict[str, set[str]] = {}
    for settings in known:
        kept.setdefault(settings.account_id, set()).update(settings.budget.monthly_usd)
    return tuple(
        settings.environment
        for settings in known
        if kept[settings.account_id] and cost_centre not in kept[settings.account_id]
    )


def check_together(stacks: Sequence[PlatformSettings]) -> None:
    """What must hold between stacks: one organisation, prefix and region, and separate networks.

    Where an account keeps budgets, its stacks' own cost centres must have one: a budget of another
    spelling would count nothing.

    Stacks name each other's resources by prefix, account and region (:meth:`Names.at`), so all
    three must be the same to each of them.

    Raises:
        SettingsError: naming both stacks.
    """
    problems: list[str] = []
    first = stacks[0]
    for other in stacks[1:]:
        for field in ("prefix", "organization"):
            if getattr(first, field) != getattr(other, field):
                problems.append(
                    f"{keys()[field]}: {first.environment} and {other.environment} differ; "
                    "set it once, in Pulumi.yaml"
                )
        if first.region != other.region:
            problems.append(
                f"{keys()['region']}: {first.environment} ({first.region}) and "
                f"{other.environment} ({other.region}) differ; a platform lives in one region: "
                "give both the same one, or another region a platform with a prefix of its own"
            )
    owners = {s.account_id: s for s in stacks if s.owns_account}
    for guest in stacks:
        owner = owners.get(guest.account_id, guest)
        asked = guest.security_services
        dropped = [
            name
            for name in sorted(asked.model_fields_set)
            if getattr(asked, name) and not getattr(owner.security_services, name)
        ]
        if dropped:
            problems.append(
                f"{keys()['security_services']}: {guest.environment} asks for "
                f"{', '.join(dropped)}, and shares the account of {owner.environment}, whose stack "
                "makes an account's services: ask for them there"
            )
    problems += [
        f"{keys()['budget']}.monthly_usd: {stack.environment} has no budget of its own cost "
        f"centre, {stack.tags.cost_centre} ({keys()['tags']}.cost_centre): add it"
        for stack in stacks
        if stack.environment in unbudgeted(stacks, stack.tags.cost_centre)
    ]
    created = [s for s in stacks if isinstance(s.network, CreatedNetwork)]
    for index, one in enumerate(created):
        for two in created[index + 1 :]:
            blocks = [
                ipaddress.IPv4Network(s.network.cidr)
                for s in (one, two)
                if isinstance(s.network, CreatedNetwork)
            ]
            if blocks[0].overlaps(blocks[1]):
                problems.append(
                    f"mlops:network.cidr: {one.environment} ({blocks[0]}) and "
                    f"{two.environment} ({blocks[1]}) overlap; they could never be connected"
                )
    if problems:
        raise SettingsError("/".join(s.environment for s in stacks), problems)


def check_platform(project_dir: Path, stacks: Iterable[PlatformSettings]) -> None:
    """:func:`check_together`, with the platform's other stacks as their files have them.

    A stack that is brought up alone has to fit those that stand as well. What is wrong in
    another's own file is told where that stack is used.

    Args:
        project_dir: The platform's folder.
        stacks: The stacks.

    Raises:
        SettingsError: as :func:`check_together`.
    """
    together = {stack.environment: stack for stack in stacks}
    for name in stack_names(project_dir):
        if name not in together:
            with contextlib.suppress(SettingsError):
                together[name] = load_stack(project_dir, name)
    check_together([together[name] for name in in_order(together)])
