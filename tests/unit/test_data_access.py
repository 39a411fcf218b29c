"""The ways to data as AWS will get them. The data bucket's truth table is in ``test_registry``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.data_access import EXEMPT_ROLES
from localcloud.authorization import Evaluator
from tests.unit.conftest import Program, place, run_program
from tests.unit.data_science import (
    DATA_KEY,
    LOGS_KEY,
    Names,
    Role,
    boundary,
    make_data,
    role_policies,
)

NAMES = Names.at(place("dev"))
WAYS = {
    "athena": "aws:athena/workgroup:Workgroup",
    "lake_formation": "aws:lakeformation/permissions:Permissions",
    "feature_store": "aws:sagemaker/featureGroup:FeatureGroup",
    "datazone": "aws:datazone/domain:Domain",
}


@pytest.fixture(scope="module")
def data() -> Program:
    return run_program(make_data)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_a_setting(way: str, data: Program) -> None:
    assert data.of(WAYS[way])
    without = run_program(lambda: make_data({way: False}))
    assert not without.of(WAYS[way])
    assert without.one("aws:s3/bucket:Bucket", "data-data")


def test_queries_cannot_leave_the_work_group(data: Program) -> None:
    (group,) = data.of(WAYS["athena"])
    configuration = group.inputs["configuration"]
    assert configuration["enforceWorkgroupConfiguration"] is True
    result = configuration["resultConfiguration"]
    assert result["outputLocation"] == f"s3://{NAMES.bucket('data')}/athena-results/"
    assert result["encryptionConfiguration"] == {
        "encryptionOption": "SSE_KMS",
        "kmsKeyArn": DATA_KEY,
    }


def test_catalog_and_its_jobs_are_encrypted(data: Program) -> None:
    (catalog,) = data.of("aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings")
    settings = catalog.inputs["dataCatalogEncryptionSettings"]
    assert settings["encryptionAtRest"] == {
        "catalogEncryptionMode": "SSE-KMS",
        "sseAwsKmsKeyId": DATA_KEY,
    }
    assert settings["connectionPasswordEncryption"]["awsKmsKeyId"] == DATA_KEY
    (jobs,) = data.of("aws:glue/securityConfiguration:SecurityConfiguration")
    parts = jobs.inputs["encryptionConfiguration"]
    assert {name: part["kmsKeyArn"] for name, part in parts.items()} == {
        # CloudWatch Logs itself may use this one.
        "cloudwatchEncryption": LOGS_KEY,
        "jobBookmarksEncryption": DATA_KEY,
        "s3Encryption": DATA_KEY,
    }


def test_what_belongs_to_the_account_is_made_by_its_owner_only() -> None:
    shared = run_program(lambda: make_data({"owns_account": False}))
    assert not shared.of("aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings")
    assert not shared.of("aws:lakeformation/dataLakeSettings:DataLakeSettings")
    assert shared.of(WAYS["lake_formation"])


def test_readers_are_granted_reading(data: Program) -> None:
    grants = [
        grant.inputs
        for grant in data.of(WAYS["lake_formation"])
        if grant.inputs["principal"] != NAMES.role_arn("feature-store")
    ]
    assert {grant["principal"] for grant in grants} == {NAMES.role_arn("data-scientist-execution")}
    assert {right for grant in grants for right in grant["permissions"]} == {"DESCRIBE", "SELECT"}
    (settings,) = data.of("aws:lakeformation/dataLakeSettings:DataLakeSettings")
    assert settings.inputs["admins"] == [NAMES.role_arn("deployer")]


def test_new_tables_are_closed_before_there_is_one(data: Program) -> None:
    """Otherwise the account's own default opens them to all of IAM, and grants grant nothing."""
    (settings,) = data.of("aws:lakeformation/dataLakeSettings:DataLakeSettings")
    for default in ("createDatabaseDefaultPermissions", "createTableDefaultPermissions"):
        assert settings.inputs[default] == []
    (database,) = data.of("aws:glue/catalogDatabase:CatalogDatabase")
    (group,) = data.of(WAYS["feature_store"])
    for made in (database, group):
        assert settings.urn in made.needs


