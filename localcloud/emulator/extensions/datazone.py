"""Emulated DataZone: domains can be made, changed and removed; there is no portal behind them."""

from __future__ import annotations

import uuid

from localcloud.emulator.extension import ApiError, Context, Params, operation

_SERVICE = "datazone"


def _domains(ctx: Context) -> dict[str, Params]:
    return ctx.store(_SERVICE).setdefault("domains", {})


def _get(ctx: Context, identifier: str) -> Params:
    if identifier not in _domains(ctx):
        raise ApiError("ResourceNotFoundException", f"Domain {identifier} does not exist.")
    return _domains(ctx)[identifier]


@operation(_SERVICE, "CreateDomain")
def create_domain(ctx: Context, params: Params) -> Params:
    """A domain, available at once."""
    identifier = f"dzd_{uuid.uuid4().hex[:13]}"
    _domains(ctx)[identifier] = {
        **{k: v for k, v in params.items() if k != "clientToken"},
        "id": identifier,
        "arn": ctx.arn(f"domain/{identifier}"),
        "status": "AVAILABLE",
        "portalUrl": f"https://{identifier}.datazone.{ctx.region}.on.aws",
        "createdAt": ctx.now(),
        "lastUpdatedAt": ctx.now(),
    }
    domain = _domains(ctx)[identifier]
    members = ("id", "arn", "name", "status", "portalUrl", "domainExecutionRole",
               "kmsKeyIdentifier", "tags", "description")  # fmt: skip
    return {member: domain[member] for member in members if member in domain}


@operation(_SERVICE, "GetDomain")
def get_domain(ctx: Context, params: Params) -> Params:
    """A domain."""
    return _get(ctx, params["identifier"])


@operation(_SERVICE, "ListDomains")
def list_domains(ctx: Context, params: Params) -> Params:
    """All domains of the account and region."""
    members = ("id", "arn", "name", "status", "createdAt", "portalUrl")
    items = [{m: domain[m] for m in members} for domain in _domains(ctx).values()]
    return {
        "items": [{**item, "managedAccountId": ctx.account} for item in items],
    }


@operation(_SERVICE, "UpdateDomain")
def update_domain(ctx: Context, params: Params) -> Params:
    """Changes the members that are given."""
    domain = _get(ctx, params["identifier"])
    given = {k: v for k, v in params.items() if k not in ("identifier", "clientToken")}
    domain.update(given, lastUpdatedAt=ctx.now())
    return {"id": domain["id"], **given}


@operation(_SERVICE, "DeleteDomain")
def delete_domain(ctx: Context, params: Params) -> Params:
    """Removes a domain."""
    _get(ctx, params["identifier"])
    del _domains(ctx)[params["identifier"]]
    return {"status": "DELETED"}


@operation(_SERVICE, "TagResource", "UntagResource", "ListTagsForResource")
def tags(ctx: Context, params: Params) -> Params:
    """Tags of a domain."""
    domain = _get(ctx, params["resourceArn"].rpartition("/")[2])
    standing = domain.setdefault("tags", {})
    if ctx.operation == "TagResource":
        standing.update(params["tags"])
    elif ctx.operation == "UntagResource":
        for key in params["tagKeys"]:
            standing.pop(key, None)
    else:
        return {"tags": standing}
    return {}
