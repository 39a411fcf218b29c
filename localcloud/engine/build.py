"""Build the Pulumi CLI from its Go modules, checked against the checksums in `go/go.sum`.

Nothing is executed that a checksum does not cover: the module proxy that the machine's own Go
settings name delivers sources, Go compares them with go.sum, and the compiler does the rest. The
build happens in a temporary folder that is moved into place at the end, so an interrupted build
leaves nothing that looks like an engine.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from localcloud.engine.errors import EngineError
from localcloud.engine.official import MINIMUM_VERSION
from localcloud.engine.progress import Progress

VERSION = ".".join(str(part) for part in MINIMUM_VERSION)

SOURCE = Path(__file__).parent / "go"
"""Our Go module: go.mod and go.sum, and a small command of ours."""

_COMMANDS = ("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "./pulumi-python-generate")
"""The CLI, and the code generator that our language host calls for `pulumi import`."""

_SDK = "github.com/pulumi/pulumi/sdk/v3"
_LINKER_FLAGS = f"-s -w -X {_SDK}/go/common/version.Version=v{VERSION}"

_FROM_SDK = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""Scripts of the Python SDK in the same Go module: run a program, serve dynamic providers."""

_MARKER = "engine.json"

_DOWNLOAD_FAILURES = re.compile(
    r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|lookup disabled"
    r"|proxyconnect|Forbidden|Not Found|Gone|Bad Gateway|Service Unavailable|x509",
)
_CHECKSUM_FAILURES = re.compile(r"checksum mismatch|SECURITY ERROR|missing go.sum entry")


def source_key() -> str:
    """Identify what a build would make: its version and the checksums of all it is made of."""
    digest = hashlib.sha256(_LINKER_FLAGS.encode())
    for file in sorted(SOURCE.rglob("*")):
        if file.is_file():
            digest.update(file.read_bytes())
    return f"{VERSION}-{digest.hexdigest()}"


def built_engine(engines: Path) -> Path | None:
    """The folder of a finished build of the present sources, or None."""
    folder = engines / VERSION
    try:
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = marker.get("key") == source_key() and (folder / "pulumi").is_file()
    return folder if complete else None


