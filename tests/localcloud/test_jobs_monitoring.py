"""Monitoring schedules really compare captured traffic with a baseline, and tell what drifted."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import environments
from tests.localcloud.emulators import DEV, REGION
from tests.localcloud.jobs_world import BUCKET, TRUST, World, given, numbers, world
from tests.localcloud.kit import until
from tests.localcloud.monitoring_world import (
    ANALYZER,
    CLARIFY,
    ENDPOINT,
    SCRIPTS,
    captured,
    config,
    execute,
    make_endpoint,
    make_role,
    report,
)
from tests.localcloud.retraining_hub import RetrainingHub

SCHEDULE = f"{ENDPOINT}-drift"
DEFINITION = f"{SCHEDULE}-1"
AGREES = Path(__file__).with_name("analyzers_agreement.py")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("monitoring")) as made:
        yield made


@pytest.fixture(scope="module")
def monitor(jobs: World) -> str:
    return make_role(jobs)


def analysis(
    jobs: World,
    name: str,
    image: str,
    inputs: dict[str, str],
    *,
    input_names: Sequence[str] = ("0", "1"),
    output_names: Sequence[str] = ("result",),
    **environment: str,
) -> dict[str, Any]:
    jobs.sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=jobs.role,
        AppSpecification={"ImageUri": image},
        Environment=environment,
        ProcessingResources={
            "ClusterConfig": {
                "InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10,
            }
        },
        ProcessingInputs=[
            given(called, uri, f"/opt/ml/processing/{folder}")
            for called, (folder, uri) in zip(input_names, inputs.items(), strict=False)
        ],
        ProcessingOutputConfig={
            "KmsKeyId": jobs.key,
            "Outputs": [
                {
                    "OutputName": called,
                    "S3Output": {
                        "S3Uri": f"s3://{BUCKET}/baselines/{name}",
                        "LocalPath": "/opt/ml/processing/output",
                        "S3UploadMode": "EndOfJob",
                    },
                }
                for called in output_names
            ],
        },
        NetworkConfig={"VpcConfig": jobs.vpc_config, "EnableNetworkIsolation": True},
    )  # fmt: skip
    return jobs.wait_processing(name)


def monitored(**more: str) -> dict[str, str]:
    return {
        "dataset_format": json.dumps({"csv": {"header": True}}),
        "dataset_source": "/opt/ml/processing/input",
        "output_path": "/opt/ml/processing/output",
        "publish_cloudwatch_metrics": "Disabled",
        **more,
    }


@pytest.fixture(scope="module")
def baseline(jobs: World) -> str:
    """Where the baseline of the training set lies."""
    lines = ["prediction,a,b", *numbers(1, 400).splitlines()]
    table = jobs.put("tables/data/data.csv", "\n".join(lines))
    job = analysis(jobs, "data", ANALYZER, {"input": table}, **monitored())
    assert job["ProcessingJobStatus"] == "Completed", job
    return f"s3://{BUCKET}/baselines/data"


@pytest.fixture(scope="module")
def endpoint(jobs: World) -> str:
    return make_endpoint(jobs)


TRAFFIC: dict[str, Any] = {
    "EndpointInput": {
        "EndpointName": ENDPOINT, "LocalPath": "/opt/ml/processing/input/endpoint",
    }
}  # fmt: skip


def definition(
    jobs: World,
    monitor: str,
    baseline: str,
    name: str = DEFINITION,
    source: Any = TRAFFIC,
    **app: str,
) -> None:
    jobs.sagemaker.create_data_quality_job_definition(
        JobDefinitionName=name,
        DataQualityAppSpecification={
            "ImageUri": ANALYZER, "Environment": {"MODEL_PACKAGE_ARN": name}, **app,
        },
        DataQualityBaselineConfig={
            "ConstraintsResource": {"S3Uri": f"{baseline}/constraints.json"},
            "StatisticsResource": {"S3Uri": f"{baseline}/statistics.json"},
        },
        DataQualityJobInput=source,
        DataQualityJobOutputConfig={
            "KmsKeyId": jobs.key,
            "MonitoringOutputs": [
                {
                    "S3Output": {
                        "S3Uri": f"s3://{BUCKET}/reports", "LocalPath": "/opt/ml/processing/out",
                    }
                }
            ],
        },
        JobResources={
            "ClusterConfig": {
                "InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10,
            }
        },
        NetworkConfig={"VpcConfig": jobs.vpc_config, "EnableNetworkIsolation": True},
        RoleArn=monitor,
    )  # fmt: skip


@pytest.fixture(scope="module")
def schedule(jobs: World, monitor: str, baseline: str, endpoint: str) -> str:
    """A schedule over the endpoint; its ARN."""
    definition(jobs, monitor, baseline)
    return jobs.sagemaker.create_monitoring_schedule(
        MonitoringScheduleName=SCHEDULE,
        MonitoringScheduleConfig=config("DataQuality", DEFINITION),
    )["MonitoringScheduleArn"]


def ask(jobs: World, rows: list[str], at_once: int = 50) -> None:
    """Asks the endpoint, some records a request, until all of it was captured."""
    before, requests = len(captured(jobs)), 0
    for start in range(0, len(rows), at_once):
        jobs.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=ENDPOINT, Body="\n".join(rows[start : start + at_once]),
            ContentType="text/csv",
        )  # fmt: skip
        requests += 1
    until(lambda: captured(jobs), lambda lines: len(lines) == before + requests)


def features(seed: int, rows: int) -> list[str]:
    return [line.partition(",")[2] for line in numbers(seed, rows).splitlines()]


def run(jobs: World, schedule: str) -> dict[str, Any]:
    """Runs the schedule now, to the end; the execution's summary."""
    name = schedule.rpartition("/")[2]
    (told,) = execute(jobs, {name: schedule}, name)
    return told


