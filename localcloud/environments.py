"""Python environments beside the checkout's own, each from a requirements file with hashes.

What jobs of the local cloud run in, and what builds pipeline definitions, must not share an
environment with the platform: their packages are many, large, and pinned by others. An environment
is made when it is first asked for, once for each content of its file, and kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from localcloud.paths import CHECKOUT, Paths

_REPORT_SECONDS = 10.0
"""Between two lines about an installation that goes on."""

_READY = ".installed"
"""Written last, so that an interrupted installation is done again."""


class EnvironmentFailedError(RuntimeError):
    """An environment could not be made; the message says why and what to do."""


def python(
    name: str,
    paths: Paths = CHECKOUT,
    report: Callable[[str], object] = sys.stderr.write,
) -> Path:
    """The interpreter of the environment that ``requirements/{name}.txt`` describes.

    Two processes that ask at once make it once; the other waits.

    Args:
        name: Of the requirements file, without its suffix: ``seed``, ``pipeline``.
        paths: The checkout.
        report: Takes lines of progress while something is installed or waited for.

    Returns:
        Absolute path of the interpreter. It stays the same until the file changes.

    Raises:
        EnvironmentFailedError: There is no such file, or its packages cannot be installed.
    """
    file, folder, interpreter = _places(name, paths)
    if not (folder / _READY).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder, name, report):
            if not (folder / _READY).is_file():
                _install(name, file, folder, interpreter, report)
    return interpreter


def made(name: str, paths: Paths = CHECKOUT) -> Path | None:
    """The interpreter of :func:`python` where its environment is there already, else None.

    Raises:
        EnvironmentFailedError: There is no such requirements file.
    """
    _, folder, interpreter = _places(name, paths)
    return interpreter if (folder / _READY).is_file() else None


def _places(name: str, paths: Paths) -> tuple[Path, Path, Path]:
    """Requirements file, environment and interpreter."""
    file = paths.root / "requirements" / f"{name}.txt"
    try:
        wanted = file.read_bytes()
    except FileNotFoundError:
        known = sorted(other.stem for other in file.parent.glob("*.txt"))
        raise EnvironmentFailedError(
            f"requirements/{name}.txt does not exist; there are {', '.join(known)}"
        ) from None
    # Compiled packages belong to one version of Python.
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    mark = hashlib.sha256(wanted + version.encode()).hexdigest()[:16]
    folder = paths.local / "environments" / f"{name}-{mark}"
    return file, folder, folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@contextmanager
def _alone(folder: Path, name: str, report: Callable[[str], object]) -> Generator[None]:
    """Held by one process at a time; the system lets it go when that process ends."""
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"environment {name}: another process is making it, waiting\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(
    name: str, file: Path, folder: Path, interpreter: Path, report: Callable[[str], object]
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    count = sum("==" in line for line in file.read_text(encoding="utf-8").splitlines())
    report(f"environment {name}: installing {count} packages\n")
    started = time.monotonic()
    uv = [sys.executable, "-m", "uv"]
    sync = [*uv, "pip", "sync", "--require-hashes", "--python", str(interpreter), str(file)]
    for command in (
        [*uv, "venv", "--python", sys.executable, "--no-project", str(folder)],
        # Compiling at the first import would be done again by every process that may not write.
        [*sync, "--compile-bytecode"],
    ):
        _run(command, name, folder, started, report)
    (folder / _READY).touch()
    report(f"environment {name}: ready after {time.monotonic() - started:.0f} s\n")


def _run(
    command: list[str], name: str, folder: Path, started: float, report: Callable[[str], object]
) -> None:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while True:
            try:
                output, _ = process.communicate(timeout=_REPORT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                report(f"environment {name}: {time.monotonic() - started:.0f} s\n")
    if process.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise EnvironmentFailedError(
            f"requirements/{name}.txt could not be installed:\n{output.strip()}\n"
            "Check that uv reaches a package registry, then try again."
        )
