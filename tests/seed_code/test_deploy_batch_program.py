"""What a batch deployment registers, what its pipeline says, what its checks find in files."""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pulumi
import pytest
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.naming import Names
from components.projects import batch as vended
from localcloud.emulator.jobs import definition as emulated
from localcloud.provider import schema
from tests.seed_code import build_repository
from tests.seed_code.deploy_repository import (
    ARN,
    BASE,
    MADE,
    PARAMETERS,
    REGION,
    TARGET,
    VERSION,
    Ran,
    run_program,
)
from tests.seed_code.test_deploy_program import judge

KEY = f"arn:aws:kms:{REGION}:{TARGET}:key/data"
CONFIG: dict[str, Any] = {
    "kind": "batch",
    "batch": {"schedule": "rate(1 day)", "on_arrival": True, "columns": 3, "lowest": -1,
              "highest": 40},
}  # fmt: skip
QUALITY = BASE / "batch_steps" / "quality.py"
NAMES = Names("acme", "preprod", REGION, TARGET)


BROUGHT: dict[str, Any] = {
    **VERSION,
    "baselines": {
        name: f"s3://acme-governance-models/promoted/abalone/7/{name}.json"
        for name in ("statistics", "constraints", "quality")
    },
}
MONITORED = {"schedule": "cron(0 3 ? * * *)", "columns": ["length"], "distance": 0.2}
GIVEN = {**PARAMETERS, "kms/data/arn": KEY}


def program(environment: str = "preprod", monitoring: Any = None, **changed: Any) -> Ran:
    config = {**CONFIG, "batch": {**CONFIG["batch"], **changed}, "monitoring": monitoring or {}}
    return run_program(config, environment=environment, parameters=GIVEN, version=BROUGHT)


def wanted(ran: Ran) -> dict[str, Any]:
    return json.loads(ran.one("aws:sagemaker/pipeline:Pipeline")["pipelineDefinition"])


def steps(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: dict(step.given) for name, step in emulated.parse(json.dumps(given)).steps.items()
    }


# What is registered.


def test_names_are_those_that_the_project_is_vended_with() -> None:
    ran = program()
    assert ran.exports["bucket"] == vended.bucket_name(NAMES, "abalone")
    pipeline = ran.one("aws:sagemaker/pipeline:Pipeline")
    assert pipeline["pipelineName"] == NAMES.name(vended.PIPELINE.format("abalone"))
    assert pipeline["roleArn"] == NAMES.role_arn(vended.PIPELINE.format("abalone"))
    model = ran.one("aws:sagemaker/model:Model")
    assert model["executionRoleArn"] == NAMES.role_arn(vended.MODEL.format("abalone"))
    assert {
        NAMES.arn("events", f"rule/{rule['name']}")
        for rule in ran.of("aws:cloudwatch/eventRule:EventRule")
    } == set(vended.rule_arns(NAMES, "abalone"))
    for target in ran.of("aws:cloudwatch/eventTarget:EventTarget"):
        assert target["roleArn"] == NAMES.role_arn(vended.SCHEDULE.format("abalone"))
        missed = NAMES.arn("sqs", vended.queue_name(NAMES, "abalone"))
        assert target["deadLetterConfig"] == {"arn": missed}
    assert not ran.of("aws:iam/role:Role"), "what deploys makes no roles"
    assert not ran.of("aws:sagemaker/endpoint:Endpoint")


def test_each_rule_starts_the_pipeline_on_its_input() -> None:
    ran = program()
    values = {
        target["rule"]: target["sagemakerPipelineTarget"]["pipelineParameterLists"]
        for target in ran.of("aws:cloudwatch/eventTarget:EventTarget")
    }
    [parameter] = wanted(ran)["Parameters"]
    assert values == {
        "acme-preprod-abalone-schedule": [{"name": parameter["Name"], "value": "input/"}],
        "acme-preprod-abalone-arrival": [
            {"name": parameter["Name"], "value": "$.detail.object.key"}
        ],
    }
    [only] = program(on_arrival=False).of("aws:cloudwatch/eventRule:EventRule")
    assert only["scheduleExpression"] == "rate(1 day)"


