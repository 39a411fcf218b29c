"""The estimate of what stacks cost: tables, events of the engine, sums, and how it is shown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pulumi.automation import EngineEvent, ResourcePreEvent, ResOutputsEvent, StepEventMetadata

from automation import costs, summary
from automation.costs import BY_USE, FREE, PRICED, Estimate, Ledger
from automation.runs import StackRun, Verb, _Recorder
from localcloud.provider.table import load

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
ENDPOINT, SUBNET = "aws:ec2/vpcEndpoint:VpcEndpoint", "aws:ec2/subnet:Subnet"
KEY, NAT, EIP = "aws:kms/key:Key", "aws:ec2/natGateway:NatGateway", "aws:ec2/eip:Eip"
PARAMETER, ALARM = "aws:ssm/parameter:Parameter", "aws:cloudwatch/metricAlarm:MetricAlarm"
BUCKET, ROLE = "aws:s3/bucket:Bucket", "aws:iam/role:Role"
PROVIDER = "pulumi:providers:aws"
STEPS: dict[str, list[tuple[str, bool, bool]]] = {
    "create": [("create", False, True)],
    "same": [("same", True, True)],
    "update": [("update", True, True)],
    "delete": [("delete", True, False)],
    "replace": [
        ("create-replacement", True, True),
        ("replace", True, True),
        ("delete-replaced", True, False),
    ],
    "replace, deleted first": [
        ("delete-replaced", True, False),
        ("replace", True, True),
        ("create-replacement", False, True),
    ],
    "left by an interrupted replacement": [("delete-replaced", True, False)],
}
"""What happens to a resource -> the engine's steps: operation, whether with old and new state."""


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:dev::mlops::{type_}::{name}"


def step(
    operation: str,
    type_: str,
    name: str,
    *,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    provider: str | None = None,
) -> StepEventMetadata:
    """A step as the engine tells it: what is new has no id, what was has one."""
    own = type_.startswith(("pulumi:providers:", "mlops:"))
    reference = "" if own else provider or f"{urn(PROVIDER, 'aws-dev')}::aws-dev-id"
    common = {"type": type_, "urn": urn(type_, name), "provider": reference}
    return StepEventMetadata.from_json(
        {
            **common,
            "op": operation,
            "old": None if old is None else {**common, "id": f"{name}-id", "inputs": old},
            "new": None if new is None else {**common, "id": "", "inputs": new},
        }
    )


def ledger(*steps: StepEventMetadata, region: str = "eu-west-1") -> Ledger:
    made = Ledger()
    made.record(step("same", PROVIDER, "aws-dev", old={"region": region}, new={"region": region}))
    for one in steps:
        made.record(one)
    return made


def created(type_: str, name: str = "x", **inputs: Any) -> StepEventMetadata:
    return step("create", type_, name, new=inputs)


def subnets(tier: str, count: int) -> list[StepEventMetadata]:
    return [created(SUBNET, f"{tier}-{n}", tags={"SubnetType": tier}) for n in range(count)]


def endpoint(subnet_ids: Any, name: str = "x") -> StepEventMetadata:
    return created(ENDPOINT, name, vpcEndpointType="Interface", subnetIds=subnet_ids)


def monthly(of: Estimate) -> Decimal:
    return costs.prices().total(of)


# The tables


@pytest.mark.parametrize("type_", sorted(load()))
def test_every_type_of_the_stacks_is_in_exactly_one_table(type_: str) -> None:
    tables = [
        name
        for name, table in (("priced", PRICED), ("by use", BY_USE), ("free", FREE))
        if type_ in table
    ]
    assert len(tables) == 1, f"{type_} is in {tables or 'no table'} of automation/costs.py"


def test_every_region_has_every_price() -> None:
    listed = costs.prices()
    assert {"us-east-1", "eu-west-1"} <= listed.monthly.keys()
    for region, units in listed.monthly.items():
        assert units.keys() == listed.counted.keys()
        assert all(price > 0 for price in units.values()), region


