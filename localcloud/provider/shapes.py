"""Properties to API parameters and back, by botocore's service models.

A property and a member are the same when their letters and digits are (``kmsKeyId`` and
``KMSKeyId``); where names differ a row says so by dotted path. Nothing is dropped: a property that
has no member is an error.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.session import get_session

from localcloud.provider import schema
from localcloud.provider.schema import Kind

SIGNATURE = "4dabf18193072939515e22adb298388d"
ASSET, ARCHIVE = "c44067f5952c0a294b673a41bacd8c17", "0def7320c3a5731c473e5ecbe6d01bc7"
"""How the engine writes assets and archives."""


class UnmappedError(ValueError):
    """A property or a value that the API operation does not take; the message names both."""


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_LOADING = threading.Lock()
"""Reading a model takes long: threads that need the same one must not all do it."""


@functools.cache
def loader() -> Loader:
    """Reads and keeps botocore's data, for all sessions of this process."""
    return cast(Loader, get_session().get_component("data_loader"))


@functools.cache
def _read(service: str) -> ServiceModel:
    return ServiceModel(loader().load_service_model(service, "service-2"), service)


def service_model(service: str) -> ServiceModel:
    """Botocore's model of a service."""
    with _LOADING:
        return _read(service)


def operation(service: str, name: str) -> OperationModel:
    """The model of an operation, by its name in the API, such as ``CreateKey``."""
    return service_model(service).operation_model(name)


def members(shape: StructureShape) -> Mapping[str, Shape]:
    """The members of a structure; botocore's own property is not typed."""
    return cast("Mapping[str, Shape]", shape.members)


@functools.cache
def _members(shape: StructureShape) -> dict[str, str]:
    return {_letters(member): member for member in members(shape)}


def member_of(shape: StructureShape, name: str, rename: Mapping[str, str], path: str) -> str | None:
    """The member of a structure for a property, None when there is none."""
    if path in rename:
        return rename[path]
    members = _members(shape)
    letters = _letters(name)
    for candidate in (letters, letters.removesuffix("s"), f"{letters}s"):
        if candidate in members:
            return members[candidate]
    return None


def to_api(value: Any, shape: Shape, rename: Mapping[str, str], path: str, where: str) -> Any:
    """A property's value as the API takes it.

    Raises:
        UnmappedError: a nested property has no member in the shape, or a value is not of its kind.
    """
    if isinstance(shape, StructureShape):
        result: dict[str, Any] = {}
        if isinstance(value, list) and len(value) < 2:
            # A block that occurs at most once may come as a list of one.
            value = value[0] if value else {}
        for name, inner in _mapping(value, path, where).items():
            if name.startswith("__") or inner is None:
                continue
            inner_path = f"{path}.{name}" if path else name
            member = member_of(shape, name, rename, inner_path)
            if member is None or member not in members(shape):
                raise UnmappedError(f"{inner_path}: {where} has no such member")
            result[member] = to_api(inner, members(shape)[member], rename, inner_path, where)
        return result
    if isinstance(shape, ListShape):
        items = value if isinstance(value, list) else [value]
        return [to_api(item, cast(Shape, shape.member), rename, path, where) for item in items]
    if isinstance(shape, MapShape):
        return {
            key: to_api(inner, cast(Shape, shape.value), rename, path, where)
            for key, inner in _mapping(value, path, where).items()
        }
    return _scalar(value, shape.type_name, path, where)


