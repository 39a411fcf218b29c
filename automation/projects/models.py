"""What is registered of a project, when it is to go with the project.

Versions, cards, the copies of their artifacts, and what the two ledgers know of them go together:
a group that is made again counts its versions anew, and what the ledgers said of an earlier
version 1 must not be taken for the new one's. A record of it all is kept in the hub's archive
first, from which nothing can be deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from automation.vended import VendingError
from components.deployments import DEPLOYMENTS
from components.promotion import LEDGER
from components.settings import PlatformSettings
from functions.deployment.ledger import Ledger
from functions.promotion.model_card import card_name
from functions.promotion.registry import missing

GROUPS = ("dev", "governance")
"""The environments that have a group of each project."""

_LEDGERS = {LEDGER: "SourceModelPackageArn", DEPLOYMENTS: "Deployment"}
"""Table of the hub -> its partition key."""


@dataclass(frozen=True)
class Models:
    """The registered models of a project.

    Attributes:
        platform: Environment -> settings of its stack.
        session: Environment -> a session of an administrator.
        name: The project.
    """

    platform: Mapping[str, PlatformSettings]
    session: Callable[[str], boto3.Session]
    name: str

    def live(self, leaving: Collection[str]) -> list[str]:
        """The environments where a version is live or on its way, beside those that it leaves.

        Raises:
            VendingError: It cannot be told.
        """
        dynamodb: Any = self.session("governance").client("dynamodb")
        table = self.platform["governance"].names.name(DEPLOYMENTS)
        try:
            history = Ledger(dynamodb, table).read(self.group(), tuple(self.platform))
        except (BotoCoreError, ClientError) as error:
            raise VendingError(f"Where {self.name} is live cannot be told: {error}") from None
        return [
            environment
            for environment in self.platform
            if environment not in leaving
            and (history.live(environment) or history.deploying(environment))
        ]

    def group(self, environment: str = "governance") -> str:
        """The name of the project's group."""
        return self.platform[environment].names.name(self.name, "group")

    def record(self) -> bytes:
        """All that is registered, as JSON; empty when there is nothing (any more).

        Raises:
            VendingError: It cannot be read.
        """
        try:
            versions = {environment: list(self._described(environment)) for environment in GROUPS}
            ledgers = {table: list(self._items(table)) for table in _LEDGERS}
            cards = {name: self._card(name) for name in self._cards()}
        except (BotoCoreError, ClientError) as error:
            raise VendingError(f"The models of {self.name} cannot be read: {error}") from None
        if not any((*versions.values(), *ledgers.values(), cards)):
            return b""
        told = {"versions": versions, "cards": cards, "ledgers": ledgers}
        return json.dumps(told, default=str, sort_keys=True, indent=1).encode()

    def delete(self) -> None:
        """Deletes all of it but the groups, which are the stack's.

        Begun and not ended, it is gone on with by the next call.

        Raises:
            VendingError: Something could not be deleted.
        """
        hub, dev = self.platform["governance"], self.platform["dev"]
        try:
            # dev first: what is not there is not promoted any more.
            for version in self._versions("dev"):
                self._sagemaker("dev").delete_model_package(ModelPackageName=version)
            for card in self._cards():
                self._sagemaker("governance").delete_model_card(ModelCardName=card)
            for version in self._versions("governance"):
                self._sagemaker("governance").delete_model_package(ModelPackageName=version)
            dynamodb: Any = self.session("governance").client("dynamodb")
            for table in _LEDGERS:
                for item in self._items(table):
                    key = {name: item[name] for name in (_LEDGERS[table], "Sequence")
                           if name in item}  # fmt: skip
                    dynamodb.delete_item(TableName=hub.names.name(table), Key=key)
        except (BotoCoreError, ClientError) as error:
            raise VendingError(f"The models of {self.name} cannot be deleted: {error}") from None
        promoted = f"promoted/{dev.account_id}/{self.group('dev')}/"
        empty(self.session("governance"), hub.names.bucket("models"), promoted)

    def _sagemaker(self, environment: str) -> Any:
        return self.session(environment).client("sagemaker")

    def _versions(self, environment: str) -> list[str]:
        """ARNs of the versions of a group; none when it is gone."""
        pages = self._sagemaker(environment).get_paginator("list_model_packages")
        try:
            return [
                str(item["ModelPackageArn"])
                for page in pages.paginate(ModelPackageGroupName=self.group(environment))
                for item in page["ModelPackageSummaryList"]
            ]
        except ClientError as error:
            if missing(error):
                return []
            raise

    def _described(self, environment: str) -> Iterator[dict[str, Any]]:
        client = self._sagemaker(environment)
        for version in self._versions(environment):
            told = dict(client.describe_model_package(ModelPackageName=version))
            told.pop("ResponseMetadata", None)
            yield told

    def _cards(self) -> list[str]:
        """Names of the cards that there are, also those whose version is gone."""
        group, client = self.group(), self._sagemaker("governance")
        pages = client.get_paginator("list_model_cards").paginate(
            # A card has at least as much of its group's name, however long that is.
            NameContains=group[:40].rstrip("-")
        )
        listed = (str(c["ModelCardName"]) for page in pages for c in page["ModelCardSummaries"])
        numbered = ((name, re.search(r"-v([1-9]\d*)$", name)) for name in listed)
        return sorted(
            name for name, found in numbered if found and card_name(group, int(found[1])) == name
        )

    def _card(self, name: str) -> str:
        told = self._sagemaker("governance").describe_model_card(ModelCardName=name)
        return str(told["Content"])

    def _items(self, table: str) -> Iterator[dict[str, Any]]:
        """What a ledger has of the project's groups."""
        dev = self.platform["dev"].names
        begins = {
            LEDGER: dev.arn("sagemaker", f"model-package/{self.group('dev')}/"),
            DEPLOYMENTS: f"{self.group()}#",
        }[table]
        dynamodb: Any = self.session("governance").client("dynamodb")
        pages = dynamodb.get_paginator("scan").paginate(
            TableName=self.platform["governance"].names.name(table),
            FilterExpression="begins_with(#key, :begins) OR #key = :whole",
            ExpressionAttributeNames={"#key": _LEDGERS[table]},
            ExpressionAttributeValues={
                ":begins": {"S": begins},
                # The deployments' ledger keeps the number of a group's last change under its name.
                ":whole": {"S": self.group()},
            },
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]


def record_name() -> str:
    """What a record is called in the archive: the time, as a deletion may take more than one."""
    return f"models-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.json"


def empty(session: boto3.Session, bucket: str, prefix: str = "") -> None:
    """Deletes all versions of all objects in a bucket, if it is there.

    Args:
        session: Of who may.
        bucket: The bucket.
        prefix: Only objects whose keys begin with it.

    Raises:
        VendingError: Something could not be deleted.
    """
    s3: Any = session.client("s3")
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{k: item[k] for k in ("Key", "VersionId")} for item in listed]
            if not objects:
                continue
            done = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for error in done.get("Errors", []):
                raise VendingError(
                    f"{error.get('Key')} in {bucket} cannot be deleted: {error.get('Message')}"
                )
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise VendingError(f"{bucket} cannot be emptied: {error}") from None
