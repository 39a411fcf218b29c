"""Decide which engine local runs use, make it ready, and remember it under a stable path."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.engine.build import build_engine, built_engine
from localcloud.engine.official import find_official
from localcloud.engine.shims import without_logs, write_language_host, write_providers
from localcloud.paths import CHECKOUT, Paths


@dataclass(frozen=True)
class Engine:
    """An engine that is ready for use.

    Args:
        executable: The `pulumi` to run.
        official: Whether it is an official distribution, with a language host of its own.
    """

    executable: Path
    official: bool


def ensure_engine(
    paths: Paths = CHECKOUT,
    env: Mapping[str, str] = os.environ,
    report: Callable[[str], object] = sys.stderr.write,
    *,
    terminal: bool = False,
) -> Engine:
    """Make an engine and the local providers ready; quick when they are.

    Afterwards `paths.current_engine` is a folder whose `pulumi` is the engine.

    Args:
        paths: The checkout.
        env: Where to look for Pulumi and Go, and the machine's Go settings.
        report: Takes progress text of a build.
        terminal: Whether `report` leads to a terminal.

    Raises:
        EngineError: The official Pulumi is too old, or there is none and none can be built.
    """
    python = Path(sys.executable)
    # Our own engine stands on PATH in an activated shell; it is no official one.
    outside = {**env, "PATH": _without(env.get("PATH", os.defpath), paths.engines)}
    official = find_official(outside)
    if official is not None:
        _point(paths, official.executable)
    else:
        folder = built_engine(paths.engines)
        if folder is None:
            folder = build_engine(paths.engines, outside, report, terminal=terminal)
        write_language_host(folder, python, paths)
        _point(paths, folder / "pulumi")
    write_providers(python, paths)
    without_logs(paths)
    return Engine(paths.current_engine / "pulumi", official=official is not None)


def _without(search_path: str, folder: Path) -> str:
    return os.pathsep.join(
        entry for entry in search_path.split(os.pathsep) if not Path(entry).is_relative_to(folder)
    )


def _point(paths: Paths, executable: Path) -> None:
    """Make `paths.current_engine` hold a link to an executable, and nothing else.

    Only the one program is linked, so that putting the folder on PATH brings no neighbours of an
    official `pulumi` in, and the CLI still finds what is bundled with it: it resolves the link.
    """
    paths.current_engine.mkdir(parents=True, exist_ok=True)
    link = paths.current_engine / "pulumi"
    if link.is_symlink() and link.readlink() == executable:
        return
    aside = paths.current_engine / f".pulumi.{os.getpid()}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(executable)
    aside.replace(link)
