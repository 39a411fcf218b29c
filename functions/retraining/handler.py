"""The retraining function: hears of drift, and starts the project's build in dev, once.

Events come from the hub's bus: ``SageMaker Processing Job State Change`` of monitoring jobs that
found violations, which the environments' platforms forward. :mod:`.drift` decides; the table has
one item a project, the last retraining. An event that fails is delivered again by Lambda, and then
kept in the dead-letter queue.

Environment:

====================== ========================================================================
``AWS_REGION``         The hub's region; Lambda sets it.
``PREFIX``             Of all names of the platform.
``ACCOUNTS``           JSON, environment -> account.
``TABLE``              DynamoDB table, partition key ``Project`` (string).
``PROJECT_PARAMETERS`` What the names of projects' parameters begin with. Their member
                       ``retraining`` says what is started: ``{"role", "pipeline"}``, a pipeline
                       of CodePipeline in dev and the role that may start it; or
                       ``{"repository", "workflow"}`` at GitHub, with the member ``token_secret``.
                       Without it nothing is.
``GITHUB_API_URL``     GitHub's API. Optional, default ``https://api.github.com``.
====================== ========================================================================

What the function's role needs: ``dynamodb:GetItem`` and ``dynamodb:PutItem`` on the table,
``ssm:GetParameter`` on the projects' parameters, ``sts:AssumeRole`` on the projects' roles
``{PREFIX}-dev-*-retrain``, and ``secretsmanager:GetSecretValue`` on the projects' token secrets.

CodePipeline starts one run for a token, so a start may be repeated. GitHub knows no such thing: a
start that was begun there and never finished is not repeated but told (outcome ``not-known``), for
people to look.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol, cast

import boto3
from botocore.exceptions import ClientError

from ..deployment.github import GitHub
from ..deployment.projects import GITHUB, Project
from ..promotion.aws import error_code, make_client
from ..promotion.handler import write_log
from .drift import Drift, DriftError, Retraining, State, Verdict, decide, read

_TRIES = 20
_RUNNING = ("InProgress", "Stopping")


class BusyError(Exception):
    """Others change the project's item all the time; a later delivery may succeed."""


class Log(Protocol):
    """Takes what a log line says."""

    def __call__(self, **fields: Any) -> None:
        """Writes a line."""
        ...


