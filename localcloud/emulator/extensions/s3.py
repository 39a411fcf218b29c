"""Emulated S3 operations that moto answers wrongly: access logging.

moto cannot read a target bucket's policy whose principal is ``*``; the rule is AWS's: the target is
in the same account, and its policy lets the logging service write.
"""

from __future__ import annotations

import json
from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params, operation

_LOGGING = "logging.s3.amazonaws.com"


def _lets_logging_write(policy: str | bytes | None) -> bool:
    for statement in json.loads(policy or "{}").get("Statement", []):
        principal: Any = statement.get("Principal")
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement["Effect"] == "Allow" and _LOGGING in services:
            return True
    return False


@operation("s3", "PutBucketLogging")
def put_bucket_logging(ctx: Context, params: Params) -> Params | None:
    """Sets or removes a bucket's access logging."""
    backend = ctx.backend("s3")
    bucket = backend.get_bucket(params["Bucket"])
    wanted = (params.get("BucketLoggingStatus") or {}).get("LoggingEnabled")
    if not wanted:
        bucket.logging = {}
        return None
    target = backend.buckets.get(wanted["TargetBucket"])
    if target is None or not _lets_logging_write(target.policy):
        raise ApiError(
            "InvalidTargetBucketForLogging",
            f"The target bucket {wanted['TargetBucket']} must be in this account, and its policy "
            f"must allow {_LOGGING} to write.",
        )
    bucket.logging = {
        "TargetBucket": wanted["TargetBucket"],
        "TargetPrefix": wanted.get("TargetPrefix", ""),
    }
    return None
