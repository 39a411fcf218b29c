"""What EventBridge does with an event: matches rules, and delivers to buses and queues.

moto matches and delivers too, but asks no policy and puts the receiving account's id on what
another account sent. Here every delivery is authorized as AWS does it: to a bus of another account
by the target's role and the bus's policy, to a queue by the queue's policy and its key's for the
service principal. What cannot be delivered goes to the target's dead-letter queue, or is kept for
people to see (``GET /_localcloud/undelivered``) and measured (``FailedInvocations``); nothing
vanishes. Rules with a schedule fire by the clock, or at once by ``POST /_localcloud/schedules``.
"""

from __future__ import annotations

import collections
import datetime as dt
import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from moto.s3 import notifications

from localcloud.emulator import world
from localcloud.emulator.authorizer import Authorizer
from localcloud.emulator.identity import Principal, find_role, role_principal

SERVICE = "events.amazonaws.com"
_KEPT = 1000
_BY_ROLE = {
    "codebuild": "codebuild:StartBuild",
    "codepipeline": "codepipeline:StartPipelineExecution",
    "sagemaker": "sagemaker:StartPipelineExecution",
}
"""Services that a rule reaches by its target's role -> what that role must be allowed to do."""


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        account: Account that it comes from.
        region: Region that it comes from.
        source: Such as ``aws.sagemaker``.
        detail_type: Such as ``SageMaker Model Package State Change``.
        detail: The service's own part.
        resources: ARNs that it is about.
        id: Unique id.
        time: When it happened.
    """

    account: str
    region: str
    source: str
    detail_type: str
    detail: Mapping[str, Any]
    resources: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def message(self) -> dict[str, Any]:
        """The event as targets get it. Source: EventBridge user guide, event structure."""
        return {
            "version": "0",
            "id": self.id,
            "detail-type": self.detail_type,
            "source": self.source,
            "account": self.account,
            "time": self.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self.region,
            "resources": list(self.resources),
            "detail": dict(self.detail),
        }


@dataclass(frozen=True)
class Undelivered:
    """A delivery that failed and had no dead-letter queue."""

    rule: str
    target: str
    event: str
    reason: str


class UndeliverableError(Exception):
    """A target cannot get an event; the message says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Router:
    """The event buses of all accounts.

    Args:
        authorizer: Decides on deliveries.
        organization_id: Of all accounts.
    """

    def __init__(self, authorizer: Authorizer, organization_id: str) -> None:
        self._authorizer = authorizer
        self._organization_id = organization_id
        self.undelivered: collections.deque[Undelivered] = collections.deque(maxlen=_KEPT)
        self.targets: dict[str, Callable[[str, Any], None]] = {}
        """Service -> takes a target's ARN and the event, once its policy has allowed it."""
        self.failed: Callable[[str], None] | None = None
        """Takes the ARN of a rule that could not be delivered to a target."""

    def publish(
        self, event: Event, account: str, region: str, bus: str = "default", *, hops: int = 0
    ) -> None:
        """Gives an event to every enabled rule of a bus that matches it."""
        buses = world.backend("events", account, region).event_buses
        if bus not in buses:
            return
        message = event.message()
        for rule in list(buses[bus].rules.values()):
            # A rule with a schedule has no pattern, which moto takes for one that fits all.
            if rule.state == "DISABLED" or not rule.event_pattern.dump():
                continue
            if rule.event_pattern.matches_event(message):
                for target in list(rule.targets):
                    self._attempt(event, rule, target, hops)

    def scheduled(self, accounts: Iterable[str], region: str) -> dict[str, str]:
        """ARN of each enabled rule that has a schedule -> its expression."""
        return {
            str(rule.arn): str(rule.scheduled_expression)
            for account in accounts
            for rule in world.backend("events", account, region)
            .event_buses["default"]
            .rules.values()
            if rule.scheduled_expression and rule.state != "DISABLED"
        }

    def fire(self, arn: str) -> None:
        """Sends a scheduled rule's event to its targets.

        Raises:
            ValueError: There is no such rule, it has no schedule, or it is disabled.
        """
        parsed = world.Arn.parse(arn)
        name = parsed.resource.removeprefix("rule/") if parsed else ""
        buses = world.backend("events", parsed.account, parsed.region).event_buses if parsed else {}
        rule = buses["default"].rules.get(name) if buses else None
        if parsed is None or rule is None or not rule.scheduled_expression:
            raise ValueError(f"{arn} is no rule with a schedule.")
        if rule.state == "DISABLED":
            raise ValueError(f"{arn} is disabled.")
        # Source: EventBridge user guide, the event of a scheduled rule.
        event = Event(
            parsed.account, parsed.region, "aws.events", "Scheduled Event", {}, (str(rule.arn),)
        )
        for target in list(rule.targets):
            self._attempt(event, rule, target, 0)

    def _attempt(self, event: Event, rule: Any, target: Mapping[str, Any], hops: int) -> None:
        try:
            self._deliver(event, rule, target, hops)
        except UndeliverableError as error:
            if self.failed is not None:
                self.failed(str(rule.arn))
            reason = self._dead_letter(event, rule, target, error)
            if reason:
                self.undelivered.append(Undelivered(rule.arn, str(target["Arn"]), event.id, reason))

    def _dead_letter(
        self, event: Event, rule: Any, target: Mapping[str, Any], error: UndeliverableError
    ) -> str:
        """Keeps an event in the target's dead-letter queue; why not, when it cannot."""
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        if not queue:
            return str(error)
        # Source: EventBridge user guide, considerations for dead-letter queues.
        attributes = {
            "RULE_ARN": str(rule.arn),
            "TARGET_ARN": str(target["Arn"]),
            "ERROR_CODE": error.code,
            "ERROR_MESSAGE": str(error),
        }
        try:
            self._to_queue(event.message(), rule, str(queue), "", attributes)
        except UndeliverableError as second:
            return f"{error}; and its dead-letter queue: {second}"
        return ""

    def _deliver(self, event: Event, rule: Any, target: Mapping[str, Any], hops: int) -> None:
        arn = world.Arn.parse(str(target["Arn"]))
        if arn is None:
            raise UndeliverableError("INVALID_TARGET", f"{target['Arn']} is no ARN")
        if arn.service == "events" and arn.resource.startswith("event-bus/"):
            if hops:
                # Source: EventBridge user guide, sending events between accounts: an event that
                # came from another bus is not sent on to a third one.
                raise UndeliverableError("CHAINED", "the event came from another bus already")
            self._authorize(
                "events:PutEvents",
                str(target["Arn"]),
                arn.account,
                rule,
                self._role(target, rule) or f"arn:aws:iam::{_account(rule)}:root",
                {"events:source": [event.source], "events:detail-type": [event.detail_type]},
            )
            bus = arn.resource.removeprefix("event-bus/")
            self.publish(event, arn.account, arn.region, bus, hops=hops + 1)
        elif arn.service == "sqs":
            group = (target.get("SqsParameters") or {}).get("MessageGroupId", "")
            self._to_queue(_input(event, target), rule, str(target["Arn"]), str(group), {})
        elif arn.service in _BY_ROLE and arn.service in self.targets:
            given, role = str(target["Arn"]), self._role(target, rule)
            if role is None:
                raise UndeliverableError("NO_PERMISSIONS", f"the target {given} has no role")
            self._authorize(_BY_ROLE[arn.service], given, arn.account, rule, role, {})
            message = (
                _pipeline_parameters(event, target)
                if arn.service == "sagemaker"
                else _input(event, target)
            )
            self.targets[arn.service](given, message)
        elif arn.service == "lambda" and "lambda" in self.targets:
            given = str(target["Arn"])
            self._authorize("lambda:InvokeFunction", given, arn.account, rule, SERVICE, {})
            self.targets["lambda"](given, _input(event, target))
        else:
            raise UndeliverableError(
                "NOT_SERVED",
                f"the local cloud delivers no events to {arn.service}: add it in "
                "localcloud/emulator/events.py",
            )

    def _role(self, target: Mapping[str, Any], rule: Any) -> Principal | None:
        given = target.get("RoleArn")
        if not given:
            return None
        account, name = _account(rule), str(given).rsplit("/", 1)[-1]
        if find_role(account, name) is None:
            raise UndeliverableError("NO_PERMISSIONS", f"there is no role {given}")
        self._authorize("sts:AssumeRole", str(given), account, rule, SERVICE, {})
        return role_principal(account, name, None)

    def _to_queue(
        self, message: Any, rule: Any, arn: str, group: str, attributes: Mapping[str, str]
    ) -> None:
        parsed = world.Arn.parse(arn)
        queues = world.backend("sqs", parsed.account, parsed.region).queues if parsed else {}
        if parsed is None or parsed.resource not in queues:
            raise UndeliverableError("NO_RESOURCE", f"there is no queue {arn}")
        self._authorize("sqs:SendMessage", arn, parsed.account, rule, SERVICE, {})
        for key in _key_of(queues[parsed.resource], parsed):
            owner, via = key.split(":")[4], f"sqs.{parsed.region}.amazonaws.com"
            for action in ("kms:GenerateDataKey", "kms:Decrypt"):
                self._authorize(action, key, owner, rule, SERVICE, {"kms:ViaService": via})
        world.backend("sqs", parsed.account, parsed.region).send_message(
            queue_name=parsed.resource,
            message_body=json.dumps(message),
            message_attributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
            group_id=group or None,
        )

    def _authorize(
        self,
        action: str,
        resource: str,
        owner: str,
        rule: Any,
        principal: Principal | str,
        context: Mapping[str, str | list[str]],
    ) -> None:
        whole: dict[str, str | list[str]] = {
            "aws:SecureTransport": "true",
            "aws:RequestedRegion": str(rule.arn).split(":")[3],
            "aws:ResourceAccount": owner,
            "aws:ResourceOrgID": self._organization_id,
        }
        if principal == SERVICE:
            whole |= {
                "aws:SourceArn": rule.arn,
                "aws:SourceAccount": _account(rule),
                "aws:SourceOrgID": self._organization_id,
            }
        else:
            whole["aws:PrincipalOrgID"] = self._organization_id
        decision = self._authorizer.delivery(
            action, resource, owner, principal, {**whole, **context}
        )
        if not decision.allowed:
            who = principal if isinstance(principal, str) else principal.caller.arn
            raise UndeliverableError(
                "NO_PERMISSIONS", f"{who} may not {action} on {resource} {decision.reason}"
            )


