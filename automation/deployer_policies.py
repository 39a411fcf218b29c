"""What the deployer of an environment may do, and the read-only role of previews.

One table: service family -> actions that make, read, change and remove what the stacks hold, and
the resources, bound by name wherever the service's ARNs carry one. Each ``*`` says why it is one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence

from components import iam
from components.baseline_policies import (
    CONFIG_SERVICE,
    config_role_arn,
    service_linked_role_arn,
)
from components.launching import BUCKET, LAUNCH
from components.naming import Names
from components.projects.policies import GITHUB
from components.repositories import ARCHIVE

LIMIT = 6144
"""Characters of a managed policy. Source: IAM quotas."""


SERVICES_WITH_OWN_ROLES = [
    f"{service}.amazonaws.com"
    for service in (
        "access-analyzer", "elasticfilesystem", "guardduty", "malware-protection.guardduty",
        "sagemaker", "securityhub",
    )
]  # fmt: skip
"""Whose service-linked roles come with what the stacks make."""


def deployer_statements(names: Names) -> list[iam.Statement]:
    """Everything that the stacks of this environment hold."""
    own = names.name("*")
    roles = [f"arn:{names.partition}:iam::{names.account_id}:role/{own}"]
    if names.environment == "dev":
        # Launch roles are called alike in all accounts: a launch constraint knows one name.
        hub = Names(names.prefix, "governance", names.region, names.account_id)
        roles.append(hub.role_arn(LAUNCH))
    boundary = names.policy_arn("boundary")
    # Its policies too: a new version of one would give it anything. So would one of the boundary,
    # through a role that it makes.
    protected = [
        *map(names.role_arn, ("deployer", "preview", "ci", "ci-preview")),
        *map(names.policy_arn, ("deployer-*", "preview-*", "ci", "ci-preview")),
        boundary,
    ]
    bucket = f"arn:{names.partition}:s3:::{own}"
    return [
        iam.Statement(
            sid="Buckets",
            actions=[
                "s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy",
                "s3:GetAccelerateConfiguration", "s3:GetBucket*", "s3:GetEncryptionConfiguration",
                "s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket",
                "s3:ListBucketVersions", "s3:PutBucket*", "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration", "s3:ListTagsForResource", "s3:TagResource",
                "s3:UntagResource",
            ],
            resources=[bucket],
        ),
        iam.Statement(
            # Artifacts of projects' pipelines, when a project goes.
            sid="PipelineArtifacts",
            actions=["s3:DeleteObject", "s3:DeleteObjectVersion"],
            resources=[f"{bucket[: -len('*')]}ci-*/*"],
        ),
        iam.Statement(
            # Account settings and log-group, trail and topic lists have no ARN to bind.
            sid="AccountSettings",
            actions=[
                "s3:GetAccountPublicAccessBlock", "s3:PutAccountPublicAccessBlock",
                "iam:GetAccountPasswordPolicy", "iam:UpdateAccountPasswordPolicy",
                "iam:DeleteAccountPasswordPolicy", "ec2:*EbsEncryptionByDefault",
                "ec2:*EbsDefaultKmsKeyId", "config:*ConfigurationRecorder*",
                "config:*DeliveryChannel*", "guardduty:CreateDetector", "guardduty:GetDetector",
                "guardduty:ListDetectors", "guardduty:UpdateDetector", "guardduty:DeleteDetector",
                "guardduty:TagResource", "securityhub:EnableSecurityHub", "securityhub:DescribeHub",
                "securityhub:DisableSecurityHub", "securityhub:UpdateSecurityHubConfiguration",
                "lakeformation:*DataLakeSettings",
                "lakeformation:RegisterResource", "lakeformation:DescribeResource",
                "lakeformation:DeregisterResource", "lakeformation:GrantPermissions",
                "lakeformation:ListPermissions", "lakeformation:RevokePermissions",
                "lakeformation:GetDataAccess", "glue:*DataCatalogEncryptionSettings",
                "glue:*SecurityConfiguration", "sagemaker:*SagemakerServicecatalogPortfolio*",
                "servicecatalog:AcceptPortfolioShare", "servicecatalog:ListAcceptedPortfolioShares",
                "logs:DescribeLogGroups", "kms:ListAliases", "kms:ListKeys", "kms:CreateKey",
                "ssm:DescribeParameters", "cloudtrail:DescribeTrails", "cloudtrail:ListTrails",
                "sns:ListTopics", "sns:GetSubscriptionAttributes", "sns:Unsubscribe",
                "sts:GetCallerIdentity", "ecr:GetAuthorizationToken", "datazone:ListDomains",
                "datazone:CreateDomain", "cloudwatch:DescribeAlarms", "tag:GetResources",
            ],
            resources=["*"],
        ),
        iam.Statement(
            # Keys have no names; creation is tagged, use is bound by each key's policy.
            sid="Keys",
            actions=[
                "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus",
                "kms:ListResourceTags", "kms:PutKeyPolicy", "kms:EnableKeyRotation",
                "kms:DisableKeyRotation", "kms:ScheduleKeyDeletion", "kms:TagResource",
                "kms:UntagResource", "kms:UpdateKeyDescription", "kms:CreateAlias",
                "kms:DeleteAlias", "kms:UpdateAlias", "kms:ListGrants", "kms:RetireGrant",
                "kms:RevokeGrant",
            ],
            resources=[names.arn("kms", "key/*")],
        ),
        iam.Statement(
            sid="Aliases",
            actions=["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"],
            resources=[names.arn("kms", names.alias("*"))],
        ),
        iam.Statement(
            # Services encrypt what is made with the deployer's calls.
            sid="KeysThroughServices",
            actions=["kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*",
                     "kms:DescribeKey", "kms:ReEncrypt*", "kms:RetireGrant"],
            resources=[names.arn("kms", "key/*")],
            conditions={"StringLike": {"kms:ViaService": f"*.{names.region}.amazonaws.com"}},
        ),
        iam.Statement(
            sid="BoundedRolesOnly",
            actions=["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy",
                     "iam:DetachRolePolicy", "iam:DeleteRolePolicy",
                     "iam:PutRolePermissionsBoundary"],
            resources=roles,
            conditions={"StringEquals": {"iam:PermissionsBoundary": boundary}},
        ),
        iam.Statement(
            sid="Roles",
            actions=["iam:DeleteRole", "iam:GetRole", "iam:GetRolePolicy",
                     "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
                     "iam:ListRolePolicies", "iam:ListRoleTags", "iam:TagRole", "iam:UntagRole",
                     "iam:UpdateAssumeRolePolicy", "iam:UpdateRole"],
            resources=roles,
        ),
        iam.Statement(
            # Services make their own roles with the deployer's right when an account first uses
            # them: AWS writes these roles' trust and policies. Source: service authorization
            # reference, dependent actions of CreateAnalyzer, CreateDomain, CreateFileSystem,
            # CreateDetector and EnableSecurityHub.
            sid="ServicesOwnRoles",
            actions=["iam:CreateServiceLinkedRole"],
            resources=[
                service_linked_role_arn(names, service) for service in SERVICES_WITH_OWN_ROLES
            ],
            conditions={"StringEquals": {"iam:AWSServiceName": SERVICES_WITH_OWN_ROLES}},
        ),
        iam.Statement(
            # An account has one provider of a host, whoever made it; it grants nothing by itself.
            sid="WorkflowIdentities",
            actions=["iam:CreateOpenIDConnectProvider", "iam:DeleteOpenIDConnectProvider",
                     "iam:GetOpenIDConnectProvider", "iam:ListOpenIDConnectProviderTags",
                     "iam:TagOpenIDConnectProvider", "iam:UntagOpenIDConnectProvider",
                     "iam:UpdateOpenIDConnectProviderThumbprint"],
            resources=[names.oidc_provider_arn(GITHUB)],
        ),
        iam.Statement(
            sid="Policies",
            actions=["iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy",
                     "iam:DeletePolicyVersion", "iam:GetPolicy", "iam:GetPolicyVersion",
                     "iam:ListPolicyTags", "iam:ListPolicyVersions", "iam:TagPolicy",
                     "iam:UntagPolicy"],
            resources=[f"arn:{names.partition}:iam::{names.account_id}:policy/{own}"],
        ),
        iam.Statement(
            sid="PassOwnRoles",
            actions=["iam:PassRole"],
            resources=roles,
            conditions={
                "StringEquals": {
                    "iam:PassedToService": [
                        "sagemaker.amazonaws.com", "vpc-flow-logs.amazonaws.com",
                        "lakeformation.amazonaws.com",
                        "datazone.amazonaws.com", "events.amazonaws.com",
                        "lambda.amazonaws.com", "codebuild.amazonaws.com",
                        "codepipeline.amazonaws.com", "servicecatalog.amazonaws.com",
                    ]
                }
            },
        ),
        iam.Statement(
            # Made by the bootstrap; it trusts AWS Config alone.
            sid="PassConfigsRole",
            actions=["iam:PassRole"],
            resources=[config_role_arn(names)],
            conditions={"StringEquals": {"iam:PassedToService": CONFIG_SERVICE}},
        ),
        iam.Statement(
            sid="NeverItself",
            effect="Deny",
            actions=["iam:Attach*", "iam:Create*", "iam:Delete*", "iam:Detach*", "iam:Put*",
                     "iam:Set*", "iam:Tag*", "iam:Untag*", "iam:Update*"],
            resources=protected,
        ),
        *_never_its_state(names),
        *_endpoints(names),
        *_features(names),
        *_catalog(names),
        *_shares(names),
        *_archive(names),
        iam.Statement(
            # Networks: ids are not known before things are made; the region is bound below.
            sid="Network",
            actions=[
                "ec2:AllocateAddress", "ec2:AssociateRouteTable", "ec2:AttachInternetGateway",
                "ec2:AuthorizeSecurityGroup*", "ec2:CreateFlowLogs", "ec2:CreateInternetGateway",
                "ec2:CreateNatGateway", "ec2:CreateNetworkInterface", "ec2:CreateRoute*",
                "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc",
                "ec2:CreateVpcEndpoint", "ec2:DeleteFlowLogs", "ec2:DeleteInternetGateway",
                "ec2:DeleteNatGateway", "ec2:DeleteNetworkInterface", "ec2:DeleteRoute*",
                "ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteTags", "ec2:DeleteVpc",
                "ec2:DeleteVpcEndpoints", "ec2:Describe*", "ec2:DetachInternetGateway",
                "ec2:DetachNetworkInterface", "ec2:DisassociateRouteTable",
                "ec2:GetManagedPrefixListEntries", "ec2:ModifySecurityGroupRules",
                "ec2:ModifySubnetAttribute",
                "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint", "ec2:ReleaseAddress",
                "ec2:RevokeSecurityGroup*", "logs:CreateLogDelivery", "logs:DeleteLogDelivery",
            ],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": names.region}},
        ),
        iam.Statement(
            sid="LogGroups",
            actions=["logs:AssociateKmsKey", "logs:CreateLogGroup", "logs:DeleteLogGroup",
                     "logs:DeleteMetricFilter", "logs:DescribeMetricFilters",
                     "logs:DisassociateKmsKey", "logs:ListTagsForResource",
                     "logs:PutMetricFilter", "logs:PutRetentionPolicy",
                     "logs:DeleteRetentionPolicy", "logs:TagResource", "logs:UntagResource"],
            resources=[names.arn("logs", f"log-group:/{names.prefix}/{names.environment}/*")],
        ),
        iam.Statement(
            sid="Parameters",
            actions=["ssm:AddTagsToResource", "ssm:DeleteParameter", "ssm:GetParameter",
                     "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:ListTagsForResource",
                     "ssm:PutParameter",
                     "ssm:RemoveTagsFromResource"],
            resources=[names.arn("ssm", f"parameter{names.parameter('*')}")],
        ),
        iam.Statement(
            sid="Topics",
            actions=["sns:CreateTopic", "sns:DeleteTopic", "sns:GetTopicAttributes",
                     "sns:ListTagsForResource", "sns:SetTopicAttributes", "sns:Subscribe",
                     "sns:TagResource", "sns:UntagResource"],
            resources=[names.arn("sns", own)],
        ),
        iam.Statement(
            sid="Queues",
            actions=["sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes",
                     "sqs:GetQueueUrl", "sqs:ListQueueTags", "sqs:SetQueueAttributes",
                     "sqs:TagQueue", "sqs:UntagQueue"],
            resources=[names.arn("sqs", own)],
        ),
        iam.Statement(
            sid="Events",
            actions=["events:CreateEventBus", "events:DeleteEventBus", "events:DeleteRule",
                     "events:DescribeEventBus", "events:DescribeRule",
                     "events:ListTagsForResource", "events:ListTargetsByRule",
                     "events:PutRule", "events:PutTargets", "events:RemoveTargets",
                     "events:TagResource", "events:UntagResource", "events:UpdateEventBus"],
            resources=[names.arn("events", f"event-bus/{own}"), names.arn("events", f"rule/{own}")],
        ),
        iam.Statement(
            # A bus's policy is changed by calls that IAM knows no resources for.
            sid="EventBusPolicies",
            actions=["events:PutPermission", "events:RemovePermission"],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": names.region}},
        ),
        iam.Statement(
            sid="Functions",
            actions=["lambda:AddPermission", "lambda:CreateAlias", "lambda:CreateFunction",
                     "lambda:DeleteAlias", "lambda:DeleteFunction",
                     "lambda:DeleteFunctionConcurrency", "lambda:GetAlias",
                     "lambda:GetFunction*", "lambda:GetPolicy",
                     "lambda:ListVersionsByFunction", "lambda:PutFunctionConcurrency",
                     "lambda:RemovePermission", "lambda:UpdateAlias",
                     "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration"],
            resources=[names.arn("lambda", f"function:{own}")],
        ),
        iam.Statement(
            # A mapping has an id of AWS's own.
            sid="EventSources",
            actions=["lambda:DeleteEventSourceMapping", "lambda:GetEventSourceMapping",
                     "lambda:UpdateEventSourceMapping"],
            resources=[names.arn("lambda", "event-source-mapping:*")],
        ),
        iam.Statement(
            sid="FunctionTags",
            actions=["lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"],
            resources=[names.arn("lambda", f"function:{own}"),
                       names.arn("lambda", "event-source-mapping:*")],
        ),
        iam.Statement(
            # Source: service authorization reference, AWS Lambda: these know no resources.
            sid="NewEventSources",
            actions=["lambda:CreateEventSourceMapping", "lambda:ListEventSourceMappings"],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": names.region}},
        ),
        iam.Statement(
            sid="Builds",
            actions=["codebuild:BatchGetProjects", "codebuild:CreateProject",
                     "codebuild:DeleteProject", "codebuild:UpdateProject",
                     "codepipeline:CreatePipeline", "codepipeline:DeletePipeline",
                     "codepipeline:GetPipeline", "codepipeline:GetPipelineExecution",
                     "codepipeline:ListTagsForResource", "codepipeline:StartPipelineExecution",
                     "codepipeline:TagResource", "codepipeline:UntagResource",
                     "codepipeline:UpdatePipeline"],
            resources=[names.arn("codebuild", f"project/{own}"), names.arn("codepipeline", own)],
        ),
        iam.Statement(
            # Projects' repositories, which the vending also fills and reads.
            sid="Repositories",
            actions=["codecommit:CreateRepository", "codecommit:DeleteRepository",
                     "codecommit:GetRepository", "codecommit:GitPull", "codecommit:GitPush",
                     "codecommit:ListTagsForResource", "codecommit:TagResource",
                     "codecommit:UntagResource", "codecommit:UpdateRepositoryDescription"],
            resources=[names.arn("codecommit", own)],
        ),
        iam.Statement(
            # Connections have ids of AWS's own. A project may be given any of the account's.
            sid="Connections",
            actions=["codeconnections:DeleteConnection", "codeconnections:GetConnection",
                     "codeconnections:ListTagsForResource", "codeconnections:PassConnection",
                     "codeconnections:TagResource", "codeconnections:UntagResource",
                     "codestar-connections:PassConnection"],
            resources=[names.arn("codeconnections", "connection/*"),
                       names.arn("codestar-connections", "connection/*")],
        ),
        iam.Statement(
            # Source: service authorization reference: creating one knows no resource.
            sid="NewConnections",
            actions=["codeconnections:CreateConnection"],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": names.region}},
        ),
        iam.Statement(
            sid="Tables",
            actions=["dynamodb:CreateTable", "dynamodb:DeleteTable",
                     "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable",
                     "dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource",
                     "dynamodb:TagResource", "dynamodb:UntagResource",
                     "dynamodb:UpdateContinuousBackups", "dynamodb:UpdateTable"],
            resources=[names.arn("dynamodb", f"table/{own}")],
        ),
        iam.Statement(
            sid="Alarms",
            actions=["cloudwatch:DeleteAlarms", "cloudwatch:ListTagsForResource",
                     "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource",
                     "cloudwatch:UntagResource"],
            resources=[names.arn("cloudwatch", f"alarm:{own}")],
        ),
        iam.Statement(
            sid="Budgets",
            actions=["budgets:ModifyBudget", "budgets:ViewBudget", "budgets:TagResource",
                     "budgets:ListTagsForResource", "budgets:UntagResource"],
            resources=[f"arn:{names.partition}:budgets::{names.account_id}:budget/{own}"],
        ),
        iam.Statement(
            # The hub's stack makes one trail in every account, under the hub's name for it.
            sid="Trails",
            actions=["cloudtrail:AddTags", "cloudtrail:CreateTrail", "cloudtrail:DeleteTrail",
                     "cloudtrail:GetTrail", "cloudtrail:GetTrailStatus", "cloudtrail:ListTags",
                     "cloudtrail:PutEventSelectors", "cloudtrail:GetEventSelectors",
                     "cloudtrail:RemoveTags", "cloudtrail:StartLogging", "cloudtrail:StopLogging",
                     "cloudtrail:UpdateTrail"],
            resources=[names.arn("cloudtrail", f"trail/{names.prefix}-*")],
        ),
        iam.Statement(
            sid="Analyzers",
            actions=["access-analyzer:CreateAnalyzer", "access-analyzer:DeleteAnalyzer",
                     "access-analyzer:GetAnalyzer", "access-analyzer:ListTagsForResource",
                     "access-analyzer:TagResource", "access-analyzer:UntagResource"],
            resources=[names.arn("access-analyzer", f"analyzer/{own}")],
        ),
        iam.Statement(
            # Domain ids are AWS's; groups carry the teams' own names.
            sid="SageMaker",
            actions=[
                f"sagemaker:{verb}{thing}"
                for thing, verbs in (
                    ("Domain", ("Create", "Delete", "Describe", "Update")),
                    ("UserProfile", ("Create", "Delete", "Describe", "Update")),
                    ("Space", ("Create", "Delete", "Describe", "Update")),
                    ("App", ("Delete", "Describe")),
                    ("StudioLifecycleConfig", ("Create", "Delete", "Describe")),
                    ("ModelPackageGroup", ("Create", "Delete", "Describe")),
                    ("ModelPackageGroupPolicy", ("Get", "Put", "Delete")),
                    ("Endpoint", ("Describe",)),
                    ("Pipeline", ("Delete", "Describe")),
                    ("FeatureGroup", ("Create", "Delete", "Describe", "Update")),
                    ("Tags", ("Add", "Delete", "List")),
                )
                for verb in verbs
            ],
            resources=[names.arn("sagemaker", "*")],
        ),
        iam.Statement(
            # List actions know no resources.
            sid="SageMakerLists",
            actions=["sagemaker:ListApps", "sagemaker:ListDomains", "sagemaker:ListSpaces",
                     "sagemaker:ListUserProfiles", "sagemaker:ListModelPackageGroups"],
            resources=["*"],
        ),
        iam.Statement(
            # Studio makes its home file system on the caller's behalf.
            sid="StudioHome",
            actions=["elasticfilesystem:CreateFileSystem", "elasticfilesystem:CreateMountTarget",
                     "elasticfilesystem:DeleteFileSystem", "elasticfilesystem:DeleteMountTarget",
                     "elasticfilesystem:DescribeFileSystems",
                     "elasticfilesystem:DescribeMountTargets", "elasticfilesystem:TagResource"],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": names.region}},
        ),
        iam.Statement(
            sid="Images",
            actions=["ecr:CreateRepository", "ecr:DeleteLifecyclePolicy", "ecr:DeleteRepository",
                     "ecr:DeleteRepositoryPolicy", "ecr:DescribeRepositories",
                     "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy",
                     "ecr:ListTagsForResource", "ecr:PutImageScanningConfiguration",
                     "ecr:PutImageTagMutability", "ecr:PutLifecyclePolicy",
                     "ecr:SetRepositoryPolicy", "ecr:TagResource", "ecr:UntagResource"],
            resources=[names.arn("ecr", f"repository/{own}")],
        ),
        iam.Statement(
            sid="Analysis",
            actions=["athena:CreateWorkGroup", "athena:DeleteWorkGroup", "athena:GetWorkGroup",
                     "athena:ListTagsForResource", "athena:TagResource", "athena:UntagResource",
                     "athena:UpdateWorkGroup"],
            resources=[names.arn("athena", f"workgroup/{own}")],
        ),
        iam.Statement(
            sid="Catalog",
            actions=["glue:CreateDatabase", "glue:DeleteDatabase", "glue:GetDatabase",
                     "glue:GetTags", "glue:TagResource", "glue:UntagResource",
                     "glue:UpdateDatabase"],
            resources=[
                names.arn("glue", "catalog"),
                names.arn("glue", f"database/{own.replace('-', '_')}"),
                names.arn("glue", f"table/{own.replace('-', '_')}/*"),
                names.arn("glue", f"userDefinedFunction/{own.replace('-', '_')}/*"),
            ],
        ),
        iam.Statement(
            sid="DataZone",
            actions=["datazone:DeleteDomain", "datazone:GetDomain", "datazone:ListTagsForResource",
                     "datazone:TagResource", "datazone:UntagResource", "datazone:UpdateDomain"],
            resources=[names.arn("datazone", "domain/*")],
        ),
    ]  # fmt: skip


def _endpoints(names: Names) -> list[iam.Statement]:
    """What VPC endpoints need beside EC2's own actions, which name another region or none."""
    statements = [
        iam.Statement(
            # Their private names are hosted zones of AWS's. Source: service authorization
            # reference, dependent actions of CreateVpcEndpoint.
            sid="EndpointNames",
            actions=["route53:AssociateVPCWithHostedZone"],
            resources=["*"],
        )
    ]
    if names.environment == "governance":
        statements.append(
            iam.Statement(
                # Of IAM, which is in one region for all. Source: service authorization reference,
                # Amazon VPC endpoints.
                sid="EndpointsOfOtherRegions",
                actions=["vpce:AllowMultiRegion"],
                resources=[f"arn:{names.partition}:ec2:*:{names.account_id}:vpc-endpoint/*"],
            )
        )
    return statements


