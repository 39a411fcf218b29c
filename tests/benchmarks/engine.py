"""The stacks on the local cloud against two floors, in one run: all as they are, dev also grown.

Each floor is a bare Pulumi program with as many resources. The engine's floor has resources that do
nothing (components, so without any provider at all); the provider's floor has SSM parameters, the
simplest resource that the same provider makes with one call, through as many provider processes as
the stack has (one for each account that it makes something in). dev grows by more model package
groups. All stacks together are compared, too. Times are wall-clock seconds, the least of all
repetitions, because whatever else a machine does only adds to them: three previews, and the stacks
as they are three times over, each time on a local cloud of its own. Memory is the largest process
in MiB. Only the ratios of one run mean anything.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Platform, local_cloud, make_copy, started

PREVIEWS = 3
ROUNDS = {1: 3, 3: 1, 10: 1}
"""Times dev's size -> how often all is made anew."""
STACKS = ("dev", "preprod", "prod", "governance")
_FLOORS = {
    "engine": """import pulumi
class Trivial(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("bench:index:Trivial", name)
for index in range({count}):
    Trivial(f"trivial-{{index}}")
""",
    "provider": """import pulumi, pulumi_aws as aws
ways = [pulumi.ResourceOptions(provider=aws.Provider(f"way-{{way}}")) for way in range({providers})]
for index in range({count} - {providers}):
    name = f"/bench/{stack}/{count}/{{index}}"
    way = ways[index % {providers}]
    aws.ssm.Parameter(f"trivial-{{index}}", name=name, type="String", value="x", opts=way)
""",
}


@dataclass(frozen=True)
class Measured:
    """One command."""

    seconds: float
    mebibytes: float


def measure(platform: Platform, folder: Path, *command: str) -> Measured:
    """Run a command to its end."""
    started = time.monotonic()
    pid = os.posix_spawnp(
        "sh",
        ["sh", "-c", f"cd '{folder}' && exec \"$@\" >'{folder}/bench.log' 2>&1", "sh", *command],
        platform.checkpoints(),
    )
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"{command} failed:\n{(folder / 'bench.log').read_text()[-3000:]}")
    return Measured(time.monotonic() - started, usage.ru_maxrss / 1024)


def least(repeated: Iterable[Measured]) -> Measured:
    """The quickest of some repetitions."""
    return min(repeated, key=lambda one: one.seconds)


def both(platform: Platform, folder: Path, stack: str) -> tuple[Measured, Measured]:
    """The quickest preview, and the update."""
    preview = least(
        measure(platform, folder, "pulumi", "preview", "-s", stack, "--non-interactive")
        for _ in range(PREVIEWS)
    )
    update = measure(
        platform, folder, "pulumi", "up", "-s", stack, "--yes", "--skip-preview",
        "--non-interactive",
    )  # fmt: skip
    return preview, update


def resources(platform: Platform, folder: Path, stack: str) -> tuple[int, int]:
    """How many resources the stack holds, and how many of them are providers of AWS."""
    exported = platform.run(
        "pulumi", "stack", "export", "-s", stack, "--cwd", str(folder), "--non-interactive"
    )
    held = json.loads(exported.stdout)["deployment"]["resources"]
    return len(held), sum(one["type"] == "pulumi:providers:aws" for one in held)


def bare(
    platform: Platform, parent: Path, floor: str, count: int, providers: int
) -> tuple[Measured, Measured]:
    """A floor for a number of resources, and of providers among them."""
    folder = parent / f"{floor}-{count}"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(f"name: {parent.name}-{floor}{count}\nruntime: python\n")
    (folder / "__main__.py").write_text(
        _FLOORS[floor].format(count=count, providers=providers, stack=parent.name)
    )
    platform.run("pulumi", "stack", "init", "bench", "--cwd", str(folder), "--non-interactive")
    return both(platform, folder, "bench")


def main() -> None:
    """Measure and print one table."""
    for size, rounds in ROUNDS.items():
        stacks = STACKS if size == 1 else STACKS[:1]
        told = [
            best(every) for every in zip(*(made(size, stacks) for _ in range(rounds)), strict=True)
        ]
        for stack, compared in zip(stacks, told, strict=True):
            tell(stack, size, [compared])
        if len(told) > 1:
            tell("together", size, told)


def made(size: int, stacks: Sequence[str]) -> list[Compared]:
    """Make stacks on a local cloud of their own, dev at a size, with their floors."""
    with tempfile.TemporaryDirectory() as folder:
        platform = make_copy(Path(folder))
        # Each three resources: group, policy, parameter; dev itself has about 180.
        groups = [f"group-{index}" for index in range((size - 1) * 60)]

        def grow(config: dict[str, Any]) -> None:
            config["mlops:registry"]["model_package_groups"] += groups

        platform.edit("dev", grow)
        try:
            started(platform)
            return [compare(platform, Path(folder), stack) for stack in stacks]
        finally:
            local_cloud(platform, "stop")


@dataclass(frozen=True)
class Compared:
    """A stack and its floors: preview and update of each."""

    resources: int
    runs: dict[str, tuple[Measured, Measured]]
    """By whose they are: the stack's (``ours``) and each floor's."""


def best(rounds: Sequence[Compared]) -> Compared:
    """The quickest of a stack's rounds, for each command by itself."""
    runs = {
        whose: (
            least(one.runs[whose][0] for one in rounds),
            least(one.runs[whose][1] for one in rounds),
        )
        for whose in rounds[0].runs
    }
    return Compared(rounds[0].resources, runs)


def compare(platform: Platform, folder: Path, stack: str) -> Compared:
    """Make a stack, then both floors with as many resources."""
    platform.run("pulumi", "stack", "init", stack, "--non-interactive")
    own = both(platform, platform.root, stack)
    count, providers = resources(platform, platform.root, stack)
    parent = folder / stack
    parent.mkdir()
    floors = {name: bare(platform, parent, name, count, providers) for name in _FLOORS}
    print(f"{stack}: made with its floors", file=sys.stderr)
    return Compared(count, {"ours": own, **floors})


def tell(name: str, size: int, compared: list[Compared]) -> None:
    """Print a line for the preview and one for the update: times added up, the largest memory."""
    count = sum(one.resources for one in compared)
    for index, verb in enumerate(("preview", "up")):
        of = {
            whose: Measured(
                sum(one.runs[whose][index].seconds for one in compared),
                max(one.runs[whose][index].mebibytes for one in compared),
            )
            for whose in ("ours", *_FLOORS)
        }
        told = [f"{name:<10} {size:>3}x {count:>5} resources {verb:<8}{_shown(of['ours'])}"]
        for floor in _FLOORS:
            ratio = of["ours"].seconds / of[floor].seconds
            told.append(f"{floor} {_shown(of[floor])}, ratio {ratio:.2f}")
        print("; ".join(told), flush=True)


def _shown(measured: Measured) -> str:
    return f"{measured.seconds:6.1f} s {measured.mebibytes:5.0f} MiB"
