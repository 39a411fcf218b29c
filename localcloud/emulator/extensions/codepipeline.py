"""Emulated CodePipeline: pipelines that really run (``localcloud/emulator/builds``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from localcloud.emulator.builds.actions import Action
from localcloud.emulator.builds.pipelines import Execution, Pipeline, Pipelines, now
from localcloud.emulator.extension import ApiError, Context, Params, operation, resource_tags

_SERVICE = "codepipeline"
_SUMMARY, _MESSAGE = 2048, 5000
"""The longest texts that CodePipeline's model knows."""
_DEFAULTS = {"executionMode": "SUPERSEDED", "pipelineType": "V1", "triggers": []}


def _pipelines(ctx: Context) -> Pipelines:
    return cast(Any, ctx.host).delivery.pipelines


def _pipeline(ctx: Context, name: str) -> Pipeline:
    found = _pipelines(ctx).known.get((ctx.account, ctx.region, name))
    if found is None:
        raise ApiError(
            "PipelineNotFoundException",
            f"Account '{ctx.account}' does not have a pipeline with name '{name}'",
        )
    return found


def _execution(pipeline: Pipeline, id_: str) -> Execution:
    found = pipeline.executions.get(id_)
    if found is None:
        raise ApiError(
            "PipelineExecutionNotFoundException",
            f"Pipeline {pipeline.name} has no execution {id_}.",
        )
    return found


def _declared(given: Mapping[str, Any], version: int) -> dict[str, Any]:
    declaration = {**_DEFAULTS, **given, "version": version}
    declaration["stages"] = [
        {
            **stage,
            "actions": [
                {"configuration": {}, "inputArtifacts": [], "outputArtifacts": [], "runOrder": 1}
                | action
                for action in stage["actions"]
            ],
        }
        for stage in given["stages"]
    ]
    if not declaration["triggers"]:
        del declaration["triggers"]
    return declaration


@operation(_SERVICE, "CreatePipeline")
def create_pipeline(ctx: Context, params: Params) -> Params:
    """Makes a pipeline, and starts it as CodePipeline does with a new one.

    A pipeline whose variables have no defaults cannot start by itself, and is only made.
    """
    name = params["pipeline"]["name"]
    key = (ctx.account, ctx.region, name)
    pipelines = _pipelines(ctx)
    if key in pipelines.known:
        raise ApiError(
            "PipelineNameInUseException", f"A pipeline with the name '{name}' already exists"
        )
    tags = {tag["key"]: tag["value"] for tag in params.get("tags") or []}
    declaration = _declared(params["pipeline"], 1)
    made = Pipeline(ctx.account, ctx.region, declaration, tags)
    pipelines.check(made)
    pipelines.known[key] = made
    if all("defaultValue" in item for item in declaration.get("variables") or []):
        pipelines.start(made, {}, {"triggerType": "CreatePipeline", "triggerDetail": _who(ctx)})
    return {"pipeline": declaration, "tags": params.get("tags") or []}


@operation(_SERVICE, "UpdatePipeline")
def update_pipeline(ctx: Context, params: Params) -> Params:
    """Changes a pipeline; executions that run keep to what they began with."""
    pipeline = _pipeline(ctx, params["pipeline"]["name"])
    version = int(pipeline.declaration["version"]) + 1
    changed = Pipeline(
        ctx.account, ctx.region, _declared(params["pipeline"], version), pipeline.tags
    )
    _pipelines(ctx).check(changed)
    pipeline.declaration, pipeline.updated = changed.declaration, now()
    return {"pipeline": pipeline.declaration}


@operation(_SERVICE, "GetPipeline")
def get_pipeline(ctx: Context, params: Params) -> Params:
    """Describes a pipeline; of its versions the newest is kept."""
    pipeline = _pipeline(ctx, params["name"])
    wanted = params.get("version")
    if wanted not in (None, pipeline.declaration["version"]):
        raise ApiError(
            "PipelineVersionNotFoundException",
            f"The local cloud keeps only version {pipeline.declaration['version']}.",
        )
    return {
        "pipeline": pipeline.declaration,
        "metadata": {
            "pipelineArn": pipeline.arn,
            "created": pipeline.created,
            "updated": pipeline.updated,
        },
    }


