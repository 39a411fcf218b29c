from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelinekit import settings

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2]


def test_the_way_from_data_to_registration(definition: Json, steps: dict[str, Json]) -> None:
    assert [step["Name"] for step in definition["Steps"]] == [
        "Prepare",
        "FineTune",
        "Evaluate",
        "LikeTheSubject",
    ]
    gate = steps["LikeTheSubject"]["Arguments"]
    assert [step["Name"] for step in gate["IfSteps"]] == ["DataBaseline", "Register"]
    assert [step["Type"] for step in gate["ElseSteps"]] == ["Fail"]
    compared = {
        item["LeftValue"]["Std:JsonGet"]["Path"]: (item["Type"], item["RightValue"]["Get"])
        for item in gate["Conditions"]
    }
    assert compared == {
        "image_metrics.fid.value": (
            "LessThanOrEqualTo",
            "Parameters.FidThreshold",
        ),
        "image_metrics.dino_similarity.value": (
            "GreaterThanOrEqualTo",
            "Parameters.DinoSimilarityThreshold",
        ),
    }


def test_new_data_under_the_same_url_is_not_taken_from_the_cache(steps: dict[str, Json]) -> None:
    command = steps["Prepare"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert {"Get": "Parameters.DataVersion"} in command


def test_jobs_on_gpus_name_no_volume_key_and_the_others_do(
    steps: dict[str, Json], platform: Any
) -> None:
    assert "VolumeKmsKeyId" not in steps["FineTune"]["Arguments"]["ResourceConfig"]
    clusters = {
        name: steps[name]["Arguments"]["ProcessingResources"]["ClusterConfig"]
        for name in ("Prepare", "Evaluate")
    }
    assert clusters["Prepare"]["VolumeKmsKeyId"] == platform.volume_key
    assert "VolumeKmsKeyId" not in clusters["Evaluate"]


def test_the_training_finds_its_code_in_a_channel(steps: dict[str, Json], built: Any) -> None:
    arguments = steps["FineTune"]["Arguments"]
    channels = {item["ChannelName"] for item in arguments["InputDataConfig"]}
    assert channels == {"train", "base", "code"}
    assert arguments["HyperParameters"]["sagemaker_program"].strip('"') == "train.py"
    (source,) = [uri for uri in built.code if uri.endswith("sourcedir.tar.gz")]
    assert built.code[source]


def test_a_model_is_measured_in_the_image_that_serves_it(steps: dict[str, Json]) -> None:
    def name(uri: str) -> tuple[str, str]:
        repository, _, tag = uri.rpartition("/")[2].partition(":")
        return repository, tag

    (container,) = steps["Register"]["Arguments"]["InferenceSpecification"]["Containers"]
    evaluated = steps["Evaluate"]["Arguments"]["AppSpecification"]["ImageUri"]
    assert evaluated == container["Image"]
    assert name(evaluated)[0] == "huggingface-pytorch-inference"
    assert "gpu" in name(evaluated)[1]
    assert "cpu" in name(steps["Prepare"]["Arguments"]["AppSpecification"]["ImageUri"])[1]


def test_a_version_brings_what_its_traffic_is_compared_with(
    steps: dict[str, Json], built: Any, config: Any
) -> None:
    kept = steps["Register"]["Arguments"]["DriftCheckBaselines"]
    assert set(kept) == {"ModelDataQuality"}
    for name in ("Statistics", "Constraints"):
        place, file = kept["ModelDataQuality"][name]["S3Uri"]["Std:Join"]["Values"]
        assert place["Get"].startswith("Steps.DataBaseline.")
        assert file == f"{name.lower()}.json"
    inputs = steps["Evaluate"]["Arguments"]["ProcessingInputs"]
    (uri,) = [item["S3Input"]["S3Uri"] for item in inputs if item["InputName"] == "prompts"]
    assert json.loads(built.code[uri]) == config.evaluation.prompts
    assert config.subject.prompt in config.evaluation.prompts


def test_a_version_says_what_it_was_made_from(steps: dict[str, Json], config: Any) -> None:
    told = steps["Register"]["Arguments"]["CustomerMetadataProperties"]
    assert told["BaseModel"] == config.base_model.name
    assert told["DataVersion"] == {"Get": "Parameters.DataVersion"}


def test_the_settings_of_the_tiny_model_are_settings(tmp_path: Path) -> None:
    import yaml

    import pipeline

    content = yaml.safe_load((FOLDER / "config.yaml").read_text())
    for name, values in yaml.safe_load((FOLDER / "tiny.yaml").read_text()).items():
        assert set(values) <= set(content[name])
        content[name] |= values
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    tiny = settings.read(tmp_path / "config.yaml", pipeline.Config)
    assert tiny.data.resolution == 16
