"""Files and archives as the engine hands them over."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.provider.crud import ResourceError
from localcloud.provider.shapes import ARCHIVE, ASSET, SIGNATURE

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files give the same archive


def content(given: Any) -> bytes:
    """The bytes of a file asset or a text asset.

    Raises:
        ResourceError: It is neither.
    """
    if isinstance(given, Mapping) and given.get(SIGNATURE) == ASSET:
        if given.get("text") is not None:
            return str(given["text"]).encode()
        if given.get("path"):
            return Path(str(given["path"])).read_bytes()
    raise ResourceError("The local cloud takes file and text assets, no others.")


def archive(given: Any) -> bytes:
    """The zip file of an archive.

    Raises:
        ResourceError: It is neither a zip file, nor a folder, nor made of files and texts.
    """
    if not isinstance(given, Mapping) or given.get(SIGNATURE) != ARCHIVE:
        raise ResourceError("An archive is expected here.")
    path = Path(str(given.get("path") or ""))
    if given.get("path") and path.is_file():
        return path.read_bytes()
    files = _files(given)
    if not files:
        raise ResourceError(f"The archive {given.get('path') or ''} holds no files.")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            target.writestr(info, data)
    return packed.getvalue()


def _files(given: Mapping[str, Any]) -> dict[str, bytes]:
    """Name -> content; an archive in an archive is a folder, as the engine has it."""
    files: dict[str, bytes] = {}
    if given.get("path"):
        path = Path(str(given["path"]))
        for file in sorted(path.rglob("*")):
            if file.is_file():
                files[file.relative_to(path).as_posix()] = file.read_bytes()
    for name, asset in (given.get("assets") or {}).items():
        if isinstance(asset, Mapping) and asset.get(SIGNATURE) == ARCHIVE:
            inside = _files(asset)
            if not inside:
                raise ResourceError(f"The archive {name} in an archive is no folder with files.")
            files |= {f"{name}/{inner}": data for inner, data in inside.items()}
        else:
            files[name] = content(asset)
    return files
