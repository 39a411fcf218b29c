"""The policy pack's configuration, made from the settings of a stack.

The pack's own defaults fit any company. What a stack's settings say already is not said again: its
region is the one that is allowed, and the instance types of its personas are those that are.
``mlops:policies`` comes on top: levels, exemptions and options, rule by rule.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from jsonschema import Draft202012Validator

from automation import stacks
from components.settings import PlatformSettings, SettingsError, keys

SCHEMA = "config.schema.json"
"""In the pack's folder; generated from its rules."""

_LEVEL = "enforcementLevel"
_ALWAYS = "system"
"""The type of Studio's own small apps, which costs nothing and is in nobody's list."""

_INBOXES = ("*-jobs-*/input/*",)
"""What may be put from outside of the networks: input of batch predictions, whose deliverers are
not of the platform."""


def configuration(
    loaded: Sequence[PlatformSettings], instance_types: Sequence[str] = ()
) -> dict[str, Any]:
    """The configuration for a program, as ``--policy-pack-config`` takes it.

    Args:
        loaded: The settings of the environments that the program makes something in. Of
            ``mlops:policies`` that of the last one counts: of the hub, where there are more.
        instance_types: What is allowed beside the personas' types.

    Raises:
        SettingsError: ``mlops:policies`` has what the pack does not know.
    """
    types = {_ALWAYS, *instance_types}
    for one in loaded:
        allowed = one.studio.instance_types
        types |= {*allowed.lead_data_scientist, *allowed.data_scientist}
    made: dict[str, Any] = {
        "allowed-regions": {"regions": sorted({one.region for one in loaded})},
        "data-buckets-vpc-only": {"inboxes": list(_INBOXES)},
        "instance-types": {"types": sorted(types)},
    }
    check(loaded[-1])
    for rule, given in loaded[-1].policies.items():
        options = {_LEVEL: given} if isinstance(given, str) else dict(given)
        made[rule] = {**made.get(rule, {}), **options}
    return made


def check(settings: PlatformSettings) -> None:
    """Compare ``mlops:policies`` with what the pack can be told.

    Raises:
        SettingsError: with every problem, each with its rule.
    """
    key = keys()["policies"]
    problems = [
        f"{'.'.join([key, *map(str, error.path)])}: {error.message}; "
        "docs/policies.md lists the rules with their options"
        for error in _validator().iter_errors(_plain(settings.policies))  # pyright: ignore[reportUnknownMemberType]
    ]
    if problems:
        raise SettingsError(settings.environment, sorted(problems))


@functools.cache
def _validator() -> Draft202012Validator:
    schema = stacks.PROJECT_DIR / stacks.POLICY_PACK / SCHEMA
    return Draft202012Validator(json.loads(schema.read_text()))


def _plain(policies: Mapping[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(json.dumps(policies)))


def write(name: str, configured: Mapping[str, Any]) -> str:
    """Write the configuration of a stack for the engine; gives the file's path."""
    file = stacks.work_folder() / f"{name}.json"
    file.write_text(text(configured))
    return str(file)


def text(configured: Mapping[str, Any]) -> str:
    """A configuration as JSON."""
    return json.dumps(configured, indent=2, sort_keys=True) + "\n"
