"""The four stacks on the local cloud: up, nothing to do, small changes, drift, faults, a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from components.naming import ENVIRONMENTS
from components.settings import load_stack
from localcloud.emulator import daemon
from localcloud.emulator.callers import through_vpc_endpoint
from localcloud.environment import running_instance
from localcloud.paths import Paths
from tests.e2e.conftest import Platform
from tests.localcloud.kit import until
from tests.unit.guarded_jobs import Placed, guarded

pytestmark = pytest.mark.e2e


def test_up_ends_in_a_summary_and_a_page(platform: Platform) -> None:
    log = (platform.root / "up.log").read_text()
    page = (platform.root / ".localcloud" / "platform.html").read_text()
    assert "<script" not in page
    assert 'src="http' not in page
    seconds: list[int] = []
    for stack in ENVIRONMENTS:
        assert f"{stack}: done" in log
        told = re.search(rf"^{stack} +(\d+) +(\d+)s +all kept +ok, (\d+) create$", log, re.M)
        assert told, stack
        resources, time_, created = told.groups()
        assert resources == created
        seconds.append(int(time_))
        row = {"stack": stack, "resources": resources, "changes": f"{created} create",
               "policies": "0 broken, 0 notes", "time": f"{time_} s"}  # fmt: skip
        assert "".join(f'<td data-label="{n}">{v}</td>' for n, v in row.items()) in page
    whole = re.search(r"^The platform is up \((\d+) s\) at (\S+)\.$", log, re.M)
    assert whole
    assert whole[2] == running_instance(Paths(platform.root)).endpoint
    # The hub comes after the others, which come together.
    assert int(whole[1]) >= max(seconds[:-1]) + seconds[-1] > 0
    assert re.findall(r"^  page +(\S+)$", log, re.M) == [
        str(platform.root / ".localcloud" / "platform.html")
    ]


def own_vpc(platform: Platform, stack: str) -> dict[str, Any]:
    """The VPC of a stack's network, as its account has it."""
    found = platform.client("ec2", stack).describe_vpcs()["Vpcs"]
    [vpc] = [
        vpc
        for vpc in found
        if {"Key": "Name", "Value": f"mlops-{stack}-vpc"} in vpc.get("Tags", ())
    ]
    return vpc


def test_the_summary_tells_of_each_stack_what_a_person_needs(platform: Platform) -> None:
    log = (platform.root / "up.log").read_text()
    sagemaker = platform.client("sagemaker", "dev")
    domains = [
        sagemaker.describe_domain(DomainId=domain["DomainId"])
        for domain in sagemaker.list_domains()["Domains"]
    ]
    [url] = [domain["Url"] for domain in domains if domain["DomainName"] == "mlops-dev-studio"]
    sign_in = "python -m automation studio-url --user USER --profile USERS_PROFILE"
    wanted: dict[str, dict[str, str]] = {
        "dev": {
            "Studio": url,
            "sign in by": sign_in,
            "registry": "abalone",
            "models bucket": "mlops-dev-eu-west-1-222222222222-models",
            "data bucket": "mlops-dev-eu-west-1-222222222222-data",
        },
        "preprod": {},
        "prod": {},
        "governance": {
            "registry": "abalone",
            "models bucket": "mlops-governance-eu-west-1-111111111111-models",
            "audit bucket": "mlops-governance-eu-west-1-111111111111-audit-logs",
        },
    }
    for stack in ENVIRONMENTS:
        [block] = re.findall(rf"^{stack}\n((?:  \S.*\n)+)", log, re.M)
        told = {line[:16].strip(): line[17:] for line in block.splitlines()}
        assert told == {**wanted[stack], "VPC": own_vpc(platform, stack)["VpcId"]}
        held = {b["Name"] for b in platform.client("s3", stack).list_buckets()["Buckets"]}
        assert {value for label, value in told.items() if label.endswith("bucket")} <= held


