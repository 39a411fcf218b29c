"""Application Auto Scaling: tags of scalable targets, and policies that keep their ARN."""

from __future__ import annotations

from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params, operation, resource_tags

_SERVICE = "application-autoscaling"
_POLICY_KEY = ("ServiceNamespace", "ResourceId", "ScalableDimension", "PolicyName")
"""What moto keeps a policy by."""


def _tags(ctx: Context, arn: str) -> dict[str, str]:
    tags: dict[str, dict[str, str]] = ctx.store(_SERVICE).setdefault("tags", {})
    if arn not in tags:
        raise ApiError("ResourceNotFoundException", f"No scalable target found for {arn}.")
    return tags[arn]


@operation(_SERVICE, "RegisterScalableTarget")
def register_target(ctx: Context, params: Params) -> Params:
    """Registers or changes a target; a change leaves its tags."""
    answer = ctx.forward({name: value for name, value in params.items() if name != "Tags"})
    standing = ctx.store(_SERVICE).setdefault("tags", {})
    standing.setdefault(answer["ScalableTargetARN"], {}).update(params.get("Tags") or {})
    return answer


@operation(_SERVICE, "DeregisterScalableTarget")
def deregister_target(ctx: Context, params: Params) -> Params:
    """Removes a target with its policies and tags."""
    described = ctx.client(_SERVICE).describe_scalable_targets(
        ServiceNamespace=params["ServiceNamespace"],
        ResourceIds=[params["ResourceId"]],
        ScalableDimension=params["ScalableDimension"],
    )
    answer = ctx.forward()
    # Moto would keep the policies.
    of_target = [params[name] for name in _POLICY_KEY[:-1]]
    standing: dict[str, Any] = ctx.backend("applicationautoscaling").policies
    for key in [key for key in standing if key.split("\t")[:-1] == of_target]:
        del standing[key]
    for target in described["ScalableTargets"]:
        ctx.store(_SERVICE).get("tags", {}).pop(target["ScalableTargetARN"], None)
    return answer


def _policy(ctx: Context, params: Params) -> Any:
    standing: dict[str, Any] = ctx.backend("applicationautoscaling").policies
    return standing.get("\t".join(params[name] for name in _POLICY_KEY))


@operation(_SERVICE, "PutScalingPolicy")
def put_policy(ctx: Context, params: Params) -> Params:
    """Makes or changes a policy; moto would give the changed one another ARN."""
    before = _policy(ctx, params)
    answer = ctx.forward()
    if before is None:
        return answer
    _policy(ctx, params).policy_arn = before.policy_arn
    return {**answer, "PolicyARN": before.policy_arn}


@operation(_SERVICE, "DescribeScalingPolicies")
def describe_policies(ctx: Context, params: Params) -> Params:
    """Policies; moto would not look at the asked-for names."""
    answer = ctx.forward()
    names = params.get("PolicyNames")
    found = [p for p in answer["ScalingPolicies"] if not names or p["PolicyName"] in names]
    return {**answer, "ScalingPolicies": found}


@operation(_SERVICE, "ListTagsForResource")
def list_tags(ctx: Context, params: Params) -> Params:
    """Tags of a target."""
    return {"Tags": _tags(ctx, params["ResourceARN"])}


@operation(_SERVICE, "TagResource")
def tag_resource(ctx: Context, params: Params) -> Params:
    """Adds or replaces tags of a target."""
    _tags(ctx, params["ResourceARN"]).update(params["Tags"])
    return {}


@operation(_SERVICE, "UntagResource")
def untag_resource(ctx: Context, params: Params) -> Params:
    """Removes tags of a target."""
    for key in params["TagKeys"]:
        _tags(ctx, params["ResourceARN"]).pop(key, None)
    return {}


@resource_tags(_SERVICE)
def tags_of(ctx: Context, arn: str) -> dict[str, str] | None:
    """Tags for ``aws:ResourceTag/…`` conditions."""
    return ctx.store(_SERVICE).get("tags", {}).get(arn)