@dataclass(frozen=True)
class Retrainings:
    """Starts retrainings.

    Attributes:
        prefix: Of all names of the platform.
        accounts: Environment -> account.
        table: The table's name.
        parameters: What the names of projects' parameters begin with.
        client: ``client(service)`` gives a client of the function's own role.
        builder: ``builder(role_arn)`` gives a CodePipeline client of a role in dev.
        github: GitHub.
        log: Takes log lines.
        now: The time.
    """

    prefix: str
    accounts: Mapping[str, str]
    table: str
    parameters: str
    client: Callable[[str], Any]
    builder: Callable[[str], Any]
    github: GitHub
    log: Log
    now: Callable[[], datetime]

    def handle(self, event: Mapping[str, Any]) -> dict[str, str]:
        """Takes an event; what was done about it.

        Raises:
            BusyError: Others are faster all the time.
            ClientError: A service's, for what may work later.
            GitHubError: GitHub's.
        """
        try:
            drift = read(event, self.prefix, self.accounts)
        except DriftError as error:
            return self._told("refused-event", reason=str(error))
        settings = self._settings(drift.project)
        if settings is None or not settings.get("retraining"):
            return self._told("no-retraining", drift, reason="its parameter names no build")
        claimed = self._claim(drift, str(event.get("id")), settings)
        if isinstance(claimed, Verdict):
            return self._told(claimed.value, drift)
        wanted, verdict = claimed
        if verdict is Verdict.RESUME and "repository" in settings["retraining"]:
            return self._told("not-known", drift, reason="GitHub may have been asked already")
        execution = self._start(settings, wanted)
        done = replace(
            wanted, state=State.STARTED, execution=execution, revision=wanted.revision + 1
        )
        if not self._put(done, wanted.revision):
            raise BusyError(f"The retraining of {drift.project} was changed while it started.")
        return self._told(verdict.value, drift, execution=execution)

    def _told(self, outcome: str, drift: Drift | None = None, **more: str) -> dict[str, str]:
        said = {**vars(drift), **more} if drift else dict(more)
        level = "ERROR" if outcome in ("not-known", "refused-event") else "INFO"
        self.log(level=level, outcome=outcome, **said)
        return {"outcome": outcome, **more}

    def _settings(self, project: str) -> dict[str, Any] | None:
        try:
            told = self.client("ssm").get_parameter(Name=f"{self.parameters}/{project}")
        except ClientError as error:
            if error_code(error) == "ParameterNotFound":
                return None
            raise
        return cast("dict[str, Any]", json.loads(told["Parameter"]["Value"]))

    def _claim(
        self, drift: Drift, event: str, settings: Mapping[str, Any]
    ) -> tuple[Retraining, Verdict] | Verdict:
        """The retraining that is now this event's to start; else why there is none."""
        for _ in range(_TRIES):
            last = self._last(drift.project)
            running = bool(
                last and last.version != drift.version and self._runs(settings, last.execution)
            )
            verdict = decide(last, drift, event, self.now(), running=running)
            if verdict not in (Verdict.START, Verdict.RESUME):
                return verdict
            before = last.revision if last else 0
            wanted = Retraining(
                drift.project,
                drift.version,
                State.STARTING,
                event,
                self.now(),
                revision=before + 1,
            )
            if self._put(wanted, before):
                return wanted, verdict
        raise BusyError(f"The retraining of {drift.project} is changed by others all the time.")

    def _runs(self, settings: Mapping[str, Any], execution: str) -> bool:
        build: Mapping[str, str] = settings["retraining"]
        if not execution or "pipeline" not in build:
            return False
        try:
            told = self.builder(build["role"]).get_pipeline_execution(
                pipelineName=build["pipeline"], pipelineExecutionId=execution
            )
        except ClientError as error:
            if error_code(error) == "PipelineExecutionNotFoundException":
                return False
            raise
        return told["pipelineExecution"]["status"] in _RUNNING

    def _start(self, settings: Mapping[str, Any], wanted: Retraining) -> str:
        build: Mapping[str, str] = settings["retraining"]
        if "pipeline" in build:
            told = self.builder(build["role"]).start_pipeline_execution(
                name=build["pipeline"], clientRequestToken=wanted.token
            )
            return str(told["pipelineExecutionId"])
        self.github.dispatch(
            Project(
                wanted.project,
                settings["group"],
                GITHUB,
                repository=build["repository"],
                workflow=build["workflow"],
                token_secret=settings["token_secret"],
            ),
            {},
        )
        return ""

    # The table.

    def _last(self, project: str) -> Retraining | None:
        item = (
            self.client("dynamodb")
            .get_item(TableName=self.table, Key={"Project": {"S": project}}, ConsistentRead=True)
            .get("Item")
        )
        if item is None:
            return None
        told = {name: next(iter(value.values())) for name, value in item.items()}
        return Retraining(
            project,
            told["Version"],
            State(told["State"]),
            told["Event"],
            datetime.fromisoformat(told["At"]),
            told.get("Execution", ""),
            int(told["Revision"]),
        )

    def _put(self, kept: Retraining, before: int) -> bool:
        """Keeps a retraining; whether nobody else has changed it meanwhile."""
        item = {
            "Project": {"S": kept.project},
            "Version": {"S": kept.version},
            "State": {"S": kept.state.value},
            "Event": {"S": kept.event},
            "At": {"S": kept.at.isoformat()},
            "Revision": {"N": str(kept.revision)},
        }
        if kept.execution:
            item["Execution"] = {"S": kept.execution}
        asked: dict[str, Any] = (
            {
                "ConditionExpression": "Revision = :before",
                "ExpressionAttributeValues": {":before": {"N": str(before)}},
            }
            if before
            else {"ConditionExpression": "attribute_not_exists(Revision)"}
        )
        try:
            self.client("dynamodb").put_item(TableName=self.table, Item=item, **asked)
        except ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True


def make_retrainings(
    environ: Mapping[str, str], session: boto3.Session, log: Log = write_log
) -> Retrainings:
    """What handles events by a session's role.

    Args:
        environ: The function's environment.
        session: Of the function's own role.
        log: Takes log lines.
    """
    region = environ["AWS_REGION"]

    def client(service: str) -> Any:
        return make_client(session, service, region)

    def builder(role_arn: str) -> Any:
        told = client("sts").assume_role(RoleArn=role_arn, RoleSessionName="retraining")
        given = told["Credentials"]
        theirs = boto3.Session(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region
        )
        return make_client(theirs, "codepipeline", region)

    url = environ.get("GITHUB_API_URL") or "https://api.github.com"
    return Retrainings(
        environ["PREFIX"],
        json.loads(environ["ACCOUNTS"]),
        environ["TABLE"],
        environ["PROJECT_PARAMETERS"],
        cache(client),
        builder,
        GitHub(client("secretsmanager"), url),
        log,
        lambda: datetime.now(UTC),
    )


@cache
def _retrainings() -> Retrainings:
    logging.getLogger("botocore").setLevel(logging.WARNING)
    return make_retrainings(os.environ, boto3.Session())


def handle(event: Mapping[str, Any], context: object) -> dict[str, str]:
    """Lambda's entry point.

    Raises:
        BusyError: Others are faster all the time.
        ClientError: A service's, for what may work later.
        GitHubError: GitHub's.
    """
    del context
    return _retrainings().handle(event)
