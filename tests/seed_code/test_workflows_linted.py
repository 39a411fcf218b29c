"""The rendered workflows by tools of others: GitHub's schemas, and a linter of their security."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.seed_code import build_repository, deploy_repository

KINDS = {"build": build_repository.render, "deploy": deploy_repository.render}


@pytest.fixture(scope="module", params=KINDS)
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KINDS[request.param](tmp_path_factory.mktemp(request.param))


def lint(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def check(folder: Path, schema: str, pattern: str) -> subprocess.CompletedProcess[str]:
    found = [str(path) for path in sorted((folder / ".github").glob(pattern))]
    assert found
    return lint(folder, "check-jsonschema", "--builtin-schema", f"vendor.github-{schema}", *found)


def audit(folder: Path) -> subprocess.CompletedProcess[str]:
    return lint(
        folder,
        "zizmor",
        "--offline",
        "--no-progress",
        "--color=never",
        "--min-severity=medium",
        ".",
    )


@pytest.mark.parametrize(
    ("schema", "pattern"), [("workflows", "workflows/*.yml"), ("actions", "actions/*/action.yml")]
)
def test_they_are_as_githubs_schemas_ask(repository: Path, schema: str, pattern: str) -> None:
    done = check(repository, schema, pattern)
    assert done.returncode == 0, done.stdout


def test_no_weakness_is_found(repository: Path) -> None:
    done = audit(repository)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    permissions:\n      contents: read\n      id-token: write\n",
            "    permissions: write-all\n",
            "excessive-permissions",
        ),
        ("@11bd71901bbe5b1630ceea73d27597364c9af683", "@v4", "unpinned-uses"),
        (
            "    steps:\n",
            "    steps:\n      - run: echo ${{ github.head_ref }}\n",
            "template-injection",
        ),
    ],
)
def test_both_tools_find_what_they_are_for(
    repository: Path, tmp_path: Path, old: str, new: str, told: str
) -> None:
    (file,) = (repository / ".github" / "workflows").glob("*.yml")
    assert old in file.read_text()
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = file.read_text().replace(old, new)
    (folder / "changed.yml").write_text(text)
    done = audit(tmp_path)
    assert done.returncode != 0
    assert told in done.stdout
    wrong = yaml.safe_load(text)
    for job in wrong["jobs"].values():
        job["steps"] = {}
    (folder / "changed.yml").write_text(yaml.safe_dump(wrong))
    assert check(tmp_path, "workflows", "workflows/*.yml").returncode != 0
