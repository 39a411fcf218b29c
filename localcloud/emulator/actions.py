"""What an API call asks of IAM: its actions and resources.

They come from the service authorization reference, which is that of the IAM evaluator's data
package: for each action its resource types, for each type the form of its ARNs. An ARN's
placeholders are filled from the call's input by name; the tables below hold what cannot be derived:
operations whose action has another name, inputs named unlike the placeholder, and services with
rules of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from localcloud.emulator import world
from localcloud.emulator.extension import Params
from localcloud.emulator.protocol import Call

UNASSIGNED = "not-yet-assigned"
"""Stands in an ARN for what the service has yet to choose, such as the id of a new VPC."""

# botocore's service name -> IAM's prefix, where they differ.
IAM_PREFIXES = {
    "accessanalyzer": "access-analyzer",
    "apigatewayv2": "apigateway",
    "cloudcontrol": "cloudformation",
    "efs": "elasticfilesystem",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "emr": "elasticmapreduce",
    "opensearch": "es",
    "resourcegroupstaggingapi": "tag",
    "s3control": "s3",
    "sagemaker-featurestore-runtime": "sagemaker",
    "sagemaker-metrics": "sagemaker",
    "sagemaker-runtime": "sagemaker",
    "servicecatalog-appregistry": "servicecatalog",
    "ses": "ses",
    "sesv2": "ses",
    "stepfunctions": "states",
}

# (service, operation) -> actions, where the only action is not named like the operation.
_ACTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("kms", "ReEncrypt"): ("ReEncryptFrom", "ReEncryptTo"),
    ("lambda", "Invoke"): ("InvokeFunction",),
    ("lambda", "InvokeWithResponseStream"): ("InvokeFunction",),
    ("lambda", "GetLayerVersionByArn"): ("GetLayerVersion",),
    ("s3", "AbortMultipartUpload"): ("AbortMultipartUpload",),
    ("s3", "CompleteMultipartUpload"): ("PutObject",),
    ("s3", "CreateMultipartUpload"): ("PutObject",),
    ("s3", "DeleteBucketCors"): ("PutBucketCORS",),
    ("s3", "DeleteBucketEncryption"): ("PutEncryptionConfiguration",),
    ("s3", "DeleteBucketLifecycle"): ("PutLifecycleConfiguration",),
    ("s3", "DeleteBucketOwnershipControls"): ("PutBucketOwnershipControls",),
    ("s3", "DeleteBucketReplication"): ("PutReplicationConfiguration",),
    ("s3", "DeleteBucketTagging"): ("PutBucketTagging",),
    ("s3", "DeleteObjects"): ("DeleteObject",),
    ("s3", "DeletePublicAccessBlock"): ("PutBucketPublicAccessBlock",),
    ("s3", "GetBucketAccelerateConfiguration"): ("GetAccelerateConfiguration",),
    ("s3", "GetBucketEncryption"): ("GetEncryptionConfiguration",),
    ("s3", "GetBucketLifecycle"): ("GetLifecycleConfiguration",),
    ("s3", "GetBucketLifecycleConfiguration"): ("GetLifecycleConfiguration",),
    ("s3", "GetBucketNotificationConfiguration"): ("GetBucketNotification",),
    ("s3", "GetBucketReplication"): ("GetReplicationConfiguration",),
    ("s3", "GetObjectLockConfiguration"): ("GetBucketObjectLockConfiguration",),
    ("s3", "GetPublicAccessBlock"): ("GetBucketPublicAccessBlock",),
    ("s3", "HeadBucket"): ("ListBucket",),
    ("s3", "HeadObject"): ("GetObject",),
    ("s3", "ListBuckets"): ("ListAllMyBuckets",),
    ("s3", "ListMultipartUploads"): ("ListBucketMultipartUploads",),
    ("s3", "ListObjects"): ("ListBucket",),
    ("s3", "ListObjectsV2"): ("ListBucket",),
    ("s3", "ListObjectVersions"): ("ListBucketVersions",),
    ("s3", "ListParts"): ("ListMultipartUploadParts",),
    ("s3", "PutBucketAccelerateConfiguration"): ("PutAccelerateConfiguration",),
    ("s3", "PutBucketEncryption"): ("PutEncryptionConfiguration",),
    ("s3", "PutBucketLifecycle"): ("PutLifecycleConfiguration",),
    ("s3", "PutBucketLifecycleConfiguration"): ("PutLifecycleConfiguration",),
    ("s3", "PutBucketNotificationConfiguration"): ("PutBucketNotification",),
    ("s3", "PutBucketReplication"): ("PutReplicationConfiguration",),
    ("s3", "PutObjectLockConfiguration"): ("PutBucketObjectLockConfiguration",),
    ("s3", "PutPublicAccessBlock"): ("PutBucketPublicAccessBlock",),
    ("s3", "SelectObjectContent"): ("GetObject",),
    ("s3", "UploadPart"): ("PutObject",),
    ("s3control", "DeletePublicAccessBlock"): ("PutAccountPublicAccessBlock",),
    ("s3control", "GetPublicAccessBlock"): ("GetAccountPublicAccessBlock",),
    ("s3control", "PutPublicAccessBlock"): ("PutAccountPublicAccessBlock",),
    ("sagemaker-featurestore-runtime", "UpdateRecord"): ("PutRecord",),
    ("sns", "PublishBatch"): ("Publish",),
    ("sqs", "ChangeMessageVisibilityBatch"): ("ChangeMessageVisibility",),
    ("sqs", "DeleteMessageBatch"): ("DeleteMessage",),
    ("sqs", "SendMessageBatch"): ("SendMessage",),
}
_VERSIONED = {"GetObject", "DeleteObject", "GetObjectTagging", "PutObjectTagging", "GetObjectAcl"}

# (IAM prefix, placeholder) -> dotted inputs that hold it, where the name does not tell.
_INPUTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("athena", "DataCatalogName"): ("Name", "CatalogName"),
    ("athena", "WorkGroupName"): ("WorkGroup", "Name"),
    ("budgets", "BudgetName"): ("BudgetName", "Budget.BudgetName", "NewBudget.BudgetName"),
    ("cloudtrail", "TrailName"): ("Name", "TrailName"),
    ("cloudwatch", "AlarmName"): ("AlarmName", "AlarmNames"),
    ("codebuild", "ProjectName"): ("name", "projectName", "names"),
    ("codepipeline", "PipelineName"): ("name", "pipelineName", "pipeline.name"),
    ("ec2", "SecurityGroupId"): ("GroupId", "SecurityGroupIds"),
    ("events", "EventBusName"): ("EventBusName", "Name"),
    ("events", "RuleName"): ("Rule", "Name"),
    ("glue", "DatabaseName"): ("DatabaseName", "DatabaseInput.Name", "Name"),
    ("glue", "TableName"): ("TableName", "TableInput.Name", "Name"),
    ("iam", "GroupNameWithPath"): ("GroupName",),
    ("iam", "InstanceProfileNameWithPath"): ("InstanceProfileName",),
    ("iam", "PolicyNameWithPath"): ("PolicyName",),
    ("iam", "UserNameWithPath"): ("UserName",),
    ("lambda", "FunctionName"): ("FunctionName",),
    ("sagemaker", "DataQualityJobDefinitionName"): ("JobDefinitionName",),
    ("sagemaker", "FeatureGroupName"): ("FeatureGroupName", "Identifiers.FeatureGroupName"),
    ("sagemaker", "ModelBiasJobDefinitionName"): ("JobDefinitionName",),
    ("sagemaker", "ModelExplainabilityJobDefinitionName"): ("JobDefinitionName",),
    ("sagemaker", "ModelQualityJobDefinitionName"): ("JobDefinitionName",),
    ("secretsmanager", "SecretId"): ("SecretId", "Name"),
    ("sns", "TopicName"): ("Name",),
    ("sqs", "QueueName"): ("QueueName",),
    ("ssm", "ParameterNameWithoutLeadingSlash"): ("Name", "Names", "Path"),
    ("states", "StateMachineName"): ("name",),
}

_FUNCTION_COLONS = 6  # in a function's ARN without a qualifier
_CREATING = ("Allocate", "Create", "Register", "Request", "Run")
_HERE = "localcloud/emulator/actions.py"


class UnmappedError(Exception):
    """A call whose IAM action is unknown here; the message says where to add it."""


@dataclass(frozen=True)
class Access:
    """One thing that a call needs permission for.

    Attributes:
        action: Such as ``s3:GetObject``.
        resource: ARN, or ``*`` for actions that have no resource types.
        owner: Account that owns the resource.
        via: Service that asks on the caller's behalf, such as ``s3``; None for the caller itself.
    """

    action: str
    resource: str
    owner: str
    via: str | None = None


@dataclass(frozen=True)
class ResourceType:
    """A resource type of an action: its key, the form of its ARNs, whether a call must name one."""

    key: str
    template: str
    required: bool

    def pattern(self) -> re.Pattern[str]:
        """Matches the ARNs of this type."""
        return _template_pattern(self.template)


@cache
def _template_pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\$\{(\w+)\}", template)
    filled = [
        re.escape(part) if index % 2 == 0 else (r"[^:/]*" if part != "LogGroupName" else r"[^:]*")
        for index, part in enumerate(parts)
    ]
    # The last part may hold slashes and colons: paths of roles, keys of objects.
    if len(parts) > 1 and not parts[-1]:
        filled[-2] = r".+"
    return re.compile("".join(filled) + r"(:\*)?")


class Reference:
    """The service authorization reference, read as needed.

    Args:
        folder: The data folder of the ``iam-data`` package.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, dict[str, Any]] = {}

    def _read(self, kind: str, prefix: str) -> dict[str, Any]:
        name = f"{kind}/{prefix}.json"
        if name not in self._files:
            path = self._folder / name
            self._files[name] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return self._files[name]

    def action(self, prefix: str, name: str) -> dict[str, Any] | None:
        """An action's entry, None when IAM has none by that name."""
        return self._read("actions", prefix).get(name.lower())

    def resource_types(self, prefix: str, name: str) -> list[ResourceType]:
        """The resource types of an action."""
        action = self.action(prefix, name) or {}
        types = self._read("resourceTypes", prefix)
        return [
            ResourceType(item["name"], types[item["name"].lower()]["arn"], bool(item["required"]))
            for item in action.get("resourceTypes", [])
            if item["name"].lower() in types
        ]

    def condition_keys(self, prefix: str, name: str) -> frozenset[str]:
        """The condition keys of an action and its resource types."""
        action = self.action(prefix, name) or {}
        keys: set[str] = set(action.get("conditionKeys", ()))
        for item in action.get("resourceTypes", []):
            keys.update(item["conditionKeys"])
            keys.update(
                self._read("resourceTypes", prefix)
                .get(item["name"].lower(), {})
                .get("conditionKeys", ())
            )
        return frozenset(keys)


