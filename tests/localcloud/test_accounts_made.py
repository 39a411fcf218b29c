"""Accounts that are vended, by the real engine at the emulator's organisation: with the documents
that its administrator takes, as the vending build, up to where they are taken in.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from automation import account_factory, accounts, cli, vended
from automation.account_factory import Accounts
from automation.accounts import Finding
from automation.projects.spec import SpecError
from automation.runs import StackRun
from automation.vended import VendingError
from components.account_factory import VENDED_ID
from components.catalog import VENDING_ROLE, build_statements
from components.iam import document
from components.settings import PlatformSettings, load_stack, stack_names
from localcloud.engine import ensure_engine
from localcloud.paths import CHECKOUT
from tests.localcloud.emulators import HUB, ORGANIZATION, REGION, Cloud, checkout, running

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

MANAGEMENT = "999999999999"
FACTORY = f"arn:aws:iam::{MANAGEMENT}:role/account-factory"
SHOP = {"email": "shop-eu@example.com", "kind": "prod", "owner": "shop", "cost_centre": "ml-shop"}


@dataclass
class World:
    """The organisation, the hub's roles, and a platform whose settings name them."""

    cloud: Cloud
    folder: Path
    platform: dict[str, PlatformSettings]
    units: dict[str, str]
    build: boto3.Session
    said: list[str] = field(default_factory=list[str])

    @property
    def organizations(self) -> Any:
        return self.cloud.client("organizations", MANAGEMENT)

    @property
    def hub(self) -> PlatformSettings:
        return self.platform["governance"]

    @property
    def vend(self) -> Accounts:
        deployer = self.cloud.assume(self.hub.names.role_arn("deployer"), by=self.build)
        return Accounts(self.platform, lambda _: deployer, self.said.append, lambda *_: None)

    def made(self, run: StackRun, name: str) -> str:
        """The id of what was made."""
        assert run.ok, run.errors or [v.message for v in run.violations]
        return self.vend.told(name)["AccountId"]

    def named(self, name: str) -> list[str]:
        """The accounts of a name in the organisation."""
        pages = self.organizations.get_paginator("list_accounts").paginate()
        return [a["Id"] for page in pages for a in page["Accounts"] if a["Name"] == name]

    def parent(self, account: str) -> str:
        (parent,) = self.organizations.list_parents(ChildId=account)["Parents"]
        return str(parent["Id"])

    def tags(self, account: str) -> dict[str, str]:
        listed = self.organizations.list_tags_for_resource(ResourceId=account)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in listed}

    def state(self, name: str) -> Path:
        """The stack's file in the backend."""
        return self.folder / f"state/.pulumi/stacks/mlops-accounts/account-{name}.json"


