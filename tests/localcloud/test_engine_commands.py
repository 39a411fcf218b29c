"""The literal Pulumi commands work with the engine that this machine has, and stop cleanly."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from automation import stacks
from localcloud.engine import Engine, ensure_engine
from localcloud.environment import Instance, local_environment
from localcloud.paths import CHECKOUT

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROGRAM = """
import importlib.util
import sys
import time

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Thing(ResourceProvider):
    def create(self, props):
        with open(props["journal"], "a") as journal:
            journal.write(props["name"] + "\\n")
        time.sleep(props["seconds"])
        return CreateResult(props["name"], props)


class Slow(Resource):
    def __init__(self, name, seconds=0.0, opts=None):
        props = {"name": name, "seconds": seconds, "journal": config.require("journal")}
        super().__init__(Thing(), name, props, opts)


def explode():
    raise ValueError("the cause of it all")


config = pulumi.Config()
seconds = config.get_float("seconds") or 0.0
first = Slow("first")
second = Slow("second", seconds, pulumi.ResourceOptions(depends_on=[first]))
third = Slow("third", opts=pulumi.ResourceOptions(depends_on=[second]))
print("said by the program")
match config.get("end"):
    case "explode":
        explode()
    case "run_error":
        raise pulumi.RunError("a plain refusal")
    case "exit":
        sys.exit(7)
    case "hang":
        time.sleep(600)
pulumi.export("word", config.get("word"))
pulumi.export("secret", config.get_secret("hidden"))
pulumi.export("organization", pulumi.get_organization())
pulumi.export("sees_localcloud", importlib.util.find_spec("localcloud") is not None)
"""

PACK = """
from pulumi_policy import (
    EnforcementLevel, PolicyPack, ReportViolation, ResourceValidationArgs, ResourceValidationPolicy
)


