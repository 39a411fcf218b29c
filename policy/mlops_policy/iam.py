"""Typed reader of IAM, trust, resource and endpoint policy documents.

Only what can be read from the text is decided here. Names of actions, condition operators and
condition keys are compared without regard to case, as IAM does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

CALLER_KEYS = frozenset(
    {
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:userid",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceorgid",
        "aws:sourceorgpaths",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:vpceaccount",
        "aws:vpceorgid",
        "aws:vpceorgpaths",
        "kms:calleraccount",
        "sts:externalid",
    }
)
"""Condition keys that say who calls. Source: AWS global condition context keys."""

OWNER_KEYS = frozenset(
    {"aws:resourceorgid", "aws:resourceorgpaths", "aws:resourceaccount", "s3:resourceaccount"}
)
"""Condition keys that say whose resource is called."""

_POSITIVE = frozenset(
    {"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"}
)


class DocumentError(ValueError):
    """The text is not a policy document; the message says why."""


@dataclass(frozen=True)
class Condition:
    """One operator applied to one key."""

    operator: str
    """In lower case, without set qualifier and ``IfExists``."""
    key: str
    """In lower case."""
    values: tuple[str, ...]
    holds_when_absent: bool
    """Whether a request without the key passes (``IfExists``, ``ForAllValues``)."""

    def binds(self, keys: frozenset[str]) -> bool:
        """Whether the condition limits one of the keys to given values."""
        return (
            self.key in keys
            and self.operator in _POSITIVE
            and not self.holds_when_absent
            and bool(self.values)
            and not any(_unbounded(value) for value in self.values)
        )


def _unbounded(value: str) -> bool:
    """Whether a wanted value is a pattern that strangers fit as well."""
    if value.startswith("arn:"):
        account, _, resource = value.split(":", 4)[-1].partition(":")
        # An ARN without an account, as of a bucket, is unique by its name.
        return resource.startswith("*") if not account else "*" in account or "?" in account
    return value.strip("*?/-") in ("", "o")


@dataclass(frozen=True)
class Statement:
    """One statement; absent elements are empty."""

    sid: str
    allows: bool
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    resources: tuple[str, ...]
    not_resources: tuple[str, ...]
    principals: Mapping[str, tuple[str, ...]]
    """Principal type -> values; the principal ``"*"`` is ``{"*": ("*",)}``."""
    not_principals: bool
    conditions: tuple[Condition, ...]

    @property
    def label(self) -> str:
        """How messages call the statement."""
        return f"statement {self.sid!r}" if self.sid else "a statement without a Sid"

    @property
    def any_principal(self) -> bool:
        """Whether it speaks of everybody."""
        return "*" in self.principals or "*" in self.principals.get("AWS", ())

    @property
    def any_action(self) -> bool:
        """Whether it covers every action of every service."""
        return bool(self.not_actions) or any(action in ("*", "*:*") for action in self.actions)

    @property
    def any_resource(self) -> bool:
        """Whether it covers every resource."""
        return bool(self.not_resources) or "*" in self.resources

    def covers(self, action: str) -> bool:
        """Whether an action, such as ``s3:GetObject``, is among its actions."""
        wanted = action.lower()
        if self.not_actions:
            return not any(fnmatchcase(wanted, pattern.lower()) for pattern in self.not_actions)
        return any(fnmatchcase(wanted, pattern.lower()) for pattern in self.actions)

    def bound_by(self, keys: frozenset[str]) -> bool:
        """Whether a condition limits one of the keys to given values."""
        return any(condition.binds(keys) for condition in self.conditions)

    @property
    def denies_plain_text(self) -> bool:
        """Whether it denies everybody the use of a service without TLS, on no other condition."""
        return (
            not self.allows
            and self.any_principal
            and any(action.endswith("*") or action == "sns:Publish" for action in self.actions)
            and len(self.conditions) == 1
            and all(c.operator == "bool" and c.values == ("false",) for c in self.conditions)
            and bool(self.conditions_on("aws:SecureTransport"))
        )

    def conditions_on(self, key: str) -> tuple[Condition, ...]:
        """The conditions on a key."""
        return tuple(c for c in self.conditions if c.key == key.lower())


@dataclass(frozen=True)
class Document:
    """A policy document."""

    statements: tuple[Statement, ...]

    @property
    def allows(self) -> tuple[Statement, ...]:
        """The statements that allow."""
        return tuple(statement for statement in self.statements if statement.allows)

    @property
    def denies(self) -> tuple[Statement, ...]:
        """The statements that deny."""
        return tuple(statement for statement in self.statements if not statement.allows)

    @property
    def tls_only(self) -> bool:
        """Whether everybody is denied everything that does not come by TLS.

        The objects of a bucket and the bucket itself are resources of their own: where the denied
        resources name objects, the bucket must be among them, and the other way round.
        """
        denied = [statement for statement in self.denies if statement.denies_plain_text]
        resources = {name for statement in denied for name in statement.resources}
        if not denied or "*" in resources:
            return bool(denied)
        buckets = {name for name in resources if name.startswith("arn:") and ":s3:::" in name}
        objects = {name for name in buckets if "/" in name}
        return bool(resources) and bool(objects) == bool(buckets - objects)


def account_of(principal: str) -> str | None:
    """Account id that an AWS principal belongs to, where it names one."""
    match = re.fullmatch(r"(\d{12})|arn:[^:]+:(?:iam|sts)::(\d{12}):.+", principal)
    return (match[1] or match[2]) if match else None


def parse(value: str | Mapping[str, Any]) -> Document:
    """Reads a document.

    Raises:
        DocumentError: as its name says.
    """
    return _parse_text(value) if isinstance(value, str) else _parse(value)


@lru_cache(maxsize=512)
def _parse_text(text: str) -> Document:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError(f"not JSON: {error}") from None
    return _parse(value)


def _parse(value: Any) -> Document:
    if not isinstance(value, Mapping) or "Statement" not in value:
        raise DocumentError("an object with a Statement is expected")
    statements = value["Statement"]
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list):
        raise DocumentError("Statement is an object or a list of objects")
    return Document(tuple(_statement(item) for item in statements))


def _statement(item: Any) -> Statement:
    if not isinstance(item, Mapping) or item.get("Effect") not in ("Allow", "Deny"):
        raise DocumentError("each statement needs the Effect Allow or Deny")
    return Statement(
        sid=str(item.get("Sid", "")),
        allows=item["Effect"] == "Allow",
        actions=_strings(item.get("Action")),
        not_actions=_strings(item.get("NotAction")),
        resources=_strings(item.get("Resource")),
        not_resources=_strings(item.get("NotResource")),
        principals=_principals(item.get("Principal")),
        not_principals="NotPrincipal" in item,
        conditions=tuple(_conditions(_object(item.get("Condition") or {}, "Condition"))),
    )


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DocumentError(f"{what}: an object is expected, not {value!r}")
    return value


def _strings(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, (str, bool, int, float)):
        return (str(value).lower() if isinstance(value, bool) else str(value),)
    if not isinstance(value, list):
        raise DocumentError(f"a string or a list of strings is expected, not {value!r}")
    return tuple(text for item in value for text in _strings(item))


def _principals(value: Any) -> dict[str, tuple[str, ...]]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"*": ("*",)} if value == "*" else {"AWS": (value,)}
    return {str(kind): _strings(who) for kind, who in _object(value, "Principal").items()}


def _conditions(value: Mapping[str, Any]) -> Iterable[Condition]:
    for written, keys in value.items():
        name = written.lower()
        qualifier, _, operator = name.rpartition(":")
        base = operator.removesuffix("ifexists")
        for key, values in _object(keys, f"Condition {written}").items():
            yield Condition(
                operator=base,
                key=key.lower(),
                values=_strings(values),
                holds_when_absent=base != operator or qualifier == "forallvalues",
            )
