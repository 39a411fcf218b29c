"""Starts, finds and ends the emulator's process.

The process goes on running after the command that started it, until it is stopped. Its memory is
its state: a stopped emulator is gone with everything in it, and the next one has a new instance id.
Pulumi state of the old one is set aside, so that it is never taken for its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import fcntl
import hashlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from localcloud import ended
from localcloud.authorization import installation
from localcloud.paths import CHECKOUT, Paths

_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PORTS = range(20_000, 32_000)  # below the ports that systems hand out by themselves
_LOG_LINES = 25

LOG_NAME = "emulator.log"


class EmulatorError(RuntimeError):
    """The emulator could not be started, found or stopped; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Started:
    """A running emulator.

    Attributes:
        description: The content of ``instance.json``.
        fresh: Whether this call started it.
        lost: Ids of earlier instances of which Pulumi state is kept, which is void.
    """

    description: Mapping[str, Any]
    fresh: bool
    lost: tuple[str, ...] = ()

    @property
    def instance(self) -> str:
        """Id of the instance."""
        return str(self.description["instance"])

    @property
    def endpoint(self) -> str:
        """Base URL."""
        return str(self.description["endpoint"])

    def message(self) -> str:
        """What to tell a person."""
        lines = [
            f"The local cloud {'runs' if self.fresh else 'already runs'} at {self.endpoint}"
            f" (instance {self.instance}, process {self.description['pid']})."
        ]
        if self.lost:
            lines.append(
                f"An earlier local cloud ({', '.join(self.lost)}) was stopped, and its resources"
                " are gone with it. The local stacks start anew; their old state is not used, and"
                " kept in .localcloud/*/ended."
            )
        return "\n".join(lines)


def request(endpoint: str, method: str, path: str, body: Any = None) -> Any:
    """Asks the control interface of a running emulator.

    Raises:
        OSError: Nothing answers.
        EmulatorError: It answers with an error.
    """
    host = endpoint.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, f"/_localcloud/{path}", body=payload)
        response = connection.getresponse()
        content = json.loads(response.read() or b"null")
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{endpoint} does not answer as a local cloud: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise EmulatorError(f"{method} {path}: {content}")
    return content


def running(paths: Paths = CHECKOUT) -> dict[str, Any] | None:
    """The description of this checkout's emulator, None when it does not run."""
    try:
        description = cast(dict[str, Any], json.loads(paths.instance_file.read_text("utf-8")))
    except (FileNotFoundError, ValueError):
        return None
    try:
        health = request(description["endpoint"], "GET", "health")
    except (OSError, EmulatorError):
        return None
    return description if health["instance"] == description["instance"] else None


class Process(Protocol):
    """The emulator's process, as its starter watches it until it answers."""

    @property
    def returncode(self) -> int | None:
        """How it ended, after :meth:`poll` has seen that."""
        ...

    def poll(self) -> int | None:
        """How it ended, None while it runs."""
        ...

    def terminate(self) -> None:
        """Ends it."""
        ...


Spawn = Callable[[str, Path, Mapping[str, str], Path], Process]
"""Starts a process that serves: from its settings, folder, whole environment and log file."""


