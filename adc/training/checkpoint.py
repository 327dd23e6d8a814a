"""Checkpoints that are whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor

from adc.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to the disk, then renames.

    A process killed while writing leaves a dot file, which the next write into the folder removes,
    and never a damaged checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint atomically and durably."""
        for leftover in Path(path).parent.glob(".*.partial*"):
            leftover.unlink(missing_ok=True)
        with replacing(path) as scratch, scratch.open("wb") as file:
            torch.save(checkpoint, file)


def checkpoint_path(run: str | Path, batches: int) -> Path:
    """The file of the checkpoint after some batches."""
    return Path(run, "checkpoints", f"{batches:08d}.ckpt")


def checkpoints(run: str | Path) -> list[Path]:
    """The checkpoints of a run folder, oldest first."""
    return sorted(Path(run, "checkpoints").glob("[0-9]" * 8 + ".ckpt"))


def newest_checkpoint(run: str | Path) -> tuple[Path | None, list[Path]]:
    """The newest checkpoint of a run folder that can be read, and the newer ones that cannot."""
    damaged: list[Path] = []
    for path in reversed(checkpoints(run)):
        try:
            torch.load(path, map_location="meta", weights_only=True, mmap=True)
        except Exception:
            damaged.append(path)
        else:
            return path, damaged
    return None, damaged


def check_fit(
    checkpoint: Mapping[str, Any], own: Mapping[str, Tensor], roles: list[str], scheduled: list[str], path: Any = None
) -> None:
    """Refuse a checkpoint that another recipe's stage wrote.

    Args:
        checkpoint: Its content, frozen tensors put back.
        own: The tensors of this stage.
        roles: The roles of this stage, in their order.
        scheduled: Those of them that have a schedule.
        path: Its file, for the message.

    Raises:
        ValueError: In one line, with the first thing that differs.
    """
    difference = _difference(checkpoint, own, roles, scheduled)
    if difference is not None:
        raise ValueError(
            f"{path or 'the checkpoint'} is of another recipe: {difference}. "
            "Start over (--restart), or resume with the recipe that wrote it."
        )


def _difference(checkpoint: Mapping[str, Any], own: Mapping[str, Tensor], roles: Any, scheduled: Any) -> str | None:
    state, saved = checkpoint.get("adc"), checkpoint["state_dict"]
    if state is None:
        return "no stage of adc wrote it"
    for what, theirs, ours in (("roles", state["updates"], roles), ("schedules", state["schedulers"], scheduled)):
        if list(theirs) != ours:
            return f"its {what} are {', '.join(theirs) or 'none'}, here {', '.join(ours) or 'none'}"
    for key in (*own, *saved):
        if key not in saved:
            return f"tensor {key} is missing"
        if key not in own:
            return f"tensor {key} has no place here"
        if saved[key].shape != own[key].shape:
            return f"tensor {key} is {list(saved[key].shape)}, here {list(own[key].shape)}"
    return None
