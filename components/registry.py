"""The model registry: package groups, artifact bucket, image repositories, and who may read them.

In dev, groups and artifacts are the team's, and the hub's promotion role may read them. In the hub
they are the company's, and the environments' roles may read them, each only through its own VPC
endpoint. Nobody outside the hub may change an approval there. An environment that is taken from the
settings loses its principals and its endpoint with the next update, because every document is made
from the settings and never added to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.baseline_policies import CRYPTOGRAPHY, key_statements
from components.contract import publish
from components.images import PULL, make_repository
from components.naming import Names, Placement
from components.personas import JOB_TAG
from components.storage import BucketSpec, make_bucket, only_endpoints, only_key

# Listing a group's versions is granted on both: AWS's own examples name either as its resource.
READ_GROUP = ["sagemaker:DescribeModelPackageGroup", "sagemaker:ListModelPackages"]
READ_VERSIONS = ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"]

Sharing = Literal["policy", "ram"]
"""How the hub's groups are shared with the environments' accounts: by a policy of each group, which
names the roles, or by AWS RAM, which names the accounts and makes the groups discoverable there."""

SHARED_FOR = "AWSRAMPermissionSageMakerModelPackageGroupAllowDeploy"
"""AWS's managed permission of shared groups, for accounts that deploy their versions. Its actions,
which ``aws ram get-permission`` shows, are AWS's: what a role does, its own policies say too."""

CODE_MARK = 16
"""Characters of the hash that a folder with code of pipelines is called by."""

MODEL_ROLES = "model-execution*"
"""Roles of deployed models: the environment's own, for those of groups that the settings name, and
the projects', which are vended later and whose names begin alike. Only deployers make roles of such
names."""


class EnvironmentAccess(TypedDict):
    """What the hub knows of an environment that it serves."""

    s3_endpoint_id: Input[str]
    """The environment's S3 endpoint."""
    kms_endpoint_id: Input[str]
    """The environment's KMS endpoint."""


def _of(
    placement: Placement, environments: Sequence[str], role: str
) -> tuple[list[str], list[str]]:
    """Account principals and role ARNs of a role in environments, each once."""
    names = [Names.at(placement, environment) for environment in environments]
    roots = sorted({name.root_arn for name in names})
    return roots, sorted({name.role_arn(role) for name in names})


def reader_statement(
    placement: Placement,
    environments: Sequence[str],
    *,
    sid: str,
    role: str,
    actions: Sequence[str],
    resources: Sequence[str],
) -> list[iam.Statement]:
    """A role of each environment may do this; no statement when there is no environment.

    The account is the principal and the role a condition: AWS refuses roles that do not exist yet,
    and replaces those that were deleted by ids that nothing matches.
    """
    roots, roles = _of(placement, environments, role)
    if not roots:
        return []
    return [
        iam.Statement(
            sid=sid,
            principals={"AWS": roots},
            actions=actions,
            resources=resources,
            conditions={"ArnEquals": {"aws:PrincipalArn": roles}},
        )
    ]


def models_key_statements(
    placement: Placement, environments: Mapping[str, EnvironmentAccess], own_endpoint: Input[str]
) -> list[iam.Statement]:
    """The models key beside its account's own use.

    Readers of other accounts decrypt, and everybody only through KMS endpoints or a service. In the
    hub the readers are the environments' model-execution roles, in dev the hub's promotion.
    Deployer and preview, which run outside the networks, may describe the key, or no update could
    read its state; they use it for nothing.
    """
    in_hub = placement["environment"] == "governance"
    names = Names.at(placement)
    outside = {
        "StringNotEquals": {
            "aws:sourceVpce": iam.distinct(
                [own_endpoint, *(access["kms_endpoint_id"] for access in environments.values())]
            )
        },
        **iam.NO_SERVICE,
    }
    operators = {
        "ArnNotEquals": {
            "aws:PrincipalArn": [names.role_arn("deployer"), names.role_arn("preview")]
        }
    }
    using = [action for action in CRYPTOGRAPHY if action != "kms:DescribeKey"]
    return [
        *reader_statement(
            placement,
            list(environments) if in_hub else ["governance"],
            sid="AllowCrossAccount",
            role=MODEL_ROLES if in_hub else "promotion",
            actions=["kms:Decrypt", "kms:DescribeKey"],
            resources=["*"],
        ),
        iam.Statement(
            sid="DenyNoVPC",
            effect="Deny",
            principals="*",
            actions=using,
            resources=["*"],
            conditions=outside,
        ),
        iam.Statement(
            sid="DenyDescribeNoVPC",
            effect="Deny",
            principals="*",
            actions=["kms:DescribeKey"],
            resources=["*"],
            conditions=iam.merged(outside, operators),
        ),
    ]


