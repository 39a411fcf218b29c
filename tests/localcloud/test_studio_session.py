"""An app of a Studio profile: its role, its network, and by name whose it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest

from automation.sign_in import SignInError, studio_url
from components import baseline_policies, iam, personas
from components.baseline_policies import SIGN_IN
from components.naming import Names, Placement
from components.settings import PlatformSettings
from localcloud.emulator.daemon import EmulatorError
from tests.localcloud.emulators import (
    ACCOUNTS,
    DEV,
    HUB,
    REGION,
    Cloud,
    checkout,
    document,
    running,
    trusting,
)

NAMED = ["sts:AssumeRole", "sts:SetSourceIdentity"]
SAGEMAKER = {**trusting("sagemaker"), "Action": NAMED}
OWN = {
    "Action": "sagemaker:CreateModelPackage",
    "Resource": "*",
    "Condition": {"StringEquals": {"aws:SourceIdentity": "ana"}},
}
PLACE: Placement = {
    "environment": "dev",
    "accounts": ACCOUNTS,
    "region": REGION,
    "prefix": "acme",
    "account_id": DEV,
    "protect": False,
}
FEATURES = Names.at(PLACE).name(personas.CENTRAL_FEATURES)
RUNTIME = "sagemaker-featurestore-runtime"


def persona(cloud: Cloud, name: str, vpc: str, subnet: str) -> str:
    """The role of a persona with the policies that Studio's has; the account may assume it too."""
    role = cloud.role(
        name, trust={**SAGEMAKER, "Principal": {**SAGEMAKER["Principal"], "AWS": DEV}}
    )
    held_to = personas.guard_statements(
        {
            "subnets": [subnet],
            "security_groups": [],
            "volume_key": "",
            "output_keys": [],
            "instance_types": [],
            "vpc": vpc,
        }
    )
    for policy, statements in (
        ("work", personas.persona_statements(PLACE, name)),
        ("guards", [item for item in held_to if item.sid == "DenyDataOutsideVpc"]),
    ):
        cloud.client("iam").put_role_policy(
            RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(iam.document(statements))
        )
    return role


def sign_in_role(cloud: Cloud, domain: str) -> None:
    """The role that opens Studio, as it is deployed, and what it has to know of the domain."""
    names = Names.at(PLACE)
    cloud.client("iam").create_role(
        RoleName=names.role(SIGN_IN),
        AssumeRolePolicyDocument=json.dumps(
            iam.document(baseline_policies.sign_in_trust(PLACE, ()))
        ),
    )
    cloud.client("iam").put_role_policy(
        RoleName=names.role(SIGN_IN),
        PolicyName="sign-in",
        PolicyDocument=json.dumps(iam.document(baseline_policies.sign_in_statements(names))),
    )
    cloud.client("ssm").put_parameter(
        Name=names.parameter("studio/domain-id"), Value=domain, Type="String"
    )


def person(cloud: Cloud, name: str, role: str = "", **tags: str) -> boto3.Session:
    """Somebody of the hub, with what a company's directory says of them, and who may assume a role.

    That is by default the one that opens Studio.
    """
    hub = cloud.client("iam", HUB)
    hub.create_user(
        UserName=name,
        Tags=[{"Key": tag.replace("_", "-"), "Value": value} for tag, value in tags.items()],
    )
    role = role or Names.at(PLACE).role_arn(SIGN_IN)
    may = {"Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": role}
    hub.put_user_policy(UserName=name, PolicyName="sign-in", PolicyDocument=document(may))
    key = hub.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session(
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        region_name=REGION,
    )


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("studio"))) as cloud:
        ec2, sagemaker = cloud.client("ec2"), cloud.client("sagemaker")
        vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(
            VpcId=vpc, CidrBlock="10.8.1.0/24", AvailabilityZone=f"{REGION}a"
        )["Subnet"]["SubnetId"]
        for service in ("sts", "sagemaker.api", "sagemaker.featurestore-runtime"):
            ec2.create_vpc_endpoint(
                VpcId=vpc,
                ServiceName=f"com.amazonaws.{REGION}.{service}",
                VpcEndpointType="Interface",
                SubnetIds=[subnet],
            )
        role = cloud.role("studio", OWN, trust=SAGEMAKER)
        domain = sagemaker.create_domain(
            DomainName="studio",
            AuthMode="IAM",
            DefaultUserSettings={"ExecutionRole": role},
            DomainSettings={"ExecutionRoleIdentityConfig": "USER_PROFILE_NAME"},
            SubnetIds=[subnet],
            VpcId=vpc,
        )["DomainArn"].rpartition("/")[2]
        for name in ("ana", "ben"):
            sagemaker.create_user_profile(DomainId=domain, UserProfileName=name)
        for name, kind in (("lea", "lead-data-scientist"), ("sam", "data-scientist")):
            sagemaker.create_user_profile(
                DomainId=domain,
                UserProfileName=name,
                Tags=[{"Key": SIGN_IN, "Value": name}],
                UserSettings={"ExecutionRole": persona(cloud, kind, vpc, subnet)},
            )
        sign_in_role(cloud, domain)
        sagemaker.create_feature_group(
            FeatureGroupName=FEATURES,
            RecordIdentifierFeatureName="record_id",
            EventTimeFeatureName="event_time",
            FeatureDefinitions=[
                {"FeatureName": feature, "FeatureType": "String"}
                for feature in ("record_id", "event_time")
            ],
            OnlineStoreConfig={"EnableOnlineStore": True},
        )
        sagemaker.create_model_package_group(ModelPackageGroupName="houses")
        yield cloud


