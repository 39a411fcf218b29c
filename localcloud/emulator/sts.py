"""STS: moto's issues credentials for any role to anybody, so these operations are ours."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

from localcloud.emulator.extension import ApiError, Context, Params, operation
from localcloud.emulator.identity import Session, find_role, iam
from localcloud.emulator.world import Arn


def _credentials(session: Session) -> Params:
    return {
        "AccessKeyId": session.access_key,
        "SecretAccessKey": session.secret,
        "SessionToken": session.token,
        "Expiration": session.expires,
    }


def _assume(ctx: Context, params: Params) -> Params:
    arn = Arn.parse(params["RoleArn"])
    name = params["RoleArn"].rsplit("/", 1)[-1]
    role = find_role(arn.account, name) if arn else None
    if arn is None or role is None:
        raise ApiError("AccessDenied", f"There is no role {params['RoleArn']}.", 403)
    identity = ctx.caller.source_identity
    if identity and params.get("SourceIdentity", identity) != identity:
        raise ApiError("AccessDenied", "A session's source identity cannot be changed.", 403)
    seconds = int(params.get("DurationSeconds", 3600))
    longest = int(role.max_session_duration or 3600)
    if seconds > longest:
        raise ApiError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    session = _host(ctx).credentials.issue(
        arn.account,
        role_name=name,
        name=params["RoleSessionName"],
        seconds=seconds,
        policy=params.get("Policy"),
        tags={tag["Key"]: tag["Value"] for tag in params.get("Tags", [])},
        # Whoever changes roles stays where it is.
        network=_host(ctx).credentials.network(ctx.caller.access_key or ""),
        source_identity=ctx.caller.source_identity or params.get("SourceIdentity"),
    )
    return {
        "Credentials": _credentials(session),
        "AssumedRoleUser": {
            "AssumedRoleId": f"{role.id}:{session.name}",
            "Arn": f"arn:aws:sts::{arn.account}:assumed-role/{name}/{session.name}",
        },
    }


def _host(ctx: Context) -> Any:
    return cast(Any, ctx.host)


@operation("sts", "AssumeRole")
def assume_role(ctx: Context, params: Params) -> Params:
    """Issues credentials of a role; the caller's right and the role's trust were checked before."""
    return _assume(ctx, params)


@operation("sts", "AssumeRoleWithWebIdentity")
def assume_role_with_web_identity(ctx: Context, params: Params) -> Params:
    """Issues credentials of a role to the bearer of an OIDC token.

    The token's signature is not verified (there is no provider to ask); the role's trust policy is
    evaluated with the token's claims, and its issuer must be registered in the role's account.
    """
    try:
        payload = params["WebIdentityToken"].split(".")[1]
        claims = cast(
            dict[str, Any],
            json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))),
        )
        issuer = str(claims["iss"]).removeprefix("https://")
    except (IndexError, KeyError, ValueError) as error:
        raise ApiError(
            "InvalidIdentityToken", f"The token is no JWT with an issuer: {error}"
        ) from error
    arn = Arn.parse(params["RoleArn"])
    if arn is None:
        raise ApiError("ValidationError", f"{params['RoleArn']} is not an ARN.")
    provider = f"arn:aws:iam::{arn.account}:oidc-provider/{issuer}"
    if provider not in iam(arn.account).open_id_providers:
        raise ApiError(
            "InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {issuer}"
        )
    context = {
        f"{issuer}:{key}": value if isinstance(value, list) else str(value)
        for key, value in claims.items()
    }
    decision = _host(ctx).web_identity(params, provider, context)
    if not decision.allowed:
        raise ApiError(
            "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403
        )
    return {
        **_assume(ctx, params),
        "SubjectFromWebIdentityToken": str(claims.get("sub", "")),
        "Audience": str(claims.get("aud", "")),
        "Provider": provider,
    }


@operation("sts", "GetSessionToken")
def get_session_token(ctx: Context, params: Params) -> Params:
    """Issues temporary credentials of the calling user."""
    if ctx.caller.session_name is not None:
        raise ApiError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
    session = _host(ctx).credentials.issue(
        ctx.caller.account,
        user_name=ctx.caller.arn.rsplit("/", 1)[-1],
        seconds=int(params.get("DurationSeconds", 43200)),
    )
    return {"Credentials": _credentials(session)}


@operation("sts", "GetCallerIdentity")
def get_caller_identity(ctx: Context, params: Params) -> Params:
    """Tells the caller who it is."""
    del params
    return {
        "UserId": _host(ctx).user_id(ctx.caller),
        "Account": ctx.caller.account,
        "Arn": ctx.caller.arn,
    }
