"""Every plugin of ours ends at once when the CLI says so, and with the CLI when it is gone."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.engine import Engine, ensure_engine
from localcloud.environment import Instance, local_environment
from localcloud.paths import CHECKOUT

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

PLUGINS = ["pulumi-language-python", "pulumi-resource-aws"]
if importlib.util.find_spec("localcloud.awsx"):
    PLUGINS.append("pulumi-resource-awsx")

LESS_THAN_THE_CLI_WAITS = 3.0
"""Seconds; the CLI gives a plugin five and then kills it, which each command would pay for."""


@pytest.fixture(scope="session")
def engine() -> Engine:
    return ensure_engine()


@pytest.fixture(params=PLUGINS)
def plugin(request: pytest.FixtureRequest, engine: Engine) -> Iterator[subprocess.Popen[bytes]]:
    """A plugin as the CLI starts it: in a process group of its own, its input a pipe."""
    if request.param == "pulumi-language-python":
        if engine.official:
            pytest.skip("an official engine has a language host of its own")
        executable = engine.executable.resolve().with_name(request.param)
    else:
        (executable,) = CHECKOUT.plugins.glob(f"*/{request.param}")
    instance = Instance("test", "http://127.0.0.1:1", os.getpid(), "eu-west-1", {}, {}, CHECKOUT)
    process = subprocess.Popen(
        [str(executable), "127.0.0.1:1"],
        env=local_environment(os.environ, instance),
        cwd=Path("/"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) > 0
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_a_plugin_ends_quietly_on_the_signal_of_the_cli(plugin: subprocess.Popen[bytes]) -> None:
    os.killpg(plugin.pid, signal.SIGINT)
    assert plugin.wait(LESS_THAN_THE_CLI_WAITS) == 0
    assert plugin.stderr is not None
    assert plugin.stderr.read() == b""


def test_a_plugin_ends_when_the_cli_is_gone(plugin: subprocess.Popen[bytes]) -> None:
    assert plugin.stdin is not None
    plugin.stdin.close()
    plugin.stdin = None
    assert plugin.wait(LESS_THAN_THE_CLI_WAITS) == 0
