"""An existing VPC as it stands: what the preflight reads of it, through the stack's own provider.

Nothing is judged here, see :mod:`components.preflight`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from components.endpoint_services import GATEWAYS
from components.network import service_name
from components.security_rules import PrefixList, Rule
from components.settings import ExistingNetwork


@dataclass(frozen=True)
class RouteTable:
    """A route table as it stands."""

    id: str
    internet_gateways: tuple[str, ...] = ()
    """Those that its routes lead to."""


@dataclass(frozen=True)
class Subnet:
    """A subnet as it stands."""

    id: str
    vpc_id: str
    zone: str
    free_addresses: int
    block: str
    """Its IPv4 addresses."""
    route_table: RouteTable | None
    """Its own or, without one, the VPC's main one; None when that could not be read."""


@dataclass(frozen=True)
class SecurityGroup:
    """A security group as it stands."""

    id: str
    vpc_id: str


@dataclass(frozen=True)
class Endpoint:
    """A VPC endpoint as it stands."""

    id: str
    vpc_id: str
    service_name: str
    state: str
    interface: bool
    private_dns: bool
    security_group_ids: tuple[str, ...] = ()
    """Of an interface."""
    blocks: tuple[str, ...] = ()
    """Addresses of an interface's subnets."""
    route_table_ids: tuple[str, ...] = ()
    """By which a gateway is reached."""


@dataclass(frozen=True)
class NetworkFacts:
    """What was read of an existing network."""

    vpc_id: str
    dns_support: bool
    dns_hostnames: bool
    subnets: tuple[Subnet, ...]
    security_groups: tuple[SecurityGroup, ...]
    endpoints: dict[str, Endpoint]
    """Service -> endpoint, of those that are there."""
    rules: tuple[Rule, ...] | None = ()
    """Of the workloads' and the endpoints' security groups; None when they could not be read."""
    prefix_lists: Mapping[str, PrefixList] = field(default_factory=dict[str, PrefixList])
    """Id -> prefix list, of those that rules name and of the gateways."""
    gateway_lists: Mapping[str, str] = field(default_factory=dict[str, str])
    """Service that is reached by gateway -> id of the prefix list with its addresses."""
    unread: tuple[str, ...] = ()
    """For what could not be read, the thing and AWS's message."""


class _Reader:
    """Asks AWS; what it cannot read is ``unread``."""

    def __init__(self, provider: aws.Provider) -> None:
        self.opts = pulumi.InvokeOptions(provider=provider)
        self.unread: list[str] = []

    def attempt(self, what: str, call: Callable[[], Any], absent: str = "") -> Any:
        """The answer of a call; None when it failed or, by its message, found nothing."""
        try:
            return call()
        # The engine reports every failed read as a bare Exception.
        except Exception as error:
            if not absent or absent not in str(error).lower():
                self.unread.append(f"{what} could not be read: {_first_line(error)}")
            return None

    def subnets(self, ids: Iterable[str]) -> dict[str, Any]:
        found = {
            id_: self.attempt(id_, lambda id_=id_: aws.ec2.get_subnet(id=id_, opts=self.opts))
            for id_ in ids
        }
        return {id_: subnet for id_, subnet in found.items() if subnet is not None}

    def endpoint(self, network: ExistingNetwork, service: str, region: str) -> Any:
        given = network.endpoint_ids.get(service)
        if given:
            return self.attempt(
                f"endpoint {given} ({service})",
                lambda: aws.ec2.get_vpc_endpoint(id=given, opts=self.opts),
            )
        return self.attempt(
            f"endpoint for {service}",
            lambda: aws.ec2.get_vpc_endpoint(
                vpc_id=network.vpc_id,
                service_name=service_name(service, region),
                vpc_endpoint_type="Gateway" if service in GATEWAYS else "Interface",
                opts=self.opts,
            ),
            absent="no matching",
        )

    def route_tables(self, network: ExistingNetwork) -> dict[str, RouteTable]:
        """Subnet -> its route table; that of the VPC under its own id."""
        tables = self.attempt(
            f"route tables of {network.vpc_id}",
            lambda: aws.ec2.get_route_tables(vpc_id=network.vpc_id, opts=self.opts).ids,
        )
        routed: dict[str, RouteTable] = {}
        for table_id in tables or ():
            table = self.attempt(
                table_id,
                lambda table_id=table_id: aws.ec2.get_route_table(
                    route_table_id=table_id, opts=self.opts
                ),
            )
            if table is None:
                continue
            gateways = {route.gateway_id for route in table.routes if route.gateway_id}
            held = RouteTable(table_id, tuple(sorted(g for g in gateways if g.startswith("igw-"))))
            for association in table.associations:
                routed[association.subnet_id or network.vpc_id] = held
        return routed

    def rules(self, groups: Sequence[str]) -> tuple[Rule, ...] | None:
        ids = self.attempt(
            f"rules of {', '.join(groups)}",
            lambda: (
                aws.vpc.get_security_group_rules(
                    filters=[{"name": "group-id", "values": list(groups)}], opts=self.opts
                ).ids
            ),
        )
        found = [
            self.attempt(
                f"security group rule {rule_id}",
                lambda rule_id=rule_id: aws.vpc.get_security_group_rule(
                    security_group_rule_id=rule_id, opts=self.opts
                ),
            )
            for rule_id in ids or ()
        ]
        if ids is None or None in found:
            return None
        return tuple(
            Rule(
                id=rule.id,
                group_id=rule.security_group_id,
                egress=bool(rule.is_egress),
                protocol=rule.ip_protocol,
                from_port=-1 if rule.from_port is None else int(rule.from_port),
                to_port=-1 if rule.to_port is None else int(rule.to_port),
                block=rule.cidr_ipv4 or rule.cidr_ipv6 or "",
                prefix_list_id=rule.prefix_list_id or "",
                peer_group_id=rule.referenced_security_group_id or "",
            )
            for rule in found
        )

    def prefix_list(
        self, *, list_id: str | None = None, name: str | None = None
    ) -> PrefixList | None:
        found = self.attempt(
            f"prefix list {list_id or name}",
            lambda: aws.ec2.get_managed_prefix_list(id=list_id, name=name, opts=self.opts),
        )
        if found is None:
            return None
        blocks = tuple(entry.cidr for entry in found.entries)
        return PrefixList(found.id, found.name, blocks, of_aws=found.owner_id == "AWS")


