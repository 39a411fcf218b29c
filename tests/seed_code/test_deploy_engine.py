"""The documented command from begin to finish: the real engine, the policy pack, models that serve.

The target account, the hub and SageMaker are emulated; the models are trained here and really
answer. The hub's deployments function is a stand-in that lets every version through.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import iam
from components.naming import Names, Placement
from components.projects import policies
from localcloud import environments
from localcloud.emulator.jobs import standins
from localcloud.paths import CHECKOUT
from tests.localcloud.emulators import (
    DEV,
    HUB,
    REGION,
    Cloud,
    checkout,
    document,
    running,
    trusting,
)
from tests.localcloud.jobs_world import TRUST, XGBOOST
from tests.localcloud.kit import until, zipped
from tests.seed_code.deploy_repository import ENVIRON, GROUP, ROOT, render
from tests.seed_code.deployment_target import archived, publish, trained

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TARGET = "444444444444"
ENDPOINT = "acme-preprod-abalone"
PLACEMENT = Placement(
    prefix="acme",
    environment="preprod",
    region=REGION,
    account_id=TARGET,
    accounts={"dev": DEV, "governance": HUB, "preprod": TARGET},
    organization_id="o-localcloud",
    protect=False,
)
PROMOTED = f"promoted/{DEV}/acme-dev-abalone"
HUB_NAMES, NAMES = Names.at(PLACEMENT, "governance"), Names.at(PLACEMENT)
GATE = """
import json
import boto3

def handler(event, context):
    print(json.dumps(event))
    if event["action"] == "finish":
        return {"status": "Live" if event["outcome"] == "Live" else "RolledBack"}
    arn = event["model_package_arn"]
    package = boto3.client("sagemaker").describe_model_package(ModelPackageName=arn)
    if package["ModelApprovalStatus"] != "Approved":
        return {"proceed": False, "status": "Refused", "reason": "the version is not approved"}
    container = package["InferenceSpecification"]["Containers"][0]
    drift = package["DriftCheckBaselines"]
    data = drift["ModelDataQuality"]
    return {"proceed": True, "sequence": 1, "version": {
        "model_package_arn": arn, "image": container["Image"],
        "model_data_url": container["ModelDataUrl"], "environment": {},
        "content_types": ["text/csv"], "response_types": ["text/csv"],
        "baselines": {
            "quality": drift["ModelQuality"]["Constraints"]["S3Uri"],
            "attributions": drift["Explainability"]["Constraints"]["S3Uri"],
            **{name.lower(): data[name]["S3Uri"] for name in data}}}}
