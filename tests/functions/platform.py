"""Hub and dev on the emulator, with the policies that the promotion function has to live with."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from functions.promotion.aws import Clients
from functions.promotion.events import Source
from functions.promotion.handler import Worker, make_worker, write_log
from functions.promotion.model_card import card_name
from functions.promotion.settings import Settings, read_settings
from tests.localcloud.emulators import DEV, HUB, REGION, Cloud, document

FRAMEWORK_ACCOUNT, ALGORITHMS_ACCOUNT = "763104351884", "141502667606"
MODELS, SOURCES, FOREIGN = "acme-governance-models", "acme-dev-models", "acme-dev-private"
LEDGER = "acme-governance-promotions"
FUNCTION_ROLE, READER_ROLE = "acme-governance-promotion", "acme-dev-promotion-reader"
FRAMEWORK_IMAGE = f"{FRAMEWORK_ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/xgboost:1.7-1"
LEASE_SECONDS = 960
GROUP_POLICY = Path(__file__).parent / "group_policy.json"


def function_statements(key: str, source_key: str, queue: str) -> list[dict[str, Any]]:
    """All that the function's own role may do: least privilege, as a deployment grants it."""
    here = f"{REGION}:{HUB}"
    return [
        {"Action": "sts:AssumeRole", "Resource": f"arn:aws:iam::{DEV}:role/{READER_ROLE}"},
        {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{SOURCES}/*"},
        {
            "Action": "s3:ListBucket",
            "Resource": [f"arn:aws:s3:::{SOURCES}", f"arn:aws:s3:::{MODELS}"],
        },
        {
            "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": f"arn:aws:s3:::{MODELS}/promoted/*",
        },
        {"Action": "kms:Decrypt", "Resource": source_key},
        {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key},
        {
            "Action": [
                "ecr:BatchGetImage",
                "ecr:BatchCheckLayerAvailability",
                "ecr:InitiateLayerUpload",
                "ecr:UploadLayerPart",
                "ecr:CompleteLayerUpload",
                "ecr:PutImage",
            ],
            "Resource": f"arn:aws:ecr:{here}:repository/acme-governance-*",
        },
        {
            "Action": [
                "sagemaker:DescribeModelPackageGroup",
                "sagemaker:CreateModelPackageGroup",
                "sagemaker:GetModelPackageGroupPolicy",
                "sagemaker:PutModelPackageGroupPolicy",
                "sagemaker:AddTags",
            ],
            "Resource": f"arn:aws:sagemaker:{here}:model-package-group/acme-governance-*",
        },
        {
            "Action": [
                "sagemaker:CreateModelPackage",
                "sagemaker:DescribeModelPackage",
                "sagemaker:ListModelPackages",
            ],
            "Resource": [
                f"arn:aws:sagemaker:{here}:model-package/acme-governance-*",
                f"arn:aws:sagemaker:{here}:model-package-group/acme-governance-*",
            ],
        },
        {
            "Action": [
                "sagemaker:CreateModelCard",
                "sagemaker:DescribeModelCard",
                "sagemaker:UpdateModelCard",
                "sagemaker:AddTags",
            ],
            "Resource": f"arn:aws:sagemaker:{here}:model-card/acme-governance-*",
        },
        {"Action": "dynamodb:UpdateItem", "Resource": f"arn:aws:dynamodb:{here}:table/{LEDGER}"},
        {"Action": "sqs:SendMessage", "Resource": queue},
    ]


def reader_statements() -> list[dict[str, Any]]:
    """All that the reader role may do in dev."""
    return [
        {
            "Action": "sagemaker:DescribeModelPackage",
            "Resource": f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/acme-dev-*",
        },
        {
            "Action": [
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutionSteps",
            ],
            "Resource": f"arn:aws:sagemaker:{REGION}:{DEV}:pipeline/*",
        },
        {
            "Action": ["codepipeline:GetPipelineExecution", "codepipeline:ListActionExecutions"],
            "Resource": f"arn:aws:codepipeline:{REGION}:{DEV}:acme-dev-*-build",
        },
        {
            "Action": "codebuild:BatchGetBuilds",
            "Resource": f"arn:aws:codebuild:{REGION}:{DEV}:project/acme-dev-*-build",
        },
        {
            "Action": "sagemaker:DescribeTrainingJob",
            "Resource": f"arn:aws:sagemaker:{REGION}:{DEV}:training-job/pipelines-*",
        },
        {
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": f"arn:aws:ecr:{REGION}:{DEV}:repository/acme-dev-*",
        },
    ]


def folder(group: str) -> str:
    """What keys of a group's artifacts begin with, in dev."""
    return f"{group.removeprefix('acme-dev-')}/"


class Crash(BaseException):
    """The function's process ends here: nothing of it runs any more."""


@dataclass
class Wire:
    """Sees every call of the function, and may end its process after one.

    Attributes:
        crash_after: The process ends after so many more calls of the thread; None for never.
        calls: What was called, as ``s3:HeadObject``.
        before: Runs before a call: operation -> function.
    """

    calls: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    _local: threading.local = field(default_factory=threading.local)

    def crash_after(self, calls: int | None) -> None:
        self._local.left = calls

    def watch(self, client: Any, service: str) -> Any:
        def before(model: Any, **_: Any) -> None:
            self.before.get(f"{service}:{model.name}", lambda: None)()

        def after(model: Any, **_: Any) -> None:
            self.calls.append(f"{service}:{model.name}")
            left = getattr(self._local, "left", None)
            if left is not None:
                self._local.left = left - 1
                if left <= 1:
                    self._local.left = None
                    raise Crash(self.calls[-1])

        client.meta.events.register("before-call.*.*", before)
        client.meta.events.register("after-call.*.*", after)
        return client


@dataclass
class Clock:
    """The ledger's time."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def message(
    arn: str, status: str = "Approved", *, receives: int = 1, **changes: Any
) -> dict[str, Any]:
    """A queue message with the event about a version, as Lambda hands it over."""
    source = Source.parse(arn)
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "SageMaker Model Package State Change",
        "source": "aws.sagemaker",
        "account": source.account,
        "time": "2026-11-21T08:00:00Z",
        "region": source.region,
        "resources": [arn],
        "detail": {
            "ModelPackageName": f"{source.group}/{source.version}",
            "ModelPackageGroupName": source.group,
            "ModelPackageVersion": source.version,
            "ModelPackageArn": arn,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": status,
        },
    }
    return raw_message(json.dumps({**event, **changes}), receives)


def raw_message(body: str, receives: int = 1) -> dict[str, Any]:
    return {
        "messageId": str(uuid.uuid4()),
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives)},
    }


class Platform:
    """What is deployed, and what people do in dev."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.wire, self.clock = Wire(), Clock()
        self.logged: list[dict[str, Any]] = []
        self.dev, self.hub = cloud.client("sagemaker", DEV), cloud.client("sagemaker", HUB)
        self.s3, self.hub_s3 = cloud.client("s3", DEV), cloud.client("s3", HUB)
        self.ecr, self.hub_ecr = cloud.client("ecr", DEV), cloud.client("ecr", HUB)
        self.sqs, self.table = cloud.client("sqs", HUB), cloud.client("dynamodb", HUB)
        self.key = cloud.client("kms", HUB).create_key()["KeyMetadata"]["Arn"]
        self._queue()
        self._stores()
        self.function_role = cloud.role(FUNCTION_ROLE, account=HUB)
        self._dev()
        cloud.client("iam", HUB).put_role_policy(
            RoleName=FUNCTION_ROLE,
            PolicyName="promotion",
            PolicyDocument=document(
                *function_statements(self.key, self.source_key, self.dead_letters_arn)
            ),
        )
        self.worker = self.make_worker()

    def _queue(self) -> None:
        self.queue, self.dead_letters = (
            self.sqs.create_queue(QueueName=f"acme-governance-{name}")["QueueUrl"]
            for name in ("promotions", "promotions-failed")
        )
        self.dead_letters_arn = self.sqs.get_queue_attributes(
            QueueUrl=self.dead_letters, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]

    def _stores(self) -> None:
        self.table.create_table(
            TableName=LEDGER,
            KeySchema=[{"AttributeName": "SourceModelPackageArn", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "SourceModelPackageArn", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        where = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
        self.hub_s3.create_bucket(Bucket=MODELS, **where)
        for name in (SOURCES, FOREIGN):
            self.s3.create_bucket(Bucket=name, **where)
        self.hub_ecr.create_repository(
            repositoryName="acme-governance-scorer", imageTagMutability="IMMUTABLE"
        )
        self.ecr.create_repository(repositoryName="acme-dev-scorer")
        self.ecr.create_repository(repositoryName="acme-dev-unknown")

    def _dev(self) -> None:
        """Dev lets the function's role read artifacts, and assume the reader role."""
        trusted = {"AWS": self.function_role}
        self.reader_role = self.cloud.role(
            READER_ROLE, *reader_statements(), account=DEV, trust={"Principal": trusted}
        )
        self.source_key = self.cloud.client("kms", DEV).create_key(
            Policy=document(
                {
                    "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {"Principal": trusted, "Action": "kms:Decrypt", "Resource": "*"},
            )
        )["KeyMetadata"]["Arn"]
        self.s3.put_bucket_policy(
            Bucket=SOURCES,
            Policy=document(
                {
                    "Principal": trusted,
                    "Action": "s3:GetObject",
                    "Resource": f"arn:aws:s3:::{SOURCES}/*",
                },
                {
                    "Principal": trusted,
                    "Action": "s3:ListBucket",
                    "Resource": f"arn:aws:s3:::{SOURCES}",
                },
            ),
        )

    def environ(self, **changes: str) -> dict[str, str]:
        """The function's environment."""
        return {
            "AWS_REGION": REGION,
            "HUB_ACCOUNT": HUB,
            "MODELS_BUCKET": MODELS,
            "MODELS_KEY_ARN": self.key,
            "LEDGER_TABLE": LEDGER,
            "DEAD_LETTER_QUEUE_URL": self.dead_letters,
            "MAX_RECEIVES": "5",
            "READER_ROLES": json.dumps({DEV: self.reader_role}),
            "SOURCE_BUCKETS": json.dumps({DEV: [SOURCES]}),
            "SOURCE_PREFIXES": json.dumps({DEV: "acme-dev-"}),
            "GROUP_PREFIX": "acme-governance-",
            "IMAGE_ACCOUNTS": json.dumps([FRAMEWORK_ACCOUNT, ALGORITHMS_ACCOUNT]),
            "IMAGE_REPOSITORY": "acme-governance-",
            "GROUP_TAGS": '{"team": "platform"}',
            "GROUP_POLICY_FILE": str(GROUP_POLICY),
            "LEASE_SECONDS": str(LEASE_SECONDS),
            **changes,
        }

    def make_worker(self, **changes: str) -> Worker:
        """The function, with settings of its own."""
        settings: Settings = read_settings(self.environ(**changes))
        role = self.cloud.assume(self.function_role)

        def factory(session: boto3.Session, service: str, region: str) -> Any:
            # Without retries of its own, every failure reaches the function.
            config = Config(retries={"total_max_attempts": 1}, max_pool_connections=16)
            made = session.client(
                service,
                region_name=region,
                endpoint_url=self.cloud.started.endpoint,
                config=config,
            )
            return self.wire.watch(made, service)

        def log(**line: Any) -> None:
            self.logged.append(line)
            # pytest shows it with a failure.
            write_log(**line)

        clients = Clients(role, REGION, settings.reader_roles, factory)
        return make_worker(settings, clients, log, self.clock)

    # What people do in dev.

    def upload(self, key: str, body: bytes, bucket: str = SOURCES, **more: Any) -> str:
        """Stores an artifact, encrypted by dev's key; gives its URI."""
        self.s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            **{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.source_key, **more},
        )
        return f"s3://{bucket}/{key}"

    def push(
        self, *layers: bytes, tag: str | None = None, repository: str = "acme-dev-scorer"
    ) -> str:
        """Pushes an image; gives its digest."""
        parts: list[dict[str, Any]] = []
        for content in (json.dumps({"layers": len(layers), "tag": tag}).encode(), *layers):
            parts.append({"digest": self.push_layer(content, repository), "size": len(content)})
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **parts[0]},
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **part}
                for part in parts[1:]
            ],
        }
        return self.put_manifest(manifest, tag, repository)

    def push_layer(self, content: bytes, repository: str) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        known = self.ecr.batch_check_layer_availability(
            repositoryName=repository, layerDigests=[digest]
        )
        if not known["layers"]:
            upload = self.ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
            self.ecr.upload_layer_part(
                repositoryName=repository,
                uploadId=upload,
                partFirstByte=0,
                partLastByte=len(content) - 1,
                layerPartBlob=content,
            )
            self.ecr.complete_layer_upload(
                repositoryName=repository, uploadId=upload, layerDigests=[digest]
            )
        return digest

    def put_manifest(
        self, manifest: dict[str, Any], tag: str | None, repository: str = "acme-dev-scorer"
    ) -> str:
        return self.ecr.put_image(
            repositoryName=repository,
            imageManifest=json.dumps(manifest),
            imageManifestMediaType=manifest["mediaType"],
            **({"imageTag": tag} if tag else {}),
        )["image"]["imageId"]["imageDigest"]

    def image(self, digest: str = "", tag: str = "", repository: str = "acme-dev-scorer") -> str:
        place = f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/{repository}"
        return place + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")

    def group(self) -> str:
        """A new group in dev."""
        name = f"acme-dev-{uuid.uuid4().hex[:12]}"
        self.dev.create_model_package_group(ModelPackageGroupName=name)
        return name

    def register(
        self,
        group: str | None = None,
        status: str = "Approved",
        container: dict[str, Any] | None = None,
        **members: Any,
    ) -> str:
        """Registers a version in dev; gives its ARN."""
        specification = {
            "Containers": [container or {"Image": FRAMEWORK_IMAGE}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        return self.dev.create_model_package(
            ModelPackageGroupName=group or self.group(),
            ModelApprovalStatus=status,
            **{"InferenceSpecification": specification, **members},
        )["ModelPackageArn"]

    # What came of it.

    def deliver(self, *messages: dict[str, Any], worker: Worker | None = None) -> list[str]:
        """Hands messages to the function; gives the ids of those to be delivered again."""
        answer = (worker or self.worker).handle({"Records": list(messages)})
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def outcome(self, arn: str) -> str:
        """The last outcome that was logged of a version."""
        return [line["outcome"] for line in self.logged if line["source"] == arn][-1]

    def central_group(self, arn: str) -> str:
        return Source.parse(arn).group.replace("acme-dev-", "acme-governance-")

    def central(self, arn: str) -> list[dict[str, Any]]:
        """The central versions of a source version."""
        pages = self.hub.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self.central_group(arn)
        )
        versions = [
            self.hub.describe_model_package(ModelPackageName=item["ModelPackageArn"])
            for page in pages
            for item in page["ModelPackageSummaryList"]
        ]
        return [
            version
            for version in versions
            if version["CustomerMetadataProperties"]["SourceModelPackageArn"] == arn
        ]

    def card(self, version: dict[str, Any]) -> dict[str, Any]:
        """The card of a central version."""
        name = card_name(version["ModelPackageGroupName"], version["ModelPackageVersion"])
        return self.hub.describe_model_card(ModelCardName=name)

    def ledger(self, arn: str) -> dict[str, Any]:
        item = self.table.get_item(TableName=LEDGER, Key={"SourceModelPackageArn": {"S": arn}})
        return {name: next(iter(value.values())) for name, value in item.get("Item", {}).items()}

    def dead(self) -> list[dict[str, str]]:
        """What the dead-letter queue holds, taken out: attributes, and the body."""
        found: list[dict[str, str]] = []
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=self.dead_letters,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
            )
            for item in answer.get("Messages", []):
                self.sqs.delete_message(
                    QueueUrl=self.dead_letters, ReceiptHandle=item["ReceiptHandle"]
                )
                told = item["MessageAttributes"].items()
                found.append(
                    {**{name: value["StringValue"] for name, value in told}, "Body": item["Body"]}
                )
            if not answer.get("Messages"):
                return found

    def objects(self, prefix: str) -> dict[str, bytes]:
        listed = self.hub_s3.list_objects_v2(Bucket=MODELS, Prefix=prefix).get("Contents", [])
        return {
            item["Key"]: self.hub_s3.get_object(Bucket=MODELS, Key=item["Key"])["Body"].read()
            for item in listed
        }
