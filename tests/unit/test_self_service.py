"""Service Catalog in the hub: templates that CloudFormation takes, launches that are bounded."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from mlops_policy.model import Example, ResourceRule
from mlops_policy.registry import RULES

from automation import bootstrap
from automation.projects.spec import SpecError, read_spec
from automation.projects.templates import load
from components import catalog, iam
from components.baseline_policies import boundary_statements
from components.catalog import (
    ACCOUNT,
    ADMINISTRATION,
    Catalog,
    CatalogBucket,
    LaunchRole,
    VendingBuild,
    VendingFunction,
    administration,
    administration_template,
    product_template,
)
from components.naming import ENVIRONMENTS, Names
from components.settings import load_stack
from functions.vending.answer import Address
from functions.vending.requests import KINDS, PROJECT, RequestError, read_settings
from localcloud.authorization import Evaluator, Policies, Request
from localcloud.emulator.builds import buildspec
from localcloud.paths import CHECKOUT
from tests.policy import harness
from tests.unit.conftest import ACCOUNTS, REGION, Program, function_network, place

Run = Callable[..., Program]
TEMPLATES = {template.id: template.description for template in load().values()}
SETTINGS = {template.id: template.settings for template in load().values()}
HUB, DEV = Names.at(place("governance")), Names.at(place("dev"))
FUNCTION = HUB.arn("lambda", "function:acme-governance-vending")
UNIT = "arn:aws:organizations::111111111111:ou/o-exampleorg1/ou-abcd-12345678"
SCIENTISTS = "acme-dev-*data-scientist"
FACTORY = "arn:aws:iam::999999999999:role/account-factory"
KINDS_WITH_UNITS = ("preprod", "prod")
VERSION = "aws:servicecatalog/provisioningArtifact:ProvisioningArtifact"


TOKEN = HUB.arn("secretsmanager", "secret:git-AbCdEf")


def make() -> None:
    role = LaunchRole("launch", {"placement": place("governance"), "boundary_arn": "boundary"})
    network = function_network()
    bucket = CatalogBucket(
        "bucket",
        {
            "placement": place("governance"),
            "key_arn": "data-key",
            "access_log_bucket": "access-logs",
        },
    )
    VendingBuild(
        "build",
        {
            "placement": place("governance"),
            "network": network,
            "vpc_id": "vpc-a",
            "bucket": bucket,
            "git_token_secret": TOKEN,
            "account_factory": FACTORY,
        },
    )
    VendingFunction(
        "vending",
        {
            "placement": place("governance"),
            "network": network,
            "templates": list(TEMPLATES),
            "launching_accounts": [ACCOUNTS["dev"], ACCOUNTS["governance"]],
        },
    )
    Catalog(
        "catalog",
        {
            "placement": place("governance"),
            "templates": TEMPLATES,
            "settings": SETTINGS,
            "account_kinds": KINDS_WITH_UNITS,
            "owner": "platform team",
            "shares": [
                {"kind": "ORGANIZATIONAL_UNIT", "id": UNIT},
                {"kind": "ACCOUNT", "id": ACCOUNTS["dev"]},
            ],
            "principals": {
                "sagemaker-projects": [SCIENTISTS],
                "ml-administration": ["acme-governance-platform-engineer"],
            },
            "tag_options": {"confidentiality": ["internal", "restricted"]},
            "bucket": bucket,
            "launch_role": role,
        },
    )


@pytest.fixture
def made(run: Run) -> Program:
    return run(make)


# --- templates -----------------------------------------------------------------------------------


def mistakes(text: str) -> list[str]:
    """Errors and warnings of cfn-lint, without what it has to tell beside."""
    # Here, as it takes seconds, and all workers collect all tests.
    from cfnlint.api import lint_all

    return [str(found) for found in lint_all(text) if not found.rule.id.startswith("I")]


EVERY = [(template, every) for template in TEMPLATES for every in (False, True)]


@pytest.mark.parametrize(("template", "every"), EVERY)
def test_cloudformation_takes_the_template(template: str, every: bool) -> None:
    text = json.dumps(
        product_template(template, FUNCTION, every_choice=every, settings=SETTINGS[template])
    )
    assert len(text) < 51_200, "CloudFormation takes no more inline"
    assert not mistakes(text)


def test_the_linter_would_tell() -> None:
    broken = product_template("t", FUNCTION, every_choice=False)
    broken["Outputs"]["ProjectId"]["Value"] = {"Ref": "Nothing"}
    assert mistakes(json.dumps(broken))


def filled(template: dict[str, Any], **values: str) -> dict[str, Any]:
    """The properties that the function gets, as CloudFormation resolves them."""
    given = {
        name: values.get(name, parameter.get("Default", ""))
        for name, parameter in template["Parameters"].items()
    }
    (resource,) = template["Resources"].values()
    properties = resource["Properties"]

    def told(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # A custom resource is told numbers as texts.
        return (
            str(given[value["Ref"]]) if "Ref" in value else {k: told(v) for k, v in value.items()}
        )

    return {name: told(value) for name, value in properties.items()}


LAUNCHED = {
    "SageMakerProjectName": "houses",
    "SageMakerProjectId": "p-abcdefghij12",
    "Owner": "team",
    "CostCentre": "123",
    "Organization": "acme",
}


@pytest.mark.parametrize(("template", "every"), EVERY)
def test_the_function_takes_what_the_template_sends(template: str, every: bool) -> None:
    content = product_template(template, FUNCTION, every_choice=every, settings=SETTINGS[template])
    properties = filled(content, **LAUNCHED)
    settings = read_settings(PROJECT, properties, list(TEMPLATES))
    spec = read_spec(settings)
    assert (spec.name, spec.id, spec.template) == ("houses", "p-abcdefghij12", template)
    # Nothing was chosen: the form has the defaults that the template has.
    assert spec.settings == load()[template].with_defaults({})
    if every:
        assert set(properties) - {"ServiceToken", "ServiceTimeout"} == set(PROJECT.properties)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"GateRmse": "1.5"}, 1.5),
        ({"GateRmse": "0"}, "settings.gate_rmse: 0 is less than or equal to the minimum of 0"),
        ({"GateRmse": "low"}, "settings.gate_rmse: 'low' is not of type 'number'"),
    ],
)
def test_a_launch_chooses_the_templates_settings(given: dict[str, str], told: object) -> None:
    content = product_template(
        "xgboost-realtime", FUNCTION, every_choice=False, settings=SETTINGS["xgboost-realtime"]
    )
    settings = read_settings(PROJECT, filled(content, **LAUNCHED, **given), list(TEMPLATES))
    if isinstance(told, str):
        with pytest.raises(SpecError, match=re.escape(told)):
            read_spec(settings)
    else:
        assert read_spec(settings).settings["gate_rmse"] == told


@pytest.mark.parametrize("value", ["text", ["a"], {"gate": 1}, {"Not A Name": "1"}, {"": "1"}])
def test_settings_that_no_form_sends_are_refused(value: object) -> None:
    content = product_template("xgboost-realtime", FUNCTION, every_choice=False)
    properties = {**filled(content, **LAUNCHED), "Settings": value}
    with pytest.raises(RequestError, match="Settings: expected names of the template's settings"):
        read_settings(PROJECT, properties, list(TEMPLATES))


def test_what_no_form_can_ask_for_is_no_parameter() -> None:
    with pytest.raises(ValueError, match="many: a form cannot ask for array"):
        catalog.setting_parameter("many", {"type": "array", "description": "x", "default": []})


def test_every_way_of_release_that_is_offered_is_taken() -> None:
    template = product_template("xgboost-realtime", FUNCTION, every_choice=True)
    for targets in template["Parameters"]["Targets"]["AllowedValues"]:
        for ci in template["Parameters"]["Ci"]["AllowedValues"]:
            secret = (
                "arn:aws:secretsmanager:a" if ci == "github" else ""
            )  # pragma: allowlist secret
            values = {**LAUNCHED, "Targets": targets, "Ci": ci, "TokenSecret": secret}
            read_settings(PROJECT, filled(template, **values), list(TEMPLATES))


@pytest.mark.parametrize("product", ADMINISTRATION)
def test_the_function_takes_what_administrators_launch(product: str) -> None:
    template = administration_template(administration(KINDS_WITH_UNITS)[product], FUNCTION)
    text = json.dumps(template)
    assert not mistakes(text)
    (resource,) = template["Resources"].values()
    kind = KINDS[resource["Type"]]
    properties = {
        name: str(value)
        for name, value in filled(template, **dict.fromkeys(template["Parameters"], "60")).items()
    }
    for name, rules in template["Parameters"].items():
        chosen = rules["AllowedValues"][-1] if "AllowedValues" in rules else None
        properties[name] = chosen or ("growth" if "Name" in name or name == "Domain" else "60")
        if name == "Email":
            properties[name] = "growth@example.com"
    assert set(properties) - {"ServiceToken", "ServiceTimeout"} == set(kind.properties)
    assert set(read_settings(kind, properties, [])) == set(kind.properties.values())
    assert set(ADMINISTRATION[product].outputs) == {*kind.outputs(properties), *kind.told}


@pytest.mark.parametrize(
    ("product", "parameter", "setting"),
    [("studio-user", "UserName", "name"), ("studio-user", "Domain", "domain"),
     ("studio-domain", "DomainName", "name"),
     ("studio-domain", "IdleTimeoutMinutes", "idle_timeout_minutes"),
     ("aws-account", "AccountName", "name"), ("aws-account", "Email", "email")],
)  # fmt: skip
@pytest.mark.parametrize("value", [
    "a", "Ann", "a-b", "a--b", "a-", "-a", "a" * 63, "a" * 64, "a_b", "59", "60", "525601",
    "a@b.c", "a@b.co", "A+b@c-d.example", "a@b@c.de", "a b@c.de", "aaa@bbb", "\u00e4@bbb.cc",
    "a@b." + "c" * 60, "a@b." + "c" * 61,
])  # fmt: skip
def test_administrators_forms_and_the_function_agree(
    product: str, parameter: str, setting: str, value: str
) -> None:
    rule = ADMINISTRATION[product].parameters[parameter]
    if "MinValue" in rule:
        form = value.isdecimal() and rule["MinValue"] <= int(value) <= rule["MaxValue"]
    else:
        fits = rule.get("MinLength", 0) <= len(value) <= rule["MaxLength"]
        form = fits and re.search(rule["AllowedPattern"], value)
    kind = KINDS[ADMINISTRATION[product].resource]
    assert bool(form) is (kind.checks[setting](value) == "")


@pytest.mark.parametrize("kinds", [(), ("prod",), ("preprod", "prod")])
def test_accounts_are_offered_where_they_can_be_made_and_for_the_kinds_with_a_unit(
    kinds: tuple[str, ...],
) -> None:
    offered = administration(kinds)
    assert set(ADMINISTRATION) - set(offered) == (set() if kinds else {ACCOUNT})
    if kinds:
        template = administration_template(offered[ACCOUNT], FUNCTION)
        assert template["Parameters"]["Kind"]["AllowedValues"] == list(kinds)


def test_all_that_is_vended_is_known_to_the_function() -> None:
    assert {kind.command for kind in KINDS.values()} == set(catalog.VENDED)
    assert {offered.resource for offered in ADMINISTRATION.values()} < set(KINDS)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("SageMakerProjectName", text) for text in ("a", "houses-2", "A", "a--b", "-a", "a_b", "a-")]
    + [("SageMakerProjectId", text) for text in ("p-abcdefghij12", "p-ABCDEFGHIJ12", "p-a", "x")],
)
def test_the_form_and_the_function_agree(parameter: str, value: str) -> None:
    template = product_template("xgboost-realtime", FUNCTION, every_choice=False)
    rule = template["Parameters"][parameter]
    form = re.search(rule["AllowedPattern"], value) and len(value) <= rule.get("MaxLength", 4096)
    try:
        read_settings(PROJECT, filled(template, **{**LAUNCHED, parameter: value}), list(TEMPLATES))
        function = True
    except RequestError:
        function = False
    assert bool(form) is function


# --- portfolios ----------------------------------------------------------------------------------


def test_only_projects_of_the_projects_portfolio_are_seen_in_studio(made: Program) -> None:
    products = made.of("aws:servicecatalog/product:Product")
    assert len(products) == 2 * len(TEMPLATES) + len(ADMINISTRATION)
    seen = {product.name for product in products if product.inputs.get("tags")}
    assert seen == {f"catalog-sagemaker-projects-{template}" for template in TEMPLATES}
    for product in products:
        if product.name in seen:
            assert product.inputs["tags"] == {"sagemaker:studio-visibility": "true"}


def test_a_product_is_launched_from_the_template_that_was_stored(made: Program) -> None:
    stored = {
        f"https://{HUB.bucket('catalog')}.s3.{REGION}.amazonaws.com/{found.inputs['key']}": found
        for found in made.of("aws:s3/bucketObjectv2:BucketObjectv2")
        if "content" in found.inputs
    }
    first = [
        product.inputs["provisioningArtifactParameters"]["templateUrl"]
        for product in made.of("aws:servicecatalog/product:Product")
    ]
    newest = [version.inputs["templateUrl"] for version in made.of(VERSION)]
    assert sorted(first) == sorted(newest) == sorted(stored)
    for found in stored.values():
        (resource,) = json.loads(found.inputs["content"])["Resources"].values()
        assert resource["Properties"]["ServiceToken"] == FUNCTION
        assert found.inputs["serverSideEncryption"] == "aws:kms"


def test_a_changed_template_is_a_new_version_of_the_same_product(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, pulumi.ResourceOptions] = {}

    def told(kind: Any) -> Any:
        def make_one(logical: str, /, **inputs: Any) -> Any:
            given[f"{kind.__name__} {logical}"] = inputs["opts"]
            return kind(logical, **inputs)

        return make_one

    for kind in ("Product", "ProvisioningArtifact"):
        offered = getattr(catalog.aws.servicecatalog, kind)
        monkeypatch.setattr(catalog.aws.servicecatalog, kind, told(offered))
    before = run(make)
    monkeypatch.setattr(catalog, "_SERVICE_TIMEOUT_SECONDS", 1800)
    after = run(make)
    products = "aws:servicecatalog/product:Product"
    # Products are registered side by side: their order says nothing.
    assert sorted(p.name for p in before.of(products)) == sorted(p.name for p in after.of(products))
    # A version of another name is another resource, and the old one is not taken away.
    assert not {v.name for v in before.of(VERSION)} & {v.name for v in after.of(VERSION)}
    for one in (*before.of(VERSION), *after.of(VERSION)):
        assert one.name.endswith(one.inputs["name"])
        assert given[f"ProvisioningArtifact {one.name}"].retain_on_delete
    for product in after.of(products):
        options = given[f"Product {product.name}"]
        assert options.ignore_changes == ["provisioningArtifactParameters"]


def test_every_product_is_launched_by_the_accounts_own_launch_role(made: Program) -> None:
    associated = {
        (found.inputs["portfolioId"], found.inputs["productId"])
        for found in made.of("aws:servicecatalog/productPortfolioAssociation:"
                             "ProductPortfolioAssociation")
    }  # fmt: skip
    constrained = {}
    for found in made.of("aws:servicecatalog/constraint:Constraint"):
        assert found.inputs["type"] == "LAUNCH"
        key = (found.inputs["portfolioId"], found.inputs["productId"])
        constrained[key] = json.loads(found.inputs["parameters"])
    assert set(constrained) == associated
    assert len(associated) == 2 * len(TEMPLATES) + len(ADMINISTRATION)
    (role,) = [r for r in made.of("aws:iam/role:Role") if r.name == "launch"]
    assert all(c == {"LocalRoleName": role.inputs["name"]} for c in constrained.values())
    assert role.inputs["permissionsBoundary"] == "boundary"


def test_principals_are_shared_with_units_and_only_there(made: Program) -> None:
    shares = made.of("aws:servicecatalog/portfolioShare:PortfolioShare")
    assert len(shares) == 4
    for share in shares:
        to_unit = share.inputs["type"] == "ORGANIZATIONAL_UNIT"
        assert share.inputs["principalId"] == (UNIT if to_unit else ACCOUNTS["dev"])
        assert share.inputs["sharePrincipals"] is to_unit
        assert share.inputs["shareTagOptions"] is True


def test_launchers_are_known_by_a_pattern_of_their_roles(made: Program) -> None:
    patterns = {
        found.inputs["portfolioId"]: found.inputs["principalArn"]
        for found in made.of("aws:servicecatalog/principalPortfolioAssociation:"
                             "PrincipalPortfolioAssociation")
    }  # fmt: skip
    assert patterns == {
        "catalog-sagemaker-projects-id": f"arn:aws:iam:::role/{SCIENTISTS}",
        "catalog-ml-administration-id": ("arn:aws:iam:::role/acme-governance-platform-engineer"),
    }


def test_each_portfolio_offers_the_tags(made: Program) -> None:
    assert len(made.of("aws:servicecatalog/tagOption:TagOption")) == 2
    token = "aws:servicecatalog/tagOptionResourceAssociation:TagOptionResourceAssociation"
    pairs = {(f.inputs["resourceId"], f.inputs["tagOptionId"]) for f in made.of(token)}
    assert len(pairs) == 4


# --- what the launch role can do -----------------------------------------------------------------


def launches(
    evaluator: Evaluator, environment: str, action: str, resource: str, **keys: str
) -> bool:
    names = Names.at(place(environment))
    role = f"arn:aws:iam::{names.account_id}:role/{HUB.role('catalog-launch')}"
    context = {"aws:PrincipalArn": role, "aws:RequestedRegion": REGION}
    context |= {key.replace("__", ":").replace("_in_", "/"): value for key, value in keys.items()}
    allowed = iam.document(catalog.launch_statements(names, FUNCTION))
    boundary = iam.document(boundary_statements(names))
    # The function's own policy lets the accounts in that launch.
    own = None
    if resource == FUNCTION and environment != "governance":
        own = iam.document(
            [
                iam.Statement(
                    sid="Launches",
                    actions=["lambda:InvokeFunction"],
                    principals={"AWS": [names.root_arn]},
                    resources=[FUNCTION],
                )
            ]
        )
    decision = evaluator.evaluate(
        Request(
            role, action, resource, ACCOUNTS["governance"] if own else names.account_id, context
        ),
        Policies(identity={"launch": allowed}, boundary=boundary, resource=own),
    )
    return decision.allowed


@pytest.mark.parametrize("environment", ["governance", "dev"])
def test_the_launch_role_does_what_a_launch_needs(evaluator: Evaluator, environment: str) -> None:
    names = Names.at(place(environment))
    stack = names.arn("cloudformation", "stack/SC-222-pp-1/a")
    for action in ("CreateStack", "UpdateStack", "DeleteStack", "DescribeStacks"):
        assert launches(evaluator, environment, f"cloudformation:{action}", stack)
    assert launches(evaluator, environment, "lambda:InvokeFunction", FUNCTION)
    assert launches(
        evaluator, environment, "s3:GetObject", "arn:aws:s3:::cf-templates/a",
        s3__ExistingObjectTag_in_servicecatalog__provisioning="true",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("cloudformation:DeleteStack", DEV.arn("cloudformation", "stack/other/a")),
        ("lambda:InvokeFunction", DEV.arn("lambda", "function:other")),
        ("lambda:UpdateFunctionCode", FUNCTION),
        ("s3:GetObject", f"{DEV.bucket_arn('models')}/other/model.tar.gz"),
        ("iam:CreateRole", "arn:aws:iam::222222222222:role/acme-dev-mine"),
        ("iam:PassRole", DEV.role_arn("deployer")),
        ("sts:AssumeRole", DEV.role_arn("deployer")),
    ],
)
def test_and_nothing_else(evaluator: Evaluator, action: str, resource: str) -> None:
    assert not launches(evaluator, "dev", action, resource)


# --- the build -----------------------------------------------------------------------------------


def vends(evaluator: Evaluator, action: str, resource: str, **keys: str) -> bool:
    """Whether the build's role may do something, its boundary considered."""
    role = HUB.role_arn("vending-build")
    context = {"aws:PrincipalArn": role, "aws:RequestedRegion": REGION}
    context |= {key.replace("__", ":"): value for key, value in keys.items()}
    allowed = catalog.build_statements(HUB, ACCOUNTS, HUB.arn("kms", "key/data"))
    return evaluator.evaluate(
        Request(role, action, resource, HUB.account_id, context),
        Policies(
            identity={"vend": iam.document(allowed)},
            boundary=iam.document(boundary_statements(HUB)),
        ),
    ).allowed


