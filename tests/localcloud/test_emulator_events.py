"""Events: emitted, matched, and delivered only where policies let them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.localcloud.emulators import (
    DEV,
    HUB,
    ORGANIZATION,
    PROD,
    REGION,
    Cloud,
    checkout,
    document,
    running,
    trusting,
)

BUS = f"arn:aws:events:{REGION}:{HUB}:event-bus/hub"
QUEUE = f"arn:aws:sqs:{REGION}:{HUB}:promotions"
RULE = f"arn:aws:events:{REGION}:{HUB}:rule/hub/approved"
PATTERN = {
    "source": ["aws.sagemaker"],
    "detail-type": ["SageMaker Model Package State Change"],
    "detail": {"ModelApprovalStatus": ["Approved"]},
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Dev's approvals go to the hub's bus, and from there into a queue under a key."""
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
        events, sqs = cloud.client("events", HUB), cloud.client("sqs", HUB)
        events.create_event_bus(Name="hub")
        for name in ("promotions", "dead-letters"):
            sqs.create_queue(QueueName=name)
        events.put_rule(Name="approved", EventBusName="hub", EventPattern=json.dumps(PATTERN))
        events.put_targets(
            Rule="approved", EventBusName="hub", Targets=[{"Id": "queue", "Arn": QUEUE}]
        )
        cloud.role(
            "forward",
            {"Action": "events:PutEvents", "Resource": BUS},
            trust=trusting("events"),
        )
        dev = cloud.client("events")
        dev.put_rule(Name="approvals", EventPattern=json.dumps(PATTERN))
        dev.put_targets(
            Rule="approvals",
            Targets=[{"Id": "hub", "Arn": BUS, "RoleArn": f"arn:aws:iam::{DEV}:role/forward"}],
        )
        cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName="houses")
        yield cloud


@pytest.fixture(autouse=True)
def allowed(cloud: Cloud) -> None:
    """What lets an event through; each test takes a part away."""
    cloud.client("events", HUB).put_permission(
        EventBusName="hub",
        Policy=document(
            {
                "Sid": "Organization",
                "Principal": "*",
                "Action": "events:PutEvents",
                "Resource": BUS,
                "Condition": {
                    "StringEquals": {"aws:PrincipalOrgID": ORGANIZATION},
                    "ForAllValues:StringEquals": {"events:source": ["aws.sagemaker"]},
                },
            }
        ),
    )
    queue_policy(cloud, RULE)
    cloud.client("events").enable_rule(Name="approvals")
    received(cloud)


def queue_policy(cloud: Cloud, rule: str, queue: str = "promotions") -> None:
    sqs = cloud.client("sqs", HUB)
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    policy = document(
        {
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:{REGION}:{HUB}:{queue}",
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
    )
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def received(cloud: Cloud, queue: str = "promotions") -> list[dict[str, Any]]:
    """Everything in a queue, taken out."""
    sqs = cloud.client("sqs", HUB)
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found: list[dict[str, Any]] = []
    while True:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(message)
        if not answer.get("Messages"):
            return found


def register(cloud: Cloud, status: str = "PendingManualApproval") -> str:
    return cloud.client("sagemaker").create_model_package(
        ModelPackageGroupName="houses",
        ModelApprovalStatus=status,
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]


def approve(cloud: Cloud, arn: str, status: str = "Approved") -> None:
    cloud.client("sagemaker").update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)


def undelivered(cloud: Cloud) -> list[dict[str, Any]]:
    return cloud.control("GET", "undelivered")


def test_an_approval_in_dev_is_in_the_hubs_queue(cloud: Cloud) -> None:
    arn = register(cloud)
    assert received(cloud) == []
    approve(cloud, arn)
    (message,) = received(cloud)
    event = json.loads(message["Body"])
    assert event["account"] == DEV
    assert event["source"] == "aws.sagemaker"
    assert event["resources"] == [arn]
    assert event["detail"]["ModelPackageArn"] == arn
    assert event["detail"]["ModelApprovalStatus"] == "Approved"
    assert event["detail"]["ModelPackageGroupName"] == "houses"


def test_what_no_rule_matches_goes_nowhere(cloud: Cloud) -> None:
    before = len(undelivered(cloud))
    approve(cloud, register(cloud), "Rejected")
    cloud.client("events").disable_rule(Name="approvals")
    approve(cloud, register(cloud))
    assert received(cloud) == []
    assert len(undelivered(cloud)) == before


