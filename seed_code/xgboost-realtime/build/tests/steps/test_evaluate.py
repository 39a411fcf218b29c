from __future__ import annotations

import ast
import io
import json
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import xgboost

from steps import evaluate

FEATURES = 4


def data(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    features = chance.normal(size=(rows, FEATURES))
    return features @ [3.0, 1.0, 0.0, -2.0] + chance.normal(size=rows) + 10, features


@pytest.fixture(scope="module")
def model() -> xgboost.Booster:
    labels, features = data(500, 1)
    return xgboost.train({"max_depth": 3}, xgboost.DMatrix(features, label=labels), 30)


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as made:
        for name, content in members.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            made.addfile(item, io.BytesIO(content))
    return folder


def test_set(folder: Path, labels: np.ndarray, features: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    np.savetxt(folder / "test.csv", np.column_stack([labels, features]), delimiter=",", fmt="%.17g")
    return folder


test_set.__test__ = False  # a helper


def run(folder: Path, *arguments: str) -> int:
    return evaluate.main(
        [
            "--model", str(folder / "model"),
            "--test", str(folder / "test"),
            "--output", str(folder / "evaluation"),
            "--message-file", str(folder / "message"),
            *arguments,
        ]
    )  # fmt: skip


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_metrics_are_those_of_scikit_learn(
    tmp_path: Path, model: xgboost.Booster, form: str
) -> None:
    labels, features = data(200, 2)
    archive(tmp_path / "model", {"xgboost-model": bytes(model.save_raw(form))})
    test_set(tmp_path / "test", labels, features)
    assert run(tmp_path) == 0
    report = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    found = {name: item["value"] for name, item in report["regression_metrics"].items()}
    predictions = model.predict(xgboost.DMatrix(features))
    mse = sklearn.metrics.mean_squared_error(labels, predictions)
    assert found == pytest.approx(
        {
            "mse": mse,
            "rmse": mse**0.5,
            "mae": sklearn.metrics.mean_absolute_error(labels, predictions),
            "r2": sklearn.metrics.r2_score(labels, predictions),
        }
    )
    guess = np.full(labels.shape, labels.mean())
    assert report["baseline_metrics"]["rmse"]["value"] == pytest.approx(
        sklearn.metrics.mean_squared_error(labels, guess) ** 0.5
    )
    assert json.loads((tmp_path / "message").read_text()) == report


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.file,))


def test_a_pickled_model_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    archive(tmp_path / "model", {"xgboost-model": pickle.dumps(Trap(trap))})
    test_set(tmp_path / "test", *data(200, 2))
    assert run(tmp_path) == 1
    assert "Pickled models are not loaded" in (tmp_path / "message").read_text()
    assert not trap.exists()


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, "exactly one file xgboost-model"),
        ({"other": b"{}"}, "exactly one file xgboost-model"),
        ({"../xgboost-model": b"{}"}, "exactly one file xgboost-model"),
        ({"xgboost-model": b"{}", "./xgboost-model": b"{}"}, "exactly one file"),
        ({"xgboost-model": b"{}"}, "is no model of XGBoost"),
        ({"xgboost-model": b'{"learner": 1}'}, "is no model of XGBoost"),
        ({"xgboost-model": b""}, "neither JSON nor UBJSON"),
    ],
)
def test_a_poisoned_archive_is_refused(
    tmp_path: Path, members: dict[str, bytes], told: str
) -> None:
    archive(tmp_path / "model", members)
    test_set(tmp_path / "test", *data(200, 2))
    assert run(tmp_path) == 1
    assert told in (tmp_path / "message").read_text()
    assert not (tmp_path / "evaluation").exists()


def test_a_link_a_missing_and_a_broken_archive_are_refused(
    tmp_path: Path, model: xgboost.Booster
) -> None:
    test_set(tmp_path / "test", *data(200, 2))
    (tmp_path / "model").mkdir()
    assert run(tmp_path) == 1
    assert "does not exist" in (tmp_path / "message").read_text()
    with tarfile.open(tmp_path / "model" / "model.tar.gz", "w:gz") as made:
        item = tarfile.TarInfo("xgboost-model")
        item.type, item.linkname = tarfile.SYMTYPE, "/etc/hostname"
        made.addfile(item)
    assert run(tmp_path) == 1
    assert "exactly one file" in (tmp_path / "message").read_text()
    whole = archive(tmp_path / "model", {"xgboost-model": bytes(model.save_raw("ubj"))})
    content = (whole / "model.tar.gz").read_bytes()
    (whole / "model.tar.gz").write_bytes(content[: len(content) // 2])
    assert run(tmp_path) == 1
    assert "is no archive of a model" in (tmp_path / "message").read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not numbers"),
        ("1,2,3,4,x\n", "not numbers"),
        ("1,2,3,4,\n" * 200, "missing or infinite"),
        ("1,2,3,4,5\n" * 50, "has 50 rows, at least 100"),
        ("1,2,3,4\n" * 200, "takes 4 features, the test set has 3"),
    ],
)
def test_a_test_set_that_says_nothing_is_refused(
    tmp_path: Path, model: xgboost.Booster, text: str, told: str
) -> None:
    archive(tmp_path / "model", {"xgboost-model": bytes(model.save_raw("ubj"))})
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test.csv").write_text(text)
    assert run(tmp_path) == 1
    assert told in (tmp_path / "message").read_text()


