from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import sample_data
from steps import preprocess

HEADER = ",".join(sample_data.COLUMNS)
GOOD = "M,0.455,0.365,0.095,0.5140,0.2245,0.1010,0.1500,15"


def rows(count: int, seed: int = 1) -> list[str]:
    return [",".join(record) for record in sample_data.records(count, seed)]


def run(folder: Path, *arguments: str) -> int:
    return preprocess.main(
        [
            "--input", str(folder / "in"),
            *[a for name in preprocess.SPLITS for a in (f"--{name}", str(folder / name))],
            "--message-file", str(folder / "message"),
            "--minimum-rows", "1",
            *arguments,
        ]
    )  # fmt: skip


def put(folder: Path, lines: list[str], name: str = "a.csv") -> Path:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_text("\n".join(lines) + "\n")
    return folder


def written(folder: Path) -> dict[str, list[list[str]]]:
    return {
        name: list(csv.reader((folder / name / f"{name}.csv").open())) for name in preprocess.SPLITS
    }


def test_every_record_is_in_one_set_label_first_without_a_header(tmp_path: Path) -> None:
    lines = rows(300)
    assert run(put(tmp_path, [HEADER, *lines])) == 0
    sets = written(tmp_path)
    assert sum(len(items) for items in sets.values()) == 300
    found = sorted(tuple(float(v) for v in row) for items in sets.values() for row in items)
    expected = []
    for line in lines:
        sex, *measures, rings = line.split(",")
        one_hot = [float(sex == other) for other in ("F", "I", "M")]
        expected.append((float(rings), *one_hot, *[float(value) for value in measures]))
    assert found == sorted(expected)
    assert len(preprocess.FEATURES) == len(found[0]) - 1


def test_the_original_layout_without_header_gives_the_same(tmp_path: Path) -> None:
    (tmp_path / "headed").mkdir()
    (tmp_path / "bare").mkdir()
    lines = rows(200)
    assert run(put(tmp_path / "headed", [HEADER, *lines])) == 0
    assert run(put(tmp_path / "bare", lines, "abalone.data")) == 0
    assert written(tmp_path / "headed") == written(tmp_path / "bare")


def test_columns_may_come_in_any_order_and_with_others(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "mixed").mkdir()
    lines = rows(100)
    names = [
        "Rings",
        "Note",
        "Whole Weight",
        *[n for n in sample_data.COLUMNS if n not in ("rings", "whole_weight")],
    ]
    mixed = [",".join(names)]
    for line in lines:
        values = dict(zip(sample_data.COLUMNS, line.split(","), strict=True)) | {"note": "x"}
        mixed.append(",".join(values[name.lower().replace(" ", "_")] for name in names))
    assert run(put(tmp_path / "plain", [HEADER, *lines])) == 0
    assert run(put(tmp_path / "mixed", mixed)) == 0
    assert written(tmp_path / "plain") == written(tmp_path / "mixed")


