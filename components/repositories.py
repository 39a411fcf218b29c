"""How projects' repositories and an account know each other: connections, and GitHub's tokens."""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components import iam
from components.contract import publish
from components.naming import Names, Placement
from components.projects.policies import AUDIENCE, GITHUB
from components.storage import BucketSpec, make_bucket

ARCHIVE = "archive"
"""Bucket of archived repositories."""


class RepositoryConnectionArgs(TypedDict):
    """Inputs of :class:`RepositoryConnection`."""

    placement: Placement
    """Where it lives: dev, which builds, or the hub, which releases."""
    provider: str
    """``GitHub``, ``GitLab`` or ``Bitbucket``."""


class RepositoryConnection(pulumi.ComponentResource):
    """A CodeConnections connection, and its ARN for projects.

    It is pending until an administrator of the organisation completes it in the console: AWS has no
    call for that. Source: developer tools console user guide, update a pending connection.
    """

    arn: Output[str]

    def __init__(
        self, name: str, args: RepositoryConnectionArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:RepositoryConnection", name, dict(args), opts)
        names = Names.at(args["placement"])
        connection = aws.codeconnections.Connection(
            name,
            # The service allows 32 characters.
            name=f"{names.prefix}-{names.environment}"[:32],
            provider_type=args["provider"],
            opts=ResourceOptions(parent=self, protect=args["placement"]["protect"]),
        )
        self.arn = connection.arn
        publish(self, name, names, {"ci/connection-arn": connection.arn})
        self.register_outputs({"arn": self.arn})


class GitHubIdentityArgs(TypedDict):
    """Inputs of :class:`GitHubIdentity`."""

    placement: Placement
    """Where it lives: dev, which builds, or the hub, which releases."""
    create: bool
    """Whether the provider is made here; otherwise the account has it already."""


class GitHubIdentity(pulumi.ComponentResource):
    """That the account believes GitHub's tokens, by which workflows of projects sign in.

    The provider alone lets nobody in: each role trusts one repository's branch or environments.
    """

    arn: Output[str]

    def __init__(
        self, name: str, args: GitHubIdentityArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:GitHubIdentity", name, dict(args), opts)
        names = Names.at(args["placement"])
        self.arn = Output.from_input(names.oidc_provider_arn(GITHUB))
        if args["create"]:
            # IAM verifies GitHub by its own certificate authorities: a thumbprint has no effect.
            # Source: IAM user guide, create an OpenID Connect identity provider.
            self.arn = aws.iam.OpenIdConnectProvider(
                name,
                url=f"https://{GITHUB}",
                client_id_lists=[AUDIENCE],
                opts=ResourceOptions(parent=self, protect=args["placement"]["protect"]),
            ).arn
        publish(self, name, names, {"ci/github-provider-arn": self.arn})
        self.register_outputs({"arn": self.arn})


class RepositoryArchiveArgs(TypedDict):
    """Inputs of :class:`RepositoryArchive`."""

    placement: Placement
    """Where it lives: the hub."""
    key_arn: pulumi.Input[str]
    """Its key."""
    access_log_bucket: pulumi.Input[str]
    """Where access to it is logged."""


class RepositoryArchive(pulumi.ComponentResource):
    """Where repositories go before their project does; nothing is taken away again."""

    name: Output[str]

    def __init__(
        self, name: str, args: RepositoryArchiveArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:index:RepositoryArchive", name, dict(args), opts)
        names = Names.at(args["placement"])
        bucket, _ = make_bucket(
            name,
            BucketSpec(
                name=names.bucket(ARCHIVE),
                arn=names.bucket_arn(ARCHIVE),
                statements=archive_statements(names),
                key_arn=args["key_arn"],
                log_bucket=args["access_log_bucket"],
                protect=args["placement"]["protect"],
            ),
            self,
        )
        self.name = bucket.id
        publish(self, name, names, {"ci/archive-bucket": self.name})
        self.register_outputs({"name": self.name})


def archive_statements(names: Names) -> list[iam.Statement]:
    """The archive's policy: what a version of an object holds, it holds."""
    return [
        iam.Statement(
            sid="DenyLosingHistory",
            effect="Deny",
            principals="*",
            actions=["s3:DeleteObjectVersion"],
            resources=[f"{names.bucket_arn(ARCHIVE)}/*"],
        )
    ]
