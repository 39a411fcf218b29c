"""Machine learning: Studio, jobs and endpoints run as agreed, and stop when nobody uses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pulumi_policy import Severity

from mlops_policy.aws import (
    DOMAIN,
    ENDPOINT_CONFIGURATION,
    JOB_DEFINITION,
    JOB_NETWORKS,
    MODEL,
    MONITORING_SCHEDULE,
    NOTEBOOK,
    PIPELINE,
    SPACE,
    TRAINING_JOB,
    TUNING_JOB,
    USER_PROFILE,
)
from mlops_policy.model import PRODUCTION, Example, Family, Options, Resource, integer, strings
from mlops_policy.pipelines import instance_types, jobs
from mlops_policy.values import Block

FAMILY = Family(
    "machine learning", "Studio, jobs and endpoints run as agreed, and stop when nobody uses them."
)

_APP_BLOCKS = ("jupyterLabAppSettings", "codeEditorAppSettings")
_CLASSIC_BLOCKS = ("jupyterServerAppSettings", "kernelGatewayAppSettings")
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    DOMAIN: ("defaultUserSettings", "defaultSpaceSettings"),
    USER_PROFILE: ("userSettings",),
    SPACE: ("spaceSettings",),
}
"""Type -> the blocks of it that hold settings of apps."""

INSTANCE_TYPES: Mapping[str, tuple[str, ...]] = {
    **{
        type_: tuple(
            f"{settings}.{app}.defaultResourceSpec"
            for settings in blocks
            for app in (*_APP_BLOCKS, *_CLASSIC_BLOCKS)
            # Spaces inherit no settings of Code Editor from the domain.
            if (settings, app) != ("defaultSpaceSettings", "codeEditorAppSettings")
        )
        for type_, blocks in _SETTINGS.items()
    },
    "aws:sagemaker/app:App": ("resourceSpec",),
    ENDPOINT_CONFIGURATION: ("productionVariants", "shadowProductionVariants"),
    NOTEBOOK: ("",),
    TRAINING_JOB: (
        "resourceConfig",
        "resourceConfig.instanceGroups",
        "debugRuleConfigurations",
        "profilerRuleConfigurations",
    ),
    TUNING_JOB: tuple(
        f"{definition}.{cluster}"
        for definition in ("trainingJobDefinition", "trainingJobDefinitions")
        for cluster in (
            "resourceConfig",
            "resourceConfig.instanceGroups",
            "hyperParameterTuningResourceConfig",
            "hyperParameterTuningResourceConfig.instanceConfigs",
        )
    ),
    JOB_DEFINITION: ("jobResources.clusterConfig",),
    MONITORING_SCHEDULE: (
        "monitoringScheduleConfig.monitoringJobDefinition.monitoringResources.clusterConfig",
    ),
}
"""Type -> the blocks of it that may name an instanceType."""

_AFFORDABLE = (
    "system",
    "ml.t3.*",
    "ml.c5.*",
    "ml.c6i.*",
    "ml.m5.large",
    "ml.m5.xlarge",
    "ml.m5.2xlarge",
    "ml.m5.4xlarge",
    "ml.m6i.large",
    "ml.m6i.xlarge",
    "ml.m6i.2xlarge",
    "ml.m6i.4xlarge",
    "ml.g4dn.xlarge",
    "ml.g5.xlarge",
    "ml.g5.2xlarge",
)


@FAMILY.resource(
    "instance-types",
    types=[*INSTANCE_TYPES, PIPELINE],
    severity=Severity.MEDIUM,
    title="Instances are of allowed types.",
    why="One large instance that is forgotten costs more than the rest of the platform.",
    fix="choose an allowed type, or allow it in the pack's configuration",
    bad=[
        Example(NOTEBOOK, {"instanceType": "ml.p4d.24xlarge"}),
        Example(
            ENDPOINT_CONFIGURATION, {"productionVariants": [{"instanceType": "ml.p5.48xlarge"}]}
        ),
    ],
    good=[
        Example(NOTEBOOK, {"instanceType": "ml.t3.medium"}),
        Example(ENDPOINT_CONFIGURATION, {"productionVariants": [{"serverlessConfig": {}}]}),
    ],
    options={"types": strings("Allowed types (patterns with `*`).", _AFFORDABLE)},
)
def _instance_types(resource: Resource, options: Options) -> Iterator[str]:
    for kind in _instances(resource):
        if not any(fnmatchcase(kind, pattern) for pattern in options["types"]):
            yield f"{kind} is not an allowed instance type"


def _instances(resource: Resource) -> Iterator[str]:
    if resource.type == PIPELINE:
        for job in jobs(resource):
            for cluster in job.clusters:
                # A pipeline parameter stands there as an object: its value is given at the start.
                yield from (kind for kind in instance_types(cluster) if isinstance(kind, str))
        return
    for path in INSTANCE_TYPES[resource.type]:
        for block in resource.blocks(path):
            if block.has("instanceType"):
                yield block.get("instanceType")


def _idle(**idle: Any) -> dict[str, Any]:
    settings = {"appLifecycleManagement": {"idleSettings": idle}}
    return {"defaultUserSettings": dict.fromkeys(_APP_BLOCKS, settings)}


@FAMILY.resource(
    "studio-idle-shutdown",
    types=[DOMAIN],
    severity=Severity.MEDIUM,
    title="Studio shuts down apps that nobody uses.",
    why="An app that is left on is paid for through the night and the weekend.",
    fix="set idleSettings of JupyterLab and of Code Editor: lifecycleManagement to "
    '"ENABLED" and idleTimeoutInMinutes',
    bad=[
        Example(DOMAIN, {"defaultUserSettings": {"executionRole": "role"}}),
        Example(DOMAIN, _idle(lifecycleManagement="ENABLED", idleTimeoutInMinutes=10080)),
    ],
    good=[Example(DOMAIN, _idle(lifecycleManagement="ENABLED", idleTimeoutInMinutes=60))],
    options={"maximum_minutes": integer("Longest idle time in minutes.", 180)},
)
def _idle_shutdown(domain: Resource, options: Options) -> Iterator[str]:
    for app in _APP_BLOCKS:
        path = f"defaultUserSettings.{app}.appLifecycleManagement.idleSettings"
        if domain.get(f"{path}.lifecycleManagement") != "ENABLED":
            yield f"{app} has no idle shutdown"
        elif domain.get(f"{path}.idleTimeoutInMinutes", 60) > options["maximum_minutes"]:
            yield f"{app} may idle for {domain.get(f'{path}.idleTimeoutInMinutes'):g} minutes"


APP = "aws:sagemaker/app:App"


@FAMILY.resource(
    "no-studio-classic",
    types=[APP, DOMAIN, USER_PROFILE, SPACE],
    severity=Severity.MEDIUM,
    title="Studio Classic is not used.",
    why="AWS no longer starts its apps (JupyterServer, KernelGateway) in new domains.",
    fix="use JupyterLab and Code Editor spaces",
    bad=[
        Example(APP, {"appType": "KernelGateway"}),
        Example(DOMAIN, {"defaultUserSettings": {"kernelGatewayAppSettings": {}}}),
        Example(DOMAIN, {"defaultUserSettings": {"studioWebPortal": "DISABLED"}}),
    ],
    good=[
        Example(APP, {"appType": "JupyterLab"}),
        Example(DOMAIN, {"defaultUserSettings": {"jupyterLabAppSettings": {}}}),
    ],
)
def _no_classic(resource: Resource, _options: Options) -> Iterator[str]:
    if resource.type == APP:
        if resource.get("appType") in ("JupyterServer", "KernelGateway"):
            yield f"{resource.get('appType')} is an app of Studio Classic"
        return
    for settings in _SETTINGS[resource.type]:
        for app in _CLASSIC_BLOCKS:
            if resource.has(f"{settings}.{app}"):
                yield f"{settings}.{app} sets up Studio Classic"
    if resource.type == DOMAIN and (
        resource.get("defaultUserSettings.studioWebPortal", "ENABLED") != "ENABLED"
    ):
        yield "the web portal of Studio is turned off, which leaves Studio Classic"


_ISOLATED: Mapping[str, tuple[tuple[str, str], ...]] = {MODEL: (("", ""),), **JOB_NETWORKS}


@FAMILY.resource(
    "network-isolation",
    types=[*_ISOLATED, PIPELINE],
    severity=Severity.HIGH,
    title="Models and jobs run with network isolation.",
    why="Code in a model artifact can then neither fetch nor send anything.",
    fix="set enableNetworkIsolation to true, where the job's network settings are",
    bad=[
        Example(MODEL, {"enableNetworkIsolation": False}),
        Example(MODEL),
        Example(JOB_DEFINITION),
        Example(TUNING_JOB, {"trainingJobDefinition": {}}),
    ],
    good=[
        Example(MODEL, {"enableNetworkIsolation": True}),
        Example(JOB_DEFINITION, {"networkConfig": {"enableNetworkIsolation": True}}),
    ],
)
def _network_isolation(resource: Resource, _options: Options) -> Iterator[str]:
    if resource.type == PIPELINE:
        for job in jobs(resource):
            open_ = any(not network.get("EnableNetworkIsolation") for network in job.networks)
            if job.takes_isolation and open_:
                yield f"the containers of step {job.name} ({job.kind}) can use the network"
        return
    for path, network in _ISOLATED[resource.type]:
        blocks: list[Block] = resource.blocks(path)
        if any(not block.get(f"{network}enableNetworkIsolation", False) for block in blocks):
            yield "its containers can use the network"


@FAMILY.resource(
    "endpoint-survives-a-zone",
    types=[ENDPOINT_CONFIGURATION],
    severity=Severity.HIGH,
    title="In production an endpoint runs at least two instances.",
    why="SageMaker spreads instances over zones; one instance is in one zone.",
    fix="raise initialInstanceCount of each variant to 2",
    bad=[
        Example(
            ENDPOINT_CONFIGURATION,
            {"productionVariants": [{"initialInstanceCount": 1}]},
            stack="prod",
        )
    ],
    good=[
        Example(
            ENDPOINT_CONFIGURATION,
            {"productionVariants": [{"initialInstanceCount": 2}]},
            stack="prod",
        ),
        Example(ENDPOINT_CONFIGURATION, {"productionVariants": [{"initialInstanceCount": 1}]}),
        Example(
            ENDPOINT_CONFIGURATION,
            {"productionVariants": [{"serverlessConfig": {"maxConcurrency": 5}}]},
            stack="prod",
        ),
    ],
    options={
        "minimum_instances": integer("Least number of instances.", 2),
        "production_stacks": PRODUCTION,
    },
)
def _endpoint_instances(configuration: Resource, options: Options) -> Iterator[str]:
    if not configuration.in_production(options):
        return
    for variant in configuration.blocks("productionVariants"):
        count = variant.get("initialInstanceCount", 1)
        if not variant.has("serverlessConfig") and count < options["minimum_instances"]:
            yield f"a variant runs {count:g} instance"
