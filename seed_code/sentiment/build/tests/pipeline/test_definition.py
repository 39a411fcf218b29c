from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipelinekit import settings, validation

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2]


def test_the_way_from_data_to_registration(definition: Json, steps: dict[str, Json]) -> None:
    assert [(step["Name"], step["Type"]) for step in definition["Steps"]] == [
        ("Preprocess", "Processing"),
        ("StoreFeatures", "Processing"),
        ("Tune", "Tuning"),
        ("Evaluate", "Processing"),
        ("GoodEnough", "Condition"),
    ]
    gate = steps["GoodEnough"]["Arguments"]
    assert [step["Name"] for step in gate["IfSteps"]] == [
        "DataBaseline", "QualityBaseline", "BiasBaseline", "Register",
    ]  # fmt: skip
    assert [step["Type"] for step in gate["ElseSteps"]] == ["Fail"]
    limits = {
        item["LeftValue"]["Std:JsonGet"]["Path"].split(".")[1]: item["RightValue"]["Get"]
        for item in gate["Conditions"]
    }
    assert limits == {
        "macro_f1": "Parameters.MacroF1Threshold",
        "lift": "Parameters.LiftThreshold",
    }


def test_the_search_is_as_configured_and_its_seed_too(steps: dict[str, Json], config: Any) -> None:
    given = steps["Tune"]["Arguments"]["HyperParameterTuningJobConfig"]
    assert given["Strategy"] == "Random"
    assert given["RandomSeed"] == config.search.seed
    assert given["ResourceLimits"] == {
        "MaxNumberOfTrainingJobs": config.search.jobs,
        "MaxParallelTrainingJobs": config.search.parallel,
    }
    (strength,) = given["ParameterRanges"]["ContinuousParameterRanges"]
    assert (float(strength["MinValue"]), float(strength["MaxValue"])) == (
        config.search.strength.least,
        config.search.strength.most,
    )
    static = steps["Tune"]["Arguments"]["TrainingJobDefinition"]["StaticHyperParameters"]
    assert static["buckets"] == str(config.hyperparameters.buckets)
    assert "ngrams" not in static
    assert "strength" not in static


def test_training_jobs_of_the_search_are_as_private_as_others(
    definition: Json, project: settings.Project, platform: Any
) -> None:
    def found(changed: Json) -> list[str]:
        return validation.breaches(changed, platform, project.tags, project.pipeline)

    assert found(definition) == []
    tune = next(step for step in definition["Steps"] if step["Name"] == "Tune")
    job = tune["Arguments"]["TrainingJobDefinition"]
    for member in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption"):
        job[member] = False
        assert any(f"Tune.TrainingJobDefinition.{member}" in line for line in found(definition))
        job[member] = True
    del job["ResourceConfig"]["VolumeKmsKeyId"]
    assert any("VolumeKmsKeyId" in line for line in found(definition))


def test_the_model_of_a_property_that_tuning_does_not_have_is_told(definition: Json) -> None:
    assert validation.faults(definition) == []
    text = json.dumps(definition)
    name = "TrainingJobSummaries[0].TrainingJobName"
    assert name in text
    wrong = json.loads(text.replace(name, "TrainingJobSummaries[0].JobName"))
    assert any("has no JobName" in line for line in validation.faults(wrong))


def test_the_version_has_the_best_model_and_the_script_inside_of_it(
    steps: dict[str, Json],
) -> None:
    (container,) = steps["Register"]["Arguments"]["InferenceSpecification"]["Containers"]
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    evaluated = steps["Evaluate"]["Arguments"]["ProcessingInputs"]
    (model,) = [item for item in evaluated if item["InputName"] == "model"]
    assert model["S3Input"]["S3Uri"] == container["ModelDataUrl"]


def test_new_data_under_the_same_url_is_not_taken_from_the_cache(steps: dict[str, Json]) -> None:
    # SageMaker compares a processing step's AppSpecification, Environment and inputs.
    command = steps["Preprocess"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert {"Get": "Parameters.DataVersion"} in command


def test_without_a_search_one_model_is_trained(
    project: settings.Project, platform: Any, config: Any
) -> None:
    single = config.model_copy(update={"search": None})
    made = json.loads(pipeline.build(project, platform, single, FOLDER).text)
    steps = {step["Name"]: step for step in made["Steps"]}
    assert "Tune" not in steps
    assert validation.faults(made) == []
    given = steps["Train"]["Arguments"]["HyperParameters"]
    assert (given["ngrams"], given["strength"]) == ("2", "10.0")


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ({"parallel": 9}, "parallel 9 is more than jobs"),
        ({"strength": {"least": 2, "most": 1}}, "least 2 is not below most 1"),
        ({"ngrams": {"least": 0, "most": 3}}, "ngrams are from 1 to 3"),
    ],
)
def test_a_search_that_cannot_be_is_told(config: Any, search: Json, told: str) -> None:
    whole = config.search.model_dump()
    with pytest.raises(ValueError, match=told):
        pipeline.Tuning.model_validate({**whole, **search})


# -- features --------------------------------------------------------------------------------------


