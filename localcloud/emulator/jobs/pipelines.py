"""Pipelines and their executions: steps as the pipeline's role, side by side where they can be.

Each step makes its call over the ordinary API with the role's credentials, so IAM decides on it.
Waits between retries are shortened: a minute takes a second.
"""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import json
import logging
import secrets
import string
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from localcloud.emulator import acting
from localcloud.emulator.extension import ApiError, Context, Params
from localcloud.emulator.jobs import definition
from localcloud.emulator.jobs.definition import Definition, DefinitionError, Resolver, Step
from localcloud.emulator.jobs.job import page, refuse, select
from localcloud.emulator.jobs.metrics import PIPELINES, Measurements
from localcloud.emulator.jobs.place import Place, now
from localcloud.emulator.jobs.transfer import Transfer, TransferError

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_SHORTENED = 1 / 60
_REASON = 3000
_DAYS_28 = 28 * 86_400
_ALPHABET = string.ascii_lowercase + string.digits
_NAME = 63
_EXECUTION_EVENT = "SageMaker Model Building Pipeline Execution Status Change"
_STEP_EVENT = "SageMaker Model Building Pipeline Execution Step Status Change"
_ENDED = ("Succeeded", "Failed", "Stopped")

# Exception type of a retry policy -> error codes of calls that it is for.
_RETRIED = {
    "Step.SERVICE_FAULT": ("InternalFailure", "InternalServerError", "ServiceUnavailable"),
    "Step.THROTTLING": ("Throttling", "ThrottlingException", "TooManyRequestsException"),
    "SageMaker.RESOURCE_LIMIT": ("ResourceLimitExceeded",),
    "SageMaker.JOB_INTERNAL_ERROR": ("InternalServerError",),
    "SageMaker.CAPACITY_ERROR": ("CapacityError",),
}


@dataclass(frozen=True)
class _Made:
    """What a step's call makes.

    Attributes:
        noun: Such as ``TrainingJob``.
        name: Member with its name, which the step gives it; empty when SageMaker does.
        describe: Call that tells of it.
        key: Input of that call.
        job: Whether it runs, and is waited for.
        told: Member of the step's metadata; empty when it is the noun.
    """

    noun: str
    name: str
    describe: str
    key: str
    job: bool
    told: str = ""


def _job(noun: str, told: str = "") -> _Made:
    return _Made(noun, f"{noun}Name", f"Describe{noun}", f"{noun}Name", job=True, told=told)


_MADE = {
    "Processing": _job("ProcessingJob"),
    "Training": _job("TrainingJob"),
    "Tuning": _job("HyperParameterTuningJob", told="TuningJob"),
    "Transform": _job("TransformJob"),
    "Model": _Made("Model", "ModelName", "DescribeModel", "ModelName", job=False),
    "RegisterModel": _Made(
        "RegisterModel", "", "DescribeModelPackage", "ModelPackageName", job=False
    ),
}


class StepError(Exception):
    """A step has failed; the message becomes its ``FailureReason``."""


class StepStoppedError(Exception):
    """A step was stopped."""


# -- pipelines -------------------------------------------------------------------------------------


@dataclass
class Pipeline:
    """One pipeline.

    Attributes:
        given: As created and updated.
        executions: Id -> execution.
        cache: Signature of a step -> what succeeded with it, newest last.
    """

    given: Params
    executions: dict[str, Execution] = field(default_factory=dict[str, "Execution"])
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    cache: dict[str, list[StepRun]] = field(default_factory=dict[str, "list[StepRun]"])

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.given["PipelineArn"])

    def description(self) -> Params:
        """As DescribePipeline gives it."""
        times = [execution.created for execution in self.executions.values()]
        return {**self.given, **({"LastRunTime": max(times)} if times else {})}


def _parsed(text: str) -> Definition:
    try:
        return definition.parse(text)
    except DefinitionError as error:
        raise ApiError("ValidationException", str(error)) from error


def _by(ctx: Context) -> Params:
    return {"IamIdentity": {"Arn": ctx.caller.arn, "PrincipalId": ctx.caller.arn}}


