"""Tuning jobs: training jobs with hyperparameters that a search proposes, and the best of them.

Random search and grid search are done as SageMaker documents them; what else there is (Bayesian
optimisation, Hyperband, early stopping, warm starts) is refused by name. The training jobs are
ordinary ones, so their logs, artifacts and failures are real.
"""

from __future__ import annotations

import itertools
import math
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from botocore.exceptions import ClientError

from localcloud.emulator.extension import ApiError, Context, Params
from localcloud.emulator.jobs.job import (
    FINISHED,
    TRAINING,
    Job,
    JobError,
    Kind,
    StoppedError,
    page,
    refuse,
    select,
    submit,
)
from localcloud.emulator.jobs.place import Place, now

TUNING = Kind(
    noun="HyperParameterTuningJob",
    path="hyper-parameter-tuning-job",
    store="tuning_jobs",
    log_group="",
    # Source: SageMaker developer guide, "Events that SageMaker AI sends to Amazon EventBridge".
    detail_type="SageMaker HyperParameter Tuning Job State Change",
    started="CreationTime",
    ended="HyperParameterTuningEndTime",
    listed=(),
)
OBJECTIVE = "_tuning_objective_metric"
"""Hyperparameter by which a training job learns what is optimised.
Source: SageMaker Training Toolkit, whose scripts do not get it as an argument."""

_POLL_SECONDS = 0.1
_WITHOUT_METRIC = 5  # training jobs after which a tuning job gives up on its objective
_NOT_HERE = {
    "WarmStartConfig": "warm starts",
    "Autotune": "autotune",
    "TrainingJobDefinitions": "several training job definitions",
}
_CONFIG_NOT_HERE = {"StrategyConfig": "settings of Hyperband"}
_LIMITS_NOT_HERE = {"MaxRuntimeInSeconds": "limit of the time of all"}
_CRITERIA_NOT_HERE = {
    "BestObjectiveNotImproving": "end without improvement",
    "ConvergenceDetected": "detection of convergence",
}
_DEFINITION_NOT_HERE = {
    "HyperParameterTuningResourceConfig": "choice of instances",
    "TuningObjective": "objective of a definition",
    "HyperParameterRanges": "ranges of a definition",
}
_PASSED_ON = (
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "RetryStrategy",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "Environment",
    "AlgorithmSpecification",
)
_COUNTED = {
    "InProgress": "InProgress",
    "Stopping": "InProgress",
    "Completed": "Completed",
    "Stopped": "Stopped",
    "Failed": "NonRetryableError",
}


# -- what is searched ------------------------------------------------------------------------------


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationException", message)


def _ranges(config: Params) -> dict[str, Params]:
    """Name -> range, with its kind.

    Raises:
        ApiError: A range is twice there, or is none.
    """
    given: Params = config.get("ParameterRanges") or {}
    found: dict[str, Params] = {}
    for kind in ("Integer", "Continuous", "Categorical"):
        for item in given.get(f"{kind}ParameterRanges") or []:
            name = item["Name"]
            if name in found:
                raise _invalid(f"Hyperparameter {name} has two ranges.")
            found[name] = {**item, "Kind": kind}
            if kind != "Categorical":
                _check_range(name, found[name])
    if not found:
        raise _invalid("HyperParameterTuningJobConfig.ParameterRanges has no range.")
    return found


def _check_range(name: str, given: Params) -> None:
    number = int if given["Kind"] == "Integer" else float
    try:
        low, high = number(given["MinValue"]), number(given["MaxValue"])
    except ValueError:
        raise _invalid(
            f"The range of {name} is {given['MinValue']} to {given['MaxValue']}: expected"
            f" {'whole ' if number is int else ''}numbers."
        ) from None
    if not low < high:
        raise _invalid(f"The range of {name} is {low} to {high}: it is empty.")
    scaling = given.get("ScalingType", "Auto")
    if scaling == "Logarithmic" and low <= 0:
        raise _invalid(f"The range of {name} begins at {low}: a logarithmic one is above 0.")
    if scaling == "ReverseLogarithmic" and (number is int or low < 0 or high >= 1):
        raise _invalid(
            f"The range of {name} is {low} to {high}: a reverse logarithmic one is continuous,"
            " from 0 on and below 1."
        )


def _drawn(given: Params, chance: random.Random) -> str:
    """A value of a range; ``Auto`` is taken as linear."""
    if given["Kind"] == "Categorical":
        return str(chance.choice(given["Values"]))
    whole = given["Kind"] == "Integer"
    low, high = float(given["MinValue"]), float(given["MaxValue"])
    scaling = given.get("ScalingType", "Auto")
    if scaling == "Logarithmic":
        value = math.exp(chance.uniform(math.log(low), math.log(high)))
    elif scaling == "ReverseLogarithmic":
        value = 1 - math.exp(chance.uniform(math.log(1 - high), math.log(1 - low)))
    elif whole:
        return str(chance.randint(int(low), int(high)))
    else:
        value = chance.uniform(low, high)
    value = min(high, max(low, value))
    return str(round(value)) if whole else repr(value)


