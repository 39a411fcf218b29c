"""Transform jobs predict on objects in S3 with real models."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.jobs_world import (
    BUCKET,
    DONE,
    SKLEARN,
    TRUST,
    XGBOOST,
    World,
    archive,
    world,
)
from tests.localcloud.kit import until

COUNT = """
import os
def model_fn(folder):
    return None
def transform_fn(model, data, content_type, accept):
    if "bad" in data:
        raise ValueError("bad row")
    if "slow" in data:
        import time
        time.sleep(60)
    mark = os.environ.get("MARK", "")
    return f"{mark}{len(data.splitlines())}", "text/plain"
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("transform")) as made:
        url = made.put("artifacts/count.tar.gz", archive({"code/count.py": COUNT.encode()}))
        model(made, "count", SKLEARN, url, {"SAGEMAKER_PROGRAM": "count.py"})
        yield made


def model(jobs: World, name: str, image: str, url: str, environment: Any = None) -> None:
    jobs.sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=jobs.role,
        PrimaryContainer={
            "Image": image,
            "ModelDataUrl": url,
            "Environment": environment or {},
        },
        VpcConfig=jobs.vpc_config,
    )


def begin(jobs: World, name: str, **changes: Any) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": changes.pop("uri", f"s3://{BUCKET}/rows/")}
    request = {
        "TransformJobName": name,
        "ModelName": changes.pop("model", "count"),
        "TransformInput": {
            "DataSource": {"S3DataSource": source},
            "ContentType": "text/csv",
            **changes.pop("input", {"SplitType": "Line"}),
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{BUCKET}/transformed/{name}",
            "KmsKeyId": jobs.key,
            **changes.pop("output", {"AssembleWith": "Line"}),
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }
    jobs.sagemaker.create_transform_job(**request)


def ended(jobs: World, name: str) -> dict[str, Any]:
    return until(
        lambda: jobs.sagemaker.describe_transform_job(TransformJobName=name),
        lambda job: job["TransformJobStatus"] in DONE,
    )


def run(jobs: World, name: str, **changes: Any) -> dict[str, Any]:
    begin(jobs, name, **changes)
    return ended(jobs, name)


def output(jobs: World, name: str, key: str) -> str:
    return jobs.get(f"s3://{BUCKET}/transformed/{name}/{key}.out").decode()


def test_a_trained_model_predicts_on_files(jobs: World) -> None:
    trained = jobs.train("model", HyperParameters={"num_round": "40", "max_depth": "4"})
    model(jobs, "trained", XGBOOST, trained["ModelArtifacts"]["S3ModelArtifacts"])
    jobs.put("features/a.csv", "4,2\n8,1\n")
    jobs.put("features/more/b.csv", "1,1\n")
    job = run(jobs, "predict", model="trained", uri=f"s3://{BUCKET}/features/")
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert job["TransformStartTime"] <= job["TransformEndTime"]
    first, second = (float(line) for line in output(jobs, "predict", "a.csv").splitlines())
    assert first == pytest.approx(10, abs=2.5)
    assert second == pytest.approx(23, abs=2.5)
    assert output(jobs, "predict", "more/b.csv").count("\n") == 1
    head = jobs.client("s3").head_object(Bucket=BUCKET, Key="transformed/predict/a.csv.out")
    assert head["SSEKMSKeyId"] == jobs.key


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("many", {"BatchStrategy": "MultiRecord"}, "3\n"),
        ("single", {"BatchStrategy": "SingleRecord"}, "1\n1\n1\n"),
        ("whole", {"input": {"SplitType": "None"}, "output": {}}, "3"),
        ("marked", {"Environment": {"MARK": "#"}}, "#3\n"),
    ],
)
def test_records_are_split_batched_and_put_together(
    jobs: World, name: str, changes: dict[str, Any], expected: str
) -> None:
    jobs.put("rows/rows.csv", "1,2\n3,4\n5,6\n")
    job = run(jobs, name, **changes)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert output(jobs, name, "rows.csv") == expected


def test_batches_keep_to_the_payload(jobs: World) -> None:
    line = "1," * 200_000 + "1\n"
    jobs.put("large/rows.csv", line * 6)
    uri = f"s3://{BUCKET}/large/"
    run(jobs, "payload", uri=uri, MaxPayloadInMB=1)
    # Two lines of 0.4 MB fit into one.
    assert output(jobs, "payload", "rows.csv") == "2\n2\n2\n"
    jobs.put("huge/rows.csv", "1," * 600_000 + "1\n")
    job = run(jobs, "huge", uri=f"s3://{BUCKET}/huge/", MaxPayloadInMB=1)
    assert "a record larger than MaxPayloadInMB" in job["FailureReason"]


def test_compressed_input(jobs: World) -> None:
    jobs.put("zipped/rows.csv.gz", gzip.compress(b"1\n2\n"))
    compressed = {"SplitType": "Line", "CompressionType": "Gzip"}
    run(jobs, "zipped", uri=f"s3://{BUCKET}/zipped/", input=compressed)
    assert output(jobs, "zipped", "rows.csv.gz") == "2\n"


