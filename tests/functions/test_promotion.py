"""A promotion from beginning to end: what is in the hub afterwards."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any

import jsonschema
import pytest

from functions.promotion.events import Source
from functions.promotion.model_card import SCHEMA
from functions.promotion.registry import specification_digest
from tests.functions.platform import (
    FRAMEWORK_IMAGE,
    MODELS,
    SOURCES,
    Platform,
    folder,
    message,
)
from tests.localcloud.emulators import DEV, HUB, REGION

EXECUTION = f"arn:aws:sagemaker:{REGION}:{DEV}:pipeline/train/execution/abc123"


def whole_version(platform: Platform, digest: str, group: str) -> dict[str, Any]:
    """Everything that a version can name in S3 and ECR."""
    own = folder(group)

    def put(name: str, body: bytes) -> str:
        return platform.upload(own + name, body)

    def report(uri: str, kind: str = "application/json") -> dict[str, str]:
        return {"ContentType": kind, "S3Uri": uri}

    quality = {"regression_metrics": {"mse": {"value": 4.5, "standard_deviation": "NaN"}}}
    put("parts/one.bin", b"1" * 10)
    put("parts/two.bin", b"2" * 20)
    return {
        "container": {
            "Image": platform.image(tag="stable"),
            "ImageDigest": digest,
            "ModelDataUrl": put("model.tar.gz", b"weights"),
            "Environment": {"SAGEMAKER_SUBMIT_DIRECTORY": put("code.tar.gz", b"code"), "A": "b"},
        },
        "AdditionalInferenceSpecifications": [
            {
                "Name": "large",
                "Containers": [
                    {
                        "Image": FRAMEWORK_IMAGE,
                        "ModelDataSource": {
                            "S3DataSource": {
                                "S3Uri": f"s3://{SOURCES}/{own}parts/",
                                "S3DataType": "S3Prefix",
                                "CompressionType": "None",
                                "ETag": "of-the-source",
                            }
                        },
                    }
                ],
            }
        ],
        "ModelMetrics": {
            "ModelQuality": {
                "Statistics": report(put("evaluation.json", json.dumps(quality).encode()))
            },
            "Bias": {"Report": report(put("bias.html", b"<p>"), "text/html")},
        },
        "DriftCheckBaselines": {
            "ModelDataQuality": {"Constraints": report(put("constraints.json", b"{}"))}
        },
        "ValidationSpecification": {
            "ValidationRole": f"arn:aws:iam::{DEV}:role/validation",
            "ValidationProfiles": [
                {
                    "ProfileName": "p",
                    "TransformJobDefinition": {
                        "TransformInput": {
                            "DataSource": {
                                "S3DataSource": {
                                    "S3DataType": "S3Prefix",
                                    "S3Uri": put("valid.csv", b"1,2"),
                                }
                            }
                        },
                        "TransformOutput": {"S3OutputPath": f"s3://{SOURCES}/{own}never-written"},
                        "TransformResources": {
                            "InstanceType": "ml.m5.large",
                            "InstanceCount": 1,
                        },
                    },
                }
            ],
        },
        "SamplePayloadUrl": put("sample.csv", b"3,4"),
        "ModelPackageDescription": "Prices of houses",
        "MetadataProperties": {
            "CommitId": "c0ffee",
            "ProjectId": "p-1",
            "GeneratedBy": EXECUTION,
        },
        "CustomerMetadataProperties": {
            "DataVersion": "2026-11",
            "RiskRating": "high",
            "ModelOwner": "pricing",
            "Purpose": "Quotes for owners",
        },
        "Domain": "MACHINE_LEARNING",
        "Task": "REGRESSION",
    }


@pytest.fixture(scope="module")
def promoted(deployed: Platform) -> tuple[Platform, str, str, dict[str, Any]]:
    digest = deployed.push(b"layer one", b"layer two", tag="stable")
    group = deployed.group()
    arn = deployed.register(group, **whole_version(deployed, digest, group))
    deployed.push(b"moved on", tag="stable")
    assert deployed.deliver(message(arn)) == []
    assert deployed.outcome(arn) == "promoted", deployed.logged
    (version,) = deployed.central(arn)
    return deployed, arn, digest, version


Promoted = tuple[Platform, str, str, dict[str, Any]]


def test_every_artifact_is_in_the_hub_under_the_hubs_key(promoted: Promoted) -> None:
    platform, arn, _, _ = promoted
    source = Source.parse(arn)
    prefix = f"{source.prefix}{SOURCES}/{folder(source.group)}"
    copies = platform.objects(source.prefix)
    assert {key.removeprefix(prefix): body for key, body in copies.items()} == {
        "model.tar.gz": b"weights",
        "code.tar.gz": b"code",
        "parts/one.bin": b"1" * 10,
        "parts/two.bin": b"2" * 20,
        "evaluation.json": b'{"regression_metrics": {"mse": {"value": 4.5, '
        b'"standard_deviation": "NaN"}}}',
        "bias.html": b"<p>",
        "constraints.json": b"{}",
        "valid.csv": b"1,2",
        "sample.csv": b"3,4",
    }
    for key in copies:
        head = platform.hub_s3.head_object(Bucket=MODELS, Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", platform.key)


def test_the_version_names_nothing_of_the_source_account(promoted: Promoted) -> None:
    _, arn, digest, version = promoted
    source = Source.parse(arn)
    home = f"s3://{MODELS}/{source.prefix}{SOURCES}/{source.group.removeprefix('acme-dev-')}"
    (container,) = version["InferenceSpecification"]["Containers"]
    assert container == {
        "Image": f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/acme-governance-scorer@{digest}",
        "ImageDigest": digest,
        "ModelDataUrl": f"{home}/model.tar.gz",
        # Of the copy: S3 gives it one of its own.
        "ModelDataETag": hashlib.md5(b"weights", usedforsecurity=False).hexdigest(),
        "Environment": {"SAGEMAKER_SUBMIT_DIRECTORY": f"{home}/code.tar.gz", "A": "b"},
    }
    (other,) = version["AdditionalInferenceSpecifications"][0]["Containers"]
    assert other["Image"] == FRAMEWORK_IMAGE
    assert other["ModelDataSource"]["S3DataSource"] == {
        "S3Uri": f"{home}/parts/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    assert version["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].startswith(home)
    assert version["DriftCheckBaselines"]["ModelDataQuality"]["Constraints"] == {
        "ContentType": "application/json",
        "S3Uri": f"{home}/constraints.json",
    }
    assert version["SamplePayloadUrl"] == f"{home}/sample.csv"
    assert "ValidationSpecification" not in version
    assert f"s3://{SOURCES}" not in json.dumps(version, default=str)


def test_the_version_waits_for_approval_and_tells_where_it_comes_from(promoted: Promoted) -> None:
    platform, arn, _, version = promoted
    made = platform.dev.describe_model_package(ModelPackageName=arn)
    registrant = made["CreatedBy"]["IamIdentity"]["Arn"]
    assert version["ModelApprovalStatus"] == "PendingManualApproval"
    assert version["ModelPackageDescription"] == f"Prices of houses [promoted from {arn}]"
    assert version["CustomerMetadataProperties"] == {
        "SourceModelPackageArn": arn,
        "ProjectId": "p-1",
        "PipelineExecutionArn": EXECUTION,
        "CommitId": "c0ffee",
        "DataVersion": "2026-11",
        "RegisteredBy": f"Arn={registrant}",
        "SpecificationDigest": specification_digest(version),
        "RiskRating": "high",
        "ModelOwner": "pricing",
        "Purpose": "Quotes for owners",
    }
    assert version["MetadataProperties"]["CommitId"] == "c0ffee"
    assert (version["Domain"], version["Task"]) == ("MACHINE_LEARNING", "REGRESSION")


def test_the_group_is_made_with_tags_and_policy(promoted: Promoted) -> None:
    platform, arn, _, _ = promoted
    group = platform.central_group(arn)
    made = platform.hub.describe_model_package_group(ModelPackageGroupName=group)
    tags = platform.hub.list_tags(ResourceArn=made["ModelPackageGroupArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "platform"}]
    policy = platform.hub.get_model_package_group_policy(ModelPackageGroupName=group)
    (statement,) = json.loads(policy["ResourcePolicy"])["Statement"]
    assert statement["Resource"] == f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/{group}/*"


def test_the_card_tells_purpose_risk_owner_training_and_metrics(promoted: Promoted) -> None:
    platform, arn, digest, version = promoted
    made = platform.card(version)
    card = json.loads(made["Content"])
    jsonschema.validate(card, SCHEMA)
    assert made["ModelCardStatus"] == "PendingReview"
    assert made["SecurityConfig"] == {"KmsKeyId": platform.key}
    assert card["intended_uses"] == {
        "purpose_of_model": "Quotes for owners",
        "risk_rating": "High",
    }
    assert card["model_overview"]["model_owner"] == "pricing"
    assert card["model_overview"]["problem_type"] == "REGRESSION"
    assert digest in card["model_overview"]["inference_environment"]["container_image"][0]
    observed = card["training_details"]["training_observations"]
    assert observed == (
        f"pipeline execution {EXECUTION}, commit c0ffee, data version 2026-11, project p-1"
    )
    bias, quality = card["evaluation_details"]
    assert (bias["name"], bias["metric_groups"]) == ("Bias.Report", [])
    assert quality["metric_groups"] == [
        {
            "name": "regression_metrics",
            "metric_data": [
                {"name": "mse", "type": "number", "value": 4.5},
                {"name": "mse.standard_deviation", "type": "string", "value": "NaN"},
            ],
        }
    ]
    details = card["additional_information"]["custom_details"]
    assert details["SourceModelPackageArn"] == arn
    assert details["CentralModelPackageArn"] == version["ModelPackageArn"]


def test_the_ledger_records_the_promotion(promoted: Promoted) -> None:
    platform, arn, _, version = promoted
    item = platform.ledger(arn)
    assert item["Outcome"] == "promoted"
    assert item["CentralModelPackageArn"] == version["ModelPackageArn"]
    assert item["Fence"] == "1"


def test_an_image_arrives_bit_for_bit(promoted: Promoted) -> None:
    platform, _, digest, _ = promoted

    def manifest(ecr: Any, repository: str) -> str:
        (found,) = ecr.batch_get_image(
            repositoryName=repository, imageIds=[{"imageDigest": digest}]
        )["images"]
        return found["imageManifest"]

    copied = manifest(platform.hub_ecr, "acme-governance-scorer")
    assert copied == manifest(platform.ecr, "acme-dev-scorer")
    assert f"sha256:{hashlib.sha256(copied.encode()).hexdigest()}" == digest
    # An image without a tag would expire.
    told = platform.hub_ecr.describe_images(
        repositoryName="acme-governance-scorer", imageIds=[{"imageDigest": digest}]
    )
    assert told["imageDetails"][0]["imageTags"] == [digest.replace(":", "-")]


def test_an_images_name_changes_in_its_environment_alone(platform: Platform) -> None:
    source, central = "acme-dev-dev-devices", "acme-governance-dev-devices"
    platform.ecr.create_repository(repositoryName=source)
    platform.hub_ecr.create_repository(repositoryName=central, imageTagMutability="IMMUTABLE")
    digest = platform.push(b"devices", tag="dev-1", repository=source)
    image = platform.image(tag="dev-1", repository=source)
    variables = {"STAGE": "dev", "DEVICE": "dev"}
    arn = platform.register(container={"Image": image, "Environment": variables})
    assert platform.deliver(message(arn)) == []
    (version,) = platform.central(arn)
    (container,) = version["InferenceSpecification"]["Containers"]
    host = f"{HUB}.dkr.ecr.{REGION}.amazonaws.com"
    assert container["Image"] == f"{host}/{central}@{digest}"
    assert container["Environment"] == variables


def test_an_image_list_comes_with_all_its_images(platform: Platform) -> None:
    digests = [platform.push(content, b"shared") for content in (b"amd64", b"arm64")]
    listed = platform.put_manifest(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"digest": digest, "size": 1} for digest in digests],
        },
        "multi",
    )
    arn = platform.register(container={"Image": platform.image(tag="multi")})
    assert platform.deliver(message(arn)) == []
    (version,) = platform.central(arn)
    assert version["InferenceSpecification"]["Containers"][0]["ImageDigest"] == listed
    copied = platform.hub_ecr.batch_get_image(
        repositoryName="acme-governance-scorer",
        imageIds=[{"imageDigest": digest} for digest in (listed, *digests)],
    )
    assert [item["imageId"]["imageDigest"] for item in copied["images"]] == [listed, *digests]


def test_layers_larger_than_a_part_arrive_whole(platform: Platform) -> None:
    layer = bytes(range(256)) * 50_000
    digest = platform.push(layer)
    platform.wire.calls.clear()
    arn = platform.register(container={"Image": platform.image(digest)})
    assert platform.deliver(message(arn)) == []
    assert platform.outcome(arn) == "promoted"
    calls = platform.wire.calls
    assert calls.count("ecr:UploadLayerPart") == calls.count("ecr:InitiateLayerUpload") + 1


def test_a_large_object_is_copied_in_parts_and_verified(platform: Platform) -> None:
    body = b"".join(bytes([n]) * (1024**2) for n in range(12))
    group = platform.group()
    uri = platform.upload(f"{folder(group)}model.bin", body)
    worker = platform.make_worker(
        COPY_THRESHOLD_BYTES=str(6 * 1024**2), COPY_PART_BYTES=str(5 * 1024**2)
    )
    arn = platform.register(group, container={"Image": FRAMEWORK_IMAGE, "ModelDataUrl": uri})
    assert platform.deliver(message(arn), worker=worker) == []
    assert platform.wire.calls.count("s3:UploadPartCopy") == 3
    assert "s3:CopyObject" not in platform.wire.calls
    key = f"{Source.parse(arn).prefix}{SOURCES}/{folder(group)}model.bin"
    assert platform.objects(key) == {key: body}
    head = platform.hub_s3.head_object(Bucket=MODELS, Key=key, ChecksumMode="ENABLED")
    expected = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert (head["ChecksumCRC32"], head["SSEKMSKeyId"]) == (expected, platform.key)


def test_a_copy_that_is_there_and_equal_is_not_made_again(platform: Platform) -> None:
    group = platform.group()
    uri = platform.upload(f"{folder(group)}model.bin", b"the same")
    arn = platform.register(group, container={"Image": FRAMEWORK_IMAGE, "ModelDataUrl": uri})
    key = f"{Source.parse(arn).prefix}{SOURCES}/{folder(group)}model.bin"
    # Equal in size only, as a copy of another state of the source would be.
    platform.hub_s3.put_object(
        Bucket=MODELS, Key=key, Body=b"tampered", ServerSideEncryption="aws:kms",
        SSEKMSKeyId=platform.key,
    )  # fmt: skip
    platform.cloud.control(
        "POST", "faults", {"service": "sagemaker", "operation": "DescribeModelPackageGroup"}
    )
    record = message(arn)
    assert platform.deliver(record) == [record["messageId"]]
    assert platform.objects(key) == {key: b"the same"}
    assert platform.wire.calls.count("s3:CopyObject") == 1
    assert platform.deliver(message(arn)) == []
    assert platform.wire.calls.count("s3:CopyObject") == 1
    assert len(platform.central(arn)) == 1


def test_a_checksum_that_s3_does_not_know_is_read(platform: Platform) -> None:
    """Objects uploaded in parts have a checksum of parts, which no copy can have."""
    group = platform.group()
    where = {"Bucket": SOURCES, "Key": f"{folder(group)}model.bin"}
    upload = platform.s3.create_multipart_upload(
        **where, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE"
    )["UploadId"]
    part = platform.s3.upload_part(
        **where, UploadId=upload, PartNumber=1, Body=b"parts", ChecksumAlgorithm="SHA256"
    )
    platform.s3.complete_multipart_upload(
        **where,
        UploadId=upload,
        MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]},
    )
    head = platform.s3.head_object(**where, ChecksumMode="ENABLED")
    assert head["ChecksumType"] == "COMPOSITE"
    arn = platform.register(
        group,
        container={"Image": FRAMEWORK_IMAGE, "ModelDataUrl": f"s3://{SOURCES}/{where['Key']}"},
    )
    assert platform.deliver(message(arn)) == []
    assert platform.outcome(arn) == "promoted"
    assert "s3:GetObject" in platform.wire.calls


def test_what_people_wrote_into_the_sources_card_is_kept(platform: Platform) -> None:
    content = {
        "intended_uses": {"purpose_of_model": "By hand", "risk_rating": "Medium"},
        "business_details": {"line_of_business": "Retail", "unknown": "dropped"},
        "not_in_the_schema": {},
    }
    arn = platform.register(
        ModelCard={"ModelCardContent": json.dumps(content), "ModelCardStatus": "Approved"},
        ModelPackageDescription="Not the purpose",
    )
    assert platform.deliver(message(arn)) == []
    card = json.loads(platform.card(platform.central(arn)[0])["Content"])
    assert card["intended_uses"] == content["intended_uses"]
    assert card["business_details"] == {"line_of_business": "Retail"}


class TestNothingToDo:
    @pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval"])
    def test_other_states_are_ignored(self, platform: Platform, status: str) -> None:
        arn = platform.register(status=status)
        assert platform.deliver(message(arn, status)) == []
        assert platform.outcome(arn) == "ignored"
        assert platform.ledger(arn) == {}

    def test_an_approval_that_was_taken_back_is_superseded(self, platform: Platform) -> None:
        arn = platform.register()
        platform.dev.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
        assert platform.deliver(message(arn)) == []
        assert platform.outcome(arn) == platform.ledger(arn)["Outcome"] == "superseded"
        platform.dev.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        assert platform.deliver(message(arn)) == []
        assert len(platform.central(arn)) == 1

    def test_a_deleted_version_is_gone(self, platform: Platform) -> None:
        arn = platform.register()
        platform.dev.delete_model_package(ModelPackageName=arn)
        assert platform.deliver(message(arn)) == []
        assert platform.outcome(arn) == platform.ledger(arn)["Outcome"] == "gone"
        assert platform.dead() == []
