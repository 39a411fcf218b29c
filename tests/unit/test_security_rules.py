"""Rules of security groups against a judge that asks about each address on its own."""

from __future__ import annotations

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st

from components.security_rules import PrefixList, Rule, lets_https, open_to

# Few addresses, so that all of them can be asked about: 10.0.0.0/27 and what is in it.
BLOCKS = st.builds(
    lambda first, length: str(ipaddress.ip_network((0x0A000000 + first, length), strict=False)),
    st.integers(0, 31),
    st.integers(27, 32),
)
LISTS = {"pl-1": PrefixList("pl-1", "offices", ("10.0.0.0/30", "10.0.0.16/29"))}


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    peer = draw(
        st.one_of(
            st.builds(lambda block: {"block": block}, BLOCKS),
            st.sampled_from([{"prefix_list_id": "pl-1"}, {"prefix_list_id": "pl-unknown"}]),
            st.sampled_from([{"peer_group_id": "sg-peer"}, {"peer_group_id": "sg-other"}]),
        )
    )
    protocol, first, last = draw(
        st.sampled_from(
            [
                ("-1", -1, -1),
                ("tcp", 443, 443),
                ("tcp", 0, 65535),
                ("tcp", 80, 80),
                ("udp", 0, 9999),
            ]
        )
    )
    group, egress = draw(st.sampled_from(["sg-1", "sg-2", "sg-3"])), draw(st.booleans())
    return Rule("sgr-1", group, egress, protocol, first, last, **peer)


@settings(max_examples=200, deadline=None)
@given(st.lists(rules(), max_size=5), st.booleans(), st.lists(BLOCKS, min_size=1, max_size=3))
def test_https_is_let_through_as_each_address_would_be(
    held: list[Rule], egress: bool, blocks: list[str]
) -> None:
    own = [
        rule
        for rule in held
        if rule.group_id in ("sg-1", "sg-2")
        and rule.egress == egress
        and (rule.protocol == "-1" or (rule.protocol == "tcp" and rule.to_port != 80))
    ]

    def admits(address: ipaddress.IPv4Address) -> bool:
        named = [block for rule in own for block in (rule.block, *_listed(rule)) if block]
        return any(address in ipaddress.IPv4Network(block) for block in named)

    expected = any(rule.peer_group_id == "sg-peer" for rule in own) or all(
        admits(address) for block in blocks for address in ipaddress.IPv4Network(block)
    )
    assert (
        lets_https(held, ["sg-1", "sg-2"], LISTS, egress=egress, peers=["sg-peer"], blocks=blocks)
        == expected
    )


def _listed(rule: Rule) -> tuple[str, ...]:
    return LISTS[rule.prefix_list_id].blocks if rule.prefix_list_id in LISTS else ()


@settings(max_examples=100, deadline=None)
@given(st.ip_addresses(v=4), st.integers(0, 7))
def test_no_block_this_broad_is_a_companys(address: ipaddress.IPv4Address, length: int) -> None:
    block = str(ipaddress.ip_network((address, length), strict=False))
    assert open_to(Rule("sgr-1", "sg-1", egress=False, block=block), {}) == block
