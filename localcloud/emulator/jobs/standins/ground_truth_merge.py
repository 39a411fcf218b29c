"""Stands in for AWS's ground truth merger: puts labels to the captured records they belong to.

A label belongs to the record of its ``eventId``: the record's ``inferenceId``, which the caller
gave, or else its own ``eventId``. Records without a label are left out; of two labels of one id the
one read last counts. Run by the seed environment's interpreter; ``/opt/ml`` is its argument.

Source: SageMaker developer guide, "Ingest Ground Truth labels and merge them with predictions".
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

captured: Any = importlib.import_module("captured_records")


def merge(given: Mapping[str, str]) -> tuple[int, int]:
    """Merges, and writes each file of captured records under its own path again.

    Args:
        given: ``dataset_source``, ``ground_truth_source`` and ``output_path``.

    Returns:
        How many records were merged, and how many there were.

    Raises:
        UserError: No label belongs to any record.
    """
    source, output = Path(given["dataset_source"]), Path(given["output_path"])
    labels: dict[str, Any] = {
        record["eventMetadata"]["eventId"]: record[captured.LABELS]
        for _, record in captured.records(_files(Path(given["ground_truth_source"])))
    }
    merged: dict[Path, list[str]] = {}
    seen = 0
    for path, record in captured.records(_files(source)):
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
