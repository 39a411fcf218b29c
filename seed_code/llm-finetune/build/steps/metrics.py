"""Metrics of a language model, by themselves: plain Python, no network and no tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_SPACES = re.compile(r"\s+")


def perplexity(loss: float, tokens: int) -> float:
    """What a model expects of each token: 1 is certainty, the size of the vocabulary a guess.

    Args:
        loss: Sum of the negative logarithms (natural) of the probabilities of all tokens.
        tokens: How many.

    Raises:
        ValueError: There are no tokens, or the loss is not a finite number of at least 0.
    """
    if tokens < 1 or not math.isfinite(loss) or loss < 0:
        raise ValueError(f"A loss of {loss} over {tokens} tokens has no perplexity.")
    return math.exp(min(loss / tokens, 700.0))


def normalized(text: str) -> str:
    """A text in which spaces and line breaks are as good as each other."""
    return _SPACES.sub(" ", text).strip()


def exact_match(expected: Sequence[str], got: Sequence[str]) -> float:
    """Share of texts that are as expected, but for spaces and line breaks.

    Args:
        expected: What should come.
        got: What came, in the same order.

    Raises:
        ValueError: There are none, or not as many of both.
    """
    if not expected or len(expected) != len(got):
        raise ValueError(f"{len(got)} texts for {len(expected)} expected ones cannot be compared.")
    equal = sum(normalized(a) == normalized(b) for a, b in zip(expected, got))  # noqa: B905 - 3.9
    return equal / len(expected)
