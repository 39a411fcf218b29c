"""Operations: what is made can be found, paid for, kept, and run without surprises."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from fnmatch import fnmatchcase
from typing import Any

from pulumi_policy import EnforcementLevel, Severity

from mlops_policy.aws import (
    BUCKET,
    DOMAIN,
    ENDPOINT_CONFIGURATION,
    FEATURE_GROUP,
    FUNCTION,
    JOB_DEFINITION,
    KEY,
    LOG_GROUP,
    MODEL,
    MONITORING_SCHEDULE,
    NOTEBOOK,
    PIPELINE,
    REPOSITORY,
    SECRET,
    SPACE,
    TRAIL,
    TRAINING_JOB,
    USER_PROFILE,
)
from mlops_policy.model import (
    PRODUCTION,
    Example,
    Family,
    Options,
    Resource,
    Stack,
    integer,
    strings,
    texts,
)
from mlops_policy.pipelines import jobs
from mlops_policy.taggable import TAGGABLE
from mlops_policy.values import Block, NotKnownYetError, listed, plain

FAMILY = Family("operations", "What is made can be found, paid for, kept, and runs as agreed.")

PROVIDER = "pulumi:providers:aws"
_TAGS = {"owner": "ml-platform", "cost-centre": "4711", "environment": "dev"}


@FAMILY.resource(
    "allowed-regions",
    types=[],
    severity=Severity.HIGH,
    title="Resources lie in allowed regions.",
    why="Data must not leave the regions that the company has agreed to.",
    fix="use a provider of an allowed region, or allow the region in the pack's configuration",
    bad=[
        Example(BUCKET, {"region": "me-south-1"}),
        Example(BUCKET, provider={"region": "me-south-1"}),
    ],
    good=[Example(BUCKET, {"bucket": "acme-data"}, provider={"region": "eu-west-1"})],
    options={
        "regions": strings(
            "Allowed regions; by default those that need no opt-in.",
            [
                "ap-northeast-1",
                "ap-northeast-2",
                "ap-northeast-3",
                "ap-south-1",
                "ap-southeast-1",
                "ap-southeast-2",
                "ca-central-1",
                "eu-central-1",
                "eu-north-1",
                "eu-west-1",
                "eu-west-2",
                "eu-west-3",
                "sa-east-1",
                "us-east-1",
                "us-east-2",
                "us-west-1",
                "us-west-2",
            ],
        )
    },
)
def _allowed_regions(resource: Resource, options: Options) -> Iterator[str]:
    provider = resource.provider
    region = resource.get("region") or (provider.get("region") if provider else None)
    if region and region not in options["regions"]:
        yield f"it lies in {region}"


@FAMILY.resource(
    "provider-bound-to-account",
    types=[PROVIDER],
    severity=Severity.HIGH,
    title="A provider names the accounts that it may work in.",
    why="Wrong credentials in the shell then fail, instead of building in the wrong account.",
    fix="set allowedAccountIds on an explicit provider",
    bad=[Example(PROVIDER, {"region": "eu-west-1"})],
    good=[Example(PROVIDER, {"allowedAccountIds": '["111122223333"]'})],
)
def _provider_bound(provider: Resource, _options: Options) -> Iterator[str]:
    if not provider.has("allowedAccountIds"):
        yield "the provider works in whatever account the credentials belong to"


def _inherited_tags(resource: Resource) -> Mapping[str, Any]:
    """The default tags of the resource's provider."""
    provider = resource.provider
    if provider is None or not provider.has("defaultTags"):
        return {}
    value = provider.get("defaultTags")
    # The engine hands objects of a provider's configuration as JSON text.
    settings = json.loads(value) if isinstance(value, str) else plain(value, "defaultTags")
    return settings.get("tags") or {}


