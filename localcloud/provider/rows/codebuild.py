"""CodeBuild: projects."""

from __future__ import annotations

from typing import Any

from localcloud.provider.table import Call, Props, Row, Scope, Tags

_TAKEN = (
    "artifacts", "badgeEnabled", "buildTimeout", "cache", "concurrentBuildLimit", "description",
    "encryptionKey", "environment", "logsConfig", "queuedTimeout", "secondaryArtifacts",
    "secondarySourceVersions", "secondarySources", "serviceRole", "source", "sourceVersion",
    "vpcConfig",
)  # fmt: skip
_UNSET: Props = {
    "badgeEnabled": False,
    "cache": {"type": "NO_CACHE"},
    "concurrentBuildLimit": -1,
    "description": "",
    "logsConfig": {"cloudWatchLogs": {"status": "ENABLED"}},
    "secondaryArtifacts": [],
    "secondarySourceVersions": [],
    "secondarySources": [],
    "sourceVersion": "",
    "vpcConfig": {},
}
"""Member -> what takes it away: UpdateProject leaves as it is what it does not name."""


def _whole(params: Props, inputs: Props, scope: Scope) -> None:
    for member, nothing in _UNSET.items():
        params.setdefault(member, nothing)


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    project: Any = answer["projects"][0]
    found["badgeEnabled"] = project["badge"]["badgeEnabled"]
    if project["cache"] == _UNSET["cache"]:
        found.pop("cache", None)
    # The service's own key and plain logs are what stands when a project says nothing.
    if project["encryptionKey"].endswith(":alias/aws/s3"):
        found.pop("encryptionKey", None)
    if project.get("logsConfig") == _UNSET["logsConfig"]:
        found.pop("logsConfig", None)
    found.pop("projectVisibility", None)


ROWS = [
    Row(
        token="aws:codebuild/project:Project",
        service="codebuild",
        create=Call("CreateProject", only=("name", *_TAKEN)),
        id="{arn}",
        import_id="{name}",
        read=Call("BatchGetProjects", by={"names": ["{id}"]}, path="projects[0]"),
        update=(Call("UpdateProject", by={"name": "{name}"}, only=_TAKEN, prepare=_whole),),
        delete=Call("DeleteProject", by={"name": "{name}"}),
        observe=_observe,
        rename={
            "buildTimeout": "timeoutInMinutes",
            "queuedTimeout": "queuedTimeoutInMinutes",
        },
        name="name",
        prefix="",
        replace=("name",),
        defaults={"badgeEnabled": False, "buildTimeout": 60, "queuedTimeout": 480},
        unread={"cache": "none at all is told as NO_CACHE, which may be declared too"},
        computed={"arn": "project.arn"},
        tags=Tags(
            member="tags",
            key="key",
            value="value",
            put="UpdateProject",
            put_member="tags",
            # An update sets all tags anew.
            remove="",
            arn="name",
            target="{name}",
            listing="",
            listed="projects[0].tags",
        ),
    ),
]
