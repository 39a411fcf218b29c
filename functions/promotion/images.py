"""A version's container images: copied by digest into the hub's repositories, bit for bit.

Images of AWS's framework accounts stay where they are. Others come from the source account only;
manifests and layers go through ECR's API, so that no container engine is needed.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from botocore.exceptions import ClientError

from .aws import error_code
from .events import Refused, Source

_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr\.(?P<region>[a-z0-9-]+)\.(?P<domain>[a-z0-9.-]+)"
    r"/(?P<repository>[a-z0-9._/-]+)(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MANIFESTS = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
]
_LISTS = [
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
]
_LAYERS_PER_CALL = 100  # Source: BatchCheckLayerAvailability in ECR's API reference.
_TIMEOUT_SECONDS = 60


class TransferError(Exception):
    """A part of an image did not arrive as it was sent."""


@dataclass(frozen=True)
class Image:
    """An image in ECR.

    Attributes:
        uri: As the version names it.
        digest: Empty when only a tag is known.
    """

    uri: str
    account: str
    region: str
    domain: str
    repository: str
    tag: str
    digest: str

    @property
    def wanted(self) -> dict[str, str]:
        """How ECR is asked for it."""
        return {"imageDigest": self.digest} if self.digest else {"imageTag": self.tag or "latest"}


@dataclass(frozen=True)
class Placed:
    """An image as the central version names it."""

    uri: str
    digest: str


def read_image(uri: str, digest: str = "") -> Image:
    """Reads an image's URI.

    Args:
        uri: As in a container definition.
        digest: The digest that SageMaker recorded when the version was registered.

    Raises:
        Refused: It is not in ECR, or the two digests differ.
    """
    match = _IMAGE.fullmatch(uri)
    if match is None:
        raise Refused(f"The image {uri[:200]!r} is not in Amazon ECR.")
    named, digest = match["digest"] or "", digest.lower()
    if named and digest and named != digest:
        raise Refused(f"The image {uri} is registered with another digest, {digest}.")
    return Image(
        uri=uri,
        account=match["account"],
        region=match["region"],
        domain=match["domain"],
        repository=match["repository"],
        tag=match["tag"] or "",
        digest=named or digest,
    )


def containers(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All container definitions of a version."""
    specifications = [
        description.get("InferenceSpecification") or {},
        *(description.get("AdditionalInferenceSpecifications") or ()),
    ]
    return [item for each in specifications for item in each.get("Containers") or ()]


def fetch(url: str) -> IO[bytes]:
    """Opens the address of a layer."""
    return cast(
        IO[bytes],
        urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS),  # noqa: S310 - ECR made the address
    )


