"""Emulated IAM Access Analyzer: analyzers can be made; they find nothing."""

from __future__ import annotations

from localcloud.emulator.extension import ApiError, Context, Params, operation

_SERVICE = "accessanalyzer"


def _analyzers(ctx: Context) -> dict[str, Params]:
    return ctx.store(_SERVICE).setdefault("analyzers", {})


def _get(ctx: Context, name: str) -> Params:
    if name not in _analyzers(ctx):
        raise ApiError("ResourceNotFoundException", f"Analyzer {name} does not exist.")
    return _analyzers(ctx)[name]


@operation(_SERVICE, "CreateAnalyzer")
def create_analyzer(ctx: Context, params: Params) -> Params:
    """One external-access analyzer a region, as AWS's quota has it."""
    name, kind = params["analyzerName"], params["type"]
    if name in _analyzers(ctx):
        raise ApiError("ConflictException", f"Analyzer {name} already exists.")
    if any(analyzer["type"] == kind for analyzer in _analyzers(ctx).values()):
        raise ApiError("ServiceQuotaExceededException", f"There is an analyzer of type {kind}.")
    arn = ctx.arn(f"analyzer/{name}", service="access-analyzer")
    _analyzers(ctx)[name] = {
        "arn": arn,
        "name": name,
        "type": kind,
        "createdAt": ctx.now(),
        "tags": params.get("tags") or {},
        "status": "ACTIVE",
    }
    return {"arn": arn}


@operation(_SERVICE, "GetAnalyzer")
def get_analyzer(ctx: Context, params: Params) -> Params:
    """An analyzer."""
    return {"analyzer": _get(ctx, params["analyzerName"])}


@operation(_SERVICE, "ListAnalyzers")
def list_analyzers(ctx: Context, params: Params) -> Params:
    """All analyzers of the account and region."""
    return {"analyzers": list(_analyzers(ctx).values())}


@operation(_SERVICE, "DeleteAnalyzer")
def delete_analyzer(ctx: Context, params: Params) -> Params | None:
    """Removes an analyzer."""
    _get(ctx, params["analyzerName"])
    del _analyzers(ctx)[params["analyzerName"]]
    return None


@operation(_SERVICE, "TagResource", "UntagResource", "ListTagsForResource")
def tags(ctx: Context, params: Params) -> Params:
    """Tags of an analyzer."""
    analyzer = _get(ctx, params["resourceArn"].rpartition("/")[2])
    if ctx.operation == "TagResource":
        analyzer["tags"].update(params["tags"])
    elif ctx.operation == "UntagResource":
        for key in params["tagKeys"]:
            analyzer["tags"].pop(key, None)
    else:
        return {"tags": analyzer["tags"]}
    return {}
