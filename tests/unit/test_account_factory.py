"""The role that makes accounts, where it is asked for, and how an interrupted creation is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from automation import account_factory
from automation.account_factory import AccountSpec, made_before
from automation.vended import VendingError
from components.account_factory import VENDED_ID, documents
from components.catalog import VENDING_ROLE
from components.endpoint_services import services_for
from components.naming import Names
from components.settings import SettingsError, parse
from localcloud.paths import CHECKOUT
from tests.unit.conftest import ACCOUNTS

PAGE = CHECKOUT.root / "docs" / "targets.md"
HUB = Names("acme", "governance", "eu-west-1", "111111111111")
FACTORY = "arn:aws:iam::999999999999:role/account-factory"
UNITS = {"preprod": "ou-abcd-12345678", "prod": "ou-abcd-87654321"}
MARK = "<!-- factory-role:"
SPEC = AccountSpec(
    name="shop", email="Shop@example.com", kind="prod", owner="a", cost_centre="b",
    id="v-abcdefghij12",
)  # fmt: skip


# --- the page ------------------------------------------------------------------------------------


def shown() -> str:
    """What the page shows of the role, for an organisation of examples."""
    told = documents(
        FACTORY, HUB.role_arn(VENDING_ROLE), HUB, "o-exampleorg1", list(UNITS.values())
    )
    parts = [
        f"{title}:\n\n```json\n{json.dumps(told[key], indent=2)}\n```\n"
        for key, title in (("trust", "Its trust"), ("policy", "Its policy"))
    ]
    return "\n".join(parts)


def test_the_page_shows_the_role_as_the_code_has_it(request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text("utf-8")
    before, _, after = text.partition(MARK)
    mark, _, rest = after.partition("\n\n")
    _, _, following = rest.partition("## Targets of a project")
    wanted = f"{before}{MARK}{mark}\n\n{shown()}\n## Targets of a project{following}"
    if request.config.getoption("--update-golden", default=False):
        PAGE.write_text(wanted, "utf-8")
    assert PAGE.read_text("utf-8") == wanted, f"{PAGE} differs: review, then --update-golden"


def test_the_role_reaches_no_more_than_vended_accounts_and_the_units() -> None:
    policy = documents(FACTORY, "arn:role", HUB, "o-exampleorg1", UNITS.values())["policy"]
    by_sid = {statement["Sid"]: statement for statement in policy["Statement"]}
    actions = {action for statement in by_sid.values() for action in statement["Action"]}
    assert not [a for a in actions if any(word in a for word in ("Close", "Remove", "Leave", "*"))]
    assert by_sid["MakeAccounts"]["Condition"] == {
        "StringLike": {f"aws:RequestTag/{VENDED_ID}": "v-*"}
    }
    units = by_sid["MoveBetweenTheUnits"]["Resource"]
    assert [arn.rpartition("/")[2] for arn in units] == ["r-*", *UNITS.values()]


# --- the settings --------------------------------------------------------------------------------


def given(stack: str = "governance", region: str = "eu-west-1", **changes: Any) -> dict[str, Any]:
    organization = {
        "accounts": ACCOUNTS, "id": "o-exampleorg1", "units": UNITS,
        "account_factory_role_arn": FACTORY, **changes.pop("organization", {}),
    }  # fmt: skip
    network = {"mode": "create", "nat": "single", **changes.pop("network", {})}
    return {
        "region": region,
        "organization": {key: value for key, value in organization.items() if value is not None},
        "tags": {"owner": "a", "cost_centre": "b"},
        "network": network,
        **changes,
    }


def test_accounts_are_vended_for_the_kinds_with_a_unit_where_there_is_a_role() -> None:
    assert parse("governance", given()).organization.vended_kinds == ("preprod", "prod")
    without = given(organization={"account_factory_role_arn": None})
    assert parse("governance", without).organization.vended_kinds == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"organization": {"units": {}}}, "account_factory_role_arn needs units"),
        ({"organization": {"id": None}}, "account_factory_role_arn needs id"),
        ({"organization": {"account_factory_role_arn": "factory"}}, "a role's ARN"),
        (
            {
                "organization": {
                    "account_factory_role_arn": f"arn:aws:iam::{ACCOUNTS['dev']}:role/a"
                }
            },
            f"is of {ACCOUNTS['dev']}, an account of the platform",
        ),
        ({"network": {"nat": "none"}}, "give the hub a way out by network.nat, or an existing"),
        (
            {"network": {"nat": "none"}, "region": "us-east-1"},
            "name organizations among network.endpoints",
        ),
    ],
)
def test_settings_that_make_no_accounts_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse("governance", given(**changes))
    (problem,) = caught.value.problems
    assert problem.startswith("mlops:organization")
    assert told in problem


def test_what_reaches_organizations_is_taken() -> None:
    endpoints = [*services_for("governance"), "organizations"]
    by_endpoint = given(region="us-east-1", network={"nat": "none", "endpoints": endpoints})
    assert parse("governance", by_endpoint).organization.account_factory_role_arn == FACTORY
    # Of the others no build asks.
    assert parse("dev", given(network={"nat": "none"})).region == "eu-west-1"


def test_without_the_role_nothing_is_asked(tmp_path: Path) -> None:
    hub = parse("governance", given(organization={"account_factory_role_arn": None}))
    for ask in (account_factory.organizations, account_factory.role_documents):
        with pytest.raises(VendingError, match="account_factory_role_arn names no role"):
            ask(hub)


# --- what an interrupted creation left -----------------------------------------------------------


class Organization:
    """A client whose answers botocore checks against its models, in their order."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}  # pragma: allowlist secret
        self.client: Any = boto3.client("organizations", region_name="eu-west-1", **keys)
        self.stub = Stubber(self.client)
        self.stub.activate()
        self.slept: list[float] = []

    def under_way(self, *names: str) -> None:
        statuses = [{"AccountName": name, "State": "IN_PROGRESS"} for name in names]
        self.stub.add_response(
            "list_create_account_status",
            {"CreateAccountStatuses": statuses},
            {"States": ["IN_PROGRESS"]},
        )

    def has(self, **addresses: str) -> None:
        accounts = [{"Id": id_.strip("_"), "Email": email} for id_, email in addresses.items()]
        # Two pages: a found one may be on any.
        self.stub.add_response("list_accounts", {"Accounts": [], "NextToken": "more"}, {})
        self.stub.add_response("list_accounts", {"Accounts": accounts}, {"NextToken": "more"})

    def tagged(self, account: str, **tags: str) -> None:
        listed = [{"Key": key.replace("_", "-"), "Value": value} for key, value in tags.items()]
        self.stub.add_response("list_tags_for_resource", {"Tags": listed}, {"ResourceId": account})

    def found(self) -> str | None:
        found = made_before(self.client, SPEC, self.slept.append)
        self.stub.assert_no_pending_responses()
        return found


@pytest.fixture
def organization() -> Organization:
    return Organization()


def test_one_that_aws_is_still_making_is_waited_for(organization: Organization) -> None:
    organization.under_way("other", "shop")
    organization.under_way("shop")
    organization.under_way("other")
    organization.has(_111111111111="other@example.com", _222222222222="shop@example.com")
    organization.tagged("222222222222", vended_id=SPEC.id)
    assert organization.found() == "222222222222"
    assert len(organization.slept) == 2


def test_one_that_takes_too_long_is_told(organization: Organization) -> None:
    for _ in range(30):
        organization.under_way("shop")
    with pytest.raises(VendingError, match="still making the account shop: give the same command"):
        organization.found()
    assert sum(organization.slept) == 300


@pytest.mark.parametrize("tags", [{}, {"vended_id": "v-zzzzzzzzzzzz"}])
def test_one_that_somebody_else_made_is_not_taken(
    organization: Organization, tags: dict[str, str]
) -> None:
    organization.under_way()
    organization.has(_222222222222="shop@example.com")
    organization.tagged("222222222222", **tags)
    assert organization.found() is None
