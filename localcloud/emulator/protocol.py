"""Requests and responses of AWS's protocols, read and written by botocore's service models.

The readers, routers and writers are moto's (``moto.core``), which cover all protocols; this module
finds the service of a request and adds the checks that AWS makes on inputs.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast
from urllib.parse import unquote

from botocore.parsers import create_parser
from botocore.session import get_session
from botocore.validate import ParamValidator
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound

from localcloud.emulator.extension import ApiError, Params

# Signing name -> botocore services that share it, the likeliest first. Only where they differ.
_SIGNING_NAMES: dict[str, tuple[str, ...]] = {
    "access-analyzer": ("accessanalyzer",),
    "airflow": ("mwaa",),
    "aoss": ("opensearchserverless",),
    "aws-marketplace": ("marketplace-catalog", "meteringmarketplace"),
    "bedrock": ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime"),
    "cloudcontrolapi": ("cloudcontrol",),
    "cloudwatch": ("cloudwatch",),
    "elasticfilesystem": ("efs",),
    "elasticloadbalancing": ("elbv2", "elb"),
    "elasticmapreduce": ("emr",),
    "es": ("opensearch", "es"),
    "execute-api": ("apigatewaymanagementapi",),
    "lambda": ("lambda",),
    "monitoring": ("cloudwatch",),
    "s3": ("s3", "s3control"),
    "sagemaker": (
        "sagemaker",
        "sagemaker-runtime",
        "sagemaker-featurestore-runtime",
        "sagemaker-metrics",
    ),
    "servicecatalog": ("servicecatalog", "servicecatalog-appregistry"),
    "ses": ("sesv2", "ses"),
    "states": ("stepfunctions",),
    "tagging": ("resourcegroupstaggingapi",),
}
# (service, input) pairs that take a name or the ARN of a resource of any account.
_NAME_OR_ARN = {("sagemaker", "HubName"), ("sagemaker", "ModelPackageGroupName")}
_CREDENTIAL = re.compile(r"Credential=([^,/\s]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request")


class UnknownCallError(Exception):
    """The request is not an API call that botocore's models know; the message says why."""


@dataclass(frozen=True)
class Signature:
    """What a signed request says about itself.

    Attributes:
        access_key: Access key id.
        region: Region of the credential scope.
        signing_name: Service of the credential scope.
        token: Session token, None for long-term keys.
    """

    access_key: str
    region: str
    signing_name: str
    token: str | None


@dataclass(frozen=True)
class Call:
    """One API call, read from a request.

    Attributes:
        service: botocore's service name.
        operation: Operation name.
        region: Region that the request is signed for.
        params: The input, as boto3 names it.
        protocol: botocore's protocol name.
        request: The HTTP request.
        body: The request's body.
    """

    service: str
    operation: str
    region: str
    params: Params
    protocol: str
    request: Request
    body: bytes


def signing_names(service: str) -> tuple[str, ...]:
    """The names by which a service's requests may be signed."""
    names = tuple(name for name, services in _SIGNING_NAMES.items() if service in services)
    return names or (service,)


def stream(body: bytes) -> io.BytesIO:
    """A body as a WSGI input."""
    return io.BytesIO(body)


@cache
def service_names() -> frozenset[str]:
    """All of botocore's service names."""
    return frozenset(cast(list[str], get_session().get_available_services()))


def signature(request: Request) -> Signature | None:
    """Reads who signed a request, from its header or a presigned URL; None when unsigned."""
    found = _CREDENTIAL.search(request.headers.get("Authorization", ""))
    if found is None and "X-Amz-Credential" in request.args:
        credential = unquote(request.args["X-Amz-Credential"])
        found = _CREDENTIAL.search(f"Credential={credential}")
    if found is None and "AWSAccessKeyId" in request.args:
        # A presigned URL of S3 by the older signature, boto3's default; it names no region.
        token = request.args.get("x-amz-security-token")
        return Signature(request.args["AWSAccessKeyId"], "us-east-1", "s3", token)
    if found is None:
        return None
    token = request.headers.get("X-Amz-Security-Token") or request.args.get("X-Amz-Security-Token")
    return Signature(found[1], found[3], found[4], token)


