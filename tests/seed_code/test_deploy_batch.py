"""Batch predictions from the documented command to the manifest: the real engine, jobs that run.

The roles of the target are those that a project is vended with; the hub's function is a stand-in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from components import iam
from components.events import queue_statements
from components.projects import batch
from localcloud.emulator.callers import through_vpc_endpoint
from tests.localcloud.emulators import HUB, Cloud, checkout, running
from tests.localcloud.jobs_world import network
from tests.localcloud.kit import until
from tests.localcloud.monitoring_world import ground_truth
from tests.seed_code.batch_account import make_bucket, make_roles
from tests.seed_code.deploy_repository import render
from tests.seed_code.test_deploy_engine import (
    HOURLY,
    NAMES,
    PLACEMENT,
    TARGET,
    Pipeline,
    described,
    prepare_hub,
    trained,
    variables,
)

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROJECT = "abalone"
BUCKET = batch.bucket_name(NAMES, PROJECT)
PIPELINE = "acme-preprod-abalone-batch"
DRIFT, MEASURED = "acme-preprod-abalone-drift", "acme-preprod-abalone-quality"
ROW = "0,0,1,0.455,0.365,0.095,0.514,0.2245,0.101,0.15"


def prepare_target(cloud: Cloud) -> None:
    """What the platform publishes, and what the project is vended with there."""
    _, subnets, group = network(
        cloud.client("ec2", TARGET), ("s3", "logs", "monitoring", "ecr.api", "ecr.dkr", "kms")
    )
    key = cloud.client("kms", TARGET).create_key()["KeyMetadata"]["Arn"]
    make_bucket(cloud, NAMES, PROJECT, key)
    make_roles(cloud, PLACEMENT, "preprod", PROJECT, key=key, subnets=subnets, security_group=group)
    topic = cloud.client("sns", TARGET).create_topic(Name="acme-preprod-alerts")["TopicArn"]
    sqs, missed = cloud.client("sqs", TARGET), batch.queue_name(NAMES, PROJECT)
    sqs.create_queue(
        QueueName=missed,
        Attributes={
            "Policy": iam.render(queue_statements(NAMES, missed, batch.rule_arns(NAMES, PROJECT)))
        },
    )
    for path, value in {
        "vpc/private-subnet-ids": ",".join(subnets),
        "vpc/security-group-ids": group,
        "kms/storage/arn": key,
        "kms/data/arn": key,
        "alerts/topic-arn": topic,
    }.items():
        cloud.client("ssm", TARGET).put_parameter(
            Name=NAMES.parameter(path), Value=value, Type="String"
        )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    root = tmp_path_factory.mktemp("batch")
    with running(checkout(root / "cloud"), {"governance": HUB, "preprod": TARGET}) as cloud:
        prepare_hub(cloud)
        prepare_target(cloud)
        repository = render(root / "repository", template="xgboost-batch")
        made = Pipeline(repository, cloud, variables(cloud, root))
        model = trained(root, 1)
        # Of files, so without predictions; the rows here are of other numbers.
        lines = [",".join(f"f{n}" for n in range(10))]
        lines += [",".join([*(f"0.{n + k:03}" for k in range(9)), str(n)]) for n in range(50)]
        (root / "model-0.ubj.csv").write_text("\n".join(lines))
        made.baselines = described(root, 0)
        for _ in range(2):
            made.register(model)
        yield made


def executions(pipeline: Pipeline) -> list[dict[str, Any]]:
    """All runs, the newest last."""
    found = pipeline.target("sagemaker").list_pipeline_executions(
        PipelineName=PIPELINE, SortOrder="Ascending"
    )
    return found["PipelineExecutionSummaries"]


def begun(pipeline: Pipeline, before: int) -> dict[str, Any]:
    """The run that comes after so many."""
    return until(lambda: executions(pipeline)[before:], bool)[0]


def next_run(pipeline: Pipeline, before: int) -> dict[str, Any]:
    """The run that comes after so many, once it has ended."""
    return until(
        lambda: begun(pipeline, before),
        lambda run: run["PipelineExecutionStatus"] not in ("Executing", "Stopping"),
        120,
    )


def manifest(pipeline: Pipeline, run: dict[str, Any]) -> dict[str, Any]:
    key = f"runs/{run['PipelineExecutionArn'].rpartition('/')[2]}/manifest/manifest.json"
    return json.loads(read(pipeline, f"s3://{BUCKET}/{key}"))


def read(pipeline: Pipeline, uri: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return inside(pipeline).get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def put(pipeline: Pipeline, key: str, body: str) -> None:
    # Files are delivered from anywhere, and everything else is put from inside of the network.
    s3 = pipeline.target("s3") if key.startswith("input/") else inside(pipeline)
    s3.put_object(Bucket=BUCKET, Key=key, Body=body.encode())


def inside(pipeline: Pipeline) -> Any:
    """S3 as the target's administrator through the VPC's endpoint."""
    [endpoint] = [
        item["VpcEndpointId"]
        for item in pipeline.target("ec2").describe_vpc_endpoints()["VpcEndpoints"]
        if item["ServiceName"].endswith(".s3")
    ]
    return through_vpc_endpoint(pipeline.target("s3"), endpoint)


# The tests of this file tell one story, in this order.


def test_implausible_predictions_fail_the_deployment_and_the_run(pipeline: Pipeline) -> None:
    given = pipeline.settings["batch"]
    pipeline.configure(batch={**given, "highest": 1})
    said = pipeline.deploy(pipeline.versions[1], code=1)
    told = said.split("Failed (RolledBack)")[1]
    assert "test_each_row_gets_a_plausible_prediction" in told
    failed = executions(pipeline)[0]
    assert "step CheckOutput: " in failed["PipelineExecutionFailureReason"]
    # The job failed, and what it found is there all the same.
    found = manifest(pipeline, failed)
    assert found["accepted"] is False
    assert "not within 0 and 1" in found["problems"][0]
    jobs = pipeline.target("sagemaker")
    [job] = jobs.list_processing_jobs(NameContains="-CheckOutput-")["ProcessingJobSummaries"]
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["ExitMessage"].startswith("The output is refused: ")
    assert "not within 0 and 1" in job["ExitMessage"]


def test_the_earlier_version_comes_back_whatever_was_changed_behind_its_back(
    pipeline: Pipeline,
) -> None:
    events, sagemaker = pipeline.target("events"), pipeline.target("sagemaker")
    events.disable_rule(Name="acme-preprod-abalone-schedule")
    pipeline.configure(
        batch={**pipeline.settings["batch"], "highest": 40},
        monitoring={
            "schedule": HOURLY,
            "columns": ["f0"],
            "quality": {"schedule": HOURLY, "limits": {"rmse": 2}},
        },
    )
    said = pipeline.deploy(pipeline.versions[0], kind="retreat")
    assert "2 passed" in said
    assert f"Live: {pipeline.versions[0]} in preprod" in said
    assert {rule["State"] for rule in events.list_rules()["Rules"]} == {"ENABLED"}
    [model] = sagemaker.list_models()["Models"]
    container = sagemaker.describe_model(ModelName=model["ModelName"])["PrimaryContainer"]
    assert container["ModelPackageName"] == pipeline.versions[0]
    definition = sagemaker.describe_pipeline(PipelineName=PIPELINE)["PipelineDefinition"]
    assert model["ModelName"] in definition
    assert sagemaker.list_endpoints()["Endpoints"] == []
    found = sagemaker.list_tags(ResourceArn=NAMES.arn("sagemaker", f"pipeline/{PIPELINE}"))["Tags"]
    assert {"Key": "sagemaker:project-name", "Value": PROJECT} in found


def test_files_are_predicted_on_as_they_arrive_and_by_the_schedule(pipeline: Pipeline) -> None:
    before = len(executions(pipeline))
    put(pipeline, "elsewhere/day 0.csv", ROW)
    put(pipeline, "input/day 1.csv", f"{ROW}\n\n{ROW}\r\n{ROW}")
    begun(pipeline, before)
    rule = NAMES.arn("events", "rule/acme-preprod-abalone-schedule")
    pipeline.cloud.control("POST", "schedules", {"rule": rule})
    run, scheduled = next_run(pipeline, before), next_run(pipeline, before + 1)
    assert scheduled["PipelineExecutionStatus"] == "Succeeded", scheduled
    everything = [item["uri"] for item in manifest(pipeline, scheduled)["inputs"]]
    assert everything == [f"s3://{BUCKET}/input/day 1.csv"]
    assert run["PipelineExecutionStatus"] == "Succeeded", run
    told = manifest(pipeline, run)
    assert told["model_package_arn"] == pipeline.versions[0]
    assert told["execution_arn"] == run["PipelineExecutionArn"]
    assert (told["accepted"], told["rows"], told["problems"]) == (True, 3, [])
    [given], [made] = told["inputs"], told["outputs"]
    assert (given["uri"], given["rows"]) == (f"s3://{BUCKET}/input/day 1.csv", 3)
    assert made["rows"] == 3
    rows = [line.split(",") for line in read(pipeline, made["uri"]).splitlines()]
    assert [len(row) for row in rows] == [3] * 3
    assert len({float(row[0]) for row in rows}) == 1
    assert len({row[1] for row in rows}) == 3
    assert told["identified"] is True
    head = inside(pipeline).head_object(
        Bucket=BUCKET, Key=made["uri"].removeprefix(f"s3://{BUCKET}/")
    )
    assert head["ServerSideEncryption"] == "aws:kms"


def monitored(pipeline: Pipeline, schedule: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """An execution of a schedule, now: its summary, its last job, and where its report is."""
    sagemaker, rule = pipeline.target("sagemaker"), f"monitoring-schedule/{schedule}"
    pipeline.cloud.control("POST", "schedules", {"rule": NAMES.arn("sagemaker", rule)})
    told = until(
        lambda: sagemaker.describe_monitoring_schedule(MonitoringScheduleName=schedule),
        lambda told: (
            told["LastMonitoringExecutionSummary"]["MonitoringExecutionStatus"] != "InProgress"
        ),
    )["LastMonitoringExecutionSummary"]
    assert "ProcessingJobArn" in told, told
    job = sagemaker.describe_processing_job(
        ProcessingJobName=told["ProcessingJobArn"].rpartition("/")[2]
    )
    # By which one retraining is started for the version.
    assert job["Environment"]["MODEL_PACKAGE_ARN"] == pipeline.versions[0]
    assert job["MonitoringScheduleArn"] == NAMES.arn("sagemaker", rule)
    return told, job, job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]


def alarm(pipeline: Pipeline, name: str) -> str:
    found = pipeline.target("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    [told] = [item["StateValue"] for item in found]
    return told


def test_what_was_predicted_on_is_compared_with_the_baseline_of_the_version(
    pipeline: Pipeline,
) -> None:
    told, _, folder = monitored(pipeline, DRIFT)
    assert told["MonitoringExecutionStatus"] == "CompletedWithViolations", told
    assert folder.startswith(f"s3://{BUCKET}/monitoring/{DRIFT}/")
    found = json.loads(read(pipeline, f"{folder}/constraint_violations.json"))["violations"]
    told_of = {(item["feature_name"], item["constraint_check_type"]) for item in found}
    assert {check for _, check in told_of} == {"baseline_drift_check", "data_type_check"}
    assert ("f9", "data_type_check") in told_of
    assert ("f0", "baseline_drift_check") in told_of
    assert alarm(pipeline, f"{DRIFT}-f0") == "ALARM"


def bring(pipeline: Pipeline, name: str, labels: dict[str, float]) -> None:
    """Brings labels as the team does: by the project's deploy role, of the present hour."""
    hour = f"{datetime.now(UTC):%Y/%m/%d/%H}"
    put(pipeline, f"ground-truth/acme-preprod-abalone/{hour}/{name}.jsonl", ground_truth(labels))


