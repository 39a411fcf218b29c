"""The platform's settings: one typed, validated tree per stack.

The only reader of Pulumi configuration. Values come from ``Pulumi.<stack>.yaml`` with project-wide
defaults in ``Pulumi.yaml``; every error of a stack is reported at once, each with its key, what was
found and what is allowed. Components never see this tree: ``__main__`` hands them what they need.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pulumi
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

from components.naming import ENVIRONMENTS, Names, NameTooLongError, Placement

ACCESS_VARIABLE = "MLOPS_ACCESS"
"""Environment variable that overrides ``mlops:access`` for one command: a preview in a pull request
assumes the read-only roles without a change to any file."""

PROJECT = "mlops"
"""The Pulumi project's name and so the namespace of every key."""

Environment = Literal["dev", "preprod", "prod", "governance"]


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


class Tree(BaseModel):
    """Base of every settings object: frozen, no unknown keys, no silent conversions of type."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


def _matches(pattern: str, meaning: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {meaning}")
        return value

    return AfterValidator(check)


AccountId = Annotated[str, _matches(r"\d{12}", "an AWS account id, 12 digits in quotes")]
OrganizationId = Annotated[str, _matches(r"o-[a-z0-9]{10,32}", "an organisation id, o-xxxxxxxxxx")]
Region = Annotated[str, _matches(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region such as eu-west-1")]
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
    """One id for each environment; ids may be equal."""
    id: OrganizationId | None = None
    """AWS Organizations id; without one, policies list the accounts instead."""

    @model_validator(mode="after")
    def _complete(self) -> Organization:
        missing = [env for env in ENVIRONMENTS if env not in self.accounts]
        if missing:
            raise ValueError(f"accounts lacks {', '.join(missing)}: give an account id for each")
        return self


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
    endpoints: tuple[str, ...] | None = Field(default=None, strict=False)
    """Interface endpoint services, instead of the defaults of the environment."""

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


class ExistingNetwork(Tree):
    """A VPC that the company already has; checked by the preflight before anything is made."""

    mode: Literal["existing"]
    """The VPC is the company's."""
    vpc_id: VpcId
    """The VPC."""
    private_subnet_ids: Annotated[tuple[SubnetId, ...], Field(min_length=2, strict=False)]
    """At least two subnets in different zones; jobs, Studio and endpoints run there."""
    security_group_ids: Annotated[tuple[SecurityGroupId, ...], Field(min_length=1, strict=False)]
    """Workload security groups."""
    route_table_ids: tuple[RouteTableId, ...] = Field(default=(), strict=False)
    """Where gateway endpoints are attached when the platform makes them."""
    endpoint_ids: dict[str, EndpointId] = {}
    """Service -> existing endpoint; must hold s3 and kms unless create_endpoints is set."""
    create_endpoints: bool = False
    """Whether the platform adds the endpoints that are missing."""
    endpoints: tuple[str, ...] | None = Field(default=None, strict=False)
    """Interface endpoint services needed, instead of the defaults of the environment."""

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
    """AWS Config recorder."""
    guardduty: bool = False
    """GuardDuty detector."""
    security_hub: bool = False
    """Security Hub; needs config."""

    @model_validator(mode="after")
    def _hub_needs_config(self) -> SecurityServices:
        if self.security_hub and not self.config:
            raise ValueError("security_hub evaluates AWS Config's records: set config too")
        return self


class Budget(Tree):
    """Monthly budgets."""

    monthly_usd: dict[str, Annotated[int, Field(gt=0)]] = {}
    """Cost centre -> US dollars a month."""
    emails: tuple[Email, ...] = Field(default=(), strict=False)
    """Who is told when a budget is passed."""


class Personas(Tree):
    """Who may assume the personas' roles.

    By default identities of the hub account that carry the tag ``persona`` with its name.
    """

    platform_engineer: tuple[PrincipalPattern, ...] = Field(default=(), strict=False)
    """Reads everything and assumes the deployers."""
    ml_engineer: tuple[PrincipalPattern, ...] = Field(default=(), strict=False)
    """Approves models in the hub and manages deployments."""
    governance_officer: tuple[PrincipalPattern, ...] = Field(default=(), strict=False)
    """Reads everything, approves production."""


class ContinuousIntegration(Tree):
    """The repository whose workflows may bring this platform up, by OIDC."""

    github_repository: Annotated[str, _matches(r"[\w.-]+/[\w.-]+", "owner/repository")] | None = (
        None
    )
    """GitHub repository, ``owner/name``."""


