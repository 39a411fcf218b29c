"""Opening of Studio where its users are not a directory's: an address for one's own profile.

A person assumes the role ``{prefix}-dev-studio-user``, under the name that the tag ``studio-user``
of their identity says; the role may open the profile of that name and no other. With IAM Identity
Center nobody needs this: people come by its portal.
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.exceptions import ClientError

from components.baseline_policies import SIGN_IN
from components.naming import OWN_DOMAIN
from components.settings import AuthMode, PlatformSettings
from components.studio import domain_paths

LIFETIME_SECONDS = 300
"""How long an address can be opened. Source: CreatePresignedDomainUrl in SageMaker's API."""


class SignInError(Exception):
    """Studio cannot be opened; the message says why, and what to do."""


def studio_url(
    dev: PlatformSettings, session: boto3.Session, user: str, domain: str = OWN_DOMAIN
) -> str:
    """An address that opens a user profile, for :data:`LIFETIME_SECONDS`.

    Args:
        dev: The settings of dev.
        session: Of the person's own identity.
        user: The profile.
        domain: The platform's own, or that of a business unit.

    Raises:
        SignInError: The domain is not opened so, the person may not open this profile, or there is
            no such domain or profile.
    """
    if dev.studio.auth_mode is AuthMode.SSO:
        raise SignInError(
            "Users of this Studio sign in at IAM Identity Center's portal, or at: pulumi stack"
            " output -s dev studio_url"
        )
    role, path = dev.names.role_arn(SIGN_IN), domain_paths(domain)["domain_id"]
    try:
        given = session.client("sts").assume_role(
            RoleArn=role, RoleSessionName=user, Tags=[{"Key": SIGN_IN, "Value": user}]
        )["Credentials"]
    except ClientError as error:
        raise _told(
            error,
            f"{role} is not assumed as {user}: {error}. The identity that signs in needs the tag"
            f" {SIGN_IN} with the name of its profile, a tag persona of Studio's (or to be among"
            " mlops:personas.studio_user of dev), and the right to assume and tag that role.",
        ) from error
    own = boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=dev.region,
    )
    ssm: Any = own.client("ssm")
    sagemaker: Any = own.client("sagemaker")
    try:
        found = ssm.get_parameter(Name=dev.names.parameter(path))["Parameter"]["Value"]
    except ClientError as error:
        raise _told(
            error, f"There is no Studio domain {domain} in dev, or it is not up: {error}"
        ) from error
    try:
        answer = sagemaker.create_presigned_domain_url(
            DomainId=found, UserProfileName=user, ExpiresInSeconds=LIFETIME_SECONDS
        )
    except ClientError as error:
        raise _told(
            error,
            f"The profile {user} of the domain {domain} is not opened: {error}. There is none of"
            " this name in that domain, or it is not tagged as its user's.",
        ) from error
    return str(answer["AuthorizedUrl"])


_REFUSED = ("AccessDenied", "AccessDeniedException", "ParameterNotFound", "ResourceNotFound")


def _told(error: ClientError, message: str) -> Exception:
    """The message, for what a person can mend; anything else as it came."""
    code = str(error.response.get("Error", {}).get("Code"))
    return SignInError(message) if code in _REFUSED else error