def _fill_tags(resource: Resource, raw: MutableMapping[str, Any], options: Options) -> bool:
    tags = raw.get("tags", {})
    if not isinstance(tags, Mapping):
        return False
    present: dict[str, Any] = dict(tags)
    try:
        known = {*present, *_inherited_tags(resource)}
    except NotKnownYetError:
        return False
    defaults: Mapping[str, str] = options["defaults"]
    added = {
        tag: defaults[tag].format(stack=resource.stack, project=resource.project)
        for tag in options["tags"]
        if tag not in known and tag in defaults
    }
    if added:
        raw["tags"] = {**present, **added}
    return bool(added)


@FAMILY.resource(
    "required-tags",
    types=TAGGABLE,
    severity=Severity.MEDIUM,
    title="Resources carry the company's tags.",
    why="Costs, owners and cleaning up go by tags; budgets count only what is tagged.",
    fix="set the tags on the resource, or once as defaultTags of the provider",
    bad=[Example(BUCKET, {"tags": {"owner": "ml-platform"}}), Example(BUCKET)],
    good=[
        Example(BUCKET, {"tags": _TAGS}),
        Example(BUCKET, provider={"defaultTags": json.dumps({"tags": _TAGS})}),
    ],
    options={
        "tags": strings("Tags that must be there.", ["owner", "cost-centre", "environment"]),
        "defaults": texts(
            "Values that fill in missing tags; {stack} and {project} are replaced.",
            {"environment": "{stack}"},
        ),
    },
    level=EnforcementLevel.REMEDIATE,
    remedy=_fill_tags,
)
def _required_tags(resource: Resource, options: Options) -> Iterator[str]:
    present: set[str] = set()
    for key in ("tags", "tagsAll"):
        present |= set(resource.get(key, {}))
    missing = set(options["tags"]) - present
    if missing:
        missing -= set(_inherited_tags(resource))
    if missing:
        yield f"it lacks the tags {listed(missing)}"


@FAMILY.resource(
    "log-retention",
    types=[LOG_GROUP],
    severity=Severity.MEDIUM,
    title="Log groups keep what is written for an agreed time.",
    why="Without a time logs are kept, and paid for, for ever; with a short one they are gone.",
    fix="set retentionInDays",
    bad=[
        Example(LOG_GROUP, {"name": "/acme/flow"}),
        Example(LOG_GROUP, {"retentionInDays": 7}),
        Example(LOG_GROUP, {"retentionInDays": 90}, stack="prod"),
    ],
    good=[
        Example(LOG_GROUP, {"retentionInDays": 90}),
        Example(LOG_GROUP, {"retentionInDays": 365}, stack="prod"),
    ],
    options={
        "minimum_days": integer("Least number of days.", 30),
        "production_minimum_days": integer("Least number of days in production.", 365),
        "production_stacks": PRODUCTION,
    },
)
def _log_retention(group: Resource, options: Options) -> Iterator[str]:
    production = group.in_production(options)
    least = options["production_minimum_days" if production else "minimum_days"]
    days = group.get("retentionInDays", 0)
    if days == 0:
        yield "its logs are kept for ever"
    elif days < least:
        yield f"its logs are kept for {days:g} days, fewer than {least:g}"


HOLDS_DATA = (
    BUCKET,
    DOMAIN,
    FEATURE_GROUP,
    KEY,
    REPOSITORY,
    "aws:dynamodb/table:Table",
    "aws:efs/fileSystem:FileSystem",
    "aws:glue/catalogDatabase:CatalogDatabase",
    "aws:sagemaker/modelPackageGroup:ModelPackageGroup",
)


@FAMILY.resource(
    "production-protected",
    types=HOLDS_DATA,
    severity=Severity.CRITICAL,
    title="In production, what holds data is protected from being deleted.",
    why="A mistaken change then fails instead of deleting a registry, a key or a bucket.",
    fix="set the resource option protect",
    bad=[Example(BUCKET, {"bucket": "acme-data"}, stack="prod")],
    good=[
        Example(BUCKET, {"bucket": "acme-data"}, stack="prod", protect=True),
        Example(BUCKET, {"bucket": "acme-data"}, stack="dev"),
    ],
    options={"production_stacks": PRODUCTION},
)
def _production_protected(resource: Resource, options: Options) -> Iterator[str]:
    if resource.in_production(options) and not resource.protected:
        yield "it is not protected"


