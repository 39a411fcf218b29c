"""The first step on empty accounts: state bucket, boundary, deployer and preview roles, CI's.

Run from one administrator profile for each account. It reads what stands, changes only what
differs, and says each change; a second run changes nothing. Plain boto3: there is no state yet.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from automation import deployer_policies
from components import iam, storage
from components.baseline_policies import CONFIG_SERVICE, NO_NEW_IDENTITY, boundary_statements
from components.catalog import VENDING_ROLE
from components.naming import Names
from components.network import not_offered
from components.settings import ExistingNetwork, PlatformSettings

_OIDC_HOST = "token.actions.githubusercontent.com"
_OIDC_AUDIENCE = "sts.amazonaws.com"


@dataclass
class BootstrapResult:
    """What was done, and how stacks are initialised.

    Attributes:
        changes: Each change, in order; empty when everything stood already.
        backend_url: For ``PULUMI_BACKEND_URL``.
        secrets_provider: For ``PULUMI_SECRETS_PROVIDER``.
    """

    changes: list[str] = field(default_factory=list[str])
    backend_url: str = ""
    secrets_provider: str = ""


class BootstrapError(RuntimeError):
    """An administrator session, or what its region offers, is not what the settings say."""


@dataclass(frozen=True)
class _Work:
    """One account's clients, and whether changes are made or only told."""

    session: boto3.Session
    names: Names
    dry_run: bool
    tell: Callable[[str], None]

    def client(self, service: str) -> Any:
        return self.session.client(service)  # type: ignore[call-overload]

    def change(self, what: str, act: Callable[[], Any]) -> None:
        """Say a change, and make it unless this is a dry run."""
        self.tell(f"{self.names.environment} ({self.names.account_id}): {what}")
        if not self.dry_run:
            act()


def bootstrap(
    settings: Sequence[PlatformSettings],
    session_for: Callable[[str], boto3.Session],
    *,
    dry_run: bool = False,
    report: Callable[[str], None] = print,
) -> BootstrapResult:
    """Make what stacks need before there are stacks.

    Args:
        settings: Of every stack.
        session_for: Environment -> administrator session of its account.
        dry_run: Only say what would change.
        report: Takes each change.

    Raises:
        BootstrapError: a session belongs to another account, or a region does not offer an
            endpoint service that its network is to have; nothing was changed.
    """
    result = BootstrapResult()

    def tell(change: str) -> None:
        result.changes.append(change)
        report(change)

    callers: dict[str, str] = {}
    sessions: dict[str, boto3.Session] = {}
    for stack in settings:
        session = session_for(stack.environment)
        identity = session.client("sts").get_caller_identity()
        if identity["Account"] != stack.account_id:
            raise BootstrapError(
                f"the profile for {stack.environment} is of account {identity['Account']}, "
                f"mlops:organization says {stack.account_id}: use --profile "
                f"{stack.environment}=NAME, or correct Pulumi.yaml"
            )
        sessions[stack.environment] = session
        callers[stack.environment] = identity["Arn"]
    _require_endpoint_services(settings, sessions["governance"])
    by_environment = {stack.environment: stack for stack in settings}
    hub_caller = _principal(sessions["governance"], callers["governance"])
    for stack in settings:
        work = _Work(sessions[stack.environment], stack.names, dry_run, tell)
        _boundary(work)
        for role in ("deployer", "preview"):
            _account_role(work, stack, role, hub_caller)
        if stack.owns_account and stack.security_services.config:
            _config_role(work)
    hub = by_environment["governance"]
    work = _Work(sessions["governance"], hub.names, dry_run, tell)
    _continuous_integration(work, hub)
    key_arn = _state_key(work)
    _state_bucket(work, key_arn)
    result.backend_url = backend_url(hub.names)
    result.secrets_provider = secrets_provider(hub.names)
    if not result.changes:
        report("Everything stands already; nothing was changed.")
    return result