def settings_of(folder: Path, units: dict[str, str]) -> None:
    """The checkout's settings in a folder, with an organisation that makes accounts."""
    for path in CHECKOUT.root.glob("Pulumi*.yaml"):
        shutil.copy(path, folder / path.name)
    file = folder / "Pulumi.yaml"
    lines = [
        f"      id: {ORGANIZATION}",
        f"      account_factory_role_arn: {FACTORY}",
        "      units:",
    ]
    lines += [f"        {kind}: {unit}" for kind, unit in units.items()]
    text = file.read_text("utf-8")
    assert "      id: o-exampleorg1\n" in text
    text = text.replace("      id: o-exampleorg1", "\n".join(lines))
    file.write_text(text.replace("555555555555", MANAGEMENT), "utf-8")
    hub = folder / "Pulumi.governance.yaml"
    config = yaml.safe_load(hub.read_text("utf-8"))
    config["config"]["mlops:network"]["nat"] = "single"
    hub.write_text(yaml.safe_dump(config), "utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("factory")
    (folder / "state").mkdir()
    known = {"governance": HUB, "management": MANAGEMENT}
    with running(checkout(folder / "cloud"), known) as cloud, pytest.MonkeyPatch.context() as patch:
        organizations = cloud.client("organizations", MANAGEMENT)
        organizations.create_organization(FeatureSet="ALL")
        (root,) = organizations.list_roots()["Roots"]
        units = {
            kind: organizations.create_organizational_unit(ParentId=root["Id"], Name=kind)[
                "OrganizationalUnit"
            ]["Id"]
            for kind in ("preprod", "prod")
        }
        settings_of(folder, units)
        platform = {stack: load_stack(folder, stack) for stack in stack_names(folder)}
        hub = platform["governance"]
        build = hub.names.role_arn(VENDING_ROLE)
        statements = build_statements(
            hub.names, hub.accounts, "arn:aws:kms:::key/a", account_factory=FACTORY
        )
        may = document(statements)["Statement"]
        cloud.role(hub.names.role(VENDING_ROLE), *may, account=HUB)
        ssm = {"Action": "ssm:*", "Resource": hub.names.arn("ssm", "parameter/*")}
        cloud.role(
            hub.names.role("deployer"), ssm, account=HUB, trust={"Principal": {"AWS": build}}
        )
        documents = account_factory.role_documents(hub)
        iam = cloud.client("iam", MANAGEMENT)
        iam.create_role(
            RoleName="account-factory", AssumeRolePolicyDocument=json.dumps(documents["trust"])
        )
        iam.put_role_policy(
            RoleName="account-factory",
            PolicyName="make",
            PolicyDocument=json.dumps(documents["policy"]),
        )
        session = cloud.assume(build)
        held = session.get_credentials().get_frozen_credentials()
        engine = ensure_engine().executable.parent
        for name, value in {
            "PATH": f"{engine}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": cloud.started.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": held.access_key,
            "AWS_SECRET_ACCESS_KEY": held.secret_key,
            "AWS_SESSION_TOKEN": str(held.token),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PULUMI_HOME": str(CHECKOUT.pulumi_home),
            "PULUMI_CONFIG_PASSPHRASE": "keep-this-to-yourself",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
        }.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        state = (folder / "state").as_uri()
        patch.setattr(vended.bootstrap, "backend_url", lambda *_: state)
        patch.setattr(vended.bootstrap, "secrets_provider", lambda *_: "passphrase")
        yield World(cloud, folder, platform, units, session)


@pytest.fixture(scope="module")
def shop_eu(world: World) -> str:
    """The id of an account that is vended."""
    return world.made(world.vend.create({"name": "shop-eu", **SHOP}), "shop-eu")


def test_an_account_is_made_in_its_unit_and_can_be_taken_in(world: World, shop_eu: str) -> None:
    identity = shop_eu
    assert world.named("shop-eu") == [identity]
    assert world.parent(identity) == world.units["prod"]
    tags = world.tags(identity)
    assert tags[VENDED_ID] == (world.vend.held("shop-eu") or {})["id"]
    assert (tags["owner"], tags["cost-centre"], tags["environment"]) == ("shop", "ml-shop", "prod")
    (known,) = world.vend.listed()
    assert (known["name"], known["kind"], known["email"]) == ("shop-eu", "prod", SHOP["email"])
    # Made again it is gone on with, and nothing is to do.
    again = world.vend.create({"name": "shop-eu", **SHOP})
    assert again.ok
    assert not again.steps

    (row,) = [
        row
        for row in accounts.survey(world.organizations, world.hub.organization)
        if row.account == identity
    ]
    assert (row.kind, row.name, row.finding) == ("prod", "shop-eu", Finding.JOINED)
    accounts.adopt(world.organizations, world.folder, identity, "prod-eu")
    taken = cli.load_settings(world.folder, stack_names(world.folder))
    assert taken["prod-eu"].account_id == identity
    rows = accounts.survey(world.organizations, taken["governance"].organization)
    assert identity not in [row.account for row in rows if row.finding is Finding.JOINED]

    # An environment is not moved from under its stack.
    vend = world.vend
    moved = Accounts(taken, vend.session, vend.tell, vend.progress)
    with pytest.raises(VendingError, match=f"{identity} is the environment prod-eu: take that"):
        moved.update("shop-eu", {"kind": "preprod"})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "shop-us", "email": "SHOP-EU@example.com"}, "is the address of the account"),
        ({"name": "master", "email": "b@example.com"}, "is the name of the account"),
        ({"name": "shop-us", "email": "shop"}, "email: "),
        ({"name": "Shop", "email": "b@example.com"}, "name: "),
        ({"name": "shop-us", "kind": "dev"}, "kind: "),
    ],
)
@pytest.mark.usefixtures("shop_eu")
def test_what_cannot_be_made_is_refused_before_anything_is(
    world: World, given: dict[str, str], told: str
) -> None:
    before = world.organizations.list_create_account_status()["CreateAccountStatuses"]
    with pytest.raises((VendingError, SpecError), match=told):
        world.vend.create({**SHOP, **given})
    assert world.organizations.list_create_account_status()["CreateAccountStatuses"] == before
    assert world.vend.held(given["name"]) is None, "nothing is left to be gone on with"


def test_owner_and_kind_change_in_place_and_the_address_does_not(
    world: World, shop_eu: str
) -> None:
    run = world.vend.update("shop-eu", {"owner": "others", "kind": "preprod"})
    assert world.made(run, "shop-eu") == shop_eu
    assert {step.operation for step in run.steps} == {"update"}
    assert world.parent(shop_eu) == world.units["preprod"]
    tags = world.tags(shop_eu)
    assert (tags["owner"], tags["environment"]) == ("others", "preprod")
    for fixed in ({"email": "a@example.com"}, {"name": "other"}):
        with pytest.raises(SpecError, match="of an account cannot change: make another account"):
            world.vend.update("shop-eu", fixed)


