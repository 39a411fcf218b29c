"""What the roles of a project may do: nothing of another project's, each as little as it can.

Pure functions, so that tests evaluate exactly what is deployed. A project's things are known by its
name: pipelines and groups are called ``{prefix}-{environment}-{project}``, artifacts are below
``{project}/``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi import Input

from components import iam, job_roles
from components.baseline_policies import model_execution_statements, scaling_role_arn
from components.deployments import DEPLOYMENTS, caller_alias
from components.images import PULL
from components.naming import Names, Placement
from components.personas import Guards, guard_statements, key_use

GITHUB = "token.actions.githubusercontent.com"
"""Issuer of GitHub's tokens."""

AUDIENCE = "sts.amazonaws.com"
"""Whom the tokens have to be made for."""


MONITORINGS = ("drift", "quality", "bias", "explain")
"""Ends of names of schedules: of data, model quality, bias and attributions."""
MONITOR = "model-execution-{}"
"""A project's role for jobs beside its model, which begins as that of deployed models does."""


def codecommit_name(names: Names, project: str, kind: str) -> str:
    """Name of a project's repository where CodeCommit hosts it: ``build`` or ``deploy``."""
    return names.name(f"{project}-{kind}")


def _artifacts(names: Names, project: str) -> str:
    return f"{names.bucket_arn('models')}/{project}/*"


def _listing(names: Names, project: str, purposes: Sequence[str]) -> iam.Statement:
    return iam.Statement(
        sid="ListOwnPrefix",
        actions=["s3:ListBucket"],
        resources=[names.bucket_arn(purpose) for purpose in purposes],
        conditions={"StringLike": {"s3:prefix": [f"{project}/*", f"{project}/"]}},
    )


def _own_by_tag(project: str) -> dict[str, dict[str, str]]:
    """Condition: what has a project's tag has this project's.

    Without the tag it counts as own: what is being made has none yet, and a service that does not
    tell a resource's tags would let nothing pass.
    """
    return {"StringEqualsIfExists": {"aws:ResourceTag/sagemaker:project-name": project}}


def job_statements(
    placement: Placement, project: str, key_arns: Sequence[Input[str]]
) -> list[iam.Statement]:
    """The jobs in dev: read the project's data, write its artifacts, nothing else.

    Args:
        placement: Where.
        project: The project's name.
        key_arns: The keys of data, models and disks.
    """
    dev = Names.at(placement, "dev")
    return [
        iam.Statement(
            sid="ReadData",
            actions=["s3:GetObject"],
            resources=[f"{dev.bucket_arn('data')}/{project}/*"],
        ),
        iam.Statement(
            sid="KeepArtifacts",
            actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
            resources=[_artifacts(dev, project)],
        ),
        _listing(dev, project, ("data", "models")),
        key_use(dev, key_arns),
        iam.Statement(
            # No longer name: another project's may begin with this one's.
            sid="PullOwnImages",
            actions=PULL,
            resources=[repository_arn(dev, project)],
        ),
        *job_roles.running(dev),
        *job_roles.networking(dev),
    ]  # fmt: skip


