"""Emulated CloudWatch Logs operations that moto lacks: a log group's key."""

from __future__ import annotations

from localcloud.emulator.extension import ApiError, Context, Params, operation


@operation("logs", "AssociateKmsKey", "DisassociateKmsKey")
def set_key(ctx: Context, params: Params) -> Params | None:
    """Sets or removes the key of a log group."""
    group = ctx.backend("logs").groups.get(params.get("logGroupName"))
    if group is None:
        raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")
    group.kms_key_id = params.get("kmsKeyId")
    return None
