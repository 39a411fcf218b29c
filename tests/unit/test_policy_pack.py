"""What the components make passes the policy pack, as the engine will judge it."""

from __future__ import annotations

from collections.abc import Callable

import pulumi_aws as aws
import pytest
from mlops_policy.model import Example, ResourceRule
from mlops_policy.registry import RULES

from components.audit_trail import AuditTrail
from components.baseline import AccountBaseline
from components.naming import WORKLOAD_ENVIRONMENTS
from components.network import Network, services_for
from tests.policy import harness
from tests.unit.conftest import ACCOUNTS, REGION, Program, place

BY_THE_PROVIDER = {"required-tags"}
"""Kept by the provider's default tags, which mocks do not apply."""


def environment(name: str) -> None:
    baseline = AccountBaseline(
        "baseline",
        {
            "placement": place(name),
            "owns_account": True,
            "log_retention_days": 365,
            "key_deletion_days": 30,
            "security_services": {
                "access_analyzer": True,
                "config": True,
                "guardduty": True,
                "security_hub": True,
            },
            "budgets": {"ml": 2000},
            "budget_emails": ["owner@example.com"],
            "personas": {},
        },
    )
    Network(
        "network",
        {
            "placement": place(name),
            "create": {"cidr": "10.20.0.0/16", "zones": 2, "nat": "none"},
            "endpoint_services": services_for(name),
            "log_key_arn": baseline.key_arns["logs"],
            "log_retention_days": 365,
            "boundary_arn": baseline.boundary_arn,
        },
    )
    if name not in WORKLOAD_ENVIRONMENTS:
        AuditTrail(
            "audit",
            {
                "placement": place(name),
                "access_log_bucket": baseline.access_log_bucket,
                "retention_days": 365,
                "key_deletion_days": 30,
            },
            {
                account: aws.Provider(account, region=REGION, allowed_account_ids=[account])
                for account in ACCOUNTS.values()
            },
        )


@pytest.mark.parametrize("name", ACCOUNTS)
def test_no_rule_is_violated(name: str, run: Callable[..., Program]) -> None:
    program = run(lambda: environment(name))
    judged = 0
    violations: list[str] = []
    for rule in RULES:
        if not isinstance(rule, ResourceRule) or rule.name in BY_THE_PROVIDER:
            continue
        for resource in program.resources:
            outcome = harness.run(rule, Example(resource.type, resource.inputs, resource.name))
            judged += outcome.put_off is None
            violations += [f"{rule.name}: {text}" for text in outcome.violations]
    assert not violations, "\n".join(violations)
    assert judged > 100