def test_the_page_shows_each_account_as_it_is(platform: Platform) -> None:
    page = (platform.root / ".localcloud" / "platform.html").read_text()
    accounts = running_instance(Paths(platform.root)).accounts
    parts = re.split(r"<h2>(\w+) <small>(\d+)</small></h2>", page)[1:]
    assert dict(zip(parts[::3], parts[1::3], strict=True)) == dict(accounts)
    promotion = "mlops-governance-promotion"
    only: dict[str, dict[str, str]] = {
        "dev": {
            "Model package groups": "model-package-group/mlops-dev-abalone<",
            "Read from other accounts": f"{accounts['governance']}:role/{promotion}<",
        },
        "governance": {
            "Model package groups": "model-package-group/mlops-governance-abalone<",
            "Image repositories": ">mlops-governance-inference<",
            "Read from other accounts": f"{accounts['prod']}:role/mlops-prod-model-execution*<",
        },
    }
    for stack, account, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        found = re.split(r"<h3>([^<]+)</h3>", body)[1:]
        sections = dict(zip(found[::2], found[1::2], strict=True))
        vpc = own_vpc(platform, stack)
        subnets = platform.client("ec2", stack).describe_subnets(
            Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
        )["Subnets"]
        role = promotion if stack == "governance" else f"mlops-{stack}-model-execution"
        boundary = platform.client("iam", stack).get_role(RoleName=role)["Role"][
            "PermissionsBoundary"
        ]["PermissionsBoundaryArn"]
        key = platform.client("kms", stack).describe_key(KeyId=f"alias/mlops-{stack}-logs")
        row = '<td data-label="role">{}</td><td data-label="boundary">{}</td>'
        wanted = {
            "Network": f'>{vpc["VpcId"]}</code></td><td data-label="block">{vpc["CidrBlock"]}<',
            "Subnets": f">{subnets[-1]['SubnetId']}<",
            "Roles": row.format(role, boundary.rpartition("/")[2]),
            "Keys": f">{key['KeyMetadata']['Arn']}<",
            "Buckets": f">mlops-{stack}-eu-west-1-{account}-logs<",
            "Model package groups": "<p>none</p>",
            "Image repositories": "<p>none</p>",
            "Read from other accounts": "<p>none</p>",
        } | only.get(stack, {})
        assert list(sections) == list(wanted)
        for title, value in wanted.items():
            assert value in sections[title], (stack, title)
        assert sections["Subnets"].count("<code>subnet-") == len(subnets)


def test_a_second_up_changes_nothing(platform: Platform) -> None:
    """By the literal command; what it would change in each stack is what has drifted, below."""
    for stack in ("dev", "governance"):
        told = platform.pulumi("up", "-s", stack, "--yes", "--skip-preview", "--expect-no-changes")
        [unchanged] = re.findall(r"^Resources:\n    (\d+) unchanged\n\n", told, re.M)
        assert int(unchanged) > 100


def test_right_after_an_up_nothing_has_drifted(platform: Platform) -> None:
    told = platform.automation("drift", "--all", code=0)
    assert told.count("no changes") >= len(ENVIRONMENTS)


def test_a_new_user_makes_one_profile_and_nothing_else(platform: Platform) -> None:
    """While AWS throttles and fails."""

    def add(config: dict[str, Any]) -> None:
        config["mlops:studio"]["users"]["data_scientists"].append("new-colleague")

    platform.edit("dev", add)
    told = platform.automation("preview", "--stack", "dev", code=2)
    assert "1 create" in told
    assert "1 create, " not in told
    endpoint = running_instance(Paths(platform.root)).endpoint
    for error in ("throttle", "server-error"):
        daemon.request(
            endpoint, "POST", "faults", {"service": "sagemaker", "error": error, "count": 2}
        )
    assert "1 create" in platform.automation("up", "--stack", "dev", "--skip-preview")
    assert daemon.request(endpoint, "GET", "faults") == [], "not all of them were met"


