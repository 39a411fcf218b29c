"""SageMaker projects on the emulator: from a template in S3, and from a product.

Both are launched with the policies that the platform gives, from its own templates, and ask a
function of the hub. The function stands for the vending function: it tells what it was asked, and
answers at once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from automation.projects.templates import load
from components import catalog, iam, launching, personas, project_templates
from components.baseline_policies import boundary_statements
from components.naming import Names, Placement
from functions.vending.requests import PROJECT, read_settings
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
from tests.localcloud.kit import until
from tests.localcloud.launching import (
    asked,
    constrain,
    make_function,
    make_portfolio,
    make_product,
)

TEMPLATE = "xgboost-realtime"
PLACEMENT: Placement = {
    "prefix": "acme",
    "environment": "dev",
    "region": REGION,
    "accounts": {"governance": HUB, "dev": DEV, "prod": PROD},
    "account_id": DEV,
    "organization_id": "o-localcloud",
    "protect": False,
}
NAMES = Names.at(PLACEMENT)
VENDING = "acme-governance-vending"
FUNCTION = f"arn:aws:lambda:{REGION}:{HUB}:function:{VENDING}"
HANDLER = """
import json
from answer import Address, Result, send

def handle(event, context):
    print("ASKED " + json.dumps(event))
    asked = event["ResourceProperties"]
    address = Address(event["ResponseURL"], event["StackId"], event["RequestId"],
                      event["LogicalResourceId"], asked["ProjectId"])
    taken = asked["Owner"] == "nobody" and event["RequestType"] != "Delete"
    data = {"ProjectId": asked["ProjectId"], "BuildRepository": "b", "DeployRepository": "d"}
    send(address, Result(not taken, "Nobody owns nothing.", data))
"""
TEXT = json.dumps(
    catalog.product_template(
        TEMPLATE, FUNCTION, every_choice=False, settings=load()[TEMPLATE].settings
    )
)
GIVEN = {"Owner": "growth", "CostCentre": "ml", "Organization": "acme"}


@dataclass(frozen=True)
class Place:
    """Dev with its templates and the hub with its product, and a lead's SageMaker in dev."""

    cloud: Cloud
    sagemaker: Any
    product: str

    def asked(self, project: str, least: int) -> list[dict[str, Any]]:
        """The requests about a project that the function got, once it logged so many."""
        return until(
            lambda: [
                request
                for request in asked(self.cloud, VENDING)
                if request["ResourceProperties"]["ProjectName"] == project
            ],
            lambda found: len(found) >= least,
        )

    def from_template(
        self, project: str, url: str = "", role: str = launching.LAUNCH, **changes: str
    ) -> dict[str, Any]:
        """Makes a project from the template in S3, and waits."""
        self.sagemaker.create_project(
            ProjectName=project,
            TemplateProviders=[
                {
                    "CfnTemplateProvider": {
                        "TemplateName": TEMPLATE,
                        "TemplateURL": url or project_templates.template_url(NAMES, TEMPLATE),
                        "RoleARN": NAMES.role_arn(role),
                        "Parameters": pairs({**GIVEN, **changes}),
                    }
                }
            ],
        )
        return self.ended(project)

    def from_product(self, project: str, **changes: str) -> dict[str, Any]:
        """Makes a project from the product, as Studio does with Service Catalog, and waits."""
        self.sagemaker.create_project(
            ProjectName=project,
            ServiceCatalogProvisioningDetails={
                "ProductId": self.product,
                "ProvisioningParameters": pairs({**GIVEN, **changes}),
            },
        )
        return self.ended(project)

    def ended(self, project: str) -> dict[str, Any]:
        return until(
            lambda: self.sagemaker.describe_project(ProjectName=project),
            lambda found: not found["ProjectStatus"].endswith("InProgress"),
        )

    def removed(self, project: str) -> None:
        self.sagemaker.delete_project(ProjectName=project)

        def gone(status: str | None) -> bool:
            assert status in (None, "DeleteInProgress")
            return status is None

        until(lambda: self.projects().get(project), gone)

    def projects(self) -> dict[str, str]:
        found = self.sagemaker.list_projects(SortBy="Name")["ProjectSummaryList"]
        return {item["ProjectName"]: item["ProjectStatus"] for item in found}