def studio(cloud: Cloud, profile: str) -> boto3.Session:
    given = cloud.control("POST", "studio-sessions", {"profile": profile})
    return boto3.Session(
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=given["AWS_SESSION_TOKEN"],
        region_name=given["AWS_REGION"],
    )


def test_it_is_the_profiles_role_in_the_domains_network(cloud: Cloud) -> None:
    session = studio(cloud, "ana")
    arn = cloud.client("sts", session=session).get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::{DEV}:assumed-role/studio/SageMaker"
    with pytest.raises(Exception, match="neither a VPC endpoint for this service nor a route"):
        cloud.client("s3", session=session).list_buckets()


def test_policies_and_records_know_whose_app_it_is(cloud: Cloud) -> None:
    ana = cloud.client("sagemaker", session=studio(cloud, "ana"))
    arn = ana.create_model_package(ModelPackageGroupName="houses")["ModelPackageArn"]
    by = cloud.client("sagemaker").describe_model_package(ModelPackageName=arn)["CreatedBy"]
    assert by["UserProfileName"] == "ana"
    assert by["IamIdentity"]["SourceIdentity"] == "ana"
    ben = cloud.client("sagemaker", session=studio(cloud, "ben"))
    with pytest.raises(Exception, match="not authorized to perform: sagemaker:CreateModelPackage"):
        ben.create_model_package(ModelPackageGroupName="houses")


def test_whose_app_it_is_stays_known_in_the_roles_that_it_assumes(cloud: Cloud) -> None:
    trust = {"Principal": {"AWS": DEV}, "Action": NAMED}
    kept, without = cloud.role("kept", OWN, trust=trust), cloud.role("without", OWN)
    cloud.client("iam").put_role_policy(
        RoleName="studio",
        PolicyName="assume",
        PolicyDocument=document({"Action": "sts:*", "Resource": [kept, without]}),
    )
    ana = studio(cloud, "ana")
    session = cloud.assume(kept, by=ana)
    cloud.client("sagemaker", session=session).create_model_package(ModelPackageGroupName="houses")
    with pytest.raises(Exception, match="not authorized to perform: sts:SetSourceIdentity"):
        cloud.assume(without, by=ana)
    with pytest.raises(Exception, match="source identity cannot be changed"):
        cloud.assume(kept, by=ana, SourceIdentity="ben")


def test_a_role_that_an_app_hands_on_has_to_take_its_name(cloud: Cloud) -> None:
    takes = cloud.role("takes-names", trust=SAGEMAKER)
    takes_none = cloud.role("takes-none", trust=trusting("sagemaker"))
    start = {"Action": "sagemaker:*Pipeline*", "Resource": "*"}
    cloud.client("iam").put_role_policy(
        RoleName="studio",
        PolicyName="pipelines",
        PolicyDocument=document(start, {"Action": "iam:PassRole", "Resource": "*"}),
    )
    ana = cloud.client("sagemaker", session=studio(cloud, "ana"))
    fail = {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "over"}}
    pipeline = {
        "PipelineDefinition": json.dumps({"Version": "2020-12-01", "Steps": [fail]}),
        "ClientRequestToken": "0" * 32,
    }
    # The one is refused where the role is handed over, the other where it is taken.
    with pytest.raises(Exception, match=r"may not perform sts:SetSourceIdentity on .*takes-none"):
        ana.create_pipeline(PipelineName="own", RoleArn=takes_none, **pipeline)
    ana.create_pipeline(PipelineName="own", RoleArn=takes, **pipeline)
    assert ana.start_pipeline_execution(PipelineName="own", ClientRequestToken="1" * 32)
    cloud.client("sagemaker").create_pipeline(
        PipelineName="project", RoleArn=takes_none, **pipeline
    )
    with pytest.raises(Exception, match=r"may not perform sts:SetSourceIdentity on .*takes-none"):
        ana.start_pipeline_execution(PipelineName="project", ClientRequestToken="2" * 32)


