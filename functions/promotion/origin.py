"""Who made a version, by what AWS recorded of it in the account that it comes from.

A version is registered by a person, by a pipeline that somebody started, or by a project's build.
What a version says of itself (``MetadataProperties``) was written by whoever registered it: which
execution made it is believed of a version that a service registered only when that execution has a
step that registered this very version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from botocore.exceptions import ClientError

from .aws import error_code
from .events import Source
from .identity import describe_user, read_person
from .registry import execution_of, missing

# Sessions of CodeBuild are named after their build. A project's build, its role and the pipeline
# that runs it have one name.
_BUILD = re.compile(r":assumed-role/([\w+=,.@-]+)/AWSCodeBuild-([0-9a-f-]{36})(?:\s|$)")
# Started by a person, whose ARN is the trigger's detail; others tell a rule's or a connection's.
# Source: ExecutionTrigger in CodePipeline's API reference.
_BY_PERSON = ("StartPipelineExecution", "ManualRollback")


class Origin:
    """Reads who made versions.

    Args:
        reader: Service -> a client in the account that the version comes from.
        service_roles: Names of roles, ``*`` at their end for any, whose sessions name nobody.
    """

    def __init__(self, reader: Callable[[str], Any], service_roles: Sequence[str] = ()) -> None:
        self._reader = reader
        self._service_roles = tuple(service_roles)

    def started_by(self, source: Source, description: Mapping[str, Any]) -> str:
        """Who started what made a version, as texts of :func:`.identity.describe_user`.

        Args:
            source: The version.
            description: As SageMaker tells it.

        Returns:
            The person who started the project's build, where one did, and whoever started the
            pipeline execution; empty where that is not known. Not known is no reason to promote
            nothing: the gate of deployments asks who it was.

        Raises:
            ClientError: A service's, which the queue retries.
        """
        registrant = describe_user(description.get("CreatedBy"))
        starter = ""
        execution = execution_of(description, source)
        if execution:
            named = read_person(registrant, self._service_roles).names
            if named or self._registered(execution, source):
                starter = self._starter(execution)
        person = self._build_starter(f"{registrant} {starter}")
        return " ".join(text for text in (person, starter) if text)

    def _registered(self, execution: str, source: Source) -> bool:
        """Whether a step of an execution registered a version."""
        pages = self._reader("sagemaker").get_paginator("list_pipeline_execution_steps")
        try:
            return any(
                (step.get("Metadata") or {}).get("RegisterModel", {}).get("Arn") == source.arn
                for page in pages.paginate(PipelineExecutionArn=execution)
                for step in page["PipelineExecutionSteps"]
            )
        except ClientError as error:
            if _unknown(error):
                return False
            raise

    def _starter(self, execution: str) -> str:
        try:
            told = self._reader("sagemaker").describe_pipeline_execution(
                PipelineExecutionArn=execution
            )
        except ClientError as error:
            if _unknown(error):
                return ""
            raise
        return describe_user(cast("Mapping[str, Any] | None", told.get("CreatedBy")))

    def _build_starter(self, told: str) -> str:
        """The person who started the build whose session a text names; empty when none did."""
        session = _BUILD.search(told)
        if session is None:
            return ""
        name, build = session[1], f"{session[1]}:{session[2]}"
        run = self._run(name, build)
        return self._run_starter(name, run) if run else self._by_hand(build)

    def _run(self, pipeline: str, build: str) -> str:
        """The run of a pipeline that ran a build; empty for none, as when the project is gone."""
        pages = self._reader("codepipeline").get_paginator("list_action_executions")
        runs = (
            str(action["pipelineExecutionId"])
            for page in pages.paginate(pipelineName=pipeline)
            for action in page["actionExecutionDetails"]
            if _external(action) == build
        )
        try:
            return next(runs, "")
        except ClientError as error:
            if error_code(error) == "PipelineNotFoundException":
                return ""
            raise

    def _run_starter(self, pipeline: str, run: str) -> str:
        told = self._reader("codepipeline").get_pipeline_execution(
            pipelineName=pipeline, pipelineExecutionId=run
        )
        trigger: Mapping[str, Any] = told["pipelineExecution"].get("trigger") or {}
        if trigger.get("triggerType") not in _BY_PERSON:
            return ""
        return describe_user({"IamIdentity": {"Arn": str(trigger.get("triggerDetail") or "")}})

    def _by_hand(self, build: str) -> str:
        builds = self._reader("codebuild").batch_get_builds(ids=[build])["builds"]
        initiator = str(builds[0].get("initiator") or "") if builds else ""
        if initiator.startswith("codepipeline/"):
            return ""
        # A person's name, or role and session. Source: Build in CodeBuild's API reference.
        return initiator.rpartition("/")[2]


def _external(action: Mapping[str, Any]) -> str:
    result: Mapping[str, Any] = (action.get("output") or {}).get("executionResult") or {}
    return str(result.get("externalExecutionId") or "")


def _unknown(error: ClientError) -> bool:
    return missing(error) or error_code(error) == "AccessDeniedException"