@operation(_SERVICE, "ListPipelines")
def list_pipelines(ctx: Context, params: Params) -> Params:
    """Lists pipelines."""
    del params
    return {
        "pipelines": [
            {
                "name": found.name,
                "version": found.declaration["version"],
                "pipelineType": found.declaration["pipelineType"],
                "executionMode": found.declaration["executionMode"],
                "created": found.created,
                "updated": found.updated,
            }
            for (account, region, _), found in sorted(_pipelines(ctx).known.items())
            if (account, region) == (ctx.account, ctx.region)
        ]
    }


@operation(_SERVICE, "DeletePipeline")
def delete_pipeline(ctx: Context, params: Params) -> Params | None:
    """Removes a pipeline; what runs of it is left to itself. One that is gone is no error."""
    pipelines = _pipelines(ctx)
    found = pipelines.known.pop((ctx.account, ctx.region, params["name"]), None)
    for execution in list(found.executions.values()) if found else []:
        if found and execution.status in ("InProgress", "Stopping"):
            pipelines.stop(found, execution, "The pipeline was deleted.", abandon=True)
    return None


# Executions.


@operation(_SERVICE, "StartPipelineExecution")
def start_execution(ctx: Context, params: Params) -> Params:
    """Begins an execution; the same token gives the same one."""
    pipeline = _pipeline(ctx, params["name"])
    token = params.get("clientRequestToken")
    if token in pipeline.tokens:
        return {"pipelineExecutionId": pipeline.tokens[token]}
    given = {item["name"]: item["value"] for item in params.get("variables") or []}
    revisions = {
        item["actionName"]: item["revisionValue"] for item in params.get("sourceRevisions") or []
    }
    sources = {action["name"] for action in pipeline.declaration["stages"][0]["actions"]}
    if set(revisions) - sources:
        raise ApiError(
            "ValidationException",
            f"{pipeline.name} has no source action {', '.join(sorted(set(revisions) - sources))}.",
        )
    trigger = {"triggerType": "StartPipelineExecution", "triggerDetail": _who(ctx)}
    execution = _pipelines(ctx).start(pipeline, given, trigger, revisions)
    if token:
        pipeline.tokens[token] = execution.id
    return {"pipelineExecutionId": execution.id}


def _who(ctx: Context) -> str:
    return ctx.caller.arn


@operation(_SERVICE, "StopPipelineExecution")
def stop_execution(ctx: Context, params: Params) -> Params:
    """Lets an execution go no further."""
    pipeline = _pipeline(ctx, params["pipelineName"])
    execution = _execution(pipeline, params["pipelineExecutionId"])
    reason = params.get("reason", "")
    _pipelines(ctx).stop(pipeline, execution, reason, abandon=bool(params.get("abandon")))
    return {"pipelineExecutionId": execution.id}


@operation(_SERVICE, "RetryStageExecution")
def retry_stage(ctx: Context, params: Params) -> Params:
    """Begins a failed stage again."""
    pipeline = _pipeline(ctx, params["pipelineName"])
    execution = _execution(pipeline, params["pipelineExecutionId"])
    _pipelines(ctx).retry(pipeline, execution, params["stageName"], params["retryMode"])
    return {"pipelineExecutionId": execution.id}


@operation(_SERVICE, "PutApprovalResult")
def put_approval_result(ctx: Context, params: Params) -> Params:
    """Answers an approval; who answers is kept."""
    pipeline = _pipeline(ctx, params["pipelineName"])
    stages = {stage["name"]: stage for stage in pipeline.declaration["stages"]}
    if params["stageName"] not in stages:
        raise ApiError("StageNotFoundException", f"There is no stage {params['stageName']}.")
    names = {action["name"] for action in stages[params["stageName"]]["actions"]}
    if params["actionName"] not in names:
        raise ApiError("ActionNotFoundException", f"There is no action {params['actionName']}.")
    action = next(
        (
            action
            for execution in pipeline.executions.values()
            for action in execution.actions
            if action.token == params["token"]
            and (action.stage, action.name) == (params["stageName"], params["actionName"])
        ),
        None,
    )
    if action is None:
        raise ApiError(
            "InvalidApprovalTokenException", "The token is not that of an approval in this action."
        )
    result = params["result"]
    answered = _pipelines(ctx).answer(
        action,
        approved=result["status"] == "Approved",
        summary=result["summary"],
        caller=ctx.caller.arn,
    )
    return {"approvedAt": answered}


