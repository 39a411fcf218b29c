"""What callers rely on beside a number: labels, scores, and several texts at once.

The texts are those of the sample data; put yours here when you train on yours.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import Endpoint

LABELS = {"negative", "neutral", "positive"}
CLEAR = {
    "today the soup was great for us": "positive",
    "the room was not awful at the end": "positive",
    "yesterday the service seemed terrible": "negative",
    "the music was not good": "negative",
    "the seat has four buttons": "neutral",
}


def ask(endpoint: Endpoint, body: Any) -> list[dict[str, Any]]:
    text = endpoint.invoke(json.dumps(body).encode(), "application/json", "application/json")
    return json.loads(text)["predictions"]


@pytest.mark.parametrize("text", CLEAR)
def test_a_clear_text_has_its_label(endpoint: Endpoint, text: str) -> None:
    [answer] = ask(endpoint, {"text": text})
    assert answer["label"] == CLEAR[text]
    assert set(answer["scores"]) == LABELS
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-4)
    assert answer["label"] == max(answer["scores"], key=answer["scores"].__getitem__)


def test_several_texts_are_answered_in_their_order(endpoint: Endpoint) -> None:
    answers = ask(endpoint, {"texts": list(CLEAR)})
    assert [answer["label"] for answer in answers] == list(CLEAR.values())
