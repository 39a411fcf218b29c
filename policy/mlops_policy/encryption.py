"""Encryption: customer keys everywhere, and nothing without TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from pulumi_policy import EnforcementLevel, Severity

from mlops_policy.aws import (
    BUCKET_ENCRYPTION,
    BUCKET_POLICY,
    CODEBUILD,
    DOMAIN,
    ENDPOINT_CONFIGURATION,
    FEATURE_GROUP,
    JOB_DEFINITION,
    JOB_NETWORKS,
    KEY,
    LOG_GROUP,
    MONITORING_SCHEDULE,
    NOTEBOOK,
    PARAMETER,
    PIPELINE,
    QUEUE,
    QUEUE_POLICY,
    REPOSITORY,
    SECRET,
    TOPIC,
    TOPIC_POLICY,
    TRAIL,
    TRAINING_JOB,
    TUNING_JOB,
    document,
    has_nvme,
)
from mlops_policy.iam import ANY, CALLER_KEYS
from mlops_policy.keys import KEY_INPUTS, inputs_of, missing
from mlops_policy.model import Example, Family, Options, Resource, strings
from mlops_policy.pipelines import instance_types, jobs

FAMILY = Family("encryption", "Customer keys wherever AWS takes one, and TLS on every way.")

_KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_WHY_CUSTOMER_KEY = (
    "Only a customer key has a policy that the company writes, and can be taken away."
)


def _missing_keys(resource: Resource, _options: Options) -> Iterator[str]:
    for path in missing(resource, inputs_of(resource.type)):
        yield f"{path} is not set, so it is not encrypted by a customer key"


for _group, _bad, _good in (
    (
        "sagemaker",
        [
            Example(DOMAIN, {"authMode": "IAM"}),
            Example(ENDPOINT_CONFIGURATION, {"productionVariants": [{"modelName": "m"}]}),
            Example(
                ENDPOINT_CONFIGURATION,
                {"kmsKeyArn": _KEY_ARN, "dataCaptureConfig": {"enableCapture": True}},
            ),
            Example(FEATURE_GROUP, {"onlineStoreConfig": {"enableOnlineStore": True}}),
            Example(NOTEBOOK, {"instanceType": "ml.t3.medium"}),
        ],
        [
            Example(DOMAIN, {"kmsKeyId": _KEY_ARN}),
            Example(
                ENDPOINT_CONFIGURATION, {"productionVariants": [{"instanceType": "ml.g5.xlarge"}]}
            ),
            Example(
                FEATURE_GROUP,
                {
                    "onlineStoreConfig": {"securityConfig": {"kmsKeyId": _KEY_ARN}},
                    "offlineStoreConfig": {"s3StorageConfig": {"kmsKeyId": _KEY_ARN}},
                },
            ),
        ],
    ),
    (
        "storage",
        [
            Example(REPOSITORY, {"name": "images"}),
            Example(REPOSITORY, {"encryptionConfigurations": [{"encryptionType": "AES256"}]}),
        ],
        [Example(REPOSITORY, {"encryptionConfigurations": [{"kmsKey": _KEY_ARN}]})],
    ),
    (
        "messaging",
        [Example(TOPIC, {"name": "alarms"}), Example(QUEUE, {"name": "dead-letters"})],
        [Example(TOPIC, {"kmsMasterKeyId": _KEY_ARN})],
    ),
    (
        "logs",
        [Example(LOG_GROUP, {"retentionInDays": 365}), Example(TRAIL, {"name": "trail"})],
        [Example(LOG_GROUP, {"kmsKeyId": _KEY_ARN})],
    ),
    (
        "delivery",
        [
            Example(CODEBUILD, {"name": "build"}),
            Example(SECRET, {"name": "token"}),
            Example(PARAMETER, {"type": "SecureString"}),
        ],
        [
            Example(CODEBUILD, {"encryptionKey": _KEY_ARN}),
            Example(PARAMETER, {"type": "String", "value": "vpc-1"}),
        ],
    ),
):
    FAMILY.resource(
        f"{_group}-customer-key",
        types=KEY_INPUTS[_group],
        severity=Severity.HIGH,
        title=f"Resources that keep data ({_group}) are encrypted by a customer key.",
        why=_WHY_CUSTOMER_KEY,
        fix="set the named property to the ARN of a customer key",
        bad=_bad,
        good=_good,
    )(_missing_keys)


@FAMILY.resource(
    "bucket-customer-key",
    types=[BUCKET_ENCRYPTION],
    severity=Severity.HIGH,
    title="Buckets are encrypted by a customer key.",
    why=_WHY_CUSTOMER_KEY,
    fix='set sseAlgorithm to "aws:kms" and kmsMasterKeyId to the ARN of a customer key',
    bad=[
        Example(
            BUCKET_ENCRYPTION,
            {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]},
        ),
        Example(
            BUCKET_ENCRYPTION,
            {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}}]},
        ),
    ],
    good=[
        Example(
            BUCKET_ENCRYPTION,
            {
                "rules": [
                    {
                        "applyServerSideEncryptionByDefault": {
                            "sseAlgorithm": "aws:kms",
                            "kmsMasterKeyId": _KEY_ARN,
                        }
                    }
                ]
            },
        ),
        Example(
            BUCKET_ENCRYPTION,
            {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]},
            "hub-access-logs-encryption",
        ),
    ],
    options={
        "sse_s3_buckets": strings(
            "Names (patterns with `*`) of targets of S3 server access logs, which S3 delivers only "
            "to buckets with its own keys.",
            ["*access-logs*"],
        )
    },
)
def _bucket_customer_key(encryption: Resource, options: Options) -> Iterator[str]:
    for rule in encryption.blocks("rules"):
        block = "applyServerSideEncryptionByDefault"
        has_key = rule.has(f"{block}.kmsMasterKeyId")
        if has_key and rule.get(f"{block}.sseAlgorithm") in ("aws:kms", "aws:kms:dsse"):
            continue
        # Asked last: in a preview the bucket's name is often not known.
        if not encryption.named(options["sse_s3_buckets"], "bucket"):
            yield "its objects are not encrypted by a customer key"


_ALL_KEY_TYPES = [type_ for group in KEY_INPUTS.values() for type_ in group]


@FAMILY.resource(
    "no-aws-managed-key",
    types=_ALL_KEY_TYPES,
    severity=Severity.HIGH,
    title="What is given as a customer key is none of AWS's own keys.",
    why="alias/aws/... names a key whose policy nobody in the company can change.",
    fix="name a customer key",
    bad=[Example(TOPIC, {"kmsMasterKeyId": "alias/aws/sns"})],
    good=[Example(TOPIC, {"kmsMasterKeyId": _KEY_ARN})],
)
def _no_aws_managed_key(resource: Resource, _options: Options) -> Iterator[str]:
    for entry in inputs_of(resource.type):
        for block in resource.blocks(entry.block):
            if block.has(entry.key) and "alias/aws/" in str(block.get(entry.key)):
                yield f"{entry.path} names a key of AWS, {block.get(entry.key)}"


@FAMILY.resource(
    "nvme-no-volume-key",
    types=[ENDPOINT_CONFIGURATION, TRAINING_JOB],
    severity=Severity.MEDIUM,
    title="Instances with local NVMe storage are given no volume key.",
    why="Their disks are encrypted by the hardware, and AWS refuses the request that names a key.",
    fix="leave the volume key out, or choose an instance type with EBS volumes",
    bad=[
        Example(
            ENDPOINT_CONFIGURATION,
            {"kmsKeyArn": _KEY_ARN, "productionVariants": [{"instanceType": "ml.g5.xlarge"}]},
        ),
        Example(
            TRAINING_JOB,
            {"resourceConfig": {"instanceType": "ml.p4d.24xlarge", "volumeKmsKeyId": _KEY_ARN}},
        ),
    ],
    good=[
        Example(
            ENDPOINT_CONFIGURATION,
            {"kmsKeyArn": _KEY_ARN, "productionVariants": [{"instanceType": "ml.m5.large"}]},
        ),
    ],
)
def _nvme_no_volume_key(resource: Resource, _options: Options) -> Iterator[str]:
    if resource.type == TRAINING_JOB:
        with_key = [b for b in resource.blocks("resourceConfig") if b.has("volumeKmsKeyId")]
    else:
        with_key = resource.blocks("productionVariants") if resource.has("kmsKeyArn") else []
    for block in with_key:
        instance_type = block.get("instanceType", "")
        if has_nvme(instance_type):
            yield f"{instance_type} takes no volume key"


def _train_step(**cluster: Any) -> Example:
    arguments = {
        "OutputDataConfig": {"S3OutputPath": "s3://models", "KmsKeyId": _KEY_ARN},
        "ResourceConfig": {"InstanceCount": 1, **cluster},
    }
    steps = [{"Name": "Train", "Type": "Training", "Arguments": arguments}]
    return Example(PIPELINE, {"pipelineDefinition": json.dumps({"Steps": steps})})


@FAMILY.resource(
    "pipeline-jobs-customer-key",
    types=[PIPELINE],
    severity=Severity.HIGH,
    title="The jobs of a SageMaker pipeline encrypt volumes and results by a customer key.",
    why=_WHY_CUSTOMER_KEY,
    fix="set VolumeKmsKeyId where the step has instances, and KmsKeyId where it has outputs",
    bad=[_train_step(InstanceType="ml.m5.large")],
    good=[
        _train_step(InstanceType="ml.m5.large", VolumeKmsKeyId=_KEY_ARN),
        _train_step(InstanceType="ml.g5.xlarge"),
    ],
)
def _pipeline_jobs_key(pipeline: Resource, _options: Options) -> Iterator[str]:
    for job in jobs(pipeline):
        if any(not output.get("KmsKeyId") for output in job.outputs):
            yield f"step {job.name} ({job.kind}) writes results without a customer key"
        for cluster in job.clusters:
            # A pipeline parameter stands there as an object: then the type is not known.
            kinds = instance_types(cluster)
            nvme = kinds and all(isinstance(kind, str) and has_nvme(kind) for kind in kinds)
            if not cluster.get("VolumeKmsKeyId") and not nvme:
                yield f"step {job.name} ({job.kind}) has volumes without a customer key"


_TRAFFIC = "enableInterContainerTrafficEncryption"


@FAMILY.resource(
    "job-traffic-encrypted",
    types=[*JOB_NETWORKS, PIPELINE],
    severity=Severity.HIGH,
    title="Jobs encrypt what their containers send to each other.",
    why="Distributed training sends the data itself from instance to instance, and the roles of "
    "people and pipelines are refused a job that sends it in the clear.",
    fix=f"set {_TRAFFIC} to true, where the job's network settings are",
    bad=[
        Example(TRAINING_JOB, {_TRAFFIC: False}),
        Example(TUNING_JOB, {"trainingJobDefinitions": [{_TRAFFIC: True}, {}]}),
        Example(JOB_DEFINITION, {"networkConfig": {"enableNetworkIsolation": True}}),
        _train_step(InstanceType="ml.m5.large"),
    ],
    good=[
        Example(TRAINING_JOB, {_TRAFFIC: True}),
        Example(TUNING_JOB, {"trainingJobDefinition": {_TRAFFIC: True}}),
        Example(JOB_DEFINITION, {"networkConfig": {_TRAFFIC: True}}),
        Example(
            MONITORING_SCHEDULE, {"monitoringScheduleConfig": {"monitoringType": "DataQuality"}}
        ),
    ],
)
def _job_traffic(resource: Resource, _options: Options) -> Iterator[str]:
    if resource.type == PIPELINE:
        for job in jobs(resource):
            plain = any(not n.get(_TRAFFIC[0].upper() + _TRAFFIC[1:]) for n in job.networks)
            if job.takes_traffic_encryption and plain:
                yield f"step {job.name} ({job.kind}) sends data between containers in the clear"
        return
    for path, network in JOB_NETWORKS[resource.type]:
        for block in resource.blocks(path):
            if not block.get(f"{network}{_TRAFFIC}", False):
                place = f"{path}.{network}{_TRAFFIC}".lstrip(".")
                yield f"{place} is not true: its containers talk in the clear"


def _rotates(spec: str, usage: str) -> bool:
    return spec == "SYMMETRIC_DEFAULT" and usage == "ENCRYPT_DECRYPT"


def _turn_rotation_on(
    _resource: Resource, key: MutableMapping[str, Any], _options: Options
) -> bool:
    spec = key.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT")
    usage = key.get("keyUsage", "ENCRYPT_DECRYPT")
    # Only what is absent or false: an unknown value is a marker string here.
    if not _rotates(spec, usage) or key.get("enableKeyRotation", False) is not False:
        return False
    key["enableKeyRotation"] = True
    return True


@FAMILY.resource(
    "key-rotation",
    types=[KEY],
    severity=Severity.HIGH,
    title="Customer keys rotate every year.",
    why="Rotation bounds how much data one key material has encrypted.",
    fix="set enableKeyRotation to true",
    bad=[Example(KEY, {"description": "data"}), Example(KEY, {"enableKeyRotation": False})],
    good=[
        Example(KEY, {"enableKeyRotation": True}),
        Example(KEY, {"customerMasterKeySpec": "RSA_2048", "keyUsage": "SIGN_VERIFY"}),
    ],
    level=EnforcementLevel.REMEDIATE,
    remedy=_turn_rotation_on,
)
def _key_rotation(key: Resource, _options: Options) -> Iterator[str]:
    if key.get("enableKeyRotation", False):
        return
    spec = key.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT")
    if _rotates(spec, key.get("keyUsage", "ENCRYPT_DECRYPT")):
        yield "the key does not rotate"


_ROOT = {
    "Sid": "Account",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
    "Action": "kms:*",
    "Resource": "*",
}
KEY_POLICY = "aws:kms/keyPolicy:KeyPolicy"


@FAMILY.resource(
    "key-policy-closed",
    types=[KEY, KEY_POLICY],
    severity=Severity.CRITICAL,
    title="No key policy is open to the world.",
    why="Whoever may use the key reads what it protects, from any account.",
    fix="name principals, or bind the statement with aws:PrincipalOrgID, aws:PrincipalAccount or "
    "kms:CallerAccount",
    bad=[
        Example(
            KEY,
            {
                "policy": document(
                    {"Sid": "All", "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt"}
                )
            },
        )
    ],
    good=[Example(KEY, {"policy": document(_ROOT)})],
)
def _key_policy_closed(key: Resource, _options: Options) -> Iterator[str]:
    policy = key.document("policy")
    for statement in policy.allows if policy else ():
        if statement.not_principals or (
            statement.any_principal and not statement.bound_by(CALLER_KEYS)
        ):
            yield f"{statement.label} of the key policy allows everybody"


@FAMILY.resource(
    "key-policy-present",
    types=[KEY],
    severity=Severity.MEDIUM,
    title="A customer key is made with a policy of its own.",
    why="The default policy hands the key to every IAM policy of the account.",
    fix="set policy",
    bad=[Example(KEY, {"enableKeyRotation": True})],
    good=[Example(KEY, {"policy": document(_ROOT)})],
)
def _key_policy_present(key: Resource, _options: Options) -> Iterator[str]:
    if not key.has("policy"):
        yield "it gets the default key policy"


_UNDER_TLS: Mapping[str, str] = {
    BUCKET_POLICY: f"s3:{ANY}",
    QUEUE_POLICY: f"sqs:{ANY}",
    TOPIC_POLICY: "sns:Publish",
}
"""Type -> what is denied without TLS. A topic's policy takes no ``sns:*``."""


