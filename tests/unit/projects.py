"""A project as tests make it, and its roles as they are deployed."""

from __future__ import annotations

from typing import Any

import pulumi_aws as aws

from components.naming import ENVIRONMENTS, Names
from components.projects.project import EnvironmentContract, Project
from localcloud.authorization import Evaluator
from tests.unit.conftest import ACCOUNTS, REGION, Program, place, run_program
from tests.unit.data_science import Role, boundary, role_policies

SUBNETS, GROUPS = ["subnet-a", "subnet-b"], ["sg-a", "sg-b"]
TARGETS = ("preprod", "prod")


def key(environment: str, purpose: str) -> str:
    """ARN of an environment's key."""
    return Names.at(place(environment)).arn("kms", f"key/{purpose}")


def contract(environment: str) -> EnvironmentContract:
    """What an environment of the tests' company publishes."""
    names = Names.at(place(environment))
    return EnvironmentContract(
        subnet_ids=SUBNETS,
        security_group_ids=GROUPS,
        vpc_id="vpc-1",
        s3_endpoint_id=f"vpce-{environment}-s3",
        key_arns={
            purpose: key(environment, purpose)
            for purpose in ("data", "logs", "messages", "models", "storage")
        },
        boundary_arn=names.policy_arn("boundary"),
        access_log_bucket=f"acme-{environment}-access-logs",
        alerts_topic_arn=names.arn("sns", names.name("alerts")),
    )


def make_project(project: str = "house", ci: str = "codepipeline", **changes: Any) -> Project:
    """A project in all accounts."""
    hub = Names.at(place("governance"))
    args: dict[str, Any] = {
        "placement": place("governance"),
        "project": project,
        "project_id": "p-abcdefghijkl",
        "template": "xgboost-realtime",
        "ci": ci,
        "build_repository": f"example/{project}-build",
        "deploy_repository": f"example/{project}-deploy",
        "targets": TARGETS,
        "contracts": {environment: contract(environment) for environment in ENVIRONMENTS},
        "provider": "GitHub",
        "connection_arns": {
            environment: Names.at(place(environment)).arn("codeconnections", "connection/1")
            for environment in ("dev", "governance")
        },
        "state_key_arn": key("governance", "state"),
        "backend_url": f"s3://{hub.bucket('pulumi-state')}/projects/{project}",
        "secrets_provider": "awskms://alias/acme-governance-pulumi-state",
        "token_secret_arn": hub.arn("secretsmanager", "secret:token") if ci == "github" else "",
        "people": {"grace": "grace.hopper"} if ci == "github" else {},
        "instance_types": ["ml.m5.large", "ml.m5.xlarge"],
        "log_retention_days": 365,
        "variables": {},
        "batch": False,
        "sharing": "policy",
        "adopted": (),
        **changes,
    }
    providers = {
        environment: aws.Provider(
            f"{project}-{environment}",
            region=REGION,
            allowed_account_ids=[ACCOUNTS[environment]],
        )
        for environment in ENVIRONMENTS
    }
    return Project(project, args, providers)  # pyright: ignore[reportArgumentType]


def program(project: str = "house", ci: str = "codepipeline", **changes: Any) -> Program:
    """What a project registers."""
    return run_program(lambda: make_project(project, ci, **changes))


def roles(
    evaluator: Evaluator, made: Program, project: str = "house", **placement: Any
) -> dict[str, Role]:
    """``environment/role`` -> each of the project's roles, as deployed."""
    found: dict[str, Role] = {}
    for resource in made.of("aws:iam/role:Role"):
        name = resource.inputs["name"]
        environment = name.split("-")[1]
        role = name.removeprefix(f"acme-{environment}-")
        names = Names.at(place(environment, **placement))
        found[f"{environment}/{role.removeprefix(f'{project}-')}"] = Role(
            evaluator, names, role, role_policies(made, name), boundary(environment)
        )
    return found
