"""What a project that predicts in batches has in a target, and what its roles may do there.

A bucket for input, runs and the scripts of its checks, which announces what arrives; the role of
its models, checks and monitoring; the role of its SageMaker pipeline; the role by which rules start
that pipeline; and a queue of events that could not. The deployment repository knows them by their
names and makes no role itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulumi import Input

from components import iam
from components.baseline_policies import model_execution_statements
from components.naming import Names, Placement
from components.personas import Guards, guard_statements, key_use
from components.projects.policies import by_cloud_control
from components.storage import only_key

MODEL, PIPELINE, SCHEDULE = "model-execution-{}", "{}-batch", "{}-schedule"
DEPLOY = "{}-deploy"
"""The roles; the first one begins as the platform's own of deployed models does, by which the hub
knows who may read its artifacts."""

INPUT = "input"
"""The folder of the bucket that files are delivered to."""

MISSED = "{}-missed"
"""The queue of events that could not start the pipeline."""

MONITORED = "{}-drift"
"""The schedule that compares what was predicted on with what the version was trained on."""

MEASURED = "{}-quality"
"""The schedule that compares predictions with labels."""

LABELS = "ground-truth"
"""The folder of the bucket that labels are brought to."""

RULES = ("arrival", "schedule")
"""What may start the pipeline."""

_JOBS = ("processing-job", "transform-job")
_CALLS = ("ProcessingJob", "TransformJob")


def bucket_name(names: Names, project: str) -> str:
    """Name of the bucket."""
    return names.name(f"jobs-{project}-{names.account_id}", "bucket")


def queue_name(names: Names, project: str) -> str:
    """Name of the queue of events that could not start the pipeline."""
    return names.name(MISSED.format(project), "queue")


def rule_arns(names: Names, project: str) -> list[str]:
    """The rules that the deployment repository makes."""
    return [names.arn("events", f"rule/{names.name(project)}-{kind}") for kind in RULES]


def _bucket_arn(names: Names, project: str) -> str:
    return f"arn:{names.partition}:s3:::{bucket_name(names, project)}"


def _below(names: Names, project: str, *prefixes: str) -> list[str]:
    return [f"{_bucket_arn(names, project)}/{prefix}/*" for prefix in prefixes]


def bucket_statements(
    names: Names, project: str, key_arn: Input[str], endpoint_id: Input[str]
) -> list[iam.Statement]:
    """The bucket's policy: the data key, and the account's S3 endpoint for all but deliveries.

    Who delivers may be outside of the platform's networks, so ``input/`` takes files from anywhere;
    nothing can be read from there, nor written anywhere else. Exceptions are the roles that have to
    be outside: SageMaker's pipelines read the verdicts of jobs from a network of their own, and the
    deploy role comes from the hub or from GitHub's runners.

    Args:
        names: Where.
        project: The project's name.
        key_arn: The data key.
        endpoint_id: The S3 endpoint of the VPC that the jobs run in.
    """
    arn = _bucket_arn(names, project)
    outside = [
        names.role_arn(PIPELINE.format(project)),
        names.role_arn(DEPLOY.format(project)),
    ]

    def deny(sid: str, actions: Sequence[str], *more: str, **where: Sequence[str]) -> iam.Statement:
        return iam.Statement(
            sid=sid,
            effect="Deny",
            principals="*",
            actions=actions,
            conditions={
                "StringNotEquals": {"aws:sourceVpce": [endpoint_id]},
                "ArnNotEquals": {"aws:PrincipalArn": [*outside, *more]},
                **iam.NO_SERVICE,
            },
            **where,
        )

    return [
        deny("DenyReadNoVPC", ["s3:GetObject", "s3:GetObjectVersion"], resources=[f"{arn}/*"]),
        deny("DenyWriteNoVPC", ["s3:PutObject"], not_resources=[f"{arn}/{INPUT}/*"]),
        # Deployer and preview read the bucket's state from outside the networks, and no object.
        deny("DenyListNoVPC", ["s3:ListBucket"], names.role_arn("deployer"),
             names.role_arn("preview"), resources=[arn]),
        *only_key(arn, key_arn),
    ]  # fmt: skip


def _pipeline_arn(names: Names, project: str) -> str:
    return names.arn("sagemaker", f"pipeline/{names.name(PIPELINE.format(project))}")


def model_statements(
    placement: Placement, target: str, project: str, key_arns: Sequence[Input[str]]
) -> list[iam.Statement]:
    """The models, the checks and monitoring: what every deployed model may, and the own bucket.

    Args:
        placement: Where.
        target: The environment.
        project: The project's name.
        key_arns: Keys of the bucket and of disks.
    """
    there: Placement = {
        **placement,
        "environment": target,
        "account_id": placement["accounts"][target],
    }
    names = Names.at(placement, target)
    return [
        *model_execution_statements(there, project),
        iam.Statement(
            sid="ReadInput",
            actions=["s3:GetObject"],
            resources=_below(
                names, project, "captured", "code", LABELS, "input", "monitoring", "runs", "tests"
            ),
        ),
        iam.Statement(
            # Manifests of what was predicted on, predictions with their labels, and what monitoring
            # finds in them.
            sid="WriteRuns",
            actions=["s3:AbortMultipartUpload", "s3:PutObject"],
            resources=_below(names, project, "captured", "monitoring", "runs"),
        ),
        iam.Statement(
            sid="ListInput", actions=["s3:ListBucket"], resources=[_bucket_arn(names, project)]
        ),
        key_use(names, key_arns),
    ]


def pipeline_statements(
    placement: Placement,
    target: str,
    project: str,
    guards: Guards,
    key_arns: Sequence[Input[str]],
) -> list[iam.Statement]:
    """SageMaker's pipeline: starts jobs as the guards let it, and reads their verdicts.

    Args:
        placement: Where.
        target: The environment.
        project: The project's name.
        guards: What jobs are held to.
        key_arns: Keys of the bucket and of disks.
    """
    names = Names.at(placement, target)
    return [
        iam.Statement(
            sid="RunJobs",
            actions=["sagemaker:AddTags",
                     *(f"sagemaker:{verb}{call}" for verb in ("Create", "Describe", "Stop")
                       for call in _CALLS)],
            resources=[names.arn("sagemaker", f"{job}/pipelines-*") for job in _JOBS],
        ),
        iam.Statement(
            sid="PassOnlyTheModelRole",
            actions=["iam:PassRole"],
            resources=[names.role_arn(MODEL.format(project))],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.Statement(
            # Conditions read the verdicts that jobs wrote.
            sid="ReadVerdicts",
            actions=["s3:GetObject"],
            resources=_below(names, project, "runs"),
        ),
        key_use(names, key_arns),
        *guard_statements(guards),
    ]  # fmt: skip


def schedule_statements(placement: Placement, target: str, project: str) -> list[iam.Statement]:
    """EventBridge's rules: start the one pipeline, and nothing else."""
    names = Names.at(placement, target)
    return [
        iam.Statement(
            sid="StartOnlyThePipeline",
            actions=["sagemaker:StartPipelineExecution"],
            resources=[_pipeline_arn(names, project)],
        )
    ]


