"""What can never be promoted, what fails for a while, and what people read of both."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.promotion.events import Source
from functions.promotion.settings import SettingsError, read_settings
from tests.functions.platform import (
    FOREIGN,
    FRAMEWORK_ACCOUNT,
    FRAMEWORK_IMAGE,
    SOURCES,
    Platform,
    folder,
    message,
    raw_message,
)
from tests.localcloud.emulators import DEV, HUB, PROD, REGION

Made = Callable[[Platform], str]
OWN = "s3://own/"
"""Stands for the folder of a group that is made later."""


def in_own(value: Any, group: str) -> Any:
    """A part of a version with the group's folder for ``OWN``."""
    return json.loads(json.dumps(value).replace(OWN, f"s3://{SOURCES}/{folder(group)}"))


def with_container(**container: Any) -> Made:
    def make(platform: Platform) -> str:
        group = platform.group()
        return platform.register(group, container=in_own(container, group))

    return make


def with_model(uri: str, **container: Any) -> Made:
    return with_container(Image=FRAMEWORK_IMAGE, ModelDataUrl=uri, **container)


def with_image(image: str, **container: Any) -> Made:
    return with_container(Image=image, **container)


def with_data(**source: Any) -> Made:
    where = {"S3DataType": "S3Prefix", "CompressionType": "None", **source}
    return with_container(Image=FRAMEWORK_IMAGE, ModelDataSource={"S3DataSource": where})


def in_group(name: str) -> Made:
    def make(platform: Platform) -> str:
        platform.dev.create_model_package_group(ModelPackageGroupName=name)
        return platform.register(name)

    return make


def without_containers(platform: Platform) -> str:
    arn = platform.register()
    algorithm = {"SourceAlgorithms": [{"AlgorithmName": "algorithm"}]}
    return platform.dev.create_model_package(
        ModelPackageGroupName=arn.split("/")[1],
        ModelApprovalStatus="Approved",
        SourceAlgorithmSpecification=algorithm,
    )["ModelPackageArn"]


ECR = f"dkr.ecr.{REGION}.amazonaws.com"


@pytest.mark.parametrize(
    ("make", "step", "cause"),
    [
        (with_model(f"s3://{FOREIGN}/model.bin"), "plan", f"outside the buckets .*{SOURCES}"),
        (with_model(f"{OWN}not/there"), "artifacts", "nothing at s3://"),
        (with_model(f"s3://{SOURCES}/another/model.bin"), "plan", "outside the folder"),
        (with_model("https://example.com/model.bin"), "plan", "must be written as s3"),
        (with_model(f"s3://{SOURCES}"), "plan", "names no object"),
        (with_model(f"{OWN}{'k' * 980}"), "plan", "too long"),
        (
            with_model(f"{OWN}m", Environment={"DATA": f"a,{OWN}b"}),
            "plan",
            r"Environment\.DATA",
        ),
        (with_data(S3Uri=f"{OWN}none/"), "artifacts", "nothing at s3://"),
        (
            with_data(S3Uri=f"{OWN}a/", ManifestS3Uri=f"{OWN}m"),
            "plan",
            "by a manifest",
        ),
        (with_image(f"{PROD}.{ECR}/scorer:1"), "plan", f"registry of account {PROD}"),
        (with_image("docker.io/library/python:3"), "plan", "not in Amazon ECR"),
        (with_image(f"{DEV}.{ECR}/acme-dev-scorer:none"), "images", "is gone"),
        (with_image(f"{DEV}.{ECR}/acme-dev-nowhere:1"), "images", "is gone"),
        (
            with_image(f"{DEV}.{ECR}/a@sha256:{'1' * 64}", ImageDigest=f"sha256:{'2' * 64}"),
            "plan",
            "another digest",
        ),
        (in_group("private-models"), "check", "names begin with 'acme-dev-'"),
        (in_group("acme-dev-" + "g" * 54), "check", "63 characters at most"),
        (without_containers, "plan", "no InferenceSpecification"),
    ],
)
def test_what_cannot_be_promoted_is_refused_at_once(
    platform: Platform, make: Made, step: str, cause: str
) -> None:
    arn = make(platform)
    record = message(arn)
    assert platform.deliver(record) == []
    (dead,) = platform.dead()
    assert (dead["SourceModelPackageArn"], dead["Step"]) == (arn, step)
    assert re.search(cause, dead["Cause"]), dead["Cause"]
    assert dead["Body"] == record["body"]
    assert platform.outcome(arn) == "refused"
    assert "sagemaker:CreateModelPackage" not in platform.wire.calls
    if step != "check":
        assert platform.ledger(arn)["Outcome"] == "refused"


