"""Checkpoints that are whole, readable and proven so, or not there."""

from __future__ import annotations

import errno
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor
from torch.utils._pytree import tree_leaves

from adc.files import check_room, replacing
from adc.media.retry import retried

MARGIN = 2**20
"""Bytes of a checkpoint beside its tensors."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, reads it back as a resumed run will, flushes to the disk, then renames.

    A process killed while writing leaves a dot file, which the next write into the folder removes, and never a
    damaged checkpoint. What could not be read back is refused when it is saved, not when it is needed.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint atomically and durably.

        Raises:
            OSError: If it does not fit the disk, or cannot be written; what was there before stays.
            ValueError: If a part of it cannot be read back as data, naming that part.
        """
        folder = Path(path).parent
        for leftover in folder.glob(".*.partial*"):
            leftover.unlink(missing_ok=True)
        with replacing(path) as scratch:
            _check_space(checkpoint, path)
            with scratch.open("wb") as file:
                torch.save(checkpoint, file)
            try:
                _load(scratch)
            except Exception as error:
                part, reason = _unreadable_part(checkpoint) or ("a part", _line(error))
                raise ValueError(
                    f"{path}: {part} cannot be read back as data, so no run could resume from it ({reason}); a "
                    "state_dict() may hold numbers, text, tensors, lists and dicts."
                ) from None


def checkpoint_path(run: str | Path, batches: int) -> Path:
    """The file of the checkpoint after some batches."""
    return Path(run, "checkpoints", f"{batches:08d}.ckpt")


def checkpoints(run: str | Path) -> list[Path]:
    """The checkpoints of a run folder, oldest first."""
    return sorted(Path(run, "checkpoints").glob("[0-9]" * 8 + ".ckpt"))


def newest_checkpoint(run: str | Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest checkpoint of a run folder that is whole, and why newer ones are not; None where there are none.

    Raises:
        ValueError: If there are checkpoints and none is whole.
        OSError: If the disk refuses to read one, after several tries.
    """
    found, damaged = checkpoints(run), dict[Path, str]()
    for path in reversed(found):
        reason = damage(path)
        if reason is None:
            return path, damaged
        damaged[path] = reason
    if damaged:
        reasons = "; ".join(f"{path.name} {reason}" for path, reason in damaged.items())
        raise ValueError(
            f"{Path(run, 'checkpoints')}: no checkpoint there can be used: {reasons}. Put a good one there, or start "
            "over (--restart)."
        )
    return None, damaged


def damage(path: str | Path) -> str | None:
    """What is wrong with a checkpoint, as the end of a sentence that begins with its name; None if it is whole.

    All of it is read, and compared with the checksums that it holds.

    Raises:
        OSError: If the disk refuses, after several tries: that says nothing about the checkpoint.
    """
    return retried(lambda: _damage(Path(path)), path)


def _damage(path: Path) -> str | None:
    if not path.stat().st_size:
        return "is empty"
    try:
        with zipfile.ZipFile(path) as archive:
            if (member := archive.testzip()) is not None:
                return f"is damaged: the checksum of {member} is wrong"
        content = _load(path)
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        return f"is damaged ({_line(error)})"
    except zipfile.BadZipFile:
        return "is cut short, or no checkpoint"
    except Exception as error:
        return f"cannot be read as data ({_line(error)})"
    known = isinstance(content, dict) and {"state_dict", "adc"} <= content.keys()
    return None if known else "is no checkpoint of a stage"


def _load(path: Path) -> Any:
    return torch.load(path, map_location="meta", weights_only=True, mmap=True)


def _check_space(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    tensors = {leaf.untyped_storage().data_ptr(): leaf for leaf in _tensors(checkpoint)}
    needed = MARGIN + sum(leaf.untyped_storage().nbytes() for leaf in tensors.values())
    check_room(path, needed, "nothing was written, earlier checkpoints stay. Make room, and the same command goes on.")


def _tensors(checkpoint: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(checkpoint) if isinstance(leaf, Tensor))


def _unreadable_part(checkpoint: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first part of a checkpoint that cannot be read back, and why: a callback by its name."""
    parts = {key: value for key, value in checkpoint.items() if key != "callbacks"}
    callbacks: Mapping[str, Any] = checkpoint.get("callbacks", {})
    parts |= {f"the state of callback {name.partition('{')[0]}": state for name, state in callbacks.items()}
    for name, part in parts.items():
        buffer = io.BytesIO()
        torch.save(part, buffer)
        buffer.seek(0)
        try:
            torch.load(buffer, map_location="meta", weights_only=True)
        except Exception as error:
            return name, _line(error)
    return None


def _line(error: BaseException) -> str:
    """What an error says, without torch's advice on how to load without safety."""
    text = " ".join(str(error).split()) or type(error).__name__
    _, found, detail = text.partition("WeightsUnpickler error: ")
    return (detail.partition(" Check the documentation")[0] if found else text)[:160]


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
