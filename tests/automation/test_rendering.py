"""Repositories brought to newer versions of their template, with their team's changes kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automation.projects import rendering, templates
from automation.projects.rendering import RenderingError

VALUES = {"project_name": "churn", "gate": 3}
PIPELINE = "".join(f"step {number}\n" for number in range(1, 13))


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


OLD = {
    "pipeline.py": PIPELINE,
    "config.yaml.jinja": "name: {{ project_name }}\ngate: {{ gate }}\n",
    "steps/old.py": "old\n",
    "Makefile": "test:\n",
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write(tmp_path / "old", OLD)


@pytest.fixture
def repository(tmp_path: Path, old: Path) -> Path:
    """As its team got it."""
    folder = tmp_path / "repository"
    rendering.render(old, "churning", VALUES, folder)
    git(folder, "init", "--quiet")
    return commit(folder)


def commit(folder: Path) -> Path:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")
    return folder


def test_a_rendered_repository_refers_to_nothing_but_its_own_values(repository: Path) -> None:
    assert (repository / "config.yaml").read_text() == "name: churn\ngate: 3\n"
    found = rendering.origin(repository)
    assert (found.template, found.values) == ("churning", VALUES)
    told = (repository / rendering.ORIGIN).read_text()
    assert "/" not in told
    assert not list(repository.glob(".*update*"))


def test_what_the_template_changed_comes_and_what_the_team_changed_stays(
    tmp_path: Path, repository: Path, old: Path
) -> None:
    mine = PIPELINE.replace("step 2\n", "step 2, ours\n")
    write(repository, {"pipeline.py": mine, "own.py": "own\n"})
    (repository / "Makefile").unlink()
    commit(repository)
    theirs = PIPELINE.replace("step 11\n", "step 11, newer\n")
    new = write(
        tmp_path / "new",
        {**OLD, "pipeline.py": theirs, "steps/new.py.jinja": "for {{ project_name }}\n",
         "config.yaml.jinja": "name: {{ project_name }}\ngate: {{ gate }}\nmost: {{ most }}\n"},
    )  # fmt: skip
    (new / "steps" / "old.py").unlink()

    assert rendering.update(repository, old, new, {"most": 9}) == []
    assert (repository / "pipeline.py").read_text() == mine.replace("step 11\n", "step 11, newer\n")
    assert (repository / "own.py").read_text() == "own\n"
    assert (repository / "steps" / "new.py").read_text() == "for churn\n"
    assert not (repository / "steps" / "old.py").exists()
    assert (repository / "config.yaml").read_text() == "name: churn\ngate: 3\nmost: 9\n"
    assert not (repository / "Makefile").exists(), "the team took it away"
    found = rendering.origin(repository)
    assert found.version == rendering.version(new)
    assert found.values == {**VALUES, "most": 9}
    # Nothing is committed, all of it is in the index, and copier's own file is gone.
    assert git(repository, "log", "--oneline").count("\n") == 1
    assert not git(repository, "diff", "--name-only")
    assert not list(repository.glob(".*update*"))


def test_where_both_changed_the_same_lines_both_stand_and_the_file_is_named(
    tmp_path: Path, repository: Path, old: Path
) -> None:
    write(repository, {"pipeline.py": PIPELINE.replace("step 5\n", "ours\n")})
    commit(repository)
    new = write(tmp_path / "new", {**OLD, "pipeline.py": PIPELINE.replace("step 5\n", "theirs\n")})
    assert rendering.update(repository, old, new, {}) == ["pipeline.py"]
    told = (repository / "pipeline.py").read_text()
    for part in ("<<<<<<<", "ours\n", "=======", "theirs\n", ">>>>>>>"):
        assert part in told


def test_what_changed_in_neither_size_nor_age_comes_too(
    tmp_path: Path, repository: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies keep the age of files, by which git's index tells what changed."""
    new = write(tmp_path / "new", {**OLD, "Makefile": "best:\n"})
    for folder in (old, new):
        os.utime(folder / "Makefile", (10**9, 10**9))
    # Else inode and second of the copy count too, which are the same by chance only.
    (tmp_path / "gitconfig").write_text("[core]\ncheckStat = minimal\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert rendering.update(repository, old, new, {}) == []
    assert (repository / "Makefile").read_text() == "best:\n"


def test_a_repository_of_another_version_or_with_changes_is_left_alone(
    tmp_path: Path, repository: Path, old: Path
) -> None:
    new = write(tmp_path / "new", {"pipeline.py": "new\n"})
    with pytest.raises(RenderingError, match=f"version {rendering.version(old)} of churning"):
        rendering.update(repository, new, old, {})
    write(repository, {"own.py": "own\n"})
    with pytest.raises(RenderingError, match="not committed"):
        rendering.update(repository, old, new, {})
    (repository / rendering.ORIGIN).unlink()
    with pytest.raises(RenderingError, match="bring the file back"):
        rendering.update(repository, old, new, {})


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ours=st.sets(st.integers(1, 5)), theirs=st.sets(st.integers(8, 12)), lines=st.just(PIPELINE))
def test_changes_apart_from_each_other_never_conflict(
    tmp_path_factory: pytest.TempPathFactory, ours: set[int], theirs: set[int], lines: str
) -> None:
    """What comes out has the team's changes and the template's, whichever they are."""
    folder = tmp_path_factory.mktemp("apart")
    old = write(folder / "old", OLD)
    repository = folder / "repository"
    rendering.render(old, "churning", VALUES, repository)
    git(repository, "init", "--quiet")
    commit(repository)

    def changed(text: str, numbers: set[int], how: str) -> str:
        for number in numbers:
            text = text.replace(f"step {number}\n", f"step {number} {how}\n")
        return text

    mine = changed(lines, ours, "ours")
    write(repository, {"pipeline.py": mine, "own.py": "x\n"})
    commit(repository)
    new = write(folder / "new", {**OLD, "pipeline.py": changed(lines, theirs, "theirs")})
    assert rendering.update(repository, old, new, {}) == []
    assert (repository / "pipeline.py").read_text() == changed(mine, theirs, "theirs")


@pytest.mark.parametrize("kind", templates.REPOSITORIES)
def test_the_seed_code_is_brought_to_a_newer_version(tmp_path: Path, kind: str) -> None:
    """The real content, so that whatever is in it goes through an update unharmed."""
    values = {
        "prefix": "acme", "region": "eu-west-1", "project_name": "churn",
        "project_id": "p-abcdefghijkl", "owner": "growth", "cost_centre": "4711",
        **templates.load()["xgboost-realtime"].with_defaults({}),
    }  # fmt: skip
    repository = tmp_path / "repository"
    with rendering.assembled("xgboost-realtime", kind) as content:
        rendering.render(content, "xgboost-realtime", values, repository)
        git(repository, "init", "--quiet")
        commit(repository)
        with rendering.assembled("xgboost-realtime", kind) as newer:
            readme = newer / "README.md"
            readme.write_text(readme.read_text() + "\nNewer.\n")
            assert rendering.update(repository, content, newer, {}) == []
    changed = set(git(repository, "diff", "--cached", "--name-only").splitlines())
    assert changed == {"README.md", rendering.ORIGIN}
