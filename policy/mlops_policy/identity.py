"""Identity: least privilege, bounded trust, and nobody with keys of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pulumi_policy import Severity

from mlops_policy.aws import BUCKET_POLICY, ROLE, TOPIC_POLICY, document
from mlops_policy.documents import (
    IAM_POLICY,
    IDENTITY_POLICIES,
    RESOURCE_POLICIES,
    identity_documents,
    resource_statements,
)
from mlops_policy.iam import CALLER_KEYS, Statement, account_of
from mlops_policy.model import Example, Family, Options, Resource, integer, strings
from mlops_policy.values import listed

FAMILY = Family("identity", "Least privilege, bounded trust, and no long-lived keys.")

_ACCOUNT = "111122223333"
_STRANGER = "444455556666"
_HOLDERS = [*IDENTITY_POLICIES, ROLE]
_BOUNDARIES = strings(
    "Names (patterns with `*`) of permissions boundaries: they bound what others allow, so they "
    "may allow everything themselves. boundary-not-attached keeps them from being attached.",
    ["*boundary*"],
)


def _allow(sid: str, action: Any, resource: Any, **rest: Any) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource, **rest}


def _policy(*statements: Mapping[str, Any], name: str = "example") -> Example:
    return Example(IAM_POLICY, {"policy": document(*statements)}, name)


def _allowed(resource: Resource, options: Options) -> Iterator[Statement]:
    """The allowing statements of identity policies, except those of permissions boundaries."""
    if resource.named(options["boundaries"], "name"):
        return
    for found in identity_documents(resource):
        yield from found.allows


@FAMILY.resource(
    "no-administrator-policy",
    types=_HOLDERS,
    severity=Severity.CRITICAL,
    title="No policy allows every action on every resource.",
    why="It makes its holder an administrator, and every bug of its holder a breach.",
    fix="name the actions and the resources that are needed",
    bad=[
        _policy(_allow("Everything", "*", "*")),
        _policy({"Effect": "Allow", "NotAction": ["iam:*"], "Resource": "*"}),
        Example(
            ROLE,
            {"inlinePolicies": [{"name": "admin", "policy": document(_allow("A", "*", "*"))}]},
        ),
    ],
    good=[
        _policy(_allow("Read", "s3:GetObject", "arn:aws:s3:::acme-data/*")),
        _policy(_allow("Everything", "*", "*"), name="team-boundary"),
    ],
    options={"boundaries": _BOUNDARIES},
)
def _no_administrator(resource: Resource, options: Options) -> Iterator[str]:
    for statement in _allowed(resource, options):
        if statement.any_action and statement.any_resource:
            yield f"{statement.label} allows every action on every resource"


@FAMILY.resource(
    "no-whole-service",
    types=_HOLDERS,
    severity=Severity.HIGH,
    title="No policy hands out a whole sensitive service on every resource.",
    why="All of IAM, KMS or S3 is as good as everything.",
    fix="name the actions, or the resources, or add a condition",
    bad=[_policy(_allow("Keys", "kms:*", "*"))],
    good=[
        _policy(_allow("Keys", ["kms:Decrypt"], "arn:aws:kms:eu-west-1:111122223333:key/1234")),
        _policy(_allow("Describe", "ec2:Describe*", "*")),
    ],
    options={
        "boundaries": _BOUNDARIES,
        "services": strings(
            "Services that nobody gets as a whole.",
            ["account", "iam", "kms", "organizations", "s3", "secretsmanager", "sts"],
        ),
    },
)
def _no_whole_service(resource: Resource, options: Options) -> Iterator[str]:
    whole = {f"{service}:*" for service in options["services"]}
    for statement in _allowed(resource, options):
        found = whole & {action.lower() for action in statement.actions}
        if found and statement.any_resource and not statement.conditions:
            yield f"{statement.label} allows {listed(found)} on every resource"


@FAMILY.resource(
    "pass-role-bounded",
    types=_HOLDERS,
    severity=Severity.CRITICAL,
    title="iam:PassRole names the roles and the service that they are passed to.",
    why="Whoever can pass any role to any service can act as the most powerful of them.",
    fix="name the roles in Resource and add StringEquals iam:PassedToService",
    bad=[
        _policy(_allow("Pass", "iam:PassRole", "*")),
        _policy(_allow("Pass", "iam:PassRole", "arn:aws:iam::111122223333:role/acme-jobs")),
    ],
    good=[
        _policy(
            _allow(
                "Pass",
                "iam:PassRole",
                "arn:aws:iam::111122223333:role/acme-jobs",
                Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )
    ],
    options={"boundaries": _BOUNDARIES},
)
def _pass_role(resource: Resource, options: Options) -> Iterator[str]:
    for statement in _allowed(resource, options):
        if not statement.covers("iam:PassRole"):
            continue
        if statement.not_resources or any(_any_role(arn) for arn in statement.resources):
            yield f"{statement.label} passes any role"
        elif not statement.bound_by(frozenset({"iam:passedtoservice"})):
            yield f"{statement.label} passes roles to any service"


def _any_role(arn: str) -> bool:
    return arn == "*" or arn.rsplit(":", 1)[-1] in ("role/*", "*", "role*")


_ESCALATION = (
    "iam:AttachRolePolicy",
    "iam:AttachUserPolicy",
    "iam:CreatePolicyVersion",
    "iam:CreateRole",
    "iam:DeleteRolePermissionsBoundary",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:UpdateAssumeRolePolicy",
)


@FAMILY.resource(
    "no-privilege-escalation",
    types=_HOLDERS,
    severity=Severity.CRITICAL,
    title="Nobody may write permissions of any role without a boundary.",
    why="Whoever can write the policy of any role has all permissions that they write.",
    fix="name the roles in Resource, or add a condition on iam:PermissionsBoundary",
    bad=[_policy(_allow("Roles", "iam:PutRolePolicy", "*"))],
    good=[
        _policy(
            _allow(
                "Roles",
                "iam:PutRolePolicy",
                "*",
                Condition={
                    "StringEquals": {
                        "iam:PermissionsBoundary": "arn:aws:iam::111122223333:policy/boundary"
                    }
                },
            )
        ),
        _policy(_allow("Roles", "iam:PutRolePolicy", "arn:aws:iam::111122223333:role/project-*")),
    ],
    options={"boundaries": _BOUNDARIES},
)
def _no_escalation(resource: Resource, options: Options) -> Iterator[str]:
    for statement in _allowed(resource, options):
        found = [action for action in _ESCALATION if statement.covers(action)]
        anywhere = statement.not_resources or any(_any_role(arn) for arn in statement.resources)
        if found and anywhere and not statement.bound_by(frozenset({"iam:permissionsboundary"})):
            yield f"{statement.label} allows {listed(found)} on any role"


@FAMILY.resource(
    "no-wildcard-principal",
    types=RESOURCE_POLICIES,
    severity=Severity.CRITICAL,
    title="No resource policy allows everybody without a condition that says who.",
    why="Principal * is the whole world, with or without an AWS account of the company.",
    fix="name principals, or add a condition on the organisation, the account or the VPC endpoint",
    bad=[
        Example(
            BUCKET_POLICY,
            {"policy": document(_allow("Read", "s3:GetObject", "*", Principal="*"))},
        ),
        Example(
            TOPIC_POLICY,
            {"policy": document(_allow("Send", "sns:Publish", "*", Principal={"AWS": "*"}))},
        ),
    ],
    good=[
        Example(
            BUCKET_POLICY,
            {
                "policy": document(
                    _allow(
                        "Read",
                        "s3:GetObject",
                        "*",
                        Principal="*",
                        Condition={"StringEquals": {"aws:PrincipalOrgID": "o-example1234"}},
                    )
                )
            },
        )
    ],
)
def _no_wildcard_principal(resource: Resource, _options: Options) -> Iterator[str]:
    for statement in resource_statements(resource):
        if statement.not_principals:
            yield f"{statement.label} allows everybody but those it names"
        elif statement.any_principal and not statement.bound_by(CALLER_KEYS):
            yield f"{statement.label} allows everybody"


@FAMILY.resource(
    "service-principal-bounded",
    types=RESOURCE_POLICIES,
    severity=Severity.HIGH,
    title="A service that may use a resource does so only for the company's accounts.",
    why="A stranger can have the same service act for him (the confused deputy).",
    fix="add a condition on aws:SourceAccount, aws:SourceArn or aws:SourceOrgID",
    bad=[
        Example(
            TOPIC_POLICY,
            {
                "policy": document(
                    _allow(
                        "Events",
                        "sns:Publish",
                        "*",
                        Principal={"Service": "events.amazonaws.com"},
                    )
                )
            },
        )
    ],
    good=[
        Example(
            TOPIC_POLICY,
            {
                "policy": document(
                    _allow(
                        "Events",
                        "sns:Publish",
                        "*",
                        Principal={"Service": "events.amazonaws.com"},
                        Condition={"StringEquals": {"aws:SourceAccount": _ACCOUNT}},
                    )
                )
            },
        )
    ],
)
def _service_bounded(resource: Resource, _options: Options) -> Iterator[str]:
    for statement in resource_statements(resource):
        services = statement.principals.get("Service", ())
        # A key's encryption context names the log group or the resource, with its account.
        in_context = any(c.key.startswith("kms:encryptioncontext:") for c in statement.conditions)
        if services and not in_context and not statement.bound_by(CALLER_KEYS):
            yield f"{statement.label} allows {listed(services)} on behalf of any account"


PERMISSION = "aws:lambda/permission:Permission"


@FAMILY.resource(
    "function-permission-bounded",
    types=[PERMISSION],
    severity=Severity.HIGH,
    title="A service that may call a function does so only for a known source.",
    why="Else a stranger's rule, bucket or topic can call it.",
    fix="set sourceArn, sourceAccount or principalOrgId",
    bad=[
        Example(
            PERMISSION, {"principal": "events.amazonaws.com", "action": "lambda:InvokeFunction"}
        )
    ],
    good=[
        Example(
            PERMISSION,
            {
                "principal": "events.amazonaws.com",
                "sourceArn": "arn:aws:events:eu-west-1:111122223333:rule/approved",
            },
        ),
        Example(PERMISSION, {"principal": _ACCOUNT}),
    ],
)
def _function_permission(permission: Resource, _options: Options) -> Iterator[str]:
    if any(permission.has(key) for key in ("sourceArn", "sourceAccount", "principalOrgId")):
        return
    principal = str(permission.get("principal", "*"))
    if principal == "*" or principal.endswith(".amazonaws.com"):
        yield f"{principal} may call the function on behalf of any account"


@FAMILY.resource(
    "role-boundary",
    types=[ROLE],
    severity=Severity.HIGH,
    title="Every role has a permissions boundary.",
    why="The boundary holds when a policy is too wide, or is widened later.",
    fix="set permissionsBoundary to the ARN of the account's boundary policy",
    bad=[Example(ROLE, {"name": "jobs"})],
    good=[Example(ROLE, {"permissionsBoundary": f"arn:aws:iam::{_ACCOUNT}:policy/boundary"})],
)
def _role_boundary(role: Resource, _options: Options) -> Iterator[str]:
    if not role.has("permissionsBoundary"):
        yield "the role has no permissions boundary"


def _role(principal: Mapping[str, Any], **condition: Any) -> Example:
    statement = {
        "Sid": "Trust",
        "Effect": "Allow",
        "Principal": principal,
        "Action": "sts:AssumeRole",
    }
    if condition:
        statement["Condition"] = condition
    return Example(
        ROLE,
        {"assumeRolePolicy": document(statement)},
        provider={"allowedAccountIds": [_ACCOUNT]},
    )


@FAMILY.resource(
    "trust-bounded",
    types=[ROLE],
    severity=Severity.CRITICAL,
    title="A role trusts other accounts only on a condition, and never everybody.",
    why="An account in a trust policy means everyone in it who may assume roles.",
    fix="add a condition on aws:PrincipalArn, aws:PrincipalOrgID or sts:ExternalId",
    bad=[
        _role({"AWS": f"arn:aws:iam::{_STRANGER}:root"}),
        _role({"AWS": "*"}),
    ],
    good=[
        _role({"AWS": f"arn:aws:iam::{_ACCOUNT}:root"}),
        _role(
            {"AWS": f"arn:aws:iam::{_STRANGER}:root"},
            ArnEquals={"aws:PrincipalArn": f"arn:aws:iam::{_STRANGER}:role/deployer"},
        ),
        _role({"Service": "sagemaker.amazonaws.com"}),
    ],
)
def _trust_bounded(role: Resource, _options: Options) -> Iterator[str]:
    trust = role.document("assumeRolePolicy")
    own: set[str] | None = None
    for statement in trust.allows if trust else ():
        if statement.not_principals:
            yield f"{statement.label} trusts everybody but those it names"
            continue
        if statement.any_principal and not statement.bound_by(CALLER_KEYS):
            yield f"{statement.label} trusts everybody"
            continue
        if not statement.principals.get("AWS") or _tagged(statement):
            continue
        own = _own_accounts(role) if own is None else own
        accounts = {account_of(principal) for principal in statement.principals["AWS"]}
        foreign = {account for account in accounts if account and account not in own}
        if foreign:
            yield f"{statement.label} trusts account {listed(foreign)} without a condition"


def _tagged(statement: Statement) -> bool:
    by_tag = any(
        c.key.startswith("aws:principaltag/") and c.operator == "stringequals"
        for c in statement.conditions
    )
    return by_tag or statement.bound_by(CALLER_KEYS)


def _own_accounts(resource: Resource) -> set[str]:
    """Accounts that the resource's provider may work in; empty when the provider does not say."""
    provider = resource.provider
    if provider is None or not provider.has("allowedAccountIds"):
        return set()
    value = provider.get("allowedAccountIds")
    # The engine hands lists of a provider's configuration as JSON text.
    return set(json.loads(value)) if isinstance(value, str) else {str(item) for item in value}