def test_what_fails_says_why(jobs: World) -> None:
    jobs.put("bad/rows.csv", "bad\n")
    job = run(jobs, "bad", uri=f"s3://{BUCKET}/bad/")
    assert job["TransformJobStatus"] == "Failed"
    assert "the container answered 500: ValueError: bad row" in job["FailureReason"]
    missing = run(jobs, "missing", uri=f"s3://{BUCKET}/none/")
    assert "No S3 objects found" in missing["FailureReason"]
    model(jobs, "absent", SKLEARN, f"s3://{BUCKET}/none.tar.gz")
    jobs.put("rows/rows.csv", "1\n")
    absent = run(jobs, "absent", model="absent")
    assert "Failed to download model data" in absent["FailureReason"]


def test_a_role_that_may_not_write_fails_the_job(jobs: World) -> None:
    reading = {"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    reader = jobs.cloud.role("reader", reading, trust=TRUST)
    url = f"s3://{BUCKET}/artifacts/count.tar.gz"
    jobs.sagemaker.create_model(
        ModelName="reader",
        ExecutionRoleArn=reader,
        PrimaryContainer={
            "Image": SKLEARN,
            "ModelDataUrl": url,
            "Environment": {"SAGEMAKER_PROGRAM": "count.py"},
        },
    )
    jobs.put("rows/rows.csv", "1\n")
    job = run(jobs, "reader", model="reader")
    # Outside any VPC the call goes out, and IAM refuses it.
    assert "s3:PutObject" in job["FailureReason"]


def test_a_transform_job_can_be_stopped(jobs: World) -> None:
    jobs.put("slow/rows.csv", "1\n" * 50 + "slow\n")
    begin(jobs, "slow", uri=f"s3://{BUCKET}/slow/", BatchStrategy="SingleRecord")
    until(
        lambda: jobs.sagemaker.describe_transform_job(TransformJobName="slow"),
        lambda job: "TransformStartTime" in job,
    )
    time.sleep(2)  # until the request that would take a minute
    jobs.sagemaker.stop_transform_job(TransformJobName="slow")
    assert ended(jobs, "slow")["TransformJobStatus"] == "Stopped"
    listed = jobs.sagemaker.list_transform_jobs(StatusEquals="Stopped")
    assert [item["TransformJobName"] for item in listed["TransformJobSummaries"]] == ["slow"]


def test_what_is_not_emulated_is_refused_by_name(jobs: World) -> None:
    with pytest.raises(ClientError, match="have no JoinSource"):
        begin(jobs, "join", DataProcessing={"JoinSource": "Input"})
    with pytest.raises(ClientError, match="Could not find model"):
        begin(jobs, "nobody", model="nobody")


IDENTIFIED = {
    "DataCaptureConfig": {
        "DestinationS3Uri": f"s3://{BUCKET}/manifests", "GenerateInferenceId": True,
    }
}  # fmt: skip


def test_each_row_of_an_answer_has_an_id_and_the_jobs_start_as_its_last_columns(
    jobs: World,
) -> None:
    trained = jobs.train("identified", HyperParameters={"num_round": "2"})
    model(jobs, "identified", XGBOOST, trained["ModelArtifacts"]["S3ModelArtifacts"])
    jobs.put("to identify/a.csv", "4,2\n8,1\n")
    jobs.put("to identify/b.csv", "1,1\n")
    given: dict[str, Any] = {"model": "identified", "uri": f"s3://{BUCKET}/to identify/"}
    plain = run(jobs, "without-ids", **given)
    job = run(jobs, "with-ids", **given, **IDENTIFIED)
    for told in (plain, job):
        assert told["TransformJobStatus"] == "Completed", told.get("FailureReason")
    rows = {
        name: list(csv.reader(output(jobs, "with-ids", name).splitlines()))
        for name in ("a.csv", "b.csv")
    }
    assert [len(rows[name]) for name in ("a.csv", "b.csv")] == [2, 1]
    for name, found in rows.items():
        assert [row[0] for row in found] == output(jobs, "without-ids", name).split()
    keys = [row[1] for found in rows.values() for row in found]
    assert len({uuid.UUID(key) for key in keys}) == 3
    [moment] = {dt.datetime.fromisoformat(row[2]) for found in rows.values() for row in found}
    assert moment == job["TransformStartTime"].replace(microsecond=0)


def test_an_answer_whose_rows_are_not_those_asked_for_has_no_ids(jobs: World) -> None:
    jobs.put("to count/a.csv", "4,2\n8,1\n")
    job = run(jobs, "no-ids", uri=f"s3://{BUCKET}/to count/", **IDENTIFIED)
    assert job["TransformJobStatus"] == "Failed"
    assert "answered 1 lines to 2 records" in job["FailureReason"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"output": {}}, "GenerateInferenceId with AssembleWith None"),
        ({"input": {"SplitType": "None"}}, "GenerateInferenceId with SplitType None"),
        (
            {"input": {"SplitType": "Line", "ContentType": "application/jsonlines"}},
            "GenerateInferenceId with ContentType application/jsonlines",
        ),
    ],
)
def test_ids_of_anything_but_lines_of_csv_are_refused_by_name(
    jobs: World, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ClientError, match=told):
        begin(jobs, "refused-ids", **changes, **IDENTIFIED)
