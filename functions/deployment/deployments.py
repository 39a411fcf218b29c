"""What the function does with an event or a request: asks, decides, keeps, and starts runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Protocol

from ..promotion.events import Refused, Source, read_notice
from . import history as core
from .gate import Gate, Question
from .history import Attempt, History, Print, stamp
from .ledger import BusyLedgerError, Store, changed
from .machine import EFFECTS, Approval, Effect, Kind, Status
from .projects import Project
from .refusal import Refusal
from .settings import Settings
from .signatures import SignatureError
from .start import Starter
from .versions import Version

Answer = dict[str, Any]


class RequestError(ValueError):
    """A request is wrong; the message says what it should be."""


class StartingError(Exception):
    """Runs could not be started now, or another invocation is starting them."""


class RunningError(Exception):
    """A run is said to have ended, and runs."""


class Registry(Protocol):
    """The hub's registry."""

    def read(self, arn: str) -> Version | None:
        """A version; None when it is gone."""
        ...

    def approval(self, arn: str) -> Approval:
        """Approval status of a version now."""
        ...


class ProjectSettings(Protocol):
    """All projects' settings."""

    def of_group(self, group: str) -> Project | None:
        """The project of a central group."""
        ...

    def all(self) -> Any:
        """All projects."""
        ...


class Signed(Protocol):
    """What knows who signed requests."""

    def name(self, request: Mapping[str, Any]) -> str:
        """ARN of who signed a request.

        Raises:
            SignatureError: Nobody signed this request.
        """
        ...


class Log(Protocol):
    """Takes what a log line says."""

    def __call__(self, **fields: Any) -> None:
        """Writes a line."""
        ...


EXECUTION_EVENT = "CodePipeline Pipeline Execution State Change"
_ENDED = frozenset({"FAILED", "STOPPED", "CANCELED", "SUPERSEDED"})
"""States of runs that ended without success. Source: CodePipeline user guide, monitoring events."""
_RUNNING = frozenset({"INPROGRESS", "STOPPING"})


@dataclass(frozen=True)
class Caller:
    """Who asks, as the function's alias tells it.

    Attributes:
        project: The project whose run it is.
        environment: The one that its role deploys to.
    """

    project: str
    environment: str


