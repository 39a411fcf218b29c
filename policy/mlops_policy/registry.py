"""All rules, in the order of the documentation."""

from __future__ import annotations

from mlops_policy import (
    data,
    encryption,
    endpoints,
    identity,
    machine_learning,
    network,
    operations,
    trust,
)
from mlops_policy.model import Family, Rule

FAMILIES: tuple[Family, ...] = (
    network.FAMILY,
    endpoints.FAMILY,
    encryption.FAMILY,
    identity.FAMILY,
    trust.FAMILY,
    data.FAMILY,
    machine_learning.FAMILY,
    operations.FAMILY,
)

RULES: tuple[Rule, ...] = tuple(rule for family in FAMILIES for rule in family.rules)
