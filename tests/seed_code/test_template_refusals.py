"""Each template's tests show each refusal: the matrix has no empty cell."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from automation.projects import templates
from tests.seed_code.template_refusals import WHAT

ROOT = Path(__file__).parents[2]
FILES = ("tests/seed_code/test_template_*.py", "tests/genai/test_genai_*.py")


def cells(module: Any) -> list[str]:
    """Ids of the cases of a file's test of refusals; none where it has no such test."""
    test = getattr(module, "test_it_refuses", None)
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    return [str(case) for mark in marks for case in mark.kwargs["ids"]]


def test_every_template_shows_every_refusal() -> None:
    found = [
        case
        for pattern in FILES
        for file in ROOT.glob(pattern)
        for case in cells(importlib.import_module(".".join(file.relative_to(ROOT).parts)[:-3]))
    ]
    wanted = [f"{template}: {what}" for template in templates.load() for what in WHAT]
    assert sorted(found) == sorted(wanted)
