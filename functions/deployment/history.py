"""A group's deployments, and every decision about them as a function from history to history.

Nothing here knows AWS or the time: what is needed comes as arguments. Decisions may be repeated:
made again on their own outcome, each changes nothing. Whoever keeps the history (:mod:`.ledger`)
has to make sure that none is decided on an outdated one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from .machine import EFFECTS, Approval, Effect, Kind, Status, Trigger, move

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_REASON = 1000

ApprovalOf = Callable[[str], Approval]
"""ARN of a version -> what the registry says of it now."""


def stamp(time: datetime) -> str:
    """A time as the ledger has it: ISO 8601, UTC, seconds; such texts sort by time."""
    return time.astimezone(UTC).strftime(_TIME)


def read_stamp(text: str) -> datetime:
    """The time of :func:`stamp`."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Attempt:
    """One attempt to deploy a version in an environment.

    Attributes:
        environment: Where.
        sequence: Number in this environment, from 1; the newest has the highest.
        model_package_arn: The version.
        version: Its number.
        status: How far it is.
        kind: Why.
        reason: What people read: why it was requested, later why it ended so.
        requested_by: Who approved, rejected or asked.
        approved_by: Who approved it for this environment.
        approved_at: When, where that is known.
        approval_reason: Why.
        version_approved_by: Who approved the version in the registry.
        version_approved_at: When that was seen in the registry.
        requested_at: When it was requested.
        changed_at: When its status changed.
        live_at: When it went live; empty when it never was.
        execution: The run that deploys it; empty until it is known.
        started: Whether its run is started.
        start_until: Until when an invocation of the function is busy starting its run.
        leaves: For a retreat or rollback, the sequence of the attempt that it takes out.
        withdrawn: Whether its approval came to an end: a new approval starts anew.
        fingerprint: Of version and artifacts when it was approved.
        parts: What the fingerprint is made of: part -> its own digest.
        evidence: What the gate saw.
        endpoint_config: The live endpoint configuration.
    """

    environment: str
    sequence: int
    model_package_arn: str
    version: int
    status: Status
    kind: Kind
    reason: str = ""
    requested_by: str = ""
    approved_by: str = ""
    approved_at: str = ""
    approval_reason: str = ""
    version_approved_by: str = ""
    version_approved_at: str = ""
    requested_at: str = ""
    changed_at: str = ""
    live_at: str = ""
    execution: str = ""
    started: bool = False
    start_until: str = ""
    leaves: int = 0
    withdrawn: bool = False
    fingerprint: str = ""
    parts: dict[str, str] = field(default_factory=dict[str, str])
    evidence: list[str] = field(default_factory=list[str])
    endpoint_config: str = ""


@dataclass(frozen=True)
class History:
    """All attempts of a group.

    Attributes:
        group: The central group.
        revision: Number of the last change; 0 for a group without attempts.
        attempts: By environment and sequence.
    """

    group: str
    revision: int = 0
    attempts: tuple[Attempt, ...] = ()

    def of(self, environment: str) -> list[Attempt]:
        """An environment's attempts, oldest first."""
        return [item for item in self.attempts if item.environment == environment]

    def get(self, environment: str, sequence: int) -> Attempt | None:
        """One attempt; None when there is none."""
        return next((item for item in self.of(environment) if item.sequence == sequence), None)

    def live(self, environment: str) -> Attempt | None:
        """What an environment serves."""
        return self._only(environment, Status.LIVE)

    def deploying(self, environment: str) -> Attempt | None:
        """What is being deployed in an environment."""
        return self._only(environment, Status.DEPLOYING)

    def _only(self, environment: str, status: Status) -> Attempt | None:
        found = [item for item in self.of(environment) if item.status is status]
        return found[-1] if found else None

    def with_changed(self, attempt: Attempt) -> History:
        """With another state of an attempt that it has."""
        key = (attempt.environment, attempt.sequence)
        attempts = tuple(
            attempt if (item.environment, item.sequence) == key else item for item in self.attempts
        )
        return replace(self, attempts=attempts)

    def with_added(self, attempt: Attempt) -> tuple[History, Attempt]:
        """With a new attempt, which gets the next sequence of its environment."""
        standing = self.of(attempt.environment)
        attempt = replace(attempt, sequence=standing[-1].sequence + 1 if standing else 1)
        attempts = sorted((*self.attempts, attempt), key=lambda a: (a.environment, a.sequence))
        return replace(self, attempts=tuple(attempts)), attempt

    def moved(
        self, attempt: Attempt, trigger: Trigger, now: datetime, **changes: Any
    ) -> tuple[History, Attempt]:
        """With an attempt moved by the table, and other members changed."""
        if "reason" in changes:
            changes["reason"] = changes["reason"][:_REASON]
        attempt = replace(
            attempt, status=move(trigger, attempt.status), changed_at=stamp(now), **changes
        )
        return self.with_changed(attempt), attempt