def test_a_region_without_a_price_is_told(tmp_path: Path) -> None:
    content = yaml.safe_load(costs.PRICE_FILE.read_text())
    del content["regions"]["eu-west-1"]["secret"]
    (path := tmp_path / "prices.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"prices.yaml, eu-west-1: missing or unknown: secret"):
        costs.prices(path)


@pytest.mark.parametrize(
    ("type_", "inputs", "usd", "exact"),
    [
        (KEY, {}, "1", True),
        ("aws:secretsmanager/secret:Secret", {}, "0.4", True),
        (EIP, {}, "3.65", True),
        (NAT, {}, "35.04", True),
        (NAT, {"availabilityMode": "regional"}, "35.04", False),
        (ENDPOINT, {}, "0", True),
        (ENDPOINT, {"vpcEndpointType": "Gateway", "routeTableIds": ["a"]}, "0", True),
        (ENDPOINT, {"vpcEndpointType": "Interface", "subnetIds": ["a", "b"]}, "16.06", True),
        (ENDPOINT, {"vpcEndpointType": "Interface", "subnetIds": [UNKNOWN] * 3}, "24.09", True),
        (ENDPOINT, {"vpcEndpointType": "Interface", "subnetIds": UNKNOWN}, "8.03", False),
        (ENDPOINT, {"vpcEndpointType": "Interface", "subnetIds": SECRET}, "8.03", False),
        (ENDPOINT, {"vpcEndpointType": UNKNOWN}, "0", False),
        (PARAMETER, {}, "0", True),
        (PARAMETER, {"tier": "Advanced"}, "0.05", True),
        (PARAMETER, {"tier": "Intelligent-Tiering"}, "0", False),
        (ALARM, {"period": 300}, "0.1", True),
        (ALARM, {"period": 10}, "0.3", True),
        (ALARM, {"metricQueries": UNKNOWN}, "0.1", False),
        (
            ALARM,
            {"metricQueries": [{"metric": {}}, {"metric": {}}, {"expression": "a/b"}]},
            "0.2",
            True,
        ),
        (BUCKET, {}, "0", True),
        (ROLE, {}, "0", True),
    ],
)
def test_a_resource_in_ireland(type_: str, inputs: dict[str, Any], usd: str, exact: bool) -> None:
    (held,) = ledger(created(type_, **inputs)).after
    found = costs.estimate([held])
    assert (monthly(found), found.exact) == (Decimal(usd), exact)


# Events of the engine


@pytest.mark.parametrize(
    ("happens", "before", "after"),
    [
        ("create", 0, 1),
        ("same", 1, 1),
        ("update", 1, 1),
        ("delete", 1, 0),
        ("replace", 1, 1),
        ("replace, deleted first", 1, 1),
        ("left by an interrupted replacement", 1, 0),
    ],
)
def test_each_operation_counts_on_the_sides_where_the_resource_is(
    happens: str, before: int, after: int
) -> None:
    steps = [
        step(operation, KEY, "k", old={} if old else None, new={} if new else None)
        for operation, old, new in STEPS[happens]
    ]
    for order in itertools.permutations(steps):
        held = ledger(*order)
        assert (len(held.before), len(held.after)) == (before, after)


def test_what_is_read_or_made_of_other_resources_is_not_counted() -> None:
    held = ledger(
        step("read", KEY, "shared", new={}),
        step("remove-pending-replace", KEY, "gone", old={}),
        step("create", "mlops:index:Network", "network", new={}),
    )
    assert (held.before, held.after) == ([], [])


def test_an_update_costs_the_difference_of_its_inputs() -> None:
    wider = step(
        "update", ENDPOINT, "kms",
        old={"vpcEndpointType": "Interface", "subnetIds": ["a", "b"]},
        new={"vpcEndpointType": "Interface", "subnetIds": ["a", "b", UNKNOWN]},
    )  # fmt: skip
    before, after = costs.compare(ledger(wider))
    assert monthly(after) - monthly(before) == Decimal("8.03")


@pytest.mark.parametrize(
    ("made", "zones", "exact"),
    [
        ([], 1, False),
        (subnets("Isolated", 3), 3, True),
        # With a NAT gateway there are both, and the endpoints are in the private tier.
        (subnets("Isolated", 2) + subnets("Private", 2) + subnets("Public", 2), 2, True),
        (subnets("Public", 2), 1, False),
        ([created(SUBNET, tags=UNKNOWN)], 1, False),
        ([created(SUBNET, tags={"SubnetType": SECRET})], 1, False),
    ],
)
def test_unknown_subnets_are_those_that_the_run_makes(
    made: list[StepEventMetadata], zones: int, exact: bool
) -> None:
    _, after = costs.compare(ledger(endpoint(UNKNOWN), *made))
    assert after.counts == {("interface_endpoint", "eu-west-1"): zones}
    assert after.exact == exact


def test_subnets_that_go_are_not_counted_for_what_comes() -> None:
    gone = step("delete", SUBNET, "isolated-9", old={"tags": {"SubnetType": "Isolated"}})
    _, after = costs.compare(ledger(endpoint(UNKNOWN), gone, *subnets("Isolated", 2)))
    assert after.counts == {("interface_endpoint", "eu-west-1"): 2}


def test_a_resource_is_in_its_own_region_or_in_its_providers() -> None:
    other = urn(PROVIDER, "aws-other")
    was, will = {"region": "sa-east-1"}, {"region": "us-east-1"}
    held = Ledger()
    for one in (
        # Resources first: the order of events must not matter.
        step("same", KEY, "a", old={}, new={}, provider=f"{other}::aws-other-id"),
        step("create", KEY, "b", new={"region": "eu-west-1"}, provider=f"{other}::{UNKNOWN}"),
        step(
            "create",
            KEY,
            "c",
            new={"region": UNKNOWN},
            provider=f"{urn(PROVIDER, 'aws-none')}::{UNKNOWN}",
        ),
        step("update", PROVIDER, "aws-other", old=was, new=will),
    ):
        held.record(one)
    assert [one.region for one in held.before] == ["sa-east-1"]
    assert [one.region for one in held.after] == ["us-east-1", "eu-west-1", ""]


def test_only_inputs_that_a_price_needs_are_kept() -> None:
    held = ledger(
        created(PARAMETER, value="do not keep", tier="Advanced"),
        created(ROLE, assumeRolePolicy="do not keep"),
        created(SUBNET, tags={"SubnetType": "Private", "note": "do not keep"}),
    )
    assert "do not keep" not in repr(held.after)


# Properties

odd_values = st.text("ab:1", max_size=3) | st.sampled_from(
    [
        None, True, 0, 10, UNKNOWN, SECRET, [], [None], [[]], [UNKNOWN], {},
        [{"metric": UNKNOWN}], [{"metric": {"period": []}}, {}], {"SubnetType": SECRET},
    ]
)  # fmt: skip
types = st.sampled_from([*PRICED, *BY_USE, SUBNET, ROLE, "aws:rds/instance:Instance"])
needed = sorted({key for row in PRICED.values() for key in row.needs} | {"region", "tags"})
likely = st.fixed_dictionaries(
    {},
    optional={
        "vpcEndpointType": st.sampled_from(["Gateway", "Interface", UNKNOWN]),
        "subnetIds": st.just(UNKNOWN) | st.lists(st.text("ab:1", max_size=3), max_size=4),
        "tier": st.sampled_from(["Standard", "Advanced", UNKNOWN]),
        "tags": st.fixed_dictionaries({"SubnetType": st.sampled_from(["Private", "Isolated"])}),
        "region": st.sampled_from(["eu-west-1", "us-east-1", "ap-south-1"]),
        "metricQueries": st.lists(st.just({"metric": {"period": 10}}), max_size=3),
    },
)
anything = st.dictionaries(st.sampled_from(needed), odd_values, max_size=4) | likely
happenings = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), types, anything, anything), max_size=8
)


