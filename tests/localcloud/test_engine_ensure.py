"""Which engine is taken, how one is built, and what is said when there is none."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from venv import EnvBuilder

import pytest

from localcloud.engine import build, ensure_engine
from localcloud.engine.build import VERSION, build_engine, built_engine
from localcloud.engine.ensure import Engine
from localcloud.engine.errors import EngineError
from localcloud.engine.official import find_official
from localcloud.engine.programs import InterpreterError, interpreter
from localcloud.engine.progress import Progress
from localcloud.paths import Paths


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def official(folder: Path, version: str, *, language_host: bool = True) -> Path:
    """A stand-in for an official distribution that says its version."""
    if language_host:
        program(folder / "pulumi-language-python", "exit 0")
    return program(folder / "pulumi", f"echo {version}")


def fake_go(folder: Path, log: Path, *, version: str = "go1.26.0", build_step: str = "") -> None:
    """A Go that answers as the real one does, and notes what it was asked."""
    sdk = folder / "sdk"
    program(sdk / "python/cmd/pulumi-language-python-exec", "exit 0")
    program(sdk / "python/dist/pulumi-resource-pulumi-python", "exit 0")
    made = "for it in pulumi pulumi-python-generate; do echo > $out$it; chmod +x $out$it; done"
    program(
        folder / "go",
        f"""
echo "$@" >> {log}
case "$1 $*" in
  env*) echo {version} ;;
  list*-m*) echo {sdk} ;;
  list*) echo "go: downloading example.com/module v1.0.0" >&2; echo fmt; echo example.com/m ;;
  build*) {build_step or "true"}
    while [ "$1" != -o ]; do shift; done; out=$2; echo example.com/m >&2; {made} ;;
