"""Fine-tunes a causal language model with LoRA, and leaves it with merged weights, ready to serve.

Runs inside SageMaker's Hugging Face training image, on one GPU where there is one. SageMaker calls
it with the hyperparameters as arguments; nothing is known about AWS and nothing is fetched. The
base model comes in the channel ``base``; code that may lie beside its weights is not run.

What it leaves in the model's folder: the merged weights and the tokenizer as ``transformers`` saves
them, ``adapter/`` with LoRA's weights alone, ``code/inference.py`` by which SageMaker's Hugging
Face image serves it, and ``training.json``: settings, losses, and the hash of the base model.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from stepkit import CODE, RefusedError, check_weights, digest, tell
from torch.utils.data import DataLoader, TensorDataset
from transformers import AutoModelForCausalLM, AutoTokenizer

IGNORED = -100
"""Label of what is not learnt, as ``transformers`` has it."""
SERVING = "inference.py"
ALL_LINEAR = "all-linear"
"""What LoRA calls all linear layers but the last, from hidden states to tokens."""
_SHOWN = 20  # losses that the log shows of an epoch, about


def load_blocks(folder: Path, vocabulary: int) -> TensorDataset:
    """Rows of tokens that the preparation wrote, with labels where they are learnt.

    Args:
        folder: With ``blocks.npy`` and ``learnt.npy``.
        vocabulary: How many tokens the model knows.

    Raises:
        RefusedError: There are none, or they are not of this model.
    """
    try:
        rows: Any = np.load(folder / "blocks.npy", allow_pickle=False)
        learnt: Any = np.load(folder / "learnt.npy", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RefusedError(f"{folder.name} has no blocks of tokens: {error}") from error
    if rows.ndim != 2 or rows.shape != learnt.shape or not learnt.any():
        raise RefusedError(f"{folder.name}: blocks.npy has no rows with tokens to learn.")
    if rows.min() < 0 or rows.max() >= vocabulary:
        raise RefusedError(
            f"{folder.name}: token {rows.max()} is none of the model's {vocabulary}: the blocks"
            " were made with another tokenizer."
        )
    # Rows in which nothing is learnt have no loss.
    kept = learnt[:, 1:].any(axis=1)
    tokens = torch.from_numpy(rows[kept].astype(np.int64))
    return TensorDataset(tokens, tokens.masked_fill(~torch.from_numpy(learnt[kept]), IGNORED))


def load_model(folder: Path, device: torch.device) -> Any:
    """A causal language model from safetensors; no code that comes with it is run.

    Raises:
        RefusedError: It is none.
    """
    check_weights(folder)
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
        raise RefusedError(f"The base model cannot be loaded: {error}") from error
    return model.to(device)


def mean_loss(model: Any, rows: TensorDataset, batch: int, device: torch.device) -> float:
    """Mean loss of batches of rows."""
    model.eval()
    losses: list[float] = []
    with torch.no_grad():
        for tokens, labels in DataLoader(rows, batch):
            given = model(input_ids=tokens.to(device), labels=labels.to(device))
            losses.append(float(given.loss))
    return sum(losses) / len(losses)


def fine_tune(
    model: Any,
    train: TensorDataset,
    validation: TensorDataset,
    given: argparse.Namespace,
    device: torch.device,
) -> list[dict[str, float]]:
    """Trains LoRA's weights.

    Args:
        model: With LoRA's layers.
        train: What is learnt.
        validation: What is only measured.
        given: The hyperparameters.
        device: Where the model is.

    Returns:
        For each epoch the losses on both.

    Raises:
        RefusedError: The loss is no finite number.
    """
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=given.learning_rate, weight_decay=0.0)
    parts = DataLoader(
        train,
        given.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(given.seed),
    )
    each = math.ceil(len(parts) / given.accumulation)
    whole = given.epochs * each
    warmup = max(1, round(given.warmup_share * whole))

    def share(step: int) -> float:
        """Of the learning rate: up to it, then down along a cosine."""
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, whole - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    history: list[dict[str, float]] = []
    for epoch in range(1, given.epochs + 1):
        model.train()
        losses: list[float] = []
        for number, (tokens, labels) in enumerate(parts, 1):
            loss = model(input_ids=tokens.to(device), labels=labels.to(device)).loss
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise RefusedError(
                    f"The loss became {losses[-1]} in epoch {epoch}: take a smaller learning_rate."
                )
            (loss / given.accumulation).backward()
            if number % given.accumulation == 0 or number == len(parts):
                torch.nn.utils.clip_grad_norm_(learnt, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
            if number % max(1, len(parts) // _SHOWN) == 0:
                print(f"epoch={epoch} batch={number} loss={losses[-1]:.4f}")
        measured = mean_loss(model, validation, given.batch_size, device)
        history.append({"train": sum(losses) / len(losses), "validation": measured})
        print(f"epoch={epoch} train_loss={history[-1]['train']:.4f} validation_loss={measured:.4f}")
    return history


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Loads, trains, merges and saves.

    Args:
        given: Folders and hyperparameters, as :func:`main` takes them.

    Returns:
        What ``training.json`` has.

    Raises:
        RefusedError: Model or blocks cannot be used.
    """
    torch.manual_seed(given.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load_model(given.base / "model", device)
    vocabulary = int(model.config.vocab_size)
    train = load_blocks(given.train, vocabulary)
    validation = load_blocks(given.validation, vocabulary)
    limit = int(model.config.max_position_embeddings)
    length = train.tensors[0].shape[1]
    if length > limit:
        raise RefusedError(
            f"Blocks have {length} tokens, the model takes {limit}: take a smaller"
            " data.block_tokens."
        )
    if device.type == "cuda":
        # Room for a model of billions of weights: what can be computed again is not kept.
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
        model.config.use_cache = False
    model = get_peft_model(
        model,
        LoraConfig(
            r=given.rank,
            lora_alpha=given.alpha,
            lora_dropout=given.dropout,
            target_modules=given.target_modules
            if given.target_modules == ALL_LINEAR
            else given.target_modules.split(","),
            task_type="CAUSAL_LM",
        ),
    )
    history = fine_tune(model, train, validation, given, device)
    target: Path = given.model_dir
    model.save_pretrained(str(target / "adapter"))
    # What PEFT wraps has the model's methods and more, which its types do not tell.
    merged: Any = cast(Any, model).merge_and_unload()
    merged.config.use_cache = True
    merged.save_pretrained(str(target))
    tokenizer: Any = AutoTokenizer.from_pretrained(
        str(given.base / "tokenizer"), local_files_only=True, trust_remote_code=False
    )
    tokenizer.save_pretrained(str(target))
    (target / CODE).mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name(SERVING), target / CODE / SERVING)
    told = {
        "base_model": given.base_model,
        "base_model_sha256": digest(given.base / "model"),
        "epochs": history,
        "hyperparameters": {
            name: getattr(given, name) for name in ("epochs", "learning_rate", "rank", "alpha",
            "dropout", "target_modules", "batch_size", "accumulation", "warmup_share", "seed")
        },
    }  # fmt: skip
    (target / "training.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when a model was left, 1 when model or blocks were refused."""
    parser = argparse.ArgumentParser(description="Fine-tunes a language model with LoRA.")
    data, ml = Path("/opt/ml/input/data"), Path("/opt/ml")
    for name in ("train", "validation", "base"):
        parser.add_argument(f"--{name}", type=Path, default=data / name)
    parser.add_argument("--model-dir", type=Path, default=ml / "model")
    parser.add_argument("--message-file", type=Path, default=ml / "output" / "failure")
    parser.add_argument("--base_model", default="", help="its name, kept with the result")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=32)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--target_modules", default=ALL_LINEAR, help="layers that LoRA goes to")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--accumulation", type=int, default=1, help="batches of a step")
    parser.add_argument("--warmup_share", type=float, default=0.05, help="of all steps")
    parser.add_argument("--seed", type=int, default=20)
    given = parser.parse_args(arguments)
    try:
        told = run(given)
    except RefusedError as error:
        message = f"The training was refused.\n{error}"
        tell(message, given.message_file)
        print(message, file=sys.stderr)
        return 1
    print(json.dumps(told["epochs"][-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
