"""``python -m automation``."""

from __future__ import annotations

import sys

from automation.cli import main

if __name__ == "__main__":
    sys.exit(main())
