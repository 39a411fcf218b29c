"""A build's log: what its commands print goes to CloudWatch Logs, without its secrets."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

MASK = "***"
_EVERY_SECONDS = 0.2
_BATCH = 500
_LONGEST = 200_000  # an event's message may have 256 KiB in CloudWatch Logs


class Masking:
    """Replaces secrets in texts.

    A secret of several lines is replaced line by line, as each can be printed alone.
    """

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secrets: Iterable[str]) -> None:
        """Adds what no text may show from now on."""
        parts = {
            part.strip() for secret in secrets for part in (secret, *secret.splitlines()) if part
        }
        # The longest first: one secret may be the beginning of another.
        self._secrets = sorted({*self._secrets, *(parts - {""})}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


class BuildLog:
    """The file that commands write to, and its way into a log stream.

    Args:
        file: The file.
        masking: What takes secrets out.
    """

    def __init__(self, file: Path, masking: Masking) -> None:
        self.file = file
        self.masking = masking
        self.problem = ""
        self._place: tuple[Any, str, str] | None = None
        self._done = threading.Event()
        self._read = 0
        self._thread: threading.Thread | None = None
        file.touch(mode=0o600)

    def to(self, logs: Any, group: str, stream: str) -> None:
        """Begins to write to a log stream, which is made; its group too, when there is none.

        Raises:
            ClientError: The role of the client may not.
        """
        try:
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        except logs.exceptions.ResourceNotFoundException:
            logs.create_log_group(logGroupName=group)
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        self._place = (logs, group, stream)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Writes a line of CodeBuild's own."""
        now = f"{dt.datetime.now(dt.UTC):%Y/%m/%d %H:%M:%S.%f}"
        with self.file.open("ab") as output:
            output.write(f"[Container] {now} {text}\n".encode())

    def close(self) -> None:
        """Writes what is left, and ends."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        while not self._done.wait(_EVERY_SECONDS):
            self._send(whole=False)
        self._send(whole=True)

    def _send(self, *, whole: bool) -> None:
        with self.file.open("rb") as source:
            source.seek(self._read)
            new = source.read()
        end = len(new) if whole else new.rfind(b"\n") + 1
        self._read += end
        lines = self.masking(new[:end].decode("utf-8", "replace")).splitlines()
        events = [
            {"timestamp": int(time.time() * 1000), "message": line[:_LONGEST]}
            for line in lines
            if line
        ]
        for start in range(0, len(events), _BATCH):
            if self._place is None:
                return
            logs, group, stream = self._place
            try:
                logs.put_log_events(
                    logGroupName=group,
                    logStreamName=stream,
                    logEvents=events[start : start + _BATCH],
                )
            except (BotoCoreError, ClientError) as error:
                self.problem = str(error)
