"""Settings: what is accepted, what is refused, and that every problem is told with its key."""

from __future__ import annotations

import ipaddress
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from botocore import loaders, regions
from hypothesis import given
from hypothesis import strategies as st

from components import endpoint_services, settings, settings_reference
from components.naming import ENVIRONMENTS, Names, NameTooLongError
from localcloud.awsx import layout

PROJECT = Path(__file__).parents[2]
REQUIRED = endpoint_services.REQUIRED_SERVICES
ACCOUNTS = {env: str(index) * 12 for index, env in enumerate(ENVIRONMENTS, start=1)}


def values(**changes: Any) -> dict[str, Any]:
    return {
        "region": "eu-west-1",
        "organization": {"accounts": ACCOUNTS},
        "tags": {"owner": "team", "cost_centre": "ml"},
        **changes,
    }


def problems(stack: str = "dev", **changes: Any) -> list[str]:
    with pytest.raises(settings.SettingsError) as caught:
        settings.parse(stack, values(**changes))
    return list(caught.value.problems)


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_the_stack_files_of_this_repository_are_valid(stack: str) -> None:
    assert settings.load_stack(PROJECT, stack).environment == stack


def test_the_stack_files_fit_together() -> None:
    settings.check_together([settings.load_stack(PROJECT, stack) for stack in ENVIRONMENTS])


