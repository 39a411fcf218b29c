"""What callers of the endpoint rely on, asked of the live one: pictures of a prompt.

``lowest`` and ``highest`` of the samples are bounds of the pixels of a picture's sides.
"""

from __future__ import annotations

import base64
import json
import time

import pytest
from botocore.exceptions import ClientError

from conftest import Endpoint, Samples

MAXIMUM_BYTES = 6 * 1024 * 1024
"""Largest body of a request. Source: InvokeEndpoint in the SageMaker API reference."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""Source: PNG specification."""


def pictures(endpoint: Endpoint, samples: Samples, body: str) -> list[bytes]:
    answer = endpoint.invoke(body.encode(), samples.content_type, samples.accept)
    return [base64.b64decode(item) for item in json.loads(answer)["images"]]


def sides(picture: bytes) -> tuple[int, int]:
    """Width and height, which a PNG file begins with."""
    assert picture.startswith(SIGNATURE)
    return int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")


def refusal(endpoint: Endpoint, samples: Samples, body: bytes, **changes: str) -> ClientError:
    kind = changes.get("content_type", samples.content_type)
    with pytest.raises(ClientError) as refused:
        endpoint.invoke(body, kind, changes.get("accept", samples.accept))
    return refused.value


def test_every_prompt_gets_a_picture(endpoint: Endpoint, samples: Samples) -> None:
    for row in samples.rows:
        [picture] = pictures(endpoint, samples, row)
        assert all(samples.lowest <= side <= samples.highest for side in sides(picture))


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(
    endpoint: Endpoint, samples: Samples
) -> None:
    request = json.loads(samples.rows[0])
    request["parameters"]["seed"] = 7
    first = pictures(endpoint, samples, json.dumps(request))
    assert pictures(endpoint, samples, json.dumps(request)) == first
    request["parameters"]["seed"] = 8
    assert pictures(endpoint, samples, json.dumps(request)) != first


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (b"\x00\xffno text", {}),
        (b'{"text": "no prompt"}', {}),
        (b'{"inputs": ""}', {}),
        (b'{"inputs": "a", "parameters": {"num_inference_steps": 100000}}', {}),
        (b'{"inputs": "a"}', {"content_type": "image/png"}),
        (b'{"inputs": "a", "parameters": {"num_inference_steps": 1}}', {"accept": "text/csv"}),
    ],
    ids=["garbage", "no prompt", "empty prompt", "too many steps", "content type", "accept"],
)
def test_what_is_no_request_is_refused_and_the_endpoint_still_answers(
    endpoint: Endpoint, samples: Samples, body: bytes, changes: dict[str, str]
) -> None:
    error = refusal(endpoint, samples, body, **changes)
    assert error.response["Error"]["Code"] in ("ModelError", "ValidationError")
    assert pictures(endpoint, samples, samples.rows[0])


def test_too_large_a_request_is_refused(endpoint: Endpoint, samples: Samples) -> None:
    error = refusal(endpoint, samples, b"0" * (MAXIMUM_BYTES + 1))
    assert 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 500


def test_answers_keep_the_latency_budget(endpoint: Endpoint, samples: Samples) -> None:
    # The first request of a container is slower than those that callers see.
    durations: list[float] = []
    for number in range(4):
        start = time.perf_counter()
        pictures(endpoint, samples, samples.rows[number % len(samples.rows)])
        durations.append(1000 * (time.perf_counter() - start))
    slowest = max(durations[1:])
    assert slowest <= samples.latency_milliseconds, f"a picture took {slowest:.0f} ms"
