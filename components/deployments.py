"""The hub's control of deployments: the function that decides, its ledger, and what tells it.

The events of central versions and of runs that ended badly come to the function by rules; whoever
deploys asks it by ``lambda:InvokeFunction``. A schedule ends what no event tells of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import framework_images, iam
from components.events import DETAIL_TYPE, SOURCE, EventComponent
from components.functions import Function, FunctionNetwork
from components.naming import Names, Placement, kind_of
from components.promotion import service_roles

DEPLOYMENTS = "deployments"
"""The function, its role and its ledger."""

DEAD_LETTERS = "deployments-failed"
"""Queue of the events that the function could not take."""

SWEEP = "rate(30 minutes)"
"""How often the function looks for what no event told."""

EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "dev": ("metrics",),
    "preprod": ("metrics", "card"),
    "prod": ("metrics", "card", "scan"),
}
"""Kind of environment -> the evidence that its gate asks for, in the order of the way. A project's
own way are those that are its targets."""

BY_HAND = ("prod",)
"""Kinds of environments that a version comes to by a person's approval, whatever was before."""


def environment_gates(placement: Placement) -> dict[str, str]:
    """The function's variables for the way: its environments in order, and what each asks for.

    Args:
        placement: The hub's.
    """
    way = [env for env in placement["accounts"] if kind_of(env) in EVIDENCE]
    return {
        "EVIDENCE": json.dumps({env: EVIDENCE[kind_of(env)] for env in way}),
        "MANUAL_APPROVALS": json.dumps([env for env in way if kind_of(env) in BY_HAND]),
    }


NEED_PEOPLE = ("no-retreat", "not-started", "not-swept", "refused-event")
"""Outcomes in the function's log that it does not mend by itself: ``no-retreat``, a version that
should go has nothing to go back to; ``not-started``, a run could not be started; ``not-swept``, a
project could not be looked after; ``refused-event``, an event could not be read. Runs that were
refused or failed are told of where they run."""


def caller_alias(project: str, target: str) -> str:
    """The alias of the function by which a project's runs ask it of one target, and nobody else.

    Lambda tells a function no caller, but the alias that it was called by, and IAM lets what
    releases to a target call this one alone. ``functions/deployment/handler.py`` reads it.
    Neither name has an underscore.
    """
    return f"project-{project}_{target}"


_ENDED = ("CANCELED", "FAILED", "STOPPED", "SUPERSEDED")
"""Ends of runs without success. Source: CodePipeline user guide, monitoring events."""


def patterns(names: Names) -> Mapping[str, dict[str, Any]]:
    """Rule -> pattern of the events that the function takes; only the hub's own things."""
    own = {"account": [names.account_id]}
    prefix = [{"prefix": names.name("")}]
    return {
        "versions": {
            **own,
            "source": [SOURCE],
            "detail-type": [DETAIL_TYPE],
            "detail": {
                "ModelPackageGroupName": prefix,
                # Taken back to pending, an approval ends: the next one starts anew.
                "ModelApprovalStatus": ["Approved", "PendingManualApproval", "Rejected"],
            },
        },
        "pipelines": {
            **own,
            "source": ["aws.codepipeline"],
            "detail-type": ["CodePipeline Pipeline Execution State Change"],
            "detail": {"pipeline": prefix, "state": list(_ENDED)},
        },
    }


def control_statements(
    names: Names, models_key_arn: Input[str], token_secrets: Sequence[Input[str]]
) -> list[iam.Statement]:
    """What the function may do; ``functions/deployment/handler.py`` says what it needs.

    Args:
        names: The hub's.
        models_key_arn: Key of artifacts and model cards.
        token_secrets: ARNs of secrets with GitHub's tokens.
    """
    own, models = names.name("*"), names.bucket_arn("models")
    parameters = names.arn("ssm", f"parameter{names.parameter('projects')}")
    tokens = (
        [
            iam.Statement(
                sid="TokensOfGitHub",
                actions=["secretsmanager:GetSecretValue"],
                resources=list(token_secrets),
            )
        ]
        if token_secrets
        else []
    )
    return [
        iam.Statement(
            sid="KeepTheLedger",
            actions=["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query",
                     "dynamodb:UpdateItem"],
            resources=[names.arn("dynamodb", f"table/{names.name(DEPLOYMENTS)}")],
        ),
        iam.Statement(
            sid="KnowProjects",
            actions=["ssm:GetParameter", "ssm:GetParametersByPath"],
            resources=[parameters, f"{parameters}/*"],
        ),
        iam.Statement(
            sid="ReadVersions",
            actions=["sagemaker:DescribeModelPackage"],
            resources=[names.arn("sagemaker", f"model-package/{own}")],
        ),
        iam.Statement(
            sid="KeepCards",
            actions=["sagemaker:DescribeModelCard", "sagemaker:UpdateModelCard"],
            resources=[names.arn("sagemaker", f"model-card/{own}")],
        ),
        iam.Statement(
            sid="ReadEvidence", actions=["s3:GetObject"], resources=[f"{models}/promoted/*"]
        ),
        iam.Statement(
            sid="FindEvidence",
            actions=["s3:ListBucket", "s3:ListBucketVersions"],
            resources=[models],
        ),
        iam.Statement(
            sid="UseModelsKey",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
            resources=[models_key_arn],
        ),
        iam.Statement(
            sid="ReadScans",
            actions=["ecr:DescribeImageScanFindings"],
            resources=[names.arn("ecr", f"repository/{own}")],
        ),
        iam.Statement(
            sid="StartReleases",
            actions=["codepipeline:GetPipelineExecution", "codepipeline:GetPipelineState",
                     "codepipeline:ListActionExecutions", "codepipeline:StartPipelineExecution"],
            resources=[names.arn("codepipeline", own)],
        ),
        *tokens,
    ]  # fmt: skip


