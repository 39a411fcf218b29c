"""What runs a process on behalf of an AWS service: functions, jobs, endpoints and builds.

A process gets credentials of the role that it was given, as on AWS: only where the role trusts the
service. A process in a VPC is bound to it by these credentials: each of its calls goes through the
VPC's endpoint for the called service, or out where a route leads there, and else fails as it would
time out on AWS. It sees nothing of the machine's own settings.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.emulator import world
from localcloud.emulator.authorizer import Authorizer
from localcloud.emulator.extension import ApiError, Caller
from localcloud.emulator.identity import (
    Credentials,
    Network,
    Principal,
    find_role,
    role_principal,
)

_GRACE_SECONDS = 2.0
_ESTABLISHED = "01"
"""State of a connection in ``/proc/net/tcp``. Source: Linux kernel, include/net/tcp_states.h."""
_READINGS = 3


class ComputeError(Exception):
    """A process cannot be given what it needs; the message says what is missing."""


@dataclass(frozen=True)
class Task:
    """What a process runs as.

    Attributes:
        account: Account that it runs in.
        region: Region that it runs in.
        service: Service principal that runs it, such as ``lambda.amazonaws.com``.
        role_arn: Role whose credentials it gets.
        session: Role session name, such as the job's name.
        source_arn: The function, job, endpoint or build; ``aws:SourceArn`` for the role's trust.
        subnet_ids: Subnets that it runs in; empty outside any VPC.
        seconds: How long the credentials live.
        tags: Session tags.
        source_identity: Who the session is of, where the service says so.
        user_profile: ARN of the Studio profile that it is of.
    """

    account: str
    region: str
    service: str
    role_arn: str
    session: str
    source_arn: str
    subnet_ids: Sequence[str] = ()
    seconds: int = 3600
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    source_identity: str | None = None
    user_profile: str | None = None


class Compute:
    """Starts processes, and ends those that still run when the emulator does.

    Args:
        credentials: Issues what processes sign their calls with.
        authorizer: Decides whether roles trust the service.
        organization_id: Of all accounts.
        endpoint: The emulator's base URL.
    """

    def __init__(
        self, credentials: Credentials, authorizer: Authorizer, organization_id: str, endpoint: str
    ) -> None:
        self._credentials = credentials
        self._authorizer = authorizer
        self._organization_id = organization_id
        self._endpoint = endpoint
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._keys: dict[int, str] = {}
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self.stopping = threading.Event()

    @property
    def endpoint(self) -> str:
        """The emulator's base URL."""
        return self._endpoint

    @property
    def folder(self) -> Path:
        """Where processes have their files; it goes with the emulator."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="localcloud-"))
            return self._folder

    def principal(self, task: Task) -> Principal:
        """The role that a task runs as, once the role lets the service have it.

        Raises:
            ComputeError: There is no such role, or it does not trust the service.
        """
        name = task.role_arn.rsplit("/", 1)[-1]
        owner = task.role_arn.split(":")[4]
        if find_role(owner, name) is None:
            raise ComputeError(f"There is no role {task.role_arn}.")
        context: dict[str, str | list[str]] = {
            "aws:SecureTransport": "true",
            "aws:RequestedRegion": task.region,
            "aws:SourceArn": task.source_arn,
            "aws:SourceAccount": task.account,
            "aws:SourceOrgID": self._organization_id,
        }
        named = ("sts:SetSourceIdentity",) if task.source_identity else ()
        for action in ("sts:AssumeRole", *named):
            decision = self._authorizer.delivery(
                action, task.role_arn, owner, task.service, context
            )
            if not decision.allowed:
                raise ComputeError(
                    f"{task.service} may not assume {task.role_arn} {decision.reason}. The role's"
                    f" trust policy must let it ({action}), for {task.source_arn}."
                )
        return role_principal(owner, name, None)

    def keep_source_identity(self, caller: Caller, role_arn: str) -> None:
        """As :meth:`.authorizer.Authorizer.keep_source_identity`."""
        self._authorizer.keep_source_identity(caller, role_arn)

    def environment(self, task: Task) -> dict[str, str]:
        """The environment variables of a task's process, credentials included.

        Raises:
            ComputeError: The role cannot be had, or a subnet does not exist.
        """
        self.principal(task)
        session = self._credentials.issue(
            task.role_arn.split(":")[4],
            role_name=task.role_arn.rsplit("/", 1)[-1],
            name=task.session,
            seconds=task.seconds,
            tags=task.tags,
            network=self._network(task),
            source_identity=task.source_identity,
            user_profile=task.user_profile,
        )
        return {
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
            ),
            "LANG": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": session.access_key,
            "AWS_SECRET_ACCESS_KEY": session.secret,
            "AWS_SESSION_TOKEN": session.token,
            "AWS_REGION": task.region,
            "AWS_DEFAULT_REGION": task.region,
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def _network(self, task: Task) -> Network | None:
        if not task.subnet_ids:
            return None
        ec2 = world.backend("ec2", task.account, task.region)
        found = {
            subnet.id: subnet.vpc_id
            for zone in list(ec2.subnets.values())
            for subnet in list(zone.values())
        }
        missing = [subnet for subnet in task.subnet_ids if subnet not in found]
        if missing:
            raise ComputeError(f"Account {task.account} has no subnet {', '.join(missing)}.")
        return Network(task.account, found[task.subnet_ids[0]], tuple(task.subnet_ids))

    def start(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        log: Path,
        stdin: bytes | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a process in a group of its own.

        Args:
            command: Program and arguments.
            folder: Working directory.
            environment: Its whole environment.
            log: File that standard output and error are appended to.
            stdin: What it can read from standard input.
        """
        given = subprocess.DEVNULL
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("ab"))
            source: Any = given
            if stdin is not None:
                source = stack.enter_context(tempfile.TemporaryFile())
                source.write(stdin)
                source.seek(0)
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=dict(environment),
                stdin=source,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with self._lock:
            self._running[process.pid] = process
            self._keys[process.pid] = environment.get("AWS_ACCESS_KEY_ID", "")
        return process

    def wait(self, process: subprocess.Popen[bytes], seconds: float) -> int | None:
        """Waits for a process; ends it with its children when the time is over.

        Returns:
            Its exit code, None when it ran out of time.
        """
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end(process)
            code = None
        else:
            with self._lock:
                self._forget(process)
        return code

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a process and everything that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
                break
        with self._lock:
            self._forget(process)

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        self._running.pop(process.pid, None)
        self._keys.pop(process.pid, None)

    def network_of(self, port: int) -> Network | None:
        """Where a process is that calls from a port of this machine, by whatever signature.

        A presigned address tells who signed it, and nothing of who uses it. Where there is no
        ``/proc``, every such call counts as made from outside any VPC.
        """
        with self._lock:
            keys = dict(self._keys)
        # The kernel's tables are read while they change: a line can be missing from one reading.
        for _ in range(_READINGS if keys else 0):
            inode = _socket_of(port)
            for process in Path("/proc").glob("[0-9]*") if inode else ():
                with contextlib.suppress(OSError):
                    # A process and its children are one session.
                    key = keys.get(os.getsid(int(process.name)))
                    if key and _holds(process, f"socket:[{inode}]"):
                        return self._credentials.network(key)
        return None

    def close(self) -> None:
        """Ends all processes, and forgets their files."""
        self.stopping.set()
        for process in list(self._running.values()):
            self.end(process)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _socket_of(port: int) -> str | None:
    """The inode of the socket that is connected from a local port."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                parts = line.split()
                local, state, inode = parts[1], parts[3], parts[9]
                if int(local.rpartition(":")[2], 16) == port and state == _ESTABLISHED:
                    return inode
    return None


def _holds(process: Path, link: str) -> bool:
    """Whether a process has something open; what it closes meanwhile it does not have."""
    for file in process.glob("fd/*"):
        with contextlib.suppress(OSError):
            if str(file.readlink()) == link:
                return True
    return False


def way_out(network: Network, region: str, serves: Callable[[str], bool]) -> str | None:
    """How a call leaves a VPC: the id of its endpoint for the service, or None by the internet.

    Args:
        network: Where the call comes from.
        region: Region of the call.
        serves: ``serves(service_name)``: whether an endpoint's service is the called one.

    Raises:
        ApiError: Neither an endpoint nor a route leads to the service.
    """
    ec2 = world.backend("ec2", network.account, region)
    for endpoint in list(ec2.vpc_end_points.values()):
        if endpoint.vpc_id == network.vpc_id and serves(endpoint.service_name):
            return str(endpoint.id)
    if any(_has_route(ec2, network.vpc_id, subnet) for subnet in network.subnet_ids):
        return None
    raise ApiError(
        "NetworkUnreachable",
        f"{network.vpc_id} of account {network.account} has neither a VPC endpoint for this service"
        " nor a route to the internet; on AWS the call would time out.",
        400,
    )


def _has_route(ec2: Any, vpc_id: str, subnet_id: str) -> bool:
    tables = [table for table in list(ec2.route_tables.values()) if table.vpc_id == vpc_id]
    own = [t for t in tables if any(a.get("SubnetId") == subnet_id for a in t.associations)]
    return any(
        route.destination_cidr_block == "0.0.0.0/0" and (route.nat_gateway or route.gateway)
        for table in own or [table for table in tables if table.main_association_id]
        for route in table.routes
    )