def pairs(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def told(found: dict[str, Any]) -> str:
    (provider,) = found["TemplateProviderDetails"]
    return provider["CfnTemplateProviderDetail"]["StackDetail"]["StatusMessage"]


def make_role(cloud: Cloud, name: str, service: str, statements: list[iam.Statement]) -> None:
    """A role of dev as the platform makes it, with the boundary."""
    boundary = NAMES.policy_arn("boundary")
    cloud.role(name, trust=trusting(service),
               PermissionsBoundary=boundary)  # fmt: skip
    cloud.client("iam").put_role_policy(
        RoleName=name, PolicyName="own", PolicyDocument=json.dumps(iam.document(statements))
    )


def lead(cloud: Cloud, key: str) -> Any:
    """SageMaker as a lead data scientist has it, who may use both catalogues here."""
    statements = {
        statement.sid: statement
        for from_s3 in (False, True)
        for statement in personas.persona_statements(
            PLACEMENT, "lead-data-scientist", from_s3=from_s3
        )
    }
    name = NAMES.role("lead-data-scientist-execution")
    arn = cloud.role(name, PermissionsBoundary=NAMES.policy_arn("boundary"))
    for part, chosen in enumerate((statements.values(), [personas.key_use(NAMES, [key])])):
        cloud.client("iam").put_role_policy(
            RoleName=name, PolicyName=f"part-{part}",
            PolicyDocument=json.dumps(iam.document(list(chosen))),
        )  # fmt: skip
    return cloud.client("sagemaker", session=cloud.assume(arn))


def put(cloud: Cloud, account: str, bucket: str, key: str, body: str, **more: str) -> None:
    s3 = cloud.client("s3", account)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key=key, Body=body, **more)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running(checkout(tmp_path_factory.mktemp("projects"))) as cloud:
        make_function(cloud, VENDING, HANDLER)
        cloud.client("iam").create_policy(
            PolicyName=NAMES.policy_arn("boundary").rpartition("/")[2],
            PolicyDocument=json.dumps(iam.document(boundary_statements(NAMES))),
        )
        key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
        bucket = NAMES.bucket(launching.BUCKET)
        encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        own = project_templates.template_url(NAMES, TEMPLATE).partition(".com/")[2]
        put(cloud, DEV, bucket, own, TEXT, **encrypted)
        put(cloud, DEV, bucket, "elsewhere/own.yaml", TEXT, **encrypted)
        make_role(cloud, NAMES.role(launching.LAUNCH), "cloudformation",
                  project_templates.launch_statements(FUNCTION))  # fmt: skip
        make_role(cloud, NAMES.role("other-launch"), "cloudformation",
                  project_templates.launch_statements(FUNCTION))  # fmt: skip
        hub = Names.at(PLACEMENT, "governance")
        make_role(cloud, hub.role(launching.LAUNCH), "servicecatalog",
                  catalog.launch_statements(NAMES, FUNCTION))  # fmt: skip
        put(cloud, HUB, "acme-products", "product.json", TEXT)
        product = make_product(cloud, TEMPLATE, "acme-products", "product.json")
        everywhere = ("ORGANIZATION", "o-localcloud")
        portfolio = make_portfolio(cloud, "projects", product, "acme-dev-*-execution", everywhere)
        constrain(cloud, portfolio, product, hub.role(launching.LAUNCH))
        yield Place(cloud, lead(cloud, key), product)


def test_both_catalogues_ask_the_vending_function_for_the_same(place: Place) -> None:
    took: dict[str, dict[str, str]] = {}
    for make, project in ((place.from_template, "houses"), (place.from_product, "flats")):
        found = make(project, GateRmse="2.5")
        assert found["ProjectStatus"] == "CreateCompleted", found
        (request,) = place.asked(project, 1)
        assert request["RequestType"] == "Create"
        properties = request["ResourceProperties"]
        assert properties.pop("ProjectName") == project
        assert properties.pop("ProjectId") == found["ProjectId"]
        # Both are taken as the function takes them.
        own = {"ProjectName": project, "ProjectId": found["ProjectId"]}
        settings = read_settings(PROJECT, {**properties, **own}, [TEMPLATE])
        assert (settings["id"], settings["owner"]) == (found["ProjectId"], "growth")
        assert settings["settings"]["gate_rmse"] == "2.5"
        took[project] = properties
    assert took["houses"] == took["flats"]
    assert place.projects() == {"flats": "CreateCompleted", "houses": "CreateCompleted"}
    for project in ("houses", "flats"):
        place.removed(project)
        assert [r["RequestType"] for r in place.asked(project, 2)] == ["Create", "Delete"]


def test_a_projects_stack_carries_its_name_and_acts_as_the_launch_role(place: Place) -> None:
    found = place.from_template("boats")
    (provider,) = found["TemplateProviderDetails"]
    stack_id = provider["CfnTemplateProviderDetail"]["StackDetail"]["Id"]
    (stack,) = place.cloud.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
    assert stack["StackName"] == f"SP-{found['ProjectId']}"
    assert stack["RoleARN"] == NAMES.role_arn(launching.LAUNCH)
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert tags == {
        "sagemaker:project-name": "boats",
        "sagemaker:project-id": found["ProjectId"],
    }
    assert found["CreatedBy"]["IamIdentity"]["Arn"].endswith("lead-data-scientist-execution/test")
    place.sagemaker.update_project(
        ProjectName="boats",
        ProjectDescription="of all kinds",
        TemplateProvidersToUpdate=[
            {
                "CfnTemplateProvider": {
                    "TemplateName": TEMPLATE,
                    "TemplateURL": provider["CfnTemplateProviderDetail"]["TemplateURL"],
                    "Parameters": pairs({"Owner": "risk"}),
                }
            }
        ],
    )
    changed = place.ended("boats")
    assert (changed["ProjectStatus"], changed["ProjectDescription"]) == (
        "UpdateCompleted", "of all kinds",
    )  # fmt: skip
    before, after = (request["ResourceProperties"] for request in place.asked("boats", 2))
    assert after == {**before, "Owner": "risk"}
    place.removed("boats")


