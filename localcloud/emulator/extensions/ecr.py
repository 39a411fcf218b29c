"""Emulated ECR operations that moto lacks or answers wrongly: layers' content, manifests, scans.

A layer's bytes are kept, and a download address gives them, as the presigned address of ECR does:
once made it needs no credentials and soon ends. Manifests are known by the digest of their text,
and are refused when what they name is not there.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params, operation
from localcloud.emulator.scans import counts

_ADDRESS_SECONDS = 3600
_blobs: dict[str, tuple[float, bytes]] = {}


class _Layers(BaseHTTPRequestHandler):
    """Gives the layer that an address stands for."""

    def do_GET(self) -> None:
        """Answers with the layer's bytes."""
        ends, content = _blobs.get(self.path.strip("/"), (0.0, b""))
        known = time.monotonic() < ends
        self.send_response(200 if known else 403)
        self.send_header("Content-Length", str(len(content) if known else 0))
        self.end_headers()
        if known:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: addresses give access."""


@cache
def _server() -> str:
    """The address of the layers' server, which ends with the emulator."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Layers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def _repository(ctx: Context, params: Params) -> Any:
    name = params["repositoryName"]
    repository = ctx.backend("ecr").repositories.get(name)
    if repository is None:
        raise ApiError(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in the registry with id "
            f"'{ctx.account}'",
        )
    return repository


def _layers(ctx: Context, params: Params) -> dict[str, bytes]:
    layers = ctx.store().setdefault("layers", {})
    return layers.setdefault(params["repositoryName"], {})


def _missing_layer(params: Params, digest: str) -> ApiError:
    return ApiError(
        "LayersNotFoundException",
        f"The layer {digest} does not exist in the repository '{params['repositoryName']}'.",
    )


@operation("ecr", "CompleteLayerUpload")
def complete_layer_upload(ctx: Context, params: Params) -> Params:
    """moto's, with the content kept and its digest compared."""
    repository = _repository(ctx, params)
    upload = repository.uploads.get(params["uploadId"])
    content = bytes(upload.layer_parts) if upload else b""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if upload and digest not in params["layerDigests"]:
        raise ApiError("InvalidLayerException", f"The layer's digest is {digest}.")
    if upload and digest in repository.layers:
        raise ApiError(
            "LayerAlreadyExistsException",
            f"Layer with digest '{digest}' already exists in repository '{repository.name}'.",
        )
    answer = ctx.forward(params)
    _layers(ctx, params)[digest] = content
    return answer


@operation("ecr", "GetDownloadUrlForLayer")
def get_download_url(ctx: Context, params: Params) -> Params:
    """An address that gives the layer for an hour."""
    _repository(ctx, params)
    digest = params["layerDigest"]
    content = _layers(ctx, params).get(digest)
    if content is None:
        raise _missing_layer(params, digest)
    token = uuid.uuid4().hex
    _blobs[token] = (time.monotonic() + _ADDRESS_SECONDS, content)
    return {"downloadUrl": f"{_server()}/{token}", "layerDigest": digest}


