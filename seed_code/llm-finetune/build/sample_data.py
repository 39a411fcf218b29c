"""Makes questions with the SQL that answers them, to try the pipeline without the company's data.

Everything is invented by the rules below, from a seed. An example is a question as the prompt, and
one statement as the completion:

    question : what is the largest weight of orders above 40 ?
    sql :
    SELECT MAX ( weight ) FROM orders WHERE weight > 40 ;

Table, column, function, comparison and number are drawn independently; the statement follows from
the question alone, so that a model can have every answer right. There are 6 tables, 8 columns, 4
functions, 2 comparisons and 5 numbers, so 1920 questions, and no two examples of a file ask the
same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

TABLES = ("orders", "clients", "visits", "parts", "shops", "trips")
COLUMNS = ("amount", "weight", "price", "length", "age", "score", "height", "cost")
FUNCTIONS = {"largest": "MAX", "smallest": "MIN", "average": "AVG", "total": "SUM"}
COMPARISONS = {"above": ">", "below": "<"}
NUMBERS = range(10, 60, 10)


def examples(count: int, seed: int) -> Iterator[dict[str, str]]:
    """Examples, the same ones for the same seed.

    Args:
        count: How many.
        seed: Any number.

    Raises:
        ValueError: There are not so many different ones.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
    every = list(itertools.product(TABLES, COLUMNS, FUNCTIONS, COMPARISONS, NUMBERS))
    if count > len(every):
        raise ValueError(f"There are {len(every)} different questions, not {count}.")
    for table, column, function, comparison, number in chance.sample(every, count):
        asked = f"the {function} {column} of {table} {comparison} {number}"
        yield {
            "prompt": f"question : what is {asked} ?\nsql :\n",
            "completion": f"SELECT {FUNCTIONS[function]} ( {column} ) FROM {table}"  # noqa: S608 - text
            f" WHERE {column} {COMPARISONS[comparison]} {number} ;",
        }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Makes questions and their SQL (invented).")
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a file; without it, to standard output")
    given = parser.parse_args()
    text = "".join(json.dumps(item) + "\n" for item in examples(given.rows, given.seed))
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
