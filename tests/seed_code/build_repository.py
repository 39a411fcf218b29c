"""Build repositories as projects get them, used with their own two environments."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automation.projects import rendering, templates
from localcloud import environments

ROOT = Path(__file__).parents[2]
BASE = ROOT / "seed_code" / "_base" / "build"
TEMPLATE = "xgboost-realtime"
OVERLAY = ROOT / "seed_code" / TEMPLATE / "build"

REGION = "eu-west-1"
ANSWERS = {
    "project_name": "abalone",
    "project_id": "p-abc123def456",
    "prefix": "acme",
    "region": REGION,
    "owner": "ml-team",
    "cost_centre": "cc-1",
}


def render(
    folder: Path,
    template: str = TEMPLATE,
    *,
    part: str = "build",
    settings: Mapping[str, Any] | None = None,
    **answers: str,
) -> Path:
    """The repository in a folder, as vending makes it.

    Args:
        folder: Where it goes.
        template: Which template.
        part: ``build`` or ``deploy``.
        settings: Of the template, where they are not the defaults.
        answers: What differs from :data:`ANSWERS`.
    """
    values = {**ANSWERS, **answers, **templates.load()[template].with_defaults(settings or {})}
    with rendering.assembled(template, part) as content:
        rendering.render(content, template, values, folder)
    return folder


def interpreters() -> dict[str, str]:
    """The variables by which the repository's Makefile takes environments that exist."""
    return {
        "PIPELINE_PYTHON": str(environments.python("pipeline")),
        "STEPS_PYTHON": str(environments.python("seed")),
    }


def run(
    folder: Path, *command: str | Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command in the repository, without anything of the caller's cloud."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        # A thread for each core, in each of many processes, takes longer than one.
        env={**kept, **interpreters(), "OMP_NUM_THREADS": "1", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
