"""The steps around a batch transform: is the input usable, and is the output worth using?

Runs inside the model's own image, so it needs only a Python from 3.9 on. Folders and addresses are
arguments; nothing is known about AWS.

    quality.py input --key KEY --source URI --columns N …
    quality.py output --predictions-uri URI --model-package ARN --execution ARN …

``input`` reads what arrived, and hands the files that it has read on to the transform: what was
checked is what is predicted on, whatever arrives meanwhile. ``output`` compares the predictions
with it. Each writes a manifest, and a verdict with the cause where data is no good, which is the
job's exit message too. On the verdict of the input the pipeline decides; output that is no good
fails the job, after all of that is written.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

FORMAT = 1
"""Of the manifests; changes when a reader of the old one would misread the new one."""

_TOLD = 5  # problems of one file
_CAUSE = 1000  # characters
_MESSAGE = 1024  # bytes of an exit message; source: ExitMessage in the SageMaker API reference
REFUSED = 3
"""Exit code for output that is no good; Python itself ends with 1 or 2 where the script fails."""


@dataclass
class Report:
    """What was found in a set of files.

    Attributes:
        files: For each file its address, bytes, rows and SHA-256.
        problems: Why they cannot be used; empty when they can.
    """

    files: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(item["rows"] for item in self.files)


def address(path: Path, uri: str) -> dict[str, Any]:
    """A file as manifests name it."""
    content = path.read_bytes()
    return {"uri": uri, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def arrived(folder: Path, key: str) -> list[tuple[Path, str]]:
    """The files to predict on, and the key of each.

    S3 knows prefixes only: with ``input/a.csv`` comes ``input/a.csv.old`` too.

    Args:
        folder: Where they are.
        key: Key of one object, or a prefix that ends with a slash.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not key.endswith("/"):
        name = key.rpartition("/")[2]
        return [(path, key) for path in files if path.relative_to(folder).as_posix() == name]
    return [(path, key + path.relative_to(folder).as_posix()) for path in files]


def check_input(
    folder: Path, kept: Path, *, bucket_uri: str, key: str, columns: int, numeric: bool
) -> Report:
    """Reads rows of CSV without a header, and hands on what may be predicted on.

    Args:
        folder: What arrived.
        kept: Where the files go whose rows are right.
        bucket_uri: ``s3://bucket``.
        key: What was asked for.
        columns: How many values a row has.
        numeric: Whether each value must be a finite number.
    """
    report = Report()
    found = arrived(folder, key)
    if not found:
        report.problems.append(f"there is no object at {bucket_uri}/{key}")
    for path, own_key in found:
        rows, problems = _rows(path, columns, numeric)
        if not rows and not problems:
            problems = ["has no rows"]
        report.problems += _few(own_key, problems)
        report.files.append({**address(path, f"{bucket_uri}/{own_key}"), "rows": len(rows)})
        # Blank lines and line ends are made alike: a row is a line for the transform.
        target = kept / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return report


def _rows(path: Path, columns: int, numeric: bool) -> tuple[list[str], list[str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        return [], [f"is not UTF-8 text ({error.reason})"]
    rows, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            [values] = csv.reader([line], strict=True)
        except (csv.Error, ValueError) as error:
            problems.append(f"line {number} is not CSV: {error}")
            continue
        told = _of_row(values, columns, numeric)
        if told:
            problems.append(f"line {number} {told}")
        rows.append(line.strip())
    return rows, problems


def _of_row(values: Sequence[str], columns: int, numeric: bool) -> str:
    if len(values) != columns:
        return f"has {len(values)} columns, {columns} are expected"
    for place, value in enumerate(values, 1):
        if not value.strip():
            return f"has no value in column {place}"
        if numeric and not _is_number(value):
            return f"has {value.strip()[:40]!r} in column {place}, which is no finite number"
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _few(name: str, problems: Sequence[str]) -> Iterator[str]:
    for problem in problems[:_TOLD]:
        yield f"{name} {problem}"
    if len(problems) > _TOLD:
        yield f"{name} has {len(problems) - _TOLD} more lines like that"


@dataclass
class Values:
    """Predictions of all files together."""

    count: int = 0
    total: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, value: float) -> None:
        """Counts one in."""
        self.count += 1
        self.total += value
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)

    def summary(self) -> dict[str, Any]:
        """For the manifest."""
        if not self.count:
            return {"count": 0}
        mean = self.total / self.count
        return {
            "count": self.count, "lowest": self.lowest, "highest": self.highest, "mean": mean,
        }  # fmt: skip


