"""Builds that really run: a project's commands in bash, as processes with its role's rights.

Everything that CodeBuild does for a build it does by the project's service role from the project's
VPC: it fetches the source, reads parameters and secrets, writes logs and artifacts. The project's
image is not run; the commands run on this machine.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud import environments
from localcloud.emulator import world
from localcloud.emulator.builds import buildspec, docker
from localcloud.emulator.builds.buildspec import Artifact, Buildspec, BuildspecError, Phase
from localcloud.emulator.builds.logs import BuildLog, Masking
from localcloud.emulator.builds.repositories import (
    CODECOMMIT,
    Repositories,
    Repository,
    RepositoryError,
)
from localcloud.emulator.builds.sessions import RoleSession
from localcloud.emulator.compute import ComputeError, Task, way_out
from localcloud.emulator.events import Event, UndeliverableError
from localcloud.emulator.extension import ApiError
from localcloud.paths import CHECKOUT

_log = logging.getLogger(__name__)

SERVICE = "codebuild.amazonaws.com"
REVISION = "codepipeline-artifact-revision-id"
"""Metadata of an artifact in S3: the revision that it was made of."""

_HOUR = 3600
_GOES_ON = {"install": False, "pre_build": False, "build": True, "post_build": True}
"""Phase -> whether the next one comes although it failed, unless ``on-failure`` says otherwise.
Source: CodeBuild user guide, "Build phase transitions"."""

_COMMAND = """
__save() { { declare -f; declare -p; } > "$CODEBUILD_STATE" 2>/dev/null; pwd > "$CODEBUILD_CWD"; }
trap __save EXIT
[ -f "$CODEBUILD_STATE" ] && . "$CODEBUILD_STATE" 2>/dev/null
cd "$(cat "$CODEBUILD_CWD")" || exit 1
CODEBUILD_BUILD_SUCCEEDING="$1"
eval "$2"
"""
"""What runs a command: it finds the folder, variables and functions that earlier ones left."""


class _BuildError(Exception):
    """A phase failed.

    Args:
        code: Status code of the phase's context, as CodeBuild has it.
        message: What is told besides.
        status: Status of the phase and the build.
    """

    def __init__(self, code: str, message: str, status: str = "FAILED") -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass
class Build:
    """A build.

    Attributes:
        account: Account of its project.
        region: Region of its project.
        record: As ``BatchGetBuilds`` shows it.
        artifacts: Where its artifact goes: the project's ``artifacts``, or their override.
        secondary: Where its further artifacts go.
        stopping: Set when it is to end.
    """

    account: str
    region: str
    record: dict[str, Any]
    artifacts: Mapping[str, Any]
    secondary: Sequence[Mapping[str, Any]] = ()
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def id(self) -> str:
        """``project:uuid``."""
        return str(self.record["id"])

    @property
    def status(self) -> str:
        """How it stands."""
        return str(self.record["buildStatus"])

    def shown(self) -> dict[str, Any]:
        """A copy that does not change any more."""
        return {
            **self.record,
            "phases": [dict(phase) for phase in self.record["phases"]],
        }


class Builds:
    """Runs builds.

    Args:
        host: The emulator.
        repositories: Where sources come from.
    """

    def __init__(self, host: Any, repositories: Repositories) -> None:
        self._host = host
        self._repositories = repositories

    def start(self, build: Build) -> None:
        """Begins a build in the background."""
        self._tell(build)
        threading.Thread(
            target=_Run(self._host, self._repositories, build, self._tell).run, daemon=True
        ).start()

    def stop(self, build: Build) -> None:
        """Ends a build."""
        build.stopping.set()

    def start_for_event(self, arn: str, message: Any) -> None:
        """Starts a project's build for a rule; a constant input may override what StartBuild may.

        Raises:
            UndeliverableError: It cannot be started.
        """
        parsed = world.Arn.parse(arn)
        if parsed is None:
            raise UndeliverableError("INVALID_TARGET", f"{arn} is no ARN")
        given = message if isinstance(message, dict) and "detail-type" not in message else {}
        name = parsed.resource.removeprefix("project/")
        client = self._host.client("codebuild", parsed.account, parsed.region)
        try:
            client.start_build(**{**given, "projectName": name})
        except (BotoCoreError, ClientError) as error:
            raise UndeliverableError("SDK_CLIENT_ERROR", str(error)) from error

    def _tell(self, build: Build) -> None:
        """Source: CodeBuild user guide, build notifications input format."""
        record = build.record
        detail = {
            "build-status": build.status,
            "project-name": record["projectName"],
            "build-id": record["arn"],
            "additional-information": {
                "timeout-in-minutes": record["timeoutInMinutes"],
                "build-complete": record["buildComplete"],
                "initiator": record["initiator"],
                "build-start-time": _english(record["startTime"]),
                "logs": {
                    "group-name": record["logs"].get("groupName"),
                    "stream-name": record["logs"].get("streamName"),
                },
                "phases": [
                    {
                        "phase-type": phase["phaseType"],
                        "phase-status": phase.get("phaseStatus", "IN_PROGRESS"),
                        "phase-context": [
                            f"{item['statusCode']}: {item['message']}"
                            for item in phase.get("contexts", [])
                        ],
                        "start-time": _english(phase["startTime"]),
                    }
                    for phase in record["phases"]
                ],
            },
            "current-phase": record["currentPhase"],
            "current-phase-context": "[]",
            "version": "1",
        }
        kind = "CodeBuild Build State Change"
        arns = (str(record["arn"]),)
        event = Event(build.account, build.region, "aws.codebuild", kind, detail, arns)
        self._host.publish(event)


def _english(moment: dt.datetime) -> str:
    return f"{moment:%b} {moment.day}, {moment:%Y %I:%M:%S %p}"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0, tzinfo=None)


class _Run:
    """One build, from its source to its artifacts."""

    def __init__(
        self,
        host: Any,
        repositories: Repositories,
        build: Build,
        tell: Callable[[Build], None],
    ) -> None:
        self._host = host
        self._compute = host.compute
        self._repositories = repositories
        self._build = build
        self._record = build.record
        self._tell = tell
        self._folder = Path(self._compute.folder) / "builds" / build.id.replace(":", "-")
        self._folder.mkdir(parents=True, mode=0o700)
        self._masking = Masking()
        self._output = BuildLog(self._folder / "log", self._masking)
        self._source = self._folder / "src"
        self._variables: dict[str, str] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        self._deadline = time.monotonic() + 60 * float(self._record["timeoutInMinutes"])
        self._failure: _BuildError | None = None
        # Both are there once their phases have succeeded; without that no later phase runs.
        self._spec: Buildspec
        self._roles: RoleSession

    # The course of a build. Source: CodeBuild user guide, "Build phase transitions".

    def run(self) -> None:
        """Runs the build to its end, whatever happens."""
        try:
            self._step("SUBMITTED", lambda: None)
            self._step("QUEUED", lambda: None)
            if self._step("PROVISIONING", self._provision) and self._step(
                "DOWNLOAD_SOURCE", self._download
            ):
                self._commands()
            self._step("FINALIZING", self._finalize)
        finally:
            self._end_processes()
            self._output.close()
            shutil.rmtree(self._folder, ignore_errors=True)
        ended = _now()
        self._record["phases"] = [
            *self._record["phases"],
            {"phaseType": "COMPLETED", "startTime": ended},
        ]
        self._record.update(
            endTime=ended,
            currentPhase="COMPLETED",
            buildStatus=self._failure.status if self._failure else "SUCCEEDED",
            buildComplete=True,
        )
        self._tell(self._build)

    def _commands(self) -> None:
        for name, goes_on in _GOES_ON.items():
            phase = self._spec.phases.get(name, Phase())
            if not self._step(name.upper(), lambda phase=phase: self._phase(phase)):
                ended = self._failure is not None and self._failure.status != "FAILED"
                told = {buildspec.ABORT: False, buildspec.CONTINUE: True}
                if ended or not told.get(phase.on_failure, goes_on):
                    return
        self._step("UPLOAD_ARTIFACTS", self._upload)

    def _step(self, name: str, work: Callable[[], None]) -> bool:
        """Runs a phase; whether it succeeded."""
        started = _now()
        record: dict[str, Any] = {"phaseType": name, "startTime": started}
        self._record["phases"] = [*self._record["phases"], record]
        self._record["currentPhase"] = name
        loud = name not in ("SUBMITTED", "QUEUED", "PROVISIONING", "FINALIZING")
        if loud:
            self._output.say(f"Entering phase {name}")
        error: _BuildError | None = None
        try:
            work()
        except _BuildError as failed:
            error = failed
        except BuildspecError as failed:
            code = "YAML_FILE_ERROR" if name == "DOWNLOAD_SOURCE" else "CLIENT_ERROR"
            error = _BuildError(code, str(failed))
        except (ClientError, BotoCoreError, ComputeError) as failed:
            error = _BuildError("CLIENT_ERROR", str(failed))
        except RepositoryError as failed:
            error = _BuildError("GIT_CLONE_FAILED", str(failed))
        except Exception as failed:
            _log.exception("Build %s failed in the local cloud", self._build.id)
            error = _BuildError("INTERNAL_SERVICE_ERROR", repr(failed), "FAULT")
        contexts = []
        if error:
            contexts = [{"statusCode": error.code, "message": self._masking(str(error))}]
            self._failure = self._failure or error
            if error.status != "FAILED":
                self._failure = error
        ended = _now()
        self._record["phases"] = [
            *self._record["phases"][:-1],
            {
                **record,
                "phaseStatus": error.status if error else "SUCCEEDED",
                "endTime": ended,
                "durationInSeconds": int((ended - started).total_seconds()),
                "contexts": contexts,
            },
        ]
        if loud:
            state = error.status if error else "SUCCEEDED"
            self._output.say(f"Phase complete: {name} State: {state}")
            context = contexts[0] if contexts else {"statusCode": "", "message": ""}
            self._output.say(
                f"Phase context status code: {context['statusCode']} Message: {context['message']}"
            )
        return error is None

    # The phases.

    def _provision(self) -> None:
        record = self._record
        task = Task(
            account=self._build.account,
            region=self._build.region,
            service=SERVICE,
            role_arn=str(record["serviceRole"]),
            session=f"AWSCodeBuild-{self._build.id.rsplit(':', 1)[-1]}",
            source_arn=_project_arn(self._build),
            subnet_ids=tuple((record.get("vpcConfig") or {}).get("subnets") or ()),
            # The credentials outlast the build's time, as those of a build container do.
            seconds=int(60 * float(record["timeoutInMinutes"])) + _HOUR,
        )
        try:
            self._roles = RoleSession(self._compute, task)
        except ComputeError as error:
            raise _BuildError("ACCESS_DENIED", str(error)) from error
        self._masking.add(self._roles.secrets)
        logs = record["logs"]
        if (logs.get("cloudWatchLogs") or {}).get("status") == "DISABLED":
            return
        try:
            self._output.to(self._roles.client("logs"), logs["groupName"], logs["streamName"])
        except ClientError as error:
            raise _BuildError(
                "ACCESS_DENIED",
                f"Service role {record['serviceRole']} does not allow AWS CodeBuild to create"
                f" Amazon CloudWatch Logs log streams for build {record['arn']}. Error message:"
                f" {error}",
            ) from error

    def _download(self) -> None:
        record = self._record
        self._source.mkdir()
        source = record["source"]
        resolved = self._fetch(source, str(record.get("sourceVersion") or ""), self._source)
        if resolved:
            record["resolvedSourceVersion"] = resolved
        versions = {
            item["sourceIdentifier"]: item["sourceVersion"]
            for item in record.get("secondarySourceVersions") or []
        }
        folders: dict[str, str] = {}
        for item in record.get("secondarySources") or []:
            name = str(item["sourceIdentifier"])
            folder = self._folder / f"src-{name}"
            folder.mkdir()
            self._fetch(item, versions.get(name, ""), folder)
            folders[f"CODEBUILD_SRC_DIR_{name}"] = str(folder)
        self._spec = self._read_spec(str(source.get("buildspec") or ""))
        self._variables = self._environment(self._spec, folders)
        self._output.say("The image is not run: commands run on this machine, with its programs")
        for name, version in self._spec.phases.get("install", Phase()).runtimes.items():
            self._output.say(f"Runtime {name} {version} is not installed: this machine's is used")
        for key in self._spec.unused:
            self._output.say(f"{key} has no effect on the local cloud")

    def _fetch(self, source: Mapping[str, Any], version: str, folder: Path) -> str:
        """Puts a source into a folder; gives the revision that it is."""
        kind, location = str(source["type"]), str(source.get("location") or "")
        if kind == "NO_SOURCE":
            return ""
        if kind == "S3":
            bucket, _, key = location.removeprefix("arn:aws:s3:::").partition("/")
            wanted = {"VersionId": version} if version else {}
            given = self._roles.client("s3").get_object(Bucket=bucket, Key=key, **wanted)
            archive = self._folder / f"{folder.name}.zip"
            with archive.open("wb") as target:
                shutil.copyfileobj(given["Body"], target)
            unpack(archive, folder)
            return str((given.get("Metadata") or {}).get(REVISION, given.get("VersionId") or ""))
        repository = self._repository(kind, location, source)
        commit = repository.commit(
            version.removeprefix("refs/heads/") or _default_branch(repository)
        )
        folder.rmdir()
        repository.checkout(commit.id, folder)
        return commit.id

    def _leave_for_git(self, kind: str) -> None:
        """A build in a VPC clones by its VPC's way: GitHub has no endpoint there."""
        network = self._host.credentials.network(self._roles.access_key)
        if network is None:
            return
        try:
            way_out(
                network,
                self._build.region,
                lambda name: kind == "CODECOMMIT" and name.endswith(".git-codecommit"),
            )
        except ApiError as error:
            raise RepositoryError(f"{kind} cannot be reached: {error}") from error

    def _repository(self, kind: str, location: str, source: Mapping[str, Any]) -> Repository:
        self._leave_for_git(kind)
        if kind == "CODECOMMIT":
            name = location.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
            found = self._repositories.find(
                CODECOMMIT, name, self._build.account, self._build.region
            )
            if found is None:
                raise RepositoryError(f"repository not found: {name}")
            self._need("codecommit:GitPull", found.arn)
            return found
        auth = source.get("auth") or {}
        if auth.get("type") == "CODECONNECTIONS":
            connection = str(auth.get("resource"))
            if not may_use(self._host, self._roles.task, connection, location):
                raise _BuildError(
                    "ACCESS_DENIED",
                    f"The service role {self._record['serviceRole']} may not use the connection"
                    f" {connection}: it needs codeconnections:UseConnection.",
                )
        try:
            return self._repositories.github(repository_id(location))
        except ValueError as error:
            raise RepositoryError(str(error)) from error

    def _need(self, action: str, resource: str) -> None:
        if not self._host.allowed(self._roles.task, action, resource):
            raise _BuildError(
                "ACCESS_DENIED", f"{self._record['serviceRole']} may not {action} on {resource}"
            )

    def _read_spec(self, given: str) -> Buildspec:
        if "\n" in given or given.lstrip().startswith("{"):
            return buildspec.parse(given)
        if given.startswith("arn:aws:s3:::"):
            bucket, _, key = given.removeprefix("arn:aws:s3:::").partition("/")
            answer = self._roles.client("s3").get_object(Bucket=bucket, Key=key)
            return buildspec.parse(answer["Body"].read().decode())
        file = self._source / (given or "buildspec.yml")
        if not file.is_file():
            raise BuildspecError(f"stat {file.relative_to(self._source)}: no such file")
        return buildspec.parse(file.read_text("utf-8"))

    def _environment(self, spec: Buildspec, folders: Mapping[str, str]) -> dict[str, str]:
        """The variables of a build's commands; the later ones win."""
        record, base = self._record, dict(self._roles.environment)
        endpoint = base["AWS_ENDPOINT_URL"]
        home = self._folder / "home"
        home.mkdir()
        engine = CHECKOUT.current_engine
        if (engine / "pulumi").exists():
            base["PATH"] = os.pathsep.join([str(engine), base["PATH"]])
        if record["environment"].get("privilegedMode"):
            # Without it CodeBuild has no container engine either.
            program = docker.shim(self._folder / "bin")
            base["PATH"] = os.pathsep.join([str(program.parent), base["PATH"]])
        values = {
            **base,
            "HOME": str(home),
            "NO_PROXY": "127.0.0.1,localhost,::1",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            # The local provider is in the plugin cache, and no plugin comes from a network.
            "PULUMI_HOME": str(CHECKOUT.pulumi_home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            **_interpreters(),
            # GitHub is the local cloud's.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self._repositories.github_url}.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            **spec.variables,
            **{name: self._parameter(given) for name, given in spec.parameters.items()},
            **{name: self._secret(given) for name, given in spec.secrets.items()},
            **dict(self._given_variables()),
            **folders,
            "CODEBUILD_CI": "true",
            "CODEBUILD_BUILD_ARN": str(record["arn"]),
            "CODEBUILD_BUILD_ID": self._build.id,
            "CODEBUILD_BUILD_IMAGE": str(record["environment"]["image"]),
            "CODEBUILD_BUILD_NUMBER": str(record["buildNumber"]),
            "CODEBUILD_PROJECT_ARN": _project_arn(self._build),
            "CODEBUILD_INITIATOR": str(record["initiator"]),
            "CODEBUILD_KMS_KEY_ID": str(record.get("encryptionKey") or "alias/aws/s3"),
            "CODEBUILD_LOG_PATH": str(record["logs"].get("streamName") or ""),
            "CODEBUILD_RESOLVED_SOURCE_VERSION": str(record.get("resolvedSourceVersion") or ""),
            "CODEBUILD_SOURCE_REPO_URL": str(record["source"].get("location") or ""),
            "CODEBUILD_SOURCE_VERSION": str(record.get("sourceVersion") or ""),
            "CODEBUILD_SRC_DIR": str(self._source),
            "CODEBUILD_START_TIME": str(int(record["startTime"].timestamp() * 1000)),
            "CODEBUILD_STATE": str(self._folder / "state"),
            "CODEBUILD_CWD": str(self._folder / "cwd"),
            # Whatever a project sets: nothing leaves this machine.
            "AWS_ENDPOINT_URL": endpoint,
        }
        (self._folder / "cwd").write_text(f"{self._source}\n")
        return values

    def _given_variables(self) -> Iterator[tuple[str, str]]:
        for item in self._record["environment"].get("environmentVariables") or []:
            kind, value = item.get("type", "PLAINTEXT"), str(item["value"])
            if kind == "PARAMETER_STORE":
                value = self._parameter(value)
            elif kind == "SECRETS_MANAGER":
                value = self._secret(value)
            yield str(item["name"]), value

    def _parameter(self, name: str) -> str:
        """CodeBuild masks every parameter, whatever its type."""
        answer = self._roles.client("ssm").get_parameter(Name=name, WithDecryption=True)
        value = str(answer["Parameter"]["Value"])
        self._masking.add([value])
        return value

    def _secret(self, reference: str) -> str:
        secret, key, stage, version = split_secret(reference)
        wanted = {"VersionStage": stage, "VersionId": version}
        answer = self._roles.client("secretsmanager").get_secret_value(
            SecretId=secret, **{k: v for k, v in wanted.items() if v}
        )
        value = str(answer["SecretString"])
        self._masking.add([value])
        if key:
            try:
                value = _plain(json.loads(value)[key])
            except (KeyError, TypeError, ValueError) as error:
                raise _BuildError(
                    "CLIENT_ERROR", f"The secret {secret} has no JSON key {key}."
                ) from error
            self._masking.add([value])
        return value

    def _phase(self, phase: Phase) -> None:
        error: _BuildError | None = None
        for command in phase.commands:
            try:
                self._command(command)
            except _BuildError as failed:
                error = failed
                break
        if error is None or error.status == "FAILED":
            for command in phase.last:
                try:
                    self._command(command)
                except _BuildError as failed:
                    error = error or failed
                    break
        if error:
            raise error

    def _command(self, command: str) -> None:
        self._output.say(f"Running command {command}")
        succeeding = "0" if self._failure else "1"
        process = self._compute.start(
            ["bash", "--noprofile", "--norc", "-c", _COMMAND, "bash", succeeding, command],
            self._source,
            self._variables | {"CODEBUILD_BUILD_SUCCEEDING": succeeding},
            log=self._output.file,
        )
        self._started.append(process)
        code = self._wait(process)
        if code:
            shown = command.strip().splitlines()[0] if command.strip() else ""
            self._output.say(f"Command did not exit successfully {shown} exit status {code}")
            raise _BuildError(
                "COMMAND_EXECUTION_ERROR",
                f"Error while executing command: {command}. Reason: exit status {code}",
            )

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                if self._build.stopping.is_set():
                    self._compute.end(process)
                    return

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        code = self._compute.wait(process, max(0.1, self._deadline - time.monotonic()))
        ended.set()
        watching.join()
        if self._build.stopping.is_set() or self._compute.stopping.is_set():
            raise _BuildError("BUILD_STOPPED", "The build was stopped.", "STOPPED")
        if code is None:
            minutes = self._record["timeoutInMinutes"]
            raise _BuildError(
                "BUILD_TIMED_OUT", f"Build has timed out after {minutes} minutes.", "TIMED_OUT"
            )
        return int(code)

    def _end_processes(self) -> None:
        for process in self._started:
            # What a command left in the background is in its group still.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    # What a build leaves.

    def _upload(self) -> None:
        artifacts = self._put(self._build.artifacts, self._spec.artifacts, "")
        self._record["artifacts"] = {**self._record["artifacts"], **artifacts}
        if self._build.secondary:
            self._record["secondaryArtifacts"] = [
                {
                    **self._put(
                        item,
                        self._spec.secondary.get(item["artifactIdentifier"]),
                        item["artifactIdentifier"],
                    ),
                    "artifactIdentifier": item["artifactIdentifier"],
                }
                for item in self._build.secondary
            ]

    def _put(
        self, given: Mapping[str, Any], artifact: Artifact | None, identifier: str
    ) -> dict[str, Any]:
        if given["type"] == "NO_ARTIFACTS":
            return {}
        if artifact is None:
            where = f"secondary-artifacts/{identifier}" if identifier else "artifacts"
            raise BuildspecError(f"no matching artifact paths found: the buildspec has no {where}")
        files = list(artifact.found(self._source))
        named = artifact.name if given.get("overrideArtifactName") else ""
        name = named or str(given.get("name") or self._record["projectName"])
        parts = [str(given.get("path") or "").strip("/")]
        if given.get("namespaceType") == "BUILD_ID":
            parts.append(self._build.id.rsplit(":", 1)[-1])
        parts.append(name.strip("/"))
        key = "/".join(part for part in parts if part)
        bucket = str(given["location"])
        if given.get("packaging") != "ZIP":
            for path, inside in files:
                self._object(given, bucket, f"{key}/{inside}", path)
            return {"location": f"arn:aws:s3:::{bucket}/{key}"}
        archive = self._folder / "artifact.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for path, inside in files:
                target.write(path, inside)
        self._object(given, bucket, key, archive)
        content = archive.read_bytes()
        return {
            "location": f"arn:aws:s3:::{bucket}/{key}",
            "sha256sum": hashlib.sha256(content).hexdigest(),
            "md5sum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        }

    def _object(self, given: Mapping[str, Any], bucket: str, key: str, path: Path) -> None:
        extra: dict[str, Any] = {}
        if not given.get("encryptionDisabled"):
            extra = {"ServerSideEncryption": "aws:kms"}
            if self._record.get("encryptionKey"):
                extra["SSEKMSKeyId"] = self._record["encryptionKey"]
        revision = self._record.get("resolvedSourceVersion")
        if revision:
            extra["Metadata"] = {REVISION: revision}
        with path.open("rb") as body:
            self._roles.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **extra)

    def _finalize(self) -> None:
        # The variables are there once the source was, and the buildspec with it.
        if not self._variables or not self._spec.exported:
            return
        values = self._left_variables(self._spec.exported)
        self._record["exportedEnvironmentVariables"] = [
            {"name": name, "value": self._masking(values[name])}
            for name in self._spec.exported
            if name in values
        ]

    def _left_variables(self, names: Sequence[str]) -> dict[str, str]:
        """What variables hold after the last command."""
        answer = self._folder / "exported"
        script = " ".join(
            [
                '[ -f "$CODEBUILD_STATE" ] && . "$CODEBUILD_STATE" 2>/dev/null;',
                'for name; do printf "%s=%s\\0" "$name" "${!name-}"; done',
            ]
        )
        process = self._compute.start(
            ["bash", "--noprofile", "--norc", "-c", script, "bash", *names],
            self._folder,
            self._variables,
            log=answer,
        )
        self._compute.wait(process, 10)
        found = answer.read_text("utf-8", "replace").split("\0")
        return dict(item.split("=", 1) for item in found if "=" in item)


def _interpreters() -> dict[str, str]:
    """What an image made for the projects' builds brings; docs/projects.md names the variables."""
    made = {"PIPELINE_PYTHON": environments.made("pipeline"),
            "STEPS_PYTHON": environments.made("seed")}  # fmt: skip
    found = {name: str(python) for name, python in made.items() if python}
    return {"MLOPS_PYTHON": sys.executable, **found}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _default_branch(repository: Repository) -> str:
    branches = repository.branches()
    return "main" if "main" in branches else next(iter(branches), "")


def _project_arn(build: Build) -> str:
    name = build.record["projectName"]
    return f"arn:aws:codebuild:{build.region}:{build.account}:project/{name}"


def split_secret(reference: str) -> tuple[str, str, str, str]:
    """Secret, JSON key, version stage and version id of a buildspec's reference to a secret."""
    parts = reference.split(":")
    head = 7 if reference.startswith("arn:") else 1
    rest = [*parts[head:], "", "", ""]
    return ":".join(parts[:head]), rest[0], rest[1], rest[2]


def repository_id(location: str) -> str:
    """``owner/name`` of a repository's URL on GitHub or on the local cloud."""
    return "/".join(location.removesuffix(".git").rstrip("/").split("/")[-2:])


def may_use(host: Any, task: Task, connection: str, location: str, branch: str = "") -> bool:
    """Whether a role may use a connection for a repository.

    A connection of the new service prefix asks for the action of that prefix. Source: Developer
    Tools console user guide, identity and access management for CodeConnections.
    """
    found = world.Arn.parse(connection)
    store = host.store("codeconnections", found.account, found.region) if found else {}
    if connection not in store.get("connections", {}):
        return False
    values = {"FullRepositoryId": repository_id(location), "BranchName": branch}
    context = {f"codeconnections:{name}": value for name, value in values.items() if value}
    return bool(host.allowed(task, "codeconnections:UseConnection", connection, context))


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip with the files' modes and links, which Python's own way leaves out."""
    with zipfile.ZipFile(archive) as source:
        for entry in source.infolist():
            mode = entry.external_attr >> 16
            if stat.S_ISLNK(mode):
                target = folder / entry.filename
                if not target.resolve().is_relative_to(folder.resolve()):
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source.read(entry).decode())
                continue
            written = Path(source.extract(entry, folder))
            if mode and not entry.is_dir():
                written.chmod(stat.S_IMODE(mode) | stat.S_IRUSR | stat.S_IWUSR)


def new_build_id(project: str) -> str:
    """A build's id."""
    return f"{project}:{uuid.uuid4()}"
