"""Which stacks there are, in which order they go, and how one is opened."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi import automation as auto
from pulumi.automation import CommandError

from components.naming import HUB, in_order
from components.settings import stack_names

PROJECT_DIR = Path(__file__).resolve().parent.parent
POLICY_PACK = "policy"


class UnknownStackError(ValueError):
    """A stack that the project does not have."""


class StackError(RuntimeError):
    """A stack cannot be opened: its backend or secrets provider is out of reach, or refuses."""


def waves(
    names: Sequence[str], *, reverse: bool = False, known: Sequence[str] | None = None
) -> list[list[str]]:
    """The chosen stacks in order, wave by wave.

    Stacks of a wave go side by side; a wave waits for the one before it. The hub's policies name
    the environments' roles and VPC endpoints, so the hub comes last, and is destroyed first.

    Args:
        names: The chosen ones.
        reverse: Whether the last comes first.
        known: The stacks that there are; by default those of this checkout.

    Raises:
        UnknownStackError: naming the stacks that there are.
    """
    there = stack_names(PROJECT_DIR) if known is None else known
    unknown = sorted(set(names) - set(there))
    if unknown:
        raise UnknownStackError(
            f"there is no stack {', '.join(unknown)}; there are {', '.join(there)}"
        )
    ordered = [
        wave
        for wave in (
            [name for name in in_order(names) if name != HUB],
            [name for name in names if name == HUB][:1],
        )
        if wave
    ]
    return ordered[::-1] if reverse else ordered


@functools.cache
def cli() -> auto.PulumiCommand:
    """The engine's command line; its version is asked for once in a process."""
    return auto.PulumiCommand()


@functools.cache
def _work() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="mlops-")


_one_work = threading.Lock()


def work_folder() -> Path:
    """A new folder for files that the engine reads, which goes with the process.

    The Automation API's own folders would stay.
    """
    # Stacks are brought up side by side, and of two folders the one that the cache does not keep
    # would be removed with what is in it.
    with _one_work:
        work = _work()
    return Path(tempfile.mkdtemp(dir=work.name))


def open_stack(
    name: str,
    *,
    project_dir: Path = PROJECT_DIR,
    secrets_provider: str | None = None,
    env: Mapping[str, str] | None = None,
) -> auto.Stack:
    """A stack of the checked-in program, made in the backend when it is not there yet.

    The tracked ``Pulumi.yaml`` is not rewritten: backend and passphrase come from the environment.

    Raises:
        StackError: with what the engine said.
    """
    options = auto.LocalWorkspaceOptions(
        pulumi_command=cli(),
        secrets_provider=secrets_provider,
        env_vars=dict(env) if env else None,
    )
    try:
        return auto.create_or_select_stack(name, work_dir=str(project_dir), opts=options)
    except CommandError as error:
        said = str(error).rpartition("stderr: ")[2].strip()
        raise StackError(f"stack {name} cannot be opened: {said}") from None


def deployment(name: str, *, project_dir: Path = PROJECT_DIR) -> Mapping[str, Any]:
    """What a stack holds, as the engine exports it; empty when it was never updated or made."""
    workspace = auto.LocalWorkspace(work_dir=str(project_dir), pulumi_command=cli())
    try:
        return workspace.export_stack(name).deployment or {}
    except auto.StackNotFoundError:
        return {}