STATE = HUB.bucket_arn("pulumi-state")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        *(("sts:AssumeRole", Names.at(place(env)).role_arn("deployer")) for env in ACCOUNTS),
        ("s3:PutObject", f"{STATE}/vended/.pulumi/stacks/mlops-projects/project-houses.json"),
        ("s3:GetObject", f"{HUB.bucket_arn('catalog')}/vending/0123.zip"),
    ],
)
def test_the_build_becomes_the_deployers_and_keeps_projects_state(
    evaluator: Evaluator, action: str, resource: str
) -> None:
    if action == "sts:AssumeRole":
        # Roles of other accounts decide by their trust.
        (held,) = [
            statement
            for statement in catalog.build_statements(HUB, ACCOUNTS, "key")
            if "sts:AssumeRole" in statement.actions
        ]
        assert resource in held.resources
        assert len(held.resources) == len(ACCOUNTS)
    else:
        assert vends(evaluator, action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:GetObject", f"{STATE}/.pulumi/stacks/mlops/governance.json"),
        ("s3:PutObject", f"{STATE}/.pulumi/stacks/mlops/prod.json"),
        ("s3:DeleteObjectVersion", f"{STATE}/vended/.pulumi/stacks/a.json"),
        ("s3:PutObject", f"{HUB.bucket_arn('catalog')}/vending/0123.zip"),
        ("s3:GetObject", f"{HUB.bucket_arn('models')}/promoted/model.tar.gz"),
        ("sts:AssumeRole", HUB.role_arn("platform-engineer")),
        ("iam:CreateRole", HUB.role_arn("mine")),
        ("codebuild:StartBuild", HUB.arn("codebuild", "project/acme-governance-vending")),
        ("sagemaker:UpdateModelPackage", HUB.arn("sagemaker", "model-package/a/1")),
        ("kms:Decrypt", HUB.arn("kms", "key/data")),
    ],
)
def test_the_build_itself_may_nothing_else(
    evaluator: Evaluator, action: str, resource: str
) -> None:
    assert not vends(evaluator, action, resource)


