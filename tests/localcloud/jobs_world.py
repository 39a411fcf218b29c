"""An account in which jobs run: a bucket with a key, a VPC with ways to S3, roles, real data."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, document, running, trusting
from tests.localcloud.kit import until

REGISTRY = f"141502667606.dkr.ecr.{REGION}.amazonaws.com"
SKLEARN = f"{REGISTRY}/sagemaker-scikit-learn:1.4-2-cpu-py3"
XGBOOST = f"{REGISTRY}/sagemaker-xgboost:1.7-1"
TRUST = trusting("sagemaker")
BUCKET = "jobs-data"
DONE = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class World:
    """An emulator and what jobs need in it."""

    cloud: Cloud
    key: str
    vpc: str
    subnets: list[str]
    group: str
    role: str

    clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str, account: str = DEV) -> Any:
        if (service, account) not in self.clients:
            self.clients[service, account] = self.cloud.client(service, account)
        return self.clients[service, account]

    @property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @property
    def vpc_config(self) -> dict[str, list[str]]:
        return {"Subnets": self.subnets, "SecurityGroupIds": [self.group]}

    def put(self, key: str, body: bytes | str, bucket: str = BUCKET) -> str:
        body = body.encode() if isinstance(body, str) else body
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    def process(self, name: str, script: str, **changes: Any) -> dict[str, Any]:
        """Runs a script as a processing job to its end; gives its description."""
        self.start_processing(name, script, **changes)
        return self.wait_processing(name)

    def start_processing(self, name: str, script: str, **changes: Any) -> None:
        code = self.put(f"code/{name}/script.py", script)
        inputs = [
            _input("code", code, "/opt/ml/processing/input/code"),
            *changes.pop("inputs", []),
        ]
        outputs = changes.pop("outputs", {"result": "/opt/ml/processing/result"})
        continuous = changes.pop("continuous", ())
        request = {
            "ProcessingJobName": name,
            "RoleArn": self.role,
            "AppSpecification": {
                "ImageUri": SKLEARN,
                "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/script.py"],
                "ContainerArguments": changes.pop("arguments", ["--unused"]),
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "VolumeSizeInGB": 10,
                }
            },
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {
                "KmsKeyId": changes.pop("key", self.key),
                "Outputs": [
                    {
                        "OutputName": output,
                        "S3Output": {
                            "S3Uri": f"s3://{BUCKET}/out/{name}/{output}",
                            "LocalPath": path,
                            "S3UploadMode": "Continuous" if output in continuous else "EndOfJob",
                        },
                    }
                    for output, path in outputs.items()
                ],
            },
            "NetworkConfig": {"VpcConfig": self.vpc_config, **changes.pop("network", {})},
            **changes,
        }
        self.sagemaker.create_processing_job(**request)

    def wait_processing(self, name: str, seconds: float = 60) -> dict[str, Any]:
        return until(
            lambda: self.sagemaker.describe_processing_job(ProcessingJobName=name),
            lambda job: job["ProcessingJobStatus"] in DONE,
            seconds,
        )

    def start_training(self, name: str, **changes: Any) -> None:
        request = {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
            "HyperParameters": {"objective": "reg:squarederror", "num_round": "5"},
            "InputDataConfig": [
                channel("train", f"s3://{BUCKET}/data/train"),
                channel("validation", f"s3://{BUCKET}/data/validation"),
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models", "KmsKeyId": self.key},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "VpcConfig": self.vpc_config,
            **changes,
        }
        self.sagemaker.create_training_job(**request)

    def train(self, name: str, **changes: Any) -> dict[str, Any]:
        """Trains to the end; gives the job's description."""
        self.start_training(name, **changes)
        return until(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] in DONE,
        )

    def add_data(self) -> None:
        for part, seed, rows in (("train", 1, 200), ("validation", 2, 50)):
            self.put(f"data/{part}/{part}.csv", numbers(seed, rows))


def numbers(seed: int, rows: int) -> str:
    """CSV whose first column is 3 times the second minus the third."""
    made = random.Random(seed)  # noqa: S311 -- the same numbers every time
    pairs = [(made.uniform(0, 10), made.uniform(0, 10)) for _ in range(rows)]
    return "".join(f"{3 * a - b:.4f},{a:.4f},{b:.4f}\n" for a, b in pairs)


def channel(name: str, uri: str, content_type: str = "text/csv") -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": uri,
        "S3DataDistributionType": "FullyReplicated",
    }
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": source},
        "ContentType": content_type,
    }


def _input(name: str, uri: str, path: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }


given = _input


def archive(files: dict[str, bytes]) -> bytes:
    """A .tar.gz with any names, wicked ones included."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def job_policy(key: str) -> list[dict[str, Any]]:
    return [
        {
            "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        },
        {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key},
        {
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "*",
        },
    ]


@contextmanager
def world(folder: Path, accounts: dict[str, str] | None = None) -> Iterator[World]:
    """A running emulator with all of it."""
    with running(checkout(folder), accounts) as cloud:
        key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        ec2 = cloud.client("ec2")
        vpc, subnets, group = network(ec2)
        role = cloud.role("jobs", *job_policy(key), trust=TRUST)
        made = World(cloud, key, vpc, subnets, group, role)
        made.add_data()
        yield made


def network(ec2: Any, services: tuple[str, ...] = ("s3",)) -> tuple[str, list[str], str]:
    """A private VPC with endpoints for some services: its id, subnets and a security group."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"]
        for n in (1, 2)
    ]
    group = ec2.create_security_group(GroupName="jobs", Description="jobs", VpcId=vpc)["GroupId"]
    for service in services:
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName=f"com.amazonaws.{REGION}.{service}",
            VpcEndpointType="Gateway" if service == "s3" else "Interface",
            PolicyDocument=document({"Action": "*", "Resource": "*", "Principal": "*"}),
        )
    return vpc, subnets, group
