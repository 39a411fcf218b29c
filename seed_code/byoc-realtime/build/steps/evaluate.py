"""Measures a trained model on the test set and writes ``evaluation.json``.

Beside it, what the model's baselines are made of: the traffic that its endpoint would have had of
the training set, labels and predictions of the test set, and how much each feature counts.

Runs inside the project's own image and predicts with the code that serves (``program.model``). The
folders are arguments; nothing is known about AWS.

The model is read out of ``model.tar.gz`` in memory: no file of the archive is written anywhere, and
it is numbers alone, so that reading it runs no code that came with it.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from program.model import FILE, Array, Model, ModelError, loads
from program.training import RefusedError, read_channel

_MODEL_BYTES = 256 * 1024**2
_EXIT_MESSAGE_BYTES = 1024  # Source: DescribeProcessingJob's ExitMessage, SageMaker API reference.


def load_model(archive: Path) -> Model:
    """The model of a training job.

    Raises:
        RefusedError: There is none, or it is not one that the image can read.
    """
    if not archive.is_file():
        raise RefusedError(f"{archive} does not exist.")
    try:
        with tarfile.open(archive, "r:gz") as members:
            found = [item for item in members if item.name in (FILE, f"./{FILE}")]
            if len(found) != 1 or not found[0].isfile():
                raise RefusedError(f"{archive.name} must hold exactly one file {FILE}.")
            if found[0].size > _MODEL_BYTES:
                raise RefusedError(f"{FILE} has {found[0].size} bytes, at most {_MODEL_BYTES}.")
            opened = members.extractfile(found[0])
            return loads(opened.read() if opened else b"")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RefusedError(f"{archive.name} is no archive of a model: {error}") from error
    except ModelError as error:
        raise RefusedError(f"The model cannot be used: {error}.") from error


def measure(labels: Array, predictions: Array) -> dict[str, Any]:
    """The metrics of a regression, as SageMaker's model quality reports name them.

    ``baseline_metrics`` are those of always predicting the mean of the labels: a model that is not
    better learned nothing.
    """
    errors = labels - predictions
    mse = float(np.mean(errors**2))
    variance = float(np.mean((labels - labels.mean()) ** 2))
    return {
        "regression_metrics": {
            "mse": {"value": mse},
            "rmse": {"value": math.sqrt(mse)},
            "mae": {"value": float(np.mean(np.abs(errors)))},
            "r2": {"value": 1 - mse / variance if variance else 0.0},
        },
        "baseline_metrics": {"rmse": {"value": math.sqrt(variance)}},
        "dataset": {"rows": {"value": len(labels)}},
    }


def run(model_folder: Path, test_folder: Path, output: Path, minimum: int) -> dict[str, Any]:
    """Loads, predicts, measures and writes ``evaluation.json``.

    Args:
        model_folder: Holds ``model.tar.gz``.
        test_folder: Holds the test set.
        output: Where the report goes.
        minimum: Rows below which a metric means nothing.

    Returns:
        The report.

    Raises:
        RefusedError: Model or test set cannot be used.
    """
    model = load_model(model_folder / "model.tar.gz")
    labels, features = read_channel(test_folder)
    if len(labels) < minimum:
        raise RefusedError(f"The test set has {len(labels)} rows, at least {minimum} are needed.")
    try:
        predictions = model.predict(features)
    except ModelError as error:
        raise RefusedError(f"The model does not fit the test set: {error}.") from error
    if not np.isfinite(predictions).all():
        raise RefusedError("The model's predictions are not one finite number a row.")
    report = measure(labels, predictions)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, allow_nan=False)
    (output / "evaluation.json").write_text(text, encoding="utf-8")
    return report


def shapley(model: Model, rows: Array, reference: Array) -> Array:
    """Exact Shapley values of each row's features: how far each moves the prediction.

    A term is a product of at most three features, so all orders in which they can join are few.

    Args:
        model: The model.
        rows: The rows.
        reference: The row that all features start from.
    """
    values = np.zeros_like(rows)
    for number, weight in enumerate(model.weights / model.scales):
        powers = model.powers[number]
        inside = [int(feature) for feature in np.flatnonzero(powers)]
        there = {feature: rows[:, feature] ** powers[feature] for feature in inside}
        before = {feature: reference[feature] ** powers[feature] for feature in inside}
        orders = list(itertools.permutations(inside))
        for order in orders:
            term = np.full(len(rows), math.prod(before.values()))
            joined: set[int] = set()
            for feature in order:
                joined.add(feature)
                after = np.ones(len(rows))
                for other in inside:
                    after = after * (there[other] if other in joined else before[other])
                values[:, feature] += weight * (after - term) / len(orders)
                term = after
    return values


def explain(model: Model, rows: Array, names: Sequence[str]) -> dict[str, Any]:
    """How much each feature counts: the mean of the absolute SHAP values, as Clarify reports them.

    They are exact, with the mean of the rows as the reference, where Clarify estimates them by
    asking a model behind an endpoint, which an isolated job cannot reach.
    """
    reference = rows.mean(axis=0)
    means = np.abs(shapley(model, rows, reference)).mean(axis=0)
    shap = {
        "global_shap_values": {name: float(mean) for name, mean in zip(names, means, strict=True)},
        "expected_value": float(model.predict(reference[None, :])[0]),
    }
    return {"version": "1.0", "explanations": {"kernel_shap": {"label0": shap}}}


def write_baselines(
    model: Model, train: Path, test: Path, columns: Sequence[str], output: Path
) -> None:
    """Writes what baselines are made of: ``traffic``, ``compared``, ``judged``, ``explanation``.

    Args:
        model: The model.
        train: Folder of the training set.
        test: Folder of the test set.
        columns: Names of the label and of the features.
        output: Where the folders go.

    Raises:
        RefusedError: A set cannot be used, or has other columns.
    """
    labels, features = read_channel(test)
    _, known = read_channel(train)
    names = list(columns[1:])
    if {table.shape[1] for table in (features, known)} != {len(names)}:
        raise RefusedError(
            f"There are {features.shape[1]} features, but --columns names {len(names)}."
        )
    # The endpoint's answers are compared first, as Model Monitor reads captured traffic.
    traffic = np.column_stack([model.predict(known), known])
    predictions = model.predict(features)
    compared = np.column_stack([labels, predictions])
    _write(output / "traffic" / "traffic.csv", ["prediction", *names], traffic)
    _write(output / "compared" / "compared.csv", ["label", "prediction"], compared)
    judged = np.column_stack([labels, features, predictions])
    _write(output / "judged" / "judged.csv", [], judged)
    text = json.dumps(explain(model, features, names), indent=2, allow_nan=False)
    (output / "explanation").mkdir(parents=True, exist_ok=True)
    (output / "explanation" / "explanation.json").write_text(text, encoding="utf-8")


def _write(file: Path, names: Sequence[str], rows: Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        if names:
            writer.writerow(names)
        writer.writerows(cast("list[list[float]]", rows.tolist()))


def tell(message: str, file: Path) -> None:
    """Leaves a message where SageMaker takes a job's ``ExitMessage``, if the place exists."""
    if file.parent.is_dir():
        text = message.encode()[:_EXIT_MESSAGE_BYTES].decode(errors="ignore")
        file.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the report was written, 1 when model or test set was refused."""
    parser = argparse.ArgumentParser(description="Measures a model on the test set.")
    processing = Path("/opt/ml/processing")
    parser.add_argument("--model", type=Path, default=processing / "model")
    parser.add_argument("--test", type=Path, default=processing / "test")
    parser.add_argument("--output", type=Path, default=processing / "evaluation")
    parser.add_argument("--minimum-rows", type=int, default=100)
    parser.add_argument("--train", type=Path, default=processing / "train")
    parser.add_argument("--columns", default="", help="label and features; none: no baselines")
    parser.add_argument("--baselines", type=Path, default=processing)
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    try:
        report = run(given.model, given.test, given.output, given.minimum_rows)
        if given.columns:
            model = load_model(given.model / "model.tar.gz")
            columns = given.columns.split(",")
            write_baselines(model, given.train, given.test, columns, given.baselines)
    except RefusedError as error:
        message = f"The evaluation was refused.\n{error}"
        tell(message, given.message_file)
        print(message, file=sys.stderr)
        return 1
    text = json.dumps(report)
    tell(text, given.message_file)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
