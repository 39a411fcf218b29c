"""Batch predictions: a SageMaker pipeline that checks, transforms and checks again, and its rules.

A run takes what is below ``input/`` of the project's bucket, or one object that has arrived there,
and leaves everything below ``runs/<execution id>/``: the files that were checked, the predictions,
and a manifest of both with the version that made them. Predictions are good to use once the
manifest says ``accepted``. The pipeline's definition is data, built here.

Input that is no good ends a run by a condition. Output that is none ends it by the check itself,
whose job fails after it has written why: SageMaker's pipelines have no nested conditions. Source:
SageMaker developer guide, "Add a step", limitations of condition steps.

Roles and bucket are the platform's: what deploys makes no roles, and starts nothing else by them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions

import serving
from settings import Batch, Model, Version, has_local_disks

INPUT_PREFIX: Final = "input/"
"""Where files to predict on arrive."""
RUNS_PREFIX: Final = "runs"
"""Where runs leave what they make."""
CAPTURED_PREFIX: Final = "captured"
"""Where runs leave manifests of what they predicted on, for monitoring."""
PARAMETER: Final = "InputKey"
"""The pipeline's parameter: an object's key, or a prefix that ends with a slash."""

CSV: Final = "text/csv"
"""Of rows and predictions: the checks read and count them."""

QUALITY: Final = Path(__file__).resolve().parent / "batch_steps" / "quality.py"
"""The script of both checks."""

_VERDICT: Final = "verdict.json"
_CODE, _WORK = "/opt/ml/processing/code", "/opt/ml/processing"
_VERSION: Final = "2020-12-01"
_ALARM_SECONDS: Final = 300
_EVENT_AGE_SECONDS: Final = 3600
_EVENT_ATTEMPTS: Final = 20

_RETRIES: Final = [
    {
        "ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"],
        "IntervalSeconds": 30,
        "BackoffRate": 2.0,
        "MaxAttempts": 5,
    },
    {
        "ExceptionType": [
            "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT",
        ],
        "IntervalSeconds": 60,
        "BackoffRate": 2.0,
        "MaxAttempts": 5,
    },
]  # fmt: skip
"""When AWS is at fault, a step is tried again."""


class Surroundings(TypedDict):
    """What the platform offers: names that it gives, and values that it publishes."""

    bucket: str
    """The project's bucket of batch predictions."""
    subnet_ids: Sequence[str]
    """Private subnets."""
    security_group_ids: Sequence[str]
    """Security groups of workloads."""
    data_key_arn: str
    """Key of the bucket."""
    volume_key_arn: str
    """Key of disks."""
    model_role_arn: str
    """Role of the model and of the checks."""
    pipeline_role_arn: str
    """Role of the pipeline."""
    schedule_role_arn: str
    """Role by which rules start the pipeline, and nothing else."""
    missed_queue_arn: str
    """Queue of events that could not start the pipeline."""
    alerts_topic_arn: str
    """Topic of the environment's owners."""


class BatchInferenceArgs(TypedDict):
    """Inputs of :class:`BatchInference`."""

    name: str
    """Names of the model, the rules and the alarms begin with it."""
    pipeline_name: str
    """Name of the pipeline."""
    version: Version
    """What is deployed."""
    surroundings: Surroundings
    """Where."""
    model: Model
    """How the model is made."""
    batch: Batch
    """When and how it predicts."""
    capture: bool
    """Whether runs leave manifests of what they predicted on."""
    identified: bool
    """Whether each prediction gets an id that labels name it by; needs ``capture``."""


def captured(bucket: str) -> str:
    """URI below which the manifests are."""
    return f"s3://{bucket}/{CAPTURED_PREFIX}"


def definition(args: BatchInferenceArgs, model_name: str, code_uri: str) -> dict[str, Any]:
    """The pipeline's definition.

    Args:
        args: The component's inputs.
        model_name: The SageMaker model that predicts.
        code_uri: Address of the checks' script.

    Source: SageMaker developer guide, "Define a pipeline"; arguments of a step are the input of its
    call in the SageMaker API reference.
    """
    batch = args["batch"]
    return {
        "Version": _VERSION,
        "Parameters": [{"Name": PARAMETER, "Type": "String", "DefaultValue": INPUT_PREFIX}],
        "Steps": [
            _check_input(args, code_uri),
            {
                "Name": "InputAccepted",
                "Type": "Condition",
                "Arguments": {
                    "Conditions": [_accepted("CheckInput")],
                    "IfSteps": [
                        _transform(args, model_name),
                        _check_output(args, code_uri),
                    ],
                    "ElseSteps": [_refused_input()],
                },
            },
        ],
        "Metadata": {"Columns": str(batch.columns), "Model": args["version"].model_package_arn},
    }


