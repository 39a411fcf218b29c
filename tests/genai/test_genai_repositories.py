"""Types of what runs with torch are right, by each repository's own settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud import environments
from tests.seed_code.build_repository import render
from tests.seed_code.typechecking import IN_TORCH, of_steps, type_check


def test_types_of_the_steps_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_PYTHON", str(environments.python("genai")))
    for template in IN_TORCH:
        render(tmp_path / template / "build", template)
    told = type_check(tmp_path, [of_steps(template) for template in IN_TORCH], "GENAI_PYTHON")
    assert told == [], "\n".join(told)
