"""Templates of projects in S3: what Studio is offered, and what a launch may do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automation.projects.templates import load
from components import catalog, iam, project_templates
from components.naming import Names
from components.project_templates import ProjectTemplates
from localcloud.authorization import Evaluator
from tests.unit.conftest import ACCOUNTS, REGION, Program, place, run_program
from tests.unit.data_science import Role, boundary, make_studio, studio_role

DEV = Names.at(place("dev"))
FUNCTION = Names.at(place("governance")).arn("lambda", "function:acme-governance-vending")
BUCKET = "acme-dev-eu-west-1-222222222222-catalog"
TEXTS = {
    template.id: json.dumps(
        catalog.product_template(
            template.id, FUNCTION, every_choice=False, settings=template.settings
        )
    )
    for template in load().values()
}
LAUNCH = f"arn:aws:iam::{ACCOUNTS['dev']}:role/acme-dev-catalog-launch"
STACK = DEV.arn("cloudformation", "stack/SP-p-abcdefghij12/1")
OFFERED = {
    "cloudformation:TemplateUrl": f"https://{BUCKET}.s3.{REGION}.amazonaws.com/"
    "sagemaker-projects/xgboost-realtime.yaml",
    "cloudformation:RoleArn": LAUNCH,
}


def make() -> None:
    ProjectTemplates(
        "templates",
        {
            "placement": place("dev"),
            "key_arn": "data-key",
            "access_log_bucket": "access-logs",
            "boundary_arn": "boundary",
            "function_arn": FUNCTION,
            "templates": TEXTS,
        },
    )


@pytest.fixture(scope="module")
def made() -> Program:
    return run_program(make)


def test_studio_finds_every_template_where_the_domain_says(made: Program) -> None:
    studio = run_program(lambda: make_studio({"projects_from_s3": True}))
    (domain,) = studio.of("aws:sagemaker/domain:Domain")
    location = domain.inputs["tags"]["sagemaker:projectS3TemplatesLocation"]
    objects = made.of("aws:s3/bucketObjectv2:BucketObjectv2")
    offered = {f"s3://{found.inputs['bucket']}/{found.inputs['key']}": found for found in objects}
    assert set(offered) == {f"{location}{template}.yaml" for template in TEXTS}
    for found in objects:
        assert found.inputs["tags"] == {"sagemaker:studio-visibility": "true"}
        assert found.inputs["serverSideEncryption"] == "aws:kms"
        assert json.loads(found.inputs["content"]) in [json.loads(text) for text in TEXTS.values()]


def test_the_bucket_is_read_from_studios_pages_and_nowhere_written(made: Program) -> None:
    cors = made.one("aws:s3/bucketCorsConfiguration:BucketCorsConfiguration", "templates")
    (rule,) = cors.inputs["corsRules"]
    assert rule["allowedOrigins"] == ["https://*.sagemaker.aws"]
    assert set(rule["allowedMethods"]) == {"GET", "HEAD"}


def test_without_them_studio_has_service_catalogs() -> None:
    studio = run_program(make_studio)
    (domain,) = studio.of("aws:sagemaker/domain:Domain")
    assert not domain.inputs.get("tags")


@pytest.fixture(scope="module")
def launch_role(made: Program, evaluator: Evaluator) -> Role:
    (role,) = made.of("aws:iam/role:Role")
    (policy,) = made.of("aws:iam/rolePolicy:RolePolicy")
    assert role.inputs["permissionsBoundary"] == "boundary"
    (trust,) = role.document("assumeRolePolicy")["Statement"]
    assert trust["Principal"] == {"Service": ["cloudformation.amazonaws.com"]}
    identity = {"launch": policy.document()}
    return Role(evaluator, DEV, "catalog-launch", identity, boundary("dev"))


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("lambda:InvokeFunction", FUNCTION, True),
        ("lambda:InvokeFunction", DEV.arn("lambda", "function:other"), False),
        ("cloudformation:CreateStack", STACK, False),
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/sagemaker-projects/a.yaml", False),
        ("iam:PassRole", DEV.role_arn("deployer"), False),
    ],
)
def test_the_launch_role_asks_the_function_alone(
    launch_role: Role, action: str, resource: str, allowed: bool
) -> None:
    owner = ACCOUNTS["governance"] if resource == FUNCTION else ACCOUNTS["dev"]
    let_in: dict[str, Any] | None = None
    if resource == FUNCTION:
        statement = iam.Statement(
            sid="Dev", actions=[action], principals={"AWS": [DEV.root_arn]}, resources=[FUNCTION]
        )
        let_in = iam.document([statement])
    decision = launch_role.decision(action, resource, resource_policy=let_in, owner=owner)
    assert decision.allowed is allowed


@pytest.fixture(scope="module")
def people(evaluator: Evaluator) -> dict[str, Role]:
    changes = {"projects_from_s3": True}
    return {
        persona: studio_role(evaluator, f"{persona}-execution", changes=changes)
        for persona in ("lead-data-scientist", "data-scientist")
    }


@pytest.mark.parametrize(
    ("action", "resource", "context", "allowed"),
    [
        ("sagemaker:CreateProject", DEV.arn("sagemaker", "project/houses"), {}, True),
        ("cloudformation:CreateStack", STACK, OFFERED, True),
        ("cloudformation:UpdateStack", STACK, OFFERED, True),
        ("cloudformation:DeleteStack", STACK, {}, True),
        ("iam:PassRole", LAUNCH, {"iam:PassedToService": "cloudformation.amazonaws.com"}, True),
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/sagemaker-projects/a.yaml", {}, True),
        ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {"s3:prefix": "sagemaker-projects/"}, True),
        # Templates and roles of one's own, and stacks that are no project's.
        ("cloudformation:CreateStack", STACK,
         {**OFFERED, "cloudformation:TemplateUrl": "https://mine.s3.amazonaws.com/a.yaml"}, False),
        ("cloudformation:CreateStack", STACK,
         {"cloudformation:RoleArn": LAUNCH}, False),
        ("cloudformation:CreateStack", STACK,
         {**OFFERED, "cloudformation:RoleArn": DEV.role_arn("pipeline-execution")}, False),
        ("cloudformation:CreateStack", STACK,
         {"cloudformation:TemplateUrl": OFFERED["cloudformation:TemplateUrl"]}, False),
        ("cloudformation:CreateStack", DEV.arn("cloudformation", "stack/mine/1"), OFFERED, False),
        ("iam:PassRole", LAUNCH, {"iam:PassedToService": "lambda.amazonaws.com"}, False),
        ("s3:PutObject", f"arn:aws:s3:::{BUCKET}/sagemaker-projects/a.yaml", {}, False),
        ("lambda:InvokeFunction", FUNCTION, {}, False),
        ("servicecatalog:ProvisionProduct", "*", {}, False),
    ],
)  # fmt: skip
def test_leads_launch_what_is_offered_and_others_nothing(
    people: dict[str, Role], action: str, resource: str, context: dict[str, str], allowed: bool
) -> None:
    assert people["lead-data-scientist"].may(action, resource, context=context) is allowed
    assert not people["data-scientist"].may(action, resource, context=context)


def test_the_location_is_what_the_url_begins_with() -> None:
    folder = project_templates.location(DEV).removeprefix("s3://").partition("/")[2]
    assert project_templates.template_url(DEV, "a").endswith(f".amazonaws.com/{folder}a.yaml")
