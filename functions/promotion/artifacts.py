"""A version's artifacts in S3: which ones it names, and their copies in the hub.

Objects are copied inside S3 by the function's own role, which the source account's bucket policy
lets read. A copy counts only when size, checksum and key are right; then it is never made again.
"""

from __future__ import annotations

import base64
import logging
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, cast

from botocore.exceptions import ClientError

from .aws import error_code
from .events import Refused, Source

# Source: "Amazon S3 multipart upload limits" in the S3 user guide.
MIN_PART_BYTES = 5 * 1024**2
MAX_PART_BYTES = 5 * 1024**3
_MAX_PARTS = 10_000
_MAX_KEY_BYTES = 1024
_MAX_URI = 1024  # of every S3 URI in SageMaker's API

_SCHEME = "s3://"
_PARALLEL_PARTS = 8
_READ_BYTES = 8 * 1024**2
# S3 can give these for a whole object that was uploaded in parts; the others only part by part.
_WHOLE = ("CRC64NVME", "CRC32", "CRC32C")
_OWN = "CRC32"
_KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
)

_log = logging.getLogger(__name__)

# What a description says of S3. Its prose (descriptions, customer metadata, model card) may mention
# places too, which nothing reads.
SECTIONS = (
    "InferenceSpecification",
    "AdditionalInferenceSpecifications",
    "SourceAlgorithmSpecification",
    "ValidationSpecification",
    "ModelMetrics",
    "DriftCheckBaselines",
    "SamplePayloadUrl",
    "SourceUri",
)


# Member that names a place -> the one beside it with what SageMaker recorded of the object there.
_ETAGS = {"ModelDataUrl": "ModelDataETag", "S3Uri": "ETag"}


class ChangedError(Exception):
    """An artifact changed while it was copied, or its copy is not what was asked for."""


class Kind(Enum):
    """What an S3 URI stands for."""

    OBJECT = "object"
    """One object; when there is none, all below it."""
    PREFIX = "prefix"
    """All objects whose keys begin so."""
    OUTPUT = "output"
    """All below it, which may be nothing."""


@dataclass(frozen=True)
class Artifact:
    """A place in S3 that a version names."""

    bucket: str
    key: str
    kind: Kind
    etags: frozenset[str] = frozenset()
    """What SageMaker recorded of the object when the version was registered, without quotes; of
    what is below a prefix it records nothing."""

    @property
    def uri(self) -> str:
        """As the version names it."""
        return f"{_SCHEME}{self.bucket}/{self.key}"


def find_artifacts(description: Mapping[str, Any]) -> list[Artifact]:
    """All places in S3 that a version names, each once, in a steady order.

    Raises:
        Refused: A place is named in a way that cannot be copied.
    """
    found: dict[tuple[str, str], Artifact] = {}
    for section in SECTIONS:
        for artifact in _walk(description.get(section), section, section):
            place = artifact.bucket, artifact.key
            known = found.get(place, artifact)
            # A prefix covers the object of the same name.
            covered = known.kind is Kind.OBJECT and artifact.kind is Kind.PREFIX
            found[place] = replace(
                artifact if covered else known, etags=known.etags | artifact.etags
            )
    return [found[place] for place in sorted(found)]


def _walk(value: Any, name: str, path: str, etag: str = "") -> Iterator[Artifact]:
    if isinstance(value, dict):
        items = cast(dict[str, Any], value)
        by_manifest = items.get("S3DataType") in ("ManifestFile", "AugmentedManifestFile")
        if by_manifest or items.get("ManifestS3Uri"):
            raise Refused(
                f"{path} names its data by a manifest, whose content would still point to the "
                "source account: register the version with a prefix or an object instead."
            )
        prefix = items.get("S3DataType") == "S3Prefix"
        for key, item in items.items():
            recorded = str(items.get(_ETAGS.get(key, "")) or "")
            yield from _walk(item, f"{key}/prefix" if prefix else key, f"{path}.{key}", recorded)
    elif isinstance(value, list):
        for index, item in enumerate(cast(list[Any], value)):
            yield from _walk(item, name, f"{path}[{index}]")
    elif isinstance(value, str):
        if value.startswith(_SCHEME):
            yield _artifact(value, name, path, etag)
        elif _SCHEME in value or (value.startswith("https://") and _names_s3(name, path)):
            raise Refused(f"{path} is {value[:200]!r}: a place in S3 must be written as s3://…")


