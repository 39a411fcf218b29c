"""Makes a tiny model of the base model's architecture, to run the pipeline without a GPU.

The architecture is that of CodeLlama (``LlamaForCausalLM``), with random weights, and a tokenizer
of its own that is trained on the examples. It knows nothing: what it can do after the pipeline it
learnt there. Its folder has the layout that ``base_model.py`` gives to a real one. The settings
that fit it are in ``tiny.yaml``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BEGIN, END = "<s>", "</s>"
HIDDEN, LAYERS, HEADS, POSITIONS, VOCABULARY = 64, 2, 4, 256, 512


def make_tokenizer(texts: Iterator[str]) -> Any:
    """A byte-level BPE tokenizer, so that no text is unknown to it.

    Args:
        texts: What it is trained on.
    """
    inner: Any = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=BEGIN, eos_token=END)


def make_model(tokenizer: Any, seed: int) -> Any:
    """A model with random weights.

    Args:
        tokenizer: Whose tokens it takes.
        seed: Another one gives other weights.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=HIDDEN**-0.5,
    )
    return LlamaForCausalLM(config)


def _texts(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").split("\n"):
        if line:
            yield from json.loads(line).values()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Makes a tiny base model with random weights.")
    parser.add_argument("--examples", type=Path, required=True, help="a *.jsonl file")
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    tokenizer = make_tokenizer(_texts(given.examples))
    model = make_model(tokenizer, given.seed)
    tokenizer.save_pretrained(str(given.output / "tokenizer"))
    model.save_pretrained(str(given.output / "model"))
    print(f"{given.output}: {model.num_parameters()} weights, {len(tokenizer)} tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
