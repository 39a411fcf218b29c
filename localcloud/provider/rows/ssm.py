"""Systems Manager: parameters."""

from __future__ import annotations

from botocore.exceptions import ClientError

from localcloud.provider.table import Call, Props, Row, Scope, Tags


def _find(id_: str, props: Props, scope: Scope) -> Props | None:
    try:
        value = scope.call("ssm", "GetParameter", {"Name": id_, "WithDecryption": True})
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        raise
    parameter = value["Parameter"]
    filters = [{"Key": "Name", "Option": "Equals", "Values": [id_]}]
    described = scope.call("ssm", "DescribeParameters", {"ParameterFilters": filters})
    details = described["Parameters"][0] if described["Parameters"] else {}
    return {
        "name": id_,
        "type": parameter["Type"],
        "value": parameter["Value"],
        "description": details.get("Description"),
        "keyId": details.get("KeyId") if parameter["Type"] == "SecureString" else None,
    }


ROWS = [
    Row(
        token="aws:ssm/parameter:Parameter",
        service="ssm",
        create=Call("PutParameter"),
        id="{name}",
        find=_find,
        update=(Call("PutParameter", fixed={"Overwrite": True}),),
        delete=Call("DeleteParameter", by={"Name": "{id}"}),
        name="name",
        prefix="",
        replace=("name", "type"),
        unread=dict.fromkeys(
            ("allowedPattern", "dataType", "tier"),
            "the row reads the value, its key and what it is for",
        ),
        refused={
            "overwrite": "import the parameter that is there, or delete it",
            "insecureValue": "use value",
        },
        computed={"arn": "arn:{partition}:ssm:{region}:{account}:parameter{name}"},
        tags=Tags(
            put="AddTagsToResource",
            remove="RemoveTagsFromResource",
            arn="ResourceId",
            target="{id}",
            extra={"ResourceType": "Parameter"},
            listed="TagList",
        ),
        gone=("ParameterNotFound",),
    ),
]
