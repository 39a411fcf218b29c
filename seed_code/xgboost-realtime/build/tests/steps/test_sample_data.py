from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import sample_data
from steps import preprocess

FOLDER = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = list(sample_data.records(20_000, seed=5))
    table = pd.DataFrame(rows, columns=list(sample_data.COLUMNS))
    numbers = list(sample_data.COLUMNS[1:])
    return table.astype(dict.fromkeys(numbers, float))


def test_the_same_seed_gives_the_same_records() -> None:
    assert list(sample_data.records(50, 1)) == list(sample_data.records(50, 1))
    assert list(sample_data.records(50, 1)) != list(sample_data.records(50, 2))


def test_the_columns_are_those_that_preprocessing_takes() -> None:
    assert sample_data.COLUMNS == preprocess.COLUMNS


def test_records_are_what_the_description_says(table: pd.DataFrame) -> None:
    shares = table["sex"].value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"M": 0.365, "I": 0.32, "F": 0.315}, abs=0.015)
    infants = table["sex"] == "I"
    assert table["length"][infants].mean() == pytest.approx(0.1 + 0.55 / 2, abs=0.01)
    assert table["length"][~infants].mean() == pytest.approx(0.15 + 0.6 * 4 / 6.5, abs=0.01)
    assert (table["shucked_weight"] / table["whole_weight"]).median() == pytest.approx(
        0.43, abs=0.01
    )
    assert table["rings"].between(1, 29).all()
    assert (table["rings"] % 1 == 0).all()


def test_the_error_that_no_model_can_avoid_is_as_documented(table: pd.DataFrame) -> None:
    shell, shucked, whole = (table[n] for n in ("shell_weight", "shucked_weight", "whole_weight"))
    expected = 3 + 11 * shell**0.5 - 6 * (shucked / whole - 0.43)
    expected += 2.5 * (table["length"] >= 0.55) - 0.8 * (table["sex"] == "I")
    error = statistics.pstdev(table["rings"] - expected)
    assert error == pytest.approx(sample_data.lowest_rmse(), rel=0.03)


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    command = [sys.executable, "sample_data.py", "--rows", "5", "--output", str(file)]
    subprocess.run(command, cwd=FOLDER, check=True)
    assert file.read_text().splitlines()[0] == ",".join(sample_data.COLUMNS)
    assert len(file.read_text().splitlines()) == 6
