"""Training jobs: channels from S3, an algorithm or a script, a model archive to S3."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params
from localcloud.emulator.jobs import standins, transfer
from localcloud.emulator.jobs.containers import ML, Container
from localcloud.emulator.jobs.job import (
    TRAINING,
    Job,
    JobError,
    finish,
    refuse,
    secondary_status,
    submit,
)
from localcloud.emulator.jobs.place import Place, now
from localcloud.emulator.jobs.processing import HOSTS

_NOT_HERE = {
    "CheckpointConfig": "checkpoints",
    "EnableManagedSpotTraining": "spot instances",
    "ServerlessJobConfig": "serverless training",
    "ModelPackageConfig": "model package output",
}
_SCRIPTS = Path(str(standins.__file__)).parent
# Lines of the built-in XGBoost algorithm and of xgboost itself: "[3]#011train-rmse:0.5".
_BUILT_IN_METRIC = re.compile(
    r"(?:\t|#011)(train|validation)-([\w@.-]+):(-?[0-9.]+(?:[eE][-+]?[0-9]+)?)"
)


def create(ctx: Context, params: Params) -> Params:
    """Begins a training job."""
    refuse(params, _NOT_HERE, "training jobs")
    for channel in params.get("InputDataConfig") or []:
        refuse(
            channel.get("DataSource") or {},
            {"FileSystemDataSource": "file systems", "DatasetSource": "data sets"},
            "training jobs",
        )
    algorithm = params.get("AlgorithmSpecification") or {}
    if not algorithm.get("TrainingImage"):
        refuse({"AlgorithmName": True}, {"AlgorithmName": "algorithms by name"}, "training jobs")
    if "RoleArn" not in params or "OutputDataConfig" not in params:
        raise ApiError("ValidationException", "RoleArn and OutputDataConfig are required.")
    place, name = Place.of(ctx), params["TrainingJobName"]
    arn = place.arn(f"training-job/{name}")
    subnets = (params.get("VpcConfig") or {}).get("Subnets") or []
    task = place.task(params["RoleArn"], "SageMaker", arn, subnets)
    description = {
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": False,
        **{k: v for k, v in params.items() if k != "Tags"},
        "TrainingJobArn": arn,
        "TrainingJobStatus": "InProgress",
        "ModelArtifacts": {"S3ModelArtifacts": _artifact(params)},
        "CreationTime": now(),
        "LastModifiedTime": now(),
        "SecondaryStatus": "Starting",
    }
    isolated = bool(params.get("EnableNetworkIsolation"))
    job = Job(TRAINING, place, description, task, place.environment(task), isolated)
    job.description.update(secondary_status(job, "Starting"))
    return submit(job, params, _work)


def _output(params: Params) -> str:
    return f"{params['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{params['TrainingJobName']}"


def _artifact(params: Params) -> str:
    whole = params["OutputDataConfig"].get("CompressionType") == "NONE"
    return f"{_output(params)}/output/model{'/' if whole else '.tar.gz'}"


def _work(job: Job) -> None:
    given = job.description
    container = job.container(given["AlgorithmSpecification"]["TrainingImage"])
    try:
        job.change(TrainingStartTime=now(), **secondary_status(job, "Downloading"))
        _read(job, container)
        _configure(job, container)
        command = _command(job, container)
        job.change(**secondary_status(job, "Training"))
        limit = (given.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", 86_400)
        code, late = 0, False
        try:
            code = job.run(container, command, _variables(job, container), limit)
        except TimeoutError:
            late = True
        finally:
            stamp = int(dt.datetime.now(dt.UTC).timestamp())
            job.write_log(container, f"{job.name}/algo-1-{stamp}-{uuid.uuid4().hex[:4]}")
        job.change(FinalMetricDataList=list(_metrics(job, container.output())))
        if code:
            _write(job, container, model=False)
            kind = "" if container.image.program else "ExecuteUserScriptError: "
            raise JobError(f"AlgorithmError: {kind}{container.failure()}, exit code: {code}")
        job.change(**secondary_status(job, "Uploading"))
        _write(job, container, model=True)
        if late:
            # Source: SageMaker API reference, DescribeTrainingJob: the status is Stopped.
            reason = f"Training job runtime exceeded MaxRuntimeInSeconds: {limit} seconds."
            finish(job, "Stopped", reason, "MaxRuntimeExceeded")
    finally:
        container.remove()


def _read(job: Job, container: Container) -> None:
    for channel in job.description.get("InputDataConfig") or []:
        job.check_stop()
        source = channel["DataSource"]["S3DataSource"]
        if channel.get("InputMode") == "Pipe":
            raise JobError(
                "ClientError: The local cloud has no Pipe mode: use File or FastFile for channel"
                f" {channel['ChannelName']}."
            )
        job.transfer.download(
            source["S3Uri"],
            container.path(f"{ML}/input/data/{channel['ChannelName']}"),
            kind=source["S3DataType"],
            unzip=channel.get("CompressionType") == "Gzip",
        )


def _configure(job: Job, container: Container) -> None:
    """Writes what a container finds in its folders.

    Source: SageMaker developer guide, "How Amazon SageMaker AI Provides Training Information".
    """
    given = job.description
    config = f"{ML}/input/config"
    container.write(f"{config}/hyperparameters.json", given.get("HyperParameters") or {})
    channels = {
        channel["ChannelName"]: {
            "TrainingInputMode": channel.get("InputMode", "File"),
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {}),
        }
        for channel in given.get("InputDataConfig") or []
    }
    container.write(f"{config}/inputdataconfig.json", channels)
    container.write(f"{config}/resourceconfig.json", {**HOSTS, "network_interface_name": "lo"})
    for name in ("model", "output/data", "code"):
        container.path(f"{ML}/{name}").mkdir(parents=True, exist_ok=True)


def _plain(value: str) -> str:
    """A hyperparameter's text; the SDK writes values as JSON, so strings have quotes."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if isinstance(parsed, str) else value


