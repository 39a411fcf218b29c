"""The promotion function: many events, and what it costs beside its calls.

The function runs in this process against an emulator of its own, by its own roles.
MLOPS_BENCH_EVENTS holds the sizes, by default ``1000,10000``; 10,000 events take some 10 minutes.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tests.functions.platform import FRAMEWORK_IMAGE, Platform, folder, message
from tests.functions.storm import Storm
from tests.localcloud.emulators import checkout, running

SIZES = "1000,10000"
EVENTS_A_VERSION = 10
REGISTRATIONS = 40


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Without what the function logs, a line for each event."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


class Stopwatch:
    """Time that the function's calls take, from request to answer."""

    def __init__(self, platform: Platform) -> None:
        self.seconds, self._began = 0.0, 0.0
        watched = platform.wire.watch

        def watch(client: Any, service: str) -> Any:
            client.meta.events.register("before-call.*.*", self._begin)
            client.meta.events.register("after-call.*.*", self._end)
            return watched(client, service)

        platform.wire.watch = watch

    def _begin(self, **_: Any) -> None:
        self._began = time.perf_counter()

    def _end(self, **_: Any) -> None:
        self.seconds += time.perf_counter() - self._began


def registration(platform: Platform) -> None:
    """From an approval's delivery to the central version, against the sum of its calls."""
    watch = Stopwatch(platform)
    worker = platform.make_worker()
    group = platform.group()
    model = platform.upload(f"{folder(group)}model.bin", b"weights" * 1000)
    whole: list[float] = []
    calls: list[float] = []
    for _ in range(REGISTRATIONS):
        arn = platform.register(group, container={"Image": FRAMEWORK_IMAGE, "ModelDataUrl": model})
        watch.seconds = 0.0
        started = time.perf_counter()
        with quiet():
            platform.deliver(message(arn), worker=worker)
        whole.append(time.perf_counter() - started)
        calls.append(watch.seconds)
        assert len(platform.central(arn)) == 1
    # The first also makes the clients and the group.
    whole, calls = whole[1:], calls[1:]
    print(
        f"registration, median of {len(whole)}: {statistics.median(whole) * 1000:.0f} ms,"
        f" its calls alone {statistics.median(calls) * 1000:.0f} ms,"
        f" ratio {statistics.median(whole) / statistics.median(calls):.2f}",
        flush=True,
    )


def storm(platform: Platform, events: int) -> float:
    """Everything that goes wrong, and nothing lost; gives the seconds of an event."""
    # The storm's kinds of versions come in turns of sixteen.
    versions = max(1, events // EVENTS_A_VERSION // 16) * 16
    platform.logged.clear()
    platform.wire.calls.clear()
    with quiet():
        seen = Storm(platform, events, versions).weather()
    print(
        f"{events:>6} events about {versions} versions: {seen.delivered} deliveries,"
        f" {seen.crashed} processes ended, {seen.retried} given back, {seen.promoted} promoted"
        f" once each, none lost; {seen.seconds:.0f} s,"
        f" {seen.seconds / events * 1000:.0f} ms an event,"
        f" {len(platform.wire.calls) / events:.1f} calls an event,"
        f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB",
        flush=True,
    )
    return seen.seconds / events


def main() -> None:
    """Measure and print a line for each size, and what an event takes more than in the first."""
    sizes = [int(text) for text in os.environ.get("MLOPS_BENCH_EVENTS", SIZES).split(",")]
    with tempfile.TemporaryDirectory() as folder, running(checkout(Path(folder))) as cloud:
        platform = Platform(cloud)
        registration(platform)
        first, *others = [storm(platform, size) for size in sizes]
        for size, took in zip(sizes[1:], others, strict=True):
            print(f"an event of {size} to one of {sizes[0]}: {took / first:.2f}", flush=True)
