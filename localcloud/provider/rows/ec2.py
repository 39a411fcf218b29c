"""EC2: networks, security groups, VPC endpoints, flow logs and account-wide EBS settings."""

from __future__ import annotations

from dataclasses import replace

from botocore.exceptions import ClientError

from localcloud.provider.table import Call, Props, Row, Scope, Tags


def _tags(kind: str) -> Tags:
    return Tags(
        member="TagSpecifications",
        put="CreateTags",
        remove="DeleteTags",
        remove_member="Tags",
        remove_pairs=True,
        arn="Resources",
        target="{id}",
        listing="",
        listed="Tags",
        resource_type=kind,
    )


def _by(parameter: str) -> dict[str, object]:
    return {parameter: ["{id}"]}


_VPC_ATTRIBUTES = {
    "enableDnsSupport": "EnableDnsSupport",
    "enableDnsHostnames": "EnableDnsHostnames",
}


def _vpc_attributes(inputs: Props, outputs: Props, scope: Scope) -> None:
    for name, member in _VPC_ATTRIBUTES.items():
        if name in inputs:
            scope.call(
                "ec2",
                "ModifyVpcAttribute",
                {"VpcId": outputs["vpcId"], member: {"Value": bool(inputs[name])}},
            )
    _default_ids(outputs, scope)


def _default_ids(outputs: Props, scope: Scope) -> None:
    only_vpc = {"Filters": [{"Name": "vpc-id", "Values": [outputs["vpcId"]]}]}
    groups = scope.call("ec2", "DescribeSecurityGroups", only_vpc)["SecurityGroups"]
    outputs["defaultSecurityGroupId"] = next(
        (group["GroupId"] for group in groups if group["GroupName"] == "default"), ""
    )
    tables = scope.call("ec2", "DescribeRouteTables", only_vpc)["RouteTables"]
    outputs["mainRouteTableId"] = next(
        (
            table["RouteTableId"]
            for table in tables
            if any(link.get("Main") for link in table.get("Associations") or [])
        ),
        "",
    )
    outputs["defaultRouteTableId"] = outputs["mainRouteTableId"]


def _vpc_read(found: Props, answer: Props, scope: Scope) -> None:
    vpc = answer["Vpcs"][0]
    for name, member in _VPC_ATTRIBUTES.items():
        value = scope.call(
            "ec2", "DescribeVpcAttribute", {"VpcId": vpc["VpcId"], "Attribute": name}
        )
        found[name] = value[member]["Value"]


def _modify_vpc(params: Props, inputs: Props, scope: Scope) -> None:
    wanted = [(m, bool(inputs[n])) for n, m in _VPC_ATTRIBUTES.items() if n in inputs]
    # The API takes one attribute a call: the last is the row's own call.
    for member, value in wanted[:-1]:
        scope.call("ec2", "ModifyVpcAttribute", {**params, member: {"Value": value}})
    if wanted:
        params[wanted[-1][0]] = {"Value": wanted[-1][1]}


def _subnet_attributes(inputs: Props, outputs: Props, scope: Scope) -> None:
    if inputs.get("mapPublicIpOnLaunch"):
        scope.call(
            "ec2",
            "ModifySubnetAttribute",
            {"SubnetId": outputs["subnetId"], "MapPublicIpOnLaunch": {"Value": True}},
        )


def _map_public(params: Props, inputs: Props, scope: Scope) -> None:
    params["MapPublicIpOnLaunch"] = {"Value": bool(inputs.get("mapPublicIpOnLaunch"))}


def _attach_gateway(inputs: Props, outputs: Props, scope: Scope) -> None:
    if inputs.get("vpcId"):
        scope.call(
            "ec2",
            "AttachInternetGateway",
            {"InternetGatewayId": outputs["internetGatewayId"], "VpcId": inputs["vpcId"]},
        )


def _detach_gateway(props: Props, scope: Scope) -> None:
    if props.get("vpcId"):
        scope.call(
            "ec2",
            "DetachInternetGateway",
            {"InternetGatewayId": props["id"], "VpcId": props["vpcId"]},
        )