def action_names(call: Call) -> tuple[str, ...]:
    """The IAM actions of a call, without prefix."""
    if call.service == "budgets":
        verb = "View" if call.operation.startswith("Describe") else "Modify"
        if "Action" not in call.operation and "Tag" not in call.operation:
            return (f"{verb}Budget",)
    if call.service == "sts" and call.operation == "AssumeRole":
        given = (("Tags", "TagSession"), ("SourceIdentity", "SetSourceIdentity"))
        return ("AssumeRole", *(name for key, name in given if call.params.get(key)))
    names = _ACTIONS.get((call.service, call.operation), (call.operation,))
    if call.service == "s3" and call.params.get("VersionId"):
        names = tuple(
            name.replace("Object", "ObjectVersion", 1) if name in _VERSIONED else name
            for name in names
        )
    return names


def accesses(call: Call, account: str, reference: Reference) -> list[Access]:
    """Everything that a call needs permission for, without ``iam:PassRole`` and keys.

    Args:
        call: The call.
        account: The caller's account.
        reference: The authorization reference.

    Raises:
        UnmappedError: The call's action is unknown.
    """
    if (call.service, call.operation) in _SPECIAL:
        return list(_SPECIAL[call.service, call.operation](call, account))
    prefix = IAM_PREFIXES.get(call.service, call.service)
    found: list[Access] = []
    for name in action_names(call):
        action = reference.action(prefix, name)
        if action is None:
            raise UnmappedError(
                f"IAM has no action {prefix}:{name} for {call.service}:{call.operation}. Add the"
                f" operation's action to _ACTIONS in {_HERE}."
            )
        label = f"{prefix}:{action['name']}"
        resources = _resources(call, account, prefix, reference.resource_types(prefix, name))
        found += [Access(label, arn, owner_of(arn, account)) for arn in resources]
    return found


