"""Containers as processes: a folder that is their ``/opt/ml``, an environment, a command.

Where the machine lets it, a program runs in a mount namespace in which its folder is ``/opt/ml``;
where it does not, ``/opt/ml`` in arguments and environment variables is replaced by the folder's
real path, and a script that has the path written into it fails as it would elsewhere.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.emulator.compute import Compute
from localcloud.emulator.jobs import sandbox
from localcloud.emulator.jobs.images import Image
from localcloud.emulator.jobs.own_images import Program

ML = "/opt/ml"
MODE_VARIABLE = "LOCALCLOUD_CONTAINERS"
"""Environment variable that forces a mode of the emulator, for machines and tests."""

_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL")
_PROBE_SECONDS = 10.0
_TAIL = 600


class Mode(enum.StrEnum):
    """How a program gets to see its folder as ``/opt/ml``."""

    NAMESPACE = "namespace"
    """A mount namespace; needs root."""

    USER_NAMESPACE = "user-namespace"
    """A mount namespace within a user namespace; many systems let everybody have one."""

    PATHS = "paths"
    """No namespace: paths in arguments and variables are replaced."""


_UNSHARE: Mapping[Mode, tuple[str, ...]] = {
    Mode.NAMESPACE: ("unshare", "--mount"),
    Mode.USER_NAMESPACE: ("unshare", "--map-root-user", "--mount"),
    Mode.PATHS: (),
}


@functools.cache
def mode() -> Mode:
    """The best mode that works on this machine.

    Raises:
        ValueError: ``LOCALCLOUD_CONTAINERS`` names no mode.
    """
    forced = os.environ.get(MODE_VARIABLE)
    if forced:
        return Mode(forced)
    return next(mode for mode in Mode if mode is Mode.PATHS or _works(mode))


def _works(mode: Mode) -> bool:
    with tempfile.TemporaryDirectory(prefix="localcloud-probe-") as name:
        container = _prepared(Path(name))
        (container / "ml" / "probe").touch()
        command = _command(["test", "-e", f"{ML}/probe"], container, mode, isolated=False)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)
            return done.returncode == 0
    return False


@functools.cache
def _network_namespaces(mode: Mode) -> bool:
    if mode is Mode.PATHS:
        return False
    done = subprocess.run([*_UNSHARE[mode], "--net", "true"], capture_output=True, check=False)
    return done.returncode == 0


def _prepared(folder: Path) -> Path:
    for name in ("ml", "home", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def _command(
    command: Sequence[str],
    folder: Path,
    mode: Mode,
    *,
    isolated: bool,
    program: Program | None = None,
    bridge: Bridge | None = None,
) -> list[str]:
    own_network = isolated and _network_namespaces(mode)
    # A program that is started again needs another one: the last one's entries are still there.
    stage = "" if mode is Mode.PATHS else tempfile.mkdtemp(prefix="opt-", dir=folder)
    works_in = (program.folder if program else "") or ML
    if mode is Mode.PATHS:
        works_in = _real(works_in, folder, program)
    given = {
        "command": list(command),
        "folder": works_in,
        "ml": str(folder / "ml"),
        "own": {name: str(path) for name, path in program.folders.items()} if program else {},
        "stage": stage,
        "own_network": own_network,
        "address": str(bridge.address) if bridge else "",
        "port": bridge.port if bridge else 0,
    }
    unshare = [*_UNSHARE[mode], *(["--net"] if own_network else [])]
    # -I: the job's environment variables are for its program, not for the sandbox.
    return [*unshare, sys.executable, "-I", str(Path(sandbox.__file__)), json.dumps(given)]


def _real(text: str, folder: Path, program: Program | None) -> str:
    """A text with the paths that the container's have on this machine."""
    text = text.replace(ML, str(folder / "ml"))
    for name, path in (program.folders if program else {}).items():
        text = text.replace(name, str(path))
    return text


@dataclass(frozen=True)
class Bridge:
    """How a server in a container is reached.

    Attributes:
        address: Unix socket on this machine.
        port: That the server listens on, in its own network where it has one.
    """

    address: Path
    port: int


@dataclass
class Container:
    """A folder and what runs in it.

    Attributes:
        compute: Starts the process.
        image: What it stands for.
        folder: The container's own folder; ``folder/ml`` is its ``/opt/ml``.
        isolated: Network isolation: the process gets neither credentials nor an endpoint, and where
            the machine lets it, no network.
    """

    compute: Compute
    image: Image
    folder: Path
    isolated: bool = False

    def __post_init__(self) -> None:
        """Makes the folders."""
        _prepared(self.folder)

    @property
    def log(self) -> Path:
        """What the program prints."""
        return self.folder / "log"

    def path(self, inside: str) -> Path:
        """Where a path of the container lies on this machine.

        Raises:
            ValueError: It is not below ``/opt/ml``.
        """
        clean = os.path.normpath(inside)
        if clean != ML and not clean.startswith(f"{ML}/"):
            raise ValueError(f"{inside} is not below {ML}, where a job's folders are.")
        return self.folder / "ml" / clean.removeprefix(ML).lstrip("/")

    def write(self, inside: str, value: object) -> None:
        """Writes a JSON file into the container."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")

    @property
    def own_network(self) -> bool:
        """Whether its program has a network of its own, where all ports are free."""
        return self.isolated and _network_namespaces(mode())

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        variables: Mapping[str, str],
        bridge: Bridge | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a program.

        Args:
            command: Program and arguments, as in the container.
            environment: What the compute gives a process of its task.
            variables: The container's own variables.
            bridge: How it is reached, when it serves on a port.
        """
        program = self.image.program
        path = (*(program.path if program else ()), str(self.image.interpreter.parent))
        whole = {
            **{k: v for k, v in environment.items() if not (self.isolated and k in _SECRETS)},
            "PATH": os.pathsep.join([*path, environment["PATH"]]),
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONUNBUFFERED": "1",
            # A job has one core's worth; libraries would start a thread for each of the machine's.
            "OMP_NUM_THREADS": "1",
            **(program.variables if program else {}),
            **variables,
        }
        words = list(command)
        if mode() is Mode.PATHS:
            words = [_real(word, self.folder, program) for word in words]
            whole = {k: _real(value, self.folder, program) for k, value in whole.items()}
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"local cloud: {self.image.origin}\n")
        return self.compute.start(
            _command(
                words,
                self.folder,
                mode(),
                isolated=self.isolated,
                program=program,
                bridge=bridge,
            ),
            self.folder,
            whole,
            log=self.log,
        )

    def output(self) -> str:
        """What the program has printed so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def failure(self) -> str:
        """Why the program failed: what it wrote to /opt/ml/output/failure, else its last words."""
        written = self.path(f"{ML}/output/failure")
        if written.is_file():
            return written.read_text("utf-8", "replace")[:_TAIL].strip()
        return self.output()[-_TAIL:].strip()

    def remove(self) -> None:
        """Forgets the container's files."""
        shutil.rmtree(self.folder, ignore_errors=True)
