"""Teaches a diffusion model a subject with DreamBooth and LoRA, and leaves it ready to serve.

Runs inside SageMaker's Hugging Face training image, on one GPU where there is one. SageMaker calls
it with the hyperparameters as arguments; nothing is known about AWS and nothing is fetched. The
base model comes in the channel ``base``, a folder as ``diffusers`` saves pipelines.

DreamBooth learns pictures of one subject under a prompt with a rare word. So that the model does
not forget what others of the class look like, it learns pictures of those beside them (prior
preservation): the team's, and where they are too few, some that the base model makes first.

What it leaves in the model's folder: the whole pipeline with merged weights, ``adapter/`` with
LoRA's weights alone, ``code/inference.py`` by which SageMaker's Hugging Face image serves it, and
``training.json``: settings, losses, and the hash of the base model.
"""

# diffusers loads its classes when they are asked for, which its types do not tell.
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from peft import LoraConfig, get_peft_model
from PIL import Image
from stepkit import CODE, RefusedError, check_weights, digest, tell

SERVING = "inference.py"
_BATCH = 4  # pictures of the class that are made at once
_SHOWN = 20  # losses that the log shows, about


def load_pipeline(folder: Path, device: torch.device) -> Any:
    """A Stable Diffusion pipeline from safetensors.

    Raises:
        RefusedError: It is none.
    """
    check_weights(folder)
    try:
        pipeline: Any = StableDiffusionPipeline.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RefusedError(f"The base model cannot be loaded: {error}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def as_tensor(picture: Image.Image) -> torch.Tensor:
    """A picture as the model takes it: channels first, from -1 to 1."""
    values = np.asarray(picture.convert("RGB"), dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1)


def read_pictures(folder: Path) -> dict[str, torch.Tensor]:
    """The pictures of a folder by their names."""
    made: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path, formats=["PNG"]) as opened:
            made[path.name] = as_tensor(opened)
    return made


def class_pictures(pipeline: Any, given: argparse.Namespace, have: int) -> list[torch.Tensor]:
    """As many pictures of the class as are missing, made by the base model.

    Args:
        pipeline: The base model.
        given: The hyperparameters.
        have: How many there are.
    """
    made: list[torch.Tensor] = []
    chance = torch.Generator(pipeline.device).manual_seed(given.seed)
    while have + len(made) < given.class_images:
        count = min(_BATCH, given.class_images - have - len(made))
        pictures = pipeline(
            [given.class_prompt] * count,
            height=given.resolution,
            width=given.resolution,
            num_inference_steps=given.class_steps,
            generator=chance,
        ).images
        made += [as_tensor(picture) for picture in pictures]
    return made


