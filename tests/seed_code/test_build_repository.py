"""The build repository stands on its own: its tests, checks and commands, where it runs them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.seed_code.build_repository import BASE, OVERLAY, ROOT, render, run


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("repository"))


def test_its_own_tests_can_fail(tmp_path: Path) -> None:
    broken = render(tmp_path)
    steps = broken / "steps" / "preprocess.py"
    steps.write_text(steps.read_text().replace('"height": Column(0, 2)', '"height": Column(0, 0)'))
    done = run(broken, "make", "test")
    assert done.returncode != 0
    assert "test_preprocess" in done.stdout


def test_validate_writes_the_definition(repository: Path) -> None:
    done = run(repository, "make", "validate")
    assert done.returncode == 0, done.stderr
    assert "acme-dev-abalone: 4 steps, valid" in done.stdout
    assert (repository / "definition.json").stat().st_size > 1000


def test_all_mistakes_in_its_settings_are_told_at_once(tmp_path: Path) -> None:
    folder = render(tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["gate"]["rmse"] = 0
    config["jobs"]["train"]["instance_types"] = ["ml.m5d.large", "ml.m5.large"]
    config["hyperparameters"]["etaa"] = 1
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    done = run(folder, "make", "validate")
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("config.yaml")]
    assert [line.split(": ")[1] for line in told] == [
        "jobs.train.instance_types",
        "hyperparameters.etaa",
        "gate.rmse",
    ]


def test_an_image_that_there_is_none_of_is_refused(tmp_path: Path) -> None:
    folder = render(tmp_path)
    file = folder / "config.yaml"
    file.write_text(file.read_text().replace("version: 3.0-5", "version: 9.9-9"))
    done = run(folder, "make", "validate")
    assert done.returncode != 0
    assert "9.9-9" in done.stderr
    assert "Traceback" not in done.stderr


def test_base_and_template_have_no_file_in_common() -> None:
    files = [
        {path.relative_to(source) for path in source.rglob("*") if path.is_file()
         and "__pycache__" not in path.parts}
        for source in (BASE, OVERLAY)
    ]  # fmt: skip
    assert not files[0] & files[1]


def test_only_the_projects_facts_are_rendered(repository: Path) -> None:
    templates = [path.name for source in (BASE, OVERLAY) for path in source.rglob("*.jinja")]
    assert templates == ["project.yaml.jinja", "config.yaml.jinja"]
    assert not list(repository.rglob("*.jinja"))
    facts = yaml.safe_load((repository / "project.yaml").read_text())
    assert facts["job_role"] == "acme-dev-abalone-training"


def test_its_requirements_are_the_platforms_pinned_ones() -> None:
    for theirs, ours in (("pipeline", "pipeline"), ("steps", "seed")):
        copy = (BASE / "requirements" / f"{theirs}.txt").read_bytes()
        assert copy == (ROOT / "requirements" / f"{ours}.txt").read_bytes(), "make requirements"


def test_the_workflow_pins_actions_and_asks_for_no_more_than_it_needs(repository: Path) -> None:
    text = (repository / ".github" / "workflows" / "build.yml").read_text()
    used = re.findall(r"uses: ([^.\s]\S+)", text)
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used)
    assert "secrets." not in text
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["test"]
    assert workflow["jobs"]["run"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert "pull_request" in workflow["jobs"]["run"]["if"]
    # Text that others write must not become part of a command.
    for job in workflow["jobs"].values():
        assert not any("${{" in step.get("run", "") for step in job["steps"])


def test_the_builds_commands_are_targets_that_exist(repository: Path) -> None:
    spec = yaml.safe_load((repository / "buildspec.yml").read_text())
    commands = [c for phase in spec["phases"].values() for c in phase.get("commands", [])]
    assert commands == ["make install", "make test", "make validate", "make run"]
    for command in commands:
        done = run(repository, *command.split(), "--dry-run")
        assert done.returncode == 0, done.stderr


def test_both_pipelines_run_the_same_commands_in_the_same_order(repository: Path) -> None:
    spec = yaml.safe_load((repository / "buildspec.yml").read_text())
    commands = [c for phase in spec["phases"].values() for c in phase.get("commands", [])]
    workflow = yaml.safe_load((repository / ".github" / "workflows" / "build.yml").read_text())
    jobs = workflow["jobs"]
    assert list(jobs) == ["test", "run"]
    assert jobs["run"]["needs"] == "test"
    run = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    # Each job is a machine of its own, which has to be installed.
    assert list(dict.fromkeys(run)) == commands


def test_without_environments_the_makefile_makes_them(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "copy", ignore=shutil.ignore_patterns(".*_cache"))
    command = "unset PIPELINE_PYTHON STEPS_PYTHON; make --dry-run test"
    done = run(tmp_path / "copy", "sh", "-c", command)
    assert "--require-hashes -r requirements/pipeline.txt" in done.stdout
    assert "--require-hashes -r requirements/steps.txt" in done.stdout
