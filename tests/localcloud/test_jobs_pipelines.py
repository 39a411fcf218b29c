"""Pipeline executions run their steps for real, as the pipeline's role."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.emulators import DEV, REGION, document, trusting
from tests.localcloud.jobs_world import BUCKET, SKLEARN, XGBOOST, World, channel, world
from tests.localcloud.kit import until

GROUP = "models"
EVALUATE = """
import json, os, pathlib, sys
mse = float(pathlib.Path("/opt/ml/processing/input/mse/mse.txt").read_text())
target = pathlib.Path("/opt/ml/processing/evaluation/evaluation.json")
target.write_text(json.dumps({"regression_metrics": {"mse": {"value": mse}}}))
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("pipelines")) as made:
        made.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        made.put("evaluate/evaluate.py", EVALUATE)
        made.put("mse/mse.txt", "4.0")
        yield made


@pytest.fixture(scope="module")
def role(jobs: World) -> str:
    return jobs.cloud.role(
        "pipeline",
        {
            "Action": ["sagemaker:Create*", "sagemaker:Describe*", "sagemaker:Stop*",
                       "sagemaker:AddTags"],
            "Resource": "*",
        },
        {
            "Action": "iam:PassRole",
            "Resource": jobs.role,
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        },
        {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"},
        {"Action": "kms:Decrypt", "Resource": jobs.key},
        trust=trusting("sagemaker"),
    )  # fmt: skip


def training(jobs: World, name: str = "Train", **more: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Training",
        "Arguments": {
            "RoleArn": jobs.role,
            "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
            "HyperParameters": {"num_round": {"Get": "Parameters.Rounds"}, "max_depth": "3"},
            "InputDataConfig": [channel("train", {"Get": "Parameters.Data"})],
            "OutputDataConfig": {
                "S3OutputPath": {
                    "Std:Join": {
                        "On": "/",
                        "Values": [f"s3://{BUCKET}", {"Get": "Execution.PipelineExecutionId"}],
                    }
                },
                "KmsKeyId": jobs.key,
            },
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "VpcConfig": jobs.vpc_config,
            "MlflowConfig": None,
        },
        **more,
    }


def processing(
    jobs: World, name: str, command: list[Any], inputs: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "RoleArn": jobs.role,
            "AppSpecification": {"ImageUri": SKLEARN, "ContainerEntrypoint": command},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "VolumeSizeInGB": 10,
                }
            },
            "ProcessingInputs": [
                {
                    "InputName": key,
                    "S3Input": {
                        "S3Uri": uri,
                        "LocalPath": f"/opt/ml/processing/input/{key}",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                    },
                }
                for key, uri in inputs.items()
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "evaluation",
                        "S3Output": {
                            "S3Uri": {
                                "Std:Join": {
                                    "On": "/",
                                    "Values": [
                                        f"s3://{BUCKET}",
                                        {"Get": "Execution.PipelineExecutionId"},
                                        name,
                                    ],
                                }
                            },
                            "LocalPath": "/opt/ml/processing/evaluation",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
            "NetworkConfig": {"VpcConfig": jobs.vpc_config},
        },
        **more,
    }


def evaluation(jobs: World, **more: Any) -> dict[str, Any]:
    inputs = {
        "code": f"s3://{BUCKET}/evaluate/",
        "mse": f"s3://{BUCKET}/mse/",
        "model": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"},
    }
    command = ["python3", "/opt/ml/processing/input/code/evaluate.py"]
    files = [
        {
            "PropertyFileName": "Report",
            "OutputName": "evaluation",
            "FilePath": "evaluation.json",
        }
    ]
    return processing(jobs, "Evaluate", command, inputs, PropertyFiles=files, **more)


def sleeping(jobs: World, name: str, seconds: float, **more: Any) -> dict[str, Any]:
    command = ["python3", "-c", f"import time; time.sleep({seconds})"]
    return processing(jobs, name, command, {}, **more)


