"""What an interrupted update leaves, settled with the real engine against the emulator."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation as auto

from automation import recovery
from localcloud.engine import ensure_engine
from localcloud.paths import CHECKOUT
from tests.localcloud.emulators import DEV, REGION, checkout, running

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROGRAM = f"""
import json

import pulumi
import pulumi_aws as aws

dev = pulumi.ResourceOptions(
    provider=aws.Provider("dev", region="{REGION}", allowed_account_ids=["{DEV}"])
)
document = json.dumps({{"Version": "2012-10-17", "Statement": [
    {{"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::a/*"}}
]}})
kept = aws.iam.Policy("kept", name="kept", policy=document, opts=dev)
gone = aws.dynamodb.Table(
    "gone", name="gone", billing_mode="PAY_PER_REQUEST", hash_key="A",
    attributes=[{{"name": "A", "type": "S"}}], opts=dev,
)
queue = aws.sqs.Queue("repeated", name="repeated", opts=dev)
vpc = aws.ec2.Vpc("unnamed", cidr_block="10.0.0.0/16", opts=dev)
"""


def checkpoint(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The stack's file in the backend, and what it holds."""
    file = folder / "state/.pulumi/stacks/tiny/x.json"
    return file, json.loads(file.read_text())


def recorded(folder: Path) -> dict[str, Any]:
    """What the state has but the stack and its provider, by logical name."""
    latest = checkpoint(folder)[1]["checkpoint"]["latest"]
    assert not latest.get("pending_operations")
    return {
        resource["urn"].rpartition("::")[2]: resource
        for resource in latest["resources"]
        if not resource["type"].startswith("pulumi:")
    }


def interrupt(folder: Path) -> None:
    """Puts all resources back to where they are while their creation is under way."""
    file, found = checkpoint(folder)
    latest = found["checkpoint"]["latest"]
    made = [r for r in latest["resources"] if not r["type"].startswith("pulumi:")]
    assert len(made) == 4
    latest["resources"] = [r for r in latest["resources"] if r not in made]
    latest["pending_operations"] = [
        {
            "type": "creating",
            "resource": {k: v for k, v in resource.items() if k not in ("id", "outputs")},
        }
        for resource in made
    ]
    file.write_text(json.dumps(found))


def test_what_was_being_created_is_kept_if_it_exists_and_made_if_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    monkeypatch.setenv("PATH", f"{ensure_engine().executable.parent}:{os.environ['PATH']}")
    with running(checkout(tmp_path / "cloud"), {"dev": DEV}) as cloud:
        key = cloud.started.description["administrators"][DEV]
        environment = {
            "AWS_ENDPOINT_URL": cloud.started.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "PULUMI_HOME": str(CHECKOUT.pulumi_home),
            "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "keep-this-to-yourself",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
        }
        options = auto.LocalWorkspaceOptions(env_vars=environment)
        stack = auto.create_stack("x", work_dir=str(tmp_path), opts=options)
        update = ["up", "--yes", "--skip-preview", "--stack", "x"]
        stack.workspace.pulumi_command.run(update, str(tmp_path), environment)
        before = recorded(tmp_path)
        interrupt(tmp_path)
        cloud.client("dynamodb").delete_table(TableName="gone")

        told = recovery.before(stack)

        def part(words: str) -> str:
            return told.partition(words)[2].partition(";")[0]

        assert "policy:Policy kept" in part("kept if they exist: ")
        assert "table:Table gone" in part("kept if they exist: ")
        assert "queue:Queue repeated" in part("made again by the next update")
        assert "vpc:Vpc unnamed" in part("dropped from the state: ")
        assert recorded(tmp_path).keys() == {"kept"}

        stack.workspace.pulumi_command.run(update, str(tmp_path), environment)
        after = recorded(tmp_path)
        assert after.keys() == before.keys()
        # It was read whole, and not made a second time, which its name would not allow.
        assert after["kept"]["id"] == before["kept"]["id"]
        assert before["kept"]["outputs"].items() <= after["kept"]["outputs"].items()
