"""``python -m automation``."""

from __future__ import annotations

import atexit
import gc
import sys

from automation.cli import main

if __name__ == "__main__":
    # AWS's models and the SDK's packages stay: garbage is looked for among them less often.
    gc.set_threshold(100_000, 20, 20)
    # Everything goes with the process: looking for cycles in it first takes a quarter of a second.
    atexit.register(gc.freeze)
    sys.exit(main())
