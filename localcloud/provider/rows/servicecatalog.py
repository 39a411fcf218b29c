"""Service Catalog: portfolios, products and versions, who may launch them, and tag options."""

from __future__ import annotations

import uuid
from typing import Any

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_SERVICE = "servicecatalog"
_ENGLISH = {"acceptLanguage": "en"}
_BY_ID = {"Id": "{id}"}
_CALLERS = {"acceptLanguage": "is the language of the calls, not of what they make"}


def _once(params: Props, inputs: Props, scope: Scope) -> None:
    params["IdempotencyToken"] = uuid.uuid4().hex


def _tags(describe: str, update: str) -> Tags:
    return Tags(
        put=update,
        put_member="AddTags",
        remove=update,
        remove_member="RemoveTags",
        arn="Id",
        target="{id}",
        listing=describe,
    )


def _artifact(inputs: Props) -> Props:
    """A version as the API takes it."""
    sources = {
        "LoadTemplateFromURL": inputs.get("templateUrl"),
        "ImportFromPhysicalId": inputs.get("templatePhysicalId"),
    }
    given: Props = {
        "Name": inputs.get("name"),
        "Description": inputs.get("description"),
        "Type": inputs.get("type"),
        "DisableTemplateValidation": inputs.get("disableTemplateValidation"),
        "Info": {name: value for name, value in sources.items() if value},
    }
    return {name: value for name, value in given.items() if value is not None}


# Products.

_PRODUCT = ("name", "owner", "description", "distributor", "supportDescription", "supportEmail",
            "supportUrl", "acceptLanguage")  # fmt: skip


def _product(params: Props, inputs: Props, scope: Scope) -> None:
    _once(params, inputs, scope)
    given: Any = inputs["provisioningArtifactParameters"]
    params["ProvisioningArtifactParameters"] = _artifact(
        given[0] if isinstance(given, list) else given
    )


def _observe_product(found: Props, answer: Props, scope: Scope) -> None:
    summary = answer["ProductViewDetail"]["ProductViewSummary"]
    found |= {
        "name": summary["Name"],
        "owner": summary.get("Owner"),
        "description": summary.get("ShortDescription"),
        "distributor": summary.get("Distributor"),
        "supportDescription": summary.get("SupportDescription"),
        "supportEmail": summary.get("SupportEmail"),
        "supportUrl": summary.get("SupportUrl"),
        "type": summary["Type"],
        "hasDefaultPath": summary["HasDefaultPath"],
    }
    for name in [name for name, value in found.items() if value is None]:
        del found[name]


# Versions.


def _version(params: Props, inputs: Props, scope: Scope) -> None:
    _once(params, inputs, scope)
    params["Parameters"] = _artifact(inputs)


def _after_version(inputs: Props, outputs: Props, scope: Scope) -> None:
    # A version is made active and without guidance: other wishes are a change.
    given = {
        "ProductId": inputs["productId"],
        "ProvisioningArtifactId": outputs["provisioningArtifactId"],
        "Active": inputs["active"],
        "Guidance": inputs["guidance"],
    }
    scope.call(_SERVICE, "UpdateProvisioningArtifact", given)


def _observe_version(found: Props, answer: Props, scope: Scope) -> None:
    info = answer.get("Info") or {}
    if "TemplateUrl" in info:
        found["templateUrl"] = info["TemplateUrl"]


# Associations.


def _find_product(id_: str, props: Props, scope: Scope) -> Props | None:
    language, portfolio, product = id_.split(":")
    listed = scope.call(_SERVICE, "ListPortfoliosForProduct", {"ProductId": product})
    if portfolio not in [item["Id"] for item in listed["PortfolioDetails"]]:
        return None
    return {"acceptLanguage": language, "portfolioId": portfolio, "productId": product}


def _find_principal(id_: str, props: Props, scope: Scope) -> Props | None:
    language, arn, portfolio, kind = id_.split(",")
    listed = scope.call(_SERVICE, "ListPrincipalsForPortfolio", {"PortfolioId": portfolio})
    wanted = {"PrincipalARN": arn, "PrincipalType": kind}
    if wanted not in listed["Principals"]:
        return None
    return {
        "acceptLanguage": language,
        "principalArn": arn,
        "portfolioId": portfolio,
        "principalType": kind,
    }


def _observe_constraint(found: Props, answer: Props, scope: Scope) -> None:
    found["parameters"] = answer["ConstraintParameters"]
    found["status"] = answer["Status"]


# Shares.


def _to(params: Props, inputs: Props, scope: Scope) -> None:
    if inputs["type"] == "ACCOUNT":
        params["AccountId"] = inputs["principalId"]
    else:
        params["OrganizationNode"] = {"Type": inputs["type"], "Value": inputs["principalId"]}


