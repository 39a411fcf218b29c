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
    params = _filters(
        arguments,
        vpcId="vpc-id",
        serviceName="service-name",
        state="vpc-endpoint-state",
        vpcEndpointType="vpc-endpoint-type",
    )
    if arguments.get("id"):
        params["VpcEndpointIds"] = [arguments["id"]]
    found = scope.call("ec2", "DescribeVpcEndpoints", params)["VpcEndpoints"]
    # AWS lists an endpoint that is gone for a while.
    there = [endpoint for endpoint in found if endpoint["State"].lower() != "deleted"]
    endpoint = _one(there, "VPC Endpoint")
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
    table_id = route_table["RouteTableId"]
    return {
        "id": table_id,
        "arn": scope.arn("ec2", f"route-table/{table_id}"),
        "routeTableId": table_id,
        "vpcId": route_table["VpcId"],
        "routes": [_route(route) for route in route_table["Routes"] if _is_shown(route)],
        "associations": [
            {
                "main": association.get("Main", False),
                "routeTableAssociationId": association["RouteTableAssociationId"],
                "routeTableId": table_id,
                "subnetId": association.get("SubnetId", ""),
                "gatewayId": association.get("GatewayId", ""),
            }
            for association in route_table["Associations"]
        ],
        "tags": _tags(route_table),
    }


_ROUTE_MEMBERS = {
    "carrierGatewayId": "CarrierGatewayId",
    "cidrBlock": "DestinationCidrBlock",
    "coreNetworkArn": "CoreNetworkArn",
    "destinationPrefixListId": "DestinationPrefixListId",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
    "gatewayId": "GatewayId",
    "instanceId": "InstanceId",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "localGatewayId": "LocalGatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "odbNetworkArn": "OdbNetworkArn",
    "transitGatewayId": "TransitGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}


def _is_shown(route: Any) -> bool:
    """As in the real provider: neither the VPC's own route nor those to gateway endpoints."""
    gateway = route.get("GatewayId", "")
    return gateway != "local" and not gateway.startswith("vpce-")


def _route(route: Any) -> Props:
    return {prop: route.get(member, "") for prop, member in _ROUTE_MEMBERS.items()}


def _route_tables(arguments: Props, scope: Scope, session: Any) -> Props:
    params = _filters(arguments, vpcId="vpc-id")
    found = scope.call("ec2", "DescribeRouteTables", params)["RouteTables"]
    return {"ids": sorted(table["RouteTableId"] for table in found), "id": scope.region}


def _security_group_rules(arguments: Props, scope: Scope, session: Any) -> Props:
    params = _filters(arguments)
    found = scope.call("ec2", "DescribeSecurityGroupRules", params)["SecurityGroupRules"]
    return {"ids": sorted(rule["SecurityGroupRuleId"] for rule in found), "id": scope.region}


def _security_group_rule(arguments: Props, scope: Scope, session: Any) -> Props:
    params = _filters(arguments)
    if arguments.get("securityGroupRuleId"):
        params["SecurityGroupRuleIds"] = [arguments["securityGroupRuleId"]]
    found = scope.call("ec2", "DescribeSecurityGroupRules", params)["SecurityGroupRules"]
    rule = _one(found, "Security Group Rule")
    rule_id = rule["SecurityGroupRuleId"]
    peer = rule.get("ReferencedGroupInfo") or {}
    peer_id, peer_owner = peer.get("GroupId", ""), peer.get("UserId", "")
    elsewhere = peer_owner not in ("", scope.account)
    return {
        "id": rule_id,
        "arn": scope.arn("ec2", f"security-group-rule/{rule_id}"),
        "securityGroupRuleId": rule_id,
        "securityGroupId": rule["GroupId"],
        "isEgress": rule["IsEgress"],
        "ipProtocol": rule["IpProtocol"],
        "fromPort": rule.get("FromPort", -1),
        "toPort": rule.get("ToPort", -1),
        "cidrIpv4": rule.get("CidrIpv4", ""),
        "cidrIpv6": rule.get("CidrIpv6", ""),
        "prefixListId": rule.get("PrefixListId", ""),
        "referencedSecurityGroupId": f"{peer_owner}/{peer_id}" if elsewhere else peer_id,
        "description": rule.get("Description", ""),
        "tags": _tags(rule),
    }


def _managed_prefix_list(arguments: Props, scope: Scope, session: Any) -> Props:
    params = _filters(arguments, name="prefix-list-name")
    if arguments.get("id"):
        params["PrefixListIds"] = [arguments["id"]]
    found = scope.call("ec2", "DescribeManagedPrefixLists", params)["PrefixLists"]
    listed = _one(found, "Managed Prefix List")
    list_id = listed["PrefixListId"]
    entries = scope.call("ec2", "GetManagedPrefixListEntries", {"PrefixListId": list_id})
    return {
        "id": list_id,
        "arn": listed.get("PrefixListArn", ""),
        "name": listed["PrefixListName"],
        "addressFamily": listed.get("AddressFamily", ""),
        "ownerId": listed["OwnerId"],
        "maxEntries": listed.get("MaxEntries", 0),
        "version": listed.get("Version", 0),
        "entries": [
            {"cidr": entry["Cidr"], "description": entry.get("Description", "")}
            for entry in entries["Entries"]
        ],
        "tags": _tags(listed),
    }


def _parameter(arguments: Props, scope: Scope, session: Any) -> Props:
    decrypt = arguments.get("withDecryption", True)
    params = {"Name": arguments["name"], "WithDecryption": decrypt}
    found = scope.call("ssm", "GetParameter", params)["Parameter"]
    secure = found["Type"] == "SecureString"
    return {
        "id": arguments["name"],
        "name": arguments["name"],
        "arn": found["ARN"],
        "type": found["Type"],
        "value": found["Value"],
        "insecureValue": "" if secure else found["Value"],
        "version": found["Version"],
        "withDecryption": decrypt,
        "region": scope.region,
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
    "aws:ec2/getRouteTables:getRouteTables": _route_tables,
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": _managed_prefix_list,
    "aws:vpc/getSecurityGroupRule:getSecurityGroupRule": _security_group_rule,
    "aws:vpc/getSecurityGroupRules:getSecurityGroupRules": _security_group_rules,
    "aws:ssm/getParameter:getParameter": _parameter,
}
"""Function token -> function of its arguments."""
