"""The four stacks on the local cloud: up, nothing to do, small changes, drift, faults, a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components.naming import ENVIRONMENTS
from localcloud.emulator import daemon
from localcloud.environment import running_instance
from localcloud.paths import Paths
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e


def test_up_ends_in_a_summary_and_a_page(platform: Platform) -> None:
    log = (platform.root / "up.log").read_text()
    for stack in ENVIRONMENTS:
        assert f"{stack}: done" in log
    assert "all kept" in log
    assert "studio.eu-west-1.sagemaker.aws" in log
    page = (platform.root / ".localcloud" / "platform.html").read_text()
    assert "mlops-prod-model-execution" in page
    assert "<script" not in page
    assert 'src="http' not in page


def test_a_second_up_changes_nothing(platform: Platform) -> None:
    told = platform.automation("preview", "--all", code=0)
    assert told.count("no changes") >= len(ENVIRONMENTS)


def test_the_literal_commands_work(platform: Platform) -> None:
    told = platform.pulumi("preview", "-s", "dev", "--policy-pack", "policy")
    assert "to create" not in told
    assert json.loads(platform.pulumi("stack", "output", "-s", "dev", "--json"))["studio_url"]
    platform.pulumi("refresh", "-s", "preprod", "--yes")
    assert "unchanged" in platform.pulumi("up", "-s", "preprod", "--yes")


def test_a_new_user_makes_one_profile_and_nothing_else(platform: Platform) -> None:
    def add(config: dict[str, Any]) -> None:
        config["mlops:studio"]["users"]["data_scientists"].append("new-colleague")

    platform.edit("dev", add)
    told = platform.automation("preview", "--stack", "dev", code=2)
    assert "1 create" in told
    assert "1 create, " not in told
    assert "1 create" in platform.automation("up", "--stack", "dev")


def test_a_bucket_policy_changed_behind_pulumi_is_drift_and_is_mended(platform: Platform) -> None:
    s3 = platform.client("s3", "dev")
    bucket = "mlops-dev-eu-west-1-222222222222-logs"
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    changed = {**policy, "Statement": [{**policy["Statement"][0], "Sid": "Changed"}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(changed))
    told = platform.automation("drift", "--stack", "dev", code=2)
    assert "1 update" in told
    platform.automation("refresh", "--stack", "dev")
    assert "1 update" in platform.automation("up", "--stack", "dev")
    platform.automation("drift", "--stack", "dev", code=0)
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy


def test_what_dev_made_cannot_be_seen_from_prod(platform: Platform) -> None:
    iam = platform.client("iam", "prod")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName="mlops-dev-deployer")
    buckets = [b["Name"] for b in platform.client("s3", "prod").list_buckets()["Buckets"]]
    assert buckets
    assert all("-prod-" in name for name in buckets)
    with pytest.raises(ClientError, match="AccessDenied"):
        platform.client("s3", "prod").list_objects_v2(
            Bucket="mlops-dev-eu-west-1-222222222222-logs"
        )


def test_an_environment_that_is_taken_out_loses_what_it_was_granted(platform: Platform) -> None:
    bucket = "mlops-governance-eu-west-1-111111111111-models"
    endpoints = json.loads(platform.pulumi("stack", "output", "-s", "prod", "--json"))
    prod = {"444444444444", endpoints["endpoint_ids"]["s3"]}

    def granted() -> set[str]:
        policy = platform.client("s3", "governance").get_bucket_policy(Bucket=bucket)["Policy"]
        return {text for text in prod if text in policy}

    assert granted() == prod
    platform.edit("governance", lambda config: config.update(
        {"mlops:environments": ["dev", "preprod"]}))  # fmt: skip
    platform.automation("up", "--stack", "governance")
    assert granted() == set()
    platform.automation("preview", "--stack", "governance", code=0)
    platform.edit("governance", lambda config: config.pop("mlops:environments"))
    platform.automation("up", "--stack", "governance")
    assert granted() == prod


def test_an_approval_in_dev_waits_in_the_hubs_queue(platform: Platform) -> None:
    """Through the deployed rules, bus, role, policies and keys."""
    sagemaker, sqs = platform.client("sagemaker", "dev"), platform.client("sqs", "governance")
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="mlops-dev-abalone",
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]
    url = sqs.get_queue_url(QueueName="mlops-governance-promotions")["QueueUrl"]
    for status, waiting in (("Rejected", []), ("Approved", [arn])):
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        assert [json.loads(message["Body"])["resources"] for message in found] == [
            [one] for one in waiting
        ]
    endpoint = running_instance(Paths(platform.root)).endpoint
    assert daemon.request(endpoint, "GET", "undelivered") == []


def faults(platform: Platform, *items: dict[str, Any]) -> None:
    instance = running_instance(Paths(platform.root))
    for item in items:
        daemon.request(instance.endpoint, "POST", "faults", item)


def test_throttling_and_server_errors_are_retried(platform: Platform) -> None:
    def add(config: dict[str, Any]) -> None:
        config["mlops:registry"]["model_package_groups"].append("churn")

    platform.edit("dev", add)
    for error in ("throttle", "server-error"):
        faults(platform, {"service": "sagemaker", "error": error, "count": 2})
    told = platform.automation("up", "--stack", "dev")
    assert "ok" in told


def test_after_a_kill_in_the_middle_the_next_up_converges(platform: Platform) -> None:
    def add(config: dict[str, Any]) -> None:
        groups = config["mlops:registry"]["model_package_groups"]
        groups += [f"group-{number}" for number in range(12)]

    platform.edit("dev", add)
    update = subprocess.Popen(
        ["pulumi", "up", "-s", "dev", "--yes", "--skip-preview", "--non-interactive"],
        cwd=platform.root,
        env=platform.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert update.stdout is not None
    deadline = time.monotonic() + 120
    for line in update.stdout:
        if "ModelPackageGroup" in line and "creating" in line:
            break
        assert time.monotonic() < deadline
    os.killpg(update.pid, signal.SIGKILL)
    update.wait()
    told = platform.automation("up", "--stack", "dev")
    assert "ok" in told
    platform.automation("preview", "--stack", "dev", code=0)


def test_real_credentials_of_the_caller_are_not_used(platform: Platform) -> None:
    """The whole platform came up with them in the environment."""
    assert "AKIAREALLOOKING" not in (platform.root / "up.log").read_text()
    for path in (platform.root / ".localcloud").rglob("*"):
        if path.is_file() and path.suffix in ("", ".json", ".log"):
            assert b"AKIAREALLOOKING" not in path.read_bytes(), path
