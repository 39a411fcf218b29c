"""Emulated Service Catalog: portfolios, products, rules and shares, as an administrator makes them.

Every account of the local cloud counts as a member of its organisation and of all its units.
"""

from __future__ import annotations

import json
from typing import Any, cast

from localcloud.emulator import stacks
from localcloud.emulator.catalog import SERVICE, get, items, new_id, shares_to
from localcloud.emulator.extension import ApiError, Context, Params, operation

_NODES = ("ORGANIZATION", "ORGANIZATIONAL_UNIT", "ORGANIZATION_MEMBER_ACCOUNT")


def _tagged(item: dict[str, Any], params: Params) -> None:
    for tag in params.get("Tags") or params.get("AddTags") or []:
        item["tags"][tag["Key"]] = tag["Value"]
    for key in params.get("RemoveTags") or []:
        item["tags"].pop(key, None)


def _tags(item: dict[str, Any]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in item["tags"].items()]


def _in_use(ctx: Context, identity: str) -> None:
    """Refuses to remove what others refer to, as AWS does."""
    for kind in ("association", "principal", "share", "constraint", "tagged"):
        for key, item in items(ctx, kind).items():
            if identity in (key if isinstance(key, tuple) else item["key"]):
                raise ApiError("ResourceInUseException", f"{identity} still has a {kind}.")


# Portfolios and products.


def _portfolio(item: dict[str, Any]) -> Params:
    return {"PortfolioDetail": item["detail"], "Tags": _tags(item)}


@operation(SERVICE, "CreatePortfolio")
def create_portfolio(ctx: Context, params: Params) -> Params:
    """Makes a portfolio; once for one token."""
    for item in items(ctx, "portfolio").values():
        if item["token"] == params["IdempotencyToken"]:
            return _portfolio(item)
    identity = new_id("port")
    item: dict[str, Any] = {
        "token": params["IdempotencyToken"],
        "tags": {},
        "detail": {
            "Id": identity,
            "ARN": ctx.arn(f"portfolio/{identity}", service="catalog"),
            "DisplayName": params["DisplayName"],
            "Description": params.get("Description") or "",
            "ProviderName": params["ProviderName"],
            "CreatedTime": ctx.now(),
        },
    }
    _tagged(item, params)
    items(ctx, "portfolio")[identity] = item
    return _portfolio(item)


@operation(SERVICE, "UpdatePortfolio")
def update_portfolio(ctx: Context, params: Params) -> Params:
    """Changes what is given."""
    item = get(ctx, "portfolio", params["Id"])
    for name in ("DisplayName", "Description", "ProviderName"):
        if name in params:
            item["detail"][name] = params[name]
    _tagged(item, params)
    return _portfolio(item)


@operation(SERVICE, "DescribePortfolio")
def describe_portfolio(ctx: Context, params: Params) -> Params:
    """A portfolio."""
    item = get(ctx, "portfolio", params["Id"])
    return {**_portfolio(item), "TagOptions": _options(ctx, params["Id"])}


@operation(SERVICE, "ListPortfolios")
def list_portfolios(ctx: Context, params: Params) -> Params:
    """All portfolios, in one page."""
    del params
    return {"PortfolioDetails": [item["detail"] for item in items(ctx, "portfolio").values()]}


@operation(SERVICE, "DeletePortfolio")
def delete_portfolio(ctx: Context, params: Params) -> Params:
    """Removes a portfolio that holds nothing."""
    get(ctx, "portfolio", params["Id"])
    _in_use(ctx, params["Id"])
    del items(ctx, "portfolio")[params["Id"]]
    return {}


_SUMMARY = {
    "Name": "Name",
    "Owner": "Owner",
    "Description": "ShortDescription",
    "Distributor": "Distributor",
    "SupportDescription": "SupportDescription",
    "SupportEmail": "SupportEmail",
    "SupportUrl": "SupportUrl",
}


def _product(item: dict[str, Any]) -> Params:
    return {"ProductViewDetail": item["detail"], "Tags": _tags(item)}


def _new_artifact(ctx: Context, given: Params, product_type: str) -> dict[str, Any]:
    info = given.get("Info") or {}
    if set(info) != {"LoadTemplateFromURL"}:
        raise ApiError(
            "InvalidParametersException",
            "The local cloud makes versions of templates in S3: give Info.LoadTemplateFromURL.",
        )
    try:
        # Service Catalog keeps a copy: launches do not see what becomes of the object.
        template = stacks.read_object(ctx, info["LoadTemplateFromURL"])
        if not given.get("DisableTemplateValidation"):
            stacks.read(template)
    except stacks.TemplateError as error:
        raise ApiError("InvalidParametersException", f"Invalid template: {error}") from error
    return {
        "template": template,
        "info": {"TemplateUrl": info["LoadTemplateFromURL"]},
        "detail": {
            "Id": new_id("pa"),
            "Name": given.get("Name") or "",
            "Description": given.get("Description") or "",
            "Type": given.get("Type") or product_type,
            "CreatedTime": ctx.now(),
            "Active": True,
            "Guidance": "DEFAULT",
        },
    }


