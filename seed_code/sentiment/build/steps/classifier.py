"""The model: hashed words and pairs of words, weighted by rarity, and a logistic regression.

Training, evaluation and the endpoint share this module, so there is nothing that they could
disagree on. A model is kept as numbers and settings, in NumPy's and in JSON's format: nothing is
pickled, because loading a pickle runs whatever code is in it. Needs what SageMaker's scikit-learn
image has, and a Python from 3.9 on.
"""

# scikit-learn and SciPy bring no types, and what is guessed of them is wrong.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportUnknownLambdaType=false

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

LABELS = ("negative", "neutral", "positive")
NUMBERS, SETTINGS = "classifier.npz", "classifier.json"
FILES = (NUMBERS, SETTINGS)
"""The files of a model."""

_NGRAMS, _BUCKETS = range(1, 4), range(8, 21)
# Four numbers of eight bytes for each of the most features, and as much again.
_UNPACKED_BYTES = 2 * 4 * 8 * 2 ** _BUCKETS[-1]


class ModelError(ValueError):
    """Something is no model of this module; the message says why."""


@dataclass(frozen=True)
class Features:
    """How a text becomes numbers.

    Attributes:
        ngrams: Up to how many words that follow each other count as one.
        buckets: Logarithm to base 2 of the number of features that words are hashed to.
    """

    ngrams: int
    buckets: int

    def __post_init__(self) -> None:
        """Refuses what would not fit into memory, or is no text feature.

        Raises:
            ModelError: A number is out of range.
        """
        if self.ngrams not in _NGRAMS or self.buckets not in _BUCKETS:
            raise ModelError(
                f"ngrams {self.ngrams} and buckets {self.buckets}: expected"
                f" {_NGRAMS[0]} to {_NGRAMS[-1]} and {_BUCKETS[0]} to {_BUCKETS[-1]}."
            )

    def _hashing(self, **given: Any) -> HashingVectorizer:
        return HashingVectorizer(
            n_features=2**self.buckets, alternate_sign=False, norm=None, **given
        )

    def count(self, texts: Sequence[str]) -> Any:
        """How often each feature is in each text, as a sparse matrix."""
        return self._hashing(ngram_range=(1, self.ngrams)).transform(texts)

    def words(self, text: str) -> list[str]:
        """The words of a text, and those that follow each other, as they are counted."""
        return self._hashing(ngram_range=(1, self.ngrams)).build_analyzer()(text)

    def bucket(self, words: Sequence[str]) -> list[int]:
        """The feature that each of some of :meth:`words` is counted in."""
        matrix = self._hashing(analyzer=lambda word: [word]).transform(words)
        return [int(number) for number in matrix.indices]


def _arrays(content: bytes) -> dict[str, np.ndarray[Any, Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        unpacked = sum(item.file_size for item in packed.infolist())
    if unpacked > _UNPACKED_BYTES:
        raise ValueError(f"{unpacked} bytes unpacked, at most {_UNPACKED_BYTES}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in ("rarity", "weights", "biases")}


@dataclass(frozen=True)
class Classifier:
    """A trained model.

    Attributes:
        features: How texts become numbers.
        rarity: Weight of each feature: its inverse document frequency in the training set.
        weights: One row a label, one column a feature.
        biases: One a label.
    """

    features: Features
    rarity: np.ndarray[Any, Any]
    weights: np.ndarray[Any, Any]
    biases: np.ndarray[Any, Any]

    @classmethod
    def fit(
        cls, texts: Sequence[str], labels: Sequence[int], features: Features, strength: float
    ) -> Classifier:
        """Trains a model.

        Args:
            texts: The texts.
            labels: Their labels, as indices of :data:`LABELS`; all must occur.
            features: How texts become numbers.
            strength: Inverse of the regularisation: greater ones follow the data more closely.

        Raises:
            ModelError: A label does not occur.
        """
        if set(labels) != set(range(len(LABELS))):
            raise ModelError(f"The labels are {sorted(set(labels))}, expected 0, 1 and 2.")
        weighting = TfidfTransformer()
        matrix = weighting.fit_transform(features.count(texts))
        regression = LogisticRegression(C=strength, max_iter=300)
        regression.fit(matrix, labels)
        return cls(features, weighting.idf_, regression.coef_, regression.intercept_)

    def weighted(self, texts: Sequence[str]) -> Any:
        """What the regression is given: a sparse matrix, one row of length 1 a text."""
        weighted = self.features.count(texts).multiply(self.rarity).tocsr()
        lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        # A text of no known form, such as "?!", has length 0; its scores are the biases alone.
        lengths[lengths == 0] = 1
        return weighted.multiply(1 / lengths[:, None]).tocsr()

    def scores(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """The probability of each label, one row a text."""
        linear = self.weighted(texts) @ self.weights.T + self.biases
        powers = np.exp(linear - linear.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def save(self, folder: Path) -> None:
        """Writes :data:`FILES` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = {**asdict(self.features), "labels": list(LABELS)}
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        np.savez_compressed(
            folder / NUMBERS, rarity=self.rarity, weights=self.weights, biases=self.biases
        )

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> Classifier:
        """A model from the content of its files.

        Raises:
            ModelError: A file is missing, is something else, or does not fit to the other.
        """
        missing = [name for name in FILES if name not in files]
        if missing:
            raise ModelError(f"The model has no {' and no '.join(missing)}.")
        try:
            settings = json.loads(files[SETTINGS])
            features = Features(int(settings["ngrams"]), int(settings["buckets"]))
            labels = tuple(settings["labels"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{SETTINGS} does not hold a model's settings: {error!r}") from error
        if labels != LABELS:
            raise ModelError(f"The model knows {labels}, expected {LABELS}.")
        content = files[NUMBERS]
        # An archive of arrays is a zip file; NumPy takes anything else for a pickle.
        if not content.startswith(b"PK"):
            raise ModelError(f"{NUMBERS} is no archive of arrays. Pickled models are not loaded.")
        try:
            found = _arrays(content)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise ModelError(f"{NUMBERS} does not hold a model's numbers: {error}") from error
        size = 2**features.buckets
        shapes = {"rarity": (size,), "weights": (len(LABELS), size), "biases": (len(LABELS),)}
        for name, shape in shapes.items():
            array = found[name]
            if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ModelError(
                    f"{NUMBERS}: {name} is {array.dtype} {array.shape}, expected finite numbers"
                    f" {shape}."
                )
        return cls(features, **found)
