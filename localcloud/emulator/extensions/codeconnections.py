"""Emulated CodeConnections: connections to GitHub, which nobody has to confirm here.

On AWS a connection is PENDING until a person confirms it in the console. Here it is AVAILABLE at
once, and leads to the repositories of ``/_localcloud/repositories``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params, operation, resource_tags

_SERVICE = "codeconnections"


def _connections(ctx: Context) -> dict[str, dict[str, Any]]:
    return ctx.store(_SERVICE).setdefault("connections", {})


def _connection(ctx: Context, arn: str) -> dict[str, Any]:
    found = _connections(ctx).get(arn)
    if found is None:
        raise ApiError("ResourceNotFoundException", f"Resource {arn} not found.")
    return found


@operation(_SERVICE, "CreateConnection")
def create_connection(ctx: Context, params: Params) -> Params:
    """Makes a connection."""
    provider = params.get("ProviderType")
    if params.get("HostArn") or provider != "GitHub":
        raise ApiError(
            "ResourceUnavailableException",
            f"The local cloud has connections to GitHub, not to {provider or params['HostArn']}.",
        )
    arn = ctx.arn(f"connection/{uuid.uuid4()}")
    _connections(ctx)[arn] = {
        "ConnectionName": params["ConnectionName"],
        "ConnectionArn": arn,
        "ProviderType": provider,
        "OwnerAccountId": ctx.account,
        "ConnectionStatus": "AVAILABLE",
    }
    tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}
    ctx.store(_SERVICE).setdefault("tags", {})[arn] = tags
    return {"ConnectionArn": arn, "Tags": params.get("Tags") or []}


@operation(_SERVICE, "GetConnection")
def get_connection(ctx: Context, params: Params) -> Params:
    """Describes a connection."""
    return {"Connection": _connection(ctx, params["ConnectionArn"])}


@operation(_SERVICE, "ListConnections")
def list_connections(ctx: Context, params: Params) -> Params:
    """Lists connections, of one provider or all."""
    wanted = params.get("ProviderTypeFilter")
    return {
        "Connections": [
            found
            for found in _connections(ctx).values()
            if wanted in (None, found["ProviderType"]) and not params.get("HostArnFilter")
        ]
    }


@operation(_SERVICE, "DeleteConnection")
def delete_connection(ctx: Context, params: Params) -> Params | None:
    """Removes a connection."""
    _connection(ctx, params["ConnectionArn"])
    del _connections(ctx)[params["ConnectionArn"]]
    return None


@operation(_SERVICE, "TagResource", "UntagResource", "ListTagsForResource")
def tags(ctx: Context, params: Params) -> Params:
    """Sets, removes or lists a connection's tags."""
    _connection(ctx, params["ResourceArn"])
    kept = ctx.store(_SERVICE).setdefault("tags", {}).setdefault(params["ResourceArn"], {})
    kept.update({tag["Key"]: tag["Value"] for tag in params.get("Tags") or []})
    for key in params.get("TagKeys") or []:
        kept.pop(key, None)
    if ctx.operation != "ListTagsForResource":
        return {}
    return {"Tags": [{"Key": key, "Value": value} for key, value in kept.items()]}


@resource_tags(_SERVICE)
def tags_of(ctx: Context, arn: str) -> Mapping[str, str] | None:
    """The tags of a connection."""
    return ctx.store(_SERVICE).get("tags", {}).get(arn)
