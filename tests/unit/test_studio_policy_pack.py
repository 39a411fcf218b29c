"""Studio, the ways to data and the registry pass the policy pack, as the engine will judge it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlops_policy.model import Example, ResourceRule
from mlops_policy.registry import RULES

from tests.policy import harness
from tests.unit.conftest import run_program
from tests.unit.data_science import make_data, make_registry, make_studio

BY_THE_PROVIDER = {"required-tags"}
"""Kept by the provider's default tags, which mocks do not apply."""

PROGRAMS: dict[str, Callable[[], Any]] = {
    "studio": make_studio,
    "studio with shared outputs": lambda: make_studio({"share_notebook_outputs": True}),
    "data": make_data,
    "registry of dev": lambda: make_registry("dev"),
    "registry of the hub": lambda: make_registry("governance"),
    "protected": lambda: (make_studio(protect=True), make_data(protect=True)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_rule_is_violated(name: str) -> None:
    program = run_program(PROGRAMS[name])
    judged = 0
    violations: list[str] = []
    for rule in RULES:
        if not isinstance(rule, ResourceRule) or rule.name in BY_THE_PROVIDER:
            continue
        for resource in program.resources:
            outcome = harness.run(rule, Example(resource.type, resource.inputs, resource.name))
            judged += outcome.put_off is None
            violations += [f"{rule.name}: {text}" for text in outcome.violations]
    assert not violations, "\n".join(violations)
    assert judged > 30