def test_a_bucket_policy_changed_behind_pulumi_is_drift_and_is_mended(platform: Platform) -> None:
    """By the literal commands."""
    s3 = platform.client("s3", "preprod")
    bucket = "mlops-preprod-eu-west-1-333333333333-logs"
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    changed = {**policy, "Statement": [{**policy["Statement"][0], "Sid": "Changed"}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(changed))
    told = platform.automation("drift", "--stack", "preprod", code=2)
    assert "1 update" in told
    platform.pulumi("refresh", "-s", "preprod", "--yes")
    told = platform.pulumi("up", "-s", "preprod", "--yes")
    assert "1 updated" in told
    assert "created" not in told
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
    assert "no changes" in platform.automation("refresh", "--stack", "preprod")


def test_a_boundary_that_is_not_this_checkouts_is_told_of_until_the_bootstrap_was_run(
    platform: Platform,
) -> None:
    """Stacks only name it, so no plan has it."""
    iam = platform.client("iam", "preprod")
    name = "mlops-preprod-boundary"
    boundary = {"PolicyArn": f"arn:aws:iam::333333333333:policy/{name}"}
    iam.create_policy_version(
        **boundary,
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
            }
        ),
        SetAsDefault=True,
    )
    told = platform.automation("drift", "--stack", "preprod", code=0)
    assert f"preprod: the permissions boundary {boundary['PolicyArn']} is not the one" in told

    iam.delete_policy_version(**boundary, VersionId="v1")
    iam.delete_policy(**boundary)
    told = platform.automation("up", "--stack", "preprod", code=1)
    assert f"preprod: there is no permissions boundary {boundary['PolicyArn']}" in told

    told = platform.automation("bootstrap")
    assert f"create policy {name}" in told
    told = platform.automation("preview", "--read-only", "--stack", "preprod", code=0)
    assert "boundary" not in told


def test_a_bucket_made_by_hand_is_imported_told_of_and_given_back(platform: Platform) -> None:
    """By the literal commands, as docs/operations.md has them."""
    s3 = platform.client("s3", "preprod")
    bucket = "mlops-preprod-by-hand"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    def state() -> dict[str, dict[str, Any]]:
        told = platform.pulumi("stack", "export", "-s", "preprod")
        return {held["urn"]: held for held in json.loads(told)["deployment"]["resources"]}

    before = state()
    [provider] = [urn for urn in before if urn.endswith("::pulumi:providers:aws::aws-preprod")]
    given = ("aws:s3/bucket:Bucket", "by-hand", bucket, "--provider", f"aws={provider}")
    told = platform.pulumi("import", *given, "-s", "preprod", "--yes", "--skip-preview")
    assert "1 imported" in told
    assert 'aws.s3.Bucket("by-hand"' in told
    [urn] = set(state()) - set(before)
    held = state()[urn]
    assert (held["id"], held["protect"]) == (bucket, True)
    assert held["provider"].startswith(f"{provider}::")
    # The program does not have it yet: an update would delete it, and may not.
    told = platform.run("pulumi", "preview", "-s", "preprod", "--non-interactive", code=None)
    assert told.returncode
    assert "by-hand" in told.stdout + told.stderr
    assert f"pulumi state unprotect '{urn}'" in told.stdout + told.stderr
    platform.pulumi("state", "delete", urn, "-s", "preprod", "--force", "--yes")
    assert set(state()) == set(before)
    assert s3.list_object_versions(Bucket=bucket)["Name"] == bucket
    s3.delete_bucket(Bucket=bucket)


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


def test_a_job_that_breaks_a_guard_is_refused_to_the_deployed_role(platform: Platform) -> None:
    """With the requests that tests/unit/test_job_guards.py shows to the policy pack, too."""
    listed = platform.client("ssm", "dev").get_paginator("get_parameters_by_path")
    told = {
        item["Name"].removeprefix("/mlops/dev/"): item["Value"]
        for page in listed.paginate(Path="/mlops/dev/", Recursive=True)
        for item in page["Parameters"]
    }
    at = Placed(
        # The guards come first: what they let through is refused for this role, which nobody may
        # pass, and starts nothing.
        "arn:aws:iam::222222222222:role/mlops-dev-deployer",
        told["vpc/private-subnet-ids"].split(","),
        told["vpc/security-group-ids"].split(","),
        told["kms/storage/arn"],
        told["kms/data/arn"],
        load_stack(platform.root, "dev").studio.default_instance_type,
    )
    sagemaker = platform.as_role("dev", "data-scientist-execution").client(
        "sagemaker", endpoint_url=running_instance(Paths(platform.root)).endpoint
    )
    for job in guarded(at):
        call = getattr(sagemaker, xform_name(job.operation))
        guarded_itself = f"not authorized to perform: sagemaker:{job.operation}"
        with pytest.raises(ClientError) as refused:
            call(**job.request)
        assert guarded_itself not in str(refused.value)
        # Whether containers are isolated is a setting, which is off here.
        for guard in set(job.places) - {"isolation"}:
            for what, request in job.broken(guard):
                with pytest.raises(ClientError) as refused:
                    call(**request)
                assert guarded_itself in str(refused.value), what


