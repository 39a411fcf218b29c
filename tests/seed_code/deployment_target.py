"""What a deployment repository deploys, and where: a trained model, and what a target publishes."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from components.naming import Names
from localcloud import environments
from tests.localcloud.emulators import Cloud
from tests.localcloud.jobs_world import network

SERVICES = (
    "s3", "logs", "monitoring", "ecr.api", "ecr.dkr", "kms", "sagemaker.api", "sagemaker.runtime",
)  # fmt: skip
TRAIN = """
import sys
import numpy, xgboost
rows = numpy.random.default_rng(int(sys.argv[2])).uniform(0, 1, (200, 10))
rings = 3 + 14 * rows[:, 9] ** 0.5
booster = xgboost.train({"max_depth": 3}, xgboost.DMatrix(rows, rings), 20)
booster.save_model(sys.argv[1])
answers = booster.predict(xgboost.DMatrix(rows))
names = ",".join(["prediction", *(f"f{n}" for n in range(10))])
numpy.savetxt(sys.argv[1] + ".csv", numpy.column_stack([answers, rows]), "%.6f", ",",
              header=names, comments="")
"""


def trained(folder: Path, seed: int) -> bytes:
    """A model of ten columns; what it was trained on lies beside its file."""
    file = folder / f"model-{seed}.ubj"
    interpreter = environments.python("seed")
    subprocess.run([interpreter, "-c", TRAIN, str(file), str(seed)], check=True)
    return file.read_bytes()


def archived(model: bytes) -> bytes:
    """A model file as SageMaker takes it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        member = tarfile.TarInfo("xgboost-model")
        member.size = len(model)
        archive.addfile(member, io.BytesIO(model))
    return content.getvalue()


def publish(cloud: Cloud, names: Names) -> str:
    """Makes what the platform has in a target, and publishes it; gives the key's ARN."""
    account = names.account_id
    _, subnets, group = network(cloud.client("ec2", account), SERVICES)
    key = str(cloud.client("kms", account).create_key()["KeyMetadata"]["Arn"])
    cloud.client("kms", account).create_alias(AliasName=names.alias("logs"), TargetKeyId=key)
    cloud.client("s3", account).create_bucket(
        Bucket=names.bucket("logs"), CreateBucketConfiguration={"LocationConstraint": names.region}
    )
    topic = cloud.client("sns", account).create_topic(Name=names.name("alerts"))["TopicArn"]
    for path, value in {
        "vpc/private-subnet-ids": ",".join(subnets),
        "vpc/security-group-ids": group,
        "kms/storage/arn": key,
        "kms/logs/arn": key,
        "buckets/logs": names.bucket("logs"),
        "alerts/topic-arn": topic,
    }.items():
        cloud.client("ssm", account).put_parameter(
            Name=names.parameter(path), Value=value, Type="String"
        )
    return key
