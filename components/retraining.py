"""How drift in a target leads to one retraining in dev: an event, the hub's bus, a function.

Each target forwards what its monitoring jobs find, and nothing else, to the hub's bus. There a
function starts the build of the project whose endpoint it is, once for each version that drifted.
It may assume the projects' roles in dev that start a build, and nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypedDict

from pulumi import Input, Output, ResourceOptions

from components import iam
from components.events import (
    DRIFT_FORWARDER,
    JOB_DETAIL_TYPE,
    SOURCE,
    EventComponent,
    Forwarder,
    ForwarderArgs,
    monitored,
)
from components.functions import Function, FunctionNetwork
from components.naming import Names, Placement

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


class DriftForwarder(Forwarder):
    """A target's side: what its monitoring jobs find goes to the hub's bus."""

    def __init__(self, name: str, args: ForwarderArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__(
            "mlops:index:DriftForwarder",
            name,
            args,
            rule=DRIFT,
            key="found",
            role=DRIFT_FORWARDER,
            description="What monitoring found of endpoints",
            pattern=found([Names.at(args["placement"]).account_id]),
            opts=opts,
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


class RetrainingControl(EventComponent):
    """The hub's side: the function, what it has started, its rule and its dead letters."""

    function_arn: Output[str]

    def __init__(
        self, name: str, args: RetrainingControlArgs, opts: ResourceOptions | None = None
    ) -> None:
        network, placement = args["network"], args["placement"]
        names = Names.at(placement)
        super().__init__("mlops:index:RetrainingControl", name, args, names, network, opts)
        called = names.name(RETRAINING, "rule")
        letters = self._dead_letters(
            f"{RETRAINING}-failed",
            [names.arn("events", f"rule/{names.name('models')}/{called}")],
        )
        table = self._table(
            "table", names.name(RETRAINING), {"Project": "S"}, protect=placement["protect"]
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
        self._invoke(
            "found",
            function,
            letters,
            called=called,
            description="What monitoring found of endpoints in the targets",
            target_id=RETRAINING,
            bus_name=args["bus_name"],
            pattern=found(accounts),
        )
        self.function_arn = function.arn
        self.register_outputs({"function_arn": self.function_arn})
