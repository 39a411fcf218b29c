"""Promotion: an approved version of a development account becomes a version of the hub's registry.

The function's queue receives SageMaker's events about model package versions from the hub's bus.
:func:`handle` is the entry point. What it needs of its queue: batches of one message with
``ReportBatchItemFailures``, a visibility timeout not shorter than ``LEASE_SECONDS``, and a redrive
policy whose ``maxReceiveCount`` is greater than ``MAX_RECEIVES``, for what ends the function's
process.

Messages that cannot succeed go to the dead-letter queue with the attributes ``Cause``, ``Step``
and ``SourceModelPackageArn``; sent back to the queue, they are tried anew. Log lines are JSON;
they hold no object's content, no address that gives access and no credentials.

Environment:

======================== ====================================================================
``AWS_REGION``           The hub's region; Lambda sets it. Versions come from this region only.
``HUB_ACCOUNT``          The hub's account id.
``MODELS_BUCKET``        The hub's artifact bucket.
``MODELS_KEY_ARN``       The key of artifacts and model cards.
``LEDGER_TABLE``         DynamoDB table, partition key ``SourceModelPackageArn`` (string).
``DEAD_LETTER_QUEUE_URL`` Where messages go that people must look at.
``MAX_RECEIVES``         At this receive of a message its error goes to the dead-letter queue.
``READER_ROLES``         JSON, source account -> role that reads versions and images there.
``SOURCE_BUCKETS``       JSON, source account -> list of buckets that artifacts may come from.
``SOURCE_PREFIXES``      JSON, source account -> what its promoted groups' names begin with, such
                         as ``acme-dev-``; image repositories' names may begin with it too. What
                         follows it in a group's name is the folder of the group's artifacts.
``GROUP_PREFIX``         What takes its place in central groups' names: ``acme-governance-``.
``IMAGE_ACCOUNTS``       JSON list of accounts whose images are used where they are: those of AWS's
                         framework images. Optional, default ``[]``.
``IMAGE_REPOSITORY``     What takes the source prefix's place in names of the hub's image
                         repositories: ``acme-governance-``. A repository must exist.
``GROUP_POLICY_FILE``    File in this folder with the resource policy of central groups that have
                         none, ``${Group}`` standing for the group's name, ``${Project}`` for what
                         of it follows ``GROUP_PREFIX``. Optional, default none.
``SERVICE_ROLES``        JSON list of names of roles that services and pipelines assume, ``*`` for
                         any characters: their sessions name nobody. Optional, default ``[]``.
``GROUP_TAGS``           JSON object, tags of groups and cards that the function makes. Optional.
``CARD_OWNER``           Owner in the cards of models that name none. Optional.
``LEASE_SECONDS``        How long a delivery holds a version; more than the function's timeout.
                         Optional, default 960.
``COPY_THRESHOLD_BYTES`` Larger objects are copied in parts. Optional, default 5 GiB, S3's limit.
``COPY_PART_BYTES``      Size of these parts. Optional, default 512 MiB.
======================== ====================================================================
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import boto3

from .aws import Clients
from .events import APPROVED, Refused, read_notice
from .ledger import Ledger
from .outcomes import OUTCOMES, Fate, Outcome
from .promote import Progress, Promoter, Result
from .settings import Settings, read_settings

# Source: "Amazon SQS message attributes" in the SQS developer guide; the rest is room to spare.
_CAUSE_CHARACTERS = 1000

Message = Mapping[str, Any]
Response = dict[str, list[dict[str, str]]]


class Log(Protocol):
    """Takes what a log line says."""

    def __call__(self, **fields: Any) -> None:
        """Writes a line."""
        ...


def write_log(**fields: Any) -> None:
    """Writes a line of JSON to standard output, which Lambda keeps."""
    sys.stdout.write(json.dumps(fields, sort_keys=True, default=str) + "\n")


@dataclass(frozen=True)
class Worker:
    """Handles messages.

    Attributes:
        settings: The deployment's settings.
        clients: AWS.
        promoter: Promotes versions.
        log: Takes log lines.
    """

    settings: Settings
    clients: Clients
    promoter: Promoter
    log: Log = write_log

    def handle(self, event: Mapping[str, Any]) -> Response:
        """Handles a batch; gives the messages that the queue must deliver again."""
        failed = [
            {"itemIdentifier": str(record["messageId"])}
            for record in event["Records"]
            if not self._handled(record)
        ]
        return {"batchItemFailures": failed}

    def _handled(self, record: Message) -> bool:
        """Whether a message is dealt with, be it by promotion or by the dead-letter queue."""
        progress = Progress()
        try:
            result = self._promote(record, progress)
        except Refused as refusal:
            progress.source_arn = refusal.source_arn or progress.source_arn
            return self._give_up(record, progress, Outcome.REFUSED, str(refusal))
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            receives = int(record.get("attributes", {}).get("ApproximateReceiveCount", "1"))
            if receives >= self.settings.max_receives:
                return self._give_up(record, progress, Outcome.GIVEN_UP, cause)
            return self._tell(record, progress, Outcome.RETRIED, cause=cause, receives=receives)
        return self._tell(record, progress, result.outcome, central=result.central_arn)

    def _promote(self, record: Message, progress: Progress) -> Result:
        notice = read_notice(str(record["body"]), self.settings.region)
        progress.source_arn = notice.source.arn
        if notice.status != APPROVED:
            return Result(Outcome.IGNORED)
        return self.promoter.promote(notice.source, progress)

    def _give_up(self, record: Message, progress: Progress, outcome: Outcome, cause: str) -> bool:
        """Sends a message to the dead-letter queue; whether that worked."""
        attributes = {
            "Cause": cause,
            "Step": progress.step,
            "SourceModelPackageArn": progress.source_arn,
        }
        try:
            self.clients.own("sqs").send_message(
                QueueUrl=self.settings.dead_letter_queue_url,
                MessageBody=record["body"],
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": _attribute(text)}
                    for name, text in attributes.items()
                },
            )
        except Exception as error:
            told = f"{cause} (dead-letter queue: {type(error).__name__}: {error})"
            return self._tell(record, progress, Outcome.RETRIED, cause=told)
        return self._tell(record, progress, outcome, cause=cause)

    def _tell(self, record: Message, progress: Progress, outcome: Outcome, **more: Any) -> bool:
        """Logs an outcome; whether it deals with the message."""
        fate = OUTCOMES[outcome].fate
        self.log(
            level="ERROR" if fate is Fate.DEAD else "INFO",
            outcome=outcome,
            step=progress.step,
            source=progress.source_arn,
            message_id=record.get("messageId", ""),
            **progress.counts,
            **more,
        )
        return fate is not Fate.AGAIN


def _attribute(text: str) -> str:
    """Text as SQS takes it in an attribute: not empty, short, without control characters."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain[:_CAUSE_CHARACTERS] or "unknown"


def make_worker(
    settings: Settings,
    clients: Clients,
    log: Log = write_log,
    now: Callable[[], float] = time.time,
) -> Worker:
    """A worker with its ledger, whose leases end by the time that ``now`` gives."""
    ledger = Ledger(clients.own("dynamodb"), settings.ledger_table, settings.lease_seconds, now)
    return Worker(settings, clients, Promoter(settings, clients, ledger), log)


@cache
def _worker() -> Worker:
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = read_settings(os.environ)
    return make_worker(settings, Clients(boto3.Session(), settings.region, settings.reader_roles))


def handle(event: Mapping[str, Any], context: object) -> Response:
    """Lambda's entry point.

    Raises:
        SettingsError: The function's environment is wrong; the queue keeps the messages.
    """
    del context
    return _worker().handle(event)
