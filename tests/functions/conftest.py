"""One hub and one dev for all tests of the functions; each test has versions of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functions.platform import Platform
from tests.localcloud.emulators import checkout, running


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(checkout(tmp_path_factory.mktemp("promotion"))) as cloud:
        yield Platform(cloud)


@pytest.fixture
def platform(deployed: Platform) -> Iterator[Platform]:
    """As left by the test before, without its faults, crashes, messages and log."""
    yield deployed
    deployed.cloud.control("DELETE", "faults")
    deployed.wire.crash_after(None)
    deployed.wire.before.clear()
    deployed.dead()
    deployed.logged.clear()
    deployed.wire.calls.clear()
