"""Emulated Service Catalog as its users have it: what they see, and what they launch.

Service Catalog's plans, service actions, budgets and StackSet constraints are not served.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from localcloud.emulator import stacks
from localcloud.emulator.catalog import (
    SERVICE,
    Launches,
    Order,
    Path,
    chosen_tags,
    get,
    items,
    new_id,
    paths,
    shares_to,
)
from localcloud.emulator.extension import (
    ApiError,
    Caller,
    Context,
    Params,
    condition_keys,
    operation,
)
from localcloud.emulator.identity import Session

_LEVELS = ("accountLevel", "roleLevel", "userLevel")
_BY_FILTER = {"Account": 1, "Role": 2, "User": 3}
_RULES = ("AllowedPattern", "ConstraintDescription", "MaxLength", "MinLength", "MaxValue",
          "MinValue")  # fmt: skip


def _wrong(message: str) -> ApiError:
    return ApiError("InvalidParametersException", message)


def _missing(message: str) -> ApiError:
    return ApiError("ResourceNotFoundException", message)


# Shares, as the account has them that they reach.


def _offered(ctx: Context, portfolio: str) -> list[dict[str, Any]]:
    accounts = cast("frozenset[str]", cast(Any, ctx.host).accounts)
    return [
        share
        for owner in accounts - {ctx.account}
        for share in shares_to(ctx, owner, portfolio)
        if portfolio in items(ctx, "portfolio", owner)
    ]


@operation(SERVICE, "AcceptPortfolioShare")
def accept_share(ctx: Context, params: Params) -> Params:
    """Accepts a portfolio that another account shares to this one."""
    offered = _offered(ctx, params["PortfolioId"])
    if not offered:
        raise _missing(f"Nobody shares {params['PortfolioId']} to {ctx.account}.")
    for share in offered:
        share["Accepted"] = True
    return {}


@operation(SERVICE, "ListAcceptedPortfolioShares")
def accepted_shares(ctx: Context, params: Params) -> Params:
    """The portfolios of others that this account has, in one page."""
    del params
    accounts = cast("frozenset[str]", cast(Any, ctx.host).accounts)
    return {
        "PortfolioDetails": [
            portfolio["detail"]
            for owner in sorted(accounts - {ctx.account})
            for identity, portfolio in items(ctx, "portfolio", owner).items()
            if any(share["Accepted"] for share in shares_to(ctx, owner, identity))
        ]
    }


# What is offered.


def _paths(ctx: Context, params: Params, identity: str = "ProductId") -> list[Path]:
    """The ways to a product, by which the call may name one."""
    wanted, name = params.get(identity), params.get("ProductName") or params.get("Name")
    if not wanted and not name:
        raise _wrong("Give the product's id or its name.")
    found = [
        path
        for path in paths(ctx)
        if path.product_id == wanted
        or (not wanted and path.product["detail"]["ProductViewSummary"]["Name"] == name)
    ]
    if not found:
        raise _missing(f"No launch paths found for resource: {wanted or name}")
    chosen = [
        path
        for path in found
        if params.get("PathId") in (None, path.id) and params.get("PathName") in (None, path.name)
    ]
    if not chosen:
        raise _missing(f"There is no launch path {params.get('PathId') or params['PathName']}.")
    return chosen


def _path(ctx: Context, params: Params) -> Path:
    found = _paths(ctx, params)
    if len(found) > 1:
        ways = ", ".join(f"{path.id} ({path.name})" for path in found)
        raise _wrong(f"There are several launch paths, give one's PathId: {ways}.")
    return found[0]


def _artifact(path: Path, params: Params) -> dict[str, Any]:
    wanted, name = params.get("ProvisioningArtifactId"), params.get("ProvisioningArtifactName")
    for artifact in path.product["artifacts"].values():
        detail = artifact["detail"]
        if detail["Id"] == wanted or (not wanted and name and detail["Name"] == name):
            if not detail["Active"]:
                raise _wrong(f"The version {detail['Name']} is not active.")
            return artifact
    raise _missing(f"{path.product_id} has no version {wanted or name}.")


@operation(SERVICE, "SearchProducts")
def search_products(ctx: Context, params: Params) -> Params:
    """The products that the caller may launch, in one page."""
    filters = cast("Mapping[str, list[str]]", params.get("Filters") or {})
    unserved = sorted(set(filters) - {"FullTextSearch", "Owner", "ProductType"})
    if unserved:
        raise _wrong(f"The local cloud does not filter by {', '.join(unserved)}.")
    found: dict[str, Params] = {}
    for path in paths(ctx):
        summary = path.product["detail"]["ProductViewSummary"]
        text = " ".join(str(value) for value in summary.values()).lower()
        if (
            all(word.lower() in text for word in filters.get("FullTextSearch", []))
            and summary["Owner"] in filters.get("Owner", [summary["Owner"]])
            and summary["Type"] in filters.get("ProductType", [summary["Type"]])
        ):
            found[path.product_id] = summary
    return {"ProductViewSummaries": list(found.values()), "ProductViewAggregations": {}}


@operation(SERVICE, "DescribeProduct")
def describe_product(ctx: Context, params: Params) -> Params:
    """A product that the caller may launch, its active versions and its paths."""
    found = _paths(ctx, params, "Id")
    kept = ("Id", "Name", "Description", "CreatedTime", "Guidance")
    product = found[0].product
    return {
        "ProductViewSummary": product["detail"]["ProductViewSummary"],
        "ProvisioningArtifacts": [
            {name: artifact["detail"][name] for name in kept}
            for artifact in product["artifacts"].values()
            if artifact["detail"]["Active"]
        ],
        "LaunchPaths": [{"Id": path.id, "Name": path.name} for path in found],
    }


@operation(SERVICE, "ListLaunchPaths")
def launch_paths(ctx: Context, params: Params) -> Params:
    """The ways by which the caller may launch a product."""
    return {
        "LaunchPathSummaries": [
            {
                "Id": path.id,
                "Name": path.name,
                "ConstraintSummaries": path.summaries,
                "Tags": _listed(path.portfolio["tags"]),
            }
            for path in _paths(ctx, params)
        ]
    }


@operation(SERVICE, "DescribeProvisioningParameters")
def provisioning_parameters(ctx: Context, params: Params) -> Params:
    """What a launch asks for."""
    path = _path(ctx, params)
    template = stacks.read(_artifact(path, params)["template"])
    shown: list[Params] = []
    for parameter in template.parameters.values():
        rules: Params = {
            name: str(parameter.rules[name]) for name in _RULES if name in parameter.rules
        }
        allowed = [str(value) for value in parameter.rules.get("AllowedValues", [])]
        item: Params = {
            "ParameterKey": parameter.name,
            "ParameterType": parameter.type,
            "IsNoEcho": parameter.hidden,
            "Description": str(parameter.rules.get("Description", "")),
            "ParameterConstraints": {**rules, **({"AllowedValues": allowed} if allowed else {})},
        }
        if parameter.default is not None:
            item["DefaultValue"] = parameter.default
        shown.append(item)
    return {
        "ProvisioningArtifactParameters": shown,
        "ConstraintSummaries": path.summaries,
        "TagOptions": [{"Key": key, "Values": values} for key, values in path.options.items()],
        "ProvisioningArtifactOutputKeys": [
            {"Key": name, "Description": description}
            for name, (_, description) in template.outputs.items()
        ],
    }


# Launches.


def _launches(ctx: Context) -> Launches:
    return cast(Launches, cast(Any, ctx.host).launches)


def _repeated(ctx: Context, token: str) -> Params | None:
    """The answer to a call that comes once more."""
    for record in items(ctx, "record").values():
        if record["token"] == token:
            return {"RecordDetail": _plain(record["detail"])}
    return None


def _listed(tags: Mapping[str, str]) -> list[Params]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _record(
    ctx: Context, made: dict[str, Any], kind: str, wanted: Params, token: str
) -> dict[str, Any]:
    detail = made["detail"]
    record: dict[str, Any] = {
        "outputs": [],
        "wanted": wanted,
        "token": token,
        "before": detail["Status"],
        "detail": {
            "RecordId": new_id("rec"),
            "ProvisionedProductName": detail["Name"],
            "Status": "CREATED",
            "CreatedTime": ctx.now(),
            "UpdatedTime": ctx.now(),
            "ProvisionedProductType": "CFN_STACK",
            "RecordType": kind,
            "ProvisionedProductId": detail["Id"],
            "ProductId": wanted.get("product", detail["ProductId"]),
            "ProvisioningArtifactId": wanted.get("artifact", detail["ProvisioningArtifactId"]),
            "PathId": wanted.get("path", made["path"]),
            "RecordErrors": [],
            "RecordTags": _listed(wanted.get("tags", made["tags"])),
            "LaunchRoleArn": wanted.get("role", made["role"]),
        },
    }
    identity = record["detail"]["RecordId"]
    items(ctx, "record")[identity] = record
    detail |= {"LastRecordId": identity, "Status": "UNDER_CHANGE", "StatusMessage": ""}
    if kind != "TERMINATE_PROVISIONED_PRODUCT":
        detail["LastProvisioningRecordId"] = identity
    return record


def _session(ctx: Context, role_arn: str) -> Session | None:
    """The caller's credentials, where no role acts."""
    return None if role_arn else cast(Any, ctx.host).credentials.forwarded(ctx.caller, 12 * 3600)