def test_an_image_without_a_repository_in_the_hub_is_refused(platform: Platform) -> None:
    platform.push(b"layer", tag="1", repository="acme-dev-unknown")
    arn = platform.register(container={"Image": platform.image("", "1", "acme-dev-unknown")})
    assert platform.deliver(message(arn)) == []
    (dead,) = platform.dead()
    assert "no image repository acme-governance-unknown" in dead["Cause"]


def test_what_was_refused_is_promoted_once_it_is_repaired(platform: Platform) -> None:
    arn = with_model(f"{OWN}repaired.bin")(platform)
    assert platform.deliver(message(arn)) == []
    (dead,) = platform.dead()
    platform.upload(f"{folder(Source.parse(arn).group)}repaired.bin", b"now")
    assert platform.deliver(raw_message(dead["Body"])) == []
    assert len(platform.central(arn)) == 1


GOOD = f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/acme-dev-x/1"


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("no json", "no JSON"),
        ("[]", "not a JSON object"),
        ("{}", "only 'aws.sagemaker'"),
        (message(GOOD, source="acme.tools")["body"], "only 'aws.sagemaker'"),
        (message(GOOD, **{"detail-type": "SageMaker Endpoint State Change"})["body"], "only"),
        (message(GOOD, detail=[])["body"], "no detail"),
        (message(GOOD, detail={})["body"], "no ModelPackageArn"),
        (message(GOOD, detail={"ModelPackageArn": "arn:aws:s3:::x"})["body"], "not the ARN"),
        (message(GOOD, detail={"ModelPackageArn": GOOD})["body"], "no ModelApprovalStatus"),
        (
            message(GOOD, detail={"ModelPackageArn": GOOD, "ModelPackageGroupName": "y"})["body"],
            "ModelPackageGroupName is 'y'",
        ),
        (message(GOOD, account=PROD)["body"], f"account is '{PROD}'"),
        (message(GOOD.replace(DEV, PROD))["body"], f"Account {PROD} is none"),
        (message(GOOD.replace(REGION, "us-east-1"))["body"], "not in eu-west-1"),
    ],
)
def test_a_malformed_or_foreign_event_is_refused(platform: Platform, body: str, cause: str) -> None:
    assert platform.deliver(raw_message(body)) == []
    (dead,) = platform.dead()
    assert cause in dead["Cause"]
    assert dead["Body"] == body
    assert platform.wire.calls == ["sqs:SendMessage"]


