"""The contract with projects: published means described, and described means documented."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest

from components import contract
from components.naming import Names
from tests.unit.conftest import Program, place


def published(run: Callable[..., Program], values: Mapping[str, Any]) -> dict[str, str]:
    def program() -> None:
        component = pulumi.ComponentResource("mlops:index:Any", "any")
        contract.publish(component, "any", Names.at(place("prod")), values)

    parameters = run(program).of("aws:ssm/parameter:Parameter")
    return {p.inputs["name"]: p.inputs["description"] for p in parameters}


def test_a_parameter_is_published_with_its_meaning(run: Callable[..., Program]) -> None:
    assert published(run, {"vpc/id": "vpc-1", "kms/data/arn": "arn"}) == {
        "/acme/prod/vpc/id": contract.CONTRACT["vpc/id"],
        "/acme/prod/kms/data/arn": contract.CONTRACT["kms/{purpose}/arn"],
    }


@pytest.mark.parametrize("path", ["vpc/ids", "kms/data/key/arn", "kms//arn", "roles/arn"])
def test_what_is_not_described_cannot_be_published(path: str, run: Callable[..., Program]) -> None:
    with pytest.raises(contract.UndocumentedParameterError, match=path):
        published(run, {path: "value"})


def test_the_documentation_is_up_to_date() -> None:
    assert contract.PATH.read_text() == contract.reference()
