"""Lambda functions that really run: each invocation is a process with the function role's rights.

A function's queues are polled as Lambda does it, with the function role's own credentials. Nothing
waits in the emulator's lock: invocations and polls run in threads of their own and call back like
any other client.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import acting, function_runtime, world
from localcloud.emulator.compute import Compute, ComputeError, Task

_log = logging.getLogger(__name__)

SERVICE = "lambda.amazonaws.com"
_POLL_SECONDS = 0.2
_ASYNCHRONOUS_ATTEMPTS = 3
"""Source: Lambda developer guide, how Lambda handles errors of asynchronous invocations."""
_PARALLEL = 4
_TAIL = 4096  # bytes of the log that Invoke returns, by Lambda's API reference


@dataclass
class Function:
    """A function: its configuration as ``GetFunctionConfiguration`` shows it, and the rest.

    Attributes:
        account: Account that owns it.
        region: Where it is.
        configuration: Members of ``FunctionConfiguration``.
        code: The zip archive.
        tags: Its tags.
        statements: Qualifier -> statements of its resource policy there, by id; the empty one is
            the function without a qualifier.
        aliases: Name -> alias.
        reserved: Reserved concurrency, None without.
    """

    account: str
    region: str
    configuration: dict[str, Any]
    code: bytes
    tags: dict[str, str] = field(default_factory=dict[str, str])
    statements: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=dict[str, dict[str, dict[str, Any]]]
    )
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    reserved: int | None = None

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.configuration["FunctionArn"])

    @property
    def log_group(self) -> str:
        """Where its output goes."""
        given = (self.configuration.get("LoggingConfig") or {}).get("LogGroup")
        return str(given or f"/aws/lambda/{self.configuration['FunctionName']}")

    def task(self, session: str, *, inside: bool = True) -> Task:
        """What its process runs as; outside its VPC for what Lambda itself does for it."""
        network = self.configuration.get("VpcConfig") or {}
        return Task(
            account=self.account,
            region=self.region,
            service=SERVICE,
            role_arn=str(self.configuration["Role"]),
            session=session,
            source_arn=self.arn,
            subnet_ids=tuple(network.get("SubnetIds") or ()) if inside else (),
        )


@dataclass(frozen=True)
class Result:
    """What an invocation gave.

    Attributes:
        payload: JSON that the handler returned, or the error's description.
        error: ``Unhandled`` when it failed, else None.
        log: The end of its output.
    """

    payload: bytes
    error: str | None
    log: bytes


class Functions:
    """Runs functions of all accounts.

    Args:
        compute: Starts their processes.
        client: ``client(service, account, region)`` acts as AWS itself.
        allowed: ``allowed(task, action, resource)``: whether a task's role may do something.
    """

    def __init__(
        self,
        compute: Compute,
        client: Callable[[str, str, str], Any],
        allowed: Callable[[Task, str, str], bool],
    ) -> None:
        self._compute = compute
        self._client = client
        self._allowed = allowed
        self._pool = ThreadPoolExecutor(_PARALLEL * 4, thread_name_prefix="lambda")
        self._stops: dict[str, threading.Event] = {}

    # Invocations.

    def invoke(self, function: Function, payload: bytes, qualifier: str = "") -> Result:
        """Runs a function once, to its end; it is told by which qualifier it was called."""
        request = str(uuid.uuid4())
        name = str(function.configuration["FunctionName"])
        folder = self._unpacked(function)
        work = self._compute.folder / "invocations" / request
        work.mkdir(parents=True)
        log, answer = work / "log", work / "answer"
        seconds = float(function.configuration["Timeout"])
        variables = (function.configuration.get("Environment") or {}).get("Variables") or {}
        try:
            environment = self._compute.environment(function.task(name))
        except ComputeError as error:
            return _failed("AccessDeniedException", str(error), b"")
        environment |= {
            **variables,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.configuration["MemorySize"]),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": request,
            "LAMBDA_TASK_ROOT": str(folder),
            "_HANDLER": str(function.configuration["Handler"]),
            "LOCALCLOUD_REQUEST_ID": request,
            "LOCALCLOUD_FUNCTION_ARN": qualified(function.arn, qualifier),
            "LOCALCLOUD_SECONDS": str(seconds),
        }
        process = self._compute.start(
            [sys.executable, "-P", str(Path(function_runtime.__file__)), str(answer)],
            folder,
            environment,
            log=log,
            stdin=payload,
        )
        code = self._compute.wait(process, seconds)
        output = log.read_bytes()
        self._write_log(function, request, output)
        if code is None:
            message = f"{request} Task timed out after {seconds:.2f} seconds"
            return _failed("Sandbox.Timedout", message, output)
        if not answer.exists():
            message = f"RequestId: {request} Error: Runtime exited with exit status {code}"
            return _failed("Runtime.ExitError", message, output)
        given = json.loads(answer.read_bytes())
        if "errorType" in given:
            return Result(json.dumps(given).encode(), "Unhandled", output[-_TAIL:])
        return Result(json.dumps(given["result"]).encode(), None, output[-_TAIL:])

    def invoke_later(self, function: Function, payload: bytes, qualifier: str = "") -> None:
        """Runs a function in the background, with the attempts that AWS makes; keeps what failed.

        What fails to the end goes to the function's dead-letter queue.
        """
        self._pool.submit(self._asynchronous, function, payload, qualifier)

    def _asynchronous(self, function: Function, payload: bytes, qualifier: str) -> None:
        result = self.invoke(function, payload, qualifier)
        for _ in range(_ASYNCHRONOUS_ATTEMPTS - 1):
            if result.error is None or self._compute.stopping.is_set():
                break
            result = self.invoke(function, payload, qualifier)
        if result.error is None:
            return
        _log.warning("%s failed: %s", function.arn, result.payload.decode())
        target = (function.configuration.get("DeadLetterConfig") or {}).get("TargetArn")
        if not target:
            return
        arn = world.Arn.parse(str(target))
        if arn is None or arn.service != "sqs":
            _log.warning("%s cannot be sent failures: only queues can", target)
            return
        try:
            self._role_client("sqs", function).send_message(
                QueueUrl=self._queue_url(arn),
                MessageBody=payload.decode(),
                MessageAttributes={
                    "ErrorMessage": {
                        "DataType": "String",
                        "StringValue": result.payload.decode()[:1000],
                    }
                },
            )
        except (BotoCoreError, ClientError, ComputeError):
            _log.exception("%s: the dead-letter queue %s cannot be used", function.arn, target)

    def _unpacked(self, function: Function) -> Path:
        digest = base64.urlsafe_b64encode(base64.b64decode(function.configuration["CodeSha256"]))
        folder = self._compute.folder / "functions" / digest.decode().rstrip("=")
        if not folder.exists():
            aside = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
            aside.mkdir(parents=True)
            with zipfile.ZipFile(io.BytesIO(function.code)) as archive:
                archive.extractall(aside)
            with contextlib.suppress(OSError):  # another invocation was first
                aside.rename(folder)
        return folder

    def _write_log(self, function: Function, stream: str, output: bytes) -> None:
        """Puts a function's output where its role may: Lambda writes logs by that right."""
        group = function.log_group
        arn = f"arn:aws:logs:{function.region}:{function.account}:log-group:{group}"
        task = function.task("logs", inside=False)
        logs = self._client("logs", function.account, function.region)
        if not all(
            self._allowed(task, action, f"{arn}:log-stream:{stream}")
            for action in ("logs:CreateLogStream", "logs:PutLogEvents")
        ):
            return
        with contextlib.suppress(ClientError):
            found = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
            if all(item["logGroupName"] != group for item in found) and self._allowed(
                task, "logs:CreateLogGroup", arn
            ):
                logs.create_log_group(logGroupName=group)
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
            now = int(time.time() * 1000)
            lines = [line for line in output.decode("utf-8", "replace").splitlines() if line]
            if lines:
                logs.put_log_events(
                    logGroupName=group,
                    logStreamName=stream,
                    logEvents=[{"timestamp": now, "message": line} for line in lines],
                )

    def _queue_url(self, queue: world.Arn) -> str:
        return f"{self._compute.endpoint}/{queue.account}/{queue.resource}"

    def _role_client(self, service: str, function: Function) -> Any:
        """A client with the function role's rights, for what Lambda does in its name."""
        environment = self._compute.environment(function.task("lambda", inside=False))
        return acting.client_of(service, environment)

    # Queues.

    def watch(self, mapping: dict[str, Any], find: Callable[[], Function | None]) -> None:
        """Polls the queue of an event source mapping until :meth:`unwatch`.

        Args:
            mapping: The mapping, whose ``LastProcessingResult`` is kept up to date.
            find: Gives the function as it is now, None when it is gone.
        """
        stop = threading.Event()
        self._stops[mapping["UUID"]] = stop
        arguments = (mapping, find, stop)
        threading.Thread(target=self._poll, args=arguments, daemon=True).start()

    def unwatch(self, mapping: Mapping[str, Any]) -> None:
        """Ends polling."""
        stop = self._stops.pop(mapping["UUID"], None)
        if stop:
            stop.set()

    def _poll(
        self, mapping: dict[str, Any], find: Callable[[], Function | None], stop: threading.Event
    ) -> None:
        slots = threading.Semaphore(_parallel(mapping))
        queue = world.Arn.parse(str(mapping["EventSourceArn"]))
        assert queue is not None  # noqa: S101 - the mapping was made with it
        while not stop.wait(_POLL_SECONDS) and not self._compute.stopping.is_set():
            function = find()
            if function is None or not _waiting(mapping["EventSourceArn"]):
                continue
            if not slots.acquire(blocking=False):
                continue
            taken = False
            try:
                sqs, url = self._role_client("sqs", function), self._queue_url(queue)
                messages = sqs.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=min(10, int(mapping.get("BatchSize", 10))),
                    MessageSystemAttributeNames=["All"],
                    MessageAttributeNames=["All"],
                ).get("Messages", [])
                mapping["LastProcessingResult"] = "OK" if messages else "No records processed"
                if messages:
                    taken = True
                    self._pool.submit(
                        self._batch, mapping, function, sqs, url, messages, slots.release
                    )
            except (BotoCoreError, ClientError, ComputeError) as error:
                mapping["LastProcessingResult"] = f"PROBLEM: {error}"
                stop.wait(1)
            finally:
                if not taken:
                    slots.release()

    def _batch(
        self,
        mapping: dict[str, Any],
        function: Function,
        sqs: Any,
        url: str,
        messages: Sequence[Mapping[str, Any]],
        done: Callable[[], None],
    ) -> None:
        try:
            event = {"Records": [_record(mapping, function, message) for message in messages]}
            result = self.invoke(function, json.dumps(event).encode())
            if result.error:
                mapping["LastProcessingResult"] = f"PROBLEM: Function call failed: {result.payload}"
                return
            failed: set[str] = set()
            if "ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()):
                answer = json.loads(result.payload) or {}
                failed = {item["itemIdentifier"] for item in answer.get("batchItemFailures", [])}
            for message in messages:
                if message["MessageId"] not in failed:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except Exception:
            _log.exception("A batch for %s failed", function.arn)
        finally:
            done()