def test_alarms_are_over_failed_runs_and_runs_that_did_not_start() -> None:
    watched = {
        (alarm["metricName"], *alarm["dimensions"].values())
        for alarm in program().of("aws:cloudwatch/metricAlarm:MetricAlarm")
    }
    assert watched == {
        ("ExecutionFailed", "acme-preprod-abalone-batch"),
        ("FailedInvocations", "acme-preprod-abalone-schedule"),
        ("FailedInvocations", "acme-preprod-abalone-arrival"),
    }


def test_what_is_predicted_on_is_compared_with_what_the_version_was_trained_on() -> None:
    ran = program(monitoring=MONITORED)
    made = ran.one("aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition")
    captured = f"s3://{vended.bucket_name(NAMES, 'abalone')}/captured"
    assert made["dataQualityJobInput"] == {
        "batchTransformInput": {
            "dataCapturedDestinationS3Uri": captured,
            "datasetFormat": {"csv": {"header": False}},
            "localPath": "/opt/ml/processing/input/transforms",
        }
    }
    assert made["dataQualityBaselineConfig"] == {
        f"{name}Resource": {"s3Uri": BROUGHT["baselines"][name]}
        for name in ("constraints", "statistics")
    }
    assert made["dataQualityAppSpecification"]["environment"] == {"MODEL_PACKAGE_ARN": ARN}
    assert made["roleArn"] == NAMES.role_arn(vended.MODEL.format("abalone"))
    capture = steps(wanted(ran))["Predict"]["Arguments"]["DataCaptureConfig"]
    assert capture == {"DestinationS3Uri": captured, "KmsKeyId": KEY}
    schedule = ran.one("aws:sagemaker/monitoringSchedule:MonitoringSchedule")
    assert schedule["name"] == NAMES.name(vended.MONITORED.format("abalone"))
    [alarm] = [
        item
        for item in ran.of("aws:cloudwatch/metricAlarm:MetricAlarm")
        if item["namespace"] == "aws/sagemaker/ModelMonitoring/data-metrics"
    ]
    assert alarm["dimensions"] == {"MonitoringSchedule": schedule["name"]}
    assert (alarm["metricName"], alarm["threshold"], alarm["period"]) == (
        "feature_baseline_drift_length", 0.2, 86_400,
    )  # fmt: skip
    without = program()
    assert "DataCaptureConfig" not in steps(wanted(without))["Predict"]["Arguments"]
    assert (
        "--identified"
        not in steps(wanted(ran))["CheckOutput"]["Arguments"]["AppSpecification"][
            "ContainerArguments"
        ]
    )
    assert not without.of("aws:sagemaker/monitoringSchedule:MonitoringSchedule")


MEASURED = {
    "quality": {
        "schedule": "cron(0 * ? * * *)", "labels_after_hours": 3, "limits": {"rmse": 2.8},
    }
}  # fmt: skip


