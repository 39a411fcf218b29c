"""Network: everything in the VPC, nothing open to the internet."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping

from pulumi_policy import Severity

from mlops_policy.aws import (
    CODEBUILD,
    DOMAIN,
    FUNCTION,
    JOB_DEFINITION,
    JOB_NETWORKS,
    MODEL,
    MONITORING_SCHEDULE,
    NOTEBOOK,
    PIPELINE,
    SECURITY_GROUP,
    SUBNET,
    TRAINING_JOB,
    TUNING_JOB,
    VPC,
    VPC_ENDPOINT,
)
from mlops_policy.model import Example, Family, Options, Resource, Stack, strings
from mlops_policy.pipelines import jobs
from mlops_policy.values import Block, listed

FAMILY = Family("network", "Everything runs in the VPC, and nothing is open to the internet.")

_VPC_CONFIG = {"subnets": ["subnet-1", "subnet-2"], "securityGroupIds": ["sg-1"]}


@FAMILY.resource(
    "studio-vpc-only",
    types=[DOMAIN],
    severity=Severity.CRITICAL,
    title="A Studio domain sends all traffic through the VPC.",
    why="With direct internet access a notebook sends data anywhere, past every endpoint policy.",
    fix='set appNetworkAccessType to "VpcOnly"',
    bad=[Example(DOMAIN, {"appNetworkAccessType": "PublicInternetOnly"}), Example(DOMAIN)],
    good=[Example(DOMAIN, {"appNetworkAccessType": "VpcOnly"})],
)
def _studio_vpc_only(domain: Resource, _options: Options) -> Iterator[str]:
    access = domain.get("appNetworkAccessType", "PublicInternetOnly")
    if access != "VpcOnly":
        yield f"apps of the domain reach the internet directly ({access})"


@FAMILY.resource(
    "studio-auth-mode",
    types=[DOMAIN],
    severity=Severity.HIGH,
    title="Users come to Studio only by an allowed way of signing in.",
    why="The company decides between IAM and IAM Identity Center; a domain cannot change it later.",
    fix="set authMode to one of the allowed modes",
    bad=[Example(DOMAIN, {"authMode": "Other"})],
    good=[Example(DOMAIN, {"authMode": "IAM"}), Example(DOMAIN, {"authMode": "SSO"})],
    options={"modes": strings("Allowed modes.", ["IAM", "SSO"])},
)
def _studio_auth_mode(domain: Resource, options: Options) -> Iterator[str]:
    mode = domain.get("authMode")
    if mode not in options["modes"]:
        yield f"authMode {mode} is not one of {listed(options['modes'])}"


VPC_BLOCKS: Mapping[str, tuple[tuple[str, str], ...]] = {
    MODEL: (("", "vpcConfig"),),
    **{
        type_: tuple((block, f"{network}vpcConfig") for block, network in places)
        for type_, places in JOB_NETWORKS.items()
    },
    FUNCTION: (("", "vpcConfig"),),
    CODEBUILD: (("", "vpcConfig"),),
    NOTEBOOK: (("", "subnetId"),),
}
"""Type -> (block that may be there several times, property in it that places it in a VPC)."""


@FAMILY.resource(
    "workloads-in-vpc",
    types=VPC_BLOCKS,
    severity=Severity.CRITICAL,
    title="Jobs, models, notebooks, functions and builds run in a VPC.",
    why="Outside of a VPC they reach the internet, and buckets bound to it refuse them.",
    fix="give it private subnets and a security group",
    bad=[
        Example(MODEL, {"executionRoleArn": "arn:aws:iam::111122223333:role/model"}),
        Example(FUNCTION, {"runtime": "python3.13"}),
        Example(NOTEBOOK, {"instanceType": "ml.t3.medium"}),
        Example(JOB_DEFINITION, {"networkConfig": {"enableNetworkIsolation": True}}),
    ],
    good=[
        Example(MODEL, {"vpcConfig": _VPC_CONFIG}),
        Example(NOTEBOOK, {"subnetId": "subnet-1"}),
        Example(JOB_DEFINITION, {"networkConfig": {"vpcConfig": _VPC_CONFIG}}),
    ],
)
def _workloads_in_vpc(workload: Resource, _options: Options) -> Iterator[str]:
    for path, key in VPC_BLOCKS[workload.type]:
        for block in workload.blocks(path):
            if not block.has(key):
                yield f"it runs outside of a VPC: {key} is not set"


@FAMILY.resource(
    "pipeline-jobs-in-vpc",
    types=[PIPELINE],
    severity=Severity.CRITICAL,
    title="The jobs of a SageMaker pipeline run in a VPC.",
    why="Each step starts a job of its own; one without network settings runs outside of the VPC.",
    fix="give the step a VpcConfig: training, tuning and models have it themselves, processing in "
    "its NetworkConfig, AutoML in its SecurityConfig",
    bad=[
        Example(
            PIPELINE,
            {
                "pipelineDefinition": json.dumps(
                    {"Steps": [{"Name": "Train", "Type": "Training", "Arguments": {}}]}
                )
            },
        )
    ],
    good=[
        Example(
            PIPELINE,
            {
                "pipelineDefinition": json.dumps(
                    {
                        "Steps": [
                            {
                                "Name": "Train",
                                "Type": "Training",
                                "Arguments": {"VpcConfig": {"Subnets": ["subnet-1"]}},
                            }
                        ]
                    }
                )
            },
        )
    ],
)
def _pipeline_jobs_in_vpc(pipeline: Resource, _options: Options) -> Iterator[str]:
    for job in jobs(pipeline):
        if job.takes_vpc and not all(network.get("VpcConfig") for network in job.networks):
            yield f"step {job.name} ({job.kind}) runs outside of a VPC"


@FAMILY.resource(
    "notebook-no-internet",
    types=[NOTEBOOK],
    severity=Severity.CRITICAL,
    title="A notebook instance has no direct way to the internet.",
    why="A subnet alone is not enough: direct internet access is on unless it is turned off.",
    fix='set directInternetAccess to "Disabled"',
    bad=[Example(NOTEBOOK, {"subnetId": "subnet-1"})],
    good=[Example(NOTEBOOK, {"subnetId": "subnet-1", "directInternetAccess": "Disabled"})],
)
def _notebook_no_internet(notebook: Resource, _options: Options) -> Iterator[str]:
    if notebook.get("directInternetAccess", "Enabled") != "Disabled":
        yield "it reaches the internet directly"


SUBNET_LISTS: Mapping[str, tuple[str, ...]] = {
    DOMAIN: ("subnetIds",),
    MODEL: ("vpcConfig.subnets",),
    TRAINING_JOB: ("vpcConfig.subnets",),
    TUNING_JOB: (
        "trainingJobDefinition.vpcConfig.subnets",
        "trainingJobDefinitions.vpcConfig.subnets",
    ),
    JOB_DEFINITION: ("networkConfig.vpcConfig.subnets",),
    MONITORING_SCHEDULE: (
        "monitoringScheduleConfig.monitoringJobDefinition.networkConfig.vpcConfig.subnets",
    ),
    FUNCTION: ("vpcConfig.subnetIds",),
    CODEBUILD: ("vpcConfig.subnets",),
    VPC_ENDPOINT: ("subnetIds",),
}
"""Type -> the lists of its subnets."""

_SUBNETS: Mapping[str, tuple[str, ...]] = {**SUBNET_LISTS, NOTEBOOK: ("subnetId",)}
"""Type -> where it names the subnets that it lies in, the one that takes a single one included."""


@FAMILY.resource(
    "two-subnets",
    types=SUBNET_LISTS,
    severity=Severity.MEDIUM,
    title="What runs in the VPC is given at least two subnets.",
    why="With one subnet the loss of its zone stops it.",
    fix="name subnets of at least two availability zones",
    bad=[
        Example(DOMAIN, {"subnetIds": ["subnet-1"]}),
        Example(MODEL, {"vpcConfig": {"subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}}),
        Example(
            TUNING_JOB,
            {
                "trainingJobDefinitions": [
                    {"vpcConfig": _VPC_CONFIG},
                    {"vpcConfig": {"subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}},
                ]
            },
        ),
    ],
    good=[
        Example(DOMAIN, {"subnetIds": ["subnet-1", "subnet-2"]}),
        Example(TUNING_JOB, {"trainingJobDefinition": {"vpcConfig": _VPC_CONFIG}}),
        Example(VPC_ENDPOINT, {"serviceName": "com.amazonaws.eu-west-1.s3"}),
    ],
)
def _two_subnets(resource: Resource, _options: Options) -> Iterator[str]:
    for path in SUBNET_LISTS[resource.type]:
        within, _, key = path.rpartition(".")
        for block in resource.blocks(within):
            # At the top its absence says that the resource takes none, as a gateway endpoint.
            if (within or block.has(key)) and block.count(key) < 2:
                yield f"{path} names fewer than two subnets"


def _private_subnets(zones: int) -> list[Example]:
    return [
        Example(VPC, {"cidrBlock": "10.0.0.0/16"}, "vpc"),
        *(
            Example(
                SUBNET,
                {"vpcId": "${vpc.id}", "availabilityZone": f"eu-west-1{'ab'[i % zones]}"},
                f"private-{i}",
            )
            for i in range(2)
        ),
    ]


@FAMILY.stack(
    "vpc-two-zones",
    subjects=[VPC],
    severity=Severity.MEDIUM,
    title="A VPC has private subnets in at least two availability zones.",
    why="One zone is one building; VPC endpoints and Studio need more than one to survive it.",
    fix="add private subnets in another availability zone",
    bad=[
        _private_subnets(1),
        [Example(VPC, {"cidrBlock": "10.0.0.0/16"}, "vpc")],
        [
            *_private_subnets(1),
            Example(
                SUBNET,
                {
                    "vpcId": "${vpc.id}",
                    "availabilityZone": "eu-west-1b",
                    "mapPublicIpOnLaunch": True,
                },
                "vpc-public",
            ),
        ],
    ],
    good=[_private_subnets(2)],
)
def _vpc_two_zones(vpc: Resource, stack: Stack, _options: Options) -> Iterator[str]:
    own = [
        subnet
        for subnet in stack.of(SUBNET)
        if stack.refers(subnet, "vpcId", vpc) and not _is_public(subnet, stack)
    ]
    zones = {
        subnet.get("availabilityZone") or subnet.get("availabilityZoneId") or subnet.name
        for subnet in own
    }
    if len(zones) < 2:
        where = listed(zones) or "none"
        yield f"its private subnets lie in fewer than two availability zones ({where})"


@FAMILY.resource(
    "vpc-dns",
    types=[VPC],
    severity=Severity.MEDIUM,
    title="A VPC resolves names and gives them to what is in it.",
    why="Without both settings, private DNS of VPC endpoints does not work.",
    fix="set enableDnsHostnames to true and leave enableDnsSupport on",
    bad=[
        Example(VPC, {"cidrBlock": "10.0.0.0/16"}),
        Example(VPC, {"enableDnsHostnames": True, "enableDnsSupport": False}),
    ],
    good=[Example(VPC, {"enableDnsHostnames": True})],
)
def _vpc_dns(vpc: Resource, _options: Options) -> Iterator[str]:
    if not vpc.get("enableDnsHostnames", False):
        yield "enableDnsHostnames is off"
    if not vpc.get("enableDnsSupport", True):
        yield "enableDnsSupport is off"


FLOW_LOG = "aws:ec2/flowLog:FlowLog"


@FAMILY.stack(
    "vpc-flow-logs",
    subjects=[VPC],
    severity=Severity.HIGH,
    title="Every VPC records all traffic in flow logs.",
    why="Without flow logs nobody can tell afterwards what left the network.",
    fix='add an aws.ec2.FlowLog for the VPC with trafficType "ALL"',
    bad=[
        [Example(VPC, name="vpc")],
        [
            Example(VPC, name="vpc"),
            Example(FLOW_LOG, {"vpcId": "${vpc.id}", "trafficType": "REJECT"}, "flow"),
        ],
    ],
    good=[
        [
            Example(VPC, name="vpc"),
            Example(FLOW_LOG, {"vpcId": "${vpc.id}", "trafficType": "ALL"}, "flow"),
        ]
    ],
)
def _vpc_flow_logs(vpc: Resource, stack: Stack, _options: Options) -> Iterator[str]:
    logs = [log for log in stack.of(FLOW_LOG) if stack.refers(log, "vpcId", vpc)]
    if not any(log.get("trafficType") == "ALL" for log in logs):
        yield "no flow log records all of its traffic"


_LOCAL = (ipaddress.IPv6Network("fc00::/7"), ipaddress.IPv6Network("fe80::/10"))
"""Addresses of one's own networks alone. Source: IANA IPv6 special-purpose address registry."""

