"""Emulated S3 operations that moto answers wrongly: access logging, notifications.

moto cannot read a target bucket's policy whose principal is ``*``; the rule is AWS's: the target is
in the same account, and its policy lets the logging service write. Notifications to queues, topics
and functions moto would deliver without asking any policy; those to EventBridge meet its rules.
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


@operation("s3", "PutBucketNotificationConfiguration")
def put_bucket_notifications(ctx: Context, params: Params) -> Params | None:
    """Turns a bucket's events on EventBridge on or off."""
    given = params.get("NotificationConfiguration") or {}
    others = sorted(key for key, value in given.items() if value and key.endswith("Configurations"))
    if others:
        raise ApiError(
            "NotImplemented",
            f"The local cloud has no {', '.join(others)} of buckets, only"
            " EventBridgeConfiguration: add them in localcloud/emulator/extensions/s3.py.",
            501,
        )
    bucket = ctx.backend("s3").get_bucket(params["Bucket"])
    on = "EventBridgeConfiguration" in given
    bucket.set_notification_configuration({"EventBridgeConfiguration": {}} if on else None)
    return None


@operation("s3", "GetBucketNotificationConfiguration")
def get_bucket_notifications(ctx: Context, params: Params) -> Params:
    """Whether a bucket's events go to EventBridge; moto does not tell."""
    found = ctx.backend("s3").get_bucket(params["Bucket"]).notification_configuration
    on = found is not None and found.event_bridge is not None
    return {"EventBridgeConfiguration": {}} if on else {}
