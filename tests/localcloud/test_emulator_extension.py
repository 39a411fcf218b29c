"""The contract of extension modules, with operations made up for the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.authorization import Evaluator, install, installation
from localcloud.emulator.extension import (
    OPERATIONS,
    POLICY_FINDERS,
    ApiError,
    Context,
    Params,
    operation,
    resource_policy,
)
from localcloud.emulator.server import Emulator, Settings, served_by
from localcloud.paths import CHECKOUT
from tests.localcloud.emulators import ACCOUNTS, DEV, ORGANIZATION, PROD, REGION


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """An emulator within this process, so that the test's own operations are in it."""
    install(CHECKOUT.local)
    with Evaluator.start() as evaluator:
        yield Emulator(
            Settings("test", ACCOUNTS, ORGANIZATION, REGION, "http://127.0.0.1:9"),
            evaluator,
            installation.data_folder(CHECKOUT.local),
        )


@pytest.fixture
def registered() -> Iterator[None]:
    """Restores what is registered."""
    before, finders = dict(OPERATIONS), {key: list(value) for key, value in POLICY_FINDERS.items()}
    yield
    for registry, saved in ((OPERATIONS, before), (POLICY_FINDERS, finders)):
        registry.clear()
        registry.update(saved)


pytestmark = pytest.mark.usefixtures("registered")


def client(emulator: Emulator, service: str, account: str = DEV) -> Any:
    return emulator.client(service, account, REGION)


def test_an_operation_reads_stores_and_answers(emulator: Emulator) -> None:
    @operation("sagemaker", "CreateHub", "DescribeHub")
    def hub(ctx: Context, params: Params) -> Params:
        hubs = ctx.store().setdefault("hubs", {})
        name = params["HubName"]
        if ctx.operation == "CreateHub":
            hubs[name] = {"HubName": name, "HubArn": ctx.arn(f"hub/{name}"), "made": ctx.now()}
            return {"HubArn": hubs[name]["HubArn"]}
        if name not in hubs:
            raise ApiError("ResourceNotFound", f"No hub {name}.")
        return {
            "HubName": name,
            "HubArn": hubs[name]["HubArn"],
            "HubStatus": "InService",
            "CreationTime": hubs[name]["made"],
            "LastModifiedTime": hubs[name]["made"],
        }

    sagemaker = client(emulator, "sagemaker")
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:hub/first"
    assert sagemaker.create_hub(HubName="first", HubDescription="x")["HubArn"] == arn
    described = sagemaker.describe_hub(HubName="first")
    assert described["HubArn"] == arn
    assert described["CreationTime"].year >= 2026
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="No hub first"):
        client(emulator, "sagemaker", PROD).describe_hub(HubName="first")


def test_inputs_are_checked_beyond_what_clients_check(emulator: Emulator) -> None:
    @operation("sagemaker", "CreateHub")
    def hub(ctx: Context, params: Params) -> Params:
        return {"HubArn": ctx.arn("hub/x")}

    sagemaker = client(emulator, "sagemaker")
    with pytest.raises(ClientError, match="regular expression pattern"):
        sagemaker.create_hub(HubName="not a name", HubDescription="x")
    with pytest.raises(ClientError, match="less than or equal to 1023"):
        sagemaker.create_hub(HubName="x", HubDescription="x" * 1024)


def test_a_wrong_answer_is_an_error_of_the_extension(emulator: Emulator) -> None:
    @operation("sagemaker", "CreateHub")
    def hub(ctx: Context, params: Params) -> Params:
        return {"HubArn": ctx.arn("hub/x"), "HubArm": "misspelt"}

    with pytest.raises(ClientError, match=r"CreateHub is wrong.*HubArm"):
        client(emulator, "sagemaker").create_hub(HubName="x", HubDescription="x")


def test_moto_s_answer_can_be_completed(emulator: Emulator) -> None:
    @operation("ssm", "GetParameter")
    def get_parameter(ctx: Context, params: Params) -> Params:
        answer = ctx.forward()
        answer["Parameter"]["Value"] += " and more"
        return answer

    ssm = client(emulator, "ssm")
    ssm.put_parameter(Name="/x", Value="moto's", Type="String")
    assert ssm.get_parameter(Name="/x")["Parameter"]["Value"] == "moto's and more"
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name="/y")


