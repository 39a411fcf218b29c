"""The live endpoint, and the rows that it is asked about."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

SAMPLES = Path(__file__).with_name("samples.json")
LONGEST_SECONDS, MOST_CALLERS = 600, 64
"""Bounds of a load test: what it asks is paid for, and answered beside real callers."""


@dataclass(frozen=True)
class Load:
    """How a load test asks, and what the endpoint must keep meanwhile.

    Attributes:
        seconds: How long.
        callers: How many ask at the same time, each one request after the other.
        error_rate: Largest share of requests that fail.
        p95_milliseconds, p99_milliseconds: Longest time of 95 and of 99 in 100 answers, the network
            included.
        each_deployment: Whether each deployment is tested so too.
    """

    seconds: float = 10
    callers: int = 4
    error_rate: float = 0.01
    p95_milliseconds: float = 500
    p99_milliseconds: float = 1000
    each_deployment: bool = False

    def __post_init__(self) -> None:
        for name, value, most in (
            ("seconds", self.seconds, LONGEST_SECONDS),
            ("callers", self.callers, MOST_CALLERS),
        ):
            if not 0 < value <= most:
                raise ValueError(f"load.{name} is {value}: more than 0 and at most {most}")


@dataclass(frozen=True)
class Samples:
    """Real rows, and what is known of the answers.

    Attributes:
        content_type: Of the rows.
        accept: Of the answers.
        rows: One request body a row.
        lowest, highest: Bounds of every prediction.
        latency_milliseconds: Longest time of an answer, the network included.
        load: The load test.
    """

    content_type: str
    accept: str
    rows: list[str]
    lowest: float
    highest: float
    latency_milliseconds: float
    load: Load


@pytest.fixture(scope="session")
def samples() -> Samples:
    if not SAMPLES.is_file():
        pytest.fail(
            f"{SAMPLES.name} is missing: it holds the rows that the endpoint is asked about"
        )
    content: dict[str, Any] = json.loads(SAMPLES.read_text(encoding="utf-8"))
    try:
        content["load"] = Load(**content.get("load", {}))
        return Samples(**content)
    except (TypeError, ValueError) as error:
        pytest.fail(f"{SAMPLES.name} is wrong: {error}")


@dataclass(frozen=True)
class Endpoint:
    """The endpoint under test."""

    name: str
    client: Any

    def invoke(self, body: bytes, content_type: str, accept: str) -> str:
        """The endpoint's answer as text."""
        answer = self.client.invoke_endpoint(
            EndpointName=self.name, Body=body, ContentType=content_type, Accept=accept
        )
        return answer["Body"].read().decode()


@pytest.fixture(scope="session")
def endpoint() -> Endpoint:
    name = os.environ.get("ENDPOINT_NAME")
    if not name:
        pytest.fail("ENDPOINT_NAME is not set: deploy.py runs these tests")
    # A refusal must not be asked for again, nor a slow answer hidden.
    once = Config(
        retries={"total_max_attempts": 1}, read_timeout=65, max_pool_connections=MOST_CALLERS
    )
    return Endpoint(name, boto3.client("sagemaker-runtime", config=once))