def test_a_person_comes_to_a_personas_role_as_themselves(cloud: Cloud) -> None:
    names = Names.at(PLACE)
    trust = baseline_policies.persona_trust(PLACE, "ml-engineer", ())
    role = cloud.client("iam").create_role(
        RoleName=names.role("ml-engineer"),
        AssumeRolePolicyDocument=iam.render(trust),
    )["Role"]["Arn"]
    mia = person(cloud, "mia", role=role, persona="ml-engineer")
    for name, allowed in (("mia", True), ("sam", False), ("mia2", False)):
        if allowed:
            session = cloud.assume(role, by=mia, name=name)
            arn = cloud.client("sts", session=session).get_caller_identity()["Arn"]
            assert arn.endswith(f"/acme-dev-ml-engineer/{name}")
        else:
            with pytest.raises(Exception, match=r"sts:AssumeRole.* with an explicit deny"):
                cloud.assume(role, by=mia, name=name)
    # A company's sign-in gives a session its name, under which one goes on.
    may = {"Action": "sts:*", "Resource": role}
    desk = cloud.role("desk", may, account=HUB, Tags=[{"Key": "persona", "Value": "ml-engineer"}])
    login = cloud.assume(desk, name="noa@corp.example")
    assert cloud.assume(role, by=login, name="noa@corp.example")
    with pytest.raises(Exception, match=r"sts:AssumeRole.* with an explicit deny"):
        cloud.assume(role, by=login, name="corp.example")
    # Nor does anybody take another name as source identity.
    with pytest.raises(Exception, match="not authorized to perform: sts:SetSourceIdentity"):
        cloud.assume(role, by=login, name="noa@corp.example", SourceIdentity="sam")


def test_a_profile_that_is_not_there_is_refused_with_those_that_are(cloud: Cloud) -> None:
    with pytest.raises(EmulatorError, match="no user profile eve; there are: ana, ben, lea, sam"):
        cloud.control("POST", "studio-sessions", {"profile": "eve"})


def test_leads_write_the_features_that_all_read_and_only_in_the_vpc(cloud: Cloud) -> None:
    record = {
        "FeatureGroupName": FEATURES,
        "Record": [
            {"FeatureName": "record_id", "ValueAsString": "one"},
            {"FeatureName": "event_time", "ValueAsString": "2026-03-04T05:06:07Z"},
        ],
    }
    wanted = {"FeatureGroupName": FEATURES, "RecordIdentifierValueAsString": "one"}
    lea, sam = (cloud.client(RUNTIME, session=studio(cloud, name)) for name in ("lea", "sam"))
    lea.put_record(**record)
    assert sam.get_record(**wanted)["Record"] == record["Record"]
    with pytest.raises(Exception, match="not authorized to perform: sagemaker:PutRecord"):
        sam.put_record(**record)
    outside = cloud.assume(f"arn:aws:iam::{DEV}:role/lead-data-scientist")
    with pytest.raises(Exception, match=r"sagemaker:GetRecord.* with an explicit deny"):
        cloud.client(RUNTIME, session=outside).get_record(**wanted)


def settings_of_dev(**studio: str) -> PlatformSettings:
    return PlatformSettings.model_validate(
        {
            "environment": "dev",
            "prefix": PLACE["prefix"],
            "region": REGION,
            "organization": {"accounts": {**ACCOUNTS, "preprod": "444444444444"}},
            "tags": {"owner": "team", "cost_centre": "ml"},
            "network": {"mode": "create", "cidr": "10.8.0.0/16", "nat": "none"},
            "studio": studio,
        }
    )


def test_people_open_their_own_profile_and_no_other(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.started.endpoint)
    dev = settings_of_dev()
    sam = person(cloud, "sam", persona="data-scientist", studio_user="sam")
    assert "/auth?token=" in studio_url(dev, sam, "sam")
    with pytest.raises(SignInError, match=r"not assumed as lea: .*needs the tag studio-user"):
        studio_url(dev, sam, "lea")
    # Whoever has the session already is not let to another's profile either.
    session = cloud.assume(
        dev.names.role_arn(SIGN_IN), by=sam, Tags=[{"Key": SIGN_IN, "Value": "sam"}]
    )
    domain = cloud.client("ssm").get_parameter(Name=dev.names.parameter("studio/domain-id"))
    with pytest.raises(Exception, match="not authorized to perform: sagemaker:CreatePresigned"):
        cloud.client("sagemaker", session=session).create_presigned_domain_url(
            DomainId=domain["Parameter"]["Value"], UserProfileName="lea"
        )
    nobody = person(cloud, "nobody", persona="data-scientist")
    with pytest.raises(SignInError, match="not assumed as sam"):
        studio_url(dev, nobody, "sam")
    ana = person(cloud, "ana", persona="data-scientist", studio_user="ana")
    with pytest.raises(SignInError, match="profile ana of the domain studio is not opened"):
        studio_url(dev, ana, "ana")
    with pytest.raises(SignInError, match="There is no Studio domain growth"):
        studio_url(dev, sam, "sam", "growth")
    with pytest.raises(SignInError, match="IAM Identity Center"):
        studio_url(settings_of_dev(auth_mode="SSO"), sam, "sam")
