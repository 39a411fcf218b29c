"""Events that the deployments' function could not take: what they are, why, and another try.

A retry calls the function with the same event and waits for it, so that what fails again is told at
once and stays. An event says only where to look: the function asks the registry, or CodePipeline,
what is so now. A late or repeated one changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, cast

from automation import dead_letters
from automation.dead_letters import DeadLetters, Failed, NotTakenError
from automation.models.hub import Hub
from components.deployments import DEAD_LETTERS, DEPLOYMENTS


def redrive(
    hub: Hub, tell: Callable[[str], None], only: Collection[str] = (), *, look: bool = False
) -> None:
    """Tries events anew, or only lists them.

    Args:
        hub: The hub; its caller is an ML engineer.
        tell: Gets what people read.
        only: Sources: ARNs of versions, ids of runs, or ``sweep``; empty for all.
        look: List them, and try none.

    Raises:
        QueueError: The queue is not there, or the caller may not use it.
        ClientError: Lambda's; IAM's refusal among them.
    """
    letters = DeadLetters(hub.sessions["governance"], hub.names.name(DEAD_LETTERS, "queue"))
    if look:
        tell(
            dead_letters.table(
                letters.failed(),
                "Every event was handled, or is on its way.",
                "not handled; after the cause is gone: models redrive",
            )
        )
        return
    functions, name = hub.client("lambda"), hub.names.name(DEPLOYMENTS)

    def send(item: Failed) -> None:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(payload_of(item.body)))
        payload = answer["Payload"].read()
        if answer.get("FunctionError"):
            told = json.loads(payload)
            raise NotTakenError(f"{told.get('errorType')}: {told.get('errorMessage')}")

    sent = letters.redrive(send, tell, only)
    tell(f"{sent} handled; what failed again is still there: models redrive --list")


def payload_of(body: str) -> dict[str, Any]:
    """A message as the function takes it.

    Raises:
        NotTakenError: It is no event.
    """
    try:
        event: Any = json.loads(body)
    except ValueError as error:
        raise NotTakenError(f"the message is no JSON: {error}") from error
    if not isinstance(event, dict):
        raise NotTakenError("the message is no JSON object")
    told = cast("dict[str, Any]", event)
    # EventBridge keeps the event of a schedule, not what its target was to be given.
    return {"action": "sweep"} if told.get("detail-type") == "Scheduled Event" else told
