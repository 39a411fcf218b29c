"""The emulator: a WSGI application before moto that makes it an AWS of several accounts.

A request is read by botocore's model, its signer is found, faults strike, IAM decides, and the call
is carried out by an extension or by moto in the account that owns the addressed resource.
"""

from __future__ import annotations

import dataclasses
import http
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from localcloud.authorization import Decision, Evaluator
from localcloud.emulator import (
    builds,
    catalog,
    clients,
    compute,
    conditions,
    events,
    extensions,
    functions,
    motoserver,  # first: it sets moto up
    protocol,
    signatures,
    stacks,
    sts,
    studio,
    triggers,
    world,
)
from localcloud.emulator.actions import Reference
from localcloud.emulator.authorizer import Authorizer
from localcloud.emulator.extension import (
    CONDITION_FINDERS,
    OPERATIONS,
    POLICY_FINDERS,
    TAG_FINDERS,
    ApiError,
    Caller,
    Context,
    Params,
)
from localcloud.emulator.faults import CallLog, Fault, Faults
from localcloud.emulator.identity import Credentials, Principal, create_administrator
from localcloud.emulator.protocol import Call, Signature, UnknownCallError
from localcloud.emulator.scans import Advisories, Advisory

_log = logging.getLogger(__name__)

CONTROL = "/_localcloud/"
INTERNAL_ACCOUNT = "localcloud.account"
"""Key of the WSGI environment that marks a call made by AWS itself; no HTTP request can set it."""

_SOURCE_VPCE = "HTTP_X_LOCALCLOUD_SOURCE_VPCE"
_SECURE = "HTTP_X_LOCALCLOUD_SECURE_TRANSPORT"

