"""CodeCommit: git repositories."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_REPOSITORY = {"repositoryName": "{id}"}


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    default = answer["repositoryMetadata"].get("defaultBranch")
    if default:
        found["defaultBranch"] = default


ROWS = [
    Row(
        token="aws:codecommit/repository:Repository",
        service="codecommit",
        create=Call("CreateRepository", only=("repositoryName", "description", "kmsKeyId")),
        id="{repositoryName}",
        filled={"kmsKeyId": None},
        read=Call("GetRepository", by=_REPOSITORY, path="repositoryMetadata"),
        update=(
            Call("UpdateRepositoryDescription", by=_REPOSITORY, only=("description",)),
            Call("UpdateDefaultBranch", by=_REPOSITORY, only=("defaultBranch",)),
        ),
        delete=Call("DeleteRepository", by=_REPOSITORY),
        observe=_observe,
        rename={"description": "repositoryDescription", "defaultBranch": "defaultBranchName"},
        replace=("repositoryName", "kmsKeyId"),
        unread={"defaultBranch": "a repository without commits has none yet"},
        parts=("repositoryName",),
        computed={
            "arn": "repositoryMetadata.Arn",
            "cloneUrlHttp": "repositoryMetadata.cloneUrlHttp",
            "cloneUrlSsh": "repositoryMetadata.cloneUrlSsh",
            "kmsKeyId": "repositoryMetadata.kmsKeyId",
            "repositoryId": "repositoryMetadata.repositoryId",
        },
        tags=Tags(
            member="tags",
            style="map",
            put_member="tags",
            remove_member="tagKeys",
            arn="resourceArn",
            listed="tags",
        ),
        gone=("RepositoryDoesNotExistException",),
    ),
]
