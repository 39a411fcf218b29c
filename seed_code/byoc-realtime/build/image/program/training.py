"""Trains the model, as SageMaker asks an algorithm to.

Reads ``input/config/hyperparameters.json`` and the channels ``train`` and ``validation`` (CSV
without a header, the label first), writes the model to ``model``, and, when it cannot, the reason
to ``output/failure``. Source: SageMaker developer guide, how SageMaker provides training
information, and how SageMaker processes training output.
"""

# scikit-learn brings no types, and what is guessed of it is wrong.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import csv
import json
import math
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from program.model import Array, Model, save

_FAILURE = 1024
"""Characters of ``output/failure`` that SageMaker keeps. Source: SageMaker developer guide."""


class RefusedError(ValueError):
    """Hyperparameters or data cannot be used; the message says why."""


@dataclass(frozen=True)
class Hyperparameters:
    """What the training may be told.

    Attributes:
        degree: Highest sum of powers in a term.
        alpha_min: Weakest shrinkage that is tried, as a power of ten.
        alpha_max: Strongest.
    """

    degree: int = 2
    alpha_min: float = -3
    alpha_max: float = 3

    def __post_init__(self) -> None:
        """Checks them.

        Raises:
            RefusedError: One is out of range.
        """
        if not 1 <= self.degree <= 3:
            raise RefusedError(f"degree: got {self.degree}, expected 1 to 3")
        if not -9 <= self.alpha_min <= self.alpha_max <= 9:
            raise RefusedError("alpha_min and alpha_max: expected -9 to 9, in order")


def read_hyperparameters(file: Path) -> Hyperparameters:
    """The job's hyperparameters, all of whose values are texts.

    Raises:
        RefusedError: There is one that is not known, or of another type.
    """
    given: dict[str, str] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    types: dict[str, Any] = {"degree": int, "alpha_min": float, "alpha_max": float}
    unknown = sorted(set(given) - set(types))
    if unknown:
        raise RefusedError(f"{', '.join(unknown)}: there are {', '.join(types)}")
    try:
        # The SDK writes values as JSON: a text would have quotes.
        values = {name: types[name](value.strip('"')) for name, value in given.items()}
    except ValueError as error:
        raise RefusedError(f"hyperparameters: {error}") from error
    return Hyperparameters(**values)


def read_channel(folder: Path) -> tuple[Array, Array]:
    """Labels and features of all CSV files of a channel.

    Raises:
        RefusedError: There are none, or they hold anything but numbers.
    """
    files = sorted(folder.rglob("*.csv"))
    if not files:
        raise RefusedError(f"the channel {folder.name} has no *.csv file")
    rows: list[list[float]] = []
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            for number, row in enumerate(csv.reader(lines), 1):
                try:
                    rows.append([float(value) for value in row])
                except ValueError as error:
                    raise RefusedError(f"{file.name}, row {number}: {error}") from error
    if len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        raise RefusedError(f"the channel {folder.name} is empty, or its rows differ in length")
    table = np.array(rows, dtype=np.float64)
    if not np.isfinite(table).all():
        raise RefusedError(f"the channel {folder.name} has missing or infinite values")
    return table[:, 0], table[:, 1:]


def fit(labels: Array, features: Array, given: Hyperparameters) -> Model:
    """Trains; the shrinkage is chosen by leaving out one row after the other."""
    powers = PolynomialFeatures(given.degree, include_bias=False).fit(features)
    terms = powers.transform(features)
    scaler = StandardScaler().fit(terms)
    ridge = RidgeCV(alphas=np.logspace(given.alpha_min, given.alpha_max, 13))
    ridge.fit(scaler.transform(terms), labels)
    return Model(
        powers=np.asarray(powers.powers_, dtype=np.float64),
        means=np.asarray(scaler.mean_),
        scales=np.asarray(scaler.scale_),
        weights=np.asarray(ridge.coef_),
        intercept=float(cast(Any, ridge.intercept_)),
    )


def run(folder: Path) -> None:
    """Trains on the channels of ``/opt/ml`` and writes the model there.

    Raises:
        RefusedError: Hyperparameters or data cannot be used.
    """
    given = read_hyperparameters(folder / "input" / "config" / "hyperparameters.json")
    data = folder / "input" / "data"
    labels, features = read_channel(data / "train")
    model = fit(labels, features, given)
    for name in ("train", "validation"):
        expected, rows = read_channel(data / name)
        error = math.sqrt(float(np.mean((expected - model.predict(rows)) ** 2)))
        # The form of the metrics that SageMaker reads from a log.
        print(f"{name}-rmse={error:.6f};", flush=True)
    save(model, folder / "model")


def main(folder: Path) -> int:
    """Trains; 0 when the model was written, 1 when the reason is in ``output/failure``."""
    try:
        run(folder)
    except Exception as error:
        # Whatever it is, SageMaker tells it from the file.
        expected = isinstance(error, ValueError)
        reason = f"The training was refused: {error}" if expected else traceback.format_exc()
        output = folder / "output"
        output.mkdir(parents=True, exist_ok=True)
        (output / "failure").write_text(reason[-_FAILURE:], encoding="utf-8")
        print(reason, file=sys.stderr)
        return 1
    return 0
