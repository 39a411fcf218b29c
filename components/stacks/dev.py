"""Dev's part: Studio, the ways to data, and the models' way to the hub."""

from __future__ import annotations

from typing import Any

import pulumi

from components.baseline import AccountBaseline
from components.data_access import DataAccess
from components.network import Network
from components.personas import job_role
from components.promotion import ApprovalForwarder
from components.settings import AuthMode, PlatformSettings
from components.stacks.models import make_registry, registry_outputs
from components.stacks.self_service import Templates, launch_role, project_templates
from components.studio import StudioDomain


def dev(
    settings: PlatformSettings,
    templates: Templates,
    baseline: AccountBaseline,
    network: Network,
    opts: pulumi.ResourceOptions,
) -> dict[str, Any]:
    """Make what dev has beyond the others; gives its outputs."""
    registry = make_registry(settings, baseline, network, {}, opts)
    if settings.self_service.from_s3:
        project_templates(settings, templates, baseline, opts)
    elif settings.self_service.enabled and settings.account_id != settings.accounts["governance"]:
        # Where dev shares the hub's account, the hub's launch role is its own.
        launch_role(settings, baseline, opts)
    ApprovalForwarder(
        "approvals",
        {
            "placement": settings.placement(),
            "messages_key_arn": baseline.key_arns["messages"],
            "alerts_topic_arn": baseline.alerts_topic_arn,
            "boundary_arn": baseline.boundary_arn,
        },
        opts,
    )
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
            "isolate_containers": settings.studio.isolate_containers,
            "share_notebook_outputs": settings.studio.share_notebook_outputs,
            "projects_from_s3": settings.self_service.from_s3,
            "sign_in_principals": settings.personas.studio_user,
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
            "logs_key_arn": baseline.key_arns["logs"],
            "s3_endpoint_ids": [network.endpoint_ids["s3"]],
            "access_log_bucket": baseline.access_log_bucket,
            "boundary_arn": baseline.boundary_arn,
            "reader_role_arns": {
                **{job_role(who): arn for who, arn in studio.pipeline_role_arns.items()},
                **studio.execution_role_arns,
            },
            "administrator_role_arns": [settings.names.role_arn("deployer")],
        },
        opts,
    )
    return {
        **registry_outputs(registry),
        "studio_url": studio.url,
        "studio_domain_id": studio.domain_id,
        "studio_sign_in": "IAM Identity Center"
        if settings.studio.auth_mode is AuthMode.SSO
        else "python -m automation studio-url --user USER --profile USERS_PROFILE",
        "data_bucket": data.data_bucket,
    }
