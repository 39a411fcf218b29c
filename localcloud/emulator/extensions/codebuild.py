"""Emulated CodeBuild: projects, and builds that really run (``localcloud/emulator/builds``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from localcloud.emulator.builds.builds import SERVICE as PRINCIPAL
from localcloud.emulator.builds.builds import Build, new_build_id
from localcloud.emulator.compute import ComputeError, Task
from localcloud.emulator.extension import ApiError, Context, Params, operation, resource_tags

_SERVICE = "codebuild"
_DEFAULT_TIMEOUT, _DEFAULT_QUEUED = 60, 480
"""Minutes. Source: CodeBuild API reference, CreateProject."""


def _projects(ctx: Context) -> dict[str, dict[str, Any]]:
    return ctx.store(_SERVICE).setdefault("projects", {})


def _builds(ctx: Context) -> dict[str, Build]:
    return ctx.store(_SERVICE).setdefault("builds", {})


def _delivery(ctx: Context) -> Any:
    return cast(Any, ctx.host).delivery


def _name(given: str) -> str:
    return given.rsplit("project/", 1)[-1]


def _filled(answer: Params) -> Params:
    """An answer without its empty lists, which CodeBuild's model does not know."""
    return {member: items for member, items in answer.items() if items}


def _project(ctx: Context, name: str) -> dict[str, Any]:
    found = _projects(ctx).get(_name(name))
    if found is None:
        raise ApiError(
            "ResourceNotFoundException", f"Project cannot be found: {ctx.arn(f'project/{name}')}"
        )
    return found


def _build(ctx: Context, id_: str) -> Build:
    found = _builds(ctx).get(id_.rsplit("build/", 1)[-1])
    if found is None:
        raise ApiError("ResourceNotFoundException", f"Build cannot be found: {id_}")
    return found


def _impossible(project: Mapping[str, Any]) -> Iterator[str]:
    """What a project wants and the local cloud does not have."""
    environment, source = project["environment"], project["source"]
    yield from (
        name
        for name in ("autoRetryLimit", "badgeEnabled", "buildBatchConfig", "fileSystemLocations")
        if project.get(name)
    )
    yield from (f"environment.{name}" for name in ("fleet", "dockerServer") if name in environment)
    if str(environment["type"]).startswith(("WINDOWS", "MAC")):
        yield f"environment.type {environment['type']}"
    logs: Mapping[str, Any] = project.get("logsConfig") or {}
    if (logs.get("s3Logs") or {}).get("status") == "ENABLED":
        yield "logsConfig.s3Logs"
    if (source.get("gitSubmodulesConfig") or {}).get("fetchSubmodules"):
        yield "source.gitSubmodulesConfig"


_SOURCES = ("CODECOMMIT", "CODEPIPELINE", "GITHUB", "S3", "NO_SOURCE")


def _checked(ctx: Context, project: dict[str, Any]) -> dict[str, Any]:
    wrong = [f"the local cloud has no {name}" for name in _impossible(project)]
    wrong += list(_source_problems(project))
    if wrong:
        raise ApiError("InvalidInputException", f"{project['name']}: {'; '.join(wrong)}")
    task = Task(
        ctx.account,
        ctx.region,
        PRINCIPAL,
        project["serviceRole"],
        "codebuild",
        project["arn"],
    )
    try:
        cast(Any, ctx.host).compute.principal(task)
    except ComputeError as error:
        raise ApiError(
            "InvalidInputException", f"CodeBuild is not authorized to perform: {error}"
        ) from error
    return project


def _source_problems(project: Mapping[str, Any]) -> Iterator[str]:
    source = project["source"]
    for item in (source, *(project.get("secondarySources") or [])):
        if item["type"] not in _SOURCES:
            yield f"the local cloud has no source {item['type']}: it has {', '.join(_SOURCES)}"
        elif item["type"] not in ("CODEPIPELINE", "NO_SOURCE") and not item.get("location"):
            yield f"a source {item['type']} needs a location"
    if source["type"] == "NO_SOURCE" and not source.get("buildspec"):
        yield "a project without a source needs its buildspec"
    pipeline = (source["type"], project["artifacts"]["type"])
    if "CODEPIPELINE" in pipeline and pipeline != ("CODEPIPELINE", "CODEPIPELINE"):
        yield "source and artifacts are both of CodePipeline, or neither is"
    if project["artifacts"]["type"] == "S3" and not project["artifacts"].get("location"):
        yield "artifacts in S3 need a location"
    vpc = project.get("vpcConfig") or {}
    if vpc and not (vpc.get("vpcId") and vpc.get("subnets") and vpc.get("securityGroupIds")):
        yield "a vpcConfig has a VPC, subnets and security groups"