@dataclass(frozen=True)
class ApprovedVersion:
    """A version with its approval, as a request records it.

    Attributes:
        arn: The version.
        version: Its number.
        approved_by: Who.
        approved_at: When the registry's entry was changed last.
        reason: Why.
    """

    arn: str
    version: int
    approved_by: str
    approved_at: str
    reason: str


@dataclass(frozen=True)
class Print:
    """Fingerprint of a version, or why there is none."""

    digest: str = ""
    parts: dict[str, str] = field(default_factory=dict[str, str])
    problem: str = ""


def _request(history: History, attempt: Attempt, now: datetime) -> tuple[History, Attempt]:
    return history.with_added(
        replace(
            attempt,
            status=move(Trigger.REQUEST, None),
            reason=attempt.reason[:_REASON],
            requested_at=stamp(now),
            changed_at=stamp(now),
        )
    )


def joined(history: History, way: Sequence[str], arn: str) -> str:
    """The environment that joined the way behind one where a version is live; empty without one.

    Whatever goes live asks for the next environment, unless it was withdrawn meanwhile: where it
    has never been asked for, there was none.
    """
    for before, after in itertools.pairwise(way):
        live = history.live(before)
        if (
            live is not None
            and live.model_package_arn == arn
            and live.kind is Kind.DEPLOY
            and not live.withdrawn
            and all(item.model_package_arn != arn for item in history.of(after))
        ):
            return after
    return ""


def start(
    history: History,
    way: Sequence[str],
    approved: ApprovedVersion,
    fingerprint: Callable[[], Print],
    now: datetime,
) -> History:
    """Requests the deployment of an approved version, unless its approval already has one.

    Approved again while it is approved, it goes the way once more only when the way is longer now.

    Args:
        history: What there is.
        way: The environments, in order.
        approved: The version.
        fingerprint: Reads the fingerprint; called only when a deployment is requested.
        now: The time.
    """
    environment = way[0]
    standing = [
        item
        for item in history.of(environment)
        if item.kind is Kind.DEPLOY
        and item.model_package_arn == approved.arn
        and not item.withdrawn
    ]
    if standing and not (
        standing[-1].version_approved_at < approved.approved_at
        and joined(history, way, approved.arn)
    ):
        return history
    printed = fingerprint()
    attempt = Attempt(
        environment=environment,
        sequence=0,
        model_package_arn=approved.arn,
        version=approved.version,
        status=Status.REQUESTED,
        kind=Kind.DEPLOY,
        reason=approved.reason or "approved",
        requested_by=approved.approved_by,
        approved_by=approved.approved_by,
        approved_at=approved.approved_at,
        approval_reason=approved.reason,
        version_approved_by=approved.approved_by,
        version_approved_at=approved.approved_at,
        fingerprint=printed.digest,
        parts=printed.parts,
    )
    if printed.problem:
        refused = replace(
            attempt,
            status=move(Trigger.REFUSE, None),
            reason=printed.problem[:_REASON],
            requested_at=stamp(now),
            changed_at=stamp(now),
        )
        return history.with_added(refused)[0]
    return _request(history, attempt, now)[0]


def withdraw(
    history: History, arn: str, why: str, now: datetime, *, before: str | None = None
) -> History:
    """Ends the approval of a version.

    Args:
        history: What there is.
        arn: The version.
        why: What people read.
        now: The time.
        before: Only of approvals before this time: the version is approved again. Without it
            retreats and rollbacks to the version are withdrawn too.
    """
    for item in history.attempts:
        if item.model_package_arn != arn or item.withdrawn:
            continue
        if before is not None and (
            item.kind is not Kind.DEPLOY or item.version_approved_at >= before
        ):
            continue
        if item.status is Status.REQUESTED:
            history, _ = history.moved(item, Trigger.WITHDRAW, now, reason=why, withdrawn=True)
        elif item.kind is Kind.DEPLOY:
            history = history.with_changed(replace(item, withdrawn=True))
    return history


