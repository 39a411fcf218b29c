"""Data: buckets are private, kept, and complete; the lake's grants are explicit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pulumi_policy import Severity

from mlops_policy import iam
from mlops_policy.aws import (
    ACCOUNT_ACCESS_BLOCK,
    BUCKET,
    BUCKET_ACCESS_BLOCK,
    BUCKET_ENCRYPTION,
    BUCKET_POLICY,
    document,
)
from mlops_policy.model import PRODUCTION, Example, Family, Options, Resource, Stack, strings
from mlops_policy.values import listed

FAMILY = Family("data", "Buckets are private and keep what they hold; grants are explicit.")

VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
LOGGING = "aws:s3/bucketLogging:BucketLogging"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
_BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
_BUCKET = Example(BUCKET, {"bucket": "acme-data"}, "data")
_LOGS = ("*access-logs*",)


def _of_bucket(bucket: Resource, stack: Stack, type_: str) -> list[Resource]:
    return [found for found in stack.of(type_) if stack.refers(found, "bucket", bucket)]


@FAMILY.resource(
    "public-access-blocked",
    types=[BUCKET_ACCESS_BLOCK, ACCOUNT_ACCESS_BLOCK],
    severity=Severity.CRITICAL,
    title="A public access block blocks all four ways.",
    why="Each of the four closes another way to make a bucket public.",
    fix="set all four properties to true",
    bad=[Example(BUCKET_ACCESS_BLOCK, {"bucket": "acme-data", "blockPublicAcls": True})],
    good=[Example(BUCKET_ACCESS_BLOCK, dict.fromkeys(_BLOCKS, True))],
)
def _public_access_blocked(block: Resource, _options: Options) -> Iterator[str]:
    off = [key for key in _BLOCKS if not block.get(key, False)]
    if off:
        yield f"{listed(off)} not true"


@FAMILY.stack(
    "bucket-public-access-block",
    subjects=[BUCKET],
    severity=Severity.CRITICAL,
    title="Every bucket has a public access block.",
    why="One wrong policy statement is then not enough to publish data.",
    fix="add an aws.s3.BucketPublicAccessBlock for the bucket",
    bad=[[_BUCKET]],
    good=[
        [
            _BUCKET,
            Example(
                BUCKET_ACCESS_BLOCK,
                {"bucket": "${data.bucket}", **dict.fromkeys(_BLOCKS, True)},
                "block",
            ),
        ]
    ],
)
def _bucket_block(bucket: Resource, stack: Stack, _options: Options) -> Iterator[str]:
    if not _of_bucket(bucket, stack, BUCKET_ACCESS_BLOCK):
        yield "it has no public access block"


@FAMILY.stack(
    "bucket-versioned",
    subjects=[BUCKET],
    severity=Severity.HIGH,
    title="Every bucket keeps versions.",
    why="An overwritten or deleted model or data set can be had back.",
    fix='add an aws.s3.BucketVersioning with the status "Enabled"',
    bad=[
        [_BUCKET],
        [
            _BUCKET,
            Example(
                VERSIONING,
                {
                    "bucket": "${data.bucket}",
                    "versioningConfiguration": {"status": "Suspended"},
                },
                "versions",
            ),
        ],
    ],
    good=[
        [
            _BUCKET,
            Example(
                VERSIONING,
                {"bucket": "${data.bucket}", "versioningConfiguration": {"status": "Enabled"}},
                "versions",
            ),
        ]
    ],
    options={"unversioned": strings("Names (patterns with `*`) of buckets without versions.", [])},
)
def _bucket_versioned(bucket: Resource, stack: Stack, options: Options) -> Iterator[str]:
    if bucket.named(options["unversioned"], "bucket"):
        return
    found = _of_bucket(bucket, stack, VERSIONING)
    if not any(v.get("versioningConfiguration.status") == "Enabled" for v in found):
        yield "it keeps no versions"


@FAMILY.stack(
    "bucket-encrypted",
    subjects=[BUCKET],
    severity=Severity.HIGH,
    title="Every bucket says how it is encrypted.",
    why="Without it S3 uses a key of its own, which no policy of the company protects.",
    fix="add an aws.s3.BucketServerSideEncryptionConfiguration with a customer key",
    bad=[[_BUCKET]],
    good=[
        [
            _BUCKET,
            Example(
                BUCKET_ENCRYPTION,
                {
                    "bucket": "${data.bucket}",
                    "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}}],
                },
                "encryption",
            ),
        ]
    ],
)
def _bucket_encrypted(bucket: Resource, stack: Stack, _options: Options) -> Iterator[str]:
    if not _of_bucket(bucket, stack, BUCKET_ENCRYPTION):
        yield "it has no encryption configuration"


@FAMILY.stack(
    "bucket-policy-present",
    subjects=[BUCKET],
    severity=Severity.HIGH,
    title="Every bucket has a bucket policy.",
    why="TLS and the way in are enforced there (tls-only, data-buckets-vpc-only).",
    fix="add an aws.s3.BucketPolicy that denies requests without TLS",
    bad=[[_BUCKET]],
    good=[
        [
            _BUCKET,
            Example(
                BUCKET_POLICY,
                {
                    "bucket": "${data.bucket}",
                    "policy": document(
                        {
                            "Sid": "TlsOnly",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": ["arn:aws:s3:::acme-data", "arn:aws:s3:::acme-data/*"],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ),
                },
                "policy",
            ),
        ]
    ],
)
def _bucket_policy(bucket: Resource, stack: Stack, _options: Options) -> Iterator[str]:
    if not _of_bucket(bucket, stack, BUCKET_POLICY):
        yield "it has no bucket policy, so requests without TLS are let in"


@FAMILY.stack(
    "bucket-access-logged",
    subjects=[BUCKET],
    severity=Severity.MEDIUM,
    title="Every bucket logs who asks for what.",
    why="Who read which data set is asked long after it happened.",
    fix="add an aws.s3.BucketLogging that delivers to the account's access-log bucket",
    bad=[[_BUCKET]],
    good=[
        [
            _BUCKET,
            Example(
                LOGGING,
                {
                    "bucket": "${data.bucket}",
                    "targetBucket": "acme-access-logs",
                    "targetPrefix": "data/",
                },
                "logging",
            ),
        ],
        [Example(BUCKET, {"bucket": "acme-access-logs"}, "logs")],
    ],
    options={
        "log_buckets": strings(
            "Names (patterns with `*`) of the buckets that the logs are delivered to.", _LOGS
        )
    },
)
def _bucket_logged(bucket: Resource, stack: Stack, options: Options) -> Iterator[str]:
    if bucket.named(options["log_buckets"], "bucket"):
        return
    if not _of_bucket(bucket, stack, LOGGING):
        yield "requests to it are not logged"


@FAMILY.resource(
    "bucket-acls-off",
    types=[OWNERSHIP],
    severity=Severity.MEDIUM,
    title="ACLs are turned off: the bucket's owner owns every object.",
    why="With ACLs a writer from another account decides who reads the object.",
    fix='set rule.objectOwnership to "BucketOwnerEnforced"',
    bad=[Example(OWNERSHIP, {"rule": {"objectOwnership": "ObjectWriter"}})],
    good=[Example(OWNERSHIP, {"rule": {"objectOwnership": "BucketOwnerEnforced"}})],
)
def _acls_off(controls: Resource, _options: Options) -> Iterator[str]:
    ownership = controls.get("rule.objectOwnership")
    if ownership != "BucketOwnerEnforced":
        yield f"objects are owned by {ownership}"


BUCKET_ACL = "aws:s3/bucketAcl:BucketAcl"
_PUBLIC_ACLS = ("public-read", "public-read-write", "authenticated-read")


@FAMILY.resource(
    "bucket-acl-private",
    types=[BUCKET, BUCKET_ACL],
    severity=Severity.CRITICAL,
    title="No bucket is published by an ACL.",
    why="authenticated-read is everybody with any AWS account.",
    fix="leave acl out and grant access by policy",
    bad=[Example(BUCKET, {"acl": "public-read"}), Example(BUCKET_ACL, {"acl": _PUBLIC_ACLS[2]})],
    good=[Example(BUCKET, {"bucket": "acme-data"}), Example(BUCKET_ACL, {"acl": "private"})],
)
def _acl_private(resource: Resource, _options: Options) -> Iterator[str]:
    acl = resource.get("acl")
    if acl in _PUBLIC_ACLS:
        yield f"the ACL {acl} publishes it"


_DATA_BUCKETS = ("*-data", "*-models", "*-artifacts", "*-features", "*-jobs", "*-jobs-*")


_OF_OBJECTS = ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject")


def _deny_outside(**condition: Any) -> str:
    return document(
        {
            "Sid": "DenyNoVPC",
            "Effect": "Deny",
            "Principal": "*",
            "Action": [*_OF_OBJECTS, "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::acme-data", "arn:aws:s3:::acme-data/*"],
            "Condition": condition,
        }
    )


@FAMILY.stack(
    "data-buckets-vpc-only",
    subjects=[BUCKET],
    severity=Severity.CRITICAL,
    title="Data buckets refuse requests that do not come through a VPC endpoint.",
    why="Stolen credentials are of no use outside of the VPC, to administrators neither.",
    fix=f"add a bucket policy that denies {listed(_OF_OBJECTS)} on all objects to everybody unless "
    " aws:sourceVpce is one of the company's endpoints; exceptions are made by "
    "aws:PrincipalTag/…, aws:PrincipalArn, aws:ViaAWSService and aws:PrincipalIsAWSService alone",
    bad=[
        [_BUCKET],
        [
            _BUCKET,
            Example(
                BUCKET_POLICY,
                {
                    "bucket": "${data.bucket}",
                    "policy": _deny_outside(Bool={"aws:SecureTransport": "false"}),
                },
                "policy",
            ),
        ],
        [
            _BUCKET,
            Example(
                BUCKET_POLICY,
                {
                    "bucket": "${data.bucket}",
                    "policy": _deny_outside(StringNotLike={"aws:sourceVpce": "*"}),
                },
                "policy",
            ),
        ],
    ],
    good=[
        [
            _BUCKET,
            Example(
                BUCKET_POLICY,
                {
                    "bucket": "${data.bucket}",
                    "policy": _deny_outside(
                        StringNotEquals={"aws:sourceVpce": ["vpce-1"]},
                        Bool={"aws:ViaAWSService": "false"},
                    ),
                },
                "policy",
            ),
        ],
        [Example(BUCKET, {"bucket": "acme-logs"}, "logs")],
    ],
    options={
        "buckets": strings("Names (patterns with `*`) of buckets that hold data.", _DATA_BUCKETS),
        "inboxes": strings(
            "What may be put from anywhere, as bucket/key (patterns with `*`): a denial of "
            "`s3:PutObject` may have it as its `NotResource`.",
            (),
        ),
    },
)
def _data_buckets(bucket: Resource, stack: Stack, options: Options) -> Iterator[str]:
    if not bucket.named(options["buckets"], "bucket"):
        return
    policies = [p for p in stack.of(BUCKET_POLICY) if stack.refers(p, "bucket", bucket)]
    if not policies:
        yield "it has no bucket policy, so any network may be used"
    for policy in policies:
        text = policy.document("policy")
        denied = (
            [statement for statement in text.denies if _denies_outside(statement)] if text else []
        )
        if not denied:
            yield f"its bucket policy {policy.name} does not deny requests from outside the VPC"
            continue
        name = bucket.get("bucket") or bucket.get("id", "")
        objects = [f"arn:{partition}:s3:::{name}/{iam.ANY}" for partition in iam.PARTITIONS]
        allowed = [
            action
            for action in _OF_OBJECTS
            if not any(
                iam.fits(pattern, arn)
                for statement in denied
                if statement.covers(action)
                for pattern in statement.resources
                for arn in objects
            )
            and not (
                action == "s3:PutObject"
                and any(
                    statement.covers(action) and _all_but(statement, options["inboxes"])
                    for statement in denied
                )
            )
        ]
        if allowed:
            yield (
                f"its bucket policy {policy.name} does not deny {listed(allowed)} on all objects "
                f"of {name} from outside the VPC"
            )


def _all_but(statement: iam.Statement, inboxes: list[str]) -> bool:
    """Whether it speaks of everything but objects of inboxes."""
    left_out = [name.rpartition(":::")[2] for name in statement.not_resources]
    return bool(left_out) and all(
        any(fnmatchcase(name, inbox) for inbox in inboxes) for name in left_out
    )


_WAYS_IN = ("aws:sourcevpce", "aws:sourcevpc")
_SERVICES = ("aws:viaawsservice", "aws:principalisawsservice")


def _denies_outside(statement: iam.Statement) -> bool:
    """Whether it denies everybody what comes another way, but for exceptions that are named."""
    return (
        statement.any_principal
        and any(condition.key in _WAYS_IN for condition in statement.conditions)
        and all(_excepts(condition) for condition in statement.conditions)
    )


def _excepts(condition: iam.Condition) -> bool:
    if condition.key in _SERVICES:
        return condition.operator == "bool" and condition.values == ("false",)
    named = condition.key in (*_WAYS_IN, "aws:principalarn") or condition.key.startswith(
        "aws:principaltag/"
    )
    # A variable is the request's own value, which excepts every request.
    written = not any("${" in value or iam.any_role(value) for value in condition.values)
    return named and written and condition.excepts()


REPOSITORY_TYPE = "aws:ecr/repository:Repository"
WORKGROUP = "aws:athena/workgroup:Workgroup"
_FORCED = {BUCKET: "forceDestroy", REPOSITORY_TYPE: "forceDelete", WORKGROUP: "forceDestroy"}


@FAMILY.resource(
    "no-force-destroy",
    types=_FORCED,
    severity=Severity.HIGH,
    title="In production nothing is deleted together with what it holds.",
    why="A renamed resource or a wrong stack would take the data with it.",
    fix="leave forceDestroy (forceDelete) out in production",
    bad=[Example(BUCKET, {"forceDestroy": True}, stack="prod")],
    good=[
        Example(BUCKET, {"forceDestroy": True}, stack="dev"),
        Example(BUCKET, {"bucket": "acme-data"}, stack="prod"),
    ],
    options={"production_stacks": PRODUCTION},
)
def _no_force_destroy(resource: Resource, options: Options) -> Iterator[str]:
    key = _FORCED[resource.type]
    if resource.in_production(options) and resource.get(key, False):
        yield f"{key} is set in production"


LAKE_PERMISSIONS = "aws:lakeformation/permissions:Permissions"
LAKE_SETTINGS = "aws:lakeformation/dataLakeSettings:DataLakeSettings"
_EVERYONE = "IAM_ALLOWED_PRINCIPALS"


@FAMILY.resource(
    "lake-grants-explicit",
    types=[LAKE_PERMISSIONS, LAKE_SETTINGS],
    severity=Severity.HIGH,
    title="Lake Formation grants go to principals, not to everyone with IAM permissions.",
    why=f"A grant to {_EVERYONE} turns Lake Formation off for what it covers.",
    fix="grant to roles, and leave the default permissions of the settings empty",
    bad=[
        Example(LAKE_PERMISSIONS, {"principal": _EVERYONE, "permissions": ["ALL"]}),
        Example(
            LAKE_SETTINGS,
            {"createTableDefaultPermissions": [{"principal": _EVERYONE, "permissions": ["ALL"]}]},
        ),
    ],
    good=[
        Example(
            LAKE_PERMISSIONS,
            {"principal": "arn:aws:iam::111122223333:role/analyst", "permissions": ["SELECT"]},
        ),
        Example(LAKE_SETTINGS, {"admins": ["arn:aws:iam::111122223333:role/platform"]}),
    ],
)
def _lake_grants(resource: Resource, _options: Options) -> Iterator[str]:
    grants: Sequence[object]
    if resource.type == LAKE_PERMISSIONS:
        grants = [resource.get("principal")]
    else:
        grants = [
            block.get("principal")
            for key in ("createDatabaseDefaultPermissions", "createTableDefaultPermissions")
            for block in resource.blocks(key)
        ]
    if _EVERYONE in grants:
        yield f"it grants to {_EVERYONE}"