_CONFUSED = (
    "codebuild.amazonaws.com",
    "codepipeline.amazonaws.com",
    "events.amazonaws.com",
    "glue.amazonaws.com",
    "sagemaker.amazonaws.com",
    "scheduler.amazonaws.com",
    "states.amazonaws.com",
    "vpc-flow-logs.amazonaws.com",
)


@FAMILY.resource(
    "service-trust-bounded",
    types=[ROLE],
    severity=Severity.MEDIUM,
    title="A role trusts a service only on behalf of the company's accounts.",
    why="A stranger can have the same service act for him (the confused deputy).",
    fix="add a condition on aws:SourceAccount or aws:SourceArn",
    bad=[_role({"Service": "sagemaker.amazonaws.com"})],
    good=[
        _role({"Service": "sagemaker.amazonaws.com"}, StringEquals={"aws:SourceAccount": _ACCOUNT}),
        _role({"Service": "ec2.amazonaws.com"}),
    ],
    options={"services": strings("Services that send the source with their request.", _CONFUSED)},
)
def _service_trust(role: Resource, options: Options) -> Iterator[str]:
    trust = role.document("assumeRolePolicy")
    for statement in trust.allows if trust else ():
        services = set(statement.principals.get("Service", ())) & set(options["services"])
        if services and not statement.bound_by(CALLER_KEYS):
            yield f"{statement.label} trusts {listed(services)} on behalf of any account"


