"""Where custom resources answer: presigned addresses in a bucket of CloudFormation's own.

Source: CloudFormation user guide, custom resource request and response objects.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from localcloud.emulator.extension import ApiError, Caller
from localcloud.emulator.identity import Principal
from localcloud.emulator.protocol import Call

ACCOUNT = "000000000000"
"""Stands for the account of AWS that CloudFormation's buckets are in."""

ORGANIZATION = "o-cloudformation"
"""Whatever organisation that account is in, it is not the caller's."""

MAX_BYTES = 4096
_EXPIRES_SECONDS = 7200
_PHYSICAL_BYTES = 1024


def bucket_name(region: str) -> str:
    """The bucket of a region. Source: CloudFormation user guide, VPC endpoints."""
    return f"cloudformation-custom-resource-response-{region.replace('-', '')}"


@dataclass(frozen=True)
class Answer:
    """What a custom resource answered.

    Attributes:
        ok: Whether it was done.
        physical_id: The resource's id; empty when it told none.
        data: Its attributes.
        reason: Why it was not done.
    """

    ok: bool
    physical_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""


@dataclass
class Awaited:
    """A request that waits for its answer.

    Attributes:
        request: As the function got it.
        url: Where the answer goes.
        answer: What was put there, once it was.
        come: Set then.
    """

    request: Mapping[str, Any]
    url: str
    expires: dt.datetime
    answer: Answer | None = None
    come: threading.Event = field(default_factory=threading.Event)


class Answers:
    """The bucket: takes what is put to the addresses that were given out, and nothing else.

    Args:
        endpoint: The emulator's base URL.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._keys = Keys("LSIACLOUDFORMATION00", secrets.token_urlsafe(30))
        self._awaited: dict[tuple[str, str], Awaited] = {}
        self._lock = threading.Lock()

    @property
    def access_key(self) -> str:
        """The key that signs the addresses."""
        return str(self._keys.access_key)

    def principal(self, source_vpce: str | None) -> Principal:
        """Who calls, once an address is used: CloudFormation, from wherever its user is."""
        arn = f"arn:aws:iam::{ACCOUNT}:user/cloudformation"
        statement = {"Sid": "Answers", "Effect": "Allow", "Action": "s3:PutObject"}
        document = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": "*"}]}
        return Principal(
            Caller(ACCOUNT, arn, arn, source_vpce=source_vpce),
            "cloudformation",
            {"own": json.dumps(document)},
            user_name="cloudformation",
        )

    def expect(self, request: Mapping[str, Any], region: str) -> Awaited:
        """Makes the address for the answer to a request, which lacks only the address."""
        told = (request["StackId"], request["LogicalResourceId"], request["RequestId"])
        bucket, key = bucket_name(region), "|".join(str(part) for part in told)
        url = f"{self._endpoint}/{bucket}/{urllib.parse.quote(key, safe='/')}"
        signed = AWSRequest("PUT", url)
        S3SigV4QueryAuth(self._keys, "s3", region, expires=_EXPIRES_SECONDS).add_auth(signed)
        address = str(signed.url)
        awaited = Awaited(
            {**request, "ResponseURL": address},
            address,
            dt.datetime.now(dt.UTC) + dt.timedelta(seconds=_EXPIRES_SECONDS),
        )
        with self._lock:
            now = dt.datetime.now(dt.UTC)
            for old in [k for k, item in self._awaited.items() if item.expires < now]:
                del self._awaited[old]
            self._awaited[bucket, key] = awaited
        return awaited

    def put(self, call: Call) -> None:
        """Takes an answer. A second one to the same request changes nothing.

        Raises:
            ApiError: It is not put to an address that was given out.
        """
        place = (str(call.params.get("Bucket")), str(call.params.get("Key")))
        with self._lock:
            awaited = self._awaited.get(place)
        if call.operation != "PutObject" or awaited is None or not _same(call, awaited.url):
            raise ApiError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
                403,
            )
        if call.request.headers.get("Content-Type"):
            # CloudFormation signs its addresses for requests without one.
            raise ApiError(
                "SignatureDoesNotMatch",
                "The address was signed for a request without a Content-Type.",
                403,
            )
        if awaited.expires < dt.datetime.now(dt.UTC):
            raise ApiError("AccessDenied", "Request has expired", 403)
        with self._lock:
            if awaited.answer is None:
                awaited.answer = _read(call.body, awaited.request)
        awaited.come.set()


def _same(call: Call, url: str) -> bool:
    wanted = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    return {name: call.request.args.get(name) for name in wanted} == wanted


def _read(body: bytes, request: Mapping[str, Any]) -> Answer:
    if len(body) > MAX_BYTES:
        return Answer(False, reason="Response object is too long.")
    try:
        found: Any = json.loads(body)
    except ValueError:
        return Answer(False, reason="Invalid Json: the response is none.")
    if not isinstance(found, dict):
        return Answer(False, reason="Invalid Json: the response is no object.")
    whole = cast("dict[str, Any]", found)
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        if whole.get(name) != request[name]:
            return Answer(False, reason=f"Invalid response: its {name} is not the request's.")
    physical, data = str(whole.get("PhysicalResourceId") or ""), whole.get("Data") or {}
    if whole.get("Status") == "FAILED":
        told = str(whole.get("Reason") or "")
        if not told:
            return Answer(False, physical, reason="Invalid response: FAILED needs a Reason.")
        return Answer(
            False,
            physical,
            reason="Received response status [FAILED] from custom resource. Message returned:"
            f" {told} (RequestId: {request['RequestId']})",
        )
    if whole.get("Status") != "SUCCESS":
        return Answer(False, physical, reason="Invalid response: Status is SUCCESS or FAILED.")
    if not 0 < len(physical.encode()) <= _PHYSICAL_BYTES:
        return Answer(False, reason="Invalid PhysicalResourceId")
    if not isinstance(data, dict):
        return Answer(False, physical, reason="Invalid response: Data is no object.")
    if whole.get("NoEcho"):
        return Answer(False, physical, reason="The local cloud does not serve NoEcho in answers.")
    return Answer(True, physical, cast("dict[str, Any]", data))
