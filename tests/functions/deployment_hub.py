"""The deployment function in a hub on the emulator, beside the promotion function.

CodePipeline is stood in for by an object that keeps runs in memory; whatever is asked
and answered is checked against botocore's models of the two services.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.session import get_session
from botocore.validate import ParamValidator

from functions.deployment.deployments import Caller, Deployments
from functions.deployment.handler import dispatch, make_deployments
from functions.deployment.settings import read_settings
from functions.deployment.signatures import sign
from functions.promotion.handler import write_log
from tests.functions.platform import FRAMEWORK_ACCOUNT, MODELS, Platform, message
from tests.localcloud.emulators import HUB, REGION, Cloud, document
from tests.localcloud.kit import function_code, zipped

TABLE, ROLE = "acme-governance-deployments", "acme-governance-deployments"
PARAMETERS = "/acme/governance/projects"
ENVIRONMENT = {
    "HUB_ACCOUNT": HUB,
    "LEDGER_TABLE": TABLE,
    "GROUP_PREFIX": "acme-governance-",
    "PROJECT_PARAMETERS": PARAMETERS,
    "IMAGE_ACCOUNTS": json.dumps([FRAMEWORK_ACCOUNT]),
    "SERVICE_ROLES": '["acme-dev-pipeline-execution"]',
}


def function_statements(key: str) -> list[dict[str, Any]]:
    """All that the handler's documentation says the function's role needs."""
    here = f"{REGION}:{HUB}"
    return [
        {
            "Action": [
                "dynamodb:GetItem",
                "dynamodb:Query",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
            ],
            "Resource": f"arn:aws:dynamodb:{here}:table/{TABLE}",
        },
        {
            "Action": ["ssm:GetParameter", "ssm:GetParametersByPath"],
            "Resource": [
                f"arn:aws:ssm:{here}:parameter{PARAMETERS}",
                f"arn:aws:ssm:{here}:parameter{PARAMETERS}/*",
            ],
        },
        {
            "Action": "sagemaker:DescribeModelPackage",
            "Resource": f"arn:aws:sagemaker:{here}:model-package/acme-governance-*",
        },
        {
            "Action": ["sagemaker:DescribeModelCard", "sagemaker:UpdateModelCard"],
            "Resource": f"arn:aws:sagemaker:{here}:model-card/acme-governance-*",
        },
        {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{MODELS}/promoted/*"},
        {
            "Action": ["s3:ListBucket", "s3:ListBucketVersions"],
            "Resource": f"arn:aws:s3:::{MODELS}",
        },
        {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key},
        {
            "Action": "ecr:DescribeImageScanFindings",
            "Resource": f"arn:aws:ecr:{here}:repository/acme-governance-*",
        },
    ]


def make_ledger(dynamodb: Any) -> None:
    """Makes the ledger of deployments, empty."""
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": "Deployment", "KeyType": "HASH"},
            {"AttributeName": "Sequence", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "Deployment", "AttributeType": "S"},
            {"AttributeName": "Sequence", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def deploy_function(cloud: Cloud, role: str, **more: str) -> None:
    """The function itself, in the hub's Lambda.

    Args:
        cloud: The emulator.
        role: ARN of what it runs as.
        more: More environment variables.
    """
    cloud.client("lambda", HUB).create_function(
        FunctionName=TABLE,
        Role=role,
        Runtime="python3.11",
        Handler="functions.deployment.handler.handle",
        Code={"ZipFile": zipped(function_code("deployment", "promotion"))},
        Timeout=60,
        Environment={"Variables": {**ENVIRONMENT, **more}},
    )


class Modelled:
    """Calls by a service's model: inputs and answers that it does not allow are errors."""

    def __init__(self, service: str, real: Any) -> None:
        self._real = real
        self._model = get_session().get_service_model(service)

    def __getattr__(self, name: str) -> Any:
        operation = next(
            item
            for item in self._model.operation_names
            if item.lower() == name.replace("_", "").lower()
        )
        shapes = self._model.operation_model(operation)

        def call(**params: Any) -> Any:
            self._check(params, shapes.input_shape)
            answer = getattr(self._real, name)(**params)
            self._check(answer, shapes.output_shape)
            return answer

        return call

    def get_paginator(self, name: str) -> Any:
        call = getattr(self, name)

        class Paginator:
            def paginate(self, **params: Any) -> Iterator[Any]:
                while True:
                    page = call(**params)
                    yield page
                    if "nextToken" not in page:
                        return
                    params["nextToken"] = page["nextToken"]

        return Paginator()

    @staticmethod
    def _check(value: Any, shape: Any) -> None:
        report = ParamValidator().validate(value, shape)
        assert not report.has_errors(), report.generate_report()
        for member, content in value.items():
            assert member in shape.members, f"{shape.name} has no {member}"
            if isinstance(content, str):
                pattern = shape.members[member].metadata.get("pattern")
                assert pattern is None or re.fullmatch(pattern, content), content


