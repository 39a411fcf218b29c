"""Two lines of defence hold jobs to the same: the roles' IAM guards, and the policy pack."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any, cast

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator
from mlops_policy.aws import PIPELINE
from mlops_policy.model import Example

from components import personas
from components.naming import Names
from localcloud.authorization import Evaluator
from localcloud.emulator import conditions
from localcloud.emulator.actions import Access
from localcloud.emulator.extension import Caller
from localcloud.emulator.identity import Principal
from localcloud.emulator.protocol import Call
from localcloud.provider import schema
from tests.policy import harness
from tests.unit.conftest import ACCOUNTS, REGION, place
from tests.unit.data_science import (
    DATA_KEY,
    GROUPS,
    STORAGE_KEY,
    SUBNETS,
    Role,
    role_arn,
    studio_role,
)
from tests.unit.guarded_jobs import Guarded, Placed, guarded

NAMES = Names.at(place("dev"))
JOBS = guarded(Placed(NAMES.role_arn("pipeline-execution"), SUBNETS, GROUPS, STORAGE_KEY, DATA_KEY))
KEYS = frozenset(key for keys in personas.CONDITION_KEYS.values() for key in keys)

NOT_ASKED = {
    "sagemaker:CreateApp": "an app of Studio has no job's settings; its instances are the domain's",
    "sagemaker:CreateSpace": "as an app",
    "sagemaker:UpdateSpace": "as an app",
}
"""Guarded action that is no job, and so has no request here -> why."""

NO_PART: dict[tuple[str, personas.Guard], str] = {
    ("CreateEndpointConfig", "vpc"): "its network is its models', which are guarded themselves",
    ("CreateEndpointConfig", "isolation"): "its models', as well",
}
"""Guard that an action knows and its request here has no part of -> why."""


@pytest.fixture(scope="module")
def scientist(evaluator: Evaluator) -> Role:
    """A data scientist's role as deployed, where containers are to be isolated."""
    return studio_role(evaluator, "data-scientist-execution", changes={"isolate_containers": True})


def allowed(role: Role, job: Guarded, request: Mapping[str, Any]) -> bool:
    """What IAM says of a request, told in the condition keys that the local cloud reads from it."""
    account = ACCOUNTS["dev"]
    known = KEYS & {
        key
        for guard in guards_of(job)
        for key in personas.CONDITION_KEYS[cast(personas.Guard, guard)]
    }
    action = f"sagemaker:{job.operation}"
    context = conditions.context(
        Call("sagemaker", job.operation, REGION, dict(request), "json", cast(Any, None), b""),
        Access(action, "*", account),
        Principal(Caller(account, role.arn, role_arn(role.arn)), "AROA:session", {}),
        conditions.Circumstances("o-acme", secure=True, source_vpc=None, user_agent="test"),
        frozenset(known),
        {},
    )
    return role.decision(action, NAMES.arn("sagemaker", f"{job.kind}/guarded"), context).allowed


def guards_of(job: Guarded) -> frozenset[personas.Guard]:
    return next(
        guards
        for action, guards in personas.GUARDED.items()
        if fnmatch.fnmatchcase(f"sagemaker:{job.operation}", action)
    )


def judged(job: Guarded, request: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the pack says of a request, as a resource and as the step of a pipeline."""
    forms: dict[str, Example] = {}
    if job.type:
        forms["resource"] = Example(job.type, job.resource(request), "guarded")
    if job.step:
        definition = {"pipelineDefinition": job.pipeline(request)}
        forms["step"] = Example(PIPELINE, definition, "guarded")
    return {form: harness.judged([example])[1] for form, example in forms.items()}


def test_every_guarded_action_and_every_guard_is_asked() -> None:
    asked = {
        action: {job.operation for job in JOBS
                 if fnmatch.fnmatchcase(f"sagemaker:{job.operation}", action)}
        for action in personas.GUARDED
    }  # fmt: skip
    assert {action for action, jobs in asked.items() if not jobs} == set(NOT_ASKED)
    for job in JOBS:
        left = guards_of(job) - set(job.places)
        assert left == {guard for operation, guard in NO_PART if operation == job.operation}
        assert not set(job.places) - guards_of(job)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.operation)
def test_a_request_that_keeps_to_every_guard_passes_both(job: Guarded, scientist: Role) -> None:
    shape = get_session().get_service_model("sagemaker").operation_model(job.operation).input_shape
    assert not ParamValidator().validate(job.request, shape).has_errors()
    if job.type:
        known = schema.schema(job.type)
        assert known
        assert list(schema.unknown_inputs(job.resource(job.request), known.inputs)) == []
    assert allowed(scientist, job, job.request)
    said = judged(job, job.request)
    assert said
    assert not any(said.values()), said


@pytest.mark.parametrize(
    ("job", "request_", "what"),
    [
        pytest.param(job, request, what, id=f"{job.operation}: {what}")
        for job in JOBS
        for guard in job.places
        for what, request in job.broken(guard)
    ],
)
def test_a_request_that_breaks_a_guard_is_refused_by_both(
    job: Guarded, request_: dict[str, Any], what: str, scientist: Role
) -> None:
    assert not allowed(scientist, job, request_), f"IAM lets it through: {what}"
    for form, violations in judged(job, request_).items():
        assert violations, f"the pack lets it through as a {form}: {what}"