def _account(rule: Any) -> str:
    return str(rule.arn).split(":")[4]


def _key_of(queue: Any, parsed: world.Arn) -> Iterator[str]:
    given = queue.kms_master_key_id
    # SQS's own key lets AWS services in.
    if given and given != "alias/aws/sqs":
        arn = world.key_arn(str(given), parsed.account, parsed.region)
        if arn is None:
            raise UndeliverableError("NO_RESOURCE", f"the queue's key {given} does not exist")
        yield arn


def _input(event: Event, target: Mapping[str, Any]) -> Any:
    if target.get("Input"):
        return json.loads(target["Input"])
    message = event.message()
    if target.get("InputPath"):
        return _at(message, str(target["InputPath"]))
    if target.get("InputTransformer"):
        raise UndeliverableError(
            "NOT_SERVED",
            "the local cloud has no input transformers: add them in localcloud/emulator/events.py",
        )
    return message


def _at(message: Any, path: str) -> Any:
    """What lies at a JSON path of an event: names with dots, and indices of lists."""
    found = message
    for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", path):
        try:
            found = found[int(index)] if index else found[name]
        except (KeyError, IndexError, TypeError):
            raise UndeliverableError("INVALID_JSON", f"the event has nothing at {path}") from None
    return found


def _pipeline_parameters(event: Event, target: Mapping[str, Any]) -> list[dict[str, str]]:
    """The parameters that a SageMaker pipeline is started with.

    A value that begins with ``$.`` is a JSON path of the event. Source: EventBridge user guide,
    dynamic path parameters.
    """
    message, found = event.message(), list[dict[str, str]]()
    given = target.get("SageMakerPipelineParameters") or {}
    for item in given.get("PipelineParameterList") or []:
        value: Any = item["Value"]
        if str(value).startswith("$."):
            value = _at(message, str(value))
        if isinstance(value, dict | list):
            raise UndeliverableError("INVALID_PARAMETER", f"{item['Value']} is no single value")
        found.append({"Name": str(item["Name"]), "Value": str(value)})
    return found


