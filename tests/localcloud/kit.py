"""What many tests need beside an emulator: patience, and archives of code."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def until(get: Callable[[], T], good: Callable[[T], Any] = bool, seconds: float = 60) -> T:
    """Asks until the answer is good, by default anything true; gives it."""
    end = time.monotonic() + seconds
    while not good(answer := get()):
        if time.monotonic() > end:
            raise AssertionError(f"Not within {seconds} s: {answer}")
        time.sleep(0.1)
    return answer


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """An archive of files: name -> content."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def function_code(*packages: str) -> dict[str, bytes]:
    """The code of functions, as they are deployed: name -> content."""
    folder = ROOT / "functions"
    files = [folder / "__init__.py"]
    for package in packages:
        files += sorted((folder / package).glob("*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_bytes() for file in files}
