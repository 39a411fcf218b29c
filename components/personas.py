"""What people do in Studio with: the execution roles of personas, and of the jobs they start.

The guarded actions are a table: for each action that starts something, which condition keys it
knows. A deny on a key that an action does not know would deny the action altogether, so a guard is
applied exactly where the table says that the action supports it.
Source of the table: the service authorization reference of Amazon SageMaker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import iam
from components.naming import Names, Placement

VPC, VOLUME, OUTPUT, INSTANCE = "vpc", "volume", "output", "instance"

GUARDED: Mapping[str, frozenset[str]] = {
    "sagemaker:CreateTrainingJob": frozenset({VPC, VOLUME, OUTPUT, INSTANCE}),
    "sagemaker:CreateProcessingJob": frozenset({VPC, VOLUME, OUTPUT, INSTANCE}),
    "sagemaker:CreateHyperParameterTuningJob": frozenset({VPC, VOLUME, OUTPUT, INSTANCE}),
    "sagemaker:CreateAutoMLJob": frozenset({VPC, VOLUME, OUTPUT}),
    "sagemaker:CreateAutoMLJobV2": frozenset({VPC, VOLUME, OUTPUT}),
    "sagemaker:CreateDataQualityJobDefinition": frozenset({VPC, VOLUME, OUTPUT, INSTANCE}),
    "sagemaker:CreateModelBiasJobDefinition": frozenset({VPC, VOLUME, OUTPUT, INSTANCE}),
    "sagemaker:CreateModelExplainabilityJobDefinition": frozenset({VPC, VOLUME, OUTPUT, INSTANCE}),
    "sagemaker:CreateModelQualityJobDefinition": frozenset({VPC, VOLUME, OUTPUT, INSTANCE}),
    "sagemaker:CreateTransformJob": frozenset({VOLUME, OUTPUT, INSTANCE}),
    "sagemaker:CreateModel": frozenset({VPC}),
    "sagemaker:CreateEndpointConfig": frozenset({VOLUME, INSTANCE}),
}
"""Action -> the guards that it knows."""

FORBIDDEN = (
    "sagemaker:CreateNotebookInstance", "sagemaker:CreatePresignedNotebookInstanceUrl",
    "sagemaker:CreateCluster", "sagemaker:CreateCompilationJob", "sagemaker:CreateLabelingJob",
)  # fmt: skip
"""Ways around the guards: notebook instances with root, clusters, and jobs that know no guard."""

PERSONAS = ("lead-data-scientist", "data-scientist")


def _names_of(guard: str) -> list[str]:
    return sorted(action for action, guards in GUARDED.items() if guard in guards)


def guard_statements(
    *,
    subnets: Sequence[str],
    security_groups: Sequence[str],
    volume_key: str,
    output_key: str,
    instance_types: Sequence[str],
) -> list[iam.Statement]:
    """Denials that keep jobs in the VPC, encrypted with the keys, and on allowed instances.

    Any non-empty subset of the allowed subnets and groups is fine: a job with one of two subnets is
    as private as one with both.
    """

    def deny(sid: str, guard: str, conditions: iam.Condition) -> iam.Statement:
        return iam.Statement(
            sid=sid,
            effect="Deny",
            actions=_names_of(guard),
            resources=["*"],
            conditions=conditions,
        )

    return [
        deny("DenyWithoutSubnets", VPC, {"Null": {"sagemaker:VpcSubnets": "true"}}),
        deny(
            "DenyOtherSubnets",
            VPC,
            {"ForAnyValue:StringNotEquals": {"sagemaker:VpcSubnets": subnets}},
        ),
        deny("DenyWithoutSecurityGroups", VPC, {"Null": {"sagemaker:VpcSecurityGroupIds": "true"}}),
        deny(
            "DenyOtherSecurityGroups",
            VPC,
            {"ForAnyValue:StringNotEquals": {"sagemaker:VpcSecurityGroupIds": security_groups}},
        ),
        deny(
            "DenyOtherVolumeKey",
            VOLUME,
            {"ArnNotEquals": {"sagemaker:VolumeKmsKeyArn": volume_key}},
        ),
        deny(
            "DenyOtherOutputKey",
            OUTPUT,
            {"ArnNotEquals": {"sagemaker:OutputKmsKeyArn": output_key}},
        ),
        deny(
            "DenyOtherInstanceTypes",
            INSTANCE,
            {"ForAnyValue:StringNotEquals": {"sagemaker:InstanceTypes": instance_types}},
        ),
    ]


def persona_statements(
    placement: Placement, persona: str, *, domain_scope: str = "*"
) -> list[iam.Statement]:
    """What a persona may do, before the guards.

    Args:
        placement: Where.
        persona: ``lead-data-scientist`` or ``data-scientist``.
        domain_scope: Id of the domain, where it is known.
    """
    names = Names.at(placement)
    own = f"{names.prefix}-*"
    jobs = sorted({*GUARDED, *_JOB_READING})
    statements = [
        iam.Statement(
            # Names of jobs and models are the team's own; the guards bound what they may be.
            sid="Train",
            actions=jobs,
            resources=[names.arn("sagemaker", "*")],
        ),
        iam.Statement(
            # List actions know no resources.
            sid="List",
            actions=["sagemaker:List*", "sagemaker:Search", "ec2:DescribeSubnets",
                     "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs", "logs:DescribeLogGroups",
                     "cloudwatch:GetMetricData", "cloudwatch:ListMetrics",
                     "ecr:GetAuthorizationToken"],
            resources=["*"],
        ),
        iam.Statement(
            sid="RegisterVersions",
            actions=["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage",
                     "sagemaker:DescribeModelPackageGroup", "sagemaker:CreateModelCard",
                     "sagemaker:DescribeModelCard", "sagemaker:AddTags"],
            resources=[names.arn("sagemaker", f"{kind}/*") for kind in
                       ("model-package-group", "model-package", "model-card")],
        ),
        iam.Statement(
            sid="RunPipelines",
            actions=["sagemaker:CreatePipeline", "sagemaker:UpdatePipeline",
                     "sagemaker:StartPipelineExecution", "sagemaker:StopPipelineExecution",
                     "sagemaker:DescribePipeline", "sagemaker:DescribePipelineExecution",
                     "sagemaker:DescribePipelineDefinitionForExecution"],
            resources=[names.arn("sagemaker", "pipeline/*")],
        ),
        iam.Statement(
            sid="OwnApps",
            actions=["sagemaker:CreateApp", "sagemaker:DeleteApp", "sagemaker:DescribeApp",
                     "sagemaker:CreateSpace", "sagemaker:UpdateSpace", "sagemaker:DeleteSpace",
                     "sagemaker:DescribeSpace"],
            resources=[names.arn("sagemaker", f"{kind}/{domain_scope}/*")
                       for kind in ("app", "space")],
        ),
        iam.Statement(
            # A space that is owned may be used by its owner only; shared spaces have no owner.
            sid="DenyOtherProfilesSpaces",
            effect="Deny",
            actions=["sagemaker:CreateApp", "sagemaker:DeleteApp", "sagemaker:UpdateSpace",
                     "sagemaker:DeleteSpace"],
            resources=[names.arn("sagemaker", f"space/{domain_scope}/*"),
                       names.arn("sagemaker", f"app/{domain_scope}/*")],
            conditions={
                "ArnNotLike": {
                    "sagemaker:OwnerUserProfileArn":
                        names.arn("sagemaker", "user-profile/${sagemaker:DomainId}"
                                               "/${sagemaker:UserProfileName}")
                },
                "StringEquals": {"sagemaker:SpaceSharingType": ["Private"]},
            },
        ),
        iam.Statement(
            sid="ReadStudio",
            actions=["sagemaker:DescribeDomain", "sagemaker:DescribeUserProfile"],
            resources=[names.arn("sagemaker", f"domain/{domain_scope}"),
                       names.arn("sagemaker", f"user-profile/{domain_scope}/*")],
        ),
        iam.Statement(
            sid="PassOnlyTheJobRole",
            actions=["iam:PassRole"],
            resources=[names.role_arn("pipeline-execution")],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.Statement(
            sid="UseData",
            actions=["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:GetBucketLocation"],
            resources=[arn for purpose in ("data", "models")
                       for arn in (names.bucket_arn(purpose), f"{names.bucket_arn(purpose)}/*")],
        ),
        iam.Statement(
            sid="ReadContract",
            actions=["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
            resources=[names.arn("ssm", f"parameter{names.parameter('*')}")],
        ),
        iam.Statement(
            sid="QueryData",
            actions=["athena:StartQueryExecution", "athena:GetQueryExecution",
                     "athena:GetQueryResults", "athena:GetWorkGroup"],
            resources=[names.arn("athena", f"workgroup/{own}")],
        ),
        iam.Statement(
            sid="ReadCatalog",
            actions=["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"],
            resources=[names.arn("glue", "catalog"), names.arn("glue", "database/*"),
                       names.arn("glue", "table/*")],
        ),
        iam.Statement(
            # Lake Formation decides per grant; this action knows no resources.
            sid="AskLakeFormation",
            actions=["lakeformation:GetDataAccess"],
            resources=["*"],
        ),
        iam.Statement(
            sid="WriteLogs",
            actions=["logs:CreateLogStream", "logs:PutLogEvents", "logs:GetLogEvents"],
            resources=[names.arn("logs", "log-group:/aws/sagemaker/*")],
        ),
        iam.Statement(
            sid="DenyWaysAround",
            effect="Deny",
            actions=[*FORBIDDEN, "s3:DeleteBucket", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy",
                     "lambda:CreateFunction", "lambda:UpdateFunctionCode",
                     "lambda:UpdateFunctionConfiguration", "lambda:InvokeFunction",
                     "sagemaker:PutModelPackageGroupPolicy",
                     "sagemaker:DeleteModelPackageGroup", "sagemaker:DeleteModelPackage"],
            resources=["*"],
        ),
    ]  # fmt: skip
    if persona == "data-scientist":
        statements.append(
            iam.Statement(
                sid="DenyApprovalAndProjects",
                effect="Deny",
                actions=["sagemaker:UpdateModelPackage", "sagemaker:CreateProject",
                         "sagemaker:UpdateProject", "sagemaker:DeleteProject"],
                resources=["*"],
            )
        )  # fmt: skip
    else:
        statements.append(
            iam.Statement(
                sid="ApproveAndVend",
                actions=["sagemaker:UpdateModelPackage", "sagemaker:CreateProject",
                         "sagemaker:UpdateProject", "sagemaker:DeleteProject",
                         "sagemaker:DescribeProject"],
                resources=[names.arn("sagemaker", "model-package/*"),
                           names.arn("sagemaker", "project/*")],
            )
        )  # fmt: skip
    return statements


_JOB_READING = (
    "sagemaker:DescribeTrainingJob", "sagemaker:DescribeProcessingJob",
    "sagemaker:DescribeTransformJob", "sagemaker:DescribeHyperParameterTuningJob",
    "sagemaker:DescribeAutoMLJobV2", "sagemaker:DescribeModel", "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig", "sagemaker:StopTrainingJob",
    "sagemaker:StopProcessingJob", "sagemaker:StopTransformJob",
)  # fmt: skip


def job_statements(placement: Placement) -> list[iam.Statement]:
    """What the jobs themselves may do: the role that personas pass."""
    names = Names.at(placement)
    statements = {s.sid: s for s in persona_statements(placement, "data-scientist")}
    kept = ("Train", "RegisterVersions", "RunPipelines", "UseData", "ReadContract", "WriteLogs",
            "PassOnlyTheJobRole", "DenyWaysAround", "DenyApprovalAndProjects")  # fmt: skip
    return [
        *(statements[sid] for sid in kept),
        iam.Statement(
            sid="RunInTheVpc",
            actions=["ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission",
                     "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"],
            resources=[names.arn("ec2", f"{kind}/*") for kind in
                       ("network-interface", "subnet", "security-group")],
        ),
        iam.Statement(
            # Describe actions of EC2 know no resources.
            sid="SeeTheVpc",
            actions=["ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
                     "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
                     "ecr:GetAuthorizationToken"],
            resources=["*"],
        ),
    ]  # fmt: skip


def key_use(names: Names, key_arns: Sequence[iam.pulumi.Input[str]]) -> iam.Statement:
    """Use of keys through the services that they are for; the keys' policies say which."""
    return iam.Statement(
        sid="UseKeys",
        actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*",
                 "kms:DescribeKey", "kms:CreateGrant"],
        resources=list(key_arns),
        conditions={"StringLike": {"kms:ViaService": f"*.{names.region}.amazonaws.com"}},
    )  # fmt: skip
