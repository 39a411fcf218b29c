"""Emulated SageMaker operations that moto lacks: Studio, tags, group policies.

Domains, user profiles, spaces, apps and lifecycle configurations live here; model package groups
are moto's, with what it does not do added. Nothing is started: an app is
``InService`` at once and costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from localcloud.emulator.extension import (
    ApiError,
    Context,
    Params,
    operation,
    resource_policy,
    resource_tags,
)
from localcloud.emulator.extensions.ram import shared_groups, shared_statements

_SERVICE = "sagemaker"


def _things(ctx: Context, kind: str) -> dict[Any, Params]:
    return ctx.store(_SERVICE).setdefault(kind, {})


def _tags(ctx: Context) -> dict[str, dict[str, str]]:
    return ctx.store(_SERVICE).setdefault("tags", {})


def _remember_tags(ctx: Context, arn: str, params: Params) -> None:
    _tags(ctx)[arn] = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}


def _get(ctx: Context, kind: str, key: Any, what: str) -> Params:
    thing = _things(ctx, kind).get(key)
    if thing is None:
        raise ApiError("ResourceNotFound", f"{what} [{key}] does not exist.")
    return thing


def _new_id(*parts: str) -> str:
    return hashlib.sha256("/".join((*parts, uuid.uuid4().hex)).encode()).hexdigest()[:12]


def _listing(ctx: Context, items: list[Params], member: str, params: Params) -> Params:
    start = int(params.get("NextToken") or 0)
    size = int(params.get("MaxResults") or 10)
    page: Params = {member: items[start : start + size]}
    if start + size < len(items):
        page["NextToken"] = str(start + size)
    return page


def _changed(old: Any, new: Any) -> Any:
    """Settings after an update: given members replace, members not given stay."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _changed(old.get(key), value) for key, value in new.items()}}
    return new


# -- domains -------------------------------------------------------------------------------------


@operation(_SERVICE, "CreateDomain")
def create_domain(ctx: Context, params: Params) -> Params:
    """A domain with its home file system, mount targets and the two security groups of EFS."""
    name = params["DomainName"]
    if any(domain["DomainName"] == name for domain in _things(ctx, "domains").values()):
        raise ApiError("ResourceInUse", f"Domain with name {name} already exists.")
    domain_id = f"d-{_new_id(name)}"
    arn = ctx.arn(f"domain/{domain_id}")
    settings = {k: v for k, v in params.items() if k != "Tags"}
    _things(ctx, "domains")[domain_id] = {
        **settings,
        "AppNetworkAccessType": params.get("AppNetworkAccessType", "PublicInternetOnly"),
        "DomainArn": arn,
        "DomainId": domain_id,
        "Status": "InService",
        "CreationTime": ctx.now(),
        "LastModifiedTime": ctx.now(),
        "Url": f"https://{domain_id}.studio.{ctx.region}.sagemaker.aws",
        "HomeEfsFileSystemId": _home(ctx, domain_id, params),
    }
    _remember_tags(ctx, arn, params)
    return {
        "DomainArn": arn,
        "DomainId": domain_id,
        "Url": _things(ctx, "domains")[domain_id]["Url"],
    }


def _home(ctx: Context, domain_id: str, params: Params) -> str:
    mark = {"Key": "ManagedByAmazonSageMakerResource", "Value": ctx.arn(f"domain/{domain_id}")}
    efs, ec2 = ctx.client("efs"), ctx.client("ec2")
    key = {"KmsKeyId": params["KmsKeyId"]} if params.get("KmsKeyId") else {}
    made = efs.create_file_system(CreationToken=domain_id, Encrypted=True, Tags=[mark], **key)
    file_system = made["FileSystemId"]
    groups = {
        side: ec2.create_security_group(
            GroupName=f"security-group-for-{side}-nfs-{domain_id}",
            Description=f"[DO NOT DELETE] Security group for {side} NFS of {domain_id}",
            VpcId=params["VpcId"],
            TagSpecifications=[{"ResourceType": "security-group", "Tags": [mark]}],
        )["GroupId"]
        for side in ("inbound", "outbound")
    }
    rule = {"IpProtocol": "tcp", "FromPort": 988, "ToPort": 1023}
    ec2.authorize_security_group_ingress(
        GroupId=groups["inbound"],
        IpPermissions=[{**rule, "UserIdGroupPairs": [{"GroupId": groups["outbound"]}]}],
    )
    ec2.authorize_security_group_egress(
        GroupId=groups["outbound"],
        IpPermissions=[{**rule, "UserIdGroupPairs": [{"GroupId": groups["inbound"]}]}],
    )
    zones: set[str] = set()
    for subnet in ec2.describe_subnets(SubnetIds=params["SubnetIds"])["Subnets"]:
        # EFS takes one mount target a zone.
        if subnet["AvailabilityZone"] not in zones:
            zones.add(subnet["AvailabilityZone"])
            efs.create_mount_target(
                FileSystemId=file_system,
                SubnetId=subnet["SubnetId"],
                SecurityGroups=[groups["inbound"]],
            )
    return str(file_system)


