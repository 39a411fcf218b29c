"""Lake Formation: settings, registered locations and grants."""

from __future__ import annotations

import hashlib
import json

from localcloud.provider import shapes
from localcloud.provider.table import Call, Props, Row, Scope

_DEFAULTS = {
    "createDatabaseDefaultPermissions": "CreateDatabaseDefaultPermissions",
    "createTableDefaultPermissions": "CreateTableDefaultPermissions",
}


def _settings(params: Props, inputs: Props, scope: Scope) -> None:
    admins = inputs.get("admins") or []
    settings: Props = {
        "DataLakeAdmins": [{"DataLakePrincipalIdentifier": arn} for arn in admins],
        **{
            member: [
                {
                    "Principal": {"DataLakePrincipalIdentifier": item["principal"]},
                    "Permissions": item.get("permissions") or [],
                }
                for item in inputs.get(name) or []
            ]
            for name, member in _DEFAULTS.items()
        },
    }
    if inputs.get("parameters"):
        settings["Parameters"] = dict(inputs["parameters"])
    params["DataLakeSettings"] = settings


def _find_settings(id_: str, props: Props, scope: Scope) -> Props | None:
    settings = scope.call("lakeformation", "GetDataLakeSettings", {})["DataLakeSettings"]
    admins = settings.get("DataLakeAdmins") or []
    found: Props = {"admins": [admin["DataLakePrincipalIdentifier"] for admin in admins]}
    for name, member in _DEFAULTS.items():
        # None at all is what stands where nothing is given.
        entries = settings.get(member) or []
        if entries or name in props:
            found[name] = [
                {
                    "principal": entry["Principal"]["DataLakePrincipalIdentifier"],
                    "permissions": entry["Permissions"],
                }
                for entry in entries
            ]
    return found


_SETTINGS = Call(
    "PutDataLakeSettings",
    only=(),
    prepare=_settings,
    takes=(
        "admins", "createDatabaseDefaultPermissions", "createTableDefaultPermissions",
        "parameters",
    ),
)  # fmt: skip

_RESOURCES = {
    "database": ("Database", {"name": "Name"}),
    "table": ("Table", {"databaseName": "DatabaseName", "name": "Name"}),
    "dataLocation": ("DataLocation", {"arn": "ResourceArn"}),
}


def _grant(inputs: Props) -> Props:
    resource: Props = {}
    if inputs.get("catalogResource"):
        resource["Catalog"] = {}
    for name, (member, fields) in _RESOURCES.items():
        given = inputs.get(name)
        if not given:
            continue
        resource[member] = {fields[key]: given[key] for key in fields if given.get(key)}
        if given.get("wildcard"):
            resource[member]["TableWildcard"] = {}
            resource[member].pop("Name", None)
    return {
        "Principal": {"DataLakePrincipalIdentifier": inputs["principal"]},
        "Resource": resource,
    }


def _permissions(params: Props, inputs: Props, scope: Scope) -> None:
    params.update(_grant(inputs))
    params["Permissions"] = list(inputs["permissions"])
    params["PermissionsWithGrantOption"] = list(inputs.get("permissionsWithGrantOptions") or [])


def _find_grant(id_: str, props: Props, scope: Scope) -> Props | None:
    wanted = _grant(props)
    answer = scope.call("lakeformation", "ListPermissions", wanted)
    for entry in answer.get("PrincipalResourcePermissions") or []:
        if entry["Principal"] == wanted["Principal"] and (
            shapes.canonical(_bare(entry["Resource"])) == shapes.canonical(wanted["Resource"])
        ):
            return {"principal": props["principal"], "permissions": entry["Permissions"]}
    return None


def _bare(resource: Props) -> Props:
    return {
        kind: {key: value for key, value in fields.items() if key != "CatalogId"}
        for kind, fields in resource.items()
    }


def grant_id(inputs: Props) -> str:
    """The id of a grant, the same for the same principal and resource."""
    text = json.dumps(_grant(inputs), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _find_resource(id_: str, props: Props, scope: Scope) -> Props | None:
    info = scope.call("lakeformation", "DescribeResource", {"ResourceArn": id_})
    return {"arn": id_, "roleArn": info["ResourceInfo"].get("RoleArn")}


ROWS = [
    Row(
        token="aws:lakeformation/dataLakeSettings:DataLakeSettings",
        service="lakeformation",
        create=_SETTINGS,
        id="{account}",
        importable=False,
        find=_find_settings,
        update=(_SETTINGS,),
        delete=Call("PutDataLakeSettings", fixed={"DataLakeSettings": {}}),
        unread={"parameters": "AWS has parameters of its own beside those that are given"},
    ),
    Row(
        token="aws:lakeformation/resource:Resource",
        service="lakeformation",
        create=Call("RegisterResource"),
        id="{arn}",
        importable=False,
        find=_find_resource,
        delete=Call("DeregisterResource", by={"ResourceArn": "{id}"}),
        rename={"arn": "ResourceArn"},
        replace=("arn", "roleArn", "useServiceLinkedRole", "hybridAccessEnabled"),
        unread={
            "withFederation": "moto keeps the role only",
            "withPrivilegedAccess": "moto keeps the role only",
        },
        gone=("EntityNotFoundException",),
    ),
    Row(
        token="aws:lakeformation/permissions:Permissions",
        service="lakeformation",
        create=Call(
            "GrantPermissions",
            only=(),
            prepare=_permissions,
            takes=(
                "principal", "permissions", "permissionsWithGrantOptions", "catalogResource",
                *_RESOURCES,
            ),
        ),
        id="{grantId}",
        id_of=grant_id,
        importable=False,
        find=_find_grant,
        delete=Call("RevokePermissions", prepare=_permissions),
        replace=(
            "principal", "permissions", "permissionsWithGrantOptions", "catalogResource",
            *_RESOURCES,
        ),
        gone=("EntityNotFoundException", "InvalidInputException"),
    ),
]  # fmt: skip
