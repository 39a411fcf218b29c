"""Let a plugin end when the CLI that started it is gone, however the CLI ended.

The CLI holds the other end of each plugin's standard input for as long as it lives. A plugin that
watches it leaves no process behind, even when the CLI is killed and can tell nobody.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable

_STDIN = 0


def interrupt_this_process() -> None:
    """Send this process the signal by which the CLI ends its plugins: SIGINT."""
    os.kill(os.getpid(), signal.SIGINT)


def end_with_the_cli(end: Callable[[], object] = interrupt_this_process) -> None:
    """Call `end`, from a thread, once the CLI is gone.

    Does nothing for a plugin that was started by hand, without a pipe as its standard input.
    """
    if not stat.S_ISFIFO(os.fstat(_STDIN).st_mode):
        return

    def watch() -> None:
        while os.read(_STDIN, 4096):
            pass
        end()

    threading.Thread(target=watch, daemon=True).start()
