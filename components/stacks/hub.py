"""The hub's part: models' way to production, self-service, and everybody's audit trail."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from components.audit_trail import AuditTrail
from components.baseline import AccountBaseline
from components.deployments import DeploymentControl
from components.functions import FunctionNetwork
from components.network import Network
from components.promotion import PromotionQueue
from components.providers import providers_by_account
from components.registry import EnvironmentAccess
from components.repositories import RepositoryArchive
from components.retraining import RetrainingControl
from components.settings import PlatformSettings
from components.stacks.models import make_registry, registry_outputs
from components.stacks.self_service import Templates, catalog


async def environments_access(settings: PlatformSettings) -> dict[str, EnvironmentAccess]:
    """For the hub: the endpoints of the environments that it serves, from their stacks.

    Raises:
        pulumi.RunError: One of the stacks was never brought up.
    """
    stacks = f"{pulumi.get_organization()}/{pulumi.get_project()}"
    references = {name: pulumi.StackReference(f"{stacks}/{name}") for name in settings.served}
    access: dict[str, EnvironmentAccess] = {}
    for environment, reference in references.items():
        endpoints = (await reference.get_output_details("endpoint_ids")).value
        if endpoints is None:
            raise pulumi.RunError(
                f"stack {environment} has no output endpoint_ids, which the hub's policies name: "
                f"bring it up first (`pulumi up -s {environment}`, or `python -m automation up "
                "--all`, which keeps the order)."
            )
        access[environment] = EnvironmentAccess(
            s3_endpoint_id=endpoints["s3"], kms_endpoint_id=endpoints["kms"]
        )
    return access


def hub(
    settings: PlatformSettings,
    templates: Templates,
    baseline: AccountBaseline,
    network: Network,
    access: dict[str, EnvironmentAccess],
    provider: aws.Provider,
) -> dict[str, Any]:
    """Make what the hub has beyond the others; gives its outputs."""
    opts = pulumi.ResourceOptions(providers=[provider])
    registry = make_registry(settings, baseline, network, access, opts)
    functions: FunctionNetwork = {
        "subnet_ids": network.private_subnet_ids,
        "security_group_ids": network.workload_security_group_ids,
        "logs_key_arn": baseline.key_arns["logs"],
        "messages_key_arn": baseline.key_arns["messages"],
        "boundary_arn": baseline.boundary_arn,
        "alerts_topic_arn": baseline.alerts_topic_arn,
        "log_retention_days": settings.retention.logs_days,
    }
    RepositoryArchive(
        "repositories",
        {
            "placement": settings.placement(),
            "key_arn": baseline.key_arns["data"],
            "access_log_bucket": baseline.access_log_bucket,
        },
        opts,
    )
    DeploymentControl(
        "deployments",
        {
            "placement": settings.placement(),
            "network": functions,
            "models_key_arn": registry.models_key_arn,
            "token_secrets": settings.projects.token_secrets,
        },
        opts,
    )
    promotion = PromotionQueue(
        "promotion",
        {
            "placement": settings.placement(),
            "network": functions,
            "models_bucket": registry.models_bucket,
            "models_key_arn": registry.models_key_arn,
            "environments": list(access),
            "sharing": settings.registry.sharing,
            "tags": settings.tags.all(settings.environment),
            "owner": settings.tags.owner,
        },
        opts,
    )
    RetrainingControl(
        "retraining",
        {
            "placement": settings.placement(),
            "network": functions,
            "bus_name": promotion.bus_name,
            "token_secrets": settings.projects.token_secrets,
        },
        opts,
    )
    outputs = catalog(settings, templates, baseline, network, functions, opts)
    trail = AuditTrail(
        "audit",
        {
            "placement": settings.placement(),
            "access_log_bucket": baseline.access_log_bucket,
            "retention_days": settings.retention.trail_days,
            "key_deletion_days": settings.retention.key_deletion_days,
        },
        providers_by_account(settings, provider),
        opts,
    )
    return {**registry_outputs(registry), "audit_bucket": trail.bucket, **outputs}
