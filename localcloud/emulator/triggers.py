"""What begins by itself: rules with a schedule, arrivals in buckets, the measuring of queues."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import events, queues, schedules
from localcloud.emulator.compute import Compute
from localcloud.emulator.extension import Host
from localcloud.emulator.jobs import metrics, monitoring
from localcloud.emulator.jobs.metrics import Measurements
from localcloud.emulator.jobs.place import Place


class Emulator(Host, Protocol):
    """What is needed of the emulator."""

    events: events.Router

    def publish(self, event: events.Event) -> None:
        """Publishes what a service says by itself."""


class Triggers:
    """The clock of schedules, the meter of queues, and the ways from rules to other services.

    Args:
        host: The emulator.
        accounts: All accounts.
        region: Where rules have their clock.
        lock: Held while rules are looked at.
    """

    def __init__(
        self, host: Emulator, accounts: Iterable[str], region: str, lock: threading.RLock
    ) -> None:
        self._host, self._accounts, self._region = host, sorted(accounts), region
        self._lock = lock
        host.events.targets["sagemaker"] = self._start
        host.events.failed = self._failed
        events.hear_buckets(host.publish)
        stopping = cast(Compute, host.compute).stopping
        schedules.Clock(self.scheduled, self._due, stopping).start()
        queues.Meter(host, self._accounts, region, lock, stopping).start()

    def scheduled(self) -> dict[str, str]:
        """ARN of each enabled rule or monitoring schedule -> its expression."""
        with self._lock:
            return {
                **self._host.events.scheduled(self._accounts, self._region),
                **monitoring.scheduled(self._host, self._accounts, self._region),
            }

    def fire(self, rule: str) -> dict[str, str]:
        """Fires a rule or a monitoring schedule now.

        Raises:
            ValueError: There is no such rule with a schedule, or no such monitoring schedule.
        """
        with self._lock:
            if ":monitoring-schedule/" in rule:
                monitoring.fire(self._host, rule)
            else:
                self._host.events.fire(rule)
        return {"fired": rule}

    def _due(self, rule: str) -> None:
        with self._lock:
            # It may have gone since it was found to be due.
            if rule in self.scheduled():
                self.fire(rule)

    def _start(self, arn: str, parameters: Any) -> None:
        _, _, _, region, account, resource = arn.split(":", 5)
        try:
            self._host.client("sagemaker", account, region).start_pipeline_execution(
                PipelineName=resource.removeprefix("pipeline/"), PipelineParameters=parameters
            )
        except (BotoCoreError, ClientError) as error:
            raise events.UndeliverableError("INVALID_PARAMETER", str(error)) from error

    def _failed(self, arn: str) -> None:
        _, _, _, region, account, resource = arn.split(":", 5)
        Measurements.of(Place(self._host, account, region)).add(
            {"RuleName": resource.rpartition("/")[2]},
            [("FailedInvocations", 1, "Count")],
            namespace=metrics.EVENTS,
        )
