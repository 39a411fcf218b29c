"""The steps as jobs run them, one after the other, with real data and the real libraries.

What the model reaches is compared with scikit-learn on the same split, and with the error that the
data's own formula leaves to any model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.seed_code.build_repository import render, run

TRAINING = '''
"""What SageMaker's XGBoost does with the job's hyperparameters and channels."""
import json, sys, tarfile
from pathlib import Path
import pandas, xgboost

folder = Path(sys.argv[1])
given = json.loads((folder / "hyperparameters.json").read_text())
rounds, stop = int(given.pop("num_round")), int(given.pop("early_stopping_rounds"))

def channel(name):
    table = pandas.read_csv(folder / name / f"{name}.csv", header=None)
    return xgboost.DMatrix(table.iloc[:, 1:].to_numpy(), label=table[0])

watched = [(channel("validation"), "validation")]
model = xgboost.train(given, channel("train"), rounds, evals=watched, early_stopping_rounds=stop)
(folder / "model").mkdir()
model.save_model(folder / "model" / "xgboost-model")
with tarfile.open(folder / "model" / "model.tar.gz", "w:gz") as made:
    made.add(folder / "model" / "xgboost-model", "xgboost-model")
'''
ORACLE = '''
"""Another implementation of gradient boosting, and a straight line, on the same sets."""
import json, sys
from pathlib import Path
import pandas
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error

folder = Path(sys.argv[1])
train, test = (pandas.read_csv(folder / n / f"{n}.csv", header=None) for n in ("train", "test"))
models = {
    "boosting": GradientBoostingRegressor(max_depth=4, subsample=0.8, random_state=1),
    "line": LinearRegression(),
}
print(json.dumps({name: root_mean_squared_error(
    test[0], model.fit(train.iloc[:, 1:], train[0]).predict(test.iloc[:, 1:]))
    for name, model in models.items()}))
'''


def seed(folder: Path, *arguments: str | Path) -> str:
    done = run(folder, "sh", "-c", 'exec "$STEPS_PYTHON" "$@"', "sh", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("steps"))


@pytest.fixture(scope="module")
def definition(repository: Path) -> dict[str, Any]:
    file = repository / "definition.json"
    done = run(repository, "make", "validate")
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())


def command(step: dict[str, Any]) -> list[str]:
    """A processing job's arguments, with a version for what the execution would say."""
    given = step["Arguments"]["AppSpecification"]["ContainerArguments"]
    return [part if isinstance(part, str) else "sha256-test" for part in given]


def trained(repository: Path, definition: dict[str, Any], work: Path) -> dict[str, Any]:
    """Preprocess, train and evaluate as the definition says; the report."""
    preprocess, train, evaluate, _ = definition["Steps"]
    folders = [a for name in ("train", "validation", "test") for a in (f"--{name}", work / name)]
    seed(repository, "steps/preprocess.py", "--input", work / "in", *folders, *command(preprocess))
    given = json.dumps(train["Arguments"]["HyperParameters"])
    (work / "hyperparameters.json").write_text(given)
    (work / "train.py").write_text(TRAINING)
    seed(repository, work / "train.py", work)
    folders = [
        "--model", work / "model", "--train", work / "train", "--test", work / "test",
        "--output", work / "evaluation", "--baselines", work / "baselines",
    ]  # fmt: skip
    seed(repository, "steps/evaluate.py", *folders, *command(evaluate))
    return json.loads((work / "evaluation" / "evaluation.json").read_text())


def at(report: dict[str, Any], path: str) -> float:
    for part in path.split("."):
        report = report[part]
    assert isinstance(report, float)
    return report


def test_the_model_is_as_good_as_scikit_learns_and_not_better_than_possible(
    repository: Path, definition: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    records = tmp_path / "in" / "records.csv"
    seed(repository, "sample_data.py", "--rows", "8000", "--output", records)
    report = trained(repository, definition, tmp_path)
    condition = definition["Steps"][3]["Arguments"]["Conditions"][0]
    rmse = at(report, condition["LeftValue"]["Std:JsonGet"]["Path"])
    (tmp_path / "oracle.py").write_text(ORACLE)
    oracle = json.loads(seed(repository, tmp_path / "oracle.py", tmp_path))
    lowest = float(seed(repository, "-c", "import sample_data; print(sample_data.lowest_rmse())"))
    assert rmse == pytest.approx(oracle["boosting"], rel=0.04)
    assert rmse < oracle["line"]
    assert 0.94 * lowest < rmse < 1.12 * lowest
    # The gate lets this model through and a guess not.
    limit = next(p for p in definition["Parameters"] if p["Name"] == "RmseThreshold")
    assert rmse < limit["DefaultValue"] < report["baseline_metrics"]["rmse"]["value"]


def test_the_report_becomes_metrics_of_the_model_card(
    repository: Path, definition: dict[str, Any], tmp_path: Path
) -> None:
    from functions.promotion.model_card import _FROM_METADATA, metric_groups

    (tmp_path / "in").mkdir()
    # The original data's layout: no header, this name.
    records = tmp_path / "records.csv"
    seed(repository, "sample_data.py", "--rows", "2000", "--seed", "3", "--output", records)
    lines = records.read_text().splitlines()[1:]
    (tmp_path / "in" / "abalone.data").write_text("\n".join(lines))
    report = trained(repository, definition, tmp_path)
    groups = {group["name"]: group["metric_data"] for group in metric_groups(report)}
    told = {item["name"]: item["value"] for item in groups["regression_metrics"]}
    assert told["rmse"] == report["regression_metrics"]["rmse"]["value"]
    assert {"mse", "rmse", "mae", "r2"} <= set(told)
    # What the card takes from a version's metadata is what the repository writes there.
    known = {key for key, _, _ in _FROM_METADATA} | {"RiskRating"}
    source = (repository / "pipelinekit" / "settings.py").read_text()
    assert all(f'"{key}": self.' in source or key == "ModelOwner" for key in known)
    assert '"ModelOwner": owner' in source


def test_records_that_cannot_be_used_end_the_job_with_their_reason(
    repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("sex,length\nM,0.4\n")
    script = ("steps/preprocess.py", "--input", tmp_path / "in", "--message-file", tmp_path / "why")
    done = run(repository, "sh", "-c", 'exec "$STEPS_PYTHON" "$@"', "sh", *script)
    assert done.returncode == 1
    assert "a.csv has no column diameter" in (tmp_path / "why").read_text()
    assert "Traceback" not in done.stderr
    assert sys.executable not in done.stderr
