"""The evidence that an environment asks of a version: metrics, card, and image scan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..promotion.aws import error_code
from ..promotion.events import Refused
from ..promotion.images import Image, read_image
from ..promotion.model_card import card_name
from ..promotion.registry import missing
from .refusal import Refusal
from .settings import SEVERITIES
from .versions import Version

# Where a version's quality report may stand, the first that there is counts.
_REPORTS = (
    ("ModelMetrics", "ModelQuality", "Statistics"),
    ("DriftCheckBaselines", "ModelQuality", "Statistics"),
)
# Source: ScanStatus in ECR's API reference; ACTIVE is enhanced scanning's word for complete.
_SCANNED = ("COMPLETE", "ACTIVE")


@dataclass(frozen=True)
class Evidence:
    """Reads evidence.

    Attributes:
        sagemaker: A SageMaker client of the hub.
        s3: An S3 client of the hub.
        ecr: An ECR client of the hub.
        hub_account: The hub.
        image_accounts: Accounts whose images AWS keeps.
        severity: The least severity of a finding that refuses an image.
    """

    sagemaker: Any
    s3: Any
    ecr: Any
    hub_account: str
    image_accounts: frozenset[str]
    severity: str

    def read(self, kinds: tuple[str, ...], version: Version) -> list[str]:
        """What was found, a line for each kind; for people, and for the ledger.

        Raises:
            Refusal: Evidence is missing, or speaks against the version.
            ClientError: A service's, for what may work later.
        """
        readers: Mapping[str, Callable[[Version], str]] = {
            "metrics": self._metrics,
            "card": self._card,
            "scan": self._scan,
        }
        return [f"{kind}: {readers[kind](version)}" for kind in kinds]

    def _metrics(self, version: Version) -> str:
        for path in _REPORTS:
            place: Any = version.description
            for member in path:
                place = (place or {}).get(member)
            uri = str((place or {}).get("S3Uri") or "")
            if not uri:
                continue
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            try:
                head = self.s3.head_object(
                    Bucket=bucket, Key=key, ExpectedBucketOwner=self.hub_account
                )
            except ClientError as error:
                if error_code(error) in ("403", "404", "AccessDenied", "NoSuchBucket", "NoSuchKey"):
                    raise Refusal(f"The metrics {uri} cannot be read: {error}") from error
                raise
            if not head["ContentLength"]:
                raise Refusal(f"The metrics {uri} are empty.")
            return f"{uri} ({head['ContentLength']} bytes)"
        raise Refusal(
            "The version has no metrics (ModelMetrics.ModelQuality.Statistics): register it with "
            "its evaluation report."
        )

    def _card(self, version: Version) -> str:
        name = card_name(version.group, version.number)
        try:
            card = self.sagemaker.describe_model_card(ModelCardName=name)
        except ClientError as error:
            if missing(error):
                raise Refusal(f"The version has no model card {name}.") from error
            raise
        if card["ModelCardStatus"] == "Archived":
            raise Refusal(f"The model card {name} is archived.")
        try:
            json.loads(card["Content"])
        except ValueError as error:
            raise Refusal(f"The model card {name} is no JSON: {error}") from error
        return f"{name} version {card['ModelCardVersion']} ({card['ModelCardStatus']})"

    def _scan(self, version: Version) -> str:
        told: list[str] = []
        for container in version.containers:
            try:
                image = read_image(container.get("Image", ""), container.get("ImageDigest", ""))
            except Refused as refusal:
                raise Refusal(str(refusal)) from refusal
            if image.account in self.image_accounts:
                told.append(
                    f"{image.uri} exempt: AWS keeps and scans the images of {image.account}"
                )
            elif image.account != self.hub_account:
                raise Refusal(
                    f"The image {image.uri} is in account {image.account}, whose scans are not "
                    "known here: only images of the hub and of AWS are deployed."
                )
            else:
                told.append(self._findings(image))
        return "; ".join(told)

    def _findings(self, image: Image) -> str:
        try:
            told = self.ecr.describe_image_scan_findings(
                registryId=image.account, repositoryName=image.repository, imageId=image.wanted
            )
        except ClientError as error:
            if error_code(error) in (
                "ScanNotFoundException",
                "ImageNotFoundException",
                "RepositoryNotFoundException",
            ):
                raise Refusal(
                    f"The image {image.uri} is not scanned: switch scan on push on, or start one "
                    f"({error})"
                ) from error
            raise
        status = str((told.get("imageScanStatus") or {}).get("status"))
        if status not in _SCANNED:
            raise Refusal(f"The scan of {image.uri} is {status}, not complete.")
        found: Mapping[str, Any] = told.get("imageScanFindings") or {}
        counts: Mapping[str, int] = found.get("findingSeverityCounts") or {}
        tolerated = SEVERITIES[: SEVERITIES.index(self.severity)]
        severe = {name: counts[name] for name in sorted(counts) if name not in tolerated}
        if any(severe.values()):
            listed = ", ".join(f"{count} {name}" for name, count in severe.items())
            raise Refusal(f"The image {image.uri} has findings: {listed}.")
        return f"{image.uri} without findings of {self.severity} or above"
