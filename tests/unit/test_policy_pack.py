"""What the components make passes the policy pack, as the engine will judge it."""

from __future__ import annotations

from collections.abc import Callable

import pulumi_aws as aws
import pytest
from mlops_policy.model import Example

from components.audit_trail import AuditTrail
from components.baseline import AccountBaseline
from components.endpoint_services import services_for
from components.naming import WORKLOAD_ENVIRONMENTS
from components.network import Network
from tests.policy import harness
from tests.unit.conftest import ACCOUNTS, REGION, Program, place


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
    count, violations = harness.judged(
        Example(resource.type, resource.inputs, resource.name) for resource in program.resources
    )
    assert not violations, "\n".join(violations)
    assert count > 100
