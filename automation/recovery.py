"""What an interrupted update leaves behind, and how the next one goes on.

A process that was killed leaves a lock in the backend, and in the state the operations that were
under way. A lock whose process is gone is removed. A resource whose creation was under way may
exist: where its id follows from its inputs, or is looked up by them, it is read from the cloud and
adopted if it is there; otherwise it is dropped from the state, and named, because it may stand in
the cloud unrecorded.
"""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulumi import automation as auto
from pulumi.automation import ConcurrentUpdateError

from components.naming import partition_of

IDS: Mapping[str, str] = {
    "aws:accessanalyzer/analyzer:Analyzer": "{analyzerName}",
    "aws:athena/workgroup:Workgroup": "{name}",
    "aws:budgets/budget:Budget": "{account}:{name}",
    "aws:cfg/deliveryChannel:DeliveryChannel": "{name}",
    "aws:cfg/recorder:Recorder": "{name}",
    "aws:cloudtrail/trail:Trail": "arn:{partition}:cloudtrail:{region}:{account}:trail/{name}",
    "aws:cloudwatch/eventBus:EventBus": "{name}",
    "aws:cloudwatch/logGroup:LogGroup": "{name}",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "{name}",
    "aws:codebuild/project:Project": "{name}",
    "aws:codecommit/repository:Repository": "{repositoryName}",
    "aws:codepipeline/pipeline:Pipeline": "{name}",
    "aws:dynamodb/table:Table": "{name}",
    "aws:ec2/route:Route": "{routeTableId}_{destinationCidrBlock}",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "{subnetId}/{routeTableId}",
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": "{repository}",
    "aws:ecr/repository:Repository": "{name}",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "{repository}",
    "aws:glue/catalogDatabase:CatalogDatabase": "{account}:{name}",
    "aws:glue/securityConfiguration:SecurityConfiguration": "{name}",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": (
        "arn:{partition}:iam::{account}:oidc-provider/{url}"
    ),
    "aws:iam/policy:Policy": "arn:{partition}:iam::{account}:policy{path}{name}",
    "aws:iam/role:Role": "{name}",
    "aws:iam/rolePolicy:RolePolicy": "{role}:{name}",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "{role}/{policyArn}",
    "aws:kms/alias:Alias": "{name}",
    "aws:lambda/alias:Alias": "{functionName}/{name}",
    "aws:lambda/function:Function": "{name}",
    "aws:lambda/permission:Permission": "{function}/{statementId}",
    "aws:ram/principalAssociation:PrincipalAssociation": "{resourceShareArn},{principal}",
    "aws:ram/resourceAssociation:ResourceAssociation": "{resourceShareArn},{resourceArn}",
    "aws:s3/bucket:Bucket": "{bucket}",
    "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": "{bucket}",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "{bucket}",
    "aws:s3/bucketLogging:BucketLogging": "{bucket}",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "{bucket}",
    "aws:s3/bucketPolicy:BucketPolicy": "{bucket}",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "{bucket}",
    "aws:s3/bucketVersioning:BucketVersioning": "{bucket}",
    "aws:s3/bucketServerSideEncryptionConfiguration:"
    "BucketServerSideEncryptionConfiguration": "{bucket}",
    "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition": "{name}",
    "aws:sagemaker/endpoint:Endpoint": "{name}",
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": "{name}",
    "aws:sagemaker/featureGroup:FeatureGroup": "{featureGroupName}",
    "aws:sagemaker/model:Model": "{name}",
    "aws:sagemaker/modelPackageGroup:ModelPackageGroup": "{modelPackageGroupName}",
    "aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy": "{modelPackageGroupName}",
    "aws:sagemaker/monitoringSchedule:MonitoringSchedule": "{name}",
    "aws:sagemaker/pipeline:Pipeline": "{pipelineName}",
    "aws:sagemaker/space:Space": (
        "arn:{partition}:sagemaker:{region}:{account}:space/{domainId}/{spaceName}"
    ),
    "aws:sagemaker/studioLifecycleConfig:StudioLifecycleConfig": "{studioLifecycleConfigName}",
    "aws:sagemaker/userProfile:UserProfile": (
        "arn:{partition}:sagemaker:{region}:{account}:user-profile/{domainId}/{userProfileName}"
    ),
    "aws:securityhub/account:Account": "{account}",
    "aws:servicecatalog/tagOptionResourceAssociation:"
    "TagOptionResourceAssociation": "{tagOptionId}:{resourceId}",
    "aws:sns/topic:Topic": "arn:{partition}:sns:{region}:{account}:{name}",
    "aws:ssm/parameter:Parameter": "{name}",
}
"""Ids for an import that follow from a resource's inputs and its provider's ``account``, ``region``
and ``partition``. Source: each type's import section in the registry of Pulumi's AWS provider."""

