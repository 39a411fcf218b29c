"""Processing jobs: inputs from S3, a program, outputs to S3."""

from __future__ import annotations

import dataclasses
import json
import uuid
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import acting
from localcloud.emulator.compute import ComputeError
from localcloud.emulator.extension import Context, Params
from localcloud.emulator.jobs import standins
from localcloud.emulator.jobs.containers import ML, Container
from localcloud.emulator.jobs.images import PROGRAMS
from localcloud.emulator.jobs.job import PROCESSING, Job, JobError, refuse, submit
from localcloud.emulator.jobs.metrics import MONITORING, MONITORING_BATCHES, Measurements
from localcloud.emulator.jobs.monitoring_jobs import BATCH
from localcloud.emulator.jobs.place import Place, now

_SCRIPTS = Path(str(standins.__file__)).parent
_DEFAULT_SECONDS = 86_400
_EXIT_MESSAGE = 1024
_METRICS = 1000
HOSTS = {"current_host": "algo-1", "hosts": ["algo-1"]}


def create(ctx: Context, params: Params) -> Params:
    """Begins a processing job."""
    for item in params.get("ProcessingInputs") or []:
        refuse(item, {"DatasetDefinition": "inputs from Athena or Redshift"}, "processing jobs")
    for item in (params.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
        refuse(item, {"FeatureStoreOutput": "outputs to feature groups"}, "processing jobs")
    return begin(Place.of(ctx), params)


def begin(place: Place, params: Params) -> Params:
    """Begins a processing job that SageMaker itself or a caller asks for."""
    name = params["ProcessingJobName"]
    network = params.get("NetworkConfig") or {}
    arn = place.arn(f"processing-job/{name}")
    subnets = (network.get("VpcConfig") or {}).get("Subnets") or []
    task = place.task(params["RoleArn"], "SageMaker", arn, subnets)
    kept = {k: v for k, v in params.items() if k != "Tags"}
    description = {
        **kept,
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": now(),
        "LastModifiedTime": now(),
    }
    isolated = bool(network.get("EnableNetworkIsolation"))
    job = Job(PROCESSING, place, description, task, place.environment(task), isolated)
    return submit(job, params, _work)


def _work(job: Job) -> None:
    given = job.description
    app = given["AppSpecification"]
    container = job.container(app["ImageUri"])
    try:
        job.change(ProcessingStartTime=now())
        _read(job, container)
        _configure(job, container)
        arguments = app.get("ContainerArguments") or []
        command = [*(app.get("ContainerEntrypoint") or []), *arguments]
        program = container.image.program
        if program is not None and not app.get("ContainerEntrypoint"):
            command = program.words(*arguments)
        own = PROGRAMS.get(container.image.framework)
        if own and not command:
            command = ["python", str(_SCRIPTS / own), ML]
        if not command or not (own or program or app.get("ContainerEntrypoint")):
            raise JobError(
                "ClientError: The image has no program of its own: give"
                " AppSpecification.ContainerEntrypoint."
            )
        variables = {
            **(given.get("Environment") or {}),
            "PROCESSING_JOB_NAME": job.name,
            "PROCESSING_JOB_ARN": job.arn,
        }
        limit = (given.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds")
        try:
            code = job.run(container, command, variables, limit or _DEFAULT_SECONDS)
        except TimeoutError:
            raise JobError(
                "ClientError: Stopped due to MaxRuntimeExceeded: it ran longer than"
                f" {limit or _DEFAULT_SECONDS} seconds."
            ) from None
        finally:
            job.write_log(container, f"{job.name}/algo-1-{uuid.uuid4().hex[:8]}")
            if not job.place.compute.stopping.is_set():
                _write(job, container, "Continuous")
        message = container.path(f"{ML}/output/message")
        if message.is_file():
            job.change(ExitMessage=message.read_text("utf-8", "replace")[:_EXIT_MESSAGE])
        if code:
            raise JobError(f"AlgorithmError: {container.failure()}, exit code: {code}")
        job.check_stop()
        _write(job, container, "EndOfJob")
        _measure(job, container)
    finally:
        container.remove()


def _measure(job: Job, container: Container) -> None:
    """Sends what a monitoring job measured to CloudWatch as its role, as far as it may.

    Source: SageMaker developer guide, "CloudWatch Metrics for Bring Your Own Containers".
    """
    folder = container.path(f"{ML}/output/metrics/cloudwatch")
    lines = [
        json.loads(line)
        for path in sorted(folder.glob("*"))
        for line in path.read_text("utf-8").splitlines()
        if line
    ]
    # Names of monitoring jobs end with their time and a random part.
    looked_at = (job.description.get("Environment") or {}).get("monitoring_input_type")
    namespaces = MONITORING_BATCHES if looked_at == BATCH else MONITORING
    namespace = namespaces.get(job.name.rsplit("-", 2)[0])
    if not lines or "MonitoringScheduleArn" not in job.description or namespace is None:
        return
    try:
        # From SageMaker's own network, as logs.
        task = dataclasses.replace(job.task, subnet_ids=())
        cloudwatch = acting.client_of("cloudwatch", job.place.compute.environment(task))
        for first in range(0, len(lines), _METRICS):
            cloudwatch.put_metric_data(
                Namespace=namespace, MetricData=lines[first : first + _METRICS]
            )
    except (BotoCoreError, ClientError, ComputeError) as error:
        raise JobError(f"ClientError: Metrics cannot be published: {error}") from error
    measured: dict[tuple[tuple[str, str], ...], list[tuple[str, float]]] = {}
    for line in lines:
        dimensions = tuple((item["Name"], item["Value"]) for item in line["Dimensions"])
        measured.setdefault(dimensions, []).append((line["MetricName"], float(line["Value"])))
    for dimensions, values in measured.items():
        Measurements.of(job.place).notice(dict(dimensions), values, namespace=namespace)


def _read(job: Job, container: Container) -> None:
    for item in job.description.get("ProcessingInputs") or []:
        job.check_stop()
        source: dict[str, Any] = item["S3Input"]
        if item.get("AppManaged"):
            continue
        job.transfer.download(
            source["S3Uri"],
            _inside(container, source["LocalPath"]),
            kind=source["S3DataType"],
            unzip=source.get("S3CompressionType") == "Gzip",
        )


def _configure(job: Job, container: Container) -> None:
    """Writes what a container finds in its folders.

    Source: SageMaker developer guide, "How Amazon SageMaker AI Configures Your Processing
    Container".
    """
    named = {**job.description}
    for member in ("CreationTime", "LastModifiedTime", "ProcessingStartTime"):
        named.pop(member, None)
    container.write(f"{ML}/config/processingjobconfig.json", named)
    container.write(f"{ML}/config/resourceconfig.json", HOSTS)
    for item in (job.description.get("ProcessingOutputConfig") or {}).get("Outputs") or []:
        path = _inside(container, item["S3Output"].get("LocalPath") or f"{ML}/processing/output")
        path.mkdir(parents=True, exist_ok=True)
    container.path(f"{ML}/output").mkdir(exist_ok=True)


def _write(job: Job, container: Container, mode: str) -> None:
    """Uploads the outputs of an upload mode.

    What is uploaded continuously is there whatever becomes of the job, and is written here as soon
    as its program has ended; the rest is uploaded once the job is done. Source: ProcessingS3Output
    in the SageMaker API reference.
    """
    config = job.description.get("ProcessingOutputConfig") or {}
    for item in config.get("Outputs") or []:
        target = item["S3Output"]
        folder = _inside(container, target.get("LocalPath") or f"{ML}/processing/output")
        if not item.get("AppManaged") and target["S3UploadMode"] == mode:
            job.transfer.upload(folder, target["S3Uri"], config.get("KmsKeyId"))


def _inside(container: Container, path: str) -> Any:
    try:
        return container.path(path)
    except ValueError as error:
        raise JobError(f"ClientError: {error}") from error
