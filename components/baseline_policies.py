"""The statements of an account's baseline: keys, permissions boundary, personas, model execution.

Pure functions, so that tests evaluate exactly what is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import iam
from components.naming import Names, Placement

KEY_SERVICES: Mapping[str, tuple[str, ...]] = {
    "data": ("s3", "athena", "dynamodb", "glue", "sagemaker", "lakeformation"),
    "models": ("s3", "ecr", "sagemaker"),
    "logs": ("s3",),
    "storage": ("ec2", "elasticfilesystem", "sagemaker"),
    "audit": ("s3",),
    "messages": ("sns", "sqs", "ssm", "secretsmanager", "events"),
}
"""Key purpose -> services through which the account's identities may use it.

Feature Store keeps its online store in DynamoDB, on the caller's behalf.
"""

ACCOUNT_KEYS = ("data", "logs", "storage", "messages")
"""The keys that every account has; the models key belongs to the registry, whose policy names the
environments that read with it."""

CRYPTOGRAPHY = [
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncrypt*",
    "kms:GenerateDataKey*",
    "kms:DescribeKey",
]
"""The five actions by which data is encrypted and decrypted."""

PERSONAS = ("platform-engineer", "ml-engineer", "governance-officer")


def key_statements(names: Names, purpose: str) -> list[iam.Statement]:
    """A key's policy: administered by IAM, used through its services, logs by their own rule."""
    services = [f"{service}.{names.region}.amazonaws.com" for service in KEY_SERVICES[purpose]]
    statements = [
        iam.Statement(
            # In a key policy "*" is this key; the account's IAM policies decide who administers it.
            sid="AccountAdministration",
            principals={"AWS": [names.root_arn]},
            # Neither use nor kms:CreateGrant: an administrator cannot read what a key encrypts.
            actions=[
                "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:Describe*",
                "kms:Disable*", "kms:Enable*", "kms:Get*", "kms:List*", "kms:PutKeyPolicy",
                "kms:RevokeGrant", "kms:RotateKeyOnDemand", "kms:ScheduleKeyDeletion",
                "kms:TagResource", "kms:UntagResource", "kms:Update*",
            ],
            resources=["*"],
        ),
        iam.Statement(
            sid="UseThroughServices",
            principals={"AWS": [names.root_arn]},
            actions=CRYPTOGRAPHY,
            resources=["*"],
            conditions={
                "StringEquals": {
                    "kms:CallerAccount": names.account_id,
                    "kms:ViaService": services,
                }
            },
        ),
        iam.Statement(
            sid="GrantsForServices",
            principals={"AWS": [names.root_arn]},
            actions=["kms:CreateGrant"],
            resources=["*"],
            conditions={
                "StringEquals": {
                    "kms:CallerAccount": names.account_id,
                    "kms:ViaService": services,
                },
                "Bool": {"kms:GrantIsForAWSResource": "true"},
            },
        ),
    ]  # fmt: skip
    if purpose == "logs":
        statements.append(
            iam.Statement(
                sid="LogGroups",
                principals={"Service": [f"logs.{names.region}.amazonaws.com"]},
                actions=CRYPTOGRAPHY,
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": names.arn("logs", "log-group:*")
                    }
                },
            )
        )
    if purpose == "messages":
        statements.append(
            iam.Statement(
                sid="AlertsFromServices",
                principals={"Service": ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]},
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": names.account_id}},
            )
        )
        statements.append(
            iam.Statement(
                sid="EventsToQueues",
                principals={"Service": ["events.amazonaws.com"]},
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": names.account_id}},
            )
        )
    return statements


