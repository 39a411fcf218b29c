"""How drift comes to the hub: who may tell it, what is told, and what hears it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from moto.events.models import EventPattern

from components import events, retraining
from components.naming import Names
from components.retraining import DriftForwarder, RetrainingControl
from localcloud.authorization import Evaluator
from tests.unit.conftest import ACCOUNTS, Program, function_network, place
from tests.unit.test_promotion_route import may_put

Run = Callable[..., Program]
HUB, DEV, PROD = (Names.at(place(name)) for name in ("governance", "dev", "prod"))
JOB, VERSION = events.JOB_DETAIL_TYPE, events.DETAIL_TYPE


@pytest.mark.parametrize(
    ("role", "kind", "allowed"),
    [
        (PROD.role_arn("drift-events"), JOB, True),
        (Names.at(place("preprod")).role_arn("drift-events"), JOB, True),
        (PROD.role_arn("drift-events"), VERSION, False),
        (DEV.role_arn("model-events"), JOB, False),
        (DEV.role_arn("drift-events"), JOB, False),
        (PROD.role_arn("house-deploy"), JOB, False),
        ("arn:aws:iam::999999999999:role/acme-prod-drift-events", JOB, False),
    ],
)
def test_each_forwarder_tells_its_own_kind_and_nobody_else_anything(
    evaluator: Evaluator, role: str, kind: str, allowed: bool
) -> None:
    assert may_put(evaluator, role=role, kind=[kind]) is allowed


def event(**changes: Any) -> dict[str, Any]:
    detail = {
        "ProcessingJobName": "model-monitoring-202605041200-0123456789ab",
        "ProcessingJobStatus": "Completed",
        "MonitoringScheduleArn": PROD.arn("sagemaker", "monitoring-schedule/acme-prod-house-drift"),
        "ExitMessage": "CompletedWithViolations: Job completed successfully with 2 violations.",
    }
    return {
        "source": "aws.sagemaker",
        "detail-type": JOB,
        "account": changes.pop("account", ACCOUNTS["prod"]),
        "detail": detail | changes,
    }


@pytest.mark.parametrize(
    ("change", "goes"),
    [
        ({}, True),
        ({"ExitMessage": "Completed: Job completed successfully with no violations."}, False),
        ({"ProcessingJobStatus": "InProgress"}, False),
        ({"MonitoringScheduleArn": None}, False),
        ({"account": ACCOUNTS["dev"]}, False),
    ],
)
def test_only_what_monitoring_found_in_the_targets_is_told(
    change: dict[str, Any], goes: bool
) -> None:
    targets = [ACCOUNTS[name] for name in ("preprod", "prod")]
    for accounts in ([ACCOUNTS["prod"]], targets):
        pattern = EventPattern.load(json.dumps(retraining.found(accounts)))
        assert pattern.matches_event(event(**change)) is goes


def test_what_cannot_be_delivered_or_handled_is_kept_and_rings(run: Run) -> None:
    forwarder = run(
        lambda: DriftForwarder(
            "drift",
            {
                "placement": place("prod"),
                "messages_key_arn": "key",
                "alerts_topic_arn": "topic",
                "boundary_arn": "boundary",
            },
        )
    )
    control = run(
        lambda: RetrainingControl(
            "retraining",
            {
                "placement": place("governance"),
                "network": function_network(),
                "bus_name": "acme-governance-models",
                "token_secrets": [],
            },
        )
    )
    for made in (forwarder, control):
        (target,) = made.of("aws:cloudwatch/eventTarget:EventTarget")
        (queue,) = made.of("aws:sqs/queue:Queue")
        assert target.inputs["deadLetterConfig"]["arn"].endswith(f":{queue.inputs['name']}")
        assert queue.inputs["kmsMasterKeyId"] == "key"
        alarms = [alarm.inputs for alarm in made.of("aws:cloudwatch/metricAlarm:MetricAlarm")]
        assert any(
            alarm["dimensions"].get("QueueName") == queue.inputs["name"]
            and alarm["alarmActions"] == ["topic"]
            for alarm in alarms
        )
    (function,) = control.of("aws:lambda/function:Function")
    variables = function.inputs["environment"]["variables"]
    assert set(variables) == {"PREFIX", "ACCOUNTS", "TABLE", "PROJECT_PARAMETERS"}
    assert ACCOUNTS["dev"] not in variables["ACCOUNTS"]
    (table,) = control.of("aws:dynamodb/table:Table")
    assert table.inputs["serverSideEncryption"]["kmsKeyArn"] == "key"
