"""What the endpoint does when many ask at once, for a while: errors, latency, throughput.

``make load-test`` runs it; a deployment only where ``load.each_deployment`` of ``samples.json``
says so. It takes its time, and scaling, alarms and data capture take its requests for real ones.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from conftest import Endpoint, Samples

ASKED = "LOAD_TEST"
"""Variable by which ``make load-test`` asks for it."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that so many percent of them do not exceed."""
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]


def ask(
    endpoint: Endpoint, samples: Samples, first: int, end: float
) -> tuple[list[float], list[str]]:
    """One caller, one request after the other: milliseconds of answers, and what failed."""
    answered: list[float] = []
    failed: list[str] = []
    number = first
    while (start := time.perf_counter()) < end:
        body = samples.rows[number % len(samples.rows)].encode()
        number += 1
        try:
            endpoint.invoke(body, samples.content_type, samples.accept)
        except (ClientError, BotoCoreError) as error:
            failed.append(str(error))
        else:
            answered.append(1000 * (time.perf_counter() - start))
    return answered, failed


def test_answers_keep_the_budgets_under_load(
    endpoint: Endpoint, samples: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    load = samples.load
    if not (load.each_deployment or os.environ.get(ASKED)):
        pytest.skip("make load-test runs it, and deployments where load.each_deployment is set")
    # The first request of a container is slower than those that callers see.
    endpoint.invoke(samples.rows[0].encode(), samples.content_type, samples.accept)
    start = time.perf_counter()
    with ThreadPoolExecutor(load.callers) as callers:
        asking = [
            callers.submit(ask, endpoint, samples, first, start + load.seconds)
            for first in range(load.callers)
        ]
        told = [caller.result() for caller in asking]
    seconds = time.perf_counter() - start
    answered = [duration for durations, _ in told for duration in durations]
    failed = [cause for _, causes in told for cause in causes]
    causes = "; ".join(f"{count} x {cause}" for cause, count in Counter(failed).most_common(3))
    assert answered, f"none of {len(failed)} requests was answered: {causes}"
    p95, p99 = percentile(answered, 95), percentile(answered, 99)
    with capsys.disabled():
        print(
            f"\n{endpoint.name}: {len(answered)} answers to {load.callers} callers in"
            f" {seconds:.1f} s, {len(answered) / seconds:.1f} a second; 50 % within"
            f" {percentile(answered, 50):.0f} ms, 95 % within {p95:.0f} ms, 99 % within"
            f" {p99:.0f} ms; {len(failed)} failed"
        )
    rate = len(failed) / (len(failed) + len(answered))
    assert rate <= load.error_rate, f"{rate:.1%} of the requests failed: {causes}"
    assert p95 <= load.p95_milliseconds, f"95 % of the answers took up to {p95:.0f} ms"
    assert p99 <= load.p99_milliseconds, f"99 % of the answers took up to {p99:.0f} ms"
