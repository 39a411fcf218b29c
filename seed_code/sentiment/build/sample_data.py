"""Makes short reviews with a sentiment, to try the pipeline without the company's data.

The sentences are put together from the lists below, from a seed; nobody wrote them. Each has one of
three labels, numbered as :data:`LABELS`: 0 negative, 1 neutral, 2 positive.

- An opinion is ``{opening} {subject} {verb} {word} {closing}``, its word from :data:`GOOD` or
  :data:`BAD`. One opinion in :data:`NEGATED` has ``not`` before the word, and means the opposite.
  Who counts words cannot tell ``not bad`` from ``bad``; who counts pairs of words can.
- A neutral sentence is ``{opening} {subject} {fact} {closing}`` and has no opinion.
- Negative, neutral and positive come with chances :data:`SHARES`.
- With the chance :data:`NOISE` the label is another one of the three, as careless people label.

The sentence alone tells the label before noise, and the noise cannot be foreseen. So no model can
be right more often than ``1 - NOISE``, other than by chance; see :func:`highest_accuracy`.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import sys
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("text", "label")
LABELS = ("negative", "neutral", "positive")
SHARES = (0.3, 0.3, 0.4)
NOISE = 0.06
"""Chance that a label is another one than the sentence says."""
NEGATED = 1 / 3
"""Share of the opinions that are negated."""

OPENINGS = (
    "today", "yesterday", "this morning", "last week", "after lunch", "on sunday", "once more",
    "at home", "in town", "as planned", "by chance", "to be clear",
)  # fmt: skip
SUBJECTS = (
    "the soup", "the screen", "the service", "the delivery", "the room", "the battery", "the film",
    "the waiter", "the keyboard", "the coffee", "the flight", "the manual", "the music", "the seat",
    "the bread", "the camera", "the garden", "the support", "the shower", "the update",
)  # fmt: skip
VERBS = ("was", "seemed", "felt", "looked")
GOOD = (
    "great", "lovely", "excellent", "pleasant", "superb", "wonderful", "solid", "delightful",
    "brilliant", "charming", "good", "fine",
)  # fmt: skip
BAD = (
    "awful", "terrible", "poor", "dreadful", "horrible", "annoying", "bad", "disappointing",
    "useless", "shabby", "nasty", "boring",
)  # fmt: skip
FACTS = (
    "arrived on monday", "weighs two kilos", "comes in three colours", "costs twelve euros",
    "is on the second floor", "was made in spring", "lasts one hour", "has four buttons",
    "opens at nine", "belongs to the office", "is listed online", "was moved to the left",
)  # fmt: skip
CLOSINGS = (
    "for us", "for me", "for the team", "all day", "as far as we saw", "this time", "again",
    "during the stay", "from the start", "at the end",
)  # fmt: skip


def highest_accuracy() -> float:
    """The share of right answers of a model that knows how sentences are made."""
    return 1 - NOISE


def records(rows: int, seed: int) -> Iterator[tuple[str, int]]:
    """Texts with their labels; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
    for _ in range(rows):
        label = chance.choices((0, 1, 2), SHARES)[0]
        opening, subject = chance.choice(OPENINGS), chance.choice(SUBJECTS)
        if label == 1:
            said = chance.choice(FACTS)
        else:
            negated = chance.random() < NEGATED
            # A negated word of the other list says the same.
            words = GOOD if (label == 2) != negated else BAD
            said = f"{chance.choice(VERBS)} {'not ' if negated else ''}{chance.choice(words)}"
        if chance.random() < NOISE:
            label = chance.choice([other for other in (0, 1, 2) if other != label])
        yield f"{opening} {subject} {said} {chance.choice(CLOSINGS)}", label


def table(rows: int, seed: int) -> str:
    """CSV of :func:`records`, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((sentence, LABELS[label]) for sentence, label in records(rows, seed))
    return text.getvalue()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Makes reviews with a sentiment (invented).")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a file; without it, to standard output")
    given = parser.parse_args()
    text = table(given.rows, given.seed)
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