@operation(SERVICE, "CreateProduct")
def create_product(ctx: Context, params: Params) -> Params:
    """Makes a product with its first version; once for one token."""
    for item in items(ctx, "product").values():
        if item["token"] == params["IdempotencyToken"]:
            first = next(iter(item["artifacts"].values()))
            return {**_product(item), "ProvisioningArtifactDetail": first["detail"]}
    identity = new_id("prod")
    artifact = _new_artifact(
        ctx, params.get("ProvisioningArtifactParameters") or {}, params["ProductType"]
    )
    summary = {"Id": new_id("prodview"), "ProductId": identity, "Type": params["ProductType"]}
    summary |= {to: params[name] for name, to in _SUMMARY.items() if name in params}
    item: dict[str, Any] = {
        "token": params["IdempotencyToken"],
        "tags": {},
        "artifacts": {artifact["detail"]["Id"]: artifact},
        "detail": {
            "ProductViewSummary": {**summary, "HasDefaultPath": False},
            "Status": "AVAILABLE",
            "ProductARN": ctx.arn(f"product/{identity}", service="catalog"),
            "CreatedTime": ctx.now(),
        },
    }
    _tagged(item, params)
    items(ctx, "product")[identity] = item
    return {**_product(item), "ProvisioningArtifactDetail": artifact["detail"]}


@operation(SERVICE, "UpdateProduct")
def update_product(ctx: Context, params: Params) -> Params:
    """Changes what is given."""
    item = get(ctx, "product", params["Id"])
    summary = item["detail"]["ProductViewSummary"]
    summary |= {to: params[name] for name, to in _SUMMARY.items() if name in params}
    _tagged(item, params)
    return _product(item)


@operation(SERVICE, "DescribeProductAsAdmin")
def describe_product(ctx: Context, params: Params) -> Params:
    """A product with its versions."""
    item = get(ctx, "product", params.get("Id"))
    kept = ("Id", "Name", "Description", "CreatedTime")
    return {
        **_product(item),
        "ProvisioningArtifactSummaries": [
            {name: artifact["detail"][name] for name in kept}
            for artifact in item["artifacts"].values()
        ],
        "TagOptions": _options(ctx, params["Id"]),
    }


@operation(SERVICE, "DeleteProduct")
def delete_product(ctx: Context, params: Params) -> Params:
    """Removes a product that is in no portfolio."""
    get(ctx, "product", params["Id"])
    _in_use(ctx, params["Id"])
    del items(ctx, "product")[params["Id"]]
    return {}


# Versions.


def _artifact(ctx: Context, params: Params) -> dict[str, Any]:
    product = get(ctx, "product", params.get("ProductId"))
    found = product["artifacts"].get(params.get("ProvisioningArtifactId"))
    if found is None:
        raise ApiError(
            "ResourceNotFoundException",
            f"{params.get('ProductId')} has no version {params.get('ProvisioningArtifactId')}.",
        )
    return found


def _version(item: dict[str, Any]) -> Params:
    return {
        "ProvisioningArtifactDetail": item["detail"],
        "Info": item["info"],
        "Status": "AVAILABLE",
    }


@operation(SERVICE, "CreateProvisioningArtifact")
def create_artifact(ctx: Context, params: Params) -> Params:
    """Makes a further version of a product; once for one token."""
    product = get(ctx, "product", params["ProductId"])
    for item in product["artifacts"].values():
        if item.get("token") == params["IdempotencyToken"]:
            return _version(item)
    made = _new_artifact(ctx, params["Parameters"], product["detail"]["ProductViewSummary"]["Type"])
    made["token"] = params["IdempotencyToken"]
    product["artifacts"][made["detail"]["Id"]] = made
    return _version(made)


@operation(SERVICE, "DescribeProvisioningArtifact")
def describe_artifact(ctx: Context, params: Params) -> Params:
    """A version."""
    return _version(_artifact(ctx, params))


@operation(SERVICE, "ListProvisioningArtifacts")
def list_artifacts(ctx: Context, params: Params) -> Params:
    """All versions of a product."""
    product = get(ctx, "product", params["ProductId"])
    return {"ProvisioningArtifactDetails": [a["detail"] for a in product["artifacts"].values()]}