Response = tuple[int, list[tuple[str, str]], bytes]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an emulator is started for.

    Attributes:
        instance: Id of this run.
        accounts: Environment name -> account id; several may share one.
        organization_id: Organisation of all accounts, such as ``o-localcloud``.
        region: The region that people see; calls may be for others.
        endpoint: Base URL that clients use.
    """

    instance: str
    accounts: Mapping[str, str]
    organization_id: str
    region: str
    endpoint: str


class Emulator:
    """The WSGI application, and what extensions reach of it.

    Args:
        settings: What it is started for.
        evaluator: The IAM evaluator, ended by the caller.
        reference_folder: The service authorization reference (``iam-data``).
    """

    def __init__(self, settings: Settings, evaluator: Evaluator, reference_folder: Path) -> None:
        self.settings = settings
        self.organization_id = settings.organization_id
        self.endpoint = settings.endpoint
        self.accounts = frozenset(settings.accounts.values())
        self.credentials = Credentials(self.accounts)
        self.faults = Faults()
        self.calls = CallLog()
        self.advisories = Advisories()
        self._moto = motoserver.Moto()
        self._stores: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._clients = clients.Internal(self._internal_response)
        # moto is not made for several threads; the interpreter's lock leaves nothing to gain.
        self._lock = threading.RLock()
        self._authorizer = Authorizer(
            evaluator, Reference(reference_folder), self._policy_of, self._tags_of, self._keys_of
        )
        self.events = events.Router(self._authorizer, settings.organization_id)
        self.compute = compute.Compute(
            self.credentials, self._authorizer, settings.organization_id, settings.endpoint
        )
        self.functions = functions.Functions(self.compute, self.client, self.allowed)
        self.events.targets["lambda"] = self._invoke_for_event
        self.delivery = builds.attach(self)
        self.stacks = stacks.Stacks(settings.endpoint)
        self.launches = catalog.Launches(self.compute, self.decide)
        world.use_accounts(self.accounts)
        extensions.load()
        for account in sorted(self.accounts):
            create_administrator(account)
        # An evaluator that cannot work shows now, not at the first call.
        self._authorizer.check()
        self.triggers = triggers.Triggers(self, self.accounts, settings.region, self._lock)

    # What extensions reach.

    def store(self, service: str, account: str, region: str) -> dict[str, Any]:
        """The extensions' state of a service in an account and region."""
        return self._stores.setdefault((service, account, region), {})

    def client(self, service: str, account: str, region: str) -> Any:
        """A boto3 client that acts as AWS itself."""
        return self._clients.client(service, account, region)

    def backend(self, service: str, account: str, region: str) -> Any:
        """moto's backend."""  # noqa: D403
        return world.backend(service, account, region)

    def allowed(
        self,
        task: compute.Task,
        action: str,
        resource: str,
        context: Mapping[str, conditions.Value] | None = None,
    ) -> bool:
        """Whether the role of a service's process may do something, as the service asks it."""
        principal = self.compute.principal(task)
        return self.decide(principal, action, resource, task.account, task.region, context).allowed

    def decide(
        self,
        principal: Principal,
        action: str,
        resource: str,
        owner: str,
        region: str,
        context: Mapping[str, conditions.Value] | None = None,
    ) -> Decision:
        """Decides on what is no API call, such as the use of a connection or a push by git."""
        whole: dict[str, conditions.Value] = {
            "aws:SecureTransport": "true",
            "aws:RequestedRegion": region,
            "aws:PrincipalOrgID": self.organization_id,
            **(context or {}),
        }
        return self._authorizer.delivery(action, resource, owner, principal, whole)

    def publish(self, event: events.Event) -> None:
        """Publishes what a service says by itself, on its account's default bus."""
        with self._lock:
            self.events.publish(event, event.account, event.region)

    def _invoke_for_event(self, arn: str, message: Any) -> None:
        parsed = world.Arn.parse(arn)
        store = self.store("lambda", parsed.account, parsed.region) if parsed else {}
        function = store.get("functions", {}).get(arn.rsplit(":", 1)[-1])
        if function is None:
            raise events.UndeliverableError("NO_RESOURCE", f"there is no function {arn}")
        self.functions.invoke_later(function, json.dumps(message).encode())

    def web_identity(
        self, params: Params, provider: str, claims: Mapping[str, conditions.Value]
    ) -> Decision:
        """Whether a role trusts a web identity."""
        return self._authorizer.web_identity(params, provider, claims)

    def user_id(self, caller: Caller) -> str:
        """The unique id of a caller, as ``sts:GetCallerIdentity`` shows it."""
        iam = world.backend("iam", caller.account, "")
        if caller.session_name is None:
            return cast(str, iam.users[caller.arn.rsplit("/", 1)[-1]].id)
        name = caller.principal_arn.rsplit("/", 1)[-1]
        role = next(role for role in iam.roles.values() if role.name == name)
        return f"{role.id}:{caller.session_name}"

    # Requests.

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answers an HTTP request."""
        environ.pop(motoserver.ACCOUNT_HEADER, None)
        if environ["PATH_INFO"].startswith(CONTROL):
            status, headers, body = self._control(environ)
        else:
            status, headers, body = self._respond(environ)
        names = {name.lower() for name, _ in headers}
        if "content-length" not in names and status not in (204, 304):
            headers.append(("Content-Length", str(len(body))))
        phrase = http.HTTPStatus(status).phrase
        start_response(f"{status} {phrase}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _respond(self, environ: dict[str, Any]) -> Response:
        sign = protocol.signature(protocol.Request(environ.copy()))
        try:
            call = protocol.read(environ, sign)
        except UnknownCallError as error:
            if sign is None:
                return _plain_error(403, "MissingAuthenticationToken", "The request is not signed.")
            return _plain_error(400, "UnknownOperationException", str(error))
        served_by = "nobody"
        try:
            if sign is not None and sign.access_key == self.stacks.answers.access_key:
                served_by = "extension"
                response = self._take_answer(environ, call)
            else:
                caller, owner = self._admit(environ, call, sign)
                call = protocol.with_plain_names(call, environ)
                served_by = "extension" if (call.service, call.operation) in OPERATIONS else "moto"
                response = self._serve(environ, call, caller, owner)
                if INTERNAL_ACCOUNT not in environ:
                    self._emit(call, owner, response)
        except ApiError as error:
            response = _written(call, error)
        except Exception as error:
            _log.exception("%s:%s failed", call.service, call.operation)
            message = f"The local cloud failed at {call.service}:{call.operation}: {error!r}"
            response = _written(call, ApiError("InternalFailure", message, 500))
        if INTERNAL_ACCOUNT not in environ:
            self.calls.add(call.service, call.operation, served_by, response[0])
        return response

    def _admit(
        self, environ: dict[str, Any], call: Call, sign: Signature | None
    ) -> tuple[Caller, str]:
        """Finds the caller and lets IAM decide; gives the caller and the account to serve in."""
        internal = environ.get(INTERNAL_ACCOUNT)
        if internal:
            arn = f"arn:aws:iam::{internal}:root"
            return Caller(internal, arn, arn, is_service=True), internal
        if sign is None:
            if call.operation != "AssumeRoleWithWebIdentity":
                raise ApiError("MissingAuthenticationToken", "The request is not signed.", 403)
            return Caller("", "", ""), next(iter(self.accounts))
        network = self.credentials.network(sign.access_key)
        endpoint_id = environ.get(_SOURCE_VPCE)
        if network:
            endpoint_id = compute.way_out(
                network, call.region, lambda name: _endpoint_serves(name, call.service)
            )
        try:
            principal = self.credentials.principal(sign.access_key, sign.token, endpoint_id)
        except ApiError as error:
            raise _credential_error(call, error) from error
        if (call.service, call.operation) in signatures.CHECKED:
            signatures.check(call, self.credentials.secret(sign.access_key))
        self.faults.strike(call.service, call.operation, call.protocol)
        owner = network.account if network else principal.caller.account
        endpoint = self._endpoint(call, owner, endpoint_id) if endpoint_id else None
        around = conditions.Circumstances(
            organization_id=self.organization_id,
            secure=environ.get(_SECURE, "true") != "false",
            source_vpc=endpoint.vpc_id if endpoint else None,
            user_agent=environ.get("HTTP_USER_AGENT", ""),
        )
        owner = self._authorizer.authorize(
            call, principal, around, endpoint.policy_document if endpoint else None
        )
        if owner not in self.accounts:
            raise ApiError(
                "AccessDenied",
                f"{owner} is no account of this local cloud: {', '.join(sorted(self.accounts))}.",
                403,
            )
        self._authorizer.check_policies(call, self.accounts)
        caller = dataclasses.replace(principal.caller, access_key=sign.access_key)
        return caller, owner

    def _take_answer(self, environ: dict[str, Any], call: Call) -> Response:
        """Takes a custom resource's answer, put by CloudFormation's signature from wherever."""
        self.faults.strike(call.service, call.operation, call.protocol)
        network = self.compute.network_of(int(environ.get("REMOTE_PORT") or 0))
        endpoint = None
        if network:
            endpoint_id = compute.way_out(
                network, call.region, lambda name: _endpoint_serves(name, call.service)
            )
            endpoint = self._endpoint(call, network.account, endpoint_id) if endpoint_id else None
        around = conditions.Circumstances(
            organization_id=stacks.ORGANIZATION,
            secure=environ.get(_SECURE, "true") != "false",
            source_vpc=endpoint.vpc_id if endpoint else None,
            user_agent=environ.get("HTTP_USER_AGENT", ""),
        )
        principal = self.stacks.answers.principal(endpoint.id if endpoint else None)
        policy = endpoint.policy_document if endpoint else None
        self._authorizer.authorize(call, principal, around, policy)
        self.stacks.answers.put(call)
        return _written(call, {})

    def _endpoint(self, call: Call, account: str, endpoint_id: str) -> Any:
        endpoint = world.vpc_endpoint(account, call.region, endpoint_id)
        if endpoint is None:
            raise ApiError(
                "InvalidVpcEndpointId.NotFound",
                f"Account {account} has no VPC endpoint {endpoint_id} in {call.region}.",
                400,
            )
        if not _endpoint_serves(endpoint.service_name, call.service):
            raise ApiError(
                "InvalidVpcEndpoint",
                f"{call.service} cannot be reached through {endpoint_id}, which is for"
                f" {endpoint.service_name}.",
                400,
            )
        return endpoint

    def _serve(self, environ: dict[str, Any], call: Call, caller: Caller, owner: str) -> Response:
        handler = OPERATIONS.get((call.service, call.operation))
        if clients.MOTO_ONLY in environ:
            handler = None
        with self._lock:
            if handler is None:
                return self._moto_response(environ, call, owner)
            protocol.check_input(call)
            context = Context(
                service=call.service,
                operation=call.operation,
                account=owner,
                region=call.region,
                caller=caller,
                host=self,
                forward=lambda params=None: self._forward(environ, call, owner, params),
            )
            given = handler(context, call.params) or {}
        result = given() if callable(given) else given
        protocol.check_output(call.service, call.operation, result)
        return _written(call, result)

    def _emit(self, call: Call, owner: str, response: Response) -> None:
        """Publishes what AWS would of a call that succeeded."""
        if response[0] >= 300 or (call.service, call.operation) not in events.EMITTING:
            return
        status, headers, body = response
        answer = protocol.parse_response(
            call.service, call.operation, call.protocol, status, dict(headers), body
        )
        client = self.client(call.service, owner, call.region)
        emitted = events.EMITTING[call.service, call.operation](client, answer)
        with self._lock:
            for event in emitted:
                self.events.publish(event, owner, call.region)

    def _moto_response(self, environ: dict[str, Any], call: Call, owner: str) -> Response:
        try:
            return self._moto.respond(environ, owner, call.service, call.operation)
        except motoserver.NotServedError as error:
            name = call.service.replace("-", "_")
            raise ApiError(
                "NotImplemented",
                f"The local cloud does not serve {call.service}:{call.operation}: neither moto"
                f" nor an extension has it. Add it to localcloud/emulator/extensions/{name}.py.",
                501,
            ) from error

    def _forward(
        self, environ: dict[str, Any], call: Call, owner: str, params: Params | None
    ) -> Params:
        if params is not None:
            return self._clients.ask_moto(call.service, call.operation, owner, call.region, params)
        environ = {**environ, "wsgi.input": protocol.stream(call.body)}
        status, headers, body = self._moto_response(environ, call, owner)
        return protocol.parse_response(
            call.service, call.operation, call.protocol, status, dict(headers), body
        )

    def _internal_response(self, environ: dict[str, Any], account: str) -> Response:
        return self._respond({**environ, INTERNAL_ACCOUNT: account})

    def _policy_of(self, arn: str) -> Mapping[str, Any] | str | None:
        for finder, context in self._finders(arn, POLICY_FINDERS):
            policy = finder(context, arn)
            if policy:
                return cast("Mapping[str, Any] | str", policy)
        return cast("str | None", world.resource_policy(arn))

    def _tags_of(self, arn: str) -> Mapping[str, str]:
        for finder, context in self._finders(arn, TAG_FINDERS):
            tags = finder(context, arn)
            if tags is not None:
                return cast(Mapping[str, str], tags)
        return world.tags(arn)

    def _keys_of(self, call: Call, caller: Caller) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for finder in CONDITION_FINDERS.get(call.service, ()):
            context = Context(
                call.service, call.operation, caller.account, call.region, caller, self, _no_forward
            )
            found |= finder(context, call.params)
        return found

    def _finders(self, arn: str, finders: Mapping[str, list[Any]]) -> Iterable[tuple[Any, Context]]:
        parsed = world.Arn.parse(arn)
        if parsed is None or parsed.account not in self.accounts:
            return
        caller = Caller(parsed.account, "", "", is_service=True)
        for finder in finders.get(parsed.service, ()):
            yield (
                finder,
                Context(
                    parsed.service, "", parsed.account, parsed.region, caller, self, _no_forward
                ),
            )

    # The control interface.

    def _control(self, environ: dict[str, Any]) -> Response:
        name = environ["PATH_INFO"].removeprefix(CONTROL)
        method = environ["REQUEST_METHOD"]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        repositories = self.delivery.repositories
        routes: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "health"): lambda: {"status": "ok", "instance": self.settings.instance},
            ("GET", "instance"): lambda: dataclasses.asdict(self.settings),
            ("GET", "faults"): self.faults.listed,
            ("POST", "faults"): lambda: self.faults.add(Fault(**json.loads(body))),
            ("DELETE", "faults"): self.faults.clear,
            ("GET", "advisories"): self.advisories.listed,
            ("POST", "advisories"): lambda: self.advisories.add(Advisory(**json.loads(body))),
            ("DELETE", "advisories"): self.advisories.clear,
            ("GET", "calls"): self.calls.listed,
            ("DELETE", "calls"): self.calls.clear,
            ("GET", "denials"): self._denials,
            ("GET", "undelivered"): lambda: [
                dataclasses.asdict(u) for u in self.events.undelivered
            ],
            ("GET", "schedules"): self.triggers.scheduled,
            ("POST", "schedules"): lambda: self.triggers.fire(**json.loads(body)),
            ("GET", "extensions"): lambda: sorted(f"{s}:{o}" for s, o in OPERATIONS),
            ("GET", "repositories"): repositories.listed,
            ("POST", "repositories"): lambda: repositories.made(**json.loads(body)),
            ("DELETE", "repositories"): lambda: repositories.removed(**json.loads(body)),
            ("POST", "studio-sessions"): lambda: self._studio(**json.loads(body)),
        }
        route = routes.get((method, name))
        if route is None:
            known = sorted(f"{verb} {CONTROL}{path}" for verb, path in routes)
            return _json(404, {"error": f"Unknown. There are: {', '.join(known)}."})
        try:
            return _json(200, route())
        except (TypeError, ValueError) as error:
            return _json(400, {"error": str(error)})

    def _studio(self, profile: str) -> dict[str, str]:
        places = [
            (account, region, things)
            for (service, account, region), things in list(self._stores.items())
            if service == "sagemaker"
        ]
        return studio.session(self.compute, places, profile=profile)

    def _denials(self) -> list[dict[str, Any]]:
        return [
            {
                "principal": denial.principal,
                "action": denial.access.action,
                "resource": denial.access.resource,
                "via": denial.access.via,
                "reason": denial.decision.reason,
                "statements": [dataclasses.asdict(item) for item in denial.decision.statements],
                "context": dict(denial.context),
            }
            for denial in list(self._authorizer.denials)
        ]


def served_by(service: str, operation: str) -> str:
    """Who carries out an operation: ``extension``, ``moto`` or ``nobody``."""
    extensions.load()
    if (service, operation) in OPERATIONS:
        return "extension"
    return "moto" if motoserver.serves(service, operation) else "nobody"


def _no_forward(params: Params | None = None) -> Params:
    del params
    raise RuntimeError("There is no request to forward.")


def _endpoint_serves(endpoint_service: str, service: str) -> bool:
    """Whether a service is reached through an endpoint such as com.amazonaws.<region>.kms.

    The names of global services' endpoints have no region: com.amazonaws.iam.
    """
    parts = endpoint_service.split(".")
    head = parts[3:] or parts[2:]
    names = {service, service.split("-", 1)[0], *protocol.signing_names(service)}
    return bool(head) and head[0] in names


def _credential_error(call: Call, error: ApiError) -> ApiError:
    """The same refusal under the name that the call's service has for it."""
    if error.code != "InvalidClientTokenId":
        return error
    if call.protocol == "ec2":
        return ApiError("AuthFailure", error.message, 401)
    if call.service == "s3":
        return ApiError("InvalidAccessKeyId", error.message, 403)
    if call.protocol in ("json", "rest-json"):
        return ApiError("UnrecognizedClientException", error.message, 403)
    return error


def _written(call: Call, result: Params | ApiError) -> Response:
    status, headers, body = protocol.write(call.service, call.operation, call.protocol, result)
    return status, list(headers.items()), body


def _plain_error(status: int, code: str, message: str) -> Response:
    body = json.dumps({"__type": code, "message": message}).encode()
    return status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)], body


def _json(status: int, value: Any) -> Response:
    return status, [("Content-Type", "application/json")], json.dumps(value).encode()


_ = sts  # registers its operations
