"""What monitoring sees of prompts and completions: columns of numbers, in no language.

Model Monitor's analyzer calls ``preprocess_handler`` with each request that the endpoint captured.
The same file is in the build repository, whose evaluation makes the baseline by it, and in the
deployment repository, which gives it to the analyzer: change both. It needs Python's standard
library alone, from 3.7 on. Source: SageMaker developer guide, "Preprocessing and Postprocessing".

Nobody labels completions as they come. What can be noticed is that prompts are longer, or in other
scripts, than those that the model was measured on; and that it answers nothing, on and on, or the
same again and again. A request of several prompts is one row, of their means.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def describe(text: str) -> dict[str, float]:
    """Characters and words of a text, and the share of its characters that are not ASCII."""
    other = sum(not character.isascii() for character in text)
    return {
        "characters": float(len(text)),
        "words": float(len(text.split())),
        "not_ascii": other / len(text) if text else 0.0,
    }


def repeated(text: str) -> float:
    """Share of a text's words that stood in it before: 0 is no word twice, 1 nearly one alone."""
    words = text.split()
    return 1 - len(set(words)) / len(words) if words else 0.0


def columns(prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
    """Columns of a request.

    Args:
        prompts: What was asked; at least one.
        completions: What the model made of each.
    """
    rows = [
        {
            **{f"prompt_{name}": value for name, value in describe(prompt).items()},
            **{f"completion_{name}": value for name, value in describe(completion).items()},
            "completion_empty": float(not completion.strip()),
            "completion_repeated": repeated(completion),
        }
        for prompt, completion in zip(prompts, completions)  # noqa: B905 - Python 3.9 as well
    ]
    return {name: sum(item[name] for item in rows) / len(rows) for name in sorted(rows[0])}


def preprocess_handler(inference_record: Any) -> dict[str, float]:
    """Columns of a captured request.

    Args:
        inference_record: As the analyzer gives it.
    """
    asked = json.loads(inference_record.endpoint_input.data)["inputs"]
    answered = json.loads(inference_record.endpoint_output.data)
    prompts = asked if isinstance(asked, list) else [asked]
    return columns(prompts, [item["generated_text"] for item in answered])
