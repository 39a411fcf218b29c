"""A model behind an endpoint, with alarms that roll a bad update back, and scaling.

A configuration and a model are never changed: an update makes new ones beside the old, moves the
endpoint over, and leaves the old ones alone. Nothing here deletes them, because an endpoint that
was rolled back still runs on its old configuration, and SageMaker would let it be deleted under it;
``deploy.py`` removes what is left over once it has seen the new configuration live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from settings import Alarms, Capture, Instances, Model, Rollout, Version

Routing = (
    aws.sagemaker.EndpointDeploymentConfigBlueGreenUpdatePolicyTrafficRoutingConfigurationArgsDict
)

VARIANT = "AllTraffic"
"""The endpoint's one variant."""


class Environment(TypedDict):
    """What the environment's platform offers: values of its published parameters."""

    subnet_ids: Input[Sequence[str]]
    """Private subnets, of two availability zones or more."""
    security_group_ids: Input[Sequence[str]]
    """Security groups of workloads."""
    execution_role_arn: Input[str]
    """Role of deployed models."""
    volume_key_arn: Input[str]
    """Key of the instances' volumes."""
    capture_bucket: Input[str]
    """Bucket for captured traffic."""
    capture_key_arn: Input[str]
    """Key of that bucket."""
    alerts_topic_arn: Input[str]
    """Topic of the environment's owners."""


class ModelEndpointArgs(TypedDict):
    """Inputs of :class:`ModelEndpoint`."""

    endpoint_name: str
    """Name of the endpoint; configurations and models are named after it."""
    version: Version
    """What is deployed."""
    environment: Environment
    """Where."""
    model: Model
    """How the model is made."""
    instances: Instances
    """What it runs on."""
    capture: Capture
    """What of the traffic is kept."""
    rollout: Rollout
    """How an update is rolled out."""
    alarms: Alarms
    """When an update is rolled back."""


class ModelEndpoint(pulumi.ComponentResource):
    """Model, configuration, endpoint, alarms and scaling of one version."""

    endpoint_name: Output[str]
    endpoint_config_name: Output[str]
    """The configuration that the endpoint is to run on."""
    model_name: Output[str]

    def __init__(
        self, name: str, args: ModelEndpointArgs, opts: ResourceOptions | None = None
    ) -> None:
        # Settings are plain values, which Pulumi takes as maps only.
        props = {key: plain(value) for key, value in args.items()}
        super().__init__("mlops:deploy:ModelEndpoint", name, props, opts)
        self._args, self._called = args, args["endpoint_name"]
        model = self._model()
        configuration = self._configuration(model)
        endpoint = self._endpoint(configuration, self._alarms())
        self._scaling(endpoint)
        self.endpoint_name = endpoint.name
        self.endpoint_config_name = configuration.name
        self.model_name = model.name
        self.register_outputs(
            {
                "endpoint_name": self.endpoint_name,
                "endpoint_config_name": self.endpoint_config_name,
                "model_name": self.model_name,
            }
        )

    def _child(self, *, kept: bool = False) -> ResourceOptions:
        return ResourceOptions(parent=self, retain_on_delete=kept)

    def _model(self) -> aws.sagemaker.Model:
        args, environment = self._args, self._args["environment"]
        return make_model(
            self._called,
            version=args["version"],
            model=args["model"],
            role_arn=environment["execution_role_arn"],
            subnet_ids=environment["subnet_ids"],
            security_group_ids=environment["security_group_ids"],
            opts=self._child(kept=True),
        )

    def _configuration(self, model: aws.sagemaker.Model) -> aws.sagemaker.EndpointConfiguration:
        instances, environment = self._args["instances"], self._args["environment"]
        return aws.sagemaker.EndpointConfiguration(
            self._called,
            kms_key_arn=None if instances.has_local_disks else environment["volume_key_arn"],
            production_variants=[
                {
                    "variant_name": VARIANT,
                    "model_name": model.name,
                    "instance_type": instances.type,
                    "initial_instance_count": instances.minimum,
                    "initial_variant_weight": 1,
                    "model_data_download_timeout_in_seconds": instances.startup_seconds,
                    "container_startup_health_check_timeout_in_seconds": instances.startup_seconds,
                }
            ],
            data_capture_config=self._capture(),
            opts=self._child(kept=True),
        )

    def _capture(self) -> aws.sagemaker.EndpointConfigurationDataCaptureConfigArgsDict | None:
        capture, environment = self._args["capture"], self._args["environment"]
        if not capture.percent:
            return None
        modes = [
            *(["Input"] if capture.requests else []),
            *(["Output"] if capture.responses else []),
        ]
        return {
            "enable_capture": True,
            "initial_sampling_percentage": capture.percent,
            "destination_s3_uri": Output.format(
                "s3://{0}/data-capture/{1}", environment["capture_bucket"], self._called
            ),
            "kms_key_id": environment["capture_key_arn"],
            "capture_options": [{"capture_mode": mode} for mode in modes],
            # Anything else is kept in Base64, which monitoring does not read. Source:
            # CaptureContentTypeHeader in the SageMaker API reference.
            "capture_content_type_header": {
                "csv_content_types": ["text/csv"],
                "json_content_types": ["application/json", "application/jsonlines"],
            },
        }

    def _endpoint(
        self,
        configuration: aws.sagemaker.EndpointConfiguration,
        alarms: Sequence[aws.cloudwatch.MetricAlarm],
    ) -> aws.sagemaker.Endpoint:
        rollout = self._args["rollout"]
        return aws.sagemaker.Endpoint(
            self._called,
            name=self._called,
            endpoint_config_name=configuration.name,
            deployment_config={
                "blue_green_update_policy": {
                    "traffic_routing_configuration": traffic_routing(rollout),
                    "termination_wait_in_seconds": rollout.termination_wait_seconds,
                    "maximum_execution_timeout_in_seconds": rollout.timeout_seconds,
                },
                "auto_rollback_configuration": {
                    "alarms": [{"alarm_name": alarm.name} for alarm in alarms]
                },
            },
            opts=self._child(),
        )

    def _alarms(self) -> list[aws.cloudwatch.MetricAlarm]:
        alarms = self._args["alarms"]
        watched: Mapping[str, tuple[str, dict[str, Any], str]] = {
            "server-errors": (
                "Invocation5XXErrors",
                {"statistic": "Sum", "threshold": alarms.server_errors},
                f"{alarms.server_errors} answers 5XX or more",
            ),
            "model-errors": (
                "InvocationModelErrors",
                {"statistic": "Sum", "threshold": alarms.model_errors},
                f"{alarms.model_errors} requests or more that the container failed at",
            ),
            "latency": (
                # In microseconds. Source: SageMaker metrics in CloudWatch.
                "ModelLatency",
                {
                    "extended_statistic": "p99",
                    "threshold": alarms.latency_milliseconds * 1000,
                },
                f"a latency (p99) of {alarms.latency_milliseconds} milliseconds or more",
            ),
        }
        topic = self._args["environment"]["alerts_topic_arn"]
        return [
            aws.cloudwatch.MetricAlarm(
                f"{self._called}-{kind}",
                name=f"{self._called}-{kind}",
                alarm_description=f"{self._called}: {meaning} in {alarms.period_seconds} seconds",
                namespace="AWS/SageMaker",
                metric_name=metric,
                dimensions={"EndpointName": self._called, "VariantName": VARIANT},
                comparison_operator="GreaterThanOrEqualToThreshold",
                period=alarms.period_seconds,
                evaluation_periods=alarms.periods,
                # No requests are no errors.
                treat_missing_data="notBreaching",
                alarm_actions=[topic],
                ok_actions=[topic],
                opts=self._child(),
                **limit,
            )
            for kind, (metric, limit, meaning) in watched.items()
        ]

    def _scaling(self, endpoint: aws.sagemaker.Endpoint) -> None:
        instances = self._args["instances"]
        if instances.maximum == instances.minimum:
            return
        target = aws.appautoscaling.Target(
            self._called,
            service_namespace="sagemaker",
            resource_id=endpoint.name.apply(lambda name: f"endpoint/{name}/variant/{VARIANT}"),
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=instances.minimum,
            max_capacity=instances.maximum,
            opts=self._child(),
        )
        aws.appautoscaling.Policy(
            self._called,
            name=f"{self._called}-invocations",
            service_namespace=target.service_namespace,
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            policy_type="TargetTrackingScaling",
            target_tracking_scaling_policy_configuration={
                "target_value": instances.invocations_per_minute,
                "predefined_metric_specification": {
                    "predefined_metric_type": "SageMakerVariantInvocationsPerInstance"
                },
                "scale_in_cooldown": instances.scale_in_seconds,
                "scale_out_cooldown": instances.scale_out_seconds,
            },
            opts=self._child(),
        )


