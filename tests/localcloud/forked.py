"""Emulators as forks of one process per test worker, which has moto and AWS's models loaded.

Loading them takes most of an emulator's first seconds, and dozens of test files start one. How a
person's emulator starts is what ``test_emulator_process.py`` and the end-to-end tests start.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from localcloud.emulator.daemon import Process

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.localcloud.preloaded"])


class _Forked:
    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()


def spawn(settings: str, folder: Path, environment: Mapping[str, str], log: Path) -> Process:
    """What :func:`localcloud.emulator.daemon.start` starts its process with."""
    process = _FORKS.Process(
        target=_serve, args=(settings, str(folder), dict(environment), str(log)), daemon=True
    )
    process.start()
    return _Forked(process)


def _serve(settings: str, folder: str, environment: dict[str, str], log: str) -> None:
    from localcloud.emulator import process

    os.setsid()
    os.chdir(folder)
    # moto's settings stand in the environment of the process that loaded it.
    given = {name: value for name, value in os.environ.items() if name.startswith("MOTO_")}
    os.environ.clear()
    os.environ.update(given | environment)
    with open(log, "wb") as output:  # noqa: PTH123 a relative path would be the new folder's
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    process.run(settings)
