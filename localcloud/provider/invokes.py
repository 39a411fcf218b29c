"""Functions (``aws.get_…``) that the program calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.provider.crud import ResourceError
from localcloud.provider.table import Props, Scope


def _identity(arguments: Props, scope: Scope, session: Any) -> Props:
    return {
        "accountId": session.account,
        "arn": session.arn,
        "userId": session.user,
        "id": session.account,
    }


def _partition(arguments: Props, scope: Scope, session: Any) -> Props:
    suffix = "amazonaws.com.cn" if scope.partition == "aws-cn" else "amazonaws.com"
    return {
        "partition": scope.partition,
        "dnsSuffix": suffix,
        "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
        "id": scope.partition,
    }


def _region(arguments: Props, scope: Scope, session: Any) -> Props:
    return {"region": scope.region, "name": scope.region, "id": scope.region, "description": ""}


def _zones(arguments: Props, scope: Scope, session: Any) -> Props:
    found = scope.call("ec2", "DescribeAvailabilityZones", _filters(arguments))
    zones = [zone for zone in found["AvailabilityZones"] if zone.get("State") == "available"]
    return {
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone["ZoneId"] for zone in zones],
        "id": scope.region,
    }


def _filters(arguments: Props, **names: str) -> Props:
    filters = [
        {"Name": given["name"], "Values": given["values"]}
        for given in arguments.get("filters") or []
    ]
    filters += [
        {"Name": name, "Values": [arguments[key]]}
        for key, name in names.items()
        if arguments.get(key)
    ]
    return {"Filters": filters} if filters else {}


def _one(items: list[Any], what: str) -> Any:
    # The wording of the real provider: callers tell "absent" by it.
    if not items:
        raise ResourceError(f"no matching EC2 {what} found")
    if len(items) > 1:
        raise ResourceError(f"multiple EC2 {what}s matched; use additional constraints")
    return items[0]


def _tags(item: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags") or []}


def _vpc(arguments: Props, scope: Scope, session: Any) -> Props:
    params = {"VpcIds": [arguments["id"]]} if arguments.get("id") else _filters(arguments)
    vpc = _one(scope.call("ec2", "DescribeVpcs", params)["Vpcs"], "VPC")

    def attribute(name: str, member: str) -> bool:
        answer = scope.call(
            "ec2", "DescribeVpcAttribute", {"VpcId": vpc["VpcId"], "Attribute": name}
        )
        return bool(answer[member]["Value"])

    return {
        "id": vpc["VpcId"],
        "arn": scope.arn("ec2", f"vpc/{vpc['VpcId']}"),
        "cidrBlock": vpc["CidrBlock"],
        "default": vpc.get("IsDefault", False),
        "enableDnsSupport": attribute("enableDnsSupport", "EnableDnsSupport"),
        "enableDnsHostnames": attribute("enableDnsHostnames", "EnableDnsHostnames"),
        "ownerId": scope.account,
        "state": vpc["State"],
        "tags": _tags(vpc),
    }


def _subnet(arguments: Props, scope: Scope, session: Any) -> Props:
    params = (
        {"SubnetIds": [arguments["id"]]}
        if arguments.get("id")
        else _filters(arguments, vpcId="vpc-id", cidrBlock="cidr-block")
    )
    subnet = _one(scope.call("ec2", "DescribeSubnets", params)["Subnets"], "Subnet")
    return {
        "id": subnet["SubnetId"],
        "arn": scope.arn("ec2", f"subnet/{subnet['SubnetId']}"),
        "vpcId": subnet["VpcId"],
        "cidrBlock": subnet["CidrBlock"],
        "availabilityZone": subnet["AvailabilityZone"],
        "availabilityZoneId": subnet.get("AvailabilityZoneId", ""),
        "availableIpAddressCount": subnet["AvailableIpAddressCount"],
        "mapPublicIpOnLaunch": subnet.get("MapPublicIpOnLaunch", False),
        "tags": _tags(subnet),
    }


def _subnets(arguments: Props, scope: Scope, session: Any) -> Props:
    found = scope.call("ec2", "DescribeSubnets", _filters(arguments))["Subnets"]
    return {"ids": sorted(subnet["SubnetId"] for subnet in found), "id": scope.region}


def _endpoint(arguments: Props, scope: Scope, session: Any) -> Props:
    params = _filters(arguments, vpcId="vpc-id", serviceName="service-name")
    if arguments.get("id"):
        params["VpcEndpointIds"] = [arguments["id"]]
    found = scope.call("ec2", "DescribeVpcEndpoints", params)["VpcEndpoints"]
    endpoint = _one(found, "VPC Endpoint")
    return {
        "id": endpoint["VpcEndpointId"],
        "arn": scope.arn("ec2", f"vpc-endpoint/{endpoint['VpcEndpointId']}"),
        "vpcId": endpoint["VpcId"],
        "serviceName": endpoint["ServiceName"],
        "state": endpoint["State"],
        "vpcEndpointType": endpoint.get("VpcEndpointType", "Interface"),
        "privateDnsEnabled": endpoint.get("PrivateDnsEnabled", False),
        "routeTableIds": endpoint.get("RouteTableIds") or [],
        "subnetIds": endpoint.get("SubnetIds") or [],
        "securityGroupIds": [group["GroupId"] for group in endpoint.get("Groups") or []],
        "policy": endpoint.get("PolicyDocument") or "",
        "tags": _tags(endpoint),
    }


def _security_group(arguments: Props, scope: Scope, session: Any) -> Props:
    params = (
        {"GroupIds": [arguments["id"]]}
        if arguments.get("id")
        else _filters(arguments, vpcId="vpc-id", name="group-name")
    )
    found = scope.call("ec2", "DescribeSecurityGroups", params)["SecurityGroups"]
    group = _one(found, "Security Group")
    return {
        "id": group["GroupId"],
        "arn": scope.arn("ec2", f"security-group/{group['GroupId']}"),
        "name": group["GroupName"],
        "vpcId": group["VpcId"],
        "description": group.get("Description", ""),
        "tags": _tags(group),
    }


def _route_table(arguments: Props, scope: Scope, session: Any) -> Props:
    params = (
        {"RouteTableIds": [arguments["routeTableId"]]}
        if arguments.get("routeTableId")
        else _filters(arguments, vpcId="vpc-id", subnetId="association.subnet-id")
    )
    found = scope.call("ec2", "DescribeRouteTables", params)["RouteTables"]
    route_table = _one(found, "Route Table")
    return {
        "id": route_table["RouteTableId"],
        "routeTableId": route_table["RouteTableId"],
        "vpcId": route_table["VpcId"],
        "tags": _tags(route_table),
    }


FUNCTIONS: dict[str, Callable[[Props, Scope, Any], Props]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _identity,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _zones,
    "aws:ec2/getVpc:getVpc": _vpc,
    "aws:ec2/getSubnet:getSubnet": _subnet,
    "aws:ec2/getSubnets:getSubnets": _subnets,
    "aws:ec2/getVpcEndpoint:getVpcEndpoint": _endpoint,
    "aws:ec2/getSecurityGroup:getSecurityGroup": _security_group,
    "aws:ec2/getRouteTable:getRouteTable": _route_table,
}
"""Function token -> function of its arguments."""
