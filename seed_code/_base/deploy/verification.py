"""Whether what is live is what was wanted.

SageMaker rolls an update back by itself, and then the endpoint is in service again, with its old
configuration: neither its status nor Pulumi's success says that the new version serves. So the live
configuration, its variants and its model are compared with the wanted ones, name by name. Of batch
predictions the pipeline, its definition and role, its model and the rules that start it are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from botocore.exceptions import ClientError

from settings import Version

ON_THE_WAY: Final = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
"""States of an endpoint that pass by themselves. Source: EndpointStatus of DescribeEndpoint."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0


class NotLiveError(Exception):
    """The wanted version is not live; the message says what is instead."""


@dataclass(frozen=True)
class Wanted:
    """What must be live.

    Attributes:
        endpoint_name: The endpoint.
        endpoint_config_name: The configuration made for this version.
        model_name: The model made for this version.
        version: The version.
        source: ``package`` or ``artifacts``: what the model must be made from.
        instance_type: Instance type of the variant.
    """

    endpoint_name: str
    endpoint_config_name: str
    model_name: str
    version: Version
    source: str
    instance_type: str


@dataclass(frozen=True)
class WantedBatch:
    """What batch predictions must be.

    Attributes:
        pipeline_name: The pipeline.
        definition: What it is to do, as JSON.
        role_arn: The role that it runs by.
        model_name: The model made for this version.
        version: The version.
        source: ``package`` or ``artifacts``: what the model must be made from.
        bucket: The bucket that it reads and writes.
        rules: Name of each rule -> ``schedule`` or ``pattern``, and ``input``.
        timeout_minutes: How long a step, and a test's run, may take.
    """

    pipeline_name: str
    definition: str
    role_arn: str
    model_name: str
    version: Version
    source: str
    bucket: str
    rules: Mapping[str, Mapping[str, str]]
    timeout_minutes: int


def settled(
    sagemaker: Any,
    endpoint_name: str,
    *,
    timeout_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any] | None:
    """The endpoint once nothing is under way on it; None when there is none.

    Args:
        sagemaker: A SageMaker client of the target account.
        endpoint_name: The endpoint.
        timeout_seconds: How long to wait.
        sleep: Pauses for so many seconds.

    Raises:
        NotLiveError: Something is still under way.
        ClientError: SageMaker's, other than that there is no such endpoint.
    """
    waited, pause = 0.0, _FIRST_PAUSE
    while True:
        try:
            endpoint = sagemaker.describe_endpoint(EndpointName=endpoint_name)
        except ClientError as error:
            if _is_missing(error):
                return None
            raise
        if endpoint["EndpointStatus"] not in ON_THE_WAY:
            return endpoint
        if waited >= timeout_seconds:
            raise NotLiveError(
                f"{endpoint_name} is still {endpoint['EndpointStatus']} after "
                f"{timeout_seconds:g} seconds"
            )
        sleep(pause)
        waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE)


def live_instance_types(
    sagemaker: Any, endpoint_name: str, *, timeout_seconds: float
) -> Mapping[str, str] | None:
    """Instance type of each variant that is live; None when there is no endpoint.

    Args:
        sagemaker: A SageMaker client of the target account.
        endpoint_name: The endpoint.
        timeout_seconds: How long to wait for what is under way.

    Raises:
        NotLiveError: Something is still under way.
        ClientError: SageMaker's.
    """
    endpoint = settled(sagemaker, endpoint_name, timeout_seconds=timeout_seconds)
    if endpoint is None:
        return None
    try:
        configuration = sagemaker.describe_endpoint_config(
            EndpointConfigName=endpoint["EndpointConfigName"]
        )
    except ClientError as error:
        if _is_missing(error):
            # Deleted under the endpoint: nobody knows what it runs on.
            return {item["VariantName"]: "" for item in endpoint.get("ProductionVariants") or []}
        raise
    return {
        item["VariantName"]: item.get("InstanceType", "")
        for item in configuration["ProductionVariants"]
    }