def no_third(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.name == "third":
        report("there must be no third")


PolicyPack("tiny", [ResourceValidationPolicy("no-third", "No third.", no_third,
                                             EnforcementLevel.LEVEL)])
"""


@dataclass(frozen=True)
class Project:
    """A Pulumi project in a folder of its own, with a backend and plugin cache of its own."""

    folder: Path
    env: dict[str, str]

    def pulumi(self, *arguments: str, code: int = 0) -> str:
        ran = subprocess.run(
            ["pulumi", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert ran.returncode == code, ran.stdout
        return ran.stdout

    def configure(self, **values: str) -> None:
        for name, value in values.items():
            self.pulumi("config", "set", "-s", "x", name, value)

    def resources(self) -> set[str]:
        state = json.loads(self.pulumi("stack", "export", "-s", "x"))["deployment"]
        assert not state.get("pending_operations")
        return {entry["urn"].rpartition("::")[2] for entry in state["resources"]}

    def journal(self) -> list[str]:
        return (self.folder / "journal").read_text().splitlines()

    def processes(self) -> dict[int, str]:
        """Process id -> command line of all that work for this project, by their environment."""
        found: dict[int, str] = {}
        mark = f"PULUMI_HOME={self.env['PULUMI_HOME']}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    command = (process / "cmdline").read_text().replace("\0", " ")
                    found[int(process.name)] = command
            except OSError:
                continue
        return found


@pytest.fixture(scope="session")
def engine() -> Engine:
    return ensure_engine()


def project_in(folder: Path, pulumi_yaml: str, program: str) -> Project:
    instance = Instance("test", "http://127.0.0.1:1", os.getpid(), "eu-west-1", {}, {}, CHECKOUT)
    env = local_environment(os.environ, instance) | {
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_PYTHON_CMD": sys.executable,
    }
    (folder / "state").mkdir()
    (folder / "Pulumi.yaml").write_text(pulumi_yaml)
    (folder / "__main__.py").write_text(program)
    made = Project(folder, env)
    made.pulumi("stack", "init", "x")
    return made


@pytest.fixture
def project(engine: Engine, tmp_path: Path) -> Project:
    made = project_in(tmp_path, "name: tiny\nruntime: python\n", PROGRAM)
    made.configure(journal=str(tmp_path / "journal"))
    return made


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\n")
    (folder / "__main__.py").write_text(PACK.replace("LEVEL", "ADVISORY"))
    return folder


def test_preview_up_refresh_output_destroy(project: Project, pack: Path) -> None:
    project.configure(word="given")
    project.pulumi("config", "set", "-s", "x", "--secret", "hidden", "treasure")
    preview = project.pulumi("preview", "-s", "x", "--policy-pack", str(pack))
    assert "4 to create" in preview
    assert "there must be no third" in preview
    assert "said by the program" in preview
    assert not (project.folder / "journal").exists()
    up = project.pulumi("up", "-s", "x", "--yes", "--policy-pack", str(pack))
    assert "4 created" in up
    assert "there must be no third" in up
    assert "warning" not in up
    outputs = json.loads(project.pulumi("stack", "output", "-s", "x", "--json"))
    assert outputs == {
        "word": "given",
        "secret": "[secret]",
        "organization": "organization",
        "sees_localcloud": False,
    }
    assert project.pulumi("stack", "output", "-s", "x", "--show-secrets", "secret") == "treasure\n"
    assert "4 unchanged" in project.pulumi("refresh", "-s", "x", "--yes")
    assert "4 unchanged" in project.pulumi("up", "-s", "x", "--yes", "--expect-no-changes")
    assert "4 deleted" in project.pulumi("destroy", "-s", "x", "--yes")
    assert project.processes() == {}


def test_a_mandatory_policy_blocks(project: Project, pack: Path) -> None:
    (pack / "__main__.py").write_text(PACK.replace("LEVEL", "MANDATORY"))
    arguments = ("up", "-s", "x", "--yes", "--skip-preview", "--policy-pack", str(pack))
    assert "there must be no third" in project.pulumi(*arguments, code=1)
    assert "third" not in project.resources()


def test_a_broken_policy_pack_shows_its_traceback(project: Project, pack: Path) -> None:
    (pack / "__main__.py").write_text("raise KeyError('broken pack')\n")
    said = project.pulumi("preview", "-s", "x", "--policy-pack", str(pack), code=1)
    assert "KeyError: 'broken pack'" in said


def test_a_misspelt_setting_of_the_platform_is_refused(engine: Engine, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT.root)!r})\n"
        "import pulumi\n"
        "from components.settings import load\n"
        "load(pulumi.Config(), pulumi.get_stack())\n"
    )
    project = project_in(tmp_path, "name: mlops\nruntime: python\n", program)
    project.configure(studoi="{}")
    said = project.pulumi("preview", "-s", "x", code=1)
    assert "mlops:studoi: is not a known setting, did you mean mlops:studio?" in said


def test_an_exception_is_shown_once_and_without_our_frames(project: Project) -> None:
    project.configure(end="explode")
    said = project.pulumi("preview", "-s", "x", code=1)
    (diagnostics,) = re.findall(r"^Diagnostics:$(.*)^Resources:$", said, re.DOTALL | re.MULTILINE)
    assert diagnostics.count("ValueError: the cause of it all") == 1
    assert "in explode" in diagnostics
    assert diagnostics.count("error:") == 1
    assert "language-python-exec" not in diagnostics


@pytest.mark.parametrize(
    ("end", "said"),
    [("run_error", "a plain refusal"), ("exit", "exited with non-zero exit code: 7")],
)
def test_other_ends_of_a_program_are_errors_with_their_reason(
    project: Project, end: str, said: str
) -> None:
    project.configure(end=end)
    assert said in project.pulumi("preview", "-s", "x", code=1)


def test_a_missing_virtual_environment_is_named(engine: Engine, tmp_path: Path) -> None:
    runtime = "runtime: {name: python, options: {virtualenv: nowhere}}"
    project = project_in(tmp_path, f"name: tiny\n{runtime}\n", PROGRAM)
    assert "nowhere" in project.pulumi("preview", "-s", "x", code=1)


def test_a_stack_that_an_update_never_came_to_holds_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the hub's, when the first update of another stack failed; the page shows the rest."""
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)
    assert stacks.deployment("y", project_dir=project.folder) == {}
    assert stacks.deployment("x", project_dir=project.folder)["manifest"]


def test_about_names_the_interpreter(project: Project) -> None:
    about = project.pulumi("about", "-s", "x")
    assert f"version='{sys.version.split()[0]}'" in about
    assert "pulumi_policy" in about.replace("-", "_")


@dataclass
class Update:
    """An update under way on a terminal of its own, as a person would have it."""

    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> str:
        return self.output.read_text()

    def ctrl_c(self) -> int:
        """Do what a terminal's Ctrl-C does: SIGINT to the foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def start_update(project: Project) -> Iterator[Callable[[], Update]]:
    terminal, inside = pty.openpty()
    started: list[Update] = []

    def start() -> Update:
        output = project.folder / "said"
        process = subprocess.Popen(
            ["pulumi", "up", "-s", "x", "--yes", "--skip-preview", "--non-interactive"],
            cwd=project.folder,
            env=project.env,
            stdin=inside,
            stdout=output.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(Update(process, output))
        return started[-1]

    yield start
    for update in started:
        if update.process.poll() is None:
            update.process.kill()
        update.process.wait()
    os.close(terminal)
    os.close(inside)


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def making_second(project: Project) -> bool:
    return (project.folder / "journal").exists() and "second" in project.journal()


def test_ctrl_c_stops_cleanly_and_the_next_update_goes_on(
    project: Project, start_update: Callable[[], Update]
) -> None:
    project.configure(seconds="4")
    update = start_update()
    wait_until(lambda: making_second(project))
    assert update.ctrl_c() == 1
    assert "update canceled" in update.said()
    assert "Traceback" not in update.said()
    assert "KeyboardInterrupt" not in update.said()
    assert project.processes() == {}
    # What was being made when the key was pressed was finished and is in the state.
    assert {"first", "second"} <= project.resources()
    assert "third" not in project.resources()
    project.pulumi("up", "-s", "x", "--yes", "--skip-preview")
    assert project.journal() == ["first", "second", "third"]


PLATFORM = """
config:
  mlops:region: eu-west-1
  mlops:organization:
    accounts: {dev: "111111111111", preprod: "111111111111", prod: "111111111111",
               governance: "111111111111"}
  mlops:tags: {owner: team, cost_centre: ml}
"""
MAKE_UP = """
import os
import sys
import types
from pathlib import Path

from localcloud import up

up.CHECKOUT = types.SimpleNamespace(root=Path.cwd())
sys.exit(up._automation(["up", "--stack", "dev"], dict(os.environ)))
"""


def test_ctrl_c_in_make_up_waits_for_the_engine_and_tells_how_to_go_on(
    engine: Engine, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    program = PROGRAM.replace('config.require("journal")', repr(str(journal)))
    program = program.replace('config.get_float("seconds") or 0.0', "4.0")
    project = project_in(tmp_path, "name: mlops\nruntime: python\n", program)
    (tmp_path / "Pulumi.dev.yaml").write_text(PLATFORM)
    # The automation works on the checkout that it lies in.
    shutil.copytree(CHECKOUT.root / "automation", tmp_path / "automation")
    for name in ("components", "functions", "localcloud", "policy", "seed_code", ".venv"):
        (tmp_path / name).symlink_to(CHECKOUT.root / name)
    output = tmp_path / "said"
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE_UP],
        cwd=tmp_path,
        env=project.env,
        stdin=subprocess.DEVNULL,
        stdout=output.open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    update = Update(process, output)
    try:
        wait_until(lambda: making_second(project))
        assert update.ctrl_c() == 1
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    said = update.said()
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said
    assert said.rstrip().endswith("run the same command again to go on.")
    assert project.processes() == {}
    state = json.loads(project.pulumi("stack", "export", "-s", "dev"))["deployment"]
    assert not state.get("pending_operations")
    made = {entry["urn"].rpartition("::")[2] for entry in state["resources"]}
    assert {"first", "second"} <= made
    assert "third" not in made


def test_ctrl_c_ends_a_program_that_hangs(
    project: Project, start_update: Callable[[], Update]
) -> None:
    project.configure(end="hang")
    update = start_update()
    wait_until(lambda: "said by the program" in update.said())
    assert update.ctrl_c() == 1
    assert "update canceled" in update.said()
    assert "Traceback" not in update.said()
    assert project.processes() == {}


def test_a_killed_cli_leaves_no_process_behind_and_the_stack_can_go_on(
    project: Project, start_update: Callable[[], Update]
) -> None:
    project.configure(seconds="4")
    update = start_update()
    wait_until(lambda: making_second(project))
    update.process.kill()
    update.process.wait()
    # All but the SDK's server of dynamic providers, which has no way to notice.
    wait_until(lambda: not any("language" in it for it in project.processes().values()), 60)
    for left in project.processes():
        os.kill(left, signal.SIGKILL)
    project.pulumi("cancel", "-s", "x", "--yes")
    project.pulumi("refresh", "-s", "x", "--yes", "--clear-pending-creates")
    project.pulumi("up", "-s", "x", "--yes", "--skip-preview")
    assert {"first", "second", "third"} <= project.resources()


COMPONENT = {
    "PulumiPlugin.yaml": "runtime: python\n",
    "__main__.py": """
