"""How events move: from the environments to the hub's bus, into queues, and to functions.

Only the forwarders of the environments can put anything on the hub's bus, each events of its one
kind. What cannot be delivered or handled is kept in a dead-letter queue with its cause, and raises
an alarm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, ResourceOptions

from components import iam
from components.functions import Function
from components.naming import Names, Placement

SOURCE = "aws.sagemaker"
DETAIL_TYPE = "SageMaker Model Package State Change"
"""Source: SageMaker developer guide, events that SageMaker AI sends to Amazon EventBridge."""

JOB_DETAIL_TYPE = "SageMaker Processing Job State Change"
"""Source: as above."""

RETENTION_SECONDS = 14 * 24 * 3600
"""SQS keeps a message no longer. Source: API reference, SetQueueAttributes."""

FORWARDER = "model-events"
"""Role by which EventBridge sends dev's approvals to the hub."""

DRIFT_FORWARDER = "drift-events"
"""Role by which EventBridge sends what a target's monitoring finds to the hub."""


def hub_bus_arn(placement: Placement) -> str:
    """The hub's bus, known by its name."""
    hub = Names.at(placement, "governance")
    return hub.arn("events", f"event-bus/{hub.name('models')}")


def monitored(placement: Placement) -> list[str]:
    """The environments whose endpoints are monitored: all that models are deployed to."""
    return [item for item in placement["accounts"] if item not in ("dev", "governance")]


def bus_statements(placement: Placement) -> list[iam.Statement]:
    """Only the forwarders may put events on the hub's bus, each only of its one kind."""
    drift = {
        "DriftOf" + target.title().replace("-", ""): Names.at(placement, target)
        for target in monitored(placement)
    }
    return [
        _sender(placement, "ApprovalsOfDev", Names.at(placement, "dev"), FORWARDER, DETAIL_TYPE),
        *(
            _sender(placement, sid, names, DRIFT_FORWARDER, JOB_DETAIL_TYPE)
            for sid, names in drift.items()
        ),
    ]


def _sender(
    placement: Placement, sid: str, names: Names, role: str, detail_type: str
) -> iam.Statement:
    only = {
        "ForAllValues:StringEquals": {
            "events:source": [SOURCE],
            "events:detail-type": [detail_type],
        },
        # An empty set would satisfy "for all values".
        "Null": {"events:source": "false", "events:detail-type": "false"},
    }
    organization = placement.get("organization_id")
    if organization:
        only["StringEquals"] = {"aws:PrincipalOrgID": organization}
    return iam.only_role(
        names.root_arn,
        [names.role_arn(role)],
        sid=sid,
        actions=["events:PutEvents"],
        resources=[hub_bus_arn(placement)],
        conditions=only,
    )


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


class Handling(TypedDict):
    """What is common to all that handles events in an account."""

    messages_key_arn: Input[str]
    """Key of messages, and of what is kept of them."""
    alerts_topic_arn: Input[str]
    """Who is told of what could not be handled."""