def _command(job: Job, container: Container) -> list[str]:
    algorithm = job.description["AlgorithmSpecification"]
    entry = algorithm.get("ContainerEntrypoint") or []
    if entry:
        return [*entry, *(algorithm.get("ContainerArguments") or [])]
    if container.image.program is not None:
        # Source: SageMaker developer guide, "How Amazon SageMaker AI Runs Your Training Image".
        return container.image.program.words("train")
    hyperparameters: Mapping[str, str] = job.description.get("HyperParameters") or {}
    program = _plain(hyperparameters.get("sagemaker_program", ""))
    if program:
        # Source: SageMaker Training Toolkit: a script gets hyperparameters as arguments.
        submitted = _plain(hyperparameters.get("sagemaker_submit_directory", ""))
        if submitted.startswith("s3://"):
            archive = container.folder / "code.tar.gz"
            job.transfer.fetch(submitted, archive)
            transfer.unpack(archive, container.path(f"{ML}/code"))
        elif submitted:
            transfer.unpack(container.path(submitted), container.path(f"{ML}/code"))
        words = [
            word
            for name, value in sorted(hyperparameters.items())
            if not name.startswith(("sagemaker_", "_tuning_"))
            for word in (f"--{name}", _plain(value))
        ]
        return ["python", f"{ML}/code/{program}", *words]
    if container.image.framework == "xgboost":
        return ["python", str(_SCRIPTS / "xgboost_training.py")]
    raise JobError(
        f"ClientError: {container.image.uri} has no algorithm of its own: give a script"
        " (hyperparameter sagemaker_program) or AlgorithmSpecification.ContainerEntrypoint."
    )


def _variables(job: Job, container: Container) -> dict[str, str]:
    given = job.description
    hyperparameters: Mapping[str, str] = given.get("HyperParameters") or {}
    channels = [channel["ChannelName"] for channel in given.get("InputDataConfig") or []]
    config = container.path(f"{ML}/input/config")
    cores = str(os.cpu_count() or 1)
    told = {"TRAINING_JOB_NAME": job.name, "TRAINING_JOB_ARN": job.arn}
    if container.image.program is not None:
        # SM_ variables are made by the training toolkit of AWS's images, not by SageMaker.
        return {**told, **(given.get("Environment") or {})}
    return {
        **told,
        "SM_MODEL_DIR": f"{ML}/model",
        "SM_INPUT_DIR": f"{ML}/input",
        "SM_INPUT_CONFIG_DIR": f"{ML}/input/config",
        "SM_OUTPUT_DIR": f"{ML}/output",
        "SM_OUTPUT_DATA_DIR": f"{ML}/output/data",
        "SM_CURRENT_HOST": "algo-1",
        "SM_HOSTS": json.dumps(HOSTS["hosts"]),
        "SM_NUM_CPUS": cores,
        "SM_NUM_GPUS": "0",
        "SM_CHANNELS": json.dumps(sorted(channels)),
        "SM_HPS": json.dumps(dict(hyperparameters)),
        "SM_INPUT_DATA_CONFIG": (config / "inputdataconfig.json").read_text("utf-8"),
        "SM_RESOURCE_CONFIG": (config / "resourceconfig.json").read_text("utf-8"),
        **{f"SM_CHANNEL_{name.upper()}": f"{ML}/input/data/{name}" for name in channels},
        **{f"SM_HP_{name.upper()}": _plain(value) for name, value in hyperparameters.items()},
        **(given.get("Environment") or {}),
    }


def _metrics(job: Job, log: str) -> Iterator[dict[str, Any]]:
    """The last value of each metric that the log shows."""
    found: dict[str, str] = {}
    for line in log.splitlines():
        for part, metric, value in _BUILT_IN_METRIC.findall(line):
            found[f"{part}:{metric}"] = value
        for definition in job.description["AlgorithmSpecification"].get("MetricDefinitions") or []:
            match = re.search(definition["Regex"], line)
            if match and match.groups():
                found[definition["Name"]] = match[1]
    for name, value in found.items():
        try:
            yield {"MetricName": name, "Value": float(value), "Timestamp": now()}
        except ValueError:
            continue


def _write(job: Job, container: Container, *, model: bool) -> None:
    given = job.description["OutputDataConfig"]
    key, base = given.get("KmsKeyId"), f"{_output(job.description)}/output"
    data = container.path(f"{ML}/output/data")
    if any(data.iterdir()):
        archive = container.folder / "output.tar.gz"
        transfer.pack(data, archive)
        job.transfer.put(f"{base}/output.tar.gz", archive.read_bytes(), key)
    if not model:
        return
    folder = container.path(f"{ML}/model")
    if given.get("CompressionType") == "NONE":
        job.transfer.upload(folder, f"{base}/model", key)
        return
    archive = container.folder / "model.tar.gz"
    transfer.pack(folder, archive)
    job.transfer.put(f"{base}/model.tar.gz", archive.read_bytes(), key)