def _gateway_vpc(found: Props, answer: Props, scope: Scope) -> None:
    attached = answer["InternetGateways"][0].get("Attachments") or []
    if attached:
        found["vpcId"] = attached[0]["VpcId"]


def _find_route(id_: str, props: Props, scope: Scope) -> Props | None:
    table_id = props.get("routeTableId") or id_.partition("_")[0]
    destination = props.get("destinationCidrBlock") or id_.partition("_")[2]
    try:
        tables = scope.call("ec2", "DescribeRouteTables", {"RouteTableIds": [table_id]})
    except ClientError:
        return None
    for route in tables["RouteTables"][0]["Routes"]:
        if route.get("DestinationCidrBlock") == destination and route.get("Origin") != (
            "CreateRouteTable"
        ):
            return {
                "routeTableId": table_id,
                "destinationCidrBlock": destination,
                "gatewayId": route.get("GatewayId"),
                "natGatewayId": route.get("NatGatewayId"),
            }
    return None


def _find_association(id_: str, props: Props, scope: Scope) -> Props | None:
    if "/" in id_:
        subnet, _, table_id = id_.partition("/")
        filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    else:
        filters = [{"Name": "association.route-table-association-id", "Values": [id_]}]
        table_id = ""
    tables = scope.call("ec2", "DescribeRouteTables", {"Filters": filters})["RouteTables"]
    for table in tables:
        for link in table.get("Associations") or []:
            if id_ in (link["RouteTableAssociationId"], f"{link.get('SubnetId')}/{table_id}"):
                return {
                    "routeTableId": table["RouteTableId"],
                    "subnetId": link.get("SubnetId"),
                    "associationId": link["RouteTableAssociationId"],
                }
    return None


def _address(found: Props, answer: Props, scope: Scope) -> None:
    addresses = answer["NatGateways"][0].get("NatGatewayAddresses") or []
    if addresses and addresses[0].get("AllocationId"):
        found["allocationId"] = addresses[0]["AllocationId"]


def _endpoint_read(found: Props, answer: Props, scope: Scope) -> None:
    endpoint = answer["VpcEndpoints"][0]
    if endpoint.get("Groups"):
        found["securityGroupIds"] = [group["GroupId"] for group in endpoint["Groups"]]
    for name in ("subnetIds", "routeTableIds", "securityGroupIds"):
        if not found.get(name):
            found.pop(name, None)


def _changed_members(params: Props, inputs: Props, scope: Scope) -> None:
    """The API takes additions and removals; the wanted lists are compared with what stands."""
    endpoint = scope.call(
        "ec2", "DescribeVpcEndpoints", {"VpcEndpointIds": [params["VpcEndpointId"]]}
    )["VpcEndpoints"][0]
    standing = {
        "routeTableIds": (endpoint.get("RouteTableIds") or [], "RouteTableIds"),
        "subnetIds": (endpoint.get("SubnetIds") or [], "SubnetIds"),
        "securityGroupIds": (
            [group["GroupId"] for group in endpoint.get("Groups") or []],
            "SecurityGroupIds",
        ),
    }
    for name, (present, suffix) in standing.items():
        wanted = inputs.get(name) or []
        added, gone = sorted(set(wanted) - set(present)), sorted(set(present) - set(wanted))
        if added:
            params[f"Add{suffix}"] = added
        if gone and name in inputs:
            params[f"Remove{suffix}"] = gone
    if "policy" in inputs:
        params["PolicyDocument"] = inputs["policy"]
    if "privateDnsEnabled" in inputs:
        params["PrivateDnsEnabled"] = inputs["privateDnsEnabled"]


def _prefix_list(inputs: Props, outputs: Props, scope: Scope) -> None:
    if inputs.get("vpcEndpointType") == "Gateway":
        wanted = {"Filters": [{"Name": "prefix-list-name", "Values": [inputs["serviceName"]]}]}
        lists = scope.call("ec2", "DescribePrefixLists", wanted)["PrefixLists"]
        if lists:
            outputs["prefixListId"] = lists[0]["PrefixListId"]
            outputs["cidrBlocks"] = lists[0].get("Cidrs") or []