esac""",
    )


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "checkout")


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """A machine without Pulumi and Go."""
    chmod = shutil.which("chmod")
    assert chmod is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "chmod").symlink_to(chmod)  # the fake Go's only tool
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}


def ensured(paths: Paths, env: dict[str, str]) -> tuple[Engine, str]:
    said: list[str] = []
    return ensure_engine(paths, env, said.append), "".join(said)


def test_an_official_pulumi_on_path_is_used(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    found = official(tmp_path / "bin", "v3.999.0")
    engine, said = ensured(paths, bare)
    assert engine.official
    assert engine.executable.resolve() == found
    assert said == ""
    assert [entry.name for entry in paths.current_engine.iterdir()] == ["pulumi"]


def test_an_official_pulumi_in_the_home_folder_is_used(paths: Paths, bare: dict[str, str]) -> None:
    found = official(Path(bare["HOME"]) / ".pulumi" / "bin", f"v{VERSION}")
    assert ensured(paths, bare)[0].executable.resolve() == found


def test_a_link_to_a_distribution_elsewhere_counts_with_the_host_beside_its_target(
    bare: dict[str, str], tmp_path: Path
) -> None:
    found = official(tmp_path / "cellar", "v3.300.1")
    (tmp_path / "bin" / "pulumi").symlink_to(found)
    candidate = find_official(bare)
    assert candidate is not None
    assert candidate.version == (3, 300, 1)


def test_too_old_an_official_pulumi_is_an_error_that_says_what_was_found_and_is_needed(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    old = official(tmp_path / "bin", "v3.100.2")
    with pytest.raises(EngineError, match="too old") as error:
        ensured(paths, bare)
    for part in ("3.100.2", str(old), VERSION):
        assert part in str(error.value)


def test_a_sufficient_one_behind_an_old_one_is_used(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    official(tmp_path / "bin", "v3.9.9")
    newer = official(Path(bare["HOME"]) / ".pulumi" / "bin", "v3.1000.0")
    assert ensured(paths, bare)[0].executable.resolve() == newer


def test_a_pulumi_without_language_host_is_passed_over(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    official(tmp_path / "bin", "v3.999.0", language_host=False)
    fake_go(tmp_path / "bin", tmp_path / "log")
    assert not ensured(paths, bare)[0].official


def test_a_pulumi_that_does_not_work_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    official(tmp_path / "bin", "nonsense")
    with pytest.raises(EngineError, match="nonsense"):
        find_official(bare)
    program(tmp_path / "bin" / "pulumi", "exit 3")
    with pytest.raises(EngineError, match="does not work"):
        find_official(bare)


def test_neither_pulumi_nor_go_says_what_to_install(paths: Paths, bare: dict[str, str]) -> None:
    with pytest.raises(EngineError, match="neither Pulumi nor Go") as error:
        ensured(paths, bare)
    assert f"Pulumi {VERSION} or newer" in str(error.value)
    assert "Go 1.25.11 or newer" in str(error.value)


def test_too_old_a_go_says_what_was_found_and_is_needed(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    fake_go(tmp_path / "bin", tmp_path / "log", version="go1.21.3")
    with pytest.raises(EngineError, match=r"found 1\.21\.3.*Go 1\.25\.11 or newer"):
        ensured(paths, bare)


def test_a_build_shows_progress_and_a_second_run_does_nothing(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    fake_go(tmp_path / "bin", tmp_path / "log")
    engine, said = ensured(paths, bare)
    assert not engine.official
    assert f"compiling Pulumi {VERSION}" in said
    assert "done after 0:0" in said
    asked = (tmp_path / "log").read_text()
    assert "-mod=readonly" in asked
    again, said = ensured(paths, bare)
    assert (again, said) == (engine, "")
    assert (tmp_path / "log").read_text() == asked
    names = {entry.name for entry in (paths.engines / VERSION).iterdir()}
    assert names == {
        "engine.json",
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
        "pulumi-python-generate",
        "pulumi-resource-pulumi-python",
    }


def test_our_own_engine_on_path_is_not_taken_for_an_official_one(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    fake_go(tmp_path / "bin", tmp_path / "log")
    ensured(paths, bare)
    bare["PATH"] = f"{paths.current_engine}:{bare['PATH']}"
    assert not ensured(paths, bare)[0].official


def test_changed_checksums_build_anew(
    paths: Paths, bare: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(tmp_path / "bin", tmp_path / "log")
    ensured(paths, bare)
    assert built_engine(paths.engines) is not None
    changed = tmp_path / "go"
    shutil.copytree(build.SOURCE, changed)
    with (changed / "go.sum").open("a") as sums:
        sums.write("example.com/new v1.0.0 h1:0000000000000000000000000000000000000000000=\n")
    monkeypatch.setattr(build, "SOURCE", changed)
    assert built_engine(paths.engines) is None
    ensured(paths, bare)
    assert built_engine(paths.engines) is not None


def failing(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> Callable[[str], pytest.ExceptionInfo[EngineError]]:
    def build_with(message: str) -> pytest.ExceptionInfo[EngineError]:
        step = f"echo '{message}' >&2; exit 1;"
        fake_go(tmp_path / "bin", tmp_path / "log", build_step=step)
        with pytest.raises(EngineError) as error:
            ensured(paths, bare)
        return error

    return build_with


def test_a_failed_build_says_which_kind_of_failure_and_leaves_nothing(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    build_with = failing(paths, bare, tmp_path)
    offline = build_with("go: example.com/m: dial tcp: lookup proxy.example: no such host")
    assert "Set GOPROXY" in str(offline.value)
    assert "no such host" in str(offline.value)
    tampered = build_with("verifying example.com/m@v1.0.0: checksum mismatch")
    assert "not the one that localcloud/engine/go/go.sum names" in str(tampered.value)
    broken = build_with("example.com/m/x.go:1: undefined: y")
    assert "failed while building" in str(broken.value)
    assert [entry.name for entry in paths.engines.iterdir()] == [".lock"]
    assert built_engine(paths.engines) is None


@pytest.mark.skipif(shutil.which("go") is None, reason="asks the real Go")
def test_without_network_the_real_go_leads_to_the_same_error(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "GOPROXY": "off",
        "GOMODCACHE": str(tmp_path / "modules"),
        "GOFLAGS": "-modcacherw",
    }
    said: list[str] = []
    with pytest.raises(EngineError, match="Set GOPROXY"):
        build_engine(tmp_path / "engines", env, said.append, terminal=False)
    assert "stopped after" in "".join(said)


def test_the_local_providers_are_in_the_plugin_cache_under_the_sdks_versions(
    paths: Paths, bare: dict[str, str], tmp_path: Path
) -> None:
    official(tmp_path / "bin", "v3.999.0")
    ensured(paths, bare)
    pins = (Path(build.__file__).parents[2] / "requirements" / "platform.in").read_text()
    for name in ("aws", "awsx"):
        (folder,) = paths.plugins.glob(f"resource-{name}-v*")
        assert f"pulumi-{name}=={folder.name.rpartition('-v')[2]} " in pins
        assert os.access(folder / f"pulumi-resource-{name}", os.X_OK)


def test_progress_on_a_terminal_stays_on_one_line() -> None:
    said: list[str] = []
    with Progress(said.append, terminal=True) as progress:
        progress.phase("compiling", total=3)
        progress.item("example.com/" + "long" * 50)
        progress.phase("linking")
    assert "".join(said).count("\n") == 1
    assert max(len(part.strip("\r\n")) for part in said[:-1]) <= 100


def test_the_interpreter_follows_the_runtime_options(tmp_path: Path) -> None:
    python = program(tmp_path / "env" / "bin" / "python", "exit 0")
    chosen = interpreter(tmp_path, {"virtualenv": "env"}, {})
    assert chosen.python == python
    assert chosen.environment({"PATH": "/bin", "PYTHONHOME": "/x"}) == {
        "PATH": f"{python.parent}:/bin",
        "VIRTUAL_ENV": str(tmp_path / "env"),
    }
    with pytest.raises(InterpreterError, match=r"missing.*make up"):
        interpreter(tmp_path, {"virtualenv": "missing"}, {})
    with pytest.raises(InterpreterError, match="poetry"):
        interpreter(tmp_path, {"toolchain": "poetry"}, {})


def test_an_interpreter_is_asked_again_when_something_was_installed(tmp_path: Path) -> None:
    venv, kept = tmp_path / "env", tmp_path / "kept"
    EnvBuilder(with_pip=False).create(venv)
    chosen = interpreter(tmp_path, {"virtualenv": "env"}, {})
    first = chosen.probe(kept)
    assert first["distributions"] == []

    # Nothing that runs the interpreter would work now: the answer is the one that was kept.
    away = chosen.python.rename(tmp_path / "python")
    assert chosen.probe(kept) == first
    away.rename(chosen.python)

    added = next(venv.glob("lib/python*/site-packages")) / "example-1.2.dist-info"
    added.mkdir()
    (added / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.2\n")
    again = chosen.probe(kept)["distributions"]
    assert again == [{"name": "example", "version": "1.2", "direct": True}]

    with pytest.raises(InterpreterError, match="does not work"):
        replace(chosen, python=tmp_path / "gone").probe(kept)


def test_the_marker_names_the_version(paths: Paths, bare: dict[str, str], tmp_path: Path) -> None:
    fake_go(tmp_path / "bin", tmp_path / "log")
    ensured(paths, bare)
    marker = json.loads((paths.engines / VERSION / "engine.json").read_text())
    assert marker["version"] == VERSION
