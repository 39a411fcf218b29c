"""The children and outputs of ``awsx:ec2:Vpc``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from localcloud.awsx.layout import PlacedSubnet, SubnetSpec, layout

TOKEN = "awsx:ec2:Vpc"  # noqa: S105 - a type token
_DEFAULT_SPECS = ({"type": "Public"}, {"type": "Private"})
_SERVED = {
    "cidrBlock", "numberOfAvailabilityZones", "availabilityZoneNames", "natGateways", "subnetSpecs",
    "subnetStrategy", "tags", "enableDnsHostnames", "enableDnsSupport", "instanceTenancy",
}  # fmt: skip
_NAT = ("None", "Single", "OnePerAz")


class Vpc(pulumi.ComponentResource):
    """A VPC with subnets over zones, route tables, and NAT gateways where asked for.

    Raises:
        ValueError: an input that the local cloud does not serve, or one that contradicts another.
    """

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: ResourceOptions) -> None:
        super().__init__(TOKEN, name, {}, opts)
        unserved = sorted(set(inputs) - _SERVED)
        if unserved:
            raise ValueError(
                f"{TOKEN} {name}: the local cloud does not serve {', '.join(unserved)}; "
                "add it in localcloud/awsx/vpc.py"
            )
        self._name, self._inputs = name, inputs
        self._tags: dict[str, Any] = dict(inputs.get("tags") or {})
        zones = self._zones()
        cidr = inputs.get("cidrBlock") or "10.0.0.0/16"
        specs = [
            SubnetSpec(spec["type"], spec.get("name", ""), _whole(spec.get("cidrMask")))
            for spec in inputs.get("subnetSpecs") or _DEFAULT_SPECS
        ]
        self.vpc = aws.ec2.Vpc(
            name,
            cidr_block=cidr,
            enable_dns_hostnames=inputs.get("enableDnsHostnames", True),
            enable_dns_support=inputs.get("enableDnsSupport", True),
            instance_tenancy=inputs.get("instanceTenancy"),
            tags={"Name": name, **self._tags},
            opts=ResourceOptions(parent=self),
        )
        self._spec_tags = {
            spec["type"]: spec.get("tags") or {} for spec in inputs.get("subnetSpecs") or ()
        }
        self._subnets(zones, layout(name, cidr, len(zones), specs))
        outputs = self.outputs()
        self.register_outputs(outputs)

    def _zones(self) -> list[str]:
        given = self._inputs.get("availabilityZoneNames")
        if given:
            return list(given)
        found = aws.get_availability_zones(opts=pulumi.InvokeOptions(parent=self)).names
        wanted = _whole(self._inputs.get("numberOfAvailabilityZones")) or 3
        if len(found) < wanted:
            raise ValueError(
                f"{TOKEN} {self._name}: {wanted} zones are asked for, the region has {len(found)}"
            )
        return list(found[:wanted])

    def _subnets(self, zones: list[str], placed: list[PlacedSubnet]) -> None:
        self.subnets: list[aws.ec2.Subnet] = []
        self.tables: list[aws.ec2.RouteTable] = []
        self.associations: list[aws.ec2.RouteTableAssociation] = []
        self.routes: list[aws.ec2.Route] = []
        self.ids: dict[str, list[pulumi.Output[str]]] = {
            "Public": [],
            "Private": [],
            "Isolated": [],
        }
        self.internet_gateway: aws.ec2.InternetGateway | None = None
        if any(subnet.spec.type == "Public" for subnet in placed):
            self.internet_gateway = aws.ec2.InternetGateway(
                self._name,
                vpc_id=self.vpc.id,
                tags={"Name": self._name, **self._tags},
                opts=ResourceOptions(parent=self.vpc),
            )
        made: list[tuple[PlacedSubnet, aws.ec2.Subnet, aws.ec2.RouteTable]] = []
        for subnet in placed:
            tags = {
                "Name": subnet.name,
                "SubnetType": subnet.spec.type,
                **self._tags,
                **self._spec_tags.get(subnet.spec.type, {}),
            }
            resource = aws.ec2.Subnet(
                subnet.name,
                vpc_id=self.vpc.id,
                availability_zone=zones[subnet.zone],
                cidr_block=subnet.cidr,
                map_public_ip_on_launch=subnet.spec.type == "Public",
                tags=tags,
                opts=ResourceOptions(parent=self.vpc),
            )
            table = aws.ec2.RouteTable(
                subnet.name, vpc_id=self.vpc.id, tags=tags, opts=ResourceOptions(parent=resource)
            )
            association = aws.ec2.RouteTableAssociation(
                subnet.name,
                route_table_id=table.id,
                subnet_id=resource.id,
                opts=ResourceOptions(parent=table),
            )
            self.subnets.append(resource)
            self.tables.append(table)
            self.associations.append(association)
            self.ids[subnet.spec.type].append(resource.id)
            made.append((subnet, resource, table))
        gateways = self._nat_gateways(made, len(zones))
        for subnet, _, table in made:
            self._route(subnet, table, gateways)

    def _nat_gateways(
        self, made: list[tuple[PlacedSubnet, aws.ec2.Subnet, aws.ec2.RouteTable]], zones: int
    ) -> list[aws.ec2.NatGateway]:
        self.eips: list[aws.ec2.Eip] = []
        public = [resource for subnet, resource, _ in made if subnet.spec.type == "Public"]
        private = any(subnet.spec.type == "Private" for subnet, _, _ in made)
        default = "OnePerAz" if public and private else "None"
        strategy = (self._inputs.get("natGateways") or {}).get("strategy") or default
        if strategy not in _NAT:
            raise ValueError(f"{TOKEN} {self._name}: natGateways.strategy is one of {_NAT}")
        if strategy != "None" and not public:
            raise ValueError(f"{TOKEN} {self._name}: NAT gateways need public subnets")
        count = {"None": 0, "Single": 1, "OnePerAz": zones}[strategy]
        gateways: list[aws.ec2.NatGateway] = []
        for index, subnet in enumerate(public[:count], start=1):
            name = f"{self._name}-{index}"
            eip = aws.ec2.Eip(
                name,
                domain="vpc",
                tags={"Name": name, **self._tags},
                opts=ResourceOptions(parent=subnet),
            )
            self.eips.append(eip)
            gateways.append(
                aws.ec2.NatGateway(
                    name,
                    subnet_id=subnet.id,
                    allocation_id=eip.allocation_id,
                    tags={"Name": name, **self._tags},
                    opts=ResourceOptions(parent=subnet),
                )
            )
        self.nat_gateways = gateways
        return gateways

    def _route(
        self, subnet: PlacedSubnet, table: aws.ec2.RouteTable, gateways: list[aws.ec2.NatGateway]
    ) -> None:
        target: dict[str, Any] = {}
        if subnet.spec.type == "Public" and self.internet_gateway is not None:
            target["gateway_id"] = self.internet_gateway.id
        elif subnet.spec.type == "Private" and gateways:
            target["nat_gateway_id"] = gateways[min(subnet.zone, len(gateways) - 1)].id
        if target:
            self.routes.append(
                aws.ec2.Route(
                    subnet.name,
                    route_table_id=table.id,
                    destination_cidr_block="0.0.0.0/0",
                    opts=ResourceOptions(parent=table),
                    **target,
                )
            )

    def outputs(self) -> dict[str, Any]:
        """The outputs of the real component."""
        return {
            "vpcId": self.vpc.id,
            "vpc": self.vpc,
            "subnets": self.subnets,
            "routeTables": self.tables,
            "routeTableAssociations": self.associations,
            "routes": self.routes,
            "natGateways": self.nat_gateways,
            "eips": self.eips,
            "internetGateway": self.internet_gateway,
            "vpcEndpoints": [],
            "publicSubnetIds": self.ids["Public"],
            "privateSubnetIds": self.ids["Private"],
            "isolatedSubnetIds": self.ids["Isolated"],
        }


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
