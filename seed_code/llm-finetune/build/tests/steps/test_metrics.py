from __future__ import annotations

import math

import metrics
import pytest


@pytest.mark.parametrize("vocabulary", [2, 512, 32_000])
def test_a_guess_is_as_perplexed_as_there_are_tokens(vocabulary: int) -> None:
    tokens = 7
    assert metrics.perplexity(tokens * math.log(vocabulary), tokens) == pytest.approx(vocabulary)


def test_certainty_has_a_perplexity_of_one() -> None:
    assert metrics.perplexity(0.0, 100) == 1


def test_perplexity_is_the_inverse_geometric_mean_of_the_probabilities() -> None:
    probabilities = [0.5, 0.25, 0.125]
    loss = -sum(math.log(share) for share in probabilities)
    assert metrics.perplexity(loss, 3) == pytest.approx((0.5 * 0.25 * 0.125) ** (-1 / 3))


@pytest.mark.parametrize(("loss", "tokens"), [(1.0, 0), (math.nan, 3), (math.inf, 3), (-1.0, 3)])
def test_what_has_no_perplexity_is_refused(loss: float, tokens: int) -> None:
    with pytest.raises(ValueError, match="has no perplexity"):
        metrics.perplexity(loss, tokens)


def test_a_text_matches_whatever_its_spaces() -> None:
    expected = ["SELECT a\nFROM b", "SELECT c", "SELECT d"]
    assert metrics.exact_match(expected, [" SELECT  a FROM b\n", "select c", "SELECT d"]) == 2 / 3


@pytest.mark.parametrize("got", [[], ["a", "b"]])
def test_unequal_numbers_of_texts_are_refused(got: list[str]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.exact_match(["a"], got)
