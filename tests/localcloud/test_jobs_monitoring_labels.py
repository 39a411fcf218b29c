"""Monitoring of quality, bias and attributions: labels, other metrics, and the model itself."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.exceptions import ClientError

from localcloud import environments
from tests.localcloud.emulators import REGION
from tests.localcloud.jobs_world import BUCKET, World, numbers, world
from tests.localcloud.kit import until
from tests.localcloud.monitoring_world import (
    ANALYZER,
    CLARIFY,
    ENDPOINT,
    SCRIPTS,
    SHADOW,
    captured,
    config,
    execute,
    label,
    make_endpoint,
    make_role,
    make_ways,
    report,
)
from tests.localcloud.retraining_hub import RetrainingHub


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("labels")) as made:
        make_ways(made)
        yield made


@pytest.fixture(scope="module")
def monitor(jobs: World) -> str:
    return make_role(jobs, dict(SHADOW))


@pytest.fixture(scope="module")
def endpoint(jobs: World) -> str:
    return make_endpoint(jobs)


# What the baselines are: good enough for the model as it is, and no more.
QUALITY = {
    "regression_constraints": {
        "rmse": {"threshold": 2.0, "comparison_operator": "GreaterThanThreshold"},
        "r2": {"threshold": 0.9, "comparison_operator": "LessThanThreshold"},
    }
}
FACET = {"name_or_index": "a", "value_or_threshold": [5]}
BIAS = {
    "headers": ["label", "a", "b"],
    "label": "label",
    "label_values_or_threshold": [10],
    "facet": [FACET],
    "methods": {
        "pre_training_bias": {"methods": ["CI", "DPL"]},
        "post_training_bias": {"methods": ["DPPL", "DI", "AD", "RD"]},
    },
}
SHAP = {
    "headers": ["a", "b"],
    "methods": {"shap": {"num_samples": 100, "agg_method": "mean_abs"}},
    "predictor": {
        "model_name": ENDPOINT, "instance_type": "ml.m5.large", "initial_instance_count": 1,
        "accept_type": "text/csv", "content_type": "text/csv",
        "endpoint_name_prefix": f"{ENDPOINT}-explain",
    },
}  # fmt: skip


def biased(dppl: float, di: float) -> dict[str, Any]:
    metrics = [{"name": "DPPL", "value": dppl}, {"name": "DI", "value": di}]
    facets = {"a": [{"value_or_threshold": "5", "metrics": metrics}]}
    return {"post_training_bias_metrics": {"label": "label", "facets": facets}}


def explained(a: float, b: float) -> dict[str, Any]:
    values = {"global_shap_values": {"a": a, "b": b}, "expected_value": 0}
    return {"explanations": {"kernel_shap": {"label0": values}}}


def definition(
    jobs: World,
    name: str,
    kind: str = "ModelQuality",
    baseline: dict[str, Any] = QUALITY,
    analysis: dict[str, Any] | None = None,
    **offsets: str,
) -> dict[str, Any]:
    """What a definition is made of; the role of its jobs is ``monitor``."""
    constraints = jobs.put(f"baselines/{name}/constraints.json", json.dumps(baseline))
    app: dict[str, Any] = {
        "ImageUri": ANALYZER if kind == "ModelQuality" else CLARIFY,
        "Environment": {"MODEL_PACKAGE_ARN": "the-version"},
    }
    source = {
        "EndpointName": ENDPOINT, "LocalPath": "/opt/ml/processing/input_data", **offsets,
    }  # fmt: skip
    given: dict[str, Any] = {"EndpointInput": source}
    network: dict[str, Any] = {"VpcConfig": jobs.vpc_config}
    if kind == "ModelQuality":
        app["ProblemType"] = "Regression"
    else:
        app["ConfigUri"] = jobs.put(f"baselines/{name}/config.json", json.dumps(analysis))
    if kind != "ModelExplainability":
        source["InferenceAttribute"] = "0"
        given["GroundTruthS3Input"] = {"S3Uri": f"s3://{BUCKET}/labels"}
        network["EnableNetworkIsolation"] = True
    output = {"S3Uri": f"s3://{BUCKET}/reports/{name}", "LocalPath": "/opt/ml/processing/output"}
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10}
    return {
        "JobDefinitionName": name,
        f"{kind}AppSpecification": app,
        f"{kind}BaselineConfig": {"ConstraintsResource": {"S3Uri": constraints}},
        f"{kind}JobInput": given,
        f"{kind}JobOutputConfig": {
            "KmsKeyId": jobs.key, "MonitoringOutputs": [{"S3Output": output}],
        },
        "JobResources": {"ClusterConfig": cluster},
        "NetworkConfig": network,
        "RoleArn": jobs.role.replace("role/jobs", "role/monitor"),
    }  # fmt: skip


CREATE = {
    "ModelQuality": "create_model_quality_job_definition",
    "ModelBias": "create_model_bias_job_definition",
    "ModelExplainability": "create_model_explainability_job_definition",
}


def schedule(jobs: World, kind: str, name: str, baseline: dict[str, Any], analysis: Any) -> str:
    """Makes a definition and its schedule; the schedule's ARN."""
    getattr(jobs.sagemaker, CREATE[kind])(**definition(jobs, name, kind, baseline, analysis))
    return jobs.sagemaker.create_monitoring_schedule(
        MonitoringScheduleName=name, MonitoringScheduleConfig=config(kind, name)
    )["MonitoringScheduleArn"]


