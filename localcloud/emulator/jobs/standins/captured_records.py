"""Reads what endpoints captured, with the labels that were merged into it: for the stand-ins.

A captured record is one request with its answer and holds one row or more; the labels of a merged
one are as many. Where a preprocessing script is given, it makes one row of each record. Source:
SageMaker developer guide, "Capture data from real-time endpoint", "Ingest Ground Truth labels and
merge them with predictions", "Preprocessing and Postprocessing".
"""

from __future__ import annotations

import csv
import importlib.util
import inspect
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ASKED, ANSWERED, LABELS = "endpointInput", "endpointOutput", "groundTruthData"
TRANSFORMED = "batchTransformOutput"
"""What a batch transform answered to a row, of merged records."""

Row = dict[str, list[str]]
"""Side -> its values of one row."""


class UserError(Exception):
    """What was given cannot be analyzed; the message says why."""


def records(files: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """All records of files, each with the file that it is in."""
    for path in files:
        for line in path.read_text("utf-8").splitlines():
            yield path, json.loads(line)


def read(
    files: Sequence[Path], sides: Sequence[str], times: tuple[str, str] | None
) -> tuple[dict[str, list[str]], list[Row]]:
    """Names of the columns by side, where the data tells them, and all rows.

    Args:
        files: Captured or merged records.
        sides: Those wanted; a record that lacks one has no column of it.
        times: Begin and end of the time that counts, as ISO 8601; None for all.

    Raises:
        UserError: A record's sides have different numbers of rows, or are of no format served here.
    """
    names: dict[str, list[str]] = {}
    rows: list[Row] = []
    for path, record in records(files):
        if times and not times[0] <= record["eventMetadata"]["inferenceTime"] < times[1]:
            continue
        given: Mapping[str, Any] = {**record["captureData"], LABELS: record.get(LABELS)}
        found: dict[str, list[list[str]]] = {}
        for side in sides:
            if given.get(side):
                names[side], found[side] = _side(given[side])
        _split(found)
        if len({len(part) for part in found.values()}) > 1:
            raise UserError(
                f"{path.name}: a request has another number of records than its answer or labels."
            )
        for number in range(len(next(iter(found.values()), ()))):
            rows.append({side: part[number] for side, part in found.items()})
    return names, rows


def preprocessed(
    files: Sequence[Path], script: Path, times: tuple[str, str] | None
) -> tuple[list[str], list[list[str]]]:
    """Names of the columns that a preprocessing script makes, and a row of each record.

    Args:
        files: Captured records.
        script: With ``preprocess_handler(inference_record)``; it may take a ``logger`` too.
        times: Begin and end of the time that counts, as ISO 8601; None for all.

    Raises:
        UserError: The script has no handler, or fails, or gives something else than one flat
            object, with the same names for each record.
    """
    handler = _handler(script)
    more = {}
    if "logger" in inspect.signature(handler).parameters:
        more["logger"] = logging.getLogger("Preprocessing")
    names: list[str] = []
    rows: list[list[str]] = []
    for path, record in records(files):
        if times and not times[0] <= record["eventMetadata"]["inferenceTime"] < times[1]:
            continue
        try:
            row = handler(_given(record), **more)
        # The script is the user's, and may fail by anything.
        except Exception as error:
            raise UserError(
                f"{script.name} failed on a record of {path.name}: {error!r}. Please double check"
                " the preprocessor script."
            ) from error
        if not isinstance(row, dict) or any(isinstance(v, (dict, list)) for v in row.values()):
            raise UserError(f"{script.name} made {str(row)[:80]}: expected one flat object.")
        names = names or sorted(row)
        if sorted(row) != names:
            raise UserError(f"{script.name} made {sorted(row)} after {names}: expected the same.")
        rows.append(["" if row[name] is None else str(row[name]) for name in names])
    return names, rows


def _handler(script: Path) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location("preprocessor", script)
    if spec is None or spec.loader is None:
        raise UserError(f"{script.name} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{script.name} cannot be loaded: {error!r}") from error
    if not callable(getattr(module, "preprocess_handler", None)):
        raise UserError(f"{script.name} has no preprocess_handler(inference_record).")
    return module.preprocess_handler


def _given(record: Mapping[str, Any]) -> SimpleNamespace:
    """A record as scripts get it."""

    def side(name: str) -> SimpleNamespace | None:
        found = record["captureData"].get(name)
        return found and SimpleNamespace(
            data=found["data"],
            encoding=found["encoding"],
            mode=found.get("mode"),
            observed_content_type=found.get("observedContentType"),
        )

    event = record["eventMetadata"]
    return SimpleNamespace(
        endpoint_input=side(ASKED),
        endpoint_output=side(ANSWERED),
        event_metadata=SimpleNamespace(
            event_id=event["eventId"],
            inference_id=event.get("inferenceId"),
            inference_time=event["inferenceTime"],
            custom_attribute=event.get("customAttributes"),
        ),
    )


def _split(found: dict[str, list[list[str]]]) -> None:
    """Models that answer one number a record may put all of them into one line."""
    rows = {len(found[side]) for side in (ASKED, LABELS) if side in found}
    answers = found.get(ANSWERED)
    if answers and len(rows) == 1 and len(answers) == 1 and {len(answers[0])} == rows:
        found[ANSWERED] = [[value] for value in answers[0]]


def _side(side: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    if side["encoding"] == "CSV":
        return [], [row for row in csv.reader(side["data"].splitlines()) if row]
    if side["encoding"] == "JSON":
        content = json.loads(side["data"])
        if isinstance(content, dict) and not any(
            isinstance(value, (dict, list)) for value in content.values()
        ):
            return list(content), [["" if v is None else str(v) for v in content.values()]]
    raise UserError(
        f"Captured {side.get('observedContentType')} ({side['encoding']}) is neither CSV nor a flat"
        " JSON object: set the capture's content types, or give a preprocessing script."
    )
