"""What an interrupted update leaves behind, and how the next one goes on.

A process that was killed leaves a lock in the backend, and in the state the operations that were
under way. A lock whose process is gone is removed. A resource whose creation was under way may
exist: where its id follows from its inputs it is read from the cloud and adopted if it is there;
otherwise it is dropped from the state, and named, because it may stand in the cloud unrecorded.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from pulumi import automation as auto
from pulumi.automation import ConcurrentUpdateError

# Import ids that follow from a resource's inputs. Source: each type's import section.
_IDS: Mapping[str, str] = {
    "aws:athena/workgroup:Workgroup": "{name}",
    "aws:cfg/deliveryChannel:DeliveryChannel": "{name}",
    "aws:cfg/recorder:Recorder": "{name}",
    "aws:cloudwatch/logGroup:LogGroup": "{name}",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "{name}",
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": "{repository}",
    "aws:ecr/repository:Repository": "{name}",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "{repository}",
    "aws:accessanalyzer/analyzer:Analyzer": "{analyzerName}",
    "aws:iam/role:Role": "{name}",
    "aws:iam/rolePolicy:RolePolicy": "{role}:{name}",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "{role}/{policyArn}",
    "aws:kms/alias:Alias": "{name}",
    "aws:s3/bucket:Bucket": "{bucket}",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "{bucket}",
    "aws:s3/bucketLogging:BucketLogging": "{bucket}",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "{bucket}",
    "aws:s3/bucketPolicy:BucketPolicy": "{bucket}",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "{bucket}",
    "aws:s3/bucketVersioning:BucketVersioning": "{bucket}",
    "aws:s3/bucketServerSideEncryptionConfiguration:"
    "BucketServerSideEncryptionConfiguration": "{bucket}",
    "aws:sagemaker/featureGroup:FeatureGroup": "{featureGroupName}",
    "aws:sagemaker/modelPackageGroup:ModelPackageGroup": "{modelPackageGroupName}",
    "aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy": "{modelPackageGroupName}",
    "aws:sagemaker/studioLifecycleConfig:StudioLifecycleConfig": "{studioLifecycleConfigName}",
    "aws:ssm/parameter:Parameter": "{name}",
}

_LOCK = re.compile(r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>\d+)\)")


class RecoveryError(RuntimeError):
    """The stack cannot be gone on with by itself; the message says what to do."""


def import_id(type_: str, inputs: Mapping[str, Any]) -> str | None:
    """The id that a resource has if it exists, None when it cannot be told from its inputs."""
    template = _IDS.get(type_)
    if template is None:
        return None
    try:
        return template.format_map(inputs)
    except KeyError:
        return None


def before(stack: auto.Stack) -> str:
    """Settle the operations that were under way when an update was killed.

    Returns:
        What was done, for a person; empty when there was nothing to do.
    """
    state = stack.export_stack().deployment or {}
    pending = state.get("pending_operations") or []
    creating = [item["resource"] for item in pending if item.get("type") == "creating"]
    if not pending:
        return ""
    adopted: list[str] = []
    dropped: list[str] = []
    arguments: list[str] = []
    for resource in creating:
        name = f"{resource['type']} {resource['urn'].rpartition('::')[2]}"
        id_ = import_id(resource["type"], resource.get("inputs") or {})
        if id_ is None:
            dropped.append(name)
        else:
            adopted.append(name)
            arguments += [
                "--import-pending-creates",
                resource["urn"],
                "--import-pending-creates",
                id_,
            ]

    def settle() -> None:
        command = ["refresh", "--yes", "--skip-preview", "--stack", stack.name, *arguments]
        if dropped:
            command.append("--clear-pending-creates")
        _cli(stack, command)

    with retried_after_a_stale_lock(stack) as attempt:
        attempt(settle)
    told = f"an interrupted update was settled: {len(pending)} operations were under way"
    if adopted:
        told += f"; looked up and kept if they exist: {', '.join(adopted)}"
    if dropped:
        names = ", ".join(dropped)
        told += f"; dropped from the state, look whether they stand in the account: {names}"
    return told


def _cli(stack: auto.Stack, command: list[str]) -> None:
    workspace = stack.workspace
    environment = {**workspace.env_vars, "PULUMI_DEBUG_COMMANDS": "true"}
    workspace.pulumi_command.run(command, workspace.work_dir, environment)


@contextmanager
def retried_after_a_stale_lock(stack: auto.Stack) -> Generator[Callable[[Callable[[], Any]], None]]:
    """Gives a function that runs an operation, once more if a dead process's lock was in the way.

    Raises:
        RecoveryError: somebody else holds the lock.
    """

    def attempt(operation: Callable[[], Any]) -> None:
        try:
            operation()
        except ConcurrentUpdateError as error:
            holder = _LOCK.search(str(error))
            if holder is None or not _is_dead(holder["host"], int(holder["pid"])):
                who = (
                    f"{holder['user']}@{holder['host']} (process {holder['pid']})" if holder else ""
                )
                raise RecoveryError(
                    f"stack {stack.name} is being updated by {who or 'somebody else'}; "
                    f"wait for it, or if it is gone run: pulumi cancel --stack {stack.name}"
                ) from None
            stack.cancel()
            operation()

    yield attempt


def _is_dead(host: str, pid: int) -> bool:
    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
