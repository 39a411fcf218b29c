"""Lambda: functions that run, their policies, and queues as event sources.

moto runs functions in containers and keeps only a part of their configuration.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Callable
from typing import Any, cast

from localcloud.emulator import world
from localcloud.emulator.compute import ComputeError
from localcloud.emulator.extension import (
    ApiError,
    Context,
    Params,
    operation,
    resource_policy,
    resource_tags,
)
from localcloud.emulator.functions import Function, Functions, qualified

_SERVICE = "lambda"
_RUNTIMES = "python3."
_LATEST = "$LATEST"
_DEFAULTS: Params = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "PackageType": "Zip",
    "Architectures": ["x86_64"],
    "EphemeralStorage": {"Size": 512},
    "TracingConfig": {"Mode": "PassThrough"},
}
"""Source: CreateFunction in Lambda's API reference."""

_IN_VPC = ("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces",
           "ec2:DeleteNetworkInterface")  # fmt: skip
"""Source: Lambda developer guide, required IAM permissions for functions in a VPC."""

_FROM_QUEUE = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
"""Source: Lambda developer guide, execution role of an SQS event source."""


def _functions(ctx: Context) -> dict[str, Function]:
    return cast("dict[str, Function]", ctx.store(_SERVICE).setdefault("functions", {}))


def _mappings(ctx: Context) -> dict[str, Params]:
    return cast("dict[str, Params]", ctx.store(_SERVICE).setdefault("mappings", {}))


def _runner(ctx: Context) -> Functions:
    return cast(Any, ctx.host).functions


def _parts(given: str) -> tuple[str, str]:
    """Name and qualifier of a function given by name, partial ARN or ARN."""
    name, _, qualifier = given.rpartition("function:")[2].partition(":")
    return name, qualifier


def _name(given: str) -> str:
    return _parts(given)[0]


def _find(ctx: Context, given: str) -> Function:
    function = _functions(ctx).get(_name(given))
    if function is None:
        arn = ctx.arn(f"function:{_name(given)}")
        raise ApiError("ResourceNotFoundException", f"Function not found: {arn}", 404)
    return function


