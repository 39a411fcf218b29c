"""Puts a pipeline into an account and runs it, with boto3 alone.

Everything may be repeated. The SDK's own ``upsert`` and ``start`` compile the definition three
times, upload its files each time, and ask IAM about roles.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import ClientError

Change = Literal["created", "updated", "unchanged"]

_ENDED = ("Succeeded", "Failed", "Stopped")
_CONTENT = {".py": "text/x-python", ".json": "application/json", ".gz": "application/gzip"}
"""Suffix of a file -> its media type."""


class DataMissingError(RuntimeError):
    """There is no data where the pipeline would look for it."""


class TimeoutExceededError(RuntimeError):
    """The execution takes longer than was allowed; it goes on."""


class OtherCodeError(RuntimeError):
    """Where a script belongs lies another; the message says where."""


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def upload(s3: Any, code: Mapping[str, bytes], key_arn: str) -> int:
    """Puts scripts where a definition says that they are; gives how many were not there yet.

    A URI contains the hash of what lies there. What is there is read all the same: others may have
    put something there, and jobs would run it.

    Args:
        s3: A boto3 client of S3.
        code: S3 URI -> content.
        key_arn: Key that they are encrypted with.

    Raises:
        ClientError: S3's.
        OtherCodeError: Something else lies there.
    """
    made = 0
    for uri, content in code.items():
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=content,
                ContentType=_CONTENT.get(Path(key).suffix, "application/octet-stream"),
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=key_arn,
                IfNoneMatch="*",
            )
            made += 1
        except ClientError as error:
            if _code(error) != "PreconditionFailed":
                raise
            if s3.get_object(Bucket=bucket, Key=key)["Body"].read() != content:
                raise OtherCodeError(
                    f"{uri} is not the script of this repository, though its folder is called by"
                    " its hash: find out who put it there, and have it deleted"
                ) from None
    return made


def data_version(s3: Any, url: str) -> str:
    """What tells one state of the data from every other: a hash of names, sizes and ETags.

    Args:
        s3: A boto3 client of S3.
        url: S3 URL that the data begins with.

    Raises:
        DataMissingError: Nothing begins so.
        ClientError: S3's.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    told = sorted(
        f"{item['Key']} {item['Size']} {item['ETag']}"
        for page in pages
        for item in page.get("Contents", [])
        if item["Size"]
    )
    if not told:
        raise DataMissingError(f"There is no data at {url}: put files there, or give another URL.")
    return "sha256-" + hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def upsert(
    sagemaker: Any,
    *,
    name: str,
    definition: str,
    description: str,
    role_arn: str,
    tags: Mapping[str, str],
) -> tuple[str, Change]:
    """Makes the pipeline, or makes it as it should be; gives its ARN and what was done.

    Raises:
        ClientError: SageMaker's.
    """
    wanted = {
        "PipelineName": name,
        "PipelineDefinition": definition,
        "PipelineDescription": description,
        "RoleArn": role_arn,
    }
    listed = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    try:
        made = sagemaker.create_pipeline(PipelineDisplayName=name, Tags=listed, **wanted)
        return str(made["PipelineArn"]), "created"
    except ClientError as refusal:
        try:
            standing: dict[str, Any] = sagemaker.describe_pipeline(PipelineName=name)
        except ClientError:
            # It is not there, so that is not why it could not be made.
            raise refusal from None
    arn = str(standing["PipelineArn"])
    change: Change = "unchanged"
    present = {**standing, "PipelineDefinition": json.loads(standing["PipelineDefinition"])}
    if {**present, **wanted, "PipelineDefinition": json.loads(definition)} != present:
        sagemaker.update_pipeline(**wanted)
        change = "updated"
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    tagged = {item["Key"]: item["Value"] for page in pages for item in page["Tags"]}
    if {**tagged, **tags} != tagged:
        sagemaker.add_tags(ResourceArn=arn, Tags=listed)
        change = "updated"
    return arn, change


