"""What monitoring sees of a request and its answer: columns, where texts are none.

Model Monitor's analyzer calls ``preprocess_handler`` with each request that the endpoint captured.
The same file is in the build repository, whose evaluation makes the baseline by it, and in the
deployment repository, which gives it to the analyzer: change both. It needs Python's standard
library alone, from 3.7 on. Source: SageMaker developer guide, "Preprocessing and Postprocessing".

A request of several texts is one row: the means of its texts in whole numbers, and the label that
they get most often.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


def describe(text: str) -> dict[str, int]:
    """What is known of a text beside its words: how many characters and words it has."""
    return {"characters": len(text), "words": len(text.split())}


def row(request: str, answer: str) -> dict[str, int]:
    """Columns of a request.

    Args:
        request: Its body: JSON or JSON Lines, as ``steps/inference.py`` of the build has them.
        answer: The answer's body: JSON, JSON Lines or CSV.
    """
    texts: list[str] = []
    for item in _lines(request):
        texts += item["texts"] if "texts" in item else [item["text"]]
    about = [describe(text) for text in texts]
    columns = {
        name: round(sum(item[name] for item in about) / len(about)) for name in sorted(about[0])
    }
    classes: list[int] = []
    for item in _lines(answer):
        if isinstance(item, dict):
            classes += [one["class"] for one in item.get("predictions", [item])]
        else:
            classes.append(int(item))
    return {"prediction": Counter(classes).most_common(1)[0][0], **columns}


def _lines(body: str) -> list[Any]:
    return [json.loads(line) for line in body.splitlines() if line.strip()]


def preprocess_handler(inference_record: Any) -> dict[str, int]:
    """Columns of a captured request.

    Args:
        inference_record: As the analyzer gives it.
    """
    return row(inference_record.endpoint_input.data, inference_record.endpoint_output.data)
