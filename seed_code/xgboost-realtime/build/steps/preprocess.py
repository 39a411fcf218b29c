"""Turns raw abalone records into training, validation and test sets, or refuses them.

Runs inside SageMaker's scikit-learn image, so it needs only what that image has, and a Python from
3.9 on. The folders are arguments; nothing is known about AWS.

Input: one or more ``*.csv`` or ``*.data`` files with the columns of :data:`COLUMNS`, either named
in a header, in any order, or without a header in that order. Output: CSV without a header, the
label first, as SageMaker's XGBoost reads it, with the features in the order of :data:`FEATURES`.

Nothing is fitted on the data: who asks the endpoint builds the same features from a record alone.
Rows are split by a hash of their content. A row therefore stays in its set when others are added,
and equal rows are never on both sides of the split.
"""

# pandas brings no types, and what is guessed of it is wrong.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

LABEL = "rings"
SEXES = ("F", "I", "M")
SPLITS = ("train", "validation", "test")

_EXIT_MESSAGE_BYTES = 1024  # Source: DescribeProcessingJob's ExitMessage, SageMaker API reference.
_TOLD = 5  # examples of one kind of error


@dataclass(frozen=True)
class Column:
    """What values of a numeric column are possible.

    Attributes:
        least: The smallest possible value.
        most: The largest.
        whole: Whether only whole numbers are.
    """

    least: float
    most: float
    whole: bool = False


# Lengths are in units of 200 mm and weights of 200 g, as in the original data, where two heights
# are zero. The bounds are far outside of what was ever measured: they catch other units.
MEASURES = {
    "length": Column(0, 2),
    "diameter": Column(0, 2),
    "height": Column(0, 2),
    "whole_weight": Column(0, 10),
    "shucked_weight": Column(0, 10),
    "viscera_weight": Column(0, 10),
    "shell_weight": Column(0, 10),
}
NUMBERS = {**MEASURES, LABEL: Column(1, 60, whole=True)}
COLUMNS = ("sex", *NUMBERS)
FEATURES = (*(f"sex_{sex.lower()}" for sex in SEXES), *MEASURES)


class RefusedError(ValueError):
    """The data cannot be used; the message has a line for each reason."""