def proposals(config: Params) -> Iterator[dict[str, str]]:
    """Hyperparameters for one training job after the other.

    The same ``RandomSeed`` gives the same ones. Random search never ends by itself, grid search
    does. Source: SageMaker developer guide, "Understand the hyperparameter tuning strategies".

    Args:
        config: ``HyperParameterTuningJobConfig``.

    Raises:
        ApiError: Ranges are wrong, or not what the strategy can search.
    """
    ranges = _ranges(config)
    if config["Strategy"] == "Grid":
        others = [name for name, item in ranges.items() if item["Kind"] != "Categorical"]
        if others:
            raise _invalid(f"Grid search takes categorical ranges only; {others[0]} is none.")
        values = [cast("list[str]", item["Values"]) for item in ranges.values()]
        combined = [dict(zip(ranges, each, strict=True)) for each in itertools.product(*values)]
        most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
        if most not in (None, len(combined)):
            raise _invalid(
                f"The grid has {len(combined)} combinations and MaxNumberOfTrainingJobs is {most}:"
                " leave it out, or give that number."
            )
        return iter(combined)
    chance = random.Random(config.get("RandomSeed"))  # noqa: S311 - a search, not a secret
    return ({n: _drawn(r, chance) for n, r in ranges.items()} for _ in itertools.count())


def _checked(params: Params) -> None:
    """Refuses what cannot be done here, and what SageMaker refuses."""
    refuse(params, _NOT_HERE, "tuning jobs")
    config: Params = params["HyperParameterTuningJobConfig"]
    refuse(config, _CONFIG_NOT_HERE, "tuning jobs")
    limits: Params = config["ResourceLimits"]
    refuse(limits, _LIMITS_NOT_HERE, "tuning jobs")
    criteria = config.get("TuningJobCompletionCriteria") or {}
    refuse(criteria, _CRITERIA_NOT_HERE, "tuning jobs")
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        refuse(config, {"TrainingJobEarlyStoppingType": "early stopping"}, "tuning jobs")
    if config["Strategy"] not in ("Random", "Grid"):
        refuse(config, {"Strategy": f"{config['Strategy']} search, only Random and Grid"},
               "tuning jobs")  # fmt: skip
    definition: Params | None = params.get("TrainingJobDefinition")
    if definition is None:
        raise _invalid("TrainingJobDefinition is required.")
    refuse(definition, _DEFINITION_NOT_HERE, "tuning jobs")
    if "ResourceConfig" not in definition:
        raise _invalid("TrainingJobDefinition.ResourceConfig is required.")
    objective: Params | None = config.get("HyperParameterTuningJobObjective")
    if objective is None:
        raise _invalid("HyperParameterTuningJobObjective is required.")
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions") or []
    names = [item["Name"] for item in metrics]
    if names and objective["MetricName"] not in names:
        raise _invalid(
            f"The objective metric {objective['MetricName']} has no metric definition; there are"
            f" {', '.join(names)}."
        )
    both = sorted(set(_ranges(config)) & set(definition.get("StaticHyperParameters") or {}))
    if both:
        raise _invalid(f"Hyperparameters {', '.join(both)} are both static and tuned.")
    most, beside = limits.get("MaxNumberOfTrainingJobs"), limits["MaxParallelTrainingJobs"]
    if config["Strategy"] != "Grid" and most is None:
        raise _invalid("MaxNumberOfTrainingJobs is required.")
    if most is not None and beside > most:
        raise _invalid(
            f"MaxParallelTrainingJobs is {beside}, more than MaxNumberOfTrainingJobs, {most}."
        )
    proposals(config)


# -- the job ---------------------------------------------------------------------------------------


def create(ctx: Context, params: Params) -> Params:
    """Begins a tuning job.

    Raises:
        ApiError: Something is wrong with it, or the local cloud has no way to do it.
    """
    _checked(params)
    place, name = Place.of(ctx), params["HyperParameterTuningJobName"]
    arn = place.arn(f"{TUNING.path}/{name}")
    definition = params["TrainingJobDefinition"]
    subnets = (definition.get("VpcConfig") or {}).get("Subnets") or []
    task = place.task(definition["RoleArn"], "SageMaker", arn, subnets)
    description = {
        **{member: value for member, value in params.items() if member != "Tags"},
        "HyperParameterTuningJobArn": arn,
        "HyperParameterTuningJobStatus": "InProgress",
        "CreationTime": now(),
        "LastModifiedTime": now(),
        **_counters([]),
    }
    job = Job(TUNING, place, description, task, place.environment(task), isolated=False)
    return submit(job, params, _work)


