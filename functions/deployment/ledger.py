"""The ledger: a group's history in DynamoDB, changed by one decision at a time.

Partition key ``Deployment`` (``{group}#{environment}``), sort key ``Sequence``: one item for each
attempt, which is never deleted. The partition ``{group}`` has one item more, sequence 0: the number
of the group's last change. Every change is one transaction that raises this number and asks for the
one that the decision was made on: whoever decides on an outdated history writes nothing and decides
anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from ..promotion.aws import error_code
from .history import Attempt, History
from .machine import Kind, Status

T = TypeVar("T")

# Source: "Amazon DynamoDB transactions" in the DynamoDB developer guide.
_MOST_WRITES = 100
_TRIES = 20
_RACES = {"ConditionalCheckFailed", "TransactionConflict"}

# The ledger's names, where they are not the member's own in CamelCase.
_NAMED = {
    "live_at": "LiveAt",
    "parts": "FingerprintParts",
    "started": "RunStarted",
    "start_until": "RunStartUntil",
}


class OutdatedError(Exception):
    """Somebody else changed the group meanwhile."""


class BusyLedgerError(Exception):
    """Others change the group all the time: this invocation gives up, a later one may succeed."""


class Store(Protocol):
    """What keeps histories."""

    def read(self, group: str, environments: tuple[str, ...]) -> History:
        """A group's history; the attempts are at least as new as the revision."""
        ...

    def write(self, before: History, after: History) -> None:
        """Keeps a history.

        Raises:
            OutdatedError: ``before`` is not the last one.
        """
        ...


def changed(
    store: Store,
    group: str,
    environments: tuple[str, ...],
    decide: Callable[[History], tuple[History, T]],
) -> T:
    """Decides on a group's history, and keeps what was decided.

    Args:
        store: What keeps it.
        group: The group.
        environments: Its environments.
        decide: From history to history and an answer; called anew when the history was outdated.

    Raises:
        BusyLedgerError: It was outdated too often.
    """
    for _ in range(_TRIES):
        before = store.read(group, environments)
        after, answer = decide(before)
        if after == before:
            return answer
        try:
            store.write(before, after)
        except OutdatedError:
            continue
        return answer
    raise BusyLedgerError(f"The ledger of {group} was changed by others {_TRIES} times in a row.")


class Ledger:
    """The table.

    Args:
        client: A DynamoDB client of the hub.
        table: The table's name.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, group: str, environments: tuple[str, ...]) -> History:
        """A group's history.

        Raises:
            ClientError: DynamoDB's.
        """
        # The number first: attempts that are newer than it make the decision outdated, never wrong.
        head = self._client.get_item(
            TableName=self._table, Key=_key(group, 0), ConsistentRead=True
        ).get("Item", {})
        attempts = [
            _attempt(environment, item)
            for environment in sorted(environments)
            for item in self._items(f"{group}#{environment}")
        ]
        return History(group, int(head.get("Revision", {}).get("N", "0")), tuple(attempts))

    def _items(self, deployment: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="Deployment = :deployment",
            ExpressionAttributeValues={":deployment": {"S": deployment}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def write(self, before: History, after: History) -> None:
        """Keeps a history, all of it or nothing.

        Raises:
            OutdatedError: ``before`` is not the last one.
            ClientError: DynamoDB's.
        """
        known = {(item.environment, item.sequence): item for item in before.attempts}
        puts = [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": {
                        **_key(f"{after.group}#{item.environment}", item.sequence),
                        **_members(item),
                    },
                }
            }
            for item in after.attempts
            if known.get((item.environment, item.sequence)) != item
        ]
        if len(puts) >= _MOST_WRITES:
            raise ValueError(f"{len(puts)} attempts of {after.group} change at once.")
        head = {
            "Update": {
                "TableName": self._table,
                "Key": _key(after.group, 0),
                "UpdateExpression": "SET Revision = :after",
                "ConditionExpression": "Revision = :before"
                if before.revision
                else "attribute_not_exists(Deployment)",
                "ExpressionAttributeValues": {
                    ":after": {"N": str(before.revision + 1)},
                    **({":before": {"N": str(before.revision)}} if before.revision else {}),
                },
            }
        }
        try:
            self._client.transact_write_items(TransactItems=[head, *puts])
        except ClientError as error:
            response: dict[str, Any] = dict(error.response)
            reasons = {item.get("Code") for item in response.get("CancellationReasons", ())}
            if error_code(error) == "TransactionCanceledException" and reasons & _RACES:
                raise OutdatedError(f"{after.group} has changed.") from error
            raise


def _key(deployment: str, sequence: int) -> dict[str, Any]:
    return {"Deployment": {"S": deployment}, "Sequence": {"N": str(sequence)}}


def attribute(member: str) -> str:
    """The ledger's name of an attempt's member."""
    return _NAMED.get(member) or "".join(part.capitalize() for part in member.split("_"))


def _members(attempt: Attempt) -> dict[str, Any]:
    """All members but the keys; what is empty is left out."""
    told: dict[str, Any] = {}
    for item in fields(attempt):
        value: Any = getattr(attempt, item.name)
        if item.name in ("environment", "sequence") or not value:
            continue
        if isinstance(value, bool):
            written: dict[str, Any] = {"BOOL": value}
        elif isinstance(value, int):
            written = {"N": str(value)}
        elif isinstance(value, dict | list):
            written = {"S": json.dumps(value, sort_keys=True)}
        else:
            written = {"S": value.value if isinstance(value, Status | Kind) else value}
        told[attribute(item.name)] = written
    return told


_READ: dict[str, Callable[[Any], Any]] = {
    "version": int,
    "leaves": int,
    "status": Status,
    "kind": Kind,
    "parts": json.loads,
    "evidence": json.loads,
}


def _attempt(environment: str, item: dict[str, Any]) -> Attempt:
    members: dict[str, Any] = {}
    for each in fields(Attempt):
        written = item.get(attribute(each.name))
        if each.name not in ("environment", "sequence") and written is not None:
            (value,) = written.values()
            members[each.name] = _READ.get(each.name, lambda kept: kept)(value)
    return Attempt(environment=environment, sequence=int(item["Sequence"]["N"]), **members)
