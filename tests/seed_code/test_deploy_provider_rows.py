"""The local provider's rows of endpoints: what they wait for, and in which order they replace."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2 as pb

from localcloud.provider import crud, table
from localcloud.provider.rows import sagemaker as rows
from localcloud.provider.server import Provider, encode
from localcloud.provider.table import Scope

ROWS = table.load()
ENDPOINT = ROWS["aws:sagemaker/endpoint:Endpoint"]
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
OLD = {"name": "e", "endpointConfigName": "old", "arn": "arn", "tagsAll": {}}


class Api:
    """SageMaker that goes through states one after the other."""

    def __init__(self, *states: str, live: str = "new", reason: str = "") -> None:
        self.states, self.live, self.reason = list(states), live, reason
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, params))
        if operation != "DescribeEndpoint":
            return {}
        status = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        answer = {"EndpointStatus": status, "EndpointConfigName": self.live}
        return {**answer, "FailureReason": self.reason} if self.reason else answer


def update(api: Api) -> dict[str, Any]:
    scope = Scope("222222222222", "eu-west-1", "aws", api)
    wanted = {"name": "e", "endpointConfigName": "new"}
    return crud.update(ENDPOINT, "e", OLD, wanted, {}, scope)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows.time, "sleep", lambda _: None)


def test_an_update_is_one_call_and_waits_until_the_endpoint_is_in_service() -> None:
    api = Api("Updating", "Updating", "InService")
    assert update(api)["endpointConfigName"] == "new"
    assert api.calls[0] == ("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "new"})
    described = [operation for operation, _ in api.calls[1:]]
    assert set(described) == {"DescribeEndpoint"}
    assert len(described) >= 3


@pytest.mark.parametrize("status", ["Failed", "UpdateRollbackFailed", "OutOfService"])
def test_a_failure_is_an_error_with_its_reason(status: str) -> None:
    api = Api("Updating", status, reason="no capacity")
    with pytest.raises(crud.ResourceError, match=f"{status}: no capacity"):
        update(api)


def test_a_rollback_passes_for_a_success_as_with_the_real_provider() -> None:
    """Source: issues 46663 and 48997 of the Terraform AWS provider, which Pulumi's is made of."""
    assert update(Api("RollingBack", "InService", live="old"))["endpointConfigName"] == "new"


def diff(name: str) -> Any:
    old = {"name": name, "productionVariants": [{"modelName": "a"}]}
    new = {"name": name, "productionVariants": [{"modelName": "b"}]}
    request = pb.DiffRequest(
        id=name,
        urn=f"urn:pulumi:prod::deploy::{CONFIGURATION}::acme-prod-abalone",
        olds=encode({**old, "tagsAll": {}}),
        old_inputs=encode(old),
        news=encode(new),
    )
    return Provider(ROWS).Diff(request, None)


def test_a_configuration_with_an_automatic_name_is_made_anew_before_the_old_one_goes() -> None:
    assert list(diff("acme-prod-abalone-0a1b2c3").replaces) == ["productionVariants"]
    assert not diff("acme-prod-abalone-0a1b2c3").deleteBeforeReplace
    assert diff("acme-prod-abalone").deleteBeforeReplace, "a fixed name is taken"
