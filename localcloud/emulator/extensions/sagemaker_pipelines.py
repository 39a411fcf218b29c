"""Emulated SageMaker pipelines: moto's executions succeed at once and run nothing."""

from __future__ import annotations

from localcloud.emulator.extension import Context, Params, operation
from localcloud.emulator.jobs import pipelines
from localcloud.emulator.jobs.job import page
from localcloud.emulator.jobs.place import Place

_SERVICE = "sagemaker"


@operation(_SERVICE, "CreatePipeline")
def create_pipeline(ctx: Context, params: Params) -> Params:
    """Keeps a pipeline whose definition can be run."""
    return pipelines.create(ctx, params)


@operation(_SERVICE, "UpdatePipeline")
def update_pipeline(ctx: Context, params: Params) -> Params:
    """Changes a pipeline."""
    return pipelines.update(ctx, params)


@operation(_SERVICE, "DescribePipeline")
def describe_pipeline(ctx: Context, params: Params) -> Params:
    """A pipeline."""
    return pipelines.get(Place.of(ctx), params["PipelineName"]).description()


@operation(_SERVICE, "ListPipelines")
def list_pipelines(ctx: Context, params: Params) -> Params:
    """Pipelines of the account and region."""
    return pipelines.summaries(Place.of(ctx), params)


@operation(_SERVICE, "DeletePipeline")
def delete_pipeline(ctx: Context, params: Params) -> Params:
    """Removes a pipeline."""
    return pipelines.delete(Place.of(ctx), params)


@operation(_SERVICE, "StartPipelineExecution")
def start_execution(ctx: Context, params: Params) -> Params:
    """Begins an execution."""
    return pipelines.start(ctx, params)


@operation(_SERVICE, "StopPipelineExecution")
def stop_execution(ctx: Context, params: Params) -> Params:
    """Stops an execution."""
    return pipelines.stop(Place.of(ctx), params["PipelineExecutionArn"])


@operation(_SERVICE, "RetryPipelineExecution")
def retry_execution(ctx: Context, params: Params) -> Params:
    """Runs the failed steps of an execution once more."""
    return pipelines.retry(Place.of(ctx), params["PipelineExecutionArn"])


@operation(_SERVICE, "UpdatePipelineExecution")
def update_execution(ctx: Context, params: Params) -> Params:
    """Changes an execution's names and parallelism."""
    return pipelines.change(Place.of(ctx), params)


@operation(_SERVICE, "DescribePipelineExecution")
def describe_execution(ctx: Context, params: Params) -> Params:
    """An execution as it is now."""
    return pipelines.execution(Place.of(ctx), params["PipelineExecutionArn"]).description()


@operation(_SERVICE, "DescribePipelineDefinitionForExecution")
def describe_definition(ctx: Context, params: Params) -> Params:
    """The definition that an execution was begun with."""
    found = pipelines.execution(Place.of(ctx), params["PipelineExecutionArn"])
    return {"PipelineDefinition": found.text, "CreationTime": found.created}


@operation(_SERVICE, "ListPipelineExecutions")
def list_executions(ctx: Context, params: Params) -> Params:
    """Executions of a pipeline."""
    return pipelines.list_executions(Place.of(ctx), params)


@operation(_SERVICE, "ListPipelineExecutionSteps")
def list_steps(ctx: Context, params: Params) -> Params:
    """Steps of an execution."""
    return pipelines.list_steps(Place.of(ctx), params)


@operation(_SERVICE, "ListPipelineParametersForExecution")
def list_parameters(ctx: Context, params: Params) -> Params:
    """The parameters that an execution was begun with."""
    found = pipelines.execution(Place.of(ctx), params["PipelineExecutionArn"])
    return page(found.parameters, "PipelineParameters", params)