class PlatformSettings(Tree):
    """Everything a stack is made from."""

    environment: Environment
    """By default the stack's name."""
    prefix: Prefix = "mlops"
    """Starts every physical name."""
    region: Region
    """Where everything lives."""
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
    environments: tuple[Environment, ...] = Field(default=("dev", "preprod", "prod"), strict=False)
    """Environments that the hub serves: their principals and VPC endpoints are granted."""
    protect: bool = False
    """Protect and retain what holds data or is known to people; must be true for prod."""
    access: Literal["deploy", "preview"] = "deploy"
    """Which of the bootstrap's roles the stack assumes: the deployer, or the read-only one."""

    @model_validator(mode="after")
    def _prod_is_protected(self) -> PlatformSettings:
        if self.environment == "prod" and not self.protect:
            raise ValueError("protect must be true for prod")
        if "governance" in self.environments:
            raise ValueError("environments lists what the hub serves, without governance")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> PlatformSettings:
        # The longest suffixes in use: a prefix that is too long must fail here, not midway.
        names = self.names
        try:
            names.bucket("access-logs")
            if self.environment == "governance":
                names.bucket("pulumi-state")
            names.role("lead-data-scientist-execution")
        except NameTooLongError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def accounts(self) -> dict[str, str]:
        """Environment -> account id."""
        return {env: self.organization.accounts[env] for env in ENVIRONMENTS}

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
        sharing = [env for env in ENVIRONMENTS if self.accounts[env] == self.account_id]
        return sharing[0] == self.environment

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


def parse(stack: str, values: Mapping[str, Any]) -> PlatformSettings:
    """Settings from field name -> plain value.

    Raises:
        SettingsError: with every problem found, not only the first.
    """
    try:
        return PlatformSettings.model_validate({"environment": stack, **values})
    except ValidationError as error:
        raise SettingsError(stack, [_explain(problem) for problem in error.errors()]) from None


def _explain(problem: Any) -> str:
    location = [str(part) for part in problem["loc"] if part not in ("create", "existing")]
    names = keys()
    if not location:
        where = "mlops"
    else:
        where = ".".join([names.get(location[0], f"{PROJECT}:{location[0]}"), *location[1:]])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "is not a known setting; see the schema in Pulumi.yaml and docs/settings.md"
    elif problem["type"] == "missing":
        message = "is required"
    found = problem.get("input")
    shown = "" if problem["type"] in ("missing", "extra_forbidden") else _shown(found)
    return f"{where}: {message}{shown}"


def _shown(value: Any) -> str:
    if isinstance(value, (Tree, Mapping)) and len(str(value)) > 60:
        return ""
    text = json.dumps(value, default=str)
    return f" (found {text if len(text) <= 60 else text[:57] + '...'})"


def load(config: pulumi.Config, stack: str) -> PlatformSettings:
    """Settings of the running stack.

    Raises:
        SettingsError: as :func:`parse`; also for a value that is not valid JSON.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field, key in keys().items():
        text = config.get(key.partition(":")[2])
        if not text:
            continue
        try:
            values[field] = _decode(field, text)
        except json.JSONDecodeError as error:
            problems.append(f"{key}: expected an object, could not read it as JSON: {error}")
    if problems:
        raise SettingsError(stack, problems)
    if os.environ.get(ACCESS_VARIABLE):
        values["access"] = os.environ[ACCESS_VARIABLE]
    return parse(stack, values)


_TEXTS = frozenset({"environment", "prefix", "region", "access"})


def _decode(field: str, text: str) -> Any:
    """The engine hands texts as they are and everything else as JSON."""
    return text if field in _TEXTS else json.loads(text)


def load_stack(project_dir: Path, stack: str) -> PlatformSettings:
    """Settings of a stack from its files, without the engine.

    Raises:
        SettingsError: as :func:`parse`; also when the stack file is missing or has unknown keys.
    """
    project = yaml.safe_load((project_dir / "Pulumi.yaml").read_text())
    path = project_dir / f"Pulumi.{stack}.yaml"
    if not path.exists():
        raise SettingsError(stack, [f"there is no file {path.name}"])
    merged: dict[str, Any] = {
        key: schema["default"]
        for key, schema in project.get("config", {}).items()
        if "default" in schema
    }
    merged |= (yaml.safe_load(path.read_text()) or {}).get("config", {})
    by_key = {key: name for name, key in keys().items()}
    own = {key: value for key, value in merged.items() if key.startswith(f"{PROJECT}:")}
    unknown = [
        f"{key}: is not a known setting; see the schema in Pulumi.yaml"
        for key in own
        if key not in by_key
    ]
    if unknown:
        raise SettingsError(stack, unknown)
    values: dict[str, Any] = {}
    for key, value in own.items():
        if value != "":
            # The CLI writes truth values as texts when it rewrites a stack file.
            values[by_key[key]] = _decode(by_key[key], value) if isinstance(value, str) else value
    return parse(stack, values)


def check_together(stacks: Sequence[PlatformSettings]) -> None:
    """What must hold between stacks: one organisation, one prefix, networks that do not overlap.

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
