"""Feature Store: what is put is found online, and offline as Parquet where the service has it."""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError

from tests.localcloud.emulators import DEV, REGION
from tests.localcloud.jobs_world import BUCKET, TRUST, World, world
from tests.localcloud.kit import until

RUNTIME = "sagemaker-featurestore-runtime"
FEATURES = {"record_id": "String", "event_time": "String", "score": "Fractional", "n": "Integral"}
TIME = "2026-03-04T05:06:07Z"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("features")) as made:
        role = made.cloud.role(
            "features",
            {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/features/*"},
            {"Action": "kms:GenerateDataKey", "Resource": made.key},
            trust=TRUST,
        )
        make(made, "reviews", role)
        yield made


def make(jobs: World, name: str, role: str, **changes: Any) -> None:
    given = {
        "RecordIdentifierFeatureName": "record_id",
        "EventTimeFeatureName": "event_time",
        "FeatureDefinitions": [
            {"FeatureName": feature, "FeatureType": kind} for feature, kind in FEATURES.items()
        ],
        "OnlineStoreConfig": {"EnableOnlineStore": True},
        "OfflineStoreConfig": {
            "S3StorageConfig": {"S3Uri": f"s3://{BUCKET}/features/", "KmsKeyId": jobs.key}
        },
        "RoleArn": role,
        **changes,
    }
    jobs.sagemaker.create_feature_group(
        FeatureGroupName=name,
        **{member: value for member, value in given.items() if value is not None},
    )


def put(jobs: World, group: str = "reviews", runtime: Any = None, **values: str) -> None:
    record = [{"FeatureName": name, "ValueAsString": value} for name, value in values.items()]
    (runtime or jobs.client(RUNTIME)).put_record(FeatureGroupName=group, Record=record)


def get(jobs: World, key: str, **more: Any) -> dict[str, str]:
    answer = jobs.client(RUNTIME).get_record(
        FeatureGroupName="reviews", RecordIdentifierValueAsString=key, **more
    )
    return {item["FeatureName"]: item["ValueAsString"] for item in answer.get("Record", [])}


def offline(jobs: World, group: str = "reviews") -> dict[str, list[dict[str, Any]]]:
    """Key below the group's folder -> rows, as an independent reader finds them."""
    told = jobs.sagemaker.describe_feature_group(FeatureGroupName=group)
    root = told["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
    prefix = root.removeprefix(f"s3://{BUCKET}/")
    s3 = jobs.client("s3")
    found: dict[str, list[dict[str, Any]]] = {}
    for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", []):
        body = s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
        table = pyarrow.parquet.read_table(io.BytesIO(body))
        found[item["Key"].removeprefix(f"{prefix}/")] = table.to_pylist()
    return found


def rows(jobs: World, key: str, count: int = 1) -> list[dict[str, Any]]:
    def mine() -> list[dict[str, Any]]:
        every = [row for file in offline(jobs).values() for row in file]
        return [row for row in every if row["record_id"] == key]

    return until(mine, lambda found: len(found) >= count)


def test_a_record_is_online_at_once_and_offline_in_the_hour_of_its_event(jobs: World) -> None:
    put(jobs, record_id="a", event_time=TIME, score="0.25", n="7")
    assert get(jobs, "a") == {"record_id": "a", "event_time": TIME, "score": "0.25", "n": "7"}
    assert get(jobs, "a", FeatureNames=["n"]) == {"n": "7"}
    [row] = rows(jobs, "a")
    assert (row["score"], row["n"], row["event_time"]) == (0.25, 7, TIME)
    assert row["is_deleted"] is False
    assert abs(row["write_time"] - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(
        minutes=2
    )
    assert row["api_invocation_time"] <= row["write_time"]
    [key] = [name for name, found in offline(jobs).items() if row in found]
    assert re.fullmatch(
        r"year=2026/month=03/day=04/hour=05/20260304T050607Z_[A-Za-z0-9]{16}\.parquet", key
    )
    told = jobs.sagemaker.describe_feature_group(FeatureGroupName="reviews")
    uri = told["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
    stamp = int(told["CreationTime"].timestamp())
    assert uri == (
        f"s3://{BUCKET}/features/{DEV}/sagemaker/{REGION}/offline-store/reviews-{stamp}/data"
    )
    head = jobs.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="features/")["Contents"][0]
    object_ = jobs.client("s3").head_object(Bucket=BUCKET, Key=head["Key"])
    assert object_["SSEKMSKeyId"] == jobs.key


def test_an_older_record_does_not_replace_a_newer_one_online_but_is_history(jobs: World) -> None:
    put(jobs, record_id="b", event_time="2026-01-02T00:00:00Z", n="2")
    put(jobs, record_id="b", event_time="2026-01-01T00:00:00.500Z", n="1")
    assert get(jobs, "b")["n"] == "2"
    found = rows(jobs, "b", 2)
    assert sorted(row["n"] for row in found) == [1, 2]
    assert found[0]["score"] is None


def test_a_deleted_record_is_gone_online_and_marked_offline(jobs: World) -> None:
    put(jobs, record_id="c", event_time="2026-01-01T00:00:00Z", n="1")
    jobs.client(RUNTIME).delete_record(
        FeatureGroupName="reviews",
        RecordIdentifierValueAsString="c",
        EventTime="2026-01-02T00:00:00Z",
    )
    assert get(jobs, "c") == {}
    assert sorted(row["is_deleted"] for row in rows(jobs, "c", 2)) == [False, True]
    put(jobs, record_id="c", event_time="2026-01-01T12:00:00Z", n="9")
    assert get(jobs, "c") == {}


def test_many_records_come_at_once_without_those_that_are_not(jobs: World) -> None:
    for key in ("d", "e"):
        put(jobs, record_id=key, event_time=TIME, n="4")
    wanted = {"FeatureGroupName": "reviews", "RecordIdentifiersValueAsString": ["d", "e", "none"],
              "FeatureNames": ["n"]}  # fmt: skip
    answer = jobs.client(RUNTIME).batch_get_record(Identifiers=[wanted])
    assert [item["RecordIdentifierValueAsString"] for item in answer["Records"]] == ["d", "e"]
    assert answer["Records"][0]["Record"] == [{"FeatureName": "n", "ValueAsString": "4"}]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"record_id": "x", "event_time": TIME, "mood": "good"}, "Feature mood is none of reviews"),
        ({"record_id": "x", "event_time": TIME, "n": "4.5"}, "n is Integral, and '4.5' is none"),
        ({"record_id": "x", "event_time": "yesterday"}, "Event time 'yesterday' is none"),
        ({"event_time": TIME}, "The record has no record_id"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    jobs: World, values: dict[str, str], told: str
) -> None:
    with pytest.raises(ClientError, match=told):
        put(jobs, **values)
    assert get(jobs, "x") == {}


def test_who_may_use_one_group_may_not_use_another(jobs: World) -> None:
    make(jobs, "secret", jobs.role)
    put(jobs, "secret", record_id="a", event_time=TIME)
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:feature-group/reviews"
    person = jobs.cloud.role("reader", {
        "Action": ["sagemaker:GetRecord", "sagemaker:BatchGetRecord"], "Resource": arn,
    })  # fmt: skip
    runtime = jobs.cloud.client(RUNTIME, session=jobs.cloud.assume(person))
    asked = {"FeatureGroupName": "reviews", "RecordIdentifierValueAsString": "a"}
    assert "Record" in runtime.get_record(**asked)
    with pytest.raises(ClientError, match="sagemaker:PutRecord"):
        put(jobs, runtime=runtime, record_id="a", event_time=TIME)
    with pytest.raises(ClientError, match="sagemaker:GetRecord"):
        runtime.get_record(**{**asked, "FeatureGroupName": "secret"})
    both = [
        {"FeatureGroupName": name, "RecordIdentifiersValueAsString": ["a"]}
        for name in ("reviews", "secret")
    ]
    with pytest.raises(ClientError, match="sagemaker:BatchGetRecord"):
        runtime.batch_get_record(Identifiers=both)
    assert len(runtime.batch_get_record(Identifiers=both[:1])["Records"]) == 1


def test_a_role_that_may_not_write_blocks_the_offline_store_until_it_may(jobs: World) -> None:
    role = jobs.cloud.role("poor", trust=TRUST)
    make(jobs, "blocked", role)
    put(jobs, "blocked", record_id="a", event_time=TIME)

    def status() -> dict[str, Any]:
        told = jobs.sagemaker.describe_feature_group(FeatureGroupName="blocked")
        return told["OfflineStoreStatus"]

    blocked = until(status, lambda found: found["Status"] == "Blocked")
    assert "s3:PutObject" in blocked["BlockedReason"]
    assert offline(jobs, "blocked") == {}
    jobs.cloud.client("iam").put_role_policy(
        RoleName="poor", PolicyName="write",
        PolicyDocument=(
            '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*",'
            ' "Action": ["s3:PutObject", "kms:GenerateDataKey"]}]}'
        ),
    )  # fmt: skip
    put(jobs, "blocked", record_id="b", event_time=TIME)
    until(status, lambda found: found["Status"] == "Active")
    found = [row["record_id"] for file in offline(jobs, "blocked").values() for row in file]
    assert sorted(found) == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"EventTimeFeatureName": "time"}, "EventTimeFeatureName time is no feature"),
        ({"EventTimeFeatureName": "n"}, "event time is a String or a Fractional"),
        ({"OnlineStoreConfig": None, "OfflineStoreConfig": None}, "Give an OnlineStoreConfig or"),
        ({"RoleArn": None}, "An offline store needs a RoleArn"),
        ({"OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": f"s3://{BUCKET}/features/"},
                                 "TableFormat": "Iceberg"}}, "no Iceberg tables"),
        ({"OnlineStoreConfig": {"EnableOnlineStore": True, "TtlDuration": {"Unit": "Days",
                                "Value": 1}}}, "no time to live"),
    ],
)  # fmt: skip
def test_groups_that_cannot_be_are_refused(jobs: World, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ClientError, match=told):
        make(jobs, "refused", jobs.role, **changes)


def test_features_may_be_added_and_a_group_without_offline_store_is_fine(jobs: World) -> None:
    make(jobs, "online", jobs.role, OfflineStoreConfig=None)
    jobs.sagemaker.update_feature_group(
        FeatureGroupName="online",
        FeatureAdditions=[{"FeatureName": "mood", "FeatureType": "String"}],
    )
    put(jobs, "online", record_id="a", event_time=TIME, mood="good")
    names = [
        item["FeatureGroupName"]
        for item in jobs.sagemaker.list_feature_groups()["FeatureGroupSummaries"]
    ]
    assert {"reviews", "online"} <= set(names)
    jobs.sagemaker.delete_feature_group(FeatureGroupName="online")
    with pytest.raises(ClientError, match="online does not exist"):
        put(jobs, "online", record_id="a", event_time=TIME)


def test_a_group_without_a_table_names_none(jobs: World) -> None:
    storage = {"S3Uri": f"s3://{BUCKET}/features/", "KmsKeyId": jobs.key}
    store = {"S3StorageConfig": storage, "DisableGlueTableCreation": True}
    make(jobs, "untabled", jobs.role, OfflineStoreConfig=store)
    for group, tabled in (("untabled", False), ("reviews", True)):
        told = jobs.sagemaker.describe_feature_group(FeatureGroupName=group)
        assert ("DataCatalogConfig" in told["OfflineStoreConfig"]) == tabled


def test_what_is_new_in_the_catalog_is_as_open_as_the_accounts_settings_say(jobs: World) -> None:
    glue, lake = jobs.client("glue"), jobs.client("lakeformation")
    everybody = {"IAM_ALLOWED_PRINCIPALS": ["ALL"]}

    def make_table(database: str) -> list[dict[str, list[str]]]:
        """Makes a table in a new database; gives who was granted what on both."""
        glue.create_database(DatabaseInput={"Name": database})
        glue.create_table(DatabaseName=database, TableInput={"Name": "rows"})
        return [
            {
                grant["Principal"]["DataLakePrincipalIdentifier"]: grant["Permissions"]
                for grant in lake.list_permissions(Resource=on)["PrincipalResourcePermissions"]
            }
            for on in (
                {"Database": {"Name": database}},
                {"Table": {"DatabaseName": database, "Name": "rows"}},
            )
        ]

    before = lake.get_data_lake_settings()["DataLakeSettings"]
    assert make_table("early") == [everybody, everybody]
    closed = {"CreateDatabaseDefaultPermissions": [], "CreateTableDefaultPermissions": []}
    lake.put_data_lake_settings(DataLakeSettings=before | closed)
    assert make_table("late") == [{}, {}]
    # What was there is as open as before, until it is made anew.
    glue.delete_table(DatabaseName="early", Name="rows")
    glue.delete_database(Name="early")
    assert make_table("early") == [{}, {}]
