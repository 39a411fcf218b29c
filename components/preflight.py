"""The check of an existing VPC, before anything is made in it.

A Studio domain, a job or an endpoint that lands in an unfit VPC fails late and unclearly. Here
every reason is found first and told at once. Reading is apart from judging:
:func:`components.network_facts.read_network` asks AWS, :func:`problems` is a pure function of what
was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pulumi_aws as aws

from components.endpoint_services import GATEWAYS
from components.network_facts import NetworkFacts, RouteTable, read_network
from components.security_rules import Rule, lets_https, open_to
from components.settings import FREE_ADDRESSES, ExistingNetwork


class PreflightError(RuntimeError):
    """The existing VPC is not fit; the message lists every reason."""

    def __init__(self, vpc_id: str, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(
            f"The existing VPC {vpc_id} (mlops:network) is not fit for the platform, "
            "nothing was made:\n" + "\n".join(f"  - {reason}" for reason in reasons)
        )


def problems(network: ExistingNetwork, facts: NetworkFacts, services: Iterable[str]) -> list[str]:
    """Every reason why the network is not fit, each with what to do; empty when it is.

    Args:
        network: the settings.
        facts: what was read from AWS.
        services: the endpoint services that this environment needs, such as ``kms``.
    """
    needed = sorted(set(services) | set(network.endpoint_ids))
    return [
        *facts.unread,
        *_addresses(network, facts, needed),
        *_endpoints(network, facts, needed),
        *_public_subnets(facts),
        *_gateways_apart(network, facts, needed),
        *_open_groups(network, facts),
        *_unreachable(network, facts, needed),
    ]


def _addresses(
    network: ExistingNetwork, facts: NetworkFacts, needed: Sequence[str]
) -> Iterator[str]:
    if not facts.dns_support:
        yield "DNS resolution is off: set enableDnsSupport on the VPC"
    if not facts.dns_hostnames:
        yield "DNS hostnames are off: set enableDnsHostnames, endpoints' private DNS needs it"
    for thing in (*facts.subnets, *facts.security_groups):
        if thing.vpc_id != facts.vpc_id:
            yield f"{thing.id} is in {thing.vpc_id}, not in {facts.vpc_id}"
    zones = {subnet.zone for subnet in facts.subnets}
    if facts.subnets and len(zones) < 2:
        yield (
            f"all private subnets are in {', '.join(sorted(zones))}: "
            "name subnets of two zones or more, SageMaker endpoints need them"
        )
    making = sum(
        service not in facts.endpoints and service not in GATEWAYS and _is_made(network, service)
        for service in needed
    )
    for zone in sorted(zones) if making else ():
        # Source: ModifyVpcEndpoint and CreateVpcEndpoint in EC2's API reference: an endpoint has
        # one subnet of a zone.
        within = [subnet.id for subnet in facts.subnets if subnet.zone == zone]
        if len(within) > 1:
            yield (
                f"{', '.join(within)} are all in {zone}, and an endpoint to be made can have one "
                "subnet of a zone: name one of them, or endpoints that are there"
            )
    for subnet in facts.subnets:
        if subnet.free_addresses < FREE_ADDRESSES + making:
            yield (
                f"{subnet.id} has {subnet.free_addresses} free addresses, "
                f"{FREE_ADDRESSES + making} are needed"
                f"{f', {making} of them for endpoints to be made' if making else ''}: "
                "use a larger subnet"
            )


def _endpoints(
    network: ExistingNetwork, facts: NetworkFacts, needed: Sequence[str]
) -> Iterator[str]:
    for service in needed:
        endpoint = facts.endpoints.get(service)
        if endpoint is None:
            if service not in network.endpoint_ids and not network.create_endpoints:
                yield (
                    f"there is no endpoint for {service}: create it, "
                    "or set create_endpoints to have the platform do so"
                )
            continue
        if endpoint.vpc_id != facts.vpc_id:
            yield f"endpoint {endpoint.id} ({service}) is in {endpoint.vpc_id}"
        if endpoint.state.lower() != "available":
            yield f"endpoint {endpoint.id} ({service}) is {endpoint.state}, not available"
        if not endpoint.service_name.endswith(f".{service}"):
            yield f"endpoint {endpoint.id} is for {endpoint.service_name}, not {service}"
        if endpoint.interface and not endpoint.private_dns:
            yield f"endpoint {endpoint.id} ({service}) has private DNS off: switch it on"


def _by_table(facts: NetworkFacts) -> dict[RouteTable, str]:
    """Route table -> the subnets that it routes, as text."""
    tables = dict.fromkeys(subnet.route_table for subnet in facts.subnets)
    return {
        table: ", ".join(s.id for s in facts.subnets if s.route_table == table)
        for table in tables
        if table is not None
    }


def _public_subnets(facts: NetworkFacts) -> Iterator[str]:
    for table, subnets in _by_table(facts).items():
        if table.internet_gateways:
            yield (
                f"private_subnet_ids names public subnets: {table.id}, which routes {subnets}, "
                f"leads to {', '.join(table.internet_gateways)}: name subnets without a route to "
                "an internet gateway"
            )


def _is_made(network: ExistingNetwork, service: str) -> bool:
    """Whether an endpoint is the platform's to make, or was made by it before."""
    return network.create_endpoints and service not in network.endpoint_ids