def _permission(rule: Props) -> Props:
    permission: Props = {"IpProtocol": str(rule["protocol"])}
    if permission["IpProtocol"] != "-1":
        permission["FromPort"] = int(rule["fromPort"])
        permission["ToPort"] = int(rule["toPort"])
    described = {"Description": rule["description"]} if rule.get("description") else {}
    if rule.get("cidrBlocks"):
        permission["IpRanges"] = [{"CidrIp": block, **described} for block in rule["cidrBlocks"]]
    if rule.get("ipv6CidrBlocks"):
        permission["Ipv6Ranges"] = [
            {"CidrIpv6": block, **described} for block in rule["ipv6CidrBlocks"]
        ]
    if rule.get("prefixListIds"):
        permission["PrefixListIds"] = [
            {"PrefixListId": prefix, **described} for prefix in rule["prefixListIds"]
        ]
    groups = [*(rule.get("securityGroups") or [])]
    if groups:
        permission["UserIdGroupPairs"] = [{"GroupId": group, **described} for group in groups]
    return permission


def _set_rules(group_id: str, inputs: Props, scope: Scope) -> None:
    """Makes a group's rules exactly those of ``ingress`` and ``egress``, where given."""
    group = scope.call("ec2", "DescribeSecurityGroups", {"GroupIds": [group_id]})
    standing = group["SecurityGroups"][0]
    for name, member, verb in (
        ("ingress", "IpPermissions", "Ingress"),
        ("egress", "IpPermissionsEgress", "Egress"),
    ):
        if name not in inputs:
            continue
        present = [_bare(permission) for permission in standing.get(member) or []]
        wanted = [
            _bare(_permission({**rule, **_self(rule, group_id)})) for rule in inputs[name] or []
        ]
        for permissions, call in (
            ([p for p in present if p not in wanted], f"RevokeSecurityGroup{verb}"),
            ([p for p in wanted if p not in present], f"AuthorizeSecurityGroup{verb}"),
        ):
            if permissions:
                scope.call("ec2", call, {"GroupId": group_id, "IpPermissions": permissions})


def _self(rule: Props, group_id: str) -> Props:
    if not rule.get("self"):
        return {}
    return {"securityGroups": [*(rule.get("securityGroups") or []), group_id]}


def _bare(permission: Props) -> Props:
    """A permission without what the API adds: empty lists, owners."""
    kept = {key: value for key, value in permission.items() if value not in ([], None)}
    if "UserIdGroupPairs" in kept:
        kept["UserIdGroupPairs"] = [
            {key: pair[key] for key in ("GroupId", "Description") if pair.get(key)}
            for pair in kept["UserIdGroupPairs"]
        ]
    return kept


def _rules(permissions: list[Props], group_id: str) -> list[Props]:
    rules: list[Props] = []
    for permission in permissions:
        pairs = permission.get("UserIdGroupPairs") or []
        groups = [pair["GroupId"] for pair in pairs]
        sources = [
            *(permission.get("IpRanges") or []),
            *pairs,
            *(permission.get("PrefixListIds") or []),
        ]
        description = next((s["Description"] for s in sources if s.get("Description")), None)
        rule: Props = {
            "protocol": permission["IpProtocol"],
            "fromPort": permission.get("FromPort", 0),
            "toPort": permission.get("ToPort", 0),
            "cidrBlocks": [item["CidrIp"] for item in permission.get("IpRanges") or []],
            "prefixListIds": [p["PrefixListId"] for p in permission.get("PrefixListIds") or []],
            "securityGroups": [group for group in groups if group != group_id],
            "self": group_id in groups or None,
            "description": description,
        }
        rules.append({key: value for key, value in rule.items() if value not in (None, [])})
    return rules


def _group_rules(inputs: Props, outputs: Props, scope: Scope) -> None:
    # Pulumi's groups have no rule that is not declared, AWS adds one that lets everything out.
    _set_rules(outputs["groupId"], {"egress": [], **inputs}, scope)


def _group_read(found: Props, answer: Props, scope: Scope) -> None:
    group = answer["SecurityGroups"][0]
    found["name"] = group["GroupName"]
    found["ingress"] = _rules(group.get("IpPermissions") or [], group["GroupId"])
    found["egress"] = _rules(group.get("IpPermissionsEgress") or [], group["GroupId"])


