"""The pack as the real engine runs it, on a program that needs no cloud.

The program registers components under the names of AWS types: the engine shows them to the pack as
it does real resources, and asks no provider about them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlops_policy.registry import RULES

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]

PROGRAM = """
import json
import pulumi


class Declared(pulumi.ComponentResource):
    def __init__(self, type_, name, props, opts=None):
        super().__init__(type_, name, props, opts)
        self.register_outputs(props)


class Echo(pulumi.dynamic.ResourceProvider):
    def create(self, props):
        return pulumi.dynamic.CreateResult("made", {"said": props["text"]})


class Later(pulumi.dynamic.Resource):
    said: pulumi.Output[str]


for name, (type_, props, unknown) in json.loads(open("resources.json").read()).items():
    for key in unknown:
        props[key] = Later(Echo(), f"{name}-{key}", {"text": props[key], "said": None}).said
    Declared(type_, name, props)
"""

TAGS = {"owner": "ml", "cost-centre": "1", "environment": "dev"}
KEY = "aws:kms/key:Key"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
OPEN = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*"}]})


@dataclass(frozen=True)
class Project:
    """A small Pulumi project with a backend of its own and a copy of the pack."""

    folder: Path
    env: dict[str, str]

    def write(self, **resources: tuple[str, dict[str, Any], list[str]]) -> None:
        (self.folder / "resources.json").write_text(json.dumps(resources))

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def events(self, command: str) -> tuple[int, list[dict[str, Any]]]:
        """Exit code and policy events of a preview or an update with the pack."""
        arguments = ["-s", "dev", "--json", "--policy-pack", str(self.folder / "pack")]
        if command == "up":
            arguments += ["--yes", "--skip-preview"]
        log = self.folder / "events.json"
        log.unlink(missing_ok=True)
        ran = self.pulumi(command, *arguments, "--event-log", str(log))
        assert log.exists(), ran.stderr + ran.stdout
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return ran.returncode, [line["policyEvent"] for line in lines if "policyEvent" in line]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folders = [os.environ.get("PULUMI_ENGINE_DIR"), str(ROOT / ".localcloud/engine/current")]
    path = os.pathsep.join([*filter(None, folders), os.environ["PATH"]])
    if not shutil.which("pulumi", path=path):
        pytest.skip("no Pulumi engine: `make up` builds one, or put an official one on PATH")
    env = {
        "PATH": path,
        "HOME": str(tmp_path),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_PYTHON_CMD": sys.executable,
        # The event log is an option of the engine that is otherwise hidden.
        "PULUMI_DEBUG_COMMANDS": "true",
    }
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    shutil.copytree(
        ROOT / "policy", tmp_path / "pack", ignore=shutil.ignore_patterns("__pycache__")
    )
    # PulumiPolicy.yaml names the environment beside the pack's folder.
    (tmp_path / ".venv").symlink_to(sys.prefix)
    made = Project(tmp_path, env)
    ran = made.pulumi("stack", "init", "dev")
    assert ran.returncode == 0, ran.stderr
    return made


def test_a_violation_stops_the_preview_with_name_and_fix(project: Project) -> None:
    project.write(
        studio=(
            "aws:sagemaker/domain:Domain",
            {"appNetworkAccessType": "PublicInternetOnly", "tags": TAGS},
            [],
        ),
        network=("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16", "tags": TAGS}, []),
    )

    code, events = project.events("preview")

    assert code != 0
    by_policy = {event["policyName"]: event for event in events}
    violation = by_policy["studio-vpc-only"]
    assert violation["enforcementLevel"] == "mandatory"
    assert "studio: apps of the domain reach the internet" in violation["message"]
    assert 'set appNetworkAccessType to "VpcOnly"' in violation["message"]
    # A rule about the stack, which the preview runs too.
    assert "network: no flow log" in by_policy["vpc-flow-logs"]["message"]


def test_a_value_that_is_not_known_is_quiet_in_the_preview_and_stops_the_update(
    project: Project,
) -> None:
    project.write(door=(POLICY, {"bucket": "b", "policy": OPEN}, ["policy"]))

    code, events = project.events("preview")
    assert (code, events) == (0, [])

    code, events = project.events("up")
    assert code != 0
    assert "no-wildcard-principal" in {event["policyName"] for event in events}
    state = json.loads(project.pulumi("stack", "export", "-s", "dev").stdout)
    made = {resource["urn"].split("::")[-1] for resource in state["deployment"]["resources"]}
    assert "door" not in made


def test_a_key_that_does_not_rotate_is_repaired(project: Project) -> None:
    project.write(key=(KEY, {"policy": '{"Statement": []}', "tags": TAGS}, []))

    code, events = project.events("up")

    assert code == 0
    assert events == []
    state = json.loads(project.pulumi("stack", "export", "-s", "dev").stdout)
    inputs = [r["inputs"] for r in state["deployment"]["resources"] if r["type"] == KEY]
    assert inputs[0]["enableKeyRotation"] is True


def test_the_configuration_reaches_the_rules(project: Project) -> None:
    project.write(key=(KEY, {"policy": '{"Statement": []}', "tags": {"team": "ml"}}, []))
    config = project.folder / "config.json"
    config.write_text(json.dumps({"required-tags": {"tags": ["team"]}, "key-rotation": "disabled"}))

    ran = project.pulumi(
        "preview", "-s", "dev", "--policy-pack", str(project.folder / "pack"),
        "--policy-pack-config", str(config),
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_starting_the_pack_loads_nothing_but_the_policy_sdk() -> None:
    """It is started in every preview: the provider's SDK alone would add seconds."""
    code = (
        "import sys; sys.path.insert(0, 'policy'); import mlops_policy;"
        "print(len(mlops_policy.policies()));"
        "print(*sorted({'pulumi_aws', 'boto3', 'pydantic', 'components'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ran.stdout.split() == [str(len(RULES))]
