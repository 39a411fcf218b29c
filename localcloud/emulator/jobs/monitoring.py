"""Model Monitor: definitions of monitoring jobs, their schedules, and their executions.

An execution is a processing job over what an endpoint, or batch transforms, captured since the
execution before it (the first one: since the schedule was made); on AWS it is the schedule's last
whole hour or day. Where labels are needed, a job that merges them comes first. It runs when the
schedule is due, or at once by ``POST /_localcloud/schedules`` with the schedule's ARN.
:mod:`.monitoring_jobs` has the kinds of monitoring. Sources: SageMaker API reference; developer
guide, "Schedule monitoring jobs" and "Container Contract Inputs".
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from localcloud.emulator import schedules
from localcloud.emulator.extension import ApiError, Host, Params
from localcloud.emulator.jobs import monitoring_jobs, processing
from localcloud.emulator.jobs.job import FINISHED, PROCESSING, page, refuse, select
from localcloud.emulator.jobs.monitoring_jobs import KINDS, Kind, Window
from localcloud.emulator.jobs.place import SERVICE, Place, now

SCHEDULES = "monitoring_schedules"
_VIOLATED = "CompletedWithViolations"
_NO_DATA = "Job inputs had no data"
_NO_LABELS = "Job inputs had no ground truth"
_PAUSE_SECONDS = 0.05


# Definitions of jobs.


def create_definition(place: Place, kind: Kind, params: Params) -> Params:
    """Keeps a definition; there is no way to change one."""
    name = params["JobDefinitionName"]
    kind.check(params)
    kept = place.things(kind.store)
    if name in kept:
        raise ApiError("ResourceInUse", f"Job definition {name} already exists.")
    arn = place.arn(f"{kind.resource}/{name}")
    kept[name] = {
        **{key: value for key, value in params.items() if key != "Tags"},
        "JobDefinitionArn": arn,
        "CreationTime": now(),
    }
    place.remember_tags(arn, params)
    return {"JobDefinitionArn": arn}


def definition(place: Place, kind: Kind, name: str) -> Params:
    """A definition.

    Raises:
        ApiError: There is none.
    """
    found = place.things(kind.store).get(name)
    if found is None:
        raise ApiError("ResourceNotFound", f"Could not find job definition '{name}'.")
    return found


def delete_definition(place: Place, kind: Kind, name: str) -> None:
    """Removes a definition; refused while a schedule uses it.

    Raises:
        ApiError: There is none, or it is used.
    """
    found = definition(place, kind, name)
    users = [
        schedule.name
        for schedule in place.things(SCHEDULES).values()
        if schedule.kind is kind and schedule.definition_name == name
    ]
    if users:
        raise ApiError("ResourceInUse", f"Job definition {name} is used by {', '.join(users)}.")
    del place.things(kind.store)[name]
    place.forget_tags(found["JobDefinitionArn"])


def list_definitions(place: Place, kind: Kind, params: Params) -> Params:
    """A page of definitions."""
    items = [
        {
            "MonitoringJobDefinitionName": name,
            "MonitoringJobDefinitionArn": kept["JobDefinitionArn"],
            "CreationTime": kept["CreationTime"],
            **kind.endpoint(kept),
        }
        for name, kept in place.things(kind.store).items()
    ]
    ordered = select(items, params, "MonitoringJobDefinitionName")
    return page(ordered, "JobDefinitionSummaries", params)


# Executions.


@dataclass
class Execution:
    """One run of a schedule.

    Attributes:
        scheduled: When.
        kind: Of monitoring.
        definition: What it ran by.
        merge: Name of the job that merges labels; empty for none.
        job: Name of the job that analyzes; empty until there is something to analyze.
        failure: Why neither could begin.
    """

    scheduled: dt.datetime
    kind: Kind
    definition: Params
    merge: str = ""
    job: str = ""
    failure: str = ""
    created: dt.datetime = field(default_factory=now)

    def summary(self, place: Place, schedule: Schedule) -> Params:
        """As ListMonitoringExecutions tells it."""
        told: Params = {
            "MonitoringScheduleName": schedule.name,
            "ScheduledTime": self.scheduled,
            "CreationTime": self.created,
            "LastModifiedTime": self.created,
            "MonitoringExecutionStatus": "Failed",
            **self.kind.endpoint(self.definition),
            "MonitoringJobDefinitionName": self.definition["JobDefinitionName"],
            "MonitoringType": self.kind.name,
        }
        if self.failure:
            return {**told, "FailureReason": self.failure}
        job = place.things(PROCESSING.store)[self.job or self.merge].description
        status = job["ProcessingJobStatus"]
        if status == "Completed" and not self.job:
            status = "InProgress"
        if status == "Completed" and str(job.get("ExitMessage", "")).startswith(_VIOLATED):
            status = _VIOLATED
        told |= {
            "ProcessingJobArn": job["ProcessingJobArn"],
            "MonitoringExecutionStatus": status,
            "LastModifiedTime": job["LastModifiedTime"],
        }
        reason = job.get("FailureReason")
        if status == "Failed" and job.get("ExitMessage"):
            reason = f"{reason}: {job['ExitMessage']}"
        return {**told, "FailureReason": reason} if reason else told


@dataclass
class Schedule:
    """A monitoring schedule.

    Attributes:
        place: Where.
        name: Its name.
        config: ``MonitoringScheduleConfig``.
        until: End of the traffic that was analyzed last.
        executions: The newest last.
    """

    place: Place
    name: str
    config: Params
    status: str = "Scheduled"
    created: dt.datetime = field(default_factory=now)
    modified: dt.datetime = field(default_factory=now)
    until: dt.datetime = field(default_factory=now)
    executions: list[Execution] = field(default_factory=list[Execution])

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.place.arn(f"monitoring-schedule/{self.name}")

    @property
    def kind(self) -> Kind:
        """What it monitors."""
        return KINDS[self.config["MonitoringType"]]

    @property
    def definition_name(self) -> str:
        """What it runs by."""
        return str(self.config.get("MonitoringJobDefinitionName"))

    @property
    def expression(self) -> str:
        """When it runs."""
        return str(self.config["ScheduleConfig"]["ScheduleExpression"])

    def description(self) -> Params:
        """What DescribeMonitoringSchedule answers."""
        told: Params = {
            "MonitoringScheduleArn": self.arn,
            "MonitoringScheduleName": self.name,
            "MonitoringScheduleStatus": self.status,
            "MonitoringType": self.kind.name,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "MonitoringScheduleConfig": self.config,
            **self.kind.endpoint(self._definition()),
        }
        if self.executions:
            last = self.executions[-1].summary(self.place, self)
            told["LastMonitoringExecutionSummary"] = last
        return told

    def _definition(self) -> Params:
        return definition(self.place, self.kind, self.definition_name)

    def execute(self) -> None:
        """Runs once, over the traffic captured since the last time."""
        kind, kept = self.kind, self._definition()
        # Captured moments are in whole seconds, and this one is not over: what still comes in it
        # would belong to no execution.
        end = now().replace(microsecond=0) + dt.timedelta(seconds=1)
        time.sleep((end - now()).total_seconds())
        late = monitoring_jobs.delay(kind.source(kept))
        window = Window(self.until, max(self.until, end - late))
        self.until = window.end
        run = Execution(now(), kind, kept)
        traffic = monitoring_jobs.captured(self.place, kind, kept, window)
        labels: list[str] = []
        if kind.labelled and traffic:
            labels = monitoring_jobs.labelled(self.place, kind, kept, window, traffic)
            run.failure = "" if labels else _NO_LABELS
        if not traffic:
            run.failure = _NO_DATA
        if not run.failure and kind.labelled:
            run.merge = self._begin(
                monitoring_jobs.merge_job(self.place, kind, kept, traffic, labels, window)
            )
            threading.Thread(
                target=self._analyze, args=(run, traffic, window), daemon=True, name=run.merge
            ).start()
        elif not run.failure:
            self._analyze(run, traffic, window)
        self.executions.append(run)

    def _analyze(self, run: Execution, traffic: list[str], window: Window) -> None:
        merging = self.place.things(PROCESSING.store).get(run.merge)
        while merging is not None and merging.state not in FINISHED:
            if self.place.compute.stopping.wait(_PAUSE_SECONDS):
                return
        if merging is None or merging.state == "Completed":
            run.job = self._begin(
                monitoring_jobs.analysis_job(
                    (self.name, self.arn), run.kind, run.definition, traffic, window
                )
            )

    def _begin(self, job: Params) -> str:
        tags = [{"Key": k, "Value": v} for k, v in self.place.tags(self.arn).items()]
        processing.begin(self.place, {**job, "Tags": tags})
        return str(job["ProcessingJobName"])


# Schedules.


def _checked(place: Place, config: Params) -> Params:
    refuse(
        config,
        {"MonitoringJobDefinition": "definitions within the schedule (give it a name)"},
        "monitoring schedules",
    )
    kind = KINDS.get(config.get("MonitoringType", ""))
    if kind is None:
        raise ApiError("ValidationException", f"MonitoringType is one of {', '.join(KINDS)}.")
    definition(place, kind, config["MonitoringJobDefinitionName"])
    expression = (config.get("ScheduleConfig") or {}).get("ScheduleExpression", "")
    try:
        parsed = schedules.parse(expression)
    except schedules.ScheduleError as error:
        raise ApiError("ValidationException", f"{expression}: {error}") from error
    # Source: SageMaker developer guide, "The cron expression for monitoring schedule": hours are
    # the shortest, and everything but the hour is fixed.
    if not isinstance(parsed, schedules.Cron) or not expression.startswith("cron(0 "):
        raise ApiError(
            "ValidationException",
            f"{expression} is no schedule of monitoring: cron(0 * ? * * *) for each hour,"
            " cron(0 3 ? * * *) for each day.",
        )
    return config


def create(place: Place, params: Params) -> Params:
    """Keeps a schedule, which is followed from now on."""
    name, kept = params["MonitoringScheduleName"], place.things(SCHEDULES)
    if name in kept:
        raise ApiError("ResourceInUse", f"Monitoring schedule {name} already exists.")
    made = Schedule(place, name, _checked(place, params["MonitoringScheduleConfig"]))
    kept[name] = made
    place.remember_tags(made.arn, params)
    return {"MonitoringScheduleArn": made.arn}


def get(place: Place, name: str) -> Schedule:
    """A schedule.

    Raises:
        ApiError: There is none.
    """
    found = place.things(SCHEDULES).get(name)
    if found is None:
        raise ApiError("ResourceNotFound", f"Monitoring schedule '{name}' does not exist.")
    return found


def update(place: Place, params: Params) -> Params:
    """Changes when a schedule runs, and by what."""
    found = get(place, params["MonitoringScheduleName"])
    found.config = _checked(place, params["MonitoringScheduleConfig"])
    found.modified = now()
    return {"MonitoringScheduleArn": found.arn}


def switch(place: Place, name: str, status: str) -> None:
    """Starts or stops a schedule."""
    found = get(place, name)
    found.status, found.modified = status, now()


def delete(place: Place, name: str) -> None:
    """Removes a schedule; refused while it runs, as on AWS.

    Raises:
        ApiError: There is none, or one of its executions is on the way.
    """
    found = get(place, name)
    states = [run.summary(place, found)["MonitoringExecutionStatus"] for run in found.executions]
    if "InProgress" in states:
        raise ApiError(
            "ValidationException", f"Monitoring schedule {name} has an execution in progress."
        )
    del place.things(SCHEDULES)[name]
    place.forget_tags(found.arn)


def list_schedules(place: Place, params: Params) -> Params:
    """A page of schedules."""
    members = ("MonitoringScheduleName", "MonitoringScheduleArn", "CreationTime", "MonitoringType",
               "LastModifiedTime", "MonitoringScheduleStatus", "EndpointName")  # fmt: skip
    told = [schedule.description() for schedule in place.things(SCHEDULES).values()]
    wanted = {
        "EndpointName": params.get("EndpointName"),
        "MonitoringScheduleStatus": params.get("StatusEquals"),
        "MonitoringType": params.get("MonitoringTypeEquals"),
    }
    items = [
        {member: item[member] for member in members if member in item}
        for item in told
        if all(value in (None, item.get(member)) for member, value in wanted.items())
    ]
    ordered = select(items, params, "MonitoringScheduleName", "MonitoringScheduleStatus")
    return page(ordered, "MonitoringScheduleSummaries", params)


def list_executions(place: Place, params: Params) -> Params:
    """A page of executions."""
    wanted = {
        "MonitoringScheduleName": params.get("MonitoringScheduleName"),
        "EndpointName": params.get("EndpointName"),
        "MonitoringExecutionStatus": params.get("StatusEquals"),
        "MonitoringType": params.get("MonitoringTypeEquals"),
    }
    items = [
        told
        for schedule in place.things(SCHEDULES).values()
        for run in schedule.executions
        if all(
            value in (None, (told := run.summary(place, schedule)).get(member))
            for member, value in wanted.items()
        )
    ]
    ordered = select(
        items, params, "MonitoringScheduleName", "MonitoringExecutionStatus", "ScheduledTime"
    )
    return page(ordered, "MonitoringExecutionSummaries", params)


def scheduled(host: Host, accounts: Iterable[str], region: str) -> dict[str, str]:
    """ARN of each schedule that is on -> its expression."""
    return {
        schedule.arn: schedule.expression
        for account in accounts
        for schedule in host.store(SERVICE, account, region).get(SCHEDULES, {}).values()
        if schedule.status == "Scheduled"
    }


def fire(host: Host, arn: str) -> None:
    """Runs a schedule now.

    Raises:
        ValueError: There is none of that ARN.
    """
    _, _, _, region, account, resource = arn.split(":", 5)
    name = resource.partition("/")[2]
    found = host.store(SERVICE, account, region).get(SCHEDULES, {}).get(name)
    if found is None:
        raise ValueError(f"{arn} is no monitoring schedule.")
    found.execute()