def start(sagemaker: Any, name: str, parameters: Mapping[str, str], token: str) -> str:
    """Starts an execution; gives its ARN.

    Args:
        sagemaker: A boto3 client of SageMaker.
        name: The pipeline's.
        parameters: Name -> value.
        token: 32 characters or more. The same one never starts a second execution.

    Raises:
        ClientError: SageMaker's.
    """
    answer = sagemaker.start_pipeline_execution(
        PipelineName=name,
        ClientRequestToken=token,
        PipelineParameters=[
            {"Name": key, "Value": value} for key, value in sorted(parameters.items())
        ],
    )
    return str(answer["PipelineExecutionArn"])


@dataclass(frozen=True)
class Step:
    """A step of an execution.

    Attributes:
        name: Its name.
        status: ``Starting``, ``Executing``, ``Succeeded``, ``Failed`` …
        cached: Whether it was taken from an earlier execution.
        reason: Why it failed, with what its container said.
        made: ARN of the job or model package that it made; empty when there is none.
    """

    name: str
    status: str
    cached: bool
    reason: str
    made: str


@dataclass(frozen=True)
class Outcome:
    """How an execution ended.

    Attributes:
        status: ``Succeeded``, ``Failed`` or ``Stopped``.
        reason: Why it failed, by SageMaker.
        steps: In the order in which they began.
    """

    status: str
    reason: str
    steps: Sequence[Step]

    @property
    def version(self) -> str:
        """ARN of the model package that was registered; empty when none was."""
        return next((step.made for step in self.steps if ":model-package/" in step.made), "")


def wait(
    sagemaker: Any,
    arn: str,
    report: Callable[[str], object],
    *,
    poll_seconds: float,
    timeout_seconds: float,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Waits until an execution has ended.

    Args:
        sagemaker: A boto3 client of SageMaker.
        arn: The execution's.
        report: Takes a line whenever a step's status changes.
        poll_seconds: Between two looks.
        timeout_seconds: How long at most.
        sleep: Waits for some seconds.
        clock: Tells seconds.

    Raises:
        TimeoutExceededError: It took longer; it is not stopped.
        ClientError: SageMaker's.
    """
    end = clock() + timeout_seconds
    shown: dict[str, str] = {}
    while True:
        # The execution is asked first: what it has ended with, its steps have ended with.
        described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        status = str(described["PipelineExecutionStatus"])
        steps = _steps(sagemaker, arn)
        for step in steps:
            if shown.get(step.name) != step.status:
                shown[step.name] = step.status
                report(f"{step.name}: {step.status}{' (from the cache)' if step.cached else ''}")
        if status in _ENDED:
            return Outcome(status, str(described.get("FailureReason", "")), steps)
        if clock() >= end:
            raise TimeoutExceededError(
                f"{arn} is {status} after {timeout_seconds:.0f} s. It goes on: see Studio."
            )
        sleep(poll_seconds)


def _steps(sagemaker: Any, arn: str) -> list[Step]:
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    found: list[Step] = []
    for item in (item for page in pages for item in page["PipelineExecutionSteps"]):
        metadata: dict[str, Any] = item.get("Metadata") or {}
        made = next((str(part["Arn"]) for part in metadata.values() if part.get("Arn")), "")
        status = str(item["StepStatus"])
        reason = str(item.get("FailureReason", ""))
        if status == "Failed" and "Fail" in metadata:
            reason = str(metadata["Fail"].get("ErrorMessage") or reason)
        if status == "Failed" and ":processing-job/" in made:
            job = sagemaker.describe_processing_job(ProcessingJobName=made.rpartition("/")[2])
            reason = "\n".join(part for part in (reason, job.get("ExitMessage", "")) if part)
        cached = bool(item.get("CacheHitResult"))
        found.append(Step(str(item["StepName"]), status, cached, reason, made))
    return found
