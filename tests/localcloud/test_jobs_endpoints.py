"""Endpoints serve real models; updates shift traffic, and go back when they must."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.emulators import DEV, HUB, REGION, document
from tests.localcloud.jobs_world import (
    BUCKET,
    SKLEARN,
    TRUST,
    XGBOOST,
    World,
    archive,
    job_policy,
    network,
    world,
)
from tests.localcloud.kit import until

CONSTANT = """
import json, os, time
def model_fn(folder):
    return json.load(open(os.path.join(folder, "model.json")))["value"]
def input_fn(data, content_type):
    if content_type != "application/json":
        raise ValueError("unsupported " + content_type)
    return json.loads(data)
def predict_fn(data, model):
    if data.get("fail"):
        raise RuntimeError("asked to fail")
    if data.get("die"):
        os._exit(9)
    time.sleep(data.get("sleep", 0))
    return {"value": model, "seen": data}
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("endpoints")) as made:
        yield made


@pytest.fixture(scope="module")
def trained(jobs: World) -> str:
    job = jobs.train("model", HyperParameters={"num_round": "40", "max_depth": "4"})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job["ModelArtifacts"]["S3ModelArtifacts"]


def constant(jobs: World, name: str, value: int, script: str = CONSTANT) -> str:
    """A model that always says the same."""
    files = {
        "model.json": json.dumps({"value": value}).encode(),
        "code/inference.py": script.encode(),
    }
    return jobs.put(f"artifacts/{name}/model.tar.gz", archive(files))


def config(
    jobs: World,
    name: str,
    url: str,
    *,
    image: str = SKLEARN,
    model: dict[str, Any] | None = None,
    **more: Any,
) -> str:
    environment = {} if image == XGBOOST else {"SAGEMAKER_PROGRAM": "inference.py"}
    jobs.sagemaker.create_model(
        **{
            "ModelName": name,
            "ExecutionRoleArn": jobs.role,
            "PrimaryContainer": {
                "Image": image,
                "ModelDataUrl": url,
                "Environment": environment,
            },
            "VpcConfig": jobs.vpc_config,
            **(model or {}),
        }
    )
    jobs.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant(name)], **more
    )
    return name


def variant(model: str, name: str = "AllTraffic", weight: float = 1.0) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 2,
        "InitialVariantWeight": weight,
    }


def settled(jobs: World, name: str) -> dict[str, Any]:
    return until(
        lambda: jobs.sagemaker.describe_endpoint(EndpointName=name),
        lambda endpoint: endpoint["EndpointStatus"] in ("InService", "Failed"),
    )


def deploy(jobs: World, name: str, config_name: str, **more: Any) -> dict[str, Any]:
    jobs.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config_name, **more)
    return settled(jobs, name)


def ask(jobs: World, name: str, body: Any, kind: str = "application/json", **more: Any) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    answer = jobs.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, Body=text, ContentType=kind, **more
    )
    return {**answer, "Body": answer["Body"].read()}


def value(jobs: World, name: str) -> int:
    return json.loads(ask(jobs, name, {})["Body"])["value"]


@pytest.fixture(scope="module")
def served(jobs: World, trained: str) -> str:
    endpoint = deploy(jobs, "served", config(jobs, "served", trained, image=XGBOOST))
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    return "served"