def create(ctx: Context, params: Params) -> Params:
    """Keeps a pipeline whose definition can be run."""
    place, name = Place.of(ctx), params["PipelineName"]
    refuse(params, {"PipelineDefinitionS3Location": "definitions in S3"}, "pipelines")
    arn, pipelines = place.arn(f"pipeline/{name}"), Place.of(ctx).things("pipelines")
    tokens = place.things("pipeline_tokens")
    token = params.get("ClientRequestToken")
    if token and tokens.get(token) == name and name in pipelines:
        return {"PipelineArn": arn}
    if name in pipelines:
        raise ApiError(
            "ConflictException", f"Pipeline names must be unique: {arn} exists already.", 400
        )
    _parsed(params["PipelineDefinition"])
    kept = {k: v for k, v in params.items() if k not in ("Tags", "ClientRequestToken")}
    pipelines[name] = Pipeline(
        {
            "PipelineDisplayName": name,
            **kept,
            "PipelineArn": arn,
            "PipelineStatus": "Active",
            "CreationTime": now(),
            "LastModifiedTime": now(),
            "CreatedBy": _by(ctx),
            "LastModifiedBy": _by(ctx),
        }
    )
    if token:
        tokens[token] = name
    place.remember_tags(arn, params)
    return {"PipelineArn": arn}


def get(place: Place, name_or_arn: str) -> Pipeline:
    """A pipeline.

    Raises:
        ApiError: There is none.
    """
    name = name_or_arn.rpartition("pipeline/")[2]
    pipeline = place.things("pipelines").get(name)
    if pipeline is None:
        arn = place.arn(f"pipeline/{name}")
        raise ApiError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
    return cast(Pipeline, pipeline)


def update(ctx: Context, params: Params) -> Params:
    """Changes a pipeline; executions that run keep their definition."""
    refuse(params, {"PipelineDefinitionS3Location": "definitions in S3"}, "pipelines")
    pipeline = get(Place.of(ctx), params["PipelineName"])
    if "PipelineDefinition" in params:
        _parsed(params["PipelineDefinition"])
    changed = {"LastModifiedTime": now(), "LastModifiedBy": _by(ctx)}
    pipeline.given = {**pipeline.given, **params, **changed}
    return {"PipelineArn": pipeline.arn}


def delete(place: Place, params: Params) -> Params:
    """Removes a pipeline; refused while it runs."""
    pipeline = get(place, params["PipelineName"])
    if any(execution.status not in _ENDED for execution in pipeline.executions.values()):
        raise ApiError("ConflictException", f"{pipeline.arn} has executions that run.", 400)
    del place.things("pipelines")[str(pipeline.given["PipelineName"])]
    place.forget_tags(pipeline.arn)
    return {"PipelineArn": pipeline.arn}


def summaries(place: Place, params: Params) -> Params:
    """A page of pipelines."""
    members = (
        "PipelineArn", "PipelineName", "PipelineDisplayName", "PipelineDescription", "RoleArn",
        "CreationTime", "LastModifiedTime",
    )  # fmt: skip
    every = [pipeline.description() for pipeline in place.things("pipelines").values()]
    items: list[Params] = []
    for one in select(every, params, "PipelineName"):
        item = {m: one[m] for m in members if m in one}
        if "LastRunTime" in one:
            item["LastExecutionTime"] = one["LastRunTime"]
        items.append(item)
    return page(items, "PipelineSummaries", params)


# -- executions ------------------------------------------------------------------------------------


@dataclass
class StepRun:
    """A step within an execution."""

    step: Step
    status: str = "Starting"
    started: dt.datetime = field(default_factory=now)
    ended: dt.datetime | None = None
    metadata: Params = field(default_factory=dict[str, Any])
    result: Any = None
    failure: str | None = None
    cached_from: str | None = None
    attempts: int = 0
    signature: str | None = None
    execution_arn: str = ""

    def summary(self) -> Params:
        """As ListPipelineExecutionSteps gives it."""
        told: Params = {
            "StepName": self.step.name,
            "StepDisplayName": self.step.given.get("DisplayName") or self.step.name,
            "StartTime": self.started,
            "StepStatus": self.status,
            "Metadata": self.metadata,
            "AttemptCount": max(self.attempts, 1),
        }
        optional = {
            "StepDescription": self.step.given.get("Description"),
            "EndTime": self.ended,
            "FailureReason": self.failure,
            "CacheHitResult": {"SourcePipelineExecutionArn": self.cached_from}
            if self.cached_from
            else None,
        }
        return {**told, **{name: value for name, value in optional.items() if value}}


