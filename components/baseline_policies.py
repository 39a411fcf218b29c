"""The statements of an account's baseline: keys, permissions boundary, personas, model execution.

Pure functions, so that tests evaluate exactly what is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from components import iam, job_roles
from components.images import PULL
from components.naming import Names, Placement
from components.personas import PERSONAS as STUDIO_PERSONAS
from components.personas import launching_statements

KEY_SERVICES: Mapping[str, tuple[str, ...]] = {
    "data": (
        "s3",
        "athena",
        "codecommit",
        "datazone",
        "dynamodb",
        "glue",
        "sagemaker",
        "lakeformation",
    ),
    "models": ("s3", "ecr", "sagemaker"),
    "logs": ("s3",),
    "storage": ("ec2", "elasticfilesystem", "sagemaker"),
    "audit": ("s3",),
    "messages": ("sns", "sqs", "ssm", "secretsmanager", "events", "lambda", "dynamodb"),
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

ORIGIN = (
    "RegisteredBy",
    "StartedBy",
    "SourceApprovedBy",
    "SourceModelPackageArn",
    "SpecificationDigest",
)
"""Customer metadata of central versions that tell where they come from; promotion writes them."""

PERSONAS = ("platform-engineer", "ml-engineer", "governance-officer")

SIGN_IN = "studio-user"
"""Role by which people open Studio where the domain's users are not a directory's, and the tag that
says whose profile: of identities, of the role's sessions, and of profiles."""


CONFIG_SERVICE = "config.amazonaws.com"


def service_linked_role_arn(names: Names, service: str, role: str = "*") -> str:
    """ARN of a role that AWS writes for a service of its own; by default of each of them."""
    return f"arn:{names.partition}:iam::{names.account_id}:role/aws-service-role/{service}/{role}"


def config_role_arn(names: Names) -> str:
    """The service-linked role by which AWS Config reads every type that it records.

    No role of the platform's own could: its boundary ends where the platform does. It is also what
    Security Hub's control Config.1 asks for. The bootstrap makes it.
    """
    return service_linked_role_arn(names, CONFIG_SERVICE, "AWSServiceRoleForConfig")


