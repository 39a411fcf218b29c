"""What the actions of a pipeline do: sources, builds and approvals.

Each acts as the pipeline's role, or as the action's own role that the pipeline's assumes. Source:
CodePipeline user guide, "Action structure reference".
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.emulator.builds.builds import REVISION, may_use
from localcloud.emulator.builds.repositories import CODECOMMIT, Repository, RepositoryError
from localcloud.emulator.builds.sessions import RoleSession

_POLL_SECONDS = 0.2
APPROVAL_MINUTES = 7 * 24 * 60


class ActionError(Exception):
    """An action failed.

    Args:
        code: As CodePipeline has it, such as ``JobFailed``.
        message: What was wrong.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AbandonedError(Exception):
    """The execution was stopped, and its actions left to themselves."""


@dataclass(frozen=True)
class Location:
    """Where an artifact lies, and the key that it is encrypted with."""

    bucket: str
    key: str
    encryption_key: str = ""


@dataclass
class Action:
    """One run of an action.

    Attributes:
        id: Its id.
        execution: Id of the pipeline execution.
        pipeline: The pipeline's name.
        stage: The stage's name.
        declaration: As the pipeline declares it.
        configuration: Its configuration with all variables resolved.
        region: Where the pipeline is.
        started: When it began.
        changed: When its status changed last.
        status: ``InProgress``, ``Succeeded``, ``Failed`` or ``Abandoned``.
        inputs: Name -> where the artifact lies.
        outputs: Name -> where the artifact goes.
        variables: What it gives to later actions.
        revision: (id, summary) of what a source gave.
        external: (id, summary, URL) of what runs elsewhere.
        error: (code, message) of what failed.
        token: What an approval is answered with.
        summary: What was said with the answer.
        updated_by: ARN of who answered.
        answered: Set when an approval is.
        approved: The answer.
        abandoned: Set when it is left to itself.
    """

    id: str
    execution: str
    pipeline: str
    stage: str
    declaration: Mapping[str, Any]
    configuration: dict[str, str]
    region: str
    started: dt.datetime
    changed: dt.datetime
    abandoned: threading.Event
    status: str = "InProgress"
    inputs: dict[str, Location] = field(default_factory=dict[str, Location])
    outputs: dict[str, Location] = field(default_factory=dict[str, Location])
    variables: dict[str, str] = field(default_factory=dict[str, str])
    revision: tuple[str, str] | None = None
    wanted_revision: str = ""
    external: tuple[str, str, str] | None = None
    error: tuple[str, str] | None = None
    token: str = ""
    summary: str = ""
    updated_by: str = ""
    answered: threading.Event = field(default_factory=threading.Event)
    approved: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.declaration["name"])

    def client(self, session: RoleSession, service: str) -> Any:
        """A client as the action's role."""
        return session.client(service, self.declaration.get("roleArn"))

    @property
    def seconds(self) -> float | None:
        """How long it may take, None without a limit of its own."""
        minutes = self.declaration.get("timeoutInMinutes")
        return 60.0 * int(minutes) if minutes else None

    def needed(self, name: str) -> str:
        """A value of the configuration.

        Raises:
            ActionError: It is missing.
        """
        if not self.configuration.get(name):
            raise ActionError("ConfigurationError", f"The action {self.name} has no {name}.")
        return self.configuration[name]


Runs = Callable[[Any, RoleSession, Action], None]


@dataclass(frozen=True)
class Provider:
    """What can stand in an action's type.

    Attributes:
        run: ``run(host, session, action)`` carries an action out.
        configuration: The keys that it knows.
        required: Those that it needs.
        fixed: Key -> the only value that the local cloud has.
    """

    run: Runs
    configuration: frozenset[str]
    required: frozenset[str] = frozenset()
    fixed: Mapping[str, str] = field(default_factory=dict[str, str])


