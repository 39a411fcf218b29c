"""Schedules of EventBridge, objects that arrive in buckets, and pipelines that both start."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from localcloud.emulator import schedules
from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, running, trusting

NOON = dt.datetime(2026, 3, 4, 12, 0, tzinfo=dt.UTC)  # a Wednesday
PIPELINE = f"arn:aws:sagemaker:{REGION}:{DEV}:pipeline/batch"
ROLE = f"arn:aws:iam::{DEV}:role/schedule"
DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "InputKey", "Type": "String"}],
    "Steps": [
        {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": {
            "Std:Join": {"On": " ", "Values": ["no", {"Get": "Parameters.InputKey"}]}}}}
    ],
}  # fmt: skip


def due(expression: str, after: dt.datetime, until: dt.datetime) -> bool:
    return schedules.parse(expression).due(NOON, after, until)


@pytest.mark.parametrize(
    ("expression", "moment", "expected"),
    [
        ("cron(0 12 * * ? *)", NOON, True),
        ("cron(1 12 * * ? *)", NOON, False),
        ("cron(0/15 * ? * WED *)", NOON, True),
        ("cron(0 12 ? * MON-FRI 2026)", NOON, True),
        ("cron(0 12 ? * 1,7 *)", NOON, False),
        ("cron(0 12 4 MAR ? *)", NOON, True),
        ("cron(0 12 4 APR ? *)", NOON, False),
        ("cron(30/10 12 * * ? *)", NOON + dt.timedelta(minutes=50), True),
    ],
)
def test_cron_is_due_at_its_minutes_only(
    expression: str, moment: dt.datetime, expected: bool
) -> None:
    second = dt.timedelta(seconds=1)
    assert due(expression, moment - second, moment + second) is expected
    assert not due(expression, moment, moment + second), "and once only"


@given(st.integers(1, 300), st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_a_rate_fires_once_an_interval_however_the_clock_is_looked_at(
    minutes: int, pauses: list[int]
) -> None:
    rate = schedules.Rate(60 * minutes)
    fired, before = 0, NOON
    for pause in pauses:
        after = before + dt.timedelta(seconds=pause)
        fired, before = fired + rate.due(NOON, before, after), after
    longest = max(pauses)
    if longest <= rate.seconds:
        assert fired == sum(pauses) // rate.seconds


@pytest.mark.parametrize(
    "expression",
    ["rate(1 days)", "rate(0 minutes)", "rate(2 day)", "every day", "cron(0 12 * * *)",
     "cron(0 12 * * * *)", "cron(60 12 * * ? *)", "cron(0 24 * * ? *)", "cron(0 12 ? * ? *)",
     "cron(? 12 * * ? *)", "cron(0 12 * SUN ? *)", "cron(5-1 * * * ? *)", "cron(0/0 * * * ? *)"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(schedules.ScheduleError) as refused:
        schedules.parse(expression)
    assert not isinstance(refused.value, schedules.NotServedError)


@pytest.mark.parametrize("expression", ["cron(0 12 L * ? *)", "cron(0 12 ? * 6#3 *)"])
def test_what_the_local_cloud_cannot_follow_is_told_as_such(expression: str) -> None:
    with pytest.raises(schedules.NotServedError):
        schedules.parse(expression)


def test_the_clock_fires_a_rule_from_when_it_is_there_and_not_once_it_is_gone() -> None:
    rules, fired = {"rule": "rate(1 minute)"}, list[str]()
    clock = schedules.Clock(lambda: rules, fired.append, threading.Event())
    for seconds in (0, 30, 59, 60, 61, 119, 120):
        clock.tick(NOON + dt.timedelta(seconds=seconds))
    assert fired == ["rule", "rule"]
    rules.clear()
    clock.tick(NOON + dt.timedelta(hours=1))
    assert len(fired) == 2


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A pipeline that tells what it was started with, started by both kinds of rules."""
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
        role = cloud.role("pipeline", trust=trusting("sagemaker"))
        cloud.client("sagemaker").create_pipeline(
            PipelineName="batch",
            PipelineDefinition=json.dumps(DEFINITION),
            RoleArn=role,
            ClientRequestToken="t" * 32,
        )
        cloud.role("schedule", trust=trusting("events"))
        s3 = cloud.client("s3")
        s3.create_bucket(
            Bucket="arrivals", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": ["arrivals"]}, "object": {"key": [{"prefix": "in/"}]}},
        }
        events = cloud.client("events")
        events.put_rule(Name="arrival", EventPattern=json.dumps(pattern))
        events.put_rule(Name="nightly", ScheduleExpression="cron(0 3 * * ? *)")
        for rule, value in (("arrival", "$.detail.object.key"), ("nightly", "all")):
            target(cloud, rule, value)
        yield cloud


def target(cloud: Cloud, rule: str, value: str) -> None:
    given = {"PipelineParameterList": [{"Name": "InputKey", "Value": value}]}
    cloud.client("events").put_targets(
        Rule=rule,
        Targets=[
            {"Id": "1", "Arn": PIPELINE, "RoleArn": ROLE, "SageMakerPipelineParameters": given}
        ],
    )


@pytest.fixture(autouse=True)
def allowed(request: pytest.FixtureRequest) -> None:
    if "cloud" in request.fixturenames:
        cloud = request.getfixturevalue("cloud")
        statement = {
            "Effect": "Allow", "Action": "sagemaker:StartPipelineExecution", "Resource": PIPELINE,
        }  # fmt: skip
        cloud.client("iam").put_role_policy(
            RoleName="schedule",
            PolicyName="start",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )


