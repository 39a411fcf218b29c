"""IAM: roles, policies, attachments, the password policy and OIDC providers."""

from __future__ import annotations

import json
from urllib.parse import unquote

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_ROLE = {"RoleName": "{id}"}


def _document(value: object) -> str:
    # IAM answers with parsed documents through boto3, and with URL-encoded text elsewhere.
    return unquote(value) if isinstance(value, str) else json.dumps(value)


def _role(found: Props, answer: Props, scope: Scope) -> None:
    found["assumeRolePolicy"] = _document(answer["Role"]["AssumeRolePolicyDocument"])
    boundary = answer["Role"].get("PermissionsBoundary") or {}
    if boundary.get("PermissionsBoundaryArn"):
        found["permissionsBoundary"] = boundary["PermissionsBoundaryArn"]
    else:
        found.pop("permissionsBoundary", None)


def _boundary(params: Props, inputs: Props, scope: Scope) -> None:
    """Sets the boundary by the call for it; the caller's own call only reads the role."""
    name = {"RoleName": params["RoleName"]}
    if inputs.get("permissionsBoundary"):
        scope.call(
            "iam",
            "PutRolePermissionsBoundary",
            {**name, "PermissionsBoundary": inputs["permissionsBoundary"]},
        )
    else:
        scope.call("iam", "DeleteRolePermissionsBoundary", name)


def _detach(props: Props, scope: Scope) -> None:
    if not props.get("forceDetachPolicies"):
        return
    name = {"RoleName": props["id"]}
    for policy in scope.call("iam", "ListAttachedRolePolicies", name)["AttachedPolicies"]:
        scope.call("iam", "DetachRolePolicy", {**name, "PolicyArn": policy["PolicyArn"]})
    for policy in scope.call("iam", "ListRolePolicies", name)["PolicyNames"]:
        scope.call("iam", "DeleteRolePolicy", {**name, "PolicyName": policy})


def _find_policy(id_: str, props: Props, scope: Scope) -> Props | None:
    policy = scope.call("iam", "GetPolicy", {"PolicyArn": id_})["Policy"]
    version = scope.call(
        "iam",
        "GetPolicyVersion",
        {"PolicyArn": id_, "VersionId": policy["DefaultVersionId"]},
    )["PolicyVersion"]
    return {
        "arn": id_,
        "name": policy["PolicyName"],
        "path": policy["Path"],
        "description": policy.get("Description"),
        "policy": _document(version["Document"]),
        "policyId": policy["PolicyId"],
    }


def _make_room(params: Props, inputs: Props, scope: Scope) -> None:
    """A policy holds five versions: the oldest goes before a sixth comes."""
    listed = scope.call("iam", "ListPolicyVersions", {"PolicyArn": params["PolicyArn"]})
    versions = [v for v in listed["Versions"] if not v["IsDefaultVersion"]]
    if len(versions) >= 4:
        oldest = min(versions, key=lambda version: version["CreateDate"])
        scope.call(
            "iam",
            "DeletePolicyVersion",
            {"PolicyArn": params["PolicyArn"], "VersionId": oldest["VersionId"]},
        )


def _drop_versions(props: Props, scope: Scope) -> None:
    listed = scope.call("iam", "ListPolicyVersions", {"PolicyArn": props["id"]})
    for version in listed["Versions"]:
        if not version["IsDefaultVersion"]:
            scope.call(
                "iam",
                "DeletePolicyVersion",
                {"PolicyArn": props["id"], "VersionId": version["VersionId"]},
            )


def _find_role_policy(id_: str, props: Props, scope: Scope) -> Props | None:
    role, _, name = id_.partition(":")
    answer = scope.call("iam", "GetRolePolicy", {"RoleName": role, "PolicyName": name})
    return {"role": role, "name": name, "policy": _document(answer["PolicyDocument"])}


def _find_attachment(id_: str, props: Props, scope: Scope) -> Props | None:
    role, _, arn = id_.partition("/")
    params: Props = {"RoleName": role}
    attached = scope.call("iam", "ListAttachedRolePolicies", params)["AttachedPolicies"]
    if arn not in [policy["PolicyArn"] for policy in attached]:
        return None
    return {"role": role, "policyArn": arn}


def _unlimited(found: Props, answer: Props, scope: Scope) -> None:
    # No call takes a zero: it tells that there is no such limit.
    for name in ("maxPasswordAge", "passwordReusePrevention"):
        if found.get(name) == 0:
            del found[name]


def _https(found: Props, answer: Props, scope: Scope) -> None:
    address = answer["Url"].removeprefix("https://")
    found["url"] = f"https://{address}"
    found["arn"] = scope.arn("iam", f"oidc-provider/{address}", region="")


_ROLE_POLICY = Call("PutRolePolicy")

