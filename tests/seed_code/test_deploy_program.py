"""What the deployment program registers, and what the policy pack says of it."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest
from mlops_policy.model import Example, ResourceRule
from mlops_policy.registry import RULES

from localcloud.provider import schema
from tests.policy import harness
from tests.seed_code.deploy_repository import (
    ANSWERS,
    ARN,
    PARAMETERS,
    TARGET,
    VERSION,
    Ran,
    run_program,
)

MODEL = "aws:sagemaker/model:Model"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
TARGET_TYPE = "aws:appautoscaling/target:Target"
POLICY = "aws:appautoscaling/policy:Policy"
PROVIDER = "pulumi:providers:aws"

PRODUCTION: dict[str, Any] = {
    "instances": {"type": "ml.m5.large", "minimum": 2, "maximum": 4},
    "rollout": {"strategy": "canary", "percent": 50},
}
LOCAL_DISKS: dict[str, Any] = {"instances": {"type": "ml.g5.xlarge", "minimum": 2, "maximum": 2}}


def test_the_model_is_made_from_the_approved_version_in_the_environments_network() -> None:
    made = run_program().one(MODEL)
    assert made["primaryContainer"] == {"modelPackageName": ARN}
    assert made["vpcConfig"] == {"subnets": ["subnet-a", "subnet-b"], "securityGroupIds": ["sg-1"]}
    role = f"arn:aws:iam::{TARGET}:role/acme-preprod-model-execution-abalone"
    assert made["executionRoleArn"] == role
    assert made["enableNetworkIsolation"] is True


def test_where_the_package_may_not_be_used_its_image_and_artifacts_are() -> None:
    made = run_program(
        {"model": {"source": "artifacts", "environment": {"MODE": "team", "MORE": "1"}}}
    ).one(MODEL)
    assert made["primaryContainer"] == {
        "image": VERSION["image"],
        "modelDataUrl": VERSION["model_data_url"],
        "environment": {"MODE": "team", "MORE": "1"},
    }


def test_an_update_needs_no_name_that_is_taken_and_deletes_nothing() -> None:
    ran = run_program(PRODUCTION)
    for token in (MODEL, CONFIGURATION):
        assert "name" not in ran.one(token)
    kept = {request.type for request in ran.requests if request.retainOnDelete}
    assert kept == {MODEL, CONFIGURATION}
    assert ran.one(ENDPOINT)["endpointConfigName"] == "acme-preprod-abalone-0a1b2c3"


@pytest.mark.parametrize(
    ("instances", "key"), [("ml.m5.large", True), ("ml.g5.xlarge", False), ("ml.m5d.large", False)]
)
def test_volumes_have_the_customer_key_where_aws_takes_one(instances: str, key: bool) -> None:
    made = run_program({"instances": {"type": instances}}).one(CONFIGURATION)
    assert (made.get("kmsKeyArn") == PARAMETERS["kms/storage/arn"]) is key


def test_captured_traffic_is_encrypted_in_the_environments_bucket() -> None:
    made = run_program({"capture": {"percent": 25, "responses": False}}).one(CONFIGURATION)
    assert made["dataCaptureConfig"] == {
        "enableCapture": True,
        "initialSamplingPercentage": 25,
        "destinationS3Uri": "s3://acme-preprod-logs/data-capture/acme-preprod-abalone",
        "kmsKeyId": PARAMETERS["kms/logs/arn"],
        "captureOptions": [{"captureMode": "Input"}],
        "captureContentTypeHeader": {
            "csvContentTypes": ["text/csv"],
            "jsonContentTypes": ["application/json", "application/jsonlines"],
        },
    }
    assert "dataCaptureConfig" not in run_program({"capture": {"percent": 0}}).one(CONFIGURATION)


@pytest.mark.parametrize(
    ("rollout", "routing"),
    [
        (
            {"strategy": "all-at-once", "wait_seconds": 0},
            {"type": "ALL_AT_ONCE", "waitIntervalInSeconds": 0},
        ),
        (
            {"strategy": "canary", "percent": 10, "wait_seconds": 60},
            {
                "type": "CANARY",
                "waitIntervalInSeconds": 60,
                "canarySize": {"type": "CAPACITY_PERCENT", "value": 10},
            },
        ),
        (
            {"strategy": "linear", "percent": 33, "wait_seconds": 60},
            {
                "type": "LINEAR",
                "waitIntervalInSeconds": 60,
                "linearStepSize": {"type": "CAPACITY_PERCENT", "value": 33},
            },
        ),
    ],
)
def test_a_rollout_is_rolled_back_by_every_alarm(
    rollout: dict[str, Any], routing: dict[str, Any]
) -> None:
    ran = run_program({"rollout": rollout})
    made = ran.one(ENDPOINT)["deploymentConfig"]
    assert made["blueGreenUpdatePolicy"]["trafficRoutingConfiguration"] == routing
    alarms = ran.of(ALARM)
    assert {alarm["metricName"] for alarm in alarms} == {
        "Invocation5XXErrors", "InvocationModelErrors", "ModelLatency",
    }  # fmt: skip
    watched = made["autoRollbackConfiguration"]["alarms"]
    assert {alarm["alarmName"] for alarm in watched} == {alarm["name"] for alarm in alarms}
    for alarm in alarms:
        assert alarm["dimensions"]["EndpointName"] == ran.one(ENDPOINT)["name"]
        assert alarm["alarmActions"] == [PARAMETERS["alerts/topic-arn"]]


def test_latency_is_told_in_milliseconds_and_watched_in_microseconds() -> None:
    alarms = run_program({"alarms": {"latency_milliseconds": 250}}).of(ALARM)
    [latency] = [alarm for alarm in alarms if alarm["metricName"] == "ModelLatency"]
    assert (latency["threshold"], latency["extendedStatistic"]) == (250_000, "p99")


def test_scaling_between_the_limits_and_none_without() -> None:
    ran = run_program(PRODUCTION)
    target, policy = ran.one(TARGET_TYPE), ran.one(POLICY)
    assert (target["minCapacity"], target["maxCapacity"]) == (2, 4)
    assert target["resourceId"] == "endpoint/acme-preprod-abalone/variant/AllTraffic"
    assert policy["resourceId"] == target["resourceId"]
    [variant] = ran.one(CONFIGURATION)["productionVariants"]
    assert f"/variant/{variant['variantName']}" in target["resourceId"]
    assert not run_program(LOCAL_DISKS).of(TARGET_TYPE)


def test_the_only_provider_is_the_projects_role_in_the_target_account_with_its_tags() -> None:
    ran = run_program()
    provider = ran.one(PROVIDER)
    assert provider["allowedAccountIds"] == f'["{TARGET}"]'
    [role] = json.loads(provider["assumeRoles"])
    assert role["roleArn"] == f"arn:aws:iam::{TARGET}:role/acme-preprod-abalone-deploy"
    assert (
        json.loads(provider["defaultTags"])["tags"].items()
        >= {
            "sagemaker:project-name": "abalone",
            "sagemaker:project-id": ANSWERS["project_id"],
            "owner": "ml-team",
            "cost-centre": "cc-1",
            "environment": "preprod",
        }.items()
    )
    used = {request.provider for request in ran.requests if request.type.startswith("aws:")}
    assert len(used) == 1
    assert ran.exports["endpoint_name"] == "acme-preprod-abalone"
    assert ran.exports["endpoint_config_name"] == "acme-preprod-abalone-0a1b2c3"


def test_only_published_parameters_are_read() -> None:
    from components.contract import meaning

    asked = run_program(environment="prod", config=PRODUCTION).asked
    assert len(asked) == len(PARAMETERS)
    for name in asked:
        assert meaning(name.removeprefix("/acme/prod/"))


def test_one_subnet_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match="fewer than two subnets"):
        run_program(parameters={**PARAMETERS, "vpc/private-subnet-ids": "subnet-a"})


def test_wrong_settings_are_told_without_a_stack_trace() -> None:
    with pytest.raises(
        pulumi.RunError, match=r"MLOPS_PREFIX: is missing\n(.*\n)+instances\.minimum"
    ):
        run_program({"instances": {"minimum": 0}}, environ={"MLOPS_PROJECT": "abalone"})


@pytest.mark.parametrize(
    ("environment", "config"),
    [
        ("dev", {}),
        ("preprod", {"model": {"source": "artifacts"}}),
        ("prod", PRODUCTION),
        ("prod", LOCAL_DISKS),
        ("prod", {**PRODUCTION, "rollout": {"strategy": "linear", "wait_seconds": 60}}),
    ],
)
def test_no_rule_of_the_policy_pack_is_violated(environment: str, config: dict[str, Any]) -> None:
    ran = run_program(config, environment=environment)
    violations, judged = judge(ran, environment)
    assert not violations, "\n".join(violations)
    assert judged >= 15


def judge(ran: Ran, environment: str) -> tuple[list[str], int]:
    """What the pack's rules say of the resources, and how many of them had a say."""
    provider = ran.one(PROVIDER)
    violations: list[str] = []
    judged = 0
    for rule in RULES:
        if not isinstance(rule, ResourceRule):
            continue
        for made in ran.resources:
            if made.typ not in rule.types:
                continue
            example = Example(
                made.typ, dict(made.inputs), made.name, stack=environment, provider=provider
            )
            outcome = harness.run(rule, example)
            judged += outcome.put_off is None
            violations += [f"{rule.name}: {text}" for text in outcome.violations]
    return violations, judged


@pytest.mark.parametrize(
    ("rule", "config"),
    [
        ("endpoint-survives-a-zone", {"instances": {"minimum": 1}}),
        ("instance-types", {"instances": {"type": "ml.p5.48xlarge", "minimum": 2, "maximum": 2}}),
        (
            "network-isolation",
            {"model": {"network_isolation": False, "no_isolation_because": "asks a database"}},
        ),
    ],
)
def test_what_the_company_forbids_the_pack_stops(rule: str, config: dict[str, Any]) -> None:
    violations, _ = judge(run_program(config, environment="prod"), "prod")
    assert any(told.startswith(f"{rule}:") for told in violations)


def test_every_input_is_one_of_the_sdks_types() -> None:
    for made in run_program(PRODUCTION).resources:
        if made.typ.startswith("aws:"):
            known = schema.schema(made.typ)
            assert known is not None
            assert not list(schema.unknown_inputs(dict(made.inputs), known.inputs))
            assert known.required <= set(made.inputs)
