"""The pipeline: Preprocess -> Train -> Evaluate -> good enough? -> baselines -> Register, or fail.

Training is SageMaker's XGBoost algorithm, not a script of ours in its image: the SDK uploads such
scripts to places named by the time, so every build would be another definition, and no step after
it would ever come from the cache.
"""

# The SDK's own annotations contradict what it takes and gives.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString

from pipelinekit.baselines import Facet, baselines
from pipelinekit.building import Definition, Workbench
from pipelinekit.contract import Platform
from pipelinekit.registration import REPORT, AtMost, gate, register
from pipelinekit.settings import Image, Job, Project, Section, Serving, Settings, Split

_UNITS = {"rmse": "rings", "mse": "squared rings"}


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
    """What the jobs run in."""

    preprocess: Image
    xgboost: Image


class Hyperparameters(Section):
    """Of SageMaker's XGBoost, those that matter most; see its documentation for their meaning."""

    num_round: Annotated[int, Field(ge=1, le=10_000)]
    max_depth: Annotated[int, Field(ge=1, le=20)]
    eta: Annotated[float, Field(gt=0, le=1)]
    subsample: Annotated[float, Field(gt=0, le=1)] = 1
    min_child_weight: Annotated[float, Field(ge=0)] = 1
    gamma: Annotated[float, Field(ge=0)] = 0
    early_stopping_rounds: Annotated[int, Field(ge=1)]
    seed: int = 0


class Gate(Section):
    """What a model must reach to be registered: one of these on the test set, at most."""

    rmse: Annotated[float, Field(gt=0)] | None = None
    """Root mean squared error, in rings."""
    mse: Annotated[float, Field(gt=0)] | None = None
    """Mean squared error, in squared rings."""

    @model_validator(mode="after")
    def _one(self) -> Gate:
        if (self.rmse is None) == (self.mse is None):
            raise ValueError("expected either rmse or mse: a model is judged by one of them")
        return self

    @property
    def metric(self) -> str:
        """Which one it is, as the evaluation's report names it."""
        return "mse" if self.rmse is None else "rmse"


class Config(Settings):
    """``config.yaml`` of this template."""

    data: Data
    jobs: Jobs
    images: Images
    hyperparameters: Hyperparameters
    gate: Gate
    bias: Facet | None = None
    """Whose bias in the training data is measured."""
    serving: Serving
    answers_compared: bool = True
    """Whether what is compared with the baseline later has the model's answers: the traffic that an
    endpoint captures has, the files that a batch transform is given have not."""


def build(project: Project, platform: Platform, config: Config, folder: Path) -> Definition:
    """The pipeline's definition.

    Args:
        project: The project.
        platform: The development environment.
        config: The settings.
        folder: The repository.
    """
    bench = Workbench(project, platform, config, folder)
    jobs = config.jobs
    data_url = ParameterString(
        "InputDataUrl",
        default_value=f"s3://{platform.data_bucket}/{project.name}/{config.data.folder}",
    )
    metric = config.gate.metric
    limit = ParameterFloat(f"{metric.title()}Threshold", default_value=getattr(config.gate, metric))
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
        image=config.images.xgboost,
        hyperparameters={
            "objective": "reg:squarederror",
            "eval_metric": "rmse",
            **config.hyperparameters.model_dump(),
        },
        channels={name: bench.output(preprocess, name) for name in ("train", "validation")},
        instance_type=types["Train"],
    )
    model: Any = train.properties.ModelArtifacts
    model_data = model.S3ModelArtifacts
    evaluate = bench.processing(
        "Evaluate",
        jobs.evaluate,
        image=config.images.xgboost,
        script="steps/evaluate.py",
        inputs={
            "model": model_data,
            **{name: bench.output(preprocess, name) for name in ("train", "test")},
        },
        outputs=["evaluation", "traffic", "compared", "judged", "explanation"],
        arguments=[
            "--minimum-rows", str(config.data.minimum_rows),
            "--columns", columns,
            *([] if config.answers_compared else ["--asked-alone"]),
        ],
        instance_type=types["Evaluate"],
        property_files=[REPORT],
    )  # fmt: skip
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
        image=config.images.xgboost,
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
        [AtMost(f"regression_metrics.{metric}", limit)],
        passed=[*told.steps, version],
        failed="NotGoodEnough",
        cause=[
            f"The model's {metric.upper()} on the test set is above",
            limit,
            f"{_UNITS[metric]}; see",
        ],
    )
    return bench.definition(
        [data_url, limit, *types.values()], [preprocess, train, evaluate, enough]
    )
