"""Rules about stacks: which resource belongs to which, with and without values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness import UNKNOWN, resource_args, run, urn
from mlops_policy.aws import document
from mlops_policy.model import Example, Stack, StackRule
from mlops_policy.network import SUBNET_LISTS, VPC_BLOCKS
from mlops_policy.registry import RULES
from mlops_policy.values import NotKnownYetError
from pulumi_policy import PolicyResource
from pulumi_policy.proxy import unknown_checking_proxy

BY_NAME = {rule.name: rule for rule in RULES}
VPC = "aws:ec2/vpc:Vpc"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
SUBNET = "aws:ec2/subnet:Subnet"


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


def test_a_bucket_of_batch_jobs_holds_data() -> None:
    bucket = Example("aws:s3/bucket:Bucket", {"bucket": "acme-prod-jobs-churn-1"}, "churn-jobs")
    rule = stack_rule("data-buckets-vpc-only")

    (violation,) = run(rule, [bucket]).violations
    assert violation.startswith("churn-jobs: it has no bucket policy")
    assert not run(rule, [bucket], config={"exempt": ["*-jobs"]}).violations


def placed(type_: str, path: str, subnet: str) -> Example:
    """A workload of a type that names a subnet at a path, where lists are ``*``."""
    value: Any = f"${{{subnet}.id}}"
    if not path.endswith("subnetId"):
        value = [value]
    for part in reversed(path.split(".")):
        value = {part.removesuffix("*"): [value] if part.endswith("*") else value}
    return Example(type_, value, "workload")


NESTED = [
    ("aws:sagemaker/domain:Domain", "subnetIds"),
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "subnetIds"),
    ("aws:sagemaker/notebookInstance:NotebookInstance", "subnetId"),
    ("aws:sagemaker/model:Model", "vpcConfig.subnets"),
    ("aws:sagemaker/trainingJob:TrainingJob", "vpcConfig.subnets"),
    (
        "aws:sagemaker/hyperParameterTuningJob:HyperParameterTuningJob",
        "trainingJobDefinition.vpcConfig.subnets",
    ),
    (
        "aws:sagemaker/hyperParameterTuningJob:HyperParameterTuningJob",
        "trainingJobDefinitions*.vpcConfig.subnets",
    ),
    (
        "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition",
        "networkConfig.vpcConfig.subnets",
    ),
    (
        "aws:sagemaker/monitoringSchedule:MonitoringSchedule",
        "monitoringScheduleConfig.monitoringJobDefinition.networkConfig.vpcConfig.subnets",
    ),
    ("aws:lambda/function:Function", "vpcConfig.subnetIds"),
    ("aws:codebuild/project:Project", "vpcConfig.subnets"),
]


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(("type_", "path"), NESTED)
def test_no_type_may_lie_in_a_public_subnet(type_: str, path: str, preview: bool) -> None:
    rule = stack_rule("ml-not-in-public-subnets")
    network = [part for part in rule.good[0] if part.name != "studio"]

    public = run(rule, [*network, placed(type_, path, "public")], preview=preview)
    private = run(rule, [*network, placed(type_, path, "private")], preview=preview)

    (violation,) = public.violations
    assert violation.startswith("workload: it lies in subnet public")
    assert (private.violations, private.put_off) == ([], None)


def test_every_type_that_lies_in_subnets_is_looked_at() -> None:
    subjects = set(stack_rule("ml-not-in-public-subnets").subjects)

    assert subjects == set(VPC_BLOCKS) | set(SUBNET_LISTS) == {type_ for type_, _ in NESTED}


def test_a_public_subnet_is_no_second_zone() -> None:
    rule = stack_rule("ml-not-in-public-subnets")
    zones = {"public": "eu-west-1a", "private": "eu-west-1b"}
    network = [
        Example(part.type, {**part.properties, "availabilityZone": zones[part.name]}, part.name)
        if part.type == SUBNET
        else part
        for part in rule.good[0]
        if part.name != "studio"
    ]
    second = Example(SUBNET, {"vpcId": "${vpc.id}", "availabilityZone": "eu-west-1a"}, "second")

    (violation,) = run(stack_rule("vpc-two-zones"), network, preview=True).violations
    assert "(eu-west-1b)" in violation
    assert not run(stack_rule("vpc-two-zones"), [*network, second], preview=True).violations


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


DATA = "arn:aws:s3:::acme-data"
OUTSIDE: dict[str, Any] = {"StringNotEquals": {"aws:sourceVpce": ["vpce-1"]}}
REPOSITORY = Path(__file__).parents[2]


def kept_inside(*statements: dict[str, Any], name: str = "acme-data") -> list[Example]:
    whole = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"],
        "Resource": f"{DATA}/*",
        "Condition": OUTSIDE,
    }
    policy = document(*({**whole, **statement} for statement in statements))
    return [
        Example("aws:s3/bucket:Bucket", {"bucket": name}, "data"),
        Example(
            "aws:s3/bucketPolicy:BucketPolicy",
            {"bucket": "${data.bucket}", "policy": policy},
            "policy",
        ),
    ]


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        {"Resource": "arn:aws:s3:::other/*"},
        {"Resource": f"{DATA}/inbox/*"},
        {"Resource": f"{DATA}/*/*"},
        {"Resource": f"{DATA}/??*"},
        {"Resource": DATA},
        {"Action": "s3:GetObject"},
        {"Action": ["s3:GetObject", "s3:PutObject"]},
        {"Action": ["s3:GetObject*", "s3:PutObjectTagging"]},
        {"Principal": {"AWS": "arn:aws:iam::111122223333:root"}},
        {"Condition": {}},
        {"Condition": {"StringNotLike": {"aws:sourceVpce": "*"}}},
        {"Condition": {"StringNotLike": {"aws:sourceVpce": ["vpce-1", "vpce-*"]}}},
        {"Condition": {"StringNotEquals": {"aws:sourceVpce": "${aws:sourceVpce}"}}},
        {"Condition": {"StringNotEquals": {"aws:sourceVpce": []}}},
        {"Condition": {"StringEquals": {"aws:sourceVpce": "vpce-1"}}},
        {"Condition": {"ForAnyValue:StringNotEquals": {"aws:sourceVpce": "vpce-1"}}},
        {"Condition": {"Null": {"aws:sourceVpce": "true"}}},
        {"Condition": {**OUTSIDE, "Null": {"aws:sourceVpce": "false"}}},
        {
            "Condition": {
                **OUTSIDE,
                "StringEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/x"},
            }
        },
        {
            "Condition": {
                **OUTSIDE,
                "ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/*"},
            }
        },
        {"Condition": {**OUTSIDE, "StringNotLike": {"aws:PrincipalTag/Principal": "*"}}},
        {"Condition": {**OUTSIDE, "StringEquals": {"aws:PrincipalTag/Principal": "x"}}},
        {"Condition": {**OUTSIDE, "Bool": {"aws:ViaAWSService": "true"}}},
        {"Condition": {**OUTSIDE, "Bool": {"aws:SecureTransport": "false"}}},
        {"Condition": {**OUTSIDE, "IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},
    ],
    ids=str,
)
def test_a_denial_that_leaves_a_way_in_is_refused(changed: dict[str, Any], preview: bool) -> None:
    (violation,) = run(
        stack_rule("data-buckets-vpc-only"), kept_inside(changed), preview=preview
    ).violations

    assert "outside the VPC" in violation


@pytest.mark.parametrize(
    "statements",
    [
        [{}],
        [{"Action": "s3:*", "Resource": "*"}],
        [{"Action": "s3:GetObject*"}, {"Action": "s3:Put*"}],
        [{"Resource": "arn:aws-cn:s3:::acme-data*"}],
        [{"Condition": {"StringNotEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}}],
        [
            {
                "Condition": {
                    "StringNotEquals": {
                        "aws:sourceVpce": ["vpce-1", "vpce-2"],
                        "aws:PrincipalTag/Principal": ["acme-jobs"],
                    },
                    "ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/deploy-*"},
                    "Bool": {"aws:ViaAWSService": "false", "aws:PrincipalIsAWSService": "false"},
                }
            }
        ],
    ],
    ids=str,
)
def test_a_denial_with_exceptions_by_name_is_accepted(statements: list[dict[str, Any]]) -> None:
    assert run(stack_rule("data-buckets-vpc-only"), kept_inside(*statements)).violations == []


@pytest.mark.parametrize(
    ("left_out", "inboxes", "accepted"),
    [
        ([f"{DATA}/inbox/*"], ["*-data/inbox/*"], True),
        ([f"{DATA}/inbox/*", f"{DATA}/mail/*"], ["*-data/inbox/*"], False),
        ([f"{DATA}/inbox/*"], [], False),
        ([f"{DATA}/inbox/*"], ["other-*/inbox/*"], False),
        ([f"{DATA}/*"], ["*-data/inbox/*"], False),
    ],
)
def test_an_inbox_takes_objects_from_anywhere_and_gives_none(
    left_out: list[str], inboxes: list[str], *, accepted: bool
) -> None:
    def stack(*reads: str) -> list[Example]:
        writes = {"Action": "s3:PutObject", "Resource": [], "NotResource": left_out}
        return kept_inside({"Action": reads}, writes)

    config, rule = {"inboxes": inboxes}, stack_rule("data-buckets-vpc-only")
    all_reads = ("s3:GetObject", "s3:GetObjectVersion")
    assert (run(rule, stack(*all_reads), config=config).violations == []) is accepted
    assert run(rule, stack("s3:GetObject"), config=config).violations
    as_reads = kept_inside({"Action": "s3:*", "Resource": [], "NotResource": left_out})
    assert run(rule, as_reads, config=config).violations


@pytest.mark.parametrize("golden", ["data-access", "registry-dev", "registry-governance"])
def test_the_platforms_own_buckets_are_kept_inside(golden: str) -> None:
    """By the policies that the components render; a bucket's name stands in them."""
    documents = json.loads((REPOSITORY / f"tests/unit/golden/{golden}.json").read_text())
    found = [text for title, text in documents.items() if title.startswith("BucketPolicy")]
    assert found
    for policy in found:
        name = policy["Statement"][0]["Resource"][0].rpartition(":")[2]
        stack = kept_inside(*policy["Statement"], name=name)
        tls = BY_NAME["tls-only"]

        assert name.endswith(("-data", "-models"))
        assert run(stack_rule("data-buckets-vpc-only"), stack).violations == []
        assert run(tls, stack[1]).violations == []
