"""What the notebooks share: single steps of the pipeline, run as jobs of one's own.

A step runs exactly as the pipeline would run it: its arguments come from the same definition, and
its script is the same file. Only its role is another: that of one's persona's jobs, which the
platform publishes. What a step made is remembered beside the notebooks, so that one goes on where
another has ended.
"""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import boto3

import build_image
from pipelinekit import contract, execution, sdk, settings

FOLDER = Path(__file__).resolve().parent
REMEMBERED = FOLDER / "notebooks" / ".lab.json"

_ENDED = ("Completed", "Failed", "Stopped")
_CALLS = {
    "Processing": "ProcessingJob",
    "Training": "TrainingJob",
    "Tuning": "HyperParameterTuningJob",
}
"""Step type -> what its job is called in SageMaker's calls."""
_STEP = 14  # characters of a step's name in its job's: tuning jobs' names have 32 at most
_SOON_SECONDS, _LATE_SECONDS = 0.3, 5.0  # between two looks at a job, first and at last
_PATH = re.compile(r"\.?([A-Za-z0-9]+)|\['([^']+)'\]|\[(\d+)\]")


class LabError(RuntimeError):
    """A step cannot be run, or its job has failed; the message says why."""


def own_image() -> str:
    """URI of the project's own image, for :class:`Lab` with a container that runs in it.

    It is built where there is a container engine, and found in the project's repository where CI
    has built it of the same files.

    Raises:
        LabError: It is neither, or its scan does not let it through; the cause is printed.
    """
    code = build_image.main(["--commit", "lab", "--poll-seconds", "2"])
    if code:
        raise LabError(f"There is no image: build_image.py has ended with {code}, see above.")
    built: dict[str, Any] = json.loads((FOLDER / "image.json").read_text(encoding="utf-8"))
    return str(built["uri"])


def job_role(caller: str) -> str:
    """What the role of one's jobs is called: each persona's is its own, and no other may be passed.

    Args:
        caller: ARN of one's session; whoever is no persona takes the data scientists'.
    """
    persona = re.search(r":assumed-role/.*?(lead-data-scientist|data-scientist)-execution/", caller)
    return f"{persona[1] if persona else 'data-scientist'}-pipeline-execution"


