"""Find an official Pulumi distribution, and judge whether it will do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.engine.errors import EngineError

MINIMUM_VERSION = (3, 255, 0)
"""The oldest CLI that this repository is tested with; the source build makes exactly this one."""

LANGUAGE_HOST = "pulumi-language-python"

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Candidate:
    """A `pulumi` executable found on this machine, with its language host present.

    Args:
        executable: Path as found, so that version managers' launchers keep working.
        version: What it says about itself.
    """

    executable: Path
    version: tuple[int, int, int]


def find_official(env: Mapping[str, str]) -> Candidate | None:
    """Find the first sufficient official distribution, on PATH and then in ~/.pulumi/bin.

    A `pulumi` without its Python language host is passed over: it could not run a Python program.

    Returns:
        The distribution, or None when there is none at all.

    Raises:
        EngineError: There are distributions, and all of them are too old.
    """
    too_old: list[Candidate] = []
    for executable in _executables(env):
        if not _has_language_host(executable, env):
            continue
        candidate = Candidate(executable, _version(executable, env))
        if candidate.version >= MINIMUM_VERSION:
            return candidate
        too_old.append(candidate)
    if too_old:
        found = ", ".join(f"{_dotted(old.version)} in {old.executable}" for old in too_old)
        raise EngineError(
            f"the installed Pulumi is too old: found {found}; needed is {_dotted(MINIMUM_VERSION)} "
            "or newer. Upgrade it, or take it off PATH to have the engine built from source."
        )
    return None


def _executables(env: Mapping[str, str]) -> list[Path]:
    folders = [Path(entry) for entry in env.get("PATH", "").split(os.pathsep) if entry]
    if home := env.get("HOME"):
        folders.append(Path(home) / ".pulumi" / "bin")
    found = [folder / "pulumi" for folder in folders]
    return [path for path in dict.fromkeys(found) if path.is_file() and os.access(path, os.X_OK)]


def _has_language_host(executable: Path, env: Mapping[str, str]) -> bool:
    beside = executable.resolve().parent / LANGUAGE_HOST
    return beside.is_file() or shutil.which(LANGUAGE_HOST, path=env.get("PATH")) is not None


def _version(executable: Path, env: Mapping[str, str]) -> tuple[int, int, int]:
    """Ask a CLI for its version.

    Raises:
        EngineError: It does not run, or does not answer with a version.
    """
    try:
        answer = subprocess.run(
            [str(executable), "version"],
            env={**env, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(
            f"the Pulumi in {executable} does not work ({error}); repair it or take it off PATH"
        ) from error
    match = _VERSION.search(answer)
    if match is None:
        raise EngineError(
            f"the Pulumi in {executable} does not say its version, but: {answer.strip()!r}"
        )
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(str(part) for part in version)
