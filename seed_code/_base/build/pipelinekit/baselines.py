"""What a model was trained on and how good it was, so that its endpoint can be compared with it.

Each baseline is a job of its own: SageMaker's Model Monitor describes data and predictions
(``statistics.json``) and suggests what should hold of them later (``constraints.json``); Clarify
measures the bias of the data and of the model's predictions. All of them go with the version:
promotion copies them, and the endpoint's monitoring schedules compare with those of the version
that serves. Where the settings leave these jobs out, what the evaluation itself has measured goes
with the version: the report that the gate decided on, and how much each feature counts. Schedules
of what is missing then stay off.

Sources: SageMaker developer guide, "Create a Baseline" (Model Monitor), "Create a model quality
baseline", "Analysis Configuration Files" (Clarify), "Baseline calculation, drift detection and
lifecycle with ClarifyCheck and QualityCheck steps".
"""

# The SDK's own annotations contradict what it takes and gives.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from sagemaker.core.drift_check_baselines import DriftCheckBaselines
from sagemaker.core.model_metrics import FileSource, MetricsSource, ModelMetrics
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipelinekit.building import Workbench
from pipelinekit.registration import report_url
from pipelinekit.settings import Image, Job, Section

MONITOR = Image(framework="model-monitor", version="latest")
"""Model Monitor's analyzer; there is one, which AWS gives no tag."""
CLARIFY = Image(framework="clarify", version="1.0")

OF_PREDICTIONS = ("AD", "DAR", "DCA", "DCR", "DI", "DPPL", "DRR", "GE", "RD", "SD", "TE")
"""Metrics after training that need neither groups nor the model. Source: SageMaker developer guide,
"Post-training Data and Model Bias Metrics"."""

_INPUT, _OUTPUT = "input/baseline", "output"
_CONFIG, _DATA = "input/config", "input/data"
_ANALYSIS = "analysis_config.json"
_CLARIFY_INPUTS = {_CONFIG: "analysis_config", _DATA: "dataset"}
_RESULT = "analysis_result"
"""Clarify's program looks for its inputs and its one output by these names.
Source: SageMaker developer guide, "Configure a SageMaker Clarify Processing Job"."""
_REPORT = "application/json"


class Facet(Section):
    """Of whom the data may say too little, or something else than of the others."""

    column: Annotated[str, Field(min_length=1)]
    """The column that tells them apart."""
    values: Annotated[list[int | float | str], Field(min_length=1)]
    """Its values of those who may be disadvantaged."""
    favourable: Annotated[list[int | float | str], Field(min_length=1)]
    """Values of the label that are an advantage; for numbers one value: those above it."""


@dataclass(frozen=True)
class Baselines:
    """What goes with a version.

    Attributes:
        steps: The jobs that make them.
        metrics: ``ModelMetrics`` of the version.
        drift: Its ``DriftCheckBaselines``; None where it has none.
    """

    steps: Sequence[ProcessingStep]
    metrics: ModelMetrics
    drift: DriftCheckBaselines | None


def traffic_baseline(
    bench: Workbench, job: Job, instance_type: ParameterString, evaluate: ProcessingStep
) -> Baselines:
    """The step that makes the baseline of a model whose answers nobody labels: of its traffic.

    Args:
        bench: Of the pipeline.
        job: Where the job runs.
        instance_type: Parameter of its instance type.
        evaluate: The evaluation's step. Beside its report it has the output ``traffic``: CSV with a
            header, what monitoring would have seen of the test set's requests and answers.
    """
    evaluated = _source(report_url(bench, evaluate))
    if not bench.settings.baselines:
        return Baselines([], ModelMetrics(model_statistics=evaluated), None)
    data, (statistics, constraints) = _of_traffic(bench, job, instance_type, evaluate)
    return Baselines(
        [data],
        ModelMetrics(
            model_statistics=evaluated,
            model_data_statistics=statistics,
            model_data_constraints=constraints,
        ),
        DriftCheckBaselines(model_data_statistics=statistics, model_data_constraints=constraints),
    )


def _of_traffic(
    bench: Workbench, job: Job, instance_type: ParameterString, evaluate: ProcessingStep
) -> tuple[ProcessingStep, list[MetricsSource]]:
    """The step, its statistics and its constraints."""
    data = bench.analysis(
        "DataBaseline",
        job,
        image=MONITOR,
        inputs={_INPUT: bench.output(evaluate, "traffic")},
        outputs={"baseline-data": _OUTPUT},
        environment=_monitor(),
        instance_type=instance_type,
    )
    return data, [
        _source(Join(on="/", values=[bench.output(data, "baseline-data"), f"{name}.json"]))
        for name in ("statistics", "constraints")
    ]