def all_options_for_two(config: dict[str, Any]) -> None:
    """Without prod, and with all that the hub can have and has not by default."""
    config["mlops:environments"] = ["dev", "preprod"]
    config["mlops:registry"]["sharing"] = "ram"
    config["mlops:securityServices"] = {"config": True, "guardduty": True, "security_hub": True}
    config["mlops:budget"]["emails"] = ["ml-costs@example.com"]


def test_an_environment_that_is_taken_out_loses_what_it_was_granted(platform: Platform) -> None:
    bucket = "mlops-governance-eu-west-1-111111111111-models"
    endpoints = json.loads(platform.pulumi("stack", "output", "-s", "prod", "--json"))
    prod = {"444444444444", endpoints["endpoint_ids"]["s3"]}

    def granted() -> set[str]:
        policy = platform.client("s3", "governance").get_bucket_policy(Bucket=bucket)["Policy"]
        return {text for text in prod if text in policy}

    shares, detectors = (
        platform.client("ram", "governance"),
        platform.client("guardduty", "governance"),
    )

    def shared_with() -> set[str]:
        associations = shares.get_resource_share_associations(associationType="PRINCIPAL")
        return {
            found["associatedEntity"]
            for found in associations["resourceShareAssociations"]
            if found["status"] == "ASSOCIATED"
        }

    assert granted() == prod
    as_it_was = (platform.root / "Pulumi.governance.yaml").read_text()
    platform.edit("governance", all_options_for_two)
    platform.automation("up", "--stack", "governance", "--skip-preview")
    assert granted() == set()
    # And what the hub has not by default stands, to go again with the settings.
    assert shared_with() == {"222222222222", "333333333333"}
    assert len(detectors.list_detectors()["DetectorIds"]) == 1
    (platform.root / "Pulumi.governance.yaml").write_text(as_it_was)
    platform.automation("up", "--stack", "governance", "--skip-preview")
    assert granted() == prod
    assert shared_with() == set()
    assert detectors.list_detectors()["DetectorIds"] == []


XGBOOST = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.7-1"


def register(platform: Platform, bucket: str, run: str) -> str:
    """A version in dev, its artifacts in a bucket."""
    s3 = platform.client("s3", "dev")
    (endpoint,) = [
        item["VpcEndpointId"]
        for item in platform.client("ec2", "dev").describe_vpc_endpoints()["VpcEndpoints"]
        if item["ServiceName"].endswith(".s3")
    ]
    through_vpc_endpoint(s3, endpoint)
    for name, content in (("model.tar.gz", b"weights"), ("evaluation.json", b"{}")):
        s3.put_object(Bucket=bucket, Key=f"abalone/{run}/{name}", Body=content)
    return platform.client("sagemaker", "dev").create_model_package(
        ModelPackageGroupName="mlops-dev-abalone",
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [
                {"Image": XGBOOST, "ModelDataUrl": f"s3://{bucket}/abalone/{run}/model.tar.gz"}
            ],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        ModelMetrics={
            "ModelQuality": {
                "Statistics": {
                    "ContentType": "application/json",
                    "S3Uri": f"s3://{bucket}/abalone/{run}/evaluation.json",
                }
            }
        },
    )["ModelPackageArn"]


def approve(platform: Platform, arn: str, status: str = "Approved") -> None:
    platform.client("sagemaker", "dev").update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus=status
    )


def central(platform: Platform) -> dict[str, dict[str, Any]]:
    """Source version -> the hub's version of it."""
    sagemaker = platform.client("sagemaker", "governance")
    listed = sagemaker.list_model_packages(ModelPackageGroupName="mlops-governance-abalone")
    described = [
        sagemaker.describe_model_package(ModelPackageName=item["ModelPackageArn"])
        for item in listed["ModelPackageSummaryList"]
    ]
    return {d["CustomerMetadataProperties"]["SourceModelPackageArn"]: d for d in described}


