"""Typed reader of IAM, trust, resource and endpoint policy documents.

Only what can be read from the text is decided here. Names of actions, condition operators and
condition keys are compared without regard to case, as IAM does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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

ANY = "\0"
"""Stands, in a text that is held against a pattern, for whatever there may be: only ``*`` fits."""

PARTITIONS = ("aws", "aws-cn", "aws-us-gov")

_POSITIVE = frozenset(
    {"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"}
)
_NEGATED = frozenset(
    {"stringnotequals", "stringnotequalsignorecase", "stringnotlike", "arnnotequals", "arnnotlike"}
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
    fails_when_absent: bool
    """Whether a request without the key fails also a negated operator (``ForAnyValue``)."""

    def binds(self, keys: frozenset[str]) -> bool:
        """Whether the condition limits one of the keys to given values."""
        return (
            self.key in keys
            and self.operator in _POSITIVE
            and not self.holds_when_absent
            and self.bounded
        )

    def excepts(self) -> bool:
        """Whether it makes a denial hold for all but given values, an absent one included."""
        return self.operator in _NEGATED and not self.fails_when_absent and self.bounded

    @property
    def bounded(self) -> bool:
        """Whether it names values, and none that strangers have as well."""
        return bool(self.values) and not any(_unbounded(value) for value in self.values)


_KINDS = ("arn:", "o-", "vpc-", "vpce-")
"""How values begin of which everybody has some."""


def _unbounded(value: str) -> bool:
    """Whether a wanted value is a pattern that strangers fit as well."""
    written = re.split(r"[*?]", value)[0]
    kind = any(kind.startswith(written) for kind in _KINDS) or written.isdigit()
    if written != value and kind:
        return True
    if value.startswith("arn:"):
        account, _, resource = value.split(":", 4)[-1].partition(":")
        # An ARN without an account, as of a bucket, is unique by its name.
        return resource.startswith("*") if not account else "*" in account or "?" in account
    return not value.strip("*?/-")


def fits(pattern: str, text: str) -> bool:
    """Whether a pattern fits a text, as IAM compares: ``*`` and ``?`` only, by case."""
    return _expression(pattern).fullmatch(text) is not None


@lru_cache(maxsize=2048)
def _expression(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": f"[^{ANY}]"}
    return re.compile("".join(parts.get(c) or re.escape(c) for c in pattern), re.DOTALL)


@lru_cache(maxsize=2048)
def reaches(pattern: str, arn: str) -> bool:
    """Whether a pattern of ARNs fits some ARN of a kind, with all that :data:`ANY` stands for.

    Args:
        pattern: as in a statement.
        arn: fields that may be anything are ``*``; what has to be fitted whole is :data:`ANY`.
    """
    # (i, j): the pattern up to i and the ARN up to j fit each other.
    met = {(0, 0)}
    for i in range(len(pattern) + 1):
        for j in range(len(arn) + 1):
            if (i, j) not in met:
                continue
            ours, theirs = pattern[i : i + 1], arn[j : j + 1]
            if ours == "*":
                met |= {(i + 1, j), (i, j + 1)}
            elif theirs == "*":
                met.add((i, j + 1))
                if ours != ":":
                    met.add((i + 1, j))
            elif ours and (ours == theirs or (ours == "?" and theirs not in ("", ANY))):
                met.add((i + 1, j + 1))
    return (len(pattern), len(arn)) in met


def any_role(pattern: str) -> bool:
    """Whether a pattern of ARNs fits every role of some account."""
    return reaches(_widened(pattern), f"arn:*:iam::*:role/{ANY}")


def _widened(pattern: str) -> str:
    return re.sub(r"[*?]*\*[*?]*", "*", pattern)


@dataclass(frozen=True)
class Statement:
    """One statement; absent elements are empty.

    Where it allows, ``?`` beside ``*`` is left out: what allows all names but the shortest is
    judged as allowing all.
    """

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
        return bool(self.not_actions) or any(fits(a, f"{ANY}:{ANY}") for a in self.actions)

    @property
    def any_resource(self) -> bool:
        """Whether it covers every resource of some account or region."""
        return self.reaches(f"arn:*:{ANY}:*:*:{ANY}")

    def reaches(self, arn: str) -> bool:
        """Whether its resources take in some ARN of a kind; see :func:`reaches`."""
        return bool(self.not_resources) or any(reaches(name, arn) for name in self.resources)

    def covers(self, action: str) -> bool:
        """Whether an action, such as ``s3:GetObject``, is among its actions.

        ``s3:`` and :data:`ANY` ask for all actions of S3.
        """
        wanted = action.lower()
        if self.not_actions:
            return not any(fits(pattern.lower(), wanted) for pattern in self.not_actions)
        return any(fits(pattern.lower(), wanted) for pattern in self.actions)

    def bound_by(self, keys: frozenset[str]) -> bool:
        """Whether a condition limits one of the keys to given values."""
        return any(condition.binds(keys) for condition in self.conditions)

    def denies_plain_text(self, action: str) -> bool:
        """Whether it denies everybody an action without TLS, on no other condition."""
        return (
            not self.allows
            and self.any_principal
            and not self.not_actions
            and self.covers(action)
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

    def tls_only(self, action: str) -> bool:
        """Whether everybody is denied an action that does not come by TLS.

        The bucket itself and its objects are resources of their own: of each bucket that is named,
        both have to be denied, the objects whole. That it is the policy's own bucket is seen to by
        S3, which takes no policy about another one.

        Args:
            action: such as ``sns:Publish``, or ``s3:`` and :data:`ANY`.
        """
        denied = [statement for statement in self.denies if statement.denies_plain_text(action)]
        resources = {name for statement in denied for name in statement.resources}
        buckets = {name.partition("/")[0] for name in resources if ":s3:::" in name}
        return bool(resources) and all(
            any(fits(name, wanted) for name in resources)
            for bucket in buckets
            for wanted in (bucket, f"{bucket}/{ANY}")
        )


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
    allows = item["Effect"] == "Allow"
    return Statement(
        sid=str(item.get("Sid", "")),
        allows=allows,
        actions=_patterns(item.get("Action"), allows=allows),
        not_actions=_strings(item.get("NotAction")),
        resources=_patterns(item.get("Resource"), allows=allows),
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


def _patterns(value: Any, *, allows: bool) -> tuple[str, ...]:
    found = _strings(value)
    return tuple(map(_widened, found)) if allows else found


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
                fails_when_absent=base == operator and qualifier == "foranyvalue",
            )