"""
FEATURES = [f"f{n}" for n in range(10)]
QUALITY = {
    "regression_constraints": {
        "rmse": {"threshold": 2.0, "comparison_operator": "GreaterThanThreshold"}
    }
}
# Only the last one counts for what is right.
ATTRIBUTIONS = {
    "explanations": {
        "kernel_shap": {
            "label0": {
                "global_shap_values": {name: 3.0 * (name == "f9") for name in FEATURES},
                "expected_value": 12.0,
            }
        }
    }
}
HOURLY = "cron(0 * ? * * *)"
LEFT = "is taken out of scaling for the update"


@dataclass
class Pipeline:
    """A rendered repository, the accounts, and the environment of the project's pipeline."""

    folder: Path
    cloud: Cloud
    env: dict[str, str]
    versions: list[str] = field(default_factory=list)
    baselines: dict[str, bytes] = field(default_factory=dict)

    def deploy(self, arn: str, kind: str = "deploy", code: int = 0) -> str:
        """The documented command; its output."""
        return self.command(
            "--model-package-arn", arn, "--execution", "run-1", "--kind", kind, code=code
        )

    def command(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "deploy.py", "--environment", "preprod", *arguments],
            cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        for name in ("AWS_SECRET_ACCESS_KEY", "PULUMI_CONFIG_PASSPHRASE"):
            assert self.env[name] not in said
        return said

    @property
    def settings(self) -> dict[str, Any]:
        """Of the stack."""
        content = yaml.safe_load((self.folder / "Pulumi.preprod.yaml").read_text())
        # The engine writes the file anew, with the project's name before each key.
        return {
            key.removeprefix("abalone-deploy:"): value for key, value in content["config"].items()
        }

    def configure(self, **config: Any) -> None:
        """Changes settings of the stack."""
        path = self.folder / "Pulumi.preprod.yaml"
        content = yaml.safe_load(path.read_text())
        content["config"] = self.settings | config
        path.write_text(yaml.safe_dump(content))

    def target(self, service: str) -> Any:
        return self.cloud.client(service, TARGET)

    def live(self) -> tuple[str, str]:
        """The live configuration and the version that it serves."""
        sagemaker = self.target("sagemaker")
        endpoint = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
        assert endpoint["EndpointStatus"] == "InService"
        name = endpoint["EndpointConfigName"]
        variants = sagemaker.describe_endpoint_config(EndpointConfigName=name)
        model = variants["ProductionVariants"][0]["ModelName"]
        container = sagemaker.describe_model(ModelName=model)["PrimaryContainer"]
        return name, container["ModelPackageName"]

    def monitored(self) -> tuple[str, str]:
        """The schedule's ARN, and the version whose baseline it compares with."""
        sagemaker = self.target("sagemaker")
        told = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=f"{ENDPOINT}-drift")
        made = sagemaker.describe_data_quality_job_definition(
            JobDefinitionName=told["MonitoringScheduleConfig"]["MonitoringJobDefinitionName"]
        )
        app, files = made["DataQualityAppSpecification"], made["DataQualityBaselineConfig"]
        version = app["Environment"]["MODEL_PACKAGE_ARN"]
        number = self.versions.index(version)
        assert f"/{PROMOTED}/{number}/" in files["ConstraintsResource"]["S3Uri"]
        return told["MonitoringScheduleArn"], version

    def register(self, model: bytes, status: str = "Approved") -> str:
        """A central version with a model file; its ARN."""
        bucket, key = HUB_NAMES.bucket("models"), f"{PROMOTED}/{len(self.versions)}/model.tar.gz"
        s3, folder = self.cloud.client("s3", HUB), key.rpartition("/")[0]
        s3.put_object(Bucket=bucket, Key=key, Body=archived(model))
        for name, text in self.baselines.items():
            s3.put_object(Bucket=bucket, Key=f"{folder}/{name.lower()}.json", Body=text)
        for name, told in (("quality", QUALITY), ("attributions", ATTRIBUTIONS)):
            s3.put_object(Bucket=bucket, Key=f"{folder}/{name}.json", Body=json.dumps(told))

        def brought(name: str) -> dict[str, str]:
            uri = f"s3://{bucket}/{folder}/{name}.json"
            return {"ContentType": "application/json", "S3Uri": uri}

        made = self.cloud.client("sagemaker", HUB).create_model_package(
            ModelPackageGroupName=GROUP,
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [{"Image": XGBOOST, "ModelDataUrl": f"s3://{bucket}/{key}"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            DriftCheckBaselines={
                "ModelDataQuality": {name: brought(name.lower()) for name in self.baselines},
                "ModelQuality": {"Constraints": brought("quality")},
                "Explainability": {"Constraints": brought("attributions")},
            },
        )
        self.versions.append(made["ModelPackageArn"])
        return made["ModelPackageArn"]


def described(folder: Path, seed: int) -> dict[str, bytes]:
    """The baseline of what a model was trained on, by the stand-in of AWS's analyzer."""
    (folder / "data").mkdir(exist_ok=True)
    table = folder / "data" / "data.csv"
    table.write_bytes((folder / f"model-{seed}.ubj.csv").read_bytes())
    given = {
        "dataset_format": json.dumps({"csv": {"header": True}}),
        "dataset_source": str(table.parent),
        "output_path": str(folder / "baseline"),
    }
    script = Path(str(standins.__file__)).with_name("model_monitor.py")
    subprocess.run(
        [environments.python("seed"), script, folder], env={**os.environ, **given}, check=True
    )
    return {
        name: (folder / "baseline" / f"{name.lower()}.json").read_bytes()
        for name in ("Statistics", "Constraints")
    }


def prepare_hub(cloud: Cloud) -> None:
    """The registry with the project's group, open to the target account, and the gate."""
    s3 = cloud.client("s3", HUB)
    bucket = HUB_NAMES.bucket("models")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    reader = {"Principal": {"AWS": f"arn:aws:iam::{TARGET}:root"}}
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    allowed = {**reader, "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": resources}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(allowed))
    sagemaker = cloud.client("sagemaker", HUB)
    sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    versions = f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/{GROUP}/*"
    actions = ["sagemaker:DescribeModelPackage", "sagemaker:CreateModel"]
    sagemaker.put_model_package_group_policy(
        ModelPackageGroupName=GROUP,
        ResourcePolicy=document({**reader, "Action": actions, "Resource": versions}),
    )
    role = cloud.role(
        "gate",
        {"Action": "sagemaker:DescribeModelPackage", "Resource": versions},
        account=HUB,
        trust=trusting("lambda"),
    )
    cloud.client("lambda", HUB).create_function(
        FunctionName="acme-governance-deployments",
        Runtime="python3.11",
        Role=role,
        Handler="gate.handler",
        Code={"ZipFile": zipped({"gate.py": GATE})},
        Timeout=30,
    )
    cloud.client("lambda", HUB).create_alias(
        FunctionName="acme-governance-deployments",
        Name="project-abalone_preprod",
        FunctionVersion="$LATEST",
    )


def prepare_target(cloud: Cloud) -> None:
    """What the platform publishes, and the project's deploy role."""
    publish(cloud, NAMES)
    cloud.role(
        "acme-preprod-model-execution-abalone",
        *iam.document(policies.monitor_statements(PLACEMENT, "preprod", "abalone"))["Statement"],
        account=TARGET,
        trust=TRUST,
    )
    monitoring = iam.document(policies.monitoring_statements(PLACEMENT, "preprod", "abalone"))
    kinds = ("model", "endpoint-config", "endpoint")
    scaled = NAMES.arn("application-autoscaling", "scalable-target/*")
    cloud.role(
        "acme-preprod-abalone-deploy",
        {
            "Action": [
                f"sagemaker:{verb}{kind}"
                for verb in ("Create", "Describe", "Delete")
                for kind in ("Model", "EndpointConfig", "Endpoint")
            ]
            + ["sagemaker:UpdateEndpoint", "sagemaker:InvokeEndpoint", "sagemaker:AddTags",
               "sagemaker:DeleteTags", "sagemaker:ListTags"],
            "Resource": [NAMES.arn("sagemaker", f"{kind}/{ENDPOINT}*") for kind in kinds],
        },
        {
            "Action": ["sagemaker:CreateModel", "sagemaker:DescribeModelPackage"],
            "Resource": f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/{GROUP}/*",
        },
        {
            # These know no resources.
            "Action": ["sagemaker:ListModels", "sagemaker:ListEndpointConfigs",
                       "application-autoscaling:Describe*"],
            "Resource": "*",
        },
        {
            "Action": ["application-autoscaling:RegisterScalableTarget",
                       "application-autoscaling:DeregisterScalableTarget",
                       "application-autoscaling:PutScalingPolicy",
                       "application-autoscaling:DeleteScalingPolicy",
                       "application-autoscaling:ListTagsForResource",
                       "application-autoscaling:TagResource"],
            "Resource": [scaled, "*"],
        },
        {
            "Action": ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms",
                       "cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource",
                       "cloudwatch:TagResource"],
            "Resource": NAMES.arn("cloudwatch", f"alarm:{ENDPOINT}-*"),
        },
        {"Action": "ssm:GetParameter", "Resource": NAMES.arn("ssm", "parameter/acme/preprod/*")},
        *monitoring["Statement"],
        account=TARGET,
        trust={"Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}},
    )  # fmt: skip


def variables(cloud: Cloud, root: Path) -> dict[str, str]:
    """Environment of the documented command, as the hub, with its stacks in a folder."""
    key = cloud.started.description["administrators"][HUB]
    (root / "state").mkdir()
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PULUMI_"))},
        **ENVIRON,
        "MLOPS_TARGET_ACCOUNT": TARGET,
        "MLOPS_POLICY_PACK": str(ROOT / "policy"),
        "PATH": f"{CHECKOUT.current_engine}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": cloud.started.endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": key["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "PULUMI_HOME": str(CHECKOUT.pulumi_home),
        "PULUMI_BACKEND_URL": (root / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "keep-this-to-yourself",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
    }


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    root = tmp_path_factory.mktemp("deployment")
    accounts = {"governance": HUB, "preprod": TARGET}
    with running(checkout(root / "cloud"), accounts) as cloud:
        prepare_hub(cloud)
        prepare_target(cloud)
        made = Pipeline(render(root / "repository"), cloud, variables(cloud, root))
        for seed in (1, 2):
            model = trained(root, seed)
            made.baselines = described(root, seed)
            made.register(model)
        yield made


# The tests of this file tell one story, in this order.


def test_a_version_that_is_not_approved_is_refused_and_nothing_is_made(pipeline: Pipeline) -> None:
    pending = pipeline.register(b"", "PendingManualApproval")
    said = pipeline.deploy(pending, code=1)
    assert "Refused: the version is not approved" in said
    assert pipeline.target("sagemaker").list_models()["Models"] == []


def test_what_the_policy_pack_forbids_is_not_made_and_the_cause_is_told(
    pipeline: Pipeline,
) -> None:
    pipeline.configure(instances={"type": "ml.p5.48xlarge", "minimum": 1, "maximum": 1})
    said = pipeline.deploy(pipeline.versions[0], code=1)
    assert "Failed (RolledBack)" in said, said
    assert "ml.p5.48xlarge is not an allowed instance type" in said.split("Failed (")[1]
    assert pipeline.target("sagemaker").list_endpoints()["Endpoints"] == []
    pipeline.configure(
        instances={"type": "ml.m5.large", "minimum": 1, "maximum": 3},
        monitoring={
            "schedule": HOURLY,
            "quality": {"schedule": HOURLY},
            "attributions": {"schedule": HOURLY, "features": FEATURES, "samples": 20},
        },
    )


def test_a_first_version_is_deployed_tested_and_recorded(pipeline: Pipeline) -> None:
    said = pipeline.deploy(pipeline.versions[0])
    assert "6 passed" in said
    assert f"Live: {pipeline.versions[0]} in preprod" in said
    configuration, version = pipeline.live()
    assert version == pipeline.versions[0]
    endpoint = pipeline.target("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
    tags = pipeline.target("sagemaker").list_tags(ResourceArn=endpoint["EndpointArn"])["Tags"]
    assert {"Key": "sagemaker:project-name", "Value": "abalone"} in tags
    scaling = pipeline.target("application-autoscaling")
    [scaled] = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (scaled["MinCapacity"], scaled["MaxCapacity"]) == (1, 3)
    captured = pipeline.target("s3").list_objects_v2(
        Bucket=NAMES.bucket("logs"), Prefix=f"data-capture/{ENDPOINT}/"
    )
    assert captured["KeyCount"] > 0
    assert configuration.startswith(f"{ENDPOINT}-")


def test_the_endpoints_traffic_is_compared_with_the_versions_baseline(
    pipeline: Pipeline,
) -> None:
    schedule, version = pipeline.monitored()
    assert version == pipeline.versions[0]
    made = random.Random(6)  # noqa: S311 -- the same numbers every time
    rows = "\n".join(",".join(f"{made.random():.6f}" for _ in range(10)) for _ in range(400))
    pipeline.target("sagemaker-runtime").invoke_endpoint(
        EndpointName=ENDPOINT, Body=rows, ContentType="text/csv", InferenceId="the-request"
    )
    s3, bucket = pipeline.target("s3"), NAMES.bucket("logs")
    last = rows.rpartition("\n")[2].encode()

    def kept() -> bool:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"data-capture/{ENDPOINT}/")["Contents"]
        return any(
            last in s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found
        )

    until(kept, bool)
    # What was right is known by now: the labels of all rows of the request.
    right = "\n".join(
        f"{3 + 14 * float(row.rpartition(',')[2]) ** 0.5}" for row in rows.split("\n")
    )
    label = {
        "groundTruthData": {"data": right, "encoding": "CSV"},
        "eventMetadata": {"eventId": "the-request"},
        "eventVersion": "0",
    }
    hour = f"{datetime.now(UTC):%Y/%m/%d/%H}"
    key = f"ground-truth/{ENDPOINT}/{hour}/labels.jsonl"
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(label).encode())
    kinds = ("drift", "quality", "explain")
    for kind in kinds:
        rule = schedule.replace("-drift", f"-{kind}")
        pipeline.cloud.control("POST", "schedules", {"rule": rule})
    for kind in kinds:
        told = until(
            lambda kind=kind: pipeline.target("sagemaker").describe_monitoring_schedule(
                MonitoringScheduleName=f"{ENDPOINT}-{kind}"
            )["LastMonitoringExecutionSummary"],
            lambda execution: execution["MonitoringExecutionStatus"] != "InProgress",
        )
        assert told["MonitoringExecutionStatus"] == "Completed", told
    reports = [
        item["Key"]
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=f"monitoring/{ENDPOINT}/")["Contents"]
    ]
    data, quality, explained = (
        {key.rpartition("/")[2] for key in reports if f"/{ENDPOINT}-{kind}/" in key}
        for kind in kinds
    )
    assert data == quality == {
        "constraints.json", "statistics.json", "constraint_violations.json",
    }  # fmt: skip
    assert explained == {"analysis.json", "constraint_violations.json"}


def test_the_same_version_again_changes_nothing(pipeline: Pipeline) -> None:
    before = pipeline.live()
    pipeline.deploy(pipeline.versions[0])
    assert pipeline.live() == before


def test_the_next_version_takes_over_and_what_it_replaced_is_tidied_away(
    pipeline: Pipeline,
) -> None:
    old, _ = pipeline.live()
    assert LEFT not in pipeline.deploy(pipeline.versions[1])
    new, version = pipeline.live()
    assert version == pipeline.versions[1]
    assert new != old
    assert pipeline.monitored()[1] == pipeline.versions[1], "with a baseline of its own"
    sagemaker = pipeline.target("sagemaker")
    [definition] = sagemaker.list_model_quality_job_definitions()["JobDefinitionSummaries"]
    told = sagemaker.describe_model_quality_job_definition(
        JobDefinitionName=definition["MonitoringJobDefinitionName"]
    )
    assert told["ModelQualityAppSpecification"]["Environment"] == {
        "MODEL_PACKAGE_ARN": pipeline.versions[1]
    }
    kept = pipeline.target("sagemaker").list_data_quality_job_definitions()
    assert len(kept["JobDefinitionSummaries"]) == 1
    sagemaker = pipeline.target("sagemaker")
    kept = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    assert [item["EndpointConfigName"] for item in kept] == [new]
    assert len(sagemaker.list_models()["Models"]) == 1


def test_a_version_that_cannot_serve_is_rolled_back_and_that_is_a_failure(
    pipeline: Pipeline,
) -> None:
    """SageMaker reports the endpoint in service, and the provider success: neither is believed."""
    before = pipeline.live()
    broken = pipeline.register(b"no model")
    said = pipeline.deploy(broken, code=1)
    assert "SageMaker rolled the update back" in said.split("Failed (RolledBack)")[1]
    assert pipeline.live() == before, "the old version serves, with its configuration"


def test_an_alarm_during_the_rollout_is_a_failure(pipeline: Pipeline) -> None:
    before = pipeline.live()
    with firing(pipeline.target("cloudwatch"), f"{ENDPOINT}-model-errors"):
        said = pipeline.deploy(pipeline.versions[0], code=1)
    assert f"{ENDPOINT}-model-errors" in said.split("Failed (RolledBack)")[1]
    assert pipeline.live() == before


@contextmanager
def firing(cloudwatch: Any, alarm: str) -> Iterator[None]:
    """Keeps an alarm in ALARM: the next evaluation over the metric ends a state that was set."""
    over = threading.Event()

    def fire() -> None:
        while not over.wait(0.1):
            cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="tested")

    thread = threading.Thread(target=fire)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="tested")


def test_after_rollbacks_the_previous_version_can_be_put_back(pipeline: Pipeline) -> None:
    pipeline.deploy(pipeline.versions[0], kind="rollback")
    new, version = pipeline.live()
    assert version == pipeline.versions[0]
    kept = pipeline.target("sagemaker").list_endpoint_configs()["EndpointConfigs"]
    assert [item["EndpointConfigName"] for item in kept] == [new]


def scaled(pipeline: Pipeline) -> list[tuple[int, int, list[str]]]:
    """Bounds of what scales, and by which policies."""
    scaling = pipeline.target("application-autoscaling")
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    return [
        (target["MinCapacity"], target["MaxCapacity"], [item["PolicyName"] for item in policies])
        for target in scaling.describe_scalable_targets(ServiceNamespace="sagemaker")[
            "ScalableTargets"
        ]
    ]


def test_a_scaled_endpoint_gets_other_instances_and_scales_on_or_not(pipeline: Pipeline) -> None:
    """SageMaker refuses other instances while the variant is a scalable target."""
    sagemaker, by_load = pipeline.target("sagemaker"), [f"{ENDPOINT}-invocations"]
    assert scaled(pipeline) == [(1, 3, by_load)]
    for type_, maximum, then in (
        ("ml.m5.xlarge", 3, [(1, 3, by_load)]),
        ("ml.m5.large", 1, []),
    ):
        pipeline.configure(instances={"type": type_, "minimum": 1, "maximum": maximum})
        said = pipeline.deploy(pipeline.versions[0])
        assert LEFT in said
        config, _ = pipeline.live()
        [variant] = sagemaker.describe_endpoint_config(EndpointConfigName=config)[
            "ProductionVariants"
        ]
        assert variant["InstanceType"] == type_
        assert scaled(pipeline) == then


def test_a_failed_integration_test_is_a_failure_with_its_name(pipeline: Pipeline) -> None:
    samples = pipeline.folder / "integration_tests" / "samples.json"
    good = samples.read_text()
    samples.write_text(json.dumps({**json.loads(good), "highest": 1}))
    said = pipeline.deploy(pipeline.versions[1], code=1)
    assert "test_every_sample_row_gets_one_plausible_prediction" in said.split("Failed (")[1]
    samples.write_text(good)


def test_all_of_it_can_be_taken_away_again(pipeline: Pipeline) -> None:
    assert f"{ENDPOINT} is gone" in pipeline.command("--remove")
    sagemaker = pipeline.target("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []
    assert sagemaker.list_monitoring_schedules()["MonitoringScheduleSummaries"] == []
    assert pipeline.target("cloudwatch").describe_alarms()["MetricAlarms"] == []