def test_predictions_are_compared_with_labels_and_worse_ones_ring(pipeline: Pipeline) -> None:
    """What is right is what was predicted, half a ring off; then four rings off."""
    for name, off, status, state in (
        ("good", 0.5, "Completed", "OK"),
        ("drifted", 4.0, "CompletedWithViolations", "ALARM"),
    ):
        before = len(executions(pipeline))
        rows = [ROW.replace("0.15", f"0.{number}") for number in range(11, 41)]
        put(pipeline, f"input/{name}.csv", "\n".join(rows))
        run = next_run(pipeline, before)
        assert run["PipelineExecutionStatus"] == "Succeeded", run
        [made] = manifest(pipeline, run)["outputs"]
        answers = [line.split(",") for line in read(pipeline, made["uri"]).splitlines()]
        bring(pipeline, name, {key: float(value) + off for value, key, _ in answers})
        told, _, folder = monitored(pipeline, MEASURED)
        assert told["MonitoringExecutionStatus"] == status, told.get("FailureReason")
        assert folder.startswith(f"s3://{BUCKET}/monitoring/acme-preprod-abalone/quality/")
        statistics = json.loads(read(pipeline, f"{folder}/statistics.json"))
        # Runs before it, of integration tests among them, have no labels.
        assert statistics["dataset"]["item_count"] == 30
        metrics = statistics["regression_metrics"]
        assert metrics["rmse"]["value"] == pytest.approx(off, rel=1e-6)
        assert metrics["mae"]["value"] == pytest.approx(off, rel=1e-6)
        found = json.loads(read(pipeline, f"{folder}/constraint_violations.json"))["violations"]
        assert ("rmse" in {item["metric_name"] for item in found}) is (status != "Completed")
        assert alarm(pipeline, f"{MEASURED}-rmse") == state


