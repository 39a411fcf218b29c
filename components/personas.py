"""What people do in Studio with: the execution roles of personas, and of the jobs they start.

The guarded actions are a table: for each action that starts something, which condition keys it
knows. A deny on a key that an action does not know would deny the action altogether, so a guard is
applied exactly where the table says that the action supports it.
Source of the table: the service authorization reference of Amazon SageMaker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NotRequired, TypedDict

from pulumi import Input

from components import iam, job_roles, project_templates
from components.naming import Names, Placement

Guard = Literal["vpc", "volume", "output", "instance", "isolation", "traffic"]

CONDITION_KEYS: Mapping[Guard, tuple[str, ...]] = {
    "vpc": ("sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds"),
    "volume": ("sagemaker:VolumeKmsKeyArn",),
    "output": ("sagemaker:OutputKmsKeyArn",),
    "instance": ("sagemaker:InstanceTypes",),
    "isolation": ("sagemaker:NetworkIsolation",),
    "traffic": ("sagemaker:InterContainerTrafficEncryption",),
}
"""Guard -> the condition keys it is made of."""

_JOB: frozenset[Guard] = frozenset({"vpc", "volume", "output", "instance", "isolation", "traffic"})
_AUTOML: frozenset[Guard] = frozenset({"vpc", "volume", "output", "traffic"})

GUARDED: Mapping[str, frozenset[Guard]] = {
    "sagemaker:CreateTrainingJob": _JOB,
    "sagemaker:CreateProcessingJob": _JOB,
    "sagemaker:CreateHyperParameterTuningJob": _JOB,
    "sagemaker:Create*JobDefinition": _JOB,
    "sagemaker:CreateAutoMLJob*": _AUTOML,
    "sagemaker:CreateTransformJob": frozenset({"volume", "output", "instance"}),
    "sagemaker:CreateModel": frozenset({"vpc", "isolation"}),
    "sagemaker:CreateEndpointConfig": frozenset({"vpc", "volume", "instance", "isolation"}),
    "sagemaker:CreateApp": frozenset({"instance"}),
    "sagemaker:CreateSpace": frozenset({"instance"}),
    "sagemaker:UpdateSpace": frozenset({"instance"}),
}
"""Action, or pattern of actions, -> the guards that it knows."""

OF_MODELS = frozenset({"sagemaker:CreateEndpointConfig"})
"""Actions whose network is the model's, which is guarded itself: they may name no network."""

FORBIDDEN = (
    "sagemaker:CreateNotebookInstance", "sagemaker:CreatePresignedNotebookInstanceUrl",
    "sagemaker:CreatePresignedDomainUrl", "sagemaker:CreateCluster", "sagemaker:UpdateCluster",
    "sagemaker:CreateCompilationJob", "sagemaker:CreateLabelingJob", "sagemaker:CreateJob",
    "sagemaker:CreateMonitoringSchedule", "sagemaker:UpdateMonitoringSchedule",
    "sagemaker:UpdateDomain", "sagemaker:UpdateUserProfile",
)  # fmt: skip
"""Ways around the guards: notebook instances with root, clusters, schedules that name a definition
and so carry no key to guard, jobs that know no guard, and another person's Studio."""

LOCAL_DISKS = (
    "ml.*d.*", "ml.*dn.*", "ml.*de.*", "ml.dl1.*", "ml.g5.*", "ml.g6*.*", "ml.p5*.*", "ml.p6*",
    "ml.trn*.*",
)  # fmt: skip
"""Instance types whose disks are local and encrypted by hardware: AWS refuses a volume key there.
Source: CreateTrainingJob and CreateEndpointConfig in SageMaker's API reference."""

ONLY_INSIDE = (
    "athena:BatchGet*", "athena:GetQuery*", "athena:StartQueryExecution",
    "sagemaker:BatchGetRecord", "sagemaker:DeleteRecord", "sagemaker:GetRecord",
    "sagemaker:PutRecord",
)  # fmt: skip
"""Actions whose requests or answers hold data, beside those on the data bucket, whose own policy
guards it: queries with their results, and the records of the online store."""

PERSONAS = ("lead-data-scientist", "data-scientist")