class Lab:
    """The project, as a notebook sees it.

    Args:
        search: Whether the pipeline searches hyperparameters, where ``config.yaml`` has a search.
        container: What all parts run in: ``framework``, ``custom-script`` or ``own-container``;
            None leaves it to ``config.yaml``.
    """

    def __init__(self, *, search: bool = True, container: str | None = None) -> None:
        self.project = settings.read(FOLDER / "project.yaml", settings.Project)
        sdk.prepare(self.project.region)
        # The scripts import each other by their names, as in their containers.
        sys.path[:0] = [str(FOLDER), str(FOLDER / "steps")]
        # It imports the SDK, which needs what prepare() sets.
        import pipeline

        config = settings.read(FOLDER / "config.yaml", pipeline.Config)
        changes: dict[str, Any] = {} if search else {"search": None}
        if container:
            parts = dict.fromkeys(("processing", "training", "inference"), container)
            changes["containers"] = type(config.containers).model_validate(parts)
        self.config = config.model_copy(update=changes)
        session = boto3.Session(region_name=self.project.region)
        self.s3: Any = session.client("s3")
        self.sagemaker: Any = session.client("sagemaker")
        self.feature_records: Any = session.client("sagemaker-featurestore-runtime")
        self._ssm: Any = session.client("ssm")
        self.platform = contract.read_contract(self._ssm, self.project)
        sts: Any = session.client("sts")
        caller = str(sts.get_caller_identity()["Arn"])
        self.job_role = self.published(f"roles/{job_role(caller)}/arn")
        self.id = f"lab-{uuid.uuid4().hex[:8]}"
        built = pipeline.build(self.project, self.platform, self.config, FOLDER)
        execution.upload(self.s3, built.code, self.platform.models_key)
        definition: Any = json.loads(built.text)
        self._defaults = {p["Name"]: p.get("DefaultValue") for p in definition["Parameters"]}
        self._steps = {step["Name"]: step for step in _flat(definition["Steps"])}
        self._results: dict[str, Any] = {}
        if REMEMBERED.is_file():
            for name, job in json.loads(REMEMBERED.read_text(encoding="utf-8")).items():
                if name in self._steps:
                    self._results[name] = self._described(self._steps[name]["Type"], job)

    def published(self, path: str) -> str:
        """What the platform publishes under a path, in the development environment."""
        name = f"/{self.project.prefix}/dev/{path}"
        return str(self._ssm.get_parameter(Name=name)["Parameter"]["Value"])

    def put(self, name: str, content: str | bytes) -> str:
        """Puts a file into the project's part of the data bucket; the URL of its folder."""
        body = content.encode() if isinstance(content, str) else content
        folder = f"{self.project.name}/lab/{self.id}/"
        self.s3.put_object(Bucket=self.platform.data_bucket, Key=folder + name, Body=body)
        return f"s3://{self.platform.data_bucket}/{folder}"

    def read(self, url: str) -> bytes:
        """An object's content."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def run(self, *steps: str, **parameters: Any) -> dict[str, Any]:
        """Runs steps as jobs of one's own, all at once, and waits for them.

        What was known of steps that need them is forgotten: it was of something else.

        Args:
            steps: Their names in the pipeline; none needs another one of them.
            parameters: Of the pipeline, where they are not the defaults.

        Returns:
            The last one's description; other steps that are run now find its outputs.

        Raises:
            LabError: A job has failed, or a step that one needs has not been run.
        """
        begun = {step: self._begin(step, parameters) for step in steps}
        told: dict[str, Any] = {}
        for step, name in begun.items():
            told = self._waited(step, name)
            for later in list(self._results):
                if f'"Steps.{step}.' in json.dumps(self._steps[later]["Arguments"]):
                    del self._results[later]
            self._results[step] = told
        self._remember(begun)
        return told

    def _begin(self, step: str, parameters: Mapping[str, Any]) -> str:
        given = self._steps[step]
        noun = _CALLS[given["Type"]]
        arguments = self._resolved(given["Arguments"], parameters)
        # A tuning job's training jobs have the role, not the tuning job.
        arguments.get("TrainingJobDefinition", arguments)["RoleArn"] = self.job_role
        name = f"{self.id}-{step[:_STEP]}-{uuid.uuid4().hex[:4]}"
        getattr(self.sagemaker, f"create_{_snake(noun)}")(**{f"{noun}Name": name}, **arguments)
        return name

    def _waited(self, step: str, name: str) -> dict[str, Any]:
        kind = self._steps[step]["Type"]
        status, pause = f"{_CALLS[kind]}Status", _SOON_SECONDS
        while (told := self._described(kind, name))[status] not in _ENDED:
            time.sleep(pause)
            pause = min(_LATE_SECONDS, 1.5 * pause)
        if told[status] != "Completed":
            reason = told.get("ExitMessage") or told.get("FailureReason", "")
            raise LabError(f"{step} is {told[status]}: {reason}")
        return told

    def output(self, step: str, name: str) -> str:
        """URL of an output of a processing step that was run."""
        told = self._results.get(step)
        if told is None:
            raise LabError(f"{step} has not been run: run it, or the notebook that does.")
        outputs = {item["OutputName"]: item for item in told["ProcessingOutputConfig"]["Outputs"]}
        return str(outputs[name]["S3Output"]["S3Uri"])

    def register(self, **parameters: Any) -> str:
        """Makes the baselines of the model of the steps that were run, and registers it.

        Returns:
            The version's ARN; it waits for approval.
        """
        self.run(*(step for step in self._steps if step.endswith("Baseline")), **parameters)
        arguments = self._resolved(self._steps["Register"]["Arguments"], parameters)
        return str(self.sagemaker.create_model_package(**arguments)["ModelPackageArn"])

    def _described(self, kind: str, name: str) -> dict[str, Any]:
        noun = _CALLS[kind]
        key = f"{noun}Name"
        told: dict[str, Any] = getattr(self.sagemaker, f"describe_{_snake(noun)}")(**{key: name})
        if kind == "Tuning" and told[f"{noun}Status"] == "Completed":
            objective = told["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
            jobs = self.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
                HyperParameterTuningJobName=name,
                SortBy="FinalObjectiveMetricValue",
                SortOrder="Descending" if objective["Type"] == "Maximize" else "Ascending",
            )
            told["TrainingJobSummaries"] = jobs["TrainingJobSummaries"]
        return told

    def _remember(self, jobs: Mapping[str, str]) -> None:
        known: dict[str, str] = {}
        if REMEMBERED.is_file():
            known = json.loads(REMEMBERED.read_text(encoding="utf-8"))
        kept = {step: job for step, job in known.items() if step in self._results}
        text = json.dumps({**kept, **jobs}, indent=2)
        REMEMBERED.write_text(text + "\n", encoding="utf-8")

    def _resolved(self, value: Any, parameters: Mapping[str, Any]) -> Any:
        """A value of the definition with its references replaced."""
        if isinstance(value, list):
            return [self._resolved(item, parameters) for item in cast("list[Any]", value)]
        if not isinstance(value, dict):
            return value
        entry = cast("dict[str, Any]", value)
        if set(entry) == {"Get"}:
            return self._found(str(entry["Get"]), parameters)
        if set(entry) == {"Std:Join"}:
            values = [self._resolved(v, parameters) for v in entry["Std:Join"]["Values"]]
            return entry["Std:Join"]["On"].join(str(item) for item in values)
        return {name: self._resolved(item, parameters) for name, item in entry.items()}

    def _found(self, reference: str, parameters: Mapping[str, Any]) -> Any:
        kind, _, rest = reference.partition(".")
        if kind == "Parameters":
            return parameters.get(rest) or self._defaults[rest] or self.id
        if kind == "Execution":
            return self.id
        step, _, path = rest.partition(".")
        if step not in self._results:
            raise LabError(f"{step} has not been run: run it, or the notebook that does.")
        found: Any = self._results[step]
        for member, key, index in _PATH.findall(path):
            if key:
                found = next(item for item in found if item.get("OutputName") == key)
            else:
                found = found[int(index)] if index else found[member]
        return found


def _flat(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All steps, those inside of conditions too."""
    found: list[dict[str, Any]] = []
    for step in steps:
        found.append(step)
        for branch in ("IfSteps", "ElseSteps"):
            found += _flat(step.get("Arguments", {}).get(branch) or [])
    return found


def _snake(noun: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", noun).lower()
