"""What needs no AWS: names, limits, URIs and the card's content, for any input."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.promotion.artifacts import (
    MAX_PART_BYTES,
    MIN_PART_BYTES,
    Artifact,
    Kind,
    check_artifacts,
    choose_checksum,
    find_artifacts,
    plan_parts,
    read_head,
    rewritten,
    target_uri,
)
from functions.promotion.events import Refused, Source, read_notice
from functions.promotion.images import read_image
from functions.promotion.model_card import (
    SCHEMA,
    Report,
    card_content,
    card_name,
    merged,
    metric_groups,
    training_job_details,
    violations,
)
from functions.promotion.promote import Promoter
from functions.promotion.registry import (
    Registry,
    central_description,
    central_group,
    central_metadata,
    client_token,
    missing,
)

ARN = "arn:aws:sagemaker:eu-west-1:222222222222:model-package/acme-dev-houses/7"
SOURCE = Source.parse(ARN)
GROUPS = st.from_regex(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", fullmatch=True).filter(
    lambda name: len(name) <= 63
)
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=70), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.integers(1, 5 * 1024**4), st.integers(MIN_PART_BYTES, MAX_PART_BYTES))
def test_parts_cover_an_object_exactly_and_keep_s3s_limits(size: int, part: int) -> None:
    part = max(part, size // 3000)  # many parts are slow to make here, not in S3
    parts = plan_parts(size, part)
    assert parts[0][0] == 0
    assert parts[-1][1] == size - 1
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(parts))
    assert all(last - first + 1 <= MAX_PART_BYTES for first, last in parts)


def test_the_largest_object_has_no_more_parts_than_s3_takes() -> None:
    parts = plan_parts(5 * 1024**4, MIN_PART_BYTES)
    assert len(parts) <= 10_000
    assert all(last - first + 1 >= MIN_PART_BYTES for first, last in parts[:-1])


@given(st.lists(st.tuples(st.sampled_from(["one", "two"]), KEYS), min_size=1, max_size=8))
def test_every_place_is_found_and_rewritten_to_a_place_of_its_own(
    places: list[tuple[str, str]],
) -> None:
    uris = [f"s3://{bucket}/{key}" for bucket, key in places]
    description = {
        "InferenceSpecification": {
            "Containers": [{"ModelDataUrl": uri, "Environment": {"A": uri}} for uri in uris]
        },
        "ModelMetrics": {"Bias": {"Report": {"S3Uri": uris[0], "ContentType": "x"}}},
        "ModelPackageDescription": "see s3://elsewhere/x",
        "CustomerMetadataProperties": {"Data": "s3://elsewhere/y"},
    }
    found = {artifact.uri for artifact in find_artifacts(description)}
    assert found == set(uris)
    changed = [rewritten(uri, SOURCE, "hub") for uri in uris]
    assert len(set(changed)) == len(set(uris))
    assert all(
        uri.startswith("s3://hub/promoted/222222222222/acme-dev-houses/7/") for uri in changed
    )
    again = rewritten(description["InferenceSpecification"], SOURCE, "hub")
    assert [item["ModelDataUrl"] for item in again["Containers"]] == changed


def test_what_an_s3_uri_stands_for_comes_from_its_place() -> None:
    def source(kind: str, key: str) -> dict[str, Any]:
        return {"S3DataSource": {"S3DataType": kind, "S3Uri": f"s3://b/{key}"}}

    description = {
        "InferenceSpecification": {
            "Containers": [
                {"ModelDataSource": source("S3Prefix", "prefix"), "ModelDataUrl": "s3://b/object"},
                {"ModelDataSource": source("S3Object", "single")},
                {"ModelDataUrl": "s3://b/folder/"},
            ]
        },
        "ValidationSpecification": {"TransformOutput": {"S3OutputPath": "s3://b/out"}},
        "SourceUri": "https://example.com/not-in-s3",
    }
    assert {item.key: item.kind for item in find_artifacts(description)} == {
        "prefix": Kind.PREFIX,
        "object": Kind.OBJECT,
        "single": Kind.OBJECT,
        "folder/": Kind.PREFIX,
        "out": Kind.OUTPUT,
    }
    assert Artifact("b", "k", Kind.OBJECT).uri == "s3://b/k"
    assert target_uri("s3://b/k", SOURCE, "hub").endswith("/7/b/k")


@pytest.mark.parametrize(
    ("containers", "recorded"),
    [
        ([{"ModelDataUrl": "s3://b/m", "ModelDataETag": "e"}], {"e"}),
        # Whether SageMaker writes them with quotes or without, they are the same.
        ([{"ModelDataUrl": "s3://b/m", "ModelDataETag": '"e-2"'}], {"e-2"}),
        ([{"ModelDataUrl": "s3://b/m"}], set[str]()),
        ([{"S3DataSource": {"S3DataType": "S3Object", "S3Uri": "s3://b/m", "ETag": "e"}}], {"e"}),
        # What it is of many objects is not known.
        (
            [{"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/m", "ETag": "e"}}],
            set[str](),
        ),
        # An object has to be all that was recorded of it.
        (
            [
                {"ModelDataUrl": "s3://b/m", "ModelDataETag": "e"},
                {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/m"}},
                {"ModelDataUrl": "s3://b/m", "ModelDataETag": "f"},
            ],
            {"e", "f"},
        ),
    ],
)
def test_what_sagemaker_recorded_of_an_object_is_known(
    containers: list[dict[str, Any]], recorded: set[str]
) -> None:
    (found,) = find_artifacts({"InferenceSpecification": {"Containers": containers}})
    assert found.etags == recorded


def named_as(kind: str, uri: str) -> dict[str, Any]:
    """A version that names a place in S3 in one of the ways that there are."""
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}
    job = {"TransformInput": {"DataSource": data}, "TransformOutput": {}}
    written = {"TransformOutput": {"S3OutputPath": uri}}
    return {
        "model": {"InferenceSpecification": {"Containers": [{"ModelDataUrl": uri}]}},
        "prefix": {"InferenceSpecification": {"Containers": [{"ModelDataSource": data}]}},
        "variable": {"InferenceSpecification": {"Containers": [{"Environment": {"CODE": uri}}]}},
        "another way to run it": {
            "AdditionalInferenceSpecifications": [{"Containers": [{"ModelDataUrl": uri}]}]
        },
        "metrics": {"ModelMetrics": {"Bias": {"Report": {"S3Uri": uri}}}},
        "baseline": {"DriftCheckBaselines": {"ModelDataQuality": {"Constraints": {"S3Uri": uri}}}},
        "payload": {"SamplePayloadUrl": uri},
        "source": {"SourceUri": uri},
        "algorithm": {
            "SourceAlgorithmSpecification": {"SourceAlgorithms": [{"ModelDataUrl": uri}]}
        },
        "validation's input": {
            "ValidationSpecification": {"ValidationProfiles": [{"TransformJobDefinition": job}]}
        },
        "validation's output": {
            "ValidationSpecification": {"ValidationProfiles": [{"TransformJobDefinition": written}]}
        },
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "model",
        "prefix",
        "variable",
        "another way to run it",
        "metrics",
        "baseline",
        "payload",
        "source",
        "algorithm",
        "validation's input",
        "validation's output",
    ],
)
@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("houses/runs/1/model.tar.gz", True),
        ("houses/", True),
        ("flats/runs/1/model.tar.gz", False),
        ("houses-eu/runs/1/model.tar.gz", False),
        # As a prefix it would be all whose names begin alike.
        ("houses", False),
        ("house", False),
        ("old/houses/model.tar.gz", False),
        ("/houses/model.tar.gz", False),
    ],
)
def test_a_version_names_what_is_in_its_groups_folder_and_nothing_else(
    kind: str, key: str, own: bool
) -> None:
    artifacts = find_artifacts(named_as(kind, f"s3://dev/{key}"))
    assert [artifact.key for artifact in artifacts] == [key]

    def check() -> None:
        check_artifacts(artifacts, SOURCE, ("dev",), "houses/", "hub")

    if own:
        check()
    else:
        with pytest.raises(Refused, match=re.escape(f"s3://dev/{key} is outside the folder")):
            check()


@pytest.mark.parametrize(
    ("told", "in_parts", "algorithm"),
    [
        ({"ChecksumCRC64NVME": "a", "ChecksumType": "FULL_OBJECT"}, True, "CRC64NVME"),
        ({"ChecksumSHA256": "a", "ChecksumType": "FULL_OBJECT"}, False, "SHA256"),
        # In parts, S3 has SHA-256 of the parts only.
        ({"ChecksumSHA256": "a", "ChecksumType": "FULL_OBJECT"}, True, "CRC32"),
        ({"ChecksumSHA256": "a-3", "ChecksumType": "COMPOSITE"}, False, "CRC32"),
        ({"ChecksumCRC32": "a-3"}, False, "CRC32"),
        ({}, False, "CRC32"),
    ],
)
def test_only_checksums_of_the_whole_object_are_compared(
    told: dict[str, str], in_parts: bool, algorithm: str
) -> None:
    head = read_head({"ContentLength": 1, "ETag": "e", **told})
    assert choose_checksum(head, in_parts=in_parts) == algorithm
    assert all("-" not in value for value in head.checksums.values())


@given(st.dictionaries(st.text(max_size=200), st.text(max_size=400), max_size=80), st.text())
def test_customer_metadata_keep_awss_limits_and_lose_no_origin(
    own: dict[str, str], commit: str
) -> None:
    made = central_metadata(
        {"CustomerMetadataProperties": own, "MetadataProperties": {"CommitId": commit}}, SOURCE
    )
    allowed = re.compile(r"[\w \u00a0-\U0010ffff.:/=+\-@]*")
    assert made["SourceModelPackageArn"] == ARN
    assert len(made) <= 50
    for key, value in made.items():
        assert 1 <= len(key) <= 128
        assert 1 <= len(value) <= 256
        assert not re.search(r"[\x00-\x1f\"'<>\\{}&%$#!?*]", key + value)
        assert allowed.fullmatch(key + value)


@given(st.text(max_size=2000))
def test_a_description_keeps_its_mark_and_its_limit(text: str) -> None:
    made = central_description({"ModelPackageDescription": text}, SOURCE)
    assert len(made) <= 1024
    assert made.endswith(f"[promoted from {ARN}]")
    assert not re.search(r"[\x00-\x1f]", made)


@given(GROUPS, st.integers(1, 99_999))
def test_card_names_are_valid(group: str, version: int) -> None:
    name = card_name(group, version)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
    assert len(name) <= 63


@given(GROUPS, GROUPS, st.integers(1, 99_999), st.integers(1, 99_999))
def test_card_names_are_of_one_version(one: str, two: str, first: int, second: int) -> None:
    assert (card_name(one, first) == card_name(two, second)) == ((one, first) == (two, second))


@given(st.integers(1, 99_999), st.integers(1, 99_999))
def test_client_tokens_are_valid_and_of_one_version(one: int, two: int) -> None:
    first, second = (client_token(Source.parse(ARN[:-1] + str(n))) for n in (one, two))
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,36}", first)
    assert (first == second) == (one == two)


@settings(deadline=None)
@given(
    report=JSON,
    card=JSON,
    description=st.text(max_size=3000),
    metadata=st.dictionaries(
        st.sampled_from(["Purpose", "RiskRating", "ModelOwner", "Caveats", "x"]),
        st.text(max_size=256),
    ),
)
def test_any_source_makes_a_card_by_the_schema(
    report: Any, card: Any, description: str, metadata: dict[str, str]
) -> None:
    source = {
        "ModelPackageDescription": description,
        "CustomerMetadataProperties": metadata,
        "ModelCard": {
            "ModelCardContent": json.dumps({"intended_uses": card, "evaluation_details": card})
        },
    }

    def make() -> str:
        return card_content(
            source,
            SOURCE,
            central=central_metadata(source, SOURCE),
            artifacts=["s3://hub/model"] * 20,
            images=["image"],
            reports=[Report("ModelQuality.Statistics", "s3://hub/report", report)],
            owner="platform",
        )

    text = make()
    jsonschema.validate(json.loads(text), SCHEMA)
    assert len(text) <= 100_000
    assert "\n" not in text
    assert make() == text


def test_a_card_that_would_be_too_long_loses_numbers_first() -> None:
    numbers = {
        f"group {n}": {f"metric {m} {'x' * 200}": {"value": m} for m in range(50)}
        for n in range(20)
    }
    text = card_content(
        {"ModelPackageDescription": "Prices"},
        SOURCE,
        central={"SourceModelPackageArn": ARN},
        artifacts=[],
        images=[],
        reports=[Report("ModelQuality.Statistics", "s3://hub/report", numbers)],
        owner="",
    )
    assert 50_000 < len(text) <= 100_000
    card = json.loads(text)
    assert card["intended_uses"]["purpose_of_model"] == "Prices"
    assert card["additional_information"]["custom_details"]["SourceModelPackageArn"] == ARN


JOB: dict[str, Any] = {
    "TrainingJobArn": "arn:aws:sagemaker:eu-west-1:222222222222:training-job/pipelines-a-Train-b",
    "HyperParameters": {"max_depth": "5", "eta": "0.2"},
    "AlgorithmSpecification": {"TrainingImage": "763104351884.dkr.ecr/xgboost:1.7-1"},
    "InputDataConfig": [
        {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://dev/p/train"}}},
        {"ChannelName": "files", "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-1"}}},
    ],
    "FinalMetricDataList": [
        {"MetricName": "validation:rmse", "Value": 1.5},
        {"MetricName": "train:loss", "Value": float("nan")},
    ],
}


def made_card(**changes: Any) -> str:
    description = {"ModelPackageDescription": "Prices", **changes}
    return card_content(
        description,
        SOURCE,
        central=central_metadata(description, SOURCE),
        artifacts=["s3://hub/model"],
        images=["image"],
        reports=[Report("ModelQuality.Statistics", "s3://hub/report", {"mse": {"value": 4.5}})],
        owner="platform",
        training=JOB,
    )


def test_a_card_tells_of_the_training_what_sagemaker_knows_and_keeps_what_people_add() -> None:
    details = {
        "training_arn": "arn:of:another",
        "user_provided_training_metrics": [{"name": "hours", "value": 3}],
    }
    content = json.dumps({"training_details": {"training_job_details": details}})
    card = json.loads(made_card(ModelCard={"ModelCardContent": content}))
    jsonschema.validate(card, SCHEMA)
    assert card["training_details"]["training_job_details"] == {
        "training_arn": JOB["TrainingJobArn"],
        "training_datasets": ["s3://dev/p/train"],
        "training_environment": {"container_image": ["763104351884.dkr.ecr/xgboost:1.7-1"]},
        "training_metrics": [{"name": "validation:rmse", "value": 1.5}],
        "hyper_parameters": [{"name": "eta", "value": "0.2"}, {"name": "max_depth", "value": "5"}],
        "user_provided_training_metrics": [{"name": "hours", "value": 3}],
    }


class Dev:
    """SageMaker in dev: a pipeline's execution, whose steps trained three models."""

    def __init__(self, *steps: dict[str, Any], error: str = "") -> None:
        self.steps, self.error = steps, error

    def reader(self, *_: str) -> Dev:
        return self

    def get_paginator(self, operation: str) -> Dev:
        assert operation == "list_pipeline_execution_steps"
        return self

    def paginate(self, PipelineExecutionArn: str) -> list[dict[str, Any]]:  # noqa: N803 - AWS's
        assert PipelineExecutionArn == EXECUTION
        return [{"PipelineExecutionSteps": [{"Metadata": step}]} for step in self.steps]

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803 - AWS's
        if self.error:
            told = {"Error": {"Code": self.error, "Message": "no"}}
            raise ClientError(told, "DescribeTrainingJob")
        uri = f"s3://dev/{TrainingJobName}/model.tar.gz"
        return {"TrainingJobArn": TrainingJobName, "ModelArtifacts": {"S3ModelArtifacts": uri}}

    def describe_hyper_parameter_tuning_job(
        self,
        HyperParameterTuningJobName: str,  # noqa: N803 - AWS's
    ) -> dict[str, Any]:
        return {"BestTrainingJob": {"TrainingJobName": f"{HyperParameterTuningJobName}-best"}}


