"""Who calls: credentials, principals and the policies attached to them.

IAM users and roles are moto's; role sessions are kept here, because moto neither checks trust nor
forgets credentials. Unlike moto, which takes any access key for that of a default account, a key
that nobody issued is refused.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.backends import get_backend
from moto.iam.models import AccessKey

from localcloud.emulator.extension import ApiError, Caller

ADMINISTRATOR = "administrator"
_ADMINISTRATOR_POLICY = (
    '{"Version": "2012-10-17", "Statement": [{"Sid": "Administrator", "Effect": "Allow",'
    ' "Action": "*", "Resource": "*"}]}'
)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def iam(account: str) -> Any:
    """moto's IAM backend of an account."""  # noqa: D403
    return get_backend("iam")[account]["aws"]


def administrator_key(account: str) -> tuple[str, str]:
    """The made-up access key of an account's administrator: (id, secret), the same in every run.

    The id has AWS's length, which clients check, but not its prefix: AWS issues no such key.
    """
    return f"LKIALOCL{account}", f"local-cloud-made-up-secret-{account}"


def create_administrator(account: str) -> None:
    """Makes the IAM user ``administrator`` of an account."""
    backend = iam(account)
    user = backend.create_user("us-east-1", ADMINISTRATOR, "/", None)
    user.policies["Administrator"] = _ADMINISTRATOR_POLICY
    key: Any = AccessKey(ADMINISTRATOR, prefix="AKIA", account_id=account)
    key.access_key_id, key.secret_access_key = administrator_key(account)
    user.access_keys.append(key)
    backend.access_keys[key.access_key_id] = key


@dataclass(frozen=True)
class Network:
    """A VPC that credentials are used in.

    Attributes:
        account: Account that owns it.
        vpc_id: Its id.
        subnet_ids: Subnets of it that calls come from.
    """

    account: str
    vpc_id: str
    subnet_ids: tuple[str, ...]


@dataclass(frozen=True)
class Session:
    """Credentials that STS issued.

    Attributes:
        account: Account of the role or user.
        role_name: The assumed role; None for a user's session (``GetSessionToken``).
        user_name: The user of a user's session.
        name: Role session name.
        access_key: Access key id.
        secret: Secret access key.
        token: Session token.
        expires: When they end, UTC.
        issued: When they were issued, UTC.
        policy: Session policy as JSON, if any.
        tags: Session tags.
        network: Where a process of an AWS service uses them; None anywhere.
        source_identity: Who the first in a chain of sessions said to be.
        user_profile: ARN of the Studio profile that the session is of.
    """

    account: str
    role_name: str | None
    user_name: str | None
    name: str
    access_key: str
    secret: str
    token: str
    expires: dt.datetime
    issued: dt.datetime
    policy: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    network: Network | None = None
    source_identity: str | None = None
    user_profile: str | None = None


@dataclass(frozen=True)
class Principal:
    """A caller with everything that authorization needs to know.

    Attributes:
        caller: Who it is.
        user_id: ``aws:userid``.
        identity: Name -> JSON of the inline and attached policies.
        boundary: JSON of the permissions boundary.
        session_policy: JSON of the session policy.
        tags: The principal's tags and session tags.
        user_name: Name of the IAM user, None for roles.
        issued: When its session began, None for long-term keys.
    """

    caller: Caller
    user_id: str
    identity: Mapping[str, str]
    boundary: str | None = None
    session_policy: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    user_name: str | None = None
    issued: dt.datetime | None = None


