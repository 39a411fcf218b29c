"""Transform jobs: objects from S3, through a model, to S3.

Data capture is manifests, which name what was given and what came of it. With
``GenerateInferenceId`` each row of an answer gets an id, and the time when the job started, as its
last two columns: labels are put to predictions by it. Source: SageMaker developer guide, "Capture
data from batch transform job".
"""

from __future__ import annotations

import copy
import gzip
import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params
from localcloud.emulator.jobs import models
from localcloud.emulator.jobs.job import FINISHED, TRANSFORM, Job, JobError, send_log, submit
from localcloud.emulator.jobs.models import Server, ServingError
from localcloud.emulator.jobs.place import Place, now

_RECORD_SECONDS = 600.0
_POLL_SECONDS = 0.2
_DEFAULT_MB = 6
_MB = 1024 * 1024
_NO_FILTERS = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
_ROWS = {"ContentType": "text/csv", "SplitType": "Line", "AssembleWith": "Line"}
"""What a transform must be for ids to be of its rows: elsewhere no answer's rows are known."""


def create(ctx: Context, params: Params) -> Params:
    """Begins a transform job; it runs as its model's role, in its model's VPC."""
    place, name = Place.of(ctx), params["TransformJobName"]
    processing = params.get("DataProcessing") or {}
    changed = [k for k, v in processing.items() if v != _NO_FILTERS.get(k)]
    split = params["TransformInput"].get("SplitType", "None")
    if _identified(params):
        given = {**params["TransformInput"], **params["TransformOutput"]}
        other = [f"{k} {given.get(k)}" for k, v in _ROWS.items() if given.get(k) != v]
        changed += [f"GenerateInferenceId with {', '.join(other)}"] if other else []
    if changed or split not in ("None", "Line"):
        what = ", ".join(changed) or f"SplitType {split}"
        raise ApiError(
            "NotImplemented",
            f"The local cloud's transform jobs have no {what}: add it in"
            " localcloud/emulator/jobs/transform.py.",
            501,
        )
    model = copy.deepcopy(models.get(place, params["ModelName"]))
    for container in models.containers_of(model):
        given = params.get("Environment") or {}
        container["Environment"] = {**(container.get("Environment") or {}), **given}
    arn = place.arn(f"transform-job/{name}")
    subnets = (model.get("VpcConfig") or {}).get("Subnets") or []
    task = place.task(str(model["ExecutionRoleArn"]), "SageMaker", arn, subnets)
    description = {
        **{k: v for k, v in params.items() if k != "Tags"},
        "TransformJobArn": arn,
        "TransformJobStatus": "InProgress",
        "CreationTime": now(),
    }
    isolated = bool(model.get("EnableNetworkIsolation"))
    job = Job(TRANSFORM, place, description, task, place.environment(task), isolated)
    return submit(job, params, lambda running: _work(running, model))


def _work(job: Job, model: Params) -> None:
    job.change(TransformStartTime=now())
    given = job.description["TransformInput"]
    source = given["DataSource"]["S3DataSource"]
    objects = job.transfer.names(source["S3Uri"], source["S3DataType"])
    try:
        servers = models.serve(job.place, model, job.task, f"transform job {job.name}", batch=True)
    except ServingError as error:
        raise JobError(f"ClientError: {error}") from error
    threading.Thread(target=_end_when_stopped, args=(job, servers), daemon=True).start()
    try:
        for uri, name in objects:
            body = job.transfer.read(uri)
            if given.get("CompressionType") == "Gzip":
                body = _unzipped(uri, body)
            output = job.description["TransformOutput"]
            target = f"{output['S3OutputPath'].rstrip('/')}/{name}.out"
            job.transfer.put(target, _transformed(job, servers, uri, body), output.get("KmsKeyId"))
        _capture(job, objects)
    finally:
        text = "\n".join(server.container.output() for server in servers)
        stream = f"{job.name}/i-{uuid.uuid4().hex[:17]}"
        send_log(job.place, job.task, TRANSFORM.log_group, stream, text)
        models.end(servers)


def _identified(params: Mapping[str, Any]) -> bool:
    return bool((params.get("DataCaptureConfig") or {}).get("GenerateInferenceId"))


