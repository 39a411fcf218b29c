"""The control of deployments in the hub: which events it takes, and what its function may do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mlops_policy.model import Example
from moto.events.models import EventPattern

from components import deployments
from components.deployments import DeploymentControl
from components.naming import Names
from components.repositories import RepositoryConnection
from functions.deployment import deployments as decisions
from localcloud.authorization import Evaluator
from tests.policy import harness
from tests.unit.conftest import ACCOUNTS, Program, place, run_program
from tests.unit.data_science import Role, boundary, role_policies
from tests.unit.test_functions import NETWORK
from tests.unit.test_promotion_route import queue

HUB = Names.at(place("governance"))
MODELS_KEY = HUB.arn("kms", "key/models")
TOKEN = HUB.arn("secretsmanager", "secret:acme-governance-github-a1b2c3")


def make(**changes: Any) -> DeploymentControl:
    return DeploymentControl(
        "deployments",
        {
            "placement": place("governance", **changes),
            "network": NETWORK,
            "models_key_arn": MODELS_KEY,
            "token_secrets": [TOKEN],
        },
    )


@pytest.fixture(scope="module")
def made() -> Program:
    return run_program(make)


@pytest.fixture(scope="module")
def role(made: Program, evaluator: Evaluator) -> Role:
    identity = role_policies(made, HUB.role(deployments.DEPLOYMENTS))
    return Role(evaluator, HUB, deployments.DEPLOYMENTS, identity, boundary("governance"))


def version_event(**changes: Any) -> dict[str, Any]:
    detail = {
        "ModelPackageGroupName": "acme-governance-house",
        "ModelApprovalStatus": "Approved",
        "ModelPackageVersion": 3,
    }
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "account": HUB.account_id,
        "detail": detail | changes.pop("detail", {}),
        **changes,
    }


def run_event(**changes: Any) -> dict[str, Any]:
    detail = {"pipeline": "acme-governance-house-deploy", "state": "FAILED"}
    return {
        "source": "aws.codepipeline",
        "detail-type": "CodePipeline Pipeline Execution State Change",
        "account": HUB.account_id,
        "detail": detail | changes.pop("detail", {}),
        **changes,
    }


EVENTS = [
    (version_event(), {"versions"}),
    (version_event(detail={"ModelApprovalStatus": "Rejected"}), {"versions"}),
    (version_event(detail={"ModelApprovalStatus": "PendingManualApproval"}), {"versions"}),
    # In one account for all, dev's own approvals are on the same bus.
    (version_event(detail={"ModelPackageGroupName": "acme-dev-house"}), set()),
    (version_event(account=ACCOUNTS["dev"]), set()),
    (version_event(source="mallory"), set()),
    (run_event(), {"pipelines"}),
    (run_event(detail={"state": "STOPPED"}), {"pipelines"}),
    (run_event(detail={"state": "SUPERSEDED"}), {"pipelines"}),
    (run_event(detail={"state": "SUCCEEDED"}), set()),
    (run_event(detail={"state": "STARTED"}), set()),
    (run_event(detail={"pipeline": "somebody-elses"}), set()),
    (run_event(account=ACCOUNTS["prod"]), set()),
]


@pytest.mark.parametrize(("event", "rules"), EVENTS)
def test_the_function_is_told_of_decisions_and_of_runs_that_ended_badly(
    made: Program, event: dict[str, Any], rules: set[str]
) -> None:
    found = {
        rule.name.removeprefix("deployments-")
        for rule in made.of("aws:cloudwatch/eventRule:EventRule")
        if "eventPattern" in rule.inputs
        and EventPattern.load(rule.inputs["eventPattern"]).matches_event(event)
    }
    assert found == rules


def test_each_rule_may_invoke_and_its_failures_are_kept(made: Program) -> None:
    rules = {rule.inputs["name"] for rule in made.of("aws:cloudwatch/eventRule:EventRule")}
    targets = made.of("aws:cloudwatch/eventTarget:EventTarget")
    allowed = made.of("aws:lambda/permission:Permission")
    assert {target.inputs["rule"] for target in targets} == rules
    assert len(allowed) == len(rules)
    for permission in allowed:
        assert permission.inputs["principal"] == "events.amazonaws.com"
        assert permission.inputs["sourceAccount"] == HUB.account_id
    letters = {target.inputs["deadLetterConfig"]["arn"].rpartition(":")[2] for target in targets}
    assert letters == {"acme-governance-deployments-failed"}
    (watched,) = [
        alarm.inputs["dimensions"]["QueueName"]
        for alarm in made.of("aws:cloudwatch/metricAlarm:MetricAlarm")
        if "QueueName" in alarm.inputs.get("dimensions", {})
    ]
    assert watched == "acme-governance-deployments-failed"
    (sweep,) = [t for t in targets if t.inputs.get("input")]
    assert json.loads(sweep.inputs["input"]) == {"action": "sweep"}


def test_what_the_function_cannot_mend_by_itself_raises_an_alarm(made: Program) -> None:
    (lines,) = made.of("aws:cloudwatch/logMetricFilter:LogMetricFilter")
    metric = lines.inputs["metricTransformation"]
    (alarm,) = [
        alarm.inputs
        for alarm in made.of("aws:cloudwatch/metricAlarm:MetricAlarm")
        if (alarm.inputs["namespace"], alarm.inputs["metricName"])
        == (metric["namespace"], metric["name"])
    ]
    assert alarm["alarmActions"] == [NETWORK["alerts_topic_arn"]]
    # Told again by each sweep, it rings once: it stays from one to the next.
    assert alarm["period"] * alarm["evaluationPeriods"] > 60 * int(deployments.SWEEP.split()[0][5:])
    assert lines.inputs["logGroupName"] == "/acme/governance/functions/deployments"
    watched = set(re.findall(r'\$\.outcome = "([a-z-]+)"', lines.inputs["pattern"]))
    # Every outcome that the function's code logs as an error, without those that people see where
    # their run is.
    code = Path(decisions.__file__).read_text()
    found = set(re.findall(r'_told\(\s*"ERROR"[^"]*"([a-z-]+)"', code))
    found |= {"not-started" for _ in re.findall(r'"ERROR" if problem[^,]*,\s*"not-started"', code)}
    assert watched == found - {"refused"} == set(deployments.NEED_PEOPLE)


@pytest.mark.parametrize("protect", [False, True])
def test_the_ledger_is_kept(protect: bool) -> None:
    made = run_program(lambda: make(protect=protect))
    (ledger,) = made.of("aws:dynamodb/table:Table")
    assert ledger.inputs["deletionProtectionEnabled"] is protect
    assert ledger.inputs["pointInTimeRecovery"] == {"enabled": True}
    assert ledger.inputs["serverSideEncryption"]["kmsKeyArn"] == NETWORK["messages_key_arn"]


LEDGER = HUB.arn("dynamodb", "table/acme-governance-deployments")
VERSION = HUB.arn("sagemaker", "model-package/acme-governance-house/1")
CARD = HUB.arn("sagemaker", "model-card/acme-governance-house-v1")


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("dynamodb:PutItem", LEDGER, True),
        # What was decided stays: nothing deletes an attempt.
        ("dynamodb:DeleteItem", LEDGER, False),
        ("dynamodb:DeleteTable", LEDGER, False),
        ("dynamodb:PutItem", HUB.arn("dynamodb", "table/acme-governance-promotions"), False),
        ("sagemaker:DescribeModelPackage", VERSION, True),
        # It decides by approvals, and never makes one.
        ("sagemaker:UpdateModelPackage", VERSION, False),
        ("sagemaker:CreateModelPackage", VERSION, False),
        ("sagemaker:DeleteModelPackage", VERSION, False),
        ("sagemaker:UpdateModelCard", CARD, True),
        ("sagemaker:DeleteModelCard", CARD, False),
        ("s3:GetObject", f"{HUB.bucket_arn('models')}/promoted/1/2/model.tar.gz", True),
        ("s3:GetObject", f"{HUB.bucket_arn('models')}/other/model.tar.gz", False),
        ("s3:PutObject", f"{HUB.bucket_arn('models')}/promoted/1/2/model.tar.gz", False),
        ("codepipeline:StartPipelineExecution",
         HUB.arn("codepipeline", "acme-governance-house-deploy"), True),
        # Nobody approves prod but a person.
        ("codepipeline:PutApprovalResult",
         HUB.arn("codepipeline", "acme-governance-house-deploy/Approve-prod/Approve"), False),
        ("codebuild:StartBuild", HUB.arn("codebuild", "project/acme-governance-house-deploy"),
         False),
        ("secretsmanager:GetSecretValue", TOKEN, True),
        ("secretsmanager:GetSecretValue", HUB.arn("secretsmanager", "secret:other"), False),
        ("ssm:GetParameter", HUB.arn("ssm", "parameter/acme/governance/projects/house"), True),
        ("ssm:PutParameter", HUB.arn("ssm", "parameter/acme/governance/projects/house"), False),
        ("ssm:GetParameter", HUB.arn("ssm", "parameter/acme/governance/kms/data/arn"), False),
        ("sts:AssumeRole", Names.at(place("prod")).role_arn("house-deploy"), False),
    ],
)  # fmt: skip
def test_the_function_decides_and_does_nothing_itself(
    role: Role, action: str, resource: str, allowed: bool
) -> None:
    assert role.may(action, resource) is allowed


def test_without_tokens_there_is_no_right_to_secrets() -> None:
    statements = deployments.control_statements(HUB, MODELS_KEY, [])
    assert not any("secretsmanager" in str(a) for s in statements for a in s.actions)


PROGRAMS = {
    "deployments": (make, 30),
    "deployments, protected": (lambda: make(protect=True), 30),
    "connection": (
        lambda: RepositoryConnection(
            "repositories", {"placement": place("dev"), "provider": "GitHub"}
        ),
        1,
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_rule_is_violated(name: str) -> None:
    make_it, least = PROGRAMS[name]
    _judge(run_program(make_it), least)


def test_the_promotions_queue_violates_no_rule() -> None:
    _judge(queue(run_program), 30)


def _judge(made: Program, least: int) -> None:
    count, violations = harness.judged(
        Example(resource.type, resource.inputs, resource.name) for resource in made.resources
    )
    assert not violations, "\n".join(violations)
    assert count >= least


def test_the_role_is_as_reviewed(made: Program, golden: Any) -> None:
    golden("deployments", role_policies(made, HUB.role(deployments.DEPLOYMENTS)))