class Credentials:
    """All credentials that the emulator takes."""

    def __init__(self, accounts: frozenset[str]) -> None:
        self._accounts = accounts
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def issue(
        self,
        account: str,
        *,
        role_name: str | None = None,
        user_name: str | None = None,
        name: str = "",
        seconds: int = 3600,
        policy: str | None = None,
        tags: Mapping[str, str] | None = None,
        network: Network | None = None,
        source_identity: str | None = None,
        user_profile: str | None = None,
    ) -> Session:
        """Issues credentials for a role or a user."""
        now = dt.datetime.now(dt.UTC)
        session = Session(
            account=account,
            role_name=role_name,
            user_name=user_name,
            name=name,
            access_key="LSIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)),
            secret=secrets.token_urlsafe(30),
            token=f"local-cloud-session-{secrets.token_urlsafe(48)}",
            expires=now + dt.timedelta(seconds=seconds),
            issued=now,
            policy=policy,
            tags=dict(tags or {}),
            network=network,
            source_identity=source_identity,
            user_profile=user_profile,
        )
        with self._lock:
            for key in [k for k, old in self._sessions.items() if old.expires < now]:
                del self._sessions[key]
            self._sessions[session.access_key] = session
        return session

    def forwarded(self, caller: Caller, seconds: int = 3600) -> Session:
        """Credentials by which a service acts in a caller's name, from wherever the service is.

        Raises:
            ApiError: ``InvalidClientTokenId``: the caller's own are gone.
        """
        old = self._sessions.get(caller.access_key or "")
        if old is None and caller.session_name is not None:
            raise _invalid()
        return self.issue(
            caller.account,
            role_name=old.role_name if old else None,
            user_name=old.user_name if old else caller.arn.rsplit("/", 1)[-1],
            name=old.name if old else "",
            seconds=seconds,
            policy=old.policy if old else None,
            tags=old.tags if old else None,
            source_identity=old.source_identity if old else None,
            user_profile=old.user_profile if old else None,
        )

    def network(self, access_key: str) -> Network | None:
        """Where a key is used from, if a process in a VPC has it."""
        session = self._sessions.get(access_key)
        return session.network if session else None

    def secret(self, access_key: str) -> str | None:
        """The secret of a key, None when the emulator did not issue it."""
        session = self._sessions.get(access_key)
        if session:
            return session.secret
        keys = (iam(account).access_keys.get(access_key) for account in self._accounts)
        return next((str(key.secret_access_key) for key in keys if key), None)

    def principal(self, access_key: str, token: str | None, source_vpce: str | None) -> Principal:
        """Finds whose key signed a request.

        Raises:
            ApiError: ``InvalidClientTokenId`` or ``ExpiredToken``.
        """
        session = self._sessions.get(access_key)
        if session:
            if session.token != token:
                raise _invalid()
            if session.expires < dt.datetime.now(dt.UTC):
                raise ApiError(
                    "ExpiredToken", "The security token included in the request is expired", 403
                )
            if session.role_name:
                return role_principal(
                    session.account, session.role_name, session, source_vpce=source_vpce
                )
            return _user_principal(session.account, session.user_name or "", session, source_vpce)
        for account in self._accounts:
            key = iam(account).access_keys.get(access_key)
            if key and key.user_name and key.status == "Active" and token is None:
                return _user_principal(account, key.user_name, None, source_vpce)
        raise _invalid()


def _invalid() -> ApiError:
    return ApiError(
        "InvalidClientTokenId",
        "The security token included in the request is invalid. The local cloud takes only the"
        " made-up keys of its own administrators (python -m localcloud status) and what its STS"
        " issued.",
        403,
    )


def find_role(account: str, name: str) -> Any:
    """moto's role object, None when there is no such role."""  # noqa: D403
    return next((role for role in list(iam(account).roles.values()) if role.name == name), None)


def role_principal(
    account: str, role_name: str, session: Session | None, *, source_vpce: str | None = None
) -> Principal:
    """The principal of a role session.

    Raises:
        ApiError: The role is gone.
    """
    role = find_role(account, role_name)
    if role is None:
        raise _invalid()
    name = session.name if session else "service"
    caller = Caller(
        account=account,
        arn=f"arn:aws:sts::{account}:assumed-role/{role_name}/{name}",
        principal_arn=role.arn,
        session_name=name,
        source_vpce=source_vpce,
        source_identity=session.source_identity if session else None,
        user_profile=session.user_profile if session else None,
    )
    tags = {tag["Key"]: tag["Value"] for tag in _tag_list(role.tags)}
    return Principal(
        caller=caller,
        user_id=f"{role.id}:{name}",
        identity=dict(_documents(role)),
        boundary=_managed(account, role.permissions_boundary_arn),
        session_policy=session.policy if session else None,
        tags={**tags, **(session.tags if session else {})},
        issued=session.issued if session else None,
    )


def _user_principal(
    account: str, name: str, session: Session | None, source_vpce: str | None
) -> Principal:
    backend = iam(account)
    user = backend.users.get(name)
    if user is None:
        raise _invalid()
    identity = dict(_documents(user))
    for group in backend.get_groups_for_user(name):
        identity |= {f"{group.name}/{key}": value for key, value in _documents(group)}
    return Principal(
        caller=Caller(account, user.arn, user.arn, source_vpce=source_vpce),
        user_id=user.id,
        identity=identity,
        boundary=_managed(account, getattr(user, "permissions_boundary_arn", None)),
        tags={tag["Key"]: tag["Value"] for tag in _tag_list(user.tags)},
        user_name=name,
        issued=session.issued if session else None,
    )


def _tag_list(tags: Any) -> list[dict[str, str]]:
    if isinstance(tags, dict):
        return list(tags.values())
    return list(tags or ())


def _documents(entity: Any) -> Iterator[tuple[str, str]]:
    yield from list(entity.policies.items())
    for policy in list(entity.managed_policies.values()):
        yield policy.arn, _default_version(policy)


def _default_version(policy: Any) -> str:
    return next(version.document for version in policy.versions if version.is_default)


def _managed(account: str, arn: str | None) -> str | None:
    policy = iam(account).managed_policies.get(arn) if arn else None
    return _default_version(policy) if policy else None
