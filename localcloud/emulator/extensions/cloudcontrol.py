"""Emulated Cloud Control API: job definitions of Model Monitor, which Pulumi's provider has not.

What is asked for is done at once by SageMaker's own operations, in the name of the caller: their
permissions are the caller's. All other resource types are refused by name. Sources: Cloud Control
API reference; CloudFormation's schemas of ``AWS::SageMaker::...JobDefinition``, whose properties
are those of the API and make another resource when they change.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from localcloud.emulator import acting
from localcloud.emulator.extension import ApiError, Context, Params, operation
from localcloud.emulator.jobs.monitoring_jobs import KINDS
from localcloud.emulator.jobs.place import now

_SERVICE = "cloudcontrol"
_TYPES = {f"AWS::SageMaker::{name}JobDefinition": name for name in KINDS}
_READ_ONLY = ("CreationTime", "JobDefinitionArn", "ResponseMetadata")
_GONE = ("ResourceNotFound", "ResourceNotFoundException")
_ERRORS = {
    "AccessDeniedException": "AccessDenied",
    "ResourceInUse": "AlreadyExists",
    "ResourceNotFound": "NotFound",
    "ValidationException": "InvalidRequest",
}


def _kind(params: Params) -> str:
    kind = _TYPES.get(params["TypeName"])
    if kind is None:
        raise ApiError(
            "UnsupportedActionException",
            f"The local cloud's Cloud Control API has no {params['TypeName']}, only"
            f" {', '.join(_TYPES)}: add it in localcloud/emulator/extensions/cloudcontrol.py.",
        )
    if params.get("RoleArn"):
        raise ApiError(
            "UnsupportedActionException", "The local cloud's Cloud Control API takes no RoleArn."
        )
    return kind


def _sagemaker(ctx: Context) -> Any:
    host: Any = ctx.host
    forwarded = host.credentials.forwarded(ctx.caller)
    keys = (forwarded.access_key, forwarded.secret, forwarded.token)
    return acting.client("sagemaker", keys, region=ctx.region, endpoint=host.endpoint, attempts=1)


def _progress(ctx: Context, params: Params, verb: str, work: Callable[[], str]) -> Params:
    """Does something, and keeps how it ended under a request's token."""
    token = str(uuid.uuid4())
    event: Params = {
        "TypeName": params["TypeName"],
        "RequestToken": token,
        "Operation": verb,
        "OperationStatus": "SUCCESS",
        "EventTime": now(),
        "Identifier": params.get("Identifier") or "none",
    }
    try:
        event["Identifier"] = work()
    except ClientError as error:
        told = error.response["Error"]
        event |= {
            "OperationStatus": "FAILED",
            "StatusMessage": told["Message"][:1024],
            "ErrorCode": _ERRORS.get(told["Code"], "GeneralServiceException"),
        }
    ctx.store(_SERVICE).setdefault("requests", {})[token] = event
    return {"ProgressEvent": event}


@operation(_SERVICE, "CreateResource")
def create(ctx: Context, params: Params) -> Callable[[], Params]:
    """Makes a job definition."""
    kind, sagemaker = _kind(params), _sagemaker(ctx)
    wanted: Params = json.loads(params["DesiredState"])

    def work() -> str:
        answer = getattr(sagemaker, f"create_{_words(kind)}_job_definition")(**wanted)
        return str(answer["JobDefinitionArn"])

    return lambda: _progress(ctx, params, "CREATE", work)


@operation(_SERVICE, "DeleteResource")
def delete(ctx: Context, params: Params) -> Callable[[], Params]:
    """Removes a job definition."""
    kind, sagemaker = _kind(params), _sagemaker(ctx)
    arn = params["Identifier"]

    def work() -> str:
        getattr(sagemaker, f"delete_{_words(kind)}_job_definition")(JobDefinitionName=_name(arn))
        return arn

    return lambda: _progress(ctx, params, "DELETE", work)


@operation(_SERVICE, "GetResourceRequestStatus")
def status(ctx: Context, params: Params) -> Params:
    """How a request ended."""
    found = ctx.store(_SERVICE).get("requests", {}).get(params["RequestToken"])
    if found is None:
        raise ApiError("RequestTokenNotFoundException", "There is no request of that token.")
    return {"ProgressEvent": found}


@operation(_SERVICE, "GetResource")
def get(ctx: Context, params: Params) -> Callable[[], Params]:
    """A job definition as its desired state."""
    kind, sagemaker = _kind(params), _sagemaker(ctx)
    arn = params["Identifier"]

    def work() -> Params:
        try:
            found = getattr(sagemaker, f"describe_{_words(kind)}_job_definition")(
                JobDefinitionName=_name(arn)
            )
            tags = sagemaker.list_tags(ResourceArn=arn)["Tags"]
        except ClientError as error:
            told = error.response["Error"]
            code = "ResourceNotFoundException" if told["Code"] in _GONE else told["Code"]
            raise ApiError(code, told["Message"], 400) from error
        state = {key: value for key, value in found.items() if key not in _READ_ONLY}
        properties = json.dumps({**state, **({"Tags": tags} if tags else {}),
                                 "JobDefinitionArn": arn})  # fmt: skip
        return {
            "TypeName": params["TypeName"],
            "ResourceDescription": {"Identifier": arn, "Properties": properties},
        }

    return work


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _words(kind: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind)[1:]
