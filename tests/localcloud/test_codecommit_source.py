"""A project in CodeCommit on the emulator: filled by git, built after a push, archived at its end.

The rules, roles and pipeline are those that a project registers; the deployers have their policies.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.credentials import Credentials
from pulumi.runtime.proto import provider_pb2 as pb

from automation.deployer_policies import deployer_statements, numbered
from automation.projects import codecommit
from automation.projects.codecommit import CodeCommit
from automation.projects.repositories import RepositoryError
from automation.projects.spec import ProjectSpec, read_spec
from components import settings
from components.naming import Names
from localcloud.provider import table
from localcloud.provider.server import Provider, decode, encode
from tests.localcloud.emulators import REGION, Cloud, checkout, running
from tests.unit.conftest import ACCOUNTS, Program
from tests.unit.projects import contract, program

DEV, HUB = (Names("acme", env, REGION, ACCOUNTS[env]) for env in ("dev", "governance"))
BUILD, DEPLOY = "acme-dev-house-build", "acme-governance-house-deploy"
SPEC = read_spec({"name": "house", "owner": "team", "cost_centre": "ml", "organization": "example"})
ROWS = table.load()


def parsed(stack: str) -> settings.PlatformSettings:
    return settings.parse(
        stack,
        {
            "prefix": "acme",
            "region": REGION,
            "organization": {"accounts": ACCOUNTS},
            "tags": {"owner": "team", "cost_centre": "ml"},
            "projects": {"repository_provider": "CodeCommit"},
        },
    )


def deployer(cloud: Cloud, names: Names) -> boto3.Session:
    """A session of an environment's deployer, with all that the bootstrap gives it."""
    arn = cloud.role(names.role("deployer"), account=names.account_id)
    iam = cloud.client("iam", names.account_id)
    for name, document in numbered(names.name("deployer"), deployer_statements(names)).items():
        policy = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))
        iam.attach_role_policy(RoleName=names.role("deployer"), PolicyArn=policy["Policy"]["Arn"])
    return cloud.assume(arn)


class Abort:
    def abort(self, code: Any, details: str) -> None:
        raise AssertionError(details)