def _features(names: Names) -> list[iam.Statement]:
    """In dev: the table in which SageMaker tells Athena of a feature group's offline store."""
    if names.environment != "dev":
        return []
    return [
        iam.Statement(
            # SageMaker's own name. Source: AWS::SageMaker::FeatureGroup, permissions of its maker.
            sid="FeatureTables",
            actions=["glue:CreateDatabase", "glue:CreateTable", "glue:GetDatabase",
                     "glue:GetTable"],
            resources=[
                names.arn("glue", "catalog"),
                names.arn("glue", "database/sagemaker_featurestore"),
                names.arn("glue", "table/sagemaker_featurestore/*"),
            ],
        )
    ]  # fmt: skip


def _never_its_state(names: Names) -> list[iam.Statement]:
    """In the hub: the state of all stacks is nothing that a stack may open, lose or lock."""
    if names.environment != "governance":
        return []
    return [
        iam.Statement(
            sid="NeverItsState",
            effect="Deny",
            actions=[
                "s3:DeleteBucket*",
                "s3:PutBucket*",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
            ],
            resources=[names.bucket_arn("pulumi-state")],
        ),
        iam.Statement(
            sid="NeverItsStateKey",
            effect="Deny",
            actions=[
                "kms:DeleteAlias",
                "kms:DisableKeyRotation",
                "kms:PutKeyPolicy",
                "kms:ScheduleKeyDeletion",
                "kms:UpdateAlias",
            ],
            resources=[names.arn("kms", "key/*")],
            conditions={
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": names.alias("pulumi-state")}
            },
        ),
    ]


