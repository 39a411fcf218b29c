"""The audit trail of every account, in one bucket of the hub.

One trail for each distinct account, made by the hub's stack through that account's provider: the
environments cannot switch their own trail off, and adding an account is one setting in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.baseline_policies import key_statements as account_key_statements
from components.naming import Names, Placement
from components.storage import BucketSpec, make_bucket


class AuditTrailArgs(TypedDict):
    """Inputs of :class:`AuditTrail`."""

    placement: Placement
    """The hub."""
    access_log_bucket: Input[str]
    """Where access to the bucket is logged."""
    retention_days: int
    """How long records are kept."""
    key_deletion_days: int
    """Waiting period of the key's deletion, 7 to 30 days."""


def key_statements(names: Names, trail_arns: list[str], accounts: list[str]) -> list[iam.Statement]:
    """The audit key: CloudTrail encrypts for exactly these trails; readers need IAM as well."""
    return [
        *account_key_statements(names, "audit"),
        iam.Statement(
            sid="TrailsEncrypt",
            principals={"Service": ["cloudtrail.amazonaws.com"]},
            actions=["kms:GenerateDataKey*"],
            resources=["*"],
            conditions={
                "StringEquals": {"aws:SourceArn": trail_arns},
                "StringLike": {
                    "kms:EncryptionContext:aws:cloudtrail:arn": [
                        f"arn:{names.partition}:cloudtrail:*:{account}:trail/*"
                        for account in accounts
                    ]
                },
            },
        ),
        iam.Statement(
            sid="TrailsDescribe",
            principals={"Service": ["cloudtrail.amazonaws.com"]},
            actions=["kms:DescribeKey"],
            resources=["*"],
            conditions={"StringEquals": {"aws:SourceArn": trail_arns}},
        ),
    ]


def bucket_statements(
    bucket_arn: str, trail_arns: list[str], accounts: list[str]
) -> list[iam.Statement]:
    """The audit bucket: CloudTrail writes for exactly these trails; nobody deletes records."""
    ours = {"StringEquals": {"aws:SourceArn": trail_arns}}
    return [
        iam.Statement(
            sid="TrailsCheckAcl",
            principals={"Service": ["cloudtrail.amazonaws.com"]},
            actions=["s3:GetBucketAcl"],
            resources=[bucket_arn],
            conditions=ours,
        ),
        iam.Statement(
            sid="TrailsWrite",
            principals={"Service": ["cloudtrail.amazonaws.com"]},
            actions=["s3:PutObject"],
            resources=[f"{bucket_arn}/AWSLogs/{account}/*" for account in accounts],
            conditions=iam.merged(
                {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}, ours
            ),
        ),
        iam.Statement(
            sid="DenyDeletion",
            effect="Deny",
            principals="*",
            actions=["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:DeleteBucket"],
            resources=[bucket_arn, f"{bucket_arn}/*"],
        ),
    ]


class AuditTrail(pulumi.ComponentResource):
    """Key, bucket and one trail for each account."""

    bucket: Output[str]
    """Name of the bucket of audit records."""

    def __init__(
        self,
        name: str,
        args: AuditTrailArgs,
        providers_by_account: Mapping[str, aws.Provider],
        opts: ResourceOptions | None = None,
    ) -> None:
        """Providers come beside the args: they are the accounts themselves, not a property."""
        super().__init__("mlops:index:AuditTrail", name, dict(args), opts)
        placement = args["placement"]
        names = Names.at(placement)
        accounts = sorted(providers_by_account)
        trail = names.name("audit")
        arns = [
            f"arn:{names.partition}:cloudtrail:{names.region}:{account}:trail/{trail}"
            for account in accounts
        ]
        child = ResourceOptions(parent=self)
        key = aws.kms.Key(
            f"{name}-key",
            description=f"{names.prefix} {names.environment}: audit records of all accounts",
            enable_key_rotation=True,
            deletion_window_in_days=args["key_deletion_days"],
            policy=iam.render(key_statements(names, arns, accounts)),
            opts=ResourceOptions(
                parent=self, protect=placement["protect"], retain_on_delete=placement["protect"]
            ),
        )
        aws.kms.Alias(
            f"{name}-key", name=names.alias("audit"), target_key_id=key.key_id, opts=child
        )
        bucket, policy = make_bucket(
            f"{name}-bucket",
            BucketSpec(
                name=names.bucket("audit-logs"),
                arn=names.bucket_arn("audit-logs"),
                statements=bucket_statements(names.bucket_arn("audit-logs"), arns, accounts),
                key_arn=key.arn,
                log_bucket=args["access_log_bucket"],
                expire_days=args["retention_days"],
                protect=placement["protect"],
            ),
            self,
        )
        for account in accounts:
            aws.cloudtrail.Trail(
                f"{name}-{account}",
                name=trail,
                s3_bucket_name=bucket.id,
                kms_key_id=key.arn,
                is_multi_region_trail=True,
                include_global_service_events=True,
                enable_log_file_validation=True,
                enable_logging=True,
                opts=ResourceOptions(
                    parent=self, provider=providers_by_account[account], depends_on=[policy]
                ),
            )
        self.bucket = bucket.id
        self.register_outputs({"bucket": self.bucket})
