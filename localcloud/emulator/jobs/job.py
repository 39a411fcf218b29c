"""What processing, training and transform jobs have in common: states, logs, events, lists."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import acting
from localcloud.emulator.compute import ComputeError, Task
from localcloud.emulator.extension import ApiError, Context, Params
from localcloud.emulator.jobs import own_images
from localcloud.emulator.jobs.containers import Container
from localcloud.emulator.jobs.images import UnknownImageError, find
from localcloud.emulator.jobs.place import Place, now
from localcloud.emulator.jobs.transfer import Transfer, TransferError

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_LOG_EVENTS = 1000  # in one call, far below the limit of CloudWatch Logs
_REASON = 1024  # FailureReason's length in SageMaker's model

FINISHED = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class Kind:
    """A kind of jobs.

    Attributes:
        noun: Such as ``TrainingJob``: its members are named after it.
        path: Such as ``training-job``, in ARNs.
        store: Where SageMaker's state keeps them.
        log_group: Their CloudWatch log group.
        detail_type: Of the events that their changes send.
        started: Member with the time when work began.
        ended: Member with the time when it ended.
        listed: Further members in lists.
    """

    noun: str
    path: str
    store: str
    log_group: str
    detail_type: str
    started: str
    ended: str
    listed: tuple[str, ...]

    @property
    def name(self) -> str:
        """The member that holds a job's name."""
        return f"{self.noun}Name"

    @property
    def status(self) -> str:
        """The member that holds a job's state."""
        return f"{self.noun}Status"


def _kind(word: str, plural: str, *listed: str) -> Kind:
    return Kind(
        noun=f"{word}Job",
        path=f"{word.lower()}-job",
        store=f"{word.lower()}_jobs",
        log_group=f"/aws/sagemaker/{plural}",
        detail_type=f"SageMaker {word} Job State Change",
        started=f"{word}StartTime",
        ended=f"{word}EndTime",
        listed=(f"{word}EndTime", *listed),
    )


PROCESSING = _kind("Processing", "ProcessingJobs", "LastModifiedTime", "ExitMessage")
TRAINING = _kind("Training", "TrainingJobs", "LastModifiedTime")
TRANSFORM = _kind("Transform", "TransformJobs")


class JobError(Exception):
    """A job cannot go on; the message becomes its ``FailureReason``."""


class StoppedError(Exception):
    """A job was told to stop."""


@dataclass
class Job:
    """One job.

    Attributes:
        kind: What kind of job it is.
        place: Where it runs.
        description: What Describe answers; replaced as a whole, never changed in place.
        task: What it runs as.
        environment: Its process's environment, with credentials.
        isolated: Whether its process has no network.
    """

    kind: Kind
    place: Place
    description: Params
    task: Task
    environment: Mapping[str, str]
    isolated: bool
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.description[self.kind.name])

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.description[f"{self.kind.noun}Arn"])

    @property
    def state(self) -> str:
        """Its state."""
        return str(self.description[self.kind.status])

    @property
    def transfer(self) -> Transfer:
        """Reads and writes S3 as the job's role."""
        return Transfer(self.environment, self.task.role_arn)

    def change(self, **members: Any) -> None:
        """Sets members of the description; a changed state sends an event."""
        state, secondary = self.state, self.description.get("SecondaryStatus")
        changed = {**self.description, **members}
        if self.kind is not TRANSFORM:
            changed["LastModifiedTime"] = now()
        self.description = changed
        if (self.state, self.description.get("SecondaryStatus")) != (state, secondary):
            self.announce()

    def announce(self) -> None:
        """Sends the event of its state."""
        detail = {**self.description, "Tags": self.place.tags(self.arn)}
        self.place.publish(self.kind.detail_type, detail, self.arn)

    def container(self, image: str) -> Container:
        """A container for the job's program.

        Raises:
            JobError: Nothing can stand for the image.
        """
        try:
            found = find(image, puller(self.place, self.task))
        except UnknownImageError as error:
            raise JobError(f"ClientError: {error}") from error
        folder = self.place.compute.folder / "jobs" / uuid.uuid4().hex[:12]
        return Container(self.place.compute, found, folder, self.isolated)

    def run(
        self,
        container: Container,
        command: Sequence[str],
        variables: Mapping[str, str],
        seconds: float,
    ) -> int:
        """Runs a program in a container; gives its exit code.

        Raises:
            StoppedError: The job was stopped.
            TimeoutError: It ran out of time.
        """
        process = container.start(command, self.environment, variables)
        compute = self.place.compute
        end = time.monotonic() + seconds
        while process.poll() is None:
            if self.stopping.wait(_POLL_SECONDS) or compute.stopping.is_set():
                compute.end(process)
                raise StoppedError
            if time.monotonic() > end:
                compute.end(process)
                raise TimeoutError
        return compute.wait(process, 1) or 0

    def check_stop(self) -> None:
        """Ends the work of a stopped job.

        Raises:
            StoppedError: It was stopped.
        """
        if self.stopping.is_set() or self.place.compute.stopping.is_set():
            raise StoppedError

    def write_log(self, container: Container, stream: str) -> None:
        """Sends a program's output to CloudWatch Logs, as far as the job's role may write there."""
        send_log(self.place, self.task, self.kind.log_group, stream, container.output())


