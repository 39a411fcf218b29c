"""What callers of the endpoint rely on, asked of the live one: texts that follow a prompt.

``lowest`` and ``highest`` of the samples are bounds of the characters of an answer. The prompts are
those of the sample data; put yours here when you train on yours.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import Endpoint, Samples

MAXIMUM_BYTES = 6 * 1024 * 1024
"""Largest body of a request. Source: InvokeEndpoint in the SageMaker API reference."""


def texts(endpoint: Endpoint, samples: Samples, body: str) -> list[str]:
    answer = endpoint.invoke(body.encode(), samples.content_type, samples.accept)
    return [item["generated_text"] for item in json.loads(answer)]


def refusal(endpoint: Endpoint, samples: Samples, body: bytes, **changes: str) -> ClientError:
    kind = changes.get("content_type", samples.content_type)
    with pytest.raises(ClientError) as refused:
        endpoint.invoke(body, kind, changes.get("accept", samples.accept))
    return refused.value


def test_every_prompt_is_completed(endpoint: Endpoint, samples: Samples) -> None:
    for row in samples.rows:
        [text] = texts(endpoint, samples, row)
        assert samples.lowest <= len(text.strip()) <= samples.highest, f"{row} gives {text!r}"


def test_the_same_prompt_is_completed_in_the_same_way(endpoint: Endpoint, samples: Samples) -> None:
    row = samples.rows[0]
    assert texts(endpoint, samples, row) == texts(endpoint, samples, row)


def test_several_prompts_get_the_answers_that_each_gets_alone(
    endpoint: Endpoint, samples: Samples
) -> None:
    requests: list[dict[str, Any]] = [json.loads(row) for row in samples.rows]
    alone = [texts(endpoint, samples, row)[0] for row in samples.rows]
    together = {**requests[0], "inputs": [request["inputs"] for request in requests]}
    assert texts(endpoint, samples, json.dumps(together)) == alone


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (b"\x00\xffno text", {}),
        (b'{"text": "no prompt"}', {}),
        (b'{"inputs": ""}', {}),
        (b'{"inputs": "a", "parameters": {"max_new_tokens": 1000000}}', {}),
        (b'{"inputs": "a"}', {"content_type": "image/png"}),
        (b'{"inputs": "a"}', {"accept": "image/png"}),
    ],
    ids=["garbage", "no prompt", "empty prompt", "too long an answer", "content type", "accept"],
)
def test_what_is_no_request_is_refused_and_the_endpoint_still_answers(
    endpoint: Endpoint, samples: Samples, body: bytes, changes: dict[str, str]
) -> None:
    error = refusal(endpoint, samples, body, **changes)
    assert error.response["Error"]["Code"] in ("ModelError", "ValidationError")
    assert texts(endpoint, samples, samples.rows[0])


def test_too_large_a_request_is_refused(endpoint: Endpoint, samples: Samples) -> None:
    error = refusal(endpoint, samples, b"0" * (MAXIMUM_BYTES + 1))
    assert 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 500


def test_answers_keep_the_latency_budget(endpoint: Endpoint, samples: Samples) -> None:
    # The first request of a container is slower than those that callers see.
    durations: list[float] = []
    for number in range(6):
        start = time.perf_counter()
        texts(endpoint, samples, samples.rows[number % len(samples.rows)])
        durations.append(1000 * (time.perf_counter() - start))
    slowest = max(durations[1:])
    assert slowest <= samples.latency_milliseconds, f"an answer took {slowest:.0f} ms"
