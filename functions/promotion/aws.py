"""Clients of the function's own account, and of source accounts through their reader roles."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# A session by role chaining lasts an hour at most; a delivery must not meet its end.
_SESSION_SECONDS = 3600
_SPARE_SECONDS = 1000

ClientFactory = Callable[[boto3.Session, str, str], Any]
"""Makes a client of a session: (session, service, region)."""


def error_code(error: ClientError) -> str:
    """The code of a service's error, such as ``ThrottlingException``."""
    return str(dict(error.response).get("Error", {}).get("Code", ""))  # type: ignore[union-attr]


def error_message(error: ClientError) -> str:
    """The message of a service's error."""
    return str(dict(error.response).get("Error", {}).get("Message", ""))  # type: ignore[union-attr]


def make_client(session: boto3.Session, service: str, region: str) -> Any:
    """A client that retries what is worth it, for as long as a delivery has time."""
    config = Config(
        retries={"total_max_attempts": 6, "mode": "standard"},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=16,
    )
    return session.client(service, region_name=region, config=config)


class Clients:
    """Clients, each made once; those of reader roles for as long as their session lasts.

    Args:
        own: A session of the function's own role.
        region: The hub's region.
        reader_roles: Source account -> role to read versions and images there.
        factory: Makes a client.
    """

    def __init__(
        self,
        own: boto3.Session,
        region: str,
        reader_roles: Mapping[str, str],
        factory: ClientFactory = make_client,
    ) -> None:
        self._own = own
        self._region = region
        self._reader_roles = reader_roles
        self._factory = factory
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, str, str], tuple[float, Any]] = {}
        self._sessions: dict[str, tuple[float, boto3.Session]] = {}

    def own(self, service: str) -> Any:
        """A client of the function's own role in the hub."""
        return self._client("", service, self._region, lambda: (float("inf"), self._own))

    def reader(self, account: str, service: str, region: str) -> Any:
        """A client of the reader role of a source account.

        Raises:
            ClientError: The role cannot be assumed.
        """
        return self._client(account, service, region, lambda: self._reader_session(account))

    def _client(
        self,
        account: str,
        service: str,
        region: str,
        session: Callable[[], tuple[float, boto3.Session]],
    ) -> Any:
        key = (account, service, region)
        with self._lock:
            ends, client = self._clients.get(key, (0.0, None))
            if time.time() > ends - _SPARE_SECONDS:
                ends, own = session()
                client = self._factory(own, service, region)
                self._clients[key] = (ends, client)
            return client

    def _reader_session(self, account: str) -> tuple[float, boto3.Session]:
        ends, session = self._sessions.get(account, (0.0, None))
        if session is None or time.time() > ends - _SPARE_SECONDS:
            given = self.own("sts").assume_role(
                RoleArn=self._reader_roles[account],
                RoleSessionName="model-promotion",
                DurationSeconds=_SESSION_SECONDS,
            )["Credentials"]
            session = boto3.Session(
                aws_access_key_id=given["AccessKeyId"],
                aws_secret_access_key=given["SecretAccessKey"],
                aws_session_token=given["SessionToken"],
                region_name=self._region,
            )
            ends = given["Expiration"].timestamp()
            self._sessions[account] = (ends, session)
        return ends, session
