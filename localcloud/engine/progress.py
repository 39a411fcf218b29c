"""Show how a long build gets on: what is being done, how far it is, how long it has taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

_TERMINAL_SECONDS = 0.5
_PLAIN_SECONDS = 15.0
"""Between two reports: often enough on a terminal to look alive, seldom enough in a CI log."""

_WIDTH = 100


class Progress:
    """Reports phases and items of a build; a thread keeps the clock going while nothing happens.

    Args:
        report: Takes text, with its line ends.
        terminal: Rewrite one line instead of adding lines.
    """

    def __init__(self, report: Callable[[str], object], *, terminal: bool) -> None:
        self._report = report
        self._terminal = terminal
        self._started = time.monotonic()
        self._phase = ""
        self._total: int | None = None
        self._count = 0
        self._item = ""
        self._stopped = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        self._clock.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._clock.join()
        outcome = "done" if error is None else "stopped"
        end = "\n" if not self._terminal else f"\r{'':{_WIDTH}}\r"
        self._report(f"{end if self._terminal else ''}engine: {outcome} after {self._elapsed()}\n")

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase of `total` items, if that is known."""
        self._phase, self._total, self._count, self._item = name, total, 0, ""
        self._show()

    def item(self, line: str) -> None:
        """Count one item, named by a line of the tool's output."""
        self._count += 1
        self._item = line.removeprefix("go: downloading ")

    def _tick(self) -> None:
        while not self._stopped.wait(_TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS):
            self._show()

    def _show(self) -> None:
        # Cached packages are not compiled again and not named, hence "of at most".
        count = f" {self._count}" if self._count else ""
        limit = f" of at most {self._total} packages" if self._count and self._total else ""
        line = f"engine: {self._elapsed()} {self._phase}{count}{limit} {self._item}"[:_WIDTH]
        self._report(f"\r{line:{_WIDTH}}" if self._terminal else f"{line.rstrip()}\n")

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"{minutes}:{seconds:02d}"
