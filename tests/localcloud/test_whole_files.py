"""Files that are written while others read them."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from localcloud.whole_files import write_whole


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_a_file_has_its_content_and_its_mode_and_nothing_lies_beside_it(
    tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "folder" / "file"
    write_whole(file, "first")
    write_whole(file, "grüße", mode)
    assert file.read_bytes() == "grüße".encode()
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert list(file.parent.iterdir()) == [file]


def test_readers_see_one_of_the_contents_whole_while_several_write(tmp_path: Path) -> None:
    file = tmp_path / "file"
    contents = [bytes([letter]) * 100_000 for letter in b"abcd"]
    write_whole(file, contents[0])
    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(write_whole, file, contents[turn % 4]) for turn in range(200)]
        seen = [pool.submit(file.read_bytes) for _ in range(200)]
        assert {one.result() for one in seen} <= set(contents)
        for one in written:
            one.result()
    assert list(tmp_path.iterdir()) == [file]
