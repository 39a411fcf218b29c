"""Buckets as this platform makes them: encrypted, versioned, private, logged, TLS only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.naming import Names


def tls_only(bucket_arn: str) -> iam.Statement:
    """Deny of every request without TLS, to the bucket and its objects."""
    return iam.Statement(
        sid="DenyInsecureTransport",
        effect="Deny",
        principals="*",
        actions=["s3:*"],
        resources=[bucket_arn, f"{bucket_arn}/*"],
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )


def only_key(bucket_arn: str, key_arn: pulumi.Input[str]) -> list[iam.Statement]:
    """Deny of uploads that name another key; none named means the bucket's default key."""
    return [
        iam.Statement(
            sid="DenyWrongEncryption",
            effect="Deny",
            principals="*",
            actions=["s3:PutObject"],
            resources=[f"{bucket_arn}/*"],
            conditions={
                "StringNotEqualsIfExists": {"s3:x-amz-server-side-encryption": "aws:kms"},
                "Null": {"s3:x-amz-server-side-encryption": "false"},
            },
        ),
        iam.Statement(
            sid="DenyWrongKey",
            effect="Deny",
            principals="*",
            actions=["s3:PutObject"],
            resources=[f"{bucket_arn}/*"],
            conditions={
                "StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key_arn},
                "Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "false"},
            },
        ),
    ]


_OBJECT_ACLS = (
    "s3:GetObjectAcl", "s3:GetObjectVersionAcl", "s3:PutObjectAcl", "s3:PutObjectVersionAcl",
)  # fmt: skip


def only_endpoints(
    names: Names,
    purpose: str,
    endpoint_ids: Sequence[pulumi.Input[str]],
    exempt_tags: Sequence[str],
    *,
    acl: bool,
) -> list[iam.Statement]:
    """Deny of what comes not through a known VPC endpoint, a tagged role or an AWS service.

    All three conditions must hold for the denial: another or no endpoint, another or no
    ``Principal`` tag, and no service on the caller's behalf. Deployer and preview, which run
    outside the networks, may look at the bucket itself but never at an object; without that, no
    update could read the bucket's state.

    Args:
        names: Whose bucket.
        purpose: The bucket's.
        endpoint_ids: S3 endpoints.
        exempt_tags: Values of the tag.
        acl: Whether access control lists are denied as well.
    """
    arn = names.bucket_arn(purpose)
    outside = {
        "StringNotEquals": {
            "aws:sourceVpce": iam.distinct(endpoint_ids),
            "aws:PrincipalTag/Principal": list(exempt_tags),
        },
        **iam.NO_SERVICE,
    }
    operators = {
        "ArnNotEquals": {
            "aws:PrincipalArn": [names.role_arn("deployer"), names.role_arn("preview")]
        }
    }
    return [
        iam.Statement(
            sid="DenyNoVPC",
            effect="Deny",
            principals="*",
            actions=[
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:PutObject",
                *(_OBJECT_ACLS if acl else ()),
            ],
            resources=[f"{arn}/*"],
            conditions=outside,
        ),
        iam.Statement(
            sid="DenyBucketNoVPC",
            effect="Deny",
            principals="*",
            actions=["s3:ListBucket", *(["s3:GetBucketAcl", "s3:PutBucketAcl"] if acl else [])],
            resources=[arn],
            conditions=iam.merged(outside, operators),
        ),
    ]


@dataclass(frozen=True)
class BucketSpec:
    """What a bucket is made from.

    Attributes:
        name: Physical name.
        arn: Its ARN, known before it is made.
        statements: Its policy beside the TLS rule.
        key_arn: Customer key; None only for access logs, which S3 delivers under its own key.
        log_bucket: Where access is logged; None only for the bucket of access logs itself.
        expire_days: After how many days objects go; None keeps them.
        protect: Whether it is protected and kept when its resource goes.
        retain: Whether it stays when its resources go, with the settings that keep it safe.
        adopt: Whether it stayed from before and is taken over; its tags follow with a next update.
    """

    name: str
    arn: str
    statements: Sequence[iam.Statement] = ()
    key_arn: pulumi.Input[str] | None = None
    log_bucket: pulumi.Input[str] | None = None
    expire_days: int | None = None
    protect: bool = False
    retain: bool = False
    adopt: bool = False


def make_bucket(
    logical: str, spec: BucketSpec, parent: pulumi.Resource
) -> tuple[aws.s3.Bucket, aws.s3.BucketPolicy]:
    """A bucket with all of its settings, as children of a component."""
    opts = pulumi.ResourceOptions(parent=parent, retain_on_delete=spec.retain)
    own = pulumi.ResourceOptions(
        parent=parent, protect=spec.protect, retain_on_delete=spec.protect or spec.retain
    )
    if spec.adopt:
        # forceDestroy is the provider's alone: what is read of a bucket never has it.
        found = pulumi.ResourceOptions(
            import_=spec.name, ignore_changes=["forceDestroy", "tags", "tagsAll"]
        )
        own = pulumi.ResourceOptions.merge(own, found)
    bucket = aws.s3.Bucket(logical, bucket=spec.name, opts=own)
    aws.s3.BucketPublicAccessBlock(
        logical,
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=opts,
    )
    aws.s3.BucketOwnershipControls(
        logical, bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}, opts=opts
    )
    aws.s3.BucketVersioning(
        logical, bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=opts
    )
    default: (
        aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgsDict
    )
    if spec.key_arn is None:
        default = {"sse_algorithm": "AES256"}
    else:
        default = {"sse_algorithm": "aws:kms", "kms_master_key_id": spec.key_arn}
    aws.s3.BucketServerSideEncryptionConfiguration(
        logical,
        bucket=bucket.id,
        rules=[
            {
                "apply_server_side_encryption_by_default": default,
                "bucket_key_enabled": spec.key_arn is not None,
            }
        ],
        opts=opts,
    )
    if spec.log_bucket is not None:
        aws.s3.BucketLogging(
            logical,
            bucket=bucket.id,
            target_bucket=spec.log_bucket,
            target_prefix=f"{spec.name}/",
            opts=opts,
        )
    rule: aws.s3.BucketLifecycleConfigurationRuleArgsDict = {
        "id": "keep-tidy",
        "status": "Enabled",
        "filter": {"prefix": ""},
        "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
        "noncurrent_version_expiration": {"noncurrent_days": 90},
    }
    if spec.expire_days is not None:
        rule["expiration"] = {"days": spec.expire_days}
    aws.s3.BucketLifecycleConfiguration(logical, bucket=bucket.id, rules=[rule], opts=opts)
    policy = aws.s3.BucketPolicy(
        logical,
        bucket=bucket.id,
        policy=iam.render([tls_only(spec.arn), *spec.statements]),
        opts=opts,
    )
    return bucket, policy
