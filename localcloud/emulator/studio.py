"""Studio as a person's way in: what a notebook of a user profile can do, without the notebook.

AWS gives an app the credentials of its profile's execution role, in the domain's network, and says
by the source identity whose profile it is. The control interface gives the same to tests and to the
demo, which have no browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.emulator.authorizer import SAGEMAKER
from localcloud.emulator.compute import Compute, ComputeError, Task


def session(
    compute: Compute,
    places: Iterable[tuple[str, str, Mapping[str, Any]]],
    *,
    profile: str,
) -> dict[str, str]:
    """The environment variables of an app of a user profile.

    Args:
        compute: Issues credentials.
        places: Account, region and SageMaker's things there, as its extension keeps them.
        profile: The profile's name.

    Raises:
        ValueError: There is no such profile, or its role cannot be had.
    """
    known: list[str] = []
    for account, region, things in places:
        for (domain_id, name), found in things.get("profiles", {}).items():
            known.append(name)
            if name != profile:
                continue
            domain = things["domains"][domain_id]
            settings = domain.get("DefaultUserSettings", {}) | found.get("UserSettings", {})
            named = domain.get("DomainSettings", {}).get("ExecutionRoleIdentityConfig")
            task = Task(
                account=account,
                region=region,
                service=SAGEMAKER,
                role_arn=settings["ExecutionRole"],
                session="SageMaker",
                source_arn=domain["DomainArn"],
                subnet_ids=tuple(domain["SubnetIds"]),
                source_identity=name if named == "USER_PROFILE_NAME" else None,
                user_profile=found["UserProfileArn"],
            )
            try:
                return compute.environment(task)
            except ComputeError as error:
                raise ValueError(str(error)) from error
    raise ValueError(f"There is no user profile {profile}; there are: {', '.join(known) or 'none'}")
