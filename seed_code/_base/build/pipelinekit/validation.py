"""Checks a pipeline definition against AWS's own API model and the platform's demands.

SageMaker checks a definition's form when the pipeline is made, and the arguments of a step only
when its job is started, after the steps before it ran. The service model inside botocore knows
what those arguments may be: a step's ``Arguments`` are the request of the API call that starts its
job, and what ``Steps.X…`` refers to is the answer of the call that describes it.

The JSON schema of definitions that the API reference of CreatePipeline points to is not asked: it
comes with no package that could be pinned, so that a build would depend on a page. For the
arguments of steps botocore's model is the one that the calls are made by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import botocore.session

from pipelinekit.contract import CONNECTED, Platform
from pipelinekit.settings import has_local_disks

Json = dict[str, Any]

# Step type -> (call that starts it, call that describes it, what the service names itself).
# Source: "Pipelines steps" in the SageMaker developer guide.
_CALLS: Mapping[str, tuple[str, str, str]] = {
    "Processing": ("CreateProcessingJob", "DescribeProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "DescribeTrainingJob", "TrainingJobName"),
    "Tuning": (
        "CreateHyperParameterTuningJob",
        "DescribeHyperParameterTuningJob",
        "HyperParameterTuningJobName",
    ),
    "Transform": ("CreateTransformJob", "DescribeTransformJob", "TransformJobName"),
    "Model": ("CreateModel", "DescribeModel", "ModelName"),
    "RegisterModel": ("CreateModelPackage", "DescribeModelPackage", "ModelPackageName"),
}
_TUNED = "ListTrainingJobsForHyperParameterTuningJob"
"""The call that tells the other half of a tuning step's properties.
Source: TuningStep in the SageMaker Python SDK."""
_STRUCTURAL = ("Condition", "Fail")

_EXECUTION = (
    "StartDateTime",
    "CurrentDateTime",
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "TrainingJobName",
    "ProcessingJobName",
)
"""Execution variables. Source: ExecutionVariables in the SageMaker Python SDK."""

_PARAMETERS = {"String": (str,), "Integer": (int,), "Float": (float, int), "Boolean": (bool,)}
_FITS = {
    "string": {"String"},
    "integer": {"Integer"},
    "long": {"Integer"},
    "float": {"Float", "Integer"},
    "double": {"Float", "Integer"},
    "boolean": {"Boolean"},
}
_COMPARISONS = (
    "Equals",
    "GreaterThan",
    "GreaterThanOrEqualTo",
    "LessThan",
    "LessThanOrEqualTo",
)
_RETRIED = (
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)
_PATH = re.compile(r"\.?([A-Za-z0-9_-]+)|\['([^']+)'\]|\[(\d+)\]")
_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")
_NAME_MAX = 64
_CACHE_AGE = re.compile(r"P(\d+[YMWD])*(T(\d+[HMS])+)?")


class DefinitionError(ValueError):
    """The definition is wrong; the message has a line for each fault."""


@cache
def _model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def _steps(steps: list[Json]) -> Iterator[Json]:
    """All steps, those inside of conditions too."""
    for step in steps:
        yield step
        if step.get("Type") == "Condition":
            arguments = step.get("Arguments", {})
            yield from _steps(arguments.get("IfSteps") or [])
            yield from _steps(arguments.get("ElseSteps") or [])


def _expression(value: Any) -> str:
    """``Get``, ``Std:Join`` …, where a value is worked out during the execution; else empty."""
    if isinstance(value, dict) and len(cast(Json, value)) == 1:
        key = next(iter(cast(Json, value)))
        if key == "Get" or key.startswith("Std:"):
            return key
    return ""


class _Check:
    """One definition's faults."""

    def __init__(self, definition: Json) -> None:
        self.faults: list[str] = []
        self._definition = definition
        self._parameters = {item.get("Name"): item for item in definition.get("Parameters", [])}
        self._steps = {step.get("Name"): step for step in _steps(definition.get("Steps", []))}
        self._needs: dict[str, set[str]] = {}

    def run(self) -> None:
        known = {"Version", "Metadata", "Parameters", "Steps", "PipelineExperimentConfig"}
        for key in sorted(set(self._definition) - known):
            self._tell("definition", f"unknown member {key}")
        if self._definition.get("Version") != "2020-12-01":
            self._tell("Version", f"{self._definition.get('Version')!r} is not 2020-12-01")
        for item in self._definition.get("Parameters", []):
            self._parameter(item)
        names = [step.get("Name") for step in _steps(self._definition.get("Steps", []))]
        if not names:
            self._tell("Steps", "there are none")
        for name in sorted({str(name) for name in names if names.count(name) > 1}):
            self._tell(name, "more than one step has this name")
        for step in self._steps.values():
            self._step(step)
        self._cycles()

    def _tell(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")

    def _parameter(self, item: Json) -> None:
        where = f"Parameters.{item.get('Name')}"
        types = _PARAMETERS.get(item.get("Type", ""))
        if types is None:
            self._tell(where, f"{item.get('Type')!r} is no type of parameters")
            return
        values = item.get("EnumValues", [])
        given = [*values, *([item["DefaultValue"]] if "DefaultValue" in item else [])]
        for value in given:
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                self._tell(where, f"{value!r} is no {item['Type']}")
        if values and "DefaultValue" in item and item["DefaultValue"] not in values:
            self._tell(where, f"the default {item['DefaultValue']!r} is none of {values}")

    def _step(self, step: Json) -> None:
        name, kind = str(step.get("Name")), str(step.get("Type"))
        if not _NAME.fullmatch(name) or len(name) > _NAME_MAX:
            self._tell(name, "is no name of a step")
        self._needs[name] = set(step.get("DependsOn", []))
        for other in sorted(self._needs[name] - set(self._steps)):
            self._tell(name, f"depends on {other}, which is no step")
        arguments = step.get("Arguments", {})
        if kind in _CALLS:
            call, _, own = _CALLS[kind]
            shape = _model().operation_model(call).input_shape
            self._value(shape, arguments, name, name, optional=own)
        elif kind == "Condition":
            self._condition(name, arguments)
        elif kind == "Fail":
            message = arguments.get("ErrorMessage")
            self._operand(name, f"{name}.ErrorMessage", message)
            if "Std:JsonGet" in json.dumps(message):
                self._tell(f"{name}.ErrorMessage", "takes no Std:JsonGet")
        else:
            allowed = ", ".join([*_CALLS, *_STRUCTURAL])
            self._tell(name, f"steps of type {kind!r} cannot be checked; known are {allowed}")
        self._no_conditions_needed(name)
        self._property_files(name, step)
        age = (step.get("CacheConfig") or {}).get("ExpireAfter", "P1D")
        if not _CACHE_AGE.fullmatch(age):
            self._tell(name, f"CacheConfig.ExpireAfter {age!r} is no ISO 8601 duration")
        for policy in step.get("RetryPolicies", []):
            for cause in policy.get("ExceptionType", []):
                if cause not in _RETRIED:
                    self._tell(name, f"RetryPolicies: {cause!r} is none of {', '.join(_RETRIED)}")

    def _no_conditions_needed(self, name: str) -> None:
        """No step may wait for a condition, unless it is in a branch of it.

        Sources: the limitations of condition steps in the SageMaker developer guide, "Add a step";
        for steps of other types aws/sagemaker-python-sdk, issue 3565.
        """
        for other in sorted(self._needs[name]):
            if self._steps.get(other, {}).get("Type") == "Condition":
                self._tell(name, f"depends on {other}, and no step may depend on a condition")

    def _property_files(self, name: str, step: Json) -> None:
        for file in step.get("PropertyFiles", []):
            if file.get("OutputName") not in self._outputs(name):
                self._tell(
                    name,
                    f"property file {file.get('PropertyFileName')} is in the output"
                    f" {file.get('OutputName')!r}, which the step does not have",
                )

    def _outputs(self, step: str) -> set[str]:
        config = self._steps.get(step, {}).get("Arguments", {}).get("ProcessingOutputConfig", {})
        return {str(item.get("OutputName")) for item in config.get("Outputs", [])}

    def _condition(self, name: str, arguments: Json) -> None:
        inside = [*(arguments.get("IfSteps") or []), *(arguments.get("ElseSteps") or [])]
        for step in inside:
            if step.get("Type") == "Condition":
                self._tell(name, f"has the condition {step.get('Name')} in it: none may be nested")
        conditions = arguments.get("Conditions") or []
        if not conditions:
            self._tell(name, "has no conditions")
        for index, item in enumerate(conditions):
            where = f"{name}.Conditions[{index}]"
            if item.get("Type") not in _COMPARISONS:
                self._tell(where, f"{item.get('Type')!r} is none of {', '.join(_COMPARISONS)}")
            for side in ("LeftValue", "RightValue"):
                if side not in item:
                    self._tell(where, f"missing {side}")
                else:
                    self._operand(name, f"{where}.{side}", item[side])

    def _operand(self, step: str, where: str, value: Any) -> None:
        if _expression(value):
            self._resolve(step, where, value, None)
        elif not isinstance(value, str | int | float | bool):
            self._tell(where, f"expected a value, got {value!r:.80}")

    def _value(self, shape: Any, value: Any, where: str, step: str, *, optional: str = "") -> None:
        """Compares a value with the shape that botocore has for it."""
        if _expression(value):
            self._resolve(step, where, value, shape)
            return
        kind, limits = shape.type_name, shape.metadata
        size = len(value) if isinstance(value, str | list | dict) else value
        if kind == "structure":
            if not isinstance(value, dict):
                self._tell(where, f"expected members, got {value!r:.80}")
                return
            members = cast(Json, value)
            for key, item in members.items():
                if key not in shape.members:
                    self._tell(where, f"unknown member {key}")
                else:
                    self._value(shape.members[key], item, f"{where}.{key}", step)
            for key in shape.required_members:
                if key not in members and key != optional:
                    self._tell(where, f"missing {key}")
            return
        expected = {"list": list, "map": dict, "string": str, "boolean": bool}.get(
            kind, int if kind in ("integer", "long") else (int, float)
        )
        if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
            self._tell(where, f"expected {kind}, got {value!r:.80}")
            return
        if kind == "list":
            for index, item in enumerate(cast(list[Any], value)):
                self._value(shape.member, item, f"{where}[{index}]", step)
        elif kind == "map":
            for key, item in cast(Json, value).items():
                self._value(shape.key, key, f"{where}.{key} (its name)", step)
                self._value(shape.value, item, f"{where}.{key}", step)
        elif kind == "string":
            if shape.enum and value not in shape.enum:
                self._tell(where, f"{value!r} is none of the values that SageMaker knows")
            pattern = limits.get("pattern", "")
            # Python's re has no Unicode categories.
            if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, cast(str, value)):
                self._tell(where, f"{value!r:.80} does not match {pattern}")
        if kind != "boolean" and not limits.get("min", size) <= size <= limits.get("max", size):
            what = "" if kind in ("integer", "long", "float", "double") else " elements/characters"
            allowed = f"{limits.get('min', '')} to {limits.get('max', '')}"
            self._tell(where, f"{size}{what} is out of range, allowed are {allowed}")

    def _resolve(self, step: str, where: str, value: Json, shape: Any) -> None:
        """Checks that what a value refers to exists, and that it fits where it is used."""
        key, inner = next(iter(value.items()))
        if key == "Std:Join":
            for item in inner.get("Values", []):
                self._operand(step, where, item)
            if not isinstance(inner.get("On"), str) or not inner.get("Values"):
                self._tell(where, "Std:Join needs On and Values")
        elif key == "Std:JsonGet":
            self._json_get(step, where, inner)
        elif key != "Get":
            self._tell(where, f"unknown function {key}")
        else:
            self._get(step, where, str(inner), shape)

    def _json_get(self, step: str, where: str, inner: Json) -> None:
        reference = str((inner.get("PropertyFile") or {}).get("Get", ""))
        parts = reference.split(".")
        if not inner.get("Path"):
            self._tell(where, "Std:JsonGet needs a Path")
        if len(parts) != 4 or parts[0] != "Steps" or parts[2] != "PropertyFiles":
            self._tell(where, f"{reference!r} is no property file")
            return
        files = self._steps.get(parts[1], {}).get("PropertyFiles", [])
        if parts[3] not in [file.get("PropertyFileName") for file in files]:
            self._tell(where, f"step {parts[1]} has no property file {parts[3]}")
        self._needs[step].add(parts[1])

    def _get(self, step: str, where: str, reference: str, shape: Any) -> None:
        root, _, rest = reference.partition(".")
        if root == "Parameters":
            parameter = self._parameters.get(rest)
            if parameter is None:
                self._tell(where, f"there is no parameter {rest}")
            elif shape is not None:
                self._parameter_fits(where, parameter, shape)
        elif root == "Execution":
            if rest not in _EXECUTION:
                self._tell(where, f"there is no execution variable {rest}")
        elif root == "Steps":
            self._step_property(step, where, rest)
        else:
            self._tell(where, f"{reference!r} is neither a parameter, an execution nor a step")

    def _parameter_fits(self, where: str, parameter: Json, shape: Any) -> None:
        name, kind = parameter.get("Name"), parameter.get("Type")
        if kind not in _FITS.get(shape.type_name, set()):
            self._tell(where, f"parameter {name} is {kind}, expected {shape.type_name}")
            return
        given = parameter.get("EnumValues") or [parameter.get("DefaultValue")]
        for value in given:
            if value is not None:
                self._value(shape, value, f"{where} (parameter {name})", where)

    def _step_property(self, step: str, where: str, rest: str) -> None:
        other, _, path = rest.partition(".")
        target = self._steps.get(other)
        if target is None:
            self._tell(where, f"there is no step {other}")
            return
        self._needs[step].add(other)
        if target.get("Type") not in _CALLS:
            self._tell(where, f"a step of type {target.get('Type')} has no properties")
            return
        describe = _CALLS[target["Type"]][1]
        if target["Type"] == "Tuning" and path.startswith("TrainingJobSummaries"):
            describe = _TUNED
        shape = _model().operation_model(describe).output_shape
        at = other
        for part in _PATH.finditer(path):
            member, key, index = part.groups()
            if member and shape.type_name == "structure" and member in shape.members:
                shape, at = shape.members[member], f"{at}.{member}"
            elif (key or index) and shape.type_name in ("list", "map"):
                if at.endswith("ProcessingOutputConfig.Outputs") and key not in self._outputs(
                    other
                ):
                    self._tell(where, f"step {other} has no output {key or index!r}")
                shape = shape.member if shape.type_name == "list" else shape.value
            else:
                self._tell(where, f"{at} has no {member or key or index}")
                return
        if shape.type_name in ("structure", "list", "map"):
            self._tell(where, f"Steps.{rest} is no single value")

    def _cycles(self) -> None:
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                self._tell(name, f"waits for itself: {' -> '.join([*path, name])}")
            elif name not in done:
                for other in sorted(self._needs.get(name, set()) & set(self._needs)):
                    visit(other, (*path, name))
                done.add(name)

        for name in self._needs:
            visit(name, ())