_BROADEST = {4: 8, 6: 16}
"""IP version -> shortest prefix that a company's own block may have; a broader one of public
addresses lets in strangers, also when the world is written as its two halves."""


def _open(cidr: str) -> bool:
    """Whether a block of addresses holds strangers' ones; what is no block is taken for open."""
    try:
        block = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return True
    local = isinstance(block, ipaddress.IPv6Network) and any(map(block.subnet_of, _LOCAL))
    return block.prefixlen < _BROADEST[block.version] and not local


DEFAULT_SECURITY_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
SECURITY_GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"


@FAMILY.resource(
    "no-open-ingress",
    types=[SECURITY_GROUP, DEFAULT_SECURITY_GROUP, SECURITY_GROUP_RULE, INGRESS_RULE],
    severity=Severity.CRITICAL,
    title="No security group lets the whole internet in.",
    why="An open port is found within minutes.",
    fix="name the security group or the address block that needs access",
    bad=[
        Example(INGRESS_RULE, {"cidrIpv4": "0.0.0.0/0", "ipProtocol": "tcp"}),
        Example(SECURITY_GROUP, {"ingress": [{"protocol": "-1", "ipv6CidrBlocks": ["::/0"]}]}),
        Example(SECURITY_GROUP_RULE, {"type": "ingress", "cidrBlocks": ["0.0.0.0/0"]}),
    ],
    good=[
        Example(INGRESS_RULE, {"referencedSecurityGroupId": "sg-1", "ipProtocol": "tcp"}),
        Example(SECURITY_GROUP, {"ingress": [{"protocol": "tcp", "cidrBlocks": ["10.0.0.0/16"]}]}),
        Example(SECURITY_GROUP_RULE, {"type": "egress", "cidrBlocks": ["0.0.0.0/0"]}),
    ],
)
def _no_open_ingress(resource: Resource, _options: Options) -> Iterator[str]:
    for cidr in _ingress(resource):
        if _open(cidr):
            yield f"ingress is open to {cidr}"


