"""Training jobs: the built-in XGBoost's stand-in, and scripts with the toolkit's contract."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.emulator.jobs.containers import Mode, mode
from tests.localcloud.jobs_world import BUCKET, SKLEARN, TRUST, World, archive, channel, world
from tests.localcloud.kit import until

needs_namespace = pytest.mark.skipif(
    mode() is Mode.PATHS, reason="this machine has no mount namespaces"
)

SCRIPT = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float)
given = parser.parse_args()
lines = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"], "train.csv").read_text().splitlines()
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
(model / "model.json").write_text(json.dumps({"alpha": given.alpha, "rows": len(lines)}))
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "report.txt").write_text("fine")
print("quality=0.75;")
print("quality=0.875;")
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("training")) as made:
        yield made


def script_job(jobs: World, name: str, script: str, **changes: Any) -> dict[str, Any]:
    code = jobs.put(f"code/{name}.tar.gz", archive({"train.py": script.encode()}))
    parameters = {
        "sagemaker_program": json.dumps("train.py"),
        "sagemaker_submit_directory": json.dumps(code),
        "alpha": "0.5",
    }
    algorithm = {
        "TrainingImage": SKLEARN,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "quality", "Regex": "quality=([0-9.]+);"}],
    }
    request = {"HyperParameters": parameters, "AlgorithmSpecification": algorithm, **changes}
    return jobs.train(name, **request)


def members(body: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def test_the_built_in_algorithm_trains(jobs: World) -> None:
    job = jobs.train("built-in", EnableNetworkIsolation=True)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["SecondaryStatus"] == "Completed"
    states = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    metrics = {item["MetricName"]: item["Value"] for item in job["FinalMetricDataList"]}
    assert set(metrics) == {"train:rmse", "validation:rmse"}
    # After five rounds it explains most of a deviation of about 9.
    assert 0 < metrics["validation:rmse"] < 5
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/models/built-in/output/model.tar.gz"
    assert set(members(jobs.get(uri))) == {"xgboost-model"}
    head = jobs.client("s3").head_object(Bucket=BUCKET, Key="models/built-in/output/model.tar.gz")
    assert head["SSEKMSKeyId"] == jobs.key


def test_more_rounds_train_better(jobs: World) -> None:
    def error(name: str, rounds: int) -> float:
        job = jobs.train(name, HyperParameters={"num_round": str(rounds), "max_depth": "3"})
        return {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]}["train:rmse"]

    assert error("rounds-40", 40) < error("rounds-2", 2) / 2


def test_the_stand_in_says_that_it_is_one(jobs: World) -> None:
    jobs.train("says")
    logs = jobs.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    [stream] = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="says/")[
        "logStreams"
    ]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])
    text = "\n".join(event["message"] for event in events["events"])
    assert "Stand-in of the local cloud for SageMaker's built-in XGBoost" in text


def test_libsvm_and_classes(jobs: World) -> None:
    rows = "".join(f"{n % 2} 1:{n % 2 + n / 1000:.3f} 2:{n % 7}\n" for n in range(100))
    jobs.put("svm/rows.libsvm", rows)
    job = jobs.train(
        "svm",
        InputDataConfig=[channel("train", f"s3://{BUCKET}/svm/", "text/libsvm")],
        HyperParameters={
            "objective": "binary:logistic",
            "num_round": "3",
            "eval_metric": "auc,error",
        },
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    metrics = {item["MetricName"]: item["Value"] for item in job["FinalMetricDataList"]}
    assert metrics == {"train:auc": 1.0, "train:error": 0.0}


@pytest.mark.parametrize(
    ("name", "changes", "cause"),
    [
        ("no-rounds", {"HyperParameters": {"max_depth": "3"}}, "num_round is required"),
        (
            "no-classes",
            {"HyperParameters": {"objective": "multi:softmax", "num_round": "1"}},
            "num_class is required",
        ),
        ("bad-objective", {"HyperParameters": {"objective": "x:y", "num_round": "1"}}, "x:y"),
        (
            "no-train",
            {"InputDataConfig": [channel("validation", f"s3://{BUCKET}/data/validation")]},
            "Channel train is required",
        ),
        (
            "header",
            {"InputDataConfig": [channel("train", f"s3://{BUCKET}/header/")]},
            "not numeric",
        ),
        (
            "no-data",
            {"InputDataConfig": [channel("train", f"s3://{BUCKET}/none/")]},
            "No S3 objects found",
        ),
    ],
)
def test_what_cannot_be_trained_on_fails_with_its_cause(
    jobs: World, name: str, changes: dict[str, Any], cause: str
) -> None:
    jobs.put("header/h.csv", "label,a\n1,2\n")
    job = jobs.train(name, **changes)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert cause in job["FailureReason"]


def test_a_script_gets_arguments_folders_and_metrics(jobs: World) -> None:
    job = script_job(jobs, "script", SCRIPT)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = members(jobs.get(job["ModelArtifacts"]["S3ModelArtifacts"]))
    assert json.loads(model["model.json"]) == {"alpha": 0.5, "rows": 200}
    output = members(jobs.get(f"s3://{BUCKET}/models/script/output/output.tar.gz"))
    assert output == {"report.txt": b"fine"}
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [
        ("quality", 0.875)
    ]


def test_a_poisoned_code_archive_is_refused(jobs: World) -> None:
    wicked = jobs.put("code/wicked.tar.gz", archive({"../../escaped.py": b"x"}))
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": wicked}
    job = jobs.train("wicked", HyperParameters=parameters)
    assert job["TrainingJobStatus"] == "Failed"
    assert "outside the destination" in job["FailureReason"]


@needs_namespace
def test_an_entrypoint_reads_its_configuration(jobs: World) -> None:
    program = (
        "import json,shutil;c='/opt/ml/input/config/';"
        "json.load(open(c+'hyperparameters.json'));"
        "[shutil.copy(c+n,'/opt/ml/model/') for n in"
        " ('hyperparameters.json','inputdataconfig.json','resourceconfig.json')]"
    )
    algorithm = {
        "TrainingImage": SKLEARN,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "-c", program],
    }
    job = jobs.train("entry", AlgorithmSpecification=algorithm)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    files = members(jobs.get(job["ModelArtifacts"]["S3ModelArtifacts"]))
    assert json.loads(files["hyperparameters.json"])["num_round"] == "5"
    channels = json.loads(files["inputdataconfig.json"])
    assert channels["train"]["ContentType"] == "text/csv"
    assert json.loads(files["resourceconfig.json"])["current_host"] == "algo-1"


def test_too_long_is_stopped_and_keeps_the_model(jobs: World) -> None:
    script = SCRIPT + "\nimport time; time.sleep(60)"
    job = script_job(jobs, "slow", script, StoppingCondition={"MaxRuntimeInSeconds": 3})
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert "3 seconds" in job["FailureReason"]
    assert "model.json" in members(jobs.get(job["ModelArtifacts"]["S3ModelArtifacts"]))


def test_a_training_job_can_be_stopped(jobs: World) -> None:
    code = jobs.put("code/wait.tar.gz", archive({"train.py": b"import time; time.sleep(60)"}))
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": code}
    jobs.start_training("stopped", HyperParameters=parameters)
    describe = jobs.sagemaker.describe_training_job
    until(
        lambda: describe(TrainingJobName="stopped"),
        lambda job: job["SecondaryStatus"] == "Training",
    )
    jobs.sagemaker.stop_training_job(TrainingJobName="stopped")
    job = until(
        lambda: describe(TrainingJobName="stopped"),
        lambda job: job["TrainingJobStatus"] == "Stopped",
        10,
    )
    assert job["SecondaryStatusTransitions"][-2]["Status"] == "Stopping"


def test_roles_that_hand_over_nothing_are_refused(jobs: World) -> None:
    passer = {"Action": "sagemaker:CreateTrainingJob", "Resource": "*"}
    session = jobs.cloud.assume(jobs.cloud.role("no-pass", passer))
    sagemaker = jobs.cloud.client("sagemaker", session=session)
    with pytest.raises(ClientError, match="iam:PassRole"):
        sagemaker.create_training_job(
            TrainingJobName="passing",
            RoleArn=jobs.role,
            AlgorithmSpecification={"TrainingImage": SKLEARN, "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/models"},
            ResourceConfig={
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
            },
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )


def test_what_is_not_emulated_is_refused_by_name(jobs: World) -> None:
    with pytest.raises(ClientError, match=r"no spot instances \(EnableManagedSpotTraining\)"):
        jobs.start_training("spot", EnableManagedSpotTraining=True)


def test_a_role_that_may_not_write_the_model_fails_the_job(jobs: World) -> None:
    reader = jobs.cloud.role(
        "reader",
        {"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"},
        trust=TRUST,
    )
    job = jobs.train("reader", RoleArn=reader)
    assert job["TrainingJobStatus"] == "Failed"
    assert "s3:PutObject" in job["FailureReason"]
