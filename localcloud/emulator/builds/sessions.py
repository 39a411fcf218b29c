"""Calls that a service makes as a role: authorized and recorded like anybody's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from localcloud.emulator import acting
from localcloud.emulator.compute import Compute, Task


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
        return tuple(self.environment[name] for name in acting.CREDENTIALS)

    def client(self, service: str, role_arn: str | None = None) -> Any:
        """A client as the role, or as another one that it assumes.

        Raises:
            ClientError: The other role may not be assumed.
        """
        with self._lock:
            key = (service, role_arn or "")
            if key not in self._clients:
                keys = self.secrets
                if role_arn:
                    assumed = self._make("sts", keys).assume_role(
                        RoleArn=role_arn, RoleSessionName=self.task.session
                    )["Credentials"]
                    members = ("AccessKeyId", "SecretAccessKey", "SessionToken")
                    keys = tuple(str(assumed[member]) for member in members)
                self._clients[key] = self._make(service, keys)
            return self._clients[key]

    def _make(self, service: str, keys: Sequence[str]) -> Any:
        return acting.client(service, keys, region=self.task.region, endpoint=self._endpoint)
