"""Turns pictures of a subject, and others of its class, into sets of one size, or refuses them.

Runs inside SageMaker's Hugging Face image, on a CPU. The folders are arguments; nothing is known
about AWS, and nothing is fetched.

Input: ``instance/`` with pictures of the subject (PNG, JPEG or WebP), with ``metadata.jsonl``
beside them where they have prompts of their own (``{"file_name": …, "prompt": …}``, an object a
line); and ``class/``, which may be missing, with pictures of other things of its kind, against
which the model is kept from forgetting them. Output: ``train/instance``, ``train/class`` and
``test``, PNG files of ``--resolution`` pixels in square, and ``train/prompts.json`` with the prompt
of each.

The pictures of the subject are split by a hash of their content: equal ones are never on both
sides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from PIL import Image, ImageOps, UnidentifiedImageError
from stepkit import RefusedError, tell

FORMATS = ("PNG", "JPEG", "WEBP")
PIXELS = 50_000_000
"""Most pixels of a picture: more of them are a bomb, or no picture of a subject."""
PROMPT_CHARACTERS = 500
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_TOLD = 5  # pictures of one kind of error


def read_picture(path: Path, resolution: int) -> Image.Image:
    """A picture, upright, in colours, cut to a square in the middle and of the wanted size.

    Args:
        path: The file.
        resolution: Pixels of a side.

    Raises:
        RefusedError: It is none, or too small or too large to be used.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path, formats=FORMATS) as opened:
                if opened.width * opened.height > PIXELS:
                    raise RefusedError(f"{path.name} has more than {PIXELS} pixels.")
                opened.load()
                picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Warning, UnidentifiedImageError) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError(f"{path.name} is no picture that can be read: {error}") from error
    if 2 * min(picture.size) < resolution:
        raise RefusedError(
            f"{path.name} has {picture.width} x {picture.height} pixels: half of {resolution} are"
            " the least for a side."
        )
    return ImageOps.fit(picture, (resolution, resolution), Image.Resampling.LANCZOS)


def read_pictures(folder: Path, resolution: int) -> dict[str, Image.Image]:
    """The pictures of a folder by their names, in the order of these.

    Raises:
        RefusedError: Whatever is wrong with any of them, all at once.
    """
    made: dict[str, Image.Image] = {}
    problems: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix.lower() not in _SUFFIXES:
            if path.suffix not in (".jsonl", ".md", ".txt"):
                problems.append(f"{path.name} is no PNG, JPEG or WebP.")
            continue
        try:
            made[path.relative_to(folder).as_posix()] = read_picture(path, resolution)
        except RefusedError as error:
            problems.append(str(error))
    if len(problems) > _TOLD:
        problems = [*problems[:_TOLD], f"{len(problems) - _TOLD} more files are wrong."]
    if problems:
        raise RefusedError("\n".join(problems))
    return made


def read_prompts(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The prompts that pictures have of their own.

    Args:
        folder: With ``metadata.jsonl``, or without.
        names: The pictures that there are.

    Raises:
        RefusedError: A line is no prompt of one of them.
    """
    file = folder / "metadata.jsonl"
    if not file.is_file():
        return {}
    prompts: dict[str, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file.name}, line {number}"
        try:
            content = json.loads(line)
        except ValueError as error:
            raise RefusedError(f"{where} is no JSON: {error}") from error
        entry = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
        name, prompt = entry.get("file_name"), entry.get("prompt")
        if name not in names:
            raise RefusedError(f"{where}: there is no picture {name}.")
        if not isinstance(prompt, str) or not 0 < len(prompt.strip()) <= PROMPT_CHARACTERS:
            raise RefusedError(
                f"{where}: expected a prompt of 1 to {PROMPT_CHARACTERS} characters."
            )
        prompts[str(name)] = prompt
    return prompts


def held_out(pictures: dict[str, Image.Image], share: float, seed: int) -> set[str]:
    """Names of the pictures that are kept for the test.

    Args:
        pictures: By their names.
        share: Of all, about.
        seed: Another one gives others.
    """

    def part(picture: Image.Image) -> float:
        told = f"{seed} ".encode() + picture.tobytes()
        return int.from_bytes(hashlib.sha256(told).digest()[:8], "big") / 2**64

    return {name for name, picture in pictures.items() if part(picture) < share}


def run(given: argparse.Namespace) -> dict[str, int]:
    """Reads, checks, splits and writes.

    Args:
        given: Folders and settings, as :func:`main` takes them.

    Returns:
        Set -> how many pictures it has.

    Raises:
        RefusedError: The pictures cannot be used.
    """
    source: Path = given.input
    if not (source / "instance").is_dir():
        raise RefusedError(f"{source} has no folder instance with pictures of the subject.")
    subject = read_pictures(source / "instance", given.resolution)
    others = read_pictures(source / "class", given.resolution)
    prompts = read_prompts(source / "instance", list(subject))
    test = held_out(subject, given.test_share, given.seed)
    counts = {"train": len(subject) - len(test), "test": len(test), "class": len(others)}
    for name in ("train", "test"):
        if counts[name] < given.minimum:
            raise RefusedError(
                f"{len(subject)} pictures of the subject are too few: {name} has {counts[name]},"
                f" at least {given.minimum} are needed."
            )
    told: dict[str, str] = {}
    folders = {"instance": given.train / "instance", "class": given.train / "class"}
    for folder in (*folders.values(), given.test):
        folder.mkdir(parents=True, exist_ok=True)
    for number, (name, picture) in enumerate(subject.items()):
        file = f"{number:05d}.png"
        if name in test:
            picture.save(given.test / file)
        else:
            picture.save(folders["instance"] / file)
            told[file] = prompts.get(name, str(given.prompt))
    for number, picture in enumerate(others.values()):
        picture.save(folders["class"] / f"{number:05d}.png")
    (given.train / "prompts.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the sets were written, 1 when the pictures were refused."""
    parser = argparse.ArgumentParser(description="Makes sets of pictures of one size.")
    processing = Path("/opt/ml/processing")
    parser.add_argument("--input", type=Path, default=processing / "input" / "data")
    parser.add_argument("--train", type=Path, default=processing / "train")
    parser.add_argument("--test", type=Path, default=processing / "test")
    parser.add_argument("--prompt", required=True, help="of pictures without one of their own")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--test-share", type=float, default=0.25)
    parser.add_argument("--minimum", type=int, default=4, help="pictures of each set")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--data-version", default="unknown", help="told with the result")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    if not 0 < given.test_share < 1:
        parser.error(f"--test-share {given.test_share}: expected a share between 0 and 1")
    try:
        counts = run(given)
    except RefusedError as error:
        message = f"The data was refused.\n{error}"
        tell(message, given.message_file)
        print(message, file=sys.stderr)
        return 1
    result = json.dumps({"data_version": given.data_version, "pictures": counts})
    tell(result, given.message_file)
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