REPEATED: frozenset[str] = frozenset(
    {
        "aws:appautoscaling/policy:Policy",
        "aws:appautoscaling/target:Target",
        "aws:cfg/recorderStatus:RecorderStatus",
        "aws:cloudwatch/eventBusPolicy:EventBusPolicy",
        "aws:cloudwatch/eventRule:EventRule",
        "aws:cloudwatch/eventTarget:EventTarget",
        "aws:cloudwatch/logMetricFilter:LogMetricFilter",
        "aws:ebs/defaultKmsKey:DefaultKmsKey",
        "aws:ebs/encryptionByDefault:EncryptionByDefault",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings",
        "aws:iam/accountPasswordPolicy:AccountPasswordPolicy",
        "aws:lakeformation/dataLakeSettings:DataLakeSettings",
        "aws:lakeformation/permissions:Permissions",
        "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock",
        "aws:s3/bucketNotification:BucketNotification",
        "aws:s3/bucketObjectv2:BucketObjectv2",
        "aws:sagemaker/servicecatalogPortfolioStatus:ServicecatalogPortfolioStatus",
        "aws:servicecatalog/portfolioShare:PortfolioShare",
        "aws:servicecatalog/principalPortfolioAssociation:PrincipalPortfolioAssociation",
        "aws:servicecatalog/productPortfolioAssociation:ProductPortfolioAssociation",
        "aws:sns/topicPolicy:TopicPolicy",
        "aws:sns/topicSubscription:TopicSubscription",
        "aws:sqs/queue:Queue",
        "aws:sqs/queuePolicy:QueuePolicy",
    }
)
"""Types whose creation sets what is there, or gives what exists with the same values: the next
update makes them again without a conflict. Source: each create call in the service's API
reference."""

UNNAMED: frozenset[str] = frozenset(
    {
        "aws:cloudcontrol/resource:Resource",
        "aws:codeconnections/connection:Connection",
        "aws:datazone/domain:Domain",
        "aws:ec2/eip:Eip",
        "aws:ec2/flowLog:FlowLog",
        "aws:ec2/internetGateway:InternetGateway",
        "aws:ec2/natGateway:NatGateway",
        "aws:ec2/routeTable:RouteTable",
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/subnet:Subnet",
        "aws:ec2/vpc:Vpc",
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "aws:guardduty/detector:Detector",
        "aws:kms/key:Key",
        # Known by its location, but the provider cannot import it.
        "aws:lakeformation/resource:Resource",
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        # What is vended is looked up by its address; see automation/account_factory.py.
        "aws:organizations/account:Account",
        "aws:ram/resourceShare:ResourceShare",
        "aws:sagemaker/domain:Domain",
        "aws:servicecatalog/constraint:Constraint",
        "aws:servicecatalog/portfolio:Portfolio",
        "aws:servicecatalog/product:Product",
        "aws:servicecatalog/provisioningArtifact:ProvisioningArtifact",
        "aws:servicecatalog/tagOption:TagOption",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    }
)
"""Types whose id AWS makes up, so that it follows from nothing: a person looks whether one stands
in the account, and removes it or imports it by its id."""

_LOCK = re.compile(r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>\d+)\)")


Lookup = Callable[[Mapping[str, Any]], str | None]
"""Finds by its inputs what was being created: its id for an import, None when it does not exist."""


class RecoveryError(RuntimeError):
    """The stack cannot be gone on with by itself; the message says what to do."""