EXECUTION = "arn:aws:sagemaker:eu-west-1:222222222222:pipeline/acme-dev-houses/execution/a"
ONE, TWO = ({"TrainingJob": {"Arn": f"arn:x/{name}"}} for name in ("one", "two"))
SEARCH = {"TuningJob": {"Arn": "arn:x/search"}}


@pytest.mark.parametrize(
    ("dev", "model", "job"),
    [
        (Dev(ONE, {"ProcessingJob": {"Arn": "arn:x/p"}}), "repacked", "one"),
        (Dev(ONE, SEARCH), "search-best", "search-best"),
        (Dev(SEARCH), "repacked", "search-best"),
        (Dev(ONE, TWO), "two", "two"),
        # Which of them it was is not known, and not guessed.
        (Dev(ONE, TWO), "repacked", None),
        (Dev(), "one", None),
        (Dev(ONE, error="AccessDeniedException"), "one", None),
        (Dev(ONE, error="ResourceNotFound"), "one", None),
    ],
)
def test_the_job_that_trained_a_version_is_found(dev: Dev, model: str, job: str | None) -> None:
    container = {"ModelDataUrl": f"s3://dev/{model}/model.tar.gz"}
    version = {
        "MetadataProperties": {"GeneratedBy": EXECUTION},
        "InferenceSpecification": {"Containers": [container]},
    }
    promoter = Promoter(Any, dev, Any)
    assert promoter._training(SOURCE, version).get("TrainingJobArn") == job
    assert promoter._training(SOURCE, {**version, "MetadataProperties": {}}) == {}


