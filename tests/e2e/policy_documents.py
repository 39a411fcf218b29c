"""Every policy document in a stack's state, found by its form and not by a list of types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

IDENTITY_TYPES = {"aws:iam/policy:Policy", "aws:iam/rolePolicy:RolePolicy"}


@dataclass(frozen=True)
class PolicyDocument:
    """A policy document as it stands in state."""

    stack: str
    urn: str
    type: str
    property: str
    document: dict[str, Any]

    @property
    def name(self) -> str:
        """Stack, logical name and property: how a finding is named."""
        return f"{self.stack}/{self.urn.rpartition('::')[2]}.{self.property}"

    @property
    def statements(self) -> list[dict[str, Any]]:
        found = self.document["Statement"]
        return found if isinstance(found, list) else [found]

    @property
    def identity(self) -> bool:
        """Whether it is attached to a principal; else it is a resource or trust policy."""
        return self.type in IDENTITY_TYPES


def policy_documents(stack: str, deployment: dict[str, Any]) -> Iterator[PolicyDocument]:
    """All documents among the inputs of the resources of one stack export."""
    for resource in deployment.get("resources") or []:
        for key, text in (resource.get("inputs") or {}).items():
            if not (isinstance(text, str) and '"Statement"' in text):
                continue
            document = json.loads(text)
            yield PolicyDocument(stack, resource["urn"], resource["type"], key, document)
