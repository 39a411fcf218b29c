"""The preflight of an existing VPC: each unfit thing gives its own reason, a fit one none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.network_facts import Endpoint, NetworkFacts, RouteTable, SecurityGroup, Subnet
from components.preflight import problems
from components.security_rules import PrefixList, Rule
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
CREATING = NETWORK.model_copy(
    update={
        "create_endpoints": True,
        "endpoint_ids": {},
        "route_table_ids": ("rtb-0123456789abcdef0",),
    }
)
VPC = NETWORK.vpc_id
WORK = NETWORK.security_group_ids[0]
DOORS = "sg-0123456789abcdef1"
"""Group of the endpoints."""
TABLE = RouteTable("rtb-0123456789abcdef0")
S3 = Endpoint(
    "vpce-0123456789abcdef0", VPC, "com.amazonaws.eu-west-1.s3", "available", False, False,
    route_table_ids=(TABLE.id,),
)  # fmt: skip
KMS = Endpoint(
    "vpce-0123456789abcdef1", VPC, "com.amazonaws.eu-west-1.kms", "available", True, True,
    (DOORS,), ("10.0.0.0/24", "10.0.1.0/24"),
)  # fmt: skip
S3_LIST = PrefixList("pl-s3", "com.amazonaws.eu-west-1.s3", ("52.218.0.0/17",), of_aws=True)
IN = Rule("sgr-in", DOORS, egress=False, protocol="tcp", from_port=443, to_port=443,
          peer_group_id=WORK)  # fmt: skip
OUT = Rule("sgr-out", WORK, egress=True, protocol="tcp", from_port=443, to_port=443,
           peer_group_id=DOORS)  # fmt: skip
TO_S3 = replace(OUT, id="sgr-s3", peer_group_id="", prefix_list_id=S3_LIST.id)
RULES = (IN, OUT, TO_S3)
FIT = NetworkFacts(
    vpc_id=VPC,
    dns_support=True,
    dns_hostnames=True,
    subnets=(
        Subnet("subnet-0123456789abcdef0", VPC, "eu-west-1a", 250, "10.0.0.0/24", TABLE),
        Subnet("subnet-0123456789abcdef1", VPC, "eu-west-1b", 250, "10.0.1.0/24", TABLE),
    ),
    security_groups=(SecurityGroup(WORK, VPC),),
    endpoints={"s3": S3, "kms": KMS},
    rules=RULES,
    prefix_lists={S3_LIST.id: S3_LIST},
    gateway_lists={"s3": S3_LIST.id},
)


def test_a_fit_network_has_no_problem() -> None:
    assert problems(NETWORK, FIT, ["s3", "kms"]) == []


ONE_ZONE = tuple(replace(subnet, zone="eu-west-1a") for subnet in FIT.subnets)
FULL = (replace(FIT.subnets[0], free_addresses=3), FIT.subnets[1])
ELSEWHERE = (replace(FIT.subnets[0], vpc_id="vpc-other"), FIT.subnets[1])
PUBLIC = (
    replace(FIT.subnets[0], route_table=RouteTable("rtb-public", ("igw-1",))),
    FIT.subnets[1],
)
ASSOCIATED = replace(S3, route_table_ids=(TABLE.id, "rtb-public"))


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
        (
            replace(FIT, subnets=PUBLIC, endpoints={"s3": ASSOCIATED, "kms": KMS}),
            "rtb-public, which routes subnet-0123456789abcdef0, leads to igw-1",
        ),
        (
            replace(FIT, endpoints={"s3": replace(S3, route_table_ids=("rtb-9",)), "kms": KMS}),
            "vpce-0123456789abcdef0 (s3) is not associated with rtb-0123456789abcdef0, which "
            "routes subnet-0123456789abcdef0, subnet-0123456789abcdef1",
        ),
        (
            replace(FIT, rules=(OUT, TO_S3)),
            f"{DOORS} of the endpoints for kms lets in no HTTPS from {WORK}",
        ),
        (
            replace(FIT, rules=(IN, TO_S3)),
            f"{WORK} (security_group_ids) lets out no HTTPS to the endpoints for kms: add an "
            f"egress rule for TCP 443 to {DOORS}",
        ),
        (
            replace(FIT, rules=(IN, OUT)),
            "lets out no HTTPS to the endpoints for s3: add an egress rule for TCP 443 to "
            "prefix list pl-s3",
        ),
    ],
)
def test_each_unfit_thing_gives_its_own_reason(facts: NetworkFacts, reason: str) -> None:
    [found] = problems(NETWORK, facts, ["s3", "kms"])
    assert reason in found


def test_a_missing_endpoint_is_a_reason_unless_the_platform_makes_it() -> None:
    [found] = problems(NETWORK, FIT, ["s3", "kms", "sts"])
    assert "no endpoint for sts" in found
    creating = NETWORK.model_copy(update={"create_endpoints": True})
    facts = replace(FIT, rules=(*RULES, replace(OUT, id="sgr-a", block="10.0.0.0/23")))
    assert problems(creating, facts, ["s3", "kms", "sts"]) == []


def test_endpoints_to_be_made_take_addresses_and_those_that_are_there_do_not() -> None:
    creating = NETWORK.model_copy(update={"create_endpoints": True})
    rules = (*RULES, replace(OUT, id="sgr-a", block="10.0.0.0/23"))
    few = tuple(replace(subnet, free_addresses=33) for subnet in FIT.subnets)
    facts = replace(FIT, rules=rules, subnets=few)
    assert problems(creating, facts, ["s3", "kms", "sts"]) == []
    found = problems(creating, facts, ["s3", "kms", "sts", "logs"])
    assert [problem.partition(" ")[0] for problem in found] == [s.id for s in few]
    assert "34 are needed, 2 of them for endpoints to be made" in found[0]
    there = {**facts.endpoints, "sts": replace(KMS, id="vpce-sts", service_name="x.sts")}
    facts = replace(facts, endpoints=there)
    assert not any("addresses" in problem for problem in problems(creating, facts, ["kms", "sts"]))


def test_all_reasons_come_at_once() -> None:
    facts = replace(FIT, dns_support=False, dns_hostnames=False, subnets=ONE_ZONE, rules=())
    assert len(problems(NETWORK, facts, ["s3", "kms", "sts"])) == 7


CLOUDFRONT = PrefixList(
    "pl-cf", "com.amazonaws.global.cloudfront.origin-facing", ("13.124.199.0/24",), of_aws=True
)
WORLD = PrefixList("pl-world", "everybody", ("10.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1"))
OFFICES = PrefixList("pl-offices", "offices", ("203.0.113.0/24", "10.9.0.0/16"))
LATTICE = PrefixList(
    "pl-lattice", "com.amazonaws.eu-west-1.vpc-lattice", ("169.254.171.0/24",), of_aws=True
)


@pytest.mark.parametrize(
    ("source", "admitted"),
    [
        ({"block": "0.0.0.0/0"}, "0.0.0.0/0"),
        ({"block": "::/0"}, "::/0"),
        ({"block": "128.0.0.0/1"}, "128.0.0.0/1"),
        ({"block": "2000::/3"}, "2000::/3"),
        ({"block": "10.0.0.0/8"}, ""),
        ({"block": "203.0.113.0/24"}, ""),
        ({"block": "fc00::/7"}, ""),
        ({"prefix_list_id": "pl-cf"}, "prefix list pl-cf"),
        ({"prefix_list_id": "pl-world"}, "prefix list pl-world"),
        ({"prefix_list_id": "pl-offices"}, ""),
        ({"prefix_list_id": "pl-lattice"}, ""),
        ({"peer_group_id": WORK}, ""),
    ],
)
def test_workloads_that_the_world_reaches_are_refused(
    source: dict[str, str], admitted: str
) -> None:
    lists = {each.id: each for each in (S3_LIST, CLOUDFRONT, WORLD, OFFICES, LATTICE)}
    rule = Rule("sgr-9", WORK, egress=False, protocol="udp", from_port=53, to_port=53, **source)
    facts = replace(FIT, rules=(*RULES, rule), prefix_lists=lists)
    found = problems(NETWORK, facts, ["s3", "kms"])
    if not admitted:
        assert found == []
        return
    [reason] = found
    assert reason.startswith(f"{WORK} (security_group_ids) lets in {admitted}")
    assert "rule sgr-9" in reason
    # What leaves, and what reaches other groups, is not the question.
    for harmless in (replace(rule, egress=True), replace(rule, group_id=DOORS)):
        facts = replace(FIT, rules=(*RULES, harmless), prefix_lists=lists)
        assert problems(NETWORK, facts, ["s3", "kms"]) == []


ANY = replace(OUT, protocol="-1", from_port=-1, to_port=-1, peer_group_id="")


@pytest.mark.parametrize(
    ("rules", "reached"),
    [
        ((IN, replace(ANY, block="0.0.0.0/0")), "kms and s3"),
        ((IN, replace(OUT, peer_group_id="", block="10.0.0.0/24"), TO_S3), "s3"),
        (
            (
                IN, TO_S3, replace(OUT, peer_group_id="", block="10.0.0.0/24"),
                replace(OUT, id="sgr-2", peer_group_id="", block="10.0.1.0/24"),
            ),
            "kms and s3",
        ),
        ((IN, TO_S3, replace(OUT, from_port=80, to_port=80)), "s3"),
        ((IN, TO_S3, replace(OUT, protocol="udp")), "s3"),
        ((IN, TO_S3, replace(OUT, from_port=0, to_port=65535)), "kms and s3"),
        ((replace(IN, peer_group_id="", block="10.0.0.0/16"), OUT, TO_S3), "kms and s3"),
        ((replace(IN, peer_group_id="", block="10.0.0.0/24"), OUT, TO_S3), "s3"),
        ((IN, OUT, replace(ANY, id="sgr-2", block="52.218.0.0/16")), "kms and s3"),
    ],
)  # fmt: skip
def test_https_may_be_let_through_by_group_addresses_or_prefix_list(
    rules: tuple[Rule, ...], reached: str
) -> None:
    found = problems(NETWORK, replace(FIT, rules=rules), ["s3", "kms"])
    assert len(found) == (0 if reached == "kms and s3" else 1), found
    assert all("endpoints for kms" in reason for reason in found)


def test_of_several_groups_one_lets_through_what_it_does() -> None:
    second = NETWORK.model_copy(update={"security_group_ids": ("sg-0123456789abcdef9", WORK)})
    assert problems(second, FIT, ["s3", "kms"]) == []


def test_rules_that_could_not_be_read_give_no_further_reason() -> None:
    facts = replace(FIT, rules=None, unread=("rules of sg-1 could not be read: denied",))
    assert problems(NETWORK, facts, ["s3", "kms"]) == list(facts.unread)


FIRST = replace(FIT, endpoints={}, rules=(replace(ANY, block="0.0.0.0/0"),))
"""Before the platform has made its endpoints."""


def test_endpoints_that_the_platform_makes_are_reached_from_every_private_subnet() -> None:
    assert problems(CREATING, FIRST, ["s3", "kms"]) == []
    own = replace(FIT.subnets[1], route_table=RouteTable("rtb-9"))
    [found] = problems(CREATING, replace(FIRST, subnets=(FIT.subnets[0], own)), ["s3", "kms"])
    assert found.startswith(f"route_table_ids lacks rtb-9, which routes {own.id}: add it")
    both = problems(CREATING, replace(FIRST, rules=()), ["s3", "kms"])
    assert len(both) == 2
    assert any("endpoints for kms" in one and "to 10.0.0.0/24, 10.0.1.0/24" in one for one in both)


def test_endpoints_that_the_platform_has_made_are_no_obstacle_to_changing_the_settings() -> None:
    """A route table that is added to the settings is associated by the update to come."""
    doors = replace(KMS, security_group_ids=("sg-8",))
    facts = replace(FIRST, endpoints={"s3": replace(S3, route_table_ids=()), "kms": doors})
    assert problems(CREATING, facts, ["s3", "kms"]) == []