def puller(place: Place, task: Task) -> Callable[[own_images.Reference], own_images.Program]:
    """Pulls images of own registries as a task's role.

    SageMaker does it from its own network, not from the customer's VPC.
    """

    def pull(reference: own_images.Reference) -> own_images.Program:
        try:
            environment = place.compute.environment(dataclasses.replace(task, subnet_ids=()))
        except ComputeError as error:
            raise own_images.PullError(f"{reference.uri} cannot be pulled: {error}") from error
        return own_images.pull(reference, environment, place.compute.folder / "images")

    return pull


def send_log(place: Place, task: Task, group: str, stream: str, text: str) -> None:
    """Writes lines to a log stream as a task's role.

    As on AWS, a role without permissions leaves no log, and nothing fails.
    """
    try:
        # SageMaker writes logs from its own network, not from the customer's VPC.
        environment = place.compute.environment(dataclasses.replace(task, subnet_ids=()))
    except ComputeError as error:
        _log.info("No log in %s: %s", group, error)
        return
    logs = acting.client_of("logs", environment)
    stamp = int(time.time() * 1000)
    lines = [line for line in text.splitlines() if line]
    try:
        for create in (
            lambda: logs.create_log_group(logGroupName=group),
            lambda: logs.create_log_stream(logGroupName=group, logStreamName=stream),
        ):
            try:
                create()
            except logs.exceptions.ResourceAlreadyExistsException:
                continue
            except ClientError as error:
                # A group that a platform made needs no permission to make it.
                if "AccessDenied" not in str(error):
                    raise
        for start in range(0, len(lines), _LOG_EVENTS):
            logs.put_log_events(
                logGroupName=group,
                logStreamName=stream,
                logEvents=[
                    {"timestamp": stamp, "message": line}
                    for line in lines[start : start + _LOG_EVENTS]
                ],
            )
    except (BotoCoreError, ClientError) as error:
        _log.info("No log in %s: %s", group, error)


Work = Callable[[Job], None]


def submit(job: Job, params: Params, work: Work) -> Params:
    """Keeps a new job and begins it in a thread of its own.

    Raises:
        ApiError: ``ResourceInUse`` when there is one of that name.
    """
    kind = job.kind
    jobs = job.place.things(kind.store)
    if job.name in jobs:
        raise ApiError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name"
            f" already exists ({jobs[job.name].arn})",
        )
    jobs[job.name] = job
    job.place.remember_tags(job.arn, params)
    job.announce()
    threading.Thread(target=_carry_out, args=(job, work), daemon=True, name=job.name).start()
    return {f"{kind.noun}Arn": job.arn}


def _carry_out(job: Job, work: Work) -> None:
    kind = job.kind
    try:
        work(job)
    except StoppedError:
        finish(job, "Stopped")
    except (JobError, TransferError) as error:
        reason = str(error)
        prefix = "" if isinstance(error, JobError) else "ClientError: "
        finish(job, "Failed", f"{prefix}{reason}")
    except Exception as error:
        _log.exception("%s failed", job.arn)
        finish(job, "Failed", f"InternalServerError: the local cloud failed: {error!r}")
    else:
        if job.state not in FINISHED:
            finish(job, "Completed")
    _log.info("%s %s: %s", kind.noun, job.name, job.state)


def finish(job: Job, state: str, reason: str | None = None, secondary: str | None = None) -> None:
    """Ends a job."""
    members: Params = {job.kind.ended: now(), job.kind.status: state}
    if job.kind.started not in job.description:
        members[job.kind.started] = members[job.kind.ended]
    if reason:
        members["FailureReason"] = reason[:_REASON]
    if job.kind is TRAINING:
        members |= secondary_status(job, secondary or state, reason)
        members["TrainingTimeInSeconds"] = members["BillableTimeInSeconds"] = max(
            1, round((now() - {**job.description, **members}[job.kind.started]).total_seconds())
        )
    job.change(**members)