class EventComponent(pulumi.ComponentResource):
    """A component that takes events or sends them on: queues, alarms, rules, and what they start.

    Args:
        token: The component's type.
        name: Its name, and the beginning of its resources' names.
        args: Its inputs.
        names: How its resources are called in AWS.
        handling: The account's key and topic; a function's network has them.
        opts: Its options.
    """

    def __init__(
        self,
        token: str,
        name: str,
        args: Mapping[str, Any],
        names: Names,
        handling: Handling,
        opts: ResourceOptions | None,
    ) -> None:
        super().__init__(token, name, dict(args), opts)
        self._name, self._names = name, names
        self._key, self._alerts = handling["messages_key_arn"], handling["alerts_topic_arn"]

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
            dimensions={"QueueName": self._names.name(purpose, "queue")},
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

    def _table(
        self, kind: str, called: str, keys: Mapping[str, str], *, protect: bool
    ) -> aws.dynamodb.Table:
        """A table of what became of events, by one or two keys (name -> DynamoDB's type)."""
        hash_key, *range_key = keys
        return aws.dynamodb.Table(
            f"{self._name}-{kind}",
            name=called,
            billing_mode="PAY_PER_REQUEST",
            hash_key=hash_key,
            range_key=range_key[0] if range_key else None,
            attributes=[{"name": key, "type": of} for key, of in keys.items()],
            server_side_encryption={"enabled": True, "kms_key_arn": self._key},
            point_in_time_recovery={"enabled": True},
            deletion_protection_enabled=protect,
            opts=ResourceOptions(parent=self, protect=protect, retain_on_delete=protect),
        )

    def _invoke(
        self,
        rule: str,
        function: Function,
        letters: aws.sqs.Queue,
        *,
        called: str,
        description: str,
        target_id: str,
        bus_name: Input[str] | None = None,
        pattern: Mapping[str, Any] | None = None,
        schedule: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        """A rule that invokes a function, by a pattern of events or a schedule."""
        name = f"{self._name}-{rule}"
        made = aws.cloudwatch.EventRule(
            name,
            name=called,
            event_bus_name=bus_name,
            description=description,
            event_pattern=json.dumps(pattern) if pattern else None,
            schedule_expression=schedule,
            opts=self._child(),
        )
        allowed = aws.lambda_.Permission(
            name,
            statement_id=f"Rule{rule.title()}",
            action="lambda:InvokeFunction",
            function=function.name,
            principal="events.amazonaws.com",
            source_arn=made.arn,
            source_account=self._names.account_id,
            opts=self._child(),
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=made.name,
            event_bus_name=bus_name,
            target_id=target_id,
            arn=function.arn,
            input=json.dumps(given) if given else None,
            dead_letter_config={"arn": letters.arn},
            opts=ResourceOptions(parent=self, depends_on=[allowed]),
        )


class ForwarderArgs(Handling):
    """Inputs of a :class:`Forwarder`."""

    placement: Placement
    """Where it lives."""
    boundary_arn: Input[str]
    """Permissions boundary of the role."""


class Forwarder(EventComponent):
    """An environment's side: events of one kind go to the hub's bus, by a role of their own.

    Args:
        token: The component's type.
        name: Its name.
        args: Where it lives, and what is the environment's.
        rule: What is forwarded: the rule's name without the prefix, and its dead letters'.
        key: The rule's resource, below the component's name.
        role: The role's name without the prefix.
        description: What is forwarded, for people.
        pattern: The events' pattern.
        opts: Its options.
    """

    def __init__(
        self,
        token: str,
        name: str,
        args: ForwarderArgs,
        *,
        rule: str,
        key: str,
        role: str,
        description: str,
        pattern: Mapping[str, Any],
        opts: ResourceOptions | None,
    ) -> None:
        names = Names.at(args["placement"])
        super().__init__(token, name, args, names, args, opts)
        bus, called = hub_bus_arn(args["placement"]), names.name(rule, "rule")
        letters = self._dead_letters(f"{rule}-undelivered", [names.arn("events", f"rule/{called}")])
        sender = aws.iam.Role(
            f"{name}-forwarder",
            name=names.role(role),
            assume_role_policy=iam.render(
                [iam.service_trust("events.amazonaws.com", account_id=names.account_id)]
            ),
            permissions_boundary=args["boundary_arn"],
            opts=self._child(),
        )
        policy = aws.iam.RolePolicy(
            f"{name}-forwarder",
            name="put-events",
            role=sender.name,
            policy=iam.render(
                [iam.Statement(sid="ToTheHub", actions=["events:PutEvents"], resources=[bus])]
            ),
            opts=self._child(),
        )
        made = aws.cloudwatch.EventRule(
            f"{name}-{key}",
            name=called,
            description=description,
            event_pattern=json.dumps(pattern),
            opts=self._child(),
        )
        aws.cloudwatch.EventTarget(
            f"{name}-hub",
            rule=made.name,
            target_id="hub",
            arn=bus,
            role_arn=sender.arn,
            dead_letter_config={"arn": letters.arn},
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )
