"""Pulumi's language host for Python, for a CLI that was built from source.

The official host is part of the official distribution. This one serves the same gRPC interface
(`LanguageRuntime`, from the stubs in the `pulumi` wheel) and runs programs through the Python SDK's
own `pulumi-language-python-exec`, which lies beside the CLI and comes from the same checksummed Go
module. It covers what running, testing and describing Python programs takes, and the code that
`pulumi import` prints. It makes no projects and packages (`pulumi convert`, `pulumi package add`),
which it says by the gRPC status UNIMPLEMENTED.

    pulumi-language-python <folder of the CLI> [--flags] <engine address>

It prints its port and then serves until the CLI sends SIGINT or SIGTERM, or is gone.
"""

# ruff: noqa: ARG002, N802 - the methods and their parameters are gRPC's
from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import IO, Any

import grpc
from google.protobuf import empty_pb2, json_format

from localcloud import stubs
from localcloud.engine.build import VERSION
from localcloud.engine.parent import end_with_the_cli, interrupt_this_process
from localcloud.engine.programs import Children, Interpreter, InterpreterError, interpreter

with stubs.without_sdk():
    from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2
    from pulumi.runtime.proto.codegen import hcl_pb2

_ALREADY_REPORTED = 32
"""Exit code by which the SDK's program runner says that it has shown the error itself."""

_CALLS_AT_ONCE = 128
"""A running program, policy pack or component provider holds one call for as long as it runs."""

_UNLIMITED = -1


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs Python programs, policy packs and component providers for one CLI process.

    Args:
        engine_folder: Folder of the CLI, which also holds the SDK's program runner.
        engine_address: Where the CLI's engine service listens.
        children: Keeps track of what this host starts.
    """

    def __init__(self, engine_folder: Path, engine_address: str, children: Children) -> None:
        self._runner = engine_folder / "pulumi-language-python-exec"
        self._generator = engine_folder / "pulumi-python-generate"
        self._kept = engine_folder / "interpreters"
        self._engine_address = engine_address
        self._children = children

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        """Learn the engine's address from a CLI that attaches to a running host."""
        self._engine_address = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """This host is part of the CLI that it lies beside, and has its version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """Name the resource plugins of the Pulumi packages that the program has installed.

        Where the CLI must not acquire plugins, those that are not there are left out: some commands
        (`pulumi package get-schema`) would try to download them all the same. A program that really
        uses one gets the CLI's error about that plugin.
        """
        probed = self._probe(request.info, context)
        packages = [
            plugin_pb2.PackageDependency(
                name=plugin["name"],
                kind="resource",
                version=plugin.get("version", ""),
                server=plugin.get("server", ""),
            )
            for plugin in probed["plugins"]
            if plugin.get("resource") and plugin.get("name") and _obtainable(plugin)
        ]
        return language_pb2.GetRequiredPackagesResponse(packages=packages)

    def About(
        self, request: language_pb2.AboutRequest, context: grpc.ServicerContext
    ) -> language_pb2.AboutResponse:
        """Tell `pulumi about` which Python runs the program."""
        chosen = self._interpreter(request.info, context)
        probed = self._probe(request.info, context)
        return language_pb2.AboutResponse(executable=str(chosen.python), version=probed["version"])

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        """List the installed distributions, or only those that no other one needs."""
        probed = self._probe(request.info, context)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=found["name"], version=found["version"])
                for found in probed["distributions"]
                if request.transitiveDependencies or found["direct"]
            ]
        )

    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        """`pulumi new` has nothing to ask: the defaults of Pulumi.yaml hold."""
        return language_pb2.RuntimeOptionsResponse()

    def Template(
        self, request: language_pb2.TemplateRequest, context: grpc.ServicerContext
    ) -> language_pb2.TemplateResponse:
        """A new project needs no rewriting for Python."""
        return language_pb2.TemplateResponse()

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        """Create the virtual environment that the options name, and install requirements.txt."""
        folder = Path(request.directory)
        options = _options(request.info)
        commands: list[list[str]] = []
        python = sys.executable
        if named := options.get("virtualenv"):
            venv = Path(request.info.root_directory or folder) / str(named)
            python = str(venv / "bin" / "python")
            if not Path(python).is_file():
                commands.append([sys.executable, "-m", "venv", str(venv)])
        if (folder / "requirements.txt").is_file():
            commands.append([python, "-m", "pip", "install", "-r", "requirements.txt"])
        for command in commands:
            child = self._children.start(command, str(folder), os.environ, pipes=True)
            context.add_callback(lambda child=child: self._children.stop(child))
            for is_error, data in _outputs(child):
                if is_error:
                    yield language_pb2.InstallDependenciesResponse(stderr=data)
                else:
                    yield language_pb2.InstallDependenciesResponse(stdout=data)
            if self._wait(child) != 0:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{' '.join(command)} failed")

    def Run(
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        """Run a program to its end, or until the CLI gives the call up."""
        info = request.info
        try:
            chosen = interpreter(Path(info.root_directory), _options(info), os.environ)
        except InterpreterError as error:
            return language_pb2.RunResponse(error=str(error))
        environment = chosen.environment(os.environ) | {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        try:
            child = self._children.start(self._command(request, chosen), request.pwd, environment)
        except (OSError, RuntimeError) as error:
            return language_pb2.RunResponse(error=f"could not start the program: {error}")
        context.add_callback(lambda: self._children.stop(child))
        code = self._wait(child)
        if code == 0:
            return language_pb2.RunResponse()
        if code == _ALREADY_REPORTED:
            return language_pb2.RunResponse(bail=True)
        if code < 0:
            return language_pb2.RunResponse(
                error=f"Program was ended by signal {signal.Signals(-code).name}"
            )
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {code}")

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a policy pack or a component provider, passing on what it prints."""
        folder = Path(request.info.program_directory)
        chosen = self._interpreter(request.info, context)
        arguments = list(request.args)
        if request.kind == "analyzer":
            command = ["-m", "pulumi.policy", *arguments, str(folder)]
        else:
            command = [str(folder / request.info.entry_point), *arguments]
        given = {name: value for name, _, value in (pair.partition("=") for pair in request.env)}
        environment = chosen.environment(given or os.environ)
        child = self._children.start(
            [str(chosen.python), "-u", *command], request.pwd, environment, pipes=True
        )
        context.add_callback(lambda: self._children.stop(child))
        for is_error, data in _outputs(child):
            if is_error:
                yield language_pb2.RunPluginResponse(stderr=data)
            else:
                yield language_pb2.RunPluginResponse(stdout=data)
        yield language_pb2.RunPluginResponse(exitcode=self._wait(child))

    def GenerateProgram(
        self, request: language_pb2.GenerateProgramRequest, context: grpc.ServicerContext
    ) -> language_pb2.GenerateProgramResponse:
        """Turn the CLI's description of imported resources into Python."""
        asked = {
            "source": dict(request.source),
            "loader": request.loader_target,
            "strict": request.strict,
        }
        ran = subprocess.run(
            [str(self._generator)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            check=False,
        )
        if ran.returncode != 0:
            context.abort(grpc.StatusCode.INTERNAL, ran.stderr.decode(errors="replace").strip())
        answer = json.loads(ran.stdout)
        return language_pb2.GenerateProgramResponse(
            source={name: text.encode() for name, text in answer["files"].items()},
            diagnostics=[
                hcl_pb2.Diagnostic(
                    severity=hcl_pb2.DIAG_ERROR if found["error"] else hcl_pb2.DIAG_WARNING,
                    summary=found["summary"],
                    detail=found["detail"],
                )
                for found in answer["diagnostics"]
            ],
        )

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """The CLI stops the whole operation: programs and plugins end now."""
        # Not from this call's thread: the CLI waits for the answer before it goes on stopping.
        threading.Thread(target=self._children.stop_all, daemon=True).start()
        return empty_pb2.Empty()

    def _command(self, request: language_pb2.RunRequest, chosen: Interpreter) -> list[str]:
        info = request.info
        return [
            *(str(chosen.python), "-u", str(self._runner)),
            *("--monitor", request.monitor_address, "--engine", self._engine_address),
            *("--project", request.project, "--stack", request.stack),
            *("--organization", request.organization or "organization"),
            *("--root_directory", info.root_directory, "--pwd", request.pwd),
            *("--parallel", str(request.parallel), "--dry_run", str(request.dryRun).lower()),
            *("--", str(Path(info.program_directory) / info.entry_point), *request.args),
        ]

    def _interpreter(
        self, info: language_pb2.ProgramInfo, context: grpc.ServicerContext
    ) -> Interpreter:
        try:
            return interpreter(Path(info.root_directory), _options(info), os.environ)
        except InterpreterError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise

    def _probe(
        self, info: language_pb2.ProgramInfo, context: grpc.ServicerContext
    ) -> dict[str, Any]:
        try:
            return self._interpreter(info, context).probe(self._kept)
        except InterpreterError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        code = child.wait()
        self._children.finished(child)
        return code


def _options(info: language_pb2.ProgramInfo) -> dict[str, Any]:
    return json_format.MessageToDict(info.options)


def _obtainable(plugin: dict[str, Any]) -> bool:
    if os.environ.get("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "").lower() != "true":
        return True
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    return (home / "plugins" / f"resource-{plugin['name']}-v{plugin.get('version')}").is_dir()


def _outputs(child: subprocess.Popen[bytes]) -> Iterator[tuple[bool, bytes]]:
    """What a child prints, as it comes: (whether on standard error, the bytes)."""
    printed: queue.Queue[tuple[bool, bytes]] = queue.Queue()

    def read(stream: IO[bytes], is_error: bool) -> None:
        # One system call's worth at a time: the CLI waits for a port number on a line of its own.
        while data := os.read(stream.fileno(), 65536):
            printed.put((is_error, data))
        printed.put((is_error, b""))

    assert child.stdout is not None  # noqa: S101 - started with pipes
    assert child.stderr is not None  # noqa: S101
    for stream, is_error in ((child.stdout, False), (child.stderr, True)):
        threading.Thread(target=read, args=(stream, is_error), daemon=True).start()
    open_streams = 2
    while open_streams:
        is_error, data = printed.get()
        if data:
            yield is_error, data
        else:
            open_streams -= 1


def _on_terminate(*_: object) -> None:
    interrupt_this_process()


def main() -> None:
    """Serve until told to stop."""
    # Before any thread is there: every thread and every child then has SIGINT blocked, see
    # localcloud.engine.programs, and only the `sigwait` below takes it. SIGTERM stays open, as the
    # children are ended by it, and is turned into the other.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _on_terminate)
    engine_folder, engine_address = Path(sys.argv[1]), sys.argv[-1]
    children = Children()
    server = grpc.server(
        futures.ThreadPoolExecutor(_CALLS_AT_ONCE),
        options=[
            ("grpc.max_receive_message_length", _UNLIMITED),
            ("grpc.max_send_message_length", _UNLIMITED),
        ],
    )
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(
        LanguageHost(engine_folder, engine_address, children), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    end_with_the_cli()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGINT})
    children.stop_all()
    server.stop(None)
    # Calls that still hold a thread have nobody left to answer to.
    os._exit(0)


if __name__ == "__main__":
    main()