class Latents:
    """What is learnt: latent pictures with the embeddings of their prompts, worked out once.

    Args:
        pipeline: With the networks that do it, which are not trained.
        pictures: Of one size.
        prompts: As many.
    """

    def __init__(
        self, pipeline: Any, pictures: Sequence[torch.Tensor], prompts: Sequence[str]
    ) -> None:
        device = pipeline.device
        known: dict[str, torch.Tensor] = {}
        self.distributions: list[Any] = []
        self.embeddings: list[torch.Tensor] = []
        with torch.no_grad():
            for picture, prompt in zip(pictures, prompts):  # noqa: B905 - Python 3.9 as well
                encoded = pipeline.vae.encode(picture[None].to(device))
                self.distributions.append(encoded.latent_dist)
                if prompt not in known:
                    known[prompt] = pipeline.encode_prompt(prompt, device, 1, False)[0]
                self.embeddings.append(known[prompt])
        self.scale = float(pipeline.vae.config.scaling_factor)

    def draw(self, count: int, chance: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Some at random: latent pictures, and the embeddings of their prompts."""
        chosen = chance.integers(len(self.distributions), size=count)
        latents = [self.distributions[index].sample() * self.scale for index in chosen]
        return torch.cat(latents), torch.cat([self.embeddings[index] for index in chosen])


def denoising_loss(
    network: Any, scheduler: Any, latents: torch.Tensor, embeddings: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of what the network takes for noise, at random steps."""
    noise = torch.randn_like(latents)
    steps = torch.randint(
        int(scheduler.config.num_train_timesteps), (len(latents),), device=latents.device
    )
    noisy = scheduler.add_noise(latents, noise, steps)
    told = network(noisy, steps, encoder_hidden_states=embeddings).sample
    kind = scheduler.config.prediction_type
    wanted = scheduler.get_velocity(latents, noise, steps) if kind == "v_prediction" else noise
    return torch.nn.functional.mse_loss(told.float(), wanted.float())


def learn(
    network: Any, scheduler: Any, subject: Latents, others: Latents, given: argparse.Namespace
) -> list[float]:
    """Trains LoRA's weights.

    Args:
        network: With LoRA's layers.
        scheduler: Of the noise.
        subject: Pictures of the subject.
        others: Pictures of its class.
        given: The hyperparameters.

    Returns:
        The mean loss of each tenth of the steps.

    Raises:
        RefusedError: The loss is no finite number.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=given.learning_rate, weight_decay=0.0)
    chance = np.random.default_rng(given.seed)
    losses: list[float] = []
    network.train()
    for step in range(1, given.steps + 1):
        loss = denoising_loss(network, scheduler, *subject.draw(given.batch_size, chance))
        if given.prior_weight:
            prior = denoising_loss(network, scheduler, *others.draw(given.batch_size, chance))
            loss = loss + given.prior_weight * prior
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise RefusedError(
                f"The loss became {losses[-1]} at step {step}: take a smaller learning_rate."
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % max(1, given.steps // _SHOWN) == 0:
            print(f"step={step} loss={losses[-1]:.4f}")
    parts = np.array_split(np.array(losses), min(10, len(losses)))
    return [float(part.mean()) for part in parts]


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Loads, trains, merges and saves.

    Args:
        given: Folders and hyperparameters, as :func:`main` takes them.

    Returns:
        What ``training.json`` has.

    Raises:
        RefusedError: Model or pictures cannot be used.
    """
    torch.manual_seed(given.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base: Path = given.base / "model"
    pipeline = load_pipeline(base, device)
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.requires_grad_(False)
    try:
        prompts: dict[str, str] = json.loads((given.train / "prompts.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RefusedError(f"The training set has no prompts: {error}") from error
    pictures = read_pictures(given.train / "instance")
    if not pictures or set(pictures) != set(prompts):
        raise RefusedError("The training set has not one prompt for each of its pictures.")
    subject = Latents(pipeline, list(pictures.values()), [prompts[name] for name in pictures])
    known = list(read_pictures(given.train / "class").values())[: given.class_images]
    known += class_pictures(pipeline, given, len(known)) if given.prior_weight else []
    others = Latents(pipeline, known, [given.class_prompt] * len(known))
    scheduler: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
    network: Any = get_peft_model(
        pipeline.unet,
        LoraConfig(
            r=given.rank,
            lora_alpha=given.alpha,
            init_lora_weights="gaussian",
            target_modules=given.target_modules.split(","),
        ),
    )
    if device.type == "cuda":
        pipeline.unet.enable_gradient_checkpointing()
    history = learn(network, scheduler, subject, others, given)
    target: Path = given.model_dir
    network.save_pretrained(str(target / "adapter"))
    pipeline.unet = network.merge_and_unload().eval()
    pipeline.save_pretrained(str(target), safe_serialization=True)
    (target / CODE).mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name(SERVING), target / CODE / SERVING)
    told = {
        "base_model": given.base_model,
        "base_model_sha256": digest(base),
        "losses": history,
        "pictures": {"subject": len(pictures), "class": len(known)},
        "hyperparameters": {
            name: getattr(given, name) for name in ("steps", "learning_rate", "rank", "alpha",
            "batch_size", "prior_weight", "target_modules", "class_prompt", "seed")
        },
    }  # fmt: skip
    (target / "training.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when a model was left, 1 when model or pictures were refused."""
    parser = argparse.ArgumentParser(description="Teaches a diffusion model a subject.")
    data, ml = Path("/opt/ml/input/data"), Path("/opt/ml")
    for name in ("train", "base"):
        parser.add_argument(f"--{name}", type=Path, default=data / name)
    parser.add_argument("--model-dir", type=Path, default=ml / "model")
    parser.add_argument("--message-file", type=Path, default=ml / "output" / "failure")
    parser.add_argument("--base_model", default="", help="its name, kept with the result")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--target_modules", default="to_q,to_k,to_v,to_out.0", help="of the U-Net")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--prior_weight", type=float, default=1.0, help="0: without class pictures")
    parser.add_argument("--class_prompt", default="")
    parser.add_argument("--class_images", type=int, default=100)
    parser.add_argument("--class_steps", type=int, default=30, help="of making one")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--seed", type=int, default=20)
    given = parser.parse_args(arguments)
    try:
        told = run(given)
    except RefusedError as error:
        message = f"The training was refused.\n{error}"
        tell(message, given.message_file)
        print(message, file=sys.stderr)
        return 1
    print(json.dumps(told["losses"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