def interrupt(world: World, name: str, *, made: bool) -> None:
    """Leaves a stack as a build does that is killed while AWS makes the account."""
    file = world.state(name)
    found = json.loads(file.read_text())
    latest = found["checkpoint"]["latest"]
    (account,) = [r for r in latest["resources"] if r["type"] == account_factory.TYPE]
    kept = [r for r in latest["resources"] if r["type"].startswith("pulumi:")]
    latest["resources"] = kept
    latest["pending_operations"] = [
        {
            "type": "creating",
            "resource": {k: v for k, v in account.items() if k not in ("id", "outputs")},
        }
    ]
    file.write_text(json.dumps(found))
    world.cloud.client("ssm", HUB).delete_parameter(
        Name=world.hub.names.parameter(f"accounts/{name}")
    )
    organizations, identity = world.organizations, account["id"]
    if made:
        (root,) = organizations.list_roots()["Roots"]
        organizations.move_account(
            AccountId=identity,
            SourceParentId=world.parent(identity),
            DestinationParentId=root["Id"],
        )
    else:
        # As if it had never come to be: neither the account nor its address.
        organizations.remove_account_from_organization(AccountId=identity)


def test_what_was_killed_is_gone_on_with_and_what_ends_keeps_its_account(world: World) -> None:
    shop = {"name": "killed", **SHOP, "email": "killed@example.com"}
    identity = world.made(world.vend.create(shop), "killed")
    interrupt(world, "killed", made=True)
    run = world.vend.create(shop)
    assert world.made(run, "killed") == identity
    assert world.named("killed") == [identity]
    assert world.parent(identity) == world.units["prod"], "it is moved, where it was not yet"

    # What ends is forgotten, and the account stays where it is.
    world.said.clear()
    assert world.vend.delete("killed").ok
    assert world.named("killed") == [identity]
    assert world.parent(identity) == world.units["prod"]
    described = world.organizations.describe_account(AccountId=identity)["Account"]
    assert described["Status"] == "ACTIVE"
    (told,) = world.said
    assert told.startswith(f"{identity}: The account is kept")
    assert world.vend.held("killed") is None
    assert world.vend.told("killed") == {}


def test_of_what_was_killed_before_it_made_one_the_next_tells_what_is_wrong(world: World) -> None:
    shop = {"name": "lost", **SHOP, "email": "lost@example.com"}
    world.made(world.vend.create(shop), "lost")
    interrupt(world, "lost", made=False)
    run = world.vend.create(shop)
    assert "looked for, and not there: aws:organizations/account:Account lost" in run.note
    # Its address went with an account that left: AWS gives it to no other.
    assert not run.ok
    assert "EMAIL_ALREADY_EXISTS" in "\n".join(run.errors)
    world.said.clear()
    assert world.vend.delete("lost").ok
    assert world.vend.held("lost") is None
    assert not world.said, "nothing was made, so nothing is kept"


def test_the_role_makes_accounts_and_does_nothing_else_to_the_organisation(
    world: World, shop_eu: str
) -> None:
    (root,) = world.organizations.list_roots()["Roots"]
    elsewhere = world.organizations.create_organizational_unit(ParentId=root["Id"], Name="money")
    other = world.organizations.create_account(Email="theirs@example.com", AccountName="theirs")
    status = world.organizations.describe_create_account_status(
        CreateAccountRequestId=other["CreateAccountStatus"]["Id"]
    )
    theirs = status["CreateAccountStatus"]["AccountId"]
    factory = world.cloud.client(
        "organizations", session=world.cloud.assume(FACTORY, by=world.build)
    )
    moving = {"SourceParentId": root["Id"], "DestinationParentId": world.units["prod"]}
    into = {
        "SourceParentId": world.parent(shop_eu),
        "DestinationParentId": elsewhere["OrganizationalUnit"]["Id"],
    }
    for ask in (
        lambda: factory.close_account(AccountId=shop_eu),
        lambda: factory.remove_account_from_organization(AccountId=shop_eu),
        lambda: factory.create_account(Email="x@example.com", AccountName="x"),
        lambda: factory.move_account(AccountId=theirs, **moving),
        lambda: factory.move_account(AccountId=shop_eu, **into),
        lambda: factory.tag_resource(ResourceId=theirs, Tags=[{"Key": "owner", "Value": "me"}]),
        lambda: factory.untag_resource(ResourceId=theirs, TagKeys=["owner"]),
        lambda: factory.create_organizational_unit(ParentId=root["Id"], Name="mine"),
        lambda: factory.delete_organization(),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            ask()
    # And nobody assumes it but the build.
    with pytest.raises(ClientError, match="AccessDenied"):
        world.cloud.assume(FACTORY, by=world.cloud.session(HUB))
