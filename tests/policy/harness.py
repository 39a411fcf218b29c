"""Runs one rule on examples as the SDK would, with no engine."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_policy.model import Example, ResourceRule, Rule, StackRule
from mlops_policy.pack import policy
from mlops_policy.registry import RULES
from pulumi_policy import (
    PolicyCustomTimeouts,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.policy import _NotApplicableError
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

UNKNOWN = UNKNOWN_STRING_VALUE
REFERENCE = re.compile(r"\$\{([\w-]+)\.(\w+)\}")


@dataclass
class Outcome:
    """What a rule said."""

    violations: list[str] = field(default_factory=list)
    put_off: str | None = None


def run(
    rule: Rule,
    example: Example | Sequence[Example],
    *,
    config: Mapping[str, Any] | None = None,
    preview: bool = False,
) -> Outcome:
    """A rule on a resource, or on a stack of resources.

    With ``preview``, values that come from another resource are unknown, as in the preview that
    makes both.
    """
    subject = policy(rule)
    outcome = Outcome()

    def report(message: str, _urn: str | None = None) -> None:
        outcome.violations.append(message)

    try:
        if isinstance(rule, ResourceRule):
            assert isinstance(example, Example)
            assert isinstance(subject, ResourceValidationPolicy)
            subject.validate(resource_args(example, config), report)
        else:
            assert not isinstance(example, Example)
            assert isinstance(subject, StackValidationPolicy)
            resources = _stack(example, preview=preview)
            subject.validate(StackValidationArgs(resources, config), report)
    except _NotApplicableError as reason:
        outcome.put_off = reason.reason or ""
    return outcome


BY_THE_PROVIDER = {"required-tags"}
"""Kept by the provider's default tags, which mocks do not apply."""


def judged(resources: Iterable[Example]) -> tuple[int, list[str]]:
    """What the rules on single resources say of a program, as the engine will judge it.

    Returns:
        How many judgements there were, and the violations.
    """
    examined = list(resources)
    count, violations = 0, []
    for rule in RULES:
        if not isinstance(rule, ResourceRule) or rule.name in BY_THE_PROVIDER:
            continue
        for resource in examined:
            outcome = run(rule, resource)
            count += outcome.put_off is None
            violations += [f"{rule.name}: {text}" for text in outcome.violations]
    return count, violations


def examples(rule: Rule, kind: str) -> list[Any]:
    """The rule's ``bad`` or ``good`` examples."""
    return list(getattr(rule, kind))


def resources_of(example: Example | Sequence[Example]) -> list[Example]:
    """The resources of an example."""
    return [example] if isinstance(example, Example) else list(example)


def as_sent(value: Any) -> Any:
    """The value as it arrives: the wire knows no whole numbers."""
    if isinstance(value, Mapping):
        return {key: as_sent(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_sent(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def options(example: Example) -> PolicyResourceOptions:
    return PolicyResourceOptions(
        example.protect, [], None, [], PolicyCustomTimeouts(0, 0, 0), [], None
    )


def urn(example: Example) -> str:
    return f"urn:pulumi:{example.stack}::acme::{example.type}::{example.name}"


def _provider(example: Example) -> PolicyProviderResource | None:
    if not example.provider:
        return None
    props = unknown_checking_proxy(as_sent(example.provider))
    return PolicyProviderResource("pulumi:providers:aws", props, "urn:provider", "account")


def resource_args(
    example: Example, config: Mapping[str, Any] | None = None, props: Any = None
) -> ResourceValidationArgs:
    """What the SDK hands to a resource policy."""
    if props is None:
        props = unknown_checking_proxy(as_sent(example.properties))
    return ResourceValidationArgs(
        example.type, props, urn(example), example.name, options(example), _provider(example),
        config,
    )  # fmt: skip


def _stack(resources: Sequence[Example], *, preview: bool) -> list[PolicyResource]:
    made: dict[str, PolicyResource] = {}
    needs: dict[str, dict[str, set[str]]] = {}
    for example in resources:
        dependencies: dict[str, set[str]] = {}
        properties: dict[str, Any] = {}
        for key, value in as_sent(copy.deepcopy(example.properties)).items():
            found: set[str] = set()
            properties[key] = _resolve(value, found, resources, preview=preview)
            if found:
                dependencies[key] = found
        if not preview:
            properties.setdefault("id", f"{example.name}-id")
        # Two resources of one example may share a name when their types differ.
        label = f"{example.type}/{example.name}"
        made[label] = PolicyResource(
            example.type,
            unknown_checking_proxy(properties),
            urn(example),
            example.name,
            options(example),
            _provider(example),
            None,
            [],
            {},
        )
        needs[label] = dependencies
    # On an update the dependencies are left out, so that the values have to tell.
    if preview:
        by_name: dict[str, PolicyResource] = {}
        for resource in made.values():
            by_name.setdefault(resource.name, resource)
        for label, keys in needs.items():
            for key, names in keys.items():
                made[label].property_dependencies[key] = [by_name[name] for name in sorted(names)]
    return list(made.values())


def _resolve(value: Any, found: set[str], stack: Sequence[Example], *, preview: bool) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, found, stack, preview=preview) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, found, stack, preview=preview) for item in value]
    match = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return value
    found.add(match[1])
    if preview:
        return UNKNOWN
    target = next(example for example in stack if example.name == match[1])
    return target.properties.get(match[2], f"{match[1]}-id")


def with_one_unknown(example: Example) -> Iterator[tuple[str, Example]]:
    """The example with each of its values, at any depth, made unknown in turn."""
    for path in _paths(example.properties):
        properties = copy.deepcopy(dict(example.properties))
        place: Any = properties
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = UNKNOWN
        yield (
            ".".join(map(str, path)),
            Example(
                example.type,
                properties,
                example.name,
                example.stack,
                example.protect,
                example.provider,
            ),
        )


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (key,)
        yield from ((key, *rest) for rest in _paths(item))


def is_stack(rule: Rule) -> bool:
    return isinstance(rule, StackRule)