def group_statements(
    names: Names,
    placement: Placement,
    group: str,
    environments: Sequence[str],
    deployer: str = "deployer",
) -> list[iam.Statement]:
    """A group's policy: reading for other accounts' roles, approval for nobody from outside.

    In dev the reader is the hub's promotion role, in the hub the environments' model-execution
    roles and what deploys there.

    Args:
        names: Whose group.
        placement: Where.
        group: Its name.
        environments: Which ones read it in the hub.
        deployer: Role that deploys its versions in an environment.
    """
    of_group = [names.arn("sagemaker", f"model-package-group/{group}")]
    of_versions = [names.arn("sagemaker", f"model-package/{group}/*")]
    if names.environment == "governance":
        readers = [
            ("Deployers", deployer, environments),
            ("Models", MODEL_ROLES, environments),
        ]
    else:
        readers = [("Promotion", "promotion", ["governance"])]
    return [
        statement
        for who, role, where in readers
        for sid, actions, resources in (
            (f"{who}ReadGroup", READ_GROUP, of_group),
            (
                f"{who}ReadVersions",
                [*READ_VERSIONS, *(["sagemaker:CreateModel"] if who == "Deployers" else [])],
                of_versions,
            ),
        )
        for statement in reader_statement(
            placement, where, sid=sid, role=role, actions=actions, resources=resources
        )
    ]


class Readers(TypedDict):
    """Who reads a group from other accounts, and how they get to."""

    environments: Sequence[str]
    """Which environments, for a group of the hub; dev's is read by the hub's promotion."""
    deployer: str
    """Role that deploys its versions in an environment."""
    sharing: Sharing
    """How, in the hub; dev's groups are for one role of the hub, and always by policy."""


def share_group(
    name: str,
    group: aws.sagemaker.ModelPackageGroup,
    known_as: str,
    names: Names,
    placement: Placement,
    readers: Readers,
    *,
    opts: ResourceOptions,
    kept: ResourceOptions,
) -> None:
    """Lets other accounts read a group, in one of two ways and never in both.

    A policy that names roles can be neither promoted to a share nor discovered (SageMaker developer
    guide, "Promote the permission and resource share"). A share names accounts: in each, those may
    read whose own policies say so. It stays within the organisation.

    Args:
        name: What its resources are called in the stack.
        group: The group.
        known_as: Its name.
        names: Whose group it is: the hub's, or dev's.
        placement: Where the stack lives.
        readers: Who reads it.
        opts: For a share, which would be made anew beside one that was left.
        kept: For a policy.
    """
    environments = readers["environments"]
    if readers["sharing"] == "policy" or names.environment != "governance":
        statements = group_statements(
            names, placement, known_as, environments, deployer=readers["deployer"]
        )
        if statements:
            aws.sagemaker.ModelPackageGroupPolicy(
                name,
                model_package_group_name=group.model_package_group_name,
                resource_policy=iam.render(statements),
                opts=kept,
            )
        return
    accounts = {Names.at(placement, environment).account_id for environment in environments}
    others = sorted(accounts - {names.account_id})
    if not others:
        return
    share = aws.ram.ResourceShare(
        name,
        name=known_as,
        allow_external_principals=False,
        permission_arns=[f"arn:{names.partition}:ram::aws:permission/{SHARED_FOR}"],
        opts=opts,
    )
    aws.ram.ResourceAssociation(
        name, resource_share_arn=share.arn, resource_arn=group.arn, opts=opts
    )
    for account in others:
        aws.ram.PrincipalAssociation(
            f"{name}-{account}", resource_share_arn=share.arn, principal=account, opts=opts
        )


