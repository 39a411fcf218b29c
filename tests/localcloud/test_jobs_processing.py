"""Processing jobs run scripts with AWS's folders, as their role, through their VPC."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.emulator.jobs.containers import Mode, mode
from tests.localcloud.emulators import DEV
from tests.localcloud.jobs_world import (
    BUCKET,
    TRUST,
    World,
    given,
    job_policy,
    network,
    world,
)
from tests.localcloud.kit import until

COPY = """
import json, os, pathlib, sys
base = pathlib.Path("/opt/ml/processing")
rows = (base / "input/data/a.csv").read_text().splitlines()
out = base / "result"
(out / "rows.txt").write_text(str(len(rows)))
(out / "sub").mkdir()
(out / "sub" / "config.json").write_text(
    pathlib.Path("/opt/ml/config/processingjobconfig.json").read_text()
)
(out / "environment.json").write_text(json.dumps(dict(os.environ)))
print("copied", len(rows), *sys.argv[1:])
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("processing")) as made:
        yield made


@pytest.fixture(scope="module")
def data(jobs: World) -> dict[str, Any]:
    uri = jobs.put("raw/a.csv", "1,2\n3,4\n5,6\n")
    return given("data", uri.removesuffix("a.csv"), "/opt/ml/processing/input/data")


needs_namespace = pytest.mark.skipif(
    mode() is Mode.PATHS, reason="this machine has no mount namespaces"
)


@needs_namespace
def test_a_script_reads_computes_and_writes(jobs: World, data: dict[str, Any]) -> None:
    job = jobs.process(
        "copy", COPY, inputs=[data], arguments=["--flag", "x"], Environment={"COLOUR": "blue"}
    )
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    out = f"s3://{BUCKET}/out/copy/result"
    assert jobs.get(f"{out}/rows.txt") == b"3"
    config = json.loads(jobs.get(f"{out}/sub/config.json"))
    assert config["ProcessingJobName"] == "copy"
    environment = json.loads(jobs.get(f"{out}/environment.json"))
    assert environment["COLOUR"] == "blue"
    assert environment["PROCESSING_JOB_ARN"] == job["ProcessingJobArn"]
    assert not [name for name in environment if name.startswith("PULUMI")]


@needs_namespace
def test_outputs_have_the_key_of_the_job(jobs: World, data: dict[str, Any]) -> None:
    jobs.process("keyed", COPY, inputs=[data])
    head = jobs.client("s3").head_object(Bucket=BUCKET, Key="out/keyed/result/rows.txt")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", jobs.key)


@needs_namespace
def test_what_a_script_prints_is_in_the_logs(jobs: World, data: dict[str, Any]) -> None:
    jobs.process("talk", COPY, inputs=[data], arguments=["--word", "hello"])
    logs = jobs.client("logs")
    group = "/aws/sagemaker/ProcessingJobs"
    [stream] = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="talk/")[
        "logStreams"
    ]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])
    lines = [event["message"] for event in events["events"]]
    assert lines[-1] == "copied 3 --word hello"
    assert "in place of" in lines[0]


def test_a_failing_script_fails_with_its_words(jobs: World) -> None:
    job = jobs.process("raise", "raise ValueError('column age is missing')")
    assert job["ProcessingJobStatus"] == "Failed"
    assert "ValueError: column age is missing, exit code: 1" in job["FailureReason"]


@needs_namespace
def test_a_script_says_why_it_failed(jobs: World) -> None:
    script = """
import pathlib, sys
pathlib.Path("/opt/ml/output/message").write_text("too few rows")
pathlib.Path("/opt/ml/output/failure").write_text("DataError: 3 rows")
sys.exit(4)
"""
    job = jobs.process("says", script)
    assert job["FailureReason"] == "AlgorithmError: DataError: 3 rows, exit code: 4"
    assert job["ExitMessage"] == "too few rows"


