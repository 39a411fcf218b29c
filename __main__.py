"""The platform's program: settings in, components, outputs. One run makes one stack."""

from __future__ import annotations

from typing import Any

import pulumi

from components.audit_trail import AuditTrail
from components.baseline import AccountBaseline
from components.data_access import DataAccess
from components.naming import Names
from components.network import Network, NetworkArgs, services_for
from components.preflight import require_fit
from components.promotion import ApprovalForwarder, PromotionQueue
from components.providers import account_provider, providers_by_account
from components.registry import EnvironmentAccess, ModelRegistry
from components.settings import ExistingNetwork, PlatformSettings, load
from components.studio import StudioDomain


def environments_access(settings: PlatformSettings) -> dict[str, EnvironmentAccess]:
    """For the hub: the endpoints of the environments that it serves, from their stacks."""
    access: dict[str, EnvironmentAccess] = {}
    for environment in settings.environments:
        reference = pulumi.StackReference(
            f"{pulumi.get_organization()}/{pulumi.get_project()}/{environment}"
        )
        endpoints = reference.require_output("endpoint_ids")
        access[environment] = EnvironmentAccess(
            s3_endpoint_id=endpoints["s3"], kms_endpoint_id=endpoints["kms"]
        )
    return access


def endpoint_services(settings: PlatformSettings) -> tuple[str, ...]:
    """The interface endpoints that a stack needs."""
    return settings.network.endpoints or services_for(settings.environment)


def network_args(settings: PlatformSettings, baseline: AccountBaseline) -> NetworkArgs:
    """The network's inputs."""
    network = settings.network
    args = NetworkArgs(
        placement=settings.placement(),
        endpoint_services=endpoint_services(settings),
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


def compose(settings: PlatformSettings) -> dict[str, Any]:
    """Make a stack's components; gives its outputs."""
    placement = settings.placement()
    in_hub = settings.environment == "governance"
    provider = account_provider(settings, settings.environment)
    opts = pulumi.ResourceOptions(providers=[provider])
    if isinstance(settings.network, ExistingNetwork):
        services = endpoint_services(settings)
        # Nothing is made in a network that is not fit.
        require_fit(settings.network, services, settings.region, provider)
    access = environments_access(settings) if in_hub else {}
    retention = settings.retention
    baseline = AccountBaseline(
        "baseline",
        {
            "placement": placement,
            "owns_account": settings.owns_account,
            "log_retention_days": retention.logs_days,
            "key_deletion_days": retention.key_deletion_days,
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
        },
        opts,
    )
    network = Network("network", network_args(settings, baseline), opts)
    outputs: dict[str, Any] = {
        "account_id": settings.account_id,
        "vpc_id": network.vpc_id,
        "private_subnet_ids": network.private_subnet_ids,
        "endpoint_ids": network.endpoint_ids,
        "key_arns": baseline.key_arns,
        "role_arns": baseline.role_arns,
        "contract_path": Names.at(placement).parameter(""),
    }
    if in_hub or settings.environment == "dev":
        registry = ModelRegistry(
            "registry",
            {
                "placement": placement,
                "model_package_groups": settings.registry.model_package_groups,
                "image_repositories": settings.registry.image_repositories if in_hub else (),
                "environments": access,
                "s3_endpoint_id": network.endpoint_ids["s3"],
                "kms_endpoint_id": network.endpoint_ids["kms"],
                "key_deletion_days": retention.key_deletion_days,
                "access_log_bucket": baseline.access_log_bucket,
            },
            opts,
        )
        outputs["models_bucket"] = registry.models_bucket
        outputs["model_package_groups"] = list(registry.group_arns)
        outputs["image_repositories"] = registry.repository_urls
        if not in_hub:
            outputs |= data_science(settings, baseline, network, registry, opts)
        if not in_hub:
            ApprovalForwarder(
                "approvals",
                {
                    "placement": placement,
                    "messages_key_arn": baseline.key_arns["messages"],
                    "alerts_topic_arn": baseline.alerts_topic_arn,
                    "boundary_arn": baseline.boundary_arn,
                },
                opts,
            )
    if in_hub:
        PromotionQueue(
            "promotion",
            {
                "placement": placement,
                "messages_key_arn": baseline.key_arns["messages"],
                "alerts_topic_arn": baseline.alerts_topic_arn,
            },
            opts,
        )
        trail = AuditTrail(
            "audit",
            {
                "placement": placement,
                "access_log_bucket": baseline.access_log_bucket,
                "retention_days": retention.trail_days,
                "key_deletion_days": retention.key_deletion_days,
            },
            providers_by_account(settings, provider),
            opts,
        )
        outputs["audit_bucket"] = trail.bucket
    return outputs


def data_science(
    settings: PlatformSettings,
    baseline: AccountBaseline,
    network: Network,
    registry: ModelRegistry,
    opts: pulumi.ResourceOptions,
) -> dict[str, Any]:
    """What dev has beyond the others: Studio and the ways to data."""
    studio = StudioDomain(
        "studio",
        {
            "placement": settings.placement(),
            "vpc_id": network.vpc_id,
            "subnet_ids": network.private_subnet_ids,
            "security_group_ids": network.workload_security_group_ids,
            "storage_key_arn": baseline.key_arns["storage"],
            "data_key_arn": baseline.key_arns["data"],
            "models_key_arn": registry.models_key_arn,
            "boundary_arn": baseline.boundary_arn,
            "auth_mode": settings.studio.auth_mode.value,
            "users": {
                "lead_data_scientists": settings.studio.users.lead_data_scientists,
                "data_scientists": settings.studio.users.data_scientists,
            },
            "instance_types": {
                "lead_data_scientist": settings.studio.instance_types.lead_data_scientist,
                "data_scientist": settings.studio.instance_types.data_scientist,
            },
            "default_instance_type": settings.studio.default_instance_type,
            "idle_timeout_minutes": settings.studio.idle_timeout_minutes,
        },
        opts,
    )
    data = DataAccess(
        "data",
        {
            "placement": settings.placement(),
            "owns_account": settings.owns_account,
            "athena": settings.data_access.athena,
            "lake_formation": settings.data_access.lake_formation,
            "feature_store": settings.data_access.feature_store,
            "datazone": settings.data_access.datazone,
            "data_key_arn": baseline.key_arns["data"],
            "s3_endpoint_ids": [network.endpoint_ids["s3"]],
            "access_log_bucket": baseline.access_log_bucket,
            "boundary_arn": baseline.boundary_arn,
            "reader_role_arns": {
                "pipeline-execution": studio.pipeline_role_arn,
                **studio.execution_role_arns,
            },
            "administrator_role_arns": [settings.names.role_arn("deployer")],
        },
        opts,
    )
    return {
        "studio_url": studio.url,
        "studio_domain_id": studio.domain_id,
        "data_bucket": data.data_bucket,
    }


for name, value in compose(load(pulumi.Config(), pulumi.get_stack())).items():
    pulumi.export(name, value)
