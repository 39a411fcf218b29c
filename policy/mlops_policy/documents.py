"""Where policy documents stand in the resources of the AWS provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from mlops_policy.aws import (
    BUCKET,
    BUCKET_POLICY,
    KEY,
    QUEUE,
    QUEUE_POLICY,
    ROLE,
    SECRET,
    TOPIC,
    TOPIC_POLICY,
)
from mlops_policy.iam import Document, Statement
from mlops_policy.model import Resource

IAM_POLICY: Final = "aws:iam/policy:Policy"
ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"

IDENTITY_POLICIES: Mapping[str, str] = {
    IAM_POLICY: "policy",
    ROLE_POLICY: "policy",
    "aws:iam/groupPolicy:GroupPolicy": "policy",
    "aws:iam/userPolicy:UserPolicy": "policy",
}
"""Type -> property with a document that says what its holder may do; roles have a list of them."""

RESOURCE_POLICIES: Mapping[str, str] = {
    BUCKET: "policy",
    BUCKET_POLICY: "policy",
    KEY: "policy",
    "aws:kms/keyPolicy:KeyPolicy": "policy",
    TOPIC: "policy",
    TOPIC_POLICY: "policy",
    QUEUE: "policy",
    QUEUE_POLICY: "policy",
    SECRET: "policy",
    "aws:secretsmanager/secretPolicy:SecretPolicy": "policy",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "policy",
    "aws:ecr/registryPolicy:RegistryPolicy": "policy",
    "aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy": "resourcePolicy",
    "aws:cloudwatch/eventBusPolicy:EventBusPolicy": "policy",
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": "policyDocument",
    "aws:glue/resourcePolicy:ResourcePolicy": "policy",
    "aws:efs/fileSystemPolicy:FileSystemPolicy": "policy",
    "aws:codebuild/resourcePolicy:ResourcePolicy": "policy",
    "aws:dynamodb/resourcePolicy:ResourcePolicy": "policy",
    "aws:backup/vaultPolicy:VaultPolicy": "policy",
}
"""Type -> property with a document that says who may use the resource."""


def identity_documents(resource: Resource) -> Iterator[Document]:
    """The documents that say what the holder of a policy, or a role by itself, may do.

    Raises:
        NotKnownYetError: a document is not known.
    """
    blocks = resource.blocks("inlinePolicies") if resource.type == ROLE else [resource]
    for block in blocks:
        found = block.document("policy")
        if found:
            yield found


def resource_statements(resource: Resource) -> tuple[Statement, ...]:
    """The allowing statements of a resource policy.

    Raises:
        NotKnownYetError: the document is not known.
    """
    found = resource.document(RESOURCE_POLICIES[resource.type])
    return found.allows if found else ()
