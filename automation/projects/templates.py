"""The templates that projects start from: one registry for vending, products, docs and tests.

A template is a folder below ``seed_code/`` and an entry of ``seed_code/templates.yaml``. The
entry's settings are properties of JSON Schema, each with a description and a default.

``python -m automation.projects.templates docs/templates.md`` writes the page of all templates.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from jsonschema import Draft202012Validator, SchemaError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from components.projects.features import IDENTIFIER, TIME, definitions
from components.settings import read_yaml

SEED_CODE = Path(__file__).resolve().parents[2] / "seed_code"
BASE = "_base"
REPOSITORIES = ("build", "deploy")
REGISTRY = "templates.yaml"
SHARED = "shared.yaml"
"""File of a folder of templates: what its two repositories both have, and stands in ``build`` only:
path in the deployment repository -> path in the build repository."""

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

# Source: FeatureDefinition in SageMaker's API reference; the last three are its own columns.
_TAKEN = (IDENTIFIER, TIME, "is_deleted", "write_time", "api_invocation_time")


def _not_taken(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"{name} is what every record has, leave it out")
    return name


_Feature = Annotated[
    str,
    StringConstraints(pattern=r"^[a-zA-Z0-9]([-_]*[a-zA-Z0-9]){0,63}$"),
    AfterValidator(_not_taken),
]


class TemplateError(ValueError):
    """The registry and the folders do not fit, or a setting is wrong; every reason has a line."""


class Template(BaseModel):
    """One template, as the registry describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    """Name of its folder."""
    title: _Text
    """As products and lists show it."""
    description: _Text
    """What a project of it does."""
    deploys: _Text
    """What its deployment repository brings up."""
    needs: _Text
    """What has to be there before its first run."""
    gate: _Text
    """What a model must reach to be registered."""
    extends: list[str] = []
    """What it is laid over, in this order: templates, whose settings it takes over too, and shared
    folders, which begin with ``_``."""
    without: list[str] = []
    """Settings of those that it extends that it has not, as it has others in their place."""
    batch: bool = False
    """Whether it predicts in batches, so that its targets have what that needs."""
    feature_group: dict[_Feature, Literal["String", "Integral", "Fractional"]] = {}
    """Feature -> type of what its projects' feature group has beside a record's id and time, those
    of the templates that it extends among them; empty, they have no group."""
    settings: dict[str, dict[str, Any]] = {}
    """Name -> JSON Schema of a setting, those of the templates that it extends among them."""

    @property
    def rules(self) -> dict[str, Any]:
        """JSON Schema of all its settings."""
        return {
            "type": "object",
            "properties": self.settings,
            "additionalProperties": False,
        }

    def with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All settings, those that were not given by their defaults.

        A number or a truth value may come as text: CloudFormation and command lines have nothing
        else.

        Raises:
            TemplateError: With every setting that is wrong.
        """
        values = {name: rule["default"] for name, rule in self.settings.items()} | {
            name: _typed(value, self.settings.get(name, {})) for name, value in given.items()
        }
        mistakes = [
            f"settings{''.join(f'.{part}' for part in error.absolute_path)}: {error.message}"
            for error in Draft202012Validator(self.rules).iter_errors(values)
        ]
        if mistakes:
            known = ", ".join(self.settings) or "none"
            raise TemplateError("\n".join([*sorted(mistakes), f"{self.id} has settings: {known}"]))
        return values


def _typed(value: Any, rule: Mapping[str, Any]) -> Any:
    """A value as its rule's type where it is a text that tells one; else as it is."""
    if not isinstance(value, str) or rule.get("type") not in ("number", "integer", "boolean"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def load(root: Path | None = None) -> dict[str, Template]:
    """All templates by id, in the registry's order.

    Args:
        root: Folder with the templates and their registry; None for this checkout's.

    Raises:
        TemplateError: With everything that does not fit.
    """
    root = root or SEED_CODE
    entries = _entries(root)
    folders = {path.name for path in root.iterdir() if path.is_dir() and path.name[0] not in "_."}
    problems = [f"{name}: there is a folder and no entry" for name in folders - set(entries)]
    for file in root.glob(f"*/{SHARED}"):
        try:
            shared(file.parent)
        except TemplateError as error:
            problems += str(error).splitlines()
    found: dict[str, Template] = {}
    for name, entry in entries.items():
        if name not in folders:
            problems.append(f"{name}: there is an entry and no folder {root.name}/{name}")
        try:
            own = Template.model_validate({**entry, "id": name})
            template = _extended(own, entries)
            problems += _mistakes(template, entries, root)
        except ValidationError as error:
            problems += [
                f"{name}.{'.'.join(map(str, item['loc']))}: {item['msg']}"
                for item in error.errors()
            ]
        else:
            found[name] = template
    if problems:
        raise TemplateError("\n".join([f"{REGISTRY} is wrong:", *sorted(problems)]))
    return found


def _entries(root: Path) -> dict[str, Any]:
    return read_yaml(root / REGISTRY) or {}


def _extended(template: Template, entries: Mapping[str, Any]) -> Template:
    """A template with settings and features of those that it extends, whose files use them."""
    whole: dict[str, dict[str, Any]] = {}
    for key in ("settings", "feature_group"):
        whole[key] = {}
        for name in template.extends:
            whole[key] |= (entries.get(name) or {}).get(key) or {}
    for name in template.without:
        whole["settings"].pop(name, None)
    for key, inherited in whole.items():
        whole[key] = inherited | getattr(template, key)
    return template.model_copy(update=whole)


def _mistakes(template: Template, entries: Mapping[str, Any], root: Path) -> list[str]:
    mistakes: list[str] = []
    for name in template.extends:
        place = f"{template.id}.extends"
        if name.startswith("_"):
            if name == BASE or not (root / name).is_dir():
                mistakes.append(f"{place}: there is no shared folder {root.name}/{name}")
        elif name not in entries:
            mistakes.append(f"{place}: there is no template {name}")
        elif any(not other.startswith("_") for other in entries[name].get("extends") or []):
            mistakes.append(f"{place}: {name} extends another itself, extend that one")
    inherited = {
        setting
        for name in template.extends
        for setting in (entries.get(name) or {}).get("settings") or {}
    }
    mistakes += [
        f"{template.id}.without: none of those that it extends has a setting {name}"
        for name in template.without
        if name not in inherited
    ]
    for name, rule in template.settings.items():
        place = f"{template.id}.settings.{name}"
        mistakes += [f"{place}: has no {key}" for key in ("description", "default")
                     if key not in rule]  # fmt: skip
        try:
            Draft202012Validator.check_schema(rule)
        except SchemaError as error:
            mistakes.append(f"{place}: {error.message}")
            continue
        if "default" in rule:
            errors = Draft202012Validator(rule).iter_errors(rule["default"])
            mistakes += [f"{place}.default: {error.message}" for error in errors]
    return mistakes


def sources(template: str, kind: str, root: Path | None = None) -> list[Path]:
    """Folders that make up a repository, each laid over the ones before it.

    Args:
        template: Id of the template.
        kind: ``build`` or ``deploy``.
        root: Folder with the templates; None for this checkout's.
    """
    root = root or SEED_CODE
    entries = _entries(root)

    def over(name: str) -> list[str]:
        return list((entries.get(name) or {}).get("extends") or [])

    # What an extended template is laid over comes with it; a folder that two of them share, once.
    below = [part for name in over(template) for part in (*over(name), name)]
    layers = dict.fromkeys([BASE, *below, template])
    return [folder for name in layers if (folder := root / name / kind).is_dir()]


def shared(folder: Path) -> dict[str, Path]:
    """What the deployment repository has of the build repository's files, unchanged.

    Args:
        folder: Of a template, or of what some share.

    Returns:
        Path in the deployment repository -> the build repository's file. Empty without
        :data:`SHARED`.

    Raises:
        TemplateError: A file is not there, or stands in ``deploy`` as well.
    """
    file = folder / SHARED
    if not file.is_file():
        return {}
    try:
        told = TypeAdapter(dict[str, str]).validate_python(read_yaml(file))
    except (ValidationError, yaml.YAMLError) as error:
        raise TemplateError(
            f"{folder.name}/{SHARED}: expected paths in deploy with those in build: {error}"
        ) from error
    found = {name: folder / "build" / original for name, original in told.items()}
    place = f"{folder.name}/{SHARED}"
    mistakes = [
        f"{place}: there is no {path.relative_to(folder).as_posix()}"
        for path in found.values()
        if not path.is_file()
    ]
    mistakes += [
        f"{place}: deploy/{name} is there as well, remove one of them"
        for name in found
        if (folder / "deploy" / name).exists()
    ]
    if mistakes:
        raise TemplateError("\n".join(mistakes))
    return found


def page(templates: Mapping[str, Template]) -> str:
    """The page of all templates, in Markdown."""
    head = (
        "# Templates\n\n"
        "Made by `python -m automation.projects.templates docs/templates.md` from"
        f" `seed_code/{REGISTRY}`. Do not\nedit it by hand."
    )
    return "\n\n".join([head, *map(section, templates.values())]) + "\n"


def section(template: Template) -> str:
    """What there is to know of a template, in Markdown."""
    rows = [("deploys", template.deploys), ("needs", template.needs), ("gate", template.gate)]
    if template.feature_group:
        told = ", ".join(f"`{name}`" for name in definitions(template.feature_group))
        rows.append(("feature group", told))
    parts = [
        f"## {template.id}: {template.title}",
        template.description,
        "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows)]),
    ]
    if template.settings:
        lines = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{name}` | {_kind(rule)} | `{rule['default']}` | {rule['description']} |"
            for name, rule in template.settings.items()
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _kind(rule: Mapping[str, Any]) -> str:
    limits = {
        "minimum": "at least {}", "exclusiveMinimum": "above {}", "maximum": "at most {}",
        "exclusiveMaximum": "below {}", "pattern": "`{}`", "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
    }  # fmt: skip
    if "enum" in rule:
        return ", ".join(f"`{value}`" for value in rule["enum"])
    told = [text.format(rule[key]) for key, text in limits.items() if key in rule]
    return ", ".join([str(rule.get("type", "any")), *told])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(load()), "utf-8")