def test_predictions_are_compared_with_labels_by_the_ids_that_they_get() -> None:
    ran = program(monitoring=MEASURED)
    captured = f"s3://{vended.bucket_name(NAMES, 'abalone')}/captured"
    made = ran.one("aws:cloudcontrol/resource:Resource")
    assert made["typeName"] == "AWS::SageMaker::ModelQualityJobDefinition"
    given = json.loads(made["desiredState"])
    name, model = given["JobDefinitionName"], boto_model()
    # Botocore refuses members, types and lengths that the service does not have.
    faults = ParamValidator().validate(
        given, model.operation_model("CreateModelQualityJobDefinition").input_shape
    )
    assert not faults.has_errors(), faults.generate_report()
    assert given["ModelQualityJobInput"] == {
        "BatchTransformInput": {
            "DataCapturedDestinationS3Uri": captured,
            "DatasetFormat": {"Csv": {"Header": False}},
            "LocalPath": "/opt/ml/processing/input/transforms",
            "InferenceAttribute": "0",
            "StartTimeOffset": "-PT4H",
            "EndTimeOffset": "-PT3H",
        },
        "GroundTruthS3Input": {
            "S3Uri": f"s3://{vended.bucket_name(NAMES, 'abalone')}/{vended.LABELS}"
            "/acme-preprod-abalone"
        },
    }
    assert given["ModelQualityBaselineConfig"] == {
        "ConstraintsResource": {"S3Uri": BROUGHT["baselines"]["quality"]}
    }
    app = given["ModelQualityAppSpecification"]
    assert (app["ProblemType"], app["Environment"]) == ("Regression", {"MODEL_PACKAGE_ARN": ARN})
    assert given["NetworkConfig"]["EnableNetworkIsolation"] is True
    assert given["RoleArn"] == NAMES.role_arn(vended.MODEL.format("abalone"))
    assert name.startswith(f"{NAMES.name(vended.MEASURED.format('abalone'))}-")
    schedule = ran.one("aws:sagemaker/monitoringSchedule:MonitoringSchedule")
    assert schedule["name"] == NAMES.name(vended.MEASURED.format("abalone"))
    assert schedule["monitoringScheduleConfig"]["monitoringType"] == "ModelQuality"
    [alarm] = [
        item
        for item in ran.of("aws:cloudwatch/metricAlarm:MetricAlarm")
        if item["namespace"] == "aws/sagemaker/ModelMonitoring/model-metrics"
    ]
    assert alarm["dimensions"] == {"MonitoringSchedule": schedule["name"]}
    assert (alarm["metricName"], alarm["comparisonOperator"], alarm["threshold"]) == (
        "rmse", "GreaterThanThreshold", 2.8,
    )  # fmt: skip
    found = steps(wanted(ran))
    assert found["Predict"]["Arguments"]["DataCaptureConfig"] == {
        "DestinationS3Uri": captured, "KmsKeyId": KEY, "GenerateInferenceId": True,
    }  # fmt: skip
    assert (
        "--identified"
        in found["CheckOutput"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    )


def boto_model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def test_both_are_compared_at_once() -> None:
    ran = program(monitoring={**MONITORED, **MEASURED})
    names = {item["name"] for item in ran.of("aws:sagemaker/monitoringSchedule:MonitoringSchedule")}
    assert names == {
        NAMES.name(end.format("abalone")) for end in (vended.MONITORED, vended.MEASURED)
    }


@pytest.mark.parametrize(
    ("monitoring", "told"),
    [
        ({"schedule": MONITORED["schedule"]}, "which have no prediction: name columns of theirs"),
        (
            {"bias": {"schedule": MONITORED["schedule"]}},
            "monitoring.bias.schedule compares an endpoint's traffic",
        ),
    ],
)
def test_what_files_cannot_be_compared_by_is_told(monitoring: Any, told: str) -> None:
    given = {**BROUGHT, "baselines": {**BROUGHT["baselines"], "bias": "s3://b", "bias_config": ""}}
    with pytest.raises(pulumi.RunError, match=told):
        run_program({**CONFIG, "monitoring": monitoring}, parameters=GIVEN, version=given)


def test_a_version_without_the_quality_of_its_build_is_not_measured() -> None:
    kept = {name: uri for name, uri in BROUGHT["baselines"].items() if name != "quality"}
    with pytest.raises(pulumi.RunError, match=r"monitoring.quality.schedule.*told as quality"):
        run_program(
            {**CONFIG, "monitoring": MEASURED},
            parameters=GIVEN,
            version={**BROUGHT, "baselines": kept},
        )


def test_a_version_without_the_baseline_is_not_compared() -> None:
    with pytest.raises(pulumi.RunError, match="brings no baseline"):
        run_program({**CONFIG, "monitoring": MONITORED}, parameters=GIVEN, version=VERSION)


@pytest.mark.parametrize("environment", ["dev", "preprod", "prod"])
def test_no_rule_of_the_policy_pack_is_violated(environment: str) -> None:
    whole = {**MONITORED, **MEASURED}
    violations, judged = judge(program(environment, whole), environment)
    assert not violations, "\n".join(violations)
    assert judged >= 15


def test_every_input_is_one_of_the_sdks_types() -> None:
    for made in program(monitoring={**MONITORED, **MEASURED}).resources:
        if made.typ.startswith("aws:"):
            known = schema.schema(made.typ)
            assert known is not None
            assert not list(schema.unknown_inputs(dict(made.inputs), known.inputs))
            assert known.required <= set(made.inputs)


# What the pipeline says.


def test_the_definition_is_one_that_sagemaker_takes() -> None:
    """The build repository's check: every call's arguments by botocore's model, every reference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(build_repository.BASE))
        whole = wanted(program(monitoring={**MONITORED, **MEASURED}))
        check = importlib.import_module("pipelinekit.validation")._Check(whole)
        check.run()
        for name in [name for name in sys.modules if name.split(".")[0] == "pipelinekit"]:
            del sys.modules[name]
    assert check.faults == []


def test_jobs_run_isolated_in_the_network_with_the_customers_keys() -> None:
    found = steps(wanted(program()))
    for name in ("CheckInput", "CheckOutput"):
        arguments = found[name]["Arguments"]
        network = arguments["NetworkConfig"]
        assert network["EnableNetworkIsolation"] is True
        assert network["EnableInterContainerTrafficEncryption"] is True
        assert network["VpcConfig"] == {
            "Subnets": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-1"],
        }  # fmt: skip
        cluster = arguments["ProcessingResources"]["ClusterConfig"]
        assert cluster["VolumeKmsKeyId"] == PARAMETERS["kms/storage/arn"]
        assert arguments["ProcessingOutputConfig"]["KmsKeyId"] == KEY
        assert arguments["AppSpecification"]["ImageUri"] == VERSION["image"]
    transform = found["Predict"]["Arguments"]
    assert transform["TransformOutput"]["KmsKeyId"] == KEY
    assert transform["TransformResources"]["VolumeKmsKeyId"] == PARAMETERS["kms/storage/arn"]
    local = steps(wanted(program(instance_type="ml.g5.xlarge")))["Predict"]["Arguments"]
    assert "VolumeKmsKeyId" not in local["TransformResources"], "AWS refuses it there"


def test_what_was_checked_is_what_is_predicted_on_and_nothing_beside_it() -> None:
    found = steps(wanted(program()))
    outputs = {
        item["OutputName"]: item["S3Output"]["S3Uri"]["Std:Join"]["Values"]
        for step in ("CheckInput", "CheckOutput")
        for item in found[step]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    }
    source = found["Predict"]["Arguments"]["TransformInput"]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == {
        "Get": "Steps.CheckInput.ProcessingOutputConfig.Outputs['kept'].S3Output.S3Uri"
    }
    folders = [values[-1] for values in outputs.values()]
    folders.append("/predictions")
    # S3 knows prefixes only: none of a run's folders may begin as another one does.
    assert not [(a, b) for a in folders for b in folders if a != b and b.startswith(a)]


def test_one_condition_decides_and_refused_output_outlives_its_job() -> None:
    first, judged = wanted(program())["Steps"]
    assert [step["Name"] for step in judged["Arguments"]["IfSteps"]] == ["Predict", "CheckOutput"]
    [refused] = judged["Arguments"]["ElseSteps"]
    assert refused["Arguments"]["ErrorMessage"]["Std:Join"]["Values"][1:] == [
        {"Get": "Steps.CheckInput.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"},
        "/verdict.json",
    ]
    modes = {
        (step["Name"], item["OutputName"]): item["S3Output"]["S3UploadMode"]
        for step in (first, judged["Arguments"]["IfSteps"][1])
        for item in step["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    }
    assert modes == {
        ("CheckInput", "kept"): "EndOfJob",
        ("CheckInput", "report"): "EndOfJob",
        ("CheckOutput", "report"): "Continuous",
    }


def test_the_scripts_address_changes_with_its_content() -> None:
    made = program().one("aws:s3/bucketObjectv2:BucketObjectv2")
    digest = hashlib.sha256(QUALITY.read_bytes()).hexdigest()
    assert made["key"] == f"code/{digest[:16]}/quality.py"
    assert made["content"] == QUALITY.read_text()
    for name in ("CheckInput", "CheckOutput"):
        [code] = [
            item["S3Input"]["S3Uri"]
            for item in steps(wanted(program()))[name]["Arguments"]["ProcessingInputs"]
            if item["InputName"] == "code"
        ]
        assert code == f"s3://{made['bucket']}/{made['key']}"


# Whether what is there is what was wanted.


class Aws:
    """A pipeline, a model and a rule as AWS describes them; tests change one thing."""

    def __init__(self, given: Any) -> None:
        self.pipeline = {
            "PipelineStatus": "Active", "PipelineDefinition": given.definition,
            "RoleArn": given.role_arn, "PipelineArn": "arn:pipeline",
        }  # fmt: skip
        self.model = {"PrimaryContainer": {"ModelPackageName": ARN}}
        self.rule = {"State": "ENABLED", "ScheduleExpression": "rate(1 day)"}
        parameters = {"PipelineParameterList": [{"Name": "InputKey", "Value": "input/"}]}
        self.targets = [{"Arn": "arn:pipeline", "SageMakerPipelineParameters": parameters}]

    def describe_pipeline(self, **_: str) -> Any:
        return self.pipeline

    def describe_model(self, **_: str) -> Any:
        return self.model

    def describe_rule(self, **_: str) -> Any:
        return self.rule

    def list_targets_by_rule(self, **_: str) -> Any:
        return {"Targets": self.targets}


def asked_for() -> Any:
    ran = program(on_arrival=False)
    version = MADE.settings.Version.model_validate(VERSION)
    values = [
        ran.exports[name]
        for name in ("pipeline_name", "pipeline_definition", "pipeline_role", "model_name")
    ]
    return MADE.verification.WantedBatch(
        *values, version, "package", ran.exports["bucket"], ran.exports["rules"], 5
    )


@pytest.mark.parametrize(
    ("part", "changed", "told"),
    [
        ("pipeline", {"PipelineStatus": "Deleting"}, "it is Deleting, not Active"),
        ("pipeline", {"PipelineDefinition": '{"Steps": []}'}, "its definition is another one"),
        ("pipeline", {"RoleArn": "arn:other"}, "it runs by arn:other"),
        (
            "model",
            {"PrimaryContainer": {"ModelPackageName": "other"}},
            "has ModelPackageName other",
        ),
        ("rule", {"State": "DISABLED"}, "is DISABLED"),
        ("rule", {"ScheduleExpression": "rate(9 days)"}, "has the schedule rate(9 days)"),
        ("targets", [], "starts []"),
    ],
)
def test_every_difference_to_what_was_wanted_is_told(part: str, changed: Any, told: str) -> None:
    given = asked_for()
    aws = Aws(given)
    MADE.verification.require_batch(aws, aws, given)
    before = getattr(aws, part)
    setattr(aws, part, {**before, **changed} if isinstance(before, dict) else changed)
    with pytest.raises(MADE.verification.NotLiveError) as error:
        MADE.verification.require_batch(aws, aws, given)
    assert told in str(error.value)


# What the checks find in real files.


class Checks:
    """The script in a process of its own, with folders as a job has them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data, self.predictions = root / "data", root / "predictions"
        for folder in (self.data, self.predictions):
            folder.mkdir()

    def input(self, key: str = "input/", *more: str) -> dict[str, Any]:
        return self._run(
            0, "check", "input", "--key", key, "--bucket-uri", "s3://b", "--columns", "3",
            "--data", str(self.data), "--kept", str(self.root / "kept"), *more,
        )  # fmt: skip

    def output(self, *more: str) -> dict[str, Any]:
        return self._run(
            SCRIPT.REFUSED, "manifest", "output", "--predictions-uri", "s3://b/p/",
            "--model-package", ARN, "--execution", "arn:e", "--lowest=-1.0", "--highest=40.0",
            "--data", str(self.predictions), "--checked", str(self.root / "check"), *more,
        )  # fmt: skip

    def _run(self, refused: int, report: str, *arguments: str) -> dict[str, Any]:
        message = self.root / f"{report}-message"
        done = subprocess.run(
            [sys.executable, str(QUALITY), *arguments, "--report", str(self.root / report),
             "--message", str(message)],
            check=False,
        )  # fmt: skip
        verdict = json.loads((self.root / report / "verdict.json").read_text())
        assert done.returncode == (0 if verdict["accepted"] else refused)
        assert message.exists() is not bool(verdict["accepted"])
        if message.exists():
            said = message.read_text()
            assert f"The {arguments[0]} is refused: {verdict['cause']}".startswith(said)
            assert len(said.encode()) <= 1024
        return verdict

    def manifest(self) -> dict[str, Any]:
        return json.loads((self.root / "manifest" / "manifest.json").read_text())


@pytest.fixture
def checks(tmp_path: Path) -> Checks:
    return Checks(tmp_path)


def test_good_input_goes_through_to_a_manifest(checks: Checks) -> None:
    (checks.data / "a.csv").write_text("\ufeff1,2,3\r\n\r\n4,5,6", encoding="utf-8")
    (checks.data / "sub").mkdir()
    (checks.data / "sub" / "b.csv").write_text("7,8,-9e-3\n")
    assert checks.input() == {"accepted": 1, "cause": ""}
    assert (checks.root / "kept" / "a.csv").read_text() == "1,2,3\n4,5,6\n"
    (checks.predictions / "sub").mkdir()
    (checks.predictions / "a.csv.out").write_text("10,11.5\n")
    (checks.predictions / "sub" / "b.csv.out").write_text("12\n")
    assert checks.output() == {"accepted": 1, "cause": ""}
    told = checks.manifest()
    assert told["accepted"] is True
    assert (told["rows"], told["model_package_arn"], told["execution_arn"]) == (3, ARN, "arn:e")
    assert [item["uri"] for item in told["inputs"]] == [
        "s3://b/input/a.csv", "s3://b/input/sub/b.csv",
    ]  # fmt: skip
    for item, path in zip(told["inputs"], ("a.csv", "sub/b.csv"), strict=True):
        content = (checks.data / path).read_bytes()
        assert item["sha256"] == hashlib.sha256(content).hexdigest()
        assert item["bytes"] == len(content)
    assert [(o["uri"], o["rows"]) for o in told["outputs"]] == [
        ("s3://b/p/a.csv.out", 2), ("s3://b/p/sub/b.csv.out", 1),
    ]  # fmt: skip
    assert told["predictions"] == {
        "count": 3, "lowest": 10, "highest": 12, "mean": pytest.approx(33.5 / 3),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "input/a.csv has no rows"),
        (b"\n \n", "input/a.csv has no rows"),
        (b"1,2\n1,2,3\n", "input/a.csv line 1 has 2 columns, 3 are expected"),
        (b"1,2,3\n1,,3\n", "input/a.csv line 2 has no value in column 2"),
        (b"1,2,nan\n", "input/a.csv line 1 has 'nan' in column 3, which is no finite number"),
        (b"a,b,c\n1,2,3\n", "input/a.csv line 1 has 'a' in column 1, which is no finite number"),
        (b"\xff\xfe1,2,3\n", "input/a.csv is not UTF-8 text (invalid start byte)"),
        (b'1,"2,3\n', "line 1 is not CSV"),
    ],
)
def test_bad_input_is_refused_with_its_cause(checks: Checks, content: bytes, cause: str) -> None:
    (checks.data / "a.csv").write_bytes(content)
    (checks.data / "good.csv").write_bytes(b"1,2,3\n")
    verdict = checks.input()
    assert verdict["accepted"] == 0
    assert cause in verdict["cause"]