Schedules = dict[str, str]
DRIFTS = [f"{ENDPOINT}-{end}" for end in ("quality", "bias", "explain")]


@pytest.fixture(scope="module")
def schedules(jobs: World, monitor: str, endpoint: str) -> Schedules:
    """Name -> ARN: those of the version's own, and one of bias as it is."""
    made = [
        ("ModelQuality", DRIFTS[0], QUALITY, None),
        ("ModelBias", DRIFTS[1], biased(0.05, 0.95), BIAS),
        ("ModelBias", "bias-same", biased(1.0, 1e3), BIAS),
        ("ModelExplainability", DRIFTS[2], explained(3, 1), SHAP),
    ]
    return {
        name: schedule(jobs, kind, name, baseline, analysis)
        for kind, name, baseline, analysis in made
    }


@dataclass
class Asked:
    """What was asked, what is right for it, and what was answered, by the inference's id."""

    rows: dict[str, tuple[float, float]] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)
    answers: dict[str, float] = field(default_factory=dict)


def ask(jobs: World, seed: int, count: int) -> Asked:
    """Asks the endpoint one row a request, until all of it was captured."""
    before, asked = len(captured(jobs)), Asked()
    for line in numbers(seed, count).splitlines():
        right, a, b = map(float, line.split(","))
        key = str(uuid.uuid4())
        asked.rows[key], asked.labels[key] = (a, b), right
        answer = jobs.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=ENDPOINT, Body=f"{a},{b}", ContentType="text/csv", InferenceId=key
        )
        asked.answers[key] = float(answer["Body"].read())
    until(lambda: captured(jobs), lambda found: len(found) == before + count)
    return asked


def dimensions(jobs: World, kind: str, metric: str, schedule: str) -> dict[str, str]:
    """Those of a metric that CloudWatch has of a schedule, without the endpoint's and its own."""
    found = jobs.client("cloudwatch").list_metrics(
        Namespace=f"aws/sagemaker/Endpoints/{kind}-metrics",
        MetricName=metric,
        Dimensions=[{"Name": "MonitoringSchedule", "Value": schedule}],
    )["Metrics"]
    (told,) = [{item["Name"]: item["Value"] for item in one["Dimensions"]} for one in found]
    assert told.pop("Endpoint") == ENDPOINT
    assert told.pop("MonitoringSchedule") == schedule
    return told


@pytest.fixture(scope="module")
def first(jobs: World, schedules: Schedules) -> Asked:
    """A good hour's traffic: every second request has a label, and one label has no request."""
    asked = ask(jobs, 7, 60)
    label(jobs, "first", {**dict(list(asked.labels.items())[::2]), "nobody": 1e6})
    return asked


