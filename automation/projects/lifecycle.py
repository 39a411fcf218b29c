"""The states of a project and what vending does in each: the tables that run.

``python -m automation.projects.lifecycle docs/project-states.md`` writes the page of them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class State(StrEnum):
    """What is known of a project, by its stack."""

    ABSENT = "Absent"
    BEGUN = "Begun"
    KNOWN = "Known"


class Command(StrEnum):
    """What people and products ask for."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Step(StrEnum):
    """One thing that vending does, in the words of the page."""

    COMPARE = "refuse it when it is asked for differently than before"
    CHECK_NAME = "refuse a name that is too long, or could not be told apart from another's"
    CHECK_REPOSITORIES = "refuse repositories that are not there, or hold something"
    NOTE = "keep what was asked for in the project's stack"
    CHECK_MODELS = "when told to delete models: refuse it while a version is live elsewhere"
    CLOSE = "tell the deployment function which targets are left: nothing more goes there"
    UNDEPLOY = "take away what was deployed to targets that go"
    MAKE = "bring the project's stack up, with the policy pack"
    FILL = "fill the repositories that are still empty"
    FORGET_PIPELINE = "delete the pipeline that the build made in SageMaker"
    FORGET_ARTIFACTS = "empty the buckets of the pipelines' artifacts"
    ARCHIVE = "archive the repositories with all their history"
    ERASE = "when told to delete data: empty the buckets of batch predictions, which go then"
    FORGET_MODELS = (
        "when told to delete models: archive a record of versions, cards and what the ledgers have"
        " of them, and delete them with their promoted artifacts; the groups go then"
    )
    DESTROY = "destroy the project's stack; groups, versions, cards and files stay otherwise"
    FORGET = "remove the empty stack"


@dataclass(frozen=True)
class Way:
    """What a command does in a state.

    Attributes:
        steps: In order; the first that fails ends it.
        ends: The project's state when all are done.
        fails: Its state when one was not. The same command goes on from there.
    """

    steps: tuple[Step, ...]
    ends: State
    fails: tuple[State, ...]


_NEW = (Step.CHECK_NAME, Step.CHECK_REPOSITORIES, Step.NOTE, Step.MAKE, Step.FILL)

WAYS: Mapping[tuple[Command, State], Way] = {
    (Command.CREATE, State.ABSENT): Way(
        _NEW, State.KNOWN, (State.ABSENT, State.BEGUN, State.KNOWN)
    ),
    (Command.CREATE, State.BEGUN): Way(_NEW, State.KNOWN, (State.BEGUN, State.KNOWN)),
    (Command.CREATE, State.KNOWN): Way(
        (Step.COMPARE, Step.MAKE, Step.FILL), State.KNOWN, (State.KNOWN,)
    ),
    (Command.UPDATE, State.KNOWN): Way(
        (Step.CLOSE, Step.UNDEPLOY, Step.MAKE), State.KNOWN, (State.KNOWN,)
    ),
    (Command.DELETE, State.BEGUN): Way((Step.DESTROY, Step.FORGET), State.ABSENT, (State.BEGUN,)),
    (Command.DELETE, State.KNOWN): Way(
        (
            Step.CHECK_MODELS, Step.UNDEPLOY, Step.FORGET_PIPELINE, Step.FORGET_ARTIFACTS,
            Step.ARCHIVE, Step.ERASE, Step.FORGET_MODELS, Step.DESTROY, Step.FORGET,
        ),
        State.ABSENT,
        (State.KNOWN, State.BEGUN),
    ),
}  # fmt: skip
"""A command in a state that is not here is refused: there is no such project."""

MEANINGS: Mapping[State, str] = {
    State.ABSENT: "It has no stack. Groups with versions of an earlier project of the name may be"
    " there, and buckets of its batch predictions; a new one takes them over.",
    State.BEGUN: "It has a stack that does not say what was asked for, and holds nothing.",
    State.KNOWN: "Its stack says what was asked for. It may be half-made or half-removed: any"
    " command goes on from there.",
}


def state(held: Mapping[str, Any] | None) -> State:
    """A project's state.

    Args:
        held: What its stack says was asked for; empty when it says nothing, None without a stack.
    """
    if held is None:
        return State.ABSENT
    return State.KNOWN if held else State.BEGUN


def page() -> str:
    """The page, in Markdown."""
    lines = [
        "# States of a project",
        "",
        "Made by `python -m automation.projects.lifecycle docs/project-states.md` from the tables",
        "in `automation/projects/lifecycle.py`, which are what runs. Do not edit it by hand.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"  [*] --> {State.ABSENT}",
    ]
    for (command, source), way in WAYS.items():
        lines.append(f"  {source} --> {way.ends}: {command}")
        lines += [
            f"  {source} --> {state}: {command} fails"
            for state in way.fails
            if state not in (source, way.ends)
        ]
    lines += ["```", "", "| State | Meaning |", "| --- | --- |"]
    lines += [f"| `{state}` | {MEANINGS[state]} |" for state in State]
    lines += [
        "",
        "A step that fails ends the command; the same command, given again, goes on.",
        "",
        "| Command | In | Steps | Then | When one fails |",
        "| --- | --- | --- | --- | --- |",
    ]
    for command in Command:
        for source in State:
            way = WAYS.get((command, source))
            steps = "; ".join(way.steps) if way else "refuse: there is no such project"
            ends = f"`{way.ends}`" if way else f"`{source}`"
            fails = " or ".join(f"`{state}`" for state in way.fails) if way else ""
            lines.append(f"| `{command}` | `{source}` | {steps} | {ends} | {fails} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")
