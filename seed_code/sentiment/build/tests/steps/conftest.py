from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2]
# In a container the scripts lie side by side and import each other by their names; the image's
# program is found as it is in the image.
sys.path[:0] = [str(FOLDER / "steps"), str(FOLDER / "image")]
