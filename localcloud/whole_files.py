"""Files that others may be reading at any moment."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file aside and move it into place, so that no reader sees half of it.

    Args:
        path: The file; its folder is made where there is none.
        content: Text is written as UTF-8.
        mode: The file's permissions, which hold before there is anything to read in it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.chmod(mode)
    aside.write_bytes(content.encode() if isinstance(content, str) else content)
    aside.replace(path)
