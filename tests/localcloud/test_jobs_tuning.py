"""Tuning jobs launch real training jobs, and find the best of them."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from localcloud.emulator.jobs import tuning
from tests.localcloud.jobs_world import (
    BUCKET,
    DONE,
    SKLEARN,
    TRUST,
    World,
    archive,
    channel,
    job_policy,
    world,
)
from tests.localcloud.kit import until

SCRIPT = """
import argparse, os, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float)
parser.add_argument("--depth", type=int)
parser.add_argument("--mode")
given = parser.parse_args()
if given.mode == "wait":
    time.sleep(60)
if given.mode == "fail":
    raise SystemExit("the data is bad")
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(str(given.alpha))
if given.mode != "mute":
    print(f"quality={1 - (given.alpha - 0.5) ** 2:.6f};")
"""
OBJECTIVE = {"Type": "Maximize", "MetricName": "quality"}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("tuning")) as made:
        yield made


def config(**changes: Any) -> dict[str, Any]:
    return {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": OBJECTIVE,
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "ContinuousParameterRanges": [
                {"Name": "alpha", "MinValue": "0", "MaxValue": "1", "ScalingType": "Linear"}
            ],
            "IntegerParameterRanges": [{"Name": "depth", "MinValue": "2", "MaxValue": "5"}],
        },
        "RandomSeed": 7,
        **changes,
    }


def definition(jobs: World, mode: str = "fine", **changes: Any) -> dict[str, Any]:
    code = jobs.put("code/tuned/sourcedir.tar.gz", archive({"train.py": SCRIPT.encode()}))
    return {
        "AlgorithmSpecification": {
            "TrainingImage": SKLEARN,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "quality", "Regex": "quality=([0-9.]+);"}],
        },
        "StaticHyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
            "mode": mode,
        },
        "RoleArn": jobs.role,
        "InputDataConfig": [channel("code", code)],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/tuned", "KmsKeyId": jobs.key},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
            "VolumeKmsKeyId": jobs.key,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 90},
        "VpcConfig": jobs.vpc_config,
        "EnableNetworkIsolation": True,
        **changes,
    }


def start(jobs: World, name: str, sagemaker: Any = None, **given: Any) -> None:
    given.setdefault("TrainingJobDefinition", definition(jobs))
    given.setdefault("HyperParameterTuningJobConfig", config())
    (sagemaker or jobs.sagemaker).create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        Tags=[{"Key": "team", "Value": "blue"}],
        **given,
    )


def describe(jobs: World, name: str) -> dict[str, Any]:
    return jobs.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def ended(jobs: World, name: str) -> dict[str, Any]:
    return until(
        lambda: describe(jobs, name), lambda job: job["HyperParameterTuningJobStatus"] in DONE
    )


def children(jobs: World, name: str, **order: str) -> list[dict[str, Any]]:
    return jobs.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, **order
    )["TrainingJobSummaries"]


def metric(summary: dict[str, Any]) -> float:
    return float(summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def refusal(jobs: World, **given: Any) -> str:
    with pytest.raises(ClientError) as refused:
        start(jobs, "refused", **given)
    return str(refused.value)


def test_the_best_of_real_training_jobs_is_found(jobs: World) -> None:
    start(jobs, "search")
    found = ended(jobs, "search")
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert found["TrainingJobStatusCounters"]["Completed"] == 3
    ranked = children(jobs, "search", SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    assert [metric(one) for one in ranked] == sorted(map(metric, ranked), reverse=True)
    best = found["BestTrainingJob"]
    assert best["TrainingJobName"] == ranked[0]["TrainingJobName"]
    for one in ranked:
        alpha = float(one["TunedHyperParameters"]["alpha"])
        assert metric(one) == pytest.approx(1 - (alpha - 0.5) ** 2, abs=1e-6)
    job = jobs.sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert job["TuningJobArn"] == found["HyperParameterTuningJobArn"]
    assert job["HyperParameters"]["_tuning_objective_metric"] == "quality"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == (
        f"s3://{BUCKET}/tuned/{best['TrainingJobName']}/output/model.tar.gz"
    )
    tags = jobs.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert {"Key": "team", "Value": "blue"} in tags
    names = [one["HyperParameterTuningJobName"] for one in jobs.sagemaker.
             list_hyper_parameter_tuning_jobs(NameContains="sear")
             ["HyperParameterTuningJobSummaries"]]  # fmt: skip
    assert names == ["search"]
    proposed = list(itertools.islice(tuning.proposals(config()), 3))
    assert sorted(one["TunedHyperParameters"]["alpha"] for one in ranked) == sorted(
        one["alpha"] for one in proposed
    )


def test_a_search_without_a_training_job_that_succeeds_has_failed(jobs: World) -> None:
    small = config(ResourceLimits={"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1})
    for mode in ("fail", "mute"):
        start(
            jobs, mode, HyperParameterTuningJobConfig=small,
            TrainingJobDefinition=definition(jobs, mode),
        )  # fmt: skip
    failed, mute = ended(jobs, "fail"), ended(jobs, "mute")
    assert {failed[tuning.TUNING.status], mute[tuning.TUNING.status]} == {"Failed"}
    assert "All training jobs failed." in failed["FailureReason"]
    assert "the data is bad" in failed["FailureReason"]
    assert failed["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert "No objective metrics found after running 1 training jobs" in mute["FailureReason"]
    assert children(jobs, "mute", SortBy="FinalObjectiveMetricValue") == []


def test_a_search_that_can_launch_no_more_stops_what_it_has_launched(jobs: World) -> None:
    role = jobs.cloud.role("leaving", *job_policy(jobs.key), trust=TRUST)
    start(jobs, "left", TrainingJobDefinition=definition(jobs, "wait", RoleArn=role),
          HyperParameterTuningJobConfig=config(ResourceLimits={
              "MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2}))  # fmt: skip
    found = until(lambda: children(jobs, "left"), lambda found: len(found) == 2)
    for one in found:
        describe = functools.partial(
            jobs.sagemaker.describe_training_job, TrainingJobName=one["TrainingJobName"]
        )
        # Its role is still needed before: for the code.
        until(describe, lambda job: job["SecondaryStatus"] == "Training")
    iam = jobs.client("iam")
    for name in iam.list_role_policies(RoleName="leaving")["PolicyNames"]:
        iam.delete_role_policy(RoleName="leaving", PolicyName=name)
    iam.delete_role(RoleName="leaving")
    jobs.sagemaker.stop_training_job(TrainingJobName=found[0]["TrainingJobName"])
    failed = ended(jobs, "left")
    assert failed["HyperParameterTuningJobStatus"] == "Failed"
    assert "cannot be launched" in failed["FailureReason"]
    until(
        lambda: children(jobs, "left"),
        lambda found: [one["TrainingJobStatus"] for one in found] == ["Stopped", "Stopped"],
    )


def test_stopping_a_search_stops_its_training_jobs(jobs: World) -> None:
    start(jobs, "stopped", TrainingJobDefinition=definition(jobs, "wait"))
    until(lambda: children(jobs, "stopped"), lambda found: len(found) == 2)
    jobs.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    assert ended(jobs, "stopped")[tuning.TUNING.status] == "Stopped"
    stopped = children(jobs, "stopped")
    assert [one["TrainingJobStatus"] for one in stopped] == ["Stopped", "Stopped"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"Strategy": "Bayesian"}, "no Bayesian search"),
        ({"TrainingJobEarlyStoppingType": "Auto"}, "no early stopping"),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"}},
            "loss has no metric definition; there are quality",
        ),
        (
            {"ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 2}},
            "MaxParallelTrainingJobs is 2, more than",
        ),
        ({"Strategy": "Grid"}, "Grid search takes categorical ranges only"),
        (
            {"ParameterRanges": {"IntegerParameterRanges": [
                {"Name": "depth", "MinValue": "5", "MaxValue": "2"}]}},
            "range of depth is 5 to 2: it is empty",
        ),
        (
            {"ParameterRanges": {"CategoricalParameterRanges": [
                {"Name": "mode", "Values": ["fine", "fail"]}]}},
            "mode are both static and tuned",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused(
    jobs: World, changes: dict[str, Any], told: str
) -> None:
    assert told in refusal(jobs, HyperParameterTuningJobConfig=config(**changes))


def test_warm_starts_are_refused_by_name(jobs: World) -> None:
    warm = {
        "WarmStartType": "TransferLearning",
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "search"}],
    }
    assert "no warm starts (WarmStartConfig)" in refusal(jobs, WarmStartConfig=warm)


def test_who_may_not_pass_the_role_starts_no_search(jobs: World) -> None:
    create = {"Action": "sagemaker:CreateHyperParameterTuningJob", "Resource": "*"}
    person = jobs.cloud.role("searcher", create)
    sagemaker = jobs.cloud.client("sagemaker", session=jobs.cloud.assume(person))
    with pytest.raises(ClientError, match="iam:PassRole"):
        start(jobs, "denied", sagemaker)


# -- what is proposed ------------------------------------------------------------------------------

numbers = st.floats(1e-6, 1e6, allow_nan=False)


@given(numbers, numbers, st.integers(0, 2**31 - 1),
       st.sampled_from(["Auto", "Linear", "Logarithmic"]))  # fmt: skip
def test_proposals_are_within_their_range_and_repeat_with_their_seed(
    one: float, other: float, seed: int, scaling: str
) -> None:
    low, high = sorted((one, other))
    if low == high:
        high = low * 2
    item = {"MinValue": repr(low), "MaxValue": repr(high), "ScalingType": scaling}
    whole = {"MinValue": "1", "MaxValue": "9", "ScalingType": scaling}
    ranges = {
        "ContinuousParameterRanges": [{"Name": "x", **item}],
        "IntegerParameterRanges": [{"Name": "n", **whole}],
        "CategoricalParameterRanges": [{"Name": "c", "Values": ["a", "b"]}],
    }
    settings = config(ParameterRanges=ranges, RandomSeed=seed)
    found = list(itertools.islice(tuning.proposals(settings), 5))
    for proposal in found:
        assert low <= float(proposal["x"]) <= high
        assert 1 <= int(proposal["n"]) <= 9
        assert proposal["c"] in ("a", "b")
    assert found == list(itertools.islice(tuning.proposals(settings), 5))


def test_a_logarithmic_range_gives_each_decade_its_share() -> None:
    item = {"Name": "x", "MinValue": "0.001", "MaxValue": "1000", "ScalingType": "Logarithmic"}
    settings = config(ParameterRanges={"ContinuousParameterRanges": [item]})
    logs = [
        math.log10(float(one["x"])) for one in itertools.islice(tuning.proposals(settings), 600)
    ]
    decades = [sum(low <= value < low + 1 for value in logs) for low in range(-3, 3)]
    assert min(decades) > 60
    assert sum(decades) >= 599


def test_a_grid_has_each_combination_once() -> None:
    ranges = {"CategoricalParameterRanges": [
        {"Name": "a", "Values": ["1", "2"]}, {"Name": "b", "Values": ["x", "y", "z"]}]}  # fmt: skip
    found = list(tuning.proposals(config(
        Strategy="Grid", ParameterRanges=ranges,
        ResourceLimits={"MaxParallelTrainingJobs": 1})))  # fmt: skip
    assert len(found) == 6
    assert {(one["a"], one["b"]) for one in found} == set(itertools.product("12", "xyz"))