@dataclass(frozen=True)
class ImageCopier:
    """Copies images of one source account.

    Attributes:
        reader: Gives an ECR client of the reader role, for a region.
        hub: An ECR client of the function's own role.
        source: The version.
        source_prefix: What names in the source account begin with, left out in the hub.
        hub_account: The hub.
        hub_region: Its region.
        repository_prefix: What the hub's repositories begin with.
        kept_accounts: Accounts whose images stay where they are.
        open_url: Opens a layer's address.
    """

    reader: Callable[[str], Any]
    hub: Any
    source: Source
    source_prefix: str
    hub_account: str
    hub_region: str
    repository_prefix: str
    kept_accounts: frozenset[str]
    open_url: Callable[[str], IO[bytes]] = fetch

    def check(self, image: Image) -> None:
        """Refuses an image of a foreign registry.

        Raises:
            Refused: It is neither the source account's nor of an allowed account.
        """
        if image.account not in self.kept_accounts and image.account != self.source.account:
            raise Refused(
                f"The image {image.uri} is in the registry of account {image.account}, which is "
                f"neither {self.source.account} nor an allowed one.",
                self.source.arn,
            )

    def copy(self, image: Image) -> Placed:
        """Makes sure that an image is in the hub.

        Raises:
            Refused: It does not exist, is of a foreign registry, or the hub has no repository for
                it.
            TransferError: It did not arrive whole.
            ClientError: ECR's, which the queue retries.
        """
        self.check(image)
        if image.account in self.kept_accounts:
            return Placed(image.uri, image.digest)
        repository = self.repository_prefix + image.repository.removeprefix(self.source_prefix)
        reader = self.reader(image.region)
        digest = image.digest or self._manifest(reader, image, image.wanted)[0]
        # The hub's repositories expire what has no tag, and a tag there never moves.
        tag = digest.replace(":", "-")
        if self._standing(repository, tag) != digest:
            self._transfer(reader, image, repository, digest, tag)
        registry = f"{self.hub_account}.dkr.ecr.{self.hub_region}.{image.domain}"
        return Placed(f"{registry}/{repository}@{digest}", digest)

    def _standing(self, repository: str, tag: str) -> str:
        """The digest that a tag has in the hub; empty when there is no such image."""
        try:
            told = self.hub.batch_get_image(
                repositoryName=repository,
                imageIds=[{"imageTag": tag}],
                acceptedMediaTypes=_MANIFESTS + _LISTS,
            )
        except ClientError as error:
            if error_code(error) == "RepositoryNotFoundException":
                raise Refused(
                    f"The hub has no image repository {repository}: a platform engineer has to "
                    "add it to the settings.",
                    self.source.arn,
                ) from error
            raise
        return str(told["images"][0]["imageId"]["imageDigest"]) if _found(told) else ""

    def _manifest(self, reader: Any, image: Image, wanted: dict[str, str]) -> tuple[str, str, str]:
        """Digest, media type and text of a manifest in the source account."""
        try:
            told = reader.batch_get_image(
                registryId=image.account,
                repositoryName=image.repository,
                imageIds=[wanted],
                acceptedMediaTypes=_MANIFESTS + _LISTS,
            )
        except ClientError as error:
            if error_code(error) == "RepositoryNotFoundException":
                raise Refused(f"The repository of {image.uri} is gone.", self.source.arn) from error
            raise
        if not _found(told):
            raise Refused(f"The image {image.uri} is gone ({wanted}).", self.source.arn)
        found = told["images"][0]
        text, digest = found["imageManifest"], found["imageId"]["imageDigest"]
        if f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" != digest:
            raise TransferError(f"The manifest {digest} of {image.uri} did not arrive whole.")
        media_type = found.get("imageManifestMediaType") or json.loads(text).get("mediaType", "")
        return digest, media_type, text

    def _transfer(
        self, reader: Any, image: Image, repository: str, digest: str, tag: str = ""
    ) -> None:
        _, media_type, text = self._manifest(reader, image, {"imageDigest": digest})
        manifest = json.loads(text)
        if media_type in _LISTS:
            for entry in manifest["manifests"]:
                self._transfer(reader, image, repository, entry["digest"])
        elif media_type in _MANIFESTS:
            self._layers(reader, image, repository, manifest)
        else:
            raise Refused(
                f"The image {image.uri} has a manifest of type {media_type!r}, which is not "
                "copied: push it with a current container engine.",
                self.source.arn,
            )
        try:
            self.hub.put_image(
                repositoryName=repository,
                imageManifest=text,
                imageManifestMediaType=media_type,
                imageDigest=digest,
                **({"imageTag": tag} if tag else {}),
            )
        except ClientError as error:
            if error_code(error) != "ImageAlreadyExistsException":
                raise

    def _layers(self, reader: Any, image: Image, repository: str, manifest: dict[str, Any]) -> None:
        parts = [manifest["config"], *manifest["layers"]]
        # Layers with addresses of their own are fetched from there by whoever runs the image.
        digests = list(dict.fromkeys(part["digest"] for part in parts if not part.get("urls")))
        for start in range(0, len(digests), _LAYERS_PER_CALL):
            asked = digests[start : start + _LAYERS_PER_CALL]
            told = self.hub.batch_check_layer_availability(
                repositoryName=repository, layerDigests=asked
            )
            there = {
                layer["layerDigest"]
                for layer in told.get("layers", ())
                if layer["layerAvailability"] == "AVAILABLE"
            }
            for digest in asked:
                if digest not in there:
                    self._layer(reader, image, repository, digest)

    def _layer(self, reader: Any, image: Image, repository: str, digest: str) -> None:
        address = reader.get_download_url_for_layer(
            registryId=image.account, repositoryName=image.repository, layerDigest=digest
        )["downloadUrl"]
        upload = self.hub.initiate_layer_upload(repositoryName=repository)
        hashed, first = hashlib.sha256(), 0
        with self.open_url(address) as layer:
            while chunk := _read(layer, upload["partSize"]):
                hashed.update(chunk)
                self.hub.upload_layer_part(
                    repositoryName=repository,
                    uploadId=upload["uploadId"],
                    partFirstByte=first,
                    partLastByte=first + len(chunk) - 1,
                    layerPartBlob=chunk,
                )
                first += len(chunk)
        if f"sha256:{hashed.hexdigest()}" != digest:
            raise TransferError(f"The layer {digest} of {image.uri} did not arrive whole.")
        try:
            self.hub.complete_layer_upload(
                repositoryName=repository, uploadId=upload["uploadId"], layerDigests=[digest]
            )
        except ClientError as error:
            if error_code(error) != "LayerAlreadyExistsException":
                raise


def _read(layer: IO[bytes], size: int) -> bytes:
    """Exactly ``size`` bytes unless the layer ends: a socket gives what it has."""
    chunks: list[bytes] = []
    while size > 0 and (chunk := layer.read(size)):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _found(told: dict[str, Any]) -> bool:
    """Whether ECR gave the image.

    Raises:
        TransferError: It could not tell: this is not the same as "there is none".
    """
    if told.get("images"):
        return True
    codes = {failure.get("failureCode") for failure in told.get("failures", ())}
    if codes != {"ImageNotFound"}:
        raise TransferError(
            f"ECR could not tell whether the image exists: {sorted(map(str, codes))}."
        )
    return False