def test_a_failure_that_passes_is_no_answer_about_the_training() -> None:
    version = {"MetadataProperties": {"GeneratedBy": EXECUTION}}
    with pytest.raises(ClientError, match="Throttling"):
        Promoter(Any, Dev(ONE, error="ThrottlingException"), Any)._training(SOURCE, version)


@given(
    parameters=st.dictionaries(st.text(max_size=300), st.text(max_size=2600), max_size=120),
    metrics=st.lists(
        st.fixed_dictionaries({"MetricName": st.text(max_size=300), "Value": st.floats()}),
        max_size=60,
    ),
)
def test_whatever_a_job_says_makes_details_by_the_schema(
    parameters: dict[str, str], metrics: list[dict[str, Any]]
) -> None:
    told = training_job_details(
        {**JOB, "HyperParameters": parameters, "FinalMetricDataList": metrics}
    )
    jsonschema.validate({"training_details": {"training_job_details": told}}, SCHEMA)


@settings(deadline=None)
@given(people=JSON, section=st.sampled_from([*SCHEMA["properties"], "of another schema"]))
def test_a_repeated_promotion_takes_nothing_from_a_card(people: Any, section: str) -> None:
    made = made_card()
    standing = json.dumps({**json.loads(made), section: people}, indent=1)
    after = merged(standing, made)
    assert merged(after, made) == after
    assert merged(made, made) == made
    kept = json.loads(after)
    assert keeps(json.loads(standing), kept), kept