def test_an_object_that_is_no_good_fails_with_its_cause_and_raises_the_alarm(
    pipeline: Pipeline,
) -> None:
    before = len(executions(pipeline))
    put(pipeline, "input/day-2.csv", f"{ROW}\n{ROW.replace('0.455', '')}\n")
    run = next_run(pipeline, before)
    assert run["PipelineExecutionStatus"] == "Failed"
    folder = f"s3://{BUCKET}/runs/{run['PipelineExecutionArn'].rpartition('/')[2]}"
    assert (
        f"The input is refused, the cause is in {folder}/check/verdict.json"
        in run["PipelineExecutionFailureReason"]
    )
    assert json.loads(read(pipeline, f"{folder}/check/verdict.json")) == {
        "accepted": 0, "cause": "input/day-2.csv line 2 has no value in column 4",
    }  # fmt: skip
    alarms = pipeline.target("cloudwatch").describe_alarms(StateValue="ALARM")["MetricAlarms"]
    assert "acme-preprod-abalone-failed" in [alarm["AlarmName"] for alarm in alarms]


def test_all_of_it_can_be_taken_away_again(pipeline: Pipeline) -> None:
    assert "is gone" in pipeline.command("--remove")
    sagemaker = pipeline.target("sagemaker")
    assert sagemaker.list_pipelines()["PipelineSummaries"] == []
    assert sagemaker.list_models()["Models"] == []
    assert sagemaker.list_monitoring_schedules()["MonitoringScheduleSummaries"] == []
    assert sagemaker.list_data_quality_job_definitions()["JobDefinitionSummaries"] == []
    assert sagemaker.list_model_quality_job_definitions()["JobDefinitionSummaries"] == []
    assert pipeline.target("events").list_rules()["Rules"] == []
    assert pipeline.target("cloudwatch").describe_alarms()["MetricAlarms"] == []
