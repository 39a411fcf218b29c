"""Makes a tiny model of the base model's architecture, to run the pipeline without a GPU.

The architecture is Stable Diffusion's: a CLIP text encoder, a variational autoencoder and a U-Net.
It starts from random weights and learns for a short while to draw the shapes of ``sample_data.py``,
because one that draws nothing but noise has nothing that LoRA could turn. The two networks that
look at pictures are vision transformers with random weights: what they see is enough to tell
pictures with other colours and forms apart, and no measure of beauty. The folder has the layout
that a real base model must have. The settings that fit it are in ``tiny.yaml``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, ViTConfig, ViTModel

from sample_data import COLOURS, SHAPES, draw_class

SIDE, TEXT, TOKENS = 16, 32, 16
PROMPT = "a photo of a {}"
PREDICTION = "v_prediction"
"""What the U-Net tells of a noisy picture: with the velocity, colours are learnt in few steps."""


def make_tokenizer() -> Any:
    """CLIP's kind of tokenizer, with letters and a few whole words."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    merges: list[str] = []
    for word in ("a", "photo", "of", *COLOURS, *SHAPES, "shape", "sks"):
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge, joined = f"{parts[0]} {parts[1]}", parts[0] + parts[1]
            if merge not in merges:
                merges.append(merge)
                vocabulary.append(joined)
            parts = [joined, *parts[2:]]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        names = {name: number for number, name in enumerate(dict.fromkeys(vocabulary))}
        (folder / "vocab.json").write_text(json.dumps(names), encoding="utf-8")
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges), encoding="utf-8")
        return CLIPTokenizer.from_pretrained(str(folder), model_max_length=TOKENS)


def make_parts(tokenizer: Any) -> tuple[Any, Any, Any]:
    """Text encoder, autoencoder and U-Net with random weights.

    Args:
        tokenizer: Whose tokens are encoded.
    """
    words = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT,
            intermediate_size=2 * TEXT,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    autoencoder = AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
        scaling_factor=1.0,
    )
    network = UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    return words, autoencoder, network


def _examples(count: int, seed: int) -> tuple[torch.Tensor, list[str]]:
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
    drawn = [draw_class(SIDE, chance) for _ in range(count)]
    # A share of colours that no shape has, so that the autoencoder knows more of them.
    values = [np.asarray(picture, dtype=np.float32) / 127.5 - 1 for picture, _ in drawn]
    prompts = [PROMPT.format(told if chance.random() < 0.7 else "shape") for _, told in drawn]
    return torch.from_numpy(np.stack(values)).permute(0, 3, 1, 2), prompts


def learn(
    words: Any, autoencoder: Any, network: Any, tokenizer: Any, given: argparse.Namespace
) -> None:
    """Trains the autoencoder, and then the U-Net with the text encoder.

    Args:
        words: The text encoder.
        autoencoder: The variational autoencoder; it gets its scaling factor.
        network: The U-Net.
        tokenizer: Of the text encoder.
        given: How long, and the seed.
    """
    pictures, prompts = _examples(512, given.seed)
    # Colours turned around as well: the subject's must not be strange to the autoencoder.
    seen = torch.cat([pictures, pictures[:, [1, 2, 0]], -pictures])
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    for _ in range(given.autoencoder_steps):
        batch = seen[torch.randint(len(seen), (16,))]
        latent = autoencoder.encode(batch).latent_dist
        drawn = autoencoder.decode(latent.sample()).sample
        loss = torch.nn.functional.mse_loss(drawn, batch) + 1e-5 * latent.kl().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        latents = autoencoder.encode(pictures).latent_dist.mean
    factor = 1 / float(latents.std())
    autoencoder.register_to_config(scaling_factor=factor)
    latents = latents * factor
    tokens = tokenizer(
        prompts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    empty = tokenizer(
        [""], padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    noise_of: Any = DDPMScheduler(prediction_type=PREDICTION)
    weights = [*network.parameters(), *words.parameters()]
    optimizer = torch.optim.Adam(weights, lr=1e-3)
    for _ in range(given.network_steps):
        chosen = torch.randint(len(latents), (16,))
        # A tenth without a prompt: guidance compares with it.
        asked = torch.where(torch.rand(16, 1) < 0.1, empty, tokens[chosen])
        noise, steps = torch.randn_like(latents[chosen]), torch.randint(1000, (16,))
        noisy = noise_of.add_noise(latents[chosen], noise, steps)
        wanted = noise_of.get_velocity(latents[chosen], noise, steps)
        told = network(noisy, steps, encoder_hidden_states=words(asked)[0]).sample
        loss = torch.nn.functional.mse_loss(told, wanted)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"loss of the U-Net: {float(loss.detach()):.3f}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Makes a tiny base model and two networks.")
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    parser.add_argument("--autoencoder-steps", type=int, default=150)
    parser.add_argument("--network-steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    tokenizer = make_tokenizer()
    words, autoencoder, network = make_parts(tokenizer)
    learn(words, autoencoder, network, tokenizer, given)
    pipeline: Any = StableDiffusionPipeline(
        vae=autoencoder.eval(),
        text_encoder=words.eval(),
        tokenizer=tokenizer,
        unet=network.eval(),
        scheduler=DDIMScheduler(
            prediction_type=PREDICTION,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(str(given.output / "model"), safe_serialization=True)
    for name in ("fid", "dino"):
        eye = ViTModel(
            ViTConfig(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=64,
                image_size=SIDE,
                patch_size=4,
            )
        )
        eye.save_pretrained(str(given.output / "nets" / name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