def _get(reference: str) -> dict[str, str]:
    return {"Get": reference}


def _joined(*values: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": "", "Values": list(values)}}


def _run_uri(args: BatchInferenceArgs, folder: str) -> dict[str, Any]:
    start = f"s3://{args['surroundings']['bucket']}/{RUNS_PREFIX}/"
    return _joined(start, _get("Execution.PipelineExecutionId"), f"/{folder}")


def _output_uri(step: str, output: str) -> dict[str, str]:
    return _get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri")


def _accepted(step: str) -> dict[str, Any]:
    file = _get(f"Steps.{step}.PropertyFiles.Verdict")
    verdict = {"Std:JsonGet": {"PropertyFile": file, "Path": "accepted"}}
    return {"Type": "Equals", "LeftValue": verdict, "RightValue": 1}


def _refused_input() -> dict[str, Any]:
    # A message may name a step's properties, but not what lies in a file of its.
    where = _output_uri("CheckInput", "report")
    message = _joined("The input is refused, the cause is in ", where, f"/{_VERDICT}")
    return {"Name": "InputRefused", "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def _input(name: str, uri: Any, folder: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "AppManaged": False,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": folder,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def _output(name: str, uri: Any, folder: str, mode: str = "EndOfJob") -> dict[str, Any]:
    target = {"S3Uri": uri, "LocalPath": folder, "S3UploadMode": mode}
    return {"OutputName": name, "AppManaged": False, "S3Output": target}


def _processing(
    name: str,
    args: BatchInferenceArgs,
    arguments: Sequence[Any],
    inputs: Sequence[dict[str, Any]],
    outputs: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    batch, around = args["batch"], args["surroundings"]
    cluster: dict[str, Any] = {
        "InstanceCount": 1,
        "InstanceType": batch.check_instance_type,
        "VolumeSizeInGB": batch.volume_gb,
    }
    if not has_local_disks(batch.check_instance_type):
        cluster["VolumeKmsKeyId"] = around["volume_key_arn"]
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "RoleArn": around["model_role_arn"],
            "AppSpecification": {
                "ImageUri": batch.check_image or args["version"].image,
                "ContainerEntrypoint": ["python3", f"{_CODE}/{QUALITY.name}"],
                "ContainerArguments": list(arguments),
            },
            "ProcessingResources": {"ClusterConfig": cluster},
            "ProcessingInputs": list(inputs),
            "ProcessingOutputConfig": {
                "KmsKeyId": around["data_key_arn"], "Outputs": list(outputs),
            },
            "NetworkConfig": {
                "EnableNetworkIsolation": True,
                "EnableInterContainerTrafficEncryption": True,
                "VpcConfig": {
                    "Subnets": list(around["subnet_ids"]),
                    "SecurityGroupIds": list(around["security_group_ids"]),
                },
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60 * batch.timeout_minutes},
        },
        "RetryPolicies": _RETRIES,
    }  # fmt: skip


def _check_input(args: BatchInferenceArgs, code_uri: str) -> dict[str, Any]:
    batch, bucket = args["batch"], f"s3://{args['surroundings']['bucket']}"
    file = {"PropertyFileName": "Verdict", "OutputName": "report", "FilePath": _VERDICT}
    step = _processing(
        "CheckInput",
        args,
        [
            "input", "--key", _get(f"Parameters.{PARAMETER}"), "--bucket-uri", bucket,
            "--columns", str(batch.columns), *([] if batch.numeric else ["--text"]),
        ],
        [
            _input("code", code_uri, _CODE),
            _input("data", _joined(f"{bucket}/", _get(f"Parameters.{PARAMETER}")), f"{_WORK}/data"),
        ],
        [
            _output("kept", _run_uri(args, "input"), f"{_WORK}/kept"),
            _output("report", _run_uri(args, "check"), f"{_WORK}/report"),
        ],
    )  # fmt: skip
    return {**step, "PropertyFiles": [file]}


def _transform(args: BatchInferenceArgs, model_name: str) -> dict[str, Any]:
    batch, around = args["batch"], args["surroundings"]
    resources: dict[str, Any] = {
        "InstanceType": batch.instance_type,
        "InstanceCount": batch.instances,
    }
    if not has_local_disks(batch.instance_type):
        resources["VolumeKmsKeyId"] = around["volume_key_arn"]
    kept = _output_uri("CheckInput", "kept")
    capture: dict[str, Any] = {
        "DestinationS3Uri": captured(around["bucket"]), "KmsKeyId": around["data_key_arn"],
    }  # fmt: skip
    if args["identified"]:
        capture["GenerateInferenceId"] = True
    return {
        "Name": "Predict",
        "Type": "Transform",
        "Arguments": {
            "ModelName": model_name,
            # Several rows in a request: as many as fit.
            "BatchStrategy": "MultiRecord",
            "MaxPayloadInMB": batch.payload_mb,
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": kept}},
                "ContentType": CSV,
                "SplitType": "Line",
                "CompressionType": "None",
            },
            "TransformOutput": {
                "S3OutputPath": _run_uri(args, "predictions"),
                "Accept": CSV,
                "AssembleWith": "Line",
                "KmsKeyId": around["data_key_arn"],
            },
            "TransformResources": resources,
            **({"DataCaptureConfig": capture} if args["capture"] else {}),
        },
        "RetryPolicies": _RETRIES,
    }


