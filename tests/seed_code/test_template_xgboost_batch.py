"""The template ``xgboost-batch``, from data to predictions on files, and what it refuses.

Its training is that of ``xgboost-realtime``, file for file, which has tests of its own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from automation.projects import templates
from tests.seed_code.build_repository import render, run
from tests.seed_code.template_kit import BatchPipeline, Run, TemplateProject, abalone
from tests.seed_code.template_refusals import prove, refusals

TEMPLATE = "xgboost-batch"
PREDICT = """
import json, sys, tarfile, tempfile
import numpy, xgboost
with tempfile.TemporaryDirectory() as folder, tarfile.open(sys.argv[1]) as archive:
    archive.extractall(folder, filter="data")
    booster = xgboost.Booster(model_file=f"{folder}/xgboost-model")
rows = numpy.loadtxt(sys.argv[2], delimiter=",")
print(json.dumps(booster.predict(xgboost.DMatrix(rows)).tolist()))
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateProject]:
    with abalone(tmp_path_factory.mktemp(TEMPLATE), TEMPLATE) as made:
        yield made


@pytest.fixture(scope="module")
def trained(team: TemplateProject) -> Run:
    return team.run()


@pytest.fixture(scope="module")
def batch(team: TemplateProject, trained: Run) -> BatchPipeline:
    return team.batch(trained.version)


@pytest.fixture(scope="module")
def rows(team: TemplateProject, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Animals that the model has never seen, as features: one a line."""
    folder = tmp_path_factory.mktemp("new")
    (folder / "records").mkdir()
    team.steps("sample_data.py", "--rows", "300", "--seed", "7", "--output",
               folder / "records" / "new.csv")  # fmt: skip
    sets = [f"--{name}={folder / name}" for name in ("train", "validation", "test")]
    team.steps("steps/preprocess.py", f"--input={folder / 'records'}", "--minimum-rows=1", *sets)
    lines = [
        line.partition(",")[2]
        for path in sorted(folder.glob("*/*.csv"))
        if path.parent.name != "records"
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == 300
    return "\n".join(lines) + "\n"


def test_nothing_of_the_training_stands_twice() -> None:
    own = templates.SEED_CODE / TEMPLATE
    assert {path.relative_to(own).parts[0] for path in own.rglob("*") if path.is_file()} == {
        "deploy"
    }
    build = [folder.parent.name for folder in templates.sources(TEMPLATE, "build")]
    assert build == ["_base", "xgboost-realtime"]


def test_the_deployment_is_by_the_templates_settings_and_passes_its_own_tests(
    tmp_path: Path,
) -> None:
    asked = {"schedule": "rate(2 days)", "on_arrival": False}
    folder = render(tmp_path, TEMPLATE, part="deploy", settings=asked)
    for environment in ("dev", "preprod", "prod"):
        stack = yaml.safe_load((folder / f"Pulumi.{environment}.yaml").read_text())["config"]
        assert stack["kind"] == "batch"
        assert {name: stack["batch"][name] for name in asked} == asked
        assert not (folder / f"Pulumi.{environment}.yaml.jinja").exists()
    done = run(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout


def test_the_version_says_which_template_it_is_of(team: TemplateProject, trained: Run) -> None:
    metadata = team.package(trained.version)["CustomerMetadataProperties"]
    assert metadata["Template"] == TEMPLATE


def test_the_versions_baseline_is_of_files_which_have_no_predictions(
    team: TemplateProject, trained: Run
) -> None:
    kept = team.package(trained.version)["DriftCheckBaselines"]["ModelDataQuality"]
    constraints = json.loads(team.jobs.get(kept["Constraints"]["S3Uri"]))
    config = yaml.safe_load((team.build / "config.yaml").read_text())
    names = [feature["name"] for feature in constraints["features"]]
    assert names == config["data"]["columns"][1:]


def test_the_version_brings_the_quality_that_predictions_are_held_to(
    team: TemplateProject, trained: Run
) -> None:
    kept = team.package(trained.version)["DriftCheckBaselines"]["ModelQuality"]
    limits = json.loads(team.jobs.get(kept["Constraints"]["S3Uri"]))["regression_constraints"]
    report = team.report(trained.version)["regression_metrics"]
    assert limits["rmse"] == {
        "threshold": pytest.approx(report["rmse"]["value"], rel=1e-5),
        "comparison_operator": "GreaterThanThreshold",
    }


def test_a_file_gets_the_models_own_predictions_and_a_manifest_of_both(
    team: TemplateProject, batch: BatchPipeline, rows: str, tmp_path: Path
) -> None:
    ended = batch.predict("input/day 1.csv", rows)
    assert ended["PipelineExecutionStatus"] == "Succeeded", ended
    predicted = batch.left(ended, "predictions/day 1.csv.out")
    values = [float(v) for v in predicted.decode().replace("\n", ",").split(",") if v]
    (container,) = team.package(batch.version)["InferenceSpecification"]["Containers"]
    (tmp_path / "model.tar.gz").write_bytes(team.jobs.get(container["ModelDataUrl"]))
    (tmp_path / "rows.csv").write_text(rows)
    own = json.loads(team.steps("-c", PREDICT, tmp_path / "model.tar.gz", tmp_path / "rows.csv"))
    assert values == pytest.approx(own, rel=1e-5)
    assert len(values) == 300
    told = json.loads(batch.left(ended, "manifest/manifest.json"))
    assert (told["accepted"], told["rows"], told["problems"]) == (True, 300, [])
    assert told["model_package_arn"] == batch.version
    assert told["execution_arn"] == ended["PipelineExecutionArn"]
    [given], [made] = told["inputs"], told["outputs"]
    assert given["uri"] == f"s3://{batch.bucket}/input/day 1.csv"
    assert given["sha256"] == hashlib.sha256(rows.encode()).hexdigest()
    assert made["sha256"] == hashlib.sha256(predicted).hexdigest()
    assert told["predictions"]["mean"] == pytest.approx(sum(own) / len(own), rel=1e-5)


@refusals(TEMPLATE)
def test_it_refuses(
    what: str, team: TemplateProject, trained: Run, batch: BatchPipeline, tmp_path: Path
) -> None:
    prove(what, team, trained.version, batch, tmp_path)


def test_the_teams_integration_tests_pass(team: TemplateProject, batch: BatchPipeline) -> None:
    assert "2 passed" in team.integration_tests(batch)
