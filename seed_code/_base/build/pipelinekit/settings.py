"""Typed settings from ``project.yaml`` and ``config.yaml``; everything wrong is told at once."""

from __future__ import annotations

import re
import unicodedata
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

ENVIRONMENT = "dev"
"""Models are built in the development account only; the others get what was approved there."""

METADATA_VALUE = 256
"""Characters of a value of a model package's customer metadata.

Source: CustomerMetadataProperties of CreateModelPackage in SageMaker's API reference.
"""

LOCAL_DISK_TYPES = (
    "ml.*d.*", "ml.*dn.*", "ml.*ad.*", "ml.*de.*", "ml.dl1.*", "ml.g5.*", "ml.g6.*", "ml.g6e.*",
    "ml.p5.*", "ml.p5e.*", "ml.p5en.*", "ml.p6*", "ml.trn1.*", "ml.trn1n.*", "ml.trn2.*",
)  # fmt: skip
"""Instance types (patterns) with local disks, encrypted by the hardware: AWS refuses a volume key.

Source: VolumeKmsKeyId of ResourceConfig in SageMaker's API reference; EC2 instance store volumes.
"""

_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")


class SettingsError(ValueError):
    """Settings are missing or wrong; the message has a line for each."""


class Section(BaseModel):
    """A part of the settings: unknown keys are errors, and nothing changes after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _instance_type(value: str) -> str:
    if not _INSTANCE_TYPE.fullmatch(value):
        raise ValueError("expected an instance type such as ml.m5.xlarge")
    return value


def metadata_text(value: str) -> str:
    """A text that customer metadata may hold.

    Raises:
        ValueError: It is too long or has characters that SageMaker does not take there.
    """
    if len(value) > METADATA_VALUE:
        raise ValueError(f"has {len(value)} characters, SageMaker's metadata take {METADATA_VALUE}")
    wrong = sorted(
        {c for c in value if unicodedata.category(c)[0] not in "LZN" and c not in "_.:/=+-@"}
    )
    if wrong:
        raise ValueError(
            f"has {' '.join(repr(c) for c in wrong)}: SageMaker's metadata take letters, digits,"
            " spaces and _ . : / = + - @"
        )
    return value


def has_local_disks(instance_type: str) -> bool:
    """Whether an instance type stores on local disks, so that its jobs name no volume key."""
    return any(fnmatchcase(instance_type, pattern) for pattern in LOCAL_DISK_TYPES)


def _alike(values: list[str]) -> list[str]:
    local = [value for value in values if has_local_disks(value)]
    if local and len(local) < len(values):
        raise ValueError(
            f"{', '.join(local)} with local disks, which take no volume key, and others, which"
            " must have one: a definition has the key or not, so choose all of one kind"
        )
    return values


def _tag_key(value: str) -> str:
    if not 1 <= len(value) <= 128 or value.startswith(("aws:", "sagemaker:")):
        raise ValueError("expected 1 to 128 characters, not beginning with aws: or sagemaker:")
    return value


InstanceType = Annotated[str, AfterValidator(_instance_type)]
JobTypes = Annotated[list[InstanceType], Field(min_length=1), AfterValidator(_alike)]
Metadata = Annotated[str, AfterValidator(metadata_text)]
Folder = Annotated[str, Field(pattern=r"^([\w.-]+/)+$")]
Share = Annotated[float, Field(gt=0, lt=1)]
TagKey = Annotated[str, AfterValidator(_tag_key)]


class Project(Section):
    """What ``project.yaml`` says: the project and the platform it lives on."""

    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    """Of all names of the platform."""
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=20)]
    id: Annotated[str, Field(pattern=r"^p-[a-z0-9]{12}$")]
    template: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    """What the repository was rendered from."""
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    owner: Metadata
    """Who answers for the model: a team or its address."""
    cost_centre: Metadata
    """Who pays for its jobs."""
    pipeline_role: Annotated[str, Field(min_length=1, max_length=64)]
    """Name of the role that pipelines run under."""
    job_role: Annotated[str, Field(min_length=1, max_length=64)]
    """Name of the role that jobs run under."""

    @property
    def pipeline(self) -> str:
        """Name of the pipeline and of the model package group it registers versions in."""
        return f"{self.prefix}-{ENVIRONMENT}-{self.name}"

    @property
    def feature_group(self) -> str:
        """Name of the feature group, where the project's template has one."""
        return f"{self.pipeline}-records"

    @property
    def tags(self) -> dict[str, str]:
        """Tags of everything that belongs to the project."""
        return {
            "owner": self.owner,
            "cost-centre": self.cost_centre,
            "sagemaker:project-id": self.id,
            "sagemaker:project-name": self.name,
        }


