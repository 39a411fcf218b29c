"""What a project predicted on and predicted outlives it, unless its deletion is told otherwise.

The vending that runs is the platform's, with the engine and a target's own deployer; of the project
only its side in that target is made.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pulumi
import pytest
from botocore.exceptions import ClientError

from automation import bootstrap
from automation.deployer_policies import deployer_statements
from automation.projects import program, vending
from automation.projects.repositories import Archive, Git
from automation.projects.spec import ProjectSpec
from automation.projects.vending import Vending
from automation.runs import run_stack
from components import iam
from components.naming import ENVIRONMENTS
from components.projects import batch
from components.projects.project import EnvironmentContract, TargetSide
from components.settings import PlatformSettings, load_stack
from localcloud.emulator.callers import through_vpc_endpoint
from localcloud.engine import ensure_engine
from localcloud.environment import Instance, local_environment
from localcloud.paths import CHECKOUT
from tests.localcloud.emulators import Cloud, checkout, running
from tests.localcloud.jobs_world import network

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]

ASKED = {
    "name": "rings",
    "owner": "team",
    "cost_centre": "1",
    "template": "xgboost-batch",
    "targets": ["preprod"],
}


@dataclass
class World:
    """A platform's accounts with nothing in them, and what is vended there."""

    vend: Vending
    cloud: Cloud
    said: list[str] = field(default_factory=list)

    @property
    def target(self) -> PlatformSettings:
        return self.vend.platform["preprod"]

    @property
    def s3(self) -> Any:
        client = self.cloud.client("s3", self.target.account_id)
        return through_vpc_endpoint(client, s3_endpoint(self.cloud, self.target.account_id))

    @property
    def bucket(self) -> str:
        return batch.bucket_name(self.target.names, "rings")

    def make(self, owner: str) -> None:
        """Vends the project, with repositories of an owner's that are empty."""
        run = self.vend.create({**ASKED, "organization": owner})
        assert run.ok, run.errors


def only_the_target(key: str, endpoint: str, group: str) -> Callable[..., Callable[[], None]]:
    """The program of projects, with one of its sides."""

    def made(
        spec: ProjectSpec,
        platform: Mapping[str, PlatformSettings],
        session: Callable[[str], boto3.Session],
        held: Collection[str],
    ) -> Callable[[], None]:
        settings = platform["preprod"]
        adopted = program.left_behind(spec, ("preprod",), platform, session, held)
        keys = ("data", "logs", "messages", "storage")
        contract = EnvironmentContract(
            subnet_ids=["subnet-1", "subnet-2"],
            security_group_ids=["sg-1"],
            vpc_id="vpc-1",
            s3_endpoint_id=endpoint,
            key_arns=dict.fromkeys(keys, key),
            boundary_arn=settings.names.policy_arn("boundary"),
            access_log_bucket=settings.names.bucket("access-logs"),
            alerts_topic_arn=settings.names.arn("sns", group),
        )
        args: Any = {
            "placement": {**settings.placement(), "protect": False},
            "project": spec.name,
            "ci": spec.ci,
            "contracts": {"preprod": contract},
            "instance_types": spec.instance_types,
            "batch": spec.batch,
            "adopted": adopted,
        }

        def make() -> None:
            provider = program._provider(spec, settings)
            TargetSide(args, "preprod", pulumi.ResourceOptions(providers=[provider]))
            pulumi.export("spec", spec.model_dump(mode="json"))

        return make

    return made


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    platform = {stack: load_stack(CHECKOUT.root, stack) for stack in ENVIRONMENTS}
    accounts = {name: settings.account_id for name, settings in platform.items()}
    target = platform["preprod"]
    with running(checkout(tmp_path / "cloud"), accounts) as cloud:
        instance = Instance(
            cloud.started.instance,
            cloud.started.endpoint,
            os.getpid(),
            target.region,
            {},
            {},
            CHECKOUT,
        )
        for name, value in local_environment(os.environ, instance).items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.delenv(name)
        hub = cloud.started.description["administrators"][accounts["governance"]]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", hub["access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", hub["secret_access_key"])
        monkeypatch.setenv("PATH", f"{ensure_engine().executable.parent}:{os.environ['PATH']}")
        states = tmp_path / "states"
        states.mkdir()
        monkeypatch.setattr(bootstrap, "backend_url", lambda *_: states.as_uri())
        monkeypatch.setattr(bootstrap, "secrets_provider", lambda *_: "passphrase")
        for owner in ("one", "another"):
            for kind in ("build", "deploy"):
                folder = tmp_path / "hosted" / owner / f"rings-{kind}"
                subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
        key, endpoint = prepare(cloud, platform)
        # What the policy pack says of a project is asked elsewhere; here it would only take time.
        monkeypatch.setattr(
            vending, "run_stack", lambda *a, **k: run_stack(*a, **{**k, "policy_packs": []})
        )
        monkeypatch.setattr(vending, "program", only_the_target(key, endpoint, "alerts"))
        deployer = target.names.role_arn("deployer")

        def session(environment: str) -> boto3.Session:
            if environment == "preprod":
                return cloud.assume(deployer)
            return cloud.session(accounts[environment])

        made = World(
            Vending(
                platform,
                session,
                Git(
                    Archive(
                        platform["governance"].names.bucket("archive"),
                        lambda: session("governance"),
                    ),
                    f"{tmp_path}/hosted/{{repository}}",
                ),
                lambda line: made.said.append(line),
                lambda _run, _what: None,
            ),
            cloud,
        )
        yield made