@operation(_SERVICE, "CreateProject")
def create_project(ctx: Context, params: Params) -> Params:
    """Makes a project."""
    name = params["name"]
    if name in _projects(ctx):
        raise ApiError(
            "ResourceAlreadyExistsException",
            f"Project already exists: {ctx.arn(f'project/{name}')}",
        )
    project: dict[str, Any] = {
        "timeoutInMinutes": _DEFAULT_TIMEOUT,
        "queuedTimeoutInMinutes": _DEFAULT_QUEUED,
        "encryptionKey": f"arn:aws:kms:{ctx.region}:{ctx.account}:alias/aws/s3",
        "cache": {"type": "NO_CACHE"},
        "badge": {"badgeEnabled": False},
        "projectVisibility": "PRIVATE",
        **{key: value for key, value in params.items() if key != "badgeEnabled"},
        "tags": params.get("tags") or [],
        "arn": ctx.arn(f"project/{name}"),
        "created": ctx.now(),
        "lastModified": ctx.now(),
    }
    _checked(ctx, {**params, **project})
    _projects(ctx)[name] = project
    return {"project": project}


@operation(_SERVICE, "UpdateProject")
def update_project(ctx: Context, params: Params) -> Params:
    """Changes what is named; an empty network is none."""
    project: dict[str, Any] = {**_project(ctx, params["name"]), **params, "lastModified": ctx.now()}
    project.pop("badgeEnabled", None)
    if not (project.get("vpcConfig") or {}).get("vpcId"):
        project.pop("vpcConfig", None)
    if project.get("concurrentBuildLimit") == -1:
        project.pop("concurrentBuildLimit")
    _checked(ctx, {**params, **project})
    _projects(ctx)[params["name"]] = project
    return {"project": project}


@operation(_SERVICE, "BatchGetProjects")
def batch_get_projects(ctx: Context, params: Params) -> Params:
    """Describes projects."""
    names = [_name(name) for name in params["names"]]
    return _filled(
        {
            "projects": [_projects(ctx)[name] for name in names if name in _projects(ctx)],
            "projectsNotFound": [name for name in names if name not in _projects(ctx)],
        }
    )


@operation(_SERVICE, "ListProjects")
def list_projects(ctx: Context, params: Params) -> Params:
    """Lists the projects' names."""
    descending = params.get("sortOrder") == "DESCENDING"
    return _filled({"projects": sorted(_projects(ctx), reverse=descending)})


@operation(_SERVICE, "DeleteProject")
def delete_project(ctx: Context, params: Params) -> Params:
    """Removes a project; one that is gone is no error. Its builds are kept."""
    _projects(ctx).pop(_name(params["name"]), None)
    return {}


@operation(_SERVICE, "StartBuild")
def start_build(ctx: Context, params: Params) -> Params:
    """Begins a build."""
    tokens = ctx.store(_SERVICE).setdefault("tokens", {})
    token = params.get("idempotencyToken")
    if token in tokens:
        known, given = tokens[token]
        if given != params:
            raise ApiError("InvalidInputException", "The token was used with other parameters.")
        return {"build": _builds(ctx)[known].shown()}
    build = _started(ctx, _project(ctx, params["projectName"]), params)
    if token:
        tokens[token] = build.id, params
    return {"build": build.shown()}


