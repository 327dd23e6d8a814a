"""Where clips come from, and how they are spoilt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Generator, Tensor, nn


class Source(ABC):
    """Where a clip shown to the discriminators comes from."""

    @abstractmethod
    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """A clip ``(B, T, 3, H, W)`` in ``[-1, 1]`` made of a batch (``lr``, ``hr``, ``name``, perhaps ``stills``)."""


class Degradation(nn.Module, ABC):
    """Makes the small, spoilt clip of a pair.

    Attributes:
        scale: How many times smaller the result is.
    """

    scale: int = 4

    @abstractmethod
    def forward(self, hr: Tensor, generator: Generator) -> Tensor:
        """Spoil one clip.

        Args:
            hr: ``(T, 3, H, W)`` in ``[-1, 1]``, ``H`` and ``W`` multiples of `scale`.
            generator: The only source of randomness; the same state gives the same clip.

        Returns:
            ``(T, 3, H / scale, W / scale)`` in ``[-1, 1]``, on the grid of 8-bit values.
        """
