"""ECR: image repositories with their policies."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_REPOSITORY = {"repositoryName": "{id}"}


def _empty(params: Props, props: Props, scope: Scope) -> None:
    if props.get("forceDelete"):
        params["force"] = True


def _encryption(params: Props, inputs: Props, scope: Scope) -> None:
    for given in inputs.get("encryptionConfigurations") or []:
        params["encryptionConfiguration"] = {
            "encryptionType": given.get("encryptionType", "AES256")
        }
        if given.get("kmsKey"):
            params["encryptionConfiguration"]["kmsKey"] = given["kmsKey"]


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    repository = answer["repositories"][0]
    found["name"] = repository["repositoryName"]
    encryption = repository.get("encryptionConfiguration") or {}
    found["encryptionConfigurations"] = [
        {k: encryption[k] for k in ("encryptionType", "kmsKey") if encryption.get(k)}
    ]


_POLICY = Call("SetRepositoryPolicy", only=("policy", "repository"))
_LIFECYCLE = Call("PutLifecyclePolicy", only=("policy", "repository"))

ROWS = [
    Row(
        token="aws:ecr/repository:Repository",
        service="ecr",
        create=Call(
            "CreateRepository",
            only=("name", "imageTagMutability", "imageScanningConfiguration"),
            prepare=_encryption,
            takes=("encryptionConfigurations",),
        ),
        id="{name}",
        read=Call("DescribeRepositories", by={"repositoryNames": ["{id}"]}, path="repositories[0]"),
        update=(
            Call("PutImageTagMutability", by=_REPOSITORY, only=("imageTagMutability",)),
            Call("PutImageScanningConfiguration", by=_REPOSITORY,
                 only=("imageScanningConfiguration",)),
        ),
        delete=Call("DeleteRepository", by=_REPOSITORY, prepare=_empty),
        observe=_observe,
        rename={"name": "repositoryName"},
        name="name",
        prefix="",
        replace=("name", "encryptionConfigurations"),
        defaults={"imageTagMutability": "MUTABLE"},
        filled={
            "encryptionConfigurations": [{"encryptionType": "AES256"}],
            "imageScanningConfiguration": {"scanOnPush": False},
        },
        ignored={"forceDelete": "decides whether a delete takes the images along"},
        computed={
            "arn": "repository.repositoryArn",
            "repositoryUrl": "repository.repositoryUri",
            "registryId": "repository.registryId",
        },
        tags=Tags(member="tags", put_member="tags", remove_member="tagKeys", arn="resourceArn",
                  listed="tags"),
        gone=("RepositoryNotFoundException",),
    ),
    Row(
        token="aws:ecr/repositoryPolicy:RepositoryPolicy",
        service="ecr",
        create=_POLICY,
        id="{repository}",
        read=Call("GetRepositoryPolicy", by=_REPOSITORY),
        update=(_POLICY,),
        delete=Call("DeleteRepositoryPolicy", by=_REPOSITORY),
        rename={"repository": "repositoryName", "policy": "policyText"},
        parts=("repository",),
        replace=("repository",),
        computed={"registryId": "registryId"},
        gone=("RepositoryNotFoundException", "RepositoryPolicyNotFoundException"),
    ),
    Row(
        token="aws:ecr/lifecyclePolicy:LifecyclePolicy",
        service="ecr",
        create=_LIFECYCLE,
        id="{repository}",
        read=Call("GetLifecyclePolicy", by=_REPOSITORY),
        update=(_LIFECYCLE,),
        delete=Call("DeleteLifecyclePolicy", by=_REPOSITORY),
        rename={"repository": "repositoryName", "policy": "lifecyclePolicyText"},
        parts=("repository",),
        replace=("repository",),
        computed={"registryId": "registryId"},
        gone=("RepositoryNotFoundException", "LifecyclePolicyNotFoundException"),
    ),
]  # fmt: skip
