"""What queues measure: how many messages wait, and how long the oldest has.

SQS measures every minute; here it shows at once, and then every few seconds while messages wait, so
that alarms over it ring as soon as they would have to. A queue in which nothing changes and nothing
waits measures nothing, as one at AWS that is not active. A message keeps its age when it is moved
to a dead-letter queue, where AWS counts anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from localcloud.emulator import world
from localcloud.emulator.extension import Host
from localcloud.emulator.jobs import metrics
from localcloud.emulator.jobs.metrics import Measurements
from localcloud.emulator.jobs.place import Place

VISIBLE, AGE = "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"
"""Source: SQS developer guide, "Available CloudWatch metrics for Amazon SQS"."""

_TICK_SECONDS = 1.0
_AGAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Reading:
    """What a queue holds.

    Attributes:
        visible: Messages that wait.
        oldest: When the oldest of all that are not deleted was sent, in seconds since 1970; 0 for
            none.
    """

    visible: int = 0
    oldest: float = 0.0

    def values(self, moment: float) -> list[tuple[str, float, str]]:
        """Name, value and unit of each metric."""
        age = [(AGE, max(0.0, moment - self.oldest), "Seconds")] if self.oldest else []
        return [(VISIBLE, float(self.visible), "Count"), *age]


@dataclass
class Meter:
    """Measures the queues of all accounts, while it runs.

    Attributes:
        host: The emulator.
        accounts: All accounts.
        region: Where their queues are.
        lock: Held while queues are looked at.
        stopping: Set when the emulator ends.
    """

    host: Host
    accounts: Iterable[str]
    region: str
    lock: threading.RLock
    stopping: threading.Event
    _last: dict[tuple[str, str], tuple[float, Reading]] = field(
        default_factory=dict[tuple[str, str], tuple[float, Reading]]
    )

    def start(self) -> None:
        """Looks every second, in a thread of its own."""
        threading.Thread(target=self._run, daemon=True, name="queues").start()

    def _run(self) -> None:
        while not self.stopping.wait(_TICK_SECONDS):
            self.tick(time.time())

    def tick(self, moment: float) -> None:
        """Measures what has changed, and what waits and was last measured a while ago."""
        with self.lock:
            found = {
                (account, str(name)): _read(queue)
                for account in self.accounts
                for name, queue in world.backend("sqs", account, self.region).queues.items()
            }
        for (account, name), reading in found.items():
            at, last = self._last.get((account, name), (0.0, Reading()))
            waits = reading != Reading() and moment - at >= _AGAIN_SECONDS
            if reading.visible == last.visible and not waits:
                continue
            self._last[account, name] = (moment, reading)
            Measurements.of(Place(self.host, account, self.region)).add(
                {"QueueName": name}, reading.values(moment), namespace=metrics.QUEUES
            )
        self._last = {key: kept for key, kept in self._last.items() if key in found}


def _read(queue: Any) -> Reading:
    # Its public list has only those that wait.
    sent = [message.sent_timestamp for message in queue._messages]
    return Reading(queue.approximate_number_of_messages, min(sent) / 1000 if sent else 0.0)