@dataclass
class World:
    """dev with the project's build side, made by its deployer; a hub with an archive."""

    cloud: Cloud
    host: CodeCommit
    dev: boto3.Session

    def make(self, made: Program, *kinds: str) -> None:
        """Makes what the program registered in dev, of these types, with the provider's rows."""
        provider = Provider(ROWS)
        arguments = {"region": REGION, "allowedAccountIds": [DEV.account_id]}
        provider.Configure(pb.ConfigureRequest(args=encode(arguments)), Abort())
        others = {
            resource.urn.rpartition("::")[2]
            for resource in made.resources
            if resource.type.endswith(":Role") and "governance" in json.dumps(resource.inputs)
        }
        for resource in made.resources:
            # What the hub has or assumes is not made, nor are the policies of such roles.
            if resource.type not in kinds or "governance" in json.dumps(resource.inputs):
                continue
            name = resource.urn.rpartition("::")[2]
            if resource.type.endswith(":RolePolicy") and name in others:
                continue
            if "-house-" not in json.dumps(resource.inputs):
                continue
            checked = provider.Check(
                pb.CheckRequest(urn=resource.urn, type=resource.type, news=encode(resource.inputs)),
                Abort(),
            )
            assert not checked.failures, checked.failures
            request = pb.CreateRequest(urn=resource.urn, properties=checked.inputs)
            assert decode(provider.Create(request, Abort()).properties)

    def executions(self) -> list[dict[str, Any]]:
        """The build pipeline's executions, the newest first."""
        client = self.cloud.client("codepipeline", DEV.account_id)
        return client.list_pipeline_executions(pipelineName=BUILD)["pipelineExecutionSummaries"]

    def source(self, execution: str) -> dict[str, Any]:
        """How an execution's source action ended."""
        client = self.cloud.client("codepipeline", DEV.account_id)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = client.list_action_executions(
                pipelineName=BUILD, filter={"pipelineExecutionId": execution}
            )["actionExecutionDetails"]
            ended = [
                action
                for action in found
                if action["stageName"] == "Source" and action["status"] != "InProgress"
            ]
            if ended:
                return ended[0]
            time.sleep(0.1)
        raise AssertionError(f"the source of {execution} did not end: {found}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        running(checkout(tmp_path_factory.mktemp("cloud")), ACCOUNTS) as cloud,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL", cloud.started.endpoint)
        patch.delenv("AWS_PROFILE", raising=False)
        sessions = {names.environment: deployer(cloud, names) for names in (DEV, HUB)}
        keys = sessions["dev"].get_credentials().get_frozen_credentials()
        patch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
        patch.setenv("AWS_SESSION_TOKEN", keys.token)
        host = CodeCommit({env: parsed(env) for env in ("dev", "governance")}, sessions.__getitem__)
        cloud.client("s3", HUB.account_id).create_bucket(
            Bucket=HUB.bucket("archive"), CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        boundary = cloud.client("iam", DEV.account_id).create_policy(
            PolicyName=DEV.name("boundary"),
            PolicyDocument='{"Version": "2012-10-17", "Statement":'
            ' [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}',
        )
        assert boundary["Policy"]["Arn"] == DEV.policy_arn("boundary")
        key = cloud.client("kms", DEV.account_id).create_key()["KeyMetadata"]["Arn"]
        contracts = {env: contract(env) for env in ACCOUNTS}
        contracts["dev"]["key_arns"] = {**contracts["dev"]["key_arns"], "data": key}
        made = program(provider="CodeCommit", connection_arns={}, contracts=contracts)
        world = World(cloud, host, sessions["dev"])
        world.make(
            made,
            "aws:codecommit/repository:Repository",
            "aws:s3/bucket:Bucket",
            "aws:iam/role:Role",
            "aws:iam/rolePolicy:RolePolicy",
            "aws:codepipeline/pipeline:Pipeline",
            "aws:sqs/queue:Queue",
            "aws:cloudwatch/eventRule:EventRule",
            "aws:cloudwatch/eventTarget:EventTarget",
        )
        cloud.client("codecommit", HUB.account_id).create_repository(repositoryName=DEPLOY)
        yield world


def written(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def spec(**changes: Any) -> ProjectSpec:
    return SPEC.model_copy(update=changes)


def test_a_push_starts_the_build_which_takes_what_was_pushed(world: World, tmp_path: Path) -> None:
    assert world.host.heads(BUILD) == 0
    before = {execution["pipelineExecutionId"] for execution in world.executions()}
    world.host.fill(BUILD, written(tmp_path / "build", Makefile="all:\n"), "Start house")
    assert world.host.heads(BUILD) == 1
    head = world.cloud.client("codecommit", DEV.account_id).get_branch(
        repositoryName=BUILD, branchName="main"
    )["branch"]["commitId"]
    end = time.monotonic() + 30
    while not (
        started := [e for e in world.executions() if e["pipelineExecutionId"] not in before]
    ):
        assert time.monotonic() < end, "no execution was started"
        time.sleep(0.1)
    (execution,) = started
    assert execution["trigger"]["triggerType"] == "CloudWatchEvent"
    source = world.source(execution["pipelineExecutionId"])
    assert source["status"] == "Succeeded", source
    revision = source["output"]["executionResult"]["externalExecutionId"]
    assert revision == head


def test_a_push_to_another_branch_starts_nothing(world: World, tmp_path: Path) -> None:
    before = world.executions()
    codecommit_client = world.cloud.client("codecommit", DEV.account_id)
    codecommit_client.create_commit(
        repositoryName=BUILD, branchName="feature",
        putFiles=[{"filePath": "a", "fileContent": b"a"}],
    )  # fmt: skip
    time.sleep(1)
    assert len(world.executions()) == len(before)


def test_the_deployers_own_a_project_only_where_it_is(world: World, tmp_path: Path) -> None:
    other = world.cloud.client("codecommit", DEV.account_id)
    other.create_repository(repositoryName="private")
    client = world.dev.client("codecommit")
    for call, arguments in (
        (client.get_repository, {"repositoryName": "private"}),
        (client.delete_repository, {"repositoryName": "private"}),
        (client.create_repository, {"repositoryName": "another"}),
    ):
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            call(**arguments)


def test_a_new_project_takes_no_repository_of_another(world: World) -> None:
    with pytest.raises(RepositoryError, match=f"There is a repository {BUILD} in CodeCommit"):
        world.host.check(BUILD)
    world.host.check("acme-dev-new-build")
    with pytest.raises(RepositoryError, match="There is no repository acme-dev-new-build"):
        world.host.heads("acme-dev-new-build")


def test_what_a_project_leaves_is_archived_with_all_its_history(
    world: World, tmp_path: Path
) -> None:
    world.host.fill(DEPLOY, written(tmp_path / "deploy", file="1"), "Start house")
    told = world.host.leave(SPEC)
    s3 = world.cloud.client("s3", HUB.account_id)
    for kind, repository in (("build", BUILD), ("deploy", DEPLOY)):
        key = f"house/{SPEC.id}/{kind}.bundle"
        assert f"s3://{HUB.bucket('archive')}/{key}" in told
        bundle = tmp_path / f"{kind}.bundle"
        bundle.write_bytes(s3.get_object(Bucket=HUB.bucket("archive"), Key=key)["Body"].read())
        copy = tmp_path / f"{kind}-copy"
        subprocess.run(["git", "clone", "--quiet", "--branch=main", bundle, copy], check=True)
        log = subprocess.run(
            ["git", "log", "--format=%s"], cwd=copy, check=True, capture_output=True, text=True
        )
        assert log.stdout == "Start house\n"
        branches = subprocess.run(
            ["git", "branch", "--remotes"], cwd=copy, check=True, capture_output=True, text=True
        )
        assert ("origin/feature" in branches.stdout) is (repository == BUILD)
    # What is not there, or never held anything, does not keep a project from going.
    assert world.host.leave(spec(name="gone")) == "Its repositories held nothing."


def test_without_the_archive_nothing_is_left_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecommit, "ARCHIVE", "elsewhere")
    with pytest.raises(RepositoryError, match="cannot be archived"):
        world.host.leave(SPEC)


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (
            "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/acme-dev-house-build",
            "cc165bdbe24cdee68a999a0c0a11f8da647af6f2441550ae8a6f1cbf266fbfbb",
        ),
        (
            "http://127.0.0.1:4567/codecommit/1/eu-west-1/acme-dev-house-build.git",
            "5548bb93a4876bce8ff7a66ec0a3470c7a0e6ca7214fe165a60c93a322544a73",
        ),
    ],
)
def test_a_password_is_the_one_that_the_aws_cli_gives(url: str, signature: str) -> None:
    """The signatures are those of the AWS CLI 1.46.3 for the same keys, addresses and time."""
    keys = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token")
    now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert codecommit.password(keys, REGION, url, now) == f"20260304T050607Z{signature}"