def test_offline_stores_are_granted_as_the_database_is(data: Program) -> None:
    grants = [(grant.inputs, grant.needs) for grant in data.of(WAYS["lake_formation"])]
    reader, (group,) = NAMES.role_arn("data-scientist-execution"), data.of(WAYS["feature_store"])
    of: dict[str, list[list[str]]] = {}
    for inputs, needs in grants:
        if inputs["principal"] == reader:
            where = inputs.get("database", {}).get("name") or inputs["table"]["databaseName"]
            of.setdefault(where, []).append(inputs["permissions"])
            assert (group.urn in needs) == (where == "sagemaker_featurestore")
    # Which registration comes first is nobody's promise.
    assert sorted(of["sagemaker_featurestore"]) == sorted(of["acme_dev_data"])
    (own,) = [i for i, _ in grants if i["principal"] == NAMES.role_arn("feature-store")]
    assert own["permissions"] == ["ALTER", "DESCRIBE"]


def test_both_feature_stores_are_encrypted(data: Program) -> None:
    (group,) = data.of(WAYS["feature_store"])
    names = {feature["featureName"] for feature in group.inputs["featureDefinitions"]}
    assert names >= {
        group.inputs["recordIdentifierFeatureName"],
        group.inputs["eventTimeFeatureName"],
    }
    assert group.inputs["onlineStoreConfig"]["securityConfig"] == {"kmsKeyId": DATA_KEY}
    assert group.inputs["offlineStoreConfig"]["s3StorageConfig"] == {
        "s3Uri": f"s3://{NAMES.bucket('data')}/features/",
        "kmsKeyId": DATA_KEY,
    }


def test_datazone_is_encrypted(data: Program) -> None:
    (domain,) = data.of(WAYS["datazone"])
    assert domain.inputs["kmsKeyIdentifier"] == DATA_KEY


def test_every_role_is_bounded(data: Program) -> None:
    roles = {role.inputs["name"]: role.inputs for role in data.of("aws:iam/role:Role")}
    assert set(roles) == {
        NAMES.role(role) for role in ("lake-formation", "feature-store", "datazone")
    }
    for role in roles.values():
        assert role["permissionsBoundary"] == NAMES.policy_arn("boundary")


def test_exempt_roles_carry_the_tag_that_exempts_them(data: Program) -> None:
    tagged = {
        role.inputs["tags"]["Principal"]
        for role in data.of("aws:iam/role:Role")
        if "tags" in role.inputs
    }
    # The third is Studio's, and tagged there.
    assert tagged == {NAMES.role(role) for role in EXEMPT_ROLES if role != "pipeline-execution"}


@pytest.mark.parametrize(
    ("role", "prefix", "others"),
    [("lake-formation", "tables/", "features/"), ("feature-store", "features/", "tables/")],
)
def test_a_services_role_reaches_its_own_part_of_the_bucket(
    role: str, prefix: str, others: str, data: Program, evaluator: Evaluator
) -> None:
    asked = Role(evaluator, NAMES, role, role_policies(data, NAMES.role(role)), boundary("dev"))
    bucket = NAMES.bucket_arn("data")
    for action in ("s3:GetObject", "s3:PutObject"):
        assert asked.may(action, f"{bucket}/{prefix}part-0")
        assert not asked.may(action, f"{bucket}/{others}part-0")
    assert not asked.may("s3:DeleteObject", f"{bucket}/{prefix}part-0")
    assert not asked.may("s3:GetObject", f"{NAMES.bucket_arn('models')}/{prefix}part-0")


def test_the_contract_is_published(data: Program) -> None:
    paths = {parameter.inputs["name"] for parameter in data.of("aws:ssm/parameter:Parameter")}
    assert paths == {
        f"/acme/dev/data/{thing}"
        for thing in ("bucket", "database", "workgroup", "feature-group", "datazone-domain")
    }


def test_every_document_is_as_reviewed(data: Program, golden: Callable[[str, Any], None]) -> None:
    golden(
        "data-access",
        {
            f"{resource.type.rpartition(':')[2]} {resource.name} {key}": document
            for resource, key, document in data.documents()
        },
    )


def test_a_preview_knows_enough() -> None:
    assert run_program(make_data, preview=True).of(WAYS["feature_store"])