def test_predictions_are_the_model_s(jobs: World, served: str) -> None:
    answer = ask(jobs, served, "4,2\n8,1\n", "text/csv")
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "text/csv"
    first, second = (float(text) for text in answer["Body"].decode().split(","))
    # The data's rule is 3a - b.
    assert first == pytest.approx(10, abs=2.5)
    assert second == pytest.approx(23, abs=2.5)
    scores = json.loads(ask(jobs, served, "4,2\n", "text/csv", Accept="application/json")["Body"])
    assert scores == {"predictions": [{"score": pytest.approx(first)}]}
    libsvm = ask(jobs, served, "0:4 1:2\n", "text/libsvm")
    assert float(libsvm["Body"]) == pytest.approx(first)


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        ("{}", "application/json", 415, "application/json is not supported"),
        ("a,b", "text/csv", 400, "not a table of numbers"),
        ("1,2,3", "text/csv", 400, "Feature size of inference data 3 is larger"),
    ],
)
def test_what_the_model_does_not_take_is_its_error(
    jobs: World, served: str, body: str, kind: str, status: int, words: str
) -> None:
    with pytest.raises(ClientError, match="ModelError") as caught:
        ask(jobs, served, body, kind)
    response = caught.value.response
    assert response["OriginalStatusCode"] == status
    assert words in response["OriginalMessage"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_an_endpoint_tells_what_it_serves(jobs: World, served: str) -> None:
    endpoint = jobs.sagemaker.describe_endpoint(EndpointName=served)
    [shown] = endpoint["ProductionVariants"]
    assert shown["DeployedImages"][0]["ResolvedImage"] == XGBOOST
    assert (shown["CurrentWeight"], shown["CurrentInstanceCount"]) == (1.0, 2)
    assert endpoint["EndpointConfigName"] == "served"
    listed = jobs.sagemaker.list_endpoints(NameContains="serv", StatusEquals="InService")
    assert [item["EndpointName"] for item in listed["Endpoints"]] == ["served"]


def test_callers_need_permission_and_sizes_are_limited(jobs: World, served: str) -> None:
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:endpoint/other"
    role = jobs.cloud.role("asker", {"Action": "sagemaker:InvokeEndpoint", "Resource": arn})
    session = jobs.cloud.assume(role)
    with pytest.raises(ClientError, match="not authorized to perform: sagemaker:InvokeEndpoint"):
        jobs.cloud.client("sagemaker-runtime", session=session).invoke_endpoint(
            EndpointName=served, Body="1,2", ContentType="text/csv"
        )
    with pytest.raises(ClientError, match="larger than 6291456"):
        ask(jobs, served, "1" * (6 * 1024 * 1024 + 1), "text/csv")
    with pytest.raises(ClientError, match="not found"):
        ask(jobs, "nobody", "1,2", "text/csv")


def test_a_script_serves_with_its_functions(jobs: World) -> None:
    deploy(jobs, "scripted", config(jobs, "scripted", constant(jobs, "scripted", 7)))
    answer = ask(jobs, "scripted", {"x": 1})
    assert json.loads(answer["Body"]) == {"value": 7, "seen": {"x": 1}}
    with pytest.raises(ClientError) as caught:
        ask(jobs, "scripted", {"fail": True})
    assert caught.value.response["OriginalMessage"] == "RuntimeError: asked to fail"
    assert caught.value.response["OriginalStatusCode"] == 500


def test_a_container_that_died_is_started_again(jobs: World) -> None:
    deploy(jobs, "dying", config(jobs, "dying", constant(jobs, "dying", 5)))
    with pytest.raises(ClientError, match="gave no answer"):
        ask(jobs, "dying", {"die": True})
    assert value(jobs, "dying") == 5


def test_slow_predictions_stop_nobody_else(jobs: World) -> None:
    deploy(jobs, "slow", config(jobs, "slow", constant(jobs, "slow", 1)))
    with ThreadPoolExecutor(4) as pool:
        started = time.monotonic()
        waiting = [pool.submit(ask, jobs, "slow", {"sleep": 2}) for _ in range(3)]
        time.sleep(0.3)
        assert jobs.client("s3").list_buckets()["Buckets"]
        beside = time.monotonic() - started
        assert all(json.loads(w.result()["Body"])["value"] == 1 for w in waiting)
    assert beside < 1.9
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("name", "make", "cause"),
    [
        (
            "no-artifact",
            lambda jobs: {"url": f"s3://{BUCKET}/none/model.tar.gz"},
            "Failed to download model data",
        ),
        (
            "no-rights",
            lambda jobs: {
                "url": constant(jobs, "no-rights", 1),
                "model": {"ExecutionRoleArn": jobs.cloud.role("no-rights", trust=TRUST)},
            },
            "not authorized to perform: s3:GetObject",
        ),
        (
            "no-way",
            lambda jobs: {
                "url": constant(jobs, "no-way", 1),
                "model": {"VpcConfig": sealed(jobs)},
            },
            "neither a VPC endpoint for this service nor a route",
        ),
        (
            "poisoned",
            lambda jobs: {
                "url": jobs.put("poison/model.tar.gz", archive({"../../../escaped": b"x"}))
            },
            "outside the destination",
        ),
        (
            "absolute",
            lambda jobs: {"url": jobs.put("poison/a.tar.gz", archive({"/tmp/escaped": b"x"}))},  # noqa: S108
            "absolute path",
        ),
        (
            "no-archive",
            lambda jobs: {"url": jobs.put("poison/n.tar.gz", b"not an archive")},
            "cannot be unpacked",
        ),
        (
            "broken-script",
            lambda jobs: {"url": constant(jobs, "broken", 1, "import nothing_like_this")},
            "No module named 'nothing_like_this'",
        ),
        (
            "own-image",
            lambda jobs: {
                "url": constant(jobs, "own", 1),
                "image": f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/own:1",
            },
            "ecr:GetAuthorizationToken",
        ),
        (
            "image-elsewhere",
            lambda jobs: {
                "url": constant(jobs, "elsewhere", 1),
                "image": "public.ecr.aws/docker/library/python:3.11",
            },
            "localcloud/emulator/jobs/images.py",
        ),
        (
            "foreign-registry",
            lambda jobs: {
                "url": constant(jobs, "foreign", 1),
                "image": f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:1.7-1",
            },
            "is not AWS's registry",
        ),
    ],
)
def test_what_cannot_be_served_fails_with_its_cause(
    jobs: World, name: str, make: Callable[[World], dict[str, Any]], cause: str
) -> None:
    endpoint = deploy(jobs, name, config(jobs, name, **make(jobs)))
    assert endpoint["EndpointStatus"] == "Failed"
    assert cause in endpoint["FailureReason"]
    with pytest.raises(ClientError, match="must be InService"):
        jobs.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name)
    jobs.sagemaker.delete_endpoint(EndpointName=name)


