"""A project's repositories: rendered from the templates, and filled where they are hosted.

A rendered repository refers to nothing here.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from automation.projects import rendering
from automation.projects.spec import ProjectSpec
from automation.projects.templates import REPOSITORIES
from components.settings import PlatformSettings

CLONE_URL = "https://github.com/{repository}.git"
"""Where repositories are cloned from; git's own credential helpers sign in."""

BRANCH = "main"
AUTHOR = ("MLOps platform", "mlops-platform@localhost")
_COMMANDS = ("add", "bundle", "clone", "commit", "init", "ls-remote", "push")


class RepositoryError(RuntimeError):
    """A repository cannot be read or written; the message has git's own words."""


class Host(Protocol):
    """Who hosts repositories. What cannot be done raises :class:`RepositoryError`."""

    def name(self, spec: ProjectSpec, kind: str) -> str:
        """What a project's repository, ``build`` or ``deploy``, is called there."""
        ...

    def check(self, repository: str) -> None:
        """Whether a new project may start in a repository."""
        ...

    def heads(self, repository: str) -> int:
        """How many branches a repository has."""
        ...

    def fill(self, repository: str, folder: Path, message: str) -> None:
        """Pushes a folder as the first commit of an empty repository."""
        ...

    def clone(self, repository: str, folder: Path) -> None:
        """Clones a repository's main branch into a folder that is not there yet."""
        ...

    def push(self, repository: str, folder: Path, branch: str) -> None:
        """Pushes what a folder has checked out to a branch."""
        ...

    def leave(self, spec: ProjectSpec) -> str:
        """Before a project goes: what becomes of its repositories, for people."""
        ...


class Closing(Protocol):
    """Who can make repositories read-only where they are hosted."""

    def archive(self, repository: str) -> None:
        """Makes one read-only; raises :class:`RepositoryError` when it cannot."""
        ...


@dataclass(frozen=True)
class Archive:
    """Where repositories go before their project does.

    Attributes:
        bucket: A bucket of the hub, which loses nothing.
        session: A session that may write there.
    """

    bucket: str
    session: Callable[[], boto3.Session]

    def keep(self, spec: ProjectSpec, name: str, content: bytes) -> str:
        """Keeps a file of a project; gives its address.

        Args:
            spec: The project.
            name: The file's.
            content: What it holds.

        Raises:
            RepositoryError: It cannot be kept; nothing may be removed then.
        """
        s3: Any = self.session().client("s3")
        key = f"{spec.name}/{spec.id}/{name}"
        try:
            s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        except (BotoCoreError, ClientError) as error:
            raise RepositoryError(
                f"{name} of {spec.name} cannot be archived in {self.bucket}, which the governance"
                f" stack makes: {error}"
            ) from None
        return f"s3://{self.bucket}/{key}"

    def mirror(self, spec: ProjectSpec, kind: str, clone: Callable[[Path], object]) -> str:
        """Keeps a repository with all branches, tags and history; gives the bundle's address.

        Args:
            spec: The project.
            kind: ``build`` or ``deploy``.
            clone: Writes a mirror of the repository into a folder.

        Raises:
            RepositoryError: It cannot be kept; nothing may be removed then.
        """
        with tempfile.TemporaryDirectory() as text:
            mirror, bundle = Path(text) / "mirror", Path(text) / "bundle"
            clone(mirror)
            run_git(mirror, "bundle", "create", "--quiet", str(bundle), "--all")
            return self.keep(spec, f"{kind}.bundle", bundle.read_bytes())


def left(kept: list[str]) -> str:
    """What is told of archived repositories.

    Args:
        kept: Addresses of their bundles.
    """
    if not kept:
        return "Its repositories held nothing."
    return f"Its repositories are archived ({', '.join(kept)}): git clone reads such a file."


