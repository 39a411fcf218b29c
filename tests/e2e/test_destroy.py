"""Destroying a stack with what Studio and people made around it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from localcloud.emulator.callers import through_vpc_endpoint
from tests.e2e.conftest import Platform, local_cloud, make_copy, started

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A copy of its own, in which dev is up and somebody works in Studio."""
    platform = make_copy(tmp_path_factory.mktemp("destroyed"))
    try:
        started(platform)
        platform.automation("up", "--stack", "dev")
        sagemaker = platform.client("sagemaker", "dev")
        (domain,) = sagemaker.list_domains()["Domains"]
        sagemaker.create_space(DomainId=domain["DomainId"], SpaceName="own")
        sagemaker.create_app(
            DomainId=domain["DomainId"], SpaceName="own", AppType="JupyterLab", AppName="default"
        )
        yield platform
    finally:
        local_cloud(platform, "stop")


EVERYTHING = ("destroy", "--stack", "dev", "--delete-data", "--profile", "dev=dev")


def test_the_dry_run_tells_the_order_and_changes_nothing(dev: Platform) -> None:
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
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    standing = {e["VpcEndpointId"] for e in endpoints if e["State"] != "deleted"}
    assert standing == {outputs["endpoint_ids"][service] for service in ("s3", "kms")}


def test_what_was_destroyed_comes_up_again_around_what_stayed(dev: Platform) -> None:
    assert "ok" in dev.automation("up", "--stack", "dev")
    dev.automation("preview", "--stack", "dev", code=0)


def test_a_killed_destroy_is_gone_on_with_and_leaves_nothing(dev: Platform) -> None:
    destroy = subprocess.Popen(
        [sys.executable, "-m", "automation", *EVERYTHING],
        cwd=dev.root,
        env=dev.environment,
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
    assert dev.client("s3", "dev").list_buckets()["Buckets"]

    dev.automation(*EVERYTHING)
    assert dev.client("s3", "dev").list_buckets()["Buckets"] == []
    assert [v for v in dev.client("ec2", "dev").describe_vpcs()["Vpcs"] if not v["IsDefault"]] == []
    dev.automation(*EVERYTHING)
