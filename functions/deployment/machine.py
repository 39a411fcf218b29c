"""The states of a model version and of a deployment, and what moves them, as data.

The tables are what runs: a status is changed by :func:`move` only, and what an approval status
brings about is looked up in :data:`EFFECTS`. :mod:`.documentation` writes the page that people read
from the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Status of a deployment attempt, as the ledger has it."""

    REQUESTED = "Requested"
    DEPLOYING = "Deploying"
    LIVE = "Live"
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"
    REFUSED = "Refused"
    REMOVED = "Removed"


MEANINGS: Mapping[Status, str] = {
    Status.REQUESTED: "Approved or asked for; its run has not begun to deploy",
    Status.DEPLOYING: "Its run has passed the gate and is changing the environment",
    Status.LIVE: "Deployed and tested: the version that the environment serves",
    Status.FAILED: "Deployment or tests failed",
    Status.ROLLED_BACK: "Taken out again: an earlier version is back in its place",
    Status.SUPERSEDED: "Another version took its place, or came before it",
    Status.REFUSED: "The gate refused it, or its approval was withdrawn: nothing was deployed",
    Status.REMOVED: "Taken away: the project is not deployed to this environment any more",
}


class Kind(StrEnum):
    """Why a version is deployed."""

    DEPLOY = "deploy"
    """It was approved."""
    RETREAT = "retreat"
    """A version after it was rejected, or failed."""
    ROLLBACK = "rollback"
    """A person asked for it."""


class Trigger(StrEnum):
    """What changes a deployment's status."""

    REQUEST = "request"
    BEGIN = "begin"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    OVERTAKE = "overtake"
    END_EARLY = "end early"
    SUCCEED = "succeed"
    FAIL = "fail"
    EXPIRE = "expire"
    REPLACE = "replace"
    TAKE_OUT = "take out"
    REMOVE = "remove"


@dataclass(frozen=True)
class Transition:
    """A row of the deployment's table.

    Attributes:
        trigger: What happens.
        source: Status before; None for an attempt that does not exist yet.
        target: Status after.
        when: In words, for people.
    """

    trigger: Trigger
    source: Status | None
    target: Status
    when: str


DEPLOYMENT: tuple[Transition, ...] = (
    Transition(
        Trigger.REQUEST,
        None,
        Status.REQUESTED,
        "a version is approved (first environment), went live in the environment before, is "
        "retreated to, or rolled back to",
    ),
    Transition(
        Trigger.REFUSE,
        None,
        Status.REFUSED,
        "a version is approved whose artifacts cannot be read",
    ),
    Transition(Trigger.BEGIN, Status.REQUESTED, Status.DEPLOYING, "its run passes the gate"),
    Transition(Trigger.REFUSE, Status.REQUESTED, Status.REFUSED, "the gate refuses its run"),
    Transition(
        Trigger.WITHDRAW, Status.REQUESTED, Status.REFUSED, "the version is no longer approved"
    ),
    Transition(
        Trigger.REMOVE,
        Status.REQUESTED,
        Status.REFUSED,
        "the environment is no target of the project any more",
    ),
    Transition(
        Trigger.END_EARLY,
        Status.REQUESTED,
        Status.REFUSED,
        "its run ended before it began to deploy, as when the manual approval is rejected",
    ),
    Transition(
        Trigger.OVERTAKE,
        Status.REQUESTED,
        Status.SUPERSEDED,
        "what was requested later is live, or a retreat is no longer needed",
    ),
    Transition(
        Trigger.EXPIRE,
        Status.REQUESTED,
        Status.FAILED,
        "the run of a retreat or rollback has not begun in time",
    ),
    Transition(
        Trigger.SUCCEED,
        Status.DEPLOYING,
        Status.LIVE,
        "its run says that it is live and tested, and the version is still approved",
    ),
    Transition(
        Trigger.FAIL,
        Status.DEPLOYING,
        Status.FAILED,
        "its run says so, its run ended without a word, or the version was rejected meanwhile",
    ),
    Transition(
        Trigger.EXPIRE, Status.DEPLOYING, Status.FAILED, "nothing was heard of its run in time"
    ),
    Transition(Trigger.REPLACE, Status.LIVE, Status.SUPERSEDED, "another deployment went live"),
    Transition(
        Trigger.TAKE_OUT,
        Status.LIVE,
        Status.ROLLED_BACK,
        "the retreat or rollback from it went live",
    ),
    Transition(
        Trigger.TAKE_OUT, Status.FAILED, Status.ROLLED_BACK, "the retreat from it went live"
    ),
    Transition(
        Trigger.REMOVE,
        Status.LIVE,
        Status.REMOVED,
        "the environment is no target of the project any more, and its endpoint is taken away",
    ),
    Transition(
        Trigger.REMOVE,
        Status.DEPLOYING,
        Status.FAILED,
        "the environment is no target of the project any more",
    ),
)
"""All that can happen to a deployment attempt; what is not here cannot happen."""

_MOVES = {(row.trigger, row.source): row.target for row in DEPLOYMENT}


class ForbiddenMoveError(Exception):
    """The table has no such transition: a defect, never a person's mistake."""


def move(trigger: Trigger, source: Status | None) -> Status:
    """The status after a trigger.

    Raises:
        ForbiddenMoveError: The table has no such row.
    """
    try:
        return _MOVES[trigger, source]
    except KeyError:
        told = "nothing" if source is None else source.value
        raise ForbiddenMoveError(f"{trigger.value!r} cannot happen to {told}.") from None


class Approval(StrEnum):
    """What the registry says of a version now."""

    PENDING = "PendingManualApproval"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    GONE = "Deleted"
    """There is no such version any more."""


class Effect(StrEnum):
    """What the function does because of a version's approval status."""

    START = "start its deployment, once for one approval"
    WITHDRAW = "refuse its deployments that have not begun"
    RETREAT = "retreat to the previous approved version in each environment where it is live"


EFFECTS: Mapping[Approval, tuple[Effect, ...]] = {
    Approval.PENDING: (Effect.WITHDRAW,),
    Approval.APPROVED: (Effect.START,),
    Approval.REJECTED: (Effect.WITHDRAW, Effect.RETREAT),
    Approval.GONE: (Effect.WITHDRAW,),
}
"""Approval status now -> what is done. An event only says where to look: what counts is what the
registry says when the event is handled, so that duplicates and late events change nothing."""


@dataclass(frozen=True)
class Step:
    """A row of the version's table.

    Attributes:
        source: Approval status before; None for a version that does not exist yet.
        target: Approval status after.
        by: Who does it.
    """

    source: Approval | None
    target: Approval
    by: str


VERSION: tuple[Step, ...] = (
    Step(None, Approval.PENDING, "the promotion function registers an approved version of dev"),
    Step(Approval.PENDING, Approval.APPROVED, "an approver who did not register or train it"),
    Step(Approval.PENDING, Approval.REJECTED, "an approver"),
    Step(Approval.APPROVED, Approval.REJECTED, "an approver"),
    Step(Approval.APPROVED, Approval.PENDING, "an approver"),
    Step(Approval.REJECTED, Approval.APPROVED, "an approver who did not register or train it"),
    Step(Approval.REJECTED, Approval.PENDING, "an approver"),
    Step(Approval.PENDING, Approval.GONE, "an administrator of the hub's account"),
    Step(Approval.REJECTED, Approval.GONE, "an administrator of the hub's account"),
    Step(Approval.APPROVED, Approval.GONE, "an administrator of the hub's account"),
)
"""The ways of a version in the hub's registry. The first and its refusals are the promotion
function's; the others are people's, bounded by their roles."""
