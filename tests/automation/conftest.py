"""What tests of the automation share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def without_managed_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local cloud's emulator turns them on for its process; here they only cost seconds.

    moto makes all of AWS's policies anew for each account of each test.
    """
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