def _require_endpoint_services(
    settings: Sequence[PlatformSettings], session: boto3.Session
) -> None:
    # The engine would learn it only from the endpoint's creation, with half of the network made.
    # What is offered is the region's, and all stacks are in one region: any account can be asked.
    pages = session.client("ec2").get_paginator("describe_vpc_endpoint_services").paginate()
    offered = [name for page in pages for name in page["ServiceNames"]]
    for stack in settings:
        if isinstance(stack.network, ExistingNetwork) and not stack.network.create_endpoints:
            continue
        if lacking := not_offered(stack.endpoint_services, stack.region, offered):
            raise BootstrapError(
                f"{stack.region} offers no VPC endpoints for {', '.join(lacking)}, which "
                f"{stack.environment}'s network is to have: name those that it is to have in "
                f"mlops:network.endpoints of Pulumi.{stack.environment}.yaml, without these; what "
                "calls these services then needs another way, such as NAT. Nothing was changed"
            )


def backend_url(hub: Names, below: str = "") -> str:
    """``PULUMI_BACKEND_URL`` of the state bucket.

    Args:
        hub: The hub's names.
        below: Folder in it, for states of their own.
    """
    bucket = hub.bucket("pulumi-state")
    return f"s3://{bucket}{'/' + below if below else ''}?region={hub.region}&awssdk=v2"


def secrets_provider(hub: Names) -> str:
    """``PULUMI_SECRETS_PROVIDER``: the state key."""
    return f"awskms://{hub.alias('pulumi-state')}?region={hub.region}&awssdk=v2"


def _principal(session: boto3.Session, arn: str) -> str:
    """The IAM principal of a caller: a role session's role."""
    if ":assumed-role/" not in arn:
        return arn
    # A session's ARN leaves out the role's path, which Identity Center's roles have.
    return session.client("iam").get_role(RoleName=arn.split("/")[1])["Role"]["Arn"]


def _same(one: Any, other: Any) -> bool:
    return _canonical(one) == _canonical(other)


def _canonical(value: Any) -> Any:
    # AWS hands a list of one back as its element, and lists in an order of its own.
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        items = sorted(map(_canonical, value), key=lambda item: json.dumps(item, sort_keys=True))
        return items[0] if len(items) == 1 else items
    return value


def _parsed(document: Any) -> Any:
    return json.loads(urllib.parse.unquote(document)) if isinstance(document, str) else document


def deployer_trust(settings: PlatformSettings, role: str, hub_caller: str) -> list[iam.Statement]:
    """Who may assume an environment's deployer or preview role: hub identities by name."""
    hub = Names.at(settings.placement(), "governance")
    names = [hub.role_arn("ci-preview" if role == "preview" else VENDING_ROLE)]
    names += [
        hub.role_arn("ci"),
        hub.role_arn("platform-engineer"),
        hub_caller,
    ]
    return [
        iam.Statement(
            sid="HubIdentities",
            principals={"AWS": [hub.root_arn]},
            actions=["sts:AssumeRole", "sts:SetSourceIdentity"],
            conditions={"ArnLike": {"aws:PrincipalArn": sorted(names)}},
        ),
        NO_NEW_IDENTITY,
    ]


def _boundary(work: _Work) -> None:
    """The limit of every role that the deployer makes, who therefore must not write it."""
    _policy(
        work,
        work.names.name("boundary", "policy"),
        work.names.policy_arn("boundary"),
        iam.document(boundary_statements(work.names)),
    )


def boundary_note(session: Callable[[], boto3.Session], names: Names) -> str:
    """What is to be done about a stack's boundary before an update; empty when nothing is.

    Stacks only name it, so no plan shows it: an upgrade that changes it asks for a bootstrap.

    Args:
        session: Gives a session of the stack's account; its preview role suffices.
        names: The stack's.

    Raises:
        BootstrapError: There is none, so no role can be made.
    """
    arn = names.policy_arn("boundary")
    try:
        found = _document(session().client("iam"), arn)
    except (BotoCoreError, ClientError):
        # Who is not let in at all is told so by the engine, which comes next.
        return ""
    if found is None:
        raise BootstrapError(
            f"there is no permissions boundary {arn}, which every role has to have: an "
            "administrator makes it by python -m automation bootstrap. Nothing was made"
        )
    if _same(found, iam.document(boundary_statements(names))):
        return ""
    return (
        f"the permissions boundary {arn} is not the one of this checkout, so its roles may be "
        "refused what they need, or be allowed more than they should: an administrator updates it "
        "by python -m automation bootstrap"
    )


