"""How an approval in dev reaches the hub: as an event, from account to account, into a queue.

dev forwards approvals of its own model versions to the hub's bus, the targets what monitoring finds
of their endpoints (:mod:`.retraining`), and nothing else can put anything there. The hub keeps
approvals in an encrypted queue until they are promoted. What cannot be delivered on either side is
kept in a dead-letter queue with its cause, and raises an alarm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import framework_images, iam
from components.contract import publish
from components.functions import Function, FunctionNetwork
from components.naming import Names, Placement
from components.registry import Sharing, group_statements

SOURCE = "aws.sagemaker"
DETAIL_TYPE = "SageMaker Model Package State Change"
"""Source: SageMaker developer guide, events that SageMaker AI sends to Amazon EventBridge."""

RETENTION_SECONDS = 14 * 24 * 3600
"""SQS keeps a message no longer. Source: API reference, SetQueueAttributes."""

MAX_RECEIVES = 5
"""Deliveries of a message before it goes to the dead-letter queue."""

VISIBILITY_SECONDS = 6 * 300
"""Six times a promotion's longest run. Source: Lambda developer guide, SQS event sources."""

JOB_DETAIL_TYPE = "SageMaker Processing Job State Change"
"""Source: as above."""

FORWARDER = "model-events"
"""Role by which EventBridge sends dev's approvals to the hub."""

DRIFT_FORWARDER = "drift-events"
"""Role by which EventBridge sends what a target's monitoring finds to the hub."""

QUEUE, DEAD_LETTERS = "promotions", "promotions-failed"
"""The hub's queues: what is to be promoted, and what could not be."""

LEDGER = "promotions"
"""The hub's table of what became of each version of dev."""

PROMOTION = "promotion"
"""The promotion function, its role in the hub, and its reader role in dev."""

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


def hub_bus_arn(placement: Placement) -> str:
    """The hub's bus, known by its name."""
    hub = Names.at(placement, "governance")
    return hub.arn("events", f"event-bus/{hub.name('models')}")


def monitored(placement: Placement) -> list[str]:
    """The environments whose endpoints are monitored: all that models are deployed to."""
    return [item for item in placement["accounts"] if item not in ("dev", "governance")]


def bus_statements(placement: Placement) -> list[iam.Statement]:
    """Only the forwarders may put events on the hub's bus, each only of its one kind."""
    drift = {
        "DriftOf" + target.title().replace("-", ""): Names.at(placement, target)
        for target in monitored(placement)
    }
    return [
        _sender(placement, "ApprovalsOfDev", Names.at(placement, "dev"), FORWARDER, DETAIL_TYPE),
        *(
            _sender(placement, sid, names, DRIFT_FORWARDER, JOB_DETAIL_TYPE)
            for sid, names in drift.items()
        ),
    ]


def _sender(
    placement: Placement, sid: str, names: Names, role: str, detail_type: str
) -> iam.Statement:
    only = {
        "ForAllValues:StringEquals": {
            "events:source": [SOURCE],
            "events:detail-type": [detail_type],
        },
        # An empty set would satisfy "for all values".
        "Null": {"events:source": "false", "events:detail-type": "false"},
    }
    organization = placement.get("organization_id")
    if organization:
        only["StringEquals"] = {"aws:PrincipalOrgID": organization}
    return iam.only_role(
        names.root_arn,
        [names.role_arn(role)],
        sid=sid,
        actions=["events:PutEvents"],
        resources=[hub_bus_arn(placement)],
        conditions=only,
    )


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
            sid="KeepImages",
            actions=[
                "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage",
                "ecr:CompleteLayerUpload", "ecr:DescribeImages", "ecr:DescribeRepositories",
                "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
            ],
            resources=[hub.arn("ecr", f"repository/{hub.name('*', 'repository')}")],
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


def queue_statements(names: Names, queue: str, rule_arns: Sequence[str]) -> list[iam.Statement]:
    """Messages come from EventBridge's own rules, and by TLS."""
    arn = names.arn("sqs", queue)
    return [
        iam.Statement(
            sid="EventsOfRules",
            principals={"Service": ["events.amazonaws.com"]},
            actions=["sqs:SendMessage"],
            resources=[arn],
            conditions={
                "ArnEquals": {"aws:SourceArn": list(rule_arns)},
                "StringEquals": {"aws:SourceAccount": names.account_id},
            },
        ),
        iam.Statement(
            sid="DenyInsecureTransport",
            effect="Deny",
            principals="*",
            actions=["sqs:*"],
            resources=[arn],
            conditions={"Bool": {"aws:SecureTransport": "false"}},
        ),
    ]


