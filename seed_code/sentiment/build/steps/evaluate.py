"""Measures a trained model on the test set, and writes what its traffic is compared with later.

Runs inside SageMaker's scikit-learn image, so it needs only what that image has, and a Python from
3.9 on. The folders are arguments; nothing is known about AWS.

The model is read out of ``model.tar.gz`` in memory: no file of the archive is written anywhere, and
none of its code is run.
"""

# pandas and scikit-learn bring no types, and what is guessed of them is wrong.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import inference
import numpy as np
import pandas as pd
import traffic
from classifier import FILES, LABELS, Classifier, ModelError
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

BASELINES = ("traffic", "compared", "explanation", "records")
"""Folders of :func:`write_baselines`."""

COLUMNS = ("label", "characters", "words")
"""What is known of a text beside its words: columns of ``records``, in this order."""

_EXPLAINED = 500  # texts: their words by labels have to fit into memory
_TOLD_WORDS = 50
_MODEL_BYTES = 512 * 1024**2
_EXIT_MESSAGE_BYTES = 1024  # Source: DescribeProcessingJob's ExitMessage, SageMaker API reference.


class RefusedError(ValueError):
    """Model or test set cannot be used; the message says why."""


def load_model(archive: Path) -> Classifier:
    """The model of a training job.

    Raises:
        RefusedError: There is none, or it is none of this repository's.
    """
    if not archive.is_file():
        raise RefusedError(f"{archive} does not exist.")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as members:
            for item in members:
                name = item.name[2:] if item.name.startswith("./") else item.name
                if name not in FILES:
                    continue
                if name in files or not item.isfile() or item.size > _MODEL_BYTES:
                    raise RefusedError(
                        f"{archive.name}: {name} must be one file of at most {_MODEL_BYTES} bytes."
                    )
                opened = members.extractfile(item)
                files[name] = opened.read() if opened else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RefusedError(f"{archive.name} is no archive of a model: {error}") from error
    try:
        return Classifier.read(files)
    except ModelError as error:
        raise RefusedError(f"{archive.name}: {error}") from error


def load_test_set(folder: Path) -> tuple[list[str], list[int]]:
    """Texts and labels of all CSV files of a folder, as ``preprocess.py`` writes them.

    Raises:
        RefusedError: There are none, or they hold anything else.
    """
    paths = sorted(folder.rglob("*.csv"))
    if not paths:
        raise RefusedError(f"{folder} has no *.csv file.")
    try:
        tables = [pd.read_csv(path, keep_default_na=False) for path in paths]
        table = pd.concat(tables, ignore_index=True)
        texts, labels = [str(text) for text in table["text"]], [int(n) for n in table["label"]]
    except (ValueError, KeyError) as error:
        raise RefusedError(f"The test set is not texts with labels: {error!r}") from error
    if not set(labels) <= set(range(len(LABELS))):
        raise RefusedError(f"The test set has the labels {sorted(set(labels))}, expected 0 to 2.")
    return texts, labels


def measure(labels: Sequence[int], guessed: Sequence[int]) -> dict[str, Any]:
    """The metrics of a classification, as SageMaker's model quality reports name them.

    The best constant classifier always says the most frequent label: a model that is not better
    learned nothing. ``lift`` is by how much the model is right more often than that.
    """
    accuracy = float(accuracy_score(labels, guessed))
    constant = float(np.bincount(labels, minlength=len(LABELS)).max() / len(labels))
    matrix = confusion_matrix(labels, guessed, labels=range(len(LABELS)))
    numbers = range(len(LABELS))
    each = f1_score(labels, guessed, labels=numbers, average=None, zero_division=0)
    return {
        "multiclass_classification_metrics": {
            "accuracy": {"value": accuracy},
            "accuracy_best_constant_classifier": {"value": constant},
            "lift": {"value": accuracy - constant},
            "macro_f1": {"value": float(np.mean(each))},
            "weighted_f1": {
                "value": float(f1_score(labels, guessed, average="weighted", zero_division=0))
            },
            "confusion_matrix": {
                LABELS[row]: {LABELS[column]: int(matrix[row, column]) for column in numbers}
                for row in numbers
            },
        },
        "label_metrics": {LABELS[n]: {"f1": {"value": float(each[n])}} for n in numbers},
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
    texts, labels = load_test_set(test_folder)
    if len(labels) < minimum:
        raise RefusedError(f"The test set has {len(labels)} rows, at least {minimum} are needed.")
    guessed = [int(number) for number in model.scores(texts).argmax(axis=1)]
    report = measure(labels, guessed)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, allow_nan=False)
    (output / "evaluation.json").write_text(text, encoding="utf-8")
    return report


