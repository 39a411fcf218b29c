"""The engine's side: a gRPC ``ResourceProvider`` over the table."""

from __future__ import annotations

import json
import os
import random
import re
import sys
import threading
from collections.abc import Mapping
from concurrent import futures
from typing import Any, cast

import grpc
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session as BotocoreSession
from botocore.session import get_session
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict

from localcloud import ended, stubs
from localcloud.emulator import daemon
from localcloud.emulator.callers import without_host_prefix
from localcloud.environment import INSTANCE, NotLocalError, ensure_calls_stay
from localcloud.provider import crud, invokes, schema, shapes, table
from localcloud.provider.package_schema import package_schema
from localcloud.provider.table import Props, Row, Scope

with stubs.without_sdk():
    from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

VERSION = "7.51.1"
"""Version of ``pulumi_aws`` whose types are served."""

_MAX_MESSAGE = 400 * 1024 * 1024
_PROVIDER_SETTINGS = frozenset(
    ("region", "assumeRoles", "allowedAccountIds", "forbiddenAccountIds", "defaultTags", "version")
)
_TOLERATED_PREFIX = "skip"


class Refused(Exception):
    """An engine request that cannot be served; the message is shown to the person."""


def decode(struct: struct_pb2.Struct | None) -> Props:
    """Engine properties as plain values; whole numbers as integers."""
    return _whole(MessageToDict(struct)) if struct is not None else {}


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def encode(props: Mapping[str, Any]) -> struct_pb2.Struct:
    """Plain values as engine properties, without those that are None."""
    struct = struct_pb2.Struct()
    struct.update(_without_none(props))
    return struct


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value if inner is not None]
    return value


def loopback_endpoint() -> str:
    """The emulator's endpoint, of the local cloud that this process's shell belongs to.

    Raises:
        Refused: calls of this process could leave this machine (this provider must never reach
            real AWS), or the shell's local cloud has ended.
    """
    try:
        ensure_calls_stay(os.environ)
    except NotLocalError as error:
        raise Refused(
            f"The local cloud's AWS provider only speaks to this machine: {error} "
            "For real AWS install the official Pulumi plugins."
        ) from None
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    # Builds and workflows are the emulator's own children; only a shell outlives it.
    shell = os.environ.get(INSTANCE)
    if shell and _instance_at(endpoint) != shell:
        raise Refused(ended.notice(shell))
    return endpoint


def _instance_at(endpoint: str) -> str | None:
    try:
        return str(daemon.request(endpoint, "GET", "health")["instance"])
    except (OSError, daemon.EmulatorError):
        return None


def _botocore_session() -> BotocoreSession:
    # Not boto3's: importing what that adds for S3 is a third of the provider's start.
    session = get_session()
    # The service models are large: the inputs are checked by the same ones.
    session.register_component("data_loader", shapes.loader())
    return session


