"""``pulumi-resource-aws``: serves the table to the engine."""

from __future__ import annotations

import signal

from localcloud.provider.server import serve

if __name__ == "__main__":
    # Ctrl-C reaches the whole process group: the engine decides when its providers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve()
