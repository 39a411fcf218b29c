"""A hub in memory: registry, ledger and runs, with every fault that the real ones can have."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.deployment.deployments import Caller, Deployments
from functions.deployment.gate import Question
from functions.deployment.history import Attempt, History, Passed, Print
from functions.deployment.ledger import OutdatedError
from functions.deployment.machine import Approval
from functions.deployment.projects import Project
from functions.deployment.refusal import Refusal
from functions.deployment.settings import Settings, read_settings
from functions.deployment.signatures import SignatureError
from functions.deployment.start import token
from functions.deployment.versions import Version

HUB, REGION, GROUP = "111111111111", "eu-west-1", "acme-governance-houses"
ENVIRONMENTS = ("preprod", "prod")
PROJECT = Project(
    "houses",
    GROUP,
    "codepipeline",
    pipeline="houses-way",
    restore={env: f"houses-back-{env}" for env in ("preprod", "prod", "prod-eu")},
)


def settings(**changes: str) -> Settings:
    return read_settings(
        {
            "AWS_REGION": REGION,
            "HUB_ACCOUNT": HUB,
            "LEDGER_TABLE": "acme-governance-deployments",
            "GROUP_PREFIX": "acme-governance-",
            "PROJECT_PARAMETERS": "/acme/governance/projects",
            **changes,
        }
    )


def version_arn(number: int) -> str:
    return f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/{GROUP}/{number}"


class Ended(BaseException):
    """The function's process ends here."""


@dataclass
class Clock:
    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class Memory:
    """Keeps one group's history; sees every change that is kept."""

    environments: tuple[str, ...] = ENVIRONMENTS
    history: History = field(default_factory=lambda: History(GROUP))
    seen: list[Callable[[History, History], None]] = field(default_factory=list)
    conflicts: int = 0
    end_after_write: bool = False

    def read(self, group: str, environments: tuple[str, ...]) -> History:
        assert (group, environments) == (GROUP, self.environments)
        return self.history

    def write(self, before: History, after: History) -> None:
        if self.conflicts:
            # Another invocation was faster, and changed nothing that matters.
            self.conflicts -= 1
            self.history = replace(self.history, revision=self.history.revision + 1)
        if before.revision != self.history.revision:
            raise OutdatedError
        for see in self.seen:
            see(self.history, after)
        self.history = replace(after, revision=before.revision + 1)
        if self.end_after_write:
            self.end_after_write = False
            raise Ended


@dataclass
class Registered:
    """The hub's registry, and the events of its changes."""

    clock: Clock
    approvals: dict[int, Approval] = field(default_factory=dict)
    changed: dict[int, datetime] = field(default_factory=dict)
    approved_times: dict[int, int] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def set(self, number: int, approval: Approval) -> dict[str, Any]:
        if approval is Approval.APPROVED and self.approvals.get(number) is not approval:
            self.approved_times[number] = self.approved_times.get(number, 0) + 1
        self.approvals[number] = approval
        self.changed[number] = self.clock()
        arn = version_arn(number)
        event = {
            "id": str(uuid.uuid4()),
            "source": "aws.sagemaker",
            "detail-type": "SageMaker Model Package State Change",
            "account": HUB,
            "region": REGION,
            "time": self.clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "detail": {
                "ModelPackageArn": arn,
                "ModelPackageGroupName": GROUP,
                "ModelPackageVersion": number,
                "ModelApprovalStatus": approval.value,
            },
        }
        self.events.append(event)
        return event

    def read(self, arn: str) -> Version | None:
        number = int(arn.rpartition("/")[2])
        approval = self.approvals.get(number, Approval.GONE)
        if approval is Approval.GONE:
            return None
        description = {
            "LastModifiedTime": self.changed[number],
            "LastModifiedBy": {"UserProfileName": "alex"},
            "InferenceSpecification": {
                "Containers": [{"Image": "image", "ModelDataUrl": "s3://m"}]
            },
        }
        return Version(arn, GROUP, number, approval, True, description)

    def approval(self, arn: str) -> Approval:
        return self.approvals.get(int(arn.rpartition("/")[2]), Approval.GONE)


@dataclass
class Door:
    """A gate that refuses the versions that it is told to."""

    refused: set[int] = field(default_factory=set)
    unreadable: set[int] = field(default_factory=set)
    registry: Registered | None = None

    def fingerprint(self, version: Version) -> Print:
        if version.number in self.unreadable:
            return Print(problem="There is nothing there.")
        return Print(f"print-{version.number}", {"all": "1"})

    def check(self, question: Question) -> Passed:
        if question.version.approval is not Approval.APPROVED:
            raise Refusal("not approved")
        if question.version.number in self.refused:
            raise Refusal("not today")
        return Passed("grace", "2026-01-01T00:00:00Z", "good", ["all"])


