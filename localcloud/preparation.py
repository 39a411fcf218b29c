"""What is made once for a Python environment: the IAM evaluator and the served types' schemas."""

from __future__ import annotations

from pathlib import Path

from localcloud.authorization import install
from localcloud.paths import CHECKOUT


def prepare() -> Path:
    """Make what is missing; done before, it takes no time.

    Returns:
        The folder of the IAM evaluator.

    Raises:
        NotInstalledError: npm packages could not be fetched.
    """
    # Imported here: reading the SDK is slow, and not every command needs it.
    from localcloud.provider import schema, table

    evaluator = install(CHECKOUT.local)
    schema.keep(table.load())
    return evaluator
