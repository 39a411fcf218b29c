"""AWS RAM: shares, what is in them, and with whom."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_SERVICE = "ram"
_SHARE = {"resourceShareArn": "{id}"}
_GONE = ("UnknownResourceException",)


def _permissions(found: Props, answer: Props, scope: Scope) -> None:
    given = {"resourceShareArn": found["arn"]}
    held = scope.call(_SERVICE, "ListResourceSharePermissions", given)["permissions"]
    found["permissionArns"] = [permission["arn"] for permission in held]


def _association(token: str, entity: str, listed: str, kind: str) -> Row:
    """What ties an entity to a share.

    Args:
        token: Type of the resource.
        entity: Its input that names the entity.
        listed: Member of the API's requests that lists such entities.
        kind: Type of the association.
    """

    def put(params: Props, inputs: Props, scope: Scope) -> None:
        params[listed] = [inputs[entity]]

    def find(id_: str, props: Props, scope: Scope) -> Props | None:
        share, of = id_.split(",", 1)
        given = {"associationType": kind, "resourceShareArns": [share], entity: of}
        found = scope.call(_SERVICE, "GetResourceShareAssociations", given)
        statuses = [item["status"] for item in found["resourceShareAssociations"]]
        return {"resourceShareArn": share, entity: of} if "ASSOCIATED" in statuses else None

    return Row(
        token=token,
        service=_SERVICE,
        create=Call(
            "AssociateResourceShare", only=("resourceShareArn",), prepare=put, takes=(entity,)
        ),
        id=f"{{resourceShareArn}},{{{entity}}}",
        find=find,
        delete=Call(
            "DisassociateResourceShare",
            by={"resourceShareArn": "{resourceShareArn}", listed: [f"{{{entity}}}"]},
        ),
        replace=("resourceShareArn", entity),
        gone=_GONE,
    )


ROWS = [
    Row(
        token="aws:ram/resourceShare:ResourceShare",
        service=_SERVICE,
        create=Call("CreateResourceShare", only=("name", "allowExternalPrincipals",
                                                 "permissionArns")),
        id="{arn}",
        read=Call(
            "GetResourceShares",
            by={"resourceShareArns": ["{id}"]},
            fixed={"resourceOwner": "SELF"},
            path="resourceShares[0]",
        ),
        update=(
            Call("UpdateResourceShare", by=_SHARE, only=("name", "allowExternalPrincipals")),
        ),
        delete=Call("DeleteResourceShare", by=_SHARE),
        observe=_permissions,
        computed={"arn": "resourceShare.resourceShareArn"},
        replace=("permissionArns",),
        name="name",
        prefix="",
        defaults={"allowExternalPrincipals": False},
        tags=Tags(
            member="tags",
            key="key",
            value="value",
            put_member="tags",
            remove_member="tagKeys",
            arn="resourceShareArn",
            listing="",
            listed="resourceShares[0].tags",
        ),
        ignored={"resourceShareConfiguration": "no account leaves the local cloud's organisation"},
        gone=_GONE,
        # Two may have one name.
        delete_first=False,
    ),
    _association(
        "aws:ram/resourceAssociation:ResourceAssociation",
        entity="resourceArn",
        listed="resourceArns",
        kind="RESOURCE",
    ),
    _association(
        "aws:ram/principalAssociation:PrincipalAssociation",
        entity="principal",
        listed="principals",
        kind="PRINCIPAL",
    ),
]  # fmt: skip