class Session:
    """Credentials of one provider and its clients."""

    def __init__(self, arguments: Props) -> None:
        self.endpoint = loopback_endpoint()
        self.region = arguments.get("region") or os.environ.get("AWS_REGION", "")
        if not self.region:
            raise Refused("The provider has no region: set region on aws.Provider.")
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._session = _botocore_session()
        for role in arguments.get("assumeRoles") or []:
            self._session = self._assume(role)
            self._clients.clear()
        identity = self.call("sts", "GetCallerIdentity", {})
        self.account: str = identity["Account"]
        self.arn: str = identity["Arn"]
        self.user: str = identity["UserId"]
        allowed = arguments.get("allowedAccountIds") or []
        forbidden = arguments.get("forbiddenAccountIds") or []
        if (allowed and self.account not in allowed) or self.account in forbidden:
            raise Refused(
                f"AWS account {self.account} ({self.arn}) is not allowed by the provider; "
                f"allowed: {', '.join(allowed)}."
            )

    def _assume(self, role: Props) -> BotocoreSession:
        params = {
            "RoleArn": role["roleArn"],
            "RoleSessionName": role.get("sessionName") or "pulumi",
        }
        if role.get("externalId"):
            params["ExternalId"] = role["externalId"]
        try:
            answer = self.call("sts", "AssumeRole", params)["Credentials"]
        except ClientError as error:
            raise Refused(
                f"The role {role['roleArn']} cannot be assumed: {error}. "
                "Has `python -m automation bootstrap` been run?"
            ) from None
        session = _botocore_session()
        session.set_credentials(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"]
        )
        return session

    def client(self, service: str, region: str = "") -> Any:
        """A cached client of a service."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = without_host_prefix(
                    self._session.create_client(
                        service,
                        region_name=key[1],
                        endpoint_url=self.endpoint,
                        config=Config(
                            retries={"mode": "standard", "total_max_attempts": 8},
                            s3={"addressing_style": "path"},
                            max_pool_connections=32,
                        ),
                    )
                )
            return self._clients[key]

    def call(self, service: str, operation: str, params: Props, region: str = "") -> Props:
        """One API call, by the operation's name in the model."""
        client = self.client(service, region)
        # The generated method would do the same after a look-up of its name.
        return client._make_api_call(operation, params)

    def scope(self, region: str | None) -> Scope:
        """Where a resource of this provider lives."""
        where = region or self.region
        partition = "aws-cn" if where.startswith("cn-") else "aws"
        return Scope(
            account=self.account,
            region=where,
            partition=partition,
            call=lambda service, operation, params: self.call(service, operation, params, where),
        )


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves every row of the table."""

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self.rows = rows
        self.session: Session | None = None
        self.default_tags: dict[str, str] = {}

    # -- about the provider ------------------------------------------------------------------

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps(package_schema(VERSION, self.rows)))

    def Cancel(self, request: Any, context: Any) -> Any:
        # Calls are short: those under way end by themselves, the engine starts no more.
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        given = decode(request.news)
        failures = [
            provider_pb2.CheckFailure(
                property=name,
                reason=f"the local cloud's AWS provider does not know the setting {name!r}",
            )
            for name in given
            if name not in _PROVIDER_SETTINGS and not name.startswith((_TOLERATED_PREFIX, "__"))
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        old, new = decode(request.old_inputs) or decode(request.olds), decode(request.news)
        changed = crud.changed_properties(old, new)
        kind = provider_pb2.DiffResponse
        return kind(changes=kind.DIFF_SOME if changed else kind.DIFF_NONE, diffs=changed)

    def Configure(self, request: Any, context: Any) -> Any:
        arguments = {name: _json(value) for name, value in decode(request.args).items()}
        try:
            self.session = Session(arguments)
        except (Refused, BotoCoreError, ClientError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self.default_tags = (arguments.get("defaultTags") or {}).get("tags") or {}
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    # -- resources ---------------------------------------------------------------------------

    def Check(self, request: Any, context: Any) -> Any:
        token = request.type or _token(request.urn)
        row, known = self._row(token, context)
        old, new = decode(request.olds), decode(request.news)
        inputs = {**row.defaults, **{k: v for k, v in new.items() if v is not None}}
        self._name(row, request.urn, old, inputs)
        failures = [
            provider_pb2.CheckFailure(property=path, reason=reason)
            for path, reason in schema.unknown_inputs(inputs, known.inputs)
        ]
        taken = crud.taken_properties(row)
        failures += [
            provider_pb2.CheckFailure(
                property=name,
                reason=f"the local cloud does not serve this property of {token}: "
                + (row.refused.get(name) or f"add it in {table.file_for(token)}"),
            )
            for name in inputs
            if name in known.inputs
            and name not in taken
            and not (name in row.refused and inputs[name] is False)
        ]
        failures += [
            provider_pb2.CheckFailure(property=name, reason="is required")
            for name in sorted(known.required - set(inputs))
        ]
        if not failures and not schema.has_unknown(inputs):
            failures += [
                provider_pb2.CheckFailure(reason=problem)
                for problem in crud.check_parameters(row, inputs, self._scope(inputs))
            ]
        return provider_pb2.CheckResponse(inputs=encode(inputs), failures=failures)

    def _name(self, row: Row, urn: str, old: Props, inputs: Props) -> None:
        if not row.name or inputs.get(row.name) is not None:
            return
        prefix = inputs.get(row.prefix)
        if old.get(row.name) and old.get(row.prefix) == prefix:
            inputs[row.name] = old[row.name]
            return
        suffix = f"{random.getrandbits(28):07x}"
        logical = urn.rpartition("::")[2]
        inputs[row.name] = f"{prefix}{suffix}" if prefix else f"{logical}-{suffix}"

    def Diff(self, request: Any, context: Any) -> Any:
        row, _ = self._row(_token(request.urn), context)
        old, new = decode(request.old_inputs), decode(request.news)
        changed = crud.changed_properties(crud.without_filled(row, old, new), new)
        if row.tags is not None and not schema.has_unknown(new.get("tags")):
            before = decode(request.olds).get("tagsAll") or {}
            if before != crud.merged_tags(new, self.default_tags):
                changed.append("tagsAll")
        changed = [name for name in changed if name not in request.ignoreChanges]
        replaces = [name for name in changed if name in row.replace or name == "region"]
        kinds = provider_pb2.PropertyDiff.Kind
        detailed = {
            name: provider_pb2.PropertyDiff(
                kind=(
                    kinds.UPDATE_REPLACE
                    if name in replaces
                    else kinds.ADD
                    if name not in old and name != "tagsAll"
                    else kinds.DELETE
                    if name not in new and name != "tagsAll"
                    else kinds.UPDATE
                ),
                inputDiff=name != "tagsAll",
            )
            for name in changed
        }
        response = provider_pb2.DiffResponse
        # An automatic name is made anew for a replacement, which can then stand beside the old one.
        fixed_name = (
            bool(replaces)
            and row.delete_first
            and not _renamed(row, old, new)
            and not _named_automatically(row, request.urn, new)
        )
        return response(
            changes=response.DIFF_SOME if changed else response.DIFF_NONE,
            diffs=changed,
            replaces=replaces,
            detailedDiff=detailed,
            hasDetailedDiff=True,
            deleteBeforeReplace=fixed_name,
            stables=sorted({"arn", "id"} if not replaces else ()),
        )

    def Create(self, request: Any, context: Any) -> Any:
        row, _ = self._row(_token(request.urn), context)
        inputs = decode(request.properties)
        tags = crud.merged_tags(inputs, self.default_tags)
        if request.preview:
            outputs = {**inputs, "tagsAll": tags} if row.tags is not None else inputs
            return provider_pb2.CreateResponse(properties=encode(outputs))
        made = self._attempt(
            context,
            request.urn,
            "create",
            lambda: crud.create(row, inputs, tags, self._scope(inputs)),
        )
        return provider_pb2.CreateResponse(id=made.id, properties=encode(made.outputs))

    def Read(self, request: Any, context: Any) -> Any:
        row, _ = self._row(_token(request.urn), context)
        old, old_inputs = decode(request.properties), decode(request.inputs)
        scope = self._scope(old_inputs or old)
        if old_inputs and not old:
            return self._adopt(row, request, old_inputs, context)

        def ask() -> crud.Made | None:
            if not old and not old_inputs:
                return crud.read_import(row, request.id, scope)
            standing = crud.read(row, request.id, old, scope)
            return None if standing is None else crud.Made(request.id, standing)

        made = self._attempt(context, request.urn, "read", ask)
        if made is None:
            return provider_pb2.ReadResponse(id="")
        found = made.outputs
        if not old_inputs:
            inputs = crud.inputs_of(row, found, self.default_tags)
            outputs = {**found, **inputs}
        else:
            inputs = crud.standing(row, old_inputs, found)
            # What was never declared and AWS fills in by itself is no drift.
            outputs = {
                name: shapes.merge(value, found[name]) if name in found else value
                for name, value in old.items()
                if name in inputs or name not in old_inputs
            }
            if "tagsAll" in found and "tagsAll" in old and found["tagsAll"] != old["tagsAll"]:
                inputs["tags"] = {
                    k: v
                    for k, v in found["tagsAll"].items()
                    if k in (old_inputs.get("tags") or {}) or self.default_tags.get(k) != v
                }
        return provider_pb2.ReadResponse(
            id=made.id, inputs=encode(inputs), properties=encode({**outputs, **inputs})
        )

    def Update(self, request: Any, context: Any) -> Any:
        row, _ = self._row(_token(request.urn), context)
        old, inputs = decode(request.olds), decode(request.news)
        tags = crud.merged_tags(inputs, self.default_tags)
        if request.preview:
            kept = {k: v for k, v in old.items() if k in row.computed or k in ("arn", "region")}
            outputs = {**kept, **inputs}
            if row.tags is not None:
                outputs["tagsAll"] = tags
            return provider_pb2.UpdateResponse(properties=encode(outputs))
        outputs = self._attempt(
            context,
            request.urn,
            "update",
            lambda: crud.update(row, request.id, old, inputs, tags, self._scope(inputs)),
        )
        return provider_pb2.UpdateResponse(properties=encode(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        row, _ = self._row(_token(request.urn), context)
        props = decode(request.properties)
        self._attempt(
            context,
            request.urn,
            "delete",
            lambda: crud.delete(row, request.id, props, self._scope(props)),
        )
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        arguments = decode(request.args)
        function = invokes.FUNCTIONS.get(request.tok)
        if function is None:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"The local cloud does not serve the function {request.tok}: "
                "add it in localcloud/provider/invokes.py",
            )
        assert function is not None
        if schema.has_unknown(arguments):
            return provider_pb2.InvokeResponse()
        session = self._session()
        answer = self._attempt(
            context,
            request.tok,
            "invoke",
            lambda: function(arguments, session.scope(arguments.get("region")), session),
        )
        return provider_pb2.InvokeResponse(**cast(Any, {"return": encode(answer)}))

    # -- helpers -----------------------------------------------------------------------------

    def _row(self, token: str, context: Any) -> tuple[Row, schema.Schema]:
        known = schema.schema(token)
        if known is None:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"pulumi_aws {VERSION} has no resource type {token}.",
            )
        row = self.rows.get(token)
        if row is None:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"The local cloud does not serve the resource type {token}: "
                f"add a row for it in {table.file_for(token)}",
            )
        assert row is not None
        assert known is not None
        return row, known

    def _session(self) -> Session:
        if self.session is None:
            raise Refused("The provider was not configured.")
        return self.session

    def _adopt(self, row: Row, request: Any, inputs: Props, context: Any) -> Any:
        """Reads what an interrupted creation may have left: there are inputs, and no state yet."""
        made = self._attempt(
            context,
            request.urn,
            "read",
            lambda: crud.adopt(row, request.id, inputs, self._scope(inputs)),
        )
        if made is None:
            return provider_pb2.ReadResponse(id="")
        kept = {name: made.outputs[name] for name in inputs}
        return provider_pb2.ReadResponse(
            id=made.id, inputs=encode(kept), properties=encode(made.outputs)
        )

    def _scope(self, props: Props) -> Scope:
        region = props.get("region")
        return self._session().scope(region if region != schema.UNKNOWN else None)

    def _attempt(self, context: Any, urn: str, verb: str, work: Any) -> Any:
        try:
            return work()
        except (ClientError, BotoCoreError, crud.ResourceError, shapes.UnmappedError) as error:
            name = urn.rpartition("::")[2]
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"{verb} of {_token(urn)} {name!r}: {error}"
            )
            raise


def _renamed(row: Row, old: Props, new: Props) -> bool:
    return bool(row.name) and old.get(row.name) != new.get(row.name)


def _named_automatically(row: Row, urn: str, inputs: Props) -> bool:
    beginning = inputs.get(row.prefix) or f"{urn.rpartition('::')[2]}-"
    name = str(inputs.get(row.name) or "")
    return bool(re.fullmatch(re.escape(beginning) + "[0-9a-f]{7}", name))


def _token(urn: str) -> str:
    parts = urn.split("::")
    return parts[2].split("$")[-1] if len(parts) > 2 else urn


def _json(value: Any) -> Any:
    """Nested provider settings come as JSON text."""
    if isinstance(value, str) and value[:1] in "[{":
        return json.loads(value)
    return value


def serve() -> None:
    """Serve on a free port, told to the engine on standard output, until the engine ends it."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32),
        options=[
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.max_send_message_length", _MAX_MESSAGE),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(table.load()), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