class TestForAWhile:
    """Nothing that fails for a while is taken for an answer."""

    @pytest.mark.parametrize("error", ["throttle", "server-error"])
    @pytest.mark.parametrize(
        "operation",
        [
            "dynamodb:UpdateItem",
            "sagemaker:DescribeModelPackage",
            "s3:HeadObject",
            "s3:CopyObject",
            "ecr:BatchGetImage",
            "ecr:BatchCheckLayerAvailability",
            "ecr:PutImage",
            "sagemaker:DescribeModelPackageGroup",
            "sagemaker:CreateModelPackageGroup",
            "sagemaker:GetModelPackageGroupPolicy",
            "sagemaker:ListModelPackages",
            "sagemaker:CreateModelPackage",
            "sagemaker:DescribeModelCard",
            "sagemaker:CreateModelCard",
        ],
    )
    def test_a_failing_call_is_retried_by_the_queue(
        self, platform: Platform, operation: str, error: str
    ) -> None:
        digest = platform.push(f"{operation}{error}".encode())
        group = platform.group()
        container = {
            "Image": platform.image(digest),
            "ModelDataUrl": platform.upload(f"{folder(group)}model.bin", b"weights"),
        }
        arn = platform.register(group, container=container)
        service, name = operation.split(":")
        platform.cloud.control(
            "POST", "faults", {"service": service, "operation": name, "error": error}
        )
        platform.wire.calls.clear()
        record = message(arn)
        assert platform.deliver(record) == [record["messageId"]]
        assert platform.dead() == []
        assert platform.wire.calls.count("sagemaker:CreateModelPackage") <= (
            name in ("CreateModelPackage", "DescribeModelCard", "CreateModelCard")
        )
        assert platform.deliver(message(arn, receives=2)) == []
        assert len(platform.central(arn)) == 1

    def test_access_denied_is_not_missing(self, platform: Platform) -> None:
        """Without the right to see groups and cards, none is made."""
        arn = platform.register()
        iam = platform.cloud.client("iam", HUB)
        denied = {
            "Effect": "Deny",
            "Action": ["sagemaker:DescribeModelPackageGroup"],
            "Resource": "*",
        }
        where = {"RoleName": "acme-governance-promotion", "PolicyName": "denied"}
        document = {"Version": "2012-10-17", "Statement": [denied]}
        iam.put_role_policy(**where, PolicyDocument=json.dumps(document))
        try:
            record = message(arn)
            assert platform.deliver(record) == [record["messageId"]]
            assert "sagemaker:CreateModelPackageGroup" not in platform.wire.calls
            assert "AccessDenied" in platform.logged[-1]["cause"]
            assert platform.logged[-1]["step"] == "group"
        finally:
            iam.delete_role_policy(**where)
        assert platform.deliver(message(arn)) == []
        assert len(platform.central(arn)) == 1

    def test_the_last_receive_ends_in_the_dead_letter_queue(self, platform: Platform) -> None:
        arn = platform.register()
        fault = {"service": "sagemaker", "operation": "CreateModelPackage", "count": 2}
        platform.cloud.control("POST", "faults", fault)
        before = message(arn, receives=4)
        assert platform.deliver(before) == [before["messageId"]]
        last = message(arn, receives=5)
        assert platform.deliver(last) == []
        (dead,) = platform.dead()
        assert dead["Step"] == "registration"
        assert dead["SourceModelPackageArn"] == arn
        assert "ThrottlingException" in dead["Cause"]
        assert platform.outcome(arn) == "given-up"
        # Sent back by people, it is promoted.
        assert platform.deliver(raw_message(dead["Body"])) == []
        assert len(platform.central(arn)) == 1

    def test_nothing_is_lost_when_the_dead_letter_queue_fails_too(self, platform: Platform) -> None:
        platform.cloud.control("POST", "faults", {"service": "sqs", "operation": "SendMessage"})
        record = raw_message("no json", receives=5)
        assert platform.deliver(record) == [record["messageId"]]
        assert platform.deliver(record) == []
        assert len(platform.dead()) == 1

    def test_one_bad_message_does_not_hold_up_the_others_of_its_batch(
        self, platform: Platform
    ) -> None:
        good, poor = platform.register(), platform.register()
        fault = {"service": "dynamodb", "operation": "UpdateItem"}
        platform.cloud.control("POST", "faults", fault)
        records = [message(poor), raw_message("no json"), message(good)]
        assert platform.deliver(*records) == [records[0]["messageId"]]
        assert len(platform.central(good)) == 1
        assert len(platform.dead()) == 1

    def test_an_artifact_that_changes_while_it_is_copied_is_copied_anew(
        self, platform: Platform
    ) -> None:
        group = platform.group()
        key = f"{folder(group)}changing.bin"
        # SageMaker records nothing of it at registration.
        arn = platform.register(group, SamplePayloadUrl=platform.upload(key, b"old"))

        def change() -> None:
            platform.upload(key, b"new")

        platform.wire.before["s3:CopyObject"] = change
        record = message(arn)
        assert platform.deliver(record) == [record["messageId"]]
        assert platform.logged[-1]["step"] == "artifacts"
        platform.wire.before.clear()
        assert platform.deliver(message(arn)) == []
        assert list(platform.objects(f"promoted/{DEV}/{arn.split('/')[1]}/").values()) == [b"new"]


