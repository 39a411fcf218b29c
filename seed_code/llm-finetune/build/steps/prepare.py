"""Turns examples into blocks of tokens for training, validation and test, or refuses them.

Runs inside SageMaker's Hugging Face image, on a CPU. The folders are arguments; nothing is known
about AWS, and nothing is fetched: the tokenizer comes with the base model.

Input: ``*.jsonl`` files, an object a line, ``{"prompt": …, "completion": …}`` or, for plain code
and prose to learn from, ``{"text": …}``. Output for each set: ``blocks.npy``, whole numbers in rows
of ``--block-tokens`` tokens, made of all examples one after the other, and ``learnt.npy``, which of
them are learnt; for the test set also ``prompts.jsonl`` with its prompts and what should follow
them.

Examples are split by a hash of their content. An example therefore stays in its set when others are
added, and equal ones are never on both sides of the split.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from stepkit import RefusedError, tell

SPLITS = ("train", "validation", "test")
CHARACTERS = 100_000
"""Longest text of an example: longer ones are whole files in the wrong place."""
_TOLD = 5  # examples of one kind of error


@dataclass(frozen=True)
class Example:
    """Something to learn.

    Attributes:
        prompt: What is asked; empty for plain text.
        completion: What should follow.
    """

    prompt: str
    completion: str


def read_examples(folder: Path) -> list[Example]:
    """All examples of a folder, checked.

    Raises:
        RefusedError: Whatever is wrong with any file, all at once.
    """
    paths = sorted(path for path in folder.rglob("*.jsonl") if path.is_file())
    if not paths:
        raise RefusedError(f"{folder} has no *.jsonl file.")
    examples: list[Example] = []
    problems: list[str] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            problems.append(f"{path.name} is not UTF-8 text ({error.reason}).")
            continue
        wrong: list[str] = []
        found = 0
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                examples.append(_example(line))
                found += 1
            except ValueError as error:
                wrong.append(f"{path.name}, line {number}: {error}.")
        if not found and not wrong:
            problems.append(f"{path.name} is empty.")
        problems += wrong[:_TOLD]
        if len(wrong) > _TOLD:
            problems.append(f"{path.name}: {len(wrong) - _TOLD} more lines are wrong.")
    if problems:
        raise RefusedError("\n".join(problems))
    return examples


def _example(line: str) -> Example:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ValueError(f"is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError("is no object with prompt and completion, or text")
    fields = cast("dict[str, Any]", content)
    if set(fields) not in ({"prompt", "completion"}, {"text"}):
        raise ValueError(f"has {', '.join(fields) or 'nothing'}, expected prompt and completion")
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{name} is no text, or an empty one")
        if len(value) > CHARACTERS:
            raise ValueError(f"{name} has {len(value)} characters, at most {CHARACTERS}")
    return Example(fields.get("prompt", ""), fields.get("completion") or fields["text"])


def split(
    examples: Iterable[Example], shares: Sequence[float], seed: int
) -> dict[str, list[Example]]:
    """The examples of each set.

    Args:
        examples: All of them.
        shares: Of training, validation and test; together 1.
        seed: Another one gives another split.
    """
    train, validation, _ = shares
    sets: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for example in examples:
        told = json.dumps([seed, example.prompt, example.completion]).encode()
        part = int.from_bytes(hashlib.sha256(told).digest()[:8], "big") / 2**64
        name = "train" if part < train else "validation" if part < train + validation else "test"
        sets[name].append(example)
    return sets


def token_stream(examples: Iterable[Example], tokenizer: Any) -> Iterator[tuple[int, bool]]:
    """The tokens of examples one after the other, and whether each is learnt.

    What follows a prompt is learnt, with the mark of its end, and all of a plain text; a prompt is
    only read. Its tokens are made by themselves, as they are when the model is asked.

    Args:
        examples: In the order that they are wanted in.
        tokenizer: As ``transformers`` has them.
    """

    def tokens(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    for example in examples:
        if tokenizer.bos_token_id is not None:
            yield tokenizer.bos_token_id, False
        for token in tokens(example.prompt):
            yield token, False
        for token in tokens(example.completion):
            yield token, True
        yield tokenizer.eos_token_id, True


def blocks(
    stream: Iterable[tuple[int, bool]], length: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows of so many tokens, and whether each is learnt; what is left over at the end is dropped.

    Args:
        stream: Tokens, as :func:`token_stream` makes them.
        length: Of a row.
    """
    told = np.array([*stream], dtype=np.int64).reshape(-1, 2)
    rows = len(told) // length
    cut = told[: rows * length].reshape(rows, length, 2)
    return cut[..., 0], cut[..., 1].astype(bool)