def expire(history: History, now: datetime, after: timedelta) -> History:
    """Ends what nothing was heard of for too long.

    A deployment that waits for its run waits for people too, and does not expire.
    """
    for item in history.attempts:
        if now - read_stamp(item.changed_at) <= after:
            continue
        if item.status is Status.DEPLOYING:
            why = f"Nothing was heard of its run {item.execution} for {after}."
            history, _ = history.moved(item, Trigger.EXPIRE, now, reason=why)
        elif item.status is Status.REQUESTED and item.kind is not Kind.DEPLOY and item.started:
            why = f"Its run {item.execution} has not begun to deploy for {after}."
            history, _ = history.moved(item, Trigger.EXPIRE, now, reason=why)
    return history


def leave(history: History, way: Sequence[str], now: datetime) -> History:
    """Ends what is open or live where the project is not deployed any more.

    Args:
        history: What there is.
        way: The project's environments.
        now: The time.
    """
    open_ = (Status.REQUESTED, Status.DEPLOYING, Status.LIVE)
    for item in history.attempts:
        if item.environment not in way and item.status in open_:
            why = f"{item.environment} is no target of the project any more."
            history, _ = history.moved(item, Trigger.REMOVE, now, reason=why)
    return history


@dataclass(frozen=True)
class Stuck:
    """An environment that should be left by a version, with nowhere to go.

    Attributes:
        environment: Where.
        attempt: What should be taken out.
        why: What people read.
    """

    environment: str
    attempt: Attempt
    why: str


def targets(
    history: History, environment: str, version: int, approval_of: ApprovalOf
) -> Iterator[Attempt]:
    """Where to retreat to from a version: newest first.

    An earlier version counts when it is still approved and was live in this environment, so that it
    has passed this environment's gate and tests; given is its last attempt that was live.
    """
    found: dict[int, Attempt] = {}
    for item in history.of(environment):
        if item.live_at and item.version < version:
            found[item.version] = item
    for number in sorted(found, reverse=True):
        if approval_of(found[number].model_package_arn) is Approval.APPROVED:
            yield found[number]


def _not_refused(choices: Iterator[Attempt], tried: Sequence[Attempt]) -> Iterator[Attempt]:
    """The choices that the gate has not refused when they were tried before."""
    refused = {
        item.model_package_arn
        for item in tried
        if item.status is Status.REFUSED and not item.withdrawn
    }
    return (item for item in choices if item.model_package_arn not in refused)


def _go_back(
    history: History, left: Attempt, target: Attempt, kind: Kind, why: str, by: str, now: datetime
) -> tuple[History, Attempt]:
    """Requests an earlier version again; retreats that wait already are overtaken."""
    for item in history.of(left.environment):
        if item.status is Status.REQUESTED and item.kind is not Kind.DEPLOY:
            told = "Another retreat was requested."
            history, _ = history.moved(item, Trigger.OVERTAKE, now, reason=told)
    attempt = replace(
        target,
        kind=kind,
        reason=why,
        requested_by=by,
        live_at="",
        execution="",
        started=False,
        start_until="",
        leaves=left.sequence,
        withdrawn=False,
        evidence=[],
        endpoint_config="",
    )
    return _request(history, attempt, now)


def settle(
    history: History,
    environments: Sequence[str],
    approval_of: ApprovalOf,
    by: str,
    now: datetime,
) -> tuple[History, list[Stuck]]:
    """Requests the retreats that are due, in each environment at most one.

    Due is one from a live version that is rejected, and one from a deployment that failed last.
    A retreat that its gate refused is followed by one to the version before; one that failed is
    not: then something else than the version is wrong, and people have to look.

    Args:
        history: What there is.
        environments: The way.
        approval_of: Asks the registry.
        by: Who caused it.
        now: The time.
    """
    stuck: list[Stuck] = []
    for environment in environments:
        left, choices, why = _due(history, environment, approval_of)
        if left is None:
            continue
        tried = [item for item in history.of(environment) if item.leaves == left.sequence]
        if any(item.status in (Status.REQUESTED, Status.DEPLOYING) for item in tried):
            continue
        failed = [
            item
            for item in tried
            if item.status is Status.FAILED
            and approval_of(item.model_package_arn) is Approval.APPROVED
        ]
        target = next(_not_refused(choices, tried), None)
        if failed or target is None:
            told = (
                f"The retreat to version {failed[-1].version} failed: {failed[-1].reason}"
                if failed
                else "No earlier version that was live here is approved."
            )
            if left.status is Status.LIVE or failed:
                stuck.append(Stuck(environment, left, f"{why} {told}"))
            continue
        history, _ = _go_back(history, left, target, Kind.RETREAT, why, by, now)
    return history, stuck