REGISTER = {
    "Name": "Register",
    "Type": "RegisterModel",
    "Arguments": {
        "ModelPackageGroupName": GROUP,
        "ModelApprovalStatus": {"Get": "Parameters.Approval"},
        "InferenceSpecification": {
            "Containers": [
                {
                    "Image": XGBOOST,
                    "ModelDataUrl": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"},
                }
            ],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        "ModelMetrics": {
            "ModelQuality": {
                "Statistics": {
                    "ContentType": "application/json",
                    "S3Uri": {
                        "Std:Join": {
                            "On": "/",
                            "Values": [
                                {
                                    "Get": "Steps.Evaluate.ProcessingOutputConfig"
                                    ".Outputs['evaluation'].S3Output.S3Uri"
                                },
                                "evaluation.json",
                            ],
                        }
                    },
                }
            },
            "Bias": {},
        },
    },
}


def whole(jobs: World) -> list[dict[str, Any]]:
    condition = {
        "Name": "Check",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [
                {
                    "Type": "LessThanOrEqualTo",
                    "LeftValue": {
                        "Std:JsonGet": {
                            "PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"},
                            "Path": "regression_metrics.mse.value",
                        }
                    },
                    "RightValue": {"Get": "Parameters.Limit"},
                }
            ],
            "IfSteps": [REGISTER],
            "ElseSteps": [
                {
                    "Name": "TooHigh",
                    "Type": "Fail",
                    "Arguments": {
                        "ErrorMessage": {
                            "Std:Join": {
                                "On": " ",
                                "Values": ["MSE above", {"Get": "Parameters.Limit"}],
                            }
                        }
                    },
                }
            ],
        },
    }
    return [training(jobs), evaluation(jobs), condition]


PARAMETERS = [
    {"Name": "Rounds", "Type": "Integer", "DefaultValue": 3},
    {"Name": "Data", "Type": "String", "DefaultValue": f"s3://{BUCKET}/data/train"},
    {"Name": "Limit", "Type": "Float", "DefaultValue": 6.0},
    {"Name": "Approval", "Type": "String", "DefaultValue": "PendingManualApproval"},
]


def text(steps: list[dict[str, Any]]) -> str:
    whole = {"Version": "2020-12-01", "Metadata": {}, "Parameters": PARAMETERS, "Steps": steps}
    return json.dumps(whole)


def create(jobs: World, role: str, name: str, steps: list[dict[str, Any]], **more: Any) -> str:
    return jobs.sagemaker.create_pipeline(
        PipelineName=name,
        PipelineDefinition=text(steps),
        RoleArn=role,
        ClientRequestToken=f"{name}-{'x' * 32}",
        **more,
    )["PipelineArn"]


def start(jobs: World, name: str, parameters: dict[str, str] | None = None, **more: Any) -> str:
    given = [{"Name": key, "Value": value} for key, value in (parameters or {}).items()]
    return jobs.sagemaker.start_pipeline_execution(
        PipelineName=name, PipelineParameters=given, **more
    )["PipelineExecutionArn"]


def ended(jobs: World, arn: str) -> dict[str, Any]:
    return until(
        lambda: jobs.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn),
        lambda execution: (
            execution["PipelineExecutionStatus"] in ("Succeeded", "Failed", "Stopped")
        ),
        90,
    )


def run(jobs: World, name: str, parameters: dict[str, str] | None = None) -> dict[str, Any]:
    return ended(jobs, start(jobs, name, parameters))


def steps_of(jobs: World, execution: dict[str, Any]) -> dict[str, dict[str, Any]]:
    arn = execution["PipelineExecutionArn"]
    listed = jobs.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)
    return {step["StepName"]: step for step in listed["PipelineExecutionSteps"]}


@pytest.fixture(scope="module")
def full(jobs: World, role: str) -> str:
    create(jobs, role, "full", whole(jobs))
    return "full"


