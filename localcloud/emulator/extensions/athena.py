"""Emulated Athena operations that moto lacks: updates of work groups."""

from __future__ import annotations

from localcloud.emulator.extension import ApiError, Context, Params, operation


@operation("athena", "UpdateWorkGroup")
def update_work_group(ctx: Context, params: Params) -> Params:
    """Changes the members that are given, and removes those that are named for removal."""
    group = ctx.backend("athena").work_groups.get(params["WorkGroup"])
    if group is None:
        raise ApiError("InvalidRequestException", f"WorkGroup {params['WorkGroup']} is not found.")
    if "Description" in params:
        group.description = params["Description"]
    if "State" in params:
        group.state = params["State"]
    updates = dict(params.get("ConfigurationUpdates") or {})
    result = updates.pop("ResultConfigurationUpdates", None)
    if result is not None:
        standing = group.configuration.setdefault("ResultConfiguration", {})
        for member, value in result.items():
            if member.startswith("Remove"):
                if value:
                    standing.pop(member.removeprefix("Remove"), None)
            else:
                standing[member] = value
    group.configuration.update({k: v for k, v in updates.items() if not k.startswith("Remove")})
    return {}
