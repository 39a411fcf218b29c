"""Versions of the hub's registry, as SageMaker tells them now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from botocore.exceptions import ClientError

from ..promotion.identity import describe_user
from ..promotion.registry import APPROVED_KEY, REGISTERED_KEY, STARTED_KEY, missing
from .history import ApprovedVersion, stamp
from .machine import Approval

BASELINES: Mapping[str, tuple[str, str]] = {
    "constraints": ("ModelDataQuality", "Constraints"),
    "statistics": ("ModelDataQuality", "Statistics"),
    "quality": ("ModelQuality", "Constraints"),
    "bias": ("Bias", "PostTrainingConstraints"),
    "bias_config": ("Bias", "ConfigFile"),
    "attributions": ("Explainability", "Constraints"),
}
"""What a deployment is told -> where ``DriftCheckBaselines`` has it."""


@dataclass(frozen=True)
class Version:
    """A model package version.

    Attributes:
        arn: Its ARN.
        group: Its group.
        number: Its number in the group.
        approval: Its approval status.
        complete: Whether SageMaker has completed it.
        description: All that SageMaker tells.
    """

    arn: str
    group: str
    number: int
    approval: Approval
    complete: bool
    description: Mapping[str, Any]

    @property
    def changed_by(self) -> str:
        """Who changed it last, as :func:`..promotion.identity.describe_user` has it."""
        return describe_user(self.description.get("LastModifiedBy"))

    @property
    def metadata(self) -> Mapping[str, str]:
        """Its customer metadata; where it comes from is among them, which nobody may change."""
        return self.description.get("CustomerMetadataProperties") or {}

    @property
    def registered_by(self) -> str:
        """Who registered it in dev, and who started the pipeline that did."""
        told = [self.metadata.get(REGISTERED_KEY, ""), self.metadata.get(STARTED_KEY, "")]
        return " ".join(text for text in told if text)

    @property
    def approved_in_dev_by(self) -> str:
        """Who approved it in dev; empty for versions that were promoted before that was kept."""
        return self.metadata.get(APPROVED_KEY, "")

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """The containers that serve it."""
        specification = self.description.get("InferenceSpecification") or {}
        return list(specification.get("Containers") or ())

    def approved(self) -> ApprovedVersion:
        """Its approval, as a request records it."""
        at: datetime = self.description.get("LastModifiedTime") or datetime.fromtimestamp(0, UTC)
        return ApprovedVersion(
            arn=self.arn,
            version=self.number,
            approved_by=self.changed_by,
            approved_at=stamp(at),
            reason=" ".join(str(self.description.get("ApprovalDescription") or "").split()),
        )

    def answer(self) -> dict[str, Any]:
        """What a deployment needs to know of it."""
        container = self.containers[0]
        specification: Mapping[str, Any] = self.description["InferenceSpecification"]
        source: Mapping[str, Any] = container.get("ModelDataSource") or {}
        data: Mapping[str, Any] = source.get("S3DataSource") or {}
        return {
            "model_package_arn": self.arn,
            "image": container.get("Image", ""),
            "model_data_url": container.get("ModelDataUrl") or data.get("S3Uri", ""),
            "model_data_source": dict(data),
            "environment": dict(container.get("Environment") or {}),
            "content_types": list(specification.get("SupportedContentTypes") or ()),
            "response_types": list(specification.get("SupportedResponseMIMETypes") or ()),
            "baselines": self._baselines(),
        }

    def _baselines(self) -> dict[str, str]:
        """What its endpoint is compared with, as far as it brings it."""
        kept: Mapping[str, Any] = self.description.get("DriftCheckBaselines") or {}
        found = {name: (kept.get(kind) or {}).get(part) for name, (kind, part) in BASELINES.items()}
        return {name: told["S3Uri"] for name, told in found.items() if told}


class Versions:
    """The registry.

    Args:
        client: A SageMaker client of the hub.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, arn: str) -> Version | None:
        """A version; None when it is gone.

        Raises:
            ClientError: SageMaker's.
        """
        try:
            told = cast("dict[str, Any]", self._client.describe_model_package(ModelPackageName=arn))
        except ClientError as error:
            if missing(error):
                return None
            raise
        if told.get("ModelPackageStatus") == "Deleting":
            return None
        return Version(
            arn=arn,
            group=str(told.get("ModelPackageGroupName") or ""),
            number=int(told.get("ModelPackageVersion") or 0),
            approval=Approval(told.get("ModelApprovalStatus") or Approval.PENDING),
            complete=told.get("ModelPackageStatus") == "Completed",
            description=told,
        )

    def approval(self, arn: str) -> Approval:
        """Approval status of a version now.

        Raises:
            ClientError: SageMaker's.
        """
        version = self.read(arn)
        return Approval.GONE if version is None else version.approval