def sealed(jobs: World) -> dict[str, Any]:
    _, subnets, group = network(jobs.client("ec2"), services=())
    return {"Subnets": subnets, "SecurityGroupIds": [group]}


def test_a_model_s_role_must_trust_sagemaker(jobs: World) -> None:
    closed = jobs.cloud.role("closed")
    with pytest.raises(ClientError, match="Could not assume role"):
        config(jobs, "closed", "s3://x/y.tar.gz", model={"ExecutionRoleArn": closed})


def test_an_update_serves_the_new_model_without_a_gap(jobs: World) -> None:
    deploy(jobs, "blue", config(jobs, "blue", constant(jobs, "blue", 1)))
    loading = CONSTANT.replace("def model_fn(folder):", "def model_fn(folder):\n    time.sleep(1)")
    config(jobs, "green", constant(jobs, "green", 2, loading))
    jobs.sagemaker.update_endpoint(EndpointName="blue", EndpointConfigName="green")
    assert jobs.sagemaker.describe_endpoint(EndpointName="blue")["EndpointStatus"] == "Updating"
    seen = set()
    while jobs.sagemaker.describe_endpoint(EndpointName="blue")["EndpointStatus"] == "Updating":
        seen.add(value(jobs, "blue"))
    after = settled(jobs, "blue")
    assert after["EndpointConfigName"] == "green"
    assert "FailureReason" not in after
    assert value(jobs, "blue") == 2
    assert seen <= {1, 2}
    assert 1 in seen


def test_a_scaled_variant_keeps_its_instance_type(jobs: World) -> None:
    scaling, sagemaker = jobs.client("application-autoscaling"), jobs.sagemaker
    url = constant(jobs, "scaled", 1)
    deploy(jobs, "scaled", config(jobs, "scaled", url))
    for name, changes in (
        ("scaled-same", {}),
        ("scaled-larger", {"InstanceType": "ml.m5.xlarge"}),
        ("scaled-renamed", {"VariantName": "Other"}),
    ):
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[{**variant("scaled"), **changes}]
        )
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/scaled/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=3)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    scaling.put_scaling_policy(
        **target,
        PolicyName="load",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 10, "PredefinedMetricSpecification": metric,
        },
    )  # fmt: skip
    for name in ("scaled-larger", "scaled-renamed"):
        with pytest.raises(ClientError, match="must be deregistered as scalable targets"):
            sagemaker.update_endpoint(EndpointName="scaled", EndpointConfigName=name)
        assert settled(jobs, "scaled")["EndpointConfigName"] == "scaled"
    sagemaker.update_endpoint(EndpointName="scaled", EndpointConfigName="scaled-same")
    assert settled(jobs, "scaled")["EndpointConfigName"] == "scaled-same"
    scaling.deregister_scalable_target(**target)
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")
    assert policies["ScalingPolicies"] == []
    sagemaker.update_endpoint(EndpointName="scaled", EndpointConfigName="scaled-larger")
    assert settled(jobs, "scaled")["EndpointConfigName"] == "scaled-larger"


