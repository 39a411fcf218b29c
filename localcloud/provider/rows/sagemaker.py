"""SageMaker: Studio, the model registry and the feature store."""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import ClientError

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
        try:
            answer = scope.call("sagemaker", operation, {"DomainId": domain, parameter: name})
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFound":
                return None
            raise
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
]  # fmt: skip
