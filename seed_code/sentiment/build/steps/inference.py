"""What the endpoint does with a request: reads texts, classifies, answers.

Runs inside SageMaker's scikit-learn image. Takes ``application/json``, ``{"text": "..."}`` or
``{"texts": ["...", ...]}``, and ``application/jsonlines``, a line ``{"text": "..."}`` for each.
Answers ``application/json`` or ``application/jsonlines`` with label, its number and all scores, or
``text/csv``: the label's number, one a line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from classifier import FILES, LABELS, Classifier

JSON, JSON_LINES, CSV = "application/json", "application/jsonlines", "text/csv"
MOST_TEXTS = 1000
"""Texts of one request."""
LONGEST = 2000
"""Characters of a text."""


def model_fn(model_dir: str) -> Classifier:
    """The model of an archive."""
    files = [Path(model_dir) / name for name in FILES]
    return Classifier.read({file.name: file.read_bytes() for file in files if file.is_file()})


def _texts(found: list[Any]) -> list[str]:
    if not found or len(found) > MOST_TEXTS:
        raise ValueError(f"{len(found)} texts: expected 1 to {MOST_TEXTS}.")
    for number, text in enumerate(found, 1):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"Text {number} is {str(text)[:40]!r}: expected words.")
        if len(text) > LONGEST:
            raise ValueError(f"Text {number} has {len(text)} characters, at most {LONGEST}.")
    return found


def _text(item: Any) -> Any:
    if not isinstance(item, dict) or set(item) != {"text"}:
        raise ValueError(f'Expected {{"text": "..."}}, got {str(item)[:60]}')
    return item["text"]


def input_fn(data: str | bytes, content_type: str) -> list[str]:
    """The texts of a request.

    Raises:
        ValueError: It is of another content type, or not what its content type says.
    """
    content = data.decode("utf-8") if isinstance(data, bytes) else data
    kind = content_type.split(";")[0].strip().lower()
    if kind == JSON_LINES:
        lines = [line for line in content.splitlines() if line.strip()]
        return _texts([_text(json.loads(line)) for line in lines])
    if kind != JSON:
        raise ValueError(f"Content type {content_type}: expected {JSON} or {JSON_LINES}.")
    given = json.loads(content)
    if isinstance(given, dict) and set(given) == {"texts"} and isinstance(given["texts"], list):
        return _texts(given["texts"])
    return _texts([_text(given)])


def predict_fn(texts: list[str], model: Classifier) -> list[dict[str, Any]]:
    """Label and scores of each text."""
    answers: list[dict[str, Any]] = []
    for row in model.scores(texts):
        number = int(row.argmax())
        scores = {name: round(float(score), 6) for name, score in zip(LABELS, row)}  # noqa: B905
        answers.append({"label": LABELS[number], "class": number, "scores": scores})
    return answers


def output_fn(answers: list[dict[str, Any]], accept: str) -> tuple[str, str]:
    """The body of an answer, and its content type.

    Raises:
        ValueError: Another content type is wanted.
    """
    if accept in (JSON, "*/*", ""):
        return json.dumps({"predictions": answers}), JSON
    if accept == JSON_LINES:
        return "".join(json.dumps(answer) + "\n" for answer in answers), JSON_LINES
    if accept == CSV:
        return "\n".join(str(answer["class"]) for answer in answers), CSV
    raise ValueError(f"Accept {accept}: expected {JSON}, {JSON_LINES} or {CSV}.")
