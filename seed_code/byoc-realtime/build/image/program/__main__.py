"""``docker run IMAGE train`` and ``docker run IMAGE serve``, as SageMaker starts the image."""

from __future__ import annotations

import sys

from program import commands

if __name__ == "__main__":
    sys.exit(commands.main(__doc__))
