"""For every row of the provider: inputs to create it, a change, and what it needs beside it."""

from __future__ import annotations

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


LOG_DELIVERY = resource_policy("s3:PutObject", "arn:aws:s3:::sample-logs/*").replace(
    f'"AWS": "arn:aws:iam::{ACCOUNT}:root"', '"Service": "logging.s3.amazonaws.com"'
)
ENDPOINT_POLICY = DOCUMENT.replace('"Action"', '"Principal": "*", "Action"')
OTHER_ENDPOINT_POLICY = ENDPOINT_POLICY.replace("GetObject", "PutObject")

ROLE = f"arn:aws:iam::{ACCOUNT}:role/sample-role"

# token -> (logical name of the sample, inputs, a change in place or None). A value "@name.property"
# is an output of an earlier sample, "@name" its id. The order is the order of creation.
SAMPLES: list[tuple[str, str, dict[str, Any], dict[str, Any] | None]] = [
    ("aws:kms/key:Key", "key", {"description": "a", "enableKeyRotation": True, "policy": resource_policy("kms:*")}, {"description": "b", "enableKeyRotation": False}),
    ("aws:kms/alias:Alias", "alias", {"name": "alias/sample", "targetKeyId": "@key.keyId"}, None),
    ("aws:iam/role:Role", "role", {"name": "sample-role", "assumeRolePolicy": trust("sagemaker.amazonaws.com"), "tags": {"a": "b"}}, {"assumeRolePolicy": trust("lambda.amazonaws.com"), "tags": {"a": "c"}}),
    ("aws:iam/rolePolicy:RolePolicy", "rolepolicy", {"name": "inline", "role": "@role", "policy": DOCUMENT}, {"policy": OTHER_DOCUMENT}),
    ("aws:iam/policy:Policy", "policy", {"name": "sample", "policy": DOCUMENT}, {"policy": OTHER_DOCUMENT}),
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "attachment", {"role": "@role", "policyArn": "@policy.arn"}, None),
    ("aws:iam/accountPasswordPolicy:AccountPasswordPolicy", "passwords", {"minimumPasswordLength": 14, "requireNumbers": True}, {"minimumPasswordLength": 16}),
    ("aws:iam/openIdConnectProvider:OpenIdConnectProvider", "oidc", {"url": "https://token.actions.example.com", "clientIdLists": ["sts.amazonaws.com"], "thumbprintLists": ["a" * 40]}, {"thumbprintLists": ["b" * 40]}),
    ("aws:s3/bucket:Bucket", "bucket", {"bucket": "sample-bucket", "tags": {"a": "b"}}, {"tags": {"a": "c"}}),
    ("aws:s3/bucketVersioning:BucketVersioning", "versioning", {"bucket": "@bucket", "versioningConfiguration": {"status": "Enabled"}}, {"versioningConfiguration": {"status": "Suspended"}}),
    ("aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration", "encryption", {"bucket": "@bucket", "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "@key.arn"}, "bucketKeyEnabled": True}]}, {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]}),
    ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "block", {"bucket": "@bucket", "blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True, "restrictPublicBuckets": True}, {"blockPublicAcls": False}),
    ("aws:s3/bucketPolicy:BucketPolicy", "bucketpolicy", {"bucket": "@bucket", "policy": resource_policy("s3:GetObject", "arn:aws:s3:::sample-bucket/*")}, {"policy": resource_policy("s3:PutObject", "arn:aws:s3:::sample-bucket/*")}),
    ("aws:s3/bucketOwnershipControls:BucketOwnershipControls", "ownership", {"bucket": "@bucket", "rule": {"objectOwnership": "BucketOwnerEnforced"}}, {"rule": {"objectOwnership": "BucketOwnerPreferred"}}),
    ("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "lifecycle", {"bucket": "@bucket", "rules": [{"id": "r", "status": "Enabled", "filter": {"prefix": ""}, "noncurrentVersionExpiration": {"noncurrentDays": 30}, "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7}}]}, {"rules": [{"id": "r", "status": "Enabled", "filter": {"prefix": ""}, "expiration": {"days": 90}}]}),
    ("aws:s3/bucket:Bucket", "logbucket", {"bucket": "sample-logs", "forceDestroy": True}, None),
    ("aws:s3/bucketPolicy:BucketPolicy", "logpolicy", {"bucket": "@logbucket", "policy": LOG_DELIVERY}, None),
    ("aws:s3/bucketLogging:BucketLogging", "logging", {"bucket": "@bucket", "targetBucket": "@logbucket", "targetPrefix": "a/"}, {"targetPrefix": "b/"}),
    ("aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock", "accountblock", {"accountId": ACCOUNT, "blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True, "restrictPublicBuckets": True}, {"blockPublicAcls": False}),
    ("aws:ec2/vpc:Vpc", "vpc", {"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "x"}}, {"enableDnsHostnames": False}),
    ("aws:ec2/subnet:Subnet", "subnet", {"vpcId": "@vpc", "cidrBlock": "10.0.0.0/24", "availabilityZone": "eu-west-1a"}, {"mapPublicIpOnLaunch": True}),
    ("aws:ec2/routeTable:RouteTable", "table", {"vpcId": "@vpc"}, {"tags": {"a": "b"}}),
    ("aws:ec2/routeTableAssociation:RouteTableAssociation", "association", {"routeTableId": "@table", "subnetId": "@subnet"}, None),
    ("aws:ec2/internetGateway:InternetGateway", "gateway", {"vpcId": "@vpc"}, {"tags": {"a": "b"}}),
    ("aws:ec2/route:Route", "route", {"routeTableId": "@table", "destinationCidrBlock": "0.0.0.0/0", "gatewayId": "@gateway"}, None),
    ("aws:ec2/eip:Eip", "eip", {"domain": "vpc"}, {"tags": {"a": "b"}}),
    ("aws:ec2/natGateway:NatGateway", "nat", {"subnetId": "@subnet", "allocationId": "@eip"}, {"tags": {"a": "b"}}),
    ("aws:ec2/securityGroup:SecurityGroup", "group", {"vpcId": "@vpc", "description": "d", "ingress": [{"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": ["10.0.0.0/16"]}]}, {"ingress": [{"protocol": "tcp", "fromPort": 444, "toPort": 444, "self": True}]}),
    ("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "defaultgroup", {"vpcId": "@vpc"}, {"tags": {"a": "b"}}),
    ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "ingress", {"securityGroupId": "@defaultgroup", "ipProtocol": "tcp", "fromPort": 1, "toPort": 2, "cidrIpv4": "10.0.0.0/24"}, {"tags": {"a": "b"}}),
    ("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "egress", {"securityGroupId": "@group", "ipProtocol": "-1", "referencedSecurityGroupId": "@group"}, None),
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "gatewayendpoint", {"vpcId": "@vpc", "serviceName": "com.amazonaws.eu-west-1.s3", "vpcEndpointType": "Gateway", "routeTableIds": ["@table"], "policy": ENDPOINT_POLICY}, {"policy": OTHER_ENDPOINT_POLICY}),
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "interfaceendpoint", {"vpcId": "@vpc", "serviceName": "com.amazonaws.eu-west-1.kms", "vpcEndpointType": "Interface", "subnetIds": ["@subnet"], "securityGroupIds": ["@group"], "privateDnsEnabled": True, "policy": ENDPOINT_POLICY}, {"policy": OTHER_ENDPOINT_POLICY}),
    ("aws:cloudwatch/logGroup:LogGroup", "loggroup", {"name": "/sample", "retentionInDays": 30, "kmsKeyId": "@key.arn"}, {"retentionInDays": 60}),
    ("aws:cloudwatch/metricAlarm:MetricAlarm", "alarm", {"name": "sample", "comparisonOperator": "GreaterThanThreshold", "evaluationPeriods": 1, "metricName": "m", "namespace": "n", "period": 60, "statistic": "Sum", "threshold": 1, "dimensions": {"a": "b"}}, {"threshold": 2}),
    ("aws:ec2/flowLog:FlowLog", "flowlog", {"vpcId": "@vpc", "trafficType": "ALL", "logDestination": "@loggroup.arn", "iamRoleArn": "@role.arn", "maxAggregationInterval": 60}, {"tags": {"a": "b"}}),
    ("aws:ebs/encryptionByDefault:EncryptionByDefault", "ebs", {"enabled": True}, None),
    ("aws:ebs/defaultKmsKey:DefaultKmsKey", "ebskey", {"keyArn": "@key.arn"}, None),
    ("aws:ssm/parameter:Parameter", "parameter", {"name": "/sample/a", "type": "String", "value": "x", "description": "d"}, {"value": "y"}),
    ("aws:sns/topic:Topic", "topic", {"name": "sample", "kmsMasterKeyId": "@key"}, {"displayName": "shown"}),
    ("aws:sns/topicPolicy:TopicPolicy", "topicpolicy", {"arn": "@topic", "policy": resource_policy("sns:Publish", f"arn:aws:sns:{REGION}:{ACCOUNT}:sample")}, {"policy": resource_policy("sns:Subscribe", f"arn:aws:sns:{REGION}:{ACCOUNT}:sample")}),
    ("aws:sns/topicSubscription:TopicSubscription", "subscription", {"topic": "@topic", "protocol": "email", "endpoint": "team@example.com"}, None),
    ("aws:budgets/budget:Budget", "budget", {"name": "sample", "budgetType": "COST", "limitAmount": "100", "limitUnit": "USD", "timeUnit": "MONTHLY", "notifications": [{"comparisonOperator": "GREATER_THAN", "threshold": 80, "thresholdType": "PERCENTAGE", "notificationType": "ACTUAL", "subscriberEmailAddresses": ["team@example.com"]}]}, {"limitAmount": "200"}),
    ("aws:cloudtrail/trail:Trail", "trail", {"name": "sample", "s3BucketName": "@bucket", "isMultiRegionTrail": True, "enableLogFileValidation": True}, {"enableLogFileValidation": False}),
    ("aws:accessanalyzer/analyzer:Analyzer", "analyzer", {"analyzerName": "sample"}, {"tags": {"a": "b"}}),
    ("aws:cfg/recorder:Recorder", "recorder", {"name": "sample", "roleArn": "@role.arn", "recordingGroup": {"allSupported": True, "includeGlobalResourceTypes": True}}, None),
    ("aws:cfg/deliveryChannel:DeliveryChannel", "channel", {"name": "sample", "s3BucketName": "@bucket"}, None),
    ("aws:cfg/recorderStatus:RecorderStatus", "recording", {"name": "@recorder", "isEnabled": True}, {"isEnabled": False}),
    ("aws:guardduty/detector:Detector", "detector", {"enable": True}, {"findingPublishingFrequency": "ONE_HOUR"}),
    ("aws:securityhub/account:Account", "hub", {}, None),
    ("aws:ecr/repository:Repository", "repository", {"name": "sample", "imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": True}, "encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": "@key.arn"}]}, {"imageTagMutability": "MUTABLE"}),
    ("aws:ecr/repositoryPolicy:RepositoryPolicy", "repositorypolicy", {"repository": "@repository", "policy": resource_policy("ecr:BatchGetImage")}, {"policy": resource_policy("ecr:PutImage")}),
    ("aws:ecr/lifecyclePolicy:LifecyclePolicy", "repositorylifecycle", {"repository": "@repository", "policy": json.dumps({"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}, "action": {"type": "expire"}}]})}, None),
    ("aws:athena/workgroup:Workgroup", "workgroup", {"name": "sample", "configuration": {"enforceWorkgroupConfiguration": True, "resultConfiguration": {"outputLocation": "s3://sample-bucket/athena/", "encryptionConfiguration": {"encryptionOption": "SSE_KMS", "kmsKeyArn": "@key.arn"}}}}, {"description": "changed", "configuration": {"enforceWorkgroupConfiguration": False, "resultConfiguration": {"outputLocation": "s3://sample-bucket/other/"}}}),
    ("aws:glue/catalogDatabase:CatalogDatabase", "database", {"name": "sample", "description": "d"}, {"description": "e"}),
    ("aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings", "catalog", {"dataCatalogEncryptionSettings": {"connectionPasswordEncryption": {"returnConnectionPasswordEncrypted": True, "awsKmsKeyId": "@key.arn"}, "encryptionAtRest": {"catalogEncryptionMode": "SSE-KMS", "sseAwsKmsKeyId": "@key.arn"}}}, None),
    ("aws:glue/securityConfiguration:SecurityConfiguration", "glueconfiguration", {"name": "sample", "encryptionConfiguration": {"cloudwatchEncryption": {"cloudwatchEncryptionMode": "SSE-KMS", "kmsKeyArn": "@key.arn"}, "jobBookmarksEncryption": {"jobBookmarksEncryptionMode": "CSE-KMS", "kmsKeyArn": "@key.arn"}, "s3Encryption": {"s3EncryptionMode": "SSE-KMS", "kmsKeyArn": "@key.arn"}}}, None),
    ("aws:lakeformation/dataLakeSettings:DataLakeSettings", "lakesettings", {"admins": ["@role.arn"]}, {"admins": []}),
    ("aws:lakeformation/resource:Resource", "lakeresource", {"arn": "@bucket.arn", "roleArn": "@role.arn"}, None),
    ("aws:lakeformation/permissions:Permissions", "grant", {"principal": "@role.arn", "permissions": ["DESCRIBE"], "database": {"name": "@database.name"}}, None),
    ("aws:datazone/domain:Domain", "datazone", {"name": "sample", "domainExecutionRole": "@role.arn"}, {"description": "d"}),
    ("aws:sagemaker/studioLifecycleConfig:StudioLifecycleConfig", "lifecycleconfig", {"studioLifecycleConfigName": "sample", "studioLifecycleConfigAppType": "JupyterLab", "studioLifecycleConfigContent": "ZWNobyBoaQ=="}, {"tags": {"a": "b"}}),
    ("aws:sagemaker/domain:Domain", "domain", {"domainName": "sample", "authMode": "IAM", "vpcId": "@vpc", "subnetIds": ["@subnet"], "appNetworkAccessType": "VpcOnly", "kmsKeyId": "@key", "defaultUserSettings": {"executionRole": "@role.arn", "jupyterLabAppSettings": {"appLifecycleManagement": {"idleSettings": {"lifecycleManagement": "ENABLED", "idleTimeoutInMinutes": 60}}, "lifecycleConfigArns": ["@lifecycleconfig.arn"]}}, "defaultSpaceSettings": {"executionRole": "@role.arn"}, "retentionPolicy": {"homeEfsFileSystem": "Delete"}}, {"defaultUserSettings": {"executionRole": "@role.arn", "jupyterLabAppSettings": {"appLifecycleManagement": {"idleSettings": {"lifecycleManagement": "ENABLED", "idleTimeoutInMinutes": 90}}}}}),
    ("aws:sagemaker/userProfile:UserProfile", "profile", {"domainId": "@domain", "userProfileName": "ana", "userSettings": {"executionRole": "@role.arn"}}, {"userSettings": {"executionRole": "@role.arn", "studioWebPortal": "ENABLED"}}),
    ("aws:sagemaker/space:Space", "space", {"domainId": "@domain", "spaceName": "shared"}, {"spaceDisplayName": "Shared"}),
    ("aws:sagemaker/modelPackageGroup:ModelPackageGroup", "modelgroup", {"modelPackageGroupName": "sample", "modelPackageGroupDescription": "d"}, {"tags": {"a": "b"}}),
    ("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy", "modelgrouppolicy", {"modelPackageGroupName": "@modelgroup", "resourcePolicy": resource_policy("sagemaker:DescribeModelPackageGroup")}, {"resourcePolicy": resource_policy("sagemaker:ListModelPackages")}),
    ("aws:sagemaker/featureGroup:FeatureGroup", "featuregroup", {"featureGroupName": "sample", "recordIdentifierFeatureName": "id", "eventTimeFeatureName": "time", "roleArn": "@role.arn", "featureDefinitions": [{"featureName": "id", "featureType": "String"}, {"featureName": "time", "featureType": "String"}], "offlineStoreConfig": {"s3StorageConfig": {"s3Uri": "s3://sample-bucket/features", "kmsKeyId": "@key.arn"}}, "onlineStoreConfig": {"enableOnlineStore": True, "securityConfig": {"kmsKeyId": "@key.arn"}}}, {"tags": {"a": "b"}}),
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
]  # fmt: skip
