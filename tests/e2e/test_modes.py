"""Other ways to set the platform up: one account for all, and a VPC that the company has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from components.naming import ENVIRONMENTS
from tests.e2e.conftest import Platform, local_cloud, make_copy, started

pytestmark = pytest.mark.e2e

ONE = "123456789012"
ONCE_PER_ACCOUNT = (
    "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock",
    "aws:ebs/encryptionByDefault:EncryptionByDefault",
    "aws:iam/accountPasswordPolicy:AccountPasswordPolicy",
    "aws:accessanalyzer/analyzer:Analyzer",
    "aws:cloudtrail/trail:Trail",
)


@pytest.fixture
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = make_copy(tmp_path_factory.mktemp("mode"))
    try:
        yield platform
    finally:
        local_cloud(platform, "stop")


def test_one_account_for_all_under_another_name_in_another_region(copy: Platform) -> None:
    """Account ids, prefix and region are all that a new company changes."""

    def one(config: dict[str, Any]) -> None:
        config["mlops:organization"]["default"] = {"accounts": dict.fromkeys(ENVIRONMENTS, ONE)}
        config["mlops:prefix"]["default"] = "acme"
        config["mlops:region"]["default"] = "us-east-1"

    copy.edit(None, one)
    log = local_cloud(copy, "up")
    for stack in ENVIRONMENTS:
        assert f"{stack}: done" in log, log
    deployments = copy.deployments()
    made = Counter(
        resource["type"]
        for deployment in deployments.values()
        for resource in deployment["resources"]
    )
    assert {type_: made[type_] for type_ in ONCE_PER_ACCOUNT} == dict.fromkeys(ONCE_PER_ACCOUNT, 1)
    policies = [
        json.loads(resource["inputs"]["policy"])
        for resource in deployments["governance"]["resources"]
        if resource["type"] == "aws:s3/bucketPolicy:BucketPolicy"
    ]
    for policy in policies:
        for statement in policy["Statement"]:
            principals = (
                statement["Principal"].get("AWS", [])
                if isinstance(statement["Principal"], dict)
                else []
            )
            assert len(principals) == len(set(principals))

    protected_things_stay_until_they_are_asked_for(copy)


def protected_things_stay_until_they_are_asked_for(copy: Platform) -> None:
    """All four stacks, the hub first; at the end only what the bootstrap made is there."""
    told = copy.automation("destroy", "--all")
    assert told.index("governance: destroy") < told.index("prod: destroy")
    s3, kms = copy.client("s3", "prod"), copy.client("kms", "prod")
    buckets = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    models = f"acme-governance-us-east-1-{ONE}-models"
    assert models in buckets
    assert "aws:s3/bucket:Bucket registry-models is protected and stays" in told
    assert s3.get_bucket_policy(Bucket=models)

    profiles = [text for stack in ENVIRONMENTS for text in ("--profile", f"{stack}={stack}")]
    copy.automation("destroy", "--all", "--include-protected", "--delete-data", *profiles)
    left = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert left == [f"acme-governance-us-east-1-{ONE}-pulumi-state"]
    roles = {role["RoleName"] for role in copy.client("iam", "prod").list_roles()["Roles"]}
    assert roles == {
        f"acme-{stack}-{role}" for stack in ENVIRONMENTS for role in ("deployer", "preview")
    }
    vpcs = copy.client("ec2", "prod").describe_vpcs()["Vpcs"]
    assert all(vpc["IsDefault"] for vpc in vpcs)
    aliases = [alias["AliasName"] for alias in kms.list_aliases()["Aliases"]]
    assert [a for a in aliases if "/acme-" in a] == ["alias/acme-governance-pulumi-state"]
    for stack, deployment in copy.deployments().items():
        assert not deployment.get("resources"), stack


def make_vpc(ec2: Any, *, hostnames: bool, zones: tuple[str, str]) -> dict[str, Any]:
    vpc = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": hostnames})
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.50.{index}.0/24", AvailabilityZone=zone)[
            "Subnet"
        ]["SubnetId"]
        for index, zone in enumerate(zones)
    ]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    group = ec2.create_security_group(GroupName="work", Description="work", VpcId=vpc)["GroupId"]
    return {
        "mode": "existing",
        "vpc_id": vpc,
        "private_subnet_ids": subnets,
        "security_group_ids": [group],
        "route_table_ids": [table],
        "create_endpoints": True,
    }


def test_an_existing_vpc_is_used_and_an_unfit_one_is_refused(copy: Platform) -> None:
    started(copy)
    ec2 = copy.client("ec2", "dev")

    def use(network: dict[str, Any]) -> None:
        copy.edit("dev", lambda config: config.update({"mlops:network": network}))

    use(make_vpc(ec2, hostnames=False, zones=("eu-west-1a", "eu-west-1a")))
    told = copy.automation("up", "--stack", "dev", code=1)
    assert "DNS hostnames are off" in told
    assert "two zones" in told
    assert "nothing was made" in told
    assert len(copy.client("s3", "dev").list_buckets()["Buckets"]) == 0

    network = make_vpc(ec2, hostnames=True, zones=("eu-west-1a", "eu-west-1b"))
    use(network)
    assert "ok" in copy.automation("up", "--stack", "dev")
    exported = json.loads(copy.pulumi("stack", "export", "--stack", "dev"))["deployment"]
    types = Counter(resource["type"] for resource in exported["resources"])
    assert types["aws:ec2/vpc:Vpc"] == 0
    assert types["aws:ec2/vpcEndpoint:VpcEndpoint"] > 20
    copy.automation("preview", "--stack", "dev", code=0)
