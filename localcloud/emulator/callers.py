"""What callers of the emulator can say about how their calls come in, which AWS sees by itself.

Nothing here imports moto, so that programs which only call the emulator start quickly.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

SOURCE_VPCE_HEADER = "x-localcloud-source-vpce"
SECURE_HEADER = "x-localcloud-secure-transport"


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