def keeps(before: Any, after: Any, name: str = "") -> bool:
    """Whether all that was said is still said, but for where a version comes from."""
    if isinstance(before, dict):
        own = made_details() if name == "custom_details" else {}
        return all(
            key in after and (key in own or keeps(value, after[key], key))
            for key, value in before.items()
        )
    if isinstance(before, list) and isinstance(after, list):
        return all(keeps(*pair) for pair in zip(before, after, strict=False))
    return json.dumps(before) == json.dumps(after)


def made_details() -> dict[str, str]:
    return json.loads(made_card())["additional_information"]["custom_details"]


@pytest.mark.parametrize("standing", ["no json", "[]", "null"])
def test_what_is_no_card_is_left_alone(standing: str) -> None:
    assert merged(standing, made_card()) == standing


@given(JSON)
def test_the_schemas_checker_agrees_with_an_independent_one(value: Any) -> None:
    checker = jsonschema.Draft202012Validator(SCHEMA)
    for candidate in (
        value,
        {"model_overview": value},
        {"intended_uses": {"risk_rating": value, "purpose_of_model": value}},
        {"evaluation_details": [{"name": "n", "metric_groups": value}]},
        {
            "evaluation_details": [
                {
                    "name": "n",
                    "metric_groups": [
                        {
                            "name": "g",
                            "metric_data": [{"name": "m", "type": "number", "value": value}],
                        }
                    ],
                }
            ]
        },
        {"additional_information": {"custom_details": {"k": value}}},
    ):
        assert (not violations(candidate)) == checker.is_valid(candidate), candidate


