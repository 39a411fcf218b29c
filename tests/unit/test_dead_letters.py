"""Dead letters of a queue that is spread over servers, as SQS's are."""

from __future__ import annotations

import json
from typing import Any, cast

import boto3
import pytest

from automation.dead_letters import DeadLetters, Failed, NotTakenError


class Queue:
    """Answers as SQS may: nothing to who does not wait, and few letters at once to who does."""

    def __init__(self, letters: int) -> None:
        self.waiting = {f"r-{number}": f"s-{number}" for number in range(letters)}
        self.held: dict[str, str] = {}

    def client(self, service: str) -> Queue:
        assert service == "sqs"
        return self

    def get_queue_url(self, **given: Any) -> dict[str, Any]:
        return {"QueueUrl": f"https://sqs/{given['QueueName']}"}

    def receive_message(self, **given: Any) -> dict[str, Any]:
        if not given.get("WaitTimeSeconds"):
            return {}
        found = list(self.waiting.items())[:3]
        for receipt, source in found:
            self.held[receipt] = source
            del self.waiting[receipt]
        return {
            "Messages": [
                {"ReceiptHandle": receipt, "Body": json.dumps({"action": source})}
                for receipt, source in found
            ]
        }

    def change_message_visibility(self, **given: Any) -> None:
        assert given["VisibilityTimeout"] == 0
        self.waiting[given["ReceiptHandle"]] = self.held.pop(given["ReceiptHandle"])

    def delete_message(self, **given: Any) -> None:
        del self.held[given["ReceiptHandle"]]


def letters(queue: Queue) -> DeadLetters:
    return DeadLetters(cast(boto3.Session, queue), "failed")


@pytest.mark.parametrize("number", [0, 1, 3, 7, 25])
def test_every_letter_is_told_of_once_and_stays(number: int) -> None:
    queue = Queue(number)
    found = [item.source for item in letters(queue).failed()]
    assert sorted(found) == sorted(f"s-{item}" for item in range(number))
    assert len(queue.waiting) == number
    assert not queue.held


def test_every_letter_is_tried_anew_and_those_that_fail_again_stay() -> None:
    queue = Queue(8)
    sent: list[str] = []

    def send(item: Failed) -> None:
        if item.source == "s-5":
            raise NotTakenError("still ill")
        sent.append(item.source)

    told: list[str] = []
    assert letters(queue).redrive(send, told.append) == len(sent) == 7
    assert set(queue.waiting.values()) == {"s-5"}
    assert "failed again: s-5 (still ill)" in told
    assert not queue.held
