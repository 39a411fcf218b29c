"""CloudWatch: log groups, alarms, and the buses and rules of EventBridge."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_TRANSFORMATION = {
    "name": "metricName", "namespace": "metricNamespace", "value": "metricValue",
    "defaultValue": "defaultValue", "dimensions": "dimensions", "unit": "unit",
}  # fmt: skip
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


def _transformation(params: Props, inputs: Props, scope: Scope) -> None:
    given = dict(inputs["metricTransformation"])
    params["metricTransformations"] = [
        {
            member: float(given[name]) if name == "defaultValue" else given[name]
            for name, member in _TRANSFORMATION.items()
            if given.get(name) not in (None, "", {})
        }
    ]


def _find_filter(id_: str, props: Props, scope: Scope) -> Props | None:
    asked = {"logGroupName": props["logGroupName"], "filterNamePrefix": id_}
    for found in scope.call("logs", "DescribeMetricFilters", asked)["metricFilters"]:
        if found["filterName"] == id_:
            (given,) = found["metricTransformations"]
            told: Props = {
                name: given[member] for name, member in _TRANSFORMATION.items() if member in given
            }
            if "defaultValue" in told:
                told["defaultValue"] = f"{told['defaultValue']:g}"
            return {
                "name": id_,
                "logGroupName": found["logGroupName"],
                "pattern": found["filterPattern"],
                "metricTransformation": told,
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


def _bus_of(props: Props) -> str:
    return props.get("eventBusName") or "default"


def _rule_id(inputs: Props) -> str:
    """Source: the provider's documentation of ``aws.cloudwatch.EventRule``, import."""
    bus = _bus_of(inputs)
    return inputs["name"] if bus == "default" else f"{bus}/{inputs['name']}"


def _find_rule(id_: str, props: Props, scope: Scope) -> Props | None:
    bus, _, name = id_.rpartition("/")
    bus = bus or "default"
    rule = scope.call("events", "DescribeRule", {"Name": name, "EventBusName": bus})
    found = {"name": name, "eventBusName": bus, "arn": rule["Arn"], "state": rule["State"]}
    for member in ("EventPattern", "ScheduleExpression", "Description", "RoleArn"):
        if rule.get(member):
            found[member[0].lower() + member[1:]] = rule[member]
    return found


def _find_bus_policy(id_: str, props: Props, scope: Scope) -> Props | None:
    bus = scope.call("events", "DescribeEventBus", {"Name": id_})
    return {"eventBusName": id_, "policy": bus["Policy"]} if bus.get("Policy") else None


_TARGET = {
    "arn": "Arn",
    "roleArn": "RoleArn",
    "input": "Input",
    "inputPath": "InputPath",
    "targetId": "Id",
}


def _put_target(params: Props, inputs: Props, scope: Scope) -> None:
    target = {member: inputs[name] for name, member in _TARGET.items() if inputs.get(name)}
    letters = inputs.get("deadLetterConfig") or {}
    if letters.get("arn"):
        target["DeadLetterConfig"] = {"Arn": letters["arn"]}
    retry = inputs.get("retryPolicy") or {}
    if retry:
        target["RetryPolicy"] = {
            member: retry[name]
            for name, member in (
                ("maximumEventAgeInSeconds", "MaximumEventAgeInSeconds"),
                ("maximumRetryAttempts", "MaximumRetryAttempts"),
            )
            if name in retry
        }
    pipeline = (inputs.get("sagemakerPipelineTarget") or {}).get("pipelineParameterLists")
    if pipeline:
        target["SageMakerPipelineParameters"] = {
            "PipelineParameterList": [
                {"Name": item["name"], "Value": item["value"]} for item in pipeline
            ]
        }
    params["Targets"] = [target]


def _remove_target(params: Props, props: Props, scope: Scope) -> None:
    params |= {"EventBusName": _bus_of(props), "Ids": [props["targetId"]]}


def _target_id(inputs: Props) -> str:
    """Source: the provider's documentation of ``aws.cloudwatch.EventTarget``, import."""
    bus = _bus_of(inputs)
    parts = [inputs["rule"], inputs["targetId"]]
    return "/".join(parts if bus == "default" else [bus, *parts])


def _find_target(id_: str, props: Props, scope: Scope) -> Props | None:
    *bus, rule, target_id = id_.split("/")
    name = bus[0] if bus else "default"
    answer = scope.call("events", "ListTargetsByRule", {"Rule": rule, "EventBusName": name})
    for target in answer["Targets"]:
        if target["Id"] == target_id:
            found: Props = {"rule": rule, "eventBusName": name}
            found |= {key: target[member] for key, member in _TARGET.items() if member in target}
            if target.get("DeadLetterConfig"):
                found["deadLetterConfig"] = {"arn": target["DeadLetterConfig"]["Arn"]}
            pipeline = (target.get("SageMakerPipelineParameters") or {}).get(
                "PipelineParameterList"
            )
            if pipeline:
                found["sagemakerPipelineTarget"] = {
                    "pipelineParameterLists": [
                        {"name": item["Name"], "value": item["Value"]} for item in pipeline
                    ]
                }
            if target.get("RetryPolicy"):
                found["retryPolicy"] = {
                    member[0].lower() + member[1:]: value
                    for member, value in target["RetryPolicy"].items()
                }
            return found
    return None


