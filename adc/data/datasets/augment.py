"""More pictures out of few photos."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from adc.degradation.draws import bernoulli, randint, uniform


class Augmentation:
    """Changes training crops before they are degraded; every draw comes from the clip's generator.

    A student that learns from its teacher needs no natural pictures, only varied ones.
    """

    def __init__(self, reduce: float = 1.0, turn: bool = False, colors: bool = False, blend: float = 0.0) -> None:
        """
        Args:
            reduce: Crops are cut larger and reduced to the size by a factor between this and 1, which packs more
                detail into them.
            turn: Turn crops by quarter turns.
            colors: Put the channels in any order.
            blend: Chance that a crop is blended with one of another photo, each channel by a share of its own;
                that makes colours of grey photos.

        Raises:
            ValueError: If a number is out of range.
        """
        if not 0 < reduce <= 1:
            raise ValueError(f"reduce: {reduce} is not within (0, 1].")
        if not 0 <= blend <= 1:
            raise ValueError(f"blend: {blend} is not a chance between 0 and 1.")
        self.reduce, self.turn, self.colors, self.blend = reduce, turn, colors, blend

    def side(self, size: int, largest: int, generator: Generator) -> int:
        """How large a crop is cut that will be ``size``; at most ``largest``."""
        return min(round(size / uniform(generator, self.reduce, 1.0)), largest) if self.reduce < 1 else size

    def change(self, crop: np.ndarray, size: int, generator: Generator) -> np.ndarray:
        """A square crop, uint8 ``(S, S, 3)``, as one of ``size``, turned, its channels in another order."""
        if crop.shape[0] != size:
            image = Image.fromarray(np.ascontiguousarray(crop))
            crop = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
        if self.turn:
            crop = np.rot90(crop, randint(generator, 0, 3))
        if self.colors:
            crop = crop[..., torch.randperm(3, generator=generator).tolist()]
        return crop

    def blends(self, generator: Generator) -> bool:
        """Whether this crop is blended with another."""
        return self.blend > 0 and bernoulli(generator, self.blend)

    @staticmethod
    def mix(clip: Tensor, other: Tensor, generator: Generator) -> Tensor:
        """Two clips ``(1, 3, H, W)`` blended by a share per channel."""
        share = torch.rand(1, 3, 1, 1, generator=generator)
        return share * clip + (1 - share) * other