def _ingress(resource: Resource) -> Iterator[str]:
    if resource.type == INGRESS_RULE:
        for key in ("cidrIpv4", "cidrIpv6"):
            if resource.has(key):
                yield resource.get(key)
        return
    rules: list[Block] = [resource]
    if resource.type != SECURITY_GROUP_RULE:
        rules = resource.blocks("ingress")
    elif resource.get("type") != "ingress":
        return
    for rule in rules:
        yield from rule.strings("cidrBlocks")
        yield from rule.strings("ipv6CidrBlocks")


@FAMILY.stack(
    "default-security-group-closed",
    subjects=[VPC],
    severity=Severity.HIGH,
    title="The default security group of every VPC has no rules.",
    why="What is made without a security group gets the default one, which lets its members talk.",
    fix="add an aws.ec2.DefaultSecurityGroup for the VPC with no ingress and no egress",
    bad=[
        [Example(VPC, name="vpc")],
        [
            Example(VPC, name="vpc"),
            Example(
                DEFAULT_SECURITY_GROUP,
                {"vpcId": "${vpc.id}", "ingress": [{"protocol": "-1", "self": True}]},
                "default",
            ),
        ],
    ],
    good=[
        [
            Example(VPC, name="vpc"),
            Example(DEFAULT_SECURITY_GROUP, {"vpcId": "${vpc.id}"}, "default"),
        ]
    ],
)
def _default_group_closed(vpc: Resource, stack: Stack, _options: Options) -> Iterator[str]:
    groups = [
        group for group in stack.of(DEFAULT_SECURITY_GROUP) if stack.refers(group, "vpcId", vpc)
    ]
    if not groups:
        yield "its default security group keeps the rules that AWS gives it"
    for group in groups:
        if group.count("ingress") or group.count("egress"):
            yield f"its default security group {group.name} has rules"


