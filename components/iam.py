"""Policy documents as typed values.

IAM, bucket, key, endpoint and other resource policies are built from :class:`Statement` by pure
functions, so that tests can evaluate exactly what is deployed. JSON is made only at the edge, by
:func:`render`. Leaves may be Pulumi outputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import pulumi

Strings = Sequence[pulumi.Input[str]]
Condition = Mapping[str, Mapping[str, pulumi.Input[str] | Strings | pulumi.Output[list[str]]]]
"""Operator -> condition key -> value or values, as in the JSON."""

NO_SERVICE: Condition = {
    "Bool": {"aws:ViaAWSService": "false"},
    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
}
"""Of denials: only callers themselves are meant. Services call on behalf of a caller or by a grant,
as ECR does for the layers of images, and come through no endpoint. Source: IAM user guide, data
perimeters."""

VERSION = "2012-10-17"


@dataclass(frozen=True)
class Statement:
    """One statement of a policy.

    ``principals`` maps a principal type (``AWS``, ``Service``, ``Federated``) to its values, or is
    ``"*"``; it is given exactly in resource and trust policies. Lists that are empty are left out.
    """

    sid: str
    actions: Strings = ()
    resources: Strings = ()
    effect: Literal["Allow", "Deny"] = "Allow"
    principals: Mapping[str, Strings] | Literal["*"] | None = None
    conditions: Condition = field(default_factory=dict[str, Any])
    not_actions: Strings = ()
    not_resources: Strings = ()

    def to_dict(self) -> dict[str, Any]:
        """The statement as its JSON value; outputs stay outputs."""
        value: dict[str, Any] = {"Sid": self.sid, "Effect": self.effect}
        if self.principals == "*":
            value["Principal"] = "*"
        elif self.principals is not None:
            value["Principal"] = {kind: list(who) for kind, who in self.principals.items()}
        for key, items in (
            ("Action", self.actions),
            ("NotAction", self.not_actions),
            ("Resource", self.resources),
            ("NotResource", self.not_resources),
        ):
            if items:
                value[key] = list(items)
        if self.conditions:
            value["Condition"] = {
                operator: {
                    key: wanted
                    if isinstance(wanted, (str, pulumi.Output)) or not isinstance(wanted, Sequence)
                    else list(wanted)
                    for key, wanted in keys.items()
                }
                for operator, keys in self.conditions.items()
            }
        return value


def document(statements: Sequence[Statement]) -> dict[str, Any]:
    """A policy document.

    Raises:
        ValueError: two statements share a Sid.
    """
    sids = [statement.sid for statement in statements]
    twice = sorted({sid for sid in sids if sids.count(sid) > 1})
    if twice:
        raise ValueError(f"Sids must be unique in a policy document, given twice: {twice}")
    return {"Version": VERSION, "Statement": [statement.to_dict() for statement in statements]}


def render(statements: Sequence[Statement]) -> pulumi.Input[str]:
    """The document as JSON text: at once, or as an output known when all of its leaves are.

    An output costs the event loop several tasks, and most documents hold nothing to wait for.
    """
    value = document(statements)
    return pulumi.Output.json_dumps(value) if _waits(value) else json.dumps(value)


def _waits(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_waits, cast("dict[str, Any]", value).values()))
    if isinstance(value, list):
        return any(map(_waits, cast("list[Any]", value)))
    return isinstance(value, pulumi.Output)


def merged(*conditions: Condition) -> dict[str, dict[str, Any]]:
    """Conditions joined: all operators and keys must hold (AND), as IAM evaluates one block."""
    result: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        for operator, keys in condition.items():
            result.setdefault(operator, {}).update(keys)
    return result


def within_organization(
    organization_id: str | None,
    accounts: Sequence[str],
    *,
    subject: Literal["Principal", "Resource"],
) -> dict[str, dict[str, Any]]:
    """Condition: the caller (or the resource) belongs to the company.

    By organisation where there is one, else by the list of its accounts.
    """
    if organization_id:
        return {"StringEquals": {f"aws:{subject}OrgID": organization_id}}
    return {"StringEquals": {f"aws:{subject}Account": sorted(set(accounts))}}


def distinct(values: Strings) -> pulumi.Output[list[str]]:
    """The values of a condition, each once and in order: outputs may turn out to be the same."""
    return pulumi.Output.all(*values).apply(lambda found: sorted(set(found)))


def service_trust(
    service: str, *, account_id: str, sid: str = "Service", actions: Strings = ("sts:AssumeRole",)
) -> Statement:
    """Trust in an AWS service, only on behalf of this account (confused deputy)."""
    return Statement(
        sid=sid,
        actions=actions,
        principals={"Service": [service]},
        conditions={"StringEquals": {"aws:SourceAccount": account_id}},
    )


def only_role(account_root: str, role_arns: Strings, *, sid: str, **rest: Any) -> Statement:
    """A statement for named roles of an account that need not exist yet.

    AWS refuses a policy that names a role principal which does not exist, and silently replaces a
    deleted one by its unique id. Naming the account and matching ``aws:PrincipalArn`` does neither.
    """
    conditions = merged(rest.pop("conditions", {}), {"ArnEquals": {"aws:PrincipalArn": role_arns}})
    return Statement(sid=sid, principals={"AWS": [account_root]}, conditions=conditions, **rest)
