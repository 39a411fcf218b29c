"""Where a version comes from: each part, and where to look it up. What is missing is said to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from automation.models.hub import Hub, Model, refused
from functions.promotion.artifacts import find_artifacts, read_head
from functions.promotion.aws import error_code
from functions.promotion.events import Refused
from functions.promotion.registry import REGISTERED_KEY, STARTED_KEY

_DIGESTS = ("SHA256", "CRC64NVME", "CRC32", "CRC32C", "SHA1")


@dataclass(frozen=True)
class Part:
    """A part of a version's lineage.

    Attributes:
        name: What it is.
        value: What is known; empty when it is missing.
        where: Where to look it up, or why it is missing.
    """

    name: str
    value: str
    where: str


def lineage(model: Model, hub: Hub | None = None) -> list[Part]:
    """A version's lineage.

    Args:
        model: The version, with its card.
        hub: With it, artifacts are asked for their checksums, and dev, where there is a session of
            it, for the training job. Without it only what the registry and the ledger have.
    """
    metadata = model.metadata
    properties: Mapping[str, str] = model.version.description.get("MetadataProperties") or {}
    execution = metadata.get("PipelineExecutionArn", "")
    repository = properties.get("Repository") or metadata.get("Repository", "")
    return [
        _known(
            "source version",
            model.source,
            f"in dev: aws sagemaker describe-model-package --model-package-name {model.source}",
            "the version was not promoted from dev, or SourceModelPackageArn was removed",
        ),
        _known(
            "registered by",
            metadata.get(REGISTERED_KEY, ""),
            "in dev's CloudTrail: event CreateModelPackage of the source version",
            f"{REGISTERED_KEY} is not recorded: the version cannot be approved",
        ),
        _known(
            "pipeline started by",
            metadata.get(STARTED_KEY, ""),
            "in dev's CloudTrail: event StartPipelineExecution",
            f"{STARTED_KEY} is not recorded: no pipeline made it, or its starter is unknown",
        ),
        _known(
            "pipeline execution",
            execution,
            "in dev: aws sagemaker describe-pipeline-execution --pipeline-execution-arn "
            f"{execution}",
            "no pipeline made the version",
        ),
        *_training(model, hub, execution),
        _known(
            "data version",
            metadata.get("DataVersion", ""),
            "in dev: parameter DataVersion of the pipeline execution",
            "the version was registered without DataVersion in its customer metadata",
        ),
        _known(
            "git commit",
            metadata.get("CommitId", ""),
            f"in {repository or 'the build repository of ' + model.project}: "
            f"git show {metadata.get('CommitId', '')}",
            "the version was registered without CommitId",
        ),
        *_images(model),
        *_artifacts(model, hub),
        _card(model),
    ]


def _known(name: str, value: str, where: str, why_missing: str) -> Part:
    return Part(name, value, where) if value else Part(name, "", why_missing)


def _training(model: Model, hub: Hub | None, execution: str) -> list[Part]:
    name = "training job"
    told = (
        ""
        if model.card is None
        else str(
            model.card.section("training_details", "training_job_details").get("training_arn") or ""
        )
    )
    where = "in dev: aws sagemaker describe-training-job --training-job-name "
    if told:
        return [Part(name, told, where + told.rpartition("/")[2])]
    if not execution:
        return [Part(name, "", "neither card nor pipeline execution name one")]
    steps = (
        f"in dev: aws sagemaker list-pipeline-execution-steps --pipeline-execution-arn {execution}"
    )
    if hub is None or "dev" not in hub.sessions:
        return [Part(name, "", f"dev knows it (--profile dev=NAME), {steps}")]
    try:
        pages = (
            hub.client("sagemaker", "dev")
            .get_paginator("list_pipeline_execution_steps")
            .paginate(PipelineExecutionArn=execution)
        )
        jobs = [
            str(step["Metadata"]["TrainingJob"]["Arn"])
            for page in pages
            for step in page["PipelineExecutionSteps"]
            if (step.get("Metadata") or {}).get("TrainingJob")
        ]
    except ClientError as error:
        return [Part(name, "", f"dev was asked: {refused(error)}")]
    if not jobs:
        return [Part(name, "", f"the pipeline execution has no training step, {steps}")]
    return [Part(name, job, where + job.rpartition("/")[2]) for job in jobs]


def _images(model: Model) -> list[Part]:
    return [
        Part(
            f"image {container.get('Image', '')}",
            str(container.get("ImageDigest", "")),
            "in the hub: InferenceSpecification of the version"
            if container.get("ImageDigest")
            else "the version names the image without a digest",
        )
        for container in model.version.containers
        if container.get("Image")
    ]


def _artifacts(model: Model, hub: Hub | None) -> list[Part]:
    try:
        found = find_artifacts(model.version.description)
    except Refused as error:
        return [Part("artifacts", "", str(error))]
    if not found:
        return [Part("artifacts", "", "the version names none")]
    fingerprint = next((attempt.parts for attempt in reversed(model.attempts) if attempt.parts), {})
    parts: list[Part] = []
    for artifact in found:
        told: list[str] = []
        if artifact.uri in fingerprint:
            told.append(f"fingerprint {fingerprint[artifact.uri]} (ledger, at its approval)")
        checksum, why = ("", "") if hub is None else _checksum(hub, artifact.bucket, artifact.key)
        if checksum:
            told.append(f"{checksum} (S3, now)")
        where = (
            f"in the hub: aws s3api head-object --checksum-mode ENABLED --bucket {artifact.bucket}"
        )
        parts.append(
            Part(
                f"artifact {artifact.uri}",
                "; ".join(told),
                f"{where} --key {artifact.key}"
                if told
                else why or "no digest: it was never approved, and S3 was not asked",
            )
        )
    return parts


def _checksum(hub: Hub, bucket: str, key: str) -> tuple[str, str]:
    """An object's checksum, or why there is none."""
    try:
        head = read_head(
            hub.client("s3").head_object(
                Bucket=bucket,
                Key=key,
                ChecksumMode="ENABLED",
                ExpectedBucketOwner=hub.names.account_id,
            )
        )
    except ClientError as error:
        if error_code(error) in ("404", "NoSuchKey"):
            return "", "no digest: there is no object of this name (it may be a prefix)"
        return "", (
            "no digest: S3 does not show it to you here (artifacts are read only inside the hub's "
            f"network): {error_code(error)}"
        )
    for algorithm in _DIGESTS:
        if algorithm in head.checksums:
            return f"{algorithm} {head.checksums[algorithm]}, {head.size} bytes", ""
    return f"ETag {head.etag}, {head.size} bytes", ""


def _card(model: Model) -> Part:
    card = model.card
    if card is None:
        why = "the version has no model card" if model.card_read else "its card was not read"
        return Part("model card", "", why)
    return Part(
        "model card",
        f"{card.name} version {card.version} ({card.status})",
        f"in the hub: aws sagemaker describe-model-card --model-card-name {card.name}",
    )
