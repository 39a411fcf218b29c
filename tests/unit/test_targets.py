"""More than one environment of a kind: names, order, settings, the way, and who reads the hub."""

from __future__ import annotations

import fnmatch
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import boto3
import pulumi_aws as aws
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlops_policy.model import PRODUCTION_STACKS
from moto import mock_aws

from automation import bootstrap, cli, stacks
from automation.projects.lifecycle import Command
from automation.projects.program import release_targets, unserved
from automation.projects.spec import SpecError, read_spec
from automation.projects.vending import Vending, VendingError, _Work
from components import baseline_policies, deployments, iam, settings
from components.baseline import AccountBaseline
from components.catalog import VendingFunction
from components.deployments import DeploymentControl
from components.endpoint_services import services_for
from components.naming import (
    ENVIRONMENTS,
    TARGET_KINDS,
    Names,
    in_order,
    is_environment,
    kind_of,
)
from components.projects import policies
from components.projects.project import Project, account_variable
from components.promotion import PromotionQueue
from components.retraining import RetrainingControl
from functions.deployment.history import Attempt, History, joined
from functions.deployment.machine import Kind, Status
from functions.deployment.settings import read_settings
from localcloud.authorization import Evaluator, Policies, Request
from localcloud.paths import CHECKOUT
from tests.unit.conftest import ACCOUNTS, REGION, Program, function_network, place, run_program
from tests.unit.data_science import ENDPOINTS, make_registry, role_arn, session
from tests.unit.projects import contract, key
from tests.unit.test_baseline import args as baseline_args

MORE = {**ACCOUNTS, "prod-eu": "555555555555", "preprod-eu": "666666666666"}
WAY = ["preprod", "preprod-eu", "prod", "prod-eu"]

FURTHER = st.builds(
    "{}-{}".format,
    st.sampled_from(TARGET_KINDS),
    st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True),
)


# --- names and order ------------------------------------------------------------------------------


@given(st.sets(st.sampled_from(ENVIRONMENTS) | FURTHER))
def test_environments_come_up_by_kind_and_the_first_of_a_kind_first(names: set[str]) -> None:
    ordered = in_order(names)
    assert set(ordered) == names
    assert len(ordered) == len(names)
    kinds = [kind_of(name) for name in ordered]
    assert kinds == sorted(kinds, key=ENVIRONMENTS.index)
    for kind, group in itertools.groupby(ordered, kind_of):
        of_kind = list(group)
        assert kind not in of_kind[1:]
    assert all(is_environment(name) for name in ordered)


@pytest.mark.parametrize(
    "name",
    ["", "qa", "prod-", "prod-EU", "prod_eu", "prod-1", "prod--eu", "dev-two", "governance-two",
     "prod-eu-", "production", "prod-eu\n"],
)  # fmt: skip
def test_what_is_no_environment(name: str) -> None:
    assert not is_environment(name)


@given(st.lists(FURTHER, unique=True, min_size=1))
def test_variables_of_accounts_are_what_shells_take_and_each_its_own(names: list[str]) -> None:
    variables = [account_variable(name) for name in names]
    assert all(variable.isidentifier() for variable in variables)
    assert len(set(variables)) == len(names)


# --- settings and stacks --------------------------------------------------------------------------


def values(**changes: Any) -> dict[str, Any]:
    return {
        "region": "eu-west-1",
        "organization": {"accounts": MORE},
        "tags": {"owner": "team", "cost_centre": "ml"},
        "protect": True,
        **changes,
    }


