"""Builds the image of ``image/``, pushes it, waits for its scan, and says in ``image.json`` which.

An image is known by what it is made of: the files of ``image/``, the folders that ``image.include``
of ``config.yaml`` adds, and its base. What the repository
has already is not built again, but its scan is looked at again. Tags never move: a tag is the
commit that an image was first built from, and the hash of what it is made of. The pipeline takes
the image by its digest.

Exit codes: 0 the image is there and its scan let it through; 2 something was refused: settings,
the scan, findings; 3 AWS or the container engine failed.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipelinekit import settings, source
from pipelinekit.own_image import (
    FILE,
    SEVERITIES,
    Built,
    ImageError,
    ImageSettings,
    content,
    files,
    read_settings,
)

_FOLDER = Path(__file__).resolve().parent
_SCANNED = ("COMPLETE", "ACTIVE")
"""Source: ScanStatus in ECR's API reference; ACTIVE is enhanced scanning's word for complete."""

_WAITING = ("IN_PROGRESS", "PENDING")
_TOLD = 10  # findings in a message

Run = Callable[[Sequence[str], str], None]
"""``run(command, standard_input)``; raises :class:`EngineError`."""


class EngineError(RuntimeError):
    """The container engine failed; it has said why."""


class RefusedError(RuntimeError):
    """An image must not be used; the message says why."""


@dataclass(frozen=True)
class Repository:
    """The project's image repository.

    Attributes:
        ecr: A client of ECR.
        name: The repository's name.
        run: Runs the container engine.
        say: Takes lines of progress.
    """

    ecr: Any
    name: str
    run: Run
    say: Callable[[str], object] = print

    def uri(self) -> str:
        """Where it is, without tag or digest.

        Raises:
            ImageError: There is none.
        """
        try:
            told = self.ecr.describe_repositories(repositoryNames=[self.name])
        except self.ecr.exceptions.RepositoryNotFoundException as error:
            raise ImageError(
                f"There is no image repository {self.name} in this account and region. The platform"
                " makes it with the project: has the project been updated since it got an image?"
            ) from error
        return str(told["repositories"][0]["repositoryUri"])

    def find(self, mark: str) -> tuple[str, str] | None:
        """Tag and digest of the image that is made of this."""
        pages = self.ecr.get_paginator("list_images").paginate(
            repositoryName=self.name, filter={"tagStatus": "TAGGED"}
        )
        for page in pages:
            for known in page["imageIds"]:
                if str(known.get("imageTag")).endswith(f"-{mark}"):
                    return str(known["imageTag"]), str(known["imageDigest"])
        return None

    def build(self, given: ImageSettings, folder: Path, tag: str, commit: str) -> None:
        """Builds and pushes the image of a repository.

        Args:
            given: The image's settings.
            folder: The repository.
            tag: Of the image.
            commit: What it is built from.

        Raises:
            EngineError: The engine failed; also when the tag names another image.
        """
        uri = self.uri()
        registry = uri.partition("/")[0]
        granted = self.ecr.get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(granted["authorizationToken"]).decode().partition(":")
        self.run(["docker", "login", "--username", user, "--password-stdin", registry], password)
        with tempfile.TemporaryDirectory() as context:
            for name, path in files(folder, given).items():
                place = Path(context) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, place)
            command = [
                "docker", "build",
                "--platform", "linux/amd64",
                # SageMaker takes one manifest; engines would add a second one about the build.
                "--provenance", "false",
                "--build-arg", f"BASE={given.base}",
                "--label", f"org.opencontainers.image.revision={commit}",
                "--label", f"org.opencontainers.image.base.name={given.base}",
                "--tag", f"{uri}:{tag}",
                context,
            ]  # fmt: skip
            self.run(command, "")
        self.run(["docker", "push", f"{uri}:{tag}"], "")

    def digest(self, tag: str) -> str:
        """The digest that a tag names.

        Raises:
            ImageError: There is no such image.
        """
        told = self.ecr.batch_get_image(repositoryName=self.name, imageIds=[{"imageTag": tag}])
        if not told["images"]:
            raise ImageError(f"{self.name}:{tag} was pushed and is not there.")
        return str(told["images"][0]["imageId"]["imageDigest"])

    def scanned(self, digest: str, seconds: float, poll_seconds: float) -> dict[str, Any]:
        """What the scan of an image found, once it is complete.

        Raises:
            RefusedError: It failed, or did not end in time.
        """
        end = time.monotonic() + seconds
        status = "not begun"
        while True:
            try:
                told = self.ecr.describe_image_scan_findings(
                    repositoryName=self.name, imageId={"imageDigest": digest}
                )
                status = str((told.get("imageScanStatus") or {}).get("status"))
            except self.ecr.exceptions.ScanNotFoundException:
                told = {}
            if status in _SCANNED:
                return cast(dict[str, Any], told.get("imageScanFindings") or {})
            if status not in (*_WAITING, "not begun"):
                why = (told.get("imageScanStatus") or {}).get("description", "")
                raise RefusedError(f"The scan of {digest} ended as {status}. {why}".strip())
            if time.monotonic() > end:
                raise RefusedError(
                    f"The scan of {digest} is {status} after {seconds:g} seconds: run it again"
                    " later, the image is not built anew."
                )
            time.sleep(poll_seconds)


def judge(found: Mapping[str, Any], worst: str) -> dict[str, int]:
    """How many findings there are of which severity.

    Args:
        found: What a scan found.
        worst: The worst severity that is let through; ``NONE`` lets nothing through.

    Raises:
        RefusedError: There is a worse one.
    """
    counts = {str(key): int(value) for key, value in found.get("findingSeverityCounts", {}).items()}
    # One of a severity that is not known here is as bad as any.
    limit = SEVERITIES.index(worst)
    bad = {
        key: count
        for key, count in counts.items()
        if count and (key not in SEVERITIES or SEVERITIES.index(key) > limit)
    }
    if not bad:
        return counts
    listed: list[dict[str, Any]] = [
        *found.get("findings", []),
        *found.get("enhancedFindings", []),
    ]
    lines = [_line(item) for item in listed if item.get("severity") in bad]
    more = [f"and {len(lines) - _TOLD} more"] if len(lines) > _TOLD else []
    total = ", ".join(f"{count} {key}" for key, count in bad.items())
    raise RefusedError(
        "\n  ".join(
            [
                f"The image has findings above {worst}: {total}. Update what has them in"
                " image/requirements.in or image.base of config.yaml.",
                *lines[:_TOLD],
                *more,
            ]
        )
    )


def _line(finding: Mapping[str, Any]) -> str:
    told = {item["key"]: item["value"] for item in finding.get("attributes") or ()}
    package = " ".join(str(told[key]) for key in ("package_name", "package_version") if key in told)
    name = finding.get("name") or finding.get("title") or "unnamed"
    return f"{finding['severity']} {name} {package}".strip()


def engine(command: Sequence[str], given: str) -> None:
    """Runs the container engine; what it says is shown.

    Raises:
        EngineError: It is not installed, or failed.
    """
    try:
        done = subprocess.run(list(command), input=given, text=True, check=False)
    except FileNotFoundError as error:
        raise EngineError(
            f"{command[0]} is not installed: images need a container engine."
        ) from error
    if done.returncode:
        raise EngineError(f"{' '.join(command[:2])} failed with exit code {done.returncode}.")


def make(
    repository: Repository,
    given: ImageSettings,
    folder: Path,
    commit: str,
    poll_seconds: float,
) -> Built:
    """The image of a repository's files, built when it is not there yet.

    Args:
        repository: Where it is kept.
        given: The settings.
        folder: This repository's folder.
        commit: What it is built from.
        poll_seconds: Between two looks at the scan.

    Raises:
        ImageError: There is no repository, or the image is not there after its push.
        EngineError: The container engine failed.
        RefusedError: The scan failed, or found too much.
        ClientError: ECR's.
    """
    mark = content(folder, given)
    known = repository.find(mark)
    if known is None:
        tag = f"{commit[:12]}-{mark}"
        repository.say(f"{repository.name}:{tag} is built")
        repository.build(given, folder, tag, commit)
        digest = repository.digest(tag)
    else:
        tag, digest = known
        repository.say(f"{repository.name}:{tag} is there already")
    found = repository.scanned(digest, 60 * given.scan_minutes, poll_seconds)
    counts = judge(found, given.worst_finding)
    return Built(
        uri=f"{repository.uri()}@{digest}",
        tag=tag,
        content=mark,
        findings=counts,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Args:
        arguments: Its words; None for those of the process.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commit", help="what is built (from CI or git)")
    parser.add_argument("--if-used", action="store_true", help="only when a job runs in it")
    parser.add_argument("--poll-seconds", type=float, default=10, help="between looks at the scan")
    given = parser.parse_args(arguments)
    (_FOLDER / FILE).unlink(missing_ok=True)
    try:
        project = settings.read(_FOLDER / "project.yaml", settings.Project)
        image, used = read_settings(_FOLDER)
        if given.if_used and not used:
            print("By config.yaml everything runs in SageMaker's images: none is built.")
            return 0
        ecr = cast(Any, boto3.client("ecr", region_name=project.region))
        built = make(
            Repository(ecr, project.pipeline, engine),
            image,
            _FOLDER,
            source.commit(_FOLDER, given.commit),
            given.poll_seconds,
        )
    except (settings.SettingsError, ImageError, RefusedError) as error:
        print(error, file=sys.stderr)
        return 2
    except (ClientError, BotoCoreError, EngineError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3
    (_FOLDER / FILE).write_text(built.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print(f"{built.uri}: {json.dumps(built.findings) if built.findings else 'no findings'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