def test_no_test_set_is_refused(tmp_path: Path, model: xgboost.Booster) -> None:
    archive(tmp_path / "model", {"xgboost-model": bytes(model.save_raw("ubj"))})
    (tmp_path / "test").mkdir()
    assert run(tmp_path) == 1
    assert "has no *.csv file" in (tmp_path / "message").read_text()


def test_labels_that_are_all_the_same_have_no_r2() -> None:
    report = evaluate.measure(np.full(5, 3.0), np.full(5, 3.0))
    assert report["regression_metrics"]["r2"]["value"] == 0


@pytest.mark.parametrize("name", ["preprocess", "evaluate"])
def test_steps_are_for_pythons_that_images_have_and_import_no_sdk(name: str) -> None:
    tree = ast.parse(
        (Path(__file__).parents[2] / "steps" / f"{name}.py").read_text(), feature_version=(3, 9)
    )
    modules = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    outside = {m.partition(".")[0] for m in modules} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "pandas", "xgboost"}


def test_baselines_are_of_what_the_endpoint_would_have_seen(
    tmp_path: Path, model: xgboost.Booster
) -> None:
    labels, features = data(300, 3)
    names = [f"f{n}" for n in range(FEATURES)]
    train, test = (test_set(tmp_path / part, labels, features) for part in ("train", "test"))
    evaluate.write_baselines(model, train, test, ["label", *names], tmp_path)
    traffic = np.genfromtxt(tmp_path / "traffic" / "traffic.csv", delimiter=",", names=True)
    assert traffic.dtype.names == ("prediction", *names)
    expected = model.predict(xgboost.DMatrix(features))
    assert np.allclose(traffic["prediction"], expected, atol=1e-4)
    compared = np.genfromtxt(tmp_path / "compared" / "compared.csv", delimiter=",", names=True)
    assert compared.dtype.names == ("label", "prediction")
    assert np.allclose(compared["label"], labels)
    judged = np.genfromtxt(tmp_path / "judged" / "judged.csv", delimiter=",")
    assert np.allclose(judged[:, 0], labels)
    assert np.allclose(judged[:, -1], compared["prediction"])
    assert judged.shape[1] == 2 + FEATURES
    report = json.loads((tmp_path / "explanation" / "explanation.json").read_text())
    told = report["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    # The data is 3, 1, 0 and -2 times the features.
    assert sorted(told, key=lambda name: -told[name]) == ["f0", "f3", "f1", "f2"]
    with pytest.raises(evaluate.RefusedError, match="features, but --columns names"):
        evaluate.write_baselines(model, train, test, ["label", *names, "more"], tmp_path)


def test_the_command_writes_baselines_where_it_knows_the_columns(
    tmp_path: Path, model: xgboost.Booster
) -> None:
    labels, features = data(200, 4)
    archive(tmp_path / "model", {"xgboost-model": bytes(model.save_raw("ubj"))})
    test_set(tmp_path / "test", labels, features)
    given = ["--train", str(tmp_path / "test"), "--baselines", str(tmp_path)]
    assert run(tmp_path, *given) == 0
    assert not (tmp_path / "traffic").exists()
    assert run(tmp_path, *given, "--columns", "y,a,b,c,d") == 0
    for name in ("traffic", "compared", "explanation"):
        assert list((tmp_path / name).iterdir())
    traffic = tmp_path / "traffic" / "traffic.csv"
    assert traffic.read_text().startswith("prediction,a,b,c,d\n")
    assert run(tmp_path, *given, "--columns", "y,a,b,c,d", "--asked-alone") == 0
    assert traffic.read_text().startswith("a,b,c,d\n")
    assert run(tmp_path, *given, "--columns", "y,a") == 1