def _upload(
    session: RoleSession,
    action: Action,
    repository: Repository,
    commit: str,
) -> None:
    """Puts a commit's files where the pipeline keeps its artifacts."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "source.zip"
        repository.archive(commit, archive)
        for location in action.outputs.values():
            put(session, action, location, archive.read_bytes(), commit)


def put(
    session: RoleSession, action: Action, location: Location, content: bytes, revision: str
) -> None:
    """Puts an artifact into the pipeline's store, encrypted."""
    key = {"SSEKMSKeyId": location.encryption_key} if location.encryption_key else {}
    action.client(session, "s3").put_object(
        Bucket=location.bucket,
        Key=location.key,
        Body=content,
        ServerSideEncryption="aws:kms",
        Metadata={REVISION: revision},
        **key,
    )


def _connection_source(host: Any, session: RoleSession, action: Action) -> None:
    connection, name = action.needed("ConnectionArn"), action.needed("FullRepositoryId")
    branch = action.needed("BranchName")
    if not may_use(host, session.task, connection, name, branch):
        raise ActionError(
            "PermissionError",
            f"Unable to use Connection: {connection}. The provided role does not have sufficient"
            f" permissions: {session.task.role_arn} needs codeconnections:UseConnection on it, for"
            f" {name} and {branch}.",
        )
    try:
        repository = host.delivery.repositories.github(name)
        commit = repository.commit(action.wanted_revision or branch)
    except (RepositoryError, ValueError) as error:
        raise ActionError("ConfigurationError", f"[GitHub] {error}") from error
    _upload(session, action, repository, commit.id)
    action.revision = commit.id, commit.message
    action.external = commit.id, commit.message, repository.clone_url
    action.variables = {
        "AuthorDate": commit.date,
        "AuthorDisplayName": commit.author,
        "AuthorEmail": commit.email,
        "AuthorId": commit.author,
        "BranchName": branch,
        "CommitId": commit.id,
        "CommitMessage": commit.message,
        "ConnectionArn": connection,
        "FullRepositoryName": name,
        "ProviderType": "GitHub",
    }


def _codecommit_source(host: Any, session: RoleSession, action: Action) -> None:
    name, branch = action.needed("RepositoryName"), action.needed("BranchName")
    client = action.client(session, "codecommit")
    head = client.get_branch(repositoryName=name, branchName=branch)["branch"]["commitId"]
    commit_id = action.wanted_revision or head
    commit = client.get_commit(repositoryName=name, commitId=commit_id)["commit"]
    task = session.task
    arn = f"arn:aws:codecommit:{task.region}:{task.account}:{name}"
    for right in ("codecommit:UploadArchive", "codecommit:GetUploadArchiveStatus"):
        if not host.allowed(task, right, arn):
            raise ActionError("PermissionError", f"{task.role_arn} may not {right} on {arn}")
    found = host.delivery.repositories.find(CODECOMMIT, name, task.account, task.region)
    _upload(session, action, found, commit_id)
    message = str(commit["message"]).strip()
    action.revision = commit_id, message
    action.external = commit_id, message, found.clone_url
    action.variables = {
        "AuthorDate": commit["author"]["date"],
        "BranchName": branch,
        "CommitId": commit_id,
        "CommitMessage": message,
        "CommitterDate": commit["committer"]["date"],
        "RepositoryName": name,
    }


def _s3_source(host: Any, session: RoleSession, action: Action) -> None:
    del host
    bucket, key = action.needed("S3Bucket"), action.needed("S3ObjectKey")
    client = action.client(session, "s3")
    if client.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        raise ActionError("ConfigurationError", f"The bucket {bucket} must keep versions.")
    wanted = {"VersionId": action.wanted_revision} if action.wanted_revision else {}
    given = client.get_object(Bucket=bucket, Key=key, **wanted)
    version = str(given["VersionId"])
    content = given["Body"].read()
    for location in action.outputs.values():
        put(session, action, location, content, version)
    action.revision = version, ""
    action.variables = {
        "BucketName": bucket,
        "ETag": str(given["ETag"]).strip('"'),
        "ObjectKey": key,
        "VersionId": version,
    }


