"""Athena: work groups."""

from __future__ import annotations

from typing import cast

from botocore.model import StructureShape

from localcloud.provider import shapes
from localcloud.provider.table import Call, Props, Row, Scope, Tags


def _updates(params: Props, inputs: Props, scope: Scope) -> None:
    configuration = params.pop("Configuration", None)
    if configuration is None:
        return
    result = configuration.pop("ResultConfiguration", None)
    if result is not None:
        configuration["ResultConfigurationUpdates"] = result
    params["ConfigurationUpdates"] = configuration


def _configuration(params: Props, inputs: Props, scope: Scope) -> None:
    shape = shapes.operation("athena", "CreateWorkGroup").input_shape
    if "configuration" in inputs and shape is not None:
        params["Configuration"] = shapes.to_api(
            inputs["configuration"],
            shapes.members(cast(StructureShape, shape))["Configuration"],
            RENAME,
            "configuration",
            "athena:UpdateWorkGroup",
        )
    _updates(params, inputs, scope)


def _disabled(inputs: Props, outputs: Props, scope: Scope) -> None:
    # A work group is made enabled.
    if inputs.get("state") == "DISABLED":
        given = {"WorkGroup": inputs["name"], "State": "DISABLED"}
        scope.call("athena", "UpdateWorkGroup", given)


RENAME = {
    "configuration.publishCloudwatchMetricsEnabled": "PublishCloudWatchMetricsEnabled",
    "configuration.resultConfiguration.encryptionConfiguration.kmsKeyArn": "KmsKey",
}

ROWS = [
    Row(
        token="aws:athena/workgroup:Workgroup",
        service="athena",
        create=Call(
            "CreateWorkGroup", only=("name", "description", "configuration"), takes=("state",)
        ),
        after=_disabled,
        id="{name}",
        read=Call("GetWorkGroup", by={"WorkGroup": "{id}"}, path="WorkGroup"),
        update=(
            Call(
                "UpdateWorkGroup",
                by={"WorkGroup": "{id}"},
                only=("description", "state"),
                prepare=_configuration,
                takes=("configuration",),
            ),
        ),
        delete=Call(
            "DeleteWorkGroup", by={"WorkGroup": "{id}"}, fixed={"RecursiveDeleteOption": True}
        ),
        rename=RENAME,
        name="name",
        prefix="",
        replace=("name",),
        defaults={"state": "ENABLED"},
        filled={
            "configuration.enableMinimumEncryptionConfiguration": None,
            "configuration.engineVersion": None,
            "configuration.publishCloudwatchMetricsEnabled": None,
            "configuration.requesterPaysEnabled": False,
        },
        ignored={"forceDestroy": "the emulator keeps no queries"},
        computed={"arn": "arn:{partition}:athena:{region}:{account}:workgroup/{name}"},
        tags=Tags(arn="ResourceARN"),
        gone=("InvalidRequestException",),
    ),
]
