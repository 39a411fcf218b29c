"""Options of all tests."""

from __future__ import annotations

import copy
import gc
import os
from pathlib import Path
from typing import Any

import botocore.loaders
import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

# How long one example takes says more about what else the machine does.
hypothesis.settings.register_profile(
    "mlops", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("mlops")


def share_botocores_data() -> None:
    """Let all sessions of this process read botocore's data once.

    A session has a loader of its own, so the first client of each reads endpoints and a service's
    model anew, which takes ten times as long as the rest of making a client. Tests have a session
    for each person. Clients of one session share what was read, and only those of S3 change it:
    they take the bucket out of the operations' paths, where moto's routes of this process need it.
    """
    loader, files = botocore.loaders.Loader, botocore.loaders.JSONFileLoader
    load, available = files.load_file, loader.list_available_services
    loaded: dict[str, Any] = {}
    listed: dict[tuple[str, ...], list[str]] = {}

    def load_file(self: Any, file_path: str) -> Any:
        if file_path not in loaded:
            loaded[file_path] = load(self, file_path)
        changed = {"s3", "s3control"} & set(Path(file_path).parts)
        return copy.deepcopy(loaded[file_path]) if changed else loaded[file_path]

    def list_available_services(self: Any, type_name: str) -> list[str]:
        key = (type_name, *self.search_paths)
        if key not in listed:
            listed[key] = available(self, type_name)
        return listed[key]

    files.load_file = load_file
    loader.list_available_services = list_available_services


share_botocores_data()

# Services' models are objects by the hundred thousand that stay: to look for garbage among them
# after each 700 new ones takes a third of the tests' time.
gc.set_threshold(100_000, 20, 20)

# Tests have local clouds of their own: a shell that belongs to another is not theirs.
os.environ.pop("LOCALCLOUD_INSTANCE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write golden files and derived pages anew, for review",
    )


SHARING = ("test_catalog.py", "test_platform.py", "test_policy_linters.py", "test_way.py")
"""Files whose tests share one platform, which takes longer to come up than most of them."""


class Scheduling(LoadFileScheduling):
    """Each file is one worker's; those that share a platform are one worker's together."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the platform" if file.endswith(SHARING) else file


def pytest_xdist_auto_num_workers() -> int:
    """Hook of pytest-xdist. Half of the time tests wait for processes that they started."""
    return (os.cpu_count() or 1) + 2


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Hook of pytest-xdist. Its groups by marker do nothing under pytest 9.2."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files first, so that no worker is left with one of them at the end."""
    places: dict[str, int] = {}
    for item in items:
        place = (
            0 if item.get_closest_marker("e2e") else 1 if item.get_closest_marker("engine") else 2
        )
        places[item.path.name] = min(place, places.get(item.path.name, place))
    items.sort(key=lambda item: places[item.path.name])
