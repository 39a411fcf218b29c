"""Projects that failed half-way: known, gone on with, and removed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pulumi
import pytest
from moto import mock_aws

from automation import bootstrap, cli
from automation.projects import vending
from automation.projects.repositories import Archive, Git
from automation.projects.spec import read_spec
from automation.projects.vending import Vending, VendingError
from components.naming import ENVIRONMENTS
from components.settings import load_stack
from functions.vending import build
from localcloud.engine import ensure_engine
from localcloud.environment import Instance, local_environment
from localcloud.paths import CHECKOUT

pytestmark = pytest.mark.engine

ASKED = {"name": "houses", "owner": "team", "cost_centre": "1", "organization": "acme"}
IDENTITY = "p-abcdefghij12"


@pytest.fixture
def vend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vending]:
    """Projects whose stacks are files, in accounts that hold nothing."""
    instance = Instance("test", "http://127.0.0.1:1", os.getpid(), "eu-west-1", {}, {}, CHECKOUT)
    # Nothing kills the engine here; writing its state after each resource takes most of its time.
    given = {**os.environ, "PULUMI_SKIP_CHECKPOINTS": "true"}
    for name, value in local_environment(given, instance).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{ensure_engine().executable.parent}:{os.environ['PATH']}")
    states = tmp_path / "states"
    states.mkdir()
    monkeypatch.setattr(bootstrap, "backend_url", lambda *_: states.as_uri())
    monkeypatch.setattr(bootstrap, "secrets_provider", lambda *_: "passphrase")
    for kind in ("build", "deploy"):
        folder = tmp_path / "acme" / f"houses-{kind}"
        subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    platform = {stack: load_stack(CHECKOUT.root, stack) for stack in ENVIRONMENTS}
    session = boto3.Session("a", "b", region_name="eu-west-1")
    vend = Vending(
        platform,
        lambda _: session,
        Git(
            Archive(platform["governance"].names.bucket("archive"), lambda: session),
            f"{tmp_path}/{{repository}}",
        ),
        lambda _: None,
        lambda _run, _what: None,
    )
    monkeypatch.setattr(cli, "projects", lambda: vend)
    with mock_aws():
        s3: Any = session.client("s3")
        for purpose in ("pulumi-state", "archive"):
            s3.create_bucket(
                Bucket=vend.hub.names.bucket(purpose),
                CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
            )
        yield vend


def failing(*_: Any) -> Callable[[], None]:
    def make() -> None:
        raise pulumi.RunError("Half of it was made.")

    return make


def succeeding(spec: Any, *_: Any) -> Callable[[], None]:
    return lambda: pulumi.export("spec", spec.model_dump(mode="json"))


def test_what_failed_half_way_is_known_gone_on_with_and_removed(
    vend: Vending, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vend.held("houses") is None
    assert build.held_by_stack("projects", "houses") is None
    monkeypatch.setattr(vending, "program", failing)
    told: list[str] = []
    run = dataclasses.replace(vend, tell=told.append).create({**ASKED, "id": IDENTITY})
    assert not run.ok
    assert [line.partition(":")[0] for line in told] == [
        "no budget counts the cost centre 1 in dev, preprod, prod, governance"
    ]
    assert vend.held("houses") == read_spec({**ASKED, "id": IDENTITY}).model_dump(mode="json")
    assert build.held_by_stack("projects", "houses") == IDENTITY
    with pytest.raises(VendingError, match="could not be told apart"):
        vend.create({**ASKED, "name": "houses-eu"})
    with pytest.raises(VendingError, match="asked for differently"):
        vend.create({**ASKED, "owner": "others"})

    monkeypatch.setattr(vending, "program", succeeding)
    assert vend.create(ASKED).ok, "the same is gone on with"
    assert build.held_by_stack("projects", "houses") == IDENTITY, "under the id that it has"

    monkeypatch.setattr(vending, "program", failing)
    assert not vend.update("houses", {"owner": "others"}).ok
    assert (vend.held("houses") or {})["owner"] == "team"
    # What answers for an account here has another error for a pipeline that is not there.
    vend.session("dev").client("sagemaker").create_pipeline(
        PipelineName=vend.platform["dev"].names.name("houses"),
        PipelineDefinition="{}",
        ClientRequestToken="t" * 32,
        RoleArn=vend.platform["dev"].names.role_arn("houses-pipeline"),
    )
    assert vend.delete("houses").ok
    assert vend.held("houses") is None


def test_a_target_that_is_left_is_closed_and_emptied_before_its_role_goes(
    vend: Vending, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssm: Any = vend.session("governance").client("ssm")
    name = vend.hub.names.parameter("projects/houses")
    done: list[str] = []

    def make(spec: Any, *_: Any) -> Callable[[], None]:
        done.append(f"up with {', '.join(spec.targets)}")
        return lambda: pulumi.export("spec", spec.model_dump(mode="json"))

    def undeploy(_: Vending, spec: Any, target: str, action: str) -> None:
        # The role that removes is of the project as it was, and nothing new comes meanwhile.
        assert (spec.targets, action) == (("preprod", "prod"), "update")
        known = json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])
        assert known == {"ci": "codepipeline", "targets": ["preprod"]}
        done.append(f"removed from {target}")

    monkeypatch.setattr(vending, "program", make)
    monkeypatch.setattr(Vending, "_undeploy", undeploy)
    assert vend.create({**ASKED, "id": IDENTITY}).ok
    known = {"ci": "codepipeline", "targets": ["preprod", "prod"]}
    ssm.put_parameter(Name=name, Value=json.dumps(known), Type="String")
    assert vend.update("houses", {"targets": ["preprod"]}).ok
    assert done == ["up with preprod, prod", "removed from prod", "up with preprod"]


def test_with_workflows_a_target_is_left_when_its_endpoint_is_gone(vend: Vending) -> None:
    sagemaker: Any = vend.session("prod").client("sagemaker")
    spec = read_spec({**ASKED, "ci": "github", "token_secret": "arn:aws:secretsmanager:x"})
    endpoint = vend.platform["prod"].names.name("houses")
    sagemaker.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::111111111111:role/m")
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large",
               "InitialInstanceCount": 1}  # fmt: skip
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName="c")
    with pytest.raises(VendingError, match=r"then update the project again: .*environments=prod"):
        vend._undeploy(spec, "prod", "update")
    sagemaker.delete_endpoint(EndpointName=endpoint)
    vend._undeploy(spec, "prod", "update")


def test_a_stack_that_was_told_nothing_is_taken_or_removed(
    vend: Vending, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(vending, "run_stack", killed)
        with pytest.raises(KeyboardInterrupt):
            vend.create(ASKED)
    assert vend.held("houses") == {}
    assert build.held_by_stack("projects", "houses") == ""
    assert vend.delete("houses").ok
    assert vend.held("houses") is None