def violations(jobs: World, told: dict[str, Any]) -> list[dict[str, str]]:
    try:
        return report(jobs, told, "constraint_violations.json")["violations"]
    except ClientError:
        return []


def test_traffic_like_the_training_set_violates_nothing(jobs: World, schedule: str) -> None:
    ask(jobs, features(7, 400))
    told = run(jobs, schedule)
    assert told["MonitoringExecutionStatus"] == "Completed", (told, violations(jobs, told))
    assert violations(jobs, told) == []


def test_other_traffic_is_told_by_column_alarm_event_and_execution(
    jobs: World, schedule: str
) -> None:
    events, sqs = jobs.client("events"), jobs.client("sqs")
    queue = sqs.create_queue(QueueName="drift")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{DEV}:drift"
    rule = events.put_rule(
        Name="drift",
        EventPattern=json.dumps(
            {
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Processing Job State Change"],
                "detail": {
                    "MonitoringScheduleArn": [schedule],
                    "ExitMessage": [{"prefix": "CompletedWithViolations"}],
                    "ProcessingJobStatus": ["Completed"],
                },
            }
        ),
    )["RuleArn"]
    allowed = {
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    events.put_targets(Rule="drift", Targets=[{"Id": "queue", "Arn": arn}])
    jobs.client("cloudwatch").put_metric_alarm(
        AlarmName="drift",
        Namespace="aws/sagemaker/Endpoints/data-metrics",
        MetricName="feature_baseline_drift_a",
        Dimensions=[
            {"Name": "Endpoint", "Value": ENDPOINT},
            {"Name": "MonitoringSchedule", "Value": SCHEDULE},
        ],
        Statistic="Maximum", Period=3600, EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold", Threshold=0.1,
    )  # fmt: skip
    ask(jobs, shifted(3))
    told = run(jobs, schedule)
    assert told["MonitoringExecutionStatus"] == "CompletedWithViolations"
    drifted = {
        item["feature_name"]: item["constraint_check_type"] for item in violations(jobs, told)
    }
    assert drifted["a"] == "baseline_drift_check"
    assert "b" not in drifted
    (message,) = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    detail = json.loads(message["Body"])["detail"]
    assert detail["MonitoringScheduleArn"] == schedule
    assert detail["Environment"]["MODEL_PACKAGE_ARN"] == DEFINITION
    found = jobs.client("cloudwatch").describe_alarms(AlarmNames=["drift"])["MetricAlarms"][0]
    assert found["StateValue"] == "ALARM"
    listed = jobs.sagemaker.list_monitoring_executions(
        MonitoringScheduleName=SCHEDULE, StatusEquals="CompletedWithViolations"
    )["MonitoringExecutionSummaries"]
    assert [item["ProcessingJobArn"] for item in listed] == [told["ProcessingJobArn"]]


def shifted(seed: int) -> list[str]:
    made = random.Random(seed)  # noqa: S311 -- the same numbers every time
    return [f"{made.uniform(5, 15):.4f},{made.uniform(0, 10):.4f}" for _ in range(400)]


def test_drift_starts_one_retraining_however_often_it_is_found(
    jobs: World, schedule: str, monitor: str, baseline: str
) -> None:
    hub = RetrainingHub(jobs.cloud, "numbers")
    before = len(hub.runs())
    for seed, outcomes in ((11, ["started"]), (12, ["started", "already"])):
        ask(jobs, shifted(seed))
        assert run(jobs, schedule)["MonitoringExecutionStatus"] == "CompletedWithViolations"
        until(hub.outcomes, lambda told, wanted=outcomes: sorted(told) == sorted(wanted))
        assert len(hub.runs()) == before + 1
    # The next version has a baseline of its own, of which nothing was started yet.
    definition(jobs, monitor, baseline, f"{SCHEDULE}-other")
    serve_by(jobs, f"{SCHEDULE}-other")
    ask(jobs, shifted(13))
    run(jobs, schedule)
    until(hub.outcomes, lambda told: len(told) == 3)
    assert sorted(hub.outcomes()) == ["already", "started", "started"]
    assert len(hub.runs()) == before + 2
    serve_by(jobs, DEFINITION)
    # Traffic as it should be starts nothing.
    ask(jobs, features(9, 400))
    assert run(jobs, schedule)["MonitoringExecutionStatus"] == "Completed"
    assert jobs.cloud.control("GET", "undelivered") == []
    assert len(hub.runs()) == before + 2


def serve_by(jobs: World, name: str) -> None:
    """Another version serves: the schedule has the definition with its baseline."""
    jobs.sagemaker.update_monitoring_schedule(
        MonitoringScheduleName=SCHEDULE,
        MonitoringScheduleConfig=config("DataQuality", name),
    )


def test_what_was_analyzed_is_not_analyzed_again_and_nothing_is_no_success(
    jobs: World, schedule: str
) -> None:
    told = run(jobs, schedule)
    assert told["MonitoringExecutionStatus"] == "Failed"
    assert told["FailureReason"] == "Job inputs had no data"


def test_another_baseline_is_another_definition_under_the_same_schedule(
    jobs: World, schedule: str, monitor: str, baseline: str
) -> None:
    definition(jobs, monitor, baseline, f"{SCHEDULE}-2")
    with pytest.raises(ClientError, match="is used by"):
        jobs.sagemaker.delete_data_quality_job_definition(JobDefinitionName=DEFINITION)
    jobs.sagemaker.update_monitoring_schedule(
        MonitoringScheduleName=SCHEDULE,
        MonitoringScheduleConfig=config("DataQuality", f"{SCHEDULE}-2", "cron(0 3 ? * * *)"),
    )
    jobs.sagemaker.delete_data_quality_job_definition(JobDefinitionName=DEFINITION)
    assert schedule in jobs.cloud.control("GET", "schedules")


def test_a_role_that_may_not_read_the_traffic_gets_no_report(
    jobs: World, schedule: str, baseline: str
) -> None:
    ask(jobs, features(8, 10))
    definition(jobs, jobs.cloud.role("blind", trust=TRUST), baseline, "blind")
    serve_by(jobs, "blind")
    told = run(jobs, schedule)
    assert told["MonitoringExecutionStatus"] == "Failed"
    assert "role/blind" in told["FailureReason"]


@pytest.mark.parametrize("expression", ["rate(1 hour)", "cron(30 * ? * * *)", "often"])
def test_schedules_that_model_monitor_does_not_take_are_refused(
    jobs: World, schedule: str, expression: str
) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        jobs.sagemaker.create_monitoring_schedule(
            MonitoringScheduleName="other",
            MonitoringScheduleConfig=config("DataQuality", f"{SCHEDULE}-2", expression),
        )


def test_what_is_not_served_is_refused_by_name(jobs: World, schedule: str) -> None:
    with pytest.raises(ClientError, match=r"MonitoringType.* enum value set"):
        jobs.sagemaker.create_monitoring_schedule(
            MonitoringScheduleName="other",
            MonitoringScheduleConfig=config("Everything", f"{SCHEDULE}-2"),
        )


# What is no table.

SHIFT = """
import json

def preprocess_handler(inference_record, logger):
    # Isolated, as the job is: nothing but the record is there.
    logger.info(inference_record.event_metadata.event_id)
    a, b = map(float, inference_record.endpoint_input.data.split(","))
    answer = float(inference_record.endpoint_output.data)
    return {"b": b, "prediction": answer, "a": a + 100}
"""


def test_a_preprocessing_script_makes_the_columns_that_are_compared(
    jobs: World, schedule: str, monitor: str, baseline: str
) -> None:
    script = jobs.put("scripts/shift.py", SHIFT)
    scripted = {"RecordPreprocessorSourceUri": script}
    definition(jobs, monitor, baseline, f"{SCHEDULE}-scripted", **scripted)
    serve_by(jobs, f"{SCHEDULE}-scripted")
    ask(jobs, features(7, 60), at_once=1)
    told = run(jobs, schedule)
    assert told["MonitoringExecutionStatus"] == "CompletedWithViolations", told
    found = [(item["feature_name"], item["constraint_check_type"]) for item in
             violations(jobs, told)]  # fmt: skip
    assert found == [("a", "baseline_drift_check")]
    with pytest.raises(ClientError, match="preprocessing scripts"):
        definition(jobs, monitor, baseline, "refused", TRANSFORMS, **scripted)
    with pytest.raises(ClientError, match="postprocessing scripts"):
        definition(jobs, monitor, baseline, "refused", PostAnalyticsProcessorSourceUri=script)


FAULTS = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import captured_records

folder = Path(sys.argv[2])
moment = "2026-01-01T00:00:0{}Z"
side = {"data": "1", "encoding": "CSV"}
lines = [json.dumps({"captureData": {"endpointInput": side, "endpointOutput": side},
                     "eventMetadata": {"eventId": str(n), "inferenceTime": moment.format(n)}})
         for n in range(4)]
(folder / "records.jsonl").write_text("\\n".join(lines))
told = {}
for name, body in {
    "none": "", "broken": "def", "fails": "def preprocess_handler(r): return r.data",
    "nested": "def preprocess_handler(r): return {'a': [1]}",
    "other": "def preprocess_handler(r): return {r.event_metadata.event_id: 1}",
    "good": "def preprocess_handler(r): return {'b': r.endpoint_input.data, 'a': None}",
}.items():
    script = folder / f"{name}.py"
    script.write_text(body)
    try:
        told[name] = captured_records.preprocessed(
            [folder / "records.jsonl"], script, (moment.format(1), moment.format(3)))
    except captured_records.UserError as error:
        told[name] = str(error)
print(json.dumps(told))
"""


def test_a_script_that_is_no_good_is_told_with_its_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [environments.python("seed"), "-c", FAULTS, SCRIPTS, tmp_path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    # A row of each record of the time, its columns in the order of their names.
    assert told.pop("good") == [["a", "b"], [["", "1"], ["", "1"]]]
    for name, words in {
        "none": "has no preprocess_handler", "broken": "cannot be loaded", "fails": "failed on a",
        "nested": "expected one flat object", "other": "after ['1']: expected the same",
    }.items():  # fmt: skip
        assert f"{name}.py" in told[name]
        assert words in told[name]


# Batch transforms.

CAPTURED = f"s3://{BUCKET}/captured"
TRANSFORMS: dict[str, Any] = {
    "BatchTransformInput": {
        "DataCapturedDestinationS3Uri": CAPTURED,
        "DatasetFormat": {"Csv": {"Header": False}},
        "LocalPath": "/opt/ml/processing/input/transforms",
    }
}


def transform(jobs: World, name: str, rows: list[str], **capture: Any) -> dict[str, Any]:
    """Predicts on two files of rows, and captures it."""
    half = len(rows) // 2
    jobs.put(f"{name}/a.csv", "\n".join(rows[:half]))
    jobs.put(f"{name}/more/b.csv", "\n".join(rows[half:]))
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{name}"}
    jobs.sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=ENDPOINT,
        TransformInput={
            "DataSource": {"S3DataSource": source}, "ContentType": "text/csv", "SplitType": "Line",
        },
        TransformOutput={
            "S3OutputPath": f"s3://{BUCKET}/{name}-out", "KmsKeyId": jobs.key,
            "AssembleWith": "Line",
        },
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        DataCaptureConfig={"DestinationS3Uri": CAPTURED, "KmsKeyId": jobs.key, **capture},
    )  # fmt: skip
    return until(
        lambda: jobs.sagemaker.describe_transform_job(TransformJobName=name),
        lambda job: job["TransformJobStatus"] not in ("InProgress", "Stopping"),
    )


def test_what_transforms_were_given_is_captured_as_manifests_and_compared_with_a_baseline(
    jobs: World, monitor: str, endpoint: str
) -> None:
    table = jobs.put("tables/asked/asked.csv", "\n".join(["a,b", *features(1, 400)]))
    job = analysis(jobs, "asked", ANALYZER, {"input": table}, **monitored())
    assert job["ProcessingJobStatus"] == "Completed", job
    name = "acme-preprod-files-drift"
    definition(jobs, monitor, f"s3://{BUCKET}/baselines/asked", f"{name}-1", TRANSFORMS)
    schedule = jobs.sagemaker.create_monitoring_schedule(
        MonitoringScheduleName=name,
        MonitoringScheduleConfig=config("DataQuality", f"{name}-1"),
    )["MonitoringScheduleArn"]
    jobs.client("cloudwatch").put_metric_alarm(
        AlarmName="files",
        Namespace="aws/sagemaker/ModelMonitoring/data-metrics",
        MetricName="feature_baseline_drift_a",
        Dimensions=[{"Name": "MonitoringSchedule", "Value": name}],
        Statistic="Maximum", Period=3600, EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold", Threshold=0.1,
    )  # fmt: skip
    nothing = run(jobs, schedule)
    assert nothing["FailureReason"] == "Job inputs had no data"
    told = transform(jobs, "usual", features(7, 400))
    assert told["TransformJobStatus"] == "Completed", told
    found = {
        item["Key"]: json.loads(jobs.get(f"s3://{BUCKET}/{item['Key']}"))
        for item in jobs.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="captured/")["Contents"]
    }
    hour = f"{told['TransformStartTime']:%Y/%m/%d/%H}"
    assert {key.rpartition("/")[0]: manifest for key, manifest in found.items()} == {
        f"captured/input/{hour}": [
            {"prefix": f"s3://{BUCKET}/usual/"}, "a.csv", "more/b.csv",
        ],
        f"captured/output/{hour}": [
            {"prefix": f"s3://{BUCKET}/usual-out/"}, "a.csv.out", "more/b.csv.out",
        ],
    }  # fmt: skip
    usual = run(jobs, schedule)
    assert usual["MonitoringExecutionStatus"] == "Completed", (usual, violations(jobs, usual))
    assert "EndpointName" not in usual
    ran = jobs.sagemaker.describe_processing_job(
        ProcessingJobName=usual["ProcessingJobArn"].rpartition("/")[2]
    )
    assert ran["Environment"]["monitoring_input_type"] == "BATCH_TRANSFORM_INPUT"
    (output,) = ran["ProcessingOutputConfig"]["Outputs"]
    statistics = json.loads(jobs.get(f"{output['S3Output']['S3Uri']}/statistics.json"))
    # Each row once: what the run before looked at is not looked at again.
    assert statistics["dataset"]["item_count"] == 400
    alarm = jobs.client("cloudwatch").describe_alarms(AlarmNames=["files"])["MetricAlarms"][0]
    assert alarm["StateValue"] == "OK"
    transform(jobs, "unusual", shifted(3))
    drifted = run(jobs, schedule)
    assert drifted["MonitoringExecutionStatus"] == "CompletedWithViolations"
    assert {item["feature_name"] for item in violations(jobs, drifted)} == {"a"}
    alarm = jobs.client("cloudwatch").describe_alarms(AlarmNames=["files"])["MetricAlarms"][0]
    assert alarm["StateValue"] == "ALARM"
    listed = jobs.sagemaker.list_monitoring_schedules(NameContains="files")
    (summary,) = listed["MonitoringScheduleSummaries"]
    assert "EndpointName" not in summary


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({**TRAFFIC, **TRANSFORMS}, "either EndpointInput or BatchTransformInput"),
        (
            {"BatchTransformInput": {
                **TRANSFORMS["BatchTransformInput"], "DatasetFormat": {"Parquet": {}},
            }},
            "batch transforms of Parquet",
        ),
    ],
)  # fmt: skip
def test_what_of_transforms_is_not_served_is_refused_by_name(
    jobs: World, monitor: str, source: dict[str, Any], told: str
) -> None:
    with pytest.raises(ClientError, match=told):
        definition(jobs, monitor, f"s3://{BUCKET}/baselines/asked", "refused", source)


# The analyzers against libraries that compute the same.


def test_the_analyzers_agree_with_pandas_scipy_and_scikit_learn() -> None:
    done = subprocess.run(
        [environments.python("seed"), AGREES, SCRIPTS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "agreed\n", done.stdout + done.stderr


NOTICES = """
import json, sys
sys.path.insert(0, sys.argv[1])
import model_monitor as monitor

def table(rows, names=("a", "b")):
    return monitor.Table(tuple(names), [list(column) for column in zip(*rows)])

before = table([(str(n), "yx"[n % 2]) for n in range(200)])
features = [monitor.describe(n, c) for n, c in zip(before.names, before.columns)]
statistics = {"features": features}
constraints = {"features": [monitor.suggest(f) for f in features]}
cases = {
    "same": before,
    "missing values": table([("" if n % 2 else str(n), "xy"[n % 2]) for n in range(200)]),
    "other type": table([(f"{n}.5", "xy"[n % 2]) for n in range(200)]),
    "other text": table([(str(n), "xz"[n % 2]) for n in range(200)]),
    "shift": table([(str(n + 90), "xy"[n % 2]) for n in range(200)]),
    "one column": monitor.Table((), [before.columns[0]]),
    "three columns": monitor.Table((), [*before.columns, before.columns[0]]),
    "not named": monitor.Table((), before.columns),
}
print(json.dumps({name: sorted({v["constraint_check_type"] for v in
                                monitor.compare(case, statistics, constraints)[0]})
                  for name, case in cases.items()}))
"""


def test_each_rule_notices_its_own_fault_and_no_other() -> None:
    done = subprocess.run(
        [environments.python("seed"), "-c", NOTICES, SCRIPTS],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {
        "same": [],
        "missing values": ["completeness_check"],
        "other type": ["data_type_check"],
        "other text": ["baseline_drift_check", "categorical_values_check"],
        "shift": ["baseline_drift_check"],
        "one column": ["missing_column_check"],
        "three columns": ["extra_column_check"],
        "not named": [],
    }


def test_worse_quality_than_the_baselines_is_a_violation(jobs: World) -> None:
    header, made = "label,prediction", random.Random(4)  # noqa: S311 -- the same numbers
    labels = [made.gauss(0, 1) for _ in range(200)]
    results = []
    for name, noise in (("good", 0.1), ("bad", 0.5)):
        rows = [header, *(f"{y},{y + made.gauss(0, noise)}" for y in labels)]
        table = jobs.put(f"tables/{name}/data.csv", "\n".join(rows))
        inputs = {"input": table}
        more = {
            "analysis_type": "MODEL_QUALITY",
            "problem_type": "Regression",
            "ground_truth_attribute": "label",
            "inference_attribute": "prediction",
        }
        if results:
            inputs["baseline"] = f"s3://{BUCKET}/baselines/good/constraints.json"
            more["baseline_constraints"] = "/opt/ml/processing/baseline/constraints.json"
        results.append(analysis(jobs, name, ANALYZER, inputs, **monitored(**more)))
    assert [job["ProcessingJobStatus"] for job in results] == ["Completed", "Completed"]
    assert results[0]["ExitMessage"].startswith("Completed:")
    assert results[1]["ExitMessage"].startswith("CompletedWithViolations")
    found = json.loads(jobs.get(f"s3://{BUCKET}/baselines/bad/constraint_violations.json"))
    assert {item["metric_name"] for item in found["violations"]} == {"mae", "mse", "rmse", "r2"}


CLARIFY_INPUTS, CLARIFY_OUTPUT = ("analysis_config", "dataset"), ("analysis_result",)


def bias_analysis(
    jobs: World, name: str, methods: dict[str, Any], inputs: Sequence[str], outputs: Sequence[str]
) -> dict[str, Any]:
    facet = {"name_or_index": "b", "value_or_threshold": ["y"]}
    about = {"headers": ["a", "b"], "label": "a", "label_values_or_threshold": [1]}
    config = jobs.put(
        "tables/bias/analysis_config.json",
        json.dumps({**about, "facet": [facet], "methods": methods}),
    )
    data = jobs.put("tables/rows/rows.csv", "1,x\n2,y\n1,y\n")
    return analysis(
        jobs,
        name,
        CLARIFY,
        {"input/config": config, "input/data": data},
        input_names=inputs,
        output_names=outputs,
    )


def test_clarify_refuses_what_it_does_not_serve(jobs: World) -> None:
    job = bias_analysis(jobs, "pdp", {"pdp": {}}, CLARIFY_INPUTS, CLARIFY_OUTPUT)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "serves no pdp" in job["ExitMessage"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "told"),
    [
        (CLARIFY_INPUTS, CLARIFY_OUTPUT, ""),
        (
            ("config", "dataset"),
            CLARIFY_OUTPUT,
            "There is no input named analysis_config; there are: config, dataset.",
        ),
        (
            ("analysis_config", "data"),
            CLARIFY_OUTPUT,
            "There is no input named dataset; there are: analysis_config, data.",
        ),
        (
            CLARIFY_INPUTS,
            ("baseline-bias",),
            "There is no output named analysis_result; there are: baseline-bias.",
        ),
        (
            CLARIFY_INPUTS,
            ("analysis_result", "more"),
            "The only output is analysis_result; there are: analysis_result, more.",
        ),
    ],
)
def test_clarify_takes_inputs_and_output_by_their_names_only(
    jobs: World, inputs: Sequence[str], outputs: Sequence[str], told: str
) -> None:
    name = "-".join((*inputs, *outputs)).replace("_", "-")
    methods = {"pre_training_bias": {"methods": ["CI"]}}
    job = bias_analysis(jobs, name, methods, inputs, outputs)
    assert job["ProcessingJobStatus"] == ("Failed" if told else "Completed")
    assert told in job["ExitMessage"]
    if not told:
        found = json.loads(jobs.get(f"s3://{BUCKET}/baselines/{name}/analysis.json"))
        assert found["pre_training_bias_metrics"]["facets"]["b"]
