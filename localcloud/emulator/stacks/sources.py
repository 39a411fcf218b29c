"""Where templates come from: objects in S3, read with the rights of whoever names them."""

from __future__ import annotations

import re
from typing import Any, cast
from urllib.parse import unquote

from localcloud.emulator import world
from localcloud.emulator.extension import Context
from localcloud.emulator.identity import Session
from localcloud.emulator.stacks.templates import TemplateError

_URL = re.compile(
    r"https://(?:s3[.-](?:[a-z0-9-]+)\.amazonaws\.com/(?P<b1>[^/]+)"
    r"|(?P<b2>[^/]+?)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com)/(?P<key>[^?]+)"
)
"""The two forms of an object's address."""


def read_object(ctx: Context, url: str) -> str:
    """An object's text, read with the rights of the caller, as a service in his name does.

    Raises:
        TemplateError: It is no address in S3, may not be read, or is not there.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise TemplateError(f"TemplateURL must be a supported URL of Amazon S3: {url}")
    bucket, key = found["b1"] or found["b2"], unquote(found["key"])
    if not ctx.caller.is_service:
        _check(ctx, bucket, key)
    s3 = ctx.client("s3")
    try:
        return cast(str, s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())
    except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket, UnicodeDecodeError) as error:
        raise TemplateError(f"S3 error: {url}: {error}") from error


def _check(ctx: Context, bucket: str, key: str) -> None:
    host = cast(Any, ctx.host)
    session: Session = host.credentials.forwarded(ctx.caller, 60)
    principal = host.credentials.principal(session.access_key, session.token, None)
    around: dict[str, str | list[str]] = {
        "aws:ViaAWSService": "true",
        "aws:CalledVia": [f"{ctx.service}.amazonaws.com"],
    }
    arn = f"arn:aws:s3:::{bucket}/{key}"
    needed = [("s3:GetObject", arn, world.bucket_owner(bucket) or ctx.account)]
    encrypted = world.object_key(bucket, key)
    key_arn = world.key_arn(encrypted, ctx.account, ctx.region) if encrypted else None
    if key_arn:
        needed.append(("kms:Decrypt", key_arn, key_arn.split(":")[4]))
        around["kms:ViaService"] = f"s3.{ctx.region}.amazonaws.com"
        around["kms:CallerAccount"] = ctx.caller.account
    for action, resource, owner in needed:
        decision = host.decide(principal, action, resource, owner, ctx.region, around)
        if not decision.allowed:
            raise TemplateError(
                f"S3 error: Access Denied: {ctx.caller.arn} is not authorized to perform:"
                f" {action} on resource: {resource} {decision.reason}"
            )
