"""The model: ridge regression on powers of the features, kept as numbers alone.

A model is a JSON file with the terms and their weights. Reading one computes nothing but numbers,
so a tampered archive can give wrong predictions, which the evaluation measures, and never run code,
as a pickled model can.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

FILE = "model.json"
"""Name of the file in ``/opt/ml/model``, and so in ``model.tar.gz``."""

_FORMAT = "ridge-polynomial-1"
_TERMS = 100_000
_DEGREE = 10

Array = np.ndarray[Any, np.dtype[np.float64]]


class ModelError(ValueError):
    """A model cannot be used; the message says why."""


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        powers: Power of each feature (columns) in each term (rows).
        means: Mean of each term over the training rows.
        scales: Standard deviation of each term there; 1 where it does not vary.
        weights: Of the standardised terms.
        intercept: What is predicted where every term is at its mean.
    """

    powers: Array
    means: Array
    scales: Array
    weights: Array
    intercept: float

    @property
    def features(self) -> int:
        """How many values a row has."""
        return int(self.powers.shape[1])

    def predict(self, rows: Array) -> Array:
        """One number a row.

        Raises:
            ModelError: Rows have another number of values, or values that are not finite.
        """
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ModelError(f"expected {self.features} values a row, got {rows.shape[-1]}")
        if not np.isfinite(rows).all():
            raise ModelError("expected finite numbers")
        # What overflows is not finite, and the callers look at that.
        with np.errstate(over="ignore", invalid="ignore"):
            terms = np.prod(rows[:, None, :] ** self.powers[None, :, :], axis=2)
            return ((terms - self.means) / self.scales) @ self.weights + self.intercept

    def dumps(self) -> str:
        """The model as JSON."""
        content = {
            "format": _FORMAT,
            "powers": self.powers.astype(int).tolist(),
            "means": self.means.tolist(),
            "scales": self.scales.tolist(),
            "weights": self.weights.tolist(),
            "intercept": self.intercept,
        }
        return json.dumps(content, allow_nan=False)


def loads(text: str | bytes) -> Model:
    """Reads a model.

    Raises:
        ModelError: The text is none, or its numbers do not fit together.
    """
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{FILE} is not JSON: models are numbers, nothing else is read") from error
    if not isinstance(content, dict) or cast(dict[str, Any], content).get("format") != _FORMAT:
        raise ModelError(f"{FILE} is not of the format {_FORMAT}")
    try:
        powers = np.array(content["powers"], dtype=np.float64)
        means, scales, weights = (
            np.array(content[name], dtype=np.float64) for name in ("means", "scales", "weights")
        )
        intercept = float(content["intercept"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{FILE} lacks numbers: {error}") from error
    if powers.ndim != 2 or not 0 < len(powers) <= _TERMS or not powers.shape[1]:
        raise ModelError(f"{FILE}: powers are no table of 1 to {_TERMS} terms")
    if any(part.shape != (len(powers),) for part in (means, scales, weights)):
        raise ModelError(f"{FILE}: means, scales and weights must be one number for each term")
    whole = np.concatenate([powers.ravel(), means, scales, weights, [intercept]])
    if not np.isfinite(whole).all() or (scales <= 0).any():
        raise ModelError(f"{FILE} has numbers that are not finite, or scales that are not positive")
    if (powers < 0).any() or (powers > _DEGREE).any() or (powers % 1 != 0).any():
        raise ModelError(f"{FILE}: powers must be whole, 0 to {_DEGREE}")
    return Model(powers, means, scales, weights, intercept)


def load(folder: Path) -> Model:
    """The model of a folder.

    Raises:
        ModelError: There is none, or it cannot be used.
    """
    path = folder / FILE
    if not path.is_file():
        raise ModelError(f"{path} does not exist")
    return loads(path.read_bytes())


def save(model: Model, folder: Path) -> None:
    """Writes the model into a folder, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(model.dumps(), encoding="utf-8")
