"""Reads the central registry: versions, model cards, deployments, and what endpoints serve.

Everything is read with the caller's own credentials. A list costs, beside the pages of
``ListModelPackages``, the same number of pages of ``Search`` (100 versions each, with all that a
description has, instead of one ``DescribeModelPackage`` a version), a few reads of the ledger for
each group, and one ``DescribeModelCard`` for each of a bounded number of versions: the numbers of a
model are on its card, which ``Search`` does not give the content of when it is encrypted with a
customer key. Search's index follows the registry after a while: a version whose approval it tells
otherwise than the list, or does not know yet, is described.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from components.deployments import DEPLOYMENTS
from components.naming import TARGET_KINDS, Names, Placement, kind_of
from functions.deployment.history import Attempt, History
from functions.deployment.ledger import Ledger
from functions.deployment.machine import Approval, Status
from functions.deployment.versions import Version, Versions
from functions.promotion.aws import error_code, error_message
from functions.promotion.model_card import card_name
from functions.promotion.registry import SOURCE_KEY, missing

T = TypeVar("T")
R = TypeVar("R")

CARDS = 100
"""How many cards a list reads unless told otherwise."""

_PAGE = 100
_PARALLEL = 8
_BATCH = "batch:"
"""Before the model's name, where the ledger would have an endpoint's configuration."""
_GROUP = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):sagemaker:(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":model-package/(?P<rest>.+)",
    re.ASCII,
)
# The function's answer to a rollback may take as long as the function.
_READ_SECONDS = 180


class ModelsError(RuntimeError):
    """What people asked for cannot be done; the message says why, and what to do."""


@dataclass(frozen=True)
class VersionName:
    """A version of the central registry.

    Attributes:
        group: Its group.
        number: Its number in the group.
    """

    group: str
    number: int


def read_version_name(text: str, names: Names) -> VersionName:
    """Reads what people call a version: ``abalone:3``, ``abalone/3``, or its ARN.

    The group may be given by the project's name or in full.

    Args:
        text: As given.
        names: The hub's.

    Raises:
        ModelsError: It is none of them, or of another account or region.
    """
    rest, arn = text, _ARN.fullmatch(text)
    if arn is not None:
        place = (arn["partition"], arn["region"], arn["account"])
        here = (names.partition, names.region, names.account_id)
        if place != here:
            raise ModelsError(
                f"{text} is not in the central registry, which is in account {names.account_id}, "
                f"{names.region}."
            )
        rest = arn["rest"]
    group, number = _split(rest)
    if not _GROUP.fullmatch(group) or not _NUMBER.fullmatch(number):
        raise ModelsError(
            f"{text!r} is no version: expected PROJECT:NUMBER, PROJECT/NUMBER, or the ARN of a "
            "model package of the hub."
        )
    return VersionName(full_group(group, names), int(number))


def _split(text: str) -> tuple[str, str]:
    for separator in (":", "/"):
        if separator in text:
            group, _, number = text.partition(separator)
            return group, number
    return text, ""


def full_group(text: str, names: Names) -> str:
    """The name of a central group, given by the project's name or in full."""
    return text if text.startswith(names.name("")) else names.name("") + text


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        name: Its name.
        version: Its version.
        status: Its status.
        content: By SageMaker's model card schema; empty when it is no JSON object.
    """

    name: str
    version: int
    status: str
    content: Mapping[str, Any]

    def section(self, *path: str) -> Mapping[str, Any]:
        """A section, or one within it; empty when the card has none."""
        found: Any = self.content
        for name in path:
            found = cast("Mapping[str, Any]", found).get(name)
            if not isinstance(found, dict):
                return {}
        return found

    def metrics(self) -> list[tuple[str, Any]]:
        """The evaluation's single values, by name, in the card's order."""
        return [
            (str(metric["name"]), metric["value"])
            for evaluation in _dicts(self.content.get("evaluation_details"))
            for group in _dicts(evaluation.get("metric_groups"))
            for metric in _dicts(group.get("metric_data"))
            if isinstance(metric.get("value"), (int, float, str)) and metric.get("name")
        ]

    def training(self) -> list[tuple[str, Any]]:
        """The job that trained it, its metrics and its hyperparameters, in the card's order."""
        told = self.section("training_details", "training_job_details")
        return [
            ("job", told.get("training_arn")),
            *(
                (f"{kind} {item.get('name')}", item.get("value"))
                for member, kind in (
                    ("training_metrics", "metric"),
                    ("hyper_parameters", "hyperparameter"),
                )
                for item in _dicts(told.get(member))
            ),
        ]


