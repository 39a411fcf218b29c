"""Jobs as the platform demands them, so that a template says only what is its own.

Every job runs in the private subnets without any network of its own, writes with the platform's
keys, encrypts what its containers tell each other, and carries the project's tags. The roles deny
anything else, but for the step that is called :data:`~pipelinekit.contract.CONNECTED`.
"""

# The SDK's own annotations contradict what it takes and gives.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from sagemaker.core import image_uris
from sagemaker.core.metadata_properties import MetadataProperties
from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import Processor, ScriptProcessor
from sagemaker.core.shapes import (
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    StoppingCondition,
    Tag,
)
from sagemaker.core.training.configs import Compute, InputData, Networking
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.pipeline_experiment_config import PipelineExperimentConfig
from sagemaker.mlops.workflow.retry import (
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import (
    CacheConfig,
    ProcessingStep,
    TrainingStep,
    TuningStep,
)
from sagemaker.train import ModelTrainer
from sagemaker.train.tuner import HyperparameterTuner

from pipelinekit import sdk
from pipelinekit.contract import CONNECTED, Platform
from pipelinekit.settings import Image, Job, Project, Settings, SettingsError

_RETRY_SECONDS = 30
_RETRY_BACKOFF = 2.0
_SOURCE = "sourcedir.tar.gz"
"""Name of an archive of scripts, as the SDK's own have it."""
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Definition:
    """A pipeline definition and the files that it names.

    Attributes:
        text: The definition, as JSON. The same repository and platform give the same text.
        code: S3 URI -> what has to lie there.
    """

    text: str
    code: Mapping[str, bytes]


@dataclass(frozen=True)
class Search:
    """How hyperparameters are looked for.

    Attributes:
        objective: Metric of the training jobs by which they are compared.
        regex: What finds it in their logs: one group, the number.
        ranges: Hyperparameter -> range, as the SDK has them (``sagemaker.core.parameter``).
        jobs: How many training jobs are launched.
        parallel: How many of them at once.
        seed: The same one proposes the same hyperparameters.
        maximize: Whether more is better.
    """

    objective: str
    regex: str
    ranges: Mapping[str, Any]
    jobs: int
    parallel: int
    seed: int
    maximize: bool = True


class _PrivateTuningStep(TuningStep):
    """A tuning step whose training jobs are as private as others.

    Measured with version 3.27: the SDK's tuner leaves out of its training jobs what their trainer
    says about isolation, encryption between containers, and the key of the disks.
    """

    def __init__(self, name: str, volume_key: str | None, **given: Any) -> None:
        super().__init__(name, **given)
        self._disks = {"VolumeKmsKeyId": volume_key} if volume_key else {}

    @property
    def arguments(self) -> Any:
        given: Any = super().arguments
        definition = given["TrainingJobDefinition"]
        resources = {**definition["ResourceConfig"], **self._disks}
        private = {
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": True,
            "ResourceConfig": resources,
        }
        return {**given, "TrainingJobDefinition": {**definition, **private}}


class Workbench:
    """Makes parameters, jobs and steps of one pipeline.

    Args:
        project: The project.
        platform: Where it is built.
        settings: How.
        folder: The repository.
    """

    def __init__(
        self, project: Project, platform: Platform, settings: Settings, folder: Path
    ) -> None:
        self.project = project
        self.platform = platform
        self.settings = settings
        self.session: Any = sdk.session(project.region, platform.models_bucket)
        self.job_role = platform.role_arn(project.job_role)
        # No defaults: whoever starts an execution must say what it is made of. The data's version
        # is an argument of the first step, so that new data under the same URL is not taken for the
        # old from the cache.
        self.commit = ParameterString("CommitId")
        self.data_version = ParameterString("DataVersion")
        self._folder = folder
        self._code: dict[str, bytes] = {}
        self._tags = {**settings.tags, **project.tags}

    def uri(self, *parts: Any) -> Any:
        """A place below the project's prefix in the models bucket, of this execution alone."""
        root = f"s3://{self.platform.models_bucket}/{self.project.name}/runs"
        return Join(on="/", values=[root, ExecutionVariables.PIPELINE_EXECUTION_ID, *parts])

    def script(self, name: str) -> str:
        """The S3 URI of a script of this repository, which its content decides.

        Args:
            name: Path in the repository.
        """
        file = self._folder / name
        return self._uploaded(file.name, file.read_bytes())

    def source(self, names: Sequence[str]) -> str:
        """The S3 URI of an archive of scripts, which their content decides.

        Args:
            names: Files and folders of the repository; each keeps its last part as its name.
        """
        files: dict[str, Path] = {}
        for name in names:
            root = self._folder / name
            found = [root] if root.is_file() else sorted(root.rglob("*.py"))
            files |= {path.relative_to(root.parent).as_posix(): path for path in found}
        buffer = io.BytesIO()
        # The same files must give the same bytes, so neither the archive nor its members have ages.
        with (
            gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for name, path in sorted(files.items()):
                member = tarfile.TarInfo(name)
                member.size = path.stat().st_size
                archive.addfile(member, io.BytesIO(path.read_bytes()))
        return self._uploaded(_SOURCE, buffer.getvalue())

    def _modules(self, names: Sequence[str]) -> str:
        """The S3 URI of a folder with files of this repository, which their content decides."""
        files = {Path(name).name: (self._folder / name).read_bytes() for name in sorted(names)}
        told = "".join(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n" for name in files)
        folder = self._code_url(told.encode())
        self._code |= {f"{folder}/{name}": content for name, content in files.items()}
        return folder

    def _uploaded(self, name: str, content: bytes) -> str:
        uri = f"{self._code_url(content)}/{name}"
        self._code[uri] = content
        return uri

    def _code_url(self, content: bytes) -> str:
        mark = hashlib.sha256(content).hexdigest()[:16]
        return f"s3://{self.platform.models_bucket}/{self.project.name}/code/{mark}"

    def image(self, image: Image | str, instance_type: str, scope: str | None = None) -> str:
        """URI of one of SageMaker's images in the project's region, or of another.

        Args:
            image: Which one of SageMaker's, or the URI of another.
            instance_type: What it runs on: frameworks have images with and without GPU.
            scope: ``training`` or ``inference``, for frameworks whose images do only one of them.

        Raises:
            SettingsError: There is none of that framework, version and region.
        """
        if isinstance(image, str):
            return image
        try:
            return image_uris.retrieve(
                image.framework,
                region=self.project.region,
                version=image.version,
                py_version=image.python,
                base_framework_version=image.base or None,
                image_scope=scope,
                instance_type=instance_type,
            )
        except ValueError as error:
            raise SettingsError(
                f"config.yaml: images: there is none of {image.framework} {image.version} in"
                f" {self.project.region}: {error}"
            ) from error

    def instance_type(self, step: str, job: Job) -> ParameterString:
        """The parameter by which an execution chooses a job's instance type."""
        return ParameterString(
            f"{step}InstanceType",
            default_value=job.instance_types[0],
            enum_values=list(job.instance_types),
        )

    def processing(
        self,
        name: str,
        job: Job,
        *,
        image: Image | str,
        script: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        arguments: Sequence[Any] = (),
        instance_type: ParameterString,
        property_files: Sequence[Any] = (),
        scope: str | None = None,
        modules: Sequence[str] = (),
    ) -> ProcessingStep:
        """A step that runs a script of this repository.

        Args:
            name: The step's; the one called :data:`~pipelinekit.contract.CONNECTED` has a network.
            job: Where it runs.
            image: In which image.
            script: Path in the repository.
            inputs: Folder below ``/opt/ml/processing`` -> S3 URI of what is put there.
            outputs: Folders below ``/opt/ml/processing`` that are kept, each under its name.
            arguments: The script's.
            instance_type: Parameter of the instance type.
            property_files: Outputs that conditions read.
            scope: As of :meth:`image`.
            modules: Further files of the repository, which the script imports by their names.
        """
        if modules:
            inputs = {**inputs, "input/modules": self._modules(modules)}
        processor = ScriptProcessor(
            command=["python3"],
            **self._processor(
                job,
                self.image(image, job.instance_types[0], scope),
                instance_type,
                {"PYTHONPATH": "/opt/ml/processing/input/modules"} if modules else {},
                isolated=name != CONNECTED,
            ),
        )
        return self._processing_step(
            name,
            processor,
            inputs,
            {folder: folder for folder in outputs},
            arguments,
            property_files,
            code=self.script(script),
        )

    def analysis(
        self,
        name: str,
        job: Job,
        *,
        image: Image | str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, str],
        environment: Mapping[str, str],
        instance_type: ParameterString,
        arguments: Sequence[Any] = (),
        property_files: Sequence[Any] = (),
        input_names: Mapping[str, str] = _NO_NAMES,
        places: Mapping[str, str] = _NO_NAMES,
    ) -> ProcessingStep:
        """A step that runs an image's own program.

        Args:
            name: The step's.
            job: Where it runs.
            image: Which one.
            inputs: Folder below ``/opt/ml/processing`` -> S3 URI of what is put there.
            outputs: Name -> folder below ``/opt/ml/processing`` that is kept.
            environment: What tells the program its work.
            instance_type: Parameter of the instance type.
            arguments: The program's.
            property_files: Outputs that conditions read.
            input_names: Folder of an input -> its name, where the image asks for another one than
                the folder's last part.
            places: Name of an output -> folder of the execution that it is kept in, where the image
                asks for a name that other steps' outputs have too; else the folder is the name.
        """
        processor = Processor(
            **self._processor(
                job,
                self.image(image, job.instance_types[0]),
                instance_type,
                environment,
                isolated=True,
            )
        )
        return self._processing_step(
            name,
            processor,
            inputs,
            outputs,
            arguments,
            property_files,
            input_names=input_names,
            places=places,
        )

    def _processor(
        self,
        job: Job,
        image: str,
        instance_type: ParameterString,
        environment: Mapping[str, str],
        *,
        isolated: bool,
    ) -> dict[str, Any]:
        return {
            "image_uri": image,
            "role": self.job_role,
            "instance_count": 1,
            "instance_type": instance_type,
            "volume_size_in_gb": job.volume_gb,
            "volume_kms_key": self._volume_key(job),
            "output_kms_key": self.platform.models_key,
            "max_runtime_in_seconds": 60 * job.timeout_minutes,
            "network_config": NetworkConfig(
                enable_network_isolation=isolated,
                subnets=list(self.platform.subnets),
                security_group_ids=list(self.platform.security_groups),
                encrypt_inter_container_traffic=True,
            ),
            "env": dict(environment) or None,
            "tags": [{"Key": key, "Value": value} for key, value in sorted(self._tags.items())],
            "sagemaker_session": self.session,
        }

    def _processing_step(
        self,
        name: str,
        processor: Processor,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, str],
        arguments: Sequence[Any],
        property_files: Sequence[Any],
        *,
        input_names: Mapping[str, str] = _NO_NAMES,
        places: Mapping[str, str] = _NO_NAMES,
        **code: str,
    ) -> ProcessingStep:
        step_args = processor.run(
            inputs=[
                ProcessingInput(
                    input_name=input_names.get(folder, folder.rpartition("/")[2]),
                    s3_input=ProcessingS3Input(
                        s3_uri=uri,
                        local_path=f"/opt/ml/processing/{folder}",
                        s3_data_type="S3Prefix",
                        s3_input_mode="File",
                    ),
                )
                for folder, uri in inputs.items()
            ],
            outputs=[
                ProcessingOutput(
                    output_name=output,
                    s3_output=ProcessingS3Output(
                        s3_uri=self.uri(places.get(output, output)),
                        local_path=f"/opt/ml/processing/{folder}",
                        s3_upload_mode="EndOfJob",
                    ),
                )
                for output, folder in outputs.items()
            ],
            arguments=list(arguments) or None,
            **code,
        )
        return ProcessingStep(
            name,
            step_args=step_args,
            cache_config=self._cache(),
            retry_policies=self._retries(),
            property_files=list(property_files),
        )

    def document(self, name: str, content: Any) -> str:
        """The S3 URI of a JSON file, which its content decides.

        Args:
            name: The file's.
            content: What it says.
        """
        return self._uploaded(name, json.dumps(content, indent=2, sort_keys=True).encode())

    def output(self, step: ProcessingStep, name: str) -> Any:
        """S3 URI of an output of a step."""
        outputs: Any = step.properties.ProcessingOutputConfig.Outputs
        return outputs[name].S3Output.S3Uri

    def training(
        self,
        name: str,
        job: Job,
        *,
        image: Image | str,
        hyperparameters: Mapping[str, Any],
        channels: Mapping[str, Any],
        instance_type: ParameterString,
        content_type: str = "text/csv",
        source: Sequence[str] = (),
    ) -> TrainingStep:
        """A step that trains with an algorithm of SageMaker's, or a script in one of its images.

        A script comes in a channel of its own, ``code``: an isolated container cannot fetch it, and
        what the SDK uploads for scripts has another name at every build, so that no step after it
        would come from the cache. Source: SageMaker Training Toolkit, ``sagemaker_program`` and
        ``sagemaker_submit_directory``.

        Args:
            name: The step's.
            job: Where it runs.
            image: The algorithm, or what the script runs in.
            hyperparameters: Its settings; a script gets them as ``--name value``.
            channels: Channel -> S3 URI of its files.
            instance_type: Parameter of the instance type.
            content_type: Of the files of all channels.
            source: The script, and after it the files and folders that it needs. Empty: the image
                is the algorithm.
        """
        trainer = self._trainer(
            job,
            image,
            {**hyperparameters, **_program(source)},
            instance_type,
            self.uri("model"),
            self._inputs(channels, content_type, source),
        )
        return TrainingStep(
            name,
            step_args=trainer.train(),
            cache_config=self._cache(),
            retry_policies=self._retries(),
        )

    def tuning(
        self,
        name: str,
        job: Job,
        *,
        image: Image | str,
        search: Search,
        hyperparameters: Mapping[str, Any],
        channels: Mapping[str, Any],
        instance_type: ParameterString,
        content_type: str = "text/csv",
        source: Sequence[str] = (),
    ) -> TuningStep:
        """A step that trains with many hyperparameters, at random within ranges.

        Args:
            name: The step's.
            job: Where each of its training jobs runs.
            image: The algorithm, or what the script runs in.
            search: What is looked for, and how.
            hyperparameters: Those that are not looked for.
            channels: Channel -> S3 URI of its files.
            instance_type: Parameter of the instance type.
            content_type: Of the files of all channels.
            source: As of :meth:`training`.
        """
        # Not below this execution: what comes from the cache lies where it once was written, and a
        # step's properties do not tell where. Names of training jobs are never the same.
        trainer = self._trainer(
            job,
            image,
            {**hyperparameters, **_program(source)},
            instance_type,
            self._tuned_url,
            None,
        )
        tuner = HyperparameterTuner(
            model_trainer=trainer,
            objective_metric_name=search.objective,
            objective_type="Maximize" if search.maximize else "Minimize",
            metric_definitions=[{"Name": search.objective, "Regex": search.regex}],
            hyperparameter_ranges=dict(search.ranges),
            strategy="Random",
            max_jobs=search.jobs,
            max_parallel_jobs=search.parallel,
            random_seed=search.seed,
        )
        step_args: Any = tuner.tune(inputs=self._inputs(channels, content_type, source))
        return _PrivateTuningStep(
            name,
            self._volume_key(job),
            step_args=step_args,
            cache_config=self._cache(),
            retry_policies=self._retries(),
        )

    def best_model(self, step: TuningStep) -> Any:
        """S3 URI of the model of a tuning step's best training job."""
        bucket, _, prefix = self._tuned_url.removeprefix("s3://").partition("/")
        return step.get_top_model_s3_uri(top_k=0, s3_bucket=bucket, prefix=prefix)

    @property
    def _tuned_url(self) -> str:
        return f"s3://{self.platform.models_bucket}/{self.project.name}/tuned"

    def _inputs(
        self, channels: Mapping[str, Any], content_type: str, source: Sequence[str]
    ) -> list[InputData]:
        inputs = [
            InputData(channel_name=channel, data_source=uri, content_type=content_type)
            for channel, uri in channels.items()
        ]
        if source:
            inputs.append(InputData(channel_name="code", data_source=self.source(source)))
        return inputs

    def _trainer(
        self,
        job: Job,
        image: Image | str,
        hyperparameters: Mapping[str, Any],
        instance_type: ParameterString,
        output: Any,
        inputs: list[InputData] | None,
    ) -> ModelTrainer:
        return ModelTrainer(
            training_image=self.image(image, job.instance_types[0], "training"),
            role=self.job_role,
            sagemaker_session=self.session,
            compute=Compute(
                instance_type=cast(Any, instance_type),
                instance_count=1,
                volume_size_in_gb=job.volume_gb,
                volume_kms_key_id=self._volume_key(job),
            ),
            networking=Networking(
                subnets=list(self.platform.subnets),
                security_group_ids=list(self.platform.security_groups),
                enable_network_isolation=True,
                enable_inter_container_traffic_encryption=True,
            ),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=60 * job.timeout_minutes),
            output_data_config=OutputDataConfig(
                s3_output_path=output, kms_key_id=self.platform.models_key
            ),
            hyperparameters=dict(hyperparameters),
            input_data_config=inputs,
            tags=[Tag(key=key, value=value) for key, value in sorted(self._tags.items())],
        )

    def lineage(self) -> MetadataProperties:
        """Where a version comes from, as SageMaker's own lineage keeps it."""
        return MetadataProperties(
            commit_id=self.commit,
            project_id=self.project.id,
            generated_by=ExecutionVariables.PIPELINE_EXECUTION_ARN,
        )

    def metadata(self) -> dict[str, Any]:
        """Customer metadata of a version: where it comes from, and what its model card says."""
        return {
            "ProjectId": self.project.id,
            "ProjectName": self.project.name,
            "Template": self.project.template,
            "CommitId": self.commit,
            "DataVersion": self.data_version,
            "PipelineExecutionArn": ExecutionVariables.PIPELINE_EXECUTION_ARN,
            **self.settings.card.metadata(self.project.owner),
        }

    def service_retries(self) -> list[StepRetryPolicy]:
        """For steps that are one call: tried again while the service is at fault or throttles."""
        return [
            StepRetryPolicy(
                exception_types=[
                    StepExceptionTypeEnum.SERVICE_FAULT,
                    StepExceptionTypeEnum.THROTTLING,
                ],
                interval_seconds=_RETRY_SECONDS,
                backoff_rate=_RETRY_BACKOFF,
                max_attempts=self.settings.attempts,
            )
        ]

    def definition(self, parameters: Sequence[Any], steps: Sequence[Any]) -> Definition:
        """The pipeline of these parameters and steps.

        Args:
            parameters: Beside commit and data version, which every pipeline has.
            steps: All but those inside of conditions.
        """
        experiment = PipelineExperimentConfig(
            ExecutionVariables.PIPELINE_NAME, ExecutionVariables.PIPELINE_EXECUTION_ID
        )
        pipeline = Pipeline(
            name=self.project.pipeline,
            parameters=[self.commit, self.data_version, *parameters],
            steps=list(steps),
            sagemaker_session=self.session,
            pipeline_experiment_config=experiment if self.settings.experiment else None,
        )
        content: Any = json.loads(pipeline.definition())
        written = {key: value for key, value in content.items() if value is not None}
        return Definition(json.dumps(_tidy(written), sort_keys=True), dict(self._code))

    def _volume_key(self, job: Job) -> str | None:
        """None where AWS takes none, because the disks are local and the hardware encrypts them."""
        return None if job.local_disks else self.platform.volume_key

    def _cache(self) -> CacheConfig:
        caching = self.settings.caching
        return CacheConfig(enable_caching=caching.enabled, expire_after=f"P{caching.days}D")

    def _retries(self) -> list[Any]:
        return [
            *self.service_retries(),
            SageMakerJobStepRetryPolicy(
                exception_types=[
                    SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
                    SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT,
                ],
                failure_reason_types=[SageMakerJobExceptionTypeEnum.INTERNAL_ERROR],
                interval_seconds=_RETRY_SECONDS,
                backoff_rate=_RETRY_BACKOFF,
                max_attempts=self.settings.attempts,
            ),
        ]


def _program(source: Sequence[str]) -> dict[str, str]:
    """The hyperparameters by which SageMaker's images find a script."""
    if not source:
        return {}
    return {
        "sagemaker_program": Path(source[0]).name,
        "sagemaker_submit_directory": f"/opt/ml/input/data/code/{_SOURCE}",
    }


def _tidy(value: Any) -> Any:
    """Without what the SDK writes for things that were not given.

    Empty environment variables are the harm: SageMaker's XGBoost image takes a SAGEMAKER_PROGRAM,
    even an empty one, for a script of the user's, and does not start.
    """
    if isinstance(value, list):
        return [_tidy(item) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    made = {key: _tidy(item) for key, item in cast(dict[str, Any], value).items()}
    for key in ("ModelMetrics", "Environment"):
        if isinstance(made.get(key), dict):
            made[key] = {name: item for name, item in made[key].items() if item not in ({}, "")}
    return made
