"""Stands in for the built-in XGBoost algorithm of AWS's image: the same contract, plain xgboost.

Reads hyperparameters by AWS's names and the channels ``train`` and ``validation`` (CSV with the
label first and no header, or libsvm), trains, prints metrics as the image does, and writes
``/opt/ml/model/xgboost-model``. Run by the seed environment's interpreter.
Source: SageMaker developer guide, "XGBoost hyperparameters" and "Input/Output interface".
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

_OWN = {"num_round", "csv_weights", "early_stopping_rounds", "save_model_on_termination",
        "sagemaker_region", "sagemaker_job_name", "_kfold", "_num_cv_round"}  # fmt: skip
_NEEDED_CLASSES = ("multi:softmax", "multi:softprob")


class UserError(Exception):
    """What the user gave cannot be trained on; the message says why."""


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def hyperparameters(given: dict[str, str]) -> tuple[dict[str, Any], int, int | None]:
    """Parameters of xgboost, the number of rounds, and after how many without gain to stop.

    Raises:
        UserError: A value is missing or wrong.
    """
    values = {name: _number(str(value).strip('"')) for name, value in given.items()}
    rounds = values.get("num_round")
    if not isinstance(rounds, int) or rounds < 1:
        raise UserError("Hyperparameter num_round is required: an integer of 1 or more.")
    if values.get("objective") in _NEEDED_CLASSES and not isinstance(values.get("num_class"), int):
        raise UserError(f"Hyperparameter num_class is required for {values['objective']}.")
    if values.get("csv_weights") or values.get("_kfold"):
        raise UserError("The stand-in knows neither csv_weights nor _kfold: use a script.")
    parameters = {name: value for name, value in values.items() if name not in _OWN}
    parameters.setdefault("objective", "reg:squarederror")
    if parameters["objective"] == "reg:linear":
        parameters["objective"] = "reg:squarederror"
    if isinstance(parameters.get("eval_metric"), str):
        parameters["eval_metric"] = [m.strip() for m in parameters["eval_metric"].split(",")]
    return parameters, rounds, values.get("early_stopping_rounds")


def read(folder: Path, content_type: str) -> Any:
    """A channel's data.

    Raises:
        UserError: There is none, or it is not of that type.
    """
    xgboost: Any = importlib.import_module("xgboost")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"Channel {folder.name} is empty.")
    kind = content_type.split(";")[0].strip().lower() or "text/libsvm"
    if kind in ("csv", "text/csv"):
        pandas: Any = importlib.import_module("pandas")
        tables = [pandas.read_csv(path, header=None) for path in files]
        table = pandas.concat(tables, ignore_index=True)
        texts = [name for name in table.columns if table[name].dtype == object]
        if texts:
            raise UserError(
                f"Channel {folder.name}, column {texts[0]} is not numeric. CSV has the label first,"
                " numbers only, and no header."
            )
        return xgboost.DMatrix(table.iloc[:, 1:].to_numpy(), label=table.iloc[:, 0].to_numpy())
    if kind in ("libsvm", "text/libsvm", "text/x-libsvm"):
        sklearn: Any = importlib.import_module("sklearn.datasets")
        loaded = sklearn.load_svmlight_files([str(path) for path in files], zero_based=True)
        scipy: Any = importlib.import_module("scipy.sparse")
        return xgboost.DMatrix(
            scipy.vstack(loaded[0::2]),
            label=importlib.import_module("numpy").concatenate(loaded[1::2]),
        )
    raise UserError(f"Content type {content_type} of channel {folder.name} is not supported.")


def train(ml: Path) -> None:
    """Trains on what lies below ``/opt/ml``.

    Raises:
        UserError: It cannot be trained on.
    """
    xgboost: Any = importlib.import_module("xgboost")
    print(
        f"Stand-in of the local cloud for SageMaker's built-in XGBoost: xgboost"
        f" {xgboost.__version__}",
        flush=True,
    )
    config = ml / "input" / "config"
    given = json.loads((config / "hyperparameters.json").read_text("utf-8"))
    parameters, rounds, patience = hyperparameters(given)
    channels = json.loads((config / "inputdataconfig.json").read_text("utf-8"))
    if "train" not in channels:
        raise UserError("Channel train is required.")
    data = {
        name: read(ml / "input" / "data" / name, channels[name].get("ContentType", ""))
        for name in ("train", "validation")
        if name in channels
    }

    class Printer(xgboost.callback.TrainingCallback):  # type: ignore[misc, name-defined]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            del model
            parts = [
                f"{part}-{metric}:{values[-1]:.5f}"
                for part, metrics in evals_log.items()
                for metric, values in metrics.items()
            ]
            # "#011" is how the image's lines come out of CloudWatch: an escaped tab.
            print("#011".join([f"[{epoch}]", *parts]), flush=True)
            return False

    try:
        booster = xgboost.train(
            parameters,
            data["train"],
            num_boost_round=rounds,
            evals=[(matrix, name) for name, matrix in data.items()],
            early_stopping_rounds=patience,
            verbose_eval=False,
            callbacks=[Printer()],
        )
    except xgboost.core.XGBoostError as error:
        raise UserError(str(error).splitlines()[0]) from error
    target = ml / "model" / "xgboost-model"
    target.write_bytes(bytes(booster.save_raw(raw_format="ubj")))


def main() -> int:
    """Trains; gives the exit code and leaves the cause of a failure where SageMaker reads it."""
    ml = Path(os.environ["SM_MODEL_DIR"]).parent
    try:
        train(ml)
    except UserError as error:
        (ml / "output").mkdir(exist_ok=True)
        (ml / "output" / "failure").write_text(f"UserError: {error}", encoding="utf-8")
        print(f"UserError: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
