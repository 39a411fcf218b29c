from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelinekit import contract, settings

FOLDER = Path(__file__).parents[2]


def changed(tmp_path: Path, change: Any) -> Path:
    content = yaml.safe_load((FOLDER / "config.yaml").read_text())
    change(content)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_all_errors_come_at_once_with_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    import pipeline

    def spoil(content: dict[str, Any]) -> None:
        content["attempts"] = 0
        content["card"]["purpose"] = "50% more, (really)"
        content["card"]["risk_rating"] = "None"
        content["colour"] = "blue"
        del content["description"]

    with pytest.raises(settings.SettingsError) as told:
        settings.read(changed(tmp_path, spoil), pipeline.Config)
    lines = str(told.value).splitlines()
    assert len(lines) == 5
    text = "\n".join(lines)
    assert "config.yaml: attempts: got 0" in text
    assert "'%' '(' ')' ','" in text
    assert (
        "card.risk_rating: got 'None'; Input should be 'High', 'Medium', 'Low' or 'Unknown'" in text
    )
    assert "colour: got 'blue'; Extra inputs are not permitted" in text
    assert "description: Field required" in text


def test_what_is_no_instance_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"such as ml\.m5\.xlarge"):
        settings.Job.model_validate({"instance_types": ["m5.large"]})


@pytest.mark.parametrize(
    "value", ["ml.m5d.large", "ml.g5.xlarge", "ml.g4dn.xlarge", "ml.c6gdn.large", "ml.trn1.2xlarge"]
)
def test_a_job_of_types_with_local_disks_names_no_volume_key(value: str) -> None:
    assert settings.Job.model_validate({"instance_types": [value]}).local_disks


@pytest.mark.parametrize("value", ["ml.m5.large", "ml.c5.9xlarge", "ml.m6g.large", "ml.p3.2xlarge"])
def test_a_job_of_types_with_volumes_names_their_key(value: str) -> None:
    assert not settings.Job.model_validate({"instance_types": [value]}).local_disks


def test_a_job_cannot_choose_between_types_with_and_without_local_disks() -> None:
    with pytest.raises(ValueError, match=r"ml\.g5\.xlarge with local disks"):
        settings.Job.model_validate({"instance_types": ["ml.m5.large", "ml.g5.xlarge"]})


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "just text"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "project.yaml"
    file.write_text(text)
    with pytest.raises(settings.SettingsError, match=r"project\.yaml"):
        settings.read(file, settings.Project)


def test_the_platforms_own_tags_cannot_be_set() -> None:
    with pytest.raises(ValueError, match="sagemaker:"):
        settings.Settings.model_validate(
            {"card": {"purpose": "p"}, "description": "d", "tags": {"sagemaker:project-id": "x"}}
        )


class Parameters:
    """Systems Manager with some parameters."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get_parameters(self, Names: list[str]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {
            "Parameters": [{"Name": n, "Value": self.values[n]} for n in Names if n in self.values],
            "InvalidParameters": [n for n in Names if n not in self.values],
        }


def test_missing_parameters_are_all_named(project: settings.Project) -> None:
    root = f"/{project.prefix}/dev"
    ssm = Parameters({f"{root}/data/bucket": "b", f"{root}/kms/models/arn": "arn"})
    with pytest.raises(contract.ContractError) as told:
        contract.read_contract(ssm, project)
    for path in ("vpc/private-subnet-ids", "vpc/security-group-ids", "kms/storage/arn"):
        assert f"{root}/{path}" in str(told.value)
    assert "data/bucket" not in str(told.value)


def test_the_contract_is_read_as_the_platform_writes_it(project: settings.Project) -> None:
    root = f"/{project.prefix}/dev"
    key = "arn:aws-cn:kms:cn-north-1:123456789012:key/"
    platform = contract.read_contract(
        Parameters(
            {
                f"{root}/vpc/private-subnet-ids": "subnet-1, subnet-2",
                f"{root}/vpc/security-group-ids": "sg-1",
                f"{root}/kms/storage/arn": f"{key}s",
                f"{root}/kms/models/arn": f"{key}m",
                f"{root}/registry/models-bucket": "models",
                f"{root}/data/bucket": "data",
            }
        ),
        project,
    )
    assert platform.subnets == ("subnet-1", "subnet-2")
    assert platform.role_arn("r") == "arn:aws-cn:iam::123456789012:role/r"
