"""Functions as this platform makes them: in the VPC, encrypted, watched, under the boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.naming import Names, Placement

FOLDER = Path("functions")
"""Where their code is, below the program's folder."""

RUNTIME = "python3.13"

RUN_IN_THE_VPC = iam.Statement(
    # These actions are Lambda's own preparation; it has no resources to name before it is made.
    sid="RunInTheVpc",
    actions=[
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ],
    resources=["*"],
)
"""Source: Lambda developer guide, required IAM permissions for functions in a VPC."""


class FunctionNetwork(TypedDict):
    """Where functions run, and what they have in common."""

    subnet_ids: Input[Sequence[Input[str]]]
    """Private subnets."""
    security_group_ids: Input[Sequence[Input[str]]]
    """Security groups of workloads."""
    logs_key_arn: Input[str]
    """Key of log groups."""
    messages_key_arn: Input[str]
    """Key of environment variables."""
    boundary_arn: Input[str]
    """Permissions boundary of the role."""
    alerts_topic_arn: Input[str]
    """Who is told of failures."""
    log_retention_days: int
    """How long log lines are kept."""


class FunctionArgs(TypedDict):
    """Inputs of :class:`Function`."""

    placement: Placement
    """Where it lives."""
    purpose: str
    """Its name and its role's, without the prefix."""
    packages: Sequence[str]
    """Folders below ``functions/`` that it is made of."""
    files: NotRequired[Mapping[str, str]]
    """Path below ``functions/`` -> text that lies there beside the code: what may grow, as
    environment variables must fit into 4 KB together."""
    handler: str
    """Such as ``functions.promotion.handler.handle``."""
    description: str
    """What it is for."""
    environment: Mapping[str, Input[str]]
    """Environment variables; none is secret."""
    policy: Input[str]
    """Policy document: what its role may do beside running."""
    dead_letters_arn: Input[str]
    """Queue for the events that it fails on."""
    timeout_seconds: int
    """Longest run."""
    memory_mb: int
    """Memory."""
    network: FunctionNetwork
    """Where it runs."""


def archive(packages: Sequence[str], files: Mapping[str, str] | None = None) -> pulumi.Archive:
    """The code of a function: the packages' own files, and nothing that running them leaves.

    Args:
        packages: Folders below ``functions/``.
        files: Path below ``functions/`` -> text of a further file.

    Raises:
        FileNotFoundError: There is no such package below the working directory.
    """
    code = [FOLDER / "__init__.py"]
    for package in packages:
        found = sorted((FOLDER / package).glob("*.py"))
        if not found:
            raise FileNotFoundError(f"{(FOLDER / package).absolute()} holds no function's code")
        code += found
    return pulumi.AssetArchive(
        {
            **{file.as_posix(): pulumi.FileAsset(file) for file in code},
            **{
                (FOLDER / path).as_posix(): pulumi.StringAsset(text)
                for path, text in (files or {}).items()
            },
        }
    )


def _running(names: Names, group: str, args: FunctionArgs) -> list[iam.Statement]:
    function = names.arn("lambda", f"function:{names.name(args['purpose'])}")
    return [
        RUN_IN_THE_VPC,
        iam.Statement(
            # The role's credentials are the code's too. Source: Lambda developer guide, VPC access.
            sid="DenyInterfacesToTheCode",
            effect="Deny",
            actions=RUN_IN_THE_VPC.actions,
            resources=["*"],
            conditions={"ArnEquals": {"lambda:SourceFunctionArn": function}},
        ),
        iam.Statement(
            sid="WriteLogs",
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[names.arn("logs", f"log-group:{group}:*")],
        ),
        iam.Statement(
            sid="KeepFailures", actions=["sqs:SendMessage"], resources=[args["dead_letters_arn"]]
        ),
        iam.Statement(
            # Of its queues, and of its own environment variables.
            sid="UseMessagesKey",
            actions=["kms:Decrypt", "kms:GenerateDataKey*"],
            resources=[args["network"]["messages_key_arn"]],
        ),
    ]


class Function(pulumi.ComponentResource):
    """A Lambda function with its role, log group and alarm."""

    arn: Output[str]
    name: Output[str]
    role_arn: Output[str]
    log_group: Output[str]
    """Where its lines go."""
    ready: list[pulumi.Resource]
    """What an event source needs to exist: the function and its role's policies."""

    def __init__(self, name: str, args: FunctionArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mlops:index:Function", name, dict(args), opts)
        names, network = Names.at(args["placement"]), args["network"]
        known_as = names.name(args["purpose"], "role")
        child = ResourceOptions(parent=self)
        group_name = f"/{names.prefix}/{names.environment}/functions/{args['purpose']}"
        role = aws.iam.Role(
            f"{name}-role",
            name=known_as,
            # Lambda tells a role no source account: the service is all that its trust can name.
            assume_role_policy=iam.render(
                [
                    iam.Statement(
                        sid="Lambda",
                        actions=["sts:AssumeRole"],
                        principals={"Service": ["lambda.amazonaws.com"]},
                    )
                ]
            ),
            permissions_boundary=network["boundary_arn"],
            # Bucket policies know a role of the platform by this tag.
            tags={"Principal": known_as},
            opts=child,
        )
        policies = [
            aws.iam.RolePolicy(
                f"{name}-{kind}", name=kind, role=role.name, policy=document, opts=child
            )
            for kind, document in (
                ("work", args["policy"]),
                ("run", iam.render(_running(names, group_name, args))),
            )
        ]
        group = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=group_name,
            kms_key_id=network["logs_key_arn"],
            retention_in_days=network["log_retention_days"],
            opts=child,
        )
        function = aws.lambda_.Function(
            name,
            name=known_as,
            description=args["description"],
            role=role.arn,
            runtime=RUNTIME,
            architectures=["arm64"],
            handler=args["handler"],
            code=archive(args["packages"], args.get("files")),
            timeout=args["timeout_seconds"],
            memory_size=args["memory_mb"],
            environment={"variables": args["environment"]},
            kms_key_arn=network["messages_key_arn"],
            dead_letter_config={"target_arn": args["dead_letters_arn"]},
            vpc_config={
                "subnet_ids": network["subnet_ids"],
                "security_group_ids": network["security_group_ids"],
            },
            logging_config={"log_format": "Text", "log_group": group.name},
            opts=ResourceOptions(parent=self, depends_on=policies),
        )
        aws.cloudwatch.MetricAlarm(
            f"{name}-errors",
            name=names.name(f"{args['purpose']}-errors"),
            alarm_description=f"{args['description']}: an invocation failed",
            namespace="AWS/Lambda",
            metric_name="Errors",
            dimensions={"FunctionName": function.name},
            statistic="Sum",
            period=300,
            evaluation_periods=1,
            threshold=0,
            comparison_operator="GreaterThanThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[network["alerts_topic_arn"]],
            opts=child,
        )
        self.arn, self.name, self.role_arn = function.arn, function.name, role.arn
        self.log_group = group.name
        self.ready = [function, *policies]
        self.register_outputs({"arn": self.arn, "role_arn": self.role_arn})
