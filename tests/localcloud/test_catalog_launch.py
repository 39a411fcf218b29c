"""Service Catalog's launches on the emulator: who may, and what becomes of the function's answers.

The product is the hub's, its custom resource's function too; it is launched in dev. The function
is in a VPC with an S3 endpoint, and has a program answer: the one that the vending build ends with.
Projects are launched by the platform's own function and build, in which only the command line that
vends is a stand-in.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from components.catalog import (
    ACCOUNT,
    administration,
    administration_template,
    product_template,
)
from functions.vending.requests import ACCOUNT as ACCOUNT_KIND
from localcloud.emulator import stacks
from localcloud.emulator.stacks.templates import Parameter
from tests.localcloud.emulators import (
    DEV,
    HUB,
    PROD,
    REGION,
    Cloud,
    checkout,
    document,
    running,
    trusting,
)
from tests.localcloud.kit import function_code, until, zipped
from tests.localcloud.launching import (
    LAMBDA,
    LOGS,
    asked,
    constrain,
    let_dev_invoke,
    make_function,
    make_portfolio,
    make_product,
)

FUNCTION = f"arn:aws:lambda:{REGION}:{HUB}:function:things"
ANSWERS = f"cloudformation-custom-resource-response-{REGION.replace('-', '')}"
HANDLER = """
import json, os, pathlib, subprocess, sys, tempfile
from answer import RESULT, Address, Result, leave

def handle(event, context):
    print("ASKED " + json.dumps(event))
    asked, kind = event["ResourceProperties"], event["RequestType"]
    mode = asked["Mode"] if kind != "Delete" else "well"
    if mode == "silent":
        return
    physical = event.get("PhysicalResourceId", "")
    if kind == "Create" or mode == "replaced":
        physical = "thing-" + asked["Name"]
    address = Address(event["ResponseURL"], event["StackId"], event["RequestId"],
                      event["LogicalResourceId"], physical)
    data = {"Name": asked["Name"], "Asked": kind}
    with tempfile.TemporaryDirectory() as place:
        leave(Result(mode != "fails", "the thing is too large", data), pathlib.Path(place, RESULT))
        program = os.path.join(os.environ["LAMBDA_TASK_ROOT"], "answer.py")
        variables = {**os.environ, **address.environment()}
        subprocess.run([sys.executable, program], cwd=place, env=variables, check=True)
"""
PARAMETERS = {
    "Name": {"Type": "String", "AllowedPattern": "^[a-z]+$", "MaxLength": 8},
    "Mode": {"Type": "String", "AllowedValues": ["well", "fails", "silent", "replaced"],
             "Default": "well"},
    "Seconds": {"Type": "Number", "MinValue": 1, "MaxValue": 3600, "Default": 30},
}  # fmt: skip
TEMPLATE: dict[str, Any] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Description": "A thing",
    "Parameters": PARAMETERS,
    "Resources": {
        "Thing": {
            "Type": "Custom::Thing",
            "Properties": {
                "ServiceToken": FUNCTION,
                "ServiceTimeout": {"Ref": "Seconds"},
                "Name": {"Ref": "Name"},
                "Mode": {"Ref": "Mode"},
                "Place": {"Fn::Sub": "${AWS::Region}/${Name}"},
            },
        }
    },
    "Outputs": {
        "Id": {"Value": {"Ref": "Thing"}},
        "Made": {"Value": {"Fn::GetAtt": ["Thing", "Name"]}, "Description": "What was made"},
        "Asked": {"Value": {"Fn::GetAtt": "Thing.Asked"}},
    },
}
NETWORK = {"Action": "ec2:*", "Resource": "*"}
END_USER = {"Action": "servicecatalog:*", "Resource": "*"}
LAUNCHING: list[dict[str, Any]] = [
    {
        "Action": ["cloudformation:CreateStack", "cloudformation:DeleteStack",
                   "cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks",
                   "cloudformation:UpdateStack"],
        "Resource": f"arn:aws:cloudformation:{REGION}:{DEV}:stack/SC-*",
    },
    {"Action": "cloudformation:ValidateTemplate", "Resource": "*"},
    {
        "Action": "s3:GetObject",
        "Resource": "*",
        "Condition": {
            "StringEquals": {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}
        },
    },
]  # fmt: skip
ASKS = {"Action": "lambda:InvokeFunction", "Resource": FUNCTION}
CATALOG = trusting("servicecatalog")


@dataclass(frozen=True)
class World:
    """The hub's product, shared to dev, and those who know of it there."""

    cloud: Cloud
    portfolio: str
    product: str
    endpoint_id: str

    def catalog(self, role: str = "acme-dev-data-scientist") -> Any:
        session = self.cloud.assume(f"arn:aws:iam::{DEV}:role/{role}")
        return self.cloud.client("servicecatalog", session=session)

    def launched(self, name: str, **parameters: str) -> dict[str, Any]:
        """Launches the product, waits, and gives what DescribeRecord says."""
        catalog = self.catalog()
        record = catalog.provision_product(
            ProductId=self.product,
            ProvisioningArtifactName="1",
            ProvisionedProductName=name,
            ProvisioningParameters=[{"Key": k, "Value": v} for k, v in parameters.items()],
            Tags=[{"Key": "cost-centre", "Value": "ml"}],
        )["RecordDetail"]
        return ended(catalog, record)

    def kinds(self, physical: str) -> list[str]:
        """The kinds of request about one thing, in their order."""
        name = physical.removeprefix("thing-")
        return [
            event["RequestType"]
            for event in asked(self.cloud, "things")
            if event["ResourceProperties"]["Name"] == name
        ]

    def was_asked(self, physical: str, kinds: list[str]) -> None:
        """That these requests came about one thing."""
        until(lambda: self.kinds(physical), kinds.__eq__)

    def requests(self, count: int, about: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """So many requests about something."""
        found = until(
            lambda: [event for event in asked(self.cloud, "things") if about(event)],
            lambda found: len(found) >= count,
        )
        assert len(found) == count
        return found


def ended(catalog: Any, record: dict[str, Any]) -> dict[str, Any]:
    return until(
        lambda: catalog.describe_record(Id=record["RecordId"]),
        lambda found: found["RecordDetail"]["Status"] in ("SUCCEEDED", "FAILED"),
    )


def outputs(record: dict[str, Any]) -> dict[str, str]:
    return {item["OutputKey"]: item["OutputValue"] for item in record["RecordOutputs"]}


def cause(record: dict[str, Any]) -> str:
    assert record["RecordDetail"]["Status"] == "FAILED", record
    return record["RecordDetail"]["RecordErrors"][0]["Description"]


def network(cloud: Cloud) -> tuple[str, str]:
    """A subnet whose only way out is an endpoint of S3 that lets answers through."""
    ec2 = cloud.client("ec2", HUB)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/28")["Subnet"]["SubnetId"]
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", PolicyDocument=lets(ANSWERS)
    )
    return subnet, endpoint["VpcEndpoint"]["VpcEndpointId"]


