"""Image repositories: tags that never move, a scan of what is pushed, and who may pull.

The platform's own repositories and those of projects are made alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam

PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
"""To pull an image. Source: ECR user guide, repository policy examples."""

UNTAGGED_DAYS = 14
"""How long an image stays that no tag names, such as a push that broke off."""


def make_repository(
    logical: str,
    name: str,
    key_arn: Input[str],
    readers: Sequence[iam.Statement],
    *,
    opts: ResourceOptions,
    kept: ResourceOptions,
) -> aws.ecr.Repository:
    """A repository with its policy and lifecycle.

    Args:
        logical: Logical name of all its resources.
        name: Its name.
        key_arn: Key of its images.
        readers: Who of other accounts may pull; in the own account roles say it themselves.
        opts: Of what goes with it.
        kept: Of the repository, which holds what versions are made of.
    """
    repository = aws.ecr.Repository(
        logical,
        name=name,
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration={"scan_on_push": True},
        encryption_configurations=[{"encryption_type": "KMS", "kms_key": key_arn}],
        opts=kept,
    )
    if readers:
        aws.ecr.RepositoryPolicy(
            logical, repository=repository.name, policy=iam.render(readers), opts=opts
        )
    aws.ecr.LifecyclePolicy(
        logical,
        repository=repository.name,
        policy=Output.json_dumps(
            {
                "rules": [
                    {
                        "rulePriority": 1,
                        "description": "Images that no tag names",
                        "selection": {
                            "tagStatus": "untagged",
                            "countType": "sinceImagePushed",
                            "countUnit": "days",
                            "countNumber": UNTAGGED_DAYS,
                        },
                        "action": {"type": "expire"},
                    }
                ]
            }
        ),
        opts=opts,
    )
    return repository