def _due(
    history: History, environment: str, approval_of: ApprovalOf
) -> tuple[Attempt | None, Iterator[Attempt], str]:
    """What should be left, where one could go, and why."""
    live = history.live(environment)
    if live is not None and Effect.RETREAT in EFFECTS[approval_of(live.model_package_arn)]:
        choices = targets(history, environment, live.version, approval_of)
        return live, choices, f"Version {live.version} was rejected while it was live."
    begun = [
        item
        for item in history.of(environment)
        if item.status in (Status.DEPLOYING, Status.FAILED, Status.LIVE) and item.execution
    ]
    last = max(begun, key=lambda item: (item.changed_at, item.sequence), default=None)
    if last is None or last.status is not Status.FAILED or last.kind is not Kind.DEPLOY:
        return None, iter(()), ""
    why = f"Version {last.version} failed: {last.reason}"
    if live is not None and approval_of(live.model_package_arn) is Approval.APPROVED:
        return last, iter([live]), why
    version = last.version if live is None else live.version
    return last, targets(history, environment, version, approval_of), why


@dataclass(frozen=True)
class Wanted:
    """What a run asked to deploy, found in the history.

    Attributes:
        attempt: The attempt that it may begin, or has begun; None when there is none.
        begun: Whether this run has begun it: the question was asked before.
        refusal: Why not.
        retry: Whether the same question may be answered otherwise later.
    """

    attempt: Attempt | None = None
    begun: bool = False
    refusal: str = ""
    retry: bool = False


def find(history: History, environment: str, arn: str, execution: str, kind: Kind) -> Wanted:
    """The attempt that a run may begin."""
    mine = [
        item
        for item in history.of(environment)
        if item.model_package_arn == arn and item.kind is kind
    ]
    for item in mine:
        if item.status is Status.DEPLOYING and item.execution == execution:
            return Wanted(item, begun=True)
    # A run deploys once: run again, it must not take what another approval has requested.
    ended = [
        item
        for item in history.of(environment)
        if item.execution == execution and item.status is not Status.REQUESTED
    ]
    open_ = [
        item
        for item in mine
        if item.status is Status.REQUESTED
        and (item.execution == execution or (not item.execution and not ended))
    ]
    if not open_:
        last = [*mine[-1:], *ended][-1] if mine or ended else None
        told = (
            "nothing has requested it: only an approval, a retreat or a rollback does"
            if last is None
            else f"attempt {last.sequence} of it is {last.status.value}"
            + (f" by {last.execution}" if last.execution else "")
            + (f" ({last.reason})" if last.reason else "")
        )
        return Wanted(refusal=f"{kind.value} of {arn} in {environment}: {told}.")
    busy = history.deploying(environment)
    if busy is not None:
        return Wanted(
            refusal=f"Version {busy.version} is being deployed in {environment} by "
            f"{busy.execution}: ask again when that has ended.",
            retry=True,
        )
    return Wanted(open_[-1])


@dataclass(frozen=True)
class Passed:
    """What the gate saw of an attempt that it let pass.

    Attributes:
        approved_by: Who approved it for this environment.
        approved_at: When.
        approval_reason: Why.
        evidence: What was found, for people.
    """

    approved_by: str
    approved_at: str
    approval_reason: str
    evidence: list[str]


def begin(
    history: History, attempt: Attempt, execution: str, passed: Passed, now: datetime
) -> History:
    """The gate let an attempt's run pass."""
    return history.moved(
        attempt,
        Trigger.BEGIN,
        now,
        execution=execution,
        started=True,
        start_until="",
        approved_by=passed.approved_by,
        approved_at=passed.approved_at,
        approval_reason=passed.approval_reason,
        evidence=passed.evidence,
    )[0]


def refuse(history: History, attempt: Attempt, execution: str, why: str, now: datetime) -> History:
    """The gate refused an attempt's run."""
    return history.moved(
        attempt, Trigger.REFUSE, now, execution=execution, started=True, reason=why
    )[0]


