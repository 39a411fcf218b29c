"""Images of the company's own registries: pulled as a job's role may, and unpacked to run.

There are no containers here. An image's files are laid where its layers say, its program runs on
the interpreter of the seed environment, and its base image, which is not here, lends nothing but
its name. ``localcloud/emulator/builds/docker.py`` makes such images.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import threading
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import acting

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
PLACE = "opt"
"""Where the files of an image may lie: what a job's process is given of its own is ``/opt``."""

BASE_LABEL = "localcloud.base"
"""Label with the name of the base image, which a build here does not have."""

_TIMEOUT_SECONDS = 60
_pulling = threading.Lock()


class PullError(Exception):
    """An image cannot be had or cannot be run here; the message says why."""


@dataclass(frozen=True)
class Program:
    """What an image brings to run.

    Attributes:
        root: Folder with its files; ``root/opt`` is its ``/opt``.
        base: Name of the image that it was built on.
        entrypoint: Its ``ENTRYPOINT``.
        command: Its ``CMD``.
        variables: Its ``ENV``, without the search path.
        path: Folders of its own that its search path begins with.
        folder: Its ``WORKDIR``; empty when it is outside of what the image brings.
    """

    root: Path
    base: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    variables: Mapping[str, str]
    path: tuple[str, ...]
    folder: str

    @property
    def folders(self) -> dict[str, Path]:
        """Path in the container -> where it lies, for each folder or file below ``/opt``."""
        place = self.root / PLACE
        found = sorted(place.iterdir()) if place.is_dir() else []
        return {f"/{PLACE}/{path.name}": path for path in found}

    def words(self, *arguments: str) -> list[str]:
        """The command of ``docker run IMAGE ARGUMENTS``."""
        return [*self.entrypoint, *(arguments or self.command)]


@dataclass(frozen=True)
class Reference:
    """Where an image is.

    Attributes:
        uri: As it is named.
        account: Registry.
        region: Its region.
        repository: Repository.
        tag: Empty when a digest names it.
        digest: Empty when a tag names it.
    """

    uri: str
    account: str
    region: str
    repository: str
    tag: str
    digest: str

    @property
    def wanted(self) -> dict[str, str]:
        """How ECR is asked for it."""
        return {"imageDigest": self.digest} if self.digest else {"imageTag": self.tag or "latest"}


def pull(reference: Reference, environment: Mapping[str, str], folder: Path) -> Program:
    """Gets an image with a role's credentials.

    Args:
        reference: Which one.
        environment: Of the role's task, outside of any VPC: SageMaker pulls images itself.
        folder: Where unpacked images are kept, by digest.

    Raises:
        PullError: The role may not pull it, it does not exist, or it cannot be run here.
    """
    ecr = acting.client_of("ecr", {**environment, "AWS_REGION": reference.region})
    where = {"registryId": reference.account, "repositoryName": reference.repository}
    try:
        ecr.get_authorization_token()
        told = ecr.batch_get_image(
            **where, imageIds=[reference.wanted], acceptedMediaTypes=list(MANIFESTS)
        )
        if not told["images"]:
            raise PullError(f"The image {reference.uri} does not exist.")
        found = told["images"][0]
        manifest: dict[str, Any] = json.loads(found["imageManifest"])
        if manifest.get("mediaType", MANIFESTS[0]) not in MANIFESTS:
            raise PullError(f"{reference.uri} is of several platforms; the local cloud runs one.")
        # Whoever may not read a layer has no image, although another job unpacked it already.
        addresses = {
            part["digest"]: str(
                ecr.get_download_url_for_layer(**where, layerDigest=part["digest"])["downloadUrl"]
            )
            for part in (manifest["config"], *manifest["layers"])
        }
    except (BotoCoreError, ClientError) as error:
        raise PullError(f"The image {reference.uri} cannot be pulled: {error}") from error
    digest = str(found["imageId"]["imageDigest"])
    root = folder / digest.replace(":", "-")
    config = json.loads(_content(addresses, manifest["config"]["digest"]))
    with _pulling:
        if not root.is_dir():
            layers = [_content(addresses, part["digest"]) for part in manifest["layers"]]
            _unpack(reference, layers, root)
    return _program(config, root)


def _content(addresses: Mapping[str, str], digest: str) -> bytes:
    try:
        with urllib.request.urlopen(addresses[digest], timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the registry's own address
            content = cast(bytes, answer.read())
    except OSError as error:
        raise PullError(f"The layer {digest} cannot be read: {error}") from error
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise PullError(f"The layer {digest} did not arrive whole.")
    return content


def _unpack(reference: Reference, layers: list[bytes], root: Path) -> None:
    """Lays the layers over each other, all or nothing."""
    aside = root.with_name(f".{uuid.uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        for layer in layers:
            with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
                for member in archive.getmembers():
                    _check(reference, member)
                archive.extractall(aside, filter="data")
        aside.rename(root)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PullError(f"A layer of {reference.uri} cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check(reference: Reference, member: tarfile.TarInfo) -> None:
    parts = Path(member.name).parts
    if parts and parts[-1].startswith(".wh."):
        raise PullError(
            f"{reference.uri} removes files of an earlier layer ({member.name}), which the local"
            " cloud does not follow."
        )
    if parts and (parts[0] != PLACE or parts[1:2] == ("ml",)):
        raise PullError(
            f"{reference.uri} brings /{member.name}: the local cloud has no containers, and lays an"
            f" image's files below /{PLACE} only, /{PLACE}/ml left out."
        )


def _program(config: Mapping[str, Any], root: Path) -> Program:
    given: dict[str, Any] = config.get("config") or {}
    variables = dict(item.split("=", 1) for item in given.get("Env") or ())
    path = tuple(
        part for part in variables.pop("PATH", "").split(":") if part.startswith(f"/{PLACE}/")
    )
    folder = str(given.get("WorkingDir") or "")
    return Program(
        root=root,
        base=str((given.get("Labels") or {}).get(BASE_LABEL) or "unknown"),
        entrypoint=tuple(given.get("Entrypoint") or ()),
        command=tuple(given.get("Cmd") or ()),
        variables=variables,
        path=path,
        folder=folder if folder.startswith(f"/{PLACE}/") else "",
    )
