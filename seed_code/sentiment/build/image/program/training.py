"""Trains, as SageMaker asks an image to: with the script that the job brings, or with its own.

A job brings a script as it does for SageMaker's framework images: hyperparameter
``sagemaker_program`` names it, ``sagemaker_submit_directory`` the archive that it is in. Either
script gets the other hyperparameters as ``--name value``, and the folders as variables.

Source: SageMaker Training Toolkit, and SageMaker developer guide, how SageMaker provides training
information, and how SageMaker processes training output.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

_FAILURE = 1024
"""Characters of ``output/failure`` that SageMaker keeps. Source: SageMaker developer guide."""

_NOT_THE_SCRIPTS = ("sagemaker_", "_tuning_")
_LAST_LINES = 20


class RefusedError(ValueError):
    """What the job brings cannot be run; the message says why."""


def hyperparameters(folder: Path) -> dict[str, str]:
    """The job's; the SDK writes values as JSON, so that a text has quotes."""
    file = folder / "input" / "config" / "hyperparameters.json"
    given: dict[str, str] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return {name: str(value).strip('"') for name, value in given.items()}


def arguments(given: Mapping[str, str]) -> list[str]:
    """Hyperparameters as a script gets them."""
    return [
        word
        for name, value in sorted(given.items())
        if not name.startswith(_NOT_THE_SCRIPTS)
        for word in (f"--{name}", value)
    ]


def script(given: Mapping[str, str], folder: Path) -> Path:
    """What is run: the job's script, unpacked, or the image's own.

    Args:
        given: The job's hyperparameters.
        folder: ``/opt/ml``.

    Raises:
        RefusedError: The job names a script that is not there.
    """
    name = given.get("sagemaker_program", "")
    if not name:
        own = importlib.util.find_spec("train")
        if own is None or own.origin is None:
            raise RefusedError("this image has no train.py: steps/ is not part of it")
        return Path(own.origin)
    archive = Path(given.get("sagemaker_submit_directory", ""))
    if not archive.is_file():
        raise RefusedError(
            f"sagemaker_submit_directory: {archive} is no file; this image takes scripts from a"
            " channel, because isolated jobs reach no S3"
        )
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as packed:
            packed.extractall(code, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise RefusedError(f"{archive.name} cannot be unpacked: {error}") from error
    found = code / name
    if not found.is_file() or not found.resolve().is_relative_to(code.resolve()):
        raise RefusedError(f"sagemaker_program: {archive.name} has no {name}")
    return found


def variables(folder: Path) -> dict[str, str]:
    """Where a script finds its channels and leaves what it makes."""
    data = folder / "input" / "data"
    channels = [path for path in data.iterdir() if path.is_dir()] if data.is_dir() else []
    return {
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DIR": str(folder / "output"),
        **{f"SM_CHANNEL_{path.name.upper()}": str(path) for path in channels},
    }


def run(command: Sequence[str], more: Mapping[str, str]) -> tuple[int, str]:
    """Runs a script; its exit code and the last lines of its errors, which are shown meanwhile."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        list(command), env={**os.environ, **more}, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():
            print(line, end="", file=sys.stderr, flush=True)
            last.append(line)
    return process.returncode, "".join(last)


def main(folder: Path) -> int:
    """Trains; 0 when the model was written, 1 when the reason is in ``output/failure``.

    Args:
        folder: ``/opt/ml``.
    """
    output = folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    failure = output / "failure"
    try:
        given = hyperparameters(folder)
        command = [sys.executable, str(script(given, folder)), *arguments(given)]
        code, told = run(command, variables(folder))
    except RefusedError as error:
        code, told = 1, f"The training was refused.\n{error}"
        print(told, file=sys.stderr)
    if code and not failure.is_file():
        failure.write_text(told[-_FAILURE:], encoding="utf-8")
    return min(code, 1) if code >= 0 else 1
