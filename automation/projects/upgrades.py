"""Bringing a project's repositories to the present version of their template.

A repository is rendered from one version of its template's content, and only with that content can
what its team changed be told from what the template says. So whoever fills a repository keeps the
content in the hub's state bucket, under the hash that is its version; an upgrade reads it there.
The result is a branch: the team looks at it, resolves what both changed, and merges it.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from automation.projects import rendering
from automation.projects.rendering import RenderingError
from automation.projects.repositories import AUTHOR, Host, run_git

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""Age of every file in an archive: the earliest that the format knows."""


def put_once(s3: Any, bucket: str, key: str, content: bytes) -> None:
    """Puts an object where there is none; what is there stays.

    Raises:
        ClientError: S3's.
    """
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise


@dataclass(frozen=True)
class Contents:
    """The versions of templates that repositories were made from.

    Attributes:
        s3: A boto3 client of S3, in the hub's account.
        bucket: The state bucket.
        folder: Where in it.
    """

    s3: Any
    bucket: str
    folder: str

    def keep(self, content: Path) -> str:
        """Keeps a template's content; gives its version.

        Raises:
            RenderingError: It cannot be kept.
        """
        version = rendering.version(content)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in content.rglob("*") if path.is_file()):
                name = path.relative_to(content).as_posix()
                archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), path.read_bytes())
        try:
            # Its name is its hash: what is there is right.
            put_once(self.s3, self.bucket, self._key(version), buffer.getvalue())
        except ClientError as error:
            raise RenderingError(
                f"The template's content cannot be kept in {self.bucket}: {error}"
            ) from None
        return version

    def fetch(self, version: str, folder: Path) -> None:
        """Writes the content of a version into a folder.

        Raises:
            RenderingError: It was never kept, or is not what its name says.
        """
        where = f"s3://{self.bucket}/{self._key(version)}"
        try:
            found = self.s3.get_object(Bucket=self.bucket, Key=self._key(version))["Body"].read()
        except ClientError as error:
            raise RenderingError(
                f"The template's content in version {version} cannot be read from {where}, so what"
                f" the team changed cannot be told from it: {error}"
            ) from None
        with zipfile.ZipFile(io.BytesIO(found)) as archive:
            archive.extractall(folder)
        if rendering.version(folder) != version:
            raise RenderingError(f"{where} is not version {version}: restore an earlier version.")

    def _key(self, version: str) -> str:
        return f"{self.folder}/{version}.zip"


@dataclass(frozen=True)
class Upgrade:
    """What became of a repository.

    Attributes:
        repository: Its name at its host.
        branch: The branch with the newer version; empty when it is at that version already.
        conflicts: Files in which the team's lines and the template's both stand.
    """

    repository: str
    branch: str = ""
    conflicts: tuple[str, ...] = ()

    def text(self) -> str:
        """For people."""
        if not self.branch:
            return f"{self.repository} is at the present version of its template."
        told = f"{self.repository}: branch {self.branch} brings the present version of its template"
        if not self.conflicts:
            return f"{told}. Look at it and merge it."
        return (
            f"{told}. Both the team and the template changed lines of {', '.join(self.conflicts)}:"
            " choose between the conflict markers there, then merge it."
        )


def upgrade(
    host: Host, repository: str, template: str, kind: str, values: dict[str, Any], kept: Contents
) -> Upgrade:
    """Pushes a branch that brings a repository to the present version of its template.

    Args:
        host: Who has the repository.
        repository: Its name there.
        template: Id of the template.
        kind: ``build`` or ``deploy``.
        values: What the template is given now.
        kept: The versions of templates.

    Raises:
        RenderingError: The repository does not tell its version, or that version is not kept.
        RepositoryError: The repository cannot be cloned or pushed to.
    """
    with (
        tempfile.TemporaryDirectory() as text,
        rendering.assembled(template, kind) as new,
    ):
        clone, old = Path(text) / "clone", Path(text) / "old"
        host.clone(repository, clone)
        before = rendering.origin(clone)
        version = rendering.version(new)
        if version == before.version and {**before.values, **values} == dict(before.values):
            return Upgrade(repository)
        kept.fetch(before.version, old)
        conflicts = rendering.update(clone, old, new, values)
        kept.keep(new)
        branch = f"template-{version}"
        name, mail = AUTHOR
        run_git(
            clone, "-c", f"user.name={name}", "-c", f"user.email={mail}",
            "commit", "--quiet", "--no-verify",
            "--message", f"Bring {template} from {before.version} to {version}",
        )  # fmt: skip
        host.push(repository, clone, branch)
        return Upgrade(repository, branch, tuple(conflicts))