def build_engine(
    engines: Path, env: Mapping[str, str], report: Callable[[str], object], *, terminal: bool
) -> Path:
    """Build the engine unless it is there, and return its folder.

    Two builds in one checkout wait for each other, and the second finds the work done.

    Args:
        engines: Folder of engines; the build goes into its sub-folder `<version>`.
        env: Environment with the machine's Go settings (GOPROXY, GOFLAGS, ...), used as they are.
        report: Takes progress text.
        terminal: Whether progress may rewrite its line.

    Raises:
        EngineError: No Go, Go too old, modules not to be had, wrong checksum, or a failed compile.
    """
    engines.mkdir(parents=True, exist_ok=True)
    with _locked(engines / ".lock"):
        if found := built_engine(engines):
            return found
        go = _go(env)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=engines) as temporary:
            made = _compile(go, Path(temporary), env, Progress(report, terminal=terminal))
            target = engines / VERSION
            shutil.rmtree(target, ignore_errors=True)
            made.replace(target)
    return target


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _go(env: Mapping[str, str]) -> str:
    """Find a Go that is new enough.

    Raises:
        EngineError: There is none; says what to install.
    """
    needed = _needed_go()
    alternatives = (
        f"install either Pulumi {VERSION} or newer (with its Python language host, on PATH or in "
        f"~/.pulumi/bin), or Go {needed} or newer, from which the engine is built"
    )
    go = shutil.which("go", path=env.get("PATH", os.defpath))
    if go is None:
        raise EngineError(f"there is neither Pulumi nor Go on PATH; {alternatives}")
    # Outside any module and with the local toolchain, so that the answer is about this Go.
    answer = subprocess.run(
        [go, "env", "GOVERSION"],
        env={**env, "GOTOOLCHAIN": "local", "GOWORK": "off"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.fullmatch(r"go(\d+)\.(\d+)(?:\.(\d+))?.*", answer.stdout.strip())
    if match is None:
        said = (answer.stdout + answer.stderr).strip()
        raise EngineError(f"the Go in {go} does not work ({said!r}); {alternatives}")
    found = tuple(int(part or 0) for part in match.groups())
    if found < tuple(int(part) for part in needed.split(".")):
        raise EngineError(
            f"the Go in {go} is too old: found {'.'.join(map(str, found))}; {alternatives}"
        )
    return go


def _needed_go() -> str:
    match = re.search(r"^go (\S+)$", (SOURCE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None, "go.mod has a go line"  # noqa: S101 - a file of this repository
    return match.group(1)


def _compile(go: str, folder: Path, env: Mapping[str, str], progress: Progress) -> Path:
    module, made = folder / "module", folder / "engine"
    shutil.copytree(SOURCE, module)
    made.mkdir()
    build_env = {
        **env,
        "GOWORK": "off",  # a workspace around this checkout must not change what is built
        "GOTOOLCHAIN": "local",  # never fetch a compiler
        "CGO_ENABLED": env.get("CGO_ENABLED", "0"),  # no C compiler needed
        # The compiler spends a fifth of its time on garbage otherwise, in processes of seconds.
        "GOGC": env.get("GOGC", "400"),
    }
    read_only = "-mod=readonly"  # go.sum is the law, whatever GOFLAGS says

    def run(*arguments: str, saw: Callable[[str], object]) -> str:
        return _run_go([go, *arguments], module, build_env, saw)

    with progress:
        progress.phase(f"fetching the sources of Pulumi {VERSION}")
        packages = run("list", read_only, "-deps", *_COMMANDS, saw=progress.item).splitlines()
        progress.phase(f"compiling Pulumi {VERSION}", total=len(packages))
        flags = ("-v", read_only, "-ldflags", _LINKER_FLAGS, "-o", f"{made}/")
        run("build", *flags, *_COMMANDS, saw=progress.item)
        progress.phase("linking is done; copying the Python SDK's scripts")
        sdk = Path(run("list", read_only, "-m", "-f", "{{.Dir}}", _SDK, saw=progress.item).strip())
        for script in _FROM_SDK:
            target = made / Path(script).name
            shutil.copyfile(sdk / script, target)
            target.chmod(0o755)
    marker = {"key": source_key(), "version": VERSION}
    (made / _MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
    return made


def _run_go(
    command: list[str], cwd: Path, env: Mapping[str, str], saw: Callable[[str], object]
) -> str:
    """Run Go, handing each line of its standard error on as it comes.

    Returns:
        What it wrote to standard output.

    Raises:
        EngineError: It failed; the message tells a download from a checksum from a compile error.
    """
    errors: list[str] = []
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            command, cwd=cwd, env=env, stdout=output, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr is not None  # noqa: S101 - asked for above
        for line in process.stderr:
            errors.append(line.rstrip())
            saw(errors[-1])
        process.wait()
        output.seek(0)
        if process.returncode == 0:
            return output.read()
    raise EngineError(_explain(command, errors))


def _explain(command: list[str], lines: list[str]) -> str:
    said = [line for line in lines if not line.startswith("go: downloading")]
    text = "\n".join(said)
    # Compiled packages are named on lines of their own; what failed has text around it.
    detail = "\n".join(f"  {line}" for line in said[-8:] if " " in line.strip())
    if _CHECKSUM_FAILURES.search(text):
        return (
            "a Go module is not the one that localcloud/engine/go/go.sum names, so nothing was "
            f"built. Ask whoever runs your module proxy what it delivers:\n{detail}"
        )
    if _DOWNLOAD_FAILURES.search(text):
        return (
            "the Go modules of the engine cannot be downloaded. Set GOPROXY to a module proxy that "
            f"this machine reaches, or install Pulumi {VERSION} or newer. Go says:\n{detail}"
        )
    return f"`{' '.join(command[:2])}` failed while building Pulumi {VERSION}:\n{detail}"
