from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelinekit import sdk, settings

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2]


def test_the_way_from_data_to_registration(
    definition: Json, steps: dict[str, Json], config: Any
) -> None:
    assert [step["Name"] for step in definition["Steps"]] == [
        "Preprocess",
        "Train",
        "Evaluate",
        "GoodEnough",
    ]
    gate = steps["GoodEnough"]["Arguments"]
    assert [step["Name"] for step in gate["IfSteps"]] == [
        "DataBaseline",
        "QualityBaseline",
        "BiasBaseline",
        "ModelBiasBaseline",
        "Register",
    ]
    assert [step["Type"] for step in gate["ElseSteps"]] == ["Fail"]
    (condition,) = gate["Conditions"]
    assert condition["Type"] == "LessThanOrEqualTo"
    metric = config.gate.metric
    assert condition["LeftValue"]["Std:JsonGet"]["Path"] == f"regression_metrics.{metric}.value"
    assert condition["RightValue"] == {"Get": f"Parameters.{metric.title()}Threshold"}


@pytest.mark.parametrize(
    ("given", "parameter", "told"),
    [
        ({"rmse": 2.5}, "RmseThreshold", "The model's RMSE on the test set is above 2.5 rings;"),
        (
            {"mse": 6.0},
            "MseThreshold",
            "The model's MSE on the test set is above 6.0 squared rings;",
        ),
    ],
)
def test_the_gate_is_by_the_metric_that_the_settings_have(
    project: settings.Project, platform: Any, config: Any, given: Json, parameter: str, told: str
) -> None:
    import pipeline

    gate = pipeline.Gate.model_validate(given)
    other = config.model_copy(update={"gate": gate})
    definition = json.loads(pipeline.build(project, platform, other, FOLDER).text)
    known = {item["Name"]: item.get("DefaultValue") for item in definition["Parameters"]}
    assert known[parameter] == given[gate.metric]
    assert len([name for name in known if name.endswith("Threshold")]) == 1
    (judged,) = [step["Arguments"] for step in definition["Steps"] if step["Name"] == "GoodEnough"]
    (condition,) = judged["Conditions"]
    assert (
        condition["LeftValue"]["Std:JsonGet"]["Path"] == f"regression_metrics.{gate.metric}.value"
    )
    assert condition["RightValue"] == {"Get": f"Parameters.{parameter}"}
    (failed,) = judged["ElseSteps"]
    said = [
        str(known[part["Get"].partition(".")[2]])
        if isinstance(part, dict) and "Get" in part
        else part
        for part in failed["Arguments"]["ErrorMessage"]["Std:Join"]["Values"][:3]
    ]
    assert f"{' '.join(said)}".startswith(told)


@pytest.mark.parametrize("given", [{}, {"rmse": 2.5, "mse": 6.0}])
def test_a_model_is_judged_by_one_metric(given: Json) -> None:
    import pipeline

    with pytest.raises(ValueError, match="expected either rmse or mse"):
        pipeline.Gate.model_validate(given)


def test_an_execution_must_say_what_it_is_made_of(definition: Json) -> None:
    parameters = {item["Name"]: item for item in definition["Parameters"]}
    for name in ("CommitId", "DataVersion"):
        assert "DefaultValue" not in parameters[name]


