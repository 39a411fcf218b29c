"""What the installed ``pulumi_aws`` says of each resource type: its properties and their types."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import pickle
import re
import threading
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin

from localcloud.paths import CHECKOUT
from localcloud.whole_files import write_whole

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine sends a value that is not known yet, as `pulumi.runtime.rpc.UNKNOWN`."""

_IMPORTING = threading.Lock()
"""`pulumi_aws` loads its modules when they are first looked into, which two threads must not do."""


@dataclass(frozen=True)
class Kind:
    """What a property holds.

    Attributes:
        is_list: Whether it holds a list.
        fields: The properties of the object, or of the list's objects, by their camelCase names;
            None for plain values and free maps.
    """

    is_list: bool
    fields: Mapping[str, Kind] | None


@dataclass(frozen=True)
class Schema:
    """The properties of one resource type, by their camelCase names.

    Attributes:
        inputs: Input property -> what it holds.
        required: Inputs without which the resource cannot be made.
        outputs: Every property that the resource has once it exists.
    """

    inputs: Mapping[str, Kind]
    required: frozenset[str]
    outputs: Mapping[str, Kind]


@functools.cache
def _classes() -> dict[str, tuple[str, str]]:
    spec = importlib.util.find_spec("pulumi_aws")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pulumi_aws is not installed: run make venv")
    text = Path(spec.origin).read_text(encoding="utf-8")
    match = re.search(r'resource_modules="""\s*(\[.*?\])\s*"""', text, re.DOTALL)
    if match is None:
        raise RuntimeError(f"{spec.origin} does not register its resource modules as expected")
    return {
        token: (module["fqn"], name)
        for module in json.loads(match[1])
        for token, name in module["classes"].items()
    }


def known_types() -> frozenset[str]:
    """Every resource type of the installed ``pulumi_aws``."""
    return frozenset(_classes())


@functools.cache
def schema(token: str) -> Schema | None:
    """The schema of a type token, None when ``pulumi_aws`` has no such type."""
    kept = _kept().get(token)
    if kept is not None:
        return kept
    if token not in _classes():
        return None
    module, name = _classes()[token]
    with _IMPORTING:
        return _schema(importlib.import_module(module), name)


def _file() -> Path:
    # Another SDK, another reading of it: another file.
    reading = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    version = importlib.metadata.version("pulumi-aws")
    return CHECKOUT.local / "schemas" / f"pulumi-aws-{version}-{reading}.pickle"


@functools.cache
def _kept() -> Mapping[str, Schema]:
    file = _file()
    return pickle.loads(file.read_bytes()) if file.is_file() else {}  # noqa: S301 - our own file


def keep(tokens: Iterable[str]) -> None:
    """Keep the schemas of types in a file, for every provider to come.

    Reading them from ``pulumi_aws`` takes seconds of imports, each time that a provider starts.
    """
    file, wanted = _file(), set(tokens)
    if wanted <= set(_kept()):
        return
    found = {token: schema(token) for token in wanted}
    write_whole(file, pickle.dumps(found))


@functools.cache
def _sdk() -> Any:
    # The SDK offers a type's properties nowhere else. Kept schemas do without importing it.
    return importlib.import_module("pulumi._types")


def _schema(loaded: ModuleType, name: str) -> Schema:
    # Where a nested type has taken the usual name, the resource's own is "…InitArgs".
    arguments = getattr(loaded, f"{name}InitArgs", None) or getattr(loaded, f"{name}Args")
    annotations = arguments.__init__.__annotations__
    names = _sdk().input_type_py_to_pulumi_names(arguments)
    return Schema(
        inputs=_kinds(_sdk().input_type_types(arguments), ()),
        required=frozenset(
            camel
            for python, camel in names.items()
            if type(None) not in get_args(annotations[python])
        ),
        outputs=_kinds(_sdk().resource_types(getattr(loaded, name)), ()),
    )


def _kinds(types: Mapping[str, Any], above: tuple[type, ...]) -> dict[str, Kind]:
    return {name: _kind(found, above) for name, found in types.items()}


def _kind(found: Any, above: tuple[type, ...]) -> Kind:
    arguments = _nested(found)
    # A type that holds itself is not followed any further.
    inside = None
    if arguments is not None and arguments not in above:
        inside = _kinds(_sdk().input_type_types(arguments), (*above, arguments))
    return Kind(get_origin(found) in (Sequence, list), inside)


def _nested(kind: Any) -> Any:
    """The ``…Args`` class inside a type, through sequences and unions; None for plain values."""
    if isinstance(kind, type) and _sdk().is_input_type(kind):
        return kind
    if get_origin(kind) in (typing.Union, Sequence, list):
        for part in get_args(kind):
            found = _nested(part)
            if found is not None:
                return found
    return None


def unknown_inputs(
    inputs: Mapping[str, Any], known: Mapping[str, Kind]
) -> Iterator[tuple[str, str]]:
    """Inputs at any depth that the type does not have: (path, what is wrong)."""
    for name, value in inputs.items():
        if name.startswith("__"):
            continue
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            yield name, f"this type has no property {name!r}.{hint}"
            continue
        inside = known[name].fields
        if inside is None:
            continue
        items = value if isinstance(value, list) else [value]
        for index, item in enumerate(items):
            if isinstance(item, Mapping):
                place = f"{name}[{index}]" if isinstance(value, list) else name
                for path, reason in unknown_inputs(item, inside):
                    yield f"{place}.{path}", reason


def has_unknown(value: Any) -> bool:
    """Whether a value is, or holds, something not known before the update."""
    if isinstance(value, Mapping):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return value == UNKNOWN