@operation(_SERVICE, "DescribeDomain")
def describe_domain(ctx: Context, params: Params) -> Params:
    """A domain."""
    return _get(ctx, "domains", params["DomainId"], "Domain")


@operation(_SERVICE, "ListDomains")
def list_domains(ctx: Context, params: Params) -> Params:
    """All domains of the account and region."""
    members = ("DomainArn", "DomainId", "DomainName", "Status", "CreationTime",
               "LastModifiedTime", "Url")  # fmt: skip
    items = [{m: domain[m] for m in members} for domain in _things(ctx, "domains").values()]
    return _listing(ctx, items, "Domains", params)


@operation(_SERVICE, "UpdateDomain")
def update_domain(ctx: Context, params: Params) -> Params:
    """Settings of a domain; those not given stay."""
    domain = _get(ctx, "domains", params["DomainId"], "Domain")
    for member, value in params.items():
        if member == "DomainSettingsForUpdate":
            domain["DomainSettings"] = _changed(domain.get("DomainSettings", {}), value)
        elif member != "DomainId":
            domain[member] = _changed(domain.get(member), value)
    domain["LastModifiedTime"] = ctx.now()
    return {"DomainArn": domain["DomainArn"]}


@operation(_SERVICE, "DeleteDomain")
def delete_domain(ctx: Context, params: Params) -> Params | None:
    """Refused while profiles or spaces stand; the home file system stays unless told otherwise."""
    domain_id = params["DomainId"]
    domain = _get(ctx, "domains", domain_id, "Domain")
    for kind, what in (("profiles", "user profiles"), ("spaces", "spaces"), ("apps", "apps")):
        if any(key[0] == domain_id for key in _things(ctx, kind)):
            raise ApiError(
                "ResourceInUse", f"Unable to delete Domain {domain_id} because it has {what}."
            )
    if (params.get("RetentionPolicy") or {}).get("HomeEfsFileSystem", "Retain") == "Delete":
        efs, file_system = ctx.client("efs"), domain["HomeEfsFileSystemId"]
        for target in efs.describe_mount_targets(FileSystemId=file_system)["MountTargets"]:
            efs.delete_mount_target(MountTargetId=target["MountTargetId"])
        efs.delete_file_system(FileSystemId=file_system)
    del _things(ctx, "domains")[domain_id]
    _tags(ctx).pop(domain["DomainArn"], None)
    return None


@operation(_SERVICE, "CreatePresignedDomainUrl")
def create_presigned_domain_url(ctx: Context, params: Params) -> Params:
    """A link of the real form; nothing answers there."""
    domain = _get(ctx, "domains", params["DomainId"], "Domain")
    _get(ctx, "profiles", (params["DomainId"], params["UserProfileName"]), "UserProfile")
    return {"AuthorizedUrl": f"{domain['Url']}/auth?token={uuid.uuid4().hex}"}


# -- user profiles, spaces and apps --------------------------------------------------------------

_KINDS: dict[str, dict[str, str]] = {
    "UserProfile": {"kind": "profiles", "name": "UserProfileName", "path": "user-profile"},
    "Space": {"kind": "spaces", "name": "SpaceName", "path": "space"},
}
"""The two kinds of things in a domain that are known by a name."""


def _kind(ctx: Context) -> tuple[str, dict[str, str]]:
    return next((name, kind) for name, kind in _KINDS.items() if name in ctx.operation)


@operation(_SERVICE, "CreateUserProfile", "CreateSpace")
def create_in_domain(ctx: Context, params: Params) -> Params:
    """A user profile or a space."""
    name, kind = _kind(ctx)
    domain = _get(ctx, "domains", params["DomainId"], "Domain")
    key = (params["DomainId"], params[kind["name"]])
    if key in _things(ctx, kind["kind"]):
        raise ApiError("ResourceInUse", f"{name} {key[1]} already exists in {key[0]}.")
    if name == "UserProfile" and (domain["AuthMode"] == "SSO") != (
        "SingleSignOnUserValue" in params
    ):
        raise ApiError(
            "ValidationException", "SingleSignOnUserValue must be given exactly in an SSO domain."
        )
    arn = ctx.arn(f"{kind['path']}/{key[0]}/{key[1]}")
    _things(ctx, kind["kind"])[key] = {
        **{k: v for k, v in params.items() if k != "Tags"},
        f"{name}Arn": arn,
        "Status": "InService",
        "CreationTime": ctx.now(),
        "LastModifiedTime": ctx.now(),
        "HomeEfsFileSystemUid": str(200_000 + len(_things(ctx, kind["kind"]))),
    }
    _remember_tags(ctx, arn, params)
    return {f"{name}Arn": arn}