def _change_rules(params: Props, inputs: Props, scope: Scope) -> None:
    _set_rules(params["GroupIds"][0], inputs, scope)


def _find_default_group(id_: str, props: Props, scope: Scope) -> Props | None:
    try:
        groups = scope.call("ec2", "DescribeSecurityGroups", {"GroupIds": [id_]})["SecurityGroups"]
    except ClientError:
        return None
    group = groups[0]
    return {
        "vpcId": group["VpcId"],
        "ingress": _rules(group.get("IpPermissions") or [], id_),
        "egress": _rules(group.get("IpPermissionsEgress") or [], id_),
        "name": group["GroupName"],
        "tagsAll": {tag["Key"]: tag["Value"] for tag in group.get("Tags") or []},
    }


def _default_of_vpc(params: Props, inputs: Props, scope: Scope) -> None:
    params["Filters"] = [
        {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]


def _close_default(inputs: Props, outputs: Props, scope: Scope) -> None:
    _set_rules(outputs["groupId"], {"ingress": [], "egress": [], **inputs}, scope)


def _change_default(params: Props, inputs: Props, scope: Scope) -> None:
    _set_rules(params["GroupIds"][0], {"ingress": [], "egress": [], **inputs}, scope)


_RULE_PROPERTIES = (
    "ipProtocol", "fromPort", "toPort", "cidrIpv4", "cidrIpv6", "prefixListId",
    "referencedSecurityGroupId", "description",
)  # fmt: skip


def _rule_permission(params: Props, inputs: Props, scope: Scope) -> None:
    described = {"Description": inputs["description"]} if inputs.get("description") else {}
    permission: Props = {"IpProtocol": str(inputs["ipProtocol"])}
    if "fromPort" in inputs:
        permission["FromPort"], permission["ToPort"] = inputs["fromPort"], inputs["toPort"]
    if inputs.get("cidrIpv4"):
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
    if inputs.get("cidrIpv6"):
        permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **described}]
    if inputs.get("prefixListId"):
        permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **described}]
    if inputs.get("referencedSecurityGroupId"):
        permission["UserIdGroupPairs"] = [
            {"GroupId": inputs["referencedSecurityGroupId"], **described}
        ]
    params["IpPermissions"] = [permission]


def _find_rule(id_: str, props: Props, scope: Scope) -> Props | None:
    try:
        rules = scope.call("ec2", "DescribeSecurityGroupRules", {"SecurityGroupRuleIds": [id_]})[
            "SecurityGroupRules"
        ]
    except ClientError:
        return None
    if not rules:
        return None
    rule = rules[0]
    found: Props = {
        "securityGroupId": rule["GroupId"],
        "ipProtocol": rule["IpProtocol"],
        "cidrIpv4": rule.get("CidrIpv4"),
        "prefixListId": rule.get("PrefixListId"),
        "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
        "description": rule.get("Description"),
        "tagsAll": {tag["Key"]: tag["Value"] for tag in rule.get("Tags") or []},
    }
    if rule["IpProtocol"] != "-1":
        found["fromPort"], found["toPort"] = rule.get("FromPort"), rule.get("ToPort")
    return {key: value for key, value in found.items() if value is not None}


def _rule(direction: str) -> Row:
    return Row(
        token=f"aws:vpc/securityGroup{direction}Rule:SecurityGroup{direction}Rule",
        service="ec2",
        create=Call(
            f"AuthorizeSecurityGroup{direction}",
            by={"GroupId": "{securityGroupId}"},
            only=(),
            prepare=_rule_permission,
            takes=_RULE_PROPERTIES,
        ),
        id="{securityGroupRuleId}",
        find=_find_rule,
        delete=Call(
            f"RevokeSecurityGroup{direction}",
            by={"GroupId": "{securityGroupId}", "SecurityGroupRuleIds": ["{id}"]},
        ),
        computed={"securityGroupRuleId": "SecurityGroupRules[0].SecurityGroupRuleId"},
        replace=("securityGroupId", *_RULE_PROPERTIES),
        tags=_tags("security-group-rule"),
        delete_first=False,
        gone=("InvalidSecurityGroupRuleId.NotFound", "InvalidGroup.NotFound",
              "InvalidPermission.NotFound"),
    )  # fmt: skip