def secondary_status(job: Job, status: str, message: str | None = None) -> Params:
    """The members that a training job's secondary state changes."""
    moment = now()
    transitions = [dict(item) for item in job.description.get("SecondaryStatusTransitions", [])]
    if transitions:
        transitions[-1].setdefault("EndTime", moment)
    said = message or _MESSAGES.get(status, "")
    transitions.append({"Status": status, "StartTime": moment, "StatusMessage": said[:_REASON]})
    if status in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded"):
        transitions[-1]["EndTime"] = moment
    return {"SecondaryStatus": status, "SecondaryStatusTransitions": transitions}


_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
}


# Operations that are the same for all kinds.


def get(ctx: Context, kind: Kind, name: str) -> Job:
    """A job by name.

    Raises:
        ApiError: There is none.
    """
    job = Place.of(ctx).things(kind.store).get(name)
    if job is None:
        code = "ResourceNotFound" if kind is not TRAINING else "ValidationException"
        raise ApiError(code, "Requested resource not found.")
    return job


def stop(ctx: Context, kind: Kind, params: Params) -> None:
    """Tells a job to stop; refused when it has ended.

    Raises:
        ApiError: There is no such job, or it has ended.
    """
    job = get(ctx, kind, params[kind.name])
    if job.state in FINISHED:
        raise ApiError(
            "ValidationException",
            f"The request was rejected because the {kind.path.replace('-', ' ')} is in status"
            f" {job.state}.",
        )
    more = secondary_status(job, "Stopping") if kind is TRAINING else {}
    job.change(**{kind.status: "Stopping", **more})
    job.stopping.set()


def summaries(ctx: Context, kind: Kind, params: Params) -> Params:
    """A page of jobs."""
    jobs = [job.description for job in Place.of(ctx).things(kind.store).values()]
    wanted = params.get("StatusEquals")
    chosen = [item for item in jobs if wanted in (None, item[kind.status])]
    members = (kind.name, f"{kind.noun}Arn", "CreationTime", kind.status, *kind.listed)
    if kind is not TRAINING:
        members = (*members, "FailureReason")
    ordered = select(chosen, params, kind.name, kind.status)
    items = [{m: item[m] for m in members if m in item} for item in ordered]
    return page(items, f"{kind.noun}Summaries", params)


def select(
    items: Sequence[Params],
    params: Params,
    name: str,
    status: str | None = None,
    time_member: str = "CreationTime",
) -> list[Params]:
    """Filters and orders what a list operation of SageMaker is asked for."""
    text = params.get("NameContains") or params.get("PipelineNamePrefix") or ""
    bounds = {
        (member, after): params[f"{member}{'After' if after else 'Before'}"]
        for member in ("CreationTime", "LastModifiedTime", "CreatedTime", "CreatedAt")
        for after in (True, False)
        if f"{member}{'After' if after else 'Before'}" in params
    }

    def fits(item: Params) -> bool:
        return text in item[name] and all(
            (_value(item, member) > bound) if after else (_value(item, member) < bound)
            for (member, after), bound in bounds.items()
        )

    def _value(item: Params, member: str) -> Any:
        return item.get(member, item[time_member])

    keys = {"Name": name, "Status": status or time_member}
    key = keys.get(str(params.get("SortBy")), time_member)
    descending = params.get("SortOrder", "Descending") == "Descending"
    return sorted((i for i in items if fits(i)), key=lambda i: i[key], reverse=descending)


def page(items: Sequence[Params], member: str, params: Params, size: int = 100) -> Params:
    """One page of a list."""
    start = int(params.get("NextToken") or 0)
    size = int(params.get("MaxResults") or size)
    answer: Params = {member: list(items[start : start + size])}
    if start + size < len(items):
        answer["NextToken"] = str(start + size)
    return answer


def refuse(params: Params, members: Mapping[str, str], noun: str) -> None:
    """Refuses what the local cloud has no way to do.

    Args:
        params: A request.
        members: Member -> what it asks for.
        noun: What is asked to do it.

    Raises:
        ApiError: A member is given.
    """
    for member, meaning in members.items():
        if params.get(member):
            raise ApiError(
                "NotImplemented",
                f"The local cloud's {noun} have no {meaning} ({member}): add it in"
                " localcloud/emulator/jobs/.",
                501,
            )


def file_of(folder: Path, name: str) -> Path:
    """A file in a folder that is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
