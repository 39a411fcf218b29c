"""policy/config.schema.json is what the rules take, no more and no less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mlops_policy import configuration
from mlops_policy.model import Rule
from mlops_policy.registry import RULES

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "policy" / "config.schema.json"


def accepted(given: Any) -> bool:
    return Draft202012Validator(json.loads(SCHEMA.read_text())).is_valid(given)


def test_the_schema_is_up_to_date_and_valid(tmp_path: Path) -> None:
    target = tmp_path / "schema.json"
    configuration.main([str(target)])
    assert SCHEMA.read_text() == target.read_text(), (
        "run: PYTHONPATH=policy python -m mlops_policy.configuration policy/config.schema.json"
    )
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))
    with pytest.raises(SystemExit, match="usage"):
        configuration.main([])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_takes_its_own_defaults_and_a_level(rule: Rule) -> None:
    options = rule.settings({})
    assert accepted({rule.name: {**options, "enforcementLevel": "advisory"}})
    assert accepted({rule.name: "disabled"})
    assert not accepted({rule.name: {**options, "misspelt": 1}})
    assert not accepted({rule.name: "off"})
    assert not accepted({rule.name: {"exempt": "all"}})


def test_an_unknown_rule_is_refused() -> None:
    assert not accepted({"allowed-region": "advisory"})
