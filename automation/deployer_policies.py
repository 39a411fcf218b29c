"""What the deployer of an environment may do, and the read-only role of previews.

One table: service family -> actions that make, read, change and remove what the stacks hold, and
the resources, bound by name wherever the service's ARNs carry one. Each ``*`` says why it is one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence

from components import iam
from components.naming import Names

LIMIT = 6144
"""Characters of a managed policy. Source: IAM quotas."""


def deployer_statements(names: Names) -> list[iam.Statement]:
    """Everything that the stacks of this environment hold."""
    own = names.name("*")
    roles = f"arn:{names.partition}:iam::{names.account_id}:role/{own}"
    boundary = names.policy_arn("boundary")
    # Its policies too: a new version of one would give it anything.
    protected = [
        *map(names.role_arn, ("deployer", "preview", "ci", "ci-preview")),
        *map(names.policy_arn, ("deployer-*", "preview-*", "ci", "ci-preview")),
    ]
    bucket = f"arn:{names.partition}:s3:::{own}"
    return [
        iam.Statement(
            sid="Buckets",
            actions=[
                "s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:GetBucket*",
                "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration", "s3:ListBucket",
                "s3:ListBucketVersions", "s3:PutBucket*", "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration", "s3:ListTagsForResource", "s3:TagResource",
                "s3:UntagResource",
            ],
            resources=[bucket],
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
                "securityhub:DisableSecurityHub", "lakeformation:*DataLakeSettings",
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
                "kms:DeleteAlias", "kms:UpdateAlias", "kms:ListGrants", "kms:RevokeGrant",
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
                     "kms:DescribeKey"],
            resources=[names.arn("kms", "key/*")],
            conditions={"StringLike": {"kms:ViaService": f"*.{names.region}.amazonaws.com"}},
        ),
        iam.Statement(
            sid="BoundedRolesOnly",
            actions=["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy",
                     "iam:DetachRolePolicy", "iam:DeleteRolePolicy",
                     "iam:PutRolePermissionsBoundary"],
            resources=[roles],
            conditions={"StringEquals": {"iam:PermissionsBoundary": boundary}},
        ),
        iam.Statement(
            sid="Roles",
            actions=["iam:DeleteRole", "iam:GetRole", "iam:GetRolePolicy",
                     "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
                     "iam:ListRolePolicies", "iam:ListRoleTags", "iam:TagRole", "iam:UntagRole",
                     "iam:UpdateAssumeRolePolicy", "iam:UpdateRole"],
            resources=[roles],
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
            resources=[roles],
            conditions={
                "StringEquals": {
                    "iam:PassedToService": [
                        "sagemaker.amazonaws.com", "vpc-flow-logs.amazonaws.com",
                        "config.amazonaws.com", "lakeformation.amazonaws.com",
                        "datazone.amazonaws.com", "events.amazonaws.com",
                    ]
                }
            },
        ),
        iam.Statement(
            sid="NeverItself",
            effect="Deny",
            actions=["iam:Attach*", "iam:Create*", "iam:Delete*", "iam:Detach*", "iam:Put*",
                     "iam:Tag*", "iam:Untag*", "iam:Update*"],
            resources=protected,
        ),
        *_never_its_state(names),
        iam.Statement(
            # Networks: ids are not known before things are made; the region is bound below.
            sid="Network",
            actions=[
                "ec2:AllocateAddress", "ec2:AssociateRouteTable", "ec2:AttachInternetGateway",
                "ec2:AuthorizeSecurityGroup*", "ec2:CreateFlowLogs", "ec2:CreateInternetGateway",
                "ec2:CreateNatGateway", "ec2:CreateNetworkInterface", "ec2:CreateRoute*",
                "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc",
                "ec2:CreateVpcEndpoint", "ec2:DeleteFlowLogs", "ec2:DeleteInternetGateway",
                "ec2:DeleteNatGateway", "ec2:DeleteRoute*", "ec2:DeleteSecurityGroup",
                "ec2:DeleteSubnet", "ec2:DeleteTags", "ec2:DeleteVpc", "ec2:DeleteVpcEndpoints",
                "ec2:Describe*", "ec2:DetachInternetGateway", "ec2:DisassociateRouteTable",
                "ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint",
                "ec2:ReleaseAddress", "ec2:RevokeSecurityGroup*", "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
            ],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": names.region}},
        ),
        iam.Statement(
            sid="LogGroups",
            actions=["logs:AssociateKmsKey", "logs:CreateLogGroup", "logs:DeleteLogGroup",
                     "logs:DisassociateKmsKey", "logs:ListTagsForResource",
                     "logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy", "logs:TagResource",
                     "logs:UntagResource"],
            resources=[names.arn("logs", f"log-group:/{names.prefix}/{names.environment}/*")],
        ),
        iam.Statement(
            sid="Parameters",
            actions=["ssm:AddTagsToResource", "ssm:DeleteParameter", "ssm:GetParameter",
                     "ssm:GetParameters", "ssm:ListTagsForResource", "ssm:PutParameter",
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
