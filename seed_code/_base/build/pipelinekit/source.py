"""What is built: the commit of this repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipelinekit.settings import SettingsError

_COMMITS = ("CODEBUILD_RESOLVED_SOURCE_VERSION", "GITHUB_SHA")


def commit(folder: Path, given: str | None = None) -> str:
    """What is built: a commit, marked when files differ from it.

    Args:
        folder: The repository.
        given: What somebody said it is; empty leaves it to CI's variables and to git.

    Raises:
        SettingsError: Nothing tells.
    """
    told = given or next((os.environ[name] for name in _COMMITS if os.environ.get(name)), "")
    if told:
        return told

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "HEAD")
    if not head:
        raise SettingsError("This is no git repository: say --commit.")
    return f"{head}-changed" if git("status", "--porcelain") else head