def _qualifier(ctx: Context, function: Function, params: Params) -> str:
    """The alias or version that a call is for; empty for the function itself.

    Raises:
        ApiError: There is none of this name, or two are named.
    """
    within, beside = _parts(params["FunctionName"])[1], params.get("Qualifier") or ""
    if within and beside and within != beside:
        raise ApiError(
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
    given = str(within or beside)
    if given not in ("", _LATEST, *function.aliases):
        message = f"Function not found: {qualified(function.arn, given)}"
        raise ApiError("ResourceNotFoundException", message, 404)
    return given


def _code(ctx: Context, given: Params) -> bytes:
    if given.get("ZipFile"):
        code = bytes(given["ZipFile"])
    elif given.get("S3Bucket"):
        extra = {"VersionId": given["S3ObjectVersion"]} if given.get("S3ObjectVersion") else {}
        s3 = ctx.client("s3")
        answer = s3.get_object(Bucket=given["S3Bucket"], Key=given["S3Key"], **extra)
        code = answer["Body"].read()
    else:
        raise ApiError(
            "InvalidParameterValueException",
            "The local cloud runs functions from zip archives only: give ZipFile or an S3 object.",
        )
    if not zipfile.is_zipfile(io.BytesIO(code)):
        raise ApiError(
            "InvalidParameterValueException", "Could not unzip uploaded file. Please check it."
        )
    return code


def _stamp(ctx: Context, function: Function) -> Params:
    function.configuration |= {
        "CodeSha256": base64.b64encode(hashlib.sha256(function.code).digest()).decode(),
        "CodeSize": len(function.code),
        "LastModified": ctx.now().strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "RevisionId": str(uuid.uuid4()),
        "State": "Active",
        "LastUpdateStatus": "Successful",
    }
    return function.configuration


def _configure(ctx: Context, function: Function, given: Params) -> None:
    """Takes configuration over, as far as the role allows what it asks for."""
    configuration = {**function.configuration, **given}
    if not str(configuration.get("Runtime", "")).startswith(_RUNTIMES):
        raise ApiError(
            "InvalidParameterValueException",
            f"The local cloud runs Python functions only, not {configuration.get('Runtime')}: add"
            " runtimes in localcloud/emulator/functions.py.",
        )
    network = {k: v for k, v in (configuration.get("VpcConfig") or {}).items() if v}
    if network.get("SubnetIds"):
        subnets = ctx.client("ec2").describe_subnets(SubnetIds=network["SubnetIds"])["Subnets"]
        configuration["VpcConfig"] = {
            "SubnetIds": network["SubnetIds"],
            "SecurityGroupIds": network.get("SecurityGroupIds", []),
            "VpcId": subnets[0]["VpcId"],
        }
    else:
        configuration.pop("VpcConfig", None)
    logging = {"LogFormat": "Text", **(configuration.get("LoggingConfig") or {})}
    logging.setdefault("LogGroup", f"/aws/lambda/{configuration['FunctionName']}")
    candidate = Function(
        function.account,
        function.region,
        {**configuration, "LoggingConfig": logging},
        function.code,
    )
    task = candidate.task("lambda", inside=False)
    compute, host = ctx.host.compute, cast(Any, ctx.host)
    try:
        compute.principal(task)
    except ComputeError as error:
        message = f"The role defined for the function cannot be assumed by Lambda. {error}"
        raise ApiError("InvalidParameterValueException", message) from error
    if network.get("SubnetIds"):
        for action in _IN_VPC:
            if not host.allowed(task, action, "*"):
                raise ApiError(
                    "InvalidParameterValueException",
                    "The provided execution role does not have permissions to call"
                    f" {action.partition(':')[2]} on EC2",
                )
    function.configuration = candidate.configuration


@operation(_SERVICE, "CreateFunction")
def create_function(ctx: Context, params: Params) -> Params:
    """Makes a function."""
    name = _name(params["FunctionName"])
    arn = ctx.arn(f"function:{name}")
    if name in _functions(ctx):
        raise ApiError("ResourceConflictException", f"Function already exist: {name}", 409)
    given = {**_DEFAULTS, **params}
    code = _code(ctx, given.pop("Code"))
    tags = dict(given.pop("Tags", {}))
    given.pop("Publish", None)
    given |= {"FunctionName": name, "FunctionArn": arn, "Version": _LATEST}
    function = Function(ctx.account, ctx.region, given, code, tags)
    _configure(ctx, function, {})
    _functions(ctx)[name] = function
    return _stamp(ctx, function)


@operation(_SERVICE, "GetFunction")
def get_function(ctx: Context, params: Params) -> Params:
    """Shows a function."""
    function = _find(ctx, params["FunctionName"])
    answer: Params = {
        "Configuration": function.configuration,
        "Code": {"RepositoryType": "S3", "Location": f"{ctx.host.endpoint}/_localcloud/code"},
        "Tags": function.tags,
    }
    if function.reserved is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
    return answer


@operation(_SERVICE, "GetFunctionConfiguration")
def get_function_configuration(ctx: Context, params: Params) -> Params:
    """Shows a function's configuration."""
    return _find(ctx, params["FunctionName"]).configuration


@operation(_SERVICE, "ListFunctions")
def list_functions(ctx: Context, params: Params) -> Params:
    """Lists the functions."""
    del params
    return {"Functions": [function.configuration for function in _functions(ctx).values()]}


@operation(_SERVICE, "ListVersionsByFunction")
def list_versions(ctx: Context, params: Params) -> Params:
    """Lists the only version that the local cloud has."""
    return {"Versions": [_find(ctx, params["FunctionName"]).configuration]}


@operation(_SERVICE, "UpdateFunctionConfiguration")
def update_function_configuration(ctx: Context, params: Params) -> Params:
    """Changes a function's configuration."""
    given = dict(params)
    function = _find(ctx, given.pop("FunctionName"))
    given.pop("RevisionId", None)
    _configure(ctx, function, given)
    return _stamp(ctx, function)


@operation(_SERVICE, "UpdateFunctionCode")
def update_function_code(ctx: Context, params: Params) -> Params:
    """Changes a function's code."""
    function = _find(ctx, params["FunctionName"])
    function.code = _code(ctx, params)
    return _stamp(ctx, function)


@operation(_SERVICE, "DeleteFunction")
def delete_function(ctx: Context, params: Params) -> Params:
    """Removes a function; event sources stay, as on AWS, and do nothing."""
    function = _find(ctx, params["FunctionName"])
    del _functions(ctx)[str(function.configuration["FunctionName"])]
    return {}


@operation(_SERVICE, "Invoke")
def invoke(ctx: Context, params: Params) -> Params | Callable[[], Params]:
    """Runs a function: in the background, or to its end outside the emulator's lock."""
    function, runner = _find(ctx, params["FunctionName"]), _runner(ctx)
    qualifier = _qualifier(ctx, function, params)
    payload = bytes(params.get("Payload") or b"{}")
    kind = params.get("InvocationType", "RequestResponse")
    if kind == "DryRun":
        return {"StatusCode": 204}
    if kind == "Event":
        runner.invoke_later(function, payload, qualifier)
        return {"StatusCode": 202}

    def run() -> Params:
        result = runner.invoke(function, payload, qualifier)
        answer: Params = {
            "StatusCode": 200,
            "Payload": result.payload,
            "ExecutedVersion": _LATEST,
        }
        if result.error:
            answer["FunctionError"] = result.error
        if params.get("LogType") == "Tail":
            answer["LogResult"] = base64.b64encode(result.log).decode()
        return answer

    return run


@operation(_SERVICE, "PutFunctionConcurrency")
def put_concurrency(ctx: Context, params: Params) -> Params:
    """Reserves concurrency; the local cloud keeps the number and runs a few at once anyway."""
    function = _find(ctx, params["FunctionName"])
    function.reserved = params["ReservedConcurrentExecutions"]
    return {"ReservedConcurrentExecutions": function.reserved}


@operation(_SERVICE, "GetFunctionConcurrency")
def get_concurrency(ctx: Context, params: Params) -> Params:
    """Shows reserved concurrency."""
    reserved = _find(ctx, params["FunctionName"]).reserved
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}


