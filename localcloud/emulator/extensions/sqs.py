"""SQS: attributes that are set apart from each other."""

from __future__ import annotations

from localcloud.emulator.extension import Context, Params, operation


@operation("sqs", "SetQueueAttributes")
def set_queue_attributes(ctx: Context, params: Params) -> Params:
    """Sets attributes; moto would take a policy away that the call does not name."""
    name = params["QueueUrl"].rsplit("/", 1)[-1]
    attributes = dict(params.get("Attributes") or {})
    queue = ctx.backend("sqs").queues.get(name)
    if queue is not None and queue.policy and "Policy" not in attributes:
        attributes["Policy"] = queue.policy
    return ctx.forward({**params, "Attributes": attributes})