def shifting(kind: str, wait: int, alarms: list[str], **more: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **more}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": 0,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
    }


def alarm(jobs: World, name: str, endpoint: str, metric: str = "InvocationModelErrors") -> str:
    jobs.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=2,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    return name


@pytest.fixture(scope="module")
def watcher(jobs: World) -> str:
    looking = {"Action": "cloudwatch:DescribeAlarms", "Resource": "*"}
    return jobs.cloud.role("watcher", *job_policy(jobs.key), looking, trust=TRUST)


def test_a_canary_that_fails_is_rolled_back(jobs: World, watcher: str) -> None:
    role = {"ExecutionRoleArn": watcher}
    deploy(jobs, "canary", config(jobs, "canary-1", constant(jobs, "canary-1", 1), model=role))
    alarm(jobs, "canary-errors", "canary")
    failing = CONSTANT.replace(
        "def predict_fn(data, model):", "def predict_fn(data, model):\n    1/0"
    )
    config(jobs, "canary-2", constant(jobs, "canary-2", 2, failing), model=role)
    half = {"Type": "CAPACITY_PERCENT", "Value": 50}
    jobs.sagemaker.update_endpoint(
        EndpointName="canary",
        EndpointConfigName="canary-2",
        DeploymentConfig=shifting("CANARY", 600, ["canary-errors"], CanarySize=half),
    )
    states, wrong, good = [], 0, 0
    while (now := jobs.sagemaker.describe_endpoint(EndpointName="canary"))[
        "EndpointStatus"
    ] != "InService":
        states.append(now["EndpointStatus"])
        try:
            good += value(jobs, "canary") == 1
        except ClientError:
            wrong += 1
    assert states[0] == "Updating"
    assert wrong > 2
    assert good > 0
    assert now["EndpointConfigName"] == "canary-1"
    assert "canary-errors" in now["FailureReason"]
    assert "PendingDeploymentSummary" not in now
    assert value(jobs, "canary") == 1
    told = jobs.client("cloudwatch").describe_alarms(AlarmNames=["canary-errors"])
    assert told["MetricAlarms"][0]["StateValue"] == "ALARM"


def test_a_linear_update_without_trouble_goes_through(jobs: World, watcher: str) -> None:
    role = {"ExecutionRoleArn": watcher}
    deploy(jobs, "linear", config(jobs, "linear-1", constant(jobs, "linear-1", 1), model=role))
    alarm(jobs, "linear-errors", "linear")
    config(jobs, "linear-2", constant(jobs, "linear-2", 2), model=role)
    step = {"Type": "INSTANCE_COUNT", "Value": 1}
    deployment = shifting("LINEAR", 60, ["linear-errors"], LinearStepSize=step)
    jobs.sagemaker.update_endpoint(
        EndpointName="linear", EndpointConfigName="linear-2", DeploymentConfig=deployment
    )
    pending = until(
        lambda: jobs.sagemaker.describe_endpoint(EndpointName="linear"),
        lambda e: e.get("PendingDeploymentSummary", {}).get("ProductionVariants"),
    )
    assert pending["PendingDeploymentSummary"]["EndpointConfigName"] == "linear-2"
    after = settled(jobs, "linear")
    assert (after["EndpointConfigName"], after.get("FailureReason")) == ("linear-2", None)
    assert after["LastDeploymentConfig"] == deployment


def test_an_alarm_that_is_in_alarm_already_stops_the_update(jobs: World, watcher: str) -> None:
    role = {"ExecutionRoleArn": watcher}
    deploy(jobs, "held", config(jobs, "held-1", constant(jobs, "held-1", 1), model=role))
    alarm(jobs, "held-alarm", "held")
    jobs.client("cloudwatch").set_alarm_state(
        AlarmName="held-alarm", StateValue="ALARM", StateReason="by hand"
    )
    config(jobs, "held-2", constant(jobs, "held-2", 2), model=role)
    jobs.sagemaker.update_endpoint(
        EndpointName="held",
        EndpointConfigName="held-2",
        DeploymentConfig=shifting("ALL_AT_ONCE", 60, ["held-alarm"]),
    )
    after = settled(jobs, "held")
    assert after["EndpointConfigName"] == "held-1"
    assert "held-alarm" in after["FailureReason"]