@needs_namespace
@pytest.mark.parametrize("end", ["exit", "limit", "stop"])
def test_what_is_uploaded_continuously_outlives_a_job_that_does_not_complete(
    jobs: World, end: str
) -> None:
    script = """
import pathlib, sys, time
for output in ("late", "early"):
    pathlib.Path(f"/opt/ml/processing/{output}/found.txt").write_text(output)
print("written", flush=True)
sys.exit(3) if sys.argv[1] == "exit" else time.sleep(60)
"""
    more: dict[str, Any] = {}
    if end == "limit":
        more["StoppingCondition"] = {"MaxRuntimeInSeconds": 2}
    name = f"early-{end}"
    jobs.start_processing(
        name, script, arguments=[end], continuous=["early"],
        outputs={part: f"/opt/ml/processing/{part}" for part in ("late", "early")}, **more,
    )  # fmt: skip
    if end == "stop":
        until(
            lambda: jobs.sagemaker.describe_processing_job(ProcessingJobName=name),
            lambda job: "ProcessingStartTime" in job,
        )
        time.sleep(2)
        jobs.sagemaker.stop_processing_job(ProcessingJobName=name)
    told = jobs.wait_processing(name)
    assert told["ProcessingJobStatus"] == ("Stopped" if end == "stop" else "Failed")
    kept = jobs.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"out/{name}/")["Contents"]
    assert [item["Key"] for item in kept] == [f"out/{name}/early/found.txt"]
    assert jobs.get(f"s3://{BUCKET}/out/{name}/early/found.txt") == b"early"


def test_missing_data_fails_the_job(jobs: World) -> None:
    missing = given("data", f"s3://{BUCKET}/nowhere/", "/opt/ml/processing/input/data")
    job = jobs.process("missing", COPY, inputs=[missing])
    assert job["ProcessingJobStatus"] == "Failed"
    assert f'No S3 objects found under S3 URL "s3://{BUCKET}/nowhere/"' in job["FailureReason"]


def test_a_role_without_access_fails_the_job(jobs: World) -> None:
    poor = jobs.cloud.role("poor", trust=TRUST)
    job = jobs.process("poor", "print(1)", RoleArn=poor)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "not authorized to perform: s3:ListBucket" in job["FailureReason"]


def test_a_key_that_the_role_may_not_use_fails_the_job(jobs: World) -> None:
    other = jobs.client("kms").create_key()["KeyMetadata"]["Arn"]
    script = "import os, sys; open(sys.argv[1] + '/x', 'w').close()"
    job = jobs.process("locked", script, key=other, arguments=["/opt/ml/processing/result"])
    assert job["ProcessingJobStatus"] == "Failed"
    assert "kms:GenerateDataKey" in job["FailureReason"]


def test_a_vpc_without_a_way_to_s3_fails_the_job(jobs: World) -> None:
    _, subnets, group = network(jobs.client("ec2"), services=())
    sealed = {"VpcConfig": {"Subnets": subnets, "SecurityGroupIds": [group]}}
    job = jobs.process("sealed", "print(1)", network=sealed)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "neither a VPC endpoint for this service nor a route" in job["FailureReason"]


