"""Serves the model: a request has one CSV row of features for each prediction.

The answer has one number a line.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from pathlib import Path

import numpy as np

from program.model import Model, ModelError, load
from program.server import Answer, RequestError, serve

CSV = "text/csv"


def predictions(model: Model, body: bytes) -> str:
    """The answer to a body of CSV rows.

    Raises:
        RequestError: It is not rows of as many finite numbers as the model takes.
    """
    try:
        lines = [line for line in body.decode("utf-8").splitlines() if line.strip()]
        rows = [[float(value) for value in line.split(",")] for line in lines]
    except ValueError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"expected rows of numbers: {error}") from error
    wrong = [number for number, row in enumerate(rows, 1) if len(row) != model.features]
    if wrong or not rows:
        where = f"; row {wrong[0]} has {len(rows[wrong[0] - 1])}" if wrong else "; there is none"
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"expected {model.features} numbers a row{where}"
        )
    try:
        values = model.predict(np.array(rows, dtype=np.float64))
    except ModelError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from error
    if not np.isfinite(values).all():
        raise RequestError(HTTPStatus.BAD_REQUEST, "the values are too large to predict on")
    return "".join(f"{value:.6f}\n" for value in values)


def answering(model: Model) -> Answer:
    """What answers requests by a model."""

    def answer(body: bytes, kind: str, accept: str) -> tuple[str, str]:
        del accept  # There is one form of answers.
        given = (kind or CSV).partition(";")[0].strip().lower()
        if given != CSV:
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected {CSV}, got {given}")
        return predictions(model, body), CSV

    return answer


def main(folder: Path, port: int) -> int:
    """Serves the model of a folder until it is told to end; 1 when there is no model to serve.

    Args:
        folder: Of the model.
        port: What it listens on.
    """
    try:
        model = load(folder)
    except ModelError as error:
        print(f"The model was refused: {error}", file=sys.stderr)
        return 1
    return serve(answering(model), port)
