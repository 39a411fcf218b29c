"""Which VPC endpoint services the platform knows, and which an environment needs.

A name is what follows ``com.amazonaws.<region>.`` in the service's full name; the exceptions are in
:mod:`components.network`, which makes the endpoints.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from components.naming import kind_of

ENDPOINT_SERVICES: Mapping[str, tuple[str, ...]] = {
    "core": ("kms", "sts", "logs", "monitoring", "ssm", "secretsmanager", "events", "ec2"),
    "jobs": (
        "sagemaker.api", "sagemaker.runtime", "sagemaker.featurestore-runtime",
        "sagemaker.metrics", "ecr.api", "ecr.dkr", "elasticfilesystem",
    ),
    "studio": ("studio", "notebook", "servicecatalog"),
    "data": ("athena", "glue", "lakeformation"),
    "cicd": (
        "codebuild", "codepipeline", "codecommit", "git-codecommit", "codeconnections.api",
        "lambda", "states", "sqs", "sns", "application-autoscaling",
    ),
    "packages": ("codeartifact.api", "codeartifact.repositories"),
    "vending": ("iam",),
}  # fmt: skip
"""Interface endpoints by need. With them, nothing that the platform runs needs the internet."""

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "dev": ("core", "jobs", "studio", "data", "cicd", "packages"),
    "preprod": ("core", "jobs", "cicd"),
    "prod": ("core", "jobs", "cicd"),
    "governance": ("core", "jobs", "cicd", "packages", "vending"),
}

FURTHER_SERVICES = (
    "access-analyzer", "autoscaling", "backup", "batch", "bedrock", "bedrock-agent",
    "bedrock-agent-runtime", "bedrock-runtime", "cloudformation", "cloudtrail", "comprehend",
    "config", "datazone", "ec2messages", "ecs", "elasticloadbalancing", "elasticmapreduce",
    "emr-containers", "emr-serverless", "guardduty", "inspector2", "organizations", "ram", "rds",
    "rds-data", "redshift", "redshift-data", "rekognition", "scheduler", "securityhub",
    "ssmmessages", "synthetics", "tagging", "textract", "transcribe", "translate", "xray",
)  # fmt: skip
"""Interface endpoints that a company may add for what its teams call beside the platform.

Source: AWS PrivateLink guide, "AWS services that integrate with AWS PrivateLink".
"""

GATEWAYS = ("s3", "dynamodb")
"""Services that are reached by gateway; their endpoints are made in every network."""

REQUIRED_SERVICES = (
    "ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "sagemaker.api", "sagemaker.runtime", "sts",
)  # fmt: skip
"""Interface endpoints without which nothing runs in a made network; the policy pack wants them."""


def services_for(environment: str) -> tuple[str, ...]:
    """The interface endpoints of an environment by default."""
    return tuple(
        service for need in _NEEDS[kind_of(environment)] for service in ENDPOINT_SERVICES[need]
    )


def interface_services() -> frozenset[str]:
    """Every interface endpoint service that the platform knows."""
    return frozenset(FURTHER_SERVICES).union(*ENDPOINT_SERVICES.values())


def unknown_services(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """What is said of each name that is not known, with the one that may have been meant."""
    there = sorted(known)
    said: list[str] = []
    for name in sorted(set(names) - set(there)):
        if name in GATEWAYS:
            said.append(f"{name} is reached by a gateway endpoint and is no interface service")
            continue
        near = difflib.get_close_matches(name, there, n=1, cutoff=0.6)
        meant = f", did you mean {near[0]}?" if near else "; docs/settings.md lists those known"
        said.append(f"{name} is not an endpoint service that the platform knows{meant}")
    return said