def pipeline_statements(
    placement: Placement,
    project: str,
    guards: Guards,
    key_arns: Sequence[Input[str]],
) -> list[iam.Statement]:
    """SageMaker's pipeline in dev: starts the project's jobs, and registers in its group.

    Args:
        placement: Where.
        project: The project's name.
        guards: What jobs are held to.
        key_arns: The keys of models.
    """
    dev = Names.at(placement, "dev")
    group = dev.name(project, "group")
    jobs = [
        dev.arn("sagemaker", f"{kind}/pipelines-*")
        for kind in ("processing-job", "training-job", "transform-job")
    ]
    return [
        iam.Statement(
            # SageMaker names a pipeline's jobs, and not by the project; each has its tag.
            sid="RunJobs",
            actions=["sagemaker:AddTags", "sagemaker:CreateProcessingJob",
                     "sagemaker:CreateTrainingJob", "sagemaker:CreateTransformJob",
                     "sagemaker:DescribeProcessingJob", "sagemaker:DescribeTrainingJob",
                     "sagemaker:DescribeTransformJob", "sagemaker:StopProcessingJob",
                     "sagemaker:StopTrainingJob", "sagemaker:StopTransformJob"],
            resources=jobs,
            conditions=_own_by_tag(project),
        ),
        iam.Statement(
            # Tuning jobs have short names that begin with the execution's id. Steps after one learn
            # of its best training job from the list.
            sid="Tune",
            actions=["sagemaker:AddTags", "sagemaker:CreateHyperParameterTuningJob",
                     "sagemaker:DescribeHyperParameterTuningJob",
                     "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
                     "sagemaker:StopHyperParameterTuningJob"],
            resources=[dev.arn("sagemaker", "hyper-parameter-tuning-job/*")],
            conditions=_own_by_tag(project),
        ),
        iam.Statement(
            sid="Register",
            actions=["sagemaker:AddTags", "sagemaker:CreateModelPackage",
                     "sagemaker:DescribeModelPackage", "sagemaker:DescribeModelPackageGroup",
                     "sagemaker:ListModelPackages"],
            resources=[dev.arn("sagemaker", f"model-package-group/{group}"),
                       dev.arn("sagemaker", f"model-package/{group}/*")],
        ),
        iam.Statement(
            # Whoever registers a version does not decide on it in the same call.
            sid="DenyRegisteringApproved",
            effect="Deny",
            actions=["sagemaker:CreateModelPackage"],
            resources=["*"],
            conditions={"StringEquals": {"sagemaker:ModelApprovalStatus": "Approved"}},
        ),
        iam.Statement(
            sid="PassOnlyTheJobRole",
            actions=["iam:PassRole"],
            resources=[dev.role_arn(f"{project}-training")],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.Statement(
            # With ``experiment`` in its settings: experiments are called as the pipeline.
            sid="KeepTheExperiment",
            actions=["sagemaker:AddTags", "sagemaker:CreateExperiment", "sagemaker:CreateTrial",
                     "sagemaker:DescribeExperiment"],
            resources=[dev.arn("sagemaker", f"experiment/{dev.name(project)}")],
        ),
        iam.Statement(
            # SageMaker names trials by the execution and components by the job, which hold random
            # letters and no project. They are records of runs; none can be changed or deleted.
            sid="KeepTrials",
            actions=["sagemaker:AddTags", "sagemaker:AssociateTrialComponent",
                     "sagemaker:CreateTrial", "sagemaker:CreateTrialComponent",
                     "sagemaker:DescribeTrial", "sagemaker:DescribeTrialComponent"],
            resources=[dev.arn("sagemaker", "experiment-trial/*"),
                       dev.arn("sagemaker", "experiment-trial-component/*")],
        ),
        iam.Statement(
            # Conditions read the reports that jobs wrote.
            sid="ReadReports", actions=["s3:GetObject"], resources=[_artifacts(dev, project)]
        ),
        _listing(dev, project, ("models",)),
        key_use(dev, key_arns),
        *guard_statements(guards),
    ]  # fmt: skip


def build_statements(
    placement: Placement, project: str, key_arns: Sequence[Input[str]]
) -> list[iam.Statement]:
    """The build in dev: tests the repository, puts its pipeline into the account, starts it."""
    dev = Names.at(placement, "dev")
    return [
        iam.Statement(
            sid="KeepThePipeline",
            actions=["sagemaker:AddTags", "sagemaker:CreatePipeline",
                     "sagemaker:DescribePipeline", "sagemaker:DescribePipelineExecution",
                     "sagemaker:ListPipelineExecutionSteps", "sagemaker:ListPipelineExecutions",
                     "sagemaker:ListTags", "sagemaker:StartPipelineExecution",
                     "sagemaker:StopPipelineExecution", "sagemaker:UpdatePipeline"],
            resources=[dev.arn("sagemaker", f"pipeline/{dev.name(project)}"),
                       dev.arn("sagemaker", f"pipeline/{dev.name(project)}/execution/*")],
        ),
        iam.Statement(
            sid="TellWhyJobsFailed",
            actions=["sagemaker:DescribeProcessingJob", "sagemaker:DescribeTrainingJob"],
            resources=[dev.arn("sagemaker", f"{kind}/pipelines-*")
                       for kind in ("processing-job", "training-job")],
            conditions=_own_by_tag(project),
        ),
        iam.Statement(
            sid="PassOnlyThePipelineRole",
            actions=["iam:PassRole"],
            resources=[dev.role_arn(f"{project}-pipeline")],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.Statement(
            sid="UploadCode",
            actions=["s3:GetObject", "s3:PutObject"],
            resources=[_artifacts(dev, project)],
        ),
        _listing(dev, project, ("data", "models")),
        key_use(dev, key_arns),
        iam.Statement(
            sid="ReadContract",
            actions=["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
            resources=[dev.arn("ssm", f"parameter{dev.parameter('*')}")],
        ),
    ]  # fmt: skip


def image_statements(placement: Placement, project: str) -> list[iam.Statement]:
    """The build in dev: pushes the project's image and reads what its scan found."""
    dev = Names.at(placement, "dev")
    return [
        iam.Statement(
            sid="KeepTheImage",
            actions=[*PULL, "ecr:CompleteLayerUpload", "ecr:DescribeImageScanFindings",
                     "ecr:DescribeRepositories", "ecr:InitiateLayerUpload", "ecr:ListImages",
                     "ecr:PutImage", "ecr:UploadLayerPart"],
            resources=[repository_arn(dev, project)],
        ),
        iam.Statement(
            # This action knows no resources. Source: service authorization reference, Amazon ECR.
            sid="SignInToImages",
            actions=["ecr:GetAuthorizationToken"],
            resources=["*"],
        ),
    ]  # fmt: skip


def repository_arn(names: Names, project: str) -> str:
    """ARN of a project's image repository."""
    return names.arn("ecr", f"repository/{names.name(project, 'repository')}")


def runner_statements(
    names: Names, project: str, bucket_arn: Input[str], key_arns: Sequence[Input[str]]
) -> list[iam.Statement]:
    """What every CodeBuild project of a project needs to run: logs, network, its source.

    It writes no artifact: what the next stage runs would be what an earlier one left there.

    Args:
        names: Of the account that it runs in.
        project: The project's name.
        bucket_arn: The project's bucket of pipeline artifacts there.
        key_arns: Its key.
    """
    return [
        iam.Statement(
            sid="RunnerLogs",
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[names.arn("logs", f"log-group:{build_log_group(names, project)}:*")],
        ),
        iam.Statement(
            sid="PipelineArtifacts",
            actions=["s3:GetObject", "s3:GetObjectVersion"],
            resources=[_below(bucket_arn)],
        ),
        iam.Statement(
            sid="PipelineKey",
            actions=["kms:Decrypt", "kms:DescribeKey"],
            resources=list(key_arns),
            conditions={"StringEquals": {"kms:ViaService": f"s3.{names.region}.amazonaws.com"}},
        ),
        *job_roles.networking(names),
    ]  # fmt: skip


def build_log_group(names: Names, project: str) -> str:
    """Where the project's builds in an environment are logged."""
    return f"/{names.prefix}/{names.environment}/projects/{project}"


def _below(bucket_arn: Input[str]) -> Input[str]:
    return pulumi.Output.concat(bucket_arn, "/*")


def connection_source(connection_arn: Input[str]) -> list[iam.Statement]:
    """Reading a repository through a connection."""
    return [
        iam.Statement(
            # A policy's service prefix has to match the connection's ARN.
            sid="ReadTheRepository",
            actions=["codeconnections:UseConnection"],
            resources=[connection_arn],
        )
    ]


def codecommit_source(names: Names, repository: str, key_arn: Input[str]) -> list[iam.Statement]:
    """Reading a repository in CodeCommit.

    Args:
        names: Of the account that has it.
        repository: Its name.
        key_arn: Its key.
    """
    return [
        iam.Statement(
            # Source: CodePipeline user guide, CodeCommit source action reference.
            sid="ReadTheRepository",
            actions=["codecommit:CancelUploadArchive", "codecommit:GetBranch",
                     "codecommit:GetCommit", "codecommit:GetRepository",
                     "codecommit:GetUploadArchiveStatus", "codecommit:UploadArchive"],
            resources=[names.arn("codecommit", repository)],
        ),
        iam.Statement(
            sid="OpenTheRepository",
            actions=["kms:Decrypt", "kms:DescribeKey"],
            resources=[key_arn],
            conditions={
                "StringEquals": {"kms:ViaService": f"codecommit.{names.region}.amazonaws.com"}
            },
        ),
    ]  # fmt: skip


def delivery_statements(
    bucket_arn: Input[str],
    key_arns: Sequence[Input[str]],
    source: Sequence[iam.Statement],
    build_arns: Sequence[Input[str]],
    alerts_topic_arn: Input[str] | None = None,
) -> list[iam.Statement]:
    """A CodePipeline: reads the repository, starts the project's builds, asks for approval.

    Args:
        bucket_arn: The project's bucket of pipeline artifacts.
        key_arns: Its key, and the alert topic's where there is one.
        source: What lets it read the repository.
        build_arns: The CodeBuild projects.
        alerts_topic_arn: Where approvals are announced.
    """
    announced = (
        []
        if alerts_topic_arn is None
        else [
            iam.Statement(
                sid="AnnounceApprovals", actions=["sns:Publish"], resources=[alerts_topic_arn]
            )
        ]
    )
    return [
        iam.Statement(
            sid="PipelineArtifacts",
            actions=["s3:GetBucketVersioning", "s3:GetObject", "s3:GetObjectVersion",
                     "s3:PutObject"],
            resources=[bucket_arn, _below(bucket_arn)],
        ),
        iam.Statement(
            sid="PipelineKey",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
            resources=list(key_arns),
        ),
        *source,
        iam.Statement(
            sid="Build",
            actions=["codebuild:BatchGetBuilds", "codebuild:StartBuild"],
            resources=list(build_arns),
        ),
        *announced,
    ]  # fmt: skip


def releaser(ci: str, project: str, target: str) -> str:
    """What the hub's role is called that deploys a project to one target, and to no other.

    A run in an environment without reviewers must not reach one with them: each has its own role.
    """
    return f"{project}-{'github' if ci == 'github' else 'deploy'}-{target}"


STATES_VERSION = ".pulumi/meta.yaml"
"""Where Pulumi keeps the version of a backend's layout, below the project's folder."""


def _state_of(project: str, target: str) -> list[str]:
    """Where Pulumi keeps one stack, below the project's folder.

    Source: Pulumi's documentation, state and backends, for backends that one manages oneself.
    """
    of_project = f"{project}-deploy"
    return [
        *(f".pulumi/stacks/{of_project}/{target}.{kind}*" for kind in ("json", "pulumi-tags")),
        *(
            f".pulumi/{kind}/{of_project}/{target}/*"
            for kind in ("backups", "history", "locks/organization")
        ),
    ]


def release_statements(
    placement: Placement,
    project: str,
    target: str,
    state_key_arn: Input[str],
) -> list[iam.Statement]:
    """The deployment to one target, in the hub: asks, keeps its state, acts as the deploy role.

    Args:
        placement: Where.
        project: The project's name.
        target: The environment that it deploys to.
        state_key_arn: Key of the state bucket.
    """
    hub = Names.at(placement, "governance")
    state = hub.bucket_arn("pulumi-state")
    return [
        iam.Statement(
            sid="AskWhetherItMay",
            actions=["lambda:InvokeFunction"],
            resources=[
                # Without the alias the function would not know whose run asks.
                hub.arn(
                    "lambda",
                    f"function:{hub.name(DEPLOYMENTS)}:{caller_alias(project, target)}",
                )
            ],
        ),
        iam.Statement(
            sid="ActInTheTarget",
            actions=["sts:AssumeRole"],
            resources=[Names.at(placement, target).role_arn(f"{project}-deploy")],
        ),
        iam.Statement(
            sid="KeepState",
            actions=["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            resources=[f"{state}/projects/{project}/{part}" for part in _state_of(project, target)],
        ),
        iam.Statement(
            # It stands once for all stacks, and vending writes it: a deployment to one target that
            # could change it would keep the deployments to all others from their state.
            sid="ReadStatesVersion",
            actions=["s3:GetObject"],
            resources=[f"{state}/projects/{project}/{STATES_VERSION}"],
        ),
        iam.Statement(
            # Names of other stacks may be seen: the backend looks for old ones.
            sid="FindState",
            actions=["s3:ListBucket"],
            resources=[state],
            conditions={"StringLike": {"s3:prefix": f"projects/{project}/*"}},
        ),
        iam.Statement(
            sid="EncryptState",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"],
            resources=[state_key_arn],
        ),
    ]


def deploy_statements(
    placement: Placement, target: str, project: str, key_arns: Sequence[Input[str]]
) -> list[iam.Statement]:
    """The deploy role of a target: the project's endpoint there, and nothing beside it.

    Args:
        placement: Where.
        target: The environment.
        project: The project's name.
        key_arns: Key of the endpoint's disks.
    """
    names, hub = Names.at(placement, target), Names.at(placement, "governance")
    own = (names.name(project), f"{names.name(project)}-*")
    scaled = [names.arn("application-autoscaling", "scalable-target/*")]
    group = hub.name(project, "group")
    return [
        iam.Statement(
            sid="OwnEndpoint",
            actions=[
                f"sagemaker:{verb}{thing}"
                for thing in ("Model", "EndpointConfig", "Endpoint")
                for verb in ("Create", "Delete", "Describe")
            ]
            + ["sagemaker:AddTags", "sagemaker:DeleteTags", "sagemaker:InvokeEndpoint",
               "sagemaker:ListTags", "sagemaker:UpdateEndpoint",
               "sagemaker:UpdateEndpointWeightsAndCapacities"],
            resources=[names.arn("sagemaker", f"{kind}/{name}")
                       for kind in ("model", "endpoint-config", "endpoint") for name in own],
        ),
        iam.Statement(
            # List actions know no resources.
            sid="FindWhatIsLeft",
            actions=["sagemaker:ListEndpointConfigs", "sagemaker:ListModels"],
            resources=["*"],
        ),
        iam.Statement(
            sid="OwnVersions",
            actions=["sagemaker:CreateModel", "sagemaker:DescribeModelPackage"],
            resources=[hub.arn("sagemaker", f"model-package/{group}/*")],
        ),
        iam.Statement(
            # Scalable targets have ids of AWS's own; what they scale bounds them to instances of
            # endpoints, and their tag to the project's. Source: service authorization reference.
            sid="Scaling",
            actions=["application-autoscaling:DeleteScalingPolicy",
                     "application-autoscaling:DeregisterScalableTarget",
                     "application-autoscaling:PutScalingPolicy",
                     "application-autoscaling:RegisterScalableTarget"],
            resources=scaled,
            conditions=iam.merged(
                _own_by_tag(project),
                {
                    "StringEquals": {
                        "application-autoscaling:scalable-dimension": (
                            "sagemaker:variant:DesiredInstanceCount"
                        ),
                        "application-autoscaling:service-namespace": "sagemaker",
                    }
                },
            ),
        ),
        iam.Statement(
            sid="TagScaling",
            actions=["application-autoscaling:TagResource",
                     "application-autoscaling:UntagResource"],
            resources=scaled,
            conditions=_own_by_tag(project),
        ),
        iam.Statement(
            # Reading knows no resources. Source: service authorization reference.
            sid="SeeScaling",
            actions=["application-autoscaling:Describe*",
                     "application-autoscaling:ListTagsForResource", "cloudwatch:DescribeAlarms"],
            resources=["*"],
        ),
        iam.Statement(
            sid="ScalingsOwnRole",
            actions=["iam:CreateServiceLinkedRole"],
            resources=[scaling_role_arn(names)],
        ),
        iam.Statement(
            sid="Alarms",
            actions=["cloudwatch:DeleteAlarms", "cloudwatch:ListTagsForResource",
                     "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource",
                     "cloudwatch:UntagResource"],
            resources=[names.arn("cloudwatch", f"alarm:{name}") for name in own],
        ),
        iam.Statement(
            sid="ReadContract",
            actions=["ssm:GetParameter", "ssm:GetParameters"],
            resources=[names.arn("ssm", f"parameter{names.parameter('*')}")],
        ),
        iam.Statement(
            sid="DisksKey",
            actions=["kms:CreateGrant", "kms:DescribeKey"],
            resources=list(key_arns),
            conditions={
                "StringLike": {"kms:ViaService": f"sagemaker.{names.region}.amazonaws.com"}
            },
        ),
    ]  # fmt: skip


def github_trust(
    provider_arn: str, repository: str, subjects: Sequence[str], sid: str = "GitHub"
) -> iam.Statement:
    """Trust in one repository's runs, by the subjects of its tokens.

    Args:
        provider_arn: GitHub's OIDC provider in the account.
        repository: ``owner/name``.
        subjects: What follows the repository in the subject: ``environment:prod``, or
            ``ref:refs/heads/main``. Source: GitHub's documentation, OpenID Connect subjects.
        sid: The statement's id.
    """
    return iam.Statement(
        sid=sid,
        principals={"Federated": [provider_arn]},
        actions=["sts:AssumeRoleWithWebIdentity"],
        conditions={
            "StringEquals": {
                f"{GITHUB}:aud": AUDIENCE,
                f"{GITHUB}:sub": [f"repo:{repository}:{subject}" for subject in subjects],
            }
        },
    )


def retrain_statements(placement: Placement, project: str) -> list[iam.Statement]:
    """The role in dev by which drift starts the project's build: that one pipeline, once."""
    dev = Names.at(placement, "dev")
    return [
        iam.Statement(
            sid="StartOnlyTheBuild",
            actions=["codepipeline:GetPipelineExecution", "codepipeline:StartPipelineExecution"],
            resources=[dev.arn("codepipeline", dev.name(f"{project}-build"))],
        )
    ]


def monitor_statements(placement: Placement, target: str, project: str) -> list[iam.Statement]:
    """Monitoring jobs in a target: what a deployed model may, the endpoint's traffic, reports.

    Args:
        placement: Where.
        target: The environment.
        project: The project's name.
    """
    there: Placement = {
        **placement,
        "environment": target,
        "account_id": placement["accounts"][target],
    }
    names = Names.at(placement, target)
    logs, endpoint = names.bucket_arn("logs"), names.name(project)
    capture, reports = f"data-capture/{endpoint}", f"monitoring/{endpoint}"
    labels, shadow = f"ground-truth/{endpoint}", f"{endpoint}-explain-*"
    return [
        # The hub knows by the role's name, which begins as that of deployed models does, who may
        # read baselines; the key of captured traffic is among what these statements let use.
        *model_execution_statements(there, project),
        iam.Statement(
            # With the labels that it is merged with, and how it is analyzed.
            sid="ReadTraffic",
            actions=["s3:GetObject"],
            resources=[f"{logs}/{folder}/*" for folder in (capture, labels, reports)],
        ),
        iam.Statement(
            sid="FindTraffic",
            actions=["s3:ListBucket"],
            resources=[logs],
            conditions={
                "StringLike": {"s3:prefix": [f"{item}/*" for item in (capture, labels, reports)]}
            },
        ),
        iam.Statement(
            # Clarify asks the deployed model behind an endpoint of its own, for as long as it runs.
            # Source: SageMaker developer guide, "Analysis Configuration Files" (predictor).
            sid="AskTheModel",
            actions=[
                "sagemaker:AddTags",
                "sagemaker:CreateEndpoint",
                "sagemaker:CreateEndpointConfig",
                "sagemaker:DeleteEndpoint",
                "sagemaker:DeleteEndpointConfig",
                "sagemaker:DescribeEndpoint",
                "sagemaker:DescribeEndpointConfig",
                "sagemaker:InvokeEndpoint",
            ],
            resources=[
                names.arn("sagemaker", f"{kind}/{shadow}")
                for kind in ("endpoint", "endpoint-config")
            ],
        ),
        iam.Statement(
            sid="KnowTheModel",
            actions=["sagemaker:DescribeModel"],
            resources=[names.arn("sagemaker", f"model/{endpoint}-*")],
        ),
        iam.Statement(
            sid="WriteReports", actions=["s3:PutObject"], resources=[f"{logs}/{reports}/*"]
        ),
    ]


def by_cloud_control() -> iam.Statement:
    """What makes definitions of monitoring that Pulumi's AWS provider has no resources for.

    Cloud Control API knows no resources, and does nothing that its caller may not do itself.
    Source: service authorization reference; Cloud Control API user guide.
    """
    return iam.Statement(
        sid="ByCloudControl",
        actions=["cloudformation:CreateResource", "cloudformation:DeleteResource",
                 "cloudformation:DescribeType", "cloudformation:GetResource",
                 "cloudformation:GetResourceRequestStatus"],
        resources=["*"],
    )  # fmt: skip


def monitoring_statements(placement: Placement, target: str, project: str) -> list[iam.Statement]:
    """The deploy role beside what it may for endpoints: the project's monitoring schedule.

    Args:
        placement: Where.
        target: The environment.
        project: The project's name.
    """
    names = Names.at(placement, target)
    logs, endpoint = names.bucket_arn("logs"), names.name(project)
    # Definitions end with eight digits of their content: no other project's name can be one.
    made = [
        names.arn("sagemaker", f"{kind}/{endpoint}-{end}-{digits}")
        for kind, end, digits in (
            ("data-quality-job-definition", "drift", "*"),
            ("model-quality-job-definition", "quality", "????????"),
            ("model-bias-job-definition", "bias", "????????"),
            ("model-explainability-job-definition", "explain", "????????"),
        )
    ]
    verbs = [f"sagemaker:{verb}{kind}JobDefinition"
             for kind in ("DataQuality", "ModelBias", "ModelExplainability", "ModelQuality")
             for verb in ("Create", "Delete", "Describe")]  # fmt: skip
    return [
        iam.Statement(
            sid="OwnMonitoring",
            actions=["sagemaker:AddTags", "sagemaker:CreateMonitoringSchedule",
                     "sagemaker:DeleteMonitoringSchedule", "sagemaker:DeleteTags",
                     "sagemaker:DescribeMonitoringSchedule", "sagemaker:ListTags",
                     "sagemaker:UpdateMonitoringSchedule", *verbs],
            resources=[*(names.arn("sagemaker", f"monitoring-schedule/{endpoint}-{end}")
                         for end in MONITORINGS), *made],
        ),
        by_cloud_control(),
        iam.Statement(
            # How Clarify analyzes, and the labels of what the endpoint predicted.
            sid="BringConfigurationAndLabels",
            actions=["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject",
                     "s3:GetObjectTagging", "s3:GetObjectVersion", "s3:PutObject",
                     "s3:PutObjectTagging"],
            resources=[f"{logs}/monitoring/{endpoint}/config/*",
                       f"{logs}/ground-truth/{endpoint}/*"],
        ),
        iam.Statement(
            # An object is removed with all its versions.
            sid="FindConfigurationsVersions",
            actions=["s3:ListBucketVersions"],
            resources=[logs],
            conditions={"StringLike": {"s3:prefix": [f"monitoring/{endpoint}/config/*"]}},
        ),
        iam.Statement(
            # The key is known by its alias only: its id is not known before it is made.
            sid="EncryptConfigurationAndLabels",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
            resources=[names.arn("kms", "key/*")],
            conditions={
                "StringEquals": {"kms:ViaService": f"s3.{names.region}.amazonaws.com"},
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": names.alias("logs")},
            },
        ),
        iam.Statement(
            sid="PassTheMonitorsRole",
            actions=["iam:PassRole"],
            resources=[names.role_arn(MONITOR.format(project))],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
    ]  # fmt: skip
