"""What both ways of self-service have: templates in a bucket, and the role that launches them.

Products of Service Catalog are in :mod:`components.catalog`, templates that Studio takes from S3 in
:mod:`components.project_templates`. Either way a template is one custom resource, asked of the
hub's vending function.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import Input, ResourceOptions

from components import iam
from components.naming import Names, Placement
from components.storage import BucketSpec, make_bucket

VENDING = "vending"
"""The function and the build."""

BUCKET = "catalog"
"""Bucket of templates, in each account that has some."""

LAUNCH = "catalog-launch"
"""The launch role."""

STUDIO_TAG = {"sagemaker:studio-visibility": "true"}
"""Studio offers products and templates with this tag. Source: SageMaker developer guide, create
custom project templates."""


def vending_function_arn(placement: Placement) -> str:
    """ARN of the hub's vending function.

    Args:
        placement: Of any stack.
    """
    hub = Names.at(placement, "governance")
    return hub.arn("lambda", f"function:{hub.name(VENDING)}")


def ask_the_function(function_arn: Input[str]) -> iam.Statement:
    """What every launch role may do: a stack's one resource is the vending function's."""
    return iam.Statement(
        sid="AskTheFunction", actions=["lambda:InvokeFunction"], resources=[function_arn]
    )


def template_text(template: Mapping[str, Any]) -> str:
    """A CloudFormation template as it is stored: one text for one content."""
    return json.dumps(template, indent=2, sort_keys=True)


def templates_bucket(
    logical: str,
    placement: Placement,
    key_arn: Input[str],
    log_bucket: Input[str],
    parent: pulumi.Resource,
) -> aws.s3.Bucket:
    """The bucket of templates of a stack's account.

    Args:
        logical: Name of its resources in the stack.
        placement: Of the stack.
        key_arn: Its key.
        log_bucket: Where access to it is logged.
        parent: Component that it belongs to.
    """
    names = Names.at(placement)
    spec = BucketSpec(
        name=names.bucket(BUCKET),
        arn=names.bucket_arn(BUCKET),
        key_arn=key_arn,
        log_bucket=log_bucket,
        protect=placement["protect"],
    )
    bucket, _ = make_bucket(logical, spec, parent)
    return bucket


def make_launch_role(
    logical: str,
    names: Names,
    trust: iam.Statement,
    statements: Sequence[iam.Statement],
    boundary_arn: Input[str],
    parent: pulumi.Resource,
) -> aws.iam.Role:
    """A launch role with its policy.

    Args:
        logical: Name of its resources in the stack.
        names: Of the environment that its name has.
        trust: Who assumes it.
        statements: What it may do.
        boundary_arn: Its permissions boundary.
        parent: Component that it belongs to.
    """
    opts = ResourceOptions(parent=parent)
    role = aws.iam.Role(
        logical,
        name=names.role(LAUNCH),
        assume_role_policy=iam.render([trust]),
        permissions_boundary=boundary_arn,
        opts=opts,
    )
    aws.iam.RolePolicy(
        logical, name="launch", role=role.name, policy=iam.render(statements), opts=opts
    )
    return role
