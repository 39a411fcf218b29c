"""IAM policy evaluation with AWS's semantics, for the emulator and for tests.

``Evaluator`` runs the sidecar process and asks it. It covers identity, session and resource
policies, permissions boundaries, service control policies, VPC endpoint policies, all condition
operators, policy variables, and the trust that KMS and STS need in the resource's own policy::

    with Evaluator.start() as evaluator:
        decision = evaluator.evaluate(
            Request(
                principal="arn:aws:sts::111111111111:assumed-role/reader/session",
                action="s3:GetObject",
                resource="arn:aws:s3:::bucket/key",
                resource_account="222222222222",
                context={"aws:sourceVpce": "vpce-1"},
            ),
            Policies(identity={"reader": {...}}, resource={...}),
        )
        assert decision.allowed, decision.reason

Context keys that IAM does not define for the action are refused rather than ignored, so that a
test cannot pass by a misspelt key.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
import subprocess
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from localcloud.authorization import installation

Document = Mapping[str, Any] | str
"""A policy document, parsed or as JSON."""

Kind = Literal["identity", "boundary", "session", "resource", "trust", "scp", "endpoint"]

HOME = Path(__file__).resolve().parents[2] / ".localcloud"
_CACHED_DECISIONS = 20_000
_PREPARED_POLICIES = 4_000
_ANSWER_SECONDS = 30.0

# Wording: IAM user guide, "Troubleshoot access denied error messages".
_POLICY_NAMES = {
    "scp": "service control policy",
    "endpoint": "VPC endpoint policy",
    "resource": "resource-based policy",
    "boundary": "permissions boundary",
    "session": "session policy",
    "identity": "identity-based policy",
}


class PolicyError(ValueError):
    """A policy document or request that IAM itself would refuse; the message names it."""


class EvaluatorError(RuntimeError):
    """The evaluator's process failed."""


@dataclass(frozen=True)
class Request:
    """One request for access.

    Attributes:
        principal: ARN of an IAM user, a role session (``arn:aws:sts::…:assumed-role/…``) or a role,
            or a service principal such as ``events.amazonaws.com``.
        action: Such as ``s3:GetObject``.
        resource: ARN, or ``*`` for actions without resource types.
        resource_account: Account that owns the resource. Empty: the ARN's, else the principal's.
        context: Condition keys and values; numbers and booleans as strings, as IAM sees them.
    """

    principal: str
    action: str
    resource: str = "*"
    resource_account: str = ""
    context: Mapping[str, str | list[str]] = field(default_factory=dict[str, "str | list[str]"])


@dataclass(frozen=True)
class Policies:
    """The policies that take part, by where they are attached.

    Attributes:
        identity: Name -> document of the principal's policies.
        resource: The resource's own policy; for ``sts:AssumeRole`` the role's trust policy.
        boundary: The principal's permissions boundary.
        session: The session policy given when the role was assumed.
        scp: Name -> document, one service control policy per level of the organisation.
        endpoint: Policy of the VPC endpoint that the request comes through.
    """

    identity: Mapping[str, Document] = field(default_factory=dict[str, Document])
    resource: Document | None = None
    boundary: Document | None = None
    session: Document | None = None
    scp: Mapping[str, Document] = field(default_factory=dict[str, Document])
    endpoint: Document | None = None


@dataclass(frozen=True)
class Statement:
    """A statement that matched the request.

    Attributes:
        kind: Where its policy is attached: identity, resource, boundary, session, scp, endpoint.
        policy: Name of the policy, None for the only one of its kind.
        sid: The statement's Sid, None when it has none.
        effect: ``Allow`` or ``Deny``.
    """

    kind: str
    policy: str | None
    sid: str | None
    effect: str


@dataclass(frozen=True)
class Decision:
    """What IAM decides, and why.

    Attributes:
        allowed: Whether the request is allowed.
        explicit_deny: Whether a Deny statement decided.
        reason: For denials AWS's own wording, as at the end of its access-denied messages.
        statements: The matching statements: the denying ones if a Deny decided, else the allowing.
        ignored_context: Context keys that do not exist for this action and resource.
    """

    allowed: bool
    explicit_deny: bool
    reason: str
    statements: tuple[Statement, ...]
    ignored_context: tuple[str, ...] = ()

    @property
    def sids(self) -> tuple[str, ...]:
        """Sids of the deciding statements."""
        return tuple(item.sid for item in self.statements if item.sid)


