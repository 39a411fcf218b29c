"""How an approval in dev becomes a version of the hub.

dev forwards approvals of its own model versions to the hub's bus (:mod:`.events`). The hub keeps
them in an encrypted queue until its function has promoted them, which reads dev through a role.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import framework_images, iam
from components.contract import publish
from components.events import (
    DETAIL_TYPE,
    FORWARDER,
    SOURCE,
    EventComponent,
    Forwarder,
    ForwarderArgs,
    bus_statements,
)
from components.functions import Function, FunctionNetwork
from components.naming import Names, Placement
from components.registry import Sharing, group_statements

MAX_RECEIVES = 5
"""Deliveries of a message before it goes to the dead-letter queue."""

VISIBILITY_SECONDS = 6 * 300
"""Six times a promotion's longest run. Source: Lambda developer guide, SQS event sources."""

QUEUE, DEAD_LETTERS = "promotions", "promotions-failed"
"""The hub's queues: what is to be promoted, and what could not be."""

LEDGER = "promotions"
"""The hub's table of what became of each version of dev."""

PROMOTION = "promotion"
"""The promotion function, its role in the hub, and its reader role in dev."""

GROUP_POLICY = "group_policy.json"
"""The file beside the function's code with the policy of groups that it makes."""

READER = "promotion-reader"
"""Role in dev by which promotion reads versions and images."""

TIMEOUT_SECONDS = 900
"""Longest run of a promotion: very large artifacts are copied in parts. Lambda allows no more."""

WAITING = 100
"""Approvals that may wait at once: ten times as many as are promoted at once."""

LEASE_SECONDS = 960
"""How long a delivery holds a version: longer than any run, shorter than the visibility timeout."""


def approvals(placement: Placement) -> dict[str, Any]:
    """The pattern of the events that are promoted: dev's own versions, once approved.

    Group names carry the environment: in one account for all, the hub's own versions change state
    on the same bus.
    """
    dev = Names.at(placement, "dev")
    return {
        "source": [SOURCE],
        "detail-type": [DETAIL_TYPE],
        "account": [dev.account_id],
        "detail": {
            "ModelApprovalStatus": ["Approved"],
            "ModelPackageGroupName": [{"prefix": dev.name("", "group")}],
        },
    }


