"""The build repository's commands against an emulated account: what they make, and make once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, document, running, trusting
from tests.seed_code.build_repository import render, run

BUCKETS = {"models": "acme-dev-models", "data": "acme-dev-data"}
NAME = "acme-dev-abalone"


class Account:
    """A development account as the platform leaves it, with the project's roles."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        kms, ssm = cloud.client("kms"), cloud.client("ssm")
        self.keys = {
            purpose: kms.create_key(Description=purpose)["KeyMetadata"]["Arn"]
            for purpose in ("models", "storage")
        }
        for bucket in BUCKETS.values():
            cloud.client("s3").create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        values = {
            "vpc/private-subnet-ids": "subnet-0a,subnet-0b",
            "vpc/security-group-ids": "sg-0a",
            "kms/storage/arn": self.keys["storage"],
            "kms/models/arn": self.keys["models"],
            "registry/models-bucket": BUCKETS["models"],
            "data/bucket": BUCKETS["data"],
        }
        for path, value in values.items():
            ssm.put_parameter(Name=f"/acme/dev/{path}", Value=value, Type="String")
        trust = trusting("sagemaker")
        for role in ("pipeline", "training"):
            cloud.role(f"{NAME}-{role}", trust=trust)
        # What the README says that a build needs, and no more.
        arn = f"arn:aws:iam::{DEV}:role/{NAME}-pipeline"
        pipeline = f"arn:aws:sagemaker:{REGION}:{DEV}:pipeline/{NAME}"
        self.role = cloud.role(
            f"{NAME}-build",
            {"Action": "ssm:GetParameters", "Resource": "*"},
            {
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": f"arn:aws:s3:::{BUCKETS['models']}/abalone/*",
            },
            {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKETS['data']}"},
            {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": self.keys["models"]},
            {"Action": "iam:PassRole", "Resource": arn},
            {
                "Action": [
                    "sagemaker:CreatePipeline",
                    "sagemaker:UpdatePipeline",
                    "sagemaker:DescribePipeline",
                    "sagemaker:StartPipelineExecution",
                    "sagemaker:ListTags",
                    "sagemaker:AddTags",
                ],
                "Resource": [pipeline, f"{pipeline}/*"],
            },
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``python run_pipeline.py …`` with the build role's credentials."""
        given = self.cloud.assume(self.role).get_credentials()
        assert given is not None
        return run(
            self.folder,
            "sh",
            "-c",
            'exec "$PIPELINE_PYTHON" run_pipeline.py "$@"',
            "sh",
            *arguments,
            environment={
                "AWS_ENDPOINT_URL": self.cloud.started.endpoint,
                "AWS_ACCESS_KEY_ID": given.access_key,
                "AWS_SECRET_ACCESS_KEY": given.secret_key,
                "AWS_SESSION_TOKEN": given.token or "",
                "AWS_EC2_METADATA_DISABLED": "true",
                **environment,
            },
        )

    def put(self, key: str, content: str) -> None:
        self.cloud.client("s3").put_object(Bucket=BUCKETS["data"], Key=key, Body=content.encode())


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = render(tmp_path_factory.mktemp("repository"))
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
        yield Account(cloud, folder)


def described(account: Account) -> dict[str, Any]:
    return account.cloud.client("sagemaker").describe_pipeline(PipelineName=NAME)


def test_the_pipeline_is_made_once_with_the_roles_keys_and_tags_of_the_platform(
    account: Account,
) -> None:
    first = account.run("upsert")
    assert first.returncode == 0, first.stderr
    assert "created, 5 of 5 scripts uploaded" in first.stdout
    second = account.run("upsert")
    assert second.returncode == 0, second.stderr
    assert "unchanged, 0 of 5 scripts uploaded" in second.stdout

    pipeline = described(account)
    assert pipeline["RoleArn"] == f"arn:aws:iam::{DEV}:role/{NAME}-pipeline"
    arguments = json.loads(pipeline["PipelineDefinition"])["Steps"][1]["Arguments"]
    assert arguments["VpcConfig"] == {
        "Subnets": ["subnet-0a", "subnet-0b"],
        "SecurityGroupIds": ["sg-0a"],
    }
    assert arguments["ResourceConfig"]["VolumeKmsKeyId"] == account.keys["storage"]
    tags = account.cloud.client("sagemaker").list_tags(ResourceArn=pipeline["PipelineArn"])["Tags"]
    assert {item["Key"]: item["Value"] for item in tags} == {
        "owner": "ml-team",
        "cost-centre": "cc-1",
        "sagemaker:project-id": "p-abc123def456",
        "sagemaker:project-name": "abalone",
    }
    s3 = account.cloud.client("s3")
    for item in s3.list_objects_v2(Bucket=BUCKETS["models"])["Contents"]:
        head = s3.head_object(Bucket=BUCKETS["models"], Key=item["Key"])
        assert head["SSEKMSKeyId"] == account.keys["models"]
        body = s3.get_object(Bucket=BUCKETS["models"], Key=item["Key"])["Body"].read()
        name = item["Key"].rpartition("/")[2]
        if name.endswith(".py"):
            assert body == (account.folder / "steps" / name).read_bytes()
        else:
            assert json.loads(body), "what the analysis of bias is told"


def test_without_data_nothing_is_started(account: Account) -> None:
    done = account.run("run", "--commit", "abc")
    assert done.returncode == 2
    assert f"no data at s3://{BUCKETS['data']}/abalone/input/" in done.stderr


def test_an_execution_starts_with_what_it_is_made_of(account: Account) -> None:
    account.put("abalone/input/a.csv", "some data")
    file = account.folder / "result.json"
    limit = ("--parameter", "RmseThreshold=2.2")
    done = account.run(
        "run", "--result", str(file), *limit, CODEBUILD_RESOLVED_SOURCE_VERSION="abc"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    listed = account.cloud.client("sagemaker").list_pipeline_parameters_for_execution(
        PipelineExecutionArn=result["execution"]
    )
    told = {item["Name"]: item["Value"] for item in listed["PipelineParameters"]}
    assert told == result["parameters"]
    assert told["CommitId"] == "abc"
    assert told["DataVersion"].startswith("sha256-")
    assert told["RmseThreshold"] == "2.2"


def test_a_call_that_aws_refuses_is_told_and_ends_with_its_own_code(account: Account) -> None:
    iam = account.cloud.client("iam")
    deny = document({"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"})
    iam.put_role_policy(RoleName=f"{NAME}-build", PolicyName="deny", PolicyDocument=deny)
    try:
        done = account.run("upsert")
    finally:
        iam.delete_role_policy(RoleName=f"{NAME}-build", PolicyName="deny")
    assert done.returncode == 3
    assert "AccessDenied" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_platform_is_told_by_its_missing_parameters(
    account: Account, tmp_path: Path
) -> None:
    other = Account.__new__(Account)
    other.cloud, other.role = account.cloud, account.role
    other.folder = render(tmp_path)
    file = other.folder / "project.yaml"
    file.write_text(file.read_text().replace("prefix: acme", "prefix: umbrella"))
    done = other.run("upsert")
    assert done.returncode == 2
    assert "/umbrella/dev/vpc/private-subnet-ids" in done.stderr
    assert "prefix in project.yaml" in done.stderr
