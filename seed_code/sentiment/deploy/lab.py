"""What the notebooks share: endpoints of one's own in dev, and what versions bring along.

Nothing here reaches preprod or prod, and nothing is approved: an endpoint is made of a version's
image and artifact, in the private subnets, without a network of its own, and goes by the project's
name with ``lab`` in it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import pulumi
import yaml

import deploy
import monitoring
import settings

FOLDER = Path(__file__).resolve().parent
PROJECT = FOLDER / "notebooks" / "project.json"
"""Prefix of the platform, name of the project, region; written when the project was created."""

INSTANCE_TYPE, ANALYZER_TYPE = "ml.m5.large", "ml.m5.xlarge"
UNKNOWN = "UNK"
"""A word that says nothing; the model takes no empty text."""
_SOON_SECONDS, _LATE_SECONDS = 0.3, 10.0  # between two looks, first and at last
_PROCESSING = "/opt/ml/processing"
_CLARIFY_INPUTS = {"config": "analysis_config", "data": "dataset"}
_CLARIFY_RESULT = "analysis_result"
"""Clarify looks for its inputs and its one output by these names.
Source: SageMaker developer guide, "Configure a SageMaker Clarify Processing Job"."""


class LabError(RuntimeError):
    """Something cannot be deployed or measured; the message says why."""


def job_role(caller: str) -> str:
    """What the role of one's jobs is called: each persona's is its own, and no other may be passed.

    Args:
        caller: ARN of one's session; whoever is no persona takes the data scientists'.
    """
    persona = re.search(r":assumed-role/.*?(lead-data-scientist|data-scientist)-execution/", caller)
    return f"{persona[1] if persona else 'data-scientist'}-pipeline-execution"


def explanation(model: str, prefix: str, label: str, samples: int) -> dict[str, Any]:
    """How Clarify is asked for the words of a label's score: its analysis configuration.

    Source: SageMaker developer guide, "Analysis Configuration Files" (NLP explainability).

    Args:
        model: Name of the SageMaker model.
        prefix: What the name of Clarify's endpoint begins with.
        label: Whose score is explained.
        samples: Questions about a text at most.
    """
    return {
        "dataset_type": "text/csv",
        "headers": ["text"],
        "methods": {
            "shap": {
                "baseline": [[UNKNOWN]],
                "num_samples": samples,
                "agg_method": "mean_abs",
                "use_logit": False,
                "save_local_shap_values": True,
                "text_config": {"granularity": "token", "language": "english"},
            },
            "report": {"name": "report", "title": f"Words of {label} texts"},
        },
        "predictor": {
            "model_name": model,
            "instance_type": INSTANCE_TYPE,
            "initial_instance_count": 1,
            "endpoint_name_prefix": prefix,
            "content_type": "application/json",
            "accept_type": "application/json",
            "content_template": '{"texts": $records}',
            "record_template": '"${text}"',
            "label": f"predictions[*].scores.{label}",
            "label_headers": [label],
        },
    }


class Lab:
    """The project in dev, as a notebook sees it."""

    def __init__(self) -> None:
        given: dict[str, str] = json.loads(PROJECT.read_text(encoding="utf-8"))
        self.prefix, self.project, self.region = (
            given[name] for name in ("prefix", "project", "region")
        )
        self.group = f"{self.prefix}-dev-{self.project}"
        session = boto3.Session(region_name=self.region)
        self.sagemaker: Any = session.client("sagemaker")
        self._runtime: Any = session.client("sagemaker-runtime")
        self._s3: Any = session.client("s3")
        self._ssm: Any = session.client("ssm")
        caller: dict[str, str] = session.client("sts").get_caller_identity()
        self.account = caller["Account"]
        self.job_role = self.published(f"roles/{job_role(caller['Arn'])}/arn")

    def published(self, path: str) -> str:
        """What the platform publishes under a path, in the development environment."""
        name = f"/{self.prefix}/dev/{path}"
        return str(self._ssm.get_parameter(Name=name)["Parameter"]["Value"])

    # Versions.

    def container(self, version: str) -> dict[str, Any]:
        """Image, artifact and variables of a version."""
        told = self.sagemaker.describe_model_package(ModelPackageName=version)
        return dict(told["InferenceSpecification"]["Containers"][0])

    def newest(self, *, own_image: bool | None = None) -> str:
        """ARN of the newest version.

        Args:
            own_image: Whether it runs in the project's own image; None for either.

        Raises:
            LabError: There is none.
        """
        pages = self.sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self.group, SortBy="CreationTime", SortOrder="Descending"
        )
        for page in pages:
            for item in page["ModelPackageSummaryList"]:
                version = str(item["ModelPackageArn"])
                own = f"/{self.group}@sha256:" in self.container(version)["Image"]
                if own_image in (None, own):
                    return version
        wanted = {None: "", True: " in an own image", False: " in SageMaker's image"}[own_image]
        raise LabError(f"{self.group} has no version{wanted}: run the build repository first.")

    def report(self, version: str, about: str, part: str) -> dict[str, Any]:
        """What a version was measured to be.

        Args:
            version: Its ARN.
            about: Such as ``Explainability``; ``ModelMetrics`` in SageMaker's API reference.
            part: Such as ``Report``.
        """
        told = self.sagemaker.describe_model_package(ModelPackageName=version)
        return json.loads(self.read(told["ModelMetrics"][about][part]["S3Uri"]))

    def read(self, url: str) -> bytes:
        """An object's content."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def data(self, name: str) -> bytes:
        """A file of the project's input in the data bucket."""
        return self.read(f"s3://{self.published('data/bucket')}/{self.project}/input/{name}")

    # Endpoints.

    def deploy(self, version: str) -> str:
        """Serves a version; the endpoint's name.

        Raises:
            LabError: It does not come into service; what was made is deleted.
        """
        name = self._model(version)
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            KmsKeyId=self.published("kms/storage/arn"),
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": name,
                    "InstanceType": INSTANCE_TYPE,
                    "InitialInstanceCount": 1,
                }
            ],
        )
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        told = _waited(
            lambda: self.sagemaker.describe_endpoint(EndpointName=name),
            "EndpointStatus",
            ("InService", "Failed"),
        )
        if told["EndpointStatus"] != "InService":
            self.delete(name)
            raise LabError(f"{name} is {told['EndpointStatus']}: {told.get('FailureReason', '')}")
        return name

    def ask(
        self, endpoint: str, body: str, kind: str = "application/json", accept: str = ""
    ) -> str:
        """What an endpoint answers.

        Args:
            endpoint: Its name.
            body: The request.
            kind: Content type of the request.
            accept: Of the answer; empty for the same one.
        """
        answer = self._runtime.invoke_endpoint(
            EndpointName=endpoint, Body=body, ContentType=kind, Accept=accept or kind
        )
        return answer["Body"].read().decode()

    def integration_tests(self, endpoint: str) -> str:
        """Runs ``integration_tests`` on an endpoint, as a deployment does; what they printed.

        Raises:
            LabError: One failed.
        """
        others = [f"--ignore={name}" for name in deploy.TESTS_OF_KINDS["batch"]]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "integration_tests", "-q", "-p", "no:cacheprovider",
             *others],
            cwd=FOLDER,
            env={**os.environ, "ENDPOINT_NAME": endpoint, "AWS_DEFAULT_REGION": self.region},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise LabError(done.stdout + done.stderr)
        return done.stdout.strip()

    def endpoints(self) -> list[str]:
        """Names of the lab's endpoints that are there."""
        found = self.sagemaker.list_endpoints(NameContains=f"{self.group}-lab-")
        return [str(item["EndpointName"]) for item in found["Endpoints"]]

    def delete(self, endpoint: str) -> None:
        """Deletes an endpoint, with its configuration and model, and waits until it is gone."""
        self.sagemaker.delete_endpoint(EndpointName=endpoint)
        while endpoint in self.endpoints():
            time.sleep(_SOON_SECONDS)
        self.sagemaker.delete_endpoint_config(EndpointConfigName=endpoint)
        self.sagemaker.delete_model(ModelName=endpoint)

    # Measuring and settings.

    def quality(
        self, version: str, labels: Iterable[int], answered: Iterable[int]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Compares answers with a version's baseline, by a job of Model Monitor's.

        Args:
            version: What answered.
            labels: What is true of each text, as a number.
            answered: What was answered.

        Returns:
            The metrics, and what is worse than the baseline allows.

        Raises:
            LabError: The version brings no baseline, or the job failed.
        """
        told = self.sagemaker.describe_model_package(ModelPackageName=version)
        baseline = told.get("DriftCheckBaselines", {}).get("ModelQuality")
        if baseline is None:
            raise LabError(f"{version} brings no baseline: its build has baselines: false.")
        name = f"lab-quality-{uuid.uuid4().hex[:8]}"
        folder = f"s3://{self.published('data/bucket')}/{self.project}/lab/{name}"
        rows = "".join(f"{label},{said}\n" for label, said in zip(labels, answered, strict=True))
        bucket, _, key = folder.removeprefix("s3://").partition("/")
        self._s3.put_object(
            Bucket=bucket, Key=f"{key}/compared.csv", Body=f"label,prediction\n{rows}".encode()
        )
        self._job(
            name,
            monitoring.analyzer(self.region),
            {
                "compared": f"{folder}/compared.csv",
                "statistics": baseline["Statistics"]["S3Uri"],
                "constraints": baseline["Constraints"]["S3Uri"],
            },
            folder,
            # Source: SageMaker developer guide, container contract inputs of Model Monitor.
            environment={
                "analysis_type": "MODEL_QUALITY",
                "problem_type": "MulticlassClassification",
                "ground_truth_attribute": "label",
                "inference_attribute": "prediction",
                "dataset_format": json.dumps({"csv": {"header": True}}),
                "dataset_source": f"{_PROCESSING}/input/compared",
                "output_path": f"{_PROCESSING}/output",
                "baseline_statistics": f"{_PROCESSING}/input/statistics/statistics.json",
                "baseline_constraints": f"{_PROCESSING}/input/constraints/constraints.json",
                "publish_cloudwatch_metrics": "Disabled",
            },
        )
        statistics: dict[str, Any] = json.loads(self.read(f"{folder}/statistics.json"))
        found = json.loads(self.read(f"{folder}/constraint_violations.json"))
        return statistics["multiclass_classification_metrics"], found["violations"]

    def explain(
        self, version: str, texts: Sequence[str], label: str, samples: int = 500
    ) -> list[dict[str, float]]:
        """Which words a label's score comes from, by a job of Clarify's.

        Clarify serves the version behind an endpoint of its own for as long as it asks, so its job
        is not isolated. A word is left out by putting :data:`UNKNOWN` in its place.

        Args:
            version: What is asked.
            texts: What it is asked about.
            label: Whose score is explained.
            samples: Questions about a text at most; an endpoint takes 1000 texts at once.

        Returns:
            For each text its words, each with what all its occurrences add to the score.

        Raises:
            LabError: The job failed.
        """
        model = self._model(version)
        name = f"lab-explain-{uuid.uuid4().hex[:8]}"
        folder = f"s3://{self.published('data/bucket')}/{self.project}/lab/{name}"
        bucket, _, key = folder.removeprefix("s3://").partition("/")
        table = io.StringIO()
        csv.writer(table).writerows([text] for text in texts)
        files = {
            "data/texts.csv": table.getvalue(),
            "config/analysis_config.json": json.dumps(
                explanation(model, f"{self.group}-lab-explain", label, samples)
            ),
        }
        for file, content in files.items():
            self._s3.put_object(Bucket=bucket, Key=f"{key}/{file}", Body=content.encode())
        try:
            self._job(
                name,
                monitoring.clarify(self.region),
                {part: f"{folder}/{part}" for part in _CLARIFY_INPUTS},
                folder,
                environment={},
                isolated=False,
                input_names=_CLARIFY_INPUTS,
                output_name=_CLARIFY_RESULT,
            )
        finally:
            self.sagemaker.delete_model(ModelName=model)
        told: list[dict[str, float]] = []
        for line in self.read(f"{folder}/explanations_shap/out.jsonl").decode().splitlines():
            [feature] = json.loads(line)["explanations"]
            words: Counter[str] = Counter()
            for part in feature["attributions"]:
                words[part["description"]["partial_text"]] += part["attribution"][0]
            told.append(dict(words))
        return told

    def settings(self, environment: str) -> settings.Settings:
        """What an environment is deployed with, as the program reads it.

        Raises:
            SettingsError: Something is wrong; all of it is told.
        """
        program: dict[str, Any] = yaml.safe_load((FOLDER / "Pulumi.yaml").read_text("utf-8"))
        stack = yaml.safe_load((FOLDER / f"Pulumi.{environment}.yaml").read_text("utf-8"))
        given = {
            key: about["default"] for key, about in program["config"].items() if "default" in about
        }
        given |= {key: value for key, value in stack["config"].items() if ":" not in key}
        pulumi.runtime.set_all_config(
            {
                f"{program['name']}:{key}": value if isinstance(value, str) else json.dumps(value)
                for key, value in given.items()
            }
        )
        values = {
            "prefix": self.prefix, "project": self.project, "region": self.region,
            # Settings do not depend on them.
            "hub_account": self.account, "target_account": self.account,
        }  # fmt: skip
        environ = {settings.PLACE_VARIABLES[key]: value for key, value in values.items()}
        arn = f"arn:aws:sagemaker:{self.region}:{self.account}:model-package/{self.group}/1"
        environ[settings.VERSION_VARIABLE] = json.dumps({"model_package_arn": arn})
        return settings.load(pulumi.Config(program["name"]), environment, environ)

    def _model(self, version: str) -> str:
        """Makes a model of a version; its name."""
        name, given = f"{self.group}-lab-{uuid.uuid4().hex[:8]}", self.container(version)
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.job_role,
            # Of its parts: SageMaker takes a package only once it is approved.
            PrimaryContainer={
                key: given[key] for key in ("Image", "ModelDataUrl", "Environment") if key in given
            },
            VpcConfig=self._network(),
            EnableNetworkIsolation=True,
        )
        return name

    def _job(
        self,
        name: str,
        image: str,
        inputs: Mapping[str, str],
        output: str,
        *,
        environment: Mapping[str, str],
        isolated: bool = True,
        input_names: Mapping[str, str] = MappingProxyType({}),
        output_name: str = "result",
    ) -> None:
        """Runs an analysis to its end.

        Args:
            name: The job's.
            image: Of AWS's that analyzes.
            inputs: Folder below ``input`` -> URI.
            output: URI of what it leaves.
            environment: Its variables.
            isolated: Whether it is cut off from every network.
            input_names: Folder -> name of the input, where the image asks for another one.
            output_name: Name of the output.

        Raises:
            LabError: It failed.
        """
        self.sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=self.job_role,
            AppSpecification={"ImageUri": image},
            Environment=dict(environment),
            ProcessingInputs=[
                {
                    "InputName": input_names.get(part, part),
                    "S3Input": {
                        "S3Uri": url,
                        "LocalPath": f"{_PROCESSING}/input/{part}",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                    },
                }
                for part, url in inputs.items()
            ],
            ProcessingOutputConfig={
                "KmsKeyId": self.published("kms/data/arn"),
                "Outputs": [
                    {
                        "OutputName": output_name,
                        "S3Output": {
                            "S3Uri": output,
                            "LocalPath": f"{_PROCESSING}/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ],
            },
            ProcessingResources={
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": ANALYZER_TYPE,
                    "VolumeSizeInGB": 20,
                    "VolumeKmsKeyId": self.published("kms/storage/arn"),
                }
            },
            NetworkConfig={
                "EnableNetworkIsolation": isolated,
                "EnableInterContainerTrafficEncryption": True,
                "VpcConfig": self._network(),
            },
            StoppingCondition={"MaxRuntimeInSeconds": 1800},
        )
        job = _waited(
            lambda: self.sagemaker.describe_processing_job(ProcessingJobName=name),
            "ProcessingJobStatus",
            ("Completed", "Failed", "Stopped"),
        )
        if job["ProcessingJobStatus"] != "Completed":
            told = (job.get("FailureReason"), job.get("ExitMessage"))
            raise LabError(f"{name}: {': '.join(filter(None, told))}")

    def _network(self) -> dict[str, list[str]]:
        return {
            "Subnets": self.published("vpc/private-subnet-ids").split(","),
            "SecurityGroupIds": self.published("vpc/security-group-ids").split(","),
        }


def _waited(
    look: Callable[[], Mapping[str, Any]], status: str, ends: Iterable[str]
) -> Mapping[str, Any]:
    pause, wanted = _SOON_SECONDS, set(ends)
    while (told := look())[status] not in wanted:
        time.sleep(pause)
        pause = min(_LATE_SECONDS, 1.5 * pause)
    return told
