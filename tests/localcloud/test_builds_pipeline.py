"""CodePipeline: sources, builds and approvals that really happen, as the pipeline's role."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.localcloud.delivery import (
    build_end,
    git,
    logs,
    phase,
    push,
    queue_for,
    received,
)
from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, document, running, trusting
from tests.localcloud.kit import until, zipped

STORE, ROLE = "pipeline-store", f"arn:aws:iam::{DEV}:role/pipeline"
BUILDSPEC = yaml.safe_dump(
    {
        "version": 0.2,
        "env": {"exported-variables": ["ANSWER"]},
        "phases": {"build": {"commands": ["sh ./work.sh", "export ANSWER=$(cat answer)"]}},
        "artifacts": {"files": ["answer"]},
    }
)
WORK = 'echo "$GIVEN at $STAGE" > answer; cat answer; test "$GIVEN" != bad\n'


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
        yield cloud


class World:
    """A repository, a connection, a store under a key, a project, roles with the least rights."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self.url = cloud.control("POST", "repositories", {"name": "team/app"})["clone_url"]
        self.commit = self.push({"buildspec.yml": BUILDSPEC, "work.sh": WORK})
        self.connection = cloud.client("codeconnections").create_connection(
            ConnectionName="github", ProviderType="GitHub"
        )["ConnectionArn"]
        self.key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
        self.topic = cloud.client("sns").create_topic(Name="approvals")["TopicArn"]
        cloud.client("s3").create_bucket(
            Bucket=STORE, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        objects = {
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::{STORE}/*",
        }
        keys = {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": self.key}
        base = f"arn:aws:logs:{REGION}:{DEV}:log-group:/aws/codebuild"
        writing = {
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": [f"{base}/*", f"{base}/*:log-stream:*"],
        }
        build = cloud.role("build", objects, keys, writing, trust=trusting("codebuild"))
        project = f"arn:aws:codebuild:{REGION}:{DEV}:project/work"
        cloud.role(
            "pipeline",
            objects,
            keys,
            {"Action": "codeconnections:UseConnection", "Resource": self.connection},
            {"Action": ["codebuild:StartBuild", "codebuild:BatchGetBuilds"], "Resource": project},
            {"Action": "sns:Publish", "Resource": self.topic},
            trust=trusting("codepipeline"),
        )
        cloud.client("codebuild").create_project(
            name="work",
            serviceRole=build,
            source={"type": "CODEPIPELINE"},
            artifacts={"type": "CODEPIPELINE"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
            },
        )

    def push(self, files: dict[str, str]) -> str:
        return push(self.folder, self.url, files)


@pytest.fixture(scope="module")
def world(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(cloud, tmp_path_factory.mktemp("repository"))


def action(
    category: str, provider: str, name: str, configuration: dict[str, str], **more: Any
) -> dict[str, Any]:
    kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": name, "actionTypeId": kind, "configuration": configuration, **more}


def source(world: World, **configuration: str) -> dict[str, Any]:
    given = {
        "ConnectionArn": world.connection,
        "FullRepositoryId": "team/app",
        "BranchName": "main",
        "DetectChanges": "false",
    }
    return action(
        "Source",
        "CodeStarSourceConnection",
        "Code",
        given | configuration,
        outputArtifacts=[{"name": "Code"}],
        namespace="Source",
    )


def build(stage: str, given: str, **more: Any) -> dict[str, Any]:
    variables = [{"name": "STAGE", "value": stage}, {"name": "GIVEN", "value": given}]
    return action(
        "Build",
        "CodeBuild",
        "Work",
        {"ProjectName": "work", "EnvironmentVariables": json.dumps(variables)},
        inputArtifacts=[{"name": "Code"}],
        **more,
    )


def approval(world: World, **configuration: str) -> dict[str, Any]:
    return action("Approval", "Manual", "Approve", configuration)


def pipeline(world: World, name: str, *stages: Any, **settings: Any) -> dict[str, Any]:
    """Makes a pipeline; its variables have no default, so that it does not start by itself."""
    declaration = {
        "name": name,
        "roleArn": ROLE,
        "pipelineType": "V2",
        "artifactStore": {
            "type": "S3",
            "location": STORE,
            "encryptionKey": {"id": world.key, "type": "KMS"},
        },
        "variables": [{"name": "GIVEN"}],
        "stages": [
            {"name": "Source", "actions": [source(world)]},
            *({"name": stage, "actions": actions} for stage, actions in stages),
        ],
        **settings,
    }
    return world.cloud.client("codepipeline").create_pipeline(pipeline=declaration)["pipeline"]


def start(world: World, name: str, given: str = "good", **more: Any) -> str:
    variables = [{"name": "GIVEN", "value": given}]
    return world.cloud.client("codepipeline").start_pipeline_execution(
        name=name, variables=variables, **more
    )["pipelineExecutionId"]


def execution(world: World, name: str, id_: str) -> dict[str, Any]:
    return world.cloud.client("codepipeline").get_pipeline_execution(
        pipelineName=name, pipelineExecutionId=id_
    )["pipelineExecution"]


def end(world: World, name: str, id_: str) -> dict[str, Any]:
    def ended() -> Any:
        found = execution(world, name, id_)
        return found if found["status"] not in ("InProgress", "Stopping") else None

    return until(ended)


def actions(world: World, name: str, id_: str) -> dict[str, dict[str, Any]]:
    """Stage/action -> its newest run in an execution."""
    found = world.cloud.client("codepipeline").list_action_executions(
        pipelineName=name, filter={"pipelineExecutionId": id_}
    )["actionExecutionDetails"]
    return {f"{item['stageName']}/{item['actionName']}": item for item in found[::-1]}


def state(world: World, name: str, stage: str) -> dict[str, Any]:
    found = world.cloud.client("codepipeline").get_pipeline_state(name=name)["stageStates"]
    return next(item for item in found if item["stageName"] == stage)


def asked(world: World, name: str, stage: str = "Ask", id_: str = "") -> str:
    """The token of an approval that waits."""

    def waiting() -> Any:
        found = state(world, name, stage)
        latest = found["actionStates"][0].get("latestExecution", {})
        mine = not id_ or found.get("latestExecution", {}).get("pipelineExecutionId") == id_
        return latest.get("token") if mine else None

    return until(waiting)


def answer(
    world: World, name: str, token: str, status: str = "Approved", session: Any = None
) -> Any:
    return world.cloud.client("codepipeline", session=session).put_approval_result(
        pipelineName=name,
        stageName="Ask",
        actionName="Approve",
        token=token,
        result={"summary": "metrics are fine", "status": status},
    )


def asks(world: World) -> tuple[str, list[dict[str, Any]]]:
    return "Ask", [approval(world)]


def test_source_build_approval_build(world: World) -> None:
    cloud, name = world.cloud, "whole"
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="asked")["QueueUrl"]
    cloud.client("sns").subscribe(
        TopicArn=world.topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{DEV}:asked"
    )
    told = {
        "NotificationArn": world.topic,
        "CustomData": "commit #{Source.CommitId}",
        "ExternalEntityLink": "http://example.com/#{codepipeline.PipelineExecutionId}",
    }
    pipeline(
        world,
        name,
        ("First", [build("first", "#{variables.GIVEN}", namespace="First",
                         outputArtifacts=[{"name": "Answer"}])]),
        ("Ask", [approval(world, **told)]),
        ("Second", [build("second", "#{First.ANSWER} of #{Source.BranchName}")]),
    )  # fmt: skip
    id_ = start(world, name)
    token = asked(world, name)
    (message,) = until(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    notified = json.loads(json.loads(message["Body"])["Message"])["approval"]
    assert notified["token"] == token
    assert notified["customData"] == f"commit {world.commit}"
    assert notified["externalEntityLink"] == f"http://example.com/{id_}"
    assert execution(world, name, id_)["status"] == "InProgress"
    assert "Second/Work" not in actions(world, name, id_)

    role = cloud.role(
        "officer",
        {"Action": "codepipeline:PutApprovalResult",
         "Resource": f"arn:aws:codepipeline:{REGION}:{DEV}:{name}/Ask/Approve"},
    )  # fmt: skip
    answer(world, name, token, session=cloud.assume(role))
    done = end(world, name, id_)
    assert done["status"] == "Succeeded"
    assert done["variables"] == [{"name": "GIVEN", "resolvedValue": "good"}]
    (revision,) = done["artifactRevisions"]
    assert revision["revisionId"] == world.commit

    ran = actions(world, name, id_)
    officer = f"arn:aws:sts::{DEV}:assumed-role/officer/test"
    assert ran["Ask/Approve"]["updatedBy"] == officer
    assert ran["Ask/Approve"]["output"]["executionResult"]["externalExecutionSummary"] == (
        "metrics are fine"
    )
    latest = state(world, name, "Ask")["actionStates"][0]["latestExecution"]
    assert latest["lastUpdatedBy"] == officer
    assert "token" not in latest
    build_id = ran["Second/Work"]["output"]["executionResult"]["externalExecutionId"]
    second = build_end(cloud, build_id)
    assert "\ngood at first of main at second" in logs(cloud, second)
    assert second["initiator"] == "codepipeline/whole"
    assert second["resolvedSourceVersion"] == world.commit

    (artifact,) = ran["First/Work"]["output"]["outputArtifacts"]
    where = artifact["s3location"]
    found = cloud.client("s3").get_object(Bucket=where["bucket"], Key=where["key"])
    assert found["SSEKMSKeyId"] == world.key
    with zipfile.ZipFile(io.BytesIO(found["Body"].read())) as archive:
        assert archive.read("answer") == b"good at first\n"


def test_who_may_not_approve_is_refused_and_the_approval_waits_on(world: World) -> None:
    name = "guarded"
    pipeline(world, name, asks(world))
    id_ = start(world, name)
    token = asked(world, name)
    scientist = world.cloud.role("scientist", {"Action": "codepipeline:Get*", "Resource": "*"})
    arn = f"arn:aws:codepipeline:{REGION}:{DEV}:{name}/Ask/Approve"
    with pytest.raises(ClientError, match=f"scientist/test.*PutApprovalResult.*{arn}"):
        answer(world, name, token, session=world.cloud.assume(scientist))
    with pytest.raises(ClientError, match="InvalidApprovalToken"):
        answer(world, name, "00000000-0000-0000-0000-000000000000")
    assert execution(world, name, id_)["status"] == "InProgress"
    answer(world, name, token)
    assert end(world, name, id_)["status"] == "Succeeded"
    with pytest.raises(ClientError, match="ApprovalAlreadyCompleted"):
        answer(world, name, token, "Rejected")


def test_a_rejection_stops_the_pipeline(world: World) -> None:
    name = "rejected"
    pipeline(world, name, asks(world), ("After", [build("after", "x")]))
    id_ = start(world, name)
    answer(world, name, asked(world, name), "Rejected")
    done = end(world, name, id_)
    assert done["status"] == "Failed"
    assert "metrics are fine" in done["statusSummary"]
    ran = actions(world, name, id_)
    assert ran["Ask/Approve"]["status"] == "Failed"
    assert "After/Work" not in ran
    assert state(world, name, "Ask")["latestExecution"]["status"] == "Failed"


def test_a_failed_build_stops_with_its_cause_and_is_retried(world: World) -> None:
    name = "failing"
    pipeline(world, name, ("First", [build("first", "#{variables.GIVEN}")]))
    id_ = start(world, name, "bad")
    done = end(world, name, id_)
    assert done["status"] == "Failed"
    assert "First/Work" in done["statusSummary"]
    result = actions(world, name, id_)["First/Work"]["output"]["executionResult"]
    assert result["errorDetails"]["code"] == "JobFailed"
    assert "sh ./work.sh. Reason: exit status 1" in result["errorDetails"]["message"]
    assert "bad at first" in logs(
        world.cloud, build_end(world.cloud, result["externalExecutionId"])
    )

    client = world.cloud.client("codepipeline")
    client.retry_stage_execution(
        pipelineName=name, stageName="First", pipelineExecutionId=id_, retryMode="FAILED_ACTIONS"
    )
    assert end(world, name, id_)["status"] == "Failed"
    runs = client.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    assert [run["actionName"] for run in runs] == ["Work", "Work", "Code"]
    newer = start(world, name)
    assert end(world, name, newer)["status"] == "Succeeded"
    with pytest.raises(ClientError, match="NotLatestPipelineExecution"):
        client.retry_stage_execution(
            pipelineName=name, stageName="First", pipelineExecutionId=id_, retryMode="ALL_ACTIONS"
        )


def test_variables_are_the_pipelines_and_a_token_starts_once(world: World) -> None:
    name = "variables"
    pipeline(world, name, asks(world))
    client = world.cloud.client("codepipeline")
    with pytest.raises(ClientError, match="needs a value of GIVEN"):
        client.start_pipeline_execution(name=name)
    with pytest.raises(ClientError, match="has no variable OTHER; it has: GIVEN"):
        client.start_pipeline_execution(name=name, variables=[{"name": "OTHER", "value": "x"}])
    first = start(world, name, clientRequestToken="approved-7")
    assert start(world, name, clientRequestToken="approved-7") == first
    listed = client.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
    assert [item["pipelineExecutionId"] for item in listed] == [first]
    answer(world, name, asked(world, name), "Rejected")
    end(world, name, first)


def test_stopping_and_abandoning(world: World) -> None:
    name = "stopped"
    pipeline(world, name, asks(world), ("After", [build("after", "x")]))
    client = world.cloud.client("codepipeline")
    id_ = start(world, name)
    token = asked(world, name)
    client.stop_pipeline_execution(pipelineName=name, pipelineExecutionId=id_, reason="a mistake")
    assert execution(world, name, id_)["status"] == "Stopping"
    with pytest.raises(ClientError, match="DuplicatedStopRequest"):
        client.stop_pipeline_execution(pipelineName=name, pipelineExecutionId=id_)
    # Stop and wait: what runs may end, nothing follows it.
    answer(world, name, token)
    done = end(world, name, id_)
    assert (done["status"], done["statusSummary"]) == ("Stopped", "a mistake")
    assert "After/Work" not in actions(world, name, id_)

    other = start(world, name)
    asked(world, name, id_=other)
    client.stop_pipeline_execution(
        pipelineName=name, pipelineExecutionId=other, abandon=True, reason="now"
    )
    assert end(world, name, other)["status"] == "Stopped"
    assert actions(world, name, other)["Ask/Approve"]["status"] == "Abandoned"


def test_a_newer_execution_supersedes_the_one_that_waits(world: World) -> None:
    name = "superseded"
    pipeline(world, name, asks(world))
    first = start(world, name)
    token = asked(world, name)
    second, third = start(world, name, "2"), start(world, name, "3")
    assert end(world, name, second)["status"] == "Superseded"
    assert execution(world, name, first)["status"] == "InProgress"
    answer(world, name, token)
    assert end(world, name, first)["status"] == "Succeeded"
    answer(world, name, asked(world, name, id_=third))
    assert end(world, name, third)["status"] == "Succeeded"


def test_queued_executions_come_one_after_the_other(world: World) -> None:
    name = "queued"
    pipeline(world, name, asks(world), executionMode="QUEUED")
    ids = [start(world, name, str(number)) for number in range(3)]
    for id_ in ids:
        answer(world, name, asked(world, name, id_=id_))
        assert end(world, name, id_)["status"] == "Succeeded"


def test_a_role_that_may_not_use_the_connection_fails_at_the_source(world: World) -> None:
    name, cloud = "unconnected", world.cloud
    iam = cloud.client("iam")
    cloud.role(
        "narrow",
        {"Action": "codeconnections:UseConnection", "Resource": world.connection,
         "Condition": {"StringEquals": {"codeconnections:FullRepositoryId": "team/else"}}},
        trust=trusting("codepipeline"),
    )  # fmt: skip
    arn = iam.get_role(RoleName="narrow")["Role"]["Arn"]
    pipeline(world, name, asks(world), roleArn=arn)
    id_ = start(world, name)
    assert end(world, name, id_)["status"] == "Failed"
    result = actions(world, name, id_)["Source/Code"]["output"]["executionResult"]
    assert result["errorDetails"]["code"] == "PermissionError"
    assert "Unable to use Connection" in result["errorDetails"]["message"]


def test_a_role_that_may_not_start_the_build_fails_there(world: World) -> None:
    name, cloud = "unbuilt", world.cloud
    policies = cloud.client("iam")
    given = {
        number: policies.get_role_policy(RoleName="pipeline", PolicyName=f"policy-{number}")
        for number in range(3)
    }
    arn = cloud.role("no-builds", trust=trusting("codepipeline"))
    for number, policy in given.items():
        policies.put_role_policy(
            RoleName="no-builds",
            PolicyName=f"p{number}",
            PolicyDocument=json.dumps(policy["PolicyDocument"]),
        )
    pipeline(world, name, ("First", [build("first", "x")]), roleArn=arn)
    id_ = start(world, name)
    end(world, name, id_)
    result = actions(world, name, id_)["First/Work"]["output"]["executionResult"]
    assert result["errorDetails"]["code"] == "PermissionError"
    assert "codebuild:StartBuild" in result["errorDetails"]["message"]


def test_executions_stages_and_actions_are_events(world: World) -> None:
    name = "telling"
    url = queue_for(
        world.cloud,
        "pipeline-events",
        {"source": ["aws.codepipeline"], "detail": {"pipeline": [name]}},
    )
    pipeline(world, name, ("First", [build("first", "#{variables.GIVEN}")]))
    id_ = start(world, name, "bad")
    end(world, name, id_)
    found: list[dict[str, Any]] = []

    def over() -> bool:
        found.extend(received(world.cloud, url))
        return any(
            event["detail"]["state"] == "FAILED" and "Pipeline Execution" in event["detail-type"]
            for event in found
        )

    until(over)
    told = [
        "/".join(
            [event["detail-type"].split()[1]]
            + [event["detail"][key] for key in ("stage", "action") if key in event["detail"]]
            + [event["detail"]["state"]]
        )
        for event in found
    ]
    assert sorted(told) == sorted(
        [
            "Pipeline/STARTED",
            "Stage/Source/STARTED",
            "Action/Source/Code/STARTED",
            "Action/Source/Code/SUCCEEDED",
            "Stage/Source/SUCCEEDED",
            "Stage/First/STARTED",
            "Action/First/Work/STARTED",
            "Action/First/Work/FAILED",
            "Stage/First/FAILED",
            "Pipeline/FAILED",
        ]
    )
    arn = f"arn:aws:codepipeline:{REGION}:{DEV}:{name}"
    assert {event["detail"]["execution-id"] for event in found} == {id_}
    assert all(event["resources"] == [arn] for event in found)


def test_a_push_starts_the_pipeline_at_its_commit(world: World) -> None:
    name = "detecting"
    detects = {"name": "Source", "actions": [source(world, DetectChanges="true")]}
    stages = [detects, {"name": "First", "actions": [build("first", "pushed")]}]
    pipeline(world, name, stages=stages, variables=[])
    client = world.cloud.client("codepipeline")

    def listed(number: int) -> Any:
        found = client.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
        return found if len(found) == number else None

    # CodePipeline starts a new pipeline by itself.
    assert listed(1)[0]["trigger"]["triggerType"] == "CreatePipeline"
    world.commit = world.push({"more": "x"})
    newest = until(lambda: listed(2))[0]
    assert newest["trigger"]["triggerType"] == "WebhookV2"
    done = end(world, name, newest["pipelineExecutionId"])
    assert done["artifactRevisions"][0]["revisionId"] == world.commit
    client.delete_pipeline(name=name)
    with pytest.raises(ClientError, match="PipelineNotFound"):
        client.get_pipeline(name=name)


def test_rules_start_pipelines_and_builds_by_their_targets_role(world: World) -> None:
    cloud, name = world.cloud, "ruled"
    pipeline(world, name, asks(world))
    events, client = cloud.client("events"), cloud.client("codepipeline")
    arn = f"arn:aws:codepipeline:{REGION}:{DEV}:{name}"
    project = f"arn:aws:codebuild:{REGION}:{DEV}:project/work"
    trust = trusting("events")
    may = cloud.role(
        "rules",
        {"Action": "codepipeline:StartPipelineExecution", "Resource": arn},
        {"Action": "codebuild:StartBuild", "Resource": project},
        trust=trust,
    )
    may_not = cloud.role("no-rules", trust=trust)
    events.put_rule(Name="go", EventPattern=json.dumps({"source": ["test"]}))
    given = json.dumps({"variables": [{"name": "GIVEN", "value": "ruled"}]})
    override = {
        "sourceTypeOverride": "NO_SOURCE",
        "buildspecOverride": "version: 0.2\nphases: {build: {commands: [echo by-rule]}}\n",
        "artifactsOverride": {"type": "NO_ARTIFACTS"},
    }
    targets = [
        {"Id": "pipeline", "Arn": arn, "RoleArn": may, "Input": given},
        {"Id": "build", "Arn": project, "RoleArn": may, "Input": json.dumps(override)},
        {"Id": "refused", "Arn": arn, "RoleArn": may_not, "Input": given},
    ]
    events.put_targets(Rule="go", Targets=targets)
    before = len(cloud.control("GET", "undelivered"))
    builds = cloud.client("codebuild").list_builds_for_project(projectName="work")["ids"]
    entry = {"Source": "test", "DetailType": "x", "Detail": "{}"}
    events.put_events(Entries=[entry])
    (found,) = client.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
    assert found["trigger"]["triggerType"] == "CloudWatchEvent"
    (refused,) = cloud.control("GET", "undelivered")[before:]
    assert "no-rules" in refused["reason"]
    newer = cloud.client("codebuild").list_builds_for_project(projectName="work")["ids"]
    (new,) = set(newer) - set(builds)
    assert "by-rule" in logs(cloud, build_end(cloud, new))
    answer(world, name, asked(world, name))
    id_ = found["pipelineExecutionId"]
    assert end(world, name, id_)["variables"][0]["resolvedValue"] == "ruled"
    events.remove_targets(Rule="go", Ids=["pipeline", "build", "refused"])


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ([("Two", [action("Invoke", "Lambda", "Call", {"FunctionName": "f"})])],
         "no Invoke action of AWS Lambda"),
        ([("Two", [build("x", "y") | {"inputArtifacts": [{"name": "Other"}]}])],
         "nothing before it makes Other"),
        ([], "two stages"),
        ([("Two", [action("Approval", "Manual", "A", {"Notify": "x"})])],
         "unknown configuration Notify"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_when_it_is_declared(
    world: World, stages: Any, told: str
) -> None:
    with pytest.raises(ClientError, match=told):
        pipeline(world, "wrong", *stages)


def test_codecommit_by_git_and_by_api_under_iam(world: World, tmp_path: Path) -> None:
    cloud = world.cloud
    codecommit = cloud.client("codecommit")
    metadata = codecommit.create_repository(repositoryName="deploys")["repositoryMetadata"]
    first = codecommit.create_commit(
        repositoryName="deploys",
        branchName="main",
        commitMessage="Begin",
        authorName="Ana",
        email="ana@example.com",
        putFiles=[{"filePath": "a/b.txt", "fileContent": b"hello\n"}],
    )["commitId"]
    with pytest.raises(ClientError, match="ParentCommitIdOutdated"):
        codecommit.create_commit(
            repositoryName="deploys", branchName="main", parentCommitId="0" * 40,
            putFiles=[{"filePath": "c", "fileContent": b""}],
        )  # fmt: skip
    found = codecommit.get_file(repositoryName="deploys", filePath="a/b.txt")
    assert (found["commitId"], found["fileContent"]) == (first, b"hello\n")

    def url(session: Any) -> str:
        keys = session.get_credentials()
        user = f"{keys.access_key}%25{keys.token}"
        return metadata["cloneUrlHttp"].replace("://", f"://{user}:20260101T000000Zx@")

    reader = cloud.assume(
        cloud.role("reader", {"Action": "codecommit:GitPull", "Resource": metadata["Arn"]})
    )
    nobody = cloud.assume(cloud.role("nobody"))
    told = queue_for(cloud, "commits", {"source": ["aws.codecommit"]})
    refused = git(tmp_path, "clone", url(nobody), "none", check=False)
    assert refused.returncode
    assert git(tmp_path, "clone", metadata["cloneUrlHttp"], "none", check=False).returncode
    git(tmp_path, "clone", "--quiet", url(reader), "copy")
    copy = tmp_path / "copy"
    assert (copy / "a" / "b.txt").read_text() == "hello\n"
    git(copy, "commit", "--quiet", "--allow-empty", "-m", "More")
    assert "403" in git(copy, "push", "origin", "main", check=False).stderr
    assert received(cloud, told) == []
    writer = cloud.assume(
        cloud.role("writer", {"Action": "codecommit:GitPush", "Resource": metadata["Arn"]})
    )
    git(copy, "push", "--quiet", url(writer), "main")
    head = git(copy, "rev-parse", "HEAD").stdout.strip()
    branch = codecommit.get_branch(repositoryName="deploys", branchName="main")["branch"]
    assert branch["commitId"] == head
    (event,) = received(cloud, told)
    assert event["detail"]["commitId"] == head
    codecommit.delete_repository(repositoryName="deploys")
    assert git(tmp_path, "clone", url(reader), "gone", check=False).returncode


def test_sources_in_codecommit_and_s3_are_inputs_of_one_build(world: World) -> None:
    cloud, name = world.cloud, "two-sources"
    spec = {
        "version": 0.2,
        "phases": {
            "build": {
                "commands": ["cat given", "cat $CODEBUILD_SRC_DIR_Data/rows.csv", "mkdir more"],
                "finally": ["echo 1 > one; echo 2 > more/two"],
            }
        },
        "artifacts": {
            "secondary-artifacts": {
                "One": {"files": ["one"]},
                "Two": {"files": ["**/*"], "base-directory": "more"},
            }
        },
    }
    files = {"buildspec.yml": yaml.safe_dump(spec), "given": "from-codecommit\n"}
    codecommit = cloud.client("codecommit")
    codecommit.create_repository(repositoryName="steps")
    commit = codecommit.create_commit(
        repositoryName="steps",
        branchName="main",
        putFiles=[{"filePath": k, "fileContent": v.encode()} for k, v in files.items()],
    )["commitId"]
    data = zipped({"rows.csv": "from-s3\n"})
    s3 = cloud.client("s3")
    s3.put_bucket_versioning(Bucket=STORE, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=STORE, Key="data.zip", Body=data)["VersionId"]
    repository = f"arn:aws:codecommit:{REGION}:{DEV}:steps"
    reading = ["GetBranch", "GetCommit", "UploadArchive", "GetUploadArchiveStatus"]
    for policy, statement in {
        "commits": {
            "Action": [f"codecommit:{right}" for right in reading],
            "Resource": repository,
        },
        "versions": {
            "Action": "s3:GetBucketVersioning",
            "Resource": f"arn:aws:s3:::{STORE}",
        },
    }.items():
        cloud.client("iam").put_role_policy(
            RoleName="pipeline", PolicyName=policy, PolicyDocument=document(statement)
        )
    polls = {"PollForSourceChanges": "false"}
    sources = [
        action("Source", "CodeCommit", "Code",
               {"RepositoryName": "steps", "BranchName": "main", **polls},
               outputArtifacts=[{"name": "Code"}]),
        action("Source", "S3", "Data", {"S3Bucket": STORE, "S3ObjectKey": "data.zip", **polls},
               outputArtifacts=[{"name": "Data"}], namespace="Data"),
    ]  # fmt: skip
    work = action(
        "Build",
        "CodeBuild",
        "Work",
        {"ProjectName": "work", "PrimarySource": "Code"},
        inputArtifacts=[{"name": "Data"}, {"name": "Code"}],
        outputArtifacts=[{"name": "One"}, {"name": "Two"}],
    )
    stages = [{"name": "Source", "actions": sources}, {"name": "Work", "actions": [work]}]
    pipeline(world, name, stages=stages)
    id_ = start(world, name)
    assert end(world, name, id_)["status"] == "Succeeded", actions(world, name, id_)
    ran = actions(world, name, id_)
    revisions = {
        item["name"]: item["revisionId"]
        for item in execution(world, name, id_)["artifactRevisions"]
    }
    assert revisions == {"Code": commit, "Data": version}
    found = build_end(cloud, ran["Work/Work"]["output"]["executionResult"]["externalExecutionId"])
    text = logs(cloud, found)
    assert "\nfrom-codecommit" in text
    assert "\nfrom-s3" in text
    made = {
        item["name"]: s3.get_object(
            Bucket=item["s3location"]["bucket"], Key=item["s3location"]["key"]
        )
        for item in ran["Work/Work"]["output"]["outputArtifacts"]
    }
    names = {}
    for output, answered in made.items():
        with zipfile.ZipFile(io.BytesIO(answered["Body"].read())) as archive:
            names[output] = archive.namelist()
    assert names == {"One": ["one"], "Two": ["two"]}


def test_phases_of_a_pipelines_build_name_the_download_of_its_input(world: World) -> None:
    """The project's role fetches the input: without that right the build fails, not the source."""
    cloud, name = world.cloud, "uninput"
    iam = cloud.client("iam")
    policy = iam.get_role_policy(RoleName="build", PolicyName="policy-0")["PolicyDocument"]
    iam.delete_role_policy(RoleName="build", PolicyName="policy-0")
    try:
        pipeline(world, name, ("First", [build("first", "x")]))
        id_ = start(world, name)
        end(world, name, id_)
        result = actions(world, name, id_)["First/Work"]["output"]["executionResult"]
        found = build_end(cloud, result["externalExecutionId"])
        failed = phase(found, "DOWNLOAD_SOURCE")
        assert failed is not None
        assert "s3:GetObject" in failed["contexts"][0]["message"]
    finally:
        iam.put_role_policy(
            RoleName="build", PolicyName="policy-0", PolicyDocument=json.dumps(policy)
        )
