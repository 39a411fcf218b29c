"""The commands in a shell of a local cloud that has ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automation import cli
from components.naming import ENVIRONMENTS
from localcloud import ended
from localcloud.environment import AccessKey, Instance, local_environment, write_aws_files
from localcloud.paths import Paths

HUB = "111111111111"


def test_a_command_says_that_its_shell_s_local_cloud_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = Instance(
        id="20250101-000000-abcd",
        # Nothing listens there: the command must not come as far.
        endpoint="http://127.0.0.1:1",
        pid=os.getpid(),
        region="eu-west-1",
        accounts=dict.fromkeys(ENVIRONMENTS, HUB),
        administrators={HUB: AccessKey("LKIAHUB", "made-up")},
        paths=Paths(tmp_path),
    )
    write_aws_files(instance)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in local_environment({}, instance).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    ended.set_aside(instance.paths)
    assert cli.main(["bootstrap"]) == cli.ERROR
    assert f"local cloud {instance.id}, which has ended" in capsys.readouterr().err
