"""Stands in for AWS's ground truth merger: puts labels to the captured records they belong to.

A label belongs to the record of its ``eventId``: the record's ``inferenceId``, which the caller
gave, or else its own ``eventId``. What a batch transform answered is CSV with the id and the time
of each row as its last two columns: each row becomes a record. Records without a label are left
out; of two labels of one id the one read last counts. Run by the seed environment's interpreter;
``/opt/ml`` is its argument.

Sources: SageMaker developer guide, "Ingest Ground Truth labels and merge them with predictions",
"Capture data from batch transform job"; AWS's example "Monitoring Bias Drift for Batch Transform".
Decided here: the ids are not among a record's data.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

captured: Any = importlib.import_module("captured_records")

_WITH_IDS = 3
"""Columns of a transform's answer, at least."""


def merge(given: Mapping[str, str]) -> tuple[int, int]:
    """Merges, and writes each file of captured records under its own path again.

    Args:
        given: ``dataset_source``, ``ground_truth_source`` and ``output_path``; of batch transforms
            ``dataset_format`` too.

    Returns:
        How many records were merged, and how many there were.

    Raises:
        UserError: No label belongs to any record, or a transform's rows have no ids.
    """
    source, output = Path(given["dataset_source"]), Path(given["output_path"])
    labels: dict[str, Any] = {
        record["eventMetadata"]["eventId"]: record[captured.LABELS]
        for _, record in captured.records(_files(Path(given["ground_truth_source"])))
    }
    merged: dict[Path, list[str]] = {}
    seen = 0
    form = json.loads(given.get("dataset_format") or "{}")
    read = _transformed(_files(source), form["csv"]) if "csv" in form else None
    for path, record in read or captured.records(_files(source)):
        seen += 1
        event = record["eventMetadata"]
        label = labels.get(event.get("inferenceId") or event["eventId"])
        if label is not None:
            line = json.dumps({**record, captured.LABELS: label})
            merged.setdefault(path.relative_to(source), []).append(line)
    if not merged:
        raise captured.UserError(
            f"None of {len(labels)} labels belongs to any of {seen} captured records: a label's"
            " eventMetadata.eventId must be the inference id that the caller gave, or else the"
            " captured record's eventId."
        )
    for name, lines in merged.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return sum(map(len, merged.values())), seen


def _transformed(
    files: Sequence[Path], form: Mapping[str, Any]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The rows of a transform's answers as records, each with the file that it is in."""
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
        for row in rows[1:] if form.get("header") else rows:
            if len(row) < _WITH_IDS:
                raise captured.UserError(
                    f"{path.name} has a row of {len(row)} columns: a prediction, an id and a time"
                    " are expected, as transforms with GenerateInferenceId answer."
                )
            *values, key, moment = row
            data = io.StringIO()
            csv.writer(data, lineterminator="").writerow(values)
            told = {"data": data.getvalue(), "encoding": "CSV", "observedContentType": "text/csv"}
            yield (
                path,
                {
                    "captureData": {captured.TRANSFORMED: told},
                    "eventMetadata": {"eventId": key.strip(), "inferenceTime": moment.strip()},
                    "eventVersion": "0",
                },
            )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def main(ml: Path) -> int:
    """Merges; gives the exit code and leaves the message where SageMaker takes it."""
    print("Stand-in of the local cloud for AWS's ground truth merger.", flush=True)
    (ml / "output").mkdir(exist_ok=True)
    try:
        message, code = "Completed: {} of {} records have a label.".format(*merge(os.environ)), 0
    except captured.UserError as error:
        message, code = f"Error: {error}", 1
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        message, code = f"Error: a record or label is not as documented: {error!r}", 1
    (ml / "output" / "message").write_text(message, encoding="utf-8")
    print(message, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