@pytest.fixture(scope="module")
def executed(jobs: World, schedules: Schedules, first: Asked) -> dict[str, dict[str, Any]]:
    """Schedule -> summary of its execution over that traffic."""
    return dict(zip(schedules, execute(jobs, schedules, *schedules), strict=True))


def test_quality_is_that_of_the_predictions_with_a_label(
    jobs: World, first: Asked, executed: dict[str, dict[str, Any]]
) -> None:
    told = executed[DRIFTS[0]]
    assert told["MonitoringExecutionStatus"] == "Completed", told
    assert told["MonitoringType"] == "ModelQuality"
    found = report(jobs, told, "statistics.json")
    errors = [first.answers[key] - first.labels[key] for key in list(first.labels)[::2]]
    assert found["dataset"]["item_count"] == len(errors) == 30
    assert found["regression_metrics"]["rmse"]["value"] == pytest.approx(
        (sum(error**2 for error in errors) / len(errors)) ** 0.5, rel=1e-4
    )
    assert report(jobs, told, "constraint_violations.json") == {"violations": []}
    assert dimensions(jobs, "model", "rmse", DRIFTS[0]) == {}


def test_bias_is_that_of_answers_by_facet_and_further_from_fair_is_a_violation(
    jobs: World, first: Asked, executed: dict[str, dict[str, Any]]
) -> None:
    told = executed[DRIFTS[1]]
    assert told["MonitoringExecutionStatus"] == "CompletedWithViolations", told
    found = report(jobs, told, "analysis.json")["post_training_bias_metrics"]
    (facet,) = found["facets"]["a"]
    values = {item["name"]: item["value"] for item in facet["metrics"]}
    of: dict[bool, list[bool]] = {True: [], False: []}
    for key in list(first.labels)[::2]:
        of[first.rows[key][0] > 5].append(first.answers[key] > 10)
    shares = {side: sum(told) / len(told) for side, told in of.items()}
    assert values["DPPL"] == pytest.approx(shares[False] - shares[True])
    assert values["DI"] == pytest.approx(shares[True] / shares[False])
    violations = report(jobs, told, "constraint_violations.json")["violations"]
    assert "DPPL" in {item["metric_name"] for item in violations}
    assert {(item["facet"], item["facet_value"], item["constraint_check_type"])
            for item in violations} == {("a", "5", "bias_drift_check")}  # fmt: skip
    assert executed["bias-same"]["MonitoringExecutionStatus"] == "Completed", executed
    assert dimensions(jobs, "bias", "bias_metric_DPPL", DRIFTS[1]) == {
        "BiasStage": "Post-Training", "Label": "label", "LabelValue": "10",
        "Facet": "a", "FacetValue": "5",
    }  # fmt: skip