def read(environ: dict[str, Any], sign: Signature | None) -> Call:
    """Reads an API call.

    Args:
        environ: WSGI environment; its input is replaced, so that it can be read again.
        sign: Who signed it. Only STS takes unsigned calls.

    Raises:
        UnknownCallError: No service of botocore has such a call.
    """
    length = environ.get("CONTENT_LENGTH")
    stream = environ["wsgi.input"]
    body = stream.read(int(length)) if length else b""
    if not length and environ.get("wsgi.input_terminated"):
        body = stream.read()
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    request = Request(environ.copy())
    signing_name = sign.signing_name.lower() if sign else "sts"
    services = _SIGNING_NAMES.get(signing_name, (signing_name,))
    if signing_name == "s3" and request.path.startswith("/v20180820/"):
        services = ("s3control",)  # else it would be taken for a bucket of that name
    known = [name for name in services if name in service_names()]
    if not known:
        raise UnknownCallError(
            f"No service of botocore is signed as {signing_name!r}; if there is one, add it to"
            " _SIGNING_NAMES in localcloud/emulator/protocol.py."
        )
    for service in known:
        try:
            model, uri_params = get_service_router(service).match(request)
        except (NotFound, NotImplementedError):
            continue
        protocol = determine_request_protocol(model.service_model, request.content_type)
        params = _parse(request, body, model, protocol, uri_params)
        environ["wsgi.input"] = io.BytesIO(body)
        region = sign.region if sign else "us-east-1"
        return Call(service, str(model.name), region, params, protocol, request, body)
    target = request.headers.get("X-Amz-Target") or f"{request.method} {request.path}"
    raise UnknownCallError(f"botocore's model of {known[0]} has no operation for {target}.")


def _parse(
    request: Request, body: bytes, model: Any, protocol: str, uri_params: dict[str, Any]
) -> Params:
    parser = PROTOCOL_PARSERS[protocol](model)
    try:
        parsed = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": cast(Any, request.headers),
                "body": body,
                "url_path": request.path,
                "url_params": uri_params,
            }
        )
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UnknownCallError(
            f"The request is no {model.service_model.service_name}:{model.name}: {error}"
        ) from error
    # A query string has no way to say an empty list: the parser gives one for what is not there.
    members = model.input_shape.members if model.input_shape else {}
    unsaid = {
        key
        for key, value in parsed.items()
        if value is None
        or (value == [] and members[key].serialization.get("location") == "querystring")
    }
    return {key: value for key, value in parsed.items() if key not in unsaid}


def with_plain_names(call: Call, environ: dict[str, Any]) -> Call:
    """The call with names where the caller gave ARNs, in inputs that take either.

    Resources of other accounts are addressed so. The call is carried out in the owner's account,
    where the name says as much, and moto and extensions need not know of both.

    Args:
        call: A call whose authorization is done.
        environ: Its WSGI environment; its body is replaced.
    """
    given = {
        name: value
        for name, value in call.params.items()
        if (call.service, name) in _NAME_OR_ARN
        and isinstance(value, str)
        and value.startswith("arn:")
    }
    if not given or call.protocol != "json":
        return call
    names = {name: value.rsplit("/", 1)[-1] for name, value in given.items()}
    body = json.dumps({**json.loads(call.body), **names}).encode()
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return replace(call, params={**call.params, **names}, body=body)


def operation_model(service: str, operation: str) -> Any:
    """moto's view of botocore's operation model."""  # noqa: D403
    return get_service_model(service).operation_model(operation)


@cache
def _validator() -> ParamValidator:
    return ParamValidator()


def check_input(call: Call) -> None:
    """Checks an input by the operation's model.

    Raises:
        ApiError: ``ValidationException``, with all problems.
    """
    shape = operation_model(call.service, call.operation).input_shape
    if shape is None:
        return
    problems: list[str] = []
    if call.protocol in ("json", "rest-json"):
        problems += _unknown_members(call, shape)
    report = _validator().validate(call.params, shape)
    if report.has_errors():
        problems += report.generate_report().splitlines()
    else:
        _constraints(call.params, shape, "", problems)
    if problems:
        count = len(problems)
        raise ApiError(
            "ValidationError" if call.protocol in ("query", "ec2") else "ValidationException",
            f"{count} validation error{'s' if count > 1 else ''} detected: " + "; ".join(problems),
        )


def check_output(service: str, operation: str, result: Params) -> None:
    """Checks what an extension returns.

    Raises:
        TypeError: The result does not have the output's shape.
    """
    shape = operation_model(service, operation).output_shape
    if shape is None:
        if result:
            raise TypeError(f"{service}:{operation} has no output, got {sorted(result)}.")
        return
    # moto leaves out members that the model calls required, as AWS does at times.
    report = _validator().validate(result, shape).generate_report().splitlines()
    problems = "; ".join(line for line in report if not line.startswith("Missing required"))
    unknown = sorted(set(result) - set(shape.members))
    if unknown:
        problems += f" Unknown members: {', '.join(unknown)}."
    if problems:
        raise TypeError(f"The extension's answer to {service}:{operation} is wrong: {problems}")


def _unknown_members(call: Call, shape: Any) -> list[str]:
    payload = shape.serialization.get("payload")
    if payload:
        shape = shape.members[payload]
        if shape.type_name != "structure":
            return []
    try:
        body = json.loads(call.body or b"{}")
    except ValueError:
        return []
    if not isinstance(body, dict):
        return []
    problems: list[str] = []
    _walk_unknown(cast(dict[str, Any], body), shape, "", problems, call.protocol)
    return problems


