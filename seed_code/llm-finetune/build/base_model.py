"""Brings a downloaded model into the layout that the pipeline reads, or refuses it.

Jobs have no network, so the weights lie in the data bucket before the first run. On a machine that
reaches the model's hub, download it there, run this, and put the result into the bucket:

    python base_model.py --snapshot DOWNLOADED --output base-model
    aws s3 sync base-model s3://{data bucket}/{project}/base-model/

``model/`` gets settings and weights, ``tokenizer/`` what makes tokens of a text. Weights must be
safetensors: pickles (``*.bin``, ``*.pt``) and Python files are left behind, and where nothing else
is there the model is refused. Nothing of it is loaded.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from steps.stepkit import MODEL_SUFFIXES, RefusedError, check_weights, digest

TOKENIZER = ("tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt", "added_tokens.json",
             "chat_template*")  # fmt: skip


def arrange(snapshot: Path, output: Path) -> dict[str, list[str]]:
    """Copies what is needed.

    Args:
        snapshot: The downloaded model.
        output: An empty folder, or none.

    Returns:
        Folder -> the names of its files; ``left`` names those that were left behind.

    Raises:
        RefusedError: There are no safetensors or no tokenizer, or they are something else.
    """
    made: dict[str, list[str]] = {"model": [], "tokenizer": [], "left": []}
    if not snapshot.is_dir():
        raise RefusedError(f"{snapshot} is no folder.")
    for path in sorted(path for path in snapshot.iterdir() if path.is_file()):
        if any(path.match(pattern) for pattern in TOKENIZER):
            kind = "tokenizer"
        elif path.suffix in MODEL_SUFFIXES and path.suffix != ".md":
            kind = "model"
        else:
            made["left"].append(path.name)
            continue
        made[kind].append(path.name)
        (output / kind).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, output / kind / path.name)
    if not made["tokenizer"]:
        raise RefusedError(f"{snapshot} has no tokenizer.")
    check_weights(output / "model")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the model was arranged, 1 when it was refused."""
    parser = argparse.ArgumentParser(description="Arranges a downloaded model for the pipeline.")
    parser.add_argument("--snapshot", type=Path, required=True, help="folder of the download")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    given = parser.parse_args(arguments)
    if given.output.exists():
        parser.error(f"--output {given.output}: exists, expected a new folder")
    try:
        made = arrange(given.snapshot, given.output)
    except RefusedError as error:
        shutil.rmtree(given.output, ignore_errors=True)
        print(f"The model was refused.\n{error}", file=sys.stderr)
        return 1
    for kind, names in made.items():
        print(f"{kind}: {', '.join(names) or 'nothing'}")
    print(f"sha256 of model: {digest(given.output / 'model')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
