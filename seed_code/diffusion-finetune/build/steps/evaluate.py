"""Compares pictures of a fine-tuned diffusion model and of its base with those of the subject.

Runs inside SageMaker's Hugging Face image that also serves the model. The folders are arguments;
nothing is known about AWS, and nothing is fetched: the two networks that look at the pictures lie
beside the base model, in ``nets/fid`` and ``nets/dino``, as ``transformers`` saves vision models.

Both models make as many pictures of the subject's prompt, from the same seeds. Written to
``evaluation.json`` are, of both, the Frechet distance of the pictures' features from those of the
held out pictures (FID where the network is InceptionV3), and the mean cosine of features (DINO's
subject fidelity where the network is DINO). The first pictures are kept beside it for people to
see. Beside it is what monitoring would see of the prompts that people are expected to ask.
"""

# diffusers loads its classes when they are asked for, which its types do not tell.
# pyright: reportPrivateImportUsage=false

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
from diffusers import StableDiffusionPipeline
from PIL import Image
from stepkit import RefusedError, check_weights, digest, tell, unpack
from transformers import AutoModel

_BATCH = 4
_KEPT = 4
# What networks for pictures are trained on: mean and deviation of the colours of ImageNet.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Eye:
    """A network that makes features of pictures.

    DINO's published weights have no pooling layer, and ``transformers`` would make one of random
    numbers: the first token is the feature then, as DINO's authors take it.

    Args:
        folder: As ``transformers`` saves it, with safetensors.
        device: Where it runs.

    Raises:
        RefusedError: It cannot be loaded, or weights of it are missing.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        check_weights(folder)
        try:
            loaded: Any = AutoModel.from_pretrained(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise RefusedError(f"The network {folder.name} cannot be loaded: {error}") from error
        network, told = loaded
        missing = sorted(told["missing_keys"])
        self.pools = not any(name.startswith("pooler.") for name in missing)
        lost = [name for name in missing if not name.startswith("pooler.")]
        if lost:
            raise RefusedError(
                f"The network {folder.name} lacks {len(lost)} of its weights: {', '.join(lost[:5])}"
            )
        self.network: Any = network.to(device).eval()
        self.device = device
        size = getattr(self.network.config, "image_size", 224)
        self.size = int(size if isinstance(size, int) else size[0])

    def features(self, pictures: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        """A row for each picture: what the network pools, or its first token."""
        rows: list[torch.Tensor] = []
        for picture in pictures:
            sized = picture.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC)
            values = (np.asarray(sized, dtype=np.float32) / 255 - _MEAN) / _DEVIATION
            given = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]
            with torch.no_grad():
                seen = self.network(pixel_values=given.to(self.device))
            pooled = getattr(seen, "pooler_output", None) if self.pools else None
            row = seen.last_hidden_state[:, 0] if pooled is None else pooled
            rows.append(row.flatten(1).float().cpu())
        return torch.cat(rows).numpy()


def load_pipeline(folder: Path, device: torch.device) -> Any:
    """A Stable Diffusion pipeline from safetensors.

    Raises:
        RefusedError: It is none.
    """
    try:
        pipeline: Any = StableDiffusionPipeline.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RefusedError(f"The model in {folder.name} cannot be loaded: {error}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def make_pictures(pipeline: Any, given: argparse.Namespace) -> list[Image.Image]:
    """Pictures of the prompt, each from a seed of its own."""
    made: list[Image.Image] = []
    for start in range(0, given.pictures, _BATCH):
        seeds = range(start, min(start + _BATCH, given.pictures))
        chance = [torch.Generator().manual_seed(given.seed + seed) for seed in seeds]
        made += pipeline(
            [given.prompt] * len(chance),
            height=given.resolution,
            width=given.resolution,
            num_inference_steps=given.inference_steps,
            guidance_scale=given.guidance_scale,
            generator=chance,
        ).images
    return made


def write_traffic(prompts: Sequence[str], folder: Path) -> None:
    """Writes ``traffic.csv``: what monitoring would have seen of requests with these prompts."""
    rows = [traffic.columns(prompt) for prompt in prompts]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "traffic.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Loads both models, makes pictures, measures, and writes ``evaluation.json``.

    Args:
        given: Folders and settings, as :func:`main` takes them.

    Returns:
        The report.

    Raises:
        RefusedError: A model, a network or the test set cannot be used.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    held_out: list[Image.Image] = []
    for path in sorted(given.test.glob("*.png")):
        with Image.open(path, formats=["PNG"]) as opened:
            held_out.append(opened.convert("RGB"))
    if len(held_out) < 2:
        raise RefusedError(f"The test set has {len(held_out)} pictures, at least 2 are needed.")
    base: Path = given.base / "model"
    check_weights(base)
    eyes = {name: Eye(given.base / "nets" / name, device) for name in ("fid", "dino")}
    given.output.mkdir(parents=True, exist_ok=True)

    def measured(folder: Path, name: str) -> dict[str, dict[str, float]]:
        pictures = make_pictures(load_pipeline(folder, device), given)
        for number, picture in enumerate(pictures[:_KEPT]):
            picture.save(given.output / f"{name}-{number}.png")
        distance = metrics.frechet_distance_of(
            eyes["fid"].features(pictures), eyes["fid"].features(held_out)
        )
        alike = metrics.similarity(eyes["dino"].features(pictures), eyes["dino"].features(held_out))
        return {"fid": {"value": distance}, "dino_similarity": {"value": alike}}

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text) / "model"
        unpack(given.model / "model.tar.gz", folder)
        trained = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        if digest(base) != trained.get("base_model_sha256"):
            raise RefusedError(
                "The base model is not the one that was trained from: it changed under its URL. Put"
                " another base model under another one."
            )
        after = measured(folder, "fine-tuned")
        before = measured(base, "base")
    report = {
        "image_metrics": after,
        "baseline_metrics": before,
        "dataset": {
            "pictures": {"value": given.pictures},
            "held_out": {"value": len(held_out)},
        },
    }
    content = json.dumps(report, indent=2, allow_nan=False)
    (given.output / "evaluation.json").write_text(content, encoding="utf-8")
    write_traffic(json.loads(given.prompts.read_text(encoding="utf-8")), given.traffic)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the report was written, 1 when something was refused."""
    parser = argparse.ArgumentParser(description="Measures pictures of a fine-tuned model.")
    processing = Path("/opt/ml/processing")
    parser.add_argument("--model", type=Path, default=processing / "model")
    parser.add_argument("--base", type=Path, default=processing / "base")
    parser.add_argument("--test", type=Path, default=processing / "test")
    parser.add_argument("--output", type=Path, default=processing / "evaluation")
    parser.add_argument("--traffic", type=Path, default=processing / "traffic")
    parser.add_argument(
        "--prompts", type=Path, default=processing / "input" / "prompts" / "prompts.json",
        help="JSON list of those that people are expected to ask",
    )  # fmt: skip
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--pictures", type=int, default=64, help="that each model makes")
    parser.add_argument("--inference-steps", type=int, default=30)
    parser.add_argument("--guidance-scale", type=float, default=7.5)
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    try:
        report = run(given)
    except (RefusedError, ValueError) as error:
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