def test_every_setting_is_declared_in_the_schema_and_nothing_else() -> None:
    declared = set(yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"])
    assert declared == set(settings.keys().values())


def test_every_declared_setting_has_a_type_and_a_description() -> None:
    for key, schema in yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"].items():
        assert schema["type"] in {"string", "boolean", "integer", "array", "object"}, key
        assert len(schema["description"]) > 15, key


def trees(annotation: Any) -> Iterator[type[settings.Tree]]:
    """Classes of settings objects that a value may be of."""
    for part in typing.get_args(annotation):
        yield from trees(part)
    if isinstance(annotation, type) and issubclass(annotation, settings.Tree):
        yield annotation


def test_the_schema_names_what_each_object_holds() -> None:
    declared = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"]
    keys = settings.keys()
    looked_at = 0
    for name, field in settings.PlatformSettings.model_fields.items():
        told = set(re.findall(r"\w+", declared[keys[name]]["description"]))
        for tree in trees(field.annotation):
            assert set(tree.model_fields) <= told, (keys[name], set(tree.model_fields) - told)
            looked_at += 1
    assert looked_at > 10


NATS = ("none", "single", "per_zone")


@given(prefix=st.integers(16, 22), zones=st.integers(2, 6), nat=st.sampled_from(NATS))
def test_a_created_network_has_the_addresses_that_awsx_gives_it(
    prefix: int, zones: int, nat: str
) -> None:
    network = settings.CreatedNetwork(
        cidr=f"10.0.0.0/{prefix}", zones=zones, nat=settings.NatStrategy(nat)
    )
    isolated = layout.SubnetSpec("Isolated")
    nated = [layout.SubnetSpec("Private"), layout.SubnetSpec("Public", mask=27)]
    placed = layout.layout(
        "vpc", network.cidr, zones, [isolated] if nat == "none" else [isolated, *nated]
    )
    used = {s.cidr for s in placed if s.spec.type == ("Isolated" if nat == "none" else "Private")}
    assert len(used) == zones
    for cidr in used:
        assert ipaddress.IPv4Network(cidr).num_addresses - 5 == network.addresses


def test_services_of_a_shared_account_are_set_where_they_are_made() -> None:
    one = values(organization={"accounts": dict.fromkeys(ACCOUNTS, "1" * 12)})
    on = {**one, "security_services": {"guardduty": True}}
    stacks = [
        settings.parse(name, {**one, "network": block(i)})
        for i, name in enumerate(("dev", "preprod"))
    ]
    settings.check_together(stacks)
    guest = settings.parse("preprod", {**on, "network": block(1)})
    with pytest.raises(settings.SettingsError, match="preprod asks for guardduty, and shares"):
        settings.check_together([stacks[0], guest])
    owner = settings.parse("dev", {**on, "network": block(0)})
    settings.check_together([owner, guest])
    settings.check_together([owner, stacks[1]])


def test_a_cost_centre_has_a_budget_in_each_account_that_keeps_some() -> None:
    def stacks(accounts: dict[str, str], **budgets: dict[str, int]) -> list[Any]:
        given = values(organization={"accounts": accounts})
        return [
            settings.parse(
                name,
                {
                    **given,
                    "network": block(index),
                    "budget": {"monthly_usd": budgets.get(name, {})},
                },
            )
            for index, name in enumerate(("dev", "preprod"))
        ]

    kept = stacks(ACCOUNTS, dev={"ml": 1, "growth": 1}, preprod={"ml": 1})
    settings.check_together(kept)
    assert settings.unbudgeted(kept, "growth") == ("preprod",)
    assert settings.unbudgeted(stacks(ACCOUNTS, dev={"ml": 1}), "growth") == ("dev",), (
        "preprod keeps no budgets"
    )
    one = dict.fromkeys(ACCOUNTS, "1" * 12)
    assert not settings.unbudgeted(stacks(one, dev={"ml": 1}, preprod={"growth": 1}), "growth")
    with pytest.raises(settings.SettingsError, match=r"mlops:budget\.monthly_usd: dev has no"):
        settings.check_together(stacks(ACCOUNTS, dev={"m1": 1}, preprod={"ml": 1}))


def block(number: int) -> dict[str, Any]:
    return {"mode": "create", "cidr": f"10.{number}.0.0/16"}


def test_all_problems_come_at_once_each_with_its_key() -> None:
    found = problems(
        region="Ireland",
        organization={"accounts": {**ACCOUNTS, "dev": "123"}},
        tags={"owner": "team"},
        network={"mode": "create", "cidr": "10.0.0.0/28", "zones": 1},
        studio={"idle_timeout_minutes": 5},
        nonsense={"a": 1},
    )
    starts = (
        "mlops:region: ",
        "mlops:organization.accounts.dev: ",
        "mlops:tags.cost_centre: ",
        "mlops:network.cidr: ",
        "mlops:network.zones: ",
        "mlops:studio.idle_timeout_minutes: ",
        "mlops:nonsense: ",
    )
    assert len(found) == len(starts)
    for start in starts:
        assert any(problem.startswith(start) for problem in found), (start, found)


def test_what_does_not_fit_together_comes_with_what_is_wrong_alone() -> None:
    found = problems(
        "prod",
        tags={"owner": "team", "cost_centre": ""},
        registry={"sharing": "ram"},
        environments=["governance"],
        studio={"default_instance_type": "ml.p4d.24xlarge", "idle_timeout_minutes": 5},
        protect="yes",
        nonsense=1,
    )
    assert {problem.partition(": ")[0] for problem in found} == {
        "mlops:tags.cost_centre",
        "mlops:registry.sharing",
        "mlops:environments",
        "mlops:studio",
        "mlops:studio.idle_timeout_minutes",
        "mlops:protect",
        "mlops:nonsense",
    }


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"prefix": "-x"}, "mlops:prefix", "letter first"),
        ({"prefix": "x" * 17}, "mlops:prefix", "2 to 16"),
        ({"organization": {"accounts": {"dev": "1" * 12}}}, "mlops:organization", "lacks"),
        ({"organization": {"accounts": ACCOUNTS, "id": "org"}}, "mlops:organization.id", "o-"),
        (
            {"tags": {"owner": "a", "cost_centre": "b", "extra": {"aws:x": "y"}}},
            "mlops:tags",
            "aws:x",
        ),
        ({"network": {"mode": "create", "cidr": "8.8.0.0/16"}}, "mlops:network.cidr", "private"),
        ({"network": {"mode": "create", "nat": "two"}}, "mlops:network.nat", "per_zone"),
        ({"network": {"mode": "other"}}, "mlops:network", "create"),
        (
            {"network": {"mode": "create", "endpoints": [*REQUIRED, "sagemaker.apis"]}},
            "mlops:network.endpoints",
            "did you mean sagemaker.api?",
        ),
        (
            {"network": {"mode": "create", "endpoints": [*REQUIRED, "s3"]}},
            "mlops:network.endpoints",
            "gateway",
        ),
        (
            {"network": {"mode": "create", "endpoints": [*REQUIRED, "kms"]}},
            "mlops:network.endpoints",
            "kms: each service is named once",
        ),
        (
            {"network": {"mode": "create", "endpoints": [s for s in REQUIRED if s != "kms"]}},
            "mlops:network.endpoints",
            "lacks kms",
        ),
        ({"studio": {"auth_mode": "LDAP"}}, "mlops:studio.auth_mode", "SSO"),
        (
            {"studio": {"default_instance_type": "ml.p4d.24xlarge"}},
            "mlops:studio",
            "instance_types",
        ),
        (
            {"studio": {"users": {"data_scientists": ["a"], "lead_data_scientists": ["a"]}}},
            "mlops:studio.users",
            "one profile",
        ),
        ({"data_access": {"athena": False}}, "mlops:dataAccess", "athena"),
        ({"retention": {"logs_days": 100}}, "mlops:retention.logs_days", "120"),
        ({"retention": {"key_deletion_days": 3}}, "mlops:retention.key_deletion_days", "7"),
        ({"security_services": {"security_hub": True}}, "mlops:securityServices", "config"),
        ({"budget": {"monthly_usd": {"ml": 0}}}, "mlops:budget.monthly_usd.ml", "greater"),
        ({"budget": {"monthly_usd": {"ml:a": 1}}}, "mlops:budget.monthly_usd.ml:a", "64"),
        ({"personas": {"ml_engineer": ["*"]}}, "mlops:personas.ml_engineer", "one account"),
        (
            {"personas": {"ml_engineer": [f"arn:aws:iam::{'1' * 12}:role/{'x' * 90}"] * 5}},
            "mlops:personas.ml_engineer",
            "use fewer ones",
        ),
        ({"projects": {"clone_url": "https://x/"}}, "mlops:projects.clone_url", "{repository}"),
        ({"projects": {"variables": {"a": "b"}}}, "mlops:projects.variables", "capitals"),
        ({"self_service": {"shares": ["dev"]}}, "mlops:selfService.shares", "ou-"),
        (
            {"self_service": {"launchers": {"ml_administration": ["arn:aws:iam::1:role/a"]}}},
            "mlops:selfService.launchers.ml_administration",
            "role's name",
        ),
        ({"self_service": {"tag_options": {"a": []}}}, "mlops:selfService.tag_options.a", "1"),
        ({"self_service": {"git_token_secret": "token"}}, "mlops:selfService.git", "ARN"),
        (
            {"self_service": {"catalogue": "s3", "tag_options": {"a": ["b"]}}},
            "mlops:selfService",
            "tag_options: portfolios have these",
        ),
        ({"region": "eu-wset-1"}, "mlops:region", "did you mean eu-west-1?"),
        ({"region": "cn-north-1"}, "mlops:region", "has SageMaker"),
        ({"environments": ["dev", "governance"]}, "mlops:environments", "without governance"),
        ({"registry": {"sharing": "ram"}}, "mlops:registry.sharing", "needs organization.id"),
        (
            {"network": {"mode": "create", "cidr": "10.0.0.0/22", "zones": 5, "nat": "single"}},
            "mlops:network.cidr",
            "in 5 zones with NAT leaves 27 addresses in a private subnet",
        ),
        ({"environment": "qa"}, "mlops:environment", "preprod"),
        ({"protect": "yes"}, "mlops:protect", "boolean"),
    ],
)
def test_a_wrong_value_names_its_key_and_what_is_allowed(
    changes: dict[str, Any], key: str, text: str
) -> None:
    [problem] = problems(**changes)
    assert problem.startswith(key)
    assert text in problem


