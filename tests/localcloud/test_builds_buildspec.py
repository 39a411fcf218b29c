"""Build specifications, logs and archives: what needs no emulator."""

from __future__ import annotations

import datetime as dt
import stat
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.emulator.builds import builds, buildspec
from localcloud.emulator.builds.buildspec import Artifact, BuildspecError
from localcloud.emulator.builds.logs import BuildLog, Masking
from localcloud.emulator.builds.repositories import GITHUB, Repositories, RepositoryError
from localcloud.emulator.compute import Compute

TEXTS = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Z")), min_size=1)
ARN = "arn:aws:secretsmanager:eu-west-1:222222222222:secret:name-AbCdEf"


@given(
    st.lists(TEXTS, min_size=1),
    st.dictionaries(st.from_regex(r"[A-Z][A-Z_]*", fullmatch=True), TEXTS),
    st.sampled_from(buildspec.PHASES),
)
def test_commands_and_variables_are_read_as_they_stand(
    commands: list[str], variables: dict[str, str], phase: str
) -> None:
    text = yaml.safe_dump(
        {
            "version": 0.2,
            "env": {"variables": variables},
            "phases": {phase: {"commands": commands, "finally": commands[:1]}},
        }
    )
    read = buildspec.parse(text)
    assert read.phases[phase].commands == tuple(commands)
    assert read.phases[phase].last == tuple(commands[:1])
    assert read.variables == variables


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"version": 0.1}, "version is 0.1"),
        ({"version": None}, "version is None"),
        ({"phases": {}}, "no commands"),
        ({"phases": {"build": {"commands": ["a"], "on-failure": "RETRY"}}}, "on-failure is RETRY"),
        ({"phases": {"build": {"comands": ["a"]}}}, "phases/build: comands is unknown"),
        ({"env": {"shell": "powershell.exe"}}, "runs bash"),
        ({"env": {"variables": {"A": {"b": "c"}}}}, "variables/A"),
        ({"reports": {"a": {}}}, "no test reports"),
        ({"artifacts": {"base-directory": "x"}}, None),
        ({"artifacts": {"files": ["a"], "enable-symlinks": "yes"}}, "no links in artifacts"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(extra: dict[str, Any], told: str | None) -> None:
    text = yaml.safe_dump({"version": 0.2, "phases": {"build": {"commands": ["a"]}}, **extra})
    if told is None:
        assert buildspec.parse(text).artifacts is None
        return
    with pytest.raises(BuildspecError, match=told):
        buildspec.parse(text)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "version: 0.2\nphases: [a]\n"])
def test_what_is_no_buildspec_is_an_error_and_no_crash(text: str) -> None:
    with pytest.raises(BuildspecError):
        buildspec.parse(text)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("name", ("name", "", "", "")),
        ("name:key", ("name", "key", "", "")),
        ("name:key:AWSPREVIOUS", ("name", "key", "AWSPREVIOUS", "")),
        ("name::AWSCURRENT", ("name", "", "AWSCURRENT", "")),
        (ARN, (ARN, "", "", "")),
        (f"{ARN}:key:stage:version", (ARN, "key", "stage", "version")),
    ],
)
def test_references_to_secrets(reference: str, parts: tuple[str, ...]) -> None:
    assert builds.split_secret(reference) == parts


