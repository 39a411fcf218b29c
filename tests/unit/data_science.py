"""The components of data science and the registry as tests make them, and who may do what there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from components import baseline_policies, iam
from components.data_access import DataAccess
from components.naming import Names
from components.registry import EnvironmentAccess, ModelRegistry, Sharing
from components.studio import StudioDomain
from localcloud.authorization import Decision, Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, REGION, Program, place, run_program

SUBNETS = ["subnet-a", "subnet-b"]
GROUPS = ["sg-a", "sg-b"]
STORAGE_KEY, DATA_KEY, LOGS_KEY = (
    f"arn:aws:kms:{REGION}:{ACCOUNTS['dev']}:key/{name}" for name in ("storage", "data", "logs")
)
MODELS_KEY = f"arn:aws:kms:{REGION}:{ACCOUNTS['dev']}:key/registry-models-id"
TYPES = {
    "lead_data_scientist": ["ml.t3.medium", "ml.m5.xlarge", "ml.g5.xlarge"],
    "data_scientist": ["ml.t3.medium", "ml.m5.xlarge"],
}

ENDPOINTS: dict[str, EnvironmentAccess] = {
    environment: {
        "s3_endpoint_id": f"vpce-{environment}-s3",
        "kms_endpoint_id": f"vpce-{environment}-kms",
    }
    for environment in ("dev", "preprod", "prod")
}


def make_registry(
    environment: str,
    environments: Mapping[str, EnvironmentAccess] | None = None,
    sharing: Sharing = "policy",
    **placement: Any,
) -> ModelRegistry:
    """The registry of the hub or of dev."""
    in_hub = environment == "governance"
    return ModelRegistry(
        "registry",
        {
            "placement": place(environment, **placement),
            "model_package_groups": ["abalone"],
            "image_repositories": ["scikit"] if in_hub else [],
            "sharing": sharing,
            "environments": (ENDPOINTS if environments is None else environments) if in_hub else {},
            "s3_endpoint_id": f"vpce-{environment}-s3",
            "kms_endpoint_id": f"vpce-{environment}-kms",
            "key_deletion_days": 30,
            "access_log_bucket": "access-logs",
        },
    )


def make_studio(changes: Mapping[str, Any] | None = None, **placement: Any) -> StudioDomain:
    """The Studio domain of dev."""
    args: dict[str, Any] = {
        "placement": place("dev", **placement),
        "vpc_id": "vpc-1",
        "subnet_ids": SUBNETS,
        "security_group_ids": GROUPS,
        "storage_key_arn": STORAGE_KEY,
        "data_key_arn": DATA_KEY,
        "models_key_arn": MODELS_KEY,
        "boundary_arn": Names.at(place("dev", **placement)).policy_arn("boundary"),
        "auth_mode": "IAM",
        "users": {"lead_data_scientists": ["lead"], "data_scientists": ["ann", "bob"]},
        "instance_types": TYPES,
        "default_instance_type": "ml.t3.medium",
        "idle_timeout_minutes": 90,
        **(changes or {}),
    }
    return StudioDomain("studio", args)  # pyright: ignore[reportArgumentType]


def make_data(changes: Mapping[str, Any] | None = None, **placement: Any) -> DataAccess:
    """The ways to data of dev, all of them on."""
    names = Names.at(place("dev", **placement))
    args: dict[str, Any] = {
        "placement": place("dev", **placement),
        "owns_account": True,
        "athena": True,
        "lake_formation": True,
        "feature_store": True,
        "datazone": True,
        "data_key_arn": DATA_KEY,
        "logs_key_arn": LOGS_KEY,
        "s3_endpoint_ids": ["vpce-dev-s3"],
        "access_log_bucket": "access-logs",
        "boundary_arn": names.policy_arn("boundary"),
        "reader_role_arns": {"data-scientist": names.role_arn("data-scientist-execution")},
        "administrator_role_arns": [names.role_arn("deployer")],
        **(changes or {}),
    }
    return DataAccess("data", args)  # pyright: ignore[reportArgumentType]


def role_policies(program: Program, role: str) -> dict[str, dict[str, Any]]:
    """Name -> document of a role's policies, inline and attached, as registered."""
    found = {
        resource.inputs["name"]: json.loads(resource.inputs["policy"])
        for resource in program.of("aws:iam/rolePolicy:RolePolicy")
        if resource.inputs["role"] == role
    }
    attached = {
        resource.inputs["policyArn"].rpartition("/")[2]
        for resource in program.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
        if resource.inputs["role"] == role
    }
    found |= {
        resource.inputs["name"]: json.loads(resource.inputs["policy"])
        for resource in program.of("aws:iam/policy:Policy")
        if resource.inputs["name"] in attached
    }
    assert found, f"{role} has no policy"
    return found


