"""The pipeline: Prepare -> FineTune -> Evaluate -> is it like the subject? -> Register, or fail."""

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
    Share,
)


class BaseModel(Section):
    """What is fine-tuned."""

    name: Annotated[Metadata, Field(min_length=1)]
    """As versions tell it."""
    folder: Folder
    """Below the project's name in the data bucket."""


class Data(Section):
    """Where the pictures are, and how they are split and sized."""

    folder: Folder
    """Below the project's name in the data bucket."""
    test: Share
    """Of the subject's pictures, that are never trained on."""
    seed: int
    minimum_pictures: Annotated[int, Field(ge=2)]
    """Of training and test each."""
    resolution: Annotated[int, Field(ge=16, le=2048, multiple_of=8)]
    """Pixels of a side."""


Prompt = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^{}\n]+$")]


class Subject(Section):
    """What is taught."""

    prompt: Prompt
    """With a rare word that comes to mean the subject."""
    class_prompt: Prompt
    """What the subject is one of."""


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

    steps: Annotated[int, Field(ge=1, le=1_000_000)]
    """Also a parameter of the pipeline, as the next."""
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    rank: Annotated[int, Field(ge=1, le=512)]
    alpha: Annotated[float, Field(gt=0)]
    target_modules: Annotated[str, Field(pattern=r"^[\w.-]+(,[\w.-]+)*$")]
    """Of the U-Net, that LoRA goes to."""
    batch_size: Annotated[int, Field(ge=1)]
    prior_weight: Annotated[float, Field(ge=0)] = 1
    """Of the class's pictures in the loss."""
    class_images: Annotated[int, Field(ge=1)]
    class_steps: Annotated[int, Field(ge=1, le=1000)]
    seed: int = 0


class Evaluation(Section):
    """How much is measured."""

    pictures: Annotated[int, Field(ge=2, le=10_000)]
    """That each model makes."""
    inference_steps: Annotated[int, Field(ge=1, le=1000)]
    guidance_scale: Annotated[float, Field(ge=0, le=50)] = 7.5
    seed: int = 0
    prompts: Annotated[list[Prompt], Field(min_length=5)]
    """Like those that people will ask, which monitoring compares theirs with."""


class Gate(Section):
    """What a model must reach to be registered."""

    fid: Annotated[float, Field(gt=0)]
    """Frechet distance from the held out pictures, at most."""
    dino_similarity: Annotated[float, Field(gt=-1, le=1)]
    """Mean cosine with the held out pictures, at least."""


class Config(Settings):
    """``config.yaml`` of this template."""

    base_model: BaseModel
    data: Data
    subject: Subject
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
    steps = ParameterInteger("Steps", default_value=config.hyperparameters.steps)
    rate = ParameterFloat("LearningRate", default_value=config.hyperparameters.learning_rate)
    most_fid = ParameterFloat("FidThreshold", default_value=config.gate.fid)
    least_alike = ParameterFloat(
        "DinoSimilarityThreshold", default_value=config.gate.dino_similarity
    )
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
        inputs={"input/data": data_url},
        outputs=["train", "test"],
        arguments=[
            "--prompt", config.subject.prompt,
            "--resolution", str(config.data.resolution),
            "--test-share", f"{config.data.test:g}",
            "--minimum", str(config.data.minimum_pictures),
            "--seed", str(config.data.seed),
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
            **config.hyperparameters.model_dump(exclude={"steps", "learning_rate"}),
            # Hyperparameters are texts, the parameters are numbers.
            "steps": Join(on="", values=[steps]),
            "learning_rate": Join(on="", values=[rate]),
            "resolution": config.data.resolution,
            "class_prompt": config.subject.class_prompt,
            "base_model": config.base_model.name,
        },
        channels={"train": bench.output(prepare, "train"), "base": base_url},
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
        inputs={
            "model": model_data,
            "base": base_url,
            "test": bench.output(prepare, "test"),
            "input/prompts": bench.document("prompts.json", config.evaluation.prompts),
        },
        outputs=["evaluation", "traffic"],
        arguments=[
            "--prompt", config.subject.prompt,
            "--pictures", str(config.evaluation.pictures),
            "--inference-steps", str(config.evaluation.inference_steps),
            "--guidance-scale", f"{config.evaluation.guidance_scale:g}",
            "--resolution", str(config.data.resolution),
            "--seed", str(config.evaluation.seed),
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
        response_types=["application/json", "image/png"],
        domain="COMPUTER_VISION",
        task="OTHER",
        metrics=told.metrics,
        drift=told.drift,
        metadata={"BaseModel": config.base_model.name},
    )
    alike = gate(
        "LikeTheSubject",
        bench,
        evaluate,
        [
            AtMost("image_metrics.fid", most_fid),
            AtLeast("image_metrics.dino_similarity", least_alike),
        ],
        passed=[*told.steps, version],
        failed="NotTheSubject",
        cause=[
            "The model's pictures have a Frechet distance above", most_fid,
            "or a DINO similarity below", least_alike, "to those of the subject; see",
        ],
    )  # fmt: skip
    parameters = [data_url, base_url, steps, rate, most_fid, least_alike, *types.values()]
    return bench.definition(parameters, [prepare, train, evaluate, alike])
