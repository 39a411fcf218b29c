"""DynamoDB: tables."""

from __future__ import annotations

from typing import Any

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_TABLE = {"TableName": "{id}"}


def _create(params: Props, inputs: Props, scope: Scope) -> None:
    params["AttributeDefinitions"] = [
        {"AttributeName": item["name"], "AttributeType": item["type"]}
        for item in inputs["attributes"]
    ]
    params["KeySchema"] = [{"AttributeName": inputs["hashKey"], "KeyType": "HASH"}]
    if inputs.get("rangeKey"):
        params["KeySchema"].append({"AttributeName": inputs["rangeKey"], "KeyType": "RANGE"})
    params["BillingMode"] = inputs["billingMode"]
    encryption = inputs.get("serverSideEncryption")
    if encryption:
        params["SSESpecification"] = _encryption(encryption)


def _encryption(given: Props) -> Props:
    wanted: Props = {"Enabled": given["enabled"]}
    if given.get("kmsKeyArn"):
        wanted |= {"SSEType": "KMS", "KMSMasterKeyId": given["kmsKeyArn"]}
    return wanted


def _after(inputs: Props, outputs: Props, scope: Scope) -> None:
    _backups({"TableName": inputs["name"]}, inputs, scope)


def _backups(params: Props, inputs: Props, scope: Scope) -> None:
    wanted = (inputs.get("pointInTimeRecovery") or {}).get("enabled")
    if wanted is not None:
        scope.call(
            "dynamodb",
            "UpdateContinuousBackups",
            {
                "TableName": params["TableName"],
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": wanted},
            },
        )


def _protection(params: Props, inputs: Props, scope: Scope) -> None:
    params["DeletionProtectionEnabled"] = bool(inputs.get("deletionProtectionEnabled"))


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    table: Any = answer["Table"]
    found["name"], found["arn"] = table["TableName"], table["TableArn"]
    found["attributes"] = [
        {"name": item["AttributeName"], "type": item["AttributeType"]}
        for item in table["AttributeDefinitions"]
    ]
    for key in table["KeySchema"]:
        found["hashKey" if key["KeyType"] == "HASH" else "rangeKey"] = key["AttributeName"]
    billing = (table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED")
    found["billingMode"] = billing
    found["deletionProtectionEnabled"] = bool(table.get("DeletionProtectionEnabled"))
    encryption = table.get("SSEDescription") or {}
    if encryption.get("KMSMasterKeyArn"):
        found["serverSideEncryption"] = {
            "enabled": True,
            "kmsKeyArn": encryption["KMSMasterKeyArn"],
        }
    backups = scope.call("dynamodb", "DescribeContinuousBackups", {"TableName": found["name"]})
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    enabled = recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    found["pointInTimeRecovery"] = {"enabled": enabled}


ROWS = [
    Row(
        token="aws:dynamodb/table:Table",
        service="dynamodb",
        create=Call(
            "CreateTable",
            only=("name", "deletionProtectionEnabled"),
            prepare=_create,
            takes=(
                "attributes", "hashKey", "rangeKey", "billingMode", "serverSideEncryption",
                "pointInTimeRecovery",
            ),
        ),
        id="{name}",
        read=Call("DescribeTable", by=_TABLE),
        update=(
            Call(
                "DescribeTable",
                by=_TABLE,
                only=(),
                prepare=_backups,
                takes=("pointInTimeRecovery",),
                when=("pointInTimeRecovery",),
            ),
            Call(
                "UpdateTable",
                by=_TABLE,
                only=(),
                prepare=_protection,
                takes=("deletionProtectionEnabled",),
                when=("deletionProtectionEnabled",),
            ),
        ),
        delete=Call("DeleteTable", by=_TABLE),
        after=_after,
        observe=_observe,
        rename={"name": "TableName"},
        name="name",
        prefix="",
        replace=("name", "attributes", "hashKey", "rangeKey", "billingMode",
                 "serverSideEncryption"),
        defaults={"billingMode": "PROVISIONED"},
        computed={"arn": "TableDescription.TableArn"},
        tags=Tags(arn="ResourceArn", listing="ListTagsOfResource"),
        gone=("ResourceNotFoundException",),
    ),
]  # fmt: skip
