"""Emulated IAM: what limits a role or a user has to be there.

Moto takes any ARN, and one that names no policy would limit nothing.
"""

from __future__ import annotations

from localcloud.emulator.extension import ApiError, Context, Params, operation


@operation(
    "iam", "CreateRole", "CreateUser", "PutRolePermissionsBoundary", "PutUserPermissionsBoundary"
)
def bounded(ctx: Context, params: Params) -> Params:
    """Refuses a permissions boundary that is no policy of the account or of AWS."""
    arn = params.get("PermissionsBoundary")
    known = ctx.backend("iam").managed_policies
    # Moto keeps none of AWS's own policies.
    if arn is not None and arn not in known and ":iam::aws:policy/" not in arn:
        raise ApiError(
            "NoSuchEntity", f"Scope ARN: {arn} does not exist or is not attachable.", 404
        )
    return ctx.forward()
