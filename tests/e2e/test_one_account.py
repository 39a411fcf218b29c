"""The platform of another company, from its first stack to the last one that is destroyed.

One account for all under another name in another region, where preprod uses a VPC that the company
has, and somebody works in dev's Studio when dev is destroyed. The tests go on where the one before
ended.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from components.naming import ENVIRONMENTS
from localcloud.emulator.callers import through_vpc_endpoint
from tests.e2e.conftest import Platform, local_cloud, make_copy, started

pytestmark = pytest.mark.e2e

ONE = "123456789012"
REGION = "us-east-1"
STATE = f"acme-governance-{REGION}-{ONE}-pulumi-state"
OWN = "10.50.0.0/16"
"""Addresses of the company's own VPCs."""
ONCE_PER_ACCOUNT = (
    "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock",
    "aws:ebs/encryptionByDefault:EncryptionByDefault",
    "aws:iam/accountPasswordPolicy:AccountPasswordPolicy",
    "aws:accessanalyzer/analyzer:Analyzer",
    "aws:cloudtrail/trail:Trail",
)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The account is bootstrapped: account ids, prefix and region are all that was changed."""
    platform = make_copy(tmp_path_factory.mktemp("company"))

    def one(config: dict[str, Any]) -> None:
        config["mlops:organization"]["default"] = {"accounts": dict.fromkeys(ENVIRONMENTS, ONE)}
        config["mlops:prefix"]["default"] = "acme"
        config["mlops:region"]["default"] = REGION

    platform.edit(None, one)
    try:
        started(platform)
        yield platform
    finally:
        local_cloud(platform, "stop")


@pytest.fixture(scope="module")
def deployments(company: Platform, own_vpc: str) -> dict[str, Any]:
    """All four stacks, up."""
    assert own_vpc in vpcs(company)
    log = local_cloud(company, "up")
    for stack in ENVIRONMENTS:
        assert f"{stack}: done" in log, log
    return company.deployments()


@pytest.fixture(scope="module")
def dev(company: Platform, deployments: dict[str, Any]) -> Platform:
    """Somebody works in dev's Studio."""
    assert deployments["dev"]["resources"]
    sagemaker = company.client("sagemaker", "dev")
    (domain,) = sagemaker.list_domains()["Domains"]
    sagemaker.create_space(DomainId=domain["DomainId"], SpaceName="own")
    sagemaker.create_app(
        DomainId=domain["DomainId"], SpaceName="own", AppType="JupyterLab", AppName="default"
    )
    return company


def buckets(platform: Platform, start: str = "") -> list[str]:
    """Names of the account's buckets."""
    found = platform.client("s3", "prod").list_buckets()["Buckets"]
    return [bucket["Name"] for bucket in found if bucket["Name"].startswith(start)]


def policies(platform: Platform) -> set[str]:
    """Names of the account's own managed policies."""
    found = platform.client("iam", "prod").get_paginator("list_policies").paginate(Scope="Local")
    return {policy["PolicyName"] for page in found for policy in page["Policies"]}


def vpcs(platform: Platform) -> dict[str, str]:
    """Id of each of the account's VPCs -> its addresses, without the one that AWS makes."""
    found = platform.client("ec2", "prod").describe_vpcs()["Vpcs"]
    return {vpc["VpcId"]: vpc["CidrBlock"] for vpc in found if not vpc["IsDefault"]}


def make_vpc(ec2: Any, *, fit: bool) -> dict[str, Any]:
    """A VPC with two subnets; all is wrong with the one that is not fit."""
    vpc = ec2.create_vpc(CidrBlock=OWN)["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": fit})
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.50.{index}.0/24", AvailabilityZone=zone)[
            "Subnet"
        ]["SubnetId"]
        for index, zone in enumerate((f"{REGION}a", f"{REGION}b" if fit else f"{REGION}a"))
    ]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    group = ec2.create_security_group(GroupName="work", Description="work", VpcId=vpc)["GroupId"]
    of_vpc = {"Name": "vpc-id", "Values": [vpc]}
    [main] = ec2.describe_route_tables(
        Filters=[of_vpc, {"Name": "association.main", "Values": ["true"]}]
    )["RouteTables"]
    tables = [table]
    if fit:
        # The other subnet is routed by the VPC's main table.
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[0])
        tables.append(main["RouteTableId"])
    else:
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        everywhere = "0.0.0.0/0"
        ec2.create_route(
            RouteTableId=main["RouteTableId"], DestinationCidrBlock=everywhere, GatewayId=gateway
        )
        anything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": everywhere}]}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=anything)
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=anything)
    return {
        "mode": "existing",
        "vpc_id": vpc,
        "private_subnet_ids": subnets,
        "security_group_ids": [group],
        "route_table_ids": tables,
        "create_endpoints": True,
    }


def use(platform: Platform, network: dict[str, Any]) -> None:
    platform.edit("preprod", lambda config: config.update({"mlops:network": network}))


@pytest.fixture(scope="module")
def own_vpc(company: Platform) -> str:
    """A VPC that the company has, which preprod shall use."""
    network = make_vpc(company.client("ec2", "preprod"), fit=True)
    use(company, network)
    return network["vpc_id"]


