"""Mocks for components: what AWS would compute, and all that was registered."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import rpc
from pulumi.runtime import settings as pulumi_settings
from pulumi.runtime.stack import run_pulumi_func

from components.naming import Placement
from localcloud.authorization import Evaluator, install
from localcloud.paths import CHECKOUT

GOLDEN = Path(__file__).parent / "golden"

ACCOUNTS = {
    "governance": "111111111111",
    "dev": "222222222222",
    "preprod": "333333333333",
    "prod": "444444444444",
}
REGION = "eu-west-1"


@dataclass(frozen=True)
class Registered:
    """A resource as the program registered it."""

    type: str
    name: str
    urn: str
    inputs: dict[str, Any]
    needs: frozenset[str]
    """URNs of what is made before it."""

    def document(self, key: str = "policy") -> dict[str, Any]:
        """One of its policy documents, parsed."""
        return json.loads(self.inputs[key])


class Monitor(pulumi_mocks.MockMonitor):
    """The SDK's, which also knows what each resource waits for."""

    def __init__(self, mocks: pulumi.runtime.Mocks) -> None:
        super().__init__(mocks)
        self.needs: dict[str, frozenset[str]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name of it
        answer = super().RegisterResource(request)
        self.needs[answer.urn] = frozenset(request.dependencies)
        return answer


class AwsMocks(pulumi.runtime.Mocks):
    """Answers with the ids and ARNs that AWS computes; with ``preview``, knows none of them."""

    def __init__(self, *, preview: bool = False) -> None:
        self._preview = preview
        self.monitor = Monitor(self)
        self.seen: list[pulumi.runtime.MockResourceArgs] = []

    def new_resource(
        self, args: pulumi.runtime.MockResourceArgs
    ) -> tuple[str | None, dict[str, Any]]:
        self.seen.append(args)
        state = dict(args.inputs)
        if self._preview and args.typ != "pulumi:pulumi:StackReference":
            return None, {} if args.typ == "awsx:ec2:Vpc" else state
        identity = _identity(args)
        arn = _arn(args, identity)
        if arn is not None:
            state.setdefault("arn", arn)
        if args.typ == "aws:kms/key:Key":
            state["keyId"] = identity
        if args.typ == "aws:ec2/vpcEndpoint:VpcEndpoint":
            state["prefixListId"] = f"pl-{args.name}"
        if args.typ == "awsx:ec2:Vpc":
            state = self._vpc(args)
        if args.typ == "pulumi:pulumi:StackReference":
            stack = args.inputs["name"].rpartition("/")[2]
            state["outputs"] = {
                "endpoint_ids": {"s3": f"vpce-{stack}-s3", "kms": f"vpce-{stack}-kms"}
            }
        return identity, state

    def _vpc(self, args: pulumi.runtime.MockResourceArgs) -> dict[str, Any]:
        zones = range(int(args.inputs["numberOfAvailabilityZones"]))
        tiers = [spec["type"].lower() for spec in args.inputs["subnetSpecs"]]
        ids = {
            f"{tier}SubnetIds": [f"subnet-{tier}-{zone}" for zone in zones] if tier in tiers else []
            for tier in ("public", "private", "isolated")
        }
        tables = [self._reference("aws:ec2/routeTable:RouteTable", f"rtb-{n}") for n in zones]
        return {"vpcId": "vpc-1", "routeTables": tables, **ids}

    def _reference(self, token: str, identity: str) -> dict[str, str]:
        """A resource made by a remote component, as the engine hands it to a program."""
        urn = f"urn:pulumi:dev::mlops::{token}::{identity}"
        self.monitor.resources[urn] = pulumi_mocks.MockMonitor.ResourceRegistration(
            urn, identity, {"id": identity}
        )
        return {rpc._special_sig_key: rpc._special_resource_sig, "urn": urn, "id": identity}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"components read no data sources, but {args.token} was called")


def _identity(args: pulumi.runtime.MockResourceArgs) -> str:
    inputs = args.inputs
    if args.typ == "aws:s3/bucket:Bucket":
        return inputs["bucket"]
    if args.typ in ("aws:iam/role:Role", "aws:ssm/parameter:Parameter"):
        return inputs["name"]
    return f"{args.name}-id"


def _arn(args: pulumi.runtime.MockResourceArgs, identity: str) -> str | None:
    account, name = ACCOUNTS["dev"], args.inputs.get("name", args.name)
    group = args.inputs.get("modelPackageGroupName")
    regional = f"{REGION}:{account}"
    return {
        "aws:s3/bucket:Bucket": f"arn:aws:s3:::{identity}",
        "aws:kms/key:Key": f"arn:aws:kms:{regional}:key/{identity}",
        "aws:iam/role:Role": f"arn:aws:iam::{account}:role/{name}",
        "aws:iam/policy:Policy": f"arn:aws:iam::{account}:policy/{name}",
        "aws:codebuild/project:Project": f"arn:aws:codebuild:{regional}:project/{name}",
        "aws:codepipeline/pipeline:Pipeline": f"arn:aws:codepipeline:{regional}:{name}",
        "aws:lambda/function:Function": f"arn:aws:lambda:{regional}:function:{name}",
        "aws:sns/topic:Topic": f"arn:aws:sns:{regional}:{name}",
        "aws:sqs/queue:Queue": f"arn:aws:sqs:{regional}:{name}",
        "aws:cloudwatch/eventBus:EventBus": f"arn:aws:events:{regional}:event-bus/{name}",
        "aws:cloudwatch/logGroup:LogGroup": f"arn:aws:logs:{regional}:log-group:{name}",
        "aws:ram/resourceShare:ResourceShare": f"arn:aws:ram:{regional}:resource-share/{identity}",
        "aws:sagemaker/modelPackageGroup:ModelPackageGroup": (
            f"arn:aws:sagemaker:{regional}:model-package-group/{group}"
        ),
    }.get(args.typ)