def deploy_statements(
    placement: Placement, target: str, project: str, key_arns: Sequence[Input[str]]
) -> list[iam.Statement]:
    """The deploy role beside what it may for endpoints: pipeline, rules, monitoring, test runs.

    Args:
        placement: Where.
        target: The environment.
        project: The project's name.
        key_arns: Key of the bucket.
    """
    names = Names.at(placement, target)
    pipeline = _pipeline_arn(names, project)
    drift, quality = (names.name(end.format(project)) for end in (MONITORED, MEASURED))
    # Definitions that Cloud Control API makes end with eight digits of their content.
    definitions = [f"data-quality-job-definition/{drift}-*",
                   f"model-quality-job-definition/{quality}-????????"]  # fmt: skip
    return [
        iam.Statement(
            sid="OwnBatchPipeline",
            actions=["sagemaker:AddTags", "sagemaker:CreatePipeline", "sagemaker:DeletePipeline",
                     "sagemaker:DeleteTags", "sagemaker:DescribePipeline",
                     "sagemaker:DescribePipelineExecution",
                     "sagemaker:ListPipelineExecutionSteps",
                     "sagemaker:ListPipelineExecutions", "sagemaker:ListTags",
                     "sagemaker:StartPipelineExecution", "sagemaker:StopPipelineExecution",
                     "sagemaker:UpdatePipeline"],
            resources=[pipeline, f"{pipeline}/execution/*"],
        ),
        iam.Statement(
            sid="OwnRules",
            actions=["events:DeleteRule", "events:DescribeRule", "events:ListTagsForResource",
                     "events:ListTargetsByRule", "events:PutRule", "events:PutTargets",
                     "events:RemoveTargets", "events:TagResource", "events:UntagResource"],
            resources=rule_arns(names, project),
        ),
        iam.Statement(
            sid="OwnMonitoring",
            actions=["sagemaker:AddTags", "sagemaker:CreateMonitoringSchedule",
                     "sagemaker:DeleteMonitoringSchedule", "sagemaker:DeleteTags",
                     "sagemaker:DescribeMonitoringSchedule", "sagemaker:ListTags",
                     "sagemaker:UpdateMonitoringSchedule",
                     *(f"sagemaker:{verb}{kind}JobDefinition"
                       for kind in ("DataQuality", "ModelQuality")
                       for verb in ("Create", "Delete", "Describe"))],
            resources=[names.arn("sagemaker", thing)
                       for thing in (*(f"monitoring-schedule/{name}" for name in (drift, quality)),
                                     *definitions)],
        ),
        by_cloud_control(),
        iam.Statement(
            sid="PassBatchRoles",
            actions=["iam:PassRole"],
            resources=[names.role_arn(role.format(project)) for role in (MODEL, PIPELINE)],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.Statement(
            sid="PassTheScheduleRole",
            actions=["iam:PassRole"],
            resources=[names.role_arn(SCHEDULE.format(project))],
            conditions={"StringEquals": {"iam:PassedToService": "events.amazonaws.com"}},
        ),
        iam.Statement(
            sid="OwnScripts",
            actions=["s3:GetObject", "s3:GetObjectTagging", "s3:PutObject",
                     "s3:PutObjectTagging"],
            resources=_below(names, project, "code"),
        ),
        iam.Statement(
            sid="TestRuns",
            actions=["s3:GetObject", "s3:PutObject"],
            resources=_below(names, project, "tests"),
        ),
        iam.Statement(
            sid="BringLabels",
            actions=["s3:GetObject", "s3:PutObject"],
            resources=_below(names, project, LABELS),
        ),
        iam.Statement(
            sid="ReadTestRuns",
            actions=["s3:GetObject"],
            resources=_below(names, project, "runs"),
        ),
        iam.Statement(
            sid="BatchKey",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
            resources=list(key_arns),
            conditions={"StringEquals": {"kms:ViaService": f"s3.{names.region}.amazonaws.com"}},
        ),
    ]  # fmt: skip
