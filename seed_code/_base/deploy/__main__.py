"""The deployment of one version in one environment: the stack's name is the environment."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable

import pulumi
import pulumi_aws as aws

from batch import BatchInference, Surroundings, captured
from monitoring import Around, BatchMonitoring, EndpointMonitoring
from serving import Environment, ModelEndpoint
from settings import Batch, Place, Settings, SettingsError, load


def target_provider(settings: Settings) -> aws.Provider:
    """The target account, as the project's deploy role there, and no other account."""
    place = settings.place
    return aws.Provider(
        "target",
        region=place.region,
        assume_roles=[
            aws.ProviderAssumeRoleArgs(
                role_arn=place.deploy_role_arn, session_name=f"deploy-{place.project}"
            )
        ],
        allowed_account_ids=[place.target_account],
        default_tags=aws.ProviderDefaultTagsArgs(tags=settings.all_tags()),
    )


def reader(place: Place, provider: aws.Provider) -> Callable[[str], str]:
    """Reads what the environment's platform publishes in its parameters."""
    options = pulumi.InvokeOptions(provider=provider)

    def value(path: str) -> str:
        return aws.ssm.get_parameter(name=place.parameter(path), opts=options).value

    return value


def private_subnets(place: Place, value: Callable[[str], str]) -> list[str]:
    """The environment's private subnets, of two zones or more."""
    subnets = value("vpc/private-subnet-ids").split(",")
    if len(subnets) < 2:
        raise pulumi.RunError(
            f"{place.parameter('vpc/private-subnet-ids')} names fewer than two subnets: an "
            "endpoint would not survive the loss of a zone"
        )
    return subnets


def published(place: Place, value: Callable[[str], str]) -> Environment:
    """What an endpoint needs of the platform."""
    return {
        "subnet_ids": private_subnets(place, value),
        "security_group_ids": value("vpc/security-group-ids").split(","),
        # The project's own: it reads the artifacts of no other.
        "execution_role_arn": place.role_arn(f"model-execution-{place.project}"),
        "volume_key_arn": value("kms/storage/arn"),
        "capture_bucket": value("buckets/logs"),
        "capture_key_arn": value("kms/logs/arn"),
        "alerts_topic_arn": value("alerts/topic-arn"),
    }


def surroundings(place: Place, value: Callable[[str], str]) -> Surroundings:
    """What batch predictions need of the platform; roles and bucket have the project's name."""
    return {
        "bucket": place.batch_bucket,
        "subnet_ids": private_subnets(place, value),
        "security_group_ids": value("vpc/security-group-ids").split(","),
        "data_key_arn": value("kms/data/arn"),
        "volume_key_arn": value("kms/storage/arn"),
        "model_role_arn": place.role_arn(f"model-execution-{place.project}"),
        "pipeline_role_arn": place.role_arn(f"{place.project}-batch"),
        "schedule_role_arn": place.role_arn(f"{place.project}-schedule"),
        "missed_queue_arn": place.missed_queue_arn,
        "alerts_topic_arn": value("alerts/topic-arn"),
    }


def watched(place: Place, value: Callable[[str], str]) -> Around:
    """What the monitoring of an endpoint needs of the platform; its role has the project's name."""
    return {
        "subnet_ids": private_subnets(place, value),
        "security_group_ids": value("vpc/security-group-ids").split(","),
        "role_arn": place.role_arn(f"model-execution-{place.project}"),
        "volume_key_arn": value("kms/storage/arn"),
        "bucket": value("buckets/logs"),
        "key_arn": value("kms/logs/arn"),
        "alerts_topic_arn": value("alerts/topic-arn"),
    }


def serve(settings: Settings, value: Callable[[str], str], opts: pulumi.ResourceOptions) -> None:
    """An endpoint."""
    served = ModelEndpoint(
        "serving",
        {
            "endpoint_name": settings.place.endpoint,
            "version": settings.version,
            "environment": published(settings.place, value),
            "model": settings.model,
            "instances": settings.instances,
            "capture": settings.capture,
            "rollout": settings.rollout,
            "alarms": settings.alarms,
        },
        opts,
    )
    if settings.monitoring.needed():
        EndpointMonitoring(
            "monitoring",
            {
                "endpoint_name": served.endpoint_name,
                "model_name": served.model_name,
                "place": settings.place,
                "version": settings.version,
                "around": watched(settings.place, value),
                "monitoring": settings.monitoring,
                "tags": settings.all_tags(),
            },
            opts,
        )
    pulumi.export("endpoint_name", served.endpoint_name)
    pulumi.export("endpoint_config_name", served.endpoint_config_name)
    pulumi.export("model_name", served.model_name)
    pulumi.export("instance_type", settings.instances.type)


def predict(
    settings: Settings, batch: Batch, value: Callable[[str], str], opts: pulumi.ResourceOptions
) -> None:
    """Batch predictions."""
    around, monitored = surroundings(settings.place, value), bool(settings.monitoring.needed())
    made = BatchInference(
        "batch",
        {
            "name": settings.place.endpoint,
            "pipeline_name": settings.place.batch_pipeline,
            "version": settings.version,
            "surroundings": around,
            "model": settings.model,
            "batch": batch,
            "capture": monitored,
            "identified": bool(settings.monitoring.quality.schedule),
        },
        opts,
    )
    if monitored:
        BatchMonitoring(
            "monitoring",
            {
                "captured": captured(around["bucket"]),
                "place": settings.place,
                "version": settings.version,
                "around": {
                    "subnet_ids": around["subnet_ids"],
                    "security_group_ids": around["security_group_ids"],
                    "role_arn": around["model_role_arn"],
                    "volume_key_arn": around["volume_key_arn"],
                    "bucket": around["bucket"],
                    "key_arn": around["data_key_arn"],
                    "alerts_topic_arn": around["alerts_topic_arn"],
                },
                "monitoring": settings.monitoring,
                "tags": settings.all_tags(),
            },
            opts,
        )
    pulumi.export("pipeline_name", made.pipeline_name)
    pulumi.export("pipeline_definition", made.pipeline_definition)
    pulumi.export("pipeline_role", around["pipeline_role_arn"])
    pulumi.export("model_name", made.model_name)
    pulumi.export("bucket", around["bucket"])
    pulumi.export("rules", made.rules)
    pulumi.export("timeout_minutes", batch.timeout_minutes)


def main() -> None:
    """Register what the settings ask for."""
    try:
        settings = load(pulumi.Config(), pulumi.get_stack(), os.environ)
    except SettingsError as error:
        raise pulumi.RunError(f"The settings are wrong:\n{error}") from None
    provider = target_provider(settings)
    value = reader(settings.place, provider)
    options = pulumi.ResourceOptions(provider=provider)
    if settings.batch is None:
        serve(settings, value, options)
    else:
        predict(settings, settings.batch, value, options)
    # What deploy.py compares with what is live.
    pulumi.export("kind", settings.kind)
    pulumi.export("model_source", settings.model.source)


if __name__ == "__main__":
    # Loading packages makes objects by the hundred thousand, none of them garbage: to look for some
    # then, and once more at the end, takes a good part of the program's time.
    gc.disable()
    atexit.register(gc.freeze)
main()
