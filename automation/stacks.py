"""Which stacks there are, in which order they go, and how one is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pulumi import automation as auto
from pulumi.automation import CommandError

from components.naming import ENVIRONMENTS, WORKLOAD_ENVIRONMENTS

PROJECT_DIR = Path(__file__).resolve().parent.parent
POLICY_PACK = "policy"

WAVES: tuple[tuple[str, ...], ...] = (WORKLOAD_ENVIRONMENTS, ("governance",))
"""Stacks of a wave go side by side; a wave waits for the one before it. The hub's policies name the
environments' roles and VPC endpoints, so the hub comes last, and is destroyed first."""


class UnknownStackError(ValueError):
    """A stack that the project does not have."""


class StackError(RuntimeError):
    """A stack cannot be opened: its backend or secrets provider is out of reach, or refuses."""


def waves(names: Sequence[str], *, reverse: bool = False) -> list[list[str]]:
    """The chosen stacks in order, wave by wave.

    Raises:
        UnknownStackError: naming the stacks that there are.
    """
    unknown = sorted(set(names) - set(ENVIRONMENTS))
    if unknown:
        raise UnknownStackError(
            f"there is no stack {', '.join(unknown)}; there are {', '.join(ENVIRONMENTS)}"
        )
    chosen = [[name for name in wave if name in names] for wave in WAVES]
    ordered = [wave for wave in chosen if wave]
    return ordered[::-1] if reverse else ordered


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
        secrets_provider=secrets_provider, env_vars=dict(env) if env else None
    )
    try:
        return auto.create_or_select_stack(name, work_dir=str(project_dir), opts=options)
    except CommandError as error:
        said = str(error).rpartition("stderr: ")[2].strip()
        raise StackError(f"stack {name} cannot be opened: {said}") from None
