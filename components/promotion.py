"""How an approval in dev reaches the hub: as an event, from account to account, into a queue.

dev forwards approvals of its own model versions to the hub's bus, and nothing else can put anything
there. The hub keeps them in an encrypted queue until they are promoted. What cannot be delivered on
either side is kept in a dead-letter queue with its cause, and raises an alarm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.contract import publish
from components.naming import Names, Placement

SOURCE = "aws.sagemaker"
DETAIL_TYPE = "SageMaker Model Package State Change"
"""Source: SageMaker developer guide, events that SageMaker AI sends to Amazon EventBridge."""

RETENTION_SECONDS = 14 * 24 * 3600
"""SQS keeps a message no longer. Source: API reference, SetQueueAttributes."""

MAX_RECEIVES = 5
"""Deliveries of a message before it goes to the dead-letter queue."""

VISIBILITY_SECONDS = 6 * 300
"""Six times a promotion's longest run. Source: Lambda developer guide, SQS event sources."""

FORWARDER = "model-events"
"""Role by which EventBridge sends dev's approvals to the hub."""


def approvals(placement: Placement) -> dict[str, Any]:
    """The pattern of the events that are promoted: dev's own versions, once approved.

    Group names carry the environment: in one account for all, the hub's own versions change state
    on the same bus.
    """
    dev = Names.at(placement, "dev")
    return {
        "source": [SOURCE],
        "detail-type": [DETAIL_TYPE],
        "account": [dev.account_id],
        "detail": {
            "ModelApprovalStatus": ["Approved"],
            "ModelPackageGroupName": [{"prefix": dev.name("", "group")}],
        },
    }


def hub_bus_arn(placement: Placement) -> str:
    """The hub's bus, known by its name."""
    hub = Names.at(placement, "governance")
    return hub.arn("events", f"event-bus/{hub.name('models')}")


def bus_statements(placement: Placement) -> list[iam.Statement]:
    """Only dev's forwarder may put events on the hub's bus, and only of one kind."""
    dev = Names.at(placement, "dev")
    only = {
        "ForAllValues:StringEquals": {
            "events:source": [SOURCE],
            "events:detail-type": [DETAIL_TYPE],
        },
        # An empty set would satisfy "for all values".
        "Null": {"events:source": "false", "events:detail-type": "false"},
    }
    organization = placement.get("organization_id")
    if organization:
        only["StringEquals"] = {"aws:PrincipalOrgID": organization}
    return [
        iam.only_role(
            dev.root_arn,
            [dev.role_arn(FORWARDER)],
            sid="ApprovalsOfDev",
            actions=["events:PutEvents"],
            resources=[hub_bus_arn(placement)],
            conditions=only,
        )
    ]


def queue_statements(names: Names, queue: str, rule_arns: Sequence[str]) -> list[iam.Statement]:
    """Messages come from EventBridge's own rules, and by TLS."""
    arn = names.arn("sqs", queue)
    return [
        iam.Statement(
            sid="EventsOfRules",
            principals={"Service": ["events.amazonaws.com"]},
            actions=["sqs:SendMessage"],
            resources=[arn],
            conditions={
                "ArnEquals": {"aws:SourceArn": list(rule_arns)},
                "StringEquals": {"aws:SourceAccount": names.account_id},
            },
        ),
        iam.Statement(
            sid="DenyInsecureTransport",
            effect="Deny",
            principals="*",
            actions=["sqs:*"],
            resources=[arn],
            conditions={"Bool": {"aws:SecureTransport": "false"}},
        ),
    ]


class _Queues(pulumi.ComponentResource):
    """What both sides have: queues for events, their policies, and alarms."""

    _name: str
    _names: Names
    _key: Input[str]
    _alerts: Input[str]

    def _child(self) -> ResourceOptions:
        return ResourceOptions(parent=self)

    def _queue(self, purpose: str, rule_arns: Sequence[str], **settings: Any) -> aws.sqs.Queue:
        queue = aws.sqs.Queue(
            f"{self._name}-{purpose}",
            name=self._names.name(purpose, "queue"),
            kms_master_key_id=self._key,
            message_retention_seconds=RETENTION_SECONDS,
            opts=self._child(),
            **settings,
        )
        aws.sqs.QueuePolicy(
            f"{self._name}-{purpose}",
            queue_url=queue.url,
            policy=iam.render(
                queue_statements(self._names, self._names.name(purpose, "queue"), rule_arns)
            ),
            opts=self._child(),
        )
        return queue

    def _alarm(self, purpose: str, metric: str, threshold: int, what: str) -> None:
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{purpose}-{metric}",
            name=self._names.name(f"{purpose}-{metric}"),
            alarm_description=what,
            namespace="AWS/SQS",
            metric_name=metric,
            dimensions={"QueueName": self._names.name(purpose)},
            statistic="Maximum",
            period=60,
            evaluation_periods=1,
            comparison_operator="GreaterThanThreshold",
            threshold=threshold,
            treat_missing_data="notBreaching",
            alarm_actions=[self._alerts],
            opts=self._child(),
        )

    def _dead_letters(self, purpose: str, rule_arns: Sequence[str]) -> aws.sqs.Queue:
        queue = self._queue(purpose, rule_arns)
        self._alarm(
            purpose,
            "ApproximateNumberOfMessagesVisible",
            0,
            "Events that could not be handled wait here, each with its cause",
        )
        return queue


