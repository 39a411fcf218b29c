"""Model quality of batch transforms: labels put to what was predicted on files."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import environments
from tests.localcloud.jobs_world import BUCKET, XGBOOST, World, numbers, world
from tests.localcloud.kit import until
from tests.localcloud.monitoring_world import ANALYZER, config, execute, label, make_role, report
from tests.localcloud.retraining_hub import RetrainingHub

SCHEDULE = "acme-preprod-files-quality"
MODEL = "acme-preprod-files"
LATE = "late"
BASELINE = {
    "regression_constraints": {
        "rmse": {"threshold": 2.0, "comparison_operator": "GreaterThanThreshold"},
        "r2": {"threshold": 0.9, "comparison_operator": "LessThanThreshold"},
    }
}
ORACLE = """
import json, sys
from sklearn import metrics
labels, predictions = zip(*json.loads(sys.argv[1]))
print(json.dumps({"mae": metrics.mean_absolute_error(labels, predictions),
                  "mse": metrics.mean_squared_error(labels, predictions),
                  "rmse": metrics.root_mean_squared_error(labels, predictions),
                  "r2": metrics.r2_score(labels, predictions)}))
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("transforms")) as made:
        make_role(made)
        trained = made.train(MODEL, HyperParameters={"num_round": "60", "max_depth": "6"})
        artifact = trained["ModelArtifacts"]["S3ModelArtifacts"]
        made.sagemaker.create_model(
            ModelName=MODEL,
            ExecutionRoleArn=made.role,
            PrimaryContainer={"Image": XGBOOST, "ModelDataUrl": artifact},
            VpcConfig=made.vpc_config,
        )
        yield made


def definition(jobs: World, name: str, kind: str = "ModelQuality", **more: Any) -> dict[str, Any]:
    """What a definition over transforms is made of."""
    constraints = jobs.put(f"baselines/{name}/constraints.json", json.dumps(BASELINE))
    source = {
        "DataCapturedDestinationS3Uri": f"s3://{BUCKET}/captured",
        "DatasetFormat": {"Csv": {"Header": False}},
        "LocalPath": "/opt/ml/processing/input/transforms",
        "InferenceAttribute": "0",
        **more,
    }
    output = {"S3Uri": f"s3://{BUCKET}/reports/{name}", "LocalPath": "/opt/ml/processing/output"}
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10}
    app = {"ImageUri": ANALYZER, "Environment": {"MODEL_PACKAGE_ARN": "the-version"}}
    if kind == "ModelQuality":
        app["ProblemType"] = "Regression"
    else:
        app["ConfigUri"] = f"s3://{BUCKET}/baselines/{name}/config.json"
    return {
        "JobDefinitionName": name,
        f"{kind}AppSpecification": app,
        f"{kind}BaselineConfig": {"ConstraintsResource": {"S3Uri": constraints}},
        f"{kind}JobInput": {
            "BatchTransformInput": source,
            "GroundTruthS3Input": {"S3Uri": f"s3://{BUCKET}/labels"},
        },
        f"{kind}JobOutputConfig": {
            "KmsKeyId": jobs.key, "MonitoringOutputs": [{"S3Output": output}],
        },
        "JobResources": {"ClusterConfig": cluster},
        "NetworkConfig": {"VpcConfig": jobs.vpc_config, "EnableNetworkIsolation": True},
        "RoleArn": jobs.role.replace("role/jobs", "role/monitor"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def schedules(jobs: World) -> dict[str, str]:
    """Name -> ARN."""
    made: dict[str, str] = {}
    offsets = {"StartTimeOffset": "-PT2H", "EndTimeOffset": "-PT1H"}
    for name, more in ((SCHEDULE, {}), (LATE, offsets)):
        given = definition(jobs, name, **more)
        jobs.sagemaker.create_model_quality_job_definition(**given)
        told = jobs.sagemaker.describe_model_quality_job_definition(JobDefinitionName=name)
        assert {key: told[key] for key in given} == given
        made[name] = jobs.sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=name, MonitoringScheduleConfig=config("ModelQuality", name)
        )["MonitoringScheduleArn"]
    return made


Pairs = dict[str, tuple[float, float]]
"""An inference's id -> what is right, and what was predicted."""


def predict(jobs: World, name: str, seed: int, *, identified: bool = True) -> Pairs:
    """Predicts on two files of rows; without ids there are no pairs."""
    lines = [line.split(",", 1) for line in numbers(seed, 40).splitlines()]
    halves = {"a.csv": lines[:25], "more/b.csv": lines[25:]}
    for file, half in halves.items():
        jobs.put(f"{name}/{file}", "".join(f"{features}\n" for _, features in half))
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{name}/"}
    jobs.sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=MODEL,
        TransformInput={
            "DataSource": {"S3DataSource": source}, "ContentType": "text/csv", "SplitType": "Line",
        },
        TransformOutput={
            "S3OutputPath": f"s3://{BUCKET}/{name}-out", "KmsKeyId": jobs.key,
            "AssembleWith": "Line", "Accept": "text/csv",
        },
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        DataCaptureConfig={
            "DestinationS3Uri": f"s3://{BUCKET}/captured", "KmsKeyId": jobs.key,
            "GenerateInferenceId": identified,
        },
    )  # fmt: skip
    told = until(
        lambda: jobs.sagemaker.describe_transform_job(TransformJobName=name),
        lambda job: job["TransformJobStatus"] not in ("InProgress", "Stopping"),
    )
    assert told["TransformJobStatus"] == "Completed", told
    pairs: Pairs = {}
    for file, half in halves.items():
        text = jobs.get(f"s3://{BUCKET}/{name}-out/{file}.out").decode()
        for (right, _), row in zip(half, csv.reader(text.splitlines()), strict=True):
            if identified:
                pairs[row[1]] = (float(right), float(row[0]))
    return pairs


