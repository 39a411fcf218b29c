"""What a rule is: its text, its options, its check, and a bad and a good example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    Severity,
)

from mlops_policy.values import Block, NotKnownYetError

PRODUCTION_STACKS = ["prod", "prod-*", "*-prod", "governance"]
"""The hub holds the registry and the artifacts that production runs on: it counts as production."""


@dataclass(frozen=True)
class Option:
    """An option that the configuration of the pack can set."""

    description: str
    default: Any
    schema: Mapping[str, Any]
    """JSON schema of the value."""


def strings(description: str, default: Sequence[str]) -> Option:
    """An option that is a list of strings."""
    return Option(description, list(default), {"type": "array", "items": {"type": "string"}})


def integer(description: str, default: int) -> Option:
    """An option that is a whole number."""
    return Option(description, default, {"type": "integer"})


def texts(description: str, default: Mapping[str, str]) -> Option:
    """An option that maps names to strings."""
    return Option(
        description,
        dict(default),
        {"type": "object", "additionalProperties": {"type": "string"}},
    )


EXEMPT = strings("Names of resources (patterns with `*`) that the rule leaves alone.", [])
PRODUCTION = strings("Stacks (patterns with `*`) that count as production.", PRODUCTION_STACKS)

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Example:
    """A resource as a program declares it.

    A string ``${name.property}`` in the properties refers to another resource of the example.
    """

    type: str
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])
    name: str = "example"
    stack: str = "dev"
    protect: bool = False
    provider: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Properties of its provider."""


class Resource(Block):
    """A resource as a rule sees it."""

    def __init__(
        self,
        type_: str,
        name: str,
        urn: str,
        props: Mapping[str, Any],
        opts: PolicyResourceOptions,
        provider: PolicyProviderResource | None,
    ) -> None:
        super().__init__(props)
        self.type = type_
        self.name = name
        self.urn = urn
        self.protected = opts.protect
        self.provider = Block(provider.props) if provider else None
        self.provider_name = provider.name if provider else None

    @property
    def stack(self) -> str:
        """Name of the stack."""
        return self.urn.split("::")[0].removeprefix("urn:pulumi:")

    @property
    def project(self) -> str:
        """Name of the project."""
        return self.urn.split("::")[1]

    def named(self, patterns: Iterable[str], *properties: str) -> bool:
        """Whether its name, or one of the properties, fits a pattern.

        Raises:
            NotKnownYetError: the name does not fit, and a property is not known.
        """
        wanted = tuple(patterns)
        return any(fnmatchcase(self.name, pattern) for pattern in wanted) or any(
            fnmatchcase(str(self.get(key, "")), pattern) for key in properties for pattern in wanted
        )

    def in_production(self, options: Options) -> bool:
        """Whether its stack counts as production; the rule has the option of that name."""
        patterns = options["production_stacks"]
        return any(fnmatchcase(self.stack, pattern) for pattern in patterns)


class Stack:
    """All resources of a stack as a rule sees them."""

    def __init__(self, resources: Sequence[PolicyResource]) -> None:
        self._sources: dict[str, PolicyResource] = {r.urn: r for r in resources}
        self._types: dict[str, list[PolicyResource]] = {}
        for resource in resources:
            self._types.setdefault(resource.resource_type, []).append(resource)
        self._views: dict[str, Resource] = {}

    def of(self, *types: str) -> list[Resource]:
        """The resources of the types, in the order of the stack."""
        return [self._view(source) for kind in types for source in self._types.get(kind, ())]

    def all(self) -> list[Resource]:
        """Every resource."""
        return [self._view(source) for source in self._sources.values()]

    def _view(self, source: PolicyResource) -> Resource:
        view = self._views.get(source.urn)
        if view is None:
            view = self._views[source.urn] = Resource(
                source.resource_type,
                source.name,
                source.urn,
                source.props,
                source.opts,
                source.provider,
            )
        return view

    @cached_property
    def _ancestors(self) -> dict[str, frozenset[str]]:
        result: dict[str, frozenset[str]] = {}
        for urn, source in self._sources.items():
            above: list[str] = [urn]
            parent = source.parent
            while parent is not None:
                above.append(parent.urn)
                parent = parent.parent
            result[urn] = frozenset(above)
        return result

    def refers(self, resource: Resource, key: str, target: Resource) -> bool:
        """Whether a property of a resource refers to another one.

        By the dependencies that the engine records, which needs no values; else by an equal id,
        name or ARN. A component stands for what is inside it.

        Args:
            resource: The resource.
            key: Dotted path of the property, as :class:`~mlops_policy.values.Block` reads it. The
                engine records the dependencies of its first name as a whole.
            target: The other one.

        Raises:
            NotKnownYetError: neither dependencies nor values tell.
        """
        whole = key.partition(".")[0]
        dependencies = self._sources[resource.urn].property_dependencies.get(whole, ())
        urns = {dependency.urn for dependency in dependencies}
        if target.urn in urns:
            return True
        if any(dependency.resource_type == target.type for dependency in dependencies):
            return False
        same_type = self._types.get(target.type, ())
        within = [s.urn for s in same_type if any(urn in self._ancestors[s.urn] for urn in urns)]
        if within:
            return target.urn in within
        within_block, _, name = key.rpartition(".")
        try:
            holders = [b for b in resource.blocks(within_block) if b.get(name) is not None]
        except NotKnownYetError:
            if len(same_type) == 1:
                return True
            raise
        wanted = {value for holder in holders for value in holder.strings(name)}
        return bool(wanted & _identities(target))