LEADS_PIPELINES = "pipeline/lead-data-scientist-*"
"""Pipelines that may run as the role of the leads' jobs. Who starts or changes a pipeline passes no
role, so names keep data scientists from those that run on what only leads may use."""

JOB_TAG = "pipeline-execution"
"""Among an environment's names, the tag ``Principal`` of the roles of jobs, by which buckets know
what may come from outside the endpoints."""

CENTRAL_FEATURES = "central-features"
"""The feature group that teams share, among an environment's names."""

_READING = (
    "sagemaker:DescribeTrainingJob", "sagemaker:DescribeProcessingJob",
    "sagemaker:DescribeTransformJob", "sagemaker:DescribeHyperParameterTuningJob",
    "sagemaker:DescribeAutoMLJobV2", "sagemaker:DescribeModel", "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig", "sagemaker:StopTrainingJob",
    "sagemaker:StopProcessingJob", "sagemaker:StopTransformJob",
)  # fmt: skip

_STUDIO = {"sagemaker:CreateApp", "sagemaker:CreateSpace", "sagemaker:UpdateSpace"}


class Guards(TypedDict):
    """What jobs, models and apps are held to."""

    subnets: Sequence[str]
    """Allowed subnets; any of them will do."""
    security_groups: Sequence[str]
    """Allowed security groups; any of them will do."""
    volume_key: str
    """ARN of the key of disks."""
    output_keys: Sequence[str]
    """ARNs of the keys that outputs may be encrypted with."""
    instance_types: Sequence[str]
    """Allowed instance types."""
    isolate: NotRequired[bool]
    """Whether containers must run without any network; absent means no."""
    connected: NotRequired[Sequence[str]]
    """ARNs of jobs that may have a network all the same; absent means none."""
    vpc: NotRequired[str]
    """The VPC that data is asked for from; absent where a role asks for none."""


def _actions(*guards: Guard, without: Sequence[Guard] = ()) -> list[str]:
    return sorted(
        action
        for action, known in GUARDED.items()
        if known.issuperset(guards) and known.isdisjoint(without)
    )


def guard_statements(guards: Guards) -> list[iam.Statement]:
    """Denials that keep jobs in the VPC, encrypted with the keys, and on allowed instances.

    Any non-empty subset of the allowed subnets and groups is fine: a job with one of two subnets is
    as private as one with both.
    """

    def deny(sid: str, actions: Sequence[str], conditions: iam.Condition) -> iam.Statement:
        return iam.Statement(
            sid=sid, effect="Deny", actions=actions, resources=["*"], conditions=conditions
        )

    private = [action for action in _actions("vpc") if action not in OF_MODELS]
    volume = "sagemaker:VolumeKmsKeyArn"
    statements = [
        deny("DenyWithoutSubnets", private, {"Null": {"sagemaker:VpcSubnets": "true"}}),
        deny(
            "DenyOtherSubnets",
            _actions("vpc"),
            {"ForAnyValue:StringNotEquals": {"sagemaker:VpcSubnets": guards["subnets"]}},
        ),
        deny(
            "DenyWithoutSecurityGroups",
            private,
            {"Null": {"sagemaker:VpcSecurityGroupIds": "true"}},
        ),
        deny(
            "DenyOtherSecurityGroups",
            _actions("vpc"),
            {
                "ForAnyValue:StringNotEquals": {
                    "sagemaker:VpcSecurityGroupIds": guards["security_groups"]
                }
            },
        ),
        deny(
            "DenyOtherVolumeKey",
            _actions("volume"),
            {"ArnNotEquals": {volume: guards["volume_key"]}, "Null": {volume: "false"}},
        ),
        deny(
            "DenyWithoutVolumeKey",
            _actions("volume", "instance"),
            {
                "Null": {volume: "true"},
                "ForAnyValue:StringNotLike": {"sagemaker:InstanceTypes": LOCAL_DISKS},
            },
        ),
        deny(
            "DenyAutomaticWithoutVolumeKey",
            _actions("volume", without=["instance"]),
            {"Null": {volume: "true"}},
        ),
        deny(
            "DenyOtherOutputKey",
            _actions("output"),
            {"ArnNotEquals": {"sagemaker:OutputKmsKeyArn": guards["output_keys"]}},
        ),
        deny(
            "DenyOtherInstanceTypes",
            _actions("instance"),
            {"ForAnyValue:StringNotEquals": {"sagemaker:InstanceTypes": guards["instance_types"]}},
        ),
        deny(
            "DenyPlainTraffic",
            _actions("traffic"),
            {"BoolIfExists": {"sagemaker:InterContainerTrafficEncryption": "false"}},
        ),
    ]
    if guards.get("isolate"):
        isolated = [action for action in _actions("isolation") if action not in OF_MODELS]
        network = {"BoolIfExists": {"sagemaker:NetworkIsolation": "false"}}
        denial = deny("DenyNetwork", isolated, network)
        if connected := guards.get("connected"):
            denial = replace(denial, resources=(), not_resources=connected)
        statements.append(denial)
    if "vpc" in guards:
        statements.append(
            # A call that came through no VPC endpoint has no VPC, so it does not equal this one;
            # what a service calls for the role comes from the service's network.
            deny(
                "DenyDataOutsideVpc",
                ONLY_INSIDE,
                {
                    "StringNotEquals": {"aws:SourceVpc": guards["vpc"]},
                    "Bool": {"aws:ViaAWSService": "false"},
                },
            )
        )
    return statements


