"""Emulated Glue operations that Lake Formation has a say in.

A new database or table is granted to whom the account's settings say; an account begins with all to
``IAM_ALLOWED_PRINCIPALS``, and with that no other grant has an effect. What is deleted loses its
grants. Grants are kept and listed; whether a caller reads a table is decided by IAM alone here.

Source: Lake Formation developer guide, "Changing the default settings for your data lake".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.emulator.extension import Context, Params, operation


def _grant(ctx: Context, default: str, resource: Params) -> None:
    lake = ctx.backend("lakeformation")
    for entry in lake.get_data_lake_settings(ctx.account).get(default) or []:
        lake.grant_permissions(ctx.account, entry["Principal"], resource, entry["Permissions"], [])


def _table(resource: Params) -> tuple[str | None, str | None]:
    table: dict[str, Any] = resource.get("Table", {})
    return table.get("DatabaseName"), table.get("Name")


def _forget(ctx: Context, gone: Callable[[Params], bool]) -> None:
    catalog = ctx.backend("lakeformation").grants.get(ctx.account)
    if catalog is not None:
        catalog.permissions = {grant for grant in catalog.permissions if not gone(grant.resource)}


@operation("glue", "CreateDatabase")
def create_database(ctx: Context, params: Params) -> Params:
    """A database with the grants that the account gives to each."""
    answer = ctx.forward()
    name = params["DatabaseInput"]["Name"]
    _grant(ctx, "CreateDatabaseDefaultPermissions", {"Database": {"Name": name}})
    return answer


@operation("glue", "CreateTable")
def create_table(ctx: Context, params: Params) -> Params:
    """A table with the grants that the account gives to each."""
    answer = ctx.forward()
    resource = {"DatabaseName": params["DatabaseName"], "Name": params["TableInput"]["Name"]}
    _grant(ctx, "CreateTableDefaultPermissions", {"Table": resource})
    return answer


@operation("glue", "DeleteDatabase")
def delete_database(ctx: Context, params: Params) -> Params:
    """Takes away a database with the grants on it and on its tables."""
    answer = ctx.forward()
    name = params["Name"]
    _forget(ctx, lambda on: name in (on.get("Database", {}).get("Name"), _table(on)[0]))
    return answer


@operation("glue", "DeleteTable")
def delete_table(ctx: Context, params: Params) -> Params:
    """Takes away a table with the grants on it."""
    answer = ctx.forward()
    _forget(ctx, lambda on: _table(on) == (params["DatabaseName"], params["Name"]))
    return answer