def test_no_input_and_many_mistakes_are_told_shortly(checks: Checks) -> None:
    assert checks.input()["cause"] == "there is no object at s3://b/input/"
    (checks.data / "a.csv").write_text("1,2\n" * 5000)
    (checks.data / f"{'ä' * 90}.csv").write_text("1,2\n" * 5000)
    cause = checks.input()["cause"]
    assert "input/a.csv has 4995 more lines like that" in cause
    assert len(cause) <= 1000


def test_one_object_is_meant_whatever_begins_as_it_does(checks: Checks) -> None:
    (checks.data / "a.csv").write_text("1,2,3\n")
    (checks.data / "a.csv.old").write_text("garbage")
    assert checks.input("input/a.csv")["accepted"] == 1
    assert not (checks.root / "kept" / "a.csv.old").exists()


def test_text_is_taken_where_it_is_said(checks: Checks) -> None:
    (checks.data / "a.csv").write_text('good,"a, b",3\n')
    assert checks.input("input/", "--text")["accepted"] == 1


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        ({"a.csv.out": "1\n"}, "a.csv.out has 1 predictions, 2 are expected for 2 rows"),
        ({"a.csv.out": "1\n2\n3\n"}, "has 3 predictions, 2 are expected"),
        ({"a.csv.out": ""}, "has 0 predictions"),
        ({}, "a.csv.out is missing"),
        ({"a.csv.out": "1\n2\n", "b.csv.out": "1\n"}, "b.csv.out belongs to no input"),
        ({"a.csv.out": "1\nnan\n"}, "prediction 2 is 'nan', which is no number"),
        ({"a.csv.out": "1\n40.5\n"}, "prediction 2 is 40.5, not within -1 and 40"),
        ({"a.csv.out": "-1.5\n3\n"}, "prediction 1 is -1.5, not within -1 and 40"),
    ],
)
def test_bad_output_is_refused_with_its_cause(
    checks: Checks, files: dict[str, str], cause: str
) -> None:
    (checks.data / "a.csv").write_text("1,2,3\n4,5,6\n")
    checks.input()
    for name, content in files.items():
        (checks.predictions / name).write_text(content)
    verdict = checks.output()
    assert verdict["accepted"] == 0
    assert cause in verdict["cause"]
    assert checks.manifest()["accepted"] is False


