"""What an extension module is written against: API operations that moto lacks or answers wrongly.

A module in ``localcloud/emulator/extensions/`` holds the operations of one AWS service and is found
by being there. Each operation is one function::

    from localcloud.emulator.extension import ApiError, Context, Params, operation

    @operation("sagemaker", "CreateUserProfile")
    def create_user_profile(ctx: Context, params: Params) -> Params:
        profiles = ctx.store("sagemaker").setdefault("user_profiles", {})
        key = (params["DomainId"], params["UserProfileName"])
        if key in profiles:
            raise ApiError("ResourceInUse", f"User profile {key[1]} already exists.")
        arn = ctx.arn(f"user-profile/{key[0]}/{key[1]}")
        profiles[key] = {**params, "UserProfileArn": arn, "Status": "InService"}
        return {"UserProfileArn": arn}

What an operation can rely on:

- ``params`` was read from the request by botocore's service model (names as in boto3, all
  protocols) and checked against it: required members, types, unknown members, lengths, ranges,
  patterns and enumerations. Timestamps are naive UTC ``datetime``, blobs are ``bytes``, a streaming
  body is ``bytes``.
- The caller was authenticated and authorized, ``iam:PassRole`` included.
- ``ctx.account`` owns the addressed resource: it differs from ``ctx.caller.account`` when the
  request names an ARN of another account and policies allow that.
- Operations run one at a time, so a store needs no locks. What a caller waits long for (a
  function's result, a prediction) is returned as a function without arguments, which is called
  outside the lock and gives the response.
- The returned mapping is checked and serialised by the operation's output shape; an unknown member
  or a wrong type is an error naming the operation, never silently dropped.

An extension takes precedence over moto; ``ctx.forward()`` gives moto's own answer, to be completed.
State that authorization needs is published by further decorators: :func:`resource_policy`,
:func:`resource_tags` and :func:`condition_keys`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from moto.core.utils import get_service_model

Params = dict[str, Any]
"""A request's or response's members, by the names of botocore's model."""


class ApiError(Exception):
    """An error response of the emulated service.

    Args:
        code: Error code as in botocore's model of the service, such as ``ResourceNotFound``.
        message: What the caller reads.
        status: HTTP status. None takes the modelled one, or 400.
        members: Further members of the error's shape, such as ``OriginalStatusCode``.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int | None = None,
        members: Params | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}


@dataclass(frozen=True)
class Caller:
    """Who signed a request.

    Attributes:
        account: Account id of the principal.
        arn: As ``sts:GetCallerIdentity`` gives it: an IAM user's ARN, or an assumed-role session's.
        principal_arn: As policies see it in ``aws:PrincipalArn``: the user's or the role's ARN.
        session_name: The role session's name, None for users.
        source_vpce: Id of the VPC endpoint that the request came through, None for the internet.
        is_service: The emulator itself calls, on behalf of an AWS service; nothing is authorized.
        access_key: The key that signed, None for the emulator itself.
        source_identity: Who the first in a chain of sessions said to be, None when nobody did.
        user_profile: ARN of the Studio profile that calls, None outside Studio.
    """

    account: str
    arn: str
    principal_arn: str
    session_name: str | None = None
    source_vpce: str | None = None
    is_service: bool = False
    access_key: str | None = None
    source_identity: str | None = None
    user_profile: str | None = None


class Host(Protocol):
    """What the emulator offers to operations, through :class:`Context`."""

    organization_id: str
    endpoint: str

    @property
    def compute(self) -> Any:
        """What runs processes: :class:`localcloud.emulator.compute.Compute`."""
        ...

    @property
    def advisories(self) -> Any:
        """What image scans know: :class:`localcloud.emulator.scans.Advisories`."""
        ...

    def store(self, service: str, account: str, region: str) -> dict[str, Any]:
        """The state of one service in one account and region."""
        ...

    def client(self, service: str, account: str, region: str) -> Any:
        """A boto3 client that acts as the emulated AWS itself, in one account and region."""
        ...

    def backend(self, service: str, account: str, region: str) -> Any:
        """Moto's backend of one service in one account and region."""
        ...


class Forward(Protocol):
    """Asks moto, as :class:`Context` describes."""

    def __call__(self, params: Params | None = None) -> Params:
        """Gives moto's answer."""
        ...