def qualified(arn: str, qualifier: str) -> str:
    """The ARN by which a function is called."""
    return f"{arn}:{qualifier}" if qualifier else arn


def _parallel(mapping: Mapping[str, Any]) -> int:
    wanted = (mapping.get("ScalingConfig") or {}).get("MaximumConcurrency")
    return min(int(wanted or _PARALLEL), _PARALLEL)


def _waiting(arn: str) -> bool:
    """Whether a queue may have messages, so that idle queues are not asked again and again."""
    parsed = world.Arn.parse(arn)
    if parsed is None:
        return False
    queue = world.backend("sqs", parsed.account, parsed.region).queues.get(parsed.resource)
    return queue is not None and queue.approximate_number_of_messages > 0


def _record(
    mapping: Mapping[str, Any], function: Function, message: Mapping[str, Any]
) -> dict[str, Any]:
    """A message as a function gets it. Source: Lambda developer guide, SQS event."""
    attributes = {
        name: {
            "stringValue": value.get("StringValue"),
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": value["DataType"],
        }
        for name, value in (message.get("MessageAttributes") or {}).items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes") or {}),
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": mapping["EventSourceArn"],
        "awsRegion": function.region,
    }


def _failed(kind: str, message: str, output: bytes) -> Result:
    payload = json.dumps({"errorType": kind, "errorMessage": message}).encode()
    return Result(payload, "Unhandled", output[-_TAIL:])
