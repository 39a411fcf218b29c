"""CodePipeline: pipelines."""

from __future__ import annotations

from typing import Any

from localcloud.provider.crud import ResourceError
from localcloud.provider.table import Call, Props, Row, Scope, Tags

_TYPE = ("category", "owner", "provider", "version")
_PLAIN = ("configuration", "namespace", "region", "roleArn", "runOrder", "timeoutInMinutes")
_NUMBERS = ("runOrder", "timeoutInMinutes")
_ARTIFACTS = ("inputArtifacts", "outputArtifacts")
_STAGE = ("name", "actions")
_TAKEN = (
    "artifactStores", "executionMode", "name", "pipelineType", "roleArn", "stages", "variables",
)  # fmt: skip


def _action(given: Props) -> Props:
    known = {"name", *_TYPE, *_PLAIN, *_ARTIFACTS}
    unknown = sorted(key for key in given if key not in known and not key.startswith("__"))
    if unknown:
        raise ResourceError(
            f"the local cloud's actions have no {', '.join(unknown)} (action {given['name']})"
        )
    action: Props = {"name": given["name"], "actionTypeId": {key: given[key] for key in _TYPE}}
    for key in _PLAIN:
        if given.get(key) is not None:
            action[key] = int(given[key]) if key in _NUMBERS else given[key]
    for key in _ARTIFACTS:
        if given.get(key):
            action[key] = [{"name": name} for name in given[key]]
    return action


def _pipeline(params: Props, inputs: Props, scope: Scope) -> None:
    for stage in inputs["stages"]:
        unknown = sorted(key for key in stage if key not in _STAGE and not key.startswith("__"))
        if unknown:
            raise ResourceError(
                f"the local cloud's stages have no {', '.join(unknown)} (stage {stage['name']})"
            )
    stores = inputs["artifactStores"]
    if len(stores) != 1:
        raise ResourceError("the local cloud has pipelines of one region, with one artifactStore")
    store = {key: stores[0][key] for key in ("type", "location")}
    if stores[0].get("encryptionKey"):
        key = stores[0]["encryptionKey"]
        store["encryptionKey"] = {"id": key["id"], "type": key["type"]}
    pipeline: Props = {
        "name": inputs["name"],
        "roleArn": inputs["roleArn"],
        "artifactStore": store,
        "stages": [
            {"name": stage["name"], "actions": [_action(item) for item in stage["actions"]]}
            for stage in inputs["stages"]
        ],
    }
    for key in ("executionMode", "pipelineType"):
        if inputs.get(key):
            pipeline[key] = inputs[key]
    if inputs.get("variables"):
        pipeline["variables"] = [
            {key: value for key, value in item.items() if not key.startswith("__")}
            for item in inputs["variables"]
        ]
    params["pipeline"] = pipeline


def _found_action(found: Props) -> Props:
    action: Props = {"name": found["name"], **found["actionTypeId"]}
    action |= {key: found[key] for key in _PLAIN if found.get(key)}
    action |= {key: [item["name"] for item in found[key]] for key in _ARTIFACTS if found.get(key)}
    return action


def _find(id_: str, props: Props, scope: Scope) -> Props | None:
    found: Any = scope.call("codepipeline", "GetPipeline", {"name": id_})
    pipeline = found["pipeline"]
    given: Props = {
        "name": pipeline["name"],
        "roleArn": pipeline["roleArn"],
        "artifactStores": [pipeline["artifactStore"]],
        "executionMode": pipeline["executionMode"],
        "pipelineType": pipeline["pipelineType"],
        "stages": [
            {"name": stage["name"], "actions": [_found_action(item) for item in stage["actions"]]}
            for stage in pipeline["stages"]
        ],
        "arn": found["metadata"]["pipelineArn"],
    }
    if pipeline.get("variables"):
        given["variables"] = pipeline["variables"]
    return given


ROWS = [
    Row(
        token="aws:codepipeline/pipeline:Pipeline",
        service="codepipeline",
        create=Call("CreatePipeline", only=(), prepare=_pipeline, takes=_TAKEN),
        id="{name}",
        find=_find,
        update=(Call("UpdatePipeline", only=(), prepare=_pipeline, takes=_TAKEN),),
        delete=Call("DeletePipeline", by={"name": "{id}"}),
        name="name",
        prefix="",
        replace=("name",),
        filled={"stages.actions.runOrder": None},
        defaults={"executionMode": "SUPERSEDED", "pipelineType": "V1"},
        computed={"arn": "arn:{partition}:codepipeline:{region}:{account}:{name}"},
        tags=Tags(
            member="tags",
            key="key",
            value="value",
            put_member="tags",
            remove_member="tagKeys",
            arn="resourceArn",
            listed="tags",
        ),
        gone=("PipelineNotFoundException",),
    ),
]
