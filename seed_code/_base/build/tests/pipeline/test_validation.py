from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipelinekit import validation
from pipelinekit.contract import Platform
from pipelinekit.settings import Project

Json = dict[str, Any]
Plant = Callable[[Json, dict[str, Json]], None]


def first(steps: dict[str, Json], kind: str) -> Json:
    return next(step for step in steps.values() if step["Type"] == kind)


def arguments(steps: dict[str, Json], kind: str) -> Json:
    return first(steps, kind)["Arguments"]


def test_the_repositorys_definition_is_right(
    definition: Json, platform: Platform, project: Project
) -> None:
    assert validation.faults(definition) == []
    assert validation.breaches(definition, platform, project.tags, project.pipeline) == []


def processing_instance(definition: Json, steps: dict[str, Json]) -> None:
    cluster = arguments(steps, "Processing")["ProcessingResources"]["ClusterConfig"]
    cluster["InstanceType"] = "ml.m5.huge"


def parameter_value(definition: Json, steps: dict[str, Json]) -> None:
    item = next(p for p in definition["Parameters"] if p["Name"].endswith("InstanceType"))
    item["EnumValues"] = ["ml.m5.large", "ml.m5.hug"]
    item["DefaultValue"] = "ml.m5.hug"


def default_outside(definition: Json, steps: dict[str, Json]) -> None:
    item = next(p for p in definition["Parameters"] if p["Name"].endswith("InstanceType"))
    item["DefaultValue"] = "ml.c5.large"


