"""GitHub's API, as far as repositories of projects that go need it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from automation.projects.repositories import CLONE_URL, RepositoryError
from functions.deployment.github import NoRedirects

API = "https://api.github.com"
_TIMEOUT_SECONDS = 10
_TOKENS = ("GH_TOKEN", "GITHUB_TOKEN")
"""Environment variables, in the order in which GitHub's own command line takes them."""


@dataclass(frozen=True)
class GitHub:
    """GitHub, as whoever runs this: archiving takes administration of the repositories.

    Attributes:
        token: Of theirs; nobody but GitHub sees it.
        url: Address of the API, without a slash at the end.
    """

    token: str
    url: str = API

    def archive(self, repository: str) -> None:
        """Makes a repository read-only to everybody; one that is already stays so.

        Raises:
            RepositoryError: GitHub refused it, or could not be reached.

        Source: "Update a repository" in GitHub's REST API documentation.
        """
        # What is archived takes no change, this one neither.
        if not self._ask("GET", repository).get("archived"):
            self._ask("PATCH", repository, {"archived": True})

    def _ask(
        self, method: str, repository: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - API, or what the caller's environment says
            f"{self.url}/repos/{repository}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "User-Agent": "mlops-platform",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            opened = urllib.request.build_opener(NoRedirects).open(
                request, timeout=_TIMEOUT_SECONDS
            )
            with opened as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            told = f"HTTP {error.code}"
            error.close()
        except (OSError, HTTPException, ValueError, TypeError) as error:
            told = str(error)
        raise RepositoryError(
            f"The repository {repository} cannot be archived at GitHub: {told}. The token in"
            f" {' or '.join(_TOKENS)} has to be of somebody who administers it; without one it is"
            " left for you to archive."
        )


def signed_in(environ: Mapping[str, str], clone_url: str) -> GitHub | None:
    """GitHub by a token of the environment; None without one, or where repositories are elsewhere.

    Args:
        environ: ``GH_TOKEN`` or ``GITHUB_TOKEN``, and ``GITHUB_API_URL`` for one's own GitHub.
        clone_url: Where repositories are cloned from.
    """
    token = next((environ[name] for name in _TOKENS if environ.get(name)), "")
    url = environ.get("GITHUB_API_URL", "").rstrip("/")
    # A token is shown to nobody whose repositories are not meant.
    if not token or not (url or clone_url == CLONE_URL):
        return None
    return GitHub(token, url or API)
