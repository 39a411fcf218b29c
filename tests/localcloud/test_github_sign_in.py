"""Workflows sign in to the emulator as the roles of a project: only those of its repositories."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components.naming import Names
from tests.localcloud.emulators import REGION, Cloud, checkout, running
from tests.unit.conftest import ACCOUNTS
from tests.unit.projects import program

ISSUER = "token.actions.githubusercontent.com"
BUILD = Names("acme", "dev", REGION, ACCOUNTS["dev"])
RELEASE = Names("acme", "governance", REGION, ACCOUNTS["governance"])
ROLES = {BUILD: ["house-github"], RELEASE: ["house-github-preprod", "house-github-prod"]}
MAIN = "ref:refs/heads/main"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The project's roles for workflows, with the trust that is deployed."""
    made = program(ci="github")
    with running(checkout(tmp_path_factory.mktemp("cloud")), ACCOUNTS) as cloud:
        for names in (BUILD, RELEASE):
            iam = cloud.client("iam", names.account_id)
            iam.create_open_id_connect_provider(
                Url=f"https://{ISSUER}", ClientIDList=["sts.amazonaws.com"]
            )
            for role in ROLES[names]:
                (trust,) = [
                    found.inputs["assumeRolePolicy"]
                    for found in made.of("aws:iam/role:Role")
                    if found.inputs["name"] == names.role(role)
                ]
                iam.create_role(RoleName=names.role(role), AssumeRolePolicyDocument=trust)
        yield cloud


def sign_in(cloud: Cloud, names: Names, role: str, **claims: Any) -> str:
    """Who a workflow with a token of these claims is then."""
    given = {"iss": f"https://{ISSUER}", "aud": "sts.amazonaws.com", **claims}
    token = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in (
            {"alg": "RS256"},
            {name: value for name, value in given.items() if value is not None},
            "signature",
        )
    )
    told = cloud.client("sts", names.account_id).assume_role_with_web_identity(
        RoleArn=names.role_arn(role), RoleSessionName="run-7", WebIdentityToken=token
    )
    return str(told["AssumedRoleUser"]["Arn"])


@pytest.mark.parametrize(
    ("names", "subject", "role"),
    [
        (BUILD, f"repo:example/house-build:{MAIN}", "house-github"),
        (RELEASE, "repo:example/house-deploy:environment:preprod", "house-github-preprod"),
        (RELEASE, "repo:example/house-deploy:environment:prod", "house-github-prod"),
    ],
)
def test_a_run_of_the_projects_repository_signs_in_as_its_own_role_alone(
    cloud: Cloud, names: Names, subject: str, role: str
) -> None:
    told = sign_in(cloud, names, role, sub=subject)
    assert told.endswith(f":assumed-role/{names.role(role)}/run-7")
    # What runs in preprod, which nobody reviews, is not let into prod's role.
    for other in set(ROLES[names]) - {role}:
        with pytest.raises(ClientError, match="AccessDenied"):
            sign_in(cloud, names, other, sub=subject)


@pytest.mark.parametrize(
    ("names", "claims"),
    [
        (BUILD, {"sub": f"repo:example/other-build:{MAIN}"}),
        (BUILD, {"sub": f"repo:mallory/house-build:{MAIN}"}),
        (BUILD, {"sub": "repo:example/house-build:ref:refs/heads/feature"}),
        (BUILD, {"sub": "repo:example/house-build:ref:refs/tags/main"}),
        (BUILD, {"sub": "repo:example/house-build:pull_request"}),
        (BUILD, {"sub": "repo:example/house-build:environment:prod"}),
        (BUILD, {"sub": f"repo:example/house-build:{MAIN}", "aud": "https://github.com/example"}),
        (BUILD, {"sub": f"repo:example/house-build:{MAIN}", "aud": None}),
        (BUILD, {"sub": f"repo:example/house-build:{MAIN}", "iss": "https://tokens.example.com"}),
        (RELEASE, {"sub": "repo:example/house-build:environment:prod"}),
        (RELEASE, {"sub": "repo:mallory/house-deploy:environment:prod"}),
        (RELEASE, {"sub": "repo:example/house-deploy:environment:dev"}),
        (RELEASE, {"sub": "repo:example/house-deploy:pull_request"}),
        (RELEASE, {"sub": f"repo:example/house-deploy:{MAIN}"}),
        (RELEASE, {"sub": None}),
    ],
)
def test_nobody_else_does(cloud: Cloud, names: Names, claims: dict[str, Any]) -> None:
    for role in ROLES[names]:
        with pytest.raises(ClientError, match=r"AccessDenied|InvalidIdentityToken"):
            sign_in(cloud, names, role, **claims)
