from __future__ import annotations

import csv
import io

import sample_data


def told(text: str) -> int:
    """The label before noise, from the rules of the module's documentation alone."""
    words = text.split()
    if not {*sample_data.GOOD, *sample_data.BAD} & set(words):
        return 1
    good = bool(set(sample_data.GOOD) & set(words))
    return 2 if good != ("not" in words) else 0


def test_the_same_seed_gives_the_same_table_and_another_another() -> None:
    assert sample_data.table(50, 3) == sample_data.table(50, 3)
    assert sample_data.table(50, 3) != sample_data.table(50, 4)


def test_the_sentence_tells_the_label_but_for_the_noise_that_is_documented() -> None:
    rows = list(sample_data.records(5000, 1))
    right = sum(told(text) == label for text, label in rows) / len(rows)
    assert abs(right - sample_data.highest_accuracy()) < 0.012
    shares = [sum(told(text) == n for text, _ in rows) / len(rows) for n in range(3)]
    for share, wanted in zip(shares, sample_data.SHARES, strict=True):
        assert abs(share - wanted) < 0.025


def test_a_third_of_the_opinions_is_negated() -> None:
    opinions = [text for text, _ in sample_data.records(5000, 2) if told(text) != 1]
    negated = sum(" not " in text for text in opinions) / len(opinions)
    assert abs(negated - sample_data.NEGATED) < 0.03


def test_no_word_is_good_and_bad_and_no_fact_has_an_opinion() -> None:
    assert not set(sample_data.GOOD) & set(sample_data.BAD)
    opinions = {*sample_data.GOOD, *sample_data.BAD, "not"}
    for text in (*sample_data.FACTS, *sample_data.OPENINGS, *sample_data.CLOSINGS):
        assert not opinions & set(text.split())


def test_the_table_has_a_header_and_named_labels() -> None:
    header, *rows = csv.reader(io.StringIO(sample_data.table(20, 1)))
    assert tuple(header) == sample_data.COLUMNS
    assert len(rows) == 20
    assert {label for _, label in rows} <= set(sample_data.LABELS)
