"""Emulated AWS Organizations: accounts are made while the caller goes on, and each address once.

Moto makes an account at once, and as many of one address as are asked for. The organisation is the
local cloud's; its management account is whichever of the accounts makes it. What is made here is
known to the organisation alone: an account that things are to live in is one that the local cloud
is started with.

Source: AWS Organizations API reference, CreateAccount and CreateAccountStatus.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params, operation, resource_tags

_PENDING = ("Id", "AccountName", "RequestedTimestamp")


def _failed(ctx: Context) -> dict[str, Params]:
    return ctx.store(region="global").setdefault("failed", {})


@operation("organizations", "CreateOrganization")
def create_organization(ctx: Context, params: Params) -> Params:
    """Makes the organisation of the local cloud, which policies know by its id."""
    del params
    ctx.forward()
    made = ctx.backend("organizations").org
    made.id = ctx.host.organization_id
    for account in ctx.backend("organizations").accounts:
        account.organization_id = made.id
    return {"Organization": made.describe()["Organization"]}


@operation("organizations", "CreateAccount")
def create_account(ctx: Context, params: Params) -> Params:
    """Begins to make an account; what became of it tells its status."""
    taken = ctx.store(region="global").setdefault("addresses", [])
    address = params["Email"].lower()
    if address in taken:
        number = len(_failed(ctx))
        status: Params = {
            "Id": f"car-{number:032x}",
            "AccountName": params["AccountName"],
            "State": "FAILED",
            "FailureReason": "EMAIL_ALREADY_EXISTS",
            "RequestedTimestamp": ctx.now(),
            "CompletedTimestamp": ctx.now(),
        }
        _failed(ctx)[status["Id"]] = status
    else:
        # That of an account which left is still its own.
        taken.append(address)
        status = ctx.forward()["CreateAccountStatus"]
    begun = {name: status[name] for name in _PENDING if name in status}
    return {"CreateAccountStatus": {**begun, "State": "IN_PROGRESS"}}


@operation("organizations", "DescribeCreateAccountStatus")
def describe_create_account_status(ctx: Context, params: Params) -> Params:
    """What became of a request."""
    failed = _failed(ctx).get(params["CreateAccountRequestId"])
    return {"CreateAccountStatus": failed} if failed else ctx.forward()


@operation("organizations", "RemoveAccountFromOrganization")
def remove_account(ctx: Context, params: Params) -> Params:
    """Takes an account out; one that is out already is not found."""
    if _account(ctx, params["AccountId"]) is None:
        raise ApiError("AccountNotFoundException", f"There is no account {params['AccountId']}.")
    return ctx.forward()


def _account(ctx: Context, identity: str) -> Any:
    there = ctx.backend("organizations").accounts
    return next((account for account in there if account.id == identity), None)


@resource_tags("organizations")
def tags(ctx: Context, arn: str) -> Mapping[str, str] | None:
    """The tags of an account."""
    account = _account(ctx, arn.rpartition("/")[2])
    return dict(account.tags) if account is not None else None