@operation(_SERVICE, "GetPipelineExecution")
def get_execution(ctx: Context, params: Params) -> Params:
    """Describes an execution."""
    pipeline = _pipeline(ctx, params["pipelineName"])
    execution = _execution(pipeline, params["pipelineExecutionId"])
    shown: Params = {
        "pipelineName": pipeline.name,
        "pipelineVersion": execution.declaration["version"],
        "pipelineExecutionId": execution.id,
        "status": execution.status,
        "artifactRevisions": [
            {"name": next(iter(action.outputs), action.name), "created": action.changed}
            | _revision(action)
            for action in execution.actions
            if action.revision
        ],
        "variables": [
            {"name": name, "resolvedValue": value} for name, value in execution.variables.items()
        ],
        "trigger": execution.trigger,
        "executionMode": execution.mode,
        "executionType": "STANDARD",
    }
    if execution.summary:
        shown["statusSummary"] = execution.summary
    return {"pipelineExecution": shown}


def _revision(action: Action) -> Params:
    id_, summary = action.revision or ("", "")
    return {"revisionId": id_} | ({"revisionSummary": summary[:_SUMMARY]} if summary else {})


@operation(_SERVICE, "ListPipelineExecutions")
def list_executions(ctx: Context, params: Params) -> Params:
    """Lists executions, the newest first."""
    pipeline = _pipeline(ctx, params["pipelineName"])
    if params.get("filter"):
        raise ApiError("ValidationException", "The local cloud has no filter of executions.")
    newest = list(pipeline.executions.values())[::-1]
    return _page("pipelineExecutionSummaries", [_summary(item) for item in newest], params)


def _summary(execution: Execution) -> Params:
    shown: Params = {
        "pipelineExecutionId": execution.id,
        "status": execution.status,
        "startTime": execution.started,
        "lastUpdateTime": execution.changed,
        "sourceRevisions": [
            {"actionName": action.name} | _revision(action)
            for action in execution.actions
            if action.revision
        ],
        "trigger": execution.trigger,
        "executionMode": execution.mode,
        "executionType": "STANDARD",
    }
    if execution.summary:
        shown["statusSummary"] = execution.summary
    if execution.stop is not None:
        shown["stopTrigger"] = {"reason": execution.stop}
    return shown


def _page(member: str, items: list[Params], params: Params) -> Params:
    start, most = int(params.get("nextToken") or 0), int(params.get("maxResults") or 100)
    answer: Params = {member: items[start : start + most]}
    if start + most < len(items):
        answer["nextToken"] = str(start + most)
    return answer


@operation(_SERVICE, "ListActionExecutions")
def list_actions(ctx: Context, params: Params) -> Params:
    """Lists runs of actions, the newest first."""
    pipeline = _pipeline(ctx, params["pipelineName"])
    given = params.get("filter") or {}
    if given.get("latestInPipelineExecution"):
        raise ApiError("ValidationException", "The local cloud filters by pipelineExecutionId.")
    wanted = given.get("pipelineExecutionId")
    if wanted:
        _execution(pipeline, wanted)
    shown = [
        _detail(execution, action)
        for execution in list(pipeline.executions.values())[::-1]
        if wanted in (None, execution.id)
        for action in execution.actions[::-1]
    ]
    return _page("actionExecutionDetails", shown, params)


def _detail(execution: Execution, action: Action) -> Params:
    declared = action.declaration
    given: Params = {
        "actionTypeId": declared["actionTypeId"],
        "configuration": declared["configuration"],
        "resolvedConfiguration": action.configuration,
        "region": action.region,
        "inputArtifacts": _located(action.inputs),
    }
    for member in ("roleArn", "namespace"):
        if declared.get(member):
            given[member] = declared[member]
    detail: Params = {
        "pipelineExecutionId": execution.id,
        "actionExecutionId": action.id,
        "pipelineVersion": execution.declaration["version"],
        "stageName": action.stage,
        "actionName": action.name,
        "startTime": action.started,
        "lastUpdateTime": action.changed,
        "status": action.status,
        "input": given,
        "output": {
            "outputArtifacts": _located(action.outputs),
            "executionResult": _result(action),
            "outputVariables": action.variables,
        },
    }
    if action.updated_by:
        detail["updatedBy"] = action.updated_by
    return detail