def read_network(
    network: ExistingNetwork, services: Iterable[str], region: str, provider: aws.Provider
) -> NetworkFacts:
    """Read an existing network.

    Args:
        network: the settings.
        services: the endpoint services that this environment needs.
        region: where it is.
        provider: the stack's own provider.
    """
    reader = _Reader(provider)
    attempt, opts = reader.attempt, reader.opts
    vpc = attempt(network.vpc_id, lambda: aws.ec2.get_vpc(id=network.vpc_id, opts=opts))
    groups = [
        attempt(
            group_id, lambda group_id=group_id: aws.ec2.get_security_group(id=group_id, opts=opts)
        )
        for group_id in network.security_group_ids
    ]
    needed = sorted(set(services) | set(network.endpoint_ids))
    endpoints = {service: reader.endpoint(network, service, region) for service in needed}
    endpoints = {service: found for service, found in endpoints.items() if found is not None}
    subnets = reader.subnets(
        dict.fromkeys(
            [*network.private_subnet_ids, *(s for e in endpoints.values() for s in e.subnet_ids)]
        )
    )
    routed = reader.route_tables(network)
    rules = reader.rules(
        sorted(
            {group.id for group in groups if group is not None}
            | {group for endpoint in endpoints.values() for group in endpoint.security_group_ids}
        )
    )
    lists = {
        service: reader.prefix_list(name=service_name(service, region))
        for service in needed
        if service in GATEWAYS
    }
    gateway_lists = {service: found for service, found in lists.items() if found is not None}
    prefix_lists = {found.id: found for found in gateway_lists.values()}
    for list_id in sorted({rule.prefix_list_id for rule in rules or ()} - {"", *prefix_lists}):
        found = reader.prefix_list(list_id=list_id)
        if found is not None:
            prefix_lists[list_id] = found
    return NetworkFacts(
        vpc_id=network.vpc_id,
        dns_support=vpc is None or bool(vpc.enable_dns_support),
        dns_hostnames=vpc is None or bool(vpc.enable_dns_hostnames),
        subnets=tuple(
            Subnet(
                subnet.id,
                subnet.vpc_id,
                subnet.availability_zone,
                int(subnet.available_ip_address_count),
                subnet.cidr_block,
                routed.get(subnet.id) or routed.get(network.vpc_id),
            )
            for subnet in map(subnets.get, network.private_subnet_ids)
            if subnet is not None
        ),
        security_groups=tuple(SecurityGroup(g.id, g.vpc_id) for g in groups if g is not None),
        endpoints={
            service: Endpoint(
                found.id,
                found.vpc_id,
                found.service_name,
                found.state,
                found.vpc_endpoint_type == "Interface",
                bool(found.private_dns_enabled),
                tuple(found.security_group_ids),
                tuple(subnets[s].cidr_block for s in found.subnet_ids if s in subnets),
                tuple(found.route_table_ids),
            )
            for service, found in endpoints.items()
        },
        rules=rules,
        prefix_lists=prefix_lists,
        gateway_lists={service: found.id for service, found in gateway_lists.items()},
        unread=tuple(reader.unread),
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