_PUT_RULE = Call(
    "PutRule",
    only=(
        "name", "eventBusName", "eventPattern", "scheduleExpression", "state", "description",
        "roleArn",
    ),
)  # fmt: skip
_PUT_TARGETS = Call(
    "PutTargets",
    only=("rule", "eventBusName"),
    prepare=_put_target,
    takes=(*_TARGET, "deadLetterConfig", "retryPolicy", "sagemakerPipelineTarget"),
)
_BUS_POLICY = Call("PutPermission", only=("eventBusName", "policy"))
_EVENT_TAGS = Tags(arn="ResourceARN")

_PLAIN = (
    "name", "comparisonOperator", "evaluationPeriods", "metricName", "namespace", "period",
    "statistic", "threshold", "alarmDescription", "alarmActions", "okActions", "actionsEnabled",
    "insufficientDataActions", "treatMissingData", "datapointsToAlarm", "unit", "extendedStatistic",
)  # fmt: skip
_ALARM = Call("PutMetricAlarm", only=_PLAIN, prepare=_dimensions, takes=("dimensions",))

_FILTER = Call(
    "PutMetricFilter",
    only=("name", "pattern", "logGroupName"),
    prepare=_transformation,
    takes=("metricTransformation",),
)

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
        unread={"deletionProtectionEnabled": "moto's log groups do not keep it"},
        refused={"skipDestroy": "a log group ends with its resource, so leave it out"},
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
        token="aws:cloudwatch/logMetricFilter:LogMetricFilter",
        service="logs",
        create=_FILTER,
        id="{name}",
        find=_find_filter,
        update=(_FILTER,),
        delete=Call(
            "DeleteMetricFilter", by={"filterName": "{id}", "logGroupName": "{logGroupName}"}
        ),
        rename={"name": "filterName", "pattern": "filterPattern"},
        name="name",
        prefix="",
        replace=("name", "logGroupName"),
        gone=("ResourceNotFoundException",),
        import_id="{logGroupName}:{name}",
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
    Row(
        token="aws:cloudwatch/eventBus:EventBus",
        service="events",
        create=Call("CreateEventBus", only=("name", "description", "kmsKeyIdentifier")),
        id="{name}",
        read=Call("DescribeEventBus", by={"Name": "{id}"}),
        update=(
            Call(
                "UpdateEventBus",
                by={"Name": "{id}"},
                only=("description", "kmsKeyIdentifier"),
            ),
        ),
        delete=Call("DeleteEventBus", by={"Name": "{id}"}),
        name="name",
        prefix="",
        replace=("name",),
        computed={"arn": "EventBusArn"},
        tags=_EVENT_TAGS,
        gone=("ResourceNotFoundException",),
    ),
    Row(
        token="aws:cloudwatch/eventBusPolicy:EventBusPolicy",
        service="events",
        create=_BUS_POLICY,
        id="{eventBusName}",
        find=_find_bus_policy,
        update=(_BUS_POLICY,),
        delete=Call(
            "RemovePermission",
            by={"EventBusName": "{eventBusName}"},
            fixed={"RemoveAllPermissions": True},
        ),
        parts=("eventBusName",),
        replace=("eventBusName",),
        defaults={"eventBusName": "default"},
        gone=("ResourceNotFoundException",),
    ),
    Row(
        token="aws:cloudwatch/eventRule:EventRule",
        service="events",
        create=_PUT_RULE,
        id="{name}",
        id_of=_rule_id,
        find=_find_rule,
        update=(_PUT_RULE,),
        delete=Call("DeleteRule", by={"Name": "{name}", "EventBusName": "{eventBusName}"}),
        name="name",
        replace=("name", "namePrefix", "eventBusName"),
        defaults={"eventBusName": "default", "state": "ENABLED"},
        ignored={"forceDestroy": "rules of AWS services, which the emulator has none of"},
        computed={"arn": "RuleArn"},
        tags=_EVENT_TAGS,
        gone=("ResourceNotFoundException",),
    ),
    Row(
        token="aws:cloudwatch/eventTarget:EventTarget",
        service="events",
        create=_PUT_TARGETS,
        id="{rule}/{targetId}",
        id_of=_target_id,
        find=_find_target,
        update=(_PUT_TARGETS,),
        delete=Call("RemoveTargets", by={"Rule": "{rule}"}, prepare=_remove_target),
        name="targetId",
        prefix="",
        replace=("rule", "eventBusName", "targetId"),
        defaults={"eventBusName": "default"},
        ignored={"forceDestroy": "rules of AWS services, which the emulator has none of"},
        gone=("ResourceNotFoundException",),
    ),
]
