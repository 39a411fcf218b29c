from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import run_pipeline
from pipelinekit import settings, source

CI = (
    "CODEBUILD_BUILD_ID",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_SHA",
)


@pytest.fixture(autouse=True)
def _outside_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CI:
        monkeypatch.delenv(name, raising=False)


def test_one_ci_run_has_one_token_and_people_have_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_pipeline._token("shells") != run_pipeline._token("shells")
    monkeypatch.setenv("GITHUB_RUN_ID", "1")
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "1")
    first = run_pipeline._token("shells")
    assert first == run_pipeline._token("shells")
    assert 32 <= len(first) <= 128
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    assert run_pipeline._token("shells") != first


def test_the_commit_comes_from_ci_or_git_and_says_when_files_differ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(settings.SettingsError, match="--commit"):
        source.commit(tmp_path)

    def git(*arguments: str) -> str:
        told = ("-c", "user.name=n", "-c", "user.email=e@example.com")
        command = ["git", "-C", str(tmp_path), *told, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "--quiet", "--message", "m")
    head = git("rev-parse", "HEAD")
    assert source.commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert source.commit(tmp_path) == f"{head}-changed"
    monkeypatch.setenv("GITHUB_SHA", "fromci")
    assert source.commit(tmp_path) == "fromci"
    assert source.commit(tmp_path, "given") == "given"