class Queues(pulumi.ComponentResource):
    """What both sides have: queues for events, their policies, and alarms."""

    _name: str
    _names: Names
    _key: Input[str]
    _alerts: Input[str]

    def _child(self) -> ResourceOptions:
        return ResourceOptions(parent=self)

    def _queue(self, purpose: str, rule_arns: Sequence[str], **settings: Any) -> aws.sqs.Queue:
        queue = aws.sqs.Queue(
            f"{self._name}-{purpose}",
            name=self._names.name(purpose, "queue"),
            kms_master_key_id=self._key,
            message_retention_seconds=RETENTION_SECONDS,
            opts=self._child(),
            **settings,
        )
        aws.sqs.QueuePolicy(
            f"{self._name}-{purpose}",
            queue_url=queue.url,
            policy=iam.render(
                queue_statements(self._names, self._names.name(purpose, "queue"), rule_arns)
            ),
            opts=self._child(),
        )
        return queue

    def _alarm(self, purpose: str, metric: str, threshold: int, what: str) -> None:
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{purpose}-{metric}",
            name=self._names.name(f"{purpose}-{metric}"),
            alarm_description=what,
            namespace="AWS/SQS",
            metric_name=metric,
            dimensions={"QueueName": self._names.name(purpose, "queue")},
            statistic="Maximum",
            period=60,
            evaluation_periods=1,
            comparison_operator="GreaterThanThreshold",
            threshold=threshold,
            treat_missing_data="notBreaching",
            alarm_actions=[self._alerts],
            opts=self._child(),
        )

    def _dead_letters(self, purpose: str, rule_arns: Sequence[str]) -> aws.sqs.Queue:
        queue = self._queue(purpose, rule_arns)
        self._alarm(
            purpose,
            "ApproximateNumberOfMessagesVisible",
            0,
            "Events that could not be handled wait here, each with its cause",
        )
        return queue


class ApprovalForwarderArgs(TypedDict):
    """Inputs of :class:`ApprovalForwarder`."""

    placement: Placement
    """Where it lives: dev."""
    messages_key_arn: Input[str]
    """Key of the dead-letter queue."""
    alerts_topic_arn: Input[str]
    """Who is told."""
    boundary_arn: Input[str]
    """Permissions boundary of the role."""


class ApprovalForwarder(Queues):
    """dev's side: approvals of its versions go to the hub's bus."""

    def __init__(
        self, name: str, args: ApprovalForwarderArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:ApprovalForwarder", name, dict(args), opts)
        placement = args["placement"]
        self._name, self._names = name, Names.at(placement)
        self._key, self._alerts = args["messages_key_arn"], args["alerts_topic_arn"]
        bus = hub_bus_arn(placement)
        rule_name = self._names.name("approvals", "rule")
        letters = self._dead_letters(
            "approvals-undelivered", [self._names.arn("events", f"rule/{rule_name}")]
        )
        role = aws.iam.Role(
            f"{name}-forwarder",
            name=self._names.role(FORWARDER),
            assume_role_policy=iam.render(
                [iam.service_trust("events.amazonaws.com", account_id=self._names.account_id)]
            ),
            permissions_boundary=args["boundary_arn"],
            opts=self._child(),
        )
        policy = aws.iam.RolePolicy(
            f"{name}-forwarder",
            name="put-events",
            role=role.name,
            policy=iam.render(
                [iam.Statement(sid="ToTheHub", actions=["events:PutEvents"], resources=[bus])]
            ),
            opts=self._child(),
        )
        rule = aws.cloudwatch.EventRule(
            f"{name}-approvals",
            name=rule_name,
            description="Versions that were approved in dev",
            event_pattern=json.dumps(approvals(placement)),
            opts=self._child(),
        )
        aws.cloudwatch.EventTarget(
            f"{name}-hub",
            rule=rule.name,
            target_id="hub",
            arn=bus,
            role_arn=role.arn,
            dead_letter_config={"arn": letters.arn},
            opts=ResourceOptions(parent=self, depends_on=[policy]),
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


class PromotionQueue(Queues):
    """The hub's side: the bus that takes dev's approvals, their queue, and what promotes them."""

    queue_arn: Output[str]
    dead_letters_url: Output[str]
    function_arn: Output[str]
    bus_name: Output[str]

    def __init__(
        self, name: str, args: PromotionQueueArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:PromotionQueue", name, dict(args), opts)
        placement = args["placement"]
        self._name, self._names = name, Names.at(placement)
        network = args["network"]
        self._key, self._alerts = network["messages_key_arn"], network["alerts_topic_arn"]
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
        ledger = aws.dynamodb.Table(
            f"{self._name}-ledger",
            name=hub.name(LEDGER),
            billing_mode="PAY_PER_REQUEST",
            hash_key="SourceModelPackageArn",
            attributes=[{"name": "SourceModelPackageArn", "type": "S"}],
            server_side_encryption={"enabled": True, "kms_key_arn": self._key},
            point_in_time_recovery={"enabled": True},
            deletion_protection_enabled=placement["protect"],
            opts=ResourceOptions(
                parent=self,
                protect=placement["protect"],
                retain_on_delete=placement["protect"],
            ),
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
        }
        function = Function(
            f"{self._name}-function",
            {
                "placement": placement,
                "purpose": PROMOTION,
                "packages": ["promotion"],
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
                    **({"GROUP_POLICY": json.dumps(policy)} if by_policy else {}),
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
