"""What starts a promotion: SageMaker's event about a model package version, read strictly.

The event only says where to look. What it claims about the version is never believed: the version
is described anew before anything is done.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast

APPROVED = "Approved"
_DETAIL_TYPE = "SageMaker Model Package State Change"
# Source: the ARN of a versioned model package in SageMaker's API reference.
_VERSION_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):sagemaker:(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":model-package/(?P<group>[a-zA-Z0-9][a-zA-Z0-9-]{0,62})/(?P<version>[1-9]\d{0,4})"
)


class Refused(Exception):  # noqa: N818 - an outcome that people read, not a failure of the code
    """What can never be promoted as it is; the message tells people why and what to change.

    Attributes:
        source_arn: The version it is about, where that is known.
    """

    def __init__(self, message: str, source_arn: str = "") -> None:
        super().__init__(message)
        self.source_arn = source_arn


@dataclass(frozen=True)
class Source:
    """A model package version in the account where it was made."""

    arn: str
    partition: str
    region: str
    account: str
    group: str
    version: int

    @classmethod
    def parse(cls, arn: str) -> Source:
        """Reads a version's ARN.

        Raises:
            Refused: It is no ARN of a version in a group.
        """
        match = _VERSION_ARN.fullmatch(arn)
        if match is None:
            raise Refused(f"{arn[:200]!r} is not the ARN of a model package version.")
        return cls(
            arn=arn,
            partition=match["partition"],
            region=match["region"],
            account=match["account"],
            group=match["group"],
            version=int(match["version"]),
        )

    @property
    def prefix(self) -> str:
        """Where its artifacts go in the hub's bucket, with the slash at the end."""
        return f"promoted/{self.account}/{self.group}/{self.version}/"


@dataclass(frozen=True)
class Notice:
    """An event: the version, and the approval that it had when the event was sent."""

    source: Source
    status: str


def read_notice(body: str, region: str) -> Notice:
    """Reads the EventBridge event in a queue message.

    Args:
        body: The message's body.
        region: The only region that versions come from: the hub's bucket and keys are there.

    Raises:
        Refused: It is not SageMaker's event about a version, or contradicts itself.

    Source: "Events that Amazon SageMaker AI sends to Amazon EventBridge", model package state
    change, in the SageMaker developer guide.
    """
    try:
        loaded: Any = json.loads(body)
    except ValueError as error:
        raise Refused(f"The message is no JSON: {error}.") from error
    if not isinstance(loaded, dict):
        raise Refused("The message is no event: it is not a JSON object.")
    event = cast(dict[str, Any], loaded)
    if event.get("source") != "aws.sagemaker" or event.get("detail-type") != _DETAIL_TYPE:
        raise Refused(
            f"The event is {event.get('source')!r}, {event.get('detail-type')!r}; only "
            f"'aws.sagemaker', {_DETAIL_TYPE!r} is promoted."
        )
    loaded = event.get("detail")
    if not isinstance(loaded, dict):
        raise Refused("The event has no detail.")
    detail = cast(dict[str, Any], loaded)
    arn = detail.get("ModelPackageArn")
    if not isinstance(arn, str):
        raise Refused("The event's detail has no ModelPackageArn.")
    source = Source.parse(arn)
    # EventBridge, not the sender, writes the account: a claim about another one is a forgery.
    for told, member in ((event.get("account"), "account"), (event.get("region"), "region")):
        if told != getattr(source, member):
            raise Refused(f"The event's {member} is {told!r}, not that of {arn}.", arn)
    if source.region != region:
        raise Refused(f"{arn} is not in {region}, the hub's region.", arn)
    for told, real, member in (
        (detail.get("ModelPackageGroupName"), source.group, "ModelPackageGroupName"),
        (detail.get("ModelPackageVersion"), source.version, "ModelPackageVersion"),
    ):
        if told is not None and str(told) != str(real):
            raise Refused(f"The event's {member} is {told!r}, not that of {arn}.", arn)
    status = detail.get("ModelApprovalStatus")
    if not isinstance(status, str):
        raise Refused("The event's detail has no ModelApprovalStatus.", arn)
    return Notice(source, status)