def notifications(cloud: Cloud, on: bool) -> None:
    cloud.client("s3").put_bucket_notification_configuration(
        Bucket="arrivals",
        NotificationConfiguration={"EventBridgeConfiguration": {}} if on else {},
    )


def failures(cloud: Cloud, count: int) -> list[str]:
    """Why each execution failed, once there are so many."""
    sagemaker, end = cloud.client("sagemaker"), time.monotonic() + 60
    while True:
        found = sagemaker.list_pipeline_executions(PipelineName="batch")[
            "PipelineExecutionSummaries"
        ]
        ended = [item for item in found if item["PipelineExecutionStatus"] == "Failed"]
        if len(ended) >= count or time.monotonic() > end:
            return [item["PipelineExecutionFailureReason"] for item in ended]
        time.sleep(0.1)


def executions(cloud: Cloud) -> int:
    found = cloud.client("sagemaker").list_pipeline_executions(PipelineName="batch")
    return len(found["PipelineExecutionSummaries"])


def test_an_object_that_arrives_starts_the_pipeline_with_its_key(cloud: Cloud) -> None:
    s3, before = cloud.client("s3"), executions(cloud)
    notifications(cloud, on=False)
    s3.put_object(Bucket="arrivals", Key="in/early.csv", Body=b"1")
    notifications(cloud, on=True)
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket="arrivals")
    s3.put_object(Bucket="arrivals", Key="elsewhere/b.csv", Body=b"1")
    s3.put_object(Bucket="arrivals", Key="in/day one.csv", Body=b"1")
    s3.copy_object(
        Bucket="arrivals",
        Key="in/copy.csv",
        CopySource={"Bucket": "arrivals", "Key": "in/day one.csv"},
    )
    told = failures(cloud, before + 2)
    assert len(told) == before + 2
    assert {reason.partition("no ")[2] for reason in told} >= {"in/day one.csv", "in/copy.csv"}
    notifications(cloud, on=False)
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(
        Bucket="arrivals"
    )


def test_a_schedule_fires_at_once_when_it_is_told_to(cloud: Cloud) -> None:
    before, rule = executions(cloud), f"arn:aws:events:{REGION}:{DEV}:rule/nightly"
    assert cloud.control("GET", "schedules") == {rule: "cron(0 3 * * ? *)"}
    cloud.control("POST", "schedules", {"rule": rule})
    told = failures(cloud, before + 1)
    assert len(told) == before + 1
    assert any(reason.endswith("no all") for reason in told)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("role", "may not sagemaker:StartPipelineExecution"),
        ("value", "the event has nothing at $.detail.object.key"),
    ],
)
def test_what_cannot_start_is_kept_measured_and_alarms(
    cloud: Cloud, change: str, reason: str
) -> None:
    cloudwatch, before = cloud.client("cloudwatch"), executions(cloud)
    cloudwatch.put_metric_alarm(
        AlarmName=f"not-started-{change}", Namespace="AWS/Events", MetricName="FailedInvocations",
        Dimensions=[{"Name": "RuleName", "Value": "nightly"}], Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanOrEqualToThreshold",
    )  # fmt: skip
    if change == "role":
        cloud.client("iam").delete_role_policy(RoleName="schedule", PolicyName="start")
    else:
        target(cloud, "nightly", "$.detail.object.key")
    cloud.control("POST", "schedules", {"rule": f"arn:aws:events:{REGION}:{DEV}:rule/nightly"})
    target(cloud, "nightly", "all")
    assert reason in cloud.control("GET", "undelivered")[-1]["reason"]
    assert executions(cloud) == before
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[f"not-started-{change}"])["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"


def test_failed_executions_are_measured(cloud: Cloud) -> None:
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName="failed", Namespace="AWS/Sagemaker/ModelBuildingPipeline",
        MetricName="ExecutionFailed", Dimensions=[{"Name": "PipelineName", "Value": "batch"}],
        Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )  # fmt: skip
    before = executions(cloud)
    cloud.control("POST", "schedules", {"rule": f"arn:aws:events:{REGION}:{DEV}:rule/nightly"})
    failures(cloud, before + 1)
    end = time.monotonic() + 60
    state = ""
    while state != "ALARM" and time.monotonic() < end:
        found = cloud.client("cloudwatch").describe_alarms(AlarmNames=["failed"])
        state = found["MetricAlarms"][0]["StateValue"]
        time.sleep(0.1)
    assert state == "ALARM"


def refused(call: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**given)
    return error.value.response["Error"]["Code"]


def test_what_is_not_served_is_refused_by_name(cloud: Cloud) -> None:
    events, s3 = cloud.client("events"), cloud.client("s3")
    assert refused(events.put_rule, Name="a", ScheduleExpression="rate(1 days)") == (
        "ValidationException"
    )
    assert refused(events.put_rule, Name="a", ScheduleExpression="cron(0 3 L * ? *)") == (
        "NotImplemented"
    )
    queue = {"QueueArn": f"arn:aws:sqs:{REGION}:{DEV}:q", "Events": ["s3:ObjectCreated:*"]}
    code = refused(
        s3.put_bucket_notification_configuration,
        Bucket="arrivals",
        NotificationConfiguration={"QueueConfigurations": [queue]},
    )
    assert code == "NotImplemented"
    with pytest.raises(Exception, match="no rule with a schedule"):
        cloud.control("POST", "schedules", {"rule": f"arn:aws:events:{REGION}:{DEV}:rule/arrival"})