def test_the_program_refuses_a_misspelt_key_as_the_automation_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    handed = {
        "mlops:region": "eu-west-1",
        "mlops:organization": json.dumps({"accounts": ACCOUNTS}),
        "mlops:tags": json.dumps({"owner": "team", "cost_centre": "ml"}),
        "mlops:studoi": "{}",
        "mlops:nonsense": "1",
        "aws:region": "eu-west-1",
    }
    # As the engine hands the configuration to a program's process.
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(handed))
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(pulumi.Config(settings.PROJECT), "dev")
    (tmp_path / "Pulumi.yaml").write_text("name: mlops\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": handed}))
    with pytest.raises(settings.SettingsError) as from_files:
        settings.load_stack(tmp_path, "dev")
    assert caught.value.problems == from_files.value.problems
    nonsense, studoi = caught.value.problems
    assert nonsense.startswith("mlops:nonsense: is not a known setting; see")
    assert studoi == "mlops:studoi: is not a known setting, did you mean mlops:studio?"
    del handed["mlops:studoi"], handed["mlops:nonsense"]
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(handed))
    assert settings.load(pulumi.Config(settings.PROJECT), "dev").tags.owner == "team"


def test_a_profile_that_is_not_there_is_nothing_to_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-somebody-else")
    settings._regions.cache_clear()
    assert settings.parse("dev", values()).region == "eu-west-1"


