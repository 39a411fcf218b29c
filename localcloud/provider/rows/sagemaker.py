"""SageMaker: Studio, the model registry, the feature store, and what serves models."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import cast

from botocore.exceptions import ClientError
from botocore.model import StructureShape

from localcloud.provider import schema, shapes
from localcloud.provider.crud import ResourceError
from localcloud.provider.table import Call, Props, Row, Scope, Tags

_TAGS = Tags(put="AddTags", remove="DeleteTags", listing="ListTags")

_PROFILE = {"DomainId": "{domainId}", "UserProfileName": "{userProfileName}"}
_SPACE = {"DomainId": "{domainId}", "SpaceName": "{spaceName}"}


def _domain_settings(params: Props, inputs: Props, scope: Scope) -> None:
    """An update names its domain settings in a structure of its own."""
    if "DomainSettings" in params:
        params["DomainSettingsForUpdate"] = params.pop("DomainSettings")


def _describe(
    kind: str, operation: str, second: str, parameter: str
) -> Callable[[str, Props, Scope], Props | None]:
    """Ids of profiles and spaces are ARNs: ``…:kind/<domain>/<name>``."""

    def find(id_: str, props: Props, scope: Scope) -> Props | None:
        domain, _, name = id_.partition(f":{kind}/")[2].partition("/")
        answer = scope.call("sagemaker", operation, {"DomainId": domain, parameter: name})
        found: Props = {"domainId": domain, second: name, "arn": id_}
        settings = {k: v for k, v in answer.items() if k in ("UserSettings", "SpaceSettings")}
        found.update(_settings(settings))
        for key in ("SingleSignOnUserIdentifier", "SingleSignOnUserValue", "SpaceDisplayName"):
            if answer.get(key):
                found[key[0].lower() + key[1:]] = answer[key]
        return found

    return find


def _settings(settings: Props) -> Props:
    return {key[0].lower() + key[1:]: _camel(value) for key, value in settings.items()}


def _camel(value: object) -> object:
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _camel(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_camel(item) for item in value]
    return value


def _find_group_policy(id_: str, props: Props, scope: Scope) -> Props | None:
    try:
        answer = scope.call(
            "sagemaker", "GetModelPackageGroupPolicy", {"ModelPackageGroupName": id_}
        )
    except ClientError as error:
        if "Cannot find" in str(error) or "ResourceNotFound" in str(error):
            return None
        raise
    return {"modelPackageGroupName": id_, "resourcePolicy": answer["ResourcePolicy"]}


def _find_portfolio(id_: str, props: Props, scope: Scope) -> Props | None:
    answer = scope.call("sagemaker", "GetSagemakerServicecatalogPortfolioStatus", {})
    return {"status": answer.get("Status", "Disabled")}


def _portfolio(inputs: Props, outputs: Props, scope: Scope) -> None:
    verb = "Enable" if inputs["status"] == "Enabled" else "Disable"
    scope.call("sagemaker", f"{verb}SagemakerServicecatalogPortfolio", {})


def _switch_portfolio(params: Props, inputs: Props, scope: Scope) -> None:
    _portfolio(inputs, {}, scope)


def _features(found: Props, answer: Props, scope: Scope) -> None:
    found["featureDefinitions"] = [
        {"featureName": item["FeatureName"], "featureType": item["FeatureType"]}
        for item in answer["FeatureDefinitions"]
    ]


def _no_resolved_uri(found: Props, answer: Props, scope: Scope) -> None:
    _features(found, answer, scope)
    store = (found.get("offlineStoreConfig") or {}).get("s3StorageConfig") or {}
    store.pop("resolvedOutputS3Uri", None)


def _pipeline_token(params: Props, inputs: Props, scope: Scope) -> None:
    params["ClientRequestToken"] = uuid.uuid4().hex


def _pipeline_deletion(params: Props, props: Props, scope: Scope) -> None:
    params["ClientRequestToken"] = uuid.uuid4().hex


_ENDPOINT_SECONDS = 3600
_ON_THE_WAY = ("Creating", "Updating", "SystemUpdating", "RollingBack")


def _wait_for_endpoint(name: str, scope: Scope) -> None:
    """Until the endpoint is in service, as the real provider waits.

    Like the real one it takes a rolled-back update, whose endpoint is in service again with its old
    configuration, for done: who deploys has to compare.

    Raises:
        ResourceError: The endpoint failed, or is not done in an hour.
    """
    end, pause = time.monotonic() + _ENDPOINT_SECONDS, 0.05
    while True:
        found = scope.call("sagemaker", "DescribeEndpoint", {"EndpointName": name})
        status = found["EndpointStatus"]
        if status == "InService":
            return
        if status not in _ON_THE_WAY:
            why = found.get("FailureReason") or "SageMaker gives no reason"
            raise ResourceError(f"the endpoint {name} is {status}: {why}")
        if time.monotonic() > end:
            raise ResourceError(f"the endpoint {name} is still {status} after an hour")
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _wait_for_update(params: Props, inputs: Props, scope: Scope) -> None:
    _wait_for_endpoint(params["EndpointName"], scope)


def _wait_for_creation(inputs: Props, outputs: Props, scope: Scope) -> None:
    _wait_for_endpoint(inputs["name"], scope)


def _last_deployment(found: Props, answer: Props, scope: Scope) -> None:
    """An endpoint tells its deployment configuration under the name of the last one."""
    known = schema.schema("aws:sagemaker/endpoint:Endpoint")
    kind = known.inputs["deploymentConfig"].fields if known is not None else None
    if kind is not None and answer.get("LastDeploymentConfig"):
        shape = shapes.service_model("sagemaker").shape_for("DeploymentConfig")
        found["deploymentConfig"] = shapes.properties(
            answer["LastDeploymentConfig"], cast(StructureShape, shape), kind, {}
        )


_PORTFOLIO_STATUS = Call("GetSagemakerServicecatalogPortfolioStatus", only=(), takes=("status",))

ROWS = [
    Row(
        token="aws:sagemaker/domain:Domain",
        service="sagemaker",
        create=Call("CreateDomain"),
        id="{domainId}",
        read=Call("DescribeDomain", by={"DomainId": "{id}"}),
        update=(
            Call(
                "UpdateDomain",
                by={"DomainId": "{id}"},
                only=(
                    "defaultUserSettings", "defaultSpaceSettings", "appSecurityGroupManagement",
                    "appNetworkAccessType", "subnetIds", "tagPropagation",
                ),
                prepare=_domain_settings,
            ),
        ),
        delete=Call(
            "DeleteDomain",
            by={"DomainId": "{id}"},
            prepare=lambda params, props, scope: params.update(
                RetentionPolicy={
                    "HomeEfsFileSystem": (props.get("retentionPolicy") or {}).get(
                        "homeEfsFileSystem", "Retain"
                    )
                }
            ),
        ),
        replace=("domainName", "authMode", "vpcId", "kmsKeyId", "domainSettings"),
        defaults={"appNetworkAccessType": "PublicInternetOnly"},
        ignored={"retentionPolicy": "decides what a delete does with the home file system"},
        computed={
            "domainId": "DomainId",
            "arn": "DomainArn",
            "url": "Url",
            "homeEfsFileSystemId": "HomeEfsFileSystemId",
        },
        parts=("domainId",),
        separator="|",
        tags=_TAGS,
        gone=("ResourceNotFound",),
    ),
    Row(
        token="aws:sagemaker/userProfile:UserProfile",
        service="sagemaker",
        create=Call("CreateUserProfile"),
        id="{arn}",
        find=_describe("user-profile", "DescribeUserProfile", "userProfileName", "UserProfileName"),
        update=(Call("UpdateUserProfile", by=_PROFILE, only=("userSettings",)),),
        delete=Call("DeleteUserProfile", by=_PROFILE),
        replace=(
            "domainId", "userProfileName", "singleSignOnUserIdentifier", "singleSignOnUserValue",
        ),
        computed={"arn": "UserProfileArn"},
        tags=_TAGS,
        gone=("ResourceNotFound",),
    ),
    Row(
        token="aws:sagemaker/space:Space",
        service="sagemaker",
        create=Call("CreateSpace"),
        id="{arn}",
        find=_describe("space", "DescribeSpace", "spaceName", "SpaceName"),
        update=(Call("UpdateSpace", by=_SPACE, only=("spaceSettings", "spaceDisplayName")),),
        delete=Call("DeleteSpace", by=_SPACE),
        replace=("domainId", "spaceName", "ownershipSettings", "spaceSharingSettings"),
        computed={"arn": "SpaceArn"},
        tags=_TAGS,
        gone=("ResourceNotFound",),
    ),
    Row(
        token="aws:sagemaker/studioLifecycleConfig:StudioLifecycleConfig",
        service="sagemaker",
        create=Call("CreateStudioLifecycleConfig"),
        id="{studioLifecycleConfigName}",
        read=Call("DescribeStudioLifecycleConfig", by={"StudioLifecycleConfigName": "{id}"}),
        delete=Call("DeleteStudioLifecycleConfig", by={"StudioLifecycleConfigName": "{id}"}),
        replace=(
            "studioLifecycleConfigName", "studioLifecycleConfigAppType",
            "studioLifecycleConfigContent",
        ),
        computed={"arn": "StudioLifecycleConfigArn"},
        tags=_TAGS,
        gone=("ResourceNotFound",),
    ),
    Row(
        token="aws:sagemaker/modelPackageGroup:ModelPackageGroup",
        service="sagemaker",
        create=Call("CreateModelPackageGroup"),
        id="{modelPackageGroupName}",
        read=Call("DescribeModelPackageGroup", by={"ModelPackageGroupName": "{id}"}),
        delete=Call("DeleteModelPackageGroup", by={"ModelPackageGroupName": "{id}"}),
        replace=("modelPackageGroupName", "modelPackageGroupDescription"),
        computed={"arn": "ModelPackageGroupArn"},
        tags=_TAGS,
        gone=("ResourceNotFound", "ValidationException"),
    ),
    Row(
        token="aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy",
        service="sagemaker",
        create=Call("PutModelPackageGroupPolicy"),
        id="{modelPackageGroupName}",
        find=_find_group_policy,
        update=(Call("PutModelPackageGroupPolicy"),),
        delete=Call("DeleteModelPackageGroupPolicy", by={"ModelPackageGroupName": "{id}"}),
        replace=("modelPackageGroupName",),
        gone=("ResourceNotFound", "ValidationException"),
    ),
    Row(
        token="aws:sagemaker/featureGroup:FeatureGroup",
        service="sagemaker",
        create=Call("CreateFeatureGroup"),
        id="{featureGroupName}",
        read=Call("DescribeFeatureGroup", by={"FeatureGroupName": "{id}"}),
        delete=Call("DeleteFeatureGroup", by={"FeatureGroupName": "{id}"}),
        observe=_no_resolved_uri,
        filled={"offlineStoreConfig.dataCatalogConfig": None, "throughputConfig": None},
        replace=(
            "featureGroupName", "recordIdentifierFeatureName", "eventTimeFeatureName", "roleArn",
            "description", "featureDefinitions", "onlineStoreConfig", "offlineStoreConfig",
            "throughputConfig",
        ),
        computed={"arn": "FeatureGroupArn"},
        tags=_TAGS,
        gone=("ResourceNotFound",),
    ),
    Row(
        token="aws:sagemaker/servicecatalogPortfolioStatus:ServicecatalogPortfolioStatus",
        service="sagemaker",
        create=_PORTFOLIO_STATUS,
        id="{region}",
        find=_find_portfolio,
        update=(
            Call(
                "GetSagemakerServicecatalogPortfolioStatus",
                only=(),
                prepare=_switch_portfolio,
                takes=("status",),
            ),
        ),
        after=_portfolio,
    ),
    Row(
        token="aws:sagemaker/pipeline:Pipeline",
        service="sagemaker",
        create=Call("CreatePipeline", prepare=_pipeline_token),
        id="{pipelineName}",
        read=Call("DescribePipeline", by={"PipelineName": "{id}"}),
        update=(
            Call(
                "UpdatePipeline",
                by={"PipelineName": "{id}"},
                only=(
                    "pipelineDisplayName", "pipelineDescription", "pipelineDefinition", "roleArn",
                    "parallelismConfiguration",
                ),
            ),
        ),
        delete=Call("DeletePipeline", by={"PipelineName": "{id}"}, prepare=_pipeline_deletion),
        replace=("pipelineName",),
        computed={"arn": "PipelineArn"},
        tags=_TAGS,
        gone=("ResourceNotFound",),
    ),
    Row(
        token="aws:sagemaker/model:Model",
        service="sagemaker",
        create=Call("CreateModel"),
        id="{name}",
        read=Call("DescribeModel", by={"ModelName": "{id}"}),
        delete=Call("DeleteModel", by={"ModelName": "{id}"}),
        rename={"name": "ModelName"},
        name="name",
        prefix="",
        replace=(
            "name", "executionRoleArn", "primaryContainer", "containers", "vpcConfig",
            "enableNetworkIsolation", "inferenceExecutionConfig",
        ),
        filled={"primaryContainer.mode": "SingleModel", "containers.mode": "SingleModel"},
        computed={"arn": "ModelArn"},
        tags=_TAGS,
        gone=("ValidationException", "ResourceNotFound"),
    ),
    Row(
        token="aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        service="sagemaker",
        create=Call("CreateEndpointConfig"),
        id="{name}",
        read=Call("DescribeEndpointConfig", by={"EndpointConfigName": "{id}"}),
        delete=Call("DeleteEndpointConfig", by={"EndpointConfigName": "{id}"}),
        rename={"name": "EndpointConfigName", "kmsKeyArn": "KmsKeyId"},
        name="name",
        replace=(
            "name", "namePrefix", "productionVariants", "shadowProductionVariants", "kmsKeyArn",
            "dataCaptureConfig", "asyncInferenceConfig", "executionRoleArn",
        ),
        filled={
            "productionVariants.initialVariantWeight": 1,
            "shadowProductionVariants.initialVariantWeight": 1,
        },
        computed={"arn": "EndpointConfigArn"},
        tags=_TAGS,
        gone=("ValidationException", "ResourceNotFound"),
    ),
    Row(
        token="aws:sagemaker/endpoint:Endpoint",
        service="sagemaker",
        create=Call("CreateEndpoint"),
        id="{name}",
        read=Call("DescribeEndpoint", by={"EndpointName": "{id}"}),
        update=(
            Call(
                "UpdateEndpoint",
                by={"EndpointName": "{id}"},
                only=("endpointConfigName", "deploymentConfig"),
            ),
            Call(
                "DescribeEndpoint",
                by={"EndpointName": "{id}"},
                only=(),
                takes=("endpointConfigName", "deploymentConfig"),
                prepare=_wait_for_update,
            ),
        ),
        delete=Call("DeleteEndpoint", by={"EndpointName": "{id}"}),
        rename={"name": "EndpointName"},
        name="name",
        prefix="",
        replace=("name",),
        computed={"arn": "EndpointArn"},
        observe=_last_deployment,
        unread={"deploymentConfig": "an endpoint that was never changed has none to tell"},
        after=_wait_for_creation,
        tags=_TAGS,
        gone=("ValidationException", "ResourceNotFound"),
    ),
    Row(
        token="aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition",
        service="sagemaker",
        create=Call("CreateDataQualityJobDefinition"),
        id="{name}",
        read=Call("DescribeDataQualityJobDefinition", by={"JobDefinitionName": "{id}"}),
        delete=Call("DeleteDataQualityJobDefinition", by={"JobDefinitionName": "{id}"}),
        rename={"name": "JobDefinitionName"},
        name="name",
        replace=(
            "name", "dataQualityAppSpecification", "dataQualityJobInput",
            "dataQualityJobOutputConfig", "dataQualityBaselineConfig", "jobResources",
            "networkConfig", "roleArn", "stoppingCondition",
        ),
        computed={"arn": "JobDefinitionArn"},
        tags=_TAGS,
        gone=("ResourceNotFound",),
    ),
    Row(
        token="aws:sagemaker/monitoringSchedule:MonitoringSchedule",
        service="sagemaker",
        create=Call("CreateMonitoringSchedule"),
        id="{name}",
        read=Call("DescribeMonitoringSchedule", by={"MonitoringScheduleName": "{id}"}),
        update=(
            Call(
                "UpdateMonitoringSchedule",
                by={"MonitoringScheduleName": "{id}"},
                only=("monitoringScheduleConfig",),
            ),
        ),
        delete=Call("DeleteMonitoringSchedule", by={"MonitoringScheduleName": "{id}"}),
        rename={"name": "MonitoringScheduleName"},
        name="name",
        replace=("name",),
        computed={"arn": "MonitoringScheduleArn"},
        tags=_TAGS,
        gone=("ResourceNotFound",),
    ),
]  # fmt: skip
