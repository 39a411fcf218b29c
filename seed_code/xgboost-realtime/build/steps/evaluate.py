"""Measures a trained model on the test set and writes ``evaluation.json``.

Beside it, what the model's baselines are made of: the traffic that its endpoint would have had of
the training set (what it answered, then what it was asked), or of files that are predicted on (what
was asked alone), labels and predictions of the test set, and how much each feature counts, by exact
SHAP values.

Runs inside SageMaker's XGBoost image, so it needs only what that image has, and a Python from 3.9
on. The folders are arguments; nothing is known about AWS.

The model is read out of ``model.tar.gz`` in memory: no file of the archive is written anywhere, and
a pickled model is refused, because loading one runs whatever code is in it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost

MODEL = "xgboost-model"
_MODEL_BYTES = 2 * 1024**3
_EXIT_MESSAGE_BYTES = 1024  # Source: DescribeProcessingJob's ExitMessage, SageMaker API reference.


class RefusedError(ValueError):
    """Model or test set cannot be used; the message says why."""


def load_model(archive: Path) -> xgboost.Booster:
    """The model of a training job.

    Raises:
        RefusedError: There is none, or it is not one that XGBoost saved as JSON or UBJSON.
    """
    if not archive.is_file():
        raise RefusedError(f"{archive} does not exist.")
    try:
        with tarfile.open(archive, "r:gz") as members:
            found = [item for item in members if item.name in (MODEL, f"./{MODEL}")]
            if len(found) != 1 or not found[0].isfile():
                raise RefusedError(f"{archive.name} must hold exactly one file {MODEL}.")
            if found[0].size > _MODEL_BYTES:
                raise RefusedError(f"{MODEL} has {found[0].size} bytes, at most {_MODEL_BYTES}.")
            opened = members.extractfile(found[0])
            content = opened.read() if opened else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RefusedError(f"{archive.name} is no archive of a model: {error}") from error
    # XGBoost's own formats are an object, in JSON or in UBJSON; both begin so.
    if not content.startswith(b"{"):
        raise RefusedError(
            f"{MODEL} is neither JSON nor UBJSON. Pickled models are not loaded: they can run code."
        )
    model = xgboost.Booster()
    try:
        model.load_model(bytearray(content))
    except xgboost.core.XGBoostError as error:
        raise RefusedError(f"{MODEL} is no model of XGBoost: {str(error)[:300]}") from error
    return model


def load_test_set(folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Labels and features of all CSV files of a folder, which have no header and the label first.

    Raises:
        RefusedError: There are none, or they hold anything but numbers.
    """
    paths = sorted(folder.rglob("*.csv"))
    if not paths:
        raise RefusedError(f"{folder} has no *.csv file.")
    try:
        tables = [pd.read_csv(path, header=None, dtype=float) for path in paths]
    except (ValueError, pd.errors.EmptyDataError) as error:
        raise RefusedError(f"The test set is not numbers: {error}") from error
    table = pd.concat(tables, ignore_index=True).to_numpy()
    if not np.isfinite(table).all():
        raise RefusedError("The test set has missing or infinite values.")
    return table[:, 0], table[:, 1:]


def measure(labels: np.ndarray[Any, Any], predictions: np.ndarray[Any, Any]) -> dict[str, Any]:
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
    labels, features = load_test_set(test_folder)
    if len(labels) < minimum:
        raise RefusedError(f"The test set has {len(labels)} rows, at least {minimum} are needed.")
    if features.shape[1] != model.num_features():
        raise RefusedError(
            f"The model takes {model.num_features()} features, the test set has "
            f"{features.shape[1]}."
        )
    predictions = model.predict(xgboost.DMatrix(features))
    if predictions.shape != labels.shape or not np.isfinite(predictions).all():
        raise RefusedError("The model's predictions are not one finite number a row.")
    report = measure(labels, predictions)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, allow_nan=False)
    (output / "evaluation.json").write_text(text, encoding="utf-8")
    return report


def explain(
    model: xgboost.Booster, features: np.ndarray[Any, Any], names: Sequence[str]
) -> dict[str, Any]:
    """How much each feature counts: the mean of the absolute SHAP values, as Clarify reports them.

    XGBoost works them out exactly from its trees, where Clarify estimates them by asking a model
    behind an endpoint, which an isolated job cannot reach.
    """
    values = model.predict(xgboost.DMatrix(features), pred_contribs=True)
    means = np.abs(values[:, :-1]).mean(axis=0)
    shap = {
        "global_shap_values": {name: float(mean) for name, mean in zip(names, means, strict=True)},
        "expected_value": float(values[0, -1]),
    }
    return {"version": "1.0", "explanations": {"kernel_shap": {"label0": shap}}}


def write_baselines(
    model: xgboost.Booster,
    train: Path,
    test: Path,
    columns: Sequence[str],
    output: Path,
    *,
    answers: bool = True,
) -> None:
    """Writes what baselines are made of: ``traffic``, ``compared``, ``judged``, ``explanation``.

    Args:
        model: The model.
        train: Folder of the training set.
        test: Folder of the test set.
        columns: Names of the label and of the features.
        output: Where the folders go.
        answers: Whether what is compared later has the model's answers.

    Raises:
        RefusedError: A set cannot be used, or has other columns.
    """
    for name in ("traffic", "compared", "judged", "explanation"):
        (output / name).mkdir(parents=True, exist_ok=True)
    labels, features = load_test_set(test)
    _, known = load_test_set(train)
    for table in (features, known):
        if table.shape[1] != len(columns) - 1:
            raise RefusedError(
                f"There are {table.shape[1]} features, but --columns names {len(columns) - 1}."
            )
    # The endpoint's answers are compared first, as Model Monitor reads captured traffic.
    answered = {"prediction": model.predict(xgboost.DMatrix(known))} if answers else {}
    asked = {name: known[:, number] for number, name in enumerate(columns[1:])}
    traffic = pd.DataFrame({**answered, **asked})
    traffic.to_csv(output / "traffic" / "traffic.csv", index=False)
    predictions = model.predict(xgboost.DMatrix(features))
    compared = pd.DataFrame({"label": labels, "prediction": predictions})
    compared.to_csv(output / "compared" / "compared.csv", index=False)
    judged = pd.DataFrame(np.column_stack([labels, features, predictions]))
    judged.to_csv(output / "judged" / "judged.csv", index=False, header=False)
    text = json.dumps(explain(model, features, columns[1:]), indent=2, allow_nan=False)
    (output / "explanation" / "explanation.json").write_text(text, encoding="utf-8")


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
    parser.add_argument("--asked-alone", action="store_true", help="traffic without answers")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    try:
        report = run(given.model, given.test, given.output, given.minimum_rows)
        if given.columns:
            model = load_model(given.model / "model.tar.gz")
            columns = given.columns.split(",")
            write_baselines(
                model,
                given.train,
                given.test,
                columns,
                given.baselines,
                answers=not given.asked_alone,
            )
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
