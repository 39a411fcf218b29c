"""Emulated AWS RAM: shares of model package groups with accounts of the organisation.

Sharing within the organisation is on, as after ``aws ram enable-sharing-with-aws-organization``, so
nobody is asked to accept. What is shared can be used from the other accounts as the share's
permission says, where the callers' own policies say so too, and is discoverable there. moto's RAM,
which this replaces, neither knows model package groups nor grants anything.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any, cast

from localcloud.emulator.extension import (
    ApiError,
    Context,
    Params,
    condition_keys,
    operation,
    resource_tags,
)

_SERVICE = "ram"

_GROUP = re.compile(r"arn:aws:sagemaker:[\w-]+:(\d{12}):model-package-group/([\w-]+)")
_RESOURCE_TYPE = "sagemaker:ModelPackageGroup"
_PERMISSION = "arn:aws:ram::aws:permission/"

PERMISSIONS: dict[str, tuple[str, ...]] = {
    f"{_PERMISSION}AWSRAMPermissionSageMakerModelPackageGroupAllowDeploy": (
        "sagemaker:CreateModel",
        "sagemaker:DescribeModelPackage",
        "sagemaker:DescribeModelPackageGroup",
        "sagemaker:ListModelPackages",
    )
}
"""AWS's managed permission -> what it lets the other accounts do: what the SageMaker developer
guide, "Deploy a Model Version from a Different Account", says that deploying needs."""


def _shares(ctx: Context, account: str | None = None) -> dict[str, Params]:
    return ctx.store(_SERVICE, account=account).setdefault("shares", {})


def _share(ctx: Context, arn: str) -> Params:
    found = _shares(ctx).get(arn)
    if found is None:
        raise ApiError("UnknownResourceException", f"ResourceShare {arn} could not be found.")
    return found


def _shown(share: Params) -> Params:
    return {name: value for name, value in share.items() if not name.startswith("_")}


def _accounts(ctx: Context) -> frozenset[str]:
    return cast("frozenset[str]", cast(Any, ctx.host).accounts)


def _check_resource(ctx: Context, arn: str) -> None:
    found = _GROUP.fullmatch(arn)
    if found is None:
        raise ApiError(
            "MalformedArnException", f"The local cloud shares model package groups only, not {arn}."
        )
    groups = ctx.backend("sagemaker").model_package_groups
    if found[1] != ctx.account or found[2] not in groups:
        raise ApiError("UnknownResourceException", f"Resource {arn} could not be found.")


def _check_principal(ctx: Context, principal: str) -> None:
    if not re.fullmatch(r"\d{12}", principal):
        raise ApiError(
            "InvalidParameterException",
            f"The local cloud shares with accounts, by their ids, not with {principal}.",
        )
    if principal not in _accounts(ctx):
        raise ApiError(
            "OperationNotPermittedException",
            f"{principal} is no account of the organisation; the local cloud invites nobody else.",
        )


def _permissions(arns: list[str]) -> list[str]:
    unknown = sorted(set(arns) - set(PERMISSIONS))
    if unknown or not arns:
        raise ApiError(
            "UnknownResourceException",
            f"permissionArns must name permissions that the local cloud knows "
            f"({', '.join(PERMISSIONS)}), not {', '.join(unknown) or 'none'}.",
        )
    return arns


@operation(_SERVICE, "CreateResourceShare")
def create_share(ctx: Context, params: Params) -> Params:
    """A share; two may have one name, as in AWS."""
    now = ctx.now()
    share: Params = {
        "resourceShareArn": ctx.arn(f"resource-share/{uuid.uuid4()}"),
        "name": params["name"],
        "owningAccountId": ctx.account,
        "allowExternalPrincipals": params.get("allowExternalPrincipals", True),
        "status": "ACTIVE",
        "creationTime": now,
        "lastUpdatedTime": now,
        "featureSet": "STANDARD",
        "tags": list(params.get("tags") or []),
        "_permissions": _permissions(params.get("permissionArns") or []),
        # Kind of association -> what is associated -> since when.
        "_held": {"RESOURCE": {}, "PRINCIPAL": {}},
    }
    _associate(ctx, share, params)
    _shares(ctx)[share["resourceShareArn"]] = share
    return {"resourceShare": _shown(share)}


@operation(_SERVICE, "GetResourceShares")
def get_shares(ctx: Context, params: Params) -> Params:
    """Own shares, or those of other accounts with this one, in one page."""
    if params["resourceOwner"] == "SELF":
        found = list(_shares(ctx).values())
    else:
        found = list(_reaching(ctx))
    wanted = params.get("resourceShareArns")
    if wanted and params["resourceOwner"] == "SELF":
        for arn in wanted:
            _share(ctx, arn)
    return {
        "resourceShares": [
            _shown(share)
            for share in found
            if (not wanted or share["resourceShareArn"] in wanted)
            and params.get("name") in (None, share["name"])
            and params.get("resourceShareStatus") in (None, share["status"])
        ]
    }


@operation(_SERVICE, "UpdateResourceShare")
def update_share(ctx: Context, params: Params) -> Params:
    """Another name, or whether accounts outside the organisation may be named."""
    share = _share(ctx, params["resourceShareArn"])
    for name in ("name", "allowExternalPrincipals"):
        if name in params:
            share[name] = params[name]
    share["lastUpdatedTime"] = ctx.now()
    return {"resourceShare": _shown(share)}


@operation(_SERVICE, "DeleteResourceShare")
def delete_share(ctx: Context, params: Params) -> Params:
    """Ends a share at once; AWS still lists it for a while, as deleted."""
    _share(ctx, params["resourceShareArn"])
    del _shares(ctx)[params["resourceShareArn"]]
    return {"returnValue": True}


def _associate(ctx: Context, share: Params, params: Params) -> list[Params]:
    given = [("RESOURCE", arn) for arn in params.get("resourceArns") or []]
    given += [("PRINCIPAL", principal) for principal in params.get("principals") or []]
    for kind, entity in given:
        (_check_resource if kind == "RESOURCE" else _check_principal)(ctx, entity)
    for kind, entity in given:
        share["_held"][kind].setdefault(entity, ctx.now())
    return [_association(share, kind, entity, "ASSOCIATED") for kind, entity in given]


def _association(share: Params, kind: str, entity: str, status: str) -> Params:
    since = share["_held"][kind].get(entity, share["lastUpdatedTime"])
    return {
        "resourceShareArn": share["resourceShareArn"],
        "resourceShareName": share["name"],
        "associatedEntity": entity,
        "associationType": kind,
        "status": status,
        "creationTime": since,
        "lastUpdatedTime": since,
        "external": False,
    }


@operation(_SERVICE, "AssociateResourceShare")
def associate(ctx: Context, params: Params) -> Params:
    """Adds groups or accounts to a share."""
    share = _share(ctx, params["resourceShareArn"])
    return {"resourceShareAssociations": _associate(ctx, share, params)}


@operation(_SERVICE, "DisassociateResourceShare")
def disassociate(ctx: Context, params: Params) -> Params:
    """Takes groups or accounts from a share; from then on nothing reaches them by it."""
    share = _share(ctx, params["resourceShareArn"])
    given = [("RESOURCE", arn) for arn in params.get("resourceArns") or []]
    given += [("PRINCIPAL", principal) for principal in params.get("principals") or []]
    for kind, entity in given:
        if entity not in share["_held"][kind]:
            raise ApiError(
                "UnknownResourceException", f"{entity} is not associated with {share['name']}."
            )
    answer = [_association(share, kind, entity, "DISASSOCIATED") for kind, entity in given]
    for kind, entity in given:
        del share["_held"][kind][entity]
    return {"resourceShareAssociations": answer}


@operation(_SERVICE, "GetResourceShareAssociations")
def associations(ctx: Context, params: Params) -> Params:
    """What the account's own shares hold, or with whom they are, in one page."""
    kind = params["associationType"]
    other = "principal" if kind == "RESOURCE" else "resourceArn"
    if params.get(other):
        raise ApiError("InvalidParameterException", f"{other} does not go with {kind}.")
    wanted = params.get("resourceArn") or params.get("principal")
    return {
        "resourceShareAssociations": [
            _association(share, kind, entity, "ASSOCIATED")
            for arn, share in _shares(ctx).items()
            if not params.get("resourceShareArns") or arn in params["resourceShareArns"]
            for entity in share["_held"].get(kind, {})
            if wanted in (None, entity)
        ]
    }


