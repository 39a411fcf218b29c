"""An HTTP server as SageMaker asks a container for it: ``GET /ping``, ``POST /invocations``.

The server is the standard library's: nobody but SageMaker's router talks to it, a prediction takes
milliseconds at most, and what is not in the image needs no updates. What a request means is left to
a function.

Source: SageMaker developer guide, custom inference code with hosting services.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAXIMUM_BYTES = 6 * 1024**2
"""Largest body. Source: InvokeEndpoint in SageMaker's API reference."""

Answer = Callable[[bytes, str, str], "tuple[str, str]"]
"""``answer(body, content_type, accept)``: text and its content type; both given ones may be empty.
Raises :class:`RequestError`."""

_IDLE_SECONDS = 90
"""How long a connection may say nothing. SageMaker gives a container 60 seconds for an answer."""

_NOBODY = 65_534


class RequestError(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        message: What is wrong with it.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    answer: Answer

    def do_GET(self) -> None:
        """``/ping``: the model is there, or the server would not run."""
        found = self.path == "/ping"
        self._send(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, "", "text/plain")

    def do_POST(self) -> None:
        """``/invocations``."""
        try:
            body = self._body()
            kind, accept = (self.headers.get(name, "") for name in ("Content-Type", "Accept"))
            self._send(HTTPStatus.OK, *self.answer(body, kind, accept))
        except RequestError as error:
            self._send(error.status, f"{error}\n", "text/plain")

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length) > MAXIMUM_BYTES:
            # What is not read would be taken for the next request.
            self.close_connection = True
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAXIMUM_BYTES} bytes"
            )
        body = self.rfile.read(int(length))
        if self.path != "/invocations":
            raise RequestError(HTTPStatus.NOT_FOUND, "there is /invocations")
        return body

    def _send(self, status: HTTPStatus, text: str, kind: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs what was refused; the rest SageMaker counts itself."""
        del format
        if len(args) > 1 and str(args[1]) >= "400":
            print(f"{args[0]} {args[1]}", file=sys.stderr, flush=True)


class Server(ThreadingHTTPServer):
    """A server for one model, a thread for each connection.

    Args:
        answer: What answers a request.
        port: What it listens on.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Answer, port: int) -> None:
        handler = type("ModelHandler", (Handler,), {"answer": staticmethod(answer)})
        super().__init__(("", port), handler)


def give_up_root() -> None:
    """Goes on as nobody; where the system does not let it, says so and goes on as it is."""
    if os.geteuid() != 0:
        return
    try:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    except OSError as error:
        print(f"the server stays root: {error}", file=sys.stderr, flush=True)


def serve(answer: Answer, port: int) -> int:
    """Answers until it is told to end; 0.

    Args:
        answer: What answers a request; whatever needs root it has read.
        port: What it listens on.
    """
    with Server(answer, port) as server:
        give_up_root()

        def stop(number: int, frame: object) -> None:
            del number, frame
            # shutdown() waits for the loop that this handler interrupts.
            threading.Thread(target=server.shutdown, daemon=True).start()

        signal.signal(signal.SIGTERM, stop)
        server.serve_forever()
    return 0
