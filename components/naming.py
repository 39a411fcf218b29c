"""Physical names and the place a component lives in.

Physical names are given only where another account, a policy or a person must know them before the
resource exists (buckets, roles, key aliases, parameters). Every such name is made here, so that a
name's form and its service's limit stand in one place, and every name carries the environment: all
environments may share one account without colliding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NotRequired, TypedDict

ENVIRONMENTS = ("dev", "preprod", "prod", "governance")
"""The environments that every platform has, in the order in which they come up: the hub's policies
name principals and VPC endpoints of the others, which therefore have to exist first. Each is the
first of its kind, and its kind is called like it."""

WORKLOAD_ENVIRONMENTS = ("dev", "preprod", "prod")

TARGET_KINDS = ("preprod", "prod")
"""Kinds of which there may be more than one environment, each in an account of its own, in the
order of a version's way: ``prod-eu`` is of the kind ``prod``."""

HUB = "governance"

OWN_DOMAIN = "studio"
"""What the platform's own Studio domain is called beside those of business units, and what the
names of all that these have of their own begin with."""

ENVIRONMENT_PATTERN = (
    rf"{'|'.join(ENVIRONMENTS)}|(?:{'|'.join(TARGET_KINDS)})-[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
)
"""What an environment may be called: one that every platform has, or a kind and a name of its own.
Its name tells the kind, so that stacks, roles and policies tell it too."""


def is_environment(name: str) -> bool:
    """Whether an environment may be called so."""
    return re.fullmatch(ENVIRONMENT_PATTERN, name) is not None


def kind_of(environment: str) -> str:
    """The kind of an environment: ``prod`` of ``prod`` and of ``prod-eu``."""
    return environment.partition("-")[0]


def partition_of(region: str) -> str:
    """AWS partition of a region: ``aws``, ``aws-cn`` or ``aws-us-gov``."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def in_order(environments: Iterable[str]) -> tuple[str, ...]:
    """Environments as they come up, each once: by kind, the first of a kind before the others."""
    return tuple(sorted(set(environments), key=lambda name: (_RANK[kind_of(name)], name)))


_RANK = {kind: rank for rank, kind in enumerate(ENVIRONMENTS)}


class Placement(TypedDict):
    """Where a component lives; plain values, known before anything is made.

    Every component takes one as its ``placement`` argument.
    """

    prefix: str
    """Company-wide name prefix, for example ``acme``."""
    environment: str
    """``governance``, ``dev``, or of the kind ``preprod`` or ``prod``."""
    region: str
    """AWS region, for example ``eu-west-1``."""
    account_id: str
    """The account of this environment, 12 digits."""
    accounts: dict[str, str]
    """Environment -> account id, for every environment (ids may coincide)."""
    organization_id: NotRequired[str]
    """AWS Organizations id (``o-…``); absent where the company has no organisation."""
    protect: bool
    """Whether what holds data or is known to people is protected from deletion."""


class NameTooLongError(ValueError):
    """A name made from the configured prefix exceeds what the AWS service accepts."""


_LIMITS = {
    # Source: the quota page of each service's documentation.
    "bucket": 63,
    "budget": 100,
    "role": 64,
    "policy": 128,
    "alias": 256,
    "parameter": 1011,
    "domain": 63,
    "group": 63,
    "feature-group": 64,
    "repository": 256,
    "queue": 80,
    "rule": 64,
    "default": 128,
}


@dataclass(frozen=True)
class Names:
    """The physical names of one environment.

    Raises:
        NameTooLongError: from any method, when the name would exceed the service's limit.
    """

    prefix: str
    environment: str
    region: str
    account_id: str

    @classmethod
    def at(cls, placement: Placement, environment: str | None = None) -> Names:
        """The names at a placement, or those of another environment seen from there."""
        env = environment or placement["environment"]
        return cls(placement["prefix"], env, placement["region"], placement["accounts"][env])

    def name(self, thing: str, kind: str = "default") -> str:
        """``{prefix}-{environment}-{thing}``, checked against the limit for ``kind``."""
        return self._checked(f"{self.prefix}-{self.environment}-{thing}", kind)

    def bucket(self, purpose: str) -> str:
        """Bucket names are global in AWS, so they also carry region and account."""
        return self._checked(
            f"{self.prefix}-{self.environment}-{self.region}-{self.account_id}-{purpose}", "bucket"
        )

    def bucket_arn(self, purpose: str) -> str:
        """ARN of :meth:`bucket`."""
        return f"arn:{self.partition}:s3:::{self.bucket(purpose)}"

    def role(self, name: str) -> str:
        """Role name."""
        return self.name(name, "role")

    def role_arn(self, name: str) -> str:
        """ARN of :meth:`role` in this environment's account."""
        return f"arn:{self.partition}:iam::{self.account_id}:role/{self.role(name)}"

    def policy_arn(self, name: str) -> str:
        """ARN of a customer managed policy named ``{prefix}-{environment}-{name}``."""
        return f"arn:{self.partition}:iam::{self.account_id}:policy/{self.name(name, 'policy')}"

    def alias(self, purpose: str) -> str:
        """KMS key alias, with its ``alias/`` prefix."""
        return self._checked(f"alias/{self.prefix}-{self.environment}-{purpose}", "alias")

    def parameter(self, path: str) -> str:
        """SSM parameter ``/{prefix}/{environment}/{path}``: the contract that projects read."""
        return self._checked(f"/{self.prefix}/{self.environment}/{path}", "parameter")

    def oidc_provider_arn(self, host: str) -> str:
        """ARN of an OpenID Connect provider in this environment's account."""
        return f"arn:{self.partition}:iam::{self.account_id}:oidc-provider/{host}"

    def arn(self, service: str, resource: str) -> str:
        """ARN of a regional resource in this environment's account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    @property
    def root_arn(self) -> str:
        """The account principal."""
        return f"arn:{self.partition}:iam::{self.account_id}:root"

    @property
    def partition(self) -> str:
        """AWS partition of the region: ``aws``, ``aws-cn`` or ``aws-us-gov``."""
        return partition_of(self.region)

    @staticmethod
    def _checked(name: str, kind: str) -> str:
        limit = _LIMITS[kind]
        if len(name) > limit:
            raise NameTooLongError(
                f"The {kind} name {name!r} has {len(name)} characters, AWS allows {limit}: "
                "choose a shorter mlops:prefix, or a shorter name of the environment."
            )
        return name
