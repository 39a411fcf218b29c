"""Emulated CodeCommit: repositories with content, reached by git and by the API."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, cast

from localcloud.emulator.builds.repositories import CODECOMMIT, Repository, RepositoryError
from localcloud.emulator.extension import ApiError, Context, Params, operation, resource_tags

_SERVICE = "codecommit"
_MODES = {"EXECUTABLE": "100755", "NORMAL": "100644", "SYMLINK": "120000"}


def _delivery(ctx: Context) -> Any:
    return cast(Any, ctx.host).delivery


def _metadata(ctx: Context, name: str) -> dict[str, Any]:
    found = ctx.store(_SERVICE).setdefault("repositories", {}).get(name)
    if found is None:
        raise ApiError("RepositoryDoesNotExistException", f"{name} does not exist")
    return found


def _repository(ctx: Context, params: Params) -> Repository:
    name = params["repositoryName"]
    _metadata(ctx, name)
    return _delivery(ctx).repositories.find(CODECOMMIT, name, ctx.account, ctx.region)


def _shown(ctx: Context, name: str) -> Params:
    """A repository's metadata; its default branch is the first one that was pushed."""
    found = _metadata(ctx, name)
    branches = _repository(ctx, {"repositoryName": name}).branches()
    default = found.get("defaultBranch") or ("main" if "main" in branches else None)
    default = default or next(iter(branches), None)
    return {**found, **({"defaultBranch": default} if default else {})}


@operation(_SERVICE, "CreateRepository")
def create_repository(ctx: Context, params: Params) -> Params:
    """Makes an empty repository."""
    name = params["repositoryName"]
    try:
        made = _delivery(ctx).repositories.create(CODECOMMIT, name, ctx.account, ctx.region)
    except ValueError as error:
        taken = "already" in str(error)
        code = "RepositoryNameExistsException" if taken else "InvalidRepositoryNameException"
        raise ApiError(code, str(error)) from error
    metadata = {
        "accountId": ctx.account,
        "repositoryId": str(uuid.uuid4()),
        "repositoryName": name,
        "creationDate": ctx.now(),
        "lastModifiedDate": ctx.now(),
        "cloneUrlHttp": made.clone_url,
        # No key of AWS's is made here: this address is only as AWS would write it.
        "cloneUrlSsh": f"ssh://git-codecommit.{ctx.region}.amazonaws.com/v1/repos/{name}",
        "Arn": made.arn,
        "kmsKeyId": params.get("kmsKeyId", "alias/aws/codecommit"),
    }
    if params.get("repositoryDescription"):
        metadata["repositoryDescription"] = params["repositoryDescription"]
    ctx.store(_SERVICE).setdefault("repositories", {})[name] = metadata
    ctx.store(_SERVICE).setdefault("tags", {})[made.arn] = dict(params.get("tags") or {})
    return {"repositoryMetadata": metadata}


@operation(_SERVICE, "GetRepository")
def get_repository(ctx: Context, params: Params) -> Params:
    """Describes a repository."""
    return {"repositoryMetadata": _shown(ctx, params["repositoryName"])}


@operation(_SERVICE, "ListRepositories")
def list_repositories(ctx: Context, params: Params) -> Params:
    """Lists names and ids."""
    del params
    found = ctx.store(_SERVICE).get("repositories", {}).values()
    members = ("repositoryName", "repositoryId")
    return {"repositories": [{member: item[member] for member in members} for item in found]}


@operation(_SERVICE, "UpdateRepositoryDescription", "UpdateDefaultBranch")
def update_repository(ctx: Context, params: Params) -> Params:
    """Changes the description or the default branch."""
    metadata = _metadata(ctx, params["repositoryName"])
    metadata["lastModifiedDate"] = ctx.now()
    if ctx.operation == "UpdateRepositoryDescription":
        metadata.pop("repositoryDescription", None)
        if params.get("repositoryDescription"):
            metadata["repositoryDescription"] = params["repositoryDescription"]
        return {}
    if params["defaultBranchName"] not in _repository(ctx, params).branches():
        raise ApiError("BranchDoesNotExistException", f"{params['defaultBranchName']} is no branch")
    metadata["defaultBranch"] = params["defaultBranchName"]
    return {}


@operation(_SERVICE, "DeleteRepository")
def delete_repository(ctx: Context, params: Params) -> Params:
    """Removes a repository with its content; one that is gone is no error."""
    name = params["repositoryName"]
    found = ctx.store(_SERVICE).setdefault("repositories", {}).get(name)
    if found is None:
        return {}
    _delivery(ctx).repositories.delete(_repository(ctx, params))
    del ctx.store(_SERVICE)["repositories"][name]
    return {"repositoryId": found["repositoryId"]}


