from __future__ import annotations

import re

import pytest

import sample_data

QUESTION = re.compile(
    r"question : what is the (\w+) (\w+) of (\w+) (above|below) (\d+) \?\nsql :\n"
)
STATEMENT = re.compile(r"SELECT (\w+) \( (\w+) \) FROM (\w+) WHERE (\w+) ([<>]) (\d+) ;")


def test_every_statement_answers_its_question_and_none_is_asked_twice() -> None:
    made = list(sample_data.examples(1500, 1))
    assert len({item["prompt"] for item in made}) == 1500
    for item in made:
        question, statement = (
            QUESTION.fullmatch(item["prompt"]),
            STATEMENT.fullmatch(item["completion"]),
        )
        assert question
        assert statement
        function, column, table, comparison, number = question.groups()
        assert statement.groups() == (
            {"largest": "MAX", "smallest": "MIN", "average": "AVG", "total": "SUM"}[function],
            column, table, column, {"above": ">", "below": "<"}[comparison], number,
        )  # fmt: skip


def test_the_same_seed_gives_the_same_examples() -> None:
    assert list(sample_data.examples(50, 7)) == list(sample_data.examples(50, 7))
    assert list(sample_data.examples(50, 7)) != list(sample_data.examples(50, 8))


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="1920 different questions"):
        list(sample_data.examples(1921, 1))
