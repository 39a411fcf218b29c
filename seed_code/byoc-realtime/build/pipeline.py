"""The pipeline: Preprocess -> Train -> Evaluate -> good enough? -> baselines -> Register, or fail.

Training, evaluation and the registered version are the project's own image, named by its digest:
what was measured is, bit for bit, what serves.
"""

# The SDK's own annotations contradict what it takes and gives.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString

from pipelinekit import own_image
from pipelinekit.baselines import Facet, baselines
from pipelinekit.building import Definition, Workbench
from pipelinekit.contract import Platform
from pipelinekit.own_image import ImageSettings
from pipelinekit.registration import REPORT, AtMost, gate, register
from pipelinekit.settings import Image, Job, Project, Section, Serving, Settings, Split


class Data(Split):
    """Where the records are, and how they are split."""

    minimum_rows: Annotated[int, Field(ge=1)]
    """That each of the three sets must have."""
    columns: Annotated[list[Annotated[str, Field(pattern=r"^\w+$")]], Field(min_length=2)]
    """Of the three sets: the label, then the features."""


class Jobs(Section):
    """Where the jobs run."""

    preprocess: Job
    train: Job
    evaluate: Job
    baselines: Job
    """Each of them."""


class Images(Section):
    """What the jobs run in that do not run in the project's own image."""

    preprocess: Image


class Hyperparameters(Section):
    """Of ``image/program/training.py``, which checks them again."""

    degree: Annotated[int, Field(ge=1, le=3)]
    """Highest sum of powers in a term."""
    alpha_min: Annotated[float, Field(ge=-9, le=9)]
    """Weakest shrinkage that is tried, as a power of ten."""
    alpha_max: Annotated[float, Field(ge=-9, le=9)]
    """Strongest."""

    @model_validator(mode="after")
    def _ordered(self) -> Hyperparameters:
        if self.alpha_min > self.alpha_max:
            raise ValueError(f"alpha_min {self.alpha_min:g} is above alpha_max {self.alpha_max:g}")
        return self


class Gate(Section):
    """What a model must reach to be registered."""

    rmse: Annotated[float, Field(gt=0)]
    """Root mean squared error on the test set, in rings, at most."""


class Config(Settings):
    """``config.yaml`` of this template."""

    image: ImageSettings
    data: Data
    jobs: Jobs
    images: Images
    hyperparameters: Hyperparameters
    gate: Gate
    bias: Facet | None = None
    """Whose bias in the training data is measured."""
    serving: Serving


def build(project: Project, platform: Platform, config: Config, folder: Path) -> Definition:
    """The pipeline's definition.

    Args:
        project: The project.
        platform: The development environment.
        config: The settings.
        folder: The repository.

    Raises:
        SettingsError: The image is not built yet.
    """
    bench = Workbench(project, platform, config, folder)
    jobs = config.jobs
    image = own_image.uri(project, platform, config.image, folder)
    data_url = ParameterString(
        "InputDataUrl",
        default_value=f"s3://{platform.data_bucket}/{project.name}/{config.data.folder}",
    )
    limit = ParameterFloat("RmseThreshold", default_value=config.gate.rmse)
    types = {
        "Preprocess": bench.instance_type("Preprocess", jobs.preprocess),
        "Train": bench.instance_type("Train", jobs.train),
        "Evaluate": bench.instance_type("Evaluate", jobs.evaluate),
        "Baseline": bench.instance_type("Baseline", jobs.baselines),
    }
    columns = ",".join(config.data.columns)

    preprocess = bench.processing(
        "Preprocess",
        jobs.preprocess,
        image=config.images.preprocess,
        script="steps/preprocess.py",
        inputs={"input/data": data_url},
        outputs=["train", "validation", "test"],
        arguments=[
            "--shares", config.data.shares,
            "--seed", str(config.data.seed),
            "--minimum-rows", str(config.data.minimum_rows),
            "--columns", columns,
            "--data-version", bench.data_version,
        ],
        instance_type=types["Preprocess"],
    )  # fmt: skip
    train = bench.training(
        "Train",
        jobs.train,
        image=image,
        hyperparameters=config.hyperparameters.model_dump(),
        channels={name: bench.output(preprocess, name) for name in ("train", "validation")},
        instance_type=types["Train"],
    )
    model: Any = train.properties.ModelArtifacts
    model_data = model.S3ModelArtifacts
    evaluate = bench.processing(
        "Evaluate",
        jobs.evaluate,
        image=image,
        script="steps/evaluate.py",
        inputs={
            "model": model_data,
            **{name: bench.output(preprocess, name) for name in ("train", "test")},
        },
        outputs=["evaluation", "traffic", "compared", "judged", "explanation"],
        arguments=["--minimum-rows", str(config.data.minimum_rows), "--columns", columns],
        instance_type=types["Evaluate"],
        property_files=[REPORT],
    )
    told = baselines(
        bench,
        jobs.baselines,
        types["Baseline"],
        evaluate,
        problem="Regression",
        facet=config.bias,
        records=bench.output(preprocess, "train"),
        judged=True,
        columns=config.data.columns,
    )

    version = register(
        bench,
        model_data,
        image=image,
        serving=config.serving,
        content_types=["text/csv"],
        response_types=["text/csv"],
        domain="MACHINE_LEARNING",
        task="REGRESSION",
        metrics=told.metrics,
        drift=told.drift,
    )
    enough = gate(
        "GoodEnough",
        bench,
        evaluate,
        [AtMost("regression_metrics.rmse", limit)],
        passed=[*told.steps, version],
        failed="NotGoodEnough",
        cause=["The model's RMSE on the test set is above", limit, "rings; see"],
    )
    return bench.definition(
        [data_url, limit, *types.values()], [preprocess, train, evaluate, enough]
    )