@dataclass
class Pipelines:
    """Runs of pipelines, and what people approve in them."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    actions: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)

    def start_pipeline_execution(
        self,
        name: str,
        variables: list[dict[str, str]],
        clientRequestToken: str,  # noqa: N803
    ) -> dict[str, Any]:
        run = self.runs.setdefault(
            clientRequestToken, {"id": str(uuid.uuid4()), "name": name, "variables": variables}
        )
        return {"pipelineExecutionId": run["id"]}

    def approve(
        self, execution: str, by: str, why: str = "tests are green", status: str = "Succeeded"
    ) -> None:
        """A person's word in the pipeline, as CodePipeline keeps it."""
        now = dt.datetime.now(dt.UTC)
        kind = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
        self.actions.append(
            {
                "pipelineExecutionId": execution,
                "actionExecutionId": str(uuid.uuid4()),
                "stageName": "ApproveProd",
                "actionName": "Approve",
                "startTime": now,
                "lastUpdateTime": now,
                "updatedBy": by,
                "status": status,
                "input": {"actionTypeId": kind},
                "output": {"executionResult": {"externalExecutionSummary": why}},
            }
        )

    def list_action_executions(
        self,
        pipelineName: str,  # noqa: N803
        filter: dict[str, str],
        nextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        found = [
            action
            for action in self.actions
            if action["pipelineExecutionId"] == filter["pipelineExecutionId"]
        ]
        page = {"actionExecutionDetails": found[int(nextToken) : int(nextToken) + 1]}
        following = int(nextToken) + 1
        return {**page, **({"nextToken": str(following)} if following < len(found) else {})}

    def get_pipeline_state(self, name: str) -> dict[str, Any]:
        return {"pipelineName": name, "stageStates": self.states}


class DeployingHub:
    """What is deployed in the hub, and what people do there."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.platform = Platform(cloud)
        self.table = cloud.client("dynamodb", HUB)
        make_ledger(self.table)
        self.platform.hub_s3.put_bucket_versioning(
            Bucket=MODELS, VersioningConfiguration={"Status": "Enabled"}
        )
        self.role = cloud.role(ROLE, account=HUB)
        cloud.client("iam", HUB).put_role_policy(
            RoleName=ROLE,
            PolicyName="deployments",
            PolicyDocument=document(*function_statements(self.platform.key)),
        )
        self.people = {
            name: cloud.role(
                name,
                {"Action": ["sagemaker:*", "iam:PassRole"], "Resource": "*"},
                account=account,
            )
            for name, account in (
                ("acme-dev-data-scientist", cloud.started.description["accounts"]["dev"]),
                ("acme-governance-ml-engineer", HUB),
            )
        }
        self.pipelines = Pipelines()
        self.logged: list[dict[str, Any]] = []

    def function(self, **changes: str) -> Deployments:
        """The function, as deployed."""
        settings = read_settings(
            {
                "AWS_REGION": REGION,
                **ENVIRONMENT,
                **changes,
            }
        )
        session = self.cloud.assume(self.role)
        stand_ins = {"codepipeline": self.pipelines}

        def client(service: str) -> Any:
            if service in stand_ins:
                return Modelled(service, stand_ins[service])
            made = session.client(
                service,
                endpoint_url=self.cloud.started.endpoint,
                config=Config(retries={"total_max_attempts": 1}),
            )
            return self.platform.wire.watch(made, service)

        def log(**line: Any) -> None:
            self.logged.append(line)
            write_log(**line)

        return make_deployments(settings, client, log)

    def session(self, role: str, name: str) -> Any:
        """SageMaker as a person in a role."""
        return self.cloud.client("sagemaker", session=self.person_session(role, name))

    def person_session(self, role: str, name: str) -> boto3.Session:
        """A person in a role."""
        return self.cloud.assume(self.people[role], name=name)

    def signed(
        self, name: str, request: dict[str, Any], role: str = "acme-governance-ml-engineer"
    ) -> dict[str, Any]:
        """A request that a person signs."""
        credentials = self.person_session(role, name).get_credentials()
        assert credentials is not None
        return sign(
            request, credentials.get_frozen_credentials(), self.cloud.started.endpoint, REGION
        )

    def project(self) -> str:
        """A new project; gives its name."""
        name = f"p{uuid.uuid4().hex[:10]}"
        self.platform.dev.create_model_package_group(ModelPackageGroupName=f"acme-dev-{name}")
        told = {
            "id": f"p-{uuid.uuid4().hex[:12]}",
            "group": f"acme-governance-{name}",
            "ci": "codepipeline",
            "pipeline": f"acme-governance-{name}",
            "restore": {
                environment: f"acme-governance-{name}-restore-{environment}"
                for environment in ("preprod", "prod", "prod-eu")
            },
        }
        self.cloud.client("ssm", HUB).put_parameter(
            Name=f"{PARAMETERS}/{name}", Value=json.dumps(told), Type="String"
        )
        return name

    def promoted(self, project: str, by: str = "ada", **members: Any) -> str:
        """A version that a data scientist registers in dev, in the hub; gives its ARN."""
        arn = self.session("acme-dev-data-scientist", by).create_model_package(
            **self.version(project, ModelApprovalStatus="Approved", **members)
        )["ModelPackageArn"]
        return self.arrived(arn)

    def arrived(self, arn: str) -> str:
        """An approved version of dev, promoted; gives its ARN in the hub."""
        assert self.platform.deliver(message(arn)) == []
        return self.platform.central(arn)[0]["ModelPackageArn"]

    def version(
        self, project: str, report: bytes = b'{"a": {"b": 1}}', **members: Any
    ) -> dict[str, Any]:
        """What a version is registered with, its artifacts in dev."""
        platform = self.platform
        mark = uuid.uuid4().hex
        content = members.pop("model", mark.encode())
        model = platform.upload(f"{project}/{mark}/model.tar.gz", content)
        uri = platform.upload(f"{project}/{mark}/report.json", report)
        quality = {"Statistics": {"ContentType": "application/json", "S3Uri": uri}}
        image = members.pop("image", f"{FRAMEWORK_ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/x:1")
        answers = members.pop("answers", "application/json")
        return {
            "ModelPackageGroupName": f"acme-dev-{project}",
            "InferenceSpecification": {
                "Containers": [
                    {"Image": image, "ModelDataUrl": model, "Environment": {"THREADS": "2"}}
                ],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": [answers],
            },
            "ModelMetrics": {"ModelQuality": quality},
            **members,
        }

    def decide(
        self, function: Deployments, arn: str, status: str = "Approved", by: str = "alex"
    ) -> dict[str, Any]:
        """A person decides on a version in the hub, and the event of it comes."""
        self.session("acme-governance-ml-engineer", by).update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus=status, ApprovalDescription="beats the last"
        )
        event = self.event(arn, status)
        dispatch(function, event)
        return event

    def event(self, arn: str, status: str = "Approved") -> dict[str, Any]:
        event = json.loads(message(arn, status)["body"])
        return {**event, "time": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}

    def begin(
        self,
        function: Deployments,
        arn: str,
        environment: str,
        execution: str | None = None,
        kind: str = "deploy",
    ) -> dict[str, Any]:
        return dispatch(
            function,
            {
                "action": "begin",
                "group": arn.split("/")[1],
                "environment": environment,
                "model_package_arn": arn,
                "execution": execution or self.execution(arn),
                "kind": kind,
            },
            self.caller(arn, environment),
        )

    def finish(
        self, function: Deployments, arn: str, environment: str, sequence: int, outcome: str
    ) -> dict[str, Any]:
        return dispatch(
            function,
            {
                "action": "finish",
                "group": arn.split("/")[1],
                "environment": environment,
                "sequence": sequence,
                "outcome": outcome,
                "reason": "" if outcome == "Live" else "a test failed",
                "endpoint_config": f"config-{sequence}",
            },
            self.caller(arn, environment),
        )

    @staticmethod
    def caller(arn: str, environment: str) -> Caller:
        """By whose alias a version's runs call the function."""
        return Caller(arn.split("/")[1].removeprefix("acme-governance-"), environment)

    def execution(self, arn: str) -> str:
        """The only run that was started for an approval of a version."""
        (run,) = self.runs_of(arn)
        return run["id"]

    def runs_of(self, arn: str) -> list[dict[str, Any]]:
        wanted = {"name": "MODEL_PACKAGE_ARN", "value": arn}
        return [run for run in self.pipelines.runs.values() if wanted in run["variables"]]

    def ledger(self, arn: str, environment: str) -> list[dict[str, Any]]:
        """The attempts of a version's group in an environment, as the table has them."""
        group = arn.split("/")[1]
        items = self.table.query(
            TableName=TABLE,
            KeyConditionExpression="Deployment = :d",
            ExpressionAttributeValues={":d": {"S": f"{group}#{environment}"}},
        )["Items"]
        return [{name: next(iter(told.values())) for name, told in item.items()} for item in items]

    def person(self, name: str, role: str = "acme-governance-officer") -> str:
        return f"arn:aws:sts::{HUB}:assumed-role/{role}/{name}"

    def live_through(self, function: Deployments, arn: str) -> None:
        """Approves a version and brings it to prod."""
        self.decide(function, arn)
        for environment in ("preprod", "prod"):
            if environment == "prod":
                self.pipelines.approve(self.execution(arn), self.person("grace"))
            begun = self.begin(function, arn, environment)
            assert begun["proceed"], begun
            self.finish(function, arn, environment, begun["sequence"], "Live")
