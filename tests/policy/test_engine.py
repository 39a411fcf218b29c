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
from pulumi import automation as auto

from automation import policies
from automation.runs import StackRun, run_stack
from components import settings
from components.naming import ENVIRONMENTS

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


def test_a_platforms_settings_configure_the_pack(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
    project.write(
        # No region of the pack's defaults, and a type that only these allow.
        key=(KEY, {"region": "eu-south-1", "tags": TAGS}, []),
        model=(configuration, {"productionVariants": [{"instanceType": "ml.m5.4xlarge"}]}, []),
    )
    platform = settings.parse(
        "dev",
        {
            "region": "eu-south-1",
            "organization": {"accounts": dict.fromkeys(ENVIRONMENTS, "1" * 12)},
            "tags": {"owner": "ml", "cost_centre": "1"},
            "policies": {"required-tags": "disabled"},
        },
    )
    monkeypatch.setenv("PATH", project.env["PATH"])
    stack = auto.select_stack(
        "dev",
        work_dir=str(project.folder),
        opts=auto.LocalWorkspaceOptions(env_vars=project.env),
    )

    run = run_stack(
        stack,
        "preview",
        progress=lambda *_: None,
        policy_packs=[str(project.folder / "pack")],
        policy_pack_configs=[policies.write("dev", policies.configuration([platform]))],
    )

    broken = {violation.policy for violation in run.violations}
    assert "instance-types" in broken
    assert not broken & {"allowed-regions", "required-tags"}


def test_an_update_that_breaks_a_rule_about_the_stack_makes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine judges such a rule once all is made; the preview before it judges it in time."""
    project.write(
        network=("aws:ec2/vpc:Vpc", {"enableDnsHostnames": True, "tags": TAGS}, []),
        key=(KEY, {"policy": '{"Statement": []}', "tags": TAGS}, []),
    )
    monkeypatch.setenv("PATH", project.env["PATH"])
    stack = auto.select_stack(
        "dev",
        work_dir=str(project.folder),
        opts=auto.LocalWorkspaceOptions(env_vars=project.env),
    )

    def up(*, previewed: bool) -> tuple[StackRun, set[str]]:
        run = run_stack(
            stack,
            "up",
            progress=lambda *_: None,
            policy_packs=[str(project.folder / "pack")],
            previewed=previewed,
        )
        held = stack.export_stack().deployment or {}
        return run, {resource["type"] for resource in held.get("resources") or []}

    stopped, there = up(previewed=True)
    assert not stopped.ok
    assert "vpc-flow-logs" in {violation.policy for violation in stopped.violations}
    assert "nothing was made" in stopped.note
    assert not {KEY, "aws:ec2/vpc:Vpc"} & there

    late, there = up(previewed=False)
    assert not late.ok
    assert {KEY, "aws:ec2/vpc:Vpc"} <= there

    project.write(key=(KEY, {"policy": '{"Statement": []}', "tags": TAGS}, []))
    kept, there = up(previewed=True)
    assert (kept.ok, kept.note) == (True, "")
    assert KEY in there
    assert "aws:ec2/vpc:Vpc" not in there


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


def test_other_packs_install_it(tmp_path: Path) -> None:
    source = shutil.copytree(
        ROOT / "policy", tmp_path / "policy", ignore=shutil.ignore_patterns("__pycache__")
    )
    installed = tmp_path / "installed"
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, "--target", installed, source],
        check=True,
    )
    code = "import mlops_policy; print(len(mlops_policy.policies()), mlops_policy.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    count, file = ran.stdout.split()
    assert int(count) == len(RULES)
    assert Path(file).is_relative_to(installed)
