"""The children and outputs of ``awsx:ec2:Vpc``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pulumi
from pulumi import ResourceOptions

from localcloud.awsx.layout import TYPES, PlacedSubnet, SubnetSpec, layout

TOKEN = "awsx:ec2:Vpc"  # noqa: S105 - a type token
_SERVED = {
    "cidrBlock", "numberOfAvailabilityZones", "availabilityZoneNames", "natGateways", "subnetSpecs",
    "subnetStrategy", "tags", "enableDnsHostnames", "enableDnsSupport", "instanceTenancy",
}  # fmt: skip
_SERVED_OF_A_SPEC = {"type", "name", "cidrMask", "tags"}
_SERVED_OF_NAT_GATEWAYS = {"strategy"}
_NAT = ("None", "Single", "OnePerAz")
_AWS = importlib.metadata.version("pulumi-aws")


class _Child(pulumi.CustomResource):
    """A resource of the AWS provider.

    `pulumi_aws` is not imported: that would take longer than everything that the component does.
    """

    def __init__(self, token: str, name: str, props: Mapping[str, Any], parent: Any) -> None:
        super().__init__(
            f"aws:ec2/{token[0].lower()}{token[1:]}:{token}",
            name,
            props,
            ResourceOptions(parent=parent, version=_AWS),
        )


class Vpc(pulumi.ComponentResource):
    """A VPC with subnets over zones, route tables, and NAT gateways where asked for.

    Raises:
        ValueError: an input that the local cloud does not serve, or one that contradicts another.
    """

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: ResourceOptions) -> None:
        super().__init__(TOKEN, name, {}, opts)
        problems = list(_problems(inputs))
        if problems:
            raise ValueError(f"{TOKEN} {name}: {'; '.join(problems)}")
        self._name, self._inputs = name, inputs
        self._tags: dict[str, Any] = dict(inputs.get("tags") or {})
        zones = self._zones()
        cidr = inputs.get("cidrBlock") or "10.0.0.0/16"
        specs = [
            SubnetSpec(
                spec["type"],
                spec.get("name") or "",
                _whole(spec.get("cidrMask")),
                spec.get("tags") or {},
            )
            for spec in inputs["subnetSpecs"]
        ]
        self.vpc = _Child(
            "Vpc",
            name,
            {
                "cidrBlock": cidr,
                "enableDnsHostnames": inputs.get("enableDnsHostnames", True),
                "enableDnsSupport": inputs.get("enableDnsSupport", True),
                "instanceTenancy": inputs.get("instanceTenancy"),
                "tags": {"Name": name, **self._tags},
            },
            self,
        )
        self._subnets(zones, layout(name, cidr, len(zones), specs))
        outputs = self.outputs()
        self.register_outputs(outputs)

    def _zones(self) -> list[str]:
        given = self._inputs.get("availabilityZoneNames")
        if given:
            return list(given)
        found: list[str] = pulumi.runtime.invoke(
            "aws:index/getAvailabilityZones:getAvailabilityZones",
            {},
            pulumi.InvokeOptions(parent=self, version=_AWS),
        ).value["names"]
        wanted = _whole(self._inputs.get("numberOfAvailabilityZones")) or 3
        if len(found) < wanted:
            raise ValueError(
                f"{TOKEN} {self._name}: {wanted} zones are asked for, the region has {len(found)}"
            )
        return list(found[:wanted])

    def _subnets(self, zones: list[str], placed: list[PlacedSubnet]) -> None:
        self.subnets: list[_Child] = []
        self.tables: list[_Child] = []
        self.associations: list[_Child] = []
        self.routes: list[_Child] = []
        self.ids: dict[str, list[pulumi.Output[str]]] = {
            "Public": [],
            "Private": [],
            "Isolated": [],
        }
        self.internet_gateway: _Child | None = None
        if any(subnet.spec.type == "Public" for subnet in placed):
            self.internet_gateway = _Child(
                "InternetGateway",
                self._name,
                {"vpcId": self.vpc.id, "tags": {"Name": self._name, **self._tags}},
                self.vpc,
            )
        made: list[tuple[PlacedSubnet, _Child, _Child]] = []
        for subnet in placed:
            place = {"Name": subnet.name, "SubnetType": subnet.spec.type}
            resource = _Child(
                "Subnet",
                subnet.name,
                {
                    "vpcId": self.vpc.id,
                    "availabilityZone": zones[subnet.zone],
                    "cidrBlock": subnet.cidr,
                    "mapPublicIpOnLaunch": subnet.spec.type == "Public",
                    "tags": {**self._tags, **subnet.spec.tags, **place},
                },
                self.vpc,
            )
            table = _Child(
                "RouteTable",
                subnet.name,
                {"vpcId": self.vpc.id, "tags": {**self._tags, **place}},
                resource,
            )
            association = _Child(
                "RouteTableAssociation",
                subnet.name,
                {"routeTableId": table.id, "subnetId": resource.id},
                table,
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
        self, made: list[tuple[PlacedSubnet, _Child, _Child]], zones: int
    ) -> list[_Child]:
        self.eips: list[_Child] = []
        public = [resource for subnet, resource, _ in made if subnet.spec.type == "Public"]
        private = any(subnet.spec.type == "Private" for subnet, _, _ in made)
        default = "OnePerAz" if public and private else "None"
        strategy = (self._inputs.get("natGateways") or {}).get("strategy") or default
        if strategy != "None" and not public:
            raise ValueError(f"{TOKEN} {self._name}: NAT gateways need public subnets")
        count = {"None": 0, "Single": 1, "OnePerAz": zones}[strategy]
        gateways: list[_Child] = []
        for index, subnet in enumerate(public[:count], start=1):
            name = f"{self._name}-{index}"
            tags = {"Name": name, **self._tags}
            eip = _Child("Eip", name, {"domain": "vpc", "tags": tags}, subnet)
            self.eips.append(eip)
            # The id of an address in a VPC is its allocation's.
            gateways.append(
                _Child(
                    "NatGateway",
                    name,
                    {"subnetId": subnet.id, "allocationId": eip.id, "tags": tags},
                    subnet,
                )
            )
        self.nat_gateways = gateways
        return gateways

    def _route(self, subnet: PlacedSubnet, table: _Child, gateways: list[_Child]) -> None:
        target: dict[str, Any] = {}
        if subnet.spec.type == "Public" and self.internet_gateway is not None:
            target["gatewayId"] = self.internet_gateway.id
        elif subnet.spec.type == "Private" and gateways:
            target["natGatewayId"] = gateways[min(subnet.zone, len(gateways) - 1)].id
        if target:
            self.routes.append(
                _Child(
                    "Route",
                    subnet.name,
                    {"routeTableId": table.id, "destinationCidrBlock": "0.0.0.0/0", **target},
                    table,
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


def _problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    """What the component cannot make of its inputs: unknown names at any depth, then values."""
    specs: Sequence[Any] = inputs.get("subnetSpecs") or ()
    gateways: Mapping[str, Any] = inputs.get("natGateways") or {}
    yield from _unserved("", inputs, _SERVED)
    yield from _unserved("natGateways.", gateways, _SERVED_OF_NAT_GATEWAYS)
    for index, spec in enumerate(specs):
        yield from _unserved(f"subnetSpecs[{index}].", spec, _SERVED_OF_A_SPEC)
        if spec.get("type") not in TYPES:
            yield f"subnetSpecs[{index}].type is one of {', '.join(TYPES)}"
    if not specs:
        yield "subnetSpecs is needed: the local cloud has no subnets of its own choice"
    # Without one the real component lays out by "Legacy".
    if inputs.get("subnetStrategy") != "Auto":
        yield "subnetStrategy is to be Auto: the local cloud lays out by no other"
    if (gateways.get("strategy") or "None") not in _NAT:
        yield f"natGateways.strategy is one of {', '.join(_NAT)}"
    if inputs.get("availabilityZoneNames") and inputs.get("numberOfAvailabilityZones"):
        yield "only one of availabilityZoneNames and numberOfAvailabilityZones can be given"


def _unserved(path: str, given: Mapping[str, Any], served: Collection[str]) -> Iterator[str]:
    for name in sorted(set(given) - set(served)):
        yield (
            f"the local cloud does not serve {path}{name}, but {', '.join(sorted(served))}; "
            "add it in localcloud/awsx/vpc.py"
        )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