@operation(_SERVICE, "DescribeUserProfile", "DescribeSpace")
def describe_in_domain(ctx: Context, params: Params) -> Params:
    """A user profile or a space."""
    name, kind = _kind(ctx)
    return _get(ctx, kind["kind"], (params["DomainId"], params[kind["name"]]), name)


@operation(_SERVICE, "UpdateUserProfile", "UpdateSpace")
def update_in_domain(ctx: Context, params: Params) -> Params:
    """Settings of a user profile or a space; those not given stay."""
    name, kind = _kind(ctx)
    thing = _get(ctx, kind["kind"], (params["DomainId"], params[kind["name"]]), name)
    for member, value in params.items():
        if member not in ("DomainId", kind["name"]):
            thing[member] = _changed(thing.get(member), value)
    thing["LastModifiedTime"] = ctx.now()
    return {f"{name}Arn": thing[f"{name}Arn"]}


@operation(_SERVICE, "DeleteUserProfile", "DeleteSpace")
def delete_in_domain(ctx: Context, params: Params) -> Params | None:
    """Refused while the profile or space has apps."""
    name, kind = _kind(ctx)
    key = (params["DomainId"], params[kind["name"]])
    thing = _get(ctx, kind["kind"], key, name)
    if any(app["DomainId"] == key[0] and app.get(kind["name"]) == key[1]
           for app in _things(ctx, "apps").values()):  # fmt: skip
        raise ApiError("ResourceInUse", f"Unable to delete {name} {key[1]} because it has apps.")
    del _things(ctx, kind["kind"])[key]
    _tags(ctx).pop(thing[f"{name}Arn"], None)
    return None


@operation(_SERVICE, "ListUserProfiles", "ListSpaces")
def list_in_domain(ctx: Context, params: Params) -> Params:
    """User profiles or spaces, of one domain or of all."""
    name, kind = _kind(ctx)
    members = ("DomainId", kind["name"], "Status", "CreationTime", "LastModifiedTime")
    summaries = ("OwnershipSettings", "SpaceSharingSettings")
    items = [
        {member: thing[member] for member in members}
        | {f"{member}Summary": thing[member] for member in summaries if member in thing}
        for (domain_id, own), thing in sorted(_things(ctx, kind["kind"]).items())
        if params.get("DomainIdEquals") in (None, domain_id)
        and params.get(f"{name}NameContains", "") in own
    ]
    return _listing(ctx, items, f"{name}s", params)


def _app_key(params: Params) -> tuple[str, ...]:
    owner = params.get("UserProfileName") or params.get("SpaceName") or ""
    return (params["DomainId"], owner, params["AppType"], params["AppName"])


@operation(_SERVICE, "CreateApp")
def create_app(ctx: Context, params: Params) -> Params:
    """An app of a profile or a space, in service at once."""
    _get(ctx, "domains", params["DomainId"], "Domain")
    for name, kind in _KINDS.items():
        if params.get(kind["name"]):
            _get(ctx, kind["kind"], (params["DomainId"], params[kind["name"]]), name)
    key = _app_key(params)
    if key in _things(ctx, "apps"):
        raise ApiError("ResourceInUse", f"App {params['AppName']} already exists.")
    arn = ctx.arn("app/" + "/".join(part.lower() for part in key))
    _things(ctx, "apps")[key] = {
        **{k: v for k, v in params.items() if k != "Tags"},
        "AppArn": arn,
        "Status": "InService",
        "CreationTime": ctx.now(),
    }
    _remember_tags(ctx, arn, params)
    return {"AppArn": arn}


@operation(_SERVICE, "DescribeApp")
def describe_app(ctx: Context, params: Params) -> Params:
    """An app."""
    return _get(ctx, "apps", _app_key(params), "App")


@operation(_SERVICE, "DeleteApp")
def delete_app(ctx: Context, params: Params) -> Params | None:
    """Removes an app at once."""
    app = _get(ctx, "apps", _app_key(params), "App")
    del _things(ctx, "apps")[_app_key(params)]
    _tags(ctx).pop(app["AppArn"], None)
    return None


