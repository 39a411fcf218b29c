"""Projects on the whole platform: vending, listing and previewing as they become more.

And, with the deployed rules and functions, the time from an approval in dev to the version in the
hub. MLOPS_BENCH_PROJECTS holds the sizes, such as ``1,10,50``.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud.demo import ORGANIZATION, TEMPLATE
from localcloud.emulator import daemon
from localcloud.environment import running_instance
from localcloud.paths import Paths
from tests.e2e.conftest import Platform, local_cloud, make_copy

SIZES = "1,10,50"
APPROVALS = 5
LAST = 5
"""Of so many vendings the median is told."""


def timed(act: Callable[[], Any]) -> float:
    """Seconds that something takes."""
    started = time.monotonic()
    act()
    return time.monotonic() - started


def growth(seconds: dict[str, float], first: dict[str, float]) -> str:
    """What each thing takes, and in brackets how many times what it took at first."""
    return ", ".join(
        f"{what} {spent:.1f} s ({spent / first[what]:.2f})" for what, spent in seconds.items()
    )


def vend(platform: Platform, name: str) -> None:
    """A project with its repositories."""
    endpoint = running_instance(Paths(platform.root)).endpoint
    url = ""
    for kind in ("build", "deploy"):
        repository = f"{ORGANIZATION}/{name}-{kind}"
        made = daemon.request(endpoint, "POST", "repositories", {"name": repository})
        url = str(made["clone_url"]).replace(repository, "{repository}")
    variables = dict.fromkeys(("MLOPS_PYTHON", "PIPELINE_PYTHON", "STEPS_PYTHON"), sys.executable)
    given = {
        "owner": "bench",
        "cost_centre": "bench",
        "organization": ORGANIZATION,
        "template": TEMPLATE,
        "variables": json.dumps(variables),
    }
    platform.automation(
        "projects", "create", name, "--clone-url", url,
        *(part for key, value in given.items() for part in ("--set", f"{key}={value}")),
    )  # fmt: skip


def approval(platform: Platform, project: str) -> list[float]:
    """Seconds from an approval in dev to the version in the hub, through rules and function."""
    dev, hub = platform.client("sagemaker", "dev"), platform.client("sagemaker", "governance")
    image = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    central = f"mlops-governance-{project}"
    told: list[float] = []
    for number in range(1, APPROVALS + 1):
        arn = dev.create_model_package(
            ModelPackageGroupName=f"mlops-dev-{project}",
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [{"Image": image}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )["ModelPackageArn"]
        dev.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        started = time.monotonic()
        while time.monotonic() - started < 120:
            listed = hub.list_model_packages(ModelPackageGroupName=central)
            if len(listed["ModelPackageSummaryList"]) == number:
                break
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{arn} was not promoted within two minutes")
        told.append(time.monotonic() - started)
    return told


def main() -> None:
    """Measure and print one line per size."""
    sizes = [int(text) for text in os.environ.get("MLOPS_BENCH_PROJECTS", SIZES).split(",")]
    first: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        platform = make_copy(Path(folder))
        try:
            local_cloud(platform, "up")
            count = 0
            for size in sizes:
                took: list[float] = []
                while count < size:
                    count += 1
                    name = f"bench{count}"
                    took.append(timed(lambda name=name: vend(platform, name)))
                seconds = {
                    # Those that find the most others.
                    "vending one more": statistics.median(took[-LAST:]),
                    "projects list": timed(lambda: platform.automation("projects", "list")),
                    "preview of the hub": timed(
                        lambda: platform.automation("preview", "--stack", "governance", code=None)
                    ),
                }
                first = first or seconds
                told = growth(seconds, first)
                print(f"{size:>4} projects, to {sizes[0]} in brackets: {told}", flush=True)
            waits = approval(platform, "bench1")
            print(
                "approval in dev to the version in the hub: median"
                f" {statistics.median(waits):.2f} s, {min(waits):.2f} to {max(waits):.2f} s",
                flush=True,
            )
        finally:
            local_cloud(platform, "stop")