def _dicts(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            if isinstance(item, dict):
                yield cast("Mapping[str, Any]", item)


@dataclass(frozen=True)
class Model:
    """A version with what else is known of it.

    Attributes:
        version: The version.
        project: Its project.
        attempts: Its deployments, oldest first.
        serves: The environments that it serves now, by the ledger.
        card: Its card; None when it has none or it was not read.
        card_read: Whether the card was asked for.
    """

    version: Version
    project: str
    attempts: tuple[Attempt, ...] = ()
    serves: tuple[str, ...] = ()
    card: Card | None = None
    card_read: bool = False

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.project}:{self.version.number}"

    @property
    def metadata(self) -> Mapping[str, str]:
        """Its customer metadata."""
        return self.version.description.get("CustomerMetadataProperties") or {}

    @property
    def source(self) -> str:
        """ARN of dev's version; empty when it was not promoted."""
        return self.metadata.get(SOURCE_KEY, "")

    @property
    def decided_by(self) -> str:
        """Who approved or rejected it; empty while nobody has.

        Of an approval the ledger knows it for good; otherwise it is who changed the version last.
        """
        if self.version.approval is Approval.PENDING:
            return ""
        if self.version.approval is Approval.APPROVED:
            for attempt in reversed(self.attempts):
                if attempt.version_approved_by and not attempt.withdrawn:
                    return attempt.version_approved_by
        return self.version.changed_by

    @property
    def decided_at(self) -> datetime | None:
        """When it was changed last; None while nobody has decided."""
        if self.version.approval is Approval.PENDING:
            return None
        return self.version.description.get("LastModifiedTime")

    @property
    def decided_because(self) -> str:
        """The reason given; empty while nobody has decided."""
        if self.version.approval is Approval.PENDING:
            return ""
        return " ".join(str(self.version.description.get("ApprovalDescription") or "").split())

    @property
    def created(self) -> datetime:
        """When it was registered in the hub."""
        return self.version.description["CreationTime"]


def person(told: str) -> str:
    """The shortest name in what AWS tells of somebody; see ``functions.promotion.identity``."""
    parts = dict(part.split("=", 1) for part in told.split() if "=" in part)
    for key in ("SourceIdentity", "UserProfileName", "Arn"):
        if parts.get(key):
            return parts[key].rpartition("/")[2]
    return told.rpartition("/")[2]