def _walk_unknown(value: Any, shape: Any, path: str, problems: list[str], protocol: str) -> None:
    if shape.type_name == "structure" and isinstance(value, dict):
        members = {
            (member.serialization.get("name", name) if protocol == "rest-json" else name): member
            for name, member in shape.members.items()
        }
        for key, item in cast(dict[str, Any], value).items():
            if key in members:
                _walk_unknown(item, members[key], f"{path}.{key}", problems, protocol)
            else:
                problems.append(f"unknown member '{f'{path}.{key}'.lstrip('.')}'")
    elif shape.type_name == "list" and isinstance(value, list):
        for item in cast(list[Any], value):
            _walk_unknown(item, shape.member, f"{path}[]", problems, protocol)
    elif shape.type_name == "map" and isinstance(value, dict):
        for item in cast(dict[str, Any], value).values():
            _walk_unknown(item, shape.value, f"{path}{{}}", problems, protocol)


@cache
def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text)
    except re.error:
        return None  # a Java construct such as \p{L}, which Python's expressions lack


def _constraints(value: Any, shape: Any, path: str, problems: list[str]) -> None:
    """Enumerations, patterns, lengths and ranges: boto3 checks only minima of them."""
    kind = shape.type_name
    metadata: Mapping[str, Any] = shape.metadata
    where = path.lstrip(".") or "input"
    if kind == "structure":
        for name, item in cast(dict[str, Any], value).items():
            _constraints(item, shape.members[name], f"{path}.{name}", problems)
    elif kind == "list":
        for number, item in enumerate(cast(list[Any], value), 1):
            _constraints(item, shape.member, f"{path}.{number}", problems)
    elif kind == "map":
        for key, item in cast(dict[str, Any], value).items():
            _constraints(item, shape.value, f"{path}.{key}", problems)
    elif kind == "string":
        enum = metadata.get("enum")
        if enum and value not in enum:
            problems.append(
                f"Value '{value}' at '{where}' failed to satisfy constraint: Member must satisfy"
                f" enum value set: [{', '.join(enum)}]"
            )
        pattern = _pattern(metadata["pattern"]) if "pattern" in metadata else None
        if pattern and not pattern.fullmatch(str(value)):
            problems.append(
                f"Value '{value}' at '{where}' failed to satisfy constraint: Member must satisfy"
                f" regular expression pattern: {metadata['pattern']}"
            )
    size = len(value) if kind in ("string", "list", "map", "blob") and value is not None else value
    if kind in ("string", "list", "map", "integer", "long") and "max" in metadata:
        limit = metadata["max"]
        if size > limit:
            unit = "" if kind in ("integer", "long") else "length "
            problems.append(
                f"Value at '{where}' failed to satisfy constraint: Member must have {unit}less"
                f" than or equal to {limit}"
            )


def write(
    service: str, operation: str | None, protocol: str, result: Any
) -> tuple[int, dict[str, str], bytes]:
    """Writes an answer: a mapping by the operation's output, an ApiError as the service does."""
    service_model = get_service_model(service)
    names: list[str] = cast(list[str], service_model.operation_names)
    model = service_model.operation_model(operation or names[0])
    serializer = get_serializer_class(service, protocol)(model)
    if isinstance(result, ApiError):
        result = _FailureError(result)
    response = serializer.serialize(result)
    body = response["body"]
    headers = {str(key): str(value) for key, value in response["headers"].items()}
    status = response["status_code"]
    if isinstance(result, _FailureError):
        status = result.status or (status if status >= 400 else 400)
        if not any(name.lower() == "x-amzn-errortype" for name in headers):
            headers["x-amzn-ErrorType"] = result.code
    elif model.output_shape is not None:
        members: Mapping[str, Any] = cast(Any, model.output_shape).members
        for name, shape in members.items():
            if shape.serialization.get("location") == "statusCode":
                status = int(result.get(name, status))
            if shape.serialization.get("name") == "Content-Type" and result.get(name):
                # moto's writers put their protocol's own type over it.
                headers["Content-Type"] = str(result[name])
    return status, headers, body.encode() if isinstance(body, str) else body or b""


class _FailureError(Exception):
    """An ApiError in the form that moto's writers read: attributes code and message."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.code = error.code
        self.message = error.message
        self.status = error.status
        for name, value in error.members.items():
            setattr(self, name, value)


def parse_response(
    service: str,
    operation: str,
    protocol: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> Params:
    """Reads a response as boto3 would.

    Raises:
        ApiError: It is an error response.
    """
    model = operation_model(service, operation)
    parsed = create_parser(protocol).parse(
        {
            "status_code": status,
            "headers": {key.lower(): value for key, value in headers.items()},
            "body": body,
        },
        model.output_shape,
    )
    parsed.pop("ResponseMetadata", None)
    if status >= 300:
        error = parsed.get("Error", {})
        raise ApiError(error.get("Code", "Unknown"), error.get("Message", ""), status)
    return cast(Params, parsed)