def unknown_member(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["VpcConfig"]["SubnetIds"] = ["subnet-1"]


def missing_member(definition: Json, steps: dict[str, Json]) -> None:
    del arguments(steps, "Training")["RoleArn"]


def wrong_type(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["HyperParameters"]["seed"] = 20


def out_of_range(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["ResourceConfig"]["InstanceCount"] = -1


def wrong_pattern(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["RoleArn"] = "acme-role"


def wrong_property(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "RegisterModel")["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] = {
        "Get": f"Steps.{first(steps, 'Training')['Name']}.ModelArtifacts.S3Artifacts"
    }


def wrong_output(definition: Json, steps: dict[str, Json]) -> None:
    channel = arguments(steps, "Training")["InputDataConfig"][0]
    source = channel["DataSource"]["S3DataSource"]
    source["S3Uri"] = {"Get": source["S3Uri"]["Get"].replace("['train']", "['trian']")}


def whole_structure(definition: Json, steps: dict[str, Json]) -> None:
    channel = arguments(steps, "Training")["InputDataConfig"][0]
    source = channel["DataSource"]["S3DataSource"]
    source["S3Uri"] = {"Get": source["S3Uri"]["Get"].removesuffix(".S3Uri")}


def unknown_step(definition: Json, steps: dict[str, Json]) -> None:
    channel = arguments(steps, "Training")["InputDataConfig"][0]
    channel["DataSource"]["S3DataSource"]["S3Uri"] = {"Get": "Steps.Nowhere.ProcessingJobName"}


def unknown_parameter(definition: Json, steps: dict[str, Json]) -> None:
    definition["Parameters"] = [p for p in definition["Parameters"] if p["Name"] != "CommitId"]


def unfit_parameter(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["ResourceConfig"]["InstanceCount"] = {"Get": "Parameters.CommitId"}


def unknown_variable(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["OutputDataConfig"]["S3OutputPath"] = {"Get": "Execution.Id"}


def unknown_function(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["RoleArn"] = {"Std:Concat": {}}


def unknown_file(definition: Json, steps: dict[str, Json]) -> None:
    for step in steps.values():
        step.pop("PropertyFiles", None)


def file_of_no_output(definition: Json, steps: dict[str, Json]) -> None:
    step = next(step for step in steps.values() if "PropertyFiles" in step)
    step["PropertyFiles"][0]["OutputName"] = "report"


def unknown_comparison(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Condition")["Conditions"][0]["Type"] = "Below"


def no_condition(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Condition")["Conditions"] = []


def nested(definition: Json, steps: dict[str, Json]) -> None:
    outer = arguments(steps, "Condition")
    inner = {"Name": "Inner", "Type": "Condition", "Arguments": {"Conditions": outer["Conditions"]}}
    outer["IfSteps"] = [*outer["IfSteps"], inner]


def needs_condition(definition: Json, steps: dict[str, Json]) -> None:
    last = {"Name": "Last", "Type": "Fail", "Arguments": {"ErrorMessage": "too late"}}
    definition["Steps"].append({**last, "DependsOn": [first(steps, "Condition")["Name"]]})


def read_message(definition: Json, steps: dict[str, Json]) -> None:
    measured = arguments(steps, "Condition")["Conditions"][0]["LeftValue"]
    arguments(steps, "Fail")["ErrorMessage"] = {"Std:Join": {"On": " ", "Values": [measured]}}


def twice(definition: Json, steps: dict[str, Json]) -> None:
    definition["Steps"].append(definition["Steps"][0])


def circle(definition: Json, steps: dict[str, Json]) -> None:
    first(steps, "Processing")["DependsOn"] = [first(steps, "Training")["Name"]]


def unknown_type(definition: Json, steps: dict[str, Json]) -> None:
    first(steps, "Training")["Type"] = "Train"


def bad_age(definition: Json, steps: dict[str, Json]) -> None:
    first(steps, "Training")["CacheConfig"]["ExpireAfter"] = "30 days"


def bad_retry(definition: Json, steps: dict[str, Json]) -> None:
    first(steps, "Training")["RetryPolicies"][0]["ExceptionType"] = ["Step.ANY"]


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (processing_instance, "'ml.m5.huge' is none of the values"),
        (parameter_value, r"parameter \w+InstanceType.*'ml.m5.hug' is none of the values"),
        (default_outside, "the default 'ml.c5.large' is none of"),
        (unknown_member, "VpcConfig: unknown member SubnetIds"),
        (missing_member, "missing RoleArn"),
        (wrong_type, "HyperParameters.seed: expected string, got 20"),
        (out_of_range, "InstanceCount: -1 is out of range"),
        (wrong_pattern, "RoleArn: 'acme-role' does not match"),
        (wrong_property, "ModelArtifacts has no S3Artifacts"),
        (wrong_output, "has no output 'trian'"),
        (whole_structure, "is no single value"),
        (unknown_step, "there is no step Nowhere"),
        (unknown_parameter, "there is no parameter CommitId"),
        (unfit_parameter, "parameter CommitId is String, expected integer"),
        (unknown_variable, "there is no execution variable Id"),
        (unknown_function, "unknown function Std:Concat"),
        (unknown_file, "has no property file"),
        (file_of_no_output, "'report', which the step does not have"),
        (unknown_comparison, "'Below' is none of"),
        (no_condition, "has no conditions"),
        (nested, "has the condition Inner in it: none may be nested"),
        (needs_condition, "Last: depends on .*, and no step may depend on a condition"),
        (read_message, "ErrorMessage: takes no Std:JsonGet"),
        (twice, "more than one step has this name"),
        (circle, "waits for itself"),
        (unknown_type, "steps of type 'Train' cannot be checked"),
        (bad_age, "'30 days' is no ISO 8601 duration"),
        (bad_retry, "'Step.ANY' is none of"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_planted_fault_is_found(
    definition: Json, steps: dict[str, Json], plant: Plant, told: str
) -> None:
    plant(definition, steps)
    with pytest.raises(AssertionError, match=told):
        assert "\n".join(validation.faults(definition)) == ""


def outside(definition: Json, steps: dict[str, Json]) -> None:
    del arguments(steps, "Training")["VpcConfig"]


def other_subnet(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Processing")["NetworkConfig"]["VpcConfig"]["Subnets"] = ["subnet-9"]


def connected(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["EnableNetworkIsolation"] = False


def plain_traffic(definition: Json, steps: dict[str, Json]) -> None:
    del arguments(steps, "Processing")["NetworkConfig"]["EnableInterContainerTrafficEncryption"]


def plain_disk(definition: Json, steps: dict[str, Json]) -> None:
    resources = arguments(steps, "Training")["ResourceConfig"]
    resources["InstanceType"] = "ml.m5.large"
    resources.pop("VolumeKmsKeyId", None)


def local_disk(definition: Json, steps: dict[str, Json]) -> None:
    resources = arguments(steps, "Training")["ResourceConfig"]
    resources |= {"InstanceType": "ml.g5.xlarge", "VolumeKmsKeyId": "key"}


def either_disk(definition: Json, steps: dict[str, Json]) -> None:
    item = next(p for p in definition["Parameters"] if p["Name"].endswith("InstanceType"))
    item["EnumValues"] = ["ml.m5.large", "ml.g5.xlarge"]
    chosen = {"Get": f"Parameters.{item['Name']}"}
    arguments(steps, "Training")["ResourceConfig"]["InstanceType"] = chosen


def plain_output(definition: Json, steps: dict[str, Json]) -> None:
    del arguments(steps, "Processing")["ProcessingOutputConfig"]["KmsKeyId"]


def untagged(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "Training")["Tags"] = []


def approved(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "RegisterModel")["ModelApprovalStatus"] = "Approved"


def chosen_approval(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "RegisterModel")["ModelApprovalStatus"] = {"Get": "Parameters.CommitId"}


def other_group(definition: Json, steps: dict[str, Json]) -> None:
    arguments(steps, "RegisterModel")["ModelPackageGroupName"] = "somebody-elses"


def unguarded(definition: Json, steps: dict[str, Json]) -> None:
    definition["Steps"].append({"Name": "Batch", "Type": "Transform", "Arguments": {}})


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (outside, "VpcConfig.Subnets"),
        (other_subnet, "subnet-9"),
        (connected, "EnableNetworkIsolation: is False, must be True"),
        (plain_traffic, "EnableInterContainerTrafficEncryption: is None"),
        (plain_disk, "VolumeKmsKeyId: is None"),
        (local_disk, "must be None"),
        (either_disk, "are with and without local disks"),
        (plain_output, "KmsKeyId: is None"),
        (untagged, "sagemaker:project-id must be"),
        (approved, "must be 'PendingManualApproval'"),
        (chosen_approval, "must be 'PendingManualApproval'"),
        (other_group, "ModelPackageGroupName"),
        (unguarded, "not known what the platform demands of a Transform"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_the_platform_would_deny_is_found(
    definition: Json,
    steps: dict[str, Json],
    platform: Platform,
    project: Project,
    plant: Plant,
    told: str,
) -> None:
    plant(definition, steps)
    found = validation.breaches(definition, platform, project.tags, project.pipeline)
    assert any(told in line for line in found), found
