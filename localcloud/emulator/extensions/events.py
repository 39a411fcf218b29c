"""EventBridge: events that callers send; what services send comes from ``emulator/events.py``."""

from __future__ import annotations

import json
from typing import Any, cast

from localcloud.emulator import schedules
from localcloud.emulator.events import Event
from localcloud.emulator.extension import ApiError, Context, Params, operation
from localcloud.emulator.world import Arn


@operation("events", "PutEvents")
def put_events(ctx: Context, params: Params) -> Params:
    """Publishes events of the caller; moto would deliver them without asking any policy."""
    entries = [_put(ctx, entry) for entry in params["Entries"]]
    return {"Entries": entries, "FailedEntryCount": sum("ErrorCode" in e for e in entries)}


def _put(ctx: Context, entry: Params) -> Params:
    for member in ("Source", "DetailType", "Detail"):
        if not entry.get(member):
            message = f"Parameter {member} is not valid. Reason: {member} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": message}
    # AWS itself is the emulator, on behalf of a service whose state has changed.
    if entry["Source"].startswith("aws.") and not ctx.caller.is_service:
        return {
            "ErrorCode": "NotAuthorizedForSourceException",
            "ErrorMessage": "Not authorized for the source.",
        }
    try:
        detail = json.loads(entry["Detail"])
    except ValueError:
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    name = str(entry.get("EventBusName", "default"))
    arn = Arn.parse(name)
    account, region = (arn.account, arn.region) if arn else (ctx.account, ctx.region)
    bus = arn.resource.removeprefix("event-bus/") if arn else name
    if bus not in ctx.backend("events", account=account, region=region).event_buses:
        raise ApiError("ResourceNotFoundException", f"Event bus {bus} does not exist.")
    event = Event(
        ctx.caller.account,
        ctx.region,
        entry["Source"],
        entry["DetailType"],
        detail,
        tuple(entry.get("Resources", ())),
    )
    cast(Any, ctx.host).events.publish(event, account, region, bus)
    return {"EventId": event.id}


@operation("events", "PutRule")
def put_rule(ctx: Context, params: Params) -> Params:
    """Makes or changes a rule; moto takes any schedule."""
    expression = params.get("ScheduleExpression")
    if expression and params.get("EventBusName", "default") != "default":
        raise ApiError(
            "ValidationException", "ScheduleExpression is supported only on the default event bus."
        )
    if expression:
        try:
            schedules.parse(expression)
        except schedules.NotServedError as error:
            message = f"{error}: add it in localcloud/emulator/schedules.py."
            raise ApiError("NotImplemented", message, 501) from error
        except schedules.ScheduleError as error:
            raise ApiError(
                "ValidationException", f"Parameter ScheduleExpression is not valid. {error}"
            ) from error
    return ctx.forward()


@operation("events", "UpdateEventBus")
def update_event_bus(ctx: Context, params: Params) -> Params:
    """Changes a bus."""
    name = params.get("Name", "default")
    bus = ctx.backend("events").event_buses.get(name)
    if bus is None:
        raise ApiError("ResourceNotFoundException", f"Event bus {name} does not exist.")
    bus.description = params.get("Description", bus.description)
    bus.kms_key_identifier = params.get("KmsKeyIdentifier", bus.kms_key_identifier)
    bus.dead_letter_config = params.get("DeadLetterConfig", bus.dead_letter_config)
    answer = {"Arn": bus.arn, "Name": bus.name}
    for member, value in (
        ("Description", bus.description),
        ("KmsKeyIdentifier", bus.kms_key_identifier),
    ):
        if value:
            answer[member] = value
    return answer
