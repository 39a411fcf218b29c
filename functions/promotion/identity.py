"""Who somebody is, from what AWS tells of a caller: one person may come by many ways.

A person has another role in each account, a profile in Studio, perhaps an account at a code host.
What stays the same is a name: the source identity, the profile's name, the user's name, or the
session name that a company's sign-in gives. Two identities are one person when they have a name in
common. A role that a service assumes has a session name that the service chose: it names nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

_MOST = (
    256  # Source: CustomerMetadataProperties of CreateModelPackage in SageMaker's API reference.
)

_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:iam|sts)::(?P<account>\d*):"
    r"(?P<kind>user|assumed-role|federated-user|role|root)(?:/(?P<rest>.+))?"
)
# Session names that services and SDKs make up when they assume a role.
_SERVICE_SESSION = re.compile(
    r"sagemaker([.-].*)?|amazonsagemaker.*|awscodebuild-.*|codepipeline.*|i-[0-9a-f]+"
    r"|botocore-session-\d+|boto3-session|aws-(go|cli|sdk)[a-z0-9-]*|awscli-session|githubactions"
    r"|service|\d+|[0-9a-f-]{36}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Person:
    """Somebody, by the names that are known.

    Attributes:
        names: Names, normalised; none when nobody is named.
        told: What AWS told, for people to read.
    """

    names: frozenset[str]
    told: str

    def is_same(self, other: Person) -> bool:
        """Whether they have a name in common; a mail address is the name before its ``@`` too."""
        return any(_equal(mine, yours) for mine in self.names for yours in other.names)


def describe_user(context: Mapping[str, Any] | None) -> str:
    """A ``UserContext`` of SageMaker as text that customer metadata can hold.

    ``SourceIdentity=… UserProfileName=… Arn=…``: as many of these as are known and fit, the ones
    that tell most first.

    Args:
        context: As SageMaker describes who made or changed something.
    """
    context = context or {}
    identity: Mapping[str, str] = context.get("IamIdentity") or {}
    parts = (
        ("SourceIdentity", identity.get("SourceIdentity")),
        ("UserProfileName", context.get("UserProfileName")),
        ("Arn", identity.get("Arn") or context.get("UserProfileArn")),
    )
    told = ""
    for name, value in parts:
        longer = f"{told} {name}={value}".strip()
        if value and len(longer) <= _MOST:
            told = longer
    return told


def read_person(told: str, service_roles: Iterable[str] = ()) -> Person:
    """Whom a text names: that of :func:`describe_user`, an ARN, or a plain name.

    Args:
        told: The text.
        service_roles: Names of roles, ``*`` at their end for any, whose sessions name nobody.
    """
    names: set[str] = set()
    for part in told.split():
        key, separator, value = part.partition("=")
        if not separator or key not in ("SourceIdentity", "UserProfileName", "Arn"):
            key, value = "", part
        names.add(_of_arn(value, tuple(service_roles)) if value.startswith("arn:") else value)
    return Person(frozenset(map(_normal, names)) - {""}, told)


def read_build(told: str, build_roles: Iterable[str]) -> Person | None:
    """The build that a text names, as somebody who is nobody else; None when it names none.

    Args:
        told: As for :func:`read_person`.
        build_roles: Names of the roles of builds, ``*`` for any characters.
    """
    for part in told.split():
        match = _ARN.fullmatch(part.rpartition("=")[2])
        if match and match["kind"] == "assumed-role":
            role = (match["rest"] or "").partition("/")[0]
            if any(fnmatchcase(role, pattern) for pattern in build_roles):
                return Person(frozenset({_normal(role)}), told)
    return None


def _of_arn(arn: str, service_roles: tuple[str, ...]) -> str:
    """The name in an ARN; empty when it names nobody."""
    if ":user-profile/" in arn:
        return arn.rpartition("/")[2]
    match = _ARN.fullmatch(arn)
    if match is None:
        return ""
    rest = match["rest"] or ""
    if match["kind"] == "root":
        return f"root-of-{match['account']}"
    if match["kind"] == "assumed-role":
        role, _, session = rest.partition("/")
        by_service = _SERVICE_SESSION.fullmatch(session) or any(
            fnmatchcase(role, pattern) for pattern in service_roles
        )
        return "" if by_service else session
    return "" if match["kind"] == "role" else rest.rpartition("/")[2]


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9@]+", "-", name.lower()).strip("-")


def _equal(mine: str, yours: str) -> bool:
    if "@" in mine and "@" in yours:
        return mine == yours
    return mine.partition("@")[0] == yours.partition("@")[0]