@operation(_SERVICE, "GetBranch")
def get_branch(ctx: Context, params: Params) -> Params:
    """A branch's newest commit."""
    name = params["branchName"]
    commit = _repository(ctx, params).branches().get(name)
    if commit is None:
        raise ApiError("BranchDoesNotExistException", f"Branch {name} does not exist")
    return {"branch": {"branchName": name, "commitId": commit}}


@operation(_SERVICE, "ListBranches")
def list_branches(ctx: Context, params: Params) -> Params:
    """The branches' names."""
    return {"branches": sorted(_repository(ctx, params).branches())}


@operation(_SERVICE, "GetCommit")
def get_commit(ctx: Context, params: Params) -> Params:
    """A commit's author and message."""
    try:
        found = _repository(ctx, params).commit(params["commitId"])
    except RepositoryError as error:
        raise ApiError("CommitIdDoesNotExistException", str(error)) from error
    person = {"name": found.author, "email": found.email, "date": found.date}
    return {
        "commit": {
            "commitId": found.id,
            "message": found.message,
            "author": person,
            "committer": person,
        }
    }


@operation(_SERVICE, "GetFile")
def get_file(ctx: Context, params: Params) -> Params:
    """A file's content, of the default branch or of a commit."""
    repository = _repository(ctx, params)
    default = str(_shown(ctx, repository.name).get("defaultBranch", ""))
    try:
        commit = repository.commit(params.get("commitSpecifier") or default)
        mode, blob, content = repository.file(commit.id, params["filePath"])
    except RepositoryError as error:
        missing = "FileDoesNotExistException" if "file" in str(error) else None
        raise ApiError(missing or "CommitDoesNotExistException", str(error)) from error
    return {
        "commitId": commit.id,
        "blobId": blob,
        "filePath": params["filePath"],
        "fileMode": next(name for name, git in _MODES.items() if git == mode),
        "fileSize": len(content),
        "fileContent": content,
    }


@operation(_SERVICE, "CreateCommit")
def create_commit(ctx: Context, params: Params) -> Params:
    """Commits files to a branch, upon its newest commit."""
    repository, branch = _repository(ctx, params), params["branchName"]
    for member in ("setFileModes", "keepEmptyFolders"):
        if params.get(member):
            raise ApiError("InvalidParameterException", f"The local cloud has no {member}.")
    before = repository.branches()
    head, parent = before.get(branch), params.get("parentCommitId")
    if head and not parent:
        raise ApiError("ParentCommitIdRequiredException", f"{branch} has commits: name the parent.")
    if head != parent:
        raise ApiError("ParentCommitIdOutdatedException", f"{branch} is at {head}, not {parent}.")
    files: dict[str, tuple[bytes, str]] = {}
    for item in params.get("putFiles") or []:
        if "fileContent" not in item:
            raise ApiError("InvalidParameterException", "The local cloud has no sourceFile.")
        files[item["filePath"]] = item["fileContent"], _MODES[item.get("fileMode", "NORMAL")]
    deleted = [item["filePath"] for item in params.get("deleteFiles") or []]
    if not files and not deleted:
        raise ApiError("FileEntryRequiredException", "A commit needs files.")
    try:
        commit, tree = repository.put(
            branch,
            files,
            deleted=deleted,
            parent=parent,
            message=params.get("commitMessage", ""),
            author=params.get("authorName", ""),
            email=params.get("email", ""),
        )
    except RepositoryError as error:
        raise ApiError("InvalidPathException", str(error)) from error
    _delivery(ctx).repositories.moved(repository, before)
    return {"commitId": commit, "treeId": tree}


@operation(_SERVICE, "TagResource", "UntagResource", "ListTagsForResource")
def tags(ctx: Context, params: Params) -> Params | None:
    """Sets, removes or lists a repository's tags."""
    arn = params["resourceArn"]
    _metadata(ctx, arn.rsplit(":", 1)[-1])
    kept = ctx.store(_SERVICE).setdefault("tags", {}).setdefault(arn, {})
    kept.update(params.get("tags") or {})
    for key in params.get("tagKeys") or []:
        kept.pop(key, None)
    return {"tags": dict(kept)} if ctx.operation == "ListTagsForResource" else None


@resource_tags(_SERVICE)
def tags_of(ctx: Context, arn: str) -> Mapping[str, str] | None:
    """The tags of a repository."""
    return ctx.store(_SERVICE).get("tags", {}).get(arn)
