"""Who made a version is what AWS recorded, and never only what the version says."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions.promotion.events import Source
from functions.promotion.identity import read_build, read_person
from functions.promotion.origin import Origin
from functions.promotion.registry import central_metadata
from tests.functions.deployment_hub import Modelled

DEV = "222222222222"
SOURCE = Source.parse(f"arn:aws:sagemaker:eu-west-1:{DEV}:model-package/acme-dev-houses/7")
EXECUTION = f"arn:aws:sagemaker:eu-west-1:{DEV}:pipeline/acme-dev-houses/execution/abcdefghijkl"
BUILD = "acme-dev-houses-build"
ID = "0f0e3c9e-1111-2222-3333-444444444444"
RUN = "11111111-2222-3333-4444-555555555555"
SERVICES = ("acme-dev-*-pipeline", "acme-dev-*-retrain")


def session(role: str, name: str) -> dict[str, Any]:
    return {"IamIdentity": {"Arn": f"arn:aws:sts::{DEV}:assumed-role/{role}/{name}"}}


ADA, BOB = (session("acme-dev-data-scientist", name) for name in ("ada", "bob"))
SERVICE = session("acme-dev-houses-pipeline", "SageMaker")
BY_BUILD = session(BUILD, f"AWSCodeBuild-{ID}")


class Dev:
    """Dev's services, as far as they tell who did something; answers are checked by their models.

    Args:
        starter: ``CreatedBy`` of the pipeline execution.
        registered: The version that a step of it registered; empty for none.
        initiator: Of a build that no run of the project's pipeline ran; empty when one did.
        trigger: Type and detail of what started the build's pipeline.
        denied: Operations that are refused.
        gone: Whether the build's pipeline is deleted.
    """

    def __init__(
        self,
        starter: dict[str, Any] = BY_BUILD,
        registered: str = SOURCE.arn,
        initiator: str = "",
        trigger: tuple[str, str] = ("CloudWatchEvent", "arn:aws:events:eu-west-1:1:rule/push"),
        denied: tuple[str, ...] = (),
        *,
        gone: bool = False,
    ) -> None:
        self.gone = gone
        self.starter, self.registered, self.denied = starter, registered, denied
        self.initiator, self.trigger = initiator, trigger
        self.asked: list[str] = []

    def reader(self, service: str) -> Any:
        return Modelled(service, self)

    def _ask(self, operation: str) -> None:
        self.asked.append(operation)
        if operation in self.denied:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)

    def describe_pipeline_execution(self, **given: Any) -> dict[str, Any]:
        self._ask("DescribePipelineExecution")
        assert given == {"PipelineExecutionArn": EXECUTION}
        return {"PipelineExecutionArn": EXECUTION, "CreatedBy": self.starter}

    def list_pipeline_execution_steps(self, **given: Any) -> dict[str, Any]:
        self._ask("ListPipelineExecutionSteps")
        assert given == {"PipelineExecutionArn": EXECUTION}
        steps: list[dict[str, Any]] = [{"StepName": "Train"}]
        if self.registered:
            metadata = {"RegisterModel": {"Arn": self.registered}}
            steps.append({"StepName": "Register", "Metadata": metadata})
        return {"PipelineExecutionSteps": steps}

    def batch_get_builds(self, **given: Any) -> dict[str, Any]:
        self._ask("BatchGetBuilds")
        assert given == {"ids": [f"{BUILD}:{ID}"]}
        return {"builds": [{"initiator": self.initiator}] if self.initiator != "gone" else []}

    def list_action_executions(self, **given: Any) -> dict[str, Any]:
        self._ask("ListActionExecutions")
        assert given == {"pipelineName": BUILD}
        if self.gone:
            raise ClientError({"Error": {"Code": "PipelineNotFoundException"}}, "-")
        runs = {"other": f"{BUILD}:another"}
        if not self.initiator:
            runs[RUN] = f"{BUILD}:{ID}"
        return {
            "actionExecutionDetails": [
                {"pipelineExecutionId": "source", "output": {}},
                *(
                    {
                        "pipelineExecutionId": run,
                        "output": {"executionResult": {"externalExecutionId": build}},
                    }
                    for run, build in runs.items()
                ),
            ]
        }

    def get_pipeline_execution(self, **given: Any) -> dict[str, Any]:
        self._ask("GetPipelineExecution")
        assert given == {"pipelineName": BUILD, "pipelineExecutionId": RUN}
        kind, detail = self.trigger
        return {"pipelineExecution": {"trigger": {"triggerType": kind, "triggerDetail": detail}}}


def version(by: dict[str, Any], execution: str = EXECUTION) -> dict[str, Any]:
    return {"CreatedBy": by, "MetadataProperties": {"GeneratedBy": execution} if execution else {}}


def people(dev: Dev, description: dict[str, Any]) -> frozenset[str]:
    """The names that the central version is compared by."""
    told = central_metadata(
        description, SOURCE, Origin(dev.reader, SERVICES).started_by(SOURCE, description)
    )
    text = f"{told.get('RegisteredBy', '')} {told.get('StartedBy', '')}"
    return read_person(text, SERVICES).names


@pytest.mark.parametrize(
    ("dev", "description", "names"),
    [
        (Dev(), version(ADA, ""), {"ada"}),
        (Dev(BOB), version(SERVICE), {"bob"}),
        # Whoever trained it counts beside whoever registered it by hand.
        (Dev(BOB, registered=""), version(ADA), {"ada", "bob"}),
        # A service that registered it says that an execution did which did not.
        (Dev(BOB, registered=""), version(SERVICE), set()),
        (Dev(BOB, registered=SOURCE.arn.replace("/7", "/6")), version(SERVICE), set()),
        (Dev(BOB, denied=("ListPipelineExecutionSteps",)), version(SERVICE), set()),
        (Dev(registered=""), version(SERVICE), set()),
        # A build that nobody started.
        (Dev(), version(SERVICE), set()),
        (Dev(initiator="gone"), version(SERVICE), set()),
        (Dev(initiator="codepipeline/another"), version(SERVICE), set()),
        (Dev(initiator="gone", gone=True), version(SERVICE), set()),
        (Dev(trigger=("CreatePipeline", str(ADA["IamIdentity"]["Arn"]))), version(SERVICE), set()),
    ],
)
def test_who_made_a_version(dev: Dev, description: dict[str, Any], names: set[str]) -> None:
    assert people(dev, description) == names


@pytest.mark.parametrize("description", [version(SERVICE), version(BY_BUILD, "")])
@pytest.mark.parametrize(
    "dev",
    [
        Dev(trigger=("StartPipelineExecution", str(BOB["IamIdentity"]["Arn"]))),
        Dev(trigger=("ManualRollback", f"arn:aws:iam::{DEV}:user/bob")),
        Dev(initiator="bob"),
        Dev(initiator="acme-administrator/bob"),
    ],
)
def test_a_build_that_a_person_started_is_that_persons(
    dev: Dev, description: dict[str, Any]
) -> None:
    assert people(dev, description) == {"bob"}


def test_a_build_that_drift_started_is_the_builds() -> None:
    drift = session("acme-dev-houses-retrain", "retraining")
    dev = Dev(trigger=("StartPipelineExecution", str(drift["IamIdentity"]["Arn"])))
    told = Origin(dev.reader, SERVICES).started_by(SOURCE, version(SERVICE))
    assert read_person(told, SERVICES).names == set()
    build = read_build(told, ("acme-dev-*-build",))
    assert build is not None
    assert build.names == {BUILD}


def test_a_claim_of_a_build_that_did_not_register_it_is_no_build() -> None:
    told = Origin(Dev(registered="").reader, SERVICES).started_by(SOURCE, version(SERVICE))
    assert read_build(told, ("acme-dev-*-build",)) is None


def test_builds_are_asked_of_only_where_one_made_the_version() -> None:
    dev = Dev(BOB)
    people(dev, version(SERVICE))
    assert set(dev.asked) == {"ListPipelineExecutionSteps", "DescribePipelineExecution"}


@pytest.mark.parametrize(
    "dev",
    [
        Dev(denied=("ListActionExecutions",)),
        Dev(denied=("GetPipelineExecution",)),
        Dev(initiator="bob", denied=("BatchGetBuilds",)),
    ],
)
def test_a_version_of_a_build_waits_until_it_can_be_asked_who_started_it(dev: Dev) -> None:
    """Otherwise what a person started would count as what nobody did."""
    with pytest.raises(ClientError, match="AccessDenied"):
        people(dev, version(SERVICE))
