"""CloudTrail: trails."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_RENAME = {
    "s3BucketName": "S3BucketName",
    "cloudWatchLogsGroupArn": "CloudWatchLogsLogGroupArn",
    "isMultiRegionTrail": "IsMultiRegionTrail",
    "enableLogFileValidation": "EnableLogFileValidation",
}


def _start(inputs: Props, outputs: Props, scope: Scope) -> None:
    if inputs.get("enableLogging", True):
        scope.call("cloudtrail", "StartLogging", {"Name": outputs["arn"]})


def _logging(params: Props, inputs: Props, scope: Scope) -> None:
    verb = "StartLogging" if inputs.get("enableLogging", True) else "StopLogging"
    scope.call("cloudtrail", verb, {"Name": params["Name"]})


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    trail = answer["Trail"]
    found["arn"] = trail["TrailARN"]
    found["enableLogFileValidation"] = trail.get("LogFileValidationEnabled", False)
    status = scope.call("cloudtrail", "GetTrailStatus", {"Name": trail["TrailARN"]})
    found["enableLogging"] = status["IsLogging"]


ROWS = [
    Row(
        token="aws:cloudtrail/trail:Trail",
        service="cloudtrail",
        create=Call("CreateTrail", takes=("enableLogging",)),
        id="{arn}",
        # Not DescribeTrails: moto answers it with every trail, whatever it is asked for.
        read=Call("GetTrail", by={"Name": "{id}"}, path="Trail"),
        update=(
            Call("UpdateTrail"),
            Call(
                "GetTrailStatus",
                by={"Name": "{id}"},
                only=(),
                prepare=_logging,
                takes=("enableLogging",),
            ),
        ),
        delete=Call("DeleteTrail", by={"Name": "{name}"}),
        after=_start,
        observe=_observe,
        rename=_RENAME,
        name="name",
        prefix="",
        replace=("name",),
        defaults={"enableLogging": True, "includeGlobalServiceEvents": True},
        computed={"arn": "TrailARN", "homeRegion": "{region}"},
        tags=Tags(
            member="TagsList",
            put="AddTags",
            put_member="TagsList",
            remove="RemoveTags",
            remove_member="TagsList",
            remove_pairs=True,
            arn="ResourceIdList",
            put_arn="ResourceId",
            target="{id}",
            listing="ListTags",
            listed="ResourceTagList[0].TagsList",
        ),
        gone=("TrailNotFoundException",),
    ),
]