def _find_share(id_: str, props: Props, scope: Scope) -> Props | None:
    portfolio, kind, principal = id_.split(":", 2)
    given = {"PortfolioId": portfolio, "Type": kind}
    listed = scope.call(_SERVICE, "DescribePortfolioShares", given)
    for share in listed["PortfolioShareDetails"]:
        if share["PrincipalId"] == principal:
            return {
                "portfolioId": portfolio,
                "type": kind,
                "principalId": principal,
                "accepted": share["Accepted"],
                "sharePrincipals": share["SharePrincipals"],
                "shareTagOptions": share["ShareTagOptions"],
            }
    return None


def _after_share(inputs: Props, outputs: Props, scope: Scope) -> None:
    id_ = f"{inputs['portfolioId']}:{inputs['type']}:{inputs['principalId']}"
    found = _find_share(id_, inputs, scope)
    outputs["accepted"] = bool(found and found["accepted"])


# Tag options.


def _after_tag_option(inputs: Props, outputs: Props, scope: Scope) -> None:
    if not inputs["active"]:
        given = {"Id": outputs["tagOptionId"], "Active": False}
        scope.call(_SERVICE, "UpdateTagOption", given)


def _find_tagged(id_: str, props: Props, scope: Scope) -> Props | None:
    option, resource = id_.split(":")
    listed = scope.call(_SERVICE, "ListResourcesForTagOption", {"TagOptionId": option})
    for detail in listed["ResourceDetails"]:
        if detail["Id"] == resource:
            return {
                "tagOptionId": option,
                "resourceId": resource,
                "resourceArn": detail["ARN"],
                "resourceName": detail["Name"],
                "resourceDescription": detail["Description"],
                "resourceCreatedTime": detail["CreatedTime"].isoformat(),
            }
    return None


def _after_tagged(inputs: Props, outputs: Props, scope: Scope) -> None:
    id_ = f"{inputs['tagOptionId']}:{inputs['resourceId']}"
    outputs |= _find_tagged(id_, inputs, scope) or {}


_SHARED = {"PortfolioId": "{portfolioId}"}
_VERSION = {"ProductId": "{productId}", "ProvisioningArtifactId": "{provisioningArtifactId}"}
_TAGGED = {"TagOptionId": "{tagOptionId}", "ResourceId": "{resourceId}"}