@operation(SERVICE, "UpdateProvisioningArtifact")
def update_artifact(ctx: Context, params: Params) -> Params:
    """Changes what is given; a version that is not active is not launched."""
    item = _artifact(ctx, params)
    for name in ("Name", "Description", "Active", "Guidance"):
        if name in params:
            item["detail"][name] = params[name]
    return _version(item)


@operation(SERVICE, "DeleteProvisioningArtifact")
def delete_artifact(ctx: Context, params: Params) -> Params:
    """Removes a version; a product keeps its last."""
    item = _artifact(ctx, params)
    artifacts = get(ctx, "product", params["ProductId"])["artifacts"]
    if len(artifacts) == 1:
        raise ApiError("ResourceInUseException", "It is the last version of the product.")
    del artifacts[item["detail"]["Id"]]
    return {}


# Tag options.


def _options(ctx: Context, resource: str) -> list[Params]:
    """The tag options of a portfolio or product."""
    held = [option for option, of in items(ctx, "tagged") if of == resource]
    return [get(ctx, "tag option", option) for option in held]


@operation(SERVICE, "CreateTagOption")
def create_tag_option(ctx: Context, params: Params) -> Params:
    """Makes a tag that launches may choose."""
    pair = (params["Key"], params["Value"])
    for item in items(ctx, "tag option").values():
        if (item["Key"], item["Value"]) == pair:
            raise ApiError("DuplicateResourceException", f"The tag option {pair} exists already.")
    detail = {
        "Key": pair[0],
        "Value": pair[1],
        "Active": True,
        "Id": new_id("tag"),
        "Owner": ctx.account,
    }
    items(ctx, "tag option")[detail["Id"]] = detail
    return {"TagOptionDetail": detail}


@operation(SERVICE, "UpdateTagOption")
def update_tag_option(ctx: Context, params: Params) -> Params:
    """Changes a tag option's value, or whether it can be chosen."""
    detail = get(ctx, "tag option", params["Id"])
    detail |= {name: params[name] for name in ("Value", "Active") if name in params}
    return {"TagOptionDetail": detail}


@operation(SERVICE, "DescribeTagOption")
def describe_tag_option(ctx: Context, params: Params) -> Params:
    """A tag option."""
    return {"TagOptionDetail": get(ctx, "tag option", params["Id"])}


@operation(SERVICE, "ListTagOptions")
def list_tag_options(ctx: Context, params: Params) -> Params:
    """The tag options that the filters meet, in one page."""
    wanted = (params.get("Filters") or {}).items()
    return {
        "TagOptionDetails": [
            item
            for item in items(ctx, "tag option").values()
            if all(item[name] == value for name, value in wanted)
        ]
    }


@operation(SERVICE, "DeleteTagOption")
def delete_tag_option(ctx: Context, params: Params) -> Params:
    """Removes a tag option that nothing has."""
    get(ctx, "tag option", params["Id"])
    _in_use(ctx, params["Id"])
    del items(ctx, "tag option")[params["Id"]]
    return {}


def _resource(ctx: Context, identity: str) -> Params:
    """A portfolio or product as the lists of tag options show it."""
    if identity.startswith("port-"):
        detail = get(ctx, "portfolio", identity)["detail"]
        shown = (detail["ARN"], detail["DisplayName"], detail["Description"])
    else:
        detail = get(ctx, "product", identity)["detail"]
        summary = detail["ProductViewSummary"]
        shown = (detail["ProductARN"], summary["Name"], summary.get("ShortDescription", ""))
    names = ("ARN", "Name", "Description")
    return {
        "Id": identity,
        "CreatedTime": detail["CreatedTime"],
        **dict(zip(names, shown, strict=True)),
    }


@operation(SERVICE, "AssociateTagOptionWithResource")
def associate_tag_option(ctx: Context, params: Params) -> Params:
    """Gives a portfolio or product a tag option."""
    get(ctx, "tag option", params["TagOptionId"])
    _resource(ctx, params["ResourceId"])
    key = (params["TagOptionId"], params["ResourceId"])
    if key in items(ctx, "tagged"):
        raise ApiError("DuplicateResourceException", f"{key[1]} has {key[0]} already.")
    items(ctx, "tagged")[key] = {}
    return {}


@operation(SERVICE, "DisassociateTagOptionFromResource")
def disassociate_tag_option(ctx: Context, params: Params) -> Params:
    """Takes that back."""
    key = (params["TagOptionId"], params["ResourceId"])
    get(ctx, "tagged", key)
    del items(ctx, "tagged")[key]
    return {}