class ApprovalForwarderArgs(TypedDict):
    """Inputs of :class:`ApprovalForwarder`."""

    placement: Placement
    """Where it lives: dev."""
    messages_key_arn: Input[str]
    """Key of the dead-letter queue."""
    alerts_topic_arn: Input[str]
    """Who is told."""
    boundary_arn: Input[str]
    """Permissions boundary of the role."""


class ApprovalForwarder(_Queues):
    """dev's side: approvals of its versions go to the hub's bus."""

    def __init__(
        self, name: str, args: ApprovalForwarderArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:ApprovalForwarder", name, dict(args), opts)
        placement = args["placement"]
        self._name, self._names = name, Names.at(placement)
        self._key, self._alerts = args["messages_key_arn"], args["alerts_topic_arn"]
        bus = hub_bus_arn(placement)
        rule_name = self._names.name("approvals", "rule")
        letters = self._dead_letters(
            "approvals-undelivered", [self._names.arn("events", f"rule/{rule_name}")]
        )
        role = aws.iam.Role(
            f"{name}-forwarder",
            name=self._names.role(FORWARDER),
            assume_role_policy=iam.render(
                [iam.service_trust("events.amazonaws.com", account_id=self._names.account_id)]
            ),
            permissions_boundary=args["boundary_arn"],
            opts=self._child(),
        )
        policy = aws.iam.RolePolicy(
            f"{name}-forwarder",
            name="put-events",
            role=role.name,
            policy=iam.render(
                [iam.Statement(sid="ToTheHub", actions=["events:PutEvents"], resources=[bus])]
            ),
            opts=self._child(),
        )
        rule = aws.cloudwatch.EventRule(
            f"{name}-approvals",
            name=rule_name,
            description="Versions that were approved in dev",
            event_pattern=json.dumps(approvals(placement)),
            opts=self._child(),
        )
        aws.cloudwatch.EventTarget(
            f"{name}-hub",
            rule=rule.name,
            target_id="hub",
            arn=bus,
            role_arn=role.arn,
            dead_letter_config={"arn": letters.arn},
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.register_outputs({})


class PromotionQueueArgs(TypedDict):
    """Inputs of :class:`PromotionQueue`."""

    placement: Placement
    """Where it lives: the hub."""
    messages_key_arn: Input[str]
    """Key of the bus and the queues."""
    alerts_topic_arn: Input[str]
    """Who is told."""


class PromotionQueue(_Queues):
    """The hub's side: the bus that takes dev's approvals, and the queue that keeps them."""

    queue_arn: Output[str]
    dead_letters_url: Output[str]

    def __init__(
        self, name: str, args: PromotionQueueArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:PromotionQueue", name, dict(args), opts)
        placement = args["placement"]
        self._name, self._names = name, Names.at(placement)
        self._key, self._alerts = args["messages_key_arn"], args["alerts_topic_arn"]
        bus_name, rule_name = self._names.name("models"), self._names.name("approvals", "rule")
        bus = aws.cloudwatch.EventBus(
            f"{name}-models",
            name=bus_name,
            description="State changes of model versions, from the environments",
            kms_key_identifier=self._key,
            opts=self._child(),
        )
        aws.cloudwatch.EventBusPolicy(
            f"{name}-models",
            event_bus_name=bus.name,
            policy=iam.render(bus_statements(placement)),
            opts=self._child(),
        )
        rules = [self._names.arn("events", f"rule/{bus_name}/{rule_name}")]
        letters = self._dead_letters("promotions-failed", rules)
        queue = self._queue(
            "promotions",
            rules,
            visibility_timeout_seconds=VISIBILITY_SECONDS,
            redrive_policy=Output.json_dumps(
                {"deadLetterTargetArn": letters.arn, "maxReceiveCount": MAX_RECEIVES}
            ),
        )
        self._alarm(
            "promotions",
            "ApproximateAgeOfOldestMessage",
            VISIBILITY_SECONDS,
            "An approval waits longer than its promotion should take, in seconds",
        )
        rule = aws.cloudwatch.EventRule(
            f"{name}-approvals",
            name=rule_name,
            event_bus_name=bus.name,
            description="Versions that were approved in dev",
            event_pattern=json.dumps(approvals(placement)),
            opts=self._child(),
        )
        aws.cloudwatch.EventTarget(
            f"{name}-queue",
            rule=rule.name,
            event_bus_name=bus.name,
            target_id="promotions",
            arn=queue.arn,
            dead_letter_config={"arn": letters.arn},
            opts=self._child(),
        )
        self.queue_arn, self.dead_letters_url = queue.arn, letters.url
        values: Mapping[str, Input[str]] = {
            "events/bus-arn": bus.arn,
            "promotion/queue-url": queue.url,
            "promotion/dead-letters-url": letters.url,
        }
        publish(self, name, self._names, values)
        self.register_outputs(
            {"queue_arn": self.queue_arn, "dead_letters_url": self.dead_letters_url}
        )