def owner_of(arn: str, account: str) -> str:
    """The account that owns a resource; that of the caller when the ARN does not tell."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return account
    if parts[2] == "s3" and not parts[4]:
        return world.bucket_owner(parts[5].split("/", 1)[0]) or account
    return parts[4] if parts[4] and parts[4] != "aws" else account


def _resources(call: Call, account: str, prefix: str, types: list[ResourceType]) -> list[str]:
    if not types:
        return ["*"]
    if prefix in _BY_SERVICE:
        arns = list(_BY_SERVICE[prefix](call, account, types))
        if arns:
            return arns
    required = [item for item in types if item.required]
    if required:
        named = [arn for item in required for arn in _fill(call, account, prefix, item, None)]
        # A tagging call names one of many types; a creating call needs all, named or not.
        if named and not call.operation.startswith(_CREATING):
            return sorted(set(named))
        return [arn for item in required for arn in _fill(call, account, prefix, item, UNASSIGNED)]
    named = [arn for item in types for arn in _given_arns(call.params, item)]
    if named:
        return sorted(set(named))
    for item in types:
        filled = _fill(call, account, prefix, item, None)
        if filled:
            return filled
    return _fill(call, account, prefix, types[0], UNASSIGNED)


def _strings(params: Params) -> Iterator[str]:
    for value in params.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (item for item in cast(list[Any], value) if isinstance(item, str))


def _given_arns(params: Params, item: ResourceType) -> list[str]:
    pattern = item.pattern()
    template = _concrete(item.template)
    return [
        text.removesuffix(":*")
        for text in _strings(params)
        if text.startswith("arn:") and (pattern.fullmatch(text) or template.fullmatch(text))
    ]


@cache
def _concrete(template: str) -> re.Pattern[str]:
    """The type's ARNs with any partition, region and account."""
    text = template
    for name in ("Partition", "Region", "Account"):
        text = text.replace(f"${{{name}}}", "${X}")
    return _template_pattern(text)


