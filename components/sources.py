"""The platform's own files that decide what it makes, but for the stacks' settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("automation", "components", "functions", "policy", "seed_code")
"""Program, functions, policy pack and templates, below the program's folder."""

_LEFT_BY_RUNS = frozenset({"__pycache__", ".venv", ".pytest_cache", ".ruff_cache", ".hypothesis"})


def files(root: Path) -> Iterator[tuple[str, Path]]:
    """Path below the program's folder -> file, with the pinned packages; in an order that stays.

    Args:
        root: The program's folder.

    Raises:
        FileNotFoundError: One of the folders holds nothing.
    """
    for name in FOLDERS:
        found = [path for path in sorted((root / name).rglob("*")) if path.is_file()]
        if not found:
            raise FileNotFoundError(f"{(root / name).absolute()} holds no file of the platform")
        for path in found:
            below = path.relative_to(root)
            if not _LEFT_BY_RUNS.intersection(below.parts):
                yield below.as_posix(), path
    requirements = root / "requirements" / "platform.txt"
    yield requirements.relative_to(root).as_posix(), requirements
