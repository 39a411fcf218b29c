"""The whole program, stack by stack: it composes, and the local cloud serves all that it makes."""

from __future__ import annotations

import functools
import json
import re
import runpy
import threading
import time
from typing import Any

import pulumi
import pytest
import yaml
from mlops_policy.model import Example

from automation import recovery
from automation.projects.spec import SpecError, read_spec
from components import settings
from components.naming import ENVIRONMENTS
from components.stacks import compose
from localcloud.awsx.vpc import TOKEN
from localcloud.paths import CHECKOUT
from localcloud.provider import table
from tests.policy import harness
from tests.unit import projects
from tests.unit.conftest import AwsMocks, Monitor, Program, run_program

STACK = "pulumi:pulumi:Stack"
PROVIDER = "pulumi:providers:aws"
FUNCTION = "aws:lambda/function:Function"
ALL_ON = {
    "mlops:securityServices": dict.fromkeys(
        ("access_analyzer", "config", "guardduty", "security_hub"), True
    ),
    "mlops:budget": {
        "monthly_usd": {"ml": 100, **{f"ml-{stack}": 100 for stack in ENVIRONMENTS}},
        "emails": ["ml@example.com"],
    },
    "mlops:personas": {
        "governance_officer": ["arn:aws:iam::111111111111:role/Officers"],
    },
    "mlops:selfService": {
        "shares": ["o-exampleorg1", "ou-abcd-12345678", "999999999999"],
        "launchers": {"sagemaker_projects": ["acme-*-scientist"]},
        "tag_options": {"chargeback": ["growth", "risk"]},
        "git_token_secret": "arn:aws:secretsmanager:eu-west-1:111111111111:secret:git-AbCdEf",
    },
}
NODES = "arn:aws:organizations::555555555555"
"""Of the organisation whose management account ``Pulumi.yaml`` names."""
SIGNING_IN = "arn:aws:iam::111111111111:role/Scientists"
ALL_ON_IN_DEV = {
    "mlops:studio": {
        "users": {"lead_data_scientists": ["lea"], "data_scientists": ["sam"]},
        "isolate_containers": True,
        "share_notebook_outputs": True,
    },
    "mlops:personas": {"studio_user": [SIGNING_IN]},
    "mlops:dataAccess": dict.fromkeys(
        ("athena", "lake_formation", "feature_store", "datazone"), True
    ),
    "mlops:network": {"mode": "create", "cidr": "10.20.0.0/16", "zones": 3, "nat": "per_zone"},
}
BASIC = {
    "mlops:dataAccess": dict.fromkeys(
        ("athena", "lake_formation", "feature_store", "datazone"), False
    ),
    "mlops:securityServices": dict.fromkeys(
        ("access_analyzer", "config", "guardduty", "security_hub"), False
    ),
    "mlops:selfService": {"enabled": False},
}
ALL_ON_IN_THE_HUB = {
    "mlops:registry": {
        "model_package_groups": ["abalone", "churn"],
        "image_repositories": ["inference"],
        "sharing": "ram",
    },
    "mlops:ci": {"github_repository": "acme/platform"},
    "mlops:projects": {"github_oidc": "create", "people": {"grace": "grace.hopper"}},
    "mlops:retention": {"logs_days": 400, "trail_days": 3650},
}
VENDS_ACCOUNTS = {
    "mlops:network": {"mode": "create", "cidr": "10.23.0.0/20", "zones": 2, "nat": "single"},
    "mlops:organization": {
        "id": "o-exampleorg1",
        "accounts": {
            "governance": "111111111111", "dev": "222222222222", "preprod": "333333333333",
            "prod": "444444444444",
        },
        "units": {"prod": "ou-abcd-12345678"},
        "account_factory_role_arn": "arn:aws:iam::999999999999:role/account-factory",
    },
}  # fmt: skip
FROM_S3 = {"mlops:selfService": {"catalogue": "s3"}}


def config(stack: str, changes: dict[str, Any]) -> dict[str, str]:
    """The stack's configuration as the engine hands it to the program."""
    project = yaml.safe_load((CHECKOUT.root / "Pulumi.yaml").read_text())["config"]
    own = yaml.safe_load((CHECKOUT.root / f"Pulumi.{stack}.yaml").read_text())["config"]
    values = {key: schema["default"] for key, schema in project.items() if "default" in schema}
    values |= {key: value for key, value in own.items() if key.startswith("mlops:")} | changes
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }


