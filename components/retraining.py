"""How drift in a target leads to one retraining in dev: an event, the hub's bus, a function.

Each target forwards what its monitoring jobs find, and nothing else, to the hub's bus. There a
function starts the build of the project whose endpoint it is, once for each version that drifted.
It may assume the projects' roles in dev that start a build, and nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypedDict

import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.functions import Function, FunctionNetwork
from components.naming import Names, Placement
from components.promotion import (
    DRIFT_FORWARDER,
    JOB_DETAIL_TYPE,
    SOURCE,
    Queues,
    hub_bus_arn,
    monitored,
)

RETRAINING = "retraining"
"""The function, its role, its table, and the hub's rule."""

DRIFT = "drift"
"""The targets' rule and forwarder."""

STARTER = "{}-retrain"
"""A project's role in dev that starts its build."""


def found(accounts: Sequence[str]) -> dict[str, Any]:
    """The pattern of what monitoring jobs of some accounts find.

    Args:
        accounts: Their accounts.
    """
    return {
        "source": [SOURCE],
        "detail-type": [JOB_DETAIL_TYPE],
        "account": sorted(set(accounts)),
        "detail": {
            "ProcessingJobStatus": ["Completed"],
            # Their names tell the kind of monitoring; that they have a schedule is common to all.
            "MonitoringScheduleArn": [{"prefix": "arn:"}],
            "ExitMessage": [{"prefix": "CompletedWithViolations"}],
        },
    }


def retraining_statements(
    placement: Placement, token_secrets: Sequence[Input[str]]
) -> list[iam.Statement]:
    """What the function may do; ``functions/retraining/handler.py`` says what it needs.

    Args:
        placement: The hub's.
        token_secrets: ARNs of secrets with GitHub's tokens.
    """
    hub, dev = Names.at(placement, "governance"), Names.at(placement, "dev")
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
            sid="KeepRetrainings",
            actions=["dynamodb:GetItem", "dynamodb:PutItem"],
            resources=[hub.arn("dynamodb", f"table/{hub.name(RETRAINING)}")],
        ),
        iam.Statement(
            sid="KnowProjects",
            actions=["ssm:GetParameter"],
            resources=[hub.arn("ssm", f"parameter{hub.parameter('projects')}/*")],
        ),
        iam.Statement(
            # Projects come and go; each lets this function alone assume the role of its build.
            sid="StartBuilds",
            actions=["sts:AssumeRole"],
            resources=[dev.role_arn(STARTER.format("*"))],
        ),
        *tokens,
    ]


class DriftForwarderArgs(TypedDict):
    """Inputs of :class:`DriftForwarder`."""

    placement: Placement
    """Where it lives: a target."""
    messages_key_arn: Input[str]
    """Key of the dead-letter queue."""
    alerts_topic_arn: Input[str]
    """Who is told."""
    boundary_arn: Input[str]
    """Permissions boundary of the role."""


class DriftForwarder(Queues):
    """A target's side: what its monitoring jobs find goes to the hub's bus."""

    def __init__(
        self, name: str, args: DriftForwarderArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:DriftForwarder", name, dict(args), opts)
        placement = args["placement"]
        self._name, self._names = name, Names.at(placement)
        self._key, self._alerts = args["messages_key_arn"], args["alerts_topic_arn"]
        bus, called = hub_bus_arn(placement), self._names.name(DRIFT, "rule")
        letters = self._dead_letters(
            f"{DRIFT}-undelivered", [self._names.arn("events", f"rule/{called}")]
        )
        role = aws.iam.Role(
            f"{name}-forwarder",
            name=self._names.role(DRIFT_FORWARDER),
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
            f"{name}-found",
            name=called,
            description="What monitoring found of endpoints",
            event_pattern=json.dumps(found([self._names.account_id])),
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
        self.register_outputs({})


class RetrainingControlArgs(TypedDict):
    """Inputs of :class:`RetrainingControl`."""

    placement: Placement
    """Where it lives: the hub."""
    network: FunctionNetwork
    """Where the function runs, and its keys."""
    bus_name: Input[str]
    """The hub's bus."""
    token_secrets: Sequence[Input[str]]
    """Secrets with the tokens by which workflows at GitHub are started."""


class RetrainingControl(Queues):
    """The hub's side: the function, what it has started, its rule and its dead letters."""

    function_arn: Output[str]

    def __init__(
        self, name: str, args: RetrainingControlArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:RetrainingControl", name, dict(args), opts)
        network, placement = args["network"], args["placement"]
        self._name, self._names = name, Names.at(placement)
        self._key, self._alerts = network["messages_key_arn"], network["alerts_topic_arn"]
        names = self._names
        called = names.name(RETRAINING, "rule")
        letters = self._dead_letters(
            f"{RETRAINING}-failed",
            [names.arn("events", f"rule/{names.name('models')}/{called}")],
        )
        protect = placement["protect"]
        table = aws.dynamodb.Table(
            f"{name}-table",
            name=names.name(RETRAINING),
            billing_mode="PAY_PER_REQUEST",
            hash_key="Project",
            attributes=[{"name": "Project", "type": "S"}],
            server_side_encryption={"enabled": True, "kms_key_arn": self._key},
            point_in_time_recovery={"enabled": True},
            deletion_protection_enabled=protect,
            opts=ResourceOptions(parent=self, protect=protect, retain_on_delete=protect),
        )
        function = Function(
            f"{name}-function",
            {
                "placement": placement,
                "purpose": RETRAINING,
                "packages": ["retraining", "deployment", "promotion"],
                "handler": "functions.retraining.handler.handle",
                "description": "Starts one retraining for each version that drifted",
                "environment": {
                    "PREFIX": names.prefix,
                    "ACCOUNTS": json.dumps(
                        {item: placement["accounts"][item] for item in monitored(placement)}
                    ),
                    "TABLE": table.name,
                    "PROJECT_PARAMETERS": names.parameter("projects"),
                },
                "policy": iam.render(retraining_statements(placement, args["token_secrets"])),
                "dead_letters_arn": letters.arn,
                "timeout_seconds": 60,
                "memory_mb": 256,
                "network": network,
            },
            self._child(),
        )
        accounts = [placement["accounts"][item] for item in monitored(placement)]
        rule = aws.cloudwatch.EventRule(
            f"{name}-found",
            name=called,
            event_bus_name=args["bus_name"],
            description="What monitoring found of endpoints in the targets",
            event_pattern=json.dumps(found(accounts)),
            opts=self._child(),
        )
        allowed = aws.lambda_.Permission(
            f"{name}-found",
            statement_id="RuleFound",
            action="lambda:InvokeFunction",
            function=function.name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            source_account=names.account_id,
            opts=self._child(),
        )
        aws.cloudwatch.EventTarget(
            f"{name}-found",
            rule=rule.name,
            event_bus_name=args["bus_name"],
            target_id=RETRAINING,
            arn=function.arn,
            dead_letter_config={"arn": letters.arn},
            opts=ResourceOptions(parent=self, depends_on=[allowed]),
        )
        self.function_arn = function.arn
        self.register_outputs({"function_arn": self.function_arn})
