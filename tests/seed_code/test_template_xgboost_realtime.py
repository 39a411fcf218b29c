"""The template ``xgboost-realtime``, from data to an answer, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.seed_code.template_kit import Run, TemplateProject, abalone
from tests.seed_code.template_refusals import prove, refusals

TEMPLATE = "xgboost-realtime"
HEADER = (
    "sex_f,sex_i,sex_m,length,diameter,height,"
    "whole_weight,shucked_weight,viscera_weight,shell_weight"
)
ROW = "0,0,1,0.455,0.365,0.095,0.514,0.2245,0.101,0.15"

ORACLE = '''
"""The version's own model, another implementation of boosted trees and a line, on the same sets."""
import json, sys, tarfile
from pathlib import Path
import pandas, xgboost
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error

folder = Path(sys.argv[1])
train, test = (pandas.read_csv(folder / f"{n}.csv", header=None) for n in ("train", "test"))
with tarfile.open(folder / "model.tar.gz") as archive:
    content = archive.extractfile("xgboost-model").read()
booster = xgboost.Booster()
booster.load_model(bytearray(content))
own = booster.predict(xgboost.DMatrix(test.iloc[:, 1:].to_numpy()))
# As deep, as slow and as many rows in a leaf as config.yaml has it.
boosting = HistGradientBoostingRegressor(
    learning_rate=0.1, max_iter=60, max_depth=5, min_samples_leaf=6, random_state=1)
told = {"rows": [len(train), len(test)], "own": root_mean_squared_error(test[0], own)}
for name, model in (("boosting", boosting), ("line", LinearRegression())):
    guessed = model.fit(train.iloc[:, 1:], train[0]).predict(test.iloc[:, 1:])
    told[name] = root_mean_squared_error(test[0], guessed)
