"""Sampler of endless epochs: the sample at a position is a function of seed and position."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.utils.data import Sampler

from adc.ops.random import generator_of


class PositionSampler(Sampler[tuple[int, int]]):
    """Endless pairs (position, index): epoch after epoch, each a permutation of all indices.

    The index at a position is a function of the seed and the position alone. Rank ``r`` of ``w``
    takes the positions ``start + r``, ``start + r + w``, ...: the batches of two processes are
    together the batch of one process with twice the batch size, and a run that starts at the
    position where another one ended continues it.
    """

    def __init__(
        self, length: int, seed: int = 0, rank: int = 0, world: int = 1, start: int | Callable[[], int] = 0
    ) -> None:
        """
        Args:
            length: Number of samples.
            seed: Of the permutations.
            rank: This process.
            world: Number of processes.
            start: The position of the first pair; a function is asked each time an iterator begins.
        """
        if length < 1:
            raise ValueError("There are no samples to draw from.")
        if not 0 <= rank < world or (not callable(start) and start < 0):
            raise ValueError(f"rank {rank} of {world} processes from position {start} makes no sense.")
        self.length, self.seed, self.rank, self.world, self.start = length, seed, rank, world, start

    def order(self, epoch: int) -> list[int]:
        """The permutation of an epoch."""
        return torch.randperm(self.length, generator=generator_of(self.seed, epoch)).tolist()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (position, index) for ever."""
        start = self.start() if callable(self.start) else self.start
        position, order, order_epoch = start + self.rank, [], -1
        while True:
            epoch, place = divmod(position, self.length)
            if epoch != order_epoch:
                order, order_epoch = self.order(epoch), epoch
            yield position, order[place]
            position += self.world
