"""Serves the model: what SageMaker's Hugging Face image calls.

A request is JSON, ``{"inputs": prompt, "parameters": {…}}`` with one prompt or a list of them; the
answer is a list of ``{"generated_text": …}``, in the same order. Parameters: ``max_new_tokens``,
and for texts that differ from time to time ``temperature`` (above 0), ``top_p`` and ``seed``.
Without them the likeliest token is always taken. Everything else is refused with a reason; the
image answers 400 then. Source: SageMaker Hugging Face Inference Toolkit, user-defined functions.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

# Set before the libraries are loaded: an isolated container has nobody to ask.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = 8
"""Prompts of a request."""
NEW_TOKENS = 512
"""Most new tokens: answers must come within the minute that an endpoint has for one."""
DEFAULT_NEW_TOKENS = 64
_JSON = "application/json"
_PARAMETERS = {
    "max_new_tokens": (int, 1, NEW_TOKENS),
    "temperature": ((int, float), 0, 2),
    "top_p": ((int, float), 0.01, 1),
    "seed": (int, 0, 2**31),
}
"""Name -> type, least and most value."""


def model_fn(model_dir: str) -> tuple[Any, Any]:
    """The model and its tokenizer, from safetensors; no code that comes with them is run."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(
        model_dir, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=kind
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(
        model_dir, local_files_only=True, trust_remote_code=False
    )
    print(f"{Path(model_dir).name}: {type(model).__name__} on {device}")
    return model.to(device).eval(), tokenizer


def input_fn(data: str | bytes, content_type: str) -> dict[str, Any]:
    """Prompts and parameters of a request.

    Raises:
        ValueError: It is none; the message says what was expected.
    """
    if content_type != _JSON:
        raise ValueError(f"The content type {content_type} is not taken, only {_JSON}.")
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ValueError(f"The request is no JSON: {error}") from error
    if not isinstance(content, dict) or "inputs" not in content:
        raise ValueError('Expected {"inputs": prompt, "parameters": {…}}.')
    request = cast("dict[str, Any]", content)
    unknown = sorted(set(request) - {"inputs", "parameters"})
    if unknown:
        raise ValueError(f"The request has {', '.join(unknown)}, expected inputs and parameters.")
    prompts = request["inputs"] if isinstance(request["inputs"], list) else [request["inputs"]]
    if not 1 <= len(prompts) <= PROMPTS:
        raise ValueError(f"inputs has {len(prompts)} prompts, expected 1 to {PROMPTS}.")
    for prompt in prompts:
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f"{prompt!r:.80} is no prompt: expected a text that is not empty.")
    parameters = request.get("parameters") or {}
    for name, value in parameters.items():
        kind, least, most = _PARAMETERS.get(name, (None, 0, 0))
        if kind is None:
            raise ValueError(f"There is no parameter {name}, only {', '.join(_PARAMETERS)}.")
        if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{name} is {value!r:.80}, expected a number from {least} to {most}.")
    return {"prompts": prompts, "parameters": parameters}


def predict_fn(data: dict[str, Any], model: tuple[Any, Any]) -> list[dict[str, str]]:
    """What the model makes of each prompt.

    Raises:
        ValueError: A prompt and what may follow it are longer than the model takes.
    """
    network, tokenizer = model
    parameters = data["parameters"]
    most = parameters.get("max_new_tokens", DEFAULT_NEW_TOKENS)
    limit = int(network.config.max_position_embeddings)
    begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    rows = [
        begin + tokenizer(prompt, add_special_tokens=False)["input_ids"]
        for prompt in data["prompts"]
    ]
    for row in rows:
        if len(row) + most > limit:
            raise ValueError(
                f"A prompt of {len(row)} tokens and {most} new ones are more than the model's"
                f" {limit}: shorten it, or take a smaller max_new_tokens."
            )
    sampling: dict[str, Any] = {"do_sample": False}
    if parameters.get("temperature"):
        if "seed" in parameters:
            torch.manual_seed(parameters["seed"])
        sampling = {
            "do_sample": True,
            "temperature": float(parameters["temperature"]),
            "top_p": float(parameters.get("top_p", 1)),
        }
    texts: list[dict[str, str]] = []
    for row in rows:
        given = torch.tensor([row], device=network.device)
        with torch.no_grad():
            made = network.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=most,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.eos_token_id,
                **sampling,
            )
        text = tokenizer.decode(made[0, len(row) :], skip_special_tokens=True)
        texts.append({"generated_text": text})
    return texts


def output_fn(prediction: list[dict[str, str]], accept: str) -> str:
    """The answer.

    Raises:
        ValueError: Another content type is asked for.
    """
    if accept != _JSON:
        raise ValueError(f"The answer cannot be {accept}, only {_JSON}.")
    return json.dumps(prediction)
