"""The check of an existing VPC, before anything is made in it.

A Studio domain, a job or an endpoint that lands in an unfit VPC fails late and unclearly. Here
every reason is found first and told at once. Reading is apart from judging: :func:`read_network`
asks AWS through the stack's provider, :func:`problems` is a pure function of what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.settings import ExistingNetwork

MINIMUM_FREE_ADDRESSES = 32
"""Per subnet: Studio apps, job instances and endpoints each take one address per instance."""


class PreflightError(RuntimeError):
    """The existing VPC is not fit; the message lists every reason."""

    def __init__(self, vpc_id: str, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(
            f"The existing VPC {vpc_id} (mlops:network) is not fit for the platform, "
            "nothing was made:\n" + "\n".join(f"  - {reason}" for reason in reasons)
        )


@dataclass(frozen=True)
class Subnet:
    """A subnet as it stands."""

    id: str
    vpc_id: str
    zone: str
    free_addresses: int


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


@dataclass(frozen=True)
class NetworkFacts:
    """What was read of an existing network.

    ``unread`` holds, for what could not be read, the thing and AWS's message.
    """

    vpc_id: str
    dns_support: bool
    dns_hostnames: bool
    subnets: tuple[Subnet, ...]
    security_groups: tuple[SecurityGroup, ...]
    endpoints: dict[str, Endpoint]
    unread: tuple[str, ...] = ()


def problems(network: ExistingNetwork, facts: NetworkFacts, services: Iterable[str]) -> list[str]:
    """Every reason why the network is not fit, each with what to do; empty when it is.

    Args:
        network: the settings.
        facts: what was read from AWS.
        services: the endpoint services that this environment needs, such as ``kms``.
    """
    found = list(facts.unread)
    if not facts.dns_support:
        found.append("DNS resolution is off: set enableDnsSupport on the VPC")
    if not facts.dns_hostnames:
        found.append(
            "DNS hostnames are off: set enableDnsHostnames, endpoints' private DNS needs it"
        )
    for thing in (*facts.subnets, *facts.security_groups):
        if thing.vpc_id != facts.vpc_id:
            found.append(f"{thing.id} is in {thing.vpc_id}, not in {facts.vpc_id}")
    zones = {subnet.zone for subnet in facts.subnets}
    if facts.subnets and len(zones) < 2:
        found.append(
            f"all private subnets are in {', '.join(sorted(zones))}: "
            "name subnets of two zones or more, SageMaker endpoints need them"
        )
    found += [
        f"{subnet.id} has {subnet.free_addresses} free addresses, "
        f"{MINIMUM_FREE_ADDRESSES} are needed: use a larger subnet"
        for subnet in facts.subnets
        if subnet.free_addresses < MINIMUM_FREE_ADDRESSES
    ]
    for service in sorted(set(services) | set(network.endpoint_ids)):
        endpoint = facts.endpoints.get(service)
        if endpoint is None:
            if service in network.endpoint_ids:
                continue
            if not network.create_endpoints:
                found.append(
                    f"there is no endpoint for {service}: create it, "
                    "or set create_endpoints to have the platform do so"
                )
            continue
        if endpoint.vpc_id != facts.vpc_id:
            found.append(f"endpoint {endpoint.id} ({service}) is in {endpoint.vpc_id}")
        if endpoint.state.lower() != "available":
            found.append(f"endpoint {endpoint.id} ({service}) is {endpoint.state}, not available")
        if not endpoint.service_name.endswith(f".{service}"):
            found.append(f"endpoint {endpoint.id} is for {endpoint.service_name}, not {service}")
        if endpoint.interface and not endpoint.private_dns:
            found.append(f"endpoint {endpoint.id} ({service}) has private DNS off: switch it on")
    return found


def read_network(
    network: ExistingNetwork, services: Iterable[str], region: str, provider: aws.Provider
) -> NetworkFacts:
    """Read what :func:`problems` judges, through the stack's own provider."""
    opts = pulumi.InvokeOptions(provider=provider)
    unread: list[str] = []

    def attempt(what: str, call: Callable[[], Any], absent: str = "") -> Any:
        try:
            return call()
        # The engine reports every failed read as a bare Exception.
        except Exception as error:
            if not absent or absent not in str(error).lower():
                unread.append(f"{what} could not be read: {_first_line(error)}")
            return None

    vpc = attempt(network.vpc_id, lambda: aws.ec2.get_vpc(id=network.vpc_id, opts=opts))
    subnets = [
        attempt(subnet_id, lambda subnet_id=subnet_id: aws.ec2.get_subnet(id=subnet_id, opts=opts))
        for subnet_id in network.private_subnet_ids
    ]
    groups = [
        attempt(
            group_id, lambda group_id=group_id: aws.ec2.get_security_group(id=group_id, opts=opts)
        )
        for group_id in network.security_group_ids
    ]
    endpoints: dict[str, Endpoint] = {}
    for service in sorted(set(services) | set(network.endpoint_ids)):
        endpoint = _endpoint(network, service, region, opts, attempt)
        if endpoint is not None:
            endpoints[service] = endpoint
    return NetworkFacts(
        vpc_id=network.vpc_id,
        dns_support=vpc is None or bool(vpc.enable_dns_support),
        dns_hostnames=vpc is None or bool(vpc.enable_dns_hostnames),
        subnets=tuple(
            Subnet(s.id, s.vpc_id, s.availability_zone, int(s.available_ip_address_count))
            for s in subnets
            if s is not None
        ),
        security_groups=tuple(SecurityGroup(g.id, g.vpc_id) for g in groups if g is not None),
        endpoints=endpoints,
        unread=tuple(unread),
    )


def _endpoint(
    network: ExistingNetwork,
    service: str,
    region: str,
    opts: pulumi.InvokeOptions,
    attempt: Callable[..., Any],
) -> Endpoint | None:
    endpoint_id = network.endpoint_ids.get(service)
    if endpoint_id:
        found = attempt(
            f"endpoint {endpoint_id} ({service})",
            lambda: aws.ec2.get_vpc_endpoint(id=endpoint_id, opts=opts),
        )
    else:
        found = attempt(
            f"endpoint for {service}",
            lambda: aws.ec2.get_vpc_endpoint(
                vpc_id=network.vpc_id, service_name=f"com.amazonaws.{region}.{service}", opts=opts
            ),
            absent="no matching",
        )
    if found is None:
        return None
    return Endpoint(
        found.id,
        found.vpc_id,
        found.service_name,
        found.state,
        found.vpc_endpoint_type == "Interface",
        bool(found.private_dns_enabled),
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def require_fit(
    network: ExistingNetwork, services: Iterable[str], region: str, provider: aws.Provider
) -> None:
    """Read and judge an existing network.

    Raises:
        PreflightError: with every reason, when it is not fit.
    """
    needed = tuple(services)
    reasons = problems(network, read_network(network, needed, region, provider), needed)
    if reasons:
        raise PreflightError(network.vpc_id, reasons)
