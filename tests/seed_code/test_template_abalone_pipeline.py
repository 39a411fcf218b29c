"""The template ``abalone-pipeline``: what it has otherwise than ``xgboost-realtime``, run for real.

Steps, baselines and deployment are those of the other, file for file, which has tests of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automation.projects import templates
from tests.seed_code.template_kit import Run, TemplateProject, abalone, notebook_is_thin
from tests.seed_code.template_refusals import prove, refusals

TEMPLATE = "abalone-pipeline"
NOTEBOOK = "sagemaker-pipeline"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateProject]:
    with abalone(tmp_path_factory.mktemp(TEMPLATE), TEMPLATE) as made:
        yield made


@pytest.fixture(scope="module")
def told(team: TemplateProject) -> dict[str, Any]:
    """What the notebook comes to; it runs the pipeline twice, by the command that CI uses."""
    return team.notebooks("build", [NOTEBOOK])[NOTEBOOK]


@pytest.fixture(scope="module")
def trained(told: dict[str, Any]) -> Run:
    outcome = told["outcome"]
    return Run(outcome["code"], str(outcome), outcome)


@pytest.fixture(scope="module")
def endpoint(team: TemplateProject, trained: Run) -> str:
    return team.serve(trained.version)


def test_nothing_of_the_training_and_the_deployment_stands_twice(team: TemplateProject) -> None:
    own = templates.SEED_CODE / TEMPLATE
    files = {path.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file()}
    assert files == {
        f"build/notebooks/{name}" for name in (".gitignore", "README.md", f"{NOTEBOOK}.ipynb")
    }
    notebook_is_thin(team.build / "notebooks" / f"{NOTEBOOK}.ipynb")


def test_a_version_is_registered_by_its_mean_squared_error(
    team: TemplateProject, told: dict[str, Any], trained: Run
) -> None:
    metrics = told["report"]["regression_metrics"]
    mse = metrics["mse"]["value"]
    assert mse == pytest.approx(metrics["rmse"]["value"] ** 2)
    assert told["valid"] is True
    assert told["limit"] == 6
    # Better than guessing by more than chance, and no better than the invented records allow.
    lowest = float(team.steps("-c", "import sample_data; print(sample_data.lowest_rmse() ** 2)"))
    assert 0.8 * lowest < mse <= told["limit"] < told["variance"]
    assert team.report(trained.version) == told["report"]
    package = team.package(trained.version)
    assert told["status"] == package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"]["Template"] == TEMPLATE
    # The newest first.
    assert told["executions"] == ["Succeeded", "Failed"]


def test_another_limit_trains_no_other_model(told: dict[str, Any]) -> None:
    refused, outcome = told["refused"], told["outcome"]
    for step in ("Preprocess", "Train", "Evaluate"):
        assert refused["steps"][step] == outcome["steps"][step] == "Succeeded"
    assert refused["steps"]["NotGoodEnough"] == "Failed"
    assert "NotGoodEnough" not in outcome["steps"]


def test_the_endpoint_passes_the_teams_integration_tests(
    team: TemplateProject, endpoint: str
) -> None:
    assert " passed" in team.integration_tests(endpoint)


@refusals(TEMPLATE)
def test_it_refuses(
    what: str,
    team: TemplateProject,
    told: dict[str, Any],
    trained: Run,
    endpoint: str,
    tmp_path: Path,
) -> None:
    def refused(**parameters: str) -> Run:
        """The notebook has run the pipeline with the same limit."""
        came = told["refused"]
        assert came["parameters"] | parameters == came["parameters"]
        return Run(came["code"], came["reasons"]["NotGoodEnough"], came)

    prove(what, team, trained.version, endpoint, tmp_path, run=refused)
