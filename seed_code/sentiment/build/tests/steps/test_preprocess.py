from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import sample_data
from steps import preprocess
from steps.preprocess import RefusedError


def folder(tmp_path: Path, **files: str) -> Path:
    source = tmp_path / "input"
    source.mkdir()
    for name, content in files.items():
        (source / f"{name}.csv").write_text(content, encoding="utf-8")
    return source


def test_real_tables_are_taken_as_people_have_them(tmp_path: Path) -> None:
    source = folder(
        tmp_path,
        names='Label,id,Text\nPositive,1,"fine, really"\nNEGATIVE,2,bad\n',
        numbers="\ufefftext,label\nso so,1\n",
    )
    found = preprocess.read_records(source)
    assert found.values.tolist() == [["fine, really", 2], ["bad", 0], ["so so", 1]]


def test_words_that_pandas_takes_for_missing_are_words(tmp_path: Path) -> None:
    found = preprocess.read_records(folder(tmp_path, a="text,label\nNA,neutral\nnull,0\n"))
    assert list(found["text"]) == ["NA", "null"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "a.csv is empty"),
        ("text,label\n", "a header and no rows"),
        ("text,mood\nfine,2\n", "has no column label; it has text, mood"),
        ("text,label\n ,2\n", "text: missing (row 1: ' ')"),
        ("text,label\nfine,3\n", "label: expected negative, neutral, positive or 0 to 2 (row 1"),
        (f"text,label\n{'x' * 2001},2\n", "longer than 2000 characters (row 1"),
        ('text,label\n"open,2\n', "is not CSV"),
    ],
)
def test_bad_files_are_refused_with_file_and_row(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(RefusedError) as refused:
        preprocess.read_records(folder(tmp_path, a=content))
    assert told in str(refused.value)


def test_everything_wrong_is_told_at_once_and_no_more_than_five_examples(tmp_path: Path) -> None:
    many = "text,label\n" + "fine,great\n" * 9
    with pytest.raises(RefusedError) as refused:
        preprocess.read_records(folder(tmp_path, a=many, b="text,label\n,1\n"))
    assert "and 4 more" in str(refused.value)
    assert "b.csv, text: missing" in str(refused.value)


def test_a_text_stays_in_its_set_and_equal_texts_are_together(tmp_path: Path) -> None:
    rows = pd.DataFrame(list(sample_data.records(800, 1)), columns=["text", "label"])
    twice = pd.concat([rows, rows.assign(label=0)], ignore_index=True)
    first, second = (preprocess.split(table, (0.6, 0.2, 0.2), seed=4) for table in (rows, twice))
    assert list(second[: len(rows)]) == list(first) == list(second[len(rows) :])
    assert list(preprocess.split(rows, (0.6, 0.2, 0.2), seed=5)) != list(first)
    shares = first.value_counts(normalize=True)
    assert abs(shares["train"] - 0.6) < 0.06


def test_the_sets_have_ids_and_numbers_and_together_are_the_data(tmp_path: Path) -> None:
    source = folder(tmp_path, a=sample_data.table(900, 1))
    out, message = tmp_path / "out", tmp_path / "message"
    arguments = ["--input", str(source), "--message-file", str(message), "--data-version", "v1"]
    for name in preprocess.SPLITS:
        arguments += [f"--{name}", str(out / name)]
    assert preprocess.main(arguments) == 0
    sets = [pd.read_csv(out / name / f"{name}.csv") for name in preprocess.SPLITS]
    whole = pd.concat(sets)
    assert list(whole.columns) == ["record_id", "text", "label", "split"]
    given = sorted((text, label) for text, label in sample_data.records(900, 1))
    assert sorted(zip(whole["text"], whole["label"], strict=True)) == given
    assert json.loads(message.read_text())["rows"]["train"] == len(sets[0])


def test_too_few_rows_and_a_missing_label_are_refused(tmp_path: Path) -> None:
    source = folder(tmp_path, a="text,label\n" + "".join(f"word{n},2\n" for n in range(400)))
    targets = {name: tmp_path / name for name in preprocess.SPLITS}
    with pytest.raises(RefusedError, match="too few"):
        preprocess.run(source, targets, (0.8, 0.1, 0.1), 1, 200)
    with pytest.raises(RefusedError, match="no text that is negative or neutral"):
        preprocess.run(source, targets, (0.8, 0.1, 0.1), 1, 10)
