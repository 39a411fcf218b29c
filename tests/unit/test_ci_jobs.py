"""CI's jobs: what they install, when they sign in, what a preview's step does when it fails."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

import botocore.session
import pytest
import yaml

from automation import ci
from components.settings import SettingsError, parse
from localcloud.engine.official import MINIMUM_VERSION

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
BUILD = yaml.safe_load((ROOT / "buildspec.yml").read_text())
HUB = "444444444444"


def step(workflow: str, job: str, name: str) -> str:
    found = yaml.safe_load((GITHUB / "workflows" / f"{workflow}.yml").read_text())
    [command] = [s["run"] for s in found["jobs"][job]["steps"] if s.get("name") == name]
    return command


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def shell(command: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """As GitHub's runner starts a step that names no shell."""
    return subprocess.run(
        ["bash", "-e", "-c", command], cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}", **env},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


# -- signing in -----------------------------------------------------------------------------------


def test_a_job_signs_in_after_what_takes_long(tmp_path: Path) -> None:
    """GitHub's token ends after five minutes."""
    action = yaml.safe_load((GITHUB / "actions" / "sign-in" / "action.yml").read_text())
    log = tmp_path / "log"
    program(tmp_path / "make", f'echo "make $*" >> {log}')
    program(tmp_path / ".venv" / "bin" / "python", f'echo "$*" >> {log}')
    for each in action["runs"]["steps"]:
        assert shell(each["run"], tmp_path, RUNNER_TEMP="/t").returncode == 0
    assert log.read_text().splitlines() == [
        "make venv", "-m automation.ci install /t", "-m automation.ci sign-in",
    ]  # fmt: skip


def test_no_token_is_left_for_tools_to_exchange() -> None:
    for file in [*GITHUB.rglob("*.yml"), ROOT / "buildspec.yml"]:
        assert "WEB_IDENTITY_TOKEN" not in file.read_text(), file


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, "id-token: write"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/?x=1"}, "REQUEST_TOKEN"),
        (
            {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/?x=1",
             "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t", "AWS_REGION": "eu-west-1"},
            "AWS_ROLE_ARN",
        ),
        (
            {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/?x=1",
             "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t", "AWS_REGION": "eu-west-1",
             "AWS_ROLE_ARN": "arn:aws:iam::444444444444:role/r"},
            "no OIDC token",
        ),
    ],
)  # fmt: skip
def test_a_job_without_a_token_is_told_why(
    env: dict[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "env"
    assert ci.main(["sign-in"], {**env, "GITHUB_ENV": str(kept)}) == 1
    assert told in capsys.readouterr().err
    assert not kept.exists()


# -- the preview of a pull request ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "summary", "ends"),
    [(0, "no changes", 0), (2, "3 changes", 0), (1, "1 broken", 1), (1, "", 1), (7, "x", 7)],
)
def test_a_preview_is_told_in_the_pull_request_also_when_it_fails(
    tmp_path: Path, code: int, summary: str, ends: int
) -> None:
    writes = f'echo "{summary}" > preview.md; ' if summary else ""
    program(tmp_path / ".venv" / "bin" / "python", f"{writes}exit {code}")
    program(tmp_path / "gh", 'echo "$*" > asked; cat "$5" > told')
    done = shell(step("platform", "preview", "Preview"), tmp_path, NUMBER="12")
    assert (tmp_path / "asked").read_text().split() == [
        "pr", "comment", "12", "--body-file", "preview.md",
    ]  # fmt: skip
    assert (summary or "failed before it began") in (tmp_path / "told").read_text()
    assert done.returncode == ends


def test_a_pull_requests_job_may_write_nothing_but_its_comment() -> None:
    found = yaml.safe_load((GITHUB / "workflows" / "platform.yml").read_text())
    assert found["permissions"] == {"contents": "read"}
    held = found["jobs"]["preview"]["permissions"]
    assert held == {"contents": "read", "id-token": "write", "pull-requests": "write"}
    assert "pull_request_target" not in found[True]  # YAML 1.1 reads "on" as a boolean.


# -- Pulumi ---------------------------------------------------------------------------------------


def release(text: str = "#!/bin/sh\n") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("pulumi/pulumi")
        member.mode, member.size = 0o755, len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_the_pinned_release_is_unpacked_and_can_be_run(tmp_path: Path) -> None:
    asked: list[str] = []

    def download(url: str) -> bytes:
        asked.append(url)
        return content

    content = release("#!/bin/sh\necho ran\n")
    sums = {"arm64": hashlib.sha256(content).hexdigest()}
    found = ci.install(tmp_path, machine="aarch64", checksums=sums, download=download)
    [url] = asked
    assert url.endswith(f"/v{ci.PULUMI_VERSION}/pulumi-v{ci.PULUMI_VERSION}-linux-arm64.tar.gz")
    done = subprocess.run([found / "pulumi"], capture_output=True, text=True, check=True)
    assert done.stdout == "ran\n"


def test_another_archive_than_the_pinned_one_is_not_unpacked(tmp_path: Path) -> None:
    with pytest.raises(ci.CIError, match="nothing was unpacked"):
        ci.install(tmp_path, machine="x86_64", download=lambda _: release())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError("unreachable"), http.client.IncompleteRead(b"")])
