"""Saved plans: what was previewed and approved is exactly what is applied.

``preview --save-plans DIR`` writes the engine's update plan of each stack and a manifest; ``up
--plans DIR`` refuses anything that the manifest does not describe. The engine itself refuses an
update that would do more than its plan. :func:`applicable` says what is changed in a plan between
the two, and why.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from pulumi.runtime.rpc import UNKNOWN

from automation.runs import StackRun
from components import sources

MANIFEST = "manifest.json"

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
"""How the engine writes a reference to a resource."""


class PlanError(RuntimeError):
    """A plan does not fit what would be applied; the message says in what."""


@dataclass(frozen=True)
class Entry:
    """What a plan was made from.

    Attributes:
        stack: The stack.
        plan: SHA-256 of the plan file.
        program: SHA-256 over the files that decide what the program makes.
        commit: Commit of the checkout, empty outside of one.
        changes: Operation -> number of resources, as previewed.
    """

    stack: str
    plan: str
    program: str
    commit: str
    changes: dict[str, int]


def path(folder: Path, stack: str) -> Path:
    """The plan file of a stack."""
    return folder / f"{stack}.plan.json"


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.hexdigest()


def program_digest(project_dir: Path, stack: str) -> str:
    """SHA-256 over the program, its settings, templates, policy pack and pinned packages.

    Raises:
        FileNotFoundError: The folder is not the program's.
    """
    own = ("Pulumi.yaml", f"Pulumi.{stack}.yaml", "__main__.py")
    parts: list[bytes] = []
    for name, file in (
        *((name, project_dir / name) for name in own),
        *sources.files(project_dir),
    ):
        parts += [name.encode(), file.read_bytes()]
    return _digest(*parts)


def _commit(project_dir: Path) -> str:
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project_dir, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() if found.returncode == 0 else ""


def applicable(plan: dict[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    """A plan as it can be applied; two things in it are loosened or replaced, nothing else.

    A reference to a resource that does not exist yet becomes an unknown value among a component's
    outputs: the engine compares its empty id with the real one and refuses its own plan
    (pulumi/pulumi#16681). Inputs, which decide what is made, are left as they are.

    The role that planned becomes the role that applies, among the inputs of providers: a plan is
    made with a role that cannot write.

    Args:
        plan: The engine's plan.
        roles: ARN of a role that plans -> ARN of the role that applies.
    """
    changed = cast("dict[str, Any]", json.loads(json.dumps(plan)))
    for resource in changed["resourcePlans"].values():
        goal = resource.get("goal")
        if not goal:
            continue
        goal["outputDiff"] = _loosened(goal.get("outputDiff", {}))
        if goal["type"].startswith("pulumi:providers:"):
            goal["inputDiff"] = _renamed(goal.get("inputDiff", {}), roles)
    return changed


def _loosened(value: Any) -> Any:
    if isinstance(value, list):
        return [_loosened(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        if held.get(_SIGNATURE) == _RESOURCE and held.get("id") in (None, "", UNKNOWN):
            return UNKNOWN
        return {key: _loosened(item) for key, item in held.items()}
    return value


def _renamed(value: Any, roles: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return {key: _renamed(item, roles) for key, item in held.items()}
    if isinstance(value, str):
        for planning, applying in roles.items():
            value = value.replace(f'"{planning}"', f'"{applying}"')
    return value


def save(
    folder: Path, runs: Sequence[StackRun], project_dir: Path, roles: Mapping[str, str]
) -> Path:
    """Complete the plans that previews have written, and the manifest; other entries stay.

    Args:
        folder: Where the plans are.
        runs: The previews.
        project_dir: The program's folder.
        roles: As for :func:`applicable`.
    """
    manifest = folder / MANIFEST
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    for run in runs:
        entries.pop(run.stack, None)
        if run.ok:
            file = path(folder, run.stack)
            file.write_text(json.dumps(applicable(json.loads(file.read_text()), roles)))
            entries[run.stack] = asdict(
                Entry(
                    run.stack,
                    _digest(path(folder, run.stack).read_bytes()),
                    program_digest(project_dir, run.stack),
                    _commit(project_dir),
                    dict(run.changes),
                )
            )
    manifest.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")
    return manifest


def approved(folder: Path, stack: str, project_dir: Path) -> Path:
    """The plan file to apply.

    Raises:
        PlanError: there is no plan, it was changed, or the program is not the one it was made from.
    """
    manifest, plan = folder / MANIFEST, path(folder, stack)
    again = f"preview it again: python -m automation preview --stack {stack} --save-plans {folder}"
    if not manifest.exists() or not plan.exists():
        raise PlanError(f"there is no plan for {stack} in {folder}; {again}")
    entries = json.loads(manifest.read_text())
    if stack not in entries:
        raise PlanError(f"{manifest} does not name {stack}; {again}")
    entry = Entry(**entries[stack])
    if entry.plan != _digest(plan.read_bytes()):
        raise PlanError(f"{plan} is not the file that was previewed; {again}")
    if entry.program != program_digest(project_dir, stack):
        raise PlanError(
            f"the program or the settings of {stack} are not those that were previewed"
            f"{f' (commit {entry.commit[:12]})' if entry.commit else ''}; {again}"
        )
    return plan
