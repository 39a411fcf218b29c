"""Reading of resource properties, where a value may not be known yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy.proxy import UnknownValueError

from mlops_policy import iam


class NotKnownYetError(Exception):
    """A rule needs a value that is known only when the update runs."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} is not known until the update; the rule is checked then")


_UNKNOWN = object()


def _item(container: Any, key: str | int) -> Any:
    """The item, ``None`` when absent or null, ``_UNKNOWN`` when it has no value yet."""
    try:
        return container[key]
    except (KeyError, IndexError):
        return None
    except UnknownValueError:
        return _UNKNOWN


class Block:
    """A block of properties: a whole resource or an object nested in it.

    Paths are dotted property names. A list on the way stands for each of its items in
    :meth:`blocks`, and is an error of the rule elsewhere. Null counts as absent.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def _at(self, path: str) -> str:
        return f"{self._path}.{path}" if self._path else path

    def has(self, path: str) -> bool:
        """Whether a property is set; its value need not be known.

        Raises:
            NotKnownYetError: an object above the property is itself not known.
        """
        return self._find(path) is not None

    def get(self, path: str, default: Any = None) -> Any:
        """The value of a property, or the default when it is absent.

        Raises:
            NotKnownYetError: the value, or an object above it, is not known.
        """
        value = self._find(path)
        if value is _UNKNOWN:
            raise NotKnownYetError(self._at(path))
        return default if value is None else value

    def _find(self, path: str) -> Any:
        value: Any = self._values
        for part in path.split("."):
            if value is _UNKNOWN:
                raise NotKnownYetError(self._at(path))
            if not isinstance(value, Mapping):
                raise TypeError(
                    f"{self._at(path)}: {part} is looked up in something else than {{}}"
                )
            value = _item(value, part)
            if value is None:
                return None
        return value

    def blocks(self, path: str = "") -> list[Block]:
        """The objects at a path; lists on the way and at its end are spread out.

        Raises:
            NotKnownYetError: an object or a list on the way is not known.
        """
        found: list[Block] = [self]
        for part in filter(None, path.split(".")):
            found = [child for block in found for child in block._children(part)]
        return found

    def _children(self, part: str) -> list[Block]:
        value = self.get(part)
        where = self._at(part)
        if value is None:
            return []
        if isinstance(value, Mapping):
            return [Block(value, where)]
        return [Block(_known(value, i, where), f"{where}[{i}]") for i in range(len(value))]

    def strings(self, path: str) -> list[str]:
        """The items of a list of strings; empty when it is absent.

        Raises:
            NotKnownYetError: the list or one of its items is not known.
        """
        value = self.get(path, [])
        if isinstance(value, str):
            return [value]
        return [str(_known(value, i, self._at(path))) for i in range(len(value))]

    def count(self, path: str) -> int:
        """Length of a list, of which the items need not be known.

        Raises:
            NotKnownYetError: the list itself is not known.
        """
        return len(self.get(path, []))

    def mapping(self, path: str) -> dict[str, Any]:
        """An object as a plain dictionary; empty when it is absent.

        Raises:
            NotKnownYetError: the object or something in it is not known.
        """
        value = self.get(path, {})
        return plain(value, self._at(path))

    def document(self, path: str) -> iam.Document | None:
        """A policy document, given as JSON text or as an object; ``None`` when it is absent.

        Raises:
            NotKnownYetError: the document is not known.
            iam.DocumentError: it is not a policy document.
        """
        value = self.get(path)
        if value is None:
            return None
        return iam.parse(value if isinstance(value, str) else plain(value, self._at(path)))


def _known(values: Sequence[Any], index: int, path: str) -> Any:
    value = _item(values, index)
    if value is _UNKNOWN:
        raise NotKnownYetError(f"{path}[{index}]")
    return value


def plain(value: Any, path: str) -> Any:
    """The value with plain dictionaries and lists in place of the SDK's proxies.

    Raises:
        NotKnownYetError: something in it is not known.
    """
    if isinstance(value, Mapping):
        result: dict[str, Any] = {}
        for key in value:
            item = _item(value, key)
            if item is _UNKNOWN:
                raise NotKnownYetError(f"{path}.{key}")
            result[key] = plain(item, f"{path}.{key}")
        return result
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(_known(value, i, path), f"{path}[{i}]") for i in range(len(value))]
    return value


def listed(items: Iterable[object]) -> str:
    """Items for a message: sorted, unique, separated by commas."""
    return ", ".join(sorted({str(item) for item in items}))
