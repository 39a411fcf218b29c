"""The pipeline: Preprocess -> Tune -> Evaluate -> good enough? -> baselines -> Register, or fail.

Beside it ``StoreFeatures`` keeps what is known of the texts in the project's feature group.
Without ``search`` in ``config.yaml`` one model is trained with the hyperparameters given there, in
a step ``Train``, and the rest is the same. ``containers`` says for processing, training and
inference apart what runs in what: the repository's scripts in SageMaker's image, the same scripts
in the project's own image, or what the own image itself has.
"""

# The SDK's own annotations contradict what it takes and gives.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipelinekit import own_image
from pipelinekit.baselines import Facet, baselines
from pipelinekit.building import Definition, Search, Workbench
from pipelinekit.contract import CONNECTED, Platform
from pipelinekit.own_image import Container, Containers, ImageSettings
from pipelinekit.registration import REPORT, AtLeast, gate, register
from pipelinekit.settings import Image, Job, Project, Section, Serving, Settings, Split

OBJECTIVE = "validation:macro_f1"
SOURCE = ("steps/train.py", "steps/classifier.py", "steps/inference.py")
SCRIPT = {
    # Source: SageMaker Inference Toolkit; the scripts are in the model's own archive.
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}
"""Variables by which an image serves a model by a script."""
COLUMNS = ("label", "characters", "words")
"""Of the records whose bias is measured, as ``steps/evaluate.py`` writes them."""
_METRICS = "multiclass_classification_metrics"


class Data(Split):
    """Where the texts are, and how they are split."""

    minimum_rows: Annotated[int, Field(ge=1)]
    """That each of the three sets must have."""


class Jobs(Section):
    """Where the jobs run."""

    preprocess: Job
    train: Job
    """Also each training job of the search."""
    evaluate: Job
    baselines: Job
    """Each of them."""


class Images(Section):
    """What runs that does not run in the project's own image."""

    sklearn: Image


class Hyperparameters(Section):
    """Of the classifier; what the search has a range for is not taken from here."""

    ngrams: Annotated[int, Field(ge=1, le=3)]
    """Up to how many words that follow each other count as one."""
    buckets: Annotated[int, Field(ge=8, le=20)]
    """Logarithm to base 2 of the number of features that words are hashed to."""
    strength: Annotated[float, Field(gt=0)]
    """Inverse of the regularisation: greater ones follow the data more closely."""


class Whole(Section):
    """A range of whole numbers, both ends included."""

    least: int
    most: int

    @model_validator(mode="after")
    def _ordered(self) -> Whole:
        if self.least >= self.most:
            raise ValueError(f"least {self.least} is not below most {self.most}")
        return self


class Positive(Section):
    """A range of positive numbers, searched on a logarithmic scale."""

    least: Annotated[float, Field(gt=0)]
    most: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Positive:
        if self.least >= self.most:
            raise ValueError(f"least {self.least:g} is not below most {self.most:g}")
        return self


class Tuning(Section):
    """The search for hyperparameters, at random."""

    ngrams: Whole
    strength: Positive
    jobs: Annotated[int, Field(ge=2, le=100)]
    """How many models are trained."""
    parallel: Annotated[int, Field(ge=1, le=10)]
    """How many of them at once."""
    seed: Annotated[int, Field(ge=0)]
    """The same one tries the same hyperparameters."""

    @model_validator(mode="after")
    def _sensible(self) -> Tuning:
        if self.parallel > self.jobs:
            raise ValueError(f"parallel {self.parallel} is more than jobs {self.jobs}")
        if not 1 <= self.ngrams.least < self.ngrams.most <= 3:
            raise ValueError("ngrams are from 1 to 3")
        return self


class Features(Section):
    """What goes into the project's feature group."""

    sets: list[Literal["train", "validation", "test"]]
    """Whose texts' features; without any the step is left out."""


class Gate(Section):
    """What a model must reach on the test set to be registered."""

    macro_f1: Annotated[float, Field(gt=0, lt=1)]
    """Mean of the three labels' F1, at least."""
    lift: Annotated[float, Field(gt=0, lt=1)]
    """By how much it is right more often than always saying the most frequent label, at least."""


class Config(Settings):
    """``config.yaml`` of this template."""

    data: Data
    jobs: Jobs
    containers: Containers
    image: ImageSettings
    """The own image, built when ``containers`` asks for it."""
    images: Images
    hyperparameters: Hyperparameters
    features: Features | None = None
    """None keeps none."""
    search: Tuning | None = None
    """None trains one model with the hyperparameters."""
    gate: Gate
    bias: Facet | None = None
    """Whose bias in the labels of the training data is measured."""
    serving: Serving


def _search(tuning: Tuning) -> Search:
    return Search(
        objective=OBJECTIVE,
        regex=f"{OBJECTIVE}=([0-9.]+);",
        ranges={
            "ngrams": IntegerParameter(tuning.ngrams.least, tuning.ngrams.most, "Linear"),
            "strength": ContinuousParameter(
                tuning.strength.least, tuning.strength.most, "Logarithmic"
            ),
        },
        jobs=tuning.jobs,
        parallel=tuning.parallel,
        seed=tuning.seed,
    )