def test_the_step_that_reaches_the_feature_store_has_a_network_and_no_other_has(
    definition: Json,
    steps: dict[str, Json],
    project: settings.Project,
    platform: Any,
    config: Any,
) -> None:
    arguments = steps["StoreFeatures"]["Arguments"]
    network = arguments["NetworkConfig"]
    assert network["EnableNetworkIsolation"] is False
    assert set(network["VpcConfig"]["Subnets"]) == set(platform.subnets)
    command = arguments["AppSpecification"]["ContainerArguments"]
    assert command[command.index("--group") + 1] == f"{project.pipeline}-records"
    prepared = {
        item["InputName"]: item["S3Input"]["S3Uri"] for item in arguments["ProcessingInputs"]
    }
    assert set(prepared) == {*config.features.sets, "code"}
    for name in config.features.sets:
        assert f"Steps.Preprocess.ProcessingOutputConfig.Outputs['{name}']" in str(prepared[name])
    for name in ("Preprocess", "Evaluate"):
        isolated = steps[name]["Arguments"]["NetworkConfig"]
        assert isolated["EnableNetworkIsolation"] is True
        isolated["EnableNetworkIsolation"] = False
        found = validation.breaches(definition, platform, project.tags, project.pipeline)
        assert [line for line in found if line.startswith(f"{name}.NetworkConfig")]
        isolated["EnableNetworkIsolation"] = True


@pytest.mark.parametrize(("sets", "kept"), [(None, 0), ([], 0), (["test"], 1), (["test"] * 2, 1)])
def test_only_the_sets_that_are_named_are_kept_and_without_any_there_is_no_step(
    project: settings.Project, platform: Any, config: Any, sets: list[str] | None, kept: int
) -> None:
    features = None if sets is None else pipeline.Features.model_validate({"sets": sets})
    changed = config.model_copy(update={"features": features})
    made = json.loads(pipeline.build(project, platform, changed, FOLDER).text)
    assert validation.faults(made) == []
    steps = {step["Name"]: step["Arguments"] for step in made["Steps"]}
    given = steps.get("StoreFeatures", {"ProcessingInputs": []})["ProcessingInputs"]
    assert len([item for item in given if item["InputName"] != "code"]) == kept
    assert ("StoreFeatures" in steps) == bool(kept)


# -- what runs in what -----------------------------------------------------------------------------

PARTS = ("processing", "training", "inference")
WAYS = ("framework", "custom-script", "own-container")


@pytest.fixture(scope="module")
def ways(
    project: settings.Project, platform: Any, config: Any
) -> dict[tuple[str, str], dict[str, Json]]:
    """Part and way -> the steps' arguments where that part goes that way, the others another."""
    found: dict[tuple[str, str], dict[str, Json]] = {}
    for shift in range(len(WAYS)):
        chosen = {part: WAYS[(number + shift) % 3] for number, part in enumerate(PARTS)}
        containers = config.containers.model_copy(update=chosen)
        changed = config.model_copy(update={"containers": containers})
        made = json.loads(pipeline.build(project, platform, changed, FOLDER).text)
        assert validation.faults(made) == []
        assert validation.breaches(made, platform, project.tags, project.pipeline) == []
        steps = {step["Name"]: step["Arguments"] for step in made["Steps"]}
        steps |= {step["Name"]: step["Arguments"] for step in steps["GoodEnough"]["IfSteps"]}
        found |= dict.fromkeys(chosen.items(), steps)
    return found


def image(steps: dict[str, Json], part: str) -> str:
    if part == "processing":
        (uri,) = {
            steps[name]["AppSpecification"]["ImageUri"] for name in ("Preprocess", "Evaluate")
        }
        return uri
    if part == "training":
        definition = steps["Tune"]["TrainingJobDefinition"]
        return definition["AlgorithmSpecification"]["TrainingImage"]
    return steps["Register"]["InferenceSpecification"]["Containers"][0]["Image"]


@pytest.mark.parametrize("part", PARTS)
def test_each_part_runs_in_the_own_image_by_itself(
    part: str, ways: dict[tuple[str, str], dict[str, Json]], project: settings.Project
) -> None:
    for way in WAYS:
        own = f"/{project.pipeline}@sha256:" in image(ways[part, way], part)
        assert own == (way != "framework")


def test_scripts_are_brought_to_either_image_and_not_to_what_has_its_own(
    ways: dict[tuple[str, str], dict[str, Json]],
) -> None:
    told = {way: ways["processing", way] for way in WAYS}
    for step, script in (("Preprocess", "preprocess"), ("Evaluate", "evaluate")):
        own = told["own-container"][step]["AppSpecification"]
        assert "ContainerEntrypoint" not in own
        for way in ("framework", "custom-script"):
            brought = told[way][step]["AppSpecification"]
            assert brought["ContainerEntrypoint"][1].endswith(f"/{script}.py")
            assert own["ContainerArguments"] == [script, *brought["ContainerArguments"]]
        inputs = {item["InputName"] for item in told["own-container"][step]["ProcessingInputs"]}
        assert not {"code", "modules"} & inputs
    for way in WAYS:
        job = ways["training", way]["Tune"]["TrainingJobDefinition"]
        channels = {channel["ChannelName"] for channel in job["InputDataConfig"]}
        program = job["StaticHyperParameters"].get("sagemaker_program")
        container = ways["inference", way]["Register"]["InferenceSpecification"]["Containers"][0]
        served = container["Environment"].get("SAGEMAKER_PROGRAM")
        if way == "own-container":
            assert (channels, program, served) == ({"train", "validation"}, None, None)
        else:
            assert channels == {"train", "validation", "code"}
            assert (program, served) == ("train.py", "inference.py")