def test_a_model_is_trained_judged_and_registered(jobs: World, full: str) -> None:
    execution = run(jobs, full)
    assert execution["PipelineExecutionStatus"] == "Succeeded", execution.get("FailureReason")
    steps = steps_of(jobs, execution)
    assert set(steps) == {"Train", "Evaluate", "Check", "Register"}
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}
    assert steps["Check"]["Metadata"]["Condition"]["Outcome"] == "True"
    job = steps["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    trained = jobs.sagemaker.describe_training_job(TrainingJobName=job)
    assert trained["HyperParameters"]["num_round"] == "3"
    tags = jobs.sagemaker.list_tags(ResourceArn=trained["TrainingJobArn"])["Tags"]
    mark = {
        "Key": "sagemaker:pipeline-execution-arn",
        "Value": execution["PipelineExecutionArn"],
    }
    assert mark in tags
    package = jobs.sagemaker.describe_model_package(
        ModelPackageName=steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    )
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    [container] = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == trained["ModelArtifacts"]["S3ModelArtifacts"]
    statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    assert json.loads(jobs.get(statistics))["regression_metrics"]["mse"]["value"] == 4.0
    assert package["MetadataProperties"]["GeneratedBy"] == execution["PipelineExecutionArn"]


def test_a_condition_that_fails_ends_the_execution_with_its_words(jobs: World, full: str) -> None:
    before = jobs.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)
    execution = run(jobs, full, {"Limit": "3.5"})
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "MSE above 3.5" in execution["FailureReason"]
    steps = steps_of(jobs, execution)
    assert "Register" not in steps
    assert steps["TooHigh"]["FailureReason"] == "MSE above 3.5"
    after = jobs.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)
    assert len(after["ModelPackageSummaryList"]) == len(before["ModelPackageSummaryList"])


def test_a_failed_step_ends_the_execution_with_its_cause_and_can_be_retried(
    jobs: World, full: str
) -> None:
    late = f"s3://{BUCKET}/late/"
    execution = run(jobs, full, {"Data": late})
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert f'No S3 objects found under S3 URL "{late}"' in execution["FailureReason"]
    assert set(steps_of(jobs, execution)) == {"Train"}
    jobs.put("late/train.csv", jobs.get(f"s3://{BUCKET}/data/train/train.csv"))
    arn = execution["PipelineExecutionArn"]
    jobs.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    healed = ended(jobs, arn)
    assert healed["PipelineExecutionStatus"] == "Succeeded", healed.get("FailureReason")
    with pytest.raises(ClientError, match="nothing to retry"):
        jobs.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)


def test_the_pipeline_s_role_decides_what_steps_may_do(jobs: World) -> None:
    trust = trusting("sagemaker")
    creating = {"Action": "sagemaker:Create*", "Resource": "*"}
    poor = jobs.cloud.role("poor-pipeline", creating, trust=trust)
    create(jobs, poor, "poor", [training(jobs)])
    execution = run(jobs, "poor")
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "not authorized to perform: iam:PassRole" in execution["FailureReason"]
    closed = jobs.cloud.role("closed-pipeline", creating)
    create(jobs, closed, "closed", [training(jobs)])
    with pytest.raises(ClientError, match="Could not assume role"):
        start(jobs, "closed")


def test_steps_that_need_nothing_run_side_by_side(jobs: World, role: str) -> None:
    create(jobs, role, "wide", [sleeping(jobs, name, 1.5) for name in "ABC"])
    steps = steps_of(jobs, run(jobs, "wide"))
    starts = [step["StartTime"] for step in steps.values()]
    ends = [step["EndTime"] for step in steps.values()]
    assert max(starts) < min(ends)
    one = {"ParallelismConfiguration": {"MaxParallelExecutionSteps": 1}}
    narrow = steps_of(jobs, ended(jobs, start(jobs, "wide", **one)))
    ordered = sorted(narrow.values(), key=lambda step: step["StartTime"])
    assert all(a["EndTime"] <= b["StartTime"] for a, b in itertools.pairwise(ordered))


def test_dependencies_without_references_are_kept(jobs: World, role: str) -> None:
    steps = [sleeping(jobs, "Second", 0.1, DependsOn=["First"]), sleeping(jobs, "First", 0.5)]
    create(jobs, role, "ordered", steps)
    found = steps_of(jobs, run(jobs, "ordered"))
    assert found["First"]["EndTime"] <= found["Second"]["StartTime"]


def cached(jobs: World, expire: str) -> list[dict[str, Any]]:
    config = {"Enabled": True, "ExpireAfter": expire}
    return [training(jobs, CacheConfig=config)]


