"""SNS: topics, their policies and subscriptions."""

from __future__ import annotations

import json

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_ATTRIBUTES = {
    "kmsMasterKeyId": "KmsMasterKeyId",
    "displayName": "DisplayName",
    "policy": "Policy",
    "deliveryPolicy": "DeliveryPolicy",
}
_TOPIC = {"TopicArn": "{id}"}


def _attributes(params: Props, inputs: Props, scope: Scope) -> None:
    wanted = {member: str(inputs[name]) for name, member in _ATTRIBUTES.items() if inputs.get(name)}
    if wanted:
        params["Attributes"] = wanted


def _set(params: Props, inputs: Props, scope: Scope) -> None:
    for name, member in _ATTRIBUTES.items():
        if name in inputs:
            scope.call(
                "sns",
                "SetTopicAttributes",
                {**params, "AttributeName": member, "AttributeValue": str(inputs[name])},
            )


def _topic(found: Props, answer: Props, scope: Scope) -> None:
    attributes = answer["Attributes"]
    found["arn"] = attributes["TopicArn"]
    found["name"] = attributes["TopicArn"].rpartition(":")[2]
    for name in ("kmsMasterKeyId", "displayName"):
        if attributes.get(_ATTRIBUTES[name]):
            found[name] = attributes[_ATTRIBUTES[name]]
    if attributes.get("Policy"):
        found["policy"] = attributes["Policy"]


def _policy(found: Props, answer: Props, scope: Scope) -> None:
    found["arn"] = answer["Attributes"]["TopicArn"]
    found["policy"] = answer["Attributes"]["Policy"]


def _default_policy(params: Props, outputs: Props, scope: Scope) -> None:
    # A topic always has a policy: without one of its own, the one that it was made with.
    actions = (
        "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission",
        "DeleteTopic", "Subscribe", "ListSubscriptionsByTopic", "Publish",
    )  # fmt: skip
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in actions],
        "Resource": params["TopicArn"],
        "Condition": {"StringEquals": {"AWS:SourceOwner": scope.account}},
    }
    params["AttributeValue"] = json.dumps(
        {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    )


def _subscription(found: Props, answer: Props, scope: Scope) -> None:
    attributes = answer["Attributes"]
    found["topic"] = attributes["TopicArn"]
    found["arn"] = attributes["SubscriptionArn"]
    found["protocol"], found["endpoint"] = attributes["Protocol"], attributes["Endpoint"]


_PUT_POLICY = Call(
    "SetTopicAttributes",
    by={"TopicArn": "{arn}", "AttributeValue": "{policy}"},
    only=(),
    fixed={"AttributeName": "Policy"},
    takes=("policy",),
)

ROWS = [
    Row(
        token="aws:sns/topic:Topic",
        service="sns",
        create=Call("CreateTopic", only=("name",), prepare=_attributes, takes=tuple(_ATTRIBUTES)),
        id="{arn}",
        read=Call("GetTopicAttributes", by=_TOPIC),
        update=(
            Call("GetTopicAttributes", by=_TOPIC, only=(), prepare=_set, takes=tuple(_ATTRIBUTES)),
        ),
        delete=Call("DeleteTopic", by=_TOPIC),
        observe=_topic,
        name="name",
        replace=("name", "namePrefix"),
        filled={"policy": None},
        computed={"arn": "TopicArn"},
        unread={"deliveryPolicy": "is told with what SNS puts beside it"},
        tags=Tags(target="{id}"),
        gone=("NotFound", "NotFoundException"),
    ),
    Row(
        token="aws:sns/topicPolicy:TopicPolicy",
        service="sns",
        create=_PUT_POLICY,
        id="{arn}",
        read=Call("GetTopicAttributes", by=_TOPIC),
        update=(_PUT_POLICY,),
        delete=Call(
            "SetTopicAttributes",
            by=_TOPIC,
            fixed={"AttributeName": "Policy"},
            prepare=_default_policy,
        ),
        observe=_policy,
        replace=("arn",),
        gone=("NotFound", "NotFoundException"),
    ),
    Row(
        token="aws:sns/topicSubscription:TopicSubscription",
        service="sns",
        create=Call("Subscribe", fixed={"ReturnSubscriptionArn": True}),
        id="{arn}",
        read=Call("GetSubscriptionAttributes", by={"SubscriptionArn": "{id}"}),
        delete=Call("Unsubscribe", by={"SubscriptionArn": "{id}"}),
        observe=_subscription,
        rename={"topic": "TopicArn"},
        computed={"arn": "SubscriptionArn"},
        replace=("topic", "protocol", "endpoint"),
        gone=("NotFound", "NotFoundException"),
    ),
]
