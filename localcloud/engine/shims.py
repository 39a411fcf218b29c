"""Write the small launchers that the CLI starts: our language host and the local AWS providers.

The language host lies beside the `pulumi` that was built, where the CLI looks for bundled plugins.
The providers lie in the plugin cache below the local PULUMI_HOME, under the exact version of the
SDK package that asks for them: found without a look at the network, with the version checked by the
CLI itself, and with an official CLI just the same. Neither is on PATH, where other projects could
pick them up by mistake.
"""

from __future__ import annotations

import importlib.metadata
import shlex
from pathlib import Path

from localcloud.paths import Paths
from localcloud.whole_files import write_whole

_PROVIDERS = {
    "aws": ("pulumi-aws", "localcloud.provider"),
    "awsx": ("pulumi-awsx", "localcloud.awsx"),
}
"""Plugin name -> Python distribution that fixes its version, module that serves it."""


def write_language_host(engine: Path, python: Path, paths: Paths) -> None:
    """Put our language host beside a CLI that was built from source.

    Args:
        engine: Folder of that CLI.
        python: Interpreter that has the Pulumi SDK.
        paths: The checkout that has the `localcloud` package.
    """
    _write(
        engine / "pulumi-language-python",
        _launcher(python, "localcloud.engine.language_host", paths, str(engine)),
    )


def write_providers(python: Path, paths: Paths) -> None:
    """Put the local AWS providers into the local plugin cache."""
    for name, (distribution, module) in _PROVIDERS.items():
        version = importlib.metadata.version(distribution)
        folder = paths.plugins / f"resource-{name}-v{version}"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"pulumi-resource-{name}", _launcher(python, module, paths))


def without_logs(paths: Paths) -> None:
    """Have the CLI keep no log of each command below the local PULUMI_HOME.

    Nothing reads them here, and compressing and encrypting them is up to a tenth of what a command
    costs. No setting turns them off, but a file in the folder's place does; a folder that is there
    already stays.
    """
    if not (logs := paths.pulumi_home / "logs").exists():
        logs.touch()


def _launcher(python: Path, module: str, paths: Paths, *arguments: str) -> str:
    # The checkout is put on the module search path of this one process: a PYTHONPATH would reach
    # the user's program too, and the working directory (-P) is that program, not this package.
    # What a plugin loads stays: garbage is looked for less often among the many objects.
    code = (
        "import gc, runpy, sys; gc.set_threshold(100_000, 20, 20); "
        f"sys.path.insert(0, {str(paths.root)!r}); "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    command = shlex.join([str(python), "-P", "-u", "-c", code, *arguments])
    return f'#!/bin/sh\nexec {command} "$@"\n'


def _write(path: Path, content: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return
    write_whole(path, content, 0o755)
