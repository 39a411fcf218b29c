"""The gRPC stubs of the `pulumi` wheel, without the SDK that lies around them."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Generator
from types import ModuleType

_AROUND = ("pulumi", "pulumi.runtime")
"""Packages that hold the stubs; their own modules are the whole SDK."""


@contextlib.contextmanager
def without_sdk() -> Generator[None]:
    """Import `pulumi.runtime.proto` in this block, and no more of the SDK than that.

    The stubs need nothing of the SDK, and importing it is a third of what it takes a plugin to
    start, which each command of the engine does more than once. Where the SDK is already there,
    or comes later, it is the usual one.
    """
    if "pulumi" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("pulumi")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("pulumi is not installed: run make venv")
    folders = list(spec.submodule_search_locations)
    for name in _AROUND:
        package = ModuleType(name)
        package.__path__ = ["/".join((folder, *name.split(".")[1:])) for folder in folders]
        sys.modules[name] = package
    try:
        yield
    finally:
        for name in _AROUND:
            del sys.modules[name]
