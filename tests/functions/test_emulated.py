"""The emulated operations that promotion relies on answer as AWS does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functions.platform import FRAMEWORK_IMAGE, Platform


def refused(call: Any, code: str, words: str, **arguments: Any) -> None:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code
    assert words in error.value.response["Error"]["Message"]


class TestModelPackages:
    def test_a_group_is_made_once(self, platform: Platform) -> None:
        name = platform.group()
        create = platform.dev.create_model_package_group
        refused(create, "ValidationException", "already exists", ModelPackageGroupName=name)

    def test_a_token_gives_the_version_that_it_made(self, platform: Platform) -> None:
        group = platform.group()
        first = platform.register(group, ClientToken="one")
        assert platform.register(group, ClientToken="one") == first
        assert platform.register(group, ClientToken="two") != first

    def test_a_versions_tags_are_its_groups(self, platform: Platform) -> None:
        with pytest.raises(ClientError, match="tag the group"):
            platform.register(Tags=[{"Key": "a", "Value": "b"}])

    def test_an_update_changes_what_it_names(self, platform: Platform) -> None:
        arn = platform.register(
            status="PendingManualApproval",
            CustomerMetadataProperties={"a": "1", "b": "2"},
            ModelCard={"ModelCardContent": "{}", "ModelCardStatus": "Draft"},
        )
        update = platform.dev.update_model_package
        update(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
        update(
            ModelPackageArn=arn,
            CustomerMetadataProperties={"c": "3"},
            CustomerMetadataPropertiesToRemove=["a"],
        )
        told = platform.dev.describe_model_package(ModelPackageName=arn)
        assert told["CustomerMetadataProperties"] == {"b": "2", "c": "3"}
        assert (told["ModelApprovalStatus"], told["ApprovalDescription"]) == ("Approved", "good")
        assert told["ModelCard"]["ModelCardContent"] == "{}"

    def test_the_etag_of_model_data_is_recorded(self, platform: Platform) -> None:
        there, missing = platform.upload("m/one", b"one"), "s3://acme-dev-models/m/none"
        etag = platform.s3.head_object(Bucket="acme-dev-models", Key="m/one")["ETag"].strip('"')

        def recorded(container: dict[str, Any]) -> dict[str, Any]:
            container = {"Image": FRAMEWORK_IMAGE, **container}
            arn = platform.register(container=container)
            told = platform.dev.describe_model_package(ModelPackageName=arn)
            return told["InferenceSpecification"]["Containers"][0]

        def data(**source: str) -> dict[str, Any]:
            told = {"CompressionType": "None", **source}
            return recorded({"ModelDataSource": {"S3DataSource": told}})["ModelDataSource"]

        assert recorded({"ModelDataUrl": there})["ModelDataETag"] == etag
        assert recorded({"ModelDataUrl": there, "ModelDataETag": "a"})["ModelDataETag"] == "a"
        assert "ModelDataETag" not in recorded({"ModelDataUrl": missing})
        assert "ModelDataETag" not in recorded({})
        found = data(S3DataType="S3Object", S3Uri=there)
        assert found["S3DataSource"]["ETag"] == etag
        assert "ETag" not in data(S3DataType="S3Prefix", S3Uri=there)["S3DataSource"]

    def test_a_deleted_version_is_missing_and_its_number_is_spent(self, platform: Platform) -> None:
        group = platform.group()
        first, second, third = (platform.register(group) for _ in range(3))
        platform.dev.delete_model_package(ModelPackageName=second)
        for call in (platform.dev.describe_model_package, platform.dev.delete_model_package):
            refused(call, "ValidationException", "does not exist", ModelPackageName=second)
        fourth = platform.register(group)
        assert fourth.endswith("/4")
        listed = platform.dev.list_model_packages(ModelPackageGroupName=group)
        found = {item["ModelPackageArn"] for item in listed["ModelPackageSummaryList"]}
        assert found == {first, third, fourth}

    def test_a_version_needs_its_group(self, platform: Platform) -> None:
        with pytest.raises(ClientError, match="does not exist"):
            platform.register("acme-dev-never-made")


class TestImages:
    REPOSITORY = "acme-dev-scorer"

    def test_a_layer_is_what_its_digest_says(self, platform: Platform) -> None:
        where = {"repositoryName": self.REPOSITORY}
        upload = platform.ecr.initiate_layer_upload(**where)["uploadId"]
        platform.ecr.upload_layer_part(
            **where, uploadId=upload, partFirstByte=0, partLastByte=2, layerPartBlob=b"abc"
        )
        refused(
            platform.ecr.complete_layer_upload,
            "InvalidLayerException",
            "digest",
            **where,
            uploadId=upload,
            layerDigests=["sha256:" + "0" * 64],
        )

    def test_an_address_gives_the_layer_without_credentials(self, platform: Platform) -> None:
        digest = platform.push_layer(b"content of a layer", self.REPOSITORY)
        address = platform.ecr.get_download_url_for_layer(
            repositoryName=self.REPOSITORY, layerDigest=digest
        )["downloadUrl"]
        with urllib.request.urlopen(address) as layer:  # noqa: S310 - on loopback
            assert layer.read() == b"content of a layer"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address[:-1] + "!")  # noqa: S310 - on loopback

    def test_a_layer_that_is_not_there_has_no_address(self, platform: Platform) -> None:
        refused(
            platform.ecr.get_download_url_for_layer,
            "LayersNotFoundException",
            "does not exist",
            repositoryName=self.REPOSITORY,
            layerDigest="sha256:" + "0" * 64,
        )

    @pytest.mark.parametrize(
        ("manifest", "code"),
        [
            ({"layers": [{"digest": "sha256:" + "0" * 64}]}, "LayersNotFoundException"),
            (
                {"manifests": [{"digest": "sha256:" + "0" * 64}]},
                "ReferencedImagesNotFoundException",
            ),
        ],
    )
    def test_an_image_of_missing_parts_is_refused(
        self, platform: Platform, manifest: dict[str, Any], code: str
    ) -> None:
        text = json.dumps({"schemaVersion": 2, "mediaType": "x/y", **manifest})
        put = platform.ecr.put_image
        refused(put, code, "does not exist", repositoryName=self.REPOSITORY, imageManifest=text)

    def test_a_manifest_is_known_by_the_digest_of_its_text(self, platform: Platform) -> None:
        refused(
            platform.ecr.put_image,
            "ImageDigestDoesNotMatchException",
            "not that of the manifest",
            repositoryName=self.REPOSITORY,
            imageManifest=json.dumps({"schemaVersion": 2, "mediaType": "x/y"}),
            imageDigest="sha256:" + "0" * 64,
        )

    def test_an_image_that_its_tag_leaves_stays(self, platform: Platform) -> None:
        first, second = (
            platform.push(b"first", tag="moving"),
            platform.push(b"second", tag="moving"),
        )
        told = platform.ecr.batch_get_image(
            repositoryName=self.REPOSITORY,
            imageIds=[{"imageDigest": first}, {"imageTag": "moving"}],
        )
        digests = [image["imageId"]["imageDigest"] for image in told["images"]]
        assert digests == [first, second]
        assert "imageTag" not in told["images"][0]["imageId"]
