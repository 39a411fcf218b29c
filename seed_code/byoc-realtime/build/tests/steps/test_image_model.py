from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from program import model, training

RANDOM = np.random.default_rng(1)
ROWS = RANDOM.uniform(-1, 2, (80, 3))
LABELS = ROWS[:, 0] ** 2 - 2 * ROWS[:, 1] * ROWS[:, 2] + RANDOM.normal(0, 0.1, 80)


def folder(tmp_path: Path, **hyperparameters: str) -> Path:
    """An ``/opt/ml`` with both channels."""
    for name, part in (("train", slice(0, 60)), ("validation", slice(60, 80))):
        place = tmp_path / "input" / "data" / name
        place.mkdir(parents=True)
        lines = [",".join(map(str, row)) for row in np.column_stack([LABELS, ROWS])[part]]
        (place / f"{name}.csv").write_text("\n".join(lines) + "\n")
    config = tmp_path / "input" / "config"
    config.mkdir()
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    return tmp_path


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_it_predicts_as_scikit_learns_own_pipeline(degree: int) -> None:
    made = training.fit(LABELS, ROWS, training.Hyperparameters(degree=degree))
    oracle = make_pipeline(
        PolynomialFeatures(degree, include_bias=False),
        StandardScaler(),
        RidgeCV(alphas=np.logspace(-3, 3, 13)),
    ).fit(ROWS, LABELS)
    others = RANDOM.uniform(-1, 2, (50, 3))
    assert made.predict(others) == pytest.approx(oracle.predict(others), rel=1e-9)


def test_a_model_is_what_was_saved(tmp_path: Path) -> None:
    made = training.fit(LABELS, ROWS, training.Hyperparameters())
    model.save(made, tmp_path / "model")
    assert list(model.load(tmp_path / "model").predict(ROWS)) == list(made.predict(ROWS))


def changed(**parts: Any) -> str:
    made = training.fit(LABELS, ROWS, training.Hyperparameters(degree=1))
    return json.dumps({**json.loads(made.dumps()), **parts})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no JSON", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not of the format"),
        (changed(format="pickle"), "not of the format"),
        (changed(weights=[1.0]), "one number for each term"),
        (changed(weights=["a", 1, 1]), "lacks numbers"),
        (changed(scales=[0, 1, 1]), "not positive"),
        (changed(intercept=float("nan")), "not finite"),
        (changed(powers=[[1, 0, 0], [0, 0.5, 0], [0, 0, 1]]), "must be whole"),
        (changed(powers=[]), "no table"),
    ],
)
def test_what_is_no_model_is_refused(text: str, told: str) -> None:
    with pytest.raises(model.ModelError, match=told):
        model.loads(text)


def test_the_algorithms_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder(tmp_path, degree="2", alpha_min="-2.0")
    assert training.main(place) == 0
    assert sorted(path.name for path in (place / "model").iterdir()) == [model.FILE]
    assert not (place / "output" / "failure").exists()
    lines = capsys.readouterr().out.splitlines()
    metrics = dict(line.rstrip(";").split("=") for line in lines)
    assert set(metrics) == {"train-rmse", "validation-rmse"}
    assert 0 < float(metrics["validation-rmse"]) < 0.5


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"degree": "9"}, "degree: got 9, expected 1 to 3"),
        ({"degree": "two"}, "hyperparameters: "),
        ({"depth": "2"}, "depth: there are degree"),
        ({"alpha_min": "4", "alpha_max": "1"}, "in order"),
    ],
)
def test_wrong_hyperparameters_are_told_in_the_failure_file(
    tmp_path: Path, given: dict[str, str], told: str
) -> None:
    place = folder(tmp_path, **given)
    assert training.main(place) == 1
    assert told in (place / "output" / "failure").read_text()
    assert not (place / "model").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("1,a\n", "row 1"),
        ("1,2\n1,2,3\n", "differ in length"),
        ("", "empty"),
        ("1,nan\n", "missing"),
    ],
)
def test_data_that_is_not_numbers_is_told_in_the_failure_file(
    tmp_path: Path, content: str, told: str
) -> None:
    place = folder(tmp_path)
    (place / "input" / "data" / "train" / "train.csv").write_text(content)
    assert training.main(place) == 1
    assert told in (place / "output" / "failure").read_text()


def test_a_missing_channel_is_told(tmp_path: Path) -> None:
    assert training.main(tmp_path) == 1
    assert "the channel train has no *.csv file" in (tmp_path / "output" / "failure").read_text()
