"""Studio, the ways to data and the registry pass the policy pack, as the engine will judge it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlops_policy.model import Example

from tests.policy import harness
from tests.unit.conftest import run_program
from tests.unit.data_science import make_data, make_registry, make_studio

PROGRAMS: dict[str, Callable[[], Any]] = {
    "studio": make_studio,
    "studio with shared outputs": lambda: make_studio({"share_notebook_outputs": True}),
    "data": make_data,
    "registry of dev": lambda: make_registry("dev"),
    "registry of the hub": lambda: make_registry("governance"),
    "registry of the hub, shared by RAM": lambda: make_registry("governance", sharing="ram"),
    "protected": lambda: (make_studio(protect=True), make_data(protect=True)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_rule_is_violated(name: str) -> None:
    program = run_program(PROGRAMS[name])
    count, violations = harness.judged(
        Example(resource.type, resource.inputs, resource.name) for resource in program.resources
    )
    assert not violations, "\n".join(violations)
    assert count > 30
