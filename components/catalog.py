"""Self-service in the hub: Service Catalog's portfolios, products and launch roles, and vending.

A product holds no logic: its template is one custom resource, whose function starts the build that
vends it through Pulumi. Each template of ``seed_code/`` is a product in both portfolios: in that of
SageMaker projects with the platform's own way of release, in that of ML administration with every
choice. ML administration has :data:`ADMINISTRATION` beside them; that of accounts only where the
settings have a role that makes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import pulumi
import pulumi_aws as aws
import yaml
from pulumi import Input, Output, ResourceOptions

from components import iam, sources
from components.events import EventComponent
from components.functions import Function, FunctionNetwork
from components.launching import (
    BUCKET,
    STUDIO_TAG,
    VENDING,
    ask_the_function,
    make_launch_role,
    template_text,
    templates_bucket,
    vending_function_arn,
)
from components.naming import OWN_DOMAIN, TARGET_KINDS, Names, Placement
from components.projects.policies import STATES_VERSION
from components.projects.project import IMAGE

VENDING_ROLE = "vending-build"
"""The build's role, which the deployers trust; the function has a role of its own."""

STATE = "vended"
"""Where the stacks of all that is vended are kept, below the state bucket."""

VENDED = ("projects", "users", "domains", "accounts")
"""Commands of the automation that vend; the hub knows what there is below these parameters."""

DEAD_LETTERS = "vending-failed"
"""Queue of the requests that the function could not take."""

PORTFOLIOS: Mapping[str, str] = {
    "ml-administration": "ML administration",
    "sagemaker-projects": "SageMaker projects",
}
"""Portfolio -> its name as people read it."""

STUDIO_PORTFOLIO, ADMINISTRATORS_PORTFOLIO = "sagemaker-projects", "ml-administration"

FIRST_VERSION = "first"
"""Version that a product is made with; the others are called by the hash of their template."""

ENDED_BADLY = ("FAILED", "FAULT", "STOPPED", "TIMED_OUT")
"""States of builds that ended without success. Source: CodeBuild user guide, build notifications
reference."""

_SERVICE_TIMEOUT_SECONDS = 3600
"""CloudFormation waits no longer for a custom resource."""

_BUILD_MINUTES, _QUEUED_MINUTES = 45, 10
"""Together less than CloudFormation waits, so that it is the build that tells why."""

_BUILDSPEC: Mapping[str, Any] = {
    "version": 0.2,
    "phases": {
        "install": {
            "runtime-versions": {"python": 3.11},
            "commands": [
                # An image that brings the requirements is taken as it is. The policy pack runs in
                # the environment of this name.
                "if python3 -c 'import boto3, copier, pulumi_awsx, pydantic' 2>/dev/null; then"
                " ln -s \"$(python3 -c 'import sys; print(sys.prefix)')\" .venv;"
                " else python3 -m venv .venv && .venv/bin/python -m pip install --quiet"
                " --require-hashes -r requirements/platform.txt; fi",
                "command -v pulumi >/dev/null || { .venv/bin/python -m automation.ci install /opt"
                " && ln -s /opt/pulumi/* /usr/local/bin/; }",
                # The token is read when git asks for it: it stands in no file.
                'if [ -n "$GIT_TOKEN" ]; then git config --global credential.helper'
                " '!f() { echo username=x-access-token; echo \"password=$GIT_TOKEN\"; }; f'; fi",
            ],
        },
        "build": {"commands": [".venv/bin/python -m functions.vending.build"]},
        # CloudFormation is told also of what failed.
        "post_build": {"commands": [".venv/bin/python -m functions.vending.answer"]},
    },
}


def _parameter(description: str, **rules: Any) -> dict[str, Any]:
    return {"Type": "String", "Description": description, **rules}


_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "SageMakerProjectName": _parameter(
        "Name of the project: lower-case letters, digits and single hyphens",
        AllowedPattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
        MaxLength=20,
    ),
    "SageMakerProjectId": _parameter(
        "Id of the project; Studio gives it", AllowedPattern="^p-[a-z0-9]{12}$"
    ),
    "Owner": _parameter("Team that answers for the project", MinLength=1, MaxLength=256),
    "CostCentre": _parameter("Where its cost goes", MinLength=1, MaxLength=256),
    "Organization": _parameter(
        "Who owns its repositories where they are hosted", AllowedPattern="^[A-Za-z0-9_.-]+$"
    ),
}