def promotion_statements(
    placement: Placement,
    models_key_arn: Input[str],
    queue_arn: Input[str],
    sharing: Sharing = "policy",
) -> list[iam.Statement]:
    """What the promotion function may do; ``functions/promotion/handler.py`` says what it needs.

    Args:
        placement: The hub's.
        models_key_arn: Key of its artifacts and images.
        queue_arn: Where approvals wait.
        sharing: How central groups are shared; policies of groups are its matter only by policy.
    """
    policies = ["sagemaker:GetModelPackageGroupPolicy", "sagemaker:PutModelPackageGroupPolicy"]
    hub, dev = Names.at(placement, "governance"), Names.at(placement, "dev")
    source, target = dev.bucket_arn("models"), hub.bucket_arn("models")
    groups = hub.name("*")
    return [
        iam.Statement(
            sid="ReadAsTheReader", actions=["sts:AssumeRole"], resources=[dev.role_arn(READER)]
        ),
        iam.Statement(sid="ReadArtifacts", actions=["s3:GetObject"], resources=[f"{source}/*"]),
        iam.Statement(
            sid="FindArtifacts", actions=["s3:ListBucket"], resources=[source, target]
        ),
        iam.Statement(
            sid="KeepArtifacts",
            actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
            resources=[f"{target}/promoted/*"],
        ),
        iam.Statement(
            # dev's key is known by its alias only: ids are not known before it is made.
            sid="DecryptArtifacts",
            actions=["kms:Decrypt", "kms:DescribeKey"],
            resources=[dev.arn("kms", "key/*")],
            conditions={"ForAnyValue:StringEquals": {"kms:ResourceAliases": dev.alias("models")}},
        ),
        iam.Statement(
            sid="EncryptArtifacts",
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"],
            resources=[models_key_arn],
        ),
        iam.Statement(
            # SageMaker keeps a card under the key by a grant, which its maker lets it have. Source:
            # handler permissions of AWS::SageMaker::ModelCard.
            sid="LetSageMakerKeepCards",
            actions=["kms:CreateGrant"],
            resources=[models_key_arn],
            conditions={
                "StringEquals": {"kms:ViaService": f"sagemaker.{hub.region}.amazonaws.com"},
                "Bool": {"kms:GrantIsForAWSResource": "true"},
            },
        ),
        iam.Statement(
            sid="KeepImages",
            actions=[
                "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage",
                "ecr:CompleteLayerUpload", "ecr:DescribeImages", "ecr:DescribeRepositories",
                "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
            ],
            resources=[hub.arn("ecr", f"repository/{hub.name('*', 'repository')}")],
        ),
        # Those that stay where they are: SageMaker registers a version only for who may look at its
        # images. Source: handler permissions of AWS::SageMaker::ModelPackage.
        *framework_images.statements(
            hub, "LookAtAwsImages", ["ecr:BatchGetImage", "ecr:DescribeImages"]
        ),
        iam.Statement(
            sid="Register",
            actions=[
                "sagemaker:AddTags", "sagemaker:CreateModelCard", "sagemaker:CreateModelPackage",
                "sagemaker:CreateModelPackageGroup", "sagemaker:DescribeModelCard",
                "sagemaker:DescribeModelPackage", "sagemaker:DescribeModelPackageGroup",
                "sagemaker:ListModelPackages", "sagemaker:ListTags", "sagemaker:UpdateModelCard",
                *(policies if sharing == "policy" else ()),
            ],
            resources=[
                hub.arn("sagemaker", f"model-package-group/{groups}"),
                hub.arn("sagemaker", f"model-package/{groups}"),
                hub.arn("sagemaker", f"model-card/{groups}"),
            ],
        ),
        iam.Statement(
            # Whoever registers a version does not decide on it.
            sid="NeverApprove",
            effect="Deny",
            actions=["sagemaker:UpdateModelPackage"],
            resources=["*"],
        ),
        iam.Statement(
            sid="KeepTheLedger",
            actions=["dynamodb:UpdateItem"],
            resources=[hub.arn("dynamodb", f"table/{hub.name(LEDGER)}")],
        ),
        iam.Statement(
            sid="TakeApprovals",
            actions=["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes",
                     "sqs:ReceiveMessage"],
            resources=[queue_arn],
        ),
    ]  # fmt: skip


def service_roles(hub: Names) -> list[str]:
    """Patterns of roles in dev that services and functions assume: their sessions name nobody."""
    return [f"{hub.prefix}-dev-*-{role}" for role in ("pipeline", "retrain")]


