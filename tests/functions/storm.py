"""Events by the thousand, with everything that goes wrong on the way of an event.

Duplicates, any order, four at a time, throttling, server errors and ended processes. The queue is
Lambda's as far as it matters: a message is delivered until the function has dealt with it, after
the end of a process once its lease is over. The versions share a few artifacts, and their groups:
what is counted is versions, cards and messages, not bytes.
"""

from __future__ import annotations

import collections
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.functions.platform import (
    FOREIGN,
    FRAMEWORK_IMAGE,
    LEASE_SECONDS,
    Crash,
    Platform,
    folder,
    message,
)

_GROUPS, _ARTIFACTS, _AT_ONCE = 8, 4, 4


@dataclass(frozen=True)
class Weathered:
    """What a storm was.

    Attributes:
        delivered: How often a message was handed to the function.
        crashed: Processes that ended.
        retried: Deliveries that the function gave back.
        promoted: Versions in the hub.
        seconds: From the first delivery to the last.
    """

    delivered: int
    crashed: int
    retried: int
    promoted: int
    seconds: float


@dataclass
class Storm:
    """One storm, of a seed."""

    platform: Platform
    events: int
    versions: int
    seed: int = 7

    def __post_init__(self) -> None:
        self.crashed = 0
        self.handled: collections.Counter[str] = collections.Counter()
        # No message may be given up here: what is lost by trying too often is another test's.
        self.worker = self.platform.make_worker(MAX_RECEIVES="1000")
        self.groups = [self.platform.group() for _ in range(_GROUPS)]
        self.expected = self._register()
        self.records = self._events()

    def _register(self) -> dict[str, str]:
        platform = self.platform
        models = [
            [platform.upload(f"{folder(group)}{n}.bin", b"%d" % n) for n in range(_ARTIFACTS)]
            for group in self.groups
        ]
        poison = platform.upload("poison.bin", b"secret", bucket=FOREIGN)
        expected: dict[str, str] = {}
        for number in range(self.versions):
            kind = {0: "superseded", 1: "gone", 2: "refused"}.get(number % 16, "promoted")
            own = models[number % _GROUPS]
            model = poison if kind == "refused" else own[number % _ARTIFACTS]
            arn = platform.register(
                self.groups[number % _GROUPS],
                container={"Image": FRAMEWORK_IMAGE, "ModelDataUrl": model},
            )
            expected[arn] = kind
            if kind == "superseded":
                platform.dev.update_model_package(
                    ModelPackageArn=arn, ModelApprovalStatus="Rejected"
                )
            elif kind == "gone":
                platform.dev.delete_model_package(ModelPackageName=arn)
        return expected

    def _events(self) -> list[dict[str, Any]]:
        chance = random.Random(self.seed)  # noqa: S311 - to be repeated, not to be secret
        arns = list(self.expected)
        records = [message(arn) for arn in arns]
        while len(records) < self.events:
            status = chance.choices(("Approved", "PendingManualApproval"), (8, 1))[0]
            records.append(message(chance.choice(arns), status))
        chance.shuffle(records)
        return records

    def _deliver(self, numbered: tuple[int, dict[str, Any]]) -> dict[str, Any] | None:
        number, record = numbered
        platform = self.platform
        dice = random.Random(number)  # noqa: S311 - as above
        if dice.random() < 0.15:
            platform.wire.crash_after(dice.randint(1, dice.choice((1, 16))))
        if dice.random() < 0.12:
            error = dice.choice(("throttle", "server-error"))
            platform.cloud.control("POST", "faults", {"error": error, "count": 1})
        try:
            again = platform.deliver(record, worker=self.worker)
        except Crash:
            self.crashed += 1
            again = [record["messageId"]]
        finally:
            platform.wire.crash_after(None)
        if again:
            return record
        self.handled[record["messageId"]] += 1
        return None

    def weather(self) -> Weathered:
        """Delivers until nothing is left, and makes sure that nothing was lost or made twice."""
        platform, waiting, number = self.platform, self.records, 0
        started = time.monotonic()
        while waiting:
            numbered = list(enumerate(waiting, number))
            number += len(waiting)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                waiting = [record for record in pool.map(self._deliver, numbered) if record]
            platform.clock.ahead += LEASE_SECONDS + 1
        seconds = time.monotonic() - started
        platform.cloud.control("DELETE", "faults")
        # Each message is dealt with, and once.
        assert self.handled == {record["messageId"]: 1 for record in self.records}
        assert len(self.records) == self.events
        promoted = self._once()
        self._dead_with_cause()
        retried = sum(line["outcome"] == "retried" for line in platform.logged)
        return Weathered(number, self.crashed, retried, promoted, seconds)

    def _once(self) -> int:
        """One version and one card for each that was to be promoted, none for the others."""
        platform = self.platform
        central: collections.Counter[str] = collections.Counter()
        names = [group.replace("acme-dev-", "acme-governance-") for group in self.groups]
        for name in names:
            pages = platform.hub.get_paginator("list_model_packages").paginate(
                ModelPackageGroupName=name
            )
            for page in pages:
                for item in page["ModelPackageSummaryList"]:
                    described = item["ModelPackageDescription"]
                    central[described.partition("promoted from ")[2].rstrip("]")] += 1
        wanted = {arn: 1 for arn, kind in self.expected.items() if kind == "promoted"}
        assert central == wanted
        pages = platform.hub.get_paginator("list_model_cards").paginate()
        cards = [item["ModelCardName"] for page in pages for item in page["ModelCardSummaries"]]
        stems = tuple(f"{name}-v" for name in names)
        assert sum(card.startswith(stems) for card in cards) == len(central)
        for arn, kind in self.expected.items():
            assert platform.ledger(arn)["Outcome"] == kind
        return len(central)

    def _dead_with_cause(self) -> None:
        """Every approved event of what cannot be promoted is among the dead, with its cause."""
        dead = self.platform.dead()
        poisoned: set[str] = set()
        for record in self.records:
            detail = json.loads(record["body"])["detail"]
            if (
                detail["ModelApprovalStatus"] == "Approved"
                and self.expected[detail["ModelPackageArn"]] == "refused"
            ):
                poisoned.add(record["body"])
        assert len(dead) >= len(poisoned) > 0
        assert {item["Body"] for item in dead} == poisoned
        assert all(FOREIGN in item["Cause"] and item["Step"] == "plan" for item in dead)
