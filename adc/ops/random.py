"""Random numbers that are functions of integers, whatever the device and the number of processes."""

# Parts of torch have no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Generator, Tensor


def generator_of(*numbers: int) -> Generator:
    """A generator on the CPU whose state is a hash of integers."""
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little") & (2**63 - 1))


class ClipRandom:
    """Random numbers for the clips of a batch, each from a generator of its own.

    Rank ``r`` of ``w`` holds the clips ``r, r + w, ...`` of the batch of all processes, as `PositionSampler` divides
    them: they get the same numbers in any number of processes.
    """

    def __init__(
        self, clips: int, *numbers: int, rank: int = 0, world: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        """
        Args:
            clips: Clips of this process.
            numbers: What the numbers are a function of: the run's seed and the batch's number.
            rank: Number of this process.
            world: Number of processes.
            device: Where the numbers are put; they are drawn on the CPU.
        """
        self.device = device
        self._generators = [generator_of(*numbers, clip * world + rank) for clip in range(clips)]

    def normal(self, like: Tensor) -> Tensor:
        """Normal numbers, shaped and typed like ``(B, ...)``."""
        shape = like.shape[1:]
        return self._each(lambda own: torch.randn(shape, generator=own)).to(like.dtype)

    def uniform(self) -> Tensor:
        """One uniform number in ``[0, 1)`` for each clip, ``(B,)``, in float32."""
        return self._each(lambda own: torch.rand((), generator=own))

    def integer(self, low: int, high: int) -> Tensor:
        """One whole number for each clip, ``(B,)``, from ``low`` to ``high``."""
        return self._each(lambda own: torch.randint(low, high + 1, (), generator=own))

    def _each(self, draw: Callable[[Generator], Tensor]) -> Tensor:
        return torch.stack([draw(own) for own in self._generators]).to(self.device)
