"""Where resource types take a customer key: the table behind the encryption rules.

A test walks the SDK for inputs that look like keys, so that a type that gets one, or comes into
use, cannot be forgotten: it stands in :data:`KEY_INPUTS` or, with the reason, in
:data:`NOT_NEEDED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mlops_policy.aws import (
    CODEBUILD,
    DOMAIN,
    ENDPOINT_CONFIGURATION,
    FEATURE_GROUP,
    FUNCTION,
    JOB_DEFINITION,
    KEY,
    LOG_GROUP,
    MONITORING_SCHEDULE,
    NOTEBOOK,
    PARAMETER,
    QUEUE,
    REPOSITORY,
    SECRET,
    TOPIC,
    TRAIL,
    TRAINING_JOB,
    TUNING_JOB,
    USER_PROFILE,
    has_nvme,
)
from mlops_policy.values import Block


@dataclass(frozen=True)
class KeyInput:
    """One input that takes a customer key."""

    key: str
    """Path of the input in its block."""
    block: str = ""
    """Path of the block; it may be a list."""
    needed: bool = False
    """Whether the block itself must be there: without it AWS uses a key of its own."""
    unless: Callable[[Block], bool] | None = None
    """Tells blocks that take no key."""

    @property
    def path(self) -> str:
        """Path of the input in the resource."""
        return f"{self.block}.{self.key}" if self.block else self.key


def _nvme(block: Block) -> bool:
    return has_nvme(block.get("instanceType", ""))


def _nvme_variants(configuration: Block) -> bool:
    variants = configuration.blocks("productionVariants")
    return any(has_nvme(variant.get("instanceType", "")) for variant in variants)


def _sharing_off(sharing: Block) -> bool:
    return sharing.get("notebookOutputOption", "Disabled") == "Disabled"


def _plain_parameter(parameter: Block) -> bool:
    return parameter.get("type") != "SecureString"


def _no_environment(function: Block) -> bool:
    return not function.has("environment")


def _job_keys(block: str, output: str, resources: str) -> tuple[KeyInput, ...]:
    return (
        KeyInput("kmsKeyId", f"{block}{output}"),
        KeyInput("volumeKmsKeyId", f"{block}{resources}", unless=_nvme),
    )


KEY_INPUTS: Mapping[str, Mapping[str, tuple[KeyInput, ...]]] = {
    "sagemaker": {
        DOMAIN: (
            KeyInput("kmsKeyId"),
            KeyInput("s3KmsKeyId", "defaultUserSettings.sharingSettings", unless=_sharing_off),
            KeyInput("s3KmsKeyId", "defaultUserSettings.canvasAppSettings.workspaceSettings"),
        ),
        USER_PROFILE: (
            KeyInput("s3KmsKeyId", "userSettings.sharingSettings", unless=_sharing_off),
            KeyInput("s3KmsKeyId", "userSettings.canvasAppSettings.workspaceSettings"),
        ),
        FEATURE_GROUP: (
            KeyInput("securityConfig.kmsKeyId", "onlineStoreConfig"),
            KeyInput("s3StorageConfig.kmsKeyId", "offlineStoreConfig"),
        ),
        ENDPOINT_CONFIGURATION: (
            KeyInput("kmsKeyArn", unless=_nvme_variants),
            KeyInput("kmsKeyId", "dataCaptureConfig"),
            KeyInput("kmsKeyId", "asyncInferenceConfig.outputConfig"),
            KeyInput("kmsKeyId", "productionVariants.coreDumpConfig"),
            KeyInput("kmsKeyId", "shadowProductionVariants.coreDumpConfig"),
        ),
        NOTEBOOK: (KeyInput("kmsKeyId", unless=_nvme),),
        JOB_DEFINITION: (
            KeyInput("kmsKeyId", "dataQualityJobOutputConfig"),
            KeyInput("volumeKmsKeyId", "jobResources.clusterConfig", unless=_nvme),
        ),
        MONITORING_SCHEDULE: _job_keys(
            "monitoringScheduleConfig.monitoringJobDefinition.",
            "monitoringOutputConfig",
            "monitoringResources.clusterConfig",
        ),
        TRAINING_JOB: _job_keys("", "outputDataConfig", "resourceConfig"),
        TUNING_JOB: tuple(
            entry
            for block in ("trainingJobDefinition.", "trainingJobDefinitions.")
            for resources in ("resourceConfig", "hyperParameterTuningResourceConfig")
            for entry in _job_keys(block, "outputDataConfig", resources)
        ),
        "aws:sagemaker/labelingJob:LabelingJob": (
            KeyInput("kmsKeyId", "outputConfig"),
            KeyInput("volumeKmsKeyId", "labelingJobAlgorithmsConfig.labelingJobResourceConfig"),
        ),
        "aws:sagemaker/flowDefinition:FlowDefinition": (KeyInput("kmsKeyId", "outputConfig"),),
        "aws:sagemaker/deviceFleet:DeviceFleet": (KeyInput("kmsKeyId", "outputConfig"),),
        "aws:sagemaker/modelCard:ModelCard": (KeyInput("kmsKeyId", "securityConfig", needed=True),),
        "aws:datazone/domain:Domain": (KeyInput("kmsKeyIdentifier"),),
    },
    "storage": {
        REPOSITORY: (KeyInput("kmsKey", "encryptionConfigurations", needed=True),),
        "aws:ebs/volume:Volume": (KeyInput("kmsKeyId"),),
        "aws:ec2/instance:Instance": (
            KeyInput("kmsKeyId", "ebsBlockDevices"),
            KeyInput("kmsKeyId", "rootBlockDevice"),
        ),
        "aws:ebs/defaultKmsKey:DefaultKmsKey": (KeyInput("keyArn"),),
        "aws:efs/fileSystem:FileSystem": (KeyInput("kmsKeyId"),),
        "aws:dynamodb/table:Table": (
            KeyInput("kmsKeyArn", "serverSideEncryption", needed=True),
            KeyInput("kmsKeyArn", "replicas"),
        ),
        "aws:athena/workgroup:Workgroup": (
            KeyInput(
                "encryptionConfiguration.kmsKeyArn",
                "configuration.resultConfiguration",
                needed=True,
            ),
        ),
        "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings": (
            KeyInput(
                "encryptionAtRest.sseAwsKmsKeyId", "dataCatalogEncryptionSettings", needed=True
            ),
            KeyInput(
                "connectionPasswordEncryption.awsKmsKeyId",
                "dataCatalogEncryptionSettings",
                needed=True,
            ),
        ),
        "aws:glue/securityConfiguration:SecurityConfiguration": tuple(
            KeyInput(f"{part}.kmsKeyArn", "encryptionConfiguration", needed=True)
            for part in ("cloudwatchEncryption", "jobBookmarksEncryption", "s3Encryption")
        ),
        "aws:codeartifact/domain:Domain": (KeyInput("encryptionKey"),),
        "aws:backup/vault:Vault": (KeyInput("kmsKeyArn"),),
    },
    "messaging": {
        TOPIC: (KeyInput("kmsMasterKeyId"),),
        QUEUE: (KeyInput("kmsMasterKeyId"),),
        "aws:cloudwatch/eventBus:EventBus": (KeyInput("kmsKeyIdentifier"),),
        "aws:cloudwatch/eventArchive:EventArchive": (KeyInput("kmsKeyIdentifier"),),
        "aws:scheduler/schedule:Schedule": (KeyInput("kmsKeyArn"),),
        "aws:sfn/stateMachine:StateMachine": (
            KeyInput("kmsKeyId", "encryptionConfiguration", needed=True),
        ),
        "aws:kinesis/stream:Stream": (KeyInput("kmsKeyId"),),
    },
    "logs": {
        LOG_GROUP: (KeyInput("kmsKeyId"),),
        TRAIL: (KeyInput("kmsKeyId"),),
        "aws:cfg/deliveryChannel:DeliveryChannel": (KeyInput("s3KmsKeyArn"),),
        "aws:guardduty/publishingDestination:PublishingDestination": (KeyInput("kmsKeyArn"),),
    },
    "delivery": {
        CODEBUILD: (KeyInput("encryptionKey"),),
        "aws:codecommit/repository:Repository": (KeyInput("kmsKeyId"),),
        "aws:codepipeline/pipeline:Pipeline": (
            KeyInput("encryptionKey.id", "artifactStores", needed=True),
        ),
        FUNCTION: (KeyInput("kmsKeyArn", unless=_no_environment),),
        SECRET: (KeyInput("kmsKeyId"), KeyInput("kmsKeyId", "replicas")),
        PARAMETER: (KeyInput("keyId", unless=_plain_parameter),),
    },
}
"""Group -> resource type -> its inputs."""

_BUCKET_ENCRYPTION = "encrypted by BucketServerSideEncryptionConfiguration (bucket-customer-key)"
_SPARK = "of Spark and managed results, which the platform's work groups do not use"

NOT_NEEDED: Mapping[str, Mapping[str, str]] = {
    "aws:lambda/eventSourceMapping:EventSourceMapping": {
        "kmsKeyArn": "encrypts filter criteria, which say what is wanted and hold no data",
    },
    "aws:s3/bucket:Bucket": {
        "serverSideEncryptionConfiguration.rule.applyServerSideEncryptionByDefault."
        "kmsMasterKeyId": _BUCKET_ENCRYPTION,
        "replicationConfiguration.rules.destination.replicaKmsKeyId": _BUCKET_ENCRYPTION,
    },
    "aws:s3/bucketObjectv2:BucketObjectv2": {"kmsKeyId": _BUCKET_ENCRYPTION},
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
        "rules.applyServerSideEncryptionByDefault.kmsMasterKeyId": "bucket-customer-key",
    },
    KEY: {
        "customerMasterKeySpec": "says what kind of key this is",
        "xksKeyId": "names a key outside of AWS",
    },
    "aws:kms/keyPolicy:KeyPolicy": {"keyId": "says which key has the policy"},
    "aws:athena/workgroup:Workgroup": {
        "configuration.customerContentEncryptionConfiguration.kmsKey": _SPARK,
        "configuration.managedQueryResultsConfiguration.encryptionConfiguration.kmsKey": _SPARK,
        "configuration.monitoringConfiguration.managedLoggingConfiguration.kmsKey": _SPARK,
        "configuration.monitoringConfiguration.s3LoggingConfiguration.kmsKey": _SPARK,
    },
    FUNCTION: {"sourceKmsKeyArn": "the archive lies in a bucket, encrypted by the bucket's key"},
    QUEUE: {"kmsDataKeyReusePeriodSeconds": "a period"},
    "aws:sfn/stateMachine:StateMachine": {
        "encryptionConfiguration.kmsDataKeyReusePeriodSeconds": "a period"
    },
}
"""Resource type -> input that looks like a key -> why no rule asks for it."""


def inputs_of(type_: str) -> tuple[KeyInput, ...]:
    """The key inputs of a resource type."""
    return tuple(entry for group in KEY_INPUTS.values() for entry in group.get(type_, ()))


def missing(resource: Block, entries: tuple[KeyInput, ...]) -> Iterator[str]:
    """Paths of the key inputs that are not set.

    Raises:
        NotKnownYetError: a block on the way is not known.
    """
    for entry in entries:
        blocks = resource.blocks(entry.block)
        if not blocks and entry.needed:
            yield entry.path
        for block in blocks:
            # First what needs no values: an input that is set is fine whatever its block holds.
            if not block.has(entry.key) and not (entry.unless and entry.unless(block)):
                yield entry.path
