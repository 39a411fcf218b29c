"""Dead letters: messages that could not be handled, what they are, why, and another try.

They wait in a queue of the hub until somebody acts. A retry hands the message to whom it is for,
and only then takes it out of the dead letters: a crash in between handles it twice, which its
receiver takes for once, and loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

_BATCH = 10
_HELD_SECONDS = 120

WAIT_SECONDS = 2
"""How long a queue is asked before it counts as empty. Without waiting SQS asks only some of its
servers, and may answer nothing though letters wait. Source: SQS developer guide, short and long
polling."""

Tell = Callable[[str], None]


class QueueError(RuntimeError):
    """A queue cannot be used; the message says which and why."""


class NotTakenError(Exception):
    """A message was refused again; the message says why."""


@dataclass(frozen=True)
class Failed:
    """A message that was not handled.

    Attributes:
        source: ARN of the version, or what the message is about instead.
        cause: Why it failed.
        step: Where it failed; empty when the function itself ended.
        body: The message.
        receipt: Handle by which it is taken out.
    """

    source: str
    cause: str
    step: str
    body: str
    receipt: str


def queue_url(sqs: Any, name: str) -> str:
    """The address of a queue of the hub.

    Raises:
        QueueError: It is not there, or the caller may not use it.
    """
    try:
        return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])
    except ClientError as error:
        raise QueueError(
            f"The queue {name} cannot be used: {error}. It is made by the governance stack, and"
            " used by its ML engineers (--profile)."
        ) from error


class DeadLetters:
    """A queue of dead letters.

    Args:
        session: Of the hub's account, with an ML engineer's rights.
        name: The queue's name.

    Raises:
        QueueError: It is not there, or the caller may not use it.
    """

    def __init__(self, session: boto3.Session, name: str) -> None:
        self._sqs: Any = session.client("sqs")
        self._url = queue_url(self._sqs, name)

    def failed(self) -> list[Failed]:
        """What waits; nothing is taken out."""
        found = list(self._received())
        for item in found:
            self._release(item)
        return found

    def redrive(
        self, send: Callable[[Failed], None], tell: Tell, only: Collection[str] = ()
    ) -> int:
        """Tries messages anew.

        Args:
            send: Hands a message to whom it is for, or raises NotTakenError.
            tell: Gets a line for each.
            only: Their sources; empty for all.

        Returns:
            How many were taken.
        """
        sent = 0
        for item in list(self._received()):
            if only and item.source not in only:
                self._release(item)
                continue
            try:
                send(item)
            except NotTakenError as error:
                self._release(item)
                tell(f"failed again: {item.source} ({error})")
                continue
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=item.receipt)
            tell(f"tried anew: {item.source} ({item.cause})")
            sent += 1
        return sent

    def _release(self, item: Failed) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=item.receipt, VisibilityTimeout=0
        )

    def _received(self) -> Iterator[Failed]:
        while True:
            messages = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_HELD_SECONDS,
                WaitTimeSeconds=WAIT_SECONDS,
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not messages:
                return
            for message in messages:
                yield _read(message)


def _read(message: dict[str, Any]) -> Failed:
    attributes: dict[str, Any] = message.get("MessageAttributes") or {}

    def attribute(*names: str) -> str:
        return next((str(attributes[n]["StringValue"]) for n in names if n in attributes), "")

    # What the function dropped names its cause; what the queue or the rule dropped does not.
    cause = attribute("Cause", "ERROR_MESSAGE", "ErrorMessage")
    return Failed(
        source=attribute("SourceModelPackageArn") or _source(message["Body"]),
        cause=cause or "the function ended each time before it could say why: see its log",
        step=attribute("Step", "ERROR_CODE"),
        body=message["Body"],
        receipt=message["ReceiptHandle"],
    )


def _source(body: str) -> str:
    try:
        event: Any = json.loads(body)
        if event.get("action"):
            return str(event["action"])
        detail = event.get("detail") or {}
        return str(detail.get("execution-id") or event["resources"][0])
    except (AttributeError, ValueError, LookupError, TypeError):
        return f"no event: {body[:80]}"


def table(found: Collection[Failed], none: str, some: str) -> str:
    """What failed, for people.

    Args:
        found: The messages.
        none: What is said when there are none.
        some: What is said after their number.
    """
    if not found:
        return none
    lines = [f"{len(found)} {some}"]
    for item in found:
        lines += [f"{item.source}", f"  {item.step or 'unknown step'}: {item.cause}"]
    return "\n".join(lines)
