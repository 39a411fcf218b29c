"""A project's feature group: what it is, whose records it is, and which job may have a network."""

from __future__ import annotations

from typing import Any

import pytest
from mlops_policy.model import Example

from components.naming import Names
from components.projects import features
from localcloud.authorization import Evaluator
from tests.policy import harness
from tests.unit.conftest import Program, place
from tests.unit.data_science import Role
from tests.unit.projects import GROUPS, SUBNETS, key, program, roles

DEV = Names.at(place("dev"))
# Its name begins with the project's.
OWN, OTHER = "house", "house-two"
FEATURES = {"rooms": "Integral", "price": "Fractional"}
GROUP = "aws:sagemaker/featureGroup:FeatureGroup"
GOOD: dict[str, str | list[str]] = {
    "sagemaker:VpcSubnets": SUBNETS,
    "sagemaker:VpcSecurityGroupIds": GROUPS,
    "sagemaker:VolumeKmsKeyArn": key("dev", "storage"),
    "sagemaker:OutputKmsKeyArn": key("dev", "models"),
    "sagemaker:InstanceTypes": ["ml.m5.xlarge"],
    "sagemaker:InterContainerTrafficEncryption": "true",
    "sagemaker:NetworkIsolation": "false",
}
STEP_JOB = "processing-job/pipelines-abc123-StoreFeatures-xyz"


@pytest.fixture(scope="module")
def made() -> Program:
    return program(OWN, features=FEATURES)


@pytest.fixture(scope="module")
def own(made: Program, evaluator: Evaluator) -> dict[str, Role]:
    return roles(evaluator, made, OWN)


def allowed(own: dict[str, Role], action: str, arn: str, **context: Any) -> set[str]:
    return {name for name, role in own.items() if role.may(action, arn, context=context)}


def test_no_rule_of_the_policy_pack_is_violated(made: Program) -> None:
    count, violations = harness.judged(
        Example(resource.type, resource.inputs, resource.name) for resource in made.resources
    )
    assert not violations, "\n".join(violations)
    assert count > 30


def test_both_stores_are_encrypted_and_the_offline_one_is_in_the_projects_folder(
    made: Program,
) -> None:
    (group,) = made.of(GROUP)
    given = group.inputs
    assert given["featureGroupName"] == "acme-dev-house-records"
    known = {item["featureName"]: item["featureType"] for item in given["featureDefinitions"]}
    assert known == {"record_id": "String", "event_time": "String", **FEATURES}
    assert given["recordIdentifierFeatureName"] == "record_id"
    assert given["eventTimeFeatureName"] == "event_time"
    assert given["onlineStoreConfig"] == {
        "enableOnlineStore": True,
        "securityConfig": {"kmsKeyId": key("dev", "data")},
    }
    assert given["offlineStoreConfig"] == {
        "s3StorageConfig": {
            "s3Uri": f"s3://{DEV.bucket('data')}/house/features/",
            "kmsKeyId": key("dev", "data"),
        },
        "disableGlueTableCreation": True,
    }


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("house/features/111/sagemaker/x.parquet", True),
        ("house/input/a.csv", False),
        ("house-two/features/x.parquet", False),
        ("features/x.parquet", False),
    ],
)
def test_the_stores_role_writes_there_and_nowhere_else(
    own: dict[str, Role], path: str, may: bool
) -> None:
    place_ = f"{DEV.bucket_arn('data')}/{path}"
    assert allowed(own, "s3:PutObject", place_) == ({"dev/feature-store"} if may else set())


def test_the_stores_role_carries_the_tag_by_which_the_data_bucket_knows_it(made: Program) -> None:
    (role,) = [
        item.inputs
        for item in made.of("aws:iam/role:Role")
        if item.inputs["name"] == "acme-dev-house-feature-store"
    ]
    assert role["tags"] == {"Principal": DEV.role("feature-store")}


