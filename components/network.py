"""A private network: made, or one that the company has.

Workloads run in subnets without a route to the internet unless NAT is asked for, and reach AWS
through VPC endpoints whose policies admit only the company's own identities and resources. Left
out: peering and transit gateways, which belong to the company's own network team.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws
import pulumi_awsx as awsx
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.contract import publish
from components.endpoint_services import GATEWAYS
from components.naming import Names, Placement

_OWN_PREFIX = {
    "studio": "aws.sagemaker.{region}.studio",
    "notebook": "aws.sagemaker.{region}.notebook",
    "iam": "com.amazonaws.iam",
}
"""Endpoint services that are not called ``com.amazonaws.<region>.…``.

Source: SageMaker AI developer guide, "Connect to Studio and notebook instances through an interface
endpoint"; IAM user guide, interface VPC endpoints.
"""

_SERVICE_REGIONS = {
    "iam": {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
}
"""Endpoint service -> partition -> its one region, which endpoints of the others lead to.

Source: AWS PrivateLink guide, cross-region enabled services; IAM user guide, interface VPC
endpoints.
"""

WITHOUT_POLICY = frozenset({"codepipeline"})
"""Endpoint services that refuse a policy of their own: AWS answers with an error."""


def service_name(service: str, region: str) -> str:
    """The full name of an endpoint service."""
    return _OWN_PREFIX.get(service, f"com.amazonaws.{{region}}.{service}").format(region=region)


def not_offered(services: Iterable[str], region: str, offered: Iterable[str]) -> list[str]:
    """The full names of endpoint services that a region does not offer.

    Args:
        services: Interface endpoint services, such as ``kms``.
        region: Where the endpoints are.
        offered: The full names that EC2's ``DescribeVpcEndpointServices`` lists there. It does not
            list those of services with one region, which are reached from all regions.
    """
    wanted = (service_name(one, region) for one in services if one not in _SERVICE_REGIONS)
    return sorted(set(wanted) - set(offered))


def endpoint_statements(placement: Placement, service: str) -> list[iam.Statement]:
    """An endpoint's policy: the company's identities, and only what belongs to the company.

    ``*`` as principal, action and resource is bounded by the condition: an endpoint policy grants
    nothing by itself, it limits what identities may reach through it.
    """
    accounts = sorted(set(placement["accounts"].values()))
    organization = placement.get("organization_id")
    own = iam.within_organization(organization, accounts, subject="Principal")
    held = iam.within_organization(organization, accounts, subject="Resource")
    statements = [
        iam.Statement(
            sid="OwnIdentitiesToOwnResources",
            principals="*",
            actions=["*"],
            resources=["*"],
            conditions=iam.merged(own, held),
        )
    ]
    region = placement["region"]
    buckets = f"arn:{Names.at(placement).partition}:s3:::"
    if service == "s3":
        statements.append(
            iam.Statement(
                # Image layers are fetched by URLs that an account of Amazon ECR has signed, so the
                # caller is not of the company. Source: Amazon ECR user guide, VPC endpoints.
                sid="ImageLayers",
                principals="*",
                actions=["s3:GetObject"],
                resources=[f"{buckets}prod-{region}-starport-layer-bucket/*"],
                conditions={"Bool": {"aws:SecureTransport": "true"}},
            )
        )
        statements.append(
            iam.Statement(
                # SageMaker's model hub is in a bucket of AWS.
                sid="AwsOwnedBuckets",
                principals="*",
                actions=["s3:GetObject"],
                resources=[f"{buckets}jumpstart-cache-prod-{region}/*"],
                conditions=own,
            )
        )
        statements.append(
            iam.Statement(
                # A custom resource answers by a URL that CloudFormation has signed: neither caller
                # nor bucket is of the company. The region has no hyphens there. Source:
                # CloudFormation user guide, VPC endpoints.
                sid="AnswersToCloudFormation",
                principals="*",
                actions=["s3:PutObject"],
                resources=[
                    f"{buckets}cloudformation-custom-resource-response-{region.replace('-', '')}/*"
                ],
                conditions={"Bool": {"aws:SecureTransport": "true"}},
            )
        )
    if service == "sts":
        statements.append(
            iam.Statement(
                # Who somebody is, is no resource of anybody: the deployments' function asks it with
                # the signature of the person who wants a rollback.
                sid="WhoSigned",
                principals="*",
                actions=["sts:GetCallerIdentity"],
                resources=["*"],
                conditions=own,
            )
        )
    if service in ("ecr.api", "ecr.dkr"):
        statements.append(
            iam.Statement(
                # SageMaker's framework images are in repositories of AWS's accounts.
                sid="AwsOwnedImages",
                principals="*",
                actions=[
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetAuthorizationToken",
                    "ecr:GetDownloadUrlForLayer",
                ],
                resources=["*"],
                conditions=own,
            )
        )
    return statements


class CreateNetwork(TypedDict):
    """A network to make."""

    cidr: str
    """Private IPv4 block, /16 to /22."""
    zones: int
    """Availability zones, two or more."""
    nat: str
    """``none``, ``single`` or ``per_zone``."""


class UseNetwork(TypedDict):
    """A network that exists."""

    vpc_id: str
    private_subnet_ids: Sequence[str]
    """Subnets of two zones or more."""
    security_group_ids: Sequence[str]
    """Workload security groups."""
    route_table_ids: Sequence[str]
    """Where a gateway endpoint is attached, if one is made."""
    endpoint_ids: Mapping[str, str]
    """Service -> endpoint that exists."""
    create_endpoints: bool
    """Whether missing endpoints are made."""


class NetworkArgs(TypedDict):
    """Inputs of :class:`Network`; exactly one of ``create`` and ``existing``."""

    placement: Placement
    """Where it lives."""
    create: NotRequired[CreateNetwork]
    """A network to make."""
    existing: NotRequired[UseNetwork]
    """A network to use."""
    endpoint_services: Sequence[str]
    """Interface endpoint services, such as ``kms``."""
    log_key_arn: Input[str]
    """Key of the flow logs."""
    log_retention_days: int
    """How long flow logs are kept."""
    boundary_arn: Input[str]
    """Permissions boundary of the roles made here."""


class Network(pulumi.ComponentResource):
    """VPC, subnets, security groups, endpoints and flow logs."""

    vpc_id: Output[str]
    private_subnet_ids: Output[Sequence[str]]
    """Subnets for workloads, one in each zone or more."""
    workload_security_group_ids: list[Output[str]]
    """Security groups for jobs, Studio and endpoints."""
    endpoint_ids: dict[str, Output[str]]
    """Service -> VPC endpoint."""

    def __init__(self, name: str, args: NetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mlops:index:Network", name, dict(args), opts)
        self._name, self._args = name, args
        self._names = Names.at(args["placement"])
        self.endpoint_ids = {}
        if "create" in args:
            self._create(args["create"])
        elif "existing" in args:
            self._use(args["existing"])
        else:
            raise ValueError("NetworkArgs needs either create or existing")
        self._parameters()
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "private_subnet_ids": self.private_subnet_ids,
                "workload_security_group_ids": self.workload_security_group_ids,
                "endpoint_ids": self.endpoint_ids,
            }
        )

    def _child(self, parent: pulumi.Resource | None = None) -> ResourceOptions:
        return ResourceOptions(parent=parent or self)

    def _create(self, wanted: CreateNetwork) -> None:
        with_nat = wanted["nat"] != "none"
        tiers: list[awsx.ec2.SubnetSpecArgs] = [
            awsx.ec2.SubnetSpecArgs(type=awsx.ec2.SubnetType.ISOLATED, name="isolated")
        ]
        if with_nat:
            tiers += [
                awsx.ec2.SubnetSpecArgs(type=awsx.ec2.SubnetType.PRIVATE, name="private"),
                awsx.ec2.SubnetSpecArgs(
                    type=awsx.ec2.SubnetType.PUBLIC, name="public", cidr_mask=27
                ),
            ]
        strategy = {
            "none": awsx.ec2.NatGatewayStrategy.NONE,
            "single": awsx.ec2.NatGatewayStrategy.SINGLE,
            "per_zone": awsx.ec2.NatGatewayStrategy.ONE_PER_AZ,
        }[wanted["nat"]]
        vpc = awsx.ec2.Vpc(
            self._names.name("vpc"),
            cidr_block=wanted["cidr"],
            number_of_availability_zones=wanted["zones"],
            nat_gateways=awsx.ec2.NatGatewayConfigurationArgs(strategy=strategy),
            subnet_strategy=awsx.ec2.SubnetAllocationStrategy.AUTO,
            subnet_specs=tiers,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            opts=self._child(),
        )
        self.vpc_id = vpc.vpc_id
        self.private_subnet_ids = vpc.private_subnet_ids if with_nat else vpc.isolated_subnet_ids
        self._flow_logs()
        aws.ec2.DefaultSecurityGroup(
            f"{self._name}-default", vpc_id=self.vpc_id, opts=self._child()
        )
        tables = vpc.route_tables.apply(lambda found: [table.id for table in found])
        endpoint_group = self._security_groups()
        self._gateways(GATEWAYS, cast("Output[Sequence[str]]", tables))
        self._interfaces(self._args["endpoint_services"], endpoint_group)
        self._workload_egress(with_nat)

    def _use(self, given: UseNetwork) -> None:
        self.vpc_id = Output.from_input(given["vpc_id"])
        self.private_subnet_ids = Output.from_input(list(given["private_subnet_ids"]))
        self.workload_security_group_ids = [
            Output.from_input(group) for group in given["security_group_ids"]
        ]
        self.endpoint_ids = {
            service: Output.from_input(endpoint)
            for service, endpoint in given["endpoint_ids"].items()
        }
        if given["create_endpoints"]:
            missing = [s for s in self._args["endpoint_services"] if s not in self.endpoint_ids]
            group = self._endpoint_group()
            self._gateways(
                [s for s in GATEWAYS if s not in self.endpoint_ids],
                Output.from_input(list(given["route_table_ids"])),
            )
            self._interfaces(missing, group)

    def _flow_logs(self) -> None:
        account = self._names.account_id
        group_name = f"/{self._names.prefix}/{self._names.environment}/vpc-flow-logs"
        group = aws.cloudwatch.LogGroup(
            f"{self._name}-flow-logs",
            name=group_name,
            kms_key_id=self._args["log_key_arn"],
            retention_in_days=self._args["log_retention_days"],
            opts=self._child(),
        )
        role = aws.iam.Role(
            f"{self._name}-flow-logs",
            name=self._names.role("vpc-flow-logs"),
            assume_role_policy=iam.render(
                [iam.service_trust("vpc-flow-logs.amazonaws.com", account_id=account)]
            ),
            permissions_boundary=self._args["boundary_arn"],
            opts=self._child(),
        )
        log_arn = self._names.arn("logs", f"log-group:{group_name}")
        aws.iam.RolePolicy(
            f"{self._name}-flow-logs",
            name="write-flow-logs",
            role=role.name,
            policy=iam.render(
                [
                    iam.Statement(
                        sid="WriteFlowLogs",
                        actions=[
                            "logs:CreateLogStream",
                            "logs:DescribeLogStreams",
                            "logs:PutLogEvents",
                        ],
                        resources=[log_arn, f"{log_arn}:*"],
                    )
                ]
            ),
            opts=self._child(),
        )
        aws.ec2.FlowLog(
            f"{self._name}-flow-logs",
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=60,
            opts=self._child(),
        )

    def _security_groups(self) -> aws.ec2.SecurityGroup:
        workload = aws.ec2.SecurityGroup(
            f"{self._name}-workload",
            name=self._names.name("workload"),
            description="Studio, jobs and endpoints",
            vpc_id=self.vpc_id,
            opts=self._child(),
        )
        self.workload_security_group_ids = [workload.id]
        for direction, rule in (
            ("in", aws.vpc.SecurityGroupIngressRule),
            ("out", aws.vpc.SecurityGroupEgressRule),
        ):
            rule(
                f"{self._name}-workload-self-{direction}",
                security_group_id=workload.id,
                referenced_security_group_id=workload.id,
                ip_protocol="-1",
                description="Between instances of a job, and to file systems",
                opts=self._child(workload),
            )
        return self._endpoint_group()

    def _endpoint_group(self) -> aws.ec2.SecurityGroup:
        group = aws.ec2.SecurityGroup(
            f"{self._name}-endpoints",
            name=self._names.name("endpoints"),
            description="VPC endpoints",
            vpc_id=self.vpc_id,
            opts=self._child(),
        )
        for index, workload in enumerate(self.workload_security_group_ids):
            aws.vpc.SecurityGroupIngressRule(
                f"{self._name}-endpoints-in-{index}",
                security_group_id=group.id,
                referenced_security_group_id=workload,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                description="HTTPS from workloads",
                opts=self._child(group),
            )
        self._endpoint_security_group = group
        return group

    def _workload_egress(self, with_nat: bool) -> None:
        rules: dict[str, dict[str, Any]] = {
            "endpoints": {"referenced_security_group_id": self._endpoint_security_group.id},
            **{
                service: {"prefix_list_id": prefix}
                for service, prefix in self._prefix_lists.items()
            },
        }
        if with_nat:
            rules["internet"] = {"cidr_ipv4": "0.0.0.0/0"}
        for target, destination in rules.items():
            aws.vpc.SecurityGroupEgressRule(
                f"{self._name}-workload-to-{target}",
                security_group_id=self.workload_security_group_ids[0],
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                description=f"HTTPS to {target}",
                opts=self._child(),
                **destination,
            )

    def _gateways(self, services: Sequence[str], tables: Output[Sequence[str]]) -> None:
        self._prefix_lists: dict[str, Output[str]] = {}
        for service in services:
            endpoint = aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=service_name(service, self._names.region),
                vpc_endpoint_type="Gateway",
                route_table_ids=tables,
                policy=iam.render(endpoint_statements(self._args["placement"], service)),
                opts=self._child(),
            )
            self.endpoint_ids[service] = endpoint.id
            self._prefix_lists[service] = endpoint.prefix_list_id

    def _interfaces(self, services: Sequence[str], group: aws.ec2.SecurityGroup) -> None:
        for service in services:
            offered = _SERVICE_REGIONS.get(service, {}).get(self._names.partition)
            self.endpoint_ids[service] = aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=service_name(service, self._names.region),
                service_region=None if offered == self._names.region else offered,
                vpc_endpoint_type="Interface",
                subnet_ids=self.private_subnet_ids,
                security_group_ids=[group.id],
                private_dns_enabled=True,
                policy=None
                if service in WITHOUT_POLICY
                else iam.render(endpoint_statements(self._args["placement"], service)),
                opts=self._child(),
            ).id

    def _parameters(self) -> None:
        publish(
            self,
            self._name,
            self._names,
            {
                "vpc/id": self.vpc_id,
                "vpc/private-subnet-ids": self.private_subnet_ids.apply(",".join),
                "vpc/security-group-ids": Output.all(*self.workload_security_group_ids).apply(
                    ",".join
                ),
                "vpc/endpoints/s3": self.endpoint_ids["s3"],
                "vpc/endpoints/kms": self.endpoint_ids["kms"],
            },
        )