def _located(artifacts: Mapping[str, Any]) -> list[Params]:
    return [
        {"name": name, "s3location": {"bucket": item.bucket, "key": item.key}}
        for name, item in artifacts.items()
    ]


def _result(action: Action) -> Params:
    result: Params = {}
    if action.external:
        result["externalExecutionId"], summary, url = action.external
        if summary:
            result["externalExecutionSummary"] = summary[:_SUMMARY]
        if url:
            result["externalExecutionUrl"] = url
    if action.summary:
        result["externalExecutionSummary"] = action.summary
    if action.error:
        code, message = action.error
        result["errorDetails"] = {"code": code, "message": message[:_MESSAGE]}
    return result


@operation(_SERVICE, "GetPipelineState")
def get_state(ctx: Context, params: Params) -> Params:
    """Tells where each stage and action stands."""
    pipeline = _pipeline(ctx, params["name"])
    return {
        "pipelineName": pipeline.name,
        "pipelineVersion": pipeline.declaration["version"],
        "stageStates": [_stage(pipeline, stage) for stage in pipeline.declaration["stages"]],
        "created": pipeline.created,
        "updated": pipeline.updated,
    }


def _stage(pipeline: Pipeline, declared: Mapping[str, Any]) -> Params:
    state = pipeline.stage(declared["name"])
    shown: Params = {
        "stageName": declared["name"],
        "inboundTransitionState": {"enabled": True},
        "actionStates": [
            _action_state(action["name"], state.actions.get(action["name"]))
            for action in declared["actions"]
        ],
    }
    waiting = [item for item in state.waiting if not item.superseded]
    if waiting:
        inbound = [{"pipelineExecutionId": e.id, "status": e.status} for e in waiting]
        shown |= {"inboundExecution": inbound[0], "inboundExecutions": inbound}
    if state.latest:
        shown["latestExecution"] = {
            "pipelineExecutionId": state.latest[0],
            "status": state.latest[1],
        }
    return shown


def _action_state(name: str, action: Action | None) -> Params:
    if action is None:
        return {"actionName": name}
    result = _result(action)
    latest: Params = {
        "actionExecutionId": action.id,
        "status": action.status,
        "lastStatusChange": action.changed,
    }
    for member, value in (
        ("summary", result.get("externalExecutionSummary")),
        ("externalExecutionId", result.get("externalExecutionId")),
        ("externalExecutionUrl", result.get("externalExecutionUrl")),
        ("errorDetails", result.get("errorDetails")),
        ("lastUpdatedBy", action.updated_by),
        ("token", action.token if action.status == "InProgress" else ""),
    ):
        if value:
            latest[member] = value
    return {"actionName": name, "latestExecution": latest}


# Tags.


@operation(_SERVICE, "TagResource", "UntagResource", "ListTagsForResource")
def tags(ctx: Context, params: Params) -> Params:
    """Sets, removes or lists a pipeline's tags."""
    arn = params["resourceArn"]
    pipeline = _pipelines(ctx).known.get((ctx.account, ctx.region, arn.rsplit(":", 1)[-1]))
    if pipeline is None:
        raise ApiError("ResourceNotFoundException", f"There is no resource {arn}.")
    pipeline.tags.update({tag["key"]: tag["value"] for tag in params.get("tags") or []})
    for key in params.get("tagKeys") or []:
        pipeline.tags.pop(key, None)
    if ctx.operation != "ListTagsForResource":
        return {}
    return {"tags": [{"key": key, "value": value} for key, value in pipeline.tags.items()]}


@resource_tags(_SERVICE)
def tags_of(ctx: Context, arn: str) -> Mapping[str, str] | None:
    """The tags of a pipeline; its stages and actions have them too."""
    name = arn.split(":", 5)[5].split("/", 1)[0]
    found = _pipelines(ctx).known.get((ctx.account, ctx.region, name))
    return found.tags if found else None
