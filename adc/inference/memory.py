"""Memory estimate of a restorer, free memory, and the largest tile that fits."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from adc.interfaces import Restorer
from adc.memory import available_memory
from adc.ops.modes import evaluating

SIDES = (512, 384, 256, 192, 128, 96, 64)
"""Sides of tiles, the largest that can be first; what larger ones would gain cannot be seen."""
LARGEST_ON_CPU = 256
"""Caches and attention make larger tiles slow there."""
MOST_TILES = 8
UNKNOWN = 12_000
"""Bytes for each pixel of the LR image where nothing can be estimated."""
PROBE = 64
SLACK = 1.5
"""What operations need for themselves, and what allocators waste."""
SHARE = 0.7
"""Of the free memory, this much is taken at most."""


class _Peak(TorchFunctionMode):
    """Peak of the memory that the results of functions hold."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self.known: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in result if isinstance(result, tuple | list) else (result,):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return
        self.known.add(key)
        self.held += size
        self.most = max(self.most, self.held)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.held -= size


class MemoryEstimate:
    """Estimate of the memory that a restorer needs for images, from that of a very small one.

    The restorer is in float32, on the CPU, and not yet prepared; it restores one LR image.
    """

    def __init__(self, restorer: Restorer) -> None:
        self.each = UNKNOWN
        if next(restorer.parameters(), None) is None:
            return
        with suppress(RuntimeError), evaluating(restorer), torch.no_grad():  # enlarging an image raises it again
            with _Peak() as peak:
                restorer.restore(torch.zeros(1, 1, 3, PROBE, PROBE))
            self.each = int(SLACK * peak.most / PROBE**2)

    def bytes(self, height: int, width: int, number: int = 1) -> int:
        """Memory of some LR images of one size at once, in float32, without parameters."""
        return self.each * number * height * width


def fitting_tile(memory_estimate: MemoryEstimate, device: torch.device, frames: int = 1) -> int:
    """Largest side of tiles of so many frames that fit into memory; the smallest if none does."""
    free = free_memory(device)
    for side in SIDES:
        allowed = device.type != "cpu" or side <= LARGEST_ON_CPU
        if allowed and memory_estimate.bytes(side, side, frames) <= SHARE * free:
            return side
    return SIDES[-1]


def fitting_batch(memory_estimate: MemoryEstimate, height: int, width: int, free: int) -> int:
    """Number of tiles of a size that fit into the memory of a GPU at once."""
    return max(1, min(MOST_TILES, int(SHARE * free) // max(1, memory_estimate.bytes(height, width))))


def free_memory(device: torch.device) -> int:
    """Free bytes of a device; those of the machine, or of the container, for the CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory()