def _archive(names: Names) -> list[iam.Statement]:
    """In the hub: the repositories of projects that go; nothing is read back or taken away."""
    if names.environment != "governance":
        return []
    return [
        iam.Statement(
            sid="ArchiveRepositories",
            actions=["s3:PutObject"],
            resources=[f"{names.bucket_arn(ARCHIVE)}/*"],
        )
    ]


def _shares(names: Names) -> list[iam.Statement]:
    """In the hub: shares of model package groups, within the organisation."""
    if names.environment != "governance":
        return []
    inside = {
        # IfExists: each call carries those of the keys that it is about.
        "BoolIfExists": {
            "ram:AllowsExternalPrincipals": "false",
            "ram:RequestedAllowsExternalPrincipals": "false",
        },
        "StringEqualsIfExists": {"ram:RequestedResourceType": "sagemaker:ModelPackageGroup"},
    }
    return [
        iam.Statement(
            # What makes a share and what lists them know no resources.
            sid="Sharing",
            actions=["ram:CreateResourceShare", "ram:GetResourceShareAssociations",
                     "ram:GetResourceShares"],
            resources=["*"],
            conditions=inside,
        ),
        iam.Statement(
            # Shares have ids of AWS's own.
            sid="Shares",
            actions=["ram:AssociateResourceShare", "ram:DeleteResourceShare",
                     "ram:DisassociateResourceShare", "ram:ListResourceSharePermissions",
                     "ram:TagResource", "ram:UntagResource", "ram:UpdateResourceShare"],
            resources=[names.arn("ram", "resource-share/*")],
            conditions=inside,
        ),
    ]  # fmt: skip