def lets(bucket: str) -> str:
    return document(
        {
            "Sid": "Answers",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": {"Bool": {"aws:SecureTransport": "true"}},
        }
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(checkout(tmp_path_factory.mktemp("launch"))) as cloud:
        subnet, endpoint_id = network(cloud)
        make_function(
            cloud, "things", HANDLER, NETWORK,
            VpcConfig={"SubnetIds": [subnet], "SecurityGroupIds": []},
        )  # fmt: skip
        cloud.role("launch", *LAUNCHING, ASKS, trust=CATALOG)
        cloud.role("launch-without", *LAUNCHING, trust=CATALOG)
        cloud.role("launch-unread", LAUNCHING[0], LAUNCHING[1], ASKS, trust=CATALOG)
        cloud.role("launch-untrusted", *LAUNCHING, ASKS)
        for name in ("acme-dev-data-scientist", "other-data-scientist"):
            cloud.role(name, END_USER)
        portfolio, product = made(cloud)
        yield World(cloud, portfolio, product, endpoint_id)


def made(cloud: Cloud) -> tuple[str, str]:
    """A shared portfolio with a product in it."""
    s3, catalog = cloud.client("s3", HUB), cloud.client("servicecatalog", HUB)
    s3.create_bucket(
        Bucket="acme-templates", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    s3.put_object(Bucket="acme-templates", Key="thing.json", Body=json.dumps(TEMPLATE))
    product = make_product(cloud, "thing", "acme-templates", "thing.json")
    unit = ("ORGANIZATIONAL_UNIT", "ou-abcd-12345678")
    portfolio = make_portfolio(cloud, "things", product, "acme-dev-*", unit, ShareTagOptions=True)
    constrain(cloud, portfolio, product, "launch")
    for value in ("ml", "research"):
        option = catalog.create_tag_option(Key="cost-centre", Value=value)["TagOptionDetail"]["Id"]
        catalog.associate_tag_option_with_resource(ResourceId=portfolio, TagOptionId=option)
    option = catalog.create_tag_option(Key="by", Value="catalog")["TagOptionDetail"]["Id"]
    catalog.associate_tag_option_with_resource(ResourceId=product, TagOptionId=option)
    return portfolio, product


def refused(code: str, words: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"(?s){code}.*{words}")


# What is seen.


def test_a_role_of_the_pattern_sees_the_product_and_what_it_asks_for(world: World) -> None:
    catalog = world.catalog()
    seen = catalog.search_products()["ProductViewSummaries"]
    assert [item["ProductId"] for item in seen] == [world.product]
    shown = catalog.describe_product(Id=world.product)
    (artifact,) = shown["ProvisioningArtifacts"]
    (path,) = catalog.list_launch_paths(ProductId=world.product)["LaunchPathSummaries"]
    assert path["ConstraintSummaries"][0]["Type"] == "LAUNCH"
    asked = catalog.describe_provisioning_parameters(
        ProductId=world.product, ProvisioningArtifactId=artifact["Id"], PathId=path["Id"]
    )
    rules = {
        item["ParameterKey"]: item["ParameterConstraints"]
        for item in asked["ProvisioningArtifactParameters"]
    }
    assert rules["Name"] == {"AllowedPattern": "^[a-z]+$", "MaxLength": "8"}
    assert rules["Mode"]["AllowedValues"] == PARAMETERS["Mode"]["AllowedValues"]
    assert {o["Key"]: sorted(o["Values"]) for o in asked["TagOptions"]} == {
        "cost-centre": ["ml", "research"],
        "by": ["catalog"],
    }


def test_a_principal_that_is_not_associated_sees_and_launches_nothing(world: World) -> None:
    catalog = world.catalog("other-data-scientist")
    assert catalog.search_products()["ProductViewSummaries"] == []
    for ask in (
        lambda: catalog.describe_product(Id=world.product),
        lambda: catalog.list_launch_paths(ProductId=world.product),
        lambda: catalog.provision_product(
            ProductId=world.product, ProvisioningArtifactName="1", ProvisionedProductName="x"
        ),
    ):
        with refused("ResourceNotFoundException", "No launch paths found"):
            ask()


def test_an_account_sees_what_it_accepts_with_principals_of_its_own(world: World) -> None:
    cloud = world.cloud
    hub, prod = cloud.client("servicecatalog", HUB), cloud.client("servicecatalog", PROD)
    portfolio = hub.create_portfolio(DisplayName="for prod", ProviderName="team")
    identity = portfolio["PortfolioDetail"]["Id"]
    hub.associate_product_with_portfolio(ProductId=world.product, PortfolioId=identity)
    hub.create_portfolio_share(PortfolioId=identity, AccountId=PROD)
    administrator = {"PrincipalARN": f"arn:aws:iam::{PROD}:user/administrator"}
    given = {"PortfolioId": identity, "PrincipalType": "IAM", **administrator}
    with refused("ResourceNotFoundException"):
        prod.associate_principal_with_portfolio(**given)
    prod.accept_portfolio_share(PortfolioId=identity)
    assert [p["Id"] for p in prod.list_accepted_portfolio_shares()["PortfolioDetails"]] == [
        world.portfolio,
        identity,
    ]
    assert prod.search_products()["ProductViewSummaries"] == []
    prod.associate_principal_with_portfolio(**given)
    assert len(prod.search_products()["ProductViewSummaries"]) == 1
    hub.delete_portfolio_share(PortfolioId=identity, AccountId=PROD)
    assert prod.search_products()["ProductViewSummaries"] == []


def test_one_of_a_tag_options_values_must_be_chosen(world: World) -> None:
    given = {
        "ProductId": world.product,
        "ProvisioningArtifactName": "1",
        "ProvisionedProductName": "tagless",
    }
    with refused("InvalidParametersException", "cost-centre is missing"):
        world.catalog().provision_product(**given)
    with refused("InvalidParametersException", "not 'sales'"):
        world.catalog().provision_product(**given, Tags=[{"Key": "cost-centre", "Value": "sales"}])


# A life.


def test_a_product_is_launched_changed_replaced_and_terminated(world: World) -> None:
    catalog, cloudformation = world.catalog(), world.cloud.client("cloudformation")
    record = world.launched("houses", Name="house")
    detail = record["RecordDetail"]
    assert detail["Status"] == "SUCCEEDED", detail["RecordErrors"]
    assert {"Key": "cost-centre", "Value": "ml"} in detail["RecordTags"]
    assert detail["LaunchRoleArn"] == f"arn:aws:iam::{DEV}:role/launch"
    stack = f"SC-{DEV}-{detail['ProvisionedProductId']}"
    told = outputs(record)
    assert told.pop("CloudformationStackARN").split("/")[1] == stack
    assert told == {"Id": "thing-house", "Made": "house", "Asked": "Create"}

    (event,) = world.requests(1, lambda e: e["ResourceProperties"]["Name"] == "house")
    assert event.pop("ResponseURL").startswith(f"{world.cloud.started.endpoint}/{ANSWERS}/arn%3A")
    assert event.pop("RequestId")
    assert event.pop("StackId").split("/")[1] == stack
    assert event == {
        "RequestType": "Create",
        "ServiceToken": FUNCTION,
        "LogicalResourceId": "Thing",
        "ResourceType": "Custom::Thing",
        "ResourceProperties": {
            "ServiceToken": FUNCTION,
            "ServiceTimeout": "30",
            "Name": "house",
            "Mode": "well",
            "Place": f"{REGION}/house",
        },
    }
    (found,) = catalog.search_provisioned_products()["ProvisionedProducts"]
    assert (found["Name"], found["Status"]) == ("houses", "AVAILABLE")
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {
        "cost-centre": "ml",
        "by": "catalog",
    }
    (shown,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    assert shown["StackStatus"] == "CREATE_COMPLETE"
    tags = {tag["Key"]: tag["Value"] for tag in shown["Tags"]}
    assert tags["cost-centre"] == "ml"
    assert tags["aws:servicecatalog:provisionedProductArn"] == found["Arn"]

    updated = changed(world, "houses", Name="home", Mode="well")
    assert outputs(updated)["Id"] == "thing-house"
    assert outputs(updated)["Asked"] == "Update"
    (event,) = world.requests(1, lambda e: e["RequestType"] == "Update")
    assert event["PhysicalResourceId"] == "thing-house"
    assert event["OldResourceProperties"]["Name"] == "house"

    replaced = changed(world, "houses", Name="palace", Mode="replaced")
    assert outputs(replaced)["Id"] == "thing-palace"
    # What it was before is removed, once the new one stands.
    world.was_asked("thing-home", ["Update", "Delete"])

    given = {"ProvisionedProductName": "houses", "TerminateToken": "once"}
    terminated = catalog.terminate_provisioned_product(**given)
    again = catalog.terminate_provisioned_product(**given)
    assert again["RecordDetail"]["RecordId"] == terminated["RecordDetail"]["RecordId"]
    assert ended(catalog, terminated["RecordDetail"])["RecordDetail"]["Status"] == "SUCCEEDED"
    world.was_asked("thing-palace", ["Update", "Delete"])
    assert catalog.search_provisioned_products()["ProvisionedProducts"] == []
    with refused("ResourceNotFoundException"):
        catalog.describe_provisioned_product(Name="houses")
    with refused("ValidationError"):
        cloudformation.describe_stacks(StackName=stack)
    kinds = [item["RecordType"] for item in catalog.list_record_history()["RecordDetails"]]
    assert kinds[0] == "TERMINATE_PROVISIONED_PRODUCT"


def changed(world: World, name: str, **parameters: str) -> dict[str, Any]:
    catalog = world.catalog()
    record = catalog.update_provisioned_product(
        ProvisionedProductName=name,
        ProvisioningParameters=[{"Key": k, "Value": v} for k, v in parameters.items()],
    )["RecordDetail"]
    return ended(catalog, record)


def removed(world: World, name: str) -> dict[str, Any]:
    catalog = world.catalog()
    record = catalog.terminate_provisioned_product(ProvisionedProductName=name)["RecordDetail"]
    return ended(catalog, record)


# The platform's own function and build.

AUTOMATION = """
import json, sys
from automation.cli import PARAMETER, ssm

command, action, name, *more = sys.argv[1:]
where = PARAMETER.format(command, name)
if action == "delete":
    ssm.delete_parameter(Name=where)
    sys.exit()
with open(more[1]) as file:
    given = json.load(file)
if command == "accounts":
    given["account_id"] = "555555555555"
if given["owner"] == "nobody":
    sys.exit("Nobody answers for it.")
known = {}
if action == "update":
    known = json.loads(ssm.get_parameter(Name=where)["Parameter"]["Value"])
ssm.put_parameter(Name=where, Value=json.dumps({**known, **given}), Type="String", Overwrite=True)
"""
STACKS = """
import json
import boto3

PARAMETER = "/acme/governance/{}/{}"
ssm = boto3.client("ssm")

class Vended:
    def __init__(self, command="projects"):
        self.command = command

    def held(self, name):
        try:
            found = ssm.get_parameter(Name=PARAMETER.format(self.command, name))
        except ssm.exceptions.ParameterNotFound:
            return None
        return json.loads(found["Parameter"]["Value"])

    def told(self, name):
        held = self.held(name)
        return {"AccountId": held["account_id"]} if held else {}

projects = administered = Vended
"""
VENDING = f"arn:aws:lambda:{REGION}:{HUB}:function:vending"
BUILDSPEC = {
    "version": 0.2,
    "phases": {
        "install": {"commands": ['test "$ACTION $NAME" != "create no-install"']},
        "build": {"commands": ["python -m functions.vending.build"]},
        "post_build": {"commands": ["python -m functions.vending.answer"]},
    },
}
BUILD = trusting("codebuild")


def vending_code(**more: str) -> bytes:
    """The packages of the function and the build as they are deployed, and other files."""
    written = {f"automation/{name}.py": text for name, text in more.items()}
    return zipped({**function_code("vending"), **written})


@pytest.fixture(scope="module")
def project_product(world: World) -> str:
    """The product of a project: all is the platform's but what the command line does."""
    cloud = world.cloud
    cloud.client("s3", HUB).put_object(
        Bucket="acme-templates",
        Key="platform.zip",
        Body=vending_code(__init__="", __main__=AUTOMATION, cli=STACKS),
    )
    known = {"Action": "ssm:*", "Resource": f"arn:aws:ssm:{REGION}:{HUB}:parameter/acme/*"}
    read = {"Action": "s3:GetObject*", "Resource": "arn:aws:s3:::acme-templates/*"}
    cloud.client("codebuild", HUB).create_project(
        name="vending",
        serviceRole=cloud.role("vending-build", LOGS, known, read, account=HUB, trust=BUILD),
        source={
            "type": "S3",
            "location": "acme-templates/platform.zip",
            "buildspec": json.dumps(BUILDSPEC),
        },
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
    )
    starts = {
        "Action": ["codebuild:StartBuild", "codebuild:BatchGetBuilds"],
        "Resource": f"arn:aws:codebuild:{REGION}:{HUB}:project/vending",
    }
    functions, events = cloud.client("lambda", HUB), cloud.client("events", HUB)
    functions.create_function(
        FunctionName="vending",
        Role=cloud.role("vending", LOGS, known, starts, account=HUB, trust=LAMBDA),
        Runtime="python3.11",
        Handler="functions.vending.handler.handle",
        Code={"ZipFile": vending_code()},
        Timeout=30,
        Environment={
            "Variables": {
                "VENDING_BUILD": "vending",
                "PARAMETERS": "/acme/governance",
                "TEMPLATES": '["xgboost-realtime"]',
            }
        },
    )
    pattern = {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {"project-name": ["vending"], "build-status": ["FAILED"]},
    }
    rule = events.put_rule(Name="vending", EventPattern=json.dumps(pattern))["RuleArn"]
    events.put_targets(Rule="vending", Targets=[{"Id": "vending", "Arn": VENDING}])
    for who, more in ((DEV, {}), ("events.amazonaws.com", {"SourceArn": rule})):
        functions.add_permission(
            FunctionName="vending",
            StatementId=who.partition(".")[0],
            Action="lambda:InvokeFunction",
            Principal=who,
            **more,
        )
    asks = {"Action": "lambda:InvokeFunction", "Resource": VENDING}
    cloud.role("launch-vending", *LAUNCHING, asks, trust=CATALOG)
    template = product_template("xgboost-realtime", VENDING, every_choice=True)
    return vending_product(world, "project", template)


def vending_product(world: World, name: str, template: dict[str, Any]) -> str:
    """A product of the vending function."""
    cloud, key = world.cloud, f"{name}.json"
    cloud.client("s3", HUB).put_object(Bucket="acme-templates", Key=key, Body=json.dumps(template))
    product = make_product(cloud, name, "acme-templates", key)
    cloud.client("servicecatalog", HUB).associate_product_with_portfolio(
        ProductId=product, PortfolioId=world.portfolio
    )
    constrain(cloud, world.portfolio, product, "launch-vending")
    return product


def asked_for(name: str, **changes: str) -> dict[str, str]:
    return {
        "SageMakerProjectName": name,
        "SageMakerProjectId": "p-abcdefghij12",
        "Owner": "team",
        "CostCentre": "1",
        "Organization": "acme",
        **changes,
    }


def vended(world: World, name: str) -> dict[str, Any] | None:
    ssm = world.cloud.client("ssm", HUB)
    found = ssm.get_parameters(Names=[f"/acme/governance/projects/{name}"])["Parameters"]
    return json.loads(found[0]["Value"]) if found else None


def test_a_project_is_launched_changed_refused_a_change_and_terminated(
    world: World, project_product: str
) -> None:
    made = replace(world, product=project_product)
    record = made.launched("villa", **asked_for("villa"))
    assert record["RecordDetail"]["Status"] == "SUCCEEDED", record["RecordDetail"]["RecordErrors"]
    assert outputs(record)["BuildRepository"] == "acme/villa-build"
    before = vended(world, "villa")
    assert before is not None
    assert (before["id"], before["targets"]) == ("p-abcdefghij12", ["preprod", "prod"])

    given = asked_for("villa", Owner="others", Targets="preprod")
    record = changed(made, "villa", **given)
    assert record["RecordDetail"]["Status"] == "SUCCEEDED", record["RecordDetail"]["RecordErrors"]
    after = {**before, "owner": "others", "targets": ["preprod"]}
    assert vended(world, "villa") == after

    # The build tells what its command said, and what was is vended once more.
    told = cause(changed(made, "villa", **{**given, "Owner": "nobody"}))
    assert "projects update villa ended with exit code 1: Nobody answers for it." in told
    assert vended(world, "villa") == after

    # What is fixed is refused, and the refused change taken back: the stack can be changed again.
    told = cause(changed(made, "villa", **{**given, "Organization": "others"}))
    assert "Organization of a project cannot change" in told
    stack = outputs(record)["CloudformationStackARN"]
    (shown,) = world.cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    assert shown["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert vended(world, "villa") == after
    assert removed(made, "villa")["RecordDetail"]["Status"] == "SUCCEEDED"
    assert vended(world, "villa") is None


@pytest.mark.usefixtures("project_product")
def test_an_account_is_launched_with_its_id_and_kept_when_the_product_ends(world: World) -> None:
    template = administration_template(administration(["preprod", "prod"])[ACCOUNT], VENDING)
    made = replace(world, product=vending_product(world, "account", template))
    given = {
        "AccountName": "shop-eu", "Email": "shop@example.com", "Kind": "prod", "Owner": "team",
        "CostCentre": "1",
    }  # fmt: skip
    record = made.launched("shop", **given)
    assert record["RecordDetail"]["Status"] == "SUCCEEDED", record["RecordDetail"]["RecordErrors"]
    told = outputs(record)
    assert (told["AccountName"], told["AccountId"]) == ("shop-eu", "555555555555")

    refused = cause(changed(made, "shop", **{**given, "Email": "other@example.com"}))
    assert "Email of an account cannot change" in refused
    again = cause(made.launched("shop-again", **given))
    assert "There is an account shop-eu already" in again
    removed(made, "shop-again")

    assert removed(made, "shop")["RecordDetail"]["Status"] == "SUCCEEDED"
    # CloudFormation shows no reason of what went well: the build's log does.
    logs = world.cloud.client("logs", HUB)
    found = logs.filter_log_events(logGroupName="/aws/codebuild/vending")["events"]
    assert any(ACCOUNT_KIND.kept in event["message"] for event in found)


@pytest.mark.parametrize(
    ("name", "owner", "told"),
    [
        ("cabin", "nobody", "projects create cabin ended with exit code 1: Nobody answers for it."),
        ("no-install", "team", "ended FAILED in its phase"),
    ],
)
def test_a_build_that_fails_tells_its_cause_to_whoever_launched(
    world: World, project_product: str, name: str, owner: str, told: str
) -> None:
    made = replace(world, product=project_product)
    assert told in cause(made.launched(name, **asked_for(name, Owner=owner)))
    assert vended(world, name) is None
    assert removed(made, name)["RecordDetail"]["Status"] == "SUCCEEDED"


# What goes wrong.


def test_only_what_is_enforced_can_be_a_rule(world: World) -> None:
    catalog = world.cloud.client("servicecatalog", HUB)
    both = {"PortfolioId": world.portfolio, "ProductId": world.product}
    for kind, parameters in (
        ("TEMPLATE", {"Rules": {}}),
        ("LAUNCH", {"RoleName": "launch"}),
        ("LAUNCH", {"LocalRoleName": "a", "RoleArn": "b"}),
    ):
        with refused("InvalidParametersException"):
            catalog.create_constraint(**both, Type=kind, Parameters=json.dumps(parameters))


def test_a_role_of_another_account_launches_nothing(world: World) -> None:
    catalog = world.cloud.client("servicecatalog", HUB)
    listed = catalog.list_constraints_for_portfolio(PortfolioId=world.portfolio)
    identity = listed["ConstraintDetails"][0]["ConstraintId"]
    role = json.dumps({"RoleArn": f"arn:aws:iam::{HUB}:role/launch"})
    catalog.update_constraint(Id=identity, Parameters=role)
    try:
        with refused("InvalidParametersException", "give LocalRoleName"):
            world.launched("barn", Name="barn")
    finally:
        constrain(world.cloud, world.portfolio, world.product, "launch")


def test_a_failure_tells_the_cause_and_is_rolled_back(world: World) -> None:
    record = world.launched("large", Name="large", Mode="fails")
    assert "the thing is too large" in cause(record)
    catalog = world.catalog()
    found = catalog.describe_provisioned_product(Name="large")["ProvisionedProductDetail"]
    assert (found["Status"], found["StatusMessage"]) == ("ERROR", cause(record))
    world.was_asked("thing-large", ["Create", "Delete"])
    stack = outputs(record)["CloudformationStackARN"]
    events = world.cloud.client("cloudformation").describe_stack_events(StackName=stack)
    told = [
        (event["LogicalResourceId"], event["ResourceStatus"])
        for event in reversed(events["StackEvents"])
    ]
    name = stack.split("/")[1]
    assert told == [
        (name, "CREATE_IN_PROGRESS"),
        ("Thing", "CREATE_IN_PROGRESS"),
        ("Thing", "CREATE_FAILED"),
        (name, "ROLLBACK_IN_PROGRESS"),
        ("Thing", "DELETE_IN_PROGRESS"),
        ("Thing", "DELETE_COMPLETE"),
        (name, "ROLLBACK_COMPLETE"),
    ]
    # Once more under the name only after it is gone.
    with refused("DuplicateResourceException"):
        world.launched("large", Name="small")
    assert removed(world, "large")["RecordDetail"]["Status"] == "SUCCEEDED"
    world.was_asked("thing-large", ["Create", "Delete"])


def test_a_failed_change_leaves_what_was(world: World) -> None:
    assert world.launched("sheds", Name="shed")["RecordDetail"]["Status"] == "SUCCEEDED"
    assert "the thing is too large" in cause(changed(world, "sheds", Name="shed", Mode="fails"))
    catalog = world.catalog()
    found = catalog.describe_provisioned_product(Name="sheds")["ProvisionedProductDetail"]
    assert found["Status"] == "TAINTED"
    told = catalog.get_provisioned_product_outputs(ProvisionedProductName="sheds")["Outputs"]
    assert {"OutputKey": "Made", "OutputValue": "shed", "Description": "What was made"} in told
    # The change, and back to what it was.
    about = world.requests(3, lambda e: e["ResourceProperties"]["Name"] == "shed")
    assert [event["ResourceProperties"]["Mode"] for event in about] == ["well", "fails", "well"]
    assert removed(world, "sheds")["RecordDetail"]["Status"] == "SUCCEEDED"


def test_a_function_that_never_answers_is_waited_for_as_long_as_it_says(world: World) -> None:
    begun = time.monotonic()
    record = world.launched("mute", Name="mute", Mode="silent", Seconds="3")
    assert "did not receive a response" in cause(record)
    assert 3 <= time.monotonic() - begun < 20
    world.was_asked("thing-mute", ["Create", "Delete"])
    removed(world, "mute")


def test_a_wrong_parameter_makes_no_stack(world: World) -> None:
    for parameters, words in (
        ({"Name": "HOUSE"}, "must match pattern"),
        ({"Name": "ninechars"}, "at most 8"),
        ({"Name": "a", "Mode": "odd"}, "must be one of AllowedValues"),
        ({"Name": "a", "Seconds": "0"}, "not less than 1"),
        ({}, "must have values"),
        ({"Name": "a", "Size": "1"}, "do not exist in the template"),
    ):
        assert words in cause(world.launched("wrong", **parameters))
        removed(world, "wrong")
    names = {event["ResourceProperties"]["Name"] for event in asked(world.cloud, "things")}
    assert not names & {"HOUSE", "ninechars", "a"}


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("launch-without", "not authorized to perform: lambda:InvokeFunction"),
        ("launch-unread", "not authorized to perform: s3:GetObject"),
    ],
)
def test_a_launch_role_does_what_its_policy_allows(world: World, role: str, words: str) -> None:
    constrain(world.cloud, world.portfolio, world.product, role)
    try:
        assert words in cause(world.launched("barn", Name="barn"))
        removed(world, "barn")
        world.was_asked("thing-barn", [])
    finally:
        constrain(world.cloud, world.portfolio, world.product, "launch")


@pytest.mark.parametrize("role", ["launch-untrusted", "launch-nobody"])
def test_a_role_that_does_not_trust_service_catalog_launches_nothing(
    world: World, role: str
) -> None:
    constrain(world.cloud, world.portfolio, world.product, role)
    try:
        with refused("InvalidParametersException", "Access denied while assuming the role"):
            world.launched("barn", Name="barn")
    finally:
        constrain(world.cloud, world.portfolio, world.product, "launch")


def test_a_function_that_does_not_let_the_account_in_is_not_asked(world: World) -> None:
    functions = world.cloud.client("lambda", HUB)
    functions.remove_permission(FunctionName="things", StatementId="Dev")
    try:
        assert "lambda:InvokeFunction" in cause(world.launched("fort", Name="fort"))
        removed(world, "fort")
    finally:
        let_dev_invoke(world.cloud, "things")


def test_an_answer_from_a_vpc_goes_through_its_endpoint(world: World) -> None:
    ec2 = world.cloud.client("ec2", HUB)
    endpoint = {"VpcEndpointId": world.endpoint_id}
    ec2.modify_vpc_endpoint(**endpoint, PolicyDocument=lets("others"))
    try:
        record = world.launched("gate", Name="gate", Seconds="4")
        assert "did not receive a response" in cause(record)
    finally:
        ec2.modify_vpc_endpoint(**endpoint, PolicyDocument=lets(ANSWERS))
    denial = world.cloud.control("GET", "denials")[-1]
    assert denial["action"] == "s3:PutObject"
    assert denial["resource"].startswith(f"arn:aws:s3:::{ANSWERS}/arn:aws:cloudformation:")
    assert denial["context"]["aws:SourceVpce"] == world.endpoint_id
    # The rollback could not be answered either; the next attempt is.
    assert removed(world, "gate")["RecordDetail"]["Status"] == "SUCCEEDED"


def test_an_answer_that_does_not_get_through_is_sent_again(world: World) -> None:
    fault = {"service": "s3", "operation": "PutObject", "error": "server-error", "count": 2}
    world.cloud.control("POST", "faults", fault)
    assert world.launched("tower", Name="tower")["RecordDetail"]["Status"] == "SUCCEEDED"
    assert removed(world, "tower")["RecordDetail"]["Status"] == "SUCCEEDED"
    assert world.cloud.control("GET", "faults") == []
    world.was_asked("thing-tower", ["Create", "Delete"])


def put(url: str, body: bytes = b"{}", kind: str = "") -> int:
    headers = {"Content-Type": kind}
    request = urllib.request.Request(url, data=body, method="PUT", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - the emulator's
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_only_the_address_itself_takes_an_answer(world: World) -> None:
    world.launched("tents", Name="tent")
    (asked,) = world.requests(1, lambda e: e["ResourceProperties"]["Name"] == "tent")
    url = asked["ResponseURL"]
    signature = url.index("X-Amz-Signature=") + len("X-Amz-Signature=")
    forged = url[:signature] + "0" * 64
    elsewhere = url.replace("/arn%3A", "/other-arn%3A")
    assert [put(forged), put(elsewhere), put(url, kind="application/json")] == [403] * 3
    # The signature holds, so it is taken; a request has one answer.
    assert put(url, b'{"Status": "FAILED"}') == 200
    found = world.catalog().describe_provisioned_product(Name="tents")["ProvisionedProductDetail"]
    assert found["Status"] == "AVAILABLE"
    removed(world, "tents")


def test_a_user_level_is_of_what_the_session_launched(world: World) -> None:
    own = {
        "Action": ["servicecatalog:DescribeProvisionedProduct", "servicecatalog:DescribeRecord",
                   "servicecatalog:SearchProvisionedProducts",
                   "servicecatalog:TerminateProvisionedProduct"],
        "Resource": "*",
        "Condition": {"StringEquals": {"servicecatalog:userLevel": "self"}},
    }  # fmt: skip
    launch = {"Action": "servicecatalog:ProvisionProduct", "Resource": "*"}
    arn = world.cloud.role("acme-dev-own", own, launch)

    def catalog(name: str) -> Any:
        session = world.cloud.assume(arn, name=name)
        return world.cloud.client("servicecatalog", session=session)

    ana, ben = catalog("ana"), catalog("ben")
    record = ana.provision_product(
        ProductId=world.product,
        ProvisioningArtifactName="1",
        ProvisionedProductName="of-ana",
        ProvisioningParameters=[{"Key": "Name", "Value": "ana"}],
        Tags=[{"Key": "cost-centre", "Value": "research"}],
    )["RecordDetail"]
    assert ended(ana, record)["RecordDetail"]["Status"] == "SUCCEEDED"
    assert len(ana.search_provisioned_products()["ProvisionedProducts"]) == 1
    assert ben.search_provisioned_products()["ProvisionedProducts"] == []
    for ask in (
        lambda: ben.describe_record(Id=record["RecordId"]),
        lambda: ben.describe_provisioned_product(Name="of-ana"),
        lambda: ben.terminate_provisioned_product(ProvisionedProductName="of-ana"),
        lambda: ana.search_provisioned_products(
            AccessLevelFilter={"Key": "Account", "Value": "self"}
        ),
    ):
        with refused("AccessDeniedException"):
            ask()
    ended(ana, ana.terminate_provisioned_product(ProvisionedProductName="of-ana")["RecordDetail"])


# Templates.


@pytest.mark.parametrize("every_choice", [True, False])
def test_the_platforms_own_products_are_read(every_choice: bool) -> None:
    body = json.dumps(product_template("xgboost-realtime", FUNCTION, every_choice=every_choice))
    template = stacks.read(body)
    given = {
        "SageMakerProjectName": "house-prices",
        "SageMakerProjectId": "p-abcdefghijkl",
        "Owner": "Team Ä",
        "CostCentre": "1",
        "Organization": "acme",
    }
    assert template.values(given).items() >= given.items()
    with pytest.raises(stacks.TemplateError, match="SageMakerProjectName' must"):
        template.values({**given, "SageMakerProjectName": "House"})


@given(value=st.text(max_size=12), least=st.integers(0, 4), most=st.integers(4, 12))
def test_a_values_length_and_pattern_are_what_the_template_says(
    value: str, least: int, most: int
) -> None:
    rules = {"MinLength": least, "MaxLength": most, "AllowedPattern": "[a-z]*"}
    plain = set(value) <= set("abcdefghijklmnopqrstuvwxyz")
    parameter = Parameter("A", "String", {"Type": "String", **rules})
    if least <= len(value) <= most and plain:
        parameter.check(value)
    else:
        with pytest.raises(stacks.TemplateError, match="'A' must"):
            parameter.check(value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}, "custom resources only"),
        ({"Conditions": {}}, "does not serve Conditions"),
        ({"Outputs": {"A": {"Value": {"Ref": "Nothing"}}}}, "neither a parameter nor a resource"),
        ({"Outputs": {"A": {"Value": {"Fn::Select": [0, ["a"]]}}}}, "does not serve Fn::Select"),
        ({"Parameters": {"A": {"Type": "AWS::SSM::Parameter::Value<String>"}}}, "of type AWS::SSM"),
    ],
)
def test_what_is_not_served_of_a_template_is_refused_by_name(
    world: World, change: dict[str, Any], words: str
) -> None:
    s3 = world.cloud.client("s3", HUB)
    s3.put_object(Bucket="acme-templates", Key="odd.json", Body=json.dumps({**TEMPLATE, **change}))
    with refused("InvalidParametersException", words):
        make_product(world.cloud, "odd", "acme-templates", "odd.json")