def test_several_numbers_a_row_are_counted_as_one(checks: Checks) -> None:
    (checks.data / "a.csv").write_text("1,2,3\n4,5,6\n")
    checks.input()
    (checks.predictions / "a.csv.out").write_text("0.1,0.9\n0.5,0.5\n")
    assert checks.output("--values-per-row", "2")["accepted"] == 1
    assert checks.output("--values-per-row", "3")["accepted"] == 0


def test_ids_are_no_predictions(checks: Checks) -> None:
    (checks.data / "a.csv").write_text("1,2,3\n4,5,6\n")
    (checks.data / "b.csv").write_text("7,8,9\n")
    checks.input()
    made = checks.predictions
    (made / "a.csv.out").write_text("10,id-1,2026-01-01T00:00:00Z\n11,id-2,2026-01-01T00:00:00Z\n")
    (made / "b.csv.out").write_text("12,id-3,2026-01-01T00:00:00Z\n")
    assert checks.output("--identified") == {"accepted": 1, "cause": ""}
    told = checks.manifest()
    assert told["predictions"] == {"count": 3, "lowest": 10, "highest": 12, "mean": 11}
    assert told["identified"] is True
    assert [item["rows"] for item in told["outputs"]] == [2, 1]


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        ({"a": "1\n", "b": "2,x,t\n"}, "a.csv.out line 1 has 1 values, 3 are expected"),
        ({"a": "1,2,x,t\n", "b": "2,y,t\n"}, "a.csv.out line 1 has 4 values, 3 are expected"),
        ({"a": "1,,t\n", "b": "2,y,t\n"}, "a.csv.out line 1 has no id of its own"),
        ({"a": "1,x,t\n", "b": "2,x,t\n"}, "b.csv.out line 1 has no id of its own"),
        ({"a": "1,x,t\n", "b": "41,y,t\n"}, "b.csv.out prediction 1 is 41, not within"),
        ({"a": "1,x,t\n2,y,t\n", "b": "2,z,t\n"}, "a.csv.out has 2 predictions, 1 are expected"),
    ],
)
def test_predictions_that_labels_would_not_find_are_refused(
    checks: Checks, files: dict[str, str], cause: str
) -> None:
    for name, content in files.items():
        (checks.data / f"{name}.csv").write_text("1,2,3\n")
        (checks.predictions / f"{name}.csv.out").write_text(content)
    checks.input()
    verdict = checks.output("--identified")
    assert verdict["accepted"] == 0
    assert cause in verdict["cause"]