@FAMILY.resource(
    "key-deletion-window",
    types=[KEY],
    severity=Severity.MEDIUM,
    title="A key that is deleted can be had back for some time.",
    why="When the key is gone, so is everything it encrypts.",
    fix="raise deletionWindowInDays, or leave it out (30 days)",
    bad=[Example(KEY, {"deletionWindowInDays": 7}, stack="prod")],
    good=[
        Example(KEY, {"deletionWindowInDays": 30}, stack="prod"),
        Example(KEY, {"deletionWindowInDays": 7}, stack="dev"),
        Example(KEY, {"description": "data"}, stack="prod"),
    ],
    options={
        "minimum_days": integer("Least number of days.", 7),
        "production_minimum_days": integer("Least number of days in production.", 30),
        "production_stacks": PRODUCTION,
    },
)
def _key_deletion_window(key: Resource, options: Options) -> Iterator[str]:
    production = key.in_production(options)
    least = options["production_minimum_days" if production else "minimum_days"]
    days = key.get("deletionWindowInDays", 30)
    if days < least:
        yield f"it is gone {days:g} days after it is deleted, fewer than {least:g}"


@FAMILY.resource(
    "secret-recovery-window",
    types=[SECRET],
    severity=Severity.MEDIUM,
    title="A secret that is deleted can be had back for some time.",
    why="A window of 0 days deletes it at once.",
    fix="raise recoveryWindowInDays, or leave it out (30 days)",
    bad=[Example(SECRET, {"recoveryWindowInDays": 0})],
    good=[Example(SECRET, {"name": "token"})],
    options={"minimum_days": integer("Least number of days.", 7)},
)
def _secret_recovery(secret: Resource, options: Options) -> Iterator[str]:
    days = secret.get("recoveryWindowInDays", 30)
    if days < options["minimum_days"]:
        yield f"it is gone {days:g} days after it is deleted"


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
        )
        for type_, blocks in _SETTINGS.items()
    },
    "aws:sagemaker/app:App": ("resourceSpec",),
    ENDPOINT_CONFIGURATION: ("productionVariants", "shadowProductionVariants"),
    NOTEBOOK: ("",),
    TRAINING_JOB: ("resourceConfig",),
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
            kind = job.cluster.get("InstanceType")
            # A pipeline parameter stands there as an object: its value is given at the start.
            if isinstance(kind, str):
                yield kind
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


_ISOLATED: Mapping[str, str] = {
    MODEL: "",
    TRAINING_JOB: "",
    JOB_DEFINITION: "networkConfig",
    MONITORING_SCHEDULE: "monitoringScheduleConfig.monitoringJobDefinition.networkConfig",
}


@FAMILY.resource(
    "network-isolation",
    types=_ISOLATED,
    severity=Severity.HIGH,
    title="Models and jobs run with network isolation.",
    why="Code in a model artifact can then neither fetch nor send anything.",
    fix="set enableNetworkIsolation to true",
    bad=[Example(MODEL, {"enableNetworkIsolation": False}), Example(MODEL)],
    good=[Example(MODEL, {"enableNetworkIsolation": True})],
)
def _network_isolation(resource: Resource, _options: Options) -> Iterator[str]:
    blocks: list[Block] = resource.blocks(_ISOLATED[resource.type])
    if any(not block.get("enableNetworkIsolation", False) for block in blocks):
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


INVOKE_CONFIGURATION = "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig"
_DEAD_LETTERS = "arn:aws:sqs:eu-west-1:111122223333:dead-letters"


