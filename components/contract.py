"""What projects may rely on: SSM parameters of every environment, under one path.

The names are an interface: a project reads ``/{prefix}/{environment}/vpc/id`` and never asks how
the network came about. The table is the only place where a parameter is described; a component
cannot publish what is not in it, and ``docs/contract.md`` is made from it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_aws as aws

from components.naming import Names

PATH = Path(__file__).parents[1] / "docs" / "contract.md"

CONTRACT: Mapping[str, str] = {
    "accounts/{account}": "What is known of a vended AWS account (governance)",
    "alerts/topic-arn": "Topic for alerts to the environment's owners",
    "buckets/access-logs": "Bucket that the access logs of other buckets go to",
    "buckets/logs": "Bucket for logs",
    "ci/archive-bucket": "Bucket of the repositories of projects that went (governance)",
    "ci/connection-arn": "Connection to the repositories of projects, not with CodeCommit"
    " (dev, governance)",
    "ci/github-provider-arn": "GitHub's OIDC provider, where projects may use it (dev, governance)",
    "data/bucket": "Bucket of data (dev)",
    "data/database": "Glue database over the data bucket (dev)",
    "data/datazone-domain": "DataZone domain, where there is one (dev)",
    "data/feature-group": "Central feature group (dev)",
    "data/workgroup": "Athena work group (dev)",
    "domains/{domain}": "What is known of a business unit's Studio domain (governance)",
    "domains/{domain}/auth-mode": "How people sign in to that domain, IAM or SSO (dev)",
    "domains/{domain}/domain-id": "That domain (dev)",
    "domains/{domain}/roles/{persona}/arn": "Execution role of a persona in that domain (dev)",
    "events/bus-arn": "Bus that takes the state changes of models (governance)",
    "iam/boundary-arn": "Permissions boundary that every role must have",
    "kms/{purpose}/arn": "Customer key for data, logs, messages, models or storage",
    "projects/{project}": "What the hub's functions know of a project (governance)",
    "promotion/dead-letters-url": "Queue of approvals that could not be promoted (governance)",
    "promotion/queue-url": "Queue of approvals to promote (governance)",
    "registry/groups/{group}": "ARN of a model package group (dev, governance)",
    "registry/images/{repository}": "URL of an image repository (governance)",
    "registry/models-bucket": "Bucket of model artifacts (dev, governance)",
    "roles/{role}/arn": "Role of a persona, of a persona's jobs, or of deployed models",
    "studio/auth-mode": "How people sign in to Studio, IAM or SSO (dev)",
    "studio/domain-id": "Studio domain (dev)",
    "users/{user}": "What is known of a vended Studio user (governance)",
    "vpc/endpoints/{service}": "Id of the VPC's s3 or kms endpoint, for policies",
    "vpc/id": "VPC that workloads run in",
    "vpc/private-subnet-ids": "Subnets for workloads, separated by commas",
    "vpc/security-group-ids": "Security groups for workloads, separated by commas",
}
"""Path below ``/{prefix}/{environment}/`` -> what the value is."""


class UndocumentedParameterError(KeyError):
    """A component publishes a parameter that the contract does not describe."""


def meaning(path: str) -> str:
    """What the value of a parameter is.

    Raises:
        UndocumentedParameterError: the contract has no such parameter.
    """
    for template, text in CONTRACT.items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            return text
    raise UndocumentedParameterError(f"{path} is not in CONTRACT, add it in {__file__}")


def publish(
    component: pulumi.ComponentResource,
    name: str,
    names: Names,
    values: Mapping[str, pulumi.Input[str]],
) -> None:
    """Makes the parameters of a component, as its children.

    Args:
        component: The parent.
        name: The component's logical name.
        names: Where they live.
        values: Path in the contract -> value.

    Raises:
        UndocumentedParameterError: the contract has no such parameter.
    """
    for path, value in values.items():
        aws.ssm.Parameter(
            f"{name}-{path.replace('/', '-')}",
            name=names.parameter(path),
            type="String",
            value=value,
            description=meaning(path),
            opts=pulumi.ResourceOptions(parent=component),
        )


def reference() -> str:
    """The text of the documentation."""
    rows = "\n".join(f"| `{path}` | {text} |" for path, text in CONTRACT.items())
    return f"""# What projects may rely on

Made from `components/contract.py` by `python -m components.contract`.

Each environment publishes these SSM parameters in its account, below
`/{{prefix}}/{{environment}}/`. Projects read them and nothing else: the names stay, what is behind
them may change.

| parameter | value |
| --- | --- |
{rows}
"""


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(reference())
    sys.stdout.write(f"{PATH}\n")
