"""Approvals that could not be promoted: what they are, why, and another try.

A retry sends the same message to the promotion queue; what fails again comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import boto3

from automation import dead_letters
from automation.dead_letters import DeadLetters, Failed
from components.naming import Names
from components.promotion import DEAD_LETTERS, QUEUE


class Promotions:
    """The two queues of the hub.

    Args:
        session: Of the hub's account, with an ML engineer's rights.
        names: The hub's.

    Raises:
        QueueError: A queue is not there, or the caller may not use it.
    """

    def __init__(self, session: boto3.Session, names: Names) -> None:
        self._sqs: Any = session.client("sqs")
        self._queue = dead_letters.queue_url(self._sqs, names.name(QUEUE, "queue"))
        self._letters = DeadLetters(session, names.name(DEAD_LETTERS, "queue"))

    def failed(self) -> list[Failed]:
        """What waits in the dead letters; nothing is taken out."""
        return self._letters.failed()

    def redrive(self, tell: Callable[[str], None], only: Collection[str] = ()) -> int:
        """Tries failed promotions anew.

        Args:
            tell: Gets a line for each.
            only: ARNs of dev's versions; empty for all.

        Returns:
            How many were sent.
        """

        def send(item: Failed) -> None:
            self._sqs.send_message(QueueUrl=self._queue, MessageBody=item.body)

        return self._letters.redrive(send, tell, only)


def table(found: Collection[Failed]) -> str:
    """What failed, for people."""
    return dead_letters.table(
        found,
        "Every approval was promoted, or is on its way.",
        "not promoted; after the cause is gone: promotions redrive",
    )
