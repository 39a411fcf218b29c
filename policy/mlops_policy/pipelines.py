"""Reads the jobs out of the definition of a SageMaker pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mlops_policy.model import Resource

_PROCESSING = frozenset({"Processing", "QualityCheck", "ClarifyCheck"})
"""Kinds of steps whose arguments are a request for a processing job."""
_KINDS = _PROCESSING | {"Training", "Tuning", "Transform", "AutoML", "Model"}
_ISOLABLE = _PROCESSING | {"Training", "Tuning", "Model"}
_WITHOUT_JOB = frozenset({"Transform", "Model"})


@dataclass(frozen=True)
class Job:
    """A step that starts a job or makes a model; absent settings are empty."""

    name: str
    kind: str
    arguments: Mapping[str, Any]

    @property
    def takes_vpc(self) -> bool:
        """Whether its request has network settings; a transform job has those of its model."""
        return self.kind != "Transform"

    @property
    def takes_isolation(self) -> bool:
        """Whether its request can turn off the containers' network."""
        return self.kind in _ISOLABLE

    @property
    def takes_traffic_encryption(self) -> bool:
        """Whether its request can encrypt what its containers send to each other."""
        return self.kind not in _WITHOUT_JOB

    @property
    def networks(self) -> list[Mapping[str, Any]]:
        """Its network settings; a tuning job has them in each definition of training."""
        if self.kind in _PROCESSING:
            return [self.arguments.get("NetworkConfig") or {}]
        if self.kind == "AutoML":
            return [self._security]
        return self._definitions

    @property
    def clusters(self) -> list[Mapping[str, Any]]:
        """Its instances: type, count and volume; none where it has none."""
        found = [
            definition.get(resources)
            for definition in self._definitions
            for resources in ("ResourceConfig", "HyperParameterTuningResourceConfig")
        ]
        found.append((self.arguments.get("ProcessingResources") or {}).get("ClusterConfig"))
        found.append(self.arguments.get("TransformResources"))
        if self.kind == "AutoML":
            # The service chooses the instances; all that can be said of them is the key.
            return [self._security]
        return [cluster for cluster in found if cluster]

    @property
    def outputs(self) -> list[Mapping[str, Any]]:
        """The blocks that say where its results go and by which key they are encrypted."""
        found = [definition.get("OutputDataConfig") for definition in self._definitions]
        found.append(self.arguments.get("ProcessingOutputConfig"))
        found.append(self.arguments.get("TransformOutput"))
        return [block for block in found if block]

    @property
    def _definitions(self) -> list[Mapping[str, Any]]:
        one = self.arguments.get("TrainingJobDefinition")
        several = self.arguments.get("TrainingJobDefinitions") or []
        return [*([one] if one else []), *several] or [self.arguments]

    @property
    def _security(self) -> Mapping[str, Any]:
        first = (self.arguments.get("AutoMLJobConfig") or {}).get("SecurityConfig")
        return first or self.arguments.get("SecurityConfig") or {}


def instance_types(cluster: Mapping[str, Any]) -> list[Any]:
    """The types of a job's instances: a text, or an object where a pipeline parameter stands."""
    alternatives = ("InstanceGroups", "InstanceConfigs")
    blocks = [cluster, *(item for name in alternatives for item in cluster.get(name) or [])]
    return [block["InstanceType"] for block in blocks if block.get("InstanceType")]


def jobs(pipeline: Resource) -> list[Job]:
    """The jobs of a pipeline, those below conditions included.

    A definition that is kept in S3 cannot be seen from here: it has none.

    Raises:
        NotKnownYetError: the definition is not known.
    """
    return list(_jobs(pipeline.get("pipelineDefinition", '{"Steps": []}')))


@lru_cache(maxsize=16)
def _jobs(definition: str) -> tuple[Job, ...]:
    return tuple(_within(json.loads(definition).get("Steps", [])))


def _within(steps: list[Mapping[str, Any]]) -> Iterator[Job]:
    for step in steps:
        arguments: Mapping[str, Any] = step.get("Arguments") or {}
        if step.get("Type") in _KINDS:
            yield Job(str(step.get("Name")), str(step.get("Type")), arguments)
        for branch in ("IfSteps", "ElseSteps"):
            yield from _within(arguments.get(branch, []))