def attributions(
    model: Classifier, texts: Sequence[str], known: Sequence[str]
) -> tuple[list[int], np.ndarray[Any, Any]]:
    """What each feature adds to each label's linear score, against the mean of known texts.

    For a linear model these are the Shapley values, exactly: a text's add up to how far its score
    is from the mean score of the known texts.

    Returns:
        The features that occur, and values by label, text and feature.
    """
    matrix = model.weighted(texts).tocsc()
    mean = np.asarray(model.weighted(known).mean(axis=0)).ravel()
    used = np.flatnonzero(np.diff(matrix.indptr) + (mean > 0))
    apart = matrix[:, used].toarray() - mean[used]
    return [int(n) for n in used], model.weights[:, None, used] * apart[None, :, :]


def explain(model: Classifier, texts: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """How much words count for each label: means of absolute values, as Clarify reports them.

    Clarify estimates them by asking a model behind an endpoint, which an isolated job cannot reach.
    A feature is told by the word, or the words in a row, that it counts most often.
    """
    texts = texts[:_EXPLAINED]
    used, values = attributions(model, texts, known)
    counted = Counter(word for text in texts for word in set(model.features.words(text)))
    words = [word for word, _ in counted.most_common()]
    names: dict[int, str] = {}
    for word, bucket in zip(words, model.features.bucket(words)):  # noqa: B905 - Python 3.9
        names.setdefault(bucket, word)
    means = np.abs(values).mean(axis=1)
    centre = np.asarray(model.weighted(known).mean(axis=0)).ravel()
    told: dict[str, Any] = {}
    for label in range(len(LABELS)):
        most = [n for n in np.argsort(-means[label]) if used[n] in names][:_TOLD_WORDS]
        told[f"label{label}"] = {
            "global_shap_values": {names[used[n]]: float(means[label, n]) for n in most},
            "expected_value": float(centre @ model.weights[label] + model.biases[label]),
        }
    return {"version": "1.0", "explanations": {"kernel_shap": told}}


def seen(model: Classifier, texts: Sequence[str]) -> list[dict[str, int]]:
    """What monitoring would have seen of texts, each in a request of its own."""
    answers = inference.predict_fn(list(texts), model)
    return [
        traffic.row(json.dumps({"text": text}), inference.output_fn([answer], inference.JSON)[0])
        for text, answer in zip(texts, answers)  # noqa: B905 - Python 3.9
    ]


def write_baselines(model_folder: Path, train: Path, test: Path, output: Path) -> None:
    """Writes what baselines are made of, in :data:`BASELINES`.

    ``traffic`` is what monitoring would have seen of the training set at the endpoint;
    ``compared`` is what it says to the test set beside the truth; ``records`` is the training set
    without its words, for the bias of the labels; ``explanation`` is which words count.

    Args:
        model_folder: Holds ``model.tar.gz``.
        train: Folder of the training set.
        test: Folder of the test set.
        output: Where the folders go.

    Raises:
        RefusedError: Model or set cannot be used.
    """
    model = load_model(model_folder / "model.tar.gz")
    texts, labels = load_test_set(test)
    known, taught = load_test_set(train)
    for name in BASELINES:
        (output / name).mkdir(parents=True, exist_ok=True)

    said = [int(number) for number in model.scores(texts).argmax(axis=1)]
    about = pd.DataFrame([traffic.describe(text) for text in known])
    tables = {
        "traffic": pd.DataFrame(seen(model, known)),
        "compared": pd.DataFrame({"label": labels, "prediction": said}),
        "records": pd.DataFrame({"label": taught, **about}),
    }
    for name, table in tables.items():
        # Clarify is told the names, and takes a header for a record.
        table.to_csv(output / name / f"{name}.csv", index=False, header=name != "records")
    text = json.dumps(explain(model, texts, known), indent=2, allow_nan=False)
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
    parser.add_argument("--baselines", type=Path, help="where they go; none without it")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    try:
        report = run(given.model, given.test, given.output, given.minimum_rows)
        if given.baselines:
            write_baselines(given.model, given.train, given.test, given.baselines)
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
