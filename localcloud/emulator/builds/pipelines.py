"""Pipelines that really run: each execution goes through its stages in a thread of its own.

Nothing waits in the emulator's lock. Source: CodePipeline user guide, "How pipeline executions
work" and "How pipeline executions are stopped".
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import re
import secrets
import string
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import world
from localcloud.emulator.builds.actions import (
    PROVIDERS,
    AbandonedError,
    Action,
    ActionError,
    Location,
    problems,
)
from localcloud.emulator.builds.repositories import GITHUB, Repositories, Repository
from localcloud.emulator.builds.sessions import RoleSession
from localcloud.emulator.compute import ComputeError, Task
from localcloud.emulator.events import Event, UndeliverableError
from localcloud.emulator.extension import ApiError

_log = logging.getLogger(__name__)

SERVICE = "codepipeline.amazonaws.com"
RUNNING = ("InProgress", "Stopping")

_REFERENCE = re.compile(r"#\{([A-Za-z0-9_@\-]+)\.([A-Za-z0-9_@\-]+)\}")
_ALPHABET = string.ascii_letters + string.digits
_RUN_SECONDS = 12 * 3600
_MOST_AT_ONCE = 50
"""Source: CodePipeline quotas, executions of one pipeline that wait or run."""


def now() -> dt.datetime:
    """The current time, naive UTC."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


@dataclass
class Execution:
    """A pipeline execution.

    Attributes:
        id: Its id.
        number: Which one of the pipeline it is.
        declaration: The pipeline as it was when it started.
        variables: Name -> value.
        trigger: What started it.
        revisions: Source action -> the revision that it is to take.
        started: When it began.
        changed: When its status changed last.
        status: As ``GetPipelineExecution`` shows it.
        summary: Why it has that status.
        actions: All runs of actions, the oldest first.
        artifacts: Name -> where it lies.
        namespaces: Namespace -> variables of the action that has it.
        stop: Why it is to stop, None when it is not.
        abandoned: Set when its actions are to be left to themselves.
        superseded: Whether a newer one has overtaken it.
    """

    id: str
    number: int
    declaration: Mapping[str, Any]
    variables: dict[str, str]
    trigger: dict[str, str]
    revisions: Mapping[str, str]
    started: dt.datetime = field(default_factory=now)
    changed: dt.datetime = field(default_factory=now)
    status: str = "InProgress"
    summary: str = ""
    actions: list[Action] = field(default_factory=list[Action])
    artifacts: dict[str, Location] = field(default_factory=dict[str, Location])
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    stop: str | None = None
    abandoned: threading.Event = field(default_factory=threading.Event)
    superseded: bool = False

    @property
    def mode(self) -> str:
        """How it meets others."""
        return str(self.declaration.get("executionMode", "SUPERSEDED"))


@dataclass
class StageState:
    """What is known of a stage.

    Attributes:
        holder: Id of the execution in it.
        waiting: Executions before it.
        latest: Id of the last execution that entered it, and how that went.
        actions: Name -> the last run of each action.
    """

    holder: str = ""
    waiting: list[Execution] = field(default_factory=list[Execution])
    latest: tuple[str, str] | None = None
    actions: dict[str, Action] = field(default_factory=dict[str, Action])


@dataclass
class Pipeline:
    """A pipeline.

    Attributes:
        account: Account that owns it.
        region: Where it is.
        declaration: As ``GetPipeline`` shows it.
        tags: Its tags.
        created: When it was made.
        updated: When it was changed last.
        executions: Id -> execution, the oldest first.
        stages: Stage's name -> its state.
        tokens: Client request token -> id of the execution that it started.
    """

    account: str
    region: str
    declaration: dict[str, Any]
    tags: dict[str, str]
    created: dt.datetime = field(default_factory=now)
    updated: dt.datetime = field(default_factory=now)
    executions: dict[str, Execution] = field(default_factory=dict[str, Execution])
    stages: dict[str, StageState] = field(default_factory=dict[str, StageState])
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.declaration["name"])

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:codepipeline:{self.region}:{self.account}:{self.name}"

    def stage(self, name: str) -> StageState:
        """The state of a stage."""
        return self.stages.setdefault(name, StageState())

    def task(self) -> Task:
        """What its actions run as."""
        return Task(
            account=self.account,
            region=self.region,
            service=SERVICE,
            role_arn=str(self.declaration["roleArn"]),
            session=f"pipeline-{self.name}"[:64],
            source_arn=self.arn,
            seconds=_RUN_SECONDS,
        )


