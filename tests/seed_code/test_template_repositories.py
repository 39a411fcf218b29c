"""What holds for the repositories of every template: types, style, what they import and name.

All are rendered side by side and checked at once, each by its own settings: a type checker takes
its time for the SDK, and not for one repository more.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from automation.projects import templates
from tests.seed_code.build_repository import render, run
from tests.seed_code.typechecking import IN_TORCH, of_pipelines, of_steps, type_check

TEMPLATES = tuple(templates.load())
OURS = rf"localcloud|moto|seed_code|{re.escape(str(Path(__file__).parents[2]))}|components\."
"""What only the platform's repository has."""
OWN = "steps", "image"
"""Folders of what runs in containers."""
ASKS_AWS = {("sentiment", "store_features.py"): {"boto3", "botocore"}}
"""Scripts in containers that may call AWS: the feature store is no folder."""
FORBIDDEN = {"sagemaker", "boto3", "botocore", "pipelinekit", "pipeline", "run_pipeline", "lab"}
LATER = {"image.json", "evaluation.json", "constraints.json", "code/inference.py"}
"""Files that a README names and that a build, a run or an archive has."""
MADE = {"requirements", "requirements.in", "requirements.txt", "__pycache__", ".ruff_cache"}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ``{template}/{build,deploy}``."""
    folder = tmp_path_factory.mktemp("repositories")
    for template in TEMPLATES:
        for part in templates.REPOSITORIES:
            render(folder / template / part, template, part=part)
    return folder


def files(folder: Path) -> list[Path]:
    """Of a repository, without what it installs."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not MADE & set(path.relative_to(folder).parts)
    ]


def test_types_of_all_pipelines_are_right(repositories: Path) -> None:
    told = type_check(repositories, [of_pipelines(t) for t in TEMPLATES], "PIPELINE_PYTHON")
    assert told == [], "\n".join(told)


def test_types_of_all_steps_are_right(repositories: Path) -> None:
    here = [of_steps(template) for template in TEMPLATES if template not in IN_TORCH]
    told = type_check(repositories, here, "STEPS_PYTHON")
    assert told == [], "\n".join(told)


def test_style_is_right_by_each_repositorys_own_settings(repositories: Path) -> None:
    builds = [f"{template}/build" for template in TEMPLATES]
    for arguments in (["format", "--check"], ["check"]):
        done = run(repositories, sys.executable, "-m", "ruff", *arguments, *builds)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("part", templates.REPOSITORIES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_refers_back_to_the_platforms_repository(
    repositories: Path, template: str, part: str
) -> None:
    folder = repositories / template / part
    assert files(folder)
    for path in files(folder):
        found = re.search(OURS, path.read_text("utf-8"), re.IGNORECASE)
        assert not found, f"{path.relative_to(folder)}: {found}"
    assert not list(folder.rglob("*.jinja"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_runs_in_containers_imports_no_sdk(repositories: Path, template: str) -> None:
    folder = repositories / template / "build"
    scripts = [path for own in OWN for path in (folder / own).rglob("*.py")]
    assert scripts
    for path in scripts:
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            for name in (
                [item.name for item in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        allowed = ASKS_AWS.get((template, path.name), set())
        assert not imported & (FORBIDDEN - allowed), path.relative_to(folder)


@pytest.mark.parametrize("part", templates.REPOSITORIES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_files_that_the_readme_names_are_there(
    repositories: Path, template: str, part: str
) -> None:
    folder = repositories / template / part
    text = (folder / "README.md").read_text("utf-8")
    named = set(re.findall(r"`([\w./-]+\.(?:py|yaml|yml|json|ipynb))`", text))
    there = [f"/{path.relative_to(folder).as_posix()}" for path in files(folder)]
    found = {name for name in named if any(path.endswith(f"/{name}") for path in there)}
    assert found
    assert named - found <= LATER
