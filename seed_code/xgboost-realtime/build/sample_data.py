"""Makes abalone-like records, to try the pipeline without the company's data.

The records are invented by the formula below, from a seed; none was measured. The columns are those
of the original abalone data: sex, seven measures in its units (200 mm, 200 g), and the number of
rings, which is the age in years less about 1.5.

For each animal, with N(s) a normal error of standard deviation s:

- sex: I, M or F, with chances 0.32, 0.365 and 0.315;
- length: 0.15 + 0.6 B(4, 2.5), for infants 0.1 + 0.55 B(3, 3), B being the beta distribution;
- diameter: 0.81 length + N(0.012), height: 0.27 length + N(0.012), neither below 0.01;
- whole weight: 5.8 length³ exp(N(0.1)); of it shucked 0.43 exp(N(0.08)), viscera 0.22 exp(N(0.1))
  and shell 0.29 exp(N(0.1));
- rings: 3 + 11 √shell - 6 (shucked / whole - 0.43), from length 0.55 on 2.5 more, for infants 0.8
  less, + N(:data:`NOISE`), rounded, at least 1 and at most 29.

No model can have a root mean squared error (RMSE) below √(NOISE² + 1/12), the error of the last
line and of rounding, by more than chance; see :func:`lowest_rmse`.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path

COLUMNS = (
    "sex",
    "length",
    "diameter",
    "height",
    "whole_weight",
    "shucked_weight",
    "viscera_weight",
    "shell_weight",
    "rings",
)
NOISE = 1.8
"""Standard deviation of the error in the number of rings."""


def lowest_rmse() -> float:
    """The RMSE, in rings, of a model that knows the formula."""
    return math.sqrt(NOISE**2 + 1 / 12)


def records(rows: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Records as text, in the order of :data:`COLUMNS`; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
    for _ in range(rows):
        sex = chance.choices(("I", "M", "F"), (0.32, 0.365, 0.315))[0]
        infant = sex == "I"
        length = (
            0.1 + 0.55 * chance.betavariate(3, 3)
            if infant
            else 0.15 + 0.6 * chance.betavariate(4, 2.5)
        )
        diameter = max(0.01, 0.81 * length + chance.gauss(0, 0.012))
        height = max(0.01, 0.27 * length + chance.gauss(0, 0.012))
        whole = 5.8 * length**3 * math.exp(chance.gauss(0, 0.1))
        shucked = 0.43 * whole * math.exp(chance.gauss(0, 0.08))
        viscera = 0.22 * whole * math.exp(chance.gauss(0, 0.1))
        shell = 0.29 * whole * math.exp(chance.gauss(0, 0.1))
        expected = 3 + 11 * math.sqrt(shell) - 6 * (shucked / whole - 0.43)
        expected += 2.5 * (length >= 0.55) - 0.8 * infant
        rings = min(29, max(1, round(expected + chance.gauss(0, NOISE))))
        measures = (length, diameter, height, whole, shucked, viscera, shell)
        yield (sex, *(f"{value:.4f}" for value in measures), str(rings))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Makes abalone-like records (invented).")
    parser.add_argument("--rows", type=int, default=4177, help="as many as the original data has")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a file; without it, to standard output")
    given = parser.parse_args()
    lines = [",".join(record) for record in [COLUMNS, *records(given.rows, given.seed)]]
    text = "\n".join(lines) + "\n"
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