def _identities(resource: Resource) -> set[str]:
    found: set[str] = set()
    for key in ("id", "arn", "bucket", "name", "url"):
        try:
            value = resource.get(key)
        except NotKnownYetError:
            continue
        if isinstance(value, str):
            found.add(value)
    return found


ResourceCheck = Callable[[Resource, Options], Iterable[str]]
"""Yields what is wrong with a resource."""

StackCheck = Callable[[Resource, Stack, Options], Iterable[str]]
"""Yields what is wrong with one of the rule's subjects, seen in its stack."""

Remedy = Callable[[Resource, MutableMapping[str, Any], Options], bool]
"""(the resource, its raw properties, options) -> whether it changed the properties.

Raw properties hold the engine's marker where a value is not known yet, and no proxy tells: a remedy
touches only what it can recognise.
"""


@dataclass(frozen=True, kw_only=True)
class _Rule:
    name: str
    family: str
    title: str
    """The rule in one sentence."""
    why: str
    fix: str
    severity: Severity
    options: Mapping[str, Option]
    level: EnforcementLevel

    def settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The options with their defaults."""
        return {name: config.get(name, option.default) for name, option in self.options.items()}


@dataclass(frozen=True, kw_only=True)
class ResourceRule(_Rule):
    """A rule about one resource; it sees the inputs before the resource is made."""

    types: frozenset[str]
    """Types that it looks at; empty for every type of the aws package."""
    check: ResourceCheck
    bad: tuple[Example, ...]
    good: tuple[Example, ...]
    remedy: Remedy | None = None

    def applies(self, type_: str) -> bool:
        """Whether it looks at a type."""
        return type_ in self.types if self.types else type_.startswith("aws:")


@dataclass(frozen=True, kw_only=True)
class StackRule(_Rule):
    """A rule about how the resources of a stack fit together.

    It is checked for each resource of its subjects' types, so that a value of one that is not known
    yet hides nothing of the others.
    """

    subjects: tuple[str, ...]
    check: StackCheck
    bad: tuple[tuple[Example, ...], ...]
    good: tuple[tuple[Example, ...], ...]


Rule = ResourceRule | StackRule


class Family:
    """The rules of one subject, collected by its decorators."""

    def __init__(self, name: str, about: str) -> None:
        self.name = name
        self.about = about
        self.rules: list[Rule] = []

    def resource(
        self,
        name: str,
        *,
        types: Iterable[str],
        severity: Severity,
        title: str,
        why: str,
        fix: str,
        bad: Sequence[Example],
        good: Sequence[Example],
        options: Mapping[str, Option] | None = None,
        level: EnforcementLevel = EnforcementLevel.MANDATORY,
        remedy: Remedy | None = None,
    ) -> Callable[[ResourceCheck], ResourceCheck]:
        """Declares a rule about one resource; the check yields what is wrong."""

        def register(check: ResourceCheck) -> ResourceCheck:
            self.rules.append(
                ResourceRule(
                    name=name,
                    family=self.name,
                    title=title,
                    why=why,
                    fix=fix,
                    severity=severity,
                    options={**(options or {}), "exempt": EXEMPT},
                    level=level,
                    types=frozenset(types),
                    check=check,
                    bad=tuple(bad),
                    good=tuple(good),
                    remedy=remedy,
                )
            )
            return check

        return register

    def stack(
        self,
        name: str,
        *,
        subjects: Sequence[str],
        severity: Severity,
        title: str,
        why: str,
        fix: str,
        bad: Sequence[Sequence[Example]],
        good: Sequence[Sequence[Example]],
        options: Mapping[str, Option] | None = None,
        level: EnforcementLevel = EnforcementLevel.MANDATORY,
    ) -> Callable[[StackCheck], StackCheck]:
        """Declares a rule about a stack; the check yields what is wrong with a subject."""

        def register(check: StackCheck) -> StackCheck:
            self.rules.append(
                StackRule(
                    name=name,
                    family=self.name,
                    title=title,
                    why=why,
                    fix=fix,
                    severity=severity,
                    options={**(options or {}), "exempt": EXEMPT},
                    level=level,
                    subjects=tuple(subjects),
                    check=check,
                    bad=tuple(tuple(stack) for stack in bad),
                    good=tuple(tuple(stack) for stack in good),
                )
            )
            return check

        return register
