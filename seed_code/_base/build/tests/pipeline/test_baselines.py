from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelinekit import settings, validation
from pipelinekit.contract import Platform

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2]
MONITOR, CLARIFY = "sagemaker-model-monitor", "sagemaker-clarify"


def build(project: settings.Project, platform: Platform, config: Any, on: bool) -> Json:
    import pipeline

    chosen = config.model_copy(update={"baselines": on})
    return json.loads(pipeline.build(project, platform, chosen, FOLDER).text)


def registering(definition: Json) -> Json:
    (gate,) = [step for step in definition["Steps"] if step["Type"] == "Condition"]
    (step,) = [step for step in gate["Arguments"]["IfSteps"] if step["Type"] == "RegisterModel"]
    return step["Arguments"]


def named(value: Any, found: set[str]) -> set[str]:
    """The steps that a value refers to."""
    if isinstance(value, dict):
        reference = value.get("Get")
        if isinstance(reference, str) and reference.startswith("Steps."):
            found.add(reference.split(".")[1])
        for item in value.values():
            named(item, found)
    elif isinstance(value, list):
        for item in value:
            named(item, found)
    return found


def test_without_baselines_no_analyzer_runs_and_a_version_brings_what_was_evaluated(
    project: settings.Project, platform: Platform, config: Any
) -> None:
    whole, bare = (build(project, platform, config, on) for on in (True, False))
    assert MONITOR in json.dumps(whole)
    for analyzer in (MONITOR, CLARIFY):
        assert analyzer not in json.dumps(bare)
    assert validation.faults(bare) == []
    assert validation.breaches(bare, platform, project.tags, project.pipeline) == []
    version = registering(bare)
    # The report by which it is approved is the same.
    before = registering(whole)["ModelMetrics"]["ModelQuality"]["Statistics"]
    assert version["ModelMetrics"]["ModelQuality"] == {"Statistics": before}
    assert set(version["ModelMetrics"]) <= {"ModelQuality", "Explainability"}
    assert set(version.get("DriftCheckBaselines") or {}) <= {"Explainability"}
    kept = [version[name] for name in ("ModelMetrics", "DriftCheckBaselines") if name in version]
    assert named(kept, set()) == {"Evaluate"}