@dataclass
class Ci:
    """Starts runs: one run for one token."""

    runs: dict[str, tuple[str, Attempt]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    broken: bool = False
    end_after_start: bool = False
    states: dict[str, str] = field(default_factory=dict[str, str])

    def state(self, pipeline: str, execution: str) -> str:
        assert pipeline in (PROJECT.pipeline, *PROJECT.restore.values())
        return self.states.get(execution, "FAILED")

    def start(self, project: Project, attempt: Attempt) -> str:
        assert project.name == PROJECT.name
        if self.broken:
            raise ConnectionError("the service is down")
        key = token(GROUP, attempt)
        self.calls.append(key)
        execution = self.runs.setdefault(key, (str(uuid.uuid4()), attempt))[0]
        if self.end_after_start:
            self.end_after_start = False
            raise Ended
        return execution


ALEX = f"arn:aws:sts::{HUB}:assumed-role/engineer/alex"


class Signatures:
    """STS, as far as it knows one person."""

    def name(self, request: Mapping[str, Any]) -> str:
        if request.get("signature") != "alex's":
            raise SignatureError("signature is not alex's.")
        return ALEX


@dataclass
class OneProject:
    project: Project = PROJECT

    def of_group(self, group: str) -> Project | None:
        return self.project if group == GROUP else None

    def all(self) -> Iterator[Project]:
        yield self.project


class HubInMemory:
    """The function with all that it uses."""

    def __init__(self, environments: tuple[str, ...] = ENVIRONMENTS, **changes: str) -> None:
        self.environments = environments
        if environments != ENVIRONMENTS:
            changes["EVIDENCE"] = json.dumps({name: ["metrics"] for name in environments})
        self.clock, self.memory = Clock(), Memory(environments)
        self.registry, self.door, self.ci = Registered(self.clock), Door(), Ci()
        self.logged: list[dict[str, Any]] = []
        self.projects = OneProject()
        self.function = Deployments(
            settings=settings(**changes),
            store=self.memory,
            registry=self.registry,
            projects=self.projects,
            gate=self.door,
            starter=self.ci,
            signers=Signatures(),
            log=lambda **line: self.logged.append(line),
            now=self.clock,
        )

    @property
    def history(self) -> History:
        return self.memory.history

    def set(self, number: int, approval: Approval) -> dict[str, Any]:
        """Changes a version and delivers the event."""
        self.clock.pass_(1)
        return self.function.version_event(self.registry.set(number, approval))

    def approve(self, number: int) -> None:
        self.set(number, Approval.APPROVED)

    def reject(self, number: int) -> None:
        self.set(number, Approval.REJECTED)

    def begin(self, attempt: Attempt, execution: str = "") -> dict[str, Any]:
        self.clock.pass_(1)
        return self.function.begin(
            {
                "group": GROUP,
                "environment": attempt.environment,
                "model_package_arn": attempt.model_package_arn,
                "execution": execution or attempt.execution or f"run-{attempt.sequence}",
                "kind": attempt.kind.value,
            },
            Caller(PROJECT.name, attempt.environment),
        )

    def finish(self, attempt: Attempt, outcome: str = "Live", **more: Any) -> dict[str, Any]:
        self.clock.pass_(1)
        return self.function.finish(
            {
                "group": GROUP,
                "environment": attempt.environment,
                "sequence": attempt.sequence,
                "outcome": outcome,
                **more,
            },
            Caller(PROJECT.name, attempt.environment),
        )

    def rollback(self, environment: str, **changes: Any) -> dict[str, Any]:
        self.clock.pass_(1)
        live = self.history.live(environment)
        return self.function.rollback(
            {
                "group": GROUP,
                "environment": environment,
                "sequence": live.sequence if live else 0,
                "reason": "slow",
                "signature": "alex's",
                **changes,
            }
        )

    def aim(self, *targets: str) -> None:
        """Changes the project's targets."""
        self.projects.project = replace(PROJECT, targets=targets)

    def last(self, environment: str) -> Attempt:
        return self.history.of(environment)[-1]

    def bring(self, environment: str, outcome: str = "Live") -> Attempt:
        """Deploys what was requested last in an environment."""
        attempt = self.last(environment)
        assert self.begin(attempt)["proceed"], self.logged[-1]
        self.finish(attempt, outcome, reason="the tests failed" if outcome == "Failed" else "")
        found = self.history.get(environment, attempt.sequence)
        assert found is not None
        return found

    def live_through(self, number: int) -> None:
        """Approves a version and brings it to all environments."""
        self.approve(number)
        for environment in self.environments:
            self.bring(environment)

    def states(self, environment: str) -> list[tuple[int, str, str]]:
        """Version, kind and status of an environment's attempts."""
        return [
            (item.version, item.kind.value, item.status.value)
            for item in self.history.of(environment)
        ]