def _build(host: Any, session: RoleSession, action: Action) -> None:
    del host
    client = action.client(session, "codebuild")
    build = client.start_build(**_build_request(action))["build"]
    action.external = build["id"], "", ""
    end = time.monotonic() + action.seconds if action.seconds else None
    while not build["buildComplete"]:
        if action.abandoned.wait(_POLL_SECONDS):
            raise AbandonedError
        if end and time.monotonic() > end:
            client.stop_build(id=build["id"])
            raise ActionError("JobTimedOut", f"{action.name} took longer than its timeout.")
        build = client.batch_get_builds(ids=[build["id"]])["builds"][0]
    action.variables = {
        item["name"]: item["value"] for item in build.get("exportedEnvironmentVariables", [])
    }
    if build["buildStatus"] == "SUCCEEDED":
        return
    failed = next(
        (phase for phase in build["phases"] if phase.get("phaseStatus") not in (None, "SUCCEEDED")),
        {},
    )
    contexts = failed.get("contexts") or [{}]
    raise ActionError(
        "JobFailed",
        f"Build terminated with state: {build['buildStatus']}. Phase: {failed.get('phaseType')},"
        f" Code: {contexts[0].get('statusCode')}, Message: {contexts[0].get('message')}",
    )


def _build_request(action: Action) -> dict[str, Any]:
    """What CodePipeline asks of CodeBuild: artifacts instead of the project's own source."""
    names = list(action.inputs)
    primary = action.configuration.get("PrimarySource") or names[0]
    if primary not in action.inputs:
        raise ActionError("ConfigurationError", f"PrimarySource {primary} is no input artifact.")
    request: dict[str, Any] = {
        "projectName": action.needed("ProjectName"),
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": _path(action.inputs[primary]),
        "secondarySourcesOverride": [
            {"type": "S3", "sourceIdentifier": name, "location": _path(action.inputs[name])}
            for name in names
            if name != primary
        ],
    }
    variables = action.configuration.get("EnvironmentVariables")
    if variables:
        try:
            request["environmentVariablesOverride"] = json.loads(variables)
        except ValueError as error:
            raise ActionError(
                "ConfigurationError", f"EnvironmentVariables is no JSON: {error}"
            ) from error
    outputs = [_artifact(name, location) for name, location in action.outputs.items()]
    if not outputs:
        request["artifactsOverride"] = {"type": "NO_ARTIFACTS"}
    elif len(outputs) == 1:
        request["artifactsOverride"] = outputs[0]
    else:
        request["artifactsOverride"] = {"type": "NO_ARTIFACTS"}
        request["secondaryArtifactsOverride"] = outputs
    key = next((item.encryption_key for item in action.outputs.values()), "")
    if key:
        request["encryptionKeyOverride"] = key
    return request


def _path(location: Location) -> str:
    return f"{location.bucket}/{location.key}"


def _artifact(name: str, location: Location) -> dict[str, Any]:
    folder, _, file = location.key.rpartition("/")
    return {
        "type": "S3",
        "location": location.bucket,
        "path": folder,
        "name": file,
        "namespaceType": "NONE",
        "packaging": "ZIP",
        "artifactIdentifier": name,
    }


def _approval(host: Any, session: RoleSession, action: Action) -> None:
    del host
    seconds = action.seconds or 60.0 * APPROVAL_MINUTES
    topic = action.configuration.get("NotificationArn")
    if topic:
        action.client(session, "sns").publish(
            TopicArn=topic,
            Subject=f"APPROVAL NEEDED: AWS CodePipeline {action.pipeline[:50]}",
            Message=json.dumps(_notification(action, seconds)),
        )
    end = time.monotonic() + seconds
    while not action.answered.wait(_POLL_SECONDS):
        if action.abandoned.is_set():
            raise AbandonedError
        if time.monotonic() > end:
            raise ActionError("TimedOut", f"Nobody answered {action.name} in time.")
    if not action.approved:
        raise ActionError("Rejected", f"Rejected by {action.updated_by}: {action.summary}")


