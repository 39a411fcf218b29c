"""Accounts of an organisation."""

from __future__ import annotations

from localcloud.provider.crud import ResourceError
from localcloud.provider.table import Call, Props, Row, Scope, Tags

_SERVICE = "organizations"


def _parent(account: str, scope: Scope) -> str:
    (parent,) = scope.call(_SERVICE, "ListParents", {"ChildId": account})["Parents"]
    return str(parent["Id"])


def _settled(answer: Props, scope: Scope) -> Props:
    """What was made, of a request that the local cloud settles at once."""
    asked = {"CreateAccountRequestId": answer["CreateAccountStatus"]["Id"]}
    found = scope.call(_SERVICE, "DescribeCreateAccountStatus", asked)
    status = found["CreateAccountStatus"]
    if status["State"] != "SUCCEEDED":
        reason = status.get("FailureReason", status["State"])
        raise ResourceError(f"the account {status['AccountName']} was not made: {reason}")
    made = {"AccountId": status["AccountId"]}
    return scope.call(_SERVICE, "DescribeAccount", made)


def _move(params: Props, inputs: Props, scope: Scope) -> None:
    params["SourceParentId"] = _parent(params["AccountId"], scope)
    params["DestinationParentId"] = inputs["parentId"]


def _into_unit(inputs: Props, outputs: Props, scope: Scope) -> None:
    params = {"AccountId": outputs["accountId"]}
    if inputs.get("parentId"):
        _move(params, inputs, scope)
        if params["SourceParentId"] != inputs["parentId"]:
            scope.call(_SERVICE, "MoveAccount", params)


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    found["parentId"] = _parent(answer["Account"]["Id"], scope)


ROWS = [
    Row(
        token="aws:organizations/account:Account",
        service=_SERVICE,
        create=Call(
            "CreateAccount",
            only=("email", "roleName", "iamUserAccessToBilling"),
            by={"AccountName": "{name}"},
            takes=("parentId",),
        ),
        settled=_settled,
        id="{accountId}",
        read=Call("DescribeAccount", by={"AccountId": "{id}"}, path="Account"),
        update=(
            Call(
                "MoveAccount",
                by={"AccountId": "{id}"},
                only=(),
                prepare=_move,
                takes=("parentId",),
                when=("parentId",),
            ),
        ),
        delete=Call("RemoveAccountFromOrganization", by={"AccountId": "{id}"}),
        computed={
            "accountId": "Account.Id",
            "arn": "Account.Arn",
            "joinedMethod": "Account.JoinedMethod",
            "status": "Account.Status",
        },
        replace=("email", "name", "roleName", "iamUserAccessToBilling"),
        name="name",
        prefix="",
        defaults={"closeOnDeletion": False},
        # Without one it stays in the root.
        filled={"parentId": None},
        observe=_observe,
        after=_into_unit,
        tags=Tags(arn="ResourceId", target="{id}"),
        refused={
            "closeOnDeletion": "close the account by hand",
            "createGovcloud": "there is no GovCloud in the local cloud",
        },
        gone=("AccountNotFoundException", "TargetNotFoundException"),
    ),
]