ROWS = [
    Row(
        token="aws:iam/role:Role",
        service="iam",
        create=Call("CreateRole"),
        id="{name}",
        read=Call("GetRole", by=_ROLE, path="Role"),
        update=(
            Call(
                "UpdateAssumeRolePolicy",
                by={**_ROLE, "PolicyDocument": "{assumeRolePolicy}"},
                only=(),
                takes=("assumeRolePolicy",),
            ),
            Call("UpdateRole", by=_ROLE, only=("description", "maxSessionDuration")),
            Call(
                "GetRole",
                by=_ROLE,
                only=(),
                prepare=_boundary,
                takes=("permissionsBoundary",),
            ),
        ),
        delete=Call("DeleteRole", by=_ROLE),
        before_delete=_detach,
        observe=_role,
        rename={
            "name": "RoleName",
            "assumeRolePolicy": "AssumeRolePolicyDocument",
        },
        name="name",
        replace=("name", "namePrefix", "path"),
        defaults={"path": "/", "maxSessionDuration": 3600, "forceDetachPolicies": False},
        ignored={"forceDetachPolicies": "decides what a delete detaches first"},
        computed={"arn": "Role.Arn", "uniqueId": "Role.RoleId"},
        tags=Tags(
            put="TagRole",
            remove="UntagRole",
            arn="RoleName",
            target="{id}",
            listing="ListRoleTags",
        ),
        gone=("NoSuchEntity",),
    ),
    Row(
        token="aws:iam/rolePolicy:RolePolicy",
        service="iam",
        create=_ROLE_POLICY,
        id="{role}:{name}",
        find=_find_role_policy,
        update=(_ROLE_POLICY,),
        delete=Call("DeleteRolePolicy", by={"RoleName": "{role}", "PolicyName": "{name}"}),
        rename={"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"},
        name="name",
        replace=("role", "name", "namePrefix"),
        parts=("role", "name"),
        gone=("NoSuchEntity",),
    ),
    Row(
        token="aws:iam/policy:Policy",
        service="iam",
        create=Call("CreatePolicy"),
        id="{arn}",
        find=_find_policy,
        update=(
            Call(
                "CreatePolicyVersion",
                by={"PolicyArn": "{id}"},
                only=("policy",),
                fixed={"SetAsDefault": True},
                prepare=_make_room,
            ),
        ),
        delete=Call("DeletePolicy", by={"PolicyArn": "{id}"}),
        before_delete=_drop_versions,
        rename={"name": "PolicyName", "policy": "PolicyDocument"},
        name="name",
        replace=("name", "namePrefix", "path", "description"),
        defaults={"path": "/"},
        computed={"arn": "Policy.Arn", "policyId": "Policy.PolicyId"},
        tags=Tags(
            put="TagPolicy",
            remove="UntagPolicy",
            arn="PolicyArn",
            target="{id}",
            listing="ListPolicyTags",
        ),
        gone=("NoSuchEntity",),
    ),
    Row(
        token="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        service="iam",
        create=Call("AttachRolePolicy", only=("role", "policyArn")),
        id="{role}/{policyArn}",
        find=_find_attachment,
        delete=Call("DetachRolePolicy", by={"RoleName": "{role}", "PolicyArn": "{policyArn}"}),
        rename={"role": "RoleName"},
        replace=("role", "policyArn"),
        gone=("NoSuchEntity",),
    ),
    Row(
        token="aws:iam/accountPasswordPolicy:AccountPasswordPolicy",
        service="iam",
        create=Call("UpdateAccountPasswordPolicy"),
        id="iam-account-password-policy",
        read=Call("GetAccountPasswordPolicy", path="PasswordPolicy"),
        observe=_unlimited,
        update=(Call("UpdateAccountPasswordPolicy"),),
        delete=Call("DeleteAccountPasswordPolicy"),
        gone=("NoSuchEntity",),
    ),
    Row(
        token="aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        service="iam",
        create=Call("CreateOpenIDConnectProvider"),
        id="{arn}",
        read=Call("GetOpenIDConnectProvider", by={"OpenIDConnectProviderArn": "{id}"}),
        update=(
            Call(
                "UpdateOpenIDConnectProviderThumbprint",
                by={"OpenIDConnectProviderArn": "{id}"},
                only=("thumbprintLists",),
            ),
        ),
        delete=Call("DeleteOpenIDConnectProvider", by={"OpenIDConnectProviderArn": "{id}"}),
        observe=_https,
        rename={"clientIdLists": "ClientIDList", "thumbprintLists": "ThumbprintList"},
        replace=("url", "clientIdLists"),
        computed={"arn": "OpenIDConnectProviderArn"},
        tags=Tags(
            put="TagOpenIDConnectProvider",
            remove="UntagOpenIDConnectProvider",
            arn="OpenIDConnectProviderArn",
            target="{id}",
            listing="ListOpenIDConnectProviderTags",
        ),
        gone=("NoSuchEntity",),
    ),
]
