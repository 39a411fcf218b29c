"""Ctrl-C: what is at work ends cleanly, nothing more is begun, and no traceback is shown.

A terminal sends SIGINT to every process of the group, so the engine gets it as well: it finishes
what it is making, writes the state and ends. This process waits for that. A second Ctrl-C ends at
once, the engine's way: what was being made then may be missing from the state.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

WHY = "interrupted"
"""Why a stack was skipped after Ctrl-C."""

GO_ON = "Interrupted. What is done is in the stacks' state; run the same command again to go on."


class _Asked:
    """Whether an end was asked for, and whether anything has to be waited for."""

    def __init__(self) -> None:
        self.asked = False
        self.working = 0
        self.lock = threading.Lock()


_state = _Asked()


def asked() -> bool:
    """Whether Ctrl-C was pressed while something was at work."""
    return _state.asked


@contextmanager
def at_work() -> Generator[None]:
    """What runs inside is waited for, instead of being broken off by the first Ctrl-C."""
    with _state.lock:
        _state.working += 1
    try:
        yield
    finally:
        with _state.lock:
            _state.working -= 1


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    if _state.asked or not _state.working:
        raise KeyboardInterrupt
    _state.asked = True
    sys.stderr.write("\nInterrupted: what is at work is being ended, again to end at once.\n")


@contextmanager
def handled() -> Generator[None]:
    """Handle SIGINT as this module says; elsewhere than in the main thread nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.asked = False
    before = signal.signal(signal.SIGINT, _on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
