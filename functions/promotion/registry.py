"""The central registry: group, version and card in the hub's SageMaker.

Nothing is ever made because an answer could not be had: a group or a version counts as missing only
when SageMaker says that it does not exist.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from .aws import error_code, error_message
from .events import Refused, Source
from .identity import describe_user
from .images import containers
from .model_card import merged

SOURCE_KEY = "SourceModelPackageArn"
SPECIFICATION_KEY = "SpecificationDigest"
"""What the version ran when it was promoted, by :func:`specification_digest`."""
REGISTERED_KEY = "RegisteredBy"
"""Who registered the source version, by :func:`.identity.describe_user`."""
STARTED_KEY = "StartedBy"
"""Who started what did, by :meth:`.origin.Origin.started_by`; absent where that is not known."""
APPROVED_KEY = "SourceApprovedBy"
"""Who changed the source version last: an approval may bring another specification with it."""
_OURS = (REGISTERED_KEY, STARTED_KEY, APPROVED_KEY, SPECIFICATION_KEY)
GROUP_PLACEHOLDER, PROJECT_PLACEHOLDER = "${Group}", "${Project}"

_GROUP_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
# Source: CustomerMetadataProperties of CreateModelPackage in SageMaker's API reference.
_METADATA_PROPERTIES = 50
_METADATA_KEY = 128
_METADATA_VALUE = 256
_DESCRIPTION = 1024
# What clocks of two of AWS's services may differ by, and much more.
_CLOCKS_APART = timedelta(hours=1)
_MARK = re.compile(r"\[promoted from (arn:[^\]]+)\]$")


def missing(error: ClientError) -> bool:
    """Whether SageMaker says that what was asked for does not exist.

    Groups and versions have no error of their own: it is a validation error with this text.
    """
    code, message = error_code(error), error_message(error)
    return code == "ResourceNotFound" or (
        code == "ValidationException" and message.rstrip(".").endswith("does not exist")
    )


def central_group(source: Source, source_prefixes: Mapping[str, str], group_prefix: str) -> str:
    """The central group of a source group: the same name with the hub's prefix.

    Raises:
        Refused: The account is not of the organisation, or groups of this name are not promoted.
    """
    prefix = source_prefixes.get(source.account)
    if prefix is None:
        raise Refused(f"Account {source.account} is none that models come from.", source.arn)
    stem = source.group.removeprefix(prefix)
    if stem == source.group or not stem:
        raise Refused(
            f"Only groups of {source.account} whose names begin with {prefix!r} are promoted, "
            f"{source.group!r} does not.",
            source.arn,
        )
    name = group_prefix + stem
    if not _GROUP_NAME.fullmatch(name):
        raise Refused(
            f"The central group would be {name!r}, which is no valid name (63 characters at most).",
            source.arn,
        )
    return name


def client_token(source: Source) -> str:
    """The same for every attempt to register a version, and for no other version."""
    return str(uuid.UUID(bytes=hashlib.sha256(source.arn.encode()).digest()[:16]))


def execution_of(description: Mapping[str, Any], source: Source) -> str:
    """ARN of the pipeline execution of the source account that made a version; empty for none."""
    by = str((description.get("MetadataProperties") or {}).get("GeneratedBy") or "")
    here = f"arn:{source.partition}:sagemaker:{source.region}:{source.account}:pipeline/"
    return by if by.startswith(here) and "/execution/" in by else ""


def specification_digest(version: Mapping[str, Any]) -> str:
    """What of a version runs, as a digest: images, model data and environment of its containers.

    An approval can come with another specification in the same call; by this it is told from the
    one that was promoted. What SageMaker itself adds, such as ETags, is no part of it.
    """
    runs = [
        [
            container.get("Image", ""),
            container.get("ModelDataUrl", ""),
            ((container.get("ModelDataSource") or {}).get("S3DataSource") or {}).get("S3Uri", ""),
            sorted((container.get("Environment") or {}).items()),
        ]
        for container in containers(version)
    ]
    text = json.dumps([runs, version.get("SourceUri") or ""])
    return hashlib.sha256(text.encode()).hexdigest()


def central_metadata(
    description: Mapping[str, Any], source: Source, starter: str = "", digest: str = ""
) -> dict[str, str]:
    """Where a version comes from, as the central version's customer metadata records it.

    The source's own customer metadata follow, as far as AWS's limits leave room; who registered and
    approved it and who started its pipeline is what AWS says, never what they say.

    Args:
        description: The source version.
        source: Its ARN.
        starter: Who started what registered it, where that is known.
        digest: :func:`specification_digest` of the central version.
    """
    told: Mapping[str, str] = description.get("CustomerMetadataProperties") or {}
    own = {key: told[key] for key in told if _allowed(key) not in _OURS}
    properties: Mapping[str, str] = description.get("MetadataProperties") or {}
    by = properties.get("GeneratedBy", "")
    known = {
        SOURCE_KEY: source.arn,
        "ProjectId": properties.get("ProjectId") or own.get("ProjectId"),
        "PipelineExecutionArn": by if ":pipeline/" in by else own.get("PipelineExecutionArn"),
        "CommitId": properties.get("CommitId") or own.get("CommitId"),
        "DataVersion": own.get("DataVersion"),
        REGISTERED_KEY: describe_user(description.get("CreatedBy")),
        STARTED_KEY: _whole(starter),
        APPROVED_KEY: describe_user(description.get("LastModifiedBy")),
        SPECIFICATION_KEY: digest,
    }
    kept: dict[str, str] = {}
    for key, value in (*known.items(), *sorted(own.items())):
        name, text = _allowed(key)[:_METADATA_KEY], _allowed(value or "")[:_METADATA_VALUE]
        if name and text and name not in kept and len(kept) < _METADATA_PROPERTIES:
            kept[name] = text
    return kept


def _whole(people: str) -> str:
    """As many of several people as a value can hold, each whole."""
    kept = people
    while len(kept) > _METADATA_VALUE:
        kept = kept.rpartition(" ")[0]
    return kept


def _allowed(text: str) -> str:
    """Text with what customer metadata may not hold replaced."""
    return "".join(
        char if unicodedata.category(char)[0] in "LZN" or char in "_.:/=+-@" else "_"
        for char in text
    )


def central_description(description: Mapping[str, Any], source: Source) -> str:
    """The source's description, marked with its ARN: a description can never be changed."""
    mark = f"[promoted from {source.arn}]"
    text = "".join(
        " " if unicodedata.category(char)[0] == "C" else char
        for char in description.get("ModelPackageDescription") or ""
    )
    return f"{text[: _DESCRIPTION - len(mark) - 1]} {mark}".strip()


