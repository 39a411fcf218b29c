from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import prepare
import pytest
from stepkit import RefusedError


class Letters:
    """A tokenizer whose tokens are the letters' codes."""

    bos_token_id = 1
    eos_token_id = 2

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [ord(letter) for letter in text]}


def write(folder: Path, *lines: object) -> Path:
    folder.mkdir(exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "part.jsonl").write_text("\n".join(texts) + "\n")
    return folder


def example(number: int) -> dict[str, str]:
    return {"prompt": f"{number} + 1 =", "completion": f" {number + 1}"}


def prepared(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    source = write(tmp_path / "in", *changes.pop("lines", [example(n) for n in range(200)]))
    targets = {name: tmp_path / name for name in prepare.SPLITS}
    given: dict[str, Any] = {"shares": (0.8, 0.1, 0.1), "seed": 3, "length": 16, "minimum": 1}
    return prepare.run(source, Letters, targets, **{**given, **changes})


def test_blocks_hold_the_examples_one_after_the_other(tmp_path: Path) -> None:
    told = prepared(tmp_path)
    rows, learnt = (
        np.load(tmp_path / "train" / name, allow_pickle=False)
        for name in ("blocks.npy", "learnt.npy")
    )
    assert rows.shape == (told["train"]["blocks"], 16)
    tokens = rows.flatten().tolist()
    first = tokens[1 : tokens.index(2)]
    text = "".join(chr(token) for token in first)
    left, right = text.split("=")
    assert int(left.replace("+ 1", "")) + 1 == int(right)
    assert tokens[0] == 1
    assert tokens[len(first) + 2] == 1
    # What follows the prompt is learnt, with the mark of its end, and the prompt is not.
    asked = 2 + len(left)
    assert learnt.flatten().tolist()[: len(first) + 3] == [
        *[False] * asked,
        *[True] * (len(right) + 1),
        False,
    ]


def test_every_example_is_in_one_set_and_stays_there(tmp_path: Path) -> None:
    examples = [prepare.Example(f"{n}?", f"{n}") for n in range(300)]
    sets = prepare.split(examples, (0.6, 0.2, 0.2), 1)
    assert sorted(item.prompt for part in sets.values() for item in part) == sorted(
        item.prompt for item in examples
    )
    more = prepare.split([*examples, prepare.Example("new", "new")], (0.6, 0.2, 0.2), 1)
    for name, part in sets.items():
        assert [item for item in more[name] if item.prompt != "new"] == part
        assert 0.5 < len(part) / {"train": 180, "validation": 60, "test": 60}[name] < 1.5


def test_the_test_sets_prompts_are_kept_with_what_should_follow(tmp_path: Path) -> None:
    told = prepared(tmp_path)
    lines = (tmp_path / "test" / "prompts.jsonl").read_text().splitlines()
    assert len(lines) == told["test"]["examples"]
    kept = json.loads(lines[0])
    assert int(kept["prompt"].split()[0]) + 1 == int(kept["completion"])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("no json", "line 2: is no JSON"),
        ("[1, 2]", "line 2: is no object"),
        ({"prompt": "a"}, "line 2: has prompt, expected prompt and completion"),
        ({"prompt": "a", "completion": " "}, "line 2: completion is no text, or an empty one"),
        ({"prompt": 7, "completion": "b"}, "line 2: prompt is no text"),
        ({"text": "x" * 100_001}, "line 2: text has 100001 characters, at most 100000"),
    ],
)
def test_a_wrong_line_is_told_with_file_and_number(tmp_path: Path, line: object, why: str) -> None:
    with pytest.raises(RefusedError, match=rf"part\.jsonl, {why}"):
        prepared(tmp_path, lines=[example(1), line])


def test_data_that_cannot_be_used_is_told_in_the_jobs_message(tmp_path: Path) -> None:
    code = prepare.main(["--input", str(tmp_path), "--message-file", str(tmp_path / "message")])
    assert code == 1
    assert "has no *.jsonl file" in (tmp_path / "message").read_text()


def test_too_few_blocks_are_refused_with_their_numbers(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="each set needs 50 blocks of 16 tokens"):
        prepared(tmp_path, minimum=50)


def test_examples_without_any_prompt_are_refused(tmp_path: Path) -> None:
    lines = [{"text": f"{n} is a number, and so is {n + 1}"} for n in range(200)]
    with pytest.raises(RefusedError, match="has a prompt, so nothing can be asked"):
        prepared(tmp_path, lines=lines)
