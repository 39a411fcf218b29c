"""boto3 clients for the emulated AWS itself: their calls never leave its process."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any, cast

from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ClientError
from moto.core.request import Request
from urllib3.response import HTTPResponse

from localcloud.emulator import acting
from localcloud.emulator.callers import without_host_prefix
from localcloud.emulator.extension import ApiError

MOTO_ONLY = "localcloud.moto-only"
"""Key of the WSGI environment that marks a call of an extension that asks for moto's answer."""

_KEYS = ("LSIALOCALCLOUDITSELF", "made-up", None)
"""Nothing checks them."""


class Internal:
    """Clients whose calls never leave the process.

    Args:
        respond: Answers a WSGI environment for an account.
    """

    def __init__(
        self, respond: Callable[[dict[str, Any], str], tuple[int, list[tuple[str, str]], bytes]]
    ) -> None:
        self._respond = respond
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    def client(self, service: str, account: str, region: str) -> Any:
        """A client of one service in one account and region."""
        with self._lock:
            key = (service, account, region)
            if key not in self._clients:
                client = acting.client(
                    service, _KEYS, region=region, endpoint="http://127.0.0.1:9", attempts=1
                )

                def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
                    return self._send(request, account)

                client.meta.events.register("before-send", send)
                self._clients[key] = without_host_prefix(client)
            return self._clients[key]

    def ask_moto(
        self, service: str, operation: str, account: str, region: str, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Moto's own answer to an operation, past any extension.

        Raises:
            ApiError: Moto answers with an error.
        """
        client = self.client(service, account, region)
        self._local.moto_only = True
        try:
            answer = dict(getattr(client, xform_name(operation))(**params))
        except ClientError as error:
            described: Any = error.response
            raise ApiError(
                described["Error"].get("Code", "Unknown"),
                described["Error"].get("Message", ""),
                described["ResponseMetadata"]["HTTPStatusCode"],
            ) from error
        finally:
            self._local.moto_only = False
        answer.pop("ResponseMetadata", None)
        return answer

    def _send(self, request: AWSPreparedRequest, account: str) -> AWSResponse:
        body: Any = request.body
        if hasattr(body, "read"):
            body = body.read()
        environ = Request.from_primitives(
            request.method, request.url, request.headers, body
        ).environ
        if getattr(self._local, "moto_only", False):
            environ[MOTO_ONLY] = True
        status, headers, content = self._respond(environ, account)
        raw = HTTPResponse(
            body=io.BytesIO(content), headers=dict(headers), status=status, preload_content=False
        )
        return AWSResponse(request.url, status, cast(Any, raw.headers), cast(Any, raw))
