"""Accounts of organisational units: found all, compared rightly, and taken in without harm."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from automation import accounts, cli, stacks
from automation.accounts import Account, AccountsError, Finding, adopt, compare, members
from components import settings
from components.naming import ENVIRONMENTS, kind_of
from components.settings import Organization, load_stack, stack_names
from localcloud.paths import CHECKOUT

IDS = st.integers(0, 30).map(lambda number: f"{number:012d}")


# --- the units, at moto's Organizations -----------------------------------------------------------


@pytest.fixture
def organizations() -> Iterator[Any]:
    with mock_aws():
        client: Any = boto3.Session("a", "b", region_name="eu-west-1").client("organizations")
        client.create_organization(FeatureSet="ALL")
        yield client


def unit(organizations: Any, parent: str, name: str) -> str:
    made = organizations.create_organizational_unit(ParentId=parent, Name=name)
    return str(made["OrganizationalUnit"]["Id"])


def account(organizations: Any, parent: str, name: str) -> str:
    made = organizations.create_account(Email=f"{name}@example.com", AccountName=name)
    identity = str(made["CreateAccountStatus"]["AccountId"])
    (root,) = organizations.list_roots()["Roots"]
    organizations.move_account(
        AccountId=identity, SourceParentId=root["Id"], DestinationParentId=parent
    )
    return identity


def test_all_accounts_of_a_unit_are_found_on_all_pages_and_in_the_units_below(
    organizations: Any,
) -> None:
    (root,) = organizations.list_roots()["Roots"]
    prod, other = (unit(organizations, root["Id"], name) for name in ("prod", "other"))
    below = unit(organizations, prod, "europe")
    deepest = unit(organizations, below, "nordics")
    account(organizations, other, "elsewhere")
    # More than a page of moto, which has 20.
    made = {account(organizations, prod, f"p{number}") for number in range(23)}
    made |= {account(organizations, parent, parent) for parent in (below, deepest)}
    found = members(organizations, prod)
    assert {item.id for item in found} == made
    assert all(item.state == accounts.ACTIVE for item in found)
    assert [item.id for item in found] == sorted(made)


def test_a_unit_that_cannot_be_read_is_told_with_what_to_do(organizations: Any) -> None:
    with pytest.raises(AccountsError, match="delegated administrator"):
        members(organizations, "ou-none-12345678")


# --- compared -------------------------------------------------------------------------------------


@given(
    in_unit=st.dictionaries(IDS, st.sampled_from(["ACTIVE", "SUSPENDED", "CLOSED"])),
    known=st.dictionaries(
        st.sampled_from(["prod-a", "prod-b", "preprod-a"]), IDS, min_size=0, max_size=3
    ),
    four=st.lists(IDS, min_size=4, max_size=4),
)
def test_every_account_and_every_environment_of_a_kind_is_told_once(
    in_unit: dict[str, str], known: dict[str, str], four: list[str]
) -> None:
    given_ = {**dict(zip(ENVIRONMENTS, four, strict=True)), **known}
    try:
        organization = Organization(accounts=given_)
    except ValueError:
        return
    rows = compare(
        organization, {"prod": [Account(id_, "n", state) for id_, state in in_unit.items()]}
    )
    own = {env: id_ for env, id_ in given_.items() if kind_of(env) == "prod"}
    for row in rows:
        environments = {env for env, id_ in given_.items() if id_ == row.account}
        match row.finding:
            case Finding.JOINED:
                assert not environments
                assert in_unit[row.account] == "ACTIVE"
            case Finding.LEFT:
                assert row.account not in in_unit
                assert row.environment in own
            case Finding.ELSEWHERE:
                assert environments
                assert not environments & set(own)
            case Finding.CLOSED:
                assert in_unit[row.account] != "ACTIVE"
                assert row.environment in own
            case Finding.IN_PLACE:
                assert in_unit[row.account] == "ACTIVE"
                assert own[row.environment] == row.account
    told = {row.account for row in rows}
    assert told >= set(own.values())
    assert told >= {id_ for id_, state in in_unit.items() if state == "ACTIVE"}
    assert len([row for row in rows if row.finding is not Finding.LEFT]) == len(
        {row.account for row in rows if row.finding is not Finding.LEFT}
    )


# --- taken in -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in CHECKOUT.root.glob("Pulumi*.yaml"):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_an_account_is_taken_in_like_its_kind_with_a_network_of_its_own(folder: Path) -> None:
    before = contents(folder)
    own, project = adopt(None, folder, "5" * 12, "prod-eu")
    after = contents(folder)
    assert set(after) - set(before) == {"Pulumi.prod-eu.yaml"}
    assert {name for name in before if before[name] != after[name]} == {"Pulumi.yaml"}
    # One line more, and the comments are there.
    added = set(after["Pulumi.yaml"].splitlines()) - set(before["Pulumi.yaml"].splitlines())
    assert added == {f'        prod-eu: "{"5" * 12}"'}
    assert len(after["Pulumi.yaml"].splitlines()) == len(before["Pulumi.yaml"].splitlines()) + 1
    assert (own.name, project.name) == ("Pulumi.prod-eu.yaml", "Pulumi.yaml")
    loaded = cli.load_settings(folder, stack_names(folder))
    made, kind = loaded["prod-eu"], loaded["prod"]
    assert made.account_id == "5" * 12
    blocks = [ipaddress.IPv4Network(stack.network.cidr) for stack in loaded.values()]
    assert all(not a.overlaps(b) for i, a in enumerate(blocks) for b in blocks[i + 1 :])
    assert made.model_copy(update={"network": kind.network, "environment": "prod"}) == kind


def test_one_account_after_the_other_is_taken_in(folder: Path) -> None:
    for number, name in enumerate(("prod-eu", "preprod-eu", "prod-us"), start=5):
        adopt(None, folder, str(number) * 12, name)
    loaded = cli.load_settings(folder, stack_names(folder))
    assert list(loaded) == [
        "dev", "preprod", "preprod-eu", "prod", "prod-eu", "prod-us", "governance",
    ]  # fmt: skip
    assert loaded["governance"].targets == (
        "preprod", "preprod-eu", "prod", "prod-eu", "prod-us",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("identity", "name", "told"),
    [
        ("5" * 12, "prod", "names no further environment"),
        ("5" * 12, "dev-two", "names no further environment"),
        ("5" * 12, "prod-EU", "names no further environment"),
        ("4" * 12, "prod-eu", "is the account of prod already"),
        ("5", "prod-eu", "12 digits"),
        ("5" * 12, "prod-" + "x" * 60, "choose a shorter"),
    ],
)
def test_what_cannot_be_taken_in_changes_nothing(
    folder: Path, identity: str, name: str, told: str
) -> None:
    before = contents(folder)
    with pytest.raises((AccountsError, settings.SettingsError), match=told):
        adopt(None, folder, identity, name)
    assert contents(folder) == before


def test_a_block_that_another_stack_has_is_refused_and_a_given_one_is_taken(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(AccountsError, match="overlap"):
        adopt(None, folder, "5" * 12, "prod-eu", cidr="10.21.0.0/18")
    assert contents(folder) == before
    adopt(None, folder, "5" * 12, "prod-eu", cidr="10.99.0.0/20")
    assert load_stack(folder, "prod-eu").network.cidr == "10.99.0.0/20"


def change(folder: Path, stack: str, **values: Any) -> None:
    path = folder / f"Pulumi.{stack}.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"] |= {f"mlops:{key}": value for key, value in values.items()}
    path.write_text(yaml.safe_dump(content))


def test_the_network_that_an_account_has_is_not_another_accounts(folder: Path) -> None:
    change(
        folder, "prod",
        network={
            "mode": "existing", "vpc_id": "vpc-12345678",
            "private_subnet_ids": ["subnet-12345678", "subnet-22345678"],
            "security_group_ids": ["sg-12345678"],
            "endpoint_ids": {"s3": "vpce-12345678", "kms": "vpce-22345678"},
        },
    )  # fmt: skip
    with pytest.raises(AccountsError, match="--cidr"):
        adopt(None, folder, "5" * 12, "prod-eu")
    adopt(None, folder, "5" * 12, "prod-eu", cidr="10.99.0.0/16")
    assert load_stack(folder, "prod-eu").network.mode == "create"


def test_secrets_of_a_stack_are_not_copied(folder: Path) -> None:
    change(folder, "prod", owner={"secure": "v1:abc"})
    path = folder / "Pulumi.prod.yaml"
    path.write_text(path.read_text().replace("mlops:owner", "other:token"))
    with pytest.raises(AccountsError, match=r"secrets.*other:token"):
        adopt(None, folder, "5" * 12, "prod-eu")


def test_accounts_that_stand_elsewhere_are_not_guessed_at(folder: Path) -> None:
    project = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    organization = project["config"]["mlops:organization"]["default"]
    for stack in ENVIRONMENTS:
        change(folder, stack, organization={**organization, "id": "o-exampleorg2"})
    del project["config"]["mlops:organization"]["default"]
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    before = contents(folder)
    with pytest.raises(AccountsError, match="by hand"):
        adopt(None, folder, "5" * 12, "prod-eu")
    assert contents(folder) == before


def test_the_command_tells_who_joined_and_takes_only_accounts_of_the_unit(
    organizations: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (root,) = organizations.list_roots()["Roots"]
    prod, other = (unit(organizations, root["Id"], name) for name in ("prod", "other"))
    joined = account(organizations, prod, "shop-eu")
    stranger = account(organizations, other, "stranger")
    project = folder / "Pulumi.yaml"
    standing = "      id: o-exampleorg1\n"
    project.write_text(
        project.read_text().replace(standing, f"{standing}      units: {{prod: {prod}}}\n")
    )
    monkeypatch.setattr(stacks, "PROJECT_DIR", folder)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert cli.main(["accounts"]) == cli.CHANGES
    told = capsys.readouterr().out
    assert joined in told
    assert "joined: it has no stack" in told
    assert stranger not in told
    assert cli.main(["accounts", "adopt", stranger, "--name", "prod-eu"]) == cli.ERROR
    assert "no active account of the unit" in capsys.readouterr().err
    assert cli.main(["accounts", "adopt", joined, "--name", "prod-eu"]) == cli.CLEAN
    assert "bootstrap --profile prod-eu=PROFILE" in capsys.readouterr().out
    # The account of prod itself is in no unit here.
    assert cli.main(["accounts"]) == cli.CHANGES
    told = capsys.readouterr().out
    assert "joined" not in told.partition("left:")[0]
    assert "left: it is not in the unit any more" in told


def test_without_units_nothing_differs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stacks, "PROJECT_DIR", folder)
    assert cli.main(["accounts"]) == cli.CLEAN
    assert "mlops:organization.units" in capsys.readouterr().out
