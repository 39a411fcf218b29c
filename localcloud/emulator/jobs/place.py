"""An account and region in which jobs run, as the threads that run them see it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from localcloud.emulator.authorizer import SAGEMAKER
from localcloud.emulator.compute import Compute, ComputeError, Task
from localcloud.emulator.extension import ApiError, Context, Host, Params

SERVICE = "sagemaker"


@dataclass(frozen=True)
class Place:
    """An account and region of the emulated AWS.

    Attributes:
        host: The emulator.
        account: Account id.
        region: Region.
    """

    host: Host
    account: str
    region: str

    @classmethod
    def of(cls, ctx: Context) -> Place:
        """Where a call is carried out."""
        return cls(ctx.host, ctx.account, ctx.region)

    @property
    def compute(self) -> Compute:
        """What runs processes."""
        return cast(Compute, self.host.compute)

    def arn(self, resource: str) -> str:
        """ARN of a SageMaker resource."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{resource}"

    def client(self, service: str) -> Any:
        """A boto3 client that acts as AWS itself; each of its calls takes the emulator's lock."""
        return self.host.client(service, self.account, self.region)

    def things(self, kind: str) -> dict[str, Any]:
        """What SageMaker keeps of one kind."""
        return self.host.store(SERVICE, self.account, self.region).setdefault(kind, {})

    def remember_tags(self, arn: str, params: Params) -> None:
        """Keeps the tags that a resource was created with."""
        given = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}
        self.things("tags")[arn] = given

    def forget_tags(self, arn: str) -> None:
        """Drops a deleted resource's tags."""
        self.things("tags").pop(arn, None)

    def tags(self, arn: str) -> dict[str, str]:
        """A resource's tags."""
        return dict(self.things("tags").get(arn, {}))

    def publish(self, detail_type: str, detail: Mapping[str, Any], *arns: str) -> None:
        """Sends one of SageMaker's events to the account's default bus.

        Source: SageMaker developer guide, "Events that SageMaker AI sends to Amazon EventBridge".
        """
        entry = {
            "Source": "aws.sagemaker",
            "DetailType": detail_type,
            "Detail": json.dumps(_milliseconds(detail)),
            "Resources": list(arns),
        }
        self.client("events").put_events(Entries=[entry])

    def task(
        self, role_arn: str, session: str, arn: str, subnets: list[str], *, seconds: int = 86_400
    ) -> Task:
        """What a job's or an endpoint's process runs as."""
        return Task(
            self.account,
            self.region,
            SAGEMAKER,
            role_arn,
            session,
            arn,
            tuple(subnets),
            seconds=seconds,
        )

    def environment(self, task: Task) -> dict[str, str]:
        """The credentials and settings of a task, where its role lets SageMaker have it.

        Raises:
            ApiError: ``ValidationException``, as SageMaker answers to a role that it cannot assume
                or to subnets that do not exist.
        """
        try:
            return self.compute.environment(task)
        except ComputeError as error:
            raise ApiError(
                "ValidationException",
                f"Could not assume role {task.role_arn}. Please ensure that the role exists and"
                f" allows principal '{SAGEMAKER}' to assume the role, and that the subnets exist:"
                f" {error}",
            ) from error


def now() -> dt.datetime:
    """The current time, naive UTC."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def _milliseconds(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return int(value.replace(tzinfo=dt.UTC).timestamp() * 1000)
    if isinstance(value, Mapping):
        return {k: _milliseconds(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_milliseconds(item) for item in cast("list[Any]", value)]
    return value
