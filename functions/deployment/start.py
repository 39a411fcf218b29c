"""Starts the runs that deploy: pipelines, or workflows at GitHub."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from botocore.exceptions import ClientError

from ..promotion.aws import error_code
from .github import GitHub
from .history import Attempt
from .machine import Kind
from .projects import CODEPIPELINE, GITHUB, Project, ProjectError

_UNKNOWN = (
    "PipelineExecutionNotFoundException", "PipelineNotFoundException", "ValidationException",
)  # fmt: skip
_MOST = 1000  # Source: PipelineVariable in CodePipeline's API reference.


class Starter(Protocol):
    """What starts runs."""

    def start(self, project: Project, attempt: Attempt) -> str:
        """Starts an attempt's run; gives the execution, empty where it is not known yet."""
        ...

    def state(self, pipeline: str, execution: str) -> str:
        """How a run of a pipeline is now, in the words of events; empty when it is not known."""
        ...


def token(group: str, attempt: Attempt) -> str:
    """The same for every try to start an attempt's run, and for no other attempt."""
    told = f"{group}#{attempt.environment}#{attempt.sequence}#{attempt.requested_at}"
    return str(uuid.UUID(bytes=hashlib.sha256(told.encode()).digest()[:16]))


def one_line(text: str) -> str:
    """A reason as pipelines and workflows take it: one line, not empty."""
    return " ".join(text.split())[:_MOST] or "-"


class Runs:
    """Starts runs.

    Args:
        pipelines: A CodePipeline client of the hub.
        github: GitHub.
        environments: The way, in its order.
    """

    def __init__(self, pipelines: Any, github: GitHub, environments: tuple[str, ...]) -> None:
        self._pipelines = pipelines
        self._github = github
        self._environments = environments

    def start(self, project: Project, attempt: Attempt) -> str:
        """Starts an attempt's run: the whole way of an approval, or one environment.

        CodePipeline starts one run for a token. GitHub knows no such thing: what may
        be started twice is let through the gate once.

        Raises:
            ClientError: The service's.
            GitHubError: GitHub's.
            ProjectError: The project has no pipeline for the environment.
        """
        whole = attempt.kind is Kind.DEPLOY
        ways: dict[tuple[str, bool], Callable[[Project, Attempt], str]] = {
            (CODEPIPELINE, True): self._pipeline,
            (CODEPIPELINE, False): self._restore,
            (GITHUB, True): self._workflow,
            (GITHUB, False): self._workflow,
        }
        return ways[project.ci, whole](project, attempt)

    def state(self, pipeline: str, execution: str) -> str:
        """How a run of a pipeline is now, in the words of events; empty when it is not known.

        Raises:
            ClientError: CodePipeline's.

        Source: ``PipelineExecution`` in CodePipeline's API reference; its user guide, monitoring
        events.
        """
        try:
            told = self._pipelines.get_pipeline_execution(
                pipelineName=pipeline, pipelineExecutionId=execution
            )
        except ClientError as error:
            if error_code(error) in _UNKNOWN:
                return ""
            raise
        state = str(told["pipelineExecution"]["status"]).upper()
        return "CANCELED" if state == "CANCELLED" else state

    def _pipeline(self, project: Project, attempt: Attempt) -> str:
        values = {"MODEL_PACKAGE_ARN": attempt.model_package_arn}
        return self._run(project, attempt, project.pipeline, values)

    def _restore(self, project: Project, attempt: Attempt) -> str:
        values = {"MODEL_PACKAGE_ARN": attempt.model_package_arn, "KIND": attempt.kind.value}
        pipeline = project.restore.get(attempt.environment, "")
        if not pipeline:
            raise ProjectError(
                f"restore of project {project.name} has no pipeline for {attempt.environment}."
            )
        return self._run(project, attempt, pipeline, values)

    def _run(
        self, project: Project, attempt: Attempt, pipeline: str, values: Mapping[str, str]
    ) -> str:
        given = {**values, "REASON": one_line(attempt.reason)}
        told = self._pipelines.start_pipeline_execution(
            name=pipeline,
            variables=[{"name": name, "value": value} for name, value in given.items()],
            clientRequestToken=token(project.group, attempt),
        )
        return str(told["pipelineExecutionId"])

    def _workflow(self, project: Project, attempt: Attempt) -> str:
        way = project.way(self._environments)
        whole = attempt.kind is Kind.DEPLOY and project.one_run(way)
        self._github.dispatch(
            project,
            {
                "model_package_arn": attempt.model_package_arn,
                "environments": ",".join(way) if whole else attempt.environment,
                "kind": attempt.kind.value,
                "reason": one_line(attempt.reason),
            },
        )
        return ""