# Keys that the evaluator's reference cannot hold: claims of identity providers that it does not
# list, and pairs of an encryption context. They travel as request tags of a reserved name, in
# policies and in requests alike, which leaves their meaning as it is.
_CARRIED = re.compile(
    r"kms:EncryptionContext:.+|(?!aws:|saml:).+\.[^:]+:(sub|aud|amr)", re.IGNORECASE
)
_CARRIER = "aws:RequestTag/localcloud."


def _carried(key: str) -> str:
    return f"{_CARRIER}{key}" if _CARRIED.fullmatch(key) else key


def _with_carried_keys(document: Any) -> Any:
    """The document with the names of carried keys in its conditions."""
    if not isinstance(document, dict):
        return document
    policy = cast(dict[str, Any], document)
    statements = policy.get("Statement")
    if statements is None:
        return policy
    if isinstance(statements, dict):
        statements = [statements]
    return {
        **policy,
        "Statement": [_with_carried_conditions(item) for item in cast(list[Any], statements)],
    }


def _with_carried_conditions(statement: Any) -> Any:
    if not isinstance(statement, dict):
        return statement
    fields = cast(dict[str, Any], statement)
    conditions = fields.get("Condition")
    if not isinstance(conditions, dict):
        return fields
    return {
        **fields,
        "Condition": {
            operator: (
                {_carried(key): value for key, value in cast(dict[str, Any], keys).items()}
                if isinstance(keys, dict)
                else keys
            )
            for operator, keys in cast(dict[str, Any], conditions).items()
        },
    }


def _account_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) > 4 else ""


def _decision(answer: dict[str, Any], request: Request) -> Decision:
    allowed = answer["result"] == "Allowed"
    explicit = answer["result"] == "ExplicitlyDenied"
    chosen: list[dict[str, Any]] = answer["denies"] if explicit else answer["allows"]
    statements = tuple(
        Statement(item["kind"], item["policy"], item["sid"], item["effect"]) for item in chosen
    )
    if allowed:
        reason = "allowed by " + (
            ", ".join(f"{s.kind} statement {s.sid or 'without Sid'}" for s in statements)
            or "the service"
        )
    elif explicit:
        kinds = {statement.kind for statement in statements}
        kind = next((kind for kind in _POLICY_NAMES if kind in kinds), "resource")
        article = "an" if kind == "identity" else "a"
        reason = f"with an explicit deny in {article} {_POLICY_NAMES[kind]}"
    else:
        kind = _missing_allow(answer)
        reason = f"because no {_POLICY_NAMES[kind]} allows the {request.action} action"
    return Decision(
        allowed, explicit, reason, statements, tuple(answer.get("ignoredContextKeys", ()))
    )


def _missing_allow(answer: dict[str, Any]) -> str:
    """The policy type to name in an implicit denial: the core grant first, then the guardrails."""
    results: dict[str, str] = answer["results"]
    if results.get("identity") != "Allowed":
        return "identity"
    if not answer["sameAccount"] and results.get("resource") not in (
        "Allowed",
        "AllowedForAccount",
    ):
        return "resource"
    for kind in ("session", "scp", "boundary", "endpoint"):
        if results.get(kind, "Allowed") != "Allowed":
            return kind
    return "resource"


def _prepared(kind: Kind, document: Document, name: str) -> tuple[str, Any]:
    """A policy's identifier, and its document as the process takes it.

    Raises:
        PolicyError: It is no JSON; names the policy.
    """
    if not isinstance(document, str):
        return _identified(kind, document)
    try:
        return _prepared_text(kind, document)
    except json.JSONDecodeError as error:
        raise PolicyError(f"{name} is not JSON: {error}") from error


@functools.lru_cache(maxsize=_PREPARED_POLICIES)
def _prepared_text(kind: Kind, text: str) -> tuple[str, Any]:
    # The same few policies come with every call that a role makes.
    return _identified(kind, json.loads(text))


def _identified(kind: Kind, document: Any) -> tuple[str, Any]:
    carried = _with_carried_keys(document)
    text = json.dumps(carried, sort_keys=True)
    return hashlib.sha256(f"{kind}:{text}".encode()).hexdigest(), carried