def test_moto_can_be_asked_for_another_input(emulator: Emulator) -> None:
    @operation("sagemaker", "DescribeModelPackageGroup")
    def describe(ctx: Context, params: Params) -> Params:
        return ctx.forward(
            {"ModelPackageGroupName": params["ModelPackageGroupName"].split("/")[-1]}
        )

    sagemaker = client(emulator, "sagemaker")
    arn = sagemaker.create_model_package_group(ModelPackageGroupName="g")["ModelPackageGroupArn"]
    described = sagemaker.describe_model_package_group(ModelPackageGroupName=arn)
    assert described["ModelPackageGroupName"] == "g"
    with pytest.raises(ClientError):
        sagemaker.describe_model_package_group(ModelPackageGroupName=arn + "2")


def test_other_protocols(emulator: Emulator) -> None:
    """query (iam), ec2, rest-xml (s3) and rest-json (lambda)."""

    @operation("iam", "ListPoliciesGrantingServiceAccess")
    def granting(ctx: Context, params: Params) -> Params:
        return {
            "PoliciesGrantingServiceAccess": [
                {"ServiceNamespace": name, "Policies": []} for name in params["ServiceNamespaces"]
            ],
            "IsTruncated": False,
        }

    @operation("ec2", "GetVpcResourcesBlockingEncryptionEnforcement")
    def blocking(ctx: Context, params: Params) -> Params:
        return {"NonCompliantResources": [{"Id": params["VpcId"], "Type": "vpc"}]}

    @operation("s3", "GetBucketAnalyticsConfiguration")
    def analytics(ctx: Context, params: Params) -> Params:
        return {
            "AnalyticsConfiguration": {
                "Id": params["Id"],
                "StorageClassAnalysis": {
                    "DataExport": {
                        "OutputSchemaVersion": "V_1",
                        "Destination": {
                            "S3BucketDestination": {
                                "Format": "CSV",
                                "Bucket": f"arn:aws:s3:::{params['Bucket']}",
                            }
                        },
                    }
                },
            }
        }

    @operation("lambda", "GetAccountSettings")
    def settings(ctx: Context, params: Params) -> Params:
        return {"AccountLimit": {"ConcurrentExecutions": 7}}

    access = client(emulator, "iam").list_policies_granting_service_access(
        Arn=f"arn:aws:iam::{DEV}:user/administrator", ServiceNamespaces=["s3", "kms"]
    )
    names = [item["ServiceNamespace"] for item in access["PoliciesGrantingServiceAccess"]]
    assert names == ["s3", "kms"]
    resources = client(emulator, "ec2").get_vpc_resources_blocking_encryption_enforcement(
        VpcId="vpc-1"
    )
    assert resources["NonCompliantResources"] == [{"Id": "vpc-1", "Type": "vpc"}]
    configuration = client(emulator, "s3").get_bucket_analytics_configuration(
        Bucket="bucket", Id="one"
    )["AnalyticsConfiguration"]
    assert configuration["Id"] == "one"
    limits = client(emulator, "lambda").get_account_settings()["AccountLimit"]
    assert limits["ConcurrentExecutions"] == 7


def test_a_resource_policy_of_an_extension_takes_part(emulator: Emulator) -> None:
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:hub/shared"

    @resource_policy("sagemaker")
    def hub_policy(ctx: Context, resource: str) -> str | None:
        assert ctx.account == DEV
        return '{"Statement": []}' if resource == arn else None

    assert emulator._policy_of(arn) == '{"Statement": []}'
    assert emulator._policy_of(arn + "2") is None


def test_operations_must_exist_and_be_registered_once() -> None:
    with pytest.raises(ValueError, match="sagemaker:CreateHubb is not an operation"):
        operation("sagemaker", "CreateHubb")
    operation("sagemaker", "CreateHub")(lambda ctx, params: {})
    with pytest.raises(ValueError, match="two extensions"):
        operation("sagemaker", "CreateHub")


def test_who_serves_what_can_be_asked() -> None:
    assert served_by("sts", "AssumeRole") == "extension"
    assert served_by("ssm", "GetParameter") == "moto"
    assert served_by("location", "ListMaps") == "nobody"
