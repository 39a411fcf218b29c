"""The whole platform on a local cloud of its own, in a copy of this checkout.

The copy shares the Python environment; its engine, ports, state and stack files are its own,
so tests may change settings.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from components.naming import ENVIRONMENTS
from components.settings import load_stack
from localcloud.environment import local_environment, running_instance, write_aws_files
from localcloud.paths import CHECKOUT, Paths

_COPIED = ("Pulumi*.yaml", "__main__.py", "pyproject.toml")
_FOLDERS = (
    "automation", "components", "functions", "localcloud", "policy", "requirements", "seed_code",
)  # fmt: skip
REAL = {
    "AWS_ACCESS_KEY_ID": "AKIAREALLOOKING00000",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_PROFILE": "production",
    "AWS_ROLE_ARN": "arn:aws:iam::999999999999:role/real",
    "AWS_ENDPOINT_URL_S3": "https://s3.amazonaws.com",
    "PULUMI_ACCESS_TOKEN": "pul-real",
    "PULUMI_BACKEND_URL": "https://api.pulumi.com",
}
"""What a caller may have in the environment: with any of it in use, nothing would come up, as the
emulator knows neither the keys nor the role."""

SKIP_CHECKPOINTS = {"PULUMI_SKIP_CHECKPOINTS": "true"}
"""The engine writes its state once at the end, not after each resource, which takes most of its
time. What kills it does without."""

_SHARED = (".venv", ".localcloud/environments", ".localcloud/node", ".localcloud/schemas")


@dataclass(frozen=True)
class Platform:
    """A copy of the checkout with its local cloud."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of local commands."""
        return self.checkpoints() | SKIP_CHECKPOINTS

    def checkpoints(self) -> dict[str, str]:
        """The same for an engine that may be killed."""
        return local_environment(os.environ, running_instance(Paths(self.root)))

    def run(
        self, *command: str, code: int | None = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command in the copy; its output is shown when the exit code is not the expected one."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=dict(env) if env is not None else self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=540,
        )
        if code is not None:
            assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def automation(self, *arguments: str, code: int | None = 0) -> str:
        """``python -m automation …``; its output."""
        done = self.run(sys.executable, "-m", "automation", *arguments, code=code)
        return done.stdout + done.stderr

    def pulumi(self, *arguments: str, code: int | None = 0) -> str:
        """``pulumi …``; its output."""
        return self.run("pulumi", *arguments, "--non-interactive", code=code).stdout

    def deployments(self) -> dict[str, Any]:
        """Stack -> exported deployment."""
        return {
            stack: json.loads(self.pulumi("stack", "export", "--stack", stack))["deployment"]
            for stack in ENVIRONMENTS
        }

    def client(self, service: str, environment: str) -> Any:
        """A client of an account's administrator."""
        instance = running_instance(Paths(self.root))
        key = instance.administrators[instance.accounts[environment]]
        # The default session would remember the profiles of an environment before.
        session: Any = boto3.Session()
        return session.client(
            service,
            endpoint_url=instance.endpoint,
            region_name=instance.region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
        )

    def as_role(self, environment: str, role: str) -> boto3.Session:
        """A session of a role that only services assume.

        Its trust is widened for the moment and put back; what it may do is as deployed.
        """
        iam, name = self.client("iam", environment), f"mlops-{environment}-{role}"
        described = iam.get_role(RoleName=name)["Role"]
        trust = described["AssumeRolePolicyDocument"]
        instance = running_instance(Paths(self.root))
        account = instance.accounts[environment]
        added = {
            "Sid": "Test",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": "sts:AssumeRole",
        }
        wider = {**trust, "Statement": [*trust["Statement"], added]}
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(wider))
        try:
            given = self.client("sts", environment).assume_role(
                RoleArn=described["Arn"], RoleSessionName="somebody"
            )["Credentials"]
        finally:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
        return boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=instance.region,
        )

    def edit(self, stack: str | None, change: Any) -> None:
        """Change the settings of a stack, or the project's when stack is None."""
        path = self.root / ("Pulumi.yaml" if stack is None else f"Pulumi.{stack}.yaml")
        content = yaml.safe_load(path.read_text())
        change(content["config"])
        path.write_text(yaml.safe_dump(content, sort_keys=False))


