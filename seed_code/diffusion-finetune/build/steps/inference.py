"""Serves the model: what SageMaker's Hugging Face image calls.

A request is JSON, ``{"inputs": prompt, "parameters": {…}}``. The answer is ``{"images": […]}`` with
PNG files in base64, or, where ``image/png`` is accepted, one PNG file. Parameters: ``num_images``
(1), ``num_inference_steps``, ``guidance_scale``, ``negative_prompt`` and ``seed``, with which the
same request gives the same pictures. Everything else is refused with a reason; the image answers
400 then. Source: SageMaker Hugging Face Inference Toolkit, user-defined functions.
"""

# diffusers loads its classes when they are asked for, which its types do not tell.
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import base64
import io
import json
import os
import threading
from typing import Any, cast

# Set before the libraries are loaded: an isolated container has nobody to ask.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import StableDiffusionPipeline

CHARACTERS = 2000
"""Longest prompt."""
STEPS = 30
_JSON, _PNG = "application/json", "image/png"
_ONE_AT_A_TIME = threading.Lock()
"""A pipeline keeps the state of a request in its scheduler and its tokenizer."""
_NUMBERS = {
    "num_images": (int, 1, 4),
    "num_inference_steps": (int, 1, 100),
    "guidance_scale": ((int, float), 0, 50),
    "seed": (int, 0, 2**31),
}
"""Name -> type, least and most value: an answer must come within an endpoint's minute."""


def model_fn(model_dir: str) -> Any:
    """The pipeline, from safetensors."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline: Any = StableDiffusionPipeline.from_pretrained(
        model_dir,
        local_files_only=True,
        use_safetensors=True,
        torch_dtype=torch.float16 if device.type == "cuda" else torch.float32,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def input_fn(data: str | bytes, content_type: str) -> dict[str, Any]:
    """Prompt and parameters of a request.

    Raises:
        ValueError: It is none; the message says what was expected.
    """
    if content_type != _JSON:
        raise ValueError(f"The content type {content_type} is not taken, only {_JSON}.")
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ValueError(f"The request is no JSON: {error}") from error
    if not isinstance(content, dict) or not set(content) <= {"inputs", "parameters"}:
        raise ValueError('Expected {"inputs": prompt, "parameters": {…}}.')
    request = cast("dict[str, Any]", content)
    parameters = dict(request.get("parameters") or {})
    for name in ("inputs", "negative_prompt"):
        text = request.get(name, "") if name == "inputs" else parameters.pop(name, None)
        if text is None:
            continue
        if not isinstance(text, str) or not 0 < len(text.strip()) <= CHARACTERS:
            raise ValueError(f"{name} is no text of 1 to {CHARACTERS} characters.")
        request[name] = text
    for name, value in parameters.items():
        kind, least, most = _NUMBERS.get(name, (None, 0, 0))
        if kind is None:
            known = ", ".join([*_NUMBERS, "negative_prompt"])
            raise ValueError(f"There is no parameter {name}, only {known}.")
        if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{name} is {value!r:.80}, expected a number from {least} to {most}.")
    return {
        "prompt": request["inputs"],
        "negative_prompt": request.get("negative_prompt"),
        "parameters": parameters,
    }


def predict_fn(data: dict[str, Any], model: Any) -> list[Any]:
    """Pictures of a prompt."""
    given = data["parameters"]
    chance = None
    if "seed" in given:
        chance = torch.Generator().manual_seed(given["seed"])
    with _ONE_AT_A_TIME:
        return model(
            data["prompt"],
            negative_prompt=data["negative_prompt"],
            num_images_per_prompt=given.get("num_images", 1),
            num_inference_steps=given.get("num_inference_steps", STEPS),
            guidance_scale=given.get("guidance_scale", 7.5),
            generator=chance,
        ).images


def output_fn(prediction: list[Any], accept: str) -> str | bytes:
    """The answer.

    Raises:
        ValueError: Another content type is asked for, or one picture where there are several.
    """
    files: list[bytes] = []
    for picture in prediction:
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        files.append(buffer.getvalue())
    if accept == _JSON:
        return json.dumps({"images": [base64.b64encode(file).decode() for file in files]})
    if accept != _PNG:
        raise ValueError(f"The answer cannot be {accept}, only {_JSON} or {_PNG}.")
    if len(files) != 1:
        raise ValueError(f"{_PNG} is one picture: ask for {_JSON}, or for one.")
    return files[0]
