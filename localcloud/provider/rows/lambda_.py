"""Lambda: functions, who may invoke them, and the queues that they read."""

from __future__ import annotations

import json
from typing import Any

from localcloud.provider.assets import archive
from localcloud.provider.table import Call, Props, Row, Scope, Tags

_FUNCTION = {"FunctionName": "{id}"}
_ALIASED = {"FunctionName": "{functionName}", "Name": "{name}"}
_ALIAS = ("functionVersion", "description", "routingConfig")
_CODE = ("code", "s3Bucket", "s3Key", "s3ObjectVersion", "sourceCodeHash")
_CONFIGURATION = (
    "role", "handler", "description", "timeout", "memorySize", "vpcConfig", "environment",
    "runtime", "deadLetterConfig", "kmsKeyArn", "tracingConfig", "layers", "ephemeralStorage",
    "loggingConfig",
)  # fmt: skip


def _source(inputs: Props) -> Props:
    if inputs.get("code") is not None:
        return {"ZipFile": archive(inputs["code"])}
    source = {"S3Bucket": inputs.get("s3Bucket"), "S3Key": inputs.get("s3Key")}
    return {name: value for name, value in source.items() if value}


def _prepare(params: Props, inputs: Props, scope: Scope) -> None:
    params["Code"] = _source(inputs)


def _prepare_code(params: Props, inputs: Props, scope: Scope) -> None:
    params.update(_source(inputs))


def _after(inputs: Props, outputs: Props, scope: Scope) -> None:
    _reserve({"FunctionName": outputs["name"]}, inputs, scope)


def _reserve(params: Props, inputs: Props, scope: Scope) -> None:
    wanted = inputs.get("reservedConcurrentExecutions")
    named = {"FunctionName": params["FunctionName"]}
    if wanted is None or int(wanted) < 0:
        scope.call("lambda", "DeleteFunctionConcurrency", named)
    else:
        given = {**named, "ReservedConcurrentExecutions": int(wanted)}
        scope.call("lambda", "PutFunctionConcurrency", given)


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    found["name"] = found.pop("functionName", answer["Configuration"]["FunctionName"])
    reserved = (answer.get("Concurrency") or {}).get("ReservedConcurrentExecutions")
    if reserved is not None:
        found["reservedConcurrentExecutions"] = reserved
    found["arn"] = answer["Configuration"]["FunctionArn"]
    # It follows from the code, whose change is seen by the archive's hash.
    found.pop("codeSha256", None)


def _permission_id(inputs: Props) -> str:
    return str(inputs["statementId"])


def _find_permission(id_: str, props: Props, scope: Scope) -> Props | None:
    name = props["function"]
    policy = json.loads(scope.call("lambda", "GetPolicy", {"FunctionName": name})["Policy"])
    for statement in policy["Statement"]:
        if statement["Sid"] != id_:
            continue
        condition = statement.get("Condition", {})
        equal = condition.get("StringEquals", {})
        principal: Any = statement["Principal"]
        found: Props = {
            "function": name,
            "statementId": id_,
            "action": statement["Action"],
            "principal": next(iter(principal.values())),
            "sourceArn": condition.get("ArnLike", {}).get("AWS:SourceArn"),
            "sourceAccount": equal.get("AWS:SourceAccount"),
            "principalOrgId": equal.get("aws:PrincipalOrgID"),
        }
        return {key: value for key, value in found.items() if value is not None}
    return None


def _mapping(found: Props, answer: Props, scope: Scope) -> None:
    found["functionName"] = answer["FunctionArn"]
    found["functionArn"] = answer["FunctionArn"]
    found["enabled"] = answer["State"] == "Enabled"
    found["uuid"] = answer["UUID"]
    found["arn"] = answer["EventSourceMappingArn"]


