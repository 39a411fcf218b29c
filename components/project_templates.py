"""SageMaker projects from templates in S3, beside those from Service Catalog.

In an account where people launch, a bucket holds the same CloudFormation templates that the hub's
products have: one custom resource each, asked of the hub's vending function. Studio's domains name
the folder by a tag; ``CreateProject`` makes the stack with the rights of whoever asks, and what the
stack does it does as the launch role. Who may launch is decided by IAM alone: a policy binds the
stacks to this folder and to that role.

Source: SageMaker developer guide, SageMaker AI Projects with templates in S3, and
``CfnCreateTemplateProvider`` in SageMaker's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.launching import (
    BUCKET,
    LAUNCH,
    STUDIO_TAG,
    ask_the_function,
    make_launch_role,
    templates_bucket,
)
from components.naming import Names, Placement

FOLDER = "sagemaker-projects"
"""Folder of the bucket with the projects' templates."""

LOCATION_TAG = "sagemaker:projectS3TemplatesLocation"
"""Tag of a Studio domain: the folder whose templates it offers, ``s3://bucket/folder/``."""

_STACKS = "stack/SP-*"
"""SageMaker names the stacks of its projects so."""

_STUDIO = "https://*.sagemaker.aws"
"""Where Studio's pages come from."""


def location(names: Names) -> str:
    """What a domain of this environment is tagged with."""
    return f"s3://{names.bucket(BUCKET)}/{FOLDER}/"


def template_url(names: Names, template: str) -> str:
    """Where a template of this environment is, as ``TemplateURL`` of a project takes it."""
    return f"https://{names.bucket(BUCKET)}.s3.{names.region}.amazonaws.com/{_key(template)}"


def _key(template: str) -> str:
    # Studio takes templates in YAML, which JSON is.
    return f"{FOLDER}/{template}.yaml"


def launching_statements(names: Names) -> list[iam.Statement]:
    """What whoever launches from these templates may do, beside ``sagemaker:CreateProject``.

    SageMaker makes, changes and removes a project's stack in the caller's name.

    Args:
        names: Of the account that launches.
    """
    bucket, role = names.bucket_arn(BUCKET), names.role_arn(LAUNCH)
    stacks = [names.arn("cloudformation", _STACKS)]
    return [
        iam.Statement(
            # A template of one's own could ask the vending function for what is not offered.
            sid="StacksOfTemplates",
            actions=["cloudformation:CreateStack", "cloudformation:UpdateStack"],
            resources=stacks,
            conditions={
                "StringLike": {"cloudformation:TemplateUrl": template_url(names, "*")},
                "ArnEquals": {"cloudformation:RoleArn": role},
            },
        ),
        iam.Statement(
            sid="StacksOfProjects",
            actions=["cloudformation:DeleteStack", "cloudformation:DescribeStacks",
                     "cloudformation:TagResource", "cloudformation:UntagResource"],
            resources=stacks,
        ),
        iam.Statement(
            # The role trusts CloudFormation alone; it reaches it by SageMaker's call.
            sid="PassTheLaunchRole",
            actions=["iam:PassRole"],
            resources=[role],
            conditions={
                "StringEquals": {
                    "iam:PassedToService": ["cloudformation.amazonaws.com",
                                            "sagemaker.amazonaws.com"]
                }
            },
        ),
        iam.Statement(
            sid="ReadTemplates",
            actions=["s3:GetObject", "s3:GetObjectTagging"],
            resources=[f"{bucket}/{FOLDER}/*"],
        ),
        iam.Statement(
            sid="FindTemplates",
            actions=["s3:ListBucket"],
            resources=[bucket],
            conditions={"StringLike": {"s3:prefix": f"{FOLDER}/*"}},
        ),
        iam.Statement(
            sid="TagProjects",
            actions=["sagemaker:AddTags"],
            resources=[names.arn("sagemaker", "project/*")],
        ),
    ]  # fmt: skip


def launch_statements(function_arn: str) -> list[iam.Statement]:
    """What the launch role may do: ask the function of the stacks' one resource.

    CloudFormation reads the template in the caller's name.

    Args:
        function_arn: The vending function of the hub.
    """
    return [ask_the_function(function_arn)]


class ProjectTemplatesArgs(TypedDict):
    """Inputs of :class:`ProjectTemplates`."""

    placement: Placement
    """Where it lives: an account with Studio."""
    key_arn: Input[str]
    """Key of the bucket; those who launch may use it by S3."""
    access_log_bucket: Input[str]
    """Where access to the bucket is logged."""
    boundary_arn: Input[str]
    """Permissions boundary of the launch role."""
    function_arn: str
    """The vending function that the templates name."""
    templates: Mapping[str, str]
    """Name of a template -> its text, JSON."""


class ProjectTemplates(pulumi.ComponentResource):
    """The bucket of templates that Studio offers, and the role that launches them."""

    launch_role_arn: Output[str]

    def __init__(
        self, name: str, args: ProjectTemplatesArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:ProjectTemplates", name, dict(args), opts)
        placement, child = args["placement"], ResourceOptions(parent=self)
        bucket = templates_bucket(name, placement, args["key_arn"], args["access_log_bucket"], self)
        aws.s3.BucketCorsConfiguration(
            name,
            bucket=bucket.id,
            # Studio's page reads templates in the browser, as the person's role, and writes none.
            cors_rules=[
                {
                    "allowed_headers": ["*"],
                    "allowed_methods": ["GET", "HEAD"],
                    "allowed_origins": [_STUDIO],
                    "expose_headers": ["ETag", "x-amz-version-id"],
                }
            ],
            opts=child,
        )
        for template, text in args["templates"].items():
            aws.s3.BucketObjectv2(
                f"{name}-{template}",
                bucket=bucket.id,
                key=_key(template),
                content=text,
                content_type="application/yaml",
                kms_key_id=args["key_arn"],
                server_side_encryption="aws:kms",
                tags=STUDIO_TAG,
                opts=child,
            )
        role = make_launch_role(
            name,
            Names.at(placement),
            # What CloudFormation tells of the stack when it assumes a stack's role is not
            # documented, so the trust has no condition; only roles of this account can pass it.
            iam.Statement(
                sid="CloudFormation",
                actions=["sts:AssumeRole"],
                principals={"Service": ["cloudformation.amazonaws.com"]},
            ),
            launch_statements(args["function_arn"]),
            args["boundary_arn"],
            self,
        )
        self.launch_role_arn = role.arn
        self.register_outputs({"launch_role_arn": self.launch_role_arn})
