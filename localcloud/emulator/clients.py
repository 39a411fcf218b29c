"""boto3 clients for the emulator: from outside, as its administrators, and from within, as AWS."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from moto.core.request import Request
from urllib3.response import HTTPResponse

SOURCE_VPCE_HEADER = "x-localcloud-source-vpce"
SECURE_HEADER = "x-localcloud-secure-transport"

_INTERNAL_KEY = "LSIALOCALCLOUDITSELF"


def _add_header(client_or_session: Any, name: str, value: str) -> Any:
    def add(request: Any, **_: Any) -> None:
        request.headers[name] = value

    events = (
        client_or_session.events
        if hasattr(client_or_session, "events")
        else client_or_session.meta.events
    )
    events.register("before-sign.*", add)
    return client_or_session


def through_vpc_endpoint(client_or_session: Any, endpoint_id: str) -> Any:
    """Makes a client's (or all of a session's later clients') calls come through a VPC endpoint.

    The endpoint must exist in the caller's account and be for the called service; its policy takes
    part, and ``aws:SourceVpce`` and ``aws:SourceVpc`` are set.

    Returns:
        The same client or session.
    """
    return _add_header(client_or_session, SOURCE_VPCE_HEADER, endpoint_id)


def without_tls(client_or_session: Any) -> Any:
    """Makes calls count as made without TLS (``aws:SecureTransport`` is false)."""
    return _add_header(client_or_session, SECURE_HEADER, "false")


def without_host_prefix(client: Any) -> Any:
    """Keeps a client's calls on the endpoint's own host.

    S3 control puts the account id before any endpoint's host (``111111111111.127.0.0.1``), which no
    machine resolves; botocore has no setting against it.

    Returns:
        The same client.
    """
    endpoint = urlsplit(client.meta.endpoint_url)

    def keep_host(request: Any, **_: Any) -> None:
        parts = urlsplit(request.url)
        request.url = urlunsplit(parts._replace(netloc=endpoint.netloc))

    client.meta.events.register("before-sign.*", keep_host)
    return client


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
        self._session = boto3.Session(
            aws_access_key_id=_INTERNAL_KEY,
            aws_secret_access_key="made-up",  # noqa: S106 -- nothing checks it
            region_name="us-east-1",
        )

    def client(self, service: str, account: str, region: str) -> Any:
        """A client of one service in one account and region."""
        with self._lock:
            key = (service, account, region)
            if key not in self._clients:
                client = cast(Any, self._session).client(
                    service,
                    region_name=region,
                    endpoint_url="http://127.0.0.1:9",
                    config=Config(retries={"total_max_attempts": 1}),
                )

                def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
                    return self._send(request, account)

                client.meta.events.register("before-send", send)
                self._clients[key] = without_host_prefix(client)
            return self._clients[key]

    def _send(self, request: AWSPreparedRequest, account: str) -> AWSResponse:
        body: Any = request.body
        if hasattr(body, "read"):
            body = body.read()
        environ = Request.from_primitives(
            request.method, request.url, request.headers, body
        ).environ
        status, headers, content = self._respond(environ, account)
        raw = HTTPResponse(
            body=io.BytesIO(content), headers=dict(headers), status=status, preload_content=False
        )
        return AWSResponse(request.url, status, cast(Any, raw.headers), cast(Any, raw))
