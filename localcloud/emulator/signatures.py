"""Signatures of the calls whose whole meaning is who signed them.

The emulator takes a caller at the word of the access key and token, and checks no signature: who
reaches it is on the same machine. ``GetCallerIdentity`` is the exception: people hand a signed one
on to a service that asks who they are, bound to more than STS reads, and a copy with another
binding must not pass.
"""

from __future__ import annotations

import hmac
import re
from typing import Any, cast

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from localcloud.emulator.extension import ApiError
from localcloud.emulator.protocol import Call

CHECKED = frozenset({("sts", "GetCallerIdentity")})
"""Calls whose signature is checked, where it is in a header."""

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)"
    r"/aws4_request, *SignedHeaders=(?P<signed>[^,\s]+), *Signature=(?P<signature>[0-9a-f]+)"
)


def check(call: Call, secret: str | None) -> None:
    """Refuses a call that was not signed, as it is, with the caller's secret.

    Args:
        call: The call.
        secret: The secret of its access key; None when nobody knows it.

    Raises:
        ApiError: ``SignatureDoesNotMatch``.

    Source: IAM user guide, "Create a signed AWS API request".
    """
    headers = call.request.headers
    found = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
    if found is None:
        return
    request = AWSRequest(
        call.request.method,
        str(call.request.url),
        headers={name: headers.get(name, "") for name in found["signed"].split(";")},
        data=call.body,
    )
    context = cast("dict[str, Any]", request.context)
    context["timestamp"] = headers.get("X-Amz-Date", "")
    signer: Any = SigV4Auth(
        Credentials(found["key"], secret or ""), found["service"], found["region"]
    )
    canonical = signer.canonical_request(request)
    wanted = signer.signature(signer.string_to_sign(request, canonical), request)
    if secret is None or not hmac.compare_digest(str(wanted), found["signature"]):
        raise ApiError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check"
            " your AWS Secret Access Key and signing method.",
            403,
        )
