"""Calls that a service makes as a role: authorized and recorded like anybody's."""

from __future__ import annotations

import threading
from typing import Any, cast

import boto3
import botocore.session
from botocore.config import Config

from localcloud.emulator.compute import Compute, Task

_loading = threading.Lock()
_loader: Any = None


class RoleSession:
    """A role's credentials, and clients that use them.

    Args:
        compute: Issues the credentials.
        task: Whose they are.

    Raises:
        ComputeError: The role cannot be had.
    """

    def __init__(self, compute: Compute, task: Task) -> None:
        self.task = task
        self.environment = compute.environment(task)
        self._endpoint = compute.endpoint
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    @property
    def access_key(self) -> str:
        """The credentials' id."""
        return self.environment["AWS_ACCESS_KEY_ID"]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log may show."""
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return tuple(self.environment[name] for name in names)

    def client(self, service: str, role_arn: str | None = None) -> Any:
        """A client as the role, or as another one that it assumes.

        Raises:
            ClientError: The other role may not be assumed.
        """
        with self._lock:
            key = (service, role_arn or "")
            if key not in self._clients:
                given = self.environment
                names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
                keys = tuple(given[name] for name in names)
                if role_arn:
                    assumed = self._make("sts", keys).assume_role(
                        RoleArn=role_arn, RoleSessionName=self.task.session
                    )["Credentials"]
                    members = ("AccessKeyId", "SecretAccessKey", "SessionToken")
                    keys = tuple(str(assumed[member]) for member in members)
                self._clients[key] = self._make(service, keys)
            return self._clients[key]

    def _make(self, service: str, keys: tuple[str, ...]) -> Any:
        global _loader
        # Sessions are not made for several threads, and reading the models anew takes long.
        with _loading:
            core = botocore.session.Session()
            if _loader is None:
                _loader = core.get_component("data_loader")
            core.register_component("data_loader", _loader)
            session = boto3.Session(botocore_session=core, region_name=self.task.region)
            return cast(Any, session).client(
                service,
                aws_access_key_id=keys[0],
                aws_secret_access_key=keys[1],
                aws_session_token=keys[2],
                endpoint_url=self._endpoint,
                config=Config(
                    retries={"total_max_attempts": 3, "mode": "standard"},
                    s3={"addressing_style": "path"},
                ),
            )
