"""What makes a retraining of drift: the platform's own statements and function, on the emulator.

One account stands for dev and for preprod, as where a company has one for both.
"""

from __future__ import annotations

import json
from typing import Any

from components import iam
from components.events import (
    DRIFT_FORWARDER,
    bus_statements,
    hub_bus_arn,
)
from components.naming import Names, Placement
from components.projects import policies
from components.retraining import RETRAINING, STARTER, found, retraining_statements
from tests.localcloud.emulators import DEV, HUB, ORGANIZATION, REGION, Cloud, trusting
from tests.localcloud.kit import function_code, zipped

PLACEMENT = Placement(
    prefix="acme",
    environment="governance",
    region=REGION,
    account_id=HUB,
    accounts={"governance": HUB, "dev": DEV, "preprod": DEV},
    organization_id=ORGANIZATION,
    protect=False,
)
AT = {name: Names.at(PLACEMENT, name) for name in PLACEMENT["accounts"]}
LOGS = {
    "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    "Resource": "*",
}


def given(statements: list[iam.Statement]) -> list[dict[str, Any]]:
    """Statements as an emulated role takes them."""
    return iam.document(statements)["Statement"]


class RetrainingHub:
    """The hub, the target's forwarder and a project's build in dev.

    Args:
        cloud: The emulator.
        project: The project.
    """

    def __init__(self, cloud: Cloud, project: str) -> None:
        self._cloud, self.project = cloud, project
        self.pipeline = AT["dev"].name(f"{project}-build")
        self._bus()
        self._function()
        self._forwarder()
        self._build()

    def _bus(self) -> None:
        events = self._cloud.client("events", HUB)
        events.create_event_bus(Name=AT["governance"].name("models"))
        events.put_permission(
            EventBusName=AT["governance"].name("models"),
            Policy=json.dumps(iam.document(bus_statements(PLACEMENT))),
        )

    def _function(self) -> None:
        hub, cloud = AT["governance"], self._cloud
        cloud.client("dynamodb", HUB).create_table(
            TableName=hub.name(RETRAINING),
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "Project", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Project", "AttributeType": "S"}],
        )
        role = cloud.role(
            hub.role(RETRAINING),
            *given(retraining_statements(PLACEMENT, [])),
            LOGS,
            account=HUB,
            trust=trusting("lambda"),
        )
        lambda_ = cloud.client("lambda", HUB)
        arn = lambda_.create_function(
            FunctionName=hub.name(RETRAINING),
            Role=role,
            Runtime="python3.11",
            Handler="functions.retraining.handler.handle",
            Code={"ZipFile": zipped(function_code("retraining", "deployment", "promotion"))},
            Timeout=60,
            Environment={
                "Variables": {
                    "PREFIX": hub.prefix,
                    "ACCOUNTS": json.dumps({"preprod": DEV}),
                    "TABLE": hub.name(RETRAINING),
                    "PROJECT_PARAMETERS": hub.parameter("projects"),
                }
            },
        )["FunctionArn"]
        events, bus = cloud.client("events", HUB), hub.name("models")
        rule = events.put_rule(
            Name=hub.name(RETRAINING), EventBusName=bus, EventPattern=json.dumps(found([DEV]))
        )["RuleArn"]
        lambda_.add_permission(
            FunctionName=hub.name(RETRAINING), StatementId="Rule", SourceArn=rule,
            Action="lambda:InvokeFunction", Principal="events.amazonaws.com",
        )  # fmt: skip
        events.put_targets(
            Rule=hub.name(RETRAINING), EventBusName=bus, Targets=[{"Id": "function", "Arn": arn}]
        )

    def _forwarder(self) -> None:
        target, bus = AT["preprod"], hub_bus_arn(PLACEMENT)
        role = self._cloud.role(
            target.role(DRIFT_FORWARDER),
            {"Action": "events:PutEvents", "Resource": bus},
            trust=trusting("events"),
        )
        events = self._cloud.client("events")
        events.put_rule(Name=target.name("drift"), EventPattern=json.dumps(found([DEV])))
        events.put_targets(
            Rule=target.name("drift"), Targets=[{"Id": "hub", "Arn": bus, "RoleArn": role}]
        )

    def _build(self) -> None:
        dev, hub, cloud = AT["dev"], AT["governance"], self._cloud
        starter = cloud.role(
            dev.role(STARTER.format(self.project)),
            *given(policies.retrain_statements(PLACEMENT, self.project)),
        )
        trust = iam.only_role(
            hub.root_arn, [hub.role_arn(RETRAINING)], sid="Drift", actions=["sts:AssumeRole"]
        )
        cloud.client("iam").update_assume_role_policy(
            RoleName=dev.role(STARTER.format(self.project)),
            PolicyDocument=json.dumps(iam.document([trust])),
        )
        runner = cloud.role("build-pipeline", LOGS, trust=trusting("codepipeline"))
        cloud.client("s3").create_bucket(
            Bucket="build-store", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        source = {
            "RepositoryName": "none", "BranchName": "main", "PollForSourceChanges": "false",
        }  # fmt: skip
        cloud.client("codepipeline").create_pipeline(
            pipeline={
                "name": self.pipeline,
                "roleArn": runner,
                "pipelineType": "V2",
                "executionMode": "QUEUED",
                "artifactStore": {"type": "S3", "location": "build-store"},
                "stages": [
                    _stage("Source", "Source", "CodeCommit", source, output="source"),
                    _stage("Build", "Build", "CodeBuild", {"ProjectName": "none"}, input="source"),
                ],
            }
        )
        cloud.client("ssm", HUB).put_parameter(
            Name=hub.parameter(f"projects/{self.project}"),
            Type="String",
            Value=json.dumps(
                {
                    "group": hub.name(self.project),
                    "retraining": {"role": starter, "pipeline": self.pipeline},
                }
            ),
        )

    def runs(self) -> list[str]:
        """Ids of the build's runs; the first one is of the pipeline's creation."""
        told = self._cloud.client("codepipeline").list_pipeline_executions(
            pipelineName=self.pipeline
        )
        return [item["pipelineExecutionId"] for item in told["pipelineExecutionSummaries"]][::-1]

    def outcomes(self) -> list[str]:
        """What the function said of each event."""
        logs = self._cloud.client("logs", HUB)
        group = f"/aws/lambda/{AT['governance'].name(RETRAINING)}"
        try:
            told = logs.filter_log_events(logGroupName=group)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        lines = [item["message"] for item in told if item["message"].startswith("{")]
        return [json.loads(line)["outcome"] for line in lines]


def _stage(
    name: str, category: str, provider: str, configuration: dict[str, str], **artifacts: str
) -> dict[str, Any]:
    action = {
        "name": name,
        "actionTypeId": {
            "category": category, "owner": "AWS", "provider": provider, "version": "1",
        },
        "configuration": configuration,
        **{f"{side}Artifacts": [{"name": artifact}] for side, artifact in artifacts.items()},
    }  # fmt: skip
    return {"name": name, "actions": [action]}