def _copy(path: Path, artifact: Mapping[str, Any], region: str) -> str:
    """Where Service Catalog has the template, as far as a policy can tell."""
    place = f"{path.product_id}/{artifact['detail']['Id']}"
    return f"arn:aws:s3:::servicecatalog-templates-{region}/{place}"


def _wanted(ctx: Context, path: Path, artifact: Mapping[str, Any], tags: Params) -> Params:
    return {
        "product": path.product_id,
        "product_name": path.product["detail"]["ProductViewSummary"]["Name"],
        "artifact": artifact["detail"]["Id"],
        "artifact_name": artifact["detail"]["Name"],
        "path": path.id,
        "role": path.launch_role(ctx.account),
        "tags": tags,
    }


def _stack_tags(ctx: Context, made: Params, path: Path, wanted: Params) -> list[Params]:
    own = {
        "aws:servicecatalog:portfolioArn": path.portfolio["detail"]["ARN"],
        "aws:servicecatalog:productArn": path.product["detail"]["ProductARN"],
        "aws:servicecatalog:provisionedProductArn": made["detail"]["Arn"],
        "aws:servicecatalog:provisioningArtifactIdentifier": wanted["artifact"],
        "aws:servicecatalog:provisioningPrincipalArn": ctx.caller.arn,
    }
    return _listed({**wanted["tags"], **own})


