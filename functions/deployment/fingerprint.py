"""What a version is made of, as digests: whether it is still what was approved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from ..promotion.artifacts import Artifact, Kind, find_artifacts
from ..promotion.aws import error_code
from ..promotion.events import Refused
from .history import Print

_SECTIONS = ("InferenceSpecification", "AdditionalInferenceSpecifications", "SourceUri")
# What a deployment runs is in its specification; that of an algorithm is run by nobody here.


def canonical(value: Any) -> str:
    """JSON that is the same for what is the same."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_print(s3: Any, description: Mapping[str, Any], owner: str) -> Print:
    """The fingerprint of a version and its artifacts.

    Args:
        s3: An S3 client that can read the artifacts.
        description: The version.
        owner: Account of the artifacts' bucket.

    Raises:
        ClientError: S3's, for what may work later.
    """
    specification = {name: description[name] for name in _SECTIONS if description.get(name)}
    parts = {name: _digest(canonical(value)) for name, value in specification.items()}
    try:
        for artifact in find_artifacts(specification):
            told = _objects(s3, artifact, owner)
            if not told:
                return Print(problem=f"There is nothing at {artifact.uri}.")
            parts[artifact.uri] = _digest(canonical(told))
    except Refused as refusal:
        return Print(problem=str(refusal))
    except ClientError as error:
        if error_code(error) in ("403", "AccessDenied", "NoSuchBucket"):
            return Print(problem=f"The artifacts of the version cannot be read: {error}")
        raise
    return Print(_digest(canonical(parts)), parts)


def _objects(s3: Any, artifact: Artifact, owner: str) -> list[list[Any]]:
    """Key, version, ETag and size of the objects of an artifact."""
    prefix = artifact.key
    if artifact.kind is Kind.OBJECT:
        try:
            head = s3.head_object(
                Bucket=artifact.bucket, Key=artifact.key, ExpectedBucketOwner=owner
            )
        except ClientError as error:
            if error_code(error) not in ("404", "NoSuchKey"):
                raise
            prefix += "/"
        else:
            version = head.get("VersionId", "")
            return [[artifact.key, version, head["ETag"], head["ContentLength"]]]
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=artifact.bucket, Prefix=prefix, ExpectedBucketOwner=owner
    )
    return [
        [item["Key"], item.get("VersionId", ""), item["ETag"], item["Size"]]
        for page in pages
        for item in page.get("Versions", ())
        if item["IsLatest"]
    ]


def changes(approved: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What of a fingerprint is another than when the version was approved."""
    told = {True: "changed", False: "is new"}
    return [
        f"{part} {told[part in approved] if part in now else 'is gone'}"
        for part in sorted({*approved, *now})
        if approved.get(part) != now.get(part)
    ]