def quality() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(QUALITY.parent))
        module = importlib.import_module("quality")
        del sys.modules["quality"]
    return module


SCRIPT = quality()


@given(
    st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=20,
    ),
    st.integers(-2, 2),
)
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
def test_output_is_accepted_when_it_has_a_prediction_for_each_row_and_else_not(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]], more: int
) -> None:
    root = tmp_path_factory.mktemp("rows")
    for folder in ("data", "predictions"):
        (root / folder).mkdir()
    (root / "data" / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    report = SCRIPT.check_input(
        root / "data", root / "kept", bucket_uri="s3://b", key="input/", columns=3, numeric=True
    )
    assert (report.problems, report.rows) == ([], len(rows))
    assert len((root / "kept" / "a.csv").read_text().splitlines()) == len(rows)
    count = max(0, len(rows) + more)
    (root / "predictions" / "a.csv.out").write_text("1.5\n" * count)
    found, values = SCRIPT.check_output(
        root / "predictions", {"handed_on": {"a.csv": len(rows)}}, predictions_uri="s3://b/p",
        values_per_row=1, lowest=0, highest=2,
    )  # fmt: skip
    assert bool(found.problems) == (count != len(rows))
    assert values.count == count


def test_a_definition_tells_apart_what_differs_only_in_bounds() -> None:
    one, other = wanted(program()), wanted(program(highest=41))
    assert one != other
    assert copy.deepcopy(one) == wanted(program())