def test_the_regions_are_those_that_botocore_has_for_sagemaker() -> None:
    resolver: Any = regions.EndpointResolver(loaders.create_loader().load_data("endpoints"))
    known = [
        region
        for partition in ("aws", "aws-us-gov")
        for region in resolver.get_available_endpoints("api.sagemaker", partition)
    ]
    assert list(settings._regions()) == known


def test_prod_must_be_protected() -> None:
    assert "mlops:protect: must be true for prod" in problems("prod")[0]
    assert settings.parse("prod", values(protect=True)).protect


EXISTING = {
    "mode": "existing",
    "vpc_id": "vpc-0123456789abcdef0",
    "private_subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    "security_group_ids": ["sg-0123456789abcdef0"],
    "endpoint_ids": {"s3": "vpce-0123456789abcdef0", "kms": "vpce-0123456789abcdef1"},
}


def test_an_existing_network_is_accepted() -> None:
    network = settings.parse("dev", values(network=EXISTING)).network
    assert isinstance(network, settings.ExistingNetwork)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"vpc_id": None}, "vpc_id"),
        ({"private_subnet_ids": EXISTING["private_subnet_ids"][:1]}, "at least 2"),
        ({"private_subnet_ids": [EXISTING["private_subnet_ids"][0]] * 2}, "twice"),
        ({"endpoint_ids": {}}, "create_endpoints"),
        ({"endpoint_ids": {}, "create_endpoints": True}, "route_table_ids"),
        (
            {"endpoint_ids": {**EXISTING["endpoint_ids"], "kns": "vpce-0123456789abcdef2"}},
            "kns is not",
        ),
        ({"endpoints": ["sts", "bogus"]}, "bogus is not an endpoint service"),
        (
            {
                "endpoint_ids": {},
                "create_endpoints": True,
                "route_table_ids": ["rtb-0123456789abcdef0"],
                "endpoints": ["sts"],
            },
            "endpoints lacks kms",
        ),
    ],
)
def test_an_existing_network_needs_its_ids(change: dict[str, Any], text: str) -> None:
    found = problems(network={k: v for k, v in (EXISTING | change).items() if v is not None})
    assert any(text in problem for problem in found), found


def test_networks_of_two_stacks_must_not_overlap() -> None:
    dev, preprod = (
        settings.parse(env, values(network={"mode": "create", "cidr": cidr}))
        for env, cidr in (("dev", "10.20.0.0/16"), ("preprod", "10.20.128.0/20"))
    )
    with pytest.raises(settings.SettingsError, match="overlap"):
        settings.check_together([dev, preprod])


def test_sharing_by_ram_needs_an_organisation() -> None:
    (problem,) = problems("governance", registry={"sharing": "ram"})
    assert problem.startswith("mlops:registry.sharing: ram needs organization.id")
    organization = {"accounts": ACCOUNTS, "id": "o-abcdefghij"}
    given = values(registry={"sharing": "ram"}, organization=organization)
    assert settings.parse("governance", given).registry.sharing == "ram"


