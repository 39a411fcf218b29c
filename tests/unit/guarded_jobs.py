"""Requests for SageMaker's jobs that keep to every guard, and how each guard is broken in them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.personas import Guard
from localcloud.provider import schema, shapes


@dataclass(frozen=True)
class Placed:
    """What an account has for jobs: ids and ARNs that its guards allow."""

    role: str
    subnets: list[str]
    security_groups: list[str]
    volume_key: str
    output_key: str
    instance_type: str = "ml.m5.xlarge"


@dataclass(frozen=True)
class Guarded:
    """One action that starts or defines something to run.

    Attributes:
        operation: Name in SageMaker's API.
        kind: Of the resource that it makes, as in its ARN.
        request: Parameters that keep to every guard.
        places: Guard -> the members that keep to it, as dotted paths into the request.
        type: Pulumi type of the same thing; empty where AWS's provider has none.
        step: Type of the step of a pipeline that asks for it; empty where there is none.
        renamed: Input of the type -> the API's member, where they differ by more than case.
    """

    operation: str
    kind: str
    request: dict[str, Any]
    places: Mapping[Guard, tuple[str, ...]]
    type: str = ""
    step: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])

    def resource(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request as the inputs of its Pulumi type."""
        known = schema.schema(self.type)
        assert known is not None
        shape: Any = shapes.operation("sagemaker", self.operation).input_shape
        return shapes.properties(dict(request), shape, known.inputs, self.renamed)

    def pipeline(self, request: Mapping[str, Any]) -> str:
        """A request as the one step of a pipeline's definition."""
        step = {"Name": "Job", "Type": self.step, "Arguments": dict(request)}
        return json.dumps({"Version": "2020-12-01", "Steps": [step]})

    def broken(self, guard: Guard) -> Iterator[tuple[str, dict[str, Any]]]:
        """What was changed to break a guard, and the request then."""
        for path in self.places.get(guard, ()):
            for said, value in BREAKS[guard]:
                request = copy.deepcopy(self.request)
                *above, last = path.split(".")
                block: Any = request
                for part in above:
                    block = block[int(part)] if part.isdigit() else block[part]
                if value is None:
                    del block[last]
                else:
                    block[last] = value
                yield f"{path} {said}", request


BREAKS: Mapping[Guard, tuple[tuple[str, Any], ...]] = {
    "vpc": (("is absent", None),),
    "volume": (("is absent", None),),
    "output": (("is absent", None),),
    "instance": (("is a large one", "ml.p3.16xlarge"),),
    "isolation": (("is absent", None), ("is off", False)),
    "traffic": (("is absent", None), ("is off", False)),
}
"""Guard -> what is said instead of what keeps to it; None takes it out."""


_TRAINING: Mapping[Guard, tuple[str, ...]] = {
    "vpc": ("VpcConfig",),
    "volume": ("ResourceConfig.VolumeKmsKeyId",),
    "output": ("OutputDataConfig.KmsKeyId",),
    "instance": ("ResourceConfig.InstanceType",),
    "isolation": ("EnableNetworkIsolation",),
    "traffic": ("EnableInterContainerTrafficEncryption",),
}


