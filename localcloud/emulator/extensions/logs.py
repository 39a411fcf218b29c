"""Emulated CloudWatch Logs operations that moto lacks or answers wrongly.

A log group's key; and a metric filter put again, which moto keeps beside the first. Metric filters
are kept, and count nothing here.
"""

from __future__ import annotations

from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params, operation


@operation("logs", "AssociateKmsKey", "DisassociateKmsKey")
def set_key(ctx: Context, params: Params) -> Params | None:
    """Sets or removes the key of a log group."""
    _group(ctx, params).kms_key_id = params.get("kmsKeyId")
    return None


@operation("logs", "PutMetricFilter")
def put_metric_filter(ctx: Context, params: Params) -> Params:
    """Makes a metric filter, or changes it."""
    _group(ctx, params)
    ctx.backend("logs").delete_metric_filter(params["filterName"], params["logGroupName"])
    return ctx.forward()


def _group(ctx: Context, params: Params) -> Any:
    group = ctx.backend("logs").groups.get(params.get("logGroupName"))
    if group is None:
        raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")
    return group