def boundary_statements(names: Names) -> list[iam.Statement]:
    """What no role that people or projects make can ever do, whatever its own policies say."""
    own_roles = [f"arn:{names.partition}:iam::{names.account_id}:role/{names.name('*')}"]
    boundary = names.policy_arn("boundary")
    return [
        iam.Statement(
            # A boundary grants nothing: it is the outer limit of what a role's policies grant.
            sid="OuterLimit",
            actions=[
                "access-analyzer:*", "athena:*", "cloudtrail:Describe*", "cloudtrail:Get*",
                "cloudtrail:LookupEvents", "cloudwatch:*", "codebuild:*", "codecommit:*",
                "codeconnections:*", "codepipeline:*", "config:Describe*", "config:Get*",
                "datazone:*", "ec2:CreateNetworkInterface*", "ec2:DeleteNetworkInterface*",
                "ec2:Describe*", "ecr:*", "elasticfilesystem:*", "events:*", "glue:*",
                "iam:Get*", "iam:List*", "kms:*", "lakeformation:*", "lambda:*",
                "logs:*", "s3:*", "sagemaker:*", "secretsmanager:*", "servicecatalog:*", "sns:*",
                "sqs:*", "ssm:*", "states:*", "sts:*", "tag:*", "application-autoscaling:*",
                "budgets:View*", "ce:Get*", "cloudformation:*", "guardduty:Get*",
                "guardduty:List*", "securityhub:Get*", "securityhub:Describe*",
            ],
            resources=["*"],
        ),
        iam.Statement(
            sid="RolesUnderTheBoundary",
            actions=[
                "iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRolePolicy",
                "iam:DetachRolePolicy", "iam:PutRolePolicy",
            ],
            resources=own_roles,
            conditions={"ArnEquals": {"iam:PermissionsBoundary": boundary}},
        ),
        iam.Statement(
            sid="OwnRoles",
            actions=["iam:DeleteRole", "iam:PassRole", "iam:TagRole", "iam:UntagRole"],
            resources=own_roles,
        ),
        iam.Statement(
            # Services of one region for all regions, and calls that find a bucket's region.
            sid="NoOtherRegion",
            effect="Deny",
            not_actions=["budgets:*", "ce:*", "iam:*", "s3:GetBucketLocation",
                         "s3:ListAllMyBuckets", "sts:*"],
            resources=["*"],
            conditions={"StringNotEquals": {"aws:RequestedRegion": names.region}},
        ),
        iam.Statement(
            sid="NoOwnBoundaryOrUsers",
            effect="Deny",
            actions=[
                "iam:CreateUser", "iam:CreateAccessKey", "iam:CreateLoginProfile",
                "iam:DeleteRolePermissionsBoundary", "iam:PutRolePermissionsBoundary",
                "iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion",
                "iam:UpdateAssumeRolePolicy",
            ],
            resources=["*"],
        ),
        iam.Statement(
            # The deployer and the personas are for people and CI, never for a service.
            sid="NoPersonsRolesForServices",
            effect="Deny",
            actions=["iam:DeleteRole", "iam:PassRole"],
            resources=[names.role_arn(role) for role in ("deployer", *PERSONAS)],
        ),
        iam.Statement(
            sid="NoGuardrailOff",
            effect="Deny",
            actions=[
                "access-analyzer:DeleteAnalyzer", "cloudtrail:DeleteTrail",
                "cloudtrail:StopLogging", "cloudtrail:UpdateTrail",
                "config:DeleteConfigurationRecorder", "config:StopConfigurationRecorder",
                "ec2:DeleteFlowLogs", "ec2:DisableEbsEncryptionByDefault",
                "guardduty:DeleteDetector", "kms:DisableKey", "kms:DisableKeyRotation",
                "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion",
                "lakeformation:PutDataLakeSettings", "logs:DeleteLogGroup",
                "logs:DisassociateKmsKey", "s3:PutAccountPublicAccessBlock",
                "s3:PutBucketLogging", "s3:PutBucketPublicAccessBlock",
                "s3:PutEncryptionConfiguration", "securityhub:DisableSecurityHub",
            ],
            resources=["*"],
        ),
    ]  # fmt: skip


def persona_trust(
    placement: Placement, persona: str, principals: Sequence[str]
) -> list[iam.Statement]:
    """Who may assume a persona's role: the configured principals, else hub identities by tag."""
    hub = Names.at(placement, "governance")
    if not principals:
        return [
            iam.Statement(
                sid="TaggedIdentitiesOfTheHub",
                principals={"AWS": [hub.root_arn]},
                actions=["sts:AssumeRole"],
                conditions={"StringEquals": {"aws:PrincipalTag/persona": persona}},
            )
        ]
    accounts = sorted({principal.split(":")[4] for principal in principals})
    return [
        iam.Statement(
            sid="ConfiguredPrincipals",
            principals={"AWS": [f"arn:{hub.partition}:iam::{a}:root" for a in accounts]},
            actions=["sts:AssumeRole"],
            conditions={"ArnLike": {"aws:PrincipalArn": sorted(principals)}},
        )
    ]


_READING = iam.Statement(
    # Configuration and records, but no data: neither objects, secrets nor parameters' values.
    sid="ReadConfiguration",
    actions=[
        "access-analyzer:List*", "cloudtrail:DescribeTrails", "cloudtrail:GetTrailStatus",
        "cloudtrail:LookupEvents", "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData",
        "ec2:DescribeFlowLogs", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
        "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs", "iam:ListRoles", "kms:ListAliases",
        "logs:DescribeLogGroups", "s3:ListAllMyBuckets", "sagemaker:ListModelPackageGroups",
        "sagemaker:ListModelPackages", "sagemaker:ListEndpoints", "sagemaker:ListModelCards",
        "sagemaker:ListTrainingJobs", "sagemaker:ListPipelines", "sagemaker:Search",
    ],
    resources=["*"],
)  # fmt: skip