class TestModelDataOfAVersion:
    """What was approved is what was registered, as far as SageMaker recorded it."""

    @staticmethod
    def in_parts(platform: Platform, key: str, *parts: bytes) -> None:
        where = {"Bucket": SOURCES, "Key": key}
        upload = platform.s3.create_multipart_upload(**where)["UploadId"]
        etags = [
            platform.s3.upload_part(**where, UploadId=upload, PartNumber=n, Body=body)["ETag"]
            for n, body in enumerate(parts, 1)
        ]
        platform.s3.complete_multipart_upload(
            **where,
            UploadId=upload,
            MultipartUpload={
                "Parts": [{"ETag": etag, "PartNumber": n} for n, etag in enumerate(etags, 1)]
            },
        )

    @staticmethod
    def registered(platform: Platform, group: str, key: str, how: str) -> str:
        uri = f"s3://{SOURCES}/{key}"
        data = {"S3DataType": "S3Object", "CompressionType": "Gzip", "S3Uri": uri}
        container: dict[str, Any] = {
            "url": {"ModelDataUrl": uri},
            "source": {"ModelDataSource": {"S3DataSource": data}},
        }[how]
        return platform.register(group, container={"Image": FRAMEWORK_IMAGE, **container})

    def refused(self, platform: Platform, arn: str, cause: str) -> None:
        assert platform.deliver(message(arn)) == []
        (dead,) = platform.dead()
        assert dead["Step"] == "artifacts"
        assert cause in dead["Cause"], dead["Cause"]
        assert platform.outcome(arn) == platform.ledger(arn)["Outcome"] == "refused"
        assert platform.objects(f"{Source.parse(arn).prefix}") == {}
        assert "sagemaker:CreateModelPackage" not in platform.wire.calls

    @pytest.mark.parametrize("how", ["url", "source"])
    def test_other_weights_are_refused_until_the_registered_ones_are_back(
        self, platform: Platform, how: str
    ) -> None:
        group = platform.group()
        key = f"{folder(group)}model.bin"
        platform.upload(key, b"approved")
        arn = self.registered(platform, group, key, how)
        platform.upload(key, b"swapped!")
        self.refused(platform, arn, f"s3://{SOURCES}/{key} is not what the version was registered")
        platform.upload(key, b"approved")
        assert platform.deliver(message(arn)) == []
        assert platform.outcome(arn) == "promoted"

    @pytest.mark.parametrize("how", ["url", "source"])
    def test_an_object_uploaded_in_parts_is_known_by_its_etag_too(
        self, platform: Platform, how: str
    ) -> None:
        group = platform.group()
        key = f"{folder(group)}model.bin"
        first = bytes(5 * 1024**2)
        self.in_parts(platform, key, first, b"approved")
        assert platform.s3.head_object(Bucket=SOURCES, Key=key)["ETag"].endswith('-2"')
        arn = self.registered(platform, group, key, how)
        # The same bytes in one part are another object to S3, and cannot be told to be the same.
        platform.upload(key, first + b"approved")
        self.refused(platform, arn, f"s3://{SOURCES}/{key} is not what the version was registered")
        self.in_parts(platform, key, first, b"approved")
        assert platform.deliver(message(arn)) == []
        assert platform.outcome(arn) == "promoted"

    def test_a_folder_is_not_the_object_that_was_registered(self, platform: Platform) -> None:
        group = platform.group()
        key = f"{folder(group)}model.bin"
        platform.upload(key, b"approved")
        arn = self.registered(platform, group, key, "url")
        platform.s3.delete_object(Bucket=SOURCES, Key=key)
        platform.upload(f"{key}/swapped", b"approved")
        self.refused(platform, arn, f"nothing at s3://{SOURCES}/{key}")