def _given(params: Params) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}


@operation(SERVICE, "ProvisionProduct")
def provision(ctx: Context, params: Params) -> Params:
    """Launches a product; once for one token."""
    again = _repeated(ctx, params["ProvisionToken"])
    if again:
        return again
    _refuse_unserved(params)
    path = _path(ctx, params)
    artifact = _artifact(path, params)
    name = params["ProvisionedProductName"]
    if any(made["detail"]["Name"] == name for made in _standing(ctx)):
        raise ApiError(
            "DuplicateResourceException", f"There is a provisioned product {name} already."
        )
    wanted = _wanted(ctx, path, artifact, chosen_tags(path, _given(params)))
    identity = new_id("pp")
    made: dict[str, Any] = {
        **wanted,
        "stack": "",
        "gone": False,
        "user": ctx.caller.principal_arn,
        "session": ctx.caller.arn,
        "detail": {
            "Name": name,
            "Arn": ctx.arn(f"stack/{name}/{identity}"),
            "Type": "CFN_STACK",
            "Id": identity,
            "Status": "UNDER_CHANGE",
            "StatusMessage": "",
            "CreatedTime": ctx.now(),
            "IdempotencyToken": params["ProvisionToken"],
            "ProductId": wanted["product"],
            "ProvisioningArtifactId": wanted["artifact"],
            "LaunchRoleArn": wanted["role"],
        },
    }
    if wanted["role"]:
        _launches(ctx).check_role(made, wanted["role"])
    items(ctx, "provisioned")[identity] = made
    record = _record(ctx, made, "PROVISION_PRODUCT", wanted, params["ProvisionToken"])
    order = Order(
        "create_stack",
        {
            "StackName": f"SC-{ctx.account}-{identity}",
            "TemplateBody": artifact["template"],
            "Parameters": [
                {"ParameterKey": item["Key"], "ParameterValue": item["Value"]}
                for item in params.get("ProvisioningParameters") or []
            ],
            "Tags": _stack_tags(ctx, made, path, wanted),
        },
        "CREATE_COMPLETE",
        _copy(path, artifact, ctx.region),
        wanted["role"],
        _session(ctx, wanted["role"]),
    )
    answer = {"RecordDetail": _plain(record["detail"])}
    _launches(ctx).start(made, record, order)
    return answer


def _refuse_unserved(params: Params) -> None:
    unserved = [n for n in ("ProvisioningPreferences", "NotificationArns") if params.get(n)]
    if unserved:
        raise _wrong(f"The local cloud does not serve {', '.join(unserved)} of launches.")


def _standing(ctx: Context) -> list[dict[str, Any]]:
    return [made for made in items(ctx, "provisioned").values() if not made["gone"]]