def faults(definition: Json) -> list[str]:
    """What AWS would refuse of a definition, or fail on during an execution; empty when nothing.

    Args:
        definition: The parsed definition.
    """
    check = _Check(definition)
    check.run()
    return check.faults


@dataclass(frozen=True)
class _Demand:
    """What the platform demands of the jobs of a step type.

    Attributes:
        network: Path to the VPC settings.
        isolation: Path to the flag of network isolation.
        traffic: Path to the flag of encryption between containers.
        types: Path to the instance type.
        disk: Path to the key of the disks.
        outputs: Path to the key of the outputs.
    """

    network: str
    isolation: str
    traffic: str
    types: str
    disk: str
    outputs: str


_DEMANDS = {
    "Processing": _Demand(
        "NetworkConfig.VpcConfig",
        "NetworkConfig.EnableNetworkIsolation",
        "NetworkConfig.EnableInterContainerTrafficEncryption",
        "ProcessingResources.ClusterConfig.InstanceType",
        "ProcessingResources.ClusterConfig.VolumeKmsKeyId",
        "ProcessingOutputConfig.KmsKeyId",
    ),
    "Tuning": _Demand(
        "TrainingJobDefinition.VpcConfig",
        "TrainingJobDefinition.EnableNetworkIsolation",
        "TrainingJobDefinition.EnableInterContainerTrafficEncryption",
        "TrainingJobDefinition.ResourceConfig.InstanceType",
        "TrainingJobDefinition.ResourceConfig.VolumeKmsKeyId",
        "TrainingJobDefinition.OutputDataConfig.KmsKeyId",
    ),
    "Training": _Demand(
        "VpcConfig",
        "EnableNetworkIsolation",
        "EnableInterContainerTrafficEncryption",
        "ResourceConfig.InstanceType",
        "ResourceConfig.VolumeKmsKeyId",
        "OutputDataConfig.KmsKeyId",
    ),
}