def test_the_build_makes_accounts_by_the_one_role_and_only_where_there_is_one() -> None:
    def assumed(factory: str) -> set[str]:
        held = catalog.build_statements(HUB, ACCOUNTS, "key", account_factory=factory)
        return {
            str(arn) for s in held if "sts:AssumeRole" in s.actions for arn in s.resources
        }  # fmt: skip

    assert assumed(FACTORY) - assumed("") == {FACTORY}
    assert not any("999999999999" in arn for arn in assumed(""))


def test_the_build_gets_the_token_only_where_there_is_one(evaluator: Evaluator) -> None:
    def sids(token: tuple[str, str] | None) -> set[str]:
        return {s.sid for s in catalog.build_statements(HUB, ACCOUNTS, "key", token)}

    assert sids((TOKEN, "key")) - sids(None) == {"TokenOfRepositories", "OpenToken"}


@pytest.mark.parametrize("environment", list(ACCOUNTS))
def test_the_deployers_trust_the_build_and_the_read_only_roles_do_not(environment: str) -> None:
    settings = load_stack(CHECKOUT.root, environment)
    build = Names.at(settings.placement(), "governance").role_arn("vending-build")
    for role, trusted in (("deployer", True), ("preview", False)):
        statement, denial = bootstrap.deployer_trust(settings, role, "arn:aws:iam::1:user/a")
        assert denial.effect == "Deny"
        trusting = statement.conditions["ArnLike"]["aws:PrincipalArn"]
        assert (build in trusting) is trusted
        # Of another account only, and nobody there whose name is not told in full.
        hub = Names.at(settings.placement(), "governance")
        assert statement.principals == {"AWS": [hub.root_arn]}
        assert not [arn for arn in trusting if set(arn) & set("*?")]
        assert {arn.split(":")[4] for arn in trusting} == {hub.account_id, "1"}


