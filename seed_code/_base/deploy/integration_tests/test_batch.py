"""What users of the predictions rely on, asked of the live pipeline: real runs on sample rows."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from conftest import Samples


@dataclass(frozen=True)
class Run:
    """A run of the pipeline that has ended."""

    id: str
    status: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """The pipeline under test."""

    pipeline: str
    bucket: str
    model_package: str
    seconds: float
    sagemaker: Any
    s3: Any

    def put(self, body: str) -> str:
        """Puts an object where no rule looks; gives its key."""
        key = f"tests/{uuid.uuid4()}/rows.csv"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode())
        return key

    def start(self, key: str) -> str:
        """Starts the pipeline on an object; the run's ARN."""
        return self.sagemaker.start_pipeline_execution(
            PipelineName=self.pipeline,
            PipelineExecutionDisplayName="integration-test",
            PipelineParameters=[{"Name": "InputKey", "Value": key}],
        )["PipelineExecutionArn"]

    def ended(self, arn: str) -> Run:
        """A run, once it has ended."""
        end, pause = time.monotonic() + self.seconds, 0.5
        while True:
            found = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            status = found["PipelineExecutionStatus"]
            if status not in ("Executing", "Stopping"):
                return Run(arn.rpartition("/")[2], status, found.get("FailureReason", ""))
            if time.monotonic() > end:
                self.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
                pytest.fail(f"{arn} is still {status} after {self.seconds:g} seconds")
            time.sleep(pause)
            pause = min(1.5 * pause, 15.0)

    def read(self, uri: str) -> str:
        """An object as text."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


@pytest.fixture(scope="module")
def batch() -> Batch:
    if "BATCH_PIPELINE" not in os.environ:
        pytest.fail("BATCH_PIPELINE is not set: deploy.py runs these tests")
    return Batch(
        os.environ["BATCH_PIPELINE"],
        os.environ["BATCH_BUCKET"],
        os.environ["BATCH_MODEL_PACKAGE"],
        60 * float(os.environ["BATCH_TIMEOUT_MINUTES"]),
        boto3.client("sagemaker"),
        boto3.client("s3"),
    )


@dataclass(frozen=True)
class Started:
    """Runs that are under way: instances take minutes to start, and need not one after the other.

    Attributes:
        good: ARN of the run on the sample rows.
        bad: ARN of the run on a row that must be refused.
        bad_key: The object that has it.
    """

    good: str
    bad: str
    bad_key: str


@pytest.fixture(scope="module")
def started(batch: Batch, samples: Samples) -> Started:
    rows = samples.rows
    bad = batch.put(f"{rows[0]}\n{rows[0].rpartition(',')[0]}\n")
    return Started(batch.start(batch.put("\n".join(rows) + "\n")), batch.start(bad), bad)


def test_each_row_gets_a_plausible_prediction_and_the_manifest_says_whose(
    batch: Batch, started: Started, samples: Samples
) -> None:
    run = batch.ended(started.good)
    assert run.status == "Succeeded", run.reason
    manifest = json.loads(batch.read(f"s3://{batch.bucket}/runs/{run.id}/manifest/manifest.json"))
    assert manifest["accepted"] is True
    assert manifest["model_package_arn"] == batch.model_package
    assert manifest["rows"] == len(samples.rows)
    [output] = manifest["outputs"]
    text = batch.read(output["uri"])
    if manifest["identified"]:
        # By ids, which follow the predictions with the time, labels are put to them.
        rows = [line.split(",") for line in text.splitlines()]
        assert len({row[-2] for row in rows}) == len(samples.rows)
        text = "\n".join(",".join(row[:-2]) for row in rows)
    values = [float(v) for v in text.replace("\n", ",").split(",") if v]
    assert len(values) >= len(samples.rows)
    for value in values:
        assert math.isfinite(value)
        assert samples.lowest <= value <= samples.highest


def test_a_row_without_a_value_is_refused_and_the_cause_is_told(
    batch: Batch, started: Started
) -> None:
    run = batch.ended(started.bad)
    assert run.status == "Failed"
    assert "The input is refused" in run.reason
    verdict = json.loads(batch.read(f"s3://{batch.bucket}/runs/{run.id}/check/verdict.json"))
    assert verdict["accepted"] == 0
    assert f"{started.bad_key} line 2" in verdict["cause"]
