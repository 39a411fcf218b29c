"""What the function decides: one start for an approval, retreats, rollbacks, what ends a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.deployment.deployments import Caller, RequestError, RunningError, StartingError
from functions.deployment.machine import Approval, Kind, Status
from tests.functions.deployment_model import (
    ALEX,
    ENVIRONMENTS,
    GROUP,
    HUB,
    PROJECT,
    Ended,
    HubInMemory,
)

LIVE, OLD, BACK = Status.LIVE.value, Status.SUPERSEDED.value, Status.ROLLED_BACK.value


@pytest.fixture
def hub() -> HubInMemory:
    return HubInMemory()


def execution_event(
    execution: str, state: str = "FAILED", pipeline: str = "houses-way", **changes: Any
) -> dict[str, Any]:
    return {
        "source": "aws.codepipeline",
        "detail-type": "CodePipeline Pipeline Execution State Change",
        "account": HUB,
        "detail": {"pipeline": pipeline, "execution-id": execution, "state": state},
        **changes,
    }


def test_an_approval_goes_through_all_environments_by_one_run(hub: HubInMemory) -> None:
    hub.live_through(1)
    assert hub.states("preprod") == hub.states("prod") == [(1, "deploy", LIVE)]
    assert len(hub.ci.calls) == 1
    assert hub.last("preprod").execution == hub.last("prod").execution
    assert hub.last("prod").version_approved_by == "UserProfileName=alex"


@pytest.mark.parametrize("approval", [Approval.PENDING, Approval.REJECTED, Approval.GONE])
def test_only_an_approval_starts_anything(hub: HubInMemory, approval: Approval) -> None:
    hub.set(1, approval)
    assert (hub.history.attempts, hub.ci.calls) == ((), [])


def test_prod_is_not_requested_before_preprod_is_live(hub: HubInMemory) -> None:
    hub.approve(1)
    early = hub.begin(hub.last("preprod").__class__(**{**vars(hub.last("preprod")),
                                                       "environment": "prod"}))  # fmt: skip
    assert not early["proceed"]
    assert "nothing has requested it" in early["reason"]


def test_duplicates_and_late_events_start_nothing(hub: HubInMemory) -> None:
    hub.set(1, Approval.PENDING)
    hub.approve(1)
    for event in [*hub.registry.events, *reversed(hub.registry.events)] * 2:
        hub.function.version_event(event)
    assert hub.states("preprod") == [(1, "deploy", "Requested")]
    assert len(hub.ci.calls) == 1


def test_an_approval_of_another_account_or_group_is_nobodys(hub: HubInMemory) -> None:
    event = hub.registry.set(1, Approval.APPROVED)
    text = str(event["detail"]["ModelPackageArn"])
    foreign = text.replace(HUB, "222222222222")
    other = text.replace(GROUP, "acme-governance-cars")
    for arn, account in ((foreign, "222222222222"), (other, HUB), (foreign, HUB)):
        detail = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
        hub.function.version_event({**event, "account": account, "detail": detail})
    assert hub.history.attempts == ()
    # The last one is a forgery: its account is not the event's.
    assert hub.logged[-1]["level"] == "ERROR"


def test_a_second_approval_starts_again_whatever_the_order_of_events(hub: HubInMemory) -> None:
    hub.approve(1)
    hub.bring("preprod", "Failed")
    hub.clock.pass_(5)
    rejected = hub.registry.set(1, Approval.REJECTED)
    hub.clock.pass_(5)
    hub.approve(1)
    # So far it is not to be told from a duplicate; the late rejection tells.
    assert hub.states("preprod") == [(1, "deploy", "Failed")]
    for _ in range(3):
        hub.function.version_event(rejected)
    assert hub.states("preprod") == [(1, "deploy", "Failed"), (1, "deploy", "Requested")]
    assert len(hub.ci.calls) == 2


def test_an_approval_taken_back_to_pending_ends_and_the_next_one_starts_anew(
    hub: HubInMemory,
) -> None:
    hub.approve(1)
    hub.bring("preprod", "Failed")
    hub.clock.pass_(5)
    hub.set(1, Approval.PENDING)
    hub.clock.pass_(5)
    hub.approve(1)
    assert hub.states("preprod") == [(1, "deploy", "Failed"), (1, "deploy", "Requested")]
    hub.set(1, Approval.PENDING)
    assert hub.states("preprod")[-1] == (1, "deploy", "Refused")
    assert len(hub.ci.calls) == 2


def test_a_project_that_has_dev_among_its_targets_begins_there() -> None:
    hub = HubInMemory(("dev", "preprod", "prod"))
    hub.projects.project = replace(PROJECT, targets=("dev", "preprod", "prod"))
    hub.approve(1)
    for environment in ("dev", "preprod", "prod"):
        assert hub.states(environment) == [(1, "deploy", "Requested")]
        hub.bring(environment)
        assert hub.states(environment) == [(1, "deploy", LIVE)]
    # One whose targets are the others' goes its way without it.
    hub.projects.project = replace(PROJECT, targets=("preprod", "prod"))
    hub.approve(2)
    assert hub.states("preprod")[-1] == (2, "deploy", "Requested")
    assert all(version == 1 for version, _, _ in hub.states("dev"))
    with pytest.raises(RequestError, match="dev is no target of the project houses"):
        hub.begin(hub.last("dev"))


def test_a_rejection_refuses_what_has_not_begun(hub: HubInMemory) -> None:
    hub.approve(1)
    attempt = hub.last("preprod")
    hub.reject(1)
    answer = hub.begin(attempt)
    assert (answer["proceed"], answer["status"]) == (False, "Refused")
    assert "Rejected" in answer["reason"]
    assert len(hub.ci.calls) == 1


def test_a_version_rejected_while_it_is_deployed_never_goes_live(hub: HubInMemory) -> None:
    hub.live_through(1)
    hub.approve(2)
    attempt = hub.last("preprod")
    hub.begin(attempt)
    hub.registry.set(2, Approval.REJECTED)
    assert hub.finish(attempt) == {"status": "Failed"}
    assert hub.states("preprod")[-2:] == [(2, "deploy", "Failed"), (1, "retreat", "Requested")]


def test_rejecting_the_live_version_retreats_where_it_is_live(hub: HubInMemory) -> None:
    for number in (1, 2):
        hub.live_through(number)
    hub.approve(3)
    hub.bring("preprod")
    hub.reject(3)
    assert hub.states("preprod")[-1] == (2, "retreat", "Requested")
    # In prod version 3 was never live: nothing is taken out there, its request is refused.
    assert hub.states("prod") == [
        (1, "deploy", OLD),
        (2, "deploy", LIVE),
        (3, "deploy", "Refused"),
    ]
    hub.bring("preprod")
    assert hub.states("preprod")[-2:] == [(3, "deploy", BACK), (2, "retreat", LIVE)]
    # What is brought back has been through all of it: no further environment is asked for.
    assert hub.states("prod")[-1] == (3, "deploy", "Refused")
    hub.reject(2)
    for environment in ENVIRONMENTS:
        assert hub.states(environment)[-1] == (1, "retreat", "Requested")
    for event in hub.registry.events * 2:
        hub.function.version_event(event)
    assert [hub.states(item).count((1, "retreat", "Requested")) for item in ENVIRONMENTS] == [1, 1]


def test_a_retreat_passes_over_what_is_not_approved_or_was_never_live(hub: HubInMemory) -> None:
    for number in (1, 2):
        hub.live_through(number)
    hub.approve(3)
    hub.bring("preprod", "Failed")
    hub.bring("preprod")
    hub.live_through(4)
    hub.set(2, Approval.PENDING)
    hub.reject(4)
    assert hub.last("prod").version == hub.last("preprod").version == 1


def test_nowhere_to_retreat_to_is_told(hub: HubInMemory) -> None:
    hub.live_through(1)
    hub.reject(1)
    assert hub.states("prod") == [(1, "deploy", LIVE)]
    told = [line for line in hub.logged if line["outcome"] == "no-retreat"]
    assert {line["environment"] for line in told} == set(ENVIRONMENTS)
    assert all(line["level"] == "ERROR" for line in told)


def test_a_refused_retreat_is_followed_by_the_version_before(hub: HubInMemory) -> None:
    for number in (1, 2, 3):
        hub.live_through(number)
    hub.door.refused = {2}
    hub.reject(3)
    refused = hub.last("prod")
    assert refused.version == 2
    assert not hub.begin(refused)["proceed"]
    assert hub.states("prod")[-2:] == [(2, "retreat", "Refused"), (1, "retreat", "Requested")]
    # Its run is started too.
    assert hub.last("prod").started


def test_a_failed_retreat_is_not_repeated_but_told(hub: HubInMemory) -> None:
    for number in (1, 2, 3):
        hub.live_through(number)
    hub.reject(3)
    hub.bring("prod", "Failed")
    hub.function.sweep({})
    assert hub.states("prod")[-1] == (2, "retreat", "Failed")
    assert any("The retreat to version 2 failed" in str(line.get("reason")) for line in hub.logged)


def test_a_failed_attempt_retreats_to_what_was_live(hub: HubInMemory) -> None:
    hub.live_through(1)
    hub.approve(2)
    failed = hub.bring("preprod", "Failed")
    assert failed.reason == "the tests failed"
    assert hub.states("preprod") == [
        (1, "deploy", LIVE),
        (2, "deploy", "Failed"),
        (1, "retreat", "Requested"),
    ]
    hub.bring("preprod")
    assert hub.states("preprod") == [(1, "deploy", OLD), (2, "deploy", BACK), (1, "retreat", LIVE)]
    assert hub.states("prod") == [(1, "deploy", LIVE)]


def test_the_first_version_that_fails_leaves_nothing_to_retreat_to(hub: HubInMemory) -> None:
    hub.approve(1)
    hub.bring("preprod", "Failed")
    assert hub.states("preprod") == [(1, "deploy", "Failed")]


def test_a_retreat_waits_for_the_deployment_under_way(hub: HubInMemory) -> None:
    for number in (1, 2):
        hub.live_through(number)
    hub.approve(3)
    third = hub.last("preprod")
    hub.begin(third)
    hub.reject(2)
    retreat = hub.last("preprod")
    assert (retreat.version, retreat.started) == (1, False)
    answer = hub.begin(retreat, "someone")
    assert answer["retry"]
    assert "Version 3 is being deployed" in answer["reason"]
    hub.finish(third, "Failed")
    # It is due still: version 2 is what the environment serves.
    assert hub.last("preprod").started
    assert hub.last("preprod").version == 1


def test_a_retreat_that_is_no_longer_needed_is_dropped(hub: HubInMemory) -> None:
    for number in (1, 2):
        hub.live_through(number)
    hub.approve(3)
    third = hub.last("preprod")
    hub.begin(third)
    hub.reject(2)
    hub.finish(third)
    assert hub.states("preprod")[2:] == [(3, "deploy", LIVE), (1, "retreat", OLD)]
    assert sum(call is not None for call in hub.ci.calls) == 4  # three approvals, prod's retreat


def test_a_run_that_ended_without_a_word_has_failed(hub: HubInMemory) -> None:
    hub.live_through(1)
    hub.approve(2)
    attempt = hub.last("preprod")
    hub.begin(attempt)
    for state, status in (("SUCCEEDED", "Deploying"), ("FAILED", "Failed")):
        hub.ci.states = {attempt.execution: state}
        hub.function.execution_event(execution_event(attempt.execution, state))
        found = hub.history.get("preprod", attempt.sequence)
        assert found is not None
        assert found.status.value == status
    assert hub.states("preprod")[-1] == (1, "retreat", "Requested")
    # Told again, or after the fact, it changes nothing.
    before = hub.history.attempts
    hub.function.execution_event(execution_event(attempt.execution))
    assert hub.finish(attempt) == {"status": "Failed"}
    assert hub.history.attempts == before


def test_an_event_of_a_run_only_says_where_to_look(hub: HubInMemory) -> None:
    hub.approve(1)
    attempt = hub.last("preprod")
    hub.begin(attempt)
    for state in ("SUCCEEDED", ""):
        hub.ci.states = {attempt.execution: state}
        hub.function.execution_event(execution_event(attempt.execution))
    for state in ("INPROGRESS", "STOPPING"):
        hub.ci.states = {attempt.execution: state}
        with pytest.raises(RunningError, match=f"is {state}, not FAILED"):
            hub.function.execution_event(execution_event(attempt.execution))
    assert hub.states("preprod") == [(1, "deploy", "Deploying")]
    hub.ci.states = {attempt.execution: "CANCELED"}
    hub.function.execution_event(execution_event(attempt.execution))
    failed = hub.history.get("preprod", attempt.sequence)
    assert failed is not None
    assert "ended as CANCELED" in failed.reason


def test_a_rejected_manual_approval_ends_the_request_for_prod(hub: HubInMemory) -> None:
    hub.approve(1)
    hub.bring("preprod")
    hub.function.execution_event(execution_event(hub.last("prod").execution))
    assert hub.states("prod") == [(1, "deploy", "Refused")]
    assert hub.states("preprod") == [(1, "deploy", LIVE)]


def test_a_run_that_puts_back_and_ends_badly_has_failed(hub: HubInMemory) -> None:
    for number in (1, 2):
        hub.live_through(number)
    hub.reject(2)
    retreat = hub.last("prod")
    hub.begin(retreat, retreat.execution)
    event = execution_event(retreat.execution, pipeline="houses-back-prod")
    hub.function.execution_event({**event, "account": "222222222222"})
    assert hub.states("prod")[-1] == (1, "retreat", "Deploying")
    hub.function.execution_event(event)
    assert hub.states("prod")[-1] == (1, "retreat", "Failed")


def test_silence_is_failure(hub: HubInMemory) -> None:
    hub.live_through(1)
    hub.approve(2)
    hub.begin(hub.last("preprod"))
    hub.clock.pass_(4 * 3600)
    hub.function.sweep({})
    assert hub.states("preprod")[-1] == (2, "deploy", "Deploying")
    hub.clock.pass_(60)
    hub.function.sweep({})
    assert hub.states("preprod")[-2:] == [(2, "deploy", "Failed"), (1, "retreat", "Requested")]
    # A request waits for people: it does not end by itself.
    hub.approve(3)
    hub.clock.pass_(30 * 24 * 3600)
    hub.function.sweep({})
    assert (3, "deploy", "Requested") in hub.states("preprod")


def test_rollback_puts_the_previous_approved_version_back(hub: HubInMemory) -> None:
    for number in (1, 2, 3):
        hub.live_through(number)
    answer = hub.rollback("prod")
    assert (answer["status"], answer["version"]) == ("Requested", 2)
    again = hub.rollback("prod")
    assert again["status"] == "Refused"
    assert "requested already" in again["reason"]
    hub.bring("prod")
    assert hub.states("prod")[-2:] == [(3, "deploy", BACK), (2, "rollback", LIVE)]
    assert hub.last("prod").requested_by.endswith("/alex")
    # The next one goes further back; nothing went on in preprod.
    hub.rollback("prod")
    assert hub.last("prod").version == 1
    assert hub.states("preprod")[-1] == (3, "deploy", LIVE)


def test_what_is_no_target_is_asked_for_nothing(hub: HubInMemory) -> None:
    hub.aim("preprod")
    hub.approve(1)
    attempt = hub.bring("preprod")
    assert (hub.states("preprod"), hub.states("prod")) == ([(1, "deploy", LIVE)], [])
    prod = replace(attempt, environment="prod")
    for asking in (lambda: hub.begin(prod), lambda: hub.rollback("prod")):
        with pytest.raises(RequestError, match="prod is no target of the project houses"):
            asking()


def test_the_way_begins_at_the_first_target(hub: HubInMemory) -> None:
    hub.aim("prod")
    for number in (1, 2):
        hub.approve(number)
        hub.bring("prod")
    assert hub.states("preprod") == []
    assert hub.states("prod") == [(1, "deploy", OLD), (2, "deploy", LIVE)]
    hub.reject(2)
    assert hub.states("prod")[-1] == (1, "retreat", "Requested")


def test_a_target_that_is_left_ends_what_is_open_and_live_there(hub: HubInMemory) -> None:
    hub.live_through(1)
    hub.approve(2)
    hub.bring("preprod")
    assert hub.states("prod") == [(1, "deploy", LIVE), (2, "deploy", "Requested")]
    hub.aim("preprod")
    hub.function.sweep({})
    assert hub.states("prod") == [(1, "deploy", "Removed"), (2, "deploy", "Refused")]
    assert "prod is no target" in hub.last("prod").reason
    # What is gone there is not retreated from, nor retreated to when the target is back.
    hub.reject(1)
    assert len(hub.states("prod")) == 2
    hub.aim("preprod", "prod")
    assert "No version" in hub.rollback("prod")["reason"]
    hub.live_through(3)
    assert hub.states("prod")[-1] == (3, "deploy", LIVE)


def test_a_deployment_under_way_to_a_target_that_is_left_has_failed(hub: HubInMemory) -> None:
    hub.approve(1)
    hub.bring("preprod")
    attempt = hub.last("prod")
    assert hub.begin(attempt)["proceed"]
    hub.aim("preprod")
    assert hub.finish(attempt) == {"status": "Failed"}
    assert hub.states("prod") == [(1, "deploy", "Failed")]
    assert hub.states("preprod") == [(1, "deploy", LIVE)]


def test_a_rollback_is_recorded_for_who_signed_it(hub: HubInMemory) -> None:
    hub.live_through(1)
    hub.live_through(2)
    for changes in ({"signature": "mallory's"}, {"signature": None}):
        with pytest.raises(RequestError, match="It is not known who asks: signature is not alex's"):
            hub.rollback("prod", requested_by=ALEX, **changes)
    assert hub.states("prod") == [(1, "deploy", OLD), (2, "deploy", LIVE)]
    hub.rollback("prod", requested_by="mallory")
    assert hub.last("prod").requested_by == ALEX


def test_a_rollback_is_of_the_version_that_was_seen(hub: HubInMemory) -> None:
    for number in (1, 2, 3):
        hub.live_through(number)
    assert "Version 3 is live in prod (attempt 3)" in hub.rollback("prod", sequence=2)["reason"]
    seen = {"sequence": 3}
    assert hub.rollback("prod", **seen)["version"] == 2
    hub.bring("prod")
    # The same request once more does not go one version further back.
    assert "not attempt 3: look again" in hub.rollback("prod", **seen)["reason"]
    for wrong in (None, "3", True):
        with pytest.raises(RequestError, match="expected the number of what is live"):
            hub.rollback("prod", sequence=wrong)


def test_a_rollback_that_the_gate_refused_goes_further_back(hub: HubInMemory) -> None:
    for number in (1, 2, 3):
        hub.live_through(number)
    hub.door.refused = {2}
    hub.rollback("prod")
    assert not hub.begin(hub.last("prod"))["proceed"]
    assert hub.rollback("prod")["version"] == 1


def test_rollback_is_refused_where_there_is_nothing_to_put_back(hub: HubInMemory) -> None:
    assert "No version" in hub.rollback("prod")["reason"]
    hub.live_through(1)
    assert "No version before 1" in hub.rollback("prod")["reason"]
    hub.approve(2)
    hub.begin(hub.last("preprod"))
    assert "is being deployed" in hub.rollback("preprod")["reason"]


def test_a_begin_is_of_one_run_and_repeatable(hub: HubInMemory) -> None:
    hub.approve(1)
    attempt = hub.last("preprod")
    other = hub.begin(attempt, "another-run")
    assert not other["proceed"]
    first = hub.begin(attempt)
    assert first == hub.begin(attempt)
    assert first["version"]["model_data_url"] == "s3://m"
    assert not hub.begin(attempt, "another-run")["proceed"]
    assert hub.finish(attempt) == hub.finish(attempt) == {"status": "Live"}
    after = hub.begin(attempt)
    assert "is Live" in after["reason"]


def test_a_finish_names_a_deployment_that_was_begun_by_the_same_run(hub: HubInMemory) -> None:
    hub.approve(1)
    attempt = hub.last("preprod")
    with pytest.raises(RequestError, match="no attempt 1 begun"):
        hub.finish(attempt)
    hub.begin(attempt)
    with pytest.raises(RequestError, match="not of another"):
        hub.finish(attempt, execution="another")
    with pytest.raises(RequestError, match="outcome is 'Great'"):
        hub.finish(attempt, "Great")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"environment": "dev"}, "expected one of preprod, prod"),
        ({"kind": "hope"}, "expected deploy, retreat, rollback"),
        ({"execution": ""}, "execution is '', expected text"),
        ({"group": "acme-governance-cars"}, "No project has the group"),
    ],
)
def test_a_wrong_request_is_told(hub: HubInMemory, change: dict[str, str], words: str) -> None:
    request = {
        "group": GROUP,
        "environment": "prod",
        "model_package_arn": "arn",
        "execution": "1",
        "kind": "deploy",
    }
    with pytest.raises(RequestError, match=words):
        hub.function.begin({**request, **change}, Caller(PROJECT.name, "prod"))


def test_a_project_cannot_touch_anothers_deployments(hub: HubInMemory) -> None:
    hub.approve(1)
    attempt = hub.last("preprod")
    begin = {
        "group": GROUP,
        "environment": "preprod",
        "model_package_arn": attempt.model_package_arn,
        "execution": attempt.execution,
        "kind": "deploy",
    }
    finish = {"group": GROUP, "environment": "preprod", "sequence": 1, "outcome": "Failed"}
    # The names of one begin as those of the other do.
    for other in ("house", "houses2", "acme-governance-houses", ""):
        with pytest.raises(RequestError, match="is not the project"):
            hub.function.begin(begin, Caller(other, "preprod"))
    with pytest.raises(RequestError, match="to prod asks of preprod: each environment has"):
        hub.function.begin(begin, Caller(PROJECT.name, "prod"))
    hub.begin(attempt)
    before = hub.history
    with pytest.raises(RequestError, match="is not the project cars's"):
        hub.function.finish(finish, Caller("cars", "preprod"))
    assert hub.history == before


def test_what_cannot_be_read_when_approved_starts_nothing(hub: HubInMemory) -> None:
    hub.door.unreadable = {1}
    hub.approve(1)
    assert hub.states("preprod") == [(1, "deploy", "Refused")]
    assert hub.ci.calls == []


def test_the_request_of_an_older_approval_ends_when_a_newer_one_is_live(hub: HubInMemory) -> None:
    hub.approve(1)
    hub.approve(2)
    first, second = hub.history.of("preprod")
    hub.begin(second)
    hub.finish(second)
    assert hub.states("preprod") == [(1, "deploy", OLD), (2, "deploy", LIVE)]
    assert "is Superseded" in hub.begin(first)["reason"]


def test_a_process_that_ends_anywhere_starts_one_run(hub: HubInMemory) -> None:
    """After the decision, after the claim, after the start, after it is recorded."""
    for number, fault in enumerate(("decision", "start"), 1):
        event = hub.registry.set(number, Approval.APPROVED)
        hub.memory.end_after_write = fault == "decision"
        hub.ci.end_after_start = fault == "start"
        with pytest.raises(Ended):
            hub.function.version_event(event)
        if fault == "start":
            # Another invocation could be at it still: Lambda delivers the event again.
            with pytest.raises(StartingError, match="another invocation"):
                hub.function.version_event(event)
            hub.clock.pass_(121)
        hub.function.version_event(event)
        assert len(hub.ci.runs) == number
        assert hub.last("preprod").started


def test_a_start_that_fails_is_tried_again(hub: HubInMemory) -> None:
    hub.ci.broken = True
    event = hub.registry.set(1, Approval.APPROVED)
    with pytest.raises(StartingError, match="the service is down"):
        hub.function.version_event(event)
    hub.ci.broken = False
    hub.function.version_event(event)
    assert len(hub.ci.runs) == 1
    assert hub.states("preprod") == [(1, "deploy", "Requested")]


def test_a_finish_is_answered_though_the_retreat_cannot_be_started(hub: HubInMemory) -> None:
    hub.live_through(1)
    hub.approve(2)
    attempt = hub.last("preprod")
    hub.begin(attempt)
    hub.ci.broken = True
    assert hub.finish(attempt, "Failed") == {"status": "Failed"}
    assert hub.logged[-1]["outcome"] == "not-started"
    with pytest.raises(StartingError, match="houses"):
        hub.function.sweep({})
    hub.ci.broken = False
    hub.function.sweep({})
    assert hub.last("preprod").started


MORE = ("preprod", "prod", "prod-eu")


def test_a_version_goes_to_all_of_a_kind_one_after_the_other_and_each_has_its_own() -> None:
    hub = HubInMemory(MORE)
    hub.live_through(1)
    hub.approve(2)
    for environment in ("preprod", "prod"):
        assert hub.states("prod-eu") == [(1, "deploy", LIVE)], "not before the others"
        hub.bring(environment)
    run = {hub.last(name).execution for name in MORE}
    assert len(run) == 1, "one run takes it all the way"
    hub.bring("prod-eu", "Failed")
    # Where it failed the version before stays; what is live elsewhere stays live.
    assert hub.states("prod")[-1] == (2, "deploy", LIVE)
    assert hub.last("prod-eu").kind is Kind.RETREAT
    assert hub.last("prod-eu").version == 1
    hub.bring("prod-eu")
    hub.rollback("prod")
    hub.bring("prod")
    assert hub.states("prod")[-1] == (1, "rollback", LIVE)
    assert hub.states("preprod")[-1] == (2, "deploy", LIVE)


def test_a_rejected_version_is_left_in_every_environment_where_it_is_live() -> None:
    hub = HubInMemory(MORE)
    for number in (1, 2):
        hub.live_through(number)
    hub.reject(2)
    assert [hub.states(name)[-1] for name in MORE] == [(1, "retreat", "Requested")] * 3


def test_approved_again_a_live_version_goes_to_an_environment_that_joined_once() -> None:
    hub = HubInMemory(MORE)
    hub.aim("preprod", "prod")
    hub.approve(1)
    for environment in ("preprod", "prod"):
        hub.bring(environment)
    hub.aim(*MORE)
    for event in hub.registry.events:
        hub.function.version_event(event)
    hub.function.sweep({})
    assert hub.states("preprod") == [(1, "deploy", LIVE)], "nobody has approved it again"
    before = len(hub.ci.runs)
    hub.approve(1)
    for event in hub.registry.events * 2:
        hub.function.version_event(event)
    assert len(hub.ci.runs) == before + 1
    assert hub.states("preprod") == [(1, "deploy", LIVE), (1, "deploy", "Requested")]
    for environment in MORE:
        hub.bring(environment)
    assert [hub.states(name)[-1] for name in MORE] == [(1, "deploy", LIVE)] * 3
    hub.approve(1)
    assert hub.states("preprod")[-1] == (1, "deploy", LIVE)
    assert len(hub.ci.runs) == before + 1


def test_a_workflows_run_of_an_environment_starts_when_the_one_before_is_live() -> None:
    hub = HubInMemory(MORE)
    hub.projects.project = replace(
        PROJECT, ci="github", repository="acme/houses", workflow="deploy.yml", token_secret="s"
    )
    hub.approve(1)
    for number, environment in enumerate(MORE, start=1):
        assert len(hub.ci.runs) == number, "one run for each, none before its time"
        attempt = hub.last(environment)
        assert attempt.started
        assert hub.begin(attempt)["proceed"]
        hub.finish(attempt)
    assert [hub.states(name) for name in MORE] == [[(1, "deploy", LIVE)]] * 3
    assert len({hub.last(name).execution for name in MORE}) == len(hub.ci.runs) == 3