def _started(ctx: Context, project: Mapping[str, Any], params: Params) -> Build:
    running = [
        build
        for build in _builds(ctx).values()
        if build.record["projectName"] == project["name"] and not build.record["buildComplete"]
    ]
    limit = project.get("concurrentBuildLimit")
    if limit and len(running) >= limit:
        raise ApiError(
            "AccountLimitExceededException",
            f"Cannot have more than {limit} builds of {project['name']} at the same time.",
        )
    effective = _overridden(project, params)
    if "CODEPIPELINE" in (effective["source"]["type"], effective["artifacts"]["type"]):
        raise ApiError(
            "InvalidInputException",
            "Cannot start a build of a project with a source or artifacts of CodePipeline:"
            " override both, or let the pipeline start it.",
        )
    _checked(ctx, effective)
    counters = ctx.store(_SERVICE).setdefault("numbers", {})
    counters[project["name"]] = number = counters.get(project["name"], 0) + 1
    id_ = new_build_id(project["name"])
    record = {
        "id": id_,
        "arn": ctx.arn(f"build/{id_}"),
        "buildNumber": number,
        "startTime": ctx.now(),
        "currentPhase": "SUBMITTED",
        "buildStatus": "IN_PROGRESS",
        "buildComplete": False,
        "projectName": project["name"],
        "phases": [],
        "source": effective["source"],
        "secondarySources": effective.get("secondarySources") or [],
        "secondarySourceVersions": effective.get("secondarySourceVersions") or [],
        "artifacts": {"location": ""},
        "cache": effective["cache"],
        "environment": effective["environment"],
        "serviceRole": effective["serviceRole"],
        "logs": _logs(ctx, effective, id_),
        "timeoutInMinutes": effective["timeoutInMinutes"],
        "queuedTimeoutInMinutes": effective["queuedTimeoutInMinutes"],
        "initiator": _initiator(ctx),
    }
    for member in ("sourceVersion", "vpcConfig", "encryptionKey"):
        if effective.get(member):
            record[member] = effective[member]
    if str(record.get("encryptionKey", "")).endswith(":alias/aws/s3"):
        # S3's own key is the bucket's matter.
        record.pop("encryptionKey")
    build = Build(
        ctx.account,
        ctx.region,
        record,
        effective["artifacts"],
        effective.get("secondaryArtifacts") or (),
    )
    _builds(ctx)[id_] = build
    ctx.store(_SERVICE).setdefault("started", {})[id_] = params
    _delivery(ctx).builds.start(build)
    return build


_OVERRIDES = {
    "artifactsOverride": "artifacts",
    "cacheOverride": "cache",
    "encryptionKeyOverride": "encryptionKey",
    "logsConfigOverride": "logsConfig",
    "queuedTimeoutInMinutesOverride": "queuedTimeoutInMinutes",
    "secondaryArtifactsOverride": "secondaryArtifacts",
    "secondarySourcesOverride": "secondarySources",
    "secondarySourcesVersionOverride": "secondarySourceVersions",
    "serviceRoleOverride": "serviceRole",
    "sourceVersion": "sourceVersion",
    "timeoutInMinutesOverride": "timeoutInMinutes",
}
_SOURCE_OVERRIDES = {
    "buildspecOverride": "buildspec",
    "gitCloneDepthOverride": "gitCloneDepth",
    "sourceAuthOverride": "auth",
    "sourceLocationOverride": "location",
    "sourceTypeOverride": "type",
}
_ENVIRONMENT_OVERRIDES = {
    "computeTypeOverride": "computeType",
    "environmentTypeOverride": "type",
    "imageOverride": "image",
    "imagePullCredentialsTypeOverride": "imagePullCredentialsType",
    "privilegedModeOverride": "privilegedMode",
}