def test_an_approval_in_dev_becomes_a_version_of_the_hub(platform: Platform) -> None:
    """By the deployed rules, bus, queue, function, roles, policies, endpoints and keys."""
    bucket = "mlops-dev-eu-west-1-222222222222-models"
    rejected, approved = (register(platform, bucket, run) for run in ("bad", "good"))
    approve(platform, rejected, "Rejected")
    for _ in range(3):  # AWS delivers some events more than once
        approve(platform, approved)
    found = until(lambda: central(platform).get(approved))
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    (container,) = found["InferenceSpecification"]["Containers"]
    target, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    assert target == "mlops-governance-eu-west-1-111111111111-models"
    head = platform.client("s3", "governance")
    (endpoint,) = [
        item["VpcEndpointId"]
        for item in platform.client("ec2", "governance").describe_vpc_endpoints()["VpcEndpoints"]
        if item["ServiceName"].endswith(".s3")
    ]
    read = through_vpc_endpoint(head, endpoint).get_object(Bucket=target, Key=key)
    assert read["Body"].read() == b"weights"
    assert read["ServerSideEncryption"] == "aws:kms"
    cards = platform.client("sagemaker", "governance").list_model_cards()["ModelCardSummaries"]
    assert cards
    time.sleep(2)
    assert set(central(platform)) == {approved}
    endpoint_url = running_instance(Paths(platform.root)).endpoint
    assert daemon.request(endpoint_url, "GET", "undelivered") == []


def test_what_cannot_be_promoted_waits_with_its_cause_and_is_tried_anew(
    platform: Platform,
) -> None:
    foreign = platform.client("s3", "dev")
    foreign.create_bucket(
        Bucket="somebody-elses-models",
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )
    arn = register(platform, "somebody-elses-models", "foreign")
    approve(platform, arn)
    told = until(lambda: _failed(platform, arn))
    assert "somebody-elses-models" in told.partition(arn)[2]
    assert arn not in central(platform)
    cloudwatch = platform.client("cloudwatch", "governance")
    ringing = until(lambda: cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"])
    assert [alarm["Dimensions"] for alarm in ringing] == [
        [{"Name": "QueueName", "Value": "mlops-governance-promotions-failed"}]
    ]
    again = platform.automation("promotions", "redrive", "--source", arn, "--profile", "governance")
    assert "1 tried anew" in again
    until(lambda: _failed(platform, arn))


def _failed(platform: Platform, arn: str) -> str:
    told = platform.automation("promotions", "list", "--profile", "governance")
    return told if arn in told else ""


def test_after_a_kill_in_the_middle_the_next_up_converges(platform: Platform) -> None:
    def add(config: dict[str, Any]) -> None:
        groups = config["mlops:registry"]["model_package_groups"]
        groups += [f"group-{number}" for number in range(12)]

    platform.edit("dev", add)
    endpoint = running_instance(Paths(platform.root)).endpoint
    sagemaker = platform.client("sagemaker", "dev")
    # The groups wait for the kill, however fast or slow the machine is.
    fault = {"service": "sagemaker", "operation": "CreateModelPackageGroup", "count": 1000}
    daemon.request(endpoint, "POST", "faults", fault)

    def made() -> int:
        listed = sagemaker.list_model_package_groups(NameContains="-group-", MaxResults=100)
        return len(listed["ModelPackageGroupSummaryList"])

    update = subprocess.Popen(
        ["pulumi", "up", "-s", "dev", "--yes", "--skip-preview", "--non-interactive"],
        cwd=platform.root,
        env=platform.checkpoints(),
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
    assert update.wait() == -signal.SIGKILL
    assert made() == 0
    daemon.request(endpoint, "DELETE", "faults")
    told = platform.automation("up", "--stack", "dev", "--skip-preview")
    assert "ok" in told
    assert made() == 12
    # The literal commands, as README has them.
    platform.pulumi("preview", "-s", "dev", "--policy-pack", "policy", "--expect-no-changes")
    assert json.loads(platform.pulumi("stack", "output", "-s", "dev", "--json"))["studio_url"]


def test_real_credentials_of_the_caller_are_not_used(platform: Platform) -> None:
    """The whole platform came up with them in the environment."""
    assert "AKIAREALLOOKING" not in (platform.root / "up.log").read_text()
    for path in (platform.root / ".localcloud").rglob("*"):
        if path.is_file() and path.suffix in ("", ".json", ".log"):
            assert b"AKIAREALLOOKING" not in path.read_bytes(), path