def _config_role(work: _Work) -> None:
    """AWS Config's service-linked role: an account has one, whoever made it."""
    client = work.client("iam")
    if not client.list_roles(PathPrefix=f"/aws-service-role/{CONFIG_SERVICE}/")["Roles"]:
        work.change(
            "create the service-linked role of AWS Config",
            lambda: client.create_service_linked_role(AWSServiceName=CONFIG_SERVICE),
        )


def _account_role(work: _Work, stack: PlatformSettings, role: str, hub_caller: str) -> None:
    statements = (
        deployer_policies.deployer_statements(work.names)
        if role == "deployer"
        else deployer_policies.preview_statements(work.names)
    )
    _role(
        work,
        work.names.role(role),
        iam.document(deployer_trust(stack, role, hub_caller)),
        deployer_policies.numbered(work.names.name(role, "policy"), statements),
    )


def _role(
    work: _Work, name: str, trust: dict[str, Any], policies: Mapping[str, dict[str, object]]
) -> None:
    client = work.client("iam")
    try:
        role = client.get_role(RoleName=name)["Role"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        work.change(
            f"create role {name}",
            lambda: client.create_role(
                RoleName=name,
                AssumeRolePolicyDocument=json.dumps(trust),
                Description="Made by the bootstrap",
            ),
        )
    else:
        if not _same(_parsed(role["AssumeRolePolicyDocument"]), trust):
            work.change(
                f"update the trust of role {name}",
                lambda: client.update_assume_role_policy(
                    RoleName=name, PolicyDocument=json.dumps(trust)
                ),
            )
    attached = _attached(client, name)
    for policy, document in policies.items():
        arn = f"arn:{work.names.partition}:iam::{work.names.account_id}:policy/{policy}"
        _policy(work, policy, arn, document)
        if arn not in attached:
            work.change(
                f"attach {policy} to {name}",
                lambda arn=arn: client.attach_role_policy(RoleName=name, PolicyArn=arn),
            )
    ours = {
        f"arn:{work.names.partition}:iam::{work.names.account_id}:policy/{policy}"
        for policy in policies
    }
    for arn in sorted(attached - ours):
        work.change(
            f"detach {arn} from {name}",
            lambda arn=arn: client.detach_role_policy(RoleName=name, PolicyArn=arn),
        )


def _attached(client: Any, role: str) -> set[str]:
    try:
        found = client.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return set()
    return {policy["PolicyArn"] for policy in found}


def _document(client: Any, arn: str) -> Any:
    """A managed policy's document as it applies; None when there is no such policy."""
    try:
        policy = client.get_policy(PolicyArn=arn)["Policy"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return None
    version = client.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    return _parsed(version["PolicyVersion"]["Document"])


def _policy(work: _Work, name: str, arn: str, document: dict[str, object]) -> None:
    client = work.client("iam")
    text = json.dumps(document, separators=(",", ":"))
    standing = _document(client, arn)
    if standing is None:
        work.change(
            f"create policy {name}",
            lambda: client.create_policy(PolicyName=name, PolicyDocument=text),
        )
        return
    if _same(standing, json.loads(text)):
        return

    def replace() -> None:
        versions = client.list_policy_versions(PolicyArn=arn)["Versions"]
        old = sorted(
            (v for v in versions if not v["IsDefaultVersion"]), key=lambda v: v["CreateDate"]
        )
        if len(versions) >= 5:
            client.delete_policy_version(PolicyArn=arn, VersionId=old[0]["VersionId"])
        client.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)

    work.change(f"update policy {name}", replace)


def ci_trust(
    names: Names,
    role: str,
    environments: Iterable[str],
    *,
    repository: str | None = None,
    build_role: str | None = None,
) -> dict[str, Any]:
    """Trust in one repository's workflows, in the role of CodeBuild projects, or in both.

    In workflows for deployment only in its environments, for previews and plans only in pull
    requests and on the main branch.

    Args:
        names: The hub's.
        role: ``ci`` or ``ci-preview``.
        environments: The platform's, which are environments of the repository too.
        repository: ``owner/name`` of the platform's repository at GitHub.
        build_role: ARN of a role of the hub's account.
    """
    statements: list[iam.Statement] = []
    if repository:
        subjects = (
            [f"repo:{repository}:pull_request", f"repo:{repository}:ref:refs/heads/main"]
            if role == "ci-preview"
            else [f"repo:{repository}:environment:{environment}" for environment in environments]
        )
        provider = f"arn:{names.partition}:iam::{names.account_id}:oidc-provider/{_OIDC_HOST}"
        statements.append(
            iam.Statement(
                sid="Workflows",
                principals={"Federated": [provider]},
                actions=["sts:AssumeRoleWithWebIdentity"],
                conditions={
                    "StringEquals": {
                        f"{_OIDC_HOST}:aud": _OIDC_AUDIENCE,
                        f"{_OIDC_HOST}:sub": subjects,
                    }
                },
            )
        )
    if build_role:
        statements.append(
            iam.Statement(
                sid="Builds",
                # By condition: IAM refuses a principal that is not made yet.
                principals={"AWS": [names.root_arn]},
                actions=["sts:AssumeRole"],
                conditions={"ArnEquals": {"aws:PrincipalArn": build_role}},
            )
        )
    return iam.document(statements)


def unit_statements(hub: PlatformSettings) -> list[iam.Statement]:
    """Reading the accounts of the organisation's units, where kinds of environments have some.

    AWS lets the management account and delegated administrators do it: for any other hub this
    grants nothing.

    Source: service authorization reference, AWS Organizations.
    """
    if not (hub.organization.units and hub.organization.id):
        return []
    return [
        iam.Statement(
            sid="KnowTheUnits",
            actions=[
                "organizations:ListAccountsForParent",
                "organizations:ListOrganizationalUnitsForParent",
            ],
            # The account before the organisation's id is the management account's.
            resources=[f"arn:{hub.names.partition}:organizations::*:ou/{hub.organization.id}/ou-*"],
        )
    ]


def _continuous_integration(work: _Work, hub: PlatformSettings) -> None:
    if hub.ci.github_repository:
        _github_provider(work, hub)
    for role, kinds in (("ci", ("deployer", "preview")), ("ci-preview", ("preview",))):
        build_role = hub.ci.build_role(role)
        if not (hub.ci.github_repository or build_role):
            continue
        assume = [
            Names.at(hub.placement(), environment).role_arn(kind)
            for environment in hub.accounts
            for kind in kinds
        ]
        bucket = hub.names.bucket_arn("pulumi-state")
        statements = [
            iam.Statement(
                sid="AssumeStacksRoles", actions=["sts:AssumeRole"], resources=sorted(set(assume))
            ),
            iam.Statement(
                sid="ReadState",
                actions=["s3:GetObject", "s3:ListBucket"],
                resources=[bucket, f"{bucket}/*"],
            ),
            iam.Statement(
                sid="StateKey",
                actions=["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"],
                resources=[hub.names.arn("kms", "key/*")],
                conditions={
                    "ForAnyValue:StringEquals": {
                        "kms:ResourceAliases": hub.names.alias("pulumi-state")
                    }
                },
            ),
        ]
        statements += unit_statements(hub) if role == "ci-preview" else []
        if role == "ci":
            statements.append(
                iam.Statement(
                    sid="WriteState",
                    actions=["s3:PutObject", "s3:DeleteObject"],
                    resources=[f"{bucket}/*"],
                )
            )
        _role(
            work,
            hub.names.role(role),
            ci_trust(
                hub.names,
                role,
                hub.accounts,
                repository=hub.ci.github_repository,
                build_role=build_role,
            ),
            {hub.names.name(role, "policy"): iam.document(statements)},
        )


def _github_provider(work: _Work, hub: PlatformSettings) -> None:
    client = work.client("iam")
    arn = f"arn:{hub.names.partition}:iam::{hub.account_id}:oidc-provider/{_OIDC_HOST}"
    standing = client.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    if arn not in [provider["Arn"] for provider in standing]:
        work.change(
            "create GitHub's OIDC provider",
            lambda: client.create_open_id_connect_provider(
                Url=f"https://{_OIDC_HOST}", ClientIDList=[_OIDC_AUDIENCE]
            ),
        )


def _state_key(work: _Work) -> str:
    client, alias = work.client("kms"), work.names.alias("pulumi-state")
    for page in client.get_paginator("list_aliases").paginate():
        for found in page["Aliases"]:
            if found["AliasName"] == alias:
                key_id = found["TargetKeyId"]
                if not client.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"]:
                    work.change(
                        "switch the state key's rotation on",
                        lambda key_id=key_id: client.enable_key_rotation(KeyId=key_id),
                    )
                return work.names.arn("kms", f"key/{key_id}")
    made: dict[str, str] = {}

    def create() -> None:
        key = client.create_key(Description="Pulumi state and its secrets")["KeyMetadata"]
        client.enable_key_rotation(KeyId=key["KeyId"])
        client.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
        made["arn"] = key["Arn"]

    work.change(f"create the state key {alias}", create)
    return made.get("arn", work.names.arn("kms", "key/not-made-yet"))


def state_bucket_statements(names: Names) -> list[iam.Statement]:
    """TLS only; neither the bucket nor old versions of state can be deleted."""
    arn = names.bucket_arn("pulumi-state")
    return [
        storage.tls_only(arn),
        iam.Statement(
            sid="DenyLosingState",
            effect="Deny",
            principals="*",
            actions=["s3:DeleteBucket", "s3:DeleteObjectVersion"],
            resources=[arn, f"{arn}/*"],
        ),
    ]


def _state_bucket(work: _Work, key_arn: str) -> None:
    client, name = work.client("s3"), work.names.bucket("pulumi-state")
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
        where: dict[str, Any] = {}
        if work.names.region != "us-east-1":
            where = {"CreateBucketConfiguration": {"LocationConstraint": work.names.region}}
        work.change(f"create bucket {name}", lambda: client.create_bucket(Bucket=name, **where))
    block = dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": {
                "SSEAlgorithm": "aws:kms",
                "KMSMasterKeyID": key_arn,
            },
            "BucketKeyEnabled": True,
        }
    ]
    policy = iam.document(state_bucket_statements(work.names))
    wanted: tuple[tuple[str, Callable[[], Any], Any, Callable[[], Any]], ...] = (
        (
            "versioning",
            lambda: client.get_bucket_versioning(Bucket=name).get("Status"),
            "Enabled",
            lambda: client.put_bucket_versioning(
                Bucket=name, VersioningConfiguration={"Status": "Enabled"}
            ),
        ),
        (
            "public access block",
            lambda: client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
            block,
            lambda: client.put_public_access_block(
                Bucket=name, PublicAccessBlockConfiguration=block
            ),
        ),
        (
            "encryption",
            lambda: _bare_rules(
                client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]
            ),
            rules,
            lambda: client.put_bucket_encryption(
                Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules}
            ),
        ),
        (
            "policy",
            lambda: json.loads(client.get_bucket_policy(Bucket=name)["Policy"]),
            policy,
            lambda: client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy)),
        ),
    )
    for what, read, value, put in wanted:
        if not _same(_read(read), value):
            work.change(f"set the {what} of bucket {name}", put)


def _bare_rules(configuration: Any) -> list[Any]:
    kept = ("ApplyServerSideEncryptionByDefault", "BucketKeyEnabled")
    return [{key: rule[key] for key in kept if key in rule} for rule in configuration["Rules"]]


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ClientError as error:
        # A setting that was never made is told as an error of its own for each kind.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return None