class DeploymentControlArgs(TypedDict):
    """Inputs of :class:`DeploymentControl`."""

    placement: Placement
    """Where it lives: the hub."""
    network: FunctionNetwork
    """Where the function runs, and its keys."""
    models_key_arn: Input[str]
    """Key of artifacts and model cards."""
    token_secrets: Sequence[Input[str]]
    """Secrets with the tokens by which workflows at GitHub are started."""


class DeploymentControl(EventComponent):
    """Function, ledger, rules, dead letters and alarms."""

    function_arn: Output[str]

    def __init__(
        self, name: str, args: DeploymentControlArgs, opts: ResourceOptions | None = None
    ) -> None:
        network, placement = args["network"], args["placement"]
        names = Names.at(placement)
        super().__init__("mlops:index:DeploymentControl", name, args, names, network, opts)
        rules = [*patterns(names), "sweep"]
        letters = self._dead_letters(
            DEAD_LETTERS,
            [names.arn("events", f"rule/{names.name(f'{DEPLOYMENTS}-{rule}')}") for rule in rules],
        )
        ledger = self._table(
            "ledger",
            names.name(DEPLOYMENTS),
            {"Deployment": "S", "Sequence": "N"},
            protect=placement["protect"],
        )
        function = Function(
            f"{name}-function",
            {
                "placement": placement,
                "purpose": DEPLOYMENTS,
                "packages": ["deployment", "promotion"],
                "handler": "functions.deployment.handler.handle",
                "description": "Decides which version is deployed where",
                "environment": {
                    "HUB_ACCOUNT": names.account_id,
                    "LEDGER_TABLE": ledger.name,
                    "GROUP_PREFIX": names.name(""),
                    "PROJECT_PARAMETERS": names.parameter("projects"),
                    "IMAGE_ACCOUNTS": json.dumps(framework_images.accounts(names.region)),
                    **environment_gates(placement),
                    "SERVICE_ROLES": json.dumps(service_roles(names)),
                    "BUILD_ROLES": json.dumps(
                        [f"{names.prefix}-dev-*-{build}" for build in ("build", "github")]
                    ),
                },
                "policy": iam.render(
                    control_statements(names, args["models_key_arn"], args["token_secrets"])
                ),
                "dead_letters_arn": letters.arn,
                "timeout_seconds": 110,
                "memory_mb": 256,
                "network": network,
            },
            self._child(),
        )
        starts: dict[str, dict[str, Any]] = {
            **{rule: {"pattern": pattern} for rule, pattern in patterns(names).items()},
            "sweep": {"schedule": SWEEP, "given": {"action": "sweep"}},
        }
        for rule, start in starts.items():
            self._invoke(
                rule,
                function,
                letters,
                called=names.name(f"{DEPLOYMENTS}-{rule}", "rule"),
                description=f"{rule}, for the deployments' function",
                target_id=DEPLOYMENTS,
                **start,
            )
        self._tell_people(function)
        self.function_arn = function.arn
        self.register_outputs({"function_arn": self.function_arn})

    def _tell_people(self, function: Function) -> None:
        """An alarm on the log lines that need somebody.

        A retreat that cannot be is told of again with each sweep: the alarm stays for longer than
        from one sweep to the next, so that it rings once.
        """
        outcomes = " || ".join(f'($.outcome = "{outcome}")' for outcome in NEED_PEOPLE)
        namespace, metric = f"{self._names.prefix}/{DEPLOYMENTS}", "NeedPeople"
        aws.cloudwatch.LogMetricFilter(
            f"{self._name}-need-people",
            name=self._names.name(f"{DEPLOYMENTS}-need-people"),
            log_group_name=function.log_group,
            pattern=f"{{ {outcomes} }}",
            metric_transformation={"namespace": namespace, "name": metric, "value": "1"},
            opts=self._child(),
        )
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-need-people",
            name=self._names.name(f"{DEPLOYMENTS}-need-people"),
            alarm_description=(
                f"The log of {DEPLOYMENTS} has a line that needs people: {', '.join(NEED_PEOPLE)}"
            ),
            namespace=namespace,
            metric_name=metric,
            statistic="Sum",
            period=300,
            evaluation_periods=7,
            datapoints_to_alarm=1,
            threshold=0,
            comparison_operator="GreaterThanThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[self._alerts],
            opts=self._child(),
        )
