"""Compares a fine-tuned language model with its base on the test set, writes ``evaluation.json``.

Runs inside SageMaker's Hugging Face image that also serves the model. The folders are arguments;
nothing is known about AWS, and nothing is fetched.

Two things are measured of both models: the perplexity on the test set's blocks, and the share of
its prompts that are completed exactly as expected, spaces aside, when the likeliest token is always
taken. The base model must be the one that was trained from: its hash is compared. What monitoring
would have seen of the prompts and the fine-tuned model's completions is written too: a baseline is
made of it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import metrics
import numpy as np
import torch
import traffic
from stepkit import RefusedError, check_weights, digest, tell, unpack
from transformers import AutoModelForCausalLM, AutoTokenizer

_BATCH = 4


def load_model(folder: Path, device: torch.device) -> Any:
    """A causal language model from safetensors; no code that comes with it is run.

    Raises:
        RefusedError: It is none.
    """
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=kind,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise RefusedError(f"The model in {folder.name} cannot be loaded: {error}") from error
    return model.to(device).eval()


def load_test_set(
    folder: Path, most: int
) -> tuple[torch.Tensor, torch.Tensor, list[dict[str, str]]]:
    """Blocks of tokens, which of them count, and prompts with what should follow them.

    Args:
        folder: With ``blocks.npy``, ``learnt.npy`` and ``prompts.jsonl``.
        most: Prompts that are taken, from the first on.

    Raises:
        RefusedError: There are none.
    """
    try:
        rows: Any = np.load(folder / "blocks.npy", allow_pickle=False)
        learnt: Any = np.load(folder / "learnt.npy", allow_pickle=False)
        text = (folder / "prompts.jsonl").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RefusedError(f"The test set cannot be read: {error}") from error
    prompts = [json.loads(line) for line in text.split("\n")[:most] if line]
    if rows.ndim != 2 or rows.shape != learnt.shape or not learnt[:, 1:].any() or not prompts:
        raise RefusedError("The test set has no blocks of tokens, or no prompts.")
    return torch.from_numpy(rows.astype(np.int64)), torch.from_numpy(learnt), prompts


def perplexity(model: Any, rows: torch.Tensor, learnt: torch.Tensor) -> float:
    """Of the tokens that follow prompts, given all that comes before them in their row."""
    total = 0.0
    for tokens, counted in zip(rows.split(_BATCH), learnt.split(_BATCH)):  # noqa: B905 - 3.9
        given = tokens.to(model.device)
        with torch.no_grad():
            logits = model(input_ids=given).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), given[:, 1:], reduction="none"
        )
        total += float(losses.cpu()[counted[:, 1:]].sum())
    return metrics.perplexity(total, int(learnt[:, 1:].sum()))


def complete(model: Any, tokenizer: Any, prompt: str, most: int) -> str:
    """What a model makes of a prompt when it always takes the likeliest token.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompt: The text.
        most: New tokens.
    """
    begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    tokens = begin + tokenizer(prompt, add_special_tokens=False)["input_ids"]
    given = torch.tensor([tokens], device=model.device)
    with torch.no_grad():
        made = model.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            max_new_tokens=most,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
    return tokenizer.decode(made[0, len(tokens) :], skip_special_tokens=True)


def measure(
    model: Any,
    tokenizer: Any,
    blocks: tuple[torch.Tensor, torch.Tensor],
    prompts: Sequence[dict[str, str]],
    most: int,
) -> tuple[dict[str, float], list[str]]:
    """Perplexity and exact match of a model, and how it completed the prompts."""
    texts = [complete(model, tokenizer, item["prompt"], most) for item in prompts]
    expected = [item["completion"] for item in prompts]
    for item, text in list(zip(prompts, texts))[:3]:  # noqa: B905 - Python 3.9 as well
        print(json.dumps({"prompt": item["prompt"][-200:], "completed": text[:200]}))
    reached = {
        "perplexity": perplexity(model, *blocks),
        "exact_match": metrics.exact_match(expected, texts),
    }
    return reached, texts


def write_traffic(
    prompts: Sequence[dict[str, str]], completions: Sequence[str], folder: Path
) -> None:
    """Writes ``traffic.csv``: what monitoring would have seen of each prompt and its completion."""
    rows = [
        traffic.columns([item["prompt"]], [text])
        for item, text in zip(prompts, completions)  # noqa: B905 - Python 3.9 as well
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "traffic.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Loads both models, measures and writes ``evaluation.json``.

    Args:
        given: Folders and limits, as :func:`main` takes them.

    Returns:
        The report.

    Raises:
        RefusedError: A model or the test set cannot be used.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows, learnt, prompts = load_test_set(given.test, given.test_prompts)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text) / "model"
        unpack(given.model / "model.tar.gz", folder)
        base = given.base / "model"
        check_weights(base)
        trained = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        if digest(base) != trained.get("base_model_sha256"):
            raise RefusedError(
                "The base model is not the one that was trained from: it changed under its URL. Put"
                " another base model under another one."
            )
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise RefusedError(f"The model's tokenizer cannot be loaded: {error}") from error
        before, _ = measure(
            load_model(base, device), tokenizer, (rows, learnt), prompts, given.max_new_tokens
        )
        after, completions = measure(
            load_model(folder, device), tokenizer, (rows, learnt), prompts, given.max_new_tokens
        )
    write_traffic(prompts, completions, given.traffic)
    report = {
        "language_metrics": {
            "perplexity": {"value": after["perplexity"]},
            "perplexity_ratio": {"value": after["perplexity"] / before["perplexity"]},
            "exact_match": {"value": after["exact_match"]},
        },
        "baseline_metrics": {name: {"value": value} for name, value in before.items()},
        "dataset": {
            "prompts": {"value": len(prompts)},
            "tokens": {"value": int(learnt.sum())},
        },
    }
    given.output.mkdir(parents=True, exist_ok=True)
    content = json.dumps(report, indent=2, allow_nan=False)
    (given.output / "evaluation.json").write_text(content, encoding="utf-8")
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the report was written, 1 when models or test set were refused."""
    parser = argparse.ArgumentParser(description="Compares a fine-tuned model with its base.")
    processing = Path("/opt/ml/processing")
    parser.add_argument("--model", type=Path, default=processing / "model")
    parser.add_argument("--base", type=Path, default=processing / "base")
    parser.add_argument("--test", type=Path, default=processing / "test")
    parser.add_argument("--output", type=Path, default=processing / "evaluation")
    parser.add_argument("--traffic", type=Path, default=processing / "traffic")
    parser.add_argument("--test-prompts", type=int, default=200, help="at most")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    try:
        report = run(given)
    except RefusedError as error:
        message = f"The evaluation was refused.\n{error}"
        tell(message, given.message_file)
        print(message, file=sys.stderr)
        return 1
    text = json.dumps(report)
    tell(text, given.message_file)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
