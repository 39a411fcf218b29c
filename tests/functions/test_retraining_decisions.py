"""What a drift starts: pure decisions, and a model of many events in any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.deployment.machine import Approval
from functions.deployment.versions import Version
from functions.retraining.drift import (
    STALE,
    Drift,
    DriftError,
    Retraining,
    State,
    Verdict,
    decide,
    read,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ACCOUNTS = {"preprod": "333333333333", "prod": "444444444444", "prod-eu": "555555555555"}
ARN = "arn:aws:sagemaker:eu-west-1:111111111111:model-package/acme-governance-abalone/{}"


def event(
    environment: str = "preprod", project: str = "abalone", version: int = 1, **changes: Any
) -> dict[str, Any]:
    account = ACCOUNTS[environment]
    here = f"arn:aws:sagemaker:eu-west-1:{account}"
    return {
        "id": "one",
        "account": account,
        "detail-type": "SageMaker Processing Job State Change",
        "detail": {
            "ProcessingJobArn": f"{here}:processing-job/model-monitoring-1",
            "ExitMessage": "CompletedWithViolations: Job completed successfully with 2 violations.",
            "MonitoringScheduleArn": (
                f"{here}:monitoring-schedule/acme-{environment}-{project}-drift"
            ),
            "Environment": {"MODEL_PACKAGE_ARN": ARN.format(version)},
            **changes,
        },
    }


def drift(version: int, environment: str = "preprod") -> Drift:
    return read(event(environment, version=version), "acme", ACCOUNTS)


def test_an_event_tells_project_environment_and_version() -> None:
    found = read(event("prod", "house-prices", 7), "acme", ACCOUNTS)
    assert (found.project, found.environment, found.version) == (
        "house-prices",
        "prod",
        ARN.format(7),
    )


@pytest.mark.parametrize("kind", ["drift", "quality", "bias", "explain"])
@pytest.mark.parametrize("project", ["abalone", "abalone-quality", "bias"])
def test_every_kind_of_monitoring_tells_of_its_own_project(kind: str, project: str) -> None:
    schedule = f"arn:aws:sagemaker:eu-west-1:1:monitoring-schedule/acme-prod-eu-{project}-{kind}"
    told = event("prod-eu", MonitoringScheduleArn=schedule)
    assert read(told, "acme", ACCOUNTS).project == project


def test_an_environment_of_its_own_account_is_no_project_of_another() -> None:
    assert read(event("prod-eu"), "acme", ACCOUNTS).project == "abalone"
    one = dict.fromkeys(ACCOUNTS, "333333333333")
    moved = {**event("prod-eu"), "account": "333333333333"}
    assert read(moved, "acme", one).environment == "prod-eu"


def test_without_the_variable_the_baseline_tells_the_version() -> None:
    inputs = [
        {"InputName": name, "S3Input": {"S3Uri": f"s3://hub/promoted/7/{name}.json"}}
        for name in ("statistics", "constraints")
    ]
    found = read(event(Environment={}, ProcessingInputs=inputs), "acme", ACCOUNTS)
    assert found.version == "s3://hub/promoted/7/constraints.json"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ExitMessage": "Completed: no violations"}, "not with violations"),
        ({"ExitMessage": None}, "not with violations"),
        ({"MonitoringScheduleArn": None}, "no monitoring schedule"),
        ({"MonitoringScheduleArn": "arn:a:b:c:d:monitoring-schedule/other-drift"}, "no schedule"),
        (
            {"MonitoringScheduleArn": "arn:a:b:c:d:monitoring-schedule/acme-prod-abalone-drift"},
            "no schedule",
        ),
        ({"MonitoringScheduleArn": "arn:a:b:c:d:monitoring-schedule/acme-preprod-drift"}, "no sch"),
        ({"Environment": {}}, "does not tell what"),
    ],
)
def test_what_is_no_drift_of_a_project_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DriftError, match=told):
        read(event(**changes), "acme", ACCOUNTS)


def last(version: int, state: State, at: datetime = NOW, told: str = "one") -> Retraining:
    return Retraining("abalone", ARN.format(version), state, told, at)


@pytest.mark.parametrize(
    ("before", "told", "running", "verdict"),
    [
        (None, "one", False, Verdict.START),
        (last(1, State.STARTED), "two", False, Verdict.ALREADY),
        (last(1, State.STARTED), "two", True, Verdict.ALREADY),
        (last(1, State.STARTING), "one", False, Verdict.RESUME),
        (last(1, State.STARTING), "two", False, Verdict.ALREADY),
        (last(1, State.STARTING, NOW - 2 * STALE), "two", False, Verdict.RESUME),
        (last(2, State.STARTED), "one", True, Verdict.BUSY),
        (last(2, State.STARTED), "one", False, Verdict.START),
        (last(2, State.STARTING), "two", False, Verdict.BUSY),
        (last(2, State.STARTING, NOW - 2 * STALE), "two", False, Verdict.START),
    ],
)
def test_one_version_starts_one_retraining(
    before: Retraining | None, told: str, running: bool, verdict: Verdict
) -> None:
    assert decide(before, drift(1), told, NOW, running=running) is verdict


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.sampled_from(sorted(ACCOUNTS)),
            st.integers(0, 90),
            st.booleans(),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_however_events_come_no_version_is_started_twice_in_a_row(
    events: list[tuple[int, str, int, bool, bool]],
) -> None:
    kept: Retraining | None = None
    tokens: list[str] = []
    at = NOW
    for number, (version, environment, minutes, running, finished) in enumerate(events):
        at += timedelta(minutes=minutes)
        found = drift(version, environment)
        verdict = decide(kept, found, str(number), at, running=running)
        if verdict in (Verdict.START, Verdict.RESUME):
            if verdict is Verdict.START:
                assert kept is None or kept.version != found.version
            else:
                assert kept is not None
                assert kept.version == found.version
            state = State.STARTED if finished else State.STARTING
            kept = Retraining("abalone", found.version, state, str(number), at)
            # What is resumed has the token of what was begun, which starts one run.
            if tokens[-1:] != [kept.token]:
                tokens.append(kept.token)
    assert all(left != right for left, right in pairwise(tokens))


def test_a_deployment_is_told_the_baseline_that_its_version_brings() -> None:
    uri = "s3://hub/promoted/7/{}.json"
    kept = {name: {"S3Uri": uri.format(name.lower())} for name in ("Constraints", "Statistics")}
    specification = {"Containers": [{"Image": "i", "ModelDataUrl": "s3://hub/model.tar.gz"}]}
    for brought, told in (
        ({"ModelDataQuality": kept}, {k.lower(): v["S3Uri"] for k, v in kept.items()}),
        ({"ModelQuality": kept}, {"quality": kept["Constraints"]["S3Uri"]}),
        (
            {
                "Bias": {
                    "ConfigFile": kept["Statistics"],
                    "PreTrainingConstraints": kept["Statistics"],
                }
            },
            {"bias_config": kept["Statistics"]["S3Uri"]},
        ),
        (None, {}),
    ):
        description = {"InferenceSpecification": specification, "DriftCheckBaselines": brought}
        version = Version(ARN.format(7), "group", 7, Approval.APPROVED, True, description)
        assert version.answer()["baselines"] == told
