"""What happened, for people: on a terminal and as Markdown for a pull request."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from automation import costs
from automation.runs import StackRun, Step, Violation

_MARKS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "import": "="}
_SHOWN_OUTPUTS = (
    ("studio_url", "Studio"),
    ("studio_sign_in", "sign in by"),
    ("vpc_id", "VPC"),
    ("model_package_groups", "registry"),
    ("models_bucket", "models bucket"),
    ("data_bucket", "data bucket"),
    ("audit_bucket", "audit bucket"),
)
_PLAIN_EVERY = 50


class ProgressLines:
    """Progress: one line a stack that is rewritten on a terminal, plain lines elsewhere."""

    def __init__(self, stacks: Sequence[str], stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._texts = dict.fromkeys(stacks, "waiting")
        self._counts = dict.fromkeys(stacks, 0)
        self._drawn = 0

    def __call__(self, run: StackRun, what: str) -> None:
        """Tell of a step, or of the start or end of a run."""
        if what == "end":
            text = f"{'done' if run.ok else 'FAILED'} in {run.seconds:.0f} s, {changes_text(run)}"
        elif what == "start":
            # An update may be previewed first: each counts its own steps.
            self._counts[run.stack] = 0
            text = f"{run.verb} …"
        else:
            self._counts[run.stack] += 1
            text = f"{run.verb} {self._counts[run.stack]}  {what}"
        self._texts[run.stack] = text
        if self._live:
            self._draw()
        elif what in ("start", "end") or self._counts[run.stack] % _PLAIN_EVERY == 0:
            self._stream.write(f"{run.stack}: {text}\n")
            self._stream.flush()

    def _draw(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F")
        for stack, text in self._texts.items():
            self._stream.write(f"\x1b[2K{stack:<11} {text[:100]}\n")
        self._drawn = len(self._texts)
        self._stream.flush()


def changes_text(run: StackRun) -> str:
    """``12 create, 1 update``, or ``no changes``."""
    parts = [f"{count} {operation}" for operation, count in sorted(run.changes.items())]
    return ", ".join(parts) or "no changes"


def _violations(run: StackRun, *, mandatory: bool) -> list[Violation]:
    return [violation for violation in run.violations if violation.mandatory == mandatory]


def _estimated(runs: Sequence[StackRun]) -> dict[str, costs.Ledger]:
    """Stack -> what it holds, where the run has told all of it."""
    return {
        run.stack: run.held for run in runs if run.verb in ("preview", "up") and run.ok and run.held
    }


def text(runs: Sequence[StackRun], outputs: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """The closing summary on a terminal."""
    lines = [f"{'stack':<11} {'resources':>9} {'time':>6}  policies   result"]
    for run in runs:
        broken, advised = (len(_violations(run, mandatory=flag)) for flag in (True, False))
        policies = f"{broken} broken" if broken else (f"{advised} notes" if advised else "all kept")
        result = run.skipped or ("ok, " if run.ok else "FAILED, ") + changes_text(run)
        lines.append(
            f"{run.stack:<11} {run.resources:>9} {run.seconds:>5.0f}s  {policies:<10} {result}"
        )
    if estimated := _estimated(runs):
        lines += ["", *(costs.text(stack, held) for stack, held in estimated.items())]
    for run in runs:
        if run.note:
            lines += ["", f"{run.stack}: {run.note}"]
        for violation in _violations(run, mandatory=True):
            lines += ["", f"{run.stack}: {violation.policy} ({violation.resource})"]
            lines.append(f"  {violation.message}")
        for error in run.errors:
            lines += ["", f"{run.stack}: {error}"]
    for stack, values in (outputs or {}).items():
        shown = [(label, values[key]) for key, label in _SHOWN_OUTPUTS if values.get(key)]
        if shown:
            lines += ["", stack]
            lines += [
                f"  {label:<14} {', '.join(value) if isinstance(value, list) else value}"
                for label, value in shown
            ]
    return "\n".join(lines)


def markdown(runs: Sequence[StackRun]) -> str:
    """The summary for a pull request."""
    lines = [
        "## Platform preview",
        "",
        "| stack | changes | policies | time |",
        "| --- | --- | --- | --- |",
    ]
    for run in runs:
        broken, advised = (len(_violations(run, mandatory=flag)) for flag in (True, False))
        state = run.skipped or changes_text(run)
        lines.append(
            f"| {run.stack} | {state}{'' if run.ok or run.skipped else ' — **failed**'} | "
            f"{broken} broken, {advised} notes | {run.seconds:.0f} s |"
        )
    if estimated := _estimated(runs):
        lines += ["", *costs.markdown(estimated)]
    for run in runs:
        if run.steps:
            lines += ["", f"<details><summary>{run.stack}: {changes_text(run)}</summary>", ""]
            lines += [_line(step) for step in run.steps]
            lines += ["", "</details>"]
        if run.note:
            lines += ["", f"- **{run.stack}**: {run.note}"]
        for violation in run.violations:
            level = "must be mended" if violation.mandatory else "note"
            lines += [
                "",
                f"- **{run.stack}** `{violation.policy}` ({level}), {violation.resource}:",
            ]
            lines.append(f"  {violation.message}")
        lines += [f"\n```\n{run.stack}: {error}\n```" for error in run.errors]
    return "\n".join(lines) + "\n"


def _line(step: Step) -> str:
    changed = f" ({', '.join(step.properties)})" if step.properties else ""
    return (
        f"- `{_MARKS.get(step.operation, '?')}` {step.operation} `{step.type}` {step.name}{changed}"
    )
