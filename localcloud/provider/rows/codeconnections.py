"""CodeConnections: connections to where repositories are."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope, Tags


def _after(inputs: Props, outputs: Props, scope: Scope) -> None:
    given = {"ConnectionArn": outputs["arn"]}
    found = scope.call("codeconnections", "GetConnection", given)["Connection"]
    outputs["connectionStatus"] = found["ConnectionStatus"]
    outputs["ownerAccountId"] = found["OwnerAccountId"]


ROWS = [
    Row(
        token="aws:codeconnections/connection:Connection",
        service="codeconnections",
        create=Call("CreateConnection", only=("name", "providerType", "hostArn")),
        id="{arn}",
        read=Call("GetConnection", by={"ConnectionArn": "{id}"}, path="Connection"),
        delete=Call("DeleteConnection", by={"ConnectionArn": "{id}"}),
        after=_after,
        rename={"name": "ConnectionName"},
        name="name",
        prefix="",
        replace=("name", "providerType", "hostArn"),
        computed={"arn": "ConnectionArn"},
        tags=Tags(),
        # Two connections may have one name.
        delete_first=False,
    ),
]