def test_a_template_that_the_maker_may_not_read_makes_no_product(world: World) -> None:
    arn = world.cloud.role("makes", END_USER, account=HUB)
    catalog = world.cloud.client("servicecatalog", session=world.cloud.assume(arn))
    with refused("InvalidParametersException", "perform: s3:GetObject"):
        catalog.create_product(
            Name="a",
            Owner="team",
            ProductType="CLOUD_FORMATION_TEMPLATE",
            ProvisioningArtifactParameters={
                "Info": {
                    "LoadTemplateFromURL": "https://s3.eu-west-1.amazonaws.com/acme-templates/thing.json"
                }
            },
        )


YAML = f"""
AWSTemplateFormatVersion: 2010-09-09
Parameters:
  Name: {{Type: String}}
Resources:
  Second:
    Type: Custom::Thing
    Properties:
      ServiceToken: {FUNCTION}
      Name: !Join ["", [!GetAtt First.Name, "b"]]
      Mode: well
  First:
    Type: Custom::Thing
    Properties:
      ServiceToken: {FUNCTION}
      Name: !Ref Name
      Mode: well
Outputs:
  Both:
    Value: !Sub "${{First}} and ${{Second}} in ${{AWS::AccountId}}"
"""


def test_stacks_of_ones_own_act_as_whoever_makes_them(world: World) -> None:
    cloudformation = world.cloud.client("cloudformation", HUB)
    given = [{"ParameterKey": "Name", "ParameterValue": "yard"}]
    cloudformation.create_stack(StackName="yards", TemplateBody=YAML, Parameters=given)
    waiting = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 20}}
    cloudformation.get_waiter("stack_create_complete").wait(StackName="yards", **waiting)
    (stack,) = cloudformation.describe_stacks(StackName="yards")["Stacks"]
    assert [output["OutputValue"] for output in stack["Outputs"]] == [
        f"thing-yard and thing-yardb in {HUB}"
    ]
    listed = cloudformation.describe_stack_resources(StackName="yards")["StackResources"]
    assert [item["LogicalResourceId"] for item in listed] == ["First", "Second"]
    with refused("ValidationError", "No updates are to be performed"):
        cloudformation.update_stack(StackName="yards", UsePreviousTemplate=True, Parameters=given)
    cloudformation.delete_stack(StackName="yards")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="yards", **waiting)
    removals = world.requests(
        2,
        lambda e: e["RequestType"] == "Delete" and "yard" in e["ResourceProperties"]["Name"],
    )
    assert [event["ResourceProperties"]["Name"] for event in removals] == ["yardb", "yard"]
