"""What has drifted, and whether that starts a retraining: pure, so that every case is a test.

A drift is of one version of one project, however often, wherever and by whatever kind of monitoring
it is found: while the version serves in two environments, both find it each hour. It starts one run
of the project's build. What the run registers waits for people as every version does; until another
version serves, nothing more is started.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

VERSION = "MODEL_PACKAGE_ARN"
"""Variable of a monitoring job that says whose baseline it is; the deployment repositories set it
in ``monitoring.py``."""

SUFFIXES = ("-drift", "-quality", "-bias", "-explain")
"""Ends of the names of their schedules: of data, model quality, bias and attributions."""

STALE = timedelta(hours=1)
"""When a start that nobody finished is another event's to finish."""


class DriftError(ValueError):
    """An event tells of no drift; the message says why."""


@dataclass(frozen=True)
class Drift:
    """Traffic that is not like what a version was trained on.

    Attributes:
        project: Whose endpoint.
        environment: Where.
        version: ARN of the version, or where its baseline lies when the event does not tell it.
        job: ARN of the job that found it.
        found: What it said, such as how many violations.
    """

    project: str
    environment: str
    version: str
    job: str
    found: str


class State(Enum):
    """How far a retraining is."""

    STARTING = "Starting"
    STARTED = "Started"


@dataclass(frozen=True)
class Retraining:
    """The last retraining of a project.

    Attributes:
        project: The project.
        version: The version that had drifted.
        state: How far it is.
        event: Id of the event that started it.
        at: When.
        execution: The build's run; empty where it is not known.
        revision: Counts the changes.
    """

    project: str
    version: str
    state: State
    event: str
    at: datetime
    execution: str = ""
    revision: int = 1

    @property
    def token(self) -> str:
        """The same for every try to start it, and for no other drift."""
        told = f"{self.project}#{self.version}"
        return str(uuid.UUID(bytes=hashlib.sha256(told.encode()).digest()[:16]))


class Verdict(Enum):
    """What to do about a drift."""

    START = "started"
    """Nothing was started for the version yet."""
    RESUME = "resumed"
    """It was being started, and that was never finished."""
    ALREADY = "already"
    """It was started before: one version drifts once."""
    BUSY = "busy"
    """A retraining for another version is on its way."""


def read(event: Mapping[str, Any], prefix: str, accounts: Mapping[str, str]) -> Drift:
    """The drift that an event tells of.

    Args:
        event: ``SageMaker Processing Job State Change`` of a monitoring job.
        prefix: Of all names of the platform.
        accounts: Environment -> account.

    Raises:
        DriftError: It is none of ours.
    """
    detail: Mapping[str, Any] = event.get("detail") or {}
    found = str(detail.get("ExitMessage") or "")
    if not found.startswith("CompletedWithViolations"):
        raise DriftError(f"the job ended with {found[:100]!r}, not with violations")
    schedule = str(detail.get("MonitoringScheduleArn") or "").rpartition("/")[2]
    if not schedule:
        raise DriftError("the job is of no monitoring schedule")
    account = str(event.get("account"))
    # Longer names first: prod-eu is no project of prod.
    for environment in sorted(accounts, key=len, reverse=True):
        start = f"{prefix}-{environment}-"
        if accounts[environment] == account and schedule.startswith(start):
            suffix = next((end for end in SUFFIXES if schedule.endswith(end)), "")
            project = schedule.removeprefix(start).removesuffix(suffix)
            if suffix and project and f"{start}{project}{suffix}" == schedule:
                version = _version(detail)
                return Drift(project, environment, version, str(detail["ProcessingJobArn"]), found)
    raise DriftError(f"{schedule} of account {account} is no schedule of a project")


def _version(detail: Mapping[str, Any]) -> str:
    told = (detail.get("Environment") or {}).get(VERSION)
    if told:
        return str(told)
    for given in detail.get("ProcessingInputs") or ():
        uri = str((given.get("S3Input") or {}).get("S3Uri") or "")
        if uri.endswith("constraints.json"):
            return uri
    raise DriftError("the job does not tell what it compared the traffic with")


def decide(
    last: Retraining | None, drift: Drift, event: str, now: datetime, *, running: bool
) -> Verdict:
    """What to do about a drift.

    Args:
        last: The project's last retraining; None for none.
        drift: What was found.
        event: Id of the event that told it.
        now: The time.
        running: Whether the last retraining's run is on its way.
    """
    if last is None:
        return Verdict.START
    open_ = last.state is State.STARTING
    if last.version == drift.version:
        mine = last.event == event or now - last.at > STALE
        return Verdict.RESUME if open_ and mine else Verdict.ALREADY
    if running or (open_ and now - last.at <= STALE):
        return Verdict.BUSY
    return Verdict.START