def test_a_cached_step_is_used_again_until_its_arguments_change(jobs: World, role: str) -> None:
    create(jobs, role, "cached", cached(jobs, "P1D"))
    first = run(jobs, "cached")
    second = run(jobs, "cached")
    third = run(jobs, "cached", {"Rounds": "4"})
    steps = [steps_of(jobs, execution)["Train"] for execution in (first, second, third)]
    assert "CacheHitResult" not in steps[0]
    hit = steps[1]["CacheHitResult"]["SourcePipelineExecutionArn"]
    assert hit == first["PipelineExecutionArn"]
    assert steps[1]["Metadata"] == steps[0]["Metadata"]
    assert "CacheHitResult" not in steps[2]


def test_a_cached_step_expires(jobs: World, role: str) -> None:
    create(jobs, role, "expiring", cached(jobs, "PT1S"))
    run(jobs, "expiring")
    time.sleep(1.2)
    steps = steps_of(jobs, run(jobs, "expiring"))
    assert "CacheHitResult" not in steps["Train"]


def test_an_execution_is_stopped_with_its_jobs(jobs: World, role: str) -> None:
    create(jobs, role, "long", [sleeping(jobs, "Long", 60), fail_after("Long")])
    arn = start(jobs, "long")
    listed = until(
        lambda: steps_of(jobs, {"PipelineExecutionArn": arn}),
        lambda steps: steps.get("Long", {}).get("Metadata", {}).get("ProcessingJob"),
    )
    jobs.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="x" * 32)
    assert ended(jobs, arn)["PipelineExecutionStatus"] == "Stopped"
    job = listed["Long"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert jobs.wait_processing(job, 10)["ProcessingJobStatus"] == "Stopped"
    assert set(steps_of(jobs, {"PipelineExecutionArn": arn})) == {"Long"}
    with pytest.raises(ClientError, match="Stopped already"):
        jobs.sagemaker.stop_pipeline_execution(
            PipelineExecutionArn=arn, ClientRequestToken="y" * 32
        )


def fail_after(name: str) -> dict[str, Any]:
    message = {"ErrorMessage": "after"}
    return {"Name": "After", "Type": "Fail", "Arguments": message, "DependsOn": [name]}


def test_throttled_calls_are_retried_where_the_step_says_so(jobs: World, role: str) -> None:
    policy = {
        "ExceptionType": ["Step.THROTTLING"],
        "IntervalSeconds": 1,
        "BackoffRate": 2.0,
        "MaxAttempts": 5,
    }
    create(jobs, role, "patient", [sleeping(jobs, "A", 0.1, RetryPolicies=[policy])])
    create(jobs, role, "hasty", [sleeping(jobs, "A", 0.1)])
    fault = {
        "service": "sagemaker",
        "operation": "CreateProcessingJob",
        "error": "throttle",
        # The client tries three times before a step hears of it.
        "count": 4,
    }
    for name, expected in (("patient", "Succeeded"), ("hasty", "Failed")):
        jobs.cloud.control("POST", "faults", fault)
        execution = run(jobs, name)
        jobs.cloud.control("DELETE", "faults")
        assert execution["PipelineExecutionStatus"] == expected, execution.get("FailureReason")
    assert "Throttling" in execution["FailureReason"]


def test_a_client_token_starts_once(jobs: World, role: str) -> None:
    create(jobs, role, "once", [sleeping(jobs, "A", 0.1)])
    token = {"ClientRequestToken": "t" * 32}
    arns = {start(jobs, "once", **token) for _ in range(3)}
    assert len(arns) == 1
    listed = jobs.sagemaker.list_pipeline_executions(PipelineName="once")
    assert len(listed["PipelineExecutionSummaries"]) == 1
    ended(jobs, arns.pop())


def test_a_pipeline_is_described_updated_listed_and_deleted(jobs: World, role: str) -> None:
    sagemaker = jobs.sagemaker
    tags = [{"Key": "team", "Value": "a"}]
    arn = create(jobs, role, "life", [sleeping(jobs, "A", 0.1)], Tags=tags)
    assert create(jobs, role, "life", [sleeping(jobs, "A", 0.1)]) == arn
    with pytest.raises(ClientError, match="must be unique"):
        sagemaker.create_pipeline(
            PipelineName="life",
            PipelineDefinition=text([]),
            RoleArn=role,
            ClientRequestToken="z" * 32,
        )
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags
    execution = run(jobs, "life")
    changed = text([sleeping(jobs, "B", 0.1)])
    sagemaker.update_pipeline(PipelineName="life", PipelineDefinition=changed)
    assert sagemaker.describe_pipeline(PipelineName="life")["PipelineDefinition"] == changed
    kept = sagemaker.describe_pipeline_definition_for_execution(
        PipelineExecutionArn=execution["PipelineExecutionArn"]
    )
    assert json.loads(kept["PipelineDefinition"])["Steps"][0]["Name"] == "A"
    listed = sagemaker.list_pipelines(PipelineNamePrefix="li")["PipelineSummaries"]
    assert [item["PipelineName"] for item in listed] == ["life"]
    sagemaker.delete_pipeline(PipelineName="life", ClientRequestToken="d" * 32)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_pipeline(PipelineName="life")


@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        ([{"Name": "E", "Type": "EMR", "Arguments": {}}], "runs no EMR steps"),
        ([fail_after("Nothing")], "needs Nothing, which is no step"),
    ],
)
def test_a_definition_that_cannot_be_run_is_refused(
    jobs: World, role: str, steps: list[Any], cause: str
) -> None:
    with pytest.raises(ClientError, match=cause):
        create(jobs, role, "refused", steps)