def measured(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """The metrics as scikit-learn computes them."""
    done = subprocess.run(
        [environments.python("seed"), "-c", ORACLE, json.dumps(pairs)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def values(told: dict[str, Any]) -> dict[str, float]:
    return {name: item["value"] for name, item in told["regression_metrics"].items()}


# The tests of this file tell one story, in this order.


def test_without_labels_there_is_no_verdict(jobs: World, schedules: dict[str, str]) -> None:
    (told,) = execute(jobs, schedules, SCHEDULE)
    assert told["FailureReason"] == "Job inputs had no data"
    predict(jobs, "early", 2)
    (told,) = execute(jobs, schedules, SCHEDULE)
    assert told["FailureReason"] == "Job inputs had no ground truth"


def test_quality_is_that_of_the_predictions_with_a_label_as_scikit_learn_measures_it(
    jobs: World, schedules: dict[str, str]
) -> None:
    pairs = predict(jobs, "usual", 7)
    # Nobody ever says what was right for these: they leave nothing to compare.
    predict(jobs, "unlabelled", 8)
    half = dict(list(pairs.items())[::2])
    label(jobs, "usual", {**{key: right for key, (right, _) in half.items()}, "nobody": 1e6})
    (told,) = execute(jobs, schedules, SCHEDULE)
    assert told["MonitoringExecutionStatus"] == "Completed", told
    assert "EndpointName" not in told
    found = report(jobs, told, "statistics.json")
    assert found["dataset"]["item_count"] == len(half) == 20
    assert values(found) == pytest.approx(measured(list(half.values())), rel=1e-6)
    assert report(jobs, told, "constraint_violations.json") == {"violations": []}
    metrics = jobs.client("cloudwatch").list_metrics(
        Namespace="aws/sagemaker/ModelMonitoring/model-metrics", MetricName="rmse"
    )["Metrics"]
    assert [metric["Dimensions"] for metric in metrics] == [
        [{"Name": "MonitoringSchedule", "Value": SCHEDULE}]
    ]


def test_labels_that_drifted_are_a_violation_and_start_one_retraining(
    jobs: World, schedules: dict[str, str]
) -> None:
    hub = RetrainingHub(jobs.cloud, "files")
    jobs.client("cloudwatch").put_metric_alarm(
        AlarmName="files", Namespace="aws/sagemaker/ModelMonitoring/model-metrics",
        MetricName="rmse", Dimensions=[{"Name": "MonitoringSchedule", "Value": SCHEDULE}],
        Statistic="Maximum", Period=3600, EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold", Threshold=2.0,
    )  # fmt: skip
    before = len(hub.runs())
    for name, seed in (("drifted", 9), ("drifted-more", 10)):
        # What is right has changed: the model predicts as before.
        pairs = {key: (-right, told) for key, (right, told) in predict(jobs, name, seed).items()}
        label(jobs, name, {key: right for key, (right, _) in pairs.items()})
        (told,) = execute(jobs, schedules, SCHEDULE)
        assert told["MonitoringExecutionStatus"] == "CompletedWithViolations", told
        found = report(jobs, told, "constraint_violations.json")["violations"]
        assert {item["metric_name"] for item in found} == {"rmse", "r2"}
        quality = report(jobs, told, "statistics.json")
        # Each row once: what was looked at before is not looked at again.
        assert quality["dataset"]["item_count"] == 40
        assert values(quality) == pytest.approx(measured(list(pairs.values())), rel=1e-6)
    until(hub.outcomes, lambda told: len(told) == 2)
    assert sorted(hub.outcomes()) == ["already", "started"]
    assert len(hub.runs()) == before + 1
    alarm = jobs.client("cloudwatch").describe_alarms(AlarmNames=["files"])["MetricAlarms"][0]
    assert alarm["StateValue"] == "ALARM"


def test_labels_may_come_later(jobs: World, schedules: dict[str, str]) -> None:
    # It is too early for what was predicted just now.
    (told,) = execute(jobs, schedules, LATE)
    assert told["FailureReason"] == "Job inputs had no data"


def test_predictions_without_ids_cannot_be_compared(jobs: World, schedules: dict[str, str]) -> None:
    predict(jobs, "nameless", 11, identified=False)
    (told,) = execute(jobs, schedules, SCHEDULE)
    assert told["MonitoringExecutionStatus"] == "Failed"
    assert "a.csv.out has a row of 1 columns" in told["FailureReason"]


def test_bias_of_transforms_is_refused_by_name(jobs: World) -> None:
    with pytest.raises(ClientError, match="inputs of batch transform jobs"):
        jobs.sagemaker.create_model_bias_job_definition(**definition(jobs, "bias", "ModelBias"))
