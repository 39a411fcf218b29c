"""Data capture: what endpoints were asked and answered, written to S3."""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import queue
import random
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from localcloud.emulator.extension import Params
from localcloud.emulator.jobs.models import Answer
from localcloud.emulator.jobs.transfer import Transfer, TransferError

_log = logging.getLogger(__name__)
_BATCH = 1000


class Capture:
    """The data capture of one variant.

    A thread writes what has come together, one file for all of it; on AWS a file holds up to some
    minutes. Source: SageMaker developer guide, "Capture data from real-time endpoint".

    Args:
        endpoint: The endpoint's name.
        variant: The variant's name.
        config: ``DataCaptureConfig`` of the endpoint configuration.
        transfer: Writes as the model's execution role.
    """

    def __init__(self, endpoint: str, variant: str, config: Params, transfer: Transfer) -> None:
        self._base = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant}"
        self._config = config
        self._transfer = transfer
        self._modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._write, daemon=True, name="capture")
        self._thread.start()

    def record(
        self, body: bytes, headers: Mapping[str, str], answer: Answer, inference_id: str | None
    ) -> None:
        """Keeps one invocation, as often as the sampling percentage says."""
        if random.random() * 100 >= self._config["InitialSamplingPercentage"]:  # noqa: S311
            return
        data: dict[str, Any] = {}
        sides = {
            "endpointInput": ("INPUT", body, headers.get("Content-Type", "")),
            "endpointOutput": ("OUTPUT", answer.body, answer.content_type),
        }
        for name, (mode, content, kind) in sides.items():
            if {mode.capitalize(), "InputAndOutput"} & self._modes:
                text, encoding = self._encoded(content, kind)
                data[name] = {
                    "observedContentType": kind,
                    "mode": mode,
                    "data": text,
                    "encoding": encoding,
                }
        moment = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": moment}
        if inference_id:
            metadata["inferenceId"] = inference_id
        attributes = headers.get("X-Amzn-SageMaker-Custom-Attributes")
        given = {**metadata, "customAttributes": [attributes]} if attributes else metadata
        line = {"captureData": data, "eventMetadata": given, "eventVersion": "0"}
        self._lines.put(json.dumps(line))

    def _encoded(self, content: bytes, kind: str) -> tuple[str, str]:
        plain = kind.split(";")[0].strip().lower()
        header = self._config.get("CaptureContentTypeHeader") or {}
        texts = {
            "CSV": header.get("CsvContentTypes") or ["text/csv"],
            "JSON": header.get("JsonContentTypes") or ["application/json"],
        }
        for encoding, kinds in texts.items():
            if plain in kinds:
                return content.decode("utf-8", "replace"), encoding
        return base64.b64encode(content).decode(), "BASE64"

    def _write(self) -> None:
        while True:
            lines = [self._lines.get()]
            while lines[-1] is not None and len(lines) < _BATCH and not self._lines.empty():
                lines.append(self._lines.get())
            texts = [line for line in lines if line is not None]
            if texts:
                moment = dt.datetime.now(dt.UTC)
                name = f"{moment:%Y/%m/%d/%H/%M-%S}-{moment.microsecond // 1000:03}-{uuid.uuid4()}"
                body = "".join(f"{text}\n" for text in texts).encode()
                try:
                    self._transfer.put(
                        f"{self._base}/{name}.jsonl", body, self._config.get("KmsKeyId")
                    )
                except TransferError as error:
                    self.failure = str(error)
                    _log.warning("Data capture of %s stopped: %s", self._base, error)
            if lines[-1] is None:
                return

    def end(self) -> None:
        """Writes what is left, and ends."""
        self._lines.put(None)
        self._thread.join(5)
