"""The steps import each other by name, as in the containers."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2]
sys.path[:0] = [str(FOLDER / "steps"), str(FOLDER)]