def _check_output(args: BatchInferenceArgs, code_uri: str) -> dict[str, Any]:
    batch = args["batch"]
    predictions = _get("Steps.Predict.TransformOutput.S3OutputPath")
    checked = _output_uri("CheckInput", "report")
    return _processing(
        "CheckOutput",
        args,
        [
            "output", "--predictions-uri", predictions,
            "--model-package", args["version"].model_package_arn,
            "--execution", _get("Execution.PipelineExecutionArn"),
            "--values-per-row", str(batch.values_per_row),
            # One word: a negative number would be taken for an option.
            f"--lowest={batch.lowest!r}", f"--highest={batch.highest!r}",
            *(["--identified"] if args["identified"] else []),
        ],
        [
            _input("code", code_uri, _CODE),
            _input("checked", checked, f"{_WORK}/checked"),
            _input("data", predictions, f"{_WORK}/data"),
        ],
        # The manifest is to outlive the job that fails because of what it says.
        [_output("report", _run_uri(args, "manifest"), f"{_WORK}/report", "Continuous")],
    )  # fmt: skip


class BatchInference(pulumi.ComponentResource):
    """Model, pipeline, the rules that start it, and alarms, of one version."""

    pipeline_name: Output[str]
    pipeline_definition: Output[str]
    """What the pipeline is to do, as JSON."""
    model_name: Output[str]
    rules: dict[str, dict[str, str]]
    """Name of each rule -> ``schedule`` or ``pattern``, and ``input``: the parameter's value."""

    def __init__(
        self, name: str, args: BatchInferenceArgs, opts: ResourceOptions | None = None
    ) -> None:
        props = {key: serving.plain(value) for key, value in args.items()}
        super().__init__("mlops:deploy:BatchInference", name, props, opts)
        self._args, self._called = args, args["name"]
        around = args["surroundings"]
        model = serving.make_model(
            self._called,
            version=args["version"],
            model=args["model"],
            role_arn=around["model_role_arn"],
            subnet_ids=around["subnet_ids"],
            security_group_ids=around["security_group_ids"],
            # A run that is under way predicts with the model that it began with.
            opts=ResourceOptions(parent=self, retain_on_delete=True),
        )
        code = self._code()
        text = Output.all(model.name, code).apply(
            lambda known: json.dumps(definition(args, known[0], known[1]), sort_keys=True)
        )
        pipeline = aws.sagemaker.Pipeline(
            self._called,
            pipeline_name=args["pipeline_name"],
            pipeline_display_name=args["pipeline_name"],
            pipeline_definition=text,
            role_arn=around["pipeline_role_arn"],
            opts=ResourceOptions(parent=self),
        )
        self.rules = wanted_rules(args)
        for rule, wanted in self.rules.items():
            self._rule(rule, wanted, pipeline)
        self._alarms()
        self.pipeline_name, self.pipeline_definition = pipeline.pipeline_name, text
        self.model_name = model.name
        self.register_outputs(
            {
                "pipeline_name": self.pipeline_name,
                "pipeline_definition": self.pipeline_definition,
                "model_name": self.model_name,
            }
        )

    def _code(self) -> Output[str]:
        """The script, below the hash of its content: an older pipeline's is never overwritten."""
        content = QUALITY.read_text(encoding="utf-8")
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        around = self._args["surroundings"]
        made = aws.s3.BucketObjectv2(
            f"{self._called}-quality",
            bucket=around["bucket"],
            key=f"code/{digest}/{QUALITY.name}",
            content=content,
            kms_key_id=around["data_key_arn"],
            server_side_encryption="aws:kms",
            opts=ResourceOptions(parent=self, retain_on_delete=True),
        )
        return Output.format("s3://{0}/{1}", made.bucket, made.key)

    def _rule(self, name: str, wanted: Mapping[str, str], pipeline: aws.sagemaker.Pipeline) -> None:
        child = ResourceOptions(parent=self)
        rule = aws.cloudwatch.EventRule(
            name,
            name=name,
            description=f"Starts {self._args['pipeline_name']}",
            schedule_expression=wanted.get("schedule"),
            event_pattern=wanted.get("pattern"),
            opts=child,
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            target_id="pipeline",
            arn=pipeline.arn,
            role_arn=self._args["surroundings"]["schedule_role_arn"],
            sagemaker_pipeline_target={
                "pipeline_parameter_lists": [{"name": PARAMETER, "value": wanted["input"]}]
            },
            dead_letter_config={"arn": self._args["surroundings"]["missed_queue_arn"]},
            retry_policy={
                "maximum_event_age_in_seconds": _EVENT_AGE_SECONDS,
                "maximum_retry_attempts": _EVENT_ATTEMPTS,
            },
            opts=child,
        )

    def _alarms(self) -> None:
        watched = {
            f"{self._called}-failed": (
                # Source: SageMaker developer guide, "SageMaker Pipelines Metrics".
                "AWS/Sagemaker/ModelBuildingPipeline",
                "ExecutionFailed",
                {"PipelineName": self._args["pipeline_name"]},
                "a run has failed; its cause is in the execution's failure reason, or in the exit"
                " message of the job of the step that failed",
            ),
            **{
                f"{rule}-not-started": (
                    # Source: EventBridge user guide, "Monitoring Amazon EventBridge".
                    "AWS/Events",
                    "FailedInvocations",
                    {"RuleName": rule},
                    "a run that was due was not started",
                )
                for rule in self.rules
            },
        }
        topic = self._args["surroundings"]["alerts_topic_arn"]
        for name, (namespace, metric, dimensions, meaning) in watched.items():
            aws.cloudwatch.MetricAlarm(
                name,
                name=name,
                alarm_description=f"{self._called}: {meaning}",
                namespace=namespace,
                metric_name=metric,
                dimensions=dimensions,
                statistic="Sum",
                comparison_operator="GreaterThanOrEqualToThreshold",
                threshold=1,
                period=_ALARM_SECONDS,
                evaluation_periods=1,
                treat_missing_data="notBreaching",
                alarm_actions=[topic],
                ok_actions=[topic],
                opts=ResourceOptions(parent=self),
            )


def wanted_rules(args: BatchInferenceArgs) -> dict[str, dict[str, str]]:
    """The rules that start the pipeline; see :attr:`BatchInference.rules`."""
    batch, bucket = args["batch"], args["surroundings"]["bucket"]
    rules: dict[str, dict[str, str]] = {}
    if batch.schedule:
        rules[f"{args['name']}-schedule"] = {"schedule": batch.schedule, "input": INPUT_PREFIX}
    if batch.on_arrival:
        # Source: Amazon S3 user guide, "EventBridge event message structure".
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {
                "bucket": {"name": [bucket]},
                "object": {"key": [{"prefix": INPUT_PREFIX}]},
            },
        }
        rules[f"{args['name']}-arrival"] = {
            "pattern": json.dumps(pattern, sort_keys=True),
            # A JSON path of the event. Source: EventBridge user guide, dynamic path parameters.
            "input": "$.detail.object.key",
        }
    return rules