def end_runs(platform: Platform, environment: str, pipeline: str) -> None:
    """End what a pipeline runs with its builds: nobody waits for it, and it takes the machine."""
    pipelines = platform.client("codepipeline", environment)
    builds = platform.client("codebuild", environment)
    stages = pipelines.get_pipeline(name=pipeline)["pipeline"]["stages"]
    projects = [
        action["configuration"]["ProjectName"]
        for stage in stages
        for action in stage["actions"]
        if action["actionTypeId"]["provider"] == "CodeBuild"
    ]
    assert projects
    ended = pipelines.exceptions.PipelineExecutionNotStoppableException
    end = time.monotonic() + 60
    while time.monotonic() < end:
        runs = pipelines.list_pipeline_executions(pipelineName=pipeline)
        statuses = {
            run["pipelineExecutionId"]: run["status"] for run in runs["pipelineExecutionSummaries"]
        }
        going = [run for run, status in statuses.items() if status in ("InProgress", "Stopping")]
        if not going:
            return
        for run in going:
            if statuses[run] == "InProgress":
                # It may have ended meanwhile.
                with contextlib.suppress(ended):
                    pipelines.stop_pipeline_execution(
                        pipelineName=pipeline, pipelineExecutionId=run
                    )
        for project in projects:
            ids = builds.list_builds_for_project(projectName=project)["ids"]
            for build in builds.batch_get_builds(ids=ids)["builds"] if ids else ():
                if build["buildStatus"] == "IN_PROGRESS":
                    builds.stop_build(id=build["id"])
        time.sleep(0.5)
    pytest.fail(f"{pipeline} still runs")


def make_copy(folder: Path) -> Platform:
    """A copy of the checkout that is not up yet."""
    root = folder / "checkout"
    root.mkdir()
    for pattern in _COPIED:
        for path in CHECKOUT.root.glob(pattern):
            shutil.copy(path, root / path.name)
    for name in _FOLDERS:
        # What was compiled goes along; what is being compiled at this moment does not.
        shutil.copytree(CHECKOUT.root / name, root / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    for name in _SHARED:
        link, target = root / name, CHECKOUT.root / name
        link.parent.mkdir(exist_ok=True)
        # Environments are made when they are first needed.
        target.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    # The engine's shims name their checkout, so each checkout has its own.
    shutil.copytree(CHECKOUT.engines, Paths(root).engines, symlinks=True)
    return Platform(root)


def local_cloud(platform: Platform, *arguments: str) -> str:
    """``python -m localcloud …`` as a person types it, who works with real AWS as well."""
    env = {**os.environ, **REAL, **SKIP_CHECKPOINTS}
    done = platform.run(sys.executable, "-m", "localcloud", *arguments, env=env)
    return done.stdout + done.stderr


def started(platform: Platform) -> None:
    """Engine, emulator and bootstrapped accounts as the settings say, but no stack yet."""
    platform.run(sys.executable, "-m", "localcloud.engine", env=os.environ)
    hub = load_stack(platform.root, "governance")
    local_cloud(
        platform,
        "start",
        "--organization", hub.organization.id or "o-localcloud",
        "--accounts", json.dumps(dict(hub.accounts)),
        "--region", hub.region,
    )  # fmt: skip
    write_aws_files(running_instance(Paths(platform.root)))
    platform.automation("bootstrap")


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """All four stacks, up."""
    platform = make_copy(tmp_path_factory.mktemp("platform"))
    try:
        (platform.root / "up.log").write_text(local_cloud(platform, "up"))
        yield platform
    finally:
        local_cloud(platform, "stop")
