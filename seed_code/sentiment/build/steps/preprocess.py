"""Turns labelled texts into training, validation and test sets, or refuses them.

Runs inside SageMaker's scikit-learn image, so it needs only what that image has, and a Python from
3.9 on. The folders are arguments; nothing is known about AWS.

Input: one or more ``*.csv`` files with a header that names the columns ``text`` and ``label``, in
any order, among others. A label is a name of :data:`LABELS`, in any case, or its number. Output:
``*.csv`` with the header ``record_id,text,label,split``, the label as a number; the record's id is
a hash of its text.

Nothing is fitted on the data. Texts are split by a hash of their content: a text stays in its set
when others are added, and equal texts are never on both sides of the split.
"""

# pandas brings no types, and what is guessed of it is wrong.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

LABELS = ("negative", "neutral", "positive")
COLUMNS = ("text", "label")
SPLITS = ("train", "validation", "test")
LONGEST = 2000
"""Characters of a text; what is longer is no short text and is told, not cut."""

_EXIT_MESSAGE_BYTES = 1024  # Source: DescribeProcessingJob's ExitMessage, SageMaker API reference.
_TOLD = 5  # examples of one kind of error


class RefusedError(ValueError):
    """The data cannot be used; the message has a line for each reason."""


def read_records(folder: Path) -> pd.DataFrame:
    """All records of a folder, checked, with the columns of :data:`COLUMNS`.

    Raises:
        RefusedError: Whatever is wrong with any file, all at once.
    """
    paths = sorted(path for path in folder.rglob("*.csv") if path.is_file())
    if not paths:
        raise RefusedError(f"{folder} has no *.csv file.")
    frames, problems = [], []
    for path in paths:
        try:
            frames.append(_read_file(path))
        except RefusedError as error:
            problems.append(str(error))
    if problems:
        raise RefusedError("\n".join(problems))
    return pd.concat(frames, ignore_index=True)


def _read_file(path: Path) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise RefusedError(f"{path.name} is empty.") from None
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path.name} is not UTF-8 text ({error.reason}).") from error
    except pd.errors.ParserError as error:
        raise RefusedError(f"{path.name} is not CSV: {error}") from error
    raw.columns = [str(name).strip().lower() for name in raw.columns]
    missing = [name for name in COLUMNS if name not in raw.columns]
    if missing:
        raise RefusedError(
            f"{path.name} has no column {', '.join(missing)}; it has {', '.join(raw.columns)}."
        )
    if raw.empty:
        raise RefusedError(f"{path.name} has a header and no rows.")
    return _checked(raw[list(COLUMNS)], path.name)


def _checked(raw: pd.DataFrame, name: str) -> pd.DataFrame:
    """The records with their types; rows are counted from 1, without the header."""
    problems: list[str] = []

    def tell(column: str, wrong: pd.Series, what: str) -> None:
        if wrong.any():
            rows = [int(row) + 1 for row in raw.index[wrong][:_TOLD]]
            shown = ", ".join(f"row {row}: {str(raw[column][row - 1])[:40]!r}" for row in rows)
            more = int(wrong.sum()) - len(rows)
            rest = f" and {more} more" if more else ""
            problems.append(f"{name}, {column}: {what} ({shown}{rest}).")

    text = raw["text"].str.strip()
    tell("text", text == "", "missing")
    tell("text", text.str.len() > LONGEST, f"longer than {LONGEST} characters")
    numbers = {**{name: index for index, name in enumerate(LABELS)}}
    numbers |= {str(index): index for index in range(len(LABELS))}
    label = raw["label"].str.strip().str.lower().map(numbers)
    tell("label", label.isna(), f"expected {', '.join(LABELS)} or 0 to {len(LABELS) - 1}")
    if problems:
        raise RefusedError("\n".join(problems))
    return pd.DataFrame({"text": text, "label": label.astype(int)})


def identify(records: pd.DataFrame) -> pd.Series:
    """The id of each record: equal texts have the same."""
    marks = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in records["text"]]
    return pd.Series(marks, index=records.index, dtype=str)


def split(records: pd.DataFrame, shares: Sequence[float], seed: int) -> pd.Series:
    """The set of each record, one of :data:`SPLITS`.

    Args:
        records: The records.
        shares: Of training, validation and test; together 1.
        seed: Another one gives another split.
    """
    train, validation, _ = shares

    def place(text: str) -> str:
        told = repr((seed, text)).encode()
        part = int.from_bytes(hashlib.sha256(told).digest()[:8], "big") / 2**64
        if part < train:
            return "train"
        return "validation" if part < train + validation else "test"

    return pd.Series([place(text) for text in records["text"]], index=records.index, dtype=str)


def run(
    source: Path, targets: dict[str, Path], shares: Sequence[float], seed: int, minimum: int
) -> dict[str, int]:
    """Reads, checks, splits and writes.

    Args:
        source: Folder of the records.
        targets: Set -> the folder that it is written to.
        shares: Of training, validation and test.
        seed: Of the split.
        minimum: Rows that each set must have.

    Returns:
        Set -> rows.

    Raises:
        RefusedError: The data cannot be used.
    """
    records = read_records(source)
    records["split"] = split(records, shares, seed)
    records.insert(0, "record_id", identify(records))
    sets = {name: records[records["split"] == name] for name in SPLITS}
    small = [f"{name} {len(rows)}" for name, rows in sets.items() if len(rows) < minimum]
    if small:
        raise RefusedError(
            f"{len(records)} rows are too few: each set needs {minimum}, but there are "
            f"{', '.join(small)}."
        )
    lacking = [LABELS[n] for n in range(len(LABELS)) if n not in set(sets["train"]["label"])]
    if lacking:
        raise RefusedError(f"The training set has no text that is {' or '.join(lacking)}.")
    for name, folder in targets.items():
        folder.mkdir(parents=True, exist_ok=True)
        sets[name].to_csv(folder / f"{name}.csv", index=False)
    return {name: len(rows) for name, rows in sets.items()}


def tell(message: str, file: Path) -> None:
    """Leaves a message where SageMaker takes a job's ``ExitMessage``, if the place exists."""
    if file.parent.is_dir():
        text = message.encode()[:_EXIT_MESSAGE_BYTES].decode(errors="ignore")
        file.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the sets were written, 1 when the data was refused."""
    parser = argparse.ArgumentParser(description="Splits checked texts into sets.")
    processing = Path("/opt/ml/processing")
    parser.add_argument("--input", type=Path, default=processing / "input" / "data")
    for name in SPLITS:
        parser.add_argument(f"--{name}", type=Path, default=processing / name)
    parser.add_argument("--shares", default="0.7,0.15,0.15", help="of train,validation,test")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--minimum-rows", type=int, default=100, help="that each set must have")
    parser.add_argument("--data-version", default="unknown", help="told with the result")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    shares = [float(share) for share in given.shares.split(",")]
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        parser.error(f"--shares {given.shares}: expected three positive numbers that sum to 1")
    targets = {name: getattr(given, name) for name in SPLITS}
    try:
        rows = run(given.input, targets, shares, given.seed, given.minimum_rows)
    except RefusedError as error:
        message = f"The data was refused.\n{error}"
        tell(message, given.message_file)
        print(message, file=sys.stderr)
        return 1
    result = json.dumps({"data_version": given.data_version, "rows": rows})
    tell(result, given.message_file)
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
