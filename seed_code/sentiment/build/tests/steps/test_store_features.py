from __future__ import annotations

import datetime as dt
import json
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from steps import store_features
from steps.store_features import RefusedError

GROUP = "acme-dev-reviews-records"
NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
ROWS = [
    {"record_id": "a", "text": "not bad", "label": 2, "split": "train"},
    {"record_id": "b", "text": "so so", "label": 1, "split": "test"},
]


class Store:
    """Online records by id, as the Feature Store keeps them."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, str]] = {}
        self.puts: list[str] = []
        self.asked: list[int] = []
        self._lock = threading.Lock()

    def batch_get_record(self, *, Identifiers: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        (asked,) = Identifiers
        ids = asked["RecordIdentifiersValueAsString"]
        self.asked.append(len(ids))
        found = [
            {
                "FeatureGroupName": GROUP,
                "RecordIdentifierValueAsString": key,
                "Record": [
                    {"FeatureName": name, "ValueAsString": value}
                    for name, value in self.records[key].items()
                ],
            }
            for key in ids
            if key in self.records
        ]
        return {"Records": found, "Errors": [], "UnprocessedIdentifiers": []}

    def put_record(self, *, FeatureGroupName: str, Record: list[dict[str, str]]) -> None:  # noqa: N803
        assert FeatureGroupName == GROUP
        values = {item["FeatureName"]: item["ValueAsString"] for item in Record}
        with self._lock:
            self.records[values["record_id"]] = values
            self.puts.append(values["record_id"])


def test_a_text_becomes_what_is_known_of_it_without_its_words() -> None:
    records = store_features.describe(ROWS)
    assert records["a"] == {
        "record_id": "a", "characters": "7", "words": "2", "label": "2", "split": "train",
    }  # fmt: skip
    assert set(records["a"]) == set(store_features.FEATURES) - {store_features.TIME}
    assert "bad" not in json.dumps(records)


def test_of_equal_texts_the_last_row_tells() -> None:
    twice = [*ROWS, {**ROWS[0], "label": 0}]
    assert store_features.describe(twice)["a"]["label"] == "0"


def test_the_same_again_puts_nothing_and_changes_alone_are_put() -> None:
    store, records = Store(), store_features.describe(ROWS)
    assert store_features.store(store, GROUP, records, NOW) == {"stored": 2, "unchanged": 0}
    assert store.records["a"]["event_time"] == "2026-03-04T05:06:07Z"
    later = NOW + dt.timedelta(days=1)
    assert store_features.store(store, GROUP, records, later) == {"stored": 0, "unchanged": 2}
    assert store.records["a"]["event_time"] == "2026-03-04T05:06:07Z"
    corrected = store_features.describe([{**ROWS[0], "label": 1}, ROWS[1]])
    assert store_features.store(store, GROUP, corrected, later) == {"stored": 1, "unchanged": 1}
    assert store.records["a"]["event_time"] == "2026-03-05T05:06:07Z"
    assert sorted(store.puts) == ["a", "a", "b"]


def test_no_call_asks_for_more_records_than_the_service_gives() -> None:
    store = Store()
    rows = [{**ROWS[0], "record_id": str(number)} for number in range(230)]
    store_features.store(store, GROUP, store_features.describe(rows), NOW)
    assert store.asked == [100, 100, 30]
    assert len(set(store.puts)) == 230


def test_calls_are_as_the_services_model_has_them_and_a_group_that_may_not_be_read_is_told() -> (
    None
):
    client = boto3.client(
        "sagemaker-featurestore-runtime", region_name="eu-west-1",
        aws_access_key_id="key", aws_secret_access_key="secret",
    )  # fmt: skip
    error = {
        "FeatureGroupName": GROUP, "RecordIdentifierValueAsString": "a",
        "ErrorCode": "AccessDenied", "ErrorMessage": "not yours",
    }  # fmt: skip
    wanted = {"FeatureGroupName": GROUP, "RecordIdentifiersValueAsString": ["a"]}
    records = store_features.describe(ROWS[:1])
    values = {**records["a"], "event_time": "2026-03-04T05:06:07Z"}
    with Stubber(client) as service:
        service.add_response(
            "batch_get_record",
            {"Records": [], "Errors": [], "UnprocessedIdentifiers": []},
            {"Identifiers": [wanted]},
        )
        service.add_response(
            "put_record",
            {},
            {
                "FeatureGroupName": GROUP,
                "Record": [
                    {"FeatureName": name, "ValueAsString": values[name]}
                    for name in store_features.FEATURES
                ],
            },
        )
        assert store_features.store(client, GROUP, records, NOW)["stored"] == 1
        service.add_response(
            "batch_get_record",
            {"Records": [], "Errors": [error], "UnprocessedIdentifiers": []},
            {"Identifiers": [wanted]},
        )
        with pytest.raises(RefusedError, match="cannot be read: not yours"):
            store_features.store(client, GROUP, records, NOW)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "has no *.csv file"), ("record_id,text,label\n", "test.csv has no column split")],
)
def test_what_is_not_prepared_is_refused_before_anything_is_put(
    tmp_path: Path, content: str | None, told: str
) -> None:
    if content:
        (tmp_path / "test.csv").write_text(content)
    with pytest.raises(RefusedError) as refused:
        store_features.read_rows(tmp_path)
    assert told in str(refused.value)
    message = tmp_path / "message"
    code = store_features.main(
        ["--input", str(tmp_path), "--features", str(tmp_path / "out"), "--group", GROUP,
         "--region", "eu-west-1", "--message-file", str(message)]
    )  # fmt: skip
    assert code == 1
    assert told in message.read_text()
    assert not (tmp_path / "out").exists()
