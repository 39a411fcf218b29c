"""Trust: who may use a resource, call a function or assume a role."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import Severity

from mlops_policy.aws import BUCKET_POLICY, ROLE, TOPIC_POLICY, document
from mlops_policy.documents import RESOURCE_POLICIES, resource_statements
from mlops_policy.iam import CALLER_KEYS, Statement, account_of
from mlops_policy.model import Example, Family, Options, Resource, strings
from mlops_policy.values import listed

FAMILY = Family("trust", "Only the company uses its resources, and assumes its roles.")

_ACCOUNT = "111122223333"
_STRANGER = "444455556666"


def _allow(sid: str, action: Any, resource: Any, **rest: Any) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource, **rest}


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
