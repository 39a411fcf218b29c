"""``docker run IMAGE COMMAND``: ``train`` and ``serve``, as SageMaker starts images, and two steps.

``preprocess`` and ``evaluate`` are the image's own copies of ``steps/``, for processing jobs that
bring no script; what follows is their command line.
"""

from __future__ import annotations

import sys

from program import commands

if __name__ == "__main__":
    sys.exit(commands.main(__doc__, steps=("preprocess", "evaluate")))
