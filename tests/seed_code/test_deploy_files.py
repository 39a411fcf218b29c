"""The repository's files: its own tests, the workflow, the build, what they hold and do not."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.projects.project import account_variable
from tests.seed_code.deploy_repository import ARN, BASE, MADE, ROOT, TEMPLATE, filled, render

WORKFLOW = yaml.safe_load((BASE / ".github/workflows/deploy.yml").read_text())
TRIGGER = WORKFLOW[True]  # YAML 1.1 reads "on" as a boolean.
ACTION = yaml.safe_load((BASE / ".github/actions/deploy/action.yml").read_text())
BUILD = yaml.safe_load((BASE / "buildspec.yml").read_text())
COMMANDS = [step["run"].removeprefix("make ") for step in ACTION["runs"]["steps"] if "run" in step]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("rendered"))


def files(folder: Path) -> list[Path]:
    """Without what running the code leaves behind."""
    left = {"__pycache__", ".pytest_cache"}
    return [path for path in folder.rglob("*") if path.is_file() and not left & {*path.parts}]


# -- the repository as the team gets it -----------------------------------------------------------


def test_the_teams_own_tests_pass(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=repository, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_rendered_code_is_formatted_and_clean(repository: Path) -> None:
    for arguments in (("format", "--check"), ("check",)):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            cwd=repository, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_only_one_file_is_a_template_and_nothing_points_elsewhere(repository: Path) -> None:
    templates = [path.name for path in files(BASE) if path.suffix == ".jinja"]
    assert templates == ["Pulumi.yaml.jinja"]
    for path in files(repository):
        text = path.read_text()
        assert "{{ " not in text.replace("${{ ", ""), path
        for foreign in ("localcloud", "seed_code", "from components", "/work/"):
            assert foreign not in text, f"{path}: {foreign}"


def test_the_pinned_versions_are_the_platforms() -> None:
    def pins(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", path.read_text(), re.MULTILINE))

    platform = pins(ROOT / "requirements" / "platform.txt")
    own = pins(BASE / "requirements.txt")
    for name in ("pulumi", "pulumi-aws", "pulumi-policy", "boto3", "pydantic"):
        assert own[name] == platform[name]
    assert "://" not in (BASE / "requirements.txt").read_text()


def test_the_template_overlays_nothing_that_the_base_has() -> None:
    overlay = ROOT / "seed_code" / TEMPLATE / "deploy"
    own = {path.relative_to(overlay) for path in files(overlay)}
    assert own == {Path("integration_tests/samples.json")}
    assert not own & {path.relative_to(BASE) for path in files(BASE)}


# -- the workflow ---------------------------------------------------------------------------------


def test_jobs_may_read_the_repository_and_sign_in_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    for job in WORKFLOW["jobs"].values():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}


def test_the_environments_are_the_gates_and_prod_comes_after_preprod() -> None:
    jobs = WORKFLOW["jobs"]
    assert set(jobs) == {"dev", "preprod", "prod"}
    for name, job in jobs.items():
        for environments, expected in (("dev,preprod,prod", name), (f"{name}-eu", f"{name}-eu")):
            given = {"inputs": {"environments": environments}}
            assert filled(job["environment"], given) == expected
            assert filled(job["env"]["ENVIRONMENT"], given) == expected
            assert filled(job["concurrency"]["group"], given) == f"deploy-{expected}"
        assert job["concurrency"]["cancel-in-progress"] is False
    assert (jobs["preprod"]["needs"], jobs["prod"]["needs"]) == ("dev", ["dev", "preprod"])


def decided(job: str, environments: str, results: dict[str, str]) -> bool:
    """The meaning of a job's condition, by rewriting GitHub's expression as Python."""
    text = re.sub(r"needs\.(\w+)\.result", r"results['\1']", WORKFLOW["jobs"][job]["if"])
    text = re.sub(r"contains\(inputs\.environments, ('[^']*')\)", r"(\1 in environments)", text)
    text = re.sub(
        r"startsWith\(inputs\.environments, ('[^']*')\)", r"environments.startswith(\1)", text
    )
    for github, python in (("!cancelled()", "True"), ("&&", "and"), ("||", "or")):
        text = text.replace(github, python)
    names = {"environments": environments, "results": results}
    return bool(eval(f"({text})", {}, names))  # noqa: S307 - our own file


@pytest.mark.parametrize(
    ("environments", "good", "ran"),
    [
        ("dev,preprod,prod", {"dev", "preprod", "prod"}, ["dev", "preprod", "prod"]),
        ("dev,preprod,prod", {"preprod", "prod"}, ["dev"]),
        ("dev,preprod,prod", {"dev", "prod"}, ["dev", "preprod"]),
        ("dev,prod", {"dev", "prod"}, ["dev", "prod"]),
        ("dev,prod", set(), ["dev"]),
        ("dev", {"dev"}, ["dev"]),
        ("preprod,prod", {"preprod", "prod"}, ["preprod", "prod"]),
        ("preprod,prod", set(), ["preprod"]),
        ("preprod", {"preprod"}, ["preprod"]),
        ("preprod-eu", {"preprod"}, ["preprod"]),
        ("prod", {"prod"}, ["prod"]),
        ("prod-eu", {"prod"}, ["prod"]),
        ("", set(), []),
    ],
)
def test_each_environment_comes_after_a_good_one_before_and_only_where_asked_for(
    environments: str, good: set[str], ran: list[str]
) -> None:
    results: dict[str, str] = {}
    for job in WORKFLOW["jobs"]:
        if decided(job, environments, results):
            results[job] = "success" if job in good else "failure"
        else:
            results[job] = "skipped"
    assert [job for job, result in results.items() if result != "skipped"] == ran


def test_actions_are_pinned_by_commit_as_the_platforms_are() -> None:
    platform = (ROOT / ".github/workflows/stack.yml").read_text()
    used = [
        step["uses"]
        for job in WORKFLOW["jobs"].values()
        for step in job["steps"]
        if "uses" in step and not step["uses"].startswith("./")
    ]
    assert used
    for name in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name)
        assert name in platform


def test_there_are_no_keys_and_no_expression_reaches_a_shell() -> None:
    text = "".join(path.read_text() for path in files(BASE / ".github"))
    assert "secrets." not in text
    assert not re.search(r"AWS_(SECRET|ACCESS)", text)
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
    for job in WORKFLOW["jobs"].values():
        assert not any("run" in step for step in job["steps"])
        assert job["steps"][0]["with"] == {"persist-credentials": False}


def test_the_hub_can_start_it_with_what_it_sends() -> None:
    inputs = TRIGGER["workflow_dispatch"]["inputs"]
    assert set(inputs) == {"model_package_arn", "environments", "kind", "reason"}
    assert tuple(inputs["kind"]["options"]) == (*MADE.deploy.KINDS, "remove")
    # By this the hub knows which version a run's reviewers agreed to.
    assert WORKFLOW["run-name"].startswith("${{ inputs.model_package_arn }} ")
    assert set(TRIGGER) == {"workflow_dispatch"}


# -- running the documented command ---------------------------------------------------------------


def recorder(folder: Path) -> Path:
    """A stand-in interpreter that writes down what it was called with."""
    script = folder / "python"
    script.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'import json, os, sys; "
        "print(json.dumps([sys.argv[1:], {k: v for k, v in os.environ.items() "
        'if k.startswith("MLOPS_")}]))\' "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def parsed(output: str) -> tuple[Any, dict[str, str]]:
    """The arguments as deploy.py understands them, and its MLOPS variables."""
    arguments, environ = json.loads(output.splitlines()[-1])
    assert arguments[0] == "deploy.py"
    return MADE.deploy.parse(arguments[1:]), environ


def shell(commands: list[str], folder: Path, **variables: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", "\n".join(commands)],
        cwd=folder, env={"PATH": os.environ["PATH"], **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_pipelines_run_the_same_commands_in_the_same_order() -> None:
    spec = [c for phase in BUILD["phases"].values() for c in phase.get("commands", [])]
    assert [f"make {command}" for command in COMMANDS] == spec == ["make install", "make deploy"]
    for job in WORKFLOW["jobs"].values():
        assert [step["uses"] for step in job["steps"][1:]] == ["./.github/actions/deploy"]


def test_a_job_signs_in_after_what_takes_long_and_for_its_deployment_only() -> None:
    """GitHub's token ends after minutes; what is installed shall not have it."""
    names = [step.get("uses") or step["name"] for step in ACTION["runs"]["steps"]]
    assert names == ["Install", "./.github/actions/sign-in", "Deploy"]
    having = [step["name"] for step in ACTION["runs"]["steps"] if "env" in step]
    assert having == ["Deploy"]