def persona_statements(placement: Placement, persona: str) -> list[iam.Statement]:
    """What a persona may do in one account.

    The platform engineer reads and assumes the deployers; the ML engineer approves versions in the
    hub and works with endpoints; the governance officer reads all and decides approvals.
    """
    names = Names.at(placement)
    registry = [
        names.arn("sagemaker", "model-package-group/*"),
        names.arn("sagemaker", "model-package/*"),
    ]
    describe = iam.Statement(
        sid="ReadRegistry",
        actions=[
            "sagemaker:DescribeModelPackage", "sagemaker:DescribeModelPackageGroup",
            "sagemaker:GetModelPackageGroupPolicy", "sagemaker:DescribeModelCard",
        ],
        resources=[*registry, names.arn("sagemaker", "model-card/*")],
    )  # fmt: skip
    if persona == "platform-engineer":
        deployers = sorted(
            Names.at(placement, env).role_arn("deployer") for env in placement["accounts"]
        )
        return [
            _READING,
            describe,
            iam.Statement(
                sid="AssumeDeployers", actions=["sts:AssumeRole"], resources=sorted(set(deployers))
            ),
        ]
    if persona == "ml-engineer":
        own = [
            names.arn("sagemaker", f"{kind}/{names.name('*')}")
            for kind in ("endpoint", "endpoint-config", "model")
        ]
        statements = [
            _READING,
            describe,
            iam.Statement(
                sid="OperateEndpoints",
                actions=[
                    "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig",
                    "sagemaker:DescribeModel", "sagemaker:InvokeEndpoint",
                    "sagemaker:UpdateEndpointWeightsAndCapacities",
                ],
                resources=own,
            ),
        ]  # fmt: skip
        if placement["environment"] == "governance":
            statements.append(
                iam.Statement(
                    sid="ApproveInTheHub",
                    actions=["sagemaker:UpdateModelPackage"],
                    resources=[names.arn("sagemaker", "model-package/*")],
                )
            )
        return statements
    return [
        _READING,
        describe,
        iam.Statement(
            sid="ReadAudit",
            actions=["sagemaker:DescribeEndpoint", "sagemaker:DescribeTrainingJob",
                     "sagemaker:DescribePipelineExecution"],
            resources=[names.arn("sagemaker", "*")],
        ),
        iam.Statement(
            sid="DecideApprovals",
            actions=["codepipeline:GetPipelineState", "codepipeline:PutApprovalResult"],
            resources=[names.arn("codepipeline", f"{names.prefix}-*")],
        ),
    ]  # fmt: skip


def model_execution_statements(placement: Placement) -> list[iam.Statement]:
    """What a deployed model's role may do: read the hub's artifacts and images, write its logs."""
    names, hub = Names.at(placement), Names.at(placement, "governance")
    return [
        iam.Statement(
            sid="ReadCentralArtifacts",
            actions=["s3:GetObject", "s3:ListBucket"],
            resources=[hub.bucket_arn("models"), f"{hub.bucket_arn('models')}/*"],
        ),
        iam.Statement(
            # The hub's key is known by its alias only: ids are not known before it is made.
            sid="DecryptCentralArtifacts",
            actions=["kms:Decrypt", "kms:DescribeKey"],
            resources=[hub.arn("kms", "key/*")],
            conditions={"ForAnyValue:StringEquals": {"kms:ResourceAliases": hub.alias("models")}},
        ),
        iam.Statement(
            sid="PullCentralImages",
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage",
                     "ecr:GetDownloadUrlForLayer"],
            resources=[hub.arn("ecr", f"repository/{hub.name('*')}")],
        ),
        iam.Statement(
            # This action knows no resources. Source: service authorization reference, Amazon ECR.
            sid="SignInToImages",
            actions=["ecr:GetAuthorizationToken"],
            resources=["*"],
        ),
        iam.Statement(
            sid="WriteLogs",
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams",
                     "logs:PutLogEvents"],
            resources=[names.arn("logs", "log-group:/aws/sagemaker/*")],
        ),
        iam.Statement(
            sid="WriteMetrics",
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*",
                                                               "aws/sagemaker/*"]}},
        ),
        iam.Statement(
            # Network interfaces in the VPC: their ids are not known before they are made.
            sid="RunInTheVpc",
            actions=[
                "ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission",
            ],
            resources=[names.arn("ec2", f"{kind}/*") for kind in
                       ("network-interface", "subnet", "security-group")],
        ),
        iam.Statement(
            sid="SeeTheVpc",
            actions=["ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
                     "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"],
            resources=["*"],
        ),
    ]  # fmt: skip
