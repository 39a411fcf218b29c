"""What a project with a feature group has in dev, and what its roles may do there.

A feature group with an online store and an offline one below the project's part of the data bucket,
and the role that SageMaker writes the latter with. The project's jobs put and get its records, from
the VPC alone. Jobs of pipelines have no network; one step by its name has one, to reach the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulumi import Input

from components import iam
from components.naming import Names, Placement

GROUP, STORE = "{}-records", "{}-feature-store"
"""The group, and the role that its offline store is written with."""

IDENTIFIER, TIME = "record_id", "event_time"
"""What every record has: what tells it from the others, and when it came to be."""

STEP = "StoreFeatures"
"""The step of the project's pipeline that reaches the store; build repositories know the name."""


def group_name(names: Names, project: str) -> str:
    """Name of a project's feature group."""
    return names.name(GROUP.format(project), "feature-group")


def definitions(features: Mapping[str, str]) -> dict[str, str]:
    """Feature -> type of all that records have, as the group is made with them.

    Args:
        features: What the template has beside :data:`IDENTIFIER` and :data:`TIME`.
    """
    return {IDENTIFIER: "String", TIME: "String", **features}


def offline_folder(names: Names, project: str) -> str:
    """URL of the folder in S3 that the offline store is below."""
    return f"s3://{names.bucket('data')}/{project}/features/"


def connected_jobs(names: Names) -> list[str]:
    """ARNs of the processing jobs of :data:`STEP`, which may have a network.

    SageMaker has names of steps in the names of their jobs, and writes ARNs in lower case.
    Source: ListPipelineExecutionSteps in SageMaker's API reference, and its examples.
    """
    return [
        names.arn("sagemaker", f"processing-job/pipelines-*-{step}-*")
        for step in (STEP, STEP.lower())
    ]


def job_statements(placement: Placement, project: str, vpc_id: str) -> list[iam.Statement]:
    """The project's jobs: put and get records of its own group.

    Args:
        placement: Where.
        project: The project's name.
        vpc_id: The VPC that they have to come from.
    """
    dev = Names.at(placement, "dev")
    return [
        iam.Statement(
            # No longer name: another project's may begin with this one's.
            sid="UseOwnFeatures",
            actions=["sagemaker:BatchGetRecord", "sagemaker:DescribeFeatureGroup",
                     "sagemaker:GetRecord", "sagemaker:PutRecord"],
            resources=[dev.arn("sagemaker", f"feature-group/{group_name(dev, project)}")],
            conditions={"StringEquals": {"aws:SourceVpc": vpc_id}},
        )
    ]  # fmt: skip


def store_statements(
    placement: Placement, project: str, key_arns: Sequence[Input[str]]
) -> list[iam.Statement]:
    """SageMaker, when it writes the offline store.

    Args:
        placement: Where.
        project: The project's name.
        key_arns: The key of data.

    Source: SageMaker developer guide, "Adding policies to your IAM role" for Feature Store. There
    is no table in Glue, so nothing of Glue is needed.
    """
    dev = Names.at(placement, "dev")
    folder = offline_folder(dev, project).removeprefix(f"s3://{dev.bucket('data')}")
    return [
        iam.Statement(
            sid="OfflineRecords",
            actions=["s3:PutObject", "s3:PutObjectAcl"],
            resources=[f"{dev.bucket_arn('data')}{folder}*"],
        ),
        iam.Statement(
            sid="DataBucket",
            actions=["s3:GetBucketAcl", "s3:GetBucketLocation"],
            resources=[dev.bucket_arn("data")],
        ),
        iam.Statement(
            sid="DataKey",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
            resources=list(key_arns),
        ),
    ]
