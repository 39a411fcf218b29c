"""Executions of pipelines with an experiment are its trials, with a component for each job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.localcloud.jobs_world import SKLEARN, TRUST, World, given, world
from tests.localcloud.kit import until

SCRIPT = "print('done')"
KEEPING = [
    f"sagemaker:{action}"
    for action in ("CreateExperiment", "CreateTrial", "CreateTrialComponent",
                   "AssociateTrialComponent")
]  # fmt: skip


def definition(jobs: World, **more: Any) -> str:
    code = jobs.put("code/script.py", SCRIPT)
    arguments = {
        "AppSpecification": {
            "ImageUri": SKLEARN,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/script.py"],
        },
        "ProcessingInputs": [given("code", code, "/opt/ml/processing/input/code")],
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10,
            }
        },
        "RoleArn": jobs.role,
    }  # fmt: skip
    step = {"Name": "Prepare", "Type": "Processing", "Arguments": arguments}
    return json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": [step], **more})


def executed(jobs: World, role: str, name: str, text: str) -> str:
    jobs.sagemaker.create_pipeline(
        PipelineName=name, PipelineDefinition=text, RoleArn=role, ClientRequestToken=name.ljust(32)
    )
    arn = jobs.sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    done = until(
        lambda: jobs.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn),
        lambda found: found["PipelineExecutionStatus"] not in ("Executing", "Stopping"),
    )
    assert done["PipelineExecutionStatus"] == "Succeeded", done
    return str(arn)


def test_an_execution_is_a_trial_with_its_jobs_and_without_a_setting_it_is_none(
    tmp_path: Path,
) -> None:
    with world(tmp_path) as jobs:
        role = jobs.cloud.role(
            "pipeline",
            {"Action": "sagemaker:*ProcessingJob", "Resource": "*"},
            {"Action": ["sagemaker:AddTags", "iam:PassRole"], "Resource": "*"},
            {"Action": KEEPING, "Resource": "*"},
            trust=TRUST,
        )
        executed(jobs, role, "plain", definition(jobs))
        assert jobs.sagemaker.list_experiments()["ExperimentSummaries"] == []
        experiment = {
            "ExperimentName": {"Get": "Execution.PipelineName"},
            "TrialName": {"Get": "Execution.PipelineExecutionId"},
        }
        arn = executed(jobs, role, "tracked", definition(jobs, PipelineExperimentConfig=experiment))
        [trial] = jobs.sagemaker.list_trials(ExperimentName="tracked")["TrialSummaries"]
        assert trial["TrialName"] == arn.rpartition("/")[2]
        [step] = jobs.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)[
            "PipelineExecutionSteps"
        ]
        job = step["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
        [component] = jobs.sagemaker.list_trial_components(TrialName=trial["TrialName"])[
            "TrialComponentSummaries"
        ]
        assert component["TrialComponentName"] == f"{job}-aws-processing-job"
        told = jobs.sagemaker.describe_trial_component(
            TrialComponentName=component["TrialComponentName"]
        )
        assert told["DisplayName"] == "Prepare"