def _children(job: Job) -> list[Job]:
    """The training jobs that it has launched, oldest first."""
    every: Sequence[Job] = list(job.place.things(TRAINING.store).values())
    return [one for one in every if one.description.get("TuningJobArn") == job.arn]


def _work(job: Job) -> None:
    config: Params = job.description["HyperParameterTuningJobConfig"]
    limits: Params = config["ResourceLimits"]
    most = int(limits.get("MaxNumberOfTrainingJobs") or 0)
    wanted = (config.get("TuningJobCompletionCriteria") or {}).get("TargetObjectiveMetricValue")
    search = proposals(config)
    launched, told = 0, False
    while True:
        children = _children(job)
        running = [one for one in children if one.state not in FINISHED]
        ended = [one for one in children if one.state in FINISHED]
        summaries = [_summary(job, one) for one in children]
        _tell(job, summaries)
        best = _best(summaries)
        stopping = job.stopping.is_set() or job.place.compute.stopping.is_set()
        reached = wanted is not None and best is not None and _good(best, float(wanted))
        useless = len(ended) >= _WITHOUT_METRIC and best is None
        if (stopping or reached or useless) and not told:
            told = True
            _stop(job, running)
        more = not told and (not most or launched < most)
        while more and len(running) < limits["MaxParallelTrainingJobs"]:
            chosen = next(search, None)
            if chosen is None or (most and launched >= most):
                more = False
                break
            launched += 1
            try:
                running.append(_launch(job, launched, chosen))
            except JobError:
                # Nobody would tell of those that go on.
                _stop(job, running)
                raise
        if not running and not more:
            break
        time.sleep(_POLL_SECONDS)
    if stopping:
        raise StoppedError
    if best is None:
        raise JobError(_nothing(summaries))


def _nothing(summaries: Sequence[Params]) -> str:
    """Why no training job is the best."""
    failed = [one for one in summaries if one["TrainingJobStatus"] == "Failed"]
    if len(failed) == len(summaries):
        first = failed[0].get("FailureReason", "") if failed else ""
        return (
            "All training jobs failed. Please take a look at the training jobs failures to get more"
            f" details. The first: {first}"
        )
    return (
        f"No objective metrics found after running {len(summaries)} training jobs. Please ensure"
        " that the custom algorithm is emitting the objective metric as defined by the regular"
        " expression provided."
    )