def test_attributions_are_asked_of_an_endpoint_that_is_gone_afterwards(
    jobs: World, executed: dict[str, dict[str, Any]]
) -> None:
    told = executed[DRIFTS[2]]
    assert told["MonitoringExecutionStatus"] == "Completed", told
    values = report(jobs, told, "analysis.json")["explanations"]["kernel_shap"]["label0"]
    # Three times the first less the second, both spread alike.
    shares = values["global_shap_values"]
    assert 2 < shares["a"] / shares["b"] < 4.5
    assert dimensions(jobs, "explainability", "feature_a", DRIFTS[2]) == {
        "ExplainabilityMethod": "KernelShap", "Label": "label0", "ValueType": "GlobalShapValues",
    }  # fmt: skip
    names = [item["EndpointName"] for item in jobs.sagemaker.list_endpoints()["Endpoints"]]
    assert names == [ENDPOINT]
    assert len(jobs.sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 1
    # What Clarify asked is nobody's traffic.
    assert len(captured(jobs)) == 60


def test_all_kinds_together_start_one_retraining_of_a_version(
    jobs: World, schedules: Schedules, executed: dict[str, dict[str, Any]]
) -> None:
    hub = RetrainingHub(jobs.cloud, "numbers")
    jobs.client("cloudwatch").put_metric_alarm(
        AlarmName="quality", Namespace="aws/sagemaker/Endpoints/model-metrics", MetricName="rmse",
        Dimensions=[
            {"Name": "Endpoint", "Value": ENDPOINT},
            {"Name": "MonitoringSchedule", "Value": DRIFTS[0]},
        ],
        Statistic="Maximum", Period=3600, EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold", Threshold=2.0,
    )  # fmt: skip
    before, asked = len(hub.runs()), ask(jobs, 8, 10)
    # What is right has changed: the endpoint answers as before.
    label(jobs, "second", {key: -right for key, right in asked.labels.items()})
    for told in execute(jobs, schedules, *DRIFTS[:2]):
        assert told["MonitoringExecutionStatus"] == "CompletedWithViolations", told
    until(hub.outcomes, lambda told: len(told) == 2)
    assert sorted(hub.outcomes()) == ["already", "started"]
    assert len(hub.runs()) == before + 1
    assert jobs.cloud.control("GET", "undelivered") == []
    alarm = jobs.client("cloudwatch").describe_alarms(AlarmNames=["quality"])["MetricAlarms"][0]
    assert alarm["StateValue"] == "ALARM"


def test_without_any_label_that_belongs_there_is_no_verdict(
    jobs: World, schedules: Schedules, executed: dict[str, dict[str, Any]]
) -> None:
    ask(jobs, 9, 1)
    label(jobs, "first", {"nobody": 1})
    label(jobs, "second", {"nobody": 1})
    (told,) = execute(jobs, schedules, "bias-same")
    assert told["MonitoringExecutionStatus"] == "Failed"
    assert "None of 1 labels belongs to any of" in told["FailureReason"]


def test_labels_may_come_later(jobs: World, schedules: Schedules) -> None:
    with pytest.raises(ClientError, match="no offset such as"):
        jobs.sagemaker.create_model_quality_job_definition(
            **definition(jobs, "late", EndTimeOffset="PT1H")
        )
    jobs.sagemaker.create_model_quality_job_definition(
        **definition(jobs, "late", StartTimeOffset="-PT2H", EndTimeOffset="-PT1H")
    )
    arn = jobs.sagemaker.create_monitoring_schedule(
        MonitoringScheduleName="late",
        MonitoringScheduleConfig=config("ModelQuality", "late"),
    )["MonitoringScheduleArn"]
    ask(jobs, 10, 1)
    # It is too early for what was asked just now.
    (told,) = execute(jobs, {"late": arn}, "late")
    assert told["FailureReason"] == "Job inputs had no data"


SIGN = """
import datetime as dt, json, sys
sys.path.insert(0, sys.argv[1])
import shadow_endpoint
given, url, headers, body, moment = json.loads(sys.argv[2])
print(json.dumps(shadow_endpoint.signed(given, url, headers, body.encode(),
                                        dt.datetime.fromisoformat(moment))))
"""


def test_requests_are_signed_as_botocore_signs_them() -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    given = {
        "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token", "AWS_REGION": REGION,
    }  # fmt: skip
    url = "http://127.0.0.1:8080/endpoints/a-b/invocations"
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    done = subprocess.run(
        [environments.python("seed"), "-c", SIGN, SCRIPTS,
         json.dumps([given, url, headers, "1,2", moment.isoformat()])],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    signer = botocore.auth.SigV4Auth(
        botocore.credentials.Credentials("AKIA", "secret", "token"), "sagemaker", REGION
    )
    request = botocore.awsrequest.AWSRequest("POST", url, headers=headers, data=b"1,2")
    request.context["timestamp"] = f"{moment:%Y%m%dT%H%M%SZ}"
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    request.headers["X-Amz-Security-Token"] = "token"
    wanted = signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )
    assert json.loads(done.stdout)["authorization"].endswith(f"Signature={wanted}")
