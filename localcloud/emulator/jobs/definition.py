"""Pipeline definitions: what they may say, and what their references come to.

Sources: SageMaker developer guide, "Define a pipeline", and the limitations of condition and fail
steps in "Add a step"; the definitions of the SageMaker Python SDK. That no step of any type may
depend on a condition: aws/sagemaker-python-sdk, issue 3565.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from moto.core.utils import get_service_model

STEP_CALLS = {
    "Processing": "CreateProcessingJob",
    "Training": "CreateTrainingJob",
    "Tuning": "CreateHyperParameterTuningJob",
    "Transform": "CreateTransformJob",
    "Model": "CreateModel",
    "RegisterModel": "CreateModelPackage",
}
"""Step type -> the call that it makes; its arguments are that call's input."""

_OTHERS = ("Condition", "Fail", "Lambda")

CACHE_KEYS = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
    "Tuning": (
        "HyperParameterTuningJobConfig",
        "TrainingJobDefinition.AlgorithmSpecification",
        "TrainingJobDefinition.HyperParameterRanges",
        "TrainingJobDefinition.InputDataConfig",
        "TrainingJobDefinition.StaticHyperParameters",
        "TrainingJobDefinition.TuningObjective",
        "TrainingJobDefinitions",
    ),
    "Transform": ("DataProcessing", "Environment", "ModelName", "TransformInput"),
}
"""Step type -> arguments, or members of them, that make a step another one.
Source: SageMaker developer guide, "Default cache key attributes by pipeline step type"."""

_TYPES: dict[str, Callable[[Any], Any]] = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": lambda value: {"true": True, "false": False}[str(value).lower()],
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_PATH = re.compile(r"\.?([^.\[\]]+)|\[(?:'([^']*)'|\"([^\"]*)\"|(\d+))\]")
_NAMES = ("OutputName", "InputName", "ChannelName", "MetricName", "Name")
_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?"
)
_SECONDS = (31_536_000, 2_592_000, 604_800, 86_400, 3600, 60, 1)


class DefinitionError(Exception):
    """A definition or a value in it is wrong; the message says where."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        given: As defined.
        needs: Names of the steps that it waits for.
        branch: The condition step that it is part of, and on which outcome.
    """

    given: Mapping[str, Any]
    needs: frozenset[str]
    branch: tuple[str, bool] | None

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.given["Name"])

    @property
    def type(self) -> str:
        """Its type."""
        return str(self.given["Type"])

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Its arguments, unresolved."""
        return cast("Mapping[str, Any]", self.given.get("Arguments") or {})


@dataclass(frozen=True)
class Definition:
    """A pipeline definition that was checked.

    Attributes:
        parameters: Name -> as defined.
        steps: Name -> step, those of branches included, in the order of the definition.
        experiment: ``ExperimentName`` and ``TrialName`` of its executions, unresolved; empty when
            it keeps none.
    """

    parameters: Mapping[str, Mapping[str, Any]]
    steps: Mapping[str, Step]
    experiment: Mapping[str, Any]

    def values(self, given: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """The values of all parameters.

        Args:
            given: ``PipelineParameters`` of an execution.

        Raises:
            DefinitionError: One is unknown, missing, or not of its type.
        """
        said = {item["Name"]: item["Value"] for item in given}
        unknown = sorted(set(said) - set(self.parameters))
        if unknown:
            raise DefinitionError(
                f"Unknown parameters: {', '.join(unknown)}; the pipeline has"
                f" {', '.join(sorted(self.parameters)) or 'none'}."
            )
        found: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            if name not in said and parameter.get("DefaultValue") is None:
                raise DefinitionError(f"Parameter {name} has no default: give it a value.")
            value = said.get(name, parameter.get("DefaultValue"))
            try:
                found[name] = _TYPES[parameter["Type"]](value)
            except (KeyError, TypeError, ValueError):
                raise DefinitionError(
                    f"Parameter {name} is a {parameter['Type']}, and {value!r} is none."
                ) from None
            allowed = parameter.get("EnumValues")
            if allowed and found[name] not in allowed:
                raise DefinitionError(
                    f"Parameter {name} is one of {', '.join(map(str, allowed))}, not {value}."
                )
        return found


def parse(text: str) -> Definition:
    """Reads a definition and checks it.

    Raises:
        DefinitionError: It is no JSON, names steps or parameters that it does not have, has a step
            of a type that the local cloud cannot run, or arguments that the step's call lacks.
    """
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise DefinitionError(f"The pipeline definition is no JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(
        cast("dict[str, Any]", document).get("Steps"), list
    ):
        raise DefinitionError("The pipeline definition has no list of Steps.")
    whole = cast("dict[str, Any]", document)
    parameters = {item["Name"]: item for item in whole.get("Parameters") or []}
    for name, parameter in parameters.items():
        if parameter.get("Type") not in _TYPES:
            raise DefinitionError(f"Parameter {name} has no type of {', '.join(_TYPES)}.")
    steps: dict[str, Step] = {}
    for given, branch in _flat(whole["Steps"], None):
        if given["Name"] in steps:
            raise DefinitionError(f"Two steps are called {given['Name']}.")
        steps[given["Name"]] = Step(given, frozenset(_needs(given)), branch)
    for step in steps.values():
        _check(step, steps, parameters)
    _check_order(steps)
    return Definition(parameters, steps, whole.get("PipelineExperimentConfig") or {})


def _flat(
    steps: Sequence[Mapping[str, Any]], branch: tuple[str, bool] | None
) -> Iterator[tuple[Mapping[str, Any], tuple[str, bool] | None]]:
    for given in steps:
        if "Name" not in given or "Type" not in given:
            raise DefinitionError(f"A step has no Name or no Type: {json.dumps(given)[:200]}")
        yield given, branch
        if given["Type"] == "Condition":
            arguments = given.get("Arguments") or {}
            yield from _flat(arguments.get("IfSteps") or [], (given["Name"], True))
            yield from _flat(arguments.get("ElseSteps") or [], (given["Name"], False))


def references(value: Any) -> Iterator[str]:
    """All that ``Get`` asks for within a value."""
    if isinstance(value, dict):
        entry = cast("dict[str, Any]", value)
        if set(entry) == {"Get"}:
            yield str(entry["Get"])
        else:
            for item in entry.values():
                yield from references(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from references(item)


def _own(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step without the steps of its branches."""
    if given["Type"] != "Condition":
        return given
    arguments = given.get("Arguments") or {}
    return {**given, "Arguments": {"Conditions": arguments.get("Conditions")}}


