"""What security groups let through: pure questions about rules as they stand.

Asked by the preflight of an existing VPC. Network ACLs are not looked at: those that AWS makes
admit everything, and others belong to the company's own network team.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

HTTPS = 443
_Block = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOT_PUBLIC: tuple[_Block, ...] = tuple(
    ipaddress.ip_network(block)
    for block in (
        "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
"""Source: IANA IPv4 and IPv6 special-purpose address registries (RFC 1918, 6598, 3927, 4193)."""

_BROADEST = {4: 8, 6: 16}
"""IP version -> shortest prefix that a company's own block may have; a broader one of public
addresses lets in strangers, also when the world is written as its two halves."""


@dataclass(frozen=True)
class PrefixList:
    """A managed prefix list as it stands."""

    id: str
    name: str
    blocks: tuple[str, ...]
    of_aws: bool = False
    """Whether AWS keeps it; else the company does."""


@dataclass(frozen=True)
class Rule:
    """A rule of a security group as it stands; it names one peer."""

    id: str
    group_id: str
    egress: bool
    protocol: str = "-1"
    """``tcp``, another one, or ``-1`` for all of them on all ports."""
    from_port: int = -1
    to_port: int = -1
    block: str = ""
    """IPv4 or IPv6 addresses."""
    prefix_list_id: str = ""
    peer_group_id: str = ""

    def admits_https(self) -> bool:
        """Whether HTTPS is among its protocols and ports."""
        return self.protocol == "-1" or (
            self.protocol in ("tcp", "6") and self.from_port <= HTTPS <= self.to_port
        )


def open_to(rule: Rule, lists: Mapping[str, PrefixList]) -> str:
    """The public addresses that an ingress rule lets in; empty when it lets in none.

    Args:
        rule: the rule.
        lists: prefix list id -> prefix list.
    """
    if rule.egress:
        return ""
    if rule.block:
        return rule.block if _open(ipaddress.ip_network(rule.block, strict=False)) else ""
    named = lists.get(rule.prefix_list_id)
    if named is None:
        return ""
    blocks = _networks(named.blocks)
    # AWS's lists hold addresses that all its customers share, such as those of CloudFront.
    opened = any(_public(block) if named.of_aws else _open(block) for block in blocks)
    return f"prefix list {named.id} ({named.name})" if opened else ""


def lets_https(
    rules: Iterable[Rule],
    groups: Collection[str],
    lists: Mapping[str, PrefixList],
    *,
    egress: bool,
    peers: Collection[str],
    blocks: Iterable[str],
) -> bool:
    """Whether some of the groups let HTTPS through to, or from, a peer.

    What carries several groups may do what any of them lets it do.

    Args:
        rules: all rules that were read.
        groups: the groups on this side.
        lists: prefix list id -> prefix list.
        egress: whether this side begins the connection.
        peers: the peer's security groups, by any of which it is let through.
        blocks: the peer's addresses, all of which have to be let through.
    """
    own = [r for r in rules if r.group_id in groups and r.egress is egress and r.admits_https()]
    if any(rule.peer_group_id in peers for rule in own if rule.peer_group_id):
        return True
    admitted = [rule.block for rule in own if rule.block]
    for rule in own:
        if rule.prefix_list_id in lists:
            admitted += lists[rule.prefix_list_id].blocks
    covers = _networks(admitted)
    wanted = _networks(blocks)
    joined = [
        *ipaddress.collapse_addresses(b for b in covers if isinstance(b, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(b for b in covers if isinstance(b, ipaddress.IPv6Network)),
    ]
    return bool(wanted) and all(any(_within(block, one) for one in joined) for block in wanted)


def _networks(blocks: Iterable[str]) -> list[_Block]:
    return [ipaddress.ip_network(block, strict=False) for block in blocks]


def _within(block: _Block, other: _Block) -> bool:
    if isinstance(block, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and block.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and block.subnet_of(other)


def _public(block: _Block) -> bool:
    return not any(_within(block, private) for private in _NOT_PUBLIC)


def _open(block: _Block) -> bool:
    return _public(block) and block.prefixlen < _BROADEST[block.version]
