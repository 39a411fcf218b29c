"""The interpreters and child processes of the language host.

Signals. The CLI starts each plugin in a process group of its own, so a terminal's Ctrl-C reaches
the CLI alone; it then cancels the calls it has open, waits for the resources in flight, and at the
end sends SIGINT to the plugin's whole group. A program in that group must not die of that SIGINT
with a traceback, so the host blocks SIGINT before it starts any thread: children inherit the mask,
and the host alone decides when they end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.whole_files import write_whole

_GRACE_SECONDS = 3.0
"""How long a child may tidy up after SIGTERM. The CLI itself gives the host five seconds."""

_PROBE = """
import importlib.metadata, json, pathlib, re, sys
def key(name):
    return re.sub(r"[-_.]+", "-", name).lower()
found, needed, plugins = {}, set(), []
for dist in importlib.metadata.distributions():
    name = dist.metadata["Name"]
    found[key(name)] = {"name": name, "version": dist.version}
    for requirement in dist.requires or ():
        needed.add(key(re.match(r"[A-Za-z0-9._-]+", requirement).group()))
    listed = dist.read_text("RECORD")
    if listed is not None and "pulumi-plugin.json" not in listed:
        continue
    for file in dist.files or ():
        if file.name == "pulumi-plugin.json":
            plugins.append(json.loads(pathlib.Path(dist.locate_file(file)).read_text()))
for name, entry in found.items():
    entry["direct"] = name not in needed
folders = [pathlib.Path(entry or ".") for entry in sys.path]
print(json.dumps({
    "folders": {str(folder): folder.stat().st_mtime_ns for folder in folders if folder.is_dir()},
    "version": ".".join(map(str, sys.version_info[:3])),
    "distributions": sorted(found.values(), key=lambda entry: entry["name"].lower()),
    "plugins": plugins,
}))
"""
"""Runs in the program's interpreter, which may be any Python: only the standard library.

Taking a list of installed files apart takes longer than all else, so only those are that have what
is looked for.
"""


class InterpreterError(Exception):
    """The interpreter that a program's runtime options name cannot be used."""


@dataclass(frozen=True)
class Interpreter:
    """The Python that a program, policy pack or component provider runs in.

    Args:
        python: Its executable.
        venv: The virtual environment that it belongs to, when the options name one.
    """

    python: Path
    venv: Path | None

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The base environment with the virtual environment activated in it."""
        env = dict(base)
        if self.venv is not None:
            env["VIRTUAL_ENV"] = str(self.venv)
            env["PATH"] = os.pathsep.join((str(self.venv / "bin"), env.get("PATH", os.defpath)))
            env.pop("PYTHONHOME", None)
        return env

    def probe(self, kept: Path) -> dict[str, Any]:
        """Ask for the Python version, its distributions, and the plugins that these name.

        Args:
            kept: Folder for what was answered. It holds for as long as nothing was installed in,
                or removed from, the folders that the interpreter imports from.

        Returns:
            `version`; `distributions`, each with name, version and whether nothing else needs it
            (`direct`); `plugins`, the contents of every pulumi-plugin.json; `folders`, those that
            it imports from with the time of their last change.

        Raises:
            InterpreterError: It does not run.
        """
        asked = hashlib.sha256(f"{self.python}\n{_PROBE}".encode()).hexdigest()[:16]
        file = kept / f"{asked}.json"
        with contextlib.suppress(OSError, ValueError):
            answered = json.loads(file.read_text(encoding="utf-8"))
            if all(
                Path(folder).stat().st_mtime_ns == changed
                for folder, changed in answered["folders"].items()
            ):
                return answered
        try:
            answer = subprocess.run(
                [str(self.python), "-I", "-c", _PROBE], capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise InterpreterError(f"{self.python} does not work: {error}") from None
        if answer.returncode != 0:
            raise InterpreterError(f"{self.python} does not work: {answer.stderr.strip()}")
        write_whole(file, answer.stdout)
        return json.loads(answer.stdout)


def interpreter(root: Path, options: Mapping[str, Any], env: Mapping[str, str]) -> Interpreter:
    """Choose the interpreter as the `runtime` options of Pulumi.yaml and its kin say.

    With `virtualenv` (relative to `root`), the one in it. Without, PULUMI_PYTHON_CMD or else the
    interpreter that this host runs in.

    Raises:
        InterpreterError: The virtual environment is not there, or the toolchain is unknown.
    """
    toolchain = options.get("toolchain", "pip")
    if toolchain not in ("pip", "uv"):
        raise InterpreterError(
            f"the runtime option toolchain {toolchain!r} in {root} is not supported by the local "
            "language host; use pip or uv, or install the official Pulumi"
        )
    named = options.get("virtualenv") or (".venv" if toolchain == "uv" else None)
    if named is None:
        command = shutil.which(env.get("PULUMI_PYTHON_CMD", ""), path=env.get("PATH"))
        return Interpreter(Path(command or sys.executable), None)
    venv = root / str(named)
    python = venv / "bin" / "python"
    if not python.is_file():
        raise InterpreterError(
            f"the runtime option virtualenv {named!r} in {root} names {venv}, which is no virtual "
            "environment; create it (in this repository: make up) or correct the option"
        )
    return Interpreter(python, venv)


class Children:
    """The running children of the host, so that none outlives it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def start(
        self,
        command: Sequence[str],
        cwd: str,
        env: Mapping[str, str],
        *,
        pipes: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a child; it shares the host's output unless `pipes` is set.

        Raises:
            OSError: The command cannot be started.
            RuntimeError: The host is shutting down.
        """
        output = subprocess.PIPE if pipes else None
        with self._lock:
            if self._closed:
                raise RuntimeError("the language host is shutting down")
            child = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            self._running.add(child)
        return child

    def finished(self, child: subprocess.Popen[bytes]) -> None:
        """Forget a child that has been waited for."""
        with self._lock:
            self._running.discard(child)

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """End a child: SIGTERM, and SIGKILL if it takes too long."""
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def stop_all(self) -> None:
        """End all children, and start no more."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        threads = [threading.Thread(target=self.stop, args=(child,)) for child in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
