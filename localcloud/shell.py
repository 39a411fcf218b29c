"""Print the shell commands by which `source localcloud/activate` changes a shell, and undoes it.

The shell evaluates what this prints, so every value is quoted, and on an error nothing at all is
printed to standard output.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping

from localcloud.environment import (
    NotLocalError,
    NotRunningError,
    ensure_loopback,
    local_environment,
    running_instance,
    write_aws_files,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def shell_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Commands for bash and zsh that turn one set of exported variables into another.

    Variables whose names no shell could assign are left alone.
    """
    names = sorted(name for name in {*before, *after} if _NAME.fullmatch(name))
    return [
        f"export {name}={shlex.quote(after[name])}" if name in after else f"unset {name}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def activation(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The script that activates, and defines `deactivate_localcloud`, which undoes it."""
    undo = "\n".join(f"  {command}" for command in shell_changes(after, before))
    prompt = (
        'if [ -n "${PS1-}" ]; then _localcloud_prompt=$PS1; PS1="(localcloud) $PS1"; fi',
        'if [ -n "${_localcloud_prompt-}" ]; then PS1=$_localcloud_prompt; fi',
    )
    return "\n".join(
        [
            *shell_changes(before, after),
            prompt[0],
            "deactivate_localcloud() {",
            undo,
            f"  {prompt[1]}",
            "  unset _localcloud_prompt",
            "  unset -f deactivate_localcloud",
            "  hash -r 2>/dev/null || true",
            "}",
        ]
    )


def main() -> int:
    """Print the activation script for the running instance.

    Returns:
        0, or 1 with the reason on standard error.
    """
    # Set by `activate` to import this package; it is not part of the user's shell.
    before = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        instance = running_instance()
        after = local_environment(before, instance)
        # Profiles of people, which a demo has added, stay.
        if not instance.paths.aws_config(instance.id).exists():
            write_aws_files(instance)
        ensure_loopback(after)
    except (NotRunningError, NotLocalError) as error:
        sys.stderr.write(f"localcloud: {error}\n")
        return 1
    sys.stdout.write(activation(before, after) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