ROUTE = "aws:ec2/route:Route"
ROUTE_TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE_TABLE_ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"


@FAMILY.resource(
    "subnet-no-public-addresses",
    types=[SUBNET],
    severity=Severity.HIGH,
    title="Only subnets that are public by name hand out public addresses.",
    why="A public address makes anything that is started in the subnet reachable from outside.",
    fix="leave mapPublicIpOnLaunch out, or set it to false",
    bad=[Example(SUBNET, {"mapPublicIpOnLaunch": True}, "vpc-private-1")],
    good=[
        Example(SUBNET, {"mapPublicIpOnLaunch": False}, "vpc-private-1"),
        Example(SUBNET, name="vpc-private-1"),
        Example(SUBNET, {"mapPublicIpOnLaunch": True}, "vpc-public-1"),
    ],
    options={
        "public": strings(
            "Names (patterns with `*`) of the subnets of NAT gateways. ml-not-in-public-subnets "
            "keeps everything else out of them.",
            ["*-public-*"],
        )
    },
)
def _no_public_addresses(subnet: Resource, options: Options) -> Iterator[str]:
    if subnet.get("mapPublicIpOnLaunch", False) and not subnet.named(options["public"]):
        yield "what starts in it gets a public address"


_PUBLIC = [
    Example(VPC, name="vpc"),
    Example("aws:ec2/internetGateway:InternetGateway", {"vpcId": "${vpc.id}"}, "gateway"),
    Example(SUBNET, {"vpcId": "${vpc.id}"}, "public"),
    Example(SUBNET, {"vpcId": "${vpc.id}"}, "private"),
    Example(ROUTE_TABLE, {"vpcId": "${vpc.id}"}, "to-internet"),
    Example(
        ROUTE,
        {
            "routeTableId": "${to-internet.id}",
            "destinationCidrBlock": "0.0.0.0/0",
            "gatewayId": "${gateway.id}",
        },
        "internet",
    ),
    Example(
        ROUTE_TABLE_ASSOCIATION,
        {"subnetId": "${public.id}", "routeTableId": "${to-internet.id}"},
        "public",
    ),
]


