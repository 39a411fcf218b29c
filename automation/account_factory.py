"""AWS accounts that administrators vend into the organisational units: each is a stack.

They are made by the role in the settings (``mlops:organization.account_factory_role_arn``), whose
rights are in ``components/account_factory``. A vended account is one of its unit and no environment
yet: that it becomes by ``accounts adopt``, as any other that joined.

An account is never closed and never made twice. Its address is unique in AWS and its id its tag
:data:`~components.account_factory.VENDED_ID`: by both one is found that an interrupted update made.

Source: AWS Organizations API reference, CreateAccount (asynchronous; the address cannot be another
account's), ListAccounts and ListCreateAccountStatus.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import boto3
import pulumi
import pulumi_aws as aws
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import StringConstraints

from automation import recovery, vended
from automation.administered import Spec, Vended, client, validated
from automation.projects.spec import NAME
from automation.runs import StackRun, run_stack
from automation.vended import VendingError
from components import account_factory
from components.account_factory import ACCESS_ROLE, VENDED_ID
from components.catalog import VENDING_ROLE
from components.naming import in_order
from components.settings import PROJECT, PlatformSettings
from functions.vending.requests import ACCOUNT

TYPE = "aws:organizations/account:Account"

_SETTING = "mlops:organization.account_factory_role_arn"
_WAIT_SECONDS, _WAITS = 10, 30


class AccountSpec(Spec):
    """An account."""

    name: Annotated[str, StringConstraints(pattern=f"^{NAME}$", max_length=50)]
    """Of the account; no other of the organisation has it."""
    # Source: AWS Organizations API reference, CreateAccount; of ASCII alone.
    email: Annotated[
        str,
        StringConstraints(pattern=r"^[!-?A-~]+@[!-?A-~]+\.[!-?A-~]+$", min_length=6, max_length=64),
    ]
    """Of its root user; no other AWS account has it, and it cannot change."""
    kind: Literal["preprod", "prod"]
    """Kind of environments whose unit it is in."""


def organizations(hub: PlatformSettings) -> Any:
    """A client of the organisation's management account, as the role that makes accounts.

    Raises:
        VendingError: There is no such role, or it cannot be assumed.
    """
    role = hub.organization.account_factory_role_arn
    if not role:
        raise _no_role()
    session = boto3.Session(region_name=hub.region)
    try:
        given = client(session, "sts").assume_role(
            RoleArn=role, RoleSessionName=f"{PROJECT}-accounts"
        )["Credentials"]
    except (ClientError, BotoCoreError) as error:
        raise VendingError(
            f"{role} cannot be assumed: {error}. Its trust has to name whoever asks, beside the"
            " vending build; see docs/targets.md"
        ) from None
    return client(
        boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=hub.region,
        ),
        "organizations",
    )


def role_documents(hub: PlatformSettings) -> dict[str, Any]:
    """Trust and rights of the role that makes accounts, for who administers the organisation.

    Raises:
        VendingError: The settings name none.
    """
    organization, role = hub.organization, hub.organization.account_factory_role_arn
    if not role or not organization.id:
        raise _no_role()
    build = hub.names.role_arn(VENDING_ROLE)
    return account_factory.documents(
        role, build, hub.names, organization.id, organization.units.values()
    )


def _no_role() -> VendingError:
    return VendingError(
        f"No accounts are vended here: {_SETTING} names no role that makes them; see"
        " docs/targets.md"
    )


def _all(organization: Any, operation: str, member: str, **query: Any) -> Iterator[dict[str, Any]]:
    try:
        for page in organization.get_paginator(operation).paginate(**query):
            yield from page[member]
    except (ClientError, BotoCoreError) as error:
        raise VendingError(f"The organisation's accounts cannot be read: {error}") from None


def _being_made(organization: Any, name: str) -> bool:
    under_way = _all(
        organization, "list_create_account_status", "CreateAccountStatuses", States=["IN_PROGRESS"]
    )
    return any(status.get("AccountName") == name for status in under_way)


def made_before(
    organization: Any, spec: AccountSpec, sleep: Callable[[float], None] = time.sleep
) -> str | None:
    """The id of the account that an interrupted update made; None when it made none.

    AWS goes on with what was asked for, whoever asked: it is waited for.

    Raises:
        VendingError: It is still under way after five minutes, or cannot be told.
    """
    for _ in range(_WAITS):
        if not _being_made(organization, spec.name):
            break
        sleep(_WAIT_SECONDS)
    else:
        raise VendingError(
            f"AWS is still making the account {spec.name}: give the same command again in a while"
        )
    for account in _all(organization, "list_accounts", "Accounts"):
        if account.get("Email", "").lower() != spec.email.lower():
            continue
        tags = _all(organization, "list_tags_for_resource", "Tags", ResourceId=account["Id"])
        if {tag["Key"]: tag["Value"] for tag in tags}.get(VENDED_ID) == spec.id:
            return str(account["Id"])
    return None


class Accounts(Vended[AccountSpec]):
    """The accounts that are vended."""

    noun = "account"
    fixed = frozenset({"name", "id", "email"})

    def told(self, name: str) -> dict[str, str]:
        """The account's id; empty when there is no account."""
        known = [item for item in self.listed() if item["name"] == name]
        return {"AccountId": str(known[0]["account_id"])} if known else {}

    def _read(self, given: Mapping[str, Any]) -> AccountSpec:
        return validated(AccountSpec, given, self.noun)

    def _check(self, spec: AccountSpec) -> None:
        self._unit(spec)
        organization = organizations(self._hub)
        for account in _all(organization, "list_accounts", "Accounts"):
            told = f"the account {account['Id']} ({account.get('Name', '')}) of the organisation"
            if account.get("Email", "").lower() == spec.email.lower():
                raise VendingError(
                    f"{spec.email} is the address of {told} already: an address is one account's"
                    " in all of AWS, choose another"
                )
            if account.get("Name", "").lower() == spec.name.lower():
                raise VendingError(f"{spec.name} is the name of {told} already: choose another")
        if _being_made(organization, spec.name):
            raise VendingError(
                f"AWS is making an account {spec.name} for somebody else: choose another name"
            )

    def _unit(self, spec: AccountSpec) -> str:
        units = self._hub.organization.units
        if spec.kind not in units:
            known = ", ".join(in_order(units)) or "none yet"
            raise VendingError(
                f"No organisational unit is that of {spec.kind}: give mlops:organization.units one,"
                f" or choose a kind that has one: {known}"
            )
        return units[spec.kind]

    def _tell_of_budget(self, spec: AccountSpec) -> None:
        """Nothing: budgets are those of its environment, once it is one."""

    def _settled_by(self, spec: AccountSpec) -> Mapping[str, recovery.Lookup]:
        return {TYPE: lambda _: made_before(organizations(self._hub), spec)}

    def _tags(self, spec: AccountSpec) -> dict[str, str]:
        return {**self.platform[spec.kind].tags.all(spec.kind), **super()._tags(spec)}

    def _organization(self, spec: AccountSpec, role: str) -> aws.Provider:
        return aws.Provider(
            "aws-organization",
            region=self._hub.region,
            assume_roles=[
                aws.ProviderAssumeRoleArgs(role_arn=role, session_name=f"{PROJECT}-accounts")
            ],
            allowed_account_ids=[role.split(":")[4]],
            default_tags=aws.ProviderDefaultTagsArgs(tags=self._tags(spec)),
        )

    def _program(self, spec: AccountSpec) -> Callable[[], None]:
        unit, role = self._unit(spec), self._hub.organization.account_factory_role_arn or ""

        def make() -> None:
            account = aws.organizations.Account(
                spec.name,
                name=spec.name,
                email=spec.email,
                parent_id=unit,
                role_name=ACCESS_ROLE,
                close_on_deletion=False,
                tags={VENDED_ID: spec.id},
                opts=pulumi.ResourceOptions(
                    provider=self._organization(spec, role),
                    # Closing an account is for a person.
                    retain_on_delete=True,
                    # No API tells it: of an account that was looked up it would be another one's.
                    ignore_changes=["roleName"],
                ),
            )
            known = {"account_id": account.id, "email": spec.email, "kind": spec.kind}
            self._know(spec, known, account)

        return make

    def _change(self, before: AccountSpec, wanted: AccountSpec) -> StackRun:
        """Another kind is another unit: no environment is moved from under its stack."""
        identity = self.told(wanted.name).get("AccountId")
        environments = [
            name for name, id_ in self._hub.organization.accounts.items() if id_ == identity
        ]
        if before.kind != wanted.kind and environments:
            raise VendingError(
                f"The account {identity} is the environment {', '.join(environments)}: take that"
                " away first, as docs/targets.md says, to make it one of another kind"
            )
        return super()._change(before, wanted)

    def _remove(self, name: str, spec: AccountSpec | None) -> StackRun:
        made = self.told(name)
        run = run_stack(
            self._stacks.open(name, vended.nothing),
            "destroy",
            progress=self.progress,
            policy_packs=[],
            lookups=self._settled_by(spec) if spec else None,
        )
        if run.ok and made:
            self.tell(f"{made['AccountId']}: {ACCOUNT.kept}")
        return run