def happened(given_: Iterable[tuple[str, str, dict[str, Any], dict[str, Any]]]) -> list[Any]:
    """The engine's steps, one list a resource."""
    return [
        [
            step(operation, type_, f"r{n}", old=was if old else None, new=will if new else None)
            for operation, old, new in STEPS[happens]
        ]
        for n, (happens, type_, was, will) in enumerate(given_)
    ]


@given(happenings)
def test_nothing_that_is_unknown_or_odd_stops_the_estimate(given_: Any) -> None:
    held = ledger(*itertools.chain(*happened(given_)))
    assert costs.text("dev", held).startswith("dev: ")
    assert costs.markdown({"dev": held})
    for estimated in costs.compare(held):
        assert monthly(estimated) >= 0


@given(happenings, st.integers(0, 5) | st.none(), st.integers(0, 12))
def test_estimates_add_up(given_: Any, zones: int | None, cut: int) -> None:
    for held in (made := ledger(*itertools.chain(*happened(given_)))).before, made.after:
        first, second = (costs.estimate(part, zones) for part in (held[:cut], held[cut:]))
        whole = costs.estimate(held, zones)
        assert whole == first + second == second + first
        assert monthly(whole) == monthly(first) + monthly(second)
        assert monthly(whole) == sum(monthly(costs.estimate([one], zones)) for one in held)