def without(document: dict[str, Any], sid: str) -> dict[str, Any]:
    """The document without one of its statements: what a mutation leaves."""
    kept = [item for item in document["Statement"] if item["Sid"] != sid]
    assert len(kept) == len(document["Statement"]) - 1, f"no statement {sid}"
    return {**document, "Statement": kept}


def boundary(environment: str) -> dict[str, Any]:
    """The permissions boundary of an environment's roles."""
    return iam.document(baseline_policies.boundary_statements(Names.at(place(environment))))


def role_arn(session_arn: str) -> str:
    """ARN of the role of a session: what ``aws:PrincipalArn`` is."""
    _, partition, _, _, account, path = session_arn.split(":")
    return f"arn:{partition}:iam::{account}:role/{path.split('/')[1]}"


def session(names: Names, role: str, name: str = "session") -> str:
    """ARN of a session of a role."""
    return f"arn:{names.partition}:sts::{names.account_id}:assumed-role/{names.role(role)}/{name}"


class Role:
    """A deployed role, asked what it may do."""

    def __init__(
        self,
        evaluator: Evaluator,
        names: Names,
        role: str,
        identity: Mapping[str, dict[str, Any]],
        limit: dict[str, Any] | None,
    ) -> None:
        self.arn, self._role = session(names, role), role
        self._evaluator, self._names = evaluator, names
        self._identity, self._boundary = dict(identity), limit

    def decision(
        self,
        action: str,
        resource: str = "*",
        context: Mapping[str, str | list[str]] | None = None,
        *,
        resource_policy: dict[str, Any] | None = None,
        owner: str = "",
        source_identity: str = "",
    ) -> Decision:
        """What IAM decides."""
        keys: dict[str, str | list[str]] = {
            "aws:RequestedRegion": self._names.region,
            "aws:PrincipalArn": role_arn(self.arn),
            **(context or {}),
        }
        if source_identity:
            keys["aws:SourceIdentity"] = source_identity
        return self._evaluator.evaluate(
            Request(self.arn, action, resource, owner or self._names.account_id, keys),
            Policies(identity=self._identity, boundary=self._boundary, resource=resource_policy),
        )

    def with_policy(self, name: str, document: dict[str, Any]) -> Role:
        """The role with one more policy."""
        identity = {**self._identity, name: document}
        return Role(self._evaluator, self._names, self._role, identity, self._boundary)

    def may(self, action: str, resource: str = "*", **rest: Any) -> bool:
        """Whether IAM allows it."""
        return self.decision(action, resource, **rest).allowed


def studio_role(
    evaluator: Evaluator,
    role: str,
    *,
    drop: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> Role:
    """An execution role of Studio as deployed, without the statements in ``drop``."""
    names = Names.at(place("dev"))
    program = run_program(lambda: make_studio(changes))
    identity = role_policies(program, names.role(role))
    for sid in drop:
        holder = next(
            name
            for name, document in identity.items()
            if any(item["Sid"] == sid for item in document["Statement"])
        )
        identity[holder] = without(identity[holder], sid)
    return Role(evaluator, names, role, identity, boundary("dev"))