def _named(ctx: Context, params: Params) -> dict[str, Any] | None:
    identity = params.get("ProvisionedProductId") or params.get("Id")
    name = params.get("ProvisionedProductName") or params.get("Name")
    for made in _standing(ctx):
        if made["detail"]["Id"] == identity or (not identity and made["detail"]["Name"] == name):
            return made
    return None


def _find(ctx: Context, params: Params) -> dict[str, Any]:
    found = _named(ctx, params)
    if found is None:
        raise _missing(
            "Provisioned product not found:"
            f" {params.get('ProvisionedProductId') or params.get('Id') or ''}"
            f"{params.get('ProvisionedProductName') or params.get('Name') or ''}"
        )
    return found


def _free(made: Mapping[str, Any]) -> None:
    if made["detail"]["Status"] == "UNDER_CHANGE":
        raise ApiError(
            "InvalidParametersException",
            f"{made['detail']['Name']} is under change: wait until that is done.",
        )


@operation(SERVICE, "UpdateProvisionedProduct")
def update(ctx: Context, params: Params) -> Params:
    """Changes what was launched: another version, other parameters, other tags."""
    again = _repeated(ctx, params["UpdateToken"])
    if again:
        return again
    _refuse_unserved(params)
    made = _find(ctx, params)
    _free(made)
    if not made["stack"]:
        raise _wrong(f"{made['detail']['Name']} was never made: terminate it.")
    where = {"ProductId": made["product"], **params}
    if "PathId" not in params and "PathName" not in params:
        where["PathId"] = made["path"]
    path = _path(ctx, where)
    kept = "ProvisioningArtifactId" not in params and "ProvisioningArtifactName" not in params
    artifact = _artifact(path, {"ProvisioningArtifactId": made["artifact"]} if kept else params)
    tags = chosen_tags(path, _given(params) if "Tags" in params else made["tags"])
    wanted = _wanted(ctx, path, artifact, tags)
    if wanted["role"]:
        _launches(ctx).check_role(made, wanted["role"])
    record = _record(ctx, made, "UPDATE_PROVISIONED_PRODUCT", wanted, params["UpdateToken"])
    order = Order(
        "update_stack",
        {
            "StackName": f"SC-{ctx.account}-{made['detail']['Id']}",
            "TemplateBody": artifact["template"],
            "Parameters": _changed_parameters(params),
            "Tags": _stack_tags(ctx, made, path, wanted),
        },
        "UPDATE_COMPLETE",
        _copy(path, artifact, ctx.region),
        wanted["role"],
        _session(ctx, wanted["role"]),
    )
    answer = {"RecordDetail": _plain(record["detail"])}
    _launches(ctx).start(made, record, order)
    return answer


def _changed_parameters(params: Params) -> list[Params]:
    return [
        {"ParameterKey": item["Key"], "UsePreviousValue": True}
        if item.get("UsePreviousValue")
        else {"ParameterKey": item["Key"], "ParameterValue": item.get("Value", "")}
        for item in params.get("ProvisioningParameters") or []
    ]


@operation(SERVICE, "TerminateProvisionedProduct")
def terminate(ctx: Context, params: Params) -> Params:
    """Removes what was launched."""
    unserved = [n for n in ("IgnoreErrors", "RetainPhysicalResources") if params.get(n)]
    if unserved:
        raise _wrong(f"The local cloud does not serve {', '.join(unserved)} of terminations.")
    again = _repeated(ctx, params["TerminateToken"])
    if again:
        return again
    made = _find(ctx, params)
    _free(made)
    token = params["TerminateToken"]
    record = _record(ctx, made, "TERMINATE_PROVISIONED_PRODUCT", {}, token)
    order = Order(
        "delete_stack",
        {"StackName": made["stack"] or f"SC-{ctx.account}-{made['detail']['Id']}"},
        "DELETE_COMPLETE",
        "",
        made["role"],
        _session(ctx, made["role"]),
    )
    answer = {"RecordDetail": _plain(record["detail"])}
    _launches(ctx).start(made, record, order)
    return answer


# What was launched.


def _plain(detail: Mapping[str, Any]) -> Params:
    return {name: value for name, value in detail.items() if value != ""}


@operation(SERVICE, "DescribeProvisionedProduct")
def describe(ctx: Context, params: Params) -> Params:
    """What was launched."""
    return {"ProvisionedProductDetail": _plain(_find(ctx, params)["detail"])}


