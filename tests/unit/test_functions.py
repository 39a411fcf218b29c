"""A function as every function is made: what it is packed from, and what its role may do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import functions, iam
from components.functions import Function, FunctionNetwork
from components.naming import Names
from localcloud.authorization import Evaluator
from tests.unit.conftest import Program, place, run_program
from tests.unit.data_science import Role, boundary, role_policies

HUB = Names.at(place("governance"))
LETTERS = HUB.arn("sqs", "acme-governance-things-failed")
KEY = HUB.arn("kms", "key/messages")
NETWORK = FunctionNetwork(
    subnet_ids=["subnet-a", "subnet-b"],
    security_group_ids=["sg-a"],
    logs_key_arn=HUB.arn("kms", "key/logs"),
    messages_key_arn=KEY,
    boundary_arn=HUB.policy_arn("boundary"),
    alerts_topic_arn=HUB.arn("sns", "acme-governance-alerts"),
    log_retention_days=365,
)
DELEGATED = iam.document(
    [iam.Statement(sid="Account", principals={"AWS": [HUB.root_arn]}, actions=["kms:*"],
                   resources=["*"])]
)  # fmt: skip
"""A key policy that leaves everything to IAM."""

WORK = iam.Statement(sid="Work", actions=["sqs:ReceiveMessage"], resources=["arn:aws:sqs:*:*:q"])


def make(**changes: Any) -> Function:
    args: dict[str, Any] = {
        "placement": place("governance"),
        "purpose": "things",
        "packages": ["promotion"],
        "handler": "functions.promotion.handler.handle",
        "description": "Does things",
        "environment": {"TABLE": "table"},
        "policy": iam.render([WORK]),
        "dead_letters_arn": LETTERS,
        "timeout_seconds": 60,
        "memory_mb": 128,
        "network": NETWORK,
        **changes,
    }
    return Function("things", args)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def made() -> Program:
    return run_program(make)


@pytest.fixture(scope="module")
def role(made: Program, evaluator: Evaluator) -> Role:
    identity = role_policies(made, HUB.role("things"))
    return Role(evaluator, HUB, "things", identity, boundary("governance"))


def test_it_runs_in_the_vpc_under_the_customers_keys(made: Program) -> None:
    (function,) = made.of("aws:lambda/function:Function")
    assert function.inputs["vpcConfig"]["subnetIds"] == NETWORK["subnet_ids"]
    assert function.inputs["kmsKeyArn"] == KEY
    assert function.inputs["deadLetterConfig"]["targetArn"] == LETTERS
    (group,) = made.of("aws:cloudwatch/logGroup:LogGroup")
    assert group.inputs["kmsKeyId"] == NETWORK["logs_key_arn"]
    assert function.inputs["loggingConfig"]["logGroup"] == group.inputs["name"]


def test_somebody_is_told_of_its_failures(made: Program) -> None:
    (alarm,) = made.of("aws:cloudwatch/metricAlarm:MetricAlarm")
    assert alarm.inputs["metricName"] == "Errors"
    assert alarm.inputs["dimensions"] == {"FunctionName": "acme-governance-things"}
    assert alarm.inputs["alarmActions"] == [NETWORK["alerts_topic_arn"]]


def test_only_lambda_assumes_its_role_which_is_under_the_boundary(made: Program) -> None:
    (found,) = made.of("aws:iam/role:Role")
    (trust,) = json.loads(found.inputs["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Service": ["lambda.amazonaws.com"]}
    assert trust["Action"] == ["sts:AssumeRole"]
    assert found.inputs["permissionsBoundary"] == NETWORK["boundary_arn"]
    # Bucket policies let the platform's own functions in by it.
    assert found.inputs["tags"] == {"Principal": "acme-governance-things"}


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("sqs:SendMessage", LETTERS, True),
        ("sqs:SendMessage", HUB.arn("sqs", "acme-governance-others-failed"), False),
        ("sqs:ReceiveMessage", LETTERS, False),
        ("kms:Decrypt", KEY, True),
        ("kms:Decrypt", HUB.arn("kms", "key/models"), False),
        ("kms:ScheduleKeyDeletion", KEY, False),
        (
            "logs:PutLogEvents",
            HUB.arn("logs", "log-group:/acme/governance/functions/things:log-stream:1"),
            True,
        ),
        (
            "logs:PutLogEvents",
            HUB.arn("logs", "log-group:/acme/governance/functions/others:log-stream:1"),
            False,
        ),
        ("logs:DeleteLogGroup", HUB.arn("logs", "log-group:/acme/governance/functions/things"),
         False),
        ("lambda:UpdateFunctionCode", HUB.arn("lambda", "function:acme-governance-things"), False),
    ],
)  # fmt: skip
def test_beside_its_work_it_runs_and_nothing_else(
    role: Role, action: str, resource: str, allowed: bool
) -> None:
    policy = DELEGATED if action.startswith("kms:") else None
    assert role.may(action, resource, resource_policy=policy) is allowed


def test_interfaces_are_lambdas_to_make_and_not_the_codes(role: Role) -> None:
    by_code = {"lambda:SourceFunctionArn": HUB.arn("lambda", "function:acme-governance-things")}
    assert role.may("ec2:CreateNetworkInterface")
    assert not role.may("ec2:CreateNetworkInterface", context=by_code)


def test_a_function_waits_for_its_rights(made: Program) -> None:
    """An event source that comes first delivers to a function that may do nothing yet."""

    ready = made.result.ready
    kinds = {type(resource).__name__ for resource in ready}
    assert kinds == {"Function", "RolePolicy"}
    assert len(ready) == 3


def test_an_archive_has_the_code_and_nothing_that_running_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("__init__.py", "one/__init__.py", "one/work.py", "two/other.py", "one/data.csv",
                 "one/__pycache__/work.cpython-313.pyc"):  # fmt: skip
        file = tmp_path / "functions" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    archive = functions.archive(["one"])
    assert isinstance(archive, pulumi.AssetArchive)
    assert set(archive.assets) == {
        "functions/__init__.py",
        "functions/one/__init__.py",
        "functions/one/work.py",
    }
    given = functions.archive(["one"], {"one/policy.json": "{}"})
    assert isinstance(given, pulumi.AssetArchive)
    assert set(given.assets) - set(archive.assets) == {"functions/one/policy.json"}
    text = given.assets["functions/one/policy.json"]
    assert isinstance(text, pulumi.StringAsset)
    assert text.text == "{}"
    with pytest.raises(FileNotFoundError, match="three"):
        functions.archive(["one", "three"])