def test_stacks_of_one_platform_live_in_one_region() -> None:
    dev, hub = (
        settings.parse(
            env,
            values(region=region, network={"mode": "create", "cidr": cidr}),
        )
        for env, region, cidr in (
            ("dev", "eu-west-1", "10.20.0.0/16"),
            ("governance", "us-east-1", "10.21.0.0/16"),
        )
    )
    with pytest.raises(settings.SettingsError) as caught:
        settings.check_together([dev, hub])
    (problem,) = caught.value.problems
    assert problem.startswith("mlops:region: dev (eu-west-1) and governance (us-east-1) differ")
    settings.check_together([dev, dev.model_copy(update={"network": hub.network})])


def test_a_stack_alone_has_to_fit_the_files_of_the_others(tmp_path: Path) -> None:
    for path in PROJECT.glob("Pulumi*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    dev = tmp_path / "Pulumi.dev.yaml"
    dev.write_text(dev.read_text().replace("config:\n", "config:\n  mlops:region: us-east-1\n", 1))
    moved = settings.load_stack(tmp_path, "dev")
    for alone in (moved, settings.load_stack(tmp_path, "prod")):
        with pytest.raises(settings.SettingsError) as caught:
            settings.check_platform(tmp_path, [alone])
        assert len(caught.value.problems) == 3
        for problem in caught.value.problems:
            assert problem.startswith("mlops:region: dev (us-east-1) and ")
    # A file that is wrong in itself is told of where its stack is used.
    dev.write_text("config:\n  mlops:region: nowhere\n")
    settings.check_platform(tmp_path, [settings.load_stack(tmp_path, "prod")])


@given(
    owner=st.sampled_from(ENVIRONMENTS),
    sharing=st.lists(st.sampled_from(ENVIRONMENTS), unique=True, min_size=1),
)
def test_each_account_has_exactly_one_owner(owner: str, sharing: list[str]) -> None:
    accounts = {env: ACCOUNTS[owner] if env in sharing else ACCOUNTS[env] for env in ENVIRONMENTS}
    stacks = [
        settings.parse(env, values(organization={"accounts": accounts}, protect=True))
        for env in ENVIRONMENTS
    ]
    owners = [stack.account_id for stack in stacks if stack.owns_account]
    assert sorted(owners) == sorted(set(accounts.values()))


@given(
    prefix=st.from_regex(r"\A[a-z][a-z0-9-]{1,15}\Z"),
    environment=st.sampled_from(ENVIRONMENTS),
    region=st.sampled_from(["eu-west-1", "ap-southeast-2", "us-gov-west-1"]),
)
def test_a_valid_prefix_never_makes_an_invalid_name(
    prefix: str, environment: str, region: str
) -> None:
    try:
        stack = settings.parse(environment, values(prefix=prefix, region=region, protect=True))
    except settings.SettingsError as error:
        stack = None
        told = str(error)
    if stack is None:
        assert "characters, AWS allows" in told
        return
    assert len(stack.names.bucket("access-logs")) <= 63
    assert len(stack.names.role("lead-data-scientist-execution")) <= 64


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_cidr_is_accepted_exactly_when_it_is_private_and_of_usable_size(
    address: int, length: int
) -> None:
    block = ipaddress.IPv4Network((address, length), strict=False)
    usable = block.is_private and 16 <= length <= 22
    try:
        settings.parse("dev", values(network={"mode": "create", "cidr": str(block)}))
        accepted = True
    except settings.SettingsError:
        accepted = False
    assert accepted == usable


def test_a_name_over_the_limit_is_an_error_that_names_the_setting() -> None:
    names = Names("p" * 30, "governance", "ap-southeast-2", "1" * 12)
    with pytest.raises(NameTooLongError, match="mlops:prefix"):
        names.bucket("x" * 20)


def test_the_settings_reference_is_up_to_date_and_complete() -> None:
    text = settings_reference.reference()
    assert settings_reference.PATH.read_text() == text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `mlops:")]
    assert len(rows) > 40
    for row in rows:
        assert len(row[-1]) > 5, f"{row[0]} has no meaning"