def _described(arn: str) -> Params:
    return {
        "arn": arn,
        "version": "1",
        "defaultVersion": True,
        "name": arn.removeprefix(_PERMISSION),
        "resourceType": _RESOURCE_TYPE,
        "status": "ATTACHABLE",
        "permissionType": "AWS_MANAGED",
        "featureSet": "STANDARD",
    }


@operation(_SERVICE, "ListResourceSharePermissions")
def permissions(ctx: Context, params: Params) -> Params:
    """The permissions of a share."""
    held = _share(ctx, params["resourceShareArn"])["_permissions"]
    return {"permissions": [_described(arn) for arn in held]}


@operation(_SERVICE, "TagResource", "UntagResource")
def tag(ctx: Context, params: Params) -> Params:
    """Tags of a share."""
    share = _share(ctx, params.get("resourceShareArn") or params.get("resourceArn") or "")
    tags = {item["key"]: item["value"] for item in share["tags"]}
    if ctx.operation == "TagResource":
        tags |= {item["key"]: item["value"] for item in params["tags"]}
    else:
        tags = {key: value for key, value in tags.items() if key not in params["tagKeys"]}
    share["tags"] = [{"key": key, "value": value} for key, value in tags.items()]
    return {}


@resource_tags(_SERVICE)
def tags_of(ctx: Context, arn: str) -> dict[str, str] | None:
    """Tags for ``aws:ResourceTag/…`` conditions."""
    share = _shares(ctx).get(arn)
    return {item["key"]: item["value"] for item in share["tags"]} if share else None


