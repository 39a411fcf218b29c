"""Answers CloudFormation, whatever became of a request; the vending build runs it at its end.

The build's environment has ``RESPONSE_URL``, ``STACK_ID``, ``REQUEST_ID``, ``LOGICAL_RESOURCE_ID``
and ``PHYSICAL_RESOURCE_ID``; what became of it stands in the file :data:`RESULT`. Without
that file the build ended before it could tell, and the answer is a failure.

Source: CloudFormation user guide, custom resource response objects.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

RESULT = Path("vending-result.json")
"""Where the build leaves what became of a request, in its working directory."""

MAX_BYTES = 4096
"""Of a response. Source: the same page."""

_REASON_BYTES = 2048
_TRIES = 5
_TIMEOUT_SECONDS = 10
_URL = re.compile(
    # A function that sends wherever it is told would serve whoever may invoke it.
    r"https://[a-z0-9.-]+\.amazonaws\.com(\.cn)?/\S*|http://(127\.0\.0\.1|localhost):\d+/\S*"
)


class AnswerError(RuntimeError):
    """CloudFormation could not be answered; the message has no signature of its address in it."""


@dataclass(frozen=True)
class Address:
    """Whom an answer goes to, and about what."""

    url: str
    stack_id: str
    request_id: str
    logical_id: str
    physical_id: str

    def environment(self) -> dict[str, str]:
        """As the build's environment carries it."""
        return {
            "RESPONSE_URL": self.url,
            "STACK_ID": self.stack_id,
            "REQUEST_ID": self.request_id,
            "LOGICAL_RESOURCE_ID": self.logical_id,
            "PHYSICAL_RESOURCE_ID": self.physical_id,
        }

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Address:
        """Reads :meth:`environment`.

        Raises:
            KeyError: A variable is missing.
        """
        return cls(
            environ["RESPONSE_URL"],
            environ["STACK_ID"],
            environ["REQUEST_ID"],
            environ["LOGICAL_RESOURCE_ID"],
            environ["PHYSICAL_RESOURCE_ID"],
        )


@dataclass(frozen=True)
class Result:
    """What became of a request.

    Attributes:
        ok: Whether it was done.
        reason: Why not; for people.
        data: Outputs of the resource.
    """

    ok: bool
    reason: str = ""
    data: Mapping[str, str] = field(default_factory=dict[str, str])


def body(address: Address, result: Result) -> bytes:
    """The response; a long reason keeps its end, where programs tell what went wrong.

    Raises:
        AnswerError: It is too large even so.
    """
    reason = result.reason.encode()
    if len(reason) > _REASON_BYTES:
        reason = b"... " + reason[-_REASON_BYTES:]
    told: dict[str, object] = {
        "Status": "SUCCESS" if result.ok else "FAILED",
        "PhysicalResourceId": address.physical_id,
        "StackId": address.stack_id,
        "RequestId": address.request_id,
        "LogicalResourceId": address.logical_id,
        "Data": dict(result.data),
    }
    words = reason.decode(errors="ignore")
    if not result.ok:
        words = words or "The cause was not told: see the log of the vending build."
    if words:
        told["Reason"] = words
    rendered = json.dumps(told, ensure_ascii=False).encode()
    while len(rendered) > MAX_BYTES and len(words) > 1:
        # Quotes and line ends grow when they are escaped.
        words = words[len(words) // 2 :]
        rendered = json.dumps({**told, "Reason": words}, ensure_ascii=False).encode()
    if len(rendered) > MAX_BYTES:
        raise AnswerError(
            f"The answer has {len(rendered)} bytes, CloudFormation takes {MAX_BYTES}."
        )
    return rendered


def check_url(url: str) -> str:
    """The address, when it is one that CloudFormation gives.

    Raises:
        AnswerError: It is not AWS's.
    """
    if not _URL.fullmatch(url):
        raise AnswerError("ResponseURL is no address of AWS: nobody can be answered there.")
    return url


def send(address: Address, result: Result, sleep: Callable[[float], None] = time.sleep) -> None:
    """Puts the response to its presigned address.

    Tried again after what passes: no connection, and errors of the other side.

    Raises:
        AnswerError: It was refused, or could not be sent.
    """
    content = body(address, result)
    url = check_url(address.url)
    told = ""
    for attempt in range(_TRIES):
        if attempt:
            sleep(2.0**attempt / 2)
        request = urllib.request.Request(url, data=content, method="PUT")  # noqa: S310 - checked
        # The address is signed without a type, and urllib would add one.
        request.add_header("Content-Type", "")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            told = f"HTTP {error.code}"
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                break
        except (urllib.error.URLError, OSError) as error:
            told = str(getattr(error, "reason", error))
    raise AnswerError(f"CloudFormation could not be answered about {address.stack_id}: {told}.")


def left(path: Path = RESULT) -> Result:
    """What the build left."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return Result(bool(found["ok"]), str(found["reason"]), dict(found["data"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Result(False, "The vending build ended before it could tell what became of it.")


def leave(result: Result, path: Path = RESULT) -> None:
    """Keeps what became of a request for :func:`left`."""
    told = {"ok": result.ok, "reason": result.reason, "data": dict(result.data)}
    path.write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    try:
        send(Address.of(os.environ), left())
    except AnswerError as failure:
        sys.exit(str(failure))
