"""The platform's program: settings in, components, outputs. One run makes one stack."""

from __future__ import annotations

import asyncio
import atexit
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

# At the top, though not every stack offers templates: when main() runs, this folder is no longer
# among those that Python looks in for packages.
import automation.projects  # noqa: F401  # pyright: ignore[reportUnusedImport]
from components.settings import check_platform, load
from components.stacks.compose import compose

if TYPE_CHECKING:
    from components.stacks.self_service import Template


def _templates() -> Mapping[str, Template]:
    from automation.projects.templates import load as load_templates

    return load_templates()


async def main() -> dict[str, Any]:
    """The program: makes the stack's components; gives its outputs."""
    own = load(pulumi.Config(), pulumi.get_stack())
    check_platform(Path(__file__).parent, [own])
    outputs = await compose(own, _templates)
    # One turn of the event loop, in which all registrations begin: the SDK then waits for each of
    # them. Of those that have not begun it knows only the outputs, thousands, and looks at all that
    # are open each time that one comes in, which costs more than the rest of the program.
    await asyncio.sleep(0)
    return outputs


if __name__ == "__main__":
    # Loading packages makes objects by the hundred thousand, none of them garbage: to look for some
    # in between took a fifth of the program's time, and it ends before there is much. Python looks
    # once more when it ends, at all that is not frozen: half a second in which the engine waits.
    gc.disable()
    atexit.register(gc.freeze)
    pulumi.run(main)