def _fill(
    call: Call, account: str, prefix: str, item: ResourceType, placeholder: str | None
) -> list[str]:
    """ARNs of a type from the input. Several when a list of names is given."""
    given = _given_arns(call.params, item)
    if given:
        return given
    fixed = {"Partition": "aws", "Region": call.region, "Account": _account(call, account)}
    names = [name for name in re.findall(r"\$\{(\w+)\}", item.template) if name not in fixed]
    arns = [item.template]
    for name, value in fixed.items():
        arns = [arn.replace(f"${{{name}}}", value) for arn in arns]
    for index, name in enumerate(names):
        values = _values(call, account, prefix, name, item, last=index == len(names) - 1)
        if not values:
            if placeholder is None:
                return []
            values = [placeholder]
        whole = [value for value in values if value.startswith("arn:")]
        if whole and item.pattern().fullmatch(whole[0]):
            return whole
        arns = [
            # "parameter/${Name}" has the slash already, "log-group:${Name}" has not.
            arn.replace(f"/${{{name}}}", f"/{value.removeprefix('/')}").replace(
                f"${{{name}}}", value
            )
            for arn in arns
            for value in values
        ]
    return arns


def _account(call: Call, account: str) -> str:
    for name in ("registryId", "CatalogId", "QueueOwnerAWSAccountId"):
        value = call.params.get(name)
        if isinstance(value, str) and re.fullmatch(r"\d{12}", value):
            return value
    return account


