"""The accounts of organisational units beside the platform's environments, and how one is taken in.

A kind of environments (``preprod``, ``prod``) may have an organisational unit
(``mlops:organization.units``). Whatever account is in it, or in a unit below it, is to be an
environment of that kind: one that joined has none yet, one that left is none any more. Nothing is
made by looking; ``adopt`` writes the stack file of one account, and the next update makes it.

Source: AWS Organizations API reference, ListAccountsForParent (accounts directly below a parent, by
pages) and Account (State).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from components.naming import TARGET_KINDS, is_environment, kind_of
from components.settings import (
    PROJECT,
    CreatedNetwork,
    Organization,
    PlatformSettings,
    SettingsError,
    check_together,
    load_stack,
    stack_file,
    stack_names,
)

ACTIVE = "ACTIVE"

_ACCOUNTS = f"{PROJECT}:organization"
_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


class AccountsError(RuntimeError):
    """The units cannot be read, or an account cannot be taken in; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """An account of the organisation.

    Attributes:
        id: 12 digits.
        name: Its name in the organisation.
        state: ``ACTIVE``, or why it is not.
    """

    id: str
    name: str
    state: str = ACTIVE


def members(organizations: Any, unit: str) -> list[Account]:
    """All accounts of a unit and of the units below it, by id.

    Args:
        organizations: A client of the management account, or of a delegated administrator.
        unit: The unit's id.

    Raises:
        AccountsError: They cannot be read.
    """
    found: dict[str, Account] = {}
    waiting = [unit]
    try:
        while waiting:
            parent = waiting.pop()
            for item in _pages(organizations, "list_accounts_for_parent", "Accounts", parent):
                # Status is what State was called before; a service tells one of them at least.
                state = str(item.get("State") or item.get("Status"))
                found[item["Id"]] = Account(item["Id"], str(item.get("Name", "")), state)
            below = _pages(
                organizations,
                "list_organizational_units_for_parent",
                "OrganizationalUnits",
                parent,
            )
            waiting += [item["Id"] for item in below]
    except (ClientError, BotoCoreError) as error:
        raise AccountsError(
            f"The unit {unit} cannot be read: {error}. Ask with a profile (--profile) of the"
            " organisation's management account or of a delegated administrator."
        ) from None
    return sorted(found.values(), key=lambda account: account.id)