@given(happenings, st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(given_: Any, random: Any) -> None:
    steps = list(itertools.chain(*happened(given_)))
    in_order = costs.compare(ledger(*steps))
    random.shuffle(steps)
    assert costs.compare(ledger(*steps)) == in_order


@given(happenings)
def test_now_and_the_difference_of_each_resource_make_what_it_will_be(given_: Any) -> None:
    resources = happened(given_)
    before, after = costs.compare(ledger(*itertools.chain(*resources)))
    # Only its own subnets tell a lone resource how many it is in, so all resources are told here.
    everything = ledger(*itertools.chain(*resources)).after
    tiers = [held.inputs.get("tier") for held in everything if held.type == SUBNET]
    zones = tiers.count("Private") or tiers.count("Isolated") or None
    differences = Decimal(0)
    for steps in resources:
        alone = ledger(*steps)
        differences += monthly(costs.estimate(alone.after, zones))
        differences -= monthly(costs.estimate(alone.before))
    assert monthly(before) + differences == monthly(after)


@given(st.lists(st.sampled_from([KEY, NAT, EIP, ENDPOINT]), max_size=8), st.integers(1, 4))
def test_an_unchanged_stack_costs_what_it_did(kinds: list[str], zones: int) -> None:
    inputs = {"vpcEndpointType": "Interface", "subnetIds": ["s"] * zones}
    before, after = costs.compare(
        ledger(*(step("same", k, f"r{n}", old=inputs, new=inputs) for n, k in enumerate(kinds)))
    )
    assert before == after


# What is shown


def test_the_line_of_a_stack() -> None:
    held = ledger(
        *(endpoint(UNKNOWN, f"e{n}") for n in range(30)),
        *subnets("Isolated", 2),
        *(step("same", KEY, f"k{n}", old={}, new={}) for n in range(5)),
        created("aws:guardduty/detector:Detector"),
        created(BUCKET),
        step("delete", "aws:athena/workgroup:Workgroup", "gone", old={}),
    )
    assert costs.text("dev", held) == (
        "dev: about 487 USD a month fixed (+482), list prices of eu-west-1 as of "
        f"{costs.prices().as_of}; by use: GuardDuty, S3"
    )
    (row,) = [line for line in costs.markdown({"dev": held}) if line.startswith("| dev")]
    assert row == (
        "| dev | 5.00 | 486.80 | +481.80 | endpoint zones: 60 at 8.03, customer keys: 5 at 1.00 | "
        "GuardDuty, S3 |"
    )


def test_what_is_not_known_is_said() -> None:
    held = ledger(endpoint(UNKNOWN), created("aws:rds/instance:Instance"), region="ap-south-1")
    for shown in (costs.text("dev", held), "\n".join(costs.markdown({"dev": held}))):
        assert "at least 7.30" in shown
        assert "of us-east-1 (none here of ap-south-1)" in shown
        assert "no price known" in shown
        assert "aws:rds/instance:Instance" in shown


def test_a_stack_that_costs_nothing() -> None:
    line = costs.text("dev", ledger(step("delete", ROLE, "r", old={})))
    assert line == f"dev: about 0 USD a month fixed (+0), list prices as of {costs.prices().as_of}"


@pytest.mark.parametrize(
    ("verb", "errors", "shown"),
    [
        ("preview", [], True),
        ("up", [], True),
        ("preview", ["broken"], False),
        ("drift", [], False),
        ("refresh", [], False),
        ("destroy", [], False),
    ],
)
def test_only_complete_previews_and_updates_tell_the_cost(
    verb: Verb, errors: list[str], shown: bool
) -> None:
    run = StackRun("dev", verb, errors=errors)
    record = _Recorder(run, lambda run, what: None)
    record(EngineEvent(1, 1, resource_pre_event=ResourcePreEvent(created(KEY))))
    assert ("USD a month fixed" in summary.text([run])) == shown
    assert ("### Fixed cost" in summary.markdown([run])) == shown


@pytest.mark.parametrize("found", ["same", "update"])
def test_a_resource_that_is_read_and_then_found_is_counted_once(found: str) -> None:
    run = StackRun("dev", "drift")
    record = _Recorder(run, lambda run, what: None)
    record(
        EngineEvent(1, 1, resource_pre_event=ResourcePreEvent(step("refresh", KEY, "k", old={})))
    )
    told = step(found, KEY, "k", old={}, new={})
    record(EngineEvent(2, 1, res_outputs_event=ResOutputsEvent(told)))
    assert run.resources == 1
