"""Trains one model with one set of hyperparameters, and prints how good it is.

Runs inside SageMaker's scikit-learn image, as the script of a training job: hyperparameters come as
arguments, channels and folders too. What the model needs to answer, ``inference.py`` and
``classifier.py``, goes into the archive beside it. The line ``validation:macro_f1=...;`` is what a
tuning job compares.
"""

# pandas and scikit-learn bring no types, and what is guessed of them is wrong.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from classifier import Classifier, Features, ModelError
from sklearn.metrics import accuracy_score, f1_score

OBJECTIVE = "validation:macro_f1"
_FAILURE_BYTES = 1024  # Source: SageMaker developer guide, /opt/ml/output/failure.
_SERVING = ("inference.py", "classifier.py")


def read_set(folder: Path) -> tuple[list[str], list[int]]:
    """Texts and labels of a set that ``preprocess.py`` wrote.

    Raises:
        ModelError: There is none.
    """
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise ModelError(f"{folder} has no *.csv file.")
    table = pd.concat([pd.read_csv(path, keep_default_na=False) for path in paths])
    if not {"text", "label"} <= set(table.columns):
        raise ModelError(f"{folder} has the columns {', '.join(table.columns)}: no text or label.")
    return [str(text) for text in table["text"]], [int(label) for label in table["label"]]


def run(
    train: Path, validation: Path, model: Path, features: Features, strength: float
) -> tuple[float, float]:
    """Trains, measures on the validation set, and writes the model with what serves it.

    Returns:
        Macro-averaged F1 and accuracy on the validation set.

    Raises:
        ModelError: The sets or hyperparameters cannot be used.
    """
    texts, labels = read_set(train)
    trained = Classifier.fit(texts, labels, features, strength)
    held, truth = read_set(validation)
    guessed = trained.scores(held).argmax(axis=1)
    trained.save(model)
    (model / "code").mkdir(exist_ok=True)
    for name in _SERVING:
        shutil.copy(Path(__file__).with_name(name), model / "code" / name)
    return float(f1_score(truth, guessed, average="macro")), float(accuracy_score(truth, guessed))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when a model was written, 1 when sets or hyperparameters were refused."""
    parser = argparse.ArgumentParser(description="Trains a classifier of short texts.")
    channels, ml = "/opt/ml/input/data", Path("/opt/ml")
    parser.add_argument("--ngrams", type=int, default=2, help="words that count as one, at most")
    parser.add_argument("--buckets", type=int, default=16, help="logarithm of the features")
    parser.add_argument("--strength", type=float, default=1.0, help="inverse of regularisation")
    for name in ("train", "validation"):
        folder = os.environ.get(f"SM_CHANNEL_{name.upper()}", f"{channels}/{name}")
        parser.add_argument(f"--{name}", type=Path, default=Path(folder))
    model = Path(os.environ.get("SM_MODEL_DIR", ml / "model"))
    parser.add_argument("--model", type=Path, default=model)
    failure = Path(os.environ.get("SM_OUTPUT_DIR", ml / "output")) / "failure"
    parser.add_argument("--failure-file", type=Path, default=failure)
    given = parser.parse_args(arguments)
    try:
        features = Features(given.ngrams, given.buckets)
        f1, accuracy = run(given.train, given.validation, given.model, features, given.strength)
    except ModelError as error:
        message = f"The training was refused.\n{error}"
        if given.failure_file.parent.is_dir():
            told = message.encode()[:_FAILURE_BYTES].decode(errors="ignore")
            given.failure_file.write_text(told, encoding="utf-8")
        print(message, file=sys.stderr)
        return 1
    print(f"{OBJECTIVE}={f1:.6f};")
    print(f"validation:accuracy={accuracy:.6f};")
    return 0


if __name__ == "__main__":
    sys.exit(main())
