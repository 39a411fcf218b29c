"""The network of a stack."""

from __future__ import annotations

import pulumi

from components.baseline import AccountBaseline
from components.network import Network, NetworkArgs
from components.settings import ExistingNetwork, PlatformSettings


def make_network(
    settings: PlatformSettings, baseline: AccountBaseline, opts: pulumi.ResourceOptions
) -> Network:
    """The network, made or taken over as the settings say."""
    network = settings.network
    args = NetworkArgs(
        placement=settings.placement(),
        endpoint_services=settings.endpoint_services,
        log_key_arn=baseline.key_arns["logs"],
        log_retention_days=settings.retention.logs_days,
        boundary_arn=baseline.boundary_arn,
    )
    if isinstance(network, ExistingNetwork):
        args["existing"] = {
            "vpc_id": network.vpc_id,
            "private_subnet_ids": network.private_subnet_ids,
            "security_group_ids": network.security_group_ids,
            "route_table_ids": network.route_table_ids,
            "endpoint_ids": network.endpoint_ids,
            "create_endpoints": network.create_endpoints,
        }
    else:
        args["create"] = {
            "cidr": network.cidr,
            "zones": network.zones,
            "nat": network.nat.value,
        }
    return Network("network", args, opts)