def _catalog(names: Names) -> list[iam.Statement]:
    """In the hub: portfolios and products, their templates, and the source of the vending build.

    In dev: templates in S3.
    """
    if names.environment not in ("dev", "governance"):
        return []
    objects = iam.Statement(
        sid="CatalogObjects",
        actions=["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject",
                 "s3:GetObjectTagging", "s3:PutObject", "s3:PutObjectTagging"],
        resources=[f"{names.bucket_arn(BUCKET)}/*"],
    )  # fmt: skip
    if names.environment == "dev":
        return [objects]
    return [
        objects,
        iam.Statement(
            # Service Catalog looks at a product's template as its maker; these know no resources.
            sid="Templates",
            actions=["cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"],
            resources=["*"],
        ),
        iam.Statement(
            # Portfolios, products and tag options have ids of AWS's own.
            sid="ServiceCatalog",
            actions=[
                f"servicecatalog:{verb}{thing}"
                for thing, verbs in (
                    ("Portfolio", ("Create", "Delete", "Describe", "Update")),
                    ("PortfolioShare", ("Create", "Delete", "Update")),
                    ("PortfolioShares", ("Describe",)),
                    ("PortfolioShareStatus", ("Describe",)),
                    ("PortfoliosForProduct", ("List",)),
                    ("PrincipalWithPortfolio", ("Associate",)),
                    ("PrincipalFromPortfolio", ("Disassociate",)),
                    ("PrincipalsForPortfolio", ("List",)),
                    ("Product", ("Create", "Delete", "Update")),
                    ("ProductAsAdmin", ("Describe",)),
                    ("ProductWithPortfolio", ("Associate",)),
                    ("ProductFromPortfolio", ("Disassociate",)),
                    ("ProvisioningArtifact", ("Create", "Delete", "Describe", "Update")),
                    ("Constraint", ("Create", "Delete", "Describe", "Update")),
                    ("ConstraintsForPortfolio", ("List",)),
                    ("TagOption", ("Create", "Delete", "Describe", "Update")),
                    ("TagOptions", ("List",)),
                    ("TagOptionWithResource", ("Associate",)),
                    ("TagOptionFromResource", ("Disassociate",)),
                    ("ResourcesForTagOption", ("List",)),
                )
                for verb in verbs
            ],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": names.region}},
        ),
    ]  # fmt: skip