@dataclass(frozen=True)
class _Ways:
    """What runs where.

    Attributes:
        containers: As configured.
        framework: SageMaker's image.
        own: URI of the project's own image; empty when nothing runs in it.
    """

    containers: Containers
    framework: Image
    own: str

    def image(self, way: Container) -> Image | str:
        """What a script, or an image's own program, runs in."""
        return self.framework if way == "framework" else self.own

    def step(
        self,
        bench: Workbench,
        name: str,
        job: Job,
        *,
        step: str,
        modules: Sequence[str] = (),
        outputs: Sequence[str],
        arguments: Sequence[Any],
        **given: Any,
    ) -> ProcessingStep:
        """A processing step of the repository.

        Args:
            bench: Of the pipeline.
            name: The step's.
            job: Where it runs.
            step: Its script in ``steps/``, which is a command of the own image too.
            modules: What else the script needs, and the image has.
            outputs: Folders that are kept.
            arguments: The script's.
            given: What else :meth:`Workbench.processing` takes.
        """
        way = self.containers.processing
        if way == "own-container":
            return bench.analysis(
                name, job, image=self.own, outputs={folder: folder for folder in outputs},
                environment={}, arguments=[step, *arguments], **given,
            )  # fmt: skip
        return bench.processing(
            name, job, image=self.image(way), script=f"steps/{step}.py", modules=modules,
            outputs=outputs, arguments=arguments, **given,
        )  # fmt: skip


def build(project: Project, platform: Platform, config: Config, folder: Path) -> Definition:
    """The pipeline's definition.

    Args:
        project: The project.
        platform: The development environment.
        config: The settings.
        folder: The repository.

    Raises:
        SettingsError: Something runs in the own image, and it is not built yet.
    """
    bench = Workbench(project, platform, config, folder)
    jobs, containers = config.jobs, config.containers
    own = own_image.uri(project, platform, config.image, folder) if containers.own else ""
    ways = _Ways(containers, config.images.sklearn, own)
    data_url = ParameterString(
        "InputDataUrl",
        default_value=f"s3://{platform.data_bucket}/{project.name}/{config.data.folder}",
    )
    least_f1 = ParameterFloat("MacroF1Threshold", default_value=config.gate.macro_f1)
    least_lift = ParameterFloat("LiftThreshold", default_value=config.gate.lift)
    types = {
        "Preprocess": bench.instance_type("Preprocess", jobs.preprocess),
        "Train": bench.instance_type("Train", jobs.train),
        "Evaluate": bench.instance_type("Evaluate", jobs.evaluate),
        "Baseline": bench.instance_type("Baseline", jobs.baselines),
    }

    preprocess = ways.step(
        bench,
        "Preprocess",
        jobs.preprocess,
        step="preprocess",
        inputs={"input/data": data_url},
        outputs=["train", "validation", "test"],
        arguments=[
            "--shares", config.data.shares,
            "--seed", str(config.data.seed),
            "--minimum-rows", str(config.data.minimum_rows),
            "--data-version", bench.data_version,
        ],
        instance_type=types["Preprocess"],
    )  # fmt: skip
    kept = config.features.sets if config.features else []
    stored: list[ProcessingStep] = []
    if kept:
        step = bench.processing(
            CONNECTED,
            jobs.preprocess,
            # The own image need not have a client of AWS; this one does.
            image=config.images.sklearn,
            script="steps/store_features.py",
            inputs={f"input/{name}": bench.output(preprocess, name) for name in kept},
            outputs=["features"],
            arguments=["--group", project.feature_group, "--region", project.region],
            instance_type=types["Preprocess"],
        )
        stored.append(step)
    how: dict[str, Any] = {
        "image": ways.image(containers.training),
        "channels": {name: bench.output(preprocess, name) for name in ("train", "validation")},
        "instance_type": types["Train"],
        "source": () if containers.training == "own-container" else SOURCE,
    }
    given = config.hyperparameters.model_dump()
    if config.search:
        search = _search(config.search)
        fixed = {name: value for name, value in given.items() if name not in search.ranges}
        train: Any = bench.tuning("Tune", jobs.train, search=search, hyperparameters=fixed, **how)
        model_data = bench.best_model(train)
    else:
        train = bench.training("Train", jobs.train, hyperparameters=given, **how)
        model_data = train.properties.ModelArtifacts.S3ModelArtifacts
    evaluate = ways.step(
        bench,
        "Evaluate",
        jobs.evaluate,
        step="evaluate",
        modules=["steps/classifier.py", "steps/inference.py", "steps/traffic.py"],
        inputs={
            "model": model_data,
            **{name: bench.output(preprocess, name) for name in ("train", "test")},
        },
        outputs=["evaluation", "traffic", "compared", "explanation", "records"],
        arguments=[
            "--minimum-rows",
            str(config.data.minimum_rows),
            "--baselines",
            "/opt/ml/processing",
        ],
        instance_type=types["Evaluate"],
        property_files=[REPORT],
    )
    told = baselines(
        bench,
        jobs.baselines,
        types["Baseline"],
        evaluate,
        problem="MulticlassClassification",
        facet=config.bias,
        records=bench.output(evaluate, "records"),
        columns=COLUMNS,
    )

    version = register(
        bench,
        model_data,
        image=ways.image(containers.inference),
        serving=config.serving,
        content_types=["application/json", "application/jsonlines"],
        response_types=["application/json", "application/jsonlines", "text/csv"],
        domain="NATURAL_LANGUAGE_PROCESSING",
        task="TEXT_CLASSIFICATION",
        metrics=told.metrics,
        drift=told.drift,
        environment={} if containers.inference == "own-container" else SCRIPT,
    )
    enough = gate(
        "GoodEnough",
        bench,
        evaluate,
        [AtLeast(f"{_METRICS}.macro_f1", least_f1), AtLeast(f"{_METRICS}.lift", least_lift)],
        passed=[*told.steps, version],
        failed="NotGoodEnough",
        cause=[
            "On the test set the model's macro F1 is below", least_f1,
            "or its accuracy less than", least_lift,
            "above always saying the most frequent label; see",
        ],
    )  # fmt: skip
    return bench.definition(
        [data_url, least_f1, least_lift, *types.values()],
        [preprocess, *stored, train, evaluate, enough],
    )