def test_alarms_must_exist_and_the_role_may_look_at_them(jobs: World, watcher: str) -> None:
    deploy(jobs, "blind", config(jobs, "blind", constant(jobs, "blind", 1)))
    alarm(jobs, "blind-alarm", "blind")
    update = jobs.sagemaker.update_endpoint
    with pytest.raises(ClientError, match="cloudwatch:DescribeAlarms"):
        update(
            EndpointName="blind",
            EndpointConfigName="blind",
            DeploymentConfig=shifting("ALL_AT_ONCE", 0, ["blind-alarm"]),
        )
    config(jobs, "seeing", constant(jobs, "seeing", 1), model={"ExecutionRoleArn": watcher})
    with pytest.raises(ClientError, match="There is no alarm nowhere"):
        update(
            EndpointName="blind",
            EndpointConfigName="seeing",
            DeploymentConfig=shifting("ALL_AT_ONCE", 0, ["nowhere"]),
        )
    assert settled(jobs, "blind")["EndpointStatus"] == "InService"


def test_a_new_fleet_that_is_not_healthy_is_rolled_back(jobs: World) -> None:
    deploy(jobs, "sick", config(jobs, "sick-1", constant(jobs, "sick-1", 1)))
    config(jobs, "sick-2", constant(jobs, "sick-2", 2, "raise SystemExit(3)"))
    jobs.sagemaker.update_endpoint(EndpointName="sick", EndpointConfigName="sick-2")
    after = settled(jobs, "sick")
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "sick-1")
    assert "did not pass the ping health check" in after["FailureReason"]
    assert value(jobs, "sick") == 1
    config(jobs, "sick-3", constant(jobs, "sick-3", 3))
    jobs.sagemaker.update_endpoint(EndpointName="sick", EndpointConfigName="sick-3")
    healed = settled(jobs, "sick")
    assert "FailureReason" not in healed
    assert value(jobs, "sick") == 3


def test_variants_share_the_traffic_by_weight(jobs: World) -> None:
    for number in (1, 2):
        config(jobs, f"share-{number}", constant(jobs, f"share-{number}", number))
    jobs.sagemaker.create_endpoint_config(
        EndpointConfigName="shares",
        ProductionVariants=[variant("share-1", "One", 9.0), variant("share-2", "Two", 1.0)],
    )
    deploy(jobs, "shares", "shares")
    seen = [value(jobs, "shares") for _ in range(60)]
    assert seen.count(1) > 40
    assert json.loads(ask(jobs, "shares", {}, TargetVariant="Two")["Body"])["value"] == 2
    jobs.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="shares",
        DesiredWeightsAndCapacities=[
            {"VariantName": "One", "DesiredWeight": 0.0},
            {"VariantName": "Two", "DesiredInstanceCount": 5},
        ],
    )
    after = settled(jobs, "shares")
    assert {v["VariantName"]: v["CurrentWeight"] for v in after["ProductionVariants"]} == {
        "One": 0.0,
        "Two": 1.0,
    }
    assert after["ProductionVariants"][1]["DesiredInstanceCount"] == 5
    assert {value(jobs, "shares") for _ in range(5)} == {2}


def captured(jobs: World, prefix: str) -> list[tuple[str, dict[str, Any]]]:
    listed = jobs.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return [
        (item["Key"], json.loads(line))
        for item in listed
        for line in jobs.get(f"s3://{BUCKET}/{item['Key']}").splitlines()
    ]