def test_a_call_that_failed_emits_nothing(cloud: Cloud) -> None:
    with pytest.raises(Exception, match=r"ValidationException|NotFound"):
        approve(cloud, f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/houses/999")
    assert received(cloud) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:PrincipalOrgID": "o-otherorg0001"}},
        {"ForAllValues:StringEquals": {"events:source": ["aws.other"]}},
        {"ForAllValues:StringEquals": {"events:detail-type": ["Something Else"]}},
    ],
)
def test_a_bus_takes_only_what_its_policy_lets_in(cloud: Cloud, condition: Any) -> None:
    cloud.client("events", HUB).put_permission(
        EventBusName="hub",
        Policy=document(
            {
                "Sid": "Organization",
                "Principal": "*",
                "Action": "events:PutEvents",
                "Resource": BUS,
                "Condition": condition,
            }
        ),
    )
    approve(cloud, register(cloud))
    assert received(cloud) == []
    assert "events:PutEvents" in undelivered(cloud)[-1]["reason"]


def test_a_role_that_may_not_put_events_forwards_none(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.put_role_policy(
        RoleName="forward",
        PolicyName="deny",
        PolicyDocument=document({"Effect": "Deny", "Action": "events:*", "Resource": "*"}),
    )
    try:
        approve(cloud, register(cloud))
    finally:
        iam.delete_role_policy(RoleName="forward", PolicyName="deny")
    assert received(cloud) == []
    assert "explicit deny" in undelivered(cloud)[-1]["reason"]


def test_a_queue_takes_messages_of_its_rule_only(cloud: Cloud) -> None:
    queue_policy(cloud, RULE.replace("approved", "other"))
    approve(cloud, register(cloud))
    assert received(cloud) == []
    assert "sqs:SendMessage" in undelivered(cloud)[-1]["reason"]


def test_what_cannot_be_delivered_is_in_the_dead_letter_queue_with_its_cause(
    cloud: Cloud,
) -> None:
    events = cloud.client("events", HUB)
    dead = f"arn:aws:sqs:{REGION}:{HUB}:dead-letters"
    queue_policy(cloud, RULE, "dead-letters")
    target = {"Id": "queue", "Arn": f"{QUEUE}-that-is-gone", "DeadLetterConfig": {"Arn": dead}}
    events.put_targets(Rule="approved", EventBusName="hub", Targets=[target])
    try:
        approve(cloud, register(cloud))
    finally:
        target = {"Id": "queue", "Arn": QUEUE}
        events.put_targets(Rule="approved", EventBusName="hub", Targets=[target])
    (message,) = received(cloud, "dead-letters")
    causes = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
    assert causes["ERROR_CODE"] == "NO_RESOURCE"
    assert causes["RULE_ARN"] == RULE
    assert json.loads(message["Body"])["detail"]["ModelApprovalStatus"] == "Approved"


def test_a_queue_under_a_key_needs_the_keys_leave_for_eventbridge(cloud: Cloud) -> None:
    kms, sqs = cloud.client("kms", HUB), cloud.client("sqs", HUB)
    own = {
        "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}, "Action": "kms:*", "Resource": "*",
    }  # fmt: skip
    key = kms.create_key(Policy=document(own))["KeyMetadata"]["KeyId"]
    url = sqs.get_queue_url(QueueName="promotions")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": key})
    try:
        approve(cloud, register(cloud))
        assert received(cloud) == []
        assert "kms:GenerateDataKey" in undelivered(cloud)[-1]["reason"]
        service = {
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": HUB}},
        }
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(own, service))
        approve(cloud, register(cloud))
        assert len(received(cloud)) == 1
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": ""})


def test_an_event_is_not_sent_on_to_a_third_bus(cloud: Cloud) -> None:
    events, third = cloud.client("events", HUB), cloud.client("events", PROD)
    bus = third.create_event_bus(Name="third")["EventBusArn"]
    events.put_targets(Rule="approved", EventBusName="hub", Targets=[{"Id": "third", "Arn": bus}])
    try:
        approve(cloud, register(cloud))
    finally:
        events.remove_targets(Rule="approved", EventBusName="hub", Ids=["third"])
    assert len(received(cloud)) == 1
    assert "another bus" in undelivered(cloud)[-1]["reason"]


def test_nobody_speaks_for_an_aws_service(cloud: Cloud) -> None:
    entry = {
        "Source": "aws.sagemaker",
        "DetailType": PATTERN["detail-type"][0],
        "Detail": json.dumps({"ModelApprovalStatus": "Approved"}),
    }
    answer = cloud.client("events").put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    assert received(cloud) == []
