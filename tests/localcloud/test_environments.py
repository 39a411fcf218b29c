"""Environments from requirements files: made once, for each content, by one process at a time."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest

from localcloud import environments
from localcloud.paths import Paths


def wheel(folder: Path, version: str) -> tuple[Path, str]:
    """A small wheel that installs the module ``made``, and its hash."""
    import zipfile

    file = folder / f"made-{version}-py3-none-any.whl"
    info = f"made-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("made.py", f"VERSION = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: made\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(
            f"{info}/RECORD", f"made.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A checkout whose packages come from a folder, so that no registry is asked."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "requirements").mkdir()
    ask(Paths(tmp_path), "1.0")
    return Paths(tmp_path)


def ask(paths: Paths, version: str, digest: str | None = None) -> None:
    _, right = wheel(paths.root / "wheels", version)
    text = f"made=={version} \\\n    --hash=sha256:{digest or right}\n"
    (paths.root / "requirements" / "tool.txt").write_text(text)


def version(interpreter: Path) -> str:
    command = [str(interpreter), "-c", "import made; print(made.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_is_made_once_and_then_found(checkout: Paths) -> None:
    lines: list[str] = []
    interpreter = environments.python("tool", checkout, lines.append)
    assert version(interpreter) == "1.0"
    assert "installing 1 packages" in lines[0]
    assert "ready" in lines[-1]
    lines.clear()
    assert environments.python("tool", checkout, lines.append) == interpreter
    assert lines == []


def test_another_content_is_another_environment_and_the_first_stays(checkout: Paths) -> None:
    first = environments.python("tool", checkout, lambda line: None)
    ask(checkout, "2.0")
    second = environments.python("tool", checkout, lambda line: None)
    assert (version(first), version(second)) == ("1.0", "2.0")


def test_an_interrupted_installation_is_done_again(checkout: Paths) -> None:
    interpreter = environments.python("tool", checkout, lambda line: None)
    folder = interpreter.parent.parent
    (folder / ".installed").unlink()
    next(folder.rglob("made.py")).unlink()
    assert version(environments.python("tool", checkout, lambda line: None)) == "1.0"


def test_a_package_with_another_hash_is_refused_and_leaves_nothing(checkout: Paths) -> None:
    ask(checkout, "1.0", digest="0" * 64)
    with pytest.raises(environments.EnvironmentFailedError, match=r"requirements/tool\.txt"):
        environments.python("tool", checkout, lambda line: None)
    assert [p.name for p in (checkout.local / "environments").iterdir() if p.is_dir()] == []


def test_an_unknown_name_tells_the_known_ones(checkout: Paths) -> None:
    with pytest.raises(environments.EnvironmentFailedError, match="there are tool"):
        environments.python("other", checkout)


def make(root: Path, results: multiprocessing.SimpleQueue[list[str]]) -> None:
    lines: list[str] = []
    environments.python("tool", Paths(root), lines.append)
    results.put(lines)


def test_of_processes_that_ask_at_once_one_installs(checkout: Paths) -> None:
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    started = [fork.Process(target=make, args=(checkout.root, results)) for _ in range(4)]
    for process in started:
        process.start()
    told = [results.get() for _ in started]
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 4
    assert sum(any("installing" in line for line in lines) for lines in told) == 1


def test_the_checkouts_own_files_name_no_registry_and_hash_every_package() -> None:
    folder = Path(__file__).parents[2] / "requirements"
    for name in ("seed", "pipeline"):
        text = (folder / f"{name}.txt").read_text()
        pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pinned
        assert all("==" in line and line.rstrip().endswith("\\") for line in pinned), name
        assert "://" not in text
    assert os.environ.get("UV_NO_INDEX") is None
