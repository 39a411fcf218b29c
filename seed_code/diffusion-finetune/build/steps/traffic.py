"""What monitoring sees of a request for pictures: columns of numbers of its prompt, in no language.

Model Monitor's analyzer calls ``preprocess_handler`` with each request that the endpoint captured.
The same file is in the build repository, whose evaluation makes the baseline by it, and in the
deployment repository, which gives it to the analyzer: change both. It needs Python's standard
library alone, from 3.7 on. Source: SageMaker developer guide, "Preprocessing and Postprocessing".

Nobody says of pictures as they come whether they are good. What can be noticed is that prompts are
longer, more repetitive or in other scripts than those that were expected: ``evaluation.prompts`` of
the build's ``config.yaml``.
"""

from __future__ import annotations

import json
from typing import Any


def columns(prompt: str) -> dict[str, float]:
    """Columns of a request.

    Args:
        prompt: What was asked for.
    """
    words = prompt.split()
    other = sum(not character.isascii() for character in prompt)
    return {
        "prompt_characters": float(len(prompt)),
        "prompt_not_ascii": other / len(prompt) if prompt else 0.0,
        "prompt_repeated": 1 - len(set(words)) / len(words) if words else 0.0,
        "prompt_words": float(len(words)),
    }


def preprocess_handler(inference_record: Any) -> dict[str, float]:
    """Columns of a captured request; its pictures are not looked at.

    Args:
        inference_record: As the analyzer gives it.
    """
    return columns(json.loads(inference_record.endpoint_input.data)["inputs"])
