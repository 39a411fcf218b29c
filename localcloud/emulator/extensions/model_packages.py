"""Emulated SageMaker operations that moto answers wrongly: model package versions and groups.

What is added: a client token gives the version that it made, versions keep members that moto
forgets, and the ETags of the model data that they name, an update of a version or its card changes
only what it names, who made and changed a version is its caller, versions are deleted and their
numbers never used again, a group is made once, and a search for versions finds all of that, in
pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from localcloud.emulator import world
from localcloud.emulator.extension import ApiError, Context, Params, operation

_SERVICE = "sagemaker"
_FORGOTTEN = (
    "ModelCard",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
    "SecurityConfig",
    "SkipModelValidation",
    "SourceUri",
)


def _kept(ctx: Context, kind: str) -> dict[str, Any]:
    return ctx.store(_SERVICE).setdefault(kind, {})


def _group(name_or_arn: str) -> str:
    return name_or_arn.rpartition("/")[2]


def _user(ctx: Context) -> dict[str, Any]:
    """The caller as SageMaker records it."""
    caller = ctx.caller
    if caller.is_service:
        return {}
    identity = {"Arn": caller.arn, "PrincipalId": cast(Any, ctx.host).user_id(caller)}
    if caller.source_identity:
        identity["SourceIdentity"] = caller.source_identity
    if not caller.user_profile:
        return {"IamIdentity": identity}
    domain, name = caller.user_profile.split("/")[-2:]
    return {
        "UserProfileArn": caller.user_profile,
        "UserProfileName": name,
        "DomainId": domain,
        "IamIdentity": identity,
    }


def _etag(uri: str) -> str:
    """The ETag of an object of any account; empty when there is none."""
    name, _, key = uri.removeprefix("s3://").partition("/")
    bucket = world.bucket(name)
    found = bucket.keys.get(key) if bucket else None
    return str(getattr(found, "etag", "")).strip('"')


def _recorded(container: Params) -> Params:
    """A container with the ETags of its model data, unless its maker says others."""
    recorded = dict(container)
    if etag := _etag(container.get("ModelDataUrl") or ""):
        recorded.setdefault("ModelDataETag", etag)
    data: Params = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
    if data.get("S3DataType") == "S3Object" and (etag := _etag(data["S3Uri"])):
        recorded["ModelDataSource"] = {"S3DataSource": {"ETag": etag, **data}}
    return recorded


def _with_etags(specification: Params) -> Params:
    containers = [_recorded(item) for item in specification.get("Containers") or []]
    return {**specification, **({"Containers": containers} if containers else {})}


def _package(ctx: Context, name: str) -> Any:
    backend = ctx.backend(_SERVICE)
    package = backend.model_packages.get(backend.model_package_name_mapping.get(name, name))
    if package is None:
        arn = name if name.startswith("arn:") else ctx.arn(f"model-package/{name}")
        raise ApiError("ValidationException", f"ModelPackage {arn} does not exist.")
    return package


@operation(_SERVICE, "CreateModelPackageGroup")
def create_group(ctx: Context, params: Params) -> Params:
    """moto's, refused when the group exists."""
    name = params["ModelPackageGroupName"]
    if name in ctx.backend(_SERVICE).model_package_groups:
        arn = ctx.arn(f"model-package-group/{name}")
        raise ApiError("ValidationException", f"Model Package Group already exists: {arn}")
    answer = ctx.forward(params)
    tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}
    ctx.store(_SERVICE).setdefault("tags", {})[answer["ModelPackageGroupArn"]] = tags
    return answer


@operation(_SERVICE, "CreateModelPackage")
def create_package(ctx: Context, params: Params) -> Params:
    """moto's; the same client token gives the same version."""
    group = params.get("ModelPackageGroupName")
    if group and params.get("Tags"):
        raise ApiError(
            "ValidationException",
            "Tags are not supported for versioned model packages: tag the group instead.",
        )
    if group and _group(group) not in ctx.backend(_SERVICE).model_package_groups:
        arn = ctx.arn(f"model-package-group/{_group(group)}")
        raise ApiError("ValidationException", f"ModelPackageGroup {arn} does not exist.")
    tokens = _kept(ctx, "package_tokens")
    token = params.get("ClientToken")
    if token in tokens:
        return {"ModelPackageArn": tokens[token]}
    backend = ctx.backend(_SERVICE)
    standing = dict(backend.model_packages)
    made = dict(params)
    if "InferenceSpecification" in params:
        made["InferenceSpecification"] = _with_etags(params["InferenceSpecification"])
    if "AdditionalInferenceSpecifications" in params:
        others = params["AdditionalInferenceSpecifications"]
        made["AdditionalInferenceSpecifications"] = [_with_etags(item) for item in others]
    arn = ctx.forward(made)["ModelPackageArn"]
    if group:
        # moto counts the versions that are left, and would use a deleted one's number again.
        package = backend.model_packages[arn]
        numbers = _kept(ctx, "package_numbers")
        numbers[_group(group)] = number = numbers.get(_group(group), 0) + 1
        arn = re.sub(r"\d+$", str(number), arn)
        package.model_package_version, package.arn = number, arn
        backend.model_packages.clear()
        backend.model_packages.update({**standing, arn: package})
        backend.model_package_name_mapping[arn] = arn
    members = {m: params[m] for m in _FORGOTTEN if m in params}
    _kept(ctx, "package_members")[arn] = {**members, "CreatedBy": _user(ctx)}
    if token:
        tokens[token] = arn
    return {"ModelPackageArn": arn}


