"""What a project that predicts in batches has in its targets, asked as IAM would be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlops_policy.aws import BUCKET, BUCKET_POLICY
from mlops_policy.model import Example
from mlops_policy.registry import RULES

from automation import policies
from components import iam
from components.naming import Names
from components.projects import batch
from components.registry import group_statements
from components.settings import load_stack
from localcloud.authorization import Evaluator
from localcloud.paths import CHECKOUT
from tests.policy import harness
from tests.unit.conftest import ACCOUNTS, Program, place
from tests.unit.data_science import Role, role_policies, session
from tests.unit.projects import GROUPS, SUBNETS, key, program, roles

PROD, HUB = Names.at(place("prod")), Names.at(place("governance"))
OWN, OTHER = "house", "houses"
INLINE_CHARACTERS = 10_240
"""Of all inline policies of a role, without blanks. Source: IAM user guide, quotas."""


def bucket(project: str, key: str = "") -> str:
    name = batch.bucket_name(PROD, project)
    return f"arn:aws:s3:::{name}/{key}" if key else f"arn:aws:s3:::{name}"


@pytest.fixture(scope="module")
def made() -> Program:
    return program(OWN, batch=True)


@pytest.fixture(scope="module")
def own(made: Program, evaluator: Evaluator) -> dict[str, Role]:
    found = roles(evaluator, made, OWN)
    return {name.removeprefix("prod/"): role for name, role in found.items() if "prod/" in name}


def allowed(own: dict[str, Role], action: str, arn: str, **context: Any) -> set[str]:
    return {
        name for name, role in own.items() if role.may(action, arn, context=context.get("context"))
    }


def test_a_project_without_batches_has_none_of_it(made: Program, evaluator: Evaluator) -> None:
    plain = program(OWN)
    assert {name for name in roles(evaluator, plain, OWN) if name.startswith("prod/")} == {
        "prod/deploy",
        # Of monitoring jobs, which batches run by the role of their models.
        f"prod/model-execution-{OWN}",
    }
    assert not [r for r in plain.resources if "-jobs" in r.name or "-missed" in r.name]
    assert [r for r in made.resources if "-jobs" in r.name]


def test_no_rule_of_the_policy_pack_is_violated(made: Program) -> None:
    count, violations = harness.judged(
        Example(resource.type, resource.inputs, resource.name) for resource in made.resources
    )
    assert not violations, "\n".join(violations)
    assert count > 30


def test_the_bucket_is_open_for_deliveries_alone(made: Program) -> None:
    """By the pack's rule on data buckets, told as the platform tells it."""
    [rule] = [rule for rule in RULES if rule.name == "data-buckets-vpc-only"]
    stack = [
        Example(BUCKET, {"bucket": batch.bucket_name(PROD, OWN)}, "jobs"),
        Example(BUCKET_POLICY, {"bucket": "${jobs.id}", "policy": bucket_policy(made)}, "policy"),
    ]
    config = policies.configuration([load_stack(CHECKOUT.root, "prod")])[rule.name]
    assert harness.run(rule, stack, config=config).violations == []
    (violation,) = harness.run(rule, stack).violations
    assert "does not deny s3:PutObject on all objects" in violation


def bucket_policy(made: Program) -> str:
    [found] = [
        resource.inputs["policy"]
        for resource in made.of("aws:s3/bucketPolicy:BucketPolicy")
        if batch.bucket_name(PROD, OWN) in resource.inputs["policy"]
    ]
    return found


INSIDE = {"aws:sourceVpce": "vpce-prod-s3"}
ELSEWHERE = {"aws:sourceVpce": "vpce-governance-s3"}


