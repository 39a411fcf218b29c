"""What is served, compared with what its version was trained on and with how good it was then.

SageMaker's Model Monitor does it on schedules, one for each kind: of the traffic that the endpoint
captured, or of the files that were predicted on (data quality), of the answers of either and the
labels that came later (model quality; of an endpoint bias too), and of what an endpoint's answers
come from (attributions). All of them compare with the baselines that the version brings. Another
version brings others, so a deployment, a retreat or a rollback changes both at once. What has
drifted is told by alarms; the platform hears of it too, and starts one retraining of the project
for the version that drifted.

Pulumi's AWS provider has a resource for definitions of data quality only: the others are made by
AWS's Cloud Control API, from CloudFormation's types. Their names end with a hash of their content,
so that another one stands beside the old one until the schedule has moved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from serving import plain
from settings import Monitoring, Place, Version, has_local_disks, period_seconds

ANALYZERS: Mapping[str, str] = {
    "af-south-1": "875698925577", "ap-east-1": "001633400207", "ap-northeast-1": "574779866223",
    "ap-northeast-2": "709848358524", "ap-northeast-3": "990339680094",
    "ap-south-1": "126357580389", "ap-southeast-1": "245545462676",
    "ap-southeast-2": "563025443158", "ap-southeast-3": "669540362728",
    "ca-central-1": "536280801234", "cn-north-1": "453000072557", "cn-northwest-1": "453252182341",
    "eu-central-1": "048819808253", "eu-central-2": "590183933784", "eu-north-1": "895015795356",
    "eu-south-1": "933208885752", "eu-south-2": "437450045455", "eu-west-1": "468650794304",
    "eu-west-2": "749857270468", "eu-west-3": "680080141114", "il-central-1": "843974653677",
    "me-central-1": "588750061953", "me-south-1": "607024016150", "sa-east-1": "539772159869",
    "us-east-1": "156813124566", "us-east-2": "777275614652", "us-west-1": "890145073186",
    "us-west-2": "159807026194",
}  # fmt: skip
"""Region -> account of Model Monitor's analyzer.

Source: SageMaker developer guide, "Amazon SageMaker Model Monitor prebuilt container"; the
SageMaker Python SDK holds the same table.
"""

CLARIFIERS: Mapping[str, str] = {
    "af-south-1": "811711786498", "ap-east-1": "098760798382", "ap-northeast-1": "377024640650",
    "ap-northeast-2": "263625296855", "ap-northeast-3": "912233562940",
    "ap-south-1": "452307495513", "ap-southeast-1": "834264404009",
    "ap-southeast-2": "007051062584", "ap-southeast-3": "705930551576",
    "ca-central-1": "675030665977", "cn-north-1": "122526803553",
    "cn-northwest-1": "122578899357", "eu-central-1": "017069133835",
    "eu-central-2": "730335477804", "eu-north-1": "763603941244", "eu-south-1": "638885417683",
    "eu-west-1": "131013547314", "eu-west-2": "440796970383", "eu-west-3": "341593696636",
    "me-south-1": "835444307964", "sa-east-1": "520018980103", "us-east-1": "205585389593",
    "us-east-2": "211330385671", "us-gov-west-1": "598674086554", "us-west-1": "740489534195",
    "us-west-2": "306415355426",
}  # fmt: skip
"""Region -> account of Clarify's image.

Source: SageMaker developer guide, "Pre-built SageMaker Clarify Containers"; the SageMaker Python
SDK holds the same table.
"""

METRICS: Mapping[str, str] = {"drift": "data", "quality": "model", "bias": "bias"}
"""Kind -> what the namespace of what its jobs measure begins with. Sources: SageMaker developer
guide, "CloudWatch Metrics for Bring Your Own Containers", "Model quality metrics and Amazon
CloudWatch monitoring", "CloudWatch Metrics for Bias Drift Analysis"."""

PREPROCESSING: Path = Path(__file__).resolve().parent / "traffic.py"
"""What makes columns of captured traffic that is no table, in repositories that have it. Source:
SageMaker developer guide, "Preprocessing and Postprocessing"."""

VERSION = "MODEL_PACKAGE_ARN"
"""Variable of the jobs that says whose baselines they are; the platform reads it in events."""

_PROCESSING = "/opt/ml/processing"
_TRANSFORMS = f"{_PROCESSING}/input/transforms"
_ERRORS = ("mae", "mse", "rmse")

Kind = Literal["ModelQuality", "ModelBias", "ModelExplainability"]


