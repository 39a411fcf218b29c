"""One explicit AWS provider per account; nothing else knows how credentials come about."""

from __future__ import annotations

import pulumi_aws as aws

from components.naming import Names
from components.settings import PROJECT, PlatformSettings


def account_provider(settings: PlatformSettings, environment: str) -> aws.Provider:
    """The provider of an environment's account.

    It assumes the bootstrap's role there and refuses any other account, whatever the ambient
    credentials are. It never depends on whether this is a preview: previews and updates act as the
    same identity.
    """
    names = Names(settings.prefix, environment, settings.region, settings.accounts[environment])
    role = "deployer" if settings.access == "deploy" else "preview"
    return aws.Provider(
        f"aws-{environment}",
        region=settings.region,
        assume_roles=[
            aws.ProviderAssumeRoleArgs(
                role_arn=names.role_arn(role),
                session_name=f"{PROJECT}-{settings.environment}",
            )
        ],
        allowed_account_ids=[names.account_id],
        default_tags=aws.ProviderDefaultTagsArgs(tags=settings.tags.all(settings.environment)),
    )


def providers_by_account(settings: PlatformSettings, own: aws.Provider) -> dict[str, aws.Provider]:
    """One provider for each distinct account that the hub serves, its own included."""
    providers = {settings.account_id: own}
    for environment in settings.served:
        account = settings.accounts[environment]
        if account not in providers:
            providers[account] = account_provider(settings, environment)
    return providers
