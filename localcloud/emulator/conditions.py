"""The request context: condition keys and the values that a call gives them.

Values are what AWS documents for each key; keys that a call says nothing about are absent, never
empty, because policies test for absence. Keys that IAM does not define for an action are dropped by
the evaluator.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from localcloud.emulator import world
from localcloud.emulator.actions import Access, owner_of
from localcloud.emulator.extension import Params
from localcloud.emulator.identity import Principal
from localcloud.emulator.protocol import Call

Value = str | list[str]

# Condition key -> dotted inputs; the last part is looked for at any depth, with the parts before it
# as its parents. All values found make the key.
_FROM_INPUT: dict[str, tuple[str, ...]] = {
    "application-autoscaling:scalable-dimension": ("ScalableDimension",),
    "application-autoscaling:service-namespace": ("ServiceNamespace",),
    "cloudformation:RoleArn": ("RoleARN",),
    "cloudformation:TemplateUrl": ("TemplateURL",),
    "cloudwatch:namespace": ("Namespace",),
    "events:detail-type": ("Entries.DetailType",),
    "events:source": ("Entries.Source",),
    "iam:PermissionsBoundary": ("PermissionsBoundary",),
    "iam:PolicyARN": ("PolicyArn",),
    "lambda:SecurityGroupIds": ("VpcConfig.SecurityGroupIds",),
    "lambda:SubnetIds": ("VpcConfig.SubnetIds",),
    "s3:VersionId": ("VersionId",),
    "s3:delimiter": ("Delimiter",),
    "s3:if-none-match": ("IfNoneMatch",),
    "s3:max-keys": ("MaxKeys",),
    "s3:prefix": ("Prefix",),
    "s3:x-amz-acl": ("ACL",),
    "s3:x-amz-server-side-encryption": ("ServerSideEncryption",),
    "s3:x-amz-server-side-encryption-aws-kms-key-id": ("SSEKMSKeyId",),
    "sagemaker:AppNetworkAccessType": ("AppNetworkAccessType",),
    "sagemaker:AuthMode": ("AuthMode",),
    "sagemaker:DirectInternetAccess": ("DirectInternetAccess",),
    "sagemaker:DomainSharingOutputKmsKeyArn": ("SharingSettings.S3KmsKeyId",),
    "sagemaker:FeatureGroupEnableOnlineStore": ("OnlineStoreConfig.EnableOnlineStore",),
    "sagemaker:FeatureGroupOfflineStoreKmsKeyArn": ("S3StorageConfig.KmsKeyId",),
    "sagemaker:FeatureGroupOfflineStoreS3Uri": ("S3StorageConfig.S3Uri",),
    "sagemaker:FeatureGroupOnlineStoreKmsKeyArn": ("SecurityConfig.KmsKeyId",),
    "sagemaker:ImageArns": ("SageMakerImageArn",),
    "sagemaker:ImageVersionArns": ("SageMakerImageVersionArn",),
    "sagemaker:InstanceTypes": ("InstanceType", "DefaultInstanceType", "TransformInstanceType"),
    "sagemaker:InterContainerTrafficEncryption": ("EnableInterContainerTrafficEncryption",),
    "sagemaker:MaxRuntimeInSeconds": ("StoppingCondition.MaxRuntimeInSeconds",),
    "sagemaker:ModelApprovalStatus": ("ModelApprovalStatus",),
    "sagemaker:ModelLifeCycle:Stage": ("ModelLifeCycle.Stage",),
    "sagemaker:ModelLifeCycle:StageStatus": ("ModelLifeCycle.StageStatus",),
    "sagemaker:NetworkIsolation": ("EnableNetworkIsolation",),
    "sagemaker:OutputKmsKeyArn": (
        "OutputDataConfig.KmsKeyId",
        "ProcessingOutputConfig.KmsKeyId",
        "TransformOutput.KmsKeyId",
        "S3OutputConfig.KmsKeyId",
        "OutputConfig.KmsKeyId",
        "DataQualityJobOutputConfig.KmsKeyId",
        "ModelQualityJobOutputConfig.KmsKeyId",
        "ModelBiasJobOutputConfig.KmsKeyId",
        "ModelExplainabilityJobOutputConfig.KmsKeyId",
        "MonitoringOutputConfig.KmsKeyId",
    ),
    "sagemaker:RootAccess": ("RootAccess",),
    "sagemaker:SpaceSharingType": ("SharingType",),
    "sagemaker:StudioLifecycleConfigArns": ("LifecycleConfigArn", "LifecycleConfigArns"),
    "sagemaker:VolumeKmsKeyArn": ("VolumeKmsKeyId", "HomeEfsFileSystemKmsKeyId"),
    "sagemaker:VpcSecurityGroupIds": (
        "VpcConfig.SecurityGroupIds",
        "SecurityGroups",
        "SecurityGroupIds",
    ),
    "sagemaker:VpcSubnets": ("VpcConfig.Subnets", "SubnetIds", "SubnetId"),
    "secretsmanager:Name": ("Name",),
    "sts:ExternalId": ("ExternalId",),
    "sts:RoleSessionName": ("RoleSessionName",),
    "sts:SourceIdentity": ("SourceIdentity",),
}
# SageMaker still gives the keys that these have replaced.
_REPLACED = {
    "sagemaker:DomainSharingOutputKmsKeyArn": ("sagemaker:DomainSharingOutputKmsKey",),
    "sagemaker:FeatureGroupOfflineStoreKmsKeyArn": ("sagemaker:FeatureGroupOfflineStoreKmsKey",),
    "sagemaker:FeatureGroupOnlineStoreKmsKeyArn": ("sagemaker:FeatureGroupOnlineStoreKmsKey",),
    "sagemaker:OutputKmsKeyArn": ("sagemaker:OutputKmsKey",),
    "sagemaker:VolumeKmsKeyArn": ("sagemaker:VolumeKmsKey", "sagemaker:HomeEfsFileSystemKmsKey"),
}
# In these calls the plain KmsKeyId is that of the volume.
_VOLUME_KEY_CALLS = {"CreateDomain", "CreateEndpointConfig", "CreateNotebookInstance"}
_DEFAULTS = {
    # SageMaker gives these their default when the request leaves them out.
    "sagemaker:NetworkIsolation": "false",
    "sagemaker:InterContainerTrafficEncryption": "false",
    "sagemaker:AppNetworkAccessType": "PublicInternetOnly",
    "sagemaker:DirectInternetAccess": "Enabled",
    "sagemaker:RootAccess": "Enabled",
}


@dataclass(frozen=True)
class Circumstances:
    """What surrounds a call.

    Attributes:
        organization_id: The organisation of all accounts.
        secure: Whether the call counts as made by TLS. Loopback is not encrypted; it stands for TLS
            unless the caller says otherwise.
        source_vpc: The VPC of the endpoint that the call came through.
        user_agent: The caller's program.
    """

    organization_id: str
    secure: bool
    source_vpc: str | None
    user_agent: str


def organization_path(organization_id: str) -> str:
    """``aws:PrincipalOrgPaths`` of all accounts: they lie in the root."""
    return f"{organization_id}/r-{organization_id.removeprefix('o-')[:4]}/"


def context(
    call: Call,
    access: Access,
    principal: Principal,
    around: Circumstances,
    condition_keys: frozenset[str],
    resource_tags: Mapping[str, str],
) -> dict[str, Value]:
    """The request context of one access."""
    caller = principal.caller
    values: dict[str, Value] = {
        "aws:PrincipalArn": caller.principal_arn,
        "aws:PrincipalAccount": caller.account,
        "aws:PrincipalOrgID": around.organization_id,
        "aws:PrincipalOrgPaths": [organization_path(around.organization_id)],
        "aws:PrincipalType": "User" if principal.user_name else "AssumedRole",
        "aws:PrincipalIsAWSService": "false",
        "aws:userid": principal.user_id,
        "aws:ResourceAccount": access.owner,
        "aws:ResourceOrgID": around.organization_id,
        "aws:ResourceOrgPaths": [organization_path(around.organization_id)],
        "aws:RequestedRegion": call.region,
        "aws:SecureTransport": "true" if around.secure else "false",
        "aws:UserAgent": around.user_agent,
        "aws:ViaAWSService": "true" if access.via else "false",
    }
    if principal.user_name:
        values["aws:username"] = principal.user_name
    else:
        values["aws:MultiFactorAuthPresent"] = "false"
    if caller.source_vpce:
        values["aws:SourceVpce"] = caller.source_vpce
        values["aws:SourceVpc"] = around.source_vpc or ""
    else:
        values["aws:SourceIp"] = "127.0.0.1"
    if caller.source_identity:
        values["aws:SourceIdentity"] = caller.source_identity
    if access.via:
        values["aws:CalledVia"] = [f"{access.via}.amazonaws.com"]
    values |= {f"aws:PrincipalTag/{key}": value for key, value in principal.tags.items()}
    values |= {f"aws:ResourceTag/{key}": value for key, value in resource_tags.items()}
    prefix = access.action.split(":", 1)[0]
    values |= {f"{prefix}:ResourceTag/{key}": value for key, value in resource_tags.items()}
    request_tags = _request_tags(call.params)
    if request_tags:
        values |= {f"aws:RequestTag/{key}": value for key, value in request_tags.items()}
        values["aws:TagKeys"] = sorted(request_tags)
    if access.via is None:
        values |= _service_keys(call, access, caller.account, condition_keys)
    if access.action.startswith("kms:"):
        values |= _kms_keys(call, access, caller.account)
    return values


def times(principal: Principal) -> dict[str, Value]:
    """The keys that change with the clock; given only to policies that mention them."""
    now = dt.datetime.now(dt.UTC)
    values: dict[str, Value] = {
        "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:EpochTime": str(int(now.timestamp())),
    }
    if principal.issued:
        values["aws:TokenIssueTime"] = principal.issued.strftime("%Y-%m-%dT%H:%M:%SZ")
    return values


def _request_tags(params: Params) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("Tags", "tags", "TagList", "TagSpecifications", "Tagging", "ResourceTags"):
        value = params.get(name)
        if isinstance(value, dict):
            items = cast(dict[str, Any], value)
            if "TagSet" in items:
                found |= _request_tags({"Tags": items["TagSet"]})
            elif all(isinstance(item, str) for item in items.values()):
                found |= items
        elif isinstance(value, list):
            for tag in cast(list[Any], value):
                if not isinstance(tag, dict):
                    continue
                entry = cast(dict[str, Any], tag)
                if "Tags" in entry:
                    found |= _request_tags({"Tags": entry["Tags"]})
                    continue
                key = entry.get("Key", entry.get("key", entry.get("TagKey")))
                if isinstance(key, str):
                    text = entry.get("Value", entry.get("value", entry.get("TagValue", "")))
                    found[key] = str(text)
    return found


def _service_keys(
    call: Call, access: Access, account: str, condition_keys: frozenset[str]
) -> dict[str, Value]:
    values: dict[str, Value] = {}
    prefix = access.action.split(":", 1)[0]
    for key, inputs in _FROM_INPUT.items():
        if not key.startswith(f"{prefix}:") or key not in condition_keys:
            continue
        found = [item for dotted in inputs for item in find(call.params, dotted)]
        if key == "sagemaker:VolumeKmsKeyArn" and call.operation in _VOLUME_KEY_CALLS:
            found += find({"KmsKeyId": call.params.get("KmsKeyId")}, "KmsKeyId")
        if found:
            values[key] = found if len(found) > 1 else found[0]
        elif key in _DEFAULTS:
            values[key] = _DEFAULTS[key]
        for name in _REPLACED.get(key, ()):
            if key in values:
                values[name] = values[key]
    if prefix == "s3":
        values["s3:ResourceAccount"] = access.owner
        values["s3:authType"] = "REST-HEADER"
        values["s3:signatureversion"] = "AWS4-HMAC-SHA256"
    if prefix == "ec2":
        values["ec2:Region"] = call.region
    if prefix == "iam" and "iam:PermissionsBoundary" not in values:
        name = call.params.get("RoleName")
        boundary = world.role_boundary(account, name) if isinstance(name, str) else None
        if boundary and call.operation != "CreateRole":
            values["iam:PermissionsBoundary"] = boundary
    return values


def _kms_keys(call: Call, access: Access, account: str) -> dict[str, Value]:
    values: dict[str, Value] = {"kms:CallerAccount": account}
    aliases = world.key_aliases(access.resource)
    if aliases:
        values["kms:ResourceAliases"] = aliases
    if access.via:
        values["kms:ViaService"] = f"{access.via}.{call.region}.amazonaws.com"
        if access.via == "s3":
            bucket = f"arn:aws:s3:::{call.params.get('Bucket')}"
            name = call.params.get("Key")
            values["kms:EncryptionContext:aws:s3:arn"] = f"{bucket}/{name}" if name else bucket
        return values
    key = call.params.get("KeyId")
    if isinstance(key, str) and "alias/" in key:
        values["kms:RequestAlias"] = key[key.index("alias/") :]
    given = call.params.get("EncryptionContext")
    if isinstance(given, dict):
        pairs = cast(dict[str, str], given)
        values |= {f"kms:EncryptionContext:{key}": value for key, value in pairs.items()}
        values["kms:EncryptionContextKeys"] = sorted(pairs)
    operations = call.params.get("Operations")
    if isinstance(operations, list):
        values["kms:GrantOperations"] = [str(item) for item in cast(list[Any], operations)]
    if isinstance(call.params.get("GranteePrincipal"), str):
        values["kms:GranteePrincipal"] = call.params["GranteePrincipal"]
        values["kms:GrantIsForAWSResource"] = "false"
    return values


def find(params: Any, dotted: str) -> list[str]:
    """All values at a dotted path that may begin at any depth of the input."""
    return list(_find(params, tuple(dotted.split("."))))


def _find(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _find(item, path)
    elif isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            if key == path[0]:
                yield from _at(item, path[1:])
            yield from _find(item, path)


def _at(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _at(item, path)
    elif path:
        if isinstance(value, dict) and path[0] in value:
            yield from _at(cast(dict[str, Any], value)[path[0]], path[1:])
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, str | int | float):
        yield str(value)


# Services whose inputs hold role ARNs that are not handed to the service.
_NO_PASSING = {
    "iam",
    "kms",
    "sts",
    "s3",
    "ssm",
    "organizations",
    "sns",
    "sqs",
    "ecr",
    "accessanalyzer",
}
_PASSED_TO = {
    "config": "config.amazonaws.com",
    "ec2": "vpc-flow-logs.amazonaws.com",
    "sagemaker-runtime": "sagemaker.amazonaws.com",
    "stepfunctions": "states.amazonaws.com",
}


def passed_roles(call: Call) -> list[tuple[Access, str]]:
    """The roles that a call hands to a service: ``iam:PassRole`` and the service's principal.

    Every input whose name ends in "role" or "roleArn" and whose value is a role's ARN is one, in
    all services but those that store role ARNs as data.
    """
    if call.service in _NO_PASSING:
        return []
    service = _PASSED_TO.get(call.service, f"{call.service}.amazonaws.com")
    arns = sorted(set(_roles(call.params)))
    return [(Access("iam:PassRole", arn, owner_of(arn, "")), service) for arn in arns]


def _roles(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from _roles(item, key)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _roles(item, name)
    elif (
        isinstance(value, str)
        and name.lower().endswith(("role", "rolearn", "permissionarn"))
        and value.startswith("arn:aws:iam::")
        and ":role/" in value
    ):
        yield value
