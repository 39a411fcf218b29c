"""Runs one invocation of a Python function, in a process of its own: the runtime's part.

Reads the event from standard input, calls the handler, and writes its result, or the error as
Lambda describes it, into the file that is its argument. It uses nothing but the standard library.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any


class Context:
    """What a handler can ask of its invocation. Source: Lambda developer guide, Python context."""

    def __init__(self) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.invoked_function_arn = os.environ.pop("LOCALCLOUD_FUNCTION_ARN")
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = os.environ.pop("LOCALCLOUD_REQUEST_ID")
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._end = time.monotonic() + float(os.environ.pop("LOCALCLOUD_SECONDS"))

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended."""
        return max(0, int((self._end - time.monotonic()) * 1000))


def main(answer: Path) -> None:
    """Runs the handler that the environment names.

    Args:
        answer: Where the result goes.
    """
    # A function's start is mostly AWS's models, which stay: garbage is looked for among them less.
    gc.set_threshold(100_000, 20, 20)
    context = Context()
    given: dict[str, Any]
    try:
        event = json.loads(sys.stdin.buffer.read() or b"null")
        module, _, name = os.environ["_HANDLER"].rpartition(".")
        sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
        handler = getattr(importlib.import_module(module.replace("/", ".")), name)
        # What cannot be written as JSON is an error of the function.
        given = {"result": json.loads(json.dumps(handler(event, context)))}
    except Exception as error:
        traceback.print_exc()
        given = {
            "errorType": type(error).__name__,
            "errorMessage": str(error),
            "stackTrace": traceback.format_tb(error.__traceback__),
        }
    sys.stdout.flush()
    aside = answer.with_suffix(".part")
    aside.write_text(json.dumps(given))
    aside.replace(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