class Around(TypedDict):
    """What the environment's platform offers."""

    subnet_ids: Input[Sequence[str]]
    """Private subnets."""
    security_group_ids: Input[Sequence[str]]
    """Security groups of workloads."""
    role_arn: Input[str]
    """The project's role for jobs beside its model."""
    volume_key_arn: Input[str]
    """Key of the instances' volumes."""
    bucket: Input[str]
    """Bucket of what was captured, which reports go to as well."""
    key_arn: Input[str]
    """Key of that bucket."""
    alerts_topic_arn: Input[str]
    """Topic of the environment's owners."""


class EndpointMonitoringArgs(TypedDict):
    """Inputs of :class:`EndpointMonitoring`."""

    endpoint_name: Input[str]
    """The endpoint, once it is there."""
    model_name: Input[str]
    """The model that it serves."""
    place: Place
    """Where it is, and how schedules are called."""
    version: Version
    """What is deployed."""
    around: Around
    """What the environment offers."""
    monitoring: Monitoring
    """When, on what, and which alarms."""
    tags: Mapping[str, str]
    """Of what the provider's default tags do not reach."""


class BatchMonitoringArgs(TypedDict):
    """Inputs of :class:`BatchMonitoring`."""

    captured: Input[str]
    """URI below which batch transforms leave the manifests of what they were given and answered."""
    place: Place
    """Where it is, and how schedules are called."""
    version: Version
    """What is deployed."""
    around: Around
    """What the environment offers."""
    monitoring: Monitoring
    """When, and which alarms."""
    tags: Mapping[str, str]
    """Of what the provider's default tags do not reach."""


def image(name: str, accounts: Mapping[str, str], region: str) -> str:
    """URI of an image of AWS's.

    Args:
        name: Its repository, with its tag where it has one.
        accounts: Region -> account of its registry.
        region: Where it runs.

    Raises:
        pulumi.RunError: AWS has none in the region.
    """
    if region not in accounts:
        raise pulumi.RunError(
            f"a schedule of monitoring is set, but AWS has no {name} in {region}: leave it empty"
        )
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{accounts[region]}.dkr.ecr.{region}.{suffix}/{name}"


def analyzer(region: str) -> str:
    """URI of Model Monitor's analyzer; AWS gives it no tag."""
    return image("sagemaker-model-monitor-analyzer", ANALYZERS, region)


def clarify(region: str) -> str:
    """URI of Clarify's image."""
    return image("sagemaker-clarify-processing:1.0", CLARIFIERS, region)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _offsets(hours: int, schedule: str) -> dict[str, str]:
    """Of what is looked at when labels take some hours."""
    if not hours:
        return {}
    length = period_seconds(schedule) // 3600
    return {"StartTimeOffset": f"-PT{hours + length}H", "EndTimeOffset": f"-PT{hours}H"}


