"""Kernel SHAP: how much each feature moved a model's answers away from that of a baseline row.

A coalition keeps some features of a row and takes the others from the baseline; the answers to
coalitions are fitted by a weighted linear function of what was kept, which gives the Shapley
values. With few features all coalitions are asked about, and the values are exact; else pairs of a
coalition and its complement are drawn by their weight. Sources: Lundberg and Lee, "A Unified
Approach to Interpreting Model Predictions" (2017); SageMaker developer guide, "SHAP Baselines for
Explainability".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from math import comb
from typing import Any

np: Any = importlib.import_module("numpy")

Predict = Callable[[Any], Any]
"""Rows of features -> one number each."""


def coalitions(features: int, samples: int) -> tuple[Any, Any]:
    """Rows of what is kept (1) or not (0), with the weight of each in the fit.

    Args:
        features: How many there are.
        samples: Coalitions that are asked about at most; all are taken where they fit.
    """
    if features < 2:
        return np.zeros((0, features)), np.zeros(0)
    if 2**features - 2 <= samples:
        numbers = np.arange(1, 2**features - 1)
        kept = (numbers[:, None] >> np.arange(features)) & 1
        sizes = kept.sum(axis=1)
        choices = np.array([comb(features, int(size)) for size in sizes])
        return kept, (features - 1) / (choices * sizes * (features - sizes))
    made = np.random.default_rng(0)
    sizes = np.arange(1, features)
    share = 1 / (sizes * (features - sizes))
    drawn = made.choice(sizes, size=samples // 2, p=share / share.sum())
    order = made.random((len(drawn), features)).argsort(axis=1).argsort(axis=1)
    kept = (order < drawn[:, None]).astype(int)
    # Each is drawn by its weight, so that all count the same.
    return np.concatenate([kept, 1 - kept]), np.ones(2 * len(drawn))


def values(predict: Predict, rows: Any, baseline: Any, samples: int) -> tuple[Any, float]:
    """The Shapley values of each row's features, and the answer to the baseline.

    Args:
        predict: The model.
        rows: What is explained.
        baseline: One row.
        samples: As :func:`coalitions` takes it.
    """
    count = rows.shape[1]
    kept, weights = coalitions(count, samples)
    answers = predict(rows)
    expected = float(predict(baseline[None, :])[0])
    if count == 1:
        return (answers - expected)[:, None], expected
    mixed = np.where(kept[None, :, :] == 1, rows[:, None, :], baseline[None, None, :])
    told = predict(mixed.reshape(-1, count)).reshape(len(rows), len(kept))
    # The values of a row sum to how far its answer is from the baseline's: the last follows.
    design = kept[:, :-1] - kept[:, -1:]
    gaps = answers - expected
    target = told - expected - kept[:, -1][None, :] * gaps[:, None]
    weighted = design * weights[:, None]
    solved = np.linalg.lstsq(weighted.T @ design, weighted.T @ target.T, rcond=None)[0].T
    return np.column_stack([solved, gaps - solved.sum(axis=1)]), expected


def ndcg(wanted: Any, told: Any) -> float:
    """Normalized discounted cumulative gain of a ranking; 1 when it is that of the wanted one.

    Args:
        wanted: What each feature counted in the baseline.
        told: What it counts now, which ranks them.
    """
    gains, scores = np.asarray(wanted, dtype=float), np.asarray(told, dtype=float)
    discounts = 1 / np.log2(np.arange(len(gains)) + 2)
    best = float(np.sort(gains)[::-1] @ discounts)
    return float(gains[np.argsort(-scores, kind="stable")] @ discounts) / best if best else 1.0
