"""Reads resource types and their input properties from the installed ``pulumi_aws`` SDK."""

from __future__ import annotations

import importlib
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pulumi
from pulumi import _types

MAX_DEPTH = 8
"""Deepest nesting that is walked; deeper inputs repeat the types above (QuickSight, WAF)."""


@cache
def args_type(token: str) -> type[Any]:
    """The class with the input properties of a resource type, such as ``BucketArgs``.

    Raises:
        LookupError: the SDK has no such type.
    """
    package, module_path, name = token.split(":")
    if package != "aws":
        raise LookupError(f"{token}: not a type of the aws package")
    folder, _, _file = module_path.partition("/")
    python_folder = {"lambda": "lambda_"}.get(folder, folder)
    module = importlib.import_module(f"pulumi_aws.{python_folder}")
    resource = getattr(module, name, None)
    if resource is None or getattr(resource, "pulumi_type", token) != token:
        raise LookupError(f"{token}: pulumi_aws.{python_folder} has no class {name} of that token")
    defined_in = importlib.import_module(resource.__module__)
    # The SDK names it so where a nested input has already taken the plain name.
    return getattr(defined_in, f"{name}InitArgs", None) or getattr(defined_in, f"{name}Args")


@cache
def inputs(kind: type[Any]) -> Mapping[str, type[Any] | None]:
    """Input property -> the nested input class, or None for plain values."""
    hints = _types.input_type_types(kind)
    names = _types.input_type_py_to_pulumi_names(kind).values()
    return {name: _nested(hints.get(name)) for name in names}


def _nested(hint: Any) -> type[Any] | None:
    for candidate in _flatten(hint):
        if isinstance(candidate, type) and _types.is_input_type(candidate):
            return candidate
    return None


def _flatten(hint: Any) -> Iterator[Any]:
    if isinstance(hint, type) and not typing.get_args(hint):
        yield hint
        return
    for part in typing.get_args(hint):
        if typing.get_origin(part) is pulumi.Output:
            continue
        yield from _flatten(part)


def has_path(token: str, path: Sequence[str]) -> bool:
    """Whether a resource type has an input at a path; list positions are left out of the path.

    Raises:
        LookupError: the SDK has no such type.
    """
    kind: type[Any] | None = args_type(token)
    for part in path:
        if kind is None:
            return False
        properties = inputs(kind)
        if part not in properties:
            return False
        kind = properties[part]
    return True


def walk(token: str) -> Iterator[str]:
    """Every input path of a resource type, dotted."""
    yield from _walk(args_type(token), ())


def _walk(kind: type[Any], above: tuple[str, ...]) -> Iterator[str]:
    for name, nested in inputs(kind).items():
        path = (*above, name)
        yield ".".join(path)
        if nested is not None and len(path) < MAX_DEPTH:
            yield from _walk(nested, path)


def is_block(token: str, path: str) -> bool:
    """Whether an input is an object with inputs of its own."""
    kind: type[Any] | None = args_type(token)
    for part in path.split("."):
        kind = inputs(kind)[part] if kind else None
    return kind is not None