def test_an_unfit_vpc_is_refused_before_anything_is_made(company: Platform) -> None:
    network = make_vpc(company.client("ec2", "preprod"), fit=False)
    use(company, network)
    told = company.automation("up", "--stack", "preprod", code=1)
    [group] = network["security_group_ids"]
    for reason in (
        "DNS hostnames are off",
        "two zones",
        "private_subnet_ids names public subnets: rtb-",
        "route_table_ids lacks rtb-",
        f"{group} (security_group_ids) lets in 0.0.0.0/0 by rule sgr-",
        f"{group} (security_group_ids) lets out no HTTPS to the endpoints for dynamodb",
    ):
        assert reason in told
    assert "nothing was made" in told
    assert buckets(company) == [STATE]


def test_a_vpc_that_the_company_has_is_used(
    company: Platform, own_vpc: str, deployments: dict[str, Any]
) -> None:
    resources = deployments["preprod"]["resources"]
    types = Counter(resource["type"] for resource in resources)
    assert types["aws:ec2/vpc:Vpc"] == 0
    endpoints = [r for r in resources if r["type"] == "aws:ec2/vpcEndpoint:VpcEndpoint"]
    assert len(endpoints) > 20
    assert {endpoint["inputs"]["vpcId"] for endpoint in endpoints} == {own_vpc}
    company.automation("preview", "--stack", "preprod", code=0)


def test_what_an_account_has_once_is_made_once(deployments: dict[str, Any]) -> None:
    made = Counter(
        resource["type"]
        for deployment in deployments.values()
        for resource in deployment["resources"]
    )
    assert {type_: made[type_] for type_ in ONCE_PER_ACCOUNT} == dict.fromkeys(ONCE_PER_ACCOUNT, 1)


def test_no_bucket_policy_names_the_account_twice(deployments: dict[str, Any]) -> None:
    policies = [
        json.loads(resource["inputs"]["policy"])
        for resource in deployments["governance"]["resources"]
        if resource["type"] == "aws:s3/bucketPolicy:BucketPolicy"
    ]
    assert policies
    for policy in policies:
        for statement in policy["Statement"]:
            principals = (
                statement["Principal"].get("AWS", [])
                if isinstance(statement["Principal"], dict)
                else []
            )
            assert len(principals) == len(set(principals))


EVERYTHING = ("destroy", "--stack", "dev", "--delete-data", "--profile", "dev=dev")


def test_the_dry_run_of_a_destroy_tells_the_order_and_changes_nothing(dev: Platform) -> None:
    told = dev.automation("destroy", "--stack", "dev", "--dry-run")
    assert told.index("delete app JupyterLab/default of own") < told.index("delete space own")
    assert told.index("delete space own") < told.index("delete Studio domain")
    assert told.index("delete Studio domain") < told.index("delete security group sg-")
    assert told.index("delete security group sg-") < told.index("delete aws:ec2/vpc:Vpc")
    assert dev.client("sagemaker", "dev").list_apps()["Apps"]


def test_a_destroy_keeps_what_people_stored_and_names_it(dev: Platform) -> None:
    """The bucket keeps its policy, key and endpoint: as safe as before, and can be read."""
    outputs = json.loads(dev.pulumi("stack", "output", "--stack", "dev", "--json"))
    s3 = through_vpc_endpoint(dev.client("s3", "dev"), outputs["endpoint_ids"]["s3"])
    bucket = outputs["data_bucket"]
    s3.put_object(Bucket=bucket, Key="houses.csv", Body=b"1,2")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    told = dev.automation("destroy", "--stack", "dev")
    assert f"bucket {bucket} holds objects and stays" in told
    assert "home file system fs-" in told
    assert s3.get_object(Bucket=bucket, Key="houses.csv")["Body"].read() == b"1,2"
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    assert len(dev.client("efs", "dev").describe_file_systems()["FileSystems"]) == 1
    assert dev.client("sagemaker", "dev").list_domains()["Domains"] == []
    ec2 = dev.client("ec2", "dev")
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "tag-key", "Values": ["ManagedByAmazonSageMakerResource"]}]
    )
    assert groups["SecurityGroups"] == []
    # The policies of buckets and keys that stay let only these two in, which need their VPC.
    endpoints = ec2.describe_vpc_endpoints(
        Filters=[{"Name": "vpc-id", "Values": [outputs["vpc_id"]]}]
    )["VpcEndpoints"]
    standing = {e["VpcEndpointId"] for e in endpoints if e["State"] != "deleted"}
    assert standing == {outputs["endpoint_ids"][service] for service in ("s3", "kms")}


def everything(config: dict[str, Any]) -> None:
    """All that dev can have and has not by default, but for the network, which stayed."""
    config["mlops:studio"] |= {
        "auth_mode": "SSO", "share_notebook_outputs": True, "isolate_containers": True,
    }  # fmt: skip
    config["mlops:dataAccess"] = {"datazone": True}
    config["mlops:selfService"] = {"catalogue": "s3"}
    config["mlops:projects"] = {"github_oidc": "create"}
    config["mlops:securityServices"] = {"config": True, "guardduty": True, "security_hub": True}
    config["mlops:budget"]["emails"] = ["ml-costs@example.com"]