def test_log_lines_hold_no_secret(platform: Platform) -> None:
    secret = b"a layer that nobody may read in a log"
    arn = platform.register(container={"Image": platform.image(platform.push(secret))})
    fault = {"service": "ecr", "operation": "PutImage"}
    platform.cloud.control("POST", "faults", fault)
    assert platform.deliver(message(arn)) != []
    assert platform.deliver(message(arn)) == []
    lines = json.dumps(platform.logged)
    assert arn in lines
    for word in (secret.decode(), "http://", "LSIA", "ASIA", "SecretAccessKey", "SessionToken"):
        assert word not in lines


class TestSettings:
    def test_every_mistake_is_told_at_once(self, platform: Platform, tmp_path: Path) -> None:
        (tmp_path / "policy.json").write_text("[]")
        environ = platform.environ(
            HUB_ACCOUNT="12",
            MAX_RECEIVES="often",
            READER_ROLES=json.dumps({DEV: f"arn:aws:iam::{PROD}:role/reader"}),
            SOURCE_BUCKETS='{"dev": []}',
            IMAGE_ACCOUNTS="{}",
            GROUP_POLICY_FILE=str(tmp_path / "policy.json"),
            COPY_PART_BYTES="1",
        )
        del environ["LEDGER_TABLE"]
        with pytest.raises(SettingsError) as error:
            read_settings(environ)
        named = {line.split(" ")[0] for line in str(error.value).splitlines()[1:]}
        assert named == {
            "HUB_ACCOUNT",
            "MAX_RECEIVES",
            "READER_ROLES",
            "SOURCE_BUCKETS",
            "IMAGE_ACCOUNTS",
            "GROUP_POLICY_FILE",
            "COPY_PART_BYTES",
            "LEDGER_TABLE",
        }
        assert "LEDGER_TABLE is missing." in str(error.value)

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("{", "expected JSON"),
            ('"text"', "expected a policy document"),
            (None, r"cannot be read \(No such file"),
        ],
    )
    def test_the_groups_policy_is_a_documents_file(
        self, platform: Platform, tmp_path: Path, content: str | None, told: str
    ) -> None:
        file = tmp_path / "policy.json"
        if content is not None:
            file.write_text(content)
        with pytest.raises(SettingsError, match=f"GROUP_POLICY_FILE is '.*': .*{told}"):
            read_settings(platform.environ(GROUP_POLICY_FILE=str(file)))

    def test_accounts_must_agree(self, platform: Platform) -> None:
        with pytest.raises(SettingsError, match="SOURCE_BUCKETS must name the same accounts"):
            read_settings(platform.environ(SOURCE_BUCKETS="{}"))

    def test_defaults(self, platform: Platform) -> None:
        environ = platform.environ()
        for name in ("GROUP_POLICY_FILE", "GROUP_TAGS", "IMAGE_ACCOUNTS", "LEASE_SECONDS"):
            del environ[name]
        settings = read_settings(environ)
        assert (settings.group_policy, settings.group_tags) == ("", {})
        assert (settings.image_accounts, settings.lease_seconds) == (frozenset(), 960)
        assert settings.copy_threshold_bytes == 5 * 1024**3
        assert FRAMEWORK_ACCOUNT in read_settings(platform.environ()).image_accounts