def read_records(folder: Path) -> pd.DataFrame:
    """All records of a folder, checked, with the columns of :data:`COLUMNS`.

    Raises:
        RefusedError: Whatever is wrong with any file, all at once.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".csv", ".data") and p.is_file())
    if not paths:
        raise RefusedError(f"{folder} has no *.csv or *.data file.")
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
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
        if not first:
            raise RefusedError(f"{path.name} is empty.")
        names = [name.strip().strip('"') for name in first.split(",")]
        headed = not _is_record(names)
        raw = pd.read_csv(
            path,
            header=0 if headed else None,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path.name} is not UTF-8 text ({error.reason}).") from error
    except pd.errors.ParserError as error:
        raise RefusedError(f"{path.name} is not CSV: {error}") from error
    if headed:
        raw.columns = [_normal(str(name)) for name in raw.columns]
        missing = [name for name in COLUMNS if name not in raw.columns]
        if missing:
            raise RefusedError(
                f"{path.name} has no column {', '.join(missing)}; it has {', '.join(raw.columns)}."
            )
        # pandas would name a second one otherwise.
        given = [_normal(name) for name in names]
        doubled = sorted({name for name in given if given.count(name) > 1})
        if doubled:
            raise RefusedError(f"{path.name} has the column {', '.join(doubled)} twice.")
        raw = raw[list(COLUMNS)]
    elif len(raw.columns) != len(COLUMNS):
        raise RefusedError(
            f"{path.name} has {len(raw.columns)} columns and no header; expected {len(COLUMNS)}: "
            f"{', '.join(COLUMNS)}."
        )
    else:
        raw.columns = list(COLUMNS)
    if raw.empty:
        raise RefusedError(f"{path.name} has a header and no rows.")
    return _checked(raw, path.name)


def _normal(name: str) -> str:
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")


def _is_record(values: Sequence[str]) -> bool:
    """Whether the first line is data: a sex, or nothing but numbers after its first value."""
    if values[0] in SEXES:
        return True
    return len(values) > 1 and all(_is_number(value) for value in values[1:])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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

    made = {}
    text = raw["sex"].str.strip()
    tell("sex", text.isna(), "missing")
    tell("sex", text.notna() & ~text.isin(SEXES), f"expected {', '.join(SEXES)}")
    made["sex"] = text
    for column, allowed in NUMBERS.items():
        text = raw[column]
        value = pd.to_numeric(text, errors="coerce")
        tell(column, text.isna(), "missing")
        tell(column, text.notna() & value.isna(), "not a number")
        inside = value.between(allowed.least, allowed.most)
        tell(
            column,
            value.notna() & ~inside,
            f"out of range, expected {allowed.least:g} to {allowed.most:g}",
        )
        if allowed.whole:
            tell(column, inside & (value % 1 != 0), "expected a whole number")
        made[column] = value.astype(float)
    if problems:
        raise RefusedError("\n".join(problems))
    return pd.DataFrame(made)


def features(records: pd.DataFrame) -> pd.DataFrame:
    """The label and the features of records, in the order of the training files."""
    columns = {LABEL: records[LABEL].astype(int)}
    for sex in SEXES:
        columns[f"sex_{sex.lower()}"] = (records["sex"] == sex).astype(int)
    for measure in MEASURES:
        columns[measure] = records[measure]
    return pd.DataFrame(columns)


def split(records: pd.DataFrame, shares: Sequence[float], seed: int) -> pd.Series:
    """The set of each record, one of :data:`SPLITS`.

    Args:
        records: The records.
        shares: Of training, validation and test; together 1.
        seed: Another one gives another split.
    """
    train, validation, _ = shares

    def place(row: tuple[object, ...]) -> str:
        told = repr((seed, *row)).encode()
        part = int.from_bytes(hashlib.sha256(told).digest()[:8], "big") / 2**64
        if part < train:
            return "train"
        return "validation" if part < train + validation else "test"

    rows = records.itertuples(index=False, name=None)
    return pd.Series([place(row) for row in rows], index=records.index, dtype=str)


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
    table = features(records)
    sets = split(records, shares, seed)
    rows = {name: int((sets == name).sum()) for name in SPLITS}
    small = [f"{name} {count}" for name, count in rows.items() if count < minimum]
    if small:
        raise RefusedError(
            f"{len(records)} rows are too few: each set needs {minimum}, but there are "
            f"{', '.join(small)}."
        )
    for name, folder in targets.items():
        folder.mkdir(parents=True, exist_ok=True)
        table[sets == name].to_csv(folder / f"{name}.csv", header=False, index=False)
    return rows


def tell(message: str, file: Path) -> None:
    """Leaves a message where SageMaker takes a job's ``ExitMessage``, if the place exists."""
    if file.parent.is_dir():
        text = message.encode()[:_EXIT_MESSAGE_BYTES].decode(errors="ignore")
        file.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the sets were written, 1 when the data was refused."""
    parser = argparse.ArgumentParser(description="Splits checked abalone records into sets.")
    processing = Path("/opt/ml/processing")
    parser.add_argument("--input", type=Path, default=processing / "input" / "data")
    for name in SPLITS:
        parser.add_argument(f"--{name}", type=Path, default=processing / name)
    parser.add_argument("--shares", default="0.7,0.15,0.15", help="of train,validation,test")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--minimum-rows", type=int, default=100, help="that each set must have")
    parser.add_argument("--columns", default="", help="that are expected: the label, the features")
    parser.add_argument("--data-version", default="unknown", help="told with the result")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    shares = [float(share) for share in given.shares.split(",")]
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        parser.error(f"--shares {given.shares}: expected three positive numbers that sum to 1")
    made = ",".join((LABEL, *FEATURES))
    if given.columns and given.columns != made:
        parser.error(f"--columns {given.columns}: this script makes {made}")
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