def guarded(at: Placed) -> list[Guarded]:
    """Every action whose guards can be asked for by one request."""
    vpc = {"Subnets": at.subnets, "SecurityGroupIds": at.security_groups}
    instances = {"InstanceType": at.instance_type, "InstanceCount": 1, "VolumeSizeInGB": 10,
                 "VolumeKmsKeyId": at.volume_key}  # fmt: skip
    network = {
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "VpcConfig": vpc,
    }
    image = "222222222222.dkr.ecr.eu-west-1.amazonaws.com/training:1"
    training: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": at.role,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models", "KmsKeyId": at.output_key},
        "ResourceConfig": instances,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **network,
    }
    local = "/opt/ml/processing/out"
    to_s3 = {"S3Uri": "s3://bucket/out", "LocalPath": local, "S3UploadMode": "EndOfJob"}
    return [
        Guarded(
            "CreateTrainingJob",
            "training-job",
            {"TrainingJobName": "guarded", **training},
            _TRAINING,
            type="aws:sagemaker/trainingJob:TrainingJob",
            step="Training",
        ),
        Guarded(
            "CreateHyperParameterTuningJob",
            "hyper-parameter-tuning-job",
            {
                "HyperParameterTuningJobName": "guarded",
                "HyperParameterTuningJobConfig": {
                    "Strategy": "Random",
                    "ResourceLimits": {"MaxParallelTrainingJobs": 1},
                },
                "TrainingJobDefinitions": [{"DefinitionName": "first", **training}],
            },
            {
                guard: tuple(f"TrainingJobDefinitions.0.{path}" for path in paths)
                for guard, paths in _TRAINING.items()
            },
            type="aws:sagemaker/hyperParameterTuningJob:HyperParameterTuningJob",
            step="Tuning",
            renamed={
                "name": "HyperParameterTuningJobName",
                "config": "HyperParameterTuningJobConfig",
            },
        ),
        Guarded(
            "CreateProcessingJob",
            "processing-job",
            {
                "ProcessingJobName": "guarded",
                "AppSpecification": {"ImageUri": image},
                "RoleArn": at.role,
                "ProcessingResources": {"ClusterConfig": instances},
                "ProcessingOutputConfig": {
                    "KmsKeyId": at.output_key,
                    "Outputs": [{"OutputName": "out", "S3Output": to_s3}],
                },
                "NetworkConfig": network,
            },
            {
                "vpc": ("NetworkConfig.VpcConfig",),
                "volume": ("ProcessingResources.ClusterConfig.VolumeKmsKeyId",),
                "output": ("ProcessingOutputConfig.KmsKeyId",),
                "instance": ("ProcessingResources.ClusterConfig.InstanceType",),
                "isolation": ("NetworkConfig.EnableNetworkIsolation",),
                "traffic": ("NetworkConfig.EnableInterContainerTrafficEncryption",),
            },
            step="Processing",
        ),
        Guarded(
            "CreateDataQualityJobDefinition",
            "data-quality-job-definition",
            {
                "JobDefinitionName": "guarded",
                "DataQualityAppSpecification": {"ImageUri": image},
                "DataQualityJobInput": {
                    "EndpointInput": {"EndpointName": "abalone", "LocalPath": local}
                },
                "DataQualityJobOutputConfig": {
                    "KmsKeyId": at.output_key,
                    "MonitoringOutputs": [{"S3Output": {**to_s3, "S3UploadMode": "Continuous"}}],
                },
                "JobResources": {"ClusterConfig": instances},
                "NetworkConfig": network,
                "RoleArn": at.role,
            },
            {
                "vpc": ("NetworkConfig.VpcConfig",),
                "volume": ("JobResources.ClusterConfig.VolumeKmsKeyId",),
                "output": ("DataQualityJobOutputConfig.KmsKeyId",),
                "instance": ("JobResources.ClusterConfig.InstanceType",),
                "isolation": ("NetworkConfig.EnableNetworkIsolation",),
                "traffic": ("NetworkConfig.EnableInterContainerTrafficEncryption",),
            },
            type="aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition",
            renamed={"name": "JobDefinitionName"},
        ),
        Guarded(
            "CreateAutoMLJob",
            "automl-job",
            {
                "AutoMLJobName": "guarded",
                "InputDataConfig": [
                    {
                        "DataSource": {
                            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}
                        },
                        "TargetAttributeName": "rings",
                    }
                ],
                "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "KmsKeyId": at.output_key},
                "AutoMLJobConfig": {
                    "SecurityConfig": {
                        "VolumeKmsKeyId": at.volume_key,
                        "EnableInterContainerTrafficEncryption": True,
                        "VpcConfig": vpc,
                    }
                },
                "RoleArn": at.role,
            },
            {
                "vpc": ("AutoMLJobConfig.SecurityConfig.VpcConfig",),
                "volume": ("AutoMLJobConfig.SecurityConfig.VolumeKmsKeyId",),
                "output": ("OutputDataConfig.KmsKeyId",),
                "traffic": (
                    "AutoMLJobConfig.SecurityConfig.EnableInterContainerTrafficEncryption",
                ),
            },
            step="AutoML",
        ),
        Guarded(
            "CreateTransformJob",
            "transform-job",
            {
                "TransformJobName": "guarded",
                "ModelName": "abalone",
                "TransformInput": {
                    "DataSource": {
                        "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}
                    }
                },
                "TransformOutput": {"S3OutputPath": "s3://bucket/out", "KmsKeyId": at.output_key},
                "TransformResources": {
                    "InstanceType": at.instance_type,
                    "InstanceCount": 1,
                    "VolumeKmsKeyId": at.volume_key,
                },
            },
            {
                "volume": ("TransformResources.VolumeKmsKeyId",),
                "output": ("TransformOutput.KmsKeyId",),
                "instance": ("TransformResources.InstanceType",),
            },
            step="Transform",
        ),
        Guarded(
            "CreateModel",
            "model",
            {
                "ModelName": "guarded",
                "PrimaryContainer": {"Image": image},
                "ExecutionRoleArn": at.role,
                "VpcConfig": vpc,
                "EnableNetworkIsolation": True,
            },
            {"vpc": ("VpcConfig",), "isolation": ("EnableNetworkIsolation",)},
            type="aws:sagemaker/model:Model",
            step="Model",
            renamed={"name": "ModelName"},
        ),
        Guarded(
            "CreateEndpointConfig",
            "endpoint-config",
            {
                "EndpointConfigName": "guarded",
                "KmsKeyId": at.volume_key,
                "ProductionVariants": [
                    {
                        "VariantName": "all",
                        "ModelName": "abalone",
                        "InstanceType": at.instance_type,
                        "InitialInstanceCount": 2,
                    }
                ],
            },
            {"volume": ("KmsKeyId",), "instance": ("ProductionVariants.0.InstanceType",)},
            type="aws:sagemaker/endpointConfiguration:EndpointConfiguration",
            renamed={"name": "EndpointConfigName", "kmsKeyArn": "KmsKeyId"},
        ),
    ]