@operation(_SERVICE, "ListApps")
def list_apps(ctx: Context, params: Params) -> Params:
    """Apps, of one domain or of all."""
    members = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName", "Status",
               "CreationTime")  # fmt: skip
    items = [
        {member: app[member] for member in members if member in app}
        for key, app in sorted(_things(ctx, "apps").items())
        if params.get("DomainIdEquals") in (None, key[0])
        and params.get("UserProfileNameEquals") in (None, app.get("UserProfileName"))
        and params.get("SpaceNameEquals") in (None, app.get("SpaceName"))
    ]
    return _listing(ctx, items, "Apps", params)


# -- lifecycle configurations --------------------------------------------------------------------


@operation(_SERVICE, "CreateStudioLifecycleConfig")
def create_lifecycle_config(ctx: Context, params: Params) -> Params:
    """A lifecycle configuration."""
    name = params["StudioLifecycleConfigName"]
    if name in _things(ctx, "lifecycle"):
        raise ApiError("ResourceInUse", f"StudioLifecycleConfig {name} already exists.")
    arn = ctx.arn(f"studio-lifecycle-config/{name.lower()}")
    _things(ctx, "lifecycle")[name] = {
        **{k: v for k, v in params.items() if k != "Tags"},
        "StudioLifecycleConfigArn": arn,
        "CreationTime": ctx.now(),
        "LastModifiedTime": ctx.now(),
    }
    _remember_tags(ctx, arn, params)
    return {"StudioLifecycleConfigArn": arn}


@operation(_SERVICE, "DescribeStudioLifecycleConfig")
def describe_lifecycle_config(ctx: Context, params: Params) -> Params:
    """A lifecycle configuration."""
    name = params["StudioLifecycleConfigName"]
    return _get(ctx, "lifecycle", name, "StudioLifecycleConfig")


@operation(_SERVICE, "DeleteStudioLifecycleConfig")
def delete_lifecycle_config(ctx: Context, params: Params) -> Params | None:
    """Refused while a domain or a profile uses it."""
    name = params["StudioLifecycleConfigName"]
    thing = _get(ctx, "lifecycle", name, "StudioLifecycleConfig")
    users = [*_things(ctx, "domains").values(), *_things(ctx, "profiles").values()]
    if any(thing["StudioLifecycleConfigArn"] in str(user) for user in users):
        raise ApiError("ResourceInUse", f"StudioLifecycleConfig {name} is in use.")
    del _things(ctx, "lifecycle")[name]
    _tags(ctx).pop(thing["StudioLifecycleConfigArn"], None)
    return None


# -- projects in Studio --------------------------------------------------------------------------


@operation(
    _SERVICE, "EnableSagemakerServicecatalogPortfolio", "DisableSagemakerServicecatalogPortfolio"
)
def switch_portfolio(ctx: Context, params: Params) -> Params:
    """Whether project templates are shown in Studio."""
    enabled = ctx.operation.startswith("Enable")
    ctx.store(_SERVICE)["portfolio"] = "Enabled" if enabled else "Disabled"
    return {}


@operation(_SERVICE, "GetSagemakerServicecatalogPortfolioStatus")
def portfolio_status(ctx: Context, params: Params) -> Params:
    """Whether project templates are shown in Studio."""
    return {"Status": ctx.store(_SERVICE).get("portfolio", "Disabled")}


# -- model package groups ------------------------------------------------------------------------


def _group_name(name_or_arn: str) -> str:
    return name_or_arn.rpartition("/")[2]


def _require_group(ctx: Context, name: str) -> None:
    if name not in ctx.backend(_SERVICE).model_package_groups:
        raise ApiError("ValidationException", f"Cannot find Model Package Group: {name}")


@operation(_SERVICE, "PutModelPackageGroupPolicy")
def put_group_policy(ctx: Context, params: Params) -> Params:
    """The resource policy of a group and its versions."""
    name = _group_name(params["ModelPackageGroupName"])
    _require_group(ctx, name)
    _things(ctx, "group_policies")[name] = {"ResourcePolicy": params["ResourcePolicy"]}
    return {"ModelPackageGroupArn": ctx.arn(f"model-package-group/{name}")}


@operation(_SERVICE, "GetModelPackageGroupPolicy")
def get_group_policy(ctx: Context, params: Params) -> Params:
    """The resource policy of a group."""
    name = _group_name(params["ModelPackageGroupName"])
    _require_group(ctx, name)
    policy = _things(ctx, "group_policies").get(name)
    if policy is None:
        raise ApiError(
            "ValidationException", f"Cannot find resource policy for Model Package Group: {name}"
        )
    return policy


