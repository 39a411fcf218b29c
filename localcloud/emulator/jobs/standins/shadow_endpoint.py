"""An endpoint of Clarify's own for a model, there as long as it is asked, by the job's credentials.

AWS's Clarify makes one so that what it asks is neither live traffic nor captured. The seed
environment has no SDK: requests are signed here. Sources: SageMaker developer guide, "Analysis
Configuration Files" (``predictor``); AWS General Reference, "Signature Version 4".
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import importlib
import json
import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

_BYTES = 5 * 1024**2
"""Of one request; an endpoint takes 6 MB."""
_SECONDS = 600.0
_CSV, _JSON = "text/csv", "application/json"


class AskError(Exception):
    """AWS refused, or the endpoint did not come up; the message says why."""


def _sign(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(
    given: Mapping[str, str],
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    moment: dt.datetime,
) -> dict[str, str]:
    """A POST request's headers, with its signature for SageMaker.

    Args:
        given: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN`` where the key
            has one, and ``AWS_REGION``.
        url: Where it goes, without a query.
        headers: Its own.
        body: What is sent.
        moment: The time, in UTC.
    """
    parts, day = urlsplit(url), f"{moment:%Y%m%d}"
    stamp, scope = f"{day}T{moment:%H%M%S}Z", f"{day}/{given['AWS_REGION']}/sagemaker/aws4_request"
    whole = {
        **{name.lower(): value for name, value in headers.items()},
        "host": parts.netloc,
        "x-amz-date": stamp,
    }
    if given.get("AWS_SESSION_TOKEN"):
        whole["x-amz-security-token"] = given["AWS_SESSION_TOKEN"]
    names = ";".join(sorted(whole))
    canonical = "\n".join(
        [
            "POST",
            quote(parts.path or "/"),
            "",
            *(f"{name}:{whole[name].strip()}" for name in sorted(whole)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{given['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = _sign(key, part)
    signature = _sign(key, "\n".join(["AWS4-HMAC-SHA256", stamp, scope, digest])).hex()
    return {
        **whole,
        "authorization": (
            f"AWS4-HMAC-SHA256 Credential={given['AWS_ACCESS_KEY_ID']}/{scope},"
            f" SignedHeaders={names}, Signature={signature}"
        ),
    }


def _post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint or not os.environ.get("AWS_ACCESS_KEY_ID"):
        raise AskError("the job has no credentials to ask a model: it runs with network isolation")
    url = f"{endpoint.rstrip('/')}{path}"
    whole = signed(os.environ, url, headers, body, dt.datetime.now(dt.UTC))
    # The client adds the host itself.
    whole.pop("host")
    # The address is the emulator's own, from the job's environment.
    request = urllib.request.Request(url, data=body, headers=whole, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise AskError(error.read().decode("utf-8", "replace")[:600]) from error
    except OSError as error:
        raise AskError(f"{url} cannot be reached: {error}") from error


def _call(operation: str, **params: Any) -> Any:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"SageMaker.{operation}",
    }
    return json.loads(_post("/", headers, json.dumps(params).encode()) or b"{}")


class Model:
    """A model that answers CSV with CSV, one line each, or JSON with JSON.

    Args:
        endpoint: The endpoint's name.
        predictor: As :func:`shadow` takes it.
        place: Of the number in an answer's line, or of all numbers in an answer as JMESPath.
    """

    def __init__(self, endpoint: str, predictor: Mapping[str, Any], place: int | str) -> None:
        self._endpoint, self._place = endpoint, place
        self._kind = str(predictor.get("content_type", _CSV))
        self._template = str(predictor.get("content_template", ""))
        if {self._kind, predictor.get("accept_type", self._kind)} not in ({_CSV}, {_JSON}):
            raise AskError(f"content_type and accept_type are both {_CSV} or both {_JSON} here")
        if self._kind == _JSON and not ("$records" in self._template and isinstance(place, str)):
            raise AskError("JSON needs content_template with $records, and a label by JMESPath")
        if self._kind == _CSV and not isinstance(place, int):
            raise AskError(f"the label {place} is no place in a line of CSV")

    def ask(self, records: list[str]) -> list[float]:
        """Its answers to lines or to values of JSON, in several requests where they are long.

        Raises:
            AskError: It does not answer as said.
        """
        told: list[float] = []
        while records[len(told) :]:
            size, taken = 0, len(told)
            while taken < len(records) and (size := size + len(records[taken]) + 1) < _BYTES:
                taken += 1
            told += self._answers(records[len(told) : max(taken, len(told) + 1)])
        return told

    def _answers(self, records: list[str]) -> list[float]:
        body = "\n".join(records)
        if self._kind == _JSON:
            body = self._template.replace("$records", f"[{', '.join(records)}]")
        answer = _post(
            f"/endpoints/{self._endpoint}/invocations",
            {"Content-Type": self._kind, "Accept": self._kind},
            body.encode(),
        ).decode("utf-8", "replace")
        try:
            told = self._numbers(answer, len(records))
        except (ValueError, IndexError, TypeError) as error:
            raise AskError(f"the model's answer is no number a record: {answer[:200]!r}") from error
        if len(told) != len(records):
            raise AskError(f"the model gave {len(told)} answers to {len(records)} rows")
        return told

    def _numbers(self, answer: str, asked: int) -> list[float]:
        if isinstance(self._place, str):
            jmespath: Any = importlib.import_module("jmespath")
            return [float(value) for value in jmespath.search(self._place, json.loads(answer))]
        rows = [row for row in answer.splitlines() if row]
        # Models that answer one number a record may put all of them into one line.
        if len(rows) == 1 and asked > 1:
            rows = rows[0].split(",")
        return [float(row.split(",")[self._place]) for row in rows]


@contextlib.contextmanager
def shadow(predictor: Mapping[str, Any], place: int | str) -> Generator[Model]:
    """A model behind an endpoint that is gone afterwards.

    Args:
        predictor: ``predictor`` of the analysis configuration: ``model_name``, ``instance_type``,
            ``initial_instance_count`` and ``endpoint_name_prefix``; ``content_type``,
            ``accept_type`` and ``content_template`` where it is not CSV.
        place: As :class:`Model` takes it.

    Raises:
        AskError: There is no such model, or it does not serve.
    """
    name = f"{predictor.get('endpoint_name_prefix', 'sm-clarify')}-{uuid.uuid4().hex[:8]}"
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": predictor["model_name"],
        "InstanceType": predictor["instance_type"],
        "InitialInstanceCount": int(predictor.get("initial_instance_count", 1)),
    }
    _call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant])
    try:
        _call("CreateEndpoint", EndpointName=name, EndpointConfigName=name)
        try:
            _wait(name)
            yield Model(name, predictor, place)
        finally:
            _call("DeleteEndpoint", EndpointName=name)
    finally:
        _call("DeleteEndpointConfig", EndpointConfigName=name)


def _wait(name: str) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        told = _call("DescribeEndpoint", EndpointName=name)
        if told["EndpointStatus"] == "InService":
            return
        if told["EndpointStatus"] == "Failed" or time.monotonic() > end:
            raise AskError(f"the endpoint {name} does not serve: {told.get('FailureReason')}")
        time.sleep(0.2)