def test_a_release_that_is_not_to_be_had_is_named(tmp_path: Path, error: Exception) -> None:
    def download(url: str) -> bytes:
        raise error

    with pytest.raises(ci.CIError, match=f"pulumi-v{ci.PULUMI_VERSION}-linux-x64.*downloaded"):
        ci.install(tmp_path, machine="x86_64", download=download)


def test_a_machine_without_a_pinned_release_is_named(tmp_path: Path) -> None:
    with pytest.raises(ci.CIError, match="riscv64"):
        ci.install(tmp_path, machine="riscv64")


def test_jobs_run_the_release_that_the_tests_run() -> None:
    assert ".".join(map(str, MINIMUM_VERSION)) == ci.PULUMI_VERSION
    assert {"x64", "arm64"} == set(ci.PULUMI_CHECKSUMS)
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in ci.PULUMI_CHECKSUMS.values())


def test_nothing_from_the_network_is_run_unchecked() -> None:
    vending = ROOT / "components" / "catalog.py"
    for file in [*GITHUB.rglob("*.yml"), ROOT / "buildspec.yml", vending]:
        text = file.read_text()
        assert not re.search(r"PulumiCommand|\b(curl|wget)\b", text), file


# -- CodeBuild ------------------------------------------------------------------------------------


def prepared(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the build's installation as one shell, and tells the environment that it leaves."""
    program(folder / "make", "exit 0")
    program(folder / ".venv" / "bin" / "python", "exit 0")
    commands = "\n".join([*BUILD["phases"]["install"]["commands"], "env -0"])
    return shell(commands, folder, TMPDIR=str(folder), **env)


def test_a_build_does_everything_as_the_role_of_the_bootstrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"arn:aws:iam::{HUB}:role/mlops-governance-ci"
    done = prepared(tmp_path, CI_ROLE_ARN=role)
    left = dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
    assert left["PATH"].startswith("/opt/pulumi:")
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, left[name])
    held = botocore.session.Session().get_scoped_config()
    assert held == {"role_arn": role, "credential_source": "EcsContainer"}


def test_a_build_that_no_role_is_named_to_ends(tmp_path: Path) -> None:
    done = prepared(tmp_path)
    assert done.returncode != 0
    assert "CI_ROLE_ARN" in done.stderr


@pytest.mark.parametrize(
    ("phase", "code", "ends"), [("plan", 2, 0), ("plan", 1, 1), ("preview", 2, 0), ("apply", 0, 0)]
)
def test_a_builds_phase(tmp_path: Path, phase: str, code: int, ends: int) -> None:
    program(tmp_path / ".venv" / "bin" / "python", f'echo "$*" > asked; exit {code}')
    [command] = BUILD["phases"]["build"]["commands"]
    done = shell(command, tmp_path, PHASE=phase, STACK="prod", CODEBUILD_SRC_DIR_Plan="/plan")
    assert done.returncode == ends
    if phase == "apply":
        asked = (tmp_path / "asked").read_text().split()
        assert asked[2:] == ["up", "--stack", "prod", "--plans", "/plan/plans"]


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ({"preview_build_role": f"arn:aws:iam::{HUB}:role/b",
          "deploy_build_role": f"arn:aws:iam::{HUB}:role/b"}, "must differ"),
        ({"deploy_build_role": "arn:aws:iam::111111111111:role/b"}, "hub's account"),
        ({"deploy_build_role": f"arn:aws:iam::{HUB}:role/x/mlops-b"}, "deployers"),
        ({"deploy_build_role": f"arn:aws:iam::{HUB}:role/*"}, "a role's ARN"),
    ],
)  # fmt: skip
def test_build_roles_that_would_open_more_are_refused(roles: dict[str, str], told: str) -> None:
    accounts = {"dev": "1" * 12, "preprod": "2" * 12, "prod": "3" * 12, "governance": HUB}
    with pytest.raises(SettingsError, match=told):
        parse(
            "governance",
            {
                "region": "eu-west-1",
                "organization": {"accounts": accounts},
                "tags": {"owner": "team", "cost_centre": "ml"},
                "ci": roles,
            },
        )
