"""The repository's own project, with a platform of made-up values."""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2]
sys.path.insert(0, str(FOLDER))

from pipelinekit import contract, sdk, settings  # noqa: E402 - found by the line above

PROJECT = settings.read(FOLDER / "project.yaml", settings.Project)
# Before any test imports the template, which imports the SDK.
sdk.prepare(PROJECT.region)


@pytest.fixture(scope="session")
def project() -> settings.Project:
    return PROJECT


@pytest.fixture(scope="session")
def platform(project: settings.Project) -> contract.Platform:
    return contract.example(project)


@pytest.fixture(scope="session")
def config() -> Any:
    import pipeline

    return settings.read(FOLDER / "config.yaml", pipeline.Config)


@pytest.fixture(scope="session")
def built(project: settings.Project, platform: contract.Platform, config: Any) -> Any:
    import pipeline

    return pipeline.build(project, platform, config, FOLDER)


@pytest.fixture
def definition(built: Any) -> dict[str, Any]:
    """A copy that a test may change."""
    return deepcopy(json.loads(built.text))


@pytest.fixture
def steps(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The steps of :func:`definition` by name, those inside of conditions too."""
    found: dict[str, dict[str, Any]] = {}

    def walk(items: list[dict[str, Any]]) -> None:
        for step in items:
            found[step["Name"]] = step
            for branch in ("IfSteps", "ElseSteps"):
                walk(step.get("Arguments", {}).get(branch) or [])

    walk(definition["Steps"])
    return found