def feature_statement(names: Names, *, writes: bool) -> iam.Statement:
    """Use of the central feature group's online store.

    The offline store is objects of the data bucket, and a table over them.

    Args:
        names: Of where the group is.
        writes: Whether records may be put, too.
    """
    return iam.Statement(
        sid="UseFeatures",
        actions=["sagemaker:BatchGetRecord", "sagemaker:DescribeFeatureGroup",
                 "sagemaker:GetRecord", *(["sagemaker:PutRecord"] if writes else [])],
        resources=[names.arn("sagemaker", f"feature-group/{names.name(CENTRAL_FEATURES)}")],
    )  # fmt: skip


def package_statements(placement: Placement) -> list[iam.Statement]:
    """Install packages from the company's CodeArtifact: without NAT there is no other index.

    Reading alone: nobody publishes with it. Which repositories, their own policies decide; here the
    accounts bound them. Source: CodeArtifact user guide, "Identity-based policy examples".
    """
    names = Names.at(placement)
    accounts = sorted(set(placement["accounts"].values()))

    def held(kind: str) -> list[str]:
        begins = f"arn:{names.partition}:codeartifact:{names.region}"
        return [f"{begins}:{account}:{kind}/*" for account in accounts]

    return [
        iam.Statement(
            sid="InstallPackages",
            actions=["codeartifact:GetAuthorizationToken", "codeartifact:GetRepositoryEndpoint",
                     "codeartifact:ReadFromRepository"],
            resources=[*held("domain"), *held("repository")],
        ),
        iam.Statement(
            # The token has no resource; the condition names the one service that it is for.
            sid="TokenForPackages",
            actions=["sts:GetServiceBearerToken"],
            resources=["*"],
            conditions={"StringEquals": {"sts:AWSServiceName": "codeartifact.amazonaws.com"}},
        ),
    ]  # fmt: skip


def launching_statements() -> list[iam.Statement]:
    """Launching of the products that Service Catalog's portfolios offer, and of one's own.

    Source: Service Catalog administrator guide, access to provisioned products.
    """
    return [
        iam.Statement(
            # Which products there are for whom is decided by the portfolios; these actions know no
            # names of theirs.
            sid="LaunchProducts",
            actions=["servicecatalog:DescribeProduct", "servicecatalog:DescribeProductView",
                     "servicecatalog:DescribeProvisioningParameters",
                     "servicecatalog:ListLaunchPaths", "servicecatalog:ProvisionProduct",
                     "servicecatalog:SearchProducts"],
            resources=["*"],
        ),
        iam.Statement(
            # What others launched has no name of theirs either.
            sid="OwnProducts",
            actions=["servicecatalog:DescribeProvisionedProduct", "servicecatalog:DescribeRecord",
                     "servicecatalog:ListRecordHistory",
                     "servicecatalog:SearchProvisionedProducts",
                     "servicecatalog:TerminateProvisionedProduct",
                     "servicecatalog:UpdateProvisionedProduct"],
            resources=["*"],
            conditions={"StringEquals": {"servicecatalog:userLevel": "self"}},
        ),
    ]  # fmt: skip