def baselines(
    bench: Workbench,
    job: Job,
    instance_type: ParameterString,
    evaluate: ProcessingStep,
    *,
    problem: Literal["Regression", "BinaryClassification", "MulticlassClassification"],
    facet: Facet | None,
    records: Any,
    columns: Sequence[str],
    judged: bool = False,
) -> Baselines:
    """Steps that make the baselines of a model.

    The evaluation has these outputs beside its report, each a folder of its name:

    - ``traffic``: CSV with a header: what the endpoint would have answered to the training set, and
      then what it would have been asked, in the order of its requests.
    - ``compared``: CSV with the columns ``label`` and ``prediction``, of the test set.
    - ``explanation``: ``explanation.json``, the report that says how much each feature counts.
    - ``judged``: CSV without a header: the test set, the label first, the model's predictions last.

    Args:
        bench: Of the pipeline.
        job: Where the jobs run.
        instance_type: Parameter of their instance type.
        evaluate: The evaluation's step.
        problem: What the model does.
        facet: Whose bias is measured; None for nobody's.
        records: S3 URI of CSV without a header: the training set, the label first.
        columns: Names of the training set's columns.
        judged: Whether there is the output ``judged``, and the bias of predictions is measured.
    """

    def report(step: ProcessingStep, output: str, file: str) -> MetricsSource:
        return _source(Join(on="/", values=[bench.output(step, output), file]))

    evaluated = _source(report_url(bench, evaluate))
    explained = report(evaluate, "explanation", "explanation.json")
    if not bench.settings.baselines:
        return Baselines(
            [],
            ModelMetrics(model_statistics=evaluated, explainability=explained),
            DriftCheckBaselines(explainability_constraints=explained),
        )
    data, data_files = _of_traffic(bench, job, instance_type, evaluate)
    quality = bench.analysis(
        "QualityBaseline",
        job,
        image=MONITOR,
        inputs={_INPUT: bench.output(evaluate, "compared")},
        outputs={"baseline-quality": _OUTPUT},
        environment={
            **_monitor(),
            "analysis_type": "MODEL_QUALITY",
            "problem_type": problem,
            "ground_truth_attribute": "label",
            "inference_attribute": "prediction",
        },
        instance_type=instance_type,
    )
    quality_files = [
        report(quality, "baseline-quality", f"{name}.json")
        for name in ("statistics", "constraints")
    ]
    steps, bias, predicted, config = [data, quality], None, None, None

    def clarified(name: str, place: str, content: Any, rows: Any) -> MetricsSource:
        measured = bench.analysis(
            name,
            job,
            image=CLARIFY,
            inputs={_CONFIG: bench.document(_ANALYSIS, content), _DATA: rows},
            outputs={_RESULT: _OUTPUT},
            environment={},
            instance_type=instance_type,
            input_names=_CLARIFY_INPUTS,
            places={_RESULT: place},
        )
        steps.append(measured)
        return report(measured, _RESULT, "analysis.json")

    if facet is not None:
        of_data = _bias(facet, columns)
        bias = clarified("BiasBaseline", "baseline-bias", of_data, records)
        config = bench.document(_ANALYSIS, of_data)
        if judged:
            of_model = _bias(facet, columns, OF_PREDICTIONS)
            # The endpoint's monitor has the predictions from the traffic, not from a column.
            config = bench.document("monitoring_config.json", of_model)
            predicted = clarified(
                "ModelBiasBaseline",
                "baseline-model-bias",
                {**of_model, "headers": [*columns, "prediction"], "predicted_label": "prediction"},
                bench.output(evaluate, "judged"),
            )
    return Baselines(
        steps,
        ModelMetrics(
            # What the gate decided on is the evidence; the baseline repeats it for the monitor.
            model_statistics=evaluated,
            model_constraints=quality_files[1],
            model_data_statistics=data_files[0],
            model_data_constraints=data_files[1],
            bias_pre_training=bias,
            bias_post_training=predicted,
            explainability=explained,
        ),
        DriftCheckBaselines(
            model_statistics=quality_files[0],
            model_constraints=quality_files[1],
            model_data_statistics=data_files[0],
            model_data_constraints=data_files[1],
            bias_pre_training_constraints=bias,
            bias_post_training_constraints=predicted,
            bias_config_file=FileSource(s3_uri=config, content_type=_REPORT) if config else None,
            explainability_constraints=explained,
        ),
    )


def _source(uri: Any) -> MetricsSource:
    return MetricsSource(content_type=_REPORT, s3_uri=uri)


def _monitor() -> dict[str, str]:
    return {
        "dataset_format": json.dumps({"csv": {"header": True}}),
        "dataset_source": f"/opt/ml/processing/{_INPUT}",
        "output_path": f"/opt/ml/processing/{_OUTPUT}",
        "publish_cloudwatch_metrics": "Disabled",
    }


def _bias(facet: Facet, columns: Sequence[str], predicted: Sequence[str] = ()) -> dict[str, Any]:
    of_predictions = {"post_training_bias": {"methods": list(predicted)}} if predicted else {}
    return {
        "dataset_type": "text/csv",
        "headers": list(columns),
        "label": columns[0],
        "label_values_or_threshold": facet.favourable,
        "facet": [{"name_or_index": facet.column, "value_or_threshold": facet.values}],
        "methods": {
            "pre_training_bias": {"methods": ["CI", "DPL", "KL", "JS", "LP", "TVD", "KS"]},
            **of_predictions,
            "report": {
                "name": "report",
                "title": "Bias of the predictions" if predicted else "Bias of the training data",
            },
        },
    }
