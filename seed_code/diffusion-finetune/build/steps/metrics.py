"""Metrics of generated images, from the features of a network: NumPy and SciPy alone.

The networks are arguments of whoever calls: here are only rows of features, one for each image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

Array = np.ndarray[Any, Any]
_SMALL = 1e-6


def frechet_distance(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """The squared Frechet distance of two normal distributions.

    |mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)). Source: Dowson and Landau,
    "The Frechet distance between multivariate normal distributions" (1982).

    Args:
        mean_a: Mean of the first.
        cov_a: Covariances of the first.
        mean_b: Mean of the second.
        cov_b: Covariances of the second.

    Raises:
        ValueError: The shapes differ, a value is not finite, or a matrix is no covariance.
    """
    means = np.atleast_1d(mean_a), np.atleast_1d(mean_b)
    covs = np.atleast_2d(cov_a), np.atleast_2d(cov_b)
    size = means[0].shape[0]
    if means[1].shape != (size,) or any(cov.shape != (size, size) for cov in covs):
        raise ValueError("Means and covariances are not of the same size.")
    if not all(np.isfinite(part).all() for part in (*means, *covs)):
        raise ValueError("Features are not finite.")
    # The product's root has the same trace as that of a symmetric matrix, which is never complex.
    values, vectors = linalg.eigh(covs[0])
    if values.min() < -_SMALL * max(1.0, values.max()):
        raise ValueError("A matrix with negative variances is no covariance.")
    half = vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T
    middle = np.clip(linalg.eigvalsh(half @ covs[1] @ half), 0, None)
    difference = means[0] - means[1]
    trace = np.trace(covs[0]) + np.trace(covs[1]) - 2 * np.sqrt(middle).sum()
    return float(difference @ difference + max(trace, 0.0))


def frechet_distance_of(features_a: Array, features_b: Array) -> float:
    """The squared Frechet distance of two sets of features, taken for normal distributions.

    With the features of InceptionV3 this is FID. It is biased upwards where images are few, so that
    values are only comparable for as many images and the same network.

    Args:
        features_a: A row for each image.
        features_b: A row for each image of the other set.

    Raises:
        ValueError: A set has fewer than two images, or the rows differ in length.
    """
    for name, rows in (("first", features_a), ("second", features_b)):
        if rows.ndim != 2 or len(rows) < 2:
            raise ValueError(f"The {name} set has no two images, of which none has a covariance.")
    a, b = features_a.astype(np.float64), features_b.astype(np.float64)
    return frechet_distance(
        a.mean(axis=0), np.cov(a, rowvar=False), b.mean(axis=0), np.cov(b, rowvar=False)
    )


def similarity(features_a: Array, features_b: Array) -> float:
    """Mean cosine of all pairs of one image of each set, from -1 to 1 for the same direction.

    With the features of DINO this is the similarity of subjects that DreamBooth is measured by.
    Source: Ruiz and others, "DreamBooth" (2023), subject fidelity.

    Args:
        features_a: A row for each image.
        features_b: A row for each image of the other set.

    Raises:
        ValueError: A set is empty, a row is zero, or the rows differ in length.
    """
    if not len(features_a) or not len(features_b) or features_a.shape[1:] != features_b.shape[1:]:
        raise ValueError("Both sets need images, with features of the same length.")
    unit = []
    for rows in (features_a.astype(np.float64), features_b.astype(np.float64)):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(rows).all() or not lengths.all():
            raise ValueError("Features are not finite, or all zero.")
        unit.append(rows / lengths)
    return float((unit[0] @ unit[1].T).mean())