class _Monitored(pulumi.ComponentResource):
    """What monitoring is in common, whatever is compared.

    Args:
        kind: The component's, as its type names it.
        name: The component's.
        args: Inputs of either kind.
        source: What definitions that Cloud Control API makes look at: the member's name, and where
            that is.
        dimensions: Of metrics, beside the schedule.
        space: Of metrics, between ``aws/sagemaker/`` and their kind.
        opts: The component's options.
    """

    schedules: dict[str, Output[str]]
    """Kind -> name of its schedule, of those that are on."""

    def __init__(
        self,
        kind: str,
        name: str,
        args: EndpointMonitoringArgs | BatchMonitoringArgs,
        source: tuple[str, Mapping[str, Any]],
        dimensions: Mapping[str, Input[str]],
        space: Literal["Endpoints", "ModelMonitoring"],
        opts: ResourceOptions | None,
    ) -> None:
        # Settings are plain values, which Pulumi takes as maps only.
        props = {
            key: value if isinstance(value, Output) else plain(value) for key, value in args.items()
        }
        super().__init__(f"mlops:deploy:{kind}", name, props, opts)
        self.schedules = {}
        self._place, self._served = args["place"], args["version"]
        self._around, self._dimensions, self._space = args["around"], dimensions, space
        self._tags, self._monitoring = args["tags"], args["monitoring"]
        self._source = source

    # The kinds.

    def _data(
        self,
        source: aws.sagemaker.DataQualityJobDefinitionDataQualityJobInputArgsDict,
        preprocessing: Input[str] | None = None,
    ) -> None:
        around, baselines, monitoring = self._around, self._served.baselines, self._monitoring
        called = self._place.monitoring("drift")
        cluster: aws.sagemaker.DataQualityJobDefinitionJobResourcesClusterConfigArgsDict = {
            "instance_count": 1,
            "instance_type": monitoring.instance_type,
            "volume_size_in_gb": monitoring.volume_gb,
        }
        if not has_local_disks(monitoring.instance_type):
            cluster["volume_kms_key_id"] = around["volume_key_arn"]
        app: aws.sagemaker.DataQualityJobDefinitionDataQualityAppSpecificationArgsDict = {
            "image_uri": analyzer(self._place.region),
            "environment": {VERSION: self._served.model_package_arn},
        }
        if preprocessing is not None:
            app["record_preprocessor_source_uri"] = preprocessing
        definition = aws.sagemaker.DataQualityJobDefinition(
            called,
            data_quality_app_specification=app,
            data_quality_baseline_config={
                "constraints_resource": {"s3_uri": baselines["constraints"]},
                "statistics_resource": {"s3_uri": baselines["statistics"]},
            },
            data_quality_job_input=source,
            data_quality_job_output_config={
                "kms_key_id": around["key_arn"],
                "monitoring_outputs": {
                    "s3_output": {
                        "s3_uri": Output.format("s3://{0}/monitoring", around["bucket"]),
                        "local_path": f"{_PROCESSING}/output",
                    }
                },
            },
            job_resources={"cluster_config": cluster},
            network_config={
                "enable_network_isolation": True,
                "enable_inter_container_traffic_encryption": True,
                "vpc_config": {
                    "subnets": around["subnet_ids"],
                    "security_group_ids": around["security_group_ids"],
                },
            },
            role_arn=around["role_arn"],
            stopping_condition={"max_runtime_in_seconds": 60 * monitoring.timeout_minutes},
            opts=ResourceOptions(parent=self),
        )
        self._schedule("DataQuality", "drift", definition.name, monitoring.schedule)
        for column in monitoring.columns:
            self._alarm(
                "drift",
                column,
                f"feature_baseline_drift_{column}",
                monitoring.distance,
                monitoring.schedule,
                meaning=f"{column} is further than {monitoring.distance:g} from what the version"
                " was trained on",
            )

    def _quality(self) -> None:
        quality = self._monitoring.quality
        source: dict[str, Any] = _offsets(quality.labels_after_hours, quality.schedule)
        if quality.prediction:
            source["InferenceAttribute"] = quality.prediction
        if quality.probability:
            source["ProbabilityAttribute"] = quality.probability
            source["ProbabilityThresholdAttribute"] = quality.threshold
        self._schedule(
            "ModelQuality",
            "quality",
            self._definition(
                "ModelQuality",
                "quality",
                {
                    "ImageUri": analyzer(self._place.region),
                    "ProblemType": quality.problem,
                },
                self._served.baselines["quality"],
                source,
                labels=True,
            ),
            quality.schedule,
        )
        for metric, limit in quality.limits.items():
            error = metric in _ERRORS
            self._alarm(
                "quality",
                metric,
                metric,
                limit,
                quality.schedule,
                above=error,
                meaning=f"{metric} is {'above' if error else 'below'} {limit:g}",
            )

    # What they have in common.

    def _definition(
        self,
        kind: Kind,
        end: Literal["quality", "bias", "explain"],
        app: Mapping[str, Input[str]],
        baseline: str,
        source: Mapping[str, Any],
        *,
        labels: bool,
    ) -> Output[str]:
        """Name of a definition, once it is there.

        Args:
            kind: Of monitoring.
            end: Of names.
            app: What the job runs.
            baseline: URI of what it compares with.
            source: More of its input than where that is.
            labels: Whether it needs labels; without them it asks the model, which needs a network.
        """
        around, monitoring, endpoint = self._around, self._monitoring, self._place.endpoint
        called = self._place.monitoring(end)
        cluster: dict[str, Any] = {
            "InstanceCount": 1,
            "InstanceType": monitoring.instance_type,
            "VolumeSizeInGB": monitoring.volume_gb,
        }
        if not has_local_disks(monitoring.instance_type):
            cluster["VolumeKmsKeyId"] = around["volume_key_arn"]
        member, looked_at = self._source
        given: dict[str, Any] = {member: {**looked_at, **source}}
        if labels:
            uri = Output.format("s3://{0}/ground-truth/{1}", around["bucket"], endpoint)
            given["GroundTruthS3Input"] = {"S3Uri": uri}
        reports = Output.format("s3://{0}/monitoring/{1}/{2}", around["bucket"], endpoint, end)
        state: Output[str] = Output.json_dumps(
            {
                f"{kind}AppSpecification": {
                    **app,
                    "Environment": {VERSION: self._served.model_package_arn},
                },
                f"{kind}BaselineConfig": {"ConstraintsResource": {"S3Uri": baseline}},
                f"{kind}JobInput": given,
                f"{kind}JobOutputConfig": {
                    "KmsKeyId": around["key_arn"],
                    "MonitoringOutputs": [
                        {"S3Output": {"S3Uri": reports, "LocalPath": f"{_PROCESSING}/output"}}
                    ],
                },
                "JobResources": {"ClusterConfig": cluster},
                "NetworkConfig": {
                    "EnableNetworkIsolation": labels,
                    "EnableInterContainerTrafficEncryption": True,
                    "VpcConfig": {
                        "Subnets": around["subnet_ids"],
                        "SecurityGroupIds": around["security_group_ids"],
                    },
                },
                "RoleArn": around["role_arn"],
                "StoppingCondition": {"MaxRuntimeInSeconds": 60 * monitoring.timeout_minutes},
                "Tags": [{"Key": key, "Value": self._tags[key]} for key in sorted(self._tags)],
            },
            sort_keys=True,
        )
        made = aws.cloudcontrol.Resource(
            called,
            type_name=f"AWS::SageMaker::{kind}JobDefinition",
            desired_state=state.apply(
                lambda text: json.dumps(
                    {"JobDefinitionName": f"{called}-{_digest(text)}", **json.loads(text)}
                )
            ),
            opts=ResourceOptions(parent=self),
        )
        # Its id is its ARN.
        return made.id.apply(lambda arn: arn.rpartition("/")[2])

    def _schedule(
        self,
        kind: str,
        end: Literal["drift", "quality", "bias", "explain"],
        definition: Output[str],
        expression: str,
    ) -> None:
        called = self._place.monitoring(end)
        made = aws.sagemaker.MonitoringSchedule(
            called,
            name=called,
            monitoring_schedule_config={
                "monitoring_type": kind,
                "monitoring_job_definition_name": definition,
                "schedule_config": {"schedule_expression": expression},
            },
            opts=ResourceOptions(parent=self),
        )
        self.schedules[end] = made.name

    def _alarm(
        self,
        end: Literal["drift", "quality", "bias"],
        name: str,
        metric: str,
        limit: float,
        expression: str,
        *,
        meaning: str,
        above: bool = True,
        dimensions: Mapping[str, str] | None = None,
    ) -> None:
        called = f"{self._place.monitoring(end)}-{name}"
        topic = self._around["alerts_topic_arn"]
        aws.cloudwatch.MetricAlarm(
            called,
            name=called,
            alarm_description=Output.format(
                "{0}; the reports are below monitoring/ of {1}", meaning, self._around["bucket"]
            ),
            namespace=f"aws/sagemaker/{self._space}/{METRICS[end]}-metrics",
            metric_name=metric,
            dimensions={
                **self._dimensions,
                "MonitoringSchedule": self.schedules[end],
                **(dimensions or {}),
            },
            statistic="Maximum" if above else "Minimum",
            comparison_operator="GreaterThanThreshold" if above else "LessThanThreshold",
            threshold=limit,
            period=period_seconds(expression),
            evaluation_periods=1,
            # Between two executions nothing is measured, and nothing has changed.
            treat_missing_data="ignore",
            alarm_actions=[topic],
            ok_actions=[topic],
            opts=ResourceOptions(parent=self),
        )