@dataclass(frozen=True)
class Git:
    """How repositories are reached that are hosted elsewhere.

    Attributes:
        archive: Where they go before their project does.
        clone_url: Address of a repository, with ``{repository}`` for ``owner/name``.
        closing: Makes them read-only where they are hosted; None when nobody is signed in there.
    """

    archive: Archive
    clone_url: str = CLONE_URL
    closing: Closing | None = None

    def name(self, spec: ProjectSpec, kind: str) -> str:
        """What a project's repository is called where it is hosted.

        Args:
            spec: The project.
            kind: ``build`` or ``deploy``.
        """
        return spec.repository(kind)

    def url(self, repository: str) -> str:
        """What git clones."""
        return self.clone_url.format(repository=repository)

    def check(self, repository: str) -> None:
        """Whether a new project may start in a repository.

        Raises:
            RepositoryError: It is not there, or holds something already.
        """
        if self.heads(repository):
            raise RepositoryError(
                f"The repository {repository} holds something already; a new project starts in"
                " empty ones."
            )

    def leave(self, spec: ProjectSpec) -> str:
        """Before a project goes: archives its repositories with all branches, tags and history.

        They stay where they are hosted, read-only where somebody is signed in who can do that.

        Returns:
            Where the archives are, for people.

        Raises:
            RepositoryError: One cannot be archived; nothing may be removed then.
        """
        names = {kind: self.name(spec, kind) for kind in REPOSITORIES}

        def clone(repository: str, mirror: Path) -> None:
            run_git(None, "clone", "--quiet", "--mirror", self.url(repository), str(mirror))

        told = left(
            [
                self.archive.mirror(spec, kind, partial(clone, repository))
                for kind, repository in names.items()
                if self.heads(repository)
            ]
        )
        named = ", ".join(names.values())
        if self.closing is None:
            return f"{told} They ({named}) stay where they are hosted, open: archive them there."
        for repository in names.values():
            self.closing.archive(repository)
        return f"{told} They ({named}) stay where they are hosted, read-only."

    def heads(self, repository: str) -> int:
        """How many branches a repository has.

        Raises:
            RepositoryError: It is not there, or not to be read.
        """
        try:
            told = run_git(None, "ls-remote", "--heads", self.url(repository))
        except RepositoryError as error:
            raise RepositoryError(
                f"The repository {repository} cannot be read: create it, empty, and sign git in"
                f" to it. {error}"
            ) from None
        return len(told.splitlines())

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
        run_git(None, "clone", "--quiet", "--branch", BRANCH, self.url(repository), str(folder))

    def push(self, repository: str, folder: Path, branch: str) -> None:
        """Pushes what a folder has checked out to a branch.

        Raises:
            RepositoryError: The push was refused.
        """
        run_git(folder, "push", "--quiet", self.url(repository), f"HEAD:refs/heads/{branch}")


def values(spec: ProjectSpec, platform: PlatformSettings) -> dict[str, Any]:
    """What a project's templates are given.

    Args:
        spec: The project.
        platform: Settings of the hub.
    """
    return {
        "prefix": platform.prefix,
        "region": platform.region,
        "project_name": spec.name,
        "project_id": spec.id,
        "owner": spec.owner,
        "cost_centre": spec.cost_centre,
        **spec.settings,
    }


def render(
    spec: ProjectSpec,
    platform: PlatformSettings,
    kind: str,
    folder: Path,
    keep: Callable[[Path], object] = lambda _: None,
) -> None:
    """Writes a repository's content into a folder.

    Args:
        spec: The project.
        platform: Settings of the hub.
        kind: ``build`` or ``deploy``.
        folder: Where; made when it is not there.
        keep: Takes the template's content before anything is written.
    """
    with rendering.assembled(spec.template, kind) as content:
        keep(content)
        rendering.render(content, spec.template, values(spec, platform), folder)


def check(git: Host, spec: ProjectSpec) -> None:
    """Whether a new project may start in its repositories.

    Raises:
        RepositoryError: It may not.
    """
    for kind in REPOSITORIES:
        git.check(git.name(spec, kind))


def seed(
    git: Host,
    spec: ProjectSpec,
    platform: PlatformSettings,
    tell: Callable[[str], None],
    keep: Callable[[Path], object],
) -> None:
    """Fills the repositories that are still empty.

    Args:
        git: Who has them.
        spec: The project.
        platform: Settings of the hub.
        tell: Takes a line of progress.
        keep: Takes the template's content, which a later upgrade needs.

    Raises:
        RepositoryError: A push was refused.
    """
    # What is built is what deploys later: the deployment's repository goes first.
    for kind in reversed(REPOSITORIES):
        repository = git.name(spec, kind)
        if git.heads(repository):
            tell(f"{repository} holds something already and is left as it is")
            continue
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text) / kind
            render(spec, platform, kind, folder, keep)
            git.fill(repository, folder, f"Start {spec.name} from {spec.template}")
        tell(f"{repository} filled from {spec.template}")


def first_commit(folder: Path, message: str) -> None:
    """Makes a folder a git repository with all that it holds.

    Raises:
        RepositoryError: git failed.
    """
    name, mail = AUTHOR
    run_git(folder, "init", "--quiet", f"--initial-branch={BRANCH}")
    run_git(folder, "add", "--all")
    run_git(
        folder, "-c", f"user.name={name}", "-c", f"user.email={mail}",
        "commit", "--quiet", "--message", message,
    )  # fmt: skip


def run_git(
    folder: Path | None, *arguments: str, variables: Mapping[str, str] | None = None
) -> str:
    """Runs git, which asks nobody; gives what it printed.

    Args:
        folder: Where, None for here.
        arguments: Its command line.
        variables: More environment variables, for what no command line should have.

    Raises:
        RepositoryError: git failed, with its own words.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        # What stands before the command are settings.
        command = next((item for item in arguments if item in _COMMANDS), arguments[0])
        raise RepositoryError(f"git {command}: {said}")
    return done.stdout
