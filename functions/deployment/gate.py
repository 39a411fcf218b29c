"""The gate: whether a version may be deployed in an environment now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..promotion.identity import Person, read_build, read_person
from ..promotion.registry import SPECIFICATION_KEY, specification_digest
from .approvals import ManualApprovals
from .cards import record_approval
from .evidence import Evidence
from .fingerprint import changes, read_print
from .history import Attempt, Passed, Print
from .machine import Approval, Kind
from .projects import Project
from .refusal import Refusal
from .settings import Settings
from .versions import Version


@dataclass(frozen=True)
class Question:
    """What a run wants to deploy.

    Attributes:
        project: Its project.
        attempt: What the ledger has of it.
        version: The version, as the registry has it now.
        execution: The run.
    """

    project: Project
    attempt: Attempt
    version: Version
    execution: str


class Gate(Protocol):
    """What lets versions pass."""

    def fingerprint(self, version: Version) -> Print:
        """What a version is made of now."""
        ...

    def check(self, question: Question) -> Passed:
        """Lets a version pass.

        Raises:
            Refusal: It may not be deployed.
        """
        ...


CHECKS: Mapping[Kind, tuple[str, ...]] = {
    Kind.DEPLOY: (
        "approved",
        "own run",
        "reason",
        "runnable",
        "unchanged",
        "duties",
        "evidence",
        "manual approval",
    ),
    Kind.RETREAT: ("approved", "own run", "runnable", "unchanged"),
    Kind.ROLLBACK: ("approved", "own run", "runnable", "unchanged"),
}
"""What is checked of each kind, in this order. A retreat brings back what has passed all of it in
this environment before; it must not fail for a finding that came to light since."""


def read_makers(version: Version, settings: Settings) -> Person:
    """Who registered or trained a version, and who approved it in dev, as one.

    An approval in dev can bring another specification with it, so it is part of the making. A
    build runs what was reviewed and merged, started by nobody: it is its own registrant, and
    approves nothing.

    Raises:
        Refusal: It is not known who registered it.
    """
    registrant = read_person(version.registered_by, settings.service_roles)
    if not registrant.names:
        registrant = read_build(version.registered_by, settings.build_roles) or registrant
    if not registrant.names:
        raise Refusal(
            f"It is not known who registered or trained {version.arn} "
            f"({registrant.told or 'RegisteredBy and StartedBy are missing'}): a role that "
            "registers for people needs a source identity, or a pipeline that a person started."
        )
    approver = read_person(version.approved_in_dev_by, settings.service_roles)
    told = f"registered: {registrant.told}; approved in dev: {approver.told or 'not recorded'}"
    return Person(registrant.names | approver.names, told)


def require_other(who: Person, makers: Person, did: str) -> None:
    """Separation of duties: somebody known, and nobody of those who made the version.

    Args:
        who: Who approves.
        makers: As :func:`read_makers` has them.
        did: What the first one did, in words.

    Raises:
        Refusal: It is nobody known, or the same person.
    """
    if not who.names:
        raise Refusal(
            f"It is not known who {did} ({who.told or 'nobody is named'}): approve as a "
            "person, with a session name or source identity of your own."
        )
    if who.is_same(makers):
        raise Refusal(
            f"{who.told} {did}, and registered, trained or approved it in dev, too "
            f"({makers.told}): another person has to approve it."
        )


class Checks:
    """The checks.

    Args:
        settings: The deployment's settings.
        sagemaker: A SageMaker client of the hub.
        s3: An S3 client of the hub.
        evidence: Reads evidence.
        approvals: Reads manual approvals.
    """

    def __init__(
        self,
        settings: Settings,
        sagemaker: Any,
        s3: Any,
        evidence: Evidence,
        approvals: ManualApprovals,
    ) -> None:
        self._settings = settings
        self._sagemaker = sagemaker
        self._s3 = s3
        self._evidence = evidence
        self._approvals = approvals

    def fingerprint(self, version: Version) -> Print:
        """What a version is made of now."""
        return read_print(self._s3, version.description, self._settings.hub_account)

    def check(self, question: Question) -> Passed:
        """Lets a version pass; its approval is on its card then.

        Raises:
            Refusal: It may not be deployed.
            ClientError: A service's, for what may work later.
            GitHubError: GitHub's, likewise.
        """
        attempt = question.attempt
        passed = Passed(
            attempt.approved_by or attempt.version_approved_by,
            attempt.approved_at or attempt.version_approved_at,
            attempt.approval_reason,
            [],
        )
        checks: Mapping[str, Callable[[Question, Passed], Passed]] = {
            "approved": self._approved,
            "own run": self._own_run,
            "reason": self._reason,
            "runnable": self._runnable,
            "unchanged": self._unchanged,
            "duties": self._duties,
            "evidence": self._evident,
            "manual approval": self._manual,
        }
        for name in CHECKS[attempt.kind]:
            passed = checks[name](question, passed)
        if attempt.kind is Kind.DEPLOY:
            record_approval(
                self._sagemaker,
                question.version,
                attempt.environment,
                by=passed.approved_by,
                at=passed.approved_at,
                why=passed.approval_reason,
                run=question.execution,
            )
        return passed

    def _approved(self, question: Question, passed: Passed) -> Passed:
        version = question.version
        if version.approval is not Approval.APPROVED:
            raise Refusal(f"{version.arn} is {version.approval.value}, not Approved.")
        if not version.complete:
            raise Refusal(f"{version.arn} is approved, but not completed by SageMaker.")
        return passed

    def _own_run(self, question: Question, passed: Passed) -> Passed:
        self._approvals.require_own_run(question.project, question.execution, question.version.arn)
        return passed

    def _reason(self, question: Question, passed: Passed) -> Passed:
        if not question.version.approved().reason:
            raise Refusal(
                f"{question.version.arn} was approved without a reason: take it back to pending, "
                "and approve it again with one (ApprovalDescription)."
            )
        return passed

    def _runnable(self, question: Question, passed: Passed) -> Passed:
        count = len(question.version.containers)
        if count != 1:
            raise Refusal(
                f"{question.version.arn} has {count} containers, a deployment runs exactly one."
            )
        return passed

    def _unchanged(self, question: Question, passed: Passed) -> Passed:
        now = self.fingerprint(question.version)
        if now.problem:
            raise Refusal(now.problem)
        if now.digest != question.attempt.fingerprint:
            what = "; ".join(changes(question.attempt.parts, now.parts))
            raise Refusal(
                f"{question.version.arn} is not what was approved: {what}. Register it anew."
            )
        promoted = question.version.metadata.get(SPECIFICATION_KEY)
        if promoted and promoted != specification_digest(question.version.description):
            raise Refusal(
                f"{question.version.arn} is not what was promoted: its specification was changed"
                " with its approval or before. Register it anew."
            )
        return passed

    def _duties(self, question: Question, passed: Passed) -> Passed:
        makers = read_makers(question.version, self._settings)
        approver = self._person(question.attempt.version_approved_by)
        require_other(approver, makers, "approved the version")
        changer = self._person(question.version.changed_by)
        if changer.names:
            # A second approval may have come too soon after the first to be told apart from it.
            require_other(changer, makers, "changed the version's approval")
        return passed

    def _person(self, told: str) -> Person:
        return read_person(told, self._settings.service_roles)

    def _evident(self, question: Question, passed: Passed) -> Passed:
        kinds = self._settings.evidence[question.attempt.environment]
        found = self._evidence.read(kinds, question.version)
        return Passed(passed.approved_by, passed.approved_at, passed.approval_reason, found)

    def _manual(self, question: Question, passed: Passed) -> Passed:
        attempt = question.attempt
        if attempt.environment not in self._settings.manual_approvals:
            return passed
        approval = self._approvals.read(
            question.project, attempt.environment, question.execution, question.version.arn
        )
        who = self._person(approval.person)
        did = f"approved the deployment to {attempt.environment}"
        require_other(
            Person(who.names, approval.by),
            read_makers(question.version, self._settings),
            did,
        )
        for told in {attempt.version_approved_by, question.version.changed_by}:
            if who.is_same(self._person(told)):
                raise Refusal(
                    f"{approval.by} {did}, and approved the version too: another person has to."
                )
        return Passed(approval.by, approval.at, approval.why, passed.evidence)
