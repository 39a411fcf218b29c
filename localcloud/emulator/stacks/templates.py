"""CloudFormation templates as far as the local cloud makes them: custom resources, and no others.

Read are ``Description``, ``Metadata``, ``Parameters``, ``Resources`` of ``Custom::*`` (or
``AWS::CloudFormation::CustomResource``) types, and ``Outputs``; with ``Ref``, ``Fn::GetAtt``,
``Fn::Join`` and ``Fn::Sub``. What else a template has is refused by its name.

Source: CloudFormation user guide, template reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

_SECTIONS = frozenset(
    ("AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Resources", "Outputs")
)
_ATTRIBUTES = frozenset(("Type", "Properties", "DependsOn", "Metadata"))
_TYPES = ("String", "Number", "CommaDelimitedList", "List<Number>")
_LOGICAL = re.compile(r"[A-Za-z0-9]{1,255}")
_CUSTOM = re.compile(r"Custom::[A-Za-z0-9_@-]+|AWS::CloudFormation::CustomResource")
_TEXT_BYTES = 4096
"""Of a parameter. Source: CloudFormation user guide, quotas."""


class TemplateError(Exception):
    """A template, or a value of its parameters, is wrong or not served; the message says which."""


@dataclass(frozen=True)
class Parameter:
    """A parameter.

    Attributes:
        name: Its logical id.
        type: ``String``, ``Number``, ``CommaDelimitedList`` or ``List<Number>``.
        rules: As it is declared.
    """

    name: str
    type: str
    rules: Mapping[str, Any]

    @property
    def default(self) -> str | None:
        """Its default, None when a value must be given."""
        return _text(self.rules["Default"]) if "Default" in self.rules else None

    @property
    def hidden(self) -> bool:
        """Whether its value is not shown."""
        return _text(self.rules.get("NoEcho", False)) == "true"

    def check(self, value: str) -> None:
        """Checks a value.

        Raises:
            TemplateError: It is not allowed, in CloudFormation's words.
        """
        values = value.split(",") if self.type not in ("String", "Number") else [value]
        for item in values:
            wrong = self._wrong(item.strip() if len(values) > 1 else item)
            if wrong:
                described = self.rules.get("ConstraintDescription")
                raise TemplateError(
                    f"Parameter {self.name} failed to satisfy constraint: {described}"
                    if described
                    else f"Parameter '{self.name}' {wrong}"
                )

    def _wrong(self, value: str) -> str:
        rules = self.rules
        allowed = [_text(item) for item in rules.get("AllowedValues", [])]
        if allowed and value not in allowed:
            return f"must be one of AllowedValues: {', '.join(allowed)}"
        if "Number" in self.type:
            return self._wrong_number(value)
        if len(value.encode()) > _TEXT_BYTES:
            return f"must contain at most {_TEXT_BYTES} bytes"
        if len(value) < int(rules.get("MinLength", 0)):
            return f"must contain at least {rules['MinLength']} characters"
        if len(value) > int(rules.get("MaxLength", len(value))):
            return f"must contain at most {rules['MaxLength']} characters"
        pattern = rules.get("AllowedPattern")
        if pattern and not re.fullmatch(str(pattern), value):
            return f"must match pattern {pattern}"
        return ""

    def _wrong_number(self, value: str) -> str:
        try:
            number = float(value)
        except ValueError:
            return "must be a number"
        if number < float(self.rules.get("MinValue", number)):
            return f"must be a number not less than {self.rules['MinValue']}"
        if number > float(self.rules.get("MaxValue", number)):
            return f"must be a number not greater than {self.rules['MaxValue']}"
        return ""


@dataclass(frozen=True)
class Resource:
    """A custom resource as it is declared."""

    name: str
    type: str
    properties: Mapping[str, Any]
    needs: frozenset[str]


@dataclass(frozen=True)
class Template:
    """A template.

    Attributes:
        body: Its text.
        description: What it says of itself.
        parameters: By name.
        resources: By name; each after those that it needs.
        outputs: Name -> (value as declared, description).
    """

    body: str
    description: str
    parameters: Mapping[str, Parameter]
    resources: Mapping[str, Resource]
    outputs: Mapping[str, tuple[Any, str]]

    def values(self, given: Mapping[str, str]) -> dict[str, str]:
        """The value of each parameter.

        Args:
            given: Those that are not to be the default.

        Raises:
            TemplateError: A value is missing, unknown or not allowed.
        """
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        found = {
            name: given.get(name, parameter.default) for name, parameter in self.parameters.items()
        }
        missing = [name for name, value in found.items() if value is None]
        if missing:
            raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
        values = {name: value for name, value in found.items() if value is not None}
        for name, value in values.items():
            self.parameters[name].check(value)
        return values


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    given: Any
    if isinstance(node, yaml.ScalarNode):
        given = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        given = loader.construct_sequence(node, deep=True)
    else:
        given = loader.construct_mapping(cast(yaml.MappingNode, node), deep=True)
    if tag == "GetAtt" and isinstance(given, str):
        given = given.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": given}


_Loader.add_multi_constructor("!", cast(Any, _short_form))
# CloudFormation takes dates, such as that of the format, for text.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(body: str) -> Template:
    """Reads a template, JSON or YAML.

    Raises:
        TemplateError: It is malformed, or has what the local cloud does not make.
    """
    try:
        # The loader makes plain values only.
        found = json.loads(body) if body.lstrip()[:1] == "{" else yaml.load(body, _Loader)  # noqa: S506
    except (ValueError, yaml.YAMLError) as error:
        raise TemplateError(f"Template format error: {error}") from error
    whole = _map(found, "Template")
    _only(whole, _SECTIONS, "Template")
    parameters = {
        name: _parameter(name, _map(rules, f"Parameters/{name}"))
        for name, rules in _map(whole.get("Parameters", {}), "Parameters").items()
    }
    declared = _map(whole.get("Resources"), "Resources")
    if not declared:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    resources = _ordered(
        {
            name: _resource(name, _map(item, f"Resources/{name}"), parameters, declared)
            for name, item in declared.items()
        }
    )
    outputs: dict[str, tuple[Any, str]] = {}
    for name, item in _map(whole.get("Outputs", {}), "Outputs").items():
        output = _map(item, f"Outputs/{name}")
        _only(output, frozenset(("Value", "Description")), f"Outputs/{name}")
        _check_references(output.get("Value"), parameters, declared, f"Outputs/{name}")
        outputs[name] = (output.get("Value"), str(output.get("Description", "")))
    return Template(body, str(whole.get("Description", "")), parameters, resources, outputs)


def _map(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TemplateError(f"Template format error: {where} must be an object.")
    return cast("dict[str, Any]", value)


def _only(given: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    others = sorted(set(given) - known)
    if others:
        raise TemplateError(
            f"{where}: the local cloud does not serve {', '.join(others)}, but"
            f" {', '.join(sorted(known))}."
        )


def _parameter(name: str, rules: Mapping[str, Any]) -> Parameter:
    kind = str(rules.get("Type", ""))
    if not _LOGICAL.fullmatch(name) or kind not in _TYPES:
        raise TemplateError(
            f"Parameter {name} of type {kind or 'none'}: the local cloud has {', '.join(_TYPES)}."
        )
    parameter = Parameter(name, kind, rules)
    if parameter.default is not None:
        parameter.check(parameter.default)
    return parameter


def _resource(
    name: str,
    item: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    declared: Mapping[str, Any],
) -> Resource:
    kind = str(item.get("Type", ""))
    if not _CUSTOM.fullmatch(kind):
        raise TemplateError(
            f"Resource {name} is of type {kind or 'none'}: the local cloud makes custom resources"
            " only (Custom::…)."
        )
    _only(item, _ATTRIBUTES, f"Resources/{name}")
    properties = _map(item.get("Properties", {}), f"Resources/{name}/Properties")
    if "ServiceToken" not in properties:
        raise TemplateError(f"Resource {name} has no ServiceToken.")
    needs = set(_check_references(properties, parameters, declared, f"Resources/{name}"))
    after: Any = item.get("DependsOn", [])
    needs |= {
        str(other) for other in (cast("list[Any]", after) if isinstance(after, list) else [after])
    }
    unknown = sorted(needs - set(declared))
    if unknown:
        raise TemplateError(f"Resource {name} depends on {', '.join(unknown)}, which is not there.")
    return Resource(name, kind, properties, frozenset(needs))


def _ordered(resources: Mapping[str, Resource]) -> dict[str, Resource]:
    ordered: dict[str, Resource] = {}
    while len(ordered) < len(resources):
        ready = [n for n, r in resources.items() if n not in ordered and r.needs <= set(ordered)]
        if not ready:
            left = ", ".join(sorted(set(resources) - set(ordered)))
            raise TemplateError(f"Circular dependency between resources: [{left}]")
        ordered |= {name: resources[name] for name in ready}
    return ordered


def _check_references(
    value: Any, parameters: Mapping[str, Parameter], declared: Mapping[str, Any], where: str
) -> Iterator[str]:
    """The resources that a value needs."""
    needed: set[str] = set()

    def reference(name: str) -> Any:
        if name in declared:
            needed.add(name)
        elif name not in parameters and not name.startswith("AWS::"):
            raise TemplateError(f"{where}: there is neither a parameter nor a resource {name}.")
        return ""

    def attribute(name: str, _: str) -> Any:
        if name not in declared:
            raise TemplateError(f"{where}: there is no resource {name}.")
        needed.add(name)
        return ""

    resolve(value, reference, attribute)
    return iter(sorted(needed))


def resolve(
    value: Any, reference: Callable[[str], Any], attribute: Callable[[str, str], Any]
) -> Any:
    """A value with its functions called, and all that is plain as text, as CloudFormation has it.

    Args:
        value: As declared.
        reference: ``reference(name)`` gives what ``Ref`` does.
        attribute: ``attribute(resource, name)`` gives what ``Fn::GetAtt`` does.

    Raises:
        TemplateError: Another function is called, or one wrongly.
    """

    def inner(item: Any) -> Any:
        return resolve(item, reference, attribute)

    if isinstance(value, list):
        found = [inner(item) for item in cast("list[Any]", value)]
        return [item for item in found if item is not None]
    if not isinstance(value, dict):
        return _text(value)
    whole = cast("dict[str, Any]", value)
    name = next(iter(whole), "")
    if len(whole) != 1 or not (name in ("Ref", "Condition") or name.startswith("Fn::")):
        resolved = {key: inner(item) for key, item in whole.items()}
        return {key: item for key, item in resolved.items() if item is not None}
    given = whole[name]
    if name == "Ref" and isinstance(given, str):
        return reference(given)
    if name == "Fn::GetAtt":
        parts: Any = given.split(".", 1) if isinstance(given, str) else given
        if isinstance(parts, list) and len(cast("list[Any]", parts)) == 2:
            return attribute(str(parts[0]), str(parts[1]))
    if name == "Fn::Join" and isinstance(given, list) and len(cast("list[Any]", given)) == 2:
        items = inner(given[1])
        if isinstance(items, list):
            return str(given[0]).join(str(item) for item in cast("list[Any]", items))
    if name == "Fn::Sub":
        text, more = (given, {}) if isinstance(given, str) else (given[0], inner(given[1]))
        return _substituted(str(text), cast("dict[str, Any]", more), reference, attribute)
    if name in ("Ref", "Fn::GetAtt", "Fn::Join"):
        raise TemplateError(f"Template error: {name} is malformed: {json.dumps(given)}")
    raise TemplateError(
        f"The local cloud does not serve {name}, but Ref, Fn::GetAtt, Fn::Join and Fn::Sub."
    )


def _substituted(
    text: str,
    more: Mapping[str, Any],
    reference: Callable[[str], Any],
    attribute: Callable[[str, str], Any],
) -> str:
    def one(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        if name in more:
            return str(more[name])
        resource, dot, rest = name.partition(".")
        return str(attribute(resource, rest) if dot else reference(name))

    return re.sub(r"\$\{([^}]+)\}", one, text)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
