"""Operations: what is made can be found, paid for, kept, and run without surprises."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from pulumi_policy import EnforcementLevel, Severity

from mlops_policy.aws import (
    BUCKET,
    DOMAIN,
    FEATURE_GROUP,
    FUNCTION,
    KEY,
    LOG_GROUP,
    REPOSITORY,
    SECRET,
    TRAIL,
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
from mlops_policy.taggable import TAGGABLE
from mlops_policy.values import NotKnownYetError, listed, plain

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