def _gateways_apart(
    network: ExistingNetwork, facts: NetworkFacts, needed: Sequence[str]
) -> Iterator[str]:
    gateways = [service for service in needed if service in GATEWAYS]
    made = [service for service in gateways if _is_made(network, service)]
    for table, subnets in _by_table(facts).items():
        if made and table.id not in network.route_table_ids:
            yield (
                f"route_table_ids lacks {table.id}, which routes {subnets}: add it, or the gateway "
                f"endpoints of {' and '.join(made)} are not reached from there"
            )
        for service in gateways:
            endpoint = facts.endpoints.get(service)
            if endpoint is None or endpoint.interface or service in made:
                continue
            if table.id not in endpoint.route_table_ids:
                yield (
                    f"endpoint {endpoint.id} ({service}) is not associated with {table.id}, which "
                    f"routes {subnets}: associate it with that route table"
                )


def _open_groups(network: ExistingNetwork, facts: NetworkFacts) -> Iterator[str]:
    for rule in facts.rules or ():
        admitted = open_to(rule, facts.prefix_lists)
        if admitted and rule.group_id in network.security_group_ids:
            yield (
                f"{rule.group_id} (security_group_ids) lets in {admitted} by rule {rule.id}: "
                "remove the rule, or have it name a security group or the company's own addresses"
            )


@dataclass(frozen=True)
class _Target:
    """By what workloads reach a service."""

    groups: tuple[str, ...]
    blocks: tuple[str, ...]
    text: str


def _target(network: ExistingNetwork, facts: NetworkFacts, service: str) -> _Target | None:
    own = tuple(subnet.block for subnet in facts.subnets)
    endpoint = facts.endpoints.get(service)
    if service in GATEWAYS and (endpoint is None or not endpoint.interface):
        held = facts.prefix_lists.get(facts.gateway_lists.get(service, ""))
        return _Target((), held.blocks, f"prefix list {held.id}") if held else None
    if endpoint is not None and not _is_made(network, service):
        groups = endpoint.security_group_ids
        return _Target(groups, endpoint.blocks, ", ".join(groups))
    if endpoint is not None:
        # Its group is the platform's own: a rule that names it goes with it.
        return _Target(endpoint.security_group_ids, endpoint.blocks, ", ".join(own))
    return _Target((), own, ", ".join(own)) if _is_made(network, service) else None


def _unreachable(
    network: ExistingNetwork, facts: NetworkFacts, needed: Sequence[str]
) -> Iterator[str]:
    """Services that workloads cannot speak HTTPS with; those of one target make one reason."""
    if facts.rules is None:
        return
    workloads = network.security_group_ids
    own = [subnet.block for subnet in facts.subnets]
    refusing: dict[str, list[str]] = {}
    kept_in: dict[str, list[str]] = {}

    def lets(
        groups: Sequence[str], *, egress: bool, peers: Sequence[str], blocks: Iterable[str]
    ) -> bool:
        rules: tuple[Rule, ...] = facts.rules or ()
        return lets_https(
            rules, groups, facts.prefix_lists, egress=egress, peers=peers, blocks=blocks
        )

    for service in needed:
        target = _target(network, facts, service)
        if target is None:
            continue
        if (
            target.groups
            and not _is_made(network, service)
            and not lets(target.groups, egress=False, peers=workloads, blocks=own)
        ):
            refusing.setdefault(target.text, []).append(service)
        if not lets(workloads, egress=True, peers=target.groups, blocks=target.blocks):
            kept_in.setdefault(target.text, []).append(service)
    given = ", ".join(workloads)
    for groups, services in refusing.items():
        yield (
            f"{groups} of the endpoints for {', '.join(services)} lets in no HTTPS from {given} "
            f"(security_group_ids): add an ingress rule for TCP 443 from {workloads[0]}"
        )
    for target, services in kept_in.items():
        yield (
            f"{given} (security_group_ids) lets out no HTTPS to the endpoints for "
            f"{', '.join(services)}: add an egress rule for TCP 443 to {target}"
        )


def require_fit(
    network: ExistingNetwork, services: Iterable[str], region: str, provider: aws.Provider
) -> None:
    """Read and judge an existing network.

    Args:
        network: the settings.
        services: the interface endpoint services that this environment needs; the gateways, which
            every network has, are looked at in any case.
        region: where it is.
        provider: the stack's own provider.

    Raises:
        PreflightError: with every reason, when it is not fit.
    """
    needed = (*services, *GATEWAYS)
    reasons = problems(network, read_network(network, needed, region, provider), needed)
    if reasons:
        raise PreflightError(network.vpc_id, reasons)