def breaches(
    definition: Json, platform: Platform, tags: Mapping[str, str], group: str
) -> list[str]:
    """What of a definition the platform's roles or its policies would deny; empty when nothing.

    Args:
        definition: The parsed definition.
        platform: What networks and keys jobs must use.
        tags: Tags that every job must have.
        group: The only group that versions may go to.
    """
    found: list[str] = []
    for step in _steps(definition.get("Steps", [])):
        name, kind, arguments = step["Name"], step["Type"], step.get("Arguments", {})
        if kind == "RegisterModel":
            wanted = {
                "ModelPackageGroupName": group,
                "ModelApprovalStatus": "PendingManualApproval",
            }
            found += _compared(name, arguments, wanted)
        elif kind in _DEMANDS:
            demand = _DEMANDS[kind]
            network = _at(arguments, demand.network) or {}
            for member, allowed in (
                ("Subnets", platform.subnets),
                ("SecurityGroupIds", platform.security_groups),
            ):
                given = network.get(member) or []
                if not given or not set(given) <= set(allowed):
                    found.append(f"{name}.{demand.network}.{member}: {given} is not of {allowed}")
            types = _choices(definition, _at(arguments, demand.types))
            local = [has_local_disks(item) for item in types]
            if any(local) and not all(local):
                found.append(
                    f"{name}.{demand.types}: {types} are with and without local disks, but the"
                    " volume key is named for all of them or for none"
                )
            wanted = {
                demand.isolation: (kind, name) != ("Processing", CONNECTED),
                demand.traffic: True,
                demand.disk: None if local and all(local) else platform.volume_key,
                demand.outputs: platform.models_key,
            }
            found += _compared(name, arguments, wanted)
            given_tags = {item["Key"]: item["Value"] for item in arguments.get("Tags", [])}
            found += [
                f"{name}.Tags: {key} must be {value!r}"
                for key, value in tags.items()
                if given_tags.get(key) != value
            ]
        elif kind not in _STRUCTURAL:
            found.append(f"{name}: it is not known what the platform demands of a {kind} step")
    return found


def _choices(definition: Json, value: Any) -> list[str]:
    """What a string may be in an execution: itself, or what its parameter allows."""
    if not isinstance(value, dict):
        return [value] if isinstance(value, str) else []
    name = str(cast(Json, value).get("Get", "")).removeprefix("Parameters.")
    for item in cast(list[Json], definition.get("Parameters", [])):
        if item.get("Name") == name:
            given = item.get("EnumValues") or [item.get("DefaultValue")]
            return [str(choice) for choice in given if choice is not None]
    return []


def _at(arguments: Json, path: str) -> Any:
    value: Any = arguments
    for part in path.split("."):
        value = cast(Json, value).get(part) if isinstance(value, dict) else None
    return value


def _compared(name: str, arguments: Json, wanted: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}.{path}: is {_at(arguments, path)!r}, must be {value!r}"
        for path, value in wanted.items()
        if _at(arguments, path) != value
    ]