@pytest.mark.parametrize(
    ("more", "execution", "kind"),
    [({"EXECUTION": "run-1", "KIND": "rollback"}, "run-1", "rollback"), ({}, "build:1", "deploy")],
)
def test_the_build_runs_the_documented_command(
    tmp_path: Path, more: dict[str, str], execution: str, kind: str
) -> None:
    (tmp_path / "pulumi").symlink_to("/bin/true")
    shutil.copy(BASE / "Makefile", tmp_path)
    variables = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "MLOPS_PYTHON": str(recorder(tmp_path)),
        "ENVIRONMENT": "prod",
        "MODEL_PACKAGE_ARN": ARN,
        "CODEBUILD_BUILD_ID": "build:1",
        "MLOPS_ACCOUNT_prod": "444444444444",
        **more,
    }
    assert BUILD["version"] == 0.2
    phases = BUILD["phases"]
    installed = shell(phases["install"]["commands"], tmp_path, **variables)
    assert "pip" not in installed
    given, environ = parsed(shell(phases["build"]["commands"], tmp_path, **variables))
    assert environ["MLOPS_TARGET_ACCOUNT"] == "444444444444"
    assert (given.environment, given.model_package_arn) == ("prod", ARN)
    assert (given.execution, given.kind) == (execution, kind)


