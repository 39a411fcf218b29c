"""For every row of the provider: inputs to create it, a change, and what it needs beside it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

ACCOUNT = "222222222222"
REGION = "eu-west-1"
DOCUMENT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "A", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
)
OTHER_DOCUMENT = DOCUMENT.replace("GetObject", "PutObject")


def trust(service: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "T",
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    )


def resource_policy(action: str, resource: str = "*") -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "R",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                    "Action": action,
                    "Resource": resource,
                }
            ],
        }
    )


def archive(source: str) -> dict[str, Any]:
    """An archive of one Python file, as the engine hands it to providers."""
    signature = "4dabf18193072939515e22adb298388d"
    digest = hashlib.sha256(source.encode()).hexdigest()
    asset = {signature: "c44067f5952c0a294b673a41bacd8c17", "text": source, "hash": digest}
    return {
        signature: "0def7320c3a5731c473e5ecbe6d01bc7",
        "assets": {"main.py": asset},
        "hash": digest,
    }


LOG_DELIVERY = resource_policy("s3:PutObject", "arn:aws:s3:::sample-logs/*").replace(
    f'"AWS": "arn:aws:iam::{ACCOUNT}:root"', '"Service": "logging.s3.amazonaws.com"'
)
ENDPOINT_POLICY = DOCUMENT.replace('"Action"', '"Principal": "*", "Action"')
OTHER_ENDPOINT_POLICY = ENDPOINT_POLICY.replace("GetObject", "PutObject")

# An endpoint needs a model that can be served; the test puts it there.
SKLEARN = f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
MONITOR = f"468650794304.dkr.ecr.{REGION}.amazonaws.com/sagemaker-model-monitor-analyzer"
STOPPING = json.dumps(
    {
        "Version": "2020-12-01",
        "Parameters": [{"Name": "InputKey", "Type": "String", "DefaultValue": "all"}],
        "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "never"}}],
    }
)
MODEL_DATA = "s3://sample-models/model.tar.gz"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sample-role"

TEMPLATE = json.dumps(
    {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "A product",
        "Resources": {
            "Made": {
                "Type": "Custom::Thing",
                "Properties": {
                    "ServiceToken": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:sample-function"
                },
            }
        },
    }
)
TEMPLATE_URL = f"https://sample-objects.s3.{REGION}.amazonaws.com/templates/product.json"

# token -> (logical name of the sample, inputs, a change in place or None). A value "@name.property"
# is an output of an earlier sample, "@name" its id. The order is the order of creation.


def quality_state() -> str:
    """A definition of jobs of model quality, as Cloud Control API takes it."""
    state = {
        "ModelQualityAppSpecification": {"ImageUri": MONITOR, "ProblemType": "Regression"},
        "ModelQualityBaselineConfig": {
            "ConstraintsResource": {"S3Uri": "s3://sample-bucket/constraints.json"}
        },
        "ModelQualityJobInput": {
            "EndpointInput": {
                "EndpointName": "sample-endpoint", "LocalPath": "/opt/ml/processing/input",
                "InferenceAttribute": "0",
            },
            "GroundTruthS3Input": {"S3Uri": "s3://sample-bucket/ground-truth"},
        },
        "ModelQualityJobOutputConfig": {
            "MonitoringOutputs": [
                {
                    "S3Output": {
                        "S3Uri": "s3://sample-bucket/reports", "LocalPath": "/opt/ml/processing/o",
                    }
                }
            ]
        },
        "JobResources": {
            "ClusterConfig": {
                "InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 20,
            }
        },
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/sample-model",
        "Tags": [{"Key": "a", "Value": "b"}],
    }  # fmt: skip
    return json.dumps({"JobDefinitionName": "sample-quality", **state})


SAMPLES: list[tuple[str, str, dict[str, Any], dict[str, Any] | None]] = [
    ("aws:kms/key:Key", "key", {"description": "a", "enableKeyRotation": True, "policy": resource_policy("kms:*")}, {"description": "b", "enableKeyRotation": False}),
    ("aws:kms/key:Key", "otherkey", {"description": "other"}, None),
    ("aws:kms/alias:Alias", "alias", {"name": "alias/sample", "targetKeyId": "@key.keyId"}, None),
    ("aws:iam/role:Role", "role", {"name": "sample-role", "assumeRolePolicy": trust("sagemaker.amazonaws.com"), "tags": {"a": "b"}}, {"assumeRolePolicy": trust("lambda.amazonaws.com"), "tags": {"a": "c"}}),
    ("aws:iam/role:Role", "modelrole", {"name": "sample-model", "assumeRolePolicy": trust("sagemaker.amazonaws.com")}, None),
    ("aws:iam/rolePolicy:RolePolicy", "rolepolicy", {"name": "inline", "role": "@role", "policy": DOCUMENT}, {"policy": OTHER_DOCUMENT}),
    ("aws:iam/policy:Policy", "policy", {"name": "sample", "policy": DOCUMENT}, {"policy": OTHER_DOCUMENT}),
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "attachment", {"role": "@role", "policyArn": "@policy.arn"}, None),
    ("aws:iam/accountPasswordPolicy:AccountPasswordPolicy", "passwords", {"minimumPasswordLength": 14, "requireNumbers": True}, {"minimumPasswordLength": 16}),
    ("aws:iam/openIdConnectProvider:OpenIdConnectProvider", "oidc", {"url": "https://token.actions.example.com", "clientIdLists": ["sts.amazonaws.com"], "thumbprintLists": ["a" * 40]}, {"thumbprintLists": ["b" * 40]}),
    ("aws:s3/bucket:Bucket", "bucket", {"bucket": "sample-bucket", "tags": {"a": "b"}}, {"tags": {"a": "c"}}),
    ("aws:s3/bucket:Bucket", "logbucket", {"bucket": "sample-logs", "forceDestroy": True}, None),
    ("aws:s3/bucket:Bucket", "objectbucket", {"bucket": "sample-objects"}, None),
    ("aws:s3/bucketVersioning:BucketVersioning", "versioning", {"bucket": "@bucket", "versioningConfiguration": {"status": "Enabled"}}, {"versioningConfiguration": {"status": "Suspended"}}),
    ("aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration", "encryption", {"bucket": "@bucket", "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "@key.arn"}, "bucketKeyEnabled": True}]}, {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]}),
    ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "block", {"bucket": "@bucket", "blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True, "restrictPublicBuckets": True}, {"blockPublicAcls": False}),
    ("aws:s3/bucketPolicy:BucketPolicy", "bucketpolicy", {"bucket": "@bucket", "policy": resource_policy("s3:GetObject", "arn:aws:s3:::sample-bucket/*")}, {"policy": resource_policy("s3:PutObject", "arn:aws:s3:::sample-bucket/*")}),
    ("aws:s3/bucketOwnershipControls:BucketOwnershipControls", "ownership", {"bucket": "@bucket", "rule": {"objectOwnership": "BucketOwnerEnforced"}}, {"rule": {"objectOwnership": "BucketOwnerPreferred"}}),
    ("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "lifecycle", {"bucket": "@bucket", "rules": [{"id": "r", "status": "Enabled", "filter": {"prefix": ""}, "noncurrentVersionExpiration": {"noncurrentDays": 30}, "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7}}]}, {"rules": [{"id": "r", "status": "Enabled", "filter": {"prefix": ""}, "expiration": {"days": 90}}]}),
    ("aws:s3/bucketPolicy:BucketPolicy", "logpolicy", {"bucket": "@logbucket", "policy": LOG_DELIVERY}, None),
    ("aws:s3/bucketLogging:BucketLogging", "logging", {"bucket": "@bucket", "targetBucket": "@logbucket", "targetPrefix": "a/"}, {"targetPrefix": "b/"}),
    ("aws:s3/bucketCorsConfiguration:BucketCorsConfiguration", "cors", {"bucket": "@bucket", "corsRules": [{"allowedMethods": ["GET"], "allowedOrigins": ["https://*.example.com"]}]}, {"corsRules": [{"id": "a", "allowedMethods": ["GET", "HEAD"], "allowedOrigins": ["*"], "allowedHeaders": ["*"], "exposeHeaders": ["ETag"], "maxAgeSeconds": 60}]}),
    ("aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock", "accountblock", {"accountId": ACCOUNT, "blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True, "restrictPublicBuckets": True}, {"blockPublicAcls": False}),
    ("aws:ec2/vpc:Vpc", "vpc", {"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "x"}}, {"enableDnsHostnames": False}),
    ("aws:ec2/vpc:Vpc", "othervpc", {"cidrBlock": "10.2.0.0/16"}, None),
    ("aws:ec2/subnet:Subnet", "subnet", {"vpcId": "@vpc", "cidrBlock": "10.0.0.0/24", "availabilityZone": "eu-west-1a"}, {"mapPublicIpOnLaunch": True}),
    ("aws:ec2/subnet:Subnet", "othersubnet", {"vpcId": "@vpc", "cidrBlock": "10.0.8.0/24", "availabilityZone": "eu-west-1b"}, None),
    ("aws:ec2/routeTable:RouteTable", "table", {"vpcId": "@vpc"}, {"tags": {"a": "b"}}),
    ("aws:ec2/routeTableAssociation:RouteTableAssociation", "association", {"routeTableId": "@table", "subnetId": "@subnet"}, None),
    ("aws:ec2/internetGateway:InternetGateway", "gateway", {"vpcId": "@vpc"}, {"tags": {"a": "b"}}),
    ("aws:ec2/route:Route", "route", {"routeTableId": "@table", "destinationCidrBlock": "0.0.0.0/0", "gatewayId": "@gateway"}, None),
    ("aws:ec2/eip:Eip", "eip", {"domain": "vpc"}, {"tags": {"a": "b"}}),
    ("aws:ec2/eip:Eip", "othereip", {"domain": "vpc"}, None),
    ("aws:ec2/natGateway:NatGateway", "nat", {"subnetId": "@subnet", "allocationId": "@eip"}, {"tags": {"a": "b"}}),
    ("aws:ec2/securityGroup:SecurityGroup", "group", {"vpcId": "@vpc", "description": "d", "ingress": [{"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": ["10.0.0.0/16"]}]}, {"ingress": [{"protocol": "tcp", "fromPort": 444, "toPort": 444, "self": True}]}),
    ("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "defaultgroup", {"vpcId": "@vpc"}, {"tags": {"a": "b"}}),
    ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "ingress", {"securityGroupId": "@defaultgroup", "ipProtocol": "tcp", "fromPort": 1, "toPort": 2, "cidrIpv4": "10.0.0.0/24"}, {"tags": {"a": "b"}}),
    ("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "egress", {"securityGroupId": "@group", "ipProtocol": "-1", "referencedSecurityGroupId": "@group"}, None),
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "gatewayendpoint", {"vpcId": "@vpc", "serviceName": "com.amazonaws.eu-west-1.s3", "vpcEndpointType": "Gateway", "routeTableIds": ["@table"], "policy": ENDPOINT_POLICY}, {"policy": OTHER_ENDPOINT_POLICY}),
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "interfaceendpoint", {"vpcId": "@vpc", "serviceName": "com.amazonaws.eu-west-1.kms", "serviceRegion": REGION, "vpcEndpointType": "Interface", "subnetIds": ["@subnet"], "securityGroupIds": ["@group"], "privateDnsEnabled": True, "policy": ENDPOINT_POLICY}, {"policy": OTHER_ENDPOINT_POLICY}),
    ("aws:cloudwatch/logGroup:LogGroup", "loggroup", {"name": "/sample", "retentionInDays": 30, "kmsKeyId": "@key.arn"}, {"retentionInDays": 60}),
    ("aws:cloudwatch/logMetricFilter:LogMetricFilter", "metricfilter", {"name": "sample-filter", "logGroupName": "@loggroup.name", "pattern": '{ $.outcome = "failed" }', "metricTransformation": {"name": "Failed", "namespace": "sample", "value": "1", "unit": "Count"}}, {"pattern": '{ $.outcome = "refused" }', "metricTransformation": {"name": "Refused", "namespace": "sample", "value": "1", "defaultValue": "0"}}),
    ("aws:cloudwatch/metricAlarm:MetricAlarm", "alarm", {"name": "sample", "comparisonOperator": "GreaterThanThreshold", "evaluationPeriods": 1, "metricName": "m", "namespace": "n", "period": 60, "statistic": "Sum", "threshold": 1, "dimensions": {"a": "b"}}, {"threshold": 2}),
    ("aws:ec2/flowLog:FlowLog", "flowlog", {"vpcId": "@vpc", "trafficType": "ALL", "logDestination": "@loggroup.arn", "iamRoleArn": "@role.arn", "maxAggregationInterval": 60}, {"tags": {"a": "b"}}),
    ("aws:ebs/encryptionByDefault:EncryptionByDefault", "ebs", {"enabled": True}, None),
    ("aws:ebs/defaultKmsKey:DefaultKmsKey", "ebskey", {"keyArn": "@key.arn"}, None),
    ("aws:ssm/parameter:Parameter", "parameter", {"name": "/sample/a", "type": "String", "value": "x", "description": "d"}, {"value": "y"}),
    ("aws:sns/topic:Topic", "topic", {"name": "sample", "kmsMasterKeyId": "@key"}, {"displayName": "shown"}),
    ("aws:sns/topic:Topic", "othertopic", {"name": "sample-other"}, None),
    ("aws:sns/topicPolicy:TopicPolicy", "topicpolicy", {"arn": "@topic", "policy": resource_policy("sns:Publish", f"arn:aws:sns:{REGION}:{ACCOUNT}:sample")}, {"policy": resource_policy("sns:Subscribe", f"arn:aws:sns:{REGION}:{ACCOUNT}:sample")}),
    ("aws:sns/topicSubscription:TopicSubscription", "subscription", {"topic": "@topic", "protocol": "email", "endpoint": "team@example.com"}, None),
    ("aws:cloudwatch/metricAlarm:MetricAlarm", "slowalarm", {"name": "sample-slow", "comparisonOperator": "GreaterThanThreshold", "evaluationPeriods": 3, "datapointsToAlarm": 2, "metricName": "m", "namespace": "n", "period": 60, "extendedStatistic": "p99", "threshold": 1, "treatMissingData": "notBreaching", "alarmDescription": "d", "alarmActions": ["@topic"], "okActions": ["@topic"]}, {"threshold": 2}),
    ("aws:budgets/budget:Budget", "budget", {"name": "sample", "budgetType": "COST", "limitAmount": "100", "limitUnit": "USD", "timeUnit": "MONTHLY", "costFilters": [{"name": "TagKeyValue", "values": ["user:cost-centre$ml"]}], "notifications": [{"comparisonOperator": "GREATER_THAN", "threshold": 80, "thresholdType": "PERCENTAGE", "notificationType": "ACTUAL", "subscriberEmailAddresses": ["team@example.com"], "subscriberSnsTopicArns": ["@topic"]}, {"comparisonOperator": "GREATER_THAN", "threshold": 100, "thresholdType": "PERCENTAGE", "notificationType": "FORECASTED", "subscriberEmailAddresses": ["b@example.com", "a@example.com"]}]}, {"limitAmount": "200", "costFilters": [{"name": "TagKeyValue", "values": ["user:cost-centre$ml", "user:cost-centre$research"]}]}),
    ("aws:cloudtrail/trail:Trail", "trail", {"name": "sample", "s3BucketName": "@bucket", "isMultiRegionTrail": True, "enableLogFileValidation": True}, {"enableLogFileValidation": False}),
    ("aws:accessanalyzer/analyzer:Analyzer", "analyzer", {"analyzerName": "sample"}, {"tags": {"a": "b"}}),
    ("aws:cfg/recorder:Recorder", "recorder", {"name": "sample", "roleArn": "@role.arn", "recordingGroup": {"allSupported": True, "includeGlobalResourceTypes": True}}, None),
    ("aws:cfg/deliveryChannel:DeliveryChannel", "channel", {"name": "sample", "s3BucketName": "@bucket"}, None),
    ("aws:cfg/recorderStatus:RecorderStatus", "recording", {"name": "@recorder", "isEnabled": True}, {"isEnabled": False}),
    ("aws:guardduty/detector:Detector", "detector", {"enable": True}, {"findingPublishingFrequency": "ONE_HOUR"}),
    ("aws:securityhub/account:Account", "hub", {}, None),
    ("aws:ecr/repository:Repository", "repository", {"name": "sample", "imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": True}, "encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": "@key.arn"}]}, {"imageTagMutability": "MUTABLE"}),
    ("aws:ecr/repository:Repository", "otherrepository", {"name": "sample-other"}, None),
    ("aws:ecr/repositoryPolicy:RepositoryPolicy", "repositorypolicy", {"repository": "@repository", "policy": resource_policy("ecr:BatchGetImage")}, {"policy": resource_policy("ecr:PutImage")}),
    ("aws:ecr/lifecyclePolicy:LifecyclePolicy", "repositorylifecycle", {"repository": "@repository", "policy": json.dumps({"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}, "action": {"type": "expire"}}]})}, None),
    ("aws:athena/workgroup:Workgroup", "workgroup", {"name": "sample", "state": "DISABLED", "configuration": {"enforceWorkgroupConfiguration": True, "resultConfiguration": {"outputLocation": "s3://sample-bucket/athena/", "encryptionConfiguration": {"encryptionOption": "SSE_KMS", "kmsKeyArn": "@key.arn"}}}}, {"description": "changed", "configuration": {"enforceWorkgroupConfiguration": False, "resultConfiguration": {"outputLocation": "s3://sample-bucket/other/"}}}),
    ("aws:glue/catalogDatabase:CatalogDatabase", "database", {"name": "sample", "description": "d"}, {"description": "e"}),
    ("aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings", "catalog", {"dataCatalogEncryptionSettings": {"connectionPasswordEncryption": {"returnConnectionPasswordEncrypted": True, "awsKmsKeyId": "@key.arn"}, "encryptionAtRest": {"catalogEncryptionMode": "SSE-KMS", "sseAwsKmsKeyId": "@key.arn"}}}, None),
    ("aws:glue/securityConfiguration:SecurityConfiguration", "glueconfiguration", {"name": "sample", "encryptionConfiguration": {"cloudwatchEncryption": {"cloudwatchEncryptionMode": "SSE-KMS", "kmsKeyArn": "@key.arn"}, "jobBookmarksEncryption": {"jobBookmarksEncryptionMode": "CSE-KMS", "kmsKeyArn": "@key.arn"}, "s3Encryption": {"s3EncryptionMode": "SSE-KMS", "kmsKeyArn": "@key.arn"}}}, None),
    ("aws:lakeformation/dataLakeSettings:DataLakeSettings", "lakesettings", {"admins": ["@role.arn"], "createDatabaseDefaultPermissions": [], "createTableDefaultPermissions": []}, {"admins": [], "createTableDefaultPermissions": [{"principal": "IAM_ALLOWED_PRINCIPALS", "permissions": ["ALL"]}]}),
    ("aws:lakeformation/resource:Resource", "lakeresource", {"arn": "@bucket.arn", "roleArn": "@role.arn"}, None),
    ("aws:lakeformation/permissions:Permissions", "grant", {"principal": "@role.arn", "permissions": ["DESCRIBE"], "database": {"name": "@database.name"}}, None),
    ("aws:datazone/domain:Domain", "datazone", {"name": "sample", "domainExecutionRole": "@role.arn"}, {"description": "d"}),
    ("aws:sagemaker/studioLifecycleConfig:StudioLifecycleConfig", "lifecycleconfig", {"studioLifecycleConfigName": "sample", "studioLifecycleConfigAppType": "JupyterLab", "studioLifecycleConfigContent": "ZWNobyBoaQ=="}, {"tags": {"a": "b"}}),
    ("aws:sagemaker/domain:Domain", "domain", {"domainName": "sample", "authMode": "IAM", "vpcId": "@vpc", "subnetIds": ["@subnet"], "appNetworkAccessType": "VpcOnly", "kmsKeyId": "@key", "defaultUserSettings": {"executionRole": "@role.arn", "jupyterLabAppSettings": {"appLifecycleManagement": {"idleSettings": {"lifecycleManagement": "ENABLED", "idleTimeoutInMinutes": 60}}, "lifecycleConfigArns": ["@lifecycleconfig.arn"]}}, "defaultSpaceSettings": {"executionRole": "@role.arn"}, "retentionPolicy": {"homeEfsFileSystem": "Delete"}}, {"defaultUserSettings": {"executionRole": "@role.arn", "jupyterLabAppSettings": {"appLifecycleManagement": {"idleSettings": {"lifecycleManagement": "ENABLED", "idleTimeoutInMinutes": 90}}}}}),
    ("aws:sagemaker/userProfile:UserProfile", "profile", {"domainId": "@domain", "userProfileName": "ana", "userSettings": {"executionRole": "@role.arn"}}, {"userSettings": {"executionRole": "@role.arn", "studioWebPortal": "ENABLED"}}),
    ("aws:sagemaker/space:Space", "space", {"domainId": "@domain", "spaceName": "shared"}, {"spaceDisplayName": "Shared"}),
    ("aws:sagemaker/modelPackageGroup:ModelPackageGroup", "modelgroup", {"modelPackageGroupName": "sample", "modelPackageGroupDescription": "d"}, {"tags": {"a": "b"}}),
    ("aws:sagemaker/modelPackageGroup:ModelPackageGroup", "othermodelgroup", {"modelPackageGroupName": "sample-other"}, None),
    ("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy", "modelgrouppolicy", {"modelPackageGroupName": "@modelgroup", "resourcePolicy": resource_policy("sagemaker:DescribeModelPackageGroup")}, {"resourcePolicy": resource_policy("sagemaker:ListModelPackages")}),
    ("aws:organizations/account:Account", "account", {"name": "sample", "email": "sample@example.com", "roleName": "Access", "closeOnDeletion": False, "tags": {"a": "b"}}, {"parentId": "@unit", "tags": {"a": "c"}}),
    ("aws:ram/resourceShare:ResourceShare", "share", {"name": "sample", "allowExternalPrincipals": False, "permissionArns": ["arn:aws:ram::aws:permission/AWSRAMPermissionSageMakerModelPackageGroupAllowDeploy"], "tags": {"a": "b"}}, {"name": "other", "tags": {"a": "c"}}),
    ("aws:ram/resourceAssociation:ResourceAssociation", "sharedgroup", {"resourceShareArn": "@share", "resourceArn": "@modelgroup.arn"}, None),
    ("aws:ram/principalAssociation:PrincipalAssociation", "sharedwith", {"resourceShareArn": "@share", "principal": "333333333333"}, None),
    ("aws:sagemaker/featureGroup:FeatureGroup", "featuregroup", {"featureGroupName": "sample", "recordIdentifierFeatureName": "id", "eventTimeFeatureName": "time", "roleArn": "@role.arn", "featureDefinitions": [{"featureName": "id", "featureType": "String"}, {"featureName": "time", "featureType": "String"}], "offlineStoreConfig": {"s3StorageConfig": {"s3Uri": "s3://sample-bucket/features", "kmsKeyId": "@key.arn"}}, "onlineStoreConfig": {"enableOnlineStore": True, "securityConfig": {"kmsKeyId": "@key.arn"}}}, {"tags": {"a": "b"}}),
    ("aws:sagemaker/featureGroup:FeatureGroup", "untabledgroup", {"featureGroupName": "sample-untabled", "recordIdentifierFeatureName": "id", "eventTimeFeatureName": "time", "roleArn": "@role.arn", "featureDefinitions": [{"featureName": "id", "featureType": "String"}, {"featureName": "time", "featureType": "String"}], "offlineStoreConfig": {"s3StorageConfig": {"s3Uri": "s3://sample-bucket/features", "kmsKeyId": "@key.arn"}, "disableGlueTableCreation": True}, "onlineStoreConfig": {"enableOnlineStore": True, "securityConfig": {"kmsKeyId": "@key.arn"}}}, None),
    ("aws:sagemaker/servicecatalogPortfolioStatus:ServicecatalogPortfolioStatus", "portfolio", {"status": "Enabled"}, {"status": "Disabled"}),
    ("aws:sqs/queue:Queue", "deadqueue", {"name": "sample-dead", "messageRetentionSeconds": 1209600}, {"visibilityTimeoutSeconds": 60}),
    ("aws:sqs/queue:Queue", "queue", {"name": "sample-queue", "kmsMasterKeyId": "@key", "visibilityTimeoutSeconds": 120, "redrivePolicy": json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:sample-dead", "maxReceiveCount": 3})}, {"visibilityTimeoutSeconds": 240, "tags": {"a": "b"}}),
    ("aws:sqs/queuePolicy:QueuePolicy", "queuepolicy", {"queueUrl": "@queue", "policy": resource_policy("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:sample-queue")}, {"policy": resource_policy("sqs:*", f"arn:aws:sqs:{REGION}:{ACCOUNT}:sample-queue")}),
    ("aws:cloudwatch/eventBus:EventBus", "bus", {"name": "sample-bus", "kmsKeyIdentifier": "@key.arn"}, {"description": "b"}),
    ("aws:cloudwatch/eventBusPolicy:EventBusPolicy", "buspolicy", {"eventBusName": "@bus", "policy": resource_policy("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/sample-bus")}, {"policy": resource_policy("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/sample-bus").replace('"R"', '"S"')}),
    ("aws:cloudwatch/eventRule:EventRule", "rule", {"name": "sample-rule", "eventBusName": "@bus", "eventPattern": json.dumps({"source": ["aws.sagemaker"]})}, {"eventPattern": json.dumps({"source": ["aws.s3"]}), "state": "DISABLED"}),
    ("aws:cloudwatch/eventRule:EventRule", "schedule", {"name": "sample-schedule", "scheduleExpression": "rate(1 day)"}, {"scheduleExpression": "rate(2 days)"}),
    ("aws:cloudwatch/eventTarget:EventTarget", "target", {"rule": "@rule.name", "eventBusName": "@bus", "targetId": "queue", "arn": "@queue.arn", "deadLetterConfig": {"arn": "@deadqueue.arn"}}, {"retryPolicy": {"maximumEventAgeInSeconds": 3600, "maximumRetryAttempts": 8}}),
    ("aws:cloudwatch/eventTarget:EventTarget", "defaulttarget", {"rule": "@schedule.name", "targetId": "bus", "arn": "@bus.arn", "roleArn": ROLE}, None),
    ("aws:dynamodb/table:Table", "table2", {"name": "sample-table", "billingMode": "PAY_PER_REQUEST", "hashKey": "Id", "attributes": [{"name": "Id", "type": "S"}], "serverSideEncryption": {"enabled": True, "kmsKeyArn": "@key.arn"}, "pointInTimeRecovery": {"enabled": False}}, {"pointInTimeRecovery": {"enabled": True}, "tags": {"a": "b"}}),
    ("aws:iam/rolePolicy:RolePolicy", "modelrolepolicy", {"name": "inline", "role": "@modelrole", "policy": DOCUMENT}, None),
    ("aws:sagemaker/model:Model", "model", {"executionRoleArn": "@modelrole.arn", "primaryContainer": {"image": SKLEARN, "modelDataUrl": MODEL_DATA, "environment": {"SAGEMAKER_PROGRAM": "serve.py"}}, "vpcConfig": {"subnets": ["@subnet"], "securityGroupIds": ["@group"]}}, {"tags": {"a": "b"}}),
    ("aws:sagemaker/endpointConfiguration:EndpointConfiguration", "endpointconfig", {"kmsKeyArn": "@key.arn", "productionVariants": [{"variantName": "AllTraffic", "modelName": "@model", "instanceType": "ml.m5.large", "initialInstanceCount": 2, "initialVariantWeight": 1}], "dataCaptureConfig": {"enableCapture": True, "initialSamplingPercentage": 10, "destinationS3Uri": "s3://sample-bucket/capture", "kmsKeyId": "@key.arn", "captureOptions": [{"captureMode": "Input"}, {"captureMode": "Output"}]}}, {"tags": {"a": "b"}}),
    # Outside of the sample VPC, whose way to S3 another sample closes.
    ("aws:sagemaker/model:Model", "nextmodel", {"executionRoleArn": "@modelrole.arn", "primaryContainer": {"image": SKLEARN, "modelDataUrl": MODEL_DATA, "environment": {"SAGEMAKER_PROGRAM": "serve.py"}}}, None),
    ("aws:s3/bucketNotification:BucketNotification", "notification", {"bucket": "@bucket", "eventbridge": True}, {"eventbridge": False}),
    ("aws:sagemaker/pipeline:Pipeline", "batchpipeline", {"pipelineName": "sample-batch", "pipelineDisplayName": "sample-batch", "pipelineDefinition": STOPPING, "roleArn": "@modelrole.arn"}, {"pipelineDefinition": STOPPING.replace("never", "not now"), "pipelineDescription": "d", "tags": {"a": "b"}}),
    ("aws:cloudwatch/eventTarget:EventTarget", "pipelinetarget", {"rule": "@schedule.name", "targetId": "pipeline", "arn": "@batchpipeline.arn", "roleArn": ROLE, "sagemakerPipelineTarget": {"pipelineParameterLists": [{"name": "InputKey", "value": "$.detail.object.key"}]}}, {"sagemakerPipelineTarget": {"pipelineParameterLists": [{"name": "InputKey", "value": "all"}]}}),
    ("aws:sagemaker/endpointConfiguration:EndpointConfiguration", "nextendpointconfig", {"kmsKeyArn": "@key.arn", "productionVariants": [{"variantName": "AllTraffic", "modelName": "@nextmodel", "instanceType": "ml.m5.large", "initialInstanceCount": 2}]}, None),
    ("aws:sagemaker/endpoint:Endpoint", "endpoint", {"name": "sample-endpoint", "endpointConfigName": "@endpointconfig"}, {"endpointConfigName": "@nextendpointconfig", "deploymentConfig": {"blueGreenUpdatePolicy": {"trafficRoutingConfiguration": {"type": "CANARY", "waitIntervalInSeconds": 0, "canarySize": {"type": "CAPACITY_PERCENT", "value": 50}}, "terminationWaitInSeconds": 0, "maximumExecutionTimeoutInSeconds": 600}}, "tags": {"a": "b"}}),
    ("aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition", "quality", {"dataQualityAppSpecification": {"imageUri": MONITOR, "environment": {"VERSION": "1"}}, "dataQualityBaselineConfig": {"constraintsResource": {"s3Uri": "s3://sample-bucket/constraints.json"}, "statisticsResource": {"s3Uri": "s3://sample-bucket/statistics.json"}}, "dataQualityJobInput": {"endpointInput": {"endpointName": "@endpoint", "localPath": "/opt/ml/processing/input"}}, "dataQualityJobOutputConfig": {"kmsKeyId": "@key.arn", "monitoringOutputs": {"s3Output": {"s3Uri": "s3://sample-bucket/reports", "localPath": "/opt/ml/processing/output"}}}, "jobResources": {"clusterConfig": {"instanceCount": 1, "instanceType": "ml.m5.xlarge", "volumeSizeInGb": 20, "volumeKmsKeyId": "@key.arn"}}, "networkConfig": {"enableNetworkIsolation": True, "enableInterContainerTrafficEncryption": True, "vpcConfig": {"subnets": ["@subnet"], "securityGroupIds": ["@group"]}}, "roleArn": "@modelrole.arn", "stoppingCondition": {"maxRuntimeInSeconds": 1800}}, {"tags": {"a": "b"}}),
    ("aws:cloudcontrol/resource:Resource", "qualitydefinition", {"typeName": "AWS::SageMaker::ModelQualityJobDefinition", "desiredState": quality_state()}, None),
    ("aws:sagemaker/monitoringSchedule:MonitoringSchedule", "monitoring", {"name": "sample-monitoring", "monitoringScheduleConfig": {"monitoringType": "DataQuality", "monitoringJobDefinitionName": "@quality", "scheduleConfig": {"scheduleExpression": "cron(0 * ? * * *)"}}}, {"monitoringScheduleConfig": {"monitoringType": "DataQuality", "monitoringJobDefinitionName": "@quality", "scheduleConfig": {"scheduleExpression": "cron(0 3 ? * * *)"}}, "tags": {"a": "b"}}),
    ("aws:appautoscaling/target:Target", "scalable", {"serviceNamespace": "sagemaker", "resourceId": "endpoint/sample-endpoint/variant/AllTraffic", "scalableDimension": "sagemaker:variant:DesiredInstanceCount", "minCapacity": 2, "maxCapacity": 4}, {"maxCapacity": 6}),
    ("aws:appautoscaling/policy:Policy", "scaling", {"name": "sample", "serviceNamespace": "sagemaker", "resourceId": "@scalable.resourceId", "scalableDimension": "sagemaker:variant:DesiredInstanceCount", "policyType": "TargetTrackingScaling", "targetTrackingScalingPolicyConfiguration": {"targetValue": 100, "predefinedMetricSpecification": {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"}, "scaleInCooldown": 300, "scaleOutCooldown": 60}}, {"targetTrackingScalingPolicyConfiguration": {"targetValue": 200, "predefinedMetricSpecification": {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"}, "scaleInCooldown": 300, "scaleOutCooldown": 60}}),
    ("aws:iam/role:Role", "lambdarole", {"name": "sample-lambda-role", "assumeRolePolicy": trust("lambda.amazonaws.com")}, None),
    ("aws:iam/rolePolicy:RolePolicy", "lambdarolepolicy", {"name": "inline", "role": "@lambdarole", "policy": DOCUMENT.replace("s3:GetObject", "sqs:*")}, None),
    ("aws:lambda/function:Function", "function", {"name": "sample-function", "role": "@lambdarole.arn", "runtime": "python3.11", "handler": "main.handle", "timeout": 30, "memorySize": 256, "code": archive("def handle(event, context): return 1"), "environment": {"variables": {"A": "1"}}, "kmsKeyArn": "@key.arn", "deadLetterConfig": {"targetArn": "@deadqueue.arn"}, "reservedConcurrentExecutions": 2}, {"code": archive("def handle(event, context): return 2"), "environment": {"variables": {"A": "2"}}, "reservedConcurrentExecutions": 3, "tags": {"a": "b"}}),
    ("aws:lambda/alias:Alias", "functionalias", {"name": "sample-alias", "functionName": "@function.name", "functionVersion": "$LATEST"}, {"description": "changed"}),
    ("aws:lambda/permission:Permission", "permission", {"statementId": "Events", "action": "lambda:InvokeFunction", "function": "@function.name", "principal": "events.amazonaws.com", "sourceArn": "@rule.arn"}, None),
    ("aws:lambda/eventSourceMapping:EventSourceMapping", "mapping", {"eventSourceArn": "@queue.arn", "functionName": "@function.arn", "batchSize": 1, "functionResponseTypes": ["ReportBatchItemFailures"], "enabled": False}, {"batchSize": 2, "scalingConfig": {"maximumConcurrency": 2}}),
    ("aws:codeconnections/connection:Connection", "connection", {"name": "sample", "providerType": "GitHub"}, {"tags": {"a": "b"}}),
    ("aws:codecommit/repository:Repository", "coderepository", {"repositoryName": "sample", "description": "d"}, {"description": "e", "tags": {"a": "b"}}),
    ("aws:iam/role:Role", "buildrole", {"name": "sample-build", "assumeRolePolicy": trust("codebuild.amazonaws.com"), "permissionsBoundary": "@policy.arn"}, None),
    ("aws:iam/role:Role", "pipelinerole", {"name": "sample-pipeline", "assumeRolePolicy": trust("codepipeline.amazonaws.com")}, None),
    ("aws:codebuild/project:Project", "project", {"name": "sample", "serviceRole": "@buildrole.arn", "source": {"type": "CODEPIPELINE", "buildspec": "deploy.yml"}, "artifacts": {"type": "CODEPIPELINE"}, "environment": {"type": "LINUX_CONTAINER", "computeType": "BUILD_GENERAL1_SMALL", "image": "aws/codebuild/standard:7.0", "environmentVariables": [{"name": "A", "value": "b"}]}, "encryptionKey": "@key.arn", "vpcConfig": {"vpcId": "@vpc", "subnets": ["@subnet"], "securityGroupIds": ["@group"]}, "logsConfig": {"cloudwatchLogs": {"groupName": "/sample", "status": "ENABLED"}}}, {"buildTimeout": 15, "environment": {"type": "LINUX_CONTAINER", "computeType": "BUILD_GENERAL1_MEDIUM", "image": "aws/codebuild/standard:7.0", "environmentVariables": [{"name": "A", "value": "c", "type": "SECRETS_MANAGER"}]}, "tags": {"a": "b"}}),
    ("aws:codepipeline/pipeline:Pipeline", "pipeline", {"name": "sample", "pipelineType": "V2", "roleArn": "@pipelinerole.arn", "artifactStores": [{"type": "S3", "location": "sample-bucket", "encryptionKey": {"id": "@key.arn", "type": "KMS"}}], "variables": [{"name": "MODEL_PACKAGE_ARN"}, {"name": "REASON", "defaultValue": "none", "description": "Why"}], "stages": [{"name": "Source", "actions": [{"name": "Code", "category": "Source", "owner": "AWS", "provider": "CodeStarSourceConnection", "version": "1", "namespace": "Source", "outputArtifacts": ["Code"], "configuration": {"ConnectionArn": "@connection.arn", "FullRepositoryId": "a/b", "BranchName": "main", "DetectChanges": "false"}}]}, {"name": "Deploy", "actions": [{"name": "Approve", "category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1", "runOrder": 1, "timeoutInMinutes": 60, "configuration": {"NotificationArn": "@topic", "CustomData": "#{variables.REASON}"}}, {"name": "Deploy", "category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1", "runOrder": 2, "inputArtifacts": ["Code"], "configuration": {"ProjectName": "@project.name"}}]}]}, {"executionMode": "QUEUED", "variables": [{"name": "MODEL_PACKAGE_ARN"}], "tags": {"a": "b"}}),
    ("aws:s3/bucketVersioning:BucketVersioning", "objectversioning", {"bucket": "@objectbucket", "versioningConfiguration": {"status": "Enabled"}}, None),
    ("aws:s3/bucketObjectv2:BucketObjectv2", "template", {"bucket": "@objectbucket", "key": "templates/product.json", "content": TEMPLATE, "contentType": "application/json", "kmsKeyId": "@key.arn", "serverSideEncryption": "aws:kms", "tags": {"a": "b"}}, {"content": TEMPLATE.replace("A product", "The product"), "tags": {"a": "c"}}),
    ("aws:s3/bucketObjectv2:BucketObjectv2", "sourcezip", {"bucket": "@objectbucket", "key": "code.zip", "source": archive("print(1)")}, {"source": archive("print(2)"), "metadata": {"made": "again"}}),
    ("aws:servicecatalog/portfolio:Portfolio", "catalogportfolio", {"name": "sample", "providerName": "team", "description": "d", "tags": {"a": "b"}}, {"name": "other", "description": "e", "tags": {"a": "c"}}),
    ("aws:servicecatalog/portfolio:Portfolio", "otherportfolio", {"name": "sample-other", "providerName": "team"}, None),
    ("aws:servicecatalog/product:Product", "product", {"name": "sample", "owner": "team", "type": "CLOUD_FORMATION_TEMPLATE", "description": "d", "provisioningArtifactParameters": {"name": "1", "type": "CLOUD_FORMATION_TEMPLATE", "templateUrl": TEMPLATE_URL}, "tags": {"a": "b"}}, {"owner": "others", "supportEmail": "a@example.com", "tags": {"a": "c"}}),
    ("aws:servicecatalog/provisioningArtifact:ProvisioningArtifact", "artifact", {"productId": "@product", "name": "2", "type": "CLOUD_FORMATION_TEMPLATE", "templateUrl": TEMPLATE_URL}, {"name": "3", "active": False, "guidance": "DEPRECATED"}),
    ("aws:servicecatalog/productPortfolioAssociation:ProductPortfolioAssociation", "inportfolio", {"portfolioId": "@catalogportfolio", "productId": "@product"}, None),
    ("aws:servicecatalog/productPortfolioAssociation:ProductPortfolioAssociation", "inotherportfolio", {"portfolioId": "@otherportfolio", "productId": "@product"}, None),
    ("aws:servicecatalog/principalPortfolioAssociation:PrincipalPortfolioAssociation", "launcher", {"portfolioId": "@catalogportfolio", "principalArn": "arn:aws:iam:::role/sample-*", "principalType": "IAM_PATTERN"}, None),
    ("aws:servicecatalog/constraint:Constraint", "constraint", {"portfolioId": "@inportfolio.portfolioId", "productId": "@inportfolio.productId", "type": "LAUNCH", "description": "d", "parameters": json.dumps({"LocalRoleName": "sample-role"})}, {"description": "e", "parameters": json.dumps({"LocalRoleName": "sample-build"})}),
    ("aws:servicecatalog/portfolioShare:PortfolioShare", "accountshare", {"portfolioId": "@catalogportfolio", "type": "ACCOUNT", "principalId": "333333333333"}, {"shareTagOptions": True}),
    ("aws:servicecatalog/portfolioShare:PortfolioShare", "unitshare", {"portfolioId": "@catalogportfolio", "type": "ORGANIZATIONAL_UNIT", "principalId": "arn:aws:organizations::111111111111:ou/o-localcloud/ou-abcd-12345678", "sharePrincipals": True}, {"shareTagOptions": True}),
    ("aws:servicecatalog/tagOption:TagOption", "tagoption", {"key": "cost-centre", "value": "ml"}, {"value": "research", "active": False}),
    ("aws:servicecatalog/tagOption:TagOption", "othertagoption", {"key": "owner", "value": "ml"}, None),
    ("aws:servicecatalog/tagOptionResourceAssociation:TagOptionResourceAssociation", "portfoliotag", {"tagOptionId": "@tagoption", "resourceId": "@catalogportfolio"}, None),
]  # fmt: skip

REPLACED: dict[str, list[dict[str, Any]]] = {
    "account": [{"email": "before@example.com"}],
    "key": [{"multiRegion": True}, {"keyUsage": "SIGN_VERIFY", "customerMasterKeySpec": "RSA_2048", "enableKeyRotation": False}],
    "role": [{"name": "sample-before"}, {"path": "/before/"}],
    "rolepolicy": [{"name": "before"}, {"role": "@modelrole"}],
    "policy": [{"name": "before"}, {"path": "/before/"}, {"description": "before"}],
    "attachment": [{"role": "@modelrole"}, {"policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
    "oidc": [{"url": "https://before.example.com"}, {"clientIdLists": ["before"]}],
    "bucket": [{"bucket": "sample-before"}, {"objectLockEnabled": True}],
    "versioning": [{"bucket": "@logbucket"}],
    "encryption": [{"bucket": "@logbucket"}],
    "block": [{"bucket": "@logbucket"}],
    "bucketpolicy": [{"bucket": "@logbucket", "policy": resource_policy("s3:GetObject", "arn:aws:s3:::sample-logs/*")}],
    "ownership": [{"bucket": "@logbucket"}],
    "lifecycle": [{"bucket": "@logbucket"}],
    "logging": [{"bucket": "@objectbucket"}],
    "cors": [{"bucket": "@logbucket"}],
    "vpc": [{"cidrBlock": "10.1.0.0/16"}, {"instanceTenancy": "dedicated"}],
    "subnet": [{"vpcId": "@othervpc", "cidrBlock": "10.2.0.0/24"}, {"cidrBlock": "10.0.1.0/24", "availabilityZone": "eu-west-1b"}],
    "table": [{"vpcId": "@othervpc"}],
    "association": [{"subnetId": "@othersubnet"}],
    "gateway": [{"vpcId": "@othervpc"}],
    "route": [{"destinationCidrBlock": "192.0.2.0/24"}],
    "nat": [{"subnetId": "@othersubnet", "allocationId": "@othereip"}],
    "group": [{"description": "before"}, {"vpcId": "@othervpc"}],
    "defaultgroup": [{"vpcId": "@othervpc"}],
    "ingress": [{"securityGroupId": "@group"}, {"toPort": 3, "cidrIpv4": "10.0.1.0/24"}],
    "egress": [{"securityGroupId": "@defaultgroup"}],
    "gatewayendpoint": [{"serviceName": "com.amazonaws.eu-west-1.dynamodb"}],
    "interfaceendpoint": [{"serviceName": "com.amazonaws.eu-west-1.sts"}],
    "loggroup": [{"name": "/before"}, {"logGroupClass": "INFREQUENT_ACCESS"}],
    "metricfilter": [{"name": "before"}],
    "flowlog": [{"trafficType": "REJECT", "maxAggregationInterval": 600}],
    "ebs": [{"enabled": False}],
    "ebskey": [{"keyArn": "@otherkey.arn"}],
    "parameter": [{"name": "/sample/before"}, {"type": "StringList"}],
    "topicpolicy": [{"arn": "@othertopic", "policy": resource_policy("sns:Publish", f"arn:aws:sns:{REGION}:{ACCOUNT}:sample-other")}],
    "subscription": [{"topic": "@othertopic"}, {"endpoint": "before@example.com"}],
    "analyzer": [{"analyzerName": "before"}],
    "hub": [{"enableDefaultStandards": False}],
    "repository": [{"name": "before"}, {"encryptionConfigurations": [{"encryptionType": "AES256"}]}],
    "repositorypolicy": [{"repository": "@otherrepository"}],
    "repositorylifecycle": [{"repository": "@otherrepository"}],
    "glueconfiguration": [{"name": "before"}, {"encryptionConfiguration": {"cloudwatchEncryption": {"cloudwatchEncryptionMode": "DISABLED"}, "jobBookmarksEncryption": {"jobBookmarksEncryptionMode": "DISABLED"}, "s3Encryption": {"s3EncryptionMode": "DISABLED"}}}],
    "lakeresource": [{"arn": "@logbucket.arn"}, {"roleArn": "@modelrole.arn"}],
    "grant": [{"principal": "@modelrole.arn"}, {"permissions": ["ALTER"]}],
    "datazone": [{"kmsKeyIdentifier": "@key.arn"}],
    "lifecycleconfig": [{"studioLifecycleConfigName": "before"}, {"studioLifecycleConfigContent": "ZWNobyBieWU="}],
    "domain": [{"domainName": "before"}, {"kmsKeyId": "@otherkey"}],
    "profile": [{"userProfileName": "bob"}],
    "space": [{"spaceName": "before"}],
    "modelgroup": [{"modelPackageGroupName": "before"}, {"modelPackageGroupDescription": "before"}],
    "modelgrouppolicy": [{"modelPackageGroupName": "@othermodelgroup"}],
    "sharedgroup": [{"resourceArn": "@othermodelgroup.arn"}],
    "sharedwith": [{"principal": "111111111111"}],
    "featuregroup": [{"featureGroupName": "before"}, {"description": "before"}],
    "queue": [{"name": "before"}],
    "queuepolicy": [{"queueUrl": "@deadqueue", "policy": resource_policy("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:sample-dead")}],
    "buspolicy": [{"eventBusName": "default", "policy": resource_policy("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default")}],
    "rule": [{"name": "before"}, {"eventBusName": "default"}],
    "target": [{"targetId": "before"}],
    "table2": [{"name": "before"}, {"hashKey": "Before", "attributes": [{"name": "Before", "type": "S"}]}],
    "model": [{"enableNetworkIsolation": True}],
    "endpointconfig": [{"kmsKeyArn": "@otherkey.arn"}],
    "notification": [{"bucket": "@logbucket"}],
    "batchpipeline": [{"pipelineName": "before"}],
    "quality": [{"name": "before"}, {"roleArn": "@role.arn"}],
    "qualitydefinition": [{"desiredState": quality_state().replace("sample-quality", "before")}],
    "scalable": [{"serviceNamespace": "dynamodb", "resourceId": "table/sample-table", "scalableDimension": "dynamodb:table:ReadCapacityUnits"}],
    "scaling": [{"name": "before"}],
    "functionalias": [{"name": "before"}],
    "permission": [{"statementId": "Before"}, {"principal": "s3.amazonaws.com"}],
    "mapping": [{"eventSourceArn": "@deadqueue.arn"}],
    "connection": [{"name": "before"}],
    "coderepository": [{"repositoryName": "before"}],
    "template": [{"key": "templates/before.json"}],
    "product": [{"provisioningArtifactParameters": {"name": "0", "type": "CLOUD_FORMATION_TEMPLATE", "templateUrl": TEMPLATE_URL}}],
    "artifact": [{"disableTemplateValidation": True}],
    "inportfolio": [{"portfolioId": "@otherportfolio"}],
    "launcher": [{"portfolioId": "@otherportfolio"}, {"principalArn": "arn:aws:iam:::role/before-*"}],
    "constraint": [{"portfolioId": "@inotherportfolio.portfolioId"}],
    "accountshare": [{"principalId": "111111111111"}],
    "tagoption": [{"key": "before"}],
    "portfoliotag": [{"tagOptionId": "@othertagoption"}],
}  # fmt: skip
"""Sample -> what it is made with first, in turn, each replaced by the next and the last by the
sample: other values of properties whose change needs a new resource (and what has to change with
them). Of a type that is not here, a sample is made by another name first."""

DELETED_FIRST = {
    "recorder": "AWS Config has one recorder in a Region",
    "channel": "AWS Config has one delivery channel in a Region",
}
"""Sample -> why a program that renames it has to say ``delete_before_replace``: AWS refuses a
second one beside it."""

NOT_REPLACED = {
    "aws:cfg/recorderStatus:RecorderStatus": "there is one recorder in a Region, and so one status",
    "aws:ec2/eip:Eip": "its one force-new input, domain, has one value since EC2-Classic ended: vpc",
    "aws:ram/resourceShare:ResourceShare": (
        "permissionArns, its one force-new input: of AWS's managed permissions for model package "
        "groups the local cloud knows one"
    ),
    "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock": (
        "another account's settings are made with another account's credentials"
    ),
}
"""Type with force-new inputs -> why none of them can be given another value."""

ALWAYS_THERE: dict[str, dict[str, Any]] = {
    "aws:ebs/defaultKmsKey:DefaultKmsKey": {"keyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/ebs"},
    "aws:ebs/encryptionByDefault:EncryptionByDefault": {"enabled": False},
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": {},
    "aws:s3/bucketNotification:BucketNotification": {"eventbridge": False},
    "aws:s3/bucketVersioning:BucketVersioning": {"versioningConfiguration": {"status": "Suspended"}},
    "aws:sns/topicPolicy:TopicPolicy": {"policy": "__default_policy_ID"},
}  # fmt: skip
"""Type of a setting that can be read after it was deleted -> what AWS has there then (of a policy,
its id)."""
