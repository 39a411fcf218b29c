"""Types of many rendered repositories in one run of pyright, each by its own settings."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automation.projects import templates
from tests.seed_code.build_repository import run

IN_TORCH = tuple(known.id for known in templates.load().values() if "_torch" in known.extends)
"""Templates whose steps have the packages of requirements/genai.txt: tests/genai checks those."""
_OF_THE_WHOLE = ("exclude", "extraPaths")
"""Settings that name folders of a repository, which here are below another one."""


@dataclass(frozen=True)
class Part:
    """A part of a rendered build repository that one environment has the packages of.

    Attributes:
        template: Its folder's name.
        names: Files and folders of the repository.
    """

    template: str
    names: tuple[str, ...]


def of_pipelines(template: str) -> Part:
    """What writes and runs a pipeline."""
    return Part(template, ("pipelinekit", "pipeline.py", "run_pipeline.py", "build_image.py"))


def of_steps(template: str) -> Part:
    """What runs in containers."""
    return Part(template, ("steps", "image/program"))


def type_check(folder: Path, parts: Sequence[Part], interpreter: str) -> list[str]:
    """What is wrong with the types of some parts.

    Args:
        folder: Of ``{template}/build`` for each template.
        parts: What is checked.
        interpreter: Variable with the interpreter that has their packages.

    Returns:
        A line for each fault.
    """
    settings = [
        tomllib.loads((folder / part.template / "build" / "pyproject.toml").read_text("utf-8"))
        for part in parts
    ]
    first, *others = [found["tool"]["pyright"] for found in settings]
    assert first["typeCheckingMode"] == "strict"
    assert all(other == first for other in others), "they all have the settings of _base"
    roots = [f"{part.template}/build" for part in parts]
    included = [
        f"{root}/{name}"
        for root, part in zip(roots, parts, strict=True)
        for name in part.names
        if (folder / root / name).exists()
    ]
    whole = {
        **{name: value for name, value in first.items() if name not in _OF_THE_WHOLE},
        "include": included,
        "executionEnvironments": [
            {"root": root, "extraPaths": [f"{root}/{path}" for path in first["extraPaths"]]}
            for root in roots
        ],
    }
    file = folder / f"{interpreter.lower()}.json"
    file.write_text(json.dumps(whole), "utf-8")
    command = (
        f'exec "{sys.executable}" -m pyright --outputjson --pythonpath "${interpreter}"'
        f' --project "{file.name}"'
    )
    done = run(folder, "sh", "-c", command)
    told = json.loads(done.stdout)
    assert told["summary"]["filesAnalyzed"] >= len(included), done.stdout
    return [
        f"{Path(item['file']).relative_to(folder)}:{item['range']['start']['line'] + 1}:"
        f" {item['message']}"
        for item in told["generalDiagnostics"]
        if item["severity"] == "error"
    ]
