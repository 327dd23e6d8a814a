"""Base class of degradations that make the same clip in every process."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Generator, Tensor

from adc.interfaces import Degradation
from adc.ops.clip import quantize


class ReproducibleDegradation(Degradation):
    """A degradation that computes on one thread and without gradients, and rounds to 8 bits.

    Sums that several threads share differ in their last bit from those of one thread, and
    rounding to 8 bits makes that visible: a worker process (one thread) and the main process
    (many) would make different images from the same draw.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        if scale < 1:
            raise ValueError(f"scale: {scale} is not a whole number of at least 1.")
        self.scale = scale

    def forward(self, hr: Tensor, generator: Generator) -> Tensor:
        """See `Degradation.forward`."""
        if hr.ndim != 4 or hr.shape[1] != 3:
            raise ValueError(f"A degradation takes frames (T, 3, H, W), not {tuple(hr.shape)}.")
        height, width = hr.shape[-2:]
        if height % self.scale or width % self.scale:
            raise ValueError(f"Height and width {(height, width)} are not multiples of the scale {self.scale}.")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                return quantize(self._degrade(hr, (height // self.scale, width // self.scale), generator))
        finally:
            torch.set_num_threads(threads)

    @abstractmethod
    def _degrade(self, hr: Tensor, size: tuple[int, int], generator: Generator) -> Tensor:
        """The clip in `size` (height and width), ``[-1, 1]``."""