@operation("ecr", "PutImage")
def put_image(ctx: Context, params: Params) -> Params:
    """moto's, by the digest of the manifest, refused when what it names is missing."""
    repository = _repository(ctx, params)
    text = params["imageManifest"]
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    if params.get("imageDigest", digest) != digest:
        raise ApiError(
            "ImageDigestDoesNotMatchException",
            f"The digest {params['imageDigest']} is not that of the manifest, {digest}.",
        )
    manifest = json.loads(text)
    if "layers" in manifest:
        parts = [*([manifest["config"]] if "config" in manifest else []), *manifest["layers"]]
        for part in parts:
            if not part.get("urls") and part["digest"] not in repository.layers:
                raise _missing_layer(params, part["digest"])
    standing = {image.get_image_digest() for image in repository.images}
    for entry in manifest.get("manifests", ()):
        if entry["digest"] not in standing:
            raise ApiError(
                "ReferencedImagesNotFoundException",
                f"The image {entry['digest']} that the list names does not exist.",
            )
    if digest in standing and not params.get("imageTag"):
        raise ApiError("ImageAlreadyExistsException", f"Image with digest '{digest}' exists.")
    tagged = {tag: image.get_image_digest() for image in repository.images
              for tag in image.image_tags}  # fmt: skip
    tag = params.get("imageTag")
    if repository.is_tag_immutable() and tagged.get(tag, digest) != digest:
        # moto has another error for it.
        raise ApiError(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot"
            " be overwritten because the tag is immutable.",
        )
    if repository.image_tag_mutability == "MUTABLE":
        for image in repository.images:
            # moto would delete the image that the tag leaves.
            if params.get("imageTag") in image.image_tags and image.get_image_digest() != digest:
                image.remove_tag(params["imageTag"])
                image.image_tag = image.image_tags[-1] if image.image_tags else None
    # moto would make a digest of its own.
    answer = ctx.forward({**params, "imageDigest": digest})
    if repository.image_scanning_configuration.get("scanOnPush") and digest not in standing:
        _scan(ctx, params, digest, manifest)
    return answer


# -- scans -----------------------------------------------------------------------------------------


def _image(ctx: Context, params: Params) -> Any:
    """An image by tag or digest.

    Raises:
        ApiError: ``ImageNotFoundException``.
    """
    repository, wanted = _repository(ctx, params), params["imageId"]
    for image in repository.images:
        known = wanted.get("imageDigest") in (None, image.get_image_digest())
        if known and (not wanted.get("imageTag") or wanted["imageTag"] in image.image_tags):
            return image
    raise ApiError(
        "ImageNotFoundException",
        f"The image with imageId {wanted} does not exist within the repository with name"
        f" '{repository.name}' in the registry with id '{ctx.account}'",
    )


def _scan(ctx: Context, params: Params, digest: str, manifest: Params) -> None:
    """Keeps when an image was scanned; what is found is told anew whenever it is asked for."""
    scans = ctx.store().setdefault("scans", {}).setdefault(params["repositoryName"], {})
    kept = _layers(ctx, params)
    layers = [part["digest"] for part in manifest.get("layers", ())]
    scans[digest] = (ctx.now(), [digest for digest in layers if digest in kept])


@operation("ecr", "StartImageScan")
def start_image_scan(ctx: Context, params: Params) -> Params:
    """Scans an image; it is done at once."""
    image = _image(ctx, params)
    digest = image.get_image_digest()
    _scan(ctx, params, digest, json.loads(image.image_manifest))
    return {
        "registryId": ctx.account,
        "repositoryName": params["repositoryName"],
        "imageId": {"imageDigest": digest},
        "imageScanStatus": {"status": "COMPLETE"},
    }


@operation("ecr", "DescribeImageScanFindings")
def describe_image_scan_findings(ctx: Context, params: Params) -> Params:
    """The findings of an image's scan by the advisories that the emulator was given.

    moto would tell of a made-up finding in every image.
    """
    digest = _image(ctx, params).get_image_digest()
    scans = ctx.store().get("scans", {}).get(params["repositoryName"], {})
    if digest not in scans:
        raise ApiError(
            "ScanNotFoundException",
            f"Image scan does not exist for the image with '{{imageDigest:'{digest}'}}' in the"
            f" repository with name '{params['repositoryName']}' in the registry with id"
            f" '{ctx.account}'",
        )
    moment, layers = scans[digest]
    kept = _layers(ctx, params)
    findings, told = ctx.host.advisories.findings(kept[layer] for layer in layers)
    return {
        "registryId": ctx.account,
        "repositoryName": params["repositoryName"],
        "imageId": {"imageDigest": digest},
        "imageScanStatus": {"status": "COMPLETE", "description": told},
        "imageScanFindings": {
            "imageScanCompletedAt": moment,
            "findings": findings,
            "findingSeverityCounts": counts(findings),
        },
    }