def _federated(**condition: Any) -> Example:
    return Example(
        ROLE,
        {
            "assumeRolePolicy": document(
                {
                    "Sid": "Workflows",
                    "Effect": "Allow",
                    "Principal": {
                        "Federated": f"arn:aws:iam::{_ACCOUNT}:oidc-provider/"
                        "token.actions.githubusercontent.com"
                    },
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Condition": condition,
                }
            )
        },
    )


_AUDIENCE = {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"}


@FAMILY.resource(
    "oidc-trust-bounded",
    types=[ROLE],
    severity=Severity.CRITICAL,
    title="Trust in an OIDC provider names the audience and one repository.",
    why="Every repository of the same host gets tokens from it; so does every branch of your own.",
    fix="add StringEquals on :aud, and StringEquals or StringLike on :sub down to the environment "
    "or branch of one repository",
    bad=[
        _federated(StringEquals=_AUDIENCE),
        _federated(
            StringEquals=_AUDIENCE,
            StringLike={"token.actions.githubusercontent.com:sub": "repo:acme/*:*"},
        ),
    ],
    good=[
        _federated(
            StringEquals={
                **_AUDIENCE,
                "token.actions.githubusercontent.com:sub": "repo:acme/platform:environment:prod",
            }
        )
    ],
)
def _oidc_trust(role: Resource, _options: Options) -> Iterator[str]:
    trust = role.document("assumeRolePolicy")
    for statement in trust.allows if trust else ():
        providers = statement.principals.get("Federated", ())
        if not any(":oidc-provider/" in provider for provider in providers):
            continue
        audience = [c for c in statement.conditions if c.key.endswith(":aud")]
        if not any(c.operator == "stringequals" and not c.holds_when_absent for c in audience):
            yield f"{statement.label} does not name the audience (:aud)"
        subjects = [
            value
            for c in statement.conditions
            if c.key.endswith(":sub")
            and c.operator in ("stringequals", "stringlike")
            and not c.holds_when_absent
            for value in c.values
        ]
        if not subjects:
            yield f"{statement.label} does not name the subject (:sub)"
        for subject in subjects:
            if not re.fullmatch(r"repo:[^/*]+/[^:*]+:[^*].*|(?!repo:)[^*]+", subject):
                yield f"{statement.label} trusts {subject}, which is more than one repository"


_BANNED = (
    "arn:aws*:iam::aws:policy/AdministratorAccess",
    "arn:aws*:iam::aws:policy/PowerUserAccess",
    "arn:aws*:iam::aws:policy/IAMFullAccess",
    "arn:aws*:iam::aws:policy/Amazon*FullAccess",
    "arn:aws*:iam::aws:policy/AWS*FullAccess",
    "arn:aws*:iam::aws:policy/AWS*_FullAccess",
    "arn:aws*:iam::aws:policy/AWSKeyManagementServicePowerUser",
)
ATTACHMENTS: Mapping[str, str] = {
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "policyArn",
    "aws:iam/policyAttachment:PolicyAttachment": "policyArn",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment": "policyArn",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment": "policyArn",
    "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive": "policyArns",
    ROLE: "managedPolicyArns",
}
_ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


def _attached(arn: str) -> Example:
    return Example(_ATTACHMENT, {"role": "jobs", "policyArn": arn})


@FAMILY.resource(
    "no-full-access-attachment",
    types=ATTACHMENTS,
    severity=Severity.CRITICAL,
    title="No role gets a managed policy of AWS that allows a whole service, or everything.",
    why="AmazonSageMakerFullAccess alone passes roles and reads every bucket named like SageMaker.",
    fix="attach a policy that names what the role needs",
    bad=[
        _attached("arn:aws:iam::aws:policy/AdministratorAccess"),
        _attached("arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"),
    ],
    good=[_attached("arn:aws:iam::111122223333:policy/acme-jobs")],
    options={"policies": strings("ARNs (patterns with `*`) of refused policies.", _BANNED)},
)
def _no_full_access(attachment: Resource, options: Options) -> Iterator[str]:
    for arn in attachment.strings(ATTACHMENTS[attachment.type]):
        if any(fnmatchcase(arn, pattern) for pattern in options["policies"]):
            yield f"{arn} is attached"


@FAMILY.resource(
    "boundary-not-attached",
    types=ATTACHMENTS,
    severity=Severity.CRITICAL,
    title="A permissions boundary is not attached as a policy.",
    why="A boundary may allow everything, as it only bounds; attached, it grants what it allows.",
    fix="set it as the role's permissionsBoundary",
    bad=[_attached("arn:aws:iam::111122223333:policy/acme-boundary")],
    good=[_attached("arn:aws:iam::111122223333:policy/acme-jobs")],
    options={"boundaries": _BOUNDARIES},
)
def _boundary_not_attached(attachment: Resource, options: Options) -> Iterator[str]:
    for arn in attachment.strings(ATTACHMENTS[attachment.type]):
        if any(fnmatchcase(arn.rsplit("/", 1)[-1], name) for name in options["boundaries"]):
            yield f"{arn}, a permissions boundary, is attached"


USER = "aws:iam/user:User"
ACCESS_KEY = "aws:iam/accessKey:AccessKey"


@FAMILY.resource(
    "no-iam-users",
    types=[
        USER,
        ACCESS_KEY,
        "aws:iam/userLoginProfile:UserLoginProfile",
        "aws:iam/userPolicy:UserPolicy",
        "aws:iam/userPolicyAttachment:UserPolicyAttachment",
    ],
    severity=Severity.HIGH,
    title="There are no IAM users and no access keys.",
    why="Their keys live for years, in files and in repositories.",
    fix="use a role: by IAM Identity Center for people, by OIDC for CI",
    bad=[Example(USER, {"name": "ci"}), Example(ACCESS_KEY, {"user": "ci"})],
    good=[Example(ROLE, {"name": "ci"})],
)
def _no_iam_users(resource: Resource, _options: Options) -> Iterator[str]:
    yield f"{resource.type.split(':')[-1]} makes long-lived credentials"


PASSWORD_POLICY = "aws:iam/accountPasswordPolicy:AccountPasswordPolicy"  # noqa: S105 - a type
_PASSWORD_PARTS = (
    "requireLowercaseCharacters",
    "requireNumbers",
    "requireSymbols",
    "requireUppercaseCharacters",
)


@FAMILY.resource(
    "password-policy-strong",
    types=[PASSWORD_POLICY],
    severity=Severity.MEDIUM,
    title="The account's password policy asks for long, mixed passwords.",
    why="It holds for the users that exist, such as those for emergencies.",
    fix="raise minimumPasswordLength and set the four require… properties to true",
    bad=[Example(PASSWORD_POLICY, {"minimumPasswordLength": 8})],
    good=[
        Example(
            PASSWORD_POLICY,
            {"minimumPasswordLength": 14, **dict.fromkeys(_PASSWORD_PARTS, True)},
        )
    ],
    options={"minimum_length": integer("Least number of characters.", 14)},
)
def _password_policy(policy: Resource, options: Options) -> Iterator[str]:
    if policy.get("minimumPasswordLength", 6) < options["minimum_length"]:
        yield f"passwords may be shorter than {options['minimum_length']} characters"
    missing = [part for part in _PASSWORD_PARTS if not policy.get(part, False)]
    if missing:
        yield f"{listed(missing)} not set"
