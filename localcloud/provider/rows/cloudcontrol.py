"""Cloud Control API: resources of types that the provider has not, by their desired state."""

from __future__ import annotations

import json

from localcloud.provider.crud import ResourceError
from localcloud.provider.table import Call, Props, Row, Scope


def _ended(event: Props, scope: Scope, *, fine: str = "") -> Props:
    """How a request ended: the real provider waits for it, and fails with its message.

    Args:
        event: The request's.
        scope: Where.
        fine: A code of errors that are none.

    Raises:
        ResourceError: It failed; the message is Cloud Control's.
    """
    told = scope.call(
        "cloudcontrol", "GetResourceRequestStatus", {"RequestToken": event["RequestToken"]}
    )["ProgressEvent"]
    if told["OperationStatus"] != "SUCCESS" and told.get("ErrorCode") != fine:
        raise ResourceError(
            f"{told['TypeName']}: {told.get('ErrorCode')}: {told.get('StatusMessage')}"
        )
    return told


def _made(inputs: Props, outputs: Props, scope: Scope) -> None:
    event = {"RequestToken": outputs.pop("requestToken")}
    try:
        made = _ended(event, scope)
    except ResourceError:
        # Nothing was made, so nothing of that name is ours to remove.
        outputs["typeName"] = ""
        raise
    outputs["properties"] = _find(made["Identifier"], inputs, scope)["properties"]


def _remove(props: Props, scope: Scope) -> None:
    if props["typeName"]:
        asked = {"TypeName": props["typeName"], "Identifier": props["id"]}
        event = scope.call("cloudcontrol", "DeleteResource", asked)["ProgressEvent"]
        _ended(event, scope, fine="NotFound")


def _find(id_: str, props: Props, scope: Scope) -> Props:
    told = scope.call(
        "cloudcontrol", "GetResource", {"TypeName": props["typeName"], "Identifier": id_}
    )
    found = json.loads(told["ResourceDescription"]["Properties"])
    # What is wanted stands as it was written, as far as it is what is there.
    wanted = json.loads(props["desiredState"])
    same = all(found.get(name) == value for name, value in wanted.items())
    return {
        "typeName": props["typeName"],
        "identifier": id_,
        "desiredState": props["desiredState"] if same else json.dumps(found),
        "properties": json.dumps(found, sort_keys=True),
    }


ROWS = [
    Row(
        token="aws:cloudcontrol/resource:Resource",
        service="cloudcontrol",
        create=Call("CreateResource"),
        id="{identifier}",
        find=_find,
        before_delete=_remove,
        # All properties of the types that the local cloud has make another resource.
        replace=("typeName", "desiredState"),
        computed={
            "identifier": "ProgressEvent.Identifier",
            "requestToken": "ProgressEvent.RequestToken",
        },
        after=_made,
        gone=("ResourceNotFoundException",),
        ignored={"schema": "is for checks before a preview, which the real provider makes"},
        unread={
            "roleArn": "is of the request, not of the resource",
            "typeVersionId": "is of the request, not of the resource",
        },
        delete_first=False,
        importable=False,
    ),
]
