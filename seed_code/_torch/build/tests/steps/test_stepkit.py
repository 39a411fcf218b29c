from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import pytest
from stepkit import RefusedError, check_weights, digest, unpack


def tensors(*, ends: int = 8, size: int = 8) -> bytes:
    """A safetensors file with one tensor of so many bytes. Source: safetensors, "Format"."""
    entry = {"dtype": "F32", "shape": [ends // 4], "data_offsets": [0, ends]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": entry}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(tensors())
    return folder


def test_settings_and_safetensors_are_let_through(model: Path) -> None:
    check_weights(model)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("pytorch_model.bin", pickle.dumps([1]), "is a pickle"),
        ("model.safetensors", pickle.dumps([1]), "is a pickle"),
        ("other.safetensors", b"PK\x03\x04 an archive of torch.save", "is a pickle"),
        ("config.json", pickle.dumps([1], protocol=4), "is a pickle"),
        ("modeling_own.py", b"print('code')", "no file of a model"),
        ("weights.pt", b"\x00" * 16, "no file of a model"),
        ("model.safetensors", b"\x00" * 4, "no safetensors file"),
        ("model.safetensors", (9).to_bytes(8, "little") + b"not json!", "no header of safetensors"),
        ("model.safetensors", tensors(size=4), "is cut off"),
        ("model.safetensors", tensors(size=400), "is cut off"),
    ],
)
def test_what_could_run_or_is_broken_is_refused_by_name(
    model: Path, name: str, content: bytes, why: str
) -> None:
    (model / name).write_bytes(content)
    with pytest.raises(RefusedError, match=f"{name}.*{why}"):
        check_weights(model)


def test_a_folder_without_weights_is_refused(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(RefusedError, match=r"has no \*\.safetensors"):
        check_weights(model)


def test_a_link_is_refused(model: Path) -> None:
    (model / "tokenizer.json").symlink_to("/etc/passwd")
    with pytest.raises(RefusedError, match=r"tokenizer\.json is a link"):
        check_weights(model)


def test_the_digest_tells_of_names_and_contents(model: Path) -> None:
    first = digest(model)
    (model / "config.json").rename(model / "other.json")
    renamed = digest(model)
    (model / "other.json").write_text("{ }")
    assert len({first, renamed, digest(model)}) == 3


def packed(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content)
            member.linkname = "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    return path


FILE, LINK = tarfile.REGTYPE, tarfile.SYMTYPE
WEIGHTS = ("model.safetensors", FILE, tensors())


def test_an_archive_with_the_script_that_serves_it_is_unpacked(tmp_path: Path) -> None:
    script = ("code/inference.py", FILE, b"def model_fn(folder): ...")
    unpack(packed(tmp_path / "model.tar.gz", WEIGHTS, script), tmp_path / "out")
    assert (tmp_path / "out" / "code" / "inference.py").is_file()


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (("../outside.json", FILE, b"{}"), "leaves it"),
        (("/var/outside.json", FILE, b"{}"), "leaves it"),
        (("tokenizer.json", LINK, b""), "is a link"),
        (("pytorch_model.bin", FILE, pickle.dumps([1])), "is a pickle"),
        (("own.py", FILE, b"code"), "no file of a model"),
    ],
)
def test_a_poisoned_archive_is_refused(
    tmp_path: Path, member: tuple[str, bytes, bytes], why: str
) -> None:
    archive = packed(tmp_path / "model.tar.gz", WEIGHTS, member)
    with pytest.raises(RefusedError, match=why):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "outside.json").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    with pytest.raises(RefusedError, match="is no archive of a model"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "out")
