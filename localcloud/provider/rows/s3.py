"""Amazon S3: buckets and the settings that are resources of their own."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from localcloud.provider import assets
from localcloud.provider.crud import ResourceError
from localcloud.provider.shapes import ARCHIVE, SIGNATURE
from localcloud.provider.table import Call, Observe, Props, Row, Scope, Tags

BUCKET = {"Bucket": "{bucket}"}
_BY_ID = {"Bucket": "{id}"}


def _location(params: Props, inputs: Props, scope: Scope) -> None:
    if scope.region != "us-east-1":
        params["CreateBucketConfiguration"] = {"LocationConstraint": scope.region}
    if inputs.get("objectLockEnabled"):
        params["ObjectLockEnabledForBucket"] = True


def _empty(props: Props, scope: Scope) -> None:
    bucket = props["id"]
    while True:
        listed = scope.call("s3", "ListObjectVersions", {"Bucket": bucket})
        objects = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for item in listed.get(kind) or []
        ]
        if not objects:
            return
        if not props.get("forceDestroy"):
            raise ResourceError(
                f"bucket {bucket} is not empty ({len(objects)} object versions or more): "
                "empty it, or set forceDestroy"
            )
        scope.call("s3", "DeleteObjects", {"Bucket": bucket, "Delete": {"Objects": objects}})


def _find_bucket(id_: str, props: Props, scope: Scope) -> Props | None:
    scope.call("s3", "HeadBucket", {"Bucket": id_})
    return {"bucket": id_}


# Objects.

_BODY = ("source", "content", "contentBase64")
_OBJECT = (
    "acl", "bucket", "bucketKeyEnabled", "cacheControl", "checksumAlgorithm", "contentDisposition",
    "contentEncoding", "contentLanguage", "contentType", "key", "kmsKeyId", "metadata",
    "objectLockLegalHoldStatus", "objectLockMode", "objectLockRetainUntilDate",
    "serverSideEncryption", "storageClass", "websiteRedirect",
)  # fmt: skip


def _body(params: Props, inputs: Props, scope: Scope) -> None:
    given = [name for name in _BODY if inputs.get(name) is not None]
    if len(given) > 1:
        raise ResourceError(f"{' and '.join(given)} cannot stand together: give one of them.")
    source = inputs.get("source")
    if source is None:
        content = inputs.get("contentBase64")
        params["Body"] = (
            base64.b64decode(content) if content else str(inputs.get("content") or "").encode()
        )
    elif isinstance(source, Mapping) and source.get(SIGNATURE) == ARCHIVE:
        params["Body"] = assets.archive(source)
    else:
        params["Body"] = assets.content(source)
    if inputs.get("kmsKeyId"):
        params["ServerSideEncryption"] = "aws:kms"


def _without_quotes(inputs: Props, outputs: Props, scope: Scope) -> None:
    outputs["etag"] = outputs["etag"].strip('"')


def _find_object(id_: str, props: Props, scope: Scope) -> Props | None:
    bucket, _, key = id_.partition("/")
    answer = scope.call("s3", "HeadObject", {"Bucket": bucket, "Key": key})
    found: Props = {"bucket": bucket, "key": key, "etag": answer["ETag"].strip('"')}
    for name, member in (
        ("versionId", "VersionId"), ("contentType", "ContentType"), ("metadata", "Metadata"),
        ("cacheControl", "CacheControl"), ("contentDisposition", "ContentDisposition"),
        ("contentEncoding", "ContentEncoding"), ("contentLanguage", "ContentLanguage"),
        ("serverSideEncryption", "ServerSideEncryption"), ("kmsKeyId", "SSEKMSKeyId"),
        ("storageClass", "StorageClass"), ("websiteRedirect", "WebsiteRedirectLocation"),
    ):  # fmt: skip
        if answer.get(member):
            found[name] = answer[member]
    return found


def _versions(params: Props, props: Props, scope: Scope) -> None:
    """All versions of an object, as the real plugin removes them; those of no other key."""
    given = {"Bucket": props["bucket"], "Prefix": props["key"]}
    while True:
        listed = scope.call("s3", "ListObjectVersions", given)
        found = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for item in listed.get(kind) or []
            if item["Key"] == props["key"]
        ]
        # Of an object that is gone, a version that there never was: to name none leaves a marker.
        params["Delete"] = {"Objects": found or [{"Key": props["key"], "VersionId": "null"}]}
        if not listed.get("IsTruncated") or not found:
            return
        scope.call("s3", "DeleteObjects", params)


def _notifications(params: Props, inputs: Props, scope: Scope) -> None:
    params["NotificationConfiguration"] = (
        {"EventBridgeConfiguration": {}} if inputs.get("eventbridge") else {}
    )


_NOTIFICATIONS = Call(
    "PutBucketNotificationConfiguration",
    by=BUCKET,
    only=(),
    prepare=_notifications,
    takes=("eventbridge",),
)
"""Queues, topics and functions are refused: the row takes no such property."""


def _find_notifications(id_: str, props: Props, scope: Scope) -> Props | None:
    answer = scope.call("s3", "GetBucketNotificationConfiguration", {"Bucket": id_})
    return {"bucket": id_, "eventbridge": "EventBridgeConfiguration" in answer}


def _versioning(found: Props, answer: Props, scope: Scope) -> None:
    """Source: Amazon S3 API reference, GetBucketVersioning: never switched on, it tells nothing."""
    state = {"status": answer.get("Status", "Disabled")}
    if "MFADelete" in answer:
        state["mfaDelete"] = answer["MFADelete"]
    found["versioningConfiguration"] = state


_LIFECYCLE = {
    "rules.noncurrentVersionExpiration.noncurrentDays": "NoncurrentDays",
    "rules.filter.objectSizeGreaterThan": "ObjectSizeGreaterThan",
    "rules.filter.objectSizeLessThan": "ObjectSizeLessThan",
}


def _setting(
    token: str,
    put: str,
    under: str,
    get: str,
    remove: str | None,
    *,
    path: str | None = None,
    rename: dict[str, str] | None = None,
    fixed: Props | None = None,
    only: tuple[str, ...] | None = None,
    observe: Observe | None = None,
    unread: dict[str, str] | None = None,
) -> Row:
    """A setting of a bucket: put, get, delete."""
    call = Call(put, by=BUCKET, under=under, only=only)
    return Row(
        token=token,
        service="s3",
        create=call,
        id="{bucket}",
        read=Call(get, by=_BY_ID, path=under if path is None else path),
        update=(call,),
        delete=Call(remove, by=_BY_ID) if remove else Call(put, by=_BY_ID, fixed=fixed or {}),
        rename=rename or {},
        observe=observe,
        unread=unread or {},
        replace=("bucket",),
        parts=("bucket",),
        separator=",",
        gone=("NoSuchBucket", "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration",
              "ServerSideEncryptionConfigurationNotFoundError", "NoSuchLifecycleConfiguration",
              "NoSuchCORSConfiguration", "OwnershipControlsNotFoundError"),
    )  # fmt: skip


ROWS = [
    Row(
        token="aws:s3/bucket:Bucket",
        service="s3",
        create=Call(
            "CreateBucket", by=BUCKET, only=(), prepare=_location, takes=("objectLockEnabled",)
        ),
        id="{bucket}",
        find=_find_bucket,
        delete=Call("DeleteBucket", by=_BY_ID),
        before_delete=_empty,
        name="bucket",
        prefix="bucketPrefix",
        replace=("bucket", "bucketPrefix", "objectLockEnabled"),
        ignored={"forceDestroy": "decides what a delete does with objects"},
        computed={
            "arn": "arn:{partition}:s3:::{bucket}",
            "bucketDomainName": "{bucket}.s3.amazonaws.com",
            "bucketRegionalDomainName": "{bucket}.s3.{region}.amazonaws.com",
        },
        tags=Tags(
            member="",
            put="PutBucketTagging",
            put_member="Tagging.TagSet",
            remove="",
            arn="Bucket",
            target="{bucket}",
            listing="GetBucketTagging",
            listed="TagSet",
        ),
    ),
    Row(
        token="aws:s3/bucketObjectv2:BucketObjectv2",
        service="s3",
        create=Call("PutObject", only=_OBJECT, prepare=_body, takes=(*_BODY, "etag", "sourceHash")),
        id="{bucket}/{key}",
        filled=dict.fromkeys(("contentType", "etag", "serverSideEncryption", "storageClass")),
        find=_find_object,
        update=(
            Call("PutObject", only=_OBJECT, prepare=_body, takes=(*_BODY, "etag", "sourceHash")),
        ),
        delete=Call("DeleteObjects", by=BUCKET, prepare=_versions),
        after=_without_quotes,
        rename={"kmsKeyId": "SSEKMSKeyId", "websiteRedirect": "WebsiteRedirectLocation"},
        replace=("bucket", "key"),
        computed={
            "arn": "arn:{partition}:s3:::{bucket}/{key}",
            "etag": "ETag",
            "versionId": "VersionId",
        },
        renewed=("etag", "versionId"),
        unread={
            **dict.fromkeys((*_BODY, "sourceHash"), "a change of the content is no drift"),
            "storageClass": "S3 does not tell STANDARD",
            **dict.fromkeys(
                (
                    "acl",
                    "bucketKeyEnabled",
                    "checksumAlgorithm",
                    "objectLockLegalHoldStatus",
                    "objectLockMode",
                    "objectLockRetainUntilDate",
                ),
                "has a call of its own, which the row does not make",
            ),
        },
        ignored={"forceDestroy": "is for locked objects, and all versions are removed anyway"},
        # S3 takes no more than ten tags on an object; it refuses others.
        tags=Tags(
            member="",
            put="PutObjectTagging",
            put_member="Tagging.TagSet",
            remove="",
            arn="Bucket",
            target="{bucket}",
            extra={"Key": "{key}"},
            listing="GetObjectTagging",
            listed="TagSet",
        ),
    ),
    _setting(
        "aws:s3/bucketVersioning:BucketVersioning",
        "PutBucketVersioning",
        "",
        "GetBucketVersioning",
        None,
        rename={
            "versioningConfiguration": "VersioningConfiguration",
            "versioningConfiguration.mfaDelete": "MFADelete",
        },
        fixed={"VersioningConfiguration": {"Status": "Suspended"}},
        observe=_versioning,
        unread={
            "expectedBucketOwner": "is a condition of the calls",
            "mfa": "is a code of the moment for one call",
        },
    ),
    _setting(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "PutBucketEncryption",
        "ServerSideEncryptionConfiguration",
        "GetBucketEncryption",
        "DeleteBucketEncryption",
        rename={"rules.applyServerSideEncryptionByDefault.kmsMasterKeyId": "KMSMasterKeyID"},
    ),
    _setting(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "PutPublicAccessBlock",
        "PublicAccessBlockConfiguration",
        "GetPublicAccessBlock",
        "DeletePublicAccessBlock",
    ),
    _setting(
        "aws:s3/bucketPolicy:BucketPolicy",
        "PutBucketPolicy",
        "",
        "GetBucketPolicy",
        "DeleteBucketPolicy",
    ),
    _setting(
        "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration",
        "PutBucketCors",
        "CORSConfiguration",
        "GetBucketCors",
        "DeleteBucketCors",
        path="",
        rename={
            "corsRules": "CORSRules",
            "corsRules.id": "ID",
        },
        only=("corsRules",),
    ),
    _setting(
        "aws:s3/bucketLogging:BucketLogging",
        "PutBucketLogging",
        "BucketLoggingStatus.LoggingEnabled",
        "GetBucketLogging",
        None,
        path="LoggingEnabled",
        fixed={"BucketLoggingStatus": {}},
    ),
    _setting(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "PutBucketLifecycleConfiguration",
        "LifecycleConfiguration",
        "GetBucketLifecycleConfiguration",
        "DeleteBucketLifecycle",
        path="",
        rename=_LIFECYCLE,
        only=("rules",),
    ),
    Row(
        token="aws:s3/bucketNotification:BucketNotification",
        service="s3",
        create=_NOTIFICATIONS,
        id="{bucket}",
        find=_find_notifications,
        update=(_NOTIFICATIONS,),
        delete=Call(
            "PutBucketNotificationConfiguration",
            by=_BY_ID,
            fixed={"NotificationConfiguration": {}},
        ),
        replace=("bucket",),
        parts=("bucket",),
        gone=("NoSuchBucket",),
    ),
    _setting(
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "PutBucketOwnershipControls",
        "OwnershipControls",
        "GetBucketOwnershipControls",
        "DeleteBucketOwnershipControls",
        rename={"rule": "Rules"},
    ),
]
