from __future__ import annotations

from typing import Any

from pipelinekit import settings

Json = dict[str, Any]


def test_the_way_from_data_to_registration(definition: Json, steps: dict[str, Json]) -> None:
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
    assert condition["LeftValue"]["Std:JsonGet"]["Path"] == "regression_metrics.rmse.value"
    assert condition["RightValue"] == {"Get": "Parameters.RmseThreshold"}


def test_one_image_by_digest_trains_measures_and_serves(
    steps: dict[str, Json], project: settings.Project, platform: Any
) -> None:
    (container,) = steps["Register"]["Arguments"]["InferenceSpecification"]["Containers"]
    image = container["Image"]
    assert image.startswith(f"{platform.account}.dkr.ecr.{project.region}.amazonaws.com/")
    assert f"/{project.pipeline}@sha256:" in image
    assert steps["Train"]["Arguments"]["AlgorithmSpecification"]["TrainingImage"] == image
    assert steps["Evaluate"]["Arguments"]["AppSpecification"]["ImageUri"] == image
    assert "SAGEMAKER_PROGRAM" not in container["Environment"]


def test_an_execution_must_say_what_it_is_made_of(definition: Json) -> None:
    parameters = {item["Name"]: item for item in definition["Parameters"]}
    for name in ("CommitId", "DataVersion"):
        assert "DefaultValue" not in parameters[name]
    # The image is no parameter: nobody has a version measured in one and registered with another.
    assert not [name for name in parameters if "Image" in name]
