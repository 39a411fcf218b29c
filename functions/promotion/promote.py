"""One promotion, from a source version's ARN to the central version and its card.

Every step may be repeated: what is there is found and left. What makes the central version the only
one is, in this order: the ledger's lease, a look for the version in the group, and the client token
that SageMaker compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from botocore.exceptions import ClientError

from . import registry
from .artifacts import (
    Artifact,
    Copier,
    check_artifacts,
    find_artifacts,
    rewritten,
    target_key,
    target_uri,
)
from .aws import Clients, error_code
from .events import APPROVED, Refused, Source
from .images import Image, ImageCopier, Placed, containers, read_image
from .ledger import Claim, LeaseLost, Ledger
from .model_card import Report, card_content, card_name
from .origin import Origin
from .outcomes import Outcome
from .registry import GroupSettings, Registry
from .settings import Settings

_REPORT_BYTES = 1024**2

# Members that the central version has as the source has them, with S3 URIs and images of the hub.
# Tags are not among them: SageMaker takes a version's tags from its group. The validation
# specification names a role of the source account, and was carried out there.
_CARRIED = (
    "InferenceSpecification",
    "AdditionalInferenceSpecifications",
    "ModelMetrics",
    "DriftCheckBaselines",
    "SamplePayloadUrl",
    "MetadataProperties",
    "Domain",
    "Task",
    "SkipModelValidation",
)


class NotReadyError(Exception):
    """The version is not complete yet."""


@dataclass
class Progress:
    """How far a promotion is: what the dead-letter queue tells people."""

    step: str = "event"
    source_arn: str = ""
    counts: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Result:
    """What came of a promotion.

    Attributes:
        outcome: One that deals with the message.
        central_arn: The central version, where there is one.
    """

    outcome: Outcome
    central_arn: str = ""


@dataclass(frozen=True)
class _Plan:
    """What is to be done, decided before anything is."""

    description: Mapping[str, Any]
    group: str
    artifacts: list[Artifact]
    images: dict[tuple[str, str], Image]
    starter: str
    training: Mapping[str, Any]


class Promoter:
    """Promotes versions.

    Args:
        settings: The deployment's settings.
        clients: AWS.
        ledger: Who promotes what.
    """

    def __init__(self, settings: Settings, clients: Clients, ledger: Ledger) -> None:
        self._settings = settings
        self._clients = clients
        self._ledger = ledger

    def check(self, source: Source) -> str:
        """The central group of a version.

        Raises:
            Refused: Its account or group is not promoted.
        """
        settings = self._settings
        if source.account not in settings.reader_roles:
            raise Refused(f"Account {source.account} is none that models come from.", source.arn)
        return registry.central_group(source, settings.source_prefixes, settings.group_prefix)

    def promote(self, source: Source, progress: Progress) -> Result:
        """Promotes a version, or tells why there is nothing to do.

        Raises:
            Refused: It can never be promoted as it is.
            Busy: Another delivery is at it.
            Exception: Whatever else failed; a later delivery may succeed.
        """
        progress.source_arn = source.arn
        progress.step = "check"
        group = self.check(source)
        progress.step = "claim"
        claim = self._ledger.claim(source.arn)
        if claim.done:
            return Result(Outcome.ALREADY_PROMOTED, claim.central_arn)
        try:
            return self._claimed(source, group, claim, progress)
        except LeaseLost:
            raise
        except Refused as error:
            # It leaves the queue for good: when its record cannot be written it is tried again.
            self._ledger.release(claim, Outcome.REFUSED, str(error))
            raise
        except Exception as error:
            self._let_go(claim, str(error))
            raise

    def _let_go(self, claim: Claim, cause: str) -> None:
        try:
            self._ledger.release(claim, "failed", cause)
        except (ClientError, LeaseLost):
            # The lease ends by itself; the error that led here is the one to tell.
            return

    def _claimed(self, source: Source, group: str, claim: Claim, progress: Progress) -> Result:
        progress.step = "describe"
        description = self._describe(source)
        if description is None:
            return self._unpromoted(claim, Outcome.GONE)
        unwanted = _unwanted(description)
        if unwanted is not None:
            return self._unpromoted(claim, unwanted)
        progress.step = "plan"
        plan = self._plan(source, group, description)
        progress.step = "artifacts"
        progress.counts["objects"] = self._copy_artifacts(source, plan)
        progress.step = "images"
        placed = self._copy_images(source, plan)
        progress.step = "group"
        central = Registry(self._clients.own("sagemaker"))
        settings = self._settings
        central.ensure_group(
            group,
            source,
            GroupSettings(settings.group_policy, settings.group_tags, settings.group_prefix),
        )
        progress.step = "registration"
        # Whoever lost the lease while copying must not register.
        self._ledger.renew(claim)
        arn = central.find(group, source, description["CreationTime"]) or central.register(
            group, source, self._version(source, plan, placed)
        )
        progress.step = "card"
        name = card_name(group, int(arn.rpartition("/")[2]))
        content = self._card(source, plan, placed, arn)
        tags = {**settings.group_tags, "SourceAccount": source.account}
        central.put_card(name, content, settings.models_key_arn, tags)
        progress.step = "record"
        self._ledger.finish(claim, arn, name)
        return Result(Outcome.PROMOTED, arn)

    def _unpromoted(self, claim: Claim, outcome: Outcome) -> Result:
        self._ledger.release(claim, outcome)
        return Result(outcome)

    def _describe(self, source: Source) -> dict[str, Any] | None:
        client = self._clients.reader(source.account, "sagemaker", source.region)
        try:
            return cast(dict[str, Any], client.describe_model_package(ModelPackageName=source.arn))
        except ClientError as error:
            if registry.missing(error):
                return None
            raise

    def _plan(self, source: Source, group: str, description: dict[str, Any]) -> _Plan:
        settings = self._settings
        if not containers(description):
            raise Refused(
                f"{source.arn} says nothing of how it is run (no InferenceSpecification): what is "
                "made from an algorithm of the source account cannot be run elsewhere.",
                source.arn,
            )
        artifacts = find_artifacts(description)
        allowed = settings.source_buckets[source.account]
        # Groups are called as their projects, which write below their names.
        folder = f"{source.group.removeprefix(settings.source_prefixes[source.account])}/"
        check_artifacts(artifacts, source, allowed, folder, settings.models_bucket)
        images = {
            (item["Image"], item.get("ImageDigest", "")): read_image(
                item["Image"], item.get("ImageDigest", "")
            )
            for item in containers(description)
            if item.get("Image")
        }
        copier = self._image_copier(source)
        for image in images.values():
            copier.check(image)
        origin = Origin(
            lambda service: self._clients.reader(source.account, service, source.region),
            settings.service_roles,
        )
        starter = origin.started_by(source, description)
        training = self._training(source, description)
        return _Plan(description, group, artifacts, images, starter, training)

    def _training(self, source: Source, description: Mapping[str, Any]) -> Mapping[str, Any]:
        """The training job that a version's pipeline execution ran for it; empty for none.

        Of several it is the one whose output is a model of the version; of a search, its best one.
        """
        execution = registry.execution_of(description, source)
        if not execution:
            return {}
        client = self._clients.reader(source.account, "sagemaker", source.region)
        specification = {"InferenceSpecification": description.get("InferenceSpecification")}
        models = {item.uri for item in find_artifacts(specification)}
        try:
            pages = client.get_paginator("list_pipeline_execution_steps").paginate(
                PipelineExecutionArn=execution
            )
            names = [
                name
                for page in pages
                for step in page["PipelineExecutionSteps"]
                if (name := _trained(client, step.get("Metadata") or {}))
            ]
            jobs = [client.describe_training_job(TrainingJobName=name) for name in names]
        except ClientError as error:
            # As with who started it: a card that says less is no reason to promote nothing.
            if registry.missing(error) or error_code(error) == "AccessDeniedException":
                return {}
            raise
        made = [
            job
            for job in jobs
            if (job.get("ModelArtifacts") or {}).get("S3ModelArtifacts") in models
        ]
        chosen = made or jobs
        return cast(Mapping[str, Any], chosen[0]) if len(chosen) == 1 else {}

    def _copy_artifacts(self, source: Source, plan: _Plan) -> int:
        settings = self._settings
        copier = Copier(
            self._clients.own("s3"),
            source,
            bucket=settings.models_bucket,
            hub_account=settings.hub_account,
            key_arn=settings.models_key_arn,
            threshold=settings.copy_threshold_bytes,
            part_bytes=settings.copy_part_bytes,
        )
        return sum(copier.copy(artifact) for artifact in plan.artifacts)

    def _copy_images(self, source: Source, plan: _Plan) -> dict[tuple[str, str], Placed]:
        copier = self._image_copier(source)
        return {named: copier.copy(image) for named, image in plan.images.items()}

    def _image_copier(self, source: Source) -> ImageCopier:
        settings = self._settings
        return ImageCopier(
            reader=lambda region: self._clients.reader(source.account, "ecr", region),
            hub=self._clients.own("ecr"),
            source=source,
            source_prefix=settings.source_prefixes[source.account],
            hub_account=settings.hub_account,
            hub_region=settings.region,
            repository_prefix=settings.image_repository,
            kept_accounts=settings.image_accounts,
        )

    def _version(
        self, source: Source, plan: _Plan, placed: Mapping[tuple[str, str], Placed]
    ) -> dict[str, Any]:
        """The central version's members."""
        version: dict[str, Any] = {
            member: rewritten(plan.description[member], source, self._settings.models_bucket)
            for member in _CARRIED
            if plan.description.get(member)
        }
        for container in containers(version):
            if container.get("Image"):
                image = placed[container["Image"], container.get("ImageDigest", "")]
                container["Image"] = image.uri
                if image.digest:
                    container["ImageDigest"] = image.digest
        if plan.description.get("SecurityConfig"):
            version["SecurityConfig"] = {"KmsKeyId": self._settings.models_key_arn}
        return {
            **version,
            "ModelPackageDescription": registry.central_description(plan.description, source),
            "CustomerMetadataProperties": registry.central_metadata(
                plan.description, source, plan.starter, registry.specification_digest(version)
            ),
        }

    def _card(
        self,
        source: Source,
        plan: _Plan,
        placed: Mapping[tuple[str, str], Placed],
        central_arn: str,
    ) -> str:
        settings = self._settings
        models = find_artifacts(
            {"InferenceSpecification": plan.description.get("InferenceSpecification")}
        )
        return card_content(
            plan.description,
            source,
            central={
                **registry.central_metadata(plan.description, source, plan.starter),
                "CentralModelPackageArn": central_arn,
            },
            artifacts=[target_uri(item.uri, source, settings.models_bucket) for item in models],
            images=[image.uri for image in placed.values()],
            reports=[self._report(source, name, told) for name, told in _reports(plan.description)],
            owner=settings.card_owner,
            training=plan.training,
        )

    def _report(self, source: Source, name: str, told: Mapping[str, Any]) -> Report:
        bucket, _, key = str(told["S3Uri"]).removeprefix("s3://").partition("/")
        uri = target_uri(str(told["S3Uri"]), source, self._settings.models_bucket)
        content: Any = None
        if "json" in str(told.get("ContentType", "")).lower() and not key.endswith("/"):
            body = self._clients.own("s3").get_object(
                Bucket=self._settings.models_bucket,
                Key=target_key(bucket, key, source),
                ExpectedBucketOwner=self._settings.hub_account,
            )["Body"]
            text = body.read(_REPORT_BYTES + 1)
            if len(text) <= _REPORT_BYTES:
                try:
                    content = json.loads(text)
                except (ValueError, RecursionError):
                    # A report for people is evidence too; it only has no numbers to show.
                    content = None
        return Report(name, uri, content)