def _launch(job: Job, number: int, chosen: Mapping[str, str]) -> Job:
    """Begins one training job, as SageMaker itself: its role was passed with the tuning job."""
    given: Params = job.description["TrainingJobDefinition"]
    objective = job.description["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    name = f"{job.name}-{number:03d}-{uuid.uuid4().hex[:8]}"
    tags = job.place.tags(job.arn)
    request: Params = {
        "TrainingJobName": name,
        **{member: given[member] for member in _PASSED_ON if member in given},
        "HyperParameters": {
            **(given.get("StaticHyperParameters") or {}),
            **chosen,
            OBJECTIVE: objective["MetricName"],
        },
        # Source: CreateHyperParameterTuningJob in SageMaker's API reference, Tags.
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
    }
    try:
        job.place.client("sagemaker").create_training_job(**request)
    except ClientError as error:
        raise JobError(f"ClientError: training job {name} cannot be launched: {error}") from error
    child = cast(Job, job.place.things(TRAINING.store)[name])
    child.change(TuningJobArn=job.arn)
    return child


def _stop(job: Job, running: Sequence[Job]) -> None:
    for one in running:
        try:
            job.place.client("sagemaker").stop_training_job(TrainingJobName=one.name)
        except ClientError:
            # It has ended by itself meanwhile.
            continue


# -- what it tells ---------------------------------------------------------------------------------


def _tell(job: Job, summaries: Sequence[Params]) -> None:
    """Keeps the counters and the best training job, where they have changed."""
    told = _counters(summaries)
    best = _best(summaries)
    if best is not None:
        told["BestTrainingJob"] = best
    if any(job.description.get(member) != value for member, value in told.items()):
        job.change(**told)


def _counters(summaries: Sequence[Params]) -> Params:
    by_status = dict.fromkeys(("RetryableError", *_COUNTED.values()), 0)
    by_objective = {"Succeeded": 0, "Pending": 0, "Failed": 0}
    for one in summaries:
        by_status[_COUNTED[one["TrainingJobStatus"]]] += 1
        by_objective[one["ObjectiveStatus"]] += 1
    return {"TrainingJobStatusCounters": by_status, "ObjectiveStatusCounters": by_objective}


def _summary(job: Job, child: Job) -> Params:
    """A training job, as lists of a tuning job's have it."""
    config = job.description["HyperParameterTuningJobConfig"]
    objective, said = config["HyperParameterTuningJobObjective"], child.description
    values = {item["MetricName"]: item["Value"] for item in said.get("FinalMetricDataList") or []}
    value = values.get(objective["MetricName"])
    finished = said["TrainingJobStatus"] in FINISHED
    measured = finished and value is not None and math.isfinite(value)
    usable = measured and said["TrainingJobStatus"] != "Failed"
    hyperparameters = said["HyperParameters"]
    members = ("TrainingStartTime", "TrainingEndTime", "FailureReason")
    return {
        "TrainingJobName": child.name,
        "TrainingJobArn": child.arn,
        "CreationTime": said["CreationTime"],
        "TrainingJobStatus": said["TrainingJobStatus"],
        "TunedHyperParameters": {name: hyperparameters[name] for name in _ranges(config)},
        "ObjectiveStatus": "Succeeded" if usable else "Failed" if finished else "Pending",
        **{member: said[member] for member in members if member in said},
        **(
            {
                "FinalHyperParameterTuningJobObjectiveMetric": {
                    "Type": objective["Type"],
                    "MetricName": objective["MetricName"],
                    "Value": value,
                }
            }
            if usable
            else {}
        ),
    }


def _value(summary: Params) -> float:
    return float(summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def _measured(summaries: Sequence[Params]) -> list[Params]:
    return [one for one in summaries if one["ObjectiveStatus"] == "Succeeded"]


def _best(summaries: Sequence[Params]) -> Params | None:
    measured = _measured(summaries)
    if not measured:
        return None
    kind = measured[0]["FinalHyperParameterTuningJobObjectiveMetric"]["Type"]
    return (max if kind == "Maximize" else min)(measured, key=_value)


def _good(summary: Params, wanted: float) -> bool:
    kind = summary["FinalHyperParameterTuningJobObjectiveMetric"]["Type"]
    return _value(summary) >= wanted if kind == "Maximize" else _value(summary) <= wanted


def _get(ctx: Context, params: Params) -> Job:
    job = Place.of(ctx).things(TUNING.store).get(params["HyperParameterTuningJobName"])
    if job is None:
        raise ApiError("ResourceNotFound", "Requested resource not found.")
    return cast(Job, job)


def delete(ctx: Context, params: Params) -> None:
    """Forgets a tuning job; refused while it runs.

    Raises:
        ApiError: There is none, or it has not ended.
    """
    job = _get(ctx, params)
    if job.state not in FINISHED:
        raise _invalid(f"{job.arn} is {job.state}: stop it first.")
    del job.place.things(TUNING.store)[job.name]
    job.place.forget_tags(job.arn)


def training_jobs(ctx: Context, params: Params) -> Params:
    """A page of the training jobs of a tuning job.

    Source: ListTrainingJobsForHyperParameterTuningJob in SageMaker's API reference: those without a
    final metric are not listed when that is what they are ordered by.
    """
    job = _get(ctx, params)
    items = [_summary(job, child) for child in _children(job)]
    wanted = params.get("StatusEquals")
    items = [item for item in items if wanted in (None, item["TrainingJobStatus"])]
    by, descending = params.get("SortBy", "Name"), params.get("SortOrder") == "Descending"
    if by == "FinalObjectiveMetricValue":
        ordered = sorted(_measured(items), key=_value, reverse=descending)
    else:
        members = {"CreationTime": "CreationTime", "Status": "TrainingJobStatus"}
        member = members.get(by, "TrainingJobName")
        ordered = sorted(items, key=lambda item: item[member], reverse=descending)
    return page(ordered, "TrainingJobSummaries", params, 10)


def summaries(ctx: Context, params: Params) -> Params:
    """A page of tuning jobs."""
    jobs = [job.description for job in Place.of(ctx).things(TUNING.store).values()]
    wanted = params.get("StatusEquals")
    chosen = [one for one in jobs if wanted in (None, one[TUNING.status])]
    members = (
        "HyperParameterTuningJobName", "HyperParameterTuningJobArn",
        "HyperParameterTuningJobStatus", "CreationTime", "LastModifiedTime",
        "HyperParameterTuningEndTime", "TrainingJobStatusCounters", "ObjectiveStatusCounters",
    )  # fmt: skip
    items = [
        {
            **{member: one[member] for member in members if member in one},
            "Strategy": one["HyperParameterTuningJobConfig"]["Strategy"],
            "ResourceLimits": one["HyperParameterTuningJobConfig"]["ResourceLimits"],
        }
        for one in select(chosen, params, TUNING.name, TUNING.status)
    ]
    return page(items, "HyperParameterTuningJobSummaries", params, 10)
