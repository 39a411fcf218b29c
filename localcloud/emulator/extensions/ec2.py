"""Emulated EC2 operations that moto lacks: EBS's default key, endpoint services it omits."""

from __future__ import annotations

from localcloud.emulator.extension import Context, Params, operation


def _managed(ctx: Context) -> str:
    return ctx.arn("alias/aws/ebs", service="kms")


@operation("ec2", "ModifyEbsDefaultKmsKeyId")
def set_default_key(ctx: Context, params: Params) -> Params:
    """Sets the key that volumes get when none is named."""
    ctx.store("ec2")["ebs_key"] = params["KmsKeyId"]
    return {"KmsKeyId": params["KmsKeyId"]}


@operation("ec2", "GetEbsDefaultKmsKeyId")
def get_default_key(ctx: Context, params: Params) -> Params:
    """The key that volumes get when none is named."""
    return {"KmsKeyId": ctx.store("ec2").get("ebs_key", _managed(ctx))}


@operation("ec2", "ResetEbsDefaultKmsKeyId")
def reset_default_key(ctx: Context, params: Params) -> Params:
    """Back to the key that AWS manages."""
    ctx.store("ec2").pop("ebs_key", None)
    return {"KmsKeyId": _managed(ctx)}


_FURTHER_SERVICES = ("codeconnections.api", "guardduty", "ram", "scheduler", "tagging")
"""Endpoint services that AWS has and moto's list lacks."""


@operation("ec2", "DescribeVpcEndpointServices")
def endpoint_services(ctx: Context, params: Params) -> Params:
    """The endpoint services of the region; filters and pages are moto's, of moto's own."""
    found = ctx.forward()
    if not params.get("ServiceNames") and not params.get("Filters") and not found.get("NextToken"):
        further = [f"com.amazonaws.{ctx.region}.{name}" for name in _FURTHER_SERVICES]
        found["ServiceNames"] = sorted({*found["ServiceNames"], *further})
    return found