def test_what_was_destroyed_comes_up_again_around_what_stayed(dev: Platform) -> None:
    """With every option on, which the destroy to come takes away again."""
    dev.edit("dev", everything)
    assert "ok" in dev.automation("up", "--stack", "dev", "--skip-preview")
    (domain,) = dev.client("sagemaker", "dev").list_domains()["Domains"]
    described = dev.client("sagemaker", "dev").describe_domain(DomainId=domain["DomainId"])
    assert described["AuthMode"] == "SSO"
    assert dev.client("guardduty", "dev").list_detectors()["DetectorIds"]
    dev.automation("preview", "--stack", "dev", code=0)


def test_a_killed_destroy_is_gone_on_with_and_leaves_nothing(dev: Platform) -> None:
    vpc = json.loads(dev.pulumi("stack", "output", "--stack", "dev", "--json"))["vpc_id"]
    assert vpc in vpcs(dev)
    destroy = subprocess.Popen(
        [sys.executable, "-m", "automation", *EVERYTHING],
        cwd=dev.root,
        env=dev.checkpoints(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert destroy.stdout is not None
    for line in destroy.stdout:
        if "destroy 50" in line:
            break
    else:
        pytest.fail("the destroy ended before it was killed")
    os.killpg(destroy.pid, signal.SIGKILL)
    destroy.wait()
    assert buckets(dev, "acme-dev-")

    dev.automation(*EVERYTHING)
    assert buckets(dev, "acme-dev-") == []
    assert vpc not in vpcs(dev)
    dev.automation(*EVERYTHING)


def test_the_literal_destroy_removes_a_stack_and_nothing_beside_it(
    company: Platform, own_vpc: str, deployments: dict[str, Any]
) -> None:
    held = {
        resource["type"]: resource
        for resource in deployments["preprod"]["resources"]
        if resource["type"].startswith(("aws:s3/bucket:", "aws:iam/role:", "aws:kms/key:"))
    }
    told = company.pulumi("destroy", "-s", "preprod", "--yes", "--skip-preview")
    [deleted] = re.findall(r"^Resources:\n    - (\d+) deleted\n\n", told, re.M)
    assert int(deleted) > 50
    exported = json.loads(company.pulumi("stack", "export", "-s", "preprod"))
    assert not exported["deployment"].get("resources")
    assert len(held) == 3
    assert buckets(company, "acme-preprod-") == []
    assert buckets(company, "acme-prod-")
    roles = {role["RoleName"] for role in company.client("iam", "preprod").list_roles()["Roles"]}
    # What bootstrap made is no stack's.
    assert "acme-preprod-boundary" in policies(company)
    assert {role for role in roles if role.startswith("acme-preprod-")} == {
        "acme-preprod-deployer", "acme-preprod-preview",
    }  # fmt: skip
    assert own_vpc in vpcs(company)


def test_protected_things_stay_until_they_are_asked_for(
    company: Platform, own_vpc: str, deployments: dict[str, Any]
) -> None:
    """All stacks, the hub first; at the end only what there was before is there."""
    assert deployments
    told = company.automation("destroy", "--all")
    assert told.index("governance: destroy") < told.index("prod: destroy")
    s3, kms = company.client("s3", "prod"), company.client("kms", "prod")
    models = f"acme-governance-{REGION}-{ONE}-models"
    assert models in buckets(company)
    assert "aws:s3/bucket:Bucket registry-models is protected and stays" in told
    assert s3.get_bucket_policy(Bucket=models)

    profiles = [text for stack in ENVIRONMENTS for text in ("--profile", f"{stack}={stack}")]
    company.automation("destroy", "--all", "--include-protected", "--delete-data", *profiles)
    assert buckets(company) == [STATE]
    roles = {role["RoleName"] for role in company.client("iam", "prod").list_roles()["Roles"]}
    assert roles == {
        f"acme-{stack}-{role}" for stack in ENVIRONMENTS for role in ("deployer", "preview")
    }
    assert {name.rpartition("-")[0] for name in policies(company)} == {
        f"acme-{stack}-{role}" for stack in ENVIRONMENTS for role in ("deployer", "preview")
    } | {f"acme-{stack}" for stack in ENVIRONMENTS}
    assert policies(company) >= {f"acme-{stack}-boundary" for stack in ENVIRONMENTS}
    aliases = [alias["AliasName"] for alias in kms.list_aliases()["Aliases"]]
    assert [a for a in aliases if "/acme-" in a] == ["alias/acme-governance-pulumi-state"]
    for stack, deployment in company.deployments().items():
        assert not deployment.get("resources"), stack
    # The company's own VPCs are not the platform's to delete; its endpoints in them are.
    assert own_vpc in vpcs(company)
    assert set(vpcs(company).values()) == {OWN}
    left = company.client("ec2", "prod").describe_vpc_endpoints()["VpcEndpoints"]
    assert not [endpoint for endpoint in left if endpoint["State"] != "deleted"]
