"""What the team may change and must not break: settings of each environment, samples, names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import settings
import verification

ROOT = Path(__file__).parents[1]
PLACE = {
    "MLOPS_PREFIX": "acme",
    "MLOPS_PROJECT": "model",
    "MLOPS_REGION": "eu-west-1",
    "MLOPS_HUB_ACCOUNT": "111111111111",
    "MLOPS_TARGET_ACCOUNT": "222222222222",
}
ARN = "arn:aws:sagemaker:eu-west-1:111111111111:model-package/acme-governance-model/1"
VERSION = {"model_package_arn": ARN, "image": "image", "model_data_url": "s3://bucket/model"}


class Config:
    """The configuration that Pulumi makes of the project's and a stack's file."""

    def __init__(self, environment: str) -> None:
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
        stack = yaml.safe_load((ROOT / f"Pulumi.{environment}.yaml").read_text(encoding="utf-8"))
        defaults = {key: entry.get("default") for key, entry in project["config"].items()}
        self.values: dict[str, Any] = {**defaults, **stack["config"]}
        self.name = project["name"]

    def get(self, key: str) -> Any:
        return self.values.get(key)

    get_object = get


def load(environment: str) -> settings.Settings:
    config = Config(environment)
    given = {f"{config.name}:{key}": "" for key in config.values if ":" not in key}
    environ = {
        **PLACE,
        "MLOPS_VERSION": json.dumps(VERSION),
        "PULUMI_CONFIG": json.dumps(given),
    }
    return settings.load(config, environment, environ)


@pytest.mark.parametrize("environment", settings.ENVIRONMENTS)
def test_the_settings_of_each_environment_are_right(environment: str) -> None:
    assert load(environment).place.endpoint == f"acme-{environment}-model"


def test_production_survives_the_loss_of_a_zone() -> None:
    if load("prod").kind == "batch":
        pytest.skip("there is no endpoint")
    assert load("prod").instances.minimum >= 2


def test_production_is_rolled_out_step_by_step() -> None:
    if load("prod").kind == "batch":
        pytest.skip("there is no endpoint")
    rollout = load("prod").rollout
    assert rollout.strategy != "all-at-once"
    assert rollout.wait_seconds >= load("prod").alarms.period_seconds


def test_samples_are_rows_of_one_width_with_bounds() -> None:
    samples = json.loads((ROOT / "integration_tests" / "samples.json").read_text(encoding="utf-8"))
    assert samples["lowest"] < samples["highest"]
    assert samples["latency_milliseconds"] > 0
    load = samples.get("load", {})
    assert 0 < load.get("seconds", 10) <= 600
    assert 0 < load.get("callers", 4) <= 64
    assert len({len(row.split(",")) for row in samples["rows"]}) == 1
    assert len(set(samples["rows"])) >= 2


def test_a_rollback_is_no_success() -> None:
    class SageMaker:
        def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
            return {"EndpointStatus": "InService", "EndpointConfigName": "old"}

    version = settings.Version.model_validate(VERSION)
    wanted = verification.Wanted("acme-prod-model", "new", "new", version, "package", "ml.m5.large")
    with pytest.raises(verification.NotLiveError, match="rolled the update back"):
        verification.require_live(SageMaker(), wanted, timeout_seconds=1)


def test_dependencies_are_pinned_with_hashes() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([\w.-]+)==\S+", text, re.MULTILINE)
    blocks = re.split(r"\n(?=\w)", text.strip())
    assert len(pinned) == len(blocks)
    assert all("--hash=sha256:" in block for block in blocks)
    wanted = (ROOT / "requirements.in").read_text(encoding="utf-8")
    asked = re.findall(r"^([\w.-]+)", wanted, re.MULTILINE)
    assert set(asked) <= set(pinned)