@operation(SERVICE, "ListResourcesForTagOption")
def tagged_resources(ctx: Context, params: Params) -> Params:
    """What has a tag option, in one page."""
    get(ctx, "tag option", params["TagOptionId"])
    held = [of for option, of in items(ctx, "tagged") if option == params["TagOptionId"]]
    return {"ResourceDetails": [_resource(ctx, identity) for identity in held]}


# What is in a portfolio, and who may launch it.


@operation(SERVICE, "AssociateProductWithPortfolio")
def associate_product(ctx: Context, params: Params) -> Params:
    """Puts a product into a portfolio."""
    key = (get(ctx, "portfolio", params["PortfolioId"])["detail"]["Id"], params["ProductId"])
    get(ctx, "product", params["ProductId"])
    items(ctx, "association")[key] = {}
    return {}


@operation(SERVICE, "DisassociateProductFromPortfolio")
def disassociate_product(ctx: Context, params: Params) -> Params:
    """Takes a product out of a portfolio, once no rule needs it there."""
    key = (params["PortfolioId"], params["ProductId"])
    get(ctx, "association", key)
    if any(item["key"] == key for item in items(ctx, "constraint").values()):
        raise ApiError("ResourceInUseException", f"{key} still has a constraint.")
    del items(ctx, "association")[key]
    return {}


@operation(SERVICE, "ListPortfoliosForProduct")
def portfolios_of(ctx: Context, params: Params) -> Params:
    """The portfolios that hold a product, in one page."""
    get(ctx, "product", params["ProductId"])
    held = [key[0] for key in items(ctx, "association") if key[1] == params["ProductId"]]
    return {"PortfolioDetails": [get(ctx, "portfolio", key)["detail"] for key in held]}


def _own_or_accepted(ctx: Context, portfolio: str) -> None:
    others = cast("frozenset[str]", cast(Any, ctx.host).accounts) - {ctx.account}
    if not any(
        share["Accepted"]
        for owner in others
        if portfolio in items(ctx, "portfolio", owner)
        for share in shares_to(ctx, owner, portfolio)
    ):
        get(ctx, "portfolio", portfolio)


@operation(SERVICE, "AssociatePrincipalWithPortfolio")
def associate_principal(ctx: Context, params: Params) -> Params:
    """Lets a principal, or every one of a pattern, launch from a portfolio, own or accepted."""
    _own_or_accepted(ctx, params["PortfolioId"])
    pattern = params["PrincipalType"] == "IAM_PATTERN"
    if pattern != params["PrincipalARN"].startswith("arn:aws:iam:::"):
        raise ApiError(
            "InvalidParametersException",
            "The ARN of an IAM_PATTERN names no account, and any other names one.",
        )
    key = (params["PortfolioId"], params["PrincipalARN"], params["PrincipalType"])
    items(ctx, "principal")[key] = {}
    return {}


@operation(SERVICE, "DisassociatePrincipalFromPortfolio")
def disassociate_principal(ctx: Context, params: Params) -> Params:
    """Takes that back."""
    kind = params.get("PrincipalType") or "IAM"
    key = (params["PortfolioId"], params["PrincipalARN"], kind)
    get(ctx, "principal", key)
    del items(ctx, "principal")[key]
    return {}


@operation(SERVICE, "ListPrincipalsForPortfolio")
def principals_of(ctx: Context, params: Params) -> Params:
    """Who may launch from a portfolio, in one page."""
    _own_or_accepted(ctx, params["PortfolioId"])
    return {
        "Principals": [
            {"PrincipalARN": arn, "PrincipalType": kind}
            for portfolio, arn, kind in items(ctx, "principal")
            if portfolio == params["PortfolioId"]
        ]
    }


def _constraint(item: dict[str, Any]) -> Params:
    return {
        "ConstraintDetail": item["detail"],
        "ConstraintParameters": item["parameters"],
        "Status": "AVAILABLE",
    }


def _check_rule(kind: str, parameters: str) -> None:
    if kind != "LAUNCH":
        raise ApiError(
            "InvalidParametersException", f"The local cloud serves LAUNCH constraints, not {kind}."
        )
    try:
        given = json.loads(parameters)
    except ValueError as error:
        raise ApiError("InvalidParametersException", f"Parameters is no JSON: {error}") from error
    if not isinstance(given, dict) or set(cast(Params, given)) not in (
        {"LocalRoleName"},
        {"RoleArn"},
    ):
        raise ApiError(
            "InvalidParametersException",
            "A launch constraint has either LocalRoleName or RoleArn, and nothing else.",
        )


