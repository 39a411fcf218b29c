"""The rules on identity policies against an independent judge, where both are asked the same.

The judge, cloudsplaining, knows every action of every service. It reads neither ``?`` nor ``*:*``
nor another case than AWS writes, so the documents have none of that.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from mlops_policy.documents import IAM_POLICY
from mlops_policy.model import Example
from mlops_policy.registry import RULES

from tests.policy.harness import run

ACTIONS = ("*", "iam:*", "iam:PassRole", "iam:Pass*", "iam:P*Role", "kms:*", "s3:Get*", "s3:*",
           "sts:*", "sagemaker:Create*")  # fmt: skip
RESOURCES = ("*", "arn:aws:iam::111122223333:role/acme-jobs")
SENSITIVE = {"account", "iam", "kms", "organizations", "s3", "secretsmanager", "sts"}


def statements() -> Iterator[dict[str, Any]]:
    for action, resource, more in itertools.product(ACTIONS, RESOURCES, ([], ["iam:GetRole"])):
        yield {"Sid": "A", "Effect": "Allow", "Action": [action, *more], "Resource": resource}


def said(rule: str, document: dict[str, Any]) -> str:
    example = Example(IAM_POLICY, {"policy": json.dumps(document)}, "example")
    [found] = [known for known in RULES if known.name == rule]
    return " ".join(run(found, example).violations)


@pytest.fixture(scope="module")
def everything() -> int:
    """How many actions there are."""
    return len(judge({"Sid": "A", "Effect": "Allow", "Action": "*", "Resource": "*"})["free"])


def judge(statement: dict[str, Any]) -> dict[str, Any]:
    # It takes a second to load.
    from cloudsplaining.scan.policy_document import PolicyDocument

    document = PolicyDocument({"Version": "2012-10-17", "Statement": [statement]})
    return {
        "free": set(document.all_allowed_unrestricted_actions),
        "passes": bool(document.allows_specific_actions_without_constraints(["iam:PassRole"])),
        "whole": set(document.service_wildcard),
    }


def test_pack_and_judge_agree_on_every_document(everything: int) -> None:
    assert everything > 10_000
    flagged = {"administrator": 0, "passes": 0, "whole": 0}
    for statement in statements():
        document = {"Version": "2012-10-17", "Statement": [statement]}
        expected = judge(statement)
        administrator = bool(said("no-administrator-policy", document))
        passes = "passes any role" in said("pass-role-bounded", document)
        named = said("no-whole-service", document)
        whole = {service for service in SENSITIVE if f"{service}:*" in named}
        assert administrator == (len(expected["free"]) == everything), statement
        assert passes == expected["passes"], statement
        if statement["Resource"] == "*" and "*" not in statement["Action"]:
            assert whole == expected["whole"] & SENSITIVE, statement
        for key, found in (("administrator", administrator), ("passes", passes), ("whole", whole)):
            flagged[key] += bool(found)
    assert all(flagged.values()), "a question that nothing answers with yes"