@pytest.mark.parametrize("around", [{}, ELSEWHERE], ids=["internet", "another VPC"])
@pytest.mark.parametrize(
    ("who", "action", "path", "may"),
    [
        ("administrator", "s3:GetObject", "input/a.csv", False),
        ("administrator", "s3:GetObject", "runs/1/predictions/a.csv.out", False),
        ("administrator", "s3:GetObjectVersion", "runs/1/predictions/a.csv.out", False),
        ("administrator", "s3:PutObject", "runs/1/predictions/a.csv.out", False),
        ("administrator", "s3:PutObject", "input", False),
        ("administrator", "s3:PutObject", "inputs/a.csv", False),
        ("administrator", "s3:PutObject", "ground-truth/a/2026/01/01/00/a.jsonl", False),
        ("administrator", "s3:PutObject", "input/a.csv", True),
        ("administrator", "s3:ListBucket", "", False),
        ("deployer", "s3:ListBucket", "", True),
        ("deployer", "s3:GetObject", "runs/1/predictions/a.csv.out", False),
        (f"{OWN}-batch", "s3:GetObject", "runs/1/report/verdict.json", True),
        (f"{OTHER}-batch", "s3:GetObject", "runs/1/report/verdict.json", False),
        (f"{OWN}-deploy", "s3:PutObject", "code/0/quality.py", True),
        (f"model-execution-{OWN}", "s3:GetObject", "input/a.csv", False),
    ],
)
def test_from_outside_the_network_the_bucket_takes_deliveries_and_gives_nothing(
    made: Program,
    evaluator: Evaluator,
    who: str,
    action: str,
    path: str,
    may: bool,
    around: dict[str, str],
) -> None:
    """Even to those whom their own policies let do everything."""
    whole = {"Version": "2012-10-17", "Statement": [
        {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]}  # fmt: skip
    role = Role(evaluator, PROD, who, {"everything": whole}, None)
    asked: dict[str, Any] = {"resource_policy": json.loads(bucket_policy(made))}
    always = {"aws:SecureTransport": "true", "aws:ViaAWSService": "false"}
    arn = bucket(OWN, path)
    assert role.may(action, arn, context={**always, **around}, **asked) is may
    assert role.may(action, arn, context={**always, **INSIDE}, **asked)
    assert role.may(action, arn, context={**always, "aws:ViaAWSService": "true"}, **asked)


MODEL = f"model-execution-{OWN}"


@pytest.mark.parametrize(
    ("action", "path", "may"),
    [
        ("s3:GetObject", "input/a.csv", {MODEL}),
        ("s3:PutObject", "input/a.csv", set[str]()),
        ("s3:GetObject", "runs/1/manifest/manifest.json", {MODEL, "batch", "deploy"}),
        ("s3:PutObject", "runs/1/manifest/manifest.json", {MODEL}),
        ("s3:DeleteObject", "runs/1/manifest/manifest.json", set[str]()),
        ("s3:GetObject", "code/0/quality.py", {MODEL, "deploy"}),
        ("s3:PutObject", "code/0/quality.py", {"deploy"}),
        ("s3:PutObject", "tests/1/rows.csv", {"deploy"}),
        ("s3:GetObject", "captured/input/2026/01/01/00/a.json", {MODEL}),
        ("s3:PutObject", "captured/input/2026/01/01/00/a.json", {MODEL}),
        ("s3:PutObject", "monitoring/a/statistics.json", {MODEL}),
        ("s3:GetObject", "monitoring/a/merge/2026/01/01/00/0000/1/a.csv.out", {MODEL}),
        ("s3:GetObject", "ground-truth/a/2026/01/01/00/a.jsonl", {MODEL, "deploy"}),
        ("s3:PutObject", "ground-truth/a/2026/01/01/00/a.jsonl", {"deploy"}),
        ("s3:DeleteObject", "ground-truth/a/2026/01/01/00/a.jsonl", set[str]()),
        ("s3:ListBucket", "", {MODEL}),
    ],
)
def test_each_role_has_its_part_of_the_own_bucket_and_none_of_anothers(
    own: dict[str, Role], action: str, path: str, may: set[str]
) -> None:
    assert allowed(own, action, bucket(OWN, path)) == may
    assert allowed(own, action, bucket(OTHER, path)) == set()


@pytest.mark.parametrize(
    ("action", "thing", "may"),
    [
        ("sagemaker:StartPipelineExecution", "pipeline/acme-prod-{}-batch", {"schedule", "deploy"}),
        ("sagemaker:UpdatePipeline", "pipeline/acme-prod-{}-batch", {"deploy"}),
        ("sagemaker:DeletePipeline", "pipeline/acme-prod-{}-batch", {"deploy"}),
        ("sagemaker:CreatePipeline", "pipeline/acme-prod-{}-other", set[str]()),
    ],
)
def test_pipelines_are_the_deploy_roles_and_rules_only_start_them(
    own: dict[str, Role], action: str, thing: str, may: set[str]
) -> None:
    assert allowed(own, action, PROD.arn("sagemaker", thing.format(OWN))) == may
    assert allowed(own, action, PROD.arn("sagemaker", thing.format(OTHER))) == set()


def test_rules_are_the_two_that_the_project_has(own: dict[str, Role]) -> None:
    for rule in batch.rule_arns(PROD, OWN):
        assert allowed(own, "events:PutTargets", rule) == {"deploy"}
    for rule in (*batch.rule_arns(PROD, OTHER), PROD.arn("events", f"rule/acme-prod-{OWN}-x")):
        assert allowed(own, "events:PutRule", rule) == set()


def test_monitoring_is_the_two_schedules_that_the_deploy_role_has(own: dict[str, Role]) -> None:
    for action, thing in (
        ("CreateMonitoringSchedule", "monitoring-schedule/acme-prod-{}-drift"),
        ("CreateMonitoringSchedule", "monitoring-schedule/acme-prod-{}-quality"),
        ("CreateDataQualityJobDefinition", "data-quality-job-definition/acme-prod-{}-drift-0a1b"),
        (
            "CreateModelQualityJobDefinition",
            "model-quality-job-definition/acme-prod-{}-quality-0123abcd",
        ),
    ):
        arn = PROD.arn("sagemaker", thing.format(OWN))
        assert allowed(own, f"sagemaker:{action}", arn) == {"deploy"}
        arn = PROD.arn("sagemaker", thing.format(OTHER))
        assert allowed(own, f"sagemaker:{action}", arn) == set()
    for action, thing in (
        ("CreateMonitoringSchedule", f"monitoring-schedule/acme-prod-{OWN}-bias"),
        (
            "CreateModelBiasJobDefinition",
            f"model-bias-job-definition/acme-prod-{OWN}-bias-01234567",
        ),
        (
            "CreateModelQualityJobDefinition",
            f"model-quality-job-definition/acme-prod-{OWN}-quality-more",
        ),
    ):
        assert allowed(own, f"sagemaker:{action}", PROD.arn("sagemaker", thing)) == set()


@pytest.mark.parametrize(
    ("role", "service", "may"),
    [
        (batch.MODEL, "sagemaker.amazonaws.com", {"deploy", "batch"}),
        (batch.PIPELINE, "sagemaker.amazonaws.com", {"deploy"}),
        (batch.SCHEDULE, "events.amazonaws.com", {"deploy"}),
        (batch.SCHEDULE, "sagemaker.amazonaws.com", set[str]()),
        (batch.PIPELINE, "events.amazonaws.com", set[str]()),
    ],
)
def test_each_role_is_passed_to_its_service_only(
    own: dict[str, Role], role: str, service: str, may: set[str]
) -> None:
    context = {"iam:PassedToService": service}
    passed = PROD.role_arn(role.format(OWN))
    assert allowed(own, "iam:PassRole", passed, context=context) == may
    other = PROD.role_arn(role.format(OTHER))
    assert allowed(own, "iam:PassRole", other, context=context) == set()


GOOD: dict[str, Any] = {
    "sagemaker:VpcSubnets": SUBNETS,
    "sagemaker:VpcSecurityGroupIds": GROUPS,
    "sagemaker:VolumeKmsKeyArn": key("prod", "storage"),
    "sagemaker:OutputKmsKeyArn": key("prod", "data"),
    "sagemaker:InstanceTypes": ["ml.m5.large"],
    "sagemaker:NetworkIsolation": "true",
    "sagemaker:InterContainerTrafficEncryption": "true",
}
OF_TRANSFORMS = (
    "sagemaker:VolumeKmsKeyArn", "sagemaker:OutputKmsKeyArn", "sagemaker:InstanceTypes",
)  # fmt: skip
JOBS = {"CreateProcessingJob": "processing-job", "CreateTransformJob": "transform-job"}


@pytest.mark.parametrize("action", JOBS)
@pytest.mark.parametrize(
    "change",
    [
        {"sagemaker:VpcSubnets": None},
        {"sagemaker:VpcSubnets": ["subnet-other"]},
        {"sagemaker:VpcSecurityGroupIds": None},
        {"sagemaker:VolumeKmsKeyArn": None},
        {"sagemaker:VolumeKmsKeyArn": key("prod", "other")},
        {"sagemaker:OutputKmsKeyArn": None},
        {"sagemaker:OutputKmsKeyArn": key("prod", "logs")},
        {"sagemaker:InstanceTypes": ["ml.p4d.24xlarge"]},
        {"sagemaker:NetworkIsolation": "false"},
        {"sagemaker:InterContainerTrafficEncryption": "false"},
    ],
    ids=json.dumps,
)
def test_jobs_run_within_the_guards_only(
    own: dict[str, Role], action: str, change: dict[str, Any]
) -> None:
    known = GOOD if action == "CreateProcessingJob" else {k: GOOD[k] for k in OF_TRANSFORMS}
    arn = PROD.arn("sagemaker", f"{JOBS[action]}/pipelines-abc-step")
    assert allowed(own, f"sagemaker:{action}", arn, context=known) == {"batch"}
    if set(change) <= set(known):
        said = {k: v for k, v in {**known, **change}.items() if v is not None}
        assert allowed(own, f"sagemaker:{action}", arn, context=said) == set()


def test_the_models_role_reads_the_hubs_versions_as_the_environments_own_does(
    evaluator: Evaluator, made: Program
) -> None:
    """The hub knows such roles by the beginning of their name; a project's others stay outside."""
    document = iam.document(
        group_statements(HUB, place("governance"), "acme-governance-x", ["prod"])
    )
    version = HUB.arn("sagemaker", "model-package/acme-governance-x/1")
    anything = {"Version": "2012-10-17", "Statement": [
        {"Sid": "All", "Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}]}  # fmt: skip

    def reads(role: str) -> bool:
        asked = Role(evaluator, PROD, role, {"all": anything}, None)
        return asked.may(
            "sagemaker:DescribeModelPackage",
            version,
            resource_policy=document,
            owner=ACCOUNTS["governance"],
        )

    assert reads("model-execution")
    assert reads(MODEL)
    assert not reads(f"{OWN}-batch")
    assert not reads(f"{OWN}-schedule")
    assert session(PROD, MODEL).startswith("arn:aws:sts::")


@pytest.mark.parametrize("role", ["deploy", "batch", "schedule", MODEL])
def test_inline_policies_fit(made: Program, role: str) -> None:
    name = PROD.role(role if role == MODEL else f"{OWN}-{role}")
    for document in role_policies(made, name).values():
        assert len(json.dumps(document, separators=(",", ":"))) <= INLINE_CHARACTERS


def test_arrivals_are_announced_and_missed_ones_are_kept(made: Program) -> None:
    announced = {
        r.inputs["bucket"]: r.inputs["eventbridge"]
        for r in made.of("aws:s3/bucketNotification:BucketNotification")
    }
    assert len(announced) == 2
    assert set(announced.values()) == {True}
    queues = {r.inputs["name"] for r in made.of("aws:sqs/queue:Queue")}
    assert queues == {f"acme-{env}-{OWN}-missed" for env in ("preprod", "prod")}
    alarms = {
        r.inputs["dimensions"]["QueueName"]
        for r in made.of("aws:cloudwatch/metricAlarm:MetricAlarm")
        if "QueueName" in (r.inputs.get("dimensions") or {})
    }
    assert queues <= alarms