ROWS = [
    Row(
        token="aws:lambda/function:Function",
        service="lambda",
        create=Call(
            "CreateFunction",
            only=("name", "packageType", "architectures", *_CONFIGURATION),
            prepare=_prepare,
            takes=(*_CODE, "reservedConcurrentExecutions"),
        ),
        id="{name}",
        read=Call("GetFunction", by=_FUNCTION, path="Configuration"),
        update=(
            Call("UpdateFunctionCode", by=_FUNCTION, only=("architectures",),
                 prepare=_prepare_code, takes=_CODE, when=(*_CODE, "architectures")),
            Call("UpdateFunctionConfiguration", by=_FUNCTION, only=_CONFIGURATION,
                 when=_CONFIGURATION),
            Call("GetFunction", by=_FUNCTION, only=(), prepare=_reserve,
                 takes=("reservedConcurrentExecutions",), when=("reservedConcurrentExecutions",)),
        ),
        delete=Call("DeleteFunction", by=_FUNCTION),
        after=_after,
        observe=_observe,
        rename={"name": "FunctionName"},
        name="name",
        prefix="",
        replace=("name", "packageType"),
        filled={"architectures": None, "ephemeralStorage": None, "loggingConfig": None,
                "memorySize": 128, "packageType": "Zip", "timeout": 3, "tracingConfig": None},
        computed={"arn": "FunctionArn"},
        unread=dict.fromkeys(_CODE, "a change of the code is no drift, as it is not read"),
        refused={"publish": "each function has one version, so leave it out"},
        tags=Tags(style="map", put="TagResource", remove="UntagResource", arn="Resource",
                  listing="ListTags"),
    ),
    Row(
        token="aws:lambda/alias:Alias",
        service="lambda",
        create=Call("CreateAlias", only=(*_ALIAS, "name", "functionName")),
        id="{arn}",
        import_id="{functionName}/{name}",
        read=Call("GetAlias", by=_ALIASED),
        update=(Call("UpdateAlias", by=_ALIASED, only=_ALIAS),),
        delete=Call("DeleteAlias", by=_ALIASED),
        name="name",
        prefix="",
        replace=("name", "functionName"),
        computed={"arn": "AliasArn"},
    ),
    Row(
        token="aws:lambda/permission:Permission",
        service="lambda",
        create=Call("AddPermission", by={"FunctionName": "{function}"}),
        id="{statementId}",
        import_id="{function}/{statementId}",
        id_of=_permission_id,
        find=_find_permission,
        delete=Call("RemovePermission",
                    by={"FunctionName": "{function}", "StatementId": "{statementId}"}),
        rename={"principalOrgId": "PrincipalOrgID"},
        name="statementId",
        prefix="statementIdPrefix",
        replace=("function", "statementId", "action", "principal", "sourceArn", "sourceAccount",
                 "principalOrgId"),
        unread=dict.fromkeys(
            ("eventSourceToken", "functionUrlAuthType", "invokedViaFunctionUrl", "qualifier"),
            "nothing changes a permission, and no condition is told by this name",
        ),
    ),
    Row(
        token="aws:lambda/eventSourceMapping:EventSourceMapping",
        service="lambda",
        create=Call("CreateEventSourceMapping"),
        id="{uuid}",
        read=Call("GetEventSourceMapping", by={"UUID": "{id}"}),
        update=(
            Call("UpdateEventSourceMapping", by={"UUID": "{id}"},
                 only=("functionName", "enabled", "batchSize", "scalingConfig",
                       "functionResponseTypes", "maximumBatchingWindowInSeconds")),
        ),
        delete=Call("DeleteEventSourceMapping", by={"UUID": "{id}"}),
        observe=_mapping,
        replace=("eventSourceArn",),
        filled={"enabled": True},
        computed={"uuid": "UUID", "arn": "EventSourceMappingArn", "functionArn": "FunctionArn"},
        tags=Tags(style="map", put="TagResource", remove="UntagResource", arn="Resource",
                  listing="ListTags"),
    ),
]  # fmt: skip
