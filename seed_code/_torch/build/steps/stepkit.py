"""What the steps share: refusals and their messages, and weights that are safe to load.

Weights in the formats of pickle run whatever code is in them when they are loaded. Nothing here
loads such a file: only safetensors and texts are let through, by name and by content. Plain Python
from 3.9 on, nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

MODEL_SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja", ".md")
"""Of files that a model may have: tensors, settings, vocabularies (``.model``: SentencePiece)."""
CODE = "code"
"""Folder of a model's archive with the script that serves it, where Python files may be."""

_EXIT_MESSAGE_BYTES = 1024  # Source: DescribeProcessingJob's ExitMessage, SageMaker API reference.
_HEADER_BYTES = 100 * 1024**2  # Source: safetensors, "Format": a header of at most 100 MB.
_ARCHIVE_BYTES = 100 * 1024**3
# A pickle of protocol 2 or later, and the ZIP archive that torch.save writes around one.
_PICKLES = (*(bytes([0x80, protocol]) for protocol in range(2, 6)), b"PK\x03\x04")
_READ_BYTES = 8 * 1024**2


class RefusedError(ValueError):
    """Data or model cannot be used; the message has a line for each reason."""


def tell(message: str, file: Path) -> None:
    """Leaves a message where SageMaker takes a job's message from, if the place exists."""
    if file.parent.is_dir():
        text = message.encode()[:_EXIT_MESSAGE_BYTES].decode(errors="ignore")
        file.write_text(text, encoding="utf-8")


def check_weights(folder: Path) -> None:
    """Lets a model's folder through when loading it runs nothing.

    Args:
        folder: With everything below it.

    Raises:
        RefusedError: It has no safetensors, or files that are something else; each is named.
    """
    problems: list[str] = []
    tensors = 0
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            problems.append(f"{name} is a link.")
            continue
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(_PICKLES):
            problems.append(f"{name} is a pickle, which can run code: save it as safetensors.")
        elif path.suffix == ".safetensors":
            tensors += 1
            problems += _safetensors(path, name)
        elif path.suffix == ".py" and name.startswith(f"{CODE}/"):
            continue
        elif path.suffix not in MODEL_SUFFIXES:
            allowed = ", ".join(MODEL_SUFFIXES)
            problems.append(f"{name} is no file of a model: expected {allowed}.")
    if not tensors:
        problems.append(f"{folder.name} has no *.safetensors.")
    if problems:
        raise RefusedError("\n".join(problems))


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _safetensors(path: Path, name: str) -> list[str]:
    """Faults of a file's header: its length in 8 bytes, then JSON that says where tensors lie."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_HEADER_BYTES, size - 8):
            return [f"{name} is no safetensors file."]
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key[0] != "_"]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return [f"{name} has no header of safetensors."]
    if max(ends, default=0) != size - 8 - length:
        return [f"{name} is cut off: its header tells of more, or of less, than it has."]
    return []


def digest(folder: Path) -> str:
    """One hash of all files of a folder, their names and contents.

    Args:
        folder: With everything below it.
    """
    whole = hashlib.sha256()
    for path in _files(folder):
        part = hashlib.sha256()
        with path.open("rb") as file:
            while content := file.read(_READ_BYTES):
                part.update(content)
        whole.update(f"{path.relative_to(folder).as_posix()} {part.hexdigest()}\n".encode())
    return whole.hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks the archive of a training job, and checks what was in it.

    Args:
        archive: ``model.tar.gz``.
        folder: Where to; made when it is missing.

    Raises:
        RefusedError: It is no archive, leaves its folder, is too large, or :func:`check_weights`
            refuses what is in it.
    """
    if not archive.is_file():
        raise RefusedError(f"{archive} does not exist.")
    folder.mkdir(parents=True, exist_ok=True)
    left = _ARCHIVE_BYTES
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                target = (folder / member.name).resolve()
                if member.isdir():
                    continue
                if not member.isfile() or not target.is_relative_to(folder.resolve()):
                    raise RefusedError(f"{archive.name}: {member.name} is a link or leaves it.")
                left -= member.size
                if left < 0:
                    raise RefusedError(f"{archive.name} holds more than {_ARCHIVE_BYTES} bytes.")
                content = members.extractfile(member)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    while content and (part := content.read(_READ_BYTES)):
                        file.write(part)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RefusedError(f"{archive.name} is no archive of a model: {error}") from error
    check_weights(folder)
