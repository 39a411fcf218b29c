"""From a measured model to a registered version: the report, the gate that reads it, the version.

A version always waits for a person: who may start the pipeline cannot approve by a parameter.
"""

# The SDK's own annotations contradict what it takes and gives.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker.core.drift_check_baselines import DriftCheckBaselines
from sagemaker.core.model_metrics import ModelMetrics
from sagemaker.core.workflow.conditions import (
    ConditionGreaterThanOrEqualTo,
    ConditionLessThanOrEqualTo,
)
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import ProcessingStep
from sagemaker.serve.model_builder import ModelBuilder

from pipelinekit.building import Workbench
from pipelinekit.settings import Image, Serving

REPORT = PropertyFile(name="EvaluationReport", output_name="evaluation", path="evaluation.json")
"""What an evaluation writes: the step has it as a property file and keeps its folder."""


@dataclass(frozen=True)
class AtMost:
    """A metric of the report must not be above a parameter.

    Attributes:
        metric: Its path in the report, without ``value``.
        limit: The parameter.
    """

    metric: str
    limit: ParameterFloat


@dataclass(frozen=True)
class AtLeast:
    """A metric of the report must not be below a parameter.

    Attributes:
        metric: Its path in the report, without ``value``.
        limit: The parameter.
    """

    metric: str
    limit: ParameterFloat


_CONDITIONS = {AtMost: ConditionLessThanOrEqualTo, AtLeast: ConditionGreaterThanOrEqualTo}


def report_url(bench: Workbench, evaluate: ProcessingStep) -> Join:
    """S3 URI of the report of an evaluation."""
    return Join(on="/", values=[bench.output(evaluate, REPORT.output_name), REPORT.path])


def gate(
    name: str,
    bench: Workbench,
    evaluate: ProcessingStep,
    limits: Sequence[AtMost | AtLeast],
    *,
    passed: Sequence[Any],
    failed: str,
    cause: Sequence[Any],
) -> ConditionStep:
    """The step that lets only a model go on that keeps all limits.

    Args:
        name: The step's.
        bench: Of the pipeline.
        evaluate: The step with :data:`REPORT` among its property files.
        limits: Of the report's metrics.
        passed: Steps for a model that keeps them.
        failed: Name of the step that ends the execution for another one.
        cause: What that step says, up to the report's address.
    """
    conditions = [
        _CONDITIONS[type(limit)](
            left=JsonGet(
                step_name=evaluate.name, property_file=REPORT, json_path=f"{limit.metric}.value"
            ),
            right=limit.limit,
        )
        for limit in limits
    ]
    said = Join(on=" ", values=[*cause, report_url(bench, evaluate)])
    return ConditionStep(
        name,
        conditions=conditions,
        if_steps=list(passed),
        else_steps=[FailStep(failed, error_message=said)],
    )


def register(
    bench: Workbench,
    model_data: Any,
    *,
    image: Image | str,
    serving: Serving,
    content_types: Sequence[str],
    response_types: Sequence[str],
    domain: str,
    task: str,
    metrics: ModelMetrics,
    scope: str | None = None,
    drift: DriftCheckBaselines | None = None,
    environment: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> ModelStep:
    """The step that registers a version, which waits for approval.

    Args:
        bench: Of the pipeline.
        model_data: S3 URI of the model's archive.
        image: What serves it.
        serving: On what.
        content_types: Media types that it takes.
        response_types: Media types that it answers with.
        domain: Machine-learning domain, as ``CreateModelPackage`` has them.
        task: Of the domain.
        metrics: Measured of the model.
        scope: As of :meth:`Workbench.image`.
        drift: What its endpoint is compared with.
        environment: Of the container that serves it.
        metadata: Customer metadata beside those of every version.
    """
    types = list(serving.instance_types)
    builder = ModelBuilder(
        image_uri=bench.image(image, types[0], scope),
        s3_model_data_url=model_data,
        role_arn=bench.job_role,
        env_vars=dict(environment or {}),
        sagemaker_session=bench.session,
    )
    return ModelStep(
        "Register",
        step_args=builder.register(
            model_package_group_name=bench.project.pipeline,
            description=bench.settings.description,
            content_types=list(content_types),
            response_types=list(response_types),
            inference_instances=types,
            transform_instances=types,
            domain=domain,
            task=task,
            approval_status="PendingManualApproval",
            model_metrics=metrics,
            drift_check_baselines=drift,
            metadata_properties=bench.lineage(),
            customer_metadata_properties={**bench.metadata(), **(metadata or {})},
        ),
        retry_policies=bench.service_retries(),
    )
