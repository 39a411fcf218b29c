"""The stand-in for ``awsx:ec2:Vpc``: where subnets go, and what the component registers."""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress
from collections import Counter
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.stack import run_pulumi_func

from localcloud.awsx.layout import LayoutError, SubnetSpec, layout
from localcloud.awsx.vpc import Vpc

TIERS = st.lists(st.sampled_from(["Private", "Public", "Isolated"]), min_size=1, unique=True)


@given(
    cidr=st.integers(16, 24).map(lambda mask: f"10.0.0.0/{mask}"),
    zones=st.integers(1, 4),
    tiers=TIERS,
    mask=st.none() | st.integers(20, 28),
)
def test_subnets_are_disjoint_within_the_block_and_one_a_tier_and_zone(
    cidr: str, zones: int, tiers: list[str], mask: int | None
) -> None:
    specs = [SubnetSpec(tier, mask=mask if tier == "Public" else None) for tier in tiers]
    try:
        placed = layout("vpc", cidr, zones, specs)
    except LayoutError:
        return
    blocks = [ipaddress.IPv4Network(subnet.cidr) for subnet in placed]
    assert all(block.subnet_of(ipaddress.IPv4Network(cidr)) for block in blocks)
    assert sum(block.num_addresses for block in blocks) == len(
        {address for block in blocks for address in range(int(block[0]), int(block[-1]) + 1)}
    )
    places = Counter((subnet.zone, subnet.spec.type) for subnet in placed)
    assert places == Counter((zone, tier) for zone in range(zones) for tier in tiers)
    if mask and "Public" in tiers:
        assert {b.prefixlen for b, s in zip(blocks, placed, strict=True)
                if s.spec.type == "Public"} == {mask}  # fmt: skip


def test_a_block_that_is_too_small_is_refused() -> None:
    with pytest.raises(LayoutError, match=r"10\.0\.0\.0/27 is too small"):
        layout("vpc", "10.0.0.0/27", 3, [SubnetSpec("Private"), SubnetSpec("Public")])
    with pytest.raises(LayoutError, match="Public subnet /17 of zone 1 does not fit"):
        layout("vpc", "10.0.0.0/16", 2, [SubnetSpec("Private"), SubnetSpec("Public", mask=17)])