@condition_keys(_SERVICE)
def sharing_keys(ctx: Context, params: Params) -> dict[str, str]:
    """Of a share: its name, what is added, and whether it may leave the organisation."""
    found: dict[str, str] = {}
    if params.get("resourceArns"):
        found["ram:RequestedResourceType"] = _RESOURCE_TYPE
    asked = params.get("allowExternalPrincipals", ctx.operation == "CreateResourceShare" or None)
    if asked is not None:
        found["ram:RequestedAllowsExternalPrincipals"] = str(asked).lower()
    share = _shares(ctx).get(str(params.get("resourceShareArn")))
    if share:
        found["ram:AllowsExternalPrincipals"] = str(share["allowExternalPrincipals"]).lower()
        found["ram:ResourceShareName"] = share["name"]
    return found


def _reaching(ctx: Context) -> Iterator[Params]:
    """The shares of other accounts with this one."""
    for owner in sorted(_accounts(ctx) - {ctx.account}):
        for share in _shares(ctx, owner).values():
            if ctx.account in share["_held"]["PRINCIPAL"]:
                yield share


def shared_groups(ctx: Context) -> dict[str, set[str]]:
    """Account -> its model package groups that are shared with this account."""
    found: dict[str, set[str]] = {}
    for share in _reaching(ctx):
        for arn in share["_held"]["RESOURCE"]:
            found.setdefault(share["owningAccountId"], set()).add(arn.rpartition("/")[2])
    return found


def shared_statements(ctx: Context, group: str) -> list[Params]:
    """What the account's own shares say of one of its groups, as statements of a policy."""
    arn = ctx.arn(f"model-package-group/{group}", service="sagemaker")
    return [
        {
            "Effect": "Allow",
            "Principal": {
                "AWS": [f"arn:aws:iam::{account}:root" for account in share["_held"]["PRINCIPAL"]]
            },
            "Action": sorted(
                {name for held in share["_permissions"] for name in PERMISSIONS[held]}
            ),
            "Resource": [arn, arn.replace(":model-package-group/", ":model-package/") + "/*"],
        }
        for share in _shares(ctx).values()
        if arn in share["_held"]["RESOURCE"] and share["_held"]["PRINCIPAL"]
    ]
