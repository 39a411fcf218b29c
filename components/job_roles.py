"""What the role of every SageMaker job, model or build may do, whatever else it is for."""

from __future__ import annotations

from components import framework_images, iam
from components.images import PULL
from components.naming import Names

_VPC = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
_SEE_VPC = (
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


def framework_pulls(names: Names) -> list[iam.Statement]:
    """To pull the images of AWS's own frameworks, from AWS's accounts."""
    return framework_images.statements(names, "PullFrameworkImages", PULL)


def running(names: Names) -> list[iam.Statement]:
    """To pull an image, and to tell how it goes.

    Args:
        names: Of where it runs.

    Source: SageMaker developer guide, execution roles.
    """
    return [
        iam.Statement(
            # This action knows no resources. Source: service authorization reference, Amazon ECR.
            sid="SignInToImages",
            actions=["ecr:GetAuthorizationToken"],
            resources=["*"],
        ),
        *framework_pulls(names),
        iam.Statement(
            sid="WriteLogs",
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams",
                     "logs:PutLogEvents"],
            resources=[names.arn("logs", "log-group:/aws/sagemaker/*")],
        ),
        iam.Statement(
            # Metrics have no ARN; the namespace is what bounds them.
            sid="WriteMetrics",
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*",
                                                               "aws/sagemaker/*"]}},
        ),
    ]  # fmt: skip


def networking(names: Names, *seen: str) -> list[iam.Statement]:
    """To run in the VPC.

    Args:
        names: Of where it runs.
        seen: More actions that know no resources.
    """
    return [
        iam.Statement(
            # Network interfaces in the VPC: their ids are not known before they are made.
            sid="RunInTheVpc",
            actions=_VPC,
            resources=[
                names.arn("ec2", f"{kind}/*")
                for kind in ("network-interface", "subnet", "security-group")
            ],
        ),
        # Describe actions of EC2 know no resources.
        iam.Statement(sid="SeeTheVpc", actions=[*_SEE_VPC, *seen], resources=["*"]),
    ]
