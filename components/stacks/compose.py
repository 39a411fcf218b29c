"""A stack: what all have, then the part of its environment.

The hub's part is in :mod:`components.stacks.hub`, dev's in :mod:`components.stacks.dev`, that of
all others in :mod:`components.stacks.target`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pulumi

from components.baseline import AccountBaseline
from components.naming import Names
from components.providers import account_provider
from components.settings import ExistingNetwork, PlatformSettings

if TYPE_CHECKING:
    from components.registry import EnvironmentAccess
    from components.stacks.self_service import Templates

_PATIENCE_SECONDS = 0.1
"""How long to wait for the engine's answer to one registration."""


async def compose(settings: PlatformSettings, templates: Templates) -> dict[str, Any]:
    """Make a stack's components.

    Args:
        settings: Of the stack.
        templates: Reads the templates of projects; not every stack offers some.

    Returns:
        The stack's outputs.

    Raises:
        PreflightError: For an existing network that lacks what the platform needs.
        pulumi.RunError: For a hub that serves an environment which was never brought up.
    """
    placement = settings.placement()
    provider = account_provider(settings, settings.environment)
    opts = pulumi.ResourceOptions(providers=[provider])
    if isinstance(settings.network, ExistingNetwork):
        from components.preflight import require_fit

        # Nothing is made in a network that is not fit.
        require_fit(settings.network, settings.endpoint_services, settings.region, provider)
    await _begun(pulumi.runtime.get_root_resource() or provider)
    access: dict[str, EnvironmentAccess] = {}
    if settings.environment == "governance":
        from components.stacks.hub import environments_access

        # Nothing is made in the hub before the environments are there.
        access = await environments_access(settings)
    baseline = _baseline(settings, opts)
    await _previewed(baseline)
    # What follows is loaded while the engine starts the provider, and only this environment's part.
    from components.stacks.network import make_network

    network = make_network(settings, baseline, opts)
    await _previewed(network)
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
        from components.stacks.hub import hub

        return outputs | hub(settings, templates, baseline, network, access, provider)
    if settings.environment == "dev":
        from components.stacks.dev import dev

        return outputs | dev(settings, templates, baseline, network, opts)
    from components.stacks.target import target

    return outputs | target(settings, baseline, opts)


async def _begun(parent: pulumi.Resource) -> None:
    """Let what was registered below a resource reach the engine.

    It then starts the providers while this program loads the packages of the services to come,
    which is most of what it does by itself. A registration waits for that of its parent, then for
    others a few times before its request goes out, hence the turns of the event loop.
    """
    # A component's waits for its provider; there is something else to do if that takes longer.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(parent.urn.future()), _PATIENCE_SECONDS)
    for _ in range(20):
        await asyncio.sleep(0)


async def _previewed(component: pulumi.Resource) -> None:
    """The same in a preview; an update makes nothing before all components were found valid."""
    if pulumi.runtime.is_dry_run():
        await _begun(component)


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
