"""All rules, in the order of the documentation."""

from __future__ import annotations

from mlops_policy import data, encryption, identity, network, operations
from mlops_policy.model import Family, Rule

FAMILIES: tuple[Family, ...] = (
    network.FAMILY,
    encryption.FAMILY,
    identity.FAMILY,
    data.FAMILY,
    operations.FAMILY,
)

RULES: tuple[Rule, ...] = tuple(rule for family in FAMILIES for rule in family.rules)