def _trained(client: Any, step: Mapping[str, Any]) -> str:
    """The training job of a pipeline's step, from its metadata; empty for none."""
    if arn := (step.get("TrainingJob") or {}).get("Arn"):
        return str(arn).rpartition("/")[2]
    if arn := (step.get("TuningJob") or {}).get("Arn"):
        search = client.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=str(arn).rpartition("/")[2]
        )
        return str((search.get("BestTrainingJob") or {}).get("TrainingJobName") or "")
    return ""


def _unwanted(description: Mapping[str, Any]) -> Outcome | None:
    """Why a version is not promoted now; None when it is.

    Raises:
        NotReadyError: It may be, later.
        Refused: It failed.
    """
    if description.get("ModelApprovalStatus") != APPROVED:
        return Outcome.SUPERSEDED
    status = description.get("ModelPackageStatus")
    if status == "Deleting":
        return Outcome.GONE
    if status == "Failed":
        raise Refused("The version is approved, but SageMaker could not complete it.")
    if status != "Completed":
        raise NotReadyError(f"The version is {status}, not Completed.")
    return None


def _reports(description: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    metrics: Mapping[str, Mapping[str, Any]] = description.get("ModelMetrics") or {}
    return [
        (f"{kind}.{name}", report)
        for kind, reports in sorted(metrics.items())
        for name, report in sorted(reports.items())
        if str(report.get("S3Uri", "")).startswith("s3://")
    ]
