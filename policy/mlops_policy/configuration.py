"""The JSON schema of the pack's configuration: ``python -m mlops_policy.configuration FILE``.

What ``--policy-pack-config`` takes: rule -> level, or an object with the rule's options and its
``enforcementLevel``. It is kept in ``policy/config.schema.json``, so that a program that configures
the pack can check what it was given without loading the rules.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pulumi_policy import EnforcementLevel

from mlops_policy.model import Rule
from mlops_policy.registry import RULES

LEVEL = "enforcementLevel"
"""The key that the engine takes a rule's level from, beside the rule's own options."""


def schema() -> dict[str, Any]:
    """The schema: nothing that the pack does not know is allowed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the policy pack mlops",
        "type": "object",
        "properties": {rule.name: _configured(rule) for rule in RULES},
        "additionalProperties": False,
        "$defs": {"level": {"enum": [level.value for level in EnforcementLevel]}},
    }


def _configured(rule: Rule) -> dict[str, Any]:
    level = {"$ref": "#/$defs/level"}
    options = {
        name: {**option.schema, "description": option.description}
        for name, option in rule.options.items()
    }
    return {
        "description": rule.title,
        "if": {"type": "object"},
        "then": {
            "properties": {LEVEL: level, **options},
            "additionalProperties": False,
        },
        "else": level,
    }


def text() -> str:
    """The schema as it is kept."""
    return json.dumps(schema(), indent=2) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Writes the schema to the file that is given."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m mlops_policy.configuration FILE")
    Path(arguments[0]).write_text(text())


if __name__ == "__main__":
    main(sys.argv[1:])