def check_output(
    folder: Path,
    inputs: dict[str, Any],
    *,
    predictions_uri: str,
    values_per_row: int,
    lowest: float,
    highest: float,
    identified: bool = False,
) -> tuple[Report, Values]:
    """Compares predictions with the input that they were made from.

    Args:
        folder: The transform's output: ``{input}.out`` for each input.
        inputs: The manifest of the input.
        predictions_uri: Where the output is.
        values_per_row: How many numbers the model answers to a row.
        lowest: Least plausible prediction.
        highest: Largest plausible prediction.
        identified: Whether a line is of one row, with its id and time after the predictions.
    """
    report, values = Report(), Values()
    expected = {f"{name}.out": rows for name, rows in inputs["handed_on"].items()}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    seen: set[str] = set()
    report.problems += [f"{name} is missing" for name in sorted(set(expected) - there)]
    report.problems += [f"{name} belongs to no input" for name in sorted(there - set(expected))]
    for name in sorted(there & set(expected)):
        path = folder / name
        text, problems = path.read_text(encoding="utf-8", errors="replace"), list[str]()
        if identified:
            text, problems = _without_ids(text, values_per_row, seen)
        # Images differ in what stands between the predictions of a request.
        answers = [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
        rows = len(answers) // values_per_row
        if len(answers) != expected[name] * values_per_row:
            problems.append(
                f"has {len(answers)} predictions, {expected[name] * values_per_row} are expected "
                f"for {expected[name]} rows"
            )
        for number, answer in enumerate(answers, 1):
            if not _is_number(answer):
                problems.append(f"prediction {number} is {answer[:40]!r}, which is no number")
            else:
                values.add(float(answer))
                if not lowest <= float(answer) <= highest:
                    problems.append(
                        f"prediction {number} is {float(answer):g}, not within {lowest:g} and "
                        f"{highest:g}"
                    )
        report.problems += _few(name, problems)
        uri = f"{predictions_uri.rstrip('/')}/{name}"
        report.files.append({**address(path, uri), "rows": rows})
    return report, values


def _without_ids(text: str, values_per_row: int, seen: set[str]) -> tuple[str, list[str]]:
    """Predictions of a file without their ids and times, and what is wrong with those.

    Args:
        text: The file.
        values_per_row: How many numbers the model answers to a row.
        seen: Ids of all files; those of this one are added.
    """
    kept, problems = [], []
    for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
        values = line.split(",")
        if len(values) != values_per_row + 2:
            problems.append(
                f"line {number} has {len(values)} values, {values_per_row + 2} are expected: "
                "predictions, an id and a time"
            )
            continue
        *answers, key, _ = values
        if not key.strip() or key in seen:
            problems.append(f"line {number} has no id of its own: labels would not find it")
        seen.add(key)
        kept.append(",".join(answers))
    return "\n".join(kept), problems


def write_verdict(folder: Path, message: Path, what: str, problems: Sequence[str]) -> None:
    """What was found: ``accepted`` is 1 or 0, ``cause`` says why not, as the exit message does.

    Args:
        folder: Of the verdict.
        message: The file of the exit message.
        what: ``input`` or ``output``.
        problems: What is no good.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cause = "; ".join(problems)
    if len(cause) > _CAUSE:
        cause = cause[: _CAUSE - 1] + "…"
    verdict = {"accepted": 0 if problems else 1, "cause": cause}
    (folder / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")
    if problems:
        told = f"The {what} is refused: {cause}".encode()[:_MESSAGE]
        message.parent.mkdir(parents=True, exist_ok=True)
        # A cut may leave half a character.
        message.write_text(told.decode(errors="ignore"), encoding="utf-8")


def _manifest(folder: Path, content: dict[str, Any]) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")  # noqa: UP017 - Python 3.9
    whole = {"format": FORMAT, "created_at": now, **content}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(whole, indent=2, sort_keys=True)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


def _input_step(given: argparse.Namespace) -> list[str]:
    report = check_input(
        given.data,
        given.kept,
        bucket_uri=given.bucket_uri,
        key=given.key,
        columns=given.columns,
        numeric=not given.text,
    )
    names = {
        path.relative_to(given.data).as_posix(): item["rows"]
        for (path, _), item in zip(arrived(given.data, given.key), report.files)  # noqa: B905 - 3.9
    }
    _manifest(
        given.report,
        {"inputs": report.files, "handed_on": names, "rows": report.rows,
         "problems": report.problems},
    )  # fmt: skip
    return report.problems


def _output_step(given: argparse.Namespace) -> list[str]:
    inputs = json.loads((given.checked / "manifest.json").read_text(encoding="utf-8"))
    report, values = check_output(
        given.data,
        inputs,
        predictions_uri=given.predictions_uri,
        values_per_row=given.values_per_row,
        lowest=given.lowest,
        highest=given.highest,
        identified=given.identified,
    )
    _manifest(
        given.report,
        {
            "execution_arn": given.execution,
            "model_package_arn": given.model_package,
            "inputs": inputs["inputs"],
            "outputs": report.files,
            "rows": report.rows,
            "predictions": values.summary(),
            "identified": given.identified,
            "accepted": not report.problems,
            "problems": report.problems,
        },
    )
    return report.problems


def main(arguments: Sequence[str]) -> int:
    """Runs one of the two steps.

    Returns:
        0, or :data:`REFUSED`; the verdict says what the step found.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    steps = parser.add_subparsers(required=True)
    before = steps.add_parser("input")
    before.set_defaults(step=_input_step, what="input", refused=0)
    before.add_argument("--key", required=True)
    before.add_argument("--bucket-uri", required=True)
    before.add_argument("--columns", type=int, required=True)
    before.add_argument("--text", action="store_true", help="values need not be numbers")
    before.add_argument("--kept", type=Path, default=Path("/opt/ml/processing/kept"))
    after = steps.add_parser("output")
    after.set_defaults(step=_output_step, what="output", refused=REFUSED)
    after.add_argument("--predictions-uri", required=True)
    after.add_argument("--model-package", required=True)
    after.add_argument("--execution", required=True)
    after.add_argument("--values-per-row", type=int, default=1)
    after.add_argument("--lowest", type=float, required=True)
    after.add_argument("--highest", type=float, required=True)
    after.add_argument("--identified", action="store_true", help="rows end with an id and a time")
    after.add_argument("--checked", type=Path, default=Path("/opt/ml/processing/checked"))
    for step in (before, after):
        step.add_argument("--data", type=Path, default=Path("/opt/ml/processing/data"))
        step.add_argument("--report", type=Path, default=Path("/opt/ml/processing/report"))
        step.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    problems = given.step(given)
    write_verdict(given.report, given.message, given.what, problems)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return given.refused if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