def test_wrong_parameters_are_refused_at_the_start(jobs: World, full: str) -> None:
    with pytest.raises(ClientError, match="Rounds is a Integer"):
        start(jobs, full, {"Rounds": "many"})
    with pytest.raises(ClientError, match="Unknown parameters: Other"):
        start(jobs, full, {"Other": "x"})


def test_a_call_that_sagemaker_would_refuse_fails_its_step(jobs: World, role: str) -> None:
    step = copy.deepcopy(sleeping(jobs, "A", 0.1))
    del step["Arguments"]["RoleArn"]
    create(jobs, role, "incomplete", [step])
    execution = run(jobs, "incomplete")
    assert 'Missing required parameter in input: "RoleArn"' in execution["FailureReason"]


def test_changes_are_sent_to_rules(jobs: World, role: str) -> None:
    sqs, events = jobs.client("sqs"), jobs.client("events")
    queue = sqs.create_queue(QueueName="pipelines")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{DEV}:pipelines"
    allowed = {
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": document(allowed)})
    pipeline = create(jobs, role, "told", [sleeping(jobs, "A", 0.1)])
    pattern = {"source": ["aws.sagemaker"], "detail": {"pipelineArn": [pipeline]}}
    events.put_rule(Name="pipelines", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="pipelines", Targets=[{"Id": "1", "Arn": arn}])
    execution = run(jobs, "told")
    received: list[Any] = []

    def messages() -> list[Any]:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        received.extend(json.loads(message["Body"]) for message in found)
        return received

    until(messages, lambda found: len(found) >= 4)

    def told(kind: str, status: str) -> list[Any]:
        return [message for message in received
                if message["detail-type"] == f"SageMaker Model Building Pipeline Execution {kind}"
                and message["detail"][status]]  # fmt: skip

    # EventBridge promises no order.
    runs = {message["detail"]["currentPipelineExecutionStatus"]: message
            for message in told("Status Change", "currentPipelineExecutionStatus")}  # fmt: skip
    steps = {message["detail"]["currentStepStatus"]: message["detail"]
             for message in told("Step Status Change", "currentStepStatus")}  # fmt: skip
    assert len(received) == len(runs) + len(steps) == 4
    last = runs["Succeeded"]
    assert last["resources"] == [pipeline, execution["PipelineExecutionArn"]]
    assert last["detail"]["previousPipelineExecutionStatus"] == "Executing"
    assert steps["Succeeded"]["stepType"] == "Processing"
    assert ":processing-job/" in steps["Succeeded"]["metadata"]["processingJob"]["arn"]


def test_several_executions_at_once(jobs: World, full: str) -> None:
    arns = [start(jobs, full) for _ in range(3)]
    assert len(set(arns)) == 3
    for arn in arns:
        execution = ended(jobs, arn)
        assert execution["PipelineExecutionStatus"] == "Succeeded", execution.get("FailureReason")