@pytest.mark.parametrize(
    ("stack", "changes", "told"),
    [
        ("prod-eu", {"protect": False}, "mlops:protect: must be true for prod-eu"),
        ("prod-us", {}, "mlops:organization.accounts: lacks prod-us"),
        ("qa", {}, "such as prod-eu"),
        (
            "prod-eu",
            {"organization": {"accounts": {**MORE, "prod-eu": MORE["prod"]}}},
            "gives prod-eu the account of another environment",
        ),
        ("prod", {"organization": {"accounts": MORE, "units": {"dev": "ou-abcd-12345678"}}}, "dev"),
        ("prod", {"organization": {"accounts": MORE, "units": {"prod": "r-abcd"}}}, "ou-xxxx"),
        ("governance", {"environments": ["prod-us"]}, "lacks prod-us"),
    ],
)
def test_settings_that_do_not_fit_are_told(stack: str, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(settings.SettingsError, match=told):
        settings.parse(stack, values(**changes))


def test_the_hub_serves_all_that_have_an_account_unless_told_otherwise() -> None:
    hub = settings.parse("governance", values())
    assert list(hub.accounts) == ["dev", *WAY, "governance"]
    assert hub.served == ("dev", *WAY)
    assert hub.targets == tuple(WAY)
    fewer = settings.parse("governance", values(environments=["prod-eu", "dev"]))
    assert fewer.served == ("dev", "prod-eu")


def test_an_environment_has_what_its_kind_has() -> None:
    assert services_for("prod-eu") == services_for("prod")
    for one, two in (("prod-eu", "prod"), ("preprod-eu", "preprod")):
        roles = [
            {
                resource.inputs["name"].removeprefix(f"acme-{name}-")
                for resource in baseline(name).of("aws:iam/role:Role")
            }
            for name in (one, two)
        ]
        assert roles[0] == roles[1]
        assert "model-execution" in roles[0]


def baseline(environment: str) -> Program:
    args = baseline_args("prod", placement=place(environment, accounts=MORE))
    return run_program(lambda: AccountBaseline("baseline", args))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A platform of five stacks."""
    for path in CHECKOUT.root.glob("Pulumi*.yaml"):
        shutil.copy(path, tmp_path / path.name)
    own = yaml.safe_load((tmp_path / "Pulumi.prod.yaml").read_text())
    own["config"]["mlops:network"]["cidr"] = "10.24.0.0/16"
    (tmp_path / "Pulumi.prod-eu.yaml").write_text(yaml.safe_dump(own))
    project = yaml.safe_load((tmp_path / "Pulumi.yaml").read_text())
    project["config"]["mlops:organization"]["default"]["accounts"]["prod-eu"] = "5" * 12
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (tmp_path / "Pulumi.notes.yaml").write_text("config: {}")
    return tmp_path


def test_stacks_are_those_with_a_file_and_go_before_the_hub(folder: Path) -> None:
    names = settings.stack_names(folder)
    assert names == ("dev", "preprod", "prod", "prod-eu", "governance")
    assert stacks.waves(names, known=names) == [
        ["dev", "preprod", "prod", "prod-eu"],
        ["governance"],
    ]
    assert stacks.waves(["prod-eu"], reverse=True, known=names) == [["prod-eu"]]
    with pytest.raises(stacks.UnknownStackError, match="there is no stack prod-us; there are"):
        stacks.waves(["prod-us"], known=names)
    assert list(cli.load_settings(folder, names)) == list(names)


def test_an_account_without_a_stack_file_is_told_by_every_command(folder: Path) -> None:
    (folder / "Pulumi.prod-eu.yaml").unlink()
    with pytest.raises(settings.SettingsError, match="names prod-eu, which has no file"):
        cli.load_settings(folder, ["dev"])


def test_the_pipeline_knows_the_units_of_the_organisation_and_nothing_else_of_it(
    evaluator: Evaluator,
) -> None:
    organization = {"accounts": MORE, "id": "o-exampleorg1", "units": {"prod": "ou-abcd-12345678"}}
    hub = settings.parse("governance", values(organization=organization))
    identity = {"own": iam.document(bootstrap.unit_statements(hub))}
    caller = session(hub.names, "ci-preview")
    parent = "arn:aws:organizations::999999999999:ou"
    for action, resource, may in (
        ("ListAccountsForParent", f"{parent}/o-exampleorg1/ou-abcd-12345678", True),
        ("ListOrganizationalUnitsForParent", f"{parent}/o-exampleorg1/ou-abcd-87654321", True),
        ("ListAccountsForParent", f"{parent}/o-otherorgan1/ou-abcd-12345678", False),
        ("MoveAccount", f"{parent}/o-exampleorg1/ou-abcd-12345678", False),
    ):
        request = Request(caller, f"organizations:{action}", resource, hub.account_id, {})
        decision = evaluator.evaluate(request, Policies(identity=identity))
        assert decision.allowed is may, (action, resource)
    assert not bootstrap.unit_statements(settings.parse("governance", values()))


# --- the way --------------------------------------------------------------------------------------


def test_the_functions_gates_are_those_of_the_kinds() -> None:
    variables = deployments.environment_gates(
        place("governance", accounts={name: MORE[name] for name in in_order(MORE)})
    )
    found = read_settings(
        {
            "AWS_REGION": REGION,
            "HUB_ACCOUNT": ACCOUNTS["governance"],
            "LEDGER_TABLE": "table",
            "GROUP_PREFIX": "acme-governance-",
            "PROJECT_PARAMETERS": "/acme/governance/projects",
            **variables,
        }
    )
    assert list(found.environments) == ["dev", *WAY]
    assert found.manual_approvals == {"prod", "prod-eu"}
    assert found.evidence["prod-eu"] == found.evidence["prod"]
    assert found.evidence["preprod-eu"] == found.evidence["preprod"]


def test_without_more_of_a_kind_the_gates_are_the_functions_own_defaults() -> None:
    needed = {
        "AWS_REGION": REGION,
        "HUB_ACCOUNT": ACCOUNTS["governance"],
        "LEDGER_TABLE": "table",
        "GROUP_PREFIX": "acme-governance-",
        "PROJECT_PARAMETERS": "/acme/governance/projects",
    }
    four = place("governance", accounts={name: ACCOUNTS[name] for name in in_order(ACCOUNTS)})
    found, own = (
        read_settings({**needed, **gates}) for gates in (deployments.environment_gates(four), {})
    )
    # dev is on the way of the projects that have it among their targets.
    assert found.environments == ("dev", *own.environments)
    assert {**found.evidence, "dev": ()} == {**own.evidence, "dev": ()}
    assert found.manual_approvals == own.manual_approvals


# --- projects -------------------------------------------------------------------------------------

ASKED = {"name": "house", "owner": "team", "cost_centre": "1", "organization": "acme"}
THERE = ["dev", *WAY, "governance"]


@pytest.mark.parametrize(
    ("asked", "targets"),
    [
        ({}, WAY),
        ({"targets": ["prod"]}, ["prod", "prod-eu"]),
        ({"targets": ["preprod", "prod-eu"]}, ["preprod", "preprod-eu", "prod-eu"]),
        ({"without": ["prod-eu"]}, ["preprod", "preprod-eu", "prod"]),
        ({"without": ["prod", "preprod-eu"]}, ["preprod", "prod-eu"]),
        ({"targets": ["dev"]}, ["dev"]),
    ],
)
def test_a_projects_targets_are_all_of_a_kind_or_named(
    asked: dict[str, Any], targets: list[str]
) -> None:
    spec = read_spec({**ASKED, **asked})
    assert list(spec.environments(THERE)) == targets
    # Kinds stay kinds: an account that joins later is a target with the next update.
    joined = [*THERE, "prod-us"]
    more = ["prod-us"] if "prod" in spec.targets else []
    assert list(spec.environments(joined)) == [*targets, *more]


@pytest.mark.parametrize("target", ["governance", "moon", "prod-", "prod-EU"])
def test_what_is_no_target(target: str) -> None:
    for key_ in ("targets", "without"):
        with pytest.raises(SpecError, match=key_):
            read_spec({**ASKED, key_: [target]})


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"targets": ["prod-us"]}, "targets: the platform has no prod-us"),
        ({"without": ["prod-us"]}, "without: the platform has no prod-us"),
        ({"targets": ["prod"], "without": ["prod", "prod-eu"]}, "without leaves none"),
    ],
)
def test_targets_that_cannot_be_are_told_before_anything_is_made(
    asked: dict[str, Any], told: str
) -> None:
    platform = {name: settings.parse(name, values()) for name in THERE}
    with pytest.raises(SpecError, match=told):
        release_targets(read_spec({**ASKED, **asked}), platform)


def serving(*environments: str) -> dict[str, settings.PlatformSettings]:
    platform = {name: settings.parse(name, values()) for name in THERE}
    hub = settings.parse("governance", values(environments=list(environments)))
    return {**platform, "governance": hub}


def test_a_project_goes_where_the_hub_serves_and_names_what_it_does_not() -> None:
    platform = serving("dev", "preprod", "prod-eu")
    spec = read_spec(ASKED)
    assert release_targets(spec, platform) == ("preprod", "prod-eu")
    assert unserved(spec, platform) == ("preprod-eu", "prod")
    assert not unserved(spec, {**platform, "governance": serving()["governance"]})
    # A kind is what is served of it; what is named by itself is not quietly left out.
    with pytest.raises(SpecError, match="does not serve preprod-eu: add it to mlops:environments"):
        release_targets(read_spec({**ASKED, "targets": ["preprod", "preprod-eu"]}), platform)
    with pytest.raises(SpecError, match="none of them that the hub serves"):
        release_targets(read_spec({**ASKED, "targets": ["preprod"]}), serving("dev", "prod"))


def test_names_too_long_for_a_target_are_told_before_anything_is_made() -> None:
    name = "prod-" + "x" * 12
    accounts = {**ACCOUNTS, name: "7" * 12}
    asked = values(organization={"accounts": accounts}, prefix="acme-platforms-x")
    platform = {one: settings.parse(one, asked) for one in (*ENVIRONMENTS,)}
    platform[name] = platform["prod"].model_copy(update={"environment": name})
    with pytest.raises(SpecError, match="shorter name of the environment"):
        release_targets(read_spec({**ASKED, "name": "a" * 20}), platform)


def vending_of(names: list[str], accounts: dict[str, str]) -> Vending:
    """Projects of a platform of these environments, where the function knows one project."""
    asked = values(organization={"accounts": accounts})
    platform = {name: settings.parse(name, asked) for name in names}
    account = boto3.Session("a", "b", region_name="eu-west-1")
    account.client("ssm").put_parameter(
        Name=platform["governance"].names.parameter("projects/house"),
        Value=json.dumps({"targets": ["preprod", "prod", "prod-eu"]}),
        Type="String",
    )
    return Vending(platform, lambda _: account, cast("Any", None), print, lambda *_: None)


def test_what_joined_has_nothing_to_take_away_and_what_is_left_out_has() -> None:
    held = read_spec(ASKED).model_dump(mode="json")
    with mock_aws():
        vend = vending_of(THERE, MORE)
        stays = _Work("house", held, read_spec(ASKED))
        assert vend._left(stays) == []
        fewer = _Work("house", held, read_spec({**ASKED, "without": ["prod-eu"]}))
        assert vend._left(fewer) == ["prod-eu"]
        vend._close(fewer)
        assert (vend._known("house") or {})["targets"] == ["preprod", "preprod-eu", "prod"]
        # Half-way and once more: what was closed is still to be taken away.
        assert vend._left(fewer) == ["prod-eu"]
        assert vend._left(_Work("house", held)) == WAY


def test_what_the_hub_no_longer_serves_is_taken_away_and_told() -> None:
    held = read_spec(ASKED).model_dump(mode="json")
    told: list[str] = []
    with mock_aws():
        vend = replace(
            vending_of(THERE, MORE),
            platform=serving("dev", "preprod", "preprod-eu", "prod"),
            tell=told.append,
        )
        work = _Work("house", held, read_spec(ASKED))
        assert vend._left(work) == ["prod-eu"]
        vend._close(work)
        assert (vend._known("house") or {})["targets"] == ["preprod", "preprod-eu", "prod"]
        vend._undeploy_left(work, Command.UPDATE)
        assert told[0].startswith("house leaves prod-eu: what it deployed there is removed")


def test_a_target_that_left_the_platform_is_not_forgotten_with_its_endpoint() -> None:
    held = read_spec(ASKED).model_dump(mode="json")
    with mock_aws():
        vend = vending_of(list(ENVIRONMENTS), ACCOUNTS)
        for work in (_Work("house", held, read_spec(ASKED)), _Work("house", held)):
            with pytest.raises(
                VendingError, match="deployed to prod-eu, which the settings do not"
            ):
                vend._left(work)


@pytest.fixture(scope="module")
def released() -> Program:
    """A project that goes to two environments of each kind."""

    def make() -> None:
        hub = Names.at(place("governance", accounts=MORE))
        args: dict[str, Any] = {
            "placement": place("governance", accounts=MORE),
            "project": "house",
            "project_id": "p-abcdefghijkl",
            "template": "xgboost-realtime",
            "ci": "codepipeline",
            "build_repository": "example/house-build",
            "deploy_repository": "example/house-deploy",
            "targets": WAY,
            "contracts": {
                name: contract(name if name in ACCOUNTS else kind_of(name)) for name in THERE
            },
            "provider": "GitHub",
            "connection_arns": dict.fromkeys(("dev", "governance"), "arn:connection"),
            "state_key_arn": key("governance", "state"),
            "backend_url": f"s3://{hub.bucket('pulumi-state')}/projects/house",
            "secrets_provider": "awskms://alias/x",
            "token_secret_arn": "",
            "people": {},
            "instance_types": ["ml.m5.large"],
            "log_retention_days": 365,
            "variables": {},
            "batch": False,
            "sharing": "policy",
            "adopted": (),
        }
        providers = {
            name: aws.Provider(f"p-{name}", region=REGION, allowed_account_ids=[MORE[name]])
            for name in THERE
        }
        Project("house", args, providers)  # pyright: ignore[reportArgumentType]

    return run_program(make)


def pipeline(made: Program, name: str) -> dict[str, Any]:
    (found,) = (
        resource.inputs
        for resource in made.of("aws:codepipeline/pipeline:Pipeline")
        if resource.inputs["name"] == name
    )
    return found


def test_a_release_goes_through_all_of_a_kind_with_one_approval(released: Program) -> None:
    stages = pipeline(released, "acme-governance-house-deploy")["stages"]
    assert [stage["name"] for stage in stages] == [
        "Source", "Deploy-preprod", "Deploy-preprod-eu", "Approve-prod", "Deploy-prod",
        "Deploy-prod-eu",
    ]  # fmt: skip
    (approval,) = stages[3]["actions"]
    assert "house to prod, prod-eu:" in approval["configuration"]["CustomData"]


def test_each_target_has_a_deploy_role_that_its_own_release_alone_may_assume(
    released: Program, evaluator: Evaluator
) -> None:
    trusts = {
        resource.inputs["name"]: json.loads(resource.inputs["assumeRolePolicy"])
        for resource in released.of("aws:iam/role:Role")
    }
    releases = {
        resource.inputs["role"]: json.loads(resource.inputs["policy"])
        for resource in released.of("aws:iam/rolePolicy:RolePolicy")
    }
    hub = Names.at(place("governance", accounts=MORE))
    for target in WAY:
        names = Names.at(place(target, accounts=MORE))
        role = names.role_arn("house-deploy")
        callers = {f"house-deploy-{one}": one == target for one in WAY}
        for caller, expected in {**callers, f"other-deploy-{target}": False}.items():
            release = releases.get(f"acme-governance-{caller}", releases[hub.role(
                f"house-deploy-{target}")])  # fmt: skip
            request = Request(
                session(hub, caller),
                "sts:AssumeRole",
                role,
                names.account_id,
                {"aws:PrincipalArn": role_arn(session(hub, caller))},
            )
            decision = evaluator.evaluate(
                request,
                Policies(identity={"own": release}, resource=trusts[names.role("house-deploy")]),
            )
            assert decision.allowed is expected, (target, caller)


# --- who reads the hub's artifacts ----------------------------------------------------------------


@pytest.fixture(scope="module")
def hub() -> Program:
    endpoints = {
        **ENDPOINTS,
        "prod-eu": {"s3_endpoint_id": "vpce-eu-s3", "kms_endpoint_id": "vpce-eu-kms"},
    }
    return run_program(lambda: make_registry("governance", endpoints, accounts=MORE))


def reads(
    evaluator: Evaluator, made: Program, names: Names, role: str, endpoint: str, action: str
) -> bool:
    """Whether a role of an account, which may do everything there, is let in by the hub."""
    own = Names.at(place("governance", accounts=MORE))
    if action.startswith("s3:"):
        (policy,) = made.of("aws:s3/bucketPolicy:BucketPolicy")
        resource = f"{own.bucket_arn('models')}/promoted/house/model.tar.gz"
        where = f"vpce-{endpoint}-s3"
    else:
        (policy,) = made.of("aws:kms/key:Key")
        resource, where = own.arn("kms", "key/models"), f"vpce-{endpoint}-kms"
    caller = session(names, role)
    everything = iam.document([iam.Statement(actions=["*"], resources=["*"], sid="All")])
    request = Request(
        caller,
        action,
        resource,
        own.account_id,
        {
            "aws:PrincipalArn": role_arn(caller),
            "aws:SecureTransport": "true",
            "aws:ViaAWSService": "false",
            **({"aws:sourceVpce": where} if endpoint else {}),
        },
    )
    return evaluator.evaluate(
        request, Policies(identity={"work": everything}, resource=policy.document())
    ).allowed


@pytest.mark.parametrize("action", ["s3:GetObject", "kms:Decrypt"])
@pytest.mark.parametrize("endpoint", ["eu", "prod", "preprod", "stranger", ""])
@pytest.mark.parametrize(
    ("environment", "role", "may"),
    [
        ("prod-eu", "model-execution", True),
        ("prod-eu", "model-execution-house", True),
        ("prod-eu", "house-deploy", False),
        ("prod-eu", "platform-engineer", False),
        # It has an account in the settings, and the hub does not serve it.
        ("preprod-eu", "model-execution", False),
    ],
)
def test_the_models_of_a_further_account_read_the_hub_through_known_endpoints_alone(
    hub: Program,
    evaluator: Evaluator,
    environment: str,
    role: str,
    may: bool,
    endpoint: str,
    action: str,
) -> None:
    names = Names.at(place(environment, accounts=MORE))
    known = endpoint in ("eu", "prod", "preprod")
    assert reads(evaluator, hub, names, role, endpoint, action) is (may and known)


def test_a_role_of_the_same_name_in_a_foreign_account_reads_nothing(
    hub: Program, evaluator: Evaluator
) -> None:
    foreign = Names("acme", "prod-eu", REGION, "999999999999")
    assert not reads(evaluator, hub, foreign, "model-execution", "eu", "s3:GetObject")


def test_models_of_a_further_account_leave_through_their_own_endpoint_only(
    evaluator: Evaluator,
) -> None:
    statements = baseline_policies.model_execution_statements(place("prod-eu", accounts=MORE))
    first = baseline_policies.model_execution_statements(place("prod", accounts=MORE))
    assert [s.sid for s in statements] == [s.sid for s in first]
    bucket = Names.at(place("governance", accounts=MORE)).bucket_arn("models")
    assert bucket in json.dumps(iam.document(statements))


# --- many ----------------------------------------------------------------------------------------

MANY = {**ACCOUNTS, **{f"prod-r{number}": f"{number:012d}" for number in range(30, 50)}}
HELD = {"bucket": 20_480, "key": 32_768, "group": 20_480, "role": 10_240,
        "parameter": 4_096}  # fmt: skip
"""Most characters. Source: S3, KMS, SageMaker, IAM and Systems Manager quotas."""
VARIABLES = 4_096
"""Most bytes of a function's variables, as JSON. Source: Lambda quotas."""


def test_twenty_further_environments_fit_into_every_functions_variables() -> None:
    placement = place("governance", accounts={name: MANY[name] for name in in_order(MANY)})
    names, network = Names.at(placement), function_network()
    targets = [name for name in placement["accounts"] if kind_of(name) in TARGET_KINDS]
    key_arn = names.arn("kms", f"key/{'a' * 36}")

    def make() -> None:
        PromotionQueue(
            "promotion",
            {
                "placement": placement,
                "network": network,
                "models_bucket": names.bucket("models"),
                "models_key_arn": key_arn,
                "environments": targets,
                "sharing": "policy",
                "tags": {f"tag-{number}": "t" * 20 for number in range(8)},
                "owner": "o" * 40,
            },
        )
        DeploymentControl(
            "deployments",
            {
                "placement": placement,
                "network": network,
                "models_key_arn": key_arn,
                "token_secrets": [],
            },
        )
        RetrainingControl(
            "retraining",
            {
                "placement": placement,
                "network": network,
                "bus_name": names.name("models"),
                "token_secrets": [],
            },
        )
        VendingFunction(
            "vending",
            {
                "placement": placement,
                "network": network,
                "templates": [f"{'t' * 16}-{number}" for number in range(12)],
                "launching_accounts": [],
            },
        )

    sizes = {
        function.inputs["name"]: len(json.dumps(function.inputs["environment"]["variables"]))
        for function in run_program(make).of("aws:lambda/function:Function")
    }
    assert len(sizes) == 4
    # A quarter is left for longer names, and for what is known when it is made only.
    assert all(0 < size < 0.75 * VARIABLES for size in sizes.values()), sizes


def test_twenty_further_environments_fit_into_every_policy() -> None:
    placement = place("governance", accounts={name: MANY[name] for name in in_order(MANY)})
    served = [name for name in placement["accounts"] if name != "governance"]
    endpoints = {
        name: {"s3_endpoint_id": f"vpce-0{'a' * 16}{i}", "kms_endpoint_id": f"vpce-1{'b' * 16}{i}"}
        for i, name in enumerate(served)
    }
    made = run_program(lambda: make_registry("governance", endpoints, accounts=MANY))  # pyright: ignore[reportArgumentType]

    def longest(token: str, member: str = "policy") -> int:
        return max(len(resource.inputs[member]) for resource in made.of(token))

    targets = [name for name in served if name != "dev"]
    known = dict.fromkeys(targets, "p" * 60)
    release = policies.release_statements(placement, "a" * 20, targets[-1], "k" * 80)
    sizes = {
        "bucket": longest("aws:s3/bucketPolicy:BucketPolicy"),
        "key": longest("aws:kms/key:Key"),
        "group": longest(
            "aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy", "resourcePolicy"
        ),
        "role": len(json.dumps(iam.document(release))),
        "parameter": len(json.dumps(known)),
    }
    # Half is left for what else is in there.
    for what, size in sizes.items():
        assert 0 < size < 0.75 * HELD[what], (what, size)


@given(FURTHER.filter(lambda name: kind_of(name) == "prod"))
def test_production_is_production_for_the_policy_pack_whatever_it_is_called(name: str) -> None:
    assert any(fnmatch.fnmatchcase(name, pattern) for pattern in PRODUCTION_STACKS)


def test_who_approves_a_live_version_again_is_told_where_it_goes_now() -> None:
    attempt = Attempt(
        environment="prod",
        sequence=1,
        model_package_arn="arn:version/1",
        version=1,
        status=Status.LIVE,
        kind=Kind.DEPLOY,
    )
    history = History("group", attempts=(attempt,))
    assert joined(history, ["prod", "prod-eu"], "arn:version/1") == "prod-eu"
    assert joined(history, ["prod"], "arn:version/1") == ""
    assert joined(history, ["prod", "prod-eu"], "arn:version/2") == ""
    there = history.with_added(replace(attempt, environment="prod-eu", status=Status.FAILED))[0]
    assert joined(there, ["prod", "prod-eu"], "arn:version/1") == "", "it was asked for already"
    back = history.with_changed(replace(attempt, kind=Kind.ROLLBACK))
    assert joined(back, ["prod", "prod-eu"], "arn:version/1") == "", "what is put back stays"
