"""Reads the jobs out of the definition of a SageMaker pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mlops_policy.model import Resource

_KINDS = frozenset({"Training", "Processing", "Tuning", "Transform", "AutoML", "Model"})
_WITHOUT_VPC = frozenset({"Transform", "AutoML"})


@dataclass(frozen=True)
class Job:
    """A step that starts a job or makes a model; absent settings are empty."""

    name: str
    kind: str
    arguments: Mapping[str, Any]

    @property
    def takes_vpc(self) -> bool:
        """Whether its request has network settings; a transform job has those of its model."""
        return self.kind not in _WITHOUT_VPC

    @property
    def vpc(self) -> Any:
        """Its VPC settings."""
        return self._definition.get("VpcConfig") or (self.arguments.get("NetworkConfig") or {}).get(
            "VpcConfig"
        )

    @property
    def _definition(self) -> Mapping[str, Any]:
        return self.arguments.get("TrainingJobDefinition") or self.arguments

    @property
    def cluster(self) -> Mapping[str, Any]:
        """Its instances: type, count and volume; empty where it has none."""
        processing = (self.arguments.get("ProcessingResources") or {}).get("ClusterConfig")
        return (
            self._definition.get("ResourceConfig")
            or processing
            or self.arguments.get("TransformResources")
            or {}
        )

    @property
    def outputs(self) -> list[Mapping[str, Any]]:
        """The blocks that say where its results go and by which key they are encrypted."""
        found = [
            self._definition.get("OutputDataConfig"),
            self.arguments.get("ProcessingOutputConfig"),
            self.arguments.get("TransformOutput"),
        ]
        return [block for block in found if block]


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