def test_requests_and_answers_are_captured(jobs: World) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/capture",
        "KmsKeyId": jobs.key,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    url = constant(jobs, "captured", 4)
    deploy(jobs, "captured", config(jobs, "captured", url, DataCaptureConfig=capture))
    ask(jobs, "captured", {"n": 1}, InferenceId="id-1", CustomAttributes="trace=1")
    ask(jobs, "captured", {"n": 2})
    found = until(
        lambda: captured(jobs, "capture/captured/AllTraffic/"), lambda lines: len(lines) == 2, 10
    )
    key, line = next(item for item in found if "inferenceId" in item[1]["eventMetadata"])
    assert key.endswith(".jsonl")
    side = line["captureData"]["endpointInput"]
    assert side == {
        "observedContentType": "application/json",
        "mode": "INPUT",
        "data": '{"n": 1}',
        "encoding": "JSON",
    }
    output = json.loads(line["captureData"]["endpointOutput"]["data"])
    assert output == {"value": 4, "seen": {"n": 1}}
    assert line["eventMetadata"]["inferenceId"] == "id-1"
    assert line["eventMetadata"]["customAttributes"] == ["trace=1"]
    assert line["eventVersion"] == "0"
    head = jobs.client("s3").head_object(Bucket=BUCKET, Key=key)
    assert head["SSEKMSKeyId"] == jobs.key
    shown = jobs.sagemaker.describe_endpoint(EndpointName="captured")["DataCaptureConfig"]
    assert (shown["CaptureStatus"], shown["CurrentSamplingPercentage"]) == ("Started", 100)


def test_capture_samples_and_says_when_it_cannot_write(jobs: World) -> None:
    def capture(percentage: int, bucket: str) -> dict[str, Any]:
        return {
            "EnableCapture": True,
            "InitialSamplingPercentage": percentage,
            "DestinationS3Uri": f"s3://{bucket}/sampled",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        }

    url = constant(jobs, "sampled", 4)
    none = config(jobs, "sampled", url, DataCaptureConfig=capture(0, BUCKET))
    deploy(jobs, "sampled", none)
    for _ in range(5):
        value(jobs, "sampled")
    bad = config(jobs, "unwritable", url, DataCaptureConfig=capture(100, "nowhere"))
    deploy(jobs, "unwritable", bad)
    value(jobs, "unwritable")
    until(
        lambda: jobs.sagemaker.describe_endpoint(EndpointName="unwritable"),
        lambda e: e["DataCaptureConfig"]["CaptureStatus"] == "Stopped",
        10,
    )
    assert captured(jobs, "sampled/") == []


def test_invocations_are_measured(jobs: World) -> None:
    deploy(jobs, "measured", config(jobs, "measured", constant(jobs, "measured", 4)))
    for body in ({}, {}, {"fail": True}):
        try:
            ask(jobs, "measured", body)
        except ClientError:
            continue
    found = {}
    for metric in ("Invocations", "Invocation5XXErrors", "Invocation4XXErrors", "ModelLatency"):
        points = jobs.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": "measured"},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            StartTime=time.time() - 300,
            EndTime=time.time() + 60,
            Period=600,
            Statistics=["Sum"],
        )["Datapoints"]
        found[metric] = sum(point["Sum"] for point in points)
    assert (found["Invocations"], found["Invocation5XXErrors"]) == (3, 1)
    assert found["Invocation4XXErrors"] == 0
    assert found["ModelLatency"] > 0


def test_an_isolated_model_is_served_without_credentials(jobs: World) -> None:
    script = CONSTANT.replace(
        '"seen": data', '"seen": sorted(n for n in os.environ if "KEY" in n or "ENDPOINT" in n)'
    )
    url = constant(jobs, "isolated", 4, script)
    isolated = {"EnableNetworkIsolation": True}
    endpoint = deploy(jobs, "isolated", config(jobs, "isolated", url, model=isolated))
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert json.loads(ask(jobs, "isolated", {})["Body"])["seen"] == []
    model = jobs.sagemaker.describe_model(ModelName="isolated")
    assert model["EnableNetworkIsolation"] is True
    assert model["VpcConfig"] == jobs.vpc_config