def _norm(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _values(
    call: Call, account: str, prefix: str, name: str, item: ResourceType, *, last: bool
) -> list[str]:
    if name == "RoleNameWithPath":
        return _role_paths(call, account)
    if name == "OidcProviderName":
        return [url.removeprefix("https://") for url in _texts(call.params.get("Url"))]
    for dotted in _INPUTS.get((prefix, name), ()):
        values = _at(call.params, dotted)
        if values:
            return values
    wanted = {_norm(name), f"{_norm(name)}s"}
    for key, value in call.params.items():
        if _norm(key) in wanted:
            return _texts(value)
    # An input is often called plainly Name where the ARN says TrainingJobName.
    if last and _norm(name) == f"{_norm(item.key)}name":
        for key in ("Name", "name"):
            if isinstance(call.params.get(key), str):
                return [call.params[key]]
    return []


def _at(params: Any, dotted: str) -> list[str]:
    """What an input holds; of a list on the way, what each of its items does."""
    found: list[Any] = [params]
    for part in dotted.split("."):
        inner = [cast(dict[str, Any], item).get(part) for item in found if isinstance(item, dict)]
        found = []
        for value in inner:
            found += cast(list[Any], value) if isinstance(value, list) else [value]
    return _texts(found)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [item for item in cast(list[Any], value) if isinstance(item, str)]
    return []


def _role_paths(call: Call, account: str) -> list[str]:
    name = call.params.get("RoleName")
    if not isinstance(name, str):
        return []
    path = str(call.params.get("Path", "/")).strip("/")
    existing = world.role_arn(account, name)
    if existing:
        return [existing.split(":role/", 1)[1]]
    return [f"{path}/{name}" if path else name]


def _s3(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    del account
    bucket, key = call.params.get("Bucket"), call.params.get("Key")
    keys = {item.key for item in types}
    if call.service != "s3" or not isinstance(bucket, str):
        return
    if call.operation == "DeleteObjects":
        for entry in call.params.get("Delete", {}).get("Objects", []):
            yield f"arn:aws:s3:::{bucket}/{entry['Key']}"
    elif "object" in keys and isinstance(key, str):
        yield f"arn:aws:s3:::{bucket}/{key}"
    elif "bucket" in keys:
        yield f"arn:aws:s3:::{bucket}"


def _copy(call: Call, account: str) -> Iterator[Access]:
    source = call.params.get("CopySource", "")
    if isinstance(source, dict):
        source = f"{source['Bucket']}/{source['Key']}"
    source_path = str(source).split("?", 1)[0].lstrip("/")
    target = f"{call.params['Bucket']}/{call.params['Key']}"
    for action, path in (("s3:GetObject", source_path), ("s3:PutObject", target)):
        arn = f"arn:aws:s3:::{path}"
        yield Access(action, arn, owner_of(arn, account))


def _kms(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    keys = {item.key for item in types}
    given = (
        call.params.get("KeyId")
        or call.params.get("TargetKeyId")
        or call.params.get("SourceKeyId")
        or (
            world.key_of_ciphertext(call.params["CiphertextBlob"])
            if isinstance(call.params.get("CiphertextBlob"), bytes)
            else None
        )
    )
    alias = call.params.get("AliasName")
    if isinstance(alias, str) and "alias" in keys:
        yield f"arn:aws:kms:{call.region}:{account}:{alias}"
        given = given or alias
    if isinstance(given, str) and "key" in keys:
        arn = world.key_arn(given, account, call.region)
        yield arn or f"arn:aws:kms:{call.region}:{account}:key/{given.rsplit('/', 1)[-1]}"


def _sqs(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    del types
    url = call.params.get("QueueUrl")
    if isinstance(url, str):
        *_, owner, name = ["", *url.rstrip("/").split("/")]
        owner = owner if re.fullmatch(r"\d{12}", owner) else account
        yield f"arn:aws:sqs:{call.region}:{owner}:{name}"


def _events(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    base = f"arn:aws:events:{call.region}:{account}"
    if call.operation == "PutEvents":
        names = {
            str(entry.get("EventBusName") or "default") for entry in call.params.get("Entries", [])
        }
        for name in sorted(names):
            yield name if name.startswith("arn:") else f"{base}:event-bus/{name}"
        return
    keys = {item.key for item in types}
    bus = str(call.params.get("EventBusName") or "default").rsplit("/", 1)[-1]
    rule = call.params.get("Rule") or call.params.get("Name")
    if "rule-on-default-event-bus" in keys and isinstance(rule, str):
        yield f"{base}:rule/{rule}" if bus == "default" else f"{base}:rule/{bus}/{rule}"


def _secret(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    del types
    given = call.params.get("SecretId")
    if isinstance(given, str):
        yield world.secret_arn(given, account, call.region) or (
            f"arn:aws:secretsmanager:{call.region}:{account}:secret:{given}"
        )


def _lambda(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    """A function called by alias or version is asked for by the qualified ARN.

    Source: Lambda developer guide, "Using aliases and versions in identity-based policies".
    """
    name = call.params.get("FunctionName")
    if not isinstance(name, str) or all(item.key != "function" for item in types):
        return
    whole, qualifier = name, call.params.get("Qualifier")
    if not name.startswith("arn:"):
        base = f"arn:aws:lambda:{call.region}:{account}:function:"
        whole = base + name.rpartition("function:")[2]
    given = whole.count(":") > _FUNCTION_COLONS
    yield whole if given or not qualifier else f"{whole}:{qualifier}"


def _model_packages(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    """A version's ARN is its group's name and a number; groups of other accounts go by ARN."""
    if not any(item.key in ("model-package", "model-package-group") for item in types):
        return
    base = f"arn:aws:sagemaker:{call.region}:{account}"
    package = call.params.get("ModelPackageName") or call.params.get("ModelPackageArn")
    group = call.params.get("ModelPackageGroupName")
    group_arn = (
        group
        if isinstance(group, str) and group.startswith("arn:")
        else f"{base}:model-package-group/{group}"
    )
    if isinstance(package, str):
        yield package if package.startswith("arn:") else f"{base}:model-package/{package}"
    elif isinstance(group, str) and any(item.key == "model-package-group" for item in types):
        yield group_arn
    elif isinstance(group, str):
        yield group_arn.replace(":model-package-group/", ":model-package/") + f"/{UNASSIGNED}"


def _glue(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    """Glue asks for the table, its database and the catalog, each of them."""
    base = f"arn:aws:glue:{call.region}:{_account(call, account)}"
    keys = {item.key for item in types}
    if not keys & {"database", "table"} or any(_given_arns(call.params, item) for item in types):
        return
    if "catalog" in keys:
        yield f"{base}:catalog"
    database = _at(call.params, "DatabaseName") or _at(call.params, "DatabaseInput.Name")
    if not database and "Database" in call.operation:
        database = _at(call.params, "Name")
    for name in database:
        yield f"{base}:database/{name}"
        if "table" in keys:
            tables = (
                _at(call.params, "TableName")
                or _at(call.params, "TableInput.Name")
                or _at(call.params, "Name")
            )
            for table in tables:
                yield f"{base}:table/{name}/{table}"


def _ssm(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    """Calls about tags say the kind of resource in words of their own."""
    if types and call.params.get("ResourceType") == "Parameter":
        name = str(call.params["ResourceId"]).removeprefix("/")
        yield f"arn:aws:ssm:{call.region}:{account}:parameter/{name}"


def _sns(call: Call, _: str, types: list[ResourceType]) -> Iterator[str]:
    """A subscription is part of its topic: IAM knows only the topic's ARN."""
    subscription = call.params.get("SubscriptionArn")
    if subscription and types:
        yield str(subscription).rpartition(":")[0]


def _codebuild(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    """A build is part of its project: IAM knows only the project's ARN."""
    if not any(item.key == "project" for item in types):
        return
    for given in (*_at(call.params, "ids"), *_at(call.params, "id")):
        project = given.rsplit("build/", 1)[-1].rsplit(":", 1)[0]
        yield f"arn:aws:codebuild:{call.region}:{account}:project/{project}"


def _organizations(call: Call, account: str, types: list[ResourceType]) -> Iterator[str]:
    """An account, and the units or the root that it is moved from and to, each of them."""
    organization = world.organization_id(account)
    keys = {item.key for item in types}
    for name in ("AccountId", "ChildId", "ResourceId", "ParentId", "SourceParentId",
                 "DestinationParentId"):  # fmt: skip
        given = call.params.get(name)
        if not isinstance(given, str) or not organization:
            continue
        key, kind = (
            ("root", "root")
            if given.startswith("r-")
            else ("organizationalunit", "ou")
            if given.startswith("ou-")
            else ("account", "account")
        )
        if key in keys:
            yield f"arn:aws:organizations::{account}:{kind}/{organization}/{given}"


_BY_SERVICE: dict[str, Callable[[Call, str, list[ResourceType]], Iterator[str]]] = {
    "codebuild": _codebuild,
    "events": _events,
    "glue": _glue,
    "kms": _kms,
    "lambda": _lambda,
    "organizations": _organizations,
    "s3": _s3,
    "sagemaker": _model_packages,
    "secretsmanager": _secret,
    "sns": _sns,
    "sqs": _sqs,
    "ssm": _ssm,
}


def _transaction(call: Call, account: str) -> Iterator[Access]:
    """A transaction needs what its parts need. Source: DynamoDB developer guide, IAM with them."""
    names = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem",
             "ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}  # fmt: skip
    for item in call.params["TransactItems"]:
        for part, inputs in item.items():
            table = str(inputs["TableName"])
            arn = f"arn:aws:dynamodb:{call.region}:{account}:table/{table}"
            arn = table if table.startswith("arn:") else arn
            yield Access(f"dynamodb:{names[part]}", arn, owner_of(arn, account))


def _model(call: Call, account: str) -> Iterator[Access]:
    """A model of a model package is made from it, which the package's owner must let the caller.

    Source: SageMaker developer guide, "Deploy a Model Version from a Different Account". Its
    example also lets the caller sagemaker:CreateModel on the package, which the service
    authorization reference does not know for packages: it cannot be evaluated.
    """
    name = call.params["ModelName"]
    yield Access(
        "sagemaker:CreateModel", f"arn:aws:sagemaker:{call.region}:{account}:model/{name}", account
    )
    given = [call.params.get("PrimaryContainer"), *(call.params.get("Containers") or [])]
    for container in cast("list[dict[str, Any] | None]", given):
        package = str((container or {}).get("ModelPackageName") or "")
        if package:
            base = f"arn:aws:sagemaker:{call.region}:{account}:model-package/"
            arn = package if package.startswith("arn:") else f"{base}{package}"
            yield Access("sagemaker:DescribeModelPackage", arn, owner_of(arn, account))


_SPECIAL: dict[tuple[str, str], Callable[[Call, str], Iterator[Access]]] = {
    ("dynamodb", "TransactGetItems"): _transaction,
    ("dynamodb", "TransactWriteItems"): _transaction,
    ("s3", "CopyObject"): _copy,
    ("sagemaker", "CreateModel"): _model,
    ("s3", "UploadPartCopy"): _copy,
}
