"""Writes the documentation of the rules: ``python -m mlops_policy.documentation docs/policies.md``.

Run it where the package can be imported (``PYTHONPATH=policy`` in the repository).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlops_policy.model import Example, Option, ResourceRule, Rule, StackRule
from mlops_policy.registry import FAMILIES, RULES

_HEAD = """# Policies

This page is generated from the policy pack; change the rules in `policy/mlops_policy/`, then run
`PYTHONPATH=policy python -m mlops_policy.documentation docs/policies.md`.

How to run and configure the pack: [policy/README.md](../policy/README.md).

Level: a *mandatory* rule stops preview and update. A *remediate* rule first repairs what it safely
can (the preview shows what), and stops what is then still wrong. Rules about a *stack* look at how
its resources fit together.

Examples are in Pulumi YAML, which writes properties as the engine and the rules see them.
"""


def text() -> str:
    """The whole page."""
    lines = [_HEAD, f"{len(RULES)} rules.", "", *_overview()]
    for family in FAMILIES:
        lines += [f"## {family.name.capitalize()}", "", family.about, ""]
        for rule in family.rules:
            lines += _section(rule)
    return "\n".join(lines).rstrip() + "\n"


def _overview() -> Iterator[str]:
    yield "| Rule | Looks at | Level | Severity | In one sentence |"
    yield "| --- | --- | --- | --- | --- |"
    for rule in RULES:
        scope = "stack" if isinstance(rule, StackRule) else "resource"
        yield (
            f"| [{rule.name}](#{rule.name}) | {scope} | {rule.level.value} | "
            f"{rule.severity.value} | {rule.title} |"
        )
    yield ""


def _section(rule: Rule) -> Iterator[str]:
    yield f"### {rule.name}"
    yield ""
    yield f"{rule.title} {rule.why}"
    yield ""
    yield f"- Level: {rule.level.value}. Severity: {rule.severity.value}."
    yield f"- Looks at: {_subjects(rule)}."
    yield f"- Fix: {rule.fix}."
    yield ""
    yield from _options(rule)
    yield "Refused:"
    yield ""
    yield from _example(rule.bad[0])
    yield "Accepted:"
    yield ""
    yield from _example(rule.good[0])


def _subjects(rule: Rule) -> str:
    types: Sequence[str] = rule.subjects if isinstance(rule, StackRule) else sorted(rule.types)
    if not types:
        return "every resource of the AWS provider"
    shown = [f"`{type_}`" for type_ in types]
    if isinstance(rule, ResourceRule) and len(shown) > 12:
        return f"{len(shown)} types, among them {', '.join(shown[:6])}"
    return f"{'the stack of each ' if isinstance(rule, StackRule) else ''}{', '.join(shown)}"


def _options(rule: Rule) -> Iterator[str]:
    own: dict[str, Option] = {k: v for k, v in rule.options.items() if k != "exempt"}
    if not own:
        return
    yield "| Option | Meaning | Default |"
    yield "| --- | --- | --- |"
    for name, option in own.items():
        default = json.dumps(option.default)
        yield f"| `{name}` | {option.description} | `{default}` |"
    yield ""


def _example(example: Example | tuple[Example, ...]) -> Iterator[str]:
    resources = (example,) if isinstance(example, Example) else example
    yield "```yaml"
    stacks = {resource.stack for resource in resources} - {"dev"}
    if stacks:
        yield f"# in the stack {', '.join(sorted(stacks))}"
    yield "resources:"
    for resource in resources:
        yield from _resource(resource)
    yield "```"
    yield ""


def _resource(resource: Example) -> Iterator[str]:
    yield f"  {resource.name}:"
    yield f"    type: {resource.type}"
    if resource.properties:
        yield "    properties:"
        yield from _yaml(resource.properties, 6)
    if resource.protect:
        yield "    options:"
        yield "      protect: true"
    if resource.provider:
        yield "    # of a provider with"
        yield from (f"    #   {line}" for line in _yaml(resource.provider, 0))


def _yaml(value: Any, indent: int) -> Iterator[str]:
    """Block YAML; JSON documents become ``fn::toJSON``, so that they can be read."""
    space = " " * indent
    if isinstance(value, dict) and value:
        for key, item in value.items():
            opened = _opened(item)
            if _inline(opened):
                yield f"{space}{key}: {_scalar(opened)}"
            else:
                yield f"{space}{key}:"
                yield from _yaml(opened, indent + 2)
    elif isinstance(value, list) and value:
        for item in value:
            opened = _opened(item)
            if _inline(opened):
                yield f"{space}- {_scalar(opened)}"
            else:
                first, *rest = _yaml(opened, indent + 2)
                yield f"{space}- {first.strip()}"
                yield from rest
    else:
        yield f"{space}{_scalar(value)}"


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value.startswith('{"'):
        return {"fn::toJSON": json.loads(value)}
    return value


def _inline(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(item, (dict, list)) for item in value)
    return not isinstance(value, dict) or not value


def _scalar(value: Any) -> str:
    return json.dumps(value)


def main(arguments: Sequence[str]) -> None:
    """Writes the page to the file that is given."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m mlops_policy.documentation FILE")
    Path(arguments[0]).write_text(text())


if __name__ == "__main__":
    main(sys.argv[1:])
