"""Who asks: a request that a person signs, and whose signer STS names.

Lambda does not tell a function who called it, and what a request says of its caller is only its
word. So the person signs, for STS and with credentials of their own, the question who they are
(``GetCallerIdentity``), bound to what they ask for: a digest of it is a header that the signature
covers. The function puts this question to STS, and STS names whose signature it is. The signature
can be used for nothing else, for five minutes, and holds no secret.

Both sides are here, so that they agree: :func:`sign` is the person's, :class:`Signers` the
function's.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.parsers import create_parser
from botocore.session import get_session

from .github import NoRedirects

HEADER = "x-mlops-request"
"""Header with the digest of what is asked for."""

VALID = timedelta(minutes=5)
"""How long a signature is taken; STS itself takes one for longer."""

_BODY = "Action=GetCallerIdentity&Version=2011-06-15"
_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
_SENT = ("authorization", "x-amz-date", "x-amz-security-token", HEADER)
_NEEDED = frozenset({"content-type", "host", "x-amz-date", HEADER})
_DATE = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=\w+/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[a-z]+)"
    r"/aws4_request, ?SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=[0-9a-f]{64}",
    re.ASCII,
)
_TIMEOUT_SECONDS = 10
_MOST_BYTES = 64 * 1024


class SignatureError(ValueError):
    """A signature does not show who asks; the message says what it should be."""


class UnreachableError(Exception):
    """STS cannot be asked now; the same request may be answered later."""


def digest(request: Mapping[str, Any]) -> str:
    """What the signature is bound to: all of a request but the signature itself."""
    bound = {name: value for name, value in request.items() if name != "signature"}
    text = json.dumps(bound, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def endpoint_of(sts: Any, region: str) -> str:
    """Where STS is asked: in the region, whatever a profile says of the global endpoint.

    Args:
        sts: An STS client.
        region: The hub's.
    """
    url = str(sts.meta.endpoint_url)
    if urlsplit(url).hostname == "sts.amazonaws.com":
        return f"https://sts.{region}.amazonaws.com"
    return url


def sign(
    request: Mapping[str, Any], credentials: Any, endpoint: str, region: str
) -> dict[str, Any]:
    """A request with its signature, as :class:`Signers` takes it.

    Args:
        request: What is asked for.
        credentials: The person's, as botocore has them.
        endpoint: By :func:`endpoint_of`.
        region: The hub's.
    """
    asked = AWSRequest(
        "POST",
        f"{endpoint.rstrip('/')}/",
        headers={"Content-Type": _TYPE, HEADER: digest(request)},
        data=_BODY,
    )
    SigV4Auth(credentials, "sts", region).add_auth(asked)
    given = {name.lower(): str(value) for name, value in asked.headers.items()}
    return {**request, "signature": {name: given[name] for name in _SENT if name in given}}


class Signers:
    """Learns from STS who signed requests.

    Args:
        endpoint: By :func:`endpoint_of`.
        region: The hub's.
        account: The hub's: nobody of another account asks for anything here.
        now: The time.
    """

    def __init__(
        self, endpoint: str, region: str, account: str, now: Callable[[], datetime]
    ) -> None:
        self._url = f"{endpoint.rstrip('/')}/"
        self._region = region
        self._account = account
        self._now = now
        self._open = urllib.request.build_opener(NoRedirects).open

    def name(self, request: Mapping[str, Any]) -> str:
        """ARN of who signed a request, as STS tells it.

        Raises:
            SignatureError: There is no signature of this very request, or STS does not know it.
            UnreachableError: STS cannot be asked.
        """
        headers = self._checked(request)
        told = self._ask(headers)
        arn, account = str(told.get("Arn") or ""), str(told.get("Account") or "")
        if account != self._account:
            raise SignatureError(f"{arn} signed, who is not of the hub's account {self._account}.")
        return arn

    def _checked(self, request: Mapping[str, Any]) -> dict[str, str]:
        """The headers that go to STS: those that the signature covers, and no others."""
        given = request.get("signature")
        if not isinstance(given, dict):
            raise SignatureError(
                "signature is missing: sign the request, as python -m automation models does."
            )
        headers = cast("dict[str, Any]", given)
        for name, value in headers.items():
            if name not in _SENT or not isinstance(value, str) or not _printable(value):
                raise SignatureError(f"signature has {name[:80]!r}, expected {', '.join(_SENT)}.")
        found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if found is None or (found["region"], found["service"]) != (self._region, "sts"):
            raise SignatureError(f"signature is not one for STS in {self._region}.")
        covered = set(found["signed"].split(";"))
        if not covered >= _NEEDED | (set(headers) - {"authorization"}):
            raise SignatureError(f"signature covers {found['signed']}, expected all its headers.")
        if headers.get(HEADER) != digest(request):
            raise SignatureError("signature is one of another request.")
        try:
            signed = datetime.strptime(headers.get("x-amz-date", ""), _DATE).replace(tzinfo=UTC)
        except ValueError as error:
            raise SignatureError("signature has no x-amz-date.") from error
        if abs(self._now() - signed) > VALID:
            raise SignatureError(f"signature is of {signed:%Y-%m-%dT%H:%M:%SZ}: sign anew.")
        return headers

    def _ask(self, headers: Mapping[str, str]) -> Mapping[str, Any]:
        asked = urllib.request.Request(  # noqa: S310 - the address is botocore's own
            self._url,
            data=_BODY.encode(),
            headers={**headers, "Content-Type": _TYPE},
            method="POST",
        )
        try:
            with self._open(asked, timeout=_TIMEOUT_SECONDS) as answer:
                status, body = answer.status, answer.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read(_MOST_BYTES)
        except (OSError, HTTPException) as error:
            raise UnreachableError(f"STS cannot be asked who signed: {error}") from error
        shape = get_session().get_service_model("sts").operation_model("GetCallerIdentity")
        response = {"status_code": status, "headers": {}, "body": body}
        told = cast(
            "dict[str, Any]", cast(Any, create_parser("query")).parse(response, shape.output_shape)
        )
        if status == 200:
            return told
        error = told.get("Error") or {}
        said = f"{error.get('Code', status)}: {error.get('Message', '')}"[:500]
        if status >= 500 or error.get("Code") == "Throttling":
            raise UnreachableError(f"STS cannot be asked who signed: {said}")
        raise SignatureError(f"STS does not know who signed: {said}")


def _printable(value: str) -> bool:
    return value.isascii() and value.isprintable() and len(value) <= 16_384
