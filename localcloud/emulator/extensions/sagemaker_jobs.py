"""Emulated SageMaker jobs: moto's complete at once and run nothing."""

from __future__ import annotations

from localcloud.emulator.extension import Context, Params, operation
from localcloud.emulator.jobs import job as jobs
from localcloud.emulator.jobs import processing, training, transform
from localcloud.emulator.jobs.job import PROCESSING, TRAINING, TRANSFORM, Kind

_SERVICE = "sagemaker"
_KINDS = {kind.noun: kind for kind in (PROCESSING, TRAINING, TRANSFORM)}


def _kind(ctx: Context) -> Kind:
    return next(kind for noun, kind in _KINDS.items() if noun in ctx.operation)


@operation(_SERVICE, "CreateProcessingJob")
def create_processing(ctx: Context, params: Params) -> Params:
    """Runs a program on data from S3."""
    return processing.create(ctx, params)


@operation(_SERVICE, "CreateTrainingJob")
def create_training(ctx: Context, params: Params) -> Params:
    """Trains a model."""
    return training.create(ctx, params)


@operation(_SERVICE, "CreateTransformJob")
def create_transform(ctx: Context, params: Params) -> Params:
    """Predicts on objects in S3."""
    return transform.create(ctx, params)


@operation(_SERVICE, *(f"Describe{noun}" for noun in _KINDS))
def describe(ctx: Context, params: Params) -> Params:
    """A job as it is now."""
    kind = _kind(ctx)
    return jobs.get(ctx, kind, params[kind.name]).description


@operation(_SERVICE, *(f"Stop{noun}" for noun in _KINDS))
def stop(ctx: Context, params: Params) -> Params:
    """Stops a job."""
    jobs.stop(ctx, _kind(ctx), params)
    return {}


@operation(_SERVICE, *(f"List{noun}s" for noun in _KINDS))
def list_jobs(ctx: Context, params: Params) -> Params:
    """Jobs of the account and region."""
    return jobs.summaries(ctx, _kind(ctx), params)