@operation(_SERVICE, "DeleteFunctionConcurrency")
def delete_concurrency(ctx: Context, params: Params) -> Params:
    """Gives reserved concurrency up."""
    _find(ctx, params["FunctionName"]).reserved = None
    return {}


# Aliases.


def _alias(ctx: Context, params: Params) -> tuple[Function, Params]:
    function = _find(ctx, params["FunctionName"])
    alias = function.aliases.get(params["Name"])
    if alias is None:
        message = f"Cannot find alias arn: {qualified(function.arn, params['Name'])}"
        raise ApiError("ResourceNotFoundException", message, 404)
    return function, alias


def _aimed(params: Params) -> Params:
    """What a call says of an alias, as far as it can be kept.

    Raises:
        ApiError: It points to a version that the local cloud does not have.
    """
    if params.get("FunctionVersion", _LATEST) != _LATEST or params.get("RoutingConfig"):
        raise ApiError(
            "InvalidParameterValueException",
            "The local cloud has one version of each function, $LATEST, and routes nothing: add"
            " versions in localcloud/emulator/extensions/lambda_.py.",
        )
    kept = {key: params[key] for key in ("FunctionVersion", "Description") if key in params}
    return {**kept, "RevisionId": str(uuid.uuid4())}


@operation(_SERVICE, "CreateAlias")
def create_alias(ctx: Context, params: Params) -> Params:
    """Gives a function another name to be called by."""
    function, name = _find(ctx, params["FunctionName"]), params["Name"]
    arn = qualified(function.arn, name)
    if name in function.aliases:
        raise ApiError("ResourceConflictException", f"Alias already exists: {arn}", 409)
    function.aliases[name] = {"AliasArn": arn, "Name": name, "Description": "", **_aimed(params)}
    return function.aliases[name]


@operation(_SERVICE, "GetAlias")
def get_alias(ctx: Context, params: Params) -> Params:
    """Shows an alias."""
    return _alias(ctx, params)[1]


@operation(_SERVICE, "UpdateAlias")
def update_alias(ctx: Context, params: Params) -> Params:
    """Changes an alias."""
    _, alias = _alias(ctx, params)
    alias.update(_aimed(params))
    return alias


@operation(_SERVICE, "DeleteAlias")
def delete_alias(ctx: Context, params: Params) -> Params:
    """Removes an alias and its policy; one that is not there is removed already, as on AWS."""
    function = _find(ctx, params["FunctionName"])
    function.aliases.pop(params["Name"], None)
    function.statements.pop(params["Name"], None)
    return {}