def succeed(
    history: History,
    attempt: Attempt,
    environments: Sequence[str],
    endpoint_config: str,
    now: datetime,
    *,
    one_run: bool = True,
) -> History:
    """An attempt is live: it takes another's place, and asks for the next environment.

    Args:
        history: What there is.
        attempt: It is being deployed, and its version is approved.
        environments: The way.
        endpoint_config: The live endpoint configuration.
        now: The time.
        one_run: Whether the run that brought it here goes on to the next environment by itself.
    """
    environment = attempt.environment
    for item in history.of(environment):
        left = item.sequence == attempt.leaves
        if item.status is Status.LIVE:
            trigger = Trigger.TAKE_OUT if left else Trigger.REPLACE
            history, _ = history.moved(item, trigger, now)
        elif item.status is Status.FAILED and left:
            history, _ = history.moved(item, Trigger.TAKE_OUT, now)
        elif item.status is Status.REQUESTED and (
            item.kind is not Kind.DEPLOY
            or (attempt.kind is Kind.DEPLOY and item.sequence < attempt.sequence)
        ):
            why = f"Version {attempt.version}, attempt {attempt.sequence}, is live."
            history, _ = history.moved(item, Trigger.OVERTAKE, now, reason=why)
    history, attempt = history.moved(
        attempt, Trigger.SUCCEED, now, live_at=stamp(now), endpoint_config=endpoint_config
    )
    following = list(environments[environments.index(environment) + 1 :])
    if attempt.kind is Kind.DEPLOY and following and not attempt.withdrawn:
        after = replace(
            attempt,
            environment=following[0],
            reason=f"live in {environment}",
            approved_by="",
            approved_at="",
            approval_reason="",
            live_at="",
            evidence=[],
            endpoint_config="",
        )
        if not one_run:
            after = replace(after, execution="", started=False, start_until="")
        history, _ = _request(history, after, now)
    return history


def fail(history: History, attempt: Attempt, why: str, now: datetime) -> History:
    """An attempt that was being deployed failed."""
    return history.moved(attempt, Trigger.FAIL, now, reason=why)[0]


def end_execution(history: History, execution: str, why: str, now: datetime) -> History:
    """A run ended without success: what it had not brought to an end ends with it."""
    for item in history.attempts:
        if item.execution == execution and item.status is Status.DEPLOYING:
            history, _ = history.moved(item, Trigger.FAIL, now, reason=why)
        elif item.execution == execution and item.status is Status.REQUESTED:
            history, _ = history.moved(item, Trigger.END_EARLY, now, reason=why)
    return history


@dataclass(frozen=True)
class Wish:
    """A person's wish for the previous version.

    Attributes:
        environment: Where.
        leaves: Sequence of the live attempt that they saw, and want taken out.
        reason: Why.
        by: Who.
    """

    environment: str
    leaves: int
    reason: str
    by: str


def roll_back(
    history: History, wish: Wish, approval_of: ApprovalOf, now: datetime
) -> tuple[History, Attempt | None, str]:
    """Requests the previous approved version for a person; or says why not.

    Returns:
        The history, the request, and the refusal, which is empty when there is a request.
    """
    environment = wish.environment
    live = history.live(environment)
    if live is None:
        return history, None, f"No version of {history.group} is live in {environment}."
    if live.sequence != wish.leaves:
        told = f"Version {live.version} is live in {environment} (attempt {live.sequence}), not "
        return history, None, f"{told}attempt {wish.leaves}: look again."
    busy = history.deploying(environment)
    if busy is not None:
        told = f"Version {busy.version} is being deployed in {environment} by {busy.execution}."
        return history, None, f"{told} Roll back when that has ended."
    for item in history.of(environment):
        if item.status is Status.REQUESTED and item.kind is not Kind.DEPLOY:
            told = f"A {item.kind.value} to version {item.version} is requested already"
            return history, None, f"{told} (attempt {item.sequence})."
    tried = [item for item in history.of(environment) if item.leaves == live.sequence]
    choices = targets(history, environment, live.version, approval_of)
    target = next(_not_refused(choices, tried), None)
    if target is None:
        told = f"No version before {live.version} that was live in {environment} is approved."
        return history, None, told
    history, request = _go_back(history, live, target, Kind.ROLLBACK, wish.reason, wish.by, now)
    return history, request, ""


def to_start(history: History, now: datetime) -> tuple[list[Attempt], list[Attempt]]:
    """The attempts whose runs have to be started, and those that another invocation is starting.

    A retreat waits until nothing else is being deployed in its environment.
    """
    due: list[Attempt] = []
    claimed: list[Attempt] = []
    for item in history.attempts:
        if item.status is not Status.REQUESTED or item.started:
            continue
        if item.kind is not Kind.DEPLOY and history.deploying(item.environment) is not None:
            continue
        (claimed if item.start_until > stamp(now) else due).append(item)
    return due, claimed
