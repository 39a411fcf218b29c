"""What a project that predicts in batches is vended with in a target, in an emulated account."""

from __future__ import annotations

import json
from collections.abc import Sequence

from components import iam
from components.naming import Names, Placement
from components.personas import Guards
from components.projects import batch, policies
from tests.localcloud.emulators import HUB, REGION, Cloud, trusting
from tests.localcloud.jobs_world import TRUST


def make_bucket(cloud: Cloud, names: Names, project: str, key: str) -> str:
    """The project's bucket under a key, whose events go to EventBridge; its name.

    Its policy is what vending gives it, with the one S3 endpoint that the account has.
    """
    s3, bucket = cloud.client("s3", names.account_id), batch.bucket_name(names, project)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": rule, "BucketKeyEnabled": True}]
        },
    )
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    [endpoint] = [
        item["VpcEndpointId"]
        for item in cloud.client("ec2", names.account_id).describe_vpc_endpoints()["VpcEndpoints"]
        if item["ServiceName"].endswith(".s3")
    ]
    statements = batch.bucket_statements(names, project, key, endpoint)
    s3.put_bucket_policy(Bucket=bucket, Policy=iam.render(statements))
    return bucket


def make_roles(
    cloud: Cloud,
    placement: Placement,
    target: str,
    project: str,
    *,
    key: str,
    subnets: Sequence[str],
    security_group: str,
    models: Sequence[iam.Statement] = (),
) -> None:
    """The project's roles, with the policies that vending gives them.

    Args:
        cloud: The emulator.
        placement: Where.
        target: The environment.
        project: The project's name.
        key: Of bucket and disks.
        subnets: Where jobs run.
        security_group: Theirs.
        models: What the models may beside that: to read artifacts that are not the hub's.
    """
    names = Names.at(placement, target)
    guards: Guards = {
        "subnets": subnets,
        "security_groups": [security_group],
        "volume_key": key,
        "output_keys": [key],
        "instance_types": ["ml.m5.large"],
        "isolate": True,
    }
    where = (placement, target, project)
    given = {
        batch.MODEL: ([*batch.model_statements(*where, [key]), *models], TRUST),
        batch.PIPELINE: (batch.pipeline_statements(*where, guards, [key]), TRUST),
        batch.SCHEDULE: (
            batch.schedule_statements(*where),
            trusting("events"),
        ),
        "{}-deploy": (
            [*policies.deploy_statements(*where, [key]), *batch.deploy_statements(*where, [key])],
            {"Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}},
        ),
    }
    for name, (allowed, trust) in given.items():
        cloud.role(
            names.role(name.format(project)),
            *json.loads(iam.render(allowed))["Statement"],
            account=names.account_id,
            trust=trust,
        )