@operation(_SERVICE, "ListAliases")
def list_aliases(ctx: Context, params: Params) -> Params:
    """Lists a function's aliases."""
    wanted = params.get("FunctionVersion")
    aliases = _find(ctx, params["FunctionName"]).aliases.values()
    return {"Aliases": [a for a in aliases if wanted in (None, a["FunctionVersion"])]}


# Policies.


@operation(_SERVICE, "AddPermission")
def add_permission(ctx: Context, params: Params) -> Params:
    """Adds a statement to the policy of a function or of its alias."""
    function, sid = _find(ctx, params["FunctionName"]), params["StatementId"]
    qualifier = _qualifier(ctx, function, params)
    statements = function.statements.setdefault(qualifier, {})
    if sid in statements:
        message = f"The statement id ({sid}) provided already exists."
        raise ApiError("ResourceConflictException", message, 409)
    principal = params["Principal"]
    statement: Params = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service" if principal.endswith(".amazonaws.com") else "AWS": principal},
        "Action": params["Action"],
        "Resource": qualified(function.arn, qualifier),
    }
    conditions: Params = {}
    if params.get("SourceArn"):
        conditions["ArnLike"] = {"AWS:SourceArn": params["SourceArn"]}
    equal = {
        "AWS:SourceAccount": params.get("SourceAccount"),
        "aws:PrincipalOrgID": params.get("PrincipalOrgID"),
    }
    if any(equal.values()):
        conditions["StringEquals"] = {key: value for key, value in equal.items() if value}
    if conditions:
        statement["Condition"] = conditions
    statements[sid] = statement
    return {"Statement": json.dumps(statement)}


@operation(_SERVICE, "RemovePermission")
def remove_permission(ctx: Context, params: Params) -> Params:
    """Takes a statement out of the policy of a function or of its alias."""
    function = _find(ctx, params["FunctionName"])
    statements = function.statements.get(_qualifier(ctx, function, params), {})
    if statements.pop(params["StatementId"], None) is None:
        message = f"Statement {params['StatementId']} is not found in resource policy."
        raise ApiError("ResourceNotFoundException", message, 404)
    return {}


def _policy(function: Function, qualifier: str) -> Params | None:
    statements = function.statements.get(qualifier)
    if not statements:
        return None
    return {"Version": "2012-10-17", "Id": "default", "Statement": list(statements.values())}


@operation(_SERVICE, "GetPolicy")
def get_policy(ctx: Context, params: Params) -> Params:
    """Shows the policy of a function or of its alias."""
    function = _find(ctx, params["FunctionName"])
    policy = _policy(function, _qualifier(ctx, function, params))
    if policy is None:
        message = "The resource you requested does not exist."
        raise ApiError("ResourceNotFoundException", message, 404)
    return {"Policy": json.dumps(policy), "RevisionId": str(uuid.uuid4())}


@resource_policy(_SERVICE)
def function_policy(ctx: Context, arn: str) -> Params | None:
    """A function's policy, for authorization: an alias has one of its own."""
    name, qualifier = _parts(arn)
    function = _functions(ctx).get(name)
    return _policy(function, qualifier) if function else None


# Tags.


@resource_tags(_SERVICE)
def function_tags(ctx: Context, arn: str) -> dict[str, str] | None:
    """A function's tags."""
    function = _functions(ctx).get(_name(arn)) if ":function:" in arn else None
    return function.tags if function else None


def _tags(ctx: Context, arn: str) -> dict[str, str]:
    if ":event-source-mapping:" in arn:
        mapping = _mapping(ctx, arn.rsplit(":", 1)[-1])
        return cast(
            "dict[str, str]", ctx.store().setdefault("tags", {}).setdefault(mapping["UUID"], {})
        )
    return _find(ctx, arn).tags


@operation(_SERVICE, "TagResource")
def tag_resource(ctx: Context, params: Params) -> Params:
    """Sets tags."""
    _tags(ctx, params["Resource"]).update(params["Tags"])
    return {}


@operation(_SERVICE, "UntagResource")
def untag_resource(ctx: Context, params: Params) -> Params:
    """Removes tags."""
    for key in params["TagKeys"]:
        _tags(ctx, params["Resource"]).pop(key, None)
    return {}


@operation(_SERVICE, "ListTags")
def list_tags(ctx: Context, params: Params) -> Params:
    """Shows tags."""
    return {"Tags": dict(_tags(ctx, params["Resource"]))}


# Queues.