def test_one_more_of_a_kind_is_deployed_to_its_own_account(tmp_path: Path) -> None:
    (tmp_path / "pulumi").symlink_to("/bin/true")
    shutil.copy(BASE / "Makefile", tmp_path)
    given, environ = parsed(
        shell(
            BUILD["phases"]["build"]["commands"],
            tmp_path,
            PATH=f"{tmp_path}:{os.environ['PATH']}",
            MLOPS_PYTHON=str(recorder(tmp_path)),
            ENVIRONMENT="prod-eu",
            MODEL_PACKAGE_ARN=ARN,
            CODEBUILD_BUILD_ID="build:1",
            **{
                account_variable(name): number * 12
                for name, number in (("prod", "4"), ("prod-eu", "5"))
            },
        )
    )
    assert given.environment == "prod-eu"
    assert environ["MLOPS_TARGET_ACCOUNT"] == "5" * 12


def deployed(folder: Path, **variables: str) -> tuple[Any, dict[str, str]]:
    """What the workflow's last step calls in an environment that has what is pinned."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    recorder(folder / ".venv" / "bin")
    shutil.copy(BASE / "Makefile", folder)
    return parsed(shell([f"make {COMMANDS[-1]}"], folder, **variables))


def test_the_workflow_runs_the_same_command(tmp_path: Path) -> None:
    given, environ = deployed(
        tmp_path,
        ENVIRONMENT="preprod", MODEL_PACKAGE_ARN=ARN, KIND="retreat", EXECUTION="99",
        MLOPS_TARGET_ACCOUNT="333333333333",
    )  # fmt: skip
    assert (given.environment, given.execution, given.kind) == ("preprod", "99", "retreat")
    assert environ["MLOPS_TARGET_ACCOUNT"] == "333333333333"
    assert WORKFLOW["env"]["EXECUTION"] == "${{ github.run_id }}"


def test_an_endpoint_is_taken_away_by_the_same_workflow(tmp_path: Path) -> None:
    given, _ = deployed(
        tmp_path,
        ENVIRONMENT="prod", MODEL_PACKAGE_ARN="-", KIND="remove", MLOPS_TARGET_ACCOUNT="4" * 12,
    )  # fmt: skip
    assert (given.environment, given.remove) == ("prod", True)


@pytest.mark.parametrize(
    "given", ["$(touch made)", "`touch made`", "'; touch made; '", '"; exit 1']
)
def test_what_was_sent_is_no_command(tmp_path: Path, given: str) -> None:
    told, _ = deployed(
        tmp_path,
        ENVIRONMENT="prod", MODEL_PACKAGE_ARN=given, KIND="deploy", EXECUTION=given,
        MLOPS_TARGET_ACCOUNT="4" * 12,
    )  # fmt: skip
    assert (told.model_package_arn, told.execution) == (given, given)
    assert not (tmp_path / "made").exists()


def test_every_variable_that_is_needed_is_documented_and_set() -> None:
    readme = (BASE / "README.md").read_text()
    job = WORKFLOW["jobs"]["preprod"]
    for name in (*MADE.settings.PLACE_VARIABLES.values(), "PULUMI_BACKEND_URL",
                 "PULUMI_SECRETS_PROVIDER"):  # fmt: skip
        assert f"`{name}`" in readme
        assert name in WORKFLOW["env"] or name in job["env"]
    for name in ("MLOPS_POLICY_PACK", "MLOPS_PYTHON"):
        assert f"`{name}`" in readme
