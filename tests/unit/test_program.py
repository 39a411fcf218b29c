"""The whole program, stack by stack: it composes, and the local cloud serves all that it makes."""

from __future__ import annotations

import functools
import json
import runpy
from typing import Any

import pulumi
import pytest
import yaml

from components.naming import ENVIRONMENTS
from localcloud.awsx.vpc import TOKEN
from localcloud.paths import CHECKOUT
from localcloud.provider import table
from tests.unit.conftest import Program, run_program

ALL_ON = {
    "mlops:securityServices": dict.fromkeys(
        ("access_analyzer", "config", "guardduty", "security_hub"), True
    ),
    "mlops:budget": {"monthly_usd": {"ml": 100}, "emails": ["ml@example.com"]},
    "mlops:personas": {
        "governance_officer": ["arn:aws:iam::111111111111:role/Officers"],
    },
}
ALL_ON_IN_DEV = {
    "mlops:dataAccess": dict.fromkeys(
        ("athena", "lake_formation", "feature_store", "datazone"), True
    ),
    "mlops:network": {"mode": "create", "cidr": "10.20.0.0/16", "zones": 3, "nat": "per_zone"},
}
BASIC = {
    "mlops:dataAccess": dict.fromkeys(
        ("athena", "lake_formation", "feature_store", "datazone"), False
    ),
    "mlops:securityServices": dict.fromkeys(
        ("access_analyzer", "config", "guardduty", "security_hub"), False
    ),
}


def config(stack: str, changes: dict[str, Any]) -> dict[str, str]:
    """The stack's configuration as the engine hands it to the program."""
    project = yaml.safe_load((CHECKOUT.root / "Pulumi.yaml").read_text())["config"]
    own = yaml.safe_load((CHECKOUT.root / f"Pulumi.{stack}.yaml").read_text())["config"]
    values = {key: schema["default"] for key, schema in project.items() if "default" in schema}
    values |= {key: value for key, value in own.items() if key.startswith("mlops:")} | changes
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }


@functools.cache
def whole(stack: str, variant: int = 0, *, preview: bool = False) -> Program:
    """``__main__.py`` for a stack with one of its :func:`variants`."""
    changes = variants(stack)[variant]

    def program() -> None:
        pulumi.runtime.set_all_config(config(stack, changes))
        runpy.run_path(str(CHECKOUT.root / "__main__.py"))

    return run_program(program, preview=preview, stack=stack)


def variants(stack: str) -> list[dict[str, Any]]:
    """The settings with which a stack makes everything, what is checked in, and the least."""
    full = ALL_ON | (ALL_ON_IN_DEV if stack == "dev" else {})
    least = BASIC if stack == "dev" else {"mlops:securityServices": BASIC["mlops:securityServices"]}
    return [{}, full, least]


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_every_type_that_the_program_registers_is_served(stack: str) -> None:
    served = {*table.load(), TOKEN}
    for variant in range(len(variants(stack))):
        made = {resource.type for resource in whole(stack, variant).resources}
        assert len(made) > 20
        assert {t for t in made if t.startswith(("aws:", "awsx:"))} <= served


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_preview_of_a_new_stack_registers_what_an_update_does(stack: str) -> None:
    """What depends on values that no preview knows would be missing from it, and from its plan."""
    before, after = whole(stack, preview=True), whole(stack)
    assert {(r.type, r.name) for r in before.resources} == {
        (r.type, r.name) for r in after.resources
    }


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_every_resource_goes_through_an_explicit_provider_of_one_account(stack: str) -> None:
    program = whole(stack)
    providers = program.of("pulumi:providers:aws")
    allowed = [json.loads(p.inputs["allowedAccountIds"]) for p in providers]
    assert all(len(accounts) == 1 for accounts in allowed)
    assert len(providers) == (4 if stack == "governance" else 1)