class Job(Section):
    """Where a job runs."""

    instance_types: JobTypes
    """What an execution may choose from, all of them with local disks or all without; the first is
    taken when it does not say."""
    volume_gb: Annotated[int, Field(ge=1, le=16_384)] = 30
    timeout_minutes: Annotated[int, Field(ge=1, le=5 * 24 * 60)] = 60

    @property
    def local_disks(self) -> bool:
        """Whether its instances store on local disks, so that it names no volume key."""
        return has_local_disks(self.instance_types[0])


class Image(Section):
    """One of SageMaker's own images."""

    framework: Annotated[str, Field(min_length=1)]
    """As the SDK's image lookup names it."""
    version: Annotated[str, Field(min_length=1)]
    python: str = "py3"
    """Python of the image, as the lookup names it, such as ``py312``."""
    base: str = ""
    """The framework below, where there is one, such as ``pytorch2.6.0``."""


class Card(Section):
    """What the model card says that no job can find out; it goes with every version."""

    purpose: Metadata
    intended_uses: Metadata = ""
    risk_rating: Literal["High", "Medium", "Low", "Unknown"] = "Unknown"
    risk_explanation: Metadata = ""
    creator: Metadata = ""
    algorithm: Metadata = ""
    business_problem: Metadata = ""
    business_stakeholders: Metadata = ""
    line_of_business: Metadata = ""
    ethical_considerations: Metadata = ""
    caveats: Metadata = ""

    def metadata(self, owner: str) -> dict[str, str]:
        """As customer metadata of a version, which the central registry makes the card from."""
        said = {
            "Purpose": self.purpose,
            "IntendedUses": self.intended_uses,
            "RiskRating": self.risk_rating,
            "RiskExplanation": self.risk_explanation,
            "ModelOwner": owner,
            "ModelCreator": self.creator,
            "AlgorithmType": self.algorithm,
            "BusinessProblem": self.business_problem,
            "BusinessStakeholders": self.business_stakeholders,
            "LineOfBusiness": self.line_of_business,
            "EthicalConsiderations": self.ethical_considerations,
            "Caveats": self.caveats,
        }
        return {key: value for key, value in said.items() if value}


class Split(Section):
    """Where the data are, and how they are split."""

    folder: Folder
    """Below the project's name in the data bucket."""
    train: Share
    validation: Share
    test: Share
    seed: int

    @model_validator(mode="after")
    def _whole(self) -> Split:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, validation and test sum to {total:g}, expected 1")
        return self

    @property
    def shares(self) -> str:
        """As the scripts take them."""
        return f"{self.train:g},{self.validation:g},{self.test:g}"


class Serving(Section):
    """What a registered version may be deployed on."""

    instance_types: Annotated[list[InstanceType], Field(min_length=1)]


class Caching(Section):
    """Whether a step whose inputs did not change is taken from an earlier execution."""

    enabled: bool = True
    days: Annotated[int, Field(ge=1, le=365)] = 30
    """How old that execution may be."""


class Settings(Section):
    """What every template's ``config.yaml`` has; a template adds its own sections."""

    card: Card
    description: Annotated[str, Field(min_length=1, max_length=512)]
    """Of the pipeline and of every version."""
    caching: Caching = Caching()
    baselines: bool = True
    """Whether versions bring what SageMaker's Model Monitor and Clarify make of data and
    predictions. AWS takes no new customers for either: an account that cannot run their images has
    false, and versions bring what their evaluation has measured."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """How often a step is tried when AWS, not the step, is at fault."""
    experiment: bool = False
    """Whether executions are trials of an experiment that is called as the pipeline."""
    tags: dict[TagKey, Annotated[str, Field(max_length=256)]] = {}
    """Tags beside the project's own, for example a cost centre."""


_S = TypeVar("_S", bound=Section)


def read(file: Path, model: type[_S]) -> _S:
    """A settings file.

    Raises:
        SettingsError: The file cannot be read, or keys are missing, unknown or wrong: one line for
            each, with the key, the value and what is allowed.
    """
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file.name}: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file.name}: expected keys and values, found {content!r:.80}")
    try:
        return model.model_validate(cast(dict[str, Any], content))
    except ValidationError as error:
        lines = [
            f"{file.name}: {'.'.join(str(part) for part in item['loc']) or 'settings'}: "
            + ("" if item["type"] == "missing" else f"got {item['input']!r:.80}; ")
            + item["msg"].removeprefix("Value error, ")
            for item in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from error