@FAMILY.stack(
    "ml-not-in-public-subnets",
    subjects=tuple(_SUBNETS),
    severity=Severity.HIGH,
    title="What runs in the VPC does not lie in subnets that the internet can reach.",
    why="A public subnet is one address away from being reachable.",
    fix="name private subnets",
    bad=[
        [*_PUBLIC, Example(DOMAIN, {"subnetIds": ["${public.id}"]}, "studio")],
        [
            Example(SUBNET, {"mapPublicIpOnLaunch": True}, "public"),
            Example(NOTEBOOK, {"subnetId": "${public.id}"}, "notebook"),
        ],
        [*_PUBLIC, Example(MODEL, {"vpcConfig": {"subnets": ["${public.id}"]}}, "model")],
    ],
    good=[
        [*_PUBLIC, Example(DOMAIN, {"subnetIds": ["${private.id}"]}, "studio")],
        [*_PUBLIC, Example(MODEL, {"vpcConfig": {"subnets": ["${private.id}"]}}, "model")],
    ],
)
def _not_in_public_subnets(workload: Resource, stack: Stack, _options: Options) -> Iterator[str]:
    for subnet in stack.of(SUBNET):
        if not any(stack.refers(workload, path, subnet) for path in _SUBNETS[workload.type]):
            continue
        if _is_public(subnet, stack):
            yield f"it lies in subnet {subnet.name}, which the internet can reach"


def _is_public(subnet: Resource, stack: Stack) -> bool:
    if subnet.get("mapPublicIpOnLaunch", False):
        return True
    tables = [
        table
        for association in stack.of(ROUTE_TABLE_ASSOCIATION)
        if association.has("subnetId") and stack.refers(association, "subnetId", subnet)
        for table in stack.of(ROUTE_TABLE)
        if stack.refers(association, "routeTableId", table)
    ]
    for table in tables:
        routes: list[Block] = list(table.blocks("routes"))
        routes += [r for r in stack.of(ROUTE) if stack.refers(r, "routeTableId", table)]
        if any(_to_internet(route) for route in routes):
            return True
    return False


def _to_internet(route: Block) -> bool:
    # A default route by gatewayId can only lead to an internet gateway or a virtual private one.
    cidrs = [route.get(key) for key in ("cidrBlock", "destinationCidrBlock") if route.has(key)]
    return any(_open(cidr) for cidr in cidrs) and route.has("gatewayId")


FUNCTION_URL = "aws:lambda/functionUrl:FunctionUrl"


@FAMILY.resource(
    "function-url-authenticated",
    types=[FUNCTION_URL],
    severity=Severity.CRITICAL,
    title="A function's URL asks for IAM credentials.",
    why="Without them anybody on the internet can call the function.",
    fix='set authorizationType to "AWS_IAM"',
    bad=[Example(FUNCTION_URL, {"authorizationType": "NONE"})],
    good=[Example(FUNCTION_URL, {"authorizationType": "AWS_IAM"})],
)
def _function_url(url: Resource, _options: Options) -> Iterator[str]:
    if url.get("authorizationType", "NONE") != "AWS_IAM":
        yield "anybody can call the function"
