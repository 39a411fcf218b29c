"""Rules about stacks: which resource belongs to which, with and without values."""

from __future__ import annotations

import pytest
from harness import UNKNOWN, resource_args, run, urn
from mlops_policy.model import Example, Stack, StackRule
from mlops_policy.registry import RULES
from mlops_policy.values import NotKnownYetError
from pulumi_policy import PolicyResource
from pulumi_policy.proxy import unknown_checking_proxy

BY_NAME = {rule.name: rule for rule in RULES}
VPC = "aws:ec2/vpc:Vpc"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"


def resource(example: Example, parent: PolicyResource | None = None) -> PolicyResource:
    return PolicyResource(
        example.type,
        unknown_checking_proxy(dict(example.properties)),
        urn(example),
        example.name,
        resource_args(example).opts,
        None,
        parent,
        [],
        {},
    )


def refers(resources: list[PolicyResource], key: str, of: int, to: int) -> bool:
    stack = Stack(resources)
    views = {view.urn: view for view in stack.all()}
    return stack.refers(views[resources[of].urn], key, views[resources[to].urn])


def test_a_reference_is_found_by_its_dependency_before_there_are_values() -> None:
    one, two = resource(Example(VPC, name="one")), resource(Example(VPC, name="two"))
    log = resource(Example(FLOW_LOG, {"vpcId": UNKNOWN}))
    log.property_dependencies["vpcId"] = [two]

    assert refers([one, two, log], "vpcId", 2, 1)
    assert not refers([one, two, log], "vpcId", 2, 0)


def test_a_component_stands_for_what_is_inside_it() -> None:
    network = resource(Example("awsx:ec2:Vpc", name="network"))
    inside = resource(Example(VPC, name="inside"), parent=network)
    other = resource(Example(VPC, name="other"))
    log = resource(Example(FLOW_LOG, {"vpcId": UNKNOWN}))
    log.property_dependencies["vpcId"] = [network]

    assert refers([network, inside, other, log], "vpcId", 3, 1)
    assert not refers([network, inside, other, log], "vpcId", 3, 2)


def test_a_reference_is_found_by_its_value() -> None:
    one = resource(Example(VPC, {"id": "vpc-1"}, "one"))
    two = resource(Example(VPC, {"id": "vpc-2"}, "two"))
    log = resource(Example(FLOW_LOG, {"vpcId": "vpc-2"}))

    assert refers([one, two, log], "vpcId", 2, 1)
    assert not refers([one, two, log], "vpcId", 2, 0)


def test_an_unknown_value_can_only_mean_the_one_there_is() -> None:
    one, two = resource(Example(VPC, name="one")), resource(Example(VPC, name="two"))
    log = resource(Example(FLOW_LOG, {"vpcId": UNKNOWN}))

    assert refers([one, log], "vpcId", 1, 0)
    with pytest.raises(NotKnownYetError, match="vpcId"):
        refers([one, two, log], "vpcId", 2, 0)


def stack_rule(name: str) -> StackRule:
    found = BY_NAME[name]
    assert isinstance(found, StackRule)
    return found


def test_each_vpc_needs_its_own_flow_log() -> None:
    stack = [
        Example(VPC, name="one"),
        Example(VPC, name="two"),
        Example(FLOW_LOG, {"vpcId": "${one.id}", "trafficType": "ALL"}, "flow"),
    ]

    for preview in (True, False):
        (violation,) = run(stack_rule("vpc-flow-logs"), stack, preview=preview).violations
        assert violation.startswith("two:")


def test_a_missing_endpoint_is_named() -> None:
    rule = stack_rule("required-endpoints")
    stack = [resource for resource in rule.good[0] if resource.name != "sagemaker-api"]

    (violation,) = run(rule, stack, preview=True).violations

    assert "no endpoint for sagemaker.api" in violation


def test_a_bucket_policy_that_is_not_known_yet_puts_the_rule_off() -> None:
    rule = stack_rule("data-buckets-vpc-only")
    bucket = Example("aws:s3/bucket:Bucket", {"bucket": "acme-data"}, "data")
    policy = Example(
        "aws:s3/bucketPolicy:BucketPolicy",
        {"bucket": "${data.bucket}", "policy": UNKNOWN},
        "policy",
    )

    outcome = run(rule, [bucket, policy], preview=True)

    assert outcome.violations == []
    assert outcome.put_off