def prepare(cloud: Cloud, platform: Mapping[str, PlatformSettings]) -> tuple[str, str]:
    """What the platform would have: a state bucket, and in the target a deployer, key and endpoint.

    Returns:
        ARN of the key, and id of the target's S3 endpoint.
    """
    hub, target = platform["governance"], platform["preprod"]
    where = {"CreateBucketConfiguration": {"LocationConstraint": hub.region}}
    for purpose in ("pulumi-state", "archive"):
        cloud.client("s3", hub.account_id).create_bucket(Bucket=hub.names.bucket(purpose), **where)
    s3, logs = cloud.client("s3", target.account_id), target.names.bucket("access-logs")
    s3.create_bucket(Bucket=logs, **where)
    delivery = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{logs}/*",
    }
    s3.put_bucket_policy(
        Bucket=logs, Policy=json.dumps({"Version": "2012-10-17", "Statement": [delivery]})
    )
    cloud.client("iam", target.account_id).create_policy(
        PolicyName=target.names.name("boundary"),
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
            }
        ),
    )
    cloud.role(
        target.names.role("deployer"),
        *json.loads(iam.render(deployer_statements(target.names)))["Statement"],
        account=target.account_id,
        trust={"Principal": {"AWS": [settings.names.root_arn for settings in (hub, target)]}},
    )
    network(cloud.client("ec2", target.account_id))
    key = cloud.client("kms", target.account_id).create_key()["KeyMetadata"]["Arn"]
    return key, s3_endpoint(cloud, target.account_id)


def s3_endpoint(cloud: Cloud, account: str) -> str:
    [endpoint] = cloud.client("ec2", account).describe_vpc_endpoints()["VpcEndpoints"]
    return endpoint["VpcEndpointId"]


def test_files_stay_are_taken_over_and_go_only_when_that_is_said(world: World) -> None:
    world.make("one")
    for body in (b"older", b"newer"):
        world.s3.put_object(Bucket=world.bucket, Key="runs/1/predictions/a.out", Body=body)

    assert world.vend.delete("rings").ok
    assert f"So does what it predicted: {world.bucket}" in world.said[-1]
    kept = world.s3.get_object(Bucket=world.bucket, Key="runs/1/predictions/a.out")
    assert kept["Body"].read() == b"newer"
    # It is kept as safe as it was.
    blocked = world.s3.get_public_access_block(Bucket=world.bucket)
    assert set(blocked["PublicAccessBlockConfiguration"].values()) == {True}
    assert "DenyWrongKey" in world.s3.get_bucket_policy(Bucket=world.bucket)["Policy"]
    assert world.s3.get_bucket_versioning(Bucket=world.bucket)["Status"] == "Enabled"
    with pytest.raises(ClientError, match="NoSuchEntity"):
        world.cloud.client("iam", world.target.account_id).get_role(
            RoleName=world.target.names.role(batch.PIPELINE.format("rings"))
        )

    world.make("another")
    assert len(world.s3.list_object_versions(Bucket=world.bucket)["Versions"]) == 2
    deployer = world.cloud.client("s3", session=world.vend.session("preprod"))
    with pytest.raises(ClientError, match="AccessDenied"):
        deployer.delete_object(Bucket=world.bucket, Key="runs/1/predictions/a.out")

    def administrator(environment: str) -> boto3.Session:
        return world.cloud.session(world.vend.platform[environment].account_id)

    assert world.vend.delete("rings", administrator).ok
    assert world.bucket not in {item["Name"] for item in world.s3.list_buckets()["Buckets"]}
    assert "So does" not in world.said[-1]