@functools.cache
def whole(stack: str, variant: int = 0, *, preview: bool = False) -> Program:
    """``__main__.py`` for a stack with one of its :func:`variants`."""
    changes = variants(stack)[variant]
    return run_program(lambda: _main(stack, changes), preview=preview, stack=stack)


def _main(stack: str, changes: dict[str, Any]) -> Any:
    pulumi.runtime.set_all_config(config(stack, changes))
    return runpy.run_path(str(CHECKOUT.root / "__main__.py"))["main"]()


def variants(stack: str) -> list[dict[str, Any]]:
    """What is checked in, everything, the least; where people launch, from S3 alone."""
    own = {"dev": ALL_ON_IN_DEV, "governance": ALL_ON_IN_THE_HUB}
    full = ALL_ON | own.get(stack, {})
    least = {
        key: value for key, value in BASIC.items() if stack == "dev" or key != "mlops:dataAccess"
    }
    return [{}, full, least, *([FROM_S3] if stack in ("dev", "governance") else [])]


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_every_type_that_the_program_registers_is_served(stack: str) -> None:
    served = {*table.load(), TOKEN}
    for variant in range(len(variants(stack))):
        made = {resource.type for resource in whole(stack, variant).resources}
        assert len(made) > 20
        assert {t for t in made if t.startswith(("aws:", "awsx:"))} <= served


OWNED_BY_NOBODY = ("aws:kms/alias", "aws:budgets/")
"""Types that no project's role may do anything with."""


def refused(name: str) -> bool:
    """Whether no project may be called so, as the platform's own things are."""
    try:
        read_spec({"name": name, "owner": "o", "cost_centre": "c", "organization": "acme"})
    except SpecError as error:
        return "from the platform's own" in str(error)
    return False


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_no_project_owns_what_the_platform_has_by_its_name(stack: str) -> None:
    owned: set[str] = set()
    for variant in range(len(variants(stack))):
        groups = config(stack, variants(stack)[variant])["mlops:registry"]
        own = {*json.loads(groups).get("model_package_groups", ()), "eu"}
        for resource in whole(stack, variant).resources:
            called = str(resource.inputs.get("name", ""))
            _, here, rest = called.partition(f"mlops-{stack}-")
            words = rest.split("-")
            if here and words[0] not in own and not resource.type.startswith(OWNED_BY_NOBODY):
                owned |= {"-".join(words[:end]) for end in range(1, len(words) + 1)}
    names = {name for name in owned if re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name)}
    assert len(names) > 10
    assert {name for name in names if not refused(name)} == set()
    assert not refused("lead-scoring")


def test_what_an_interrupted_creation_leaves_is_known_of_every_type_once() -> None:
    tables = (set(recovery.IDS), set(recovery.REPEATED), set(recovery.UNNAMED))
    assert set.union(*tables) == set(table.load())
    assert sum(map(len, tables)) == len(set.union(*tables))


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_ids_follow_from_what_the_program_and_a_project_register(stack: str) -> None:
    found = [r for variant in range(len(variants(stack))) for r in whole(stack, variant).resources]
    if stack == "governance":
        found += [r for ci in ("codepipeline", "github") for r in projects.program(ci=ci).resources]
    place = {"account": "111111111111", "region": "eu-west-1", "partition": "aws"}
    without = {
        f"{resource.type} {resource.name}"
        for resource in found
        if resource.type in recovery.IDS
        and recovery.import_id(resource.type, resource.inputs, place) is None
    }
    assert not without


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_preview_of_a_new_stack_registers_what_an_update_does(stack: str) -> None:
    """What depends on values that no preview knows would be missing from it, and from its plan."""
    before, after = whole(stack, preview=True), whole(stack)
    assert {(r.type, r.name) for r in before.resources} == {
        (r.type, r.name) for r in after.resources
    }


