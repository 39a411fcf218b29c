"""Failures on demand, and the record of calls, which tests use."""

from __future__ import annotations

import collections
import fnmatch
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from localcloud.emulator.extension import ApiError

THROTTLE = "throttle"
SERVER_ERROR = "server-error"
NO_ERROR = "none"
_KINDS = (THROTTLE, SERVER_ERROR, NO_ERROR)


@dataclass
class Fault:
    """A failure that coming calls meet.

    Attributes:
        service: botocore's service name, or a pattern such as ``*``.
        operation: Operation name, or a pattern such as ``Create*``.
        error: ``throttle``, ``server-error`` or ``none`` (only the delay).
        count: How many more calls meet it.
        latency_seconds: Delay before the answer.
    """

    service: str = "*"
    operation: str = "*"
    error: str = THROTTLE
    count: int = 1
    latency_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.error not in _KINDS:
            raise ValueError(f"error is {self.error!r}; allowed: {', '.join(_KINDS)}.")
        if self.count < 1 or self.latency_seconds < 0:
            raise ValueError("count must be at least 1 and latency_seconds at least 0.")


class Faults:
    """The faults in wait."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Adds a fault behind those in wait."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Removes all faults."""
        with self._lock:
            self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The faults in wait."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def strike(self, service: str, operation: str, protocol: str) -> None:
        """Lets the first fault that fits act on a call.

        Raises:
            ApiError: As the service throttles or fails.
        """
        with self._lock:
            fault = next(
                (
                    fault
                    for fault in self._faults
                    if fnmatch.fnmatchcase(service, fault.service)
                    and fnmatch.fnmatchcase(operation, fault.operation)
                ),
                None,
            )
            if fault is None:
                return
            fault.count -= 1
            if fault.count == 0:
                self._faults.remove(fault)
        time.sleep(fault.latency_seconds)
        if fault.error == THROTTLE:
            code, status = _throttling(service, protocol)
            raise ApiError(code, "Rate exceeded", status)
        if fault.error == SERVER_ERROR:
            code = "InternalError" if service == "s3" else "InternalFailure"
            raise ApiError(code, "We encountered an internal error. Please try again.", 500)


def _throttling(service: str, protocol: str) -> tuple[str, int]:
    if service == "s3":
        return "SlowDown", 503
    if protocol == "ec2":
        return "RequestLimitExceeded", 503
    if protocol == "query":
        return "Throttling", 400
    return "ThrottlingException", 429 if protocol == "rest-json" else 400


class CallLog:
    """How often each operation was called, and who served it."""

    def __init__(self) -> None:
        self._counts: collections.Counter[tuple[str, str, str, int]] = collections.Counter()
        self._lock = threading.Lock()

    def add(self, service: str, operation: str, served_by: str, status: int) -> None:
        """Records a call; ``served_by`` is moto, extension, authorizer, fault or nobody."""
        with self._lock:
            self._counts[service, operation, served_by, status] += 1

    def clear(self) -> None:
        """Forgets all calls."""
        with self._lock:
            self._counts.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The counts, as ``{service, operation, served_by, status, count}``."""
        with self._lock:
            return [
                {
                    "service": service,
                    "operation": operation,
                    "served_by": served_by,
                    "status": status,
                    "count": count,
                }
                for (service, operation, served_by, status), count in sorted(self._counts.items())
            ]
