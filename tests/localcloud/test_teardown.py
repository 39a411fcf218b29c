"""What Studio leaves behind is found, named and removed, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from automation import teardown
from automation.teardown import Patience
from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, running

_PATIENCE = Patience(timeout=5, interval=0.05)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One emulator for all; each test has a VPC and a domain of its own."""
    with running(checkout(tmp_path_factory.mktemp("teardown"))) as cloud:
        yield cloud


@pytest.fixture
def session(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """Dev's administrator, at the emulator."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.started.endpoint)
    return cloud.session(DEV)


def _resource(type_: str, id_: str, protect: bool = False, **outputs: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::mlops::{type_}::{id_}"
    return {"urn": urn, "type": type_, "id": id_, "protect": protect, "outputs": outputs}


class Studio:
    """A domain with a profile that Pulumi made, and a space with an app that a person made."""

    def __init__(self, session: boto3.Session, name: str) -> None:
        self.session = session
        self.ec2, self.sagemaker = session.client("ec2"), session.client("sagemaker")
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(
            VpcId=self.vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=f"{REGION}a"
        )["Subnet"]["SubnetId"]
        self.id = self.sagemaker.create_domain(
            DomainName=name,
            AuthMode="IAM",
            DefaultUserSettings={"ExecutionRole": f"arn:aws:iam::{DEV}:role/mlops-dev-execution"},
            SubnetIds=[subnet],
            VpcId=self.vpc,
        )["DomainId"]
        self.sagemaker.create_user_profile(DomainId=self.id, UserProfileName="ana")
        self.sagemaker.create_space(DomainId=self.id, SpaceName="own")
        self.app = {"DomainId": self.id, "AppType": "JupyterLab", "AppName": "default"}
        self.sagemaker.create_app(**self.app, SpaceName="own")

    def deployment(self, protect: bool = False, *more: dict[str, Any]) -> dict[str, Any]:
        """A state in which Pulumi made VPC, domain and profile."""
        return {
            "resources": [
                _resource("aws:ec2/vpc:Vpc", self.vpc),
                _resource("aws:sagemaker/domain:Domain", self.id, protect, vpcId=self.vpc),
                _resource(
                    "aws:sagemaker/userProfile:UserProfile",
                    f"{self.id}-ana",
                    domainId=self.id,
                    userProfileName="ana",
                ),
                *more,
            ]
        }

    def destroy(self) -> None:
        """What Pulumi's destroy does."""
        self.sagemaker.delete_user_profile(DomainId=self.id, UserProfileName="ana")
        self.sagemaker.delete_domain(
            DomainId=self.id, RetentionPolicy={"HomeEfsFileSystem": "Retain"}
        )

    def groups(self) -> list[str]:
        """Studio's security groups in the VPC."""
        found = self.ec2.describe_security_groups(
            Filters=[{"Name": "vpc-id", "Values": [self.vpc]}]
        )["SecurityGroups"]
        return [g["GroupId"] for g in found if g["GroupName"] != "default"]

    def homes(self) -> list[str]:
        """The domain's home file systems."""
        systems = self.session.client("efs").describe_file_systems()["FileSystems"]
        return [
            s["FileSystemId"]
            for s in systems
            if any(tag["Value"].endswith(self.id) for tag in s["Tags"])
        ]


@pytest.fixture
def studio(session: boto3.Session, request: pytest.FixtureRequest) -> Studio:
    """A Studio of the test's own."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:60].strip("-")
    return Studio(session, name)


def _quiet(_: str) -> None:
    """Tells nobody."""


def _texts(steps: list[teardown.Step], when: str) -> list[str]:
    return [step.what for step in steps if step.when == when]


def test_everything_goes_in_order_and_a_second_run_has_nothing_to_do(studio: Studio) -> None:
    """The app before its space; profiles of Pulumi's own are left to it; then the VPC is free."""
    deployment = studio.deployment()
    steps = teardown.plan(studio.session, deployment, delete_data=True, patience=_PATIENCE)
    assert _texts(steps, "before domains") == [
        f"delete app JupyterLab/default of own in {studio.id}",
        f"delete space own in {studio.id}",
    ]
    verbs = [" ".join(text.split()[:3]) for text in _texts(steps, "after domains")]
    assert verbs == [
        "delete mount target", "wait until the", "delete home file",
        "revoke the rules", "revoke the rules", "delete security group", "delete security group",
    ]  # fmt: skip
    told: list[str] = []
    teardown.run(steps, "before domains", told.append)
    studio.destroy()
    teardown.run(steps, "after domains", told.append)
    assert told == _texts(steps, "before domains") + _texts(steps, "after domains")
    assert studio.groups() == []
    assert studio.homes() == []
    assert teardown.plan(studio.session, {"resources": deployment["resources"][:1]}) == []


def test_interrupted_after_the_domain_is_gone_the_leftovers_are_still_found(
    studio: Studio,
) -> None:
    """The state no longer knows the domain; the tag and the VPC tell whose they are."""
    first = teardown.plan(studio.session, studio.deployment(), patience=_PATIENCE)
    teardown.run(first, "before domains", _quiet)
    studio.destroy()
    state = {"resources": studio.deployment()["resources"][:1]}
    steps = teardown.plan(studio.session, state, delete_data=True, patience=_PATIENCE)
    teardown.run(steps, "after domains", _quiet)
    teardown.run(steps, "after domains", _quiet)
    assert studio.groups() == []
    assert studio.homes() == []


def test_without_leave_to_delete_data_homes_are_unmounted_named_and_left(studio: Studio) -> None:
    """Mount targets must go for the subnets' sake; the files stay."""
    steps = teardown.plan(studio.session, studio.deployment(), patience=_PATIENCE)
    (home,) = studio.homes()
    assert [text for text in _texts(steps, "left") if home in text]
    teardown.run(steps, "before domains", _quiet)
    studio.destroy()
    teardown.run(steps, "after domains", _quiet)
    assert studio.homes() == [home]
    efs = studio.session.client("efs")
    assert efs.describe_mount_targets(FileSystemId=home)["MountTargets"] == []


def _owned(studio: Studio, name: str, owner: str, sharing: str) -> None:
    """A space with an app in it."""
    studio.sagemaker.create_space(
        DomainId=studio.id,
        SpaceName=name,
        OwnershipSettings={"OwnerUserProfileName": owner},
        SpaceSharingSettings={"SharingType": sharing},
    )
    studio.sagemaker.create_app(**studio.app, SpaceName=name)


def test_a_users_apps_end_and_private_spaces_go_and_nobody_elses(studio: Studio) -> None:
    studio.sagemaker.create_user_profile(DomainId=studio.id, UserProfileName="bob")
    _owned(studio, "anas", "ana", "Private")
    _owned(studio, "bobs", "bob", "Private")
    studio.sagemaker.create_app(**studio.app, UserProfileName="ana")

    def asked(*, spaces: bool) -> list[str]:
        steps = teardown.of_user(
            studio.session, studio.id, "ana", spaces=spaces, patience=_PATIENCE
        )
        told: list[str] = []
        teardown.run(steps, "before domains", told.append)
        return told

    apps = [f"delete app JupyterLab/default of {of} in {studio.id}" for of in ("ana", "anas")]
    assert asked(spaces=False) == apps
    assert asked(spaces=True) == [f"delete space anas in {studio.id}"]
    assert asked(spaces=True) == []
    studio.sagemaker.delete_user_profile(DomainId=studio.id, UserProfileName="ana")
    left = studio.sagemaker.list_spaces(DomainIdEquals=studio.id)["Spaces"]
    assert {space["SpaceName"] for space in left} == {"bobs", "own"}


def test_a_space_that_others_work_in_keeps_its_owner(studio: Studio) -> None:
    _owned(studio, "anas", "ana", "Private")
    _owned(studio, "team", "ana", "Shared")
    with pytest.raises(teardown.TeardownError, match=r"ana owns spaces of .* work in: team\."):
        teardown.of_user(studio.session, studio.id, "ana", spaces=True)
    steps = teardown.of_user(studio.session, studio.id, "ana", spaces=False)
    assert _texts(steps, "before domains") == [
        f"delete app JupyterLab/default of anas in {studio.id}"
    ], "its app has the domain's role, not the owner's"


def test_a_protected_domain_keeps_its_apps_groups_and_home(studio: Studio) -> None:
    """Unless protected things are asked for."""
    deployment = studio.deployment(True)
    assert teardown.plan(studio.session, deployment, delete_data=True) == []
    assert teardown.domains_to_go(deployment, include_protected=False) == []
    assert teardown.plan(studio.session, deployment, include_protected=True)


def test_looking_changes_nothing(studio: Studio) -> None:
    """A dry run is the plan."""
    teardown.plan(studio.session, studio.deployment(), delete_data=True)
    assert studio.sagemaker.describe_app(**studio.app, SpaceName="own")["Status"] == "InService"
    assert len(studio.groups()) == 2


def test_a_bucket_is_emptied_only_on_demand_and_its_denials_do_not_lock_out(
    session: boto3.Session,
) -> None:
    """Versions and delete markers too; the rule on TLS stays while it is emptied."""
    s3 = session.client("s3")
    bucket = f"mlops-dev-{REGION}-{DEV}-audit"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="log", Body=body)
    s3.delete_object(Bucket=bucket, Key="log")
    everything = {"Effect": "Deny", "Principal": "*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    tls = {
        **everything,
        "Sid": "DenyInsecureTransport",
        "Action": "s3:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    keep = {**everything, "Sid": "KeepLogs", "Action": ["s3:DeleteObject", "s3:DeleteObjectV*"]}
    policy = {"Version": "2012-10-17", "Statement": [keep]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    deployment = {"resources": [_resource("aws:s3/bucket:Bucket", bucket)]}

    (left,) = teardown.plan(session, deployment)
    assert left.when == "left"
    assert bucket in left.what
    steps = teardown.plan(session, deployment, delete_data=True)
    assert "KeepLogs" in steps[0].what
    with pytest.raises(ClientError, match="explicit deny"):
        steps[1].act()
    teardown.run(steps, "before domains", _quiet)
    s3.delete_bucket(Bucket=bucket)
    assert not teardown._locks_out(tls)  # pyright: ignore[reportPrivateUsage]


def test_a_table_goes_with_the_data_only_and_its_own_protection_is_ended_first(
    session: boto3.Session,
) -> None:
    """DynamoDB refuses to delete a protected table."""
    dynamodb = session.client("dynamodb")
    table = "mlops-dev-ledger"
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "Name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        DeletionProtectionEnabled=True,
    )
    ledger = _resource("aws:dynamodb/table:Table", table, protect=True)

    assert teardown.plan(session, {"resources": [ledger]}, delete_data=True) == []
    (left,) = teardown.plan(session, {"resources": [ledger]}, include_protected=True)
    assert (left.when, left.urn) == ("left", ledger["urn"])
    assert f"table {table} holds records and stays" in left.what
    every = {"include_protected": True, "delete_data": True}
    with pytest.raises(ClientError, match="DeletionProtectionEnabled"):
        dynamodb.delete_table(TableName=table)
    steps = teardown.plan(session, {"resources": [ledger]}, **every)
    teardown.run(steps, "before domains", _quiet)
    assert teardown.plan(session, {"resources": [ledger]}, **every) == []
    dynamodb.delete_table(TableName=table)


def test_waiting_ends_with_the_name_of_what_is_still_there() -> None:
    """And says that the command can be run again."""
    with pytest.raises(teardown.TeardownError, match="mount target fsmt-1 is still there"):
        Patience(timeout=0.01, interval=0.001).until(lambda: False, "mount target fsmt-1")


def test_released_state_keeps_everything_but_protection() -> None:
    """Both marks go; ids and the rest of the state stay."""
    kept = {**_resource("aws:s3/bucket:Bucket", "b", True), "retainOnDelete": True}
    state = {"manifest": {"version": "3"}, "resources": [kept]}
    assert teardown.protected(state) == ["aws:s3/bucket:Bucket b"]
    after = teardown.released(state)
    assert teardown.protected(after) == []
    assert "retainOnDelete" not in after["resources"][0]
    assert after["manifest"] == {"version": "3"}
    assert after["resources"][0]["id"] == "b"