def _mapping(value: Any, path: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UnmappedError(f"{path}: {where} takes one object here, not {value!r}")
    return cast("Mapping[str, Any]", value)


_BOOLEANS = {"true": True, "false": False}
_NUMBERS = {"integer": int, "long": int, "float": float, "double": float}


def _scalar(value: Any, kind: str, path: str, where: str) -> Any:
    """A plain value as the API takes it; like Pulumi's own, text that means it will do."""
    if kind == "boolean":
        value = _BOOLEANS.get(value, value) if isinstance(value, str) else value
        if not isinstance(value, bool):
            raise UnmappedError(f"{path}: {where} takes true or false here, not {value!r}")
    elif kind in _NUMBERS:
        return _number(value, _NUMBERS[kind], path, where)
    elif kind == "string" and not isinstance(value, str):
        if isinstance(value, (Mapping, list)):
            raise UnmappedError(f"{path}: {where} takes text here, not {value!r}")
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _number(value: Any, kind: type[int] | type[float], path: str, where: str) -> int | float:
    try:
        number = kind(value)
        if not isinstance(value, bool) and (isinstance(value, str) or number == value):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    wanted = "a whole number" if kind is int else "a number"
    raise UnmappedError(f"{path}: {where} takes {wanted} here, not {value!r}")


def from_api(
    value: Any, shape: Shape, kind: Kind | None, rename: Mapping[str, str], path: str
) -> Any:
    """A member's value as the property of the given Pulumi type."""
    if isinstance(shape, StructureShape):
        inside = kind.fields if kind is not None else None
        if inside is None:
            return plain(value)
        return properties(value, shape, inside, rename, path)
    if isinstance(shape, ListShape):
        items = [from_api(item, cast(Shape, shape.member), kind, rename, path) for item in value]
        if kind is not None and kind.fields is not None and not kind.is_list:
            return items[0] if items else None
        return items
    return plain(value)


def properties(
    value: Mapping[str, Any],
    shape: StructureShape,
    kinds: Mapping[str, Kind],
    rename: Mapping[str, str],
    path: str = "",
) -> dict[str, Any]:
    """A structure's members as the properties that have a counterpart there."""
    result: dict[str, Any] = {}
    for name, kind in kinds.items():
        inner_path = f"{path}.{name}" if path else name
        member = member_of(shape, name, rename, inner_path)
        if member is not None and member in members(shape) and value.get(member) is not None:
            result[name] = from_api(value[member], members(shape)[member], kind, rename, inner_path)
    return result


def plain(value: Any) -> Any:
    """An API value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in cast(Sequence[Any], value)]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.decode() if isinstance(value, bytes) else value


def constraint_violations(value: Any, shape: Shape, path: str) -> list[str]:
    """What the model forbids and botocore does not check itself: enumerations and patterns."""
    if value == schema.UNKNOWN or value is None:
        return []
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        return [
            problem
            for member, inner in value.items()
            if member in members(shape)
            for problem in constraint_violations(inner, members(shape)[member], f"{path}.{member}")
        ]
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [
            problem
            for index, inner in enumerate(value)
            for problem in constraint_violations(
                inner, cast(Shape, shape.member), f"{path}[{index}]"
            )
        ]
    if shape.type_name != "string" or not isinstance(value, str):
        return []
    allowed = cast("list[str]", getattr(shape, "enum", None) or [])
    if allowed and value not in allowed:
        return [f"{path}: {value!r} is not one of {', '.join(allowed)}"]
    pattern = cast("dict[str, Any]", shape.metadata).get("pattern")
    if pattern and not schema.has_unknown(value) and not _fits(pattern, value):
        return [f"{path}: {value!r} does not match {pattern}"]
    return []


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        # Patterns are written for Java: what Python does not know cannot be checked here.
        return re.compile(pattern)
    except re.error:
        return None


def _fits(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


def _first(item: tuple[str, Any]) -> str:
    return item[0]


def canonical(value: Any) -> Any:
    """A value in the form in which equal meanings are equal.

    Policy documents compare as JSON with one-element lists and single values alike and without the
    order of lists; lists of plain values compare without order; what is empty compares as absent;
    assets and archives compare by the engine's hash of what they hold, wherever it lies.
    """
    if isinstance(value, str):
        if value[:1] in "{[" and value[-1:] in "}]":
            try:
                return ("json", _canonical_json(json.loads(value)))
            except ValueError:
                return value
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(int(value)) if float(value).is_integer() else str(value)
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) in (ASSET, ARCHIVE) and value.get("hash"):
            return ("asset", value["hash"])
        kept = {
            key: canonical(inner)
            for key, inner in value.items()
            if not key.startswith("__") and inner not in (None, "", [], {})
        }
        return tuple(sorted(kept.items(), key=_first))
    if isinstance(value, list):
        return tuple(sorted((canonical(item) for item in value), key=repr))
    return value


def _canonical_json(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(sorted((key, _canonical_json(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        items = sorted((_canonical_json(item) for item in value), key=repr)
        return items[0] if len(items) == 1 else tuple(items)
    return value


def merge(declared: Any, observed: Any) -> Any:
    """What stands in the cloud, in the words of what was declared where they mean the same."""
    if canonical(declared) == canonical(observed):
        return declared
    if isinstance(declared, Mapping) and isinstance(observed, Mapping):
        merged = {
            key: merge(inner, observed[key]) if key in observed else inner
            for key, inner in declared.items()
        }
        return declared if canonical(merged) == canonical(declared) else merged
    if (
        isinstance(declared, list)
        and isinstance(observed, list)
        and len(declared) == len(observed)
        and any(isinstance(item, Mapping) for item in declared)
    ):
        pairs = zip(declared, observed, strict=True)
        return [merge(one, other) for one, other in pairs]
    return observed
