"""The network: what is made, what is reached through it, and by whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from mlops_policy.endpoints import REQUIRED_ENDPOINTS

from components import endpoint_services, iam, network
from components.endpoint_services import services_for
from components.naming import ENVIRONMENTS
from components.network import Network, NetworkArgs
from localcloud.authorization import Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, REGION, Program, place

ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"

Run = Callable[..., Program]


def args(**changes: Any) -> NetworkArgs:
    made: dict[str, Any] = {
        "placement": place("dev"),
        "create": {"cidr": "10.20.0.0/16", "zones": 2, "nat": "none"},
        "endpoint_services": services_for("dev"),
        "log_key_arn": "arn:aws:kms:eu-west-1:222222222222:key/logs",
        "log_retention_days": 365,
        "boundary_arn": "arn:aws:iam::222222222222:policy/acme-dev-boundary",
        **changes,
    }
    return NetworkArgs(**{key: value for key, value in made.items() if value is not None})


def made(run: Run, *, preview: bool = False, **changes: Any) -> Program:
    return run(lambda: Network("network", args(**changes)), preview=preview)


def test_without_nat_there_is_no_way_out(run: Run) -> None:
    program = made(run)
    vpc = program.of("awsx:ec2:Vpc")[0].inputs
    assert [spec["type"] for spec in vpc["subnetSpecs"]] == ["Isolated"]
    assert vpc["natGateways"]["strategy"] == "None"
    assert vpc["numberOfAvailabilityZones"] == 2
    assert not any("cidrIpv4" in rule.inputs for rule in program.of(EGRESS))


@pytest.mark.parametrize(("nat", "strategy"), [("single", "Single"), ("per_zone", "OnePerAz")])
def test_with_nat_private_subnets_reach_the_internet_by_https_only(
    nat: str, strategy: str, run: Run
) -> None:
    program = made(run, create={"cidr": "10.20.0.0/16", "zones": 2, "nat": nat})
    vpc = program.of("awsx:ec2:Vpc")[0].inputs
    assert vpc["natGateways"]["strategy"] == strategy
    assert {spec["type"] for spec in vpc["subnetSpecs"]} == {"Isolated", "Private", "Public"}
    out = [rule.inputs for rule in program.of(EGRESS) if "cidrIpv4" in rule.inputs]
    assert [(rule["ipProtocol"], rule["fromPort"], rule["toPort"]) for rule in out] == [
        ("tcp", 443, 443)
    ]
    subnets = program.one(ENDPOINT, "network-kms").inputs["subnetIds"]
    assert subnets == ["subnet-private-0", "subnet-private-1"]


def test_nothing_comes_in_from_outside_the_security_groups(run: Run) -> None:
    program = made(run)
    for rule in program.of(INGRESS):
        assert "cidrIpv4" not in rule.inputs
        assert rule.inputs["referencedSecurityGroupId"] == "network-workload-id"
    into_endpoints = [
        rule.inputs
        for rule in program.of(INGRESS)
        if rule.inputs["securityGroupId"] == "network-endpoints-id"
    ]
    assert [(rule["fromPort"], rule["toPort"]) for rule in into_endpoints] == [(443, 443)]


def test_the_default_security_group_is_closed(run: Run) -> None:
    (group,) = made(run).of("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert group.inputs["vpcId"] == "vpc-1"
    assert not group.inputs.get("ingress")
    assert not group.inputs.get("egress")


def test_workloads_reach_the_endpoints_and_gateways(run: Run) -> None:
    program = made(run)
    reached = {
        rule.inputs.get("referencedSecurityGroupId") or rule.inputs.get("prefixListId")
        for rule in program.of(EGRESS)
    }
    assert reached == {
        "network-workload-id",
        "network-endpoints-id",
        "pl-network-s3",
        "pl-network-dynamodb",
    }


def test_flow_logs_are_encrypted_and_written_by_a_role_of_their_own(run: Run) -> None:
    program = made(run)
    (group,) = program.of("aws:cloudwatch/logGroup:LogGroup")
    assert group.inputs["kmsKeyId"].endswith("key/logs")
    assert group.inputs["retentionInDays"] == 365
    (role,) = program.of("aws:iam/role:Role")
    assert role.inputs["permissionsBoundary"].endswith("policy/acme-dev-boundary")
    (policy,) = program.of("aws:iam/rolePolicy:RolePolicy")
    (statement,) = policy.document()["Statement"]
    assert all(group.inputs["name"] in resource for resource in statement["Resource"])
    (log,) = program.of("aws:ec2/flowLog:FlowLog")
    assert (log.inputs["trafficType"], log.inputs["vpcId"]) == ("ALL", "vpc-1")


def test_every_interface_endpoint_answers_for_the_public_name_in_every_zone(run: Run) -> None:
    program = made(run)
    endpoints = [e.inputs for e in program.of(ENDPOINT) if e.inputs["vpcEndpointType"] != "Gateway"]
    assert len(endpoints) == len(services_for("dev"))
    for endpoint in endpoints:
        assert endpoint["privateDnsEnabled"] is True
        assert len(endpoint["subnetIds"]) == 2
        assert endpoint["securityGroupIds"] == ["network-endpoints-id"]


def test_every_endpoint_that_takes_a_policy_has_one(run: Run) -> None:
    without = {
        endpoint.name.removeprefix("network-")
        for endpoint in made(run).of(ENDPOINT)
        if "policy" not in endpoint.inputs
    }
    assert without == network.WITHOUT_POLICY


def test_a_preview_knows_all_that_does_not_depend_on_ids(run: Run) -> None:
    known, previewed = made(run), made(run, preview=True)
    assert {r.name for r in known.resources} == {r.name for r in previewed.resources}
    for resource, key, document in known.documents():
        assert previewed.one(resource.type, resource.name).document(key) == document


EXISTING = {
    "vpc_id": "vpc-0123456789abcdef0",
    "private_subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    "security_group_ids": ["sg-0123456789abcdef0", "sg-0123456789abcdef1"],
    "route_table_ids": ["rtb-0123456789abcdef0"],
    "endpoint_ids": {"s3": "vpce-0123456789abcdef0", "kms": "vpce-0123456789abcdef1"},
    "create_endpoints": False,
}


def test_an_existing_network_is_used_as_it_is(run: Run) -> None:
    program = made(run, create=None, existing=EXISTING)
    types = {resource.type for resource in program.resources}
    assert types == {"mlops:index:Network", "aws:ssm/parameter:Parameter"}
    values = {
        parameter.inputs["name"]: parameter.inputs["value"]
        for parameter in program.of("aws:ssm/parameter:Parameter")
    }
    assert values == {
        "/acme/dev/vpc/id": EXISTING["vpc_id"],
        "/acme/dev/vpc/private-subnet-ids": ",".join(EXISTING["private_subnet_ids"]),
        "/acme/dev/vpc/security-group-ids": ",".join(EXISTING["security_group_ids"]),
        "/acme/dev/vpc/endpoints/s3": EXISTING["endpoint_ids"]["s3"],
        "/acme/dev/vpc/endpoints/kms": EXISTING["endpoint_ids"]["kms"],
    }


def test_only_missing_endpoints_are_added_to_an_existing_network(run: Run) -> None:
    program = made(
        run,
        create=None,
        existing={**EXISTING, "create_endpoints": True},
        endpoint_services=["kms", "sts"],
    )
    assert {e.name for e in program.of(ENDPOINT)} == {"network-sts", "network-dynamodb"}
    sources = {rule.inputs["referencedSecurityGroupId"] for rule in program.of(INGRESS)}
    assert sources == set(EXISTING["security_group_ids"])
    gateway = program.one(ENDPOINT, "network-dynamodb").inputs
    assert gateway["routeTableIds"] == EXISTING["route_table_ids"]
    assert not program.of("aws:ec2/flowLog:FlowLog")


def test_a_network_is_made_or_used(run: Run) -> None:
    with pytest.raises(ValueError, match="either create or existing"):
        made(run, create=None)


NOT_IN_BOTOCORE = {
    # Source: AWS PrivateLink guide, "AWS services that integrate with AWS PrivateLink".
    "ecr.dkr": "com.amazonaws.eu-west-1.ecr.dkr",
    "git-codecommit": "com.amazonaws.eu-west-1.git-codecommit",
    "codeconnections.api": "com.amazonaws.eu-west-1.codeconnections.api",
    "studio": "aws.sagemaker.eu-west-1.studio",
    "notebook": "aws.sagemaker.eu-west-1.notebook",
    # Source: CodeArtifact user guide, "Working with Amazon VPC endpoints".
    "codeartifact.api": "com.amazonaws.eu-west-1.codeartifact.api",
    "codeartifact.repositories": "com.amazonaws.eu-west-1.codeartifact.repositories",
    "ec2messages": "com.amazonaws.eu-west-1.ec2messages",
    "ssmmessages": "com.amazonaws.eu-west-1.ssmmessages",
}
"""Endpoint services that have no API, or another name than it."""


def test_iam_is_reached_from_the_hub_by_its_one_region(run: Run) -> None:
    program = made(run, endpoint_services=["iam", "kms"])
    regions = {e.name: e.inputs.get("serviceRegion") for e in program.of(ENDPOINT)}
    assert regions["network-iam"] == "us-east-1"
    assert regions["network-kms"] is None
    assert "iam" in services_for("governance")
    assert "iam" not in {*services_for("dev"), *services_for("prod")}


NO_REGION = {"iam": "com.amazonaws.iam"}
"""Source: IAM user guide, interface VPC endpoints."""


def test_every_endpoint_service_exists() -> None:
    session = botocore.session.get_session()
    prefixes = {
        session.get_service_model(service).endpoint_prefix
        for service in session.get_available_services()
    }
    unknown: set[str] = set()
    for service in endpoint_services.interface_services():
        if service in NO_REGION:
            assert network.service_name(service, REGION) == NO_REGION[service]
            continue
        # An endpoint sagemaker.api serves the host api.sagemaker.
        if ".".join(reversed(service.split("."))) in prefixes:
            assert network.service_name(service, REGION) == f"com.amazonaws.{REGION}.{service}"
        else:
            unknown.add(service)
            assert network.service_name(service, REGION) == NOT_IN_BOTOCORE[service]
    assert unknown == set(NOT_IN_BOTOCORE)


def test_no_endpoint_service_is_listed_twice() -> None:
    needed = [s for group in endpoint_services.ENDPOINT_SERVICES.values() for s in group]
    listed = [*needed, *endpoint_services.FURTHER_SERVICES]
    assert len(listed) == len(set(listed))
    assert not set(listed) & set(endpoint_services.GATEWAYS)


def test_what_is_required_is_what_the_policy_pack_wants() -> None:
    wanted = set(REQUIRED_ENDPOINTS) - set(endpoint_services.GATEWAYS)
    assert set(endpoint_services.REQUIRED_SERVICES) == wanted
    for environment in ENVIRONMENTS:
        assert wanted <= set(services_for(environment))


@pytest.mark.parametrize("environment", ["dev", "governance"])
def test_packages_are_reached_where_people_work_and_builds_run(environment: str) -> None:
    packages = {"codeartifact.api", "codeartifact.repositories"}
    assert packages <= set(services_for(environment))
    assert not packages & set(services_for("prod"))


def test_dev_reaches_all_that_studio_jobs_pipelines_and_ci_need() -> None:
    assert set(services_for("dev")) >= {
        "sagemaker.api", "sagemaker.runtime", "sagemaker.featurestore-runtime",
        "sagemaker.metrics", "studio", "notebook", "kms", "sts", "logs", "monitoring", "ecr.api",
        "ecr.dkr", "ssm", "secretsmanager", "servicecatalog", "events", "codebuild",
        "codepipeline", "codeconnections.api", "codecommit", "git-codecommit", "lambda", "states",
        "elasticfilesystem", "athena", "glue",
    }  # fmt: skip


def through(
    evaluator: Evaluator,
    service: str,
    action: str,
    resource: str,
    *,
    caller: str = "company",
    owner: str = "company",
    organization_id: str | None = "o-exampleorg1",
) -> bool:
    """Whether an endpoint lets a request through that everything else allows."""
    accounts = {"company": ACCOUNTS["prod"], "other": "999999999999"}
    organizations = {"company": "o-exampleorg1", "other": "o-otherother1"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [everything]}
    resource_policy = {
        "Version": "2012-10-17",
        "Statement": [{**everything, "Principal": "*"}],
    }
    context = {
        "aws:PrincipalAccount": accounts[caller],
        "aws:PrincipalOrgID": organizations[caller],
        "aws:SecureTransport": "true",
    }
    if owner:
        context |= {
            "aws:ResourceAccount": accounts[owner],
            "aws:ResourceOrgID": organizations[owner],
        }
    placement = place("dev", organization_id=organization_id)
    return evaluator.evaluate(
        Request(
            f"arn:aws:sts::{accounts[caller]}:assumed-role/role/session",
            action,
            resource,
            accounts[owner or caller],
            context,
        ),
        Policies(
            {"everything": document},
            resource=resource_policy if resource != "*" else None,
            endpoint=iam.document(network.endpoint_statements(placement, service)),
        ),
    ).allowed


@pytest.mark.parametrize("organization_id", ["o-exampleorg1", None])
@pytest.mark.parametrize(
    ("caller", "owner", "allowed"),
    [
        ("company", "company", True),
        ("company", "other", False),
        ("other", "company", False),
        ("other", "other", False),
    ],
)
def test_an_endpoint_is_for_the_companys_identities_and_resources(
    caller: str, owner: str, allowed: bool, organization_id: str | None, evaluator: Evaluator
) -> None:
    objects = "arn:aws:s3:::bucket/key"
    assert (
        through(
            evaluator,
            "s3",
            "s3:PutObject",
            objects,
            caller=caller,
            owner=owner,
            organization_id=organization_id,
        )
        is allowed
    )


LAYER = f"arn:aws:s3:::prod-{REGION}-starport-layer-bucket/layer"
ANSWER = "arn:aws:s3:::cloudformation-custom-resource-response-euwest1/answer"
MODEL_HUB = f"arn:aws:s3:::jumpstart-cache-prod-{REGION}/model"


@pytest.mark.parametrize(
    ("action", "resource", "caller", "allowed"),
    [
        # Amazon ECR signs the URLs of layers with an account of its own.
        ("s3:GetObject", LAYER, "other", True),
        ("s3:PutObject", LAYER, "company", False),
        ("s3:GetObject", MODEL_HUB, "company", True),
        ("s3:GetObject", MODEL_HUB, "other", False),
        ("s3:PutObject", MODEL_HUB, "company", False),
        # CloudFormation signs the URLs that custom resources answer by.
        ("s3:PutObject", ANSWER, "other", True),
        ("s3:GetObject", ANSWER, "other", False),
        ("s3:PutObject", ANSWER.replace("euwest1", "euwest2"), "other", False),
    ],
)
def test_buckets_of_aws_are_used_as_far_as_needed(
    action: str, resource: str, caller: str, allowed: bool, evaluator: Evaluator
) -> None:
    assert through(evaluator, "s3", action, resource, caller=caller, owner="other") is allowed


def test_images_of_aws_are_pulled_but_none_is_pushed_abroad(evaluator: Evaluator) -> None:
    image = f"arn:aws:ecr:{REGION}:999999999999:repository/sagemaker-xgboost"
    assert through(evaluator, "ecr.dkr", "ecr:BatchGetImage", image, owner="other")
    assert not through(evaluator, "ecr.dkr", "ecr:PutImage", image, owner="other")
    assert not through(
        evaluator, "ecr.dkr", "ecr:BatchGetImage", image, caller="other", owner="other"
    )
    assert through(evaluator, "ecr.api", "ecr:GetAuthorizationToken", "*", owner="")


def test_whoever_signed_is_asked_of_sts_where_no_resource_is_named(evaluator: Evaluator) -> None:
    # GetCallerIdentity needs no permission, so the evaluator allows it without asking a policy;
    # whether an endpoint's policy is asked, AWS does not say: it has to be open for the company.
    statements = network.endpoint_statements(place("dev"), "sts")
    (who,) = [s for s in iam.document(statements)["Statement"] if s["Sid"] == "WhoSigned"]
    assert who["Action"] == ["sts:GetCallerIdentity"]
    assert set(who["Condition"]["StringEquals"]) <= {"aws:PrincipalOrgID", "aws:PrincipalAccount"}
    assert not through(evaluator, "sts", "sts:GetSessionToken", "*", owner="")


@pytest.mark.parametrize("service", ["s3", "kms", "ecr.api"])
def test_the_endpoint_policy_is_as_reviewed(
    service: str, golden: Callable[[str, Any], None]
) -> None:
    statements = network.endpoint_statements(place("dev"), service)
    golden(f"endpoint-{service}", iam.document(statements))
