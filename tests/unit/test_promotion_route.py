"""The way of an approval: which events go, who may send them, and what keeps those that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from moto.events.models import EventPattern

from components import iam, promotion
from components.naming import Names
from components.promotion import ApprovalForwarder, PromotionQueue
from localcloud.authorization import Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, Program, place

Run = Callable[..., Program]
HUB, DEV = Names.at(place("governance")), Names.at(place("dev"))
BUS = promotion.hub_bus_arn(place("governance"))
RULE = HUB.arn("events", "rule/acme-governance-models/acme-governance-approvals")


def forwarder(run: Run, **changes: Any) -> Program:
    return run(
        lambda: ApprovalForwarder(
            "approvals",
            {
                "placement": place("dev", **changes),
                "messages_key_arn": "key",
                "alerts_topic_arn": "topic",
                "boundary_arn": "boundary",
            },
        )
    )


def queue(run: Run, **changes: Any) -> Program:
    return run(
        lambda: PromotionQueue(
            "promotion",
            {
                "placement": place("governance", **changes),
                "messages_key_arn": "key",
                "alerts_topic_arn": "topic",
            },
        )
    )


def event(**changes: Any) -> dict[str, Any]:
    detail = {
        "ModelPackageGroupName": "acme-dev-houses",
        "ModelApprovalStatus": "Approved",
        "ModelPackageVersion": 3,
    }
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "account": ACCOUNTS["dev"],
        "detail": detail | changes.pop("detail", {}),
        **changes,
    }


@pytest.mark.parametrize(
    ("change", "goes"),
    [
        ({}, True),
        ({"detail": {"ModelApprovalStatus": "Rejected"}}, False),
        ({"detail": {"ModelApprovalStatus": "PendingManualApproval"}}, False),
        # In one account for all, the hub's own versions change state on the same bus.
        ({"detail": {"ModelPackageGroupName": "acme-governance-houses"}}, False),
        ({"detail": {"ModelPackageGroupName": "acme-development"}}, False),
        ({"account": ACCOUNTS["prod"]}, False),
        ({"source": "mallory"}, False),
        ({"detail-type": "SageMaker Model State Change"}, False),
    ],
)
def test_only_approvals_of_devs_own_versions_are_forwarded(
    run: Run, change: dict[str, Any], goes: bool
) -> None:
    for program in (forwarder(run), queue(run)):
        (rule,) = program.of("aws:cloudwatch/eventRule:EventRule")
        assert EventPattern.load(rule.inputs["eventPattern"]).matches_event(event(**change)) is goes


def may_put(
    evaluator: Evaluator,
    *,
    role: str = DEV.role_arn("model-events"),
    organization: str = "o-exampleorg1",
    source: list[str] | None = None,
    kind: list[str] | None = None,
    statements: list[iam.Statement] | None = None,
) -> bool:
    account, name = role.split(":")[4], role.rpartition("/")[2]
    context: dict[str, str | list[str]] = {
        "aws:PrincipalArn": role,
        "aws:PrincipalOrgID": organization,
        "events:source": ["aws.sagemaker"] if source is None else source,
        "events:detail-type": [promotion.DETAIL_TYPE] if kind is None else kind,
    }
    document = iam.document(statements or promotion.bus_statements(place("governance")))
    allow = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    return evaluator.evaluate(
        Request(
            f"arn:aws:sts::{account}:assumed-role/{name}/events",
            "events:PutEvents",
            BUS,
            HUB.account_id,
            {key: value for key, value in context.items() if value != []},
        ),
        Policies(identity={"all": {"Version": iam.VERSION, **allow}}, resource=document),
    ).allowed


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, True),
        ({"role": DEV.role_arn("deployer")}, False),
        ({"role": DEV.role_arn("data-scientist-execution")}, False),
        ({"role": Names.at(place("prod")).role_arn("model-events")}, False),
        ({"role": "arn:aws:iam::999999999999:role/acme-dev-model-events"}, False),
        ({"organization": "o-someoneelse"}, False),
        ({"source": ["aws.s3"]}, False),
        ({"source": ["aws.sagemaker", "mine"]}, False),
        ({"source": []}, False),
        ({"kind": ["SageMaker Endpoint State Change"]}, False),
        ({"kind": []}, False),
    ],
)
def test_only_devs_forwarder_puts_only_approvals_on_the_hubs_bus(
    evaluator: Evaluator, given: dict[str, Any], allowed: bool
) -> None:
    assert may_put(evaluator, **given) is allowed


def test_without_an_organisation_the_account_and_the_role_decide(evaluator: Evaluator) -> None:
    statements = promotion.bus_statements(place("governance", organization_id=None))
    assert may_put(evaluator, statements=statements)
    other = DEV.role_arn("deployer")
    assert not may_put(evaluator, statements=statements, role=other)


@pytest.mark.parametrize(
    ("rule", "account", "allowed"),
    [
        (RULE, HUB.account_id, True),
        (RULE.replace("approvals", "mine"), HUB.account_id, False),
        (RULE, DEV.account_id, False),
    ],
)
def test_queues_take_messages_of_their_rule_alone(
    run: Run, evaluator: Evaluator, rule: str, account: str, allowed: bool
) -> None:
    for policy in queue(run).of("aws:sqs/queuePolicy:QueuePolicy"):
        document = policy.document()
        (arn,) = document["Statement"][0]["Resource"]
        request = Request(
            "events.amazonaws.com",
            "sqs:SendMessage",
            arn,
            HUB.account_id,
            {"aws:SourceArn": rule, "aws:SourceAccount": account, "aws:SecureTransport": "true"},
        )
        assert evaluator.evaluate(request, Policies(resource=document)).allowed is allowed


def test_nothing_is_lost_and_somebody_is_told(run: Run) -> None:
    hub, dev = queue(run), forwarder(run)
    for program, targets in ((hub, 1), (dev, 1)):
        found = program.of("aws:cloudwatch/eventTarget:EventTarget")
        assert len(found) == targets
        assert all(target.inputs["deadLetterConfig"]["arn"] for target in found)
    (redrive,) = [
        json.loads(q.inputs["redrivePolicy"])
        for q in hub.of("aws:sqs/queue:Queue")
        if "redrivePolicy" in q.inputs
    ]
    assert redrive["maxReceiveCount"] == promotion.MAX_RECEIVES
    for program in (hub, dev):
        queues = {q.inputs["name"] for q in program.of("aws:sqs/queue:Queue")}
        watched = {
            alarm.inputs["dimensions"]["QueueName"]
            for alarm in program.of("aws:cloudwatch/metricAlarm:MetricAlarm")
            if alarm.inputs["alarmActions"] == ["topic"]
        }
        assert watched == queues


def test_buses_and_queues_are_under_the_customers_key(run: Run) -> None:
    for program in (queue(run), forwarder(run)):
        for made in program.of("aws:sqs/queue:Queue"):
            assert made.inputs["kmsMasterKeyId"] == "key"
        for made in program.of("aws:cloudwatch/eventBus:EventBus"):
            assert made.inputs["kmsKeyIdentifier"] == "key"