@operation(_SERVICE, "DescribeModelPackage")
def describe_package(ctx: Context, params: Params) -> Params:
    """moto's, with the members that it forgets and SageMaker's words for what is missing."""
    package = _package(ctx, params["ModelPackageName"])
    return {**ctx.forward(params), **_kept(ctx, "package_members").get(package.arn, {})}


@operation(_SERVICE, "UpdateModelPackage")
def update_package(ctx: Context, params: Params) -> Params:
    """moto's; what an update does not name stays."""
    package = _package(ctx, params["ModelPackageArn"])
    metadata = dict(package.customer_metadata_properties or {})
    status, said = package.model_approval_status, package.approval_description
    named = ("ModelPackageArn", "ModelApprovalStatus", "AdditionalInferenceSpecificationsToAdd")
    given = {member: params[member] for member in named if member in params}
    if added := given.get("AdditionalInferenceSpecificationsToAdd"):
        given["AdditionalInferenceSpecificationsToAdd"] = [_with_etags(item) for item in added]
    answer = ctx.forward(given)
    metadata.update(params.get("CustomerMetadataProperties") or {})
    for key in params.get("CustomerMetadataPropertiesToRemove") or []:
        metadata.pop(key, None)
    package.customer_metadata_properties = metadata or None
    if "InferenceSpecification" in params:
        package.inference_specification = _with_etags(params["InferenceSpecification"])
    package.model_approval_status = params.get("ModelApprovalStatus", status)
    package.approval_description = params.get("ApprovalDescription", said)
    members = _kept(ctx, "package_members").setdefault(package.arn, {})
    members.update({m: params[m] for m in _FORGOTTEN if m in params})
    members["LastModifiedBy"] = _user(ctx)
    return answer


@operation(_SERVICE, "DeleteModelPackage")
def delete_package(ctx: Context, params: Params) -> Params | None:
    """Removes a version at once."""
    package = _package(ctx, params["ModelPackageName"])
    del ctx.backend(_SERVICE).model_packages[package.arn]
    _kept(ctx, "package_members").pop(package.arn, None)
    return None


_FOUND_AT_ONCE = 10
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda has, wanted: has == wanted,
    "NotEquals": lambda has, wanted: has != wanted,
    "Contains": lambda has, wanted: wanted in (has or ""),
    "Exists": lambda has, _: has is not None,
    "NotExists": lambda has, _: has is None,
}


@operation(_SERVICE, "Search")
def search(ctx: Context, params: Params) -> Params:
    """Versions at once, which AWS finds a while after they change; moto finds other resources."""
    if params["Resource"] != "ModelPackage":
        return ctx.forward()
    expression = params.get("SearchExpression") or {}
    filters: list[Params] = expression.get("Filters") or []
    unknown = {item.get("Operator", "Equals") for item in filters} - set(_COMPARED)
    if set(expression) - {"Filters"} or unknown or params.get("SortBy"):
        raise ApiError(
            "ValidationException",
            "The local cloud searches versions by Filters of "
            f"{', '.join(_COMPARED)}, newest first, and by nothing else.",
        )
    members = _kept(ctx, "package_members")
    found: list[Params] = []
    for package in ctx.backend(_SERVICE).model_packages.values():
        told = {**package.gen_response_object(), **members.get(package.arn, {})}
        if all(
            _COMPARED[item.get("Operator", "Equals")](_text(told, item["Name"]), item.get("Value"))
            for item in filters
        ):
            found.append(told)
    found.sort(key=lambda told: told.get("LastModifiedTime") or told["CreationTime"], reverse=True)
    start, most = int(params.get("NextToken") or 0), params.get("MaxResults", _FOUND_AT_ONCE)
    answer: Params = {"Results": [{"ModelPackage": told} for told in found[start : start + most]]}
    if start + most < len(found):
        answer["NextToken"] = str(start + most)
    return answer


def _text(told: Params, name: str) -> Any:
    """A property by its name in searches: those of customer metadata have two parts."""
    first, _, rest = name.partition(".")
    value = told.get(first)
    return (value or {}).get(rest) if rest else value


@operation(_SERVICE, "UpdateModelCard")
def update_card(ctx: Context, params: Params) -> Params:
    """moto's; what an update does not name stays."""
    versions = ctx.backend(_SERVICE).model_cards.get(params["ModelCardName"])
    if not versions:
        return ctx.forward(params)
    standing = {
        "Content": versions[-1].content,
        "ModelCardStatus": versions[-1].model_card_status,
    }
    return ctx.forward({**standing, **params})