@FAMILY.stack(
    "function-dead-letters",
    subjects=[FUNCTION],
    severity=Severity.MEDIUM,
    title="Events that a function fails on are kept.",
    why="After the retries an event is dropped; a lost approval is never deployed.",
    fix="set deadLetterConfig, or an onFailure destination by a FunctionEventInvokeConfig",
    bad=[[Example(FUNCTION, {"runtime": "python3.13"}, "promote")]],
    good=[
        [Example(FUNCTION, {"deadLetterConfig": {"targetArn": _DEAD_LETTERS}}, "promote")],
        [
            Example(FUNCTION, {"name": "promote"}, "promote"),
            Example(
                INVOKE_CONFIGURATION,
                {
                    "functionName": "${promote.name}",
                    "destinationConfig": {"onFailure": {"destination": _DEAD_LETTERS}},
                },
                "invoke",
            ),
        ],
    ],
)
def _function_dead_letters(function: Resource, stack: Stack, _options: Options) -> Iterator[str]:
    if function.has("deadLetterConfig.targetArn"):
        return
    configured = any(
        found.has("destinationConfig.onFailure.destination")
        for found in stack.of(INVOKE_CONFIGURATION)
        if stack.refers(found, "functionName", function)
    )
    if not configured:
        yield "events that it fails on are lost"


EVENT_TARGET = "aws:cloudwatch/eventTarget:EventTarget"
SCHEDULE = "aws:scheduler/schedule:Schedule"


@FAMILY.resource(
    "event-dead-letters",
    types=[EVENT_TARGET, SCHEDULE],
    severity=Severity.MEDIUM,
    title="Events that cannot be delivered are kept.",
    why="A target that refuses an event, after a changed policy for example, loses it silently.",
    fix="set deadLetterConfig.arn to a queue",
    bad=[Example(EVENT_TARGET, {"rule": "approved"}), Example(SCHEDULE, {"target": {}})],
    good=[
        Example(EVENT_TARGET, {"rule": "approved", "deadLetterConfig": {"arn": _DEAD_LETTERS}}),
        Example(SCHEDULE, {"target": {"deadLetterConfig": {"arn": _DEAD_LETTERS}}}),
    ],
)
def _event_dead_letters(target: Resource, _options: Options) -> Iterator[str]:
    path = "deadLetterConfig.arn"
    if not target.has(path if target.type == EVENT_TARGET else f"target.{path}"):
        yield "events that cannot be delivered are lost"


@FAMILY.resource(
    "trail-complete",
    types=[TRAIL],
    severity=Severity.HIGH,
    title="The trail records all regions and can be proven whole.",
    why="A trail of one region misses what is done in the others; without validation it proves "
    "nothing.",
    fix="set isMultiRegionTrail and enableLogFileValidation to true, and leave logging on",
    bad=[
        Example(TRAIL, {"isMultiRegionTrail": True}),
        Example(TRAIL, {"enableLogFileValidation": True}),
    ],
    good=[Example(TRAIL, {"isMultiRegionTrail": True, "enableLogFileValidation": True})],
)
def _trail_complete(trail: Resource, _options: Options) -> Iterator[str]:
    if not trail.get("isMultiRegionTrail", False):
        yield "it records one region only"
    if not trail.get("enableLogFileValidation", False):
        yield "its log files are not validated"
    for key in ("enableLogging", "includeGlobalServiceEvents"):
        if not trail.get(key, True):
            yield f"{key} is turned off"


ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"


@FAMILY.resource(
    "alarm-reaches-somebody",
    types=[ALARM],
    severity=Severity.LOW,
    title="An alarm tells somebody.",
    why="An alarm without an action is seen by nobody.",
    fix="set alarmActions to a topic",
    bad=[Example(ALARM, {"metricName": "Errors"}), Example(ALARM, {"alarmActions": []})],
    good=[Example(ALARM, {"alarmActions": ["arn:aws:sns:eu-west-1:111122223333:alarms"]})],
)
def _alarm_action(alarm: Resource, _options: Options) -> Iterator[str]:
    if not alarm.count("alarmActions"):
        yield "nobody is told"
