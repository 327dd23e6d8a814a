"""A student at work: loaded, checked, on its device, with the tiles that its memory allows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adc.errors import UsageError
from adc.inference.memory import SIDES, MemoryEstimate, fitting_batch, fitting_tile, free_memory
from adc.inference.options import UpscaleOptions
from adc.inference.restore import Tiling, restore_bands, restore_image
from adc.inference.tiles import plan_tiles
from adc.interfaces import Restorer


class Upscaler:
    """Enlarges pictures and clips as the options say.

    Attributes:
        tiles: The longest side of tiles that is used where the options leave it open, by the number of frames that are
            enlarged at once; halved when memory ran out.
    """

    def __init__(self, student: str, device: str, options: UpscaleOptions) -> None:
        """
        Args:
            student: A student folder, or an ONNX file.
            device: Name of the device.
            options: How it enlarges.

        Raises:
            FileNotFoundError: If there is no such student.
            UsageError: If there is no such device, it does not compute in that precision, or the student does not
                suit the options.
            ValueError: If the student is damaged.
        """
        from adc.inference.prepare import prepare, why_not

        self.options, self.device = options, device_of(device)
        if complaint := why_not(options.precision, self.device):
            raise UsageError(f"--precision {complaint}")
        restorer = _load(student, options)
        self.memory_estimate = MemoryEstimate(restorer)
        self.restorer = prepare(restorer, options.precision, self.device, options.compile)
        self.tiles: dict[int, int] = {}
        self._batches: dict[tuple[int, int], int] = {}

    def __call__(self, clip: Tensor) -> Tensor:
        """Enlarge a clip ``(1, T, 3, h, w)`` in ``[-1, 1]``, to the size that was asked for."""
        height, width = clip.shape[-2:]
        cut = self.tiling(height, width, clip.shape[1])
        size = self.size(height, width)
        return restore_image(self.restorer, clip, cut.tile, cut.overlap, self.options.color, cut.batch, size)

    def bands(self, lr: Tensor, keep: torch.dtype, scratch: Path) -> Iterator[Tensor]:
        """What a call returns for one picture, in bands from top to bottom; see `restore_bands`."""
        height, width = lr.shape[-2:]
        size = self.size(height, width)
        return restore_bands(
            self.restorer, lr, self.tiling(height, width), self.options.color, size, keep=keep, scratch=scratch
        )

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result."""
        scale = self.restorer.scale if self.options.scale is None else self.options.scale
        return max(1, round(height * scale)), max(1, round(width * scale))

    def tiling(self, height: int, width: int, frames: int = 1) -> Tiling:
        """How a picture, or so many frames at once, is cut."""
        tile, overlap = self._tile(frames), self.options.overlap
        if self.options.tile is None:
            overlap = min(overlap, (tile - 1) // 2)
        rows, columns = plan_tiles(height, tile, overlap), plan_tiles(width, tile, overlap)
        return Tiling(tile, overlap, self._batch(rows.tile, columns.tile) if len(columns.starts) > 1 else 1)

    def _tile(self, frames: int) -> int:
        if self.options.tile is not None:
            return self.options.tile
        if frames not in self.tiles:
            self.tiles[frames] = fitting_tile(self.memory_estimate, self.device, frames)
        return self.tiles[frames]

    def _batch(self, height: int, width: int) -> int:
        if self.options.batch is not None:
            return self.options.batch
        if self.device.type == "cpu":
            return 1
        key = (height, width)
        if key not in self._batches:
            self._batches[key] = fitting_batch(self.memory_estimate, height, width, free_memory(self.device))
        return self._batches[key]

    def shrink_tiles(self) -> bool:
        """After memory ran out: take smaller tiles from now on; False if they were chosen by hand or are small."""
        if all(tile <= SIDES[-1] for tile in self.tiles.values()):
            return False
        self.tiles = {frames: max(SIDES[-1], tile // 2) for frames, tile in self.tiles.items()}
        self._batches = {}
        self.options = dataclasses.replace(self.options, batch=1)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return True


def device_of(name: str) -> torch.device:
    """A device by its name; auto takes a GPU if there is one.

    Raises:
        UsageError: If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"--device {name}: there is no such device here; take auto or cpu.") from None
    return device


def _load(student: str, options: UpscaleOptions) -> Restorer:
    from adc.pruning import load_student

    if student.lower().endswith(".onnx"):
        for name, plain in (("precision", "fp32"), ("compile", False)):
            if getattr(options, name) != plain:
                raise UsageError(f"--{name}: an ONNX file has its own; leave this out.")
        from adc.inference.onnx_student import OnnxStudent

        found: Any = OnnxStudent(student)
    else:
        found = load_student(student)
    for name, tensor in found.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{student}: tensor {name} holds what is no number (NaN or infinity); export it again.")
    return found