class BatchMonitoring(_Monitored):
    """The jobs over what was predicted on and predicted, their schedules, and the alarms."""

    def __init__(
        self, name: str, args: BatchMonitoringArgs, opts: ResourceOptions | None = None
    ) -> None:
        looked_at = {
            "DataCapturedDestinationS3Uri": args["captured"],
            "DatasetFormat": {"Csv": {"Header": False}},
            "LocalPath": _TRANSFORMS,
        }
        source = ("BatchTransformInput", looked_at)
        super().__init__("BatchMonitoring", name, args, source, {}, "ModelMonitoring", opts)
        if self._monitoring.schedule:
            self._data(
                {
                    "batch_transform_input": {
                        "data_captured_destination_s3_uri": args["captured"],
                        "dataset_format": {"csv": {"header": False}},
                        "local_path": _TRANSFORMS,
                    }
                }
            )
        if self._monitoring.quality.schedule:
            self._quality()
        self.register_outputs({"schedules": self.schedules})


class EndpointMonitoring(_Monitored):
    """The jobs, their schedules, and the alarms on what they find."""

    def __init__(
        self, name: str, args: EndpointMonitoringArgs, opts: ResourceOptions | None = None
    ) -> None:
        dimensions = {"Endpoint": args["endpoint_name"]}
        looked_at = {
            "EndpointName": args["endpoint_name"], "LocalPath": f"{_PROCESSING}/input_data",
        }  # fmt: skip
        source = ("EndpointInput", looked_at)
        super().__init__("EndpointMonitoring", name, args, source, dimensions, "Endpoints", opts)
        self._args = args
        monitoring = self._monitoring
        if monitoring.schedule:
            self._data(
                {
                    "endpoint_input": {
                        "endpoint_name": args["endpoint_name"],
                        "local_path": f"{_PROCESSING}/input/endpoint",
                    }
                },
                self._preprocessing(),
            )
        if monitoring.quality.schedule:
            self._quality()
        if monitoring.bias.schedule:
            self._bias(monitoring)
        if monitoring.attributions.schedule:
            self._attributions(monitoring)
        self.register_outputs({"schedules": self.schedules})

    def _bias(self, monitoring: Monitoring) -> None:
        bias, baselines = monitoring.bias, self._args["version"].baselines
        self._schedule(
            "ModelBias",
            "bias",
            self._definition(
                "ModelBias",
                "bias",
                {
                    "ImageUri": clarify(self._args["place"].region),
                    "ConfigUri": baselines["bias_config"],
                },
                baselines["bias"],
                {
                    "InferenceAttribute": bias.prediction,
                    **_offsets(bias.labels_after_hours, bias.schedule),
                },
                labels=True,
            ),
            bias.schedule,
        )
        if bias.of is None:
            return
        dimensions = {
            "BiasStage": "Post-Training",
            "Label": bias.of.label,
            "LabelValue": bias.of.label_value,
            "Facet": bias.of.facet,
            "FacetValue": bias.of.facet_value,
        }
        for metric, limit in bias.limits.items():
            for side, above in (("above", True), ("below", False)):
                self._alarm(
                    "bias",
                    f"{metric}-{side}",
                    f"bias_metric_{metric}",
                    limit if above else -limit,
                    bias.schedule,
                    above=above,
                    dimensions=dimensions,
                    meaning=f"{metric} of {bias.of.facet} is further than {limit:g} from 0",
                )

    def _attributions(self, monitoring: Monitoring) -> None:
        args, attributions = self._args, monitoring.attributions
        self._schedule(
            "ModelExplainability",
            "explain",
            self._definition(
                "ModelExplainability",
                "explain",
                {
                    "ImageUri": clarify(args["place"].region),
                    "ConfigUri": self._explanation(monitoring),
                },
                args["version"].baselines["attributions"],
                {},
                labels=False,
            ),
            attributions.schedule,
        )

    def _explanation(self, monitoring: Monitoring) -> Output[str]:
        """URI of how Clarify asks this model; below the hash of its content."""
        args, attributions = self._args, monitoring.attributions
        content: Output[str] = Output.json_dumps(
            {
                "version": "1.0",
                "headers": attributions.features,
                "methods": {
                    "shap": {
                        "num_samples": attributions.samples,
                        "agg_method": "mean_abs",
                        "save_local_shap_values": False,
                    }
                },
                "predictor": {
                    "model_name": args["model_name"],
                    "instance_type": attributions.instance_type,
                    "initial_instance_count": 1,
                    "content_type": "text/csv",
                    "accept_type": "text/csv",
                    "endpoint_name_prefix": args["place"].monitoring("explain"),
                },
            },
            sort_keys=True,
        )
        return self._kept("explain", content, "json", "application/json")

    # What they are told.

    def _preprocessing(self) -> Output[str] | None:
        """URI of what makes columns of the traffic; None where the traffic is a table."""
        if not PREPROCESSING.is_file():
            return None
        content = Output.from_input(PREPROCESSING.read_text(encoding="utf-8"))
        return self._kept("drift", content, "py", "text/x-python")

    def _kept(
        self, end: Literal["drift", "explain"], content: Output[str], suffix: str, kind: str
    ) -> Output[str]:
        """URI of a file that jobs read; below the hash of its content."""
        around, folder = self._around, f"monitoring/{self._place.endpoint}/config"
        made = aws.s3.BucketObjectv2(
            f"{self._place.monitoring(end)}-config",
            bucket=around["bucket"],
            key=content.apply(lambda text: f"{folder}/{_digest(text)}.{suffix}"),
            content=content,
            content_type=kind,
            kms_key_id=around["key_arn"],
            server_side_encryption="aws:kms",
            # Its key is never the old one's, and a definition that is in use still names that.
            opts=ResourceOptions(parent=self, delete_before_replace=False),
        )
        return Output.format("s3://{0}/{1}", made.bucket, made.key)
