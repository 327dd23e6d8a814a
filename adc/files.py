"""Files that appear whole or not at all. Only the standard library is imported with this module."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A scratch file beside a file, which takes its place when the block ends without an error.

    The content is flushed to the disk before the rename, and the folder after it.

    Args:
        path: The file; missing folders above it are made.

    Yields:
        An empty file ``.NAME.*.partial.ENDING`` in the same folder.

    Raises:
        OSError: If the file cannot be written; nothing is left behind and the old content stays.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    scratch = target.with_name(f".{target.stem[:100]}.{unique}.partial{target.suffix}")
    try:
        scratch.touch(exist_ok=False)
        yield scratch
        _flush(scratch)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    _flush(target.parent)


def save_tensors(tensors: dict[str, Any], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file that is whole or not there.

    Raises:
        OSError: If it cannot be written: the disk is full, for one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as scratch:
        mode = scratch.stat().st_mode  # safetensors lets nobody else read
        try:
            save_file(tensors, scratch, metadata)
        except SafetensorError as error:
            raise OSError(f"{path}: cannot be written ({error}).") from error
        scratch.chmod(mode)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
