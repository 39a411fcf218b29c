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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud import environments
from localcloud.emulator.jobs import containers
from tests.seed_code.template_kit import TemplateProject, account, project

SAMPLES: Mapping[str, str] = {"xgboost-realtime": "abalone.csv", "sentiment": "reviews.csv"}
"""Template -> the file of made-up records that it is run on."""

ROWS = 2000


def by_hand(team: TemplateProject, job: Mapping[str, Any]) -> float | None:
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
        python = str(environments.python("seed"))
        words = [python, *entry[1:], *(application.get("ContainerArguments") or [])]
        # The scripts know their folders below /opt/ml, which a person would have mounted as well.
        command = containers._command(words, folder, containers.mode(), isolated=False)
        # As the local cloud's jobs have it: one core each.
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **(job.get("Environment") or {})}
        started = time.monotonic()
        subprocess.run(command, env=variables, check=True, capture_output=True)
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


def measure(template: str, sample: str, folder: Path) -> None:
    """Runs a template's pipeline, then each of its scripts by hand, and prints both."""
    with account(folder / "cloud") as jobs:
        team = project(jobs, folder / "team", template, "bench")
        team.steps("sample_data.py", "--rows", str(ROWS), "--output", sample)
        team.put(f"input/{sample}", (team.build / sample).read_bytes())
        done = team.run()
        if done.code:
            raise RuntimeError(done.output)
        sagemaker = jobs.sagemaker
        steps = sagemaker.list_pipeline_execution_steps(
            PipelineExecutionArn=done.result["execution"], SortOrder="Ascending"
        )["PipelineExecutionSteps"]
        for step in steps:
            took = (step["EndTime"] - step["StartTime"]).total_seconds()
            told = f"{template:<18} {step['StepName']:<14} {took:5.1f} s"
            made = step.get("Metadata", {}).get("ProcessingJob")
            hand = None
            if made:
                name = made["Arn"].rpartition("/")[2]
                hand = by_hand(team, sagemaker.describe_processing_job(ProcessingJobName=name))
            if hand is not None:
                told += f", by hand {hand:5.1f} s, overhead {took - hand:.1f} s"
            print(told, flush=True)


def main() -> None:
    """Measure and print a line for each step."""
    for template, sample in SAMPLES.items():
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            for name in ("cloud", "team"):
                (folder / name).mkdir()
            measure(template, sample, folder)
