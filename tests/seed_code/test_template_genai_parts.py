"""What of the templates with torch needs no torch: definitions, metrics, what is safe to load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.seed_code.build_repository import ROOT, render, run

TORCH_FREE = {
    "llm-finetune": ("test_metrics.py", "test_prepare.py", "test_sample_data.py",
                     "test_stepkit.py"),
    "diffusion-finetune": ("test_metrics.py", "test_stepkit.py"),
}  # fmt: skip
"""Template -> tests of its steps that run in the seed environment; tests/genai has the others."""


@pytest.mark.parametrize("template", TORCH_FREE)
def test_the_repositorys_own_tests_without_torch(template: str, tmp_path: Path) -> None:
    build = render(tmp_path, template, project_name="tuned")
    names = " ".join(f"tests/steps/{name}" for name in TORCH_FREE[template])
    for command in (
        f'exec "$STEPS_PYTHON" -m pytest -q -p no:cacheprovider {names}',
        'exec "$PIPELINE_PYTHON" -m pytest -q -p no:cacheprovider tests/pipeline/test_definition.py'
        " tests/pipeline/test_validation.py tests/pipeline/test_baselines.py",
        'exec "$PIPELINE_PYTHON" run_pipeline.py validate --offline',
    ):
        done = run(build, "sh", "-c", command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_repositories_install_what_they_were_tested_with() -> None:
    copy = ROOT / "seed_code" / "_torch" / "build" / "requirements" / "steps.txt"
    assert copy.read_bytes() == (ROOT / "requirements" / "genai.txt").read_bytes(), (
        "make requirements"
    )