_RELEASE_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "Targets": _parameter(
        "Environments that it is deployed to, in order",
        AllowedValues=["preprod,prod", "dev,preprod,prod", "preprod", "prod", "dev"],
        Default="preprod,prod",
    ),
    "Ci": _parameter(
        "What builds and releases it",
        AllowedValues=["codepipeline", "github"],
        Default="codepipeline",
    ),
    "TokenSecret": _parameter(
        "ARN of the secret with GitHub's token; for github", Default="", MaxLength=2048
    ),
}


@dataclass(frozen=True)
class Administration:
    """A product of administrators; what it may be asked for is ``functions/vending/requests.py``'s.

    Attributes:
        title: Its name as people read it.
        description: What it makes.
        resource: Type of the custom resource.
        parameters: Parameter, and property of the resource -> its rules.
        outputs: Output of the resource -> what it is.
    """

    title: str
    description: str
    resource: str
    parameters: Mapping[str, dict[str, Any]]
    outputs: Mapping[str, str]


ACCOUNT = "aws-account"
"""Product of :data:`ADMINISTRATION` that vends accounts."""

_NAME_RULES = {"AllowedPattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "MaxLength": 20}

ADMINISTRATION: Mapping[str, Administration] = {
    "studio-user": Administration(
        title="Studio user",
        description="A user of Studio who is not in the platform's settings",
        resource="Custom::StudioUser",
        parameters={
            "UserName": _parameter(
                "Name of the user, by which the person is known: letters, digits and hyphens; with"
                " IAM Identity Center that of the directory",
                AllowedPattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
                MaxLength=63,
            ),
            "Persona": _parameter(
                "What the user may do",
                AllowedValues=["data-scientist", "lead-data-scientist"],
                Default="data-scientist",
            ),
            "Domain": _parameter(
                "Studio domain: that of a business unit, or the platform's own, studio",
                Default=OWN_DOMAIN,
                **_NAME_RULES,
            ),
            "Owner": _parameter("Team that answers for the user", MinLength=1, MaxLength=256),
            "CostCentre": _PARAMETERS["CostCentre"],
        },
        outputs={"UserName": "Name of the user", "Domain": "Studio domain"},
    ),
    "studio-domain": Administration(
        title="Studio domain",
        description="A Studio domain of a business unit in the account of dev",
        resource="Custom::StudioDomain",
        parameters={
            "DomainName": _parameter(
                "Name of the domain: lower-case letters, digits and single hyphens", **_NAME_RULES
            ),
            "BusinessUnit": _parameter("Whose domain it is", MinLength=1, MaxLength=256),
            "FinanceOwner": _parameter("Who answers for its cost", MinLength=1, MaxLength=256),
            "WorkloadEnvironment": _parameter(
                "What is worked on there", Default="dev", MinLength=1, MaxLength=256
            ),
            "Owner": _parameter("Team that answers for the domain", MinLength=1, MaxLength=256),
            "CostCentre": _PARAMETERS["CostCentre"],
            "IdleTimeoutMinutes": {
                "Type": "Number",
                "Description": "Idle minutes after which an app is shut down",
                "Default": 60,
                "MinValue": 60,
                "MaxValue": 525600,
            },
        },
        outputs={"DomainName": "Name of the domain"},
    ),
    ACCOUNT: Administration(
        title="AWS account",
        description="An AWS account in the organisational unit of a kind of environments; ending"
        " the product closes no account",
        resource="Custom::AwsAccount",
        parameters={
            "AccountName": _parameter(
                "Name of the account: lower-case letters, digits and single hyphens",
                AllowedPattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
                MaxLength=50,
            ),
            "Email": _parameter(
                "Address of its root user, which no other AWS account has; it cannot change",
                # Source: AWS Organizations API reference, CreateAccount; of ASCII alone.
                AllowedPattern=r"^[!-?A-~]+@[!-?A-~]+\.[!-?A-~]+$",
                MinLength=6,
                MaxLength=64,
            ),
            "Kind": _parameter(
                "Kind of environments whose unit it goes to", AllowedValues=list(TARGET_KINDS)
            ),
            "Owner": _parameter("Team that answers for the account", MinLength=1, MaxLength=256),
            "CostCentre": _PARAMETERS["CostCentre"],
        },
        outputs={"AccountName": "Name of the account", "AccountId": "Its id, 12 digits"},
    ),
}
"""Products of administrators beside the templates."""


def administration(account_kinds: Sequence[str]) -> dict[str, Administration]:
    """The products of :data:`ADMINISTRATION` that a platform offers.

    Args:
        account_kinds: Kinds of environments that accounts can be made for; without one there is no
            such product.
    """
    offered = dict(ADMINISTRATION)
    account = offered.pop(ACCOUNT)
    if account_kinds:
        kinds = {**account.parameters["Kind"], "AllowedValues": list(account_kinds)}
        offered[ACCOUNT] = replace(account, parameters={**account.parameters, "Kind": kinds})
    return offered


def administration_template(made: Administration, function_arn: str) -> dict[str, Any]:
    """The CloudFormation template of a product of administrators.

    Args:
        made: The product.
        function_arn: The vending function; the stack has to be in its region.
    """
    properties = {name: {"Ref": name} for name in made.parameters}
    return _template(made.description, made.parameters, made.resource, properties, made.outputs,
                     function_arn)  # fmt: skip


def setting_parameter(setting: str, rule: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A setting of a template as a parameter of its products: its name and its rules.

    What CloudFormation cannot check of JSON Schema, such as an exclusive limit, the build checks.

    Args:
        setting: Its name, such as ``gate_rmse``, which becomes ``GateRmse``.
        rule: Its JSON Schema, with a description and a default.

    Raises:
        ValueError: It is a list or an object, which no form asks for.
    """
    kind = rule.get("type", "string")
    if kind not in ("string", "number", "integer", "boolean"):
        raise ValueError(f"{setting}: a form cannot ask for {kind}")
    default = rule["default"]
    made: dict[str, Any] = {
        "Type": "Number" if kind in ("number", "integer") else "String",
        "Description": str(rule["description"]).strip(),
        "Default": str(default).lower() if kind == "boolean" else default,
    }
    if kind == "boolean":
        made["AllowedValues"] = ["true", "false"]
    if "enum" in rule:
        made["AllowedValues"] = list(rule["enum"])
    told = {"pattern": "AllowedPattern", "minLength": "MinLength", "maxLength": "MaxLength",
            "minimum": "MinValue", "maximum": "MaxValue"}  # fmt: skip
    made |= {name: rule[key] for key, name in told.items() if key in rule}
    return "".join(part.capitalize() for part in setting.split("_")), made


def product_template(
    template: str,
    function_arn: str,
    *,
    every_choice: bool,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The CloudFormation template of a product.

    Args:
        template: Folder below ``seed_code/`` that its repositories start with.
        function_arn: The vending function; the stack has to be in its region.
        every_choice: Whether the launch asks for targets and the way of release.
        settings: The template's own: name -> JSON Schema. A launch asks for each.
    """
    more = _RELEASE_PARAMETERS if every_choice else {}
    asked = {name: setting_parameter(name, rule) for name, rule in (settings or {}).items()}
    parameters = {**_PARAMETERS, **more}
    properties: dict[str, Any] = {
        "Template": template,
        "ProjectName": {"Ref": "SageMakerProjectName"},
        "ProjectId": {"Ref": "SageMakerProjectId"},
        **{name: {"Ref": name} for name in parameters if not name.startswith("SageMaker")},
    }
    if asked:
        properties["Settings"] = {
            name: {"Ref": parameter} for name, (parameter, _) in asked.items()
        }
        parameters |= dict(asked.values())
    outputs = {
        "ProjectId": "Id of the project",
        "BuildRepository": "Repository that trains and registers",
        "DeployRepository": "Repository that deploys",
    }
    description = f"A governed machine learning project that starts from {template}"
    return _template(description, parameters, "Custom::Project", properties, outputs, function_arn)


def _template(
    description: str,
    parameters: Mapping[str, dict[str, Any]],
    resource: str,
    properties: Mapping[str, Any],
    outputs: Mapping[str, str],
    function_arn: str,
) -> dict[str, Any]:
    """A template of one custom resource, called by the last part of its type."""
    name = resource.rpartition("::")[2]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": description,
        "Parameters": dict(parameters),
        "Resources": {
            name: {
                "Type": resource,
                "Properties": {
                    "ServiceToken": function_arn,
                    "ServiceTimeout": str(_SERVICE_TIMEOUT_SECONDS),
                    **properties,
                },
            }
        },
        "Outputs": {
            output: {"Description": told, "Value": {"Fn::GetAtt": [name, output]}}
            for output, told in outputs.items()
        },
    }


def launch_statements(names: Names, function_arn: Input[str]) -> list[iam.Statement]:
    """What the launch role may do: stacks of products, whose one resource is the function's.

    Args:
        names: Of the account that launches.
        function_arn: The vending function of the hub.

    Source: Service Catalog administrator guide, launch constraints.
    """
    return [
        iam.Statement(
            sid="StacksOfProducts",
            actions=["cloudformation:CreateStack", "cloudformation:DeleteStack",
                     "cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks",
                     "cloudformation:SetStackPolicy", "cloudformation:UpdateStack"],
            # Service Catalog names its stacks so.
            resources=[names.arn("cloudformation", "stack/SC-*")],
        ),
        iam.Statement(
            # A template is checked before there is a stack.
            sid="CheckTemplates",
            actions=["cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"],
            resources=["*"],
        ),
        iam.Statement(
            # The copies that Service Catalog keeps in its own buckets, which have no known names.
            sid="ReadTemplates",
            actions=["s3:GetObject"],
            resources=["*"],
            conditions={
                "StringEquals": {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}
            },
        ),
        ask_the_function(function_arn),
    ]  # fmt: skip


def vending_statements(names: Names) -> list[iam.Statement]:
    """What the function may do; ``functions/vending/handler.py`` says what it needs."""
    return [
        iam.Statement(
            sid="StartBuilds",
            actions=["codebuild:BatchGetBuilds", "codebuild:StartBuild"],
            resources=[names.arn("codebuild", f"project/{names.name(VENDING)}")],
        ),
        iam.Statement(
            sid="KnowWhatIsVended",
            actions=["ssm:GetParameter"],
            resources=[
                names.arn("ssm", f"parameter{names.parameter(below)}/*") for below in VENDED
            ],
        ),
    ]


def build_statements(
    names: Names,
    accounts: Mapping[str, str],
    key_arn: Input[str],
    git_token: tuple[str, Input[str]] | None = None,
    account_factory: str = "",
) -> list[iam.Statement]:
    """What the vending build may do: become the deployers, and keep the state of stacks.

    What is vended it makes as the deployers, which never have fewer rights than this.

    Args:
        names: The hub's.
        accounts: Environment -> account.
        key_arn: Key of its source.
        git_token: ARN of the secret with the token for repositories, and the secret's key.
        account_factory: ARN of the role that makes accounts; empty where none are vended.
    """
    state = names.bucket_arn("pulumi-state")
    deployers = [
        Names(names.prefix, environment, names.region, account).role_arn("deployer")
        for environment, account in accounts.items()
    ]
    statements = [
        iam.Statement(sid="ActInTheAccounts", actions=["sts:AssumeRole"], resources=deployers),
        iam.Statement(
            sid="KeepState",
            actions=["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            resources=[f"{state}/{STATE}/*"],
        ),
        iam.Statement(
            # Of what projects deploy with, whose own roles only read it.
            sid="NoteStatesVersion",
            actions=["s3:PutObject"],
            resources=[f"{state}/projects/*/{STATES_VERSION}"],
            conditions={"Null": {"s3:if-none-match": "false"}},
        ),
        iam.Statement(
            sid="FindState",
            actions=["s3:ListBucket"],
            resources=[state],
            conditions={"StringLike": {"s3:prefix": f"{STATE}/*"}},
        ),
        iam.Statement(
            # The bootstrap's key is known by its alias only.
            sid="EncryptState",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"],
            resources=[names.arn("kms", "key/*")],
            conditions={
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": names.alias("pulumi-state")}
            },
        ),
        iam.Statement(
            sid="ReadSource",
            actions=["s3:GetObject", "s3:GetObjectVersion"],
            resources=[f"{names.bucket_arn(BUCKET)}/{VENDING}/*"],
        ),
        iam.Statement(
            sid="OpenSource",
            actions=["kms:Decrypt"],
            resources=[key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"s3.{names.region}.amazonaws.com"}},
        ),
        iam.Statement(
            sid="WriteLogs",
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[names.arn("logs", f"log-group:{build_log_group(names)}:*")],
        ),
        iam.Statement(
            sid="RunInTheVpc",
            actions=["ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission",
                     "ec2:DeleteNetworkInterface"],
            resources=[names.arn("ec2", f"{kind}/*")
                       for kind in ("network-interface", "subnet", "security-group")],
        ),
        iam.Statement(
            # Describe actions of EC2 know no resources.
            sid="SeeTheVpc",
            actions=["ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
                     "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"],
            resources=["*"],
        ),
    ]  # fmt: skip
    if account_factory:
        statements.append(
            iam.Statement(
                sid="MakeAccounts", actions=["sts:AssumeRole"], resources=[account_factory]
            )
        )
    if git_token:
        secret, secret_key = git_token
        service = f"secretsmanager.{names.region}.amazonaws.com"
        statements += [
            iam.Statement(
                sid="TokenOfRepositories",
                actions=["secretsmanager:GetSecretValue"],
                resources=[secret],
            ),
            iam.Statement(
                sid="OpenToken",
                actions=["kms:Decrypt"],
                resources=[secret_key],
                conditions={"StringEquals": {"kms:ViaService": service}},
            ),
        ]
    return statements


def build_log_group(names: Names) -> str:
    """Where vending builds are logged."""
    return f"/{names.prefix}/{names.environment}/{VENDING}"


def source_settings(environments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Path in the build's source -> text, of the stacks' settings without their encryption keys.

    Args:
        environments: The platform's.
    """
    for name in ("Pulumi.yaml", *(f"Pulumi.{stack}.yaml" for stack in environments)):
        loaded = yaml.safe_load(Path(name).read_text("utf-8"))
        yield (
            name,
            yaml.safe_dump(
                loaded if name == "Pulumi.yaml" else {"config": loaded.get("config", {})},
                sort_keys=True,
            ),
        )


def source(environments: Iterable[str]) -> tuple[str, pulumi.Archive]:
    """The build's source for a platform of these environments, and the hash of its content."""
    digest = hashlib.sha256()
    assets: dict[str, pulumi.Asset | pulumi.Archive] = {}
    for name, path in sources.files(Path()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
        assets[name] = pulumi.FileAsset(path)
    for name, text in source_settings(environments):
        digest.update(name.encode() + b"\0" + text.encode() + b"\0")
        assets[name] = pulumi.StringAsset(text)
    return digest.hexdigest()[:16], pulumi.AssetArchive(assets)


class CatalogBucketArgs(TypedDict):
    """Inputs of :class:`CatalogBucket`."""

    placement: Placement
    """Where it lives: the hub."""
    key_arn: Input[str]
    """Its key."""
    access_log_bucket: Input[str]
    """Where access to it is logged."""


class CatalogBucket(pulumi.ComponentResource):
    """The bucket of the products' templates and of the vending build's source."""

    name: Output[str]
    key_arn: Input[str]

    def __init__(
        self, name: str, args: CatalogBucketArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:CatalogBucket", name, dict(args), opts)
        bucket = templates_bucket(
            name, args["placement"], args["key_arn"], args["access_log_bucket"], self
        )
        self.name, self.key_arn = bucket.id, args["key_arn"]
        self.register_outputs({"name": self.name})


class VendingBuildArgs(TypedDict):
    """Inputs of :class:`VendingBuild`."""

    placement: Placement
    """Where it lives: the hub."""
    network: FunctionNetwork
    """Where it runs."""
    vpc_id: Input[str]
    """The VPC of that network."""
    bucket: CatalogBucket
    """Where its source lies."""
    git_token_secret: str
    """ARN of the secret with the token for repositories; empty where git needs none."""
    account_factory: str
    """ARN of the role that makes accounts; empty where none are vended."""


class VendingBuild(pulumi.ComponentResource):
    """The CodeBuild project that runs the automation's command line for the products' function."""

    def __init__(
        self, name: str, args: VendingBuildArgs, opts: ResourceOptions | None = None
    ) -> None:
        given = {key: value for key, value in args.items() if key != "bucket"}
        super().__init__("mlops:index:VendingBuild", name, given, opts)
        network, placement, bucket = args["network"], args["placement"], args["bucket"]
        names, child = Names.at(placement), ResourceOptions(parent=self)
        token = args["git_token_secret"]
        digest, archive = source(placement["accounts"])
        stored = aws.s3.BucketObjectv2(
            f"{name}-source",
            bucket=bucket.name,
            key=f"{VENDING}/{digest}.zip",
            source=archive,
            content_type="application/zip",
            kms_key_id=bucket.key_arn,
            server_side_encryption="aws:kms",
            opts=child,
        )
        role = aws.iam.Role(
            name,
            name=names.role(VENDING_ROLE),
            assume_role_policy=iam.render(
                [iam.service_trust("codebuild.amazonaws.com", account_id=names.account_id)]
            ),
            permissions_boundary=network["boundary_arn"],
            opts=child,
        )
        policy = aws.iam.RolePolicy(
            name,
            name="vend",
            role=role.name,
            policy=iam.render(
                build_statements(
                    names,
                    placement["accounts"],
                    bucket.key_arn,
                    (token, network["messages_key_arn"]) if token else None,
                    args["account_factory"],
                )
            ),
            opts=child,
        )
        logs = aws.cloudwatch.LogGroup(
            name,
            name=build_log_group(names),
            kms_key_id=network["logs_key_arn"],
            retention_in_days=network["log_retention_days"],
            opts=child,
        )
        secrets: list[aws.codebuild.ProjectEnvironmentEnvironmentVariableArgsDict] = (
            [{"name": "GIT_TOKEN", "value": token, "type": "SECRETS_MANAGER"}] if token else []
        )
        aws.codebuild.Project(
            name,
            name=names.name(VENDING),
            description="Vends what is launched from the platform's templates",
            service_role=role.arn,
            build_timeout=_BUILD_MINUTES,
            queued_timeout=_QUEUED_MINUTES,
            encryption_key=bucket.key_arn,
            artifacts={"type": "NO_ARTIFACTS"},
            source={
                "type": "S3",
                "location": Output.concat(bucket.name, "/", stored.key),
                "buildspec": json.dumps(_BUILDSPEC, indent=2),
            },
            environment={
                "type": "LINUX_CONTAINER",
                "compute_type": "BUILD_GENERAL1_MEDIUM",
                "image": IMAGE,
                "environment_variables": secrets,
            },
            vpc_config={
                "vpc_id": args["vpc_id"],
                "subnets": network["subnet_ids"],
                "security_group_ids": network["security_group_ids"],
            },
            logs_config={"cloudwatch_logs": {"status": "ENABLED", "group_name": logs.name}},
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.register_outputs({})


class VendingFunctionArgs(TypedDict):
    """Inputs of :class:`VendingFunction`."""

    placement: Placement
    """Where it lives: the hub."""
    network: FunctionNetwork
    """Where the function runs, and its keys."""
    templates: Sequence[str]
    """Names of the templates."""
    launching_accounts: Sequence[str]
    """Accounts whose launch roles may ask it, the hub's own not among them."""


class VendingFunction(EventComponent):
    """The function behind the products, its rule for failed builds, and its dead letters."""

    arn: Output[str]

    def __init__(
        self, name: str, args: VendingFunctionArgs, opts: ResourceOptions | None = None
    ) -> None:
        network, placement = args["network"], args["placement"]
        names = Names.at(placement)
        super().__init__("mlops:index:VendingFunction", name, args, names, network, opts)
        rule_name = names.name(f"{VENDING}-builds", "rule")
        letters = self._dead_letters(DEAD_LETTERS, [names.arn("events", f"rule/{rule_name}")])
        function = Function(
            f"{name}-function",
            {
                "placement": placement,
                "purpose": VENDING,
                "packages": ["vending"],
                "handler": "functions.vending.handler.handle",
                "description": "Vends what is launched from the platform's templates",
                "environment": {
                    "VENDING_BUILD": names.name(VENDING),
                    "PARAMETERS": names.parameter("").rstrip("/"),
                    "TEMPLATES": json.dumps(list(args["templates"])),
                },
                "policy": iam.render(vending_statements(names)),
                "dead_letters_arn": letters.arn,
                "timeout_seconds": 120,
                "memory_mb": 256,
                "network": network,
            },
            self._child(),
        )
        for account in sorted(set(args["launching_accounts"]) - {names.account_id}):
            aws.lambda_.Permission(
                f"{name}-{account}",
                statement_id=f"Launches{account}",
                action="lambda:InvokeFunction",
                function=function.name,
                # In that account only the launch role's policy names the function.
                principal=account,
                opts=self._child(),
            )
        self._invoke(
            "builds",
            function,
            letters,
            called=rule_name,
            description="Vending builds that ended without success, for the vending function",
            target_id=VENDING,
            pattern={
                "account": [names.account_id],
                "source": ["aws.codebuild"],
                "detail-type": ["CodeBuild Build State Change"],
                "detail": {
                    "project-name": [names.name(VENDING)],
                    "build-status": list(ENDED_BADLY),
                },
            },
        )
        self.arn = function.arn
        self.register_outputs({"arn": self.arn})


class LaunchRoleArgs(TypedDict):
    """Inputs of :class:`LaunchRole`."""

    placement: Placement
    """Where it lives: the hub, or an account that the portfolios are shared to."""
    boundary_arn: Input[str]
    """Permissions boundary of the role."""


class LaunchRole(pulumi.ComponentResource):
    """The role that launches products in an account.

    A launch constraint knows it by its name, so that each account launches with its own: one name
    in every account, with the hub's environment in it.
    """

    arn: Output[str]
    name: Output[str]

    def __init__(
        self, name: str, args: LaunchRoleArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:LaunchRole", name, dict(args), opts)
        placement = args["placement"]
        role = make_launch_role(
            name,
            Names.at(placement, "governance"),
            # Service Catalog tells a role no source account: the service is all that its trust can
            # name. Who launches is decided by the portfolios.
            iam.Statement(
                sid="ServiceCatalog",
                actions=["sts:AssumeRole"],
                principals={"Service": ["servicecatalog.amazonaws.com"]},
            ),
            launch_statements(Names.at(placement), vending_function_arn(placement)),
            args["boundary_arn"],
            self,
        )
        self.arn, self.name = role.arn, role.name
        self.register_outputs({"arn": self.arn})


class Share(TypedDict):
    """Whom the portfolios are shared to."""

    kind: Literal["ACCOUNT", "ORGANIZATIONAL_UNIT", "ORGANIZATION"]
    """What the id is one of. AWS shares principals with units and organisations only; an account
    accepts the share and associates its own."""
    id: str
    """Account id, or ARN of the unit or organisation."""


class CatalogArgs(TypedDict):
    """Inputs of :class:`Catalog`."""

    placement: Placement
    """Where it lives: the hub."""
    templates: Mapping[str, str]
    """Name of a template -> its description: each is a product."""
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """Name of a template -> its settings -> their JSON Schema: what its products ask for."""
    account_kinds: Sequence[str]
    """Kinds of environments that accounts are vended for; none where no account is."""
    owner: str
    """Who answers for the products."""
    shares: Sequence[Share]
    """Whom the portfolios are shared to."""
    principals: Mapping[str, Sequence[str]]
    """Portfolio -> patterns of names of the roles that may launch from it, such as
    ``acme-dev-*data-scientist``; at most ten."""
    tag_options: Mapping[str, Sequence[str]]
    """Tag key -> the values that a launch may choose from."""
    bucket: CatalogBucket
    """Where templates lie."""
    launch_role: LaunchRole
    """The hub's own."""


class Catalog(pulumi.ComponentResource):
    """The portfolios with their products, shares and rules."""

    portfolio_ids: dict[str, Output[str]]

    def __init__(self, name: str, args: CatalogArgs, opts: ResourceOptions | None = None) -> None:
        given = {key: value for key, value in args.items() if key not in ("bucket", "launch_role")}
        super().__init__("mlops:index:Catalog", name, given, opts)
        self._name, self._args, self._names = name, args, Names.at(args["placement"])
        self._function_arn = vending_function_arn(args["placement"])
        self._tag_options = {
            (key, value): aws.servicecatalog.TagOption(
                f"{name}-{key}-{value}", key=key, value=value, opts=self._child()
            )
            for key, values in args["tag_options"].items()
            for value in values
        }
        self.portfolio_ids = {
            portfolio: self._portfolio(portfolio, title) for portfolio, title in PORTFOLIOS.items()
        }
        self.register_outputs({"portfolio_ids": self.portfolio_ids})

    def _child(self, *needs: pulumi.Resource) -> ResourceOptions:
        return ResourceOptions(parent=self, depends_on=list(needs))

    def _portfolio(self, portfolio: str, title: str) -> Output[str]:
        args, prefix = self._args, f"{self._name}-{portfolio}"
        made = aws.servicecatalog.Portfolio(
            prefix,
            name=self._names.name(portfolio),
            description=f"{title} of {self._names.prefix}",
            provider_name=args["owner"][:50],  # Service Catalog takes no more.
            opts=self._child(),
        )
        options = [
            aws.servicecatalog.TagOptionResourceAssociation(
                f"{prefix}-{key}-{value}",
                resource_id=made.id,
                tag_option_id=option.id,
                opts=self._child(),
            )
            for (key, value), option in self._tag_options.items()
        ]
        ready: list[pulumi.Resource] = [*options]
        for pattern in args["principals"].get(portfolio, ()):
            ready.append(
                aws.servicecatalog.PrincipalPortfolioAssociation(
                    f"{prefix}-{pattern}",
                    portfolio_id=made.id,
                    # A pattern names no account: it is matched in each that launches.
                    principal_arn=f"arn:{self._names.partition}:iam:::role/{pattern}",
                    principal_type="IAM_PATTERN",
                    opts=self._child(),
                )
            )
        in_studio = portfolio == STUDIO_PORTFOLIO
        for template, description in args["templates"].items():
            shown = template if in_studio else f"{template}, every choice"
            content = product_template(
                template,
                self._function_arn,
                every_choice=not in_studio,
                settings=args["settings"].get(template),
            )
            ready += self._product(portfolio, made, template, shown, description, content)
        if portfolio == ADMINISTRATORS_PORTFOLIO:
            for product, offered in administration(args["account_kinds"]).items():
                content = administration_template(offered, self._function_arn)
                ready += self._product(
                    portfolio, made, product, offered.title, offered.description, content
                )
        for share in args["shares"]:
            self._share(prefix, made, share, ready)
        return made.id

    def _product(
        self,
        portfolio: str,
        made: aws.servicecatalog.Portfolio,
        product_id: str,
        shown: str,
        description: str,
        template: Mapping[str, Any],
    ) -> list[pulumi.Resource]:
        prefix = f"{self._name}-{portfolio}-{product_id}"
        content = template_text(template)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        stored = aws.s3.BucketObjectv2(
            prefix,
            bucket=self._args["bucket"].name,
            key=f"{portfolio}/{product_id}-{digest}.json",
            content=content,
            content_type="application/json",
            kms_key_id=self._args["bucket"].key_arn,
            server_side_encryption="aws:kms",
            opts=self._child(),
        )
        host = f"{self._names.bucket(BUCKET)}.s3.{self._names.region}.amazonaws.com"
        url = stored.key.apply(lambda key: f"https://{host}/{key}")
        product = aws.servicecatalog.Product(
            prefix,
            name=shown,
            description=description,
            owner=self._args["owner"],
            type="CLOUD_FORMATION_TEMPLATE",
            provisioning_artifact_parameters={
                "name": FIRST_VERSION,
                "description": "What the product was made with; take the newest version",
                "type": "CLOUD_FORMATION_TEMPLATE",
                "template_url": url,
            },
            tags=STUDIO_TAG if portfolio == STUDIO_PORTFOLIO else {},
            # A product's first version is for ever: another one would be another product, and what
            # was launched would lose its own.
            opts=ResourceOptions(parent=self, ignore_changes=["provisioningArtifactParameters"]),
        )
        version = aws.servicecatalog.ProvisioningArtifact(
            f"{prefix}-{digest}",
            product_id=product.id,
            name=digest,
            description="By the content of its template",
            type="CLOUD_FORMATION_TEMPLATE",
            template_url=url,
            guidance="DEFAULT",
            # What was launched from it can still be updated and ended. It goes with the product.
            opts=ResourceOptions(parent=self, retain_on_delete=True),
        )
        association = aws.servicecatalog.ProductPortfolioAssociation(
            prefix, portfolio_id=made.id, product_id=product.id, opts=self._child()
        )
        constraint = aws.servicecatalog.Constraint(
            prefix,
            description="Launched by the launch role of the account, whoever asks",
            portfolio_id=made.id,
            product_id=product.id,
            type="LAUNCH",
            parameters=Output.json_dumps({"LocalRoleName": self._args["launch_role"].name}),
            opts=self._child(association),
        )
        return [association, constraint, version]

    def _share(
        self,
        prefix: str,
        made: aws.servicecatalog.Portfolio,
        share: Share,
        ready: Sequence[pulumi.Resource],
    ) -> None:
        to_units = share["kind"] != "ACCOUNT"
        aws.servicecatalog.PortfolioShare(
            f"{prefix}-{share['id'].rpartition('/')[2]}",
            portfolio_id=made.id,
            principal_id=share["id"],
            type=share["kind"],
            share_principals=to_units,
            share_tag_options=True,
            # Accounts that join later must find it complete.
            opts=self._child(*ready),
        )