ROWS = [
    Row(
        token="aws:servicecatalog/portfolio:Portfolio",
        service=_SERVICE,
        create=Call("CreatePortfolio", prepare=_once),
        id="{portfolioId}",
        read=Call("DescribePortfolio", by=_BY_ID, path="PortfolioDetail"),
        update=(Call("UpdatePortfolio", by=_BY_ID),),
        delete=Call("DeletePortfolio", by=_BY_ID),
        rename={"name": "DisplayName"},
        computed={
            "portfolioId": "PortfolioDetail.Id",
            "arn": "PortfolioDetail.ARN",
            "createdTime": "PortfolioDetail.CreatedTime",
        },
        parts=("portfolioId",),
        name="name",
        prefix="",
        # Two may have one name.
        delete_first=False,
        tags=_tags("DescribePortfolio", "UpdatePortfolio"),
    ),
    Row(
        token="aws:servicecatalog/product:Product",
        service=_SERVICE,
        create=Call(
            "CreateProduct",
            only=(*_PRODUCT, "type"),
            prepare=_product,
            takes=("provisioningArtifactParameters",),
        ),
        id="{productId}",
        read=Call("DescribeProductAsAdmin", by=_BY_ID, path="ProductViewDetail"),
        update=(Call("UpdateProduct", by=_BY_ID, only=_PRODUCT),),
        delete=Call("DeleteProduct", by=_BY_ID),
        rename={"type": "ProductType"},
        observe=_observe_product,
        computed={
            "productId": "ProductViewDetail.ProductViewSummary.ProductId",
            "arn": "ProductViewDetail.ProductARN",
            "createdTime": "ProductViewDetail.CreatedTime",
            "status": "ProductViewDetail.Status",
            "hasDefaultPath": "ProductViewDetail.ProductViewSummary.HasDefaultPath",
        },
        parts=("productId",),
        replace=("type", "provisioningArtifactParameters"),
        name="name",
        prefix="",
        defaults=_ENGLISH,
        unread=_CALLERS,
        delete_first=False,
        tags=_tags("DescribeProductAsAdmin", "UpdateProduct"),
    ),
    Row(
        token="aws:servicecatalog/provisioningArtifact:ProvisioningArtifact",
        service=_SERVICE,
        create=Call(
            "CreateProvisioningArtifact",
            only=("acceptLanguage", "productId"),
            prepare=_version,
            takes=("name", "description", "type", "templateUrl", "templatePhysicalId",
                   "disableTemplateValidation"),
        ),
        id="{provisioningArtifactId}:{productId}",
        read=Call(
            "DescribeProvisioningArtifact", by=_VERSION, path="ProvisioningArtifactDetail"
        ),
        update=(Call("UpdateProvisioningArtifact", by=_VERSION),),
        delete=Call("DeleteProvisioningArtifact", by=_VERSION),
        observe=_observe_version,
        after=_after_version,
        computed={
            "provisioningArtifactId": "ProvisioningArtifactDetail.Id",
            "createdTime": "ProvisioningArtifactDetail.CreatedTime",
        },
        parts=("provisioningArtifactId", "productId"),
        replace=("productId", "type", "templateUrl", "templatePhysicalId",
                 "disableTemplateValidation"),
        defaults={**_ENGLISH, "active": True, "guidance": "DEFAULT"},
        unread=_CALLERS,
        delete_first=False,
    ),
    Row(
        token="aws:servicecatalog/productPortfolioAssociation:ProductPortfolioAssociation",
        service=_SERVICE,
        create=Call("AssociateProductWithPortfolio"),
        id="{acceptLanguage}:{portfolioId}:{productId}",
        find=_find_product,
        delete=Call(
            "DisassociateProductFromPortfolio",
            by={"PortfolioId": "{portfolioId}", "ProductId": "{productId}"},
        ),
        replace=("portfolioId", "productId", "acceptLanguage", "sourcePortfolioId"),
        defaults=_ENGLISH,
    ),
    Row(
        token="aws:servicecatalog/principalPortfolioAssociation:PrincipalPortfolioAssociation",
        service=_SERVICE,
        create=Call("AssociatePrincipalWithPortfolio"),
        id="{acceptLanguage},{principalArn},{portfolioId},{principalType}",
        find=_find_principal,
        delete=Call(
            "DisassociatePrincipalFromPortfolio",
            by={
                "PortfolioId": "{portfolioId}",
                "PrincipalARN": "{principalArn}",
                "PrincipalType": "{principalType}",
            },
        ),
        replace=("portfolioId", "principalArn", "principalType", "acceptLanguage"),
        defaults={**_ENGLISH, "principalType": "IAM"},
    ),
    Row(
        token="aws:servicecatalog/constraint:Constraint",
        service=_SERVICE,
        create=Call("CreateConstraint", prepare=_once),
        id="{constraintId}",
        read=Call("DescribeConstraint", by=_BY_ID, path="ConstraintDetail"),
        update=(
            Call("UpdateConstraint", by=_BY_ID,
                 only=("acceptLanguage", "description", "parameters")),
        ),
        delete=Call("DeleteConstraint", by=_BY_ID),
        observe=_observe_constraint,
        computed={
            "constraintId": "ConstraintDetail.ConstraintId",
            "owner": "ConstraintDetail.Owner",
            "status": "Status",
        },
        parts=("constraintId",),
        replace=("portfolioId", "productId", "type"),
        defaults=_ENGLISH,
        unread=_CALLERS,
    ),
    Row(
        token="aws:servicecatalog/portfolioShare:PortfolioShare",
        service=_SERVICE,
        create=Call(
            "CreatePortfolioShare",
            only=("acceptLanguage", "portfolioId", "sharePrincipals", "shareTagOptions"),
            prepare=_to,
            takes=("type", "principalId"),
        ),
        id="{portfolioId}:{type}:{principalId}",
        find=_find_share,
        update=(
            Call("UpdatePortfolioShare",
                 only=("acceptLanguage", "portfolioId", "sharePrincipals", "shareTagOptions"),
                 prepare=_to),
        ),
        delete=Call("DeletePortfolioShare", by=_SHARED, prepare=_to),
        after=_after_share,
        replace=("portfolioId", "type", "principalId"),
        defaults=_ENGLISH,
        unread=_CALLERS,
        refused={"waitForAcceptance": "nothing waits until a share is accepted, so leave it out"},
    ),
    Row(
        token="aws:servicecatalog/tagOption:TagOption",
        service=_SERVICE,
        create=Call("CreateTagOption", takes=("active",)),
        id="{tagOptionId}",
        read=Call("DescribeTagOption", by=_BY_ID, path="TagOptionDetail"),
        update=(Call("UpdateTagOption", by=_BY_ID),),
        delete=Call("DeleteTagOption", by=_BY_ID),
        after=_after_tag_option,
        computed={"tagOptionId": "TagOptionDetail.Id", "owner": "TagOptionDetail.Owner"},
        parts=("tagOptionId",),
        replace=("key",),
        defaults={"active": True},
    ),
    Row(
        token="aws:servicecatalog/tagOptionResourceAssociation:TagOptionResourceAssociation",
        service=_SERVICE,
        create=Call("AssociateTagOptionWithResource"),
        id="{tagOptionId}:{resourceId}",
        find=_find_tagged,
        delete=Call("DisassociateTagOptionFromResource", by=_TAGGED),
        after=_after_tagged,
        replace=("resourceId", "tagOptionId"),
    ),
]  # fmt: skip