def group_arn(project: str) -> str:
    return DEV.arn("sagemaker", f"feature-group/{features.group_name(DEV, project)}")


@pytest.mark.parametrize("action", ["PutRecord", "GetRecord", "BatchGetRecord"])
def test_records_are_the_jobs_own_and_from_the_vpc_alone(own: dict[str, Role], action: str) -> None:
    asked = f"sagemaker:{action}"
    inside = {"aws:SourceVpc": "vpc-1"}
    assert allowed(own, asked, group_arn(OWN), **inside) == {"dev/training"}
    assert allowed(own, asked, group_arn(OTHER), **inside) == set()
    assert allowed(own, asked, DEV.arn("sagemaker", "feature-group/acme-dev-central-features"),
                   **inside) == set()  # fmt: skip
    assert allowed(own, asked, group_arn(OWN)) == set()
    assert allowed(own, asked, group_arn(OWN), **{"aws:SourceVpc": "vpc-2"}) == set()


@pytest.mark.parametrize("action", ["DeleteRecord", "DeleteFeatureGroup", "UpdateFeatureGroup"])
def test_nobody_of_the_project_takes_records_or_the_group_away(
    own: dict[str, Role], action: str
) -> None:
    inside = {"aws:SourceVpc": "vpc-1"}
    assert allowed(own, f"sagemaker:{action}", group_arn(OWN), **inside) == set()


@pytest.mark.parametrize(
    ("action", "job", "may"),
    [
        ("CreateProcessingJob", STEP_JOB, True),
        ("CreateProcessingJob", STEP_JOB.lower(), True),
        ("CreateProcessingJob", "processing-job/pipelines-abc123-Evaluate-xyz", False),
        ("CreateProcessingJob", "processing-job/StoreFeatures-xyz", False),
        ("CreateTrainingJob", "training-job/pipelines-abc123-StoreFeatures-xyz", False),
        ("CreateHyperParameterTuningJob",
         "hyper-parameter-tuning-job/pipelines-abc123-StoreFeatures-xyz", False),
    ],
)  # fmt: skip
def test_only_the_step_that_reaches_the_store_may_have_a_network(
    own: dict[str, Role], action: str, job: str, may: bool
) -> None:
    role, arn = own["dev/pipeline"], DEV.arn("sagemaker", job)
    assert role.may(f"sagemaker:{action}", arn, context=GOOD) == may


@pytest.mark.parametrize(
    "change",
    [
        {"sagemaker:VpcSubnets": []},
        {"sagemaker:VpcSubnets": ["subnet-public"]},
        {"sagemaker:VpcSecurityGroupIds": []},
        {"sagemaker:VolumeKmsKeyArn": key("dev", "other")},
        {"sagemaker:OutputKmsKeyArn": key("dev", "data")},
        {"sagemaker:InstanceTypes": ["ml.p4d.24xlarge"]},
        {"sagemaker:InterContainerTrafficEncryption": "false"},
    ],
    ids=str,
)
def test_that_step_too_is_held_to_network_keys_and_instances(
    own: dict[str, Role], change: dict[str, Any]
) -> None:
    said = {name: value for name, value in {**GOOD, **change}.items() if value != []}
    arn = DEV.arn("sagemaker", STEP_JOB)
    assert not own["dev/pipeline"].may("sagemaker:CreateProcessingJob", arn, context=said)


def test_without_features_there_is_none_of_it(evaluator: Evaluator) -> None:
    plain = program(OWN)
    assert plain.of(GROUP) == []
    found = roles(evaluator, plain, OWN)
    assert "dev/feature-store" not in found
    arn = DEV.arn("sagemaker", STEP_JOB)
    assert not found["dev/pipeline"].may("sagemaker:CreateProcessingJob", arn, context=GOOD)
    inside = {"aws:SourceVpc": "vpc-1"}
    assert allowed(found, "sagemaker:PutRecord", group_arn(OWN), **inside) == set()