def _needs(given: Mapping[str, Any]) -> Iterator[str]:
    yield from given.get("DependsOn") or []
    for reference in references(dict(_own(given))):
        parts = re.split(r"[.\[]", reference)
        if parts[0] == "Steps":
            yield parts[1]


def _check(
    step: Step, steps: Mapping[str, Step], parameters: Mapping[str, Mapping[str, Any]]
) -> None:
    if step.type not in STEP_CALLS and step.type not in _OTHERS:
        raise DefinitionError(
            f"Step {step.name}: the local cloud runs no {step.type} steps, only"
            f" {', '.join((*STEP_CALLS, *_OTHERS))}. Add them in"
            " localcloud/emulator/jobs/pipelines.py."
        )
    for need in step.needs:
        if need not in steps:
            raise DefinitionError(f"Step {step.name} needs {need}, which is no step.")
        if steps[need].type == "Condition":
            raise DefinitionError(
                f"Step {step.name} needs {need}, which is a condition: SageMaker's pipelines take"
                " none as another step's dependency."
            )
    if step.type == "Condition" and step.branch:
        raise DefinitionError(
            f"Step {step.name} is a condition within {step.branch[0]}: SageMaker's pipelines have"
            " no nested conditions."
        )
    if step.type == "Fail" and "Std:JsonGet" in json.dumps(step.arguments):
        raise DefinitionError(
            f"Step {step.name}: ErrorMessage takes no Std:JsonGet, only text, parameters, Std:Join"
            " and properties of steps."
        )
    for reference in references(dict(_own(step.given))):
        kind, _, name = reference.partition(".")
        if kind not in ("Parameters", "Steps", "Execution"):
            raise DefinitionError(f"Step {step.name} refers to {reference}, which is nothing.")
        if kind == "Parameters" and name not in parameters:
            raise DefinitionError(f"Step {step.name} refers to parameter {name}, which is none.")
    if step.type in STEP_CALLS:
        shape = _shape(STEP_CALLS[step.type])
        unknown = sorted(set(step.arguments) - set(shape.members))
        if unknown:
            raise DefinitionError(
                f"Step {step.name}: {STEP_CALLS[step.type]} has no {', '.join(unknown)}."
            )


def _check_order(steps: Mapping[str, Step]) -> None:
    done: set[str] = set()
    while len(done) < len(steps):
        ready = {
            name
            for name, step in steps.items()
            if name not in done
            and step.needs <= done
            and (step.branch is None or step.branch[0] in done)
        }
        if not ready:
            rest = ", ".join(sorted(set(steps) - done))
            raise DefinitionError(f"The steps {rest} wait for each other.")
        done |= ready


def _shape(call: str) -> Any:
    return get_service_model("sagemaker").operation_model(call).input_shape


def fitted(value: Any, shape: Any) -> Any:
    """A value in the types that a call takes; what is None is left out.

    Parameters are numbers where the call may want text, such as for hyperparameters.
    """
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {
            name: fitted(item, shape.members[name]) if name in shape.members else item
            for name, item in entries.items()
            if item is not None
        }
    if kind == "map" and isinstance(value, dict):
        return {k: fitted(v, shape.value) for k, v in cast("dict[str, Any]", value).items()}
    if kind == "list" and isinstance(value, list):
        return [fitted(item, shape.member) for item in cast("list[Any]", value)]
    if kind == "string" and isinstance(value, bool):
        return str(value).lower()
    if kind == "string" and isinstance(value, int | float):
        return str(value)
    if kind in ("integer", "long") and isinstance(value, str):
        return int(value)
    if kind == "boolean" and isinstance(value, str):
        # The SDK writes None as text here and there; it means what is not said.
        return value.lower() == "true"
    return value


