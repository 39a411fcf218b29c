"""What can come of a delivery of dev's approval, and what becomes of its message then.

The function decides by this table; ``docs/state-machines.md`` is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a delivery came to."""

    IGNORED = "ignored"
    PROMOTED = "promoted"
    ALREADY_PROMOTED = "already-promoted"
    SUPERSEDED = "superseded"
    GONE = "gone"
    RETRIED = "retried"
    REFUSED = "refused"
    GIVEN_UP = "given-up"


class Fate(StrEnum):
    """What becomes of the message."""

    DONE = "is deleted"
    AGAIN = "comes again after the queue's visibility timeout"
    DEAD = "goes to the dead-letter queue with its cause, whose alarm rings; it can be redriven"


@dataclass(frozen=True)
class Ending:
    """What an outcome means.

    Attributes:
        when: What was found, as people read it.
        fate: Of the message.
    """

    when: str
    fate: Fate


OUTCOMES: Mapping[Outcome, Ending] = {
    Outcome.IGNORED: Ending("the event tells no approval", Fate.DONE),
    Outcome.PROMOTED: Ending("the hub has the version now, waiting for approval", Fate.DONE),
    Outcome.ALREADY_PROMOTED: Ending("the hub has had the version before", Fate.DONE),
    Outcome.SUPERSEDED: Ending("the version in dev is no longer approved", Fate.DONE),
    Outcome.GONE: Ending("the version in dev is deleted", Fate.DONE),
    Outcome.RETRIED: Ending(
        "another delivery is at it, AWS failed or throttled, or the version is not complete yet",
        Fate.AGAIN,
    ),
    Outcome.REFUSED: Ending(
        "the version can never be promoted as it is: a foreign account, bucket or registry,"
        " an artifact that is another project's, changed or missing, a malformed event",
        Fate.DEAD,
    ),
    Outcome.GIVEN_UP: Ending("it failed at its last delivery", Fate.DEAD),
}
"""Every outcome; the function looks up here what becomes of the message."""