def test_metrics_of_the_usual_reports() -> None:
    report = {
        "classification_metrics": {"auc": {"value": 0.9, "standard_deviation": "NaN"}},
        "accuracy": 0.8,
        "passed": True,
        "notes": "free text",
    }
    assert metric_groups(report) == [
        {
            "name": "classification_metrics",
            "metric_data": [
                {"name": "auc", "type": "number", "value": 0.9},
                {"name": "auc.standard_deviation", "type": "string", "value": "NaN"},
            ],
        },
        {
            "name": "metrics",
            "metric_data": [
                {"name": "accuracy", "type": "number", "value": 0.8},
                {"name": "passed", "type": "boolean", "value": True},
            ],
        },
    ]


@given(JSON)
def test_no_event_does_more_than_to_be_refused(event: Any) -> None:
    for body in (json.dumps(event), str(event), json.dumps({"detail": event})):
        with pytest.raises(Refused):
            read_notice(body, "eu-west-1")


@given(st.text(max_size=100))
def test_no_image_does_more_than_to_be_refused(uri: str) -> None:
    with pytest.raises(Refused):
        read_image(uri)


def test_images_are_read_with_port_free_hosts_tags_and_digests() -> None:
    digest = "sha256:" + "a" * 64
    host = "222222222222.dkr.ecr.eu-west-1.amazonaws.com"
    image = read_image(f"{host}/team/scorer:1.0", digest.upper())
    assert (image.account, image.repository, image.tag) == ("222222222222", "team/scorer", "1.0")
    assert image.wanted == {"imageDigest": digest}
    assert read_image(f"{host}/scorer@{digest}").digest == digest
    assert read_image(f"{host}/scorer").wanted == {"imageTag": "latest"}


