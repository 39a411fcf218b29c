"""Remedies: what they repair, what they leave alone, and that secrets stay secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness import UNKNOWN, resource_args, run
from mlops_policy.model import Example, ResourceRule
from mlops_policy.pack import policy
from mlops_policy.registry import RULES
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy
from pulumi_policy.deserialize import (
    SPECIAL_SECRET_SIG,
    SPECIAL_SIG_KEY,
    deserialize_properties,
    serialize_properties,
)

BY_NAME = {rule.name: rule for rule in RULES}
BUCKET = "aws:s3/bucket:Bucket"
KEY = "aws:kms/key:Key"
TAGS = {"owner": "ml", "cost-centre": "1", "environment": "dev"}


def remedied(
    name: str, example: Example, config: Mapping[str, Any] | None = None
) -> Mapping[str, Any] | None:
    """The properties after the remedy, as they are sent back; None when it left them."""
    rule = BY_NAME[name]
    assert isinstance(rule, ResourceRule)
    subject = policy(rule)
    assert isinstance(subject, ResourceValidationPolicy)
    raw = deserialize_properties(dict(example.properties), True)
    result: Any = subject.remediate(resource_args(example, config, raw))
    return None if result is None else serialize_properties(result)


def test_rules_with_a_remedy_are_at_the_level_that_runs_it() -> None:
    for rule in RULES:
        remedy = isinstance(rule, ResourceRule) and rule.remedy is not None
        expected = EnforcementLevel.REMEDIATE if remedy else EnforcementLevel.MANDATORY
        assert rule.level is expected


def test_rotation_is_turned_on() -> None:
    assert remedied("key-rotation", Example(KEY, {"description": "data"})) == {
        "description": "data",
        "enableKeyRotation": True,
    }
    assert remedied("key-rotation", Example(KEY, {"enableKeyRotation": False})) == {
        "enableKeyRotation": True
    }


def test_keys_that_rotate_cannot_rotate_or_are_not_known_are_left_alone() -> None:
    for properties in (
        {"enableKeyRotation": True},
        {"enableKeyRotation": UNKNOWN},
        {"customerMasterKeySpec": "RSA_2048", "keyUsage": "SIGN_VERIFY"},
        {"customerMasterKeySpec": UNKNOWN},
        {"keyUsage": UNKNOWN},
    ):
        assert remedied("key-rotation", Example(KEY, properties)) is None


def test_missing_tags_are_filled_in_and_given_ones_kept() -> None:
    result = remedied(
        "required-tags",
        Example(BUCKET, {"bucket": "b", "tags": {"owner": UNKNOWN}}, stack="prod"),
        {"defaults": {"environment": "{stack}", "cost-centre": "{project}-1", "extra": "x"}},
    )

    assert result == {
        "bucket": "b",
        "tags": {"owner": UNKNOWN, "environment": "prod", "cost-centre": "acme-1"},
    }


def test_tags_are_left_alone_when_they_are_there_or_not_known() -> None:
    inherited = {"defaultTags": json.dumps({"tags": TAGS})}

    assert remedied("required-tags", Example(BUCKET, {"tags": TAGS})) is None
    assert remedied("required-tags", Example(BUCKET, {"tags": UNKNOWN})) is None
    assert remedied("required-tags", Example(BUCKET, {}, provider=inherited)) is None
    assert remedied("required-tags", Example(BUCKET, {}, provider={"defaultTags": UNKNOWN})) is None
    assert remedied("required-tags", Example("aws:s3/bucketPolicy:BucketPolicy", {})) is None


def test_what_has_been_remedied_is_accepted() -> None:
    for name in ("key-rotation", "required-tags"):
        rule = BY_NAME[name]
        assert isinstance(rule, ResourceRule)
        config = {"defaults": dict.fromkeys(TAGS, "x")} if name == "required-tags" else None
        for bad in rule.bad:
            result = remedied(name, bad, config)
            assert result is not None
            assert run(rule, Example(bad.type, result)).violations == []


def test_a_secret_stays_secret() -> None:
    secret = {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": "policy"}

    result = remedied("key-rotation", Example(KEY, {"policy": secret}))

    assert result == {"policy": secret, "enableKeyRotation": True}
