"""Whatever happens in whatever order, more than once, or half: what holds of all deployments."""

from __future__ import annotations

import collections
import itertools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from functions.deployment.deployments import StartingError
from functions.deployment.history import Attempt, History
from functions.deployment.machine import DEPLOYMENT, Approval, Kind, Status
from tests.functions.deployment_model import (
    ENVIRONMENTS,
    HUB,
    Ended,
    HubInMemory,
    version_arn,
)

NUMBERS = st.integers(1, 4)
ENVIRONMENT = st.runner().flatmap(lambda machine: st.sampled_from(machine.environments))
UNTIL = st.runner().flatmap(
    lambda machine: st.sampled_from([*machine.environments, *machine.environments[-1:] * 2])
)


class Deploying(RuleBasedStateMachine):
    """People, events, runs and faults, in any order.

    Each change that the ledger keeps is judged when it is kept, by what the registry says then and
    by an account of its own of what was live.
    """

    environments: tuple[str, ...] = ENVIRONMENTS

    def __init__(self) -> None:
        super().__init__()
        self.hub = HubInMemory(self.environments)
        self.hub.memory.seen.append(self._judge)
        self.was_live: dict[str, set[int]] = {name: set() for name in self.environments}
        self.now_live: dict[str, int] = {}
        self.refused: dict[tuple[str, int], set[int]] = collections.defaultdict(set)

    # What people and clocks do.

    @rule(number=NUMBERS, approval=st.sampled_from(list(Approval)))
    def people_decide(self, number: int, approval: Approval) -> None:
        gone = self.hub.registry.approvals.get(number) is Approval.GONE
        if not gone:
            self.hub.registry.set(number, approval)

    @rule(number=NUMBERS)
    def people_approve(self, number: int) -> None:
        self.people_decide(number, Approval.APPROVED)

    @rule(seconds=st.sampled_from([0.4, 1, 30, 121, 15_000]))
    def time_passes(self, seconds: float) -> None:
        self.hub.clock.pass_(seconds)

    @rule(environment=ENVIRONMENT)
    def people_roll_back(self, environment: str) -> None:
        self._tolerating(lambda: self.hub.rollback(environment))

    # What is delivered: any event, any number of times, in any order.

    @rule(data=st.data())
    def an_event_comes(self, data: st.DataObject) -> None:
        if self.hub.registry.events:
            event = data.draw(st.sampled_from(self.hub.registry.events))
            self._tolerating(lambda: self.hub.function.version_event(event))

    @rule()
    def the_newest_event_comes(self) -> None:
        if self.hub.registry.events:
            event = self.hub.registry.events[-1]
            self._tolerating(lambda: self.hub.function.version_event(event))

    @rule(data=st.data(), state=st.sampled_from(["FAILED", "SUCCEEDED"]))
    def a_run_ends(self, data: st.DataObject, state: str) -> None:
        attempt = self._some(data, lambda item: bool(item.execution))
        if attempt is None:
            return
        event = {
            "source": "aws.codepipeline",
            "detail-type": "CodePipeline Pipeline Execution State Change",
            "account": HUB,
            "detail": {
                "pipeline": "houses-way",
                "execution-id": attempt.execution,
                "state": state,
            },
        }
        self._tolerating(lambda: self.hub.function.execution_event(event))

    @rule()
    def the_schedule_comes(self) -> None:
        self._tolerating(lambda: self.hub.function.sweep({}))

    # What runs do.

    @rule(data=st.data(), stranger=st.sampled_from([False] * 5 + [True]))
    def a_run_begins(self, data: st.DataObject, stranger: bool) -> None:
        attempt = self._some(data, lambda item: True)
        if attempt is not None:
            execution = "stranger" if stranger else attempt.execution
            self._tolerating(lambda: self.hub.begin(attempt, execution))

    @rule(data=st.data(), outcome=st.sampled_from(["Live", "Live", "Failed"]))
    def a_run_finishes(self, data: st.DataObject, outcome: str) -> None:
        attempt = self._some(data, lambda item: item.status is not Status.REQUESTED)
        if attempt is not None:
            self._tolerating(lambda: self.hub.finish(attempt, outcome))

    # What mostly happens, in one step: else few sequences would get as far as a retreat.

    @rule(number=NUMBERS, until=UNTIL)
    def a_version_goes_all_the_way(self, number: int, until: str) -> None:
        self.people_decide(number, Approval.REJECTED)
        self.hub.clock.pass_(1)
        self.people_decide(number, Approval.APPROVED)
        for event in self.hub.registry.events[-2:]:
            self._tolerating(lambda told=event: self.hub.function.version_event(told))
        for environment in self.environments[: self.environments.index(until) + 1]:
            self._through(environment, "Live")

    @rule(
        environment=ENVIRONMENT,
        delivered=st.booleans(),
        outcome=st.sampled_from(["Live", "Live", "Failed", ""]),
    )
    def people_reject_what_is_live(self, environment: str, delivered: bool, outcome: str) -> None:
        live = self.hub.history.live(environment)
        if live is not None:
            self.people_decide(live.version, Approval.REJECTED)
            if delivered:
                self.the_newest_event_comes()
            if outcome:
                self._through(environment, outcome)

    @rule(number=NUMBERS)
    def a_version_fails_in_preprod(self, number: int) -> None:
        self.people_decide(number, Approval.REJECTED)
        self.the_newest_event_comes()
        self.hub.clock.pass_(1)
        self.people_decide(number, Approval.APPROVED)
        self.the_newest_event_comes()
        self._through(self.environments[0], "Failed")

    @rule(first=NUMBERS, second=NUMBERS)
    def two_runs_begin_at_once(self, first: int, second: int) -> None:
        for number in (first, second):
            self.people_decide(number, Approval.APPROVED)
            self.the_newest_event_comes()
        for attempt in self.hub.history.of(self.environments[0])[-2:]:
            if attempt.status is Status.REQUESTED:
                self._tolerating(lambda begun=attempt: self.hub.begin(begun))

    @rule(environment=ENVIRONMENT, approval=st.sampled_from(list(Approval)))
    def people_decide_while_a_run_deploys(self, environment: str, approval: Approval) -> None:
        attempt = self.hub.history.deploying(environment)
        if attempt is not None:
            self.people_decide(attempt.version, approval)
            self._tolerating(lambda: self.hub.finish(attempt))

    @rule(environment=ENVIRONMENT)
    def the_newest_request_goes_through(self, environment: str) -> None:
        self._through(environment, "Live")

    def _through(self, environment: str, outcome: str) -> None:
        attempts = self.hub.history.of(environment)
        if attempts and attempts[-1].status is Status.REQUESTED:
            self._tolerating(lambda: self.hub.begin(attempts[-1]))
            begun = self.hub.history.get(environment, attempts[-1].sequence)
            if begun is not None and begun.status is Status.DEPLOYING:
                self._tolerating(lambda: self.hub.finish(begun, outcome))

    @rule(numbers=st.sets(NUMBERS, max_size=1))
    def the_gate_refuses(self, numbers: set[int]) -> None:
        self.hub.door.refused = numbers

    # Faults.

    @rule(conflicts=st.integers(1, 3))
    def others_are_faster(self, conflicts: int) -> None:
        self.hub.memory.conflicts = conflicts

    @rule()
    def the_process_will_end_after_a_write(self) -> None:
        self.hub.memory.end_after_write = True

    @rule()
    def the_process_will_end_after_a_start(self) -> None:
        self.hub.ci.end_after_start = True

    @rule(broken=st.booleans())
    def runs_cannot_be_started(self, broken: bool) -> None:
        self.hub.ci.broken = broken

    def _some(self, data: st.DataObject, wanted: Any) -> Attempt | None:
        found = [item for item in self.hub.history.attempts if wanted(item)]
        return data.draw(st.sampled_from(found)) if found else None

    def _tolerating(self, act: Any) -> None:
        try:
            act()
        except (StartingError, Ended):
            # Lambda delivers the event again, some time.
            pass
        finally:
            self.hub.ci.end_after_start = False
            self.hub.memory.end_after_write = False

    # What holds.

    def _approval(self, number: int) -> Approval:
        return self.hub.registry.approval(version_arn(number))

    def _judge(self, before: History, after: History) -> None:
        old = {(item.environment, item.sequence): item for item in before.attempts}
        moves = {(row.source, row.target) for row in DEPLOYMENT}
        assert set(old) <= {(item.environment, item.sequence) for item in after.attempts}
        for item in after.attempts:
            was = old.get((item.environment, item.sequence))
            status = None if was is None else was.status
            if status is item.status:
                continue
            # One decision may move an attempt by two rows: ended by silence, then taken out.
            two = any((status, mid) in moves and (mid, item.status) in moves for mid in Status)
            assert (status, item.status) in moves or two, (status, item.status)
            if was is not None:
                assert was.model_package_arn == item.model_package_arn
            if item.status is Status.REFUSED and item.leaves and not item.withdrawn:
                self.refused[item.environment, item.leaves].add(item.version)
        for item in after.attempts:
            known = old.get((item.environment, item.sequence))
            if known is None and item.kind is not Kind.DEPLOY:
                self._judge_target(after, item)
        for item in after.attempts:
            known = old.get((item.environment, item.sequence))
            if item.status is Status.LIVE and (known is None or known.status is not Status.LIVE):
                # Never live unapproved, and never live without having passed the gate.
                assert self._approval(item.version) is Approval.APPROVED
                assert known is not None
                assert known.status is Status.DEPLOYING
                self.was_live[item.environment].add(item.version)
                self.now_live[item.environment] = item.version

    def _judge_target(self, after: History, item: Attempt) -> None:
        """The newest earlier version that was live here, is still approved, and not refused."""
        environment = item.environment
        left = after.get(environment, item.leaves)
        assert left is not None
        assert left.status in (Status.LIVE, Status.FAILED)
        live = self.now_live.get(environment)
        refused = self.refused[environment, item.leaves]
        if (
            left.status is Status.FAILED
            and live is not None
            and self._approval(live) is Approval.APPROVED
            and live not in refused
        ):
            assert item.version == live
            return
        below = left.version if left.status is Status.LIVE or live is None else live
        choices = [
            number
            for number in self.was_live[environment]
            if number < below
            and self._approval(number) is Approval.APPROVED
            and number not in refused
        ]
        assert choices
        assert item.version == max(choices)

    @invariant()
    def an_environment_has_one_live_version_and_one_deployment_under_way(self) -> None:
        for environment in self.environments:
            attempts = self.hub.history.of(environment)
            states = collections.Counter(item.status for item in attempts)
            assert states[Status.LIVE] <= 1
            assert states[Status.DEPLOYING] <= 1
            assert [item.sequence for item in attempts] == list(range(1, len(attempts) + 1))
            retreats = [
                item
                for item in attempts
                if item.kind is not Kind.DEPLOY and item.status is Status.REQUESTED
            ]
            assert len(retreats) <= 1

    @invariant()
    def one_approval_starts_one_deployment(self) -> None:
        requested = collections.Counter(
            item.version
            for item in self.hub.history.of(self.environments[0])
            if item.kind is Kind.DEPLOY
        )
        for number, count in requested.items():
            assert count <= self.hub.registry.approved_times[number]
        # Started twice by token or not: each attempt has one run.
        executions = [
            item.execution
            for item in self.hub.history.of(self.environments[0])
            if item.execution and item.execution != "stranger"
        ]
        assert len(executions) == len(set(executions))

    @invariant()
    def each_environment_follows_the_one_before(self) -> None:
        for before, after in itertools.pairwise(self.environments):
            tested = {item.version for item in self.hub.history.of(before) if item.live_at}
            assert {item.version for item in self.hub.history.of(after)} <= tested

    def teardown(self) -> None:
        """Faults end, and each version's last event comes: nothing is left undone."""
        hub = self.hub
        hub.ci.broken, hub.memory.conflicts = False, 0
        hub.ci.end_after_start = hub.memory.end_after_write = False
        hub.clock.pass_(200)
        last = {event["detail"]["ModelPackageVersion"]: event for event in hub.registry.events}
        for event in last.values():
            hub.function.version_event(event)
        for number, approval in hub.registry.approvals.items():
            started = [
                item
                for item in hub.history.of(self.environments[0])
                if item.version == number and item.kind is Kind.DEPLOY and not item.withdrawn
            ]
            assert (len(started) == 1) == (approval is Approval.APPROVED), (number, approval)
        for item in hub.history.attempts:
            if item.status is Status.REQUESTED and not hub.history.deploying(item.environment):
                assert item.started
        for environment, number in self.now_live.items():
            live = hub.history.live(environment)
            assert live is not None
            assert live.version == number
            if self._approval(number) is Approval.REJECTED:
                left = [a for a in hub.history.of(environment) if a.leaves == live.sequence]
                told = any(
                    line["outcome"] == "no-retreat" and line["environment"] == environment
                    for line in hub.logged
                )
                assert left or told


Deploying.TestCase.settings = settings(
    max_examples=250,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSequences = Deploying.TestCase


class DeployingToMore(Deploying):
    """The same with more than one environment of a kind."""

    environments = ("preprod", "prod", "prod-eu", "prod-us")


DeployingToMore.TestCase.settings = settings(
    Deploying.TestCase.settings, max_examples=60, stateful_step_count=60
)
TestMoreOfAKind = DeployingToMore.TestCase
