"""Amazon S3: buckets and the settings that are resources of their own."""

from __future__ import annotations

from botocore.exceptions import ClientError

from localcloud.provider.crud import ResourceError
from localcloud.provider.table import Call, Props, Row, Scope, Tags

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
    try:
        scope.call("s3", "HeadBucket", {"Bucket": id_})
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return None
        raise
    return {"bucket": id_}


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
        replace=("bucket",),
        parts=("bucket",),
        separator=",",
        gone=("NoSuchBucket", "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration",
              "ServerSideEncryptionConfigurationNotFoundError", "NoSuchLifecycleConfiguration",
              "OwnershipControlsNotFoundError"),
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
    _setting(
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "PutBucketOwnershipControls",
        "OwnershipControls",
        "GetBucketOwnershipControls",
        "DeleteBucketOwnershipControls",
        rename={"rule": "Rules"},
    ),
]
