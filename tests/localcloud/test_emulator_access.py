"""Who reaches what in the emulated accounts: IAM decides as AWS does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from automation.deployer_policies import deployer_statements
from automation.projects.program import PlatformError, unmixed
from components.naming import Names
from localcloud.emulator.callers import through_vpc_endpoint, without_host_prefix, without_tls
from tests.localcloud.emulators import (
    DEV,
    HUB,
    ORGANIZATION,
    PROD,
    REGION,
    Cloud,
    checkout,
    document,
    running,
    trusting,
)

ALLOW_DEPLOY = "arn:aws:ram::aws:permission/AWSRAMPermissionSageMakerModelPackageGroupAllowDeploy"
S3_ALL = {"Action": "s3:*", "Resource": "*"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
        yield cloud


def refused(call: Any, **arguments: Any) -> str:
    """The message of a call's error, which must be a refusal."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] in (
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "AuthorizationError",
    )
    return error.value.response["Error"]["Message"]


def bucket(cloud: Cloud, name: str, account: str = DEV) -> str:
    cloud.client("s3", account).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    cloud.client("s3", account).put_object(Bucket=name, Key="data.csv", Body=b"1,2")
    return name


def bucket_policy(cloud: Cloud, name: str, *statements: dict[str, Any]) -> None:
    cloud.client("s3").put_bucket_policy(Bucket=name, Policy=document(*statements))


def vpc_endpoint(cloud: Cloud, account: str, service: str, **arguments: Any) -> str:
    ec2 = cloud.client("ec2", account)
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    return ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.{service}", **arguments
    )["VpcEndpoint"]["VpcEndpointId"]


class TestAccounts:
    def test_what_dev_made_is_not_seen_from_prod(self, cloud: Cloud) -> None:
        bucket(cloud, "seen-only-in-dev")
        cloud.client("ssm").put_parameter(Name="/seen/only", Value="in dev", Type="String")
        cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName="dev-models")
        vpc = cloud.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]

        prod_buckets = cloud.client("s3", PROD).list_buckets()["Buckets"]
        assert "seen-only-in-dev" not in {item["Name"] for item in prod_buckets}
        assert cloud.client("ssm", PROD).describe_parameters()["Parameters"] == []
        groups = cloud.client("sagemaker", PROD).list_model_package_groups()
        assert groups["ModelPackageGroupSummaryList"] == []
        vpcs = cloud.client("ec2", PROD).describe_vpcs()["Vpcs"]
        assert vpc not in {item["VpcId"] for item in vpcs}

    def test_each_administrator_is_of_its_account(self, cloud: Cloud) -> None:
        for account in (HUB, DEV, PROD):
            identity = cloud.client("sts", account).get_caller_identity()
            assert identity["Account"] == account
            assert identity["Arn"] == f"arn:aws:iam::{account}:user/administrator"

    @pytest.mark.parametrize(
        ("service", "operation", "code"),
        [
            ("sts", "get_caller_identity", "InvalidClientTokenId"),
            ("iam", "list_roles", "InvalidClientTokenId"),
            ("s3", "list_buckets", "InvalidAccessKeyId"),
            ("ec2", "describe_vpcs", "AuthFailure"),
            ("sagemaker", "list_domains", "UnrecognizedClientException"),
        ],
    )
    def test_real_looking_credentials_are_refused(
        self, cloud: Cloud, service: str, operation: str, code: str
    ) -> None:
        real_looking = boto3.Session(
            aws_access_key_id="AKIA" + "Q3EGRIXTWB2LMNOP",
            aws_secret_access_key="made-up-but-of-the-right-form/abcdefghij",
            region_name=REGION,
        )
        with pytest.raises(ClientError) as error:
            getattr(cloud.client(service, session=real_looking), operation)()
        assert error.value.response["Error"]["Code"] == code

    def test_a_session_needs_its_token(self, cloud: Cloud) -> None:
        keys = cloud.assume(cloud.role("token-needed")).get_credentials()
        assert keys is not None
        without = boto3.Session(keys.access_key, keys.secret_key, region_name=REGION)
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            cloud.client("sts", session=without).get_caller_identity()

    def test_s3_control_is_of_one_account(self, cloud: Cloud) -> None:
        control = without_host_prefix(cloud.client("s3control"))
        block = {"BlockPublicAcls": True}
        control.put_public_access_block(AccountId=DEV, PublicAccessBlockConfiguration=block)
        kept = control.get_public_access_block(AccountId=DEV)["PublicAccessBlockConfiguration"]
        assert kept["BlockPublicAcls"]
        refused(
            control.put_public_access_block,
            AccountId=PROD,
            PublicAccessBlockConfiguration=block,
        )


