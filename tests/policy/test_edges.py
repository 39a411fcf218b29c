"""Cases beyond the examples: where a rule is easily fooled, or easily too strict."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness import UNKNOWN, run
from mlops_policy.aws import NVME_INSTANCE_TYPES, document, endpoint_service, has_nvme
from mlops_policy.documents import IAM_POLICY
from mlops_policy.model import Example, ResourceRule
from mlops_policy.registry import RULES

BY_NAME = {rule.name: rule for rule in RULES}
ROLE = "aws:iam/role:Role"
DOMAIN = "aws:sagemaker/domain:Domain"
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
ENDPOINTS = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
SCHEDULE = "aws:sagemaker/monitoringSchedule:MonitoringSchedule"
TUNING = "aws:sagemaker/hyperParameterTuningJob:HyperParameterTuningJob"
KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1"


def allow(**elements: Any) -> str:
    return document({"Sid": "S", "Effect": "Allow", "Resource": "*", **elements})


TO_SAGEMAKER = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
BUCKET = "arn:aws:s3:::acme-data"
PLAIN_TEXT: dict[str, Any] = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [BUCKET, f"{BUCKET}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}

REFUSED = [
    # A policy may also be given as an object; the provider renders it.
    ("no-administrator-policy", IAM_POLICY,
     {"policy": {"Statement": [{"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}]}}),
    ("no-administrator-policy", IAM_POLICY, {"policy": allow(Action="*:*")}),
    ("no-administrator-policy", IAM_POLICY, {"policy": "not a document"}),
    *[("no-administrator-policy", IAM_POLICY, {"policy": allow(Action="*", Resource=resource)})
      for resource in ("**", "?*", "arn:*", "arn:aws:*", "arn:aws:*:*:*:*",
                       "arn:aws:*:eu-west-1:111122223333:*")],
    *[("no-administrator-policy", IAM_POLICY, {"policy": allow(Action=action)})
      for action in ("**", "?*", "??*", "**:*", "*:?*")],
    *[("pass-role-bounded", IAM_POLICY,
       {"policy": allow(Action="iam:PassRole", Resource=resource, Condition=TO_SAGEMAKER)})
      for resource in ("arn:aws:iam::111122223333:role/?*", "arn:aws:iam::*:role/**",
                       "arn:aws:iam::1*", "arn:aws:iam::111122223333:r*", "arn:*:role/*",
                       "arn:aws:i*")],
    ("pass-role-bounded", IAM_POLICY,
     {"policy": allow(Action="iam:PassRole", Resource="arn:aws:iam::111122223333:role/jobs",
                      Condition={"StringLike": {"iam:PassedToService": "*.amazonaws.com"}})}),
    ("no-privilege-escalation", IAM_POLICY,
     {"policy": allow(Action="iam:PutRolePolicy", Resource="arn:aws:iam::1*")}),
    *[("role-boundary", ROLE, {"permissionsBoundary": f"arn:{partition}:iam::aws:policy/{name}"})
      for partition, name in (("aws", "AdministratorAccess"),
                              ("aws-cn", "job-function/SystemAdministrator"))],
    ("pass-role-bounded", IAM_POLICY, {"policy": allow(Action="iam:Pass*")}),
    ("pass-role-bounded", IAM_POLICY,
     {"policy": allow(Action="iam:PassRole", Resource="arn:aws:iam::111122223333:role/*",
                      Condition={"StringEquals": {"iam:PassedToService": "a.amazonaws.com"}})}),
    ("pass-role-bounded", IAM_POLICY,
     {"policy": allow(Action="iam:PassRole", Resource="arn:aws:iam::111122223333:role/jobs",
                      Condition={"StringLike": {"iam:PassedToService": "*"}})}),
    ("no-wildcard-principal", BUCKET_POLICY,
     {"policy": allow(Action="s3:*", NotPrincipal={"AWS": "111122223333"})}),
    ("no-wildcard-principal", BUCKET_POLICY,
     {"policy": allow(Action="s3:*", Principal="*",
                      Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1"}})}),
    ("oidc-trust-bounded", ROLE,
     {"assumeRolePolicy": document({"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
      "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/example.com"},
      "Condition": {"StringEquals": {"example.com:aud": "sts.amazonaws.com"},
                    "StringLike": {"example.com:sub": "repo:acme/platform:*"}}})}),
    ("oidc-trust-bounded", ROLE,
     {"assumeRolePolicy": document({"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
      "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/example.com"},
      "Condition": {"StringEquals": {"example.com:aud": "sts.amazonaws.com"},
                    "StringLike": {"example.com:sub": "*"}}})}),
    # One variant on EBS is enough to need the key, unless another cannot take it.
    ("sagemaker-customer-key", ENDPOINTS,
     {"productionVariants": [{"instanceType": "ml.m5.large"}]}),
    ("sagemaker-customer-key", ENDPOINTS,
     {"kmsKeyArn": KEY_ARN, "asyncInferenceConfig": {"outputConfig": {"s3OutputPath": "s3://a"}}}),
    ("sagemaker-customer-key", DOMAIN,
     {"kmsKeyId": KEY_ARN,
      "defaultUserSettings": {"sharingSettings": {"notebookOutputOption": "Allowed"}}}),
    ("two-subnets", DOMAIN, {"subnetIds": [UNKNOWN]}),
    ("two-subnets", TUNING,
     {"trainingJobDefinition": {"vpcConfig": {"subnets": [UNKNOWN]}}}),
    ("two-subnets", SCHEDULE,
     {"monitoringScheduleConfig": {"monitoringJobDefinition":
      {"networkConfig": {"vpcConfig": {"subnets": ["subnet-1"]}}}}}),
    ("workloads-in-vpc", SCHEDULE,
     {"monitoringScheduleConfig": {"monitoringJobDefinition": {"roleArn": UNKNOWN}}}),
    ("public-access-blocked", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
     {"bucket": UNKNOWN, "blockPublicAcls": True}),
    ("required-tags", "aws:s3/bucket:Bucket", {"bucket": UNKNOWN, "tags": {"owner": UNKNOWN}}),
    ("no-open-ingress", "aws:ec2/securityGroup:SecurityGroup",
     {"ingress": [{"cidrBlocks": ["10.0.0.0/8"]}, {"cidrBlocks": ["10.0.0.0/8", "0.0.0.0/0"]}]}),
    *[("no-open-ingress", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", {key: cidr})
      for key, cidr in (("cidrIpv4", "0.0.0.0/1"), ("cidrIpv4", "128.0.0.0/1"),
                        ("cidrIpv4", "10.0.0.0/7"), ("cidrIpv6", "8000::/1"),
                        ("cidrIpv6", "2000::/3"), ("cidrIpv4", "everybody"))],
    ("no-open-ingress", "aws:ec2/securityGroup:SecurityGroup",
     {"ingress": [{"cidrBlocks": ["0.0.0.0/1", "128.0.0.0/1"]}]}),
    ("no-whole-service", IAM_POLICY, {"policy": allow(Action=["S3:*", "ec2:Describe*"])}),
    *[("no-whole-service", IAM_POLICY, {"policy": allow(Action=action, Resource=resource)})
      for action, resource in (("iam:?*", "*"), ("i*", "*"), ("iam:*", "arn:aws:iam::1*"),
                               ("s3:*", "arn:aws:s3:::*"), ("*", "arn:aws:kms:*:*:*"))],
    *[("no-whole-service", IAM_POLICY, {"policy": allow(Action="iam:*", Condition=condition)})
      for condition in ({"Bool": {"aws:SecureTransport": "true"}},
                        {"StringEquals": {"aws:PrincipalOrgID": "o-example1234"}},
                        {"StringNotEquals": {"aws:ResourceAccount": "111122223333"}},
                        {"StringEquals": {"s3:prefix": "a"}})],
    *[("tls-only", BUCKET_POLICY, {"policy": document({**PLAIN_TEXT, **changed})})
      for changed in ({"Action": "s3:List*"}, {"Action": "s3:GetObjectTagg*"},
                      {"Action": "sns:Publish"}, {"Action": "sqs:*"},
                      {"Resource": [BUCKET, f"{BUCKET}/inbox/*"]})],
    ("tls-only", "aws:sqs/queuePolicy:QueuePolicy",
     {"policy": document({**PLAIN_TEXT, "Action": "sqs:Send*", "Resource": "*"})}),
    ("trust-bounded", ROLE,
     {"assumeRolePolicy": document({"Effect": "Allow", "Action": "sts:AssumeRole",
      "NotPrincipal": {"AWS": "111122223333"}})}),
    ("oidc-trust-bounded", ROLE,
     {"assumeRolePolicy": document({"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
      "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/example.com"},
      "Condition": {"StringEquals": {"example.com:sub": "repo:acme/platform:ref:x"}}})}),
    ("password-policy-strong", "aws:iam/accountPasswordPolicy:AccountPasswordPolicy",
     {"minimumPasswordLength": 20, "requireNumbers": True}),
    ("trail-complete", "aws:cloudtrail/trail:Trail",
     {"isMultiRegionTrail": True, "enableLogFileValidation": True, "enableLogging": False}),
    ("instance-types", "aws:sagemaker/pipeline:Pipeline",
     {"pipelineDefinition": json.dumps({"Steps": [{"Name": "T", "Type": "Training", "Arguments":
      {"ResourceConfig": {"InstanceType": "ml.p5.48xlarge"}}}]})}),
    ("instance-types", TUNING,
     {"trainingJobDefinition": {"resourceConfig": {"instanceType": "ml.p5.48xlarge"}}}),
    ("instance-types", TUNING,
     {"trainingJobDefinitions": [
         {"resourceConfig": {"instanceType": "ml.m5.large"}},
         {"hyperParameterTuningResourceConfig":
          {"instanceConfigs": [{"instanceType": "ml.p5.48xlarge"}]}}]}),
    ("instance-types", "aws:sagemaker/trainingJob:TrainingJob",
     {"resourceConfig": {"instanceGroups": [{"instanceType": "ml.p5.48xlarge"}]}}),
    ("endpoint-policy-bounded", "aws:ec2/vpcEndpoint:VpcEndpoint",
     {"policy": allow(Action="s3:*", Principal="*",
                      Condition={"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}})}),
]  # fmt: skip

ACCEPTED = [
    # Not what a service is held to be, but roles of a team's own, and a bucket's objects.
    ("pass-role-bounded", IAM_POLICY,
     {"policy": allow(Action=["iam:PassRole", "s3:GetObject"], Condition=TO_SAGEMAKER,
                      Resource=["arn:aws:iam::111122223333:role/team/*", "arn:aws:s3:::acme/*",
                                "arn:aws:iam::*:role/acme-*", "arn:aws:iam::*:user/*"])}),
    ("no-whole-service", IAM_POLICY,
     {"policy": allow(Action="s3:*", Resource=["arn:aws:s3:::acme-*", "arn:aws:s3:::acme/*"])}),
    ("no-administrator-policy", IAM_POLICY,
     {"policy": allow(Action="*", Resource="arn:aws:s3:::*")}),
    *[("no-open-ingress", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", {key: cidr})
      for key, cidr in (("cidrIpv4", "10.0.0.0/8"), ("cidrIpv4", "192.0.0.0/8"),
                        ("cidrIpv6", "fc00::/7"), ("cidrIpv6", "2001:db8::/32"))],
    ("tls-only", "aws:sns/topicPolicy:TopicPolicy",
     {"policy": document({**PLAIN_TEXT, "Action": "sns:Publish", "Resource": "*"})}),
    ("tls-only", BUCKET_POLICY, {"policy": document({**PLAIN_TEXT, "Action": "*"})}),
    ("pass-role-bounded", IAM_POLICY, {"policy": allow(Action=["iam:Get*", "s3:*"])}),
    ("no-whole-service", IAM_POLICY,
     {"policy": allow(Action="kms:*",
                      Condition={"StringEquals": {"aws:ResourceAccount": "111122223333"}})}),
    ("no-wildcard-principal", BUCKET_POLICY,
     {"policy": document({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"})}),
    ("service-principal-bounded", "aws:kms/key:Key",
     {"policy": allow(Action="kms:Encrypt*",
                      Principal={"Service": "logs.eu-west-1.amazonaws.com"},
                      Condition={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn":
                                 "arn:aws:logs:eu-west-1:111122223333:log-group:*"}})}),
    ("sagemaker-customer-key", DOMAIN,
     {"kmsKeyId": UNKNOWN,
      "defaultUserSettings": {"sharingSettings": {"notebookOutputOption": "Disabled"}}}),
    ("function-permission-bounded", "aws:lambda/permission:Permission",
     {"principal": "arn:aws:iam::111122223333:role/pipeline"}),
    ("instance-types", "aws:sagemaker/pipeline:Pipeline",
     {"pipelineDefinition": json.dumps({"Steps": [{"Name": "T", "Type": "Training", "Arguments":
      {"ResourceConfig": {"InstanceType": {"Get": "Parameters.InstanceType"}}}}]})}),
    ("oidc-trust-bounded", ROLE,
     {"assumeRolePolicy": document({"Effect": "Allow", "Action": "sts:AssumeRoleWithSAML",
      "Principal": {"Federated": "arn:aws:iam::111122223333:saml-provider/company"}})}),
    ("two-subnets", DOMAIN, {"subnetIds": [UNKNOWN, UNKNOWN]}),
    ("two-subnets", TUNING, {"trainingJobDefinition": {"definitionName": "alone"}}),
    ("instance-types", TUNING,
     {"trainingJobDefinition": {"resourceConfig": {"instanceType": "ml.m5.large"}}}),
    ("key-policy-present", "aws:kms/key:Key", {"policy": UNKNOWN}),
    ("required-tags", "aws:s3/bucket:Bucket",
     {"tags": {"owner": UNKNOWN, "cost-centre": UNKNOWN, "environment": UNKNOWN}}),
    ("endpoint-policy-bounded", "aws:ec2/vpcEndpoint:VpcEndpoint",
     {"policy": allow(Action="s3:GetObject", Principal="*",
                      Resource="arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*")}),
    ("trust-bounded", ROLE,
     {"assumeRolePolicy": document({"Effect": "Allow", "Action": "sts:AssumeRole",
      "Principal": {"AWS": "arn:aws:iam::444455556666:root"},
      "Condition": {"StringEquals": {"aws:PrincipalTag/persona": "ml-engineer"}}})}),
]  # fmt: skip

PUT_OFF = [
    ("role-boundary", ROLE, {"permissionsBoundary": UNKNOWN}),
    ("tls-only", BUCKET_POLICY, {"policy": UNKNOWN}),
    ("studio-vpc-only", DOMAIN, {"appNetworkAccessType": UNKNOWN}),
    ("no-administrator-policy", ROLE, {"inlinePolicies": [{"policy": UNKNOWN}]}),
    ("required-tags", "aws:s3/bucket:Bucket", {"tags": UNKNOWN}),
    ("pipeline-jobs-in-vpc", "aws:sagemaker/pipeline:Pipeline", {"pipelineDefinition": UNKNOWN}),
    ("two-subnets", DOMAIN, {"subnetIds": UNKNOWN}),
    ("instance-types", TUNING, {"trainingJobDefinition": UNKNOWN}),
    ("workloads-in-vpc", "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition",
     {"networkConfig": UNKNOWN}),
]  # fmt: skip


def rule(name: str) -> ResourceRule:
    found = BY_NAME[name]
    assert isinstance(found, ResourceRule)
    return found


def of(cases: list[Any]) -> Any:
    named = [pytest.param(*case, id=f"{case[0]}-{index}") for index, case in enumerate(cases)]
    return pytest.mark.parametrize(("name", "type_", "properties"), named)


@of(REFUSED)
def test_refused(name: str, type_: str, properties: dict[str, Any]) -> None:
    assert run(rule(name), Example(type_, properties)).violations


@of(ACCEPTED)
def test_accepted(name: str, type_: str, properties: dict[str, Any]) -> None:
    outcome = run(rule(name), Example(type_, properties))

    assert outcome.violations == []
    assert outcome.put_off is None


@of(PUT_OFF)
def test_put_off_with_the_reason(name: str, type_: str, properties: dict[str, Any]) -> None:
    outcome = run(rule(name), Example(type_, properties))

    assert outcome.violations == []
    assert outcome.put_off
    assert "not known until the update" in outcome.put_off


def test_an_instance_type_is_known_as_nvme_or_not() -> None:
    with_nvme = ["g5.xlarge", "g4dn.xlarge", "p4d.24xlarge", "p4de.24xlarge", "c6id.large",
                 "m5d.large", "r5d.large", "g6.xlarge", "p5.48xlarge", "trn1.2xlarge",
                 "m7gd.large", "g4ad.xlarge"]  # fmt: skip
    without = ["m5.large", "t3.medium", "c5.xlarge", "m6i.large", "inf2.xlarge", "p3.2xlarge",
               "r5.large", "m7g.large", "c5n.large", "g5g.xlarge"]  # fmt: skip

    assert [kind for kind in with_nvme if not has_nvme(f"ml.{kind}")] == []
    assert [kind for kind in without if has_nvme(f"ml.{kind}")] == []
    assert len(set(NVME_INSTANCE_TYPES)) == len(NVME_INSTANCE_TYPES)


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("com.amazonaws.eu-west-1.s3", "s3"),
        ("com.amazonaws.eu-west-1.ecr.dkr", "ecr.dkr"),
        ("com.amazonaws.eu-west-1.sagemaker.api", "sagemaker.api"),
        ("aws.sagemaker.eu-west-1.studio", "studio"),
    ],
)
def test_the_service_of_an_endpoint(name: str, service: str) -> None:
    assert endpoint_service(name) == service


def test_every_job_of_a_pipeline_is_looked_at_also_below_a_condition() -> None:
    bare = {"Name": "Evaluate", "Type": "Processing", "Arguments": {}}
    steps = [{"Name": "If", "Type": "Condition", "Arguments": {"IfSteps": [bare],
              "ElseSteps": [{**bare, "Name": "Again"}]}}]  # fmt: skip
    pipeline = Example(
        "aws:sagemaker/pipeline:Pipeline", {"pipelineDefinition": json.dumps({"Steps": steps})}
    )

    violations = run(rule("pipeline-jobs-in-vpc"), pipeline).violations

    assert len(violations) == 2
    assert "Evaluate" in violations[0]
    assert "Again" in violations[1]


def test_a_type_of_many_instances_comes_from_the_configuration() -> None:
    notebook = Example(
        "aws:sagemaker/notebookInstance:NotebookInstance", {"instanceType": "ml.p4d.24xlarge"}
    )

    assert run(rule("instance-types"), notebook, config={"types": ["ml.p4d.*"]}).violations == []


def test_production_is_stricter_by_the_name_of_the_stack() -> None:
    logs = {"retentionInDays": 90}
    group = "aws:cloudwatch/logGroup:LogGroup"

    assert run(rule("log-retention"), Example(group, logs, stack="preprod")).violations == []
    assert run(rule("log-retention"), Example(group, logs, stack="acme-prod")).violations
    assert run(
        rule("log-retention"),
        Example(group, logs, stack="live"),
        config={"production_stacks": ["live"]},
    ).violations