class Execution:
    """One execution of a pipeline.

    Args:
        place: Where it runs.
        pipeline: What it executes.
        params: Of StartPipelineExecution.
        by: Who started it.
    """

    def __init__(self, place: Place, pipeline: Pipeline, params: Params, by: Params) -> None:
        self.place, self.pipeline = place, pipeline
        self.id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
        self.arn = f"{pipeline.arn}/execution/{self.id}"
        self.text = str(pipeline.given["PipelineDefinition"])
        self.definition = _parsed(self.text)
        self.parameters = list(params.get("PipelineParameters") or [])
        try:
            self._values = self.definition.values(self.parameters)
        except DefinitionError as error:
            raise ApiError("ValidationException", str(error)) from error
        self.status, self.failure = "Executing", None
        self.created = self.modified = now()
        self.by = by
        self.named = {
            member: params[member]
            for member in ("PipelineExecutionDisplayName", "PipelineExecutionDescription")
            if member in params
        }
        self.parallelism: Params = (
            params.get("ParallelismConfiguration")
            or pipeline.given.get("ParallelismConfiguration")
            or {}
        )
        self.role = str(pipeline.given["RoleArn"])
        task = place.task(self.role, "SageMaker", self.arn, [], seconds=_DAYS_28)
        self._environment = place.environment(task)
        self.runs: dict[str, StepRun] = {}
        self._outcomes: dict[str, bool] = {}
        self._trial = ""
        self.stopping = threading.Event()
        self._changed = threading.Condition()

    # What it says about itself.

    def description(self) -> Params:
        """As DescribePipelineExecution gives it."""
        told: Params = {
            "PipelineArn": self.pipeline.arn,
            "PipelineExecutionArn": self.arn,
            "PipelineExecutionDisplayName": f"execution-{self.id}",
            "PipelineExecutionStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "CreatedBy": self.by,
            "LastModifiedBy": self.by,
            **self.named,
        }
        if self.parallelism:
            told["ParallelismConfiguration"] = self.parallelism
        if self.failure:
            told["FailureReason"] = self.failure
        return told

    def become(self, status: str) -> None:
        """Changes its state, and sends the event of it."""
        before, self.status, self.modified = self.status, status, now()
        ended = {"executionEndTime": _iso(self.modified)} if status in _ENDED else {}
        detail = {
            "pipelineExecutionDisplayName": self.description()["PipelineExecutionDisplayName"],
            "pipelineExecutionDescription": self.named.get("PipelineExecutionDescription", ""),
            "currentPipelineExecutionStatus": status,
            "previousPipelineExecutionStatus": before,
            "executionStartTime": _iso(self.created),
            **ended,
            "pipelineArn": self.pipeline.arn,
            "pipelineExecutionArn": self.arn,
        }
        self.place.publish(_EXECUTION_EVENT, detail, self.pipeline.arn, self.arn)
        metric = "ExecutionStarted" if before == status else f"Execution{status}"
        if status in (*_ENDED, "Executing"):
            Measurements.of(self.place).add(
                {"PipelineName": str(self.pipeline.given["PipelineName"])},
                [(metric, 1, "Count")],
                namespace=PIPELINES,
            )

    def _step_becomes(self, run: StepRun, status: str) -> None:
        before, run.status = run.status, status
        if status in _ENDED:
            run.ended = now()
        metadata = {f"{k[0].lower()}{k[1:]}": _lower(v) for k, v in run.metadata.items()}
        detail: Params = {
            "metadata": metadata,
            "stepName": run.step.name,
            "stepType": run.step.type,
            "stepStartTime": _iso(run.started),
            "previousStepStatus": before,
            "currentStepStatus": status,
            "pipelineArn": self.pipeline.arn,
            "pipelineExecutionArn": self.arn,
        }
        if run.ended:
            detail["stepEndTime"] = _iso(run.ended)
        if run.failure:
            detail["failureReason"] = run.failure
        if run.cached_from:
            detail["cacheHitResult"] = {"sourcePipelineExecutionArn": run.cached_from}
        self.place.publish(_STEP_EVENT, detail, self.pipeline.arn, self.arn)

    # Its life.

    def begin(self) -> None:
        """Runs it in a thread of its own."""
        threading.Thread(target=self._run, daemon=True, name=self.id).start()

    def _run(self) -> None:
        try:
            self.become("Executing")
            self._begin_trial()
            self._schedule()
        except Exception as error:
            _log.exception("%s failed", self.arn)
            self.failure = f"The local cloud failed: {error!r}"
            self.become("Failed")
        _log.info("Pipeline execution %s: %s", self.arn, self.status)

    def _schedule(self) -> None:
        limit = int(self.parallelism.get("MaxParallelExecutionSteps") or 200)
        with self._changed:
            while True:
                runs = self.runs.values()
                running = [run for run in runs if run.status not in _ENDED]
                failed = [run for run in runs if run.status == "Failed"]
                halted = failed or self.stopping.is_set() or self.place.compute.stopping.is_set()
                ready = [] if halted else self._ready()[: max(0, limit - len(running))]
                for step in ready:
                    run = self.runs[step.name] = StepRun(step, execution_arn=self.arn)
                    threading.Thread(
                        target=self._carry_out, args=(run,), daemon=True, name=step.name
                    ).start()
                if not ready and not running:
                    break
                self._changed.wait(_POLL_SECONDS)
        if failed:
            self.failure = "; ".join(
                f"Step failure: step {run.step.name}: {run.failure}" for run in failed
            )[:_REASON]
            self.become("Failed")
        else:
            self.become("Stopped" if halted else "Succeeded")

    def _ready(self) -> list[Step]:
        """Steps that have not begun and wait for nothing more."""
        done = {name for name, run in self.runs.items() if run.status == "Succeeded"}

        def may(step: Step) -> bool:
            if step.branch and self._outcomes.get(step.branch[0]) is not step.branch[1]:
                return False
            return step.needs <= done

        steps = self.definition.steps
        return [step for name, step in steps.items() if name not in self.runs and may(step)]

    def again(self) -> None:
        """Runs what has failed or was stopped once more."""
        self.runs = {n: run for n, run in self.runs.items() if run.status == "Succeeded"}
        self.failure = None
        self.stopping.clear()
        self.begin()

    def _carry_out(self, run: StepRun) -> None:
        try:
            self._step_becomes(run, "Executing")
            self._do(run)
        except StepStoppedError:
            status = "Stopped"
        except (StepError, DefinitionError, TransferError) as error:
            run.failure, status = str(error)[:_REASON], "Failed"
        except Exception as error:
            _log.exception("Step %s failed", run.step.name)
            run.failure, status = f"The local cloud failed: {error!r}", "Failed"
        else:
            status = "Succeeded"
        self._step_becomes(run, status)
        with self._changed:
            self._changed.notify_all()

    # The experiment that it is part of.

    def _begin_trial(self) -> None:
        """Makes its trial, and the experiment unless there is one, where the definition has them.

        Source: SageMaker developer guide, "Amazon SageMaker Experiments Integration": SageMaker
        makes both, and a component of the trial for each job.
        """
        config = self._resolver().resolve(dict(self.definition.experiment))
        if not config.get("ExperimentName"):
            return
        self._trial = str(config.get("TrialName") or self.id)
        names = {"ExperimentName": str(config["ExperimentName"]), "TrialName": self._trial}
        client = acting.client_of("sagemaker", self._environment)
        _unless_there(client.create_experiment, ExperimentName=names["ExperimentName"])
        _unless_there(client.create_trial, **names)

    def _add_component(self, step: Step, arn: str) -> None:
        """Makes a component of its trial for a step's job."""
        if not self._trial:
            return
        kind, _, job = arn.rpartition(":")[2].partition("/")
        name = f"{job}-aws-{kind}"
        client = acting.client_of("sagemaker", self._environment)
        _unless_there(
            client.create_trial_component,
            TrialComponentName=name,
            DisplayName=step.name,
            StartTime=now(),
        )
        client.associate_trial_component(TrialComponentName=name, TrialName=self._trial)

    # Steps.

    def _resolver(self) -> Resolver:
        variables = {
            "PipelineName": self.pipeline.given["PipelineName"],
            "PipelineArn": self.pipeline.arn,
            "PipelineExecutionId": self.id,
            "PipelineExecutionArn": self.arn,
            "StartDateTime": _iso(self.created),
            "CurrentDateTime": _iso(now()),
        }
        results = {n: run.result for n, run in self.runs.items() if run.status == "Succeeded"}
        return Resolver(self._values, variables, results, self._property_file, self._json)

    def _json(self, uri: str) -> Any:
        content = Transfer(self._environment, self.role).read(uri)
        try:
            return json.loads(content)
        except ValueError as error:
            raise StepError(f"ClientError: {uri} is no JSON: {error}") from error

    def _property_file(self, step: str, name: str) -> Any:
        run = self.runs[step]
        for item in run.step.given.get("PropertyFiles") or []:
            if item["PropertyFileName"] == name:
                path = f"ProcessingOutputConfig.Outputs['{item['OutputName']}'].S3Output.S3Uri"
                return self._json(f"{definition.at(run.result, path)}/{item['FilePath']}")
        raise DefinitionError(f"Step {step} has no property file {name}.")

    def _do(self, run: StepRun) -> None:
        step, resolver = run.step, self._resolver()
        if step.type == "Condition":
            conditions = step.arguments.get("Conditions") or []
            outcome = all(resolver.holds(condition) for condition in conditions)
            run.metadata = {"Condition": {"Outcome": "True" if outcome else "False"}}
            run.result = run.metadata["Condition"]
            self._outcomes[step.name] = outcome
        elif step.type == "Fail":
            message = str(resolver.resolve(step.arguments.get("ErrorMessage", "")))
            run.metadata = {"Fail": {"ErrorMessage": message}}
            raise StepError(message)
        elif step.type == "Lambda":
            self._lambda(run, resolver)
        else:
            self._call(run, resolver)

    def _lambda(self, run: StepRun, resolver: Resolver) -> None:
        function = str(resolver.resolve(run.step.given["FunctionArn"]))
        payload = json.dumps(resolver.resolve(dict(run.step.arguments))).encode()
        client = acting.client_of("lambda", self._environment)
        try:
            answer = client.invoke(FunctionName=function, Payload=payload)
        except (BotoCoreError, ClientError) as error:
            raise StepError(f"ClientError: {error}") from error
        body = answer["Payload"].read()
        if answer.get("FunctionError"):
            raise StepError(f"ClientError: {function} failed: {body.decode('utf-8', 'replace')}")
        returned = json.loads(body or b"null")
        names = [item["OutputName"] for item in run.step.given.get("OutputParameters") or []]
        found = cast("dict[str, Any]", returned if isinstance(returned, dict) else {})
        missing = [name for name in names if name not in found]
        if missing:
            raise StepError(f"ClientError: {function} did not return {', '.join(missing)}.")
        run.metadata = {
            "Lambda": {
                "Arn": function,
                "OutputParameters": [{"Name": n, "Value": str(found[n])} for n in names],
            }
        }
        run.result = {"OutputParameters": found}

    def _call(self, run: StepRun, resolver: Resolver) -> None:
        step = run.step
        made, operation = _MADE[step.type], definition.STEP_CALLS[step.type]
        arguments = definition.call_input(step.type, resolver.resolve(dict(step.arguments)))
        if self._reuse(run, arguments):
            return
        if made.name and made.name not in arguments:
            arguments[made.name] = self._name(step)
        if step.type == "RegisterModel":
            arguments.setdefault("MetadataProperties", {"GeneratedBy": self.arn})
        if step.type == "RegisterModel" and arguments.get("ModelPackageGroupName"):
            # Versions of a group have its tags.
            arguments.pop("Tags", None)
        elif made.job or step.type == "Model":
            mark = {"Key": "sagemaker:pipeline-execution-arn", "Value": self.arn}
            arguments["Tags"] = [*(arguments.get("Tags") or []), mark]
        client = acting.client_of("sagemaker", self._environment)
        answer = self._tried(run, lambda: getattr(client, xform_name(operation))(**arguments))
        key = arguments[made.name] if made.name else answer["ModelPackageArn"]
        arn = next(value for name, value in answer.items() if name.endswith("Arn"))
        run.metadata = {made.told or made.noun: {"Arn": arn}}
        if made.job and step.type != "Tuning":
            self._add_component(step, arn)
        describe = getattr(client, xform_name(made.describe))
        try:
            run.result = self._wait(made, key, describe, client)
            if step.type == "Tuning":
                run.result |= _training_jobs(client, run.result)
        except (BotoCoreError, ClientError) as error:
            raise StepError(f"ClientError: {error}") from error
        if run.signature:
            self.pipeline.cache.setdefault(run.signature, []).append(run)

    def _name(self, step: Step) -> str:
        end = "".join(secrets.choice(_ALPHABET) for _ in range(10))
        if step.type == "Tuning":
            # Its training jobs are named after it, so it may have no more than 32 characters.
            return f"{self.id}-{step.name[:8].strip('-')}-{end}"
        room = _NAME - len(f"pipelines-{self.id}--{end}")
        return f"pipelines-{self.id}-{step.name[:room].strip('-')}-{end}"

    def _tried(self, run: StepRun, call: Callable[[], Any]) -> Any:
        """Makes a call, again as often as the step's retry policies say."""
        policies: Sequence[Mapping[str, Any]] = run.step.given.get("RetryPolicies") or []
        while True:
            run.attempts += 1
            try:
                return call()
            except ParamValidationError as error:
                raise StepError(f"ClientError: {error}") from error
            except (BotoCoreError, ClientError) as error:
                code = ""
                if isinstance(error, ClientError):
                    code = cast("dict[str, Any]", error.response)["Error"]["Code"]
                fitting = [p for p in policies if _is_for(p, code)]
                if not fitting or run.attempts > int(fitting[0].get("MaxAttempts") or 5):
                    raise StepError(f"ClientError: {error}") from error
                interval = float(fitting[0].get("IntervalSeconds") or 1)
                rate = float(fitting[0].get("BackoffRate") or 2.0)
                wait = interval * rate ** (run.attempts - 1) * _SHORTENED
                if self.stopping.wait(wait):
                    raise StepStoppedError from error

    def _wait(self, made: _Made, key: str, describe: Callable[..., Any], client: Any) -> Any:
        told = False
        while True:
            result = dict(describe(**{made.key: key}))
            result.pop("ResponseMetadata", None)
            status = result.get(f"{made.noun}Status", "Completed")
            if not made.job or status == "Completed":
                return result
            if status == "Failed":
                raise StepError(f"ClientError: {result.get('FailureReason', status)}")
            if status == "Stopped":
                if self.stopping.is_set() or not result.get("FailureReason"):
                    raise StepStoppedError
                raise StepError(f"ClientError: {result['FailureReason']}")
            if self.place.compute.stopping.is_set():
                raise StepStoppedError
            if self.stopping.is_set() and not told:
                told = True
                getattr(client, xform_name(f"Stop{made.noun}"))(**{made.key: key})
            time.sleep(_POLL_SECONDS)

    def _reuse(self, run: StepRun, arguments: Mapping[str, Any]) -> bool:
        """Takes over what an earlier run of the same step made, where caching lets it."""
        step = run.step
        if step.type not in definition.CACHE_KEYS:
            return False
        keys = definition.CACHE_KEYS[step.type]
        signed = [step.name, step.type, {key: _member(arguments, key) for key in keys}]
        text = json.dumps(signed, sort_keys=True, default=str)
        run.signature = hashlib.sha256(text.encode()).hexdigest()
        config = step.given.get("CacheConfig") or {}
        if not config.get("Enabled"):
            return False
        oldest = now() - dt.timedelta(seconds=definition.seconds(config["ExpireAfter"]))
        for earlier in reversed(self.pipeline.cache.get(run.signature, [])):
            if earlier.ended and earlier.ended >= oldest and earlier.status == "Succeeded":
                run.result = copy.deepcopy(earlier.result)
                run.metadata = dict(earlier.metadata)
                run.cached_from = earlier.execution_arn
                return True
        return False


