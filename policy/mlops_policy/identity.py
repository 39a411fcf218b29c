"""Identity: least privilege, and nobody with keys of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pulumi_policy import Severity

from mlops_policy.aws import ROLE, document
from mlops_policy.documents import (
    IAM_POLICY,
    IDENTITY_POLICIES,
    identity_documents,
)
from mlops_policy.iam import ANY, OWNER_KEYS, Statement, any_role, fits
from mlops_policy.model import Example, Family, Options, Resource, integer, strings
from mlops_policy.values import listed

FAMILY = Family("identity", "Least privilege, and no long-lived keys.")

_ACCOUNT = "111122223333"
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
    fix="name the actions, or the resources, or add a condition on whose or which resources: "
    "aws:ResourceAccount, aws:ResourceTag/…, or a key of the service's own",
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
    for statement in _allowed(resource, options):
        if statement.any_action and statement.any_resource:
            continue  # no-administrator-policy says so
        found = [
            f"{service}:*"
            for service in options["services"]
            if statement.covers(f"{service}:{ANY}")
            and statement.reaches(f"arn:*:{service}:*:*:{ANY}")
            and not _limited(statement, service)
        ]
        if found:
            yield f"{statement.label} allows {listed(found)} on every resource"


def _limited(statement: Statement, service: str) -> bool:
    """Whether a condition limits which resources of a service are used, or how."""
    about = ("aws:resourcetag/", "aws:requesttag/", f"{service}:")
    return any(
        condition.binds(frozenset({condition.key}))
        for condition in statement.conditions
        if condition.key in OWNER_KEYS or condition.key.startswith(about)
    )


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
        if _any_role(statement):
            yield f"{statement.label} passes any role"
        elif not statement.bound_by(frozenset({"iam:passedtoservice"})):
            yield f"{statement.label} passes roles to any service"


def _any_role(statement: Statement) -> bool:
    return bool(statement.not_resources) or any(any_role(arn) for arn in statement.resources)


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
        if (
            found
            and _any_role(statement)
            and not statement.bound_by(frozenset({"iam:permissionsboundary"}))
        ):
            yield f"{statement.label} allows {listed(found)} on any role"


@FAMILY.resource(
    "role-boundary",
    types=[ROLE],
    severity=Severity.HIGH,
    title="Every role has a permissions boundary of the company's own.",
    why="The boundary holds when a policy is too wide, or is widened later.",
    fix="set permissionsBoundary to the ARN of the account's boundary policy",
    bad=[
        Example(ROLE, {"name": "jobs"}),
        Example(ROLE, {"permissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    ],
    good=[Example(ROLE, {"permissionsBoundary": f"arn:aws:iam::{_ACCOUNT}:policy/boundary"})],
)
def _role_boundary(role: Resource, _options: Options) -> Iterator[str]:
    if not role.has("permissionsBoundary"):
        yield "the role has no permissions boundary"
        return
    boundary = str(role.get("permissionsBoundary"))
    if fits("arn:*:iam::aws:policy/*", boundary):
        yield f"its boundary {boundary} is a managed policy of AWS, made to grant and not to bound"


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