@operation(SERVICE, "DescribeRecord")
def describe_record(ctx: Context, params: Params) -> Params:
    """What became of a launch, a change or a termination."""
    record = get(ctx, "record", params["Id"])
    return {"RecordDetail": _plain(record["detail"]), "RecordOutputs": record["outputs"]}


@operation(SERVICE, "GetProvisionedProductOutputs")
def outputs(ctx: Context, params: Params) -> Params:
    """The outputs of what was launched, in one page."""
    made = _find(ctx, params)
    last = made["detail"].get("LastSuccessfulProvisioningRecordId")
    found = get(ctx, "record", last)["outputs"] if last else []
    wanted = params.get("OutputKeys")
    return {"Outputs": [item for item in found if not wanted or item["OutputKey"] in wanted]}


def _seen(ctx: Context, params: Params) -> list[dict[str, Any]]:
    level = (params.get("AccessLevelFilter") or {"Key": "User"})["Key"]
    return [
        made
        for made in items(ctx, "provisioned").values()
        if level == "Account"
        or (level == "Role" and made["user"] == ctx.caller.principal_arn)
        or (level == "User" and made["session"] == ctx.caller.arn)
    ]


@operation(SERVICE, "SearchProvisionedProducts")
def search(ctx: Context, params: Params) -> Params:
    """What the caller, his role or his account launched and stands, in one page."""
    queries = [
        text.partition(":")
        for name, values in (params.get("Filters") or {}).items()
        for text in values
        if _searchable(name)
    ]
    found: list[Params] = []
    for made in _seen(ctx, params):
        detail = _plain(made["detail"])
        shown = {name: value for name, value in detail.items() if name != "LaunchRoleArn"}
        shown |= {
            "Tags": _listed(made["tags"]),
            "PhysicalId": made["stack"],
            "ProductName": made["product_name"],
            "ProvisioningArtifactName": made["artifact_name"],
            "UserArn": made["user"],
            "UserArnSession": made["session"],
        }
        words = {name.lower(): str(value) for name, value in shown.items()}
        fits = all(
            words.get(name.lower()) == value if colon else name in words.values()
            for name, colon, value in queries
        )
        if not made["gone"] and fits:
            found.append(_plain(shown))
    return {"ProvisionedProducts": found, "TotalResultsCount": len(found)}


def _searchable(name: str) -> bool:
    if name != "SearchQuery":
        raise _wrong(f"The local cloud does not filter by {name}, but SearchQuery.")
    return True


@operation(SERVICE, "ListRecordHistory")
def history(ctx: Context, params: Params) -> Params:
    """The records of what the caller, his role or his account launched, newest first."""
    seen = {made["detail"]["Id"] for made in _seen(ctx, params)}
    filtered = params.get("SearchFilter") or {}
    if filtered.get("Key") not in (None, "provisionedproduct", "product"):
        raise _wrong(f"There is no filter {filtered['Key']}: product or provisionedproduct.")
    names = {"provisionedproduct": "ProvisionedProductId", "product": "ProductId"}
    found = [
        _plain(record["detail"])
        for record in items(ctx, "record").values()
        if record["detail"]["ProvisionedProductId"] in seen
        and (
            not filtered.get("Key")
            or record["detail"][names[filtered["Key"]]] == filtered.get("Value")
        )
    ]
    return {"RecordDetails": list(reversed(found))}


@condition_keys(SERVICE)
def levels(ctx: Context, params: Params) -> dict[str, str]:
    """``servicecatalog:userLevel`` and its like: ``self`` for what the caller launched.

    Source: Service Catalog administrator guide, controlling access; a list is of whom its filter
    says.
    """
    caller, depth = ctx.caller, 0
    if ctx.operation in ("SearchProvisionedProducts", "ListRecordHistory"):
        depth = _BY_FILTER[(params.get("AccessLevelFilter") or {"Key": "User"})["Key"]]
    else:
        made = _of_call(ctx, params)
        if made is not None:
            depth = _depth(made, caller)
    return {f"{SERVICE}:{name}": "self" for name in _LEVELS[:depth]}


def _of_call(ctx: Context, params: Params) -> dict[str, Any] | None:
    if ctx.operation == "DescribeRecord":
        record = items(ctx, "record").get(params.get("Id"))
        identity = record["detail"]["ProvisionedProductId"] if record else None
        return items(ctx, "provisioned").get(identity)
    return _named(ctx, params)


def _depth(made: Mapping[str, Any], caller: Caller) -> int:
    if made["user"] != caller.principal_arn:
        return 1
    return 3 if made["session"] == caller.arn else 2