def _unless_there(create: Callable[..., Any], **named: Any) -> None:
    """Makes something that may be there already."""
    try:
        create(**named)
    except ClientError as error:
        code = cast("dict[str, Any]", error.response)["Error"]["Code"]
        if code not in ("ResourceInUse", "ValidationException", "ConflictException"):
            raise


def _member(arguments: Mapping[str, Any], path: str) -> Any:
    value: Any = arguments
    for part in path.split("."):
        value = cast("Mapping[str, Any]", value or {}).get(part)
    return value


def _training_jobs(client: Any, tuned: Mapping[str, Any]) -> dict[str, Any]:
    """What steps after a tuning step know of its training jobs, the best first.

    Source: SageMaker Python SDK, TuningStep: its properties are those of two answers.
    """
    kind = tuned["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"]
    answer = client.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuned["HyperParameterTuningJobName"],
        SortBy="FinalObjectiveMetricValue",
        SortOrder="Descending" if kind == "Maximize" else "Ascending",
        MaxResults=50,
    )
    return {"TrainingJobSummaries": answer["TrainingJobSummaries"]}


def _is_for(policy: Mapping[str, Any], code: str) -> bool:
    kinds: Sequence[str] = policy.get("ExceptionType") or []
    return any(code in _RETRIED.get(kind, ()) for kind in kinds)