@pytest.mark.parametrize(
    ("artifact", "names"),
    [
        (Artifact(("**/*",)), {"a", "out/b", "out/deep/c"}),
        (Artifact(("out/**/*",)), {"out/b", "out/deep/c"}),
        (Artifact(("*",)), {"a"}),
        (Artifact(("**/*",), base="out"), {"b", "deep/c"}),
        (Artifact(("**/*",), base="o*"), {"b", "deep/c"}),
        (Artifact(("**/*",), flat=True), {"a", "b", "c"}),
        (Artifact(("**/*",), exclude=("out/deep/*",)), {"a", "out/b"}),
        (Artifact(("./a", "out/b")), {"a", "out/b"}),
    ],
)
def test_files_of_an_artifact(tmp_path: Path, artifact: Artifact, names: set[str]) -> None:
    for name in ("a", "out/b", "out/deep/c", ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert {name for _, name in artifact.found(tmp_path)} == names


@pytest.mark.parametrize("pattern", ["nothing/*", "../x", "/etc/passwd", "a/../../x"])
def test_an_artifact_that_is_not_there_or_lies_outside(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(BuildspecError, match="artifact path"):
        list(Artifact((pattern,)).found(tmp_path))


@settings(deadline=None)
@given(secrets=st.lists(TEXTS, min_size=1), around=TEXTS)
def test_no_secret_is_left_in_a_text(secrets: list[str], around: str) -> None:
    masking = Masking()
    masking.add(secrets)
    text = masking(around.join(["", *secrets, ""]))
    for secret in secrets:
        if secret.strip().strip("*"):
            assert secret not in text


def test_secrets_are_masked_wherever_the_output_is_cut(tmp_path: Path) -> None:
    """The log is read while commands write: half a line waits for its other half."""
    sent: list[str] = []

    class Logs:
        exceptions = SimpleNamespace(ResourceNotFoundException=KeyError)

        def create_log_stream(self, **_: Any) -> None:
            """Made."""

        def put_log_events(self, **given: Any) -> None:
            sent.extend(event["message"] for event in given["logEvents"])

    masking = Masking()
    masking.add(["first-line\nsecond-line", "first"])
    log = BuildLog(tmp_path / "log", masking)
    log.to(Logs(), "g", "s")
    with log.file.open("a") as output:
        for part in ("x first-", "line y\nsec", "ond-line\n", "no newline first"):
            output.write(part)
            output.flush()
            threading.Event().wait(0.3)
    log.close()
    assert sent == ["x *** y", "***", "no newline ***"]


def test_an_archive_keeps_modes_and_links_and_stays_in_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for name, mode, content in (
            ("run.sh", stat.S_IFREG | 0o755, "x"),
            ("link", stat.S_IFLNK | 0o777, "run.sh"),
            ("../out", stat.S_IFREG | 0o644, "x"),
        ):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            target.writestr(info, content)
    folder = tmp_path / "in" / "it"
    folder.mkdir(parents=True)
    builds.unpack(archive, folder)
    assert (folder / "run.sh").stat().st_mode & 0o111
    assert (folder / "link").readlink() == Path("run.sh")
    assert not (tmp_path / "in" / "out").exists()


class Machine(Compute):
    """Processes without roles: what runs them is the emulator's own."""

    def __init__(self) -> None:
        super().__init__(None, None, "o-x", "http://127.0.0.1:9")  # type: ignore[arg-type]

    def environment(self, task: Any) -> dict[str, str]:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return {"PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": self.endpoint} | {
            name: f"made-up-{name}" for name in names
        }


@pytest.fixture
def host() -> Any:
    told: list[Any] = []
    made = SimpleNamespace(compute=Machine(), publish=told.append, told=told)
    yield made
    made.compute.close()


def test_a_build_that_takes_too_long_ends_with_its_processes(host: Any, tmp_path: Path) -> None:
    """AWS's shortest timeout, five minutes, is too long for a test: this one is a second."""
    mark = tmp_path / "mark"
    commands = [f"(while :; do touch {mark}; sleep 0.1; done) & sleep 600"]
    phases = {"build": {"commands": commands}, "post_build": {"commands": ["echo no"]}}
    record = {
        "id": "p:1",
        "arn": "arn:aws:codebuild:eu-west-1:222222222222:build/p:1",
        "buildNumber": 1,
        "projectName": "p",
        "startTime": dt.datetime(2026, 1, 1),
        "phases": [],
        "buildStatus": "IN_PROGRESS",
        "buildComplete": False,
        "currentPhase": "SUBMITTED",
        "initiator": "test",
        "serviceRole": "arn:aws:iam::222222222222:role/r",
        "source": {
            "type": "NO_SOURCE",
            "buildspec": yaml.safe_dump({"version": 0.2, "phases": phases}),
        },
        "environment": {"image": "i"},
        "logs": {"cloudWatchLogs": {"status": "DISABLED"}},
        "timeoutInMinutes": 1 / 60,
    }
    build = builds.Build("222222222222", "eu-west-1", record, {"type": "NO_ARTIFACTS"})
    builds.Builds(host, Repositories(host)).start(build)
    end = threading.Event()
    for _ in range(100):
        if build.record["buildComplete"]:
            break
        end.wait(0.1)
    assert build.status == "TIMED_OUT"
    names = [phase["phaseType"] for phase in build.record["phases"]]
    assert "POST_BUILD" not in names
    mark.unlink()
    end.wait(0.5)
    assert not mark.exists()
    states = [event.detail["build-status"] for event in host.told]
    assert states == ["IN_PROGRESS", "TIMED_OUT"]
    assert not (Path(host.compute.folder) / "builds" / "p-1").exists()


@pytest.mark.parametrize("name", ["plain", "a/b/c", "../b", "a/..", "a/b.git", "", "a/ b"])
def test_names_that_no_repository_of_github_has(host: Any, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a github repository"):
        Repositories(host).create(GITHUB, name)


def test_a_specifier_is_never_an_option_of_git(host: Any) -> None:
    repository = Repositories(host).create(GITHUB, "a/b")
    with pytest.raises(RepositoryError, match="names no commit"):
        repository.commit("--output=/tmp/x")
    with pytest.raises(RepositoryError, match="no branch, tag or commit main"):
        repository.commit("main")