def _names_s3(name: str, path: str) -> bool:
    return name.removesuffix("/prefix") in (
        "S3Uri",
        "S3OutputPath",
        "ModelDataUrl",
        "SamplePayloadUrl",
    ) and not path.startswith("SourceUri")


def _artifact(uri: str, name: str, path: str, etag: str) -> Artifact:
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    if not bucket or not key:
        raise Refused(f"{path} is {uri[:200]!r}: it names no object.")
    kind = Kind.OBJECT
    if name == "S3OutputPath":
        kind = Kind.OUTPUT
    elif name.endswith("/prefix") or key.endswith("/"):
        kind = Kind.PREFIX
    of_one = kind is Kind.OBJECT and etag
    return Artifact(bucket, key, kind, frozenset({etag.strip('"')} if of_one else ()))


def check_artifacts(
    artifacts: list[Artifact], source: Source, allowed: tuple[str, ...], folder: str, bucket: str
) -> None:
    """Refuses artifacts that are not the group's own, and those whose copies would have no name.

    The function reads whole buckets of the source account, and what it copies is read by the
    group's models: whoever registers a version could have another project's artifacts copied there.
    A project writes below its name, which its group is called by, so a version may name what lies
    there and nothing else. The same holds for groups that have no project.

    Args:
        artifacts: What the version names.
        source: The version.
        allowed: The buckets of its account that artifacts may come from.
        folder: What its group's keys begin with, with the slash at the end.
        bucket: The hub's.

    Raises:
        Refused: As said.
    """
    for artifact in artifacts:
        if artifact.bucket not in allowed:
            raise Refused(
                f"{artifact.uri} is outside the buckets that account {source.account} may promote "
                f"from ({', '.join(allowed) or 'none'}): store it there and register the version "
                "again.",
                source.arn,
            )
        if not artifact.key.startswith(folder):
            raise Refused(
                f"{artifact.uri[:200]} is outside the folder {folder} that versions of "
                f"{source.group} may name: store it there and register the version again.",
                source.arn,
            )
        if len(target_uri(artifact.uri, source, bucket)) > _MAX_URI:
            raise Refused(
                f"{artifact.uri[:200]}… is too long to be kept under {source.prefix}.", source.arn
            )


def target_key(bucket: str, key: str, source: Source) -> str:
    """Where an object goes: the source bucket is part of the key, so that none collide."""
    return f"{source.prefix}{bucket}/{key}"


def target_uri(uri: str, source: Source, bucket: str) -> str:
    """Where an S3 URI of the source points to in the hub."""
    place, _, key = uri.removeprefix(_SCHEME).partition("/")
    return f"{_SCHEME}{bucket}/{target_key(place, key, source)}"


def rewritten(value: Any, source: Source, bucket: str) -> Any:
    """A part of a description with its S3 URIs in the hub.

    S3 makes another ETag for the copy, so the ETags that the source recorded go.
    """
    if isinstance(value, dict):
        return {
            key: rewritten(item, source, bucket)
            for key, item in cast(dict[str, Any], value).items()
            if key not in ("ETag", "ModelDataETag", "ManifestEtag")
        }
    if isinstance(value, list):
        return [rewritten(item, source, bucket) for item in cast(list[Any], value)]
    if isinstance(value, str) and value.startswith(_SCHEME):
        return target_uri(value, source, bucket)
    return value


@dataclass(frozen=True)
class Head:
    """What S3 tells of an object."""

    size: int
    etag: str
    kept: Mapping[str, Any]
    """Content type and other members that a copy has too, by their names in S3's requests."""
    checksums: Mapping[str, str]
    """Algorithm -> base64, those of the whole object only."""
    key_arn: str