class Evaluator:
    """A running evaluator process. Use :meth:`start`; safe to use from several threads."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._ids = itertools.count()
        self._sent: set[str] = set()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._cache: OrderedDict[str, Decision] = OrderedDict()
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="iam-evaluator", daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, home: Path = HOME) -> Self:
        """Starts the process.

        Args:
            home: The local cloud's folder, where ``python -m localcloud install`` put the packages.

        Raises:
            NotInstalledError: The packages are not installed.
        """
        return cls(
            subprocess.Popen(
                installation.command(home),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        if self._process.stdout:
            self._process.stdout.close()

    def validate(self, kind: Kind, document: Document) -> list[str]:
        """Syntax errors of a policy document, as ``path: message``; empty when AWS takes it."""
        new: dict[str, Any] = {}
        try:
            policy = self._policy_id(kind, document, "The policy", new)
        except PolicyError as error:
            return [str(error)]
        answer = self._ask({"op": "validate", "policy": policy}, new)
        return [f"{item['path'] or 'document'}: {item['message']}" for item in answer["errors"]]

    def evaluate(self, request: Request, policies: Policies, *, strict: bool = True) -> Decision:
        """Decides a request.

        Args:
            request: Who wants what.
            policies: All policies that apply.
            strict: Refuse context keys that IAM does not define for the action. The emulator, which
                gives whatever it knows about a call, sets False.

        Raises:
            PolicyError: A policy is malformed, or the action, resource or a context key does not
                exist in IAM's reference.
            EvaluatorError: The process failed.
        """
        new: dict[str, Any] = {}
        message = self._message(request, policies, new)
        key = json.dumps(message, sort_keys=True)
        with self._lock:
            decision = self._cache.get(key)
            if decision:
                self._cache.move_to_end(key)
        if decision is None:
            answer = self._ask(message, new)
            if "error" in answer:
                raise PolicyError(_problem(request, answer))
            decision = _decision(answer, request)
            with self._lock:
                self._cache[key] = decision
                if len(self._cache) > _CACHED_DECISIONS:
                    self._cache.popitem(last=False)
        if strict and decision.ignored_context:
            raise PolicyError(
                f"IAM defines no context key {', '.join(decision.ignored_context)} for"
                f" {request.action} on {request.resource}."
            )
        return decision

    def _message(self, request: Request, policies: Policies, new: dict[str, Any]) -> dict[str, Any]:
        def many(kind: Kind, documents: Mapping[str, Document]) -> list[list[str]]:
            return [
                [name, self._policy_id(kind, document, name, new)]
                for name, document in documents.items()
            ]

        def at_most_one(kind: Kind, document: Document | None) -> list[list[str]]:
            return [] if document is None else many(kind, {kind: document})

        def single(kind: Kind, document: Document | None) -> str | None:
            if document is None:
                return None
            return self._policy_id(kind, document, f"The {kind} policy", new)

        account = (
            request.resource_account
            or _account_of(request.resource)
            or _account_of(request.principal)
        )
        trust = request.action.startswith("sts:AssumeRole")
        return {
            "op": "evaluate",
            "request": {
                "principal": request.principal,
                "action": request.action,
                "resource": request.resource,
                "resourceAccount": account,
                "context": {_carried(key): value for key, value in request.context.items()},
            },
            "policies": {
                "identity": many("identity", policies.identity),
                "scp": many("scp", policies.scp),
                "boundary": at_most_one("boundary", policies.boundary),
                "endpoint": at_most_one("endpoint", policies.endpoint),
                "session": single("session", policies.session),
                "resource": single("trust" if trust else "resource", policies.resource),
            },
        }

    @staticmethod
    def _policy_id(kind: Kind, document: Document, name: str, new: dict[str, Any]) -> str:
        identifier, carried = _prepared(kind, document, name)
        new[identifier] = {"kind": kind, "document": carried}
        return identifier

    def _ask(self, message: dict[str, Any], documents: dict[str, Any]) -> dict[str, Any]:
        number = next(self._ids)
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            # The process reads in order, so a document sent once is known to all later messages.
            unsent = {key: value for key, value in documents.items() if key not in self._sent}
            self._waiting[number] = future
            line = json.dumps({"id": number, **message, "documents": unsent})
            try:
                stdin = self._process.stdin
                if stdin is None:
                    raise EvaluatorError("The IAM evaluator's process has no input.")
                stdin.write(line + "\n")
                stdin.flush()
            except (OSError, ValueError) as error:
                self._waiting.pop(number, None)
                raise EvaluatorError(
                    f"The IAM evaluator's process has ended (exit {self._process.poll()})."
                ) from error
            self._sent.update(unsent)
        return future.result(timeout=_ANSWER_SECONDS)

    def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is None:
            return
        for line in stdout:
            answer = cast(dict[str, Any], json.loads(line))
            with self._lock:
                future = self._waiting.pop(answer["id"], None)
            if future:
                future.set_result(answer)
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(EvaluatorError("The IAM evaluator's process ended meanwhile."))


def _problem(request: Request, answer: dict[str, Any]) -> str:
    where = f"{request.action} on {request.resource} by {request.principal}"
    return f"IAM cannot evaluate {where}: {answer['error']} {json.dumps(answer.get('details', {}))}"