class TestAcrossAccounts:
    def test_a_bucket_is_read_only_where_its_policy_allows(self, cloud: Cloud) -> None:
        name = bucket(cloud, "cross-account")
        prod = cloud.client("s3", PROD)
        message = refused(prod.get_object, Bucket=name, Key="data.csv")
        assert message == (
            f"User: arn:aws:iam::{PROD}:user/administrator is not authorized to perform:"
            f" s3:GetObject on resource: arn:aws:s3:::{name}/data.csv because no resource-based"
            " policy allows the s3:GetObject action"
        )
        bucket_policy(
            cloud,
            name,
            {
                "Principal": {"AWS": f"arn:aws:iam::{PROD}:root"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{name}/*",
            },
        )
        assert prod.get_object(Bucket=name, Key="data.csv")["Body"].read() == b"1,2"
        refused(prod.put_object, Bucket=name, Key="data.csv", Body=b"")
        refused(cloud.client("s3", HUB).get_object, Bucket=name, Key="data.csv")

    def test_both_sides_must_allow(self, cloud: Cloud) -> None:
        name = bucket(cloud, "both-sides")
        reader = cloud.assume(cloud.role("reader-without-rights", account=PROD))
        bucket_policy(
            cloud,
            name,
            {
                "Principal": {"AWS": f"arn:aws:iam::{PROD}:role/reader-without-rights"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{name}/*",
            },
        )
        message = refused(
            cloud.client("s3", session=reader).get_object, Bucket=name, Key="data.csv"
        )
        assert message.endswith("because no identity-based policy allows the s3:GetObject action")

    def test_an_explicit_deny_wins_even_over_the_owner(self, cloud: Cloud) -> None:
        name = bucket(cloud, "deny-wins")
        bucket_policy(
            cloud,
            name,
            {
                "Sid": "NoReadsAtAll",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{name}/*",
            },
        )
        message = refused(cloud.client("s3").get_object, Bucket=name, Key="data.csv")
        assert message.endswith("with an explicit deny in a resource-based policy")
        denial = cloud.control("GET", "denials")[-1]
        assert [item["sid"] for item in denial["statements"]] == ["NoReadsAtAll"]

    def test_the_organisation_condition(self, cloud: Cloud) -> None:
        for organization, allowed in ((ORGANIZATION, True), ("o-another", False)):
            name = bucket(cloud, f"for-{organization}")
            bucket_policy(
                cloud,
                name,
                {
                    "Principal": "*",
                    "Action": "s3:GetObject",
                    "Resource": f"arn:aws:s3:::{name}/*",
                    "Condition": {"StringEquals": {"aws:PrincipalOrgID": organization}},
                },
            )
            read = cloud.client("s3", PROD).get_object
            if allowed:
                read(Bucket=name, Key="data.csv")
            else:
                refused(read, Bucket=name, Key="data.csv")

    def test_a_topic_and_a_queue_and_a_repository(self, cloud: Cloud) -> None:
        topic = cloud.client("sns").create_topic(Name="shared")["TopicArn"]
        publish = cloud.client("sns", PROD).publish
        refused(publish, TopicArn=topic, Message="x")
        cloud.client("sns").set_topic_attributes(
            TopicArn=topic,
            AttributeName="Policy",
            AttributeValue=document(
                {
                    "Principal": {"AWS": f"arn:aws:iam::{PROD}:root"},
                    "Action": "sns:Publish",
                    "Resource": topic,
                }
            ),
        )
        assert publish(TopicArn=topic, Message="x")["MessageId"]

        cloud.client("ecr").create_repository(repositoryName="shared")
        images = cloud.client("ecr", PROD).describe_images
        refused(images, registryId=DEV, repositoryName="shared")
        cloud.client("ecr").set_repository_policy(
            repositoryName="shared",
            policyText=document(
                {"Principal": {"AWS": f"arn:aws:iam::{PROD}:root"}, "Action": "ecr:DescribeImages"}
            ),
        )
        assert images(registryId=DEV, repositoryName="shared")["imageDetails"] == []

    def test_a_model_of_the_hub(self, cloud: Cloud) -> None:
        """Only the accounts that the group's policy names see it, and do only what it says."""
        hub = cloud.client("sagemaker", HUB)
        group = hub.create_model_package_group(ModelPackageGroupName="churn")[
            "ModelPackageGroupArn"
        ]
        package = {
            "ModelPackageGroupName": group,
            "InferenceSpecification": {
                "Containers": [{"Image": "image"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        }
        dev = cloud.client("sagemaker")
        refused(dev.describe_model_package_group, ModelPackageGroupName=group)
        hub.put_model_package_group_policy(
            ModelPackageGroupName="churn",
            ResourcePolicy=document(
                {
                    "Sid": "Dev",
                    "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
                    "Action": [
                        "sagemaker:DescribeModelPackageGroup",
                        "sagemaker:CreateModelPackage",
                        "sagemaker:DescribeModelPackage",
                    ],
                    "Resource": [group, f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/churn/*"],
                }
            ),
        )
        described = dev.describe_model_package_group(ModelPackageGroupName=group)
        assert described["ModelPackageGroupArn"] == group
        made = dev.create_model_package(**package)["ModelPackageArn"]
        assert made == f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/churn/1"
        assert hub.describe_model_package(ModelPackageName=made)["ModelPackageVersion"] == 1
        refused(dev.update_model_package, ModelPackageArn=made, ModelApprovalStatus="Approved")
        refused(
            cloud.client("sagemaker", PROD).describe_model_package_group,
            ModelPackageGroupName=group,
        )
        listed = dev.list_model_package_groups()["ModelPackageGroupSummaryList"]
        assert "churn" not in {item["ModelPackageGroupName"] for item in listed}

    def test_a_group_shared_by_ram(self, cloud: Cloud) -> None:
        """A share lets its accounts find and read a group, while it lasts, and change nothing."""
        hub, dev = cloud.client("sagemaker", HUB), cloud.client("sagemaker")
        group, unshared = (
            hub.create_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupArn"]
            for name in ("shared", "unshared")
        )
        version = hub.create_model_package(
            ModelPackageGroupName="shared",
            InferenceSpecification={
                "Containers": [{"Image": "image"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )["ModelPackageArn"]

        def found(account: str) -> list[str]:
            listed = cloud.client("sagemaker", account).list_model_package_groups(
                CrossAccountFilterOption="CrossAccount"
            )
            return [item["ModelPackageGroupArn"] for item in listed["ModelPackageGroupSummaryList"]]

        refused(dev.describe_model_package, ModelPackageName=version)
        assert found(DEV) == []
        sharing = [
            statement.to_dict()
            for statement in deployer_statements(Names("acme", "governance", REGION, HUB))
            if statement.sid in ("Sharing", "Shares")
        ]
        deployer = cloud.assume(cloud.role("sharer", *sharing, account=HUB))
        ram = cloud.client("ram", HUB, session=deployer)
        refused(ram.create_resource_share, name="open", permissionArns=[ALLOW_DEPLOY])
        share = ram.create_resource_share(
            name="registry",
            allowExternalPrincipals=False,
            permissionArns=[ALLOW_DEPLOY],
            resourceArns=[group],
            principals=[DEV],
        )["resourceShare"]["resourceShareArn"]
        assert found(DEV) == [group]
        assert found(PROD) == found(HUB) == []
        assert dev.describe_model_package(ModelPackageName=version)["ModelPackageVersion"] == 1
        listed = dev.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
        assert [item["ModelPackageArn"] for item in listed] == [version]
        theirs = cloud.client("ram").get_resource_shares(resourceOwner="OTHER-ACCOUNTS")
        assert [item["resourceShareArn"] for item in theirs["resourceShares"]] == [share]
        for change in (
            lambda: dev.update_model_package(
                ModelPackageArn=version, ModelApprovalStatus="Approved"
            ),
            lambda: dev.describe_model_package_group(ModelPackageGroupName=unshared),
            lambda: cloud.client("sagemaker", PROD).describe_model_package(
                ModelPackageName=version
            ),
        ):
            refused(change)
        nobody = cloud.assume(cloud.role("nothing-of-models"))
        refused(
            cloud.client("sagemaker", session=nobody).describe_model_package,
            ModelPackageName=version,
        )
        refused(ram.update_resource_share, resourceShareArn=share, allowExternalPrincipals=True)
        ram.disassociate_resource_share(resourceShareArn=share, principals=[DEV])
        assert found(DEV) == []
        refused(dev.describe_model_package, ModelPackageName=version)
        for wrong, code in (
            ({"principals": ["999999999999"]}, "OperationNotPermittedException"),
            ({"resourceArns": [f"{group}-not"]}, "UnknownResourceException"),
        ):
            with pytest.raises(ClientError) as error:
                ram.associate_resource_share(resourceShareArn=share, **wrong)
            assert error.value.response["Error"]["Code"] == code
        ram.delete_resource_share(resourceShareArn=share)
        assert ram.get_resource_shares(resourceOwner="SELF")["resourceShares"] == []

    def test_a_group_with_a_policy_is_not_shared_by_ram(self, cloud: Cloud) -> None:
        """A project's stack refuses to add a share to what a policy grants already."""
        hub = cloud.client("sagemaker", HUB)
        session: Any = SimpleNamespace(client=lambda service: cloud.client(service, HUB))
        unmixed(session, "left")
        hub.create_model_package_group(ModelPackageGroupName="left")
        unmixed(session, "left")
        hub.put_model_package_group_policy(
            ModelPackageGroupName="left",
            ResourcePolicy=document(
                {
                    "Sid": "Dev",
                    "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
                    "Action": "sagemaker:DescribeModelPackageGroup",
                    "Resource": f"arn:aws:sagemaker:{REGION}:{HUB}:model-package-group/left",
                }
            ),
        )
        with pytest.raises(PlatformError, match="the group left still has a policy"):
            unmixed(session, "left")
        hub.delete_model_package_group_policy(ModelPackageGroupName="left")
        unmixed(session, "left")

    def test_events_to_a_bus_of_another_account(self, cloud: Cloud) -> None:
        arn = cloud.client("events", HUB).create_event_bus(Name="hub")["EventBusArn"]
        entry = {"Source": "a", "DetailType": "b", "Detail": "{}", "EventBusName": arn}
        put = cloud.client("events").put_events
        refused(put, Entries=[entry])
        cloud.client("events", HUB).put_permission(
            EventBusName="hub",
            Policy=document(
                {
                    "Sid": "Dev",
                    "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
                    "Action": "events:PutEvents",
                    "Resource": arn,
                }
            ),
        )
        assert put(Entries=[entry])["FailedEntryCount"] == 0


class TestVpcEndpoints:
    def test_a_bucket_closed_to_all_but_an_endpoint(self, cloud: Cloud) -> None:
        name = bucket(cloud, "closed")
        endpoint = vpc_endpoint(cloud, DEV, "s3")
        other = vpc_endpoint(cloud, DEV, "s3")
        bucket_policy(
            cloud,
            name,
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{name}/*",
                "Condition": {"StringNotEquals": {"aws:sourceVpce": endpoint}},
            },
        )
        refused(cloud.client("s3").get_object, Bucket=name, Key="data.csv")
        through_other = through_vpc_endpoint(cloud.client("s3"), other)
        refused(through_other.get_object, Bucket=name, Key="data.csv")
        through = through_vpc_endpoint(cloud.client("s3"), endpoint)
        assert through.get_object(Bucket=name, Key="data.csv")["Body"].read() == b"1,2"

    def test_the_policy_of_the_endpoint_takes_part(self, cloud: Cloud) -> None:
        name = bucket(cloud, "endpoint-policy")
        endpoint = vpc_endpoint(
            cloud,
            DEV,
            "s3",
            PolicyDocument=document({"Principal": "*", "Action": "s3:ListBucket", "Resource": "*"}),
        )
        through = through_vpc_endpoint(cloud.client("s3"), endpoint)
        assert through.list_objects_v2(Bucket=name)["KeyCount"] == 1
        message = refused(through.get_object, Bucket=name, Key="data.csv")
        assert message.endswith("because no VPC endpoint policy allows the s3:GetObject action")

    def test_an_endpoint_must_exist_and_be_of_the_service(self, cloud: Cloud) -> None:
        foreign = vpc_endpoint(cloud, PROD, "s3")
        with pytest.raises(ClientError, match=f"has no VPC endpoint {foreign}"):
            through_vpc_endpoint(cloud.client("s3"), foreign).list_buckets()
        for_kms = vpc_endpoint(cloud, DEV, "kms", VpcEndpointType="Interface")
        with pytest.raises(ClientError, match="s3 cannot be reached through"):
            through_vpc_endpoint(cloud.client("s3"), for_kms).list_buckets()

    def test_tls_only(self, cloud: Cloud) -> None:
        name = bucket(cloud, "tls-only")
        bucket_policy(
            cloud,
            name,
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": f"arn:aws:s3:::{name}/*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        )
        cloud.client("s3").get_object(Bucket=name, Key="data.csv")
        refused(without_tls(cloud.client("s3")).get_object, Bucket=name, Key="data.csv")


class TestKeys:
    def test_s3_uses_a_key_for_the_caller(self, cloud: Cloud) -> None:
        """The key's policy allows PROD only by S3, and only to read."""
        name = bucket(cloud, "encrypted")
        kms = cloud.client("kms")
        key = kms.create_key(
            Policy=document(
                {
                    "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {
                    "Principal": {"AWS": f"arn:aws:iam::{PROD}:root"},
                    "Action": "kms:Decrypt",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}},
                },
            )
        )["KeyMetadata"]
        cloud.client("s3").put_object(
            Bucket=name,
            Key="secret.csv",
            Body=b"3,4",
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=key["Arn"],
        )
        bucket_policy(
            cloud,
            name,
            {
                "Principal": {"AWS": f"arn:aws:iam::{PROD}:root"},
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": f"arn:aws:s3:::{name}/*",
            },
        )
        prod = cloud.client("s3", PROD)
        assert prod.get_object(Bucket=name, Key="secret.csv")["Body"].read() == b"3,4"
        message = refused(
            prod.put_object,
            Bucket=name,
            Key="secret.csv",
            Body=b"",
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=key["Arn"],
        )
        assert "kms:GenerateDataKey" in message
        blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
        refused(cloud.client("kms", PROD).decrypt, CiphertextBlob=blob, KeyId=key["Arn"])

    def test_a_copy_reads_with_the_sources_key(self, cloud: Cloud) -> None:
        s3, kms = cloud.client("s3"), cloud.client("kms")
        source, target = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
        for name in ("copied-from", "copied-to"):
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        kept = {"ServerSideEncryption": "aws:kms"}
        s3.put_object(Bucket="copied-from", Key="a b", Body=b"1", SSEKMSKeyId=source, **kept)
        objects = {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::copied-*"}
        writes = {"Action": "kms:GenerateDataKey", "Resource": target}
        reads = {"Action": "kms:Decrypt", "Resource": source}

        def copy(*policies: dict[str, Any]) -> None:
            role = cloud.role(f"copies-with-{len(policies)}", *policies)
            cloud.client("s3", session=cloud.assume(role)).copy_object(
                Bucket="copied-to",
                Key="b",
                CopySource={"Bucket": "copied-from", "Key": "a b"},
                SSEKMSKeyId=target,
                **kept,
            )

        with pytest.raises(ClientError, match=r"kms:Decrypt"):
            copy(objects, writes)
        copy(objects, writes, reads)

    def test_a_key_is_known_by_its_alias(self, cloud: Cloud) -> None:
        kms = cloud.client("kms")
        keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
        kms.create_alias(AliasName="alias/known", TargetKeyId=keys[0])
        role = cloud.role(
            "by-alias",
            {
                "Action": "kms:Encrypt",
                "Resource": "*",
                "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/known"}},
            },
        )
        kms = cloud.client("kms", session=cloud.assume(role))
        kms.encrypt(KeyId=keys[0], Plaintext=b"a")
        with pytest.raises(ClientError, match="AccessDenied"):
            kms.encrypt(KeyId=keys[1], Plaintext=b"a")

    def test_a_default_key_of_the_bucket_counts_too(self, cloud: Cloud) -> None:
        name = bucket(cloud, "default-key")
        key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
        cloud.client("s3").put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={
                "Rules": [
                    {
                        "ApplyServerSideEncryptionByDefault": {
                            "SSEAlgorithm": "aws:kms",
                            "KMSMasterKeyID": key,
                        }
                    }
                ]
            },
        )
        writer = cloud.client("s3", session=cloud.assume(cloud.role("writer", S3_ALL)))
        message = refused(writer.put_object, Bucket=name, Key="x", Body=b"")
        assert "kms:GenerateDataKey" in message

    def test_a_grant_allows(self, cloud: Cloud) -> None:
        role = cloud.role("grantee")
        kms = cloud.client("kms")
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        grantee = cloud.client("kms", session=cloud.assume(role))
        refused(grantee.encrypt, KeyId=key, Plaintext=b"x")
        kms.create_grant(KeyId=key, GranteePrincipal=role, Operations=["Encrypt"])
        assert grantee.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]

    def test_a_key_policy_must_let_the_account_in(self, cloud: Cloud) -> None:
        key = cloud.client("kms").create_key(
            Policy=document(
                {
                    "Principal": {"AWS": f"arn:aws:iam::{DEV}:user/administrator"},
                    "Action": "kms:*",
                    "Resource": "*",
                }
            )
        )["KeyMetadata"]["KeyId"]
        role = cloud.role("kms-by-identity", {"Action": "kms:*", "Resource": "*"})
        session = cloud.client("kms", session=cloud.assume(role))
        message = refused(session.describe_key, KeyId=key)
        assert message.endswith(
            "because no resource-based policy allows the kms:DescribeKey action"
        )


class TestRoles:
    def test_the_permissions_boundary_limits(self, cloud: Cloud) -> None:
        boundary = cloud.client("iam").create_policy(
            PolicyName="only-reading",
            PolicyDocument=document({"Action": "s3:Get*", "Resource": "*"}),
        )["Policy"]["Arn"]
        name = bucket(cloud, "within-bounds")
        role = cloud.role("bounded", S3_ALL, PermissionsBoundary=boundary)
        s3 = cloud.client("s3", session=cloud.assume(role))
        s3.get_object(Bucket=name, Key="data.csv")
        message = refused(s3.put_object, Bucket=name, Key="x", Body=b"")
        assert message.endswith("because no permissions boundary allows the s3:PutObject action")

    def test_roles_must_be_made_with_the_boundary(self, cloud: Cloud) -> None:
        boundary = f"arn:aws:iam::{DEV}:policy/team-boundary"
        cloud.client("iam").create_policy(
            PolicyName="team-boundary",
            PolicyDocument=document({"Action": "s3:*", "Resource": "*"}),
        )
        maker = cloud.role(
            "role-maker",
            {
                "Action": "iam:CreateRole",
                "Resource": "*",
                "Condition": {"StringEquals": {"iam:PermissionsBoundary": boundary}},
            },
        )
        iam = cloud.client("iam", session=cloud.assume(maker))
        trust = document(
            {"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        )
        refused(iam.create_role, RoleName="unbounded", AssumeRolePolicyDocument=trust)
        iam.create_role(
            RoleName="made-bounded", AssumeRolePolicyDocument=trust, PermissionsBoundary=boundary
        )

    def test_a_boundary_that_is_not_there_limits_no_role(self, cloud: Cloud) -> None:
        iam, nowhere = cloud.client("iam"), f"arn:aws:iam::{DEV}:policy/nowhere"
        trust = document(
            {"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        )
        own = {"AssumeRolePolicyDocument": trust, "RoleName": "bounded-by-nothing"}
        with pytest.raises(ClientError, match=f"NoSuchEntity.*{nowhere} does not exist"):
            iam.create_role(**own, PermissionsBoundary=nowhere)
        iam.create_role(**own, PermissionsBoundary="arn:aws:iam::aws:policy/ReadOnlyAccess")
        with pytest.raises(ClientError, match=f"NoSuchEntity.*{nowhere} does not exist"):
            iam.put_role_permissions_boundary(RoleName=own["RoleName"], PermissionsBoundary=nowhere)

    def test_passing_a_role(self, cloud: Cloud) -> None:
        passed = cloud.role("execution", trust=trusting("sagemaker"))
        create = {"Action": "sagemaker:CreateModel", "Resource": "*"}
        model = {"PrimaryContainer": {"Image": "image"}, "ExecutionRoleArn": passed}

        without = cloud.assume(cloud.role("passes-nothing", create))
        message = refused(
            cloud.client("sagemaker", session=without).create_model, ModelName="m", **model
        )
        assert f"iam:PassRole on resource: {passed}" in message

        for service, allowed in (
            ("lambda.amazonaws.com", False),
            ("sagemaker.amazonaws.com", True),
        ):
            passer = cloud.role(
                f"passes-to-{service.split('.')[0]}",
                create,
                {
                    "Action": "iam:PassRole",
                    "Resource": passed,
                    "Condition": {"StringEquals": {"iam:PassedToService": service}},
                },
            )
            sagemaker = cloud.client("sagemaker", session=cloud.assume(passer))
            if allowed:
                assert sagemaker.create_model(ModelName="m", **model)["ModelArn"]
            else:
                refused(sagemaker.create_model, ModelName="m", **model)

    def test_each_connection_is_asked_for_by_its_arn(self, cloud: Cloud) -> None:
        """The authorization reference writes this resource type with a capital."""
        admin = cloud.client("codeconnections")
        one, other = (
            admin.create_connection(ConnectionName=name, ProviderType="GitHub")["ConnectionArn"]
            for name in ("one", "other")
        )
        role = cloud.role("reads-one", {"Action": "codeconnections:GetConnection", "Resource": one})
        reader = cloud.client("codeconnections", session=cloud.assume(role))
        assert reader.get_connection(ConnectionArn=one)["Connection"]["ConnectionName"] == "one"
        assert other in refused(reader.get_connection, ConnectionArn=other)

    def test_trust(self, cloud: Cloud) -> None:
        deployer = cloud.role(
            "deployer",
            account=PROD,
            trust={
                "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"},
                "Condition": {"StringEquals": {"sts:ExternalId": "pipeline"}},
            },
        )
        hub = cloud.session(HUB)
        session = cloud.assume(deployer, by=hub, ExternalId="pipeline")
        identity = cloud.client("sts", session=session).get_caller_identity()
        assert identity["Account"] == PROD
        assert identity["Arn"] == f"arn:aws:sts::{PROD}:assumed-role/deployer/test"

        refused(cloud.assume, arn=deployer, by=hub, ExternalId="guessed")
        refused(cloud.assume, arn=deployer, by=hub)
        refused(cloud.assume, arn=deployer, by=cloud.session(DEV), ExternalId="pipeline")
        refused(cloud.assume, arn=f"arn:aws:iam::{PROD}:role/not-there", by=hub)

    def test_session_policies_and_tags(self, cloud: Cloud) -> None:
        role = cloud.role(
            "tagged",
            {
                "Action": "s3:*",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:PrincipalTag/project": "churn"}},
            },
            Tags=[{"Key": "project", "Value": "churn"}],
        )
        name = bucket(cloud, "by-tag")
        cloud.client("s3", session=cloud.assume(role)).get_object(Bucket=name, Key="data.csv")
        narrowed = cloud.assume(role, Policy=document({"Action": "s3:PutObject", "Resource": "*"}))
        message = refused(
            cloud.client("s3", session=narrowed).get_object, Bucket=name, Key="data.csv"
        )
        assert message.endswith("because no session policy allows the s3:GetObject action")

    def test_a_web_identity(self, cloud: Cloud) -> None:
        issuer = "token.actions.githubusercontent.com"
        provider = f"arn:aws:iam::{DEV}:oidc-provider/{issuer}"
        maker = cloud.role(
            "trusts-ci", {"Action": "iam:CreateOpenIDConnectProvider", "Resource": provider}
        )
        iam = cloud.client("iam", session=cloud.assume(maker))
        wanted = {"ClientIDList": ["sts.amazonaws.com"], "ThumbprintList": ["a" * 40]}
        refused(iam.create_open_id_connect_provider, Url="https://gitlab.com", **wanted)
        made = iam.create_open_id_connect_provider(Url=f"https://{issuer}", **wanted)
        assert made["OpenIDConnectProviderArn"] == provider
        subject = "repo:example/platform:environment:prod"
        role = cloud.role(
            "from-ci",
            trust={
                "Principal": {"Federated": provider},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{issuer}:sub": subject}},
            },
        )
        sts = cloud.client("sts")
        for given, allowed in ((subject, True), ("repo:example/other:ref:refs/heads/main", False)):
            claims = {"iss": f"https://{issuer}", "sub": given, "aud": "sts.amazonaws.com"}
            payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
            arguments = {
                "RoleArn": role,
                "RoleSessionName": "ci",
                "WebIdentityToken": f"e30.{payload}.e30",
            }
            if allowed:
                assert sts.assume_role_with_web_identity(**arguments)["Credentials"]
            else:
                refused(sts.assume_role_with_web_identity, **arguments)


class TestConditionsOfSageMaker:
    """What keeps a data scientist's jobs in the VPC and encrypted."""

    def job(self, subnet: str, **changes: Any) -> dict[str, Any]:
        return {
            "TrainingJobName": "job",
            "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
            "RoleArn": f"arn:aws:iam::{DEV}:role/execution-of-jobs",
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "KmsKeyId": "key-1"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
                "VolumeKmsKeyId": f"arn:aws:kms:{REGION}:{DEV}:key/1",
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "VpcConfig": {"Subnets": [subnet], "SecurityGroupIds": ["sg-1"]},
            "EnableNetworkIsolation": True,
            **changes,
        }

    def test_a_job_must_name_subnets_key_and_isolation(self, cloud: Cloud) -> None:
        cloud.role("execution-of-jobs", trust=trusting("sagemaker"))
        ec2 = cloud.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
        role = cloud.role(
            "data-scientist",
            {"Action": "iam:PassRole", "Resource": "*"},
            {
                "Action": "sagemaker:CreateTrainingJob",
                "Resource": "*",
                "Condition": {
                    "ForAllValues:StringEquals": {
                        "sagemaker:VpcSubnets": [subnet],
                        "sagemaker:InstanceTypes": ["ml.m5.large"],
                    },
                    "Null": {"sagemaker:VpcSubnets": "false"},
                    "ArnEquals": {"sagemaker:VolumeKmsKey": f"arn:aws:kms:{REGION}:{DEV}:key/1"},
                    "Bool": {"sagemaker:NetworkIsolation": "true"},
                },
            },
        )
        create = cloud.client("sagemaker", session=cloud.assume(role)).create_training_job
        refused(create, **self.job(subnet, EnableNetworkIsolation=False))
        elsewhere = {"Subnets": ["subnet-2"], "SecurityGroupIds": ["s"]}
        refused(create, **self.job(subnet, VpcConfig=elsewhere))
        no_vpc = self.job(subnet)
        del no_vpc["VpcConfig"]
        refused(create, **no_vpc)
        big = self.job(subnet)
        big["ResourceConfig"] = {**big["ResourceConfig"], "InstanceType": "ml.p4d.24xlarge"}
        refused(create, **big)
        unencrypted = self.job(subnet)
        del unencrypted["ResourceConfig"]["VolumeKmsKeyId"]
        refused(create, **unencrypted)
        assert create(**self.job(subnet))["TrainingJobArn"]


class TestPolicyDocuments:
    def test_a_malformed_policy_is_refused(self, cloud: Cloud) -> None:
        name = bucket(cloud, "malformed")
        with pytest.raises(ClientError, match="MalformedPolicy"):
            bucket_policy(cloud, name, {"Effekt": "Deny", "Principal": "*"})
        with pytest.raises(ClientError, match="MalformedPolicyDocument"):
            cloud.role("malformed", {"Actions": "s3:*", "Resource": "*"})

    def test_a_policy_names_only_principals_that_exist(self, cloud: Cloud) -> None:
        name = bucket(cloud, "nobody-there")
        statement = {
            "Principal": {"AWS": f"arn:aws:iam::{PROD}:role/later"},
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{name}/*",
        }
        with pytest.raises(ClientError, match=f"Invalid principal.*{PROD}:role/later"):
            bucket_policy(cloud, name, statement)
        cloud.role("later", account=PROD)
        bucket_policy(cloud, name, statement)
