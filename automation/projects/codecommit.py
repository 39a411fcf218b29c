"""CodeCommit: repositories in the project's own accounts, reached by git with an AWS session.

The project's stack makes and removes them; what they hold comes from here, and is archived here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from automation.projects import github
from automation.projects.repositories import (
    BRANCH,
    Archive,
    Git,
    Host,
    RepositoryError,
    first_commit,
    left,
    run_git,
)
from automation.projects.spec import ProjectSpec
from automation.projects.templates import REPOSITORIES
from components.projects.policies import codecommit_name
from components.projects.project import CODECOMMIT
from components.repositories import ARCHIVE
from components.settings import PlatformSettings

WHERE: Mapping[str, str] = {"build": "dev", "deploy": "governance"}
"""Repository -> environment whose account has it."""

_MISSING = "RepositoryDoesNotExistException"
# git asks this for user and password; they stand in no command line and in no file.
_HELPER = '!f() { echo "username=$CODECOMMIT_USER"; echo "password=$CODECOMMIT_PASSWORD"; }; f'


def password(credentials: Credentials, region: str, url: str, now: datetime) -> str:
    """What CodeCommit takes as a password for git: a signature of the repository's address.

    Args:
        credentials: Of the session that signs in.
        region: Where the repository is.
        url: Its HTTPS address.
        now: The time, which the signature is bound to.

    Source: the service's user guide, HTTPS connections with the credential helper, whose way of
    signing the AWS CLI shows (``aws codecommit credential-helper``).
    """
    signer = SigV4Auth(credentials, "codecommit", region)
    parts = urlsplit(url)
    request = AWSRequest(method="GIT", url=url)
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S")
    request.context["timestamp"] = stamp
    canonical = f"GIT\n{parts.path}\n\nhost:{parts.hostname}\n\nhost\n"
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    return f"{stamp}Z{signature}"


@dataclass(frozen=True)
class CodeCommit:
    """The accounts as a host of repositories.

    Attributes:
        platform: Environment -> settings of its stack.
        session: Environment -> a session of its deployer.
    """

    platform: Mapping[str, PlatformSettings]
    session: Callable[[str], boto3.Session]

    def name(self, spec: ProjectSpec, kind: str) -> str:
        """What a project's repository is called."""
        return codecommit_name(self.platform[WHERE[kind]].names, spec.name, kind)

    def check(self, repository: str) -> None:
        """Whether a new project may make a repository.

        Raises:
            RepositoryError: There is one by that name already, or it cannot be told.
        """
        if self._address(repository):
            raise RepositoryError(
                f"There is a repository {repository} in CodeCommit already: delete or rename it, a"
                " new project makes its own."
            )

    def heads(self, repository: str) -> int:
        """How many branches a repository has.

        Raises:
            RepositoryError: It is not there, or not to be read.
        """
        return len(self._git(repository, None, "ls-remote", "--heads").splitlines())

    def fill(self, repository: str, folder: Path, message: str) -> None:
        """Pushes a folder as the first commit of an empty repository.

        Raises:
            RepositoryError: The push was refused.
        """
        first_commit(folder, message)
        self.push(repository, folder, BRANCH)

    def clone(self, repository: str, folder: Path) -> None:
        """Clones a repository's main branch into a folder that is not there yet.

        Raises:
            RepositoryError: It is not there, or not to be read.
        """
        self._git(repository, None, "clone", "--quiet", "--branch", BRANCH, after=[str(folder)])

    def push(self, repository: str, folder: Path, branch: str) -> None:
        """Pushes what a folder has checked out to a branch.

        Raises:
            RepositoryError: The push was refused.
        """
        self._git(repository, folder, "push", "--quiet", after=[f"HEAD:refs/heads/{branch}"])

    def leave(self, spec: ProjectSpec) -> str:
        """Before a project goes: archives its repositories with all branches, tags and history.

        A repository that is gone already, or empty, has nothing to archive.

        Returns:
            Where the archives are, for people.

        Raises:
            RepositoryError: One cannot be archived; nothing may be removed then.
        """
        archive = hub_archive(self.platform, self.session)

        def clone(repository: str, mirror: Path) -> None:
            self._git(repository, None, "clone", "--quiet", "--mirror", after=[str(mirror)])

        return left(
            [
                archive.mirror(spec, kind, partial(clone, repository))
                for kind in REPOSITORIES
                if self._address(repository := self.name(spec, kind)) and self.heads(repository)
            ]
        )

    def _environment(self, repository: str) -> str:
        return next(
            environment
            for environment in WHERE.values()
            if repository.startswith(self.platform[environment].names.name(""))
        )

    def _address(self, repository: str) -> str:
        """A repository's HTTPS address; empty when there is none.

        Raises:
            RepositoryError: It cannot be told.
        """
        client: Any = self.session(self._environment(repository)).client("codecommit")
        try:
            told = client.get_repository(repositoryName=repository)
        except ClientError as error:
            if error.response["Error"]["Code"] == _MISSING:
                return ""
            raise RepositoryError(
                f"The repository {repository} cannot be looked at: {error}"
            ) from None
        return str(told["repositoryMetadata"]["cloneUrlHttp"])

    def _git(
        self, repository: str, folder: Path | None, *arguments: str, after: list[str] | None = None
    ) -> str:
        """Runs git at a repository, whose address stands between the arguments.

        Raises:
            RepositoryError: There is no such repository, or git failed.
        """
        url = self._address(repository)
        if not url:
            raise RepositoryError(f"There is no repository {repository} in CodeCommit.")
        environment = self._environment(repository)
        found: Any = self.session(environment).get_credentials()
        keys = found.get_frozen_credentials()
        credentials = Credentials(keys.access_key, keys.secret_key, keys.token)
        region = self.platform[environment].region
        variables = {
            "CODECOMMIT_USER": "%".join(filter(None, [keys.access_key, keys.token])),
            "CODECOMMIT_PASSWORD": password(credentials, region, url, datetime.now(UTC)),
        }
        # The first helper, an empty one, forgets those of the machine.
        settings = ["-c", "credential.helper=", "-c", f"credential.helper={_HELPER}"]
        return run_git(folder, *settings, *arguments, url, *(after or []), variables=variables)


def hub_archive(
    platform: Mapping[str, PlatformSettings], session: Callable[[str], boto3.Session]
) -> Archive:
    """The hub's archive of repositories.

    Args:
        platform: Environment -> settings of its stack.
        session: Environment -> a session of its deployer.
    """
    bucket = platform["governance"].names.bucket(ARCHIVE)
    return Archive(bucket, lambda: session("governance"))


def hosting(
    platform: Mapping[str, PlatformSettings],
    session: Callable[[str], boto3.Session],
    clone_url: str = "",
) -> Host:
    """Who hosts the repositories of projects, by the settings.

    Args:
        platform: Environment -> settings of its stack.
        session: Environment -> a session of its deployer.
        clone_url: Where they are cloned from, instead of what the settings say.
    """
    projects = platform["governance"].projects
    if projects.repository_provider == CODECOMMIT:
        return CodeCommit(platform, session)
    url = clone_url or projects.clone_url
    at_github = projects.repository_provider == "GitHub"
    closing = github.signed_in(os.environ, url) if at_github else None
    return Git(hub_archive(platform, session), url, closing)
