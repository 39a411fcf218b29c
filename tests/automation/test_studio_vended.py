"""Users and domains of Studio that administrators vend: what is made, refused and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import boto3
import pytest
from moto import mock_aws

from automation import administered, cli, studio, vended
from automation.projects.program import PlatformError
from automation.projects.spec import SpecError, read_spec
from automation.runs import StackRun
from automation.studio import Domains, DomainSpec, Users, UserSpec
from automation.vended import VendingError
from components.naming import ENVIRONMENTS
from components.personas import PERSONAS, job_role
from components.settings import Budget, load_stack
from components.studio import domain_paths, thing_of
from localcloud.paths import CHECKOUT
from tests.unit.conftest import Program, run_program

ANN = {"name": "ann", "persona": "data-scientist", "owner": "team", "cost_centre": "ml-growth"}
GROWTH = {
    "name": "growth", "owner": "team", "cost_centre": "ml-growth", "business_unit": "Growth",
    "finance_owner": "finance", "idle_timeout_minutes": 90,
}  # fmt: skip
PLATFORM = {stack: load_stack(CHECKOUT.root, stack) for stack in ENVIRONMENTS}
PLATFORM["dev"] = PLATFORM["dev"].model_copy(
    update={"budget": Budget(monthly_usd={"ml-dev": 2000, "ml-growth": 500, "other": 1})}
)
DEV, HUB = PLATFORM["dev"].names, PLATFORM["governance"].names
CONTRACT = {
    "studio/domain-id": "d-own",
    "studio/auth-mode": "IAM",
    "roles/data-scientist-execution/arn": DEV.role_arn("data-scientist-execution"),
    "roles/lead-data-scientist-execution/arn": DEV.role_arn("lead-data-scientist-execution"),
    **{f"roles/{job_role(who)}/arn": DEV.role_arn(job_role(who)) for who in PERSONAS},
    "data/database": "mlops_dev_data",
    "vpc/id": "vpc-1",
    "vpc/private-subnet-ids": "subnet-a,subnet-b",
    "vpc/security-group-ids": "sg-a",
    "iam/boundary-arn": DEV.policy_arn("boundary"),
    **{f"kms/{key}/arn": DEV.arn("kms", f"key/{key}") for key in ("storage", "data", "models")},
}
PROFILE = "aws:sagemaker/userProfile:UserProfile"


@dataclass(frozen=True)
class Opened:
    """A stack that nothing is run on."""

    name: str
    make: Callable[[], None]


class Account:
    """Dev and the hub in one account of moto, and stacks that are only noted."""

    def __init__(self) -> None:
        self.session = boto3.Session("a", "b", region_name=HUB.region)
        self.ssm: Any = self.session.client("ssm")
        self.profiles: list[dict[str, str]] = []
        self.stacks: dict[str, dict[str, Any]] = {}
        self.programs: list[Callable[[], None]] = []
        self.did: list[str] = []
        for path, value in CONTRACT.items():
            self.publish(DEV.parameter(path), value)

    def publish(self, name: str, value: str) -> None:
        self.ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)

    def know(self, path: str, **known: str) -> None:
        self.publish(HUB.parameter(path), json.dumps(known))

    def of(self, kind: Any) -> Any:
        return kind(PLATFORM, lambda _: self.session, self.did.append, lambda *_: None)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with mock_aws():
        account = Account()
        # moto lists no profiles.
        monkeypatch.setattr(studio, "_pages", lambda *_, **__: account.profiles)
        monkeypatch.setattr(
            vended.Stacks, "held", lambda self, name: account.stacks.get(f"{self.noun}-{name}")
        )
        monkeypatch.setattr(vended.Stacks, "names", lambda _: set(account.stacks))
        monkeypatch.setattr(
            vended.Stacks,
            "forget",
            lambda self, name: account.stacks.pop(f"{self.noun}-{name}", None),
        )
        monkeypatch.setattr(
            vended.Stacks, "open", lambda self, name, make: Opened(f"{self.noun}-{name}", make)
        )

        def run(stack: Any, verb: Any, **_: Any) -> StackRun:
            name, make = stack.name, stack.make
            account.did.append(f"{verb} {name}")
            account.programs.append(make)
            if verb == "up":
                account.stacks.setdefault(name, {})
                exported: dict[str, Any] = {}
                monkeypatch.setattr(studio.pulumi, "export", exported.__setitem__)
                run_program(make)
                account.stacks[name] = exported["spec"]
            return StackRun(name, verb)

        for module in (administered, studio):
            monkeypatch.setattr(module, "run_stack", run)
        yield account


def made(account: Account) -> Program:
    """What the last program registers."""
    return run_program(account.programs[-1])


# --- users ---------------------------------------------------------------------------------------


def test_a_user_is_what_the_platform_makes_of_its_own(account: Account) -> None:
    assert account.of(Users).create(ANN).ok
    assert account.did == ["up user-ann", "up user-ann"], "noted before anything is made"
    program = made(account)
    (profile,) = program.of(PROFILE)
    assert profile.inputs == {
        "domainId": "d-own",
        "userProfileName": "ann",
        "userSettings": {"executionRole": DEV.role_arn("data-scientist-execution")},
        "tags": {"persona": "data-scientist", "studio-user": "ann"},
    }
    providers = {resource.name: resource.inputs for resource in program.of("pulumi:providers:aws")}
    tags = json.loads(providers["aws-dev"]["defaultTags"])["tags"]
    assert (tags["owner"], tags["cost-centre"], tags["environment"]) == ("team", "ml-growth", "dev")
    (known,) = program.of("aws:ssm/parameter:Parameter")
    assert known.inputs["name"] == HUB.parameter("users/ann")
    value = json.loads(known.inputs["value"])
    assert value == {
        "id": account.stacks["user-ann"]["id"], "domain": "studio", "persona": "data-scientist"
    }  # fmt: skip


def test_whose_cost_no_budget_counts_is_told_before_anything_is_made(account: Account) -> None:
    users = account.of(Users)
    assert users.create({**ANN, "cost_centre": "growth"}).ok
    told = account.did.pop(0)
    assert told.startswith("no budget counts the cost centre growth in dev: add it to mlops:budget")
    assert "Pulumi.dev.yaml" in told
    assert users.update("ann", {"cost_centre": "ml-growth"}).ok
    assert account.did == ["up user-ann"] * 3, "and not of one that has a budget"


def test_in_an_sso_domain_the_directory_knows_the_user(account: Account) -> None:
    account.publish(DEV.parameter("studio/auth-mode"), "SSO")
    account.of(Users).create(ANN)
    (profile,) = made(account).of(PROFILE)
    assert profile.inputs["singleSignOnUserValue"] == "ann"


@pytest.mark.parametrize("name", ["data-scientist", "Lead-Data-Scientist"])
def test_a_name_of_the_settings_is_refused(account: Account, name: str) -> None:
    with pytest.raises(VendingError, match=r"is one of mlops:studio.users in the settings of dev"):
        account.of(Users).create({**ANN, "name": name})
    assert not account.did


def test_a_name_is_one_persons_in_all_domains(account: Account) -> None:
    account.profiles = [{"UserProfileName": "Ann", "DomainId": "d-other"}]
    with pytest.raises(VendingError, match="a user profile Ann in the domain d-other already"):
        account.of(Users).create(ANN)
    assert not account.did


def test_a_user_of_a_domain_that_is_not_there_is_refused(account: Account) -> None:
    account.know("domains/growth", id="v-abcdefghij12")
    with pytest.raises(VendingError, match="There is no domain sales; there are: studio, growth"):
        account.of(Users).create({**ANN, "domain": "sales"})


def test_in_a_units_domain_it_has_the_units_role(account: Account) -> None:
    account.know("domains/growth", id="v-abcdefghij12")
    for key, path in domain_paths("growth").items():
        account.publish(DEV.parameter(path), "IAM" if key == "auth_mode" else f"growth's {key}")
    account.of(Users).create({**ANN, "domain": "growth"})
    (profile,) = made(account).of(PROFILE)
    assert profile.inputs["domainId"] == "growth's domain_id"
    assert profile.inputs["userSettings"] == {"executionRole": "growth's data-scientist"}


def test_a_platform_that_is_not_up_is_told(account: Account) -> None:
    account.ssm.delete_parameter(Name=DEV.parameter("studio/auth-mode"))
    with pytest.raises(PlatformError, match=r"does not publish .*studio/auth-mode"):
        account.of(Users).create(ANN)
    assert not account.did, "it is looked at before anything is made"


def test_made_again_it_is_gone_on_with_and_otherwise_refused(account: Account) -> None:
    users = account.of(Users)
    users.create(ANN)
    before = dict(account.stacks["user-ann"])
    assert users.create(ANN).ok
    assert account.stacks["user-ann"] == before, "under the id that it has"
    with pytest.raises(VendingError, match="asked for differently; change it by: users update ann"):
        users.create({**ANN, "owner": "others"})


def test_a_new_persona_ends_what_ran_under_the_one_before(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_user(_: Any, domain_id: str, user: str, *, spaces: bool) -> list[Any]:
        account.did.append(f"apps of {user} in {domain_id}, spaces {spaces}")
        return []

    monkeypatch.setattr(studio.teardown, "of_user", of_user)
    users = account.of(Users)
    users.create(ANN)
    account.did.clear()
    assert users.update("ann", {"cost_centre": "other"}).ok
    assert account.did == ["up user-ann"]
    account.did.clear()
    assert users.update("ann", {"persona": "lead-data-scientist"}).ok
    ended = "apps of ann in d-own, spaces False"
    assert account.did == [ended, "up user-ann", ended]
    (profile,) = made(account).of(PROFILE)
    assert profile.inputs["userSettings"]["executionRole"].endswith("lead-data-scientist-execution")
    account.did.clear()
    assert users.delete("ann").ok
    assert account.did == ["apps of ann in d-own, spaces True", "destroy user-ann"]
    assert not account.stacks


@pytest.mark.parametrize("change", [{"name": "bob"}, {"domain": "growth"}, {"id": "v-" + "a" * 12}])
def test_what_a_user_keeps_cannot_change(account: Account, change: dict[str, str]) -> None:
    with pytest.raises(SpecError, match="of a user cannot change"):
        account.of(Users).update("ann", change)


def test_who_is_not_there_is_named(account: Account) -> None:
    users = account.of(Users)
    for ask in (lambda: users.update("ann", {}), lambda: users.delete("ann")):
        with pytest.raises(VendingError, match="There is no user ann; there are: none yet"):
            ask()


def test_a_user_outlived_the_domain_and_can_be_removed(account: Account) -> None:
    users = account.of(Users)
    users.create(ANN)
    account.ssm.delete_parameter(Name=DEV.parameter("studio/domain-id"))
    assert users.delete("ann").ok


def test_every_mistake_is_told_at_once() -> None:
    wrong = {"name": "-ann", "persona": "boss", "owner": "", "domain": "A", "size": 1}
    with pytest.raises(SpecError) as told:
        administered.validated(UserSpec, wrong, "user")
    for name in ("name", "persona", "owner", "cost_centre", "domain", "size"):
        assert f"  {name}: " in str(told.value)


# --- domains -------------------------------------------------------------------------------------


def test_a_units_domain_has_its_own_roles_and_touches_nothing_of_the_platforms(
    account: Account,
) -> None:
    assert account.of(Domains).create(GROWTH).ok
    program = made(account)
    (domain,) = program.of("aws:sagemaker/domain:Domain")
    assert domain.inputs["domainName"] == DEV.name("studio-growth")
    assert domain.inputs["appNetworkAccessType"] == "VpcOnly"
    assert domain.inputs["defaultUserSettings"]["executionRole"] == DEV.role_arn(
        "studio-growth-data-scientist-execution"
    )
    idle = domain.inputs["defaultUserSettings"]["jupyterLabAppSettings"]["appLifecycleManagement"]
    assert idle["idleSettings"]["idleTimeoutInMinutes"] == 90
    roles = {role.inputs["name"]: role.inputs for role in program.of("aws:iam/role:Role")}
    assert set(roles) == {
        DEV.role("studio-growth-data-scientist-execution"),
        DEV.role("studio-growth-lead-data-scientist-execution"),
    }
    # Studio's own projects are launched by them too.
    launchers = DEV.role(thing_of("*", "data-scientist-execution"))
    assert all(fnmatch(role, launchers) for role in roles)
    assert all(r["permissionsBoundary"] == DEV.policy_arn("boundary") for r in roles.values())
    scripts = program.of("aws:sagemaker/studioLifecycleConfig:StudioLifecycleConfig")
    names = {script.inputs["studioLifecycleConfigName"] for script in scripts}
    assert len(names) == 2
    assert all(name.startswith(DEV.name("studio-growth-")) for name in names)
    status = "aws:sagemaker/servicecatalogPortfolioStatus:ServicecatalogPortfolioStatus"
    assert not program.of(status), "it is the account's, and would go with this domain"
    published = {p.inputs["name"] for p in program.of("aws:ssm/parameter:Parameter")}
    expected = {DEV.parameter(path) for path in domain_paths("growth").values()}
    assert published == {*expected, HUB.parameter("domains/growth")}
    (dev,) = [p for p in program.of("pulumi:providers:aws") if p.name == "aws-dev"]
    tags = json.loads(dev.inputs["defaultTags"])["tags"]
    assert tags.items() >= {
        "workload-environment": "dev", "finance-owner": "finance", "business-unit": "Growth",
        "cost-centre": "ml-growth", "owner": "team",
    }.items()  # fmt: skip


def test_jobs_of_a_unit_run_as_the_role_that_buckets_know(account: Account) -> None:
    account.of(Domains).create(GROWTH)
    policies = {
        policy.inputs["role"]: json.loads(policy.inputs["policy"])
        for policy in made(account).of("aws:iam/rolePolicy:RolePolicy")
    }
    assert set(policies) == {DEV.role(f"studio-growth-{who}-execution") for who in PERSONAS}
    for who in PERSONAS:
        statements = policies[DEV.role(f"studio-growth-{who}-execution")]["Statement"]
        (passed,) = [s for s in statements if s["Sid"] == "PassOnlyTheJobRole"]
        assert passed["Resource"] in (
            DEV.role_arn(job_role(who)), [DEV.role_arn(job_role(who))]
        )  # fmt: skip


def test_personas_of_a_unit_ask_for_tables_where_the_platforms_do(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = PLATFORM["dev"]
    for lake_formation in (True, False):
        data = dev.data_access.model_copy(update={"lake_formation": lake_formation})
        monkeypatch.setitem(PLATFORM, "dev", dev.model_copy(update={"data_access": data}))
        account.stacks.clear()
        account.of(Domains).create(GROWTH)
        granted = made(account).of("aws:lakeformation/permissions:Permissions")
        roles = {item.inputs["principal"].rpartition("/")[2] for item in granted}
        persona = DEV.role("studio-growth-{}-execution")
        assert roles == (
            {persona.format(name) for name in ("data-scientist", "lead-data-scientist")}
            if lake_formation
            else set()
        )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "studio"}, "name: .*the platform's own domain"),
        ({"name": "a" * 21}, "name: "),
        ({"idle_timeout_minutes": 59}, "idle_timeout_minutes: "),
        ({"finance_owner": ""}, "finance_owner: "),
        ({"business_unit": None}, "business_unit: "),
    ],
)
def test_a_domain_that_cannot_be_made_is_refused(
    account: Account, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(SpecError, match=told):
        account.of(Domains).create({**GROWTH, **change})


def test_a_name_that_is_too_long_beside_the_prefix_is_refused_before_anything_is_made(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = PLATFORM["dev"].model_copy(update={"prefix": "a" * 16})
    monkeypatch.setitem(PLATFORM, "dev", long)
    with pytest.raises(VendingError, match="a shorter name for the domain"):
        account.of(Domains).create({**GROWTH, "name": "a" * 20})
    assert not account.did


def test_a_domain_with_vended_users_stays(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def destroy(stack: Any, *_: Any, **__: Any) -> StackRun:
        account.did.append(f"destroy {stack.name}")
        return StackRun(stack.name, "destroy")

    monkeypatch.setattr(studio.destruction, "destroy", destroy)
    domains = account.of(Domains)
    domains.create(GROWTH)
    account.know("users/ann", id="v-abcdefghij12", domain="growth")
    account.know("users/bob", id="v-abcdefghij13", domain="studio")
    account.did.clear()
    with pytest.raises(VendingError, match=r"delete them first, .*: ann$"):
        domains.delete("growth")
    assert not account.did
    account.ssm.delete_parameter(Name=HUB.parameter("users/ann"))
    assert domains.delete("growth").ok
    assert account.did == ["destroy domain-growth"]
    assert not account.stacks


@pytest.mark.parametrize("name", ["studio", "studio-growth"])
def test_no_project_owns_the_roles_of_domains(name: str) -> None:
    asked = {"name": name, "owner": "team", "cost_centre": "1", "organization": "acme"}
    with pytest.raises(SpecError, match=r"name: .* the platform's own studio, choose another"):
        read_spec(asked)


# --- the command line ----------------------------------------------------------------------------


def test_the_command_line_lists_what_the_hub_knows(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account.know("users/bob", id="v-abcdefghij12", domain="studio", persona="data-scientist")
    account.know("users/ann", id="v-abcdefghij13", domain="growth", persona="data-scientist")
    sessions = (PLATFORM, lambda _: account.session)
    monkeypatch.setattr(cli, "_deployers", lambda: sessions)
    assert cli.main(["users", "list"]) == cli.CLEAN
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["ann", "growth", "data-scientist"], ["bob", "studio", "data-scientist"]
    ]  # fmt: skip
    assert cli.main(["users", "create"]) == cli.ERROR
    assert "users create needs a user's name" in capsys.readouterr().err


def test_settings_are_read_from_a_file_and_over_it_one_by_one(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(cli, "_deployers", lambda: (PLATFORM, lambda _: account.session))
    file = tmp_path / "growth.yaml"
    file.write_text(json.dumps({key: GROWTH[key] for key in GROWTH if key != "name"}))
    arguments = ["domains", "create", "growth", "--file", str(file), "--set", "owner=others"]
    assert cli.main(arguments) == cli.CLEAN
    spec = DomainSpec.model_validate(account.stacks["domain-growth"])
    assert (spec.owner, spec.idle_timeout_minutes) == ("others", 90)