from pulumi.provider.experimental import component_provider_host
from pair import Pair

component_provider_host(name="tiny", components=[Pair])
""",
    "pair.py": """
from typing import Optional, TypedDict

import pulumi


class PairArgs(TypedDict):
    word: pulumi.Input[str]


class Pair(pulumi.ComponentResource):
    word: pulumi.Output[str]

    def __init__(
        self, name: str, args: PairArgs, opts: Optional[pulumi.ResourceOptions] = None
    ) -> None:
        super().__init__("tiny:index:Pair", name, {}, opts)
        self.word = pulumi.Output.from_input(args["word"]).apply(str.upper)
        self.register_outputs({"word": self.word})
""",
}


def test_a_python_component_provider_is_served(engine: Engine, tmp_path: Path) -> None:
    provider = tmp_path / "tiny"
    provider.mkdir()
    for name, content in COMPONENT.items():
        (provider / name).write_text(content)
    program = (
        "import pulumi\n"
        "class Pair(pulumi.ComponentResource):\n"
        "    word: pulumi.Output[str]\n"
        "pair = Pair('tiny:index:Pair', 'pair', {'word': 'given'}, remote=True)\n"
        "pulumi.export('word', pair.word)\n"
    )
    plugins = "plugins: {providers: [{name: tiny, path: tiny}]}"
    project = project_in(tmp_path, f"name: user\nruntime: python\n{plugins}\n", program)
    project.pulumi("up", "-s", "x", "--yes")
    assert project.pulumi("stack", "output", "-s", "x", "word") == "GIVEN\n"
    assert project.processes() == {}


PROVIDER = """
import json
from concurrent import futures

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

ANY = {"$ref": "pulumi.json#/Any"}
FOUND = {
    "bucketName": "found",
    "tags": {"a-b": "c"},
    "policy": json.dumps({"Resource": "${aws:username}"}),
}
THING = {
    "inputProperties": dict.fromkeys(FOUND, ANY),
    "requiredInputs": ["bucketName"],
    "properties": dict.fromkeys([*FOUND, "arn"], ANY),
}
SCHEMA = {
    "name": "mini",
    "version": "1.0.0",
    "meta": {"moduleFormat": "(.*)(?:/[^/]*)"},
    "language": {"python": {"respectSchemaVersion": True}},
    "resources": {"mini:s3/thing:Thing": THING},
}


def struct(values):
    made = struct_pb2.Struct()
    made.update(values)
    return made


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    def GetSchema(self, request, context):
        return provider_pb2.GetSchemaResponse(schema=json.dumps(SCHEMA))

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="1.0.0")

    def CheckConfig(self, request, context):
        return provider_pb2.CheckResponse(inputs=request.news)

    def Configure(self, request, context):
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request, context):
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request, context):
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Read(self, request, context):
        return provider_pb2.ReadResponse(
            id=request.id, properties=struct({**FOUND, "arn": "arn:found"}), inputs=struct(FOUND)
        )

    def Cancel(self, request, context):
        return empty_pb2.Empty()


server = grpc.server(futures.ThreadPoolExecutor(8))
provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
"""


def test_import_takes_a_resource_over_and_prints_its_python(engine: Engine, tmp_path: Path) -> None:
    project = project_in(tmp_path, "name: importing\nruntime: python\n", "import pulumi\n")
    # The plugin cache, where our own providers lie too: nothing on PATH, nothing in Pulumi.yaml.
    cached = tmp_path / "home" / "plugins" / "resource-mini-v1.0.0"
    cached.mkdir(parents=True)
    (tmp_path / "provider.py").write_text(PROVIDER)
    launcher = cached / "pulumi-resource-mini"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -u {tmp_path}/provider.py "$@"\n')
    launcher.chmod(0o755)
    said = project.pulumi("import", "-s", "x", "mini:s3/thing:Thing", "first", "found", "--yes")
    assert "first" in project.resources()
    assert 'first = mini.s3.Thing("first",' in said
    assert 'bucket_name="found"' in said
    assert '"a-b": "c"' in said
    assert "${aws:username}" in said
    assert "protect=True" in said
