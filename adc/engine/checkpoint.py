"""Checkpoints that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to the disk, then renames.

    A process killed while writing leaves a dot file, which the next write into the folder removes,
    and never a damaged checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint atomically and durably."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in target.parent.glob(".*.partial"):
            leftover.unlink(missing_ok=True)
        handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            Path(scratch).chmod(0o644)
            Path(scratch).replace(target)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def newest_checkpoint(run: str | Path) -> tuple[Path | None, list[Path]]:
    """The newest checkpoint of a run folder that can be read, and the newer ones that cannot.

    Args:
        run: The run folder; its checkpoints are ``checkpoints/*.ckpt``, named by a count.
    """
    damaged = []
    for path in sorted(Path(run, "checkpoints").glob("*.ckpt"), reverse=True):
        try:
            torch.load(path, map_location="meta", weights_only=True, mmap=True)
        except Exception:
            damaged.append(path)
        else:
            return path, damaged
    return None, damaged
