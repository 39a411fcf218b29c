"""Facts about AWS and types of the Pulumi AWS provider (v7) that more than one family needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

ACCOUNT_ACCESS_BLOCK: Final = "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock"
BUCKET: Final = "aws:s3/bucket:Bucket"
BUCKET_ACCESS_BLOCK: Final = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
BUCKET_ENCRYPTION: Final = (
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
)
BUCKET_POLICY: Final = "aws:s3/bucketPolicy:BucketPolicy"
CODEBUILD: Final = "aws:codebuild/project:Project"
DOMAIN: Final = "aws:sagemaker/domain:Domain"
ENDPOINT_CONFIGURATION: Final = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
FEATURE_GROUP: Final = "aws:sagemaker/featureGroup:FeatureGroup"
FUNCTION: Final = "aws:lambda/function:Function"
JOB_DEFINITION: Final = "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition"
KEY: Final = "aws:kms/key:Key"
LOG_GROUP: Final = "aws:cloudwatch/logGroup:LogGroup"
MODEL: Final = "aws:sagemaker/model:Model"
MONITORING_SCHEDULE: Final = "aws:sagemaker/monitoringSchedule:MonitoringSchedule"
NOTEBOOK: Final = "aws:sagemaker/notebookInstance:NotebookInstance"
PARAMETER: Final = "aws:ssm/parameter:Parameter"
PIPELINE: Final = "aws:sagemaker/pipeline:Pipeline"
QUEUE: Final = "aws:sqs/queue:Queue"
QUEUE_POLICY: Final = "aws:sqs/queuePolicy:QueuePolicy"
REPOSITORY: Final = "aws:ecr/repository:Repository"
ROLE: Final = "aws:iam/role:Role"
SECRET: Final = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a resource type
SECURITY_GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
SPACE: Final = "aws:sagemaker/space:Space"
SUBNET: Final = "aws:ec2/subnet:Subnet"
TOPIC: Final = "aws:sns/topic:Topic"
TOPIC_POLICY: Final = "aws:sns/topicPolicy:TopicPolicy"
TRAIL: Final = "aws:cloudtrail/trail:Trail"
TRAINING_JOB: Final = "aws:sagemaker/trainingJob:TrainingJob"
TUNING_JOB: Final = "aws:sagemaker/hyperParameterTuningJob:HyperParameterTuningJob"
USER_PROFILE: Final = "aws:sagemaker/userProfile:UserProfile"
VPC: Final = "aws:ec2/vpc:Vpc"
VPC_ENDPOINT: Final = "aws:ec2/vpcEndpoint:VpcEndpoint"
VPC_ENDPOINT_POLICY: Final = "aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy"

JOB_NETWORKS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    TRAINING_JOB: (("", ""),),
    TUNING_JOB: (("trainingJobDefinition", ""), ("trainingJobDefinitions", "")),
    JOB_DEFINITION: (("", "networkConfig."),),
    MONITORING_SCHEDULE: (("monitoringScheduleConfig.monitoringJobDefinition", "networkConfig."),),
}
"""Type that runs jobs -> (block that may be there several times, where in it the network's settings
stand)."""

NVME_INSTANCE_TYPES: Final = (
    "ml.*d.*",
    "ml.*dn.*",
    "ml.*ad.*",
    "ml.*de.*",
    "ml.dl1.*",
    "ml.g5.*",
    "ml.g6.*",
    "ml.g6e.*",
    "ml.p5.*",
    "ml.p5e.*",
    "ml.p5en.*",
    "ml.p6*",
    "ml.trn1.*",
    "ml.trn1n.*",
    "ml.trn2.*",
)
"""Instance types with local NVMe storage, encrypted by the hardware: AWS refuses a volume key.

The patterns of the ``d`` sizes (m5d, c6id, g4dn, p4de, g4ad …) need no entry for each family.
Source: SageMaker API, EndpointConfig and ResourceConfig (KmsKeyId, VolumeKmsKeyId); EC2 instance
store volumes.
"""


def has_nvme(instance_type: str) -> bool:
    """Whether an ML instance type stores on local NVMe, so that it takes no volume key."""
    return any(fnmatchcase(instance_type, pattern) for pattern in NVME_INSTANCE_TYPES)


def endpoint_service(service_name: str) -> str:
    """Service of a VPC endpoint, such as ``ecr.api`` for ``com.amazonaws.eu-west-1.ecr.api``.

    Studio's own, ``aws.sagemaker.<region>.studio``, become ``studio`` and ``notebook``.
    """
    return service_name.split(".", 3)[-1]


def document(*statements: Mapping[str, Any]) -> str:
    """Policy document as JSON text, for examples."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