def bucket_statements(
    placement: Placement,
    environments: Mapping[str, EnvironmentAccess],
    own_endpoint: Input[str],
    key_arn: Input[str],
) -> list[iam.Statement]:
    """The artifact bucket's policy beside the TLS rule.

    Promotion writes in the hub and reads in dev from the hub's own network, whose endpoint dev does
    not know: its tag is exempt.
    """
    names, promotion = Names.at(placement), Names.at(placement, "governance").role("promotion")
    arn = names.bucket_arn("models")
    in_hub = placement["environment"] == "governance"
    readers = list(environments) if in_hub else ["governance"]
    exempt = [promotion] if in_hub else [names.role(JOB_TAG), promotion]
    endpoints: list[Input[str]] = [
        own_endpoint,
        *(access["s3_endpoint_id"] for access in environments.values()),
    ]
    return [
        *reader_statement(
            placement,
            readers,
            sid="AllowCrossAccount",
            role=MODEL_ROLES if in_hub else "promotion",
            actions=["s3:GetObject", "s3:ListBucket"],
            resources=[arn, f"{arn}/*"],
        ),
        *only_endpoints(names, "models", endpoints, exempt, acl=True),
        *only_key(arn, key_arn),
        *([] if in_hub else [_only_new_code(arn)]),
    ]


def _only_new_code(arn: str) -> iam.Statement:
    """In dev: code of pipelines, whose folder is called by its hash, is put there once.

    Whoever could put other code there would have it run by a project's own jobs. Source: S3 user
    guide, "Enforce conditional writes on Amazon S3 buckets".
    """
    return iam.Statement(
        sid="DenyOtherCode",
        effect="Deny",
        principals="*",
        actions=["s3:PutObject"],
        resources=[f"{arn}/*/code/{'?' * CODE_MARK}/*"],
        conditions={"Null": {"s3:if-none-match": "true"}},
    )


class ModelRegistryArgs(TypedDict):
    """Inputs of :class:`ModelRegistry`."""

    placement: Placement
    """Where it lives: the hub or dev."""
    model_package_groups: Sequence[str]
    """What the groups are called; their names carry prefix and environment."""
    image_repositories: Sequence[str]
    """Names of the image repositories; made in the hub only."""
    sharing: Sharing
    """How the hub's groups are shared."""
    environments: Mapping[str, EnvironmentAccess]
    """The environments that the hub serves; empty in dev."""
    s3_endpoint_id: Input[str]
    """The own network's S3 endpoint."""
    kms_endpoint_id: Input[str]
    """The own network's KMS endpoint."""
    key_deletion_days: int
    """Waiting period of the key's deletion, 7 to 30 days."""
    access_log_bucket: Input[str]
    """Where access to the bucket is logged."""


def pull_statements(
    placement: Placement, environments: Sequence[str], role: str = MODEL_ROLES
) -> list[iam.Statement]:
    """An image repository's policy in the hub: the environments' models may pull.

    Args:
        placement: The hub's.
        environments: Whose.
        role: Which of their roles: all models', or those of one project.
    """
    return reader_statement(
        placement,
        environments,
        sid="AllowCrossAccountPull",
        role=role,
        actions=PULL,
        # A repository's policy names no resource: it is the repository.
        resources=(),
    )