_READS = ("Get", "List", "Describe", "View", "Head")
_NOT_READS = ("lakeformation:GetDataAccess",)  # hands out credentials for data


def preview_statements(names: Names) -> list[iam.Statement]:
    """The reading part of the deployer.

    A preview reads nothing secret: parameters hold names and ARNs.
    """
    kept: list[iam.Statement] = []
    for statement in deployer_statements(names):
        if statement.effect == "Deny":
            continue
        reading = [
            action
            for action in statement.actions
            if isinstance(action, str)
            and action.split(":")[1].startswith(_READS)
            and action not in _NOT_READS
        ]
        if reading:
            kept.append(
                iam.Statement(
                    sid=statement.sid,
                    actions=reading,
                    resources=statement.resources,
                    conditions=statement.conditions,
                )
            )
    return kept


def documents(statements: Sequence[iam.Statement]) -> Iterator[dict[str, object]]:
    """The statements in as few policies as IAM's size limit allows, in their order.

    Raises:
        ValueError: one statement alone is over the limit.
    """

    def size(some: Sequence[iam.Statement]) -> int:
        return len(json.dumps(iam.document(some), separators=(",", ":")))

    held: list[iam.Statement] = []
    for statement in statements:
        if size([statement]) > LIMIT:
            raise ValueError(f"statement {statement.sid} alone is over {LIMIT} characters")
        if held and size([*held, statement]) > LIMIT:
            yield iam.document(held)
            held = []
        held.append(statement)
    if held:
        yield iam.document(held)


def numbered(base: str, statements: Sequence[iam.Statement]) -> dict[str, dict[str, object]]:
    """Policy name -> document."""
    return {
        f"{base}-{number}": document
        for number, document in zip(itertools.count(1), documents(statements), strict=False)
    }