def _tls(action: str) -> str:
    return document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": action,
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


_READ = document(
    {
        "Sid": "Read",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::acme-data/*",
    }
)


@FAMILY.resource(
    "tls-only",
    types=_UNDER_TLS,
    severity=Severity.HIGH,
    title="Policies of buckets, topics and queues deny requests without TLS.",
    why="Else credentials and data may go over the wire in the clear.",
    fix="add a statement that denies everybody every action on the resource (for a topic: "
    'sns:Publish) when aws:SecureTransport is "false" (for a bucket: on the bucket and all its '
    "objects)",
    bad=[
        Example(BUCKET_POLICY, {"policy": _READ}),
        Example(BUCKET_POLICY, {"policy": _tls("s3:List*")}),
    ],
    good=[Example(BUCKET_POLICY, {"policy": _tls("s3:*")})],
)
def _tls_only(resource: Resource, _options: Options) -> Iterator[str]:
    policy = resource.document("policy")
    if policy is None or not policy.tls_only(_UNDER_TLS[resource.type]):
        yield "its policy lets requests without TLS through"


@FAMILY.resource(
    "image-repository-scanned",
    types=[REPOSITORY],
    severity=Severity.HIGH,
    title="Image repositories scan what is pushed and never change a tag.",
    why="A tag that can be moved makes an approved model run an image that nobody approved.",
    fix='set imageTagMutability to "IMMUTABLE" and imageScanningConfiguration.scanOnPush to true',
    bad=[
        Example(REPOSITORY, {"imageTagMutability": "IMMUTABLE"}),
        Example(REPOSITORY, {"imageScanningConfiguration": {"scanOnPush": True}}),
    ],
    good=[
        Example(
            REPOSITORY,
            {
                "imageTagMutability": "IMMUTABLE",
                "imageScanningConfiguration": {"scanOnPush": True},
            },
        )
    ],
)
def _repository_scanned(repository: Resource, _options: Options) -> Iterator[str]:
    if not repository.get("imageScanningConfiguration.scanOnPush", False):
        yield "images are not scanned when they are pushed"
    if not str(repository.get("imageTagMutability", "MUTABLE")).startswith("IMMUTABLE"):
        yield "tags can be moved to other images"


_SECRET_WORDS = ("*password*", "*secret*", "*token*", "*private-key*", "*api-key*")


@FAMILY.resource(
    "secret-parameters-encrypted",
    types=[PARAMETER],
    severity=Severity.HIGH,
    title="Parameters that are named like secrets are SecureStrings.",
    why="A plain parameter shows its value to everyone who may list parameters.",
    fix='set type to "SecureString" and keyId to a customer key, or use a Secrets Manager secret',
    bad=[Example(PARAMETER, {"name": "/acme/github/token", "type": "String"})],
    good=[
        Example(PARAMETER, {"name": "/acme/github/token", "type": "SecureString"}),
        Example(PARAMETER, {"name": "/acme/vpc/id", "type": "String"}),
    ],
    options={"names": strings("Names (patterns with `*`) that say secret.", _SECRET_WORDS)},
)
def _secret_parameters(parameter: Resource, options: Options) -> Iterator[str]:
    if parameter.get("type") != "SecureString" and parameter.named(options["names"], "name"):
        yield "it is named like a secret and kept in the clear"


EBS_DEFAULT = "aws:ebs/encryptionByDefault:EncryptionByDefault"


@FAMILY.resource(
    "volumes-encrypted-by-default",
    types=[EBS_DEFAULT],
    severity=Severity.HIGH,
    title="Encryption of new volumes is on in the account.",
    why="What is started by hand or by a service is encrypted as well.",
    fix="set enabled to true, or leave it out",
    bad=[Example(EBS_DEFAULT, {"enabled": False})],
    good=[Example(EBS_DEFAULT, {"enabled": True}), Example(EBS_DEFAULT)],
)
def _volumes_by_default(setting: Resource, _options: Options) -> Iterator[str]:
    if not setting.get("enabled", True):
        yield "encryption by default is turned off"


VOLUME = "aws:ebs/volume:Volume"
FILE_SYSTEM = "aws:efs/fileSystem:FileSystem"


@FAMILY.resource(
    "volumes-encrypted",
    types=[VOLUME, FILE_SYSTEM],
    severity=Severity.HIGH,
    title="Volumes and file systems are encrypted.",
    why="A key alone changes nothing while encryption is off.",
    fix="set encrypted to true",
    bad=[Example(VOLUME, {"size": 100}), Example(FILE_SYSTEM, {"encrypted": False})],
    good=[Example(VOLUME, {"encrypted": True, "kmsKeyId": _KEY_ARN})],
)
def _volumes_encrypted(volume: Resource, _options: Options) -> Iterator[str]:
    if not volume.get("encrypted", False):
        yield "it is not encrypted"


WORKGROUP = "aws:athena/workgroup:Workgroup"


@FAMILY.resource(
    "athena-settings-enforced",
    types=[WORKGROUP],
    severity=Severity.HIGH,
    title="A work group's encryption cannot be overridden by a query.",
    why="Clients may send settings of their own, which win unless the work group enforces its own.",
    fix="set configuration.enforceWorkgroupConfiguration to true, and encryptionOption to "
    '"SSE_KMS" or "CSE_KMS"',
    bad=[
        Example(WORKGROUP, {"configuration": {"enforceWorkgroupConfiguration": False}}),
        Example(
            WORKGROUP,
            {
                "configuration": {
                    "resultConfiguration": {
                        "encryptionConfiguration": {"encryptionOption": "SSE_S3"}
                    }
                }
            },
        ),
    ],
    good=[
        Example(
            WORKGROUP,
            {
                "configuration": {
                    "resultConfiguration": {
                        "encryptionConfiguration": {
                            "encryptionOption": "SSE_KMS",
                            "kmsKeyArn": _KEY_ARN,
                        }
                    }
                }
            },
        )
    ],
)
def _athena_enforced(group: Resource, _options: Options) -> Iterator[str]:
    if not group.get("configuration.enforceWorkgroupConfiguration", True):
        yield "queries may override its settings"
    for block in group.blocks("configuration.resultConfiguration.encryptionConfiguration"):
        if block.get("encryptionOption") not in ("SSE_KMS", "CSE_KMS"):
            yield f"results are encrypted by {block.get('encryptionOption')}, not a customer key"


GLUE_CONFIGURATION = "aws:glue/securityConfiguration:SecurityConfiguration"
_GLUE_MODES = {
    "cloudwatchEncryption": ("cloudwatchEncryptionMode", "SSE-KMS"),
    "jobBookmarksEncryption": ("jobBookmarksEncryptionMode", "CSE-KMS"),
    "s3Encryption": ("s3EncryptionMode", "SSE-KMS"),
}


def _glue(logs: str) -> Example:
    return Example(
        GLUE_CONFIGURATION,
        {
            "encryptionConfiguration": {
                "cloudwatchEncryption": {"cloudwatchEncryptionMode": logs},
                "jobBookmarksEncryption": {"jobBookmarksEncryptionMode": "CSE-KMS"},
                "s3Encryption": {"s3EncryptionMode": "SSE-KMS"},
            }
        },
    )


@FAMILY.resource(
    "glue-encryption-modes",
    types=[GLUE_CONFIGURATION],
    severity=Severity.HIGH,
    title="Glue's security configuration turns KMS on for logs, bookmarks and data.",
    why="Each part is off until its mode says otherwise, with a key given or not.",
    fix="set the modes to SSE-KMS, CSE-KMS (bookmarks) and SSE-KMS",
    bad=[_glue("DISABLED")],
    good=[_glue("SSE-KMS")],
)
def _glue_modes(configuration: Resource, _options: Options) -> Iterator[str]:
    for part, (key, mode) in _GLUE_MODES.items():
        found = configuration.get(f"encryptionConfiguration.{part}.{key}", "DISABLED")
        if found != mode:
            yield f"{part} is {found}"
