from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from program import model, server, serving

IMAGE = Path(__file__).parents[2] / "image"
MODEL = model.Model(
    powers=np.array([[1.0, 0.0], [0.0, 2.0]]),
    means=np.zeros(2),
    scales=np.ones(2),
    weights=np.array([2.0, 1.0]),
    intercept=1.0,
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with server.Server(serving.answering(MODEL), 0) as there:
        threading.Thread(target=there.serve_forever, daemon=True).start()
        yield there.server_port
        there.shutdown()


def ask(
    port: int, method: str, path: str, body: bytes | None = None, kind: str = "text/csv"
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body=body, headers={"Content-Type": kind} if body else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_ping_and_one_number_for_each_row(port: int) -> None:
    assert ask(port, "GET", "/ping") == (200, "")
    assert ask(port, "POST", "/invocations", b"1,2\n0.5,-1\n") == (200, "7.000000\n3.000000\n")


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "told"),
    [
        ("/invocations", b"1,2,3", "text/csv", 400, "expected 2 numbers a row; row 1 has 3"),
        ("/invocations", b"1,2\n\n3\n", "text/csv", 400, "row 2 has 1"),
        ("/invocations", b"\n", "text/csv", 400, "there is none"),
        ("/invocations", b"a,b", "text/csv", 400, "rows of numbers"),
        ("/invocations", b"\xff\xfe", "text/csv", 400, "rows of numbers"),
        ("/invocations", b"nan,1", "text/csv", 400, "finite"),
        ("/invocations", b"1,1e300", "text/csv", 400, "too large to predict on"),
        ("/invocations", b"1,2", "image/png", 415, "expected text/csv"),
        ("/elsewhere", b"1,2", "text/csv", 404, "there is /invocations"),
    ],
)
def test_what_is_refused_and_why(
    port: int, path: str, body: bytes, kind: str, status: int, told: str
) -> None:
    code, text = ask(port, "POST", path, body, kind)
    assert code == status
    assert told in text


def test_too_large_a_body_is_refused_unread(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        length = server.MAXIMUM_BYTES + 1
        connection.sendall(
            f"POST /invocations HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"Connection: close" in answer


def test_a_connection_is_used_again_after_a_refusal(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for body, status in ((b"x", 400), (b"1,2", 200)):
        connection.request("POST", "/invocations", body=body, headers={"Content-Type": "text/csv"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "program", "serve", "--folder", str(folder)],
        cwd=IMAGE,
        env={**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_serves_until_sagemaker_ends_it(tmp_path: Path) -> None:
    model.save(MODEL, tmp_path / "model")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(tmp_path, port)
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                assert ask(port, "GET", "/ping")[0] == 200
                break
            except OSError:
                time.sleep(0.05)
        status = Path(f"/proc/{process.pid}/status")
        if os.geteuid() == 0 and status.is_file():
            uids = next(line for line in status.read_text().splitlines() if line.startswith("Uid"))
            assert uids.split()[1:] == ["65534"] * 4
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_without_a_model_there_is_no_server(tmp_path: Path) -> None:
    process = start(tmp_path, 0)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "model.json does not exist" in told