@dataclass
class Program:
    """What a program registered, and what it returned."""

    resources: list[Registered] = field(default_factory=list)
    result: Any = None

    def of(self, token: str) -> list[Registered]:
        """All resources of a type."""
        return [resource for resource in self.resources if resource.type == token]

    def one(self, token: str, name: str) -> Registered:
        """The resource with a type and a logical name."""
        found = [resource for resource in self.of(token) if resource.name == name]
        assert len(found) == 1, f"{token} {name}: {[r.name for r in self.of(token)]}"
        return found[0]

    def documents(self) -> Iterator[tuple[Registered, str, dict[str, Any]]]:
        """Every policy document among the inputs, with its resource and property."""
        for resource in self.resources:
            for key, text in resource.inputs.items():
                if isinstance(text, str) and '"Statement"' in text:
                    yield resource, key, json.loads(text)


def run_program(
    program: Callable[[], Any], *, preview: bool = False, stack: str = "dev"
) -> Program:
    """Runs a program against mocks.

    Pulumi keeps its settings in context variables, so a context of its own restores them.
    """
    return contextvars.copy_context().run(_run, program, preview, stack)


def _run(program: Callable[[], Any], preview: bool, stack: str) -> Program:
    aws_mocks = AwsMocks(preview=preview)
    monitor = aws_mocks.monitor
    finished = Program()

    async def drive() -> None:
        pulumi.runtime.set_mocks(
            aws_mocks, project="mlops", stack=stack, preview=preview, monitor=monitor
        )

        async def body() -> None:
            finished.result = program()
            if inspect.isawaitable(finished.result):
                finished.result = await finished.result

        await run_pulumi_func(body)

    try:
        asyncio.run(drive())
    except Exception:
        # What a program that failed leaves open would fail the next.
        pulumi_settings.SETTINGS.rpc_manager.clear()
        pulumi_settings.SETTINGS.outputs.clear()
        raise
    by_name = {
        (urn.split("::")[2].rpartition("$")[2], urn.split("::")[3]): urn
        for urn in monitor.get_registered_resources()
    }
    for seen in aws_mocks.seen:
        urn, inputs = by_name[seen.typ, seen.name], _plain(dict(seen.inputs))
        needs = monitor.needs.get(urn, frozenset())
        finished.resources.append(Registered(seen.typ, seen.name, urn, inputs, needs))
    twice = len(aws_mocks.seen) - len({(seen.typ, seen.name) for seen in aws_mocks.seen})
    assert not twice, "two resources share type and name"
    return finished


def _plain(value: Any) -> Any:
    """Inputs without the wrapping of secrets."""
    if isinstance(value, dict):
        if value.get(rpc._special_sig_key) == rpc._special_secret_sig:
            return _plain(value["value"])
        return {key: _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def function_network() -> Any:
    """Where a function of the hub runs, a ``FunctionNetwork``."""
    return {
        "subnet_ids": ["subnet-a", "subnet-b"],
        "security_group_ids": ["sg-a"],
        "logs_key_arn": "logs-key",
        "messages_key_arn": "key",
        "boundary_arn": "boundary",
        "alerts_topic_arn": "topic",
        "log_retention_days": 365,
    }


def place(environment: str, **changes: Any) -> Placement:
    """A placement of the tests' company."""
    accounts = changes.pop("accounts", ACCOUNTS)
    placement: dict[str, Any] = {
        "prefix": "acme",
        "environment": environment,
        "region": REGION,
        "account_id": accounts[environment],
        "accounts": dict(accounts),
        "organization_id": "o-exampleorg1",
        "protect": False,
        **changes,
    }
    return Placement(**{key: value for key, value in placement.items() if value is not None})


@pytest.fixture
def run() -> Callable[..., Program]:
    """:func:`run_program`."""
    return run_program


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Compares a value with ``golden/<name>.json``; ``--update-golden`` writes it anew."""

    def check(name: str, value: Any) -> None:
        path = GOLDEN / f"{name}.json"
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        if request.config.getoption("--update-golden", default=False):
            path.write_text(text)
        assert path.exists(), f"{path} is missing: run pytest with --update-golden and review it"
        assert text == path.read_text(), f"{path} differs: review, then --update-golden"

    return check


@pytest.fixture(scope="session")
def evaluator() -> Iterator[Evaluator]:
    """IAM's evaluation, as the local cloud uses it."""
    install(CHECKOUT.local)
    with Evaluator.start() as evaluator:
        yield evaluator