class _StoppedError(Exception):
    """The execution goes no further."""


class Pipelines:
    """All pipelines of an emulator.

    Args:
        host: The emulator.
        repositories: Where sources come from.
    """

    def __init__(self, host: Any, repositories: Repositories) -> None:
        self._host = host
        self._repositories = repositories
        self.known: dict[tuple[str, str, str], Pipeline] = {}
        self.changed = threading.Condition()
        """Guards all executions and stages; nothing calls out while it is held."""
        self._sessions: dict[str, str] = {}

    def session_of(self, access_key: str | None) -> str | None:
        """The pipeline whose role's credentials these are."""
        return self._sessions.get(access_key or "")

    def check(self, pipeline: Pipeline) -> None:
        """Refuses a declaration that CodePipeline, or the local cloud, cannot run.

        Raises:
            ApiError: ``InvalidStructureException`` and its like, with what is wrong.
        """
        wrong = list(_structure(pipeline))
        if wrong:
            raise ApiError("InvalidStructureException", f"{pipeline.name}: {'; '.join(wrong)}")
        try:
            self._host.compute.principal(pipeline.task())
        except ComputeError as error:
            raise ApiError("InvalidStructureException", str(error)) from error

    # Starting, stopping, retrying.

    def start(
        self,
        pipeline: Pipeline,
        given: Mapping[str, str],
        trigger: dict[str, str],
        revisions: Mapping[str, str] | None = None,
    ) -> Execution:
        """Begins an execution.

        Raises:
            ApiError: A variable is not the pipeline's, or has no value; too many executions run.
        """
        declared = {item["name"]: item for item in pipeline.declaration.get("variables") or []}
        unknown = sorted(set(given) - set(declared))
        if unknown:
            raise ApiError(
                "ValidationException",
                f"{pipeline.name} has no variable {', '.join(unknown)}; it has:"
                f" {', '.join(sorted(declared)) or 'none'}.",
            )
        values = {
            name: str(item["defaultValue"])
            for name, item in declared.items()
            if "defaultValue" in item
        } | dict(given)
        missing = sorted(declared.keys() - values.keys())
        if missing:
            raise ApiError(
                "ValidationException",
                f"{pipeline.name} needs a value of {', '.join(missing)}: it has no default.",
            )
        with self.changed:
            running = [e for e in pipeline.executions.values() if e.status in RUNNING]
            if len(running) >= _MOST_AT_ONCE:
                raise ApiError(
                    "ConcurrentPipelineExecutionsLimitExceededException",
                    f"{pipeline.name} has {len(running)} executions already.",
                )
            execution = Execution(
                str(uuid.uuid4()),
                len(pipeline.executions) + 1,
                pipeline.declaration,
                values,
                trigger,
                revisions or {},
            )
            pipeline.executions[execution.id] = execution
            stages = execution.declaration["stages"]
            # Here, not in the thread: executions line up in the order of their starts.
            self._line_up(pipeline, execution, stages[0]["name"])
        self._go(pipeline, execution, 0, "STARTED", retried=None)
        return execution

    def retry(self, pipeline: Pipeline, execution: Execution, stage: str, mode: str) -> None:
        """Begins a failed stage of an execution again.

        Raises:
            ApiError: The stage is not that execution's, or has not failed.
        """
        names = [item["name"] for item in execution.declaration["stages"]]
        if stage not in names:
            raise ApiError("StageNotFoundException", f"{pipeline.name} has no stage {stage}.")
        with self.changed:
            latest = pipeline.stage(stage).latest
            if latest is None or latest[0] != execution.id:
                raise ApiError(
                    "NotLatestPipelineExecutionException",
                    f"{execution.id} is not the latest execution in {stage}.",
                )
            if latest[1] not in ("Failed", "Stopped") or execution.status in RUNNING:
                raise ApiError(
                    "StageNotRetryableException", f"{stage} is {latest[1]}, and did not fail."
                )
            kept = (
                {a.name: a for a in pipeline.stage(stage).actions.values()
                 if a.execution == execution.id and a.status == "Succeeded"}
                if mode == "FAILED_ACTIONS" else {}
            )  # fmt: skip
            execution.status, execution.summary, execution.stop = "InProgress", "", None
            execution.superseded = False
            execution.abandoned = threading.Event()
            execution.changed = now()
            self._line_up(pipeline, execution, stage)
        self._go(pipeline, execution, names.index(stage), "RESUMED", retried=kept)

    def stop(self, pipeline: Pipeline, execution: Execution, reason: str, *, abandon: bool) -> None:
        """Lets an execution go no further.

        Raises:
            ApiError: It has ended, or is told to stop already.
        """
        with self.changed:
            if execution.status not in RUNNING:
                raise ApiError(
                    "PipelineExecutionNotStoppableException",
                    f"{execution.id} has ended: {execution.status}.",
                )
            if execution.stop is not None and not abandon:
                raise ApiError(
                    "DuplicatedStopRequestException", f"{execution.id} is stopping already."
                )
            execution.stop = reason
            execution.status, execution.summary = "Stopping", reason
            execution.changed = now()
            if abandon:
                execution.abandoned.set()
            self.changed.notify_all()
        self._tell(pipeline, execution, "STOPPING")

    def answer(self, action: Action, *, approved: bool, summary: str, caller: str) -> dt.datetime:
        """Answers an approval."""
        with self.changed:
            if action.answered.is_set() or action.status != "InProgress":
                raise ApiError(
                    "ApprovalAlreadyCompletedException", "The approval action has been completed."
                )
            action.approved, action.summary, action.updated_by = approved, summary, caller
            action.changed = now()
            action.answered.set()
        return action.changed

    def pushed(self, repository: Repository, branch: str, commit: str) -> None:
        """Starts the pipelines whose source a branch of GitHub is, unless they say otherwise."""
        if repository.kind != GITHUB:
            return
        for pipeline in list(self.known.values()):
            for action in pipeline.declaration["stages"][0]["actions"]:
                given = action.get("configuration") or {}
                if (
                    action["actionTypeId"]["provider"] == "CodeStarSourceConnection"
                    and given["FullRepositoryId"] == repository.name
                    and given["BranchName"] == branch
                    and given.get("DetectChanges", "true") != "false"
                ):
                    trigger = {
                        "triggerType": "WebhookV2",
                        "triggerDetail": given["ConnectionArn"],
                    }
                    try:
                        self.start(pipeline, {}, trigger, {action["name"]: commit})
                    except ApiError as error:
                        _log.warning("A push did not start %s: %s", pipeline.arn, error)

    def start_for_event(self, arn: str, message: Any) -> None:
        """Starts a pipeline for a rule; its input may give ``variables``.

        Raises:
            UndeliverableError: It cannot be started.
        """
        parsed = world.Arn.parse(arn)
        found = self.known.get((parsed.account, parsed.region, parsed.resource)) if parsed else None
        if found is None:
            raise UndeliverableError("NO_RESOURCE", f"there is no pipeline {arn}")
        given = message.get("variables") if isinstance(message, dict) else None
        try:
            variables = {str(item["name"]): str(item["value"]) for item in given or []}
            trigger = {"triggerType": "CloudWatchEvent", "triggerDetail": arn}
            self.start(found, variables, trigger)
        except (ApiError, KeyError, TypeError) as error:
            raise UndeliverableError("SDK_CLIENT_ERROR", str(error)) from error

    # The way of an execution.

    def _go(
        self,
        pipeline: Pipeline,
        execution: Execution,
        first: int,
        state: str,
        retried: Mapping[str, Action] | None,
    ) -> None:
        arguments = (pipeline, execution, first, state, dict(retried or {}))
        threading.Thread(target=self._drive, args=arguments, daemon=True).start()

    def _drive(
        self,
        pipeline: Pipeline,
        execution: Execution,
        first: int,
        state: str,
        kept: dict[str, Action],
    ) -> None:
        self._tell(pipeline, execution, state)
        ended, summary = "Succeeded", ""
        try:
            stages = execution.declaration["stages"]
            for index in range(first, len(stages)):
                self._stage(pipeline, execution, stages[index], kept if index == first else {})
                if index + 1 < len(stages):
                    with self.changed:
                        self._line_up(pipeline, execution, stages[index + 1]["name"])
        except _StoppedError:
            ended = "Superseded" if execution.superseded else "Stopped"
            summary = execution.stop or ""
        except ActionError as error:
            ended, summary = "Failed", str(error)
        except Exception as error:
            _log.exception("%s %s failed in the local cloud", pipeline.arn, execution.id)
            ended, summary = "Failed", f"The local cloud failed: {error!r}"
        with self.changed:
            for stage in pipeline.stages.values():
                if execution in stage.waiting:
                    stage.waiting.remove(execution)
            execution.status, execution.summary = ended, summary
            execution.changed = now()
            self.changed.notify_all()
        self._tell(pipeline, execution, ended.upper())

    def _line_up(self, pipeline: Pipeline, execution: Execution, stage: str) -> None:
        """Puts an execution before a stage; in SUPERSEDED mode the newest takes the others' place.

        Called with the lock held.
        """
        if execution.mode == "PARALLEL":
            return
        waiting = pipeline.stage(stage).waiting
        waiting.append(execution)
        if execution.mode == "SUPERSEDED":
            newest = max(waiting, key=lambda item: item.number)
            for item in waiting:
                item.superseded = item.superseded or item is not newest
        self.changed.notify_all()

    def _enter(self, pipeline: Pipeline, execution: Execution, name: str) -> None:
        state = pipeline.stage(name)
        with self.changed:
            while True:
                if execution.stop is not None or execution.superseded:
                    raise _StoppedError
                if execution.mode == "PARALLEL":
                    break
                ahead = [item for item in state.waiting if not item.superseded]
                if not state.holder and ahead[0] is execution:
                    state.waiting.remove(execution)
                    state.holder = execution.id
                    break
                self.changed.wait()
            state.latest = execution.id, "InProgress"

    def _stage(
        self,
        pipeline: Pipeline,
        execution: Execution,
        declared: Mapping[str, Any],
        kept: Mapping[str, Action],
    ) -> None:
        name = str(declared["name"])
        self._enter(pipeline, execution, name)
        self._tell(pipeline, execution, "STARTED", name)
        ended = "Failed"
        try:
            self._actions(pipeline, execution, declared, kept)
            ended = "Succeeded"
        except _StoppedError:
            ended = "Stopped"
            raise
        finally:
            state = pipeline.stage(name)
            with self.changed:
                if state.holder == execution.id:
                    state.holder = ""
                state.latest = execution.id, ended
                self.changed.notify_all()
            self._tell(pipeline, execution, ended.upper(), name)

    def _actions(
        self,
        pipeline: Pipeline,
        execution: Execution,
        declared: Mapping[str, Any],
        kept: Mapping[str, Action],
    ) -> None:
        session = self._session(pipeline)
        ordered = sorted(declared["actions"], key=_order)
        for _, group in itertools.groupby(ordered, key=_order):
            if execution.stop is not None:
                raise _StoppedError
            runs = [
                self._begin(pipeline, execution, str(declared["name"]), item)
                for item in group
                if item["name"] not in kept
            ]
            threads = [
                threading.Thread(
                    target=self._run, args=(pipeline, execution, session, run), daemon=True
                )
                for run in runs
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if execution.abandoned.is_set():
                raise _StoppedError
            failed = [run for run in runs if run.status == "Failed"]
            if failed:
                code, message = failed[0].error or ("", "")
                raise ActionError(code, f"{failed[0].stage}/{failed[0].name}: {message}")
        if execution.stop is not None:
            raise _StoppedError

    def _session(self, pipeline: Pipeline) -> RoleSession:
        try:
            session = RoleSession(self._host.compute, pipeline.task())
        except ComputeError as error:
            raise ActionError("PermissionError", str(error)) from error
        self._sessions[session.access_key] = pipeline.name
        return session

    def _begin(
        self, pipeline: Pipeline, execution: Execution, stage: str, declared: Mapping[str, Any]
    ) -> Action:
        moment = now()
        action = Action(
            str(uuid.uuid4()),
            execution.id,
            pipeline.name,
            stage,
            declared,
            {},
            pipeline.region,
            moment,
            moment,
            execution.abandoned,
            wanted_revision=str(execution.revisions.get(declared["name"], "")),
        )
        if declared["actionTypeId"]["category"] == "Approval":
            action.token = str(uuid.uuid4())
        store = execution.declaration["artifactStore"]
        key = (store.get("encryptionKey") or {}).get("id", "")
        for item in declared.get("outputArtifacts") or []:
            unique = "".join(secrets.choice(_ALPHABET) for _ in range(7))
            path = f"{pipeline.name[:20]}/{item['name'][:10]}/{unique}"
            action.outputs[item["name"]] = Location(str(store["location"]), path, str(key))
        with self.changed:
            execution.actions.append(action)
            pipeline.stage(stage).actions[action.name] = action
        return action

    def _run(
        self, pipeline: Pipeline, execution: Execution, session: RoleSession, action: Action
    ) -> None:
        kind = action.declaration["actionTypeId"]
        self._tell_action(pipeline, action, "STARTED")
        status = "Succeeded"
        try:
            action.inputs = {
                item["name"]: execution.artifacts[item["name"]]
                for item in action.declaration.get("inputArtifacts") or []
            }
            action.configuration = {
                key: _resolved(value, execution)
                for key, value in (action.declaration.get("configuration") or {}).items()
            }
            provider = PROVIDERS[kind["category"], kind["provider"]]
            provider.run(self._host, session, action)
        except AbandonedError:
            status = "Abandoned"
        except ActionError as error:
            status, action.error = "Failed", (error.code, str(error))
        except KeyError as error:
            status = "Failed"
            action.error = "ConfigurationError", f"There is no artifact {error} yet."
        except (BotoCoreError, ClientError) as error:
            described: Any = getattr(error, "response", {})
            code = str(described.get("Error", {}).get("Code", "ConfigurationError"))
            denied = "AccessDenied" in code
            status = "Failed"
            action.error = ("PermissionError" if denied else "ConfigurationError"), str(error)
        except Exception as error:
            _log.exception("%s: action %s failed in the local cloud", pipeline.arn, action.name)
            status, action.error = "Failed", ("InternalError", repr(error))
        with self.changed:
            if status == "Succeeded":
                execution.artifacts.update(action.outputs)
                if action.declaration.get("namespace"):
                    execution.namespaces[action.declaration["namespace"]] = action.variables
            action.status, action.changed = status, now()
        self._tell_action(pipeline, action, status.upper())

    # Events. Source: CodePipeline user guide, "Monitoring CodePipeline events".

    def _tell(
        self, pipeline: Pipeline, execution: Execution, state: str, stage: str | None = None
    ) -> None:
        detail: dict[str, Any] = {
            "pipeline": pipeline.name,
            "execution-id": execution.id,
            "start-time": f"{execution.started:%Y-%m-%dT%H:%M:%S}Z",
            "state": state,
            "version": float(execution.declaration["version"]),
        }
        if stage is not None:
            detail["stage"] = stage
        else:
            detail["execution-trigger"] = {
                "trigger-type": execution.trigger.get("triggerType"),
                "trigger-detail": execution.trigger.get("triggerDetail"),
            }
        kind = "Stage" if stage is not None else "Pipeline"
        self._publish(pipeline, f"CodePipeline {kind} Execution State Change", detail)

    def _tell_action(self, pipeline: Pipeline, action: Action, state: str) -> None:
        kind = action.declaration["actionTypeId"]
        detail: dict[str, Any] = {
            "pipeline": pipeline.name,
            "execution-id": action.execution,
            "start-time": f"{action.started:%Y-%m-%dT%H:%M:%S}Z",
            "stage": action.stage,
            "action": action.name,
            "action-execution-id": action.id,
            "state": state,
            "region": pipeline.region,
            "type": {key: kind[key] for key in ("owner", "category", "provider", "version")},
            "version": float(pipeline.declaration["version"]),
        }
        result: dict[str, str] = {}
        if action.external:
            result["external-execution-id"] = action.external[0]
            result["external-execution-summary"] = action.external[1]
        if action.error:
            result["error-code"] = action.error[0]
            result["external-execution-summary"] = action.error[1]
        if action.summary:
            result["external-execution-summary"] = action.summary
        if result:
            detail["execution-result"] = result
        self._publish(pipeline, "CodePipeline Action Execution State Change", detail)

    def _publish(self, pipeline: Pipeline, kind: str, detail: Mapping[str, Any]) -> None:
        account, region = pipeline.account, pipeline.region
        event = Event(account, region, "aws.codepipeline", kind, detail, (pipeline.arn,))
        self._host.publish(event)


def _order(declared: Mapping[str, Any]) -> int:
    return int(declared.get("runOrder", 1))


def _resolved(value: str, execution: Execution) -> str:
    """A value of a configuration with its variables.

    Raises:
        ActionError: A variable has no value at this point.
    """

    def of(match: re.Match[str]) -> str:
        namespace, name = match[1], match[2]
        known = {
            "codepipeline": {"PipelineExecutionId": execution.id},
            "variables": execution.variables,
            **execution.namespaces,
        }
        if name not in known.get(namespace, {}):
            raise ActionError(
                "InvalidVariableReference", f"The variable {match[0]} has no value here."
            )
        return known[namespace][name]

    return _REFERENCE.sub(of, value)


def _structure(pipeline: Pipeline) -> Iterator[str]:
    """What is wrong with a declaration. Source: pipeline structure reference."""
    declared = pipeline.declaration
    stages: Sequence[Mapping[str, Any]] = declared["stages"]
    if declared.get("artifactStores") or not declared.get("artifactStore"):
        yield "the local cloud has pipelines of one region, with one artifactStore"
    if declared.get("triggers"):
        yield "the local cloud has no triggers: DetectChanges of a source action starts a pipeline"
    if declared.get("pipelineType", "V1") == "V1":
        used = [key for key in ("variables", "triggers") if declared.get(key)]
        if used or declared.get("executionMode", "SUPERSEDED") != "SUPERSEDED":
            yield "variables, triggers and execution modes need pipelineType V2"
    if len(stages) < 2:
        yield "a pipeline has two stages or more"
    names = [str(stage["name"]) for stage in stages]
    yield from (f"stage {name} is there twice" for name in sorted(_twice(names)))
    made: set[str] = set()
    for index, stage in enumerate(stages):
        for key in ("blockers", "onFailure", "onSuccess", "beforeEntry"):
            if stage.get(key):
                yield f"stage {stage['name']}: the local cloud has no {key}"
        actions = stage["actions"]
        if not actions:
            yield f"stage {stage['name']} has no action"
        twice = _twice([str(action["name"]) for action in actions])
        yield from (f"action {name} is there twice in {stage['name']}" for name in sorted(twice))
        for action in sorted(actions, key=_order):
            if (action["actionTypeId"]["category"] == "Source") != (index == 0):
                yield f"action {action['name']}: sources stand in the first stage, and only there"
            if action.get("region", pipeline.region) != pipeline.region:
                yield f"action {action['name']}: the local cloud has no actions in other regions"
            yield from problems(action)
            for item in action.get("inputArtifacts") or []:
                if item["name"] not in made:
                    yield f"action {action['name']}: nothing before it makes {item['name']}"
            for item in action.get("outputArtifacts") or []:
                if item["name"] in made:
                    yield f"artifact {item['name']} is made twice"
                made.add(item["name"])


def _twice(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
