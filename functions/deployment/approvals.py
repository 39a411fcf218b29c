"""The manual approval of an environment: who let a run go on, when, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from ..promotion.aws import error_code
from .github import GitHub, GitHubError, WorkflowRun
from .history import stamp
from .projects import CODEPIPELINE, GITHUB, Project
from .refusal import Refusal


@dataclass(frozen=True)
class ManualApproval:
    """A person's word.

    Attributes:
        by: Who, as the CI tells it.
        person: Who, as an ARN or a name in AWS.
        at: When: ISO 8601, UTC.
        why: What they wrote.
    """

    by: str
    person: str
    at: str
    why: str


class ManualApprovals:
    """Reads manual approvals.

    Args:
        pipelines: A CodePipeline client of the hub.
        github: GitHub.
        now: The time.
    """

    def __init__(self, pipelines: Any, github: GitHub, now: Callable[[], datetime]) -> None:
        self._pipelines = pipelines
        self._github = github
        self._now = now

    def require_own_run(self, project: Project, execution: str, version: str) -> None:
        """A run at GitHub has to be the project's: its workflow, on its branch, of this version.

        The environments' branches are GitHub's to keep, and somebody may leave them open.

        Raises:
            Refusal: It is another.
            GitHubError: It cannot be read.
            ClientError: Secrets Manager's.
        """
        if project.ci != GITHUB:
            return
        wrong = _foreign(self._github.run(project, execution), project, version)
        if wrong:
            raise Refusal(f"Run {execution} of {project.repository} {wrong}.")

    def read(
        self, project: Project, environment: str, execution: str, version: str
    ) -> ManualApproval:
        """The approval that let a run come to an environment.

        Args:
            project: The project.
            environment: The environment.
            execution: The run, as it names itself.
            version: ARN of the version that it asks for.

        Raises:
            Refusal: There is none, or it is of something else.
            ClientError: CodePipeline's.
        """
        ways: dict[str, Callable[[Project, str, str, str], ManualApproval]] = {
            CODEPIPELINE: self._of_pipeline,
            GITHUB: self._of_github,
        }
        approval = ways[project.ci](project, environment, execution, version)
        if not approval.why.strip():
            raise Refusal(
                f"{approval.by} approved {environment} without a reason: approve it again, and say "
                "why in the comment."
            )
        return approval

    def _of_pipeline(
        self, project: Project, environment: str, execution: str, version: str
    ) -> ManualApproval:
        """The last approval action that succeeded in this execution.

        Source: ``ListActionExecutions`` in CodePipeline's API reference.
        """
        del version
        nothing = Refusal(
            f"Execution {execution} of {project.pipeline} has no manual approval for "
            f"{environment}: approve it in the pipeline."
        )
        try:
            pages = self._pipelines.get_paginator("list_action_executions").paginate(
                pipelineName=project.pipeline, filter={"pipelineExecutionId": execution}
            )
            found = [
                action
                for page in pages
                for action in page.get("actionExecutionDetails", ())
                if action.get("pipelineExecutionId") == execution
                and _category(action) == "Approval"
            ]
        except ClientError as error:
            if error_code(error) in ("PipelineExecutionNotFoundException", "ValidationException"):
                raise nothing from error
            raise
        newest = max(found, key=lambda action: action["startTime"], default=None)
        if newest is None or newest.get("status") != "Succeeded":
            raise nothing
        result: Mapping[str, Any] = (newest.get("output") or {}).get("executionResult") or {}
        why = str(result.get("externalExecutionSummary") or "")
        by = str(newest.get("updatedBy") or "")
        if not by or not why.strip():
            # The comment is not promised to be the action's summary, nor the user to be told.
            who, said = self._state(project, execution, newest)
            by, why = by or who, why if why.strip() else said
        return ManualApproval(by, by, stamp(newest["lastUpdateTime"]), why)

    def _state(
        self, project: Project, execution: str, action: Mapping[str, Any]
    ) -> tuple[str, str]:
        """Who and why by the pipeline's state, which knows each action's last run only."""
        told = self._pipelines.get_pipeline_state(name=project.pipeline)
        for stage in told.get("stageStates", ()):
            of_run = (stage.get("latestExecution") or {}).get("pipelineExecutionId") == execution
            for state in stage.get("actionStates", ()):
                latest: Mapping[str, Any] = state.get("latestExecution") or {}
                if (
                    of_run
                    and stage.get("stageName") == action.get("stageName")
                    and state.get("actionName") == action.get("actionName")
                    and latest.get("actionExecutionId") in (None, action.get("actionExecutionId"))
                ):
                    return str(latest.get("lastUpdatedBy") or ""), str(latest.get("summary") or "")
        return "", ""

    def _of_github(
        self, project: Project, environment: str, execution: str, version: str
    ) -> ManualApproval:
        """The last review of the environment in this run.

        GitHub tells no time of a review: it is the time of reading, which is right after it. A run
        says itself which one it is: reviews count only of a run that is still going, by this
        project's workflow, on its branch, for this very version.
        """
        try:
            run = self._github.run(project, execution)
            reviews = self._github.reviews(project, execution)
        except GitHubError as error:
            raise Refusal(f"The approval of {environment} cannot be read: {error}") from error
        wrong = _foreign(run, project, version)
        if wrong:
            raise Refusal(f"Run {execution} of {project.repository} {wrong}.")
        of_environment = [
            review
            for review in reviews
            if any(
                str(item.get("name", "")).lower() == environment
                for item in review.get("environments") or ()
            )
        ]
        states = {review.get("state") for review in of_environment}
        approved = [item for item in of_environment if item.get("state") == "approved"]
        if not approved or "rejected" in states:
            raise Refusal(
                f"Run {execution} of {project.repository} has no approval of the environment "
                f"{environment}: give the environment required reviewers, and approve there."
            )
        login = str((approved[-1].get("user") or {}).get("login") or "")
        person = project.people.get(login.lower(), "")
        if not person:
            raise Refusal(
                f"{login} approved {environment} at GitHub, and it is not known who that is in "
                f"AWS: name the login among people of the project {project.name}."
            )
        return ManualApproval(
            f"github:{login} ({person})",
            person,
            stamp(self._now()),
            str(approved[-1].get("comment") or ""),
        )


def _foreign(run: WorkflowRun, project: Project, version: str) -> str:
    """Why a run's reviews say nothing of a deployment; empty when they do."""
    workflow = f".github/workflows/{project.workflow}"
    if run.ended:
        return "is over"
    if run.workflow != workflow:
        return f"is of {run.workflow or 'an unknown workflow'}, not of {workflow}"
    if run.branch != project.branch:
        return f"is of the branch {run.branch or 'unknown'}, not of {project.branch}"
    if run.event != "workflow_dispatch":
        return f"was started by {run.event or 'an unknown event'}, not by workflow_dispatch"
    # The workflow's run-name has the version first: it is what the reviewers saw.
    if run.title.partition(" ")[0] != version:
        return f"is called {run.title[:300]!r}: its reviewers agreed to that, not to {version}"
    return ""


def _category(action: Mapping[str, Any]) -> str:
    kind: Mapping[str, Any] = (action.get("input") or {}).get("actionTypeId") or {}
    return str(kind.get("category", ""))