@dataclass(frozen=True)
class Deployments:
    """The one who decides on deployments.

    Attributes:
        settings: The deployment's settings.
        store: Keeps histories.
        registry: The hub's registry.
        projects: Projects' settings.
        gate: Lets versions pass.
        starter: Starts runs.
        signers: Knows who signed requests.
        log: Takes log lines.
        now: The time.
    """

    settings: Settings
    store: Store
    registry: Registry
    projects: ProjectSettings
    gate: Gate
    starter: Starter
    signers: Signed
    log: Log
    now: Callable[[], datetime]

    # Events.

    def version_event(self, event: Mapping[str, Any]) -> Answer:
        """A version was registered, approved, rejected, or changed otherwise.

        Raises:
            StartingError: A run could not be started; the event has to be delivered again.
            Exception: Whatever else failed; likewise.
        """
        try:
            notice = read_notice(json.dumps(event), self.settings.region)
        except Refused as refusal:
            return self._told("ERROR", "refused-event", reason=str(refusal))
        source = notice.source
        project = self._project(source)
        if project is None:
            return self._told("INFO", "ignored", version=source.arn, reason="no project's version")
        version = self.registry.read(source.arn)
        approval = Approval.GONE if version is None else version.approval
        if version is not None and approval is Approval.APPROVED and not version.complete:
            return self._told("INFO", "ignored", version=source.arn, reason="not completed")
        way = project.way(self.settings.environments)
        told_at = str(event.get("time") or "")
        stale = notice.status != approval.value and notice.status != Approval.APPROVED.value

        @cache
        def fingerprint() -> Print:
            assert version is not None  # noqa: S101 - an approved version is there
            return self.gate.fingerprint(version)

        def decide(history: History) -> tuple[History, None]:
            now = self.now()
            why = f"The version is {approval.value}."
            if stale and told_at:
                again = f"The version was {notice.status} at {told_at}, and is approved again."
                history = core.withdraw(history, source.arn, again, now, before=told_at)
            for effect in EFFECTS[approval]:
                if effect is Effect.WITHDRAW:
                    history = core.withdraw(history, source.arn, why, now)
                elif effect is Effect.START and version is not None and way:
                    history = core.start(history, way, version.approved(), fingerprint, now)
            return history, None

        self._change(project, decide, by="" if version is None else version.changed_by)
        self._start_runs(project, patient=True)
        return self._told("INFO", "handled", version=source.arn, approval=approval.value)

    def _project(self, source: Source) -> Project | None:
        if source.account != self.settings.hub_account:
            return None
        return self.projects.of_group(source.group)

    def execution_event(self, event: Mapping[str, Any]) -> Answer:
        """A run of a pipeline ended.

        Raises:
            StartingError: A retreat could not be started; the event has to be delivered again.
            RunningError: CodePipeline says that it runs still; likewise.
            Exception: Whatever else failed; likewise.
        """
        detail: Mapping[str, Any] = event.get("detail") or {}
        state, name = str(detail.get("state")), str(detail.get("pipeline"))
        execution = str(detail.get("execution-id"))
        here = ("aws.codepipeline", self.settings.hub_account)
        if (event.get("source"), event.get("account")) != here or state not in _ENDED:
            return self._told("INFO", "ignored", execution=execution, state=state)
        for project in self.projects.all():
            if name in (project.pipeline, *project.restore.values()):
                state = self.starter.state(name, execution)
                if state in _RUNNING:
                    raise RunningError(f"{name} {execution} is {state}, not {detail.get('state')}.")
                if state not in _ENDED:
                    break
                why = f"Its run {execution} ended as {state} without a word of its deployment."

                def decide(history: History, why: str = why) -> tuple[History, None]:
                    return core.end_execution(history, execution, why, self.now()), None

                self._change(project, decide, by=f"{name} {execution}")
                self._start_runs(project, patient=True)
                return self._told("INFO", "handled", execution=execution, state=state)
        why = f"{name} has no such run that ended so"
        return self._told("INFO", "ignored", execution=execution, reason=why)

    # Requests.

    def begin(self, request: Mapping[str, Any], caller: Caller) -> Answer:
        """A run asks whether it may deploy, as the module's docstring has it.

        Args:
            request: The request.
            caller: Whose run asks.

        Raises:
            RequestError: The request is wrong, or another project's.
            Exception: What failed and may work later; nothing is decided then.
        """
        group, environment = self._place(request)
        project = self._own(group, environment, caller)
        self._require_target(project, environment)
        execution = _text(request, "execution")
        arn = _text(request, "model_package_arn")
        try:
            kind = Kind(request.get("kind"))
        except ValueError as error:
            choices = ", ".join(item.value for item in Kind)
            raise RequestError(f"kind is {request.get('kind')!r}, expected {choices}.") from error
        wanted = self._change(
            project,
            lambda history: (history, core.find(history, environment, arn, execution, kind)),
            by=execution,
        )
        if wanted.attempt is None:
            return self._no(group, environment, arn, execution, wanted.refusal, retry=wanted.retry)
        version = self.registry.read(arn)
        if version is None:
            passed: core.Passed | str = f"{arn} is not in the registry any more."
        else:
            try:
                passed = self.gate.check(Question(project, wanted.attempt, version, execution))
            except Refusal as refusal:
                passed = str(refusal)

        def decide(history: History) -> tuple[History, core.Wanted]:
            now = self.now()
            found = core.find(history, environment, arn, execution, kind)
            if found.attempt is None or found.begun:
                return history, found
            if isinstance(passed, str):
                history = core.refuse(history, found.attempt, execution, passed, now)
                return history, core.Wanted(refusal=passed)
            return core.begin(history, found.attempt, execution, passed, now), found

        decided = self._change(project, decide, by=execution)
        if decided.attempt is None or version is None:
            why = decided.refusal or str(passed)
            answer = self._no(group, environment, arn, execution, why, retry=decided.retry)
            # A refused retreat is followed by one to the version before.
            self._start_runs(project, patient=False)
            return answer
        sequence = decided.attempt.sequence
        self._told(
            "INFO",
            "begun",
            group=group,
            environment=environment,
            version=arn,
            sequence=sequence,
            execution=execution,
        )
        return {"proceed": True, "sequence": sequence, "version": version.answer()}

    def _no(
        self, group: str, environment: str, arn: str, execution: str, why: str, *, retry: bool
    ) -> Answer:
        self._told(
            "INFO" if retry else "ERROR",
            "busy" if retry else "refused",
            group=group,
            environment=environment,
            version=arn,
            execution=execution,
            reason=why,
        )
        told = {"proceed": False, "status": Status.REFUSED.value, "reason": why}
        return {**told, "retry": True} if retry else told

    def finish(self, request: Mapping[str, Any], caller: Caller) -> Answer:
        """A run tells how its deployment ended.

        Args:
            request: The request.
            caller: Whose run tells it.

        Raises:
            RequestError: The request is wrong, another project's, or there is no such deployment.
            Exception: What failed and may work later.
        """
        group, environment = self._place(request)
        project = self._own(group, environment, caller)
        sequence, outcome = request.get("sequence"), request.get("outcome")
        if not isinstance(sequence, int) or isinstance(sequence, bool):
            raise RequestError(f"sequence is {sequence!r}, expected the number that begin gave.")
        if outcome not in (Status.LIVE.value, Status.FAILED.value):
            raise RequestError(f"outcome is {outcome!r}, expected Live or Failed.")
        reason = str(request.get("reason") or "")
        execution = str(request.get("execution") or "")

        def decide(history: History) -> tuple[History, Attempt]:
            attempt = history.get(environment, sequence)
            if attempt is None or attempt.status is Status.REQUESTED:
                raise RequestError(f"{group} has no attempt {sequence} begun in {environment}.")
            if execution and attempt.execution != execution:
                raise RequestError(
                    f"Attempt {sequence} in {environment} is of {attempt.execution}, not of "
                    f"{execution}."
                )
            if attempt.status is Status.DEPLOYING:
                now = self.now()
                approval = self.registry.approval(attempt.model_package_arn)
                if outcome == Status.FAILED.value:
                    history = core.fail(history, attempt, reason or "no reason given", now)
                elif approval is not Approval.APPROVED:
                    why = f"The version became {approval.value} while it was deployed."
                    history = core.fail(history, attempt, why, now)
                else:
                    config = str(request.get("endpoint_config") or "")
                    way = project.way(self.settings.environments)
                    one_run = project.one_run(way)
                    history = core.succeed(history, attempt, way, config, now, one_run=one_run)
            return history, history.get(environment, sequence) or attempt

        ended = self._change(project, decide, by=f"attempt {sequence}")
        self._told(
            "INFO" if ended.status is not Status.FAILED else "ERROR",
            "finished",
            group=group,
            environment=environment,
            version=ended.model_package_arn,
            sequence=sequence,
            status=ended.status.value,
            kind=ended.kind.value,
            reason=ended.reason,
        )
        self._start_runs(project, patient=False)
        return {"status": ended.status.value}

    def rollback(self, request: Mapping[str, Any]) -> Answer:
        """A person asks for the previous approved version.

        Raises:
            RequestError: The request is wrong, or not signed by whoever asks.
            Exception: What failed and may work later.
        """
        group, environment = self._place(request)
        project = self._known(group)
        self._require_target(project, environment)
        why, sequence = _text(request, "reason"), request.get("sequence")
        if not isinstance(sequence, int) or isinstance(sequence, bool):
            raise RequestError(f"sequence is {sequence!r}, expected the number of what is live.")
        try:
            by = self.signers.name(request)
        except SignatureError as error:
            raise RequestError(f"It is not known who asks: {error}") from error
        wish = core.Wish(environment, sequence, why, by)
        attempt, refusal = self._change(
            project,
            lambda history: _paired(
                core.roll_back(history, wish, cache(self.registry.approval), self.now())
            ),
            by=by,
        )
        if attempt is None:
            self._told("INFO", "refused", group=group, environment=environment, reason=refusal)
            return {"status": Status.REFUSED.value, "reason": refusal}
        self._told(
            "INFO",
            "rollback",
            group=group,
            environment=environment,
            version=attempt.model_package_arn,
            sequence=attempt.sequence,
            requested_by=by,
            reason=why,
        )
        self._start_runs(project, patient=False)
        return {
            "status": Status.REQUESTED.value,
            "sequence": attempt.sequence,
            "model_package_arn": attempt.model_package_arn,
            "version": attempt.version,
        }

    def sweep(self, request: Mapping[str, Any]) -> Answer:
        """Goes over all projects: ends what has been silent too long, starts what is waiting.

        Raises:
            StartingError: Of one project at least something failed; the others are done.
        """
        del request
        failed: list[str] = []
        projects = list(self.projects.all())
        for project in projects:
            try:
                self._change(project, lambda history: (history, None), by="sweep")
                self._start_runs(project, patient=True)
            except Exception as error:
                self._told("ERROR", "not-swept", group=project.group, reason=_said(error))
                failed.append(project.name)
        if failed:
            raise StartingError(f"Not swept: {', '.join(failed)}.")
        return {"projects": len(projects)}

    def _place(self, request: Mapping[str, Any]) -> tuple[str, str]:
        environment = _text(request, "environment")
        if environment not in self.settings.environments:
            choices = ", ".join(self.settings.environments)
            raise RequestError(f"environment is {environment!r}, expected one of {choices}.")
        return _text(request, "group"), environment

    def _require_target(self, project: Project, environment: str) -> None:
        if environment not in project.way(self.settings.environments):
            raise RequestError(
                f"{environment} is no target of the project {project.name}, which is deployed to "
                f"{', '.join(project.targets)}."
            )

    def _known(self, group: str) -> Project:
        project = self.projects.of_group(group)
        if project is None:
            raise RequestError(f"No project has the group {group!r}.")
        return project

    def _own(self, group: str, environment: str, caller: Caller) -> Project:
        """The project of a group, when it is the one that calls, for the environment it asks of."""
        project = self._known(group)
        if project.name != caller.project:
            raise RequestError(
                f"The group {group!r} is not the project {caller.project}'s, which asks."
            )
        if environment != caller.environment:
            raise RequestError(
                f"What releases {caller.project} to {caller.environment} asks of {environment}: "
                "each environment has a role of its own."
            )
        return project

    # What every decision has in common.

    def _change(
        self, project: Project, decide: Callable[[History], tuple[History, Any]], *, by: str
    ) -> Any:
        """Decides, after ending what was silent too long, or is left; then requests retreats."""
        group, environments = project.group, self.settings.environments
        way = project.way(environments)

        def whole(history: History) -> tuple[History, tuple[Any, list[core.Stuck]]]:
            now = self.now()
            history = core.leave(history, way, now)
            history = core.expire(history, now, self.settings.silence)
            history, answer = decide(history)
            approval_of = cache(self.registry.approval)
            history, stuck = core.settle(history, way, approval_of, by, now)
            return history, (answer, stuck)

        answer, stuck = changed(self.store, group, environments, whole)
        for item in stuck:
            self._told(
                "ERROR",
                "no-retreat",
                group=group,
                environment=item.environment,
                version=item.attempt.model_package_arn,
                reason=item.why,
            )
        return answer

    def _start_runs(self, project: Project, *, patient: bool) -> None:
        """Starts the runs that have to be, each once.

        Args:
            project: The project.
            patient: Whether this invocation is repeated when it fails: then a failure is raised.
                Otherwise the next event, or a sweep, starts what could not be.
        """
        problems: list[str] = []
        claimed, busy = self._claim(project.group)
        for attempt in claimed:
            problem = self._start_run(project, attempt)
            problems += [problem] if problem else []
        if busy:
            problems.append(f"another invocation is starting a run of {project.group}")
        if problems and patient:
            raise StartingError("; ".join(problems))

    def _claim(self, group: str) -> tuple[list[Attempt], bool]:
        def decide(history: History) -> tuple[History, tuple[list[Attempt], bool]]:
            now = self.now()
            due, elsewhere = core.to_start(history, now)
            until = stamp(now + self.settings.start_lease)
            claims = [replace(item, start_until=until) for item in due]
            for item in claims:
                history = history.with_changed(item)
            return history, (claims, bool(elsewhere))

        return changed(self.store, group, self.settings.environments, decide)

    def _start_run(self, project: Project, claim: Attempt) -> str:
        """Starts a run; gives what went wrong."""
        try:
            execution, problem = self.starter.start(project, claim), ""
        except Exception as error:
            execution, problem = "", _said(error)

        def decide(history: History) -> tuple[History, None]:
            now = history.get(claim.environment, claim.sequence)
            if now is None or now.start_until != claim.start_until:
                return history, None
            if problem:
                return history.with_changed(replace(now, start_until="")), None
            told = {"started": True, "start_until": "", "changed_at": stamp(self.now())}
            kept = now.execution or execution
            return history.with_changed(replace(now, execution=kept, **told)), None

        try:
            changed(self.store, project.group, self.settings.environments, decide)
        except BusyLedgerError as error:
            problem = problem or _said(error)
        self._told(
            "ERROR" if problem else "INFO",
            "not-started" if problem else "started",
            group=project.group,
            environment=claim.environment,
            version=claim.model_package_arn,
            sequence=claim.sequence,
            kind=claim.kind.value,
            execution=execution,
            reason=problem or claim.reason,
        )
        return problem

    def _told(self, level: str, outcome: str, **fields: Any) -> Answer:
        self.log(level=level, outcome=outcome, **fields)
        return {"outcome": outcome}


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{name} is {value!r}, expected text.")
    return value


def _paired(
    told: tuple[History, Attempt | None, str],
) -> tuple[History, tuple[Attempt | None, str]]:
    history, attempt, refusal = told
    return history, (attempt, refusal)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:1000]
