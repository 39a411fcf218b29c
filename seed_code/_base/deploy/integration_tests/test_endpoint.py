"""What callers of the endpoint rely on, asked of the live one."""

from __future__ import annotations

import math
import time

import pytest
from botocore.exceptions import ClientError

from conftest import Endpoint, Samples

MAXIMUM_BYTES = 6 * 1024 * 1024
"""Largest body of a request. Source: InvokeEndpoint in the SageMaker API reference."""


def predictions(text: str) -> list[float]:
    return [float(value) for value in text.replace("\n", ",").split(",") if value.strip()]


def refusal(endpoint: Endpoint, body: bytes, content_type: str, accept: str) -> ClientError:
    with pytest.raises(ClientError) as refused:
        endpoint.invoke(body, content_type, accept)
    return refused.value


def test_every_sample_row_gets_one_plausible_prediction(
    endpoint: Endpoint, samples: Samples
) -> None:
    for row in samples.rows:
        [value] = predictions(endpoint.invoke(row.encode(), samples.content_type, samples.accept))
        assert math.isfinite(value)
        assert samples.lowest <= value <= samples.highest, f"{row} gives {value}"


def test_several_rows_get_the_predictions_that_each_gets_alone(
    endpoint: Endpoint, samples: Samples
) -> None:
    alone = [
        predictions(endpoint.invoke(row.encode(), samples.content_type, samples.accept))[0]
        for row in samples.rows
    ]
    together = predictions(
        endpoint.invoke("\n".join(samples.rows).encode(), samples.content_type, samples.accept)
    )
    assert together == pytest.approx(alone, rel=1e-5)


def test_another_content_type_is_refused(endpoint: Endpoint, samples: Samples) -> None:
    error = refusal(endpoint, samples.rows[0].encode(), "image/png", samples.accept)
    assert error.response["Error"]["Code"] in ("ModelError", "ValidationError")


def test_garbage_is_refused_and_the_endpoint_still_answers(
    endpoint: Endpoint, samples: Samples
) -> None:
    error = refusal(endpoint, b"\x00\xffno,row", samples.content_type, samples.accept)
    assert error.response["Error"]["Code"] in ("ModelError", "ValidationError")
    assert endpoint.invoke(samples.rows[0].encode(), samples.content_type, samples.accept)


def test_too_large_a_request_is_refused(endpoint: Endpoint, samples: Samples) -> None:
    body = b"0" * (MAXIMUM_BYTES + 1)
    error = refusal(endpoint, body, samples.content_type, samples.accept)
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert 400 <= status < 500


def test_answers_keep_the_latency_budget(endpoint: Endpoint, samples: Samples) -> None:
    # The first requests of a container are slower than those that callers see.
    durations = []
    for number in range(22):
        body = samples.rows[number % len(samples.rows)].encode()
        start = time.perf_counter()
        endpoint.invoke(body, samples.content_type, samples.accept)
        durations.append(1000 * (time.perf_counter() - start))
    measured = sorted(durations[2:])[-2]
    assert measured <= samples.latency_milliseconds, f"19 of 20 took up to {measured:.0f} ms"
