"""docs/policies.md is what the pack generates, and says all that a person needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlops_policy import documentation
from mlops_policy.model import Rule
from mlops_policy.registry import RULES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "policies.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == documentation.text(), (
        "run: PYTHONPATH=policy python -m mlops_policy.documentation docs/policies.md"
    )


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    target = tmp_path / "policies.md"

    documentation.main([str(target)])

    assert target.read_text() == documentation.text()
    with pytest.raises(SystemExit, match="usage"):
        documentation.main([])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_section_shows_level_options_and_both_examples(rule: Rule) -> None:
    start = PAGE.read_text().index(f"\n### {rule.name}\n")
    section = PAGE.read_text()[start + 1 :].split("\n### ")[0].split("\n## ")[0]

    assert f"Level: {rule.level.value}. Severity: {rule.severity.value}." in section
    for name, option in rule.options.items():
        if name != "exempt":
            assert f"| `{name}` |" in section
            assert json.dumps(option.default) in section
    examples = section.split("```yaml\n")[1:]
    assert len(examples) == 2
    for text in examples:
        shown: dict[str, Any] = yaml.safe_load(text.split("```")[0])
        assert all("type" in resource for resource in shown["resources"].values())
