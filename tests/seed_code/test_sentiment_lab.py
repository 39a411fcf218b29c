"""What the notebooks of ``sentiment`` ask Clarify for, held against the SDK's schema of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localcloud import environments
from tests.seed_code.deploy_repository import render

TOLD = """
import json, lab
print(json.dumps(lab.explanation("the-model", "acme-dev-reviews-lab-explain", "positive", 500)))
"""
KNOWN = """
import json, sys
from sagemaker.core.clarify import ANALYSIS_CONFIG_SCHEMA_V1_0
ANALYSIS_CONFIG_SCHEMA_V1_0.validate(json.loads(sys.argv[1]))
print("valid")
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = render(tmp_path_factory.mktemp("lab") / "deploy", template="sentiment")
    done = subprocess.run(
        [sys.executable, "-c", TOLD], cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def judged(config: dict[str, Any], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [environments.python("pipeline"), "-c", KNOWN, json.dumps(config)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_analysis_configuration_is_one_that_the_sdk_knows(
    asked: dict[str, Any], tmp_path: Path
) -> None:
    done = judged(asked, tmp_path)
    assert done.stdout.endswith("valid\n"), done.stderr
    text = asked["methods"]["shap"]["text_config"]
    wrong = {**asked["methods"]["shap"], "text_config": {**text, "granularity": "letter"}}
    refused = judged({**asked, "methods": {"shap": wrong}}, tmp_path)
    assert "letter" in refused.stderr


def test_the_endpoint_is_of_the_name_that_its_role_may_make(asked: dict[str, Any]) -> None:
    # What is appended has eight digits and a hyphen, of 63 characters that a name may have.
    longest = "p" * 16 + "-dev-" + "n" * 20
    prefix = asked["predictor"]["endpoint_name_prefix"].replace("acme-dev-reviews", longest)
    assert prefix == f"{longest}-lab-explain"
    assert len(prefix) + 9 <= 63
