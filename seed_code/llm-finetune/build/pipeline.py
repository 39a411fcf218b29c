"""The pipeline: Prepare -> FineTune -> Evaluate -> better? -> baseline -> Register, or fail."""

# The SDK's own annotations contradict what it takes and gives.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import (
    ParameterFloat,
    ParameterInteger,
    ParameterString,
)

from pipelinekit.baselines import traffic_baseline
from pipelinekit.building import Definition, Workbench
from pipelinekit.contract import Platform
from pipelinekit.registration import REPORT, AtLeast, AtMost, gate, register
from pipelinekit.settings import (
    Folder,
    Image,
    Job,
    Metadata,
    Project,
    Section,
    Serving,
    Settings,
    Split,
)


class BaseModel(Section):
    """What is fine-tuned."""

    name: Annotated[Metadata, Field(min_length=1)]
    """As versions tell it."""
    folder: Folder
    """Below the project's name in the data bucket."""


class Data(Split):
    """Where the examples are, and how they are split and cut."""

    block_tokens: Annotated[int, Field(ge=16, le=65_536)]
    """Tokens of a row that the model learns from."""
    minimum_blocks: Annotated[int, Field(ge=1)]
    """That each of the three sets must have."""


class Jobs(Section):
    """Where the jobs run."""

    prepare: Job
    train: Job
    evaluate: Job
    baseline: Job


class Images(Section):
    """What the jobs run in."""

    train: Image
    serve: Image
    """Of preparation and evaluation too: a model is measured in what it will be served by."""


class Hyperparameters(Section):
    """Of the fine-tuning; ``steps/train.py`` has their meaning."""

    epochs: Annotated[int, Field(ge=1, le=1000)]
    """Also a parameter of the pipeline, as the next."""
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    rank: Annotated[int, Field(ge=1, le=512)]
    alpha: Annotated[float, Field(gt=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0
    target_modules: Annotated[str, Field(pattern=r"^[\w.-]+(,[\w.-]+)*$")] = "all-linear"
    """Layers that LoRA goes to, by their names."""
    batch_size: Annotated[int, Field(ge=1)]
    accumulation: Annotated[int, Field(ge=1)] = 1
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    seed: int = 0


class Evaluation(Section):
    """How much is measured."""

    prompts: Annotated[int, Field(ge=1)]
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)]


class Gate(Section):
    """What a model must reach to be registered."""

    perplexity_ratio: Annotated[float, Field(gt=0, lt=1)]
    """Perplexity on the test set as a share of the base model's, at most."""
    exact_match: Annotated[float, Field(gt=0, le=1)]
    """Share of the test set's prompts that are completed as expected, at least."""


class Config(Settings):
    """``config.yaml`` of this template."""

    base_model: BaseModel
    data: Data
    jobs: Jobs
    images: Images
    hyperparameters: Hyperparameters
    evaluation: Evaluation
    gate: Gate
    serving: Serving


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
    root = f"s3://{platform.data_bucket}/{project.name}"
    data_url = ParameterString("InputDataUrl", default_value=f"{root}/{config.data.folder}")
    base_url = ParameterString(
        "BaseModelUrl", default_value=f"{root}/{config.base_model.folder}".rstrip("/")
    )
    epochs = ParameterInteger("Epochs", default_value=config.hyperparameters.epochs)
    rate = ParameterFloat("LearningRate", default_value=config.hyperparameters.learning_rate)
    most_ratio = ParameterFloat(
        "PerplexityRatioThreshold", default_value=config.gate.perplexity_ratio
    )
    least_match = ParameterFloat("ExactMatchThreshold", default_value=config.gate.exact_match)
    types = {
        "Prepare": bench.instance_type("Prepare", jobs.prepare),
        "FineTune": bench.instance_type("FineTune", jobs.train),
        "Evaluate": bench.instance_type("Evaluate", jobs.evaluate),
        "Baseline": bench.instance_type("Baseline", jobs.baseline),
    }

    prepare = bench.processing(
        "Prepare",
        jobs.prepare,
        image=config.images.serve,
        scope="inference",
        script="steps/prepare.py",
        modules=["steps/stepkit.py"],
        inputs={
            "input/data": data_url,
            "input/tokenizer": Join(on="/", values=[base_url, "tokenizer"]),
        },
        outputs=["train", "validation", "test"],
        arguments=[
            "--shares", config.data.shares,
            "--seed", str(config.data.seed),
            "--block-tokens", str(config.data.block_tokens),
            "--minimum-blocks", str(config.data.minimum_blocks),
            "--data-version", bench.data_version,
        ],
        instance_type=types["Prepare"],
    )  # fmt: skip
    train = bench.training(
        "FineTune",
        jobs.train,
        image=config.images.train,
        source=["steps/train.py", "steps/stepkit.py", "steps/inference.py"],
        hyperparameters={
            **config.hyperparameters.model_dump(exclude={"epochs", "learning_rate"}),
            # Hyperparameters are texts, the parameters are numbers.
            "epochs": Join(on="", values=[epochs]),
            "learning_rate": Join(on="", values=[rate]),
            "base_model": config.base_model.name,
        },
        channels={
            "train": bench.output(prepare, "train"),
            "validation": bench.output(prepare, "validation"),
            "base": base_url,
        },
        content_type="application/octet-stream",
        instance_type=types["FineTune"],
    )
    model: Any = train.properties.ModelArtifacts
    model_data = model.S3ModelArtifacts
    evaluate = bench.processing(
        "Evaluate",
        jobs.evaluate,
        image=config.images.serve,
        scope="inference",
        script="steps/evaluate.py",
        modules=["steps/stepkit.py", "steps/metrics.py", "steps/traffic.py"],
        inputs={"model": model_data, "base": base_url, "test": bench.output(prepare, "test")},
        outputs=["evaluation", "traffic"],
        arguments=[
            "--test-prompts", str(config.evaluation.prompts),
            "--max-new-tokens", str(config.evaluation.max_new_tokens),
        ],
        instance_type=types["Evaluate"],
        property_files=[REPORT],
    )  # fmt: skip
    told = traffic_baseline(bench, jobs.baseline, types["Baseline"], evaluate)

    version = register(
        bench,
        model_data,
        image=config.images.serve,
        scope="inference",
        serving=config.serving,
        content_types=["application/json"],
        response_types=["application/json"],
        domain="NATURAL_LANGUAGE_PROCESSING",
        task="TEXT_GENERATION",
        metrics=told.metrics,
        drift=told.drift,
        metadata={"BaseModel": config.base_model.name},
    )
    better = gate(
        "Better",
        bench,
        evaluate,
        [
            AtMost("language_metrics.perplexity_ratio", most_ratio),
            AtLeast("language_metrics.exact_match", least_match),
        ],
        passed=[*told.steps, version],
        failed="NotBetter",
        cause=[
            "On the test set the model's perplexity is above", most_ratio,
            "times the base model's, or its exact match below", least_match, "; see",
        ],
    )  # fmt: skip
    parameters = [data_url, base_url, epochs, rate, most_ratio, least_match, *types.values()]
    return bench.definition(parameters, [prepare, train, evaluate, better])