@dataclass(frozen=True)
class Context:
    """One call, as an operation sees it.

    Attributes:
        service: botocore's service name, such as ``sagemaker``.
        operation: Operation name, such as ``CreateUserProfile``.
        account: Id of the account that owns the addressed resource.
        region: Region of the call.
        caller: Who calls.
        host: The emulator.
        forward: ``forward()`` gives moto's answer to this very request, as boto3 would return it
            (without ``ResponseMetadata``); ``forward(params)`` its answer to another input of the
            same operation. Raises :class:`ApiError` when moto answers with an error.
    """

    service: str
    operation: str
    account: str
    region: str
    caller: Caller
    host: Host
    forward: Forward

    def store(
        self, service: str | None = None, *, account: str | None = None, region: str | None = None
    ) -> dict[str, Any]:
        """The extensions' state of a service, a plain dict per (service, account, region).

        It lives as long as the emulator. Defaults: this call's service, account and region; use
        ``region="global"`` for services without regions.
        """
        return self.host.store(
            service or self.service, account or self.account, region or self.region
        )

    def client(self, service: str, *, account: str | None = None, region: str | None = None) -> Any:
        """A boto3 client whose calls are made by AWS itself: in this account, not authorized.

        The calls stay inside the emulator's process and do not use the network.
        """
        return self.host.client(service, account or self.account, region or self.region)

    def backend(
        self, service: str, *, account: str | None = None, region: str | None = None
    ) -> Any:
        """Moto's backend object of a service (moto's module name, such as ``sagemaker``).

        For global services (iam, s3, organizations) the region is ignored.
        """
        return self.host.backend(service, account or self.account, region or self.region)

    def arn(self, resource: str, *, service: str | None = None, region: str | None = None) -> str:
        """ARN of a resource of this account: ``arn("domain/d-1")``; ``region=""`` omits it."""
        region = self.region if region is None else region
        return f"arn:aws:{service or self.service}:{region}:{self.account}:{resource}"

    @staticmethod
    def now() -> dt.datetime:
        """The current time, naive UTC, whole seconds."""
        return dt.datetime.now(dt.UTC).replace(microsecond=0, tzinfo=None)


Handler = Callable[[Context, Params], "Params | Callable[[], Params] | None"]
PolicyFinder = Callable[[Context, str], "Mapping[str, Any] | str | None"]
ConditionFinder = Callable[[Context, Params], "Mapping[str, str]"]
TagFinder = Callable[[Context, str], "Mapping[str, str] | None"]

OPERATIONS: dict[tuple[str, str], Handler] = {}
"""(service, operation) -> handler, filled by importing the extension modules."""

POLICY_FINDERS: dict[str, list[PolicyFinder]] = {}
"""service -> functions that find the policy attached to a resource ARN."""

CONDITION_FINDERS: dict[str, list[ConditionFinder]] = {}
"""service -> functions that find condition keys of a call."""

TAG_FINDERS: dict[str, list[TagFinder]] = {}
"""service -> functions that find the tags of a resource ARN."""


def _operation_names(service: str) -> frozenset[str]:
    if service not in _NAMES:
        _NAMES[service] = frozenset(cast(list[str], get_service_model(service).operation_names))
    return _NAMES[service]


_NAMES: dict[str, frozenset[str]] = {}


def operation(service: str, *names: str) -> Callable[[Handler], Handler]:
    """Registers a function for operations of a service.

    Args:
        service: botocore's service name (``boto3.client(service)``).
        names: Operation names; several when one function serves them all (see ``ctx.operation``).

    Raises:
        ValueError: botocore's model has no such operation, or it is registered twice.
    """
    for name in names:
        if name not in _operation_names(service):
            raise ValueError(f"{service}:{name} is not an operation in botocore's model.")
        if (service, name) in OPERATIONS:
            raise ValueError(f"{service}:{name} has two extensions.")

    def register(handler: Handler) -> Handler:
        for name in names:
            OPERATIONS[service, name] = handler
        return handler

    return register


def resource_policy(service: str) -> Callable[[PolicyFinder], PolicyFinder]:
    """Registers a function ``(ctx, arn) -> policy document or None`` for a service's resources.

    ``ctx.account`` and ``ctx.region`` are those of the ARN; ``ctx.forward`` is not available. The
    policy takes part in the authorization of every call that addresses the resource, or a part of
    it: a model package (``…:model-package/group/1``) is asked for by its own ARN. Those of
    resources that moto keeps (buckets, keys, repositories, topics, queues, secrets, event buses)
    are known already.
    """

    def register(finder: PolicyFinder) -> PolicyFinder:
        POLICY_FINDERS.setdefault(service, []).append(finder)
        return finder

    return register


def resource_tags(service: str) -> Callable[[TagFinder], TagFinder]:
    """Registers a function ``(ctx, arn) -> tags or None``: they become ``aws:ResourceTag/…``."""

    def register(finder: TagFinder) -> TagFinder:
        TAG_FINDERS.setdefault(service, []).append(finder)
        return finder

    return register


def condition_keys(service: str) -> Callable[[ConditionFinder], ConditionFinder]:
    """Registers a function ``(ctx, params) -> values`` of condition keys that only state tells.

    It is asked before a call of the service is authorized; ``ctx.forward`` is not available, and
    ``params`` is not checked yet.
    """

    def register(finder: ConditionFinder) -> ConditionFinder:
        CONDITION_FINDERS.setdefault(service, []).append(finder)
        return finder

    return register
