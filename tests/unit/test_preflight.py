"""The preflight of an existing VPC: each unfit thing gives its own reason, a fit one none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.preflight import Endpoint, NetworkFacts, SecurityGroup, Subnet, problems
from components.settings import ExistingNetwork

NETWORK = ExistingNetwork.model_validate(
    {
        "mode": "existing",
        "vpc_id": "vpc-0123456789abcdef0",
        "private_subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "security_group_ids": ["sg-0123456789abcdef0"],
        "endpoint_ids": {"s3": "vpce-0123456789abcdef0", "kms": "vpce-0123456789abcdef1"},
    }
)
VPC = NETWORK.vpc_id
S3 = Endpoint(
    "vpce-0123456789abcdef0", VPC, "com.amazonaws.eu-west-1.s3", "available", False, False
)
KMS = Endpoint(
    "vpce-0123456789abcdef1", VPC, "com.amazonaws.eu-west-1.kms", "available", True, True
)
FIT = NetworkFacts(
    vpc_id=VPC,
    dns_support=True,
    dns_hostnames=True,
    subnets=(
        Subnet("subnet-0123456789abcdef0", VPC, "eu-west-1a", 250),
        Subnet("subnet-0123456789abcdef1", VPC, "eu-west-1b", 250),
    ),
    security_groups=(SecurityGroup("sg-0123456789abcdef0", VPC),),
    endpoints={"s3": S3, "kms": KMS},
)


def test_a_fit_network_has_no_problem() -> None:
    assert problems(NETWORK, FIT, ["s3", "kms"]) == []


ONE_ZONE = tuple(replace(subnet, zone="eu-west-1a") for subnet in FIT.subnets)
FULL = (replace(FIT.subnets[0], free_addresses=3), FIT.subnets[1])
ELSEWHERE = (replace(FIT.subnets[0], vpc_id="vpc-other"), FIT.subnets[1])


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(FIT, dns_support=False), "enableDnsSupport"),
        (replace(FIT, dns_hostnames=False), "enableDnsHostnames"),
        (replace(FIT, subnets=ONE_ZONE), "two zones"),
        (replace(FIT, subnets=FULL), "3 free addresses"),
        (replace(FIT, subnets=ELSEWHERE), "is in vpc-other"),
        (replace(FIT, security_groups=(SecurityGroup("sg-1", "vpc-other"),)), "sg-1 is in"),
        (replace(FIT, endpoints={"s3": S3, "kms": replace(KMS, state="pending")}), "pending"),
        (replace(FIT, endpoints={"s3": S3, "kms": replace(KMS, private_dns=False)}), "private DNS"),
        (replace(FIT, endpoints={"s3": replace(S3, vpc_id="vpc-other"), "kms": KMS}), "vpc-other"),
        (replace(FIT, endpoints={"s3": S3, "kms": replace(KMS, service_name="x.sts")}), "not kms"),
        (replace(FIT, unread=("subnet-9 could not be read: gone",)), "subnet-9"),
    ],
)
def test_each_unfit_thing_gives_its_own_reason(facts: NetworkFacts, reason: str) -> None:
    [found] = problems(NETWORK, facts, ["s3", "kms"])
    assert reason in found


def test_a_missing_endpoint_is_a_reason_unless_the_platform_makes_it() -> None:
    [found] = problems(NETWORK, FIT, ["s3", "kms", "sts"])
    assert "no endpoint for sts" in found
    creating = NETWORK.model_copy(update={"create_endpoints": True})
    assert problems(creating, FIT, ["s3", "kms", "sts"]) == []


def test_all_reasons_come_at_once() -> None:
    facts = replace(FIT, dns_support=False, dns_hostnames=False, subnets=ONE_ZONE)
    assert len(problems(NETWORK, facts, ["s3", "kms", "sts"])) == 4