def test_state_changes_are_sent_to_rules(jobs: World) -> None:
    sqs, events = jobs.client("sqs"), jobs.client("events")
    queue = sqs.create_queue(QueueName="endpoints")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{DEV}:endpoints"
    sqs.set_queue_attributes(
        QueueUrl=queue,
        Attributes={
            "Policy": document(
                {
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                }
            )
        },
    )
    pattern = {
        "detail-type": ["SageMaker Endpoint State Change"],
        "detail": {"EndpointName": ["told"]},
    }
    events.put_rule(Name="endpoints", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="endpoints", Targets=[{"Id": "1", "Arn": arn}])
    deploy(jobs, "told", config(jobs, "told", constant(jobs, "told", 1)))
    jobs.sagemaker.delete_endpoint(EndpointName="told")

    received: list[Any] = []

    def states() -> list[Any]:
        received.extend(
            json.loads(message["Body"])["detail"]
            for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get(
                "Messages", []
            )
        )
        return received

    until(states, lambda found: len(found) >= 3)
    assert [d["EndpointStatus"] for d in received] == ["CREATING", "IN_SERVICE", "DELETING"]
    assert received[1]["ProductionVariants"][0]["DesiredInstanceCount"] == 2


TELLS_PROCESS = CONSTANT.replace('"seen": data', '"seen": os.getpid()')


def serving(made: World, name: str) -> Path:
    """The folder in /proc of the process that answers for a new endpoint."""
    deploy(made, name, config(made, name, constant(made, name, 1, TELLS_PROCESS)))
    process = Path(f"/proc/{json.loads(ask(made, name, {})['Body'])['seen']}")
    assert b"model_server.py" in (process / "cmdline").read_bytes()
    return process


def ends(process: Path) -> bool:
    with contextlib.suppress(OSError):
        return not (process / "cmdline").read_bytes()
    return True


def test_a_deleted_endpoint_is_gone_with_its_processes(jobs: World) -> None:
    process = serving(jobs, "gone")
    jobs.sagemaker.delete_endpoint(EndpointName="gone")

    def missing() -> bool:
        try:
            jobs.sagemaker.describe_endpoint(EndpointName="gone")
        except ClientError as error:
            return "Could not find endpoint" in str(error)
        return False

    until(missing, bool)
    until(lambda: ends(process), bool)


def test_names_are_unique_and_configurations_need_their_model(jobs: World, served: str) -> None:
    sagemaker = jobs.sagemaker
    with pytest.raises(ClientError, match="already existing endpoint configuration"):
        sagemaker.create_endpoint_config(
            EndpointConfigName=served, ProductionVariants=[variant(served)]
        )
    with pytest.raises(ClientError, match="already existing endpoint "):
        sagemaker.create_endpoint(EndpointName=served, EndpointConfigName=served)
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.create_endpoint_config(
            EndpointConfigName="orphan", ProductionVariants=[variant("nobody")]
        )
    with pytest.raises(ClientError, match="no asynchronous inference"):
        sagemaker.create_endpoint_config(
            EndpointConfigName="later",
            ProductionVariants=[variant(served)],
            AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://b/p"}},
        )


def test_a_model_of_another_account_s_package_needs_its_leave(jobs: World) -> None:
    hub, url = jobs.client("sagemaker", HUB), constant(jobs, "packaged", 6)
    hub.create_model_package_group(ModelPackageGroupName="central")
    package = hub.create_model_package(
        ModelPackageGroupName="central",
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [
                {
                    "Image": SKLEARN,
                    "ModelDataUrl": url,
                    "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
                }
            ],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]

    def make() -> None:
        jobs.sagemaker.create_model(
            ModelName="packaged",
            ExecutionRoleArn=jobs.role,
            PrimaryContainer={"ModelPackageName": package},
            VpcConfig=jobs.vpc_config,
        )

    with pytest.raises(ClientError, match="sagemaker:DescribeModelPackage on resource"):
        make()
    policy = {
        "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
        "Resource": f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/central/*",
    }
    hub.put_model_package_group_policy(
        ModelPackageGroupName="central",
        ResourcePolicy=document({**policy, "Action": "sagemaker:DescribeModelPackage"}),
    )
    make()
    model = jobs.sagemaker.describe_model(ModelName="packaged")
    assert model["PrimaryContainer"]["Image"] == SKLEARN
    jobs.sagemaker.create_endpoint_config(
        EndpointConfigName="packaged", ProductionVariants=[variant("packaged")]
    )
    assert deploy(jobs, "packaged", "packaged")["EndpointStatus"] == "InService"
    assert value(jobs, "packaged") == 6


def test_processes_end_when_the_emulator_is_killed(tmp_path: Any) -> None:
    with world(tmp_path) as made:
        process = serving(made, "orphan")
        os.kill(made.cloud.started.description["pid"], signal.SIGKILL)
        until(lambda: ends(process), bool)
