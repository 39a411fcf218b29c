"""Keeps what is known of prepared texts in the project's feature group.

Runs inside SageMaker's scikit-learn image, which has boto3, on a Python from 3.9 on. It is the one
step that calls AWS: the job has a network, in the VPC, and the Feature Store is all it asks.

Input: ``*.csv`` files of ``steps/preprocess.py``. Of each text there is one record, known by the
hash of the text; the text itself is not in it. A record that the online store has already is left
as it is, so that the same data may come again and history tells changes alone.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

TIME = "event_time"
FEATURES = ("record_id", TIME, "characters", "words", "label", "split")
"""Of a record, as the project's feature group has them."""

_COLUMNS = ("record_id", "text", "label", "split")
_AT_ONCE = 100  # records of BatchGetRecord. Source: SageMaker API reference.
_PARALLEL = 8  # PutRecord takes one record a call
_RETRIES = 10
_EXIT_MESSAGE_BYTES = 1024  # Source: DescribeProcessingJob's ExitMessage, SageMaker API reference.


class RefusedError(ValueError):
    """The features cannot be kept; the message says why."""


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of all files of a folder.

    Raises:
        RefusedError: There is no file, or one is none of ``steps/preprocess.py``.
    """
    paths = sorted(folder.rglob("*.csv"))
    if not paths:
        raise RefusedError(f"{folder} has no *.csv file.")
    rows: list[dict[str, str]] = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise RefusedError(f"{path.name} has no column {', '.join(missing)}.")
            rows += reader
    return rows


def describe(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Record id -> the record of a text but for its time; of equal texts the last row tells."""
    return {
        str(row["record_id"]): {
            "record_id": str(row["record_id"]),
            "characters": str(len(row["text"])),
            "words": str(len(row["text"].split())),
            "label": str(row["label"]),
            "split": str(row["split"]),
        }
        for row in rows
    }


def find(client: Any, group: str, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Record id -> the newest record of it, of those that the online store has.

    Args:
        client: A boto3 client of the Feature Store's runtime.
        group: The feature group's name.
        ids: Of the records.

    Raises:
        RefusedError: A record cannot be had; there being none is another thing.
        ClientError: The Feature Store's.
    """
    found: dict[str, dict[str, str]] = {}
    for first in range(0, len(ids), _AT_ONCE):
        wanted = {
            "FeatureGroupName": group,
            "RecordIdentifiersValueAsString": list(ids[first : first + _AT_ONCE]),
        }
        answer = client.batch_get_record(Identifiers=[wanted])
        for error in answer["Errors"]:
            raise RefusedError(f"{group} cannot be read: {error['ErrorMessage']}")
        for item in answer["Records"]:
            record = {part["FeatureName"]: part["ValueAsString"] for part in item["Record"]}
            found[item["RecordIdentifierValueAsString"]] = record
    return found


def store(
    client: Any, group: str, records: Mapping[str, Mapping[str, str]], moment: dt.datetime
) -> dict[str, int]:
    """Puts the records that are new or different from those in the online store.

    Args:
        client: A boto3 client of the Feature Store's runtime.
        group: The feature group's name.
        records: As :func:`describe` gives them.
        moment: Their time, in UTC.

    Returns:
        How many were ``stored``, and how many were there, ``unchanged``.

    Raises:
        RefusedError: As of :func:`find`.
        ClientError: The Feature Store's. What was put is not put again when it is tried again.
    """
    known = find(client, group, list(records))
    for record in known.values():
        record.pop(TIME, None)
    new = [record for key, record in records.items() if known.get(key) != record]
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def put(record: Mapping[str, str]) -> None:
        values = {**record, TIME: stamp}
        client.put_record(
            FeatureGroupName=group,
            Record=[{"FeatureName": name, "ValueAsString": values[name]} for name in FEATURES],
        )

    with ThreadPoolExecutor(_PARALLEL) as pool:
        for _ in pool.map(put, new):
            pass
    return {"stored": len(new), "unchanged": len(records) - len(new)}


def tell(message: str, file: Path) -> None:
    """Leaves a message where SageMaker takes a job's ``ExitMessage``, if the place exists."""
    if file.parent.is_dir():
        text = message.encode()[:_EXIT_MESSAGE_BYTES].decode(errors="ignore")
        file.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when all is kept, 1 when it was refused."""
    parser = argparse.ArgumentParser(description="Keeps features of texts.")
    processing = Path("/opt/ml/processing")
    parser.add_argument("--input", type=Path, default=processing / "input")
    parser.add_argument("--features", type=Path, default=processing / "features")
    parser.add_argument("--group", required=True, help="name of the feature group")
    parser.add_argument("--region", required=True, help="where it is")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    client: Any = boto3.client(
        "sagemaker-featurestore-runtime",
        region_name=given.region,
        config=Config(
            retries={"mode": "standard", "max_attempts": _RETRIES}, max_pool_connections=_PARALLEL
        ),
    )
    try:
        records = describe(read_rows(given.input))
        now = dt.datetime.now(dt.timezone.utc)  # noqa: UP017 - Python 3.9
        counted = store(client, given.group, records, now)
    except (RefusedError, ClientError, BotoCoreError) as error:
        message = f"The features were not kept.\n{error}"
        tell(message, given.message_file)
        print(message, file=sys.stderr)
        return 1
    result = json.dumps({"group": given.group, **counted})
    given.features.mkdir(parents=True, exist_ok=True)
    (given.features / "stored.json").write_text(result, encoding="utf-8")
    tell(result, given.message_file)
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