print(json.dumps(told))
'''


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateProject]:
    with abalone(tmp_path_factory.mktemp(TEMPLATE), TEMPLATE) as made:
        yield made


@pytest.fixture(scope="module")
def trained(team: TemplateProject) -> Run:
    return team.run()


@pytest.fixture(scope="module")
def endpoint(team: TemplateProject, trained: Run) -> str:
    return team.serve(trained.version)


def test_the_version_has_the_metric_that_let_it_through(
    team: TemplateProject, trained: Run
) -> None:
    report = team.report(trained.version)
    assert 1 < report["regression_metrics"]["rmse"]["value"] <= 2.45
    package = team.package(trained.version)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"]["Template"] == TEMPLATE
    assert package["CustomerMetadataProperties"]["CommitId"] == "abc1234"


def test_the_version_is_as_good_as_scikit_learns_boosting_on_the_runs_own_sets(
    team: TemplateProject, trained: Run, tmp_path: Path
) -> None:
    # What other runs of these tests evaluate is this version's.
    found = team.jobs.sagemaker.list_processing_jobs(NameContains="-Evaluate-")
    (summary,) = found["ProcessingJobSummaries"]
    job = team.jobs.sagemaker.describe_processing_job(
        ProcessingJobName=summary["ProcessingJobName"]
    )
    urls = {item["InputName"]: item["S3Input"]["S3Uri"] for item in job["ProcessingInputs"]}
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_bytes(team.jobs.get(f"{urls[name]}/{name}.csv"))
    (container,) = team.package(trained.version)["InferenceSpecification"]["Containers"]
    (tmp_path / "model.tar.gz").write_bytes(team.jobs.get(container["ModelDataUrl"]))
    (tmp_path / "oracle.py").write_text(ORACLE)
    told = json.loads(team.steps(tmp_path / "oracle.py", tmp_path))
    report = team.report(trained.version)
    rmse = report["regression_metrics"]["rmse"]["value"]
    assert told["rows"][1] == report["dataset"]["rows"]["value"]
    assert rmse == pytest.approx(told["own"], rel=1e-5)
    assert rmse == pytest.approx(told["boosting"], rel=0.06)
    assert rmse < report["baseline_metrics"]["rmse"]["value"]


def test_the_endpoint_answers_and_passes_the_teams_integration_tests(
    team: TemplateProject, endpoint: str
) -> None:
    assert 1 < float(team.invoke(endpoint, ROW, "text/csv", "text/csv")) < 30
    assert " passed" in team.integration_tests(endpoint)


def test_under_load_the_endpoint_is_measured_and_held_to_its_budgets(
    team: TemplateProject, endpoint: str
) -> None:
    team.keeps_its_budgets(endpoint, least=10)
    code, said = team.load_test(endpoint, seconds=0.5, p95_milliseconds=0.1)
    assert code != 0
    assert "95 % of the answers took up to" in said


@refusals(TEMPLATE)
def test_it_refuses(
    what: str, team: TemplateProject, trained: Run, endpoint: str, tmp_path: Path
) -> None:
    prove(what, team, trained.version, endpoint, tmp_path)


def test_data_without_a_column_ends_the_run_with_file_and_column(team: TemplateProject) -> None:
    url = team.put("bad/part.csv", "sex,length\nM,0.4\n").rpartition("/")[0] + "/"
    done = team.run(InputDataUrl=url)
    assert done.code == 1
    assert "part.csv has no column diameter" in done.output


def test_without_analyzers_a_version_brings_what_its_evaluation_measured(
    team: TemplateProject, trained: Run
) -> None:
    settings = team.build / "config.yaml"
    before = settings.read_text()
    settings.write_text(before.replace("\nbaselines: true", "\nbaselines: false"))
    try:
        bare = team.run()
    finally:
        settings.write_text(before)
    assert set(bare.result["steps"]) == {"Preprocess", "Train", "Evaluate", "GoodEnough"} | {
        name for name in trained.result["steps"] if name.startswith("Register")
    }
    package = team.package(bare.version)
    assert set(package["DriftCheckBaselines"]) == {"Explainability"}
    assert set(package["ModelMetrics"]) == {"ModelQuality", "Explainability"}
    # By this report it is approved, with or without baselines.
    assert team.report(bare.version) == team.report(trained.version)


def test_the_version_brings_the_baselines_of_its_own_data(
    team: TemplateProject, trained: Run
) -> None:
    package = team.package(trained.version)
    kept = package["DriftCheckBaselines"]

    def read(kind: str, name: str) -> dict[str, Any]:
        return json.loads(team.jobs.get(kept[kind][name]["S3Uri"]))

    told = {item["name"]: item for item in read("ModelDataQuality", "Statistics")["features"]}
    rules = {item["name"]: item for item in read("ModelDataQuality", "Constraints")["features"]}
    assert list(told) == list(rules) == ["prediction", *HEADER.split(",")]
    # Of the training set, which is most of the records.
    assert 900 < told["length"]["numerical_statistics"]["common"]["num_present"] < 1200
    assert rules["length"]["num_constraints"] == {"is_non_negative": True}
    quality = read("ModelQuality", "Statistics")["regression_metrics"]["rmse"]["value"]
    gated = team.report(trained.version)["regression_metrics"]["rmse"]["value"]
    assert quality == pytest.approx(gated, rel=1e-6)
    (facet,) = read("Bias", "PreTrainingConstraints")["pre_training_bias_metrics"]["facets"][
        "sex_f"
    ]
    assert {item["name"] for item in facet["metrics"]} >= {"CI", "DPL"}
    # Of the predictions, which the endpoint's monitor compares with; it measures by this.
    judged = read("Bias", "PostTrainingConstraints")["post_training_bias_metrics"]
    (facet,) = judged["facets"]["sex_f"]
    values = {item["name"]: item["value"] for item in facet["metrics"]}
    assert abs(values["DPPL"]) < 0.5
    assert values["DI"] > 0
    assert "predicted_label" not in read("Bias", "ConfigFile")
    assert "post_training_bias" in read("Bias", "ConfigFile")["methods"]
    shap = read("Explainability", "Constraints")["explanations"]["kernel_shap"]["label0"]
    values = shap["global_shap_values"]
    # What the shell weighs tells the age best in the invented records, the sex hardly anything.
    assert values["shell_weight"] > 10 * values["sex_m"]
    assert shap["expected_value"] == pytest.approx(
        told["prediction"]["numerical_statistics"]["mean"], rel=0.05
    )