def scaling_role_arn(names: Names) -> str:
    """The service-linked role that scales endpoints: AWS makes it with the first that scales."""
    return service_linked_role_arn(
        names,
        "sagemaker.application-autoscaling.amazonaws.com",
        "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    )


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
                "kms:RetireGrant", "kms:RevokeGrant", "kms:RotateKeyOnDemand",
                "kms:ScheduleKeyDeletion",
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
        statements.append(
            iam.Statement(
                # Source: AWS Config developer guide, KMS key for the delivery channel, when a
                # service-linked role is used.
                sid="ConfigDelivers",
                principals={"Service": [CONFIG_SERVICE]},
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": names.account_id}},
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
                "cloudtrail:LookupEvents", "cloudwatch:*", "codeartifact:Get*",
                "codeartifact:Read*", "codebuild:*", "codecommit:*",
                "codeconnections:*", "codepipeline:*", "config:Describe*", "config:Get*",
                "datazone:*", "dynamodb:*", "ec2:*PrivateIpAddresses",
                "ec2:CreateNetworkInterface*", "ec2:DeleteNetworkInterface*", "ec2:Describe*",
                "ecr:*", "elasticfilesystem:*", "events:*", "glue:*",
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
            # Of the scaling of endpoints, which an account's first deployment makes.
            sid="ScalingsOwnRole",
            actions=["iam:CreateServiceLinkedRole"],
            resources=[scaling_role_arn(names)],
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
    placement: Placement, persona: str | Sequence[str], principals: Sequence[str]
) -> list[iam.Statement]:
    """Who may assume a persona's role: the configured principals, else hub identities by tag.

    Everybody under their own name alone: separation of duties knows people by it.

    Args:
        placement: Where.
        persona: Whose role; several where any of them will do.
        principals: Patterns of ARNs.
    """
    trusted = _trusted(placement, persona, principals)
    return [
        replace(trusted, actions=[*trusted.actions, "sts:SetSourceIdentity"]),
        NO_NEW_IDENTITY,
        *_OWN_NAME,
    ]


def _trusted(
    placement: Placement, persona: str | Sequence[str], principals: Sequence[str]
) -> iam.Statement:
    hub = Names.at(placement, "governance")
    if not principals:
        return iam.Statement(
            sid="TaggedIdentitiesOfTheHub",
            principals={"AWS": [hub.root_arn]},
            actions=["sts:AssumeRole"],
            conditions={"StringEquals": {"aws:PrincipalTag/persona": persona}},
        )
    accounts = sorted({principal.split(":")[4] for principal in principals})
    return iam.Statement(
        sid="ConfiguredPrincipals",
        principals={"AWS": [f"arn:{hub.partition}:iam::{a}:root" for a in accounts]},
        actions=["sts:AssumeRole"],
        conditions={"ArnLike": {"aws:PrincipalArn": sorted(principals)}},
    )


def _denied(sid: str, conditions: iam.Condition, action: str = "sts:AssumeRole") -> iam.Statement:
    return iam.Statement(
        sid=sid,
        effect="Deny",
        # Whoever the role trusts: a denial opens nothing.
        principals="*",
        actions=[action],
        conditions=conditions,
    )


_PROFILE = f"aws:PrincipalTag/{SIGN_IN}"

_NO_OWN_SESSION: iam.Condition = {
    # The user id of a session is that of its role, a colon, and the session's name.
    "StringNotLike": {"aws:userid": "*:${sts:RoleSessionName}"}
}

NO_NEW_IDENTITY = _denied(
    "NoNewIdentity", {"Null": {"aws:SourceIdentity": "true"}}, "sts:SetSourceIdentity"
)
"""Beside a trust: nobody gives themselves a source identity. The one that somebody came with, AWS
lets nobody change, and the right to keep it is that to set it. Source: IAM user guide, "Monitor and
control actions taken with assumed roles"."""

_OWN_NAME = (
    _denied(
        "NotAsAnotherProfile",
        {
            "Null": {_PROFILE: "false"},
            "StringNotLike": {
                "sts:RoleSessionName": [f"${{{_PROFILE}}}", f"${{{_PROFILE}}}@*"],
            },
        },
    ),
    _denied(
        "ProfileOrOwnSession",
        {
            "Null": {_PROFILE: "false"},
            "StringNotEquals": {"sts:RoleSessionName": f"${{{_PROFILE}}}"},
            **_NO_OWN_SESSION,
        },
    ),
    _denied(
        "NotAsAnotherUser",
        {
            "Null": {_PROFILE: "true", "aws:username": "false"},
            "StringNotEquals": {"sts:RoleSessionName": "${aws:username}"},
        },
    ),
    _denied(
        "NotAsAnotherSession",
        {"Null": {_PROFILE: "true", "aws:username": "true"}, **_NO_OWN_SESSION},
    ),
)
"""A session is called as who opens it. Whose identity has the tag of a Studio profile: as the
profile, or, by a sign-in that names sessions by mail address, as the address that begins so. Else
as the IAM user, or as the session that the company's sign-in gave. A variable in each of them has a
value wherever the other conditions hold, so none is void.
Source: IAM user guide, "IAM and AWS STS condition context keys" (``sts:RoleSessionName``,
``aws:userid``) and "Policy elements: Variables and tags"."""


def sign_in_trust(placement: Placement, principals: Sequence[str]) -> list[iam.Statement]:
    """Who may open Studio: people of Studio's personas, each as who their identity says.

    A session's tag must be the identity's own, so nobody takes another's name.
    Source: IAM user guide, "Pass session tags in AWS STS".

    Args:
        placement: Where.
        principals: Patterns of ARNs; by default hub identities with the tag of such a persona.
    """
    named = {
        "StringEquals": {f"aws:RequestTag/{SIGN_IN}": f"${{aws:PrincipalTag/{SIGN_IN}}}"},
        "ForAllValues:StringEquals": {"aws:TagKeys": [SIGN_IN]},
    }
    trusted = _trusted(placement, STUDIO_PERSONAS, principals)
    return [
        replace(
            trusted,
            actions=["sts:AssumeRole", "sts:TagSession"],
            conditions=iam.merged(trusted.conditions, named),
        )
    ]


def sign_in_statements(names: Names) -> list[iam.Statement]:
    """What those may do who open Studio: make the address of their own profile, and no other's.

    Source: SageMaker developer guide, "Control access to the SageMaker API by using identity-based
    policies", and the service authorization reference, which gives the action no other key.
    """
    return [
        iam.Statement(
            # A profile's ARN may spell its name otherwise; its tag is what the platform gave it.
            sid="OpenOwnProfile",
            actions=["sagemaker:CreatePresignedDomainUrl"],
            resources=[names.arn("sagemaker", "user-profile/*")],
            conditions={
                "StringEquals": {
                    f"sagemaker:ResourceTag/{SIGN_IN}": f"${{aws:PrincipalTag/{SIGN_IN}}}"
                }
            },
        ),
        iam.Statement(
            sid="FindDomain",
            actions=["ssm:GetParameter"],
            resources=[
                names.arn("ssm", f"parameter{names.parameter(path)}")
                for path in ("studio/domain-id", "domains/*/domain-id")
            ],
        ),
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


def _open(names: Names, purpose: str, services: Sequence[str], sid: str) -> iam.Statement:
    """Decryption with a key through services; the key is known by its alias only."""
    return iam.Statement(
        # The key's id is made with it, so its resource can only be any key.
        sid=sid,
        actions=["kms:Decrypt"],
        resources=[names.arn("kms", "key/*")],
        conditions={
            "StringEquals": {
                "kms:ViaService": [
                    f"{service}.{names.region}.amazonaws.com" for service in services
                ]
            },
            "ForAnyValue:StringEquals": {"kms:ResourceAliases": names.alias(purpose)},
        },
    )


def _know_deployments(names: Names) -> list[iam.Statement]:
    """Reading of what ``python -m automation models`` shows in the hub."""
    own = names.name("*")
    return [
        iam.Statement(
            sid="ReadDeployments",
            actions=["dynamodb:GetItem", "dynamodb:Query"],
            resources=[names.arn("dynamodb", f"table/{names.name('deployments')}")],
        ),
        iam.Statement(
            sid="ReadProjects",
            actions=["ssm:GetParameter"],
            resources=[names.arn("ssm", f"parameter{names.parameter('projects/*')}")],
        ),
        iam.Statement(
            # What the function asks of a version is among its settings; none of them is secret.
            sid="ReadDeploymentRules",
            actions=["lambda:GetFunctionConfiguration"],
            resources=[names.arn("lambda", f"function:{names.name('deployments')}")],
        ),
        iam.Statement(
            # The bucket's policy lets nobody read outside the hub's network.
            sid="ReadEvidence",
            actions=["s3:GetObject"],
            resources=[f"{names.bucket_arn('models')}/promoted/*"],
        ),
        iam.Statement(
            sid="ReadScans",
            actions=["ecr:DescribeImageScanFindings"],
            resources=[names.arn("ecr", f"repository/{own}")],
        ),
        _open(names, "models", ("s3", "sagemaker"), "OpenCardsAndEvidence"),
        _open(names, "messages", ("dynamodb", "lambda"), "OpenLedgerAndRules"),
    ]


def _know_training(names: Names) -> iam.Statement:
    """Reading of how a version was made, in dev."""
    return iam.Statement(
        sid="ReadTraining",
        actions=["sagemaker:DescribePipelineExecution", "sagemaker:DescribeTrainingJob",
                 "sagemaker:ListPipelineExecutionSteps"],
        resources=[names.arn("sagemaker", f"{kind}/*") for kind in ("pipeline", "training-job")],
    )  # fmt: skip


def persona_statements(
    placement: Placement, persona: str, *, offers_products: bool = True
) -> list[iam.Statement]:
    """What a persona may do in one account.

    The platform engineer reads and assumes the deployers; the ML engineer approves versions in the
    hub and works with endpoints; the governance officer reads all and decides approvals.

    Args:
        placement: Where.
        persona: Whose.
        offers_products: Whether the hub has products of Service Catalog, which platform engineers
            launch there.
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
                # The second keeps the source identity that one came with.
                sid="AssumeDeployers",
                actions=["sts:AssumeRole", "sts:SetSourceIdentity"],
                resources=sorted(set(deployers)),
            ),
            *(
                launching_statements()
                if offers_products and placement["environment"] == "governance"
                else ()
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
        if placement["environment"] == "dev":
            statements.append(_know_training(names))
        if placement["environment"] == "governance":
            own_versions = [names.arn("sagemaker", f"model-package/{names.name('*')}")]
            statements += _know_deployments(names)
            statements.append(
                iam.Statement(
                    sid="ApproveInTheHub",
                    actions=["sagemaker:UpdateModelPackage"],
                    resources=own_versions,
                )
            )
            statements += [
                iam.Statement(
                    # Who registered a version decides who may approve it: nobody rewrites that.
                    sid=f"DenyOther{key}",
                    effect="Deny",
                    actions=["sagemaker:UpdateModelPackage"],
                    resources=["*"],
                    conditions={"Null": {f"sagemaker:CustomerMetadataProperties/{key}": "false"}},
                )
                for key in ORIGIN
            ]
            statements.append(
                iam.Statement(
                    sid="DenyOriginRemoved",
                    effect="Deny",
                    actions=["sagemaker:UpdateModelPackage"],
                    resources=["*"],
                    conditions={
                        "ForAnyValue:StringEquals": {
                            "sagemaker:CustomerMetadataPropertiesToRemove": list(ORIGIN)
                        }
                    },
                )
            )
            statements.append(
                iam.Statement(
                    sid="RollBack",
                    actions=["lambda:InvokeFunction"],
                    resources=[names.arn("lambda", f"function:{names.name('deployments')}")],
                )
            )
            statements.append(
                iam.Statement(
                    sid="RetryPromotions",
                    actions=[
                        "sqs:ChangeMessageVisibility",
                        "sqs:DeleteMessage",
                        "sqs:GetQueueAttributes",
                        "sqs:GetQueueUrl",
                        "sqs:ReceiveMessage",
                        "sqs:SendMessage",
                    ],
                    resources=[
                        names.arn("sqs", names.name(queue, "queue"))
                        for queue in ("promotions", "promotions-failed")
                    ],
                )
            )
            statements.append(
                iam.Statement(
                    # The deployments' function is called with what is there, so nothing is sent.
                    sid="RetryDeployments",
                    actions=[
                        "sqs:ChangeMessageVisibility",
                        "sqs:DeleteMessage",
                        "sqs:GetQueueUrl",
                        "sqs:ReceiveMessage",
                    ],
                    resources=[names.arn("sqs", names.name("deployments-failed", "queue"))],
                )
            )
            statements.append(
                iam.Statement(
                    # The messages key is known by its alias only: its id is made with it.
                    sid="OpenMessages",
                    actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                    resources=[names.arn("kms", "key/*")],
                    conditions={
                        "StringEquals": {"kms:ViaService": f"sqs.{names.region}.amazonaws.com"},
                        "ForAnyValue:StringEquals": {
                            "kms:ResourceAliases": names.alias("messages")
                        },
                    },
                )
            )
        return statements
    return [
        _READING,
        describe,
        *(_know_deployments(names) if placement["environment"] == "governance" else ()),
        iam.Statement(
            sid="ReadAudit",
            actions=["sagemaker:DescribeEndpoint", "sagemaker:DescribeTrainingJob",
                     "sagemaker:DescribePipelineExecution",
                     "sagemaker:ListPipelineExecutionSteps"],
            resources=[names.arn("sagemaker", "*")],
        ),
        iam.Statement(
            sid="DecideApprovals",
            actions=["codepipeline:GetPipelineState", "codepipeline:PutApprovalResult"],
            resources=[names.arn("codepipeline", f"{names.prefix}-*")],
        ),
    ]  # fmt: skip


def _central_artifacts(placement: Placement, project: str) -> list[iam.Statement]:
    """Reading in the hub's bucket: all of it, or what promotion put there for one project.

    The folder is that of the source's account and group; ``functions/promotion/events.py`` has it.
    """
    bucket, dev = Names.at(placement, "governance").bucket_arn("models"), Names.at(placement, "dev")
    if not project:
        return [
            iam.Statement(
                sid="ReadCentralArtifacts",
                actions=["s3:GetObject", "s3:ListBucket"],
                resources=[bucket, f"{bucket}/*"],
            )
        ]
    folder = f"promoted/{dev.account_id}/{dev.name(project, 'group')}/*"
    return [
        iam.Statement(
            sid="ReadCentralArtifacts", actions=["s3:GetObject"], resources=[f"{bucket}/{folder}"]
        ),
        iam.Statement(
            sid="FindCentralArtifacts",
            actions=["s3:ListBucket"],
            resources=[bucket],
            conditions={"StringLike": {"s3:prefix": folder}},
        ),
    ]


def model_execution_statements(placement: Placement, project: str = "") -> list[iam.Statement]:
    """What a deployed model's role may do: read the hub's artifacts and images, write its logs.

    Args:
        placement: Where.
        project: Whose models run as it, and whose artifacts it reads; empty for the environment's
            own role, for models of groups that the settings name and no project has. No project may
            pass that one. The policies of projects' image repositories say who pulls from each.
    """
    names, hub = Names.at(placement), Names.at(placement, "governance")
    # A project's endpoint is called by its name, and so is its folder.
    captured = names.name(project) if project else "*"
    return [
        *_central_artifacts(placement, project),
        iam.Statement(
            # The hub's key is known by its alias only: ids are not known before it is made.
            sid="DecryptCentralArtifacts",
            actions=["kms:Decrypt", "kms:DescribeKey"],
            resources=[hub.arn("kms", "key/*")],
            conditions={"ForAnyValue:StringEquals": {"kms:ResourceAliases": hub.alias("models")}},
        ),
        iam.Statement(
            sid="PullCentralImages",
            actions=PULL,
            resources=[hub.arn("ecr", f"repository/{hub.name('*')}")],
        ),
        *job_roles.running(names),
        iam.Statement(
            # The traffic of endpoints that are told to capture it.
            sid="WriteCapture",
            actions=["s3:PutObject"],
            resources=[f"{names.bucket_arn('logs')}/data-capture/{captured}/*"],
        ),
        iam.Statement(
            # The key is known by its alias only: its id is not known before it is made.
            sid="EncryptCapture",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
            resources=[names.arn("kms", "key/*")],
            conditions={
                "StringEquals": {"kms:ViaService": f"s3.{names.region}.amazonaws.com"},
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": names.alias("logs")},
            },
        ),
        iam.Statement(
            # SageMaker looks at an update's alarms as this role. Source: SageMaker developer guide,
            # "Auto-Rollback Configuration and Monitoring".
            sid="WatchRollouts",
            actions=["cloudwatch:DescribeAlarms"],
            resources=[names.arn("cloudwatch", f"alarm:{names.name('*')}")],
        ),
        *job_roles.networking(names),
    ]  # fmt: skip
