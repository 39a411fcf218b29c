"""A stack: what all have, then the part of its environment.

The hub's part is in :mod:`components.stacks.hub`, dev's in :mod:`components.stacks.dev`; both have
models, and self-service by :mod:`components.stacks.self_service`. Targets have little of their own,
and it stands here: what runs there belongs to the projects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pulumi

from components.baseline import AccountBaseline
from components.naming import Names
from components.network import Network, NetworkArgs
from components.preflight import require_fit
from components.projects.project import CODECOMMIT
from components.providers import account_provider
from components.registry import EnvironmentAccess, ModelRegistry
from components.repositories import GitHubIdentity, RepositoryConnection
from components.retraining import DriftForwarder
from components.settings import ExistingNetwork, PlatformSettings
from components.stacks.dev import dev
from components.stacks.hub import environments_access, hub
from components.stacks.self_service import Templates


async def compose(settings: PlatformSettings, templates: Templates) -> dict[str, Any]:
    """Make a stack's components.

    Args:
        settings: Of the stack.
        templates: Reads the templates of projects; not every stack offers some.

    Returns:
        The stack's outputs.

    Raises:
        PreflightError: For an existing network that lacks what the platform needs.
    """
    placement = settings.placement()
    provider = account_provider(settings, settings.environment)
    opts = pulumi.ResourceOptions(providers=[provider])
    if isinstance(settings.network, ExistingNetwork):
        services = settings.endpoint_services
        # Nothing is made in a network that is not fit.
        require_fit(settings.network, services, settings.region, provider)
    await _begun()
    baseline = _baseline(settings, opts)
    await _previewed()
    network = Network("network", _network_args(settings, baseline), opts)
    await _previewed()
    outputs: dict[str, Any] = {
        "account_id": settings.account_id,
        "vpc_id": network.vpc_id,
        "private_subnet_ids": network.private_subnet_ids,
        "endpoint_ids": network.endpoint_ids,
        "key_arns": baseline.key_arns,
        "role_arns": baseline.role_arns,
        "contract_path": Names.at(placement).parameter(""),
    }
    if settings.environment == "governance":
        access = environments_access(settings)
        registry = _models(settings, baseline, network, access, opts)
        outputs |= _told(registry)
        outputs |= hub(settings, templates, baseline, network, registry, list(access), provider)
    elif settings.environment == "dev":
        registry = _models(settings, baseline, network, {}, opts)
        outputs |= _told(registry)
        outputs |= dev(settings, templates, baseline, network, registry, opts)
    else:
        DriftForwarder(
            "drift",
            {
                "placement": placement,
                "messages_key_arn": baseline.key_arns["messages"],
                "alerts_topic_arn": baseline.alerts_topic_arn,
                "boundary_arn": baseline.boundary_arn,
            },
            opts,
        )
    return outputs


async def _begun() -> None:
    """Let the registrations so far reach the engine.

    It then starts the provider while this program loads the packages of the services to come,
    which is most of what it does by itself. A registration waits for others a few times before its
    request goes out, hence the turns of the event loop.
    """
    for _ in range(20):
        await asyncio.sleep(0)


async def _previewed() -> None:
    """The same in a preview; an update makes nothing before all components were found valid."""
    if pulumi.runtime.is_dry_run():
        await _begun()


def _baseline(settings: PlatformSettings, opts: pulumi.ResourceOptions) -> AccountBaseline:
    """What every account has."""
    return AccountBaseline(
        "baseline",
        {
            "placement": settings.placement(),
            "owns_account": settings.owns_account,
            "log_retention_days": settings.retention.logs_days,
            "key_deletion_days": settings.retention.key_deletion_days,
            "security_services": {
                "access_analyzer": settings.security_services.access_analyzer,
                "config": settings.security_services.config,
                "guardduty": settings.security_services.guardduty,
                "security_hub": settings.security_services.security_hub,
            },
            "budgets": settings.budget.monthly_usd,
            "budget_emails": settings.budget.emails,
            "personas": {
                "platform-engineer": settings.personas.platform_engineer,
                "ml-engineer": settings.personas.ml_engineer,
                "governance-officer": settings.personas.governance_officer,
            },
            "offers_products": not settings.self_service.from_s3,
        },
        opts,
    )


def _network_args(settings: PlatformSettings, baseline: AccountBaseline) -> NetworkArgs:
    """The network's inputs."""
    network = settings.network
    args = NetworkArgs(
        placement=settings.placement(),
        endpoint_services=settings.endpoint_services,
        log_key_arn=baseline.key_arns["logs"],
        log_retention_days=settings.retention.logs_days,
        boundary_arn=baseline.boundary_arn,
    )
    if isinstance(network, ExistingNetwork):
        args["existing"] = {
            "vpc_id": network.vpc_id,
            "private_subnet_ids": network.private_subnet_ids,
            "security_group_ids": network.security_group_ids,
            "route_table_ids": network.route_table_ids,
            "endpoint_ids": network.endpoint_ids,
            "create_endpoints": network.create_endpoints,
        }
    else:
        args["create"] = {
            "cidr": network.cidr,
            "zones": network.zones,
            "nat": network.nat.value,
        }
    return args


def _models(
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


def _told(registry: ModelRegistry) -> dict[str, Any]:
    """Outputs of a stack with models."""
    return {
        "models_bucket": registry.models_bucket,
        "model_package_groups": list(registry.group_arns),
        "image_repositories": registry.repository_urls,
    }