def test_the_provider_starts_while_the_program_loads_what_it_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine starts it at its registration, which waits for that of the stack."""
    order: list[str] = []
    asked = threading.Event()
    register, baseline = Monitor.RegisterResource, compose._baseline

    def registering(self: Monitor, request: Any) -> Any:
        if request.type == STACK:
            time.sleep(0.05)  # as long as an engine may take for it
        order.append(request.type)
        if request.type == PROVIDER:
            asked.set()
        return register(self, request)

    def loading(*arguments: Any) -> Any:
        # Nothing new goes out while this blocks the event loop; what did may be on its way.
        asked.wait(5)
        order.append("baseline")
        return baseline(*arguments)

    monkeypatch.setattr(Monitor, "RegisterResource", registering)
    monkeypatch.setattr(compose, "_baseline", loading)
    monkeypatch.setattr(compose, "_PATIENCE_SECONDS", 30)  # however busy the machine is

    assert len(run_program(lambda: _main("prod", {}), stack="prod").resources) > 100
    assert order[:3] == [STACK, PROVIDER, "baseline"]


def test_the_hub_needs_the_environments_that_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    new_resource = AwsMocks.new_resource
    made: set[str] = set()

    def without_preprod(self: AwsMocks, args: pulumi.runtime.MockResourceArgs) -> Any:
        made.add(args.typ)
        identity, state = new_resource(self, args)
        never_up = str(args.inputs.get("name")).endswith("/mlops/preprod")
        return identity, state | ({"outputs": {}} if never_up else {})

    monkeypatch.setattr(AwsMocks, "new_resource", without_preprod)
    with pytest.raises(pulumi.RunError, match=r"preprod has no output .*-s preprod"):
        run_program(lambda: _main("governance", {}), stack="governance")
    # Found before anything is made.
    assert made <= {STACK, PROVIDER, "pulumi:pulumi:StackReference"}


def test_the_hub_shares_its_groups_by_ram_or_lets_them_be_read_by_policy() -> None:
    def granted(variant: int) -> tuple[set[str], set[str], set[str]]:
        hub = whole("governance", variant)
        shares = hub.of("aws:ram/resourceShare:ResourceShare")
        assert not [share for share in shares if share.inputs["allowExternalPrincipals"]]
        policies = hub.of("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy")
        return (
            {share.inputs["name"] for share in shares},
            {
                p.inputs["principal"]
                for p in hub.of("aws:ram/principalAssociation:PrincipalAssociation")
            },
            {policy.inputs["modelPackageGroupName"] for policy in policies},
        )

    groups = {f"mlops-governance-{name}" for name in ("abalone", "churn")}
    accounts = {"222222222222", "333333333333", "444444444444"}
    assert granted(1) == (groups, accounts, set())
    assert granted(0) == (set(), set(), {"mlops-governance-abalone"})


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_no_rule_of_the_policy_pack_is_violated_with_every_option(stack: str) -> None:
    count, violations = harness.judged(
        Example(resource.type, resource.inputs, resource.name)
        for resource in whole(stack, 1).resources
    )
    assert not violations, "\n".join(violations)
    assert count > 100


def test_launches_come_from_dev_and_from_whom_the_portfolios_are_shared_to() -> None:
    launching = {"222222222222"}
    for variant, more in ((0, set[str]()), (1, {"999999999999"})):
        hub = whole("governance", variant)
        (function,) = [f for f in hub.of(FUNCTION) if f.name == "vending-function"]
        asked = {
            permission.inputs["principal"]
            for permission in hub.of("aws:lambda/permission:Permission")
            if permission.inputs["function"] == function.inputs["name"]
        }
        assert asked == launching | more | {"events.amazonaws.com"}
    shares = whole("governance", 1).of("aws:servicecatalog/portfolioShare:PortfolioShare")
    kinds = {share.inputs["principalId"]: share.inputs["type"] for share in shares}
    assert kinds == {
        f"{NODES}:organization/o-exampleorg1": "ORGANIZATION",
        f"{NODES}:ou/o-exampleorg1/ou-abcd-12345678": "ORGANIZATIONAL_UNIT",
        "999999999999": "ACCOUNT",
    }


def test_accounts_are_offered_and_made_only_where_the_settings_have_a_role(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(hub: Program) -> tuple[list[list[str]], list[str]]:
        """Kinds that the product offers, and the roles that the build assumes."""
        templates = [
            json.loads(item.inputs["content"])
            for item in hub.of("aws:s3/bucketObjectv2:BucketObjectv2")
            if "/aws-account-" in item.inputs["key"]
        ]
        build = hub.one("aws:iam/rolePolicy:RolePolicy", "vending-build").document("policy")
        assumed = [
            arn
            for statement in build["Statement"]
            if "sts:AssumeRole" in statement["Action"]
            for arn in statement["Resource"]
            if not arn.endswith("-deployer")
        ]
        return [t["Parameters"]["Kind"]["AllowedValues"] for t in templates], assumed

    assert found(whole("governance")) == ([], [])
    # The other stacks' settings, which are the checkout's, have no such role.
    monkeypatch.setattr(settings, "check_platform", lambda *_: None)
    role = VENDS_ACCOUNTS["mlops:organization"]["account_factory_role_arn"]
    vends = run_program(lambda: _main("governance", VENDS_ACCOUNTS), stack="governance")
    assert found(vends) == ([["prod"]], [role])


@pytest.mark.parametrize(("variant", "on"), [(0, False), (1, True)])
def test_studio_is_as_the_settings_say(variant: int, on: bool) -> None:
    dev = whole("dev", variant)
    (domain,) = dev.of("aws:sagemaker/domain:Domain")
    sharing = domain.inputs["defaultUserSettings"]["sharingSettings"]
    assert sharing["notebookOutputOption"] == ("Allowed" if on else "Disabled")
    for role in ("data-scientist-execution", "lead-data-scientist-pipeline-execution"):
        guards = dev.one("aws:iam/policy:Policy", f"studio-{role}-guards").document()
        assert ("DenyNetwork" in {item["Sid"] for item in guards["Statement"]}) is on
    role = dev.one("aws:iam/role:Role", "studio-studio-user")
    (trust,) = role.document("assumeRolePolicy")["Statement"]
    trusted = trust["Condition"].get("ArnLike", {}).get("aws:PrincipalArn")
    assert trusted == ([SIGNING_IN] if on else None)


@pytest.mark.parametrize("stack", ["dev", "governance"])
def test_without_self_service_there_is_nothing_of_it(stack: str) -> None:
    def parts(variant: int) -> set[str]:
        return {r.name.partition("-")[0] for r in whole(stack, variant).resources}

    own = {"launch"} if stack == "dev" else {"launch", "catalog", "vending"}
    assert parts(0) - parts(2) >= own


@pytest.mark.parametrize("stack", ["dev", "governance"])
def test_with_templates_in_s3_there_is_nothing_of_service_catalog(stack: str) -> None:
    def found(variant: int) -> set[str]:
        return {r.type for r in whole(stack, variant).resources if "servicecatalog" in r.type}

    assert found(0)
    assert not found(3)
    policies = [
        found.inputs["policy"]
        for found in whole(stack, 3).resources
        if found.type in ("aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy")
    ]
    assert policies
    assert not [policy for policy in policies if "servicecatalog:" in policy]


def test_templates_in_s3_are_those_of_the_products_and_ask_the_same_function() -> None:
    def stored(stack: str, variant: int, folder: str) -> list[dict[str, Any]]:
        objects = whole(stack, variant).of("aws:s3/bucketObjectv2:BucketObjectv2")
        return sorted(
            (
                json.loads(found.inputs["content"])
                for found in objects
                if found.inputs["key"].startswith(f"{folder}/")
            ),
            key=lambda template: template["Description"],
        )

    products = stored("governance", 0, "sagemaker-projects")
    assert len(products) > 1
    assert stored("dev", 3, "sagemaker-projects") == products
    (function,) = [f for f in whole("governance", 3).of(FUNCTION) if f.name == "vending-function"]
    (token,) = {t["Resources"]["Project"]["Properties"]["ServiceToken"] for t in products}
    assert token.endswith(f":function:{function.inputs['name']}")
    lets = whole("governance", 3).of("aws:lambda/permission:Permission")
    assert "222222222222" in {p.inputs["principal"] for p in lets}


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_every_resource_goes_through_an_explicit_provider_of_one_account(stack: str) -> None:
    program = whole(stack)
    providers = program.of("pulumi:providers:aws")
    allowed = [json.loads(p.inputs["allowedAccountIds"]) for p in providers]
    assert all(len(accounts) == 1 for accounts in allowed)
    assert len(providers) == (4 if stack == "governance" else 1)
