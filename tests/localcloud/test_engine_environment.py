"""A local run sees nothing of the caller's real cloud, and cannot start when it could."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud import demo, up
from localcloud.emulator import daemon
from localcloud.engine import Engine
from localcloud.environment import (
    AccessKey,
    Instance,
    NotLocalError,
    NotRunningError,
    ensure_loopback,
    is_loopback,
    local_environment,
    running_instance,
    write_aws_files,
)
from localcloud.paths import CHECKOUT, Paths

ACCOUNTS = {"governance": "111111111111", "dev": "222222222222", "prod": "222222222222"}

ELSEWHERE = "http://10.0.0.7:4599"

REAL = {
    "AWS_ACCESS_KEY_ID": "AKIAREALLOOKINGKEY00",
    "AWS_SECRET_ACCESS_KEY": "real-looking-secret",
    "AWS_SESSION_TOKEN": "real-looking-token",
    "AWS_PROFILE": "company-prod",
    "AWS_DEFAULT_PROFILE": "company-prod",
    "AWS_CONFIG_FILE": "/home/someone/.aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/home/someone/.aws/credentials",
    "AWS_ROLE_ARN": "arn:aws:iam::999999999999:role/admin",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/creds",
    "AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_CA_BUNDLE": "/etc/corporate.pem",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_EC2_METADATA_DISABLED": "false",
    "PULUMI_ACCESS_TOKEN": "pul-0123456789abcdef",
    "PULUMI_BACKEND_URL": "s3://company-state",
    "PULUMI_CONFIG_PASSPHRASE": "company secret",
    "PULUMI_CONFIG_PASSPHRASE_FILE": "/home/someone/passphrase",
    "HTTPS_PROXY": "http://proxy.company.example:3128",
    "https_proxy": "http://proxy.company.example:3128",
    "ALL_PROXY": "socks5://proxy.company.example:1080",
    "NO_PROXY": "company.example",
}


def instance_at(root: Path, pid: int | None = None) -> Instance:
    return Instance(
        id="one",
        endpoint="http://127.0.0.1:4599",
        pid=pid or os.getpid(),
        region="eu-west-1",
        accounts=ACCOUNTS,
        administrators={
            account: AccessKey(f"LKIA{account}", f"made-up-{account}")
            for account in set(ACCOUNTS.values())
        },
        paths=Paths(root),
    )


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = instance_at(tmp_path)
    write_aws_files(made)
    return made


def write_instance_file(instance: Instance) -> None:
    described = {
        "instance": instance.id,
        "endpoint": instance.endpoint,
        "pid": instance.pid,
        "region": instance.region,
        "accounts": dict(instance.accounts),
        "administrators": {
            account: dataclasses.asdict(key) for account, key in instance.administrators.items()
        },
    }
    instance.paths.local.mkdir(parents=True, exist_ok=True)
    instance.paths.instance_file.write_text(json.dumps(described))


def test_nothing_of_the_callers_cloud_survives(instance: Instance) -> None:
    local = local_environment({**REAL, "PATH": "/usr/bin", "HOME": "/home/someone"}, instance)
    for name, value in REAL.items():
        assert local.get(name) != value, name
    assert not [
        name for name in local if name.upper().endswith("_PROXY") and name.upper() != "NO_PROXY"
    ]
    ensure_loopback(local)


@given(
    st.dictionaries(
        st.from_regex(r"(AWS|PULUMI|aws|Pulumi)_[A-Z_]{1,20}", fullmatch=True), st.text(min_size=1)
    )
)
def test_no_variable_of_the_aws_and_pulumi_families_passes_through(foreign: dict[str, str]) -> None:
    made = instance_at(Path("/checkout"))
    assert local_environment(foreign, made) == local_environment({}, made)


def test_the_rest_of_the_environment_is_kept(instance: Instance) -> None:
    given = {"HOME": "/home/someone", "LANG": "C", "PATH": "/usr/bin"}
    local = local_environment({**given, "PULUMI_SKIP_CHECKPOINTS": "true"}, instance)
    assert local["HOME"] == "/home/someone"
    assert local["PULUMI_SKIP_CHECKPOINTS"] == "true"
    assert local["LANG"] == "C"
    assert local["PATH"].split(":") == [
        str(instance.paths.venv / "bin"),
        str(instance.paths.current_engine),
        "/usr/bin",
    ]


def test_building_it_twice_changes_nothing(instance: Instance) -> None:
    once = local_environment({**REAL, "PATH": "/usr/bin"}, instance)
    assert local_environment(once, instance) == once


def test_boto3_uses_made_up_keys_of_the_named_account(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in local_environment(REAL, instance).items():
        monkeypatch.setenv(name, value)
    hub = boto3.Session()
    credentials = hub.get_credentials()
    assert credentials is not None
    assert credentials.access_key == "LKIA111111111111"
    assert credentials.method == "shared-credentials-file"
    for service in ("sts", "s3", "sagemaker", "kms"):
        assert hub.client(service).meta.endpoint_url == instance.endpoint
    dev = boto3.Session(profile_name="dev").get_credentials()
    assert dev is not None
    assert dev.access_key == "LKIA222222222222"


def test_generated_credentials_are_private(instance: Instance) -> None:
    assert instance.paths.aws_credentials(instance.id).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"AWS_ENDPOINT_URL": "https://sts.eu-west-1.amazonaws.com"}, "AWS_ENDPOINT_URL="),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1.example.com:4599"}, "AWS_ENDPOINT_URL="),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1@example.com"}, "AWS_ENDPOINT_URL="),
        ({"AWS_ENDPOINT_URL": "http://10.0.0.7:4599"}, "AWS_ENDPOINT_URL="),
        ({"AWS_ENDPOINT_URL": None}, "AWS_ENDPOINT_URL is not set"),
        ({"AWS_ENDPOINT_URL_KMS": "https://kms.amazonaws.com"}, "AWS_ENDPOINT_URL_KMS"),
        ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"),
        ({"AWS_ACCESS_KEY_ID": "AKIAREALLOOKINGKEY00"}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ({"AWS_EC2_METADATA_DISABLED": None}, "AWS_EC2_METADATA_DISABLED"),
        ({"AWS_CONFIG_FILE": None}, "AWS_CONFIG_FILE"),
        ({"AWS_SHARED_CREDENTIALS_FILE": None}, "AWS_SHARED_CREDENTIALS_FILE"),
        ({"HTTPS_PROXY": "http://proxy.company.example:3128"}, "HTTPS_PROXY"),
        ({"PULUMI_BACKEND_URL": "s3://company-state"}, "PULUMI_BACKEND_URL"),
        ({"PULUMI_ACCESS_TOKEN": "pul-0123"}, "PULUMI_ACCESS_TOKEN"),
    ],
)
def test_the_guard_refuses_and_names_each_way_out(
    instance: Instance, change: dict[str, str | None], named: str
) -> None:
    changed = {**local_environment({}, instance), **change}
    env = {name: value for name, value in changed.items() if value is not None}
    with pytest.raises(NotLocalError, match="refusing to start a local update") as refused:
        ensure_loopback(env)
    assert named in str(refused.value)


def test_the_guard_reads_the_config_file_too(instance: Instance) -> None:
    env = local_environment({}, instance)
    Path(env["AWS_CONFIG_FILE"]).write_text(
        "[profile governance]\nendpoint_url = https://amazonaws.com\nservices = mine\n"
        "[services mine]\ns3 =\n  endpoint_url = https://s3.amazonaws.com\n"
    )
    with pytest.raises(NotLocalError) as refused:
        ensure_loopback(env)
    assert "[profile governance]" in str(refused.value)
    assert "https://s3.amazonaws.com" in str(refused.value)


def test_the_guard_names_all_problems_at_once() -> None:
    with pytest.raises(NotLocalError) as refused:
        ensure_loopback(REAL)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "https_proxy", "PULUMI_BACKEND_URL"):
        assert name in str(refused.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:4599", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:4599", True),
        ("http://localhost:4599", True),
        ("http://localhost.example.com", False),
        ("http://0.0.0.0:4599", False),
        ("127.0.0.1:4599", False),
        ("", False),
    ],
)
def test_what_counts_as_loopback(url: str, local: bool) -> None:
    assert is_loopback(url) is local


def test_a_stopped_local_cloud_is_said_to_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="make up"):
        running_instance(Paths(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_instance_file(instance_at(tmp_path, pid=ended.pid))
    with pytest.raises(NotRunningError, match="has ended"):
        running_instance(Paths(tmp_path))


def test_the_instance_file_is_read_whole(instance: Instance) -> None:
    write_instance_file(instance)
    assert running_instance(instance.paths) == instance


def checkout_copy(root: Path) -> None:
    """A checkout with an environment, as far as `activate` needs one."""
    (root / "localcloud").mkdir()
    names = ("__init__.py", "activate", "environment.py", "paths.py", "shell.py", "whole_files.py")
    for name in names:
        shutil.copy(CHECKOUT.root / "localcloud" / name, root / "localcloud" / name)
    (root / ".venv" / "bin").mkdir(parents=True)
    launcher = root / ".venv" / "bin" / "python"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    launcher.chmod(0o755)


SHELLS = [shell for shell in ("bash", "zsh") if shutil.which(shell)]


def run_shell(shell: str, script: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shell, "-c", script],
        cwd="/",
        env={**REAL, "PATH": os.environ["PATH"], "HOME": str(root), "ODD": "a 'b' $c\nd"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_activate_sets_a_shell_up_and_deactivate_restores_it(shell: str, tmp_path: Path) -> None:
    root = tmp_path / "a checkout"
    root.mkdir()
    checkout_copy(root)
    write_instance_file(instance_at(root))
    ran = run_shell(
        shell,
        f"env | sort > {tmp_path}/before; . '{root}/localcloud/activate' || exit 9;"
        f" env | sort > {tmp_path}/within; . '{root}/localcloud/activate' || exit 9;"
        f" env | sort > {tmp_path}/again;"
        f" deactivate_localcloud; env | sort > {tmp_path}/after",
        root,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    before, within, again, after = (
        {line for line in (tmp_path / name).read_text().splitlines() if not line.startswith("_=")}
        for name in ("before", "within", "again", "after")
    )
    assert after == before
    assert again == within
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:4599" in within
    state = instance_at(root).paths.state("one").as_uri()
    assert f"PULUMI_BACKEND_URL={state}?metadata=skip" in within
    assert not {line for line in within if line.startswith("AWS_SESSION_TOKEN")}
    assert not {line for line in within if line.startswith("PYTHONPATH")}


@pytest.mark.parametrize("shell", SHELLS)
def test_activate_refuses_an_emulator_elsewhere_and_changes_nothing(
    shell: str, tmp_path: Path
) -> None:
    checkout_copy(tmp_path)
    write_instance_file(dataclasses.replace(instance_at(tmp_path), endpoint=ELSEWHERE))
    ran = run_shell(
        shell, f". {tmp_path}/localcloud/activate; echo $?; echo $PULUMI_BACKEND_URL", tmp_path
    )
    assert f"AWS_ENDPOINT_URL={ELSEWHERE} is not on loopback" in ran.stderr
    assert ran.stdout.splitlines() == ["1", "s3://company-state"]


def test_up_refuses_an_emulator_elsewhere_before_it_runs_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dataclasses.replace(instance_at(tmp_path), endpoint=ELSEWHERE)
    started = daemon.Started({"instance": made.id, "endpoint": ELSEWHERE, "pid": 1}, fresh=True)
    engine = Engine(tmp_path / "pulumi", official=False)
    monkeypatch.setattr(up, "ensure_engine", lambda **_: engine)
    monkeypatch.setattr(up, "prepare", lambda: tmp_path)
    monkeypatch.setattr(up.daemon, "start", lambda *_, **__: started)
    monkeypatch.setattr(up, "running_instance", lambda: made)
    ran: list[Any] = []
    monkeypatch.setattr(up, "_automation", lambda *given, **_: ran.append(given) or 0)
    with pytest.raises(NotLocalError, match=ELSEWHERE):
        up.up()
    assert ran == []


def test_the_demo_refuses_an_emulator_elsewhere_before_it_signs_anybody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dataclasses.replace(instance_at(tmp_path), endpoint=ELSEWHERE)
    write_aws_files(made)
    monkeypatch.setattr(demo, "running_instance", lambda: made)
    before = dict(os.environ)
    with pytest.raises(NotLocalError, match=ELSEWHERE):
        demo.demo()
    assert dict(os.environ) == before
    assert "ml-engineer" not in made.paths.aws_config(made.id).read_text()


def test_activate_keeps_the_profiles_of_people(tmp_path: Path) -> None:
    checkout_copy(tmp_path)
    made = instance_at(tmp_path)
    write_instance_file(made)
    write_aws_files(
        made, {"ml-engineer": (AccessKey("LKIAML", "made-up"), "arn:aws:iam::1:role/m")}
    )
    ran = run_shell("bash", f". {tmp_path}/localcloud/activate; cat $AWS_CONFIG_FILE", tmp_path)
    assert "[profile ml-engineer]" in ran.stdout.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_activate_without_a_running_local_cloud_changes_nothing(shell: str, tmp_path: Path) -> None:
    checkout_copy(tmp_path)
    ran = run_shell(
        shell, f". {tmp_path}/localcloud/activate; echo $?; echo $PULUMI_BACKEND_URL", tmp_path
    )
    assert "not running; start it with: make up" in ran.stderr
    assert ran.stdout.splitlines() == ["1", "s3://company-state"]
