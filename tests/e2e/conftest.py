"""The whole platform on a local cloud of its own, in a copy of this checkout.

The copy shares the Python environment; its engine, ports, state and stack files are its own,
so tests may change settings.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from components.naming import ENVIRONMENTS
from localcloud.environment import local_environment, running_instance, write_aws_files
from localcloud.paths import CHECKOUT, Paths

_COPIED = ("Pulumi*.yaml", "__main__.py", "pyproject.toml")
_FOLDERS = ("automation", "components", "localcloud", "policy", "requirements")
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

_SHARED = (".venv", ".localcloud/node", ".localcloud/schemas")


@dataclass(frozen=True)
class Platform:
    """A copy of the checkout with its local cloud."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of local commands."""
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
        return boto3.client(
            service,
            endpoint_url=instance.endpoint,
            region_name=instance.region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
        )

    def edit(self, stack: str | None, change: Any) -> None:
        """Change the settings of a stack, or the project's when stack is None."""
        path = self.root / ("Pulumi.yaml" if stack is None else f"Pulumi.{stack}.yaml")
        content = yaml.safe_load(path.read_text())
        change(content["config"])
        path.write_text(yaml.safe_dump(content, sort_keys=False))


def make_copy(folder: Path) -> Platform:
    """A copy of the checkout that is not up yet."""
    root = folder / "checkout"
    root.mkdir()
    for pattern in _COPIED:
        for path in CHECKOUT.root.glob(pattern):
            shutil.copy(path, root / path.name)
    for name in _FOLDERS:
        shutil.copytree(
            CHECKOUT.root / name, root / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in _SHARED:
        link = root / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(CHECKOUT.root / name)
    # The engine's shims name their checkout, so each checkout has its own.
    shutil.copytree(CHECKOUT.engines, Paths(root).engines, symlinks=True)
    return Platform(root)


def local_cloud(platform: Platform, *arguments: str) -> str:
    """``python -m localcloud …`` as a person types it, who works with real AWS as well."""
    env = {**os.environ, **REAL}
    done = platform.run(sys.executable, "-m", "localcloud", *arguments, env=env)
    return done.stdout + done.stderr


def started(platform: Platform) -> None:
    """Engine, emulator and bootstrapped accounts, but no stack yet."""
    platform.run(sys.executable, "-m", "localcloud.engine", env=os.environ)
    accounts = {
        environment: str(index) * 12
        for index, environment in enumerate(("governance", "dev", "preprod", "prod"), start=1)
    }
    local_cloud(
        platform, "start", "--organization", "o-exampleorg1", "--accounts", json.dumps(accounts)
    )
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