def _iso(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _lower(value: Any) -> Any:
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {f"{k[0].lower()}{k[1:]}": _lower(v) for k, v in entries.items()}
    return value


# -- operations on executions ----------------------------------------------------------------------


def start(ctx: Context, params: Params) -> Params:
    """Begins an execution; the same client token gives the one that it began."""
    place = Place.of(ctx)
    unknown = {
        "SelectiveExecutionConfig": "selective execution",
        "PipelineVersionId": "versions",
    }
    refuse(params, unknown, "pipelines")
    pipeline = get(place, params["PipelineName"])
    token = params.get("ClientRequestToken")
    if token in pipeline.tokens:
        return {"PipelineExecutionArn": pipeline.tokens[token]}
    place.compute.keep_source_identity(ctx.caller, str(pipeline.given["RoleArn"]))
    execution = Execution(place, pipeline, params, _by(ctx))
    pipeline.executions[execution.id] = execution
    if token:
        pipeline.tokens[token] = execution.arn
    execution.begin()
    return {"PipelineExecutionArn": execution.arn}


def execution(place: Place, arn: str) -> Execution:
    """An execution.

    Raises:
        ApiError: There is none.
    """
    name, _, key = arn.rpartition(":pipeline/")[2].partition("/execution/")
    pipeline = place.things("pipelines").get(name)
    found = pipeline.executions.get(key) if pipeline else None
    if found is None:
        raise ApiError("ResourceNotFound", f"Pipeline execution '{arn}' does not exist.")
    return cast(Execution, found)


def stop(place: Place, arn: str) -> Params:
    """Stops an execution and the jobs of its steps."""
    found = execution(place, arn)
    if found.status in _ENDED:
        raise ApiError("ConflictException", f"{arn} is {found.status} already.", 400)
    found.become("Stopping")
    found.stopping.set()
    return {"PipelineExecutionArn": arn}


def retry(place: Place, arn: str) -> Params:
    """Runs the failed and stopped steps of an execution once more."""
    found = execution(place, arn)
    if found.status not in ("Failed", "Stopped"):
        raise ApiError("ConflictException", f"{arn} is {found.status}: nothing to retry.", 400)
    found.status = "Executing"
    found.again()
    return {"PipelineExecutionArn": arn}


def change(place: Place, params: Params) -> Params:
    """Changes an execution's names and parallelism."""
    found = execution(place, params["PipelineExecutionArn"])
    found.parallelism = params.get("ParallelismConfiguration") or found.parallelism
    for member in ("PipelineExecutionDisplayName", "PipelineExecutionDescription"):
        if member in params:
            found.named[member] = params[member]
    found.modified = now()
    return {"PipelineExecutionArn": found.arn}


def list_executions(place: Place, params: Params) -> Params:
    """A page of a pipeline's executions."""
    every: list[Params] = []
    for one in get(place, params["PipelineName"]).executions.values():
        told = one.description()
        every.append(
            {
                "PipelineExecutionArn": one.arn,
                "StartTime": one.created,
                "PipelineExecutionStatus": one.status,
                "PipelineExecutionDisplayName": told["PipelineExecutionDisplayName"],
                **(
                    {"PipelineExecutionDescription": told["PipelineExecutionDescription"]}
                    if "PipelineExecutionDescription" in told
                    else {}
                ),
                **({"PipelineExecutionFailureReason": one.failure} if one.failure else {}),
            }
        )
    items = select(every, params, "PipelineExecutionArn", "PipelineExecutionStatus", "StartTime")
    return page(items, "PipelineExecutionSummaries", params)


def list_steps(place: Place, params: Params) -> Params:
    """A page of an execution's steps."""
    found = execution(place, params["PipelineExecutionArn"])
    descending = params.get("SortOrder", "Descending") == "Descending"
    items = [run.summary() for run in list(found.runs.values())]
    return page(items[::-1] if descending else items, "PipelineExecutionSteps", params)