def make_model(
    name: str,
    *,
    version: Version,
    model: Model,
    role_arn: Input[str],
    subnet_ids: Input[Sequence[str]],
    security_group_ids: Input[Sequence[str]],
    opts: ResourceOptions,
) -> aws.sagemaker.Model:
    """The SageMaker model of a version, in the environment's network.

    Args:
        name: What its name begins with.
        version: The approved version.
        model: How it is made.
        role_arn: Role that it runs as.
        subnet_ids: Private subnets.
        security_group_ids: Security groups.
        opts: Pulumi's options.
    """
    container: aws.sagemaker.ModelPrimaryContainerArgsDict
    if model.source == "package":
        container = {"model_package_name": version.model_package_arn}
        variables = model.environment
    else:
        container = {"image": version.image, "model_data_url": version.model_data_url}
        variables = {**version.environment, **model.environment}
    if variables:
        container["environment"] = variables
    return aws.sagemaker.Model(
        name,
        execution_role_arn=role_arn,
        primary_container=container,
        enable_network_isolation=model.network_isolation,
        vpc_config={"subnets": subnet_ids, "security_group_ids": security_group_ids},
        opts=opts,
    )


def traffic_routing(rollout: Rollout) -> Routing:
    """How traffic moves, as SageMaker takes it."""
    routing: Routing = {
        "type": rollout.strategy.replace("-", "_").upper(),
        "wait_interval_in_seconds": rollout.wait_seconds,
    }
    if rollout.strategy == "canary":
        routing["canary_size"] = {"type": "CAPACITY_PERCENT", "value": rollout.percent}
    if rollout.strategy == "linear":
        routing["linear_step_size"] = {"type": "CAPACITY_PERCENT", "value": rollout.percent}
    return routing


def plain(value: Any) -> Any:
    """A settings tree as Pulumi takes it: a map."""
    return value.model_dump() if hasattr(value, "model_dump") else value