@operation(SERVICE, "CreateConstraint")
def create_constraint(ctx: Context, params: Params) -> Params:
    """Makes a rule for a product in a portfolio; only launch rules are enforced here."""
    _check_rule(params["Type"], params["Parameters"])
    key = (params["PortfolioId"], params["ProductId"])
    get(ctx, "association", key)
    for item in items(ctx, "constraint").values():
        if item["key"] == key and item["detail"]["Type"] == params["Type"] == "LAUNCH":
            raise ApiError("DuplicateResourceException", f"{key} has a launch constraint.")
    identity = new_id("cons")
    item: dict[str, Any] = {
        "key": key,
        "parameters": params["Parameters"],
        "detail": {
            "ConstraintId": identity,
            "Type": params["Type"],
            "Description": params.get("Description") or "",
            "Owner": ctx.account,
            "ProductId": key[1],
            "PortfolioId": key[0],
        },
    }
    items(ctx, "constraint")[identity] = item
    return _constraint(item)


@operation(SERVICE, "DescribeConstraint")
def describe_constraint(ctx: Context, params: Params) -> Params:
    """A rule."""
    return _constraint(get(ctx, "constraint", params["Id"]))


@operation(SERVICE, "ListConstraintsForPortfolio")
def list_constraints(ctx: Context, params: Params) -> Params:
    """The rules of a portfolio, or for one product in it, in one page."""
    return {
        "ConstraintDetails": [
            item["detail"]
            for item in items(ctx, "constraint").values()
            if item["key"][0] == params["PortfolioId"]
            and params.get("ProductId") in (None, item["key"][1])
        ]
    }


@operation(SERVICE, "UpdateConstraint")
def update_constraint(ctx: Context, params: Params) -> Params:
    """Changes a rule."""
    item = get(ctx, "constraint", params["Id"])
    if "Parameters" in params:
        _check_rule(item["detail"]["Type"], params["Parameters"])
    item["parameters"] = params.get("Parameters", item["parameters"])
    item["detail"]["Description"] = params.get("Description", item["detail"]["Description"])
    return _constraint(item)


@operation(SERVICE, "DeleteConstraint")
def delete_constraint(ctx: Context, params: Params) -> Params:
    """Removes a rule."""
    get(ctx, "constraint", params["Id"])
    del items(ctx, "constraint")[params["Id"]]
    return {}


# Shares.


def _to(params: Params) -> tuple[str, str, str]:
    node = params.get("OrganizationNode") or {}
    if bool(node) == bool(params.get("AccountId")):
        raise ApiError("InvalidParametersException", "Give an account or a node, one of them.")
    kind = node.get("Type") or "ACCOUNT"
    return params["PortfolioId"], kind, node.get("Value") or params["AccountId"]


@operation(SERVICE, "CreatePortfolioShare")
def create_share(ctx: Context, params: Params) -> Params:
    """Shares a portfolio; a share that stands is left as it is."""
    get(ctx, "portfolio", params["PortfolioId"])
    key = _to(params)
    if params.get("SharePrincipals") and key[1] not in _NODES[:2]:
        raise ApiError(
            "InvalidParametersException",
            "SharePrincipals is for organisations and organisational units only.",
        )
    rules = {name: bool(params.get(name)) for name in ("ShareTagOptions", "SharePrincipals")}
    # What is shared through the organisation is imported at once.
    items(ctx, "share").setdefault(key, {**rules, "Accepted": key[1] != "ACCOUNT"})
    return {} if key[1] == "ACCOUNT" else {"PortfolioShareToken": f"share-{key[0]}"}


@operation(SERVICE, "UpdatePortfolioShare")
def update_share(ctx: Context, params: Params) -> Params:
    """Changes what is shared beside."""
    item = get(ctx, "share", _to(params))
    item |= {k: params[k] for k in ("ShareTagOptions", "SharePrincipals") if k in params}
    return {"Status": "COMPLETED"}


@operation(SERVICE, "DeletePortfolioShare")
def delete_share(ctx: Context, params: Params) -> Params:
    """Takes a share back."""
    key = _to(params)
    get(ctx, "share", key)
    del items(ctx, "share")[key]
    return {}


@operation(SERVICE, "DescribePortfolioShares")
def describe_shares(ctx: Context, params: Params) -> Params:
    """The shares of one kind, in one page."""
    get(ctx, "portfolio", params["PortfolioId"])
    return {
        "PortfolioShareDetails": [
            {"PrincipalId": key[2], "Type": key[1], **item}
            for key, item in items(ctx, "share").items()
            if key[:2] == (params["PortfolioId"], params["Type"])
        ]
    }
