"""GitHub's OIDC provider: one in an account, made by who has to, and no door by itself."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from mlops_policy.model import Example

from automation.deployer_policies import deployer_statements, preview_statements
from components import iam, settings
from components.naming import ENVIRONMENTS, Names
from components.repositories import GitHubIdentity
from localcloud.authorization import Evaluator, Policies, Request
from tests.policy import harness
from tests.unit.conftest import place, run_program

PROVIDER = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
ISSUER = "token.actions.githubusercontent.com"


def parsed(stack: str, accounts: dict[str, str], **changes: Any) -> settings.PlatformSettings:
    return settings.parse(
        stack,
        {
            "region": "eu-west-1",
            "organization": {"accounts": accounts},
            "tags": {"owner": "team", "cost_centre": "ml"},
            "protect": stack == "prod",
            **changes,
        },
    )


@pytest.mark.parametrize("repository", [None, "acme/platform"])
@pytest.mark.parametrize("accounts", list(itertools.product("123", repeat=4)), ids="".join)
def test_an_account_gets_one_provider_and_no_second(
    accounts: tuple[str, ...], repository: str | None
) -> None:
    """A second one of the same host is refused by IAM, whoever made the first."""
    ids = {env: number * 12 for env, number in zip(ENVIRONMENTS, accounts, strict=True)}
    made = [ids["governance"]] if repository else []
    for stack in ENVIRONMENTS:
        found = parsed(
            stack, ids, projects={"github_oidc": "create"}, ci={"github_repository": repository}
        )
        made += [ids[stack]] if found.makes_github_provider else []
    assert sorted(made) == sorted({ids["dev"], ids["governance"]})


@pytest.mark.parametrize("choice", ["none", "existing"])
def test_no_provider_is_made_where_none_is_asked_for(choice: str) -> None:
    ids = {env: str(number) * 12 for number, env in enumerate(ENVIRONMENTS, start=1)}
    for stack in ENVIRONMENTS:
        assert not parsed(stack, ids, projects={"github_oidc": choice}).makes_github_provider


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("environment", ["dev", "governance"])
def test_projects_find_the_provider_whoever_made_it(environment: str, create: bool) -> None:
    made = run_program(
        lambda: GitHubIdentity("github", {"placement": place(environment), "create": create})
    )
    names = Names.at(place(environment))
    (told,) = made.of("aws:ssm/parameter:Parameter")
    assert told.inputs["name"] == names.parameter("ci/github-provider-arn")
    if not create:
        assert told.inputs["value"] == names.oidc_provider_arn(ISSUER)
        assert not made.of(PROVIDER)
        return
    (provider,) = made.of(PROVIDER)
    assert provider.inputs["url"] == f"https://{ISSUER}"
    assert provider.inputs["clientIdLists"] == ["sts.amazonaws.com"]
    _, violations = harness.judged(
        Example(resource.type, resource.inputs, resource.name) for resource in made.resources
    )
    assert not violations


@pytest.mark.parametrize(
    ("host", "action", "deploys", "previews"),
    [
        (ISSUER, "iam:CreateOpenIDConnectProvider", True, False),
        (ISSUER, "iam:DeleteOpenIDConnectProvider", True, False),
        (ISSUER, "iam:GetOpenIDConnectProvider", True, True),
        (ISSUER, "iam:AddClientIDToOpenIDConnectProvider", False, False),
        ("accounts.example.com", "iam:CreateOpenIDConnectProvider", False, False),
        ("accounts.example.com", "iam:DeleteOpenIDConnectProvider", False, False),
    ],
)
def test_the_deployer_makes_githubs_provider_and_no_other(
    evaluator: Evaluator, host: str, action: str, deploys: bool, previews: bool
) -> None:
    names = Names.at(place("dev"))
    roles = {"deployer": deployer_statements(names), "preview": preview_statements(names)}
    for role, allowed in (("deployer", deploys), ("preview", previews)):
        request = Request(names.role_arn(role), action, names.oidc_provider_arn(host))
        policies = Policies({"own": iam.document(roles[role])})
        assert evaluator.evaluate(request, policies).allowed is allowed