def test_what_the_function_refuses_is_the_projects_failure(place: Place) -> None:
    for make in (place.from_template, place.from_product):
        found = make("sheds", Owner="nobody")
        assert found["ProjectStatus"] == "CreateFailed"
        message = (
            told(found)
            if "TemplateProviderDetails" in found
            else found["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductStatusMessage"]
        )
        assert "Nobody owns nothing." in message
        # A project that failed still has the name: it is deleted first.
        with pytest.raises(ClientError, match="already exists"):
            make("sheds")
        place.removed("sheds")


@pytest.mark.parametrize(
    ("url", "role", "words"),
    [
        # A template of one's own could ask for what is not offered.
        ("elsewhere/own.yaml", launching.LAUNCH, "cloudformation:CreateStack"),
        ("sagemaker-projects/none.yaml", launching.LAUNCH, "S3 error"),
        ("", "other-launch", "cloudformation:CreateStack"),
    ],
)
def test_only_offered_templates_are_launched_and_only_by_the_launch_role(
    place: Place, url: str, role: str, words: str
) -> None:
    if role == "other-launch":
        # Even whoever may pass it.
        place.cloud.client("iam").put_role_policy(
            RoleName=NAMES.role("lead-data-scientist-execution"),
            PolicyName="passes",
            PolicyDocument=document(
                {"Action": "iam:PassRole", "Resource": NAMES.role_arn("other-launch")}
            ),
        )
    host = f"https://{NAMES.bucket('catalog')}.s3.{REGION}.amazonaws.com/"
    if url == "elsewhere/own.yaml":
        place.cloud.client("iam").put_role_policy(
            RoleName=NAMES.role("lead-data-scientist-execution"),
            PolicyName="reads",
            PolicyDocument=document(
                {"Action": "s3:GetObject", "Resource": f"{NAMES.bucket_arn('catalog')}/elsewhere/*"}
            ),
        )
    found = place.from_template("barns", host + url if url else "", role)
    assert found["ProjectStatus"] == "CreateFailed"
    assert words in told(found)
    assert place.asked("barns", 0) == []
    place.removed("barns")


def test_a_role_that_is_not_passed_or_trusts_others_makes_nothing(place: Place) -> None:
    launching = project_templates.launch_statements(FUNCTION)
    make_role(place.cloud, NAMES.role("not-passed"), "cloudformation", launching)
    with pytest.raises(ClientError, match="iam:PassRole"):
        place.from_template("mills", role="not-passed")
    cloudformation = place.cloud.client("cloudformation")
    make_role(place.cloud, NAMES.role("untrusting"), "lambda", launching)
    values = {"SageMakerProjectName": "a", "SageMakerProjectId": "p-abcdefghij12", **GIVEN}
    with pytest.raises(ClientError, match="cannot be assumed"):
        cloudformation.create_stack(
            StackName="a",
            TemplateBody=TEXT,
            RoleARN=NAMES.role_arn("untrusting"),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in values.items()
            ],
        )


def test_a_project_is_made_from_one_thing_and_changed_when_it_is_free(place: Place) -> None:
    with pytest.raises(ClientError, match="give one"):
        place.sagemaker.create_project(ProjectName="both")
    with pytest.raises(ClientError, match="does not exist"):
        place.sagemaker.describe_project(ProjectName="both")
    place.sagemaker.create_project(
        ProjectName="towers",
        ServiceCatalogProvisioningDetails={
            "ProductId": place.product, "ProvisioningParameters": pairs(GIVEN),
        },
    )  # fmt: skip
    with pytest.raises(ClientError, match="ConflictException"):
        place.sagemaker.delete_project(ProjectName="towers")
    place.ended("towers")
    details = {"ProvisioningParameters": pairs({"Owner": "risk"})}
    place.sagemaker.update_project(
        ProjectName="towers", ServiceCatalogProvisioningUpdateDetails=details
    )
    assert place.ended("towers")["ProjectStatus"] == "UpdateCompleted"
    assert place.asked("towers", 2)[-1]["ResourceProperties"]["Owner"] == "risk"
    place.removed("towers")