def _pages(client: Any, operation: str, member: str, parent: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(ParentId=parent):
        yield from page[member]


class Finding(StrEnum):
    """What an account is to the platform."""

    IN_PLACE = "in place"
    JOINED = "joined: it has no stack"
    LEFT = "left: it is not in the unit any more"
    CLOSED = "not active: its environment cannot be updated"
    ELSEWHERE = "is an environment of another kind"


@dataclass(frozen=True)
class Row:
    """An account beside the environments.

    Attributes:
        kind: The kind of the unit.
        account: The account's id.
        name: Its name in the organisation; empty when the unit does not have it.
        environment: Its environment; empty when it has none.
        finding: What it is.
    """

    kind: str
    account: str
    name: str
    environment: str
    finding: Finding


def compare(organization: Organization, found: Mapping[str, Sequence[Account]]) -> list[Row]:
    """What is in the units beside what the settings have.

    Args:
        organization: The settings.
        found: Kind -> the accounts of its unit.
    """
    rows: list[Row] = []
    for kind, accounts in found.items():
        own = {env: id_ for env, id_ in organization.accounts.items() if kind_of(env) == kind}
        for account in accounts:
            known = [env for env, id_ in organization.accounts.items() if id_ == account.id]
            here = [env for env in known if env in own]
            if not known and account.state != ACTIVE:
                continue
            finding = (
                Finding.JOINED
                if not known
                else Finding.ELSEWHERE
                if not here
                else Finding.IN_PLACE
                if account.state == ACTIVE
                else Finding.CLOSED
            )
            rows.append(Row(kind, account.id, account.name, (here or known or [""])[0], finding))
        there = {account.id for account in accounts}
        rows += [
            Row(kind, id_, "", env, Finding.LEFT) for env, id_ in own.items() if id_ not in there
        ]
    return rows


def survey(organizations: Any, organization: Organization) -> list[Row]:
    """Reads the units of all kinds, and compares.

    Raises:
        AccountsError: A unit cannot be read.
    """
    found = {kind: members(organizations, unit) for kind, unit in organization.units.items()}
    return compare(organization, found)


def text(rows: Sequence[Row], organization: Organization) -> str:
    """What people read."""
    if not organization.units:
        return (
            "No kind has an organisational unit (mlops:organization.units): accounts are those of"
            " mlops:organization.accounts alone."
        )
    lines = [
        f"{row.kind:<8} {row.account}  {row.environment or '-':<16} {row.name or '-':<24}"
        f" {row.finding}"
        for row in rows
    ]
    joined = [row for row in rows if row.finding is Finding.JOINED]
    if joined:
        first = joined[0]
        lines.append(
            f"Take one in: python -m automation accounts adopt {first.account}"
            f" --name {first.kind}-NAME"
        )
    if any(row.finding in (Finding.LEFT, Finding.CLOSED) for row in rows):
        lines.append(
            "What left: take its environment from the projects, then destroy its stack; see"
            " docs/targets.md."
        )
    return "\n".join(lines)


def adopt(
    organizations: Any, project_dir: Path, account: str, name: str, cidr: str | None = None
) -> list[Path]:
    """Writes an account's stack file, and the account into ``Pulumi.yaml``.

    The settings are those of the first environment of the kind, with an address block that is
    free. Nothing is left changed when they do not fit together.

    Args:
        organizations: As for :func:`members`; asked only when the kind has a unit.
        project_dir: The platform's folder.
        account: The account's id.
        name: What its environment will be called; begins with its kind.
        cidr: The address block of its network; by default the next free one of the same size.

    Returns:
        The files that were written.

    Raises:
        AccountsError: It cannot be taken in.
        SettingsError: The platform's settings are not valid as they are.
    """
    loaded = {stack: load_stack(project_dir, stack) for stack in stack_names(project_dir)}
    kind = kind_of(name)
    if not is_environment(name) or name == kind or kind not in TARGET_KINDS:
        raise AccountsError(
            f"{name!r} names no further environment: expected one of {', '.join(TARGET_KINDS)}, a"
            " hyphen, and a name of lower-case letters and digits, such as prod-eu."
        )
    organization = loaded[kind].organization
    if name in organization.accounts or name in loaded:
        raise AccountsError(f"There is an environment {name} already; choose another name.")
    taken = [env for env, id_ in organization.accounts.items() if id_ == account]
    if taken:
        raise AccountsError(f"{account} is the account of {', '.join(taken)} already.")
    unit = organization.units.get(kind)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if unit and account not in [a.id for a in members(organizations, unit) if a.state == ACTIVE]:
        raise AccountsError(
            f"{account} is no active account of the unit {unit} of {kind}: move it there first."
        )
    project = project_dir / "Pulumi.yaml"
    before = project.read_text("utf-8")
    after = _with_account(before, organization, name, account)
    content = _stack_text(project_dir, kind, list(loaded.values()), cidr)
    own = stack_file(project_dir, name)
    try:
        project.write_text(after, "utf-8")
        own.write_text(content, "utf-8")
        check_together([load_stack(project_dir, stack) for stack in stack_names(project_dir)])
    except SettingsError as error:
        project.write_text(before, "utf-8")
        own.unlink(missing_ok=True)
        raise AccountsError(f"Nothing was written. {error}") from None
    return [own, project]


def _with_account(before: str, organization: Organization, name: str, account: str) -> str:
    """``Pulumi.yaml`` with one account more, all else as it was, comments too.

    Raises:
        AccountsError: The accounts do not stand there as a block.
    """
    by_hand = AccountsError(
        f"{_ACCOUNTS} of all stacks does not stand in Pulumi.yaml as a block of lines: add"
        f' accounts.{name}: "{account}" where it stands, and write the stack file by hand.'
    )
    wanted = yaml.safe_load(before)
    standing: Any = wanted["config"].get(_ACCOUNTS, {}).get("default", {}).get("accounts")
    if standing != dict(organization.accounts):
        raise by_hand
    last = list(standing)[-1]
    standing[name] = account
    lines = before.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.strip().startswith((f"{last}:", f'"{last}":', f"'{last}':")):
            indent = line[: len(line) - len(line.lstrip())]
            after = "".join(
                [*lines[: index + 1], f'{indent}{name}: "{account}"\n', *lines[index + 1 :]]
            )
            if yaml.safe_load(after) == wanted:
                return after
    raise by_hand


def _stack_text(
    project_dir: Path, kind: str, stacks: Sequence[PlatformSettings], cidr: str | None
) -> str:
    """A stack file like the kind's, for a network of its own."""
    source = stack_file(project_dir, kind)
    config: dict[str, Any] = dict(yaml.safe_load(source.read_text("utf-8")).get("config", {}))
    config.pop(f"{PROJECT}:environment", None)
    secret = sorted(key for key, value in config.items() if "secure" in str(value))
    if secret:
        raise AccountsError(
            f"{source.name} has secrets, which only its own stack can read ({', '.join(secret)}):"
            " write the stack file by hand, and set them with pulumi config set --secret."
        )
    network = next(stack for stack in stacks if stack.environment == kind).network
    if cidr is None:
        if not isinstance(network, CreatedNetwork):
            raise AccountsError(
                f"The network of {kind} is one that its account has already: give the address block"
                " of a new one (--cidr), and change mlops:network of the file to take another."
            )
        cidr = str(_free(network, stacks))
    created = network if isinstance(network, CreatedNetwork) else CreatedNetwork()
    config[f"{PROJECT}:network"] = {
        **created.model_dump(mode="json", exclude_none=True),
        "cidr": cidr,
    }
    return (
        f"# Written from {source.name} by: python -m automation accounts adopt\n"
        + yaml.safe_dump({"config": config}, sort_keys=False, allow_unicode=True)
    )


def _free(network: CreatedNetwork, stacks: Sequence[PlatformSettings]) -> ipaddress.IPv4Network:
    """The next block of the same size that no stack has."""
    like = ipaddress.IPv4Network(network.cidr)
    taken = [
        ipaddress.IPv4Network(stack.network.cidr)
        for stack in stacks
        if isinstance(stack.network, CreatedNetwork)
    ]
    within = next(block for block in _PRIVATE if like.subnet_of(block))
    blocks = list(within.subnets(new_prefix=like.prefixlen))
    start = blocks.index(like)
    for block in [*blocks[start + 1 :], *blocks[:start]]:
        if not any(block.overlaps(other) for other in taken):
            return block
    raise AccountsError(f"No block of the size of {like} is free in {within}: give one (--cidr).")


def next_steps(name: str, environment_file: str) -> str:
    """What is to be done after an account was taken in, for people."""
    return f"""{environment_file} and Pulumi.yaml are written: look at them, and commit them. Then:
  python -m automation bootstrap --profile {name}=PROFILE   boundary and roles in its account
  python -m automation up --all                             its stack, and the hub that grants it
  python -m automation projects update PROJECT              for each project that is to go there
Versions come to it with their next approval; see docs/targets.md."""