def spawn(settings: str, folder: Path, environment: Mapping[str, str], log: Path) -> Process:
    """Starts the process that serves, which outlives this one."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "localcloud", "run-server", settings],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def start(
    accounts: Mapping[str, str],
    *,
    organization_id: str,
    region: str,
    paths: Paths = CHECKOUT,
    spawn: Spawn = spawn,
) -> Started:
    """Starts the emulator unless it runs.

    Args:
        accounts: Environment name -> account id.
        organization_id: Organisation of all accounts.
        region: The region that generated profiles name.
        paths: The checkout.
        spawn: What starts its process.

    Raises:
        EmulatorError: It runs for other accounts, or did not come up (with the log's end).
        NotInstalledError: The IAM evaluator is not installed.
    """
    _check(accounts)
    installation.command(paths.local)
    with _lock(paths):
        wanted = {"accounts": dict(accounts), "organization": organization_id, "region": region}
        description = running(paths)
        if description:
            differing = [key for key, value in wanted.items() if description[key] != value]
            if differing:
                raise EmulatorError(
                    f"The local cloud runs with other {' and '.join(differing)}:"
                    f" {[description[key] for key in differing]} instead of"
                    f" {[wanted[key] for key in differing]}. Stop it first (make down)."
                )
            return Started(description, fresh=False)
        paths.instance_file.unlink(missing_ok=True)
        lost = ended.set_aside(paths)
        instance = f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        return Started(_launch(instance, wanted, paths, spawn), fresh=True, lost=lost)


def _check(accounts: Mapping[str, str]) -> None:
    wrong = {
        name: account
        for name, account in accounts.items()
        if len(account) != 12 or not account.isdecimal()
    }
    if wrong or not accounts:
        raise EmulatorError(
            f"Account ids have 12 digits; got {wrong or 'none'} (environment name -> account id)."
        )


@contextlib.contextmanager
def _lock(paths: Paths) -> Generator[None]:
    paths.local.mkdir(parents=True, exist_ok=True)
    with (paths.local / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _launch(instance: str, wanted: Mapping[str, Any], paths: Paths, spawn: Spawn) -> dict[str, Any]:
    folder = paths.instance(instance)
    folder.mkdir(parents=True)
    log = folder / LOG_NAME
    settings = {**wanted, "instance": instance, "root": str(paths.root), "port": port(paths)}
    # The child must not see the caller's real AWS settings: boto3 within it would read them.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("AWS_", "BOTO_", "MOTO_"))
    }
    checkout = str(Path(__file__).resolve().parents[2])
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": checkout}
    environment |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    process = spawn(json.dumps(settings), folder, environment, log)
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        description = running(paths)
        if description and description["instance"] == instance:
            return description
        if process.poll() is not None:
            raise EmulatorError(
                f"The local cloud ended at its start (exit {process.returncode}). The end of"
                f" {log}:\n{_tail(log)}"
            )
        time.sleep(0.05)
    process.terminate()
    raise EmulatorError(
        f"The local cloud did not answer within {_READY_SECONDS:.0f} s. The end of"
        f" {log}:\n{_tail(log)}"
    )


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:])


def port(paths: Paths) -> int:
    """The port that a checkout prefers: derived from its path, so that two do not collide."""
    digest = hashlib.sha256(str(paths.root).encode()).digest()
    return _PORTS[int.from_bytes(digest[:4]) % len(_PORTS)]


def stop(paths: Paths = CHECKOUT) -> str | None:
    """Ends the emulator; Pulumi state and pages of it are set aside, also of one that has crashed.

    Returns:
        The id of the ended instance, None when none ran.

    Raises:
        EmulatorError: The process does not end.
    """
    with _lock(paths):
        description = running(paths)
        if description is None:
            paths.instance_file.unlink(missing_ok=True)
            ended.set_aside(paths)
            return None
        pid = int(description["pid"])
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if _ended(pid):
                paths.instance_file.unlink(missing_ok=True)
                ended.set_aside(paths)
                return str(description["instance"])
        raise EmulatorError(f"Process {pid} of the local cloud does not end.")


def _ended(pid: int) -> bool:
    end = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(ChildProcessError, OSError):
            os.waitpid(pid, os.WNOHANG)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def status(paths: Paths = CHECKOUT) -> str:
    """What runs, for a person."""
    description = running(paths)
    if description is None:
        if paths.instance_file.exists():
            return (
                f"The local cloud does not run; {paths.instance_file} is left over from one that"
                " ended unexpectedly. Start it again with: make up"
            )
        return "The local cloud does not run. Start it with: make up"
    lines = [
        f"The local cloud runs at {description['endpoint']} (instance {description['instance']},"
        f" process {description['pid']}, since {description['started']}).",
        f"Log: {description['log']}",
        "Accounts and the made-up keys of their administrators:",
    ]
    for name, account in description["accounts"].items():
        key = description["administrators"][account]
        lines.append(f"  {name:<12} {account}  {key['access_key_id']}  {key['secret_access_key']}")
    return "\n".join(lines)