def test_a_row_keeps_its_set_when_others_come_and_equal_rows_stay_together(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old = rows(300)
    grown = [*old, *rows(300, seed=2), *old[:50]]
    grown.sort(key=lambda row: row[::-1])
    assert run(put(tmp_path / "old", old)) == 0
    assert run(put(tmp_path / "new", grown)) == 0
    before, after = written(tmp_path / "old"), written(tmp_path / "new")
    for name in preprocess.SPLITS:
        assert {tuple(row) for row in before[name]} <= {tuple(row) for row in after[name]}
    contents = [{tuple(row) for row in after[name]} for name in preprocess.SPLITS]
    assert not contents[0] & contents[1]
    assert not contents[0] & contents[2]
    assert not contents[1] & contents[2]


def test_shares_and_seed_decide_the_split(tmp_path: Path) -> None:
    put(tmp_path, rows(4000))
    assert run(tmp_path, "--shares", "0.5,0.25,0.25") == 0
    first = written(tmp_path)
    assert 0.45 < len(first["train"]) / 4000 < 0.55
    assert run(tmp_path, "--shares", "0.5,0.25,0.25", "--seed", "21") == 0
    assert written(tmp_path) != first


def test_files_are_taken_together_and_the_result_is_told(tmp_path: Path) -> None:
    put(tmp_path, rows(60), "a.csv")
    put(tmp_path, [HEADER, *rows(40, seed=2)], "b.csv")
    assert run(tmp_path, "--data-version", "sha256-1") == 0
    told = json.loads((tmp_path / "message").read_text())
    assert told["data_version"] == "sha256-1"
    assert sum(told["rows"].values()) == 100


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([HEADER.replace(",height", ""), GOOD], "no column height"),
        ([HEADER.replace("rings", "age"), GOOD], "no column rings"),
        ([HEADER.replace("diameter", "length"), GOOD], "no column diameter"),
        ([HEADER + ",length", GOOD + ",1"], "column length twice"),
        ([""], "is empty"),
        ([HEADER], "a header and no rows"),
        ([GOOD + ",1"], "has 10 columns and no header"),
        ([GOOD.replace("M,", "")], "has 8 columns and no header"),
        ([HEADER, GOOD.replace("0.455", "long")], "length: not a number (row 1: 'long')"),
        ([HEADER, GOOD, GOOD.replace("0.455", "")], "length: missing (row 2"),
        ([HEADER, GOOD.replace("0.455", "nan")], "length: not a number"),
        ([HEADER, GOOD.replace("0.455", "inf")], "length: out of range, expected 0 to 2"),
        ([HEADER, GOOD.replace("0.455", "-0.1")], "length: out of range"),
        ([HEADER, GOOD.replace("0.5140", "514.0")], "whole_weight: out of range, expected 0 to 10"),
        ([HEADER, GOOD.replace(",15", ",0")], "rings: out of range, expected 1 to 60"),
        ([HEADER, GOOD.replace(",15", ",7.5")], "rings: expected a whole number"),
        ([HEADER, GOOD.replace("M,", "X,")], "sex: expected F, I, M (row 1: 'X')"),
        ([GOOD.replace("M,", "X,")], "sex: expected F, I, M"),
        ([HEADER, GOOD, GOOD + ",1,2"], "is not CSV"),
        ([HEADER, GOOD, GOOD, GOOD], "3 rows are too few"),
    ],
)
def test_bad_data_is_refused_with_its_place(tmp_path: Path, lines: list[str], told: str) -> None:
    assert run(put(tmp_path, lines), "--minimum-rows", "2") == 1
    assert told in (tmp_path / "message").read_text()
    assert not (tmp_path / "train").exists()


def test_all_reasons_come_at_once_and_fit_into_the_exit_message(tmp_path: Path) -> None:
    put(tmp_path, [HEADER, *[GOOD.replace("M,0.455", "Ü,x")] * 200], "a.csv")
    put(tmp_path, [HEADER.replace("sex,", "")], "b.csv")
    assert run(tmp_path) == 1
    message = (tmp_path / "message").read_bytes()
    assert len(message) <= 1024
    text = message.decode()
    assert "a.csv, sex" in text
    assert "a.csv, length: not a number" in text
    assert "and 195 more" in text
    assert "b.csv has no column sex" in text


def test_other_bytes_and_no_files_are_refused(tmp_path: Path) -> None:
    put(tmp_path, [GOOD], "readme.txt")
    assert run(tmp_path) == 1
    assert "no *.csv or *.data" in (tmp_path / "message").read_text()
    (tmp_path / "in" / "a.csv").write_bytes(b"\xff\xfe\x00binary\n")
    assert run(tmp_path) == 1
    assert "UTF-8" in (tmp_path / "message").read_text()


@pytest.mark.parametrize("shares", ["0.7,0.3", "0.7,0.2,0.2", "1,0,0"])
def test_shares_that_are_no_whole_are_refused(tmp_path: Path, shares: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(put(tmp_path, rows(10)), "--shares", shares)
