"""The emulator's process: it serves until it is told to end."""

from __future__ import annotations

import datetime as dt
import gc
import json
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from werkzeug.serving import BaseWSGIServer, make_server

from localcloud.authorization import Evaluator, installation
from localcloud.emulator import motoserver
from localcloud.emulator.daemon import LOG_NAME
from localcloud.emulator.identity import administrator_key
from localcloud.emulator.server import Emulator, Settings
from localcloud.paths import Paths
from localcloud.whole_files import write_whole

HOST = "127.0.0.1"

WARMED = ("ec2", "iam", "kms", "s3", "sagemaker", "ssm", "logs", "events", "sns", "ecr", "glue")


class _Handler(motoserver.RequestHandler):
    """Keeps connections open, and writes no access log: the call log holds more."""

    protocol_version = "HTTP/1.1"
    # Headers and body go out in two writes, which Nagle's algorithm would set 40 ms apart.
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Writes nothing."""


def _server(preferred: int) -> BaseWSGIServer:
    def unset(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise RuntimeError(f"Called before the emulator was made: {environ} {start_response}")

    for port in (preferred, 0):
        try:
            return make_server(HOST, port, unset, threaded=True, request_handler=_Handler)
        except (OSError, SystemExit):
            if port == 0:
                raise
    raise AssertionError("unreachable")


def run(text: str) -> None:
    """Runs the emulator until SIGTERM.

    Args:
        text: JSON of its settings, from :mod:`localcloud.emulator.daemon`.
    """
    given = json.loads(text)
    # moto and AWS's models stay: garbage is looked for among them less often.
    gc.set_threshold(100_000, 20, 20)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    # moto warns about errors that botocore's models do not list, which says nothing to anybody.
    warnings.filterwarnings("ignore", message="Exception.*does not match an error shape")
    paths = Paths(Path(given["root"]))
    server = _server(int(given["port"]))
    endpoint = f"http://{HOST}:{server.port}"
    os.environ["MOTO_PORT"] = str(server.port)
    settings = Settings(
        instance=given["instance"],
        accounts=given["accounts"],
        organization_id=given["organization"],
        region=given["region"],
        endpoint=endpoint,
    )

    def stop(number: int, frame: object) -> None:
        del number, frame
        # The main thread serves; shutdown waits for it, so it runs in another.
        threading.Thread(target=server.shutdown).start()

    with Evaluator.start(paths.local) as evaluator:
        emulator = Emulator(settings, evaluator, installation.data_folder(paths.local))
        server.app = emulator
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=motoserver.warm, args=(WARMED,), daemon=True).start()
        _describe(given, endpoint, emulator, paths)
        server.serve_forever()
        emulator.compute.close()
    server.server_close()
    sys.stdout.flush()
    # Everything goes with the process: looking for cycles in it first takes a second or two.
    gc.freeze()


def _describe(given: dict[str, Any], endpoint: str, emulator: Emulator, paths: Paths) -> None:
    """Writes instance.json, which only the user can read: it holds keys, if made-up ones."""
    administrators: dict[str, dict[str, str]] = {}
    for account in sorted(emulator.accounts):
        key, secret = administrator_key(account)
        administrators[account] = {"access_key_id": key, "secret_access_key": secret}
    description = {
        "instance": given["instance"],
        "pid": os.getpid(),
        "endpoint": endpoint,
        "region": given["region"],
        "organization": given["organization"],
        "accounts": given["accounts"],
        "administrators": administrators,
        "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "log": str(paths.instance(given["instance"]) / LOG_NAME),
    }
    write_whole(paths.instance_file, json.dumps(description, indent=2) + "\n", 0o600)