def _mapping(ctx: Context, given: str) -> Params:
    mapping = _mappings(ctx).get(given)
    if mapping is None:
        raise ApiError(
            "ResourceNotFoundException", "The resource you requested does not exist.", 404
        )
    return mapping


def _check_queue(ctx: Context, function: Function, arn: str) -> None:
    parsed = world.Arn.parse(arn)
    if parsed is None or parsed.service != "sqs":
        raise ApiError(
            "InvalidParameterValueException",
            f"The local cloud reads queues only, not {arn}: add event sources in"
            " localcloud/emulator/functions.py.",
        )
    queues = ctx.backend("sqs", account=parsed.account, region=parsed.region).queues
    if parsed.resource not in queues:
        raise ApiError("InvalidParameterValueException", f"There is no queue {arn}.")
    task = function.task("lambda", inside=False)
    for action in _FROM_QUEUE:
        if not cast(Any, ctx.host).allowed(task, action, arn):
            raise ApiError(
                "InvalidParameterValueException",
                "The provided execution role does not have permissions to call"
                f" {action.partition(':')[2]} on SQS",
            )
    visible = int(queues[parsed.resource].visibility_timeout)
    longest = int(function.configuration["Timeout"])
    if visible < longest:
        raise ApiError(
            "InvalidParameterValueException",
            f"Queue visibility timeout: {visible} seconds is less than Function timeout:"
            f" {longest} seconds",
        )


def _start(ctx: Context, mapping: Params) -> None:
    functions, name = _functions(ctx), _name(mapping["FunctionArn"])
    if mapping["State"] == "Enabled":
        _runner(ctx).watch(mapping, lambda: functions.get(name))


@operation(_SERVICE, "CreateEventSourceMapping")
def create_mapping(ctx: Context, params: Params) -> Params:
    """Lets a function read a queue."""
    given = dict(params)
    function = _find(ctx, given.pop("FunctionName"))
    _check_queue(ctx, function, given["EventSourceArn"])
    tags = given.pop("Tags", {})
    enabled = given.pop("Enabled", True)
    id_ = str(uuid.uuid4())
    mapping: Params = {
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        **given,
        "UUID": id_,
        "EventSourceMappingArn": ctx.arn(f"event-source-mapping:{id_}"),
        "FunctionArn": function.arn,
        "LastModified": ctx.now(),
        "LastProcessingResult": "No records processed",
        "State": "Enabled" if enabled else "Disabled",
        "StateTransitionReason": "USER_INITIATED",
    }
    _mappings(ctx)[id_] = mapping
    _tags(ctx, mapping["EventSourceMappingArn"]).update(tags)
    _start(ctx, mapping)
    return mapping


@operation(_SERVICE, "GetEventSourceMapping")
def get_mapping(ctx: Context, params: Params) -> Params:
    """Shows a mapping."""
    return _mapping(ctx, params["UUID"])


@operation(_SERVICE, "ListEventSourceMappings")
def list_mappings(ctx: Context, params: Params) -> Params:
    """Lists mappings, of a function or a queue."""
    name = params.get("FunctionName")
    source = params.get("EventSourceArn")
    return {
        "EventSourceMappings": [
            mapping
            for mapping in _mappings(ctx).values()
            if (not name or _name(mapping["FunctionArn"]) == _name(name))
            and (not source or mapping["EventSourceArn"] == source)
        ]
    }


@operation(_SERVICE, "UpdateEventSourceMapping")
def update_mapping(ctx: Context, params: Params) -> Params:
    """Changes a mapping."""
    given = dict(params)
    mapping = _mapping(ctx, given.pop("UUID"))
    if given.get("FunctionName"):
        mapping["FunctionArn"] = _find(ctx, given.pop("FunctionName")).arn
    if "Enabled" in given:
        mapping["State"] = "Enabled" if given.pop("Enabled") else "Disabled"
    mapping.update(given)
    mapping["LastModified"] = ctx.now()
    _runner(ctx).unwatch(mapping)
    _start(ctx, mapping)
    return mapping


@operation(_SERVICE, "DeleteEventSourceMapping")
def delete_mapping(ctx: Context, params: Params) -> Params:
    """Ends a mapping."""
    mapping = _mapping(ctx, params["UUID"])
    del _mappings(ctx)[params["UUID"]]
    _runner(ctx).unwatch(mapping)
    return {**mapping, "State": "Deleting"}