class Copier:
    """Copies a version's artifacts.

    Args:
        s3: An S3 client of the function's own role.
        source: The version.
        bucket: The hub's bucket.
        hub_account: Its account.
        key_arn: The hub's key.
        threshold: Objects of more bytes are copied in parts.
        part_bytes: Size of a part; raised where an object would have more than 10,000.
    """

    def __init__(
        self,
        s3: Any,
        source: Source,
        *,
        bucket: str,
        hub_account: str,
        key_arn: str,
        threshold: int,
        part_bytes: int,
    ) -> None:
        self._s3 = s3
        self._source = source
        self._bucket = bucket
        self._hub_account = hub_account
        self._key_arn = key_arn
        self._threshold = threshold
        self._part_bytes = part_bytes

    def copy(self, artifact: Artifact) -> int:
        """Makes sure that an artifact's copies are there; gives the number of objects.

        Raises:
            Refused: There is no such artifact, it is another than the one that was registered, or
                its name is too long.
            ChangedError: It changed meanwhile.
            ClientError: S3's, which the queue retries.
        """
        keys = list(self._keys(artifact))
        gone = artifact.etags and artifact.key not in keys
        if gone or (not keys and artifact.kind is not Kind.OUTPUT):
            raise Refused(f"There is nothing at {artifact.uri}.", self._source.arn)
        for key in keys:
            recorded = artifact.etags if key == artifact.key else frozenset[str]()
            self._copy_object(artifact.bucket, key, recorded)
        return len(keys)

    def _keys(self, artifact: Artifact) -> Iterator[str]:
        prefix = artifact.key
        if artifact.kind is Kind.OBJECT:
            if self._head(artifact.bucket, prefix, self._source.account) is not None:
                yield prefix
                return
            prefix += "/"
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=artifact.bucket, Prefix=prefix, ExpectedBucketOwner=self._source.account
        )
        for page in pages:
            yield from (item["Key"] for item in page.get("Contents", ()))

    def _head(self, bucket: str, key: str, owner: str) -> Head | None:
        try:
            told = self._s3.head_object(
                Bucket=bucket, Key=key, ChecksumMode="ENABLED", ExpectedBucketOwner=owner
            )
        except ClientError as error:
            # Without the right to list, S3 says 403 for what is missing: only 404 is an answer.
            if error_code(error) in ("404", "NoSuchKey"):
                return None
            raise
        return read_head(told)

    def _copy_object(self, bucket: str, key: str, recorded: frozenset[str]) -> None:
        target = target_key(bucket, key, self._source)
        if len(target.encode()) > _MAX_KEY_BYTES:
            raise Refused(f"The key of s3://{bucket}/{key} is too long.", self._source.arn)
        head = self._head(bucket, key, self._source.account)
        if head is None:
            raise ChangedError(f"s3://{bucket}/{key} has gone while it was copied.")
        if others := recorded - {head.etag.strip('"')}:
            # What was approved is what was registered, not what lies there now.
            raise Refused(
                f"s3://{bucket}/{key} is not what the version was registered with: its ETag is "
                f"{head.etag}, SageMaker recorded {', '.join(sorted(others))}. Register the "
                "version again.",
                self._source.arn,
            )
        in_parts = head.size > self._threshold
        algorithm = choose_checksum(head, in_parts=in_parts)
        checksum = head.checksums.get(algorithm) or self._read_checksum(bucket, key, head)
        if self._is_copy(self._head(self._bucket, target, self._hub_account), head, algorithm,
                         checksum):  # fmt: skip
            return
        place = {"Bucket": self._bucket, "Key": target, "ExpectedBucketOwner": self._hub_account}
        whence = {
            "CopySource": {"Bucket": bucket, "Key": key},
            # The object may change between looking and copying; S3 then refuses.
            "CopySourceIfMatch": head.etag,
            "ExpectedSourceBucketOwner": self._source.account,
        }
        how = {
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": self._key_arn,
            "BucketKeyEnabled": True,
            "ChecksumAlgorithm": algorithm,
        }
        if in_parts:
            self._copy_parts(place, whence, how, head)
        else:
            # Tags would need rights on the source that a reader has not.
            self._s3.copy_object(
                **place,
                **whence,
                **how,
                **head.kept,
                MetadataDirective="REPLACE",
                TaggingDirective="REPLACE",
            )
        copied = self._head(self._bucket, target, self._hub_account)
        if not self._is_copy(copied, head, algorithm, checksum):
            raise ChangedError(f"The copy of s3://{bucket}/{key} is not equal to it.")

    def _is_copy(self, copy: Head | None, head: Head, algorithm: str, checksum: str) -> bool:
        return (
            copy is not None
            and copy.size == head.size
            and copy.checksums.get(algorithm) == checksum
            and copy.key_arn == self._key_arn
        )

    def _read_checksum(self, bucket: str, key: str, head: Head) -> str:
        """Of objects that S3 has no checksum of as a whole."""
        body = self._s3.get_object(
            Bucket=bucket,
            Key=key,
            IfMatch=head.etag,
            ExpectedBucketOwner=self._source.account,
        )["Body"]
        value = 0
        for chunk in body.iter_chunks(_READ_BYTES):
            value = zlib.crc32(chunk, value)
        return base64.b64encode(value.to_bytes(4, "big")).decode()

    def _copy_parts(
        self, place: dict[str, Any], whence: dict[str, Any], how: dict[str, Any], head: Head
    ) -> None:
        upload = self._s3.create_multipart_upload(
            **place,
            **how,
            ChecksumType="FULL_OBJECT",
            **head.kept,
        )["UploadId"]

        def copy_part(numbered: tuple[int, tuple[int, int]]) -> dict[str, Any]:
            number, (first, last) = numbered
            result = self._s3.upload_part_copy(
                **place,
                **whence,
                UploadId=upload,
                PartNumber=number,
                CopySourceRange=f"bytes={first}-{last}",
            )["CopyPartResult"]
            kept = {name: item for name, item in result.items() if name.startswith("Checksum")}
            return {"PartNumber": number, "ETag": result["ETag"], **kept}

        try:
            with ThreadPoolExecutor(_PARALLEL_PARTS) as pool:
                ranges = enumerate(plan_parts(head.size, self._part_bytes), 1)
                parts = list(pool.map(copy_part, ranges))
            self._s3.complete_multipart_upload(
                **place, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except Exception:
            # What is left of it costs money; the bucket's lifecycle rule ends what this does not.
            try:
                self._s3.abort_multipart_upload(**place, UploadId=upload)
            except ClientError as error:
                _log.warning("An upload could not be ended: %s", error)
            raise


def read_head(told: Mapping[str, Any]) -> Head:
    """Reads the answer of ``HeadObject``; checksums of parts are no checksums of the object."""
    whole = told.get("ChecksumType") != "COMPOSITE"
    checksums = {
        name.removeprefix("Checksum"): str(value)
        for name, value in told.items()
        if name.startswith("Checksum") and name != "ChecksumType" and "-" not in str(value)
    }
    return Head(
        size=told["ContentLength"],
        etag=told["ETag"],
        kept={name: told[name] for name in _KEPT if told.get(name)},
        checksums=checksums if whole else {},
        key_arn=told.get("SSEKMSKeyId", ""),
    )


def choose_checksum(head: Head, *, in_parts: bool) -> str:
    """The algorithm that source and copy are compared by.

    Source: "Checking object integrity in Amazon S3" in the S3 user guide.
    """
    known = [name for name in _WHOLE if name in head.checksums]
    if known:
        return known[0]
    if not in_parts:
        other = sorted(set(head.checksums) & {"SHA256", "SHA1"}, reverse=True)
        if other:
            return other[0]
    return _OWN


def plan_parts(size: int, part_bytes: int) -> list[tuple[int, int]]:
    """First and last byte of each part of an object, at most 10,000 of them."""
    step = max(part_bytes, -(-size // _MAX_PARTS))
    return [(first, min(first + step, size) - 1) for first in range(0, size, step)]
