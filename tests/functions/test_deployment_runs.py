"""How a run is now, as CodePipeline tells it, by botocore's model of its answers."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session

from functions.deployment.deployments import _ENDED, _RUNNING
from functions.deployment.start import Runs
from tests.functions.deployment_hub import Modelled

EXECUTION = "11111111-2222-3333-4444-555555555555"
MODEL = get_session().get_service_model("codepipeline")
STATUSES = MODEL.shape_for("PipelineExecutionStatus").enum


class Pipelines:
    """CodePipeline with one run."""

    def __init__(self, status: str = "", error: str = "") -> None:
        self.status, self.error = status, error

    def get_pipeline_execution(self, **asked: str) -> dict[str, Any]:
        assert asked == {"pipelineName": "houses-way", "pipelineExecutionId": EXECUTION}
        if self.error:
            raise ClientError({"Error": {"Code": self.error}}, "GetPipelineExecution")
        return {"pipelineExecution": {"pipelineName": "houses-way", "status": self.status}}


def state(**given: str) -> str:
    runs = Runs(Modelled("codepipeline", Pipelines(**given)), None, ())  # type: ignore[arg-type]
    return runs.state("houses-way", EXECUTION)


def test_every_state_of_a_run_is_one_that_the_function_knows() -> None:
    known = {status: state(status=status) for status in STATUSES}
    assert known.pop("Succeeded") == "SUCCEEDED"
    assert set(known.values()) == _ENDED | _RUNNING


@pytest.mark.parametrize(
    "code", ["PipelineExecutionNotFoundException", "PipelineNotFoundException"]
)
def test_a_run_that_codepipeline_does_not_know_is_none(code: str) -> None:
    assert state(error=code) == ""


def test_what_cannot_be_asked_now_is_asked_again() -> None:
    with pytest.raises(ClientError):
        state(error="ThrottlingException")
