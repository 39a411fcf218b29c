"""Make an engine ready and print its path: `python -m localcloud.engine`."""

from __future__ import annotations

import sys

from localcloud.engine.ensure import ensure_engine
from localcloud.engine.errors import EngineError


def main() -> int:
    """Print the engine's path on standard output, progress and errors on standard error."""
    try:
        engine = ensure_engine(terminal=sys.stderr.isatty())
    except EngineError as error:
        sys.stderr.write(f"localcloud.engine: {error}\n")
        return 1
    sys.stdout.write(f"{engine.executable}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
