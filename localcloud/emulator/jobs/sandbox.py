"""Starts a container's program, watches it, and ends it when the emulator is gone.

Run as a script, by path: ``sandbox.py <JSON>``; needs nothing but the standard library. In a mount
namespace of its own (``unshare --mount`` came before it) it puts the job's folder at ``/opt/ml``,
where the rest of ``/opt`` stays what it is.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

_POLL_SECONDS = 0.1
_MS_BIND, _MS_REC = 0x1000, 0x4000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_OPT = Path("/opt")


def _bind(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (os.fsencode(source), os.fsencode(target), None, _MS_BIND | _MS_REC, None)
    if libc.mount(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"Cannot mount {source} at {target}")


def place(ml: Path, stage: Path, own: Mapping[str, str]) -> None:
    """Makes folders appear below ``/opt``, for this process and its children alone.

    Args:
        ml: The folder that becomes ``/opt/ml``.
        stage: An empty folder that becomes ``/opt``.
        own: Path below ``/opt`` -> where the image's folder or file of that name lies.
    """
    entries = {entry.name: entry for entry in _OPT.iterdir() if entry.name != "ml"}
    for name, entry in {**entries, **{Path(k).name: Path(v) for k, v in own.items()}}.items():
        copy = stage / name
        if entry.is_symlink():
            copy.symlink_to(entry.readlink())
        elif entry.is_dir():
            copy.mkdir()
            _bind(entry, copy)
        else:
            copy.touch()
            _bind(entry, copy)
    (stage / "ml").mkdir()
    _bind(ml, stage / "ml")
    _bind(stage, _OPT)


def loopback_up() -> None:
    """Lets the programs of a network namespace talk to each other, and to nobody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", _IFF_UP)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


def bridge(address: str, port: int) -> None:
    """Hands what is asked on a Unix socket on to a port, which may be of another network.

    Args:
        address: The socket; made here.
        port: Of this network namespace's own interface.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen()

    def accept() -> None:
        while True:
            outer, _ = listener.accept()
            threading.Thread(target=_joined, args=(outer, port), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _joined(outer: socket.socket, port: int) -> None:
    with outer:
        try:
            inner = socket.create_connection(("127.0.0.1", port))
        except OSError:
            return  # Nobody listens yet: the caller sees a connection that breaks off.
        with inner:
            answers = threading.Thread(target=_passed, args=(inner, outer), daemon=True)
            answers.start()
            _passed(outer, inner)
            answers.join()


def _passed(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65_536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: the other one learns it from a read that ends.
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def main() -> int:
    """Runs the program to its end; gives its exit code, 128 and the signal when it was killed."""
    parent = os.getppid()
    given = json.loads(sys.argv[1])
    if given["stage"]:
        place(Path(given["ml"]), Path(given["stage"]), given["own"])
    if given["own_network"]:
        loopback_up()
    process = subprocess.Popen(given["command"], cwd=given["folder"])
    if given["address"]:
        bridge(given["address"], given["port"])

    def stop(number: int, frame: object) -> None:
        del number, frame
        process.terminate()

    signal.signal(signal.SIGTERM, stop)
    while True:
        try:
            code = process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                # The emulator was killed: everything of this job goes with it.
                os.killpg(0, signal.SIGKILL)
            time.sleep(0)
            continue
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
