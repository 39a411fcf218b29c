"""AWS Config: recorder, delivery channel and whether it records."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope

_RECORDER = Call("PutConfigurationRecorder", under="ConfigurationRecorder")
_CHANNEL = Call("PutDeliveryChannel", under="DeliveryChannel")
_STATUS = Call("DescribeConfigurationRecorderStatus", only=(), takes=("isEnabled", "name"))


def _switch(name: str, enabled: bool, scope: Scope) -> None:
    verb = "StartConfigurationRecorder" if enabled else "StopConfigurationRecorder"
    scope.call("config", verb, {"ConfigurationRecorderName": name})


def _start(inputs: Props, outputs: Props, scope: Scope) -> None:
    _switch(inputs["name"], bool(inputs["isEnabled"]), scope)


def _change(params: Props, inputs: Props, scope: Scope) -> None:
    _switch(inputs["name"], bool(inputs["isEnabled"]), scope)


def _stop(props: Props, scope: Scope) -> None:
    _switch(props["id"], False, scope)


def _status(found: Props, answer: Props, scope: Scope) -> None:
    found["isEnabled"] = answer["ConfigurationRecordersStatus"][0]["recording"]


ROWS = [
    Row(
        token="aws:cfg/recorder:Recorder",
        service="config",
        create=_RECORDER,
        id="{name}",
        read=Call(
            "DescribeConfigurationRecorders",
            by={"ConfigurationRecorderNames": ["{id}"]},
            path="ConfigurationRecorders[0]",
        ),
        update=(_RECORDER,),
        delete=Call("DeleteConfigurationRecorder", by={"ConfigurationRecorderName": "{id}"}),
        rename={"roleArn": "roleARN"},
        name="name",
        prefix="",
        replace=("name",),
        gone=("NoSuchConfigurationRecorderException",),
    ),
    Row(
        token="aws:cfg/deliveryChannel:DeliveryChannel",
        service="config",
        create=_CHANNEL,
        id="{name}",
        read=Call(
            "DescribeDeliveryChannels",
            by={"DeliveryChannelNames": ["{id}"]},
            path="DeliveryChannels[0]",
        ),
        update=(_CHANNEL,),
        delete=Call("DeleteDeliveryChannel", by={"DeliveryChannelName": "{id}"}),
        rename={"snsTopicArn": "snsTopicARN", "snapshotDeliveryProperties":
                "configSnapshotDeliveryProperties"},
        name="name",
        prefix="",
        replace=("name",),
        gone=("NoSuchDeliveryChannelException",),
    ),
    Row(
        token="aws:cfg/recorderStatus:RecorderStatus",
        service="config",
        create=_STATUS,
        id="{name}",
        read=Call(
            "DescribeConfigurationRecorderStatus",
            by={"ConfigurationRecorderNames": ["{id}"]},
            path="ConfigurationRecordersStatus[0]",
        ),
        update=(
            Call(
                "DescribeConfigurationRecorderStatus",
                only=(),
                prepare=_change,
                takes=("isEnabled",),
            ),
        ),
        after=_start,
        before_delete=_stop,
        observe=_status,
        replace=("name",),
        gone=("NoSuchConfigurationRecorderException",),
    ),
]  # fmt: skip
