"""Where models and projects are kept, in dev and in the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.baseline import AccountBaseline
from components.network import Network
from components.projects.project import CODECOMMIT
from components.registry import EnvironmentAccess, ModelRegistry
from components.repositories import GitHubIdentity, RepositoryConnection
from components.settings import PlatformSettings


def make_registry(
    settings: PlatformSettings,
    baseline: AccountBaseline,
    network: Network,
    access: Mapping[str, EnvironmentAccess],
    opts: pulumi.ResourceOptions,
) -> ModelRegistry:
    """Where models and projects are kept; the ways to repositories that are hosted elsewhere."""
    in_hub = settings.environment == "governance"
    if settings.projects.repository_provider != CODECOMMIT:
        RepositoryConnection(
            "repositories",
            {
                "placement": settings.placement(),
                "provider": settings.projects.repository_provider,
            },
            opts,
        )
    if settings.projects.github_oidc != "none":
        GitHubIdentity(
            "github",
            {"placement": settings.placement(), "create": settings.makes_github_provider},
            opts,
        )
    return ModelRegistry(
        "registry",
        {
            "placement": settings.placement(),
            "model_package_groups": settings.registry.model_package_groups,
            "image_repositories": settings.registry.image_repositories if in_hub else (),
            "sharing": settings.registry.sharing,
            "environments": access,
            "s3_endpoint_id": network.endpoint_ids["s3"],
            "kms_endpoint_id": network.endpoint_ids["kms"],
            "key_deletion_days": settings.retention.key_deletion_days,
            "access_log_bucket": baseline.access_log_bucket,
        },
        opts,
    )


def registry_outputs(registry: ModelRegistry) -> dict[str, Any]:
    """Outputs of a stack with models."""
    return {
        "models_bucket": registry.models_bucket,
        "model_package_groups": list(registry.group_arns),
        "image_repositories": registry.repository_urls,
    }
