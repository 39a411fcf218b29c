"""The pack and the AWS provider's SDK agree on types, properties, keys and tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sdk
from harness import resource_args, resources_of
from mlops_policy import network
from mlops_policy.documents import IDENTITY_POLICIES, RESOURCE_POLICIES
from mlops_policy.identity import ATTACHMENTS
from mlops_policy.keys import KEY_INPUTS, NOT_NEEDED, inputs_of
from mlops_policy.machine_learning import INSTANCE_TYPES
from mlops_policy.model import Example, ResourceRule, StackRule
from mlops_policy.pack import policy
from mlops_policy.registry import RULES
from mlops_policy.taggable import TAGGABLE
from pulumi_policy import ResourceValidationPolicy
from pulumi_policy.policy import _NotApplicableError

from localcloud.provider import table

ROOT = Path(__file__).parents[2]
TYPES_IN_USE = frozenset(type_ for type_ in table.load() if type_.startswith("aws:"))
"""Types that the local cloud serves: all that the programs of platform, projects and deployments
register, for each comes up there. The platform's sources are searched for more."""

NOT_AN_INPUT = {"tagsAll", "id"}
"""Properties that rules read beside the inputs: what the provider adds."""

LOOKS_LIKE_A_KEY = re.compile(
    r"(kms|masterKey|encryptionKey).*$|^keyArn$|^keyId$|encryptionKey\.id$", re.IGNORECASE
)


def types_of_rules() -> set[str]:
    found: set[str] = set()
    for rule in RULES:
        found |= set(rule.types if isinstance(rule, ResourceRule) else rule.subjects)
    return {type_ for type_ in found if type_.startswith("aws:")}


def types_in_sources() -> set[str]:
    """Types that the program's components construct, by ``aws.<module>.<Class>(``."""
    found: set[str] = set()
    for path in ROOT.glob("components/**/*.py"):
        for module, name in re.findall(r"\baws\.(\w+)\.([A-Z]\w+)\(", path.read_text()):
            if not name.endswith("Args"):
                # By its name: the SDK's modules take seconds, and all workers collect tests.
                found.add(f"aws:{module.rstrip('_')}/{name[0].lower()}{name[1:]}:{name}")
    return found


ALL_TYPES = sorted(types_of_rules() | TYPES_IN_USE | types_in_sources())


@pytest.mark.parametrize("type_", ALL_TYPES)
def test_every_type_is_known_to_the_sdk(type_: str) -> None:
    assert sdk.args_type(type_)


@pytest.mark.parametrize("type_", ALL_TYPES)
def test_every_key_that_a_type_takes_is_asked_for_or_excused(type_: str) -> None:
    asked = {entry.path for entry in inputs_of(type_)}
    excused = set(NOT_NEEDED.get(type_, {}))
    taken = {
        path
        for path in sdk.walk(type_)
        if LOOKS_LIKE_A_KEY.search(path.rsplit(".", 1)[-1]) and not sdk.is_block(type_, path)
    }

    assert taken - asked - excused == set(), (
        f"{type_}: add these inputs to KEY_INPUTS, or with a reason to NOT_NEEDED, "
        "in policy/mlops_policy/keys.py"
    )


@pytest.mark.parametrize(
    ("type_", "path"),
    [(type_, entry.path) for group in KEY_INPUTS.values() for type_ in group
     for entry in inputs_of(type_)]
    + [(type_, path) for type_, paths in NOT_NEEDED.items() for path in paths]
    + [(t, p) for table in (IDENTITY_POLICIES, RESOURCE_POLICIES, ATTACHMENTS)
       for t, p in table.items()]
    + [(t, path) for t, paths in network.SUBNET_LISTS.items() for path in paths]
    + [(t, f"{block}.{key}".strip(".")) for t, entries in network.VPC_BLOCKS.items()
       for block, key in entries]
    + [(t, f"{block}.instanceType".strip(".")) for t, blocks in INSTANCE_TYPES.items()
       for block in blocks],
)  # fmt: skip
def test_the_tables_name_inputs_of_the_sdk(type_: str, path: str) -> None:
    assert sdk.has_path(type_, path.split("."))


@pytest.mark.parametrize("type_", ALL_TYPES)
def test_every_type_that_takes_tags_must_carry_them(type_: str) -> None:
    takes_tags = "tags" in sdk.inputs(sdk.args_type(type_))

    assert (type_ in TAGGABLE) == takes_tags, f"{type_}: see policy/mlops_policy/taggable.py"


def test_every_type_listed_as_taggable_takes_tags() -> None:
    wrong = {type_ for type_ in TAGGABLE if not sdk.has_path(type_, ["tags"])}

    assert wrong == set()


class Reads(Mapping[str, Any]):
    """Properties that note which of them are read."""

    def __init__(
        self, values: Mapping[str, Any], noted: set[tuple[str, ...]], at: Any = ()
    ) -> None:
        self._values, self._noted, self._at = values, noted, at

    def __getitem__(self, key: str) -> Any:
        path = (*self._at, key)
        self._noted.add(path)
        return self._wrap(self._values[key], path)

    def _wrap(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            return Reads(value, self._noted, path)
        if isinstance(value, list):
            return [self._wrap(item, path) for item in value]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@pytest.mark.parametrize(
    "rule", [r for r in RULES if isinstance(r, ResourceRule)], ids=lambda rule: rule.name
)
def test_a_rule_reads_only_what_the_sdk_has(rule: ResourceRule) -> None:
    for example in (*rule.bad, *rule.good):
        if not example.type.startswith("aws:"):
            continue
        noted: set[tuple[str, ...]] = set()
        subject = policy(rule)
        assert isinstance(subject, ResourceValidationPolicy)
        args = resource_args(example, props=Reads(example.properties, noted))
        try:
            subject.validate(args, lambda _message, _urn=None: None)
        except _NotApplicableError:
            pytest.fail("an example must be decided")
        for path in noted:
            if path[0] not in NOT_AN_INPUT and not _free_form(path):
                assert sdk.has_path(example.type, path), ".".join(path)


def _free_form(path: Sequence[str]) -> bool:
    return path[0] == "tags" and len(path) > 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_examples_use_only_what_the_sdk_has(rule: ResourceRule | StackRule) -> None:
    for example in (*rule.bad, *rule.good):
        for resource in resources_of(example):
            if resource.type.startswith("aws:"):
                for path in _keys(resource):
                    assert sdk.has_path(resource.type, path), (resource.type, path)


def _keys(resource: Example) -> Iterator[tuple[str, ...]]:
    def within(value: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if isinstance(value, Mapping):
            for key, item in value.items():
                path = (*above, key)
                if not _free_form(path):
                    yield path
                    yield from within(item, path)
        elif isinstance(value, list):
            for item in value:
                yield from within(item, above)

    yield from within(resource.properties, ())