@operation(_SERVICE, "DeleteModelPackageGroupPolicy")
def delete_group_policy(ctx: Context, params: Params) -> Params | None:
    """Removes the resource policy of a group."""
    _things(ctx, "group_policies").pop(_group_name(params["ModelPackageGroupName"]), None)
    return None


@operation(_SERVICE, "DeleteModelPackageGroup")
def delete_group(ctx: Context, params: Params) -> Params | None:
    """Refused while the group has versions."""
    name = _group_name(params["ModelPackageGroupName"])
    _require_group(ctx, name)
    backend = ctx.backend(_SERVICE)
    packages = getattr(backend, "model_packages", {})
    if any(package.model_package_group_name == name for package in packages.values()):
        raise ApiError("ConflictException", f"Model Package Group {name} has model packages.")
    del backend.model_package_groups[name]
    _things(ctx, "group_policies").pop(name, None)
    return None


@resource_policy(_SERVICE)
def group_policy(ctx: Context, arn: str) -> str | None:
    """A group's policy guards the group and its versions, with what RAM shares of it."""
    kind, _, rest = arn.partition(f":{ctx.account}:")[2].partition("/")
    if kind not in ("model-package-group", "model-package"):
        return None
    name = rest.partition("/")[0]
    policy = _things(ctx, "group_policies").get(name)
    shared = shared_statements(ctx, name)
    if not shared:
        return policy["ResourcePolicy"] if policy else None
    own: Params = json.loads(policy["ResourcePolicy"]) if policy else {}
    statements = own.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    return json.dumps({"Version": "2012-10-17", **own, "Statement": [*statements, *shared]})


_PAGE = 100


@operation(_SERVICE, "ListModelPackageGroups")
def list_groups(ctx: Context, params: Params) -> Params:
    """The account's own groups, or those that other accounts share with it."""
    given = dict(params)
    if given.pop("CrossAccountFilterOption", "SameAccount") == "SameAccount":
        return ctx.forward(given)
    start, size = int(given.pop("NextToken", 0)), given.pop("MaxResults", _PAGE)
    found: list[Params] = []
    for owner, names in shared_groups(ctx).items():
        pages = ctx.client(_SERVICE, account=owner).get_paginator("list_model_package_groups")
        found += [
            item
            for page in pages.paginate(**given)
            for item in page["ModelPackageGroupSummaryList"]
            if item["ModelPackageGroupName"] in names
        ]
    by = "ModelPackageGroupName" if given.get("SortBy") == "Name" else "CreationTime"
    found.sort(key=lambda item: item[by], reverse=given.get("SortOrder") == "Descending")
    answer: Params = {"ModelPackageGroupSummaryList": found[start : start + size]}
    if start + size < len(found):
        answer["NextToken"] = str(start + size)
    return answer


# -- tags ----------------------------------------------------------------------------------------


@operation(_SERVICE, "ListTags")
def list_tags(ctx: Context, params: Params) -> Params:
    """Tags of any SageMaker resource."""
    own = _tags(ctx).get(params["ResourceArn"])
    if own is None:
        return ctx.forward()
    return {"Tags": [{"Key": key, "Value": value} for key, value in own.items()]}


@operation(_SERVICE, "AddTags")
def add_tags(ctx: Context, params: Params) -> Params:
    """Adds or replaces tags of any SageMaker resource."""
    arn = params["ResourceArn"]
    own = _tags(ctx).get(arn)
    if own is None:
        # moto would add a second tag of the same key.
        forwarded = ctx.client(_SERVICE).list_tags(ResourceArn=arn)["Tags"]
        own = _tags(ctx)[arn] = {tag["Key"]: tag["Value"] for tag in forwarded}
    own.update({tag["Key"]: tag["Value"] for tag in params["Tags"]})
    return {"Tags": params["Tags"]}


@operation(_SERVICE, "DeleteTags")
def delete_tags(ctx: Context, params: Params) -> Params:
    """Removes tags of any SageMaker resource."""
    arn = params["ResourceArn"]
    if arn not in _tags(ctx):
        add_tags(ctx, {"ResourceArn": arn, "Tags": []})
    for key in params["TagKeys"]:
        _tags(ctx)[arn].pop(key, None)
    return {}


@resource_tags(_SERVICE)
def tags_of(ctx: Context, arn: str) -> dict[str, str] | None:
    """Tags for ``aws:ResourceTag/…`` conditions."""
    return _tags(ctx).get(arn)
