"""SQS: queues and their policies."""

from __future__ import annotations

from typing import Any

from localcloud.provider import shapes
from localcloud.provider.table import Call, Props, Row, Scope, Tags

_WHOLE = {
    "delaySeconds": "DelaySeconds",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}
_TRUTH = {
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "fifoQueue": "FifoQueue",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
}
_TEXT = {
    "kmsMasterKeyId": "KmsMasterKeyId",
    "policy": "Policy",
    "redriveAllowPolicy": "RedriveAllowPolicy",
    "redrivePolicy": "RedrivePolicy",
}
_ATTRIBUTES = {**_WHOLE, **_TRUTH, **_TEXT}
_QUEUE = {"QueueUrl": "{id}"}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _create(params: Props, inputs: Props, scope: Scope) -> None:
    params["Attributes"] = {
        member: _text(inputs[name])
        for name, member in _ATTRIBUTES.items()
        if inputs.get(name) not in (None, "", False)
    }


def _update(params: Props, inputs: Props, scope: Scope) -> None:
    params["Attributes"] = {
        member: _text(inputs[name])
        for name, member in _ATTRIBUTES.items()
        # Whether it is a FIFO queue is decided for good when it is made.
        if inputs.get(name) is not None and name != "fifoQueue"
    }


def _find(id_: str, scope: Scope) -> Props | None:
    answer = scope.call("sqs", "GetQueueAttributes", {"QueueUrl": id_, "AttributeNames": ["All"]})
    return answer["Attributes"]


def _find_queue(id_: str, props: Props, scope: Scope) -> Props | None:
    held = _find(id_, scope)
    if held is None:
        return None
    found: Props = {"name": id_.rpartition("/")[2], "url": id_, "arn": held["QueueArn"]}
    found |= {name: int(held[member]) for name, member in _WHOLE.items() if held.get(member)}
    found |= {name: held[member] == "true" for name, member in _TRUTH.items() if member in held}
    found |= {name: held[member] for name, member in _TEXT.items() if held.get(member)}
    for name in ("redrivePolicy", "redriveAllowPolicy"):
        if (
            name in found
            and name in props
            and shapes.canonical(found[name]) == shapes.canonical(props[name])
        ):
            found[name] = props[name]
    return found


def _find_policy(id_: str, props: Props, scope: Scope) -> Props | None:
    held = _find(id_, scope)
    return {"queueUrl": id_, "policy": held["Policy"]} if held and held.get("Policy") else None


def _policy(params: Props, inputs: Props, scope: Scope) -> None:
    params["Attributes"] = {"Policy": inputs["policy"]}


_SET_POLICY = Call(
    "SetQueueAttributes",
    by={"QueueUrl": "{queueUrl}"},
    only=(),
    prepare=_policy,
    takes=("policy",),
)

ROWS = [
    Row(
        token="aws:sqs/queue:Queue",
        service="sqs",
        create=Call("CreateQueue", only=("name",), prepare=_create, takes=tuple(_ATTRIBUTES)),
        id="{url}",
        find=_find_queue,
        update=(
            Call(
                "SetQueueAttributes",
                by=_QUEUE,
                only=(),
                prepare=_update,
                takes=tuple(_ATTRIBUTES),
            ),
        ),
        delete=Call("DeleteQueue", by=_QUEUE),
        rename={"name": "QueueName"},
        name="name",
        replace=("name", "namePrefix", "fifoQueue"),
        filled={
            "kmsDataKeyReusePeriodSeconds": None,
            "maxMessageSize": None,
            "messageRetentionSeconds": 345600,
            "sqsManagedSseEnabled": None,
            "visibilityTimeoutSeconds": 30,
        },
        computed={"url": "QueueUrl", "arn": "arn:{partition}:sqs:{region}:{account}:{name}"},
        tags=Tags(
            member="tags",
            style="map",
            put="TagQueue",
            remove="UntagQueue",
            arn="QueueUrl",
            target="{url}",
            listing="ListQueueTags",
        ),
        gone=("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    ),
    Row(
        token="aws:sqs/queuePolicy:QueuePolicy",
        service="sqs",
        create=_SET_POLICY,
        id="{queueUrl}",
        find=_find_policy,
        update=(_SET_POLICY,),
        delete=Call(
            "SetQueueAttributes",
            by={"QueueUrl": "{queueUrl}"},
            only=(),
            fixed={"Attributes": {"Policy": ""}},
        ),
        parts=("queueUrl",),
        separator="\n",
        replace=("queueUrl",),
        gone=("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    ),
]