class Hub:
    """The hub, as its people see it.

    Args:
        placement: The hub's.
        sessions: Environment -> session of its account; ``governance`` has to be there.
    """

    def __init__(self, placement: Placement, sessions: Mapping[str, boto3.Session]) -> None:
        self.placement = placement
        self.names = Names.at(placement, "governance")
        self.sessions = sessions
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def targets(self) -> tuple[str, ...]:
        """The environments that versions are deployed to, in the order of the way."""
        return tuple(env for env in self.placement["accounts"] if kind_of(env) in TARGET_KINDS)

    def client(self, service: str, environment: str = "governance") -> Any:
        """A client of the caller's own; it tries throttled calls again, ever slower.

        Raises:
            KeyError: There is no session of the environment.
        """
        key = (service, environment)
        if key not in self._clients:
            config = Config(
                retries={"total_max_attempts": 10, "mode": "adaptive"},
                max_pool_connections=2 * _PARALLEL,
                read_timeout=_READ_SECONDS,
            )
            self._clients[key] = self.sessions[environment].client(
                service, region_name=self.placement["region"], config=config
            )
        return self._clients[key]

    @cached_property
    def caller(self) -> str:
        """ARN of who asks."""
        return str(self.client("sts").get_caller_identity()["Arn"])

    def credentials(self) -> Any:
        """The caller's credentials in the hub, to sign with.

        Raises:
            ModelsError: There are none.
        """
        found = self.sessions["governance"].get_credentials()
        if found is None:
            raise ModelsError("There are no credentials of the hub: give a profile (--profile).")
        return found.get_frozen_credentials()

    @property
    def ledger(self) -> Ledger:
        """The deployments' ledger."""
        return Ledger(self.client("dynamodb"), self.names.name(DEPLOYMENTS))

    def groups(self) -> list[str]:
        """The central groups, by name.

        Raises:
            ClientError: SageMaker's.
        """
        pages = (
            self.client("sagemaker")
            .get_paginator("list_model_package_groups")
            .paginate(
                NameContains=self.names.name("").rstrip("-"), PaginationConfig={"PageSize": _PAGE}
            )
        )
        names = (
            str(item["ModelPackageGroupName"])
            for page in pages
            for item in page["ModelPackageGroupSummaryList"]
        )
        return sorted(name for name in names if name.startswith(self.names.name("")))

    def project(self, group: str) -> str:
        """The project of a central group."""
        return group.removeprefix(self.names.name(""))

    def models(
        self, group: str | None = None, status: Approval | None = None, cards: int | None = CARDS
    ) -> list[Model]:
        """The versions of all central groups, or of one; by group, the newest first.

        Args:
            group: Its full name.
            status: Only those with this approval.
            cards: Of how many the cards are read: first those that serve, then the newest. None for
                all.

        Raises:
            ModelsError: There is no such group.
            ClientError: A service's.
        """
        listed = self._listed(group, status)
        if group is not None and not listed:
            self._require_group(group)
        details = self._searched(group) if listed else {}
        versions = self._parallel(lambda told: self._version(told, details), listed)
        standing = [version for version in versions if version is not None]
        histories = self.histories({version.group for version in standing})
        found = [self._model(version, histories[version.group]) for version in standing]
        found.sort(key=lambda model: (model.project, -model.version.number))
        by_need = sorted(
            range(len(found)), key=lambda n: (bool(found[n].serves), found[n].created), reverse=True
        )
        wanted = by_need[:cards]
        for place, whole in zip(
            wanted, self._parallel(self.with_card, [found[n] for n in wanted]), strict=True
        ):
            found[place] = whole
        return found

    def model(self, name: VersionName) -> Model:
        """One version, with its card.

        Raises:
            ModelsError: There is no such version.
            ClientError: A service's.
        """
        arn = self.names.arn("sagemaker", f"model-package/{name.group}/{name.number}")
        version = Versions(self.client("sagemaker")).read(arn)
        if version is None:
            numbers = [int(item["ModelPackageVersion"]) for item in self._listed(name.group, None)]
            if not numbers:
                self._require_group(name.group)
            told = f"its newest is {max(numbers)}" if numbers else "it has none"
            raise ModelsError(f"{name.group} has no version {name.number}: {told}.")
        history = self.histories([name.group])[name.group]
        return self.with_card(self._model(version, history))

    def histories(self, groups: Sequence[str] | set[str]) -> dict[str, History]:
        """Group -> its deployments.

        Raises:
            ModelsError: The hub has no ledger.
            ClientError: DynamoDB's.
        """
        names, targets = sorted(groups), self.targets
        ledger = self.ledger
        try:
            return dict(
                zip(names, self._parallel(lambda g: ledger.read(g, targets), names), strict=True)
            )
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            raise ModelsError(
                f"The hub has no table {self.names.name(DEPLOYMENTS)}: bring the governance stack "
                "up."
            ) from error

    def with_card(self, model: Model) -> Model:
        """A version with its card, where it has one.

        Raises:
            ClientError: SageMaker's.
        """
        name = card_name(model.version.group, model.version.number)
        try:
            told = self.client("sagemaker").describe_model_card(ModelCardName=name)
        except ClientError as error:
            if not missing(error):
                raise
            return replace(model, card_read=True)
        try:
            content: Any = json.loads(told["Content"])
        except ValueError:
            content = {}
        card = Card(
            name,
            int(told["ModelCardVersion"]),
            str(told["ModelCardStatus"]),
            cast("Mapping[str, Any]", content) if isinstance(content, dict) else {},
        )
        return replace(model, card=card, card_read=True)

    def _require_group(self, group: str) -> None:
        groups = self.groups()
        if group not in groups:
            there = ", ".join(self.project(name) for name in groups) or "none"
            raise ModelsError(
                f"The hub has no group {group}. There are: {there}. A group is made with its "
                "project, or with the first version that is promoted."
            )

    def _listed(self, group: str | None, status: Approval | None) -> list[Mapping[str, Any]]:
        asked: dict[str, Any] = (
            {"ModelPackageType": "Versioned"} if group is None else {"ModelPackageGroupName": group}
        )
        if status is not None:
            asked["ModelApprovalStatus"] = status.value
        pages = (
            self.client("sagemaker")
            .get_paginator("list_model_packages")
            .paginate(**asked, PaginationConfig={"PageSize": _PAGE})
        )
        try:
            return [
                item
                for page in pages
                for item in page["ModelPackageSummaryList"]
                if str(item["ModelPackageGroupName"]).startswith(self.names.name(""))
            ]
        except ClientError as error:
            if group is not None and missing(error):
                return []
            raise

    def _searched(self, group: str | None) -> dict[str, Mapping[str, Any]]:
        """ARN -> description, of all versions that Search knows."""
        wanted = (
            {"Operator": "Contains", "Value": self.names.name("")}
            if group is None
            else {"Operator": "Equals", "Value": group}
        )
        pages = (
            self.client("sagemaker")
            .get_paginator("search")
            .paginate(
                Resource="ModelPackage",
                SearchExpression={"Filters": [{"Name": "ModelPackageGroupName", **wanted}]},
                PaginationConfig={"PageSize": _PAGE},
            )
        )
        records = (record.get("ModelPackage") for page in pages for record in page["Results"])
        return {str(told["ModelPackageArn"]): told for told in records if told}

    def _version(
        self, listed: Mapping[str, Any], details: Mapping[str, Mapping[str, Any]]
    ) -> Version | None:
        arn = str(listed["ModelPackageArn"])
        told = details.get(arn)
        if told is None or any(
            told.get(member) != listed.get(member)
            for member in ("ModelApprovalStatus", "ModelPackageStatus")
        ):
            return Versions(self.client("sagemaker")).read(arn)
        return Version(
            arn=arn,
            group=str(listed["ModelPackageGroupName"]),
            number=int(listed["ModelPackageVersion"]),
            approval=Approval(listed.get("ModelApprovalStatus") or Approval.PENDING),
            complete=listed.get("ModelPackageStatus") == "Completed",
            description=told,
        )

    def _model(self, version: Version, history: History) -> Model:
        attempts = [a for a in history.attempts if a.model_package_arn == version.arn]
        live = {environment: history.live(environment) for environment in self.targets}
        return Model(
            version=version,
            project=self.project(version.group),
            attempts=tuple(sorted(attempts, key=lambda a: (a.requested_at, a.sequence))),
            serves=tuple(
                environment
                for environment, attempt in live.items()
                if attempt is not None and attempt.model_package_arn == version.arn
            ),
        )

    @staticmethod
    def _parallel(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return list(pool.map(work, items))

    # What really serves.

    def verify(self, models: Sequence[Model]) -> dict[tuple[str, str], str]:
        """Asks the endpoints whether they serve what the ledger says.

        Returns:
            (version's ARN, environment) -> what was found, for people.
        """
        asked = [(model, environment) for model in models for environment in model.serves]
        told = self._parallel(lambda pair: self._endpoint(*pair), asked)
        return {
            (model.version.arn, environment): text
            for (model, environment), text in zip(asked, told, strict=True)
        }

    def _endpoint(self, model: Model, environment: str) -> str:
        """What an environment's endpoint says."""
        if environment not in self.sessions:
            return f"not asked: give a profile of {environment} (--profile {environment}=NAME)"
        name = Names.at(self.placement, environment).name(model.project)
        wanted = next(
            attempt.endpoint_config
            for attempt in reversed(model.attempts)
            if attempt.environment == environment and attempt.status is Status.LIVE
        )
        if wanted.startswith(_BATCH):
            return f"predicts in batches, not asked: see the runs of {name}-batch"
        try:
            told = self.client("sagemaker", environment).describe_endpoint(EndpointName=name)
        except ClientError as error:
            if "could not find" in error_message(error).lower() or missing(error):
                return f"the endpoint {name} does not exist"
            return f"not asked: {refused(error)}"
        config, status = str(told["EndpointConfigName"]), str(told["EndpointStatus"])
        if not wanted:
            return f"{status} with {config}; the ledger names no configuration"
        if config != wanted:
            return f"{status} with {config}, not with {wanted} as the ledger says"
        return f"{status} with {config}, as the ledger says"


def refused(error: ClientError) -> str:
    """A service's error as a sentence."""
    operation = str(getattr(error, "operation_name", ""))
    message = error_message(error).rstrip(".") or error_code(error)
    denied = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
    if error_code(error) in denied:
        return f"IAM refuses it: {message}."
    return f"{operation} failed: {message} ({error_code(error)})."


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)
