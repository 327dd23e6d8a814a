"""Sources of discriminator examples, and LR synthesis."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Generator, Tensor, nn

from adc.interfaces.batch import Batch


class Source(ABC):
    """The origin of an example for the discriminators."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor:
        """A clip ``(B, T, 3, H, W)`` in ``[-1, 1]`` made of a batch ."""


class Degradation(nn.Module, ABC):
    """LR synthesis: makes the LR clip of a pair.

    Attributes:
        scale: How many times smaller the result is.
    """

    scale: int = 4

    @abstractmethod
    def forward(self, hr: Tensor, generator: Generator) -> Tensor:
        """The LR clip of one HR clip.

        Args:
            hr: ``(T, 3, H, W)`` in ``[-1, 1]``, ``H`` and ``W`` multiples of `scale`.
            generator: The only source of randomness; the same state gives the same clip.

        Returns:
            ``(T, 3, H / scale, W / scale)`` in ``[-1, 1]``, on the grid of 8-bit values.
        """