def test_groups_are_named_by_the_hubs_prefix() -> None:
    assert central_group(SOURCE, {"222222222222": "acme-dev-"}, "acme-hub-") == "acme-hub-houses"
    for prefixes in ({}, {"222222222222": "other-"}, {"222222222222": "acme-dev-houses"}):
        with pytest.raises(Refused):
            central_group(SOURCE, prefixes, "acme-hub-")


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ValidationException", f"ModelPackage {ARN} does not exist.", True),
        ("ResourceNotFound", "Modelcard x does not exist", True),
        ("ValidationException", "1 validation error detected", False),
        ("ValidationException", "The role does not exist or cannot be assumed", False),
        ("ThrottlingException", "Rate exceeded", False),
        ("AccessDeniedException", "because the group does not exist", False),
        ("InternalFailure", "It does not exist", False),
    ],
)
def test_only_sagemakers_own_word_counts_as_missing(
    code: str, message: str, expected: bool
) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "Describe")
    assert missing(error) is expected


class Listed:
    """A group whose versions were promoted one an hour, the newest first, as SageMaker pages it."""

    def __init__(self, versions: int, newest: datetime) -> None:
        self.versions, self.newest, self.pages = versions, newest, 0

    def get_paginator(self, operation: str) -> Listed:
        assert operation == "list_model_packages"
        return self

    def paginate(self, **given: Any) -> Iterator[dict[str, Any]]:
        assert (given["SortBy"], given["SortOrder"]) == ("CreationTime", "Descending")
        size = given["PaginationConfig"]["PageSize"]
        for start in range(0, self.versions, size):
            self.pages += 1
            yield {
                "ModelPackageSummaryList": [
                    {
                        "ModelPackageArn": f"arn:hub/{self.versions - age}",
                        "CreationTime": self.newest - timedelta(hours=age),
                        "ModelPackageDescription": f"[promoted from arn:dev/{self.versions - age}]",
                    }
                    for age in range(start, min(start + size, self.versions))
                ]
            }


@pytest.mark.parametrize(("version", "pages"), [(1000, 1), (950, 1), (850, 2), (1001, 1)])
def test_looking_for_a_version_takes_no_longer_the_more_there_were_before(
    version: int, pages: int
) -> None:
    newest = datetime(2026, 11, 1, tzinfo=UTC)
    listed = Listed(1000, newest)
    # It was registered in dev right before it was promoted.
    made = newest - timedelta(hours=1000 - version, seconds=5)
    source = replace(SOURCE, arn=f"arn:dev/{version}")
    found = Registry(listed).find("group", source, made)
    assert found == (f"arn:hub/{version}" if version <= 1000 else "")
    assert listed.pages == pages
