"""Emulated hyperparameter tuning: moto's jobs launch nothing."""

from __future__ import annotations

from localcloud.emulator.extension import Context, Params, operation
from localcloud.emulator.jobs import job as jobs
from localcloud.emulator.jobs import tuning

_SERVICE = "sagemaker"


@operation(_SERVICE, "CreateHyperParameterTuningJob")
def create(ctx: Context, params: Params) -> Params:
    """Launches training jobs and finds the best."""
    return tuning.create(ctx, params)


@operation(_SERVICE, "DescribeHyperParameterTuningJob")
def describe(ctx: Context, params: Params) -> Params:
    """A tuning job as it is now."""
    return jobs.get(ctx, tuning.TUNING, params["HyperParameterTuningJobName"]).description


@operation(_SERVICE, "StopHyperParameterTuningJob")
def stop(ctx: Context, params: Params) -> Params:
    """Stops a tuning job and the training jobs that it has launched."""
    jobs.stop(ctx, tuning.TUNING, params)
    return {}


@operation(_SERVICE, "ListHyperParameterTuningJobs")
def list_jobs(ctx: Context, params: Params) -> Params:
    """Tuning jobs of the account and region."""
    return tuning.summaries(ctx, params)


@operation(_SERVICE, "ListTrainingJobsForHyperParameterTuningJob")
def list_training_jobs(ctx: Context, params: Params) -> Params:
    """Training jobs of a tuning job."""
    return tuning.training_jobs(ctx, params)


@operation(_SERVICE, "DeleteHyperParameterTuningJob")
def delete(ctx: Context, params: Params) -> Params:
    """Forgets a tuning job that has ended; its training jobs stay."""
    tuning.delete(ctx, params)
    return {}
