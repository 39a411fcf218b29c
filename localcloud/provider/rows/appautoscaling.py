"""Application Auto Scaling: what is scaled, and by which policy."""

from __future__ import annotations

from localcloud.provider.table import Call, Row, Tags

_SERVICE = "application-autoscaling"
_PLACE = {"ServiceNamespace": "{serviceNamespace}", "ScalableDimension": "{scalableDimension}"}
_TARGET = {**_PLACE, "ResourceId": "{resourceId}"}

ROWS = [
    Row(
        token="aws:appautoscaling/target:Target",
        service=_SERVICE,
        create=Call("RegisterScalableTarget"),
        id="{resourceId}",
        read=Call(
            "DescribeScalableTargets",
            by={**_PLACE, "ResourceIds": ["{resourceId}"]},
            path="ScalableTargets[0]",
        ),
        update=(Call("RegisterScalableTarget"),),
        delete=Call("DeregisterScalableTarget", by=_TARGET),
        replace=("resourceId", "scalableDimension", "serviceNamespace"),
        computed={"arn": "ScalableTargetARN"},
        tags=Tags(style="map", arn="ResourceARN"),
        gone=("ObjectNotFoundException", "ValidationException"),
        import_id="{serviceNamespace}/{resourceId}/{scalableDimension}",
    ),
    Row(
        token="aws:appautoscaling/policy:Policy",
        service=_SERVICE,
        create=Call("PutScalingPolicy"),
        id="{name}",
        read=Call(
            "DescribeScalingPolicies",
            by={**_TARGET, "PolicyNames": ["{id}"]},
            path="ScalingPolicies[0]",
        ),
        update=(Call("PutScalingPolicy"),),
        delete=Call("DeleteScalingPolicy", by={**_TARGET, "PolicyName": "{id}"}),
        rename={"name": "PolicyName"},
        replace=("resourceId", "scalableDimension", "serviceNamespace", "name"),
        name="name",
        prefix="",
        defaults={"policyType": "StepScaling"},
        computed={"arn": "PolicyARN"},
        gone=("ObjectNotFoundException", "ValidationException"),
        import_id="{serviceNamespace}/{resourceId}/{scalableDimension}/{name}",
    ),
]