# -- what services emit -------------------------------------------------------------------------


def _milliseconds(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, dict):
        return {k: _milliseconds(v) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_milliseconds(item) for item in cast("list[Any]", value)]
    return value


def _model_package(client: Any, answer: Mapping[str, Any]) -> Iterator[Event]:
    """A version was registered, or its approval changed."""
    arn = str(answer["ModelPackageArn"])
    found = client.describe_model_package(ModelPackageName=arn)
    region, account = arn.split(":")[3:5]
    detail = _milliseconds({k: v for k, v in found.items() if k != "ResponseMetadata"})
    kind = "SageMaker Model Package State Change"
    yield Event(account, region, "aws.sagemaker", kind, detail, (arn,))


Emitting = Callable[[Any, Mapping[str, Any]], Iterator[Event]]

EMITTING: dict[tuple[str, str], Emitting] = {
    ("sagemaker", "CreateModelPackage"): _model_package,
    ("sagemaker", "UpdateModelPackage"): _model_package,
}
"""(service, operation) -> the events that AWS sends to the account's default bus once such a call
has succeeded, from the service's client and the call's answer.
Source: SageMaker developer guide, "Events that SageMaker AI sends to Amazon EventBridge"."""


_BUCKET_EVENTS = {
    "s3:ObjectCreated:Put": ("Object Created", "PutObject"),
    "s3:ObjectCreated:Post": ("Object Created", "POST Object"),
    "s3:ObjectCreated:Copy": ("Object Created", "CopyObject"),
    "s3:ObjectCreated:CompleteMultipartUpload": ("Object Created", "CompleteMultipartUpload"),
    "s3:ObjectRemoved:Delete": ("Object Deleted", "DeleteObject"),
}
"""Notification of S3 -> detail type and reason of its event."""


def hear_buckets(publish: Callable[[Event], None]) -> None:
    """Takes over what buckets send to EventBridge where it is turned on.

    moto would deliver it to the targets itself, without asking any policy.
    Source: Amazon S3 user guide, "EventBridge event message structure".
    """

    def send(account_id: str, bucket: Any, event_name: Any, key: Any) -> None:
        kind = _BUCKET_EVENTS.get(str(getattr(event_name, "value", event_name)))
        if kind is None:
            return
        detail_type, reason = kind
        detail: dict[str, Any] = {
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": {
                "key": key.name,
                "size": key.size,
                "etag": str(key.etag).strip('"'),
                "sequencer": f"{time.time_ns():016X}",
            },
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": account_id,
            "reason": reason,
        }
        if bucket.is_versioned:
            detail["object"]["version-id"] = key.version_id
        arn = str(bucket.arn)
        publish(Event(account_id, bucket.region_name, "aws.s3", detail_type, detail, (arn,)))

    notifications._send_event_bridge_message = send  # pyright: ignore[reportPrivateUsage]