class ModelRegistry(pulumi.ComponentResource):
    """Package groups, artifact bucket and image repositories of the hub or of dev."""

    models_key_arn: Output[str]
    """Key of artifacts and images."""
    models_bucket: Output[str]
    group_arns: dict[str, Output[str]]
    """Group -> ARN."""
    repository_urls: dict[str, Output[str]]
    """Repository -> URL."""

    def __init__(
        self, name: str, args: ModelRegistryArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:ModelRegistry", name, dict(args), opts)
        self._name, self._args = name, args
        self._placement = args["placement"]
        self._names = Names.at(self._placement)
        self._kept = self._placement["protect"]
        self._key()
        self._bucket()
        self._groups()
        self._repositories()
        self._parameters()
        self.register_outputs(
            {
                "models_key_arn": self.models_key_arn,
                "models_bucket": self.models_bucket,
                "group_arns": self.group_arns,
                "repository_urls": self.repository_urls,
            }
        )

    def _child(self, *, kept: bool = False) -> ResourceOptions:
        protect = kept and self._kept
        return ResourceOptions(parent=self, protect=protect, retain_on_delete=protect)

    def _key(self) -> None:
        key = aws.kms.Key(
            f"{self._name}-models",
            description=f"{self._names.prefix} {self._names.environment}: models",
            enable_key_rotation=True,
            deletion_window_in_days=self._args["key_deletion_days"],
            policy=iam.render(
                [
                    *key_statements(self._names, "models"),
                    *models_key_statements(
                        self._placement, self._args["environments"], self._args["kms_endpoint_id"]
                    ),
                ]
            ),
            opts=self._child(kept=True),
        )
        aws.kms.Alias(
            f"{self._name}-models",
            name=self._names.alias("models"),
            target_key_id=key.key_id,
            opts=self._child(),
        )
        self.models_key_arn = key.arn

    def _bucket(self) -> None:
        args = self._args
        bucket, _ = make_bucket(
            f"{self._name}-models",
            BucketSpec(
                name=self._names.bucket("models"),
                arn=self._names.bucket_arn("models"),
                statements=bucket_statements(
                    self._placement,
                    args["environments"],
                    args["s3_endpoint_id"],
                    self.models_key_arn,
                ),
                key_arn=self.models_key_arn,
                log_bucket=args["access_log_bucket"],
                protect=self._kept,
            ),
            self,
        )
        self.models_bucket = bucket.id

    def _groups(self) -> None:
        self.group_arns = {}
        for group in self._args["model_package_groups"]:
            # The hub and dev may share an account.
            known_as = self._names.name(group, "group")
            made = aws.sagemaker.ModelPackageGroup(
                f"{self._name}-{group}",
                model_package_group_name=known_as,
                model_package_group_description=f"Versions of {group}",
                opts=self._child(kept=True),
            )
            share_group(
                f"{self._name}-{group}",
                made,
                known_as,
                self._names,
                self._placement,
                {
                    "environments": list(self._args["environments"]),
                    "deployer": "deployer",
                    "sharing": self._args["sharing"],
                },
                opts=self._child(),
                kept=self._child(),
            )
            self.group_arns[group] = made.arn

    def _repositories(self) -> None:
        self.repository_urls = {}
        for repository in self._args["image_repositories"]:
            made = make_repository(
                f"{self._name}-{repository}",
                self._names.name(repository, "repository"),
                self.models_key_arn,
                pull_statements(self._placement, list(self._args["environments"])),
                opts=self._child(),
                kept=self._child(kept=True),
            )
            self.repository_urls[repository] = made.repository_url

    def _parameters(self) -> None:
        values: dict[str, Input[str]] = {
            "kms/models/arn": self.models_key_arn,
            "registry/models-bucket": self.models_bucket,
            **{f"registry/groups/{group}": arn for group, arn in self.group_arns.items()},
            **{
                f"registry/images/{repository}": url
                for repository, url in self.repository_urls.items()
            },
        }
        publish(self, self._name, self._names, values)
