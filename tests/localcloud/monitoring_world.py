"""What monitoring watches: an endpoint whose traffic is captured, schedules, their executions."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.emulator.jobs import standins
from tests.localcloud.emulators import REGION, document
from tests.localcloud.jobs_world import BUCKET, TRUST, XGBOOST, World, job_policy
from tests.localcloud.kit import until

ANALYZER = f"468650794304.dkr.ecr.{REGION}.amazonaws.com/sagemaker-model-monitor-analyzer"
CLARIFY = f"131013547314.dkr.ecr.{REGION}.amazonaws.com/sagemaker-clarify-processing:1.0"
SCRIPTS = Path(str(standins.__file__)).parent
ENDPOINT = "acme-preprod-numbers"
SHADOW: Mapping[str, Any] = {
    "Action": ["sagemaker:CreateEndpoint", "sagemaker:CreateEndpointConfig",
               "sagemaker:DeleteEndpoint", "sagemaker:DeleteEndpointConfig",
               "sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"],
    "Resource": "*",
}  # fmt: skip
"""What Clarify does with the endpoint that it asks a model behind."""
HOURLY = "cron(0 * ? * * *)"


def make_role(jobs: World, *more: dict[str, Any]) -> str:
    """Makes the role of monitoring jobs."""
    measure = {"Action": "cloudwatch:PutMetricData", "Resource": "*"}
    return jobs.cloud.role("monitor", *job_policy(jobs.key), measure, *more, trust=TRUST)


def make_endpoint(jobs: World) -> str:
    """Makes an endpoint that answers three times the first number less the second; its name."""
    job = jobs.train("numbers", HyperParameters={"num_round": "60", "max_depth": "6"})
    jobs.sagemaker.create_model(
        ModelName=ENDPOINT,
        ExecutionRoleArn=jobs.role,
        PrimaryContainer={
            "Image": XGBOOST, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
        },
        VpcConfig=jobs.vpc_config,
    )  # fmt: skip
    jobs.sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic", "ModelName": ENDPOINT,
                "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
            }
        ],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/capture",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        },
    )  # fmt: skip
    jobs.sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    found = until(
        lambda: jobs.sagemaker.describe_endpoint(EndpointName=ENDPOINT),
        lambda told: told["EndpointStatus"] in ("InService", "Failed"),
    )
    assert found["EndpointStatus"] == "InService", found
    return ENDPOINT


def make_ways(jobs: World) -> None:
    """Makes the VPC endpoints by which jobs of the VPC reach SageMaker's API and its endpoints."""
    for service in ("sagemaker.api", "sagemaker.runtime"):
        jobs.client("ec2").create_vpc_endpoint(
            VpcId=jobs.vpc,
            ServiceName=f"com.amazonaws.{REGION}.{service}",
            VpcEndpointType="Interface",
            PolicyDocument=document({"Action": "*", "Resource": "*", "Principal": "*"}),
        )


def ground_truth(labels: Mapping[str, float]) -> str:
    """Labels in lines, by the ids of the inferences, as Model Monitor takes them."""
    return "".join(
        json.dumps(
            {
                "groundTruthData": {"data": str(right), "encoding": "CSV"},
                "eventMetadata": {"eventId": key},
                "eventVersion": "0",
            }
        )
        + "\n"
        for key, right in labels.items()
    )


def label(jobs: World, name: str, labels: Mapping[str, float]) -> None:
    """Brings labels, of the present hour."""
    hour = f"{dt.datetime.now(dt.UTC):%Y/%m/%d/%H}"
    jobs.put(f"labels/{hour}/{name}.jsonl", ground_truth(labels))


def captured(jobs: World) -> list[bytes]:
    """What was captured of the endpoint's traffic: a line a request."""
    found = jobs.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="capture/").get("Contents", [])
    return [
        line for item in found for line in jobs.get(f"s3://{BUCKET}/{item['Key']}").splitlines()
    ]


def config(kind: str, definition: str, expression: str = HOURLY) -> dict[str, Any]:
    """A schedule's configuration."""
    return {
        "MonitoringType": kind,
        "MonitoringJobDefinitionName": definition,
        "ScheduleConfig": {"ScheduleExpression": expression},
    }


def execute(jobs: World, schedules: dict[str, str], *names: str) -> list[dict[str, Any]]:
    """Runs schedules now, to their ends; the executions' summaries.

    Args:
        jobs: Where.
        schedules: Name -> ARN.
        names: Those to run.
    """
    for name in names:
        jobs.cloud.control("POST", "schedules", {"rule": schedules[name]})

    def last(name: str) -> dict[str, Any]:
        told = jobs.sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
        return told["LastMonitoringExecutionSummary"]

    return [
        until(
            lambda name=name: last(name),
            lambda told: told["MonitoringExecutionStatus"] != "InProgress",
        )
        for name in names
    ]


def report(jobs: World, told: dict[str, Any], file: str) -> dict[str, Any]:
    """A file that an execution left."""
    name = told["ProcessingJobArn"].rpartition("/")[2]
    job = jobs.sagemaker.describe_processing_job(ProcessingJobName=name)
    (output,) = job["ProcessingOutputConfig"]["Outputs"]
    return json.loads(jobs.get(f"{output['S3Output']['S3Uri']}/{file}"))
