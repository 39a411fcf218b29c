"""GitHub's API, as far as deployments need it. The token is seen by nobody but GitHub."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, Any, cast

from .projects import Project

_TIMEOUT_SECONDS = 10
_TRIES = 4
_MOST_BYTES = 1024**2
# A fine-grained or classic token: no spaces, nothing that could end a header.
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{8,1024}")


class GitHubError(Exception):
    """GitHub refused a request or cannot be reached; the message has no token in it."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would send tokens and signatures to wherever an answer points."""

    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Follows nothing."""
        del req, fp, code, msg, headers, newurl


@dataclass(frozen=True)
class WorkflowRun:
    """A run of a workflow.

    Attributes:
        workflow: The workflow's file in the repository.
        branch: The branch that it runs from.
        event: What started it.
        title: Its name, as the workflow gives it.
        ended: Whether it is over.
    """

    workflow: str
    branch: str
    event: str
    title: str
    ended: bool


def _run_path(project: Project, run: str) -> str:
    if not run.isascii() or not run.isdigit():
        raise GitHubError(f"{run[:80]!r} is not the id of a workflow run.")
    return f"/repos/{project.repository}/actions/runs/{run}"


class GitHub:
    """GitHub's API.

    Args:
        secrets: A Secrets Manager client of the hub.
        url: Address of the API, without a slash at the end.
        sleep: Waits between two tries, in seconds.
    """

    def __init__(self, secrets: Any, url: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._secrets = secrets
        self._url = url
        self._sleep = sleep
        self._open = urllib.request.build_opener(NoRedirects).open

    def dispatch(self, project: Project, inputs: Mapping[str, str]) -> None:
        """Starts a project's workflow.

        Raises:
            GitHubError: It could not be started.
            ClientError: Secrets Manager's.

        Source: "Create a workflow dispatch event" in GitHub's REST API documentation.
        """
        path = f"/repos/{project.repository}/actions/workflows/{project.workflow}/dispatches"
        self._ask(project, "POST", path, {"ref": project.branch, "inputs": dict(inputs)})

    def reviews(self, project: Project, run: str) -> list[dict[str, Any]]:
        """The reviews of a workflow run's environments.

        Raises:
            GitHubError: They cannot be read.
            ClientError: Secrets Manager's.

        Source: "Get the review history for a workflow run" in GitHub's REST API documentation.
        """
        told = self._ask(project, "GET", f"{_run_path(project, run)}/approvals")
        if not isinstance(told, list):
            raise GitHubError(f"GitHub's reviews of run {run} are no list.")
        return cast("list[dict[str, Any]]", told)

    def run(self, project: Project, run: str) -> WorkflowRun:
        """What a workflow run is of.

        Raises:
            GitHubError: It cannot be read.
            ClientError: Secrets Manager's.

        Source: "Get a workflow run" in GitHub's REST API documentation.
        """
        told = self._ask(project, "GET", _run_path(project, run))
        if not isinstance(told, dict):
            raise GitHubError(f"What GitHub tells of run {run} is no object.")
        found = cast("dict[str, Any]", told)
        return WorkflowRun(
            # Runs of another branch have it behind the file's name.
            workflow=str(found.get("path") or "").partition("@")[0],
            branch=str(found.get("head_branch") or ""),
            event=str(found.get("event") or ""),
            title=str(found.get("display_title") or ""),
            ended=found.get("status") == "completed",
        )

    def _token(self, project: Project) -> str:
        text = str(
            self._secrets.get_secret_value(SecretId=project.token_secret).get("SecretString") or ""
        ).strip()
        if text.startswith("{"):
            try:
                text = str(json.loads(text).get("token", ""))
            except ValueError:
                text = ""
        if not _TOKEN.fullmatch(text):
            # The text itself may be half a token: it is not told.
            raise GitHubError(f"The secret {project.token_secret} holds no token.")
        return text

    def _ask(self, project: Project, method: str, path: str, body: Any = None) -> Any:
        token = self._token(project)
        request = urllib.request.Request(  # noqa: S310 - the settings allow https and loopback only
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "User-Agent": "mlops-deployments",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(2.0**attempt)
            try:
                with self._open(request, timeout=_TIMEOUT_SECONDS) as answer:
                    text = answer.read(_MOST_BYTES)
                return json.loads(text) if text.strip() else None
            except urllib.error.HTTPError as error:
                problem = f"{error.code} {_said(error)}"
                if error.code < 500 and error.code != 429:
                    break
            except (OSError, HTTPException, ValueError) as error:
                problem = f"{type(error).__name__}: {error}"
        raise GitHubError(f"GitHub, {method} {path}: {problem}".replace(token, "***")) from None


def _said(error: urllib.error.HTTPError) -> str:
    """What GitHub says of an error."""
    try:
        told = json.loads(error.read(_MOST_BYTES))
        return str(told.get("message", ""))[:300]
    except (OSError, HTTPException, ValueError, AttributeError):
        return str(error.reason)[:300]