def test_a_bucket_for_one_endpoint_alone_takes_no_other_way(jobs: World) -> None:
    s3, ec2 = jobs.client("s3"), jobs.client("ec2")
    s3.create_bucket(
        Bucket="guarded", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    jobs.put("in/a.csv", "1\n", bucket="guarded")
    endpoint = next(
        item["VpcEndpointId"]
        for item in ec2.describe_vpc_endpoints()["VpcEndpoints"]
        if item["VpcId"] == jobs.vpc
    )
    rule = {
        "Effect": "Deny",
        "Principal": {
            "AWS": jobs.cloud.role(
                "guard",
                *job_policy("*"),
                {"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "arn:aws:s3:::guarded*"},
                trust=TRUST,
            )
        },
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::guarded/*",
        "Condition": {"StringNotEquals": {"aws:sourceVpce": endpoint}},
    }
    s3.put_bucket_policy(
        Bucket="guarded", Policy=json.dumps({"Version": "2012-10-17", "Statement": [rule]})
    )
    role = rule["Principal"]["AWS"]
    read = given("data", "s3://guarded/in/", "/opt/ml/processing/input/data")
    inside = jobs.process("inside", "print(1)", inputs=[read], RoleArn=role)
    assert inside["ProcessingJobStatus"] == "Completed", inside.get("FailureReason")
    jobs.start_processing("outside", "print(1)", inputs=[read], RoleArn=role, NetworkConfig={})
    outside = jobs.wait_processing("outside")
    assert "explicit deny" in outside["FailureReason"]


def test_a_role_that_does_not_trust_sagemaker_is_refused(jobs: World) -> None:
    role = jobs.cloud.role("closed")
    with pytest.raises(ClientError, match="Could not assume role"):
        jobs.start_processing("closed", "print(1)", RoleArn=role)


def test_an_unknown_image_is_refused_by_name(jobs: World) -> None:
    image = "public.ecr.aws/docker/library/python:3.11"
    app = {"ImageUri": image, "ContainerEntrypoint": ["true"]}
    job = jobs.process("own", "print(1)", AppSpecification=app)
    assert image in job["FailureReason"]
    assert "localcloud/emulator/jobs/images.py" in job["FailureReason"]


def test_a_job_that_takes_too_long_fails(jobs: World) -> None:
    job = jobs.process(
        "slow", "import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    assert job["ProcessingJobStatus"] == "Failed"
    assert "longer than 1 seconds" in job["FailureReason"]


def test_a_job_can_be_stopped_once(jobs: World) -> None:
    jobs.start_processing("stop", "import time; time.sleep(60)")
    until(
        lambda: jobs.sagemaker.describe_processing_job(ProcessingJobName="stop"),
        lambda job: "ProcessingStartTime" in job,
    )
    jobs.sagemaker.stop_processing_job(ProcessingJobName="stop")
    assert jobs.wait_processing("stop", 10)["ProcessingJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="is in status Stopped"):
        jobs.sagemaker.stop_processing_job(ProcessingJobName="stop")


@needs_namespace
def test_an_isolated_job_has_neither_credentials_nor_a_network(jobs: World) -> None:
    script = """
import json, os, pathlib, socket
try:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), timeout=3)
    reached = True
except OSError:
    reached = False
names = sorted(n for n in os.environ if n.startswith("AWS_"))
pathlib.Path("/opt/ml/processing/result/seen.json").write_text(json.dumps([names, reached]))
"""
    port = jobs.cloud.started.endpoint.rsplit(":", 1)[-1]
    seen = {}
    for isolated in (True, False):
        name = f"isolated-{isolated}"
        job = jobs.process(
            name, script, network={"EnableNetworkIsolation": isolated}, Environment={"PORT": port}
        )
        assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
        seen[isolated] = json.loads(jobs.get(f"s3://{BUCKET}/out/{name}/result/seen.json"))
    assert "AWS_SECRET_ACCESS_KEY" in seen[False][0]
    assert seen[False][1] is True
    assert "AWS_ENDPOINT_URL" not in seen[True][0]
    assert not [name for name in seen[True][0] if "KEY" in name or "TOKEN" in name]
    assert seen[True][1] is False


def test_names_are_unique_and_lists_are_filtered(jobs: World) -> None:
    jobs.process("list-a", "print(1)")
    jobs.process("list-b", "raise SystemExit(1)")
    with pytest.raises(ClientError, match="must be unique"):
        jobs.start_processing("list-a", "print(1)")
    listed = jobs.sagemaker.list_processing_jobs(NameContains="list-", StatusEquals="Failed")
    assert [job["ProcessingJobName"] for job in listed["ProcessingJobSummaries"]] == ["list-b"]
    with pytest.raises(ClientError, match="Requested resource not found"):
        jobs.sagemaker.describe_processing_job(ProcessingJobName="nobody")


def test_many_jobs_at_once_and_callers_beside_them(jobs: World) -> None:
    names = [f"many-{number}" for number in range(6)]
    for name in names:
        jobs.start_processing(name, "import time; time.sleep(0.5)")
    assert jobs.client("s3").list_buckets()["Buckets"]
    for name in names:
        assert jobs.wait_processing(name)["ProcessingJobStatus"] == "Completed"


def test_state_changes_are_sent_to_rules(jobs: World) -> None:
    sqs, events = jobs.client("sqs"), jobs.client("events")
    queue = sqs.create_queue(QueueName="states")["QueueUrl"]
    arn = f"arn:aws:sqs:eu-west-1:{DEV}:states"
    policy = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    sqs.set_queue_attributes(
        QueueUrl=queue,
        Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [policy]})},
    )
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Processing Job State Change"],
        "detail": {"ProcessingJobName": ["told"]},
    }
    events.put_rule(Name="states", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="states", Targets=[{"Id": "1", "Arn": arn}])
    jobs.process("told", "raise SystemExit(2)")
    found = until(
        lambda: sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []),
        lambda messages: len(messages) >= 2,
        5,
    )
    details = [json.loads(message["Body"])["detail"] for message in found]
    assert [detail["ProcessingJobStatus"] for detail in details] == ["InProgress", "Failed"]
    assert "exit code: 2" in details[-1]["FailureReason"]
    assert isinstance(details[-1]["CreationTime"], int)
