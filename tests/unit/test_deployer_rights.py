"""What AWS and its provider ask of a deployer beside the calls that the local cloud makes."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

import pytest
from policy_sentry.querying.actions import get_dependent_actions

from automation.deployer_policies import deployer_statements
from components import iam
from components.baseline_policies import boundary_statements, scaling_role_arn
from components.naming import Names
from localcloud.authorization import Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, REGION

ENVIRONMENTS = ("governance", "dev", "prod")

ONLY_OTHERWISE: Mapping[str, str] = {
    "billing:GetBillingViewData": "of budgets over a billing view; ours are the account's",
    "ecs:ListClusters": "of flow logs of ECS tasks; ours are of a VPC",
    "ecs:ListContainerInstances": "of flow logs of ECS tasks",
    "ecs:ListServices": "of flow logs of ECS tasks",
    "ecs:ListTaskDefinitions": "of flow logs of ECS tasks",
    "ecs:ListTasks": "of flow logs of ECS tasks",
    "lambda:PassCapacityProvider": "of functions on instances of one's own",
    "organizations:ListAWSServiceAccessForOrganization": "of trails of an organisation",
}
"""Dependent actions that the stacks' resources do without, and why."""

PROVIDER: Mapping[str, tuple[str, ...]] = {
    "aws:s3/bucket:Bucket": (
        "s3:GetAccelerateConfiguration", "s3:GetBucketAcl", "s3:GetBucketCORS",
        "s3:GetBucketLogging", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketPolicy",
        "s3:GetBucketRequestPayment", "s3:GetBucketVersioning", "s3:GetBucketWebsite",
        "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration",
        "s3:GetReplicationConfiguration", "s3:ListBucket",
    ),
    "aws:securityhub/account:Account": ("securityhub:UpdateSecurityHubConfiguration",),
    "aws:ec2/securityGroup:SecurityGroup": (
        "ec2:DeleteNetworkInterface", "ec2:DetachNetworkInterface",
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": ("ec2:ModifySecurityGroupRules",),
}  # fmt: skip
"""What the provider calls for a type beside what makes it: when it reads, changes or removes one.
Source: terraform-provider-aws, on which pulumi-aws stands, the resource's own functions."""


def allowed(environment: str) -> list[str]:
    names = Names("acme", environment, REGION, ACCOUNTS[environment])
    return [
        action
        for statement in deployer_statements(names)
        if statement.effect == "Allow"
        for action in statement.actions
        if isinstance(action, str)
    ]


def lacking(patterns: list[str], actions: list[str]) -> set[str]:
    return {
        action
        for action in actions
        if not any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_aws_checks_beside_an_action_is_allowed_with_it(environment: str) -> None:
    patterns = allowed(environment)
    named = [action for action in patterns if "*" not in action]
    found = lacking(patterns, get_dependent_actions(named))
    assert found <= set(ONLY_OTHERWISE), found - set(ONLY_OTHERWISE)
    # What is here for a reason that is gone goes, too.
    assert found == set(ONLY_OTHERWISE)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("token", PROVIDER)
def test_what_the_provider_calls_of_itself_is_allowed(environment: str, token: str) -> None:
    assert not lacking(allowed(environment), [*PROVIDER[token]])


@pytest.mark.parametrize(
    ("service", "may"),
    [
        ("access-analyzer.amazonaws.com", True),
        ("sagemaker.amazonaws.com", True),
        ("elasticfilesystem.amazonaws.com", True),
        ("support.amazonaws.com", False),
        ("sagemaker.application-autoscaling.amazonaws.com", False),
    ],
)
def test_services_make_their_own_roles_with_the_deployers_right(
    service: str, may: bool, evaluator: Evaluator
) -> None:
    names = Names("acme", "dev", REGION, ACCOUNTS["dev"])
    role = f"arn:aws:iam::{names.account_id}:role/aws-service-role/{service}/AWSServiceRoleForIt"
    identity = iam.document(deployer_statements(names))
    asked = Request(
        f"arn:aws:sts::{names.account_id}:assumed-role/{names.role('deployer')}/x",
        "iam:CreateServiceLinkedRole",
        role,
        names.account_id,
        {"iam:AWSServiceName": service},
    )
    assert evaluator.evaluate(asked, Policies(identity={"deployer": identity})).allowed is may


def test_the_first_deployment_that_scales_may_make_the_role_that_scales(
    evaluator: Evaluator,
) -> None:
    names = Names("acme", "prod", REGION, ACCOUNTS["prod"])
    everything = iam.document([iam.Statement(sid="All", actions=["*"], resources=["*"])])
    for role, may in ((scaling_role_arn(names), True), (names.role_arn("another"), False)):
        asked = Request(
            f"arn:aws:sts::{names.account_id}:assumed-role/{names.role('churn-deploy')}/x",
            "iam:CreateServiceLinkedRole",
            role,
            names.account_id,
            {"aws:RequestedRegion": "us-east-1"},
        )
        limited = Policies(
            identity={"own": everything}, boundary=iam.document(boundary_statements(names))
        )
        assert evaluator.evaluate(asked, limited).allowed is may
