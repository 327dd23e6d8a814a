"""Files that appear whole or not at all. Only the standard library is imported with this module."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import socket
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_HOST = re.sub(r"\W", "_", socket.gethostname())[:60]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A scratch file beside a file, which takes its place when the block ends without an error.

    The content is flushed to the disk before the rename, and the folder after it.

    Args:
        path: The file; missing folders above it are made.

    Yields:
        An empty file in the same folder (`scratch_beside`), which stays if the process is killed (`sweep`).

    Raises:
        OSError: If the file cannot be written; nothing is left behind and the old content stays. A disk that is full
            or fails is named by the file, whatever the library that wrote it raised.
    """
    target = Path(path)
    scratch = scratch_beside(target)
    try:
        scratch.touch(exist_ok=False)
        yield scratch
        _flush(scratch)
        scratch.replace(target)
    except Exception as error:
        if (number := _disk_error(error)) is None:
            raise
        raise OSError(number, os.strerror(number), str(target)) from error
    finally:
        scratch.unlink(missing_ok=True)
    _flush(target.parent)


def scratch_beside(target: Path) -> Path:
    """A name for a file that will take another's place: ``.NAME.*.partial.ENDING`` in the same folder, which is made.

    Of long names only the beginning stands in it, so that it is no longer than a file system takes.

    Raises:
        OSError: If the folder cannot be made, or the target's own name is too long.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        os.lstat(target)  # fails for a name that is too long
    name = os.fsencode(target.stem)[:80].decode(errors="ignore")
    ending = target.suffix if len(os.fsencode(target.suffix)) <= 40 else ""
    return target.with_name(f".{name}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.partial{ending}")


def check_room(path: str | Path, needed: int, advice: str) -> None:
    """Check that a disk has room for a file, or for files in a folder; neither must be there.

    Raises:
        OSError: If fewer bytes are free than are needed; the message says how many are, and ends with the advice.
    """
    folder = next(folder for folder in (Path(path).absolute(), *Path(path).absolute().parents) if folder.is_dir())
    usage = shutil.disk_usage(folder)
    free = usage.free
    if needed > free and usage.total:  # some file systems have no size at all
        raise OSError(f"{path}: needs {needed // 2**20} MiB and {free // 2**20} MiB are free there; {advice}")


def sweep(folder: str | Path) -> None:
    """Remove the scratch files that processes of this machine left in a folder when they were killed."""
    for path in Path(folder).glob(f".*.{_HOST}-*.partial*"):
        found = re.search(r"-(\d+)-[0-9a-f]{8}\.partial", path.name)
        if found is not None and not _runs(int(found[1])):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    with suppress(PermissionError):  # it is another user's
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True


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


def file_checksum(path: Path) -> int:
    """CRC-32 of the bytes of a file."""
    found = 0
    with path.open("rb") as file:
        while part := file.read(2**24):
            found = zlib.crc32(part, found)
    return found


def checksum(tensor: Any) -> int:
    """CRC-32 of the bytes of a tensor on the CPU, of any type."""
    import torch

    return zlib.crc32(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def _disk_error(error: Exception) -> int | None:
    """The number of the system's error if a disk is full or fails; None for others, and those that name a file."""
    if isinstance(error, OSError):
        number = error.errno if error.filename is None else None
    elif found := re.search(r"\(os error (\d+)\)", str(error)):  # safetensors
        number = int(found[1])
    else:  # the archive writer of torch, after a write that failed
        number = errno.ENOSPC if "unexpected pos" in str(error) else None
    return number if number in DISK_ERRORS else None


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Context that one process at a time is in, of all that name the same file; others wait for it.

    Where the file cannot be made or locked, nobody waits.
    """
    with ExitStack() as held:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(path.open("a"))
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield
