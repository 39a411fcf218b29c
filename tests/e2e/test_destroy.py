"""Destroying a stack with what Studio and people made around it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Platform, local_cloud, make_copy, started


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


def test_destroy_leaves_nothing_and_can_be_run_again(dev: Platform) -> None:
    """The dry run changes nothing; then apps, domain, its security groups and the VPC go."""
    told = dev.automation("destroy", "--stack", "dev", "--dry-run")
    assert told.index("delete app JupyterLab/default of own") < told.index("delete space own")
    assert told.index("delete space own") < told.index("delete Studio domain")
    assert told.index("delete Studio domain") < told.index("delete security group sg-")
    assert told.index("delete security group sg-") < told.index("delete aws:ec2/vpc:Vpc")
    assert dev.client("sagemaker", "dev").list_apps()["Apps"]

    everything = ("destroy", "--stack", "dev", "--delete-data", "--profile", "dev=dev")
    dev.automation(*everything)
    assert dev.client("sagemaker", "dev").list_domains()["Domains"] == []
    ec2 = dev.client("ec2", "dev")
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "tag-key", "Values": ["ManagedByAmazonSageMakerResource"]}]
    )
    assert groups["SecurityGroups"] == []
    assert [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    assert dev.client("s3", "dev").list_buckets()["Buckets"] == []
    dev.automation(*everything)