def _notification(action: Action, seconds: float) -> dict[str, Any]:
    """Source: CodePipeline user guide, JSON data format for manual approval notifications."""
    where = (
        f"https://console.aws.amazon.com/codepipeline/home?region={action.region}"
        f"#/view/{action.pipeline}"
    )
    expires = action.started + dt.timedelta(seconds=seconds)
    approval = {
        "pipelineName": action.pipeline,
        "stageName": action.stage,
        "actionName": action.name,
        "token": action.token,
        "expires": f"{expires:%Y-%m-%dT%H:%MZ}",
        "externalEntityLink": action.configuration.get("ExternalEntityLink"),
        "approvalReviewLink": f"{where}/{action.stage}/{action.name}/approve/{action.token}",
        "customData": action.configuration.get("CustomData"),
    }
    return {"region": action.region, "consoleLink": where, "approval": approval}


def _keys(*names: str) -> frozenset[str]:
    return frozenset(names)


PROVIDERS: Mapping[tuple[str, str], Provider] = {
    ("Source", "CodeStarSourceConnection"): Provider(
        _connection_source,
        _keys(
            "ConnectionArn",
            "FullRepositoryId",
            "BranchName",
            "OutputArtifactFormat",
            "DetectChanges",
        ),
        _keys("ConnectionArn", "FullRepositoryId", "BranchName"),
        # Full clones would be made by each build; nothing here needs their history.
        fixed={"OutputArtifactFormat": "CODE_ZIP"},
    ),
    ("Source", "CodeCommit"): Provider(
        _codecommit_source,
        _keys("RepositoryName", "BranchName", "OutputArtifactFormat", "PollForSourceChanges"),
        _keys("RepositoryName", "BranchName", "PollForSourceChanges"),
        fixed={"OutputArtifactFormat": "CODE_ZIP", "PollForSourceChanges": "false"},
    ),
    ("Source", "S3"): Provider(
        _s3_source,
        _keys("S3Bucket", "S3ObjectKey", "PollForSourceChanges"),
        _keys("S3Bucket", "S3ObjectKey", "PollForSourceChanges"),
        fixed={"PollForSourceChanges": "false"},
    ),
    **{
        (category, "CodeBuild"): Provider(
            _build,
            _keys("ProjectName", "PrimarySource", "EnvironmentVariables"),
            _keys("ProjectName"),
        )
        for category in ("Build", "Test")
    },
    ("Approval", "Manual"): Provider(
        _approval, _keys("NotificationArn", "CustomData", "ExternalEntityLink")
    ),
}
"""(category, provider) of an action's type -> what carries it out."""


def problems(declaration: Mapping[str, Any]) -> Sequence[str]:
    """What is wrong with an action's declaration, or not possible on the local cloud."""
    kind, name = declaration["actionTypeId"], declaration["name"]
    provider = PROVIDERS.get((kind["category"], kind["provider"]))
    if provider is None or kind["owner"] != "AWS":
        known = ", ".join(f"{category} {provider}" for category, provider in PROVIDERS)
        return [
            f"action {name}: the local cloud has no {kind['category']} action of {kind['owner']}"
            f" {kind['provider']}; it has: {known} (localcloud/emulator/builds/actions.py)"
        ]
    given = declaration.get("configuration") or {}
    found = [
        f"action {name}: unknown configuration {key}"
        for key in sorted(given.keys() - provider.configuration)
    ]
    found += [
        f"action {name}: configuration {key} is missing, which the local cloud needs"
        for key in sorted(provider.required - given.keys())
    ]
    found += [
        f"action {name}: {key} is {given[key]}; the local cloud has only {value}"
        for key, value in provider.fixed.items()
        if key in given and given[key] != value
    ]
    if kind["category"] in ("Build", "Test") and not declaration.get("inputArtifacts"):
        found.append(f"action {name}: it needs an input artifact")
    if kind["category"] == "Source" and len(declaration.get("outputArtifacts") or []) != 1:
        found.append(f"action {name}: a source has one output artifact")
    return found
