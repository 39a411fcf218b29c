"""Glue: databases, the data catalog's encryption and security configurations."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope

_DATABASE = Call("CreateDatabase", under="DatabaseInput", only=("name", "description",
                 "locationUri", "parameters"))  # fmt: skip


def _catalog(found: Props, answer: Props, scope: Scope) -> None:
    found["catalogId"] = scope.account


_ENCRYPTION = Call("PutDataCatalogEncryptionSettings", only=("dataCatalogEncryptionSettings",))

ROWS = [
    Row(
        token="aws:glue/catalogDatabase:CatalogDatabase",
        service="glue",
        create=_DATABASE,
        id="{catalogId}:{name}",
        read=Call("GetDatabase", by={"Name": "{name}"}, path="Database"),
        update=(
            Call(
                "UpdateDatabase",
                by={"Name": "{name}"},
                under="DatabaseInput",
                only=("name", "description", "locationUri", "parameters"),
            ),
        ),
        delete=Call("DeleteDatabase", by={"Name": "{name}"}),
        name="name",
        prefix="",
        replace=("name", "catalogId"),
        observe=_catalog,
        computed={
            "catalogId": "{account}",
            "arn": "arn:{partition}:glue:{region}:{account}:database/{name}",
        },
        parts=("catalogId", "name"),
        ignored={"tags": "moto keeps no tags of databases"},
        gone=("EntityNotFoundException",),
    ),
    Row(
        token="aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings",
        service="glue",
        create=_ENCRYPTION,
        id="{catalogId}",
        read=Call("GetDataCatalogEncryptionSettings"),
        update=(_ENCRYPTION,),
        delete=Call(
            "PutDataCatalogEncryptionSettings", fixed={"DataCatalogEncryptionSettings": {}}
        ),
        observe=_catalog,
        computed={"catalogId": "{account}"},
    ),
    Row(
        token="aws:glue/securityConfiguration:SecurityConfiguration",
        service="glue",
        create=Call("CreateSecurityConfiguration"),
        id="{name}",
        read=Call("GetSecurityConfiguration", by={"Name": "{id}"}, path="SecurityConfiguration"),
        delete=Call("DeleteSecurityConfiguration", by={"Name": "{id}"}),
        name="name",
        prefix="",
        replace=("name", "encryptionConfiguration"),
        rename={"encryptionConfiguration.s3Encryption": "S3Encryption"},
        gone=("EntityNotFoundException",),
    ),
]
