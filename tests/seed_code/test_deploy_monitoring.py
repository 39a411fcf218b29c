"""The deployment repository's monitoring: what it registers, what it refuses, who may what."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pulumi
import pytest
from botocore.validate import ParamValidator
from mlops_policy.model import Example, ResourceRule
from mlops_policy.registry import RULES

from automation.projects import rendering, templates
from localcloud.provider import schema
from tests.policy import harness
from tests.seed_code.deploy_repository import (
    ARN,
    MADE,
    PARAMETERS,
    TARGET,
    VERSION,
    render,
    run_program,
)

DEFINITION = "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition"
SCHEDULE = "aws:sagemaker/monitoringSchedule:MonitoringSchedule"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
HOURLY = "cron(0 * ? * * *)"
BASELINES = {
    name: f"s3://acme-governance-models/promoted/abalone/7/{name}.json"
    for name in ("statistics", "constraints")
}
BROUGHT = {**VERSION, "baselines": BASELINES}
CONFIG: dict[str, Any] = {"monitoring": {"schedule": HOURLY, "columns": ["prediction", "length"]}}


def test_without_a_schedule_nothing_is_monitored() -> None:
    ran = run_program(version=BROUGHT)
    assert ran.of(DEFINITION) == ran.of(SCHEDULE) == []
    assert all("drift" not in alarm["name"] for alarm in ran.of(ALARM))


def test_the_traffic_is_compared_with_the_versions_own_baseline() -> None:
    ran = run_program(CONFIG, version=BROUGHT)
    made = ran.one(DEFINITION)
    assert "name" not in made
    assert made["dataQualityBaselineConfig"] == {
        "constraintsResource": {"s3Uri": BASELINES["constraints"]},
        "statisticsResource": {"s3Uri": BASELINES["statistics"]},
    }
    assert made["dataQualityAppSpecification"]["environment"] == {"MODEL_PACKAGE_ARN": ARN}
    assert made["dataQualityJobInput"]["endpointInput"]["endpointName"] == "acme-preprod-abalone"
    given = ran.one(SCHEDULE)
    assert given["name"] == "acme-preprod-abalone-drift"
    assert given["monitoringScheduleConfig"]["monitoringJobDefinitionName"].startswith(
        "acme-preprod-abalone-drift-"
    )
    other = {name: uri.replace("/7/", "/8/") for name, uri in BASELINES.items()}
    after = run_program(CONFIG, version={**BROUGHT, "baselines": other}).one(DEFINITION)
    assert after["dataQualityBaselineConfig"] != made["dataQualityBaselineConfig"]


def test_the_job_is_isolated_in_the_network_with_the_platforms_keys() -> None:
    made = run_program(CONFIG, version=BROUGHT).one(DEFINITION)
    assert made["networkConfig"] == {
        "enableNetworkIsolation": True,
        "enableInterContainerTrafficEncryption": True,
        "vpcConfig": {"subnets": ["subnet-a", "subnet-b"], "securityGroupIds": ["sg-1"]},
    }
    cluster = made["jobResources"]["clusterConfig"]
    assert cluster["volumeKmsKeyId"] == PARAMETERS["kms/storage/arn"]
    assert made["dataQualityJobOutputConfig"]["kmsKeyId"] == PARAMETERS["kms/logs/arn"]
    assert made["roleArn"] == f"arn:aws:iam::{TARGET}:role/acme-preprod-model-execution-abalone"
    disks = {**CONFIG["monitoring"], "instance_type": "ml.m5d.xlarge"}
    made = run_program({"monitoring": disks}, version=BROUGHT).one(DEFINITION)
    assert "volumeKmsKeyId" not in made["jobResources"]["clusterConfig"]


def test_each_watched_column_has_an_alarm_that_tells_the_owners() -> None:
    alarms = {
        alarm["metricName"]: alarm
        for alarm in run_program(CONFIG, version=BROUGHT).of(ALARM)
        if alarm["name"].startswith("acme-preprod-abalone-drift")
    }
    assert set(alarms) == {"feature_baseline_drift_prediction", "feature_baseline_drift_length"}
    for alarm in alarms.values():
        assert alarm["dimensions"] == {
            "Endpoint": "acme-preprod-abalone",
            "MonitoringSchedule": "acme-preprod-abalone-drift",
        }
        assert alarm["alarmActions"] == [PARAMETERS["alerts/topic-arn"]]
        assert (alarm["period"], alarm["threshold"]) == (3600, 0.1)


def test_the_policy_pack_and_the_sdk_take_all_of_it() -> None:
    ran = run_program(CONFIG, version=BROUGHT, environment="preprod")
    provider = ran.one("pulumi:providers:aws")
    judged = 0
    for made in ran.resources:
        if made.typ.startswith("aws:"):
            known = schema.schema(made.typ)
            assert known is not None
            assert not list(schema.unknown_inputs(dict(made.inputs), known.inputs))
        if made.typ not in (DEFINITION, SCHEDULE):
            continue
        for rule in RULES:
            if isinstance(rule, ResourceRule) and made.typ in rule.types:
                example = Example(
                    made.typ, dict(made.inputs), made.name, stack="preprod", provider=provider
                )
                outcome = harness.run(rule, example)
                judged += outcome.put_off is None
                assert not outcome.violations, (rule.name, outcome.violations)
    assert judged >= 5


# Traffic that is no table.

TEXTS = tuple(
    template
    for template in templates.load()
    if "traffic.py" in templates.shared(templates.SEED_CODE / template)
)
"""Templates whose repositories have ``traffic.py``."""


def handled(template: str, asked: str, answered: str) -> dict[str, float]:
    """Columns of a request, as the analyzer gets them."""
    path = templates.shared(templates.SEED_CODE / template)["traffic.py"]
    spec = importlib.util.spec_from_file_location("traffic", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    record = SimpleNamespace(
        endpoint_input=SimpleNamespace(data=asked), endpoint_output=SimpleNamespace(data=answered)
    )
    return module.preprocess_handler(record)


@pytest.mark.parametrize("template", TEXTS)
def test_the_baseline_and_the_analyzer_see_traffic_by_the_same_file(template: str) -> None:
    with (
        rendering.assembled(template, "build") as build,
        rendering.assembled(template, "deploy") as deploy,
    ):
        made = (build / "steps" / "traffic.py").read_bytes()
        assert b"def preprocess_handler" in made
        assert made == (deploy / "traffic.py").read_bytes()


def test_a_repository_with_such_a_file_gives_it_to_the_analyzer(tmp_path: Path) -> None:
    folder = render(tmp_path, template="sentiment")
    ran = run_program(CONFIG, version=BROUGHT, folder=folder)
    brought = ran.one("aws:s3/bucketObjectv2:BucketObjectv2")
    assert brought["content"] == (folder / "traffic.py").read_text()
    assert brought["key"].startswith("monitoring/acme-preprod-abalone/config/")
    assert brought["key"].endswith(".py")
    app = ran.one(DEFINITION)["dataQualityAppSpecification"]
    assert app["recordPreprocessorSourceUri"] == f"s3://acme-preprod-logs/{brought['key']}"
    assert (
        "recordPreprocessorSourceUri"
        not in run_program(CONFIG, version=BROUGHT).one(DEFINITION)["dataQualityAppSpecification"]
    )


def test_texts_and_their_labels_are_columns() -> None:
    good = {"label": "positive", "class": 2, "scores": {}}
    bad = {"label": "negative", "class": 0, "scores": {}}
    one = {"characters": 9, "prediction": 2, "words": 2}
    for answered in (json.dumps({"predictions": [good]}), json.dumps(good) + "\n", "2"):
        assert handled("sentiment", '{"text": "good soup"}', answered) == one
    several = {"texts": ["a", "b c d", "eight ch"]}
    answered = json.dumps({"predictions": [bad, good, bad]})
    assert handled("sentiment", json.dumps(several), answered) == {
        "characters": 5, "prediction": 0, "words": 2,
    }  # fmt: skip


def test_prompts_and_completions_are_columns_in_no_language() -> None:
    told = handled(
        "llm-finetune", json.dumps({"inputs": "wie schön"}),
        json.dumps([{"generated_text": "la la la la"}]),
    )  # fmt: skip
    assert told == {
        "prompt_characters": 9, "prompt_words": 2, "prompt_not_ascii": pytest.approx(1 / 9),
        "completion_characters": 11, "completion_words": 4, "completion_not_ascii": 0,
        "completion_empty": 0, "completion_repeated": 0.75,
    }  # fmt: skip
    # A column is of one type, whatever the request: analyzers tell whole numbers from others.
    assert {type(value) for value in told.values()} == {float}
    several = handled(
        "llm-finetune", json.dumps({"inputs": ["ab", "abcd"]}),
        json.dumps([{"generated_text": " "}, {"generated_text": "x"}]),
    )  # fmt: skip
    assert (several["prompt_characters"], several["completion_empty"]) == (3, 0.5)


def test_prompts_of_pictures_are_columns_whatever_is_answered() -> None:
    asked = {"inputs": "blau blau grün", "parameters": {"negative_prompt": "red"}}
    for answered in ('{"images": []}', "iVBORw0KGgo="):
        told = handled("diffusion-finetune", json.dumps(asked), answered)
        assert told == {
            "prompt_characters": 14, "prompt_words": 3, "prompt_not_ascii": pytest.approx(1 / 14),
            "prompt_repeated": pytest.approx(1 / 3),
        }  # fmt: skip
        assert {type(value) for value in told.values()} == {float}


RESOURCE = "aws:cloudcontrol/resource:Resource"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
KINDS = {"quality": "ModelQuality", "bias": "ModelBias", "explain": "ModelExplainability"}
WHOLE = {
    **BROUGHT,
    "baselines": {
        name: f"s3://acme-governance-models/promoted/abalone/7/{name}.json"
        for name in ("quality", "bias", "bias_config", "attributions")
    },
}
OF = {"label": "rings", "label_value": "10", "facet": "sex", "facet_value": "1"}
EVERY: dict[str, Any] = {
    "monitoring": {
        "quality": {"schedule": HOURLY, "limits": {"rmse": 3, "r2": 0.4}, "labels_after_hours": 6},
        "bias": {"schedule": "cron(0 3 ? * * *)", "limits": {"DPPL": 0.2}, "of": OF},
        "attributions": {"schedule": HOURLY, "features": ["length", "height"]},
    }
}


@pytest.fixture(scope="module")
def every() -> Any:
    return run_program(EVERY, version=WHOLE)


def states(ran: Any) -> dict[str, dict[str, Any]]:
    """Kind -> the desired state of its definition."""
    return {
        made["typeName"].removeprefix("AWS::SageMaker::").removesuffix("JobDefinition"): json.loads(
            made["desiredState"]
        )
        for made in ran.of(RESOURCE)
    }


def test_definitions_are_what_cloudformation_and_sagemaker_take(every: Any) -> None:
    # Here, as it takes seconds, and all workers collect all tests.
    import cfnlint.api
    import cfnlint.config
    import cfnlint.schema.manager

    manager = cfnlint.schema.manager.ProviderSchemaManager()
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            kind: {"Type": f"AWS::SageMaker::{kind}JobDefinition", "Properties": state}
            for kind, state in states(every).items()
        },
    }
    # Those are about the forms of ids and ARNs, which are made up here.
    only_here = cfnlint.config.ManualArgs(
        regions=["eu-west-1"], ignore_checks=["E1150", "E1154", "E1156"]
    )
    found = cfnlint.api.lint(json.dumps(template), config=only_here)
    assert [str(item) for item in found if item.rule.severity == "error"] == []
    model = boto3.client("sagemaker", "eu-west-1").meta.service_model
    assert set(states(every)) == set(KINDS.values())
    for kind, state in states(every).items():
        known = manager.get_resource_schema("eu-west-1", f"AWS::SageMaker::{kind}JobDefinition")
        # Every property makes another definition, as the local cloud has it.
        assert {f"/properties/{name}" for name in state} <= set(
            known.schema["createOnlyProperties"]
        )
        shape = model.operation_model(f"Create{kind}JobDefinition").input_shape
        assert not ParamValidator().validate(state, shape).has_errors()
        assert len(state["JobDefinitionName"]) <= 63
        assert state["Tags"]
        assert state[f"{kind}AppSpecification"]["Environment"] == {"MODEL_PACKAGE_ARN": ARN}
        assert (
            state["JobResources"]["ClusterConfig"]["VolumeKmsKeyId"]
            == (PARAMETERS["kms/storage/arn"])
        )
        # Only what asks the model has a network.
        assert state["NetworkConfig"]["EnableNetworkIsolation"] == (kind != "ModelExplainability")


def test_each_kind_compares_with_the_versions_own_baseline(every: Any) -> None:
    made = states(every)
    for kind, name in (
        ("Quality", "quality"),
        ("Bias", "bias"),
        ("Explainability", "attributions"),
    ):
        found = made[f"Model{kind}"][f"Model{kind}BaselineConfig"]["ConstraintsResource"]["S3Uri"]
        assert found == WHOLE["baselines"][name]
    source = made["ModelQuality"]["ModelQualityJobInput"]
    assert source["GroundTruthS3Input"] == {
        "S3Uri": "s3://acme-preprod-logs/ground-truth/acme-preprod-abalone"
    }
    assert source["EndpointInput"]["InferenceAttribute"] == "0"
    assert source["EndpointInput"]["StartTimeOffset"] == "-PT7H"
    assert source["EndpointInput"]["EndTimeOffset"] == "-PT6H"
    uri = made["ModelBias"]["ModelBiasAppSpecification"]["ConfigUri"]
    assert uri == WHOLE["baselines"]["bias_config"]
    schedules = {item["name"]: item["monitoringScheduleConfig"] for item in every.of(SCHEDULE)}
    assert set(schedules) == {f"acme-preprod-abalone-{end}" for end in KINDS}
    assert {item["monitoringType"] for item in schedules.values()} == set(KINDS.values())


def test_another_version_is_another_definition(every: Any) -> None:
    moved = {name: uri.replace("/7/", "/8/") for name, uri in WHOLE["baselines"].items()}
    after = states(run_program(EVERY, version={**WHOLE, "baselines": moved}))
    for kind, state in states(every).items():
        name = state["JobDefinitionName"]
        assert name.rpartition("-")[0].startswith("acme-preprod-abalone-")
        assert after[kind]["JobDefinitionName"] != name


def test_clarify_asks_the_model_that_serves_behind_an_endpoint_of_its_own(every: Any) -> None:
    made = every.one(OBJECT)
    config = json.loads(made["content"])
    assert config["predictor"]["model_name"] == "acme-preprod-abalone-0a1b2c3"
    assert config["predictor"]["endpoint_name_prefix"] == "acme-preprod-abalone-explain"
    assert config["headers"] == ["length", "height"]
    assert made["key"].startswith("monitoring/acme-preprod-abalone/config/")
    assert (made["serverSideEncryption"], made["kmsKeyId"]) == (
        "aws:kms", PARAMETERS["kms/logs/arn"],
    )  # fmt: skip
    app = states(every)["ModelExplainability"]["ModelExplainabilityAppSpecification"]
    assert app["ConfigUri"] == f"s3://acme-preprod-logs/{made['key']}"


def test_limits_of_quality_and_bias_are_alarms(every: Any) -> None:
    alarms = {
        alarm["name"].removeprefix("acme-preprod-abalone-"): alarm
        for alarm in every.of(ALARM)
        if "MonitoringSchedule" in alarm["dimensions"]
    }
    told = {
        name: (alarm["metricName"], alarm["comparisonOperator"], alarm["threshold"])
        for name, alarm in alarms.items()
    }
    assert told == {
        "quality-rmse": ("rmse", "GreaterThanThreshold", 3),
        "quality-r2": ("r2", "LessThanThreshold", 0.4),
        "bias-DPPL-above": ("bias_metric_DPPL", "GreaterThanThreshold", 0.2),
        "bias-DPPL-below": ("bias_metric_DPPL", "LessThanThreshold", -0.2),
    }
    assert alarms["bias-DPPL-below"]["dimensions"] == {
        "Endpoint": "acme-preprod-abalone", "MonitoringSchedule": "acme-preprod-abalone-bias",
        "BiasStage": "Post-Training", "Label": "rings", "LabelValue": "10",
        "Facet": "sex", "FacetValue": "1",
    }  # fmt: skip
    assert {alarm["namespace"] for alarm in alarms.values()} == {
        "aws/sagemaker/Endpoints/model-metrics", "aws/sagemaker/Endpoints/bias-metrics",
    }  # fmt: skip


def without(*names: str) -> dict[str, Any]:
    kept = {name: uri for name, uri in WHOLE["baselines"].items() if name not in names}
    return {**WHOLE, "baselines": kept}


def monitoring(kind: str, **more: Any) -> dict[str, Any]:
    return {"monitoring": {kind: {"schedule": HOURLY, **more}}}


@pytest.mark.parametrize(
    ("config", "version", "told"),
    [
        (EVERY, without("quality"), r"monitoring.quality.schedule is set.*told as quality"),
        (EVERY, without("bias_config"), r"monitoring.bias.schedule is set.*told as bias_config"),
        (monitoring("attributions"), WHOLE, "features are missing"),
        (monitoring("quality", prediction=""), WHOLE, "neither prediction nor probability"),
        (monitoring("quality", probability="0"), WHOLE, "is for BinaryClassification"),
        (monitoring("bias", limits={"DI": 1}, of=OF), WHOLE, "not for DI"),
        (monitoring("bias", limits={"RD": 1}), WHOLE, "limits and of belong together"),
        ({**EVERY, "capture": {"percent": 0}}, WHOLE, "capture must keep requests"),
        ({"monitoring": {"bias": {"schedule": "hourly"}}}, WHOLE, "neither cron"),
        (CONFIG, VERSION, "brings no baseline for it.*constraints, statistics"),
        ({**CONFIG, "capture": {"percent": 0}}, BROUGHT, "capture must keep requests"),
        ({**CONFIG, "capture": {"responses": False}}, BROUGHT, "capture must keep requests"),
        ({"monitoring": {"schedule": "rate(1 hour)"}}, BROUGHT, "neither cron"),
        ({"monitoring": {"schedule": HOURLY, "columns": ["a", "a"]}}, BROUGHT, "one twice"),
        ({"monitoring": {"schedule": HOURLY, "distance": 2}}, BROUGHT, "monitoring.distance"),
        ({"monitoring": {"model_quality": {}}}, BROUGHT, "there is no such setting"),
    ],
)
def test_what_cannot_be_monitored_is_told(
    config: dict[str, Any], version: dict[str, Any], told: str
) -> None:
    with pytest.raises(pulumi.RunError, match=told):
        run_program(config, version=version)


@pytest.mark.parametrize(
    "schedule", [HOURLY, "cron(0 3 ? * * *)", "cron(0 3/6 ? * * *)", "cron(0 23 ? * * *)"]
)
def test_schedules_of_the_documentation_are_taken(schedule: str) -> None:
    assert MADE.settings.Monitoring.model_validate({"schedule": schedule}).schedule == schedule
    assert MADE.settings.period_seconds(schedule) == (3600 if schedule == HOURLY else 86_400)
