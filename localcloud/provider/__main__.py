"""``pulumi-resource-aws``: serves the table to the engine."""

from __future__ import annotations

import os
import signal

from localcloud.engine.parent import end_with_the_cli
from localcloud.provider.server import serve


def _end(*_: object) -> None:
    # Nothing is left to tidy up: the engine has closed the connection, or is gone itself.
    os._exit(0)


if __name__ == "__main__":
    # The engine starts its plugins in process groups of their own, so a terminal's Ctrl-C does not
    # come here; SIGINT is how the engine ends a plugin, and it waits five seconds for that.
    signal.signal(signal.SIGINT, _end)
    end_with_the_cli(_end)
    serve()
