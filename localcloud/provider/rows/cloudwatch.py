"""CloudWatch: log groups and alarms."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_GROUP = {"logGroupName": "{name}"}


def _retention(inputs: Props, outputs: Props, scope: Scope) -> None:
    if inputs.get("retentionInDays"):
        scope.call(
            "logs",
            "PutRetentionPolicy",
            {"logGroupName": inputs["name"], "retentionInDays": inputs["retentionInDays"]},
        )


def _find_group(id_: str, props: Props, scope: Scope) -> Props | None:
    answer = scope.call("logs", "DescribeLogGroups", {"logGroupNamePrefix": id_})
    for group in answer["logGroups"]:
        if group["logGroupName"] == id_:
            return {
                "name": id_,
                "arn": group["arn"].removesuffix(":*"),
                "kmsKeyId": group.get("kmsKeyId"),
                "retentionInDays": group.get("retentionInDays", 0),
            }
    return None


def _dimensions(params: Props, inputs: Props, scope: Scope) -> None:
    if inputs.get("dimensions"):
        params["Dimensions"] = [
            {"Name": name, "Value": value} for name, value in inputs["dimensions"].items()
        ]


def _read_dimensions(found: Props, answer: Props, scope: Scope) -> None:
    dimensions = answer["MetricAlarms"][0].get("Dimensions") or []
    found["dimensions"] = {item["Name"]: item["Value"] for item in dimensions}


_PLAIN = (
    "name", "comparisonOperator", "evaluationPeriods", "metricName", "namespace", "period",
    "statistic", "threshold", "alarmDescription", "alarmActions", "okActions", "actionsEnabled",
    "insufficientDataActions", "treatMissingData", "datapointsToAlarm", "unit", "extendedStatistic",
)  # fmt: skip
_ALARM = Call("PutMetricAlarm", only=_PLAIN, prepare=_dimensions, takes=("dimensions",))

ROWS = [
    Row(
        token="aws:cloudwatch/logGroup:LogGroup",
        service="logs",
        create=Call("CreateLogGroup", takes=("retentionInDays",)),
        id="{name}",
        find=_find_group,
        update=(
            Call("PutRetentionPolicy", by=_GROUP, only=("retentionInDays",)),
            Call("AssociateKmsKey", by=_GROUP, only=("kmsKeyId",)),
        ),
        delete=Call("DeleteLogGroup", by={"logGroupName": "{id}"}),
        after=_retention,
        rename={"name": "logGroupName"},
        name="name",
        replace=("name", "namePrefix", "logGroupClass"),
        ignored={"skipDestroy": "the emulator's log groups end with their resource"},
        computed={"arn": "arn:{partition}:logs:{region}:{account}:log-group:{name}"},
        tags=Tags(
            member="tags",
            style="map",
            put_member="tags",
            remove_member="tagKeys",
            arn="resourceArn",
            listed="tags",
        ),
        gone=("ResourceNotFoundException",),
    ),
    Row(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        service="cloudwatch",
        create=_ALARM,
        id="{name}",
        read=Call("DescribeAlarms", by={"AlarmNames": ["{id}"]}, path="MetricAlarms[0]"),
        update=(_ALARM,),
        observe=_read_dimensions,
        delete=Call("DeleteAlarms", by={"AlarmNames": ["{id}"]}),
        rename={"name": "AlarmName"},
        name="name",
        prefix="",
        replace=("name",),
        defaults={"actionsEnabled": True, "treatMissingData": "missing"},
        computed={"arn": "arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}"},
        tags=Tags(arn="ResourceARN"),
    ),
]
