"""Functions really run, as their role, in their network, and read their queues."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.emulators import DEV, HUB, REGION, Cloud, checkout, running, trusting
from tests.localcloud.kit import until, zipped

HANDLER = """
import json, os, time
import boto3

def identity(event, context):
    print("asked", json.dumps(event))
    arn = boto3.client("sts").get_caller_identity()["Arn"]
    return {"arn": arn, "name": context.function_name, "seen": sorted(os.environ),
            "left": context.get_remaining_time_in_millis(), "variable": os.environ.get("COLOUR")}

def called(event, context):
    return context.invoked_function_arn

def write(event, context):
    boto3.client("s3").put_object(Bucket=event["bucket"], Key=event["key"], Body=b"x")
    return "written"

def fail(event, context):
    raise ValueError("no such luck")

def crash(event, context):
    os._exit(7)

def sleep(event, context):
    time.sleep(30)

def batch(event, context):
    failures = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        if body.get("bad"):
            failures.append({"itemIdentifier": record["messageId"]})
        else:
            boto3.client("s3").put_object(
                Bucket="functions-results", Key=body["key"], Body=record["body"].encode())
    return {"batchItemFailures": failures}
"""


LAMBDA = trusting("lambda")
LOGS = {
    "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    "Resource": "*",
}
QUEUES = {
    "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
    "Resource": "*",
}
RESULTS = {"Action": "s3:PutObject", "Resource": "arn:aws:s3:::functions-results/*"}
VPC = {
    "Action": ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces",
               "ec2:DeleteNetworkInterface"],
    "Resource": "*",
}  # fmt: skip


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("functions"))) as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(
            Bucket="functions-results", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        yield cloud


def function(cloud: Cloud, name: str, *policies: dict[str, Any], **arguments: Any) -> Any:
    role = cloud.role(f"role-{name}", *policies, trust=LAMBDA)
    handler = arguments.pop("handler", name)
    return cloud.client("lambda").create_function(
        FunctionName=name,
        Role=role,
        Runtime="python3.11",
        Handler=f"app.main.{handler}",
        Code={"ZipFile": zipped({"app/main.py": HANDLER, "app/__init__.py": ""})},
        **{"Timeout": 20, **arguments},
    )


def call(cloud: Cloud, name: str, event: Any = None) -> tuple[Any, str | None]:
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event or {}))
    return json.loads(answer["Payload"].read()), answer.get("FunctionError")


def test_a_function_runs_as_its_role_and_sees_nothing_of_the_machine(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    function(cloud, "identity", LOGS, Environment={"Variables": {"COLOUR": "blue"}})
    answer, error = call(cloud, "identity", {"question": 1})
    assert error is None
    assert answer["arn"] == f"arn:aws:sts::{DEV}:assumed-role/role-identity/identity"
    assert answer["name"] == "identity"
    assert answer["variable"] == "blue"
    assert 0 < answer["left"] <= 20_000
    assert not {name for name in answer["seen"] if name.startswith("LOCALCLOUD")}
    assert "HOME" not in answer["seen"]


def test_its_output_goes_to_its_log_group_where_the_role_may_write(cloud: Cloud) -> None:
    function(cloud, "silent", handler="identity")
    function(cloud, "spoken", LOGS, handler="identity")
    for name in ("silent", "spoken"):
        assert call(cloud, name, {"name": name})[1] is None
    logs = cloud.client("logs")
    events = logs.filter_log_events(logGroupName="/aws/lambda/spoken")["events"]
    assert any('asked {"name": "spoken"}' in event["message"] for event in events)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(logGroupName="/aws/lambda/silent")


def test_what_the_role_may_not_do_is_an_error_of_the_function(cloud: Cloud) -> None:
    function(cloud, "write")
    answer, error = call(cloud, "write", {"bucket": "functions-results", "key": "a"})
    assert error == "Unhandled"
    assert "not authorized to perform: s3:PutObject" in answer["errorMessage"]
    function(cloud, "writer", RESULTS, handler="write")
    assert call(cloud, "writer", {"bucket": "functions-results", "key": "a"}) == ("written", None)


@pytest.mark.parametrize(
    ("handler", "kind", "says"),
    [
        ("fail", "ValueError", "no such luck"),
        ("crash", "Runtime.ExitError", "exit status 7"),
        ("sleep", "Sandbox.Timedout", "timed out after 1.00 seconds"),
        ("missing", "AttributeError", "missing"),
    ],
)
def test_failures_are_told_as_lambda_does(cloud: Cloud, handler: str, kind: str, says: str) -> None:
    function(cloud, f"f-{handler}", handler=handler, Timeout=1 if handler == "sleep" else 10)
    answer, error = call(cloud, f"f-{handler}")
    assert error == "Unhandled"
    assert answer["errorType"] == kind
    assert says in answer["errorMessage"]


def test_a_role_that_does_not_trust_lambda_is_refused(cloud: Cloud) -> None:
    role = cloud.role("untrusting")
    with pytest.raises(ClientError, match="cannot be assumed by Lambda"):
        cloud.client("lambda").create_function(
            FunctionName="untrusted",
            Role=role,
            Runtime="python3.11",
            Handler="app.main.identity",
            Code={"ZipFile": zipped({"app/main.py": HANDLER, "app/__init__.py": ""})},
        )


def test_a_function_in_a_vpc_goes_through_its_endpoints_only(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone=f"{REGION}a")[
        "Subnet"
    ]["SubnetId"]
    inside = {"SubnetIds": [subnet], "SecurityGroupIds": []}
    with pytest.raises(ClientError, match="CreateNetworkInterface on EC2"):
        function(cloud, "outlaw", RESULTS, VpcConfig=inside)
    function(cloud, "inside", RESULTS, VPC, handler="write", VpcConfig=inside)
    answer, error = call(cloud, "inside", {"bucket": "functions-results", "key": "inside"})
    assert error == "Unhandled"
    assert "neither a VPC endpoint for this service nor a route" in answer["errorMessage"]

    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", VpcEndpointType="Gateway"
    )["VpcEndpoint"]["VpcEndpointId"]
    s3 = cloud.client("s3")
    only = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "OnlyThisEndpoint",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": "arn:aws:s3:::functions-results/inside*",
                "Condition": {"StringNotEquals": {"aws:sourceVpce": endpoint}},
            }
        ],
    }
    s3.put_bucket_policy(Bucket="functions-results", Policy=json.dumps(only))
    given = {"bucket": "functions-results", "key": "inside"}
    assert call(cloud, "inside", given) == ("written", None)
    assert call(cloud, "writer", given)[1] == "Unhandled"


def test_a_queue_is_read_and_what_fails_stays_and_ends_in_the_dead_letters(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    dead = sqs.create_queue(QueueName="functions-dead")["QueueUrl"]
    redrive = {
        "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{DEV}:functions-dead",
        "maxReceiveCount": "2",
    }
    url = sqs.create_queue(
        QueueName="functions-work",
        Attributes={"VisibilityTimeout": "4", "RedrivePolicy": json.dumps(redrive)},
    )["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{DEV}:functions-work"
    lambda_ = cloud.client("lambda")
    function(cloud, "batch", RESULTS, QUEUES)
    # A first call starts the process, which may take longer than the messages stay invisible.
    assert call(cloud, "batch", {"Records": []}) == ({"batchItemFailures": []}, None)
    with pytest.raises(ClientError, match="visibility timeout"):
        lambda_.create_event_source_mapping(FunctionName="batch", EventSourceArn=arn)
    lambda_.update_function_configuration(FunctionName="batch", Timeout=4)
    mapping = lambda_.create_event_source_mapping(
        FunctionName="batch",
        EventSourceArn=arn,
        BatchSize=2,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    lambda_.update_function_configuration(FunctionName="batch", Timeout=20)
    cloudwatch = cloud.client("cloudwatch")
    for name, metric in (("depth", "NumberOfMessagesVisible"), ("age", "AgeOfOldestMessage")):
        cloudwatch.put_metric_alarm(
            AlarmName=name, Namespace="AWS/SQS", MetricName=f"Approximate{metric}",
            Dimensions=[{"Name": "QueueName", "Value": "functions-dead"}], Statistic="Maximum",
            Period=60, EvaluationPeriods=1, TreatMissingData="notBreaching",
            ComparisonOperator="GreaterThanThreshold", Threshold=0,
        )  # fmt: skip

    def ringing() -> set[str]:
        found = cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]
        return {item["AlarmName"] for item in found}

    for number in range(5):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"key": f"queue/{number}"}))
    assert not ringing()
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"bad": True}))

    def written() -> bool:
        listed = cloud.client("s3").list_objects_v2(Bucket="functions-results", Prefix="queue/")
        return listed["KeyCount"] == 5

    until(written)
    until(lambda: ringing() == {"depth", "age"})
    [message] = until(lambda: sqs.receive_message(QueueUrl=dead).get("Messages"))
    assert json.loads(message["Body"]) == {"bad": True}
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "0"

    lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"key": "late"}))
    time.sleep(1)
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "1"


def test_a_role_that_may_not_read_the_queue_gets_no_mapping(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    sqs.create_queue(QueueName="functions-closed")
    function(cloud, "closed", handler="batch")
    with pytest.raises(ClientError, match="permissions to call ReceiveMessage on SQS"):
        cloud.client("lambda").create_event_source_mapping(
            FunctionName="closed", EventSourceArn=f"arn:aws:sqs:{REGION}:{DEV}:functions-closed"
        )


def test_rules_invoke_functions_whose_policy_lets_them(cloud: Cloud) -> None:
    made = function(cloud, "ruled", LOGS, handler="identity")
    events = cloud.client("events")
    pattern = json.dumps({"source": ["test.functions"]})
    rule = events.put_rule(Name="to-function", EventPattern=pattern)["RuleArn"]
    events.put_targets(Rule="to-function", Targets=[{"Id": "f", "Arn": made["FunctionArn"]}])
    entry = {"Source": "test.functions", "DetailType": "Test", "Detail": '{"a": 1}'}
    events.put_events(Entries=[entry])
    [undelivered] = until(
        lambda: [
            item
            for item in cloud.control("GET", "undelivered")
            if item["target"] == made["FunctionArn"]
        ]
    )
    assert "lambda:InvokeFunction" in undelivered["reason"]
    cloud.client("lambda").add_permission(
        FunctionName="ruled",
        StatementId="Rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    events.put_events(Entries=[entry])

    def logged() -> bool:
        try:
            found = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/ruled")
        except ClientError:
            return False
        return any('"detail": {"a": 1}' in event["message"] for event in found["events"])

    until(logged)


def test_an_alias_is_told_to_the_function_and_asked_of_iam(cloud: Cloud) -> None:
    arn = function(cloud, "called")["FunctionArn"]
    own = cloud.client("lambda")
    for name in ("a", "b"):
        made = own.create_alias(FunctionName="called", Name=name, FunctionVersion="$LATEST")
        assert made["AliasArn"] == f"{arn}:{name}"

    def called(client: Any, **given: str) -> str:
        return json.loads(client.invoke(**given)["Payload"].read())

    assert called(own, FunctionName="called") == arn
    for given in (
        {"FunctionName": "called", "Qualifier": "a"},
        {"FunctionName": "called:a"},
        {"FunctionName": f"{arn}:a"},
        {"FunctionName": f"{arn}:a", "Qualifier": "a"},
    ):
        assert called(own, **given) == f"{arn}:a"
    with pytest.raises(ClientError, match="does not match the specified qualifier"):
        own.invoke(FunctionName="called:a", Qualifier="b")
    with pytest.raises(ClientError, match=r"Function not found: .*:called:c"):
        own.invoke(FunctionName="called:c")

    def caller(name: str, resource: str) -> Any:
        allowed = {"Action": "lambda:InvokeFunction", "Resource": resource}
        return cloud.client("lambda", session=cloud.assume(cloud.role(name, allowed)))

    client = caller("by-a", f"{arn}:a")
    assert called(client, FunctionName="called", Qualifier="a") == f"{arn}:a"
    for given in ({}, {"Qualifier": "b"}, {"Qualifier": "$LATEST"}):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.invoke(FunctionName="called", **given)
    client = caller("by-none", arn)
    assert called(client, FunctionName="called") == arn
    with pytest.raises(ClientError, match="AccessDenied"):
        client.invoke(FunctionName="called:a")

    def lists(**given: str) -> list[str]:
        told = own.list_aliases(FunctionName="called", **given)
        return [alias["Name"] for alias in told["Aliases"]]

    assert lists() == lists(FunctionVersion="$LATEST") == ["a", "b"]
    own.update_alias(FunctionName="called", Name="b", Description="the second")
    assert own.get_alias(FunctionName="called", Name="b")["Description"] == "the second"
    with pytest.raises(ClientError, match="already exists"):
        own.create_alias(FunctionName="called", Name="a", FunctionVersion="$LATEST")
    with pytest.raises(ClientError, match="has one version of each function"):
        own.create_alias(FunctionName="called", Name="d", FunctionVersion="7")
    own.delete_alias(FunctionName="called", Name="b")
    with pytest.raises(ClientError, match="Cannot find alias"):
        own.get_alias(FunctionName="called", Name="b")


def test_a_permission_opens_the_alias_that_it_is_for(cloud: Cloud) -> None:
    arn = function(cloud, "opened", handler="called")["FunctionArn"]
    own, other = cloud.client("lambda"), cloud.client("lambda", HUB)
    own.create_alias(FunctionName="opened", Name="open", FunctionVersion="$LATEST")
    own.add_permission(
        FunctionName="opened", Qualifier="open", StatementId="Hub", Principal=HUB,
        Action="lambda:InvokeFunction",
    )  # fmt: skip
    told = json.loads(own.get_policy(FunctionName="opened", Qualifier="open")["Policy"])
    assert told["Statement"][0]["Resource"] == f"{arn}:open"
    with pytest.raises(ClientError, match="ResourceNotFound"):
        own.get_policy(FunctionName="opened")
    assert json.loads(other.invoke(FunctionName=f"{arn}:open")["Payload"].read()) == f"{arn}:open"
    with pytest.raises(ClientError, match="AccessDenied"):
        other.invoke(FunctionName=arn)
    own.remove_permission(FunctionName="opened", Qualifier="open", StatementId="Hub")
    with pytest.raises(ClientError, match="AccessDenied"):
        other.invoke(FunctionName=f"{arn}:open")


def test_another_account_cannot_invoke(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client("lambda", HUB).invoke(
            FunctionName=f"arn:aws:lambda:{REGION}:{DEV}:function:identity"
        )


def test_processes_end_with_the_emulator(tmp_path: Any) -> None:
    with running(checkout(tmp_path)) as cloud:
        function(cloud, "sleep", Timeout=60)
        cloud.client("lambda").invoke(FunctionName="sleep", InvocationType="Event")
        own = until(lambda: _children(cloud.started.description["pid"]))
    assert not own & {line.split()[0] for line in _processes()}


def _children(pid: int) -> set[str]:
    """The processes of functions that one emulator runs: other tests have theirs."""
    return {line.split()[0] for line in _processes() if line.split()[1] == str(pid)}


def _processes() -> list[str]:
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout
    return [line for line in listed.splitlines() if "function_runtime.py" in line]
