"""AWS KMS: keys and aliases."""

from __future__ import annotations

from botocore.exceptions import ClientError

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_KEY = {"KeyId": "{id}"}


def _rotation(inputs: Props, outputs: Props, scope: Scope) -> None:
    if inputs.get("enableKeyRotation"):
        params = {"KeyId": outputs["keyId"]}
        if inputs.get("rotationPeriodInDays"):
            params["RotationPeriodInDays"] = inputs["rotationPeriodInDays"]
        scope.call("kms", "EnableKeyRotation", params)


def _find_key(id_: str, props: Props, scope: Scope) -> Props | None:
    meta = scope.call("kms", "DescribeKey", {"KeyId": id_})["KeyMetadata"]
    if meta["KeyState"] == "PendingDeletion":
        return None
    policy = scope.call("kms", "GetKeyPolicy", {"KeyId": id_, "PolicyName": "default"})
    rotation = scope.call("kms", "GetKeyRotationStatus", {"KeyId": id_})
    return {
        "arn": meta["Arn"],
        "keyId": meta["KeyId"],
        "description": meta.get("Description", ""),
        "policy": policy["Policy"],
        "enableKeyRotation": rotation["KeyRotationEnabled"],
        "multiRegion": meta.get("MultiRegion", False),
        "keyUsage": meta.get("KeyUsage"),
        "customerMasterKeySpec": meta.get("CustomerMasterKeySpec"),
    }


def _switch_rotation(params: Props, inputs: Props, scope: Scope) -> None:
    if not inputs.get("enableKeyRotation"):
        scope.call("kms", "DisableKeyRotation", {"KeyId": params["KeyId"]})
        return
    wanted = {"KeyId": params["KeyId"]}
    if inputs.get("rotationPeriodInDays"):
        wanted["RotationPeriodInDays"] = inputs["rotationPeriodInDays"]
    scope.call("kms", "EnableKeyRotation", wanted)


def _window(params: Props, inputs: Props, scope: Scope) -> None:
    params["PendingWindowInDays"] = inputs.get("deletionWindowInDays") or 30


def _find_alias(id_: str, props: Props, scope: Scope) -> Props | None:
    params: Props = {}
    while True:
        page = scope.call("kms", "ListAliases", params)
        for alias in page["Aliases"]:
            if alias["AliasName"] == id_:
                return {
                    "name": id_,
                    "targetKeyId": alias.get("TargetKeyId"),
                    "arn": alias["AliasArn"],
                }
        if not page.get("Truncated"):
            return None
        params = {"Marker": page["NextMarker"]}


def _same_key(found: Props, answer: Props, scope: Scope) -> None:
    # An alias may be given its key by ARN; the API tells the id.
    found["targetKeyArn"] = scope.arn("kms", f"key/{found['targetKeyId']}")


def _require_alias(props: Props, scope: Scope) -> None:
    # The call for an alias that is gone names no key, and so nothing that IAM could allow.
    if _find_alias(props["id"], props, scope) is None:
        raise ClientError({"Error": {"Code": "NotFoundException"}}, "DeleteAlias")


ROWS = [
    Row(
        token="aws:kms/key:Key",
        service="kms",
        create=Call("CreateKey"),
        id="{keyId}",
        find=_find_key,
        update=(
            Call("UpdateKeyDescription", by=_KEY, only=("description",)),
            Call("PutKeyPolicy", by=_KEY, only=("policy",), fixed={"PolicyName": "default"}),
            Call(
                "GetKeyRotationStatus",
                by=_KEY,
                only=(),
                prepare=_switch_rotation,
                takes=("enableKeyRotation", "rotationPeriodInDays"),
            ),
        ),
        delete=Call("ScheduleKeyDeletion", by=_KEY, prepare=_window),
        after=_rotation,
        ignored={
            "deletionWindowInDays": "used when the key is deleted",
            "bypassPolicyLockoutSafetyCheck": "the emulator locks nobody out",
        },
        unread={
            "rotationPeriodInDays": "moto does not keep it",
            "xksKeyId": "the local cloud has no external key stores",
        },
        computed={"arn": "KeyMetadata.Arn", "keyId": "KeyMetadata.KeyId"},
        filled={
            "keyUsage": "ENCRYPT_DECRYPT",
            "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "policy": None,
        },
        replace=("keyUsage", "customerMasterKeySpec", "multiRegion", "customKeyStoreId"),
        tags=Tags(
            key="TagKey",
            value="TagValue",
            arn="KeyId",
            target="{id}",
            listing="ListResourceTags",
        ),
        gone=("NotFoundException", "KMSInvalidStateException"),
    ),
    Row(
        token="aws:kms/alias:Alias",
        service="kms",
        create=Call("CreateAlias"),
        id="{name}",
        find=_find_alias,
        observe=_same_key,
        update=(Call("UpdateAlias", by={"AliasName": "{id}"}, only=("targetKeyId",)),),
        delete=Call("DeleteAlias", by={"AliasName": "{id}"}),
        before_delete=_require_alias,
        rename={"name": "AliasName"},
        name="name",
        replace=("name", "namePrefix"),
        computed={"arn": "arn:{partition}:kms:{region}:{account}:{name}"},
        gone=("NotFoundException",),
    ),
]
