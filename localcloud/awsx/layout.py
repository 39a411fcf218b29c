"""How a VPC's address block is shared out between zones and subnets.

The block is divided evenly between the zones, and each zone's part between its subnets in the order
in which they are given: each as large as its mask says, or an even share of the zone.
Source: the documentation of ``awsx.ec2.Vpc``, subnet strategy Auto.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TYPES = ("Private", "Public", "Isolated")


class LayoutError(ValueError):
    """The subnets do not fit into the block; the message says which."""


@dataclass(frozen=True)
class SubnetSpec:
    """A tier of subnets, one in each zone.

    Attributes:
        type: ``Private``, ``Public`` or ``Isolated``.
        name: The tier's part of the subnets' names.
        mask: Prefix length of each subnet; None takes an even share.
        tags: Tags of its subnets, beside the VPC's.
    """

    type: str
    name: str = ""
    mask: int | None = None
    tags: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class PlacedSubnet:
    """A subnet with its place.

    Attributes:
        spec: Its tier.
        zone: Number of its zone, from 0.
        cidr: Its block.
        name: ``<vpc>-<tier>-<number>``.
    """

    spec: SubnetSpec
    zone: int
    cidr: str
    name: str


def layout(vpc: str, cidr: str, zones: int, specs: Sequence[SubnetSpec]) -> list[PlacedSubnet]:
    """The subnets of a VPC, zone by zone.

    Raises:
        LayoutError: they do not fit.
    """
    block = ipaddress.IPv4Network(cidr)
    zone_mask = block.prefixlen + math.ceil(math.log2(zones))
    share = zone_mask + math.ceil(math.log2(len(specs)))
    if share > 28:
        raise LayoutError(f"{cidr} is too small for {len(specs)} subnets in {zones} zones")
    placed: list[PlacedSubnet] = []
    for zone, part in zip(range(zones), block.subnets(new_prefix=zone_mask), strict=False):
        next_address = int(part.network_address)
        for spec in specs:
            mask = spec.mask or share
            size = 2 ** (32 - mask)
            start = -(-next_address // size) * size
            subnet = ipaddress.IPv4Network((start, mask))
            if not subnet.subnet_of(part):
                raise LayoutError(
                    f"the {spec.type} subnet /{mask} of zone {zone + 1} does not fit into {part}"
                )
            next_address = start + size
            tier = spec.name or spec.type.lower()
            placed.append(PlacedSubnet(spec, zone, str(subnet), f"{vpc}-{tier}-{zone + 1}"))
    return placed
