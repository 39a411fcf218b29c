"""Every rule on its own examples: bad, good, not known yet, and none of its business."""

from __future__ import annotations

from typing import Any

import pytest
from harness import UNKNOWN, examples, resources_of, run, with_one_unknown
from mlops_policy.model import Example, ResourceRule, Rule, StackRule
from mlops_policy.registry import RULES

RESOURCE_RULES = [rule for rule in RULES if isinstance(rule, ResourceRule)]
STACK_RULES = [rule for rule in RULES if isinstance(rule, StackRule)]


def cases(rules: list[Any], kind: str) -> list[Any]:
    return [
        pytest.param(rule, example, id=f"{rule.name}-{index}")
        for rule in rules
        for index, example in enumerate(examples(rule, kind))
    ]


@pytest.mark.parametrize(("rule", "example"), cases(list(RULES), "bad"))
def test_a_bad_example_is_refused_with_its_name_and_the_fix(rule: Rule, example: Any) -> None:
    outcome = run(rule, example)

    assert outcome.violations
    names = {resource.name for resource in resources_of(example)}
    for message in outcome.violations:
        assert message.split(":")[0] in names
        assert message.endswith(f"Fix: {rule.fix}")


@pytest.mark.parametrize(("rule", "example"), cases(list(RULES), "good"))
def test_a_good_example_is_accepted(rule: Rule, example: Any) -> None:
    outcome = run(rule, example)

    assert outcome.violations == []
    assert outcome.put_off is None


@pytest.mark.parametrize(("rule", "example"), cases(STACK_RULES, "bad"))
def test_a_stack_is_refused_in_the_preview_that_makes_it(rule: StackRule, example: Any) -> None:
    assert run(rule, example, preview=True).violations


@pytest.mark.parametrize(("rule", "example"), cases(STACK_RULES, "good"))
def test_a_stack_is_accepted_in_the_preview_that_makes_it(rule: StackRule, example: Any) -> None:
    outcome = run(rule, example, preview=True)

    assert outcome.violations == []
    assert outcome.put_off is None


@pytest.mark.parametrize(("rule", "example"), cases(RESOURCE_RULES, "good"))
def test_what_is_not_known_raises_no_false_alarm(rule: ResourceRule, example: Example) -> None:
    for path, changed in with_one_unknown(example):
        assert run(rule, changed).violations == [], path


@pytest.mark.parametrize(("rule", "example"), cases(RESOURCE_RULES, "bad"))
def test_what_is_not_known_lets_nothing_bad_pass_unseen(
    rule: ResourceRule, example: Example
) -> None:
    """A preview may put a rule off; it must not call the resource good."""
    for path, changed in with_one_unknown(example):
        outcome = run(rule, changed)
        assert outcome.violations or outcome.put_off, path


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_another_type_is_none_of_its_business(rule: Rule) -> None:
    other = Example("random:index/randomPet:RandomPet", {"length": 2})

    outcome = run(rule, other if isinstance(rule, ResourceRule) else [other])

    assert outcome.violations == []
    assert outcome.put_off is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_an_exempt_resource_is_left_alone(rule: Rule) -> None:
    example = rule.bad[0]
    names = [resource.name for resource in resources_of(example)]

    assert run(rule, example, config={"exempt": names}).violations == []


@pytest.mark.parametrize("rule", STACK_RULES, ids=lambda rule: rule.name)
def test_a_subject_that_is_not_known_hides_nothing_of_the_others(rule: StackRule) -> None:
    subject = rule.subjects[0]
    unknown = Example(subject, {"bucket": UNKNOWN, "vpcId": UNKNOWN}, "not-known")

    assert run(rule, [unknown, *rule.bad[0]]).violations


def test_names_are_unique_and_families_have_their_rules() -> None:
    names = [rule.name for rule in RULES]

    assert len(set(names)) == len(names) >= 30
    assert {rule.family for rule in RULES} == {
        "network",
        "endpoints",
        "encryption",
        "identity",
        "trust",
        "data",
        "machine learning",
        "operations",
    }
