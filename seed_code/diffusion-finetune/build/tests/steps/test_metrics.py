from __future__ import annotations

import math

import metrics
import numpy as np
import pytest
from scipy import linalg

CHANCE = np.random.default_rng(4)


def covariance(size: int) -> np.ndarray:
    root = CHANCE.normal(size=(size, size))
    return root @ root.T


def test_equal_distributions_have_no_distance() -> None:
    mean, cov = CHANCE.normal(size=6), covariance(6)
    assert metrics.frechet_distance(mean, cov, mean, cov) == pytest.approx(0, abs=1e-9)


def test_normal_distributions_of_one_number_have_the_closed_form() -> None:
    # (m1 - m2)^2 + (s1 - s2)^2, the distance of W2.
    distance = metrics.frechet_distance(
        np.array([1.0]), np.array([[4.0]]), np.array([4.0]), np.array([[25.0]])
    )
    assert distance == pytest.approx((1 - 4) ** 2 + (2 - 5) ** 2)


def test_independent_numbers_have_the_sum_of_their_distances() -> None:
    deviations = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 7.0])
    means = np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, -1.0])
    distance = metrics.frechet_distance(
        means[0], np.diag(deviations[0] ** 2), means[1], np.diag(deviations[1] ** 2)
    )
    assert distance == pytest.approx(
        ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    )


@pytest.mark.parametrize("size", [2, 5, 20])
def test_the_trace_of_the_root_is_that_of_scipys_square_root(size: int) -> None:
    first, second, none = covariance(size), covariance(size), np.zeros(size)
    root = linalg.sqrtm(first @ second)
    expected = np.trace(first + second) - 2 * np.trace(root).real
    assert metrics.frechet_distance(none, first, none, second) == pytest.approx(expected)


def test_it_is_a_distance_whichever_comes_first() -> None:
    first, second = covariance(4), covariance(4)
    mean = np.ones(4)
    there = metrics.frechet_distance(mean, first, -mean, second)
    assert there == pytest.approx(metrics.frechet_distance(-mean, second, mean, first))
    assert there >= 16


def test_shifted_features_are_as_far_as_their_shift() -> None:
    rows = CHANCE.normal(size=(500, 8))
    assert metrics.frechet_distance_of(rows, rows) == pytest.approx(0, abs=1e-8)
    assert metrics.frechet_distance_of(rows, rows + 2) == pytest.approx(8 * 4)


def test_fewer_images_than_features_have_a_distance_too() -> None:
    a, b = CHANCE.normal(size=(3, 32)), CHANCE.normal(size=(5, 32)) + 1
    assert math.isfinite(metrics.frechet_distance_of(a, b))


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (np.ones((1, 3)), np.ones((4, 3)), "first set has no two images"),
        (np.ones((4, 3)), np.ones(3), "second set has no two images"),
        (np.ones((4, 3)), np.ones((4, 2)), "not of the same size"),
        (np.full((4, 3), np.nan), np.ones((4, 3)), "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(first: np.ndarray, second: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        metrics.frechet_distance_of(first, second)


def test_no_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match="negative variances"):
        metrics.frechet_distance(np.zeros(2), np.diag([1.0, -1.0]), np.zeros(2), np.eye(2))


def test_similarity_of_known_pairs() -> None:
    right, up = np.array([[2.0, 0.0]]), np.array([[0.0, 3.0]])
    assert metrics.similarity(right, right * 7) == pytest.approx(1)
    assert metrics.similarity(right, up) == pytest.approx(0)
    assert metrics.similarity(right, -right) == pytest.approx(-1)
    assert metrics.similarity(right, np.array([[1.0, 1.0]])) == pytest.approx(math.sqrt(0.5))
    # The mean of all pairs: of one to each of three.
    assert metrics.similarity(right, np.concatenate([right, up, -right])) == pytest.approx(0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.ones((0, 2)), np.ones((1, 2))),
        (np.ones((1, 2)), np.ones((1, 3))),
        (np.zeros((1, 2)), np.ones((1, 2))),
        (np.full((1, 2), np.inf), np.ones((1, 2))),
    ],
)
def test_what_has_no_similarity_is_refused(first: np.ndarray, second: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Both sets need|not finite, or all zero"):
        metrics.similarity(first, second)