def _flow_log(params: Props, inputs: Props, scope: Scope) -> None:
    for name, kind in (("vpcId", "VPC"), ("subnetId", "Subnet"), ("eniId", "NetworkInterface")):
        if inputs.get(name):
            params["ResourceIds"], params["ResourceType"] = [inputs[name]], kind
    if inputs.get("iamRoleArn"):
        params["DeliverLogsPermissionArn"] = inputs["iamRoleArn"]


def _flow_log_read(found: Props, answer: Props, scope: Scope) -> None:
    log = answer["FlowLogs"][0]
    found["vpcId"] = log["ResourceId"]
    found["iamRoleArn"] = log.get("DeliverLogsPermissionArn")


_ONCE = "is asked once: what came of it is told by other names"
_ASKED = dict.fromkeys(
    (
        "ipv4IpamPoolId", "ipv4NetmaskLength", "ipv6CidrBlock", "ipv6CidrBlockNetworkBorderGroup",
        "ipv6IpamPoolId", "ipv6NetmaskLength",
    ),
    _ONCE,
)  # fmt: skip
"""What a network's addresses are asked by."""


def _ec2(
    token: str,
    create: str,
    describe: str,
    listed: str,
    parameter: str,
    remove: str,
    kind: str,
    *,
    made: str,
    id_property: str,
    **rest: object,
) -> Row:
    """The usual EC2 resource: created, described by a list of ids, deleted by its id."""
    row = Row(
        token=token,
        service="ec2",
        create=rest.pop("call", None) or Call(create),  # type: ignore[arg-type]
        id=f"{{{id_property}}}",
        read=Call(describe, by=_by(f"{parameter}s"), path=f"{listed}[0]"),  # type: ignore[arg-type]
        delete=Call(remove, by={parameter: "{id}"}),
        computed={
            id_property: made,
            "arn": f"arn:{{partition}}:ec2:{{region}}:{{account}}:{kind}/{{{id_property}}}",
        },
        tags=replace(_tags(kind), listing=describe, listed=f"{listed}[0].Tags",
                     arn=f"{parameter}s", put_arn="Resources"),
        parts=(id_property,),
        separator="|",
        delete_first=False,
    )  # fmt: skip
    return replace(row, **rest)  # type: ignore[arg-type]