def test_new_data_under_the_same_url_is_not_taken_from_the_cache(steps: dict[str, Json]) -> None:
    # SageMaker compares a processing step's AppSpecification, Environment and inputs.
    command = steps["Preprocess"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert {"Get": "Parameters.DataVersion"} in command


def test_a_version_says_where_it_comes_from_and_what_its_card_needs(
    steps: dict[str, Json], project: settings.Project, config: Any
) -> None:
    version = steps["Register"]["Arguments"]
    assert version["MetadataProperties"] == {
        "CommitId": {"Get": "Parameters.CommitId"},
        "GeneratedBy": {"Get": "Execution.PipelineExecutionArn"},
        "ProjectId": project.id,
    }
    said = version["CustomerMetadataProperties"]
    assert said["DataVersion"] == {"Get": "Parameters.DataVersion"}
    assert said["Purpose"] == config.card.purpose
    assert said["ModelOwner"] == project.owner
    assert said["RiskRating"] == config.card.risk_rating
    report = version["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]["Std:Join"]["Values"]
    assert report[1] == "evaluation.json"
    assert set(version["ModelMetrics"]) == {
        "Bias", "Explainability", "ModelDataQuality", "ModelQuality",
    }  # fmt: skip


def test_a_version_brings_what_its_endpoint_is_compared_with(steps: dict[str, Json]) -> None:
    kept = steps["Register"]["Arguments"]["DriftCheckBaselines"]
    for kind, step in (("ModelDataQuality", "DataBaseline"), ("ModelQuality", "QualityBaseline")):
        for name in ("Statistics", "Constraints"):
            place, file = kept[kind][name]["S3Uri"]["Std:Join"]["Values"]
            assert place["Get"].startswith(f"Steps.{step}.")
            assert file == f"{name.lower()}.json"
    bias = kept["Bias"]
    assert set(bias) == {"ConfigFile", "PostTrainingConstraints", "PreTrainingConstraints"}
    place, file = bias["PostTrainingConstraints"]["S3Uri"]["Std:Join"]["Values"]
    assert place["Get"].startswith("Steps.ModelBiasBaseline.")
    assert file == "analysis.json"
    # The endpoint's monitor has the predictions from the traffic.
    assert "monitoring_config" in bias["ConfigFile"]["S3Uri"]
    assert kept["Explainability"]["Constraints"]


def test_clarify_finds_what_it_looks_for_by_name(steps: dict[str, Json]) -> None:
    # Source: SageMaker developer guide, "Configure a SageMaker Clarify Processing Job".
    places: list[str] = []
    for name in ("BiasBaseline", "ModelBiasBaseline"):
        given = steps[name]["Arguments"]
        read = {item["InputName"]: item["S3Input"] for item in given["ProcessingInputs"]}
        assert {name: item["LocalPath"] for name, item in read.items()} == {
            "analysis_config": "/opt/ml/processing/input/config",
            "dataset": "/opt/ml/processing/input/data",
        }
        assert read["analysis_config"]["S3Uri"].endswith("/analysis_config.json")
        (kept,) = given["ProcessingOutputConfig"]["Outputs"]
        assert kept["OutputName"] == "analysis_result"
        places.append(json.dumps(kept["S3Output"]["S3Uri"]))
    assert places[0] != places[1]


def test_the_columns_are_those_that_the_script_makes(config: Any) -> None:
    from steps import preprocess

    assert config.data.columns == [preprocess.LABEL, *preprocess.FEATURES]
    assert config.bias.column in config.data.columns


def test_the_image_is_not_told_of_a_script(steps: dict[str, Json]) -> None:
    (container,) = steps["Register"]["Arguments"]["InferenceSpecification"]["Containers"]
    assert "SAGEMAKER_PROGRAM" not in container["Environment"]


def test_everything_is_kept_below_the_projects_prefix(
    built: Any, project: settings.Project, platform: Any
) -> None:
    assert built.code
    for uri in built.code:
        assert uri.startswith(f"s3://{platform.models_bucket}/{project.name}/code/")
    places = [part for part in built.text.split('"') if part.startswith("s3://")]
    assert places
    for place in places:
        assert place.startswith(
            (
                f"s3://{platform.models_bucket}/{project.name}/",
                f"s3://{platform.data_bucket}/{project.name}/",
            )
        )


def test_the_same_repository_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    texts = []
    for number in ("1", "2"):
        file = tmp_path / number
        environment = {**os.environ, "PYTHONHASHSEED": number, "HOME": str(tmp_path)}
        # Defaults that a user has in a file must not get into the definition.
        (tmp_path / ".config" / "sagemaker").mkdir(parents=True, exist_ok=True)
        (tmp_path / ".config" / "sagemaker" / "config.yaml").write_text(
            "SchemaVersion: '1.0'\nSageMaker: {TrainingJob: {Environment: {RUN: '"
            + number
            + "'}}}\n"
        )
        command = [sys.executable, "run_pipeline.py", "validate", "--offline", "--definition"]
        subprocess.run([*command, str(file)], cwd=FOLDER, env=environment, check=True)
        texts.append(file.read_bytes())
    assert texts[0] == texts[1]


def test_another_script_is_another_definition(
    project: settings.Project, platform: Any, config: Any, tmp_path: Path, built: Any
) -> None:
    import pipeline

    (tmp_path / "steps").mkdir()
    for name in ("preprocess.py", "evaluate.py"):
        (tmp_path / "steps" / name).write_text((FOLDER / "steps" / name).read_text() + "# new\n")
    other = pipeline.build(project, platform, config, tmp_path)
    assert other.text != built.text
    assert len({*built.code, *other.code}) == len(built.code) + 2


def test_the_sdk_calls_nobody_while_it_writes(project: settings.Project) -> None:
    session = sdk.session(project.region, "bucket")
    with pytest.raises(sdk.UnexpectedCallError, match="sagemaker:ListPipelines"):
        session.sagemaker_client.list_pipelines()
    assert session.default_bucket() == "bucket"


def test_the_shares_must_be_a_whole(config: Any) -> None:
    import pipeline

    with pytest.raises(ValueError, match=r"sum to 1\.1"):
        pipeline.Data.model_validate({**config.data.model_dump(), "test": 0.25})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run_pipeline.py", *arguments]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)


def test_wrong_parameters_are_refused_before_anything_starts() -> None:
    done = run("validate", "--offline", "--parameter", "RmseTreshold=2")
    assert done.returncode == 2
    assert "--parameter RmseTreshold: there is no such parameter" in done.stderr


def test_the_definition_is_readable_json(tmp_path: Path) -> None:
    file = tmp_path / "definition.json"
    assert run("validate", "--offline", "--definition", str(file)).returncode == 0
    assert json.loads(file.read_text())["Version"] == "2020-12-01"
