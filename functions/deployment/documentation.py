"""Writes the page of the state machines from the tables that run.

``python -m functions.deployment.documentation docs/state-machines.md``
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from ..promotion.outcomes import OUTCOMES
from .gate import CHECKS
from .machine import DEPLOYMENT, EFFECTS, MEANINGS, VERSION, Approval, Kind, Status

_HEAD = """\
# State machines

Made by `python -m functions.deployment.documentation docs/state-machines.md` from the tables in
`functions/promotion/` and `functions/deployment/`, which are what runs. Do not edit it by hand.
"""

_PROMOTION = """\
## From dev to the hub

Each delivery of an approval in dev ends in one of these ways; the ledger of promotions has the last
one of each version.
"""

_VERSION = """\
## A model version

A version in the hub's registry. An event only tells the deployment function where to look: what it
does depends on what the registry says when the event is handled, so duplicates and late events
change nothing.
"""

_DEPLOYMENT = """\
## A deployment

One attempt to bring a version to an environment, an item of the ledger. In an environment one
attempt at most is `Deploying`, and one at most is `Live`.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in lines]


def _diagram(arrows: Iterable[tuple[str, str, str]]) -> list[str]:
    lines = [f"  {source} --> {target}: {label}" for source, target, label in arrows]
    return ["```mermaid", "stateDiagram-v2", *lines, "```"]


def _place(state: Status | Approval | None) -> str:
    return "[*]" if state is None else state.value


def page() -> str:
    """The page, as Markdown."""
    effects = {state: "; ".join(effect.value for effect in EFFECTS[state]) for state in Approval}
    checks = [(f"`{kind.value}`", ", ".join(CHECKS[kind])) for kind in Kind]
    ends = [state for state in Status if all(row.source is not state for row in DEPLOYMENT)]
    lines = [
        _HEAD,
        _PROMOTION,
        *_table(
            ("Outcome", "When", "The message"),
            ((f"`{outcome}`", end.when, end.fate) for outcome, end in OUTCOMES.items()),
        ),
        "",
        _VERSION,
        *_diagram(
            [(_place(row.source), row.target.value, row.by) for row in VERSION]
            + [(Approval.GONE.value, "[*]", "its number is never used again")]
        ),
        "",
        *_table(
            ("From", "To", "By", "What the deployment function does"),
            (
                (
                    f"`{row.source.value}`" if row.source else "(none)",
                    f"`{row.target.value}`",
                    row.by,
                    effects[row.target],
                )
                for row in VERSION
            ),
        ),
        "",
        _DEPLOYMENT,
        *_diagram(
            [(_place(row.source), row.target.value, row.trigger.value) for row in DEPLOYMENT]
            + [(state.value, "[*]", "stays on record") for state in ends]
        ),
        "",
        *_table(
            ("Status", "Meaning"),
            ((f"`{state.value}`", MEANINGS[state]) for state in Status),
        ),
        "",
        *_table(
            ("From", "Trigger", "To", "When"),
            (
                (
                    f"`{row.source.value}`" if row.source else "(none)",
                    row.trigger.value,
                    f"`{row.target.value}`",
                    row.when,
                )
                for row in DEPLOYMENT
            ),
        ),
        "",
        "What the gate checks before a run may deploy, in this order:",
        "",
        *_table(("Kind", "Checks"), checks),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