def job_role(persona: str) -> str:
    """What the role of a persona's jobs is called, among an environment's names."""
    return f"{persona}-pipeline-execution"


def pipeline_statements(names: Names, persona: str) -> list[iam.Statement]:
    """SageMaker pipelines, and the one role that a persona's jobs and pipelines may have.

    Args:
        names: Of where they are.
        persona: Whose.
    """
    changing = ("sagemaker:CreatePipeline", "sagemaker:UpdatePipeline")
    leads, every = (names.arn("sagemaker", of) for of in (LEADS_PIPELINES, "pipeline/*"))
    lead = persona == "lead-data-scientist"
    apart = (
        [iam.Statement(sid="ChangeLeadsPipelines", actions=changing, resources=[leads])]
        if lead
        else [
            iam.Statement(
                sid="DenyLeadsPipelines",
                effect="Deny",
                actions=[*changing, "sagemaker:StartPipelineExecution"],
                resources=[leads],
            ),
            iam.Statement(
                # Who changes a pipeline and names no role passes none: a project's, which runs as
                # its own role, comes from its repository alone.
                sid="DenyProjectsPipelines",
                effect="Deny",
                actions=changing,
                resources=[names.arn("sagemaker", f"pipeline/{names.name('*')}")],
            ),
        ]
    )
    return [
        iam.Statement(
            sid="RunPipelines",
            actions=[*(() if lead else changing), "sagemaker:StartPipelineExecution",
                     "sagemaker:StopPipelineExecution", "sagemaker:DescribePipeline",
                     "sagemaker:DescribePipelineExecution",
                     "sagemaker:DescribePipelineDefinitionForExecution"],
            resources=[every],
        ),
        *apart,
        iam.Statement(
            sid="PassOnlyTheJobRole",
            actions=["iam:PassRole"],
            resources=[names.role_arn(job_role(persona))],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
    ]  # fmt: skip


def persona_statements(
    placement: Placement, persona: str, *, from_s3: bool = False
) -> list[iam.Statement]:
    """What a persona may do, before the guards.

    A person is known by the source identity of the Studio session, which SageMaker sets to the
    name of the user profile (``ExecutionRoleIdentityConfig`` of the domain), and which no caller
    can choose.

    Args:
        placement: Where.
        persona: ``lead-data-scientist`` or ``data-scientist``.
        from_s3: Whether projects are launched from templates in S3, which leads do, instead of
            Service Catalog's portfolios.
    """
    names = Names.at(placement)
    studio = [names.arn("sagemaker", f"{kind}/*") for kind in ("app", "space")]
    own_profile = names.arn("sagemaker", "user-profile/*/${aws:SourceIdentity}")
    statements = [
        iam.Statement(
            # Names of jobs and models are the team's own; the guards bound what they may be.
            sid="Train",
            actions=sorted({*GUARDED, *_READING} - _STUDIO),
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
        *pipeline_statements(names, persona),
        iam.Statement(
            # Spaces and their apps, private or shared, are made and changed by their owner.
            sid="OwnSpaces",
            actions=["sagemaker:CreateApp", "sagemaker:DeleteApp", "sagemaker:CreateSpace",
                     "sagemaker:UpdateSpace", "sagemaker:DeleteSpace"],
            resources=studio,
            conditions={"ArnLike": {"sagemaker:OwnerUserProfileArn": own_profile}},
        ),
        iam.Statement(
            sid="AppsOfSharedSpaces",
            actions=["sagemaker:CreateApp", "sagemaker:DeleteApp"],
            resources=studio[:1],
            conditions={"StringEquals": {"sagemaker:SpaceSharingType": "Shared"}},
        ),
        iam.Statement(
            # Names and states, no contents: these actions know no owner.
            sid="ReadStudio",
            actions=["sagemaker:DescribeApp", "sagemaker:DescribeDomain",
                     "sagemaker:DescribeSpace", "sagemaker:DescribeUserProfile"],
            resources=[*studio, names.arn("sagemaker", "domain/*"),
                       names.arn("sagemaker", "user-profile/*")],
        ),
        iam.Statement(
            sid="UseData",
            actions=["s3:AbortMultipartUpload", "s3:GetBucketLocation", "s3:GetObject",
                     "s3:ListBucket", "s3:PutObject"],
            resources=[arn for purpose in ("data", "models")
                       for arn in (names.bucket_arn(purpose), f"{names.bucket_arn(purpose)}/*")],
        ),
        # What teams share is written by leads and by the jobs that were reviewed with a pipeline.
        feature_statement(names, writes=persona == "lead-data-scientist"),
        iam.Statement(
            sid="ReadContract",
            actions=["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
            resources=[names.arn("ssm", f"parameter{names.parameter('*')}")],
        ),
        iam.Statement(
            sid="QueryData",
            actions=["athena:StartQueryExecution", "athena:GetQueryExecution",
                     "athena:GetQueryResults", "athena:GetWorkGroup"],
            resources=[names.arn("athena", f"workgroup/{names.name('*')}")],
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
        *(() if from_s3 else launching_statements()),
        *package_statements(placement),
        iam.Statement(
            # Whoever registers a version does not decide on it in the same call.
            sid="DenyRegisteringApproved",
            effect="Deny",
            actions=["sagemaker:CreateModelPackage"],
            resources=["*"],
            conditions={"StringEquals": {"sagemaker:ModelApprovalStatus": "Approved"}},
        ),
        iam.Statement(
            sid="DenyWaysAround",
            effect="Deny",
            actions=[*FORBIDDEN, "s3:DeleteBucket", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy",
                     "lambda:CreateFunction", "lambda:UpdateFunctionCode",
                     "lambda:UpdateFunctionConfiguration", "lambda:InvokeFunction",
                     "sagemaker:PutModelPackageGroupPolicy",
                     "sagemaker:DeleteModelPackageGroup", "sagemaker:DeleteModelPackage",
                     # The keys of any group's records: data, whatever its name says.
                     "sagemaker:ListRecords"],
            resources=["*"],
        ),
    ]  # fmt: skip
    deciding = [
        "sagemaker:UpdateModelPackage", "sagemaker:CreateProject", "sagemaker:UpdateProject",
        "sagemaker:DeleteProject",
    ]  # fmt: skip
    if persona == "data-scientist":
        statements.append(
            iam.Statement(
                sid="DenyApprovalAndProjects", effect="Deny", actions=deciding, resources=["*"]
            )
        )
    else:
        statements.append(
            iam.Statement(
                sid="ApproveAndVend",
                actions=[*deciding, "sagemaker:DescribeProject"],
                resources=[
                    names.arn("sagemaker", "model-package/*"),
                    names.arn("sagemaker", "project/*"),
                ],
            )
        )
        if from_s3:
            statements += project_templates.launching_statements(names)
    return statements


def job_statements(placement: Placement, persona: str) -> list[iam.Statement]:
    """What the jobs themselves may do: the role that a persona passes.

    Personas' jobs differ by the guards, and by the pipelines that they may start.
    """
    names = Names.at(placement)
    statements = {s.sid: s for s in persona_statements(placement, "data-scientist")}
    kept = ("Train", "RegisterVersions", "UseData", "ReadContract", "WriteLogs",
            "DenyRegisteringApproved", "DenyWaysAround", "DenyApprovalAndProjects")  # fmt: skip
    return [
        *(statements[sid] for sid in kept),
        *pipeline_statements(names, persona),
        feature_statement(names, writes=True),
        *job_roles.networking(names, "ecr:GetAuthorizationToken"),
        *job_roles.framework_pulls(names),
    ]


def key_use(names: Names, key_arns: Sequence[Input[str]]) -> iam.Statement:
    """Use of keys through the services that they are for; the keys' policies say which."""
    return iam.Statement(
        sid="UseKeys",
        actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*",
                 "kms:DescribeKey", "kms:CreateGrant"],
        resources=list(key_arns),
        conditions={"StringLike": {"kms:ViaService": f"*.{names.region}.amazonaws.com"}},
    )  # fmt: skip