def _overridden(project: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """The project as one build has it."""
    known = {*_OVERRIDES, *_SOURCE_OVERRIDES, *_ENVIRONMENT_OVERRIDES}
    known |= {"projectName", "idempotencyToken", "environmentVariablesOverride"}
    unknown = sorted(params.keys() - known)
    if unknown:
        raise ApiError(
            "InvalidInputException", f"The local cloud has no {', '.join(unknown)} of a build."
        )

    def taken(names: Mapping[str, str]) -> dict[str, Any]:
        return {member: params[name] for name, member in names.items() if name in params}

    environment = {**project["environment"], **taken(_ENVIRONMENT_OVERRIDES)}
    variables = {item["name"]: item for item in environment.get("environmentVariables") or []}
    variables |= {item["name"]: item for item in params.get("environmentVariablesOverride") or []}
    environment["environmentVariables"] = list(variables.values())
    source = {**project["source"], **taken(_SOURCE_OVERRIDES)}
    return {**project, **taken(_OVERRIDES), "source": source, "environment": environment}


def _logs(ctx: Context, project: Mapping[str, Any], id_: str) -> dict[str, Any]:
    given = (project.get("logsConfig") or {}).get("cloudWatchLogs") or {"status": "ENABLED"}
    shown: dict[str, Any] = {"cloudWatchLogs": given}
    if given["status"] == "ENABLED":
        group = given.get("groupName") or f"/aws/codebuild/{project['name']}"
        prefix = f"{given['streamName']}/" if given.get("streamName") else ""
        stream = f"{prefix}{id_.rsplit(':', 1)[-1]}"
        shown |= {
            "groupName": group,
            "streamName": stream,
            "cloudWatchLogsArn": ctx.arn(f"log-group:{group}:log-stream:{stream}", service="logs"),
        }
    return shown


def _initiator(ctx: Context) -> str:
    pipeline = _delivery(ctx).pipelines.session_of(ctx.caller.access_key)
    if pipeline:
        return f"codepipeline/{pipeline}"
    return ctx.caller.arn.split(":", 5)[5].removeprefix("assumed-role/").removeprefix("user/")


@operation(_SERVICE, "RetryBuild")
def retry_build(ctx: Context, params: Params) -> Params:
    """Begins a build anew with what it was started with."""
    old = _build(ctx, params["id"])
    if not old.record["buildComplete"]:
        raise ApiError("InvalidInputException", f"{old.id} has not ended.")
    given = ctx.store(_SERVICE)["started"][old.id]
    given = {key: value for key, value in given.items() if key != "idempotencyToken"}
    project = _project(ctx, old.record["projectName"])
    return {"build": _started(ctx, project, given).shown()}


@operation(_SERVICE, "StopBuild")
def stop_build(ctx: Context, params: Params) -> Params:
    """Ends a build; one that has ended stays as it is."""
    build = _build(ctx, params["id"])
    _delivery(ctx).builds.stop(build)
    return {"build": build.shown()}


@operation(_SERVICE, "BatchGetBuilds")
def batch_get_builds(ctx: Context, params: Params) -> Params:
    """Describes builds."""
    ids = [id_.rsplit("build/", 1)[-1] for id_ in params["ids"]]
    return _filled(
        {
            "builds": [_builds(ctx)[id_].shown() for id_ in ids if id_ in _builds(ctx)],
            "buildsNotFound": [id_ for id_ in ids if id_ not in _builds(ctx)],
        }
    )


@operation(_SERVICE, "ListBuilds", "ListBuildsForProject")
def list_builds(ctx: Context, params: Params) -> Params:
    """Lists the builds' ids, by default the newest first."""
    project = params.get("projectName")
    if project is not None:
        _project(ctx, project)
    ids = [
        id_ for id_, build in _builds(ctx).items() if project in (None, build.record["projectName"])
    ]
    return _filled({"ids": ids if params.get("sortOrder") == "ASCENDING" else ids[::-1]})


@operation(_SERVICE, "BatchDeleteBuilds")
def batch_delete_builds(ctx: Context, params: Params) -> Params:
    """Forgets builds that have ended."""
    deleted: list[str] = []
    kept: list[Params] = []
    for id_ in params["ids"]:
        found = _build(ctx, id_)
        if found.record["buildComplete"]:
            del _builds(ctx)[found.id]
            deleted.append(found.record["arn"])
        else:
            kept.append({"id": found.id, "statusCode": "BUILD_IN_PROGRESS"})
    return _filled({"buildsDeleted": deleted, "buildsNotDeleted": kept})


@resource_tags(_SERVICE)
def tags_of(ctx: Context, arn: str) -> Mapping[str, str] | None:
    """The tags of a project."""
    project = _projects(ctx).get(_name(arn))
    return {tag["key"]: tag["value"] for tag in project["tags"]} if project else None