def load_tokenizer(folder: Path) -> Any:
    """The base model's tokenizer; no code that comes with it is run.

    Raises:
        RefusedError: There is none, or it has no mark for the end of a text.
    """
    from transformers import AutoTokenizer

    if not any(folder.glob("tokenizer*")):
        raise RefusedError(f"{folder} has no tokenizer: expected tokenizer.json or the like.")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise RefusedError(f"The tokenizer cannot be loaded: {error}") from error
    if tokenizer.eos_token_id is None:
        raise RefusedError("The tokenizer has no token for the end of a text (eos_token).")
    return tokenizer


def run(
    source: Path,
    tokenizer: Callable[[], Any],
    targets: dict[str, Path],
    shares: Sequence[float],
    seed: int,
    length: int,
    minimum: int,
) -> dict[str, Any]:
    """Reads, checks, splits, cuts and writes.

    Args:
        source: Folder of the examples.
        tokenizer: Loads the base model's.
        targets: Set -> the folder that it is written to.
        shares: Of training, validation and test.
        seed: Of the split.
        length: Tokens of a block.
        minimum: Blocks that each set must have.

    Returns:
        Set -> how many examples and blocks it has.

    Raises:
        RefusedError: The examples cannot be used.
    """
    # Before the tokenizer, whose libraries take longer to load than examples to be refused.
    sets = split(read_examples(source), shares, seed)
    known = tokenizer()
    made = {name: blocks(token_stream(sets[name], known), length) for name in SPLITS}
    prompts = [example for example in sets["test"] if example.prompt]
    rows = {name: len(tokens) for name, (tokens, _) in made.items()}
    small = [f"{name} {count}" for name, count in rows.items() if count < minimum]
    if small:
        raise RefusedError(
            f"The examples are too few: each set needs {minimum} blocks of {length} tokens, but"
            f" there are {', '.join(small)}."
        )
    if not prompts:
        raise RefusedError(
            "No example of the test set has a prompt, so nothing can be asked: give examples with"
            " prompt and completion too."
        )
    for name, folder in targets.items():
        folder.mkdir(parents=True, exist_ok=True)
        for file, values in zip(("blocks.npy", "learnt.npy"), made[name]):  # noqa: B905 - 3.9
            np.save(folder / file, values, allow_pickle=False)
    with (targets["test"] / "prompts.jsonl").open("w", encoding="utf-8") as file:
        for example in prompts:
            line = {"prompt": example.prompt, "completion": example.completion}
            file.write(json.dumps(line) + "\n")
    return {name: {"examples": len(sets[name]), "blocks": rows[name]} for name in SPLITS}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the sets were written, 1 when the examples were refused."""
    parser = argparse.ArgumentParser(description="Cuts checked examples into blocks of tokens.")
    processing = Path("/opt/ml/processing")
    parser.add_argument("--input", type=Path, default=processing / "input" / "data")
    parser.add_argument("--tokenizer", type=Path, default=processing / "input" / "tokenizer")
    for name in SPLITS:
        parser.add_argument(f"--{name}", type=Path, default=processing / name)
    parser.add_argument("--shares", default="0.8,0.1,0.1", help="of train,validation,test")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--block-tokens", type=int, default=1024)
    parser.add_argument("--minimum-blocks", type=int, default=4, help="that each set must have")
    parser.add_argument("--data-version", default="unknown", help="told with the result")
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    given = parser.parse_args(arguments)
    shares = [float(share) for share in given.shares.split(",")]
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        parser.error(f"--shares {given.shares}: expected three positive numbers that sum to 1")
    targets = {name: getattr(given, name) for name in SPLITS}
    try:
        made = run(
            given.input,
            lambda: load_tokenizer(given.tokenizer),
            targets,
            shares,
            given.seed,
            given.block_tokens,
            given.minimum_blocks,
        )
    except RefusedError as error:
        message = f"The data was refused.\n{error}"
        tell(message, given.message_file)
        print(message, file=sys.stderr)
        return 1
    result = json.dumps({"data_version": given.data_version, "sets": made})
    tell(result, given.message_file)
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