def import_id(
    type_: str, inputs: Mapping[str, Any], place: Mapping[str, str] | None = None
) -> str | None:
    """The id that a resource has if it exists, None when it cannot be told from its inputs.

    Args:
        type_: Type token.
        inputs: The resource's inputs; what is secret or not known yet is no part of an id.
        place: Its provider's ``account``, ``region`` and ``partition``.
    """
    template = IDS.get(type_)
    if template is None:
        return None
    values = {"path": "/"} | {k: v for k, v in inputs.items() if isinstance(v, str)}
    # The ARN of a provider of identities has its address without the scheme.
    values["url"] = values.get("url", "").removeprefix("https://")
    try:
        return template.format_map(values | dict(place or {}))
    except KeyError:
        return None


def before(stack: auto.Stack, lookups: Mapping[str, Lookup] | None = None) -> str:
    """Settle the operations that were under way when an update was killed.

    What can be named goes into the state under its id, and a refresh reads it or takes it out
    again: the engine's own ``--import-pending-creates`` only forgets the operation.

    Args:
        stack: The stack.
        lookups: Type -> how one is found whose id follows from nothing.

    Returns:
        What was done, for a person; empty when there was nothing to do.
    """
    state = stack.export_stack().deployment or {}
    pending = state.get("pending_operations") or []
    if not pending:
        return ""
    recorded = {resource["urn"]: resource for resource in state.get("resources") or []}
    ids: dict[str, str] = {}
    adopted: list[str] = []
    repeated: list[str] = []
    dropped: list[str] = []
    absent: list[str] = []
    for resource in [item["resource"] for item in pending if item.get("type") == "creating"]:
        type_, urn = resource["type"], resource["urn"]
        id_ = import_id(type_, resource.get("inputs") or {}, _place(resource, recorded))
        name = f"{type_} {urn.rpartition('::')[2]}"
        lookup = (lookups or {}).get(type_)
        if lookup is not None and urn not in recorded:
            id_ = lookup(resource.get("inputs") or {})
            if id_ is None:
                absent.append(name)
                continue
        # Where it was to replace another, that one still has its place in the state.
        if id_ is not None and urn not in recorded:
            ids[urn] = id_
            adopted.append(name)
        elif type_ in REPEATED:
            repeated.append(name)
        else:
            dropped.append(name)

    def settle() -> None:
        if ids:
            _record(stack, ids)
        _cli(
            stack,
            "refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", stack.name,
        )  # fmt: skip

    with retried_after_a_stale_lock(stack) as attempt:
        attempt(settle)
    told = f"an interrupted update was settled: {len(pending)} operations were under way"
    if adopted:
        told += f"; looked up and kept if they exist: {', '.join(adopted)}"
    if repeated:
        told += f"; made again by the next update, whether they exist or not: {', '.join(repeated)}"
    if absent:
        told += f"; looked for, and not there: {', '.join(absent)}"
    if dropped:
        names = ", ".join(dropped)
        told += (
            f"; dropped from the state: {names}: look whether they stand in the account, and "
            "remove them there or take them over with pulumi import"
        )
    return told


def _place(resource: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, str]:
    """Account, region and partition of a resource, as its provider in the state has them."""
    provider = recorded.get(str(resource.get("provider", "")).rpartition("::")[0], {})
    settings = provider.get("inputs") or {}
    accounts = settings.get("allowedAccountIds") or []
    accounts = json.loads(accounts) if isinstance(accounts, str) else accounts
    region = (resource.get("inputs") or {}).get("region") or settings.get("region")
    if len(accounts) != 1 or not region:
        return {}
    return {"account": accounts[0], "region": region, "partition": partition_of(region)}


def _record(stack: auto.Stack, ids: Mapping[str, str]) -> None:
    """Put resources whose creation was under way into the state, secrets staying encrypted."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.json"
        _cli(stack, "stack", "export", "--file", str(file), "--stack", stack.name)
        exported = json.loads(file.read_text())
        deployment = exported["deployment"]
        deployment["resources"] += [
            item["resource"] | {"id": ids[item["resource"]["urn"]]}
            for item in deployment.get("pending_operations") or []
            if item.get("type") == "creating" and item["resource"]["urn"] in ids
        ]
        file.write_text(json.dumps(exported))
        _cli(stack, "stack", "import", "--file", str(file), "--stack", stack.name)


def _cli(stack: auto.Stack, *command: str) -> None:
    workspace = stack.workspace
    environment = {**workspace.env_vars, "PULUMI_DEBUG_COMMANDS": "true"}
    workspace.pulumi_command.run(list(command), workspace.work_dir, environment)


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