@dataclass(frozen=True)
class GroupSettings:
    """How a group is made.

    Attributes:
        policy: Its resource policy, ``${Group}`` standing for its name and ``${Project}`` for that
            of its project; empty for none.
        tags: Its tags.
        prefix: What groups' names begin with before the project's.
    """

    policy: str
    tags: Mapping[str, str]
    prefix: str

    def policy_of(self, group: str) -> str:
        """The policy of one group."""
        return self.policy.replace(GROUP_PLACEHOLDER, group).replace(
            PROJECT_PLACEHOLDER, group.removeprefix(self.prefix)
        )


class Registry:
    """The hub's registry.

    Args:
        client: A SageMaker client of the function's own role.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def ensure_group(self, group: str, source: Source, settings: GroupSettings) -> None:
        """Makes the group when it does not exist, and gives it its policy when it has none.

        Raises:
            ClientError: SageMaker's, which the queue retries.
        """
        try:
            self._client.describe_model_package_group(ModelPackageGroupName=group)
        except ClientError as error:
            if not missing(error):
                raise
            try:
                self._client.create_model_package_group(
                    ModelPackageGroupName=group,
                    ModelPackageGroupDescription=f"Versions promoted from {source.group} "
                    f"of account {source.account}",
                    **_tags(settings.tags),
                )
            except ClientError as conflict:
                # Another delivery was faster.
                if "already exists" not in error_message(conflict):
                    raise
        if settings.policy and not self._has_policy(group):
            self._client.put_model_package_group_policy(
                ModelPackageGroupName=group,
                ResourcePolicy=settings.policy_of(group),
            )

    def _has_policy(self, group: str) -> bool:
        try:
            self._client.get_model_package_group_policy(ModelPackageGroupName=group)
        except ClientError as error:
            told = error_message(error)
            if error_code(error) == "ValidationException" and "Cannot find resource policy" in told:
                return False
            raise
        return True

    def find(self, group: str, source: Source, made: datetime) -> str:
        """The ARN of the central version of a source version; empty when there is none.

        The mark in the description tells; versions without one, which others made, are asked for
        their customer metadata, which need not have the key. What is older than the source version
        is not looked at, so that a promotion does not take longer the more there have been.

        Args:
            group: The central group.
            source: The source version.
            made: When the source version was registered.

        Raises:
            ClientError: SageMaker's, which the queue retries.
        """
        pages = self._client.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group,
            SortBy="CreationTime",
            SortOrder="Descending",
            PaginationConfig={"PageSize": 100},
        )
        for page in pages:
            for item in page["ModelPackageSummaryList"]:
                if item["CreationTime"] < made - _CLOCKS_APART:
                    return ""
                arn: str = item["ModelPackageArn"]
                mark = _MARK.search(item.get("ModelPackageDescription") or "")
                if mark is None:
                    whole = self._client.describe_model_package(ModelPackageName=arn)
                    metadata: Mapping[str, str] = whole.get("CustomerMetadataProperties") or {}
                    origin = metadata.get(SOURCE_KEY)
                else:
                    origin = mark[1]
                if origin == source.arn:
                    return arn
        return ""

    def register(self, group: str, source: Source, version: Mapping[str, Any]) -> str:
        """Registers the central version; repeated, it gives the version that there is.

        Args:
            group: The central group.
            source: The source version.
            version: Members of ``CreateModelPackage`` beside group, token and approval.

        Raises:
            ClientError: SageMaker's, which the queue retries.
        """
        answer = self._client.create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus="PendingManualApproval",
            ClientToken=client_token(source),
            **version,
        )
        return str(answer["ModelPackageArn"])

    def put_card(self, name: str, content: str, key_arn: str, tags: Mapping[str, str]) -> None:
        """Makes the card, or adds what a standing one does not say; see :func:`.model_card.merged`.

        Raises:
            ClientError: SageMaker's, which the queue retries.
        """
        standing = self._card(name)
        if standing is None:
            try:
                self._client.create_model_card(
                    ModelCardName=name,
                    Content=content,
                    ModelCardStatus="PendingReview",
                    SecurityConfig={"KmsKeyId": key_arn},
                    **_tags(tags),
                )
            except ClientError as conflict:
                if error_code(conflict) != "ConflictException":
                    raise
                standing = self._card(name)
        if standing is not None and (whole := merged(standing, content)) != standing:
            self._client.update_model_card(ModelCardName=name, Content=whole)

    def _card(self, name: str) -> str | None:
        try:
            return str(self._client.describe_model_card(ModelCardName=name)["Content"])
        except ClientError as error:
            if not missing(error):
                raise
            return None


def _tags(tags: Mapping[str, str]) -> dict[str, Any]:
    items = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    return {"Tags": items} if items else {}
