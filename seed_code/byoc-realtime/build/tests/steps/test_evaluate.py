from __future__ import annotations

import ast
import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from program import training
from steps import evaluate

ROWS = np.random.default_rng(3).uniform(0, 1, (120, 2))
LABELS = 3 * ROWS[:, 0] - ROWS[:, 1] ** 2 + np.random.default_rng(4).normal(0, 0.1, 120)


def archive(file: Path, **members: bytes) -> Path:
    with tarfile.open(file, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    places = tuple(tmp_path / name for name in ("model", "test", "out"))
    for place in places[:2]:
        place.mkdir()
    made = training.fit(LABELS, ROWS, training.Hyperparameters())
    archive(places[0] / "model.tar.gz", model_json=made.dumps().encode())
    lines = [f"{label},{a},{b}" for label, (a, b) in zip(LABELS, ROWS, strict=True)]
    (places[1] / "test.csv").write_text("\n".join(lines) + "\n")
    return places[0], places[1], places[2]


def test_the_metrics_are_those_of_scikit_learn(folders: tuple[Path, Path, Path]) -> None:
    report = evaluate.run(*folders, minimum=100)
    said = {key: item["value"] for key, item in report["regression_metrics"].items()}
    predictions = evaluate.load_model(folders[0] / "model.tar.gz").predict(ROWS)
    assert said["mse"] == pytest.approx(mean_squared_error(LABELS, predictions))
    assert said["rmse"] == pytest.approx(said["mse"] ** 0.5)
    assert said["mae"] == pytest.approx(mean_absolute_error(LABELS, predictions))
    assert said["r2"] == pytest.approx(r2_score(LABELS, predictions))
    assert report["baseline_metrics"]["rmse"]["value"] == pytest.approx(np.std(LABELS))
    assert json.loads((folders[2] / "evaluation.json").read_text()) == report


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, "exactly one file"),
        ({"model_json": b"\x80\x04cposix\nsystem\n"}, "models are numbers"),
        ({"model_json": b'{"format": "other"}'}, "not of the format"),
        ({"other": b"{}"}, "exactly one file"),
    ],
)
def test_what_is_no_model_is_refused(
    folders: tuple[Path, Path, Path], members: dict[str, bytes], told: str
) -> None:
    archive(folders[0] / "model.tar.gz", **members)
    with pytest.raises(evaluate.RefusedError, match=told):
        evaluate.run(*folders, minimum=100)
    assert not folders[2].exists()


def test_what_each_feature_counts_is_the_mean_over_all_orders_of_joining() -> None:
    made = training.fit(LABELS, ROWS, training.Hyperparameters(degree=3))
    rows, reference = ROWS[:7], ROWS.mean(axis=0)
    found = evaluate.shapley(made, rows, reference)
    # Of two features: the mean of joining first and joining last.
    for row, (first, second) in zip(rows, found, strict=True):
        alone = [np.array([row[0], reference[1]]), np.array([reference[0], row[1]])]
        asked = {"none": reference, "a": alone[0], "b": alone[1], "both": row}
        value = {name: made.predict(place[None, :])[0] for name, place in asked.items()}
        one = (value["a"] - value["none"] + value["both"] - value["b"]) / 2
        two = (value["b"] - value["none"] + value["both"] - value["a"]) / 2
        assert (first, second) == (pytest.approx(one), pytest.approx(two))
        assert first + second == pytest.approx(value["both"] - value["none"])


def test_baselines_are_made_of_traffic_predictions_and_what_features_count(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    made = evaluate.load_model(folders[0] / "model.tar.gz")
    evaluate.write_baselines(made, folders[1], folders[1], ["y", "a", "b"], tmp_path / "to")
    traffic = np.genfromtxt(tmp_path / "to" / "traffic" / "traffic.csv", delimiter=",", names=True)
    assert traffic.dtype.names == ("prediction", "a", "b")
    assert traffic["prediction"] == pytest.approx(made.predict(ROWS))
    assert traffic["b"] == pytest.approx(ROWS[:, 1])
    compared = np.genfromtxt(
        tmp_path / "to" / "compared" / "compared.csv", delimiter=",", names=True
    )
    assert compared["label"] == pytest.approx(LABELS)
    report = json.loads((tmp_path / "to" / "explanation" / "explanation.json").read_text())
    shap = report["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    # The label is 3a - b²: a counts more.
    assert shap["a"] > shap["b"] > 0
    with pytest.raises(evaluate.RefusedError, match="--columns names 1"):
        evaluate.write_baselines(made, folders[1], folders[1], ["y", "a"], tmp_path / "other")


def test_too_small_a_test_set_means_nothing(folders: tuple[Path, Path, Path]) -> None:
    with pytest.raises(evaluate.RefusedError, match="has 120 rows, at least 121"):
        evaluate.run(*folders, minimum=121)


def test_a_model_of_other_features_is_refused(folders: tuple[Path, Path, Path]) -> None:
    (folders[1] / "test.csv").write_text("1,2,3,4\n" * 100)
    with pytest.raises(evaluate.RefusedError, match="expected 2 values a row, got 3"):
        evaluate.run(*folders, minimum=100)


def test_the_reason_is_the_jobs_exit_message(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    message = tmp_path / "message"
    code = evaluate.main(
        [
            "--model", str(tmp_path / "nothing"), "--test", str(folders[1]),
            "--output", str(folders[2]), "--message-file", str(message),
        ]
    )  # fmt: skip
    assert code == 1
    assert "model.tar.gz does not exist" in message.read_text()


@pytest.mark.parametrize("name", ["preprocess", "evaluate"])
def test_steps_are_import_no_sdk(name: str) -> None:
    tree = ast.parse((Path(__file__).parents[2] / "steps" / f"{name}.py").read_text())
    modules = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    outside = {m.partition(".")[0] for m in modules} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "pandas", "program"}
