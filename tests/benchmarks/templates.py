"""Pipelines of the templates on the local cloud, against their scripts run by hand.

A step's time on the local cloud is the execution's own: from its start, through the job's data, its
process and its results, to its end. By hand is the same script with the same arguments on the same
files, as a plain process. Steps that no script of the repository does, such as training with one of
AWS's algorithms, have nothing to be compared with and are told without a ratio.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from automation.projects import templates
from localcloud import environments
from localcloud.emulator.jobs import containers
from tests.genai import genai_kit
from tests.localcloud.jobs_world import World
from tests.seed_code.template_kit import ImageBuilder, TemplateProject, account, project

ROWS = 2000


def _records(file: str, jobs: World, folder: Path, template: str) -> TemplateProject:
    """With made-up records, of which each line is one."""
    team = project(jobs, folder, template, "bench")
    team.steps("sample_data.py", "--rows", str(ROWS), "--output", file)
    team.put(f"input/{file}", (team.build / file).read_bytes())
    return team


def _own_image(jobs: World, folder: Path, template: str) -> TemplateProject:
    """With records, and the image that its steps run in."""
    team = _records("abalone.csv", jobs, folder, template)
    builder = folder / "builder"
    builder.mkdir()
    ImageBuilder(team, builder).build()
    return team


def _language(jobs: World, folder: Path, template: str) -> TemplateProject:
    """With questions, and a language model of random weights."""
    team = project(jobs, folder, template, "bench", {"gate_exact_match": 0.1})
    genai_kit.make_tiny(team)
    genai_kit.steps(team, "sample_data.py", "--output", "examples.jsonl")
    genai_kit.steps(
        team, "make_tiny_model.py", "--examples", "examples.jsonl", "--output", "base-model"
    )
    team.put("input/examples.jsonl", (team.build / "examples.jsonl").read_bytes())
    genai_kit.put_folder(team, team.build / "base-model", "base-model")
    return team


def _pictures(jobs: World, folder: Path, template: str) -> TemplateProject:
    """With pictures, and a diffusion model of random weights."""
    gate = {"gate_fid": 0.1, "gate_dino_similarity": 0.75}
    team = project(jobs, folder, template, "bench", gate)
    genai_kit.make_tiny(team)
    genai_kit.steps(team, "sample_data.py", "--output", "pictures", "--side", "16")
    genai_kit.steps(team, "make_tiny_model.py", "--output", "base-model")
    genai_kit.put_folder(team, team.build / "pictures", "input")
    genai_kit.put_folder(team, team.build / "base-model", "base-model")
    return team


@dataclass(frozen=True)
class Kind:
    """What templates need to run.

    Attributes:
        prepare: Makes a project with its data, in an account and an empty folder.
        steps: Environment that the steps run in here; empty where they need other files of their
            image, and nothing is run by hand.
    """

    prepare: Callable[[World, Path, str], TemplateProject]
    steps: str = "seed"


TABULAR = Kind(partial(_records, "abalone.csv"))
TEMPLATES: Mapping[str, Kind] = {
    "xgboost-realtime": TABULAR,
    "xgboost-batch": TABULAR,
    "abalone-pipeline": TABULAR,
    "byoc-realtime": Kind(_own_image, ""),
    "sentiment": Kind(partial(_records, "reviews.csv")),
    "llm-finetune": Kind(_language, "genai"),
    "diffusion-finetune": Kind(_pictures, "genai"),
}


def by_hand(team: TemplateProject, environment: str, job: Mapping[str, Any]) -> float | None:
    """Seconds of a processing job's script as a plain process.

    None where there is no script, or it asks AWS, as scripts with a network do.
    """
    application = job["AppSpecification"]
    entry = application.get("ContainerEntrypoint") or []
    if entry[:1] != ["python3"] or not job["NetworkConfig"]["EnableNetworkIsolation"]:
        return None
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for given in job["ProcessingInputs"]:
            source = given["S3Input"]
            fetch(team, source["S3Uri"], folder / source["LocalPath"].removeprefix("/opt/"))
        python = str(environments.python(environment))
        words = [python, *entry[1:], *(application.get("ContainerArguments") or [])]
        # The scripts know their folders below /opt/ml, which a person would have mounted as well.
        command = containers._command(words, folder, containers.mode(), isolated=False)
        # As the local cloud's jobs have it: one core each.
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **(job.get("Environment") or {})}
        started = time.monotonic()
        done = subprocess.run(command, env=variables, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return time.monotonic() - started


def fetch(team: TemplateProject, uri: str, folder: Path) -> None:
    """Downloads what lies below a URI."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    s3 = team.jobs.client("s3")
    for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
        below = item["Key"].removeprefix(prefix).lstrip("/") or item["Key"].rpartition("/")[2]
        target = folder / below
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, item["Key"], str(target))


def measure(template: str, kind: Kind, folder: Path) -> None:
    """Runs a template's pipeline, then each of its scripts by hand, and prints both."""
    for name in ("cloud", "team"):
        (folder / name).mkdir()
    with account(folder / "cloud") as jobs:
        team = kind.prepare(jobs, folder / "team", template)
        done = team.run()
        if done.code:
            raise RuntimeError(done.output)
        sagemaker = jobs.sagemaker
        steps = sagemaker.list_pipeline_execution_steps(
            PipelineExecutionArn=done.result["execution"], SortOrder="Ascending"
        )["PipelineExecutionSteps"]
        for step in steps:
            took = (step["EndTime"] - step["StartTime"]).total_seconds()
            told = f"{template:<18} {step['StepName']:<20} {took:5.1f} s"
            made = step.get("Metadata", {}).get("ProcessingJob")
            hand = None
            if made and kind.steps:
                name = made["Arn"].rpartition("/")[2]
                job = sagemaker.describe_processing_job(ProcessingJobName=name)
                hand = by_hand(team, kind.steps, job)
            if hand is not None:
                told += f", by hand {hand:5.1f} s, overhead {took - hand:.1f} s"
            print(told, flush=True)


def main() -> None:
    """Measure and print a line for each step."""
    for template in templates.load():
        with tempfile.TemporaryDirectory() as text:
            measure(template, TEMPLATES[template], Path(text))
