"""What the platform publishes for projects: SSM parameters below ``/{prefix}/dev/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelinekit.settings import ENVIRONMENT, Project

_PATHS = {
    "subnets": "vpc/private-subnet-ids",
    "security_groups": "vpc/security-group-ids",
    "volume_key": "kms/storage/arn",
    "models_key": "kms/models/arn",
    "models_bucket": "registry/models-bucket",
    "data_bucket": "data/bucket",
}

CONNECTED = "StoreFeatures"
"""Name of the one processing step that has a network, in the VPC: where a project has a feature
group, the platform's roles let the job of this step be so, and of no other."""


class ContractError(RuntimeError):
    """The platform does not publish what a build needs; the message names it."""


@dataclass(frozen=True)
class Platform:
    """The development environment, as far as a build needs it.

    Attributes:
        subnets: Private subnets that jobs run in.
        security_groups: Their security groups.
        volume_key: ARN of the key of jobs' disks.
        models_key: ARN of the key of the models bucket, and so of everything jobs write.
        models_bucket: Keeps the project's code, artifacts and reports, below the project's name.
        data_bucket: Holds the data, below the project's name.
        made_up: Whether there is no such environment, and it only has the right form.
    """

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    volume_key: str
    models_key: str
    models_bucket: str
    data_bucket: str
    made_up: bool = False

    @property
    def account(self) -> str:
        """The development account's id."""
        return self.models_key.split(":")[4]

    @property
    def partition(self) -> str:
        """AWS partition of the account, such as ``aws``."""
        return self.models_key.split(":")[1]

    def role_arn(self, name: str) -> str:
        """ARN of a role of the development account."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"


def read_contract(ssm: Any, project: Project) -> Platform:
    """Reads the parameters.

    Args:
        ssm: A boto3 client of Systems Manager, in the development account.
        project: Whose platform.

    Raises:
        ContractError: Parameters do not exist; all of them are named.
    """
    folder = f"/{project.prefix}/{ENVIRONMENT}/"
    names = {folder + path: field for field, path in _PATHS.items()}
    answer = ssm.get_parameters(Names=sorted(names))
    if answer["InvalidParameters"]:
        raise ContractError(
            f"Parameters {', '.join(sorted(answer['InvalidParameters']))} do not exist in this"
            f" account and region ({project.region}). Check that these are the platform's"
            f" {ENVIRONMENT} account and region, and prefix in project.yaml."
        )
    found = {names[item["Name"]]: str(item["Value"]) for item in answer["Parameters"]}
    return _platform(found)


def example(project: Project) -> Platform:
    """Made-up values of the right form, to check a definition where there is no account."""
    key = f"arn:aws:kms:{project.region}:111122223333:key/00000000-0000-4000-8000-00000000000"
    made = _platform(
        {
            "subnets": "subnet-00000000000000001,subnet-00000000000000002",
            "security_groups": "sg-00000000000000001",
            "volume_key": f"{key}1",
            "models_key": f"{key}2",
            "models_bucket": "example-models",
            "data_bucket": "example-data",
        }
    )
    return replace(made, made_up=True)


def _platform(found: Mapping[str, str]) -> Platform:
    return Platform(
        subnets=tuple(part.strip() for part in found["subnets"].split(",")),
        security_groups=tuple(part.strip() for part in found["security_groups"].split(",")),
        volume_key=found["volume_key"],
        models_key=found["models_key"],
        models_bucket=found["models_bucket"],
        data_bucket=found["data_bucket"],
    )