def require_live(
    sagemaker: Any,
    wanted: Wanted,
    *,
    timeout_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Only returns when the wanted version, and nothing else, is live.

    Raises:
        NotLiveError: Naming every difference, and SageMaker's reason where it gives one.
        ClientError: SageMaker's.
    """
    endpoint = settled(
        sagemaker, wanted.endpoint_name, timeout_seconds=timeout_seconds, sleep=sleep
    )
    if endpoint is None:
        raise NotLiveError(f"there is no endpoint {wanted.endpoint_name}")
    found = [*_of_endpoint(endpoint, wanted)]
    if not found:
        configuration = sagemaker.describe_endpoint_config(
            EndpointConfigName=endpoint["EndpointConfigName"]
        )
        found += _of_configuration(configuration, endpoint, wanted)
    if not found:
        model = sagemaker.describe_model(ModelName=wanted.model_name)
        found += _of_model(model, wanted)
    if found:
        reason = endpoint.get("FailureReason")
        told = "; ".join(found) + (f"; SageMaker's reason: {reason}" if reason else "")
        raise NotLiveError(f"{wanted.endpoint_name}: {told}")


def require_batch(sagemaker: Any, events: Any, wanted: WantedBatch) -> None:
    """Only returns when the pipeline, its model and its rules are the wanted ones.

    Args:
        sagemaker: A SageMaker client of the target account.
        events: An EventBridge client of it.
        wanted: What must be there.

    Raises:
        NotLiveError: Naming every difference.
        ClientError: What AWS says of what is not there.
    """
    pipeline = sagemaker.describe_pipeline(PipelineName=wanted.pipeline_name)
    found: list[str] = []
    if pipeline["PipelineStatus"] != "Active":
        found.append(f"it is {pipeline['PipelineStatus']}, not Active")
    if json.loads(pipeline["PipelineDefinition"]) != json.loads(wanted.definition):
        found.append("its definition is another one")
    if pipeline["RoleArn"] != wanted.role_arn:
        found.append(f"it runs by {pipeline['RoleArn']}, not by {wanted.role_arn}")
    if f'"ModelName": "{wanted.model_name}"' not in wanted.definition:
        found.append(f"its definition does not predict with the model {wanted.model_name}")
    found += _of_model(sagemaker.describe_model(ModelName=wanted.model_name), wanted)
    for name, rule in wanted.rules.items():
        found += _of_rule(events, name, rule, pipeline["PipelineArn"])
    if found:
        raise NotLiveError(f"{wanted.pipeline_name}: {'; '.join(found)}")


def _of_rule(events: Any, name: str, wanted: Mapping[str, str], pipeline_arn: str) -> list[str]:
    rule = events.describe_rule(Name=name)
    found = [] if rule["State"] == "ENABLED" else [f"the rule {name} is {rule['State']}"]
    if rule.get("ScheduleExpression") != wanted.get("schedule"):
        found.append(f"the rule {name} has the schedule {rule.get('ScheduleExpression')}")
    pattern = json.loads(rule.get("EventPattern") or "null")
    if pattern != json.loads(wanted.get("pattern") or "null"):
        found.append(f"the rule {name} has another event pattern")
    targets = [
        (
            target["Arn"],
            [
                item["Value"]
                for item in (target.get("SageMakerPipelineParameters") or {}).get(
                    "PipelineParameterList", []
                )
            ],
        )
        for target in events.list_targets_by_rule(Rule=name)["Targets"]
    ]
    if targets != [(pipeline_arn, [wanted["input"]])]:
        found.append(f"the rule {name} starts {targets}")
    return found


def _is_missing(error: ClientError) -> bool:
    # SageMaker has no error of its own for this: it is a validation error with this text.
    told = error.response.get("Error", {})
    return told.get("Code") == "ResourceNotFound" or (
        told.get("Code") == "ValidationException"
        and "could not find endpoint" in told.get("Message", "").lower()
    )


def _of_endpoint(endpoint: Mapping[str, Any], wanted: Wanted) -> list[str]:
    found: list[str] = []
    if endpoint["EndpointStatus"] != "InService":
        found.append(f"it is {endpoint['EndpointStatus']}, not InService")
    live = endpoint.get("EndpointConfigName")
    if live != wanted.endpoint_config_name:
        found.append(
            f"the configuration {live} is live, not {wanted.endpoint_config_name}: "
            "SageMaker rolled the update back"
        )
    elif endpoint.get("FailureReason"):
        found.append("the last update did not go through")
    if endpoint.get("PendingDeploymentSummary"):
        pending = endpoint["PendingDeploymentSummary"].get("EndpointConfigName")
        found.append(f"another update, to {pending}, is under way")
    return found


def _of_configuration(
    configuration: Mapping[str, Any], endpoint: Mapping[str, Any], wanted: Wanted
) -> list[str]:
    found: list[str] = []
    configured = {
        variant["VariantName"]: (variant.get("ModelName"), variant.get("InstanceType"))
        for variant in configuration["ProductionVariants"]
    }
    serving = {variant["VariantName"] for variant in endpoint.get("ProductionVariants") or []}
    if serving != set(configured):
        found.append(f"the variants {_listed(serving)} serve, not {_listed(set(configured))}")
    for name, (model, instance_type) in configured.items():
        if model != wanted.model_name:
            found.append(f"the variant {name} runs the model {model}, not {wanted.model_name}")
        if instance_type != wanted.instance_type:
            found.append(f"the variant {name} runs on {instance_type}, not {wanted.instance_type}")
    return found


def _of_model(model: Mapping[str, Any], wanted: Wanted | WantedBatch) -> list[str]:
    # A package of several containers is described as several.
    containers = [model["PrimaryContainer"]] if model.get("PrimaryContainer") else []
    containers += model.get("Containers") or []
    expected = (
        {"ModelPackageName": wanted.version.model_package_arn}
        if wanted.source == "package"
        else {"Image": wanted.version.image, "ModelDataUrl": wanted.version.model_data_url}
    )
    return [
        f"the model {wanted.model_name} has {member} {container.get(member)}, not {value}"
        for container in containers or [cast(Mapping[str, Any], {})]
        for member, value in expected.items()
        if container.get(member) != value
    ]


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