ROWS = [
    _ec2(
        "aws:ec2/vpc:Vpc", "CreateVpc", "DescribeVpcs", "Vpcs", "VpcId", "DeleteVpc", "vpc",
        made="Vpc.VpcId", id_property="vpcId",
        call=Call("CreateVpc", takes=("enableDnsSupport", "enableDnsHostnames")),
        update=(
            Call("ModifyVpcAttribute", by={"VpcId": "{id}"}, only=(), prepare=_modify_vpc,
                 takes=tuple(_VPC_ATTRIBUTES)),
        ),
        after=_vpc_attributes, observe=_vpc_read, unread=_ASKED,
        replace=("cidrBlock", "instanceTenancy"),
        defaults={"enableDnsSupport": True, "instanceTenancy": "default"},
    ),
    _ec2(
        "aws:ec2/subnet:Subnet", "CreateSubnet", "DescribeSubnets", "Subnets", "SubnetId",
        "DeleteSubnet", "subnet", made="Subnet.SubnetId", id_property="subnetId",
        update=(
            Call("ModifySubnetAttribute", by={"SubnetId": "{id}"}, only=(), prepare=_map_public,
                 takes=("mapPublicIpOnLaunch",)),
        ),
        after=_subnet_attributes,
        unread={k: why for k, why in _ASKED.items() if k != "ipv6CidrBlockNetworkBorderGroup"},
        replace=("vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId"),
        filled={"availabilityZone": None, "availabilityZoneId": None},
    ),
    _ec2(
        "aws:ec2/routeTable:RouteTable", "CreateRouteTable", "DescribeRouteTables", "RouteTables",
        "RouteTableId", "DeleteRouteTable", "route-table", made="RouteTable.RouteTableId",
        id_property="routeTableId", replace=("vpcId",),
        refused={
            "routes": "make each route with aws.ec2.Route",
            "propagatingVgws": "there are no VPN gateways, so leave it out",
        },
    ),
    Row(
        token="aws:ec2/route:Route",
        service="ec2",
        create=Call("CreateRoute"),
        id="{routeTableId}_{destinationCidrBlock}",
        find=_find_route,
        delete=Call(
            "DeleteRoute",
            by={"RouteTableId": "{routeTableId}", "DestinationCidrBlock": "{destinationCidrBlock}"},
        ),
        replace=("routeTableId", "destinationCidrBlock", "gatewayId", "natGatewayId"),
        unread=dict.fromkeys(
            (
                "carrierGatewayId", "coreNetworkArn", "destinationIpv6CidrBlock",
                "destinationPrefixListId", "localGatewayId", "networkInterfaceId",
                "odbNetworkArn", "transitGatewayId", "vpcEndpointId", "vpcPeeringConnectionId",
            ),
            "the row reads the ways through gateways",
        ),
    ),
    Row(
        token="aws:ec2/routeTableAssociation:RouteTableAssociation",
        service="ec2",
        create=Call("AssociateRouteTable"),
        id="{associationId}",
        import_id="{subnetId}/{routeTableId}",
        find=_find_association,
        delete=Call("DisassociateRouteTable", by={"AssociationId": "{id}"}),
        computed={"associationId": "AssociationId"},
        replace=("routeTableId", "subnetId", "gatewayId"),
        gone=("InvalidAssociationID.NotFound",),
    ),
    _ec2(
        "aws:ec2/internetGateway:InternetGateway", "CreateInternetGateway",
        "DescribeInternetGateways", "InternetGateways", "InternetGatewayId",
        "DeleteInternetGateway", "internet-gateway", made="InternetGateway.InternetGatewayId",
        id_property="internetGatewayId", call=Call("CreateInternetGateway", takes=("vpcId",)),
        after=_attach_gateway, before_delete=_detach_gateway, observe=_gateway_vpc,
        replace=("vpcId",),
    ),
    _ec2(
        "aws:ec2/eip:Eip", "AllocateAddress", "DescribeAddresses", "Addresses", "AllocationId",
        "ReleaseAddress", "elastic-ip", made="AllocationId", id_property="allocationId",
        replace=("domain",),
        unread={"address": "is told as the address that was given", "ipamPoolId": _ONCE},
    ),
    _ec2(
        "aws:ec2/natGateway:NatGateway", "CreateNatGateway", "DescribeNatGateways", "NatGateways",
        "NatGatewayId", "DeleteNatGateway", "natgateway", made="NatGateway.NatGatewayId",
        observe=_address, filled={"vpcId": None},
        id_property="natGatewayId", replace=("subnetId", "allocationId", "connectivityType"),
        unread=dict.fromkeys(
            (
                "availabilityZoneAddresses", "secondaryAllocationIds",
                "secondaryPrivateIpAddressCount", "secondaryPrivateIpAddresses",
            ),
            "the row reads the first address",
        ),
    ),
    _ec2(
        "aws:ec2/vpcEndpoint:VpcEndpoint", "CreateVpcEndpoint", "DescribeVpcEndpoints",
        "VpcEndpoints", "VpcEndpointId", "DeleteVpcEndpoints", "vpc-endpoint",
        made="VpcEndpoint.VpcEndpointId", id_property="vpcEndpointId",
        delete=Call("DeleteVpcEndpoints", by=_by("VpcEndpointIds")),  # type: ignore[arg-type]
        rename={"policy": "PolicyDocument"},
        update=(
            Call("ModifyVpcEndpoint", by={"VpcEndpointId": "{id}"}, only=(),
                 prepare=_changed_members,
                 takes=("policy", "privateDnsEnabled", "subnetIds", "securityGroupIds",
                        "routeTableIds")),
        ),
        after=_prefix_list, observe=_endpoint_read,
        unread={"subnetConfigurations": "is told as the subnets of the endpoint"},
        replace=("vpcId", "serviceName", "serviceRegion", "vpcEndpointType"),
        filled={"policy": None, "privateDnsEnabled": None, "vpcEndpointType": "Gateway"},
        ignored={"autoAccept": "endpoints of AWS services need no acceptance"},
    ),
    _ec2(
        "aws:ec2/securityGroup:SecurityGroup", "CreateSecurityGroup", "DescribeSecurityGroups",
        "SecurityGroups", "GroupId", "DeleteSecurityGroup", "security-group", made="GroupId",
        id_property="groupId", rename={"name": "GroupName"}, name="name",
        call=Call("CreateSecurityGroup", only=("name", "description", "vpcId"),
                  takes=("ingress", "egress")),
        update=(
            Call("DescribeSecurityGroups", by=_by("GroupIds"), only=(),  # type: ignore[arg-type]
                 prepare=_change_rules, takes=("ingress", "egress")),
        ),
        after=_group_rules, observe=_group_read,
        replace=("name", "namePrefix", "description", "vpcId"),
        defaults={"description": "Managed by Pulumi"},
        ignored={"revokeRulesOnDelete": "the emulator deletes a group with its rules"},
    ),
    Row(
        token="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        service="ec2",
        create=Call("DescribeSecurityGroups", only=(), prepare=_default_of_vpc,
                    takes=("vpcId", "ingress", "egress")),
        id="{groupId}",
        find=_find_default_group,
        update=(
            Call("DescribeSecurityGroups", by=_by("GroupIds"), only=(),  # type: ignore[arg-type]
                 prepare=_change_default, takes=("ingress", "egress")),
        ),
        after=_close_default,
        computed={
            "groupId": "SecurityGroups[0].GroupId",
            "name": "SecurityGroups[0].GroupName",
            "arn": "arn:{partition}:ec2:{region}:{account}:security-group/{groupId}",
        },
        replace=("vpcId",),
        tags=replace(_tags("security-group"), member=""),
    ),
    _rule("Ingress"),
    _rule("Egress"),
    Row(
        token="aws:ec2/flowLog:FlowLog",
        service="ec2",
        create=Call("CreateFlowLogs", only=("trafficType", "logDestinationType", "logDestination",
                                            "logGroupName", "maxAggregationInterval", "logFormat"),
                    prepare=_flow_log, takes=("vpcId", "subnetId", "eniId", "iamRoleArn")),
        id="{flowLogId}",
        read=Call("DescribeFlowLogs", by=_by("FlowLogIds"), path="FlowLogs[0]"),  # type: ignore[arg-type]
        delete=Call("DeleteFlowLogs", by=_by("FlowLogIds")),  # type: ignore[arg-type]
        observe=_flow_log_read,
        computed={
            "flowLogId": "FlowLogIds[0]",
            "arn": "arn:{partition}:ec2:{region}:{account}:vpc-flow-log/{flowLogId}",
        },
        parts=("flowLogId",),
        replace=("vpcId", "subnetId", "eniId", "trafficType", "logDestinationType",
                 "logDestination", "iamRoleArn", "maxAggregationInterval", "logFormat"),
        defaults={"logDestinationType": "cloud-watch-logs", "maxAggregationInterval": 600},
        filled={"logFormat": None},
        tags=replace(_tags("vpc-flow-log"), listing="DescribeFlowLogs", listed="FlowLogs[0].Tags",
                     arn="FlowLogIds", put_arn="Resources"),
    ),
    Row(
        token="aws:ebs/encryptionByDefault:EncryptionByDefault",
        service="ec2",
        create=Call("EnableEbsEncryptionByDefault", only=(), takes=("enabled",)),
        id="ebs-encryption-by-default",
        read=Call("GetEbsEncryptionByDefault"),
        delete=Call("DisableEbsEncryptionByDefault"),
        rename={"enabled": "EbsEncryptionByDefault"},
        replace=("enabled",),
    ),
    Row(
        token="aws:ebs/defaultKmsKey:DefaultKmsKey",
        service="ec2",
        create=Call("ModifyEbsDefaultKmsKeyId", by={"KmsKeyId": "{keyArn}"}, only=()),
        id="{keyArn}",
        read=Call("GetEbsDefaultKmsKeyId"),
        delete=Call("ResetEbsDefaultKmsKeyId"),
        rename={"keyArn": "KmsKeyId"},
        replace=("keyArn",),
    ),
]  # fmt: skip
