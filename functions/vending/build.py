"""What the vending build runs: a command of the automation, and what became of it.

``python -m functions.vending.build`` in a checkout of the platform reads ``COMMAND`` (``projects``,
``users``, ``domains`` or ``accounts``), ``ACTION``, ``NAME``, ``IDENTITY``, ``SETTINGS`` and
``OUTPUTS`` (both JSON) of its environment, and leaves the result for :mod:`.answer`. It ends with
the exit code of the command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .answer import Result, leave
from .requests import KINDS, a

_LINES_OF_A_CAUSE = 20

Run = Callable[[Sequence[str]], tuple[int, str]]
"""Runs a command; gives its exit code and the end of what it said."""

Held = Callable[[str, str], str | None]
"""Command and name -> the id that the stack has; empty when it tells none, None without a stack."""

Told = Callable[[str, str], Mapping[str, str]]
"""Command and name -> outputs of what was made that its request does not hold."""

_KEPT = {kind.command: kind.kept for kind in KINDS.values()}


def vend(environ: Mapping[str, str], run: Run, held: Held, told: Told) -> Result:
    """Does what the environment asks for.

    A removal touches nothing but what has the given id: what was rolled back may have failed
    because another has its name.

    Raises:
        KeyError: A variable is missing.
    """
    command, action = environ["COMMAND"], environ["ACTION"]
    name, identity = environ["NAME"], environ["IDENTITY"]
    known, noun = held(command, name), command.removesuffix("s")
    if action == "delete" and (known is None or known not in ("", identity)):
        return Result(True, f"There is no {noun} {name} with the id {identity} to remove.")
    if action != "delete" and known and known != identity:
        return Result(False, f"There is {a(noun)} {name} already: choose another name.")
    left = told(command, name) if action == "delete" else {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.yaml"
        # JSON is YAML.
        file.write_text(environ["SETTINGS"], "utf-8")
        given = [] if action == "delete" else ["--file", str(file)]
        code, said = run([sys.executable, "-m", "automation", command, action, name, *given])
    if code:
        return Result(False, f"{command} {action} {name} ended with exit code {code}: {said}")
    if action == "delete":
        return Result(True, _KEPT[command] if left else "", json.loads(environ["OUTPUTS"]))
    return Result(True, data={**json.loads(environ["OUTPUTS"]), **told(command, name)})


def run_command(command: Sequence[str]) -> tuple[int, str]:
    """Runs a command, shows what it says, and keeps the end of it."""
    last: deque[str] = deque(maxlen=_LINES_OF_A_CAUSE)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            last.append(line)
    return process.returncode, "".join(last).strip()


def held_by_stack(command: str, name: str) -> str | None:
    """What :data:`Held` tells, from the stacks of what was vended."""
    from automation import cli

    vended = cli.projects() if command == "projects" else cli.administered(command)
    held = vended.held(name)
    return None if held is None else str(held.get("id", ""))


def told_by_stack(command: str, name: str) -> Mapping[str, str]:
    """What :data:`Told` tells, for the kinds that have such outputs."""
    if not any(kind.told for kind in KINDS.values() if kind.command == command):
        return {}
    from automation import cli

    return cli.administered(command).told(name)


def main() -> int:
    """Vends, leaves the result, and gives the exit code."""
    try:
        result = vend(os.environ, run_command, held_by_stack, told_by_stack)
    except Exception as error:
        # Whatever it is, whoever launched the product has to be told.
        leave(Result(False, f"{type(error).__name__}: {error}"))
        raise
    leave(result)
    if result.reason:
        sys.stdout.write(result.reason + "\n")
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