def test_the_builds_source_is_all_that_vending_needs(tmp_path: Path) -> None:
    digest, archive = catalog.source(ENVIRONMENTS)
    assert isinstance(archive, pulumi.AssetArchive)
    for name, asset in archive.assets.items():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(asset, pulumi.FileAsset):
            shutil.copy(asset.path, target)
        else:
            assert isinstance(asset, pulumi.StringAsset)
            assert "encryptionsalt" not in asset.text
            target.write_text(asset.text)
    program = (
        "from automation.cli import projects\n"
        "from automation.projects.repositories import render\n"
        "from automation.projects.spec import read_spec\n"
        "from pathlib import Path\n"
        "import functions.vending.build, functions.vending.answer, components.projects.project\n"
        "spec = read_spec(dict(name='a', owner='b', cost_centre='c', organization='d'))\n"
        "vend = projects()\n"
        "for kind in ('build', 'deploy'): render(spec, vend.hub, kind, Path('out') / kind)\n"
        "print(Path('.').resolve() == Path(functions.vending.build.__file__).parents[2])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "True"
    for kind, file in (("build", "buildspec.yml"), ("deploy", "deploy.py"), ("deploy", "policy")):
        assert (tmp_path / "out" / kind / file).exists()
    assert catalog.source(ENVIRONMENTS)[0] == digest


def test_the_build_runs_the_stored_source_and_answers_whatever_became_of_it(made: Program) -> None:
    (project,) = made.of("aws:codebuild/project:Project")
    (stored,) = [
        found
        for found in made.of("aws:s3/bucketObjectv2:BucketObjectv2")
        if "content" not in found.inputs
    ]
    given = project.inputs["source"]
    assert given["location"] == f"{HUB.bucket('catalog')}/{stored.inputs['key']}"
    spec = buildspec.parse(given["buildspec"])
    assert spec.phases["post_build"].commands == (".venv/bin/python -m functions.vending.answer",)
    assert project.inputs["buildTimeout"] + project.inputs["queuedTimeout"] < 60
    (variable,) = project.inputs["environment"]["environmentVariables"]
    assert variable == {"name": "GIT_TOKEN", "value": TOKEN, "type": "SECRETS_MANAGER"}


# --- the function --------------------------------------------------------------------------------


def test_only_accounts_that_launch_and_the_rule_may_ask_the_function(made: Program) -> None:
    permissions = made.of("aws:lambda/permission:Permission")
    assert {p.inputs["principal"] for p in permissions} == {
        ACCOUNTS["dev"],
        "events.amazonaws.com",
    }
    (rule,) = [p for p in permissions if p.inputs["principal"] == "events.amazonaws.com"]
    assert rule.inputs["sourceAccount"] == ACCOUNTS["governance"]


def test_the_function_gets_what_it_reads(made: Program) -> None:
    from functions.vending import handler

    (function,) = made.of("aws:lambda/function:Function")
    variables = function.inputs["environment"]["variables"]
    for name in variables:
        assert f"``{name}``" in (handler.__doc__ or "")
    assert set(variables) == {"VENDING_BUILD", "PARAMETERS", "TEMPLATES"}
    assert json.loads(variables["TEMPLATES"]) == list(TEMPLATES)


def test_the_rule_takes_every_build_that_could_not_answer(made: Program) -> None:
    (rule,) = made.of("aws:cloudwatch/eventRule:EventRule")
    pattern = json.loads(rule.inputs["eventPattern"])
    assert set(pattern["detail"]["build-status"]) == set(catalog.ENDED_BADLY)
    assert pattern["detail"]["project-name"] == ["acme-governance-vending"]
    assert "RESPONSE_URL" in Address("u", "s", "r", "l", "p").environment()


def test_no_rule_of_the_pack_is_violated(made: Program) -> None:
    judged, violations = 0, list[str]()
    for rule in RULES:
        # Tags are the provider's defaults, which mocks do not apply.
        if not isinstance(rule, ResourceRule) or rule.name == "required-tags":
            continue
        for resource in made.resources:
            outcome = harness.run(rule, Example(resource.type, resource.inputs, resource.name))
            judged += outcome.put_off is None
            violations += [f"{rule.name}: {text}" for text in outcome.violations]
    assert not violations, "\n".join(violations)
    assert judged > 30