def _capture(job: Job, objects: Sequence[tuple[str, str]]) -> None:
    """Writes the manifests, below the hour in which the job started."""
    config = job.description.get("DataCaptureConfig")
    if not config or not objects:
        return
    uri, name = objects[0]
    output = job.description["TransformOutput"]["S3OutputPath"]
    captured = {
        "input": (uri.removesuffix(name), [name for _, name in objects]),
        "output": (f"{output.rstrip('/')}/", [f"{name}.out" for _, name in objects]),
    }
    root, file = config["DestinationS3Uri"].rstrip("/"), f"{job.name}-{uuid.uuid4()}.json"
    for side, (prefix, names) in captured.items():
        job.transfer.put(
            f"{root}/{side}/{job.description['TransformStartTime']:%Y/%m/%d/%H}/{file}",
            json.dumps([{"prefix": prefix}, *names]).encode(),
            config.get("KmsKeyId"),
        )


def _end_when_stopped(job: Job, servers: list[Server]) -> None:
    """Ends the containers of a stopped job, which may be at work on a long request."""
    while job.state not in FINISHED:
        if job.stopping.wait(_POLL_SECONDS):
            for server in servers:
                server.end()
            return


def _unzipped(uri: str, body: bytes) -> bytes:
    try:
        return gzip.decompress(body)
    except (OSError, EOFError) as error:
        raise JobError(f"ClientError: {uri} is not a gzip file: {error}") from error


def _transformed(job: Job, servers: list[Server], uri: str, body: bytes) -> bytes:
    given, output = job.description["TransformInput"], job.description["TransformOutput"]
    headers = {
        "Content-Type": given.get("ContentType") or "application/octet-stream",
        "Accept": output.get("Accept") or "*/*",
    }
    answers: list[bytes] = []
    for part in _parts(job.description, uri, body):
        job.check_stop()
        try:
            answer = models.pass_through(servers, part, headers, _RECORD_SECONDS)
        except (OSError, ServingError) as error:
            job.check_stop()
            raise JobError(f"AlgorithmError: The container gave no answer: {error}") from error
        if not 200 <= answer.status < 300:
            said = answer.body.decode("utf-8", "replace")
            kind = "AlgorithmError" if answer.status >= 500 else "ClientError"
            raise JobError(f"{kind}: {uri}: the container answered {answer.status}: {said}")
        answers.append(
            _with_ids(job, uri, part, answer.body) if _identified(job.description) else answer.body
        )
    if output.get("AssembleWith") == "Line":
        return b"".join(answer.rstrip(b"\n") + b"\n" for answer in answers)
    return b"".join(answers)


def _with_ids(job: Job, uri: str, part: bytes, answer: bytes) -> bytes:
    """An answer whose rows have an id and the job's start as their last two columns."""
    asked, told = part.splitlines(), answer.splitlines()
    if len(asked) != len(told):
        raise JobError(
            f"ClientError: {uri}: the container answered {len(told)} lines to {len(asked)} records:"
            " ids of inferences need a line for each record."
        )
    started = f"{job.description['TransformStartTime']:%Y-%m-%dT%H:%M:%SZ}"
    return b"".join(b"%b,%b,%b\n" % (row, str(uuid.uuid4()).encode(), started.encode())
                    for row in told)  # fmt: skip


def _parts(given: Mapping[str, Any], uri: str, body: bytes) -> Iterator[bytes]:
    """The requests that an object makes. Source: SageMaker API reference, CreateTransformJob."""
    limit = int(given.get("MaxPayloadInMB", _DEFAULT_MB)) * _MB or len(body) + 1
    if given["TransformInput"].get("SplitType", "None") == "None":
        lines = [body]
    else:
        lines = [line for line in body.splitlines(keepends=True) if line.strip()]
    if any(len(line) > limit for line in lines):
        raise JobError(
            f"ClientError: {uri} has a record larger than MaxPayloadInMB:"
            f" {given.get('MaxPayloadInMB', _DEFAULT_MB)}."
        )
    if given.get("BatchStrategy") == "SingleRecord":
        yield from lines
        return
    batch = b""
    for line in lines:
        if batch and len(batch) + len(line) > limit:
            yield batch
            batch = b""
        batch += line
    if batch:
        yield batch
