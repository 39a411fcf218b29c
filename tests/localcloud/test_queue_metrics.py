"""What queues measure, by a clock of the test's own."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud.emulator import queues, world
from localcloud.emulator.queues import AGE, VISIBLE, Meter


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, float]]]:
    found: list[tuple[str, dict[str, float]]] = []

    def add(dimensions: Any, values: Any, *, namespace: str) -> None:
        assert namespace == "AWS/SQS"
        found.append((dimensions["QueueName"], {name: value for name, value, _ in values}))

    monkeypatch.setattr(queues.Measurements, "of", lambda _: SimpleNamespace(add=add))
    return found


def test_what_changes_shows_at_once_and_what_waits_again_and_again(
    measured: list[tuple[str, dict[str, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = SimpleNamespace(_messages=[], approximate_number_of_messages=0)
    idle = SimpleNamespace(_messages=[], approximate_number_of_messages=0)
    there = {"letters": letters, "idle": idle}
    monkeypatch.setattr(world, "backend", lambda *_: SimpleNamespace(queues=there))
    host: Any = None
    meter = Meter(host, ["1" * 12], "eu-west-1", threading.RLock(), threading.Event())
    meter.tick(1000)
    assert measured == []
    letters._messages.append(SimpleNamespace(sent_timestamp=1_000_000))
    letters.approximate_number_of_messages = 1
    for second in (1002, 1003, 1007):
        meter.tick(second)
    assert measured == [("letters", {VISIBLE: 1, AGE: 2}), ("letters", {VISIBLE: 1, AGE: 7})]
    measured.clear()
    # Received and not deleted: it does not wait, and grows older.
    letters.approximate_number_of_messages = 0
    meter.tick(1008)
    meter.tick(1013)
    assert measured == [("letters", {VISIBLE: 0, AGE: 8}), ("letters", {VISIBLE: 0, AGE: 13})]
    measured.clear()
    letters._messages.clear()
    meter.tick(1020)
    meter.tick(1030)
    assert measured == []
    # A queue that is made again starts anew.
    letters.approximate_number_of_messages = 1
    meter.tick(1040)
    del there["letters"]
    meter.tick(1041)
    letters.approximate_number_of_messages = 0
    there["letters"] = letters
    meter.tick(1042)
    assert measured == [("letters", {VISIBLE: 1})]
