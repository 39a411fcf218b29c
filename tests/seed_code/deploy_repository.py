"""The deployment repository as a project gets it: rendered, its modules loaded, its program run."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import json
import os
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pulumi
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime.stack import run_pulumi_func

from automation.projects import rendering, templates

ROOT = Path(__file__).parents[2]
BASE = ROOT / "seed_code" / "_base" / "deploy"
TEMPLATE = "xgboost-realtime"
MODULES = ("settings", "serving", "monitoring", "batch", "verification", "deploy")

HUB, TARGET, REGION = "111111111111", "333333333333", "eu-west-1"
GROUP = "acme-governance-abalone"
ARN = f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/{GROUP}/7"
ANSWERS = {
    "project_name": "abalone",
    "project_id": "p-abc123def456",
    "prefix": "acme",
    "region": REGION,
    "owner": "ml-team",
    "cost_centre": "cc-1",
}
VERSION = {
    "model_package_arn": ARN,
    "image": f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/acme-governance-xgb@sha256:{'a' * 64}",
    "model_data_url": "s3://acme-governance-models/promoted/abalone/7/model.tar.gz",
    "environment": {"MODE": "package"},
    "content_types": ["text/csv"],
    "response_types": ["text/csv"],
}
ENVIRON = {
    "MLOPS_PREFIX": "acme",
    "MLOPS_PROJECT": "abalone",
    "MLOPS_REGION": REGION,
    "MLOPS_HUB_ACCOUNT": HUB,
    "MLOPS_TARGET_ACCOUNT": TARGET,
}
PARAMETERS = {
    "vpc/private-subnet-ids": "subnet-a,subnet-b",
    "vpc/security-group-ids": "sg-1",
    "kms/storage/arn": f"arn:aws:kms:{REGION}:{TARGET}:key/storage",
    "kms/logs/arn": f"arn:aws:kms:{REGION}:{TARGET}:key/logs",
    "buckets/logs": "acme-preprod-logs",
    "alerts/topic-arn": f"arn:aws:sns:{REGION}:{TARGET}:acme-preprod-alerts",
}


def render(folder: Path, answers: Mapping[str, str] = ANSWERS, template: str = TEMPLATE) -> Path:
    """The repository in a folder, as vending makes it."""
    values = {**answers, **templates.load()[template].with_defaults({})}
    with rendering.assembled(template, "deploy") as content:
        rendering.render(content, template, values, folder)
    return folder


@contextlib.contextmanager
def _alone(folder: Path = BASE) -> Iterator[None]:
    """Other repositories have modules of the same names: none is left in ``sys.modules``."""
    kept = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(kept)


def modules() -> SimpleNamespace:
    """The repository's modules by their names, which share their classes with each other."""
    with _alone():
        return SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})


MADE = modules()


@dataclass
class Ran:
    """What the program registered and exported."""

    resources: list[pulumi.runtime.MockResourceArgs] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    exports: dict[str, Any] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)

    def of(self, token: str) -> list[dict[str, Any]]:
        """Inputs of all resources of a type."""
        return [dict(made.inputs) for made in self.resources if made.typ == token]

    def one(self, token: str) -> dict[str, Any]:
        """Inputs of the only resource of a type."""
        [found] = self.of(token)
        return found


class _Monitor(pulumi_mocks.MockMonitor):
    """Keeps the requests, which tell more than the inputs."""

    def __init__(self, mocks: Any, requests: list[Any]) -> None:
        super().__init__(mocks)
        self._requests = requests

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the base class's name
        self._requests.append(request)
        return super().RegisterResource(request)


class _Mocks(pulumi.runtime.Mocks):
    def __init__(self, ran: Ran, parameters: Mapping[str, str], environment: str) -> None:
        self._ran, self._parameters = ran, parameters
        self._path = f"/acme/{environment}/"

    def new_resource(
        self, args: pulumi.runtime.MockResourceArgs
    ) -> tuple[str | None, dict[str, Any]]:
        self._ran.resources.append(args)
        state = dict(args.inputs)
        if args.typ.startswith("aws:sagemaker/"):
            state.setdefault("name", f"{args.name}-0a1b2c3")
            kind = args.typ.rpartition(":")[2].lower()
            state["arn"] = f"arn:aws:sagemaker:{REGION}:{TARGET}:{kind}/{state['name']}"
        return f"{args.name}-id", state

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        assert args.token == "aws:ssm/getParameter:getParameter"
        name = args.args["name"]
        self._ran.asked.append(name)
        return {"name": name, "value": self._parameters[name.removeprefix(self._path)]}


def run_program(
    config: Mapping[str, Any] | None = None,
    *,
    environment: str = "preprod",
    environ: Mapping[str, str] = ENVIRON,
    version: Mapping[str, Any] = VERSION,
    parameters: Mapping[str, str] = PARAMETERS,
    folder: Path = BASE,
) -> Ran:
    """``__main__.py`` under mocks; configuration values are given as in a stack file."""
    whole: dict[str, Any] = {
        "project_id": ANSWERS["project_id"],
        "tags": {"owner": "ml-team", "cost_centre": "cc-1"},
        **(config or {}),
    }
    values = {
        f"abalone-deploy:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in whole.items()
    }
    ran = Ran()
    mocks = _Mocks(ran, parameters, environment)
    given = {**environ, "MLOPS_VERSION": json.dumps(version), "PULUMI_CONFIG": json.dumps(values)}

    def body() -> None:
        with _alone(folder), _environment(given), _exports(ran):
            runpy.run_path(str(folder / "__main__.py"))

    async def drive() -> None:
        pulumi.runtime.set_mocks(
            mocks,
            project="abalone-deploy",
            stack=environment,
            monitor=_Monitor(mocks, ran.requests),
        )
        pulumi.runtime.set_all_config(values)
        await run_pulumi_func(body)

    contextvars.copy_context().run(lambda: asyncio.run(drive()))
    return ran


@contextlib.contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    for name in list(os.environ):
        if name.startswith("MLOPS_"):
            del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


@contextlib.contextmanager
def _exports(ran: Ran) -> Iterator[None]:
    original: Callable[..., None] = pulumi.export

    def export(name: str, value: Any) -> None:
        pulumi.Output.from_input(value).apply(lambda known: ran.exports.update({name: known}))

    pulumi.export = export
    try:
        yield
    finally:
        pulumi.export = original


def filled(text: str, given: Mapping[str, Mapping[str, str]]) -> str:
    """A text of the workflow with its expressions, as far as it has some.

    They are members of contexts, and ``contains(TEXT, ',') && 'A' || TEXT`` of one.
    """
    text = re.sub(
        r"\$\{\{ contains\((\w+)\.(\w+), '(.)'\) && '(\w+)' \|\| \1\.\2 \}\}",
        lambda found: (
            found[4] if found[3] in given[found[1]][found[2]] else given[found[1]][found[2]]
        ),
        text,
    )
    return re.sub(r"\$\{\{ (\w+)\.(\w+) \}\}", lambda found: given[found[1]][found[2]], text)
