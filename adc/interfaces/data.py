"""Sources of discriminator examples, and LR synthesis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Generator, Tensor, nn


class Source(ABC):
    """Source of the clips of a discriminator's example."""

    @abstractmethod
    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """A clip ``(B, T, 3, H, W)`` in ``[-1, 1]`` made of a batch (``lr``, ``hr``, ``name``, perhaps ``stills``)."""


class Degradation(nn.Module, ABC):
    """Makes the LR clip of a pair from its HR clip.

    Attributes:
        scale: How many times smaller the result is.
    """

    scale: int = 4

    @abstractmethod
    def forward(self, hr: Tensor, generator: Generator) -> Tensor:
        """Degrade one clip.

        Args:
            hr: ``(T, 3, H, W)`` in ``[-1, 1]``, ``H`` and ``W`` multiples of `scale`.
            generator: The only source of randomness; the same state gives the same clip.

        Returns:
            ``(T, 3, H / scale, W / scale)`` in ``[-1, 1]``, on the grid of 8-bit values.
        """