def reader_statements(placement: Placement) -> list[iam.Statement]:
    """What promotion may read in dev beside the artifacts: versions, and the images they name."""
    dev = Names.at(placement, "dev")
    return [
        iam.Statement(
            sid="ReadVersions",
            actions=["sagemaker:DescribeModelPackage"],
            resources=[dev.arn("sagemaker", f"model-package/{dev.name('*')}")],
        ),
        iam.Statement(
            # Who started it, for the separation of duties; what it trained, for the card.
            sid="ReadRuns",
            actions=[
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutionSteps",
            ],
            resources=[dev.arn("sagemaker", f"pipeline/{dev.name('*')}/execution/*")],
        ),
        iam.Statement(
            # Whether a person started the build that did.
            sid="ReadBuilds",
            actions=[
                "codebuild:BatchGetBuilds",
                "codepipeline:GetPipelineExecution",
                "codepipeline:ListActionExecutions",
            ],
            resources=[
                dev.arn("codebuild", f"project/{dev.name('*-build')}"),
                dev.arn("codepipeline", dev.name("*-build")),
            ],
        ),
        iam.Statement(
            # Pipelines name their jobs by their execution, whichever project's they are.
            # Source: SageMaker developer guide, access management of pipelines.
            sid="ReadTraining",
            actions=[
                "sagemaker:DescribeHyperParameterTuningJob",
                "sagemaker:DescribeTrainingJob",
            ],
            resources=[
                dev.arn("sagemaker", "hyper-parameter-tuning-job/pipelines-*"),
                dev.arn("sagemaker", "training-job/pipelines-*"),
            ],
        ),
        iam.Statement(
            sid="ReadImages",
            actions=["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=[dev.arn("ecr", f"repository/{dev.name('*', 'repository')}")],
        ),
    ]


class ApprovalForwarder(Forwarder):
    """dev's side: approvals of its versions go to the hub's bus, and promotion may read them."""

    def __init__(self, name: str, args: ForwarderArgs, opts: ResourceOptions | None = None) -> None:
        placement = args["placement"]
        super().__init__(
            "mlops:index:ApprovalForwarder",
            name,
            args,
            rule="approvals",
            key="approvals",
            role=FORWARDER,
            description="Versions that were approved in dev",
            pattern=approvals(placement),
            opts=opts,
        )
        self._reader(placement, args["boundary_arn"])
        self.register_outputs({})

    def _reader(self, placement: Placement, boundary_arn: Input[str]) -> None:
        hub = Names.at(placement, "governance")
        reader = aws.iam.Role(
            f"{self._name}-reader",
            name=self._names.role(READER),
            assume_role_policy=iam.render(
                [
                    iam.only_role(
                        hub.root_arn,
                        [hub.role_arn(PROMOTION)],
                        sid="Promotion",
                        actions=["sts:AssumeRole"],
                    )
                ]
            ),
            permissions_boundary=boundary_arn,
            opts=self._child(),
        )
        aws.iam.RolePolicy(
            f"{self._name}-reader",
            name="read",
            role=reader.name,
            policy=iam.render(reader_statements(placement)),
            opts=self._child(),
        )


class PromotionQueueArgs(TypedDict):
    """Inputs of :class:`PromotionQueue`."""

    placement: Placement
    """Where it lives: the hub."""
    network: FunctionNetwork
    """Where the promotion function runs, and its keys, which the queues have too."""
    models_bucket: Input[str]
    """The hub's artifact bucket."""
    models_key_arn: Input[str]
    """Its key."""
    environments: Sequence[str]
    """The environments whose roles may read central versions."""
    sharing: Sharing
    """How central groups are shared: by a policy that the function puts, or by the project's own
    stack, until when a group that promotion made is the hub's alone."""
    tags: Mapping[str, str]
    """Tags of groups and cards that promotion makes."""
    owner: str
    """Owner in the cards of models that name none."""


class PromotionQueue(EventComponent):
    """The hub's side: the bus that takes dev's approvals, their queue, and what promotes them."""

    queue_arn: Output[str]
    dead_letters_url: Output[str]
    function_arn: Output[str]
    bus_name: Output[str]

    def __init__(
        self, name: str, args: PromotionQueueArgs, opts: ResourceOptions | None = None
    ) -> None:
        placement, network = args["placement"], args["network"]
        super().__init__(
            "mlops:index:PromotionQueue", name, args, Names.at(placement), network, opts
        )
        bus_name, rule_name = self._names.name("models"), self._names.name("approvals", "rule")
        bus = aws.cloudwatch.EventBus(
            f"{name}-models",
            name=bus_name,
            description="State changes of model versions, from the environments",
            kms_key_identifier=self._key,
            opts=self._child(),
        )
        aws.cloudwatch.EventBusPolicy(
            f"{name}-models",
            event_bus_name=bus.name,
            policy=iam.render(bus_statements(placement)),
            opts=self._child(),
        )
        rules = [self._names.arn("events", f"rule/{bus_name}/{rule_name}")]
        letters = self._dead_letters(DEAD_LETTERS, rules)
        queue = self._queue(
            QUEUE,
            rules,
            visibility_timeout_seconds=VISIBILITY_SECONDS,
            redrive_policy=Output.json_dumps(
                {"deadLetterTargetArn": letters.arn, "maxReceiveCount": MAX_RECEIVES}
            ),
        )
        self._alarm(
            QUEUE,
            "ApproximateNumberOfMessagesVisible",
            WAITING,
            f"More than {WAITING} approvals wait to be promoted",
        )
        self._alarm(
            QUEUE,
            "ApproximateAgeOfOldestMessage",
            VISIBILITY_SECONDS,
            "An approval waits longer than its promotion should take, in seconds",
        )
        rule = aws.cloudwatch.EventRule(
            f"{name}-approvals",
            name=rule_name,
            event_bus_name=bus.name,
            description="Versions that were approved in dev",
            event_pattern=json.dumps(approvals(placement)),
            opts=self._child(),
        )
        aws.cloudwatch.EventTarget(
            f"{name}-queue",
            rule=rule.name,
            event_bus_name=bus.name,
            target_id="promotions",
            arn=queue.arn,
            dead_letter_config={"arn": letters.arn},
            opts=self._child(),
        )
        self.queue_arn, self.dead_letters_url = queue.arn, letters.url
        self.bus_name = bus.name
        function = self._function(args, queue, letters)
        self.function_arn = function.arn
        values: Mapping[str, Input[str]] = {
            "events/bus-arn": bus.arn,
            "promotion/queue-url": queue.url,
            "promotion/dead-letters-url": letters.url,
        }
        publish(self, name, self._names, values)
        self.register_outputs(
            {"queue_arn": self.queue_arn, "dead_letters_url": self.dead_letters_url}
        )

    def _function(
        self, args: PromotionQueueArgs, queue: aws.sqs.Queue, letters: aws.sqs.Queue
    ) -> Function:
        placement = args["placement"]
        hub, dev = self._names, Names.at(placement, "dev")
        ledger = self._table(
            "ledger", hub.name(LEDGER), {"SourceModelPackageArn": "S"}, protect=placement["protect"]
        )
        by_policy = bool(args["environments"]) and args["sharing"] == "policy"
        policy = iam.document(
            group_statements(
                hub,
                placement,
                # The function puts the names in; the policy is as the project's own stack makes it.
                "${Group}",
                list(args["environments"]),
                deployer="${Project}-deploy",
            )
        )
        accounts = {
            "READER_ROLES": {dev.account_id: dev.role_arn(READER)},
            "SOURCE_BUCKETS": {dev.account_id: [dev.bucket("models")]},
            "SOURCE_PREFIXES": {dev.account_id: dev.name("")},
            "GROUP_TAGS": dict(args["tags"]),
            "IMAGE_ACCOUNTS": framework_images.accounts(placement["region"]),
            "SERVICE_ROLES": service_roles(hub),
        }
        function = Function(
            f"{self._name}-function",
            {
                "placement": placement,
                "purpose": PROMOTION,
                "packages": ["promotion"],
                # It names the roles of every environment: too long for a variable.
                "files": {f"promotion/{GROUP_POLICY}": json.dumps(policy)} if by_policy else {},
                "handler": "functions.promotion.handler.handle",
                "description": "Promotes versions that were approved in dev",
                "environment": {
                    "HUB_ACCOUNT": hub.account_id,
                    "MODELS_BUCKET": args["models_bucket"],
                    "MODELS_KEY_ARN": args["models_key_arn"],
                    "LEDGER_TABLE": ledger.name,
                    "DEAD_LETTER_QUEUE_URL": letters.url,
                    "MAX_RECEIVES": str(MAX_RECEIVES - 1),
                    "GROUP_PREFIX": hub.name(""),
                    "IMAGE_REPOSITORY": hub.name(""),
                    "LEASE_SECONDS": str(LEASE_SECONDS),
                    "CARD_OWNER": args["owner"],
                    **({"GROUP_POLICY_FILE": GROUP_POLICY} if by_policy else {}),
                    **{key: json.dumps(value) for key, value in accounts.items()},
                },
                "policy": iam.render(
                    promotion_statements(
                        placement, args["models_key_arn"], queue.arn, args["sharing"]
                    )
                ),
                "dead_letters_arn": letters.arn,
                "timeout_seconds": TIMEOUT_SECONDS,
                "memory_mb": 512,
                "network": args["network"],
            },
            self._child(),
        )
        aws.lambda_.EventSourceMapping(
            f"{self._name}-approvals",
            event_source_arn=queue.arn,
            function_name=function.arn,
            batch_size=1,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config={"maximum_concurrency": 10},
            opts=ResourceOptions(parent=self, depends_on=function.ready),
        )
        return function
