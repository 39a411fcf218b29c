"""boto3 clients that act for somebody, with the credentials of a role or a caller.

Their calls come in by the emulator's endpoint, and are authorized like everybody's.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config

CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Environment variables of credentials, in the order of `keys` below."""

_making = threading.Lock()
"""Making a client is not thread-safe."""


@functools.cache
def _session() -> Any:
    # One for all: each session reads the services' models anew, which takes longer than a call.
    return boto3.Session()


def client(
    service: str, keys: Sequence[str | None], *, region: str, endpoint: str, attempts: int = 3
) -> Any:
    """A client with somebody's credentials.

    Args:
        service: Service name of boto3.
        keys: Access key id, secret access key and session token.
        region: Its region.
        endpoint: The emulator's.
        attempts: How often a call is tried: the emulator may be told to fail now and then, as AWS
            does.
    """
    access_key, secret, token = keys
    with _making:
        return _session().client(
            service,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            region_name=region,
            endpoint_url=endpoint,
            config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
        )


def client_of(service: str, environment: Mapping[str, str]) -> Any:
    """A client with a task's credentials, from its environment."""
    return client(
        service,
        [environment[name] for name in CREDENTIALS],
        region=environment["AWS_REGION"],
        endpoint=environment["AWS_ENDPOINT_URL"],
    )
