"""Self-service in a stack: what is offered, where people launch it, and what vends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pulumi

from components.baseline import AccountBaseline
from components.catalog import (
    Catalog,
    CatalogBucket,
    LaunchRole,
    Share,
    VendingBuild,
    VendingFunction,
    product_template,
)
from components.functions import FunctionNetwork
from components.launching import template_text, vending_function_arn
from components.naming import Names
from components.network import Network
from components.project_templates import ProjectTemplates
from components.settings import PlatformSettings
from components.studio import thing_of


class Template(Protocol):
    """What is offered of a template; ``automation/projects`` reads templates."""

    @property
    def description(self) -> str:
        """What a project of it does."""
        ...

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Name -> JSON Schema of a setting."""
        ...


Templates = Callable[[], Mapping[str, Template]]
"""Reads the templates, by name."""


def catalog(
    settings: PlatformSettings,
    templates: Templates,
    baseline: AccountBaseline,
    network: Network,
    functions: FunctionNetwork,
    opts: pulumi.ResourceOptions,
) -> dict[str, Any]:
    """Self-service: the portfolios, and what vends the projects that are launched."""
    service, placement = settings.self_service, settings.placement()
    if not service.enabled:
        return {}
    offered = templates()
    launching = {
        settings.accounts["dev"],
        *(s["id"] for s in _shares(settings) if s["kind"] == "ACCOUNT"),
    }
    bucket = CatalogBucket(
        "catalog-bucket",
        {
            "placement": placement,
            "key_arn": baseline.key_arns["data"],
            "access_log_bucket": baseline.access_log_bucket,
        },
        opts,
    )
    VendingBuild(
        "vending-build",
        {
            "placement": placement,
            "network": functions,
            "vpc_id": network.vpc_id,
            "bucket": bucket,
            "git_token_secret": service.git_token_secret,
            "account_factory": settings.organization.account_factory_role_arn or "",
        },
        opts,
    )
    VendingFunction(
        "vending",
        {
            "placement": placement,
            "network": functions,
            "templates": list(offered),
            "launching_accounts": sorted(launching),
        },
        opts,
    )
    if service.from_s3:
        return {}
    made = Catalog(
        "catalog",
        {
            "placement": placement,
            "templates": {name: template.description for name, template in offered.items()},
            "settings": {name: template.settings for name, template in offered.items()},
            "account_kinds": settings.organization.vended_kinds,
            "owner": settings.tags.owner,
            "shares": _shares(settings),
            "principals": _launchers(settings),
            "tag_options": service.tag_options,
            "bucket": bucket,
            "launch_role": launch_role(settings, baseline, opts),
        },
        opts,
    )
    return {"portfolio_ids": made.portfolio_ids}


def project_templates(
    settings: PlatformSettings,
    templates: Templates,
    baseline: AccountBaseline,
    opts: pulumi.ResourceOptions,
) -> ProjectTemplates:
    """The templates that this stack's Studio offers, which the hub's function vends."""
    function_arn = vending_function_arn(settings.placement())
    return ProjectTemplates(
        "project-templates",
        {
            "placement": settings.placement(),
            "key_arn": baseline.key_arns["data"],
            "access_log_bucket": baseline.access_log_bucket,
            "boundary_arn": baseline.boundary_arn,
            "function_arn": function_arn,
            "templates": {
                name: template_text(
                    product_template(
                        name, function_arn, every_choice=False, settings=template.settings
                    )
                )
                for name, template in templates().items()
            },
        },
        opts,
    )


def launch_role(
    settings: PlatformSettings, baseline: AccountBaseline, opts: pulumi.ResourceOptions
) -> LaunchRole:
    """The role that launches products in this stack's account."""
    return LaunchRole(
        "launch",
        {"placement": settings.placement(), "boundary_arn": baseline.boundary_arn},
        opts,
    )


def _shares(settings: PlatformSettings) -> list[Share]:
    """Whom the portfolios are shared to."""
    organization = settings.organization
    whole, management = organization.id, organization.management
    given = settings.self_service.shares or ((whole,) if whole and management else ())
    nodes = f"arn:{settings.names.partition}:organizations::{management}"
    shares: list[Share] = []
    for identity in given:
        if identity.startswith("ou-"):
            arn = f"{nodes}:ou/{whole}/{identity}"
            shares.append({"kind": "ORGANIZATIONAL_UNIT", "id": arn})
        elif identity.startswith("o-"):
            shares.append({"kind": "ORGANIZATION", "id": f"{nodes}:organization/{identity}"})
        else:
            shares.append({"kind": "ACCOUNT", "id": identity})
    return shares


def _launchers(settings: PlatformSettings) -> dict[str, tuple[str, ...]]:
    """Portfolio -> whose roles may launch from it."""
    given = settings.self_service.launchers
    dev = Names.at(settings.placement(), "dev")
    scientists = (
        "lead-data-scientist-execution",
        "data-scientist-execution",
        # In the domains of business units.
        thing_of("*", "data-scientist-execution"),
    )
    return {
        "sagemaker-projects": given.sagemaker_projects or tuple(map(dev.role, scientists)),
        "ml-administration": given.ml_administration or (settings.names.role("platform-engineer"),),
    }
