"""`python -m automation models list` as versions become more.

In one process, by an ML engineer's profile, on an emulated hub: without the start of Python, which
does not grow. MLOPS_BENCH_VERSIONS holds the sizes, of ten projects together.
"""

from __future__ import annotations

import os
import re
import tempfile
from itertools import cycle, islice
from pathlib import Path

from tests.automation.test_models_emulated import REPORT, Desk, opened, seated
from tests.benchmarks.projects import growth, timed
from tests.benchmarks.promotion import quiet
from tests.functions.platform import message

SIZES = "10,100,1000"
PROJECTS = 10
_VERSION = re.compile(r"p[0-9a-f]+:[1-9]")
LISTINGS = {
    "models list": ("list",),
    "with all metrics": ("list", "--metrics", "all"),
}


def promote(desk: Desk, project: str) -> None:
    """A version, registered in dev and promoted."""
    platform = desk.hub.platform
    given = desk.hub.version(project, REPORT, ModelApprovalStatus="Approved")
    arn = platform.dev.create_model_package(**given)["ModelPackageArn"]
    assert platform.deliver(message(arn)) == []


def measured(desk: Desk, versions: int) -> dict[str, float]:
    """Seconds of each listing, the shorter of two."""
    told: dict[str, float] = {}
    for name, arguments in LISTINGS.items():
        lines: list[str] = []

        def ask(arguments: tuple[str, ...] = arguments, lines: list[str] = lines) -> None:
            lines[:] = desk.run(*arguments).splitlines()

        told[name] = min(timed(ask) for _ in range(2))
        assert sum(bool(_VERSION.match(line)) for line in lines) == versions
    return told


def main() -> None:
    """Measure and print a line for each size."""
    sizes = [int(text) for text in os.environ.get("MLOPS_BENCH_VERSIONS", SIZES).split(",")]
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as desk, seated(desk):
        projects = cycle([desk.hub.project() for _ in range(PROJECTS)])
        count, first = 0, dict[str, float]()
        for size in sizes:
            with quiet():
                for project in islice(projects, size - count):
                    promote(desk, project)
            count = size
            took = measured(desk, size)
            first = first or took
            told = growth(took, first)
            print(f"{size:>5} versions, to {sizes[0]} in brackets: {told}", flush=True)
