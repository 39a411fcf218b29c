"""The ledger: who is promoting a version, and what came of it.

One item for each source version in a DynamoDB table whose partition key is
``SourceModelPackageArn`` (a string). A worker holds a version by a lease that ends by itself. Each
claim raises the item's fence; every later write of the worker asks for its own fence, so a worker
that was thought dead and comes back can write no more. Items are never deleted: they are the record
of what was promoted.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from .aws import error_code
from .outcomes import Outcome

KEY = "SourceModelPackageArn"


class Busy(Exception):  # noqa: N818 - the queue tries again; nothing is wrong
    """Another delivery of the same version is at work."""


class LeaseLost(Exception):  # noqa: N818 - as above
    """The lease ended while the worker was busy, and another worker has taken over."""


@dataclass(frozen=True)
class Claim:
    """A version, held by a worker.

    Attributes:
        source_arn: The version.
        fence: Number of this claim among all of the version.
        central_arn: The central version; empty until it is registered.
        done: Whether the version is promoted: there is nothing to do, and no lease is held.
    """

    source_arn: str
    fence: int
    central_arn: str = ""
    done: bool = False


class Ledger:
    """The table.

    Args:
        client: A DynamoDB client of the hub.
        table: The table's name.
        lease_seconds: How long a claim holds; longer than the function may run.
        now: The time in seconds.
    """

    def __init__(
        self, client: Any, table: str, lease_seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._table = table
        self._lease_seconds = lease_seconds
        self._now = now

    def claim(self, source_arn: str) -> Claim:
        """Takes a version for this worker, or tells that it is promoted.

        Raises:
            Busy: Another worker holds it.
        """
        now = int(self._now())
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={KEY: {"S": source_arn}},
                UpdateExpression=(
                    "SET LeaseUntil = :until, Outcome = :working, UpdatedAt = :now,"
                    " Worker = :worker ADD Fence :one"
                ),
                # The SDK repeats a request whose answer was lost: the worker meets its own claim.
                ConditionExpression=(
                    f"attribute_not_exists({KEY}) OR Worker = :worker"
                    " OR (Outcome <> :promoted AND LeaseUntil <= :now)"
                ),
                ExpressionAttributeValues={
                    ":until": {"N": str(now + self._lease_seconds)},
                    ":now": {"N": str(now)},
                    ":one": {"N": "1"},
                    ":worker": {"S": uuid.uuid4().hex},
                    ":working": {"S": "working"},
                    ":promoted": {"S": Outcome.PROMOTED},
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
            response: dict[str, Any] = dict(error.response)
            item: dict[str, Any] = response.get("Item", {})
            if item.get("Outcome", {}).get("S") == Outcome.PROMOTED:
                return _claim(source_arn, item, done=True)
            raise Busy(f"Another delivery is promoting {source_arn}.") from error
        return _claim(source_arn, answer["Attributes"])

    def renew(self, claim: Claim) -> None:
        """Holds the version for another full lease.

        Raises:
            LeaseLost: Another worker has it.
        """
        self._write(claim, {"LeaseUntil": self._lease_seconds + int(self._now())})

    def release(self, claim: Claim, outcome: str, cause: str = "") -> None:
        """Gives the version back: a later delivery may claim it at once.

        Args:
            claim: The worker's claim.
            outcome: ``failed``, ``refused``, ``superseded`` or ``gone``.
            cause: What people read.

        Raises:
            LeaseLost: Another worker has it.
        """
        self._write(claim, {"LeaseUntil": 0, "Outcome": outcome, "Cause": cause[:1000]})

    def finish(self, claim: Claim, central_arn: str, card_name: str) -> None:
        """Records that the version is promoted, for ever.

        Raises:
            LeaseLost: Another worker has it.
        """
        self._write(
            claim,
            {
                "LeaseUntil": 0,
                "Outcome": Outcome.PROMOTED,
                "Cause": "",
                "CentralModelPackageArn": central_arn,
                "ModelCardName": card_name,
            },
        )

    def _write(self, claim: Claim, values: dict[str, str | int]) -> None:
        values = {**values, "UpdatedAt": int(self._now())}
        try:
            self._client.update_item(
                TableName=self._table,
                Key={KEY: {"S": claim.source_arn}},
                UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in values),
                ConditionExpression="Fence = :fence",
                ExpressionAttributeValues={
                    ":fence": {"N": str(claim.fence)},
                    **{
                        f":{name}": {"N": str(value)} if isinstance(value, int) else {"S": value}
                        for name, value in values.items()
                    },
                },
            )
        except ClientError as error:
            if _condition_failed(error):
                raise LeaseLost(f"Another delivery has taken {claim.source_arn} over.") from error
            raise


def _claim(source_arn: str, item: dict[str, Any], *, done: bool = False) -> Claim:
    return Claim(
        source_arn,
        int(item.get("Fence", {}).get("N", "0")),
        item.get("CentralModelPackageArn", {}).get("S", ""),
        done,
    )


def _condition_failed(error: ClientError) -> bool:
    return error_code(error) == "ConditionalCheckFailedException"