def call_input(step_type: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A step's resolved arguments as its call takes them."""
    return cast("dict[str, Any]", fitted(dict(arguments), _shape(STEP_CALLS[step_type])))


def seconds(duration: str) -> float:
    """An ISO 8601 duration, such as ``P30D`` or ``PT1H``, in seconds.

    Raises:
        DefinitionError: It is none.
    """
    match = _DURATION.fullmatch(duration)
    if not match or not any(match.groups()):
        # The SDK's documentation writes days without the P as well.
        raise DefinitionError(f"{duration} is no ISO 8601 duration, such as P30D or PT1H.")
    return float(sum(int(n or 0) * unit for n, unit in zip(match.groups(), _SECONDS, strict=True)))


def at(value: Any, path: str) -> Any:
    """What lies at a path such as ``a.b[0].c`` or ``Outputs['train'].S3Output``.

    Raises:
        DefinitionError: Nothing does.
    """
    found = value
    for plain, single, double, number in _PATH.findall(path):
        key = plain or single or double
        try:
            if isinstance(found, list):
                items = cast("list[Any]", found)
                found = (
                    items[int(number or key)] if (number or key).isdigit() else _named(items, key)
                )
            else:
                found = found[key or number]
        except (KeyError, IndexError, TypeError, StopIteration):
            raise DefinitionError(f"There is nothing at {path}: no {key or number}.") from None
    return found


def _named(items: list[Any], key: str) -> Any:
    return next(item for item in items if any(item.get(name) == key for name in _NAMES))


@dataclass
class Resolver:
    """Gives references their values.

    Attributes:
        parameters: Parameter values.
        variables: Execution variables.
        results: Step name -> its properties.
        property_file: ``property_file(step, name)`` reads a property file.
        read: ``read(s3_uri)`` reads a JSON object.
    """

    parameters: Mapping[str, Any]
    variables: Mapping[str, Any]
    results: Mapping[str, Any]
    property_file: Callable[[str, str], Any]
    read: Callable[[str], Any]

    def resolve(self, value: Any) -> Any:
        """A value with all references replaced.

        Raises:
            DefinitionError: A reference leads nowhere.
        """
        if isinstance(value, list):
            return [self.resolve(item) for item in cast("list[Any]", value)]
        if not isinstance(value, dict):
            return value
        entry = cast("dict[str, Any]", value)
        if set(entry) == {"Get"}:
            return self._get(str(entry["Get"]))
        if set(entry) == {"Std:Join"}:
            given = entry["Std:Join"]
            return str(given["On"]).join(_text(self.resolve(v)) for v in given["Values"])
        if set(entry) == {"Std:JsonGet"}:
            return self._json(entry["Std:JsonGet"])
        return {name: self.resolve(item) for name, item in entry.items()}

    def _get(self, reference: str) -> Any:
        kind, _, rest = reference.partition(".")
        if kind == "Parameters":
            return self.parameters[rest]
        if kind == "Execution":
            if rest not in self.variables:
                raise DefinitionError(f"There is no execution variable {rest}.")
            return self.variables[rest]
        name = re.split(r"[.\[]", rest)[0]
        if name not in self.results:
            raise DefinitionError(f"{reference}: step {name} has not run.")
        return at(self.results[name], rest[len(name) :])

    def _json(self, given: Mapping[str, Any]) -> Any:
        path = self.resolve(given["Path"])
        if given.get("S3Uri") is not None:
            return at(self.read(str(self.resolve(given["S3Uri"]))), path)
        reference = str(given["PropertyFile"]["Get"])
        _, step, _, name = reference.split(".", 3)
        return at(self.property_file(step, name), path)

    def holds(self, condition: Mapping[str, Any]) -> bool:
        """Whether a condition holds.

        Raises:
            DefinitionError: It is of an unknown type, or its values cannot be compared.
        """
        kind = str(condition["Type"])
        if kind == "Not":
            return not self.holds(condition["Expression"])
        if kind == "Or":
            return any(self.holds(item) for item in condition["Conditions"])
        if kind == "In":
            return self.resolve(condition["QueryValue"]) in self.resolve(condition["Values"])
        if kind not in _COMPARE:
            raise DefinitionError(f"There is no condition {kind}.")
        left, right = (self.resolve(condition[side]) for side in ("LeftValue", "RightValue"))
        try:
            return _COMPARE[kind](left, right)
        except TypeError as error:
            raise DefinitionError(f"{left!r} and {right!r} cannot be compared.") from error


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