class Mocks(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.made: list[pulumi.runtime.MockResourceArgs] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.made.append(args)
        return f"{args.typ.rpartition(':')[2]}/{args.name}", args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        assert args.token == "aws:index/getAvailabilityZones:getAvailabilityZones"
        return {"names": ["a", "b", "c"]}


def construct(inputs: dict[str, Any]) -> list[pulumi.runtime.MockResourceArgs]:
    mocks = Mocks()

    async def drive() -> None:
        pulumi.runtime.set_mocks(mocks)

        def program() -> None:
            Vpc("main", inputs, pulumi.ResourceOptions())

        await run_pulumi_func(program)

    contextvars.copy_context().run(asyncio.run, drive())
    return mocks.made


SPECS = [{"type": "Isolated", "name": "isolated"}, {"type": "Private"}, {"type": "Public"}]
AUTO = {"subnetStrategy": "Auto"}


def targets(made: list[pulumi.runtime.MockResourceArgs]) -> dict[str, str]:
    return {
        args.name: args.inputs.get("natGatewayId") or args.inputs["gatewayId"]
        for args in made
        if args.typ == "aws:ec2/route:Route"
    }


@pytest.mark.parametrize(("strategy", "gateways"), [("OnePerAz", 2), ("Single", 1), ("None", 0)])
def test_nat_gateways_and_routes(strategy: str, gateways: int) -> None:
    made = construct(
        {
            "cidrBlock": "10.0.0.0/16",
            "numberOfAvailabilityZones": 2,
            "subnetSpecs": SPECS,
            **AUTO,
            "natGateways": {"strategy": strategy},
        }
    )
    counted = Counter(args.typ for args in made)
    assert counted["aws:ec2/natGateway:NatGateway"] == gateways
    assert counted["aws:ec2/eip:Eip"] == gateways
    assert counted["aws:ec2/subnet:Subnet"] == 6
    routed = targets(made)
    assert routed["main-public-1"] == routed["main-public-2"] == "InternetGateway/main"
    expected = {2: ["1", "2"], 1: ["1", "1"], 0: []}[gateways]
    private = [routed[name] for name in sorted(routed) if "private" in name]
    assert private == [f"NatGateway/main-{number}" for number in expected]
    assert not [name for name in routed if "isolated" in name]


def test_isolated_subnets_alone_have_no_way_out() -> None:
    made = construct({"subnetSpecs": SPECS[:1], "cidrBlock": "10.0.0.0/16", **AUTO})
    counted = Counter(args.typ for args in made)
    assert counted["aws:ec2/subnet:Subnet"] == 3
    assert not {t for t in counted if t.endswith(("InternetGateway", "NatGateway", "Route"))}


def test_subnets_lie_in_the_order_given_and_each_tier_has_its_own_tags() -> None:
    tiers = [
        {"type": "Isolated", "name": "data", "cidrMask": 24, "tags": {"tier": "data", "Name": "x"}},
        {"type": "Isolated", "name": "work", "tags": {"tier": "work"}},
    ]
    given = {"subnetSpecs": tiers, "numberOfAvailabilityZones": 1, "tags": {"owner": "ml"}, **AUTO}
    made = construct(given)
    subnets = {a.name: a.inputs for a in made if a.typ == "aws:ec2/subnet:Subnet"}
    assert {name: subnet["cidrBlock"] for name, subnet in subnets.items()} == {
        "main-data-1": "10.0.0.0/24",
        "main-work-1": "10.0.128.0/17",
    }
    for tier in ("data", "work"):
        name = f"main-{tier}-1"
        place = {"Name": name, "SubnetType": "Isolated", "owner": "ml"}
        assert subnets[name]["tags"] == {**place, "tier": tier}
        [table] = [a for a in made if a.typ == "aws:ec2/routeTable:RouteTable" and a.name == name]
        assert table.inputs["tags"] == place


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"ipv4IpamPoolId": "p"}, "does not serve ipv4IpamPoolId.*localcloud/awsx/vpc.py"),
        (
            {"subnetSpecs": [{"type": "Private", "cidrMsk": 27}]},
            r"does not serve subnetSpecs\[0\]\.cidrMsk, but cidrMask",
        ),
        (
            {"subnetSpecs": [SPECS[0], {"type": "Private", "size": 64}]},
            r"does not serve subnetSpecs\[1\]\.size",
        ),
        ({"subnetSpecs": [{"type": "Unused"}]}, r"subnetSpecs\[0\]\.type is one of Private"),
        ({"subnetSpecs": []}, "subnetSpecs is needed"),
        (
            {"natGateways": {"strategy": "None", "elasticIpAllocationIds": ["eipalloc-1"]}},
            r"does not serve natGateways\.elasticIpAllocationIds",
        ),
        ({"subnetStrategy": "Exact"}, "subnetStrategy is to be Auto"),
        ({"subnetStrategy": None}, "subnetStrategy is to be Auto"),
        (
            {"availabilityZoneNames": ["a"], "numberOfAvailabilityZones": 2},
            "only one of availabilityZoneNames and numberOfAvailabilityZones",
        ),
        ({"numberOfAvailabilityZones": 4}, "4 zones are asked for, the region has 3"),
        ({"natGateways": {"strategy": "Two"}}, "natGateways.strategy is one of"),
        (
            {"subnetSpecs": SPECS[:1], "natGateways": {"strategy": "Single"}},
            "NAT gateways need public subnets",
        ),
    ],
)
def test_what_it_cannot_do_is_refused(inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(Exception, match=told):
        construct({"subnetSpecs": SPECS, **AUTO, **inputs})
